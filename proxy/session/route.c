/*
 * From a unit of work to a server connection: the rules of the session, the choice of the node, the waits. Each call
 * decides anew on what is known now; who had to wait simply asks again. Runs on the worker's thread.
 * What is not here: the choice among replicas (router/choose.c), the bound that makes it safe (router/floor.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/pool/quota.h"
#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "router/verdicts.h"

/* ---- rules of the session */

static bool is_read_only_begin(const struct sw_session *session, const struct sw_unit *unit)
{
	bool is_default_read_only = sw_session_settings_flags(session) & SW_SETTINGS_READ_ONLY;

	if (!(unit->flags & SW_V_BEGIN) || unit->flags & (SW_V_READ_WRITE | SW_V_SERIALIZABLE))
		return false;
	if (unit->statements > 1)
		return false;
	return unit->flags & SW_V_READ_ONLY || is_default_read_only;
}

/* May the unit run on a replica at all? Gives the reason where not. */
static bool is_replica_allowed(const struct sw_session *session, const struct sw_unit *unit, enum sw_route_reason *ret_reason)
{
	uint32_t settings = sw_session_settings_flags(session);
	bool is_read = unit->common & SW_V_READ && unit->is_read;

	if (unit->forced != SW_ROUTE_NONE)
		*ret_reason = unit->forced;
	else if (unit->flags & SW_V_BEGIN && !is_read_only_begin(session, unit))
		*ret_reason = SW_ROUTE_TRANSACTION;
	else if (!is_read && !is_read_only_begin(session, unit))
		*ret_reason = SW_ROUTE_STATEMENT;
	else if (unit->level == SW_LEVEL_OFF || (unit->level == SW_LEVEL_STRONG && unit->flags & SW_V_BEGIN))
		*ret_reason = SW_ROUTE_LEVEL; /* each statement of a transaction is to see what had happened before it */
	else if (session->pool_mode == SW_POOL_SESSION)
		*ret_reason = SW_ROUTE_PINNED;
	else if (settings & (SW_SETTINGS_SERIALIZABLE | SW_SETTINGS_UNSAFE_ENCODING))
		*ret_reason = SW_ROUTE_SETTING;
	else
		return true;
	return false;
}

/* ---- waiting */

/* Until when the first of the list waits; of both lists the first is the one whose deadline comes first. */
static int64_t first_deadline_ns(const struct sw_list *list)
{
	const struct sw_session *first;

	if (sw_list_is_empty(list))
		return INT64_MAX;
	first = SW_CONTAINER_OF(list->next, struct sw_session, wait_entry);
	return first->is_settling ? first->unit->settle_deadline_ns : first->unit->deadline_ns;
}

static void arm_floor_timer(struct sw_engine *engine)
{
	int64_t floor_ns = first_deadline_ns(&engine->waiting_floor);
	int64_t settled_ns = first_deadline_ns(&engine->waiting_settled);
	int64_t deadline_ns = floor_ns < settled_ns ? floor_ns : settled_ns, left_ns;

	if (deadline_ns == INT64_MAX) {
		uv_timer_stop(&engine->floor_timer);
		return;
	}
	left_ns = deadline_ns - sw_clock_ns();
	uv_update_time(engine->loop);
	uv_timer_start(&engine->floor_timer, sw_route_on_floor_timer, left_ns > 0 ? (uint64_t)(left_ns / SW_NS_PER_MS) + 1 : 1, 0);
}

static void wait_in(struct sw_session *session, struct sw_list *list)
{
	session->state = SW_SESSION_WAIT_NODE;
	sw_list_push_back(list, &session->wait_entry);
	sw_engine_want_sample(session->engine);
	session->database->stats.waits++;
}

void sw_route_stop_waiting(struct sw_session *session)
{
	if (!sw_list_is_empty(&session->wait_entry)) {
		sw_list_remove(&session->wait_entry);
		if (session->is_settling)
			sw_board_unwant_settled(session->engine->board);
		else
			sw_engine_unwant_sample(session->engine);
		session->is_settling = false;
	}
	sw_pool_forget(&session->waiter);
	if (session->state == SW_SESSION_WAIT_NODE || session->state == SW_SESSION_WAIT_SERVER)
		session->state = SW_SESSION_READY;
}

static void end_waits(struct sw_list *list, int64_t now_ns)
{
	while (first_deadline_ns(list) <= now_ns) {
		struct sw_session *session = SW_CONTAINER_OF(list->next, struct sw_session, wait_entry);

		sw_route_stop_waiting(session);
		sw_session_resume(session);
	}
}

void sw_route_on_floor_timer(uv_timer_t *timer)
{
	struct sw_engine *engine = timer->data;
	int64_t now_ns = sw_clock_ns();

	end_waits(&engine->waiting_floor, now_ns);
	end_waits(&engine->waiting_settled, now_ns);
	arm_floor_timer(engine);
}

/* True while the unit may still wait for a replica; the first call sets its deadline. */
static bool may_wait_for_replica(struct sw_session *session, struct sw_unit *unit)
{
	int64_t now_ns = sw_clock_ns();
	int64_t limit_ns = session->engine->config->wait_for_replica_us * SW_NS_PER_US;

	if (unit->waiting_since_ns == 0) {
		unit->waiting_since_ns = now_ns;
		unit->deadline_ns = now_ns + limit_ns;
	}
	return now_ns < unit->deadline_ns;
}

bool sw_route_await_primary(struct sw_session *session, struct sw_unit *unit)
{
	int64_t now_ns = sw_clock_ns();
	int64_t limit_ns = session->engine->config->query_wait_timeout_us * SW_NS_PER_US;

	if (unit->waiting_since_ns == 0)
		unit->waiting_since_ns = now_ns;
	if (limit_ns > 0 && now_ns - unit->waiting_since_ns >= limit_ns)
		return false;
	wait_in(session, &session->engine->waiting_primary);
	return true;
}

static enum sw_route_step wait_for_primary(struct sw_session *session, struct sw_unit *unit)
{
	if (!sw_route_await_primary(session, unit)) {
		sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "57P03",
			.message = "no primary is known",
			.detail = "The statement must run on the primary, and no node of the cluster is one.",
			.hint = "SHOW NODES on the console says what is wrong with each node."});
		return SW_ROUTE_ENDED;
	}
	return SW_ROUTE_WAIT;
}

/* ---- what replicas have shown (router/floor.h, rule 6) */

/*
 * May the unit see data on the primary? BEGIN will, and so will a transaction that moves there from a replica, whose connection
 * it has; what pins its session is followed on the same connection; and of a batch that is not there as a whole nothing is known.
 */
static bool may_observe(const struct sw_session *session, const struct sw_unit *unit)
{
	if (unit->is_prepare_only)
		return false;
	return !(unit->common & SW_V_NO_DATA) || unit->flags & SW_V_BEGIN || unit->pins || session->server ||
	       (unit->is_extended && !unit->is_whole);
}

static enum sw_route_step fail_unsettled(struct sw_session *session)
{
	sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "57P03",
		.message = "the primary does not show yet what this session has seen on a replica",
		.detail = "A transaction that the replica shows as committed is still in progress on the primary, which may wait for "
			  "synchronous replication; fallback = error.",
		.hint = "Try again, or set fallback = primary or a longer wait_for_primary in [routing]."});
	return SW_ROUTE_ENDED;
}

static void count_settled(struct sw_session *session, const struct sw_unit *unit)
{
	if (unit->settle_deadline_ns > 0 && unit->has_seen_early)
		session->database->stats.settles_early++;
}

/* GO: what the session has seen on replicas is visible on the primary, or does not matter. */
static enum sw_route_step settle(struct sw_session *session, struct sw_unit *unit)
{
	struct sw_engine *engine = session->engine;
	const struct sw_config *config = engine->config;
	struct sw_floor *floor = &session->floor;
	int64_t now_ns;
	int witness;

	if (floor->shown_ns == 0 || unit->level == SW_LEVEL_EVENTUAL || config->wait_for_primary_us == 0 ||
		!may_observe(session, unit))
		return SW_ROUTE_GO;
	witness = sw_floor_witness(floor, &engine->view);
	unit->has_seen_early |= witness >= 0 && engine->view.node[witness].early_ns > floor->shown_ns;
	if (sw_floor_is_settled(floor, &engine->view)) {
		count_settled(session, unit);
		return SW_ROUTE_GO;
	}
	now_ns = sw_clock_ns();
	if (unit->settle_deadline_ns == 0) {
		unit->settle_deadline_ns = now_ns + config->wait_for_primary_us * SW_NS_PER_US;
		session->database->stats.settles++;
	}
	if (unit->waiting_since_ns == 0)
		unit->waiting_since_ns = now_ns;
	if (now_ns >= unit->settle_deadline_ns) {
		count_settled(session, unit);
		session->database->stats.settles_late++;
		if (config->fallback == SW_FALLBACK_ERROR)
			return fail_unsettled(session);
		sw_floor_forget_shown(floor);
		return SW_ROUTE_GO;
	}
	session->state = SW_SESSION_WAIT_NODE;
	session->is_settling = true;
	sw_list_push_back(&engine->waiting_settled, &session->wait_entry);
	sw_engine_want_settled(engine, witness, floor->shown_ns);
	arm_floor_timer(engine);
	return SW_ROUTE_WAIT;
}

/* ---- the choice */

static struct sw_choice_request choice_of(struct sw_session *session, const struct sw_unit *unit)
{
	struct sw_engine *engine = session->engine;

	return (struct sw_choice_request){
		.board = engine->board,
		.view = &engine->view,
		.floor = &session->floor,
		.weights = engine->weights,
		.loads = engine->loads,
		.node_count = engine->config->node_count,
		.excluded = unit->excluded | sw_pools_failing(engine, session->database, session->user),
		.random = sw_engine_random(engine),
		.sticky = engine->config->sticky ? session->sticky : -1,
		.lag_class = session->database->lag_class,
		.is_eventual = unit->level == SW_LEVEL_EVENTUAL,
	};
}

/* To the primary in place of a replica: as one of max_primary_reads, or it waits for its turn, or for a replica (T56). */
static enum sw_route_step divert(struct sw_session *session, struct sw_unit *unit)
{
	struct sw_engine *engine = session->engine;
	const struct sw_config *config = engine->config;
	int64_t now_ns = sw_clock_ns(), limit_ns = config->query_wait_timeout_us * SW_NS_PER_US;

	if (unit->is_diverted || config->max_primary_reads == 0)
		return SW_ROUTE_GO;
	unit->is_diverted = sw_quota_take(engine->primary_reads, config->max_primary_reads, 0);
	if (unit->is_diverted)
		return SW_ROUTE_GO;
	if (unit->waiting_since_ns == 0)
		unit->waiting_since_ns = now_ns;
	if (limit_ns > 0 && now_ns - unit->waiting_since_ns >= limit_ns) {
		sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "57P03",
			.message = "no replica can serve this read, and the primary serves as many in their place as it may",
			.detail = "query_wait_timeout ended while max_primary_reads others were under way.",
			.hint = "SHOW LAG on the console says what keeps the replicas; max_primary_reads can be raised."});
		return SW_ROUTE_ENDED;
	}
	wait_in(session, &engine->waiting_primary);
	return SW_ROUTE_WAIT;
}

/*
 * Level strong: to the floor of a session whatever had been acknowledged to anybody when the unit arrived is an event on the
 * primary. One sample serves all who wait for one.
 */
static void demand_the_present(struct sw_session *session, struct sw_unit *unit)
{
	if (unit->level != SW_LEVEL_STRONG || unit->has_bound)
		return;
	unit->has_bound = true;
	sw_floor_add_event(&session->floor, -1, true, unit->started_ns);
}

/* For dry_run: which replica would serve it, perhaps after a wait? The answer is the primary's, at once. */
static int pretend(struct sw_unit *unit, const struct sw_choice_request *request, enum sw_route_reason *ret_reason)
{
	int node = -1;

	if (sw_choose_replica(request, &node) == SW_CHOICE_WAIT)
		node = sw_choose_stale(request);
	unit->dry_node = node;
	*ret_reason = node >= 0 ? SW_ROUTE_DRY : SW_ROUTE_NO_REPLICA;
	return -1;
}

/*
 * The node for a unit that a replica may serve: its index, -1 for the primary, or SW_ROUTE_WAIT through ret_step.
 */
static int choose_replica(struct sw_session *session, struct sw_unit *unit, enum sw_route_reason *ret_reason,
	enum sw_route_step *ret_step)
{
	struct sw_choice_request request = choice_of(session, unit);
	const struct sw_config *config = session->engine->config;
	enum sw_choice_kind kind;
	int node = -1;

	*ret_step = SW_ROUTE_GO;
	if (config->dry_run)
		return pretend(unit, &request, ret_reason);
	demand_the_present(session, unit);
	kind = sw_choose_replica(&request, &node);
	if (kind == SW_CHOICE_REPLICA) {
		*ret_reason = unit->excluded ? SW_ROUTE_LOST : unit->waiting_since_ns > 0 ? SW_ROUTE_WAITED : SW_ROUTE_READ;
		return node;
	}
	if (kind == SW_CHOICE_WAIT && may_wait_for_replica(session, unit)) {
		wait_in(session, &session->engine->waiting_floor);
		arm_floor_timer(session->engine);
		*ret_step = SW_ROUTE_WAIT;
		return -1;
	}
	*ret_reason = unit->excluded ? SW_ROUTE_LOST : kind == SW_CHOICE_WAIT ? SW_ROUTE_BEHIND : SW_ROUTE_NO_REPLICA;
	if (config->fallback == SW_FALLBACK_PRIMARY || (config->fallback == SW_FALLBACK_STALE && unit->level == SW_LEVEL_STRONG)) {
		*ret_step = divert(session, unit);
		return -1;
	}
	if (config->fallback == SW_FALLBACK_STALE) {
		node = sw_choose_stale(&request);
		if (node >= 0)
			*ret_reason = SW_ROUTE_STALE;
		return node;
	}
	sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "57P03",
		.message = "no replica can serve this read",
		.detail = "Every replica is down, beyond its lag limits, or behind what this session has seen; fallback = error.",
		.hint = "Try again, or set fallback = primary in [routing]."});
	*ret_step = SW_ROUTE_ENDED;
	return -1;
}

static uint32_t waited_us(const struct sw_unit *unit)
{
	return unit->waiting_since_ns ? (uint32_t)((sw_clock_ns() - unit->waiting_since_ns) / SW_NS_PER_US) : 0;
}

static void note_route(struct sw_session *session, struct sw_unit *unit, int node, enum sw_route_reason reason)
{
	session->route = (struct sw_route){.node = node,
		.dry_node = unit->dry_node,
		.reason = reason,
		.why = unit->why ? unit->why : "",
		.floor = session->floor.at,
		.at = session->engine->view.node[node].at,
		.waited_us = waited_us(unit)};
}

static void count_route(struct sw_session *session, int node)
{
	if (session->route.reason == SW_ROUTE_DRY)
		node = session->route.dry_node;
	session->database->stats.routes[node][session->route.reason]++;
	session->database->stats.wait_us += session->route.waited_us;
}

static void attach(struct sw_session *session, struct sw_server *server)
{
	int node = (int)server->pool->key.node;

	session->server = server;
	session->unit->asked_upto = 0;
	sw_server_link(server, session);
	session->engine->loads[node]++;
	if (!server->is_primary)
		session->sticky = node;
	count_route(session, node);
}

static void on_server(struct sw_pool_waiter *waiter, struct sw_server *server)
{
	struct sw_session *session = SW_CONTAINER_OF(waiter, struct sw_session, waiter);
	int node = (int)server->pool->key.node;

	sw_engine_refresh_view(session->engine);
	session->state = SW_SESSION_READY;
	if (!session->params) {
		session->server = server;
		sw_server_link(server, session);
		session->engine->loads[node]++;
		sw_login_on_server(session);
		return;
	}
	/* The node was chosen before the wait; what held then may not hold now (T34). */
	if (!server->is_primary && session->unit->level >= SW_LEVEL_SESSION && session->route.reason != SW_ROUTE_STALE &&
		sw_floor_admits(&session->floor, session->engine->board, &session->engine->view, node) != SW_OK) {
		sw_pool_give_back(server);
		sw_session_resume(session);
		return;
	}
	attach(session, server);
	sw_session_resume(session);
}

static void on_failed(struct sw_pool_waiter *waiter, const struct sw_problem *problem, bool is_node_lost)
{
	struct sw_session *session = SW_CONTAINER_OF(waiter, struct sw_session, waiter);
	struct sw_problem error = *problem;

	if (!session->params) {
		error.severity = "FATAL";
		sw_session_die(session, SW_END_LOGIN, &error);
		return;
	}
	session->state = SW_SESSION_READY;
	if (is_node_lost && waiter->pool->key.node != (uint32_t)session->engine->view.primary) {
		session->unit->excluded |= 1u << waiter->pool->key.node;
	} else {
		sw_unit_keep_problem(session->unit, problem);
	}
	sw_session_resume(session);
}

/* currval and lastval speak of what this session did on one server connection (T7). */
static bool needs_own_sequences(const struct sw_unit *unit)
{
	return unit->pins & SW_PIN_SEQUENCE && !(unit->pins & SW_PIN_BACKEND) && unit->statements == 1;
}

static enum sw_route_step refuse_sequence(struct sw_session *session)
{
	sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "55000",
		.message = "currval and lastval are not defined in this session, or not any more",
		.detail = "The server connection on which the session last wrote has served other sessions since.",
		.hint = "Use INSERT … RETURNING, call them in the transaction of the INSERT, or set pool_mode = session."});
	return SW_ROUTE_ENDED;
}

struct sw_server *sw_route_take_for_login(struct sw_session *session, struct sw_pool *pool)
{
	struct sw_server *server;

	session->waiter.on_server = on_server;
	session->waiter.on_failed = on_failed;
	server = sw_pool_take(pool, &session->waiter, session->vars);
	if (server) {
		session->server = server;
		sw_server_link(server, session);
		session->engine->loads[server->pool->key.node]++;
	}
	return server;
}

static enum sw_route_step route_attached(struct sw_session *session, struct sw_unit *unit);

/* A session asks for the same one or two again and again. */
static struct sw_pool *pool_of(struct sw_session *session, int node)
{
	struct sw_pool **known = &session->pools[node == session->engine->view.primary];

	if (!*known || (*known)->key.node != (uint32_t)node || strcmp((*known)->key.dbname, session->database->dbname) != 0)
		*known = sw_pool_get(session->engine, node, session->database, session->user);
	return *known;
}

static enum sw_route_step take_server(struct sw_session *session, struct sw_unit *unit, int node, enum sw_route_reason reason)
{
	struct sw_pool *pool = pool_of(session, node);
	struct sw_server *server;

	note_route(session, unit, node, reason);
	session->waiter.on_server = on_server;
	session->waiter.on_failed = on_failed;
	if (needs_own_sequences(unit)) {
		server = sw_pool_take_written(pool, session->number);
		if (!server)
			return refuse_sequence(session);
	} else {
		server = sw_pool_take(pool, &session->waiter, session->vars);
	}
	if (!server) {
		session->state = SW_SESSION_WAIT_SERVER;
		return SW_ROUTE_WAIT;
	}
	attach(session, server);
	return route_attached(session, unit);
}

/* ---- a transaction that began on a replica and turns out to need the primary (T14) */

static void on_rolled_back(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;

	(void)round;
	(void)server;
	session->state = SW_SESSION_READY;
	sw_unit_detach(session);
	session->is_rolled_back = true;
	session->unit->forced = SW_ROUTE_TRANSACTION;
	sw_session_resume(session);
}

static void on_begun_again(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;

	session->state = SW_SESSION_READY;
	session->is_rolled_back = false;
	if (round->has_failed || server->txn_status != 'T') {
		sw_session_die(session, SW_END_SERVER, &(struct sw_problem){.severity = "FATAL", .sqlstate = "25000",
			.message = "the transaction could not be begun again on the primary"});
		return;
	}
	sw_session_resume(session);
}

static enum sw_route_step start_text_round(struct sw_session *session, const char *sql,
	void (*on_round)(struct sw_server *, struct sw_round *, void *))
{
	struct sw_buf *out = &session->engine->assembly;

	sw_msg_query(out, sql);
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(session->server, sw_buf_data(out), sw_buf_len(out), on_round, session);
	sw_buf_clear(out);
	return SW_ROUTE_WAIT;
}

/* Nothing was read yet, and this unit is nothing that a replica can do: the transaction goes to the primary as a whole. */
static bool must_move(struct sw_session *session, const struct sw_unit *unit)
{
	return session->begin && session->txn_status == 'T' && session->pins == 0 &&
	       !(unit->flags & SW_V_END) && (!(unit->common & (SW_V_READ | SW_V_NO_DATA)) || unit->pins ||
		       sw_hint_is_unmet(session, unit) ||
		       unit->flags & (SW_V_READ_WRITE | SW_V_SERIALIZABLE));
}

static enum sw_route_step route_attached(struct sw_session *session, struct sw_unit *unit)
{
	int node = (int)session->server->pool->key.node;
	/* What it was when the connection was proven: what the view says may be that nobody is known to be the primary now. */
	bool is_replica = !session->server->is_primary;
	enum sw_route_reason reason;

	if (session->server->is_primary && session->server->epoch != session->engine->view.epoch) {
		/* The view is newer than the last look at the pools, which end what an earlier primary holds (T90). */
		sw_server_close(session->server, SW_SERVER_END_EPOCH);
		return session->state == SW_SESSION_CLOSING ? SW_ROUTE_ENDED : sw_route_unit(session, unit);
	}
	if (session->is_rolled_back) {
		if (!sw_sync_settings(session))
			return SW_ROUTE_WAIT;
		return start_text_round(session, session->begin, on_begun_again);
	}
	if (is_replica && must_move(session, unit) && !unit->is_sent) {
		enum sw_route_step step = settle(session, unit); /* an error can still abort the transaction here */

		return step == SW_ROUTE_GO ? start_text_round(session, "ROLLBACK", on_rolled_back) : step;
	}
	if (is_replica && !unit->is_sent && sw_hint_is_unmet(session, unit)) {
		sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "25001",
			.message = "a hint comes too late: its statement has to run on a replica that cannot do what it asks for",
			.detail = "The transaction has read there, or the session's state is held there.",
			.hint = "Put the hint in front of BEGIN."});
		return SW_ROUTE_ENDED;
	}
	if (is_replica && unit->flags & SW_V_ADVISORY && !unit->is_sent) {
		sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "0A000",
			.message = "advisory locks cannot be taken in a transaction that runs on a replica",
			.detail = "It would be granted there, and would exclude nobody on the primary.",
			.hint = "Take it in the first statement after BEGIN, or in a transaction that is not READ ONLY."});
		return SW_ROUTE_ENDED;
	}
	if (session->pins && session->txn_status == 'I') {
		if (is_replica && !is_replica_allowed(session, unit, &reason) && !(unit->common & SW_V_NO_DATA)) {
			sw_unit_fail(session, &(struct sw_problem){.severity = "ERROR", .sqlstate = "0A000",
				.message = "this session's state is held by a replica and the statement must run on the primary",
				.detail = sw_pin_text(session->pins), .hint = "DISCARD ALL releases the session."});
			return SW_ROUTE_ENDED;
		}
		if (unit->waiting_since_ns == 0 && session->state == SW_SESSION_READY && !unit->was_in_transaction)
			note_route(session, unit, node, SW_ROUTE_PINNED);
	}
	return sw_sync_settings(session) ? SW_ROUTE_GO : SW_ROUTE_WAIT;
}

static enum sw_route_step tell_problem(struct sw_session *session, struct sw_unit *unit)
{
	const struct sw_kept_problem kept = *unit->problem;
	struct sw_problem problem = {.severity = "ERROR",
		.message = kept.message,
		.detail = kept.detail[0] ? kept.detail : NULL,
		.hint = kept.hint[0] ? kept.hint : NULL};

	memcpy(problem.sqlstate, kept.sqlstate, sizeof(problem.sqlstate));
	sw_unit_fail(session, &problem);
	return SW_ROUTE_ENDED;
}

enum sw_route_step sw_route_unit(struct sw_session *session, struct sw_unit *unit)
{
	enum sw_route_reason reason = SW_ROUTE_NONE;
	enum sw_route_step step;
	int node = -1;

	if (unit->problem)
		return tell_problem(session, unit);
	sw_engine_refresh_view(session->engine);
	if (unit->has_token) {
		step = sw_token_bring(session, unit);
		if (step != SW_ROUTE_GO)
			return step;
	}
	if (session->server)
		return route_attached(session, unit);
	if (is_replica_allowed(session, unit, &reason)) {
		node = choose_replica(session, unit, &reason, &step);
		if (step != SW_ROUTE_GO)
			return step;
	}
	if (node < 0)
		node = session->engine->view.primary;
	if (node < 0)
		return wait_for_primary(session, unit);
	if (node == session->engine->view.primary) {
		step = settle(session, unit);
		if (step != SW_ROUTE_GO)
			return step;
	}
	return take_server(session, unit, node, reason);
}

void sw_sessions_on_view(struct sw_engine *engine)
{
	struct sw_list *lists[] = {&engine->waiting_floor, &engine->waiting_primary, &engine->waiting_settled};

	for (int i = 0; i < 3; i++) {
		struct sw_list again;

		if (sw_list_is_empty(lists[i]) || (i == 1 && engine->view.primary < 0))
			continue;
		/* Who has to wait again goes back to the list: each is asked once. */
		sw_list_init(&again);
		while (!sw_list_is_empty(lists[i])) {
			struct sw_list *entry = lists[i]->next;

			sw_list_remove(entry);
			sw_list_push_back(&again, entry);
		}
		while (!sw_list_is_empty(&again)) {
			struct sw_session *session = SW_CONTAINER_OF(again.next, struct sw_session, wait_entry);

			sw_route_stop_waiting(session);
			sw_session_resume(session);
		}
	}
	arm_floor_timer(engine);
}
