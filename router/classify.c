/*
 * The classifier's front: decides whether a text may be parsed at all, parses it in an arena of libpg_query,
 * has every statement scanned and puts the verdict together. Any thread; libpg_query keeps its state per
 * thread and gives it back when the thread ends.
 *
 * Invariant: whatever happens, there is a verdict, and where the text was not understood it is the primary's
 * (T10). The arena is gone when sw_classify returns, so a verdict holds constants and copies only.
 *
 * Not here: what the parts of a text mean (classify_walk.c, classify_utility.c, classify_set.c), and the
 * cache (verdicts.c).
 */
#include "router/classify_tree.h"

#include <stdlib.h>

#include <utils/elog.h>

#include "router/classify_text.h"

/*
 * The most that one parse may use: a text of 1 MB takes up to 120 MB; SET a.a.a…, quadratic in libpg_query,
 * takes more.
 */
#define ARENA_BYTES_MAX (192 * 1024 * 1024)

/*
 * libpg_query keeps these per thread, unlike the server, whose header says otherwise; so they are declared
 * here.
 */
extern __thread bool standard_conforming_strings;
extern __thread bool escape_string_warning;

/* One parse's memory: an arena of libpg_query whose methods are replaced by the same with a limit. */
struct arena {
	MemoryContext context;
	const MemoryContextMethods *usual;
	MemoryContextMethods limited;
};

static _Thread_local const struct arena *arena_in_use;

/* ereport leaves through the parser's own error path: pg_query_raw_parse reports it like a syntax error. */
static void check_limit(MemoryContext context, Size bytes)
{
	if (context->mem_allocated > ARENA_BYTES_MAX || bytes > ARENA_BYTES_MAX - context->mem_allocated)
		ereport(ERROR, (errmsg_internal("statement needs too much memory to parse")));
}

static void *limited_alloc(MemoryContext context, Size bytes)
{
	check_limit(context, bytes);
	return arena_in_use->usual->alloc(context, bytes);
}

static void *limited_realloc(MemoryContext context, void *mem, Size bytes)
{
	check_limit(context, bytes);
	return arena_in_use->usual->realloc(context, mem, bytes);
}

static void arena_init(struct arena *arena)
{
	arena->context = pg_query_enter_memory_context();
	arena->usual = arena->context->methods;
	arena->limited = *arena->usual;
	arena->limited.alloc = limited_alloc;
	arena->limited.realloc = limited_realloc;
	arena->context->methods = &arena->limited;
	arena_in_use = arena;
}

static void arena_fini(struct arena *arena)
{
	arena->context->methods = arena->usual;
	pg_query_exit_memory_context(arena->context);
	arena_in_use = NULL;
}

const char *sw_pin_text(uint32_t pins)
{
	static const char *const texts[] = {"temporary table", "PREPARE", "LISTEN", "session advisory lock",
		"cursor WITH HOLD", "state of one backend", "setting that cannot be followed", "SET ROLE",
		"LOAD", "statement that was not parsed", "sequence value of one backend"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (pins & UINT32_C(1) << i)
			return texts[i];
	return "";
}

/* The primary finds out what it is; until it has refused it, it may have left anything behind. */
static void set_unparsed(struct sw_verdict *verdict, const char *reason)
{
	*verdict = (struct sw_verdict){.flags = SW_V_UNPARSED, .pins = SW_PIN_UNSEEN, .reason = reason};
}

static void set_empty(struct sw_verdict *verdict)
{
	verdict->flags = SW_V_EMPTY | SW_V_READ | SW_V_NO_DATA;
	verdict->reason = "empty";
}

/*
 * Several statements are one implicit transaction (T9): what every one of them is, the text is; what one of
 * them leaves behind, the text leaves behind. Flags that steer a transaction say nothing here: ReadyForQuery
 * does (T27).
 */
static uint32_t combine(struct sw_scan *scan, uint32_t every, uint32_t some)
{
	if (some & SW_V_RESET_ALL && some & (SW_V_BEGIN | SW_V_END))
		scan->verdict->pins |= SW_PIN_SETTING; /* it may be rolled back: too rare to follow */
	return SW_V_MULTI | (every & SW_V_NO_DATA) | (some & (SW_V_DDL | SW_V_SETS | SW_V_RESET_ALL | SW_V_DEALLOCATE | SW_V_CONSTANTS | SW_V_PASSING));
}

static void scan_tree(struct sw_scan *scan, const List *tree, const char *text, size_t len)
{
	struct sw_verdict *verdict = scan->verdict;
	uint32_t every = ~UINT32_C(0), some = 0;
	const ListCell *cell;

	verdict->statements = (uint32_t)list_length(tree);
	scan->is_alone = verdict->statements == 1;
	foreach (cell, tree) {
		uint32_t name_count = verdict->name_count;
		uint32_t flags = sw_scan_statement(scan, ((const RawStmt *)lfirst(cell))->stmt);

		every &= flags;
		if (some & SW_V_RESET_ALL && (flags & SW_V_SETS || verdict->name_count > name_count))
			verdict->pins |= SW_PIN_SETTING; /* what holds then is not in the flags */
		some |= flags;
	}
	if (scan->is_ddl)
		some |= SW_V_DDL;
	/*
	 * CREATE FUNCTION pg_temp.f, CREATE TYPE pg_temp.t …: the name is in as many places as there are
	 * commands.
	 */
	if ((some & SW_V_DDL) && sw_text_has_word(text, len, "pg_temp"))
		verdict->pins |= SW_PIN_TEMP;
	verdict->flags |= scan->is_alone ? some : combine(scan, every, some);
	verdict->reason = scan->primary ? scan->primary : scan->catalog_primary;
	if (!verdict->reason) {
		verdict->reason = "read";
		verdict->flags |= SW_V_READ | (scan->overridden || scan->wants_no_retry ? 0 : SW_V_RETRY);
	}
	if (scan->asked_catalog)
		verdict->flags |= SW_V_CALLS;
}

/* What the grammar is not shown; NULL where it may see the text. */
static const char *unseen_reason(const char *text, size_t len, const struct sw_classify_env *env)
{
	if (len > SW_STATEMENT_BYTES_MAX)
		return "statement too long to parse";
	if (memchr(text, '\0', len))
		return "statement with a NUL";
	if (env->unsafe_encoding && sw_text_has_high_byte(text, len))
		return "client_encoding that cannot be parsed";
	if (!sw_text_is_cheap(text, len))
		return "statement too costly to parse";
	return NULL;
}

static void parse_and_scan(const char *text, size_t len, const struct sw_classify_env *env,
	struct sw_verdict *verdict)
{
	struct sw_scan scan = {.env = env, .verdict = verdict};
	PgQueryInternalParsetreeAndError parsed;
	struct arena arena;
	char *copy;

	arena_init(&arena);
	standard_conforming_strings = env->standard_conforming_strings;
	escape_string_warning = false;
	copy = palloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	parsed = pg_query_raw_parse(copy);
	if (parsed.error) {
		set_unparsed(verdict, "syntax that is not known");
		pg_query_free_error(parsed.error);
	} else if (!parsed.tree) {
		set_empty(verdict);
	} else {
		scan_tree(&scan, parsed.tree, text, len);
	}
	free(parsed.stderr_buffer);
	arena_fini(&arena);
}

void sw_classify(const char *text, size_t len, const struct sw_classify_env *env,
	struct sw_verdict *ret_verdict)
{
	const char *unseen = unseen_reason(text, len, env);

	*ret_verdict = (struct sw_verdict){.flags = 0};
	if (unseen)
		set_unparsed(ret_verdict, unseen);
	else
		parse_and_scan(text, len, env, ret_verdict);
	sw_hint_parse(text, len, &ret_verdict->hint);
}
