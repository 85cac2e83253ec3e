/*
 * The verdict cache of one worker: statement bytes -> verdict. Keyed by the full bytes, never by a
 * fingerprint (`BEGIN READ ONLY` and `BEGIN READ WRITE` share one), together with what else decides how a
 * text reads: the database and how strings are lexed. Entries are counted: prepared statements keep theirs
 * alive after it left the cache. One thread.
 */
#ifndef SW_ROUTER_VERDICTS_H
#define SW_ROUTER_VERDICTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/list.h"
#include "router/classify.h"

struct sw_verdicts;

/*
 * Immutable but for learned_primary, and for a verdict that a new catalog changed: see sw_statement_refresh.
 */
struct sw_statement {
	struct sw_verdict verdict;
	uint64_t hash;           /* of text, database and lexer state; the same on every worker */
	uint32_t refs;           /* the cache's own, and prepared statements' */
	uint32_t len;
	uint32_t database;       /* the caller's number for the database */
	bool learned_primary;    /* a standby refused it once: never a replica again (T16) */
	bool is_cached;
	/* The cache's own. */
	struct sw_list in_queue;   /* the next to be driven out first */
	bool was_used;             /* since it was put at the end of the queue */
	uint8_t lexing;            /* what besides the bytes decides how they are read */
	uint64_t catalog_version;  /* that the verdict was made under; 0 = no catalog */
	struct sw_statement *next; /* with the same bucket */
	const char *text;          /* len bytes and a NUL */
};

/*
 * A text longer than max_text_bytes / SW_VERDICT_SHARE is classified but not kept: it would drive out many
 * others.
 */
#define SW_VERDICT_SHARE 64

/*
 * max_entries and max_text_bytes at least 1. The memory of max_entries grows as they come: about 1.4 kB each.
 */
struct sw_verdicts *sw_verdicts_new(size_t max_entries, size_t max_text_bytes);
/* Takes NULL. Statements that others refer to live on. */
void sw_verdicts_free(struct sw_verdicts *cache);

/* Forgets all entries: the function lists of the configuration changed. */
void sw_verdicts_clear(struct sw_verdicts *cache);

/*
 * The statement for text, classified on a miss. The result stays valid until the next call with this cache,
 * longer where the caller takes a reference. Verdicts with SW_V_CALLS made under another catalog version are
 * made again (learned_primary is kept). A hit: no allocation, at most 200 ns for usual lengths.
 */
struct sw_statement *sw_verdicts_get(struct sw_verdicts *cache, const char *text, size_t len, uint32_t database,
	const struct sw_classify_env *env);

/*
 * The same where only the verdict is wanted, not the text: statements that differ in nothing but integer constants, as
 * applications without prepared statements send them, share one entry. The result's text may be of another of them.
 */
struct sw_statement *sw_verdicts_judge(struct sw_verdicts *cache, const char *text, size_t len, uint32_t database,
	const struct sw_classify_env *env);

void sw_statement_ref(struct sw_statement *statement);
void sw_statement_unref(struct sw_statement *statement);

/*
 * For whoever kept a reference, before each use of the verdict (T63): makes it again, in place, where it
 * rests on another catalog than env's. The text is read as it was when the statement was made. Cheap where
 * nothing changed.
 */
void sw_statement_refresh(struct sw_statement *statement, const struct sw_classify_env *env);

struct sw_verdicts_stats {
	uint64_t hits, misses, evictions;
	size_t entries, text_bytes;
};
void sw_verdicts_stats(const struct sw_verdicts *cache, struct sw_verdicts_stats *ret_stats);

#endif
