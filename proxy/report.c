/*
 * Reports of one worker: its clients, server connections, pools and counters as rows of a table.
 * sw_report_fill runs on the worker's thread and only looks; the table is the caller's. Columns have
 * PgBouncer 1.18's names and order, so that its exporters and dashboards find what they read; our own stand
 * behind them. What has no meaning here is 0 or NULL. Numbers that need more than one worker to be known
 * (averages, free places) are made where the merged table is rendered. What is not here: merging
 * (base/table.c), rendering (admin.c), who asks whom (control.c).
 */
#include "proxy/report.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "proxy/base/clock.h"
#include "proxy/base/lsn.h"
#include "proxy/base/table.h"
#include "proxy/config.h"
#include "proxy/config_table.h"
#include "proxy/net/tls.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/settings.h"
#include "proxy/session/engine.h"
#include "proxy/session/session.h"
#include "router/choose.h"
#include "router/classify.h"

/* A report of some hundred thousand clients; with more, rows are left out and the answer says so. */
#define REPORT_BYTES_MAX ((size_t)32 * 1024 * 1024)

#define KEY   SW_COLUMN_KEY
#define TEXT  SW_COLUMN_TEXT
#define SUM   SW_COLUMN_SUM
#define MOST  SW_COLUMN_MAX
#define FIRST SW_COLUMN_FIRST

/* ---- columns */

/* clang-format off */
#define CONNECTION_COLUMNS \
	{"type", TEXT}, {"user", TEXT}, {"database", TEXT}, {"state", TEXT}, {"addr", TEXT}, {"port", TEXT}, \
	{"local_addr", TEXT}, {"local_port", TEXT}, {"connect_time", TEXT}, {"request_time", TEXT}, \
	{"wait", TEXT}, {"wait_us", TEXT}, {"close_needed", TEXT}, {"ptr", TEXT}, {"link", TEXT}, \
	{"remote_pid", TEXT}, {"tls", TEXT}, {"application_name", TEXT}

static const struct sw_column client_columns[] = {CONNECTION_COLUMNS,
	{"node", TEXT}, {"level", TEXT}, {"pinned", TEXT}, {"floor", TEXT}, {"last_reason", TEXT},
	{"step", TEXT}, {"number", TEXT}};

static const struct sw_column server_columns[] = {CONNECTION_COLUMNS,
	{"node", TEXT}, {"plans", TEXT}, {"settings", TEXT}, {"step", TEXT}};

#define POOL_COLUMNS(node_kind) \
	{"database", KEY}, {"user", KEY}, {"cl_active", SUM}, {"cl_waiting", SUM}, \
	{"cl_active_cancel_req", SUM}, {"cl_waiting_cancel_req", SUM}, {"sv_active", SUM}, \
	{"sv_active_cancel", SUM}, {"sv_being_canceled", SUM}, {"sv_idle", SUM}, {"sv_used", SUM}, \
	{"sv_tested", SUM}, {"sv_login", SUM}, {"maxwait", MOST}, {"maxwait_us", MOST}, \
	{"pool_mode", FIRST}, {"node", node_kind}

/* Exporters take (database, user) for unique: a row for each node beside it would make them fail. */
static const struct sw_column pool_columns[] = {POOL_COLUMNS(TEXT)};
static const struct sw_column node_pool_columns[] = {POOL_COLUMNS(KEY)};

static const struct sw_column stats_columns[] = {
	{"database", KEY}, {"total_xact_count", SUM}, {"total_query_count", SUM}, {"total_received", SUM},
	{"total_sent", SUM}, {"total_xact_time", SUM}, {"total_query_time", SUM}, {"total_wait_time", SUM},
	{"avg_xact_count", SUM}, {"avg_query_count", SUM}, {"avg_recv", SUM}, {"avg_sent", SUM},
	{"avg_xact_time", SUM}, {"avg_query_time", SUM}, {"avg_wait_time", SUM},
	{"routes", SUM}, {"pins", SUM}, {"retries", SUM}, {"waits", SUM}, {"cancels", SUM},
	{"pins_temp", SUM}, {"pins_prepare", SUM}, {"pins_listen", SUM}, {"pins_lock", SUM}, {"pins_cursor", SUM},
	{"pins_backend", SUM}, {"pins_setting", SUM}, {"pins_role", SUM}, {"pins_load", SUM}, {"pins_unseen", SUM},
	{"pins_sequence", SUM}, {"settles", SUM}, {"settles_early", SUM}, {"settles_late", SUM}};

static const struct sw_column route_columns[] = {{"node", KEY}, {"reason", KEY}, {"count", SUM}};

static const struct sw_column database_columns[] = {
	{"name", KEY}, {"host", FIRST}, {"port", FIRST}, {"database", FIRST}, {"force_user", FIRST},
	{"pool_size", FIRST}, {"min_pool_size", FIRST}, {"reserve_pool", FIRST}, {"pool_mode", FIRST},
	{"max_connections", FIRST}, {"current_connections", SUM}, {"paused", FIRST}, {"disabled", FIRST}};

static const struct sw_column list_columns[] = {{"list", KEY}, {"items", SUM}};
/* clang-format on */

#define COLUMNS(array)                                                                                       \
	{                                                                                                    \
		array, sizeof(array) / sizeof(*(array))                                                      \
	}

static const struct {
	const struct sw_column *columns;
	uint32_t count;
} layouts[SW_REPORT_KINDS] = {
        [SW_REPORT_CLIENTS] = COLUMNS(client_columns),
        [SW_REPORT_SERVERS] = COLUMNS(server_columns),
        [SW_REPORT_POOLS] = COLUMNS(pool_columns),
        [SW_REPORT_POOLS_BY_NODE] = COLUMNS(node_pool_columns),
        [SW_REPORT_STATS] = COLUMNS(stats_columns),
        [SW_REPORT_ROUTES] = COLUMNS(route_columns),
        [SW_REPORT_DATABASES] = COLUMNS(database_columns),
        [SW_REPORT_LISTS] = COLUMNS(list_columns),
};

struct sw_table *sw_report_table(enum sw_report_kind kind)
{
	return sw_table_new(layouts[kind].columns, layouts[kind].count, REPORT_BYTES_MAX);
}

/* ---- times and words */

static int64_t wall_offset_ns;
static uv_once_t wall_offset_once = UV_ONCE_INIT;

/* Taken once, so that what is shown of a connection stays the same when the machine's clock is set. */
static void take_wall_offset(void)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	wall_offset_ns = (int64_t)wall.tv_sec * SW_NS_PER_S + wall.tv_nsec - sw_clock_ns();
}

#define TIME_TEXT_MAX 32

static void format_time(int64_t at_ns, char out[TIME_TEXT_MAX])
{
	time_t seconds;
	struct tm calendar;

	uv_once(&wall_offset_once, take_wall_offset);
	seconds = (time_t)((at_ns + wall_offset_ns) / SW_NS_PER_S);
	gmtime_r(&seconds, &calendar);
	strftime(out, TIME_TEXT_MAX, "%Y-%m-%d %H:%M:%S UTC", &calendar);
}

/* The word that the configuration has for a value. */
static const char *choice_text(const char *section, const char *name, int value)
{
	const struct sw_config_key *key = sw_config_key_find(section, name);

	for (const struct sw_key_choice *choice = key ? key->choices : NULL; choice && choice->name; choice++)
		if (choice->value == value)
			return choice->name;
	return NULL;
}

static const char *pool_mode_text(const struct sw_engine *engine, const char *database, const char *user)
{
	const struct sw_config *config = engine->config;

	return choice_text("seawall", "pool_mode",
	        (int)sw_config_pool_mode(config, sw_config_database(config, database),
	                user ? sw_config_user(config, user) : NULL));
}

static const char *node_name(const struct sw_engine *engine, int32_t node)
{
	return node >= 0 && (uint32_t)node < engine->config->node_count ? engine->config->nodes[node].name
	                                                                : NULL;
}

/* ---- clients and servers */

struct connection {
	const char *type, *user, *database, *state, *address, *application;
	uint16_t port;
	int64_t connect_ns, request_ns, wait_ns;
	bool is_close_needed;
	uint32_t remote_pid;
	const struct sw_stream *stream;
	char identity[24], link[24]; /* "" = none */
};

/* "TLSv1.3/TLS_AES_256_GCM_SHA384", or nothing. */
static void add_tls(struct sw_table *table, const struct sw_stream *stream)
{
	char text[96] = "";

	if (stream->tls)
		snprintf(text, sizeof(text), "%s/%s", sw_tls_version(stream->tls), sw_tls_cipher(stream->tls));
	sw_table_text(table, text);
}

static void add_connection(struct sw_table *table, const struct connection *connection)
{
	char connect_time[TIME_TEXT_MAX], request_time[TIME_TEXT_MAX];

	format_time(connection->connect_ns, connect_time);
	format_time(connection->request_ns, request_time);
	sw_table_text(table, connection->type);
	sw_table_text(table, connection->user);
	sw_table_text(table, connection->database);
	sw_table_text(table, connection->state);
	sw_table_text(table, connection->address);
	sw_table_number(table, connection->port);
	sw_table_text(table, NULL); /* local address and port: a system call each, for what nobody reads */
	sw_table_number(table, 0);
	sw_table_text(table, connect_time);
	sw_table_text(table, request_time);
	sw_table_number(table, (uint64_t)(connection->wait_ns / SW_NS_PER_S));
	sw_table_number(table, (uint64_t)(connection->wait_ns % SW_NS_PER_S / SW_NS_PER_US));
	sw_table_number(table, connection->is_close_needed);
	sw_table_text(table, connection->identity);
	sw_table_text(table, connection->link);
	sw_table_number(table, connection->remote_pid);
	add_tls(table, connection->stream);
	sw_table_text(table, connection->application ? connection->application : "");
}

/* Clients are told apart by their session's number, the one that the log names. */
static void identify_session(const struct sw_session *session, char out[24])
{
	snprintf(out, 24, "0x%" PRIx64, session->number);
}

static void identify_server(const struct sw_server *server, char out[24])
{
	snprintf(out, 24, "%p", (const void *)server);
}

static bool is_logging_in(const struct sw_session *session)
{
	return session->state <= SW_SESSION_AUTH || !session->database || !session->user;
}

/* How long the session has waited for a node or a server connection; -1 = it does not wait. */
static int64_t waited_ns(const struct sw_session *session, int64_t now_ns)
{
	int64_t since_ns = now_ns;

	if (session->state == SW_SESSION_WAIT_NODE) {
		if (session->unit && session->unit->waiting_since_ns > 0)
			since_ns = session->unit->waiting_since_ns;
	} else if (session->state == SW_SESSION_WAIT_SERVER || session->state == SW_SESSION_WELCOME) {
		if (!sw_list_is_empty(&session->waiter.entry))
			since_ns = session->waiter.since_ns;
	} else {
		return -1;
	}
	return now_ns > since_ns ? now_ns - since_ns : 0;
}

static void add_pins(struct sw_table *table, uint32_t pins)
{
	char text[512] = "";
	size_t len = 0;

	for (uint32_t left = pins; left && len < sizeof(text); left &= left - 1)
		len += (size_t)snprintf(
		        text + len, sizeof(text) - len, "%s%s", len ? "," : "", sw_pin_text(left));
	sw_table_text(table, text);
}

/* A plus sign: the last event lies past it, and no sample has said yet how far. */
static void add_floor(struct sw_table *table, const struct sw_floor *floor)
{
	bool is_open = floor->primary_event_ns > 0 || floor->replica_event_ns > 0;
	char lsn[SW_LSN_TEXT_MAX], text[SW_LSN_TEXT_MAX + 16] = "";

	if (floor->at.timeline)
		snprintf(text, sizeof(text), "%" PRIu32 ":%s", floor->at.timeline,
		        sw_lsn_format(floor->at.lsn, lsn));
	if (is_open)
		strcat(text, "+");
	sw_table_text(table, *text ? text : NULL);
}

static void add_client(struct sw_table *table, const struct sw_session *session, int64_t now_ns)
{
	const struct sw_engine *engine = session->engine;
	int64_t wait_ns = waited_ns(session, now_ns);
	struct connection connection = {.type = "C",
	        .user = session->user,
	        .database = session->database ? session->database->name : NULL,
	        .state = is_logging_in(session) ? "login"
	                 : wait_ns >= 0         ? "waiting"
	                                        : "active",
	        .address = session->address,
	        .port = session->port,
	        .application = session->vars ? sw_settings_find(session->vars, "application_name") : NULL,
	        .connect_ns = session->since_ns,
	        .request_ns = session->unit ? session->unit->started_ns : session->active_ns,
	        .wait_ns = wait_ns > 0 ? wait_ns : 0,
	        .is_close_needed = engine->is_draining,
	        .remote_pid = session->server ? session->server->pid : 0,
	        .stream = &session->stream};

	identify_session(session, connection.identity);
	if (session->server)
		identify_server(session->server, connection.link);
	sw_table_begin(table);
	add_connection(table, &connection);
	sw_table_text(table, node_name(engine, session->route.node));
	sw_table_text(table, choice_text("routing", "consistency", session->level));
	add_pins(table, session->pins);
	add_floor(table, &session->floor);
	sw_table_text(table, session->route.node >= 0 ? sw_route_reason_text(session->route.reason) : NULL);
	sw_table_text(table, sw_session_state_text(session->state));
	sw_table_number(table, session->number);
	sw_table_end(table);
}

static void fill_clients(struct sw_engine *engine, struct sw_table *table)
{
	int64_t now_ns = sw_clock_ns();

	SW_LIST_EACH(&engine->sessions, at, after)
	add_client(table, SW_CONTAINER_OF(at, struct sw_session, entry), now_ns);
}

/* PgBouncer's words: "tested" is a connection that is being proven. */
static const char *server_state_text(const struct sw_server *server)
{
	switch (server->state) {
	case SW_SERVER_PROVING:
		return "tested";
	case SW_SERVER_IDLE:
		return server->cancels > 0 ? "being_canceled" : "idle";
	case SW_SERVER_LINKED:
	case SW_SERVER_ROUND:
		return "active";
	default:
		return "new";
	}
}

static int64_t last_request_ns(const struct sw_server *server)
{
	if (server->session && server->session->unit)
		return server->session->unit->started_ns;
	return server->idle_since_ns > 0 ? server->idle_since_ns : server->opened_ns;
}

static void add_server(struct sw_table *table, const struct sw_server *server)
{
	const struct sw_pool *pool = server->pool;
	const struct sw_engine *engine = server->engine;
	const struct sw_node_config *node = &engine->config->nodes[pool->key.node];
	struct connection connection = {.type = "S",
	        .user = pool->key.user,
	        .database = pool->database->name,
	        .state = server_state_text(server),
	        .address = node->host[0] == '/' ? "unix" : node->host,
	        .port = node->port,
	        .application = server->vars ? sw_settings_find(server->vars, "application_name") : NULL,
	        .connect_ns = server->opened_ns,
	        .request_ns = last_request_ns(server),
	        .is_close_needed =
	                server->is_unclean || (server->epoch != 0 && server->epoch != engine->view.epoch),
	        .remote_pid = server->pid,
	        .stream = &server->stream};

	identify_server(server, connection.identity);
	if (server->session)
		identify_session(server->session, connection.link);
	sw_table_begin(table);
	add_connection(table, &connection);
	sw_table_text(table, node->name);
	sw_table_number(table, sw_plan_set_count(&server->plans));
	sw_table_number(table, server->vars ? sw_settings_count(server->vars) : 0);
	sw_table_text(table, sw_server_state_text(server->state));
	sw_table_end(table);
}

static void fill_servers(struct sw_engine *engine, struct sw_table *table)
{
	for (const struct sw_pool *pool = engine->pools; pool; pool = pool->hh.next)
		for (int place = 0; place < SW_PLACES; place++)
			SW_LIST_EACH(&pool->places[place], at, after)
	add_server(table, SW_CONTAINER_OF(at, struct sw_server, entry));
}

/* ---- pools */

struct pool_row {
	const char *database, *user, *mode, *node;
	uint64_t clients_active, clients_waiting, active, being_cancelled, idle, proving, login, wait_us;
};

static void add_pool_row(struct sw_table *table, const struct pool_row *row)
{
	sw_table_begin(table);
	sw_table_text(table, row->database);
	sw_table_text(table, row->user);
	sw_table_number(table, row->clients_active);
	sw_table_number(table, row->clients_waiting);
	sw_table_number(table, 0); /* cancel requests are delivered, not queued */
	sw_table_number(table, 0);
	sw_table_number(table, row->active);
	sw_table_number(table, 0);
	sw_table_number(table, row->being_cancelled);
	sw_table_number(table, row->idle);
	sw_table_number(table, 0); /* no connection has to be checked before its next use */
	sw_table_number(table, row->proving);
	sw_table_number(table, row->login);
	sw_table_number(
	        table, row->wait_us); /* whole in both columns: they are split when the longest is known */
	sw_table_number(table, row->wait_us);
	sw_table_text(table, row->mode);
	sw_table_text(table, row->node);
	sw_table_end(table);
}

static void add_pool(struct sw_table *table, const struct sw_pool *pool)
{
	struct pool_row row = {.database = pool->database->name,
	        .user = pool->key.user,
	        .mode = pool_mode_text(pool->engine, pool->database->name, pool->key.user),
	        .node = node_name(pool->engine, (int32_t)pool->key.node),
	        .active = pool->counts[SW_PLACE_USED]};

	SW_LIST_EACH(&pool->places[SW_PLACE_IDLE], at, after)
	{
		if (SW_CONTAINER_OF(at, struct sw_server, entry)->cancels > 0)
			row.being_cancelled++;
		else
			row.idle++;
	}
	SW_LIST_EACH(&pool->places[SW_PLACE_OPENING], at, after)
	{
		if (SW_CONTAINER_OF(at, struct sw_server, entry)->state == SW_SERVER_PROVING)
			row.proving++;
		else
			row.login++;
	}
	add_pool_row(table, &row);
}

/* The node whose pool serves the session now, or would; -1 = none. */
static int32_t node_of_session(const struct sw_session *session)
{
	if (session->server)
		return (int32_t)session->server->pool->key.node;
	if (session->waiter.pool && !sw_list_is_empty(&session->waiter.entry))
		return (int32_t)session->waiter.pool->key.node;
	return -1;
}

static void fill_pools(struct sw_engine *engine, struct sw_table *table, bool is_by_node)
{
	int64_t now_ns = sw_clock_ns();

	for (const struct sw_pool *pool = engine->pools; pool; pool = pool->hh.next)
		add_pool(table, pool);
	SW_LIST_EACH(&engine->sessions, at, after)
	{
		const struct sw_session *session = SW_CONTAINER_OF(at, struct sw_session, entry);
		int64_t wait_ns = waited_ns(session, now_ns);
		struct pool_row row = {
		        .user = session->user, .node = node_name(engine, node_of_session(session))};

		if (is_logging_in(session) || (is_by_node && !row.node))
			continue;
		row.database = session->database->name;
		row.mode = choice_text("seawall", "pool_mode", session->pool_mode);
		row.clients_active = wait_ns < 0;
		row.clients_waiting = wait_ns >= 0;
		row.wait_us = wait_ns > 0 ? (uint64_t)(wait_ns / SW_NS_PER_US) : 0;
		add_pool_row(table, &row);
	}
}

/* ---- counters */

static void add_stats(struct sw_table *table, const struct sw_database *database)
{
	const struct sw_stats *stats = &database->stats;
	uint64_t routes = 0, pins = 0;

	for (int kind = 0; kind < SW_PIN_KINDS; kind++)
		pins += stats->pins[kind];
	for (int node = 0; node < SW_NODES_MAX; node++)
		for (int reason = 0; reason < SW_ROUTE_REASONS; reason++)
			routes += stats->routes[node][reason];
	sw_table_begin(table);
	sw_table_text(table, database->name);
	sw_table_number(table, stats->transactions);
	sw_table_number(table, stats->queries);
	sw_table_number(table, stats->bytes_in);
	sw_table_number(table, stats->bytes_out);
	sw_table_number(table, 0); /* how long transactions were open is not counted */
	sw_table_number(table, stats->query_us);
	sw_table_number(table, stats->wait_us);
	for (int average = 0; average < 7; average++)
		sw_table_text(table, NULL);
	sw_table_number(table, routes);
	sw_table_number(table, pins);
	sw_table_number(table, stats->retries);
	sw_table_number(table, stats->waits);
	sw_table_number(table, stats->cancels);
	for (int kind = 0; kind < SW_PIN_KINDS; kind++)
		sw_table_number(table, stats->pins[kind]);
	sw_table_number(table, stats->settles);
	sw_table_number(table, stats->settles_early);
	sw_table_number(table, stats->settles_late);
	sw_table_end(table);
}

static void add_routes(struct sw_table *table, const struct sw_engine *engine, const struct sw_stats *stats)
{
	for (uint32_t node = 0; node < engine->config->node_count; node++) {
		for (int reason = 0; reason < SW_ROUTE_REASONS; reason++) {
			if (stats->routes[node][reason] == 0)
				continue;
			sw_table_begin(table);
			sw_table_text(table, engine->config->nodes[node].name);
			sw_table_text(table, sw_route_reason_text((enum sw_route_reason)reason));
			sw_table_number(table, stats->routes[node][reason]);
			sw_table_end(table);
		}
	}
}

static void fill_counters(struct sw_engine *engine, enum sw_report_kind kind, struct sw_table *table)
{
	SW_LIST_EACH(&engine->databases, at, after)
	{
		const struct sw_database *database = SW_CONTAINER_OF(at, struct sw_database, entry);

		if (kind == SW_REPORT_STATS)
			add_stats(table, database);
		else
			add_routes(table, engine, &database->stats);
	}
}

/* ---- databases and lists */

static void add_database(
        struct sw_table *table, const struct sw_engine *engine, const char *name, uint64_t connections)
{
	const struct sw_config *config = engine->config;
	const struct sw_database_config *entry = sw_config_database(config, name);
	const struct sw_node_config *primary =
	        engine->view.primary >= 0 ? &config->nodes[engine->view.primary] : NULL;
	bool is_console = strcmp(name, "seawall") == 0;

	sw_table_begin(table);
	sw_table_text(table, name);
	sw_table_text(table, primary && !is_console ? primary->host : NULL);
	sw_table_number(table, is_console ? config->listen_port : primary ? primary->port : 0);
	sw_table_text(table, entry && entry->dbname[0] && !is_console ? entry->dbname : name);
	sw_table_text(table, NULL);
	sw_table_number(table, is_console ? 0 : sw_config_pool_size(config, entry));
	sw_table_number(table, is_console ? 0 : config->min_pool_size);
	sw_table_number(table, 0);
	sw_table_text(table, is_console ? NULL : pool_mode_text(engine, name, NULL));
	sw_table_number(table, is_console ? 0 : config->max_db_connections);
	sw_table_number(table, connections);
	sw_table_number(table, 0);
	sw_table_number(table, 0);
	sw_table_end(table);
}

static uint64_t open_connections(const struct sw_pool *pool)
{
	return (uint64_t)pool->counts[SW_PLACE_OPENING] + pool->counts[SW_PLACE_IDLE] +
	       pool->counts[SW_PLACE_USED];
}

/* Those of the configuration, then those in use that only "*" stands for. */
static void fill_databases(struct sw_engine *engine, struct sw_table *table)
{
	const struct sw_config *config = engine->config;

	for (uint32_t i = 0; i < config->database_count; i++)
		if (strcmp(config->databases[i].name, "*") != 0)
			add_database(table, engine, config->databases[i].name, 0);
	SW_LIST_EACH(&engine->databases, at, after)
	add_database(table, engine, SW_CONTAINER_OF(at, struct sw_database, entry)->name, 0);
	for (const struct sw_pool *pool = engine->pools; pool; pool = pool->hh.next)
		add_database(table, engine, pool->database->name, open_connections(pool));
}

/* "databases", "users" and "free_clients" are known to the control thread alone. */
static void fill_lists(struct sw_engine *engine, struct sw_table *table)
{
	static const char *const names[] = {"databases", "users", "pools", "free_clients", "used_clients",
	        "login_clients", "free_servers", "used_servers", "dns_names", "dns_zones", "dns_queries",
	        "dns_pending"};
	uint64_t items[sizeof(names) / sizeof(*names)] = {0};

	for (const struct sw_pool *pool = engine->pools; pool; pool = pool->hh.next) {
		items[2]++;
		items[6] += pool->counts[SW_PLACE_IDLE];
		items[7] += pool->counts[SW_PLACE_USED] + pool->counts[SW_PLACE_OPENING];
	}
	SW_LIST_EACH(&engine->sessions, at, after)
	items[is_logging_in(SW_CONTAINER_OF(at, struct sw_session, entry)) ? 5 : 4]++;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		sw_table_begin(table);
		sw_table_text(table, names[i]);
		sw_table_number(table, items[i]);
		sw_table_end(table);
	}
}

void sw_report_fill(struct sw_engine *engine, enum sw_report_kind kind, struct sw_table *table)
{
	assert(table->columns == layouts[kind].columns);
	switch (kind) {
	case SW_REPORT_CLIENTS:
		fill_clients(engine, table);
		break;
	case SW_REPORT_SERVERS:
		fill_servers(engine, table);
		break;
	case SW_REPORT_POOLS:
	case SW_REPORT_POOLS_BY_NODE:
		fill_pools(engine, table, kind == SW_REPORT_POOLS_BY_NODE);
		break;
	case SW_REPORT_STATS:
	case SW_REPORT_ROUTES:
		fill_counters(engine, kind, table);
		break;
	case SW_REPORT_DATABASES:
		fill_databases(engine, table);
		break;
	case SW_REPORT_LISTS:
		fill_lists(engine, table);
		break;
	case SW_REPORT_KINDS:
		break;
	}
}
