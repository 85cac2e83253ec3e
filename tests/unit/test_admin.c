/* The console: what its statements mean, what the answers hold, what a worker reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lagmon/view.h"
#include "proxy/admin.h"
#include "proxy/base/clock.h"
#include "proxy/base/mem.h"
#include "proxy/base/table.h"
#include "proxy/config.h"
#include "proxy/session/engine.h"
#include "proxy/session/session.h"
#include "proxy/wire/message.h"

static const char *no_functions[] = {NULL};

struct fixture {
	struct sw_config config;
	struct sw_view view;
	struct sw_admin_context context;
	struct sw_buf out;
	enum sw_report_kind report;
};

static int set_up(void **state)
{
	struct fixture *f = SW_NEW(struct fixture);

	f->config.primary_functions = f->config.replica_functions = no_functions;
	f->config.node_count = 2;
	f->config.nodes[0] =
	        (struct sw_node_config){.name = "pg1", .host = "10.0.0.1", .port = 5432, .weight = 1};
	f->config.nodes[1] =
	        (struct sw_node_config){.name = "pg2", .host = "10.0.0.2", .port = 5433, .weight = 7};
	f->config.max_lag_us = 5000000;
	f->config.max_lag_bytes = 1000;
	f->config.max_client_conn = 10;
	f->config.default_pool_size = 20;
	snprintf(f->config.monitor_password, sizeof(f->config.monitor_password), "very secret");
	f->view.primary = -1;
	f->context = (struct sw_admin_context){&f->config, &f->view, NULL, sw_clock_ns() - 10 * SW_NS_PER_S};
	f->report = SW_REPORT_KINDS;
	sw_buf_init(&f->out, 1024 * 1024);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sw_buf_fini(&f->out);
	sw_mem_free(f);
	return 0;
}

static enum sw_admin_step ask(struct fixture *f, const char *sql)
{
	sw_buf_clear(&f->out);
	return sw_admin_parse(sql, true, &f->context, &f->out, &f->report);
}

/* The types of all messages; every length is right or the test fails. */
static const char *kinds(const struct fixture *f)
{
	static char types[4096];
	const uint8_t *at = sw_buf_data(&f->out), *end = at + sw_buf_len(&f->out);
	size_t count = 0;

	while (at < end) {
		assert_true(end - at >= SW_HEADER_BYTES);
		if (count < sizeof(types) - 1)
			types[count++] = (char)*at;
		at += 1 + sw_get_u32(at + 1);
	}
	assert_ptr_equal(at, end);
	types[count] = '\0';
	return types;
}

/* The body of the first message of a type. */
static const uint8_t *body_of(const struct fixture *f, char type, int which)
{
	for (const uint8_t *at = sw_buf_data(&f->out);; at += 1 + sw_get_u32(at + 1)) {
		assert_true(at < sw_buf_data(&f->out) + sw_buf_len(&f->out));
		if (*at == (uint8_t)type && which-- == 0)
			return at + SW_HEADER_BYTES;
	}
}

static int column_of(const struct fixture *f, const char *name)
{
	const uint8_t *at = body_of(f, 'T', 0);
	int count = at[0] << 8 | at[1];

	at += 2;
	for (int i = 0; i < count; i++) {
		if (strcmp((const char *)at, name) == 0)
			return i;
		at += strlen((const char *)at) + 1 + 18;
	}
	fail_msg("no column %s", name);
	return -1;
}

/* The cell's text; NULL = NULL. */
static const char *cell(const struct fixture *f, int row, const char *column)
{
	static char text[8][2048];
	static int turn;
	char *out = text[turn++ % 8];
	const uint8_t *at = body_of(f, 'D', row) + 2;
	int left = column_of(f, column);

	for (;; left--) {
		uint32_t len = sw_get_u32(at);

		at += 4;
		if (left == 0 && len == UINT32_MAX)
			return NULL;
		if (left == 0) {
			snprintf(out, 2048, "%.*s", (int)len, (const char *)at);
			return out;
		}
		at += len == UINT32_MAX ? 0 : len;
	}
}

static struct sw_fields fields(const struct fixture *f, char type)
{
	const uint8_t *body = body_of(f, type, 0);
	struct sw_fields found;

	assert_int_equal(sw_fields_parse(body, sw_get_u32(body - 4) - 4, &found), SW_OK);
	return found;
}

static void test_words_in_any_form(void **state)
{
	static const char *const forms[] = {"SHOW NODES", "show nodes;", "  Show \n\t NODES ; ; ",
	        "SHOW nodes -- why", "/* a /* nested */ one */SHOW/**/NODES", "SHOW NODES;--",
	        "SHOW NODES/* open"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		assert_int_equal(ask(f, forms[i]), SW_ADMIN_ANSWERED);
		assert_string_equal(kinds(f), "TDDC");
	}
}

static void test_unknown_commands(void **state)
{
	static const char *const texts[] = {"SHOW", "SHOW NODES; SHOW LAG", "SHOW NODESX",
	        "RELOAD NOW PLEASE", "DROP DATABASE app", "SELECT 1 + 1", "SHOWNODES", "EXPLAIN ROUTE", "-",
	        "/", "\"", "SET"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(ask(f, texts[i]), SW_ADMIN_ANSWERED);
		assert_string_equal(kinds(f), "E");
		assert_string_equal(fields(f, 'E').sqlstate, "42601");
		assert_non_null(strstr(fields(f, 'E').message, texts[i]));
		assert_string_equal(fields(f, 'E').hint, "SHOW HELP lists the commands.");
	}
}

static void test_long_statement_is_no_command(void **state)
{
	struct fixture *f = *state;
	char *text = sw_mem_zalloc(100001);

	memset(text, ';', 100000);
	memcpy(text, "SELECT 1", 8);
	memcpy(text + 99990, " DROP x", 7);
	ask(f, text);
	assert_string_equal(kinds(f), "E");
	assert_true(strlen(fields(f, 'E').message) < 200);
	memset(text, ' ', 100000);
	memcpy(text, "SHOW", 4);
	memcpy(text + 99990, "NODES", 5);
	ask(f, text);
	assert_string_equal(kinds(f), "TDDC");
	memset(text, 0xc3, 1000);
	text[1000] = '\0';
	ask(f, text);
	assert_string_equal(kinds(f), "E");
	sw_mem_free(text);
}

static void test_what_clients_send_by_themselves(void **state)
{
	struct fixture *f = *state;

	ask(f, " ; -- nothing");
	assert_string_equal(kinds(f), "I");
	ask(f, "SET extra_float_digits = 3");
	assert_string_equal(kinds(f), "C");
	ask(f, "select 1;");
	assert_string_equal(kinds(f), "TDC");
	assert_string_equal((const char *)body_of(f, 'C', 0), "SELECT 1");
	ask(f, "SET Default_Pool_Size=30");
	assert_string_equal(fields(f, 'E').sqlstate, "0A000");
}

static void test_reload_is_for_admins(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "reload;"), SW_ADMIN_RELOAD);
	assert_int_equal(sw_buf_len(&f->out), 0);
	assert_int_equal(
	        sw_admin_parse("RELOAD", false, &f->context, &f->out, &f->report), SW_ADMIN_ANSWERED);
	assert_string_equal(fields(f, 'E').sqlstate, "42501");
	sw_buf_clear(&f->out);
	assert_int_equal(
	        sw_admin_parse("SHOW STATS", false, &f->context, &f->out, &f->report), SW_ADMIN_REPORT);
	assert_int_equal(f->report, SW_REPORT_STATS);
	assert_int_equal(sw_buf_len(&f->out), 0);
}

static void test_reload_answers(void **state)
{
	struct fixture *f = *state;
	char *faults = sw_mem_zalloc(1000001);

	sw_admin_reload_answer(true, "", &f->out);
	assert_string_equal(kinds(f), "C");
	sw_buf_clear(&f->out);
	sw_admin_reload_answer(true, "x.conf:3: something\n", &f->out);
	assert_string_equal(kinds(f), "NC");
	sw_buf_clear(&f->out);
	sw_admin_reload_answer(false, "x.conf:3: max_lag: not a time\n", &f->out);
	assert_string_equal(kinds(f), "E");
	assert_string_equal(fields(f, 'E').sqlstate, "F0000");
	assert_string_equal(fields(f, 'E').detail, "x.conf:3: max_lag: not a time");
	sw_buf_clear(&f->out);
	memset(faults, 'x', 1000000);
	sw_admin_reload_answer(false, faults, &f->out);
	assert_true(sw_buf_len(&f->out) < SW_ADMIN_ANSWER_BYTES_LEAST);
	sw_mem_free(faults);
}

static void test_nodes_before_anything_is_known(void **state)
{
	struct fixture *f = *state;

	ask(f, "SHOW NODES");
	assert_string_equal(kinds(f), "TDDC");
	assert_string_equal(cell(f, 1, "name"), "pg2");
	assert_string_equal(cell(f, 1, "port"), "5433");
	assert_string_equal(cell(f, 1, "role"), "unknown");
	assert_string_equal(cell(f, 1, "state"), "down");
	assert_string_equal(cell(f, 1, "fit"), "no");
	assert_string_equal(cell(f, 1, "weight"), "7");
	assert_null(cell(f, 1, "lsn"));
	assert_null(cell(f, 1, "lag_bytes"));
	assert_null(cell(f, 1, "since"));
	assert_null(cell(f, 1, "samples"));
}

static void test_T36_unknown_lag_is_null_and_known_lag_is_not(void **state)
{
	struct fixture *f = *state;
	int64_t now_ns = sw_clock_ns();

	f->view.node_count = 2;
	f->view.primary = 0;
	f->view.node[0] = (struct sw_view_node){.is_up = true,
	        .is_lineage_ok = true,
	        .role = SW_ROLE_PRIMARY,
	        .sent_ns = now_ns,
	        .since_ns = now_ns - 90 * SW_NS_PER_S,
	        .at = {3, {0x1000000a0}}};
	f->view.node[1] = (struct sw_view_node){.is_up = true,
	        .is_lineage_ok = true,
	        .role = SW_ROLE_REPLICA,
	        .sent_ns = now_ns,
	        .at = {3, {0x100000010}},
	        .lag_bytes = 0x90,
	        .lag_us = 12999,
	        .fit_mask = 1};
	ask(f, "SHOW LAG");
	assert_string_equal(cell(f, 0, "lag_bytes"), "0");
	assert_null(cell(f, 0, "fit"));
	assert_string_equal(cell(f, 1, "lsn"), "1/10");
	assert_string_equal(cell(f, 1, "lag_bytes"), "144");
	assert_string_equal(cell(f, 1, "lag_ms"), "12");
	assert_string_equal(cell(f, 1, "limit_ms"), "5000");
	assert_string_equal(cell(f, 1, "limit_bytes"), "1000");
	assert_string_equal(cell(f, 1, "fit"), "yes");
	f->view.node[1].lag_bytes = UINT64_MAX;
	f->view.node[1].lag_us = INT64_MAX;
	f->view.node[1].is_lineage_ok = false;
	ask(f, "SHOW NODES");
	assert_null(cell(f, 1, "lag_bytes"));
	assert_null(cell(f, 1, "lag_ms"));
	assert_string_equal(cell(f, 1, "fit"), "no");
	assert_string_equal(cell(f, 0, "role"), "primary");
	assert_string_equal(cell(f, 0, "since"), "90");
	assert_string_equal(cell(f, 0, "timeline"), "3");
}

static void test_config_hides_secrets_and_names_sections(void **state)
{
	struct fixture *f = *state;
	bool has_bare = false, has_monitor = false;
	const char *types;

	ask(f, "SHOW CONFIG");
	types = kinds(f);
	for (int i = 0; types[i + 1] == 'D'; i++) {
		const char *value = cell(f, i, "value");

		assert_null(value ? strstr(value, "very secret") : NULL);
		has_bare |= strcmp(cell(f, i, "key"), "max_client_conn") == 0 && strcmp(value, "10") == 0;
		has_monitor |=
		        strcmp(cell(f, i, "key"), "monitor.password") == 0 && strcmp(value, "********") == 0;
	}
	assert_true(has_bare && has_monitor);
}

static void test_help_names_every_command(void **state)
{
	static const char *const words[] = {
	        "SHOW NODES", "SHOW POOLS", "SHOW ROUTES", "RELOAD", "EXPLAIN ROUTE statement"};
	struct fixture *f = *state;

	ask(f, "HELP");
	for (size_t w = 0; w < sizeof(words) / sizeof(*words); w++) {
		bool is_found = false;

		for (int i = 0; !is_found && kinds(f)[i + 1] == 'D'; i++)
			is_found = strcmp(cell(f, i, "command"), words[w]) == 0;
		assert_true(is_found);
	}
}

static void test_explain_route(void **state)
{
	struct fixture *f = *state;

	ask(f, "EXPLAIN ROUTE INSERT INTO t VALUES (1);");
	assert_string_equal(cell(f, 0, "route"), "primary");
	ask(f, "/* x */ explain -- y\n route SELECT count(*) FROM t");
	assert_string_equal(cell(f, 0, "route"), "replica");
}

/* ---- reports */

static void add_pool_row(
        struct sw_table *table, const char *user, uint64_t clients, uint64_t wait_us, const char *node)
{
	sw_table_begin(table);
	sw_table_text(table, "app");
	sw_table_text(table, user);
	for (int i = 0; i < 11; i++)
		sw_table_number(table, i == 0 ? clients : 0);
	sw_table_number(table, wait_us);
	sw_table_number(table, wait_us);
	sw_table_text(table, "transaction");
	sw_table_text(table, node);
	sw_table_end(table);
}

static void test_longest_wait_is_split_after_merging(void **state)
{
	struct fixture *f = *state;
	struct sw_table *table = sw_report_table(SW_REPORT_POOLS), *other = sw_report_table(SW_REPORT_POOLS);

	add_pool_row(table, "ann", 2, 3000001, "pg1");
	add_pool_row(other, "ann", 1, 2999999, "pg2");
	sw_table_merge(table, other);
	sw_admin_render(SW_REPORT_POOLS, table, &f->context, &f->out);
	assert_string_equal(kinds(f), "TDC");
	assert_string_equal(cell(f, 0, "cl_active"), "3");
	assert_string_equal(cell(f, 0, "maxwait"), "3");
	assert_string_equal(cell(f, 0, "maxwait_us"), "1");
	assert_string_equal(cell(f, 0, "node"), "pg1,pg2");
	sw_table_free(table);
	sw_table_free(other);
}

static void test_answer_stops_at_the_maximum_and_says_so(void **state)
{
	struct fixture *f = *state;
	struct sw_table *table = sw_report_table(SW_REPORT_POOLS);
	char user[32];

	for (int i = 0; i < 5000; i++) {
		snprintf(user, sizeof(user), "user%d", i);
		add_pool_row(table, user, 1, 0, "pg1");
	}
	sw_buf_fini(&f->out);
	sw_buf_init(&f->out, SW_ADMIN_ANSWER_BYTES_LEAST);
	sw_admin_render(SW_REPORT_POOLS, table, &f->context, &f->out);
	assert_true(sw_buf_len(&f->out) <= SW_ADMIN_ANSWER_BYTES_LEAST);
	assert_string_equal(kinds(f) + strlen(kinds(f)) - 2, "NC");
	assert_non_null(strstr(fields(f, 'N').message, "rows are left out"));
	sw_table_free(table);
}

struct worker {
	struct sw_engine engine;
	struct sw_database database;
	struct sw_session session;
};

static void init_worker(struct worker *worker, struct fixture *f, int number)
{
	memset(worker, 0, sizeof(*worker));
	worker->engine.config = &f->config;
	worker->engine.view.primary = 0;
	worker->engine.number = number;
	sw_list_init(&worker->engine.databases);
	sw_list_init(&worker->engine.sessions);
	snprintf(worker->database.name, SW_NAME_MAX, "app");
	sw_list_push_back(&worker->engine.databases, &worker->database.entry);
	worker->session.engine = &worker->engine;
	worker->session.database = &worker->database;
	worker->session.user = (char *)(uintptr_t) "ann";
	worker->session.number = 0x100u + (unsigned)number;
	worker->session.state = SW_SESSION_READY;
	worker->session.since_ns = sw_clock_ns();
	worker->session.route.node = -1;
	worker->session.level = SW_LEVEL_SESSION;
	sw_list_init(&worker->session.waiter.entry);
	sw_list_push_back(&worker->engine.sessions, &worker->session.entry);
	worker->engine.session_count = 1;
}

/* What the control thread does: a table a worker, merged, rendered. */
static void gather(struct fixture *f, struct worker *workers, int count, enum sw_report_kind kind)
{
	struct sw_table *table = sw_report_table(kind);

	for (int i = 0; i < count; i++) {
		struct sw_table *part = sw_report_table(kind);

		sw_report_fill(&workers[i].engine, kind, part);
		sw_table_merge(table, part);
		sw_table_free(part);
	}
	sw_buf_clear(&f->out);
	sw_admin_render(kind, table, &f->context, &f->out);
	sw_table_free(table);
}

static void test_stats_and_routes_of_two_workers(void **state)
{
	struct fixture *f = *state;
	static struct worker workers[2];

	for (int i = 0; i < 2; i++) {
		init_worker(&workers[i], f, i);
		workers[i].database.stats =
		        (struct sw_stats){.queries = 100, .transactions = 50, .query_us = 1000, .retries = 3};
		workers[i].database.stats.routes[1][SW_ROUTE_READ] = 60;
		workers[i].database.stats.routes[0][SW_ROUTE_STATEMENT] = i ? 40 : 0;
	}
	gather(f, workers, 2, SW_REPORT_STATS);
	assert_string_equal(kinds(f), "TDC");
	assert_string_equal(cell(f, 0, "total_query_count"), "200");
	assert_in_range(atoi(cell(f, 0, "avg_query_count")), 15, 20);
	assert_string_equal(cell(f, 0, "avg_query_time"), "10");
	assert_string_equal(cell(f, 0, "avg_xact_time"), "0");
	assert_string_equal(cell(f, 0, "routes"), "160");
	assert_string_equal(cell(f, 0, "retries"), "6");
	gather(f, workers, 2, SW_REPORT_ROUTES);
	assert_string_equal(kinds(f), "TDDC");
	assert_string_equal(cell(f, 0, "node"), "pg2");
	assert_string_equal(cell(f, 0, "reason"), "read");
	assert_string_equal(cell(f, 0, "count"), "120");
	assert_string_equal(cell(f, 1, "reason"), "statement");
}

static void test_clients_show_all_their_pins(void **state)
{
	struct fixture *f = *state;
	static struct worker worker;

	init_worker(&worker, f, 0);
	gather(f, &worker, 1, SW_REPORT_CLIENTS);
	assert_string_equal(cell(f, 0, "pinned"), "");
	assert_null(cell(f, 0, "floor"));
	assert_null(cell(f, 0, "node"));
	assert_null(cell(f, 0, "last_reason"));
	worker.session.pins = SW_PIN_TEMP | SW_PIN_LISTEN | SW_PIN_UNSEEN;
	worker.session.floor.at = (struct sw_position){2, {0x3000060}};
	worker.session.route = (struct sw_route){.node = 1, .reason = SW_ROUTE_WAITED};
	worker.session.state = SW_SESSION_WAIT_NODE;
	gather(f, &worker, 1, SW_REPORT_CLIENTS);
	assert_string_equal(cell(f, 0, "pinned"), "temporary table,LISTEN,statement that was not parsed");
	assert_string_equal(cell(f, 0, "floor"), "2:0/3000060");
	worker.session.floor.primary_event_ns = 1;
	gather(f, &worker, 1, SW_REPORT_CLIENTS);
	assert_string_equal(cell(f, 0, "floor"), "2:0/3000060+");
	assert_string_equal(cell(f, 0, "node"), "pg2");
	assert_string_equal(cell(f, 0, "last_reason"), "waited");
	assert_string_equal(cell(f, 0, "level"), "session");
	assert_string_equal(cell(f, 0, "state"), "waiting");
	assert_string_equal(cell(f, 0, "step"), "wait_node");
	assert_int_equal(strlen(cell(f, 0, "connect_time")), strlen("2026-11-21 03:00:00 UTC"));
}

static void test_a_client_that_logs_in_has_no_database(void **state)
{
	struct fixture *f = *state;
	static struct worker worker;

	init_worker(&worker, f, 0);
	worker.session.database = NULL;
	worker.session.user = NULL;
	worker.session.state = SW_SESSION_STARTUP;
	gather(f, &worker, 1, SW_REPORT_CLIENTS);
	assert_string_equal(cell(f, 0, "state"), "login");
	assert_null(cell(f, 0, "user"));
	gather(f, &worker, 1, SW_REPORT_POOLS);
	assert_string_equal(kinds(f), "TC");
	gather(f, &worker, 1, SW_REPORT_SERVERS);
	assert_string_equal(kinds(f), "TC");
	gather(f, &worker, 1, SW_REPORT_LISTS);
	assert_string_equal(cell(f, 3, "list"), "free_clients");
	assert_string_equal(cell(f, 3, "items"), "9");
	assert_string_equal(cell(f, 5, "items"), "1");
}

static void test_databases_in_use_and_configured(void **state)
{
	struct fixture *f = *state;
	struct sw_database_config configured[] = {
	        {.name = "*"}, {.name = "sales", .dbname = "shop", .pool_size = 3}};
	static struct worker workers[2];

	f->config.databases = configured;
	f->config.database_count = 2;
	init_worker(&workers[0], f, 0);
	init_worker(&workers[1], f, 1);
	gather(f, workers, 2, SW_REPORT_DATABASES);
	assert_string_equal(kinds(f), "TDDC");
	assert_string_equal(cell(f, 0, "name"), "sales");
	assert_string_equal(cell(f, 0, "database"), "shop");
	assert_string_equal(cell(f, 0, "pool_size"), "3");
	assert_string_equal(cell(f, 1, "name"), "app");
	assert_string_equal(cell(f, 1, "host"), "10.0.0.1");
	assert_string_equal(cell(f, 1, "pool_size"), "20");
	assert_string_equal(cell(f, 1, "current_connections"), "0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(test_words_in_any_form),
	        TEST(test_unknown_commands),
	        TEST(test_long_statement_is_no_command),
	        TEST(test_what_clients_send_by_themselves),
	        TEST(test_reload_is_for_admins),
	        TEST(test_reload_answers),
	        TEST(test_nodes_before_anything_is_known),
	        TEST(test_T36_unknown_lag_is_null_and_known_lag_is_not),
	        TEST(test_config_hides_secrets_and_names_sections),
	        TEST(test_help_names_every_command),
	        TEST(test_explain_route),
	        TEST(test_longest_wait_is_split_after_merging),
	        TEST(test_answer_stops_at_the_maximum_and_says_so),
	        TEST(test_stats_and_routes_of_two_workers),
	        TEST(test_clients_show_all_their_pins),
	        TEST(test_a_client_that_logs_in_has_no_database),
	        TEST(test_databases_in_use_and_configured),
	};

	return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
