/*
 * Units of work: what is under way for a session, and what its end leaves behind: events, settings, pins.
 * Runs on the worker's thread. Invariant: a session has at most one unit; from its first byte on it has a server connection.
 * What is not here: where a unit runs (route.c), how its bytes pass (input.c, extended.c, relay.c).
 */
#include <assert.h>
#include <string.h>

#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/pool/quota.h"
#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "router/catalog.h"
#include "router/verdicts.h"

/* A longer request is not kept for a second try. */
#define REQUEST_BYTES_MAX (64 * 1024)

/* A unit that grew in a large pipeline gives its ring back. */
#define SPARE_EXPECTS_MAX 256

/*
 * Pins of a single statement that an error undoes, because what they stand for goes with the rollback. Not SETTING: it also
 * stands for procedures, which may have committed, and for functions that take locks.
 */
#define UNDONE_BY_ERROR (SW_PIN_TEMP | SW_PIN_PREPARE | SW_PIN_LISTEN | SW_PIN_CURSOR | SW_PIN_ROLE | SW_PIN_SEQUENCE)

/* Pins that a transaction on a replica does not leave behind. */
#define LOST_ON_REPLICA (SW_PIN_SETTING | SW_PIN_UNSEEN | SW_PIN_SEQUENCE)

struct sw_unit *sw_unit_begin(struct sw_session *session)
{
	struct sw_engine *engine = session->engine;
	struct sw_unit *unit = engine->spare_units;

	assert(!session->unit);
	if (unit) {
		engine->spare_units = unit->next_spare;
	} else {
		unit = SW_NEW(struct sw_unit);
		sw_buf_init(&unit->request, REQUEST_BYTES_MAX);
	}
	unit->common = UINT32_MAX;
	unit->level = session->level;
	unit->started_ns = sw_clock_ns();
	unit->was_in_transaction = session->txn_status != 'I';
	session->unit = unit;
	session->queries++;
	return unit;
}

static void free_expect(struct sw_engine *engine, struct sw_expect *expect)
{
	sw_plan_unref(engine->plans, expect->plan);
	sw_plan_unref(engine->plans, expect->before);
	sw_mem_free(expect->name);
}

static void drop_expects(struct sw_engine *engine, struct sw_unit *unit)
{
	for (; unit->expect_count > 0; unit->expect_count--) {
		struct sw_expect *expect = &unit->expects[unit->expect_first];

		free_expect(engine, expect);
		unit->expect_first = (unit->expect_first + 1) & (unit->expect_size - 1);
	}
}

void sw_unit_free(struct sw_engine *engine, struct sw_unit *unit)
{
	struct sw_buf request;
	struct sw_expect *expects;
	uint32_t expect_size;

	if (!unit)
		return;
	drop_expects(engine, unit);
	if (unit->is_diverted)
		sw_quota_give(engine->primary_reads);
	sw_plan_unref(engine->plans, unit->bound);
	sw_plan_unref(engine->plans, unit->faulty);
	sw_plan_unref(engine->plans, unit->asked);
	sw_plan_unref(engine->plans, unit->own_portal);
	if (unit->statement)
		sw_statement_unref(unit->statement);
	if (unit->expect_size > SPARE_EXPECTS_MAX) {
		sw_mem_free(unit->expects);
		unit->expects = NULL;
		unit->expect_size = 0;
	}
	sw_mem_free(unit->problem);
	sw_buf_clear(&unit->request);
	request = unit->request;
	expects = unit->expects;
	expect_size = unit->expect_size;
	*unit = (struct sw_unit){.next_spare = engine->spare_units,
		.request = request,
		.expects = expects,
		.expect_size = expect_size};
	engine->spare_units = unit;
}

void sw_units_free(struct sw_engine *engine)
{
	while (engine->spare_units) {
		struct sw_unit *next = engine->spare_units->next_spare;

		sw_buf_fini(&engine->spare_units->request);
		sw_mem_free(engine->spare_units->expects);
		sw_mem_free(engine->spare_units);
		engine->spare_units = next;
	}
}

/* A unit of several statements teaches nothing about any of them. */
static void forget_statement(struct sw_unit *unit)
{
	if (unit->statement)
		sw_statement_unref(unit->statement);
	unit->statement = NULL;
}

/*
 * Has some session changed functions, or relations, since the catalog was read (T5)? Then its word does not count until it
 * has been read again, which is asked for here once.
 */
static bool is_catalog_old(struct sw_session *session, enum sw_ddl kind)
{
	struct sw_database *database = session->database;
	int64_t ddl_ns = sw_board_ddl_ns(session->engine->board, kind, database->ddl_slot);

	if (ddl_ns == 0 || (database->catalog && sw_catalog_read_ns(database->catalog) > ddl_ns))
		return false;
	if (database->ddl_asked_ns < ddl_ns) {
		database->ddl_asked_ns = ddl_ns;
		session->engine->hooks->on_want_catalog(session->engine, database->dbname);
	}
	return true;
}

void sw_unit_add(struct sw_session *session, struct sw_unit *unit, struct sw_statement *statement)
{
	const struct sw_verdict *verdict = &statement->verdict;
	uint32_t flags = verdict->flags;

	if (unit->statement == statement)
		return; /* Parse, Bind and Describe of one statement */
	if (flags & SW_V_EMPTY)
		flags |= SW_V_READ | SW_V_NO_DATA | SW_V_RETRY;
	if (statement->learned_primary && flags & SW_V_READ) {
		flags &= ~(uint32_t)SW_V_READ;
		unit->forced = SW_ROUTE_REFUSED;
	}
	unit->is_wary |= flags & SW_V_STABLE_CALLS && is_catalog_old(session, SW_DDL_FUNCTIONS);
	/* While there is no primary the catalog cannot be read again, and reads go on. */
	if (session->engine->view.primary >= 0 &&
		(unit->is_wary || (flags & SW_V_CALLS && flags & SW_V_READ && is_catalog_old(session, SW_DDL_RELATIONS))))
		flags &= ~(uint32_t)SW_V_READ;
	if (!(flags & SW_V_READ) || !unit->why)
		unit->why = verdict->reason;
	sw_hint_apply(session, unit, &verdict->hint);
	forget_statement(unit);
	if (unit->statements == 0 && statement->text) {
		unit->statement = statement;
		sw_statement_ref(statement);
	}
	unit->statements += verdict->statements > 0 ? verdict->statements : 1;
	unit->flags |= flags;
	unit->common &= flags;
	unit->pins |= verdict->pins;
	if (!(verdict->flags & SW_V_SETS))
		return;
	if (!session->touched)
		session->touched = sw_settings_empty(session->engine->settings);
	for (uint32_t i = 0; i < verdict->name_count; i++)
		sw_settings_change(&session->touched, verdict->names[i],
			verdict->flags & SW_V_RESET && !unit->was_in_transaction ? SW_TOUCHED_BY_RESET : "");
}

/* ---- what the server still has to answer */

void sw_unit_expect(struct sw_unit *unit, enum sw_expect_kind kind, struct sw_plan *plan, const char *name)
{
	struct sw_expect *expect;

	if (unit->expect_count == unit->expect_size) {
		uint32_t size = unit->expect_size ? unit->expect_size * 2 : 16;
		struct sw_expect *grown = sw_mem_alloc(size * sizeof(*grown));

		for (uint32_t i = 0; i < unit->expect_count; i++)
			grown[i] = unit->expects[(unit->expect_first + i) & (unit->expect_size - 1)];
		sw_mem_free(unit->expects);
		unit->expects = grown;
		unit->expect_first = 0;
		unit->expect_size = size;
	}
	expect = &unit->expects[(unit->expect_first + unit->expect_count++) & (unit->expect_size - 1)];
	*expect = (struct sw_expect){.kind = (uint8_t)kind,
		.plan = plan ? sw_plan_ref(plan) : NULL,
		.name = name ? sw_mem_strdup(name) : NULL};
}

struct sw_expect *sw_unit_expected(struct sw_unit *unit)
{
	return unit->expect_count > 0 ? &unit->expects[unit->expect_first] : NULL;
}

struct sw_expect *sw_unit_last_expected(struct sw_unit *unit)
{
	return &unit->expects[(unit->expect_first + unit->expect_count - 1) & (unit->expect_size - 1)];
}

bool sw_expect_is_fake(const struct sw_expect *expect)
{
	return expect->kind == SW_EXPECT_FAKE_PARSE || expect->kind >= SW_EXPECT_FAKE_CLOSE;
}

struct sw_expect *sw_unit_expected_of_server(struct sw_unit *unit)
{
	for (uint32_t i = 0; i < unit->expect_count; i++) {
		struct sw_expect *expect = &unit->expects[(unit->expect_first + i) & (unit->expect_size - 1)];

		if (!sw_expect_is_fake(expect))
			return expect;
	}
	return NULL;
}

void sw_unit_expected_done(struct sw_session *session, struct sw_unit *unit)
{
	struct sw_expect *expect = sw_unit_expected(unit);

	free_expect(session->engine, expect);
	unit->expect_first = (unit->expect_first + 1) & (unit->expect_size - 1);
	unit->expect_count--;
}

void sw_session_set_unnamed(struct sw_session *session, struct sw_plan *plan)
{
	if (plan)
		sw_plan_ref(plan);
	sw_plan_unref(session->engine->plans, session->unnamed);
	session->unnamed = plan;
	session->unnamed_serial = ++session->engine->unnamed_serial;
}

/* A message that the server has skipped: what it was going to prepare or close is as it was before. */
static void undo(struct sw_session *session, struct sw_expect *expect)
{
	struct sw_plans *plans = session->engine->plans;
	struct sw_plan_set *held = session->server ? &session->server->plans : NULL;

	switch ((enum sw_expect_kind)expect->kind) {
	case SW_EXPECT_PARSE:
	case SW_EXPECT_FAKE_PARSE:
		if (expect->is_unnamed)
			sw_session_set_unnamed(session, expect->before);
		else if (held && expect->kind == SW_EXPECT_PARSE)
			sw_plan_set_remove(held, plans, expect->plan);
		if (expect->name && sw_plan_names_find(&session->plans, expect->name) == expect->plan)
			sw_plan_names_remove(&session->plans, plans, expect->name);
		return;
	case SW_EXPECT_OWN_PARSE:
		if (held && expect->is_unnamed)
			session->server->unnamed = 0;
		else if (held)
			sw_plan_set_remove(held, plans, expect->plan);
		return;
	case SW_EXPECT_CLOSE:
		if (expect->is_unnamed)
			sw_session_set_unnamed(session, expect->before);
		return;
	case SW_EXPECT_OWN_CLOSE:
		if (held && expect->plan)
			sw_plan_set_add(held, expect->plan);
		return;
	case SW_EXPECT_FAKE_CLOSE:
		if (expect->plan)
			sw_plan_names_set(&session->plans, plans, expect->name, expect->plan);
		return;
	default:
		return;
	}
}

/* An error: the server skips the rest up to Sync. */
void sw_unit_expect_nothing(struct sw_session *session, struct sw_unit *unit)
{
	for (; unit->expect_count > 0; unit->expect_count--) {
		struct sw_expect *expect = sw_unit_last_expected(unit);

		undo(session, expect);
		free_expect(session->engine, expect);
	}
}

/* ---- the end */

static bool is_on_primary(const struct sw_session *session)
{
	return session->server && session->server->is_primary;
}

/* Everything that DISCARD ALL takes away, but for what no command does (T7). */
static void forget_state(struct sw_session *session)
{
	session->pins &= SW_PIN_BACKEND | SW_PIN_LOAD;
	sw_plan_names_clear(&session->plans, session->engine->plans);
	sw_session_set_unnamed(session, NULL);
	sw_plan_set_clear(&session->server->plans, session->engine->plans);
	session->server->unnamed = 0;
}

/* The server connection has none of our settings now, the session those of its start (manual, RESET). */
static void reset_settings(struct sw_session *session)
{
	sw_settings_unref(session->server->vars);
	session->server->vars = sw_settings_empty(session->engine->settings);
	sw_settings_unref(session->vars);
	session->vars = sw_settings_ref(session->startup_vars);
	sw_settings_unref(session->touched);
	session->touched = NULL;
}

/* What a unit that has failed leaves behind all the same. Several statements may have had a COMMIT among them. */
static uint32_t pins_after_failure(const struct sw_unit *unit)
{
	if (unit->was_in_transaction || unit->statements > 1)
		return unit->pins;
	if (unit->was_refused)
		return 0;
	return unit->pins & ~(uint32_t)UNDONE_BY_ERROR;
}

/* DEALLOCATE that reached the server: it may have taken away what Seawall has prepared there for others. */
static void note_deallocate(struct sw_session *session, const struct sw_unit *unit)
{
	bool is_alone = unit->statement && !(unit->flags & SW_V_MULTI);

	if (is_alone && unit->has_failed)
		return;
	if (unit->has_deallocated_all)
		sw_plan_names_clear(&session->plans, session->engine->plans);
	if (!is_alone || sw_plan_name_is_ours(unit->statement->verdict.names[0]))
		session->server->is_unclean = true;
	else if (unit->has_deallocated_all)
		sw_plan_set_clear(&session->server->plans, session->engine->plans);
}

static void note_effects(struct sw_session *session, const struct sw_unit *unit)
{
	uint32_t pins = unit->has_failed ? pins_after_failure(unit) : unit->pins;
	bool resets_all = unit->flags & SW_V_RESET_ALL;

	/* A function that this transaction may have changed is not what the catalog says (T5). */
	if (unit->flags & SW_V_STABLE_CALLS && (session->has_ddl || unit->flags & SW_V_DDL))
		pins |= SW_PIN_SETTING;

	if (resets_all && (unit->was_in_transaction || (unit->is_extended && unit->statements > 1)))
		pins |= SW_PIN_SETTING; /* it may be rolled back, or others came behind it: too rare to follow */
	if (!session->server->is_primary && pins & LOST_ON_REPLICA) {
		/* A pin to a replica would shut the session out of all writes. What was set ends with the transaction instead. */
		pins &= ~(uint32_t)LOST_ON_REPLICA;
		session->server->is_unclean = true;
	}
	/* Also the end of a transaction that has pinned: it may have been rolled back. */
	session->may_release |= unit->flags & SW_V_RELEASES || ((unit->was_in_transaction || unit->statements > 1) && pins & ~session->pins);
	sw_pins_add(session, pins);
	session->has_event |= !(unit->common & SW_V_NO_DATA);
	if (!(unit->common & (SW_V_READ | SW_V_NO_DATA)))
		session->server->written_by = session->number;
	session->has_failed_txn |= unit->has_failed;
	session->has_passing |= (unit->flags & SW_V_PASSING) != 0;
	session->has_ddl |= (unit->flags & SW_V_DDL) != 0;
	/* Code that may do anything (DO, CALL) makes relations too rarely to distrust all reads after it; temporary ones are its own. */
	session->has_new_relations |= unit->flags & SW_V_DDL && !(unit->pins & (SW_PIN_SETTING | SW_PIN_TEMP)) &&
				      (unit->statements > 1 || !(unit->flags & SW_V_PLAIN_TABLE));
	session->server->is_unclean |= unit->is_wary; /* whatever such a function has set, nobody else shall see */
	if (unit->flags & SW_V_DEALLOCATE)
		note_deallocate(session, unit);
	if (unit->has_failed)
		return;
	if (unit->flags & SW_V_DISCARD_ALL)
		forget_state(session);
	if (unit->flags & SW_V_DISCARD_ALL || (resets_all && !(pins & SW_PIN_SETTING)))
		reset_settings(session);
}

static void forget_begin(struct sw_session *session)
{
	sw_mem_free(session->begin);
	session->begin = NULL;
}

/* Puts a statement behind those that begin the transaction again; a comment at the end of one ends with its line. */
static void say_after_begin(struct sw_session *session, const struct sw_statement *statement)
{
	size_t before = strlen(session->begin);

	if (before + statement->len > REQUEST_BYTES_MAX) {
		forget_begin(session);
		return;
	}
	session->begin = sw_mem_realloc(session->begin, before + statement->len + sizeof("\n;"));
	memcpy(session->begin + before, "\n;", 2);
	memcpy(session->begin + before + 2, statement->text, statement->len);
	session->begin[before + 2 + statement->len] = '\0';
}

/*
 * A unit of a transaction on a replica has ended: can it still move to the primary (T14)? As long as all that was done in it
 * can be said again, which is what sets or steers it; and SHOW, which leaves nothing. What an extended batch has prepared it
 * may not have executed.
 */
static void note_step(struct sw_session *session, const struct sw_unit *unit)
{
	const uint32_t steers = SW_V_SETS | SW_V_RESET | SW_V_PASSING | SW_V_TXN_MODE | SW_V_SAVEPOINT | SW_V_READ_ONLY;
	uint32_t flags = unit->flags & ~(uint32_t)(SW_V_EMPTY | SW_V_READ | SW_V_RETRY);

	if (!session->begin || !unit->was_in_transaction || flags == SW_V_NO_DATA)
		return;
	if (flags & SW_V_NO_DATA && !(flags & ~(SW_V_NO_DATA | steers)) && unit->statement && !unit->is_extended &&
		!unit->has_failed)
		say_after_begin(session, unit->statement);
	else
		forget_begin(session);
}

/* The catalog is read again once the transaction is over, also after an error: a procedure may have committed. */
static void note_ddl(struct sw_session *session, int64_t now_ns)
{
	struct sw_database *database = session->database;

	if (session->has_calls)
		sw_board_note_ddl(session->engine->board, SW_DDL_PERHAPS, database->ddl_slot, now_ns);
	session->has_calls = false;
	if (!session->has_ddl)
		return;
	sw_board_note_ddl(session->engine->board, SW_DDL_FUNCTIONS, database->ddl_slot, now_ns);
	if (session->has_new_relations)
		sw_board_note_ddl(session->engine->board, SW_DDL_RELATIONS, database->ddl_slot, now_ns);
	session->has_ddl = session->has_new_relations = false;
	database->ddl_asked_ns = now_ns;
	session->engine->hooks->on_want_catalog(session->engine, database->dbname);
}

void sw_unit_detach(struct sw_session *session)
{
	struct sw_server *server = session->server;

	session->server = NULL;
	session->engine->loads[server->pool->key.node]--;
	sw_stream_start(&server->stream); /* it may have been stopped for a slow client */
	sw_pool_give_back(server);
}

void sw_unit_release(struct sw_session *session)
{
	if (sw_pins_may_be_gone(session)) {
		sw_pins_ask(session);
		return;
	}
	session->state = SW_SESSION_READY;
	if (session->pins == 0 && session->pool_mode != SW_POOL_SESSION)
		sw_unit_detach(session);
	sw_session_resume(session);
}

/* One RESET or RESET ALL, which the server has carried out. */
static bool is_reset(const struct sw_unit *unit)
{
	return unit->statement && unit->flags & (SW_V_RESET | SW_V_RESET_ALL) && !(unit->flags & SW_V_MULTI) && !unit->has_failed;
}

/* is_admitted: by the session's floor, if it ran on a replica. */
static void note_event(struct sw_session *session, bool is_admitted, int64_t now_ns)
{
	int node = (int)session->server->pool->key.node;

	/* In a dry run what follows is judged as if it had run there. */
	if (session->route.reason == SW_ROUTE_DRY && session->engine->config->dry_run) {
		sw_floor_add_event(&session->floor, session->route.dry_node, false, now_ns);
		return;
	}
	sw_floor_add_event(&session->floor, node, is_on_primary(session), now_ns);
	if (!is_on_primary(session))
		sw_floor_note_shown(&session->floor, node, is_admitted && session->route.reason != SW_ROUTE_STALE, now_ns);
}

void sw_unit_end(struct sw_session *session)
{
	struct sw_unit *unit = session->unit;
	struct sw_stats *stats = &session->database->stats;
	int64_t now_ns = sw_clock_ns();
	bool is_restoring, is_admitted = session->level >= SW_LEVEL_SESSION && unit->level >= SW_LEVEL_SESSION;

	note_effects(session, unit);
	session->has_calls |= unit->pins & (SW_PIN_SETTING | SW_PIN_UNSEEN) && is_on_primary(session);
	session->active_ns = now_ns;
	stats->queries++;
	stats->query_us += (uint64_t)(now_ns - unit->started_ns) / 1000;
	session->unit = NULL;
	note_step(session, unit);
	session->state = SW_SESSION_READY;
	is_restoring = session->txn_status == 'T' && is_reset(unit) && sw_sync_restore(session, &unit->statement->verdict);
	sw_unit_free(session->engine, unit);
	if (session->txn_status != 'I') {
		if (!is_restoring)
			sw_session_resume(session);
		return;
	}
	stats->transactions++;
	note_ddl(session, now_ns);
	if (session->has_event)
		note_event(session, is_admitted, now_ns);
	session->has_event = session->has_failed_txn = session->has_passing = false;
	forget_begin(session);
	if (session->touched)
		sw_sync_read_back(session);
	else
		sw_unit_release(session);
}

/* Puts the request of the unit in front of whatever the client has sent since. */
void sw_unit_again(struct sw_session *session)
{
	struct sw_unit *unit = session->unit;
	struct sw_buf in;

	session->database->stats.retries++;
	sw_unit_expect_nothing(session, unit);
	sw_buf_init(&in, session->in.max);
	if (sw_buf_append(&in, sw_buf_data(&unit->request), sw_buf_len(&unit->request)) != SW_OK ||
		sw_buf_append(&in, sw_buf_data(&session->in), sw_buf_len(&session->in)) != SW_OK)
		assert(!"a request was kept that is larger than its limit");
	sw_buf_fini(&session->in);
	session->in = in;
	unit->scanned = sw_buf_len(&unit->request);
	sw_buf_clear(&unit->request);
	sw_plan_unref(session->engine->plans, unit->bound);
	sw_plan_unref(session->engine->plans, unit->faulty);
	unit->bound = unit->faulty = NULL;
	unit->asked_upto = 0;
	unit->may_heal = unit->is_healing = false;
	unit->is_again = true;
	unit->is_sent = unit->is_retrying = unit->has_failed = unit->may_retry = false;
	session->state = SW_SESSION_READY;
	sw_session_resume(session);
}

static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = text ? strnlen(text, size - 1) : 0;

	if (len > 0)
		memcpy(out, text, len);
	out[len] = '\0';
}

void sw_unit_keep_problem(struct sw_unit *unit, const struct sw_problem *problem)
{
	struct sw_kept_problem *kept = unit->problem ? unit->problem : SW_NEW(struct sw_kept_problem);

	copy_text(kept->sqlstate, sizeof(kept->sqlstate), problem->sqlstate);
	copy_text(kept->message, sizeof(kept->message), problem->message);
	copy_text(kept->detail, sizeof(kept->detail), problem->detail);
	copy_text(kept->hint, sizeof(kept->hint), problem->hint);
	unit->problem = kept;
}

void sw_unit_fail(struct sw_session *session, const struct sw_problem *problem)
{
	struct sw_buf *out = &session->engine->assembly;
	struct sw_unit *unit = session->unit;

	bool is_free = session->server && session->txn_status == 'I' && session->pins == 0 &&
		       session->pool_mode != SW_POOL_SESSION;

	sw_msg_problem(out, problem);
	sw_unit_expect_nothing(session, unit);
	session->state = SW_SESSION_READY;
	session->is_skipping = unit->is_extended;
	session->unit = NULL;
	sw_unit_free(session->engine, unit);
	if (session->is_skipping)
		sw_session_send(session, out);
	else
		sw_local_end_in_error(session);
	/* Last: the next session in line may go on from inside, and has the same buffer. */
	if (is_free)
		sw_unit_detach(session);
}
