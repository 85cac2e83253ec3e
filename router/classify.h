/*
 * What a statement may do, from its text alone: the class that decides where it may run, the session state
 * that it touches, and whether it may be run again elsewhere. The grammar is PostgreSQL's own (libpg_query).
 * Whatever is not understood is a write (T10). Pure but for libpg_query's own arena; any thread.
 */
#ifndef SW_ROUTER_CLASSIFY_H
#define SW_ROUTER_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/limits.h"
#include "router/hint.h"

struct sw_catalog;

enum sw_verdict_flag {
	SW_V_READ = 1u << 0,        /* may run on a replica; without it: the primary */
	/*
	 * Shows or changes no table data itself, so it is no event: SET, RESET, SHOW, BEGIN, COMMIT,
	 * DEALLOCATE, LISTEN … What a COMMIT makes visible is its transaction's event.
	 */
	SW_V_NO_DATA = 1u << 1,
	SW_V_BEGIN = 1u << 2,       /* opens a transaction block (BEGIN, START TRANSACTION), alone in its text */
	SW_V_END = 1u << 3,         /* COMMIT, ROLLBACK [AND CHAIN], PREPARE TRANSACTION (not ROLLBACK TO), alone in its text */
	SW_V_READ_ONLY = 1u << 4,   /* with BEGIN or SET TRANSACTION: READ ONLY was said */
	SW_V_READ_WRITE = 1u << 5,  /* …: READ WRITE was said */
	SW_V_SERIALIZABLE = 1u << 6,/* …: ISOLATION LEVEL SERIALIZABLE was said (T15) */
	SW_V_TXN_MODE = 1u << 7,    /* SET TRANSACTION …, SET [LOCAL] transaction_read_only / _isolation …, alone in its text (T14) */
	SW_V_SAVEPOINT = 1u << 8,   /* SAVEPOINT, RELEASE, ROLLBACK TO, alone in its text */
	SW_V_SETS = 1u << 9,        /* changes session settings for longer than the transaction; names[] says which */
	SW_V_RESET_ALL = 1u << 10,  /* RESET ALL */
	SW_V_DISCARD_ALL = 1u << 11,/* DISCARD ALL */
	SW_V_DDL = 1u << 12,        /* may change the catalog: functions, relations, rights */
	SW_V_MULTI = 1u << 13,      /* more than one statement in the text (T9) */
	SW_V_EMPTY = 1u << 14,      /* no statement at all: goes anywhere, is no event; with READ and NO_DATA */
	/*
	 * A read that a standby refused may run again on the primary (T16, T17). Every READ has it, since a
	 * READ calls nothing volatile that is not known to be harmless; but FETCH, MOVE and CLOSE (their
	 * cursor is on one node) and what calls a function of env->replica_functions (nobody here knows what
	 * it does).
	 */
	SW_V_RETRY = 1u << 15,
	SW_V_SEAWALL = 1u << 16,    /* SET / RESET / SHOW seawall.*, alone in its text: answered by the proxy; names[0], value */
	SW_V_SHOW = 1u << 17,       /* with SEAWALL: SHOW, not SET; a RESET has neither SHOW nor a value */
	SW_V_UNPARSED = 1u << 18,   /* the grammar refused it: the primary decides what is wrong with it */
	SW_V_LOCAL = 1u << 19,      /* with SEAWALL: SET LOCAL */
	SW_V_CALLS = 1u << 20,      /* the verdict rests on the catalog: classify again when that changes */
	SW_V_DEALLOCATE = 1u << 21, /* DEALLOCATE; alone in its text names[0] = the statement */
	SW_V_CONSTANTS = 1u << 23,    /* EXPLAIN: what an integer in it is, is a part of its meaning */
	SW_V_STABLE_CALLS = 1u << 24, /* calls a function that the catalog, and nobody else, says is stable */
	SW_V_ADVISORY = 1u << 25,     /* calls a function of advisory locks */
	SW_V_PASSING = 1u << 26,      /* changes settings for the rest of the transaction */
	SW_V_DEALLOCATE_ALL = 1u << 27, /* with DEALLOCATE: ALL, also among other statements */
	SW_V_RELEASES = 1u << 28,     /* may take away what pins its session: UNLISTEN, DROP, CLOSE, RESET ROLE … */
	SW_V_PLAIN_TABLE = 1u << 29,  /* CREATE TABLE that makes nothing which a replica would not have as it is (T7, T20) */
	SW_V_RESET = 1u << 22,      /* with SETS: RESET x or SET x TO DEFAULT, alone in its text */
};

/* Why a session has to stay on one server connection (of the primary). Bits; their texts: sw_pin_text. */
enum sw_pin {
	SW_PIN_TEMP = 1u << 0,       /* temporary tables (T19) */
	SW_PIN_PREPARE = 1u << 1,    /* SQL-level PREPARE (T65) */
	SW_PIN_LISTEN = 1u << 2,     /* LISTEN (T74) */
	SW_PIN_LOCK = 1u << 3,       /* session-level advisory locks (T73) */
	SW_PIN_CURSOR = 1u << 4,     /* DECLARE … WITH HOLD (T66) */
	SW_PIN_BACKEND = 1u << 5,    /* setseed, nextval, setval: state of one backend (T7) */
	/*
	 * Cannot be followed: set_config with a computed name, DO, CALL …, and what a volatile or unknown
	 * function may have set (T59).
	 */
	SW_PIN_SETTING = 1u << 6,
	SW_PIN_ROLE = 1u << 7,       /* SET ROLE, SET SESSION AUTHORIZATION */
	SW_PIN_LOAD = 1u << 8,       /* LOAD 'library' */
	SW_PIN_UNSEEN = 1u << 9,     /* not parsed: too long, or refused by the grammar, not by the server */
	SW_PIN_SEQUENCE = 1u << 10,  /* currval, lastval: and it has to run where its session used a sequence (T7) */
};
#define SW_PIN_KINDS 11

/* "temporary table", "LISTEN", … for the lowest bit of pins; "" for 0. A constant. */
const char *sw_pin_text(uint32_t pins);

struct sw_verdict {
	struct sw_hint hint; /* of the text's leading comment */
	uint32_t flags;     /* enum sw_verdict_flag */
	uint32_t pins;      /* enum sw_pin: what running it leaves behind */
	uint32_t statements;/* how many statements the text holds */
	const char *reason; /* constant: why it must go to the primary ("INSERT", "volatile function" …), "read" or "empty" */
	uint8_t name_count; /* of names */
	char names[SW_SET_NAMES_MAX][SW_NAME_MAX]; /* lower-case setting names for SETS; the whole one, "seawall.x", for SEAWALL */
	/*
	 * With SEAWALL: the value of SET as text; "" with SHOW and RESET. One that is too long is cut to 255
	 * bytes: refuse those.
	 */
	char value[256];
};

struct sw_classify_env {
	const struct sw_catalog *catalog; /* of the session's database; NULL = none known: what is not built in is unknown */
	/*
	 * NULL-ended lists, or NULL: names as in the parse tree, "name" or "schema.name". primary_functions
	 * forces the primary, also for a call of name() without its schema; who lists a function there vouches
	 * that it sets nothing for the session, so it does not pin. replica_functions declares harmless what is
	 * called as listed ("name": with any schema or none). Neither can free functions that are known to leave
	 * something behind in their backend (nextval …).
	 */
	const char *const *primary_functions, *const *replica_functions;
	bool standard_conforming_strings; /* off: a backslash escapes (T18) */
	/*
	 * client_encoding is one where 0x5c may end a letter (SJIS, SHIFT_JIS_2004, BIG5, GBK, GB18030, UHC,
	 * JOHAB): only ASCII texts are parsed (T18).
	 */
	bool unsafe_encoding;
};

/*
 * Classifies text[0..len), len at most SW_STATEMENT_BYTES_MAX; a NUL inside makes it UNPARSED. Always gives a
 * verdict. One of 1 MB may take 0.3 s and 200 MB for a moment; usual ones take microseconds.
 */
void sw_classify(const char *text, size_t len, const struct sw_classify_env *env,
	struct sw_verdict *ret_verdict);

#endif
