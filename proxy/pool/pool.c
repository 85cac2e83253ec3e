/*
 * Pools. Own the lists of server connections and of waiting sessions; run on the worker's thread.
 * Invariant: a server connection is on exactly one of opening, idle, used while it is not closing; a pool with waiters has
 * no usable idle connection; each open connection holds one place in each of the pool's quotas.
 * What is not here: what a connection does (server.c), which node a session wants (session/route.c).
 */
#include "proxy/pool/pool.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/pool/quota.h"
#include "proxy/pool/settings.h"
#include "proxy/session/engine.h"

/* How many idle connections are looked at for one that has the session's settings already. */
#define MATCH_TRIES 8

/* Between dials to a node that refused the last one. */
#define REDIAL_NS (250 * SW_NS_PER_MS)

/* A pool gives up a place for another pool or worker that waits at most this often … */
#define YIELD_NS (100 * SW_NS_PER_MS)

/* … and while sessions of its own wait, none that has not served them for so long. */
#define TENURE_NS SW_NS_PER_S

/* And does not take it back for so long while they wait: they look four times a second. */
#define YIELDED_NS (400 * SW_NS_PER_MS)

static struct sw_quota *quota_for(const char *kind, const char *a, const char *b, const char *c)
{
	char name[4 * SW_NAME_MAX];

	snprintf(name, sizeof(name), "%s:%s/%s/%s", kind, a, b, c);
	return sw_quota_named(name);
}

struct sw_pool *sw_pool_get(struct sw_engine *engine, int node, struct sw_database *database, const char *user)
{
	struct sw_pool_key key = {.node = (uint32_t)node, .database = database->number};
	struct sw_pool *pool;

	memcpy(key.dbname, database->dbname, strlen(database->dbname));
	memcpy(key.user, user, strnlen(user, SW_NAME_MAX - 1));
	HASH_FIND(hh, engine->pools, &key, sizeof(key), pool);
	if (pool)
		return pool;
	pool = SW_NEW(struct sw_pool);
	pool->key = key;
	pool->engine = engine;
	pool->database = database;
	pool->quotas[0] = quota_for("pool", engine->config->nodes[node].name, database->name, key.user);
	pool->mark = sw_quota_new_mark();
	/* These two hold over all nodes. */
	pool->quotas[1] = quota_for("database", key.dbname, "", "");
	pool->quotas[2] = quota_for("user", key.user, "", "");
	for (int i = 0; i < SW_PLACES; i++)
		sw_list_init(&pool->places[i]);
	sw_list_init(&pool->waiters);
	sw_buf_init(&pool->last_error, 1024);
	HASH_ADD(hh, engine->pools, key, sizeof(pool->key), pool);
	return pool;
}

/* ---- places */

static struct sw_pool_waiter *first_waiter(struct sw_pool *pool)
{
	return sw_list_is_empty(&pool->waiters) ? NULL :
						  SW_CONTAINER_OF(pool->waiters.next, struct sw_pool_waiter, entry);
}

static bool is_reserve_due(struct sw_pool *pool)
{
	const struct sw_config *config = pool->engine->config;
	const struct sw_pool_waiter *waiter = first_waiter(pool);

	return config->reserve_pool_size > 0 && waiter &&
	       sw_clock_ns() - waiter->since_ns >= config->reserve_pool_timeout_us * SW_NS_PER_US;
}

static bool take_places(struct sw_pool *pool)
{
	const struct sw_config *config = pool->engine->config;
	uint32_t limits[3] = {pool->database->pool_size, config->max_db_connections, config->max_user_connections};

	if (is_reserve_due(pool))
		limits[0] += config->reserve_pool_size;

	for (int i = 0; i < 3; i++) {
		if (sw_quota_take(pool->quotas[i], limits[i], pool->mark))
			continue;
		while (--i >= 0)
			sw_quota_give(pool->quotas[i]);
		return false;
	}
	return true;
}

static void give_places(struct sw_pool *pool)
{
	for (int i = 0; i < 3; i++)
		sw_quota_give(pool->quotas[i]);
}

static bool do_others_want(const struct sw_pool *pool)
{
	for (int i = 0; i < 3; i++)
		if (sw_quota_is_wanted(pool->quotas[i], pool->mark))
			return true;
	return false;
}

/* Is it time to close this unused connection, so that another pool or worker can open one? */
static bool must_yield(struct sw_pool *pool, const struct sw_server *server, int64_t now_ns)
{
	if (now_ns - pool->yielded_ns < YIELD_NS || !do_others_want(pool))
		return false;
	if (pool->waiter_count > 0 && now_ns - server->established_ns < TENURE_NS)
		return false;
	pool->yielded_ns = now_ns;
	return true;
}

static bool has_just_yielded(const struct sw_pool *pool, int64_t now_ns)
{
	return now_ns - pool->yielded_ns < YIELDED_NS && do_others_want(pool);
}

static bool may_dial(const struct sw_pool *pool, int64_t now_ns)
{
	const struct sw_view_node *seen = &pool->engine->view.node[pool->key.node];

	if (pool->failed_ns == 0)
		return true;
	if (pool->counts[SW_PLACE_OPENING] > 0)
		return false;
	return now_ns - pool->failed_ns >= REDIAL_NS && (seen->is_up || now_ns - pool->failed_ns >=
		pool->engine->config->server_login_retry_us * SW_NS_PER_US);
}

/* Opens as many connections as there are sessions that none will serve. */
static void fill(struct sw_pool *pool, uint32_t wanted)
{
	int64_t now_ns = sw_clock_ns();

	if (has_just_yielded(pool, now_ns))
		return;
	while (pool->counts[SW_PLACE_OPENING] < wanted && may_dial(pool, now_ns) && take_places(pool)) {
		struct sw_server *server = sw_server_open(pool->engine, pool);

		sw_list_push_back(&pool->places[SW_PLACE_OPENING], &server->entry);
		pool->counts[SW_PLACE_OPENING]++;
		pool->opened++;
	}
}

/* ---- taking */

/* The one way in which a server connection changes its place. The warmest idle one is used first. */
static void move(struct sw_pool *pool, struct sw_server *server, enum sw_server_place place)
{
	pool->counts[server->place]--;
	sw_list_remove(&server->entry);
	server->place = place;
	pool->counts[place]++;
	if (place == SW_PLACE_IDLE)
		sw_list_push_front(&pool->places[place], &server->entry);
	else
		sw_list_push_back(&pool->places[place], &server->entry);
}

/* Must it not be given to another session? */
static bool is_spent(const struct sw_server *server, int64_t now_ns, enum sw_server_end *ret_why)
{
	const struct sw_engine *engine = server->engine;
	int64_t lifetime_ns = engine->config->server_lifetime_us * SW_NS_PER_US;

	if (server->is_unclean || server->txn_status != 'I')
		*ret_why = SW_SERVER_END_UNCLEAN;
	else if (server->epoch != engine->view.epoch)
		*ret_why = SW_SERVER_END_EPOCH;
	else if (lifetime_ns > 0 && now_ns - server->opened_ns > lifetime_ns)
		*ret_why = SW_SERVER_END_LIFETIME;
	else
		return false;
	return true;
}

static struct sw_server *pick_idle(struct sw_pool *pool, const struct sw_settings *vars)
{
	int64_t check_ns = pool->engine->config->server_check_delay_us * SW_NS_PER_US, now_ns = sw_clock_ns();
	struct sw_server *first = NULL;
	int tries = 0;

	SW_LIST_EACH(&pool->places[SW_PLACE_IDLE], at, after) {
		struct sw_server *server = SW_CONTAINER_OF(at, struct sw_server, entry);
		enum sw_server_end why;

		if (server->cancels > 0)
			continue;
		if (server->epoch != pool->engine->view.epoch && is_spent(server, server->opened_ns, &why)) {
			sw_server_close(server, why);
			continue;
		}
		if (now_ns - server->idle_since_ns > check_ns) {
			/* Nobody would notice a path that has gone silent (T95). The session waits meanwhile, or gets another one. */
			if (pool->counts[SW_PLACE_OPENING] <= pool->waiter_count) {
				move(pool, server, SW_PLACE_OPENING);
				sw_server_check(server);
			}
			continue;
		}
		if (server->vars == vars)
			return server;
		if (!first)
			first = server;
		if (++tries >= MATCH_TRIES)
			break;
	}
	return first;
}

struct sw_server *sw_pool_take(struct sw_pool *pool, struct sw_pool_waiter *waiter, const struct sw_settings *vars)
{
	struct sw_server *server = sw_list_is_empty(&pool->waiters) ? pick_idle(pool, vars) : NULL;

	if (server) {
		move(pool, server, SW_PLACE_USED);
		return server;
	}
	waiter->pool = pool;
	waiter->since_ns = sw_clock_ns();
	sw_list_push_back(&pool->waiters, &waiter->entry);
	pool->waiter_count++;
	fill(pool, pool->waiter_count);
	return NULL;
}

struct sw_server *sw_pool_take_written(struct sw_pool *pool, uint64_t session)
{
	int64_t check_ns = pool->engine->config->server_check_delay_us * SW_NS_PER_US, now_ns = sw_clock_ns();

	SW_LIST_EACH(&pool->places[SW_PLACE_IDLE], at, after) {
		struct sw_server *server = SW_CONTAINER_OF(at, struct sw_server, entry);

		if (server->written_by != session || server->cancels > 0 || server->epoch != pool->engine->view.epoch)
			continue;
		if (check_ns > 0 && now_ns - server->idle_since_ns > check_ns)
			continue; /* nobody knows whether it still answers */
		move(pool, server, SW_PLACE_USED);
		return server;
	}
	return NULL;
}

void sw_pool_forget(struct sw_pool_waiter *waiter)
{
	if (!waiter->pool || sw_list_is_empty(&waiter->entry))
		return;
	sw_list_remove(&waiter->entry);
	if (--waiter->pool->waiter_count > 0)
		return;
	for (int i = 0; i < 3; i++)
		sw_quota_unwant(waiter->pool->quotas[i], waiter->pool->mark);
}

/* An unused connection: to the first waiter, or to the idle ones (the warmest is used first). */
static void offer(struct sw_pool *pool, struct sw_server *server)
{
	struct sw_pool_waiter *waiter = server->cancels == 0 ? first_waiter(pool) : NULL;

	if (waiter) {
		sw_pool_forget(waiter);
		move(pool, server, SW_PLACE_USED);
		waiter->on_server(waiter, server);
		return;
	}
	move(pool, server, SW_PLACE_IDLE);
}

void sw_pool_give_back(struct sw_server *server)
{
	assert(sw_buf_len(&server->engine->assembly) == 0); /* the next session builds its messages there */
	struct sw_pool *pool = server->pool;
	int64_t now_ns = sw_clock_ns();
	enum sw_server_end why;

	sw_server_unlink(server);
	if (is_spent(server, now_ns, &why)) {
		sw_server_close(server, why);
		return;
	}
	if (must_yield(pool, server, now_ns)) {
		sw_server_close(server, SW_SERVER_END_QUOTA);
		return;
	}
	server->idle_since_ns = now_ns;
	offer(pool, server);
}

static void set_failed(struct sw_pool *pool, int64_t failed_ns)
{
	pool->engine->failing_pools += (failed_ns > 0) - (pool->failed_ns > 0);
	pool->failed_ns = failed_ns;
}

/* A failure from before the node came up again says nothing about it now. */
static bool has_failed_since_up(const struct sw_pool *pool)
{
	return pool->failed_ns > 0 && pool->failed_ns > pool->engine->view.node[pool->key.node].since_ns;
}

uint32_t sw_pools_failing(struct sw_engine *engine, const struct sw_database *database, const char *user)
{
	struct sw_pool *pool, *after;
	uint32_t mask = 0;

	if (engine->failing_pools == 0)
		return 0;
	HASH_ITER(hh, engine->pools, pool, after)
		if (has_failed_since_up(pool) && pool->database == database && strcmp(pool->key.user, user) == 0 &&
			pool->counts[SW_PLACE_IDLE] + pool->counts[SW_PLACE_USED] == 0)
			mask |= UINT32_C(1) << pool->key.node;
	return mask;
}

/* ---- from server.c */

void sw_pool_on_ready(struct sw_server *server)
{
	struct sw_pool *pool = server->pool;

	set_failed(pool, 0);
	if (!pool->database->is_real) {
		pool->engine->hooks->on_want_catalog(pool->engine, pool->key.dbname);
		pool->database->real_ns = sw_clock_ns();
	}
	pool->database->is_real = true;
	sw_settings_unref(pool->facts);
	pool->facts = sw_settings_ref(server->facts);
	server->idle_since_ns = sw_clock_ns();
	offer(pool, server);
}

bool sw_pool_turn_tls(struct sw_server *server)
{
	struct sw_pool *pool = server->pool;
	enum sw_sslmode mode = pool->engine->config->server_tls.sslmode;
	bool was_tls = server->stream.tls != NULL;

	pool->is_tls_turned = (mode == SW_SSL_ALLOW && !was_tls) || (mode == SW_SSL_PREFER && was_tls);
	if (!pool->is_tls_turned)
		return false; /* there is one way only, or it was the second one */
	sw_server_close(server, SW_SERVER_END_REFUSED);
	fill(pool, pool->waiter_count);
	return true;
}

static void fail_waiters(struct sw_pool *pool, const struct sw_problem *problem, bool is_node_lost)
{
	struct sw_list failed;

	/* A waiter that fails may queue again at once: only those who wait now are meant. */
	sw_list_init(&failed);
	while (!sw_list_is_empty(&pool->waiters)) {
		struct sw_list *entry = pool->waiters.next;

		sw_list_remove(entry);
		sw_list_push_back(&failed, entry);
	}
	while (!sw_list_is_empty(&failed)) {
		struct sw_pool_waiter *waiter = SW_CONTAINER_OF(failed.next, struct sw_pool_waiter, entry);

		sw_pool_forget(waiter);
		waiter->on_failed(waiter, problem, is_node_lost);
	}
}

/* A sign of life is no use: it stays idle since it was. */
void sw_pool_on_checked(struct sw_server *server)
{
	enum sw_server_end why;

	if (is_spent(server, sw_clock_ns(), &why))
		sw_server_close(server, why);
	else
		offer(server->pool, server);
}

void sw_pool_on_refused(struct sw_server *server, const struct sw_problem *problem, bool is_node_lost)
{
	struct sw_pool *pool = server->pool;
	bool is_primary = pool->engine->view.primary == (int32_t)pool->key.node;
	bool is_news = pool->failed_ns == 0;

	set_failed(pool, sw_clock_ns());
	sw_buf_clear(&pool->last_error);
	if (sw_buf_append(&pool->last_error, problem->message, strnlen(problem->message, 1000) + 1) != SW_OK)
		sw_buf_clear(&pool->last_error);
	if (is_news)
		sw_log(SW_LOG_WARNING, "node \"%s\" refused a connection for user \"%s\" to database \"%s\": %s%s%s",
			pool->engine->config->nodes[pool->key.node].name, pool->key.user, pool->key.dbname, problem->message,
			problem->detail ? ": " : "", problem->detail ? problem->detail : "");
	/*
	 * Who waits for a replica is better served elsewhere whatever the reason (T78). Who waits for the primary goes on
	 * waiting while the trouble is the node's, and is told at once where it is the user's or the database's.
	 */
	if (!is_primary)
		fail_waiters(pool, problem, true);
	else if (!is_node_lost)
		fail_waiters(pool, problem, false);
	else
		pool->engine->hooks->on_want_sample(pool->engine);
}

void sw_pool_on_closing(struct sw_server *server)
{
	struct sw_pool *pool = server->pool;

	give_places(pool);
	pool->counts[server->place]--;
	sw_list_remove(&server->entry);
	if (server->place != SW_PLACE_OPENING)
		pool->closed++;
}

void sw_pool_on_cancelled(struct sw_pool *pool, uint32_t pid)
{
	for (int i = SW_PLACE_IDLE; i <= SW_PLACE_USED; i++) {
		SW_LIST_EACH(&pool->places[i], at, after) {
			struct sw_server *server = SW_CONTAINER_OF(at, struct sw_server, entry);

			if (server->pid != pid || server->cancels == 0)
				continue;
			server->cancels--;
			if (i == SW_PLACE_IDLE && server->cancels == 0)
				offer(pool, server);
			return;
		}
	}
}

/* ---- welcomes */

struct sw_settings *sw_pool_welcome(const struct sw_pool *pool, const struct sw_settings *vars)
{
	for (int i = 0; i < SW_WELCOMES; i++)
		if (pool->welcomes[i].vars == vars)
			return pool->welcomes[i].params;
	return NULL;
}

static void drop_welcome(struct sw_welcome *welcome)
{
	sw_settings_unref(welcome->vars);
	sw_settings_unref(welcome->params);
	*welcome = (struct sw_welcome){NULL, NULL};
}

void sw_pool_set_welcome(struct sw_pool *pool, struct sw_settings *vars, struct sw_settings *params)
{
	struct sw_welcome *welcome = &pool->welcomes[pool->welcome_next++ % SW_WELCOMES];

	drop_welcome(welcome);
	*welcome = (struct sw_welcome){sw_settings_ref(vars), sw_settings_ref(params)};
}

/* ---- time */

static void time_out_waiters(struct sw_pool *pool, int64_t now_ns)
{
	int64_t limit_ns = pool->engine->config->query_wait_timeout_us * SW_NS_PER_US;
	struct sw_problem problem = {.severity = "ERROR",
		.sqlstate = "53300",
		.message = "query_wait_timeout: no server connection became free in time",
		.hint = "Raise default_pool_size (or the database's pool_size), or look for sessions that hold connections in SHOW SERVERS."};

	if (pool->failed_ns > 0 && sw_buf_len(&pool->last_error) > 0) {
		problem.message = "query_wait_timeout: no server connection could be opened in time";
		problem.detail = (const char *)sw_buf_data(&pool->last_error);
		problem.hint = "SHOW NODES on the console says what the monitor knows of the node, and its own log whether it was asked.";
	}
	while (limit_ns > 0 && pool->waiter_count > 0) {
		struct sw_pool_waiter *waiter = first_waiter(pool);

		if (now_ns - waiter->since_ns < limit_ns)
			return;
		sw_pool_forget(waiter);
		waiter->on_failed(waiter, &problem, false);
	}
}

static void retire_idle(struct sw_pool *pool, int64_t now_ns)
{
	const struct sw_config *config = pool->engine->config;
	int64_t idle_ns = config->server_idle_timeout_us * SW_NS_PER_US;

	SW_LIST_EACH(&pool->places[SW_PLACE_IDLE], at, after) {
		struct sw_server *server = SW_CONTAINER_OF(at, struct sw_server, entry);
		enum sw_server_end why;

		if (is_spent(server, now_ns, &why))
			sw_server_close(server, why);
		else if (must_yield(pool, server, now_ns))
			sw_server_close(server, SW_SERVER_END_QUOTA);
		else if (idle_ns > 0 && now_ns - server->idle_since_ns > idle_ns &&
			 sw_quota_used(pool->quotas[0]) > config->min_pool_size)
			sw_server_close(server, SW_SERVER_END_LIFETIME);
	}
}

static void time_out_opening(struct sw_pool *pool, int64_t now_ns)
{
	int64_t limit_ns = pool->engine->config->server_connect_timeout_us * SW_NS_PER_US;
	struct sw_problem problem = {.severity = "FATAL",
		.sqlstate = "08006",
		.message = "server_connect_timeout: the node did not finish the login in time"};

	if (limit_ns == 0)
		return;
	SW_LIST_EACH(&pool->places[SW_PLACE_OPENING], at, after) {
		struct sw_server *server = SW_CONTAINER_OF(at, struct sw_server, entry);

		if (now_ns - server->waiting_since_ns < limit_ns)
			continue;
		sw_pool_on_refused(server, &problem, true);
		sw_server_close(server, SW_SERVER_END_REFUSED);
	}
}

/* A node that has gone down will not answer those who wait for it as a replica. */
static void reroute_from_dead_replica(struct sw_pool *pool)
{
	const struct sw_view *view = &pool->engine->view;
	struct sw_problem problem = {.severity = "ERROR", .sqlstate = "08006", .message = "the replica is down"};

	if (pool->waiter_count > 0 && view->primary != (int32_t)pool->key.node && !view->node[pool->key.node].is_up)
		fail_waiters(pool, &problem, true);
}

/* Nobody waits for a pool that has failed: it finds out for itself when it can be used again. */
static bool must_probe(const struct sw_pool *pool, int64_t now_ns)
{
	const struct sw_engine *engine = pool->engine;

	return has_failed_since_up(pool) && !engine->is_draining && engine->view.node[pool->key.node].is_up &&
	       now_ns - pool->failed_ns >= engine->config->server_login_retry_us * SW_NS_PER_US;
}

/* A connection whose sign of life did not come is gone; there may be others. */
static void look_again(struct sw_pool *pool)
{
	struct sw_pool_waiter *waiter = first_waiter(pool);
	struct sw_server *server = waiter ? pick_idle(pool, NULL) : NULL;

	if (server)
		offer(pool, server);
}

void sw_pools_tick(struct sw_engine *engine, int64_t now_ns)
{
	struct sw_pool *pool, *after;

	sw_cancels_time_out(engine, now_ns);
	HASH_ITER(hh, engine->pools, pool, after) {
		uint32_t open = sw_quota_used(pool->quotas[0]); /* of all workers */
		uint32_t least = engine->config->min_pool_size;

		time_out_opening(pool, now_ns);
		time_out_waiters(pool, now_ns);
		retire_idle(pool, now_ns);
		reroute_from_dead_replica(pool);
		look_again(pool);
		if (pool->waiter_count > 0)
			fill(pool, pool->waiter_count);
		else if (must_probe(pool, now_ns))
			fill(pool, 1);
		else if (open < least && !engine->is_draining && pool->opened > 0 && engine->view.node[pool->key.node].is_up)
			fill(pool, least - open);
	}
}

/*
 * Another node is the primary now: what is still held on the old one may not go on writing there, nor take what it reads
 * for the present state (T80, T90).
 */
static void close_earlier_primary(struct sw_pool *pool)
{
	struct sw_server *found;

	do {
		found = NULL;
		SW_LIST_EACH(&pool->places[SW_PLACE_USED], at, after) {
			struct sw_server *server = SW_CONTAINER_OF(at, struct sw_server, entry);

			if (server->is_primary && server->epoch != pool->engine->view.epoch)
				found = server;
		}
		/* Its end may start or end others: look anew. */
		if (found)
			sw_server_close(found, SW_SERVER_END_EPOCH);
	} while (found);
}

void sw_pools_on_view(struct sw_engine *engine)
{
	struct sw_pool *pool, *after;

	if (engine->epoch_seen != engine->view.epoch) {
		engine->epoch_seen = engine->view.epoch;
		HASH_ITER(hh, engine->pools, pool, after)
			close_earlier_primary(pool);
	}
	HASH_ITER(hh, engine->pools, pool, after) {
		if (pool->counts[SW_PLACE_OPENING] > 0)
			SW_LIST_EACH(&pool->places[SW_PLACE_OPENING], at, next)
				sw_server_check_proof(SW_CONTAINER_OF(at, struct sw_server, entry));
		reroute_from_dead_replica(pool);
	}
}

void sw_pools_close_all(struct sw_engine *engine)
{
	struct sw_pool *pool, *after;

	sw_cancels_time_out(engine, INT64_MAX);
	HASH_ITER(hh, engine->pools, pool, after) {
		for (int i = 0; i < SW_PLACES; i++)
			while (!sw_list_is_empty(&pool->places[i]))
				sw_server_close(SW_CONTAINER_OF(pool->places[i].next, struct sw_server, entry), SW_SERVER_END_SHUTDOWN);
	}
}

void sw_pools_free(struct sw_engine *engine)
{
	struct sw_pool *pool, *after;

	HASH_ITER(hh, engine->pools, pool, after) {
		HASH_DEL(engine->pools, pool);
		for (int i = 0; i < SW_WELCOMES; i++)
			drop_welcome(&pool->welcomes[i]);
		sw_settings_unref(pool->facts);
		sw_buf_fini(&pool->last_error);
		sw_mem_free(pool);
	}
}
