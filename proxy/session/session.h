/*
 * One client's life, from accept to close. One thread (the worker's).
 *
 *	startup → [wait_secret →] auth [→ wait_pam] → welcome → ready ─┬→ waiting for a node ─┬→ unit ─→ ready
 *	   └───────────→ refused ←─┴──────────┘                   ↑    ├→ waiting for a server ┤     └→ reading settings
 *	                                                          │    └→ bringing settings ───┘        back ─→ ready
 *	                                                          └─ a step that had to wait is simply taken again from its
 *	                                                             first byte
 *
 * A unit of work is one Query, one FunctionCall, or all messages up to Sync. It runs on one node, decided before its first byte
 * is sent, and one is under way at a time: what a client sends ahead stays in its buffer until ReadyForQuery. Between the
 * units of a transaction, and while something pins it, the session keeps its server connection.
 */
#ifndef SW_SESSION_SESSION_H
#define SW_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/base/list.h"
#include "proxy/net/stream.h"
#include "proxy/pool/plans.h"
#include "proxy/pool/pool.h"
#include "proxy/session/engine.h"
#include "router/choose.h"
#include "router/classify.h"
#include "router/floor.h"
#include "router/token.h"

struct sw_auth_keys;
struct sw_known;
struct sw_pam_ask;
struct sw_refusal;
struct sw_verdict;
struct sw_verifier;

/* The value in session->touched of a setting that was reset: it goes back to what the startup packet said. */
#define SW_TOUCHED_BY_RESET "reset"

enum sw_session_state {
	SW_SESSION_STARTUP,
	SW_SESSION_WAIT_SECRET, /* for what auth_query says of the user */
	SW_SESSION_AUTH,
	SW_SESSION_WAIT_PAM,    /* for what PAM says of the password */
	SW_SESSION_REFUSED,     /* its refusal is held back */
	SW_SESSION_WELCOME,     /* waits for a server connection that says what the parameters are */
	SW_SESSION_READY,
	SW_SESSION_WAIT_NODE,   /* for a replica that reaches the floor, or for a primary */
	SW_SESSION_WAIT_SERVER, /* in a pool's queue */
	SW_SESSION_ROUND,       /* a round of Seawall's own on its server connection */
	SW_SESSION_UNIT,        /* a unit of work is under way */
	SW_SESSION_CONSOLE,     /* waits for the console's answer */
	SW_SESSION_CLOSING,
	SW_SESSION_STATES,
};

/* Why a session ended: a metric label and a log text. */
enum sw_session_end {
	SW_END_CLIENT,     /* Terminate, or the client closed */
	SW_END_LOGIN,      /* refused before it was let in */
	SW_END_PROTOCOL,   /* the client broke the protocol */
	SW_END_TIMEOUT,    /* client_login_timeout, client_idle_timeout, idle_transaction_timeout */
	SW_END_SERVER,     /* the server connection that held its state is gone */
	SW_END_CANCEL,     /* it only delivered a cancel request */
	SW_END_SHUTDOWN,
};

/* One message to the server whose answer has to be told apart. */
enum sw_expect_kind {
	SW_EXPECT_PARSE,        /* '1' for the client */
	SW_EXPECT_OWN_PARSE,    /* '1' of a Parse that Seawall put in */
	SW_EXPECT_SECOND_PARSE, /* an error, since the name is taken */
	SW_EXPECT_FAKE_PARSE,   /* nothing was sent: the client gets '1' in its turn */
	SW_EXPECT_BIND,         /* '2' */
	SW_EXPECT_DESCRIBE,     /* 'T' or 'n' (behind 't' where it is of a statement) */
	SW_EXPECT_EXECUTE,      /* up to 'C', 'I' or 's' */
	SW_EXPECT_CLOSE,        /* '3' for the client */
	SW_EXPECT_OWN_CLOSE,    /* '3' of a Close that Seawall put in */
	SW_EXPECT_FAKE_CLOSE,   /* nothing was sent: the client gets '3' in its turn */
	/* DEALLOCATE of what Seawall keeps, amid a pipeline: */
	SW_EXPECT_FAKE_BIND,    /* '2' */
	SW_EXPECT_FAKE_NO_DATA, /* 'n', of the portal */
	SW_EXPECT_FAKE_NO_ROWS, /* 't' and 'n', of the statement */
	SW_EXPECT_FAKE_DEALLOCATE, /* 'C'; the plan's statement takes effect */
};

struct sw_expect {
	uint8_t kind;
	bool is_unnamed;        /* it is of the unnamed statement */
	bool is_told;           /* with DESCRIBE: its answer is to be noted (shapes.c) */
	struct sw_plan *plan;   /* what is prepared, run, described or closed; a reference */
	struct sw_plan *before; /* with PARSE kinds and CLOSE of the unnamed statement: the one before; a reference */
	/* The client's name for it; owned; NULL = unnamed. Only with PARSE kinds and FAKE_CLOSE, and where no plan has it. */
	char *name;
};

/* A problem that came up while the unit waited; told in its place in line. */
struct sw_kept_problem {
	char sqlstate[6], message[256], detail[256], hint[256];
};

struct sw_unit {
	struct sw_unit *next_spare;
	struct sw_kept_problem *problem; /* NULL = none */
	struct sw_expect *expects;  /* a ring */
	uint32_t expect_first, expect_count, expect_size;
	struct sw_buf request;      /* what was sent to a replica, to be sent again elsewhere */
	struct sw_statement *statement; /* of a unit of one statement, else NULL; a reference */
	const char *why;            /* text of the verdict */
	uint32_t statements;        /* how many it has, as far as is known */
	uint32_t flags, pins;       /* union over its statements (enum sw_verdict_flag, enum sw_pin) */
	uint32_t common;            /* the flags that all of them have */
	uint32_t excluded;          /* nodes that have failed it */
	int64_t started_ns, waiting_since_ns, deadline_ns;
	int64_t settle_deadline_ns; /* of its wait until the primary shows what a replica has shown; 0 = it has not waited */
	struct sw_token token;      /* with has_token: of hints, to be brought before the unit is routed */
	uint8_t level;              /* enum sw_consistency: the strongest that any of its statements asks for */
	bool has_hint, has_token;
	enum sw_route_reason forced; /* not NONE: to the primary, for this reason */
	size_t scanned;             /* bytes of the batch that were looked at ahead and are not sent yet */
	char their_name[SW_NAME_MAX + 8]; /* what the server calls the statement that failed; "" = unknown */
	char our_name[SW_NAME_MAX];       /* what the client calls it */
	bool is_whole;              /* the batch was looked at up to its Sync */
	bool is_again;              /* a second try */
	bool is_extended, is_sent;  /* sent: its last message has gone to the server */
	bool is_own_sync;           /* its last message is a Sync of Seawall's own: the client does not see ReadyForQuery */
	bool is_prepare_only;       /* Parse, Describe and Close up to a Flush: nothing runs */
	bool has_executed;          /* an Execute has gone to the server */
	bool has_deallocated_all;   /* the server has told so */
	bool is_awaited;            /* a query waits behind it for its answers */
	bool has_named;             /* it speaks of a named statement */
	bool has_blind;             /* it runs a statement without asking what its rows are */
	bool is_read;               /* may run on a replica */
	bool is_final;              /* has effects on the session of its own: never run again */
	bool is_unsynced;           /* runs without the session's settings, which cannot be set: it replaces them */
	int32_t dry_node;           /* dry_run: the replica that would have served it */
	bool is_diverted;           /* a read on the primary in place of a replica: it has a place among engine->primary_reads */
	bool has_seen_early;        /* a replica had shown a commit before the primary did, while it waited for that */
	bool has_bound;             /* level strong: what had happened when it arrived is in the session's floor */
	bool is_wary;               /* calls functions that may be others since the catalog was read */
	bool may_retry;             /* request is complete and nothing has been forwarded */
	bool has_failed;            /* an ErrorResponse came: everything up to Sync is skipped */
	bool was_refused;           /* it did not pass parsing or analysis: nothing of it was executed */
	bool is_retrying;           /* its answer is being dropped up to ReadyForQuery */
	bool may_heal;              /* request is complete, one statement, and nothing has been forwarded */
	bool is_healing;            /* its plan is stale or gone: it will be prepared anew, then the unit runs again */
	struct sw_plan *own_portal; /* DEALLOCATE that was bound, to the portal of that name; a reference; NULL = none */
	char own_portal_name[SW_NAME_MAX];
	struct sw_plan *bound;      /* the named plan whose portal has no name; a reference; NULL = none */
	struct sw_plan *faulty;     /* that the server has refused; a reference; NULL = none */
	size_t asked_upto;          /* so many bytes of the batch need not be looked at again (shapes.c) */
	struct sw_plan *asked;      /* whose rows the server is being asked for (shapes.c); a reference; NULL = none */
	bool is_copy_in;            /* the server wants CopyData */
	bool was_in_transaction;    /* when it began */
};

/* What SHOW seawall.last_route tells. */
struct sw_route {
	int32_t node;                 /* -1 = none yet */
	int32_t dry_node;             /* with SW_ROUTE_DRY: the replica that would have been it */
	enum sw_route_reason reason;
	const char *why;              /* the verdict's text */
	struct sw_position floor, at;
	uint32_t waited_us;
};

struct sw_session {
	struct sw_stream stream;
	struct sw_engine *engine;
	struct sw_list entry;         /* engine->sessions */
	struct sw_list wait_entry;    /* engine->waiting_floor */
	struct sw_pool_waiter waiter;
	enum sw_session_state state;
	uint32_t slot;                /* in engine->slots; in the cancel key's pid */
	uint64_t number;              /* in logs and on the console; never used again */
	struct sw_buf in;             /* bytes of the client that wait */
	size_t pass;                  /* bytes of the present message that only pass to the server */
	size_t pass_over;             /* bytes of a refused message that are dropped */
	struct sw_verifier *verifier;
	struct sw_pam_ask *pam;       /* what PAM is asked, or is going to be; NULL = nothing */
	struct sw_refusal *refusal;   /* held back; NULL = none */
	struct sw_auth_keys *keys;    /* of a user of auth_query or PAM, held so that his secret is kept; NULL = none */
	int64_t login_ns;             /* when the exchange was to begin: an older answer of auth_query may be out of date */
	struct sw_database *database; /* NULL until the client has proven who it is */
	char *wanted;                 /* name of the database, until then */
	char *user;
	struct sw_server *server;     /* linked; NULL between units */
	struct sw_pool *pools[2];     /* those of its last units on replicas and on the primary: they live as long as the worker */
	struct sw_unit *unit;         /* under way; NULL = none */
	struct sw_settings *startup_vars, *vars, *params;
	struct sw_settings *facts;    /* what it will be told, while it waits for the first catalog of its database; else NULL */
	struct sw_settings *parse_vars, *parse_vars_of; /* those of vars that Parse depends on; NULL before the first */
	struct sw_plan_names plans;
	struct sw_plan *unnamed;      /* what its unnamed statement is (T62) */
	uint64_t unnamed_serial;      /* of that; never used again, not even by another session */
	char *begin;                  /* text of the BEGIN READ ONLY that opened the transaction on a replica, and of what was
	                               * said after it; NULL = that is not all that was done in it (T14) */
	struct sw_floor floor;
	struct sw_token token;        /* with has_token: of the startup packet, until it is known to be good */
	int64_t asked_ns;             /* since when seawall.token waits for a sample of the primary (token.c); 0 = it does not */
	struct sw_route route;
	uint32_t pins;                /* enum sw_pin */
	int32_t sticky;               /* the replica of its last read, -1 = none */
	int64_t since_ns, active_ns;  /* accept; last byte of the client */
	uint64_t queries, seen_queries; /* seen: at the last tick, to tell who is idle */
	struct sw_settings *touched;  /* names of settings that the transaction may have changed; NULL = none */
	uint8_t level, pool_mode;
	char txn_status;              /* what the client was told last: 'I', 'T', 'E' */
	char address[48];             /* of the client */
	uint16_t port;
	uint8_t encryption_requests;
	uint8_t secret_len;           /* how much of secret is the cancel key's: 4 in protocol 3.0, all of it from 3.2 on */
	uint8_t secret[SW_CANCEL_SECRET_BYTES];
	uint8_t auth_method;          /* enum sw_auth_method */
	bool is_secret_old;           /* the verifier's is from before login_ns: it is asked for again before a refusal */
	bool is_direct_tls;           /* TLS from the first byte, without SSLRequest */
	bool is_console, is_admin;
	bool has_level;               /* the client has set seawall.consistency itself */
	bool has_token;
	bool is_cancelled;            /* what waits for that sample */
	bool has_hints;               /* it honours hints */
	bool has_event;               /* the transaction has seen or changed data */
	bool has_failed_txn;          /* an error came in it */
	bool may_release;             /* what pins it may be gone: the server is to be asked */
	bool has_ddl;                 /* it may have changed the catalog */
	bool has_calls;               /* … by what may do anything: a volatile function, unknown syntax */
	bool has_new_relations;       /* … by a command that does so in plain words */
	bool has_passing;             /* it has changed settings that end with it */
	bool is_skipping;             /* an extended batch has failed: the client's messages are dropped up to Sync */
	bool is_rolled_back;          /* moving a read-only transaction to the primary: it was rolled back, begin comes next */
	bool was_told_end;            /* the server's FATAL error has reached the client */
	bool is_resuming;
	bool is_settling;             /* it waits in waiting_settled, not for a sample */
};

/* Accepts a client from a listener. */
void sw_session_accept(struct sw_engine *engine, uv_stream_t *listener);
void sw_session_close(struct sw_session *session, enum sw_session_end why);
/* Sends the problem (FATAL) and closes. */
void sw_session_die(struct sw_session *session, enum sw_session_end why, const struct sw_problem *problem);

/* Takes up what was left: called whenever something that the session waited for has happened. */
void sw_session_resume(struct sw_session *session);

void sw_session_send(struct sw_session *session, struct sw_buf *messages); /* writes and clears */
const char *sw_session_state_text(enum sw_session_state state);
const char *sw_session_end_text(enum sw_session_end why);

/* The console's answer for the session of that number: whole messages without ReadyForQuery. */
void sw_session_console_reply(struct sw_engine *engine, uint64_t number, const void *messages, size_t len);

/* A cancel request with one of this worker's keys. */
void sw_session_cancel(struct sw_engine *engine, const struct sw_cancel_key *key);

/* A new view came: waiting sessions look again. */
void sw_sessions_on_view(struct sw_engine *engine);
/* Every quarter of a second: time-outs. */
void sw_sessions_tick(struct sw_engine *engine, int64_t now_ns);
/* No new work; idle sessions end now, the others where they become idle. */
void sw_sessions_drain(struct sw_engine *engine);
/* A catalog has come, or time has passed: who waits for the first one of a database is let in. */
void sw_sessions_on_catalog(struct sw_engine *engine);
/* The configuration has changed: sessions that have set no level of their own follow it. */
void sw_sessions_apply_config(struct sw_engine *engine);
void sw_sessions_close_all(struct sw_engine *engine);

/* ---- between the files of this folder */

/* refuse.c: the client has not proven who it is, and is told so after auth_failure_delay. */
void sw_refuse_later(struct sw_session *session, const char *sqlstate, const char *message, const char *hint);
void sw_refusal_free(struct sw_refusal *refusal); /* it will not be told; takes NULL */

/* login.c: bytes before the session is let in. How many were used. */
size_t sw_login_consume(struct sw_session *session, const uint8_t *bytes, size_t len);
/* login.c: what auth_query says of the user; NULL: he could not be looked up. The session may be gone. */
void sw_login_on_secret(struct sw_engine *engine, uint32_t slot, uint64_t number, const struct sw_known *known);
/* login.c: the client has proven who it is. */
void sw_login_welcome(struct sw_session *session);
/* login_pam.c: the client has sent the password for PAM. */
void sw_login_ask_pam(struct sw_session *session);
/* login_pam.c: what PAM says. The session may be gone. */
void sw_login_on_pam(struct sw_engine *engine, const struct sw_pam_ask *ask);
/* login_pam.c: the password is wrong, or cannot be right. */
void sw_login_refuse_by_pam(struct sw_session *session, const char *why);
/* login.c: a server connection has told the parameters, or there was a problem. */
void sw_login_on_server(struct sw_session *session);
/* login.c: the first catalog has come, or the time for it is over; for sessions that wait for it. */
void sw_login_on_catalog(struct sw_session *session);
/* login.c: the settings have been brought to the server connection. */
void sw_login_on_synced(struct sw_session *session);

/* input.c: bytes of a session that is let in. How many were used; 0 = it has to wait. */
size_t sw_input_consume(struct sw_session *session, const uint8_t *bytes, size_t len);

/* input.c: may a message of that type not be so long (total: all its bytes)? */
bool sw_input_is_too_long(uint8_t type, size_t total);

/* unit.c */
struct sw_unit *sw_unit_begin(struct sw_session *session);
void sw_unit_free(struct sw_engine *engine, struct sw_unit *unit); /* to the spare ones; takes NULL */
void sw_units_free(struct sw_engine *engine);                      /* the spare ones; at the end of the worker */
void sw_unit_add(struct sw_session *session, struct sw_unit *unit, struct sw_statement *statement);
/* unit.c: the server connection is not needed any more, unless something holds it; then the session is ready. */
void sw_unit_release(struct sw_session *session);
void sw_unit_expect(struct sw_unit *unit, enum sw_expect_kind kind, struct sw_plan *plan, const char *name);
struct sw_expect *sw_unit_expected(struct sw_unit *unit); /* the oldest, NULL where none */
struct sw_expect *sw_unit_last_expected(struct sw_unit *unit); /* there is one */
bool sw_expect_is_fake(const struct sw_expect *expect); /* Seawall answers it */
/* The oldest that the server answers, NULL where none. */
struct sw_expect *sw_unit_expected_of_server(struct sw_unit *unit);
void sw_unit_expected_done(struct sw_session *session, struct sw_unit *unit);
void sw_unit_expect_nothing(struct sw_session *session, struct sw_unit *unit);
/* unit.c: another unnamed statement, or none. */
void sw_session_set_unnamed(struct sw_session *session, struct sw_plan *plan);
/* unit.c: ReadyForQuery has come and was forwarded. */
void sw_unit_end(struct sw_session *session);
/* unit.c: the unit runs again elsewhere; the session is ready and its request first in line. */
void sw_unit_again(struct sw_session *session);
/*
 * unit.c: an error of Seawall's own in place of the unit's answer, before any of it was sent; the session goes on. Only for
 * the step that is going to use up the unit's message; who finds the problem later keeps it and resumes.
 */
void sw_unit_fail(struct sw_session *session, const struct sw_problem *problem);
void sw_unit_keep_problem(struct sw_unit *unit, const struct sw_problem *problem);
/* unit.c: takes the server connection away from the session and gives it back to its pool. */
void sw_unit_detach(struct sw_session *session);

/* pins.c: from now on these hold. */
void sw_pins_add(struct sw_session *session, uint32_t pins);
/* pins.c: has the session done what may have ended its pins, and can the server be asked? */
bool sw_pins_may_be_gone(const struct sw_session *session);
/* pins.c: asks it; then sw_unit_release. */
void sw_pins_ask(struct sw_session *session);

/* route.c: a server connection for the unit, with the session's settings. */
enum sw_route_step { SW_ROUTE_GO, SW_ROUTE_WAIT, SW_ROUTE_ENDED };
enum sw_route_step sw_route_unit(struct sw_session *session, struct sw_unit *unit);
/* route.c: a server connection for the login; NULL: sw_login_on_server is called when there is one. */
struct sw_server *sw_route_take_for_login(struct sw_session *session, struct sw_pool *pool);
/* route.c: waits for the next word of the primary; false where the unit has waited for query_wait_timeout. */
bool sw_route_await_primary(struct sw_session *session, struct sw_unit *unit);
/* route.c: leaves whatever queue it stands in. */
void sw_route_stop_waiting(struct sw_session *session);
void sw_route_on_floor_timer(uv_timer_t *timer);

/* settings_sync.c: true where the linked server connection has the session's settings; else a round is under way and the
 * session is in state ROUND. */
bool sw_sync_settings(struct sw_session *session);
/* settings_sync.c: reads back what the unit may have set; then the session is ready. */
void sw_sync_read_back(struct sw_session *session);

/*
 * settings_sync.c: RESET and RESET ALL in a transaction went back to the server's defaults; the session's are what its startup
 * packet said (manual, RESET). True where a round brings those.
 */
bool sw_sync_restore(struct sw_session *session, const struct sw_verdict *verdict);

/* relay.c: answers that Seawall gives in place of the server, where it is their turn. */
void sw_relay_emit_fakes(struct sw_session *session);
/* relay.c: may what a replica refuses with that error run elsewhere? */
bool sw_relay_is_worth_retrying(const char *sqlstate);
/* relay.c: the hooks of server.c. */
extern const struct sw_server_hooks sw_relay_hooks;

/* extended.c: the extended query messages. Like sw_input_consume. */
size_t sw_extended_consume(struct sw_session *session, const uint8_t *bytes, size_t len);
/* extended.c: does it belong to a batch, or end one? */
bool sw_extended_has(char type);
/*
 * extended.c, for what is being built: Close of plans that the server connection is to give up for another. NULL: not in a
 * unit, whose answers have to be expected.
 */
void sw_extended_make_room(struct sw_session *session, struct sw_unit *unit);
/* extended.c, for what is being built: Parse of a plan, with the types that clients were told. */
void sw_extended_add_parse(struct sw_session *session, const char *name, const struct sw_plan *plan);

/* shapes.c: is a message of the server, which comes next, to be given to sw_shapes_note? */
bool sw_shapes_want(struct sw_session *session, char type);
/* shapes.c: the client is being told what the statement's parameters or rows are. */
void sw_shapes_note(struct sw_session *session, char type, const uint8_t *body, size_t len);
/*
 * shapes.c: does all that the batch (bytes[0..unit->scanned)) runs give what the client was told? GO: yes. WAIT: the server
 * is being asked. ENDED: no, and the client was told so.
 */
enum sw_route_step sw_shapes_ask(struct sw_session *session, struct sw_unit *unit, const uint8_t *bytes);

/*
 * local.c: sends what is being built, which ends in an error of Seawall's own, and ReadyForQuery. In a transaction the server
 * has to hear of it first: then a round is under way.
 */
void sw_local_end_in_error(struct sw_session *session);
/* local.c: what Seawall answers itself: SET and SHOW seawall.…, DEALLOCATE of what it prepared, the console. */
struct sw_statement;
/* True where the simple query was one of those; it is answered then (or the session waits for the console). */
bool sw_local_query(struct sw_session *session, struct sw_statement *statement);
/* SET seawall.consistency; NULL, or a constant problem that says why not. */
const struct sw_problem *sw_local_set_level(struct sw_session *session, const char *value);
/* SET of a name that is none of the settings of seawall. */
const struct sw_problem *sw_local_no_such_setting(const char *name);
/* Level and hints as the configuration has them now; a level that the client has set is kept where it still may be. */
void sw_local_apply_config(struct sw_session *session);
/* DEALLOCATE of a statement that Seawall keeps, or of all. */
bool sw_local_is_deallocate(const struct sw_session *session, const struct sw_statement *statement);
/* Its effect; the tag of CommandComplete. */
const char *sw_local_deallocate(struct sw_session *session, const struct sw_statement *statement);
/* Is the statement one of those? */
bool sw_local_is(const struct sw_session *session, const struct sw_statement *statement);
/* Answers a batch of extended messages up to Sync or Flush, all of them about such statements. */
void sw_local_batch(struct sw_session *session, const uint8_t *bytes, size_t len);

/* hint.c: what the hint of a statement, which is being added to the unit, asks of it. */
void sw_hint_apply(struct sw_session *session, struct sw_unit *unit, const struct sw_hint *hint);
/* hint.c: does the unit run on a replica, chosen before it came, that cannot do what its hints ask for? */
bool sw_hint_is_unmet(struct sw_session *session, const struct sw_unit *unit);

/* token.c: can a SHOW or SET of seawall.token be answered now? True for every other statement. */
bool sw_token_is_known(struct sw_session *session, const struct sw_statement *statement);
/* token.c: waits for the primary's next sample; false where that has taken query_wait_timeout. */
bool sw_token_wait(struct sw_session *session);
/* token.c: the statement that may have waited has its answer. */
void sw_token_answered(struct sw_session *session);
/*
 * token.c: a message comes first in line that had to wait for one, or before which the token of the startup packet is to be
 * brought. False where it has to wait (again), or the session has ended.
 */
bool sw_token_resume(struct sw_session *session);
/* token.c: the startup packet has one. NULL, or what is wrong with it. */
const struct sw_problem *sw_token_remember(struct sw_session *session, const char *text);
/* token.c: false where that is refused, and the session has ended. */
bool sw_token_may_enter(struct sw_session *session);
/* token.c: SET seawall.token, SHOW seawall.token (out[SW_TOKEN_TEXT_MAX]). NULL, or what is wrong. */
const struct sw_problem *sw_token_set(struct sw_session *session, const char *text);
const struct sw_problem *sw_token_show(struct sw_session *session, char *out);
/* token.c: a hint carries one. NULL, or what is wrong with it. */
const struct sw_problem *sw_token_hinted(struct sw_session *session, struct sw_unit *unit, const struct sw_token *token);
/* token.c: the unit's has_token; brings it to the session's floor. */
enum sw_route_step sw_token_bring(struct sw_session *session, struct sw_unit *unit);

/* input.c: what is in force, set by the client or reported by the server (enum sw_settings_flag). */
uint32_t sw_session_settings_flags(const struct sw_session *session);
/* input.c: classifies a text for this session; valid until the next call, longer with a reference. */
struct sw_statement *sw_session_statement(struct sw_session *session, const char *text, size_t len);
/*
 * input.c: a statement that is too long to be parsed, which goes to the primary and keeps the session there; and a FunctionCall.
 * Never written to.
 */
extern struct sw_statement sw_unseen_statement, sw_call_statement;
/* input.c: classifies a text that is not prepared; like sw_session_statement. */
struct sw_statement *sw_session_query(struct sw_session *session, const char *text, size_t len);
/* input.c: a simple query destroys the unnamed statement (T62). */
void sw_session_forget_unnamed(struct sw_session *session);
/* input.c: the plan for a text in this session; a reference. */
struct sw_plan *sw_session_plan(struct sw_session *session, const char *text, const uint8_t *types, uint16_t type_count);

#endif
