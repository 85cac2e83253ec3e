/*
 * The configuration as files: what a good one gives, every kind of fault, lookups and the reload check. Each
 * test writes a file of its own into a scratch folder that is removed at the end.
 */
#define _GNU_SOURCE /* sched_setaffinity */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/config_table.h"
#include "proxy/config_value.h"

#define NODES   "[nodes]\npg1 = host=10.0.0.1\n"
#define MONITOR "[monitor]\nuser = watcher\n"
#define REST    NODES MONITOR /* 4 lines: what every file needs, below what a test is about */

static char folder[] = "/tmp/seawall-test-config-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/f.conf", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void write_bytes(const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct sw_config *load_bytes(const char *text, size_t len, char **ret_faults)
{
	struct sw_config *config;
	size_t faults_len;
	FILE *faults = open_memstream(ret_faults, &faults_len);

	assert_non_null(faults);
	write_bytes(text, len);
	config = sw_config_load(path, faults);
	assert_int_equal(fclose(faults), 0);
	return config;
}

static struct sw_config *load_good(const char *text)
{
	char *faults = NULL;
	struct sw_config *config = load_bytes(text, strlen(text), &faults);

	assert_string_equal(faults, "");
	assert_non_null(config);
	free(faults);
	return config;
}

/* The file gives no configuration and exactly these faults, each line without its "folder/f.conf:". */
static void expect_faults_of_bytes(const char *text, size_t len, const char *expected)
{
	char *faults = NULL, *have, *at, *out;
	struct sw_config *config = load_bytes(text, len, &faults);
	size_t path_len = strlen(path);

	assert_null(config);
	have = out = calloc(1, strlen(faults) + 1);
	for (at = faults; *at; at += strcspn(at, "\n") + 1) {
		size_t line_len;

		assert_memory_equal(at, path, path_len);
		assert_int_equal(at[path_len], ':');
		line_len = strcspn(at, "\n") + 1 - path_len - 1;
		memcpy(out, at + path_len + 1, line_len);
		out += line_len;
	}
	assert_string_equal(have, expected);
	free(have);
	free(faults);
}

static void expect_faults(const char *text, const char *expected)
{
	expect_faults_of_bytes(text, strlen(text), expected);
}

/* ---- good files */

static void test_defaults(void **state)
{
	struct sw_config *config = load_good(REST);
	char expected[128];

	(void)state;
	assert_string_equal(config->listen_addr, "127.0.0.1");
	assert_int_equal(config->listen_port, 6432);
	assert_int_equal(config->listen_backlog, 128);
	assert_true(config->tcp_keepalive);
	assert_true(config->is_workers_auto);
	assert_in_range(config->workers, 1, SW_WORKERS_MAX);
	assert_int_equal(config->auth_type, SW_AUTH_SCRAM);
	snprintf(expected, sizeof(expected), "%s/users.txt", folder);
	assert_string_equal(config->auth_file, expected);
	assert_string_equal(config->path, path);
	assert_int_equal(config->pool_mode, SW_POOL_TRANSACTION);
	assert_int_equal(config->default_pool_size, 20);
	assert_int_equal(config->max_client_conn, 1000);
	assert_int_equal(config->query_wait_timeout_us, 120 * SW_US_PER_S);
	assert_int_equal(config->server_lifetime_us, 3600 * SW_US_PER_S);
	assert_int_equal(config->client_idle_timeout_us, 0);
	assert_int_equal(config->consistency, SW_LEVEL_SESSION);
	assert_int_equal(config->max_lag_us, 10 * SW_US_PER_S);
	assert_true(config->max_lag_bytes == 64 << 20);
	assert_true(config->lag_recover == 0.5);
	assert_true(config->sticky);
	assert_null(config->primary_functions[0]);
	assert_null(config->replica_functions[0]);
	assert_int_equal(config->interval_us, 100000);
	assert_int_equal(config->catalog_refresh_us, 60 * SW_US_PER_S);
	assert_int_equal(config->node_count, 1);
	assert_int_equal(config->nodes[0].port, 5432);
	assert_int_equal(config->nodes[0].weight, 1);
	assert_int_equal(config->lag_class_count, 1);
	assert_int_equal(config->database_count, 1);
	assert_string_equal(config->databases[0].name, "*");
	sw_config_unref(config);
}

static void test_values_of_every_section(void **state)
{
	struct sw_config *config = load_good("\xef\xbb\xbf; a remark\r\n"
	                                     "# another\r\n"
	                                     "[seawall]   ; and one\r\n"
	                                     "listen_addr = 127.0.0.1, ::1 ; behind a value\r\n"
	                                     "  listen_port=6433\r\n"
	                                     "\tunix_socket_dir = run\n"
	                                     "workers = 3\n"
	                                     "auth_type = TRUST\n"
	                                     "auth_file =\n"
	                                     "query_wait_timeout = 90\n"
	                                     "\n"
	                                     "[routing]\n"
	                                     "primary_functions = Audit_Log ,touch\n"
	                                     "fallback = error\n"
	                                     "sticky = no\n"
	                                     "[nodes]\n"
	                                     "pg1 = host='10.0.0.1' port=5433 weight=0 ; first\n"
	                                     "pg-2.b = host=/var/run/postgresql\n"
	                                     "[monitor]\n"
	                                     "user = watcher\n"
	                                     "password = a#b ;c;d");
	char expected[128];

	(void)state;
	assert_string_equal(config->listen_addr, "127.0.0.1, ::1");
	assert_int_equal(config->listen_port, 6433);
	snprintf(expected, sizeof(expected), "%s/run", folder);
	assert_string_equal(config->unix_socket_dir, expected);
	assert_int_equal(config->workers, 3);
	assert_false(config->is_workers_auto);
	assert_int_equal(config->auth_type, SW_AUTH_TRUST);
	assert_string_equal(config->auth_file, "");
	assert_int_equal(config->query_wait_timeout_us, 90 * SW_US_PER_S);
	assert_string_equal(config->primary_functions[0], "audit_log");
	assert_string_equal(config->primary_functions[1], "touch");
	assert_null(config->primary_functions[2]);
	assert_int_equal(config->fallback, SW_FALLBACK_ERROR);
	assert_false(config->sticky);
	assert_int_equal(config->node_count, 2);
	assert_string_equal(config->nodes[0].host, "10.0.0.1");
	assert_int_equal(config->nodes[0].port, 5433);
	assert_int_equal(config->nodes[0].weight, 0);
	assert_int_equal(config->nodes[0].line, 17);
	assert_string_equal(config->nodes[1].name, "pg-2.b");
	assert_string_equal(config->nodes[1].host, "/var/run/postgresql");
	assert_string_equal(config->monitor_password, "a#b");
	sw_config_unref(config);
}

static void test_databases_users_and_what_wins(void **state)
{
	struct sw_config *config = load_good(REST "[databases]\n"
	                                          "app = dbname=app_prod pool_size=40 consistency=off\n"
	                                          "news = max_lag=1min\n"
	                                          "old = max_lag_bytes=1GB max_lag=1min\n"
	                                          "same = max_lag=10s max_lag_bytes=64MB\n"
	                                          "\"my db\" = pool_mode=session max_lag=1min\n"
	                                          "[users]\n"
	                                          "report = pool_mode=session consistency=eventual\n"
	                                          "tx = pool_mode=transaction\n");
	const struct sw_database_config *app = sw_config_database(config, "app");
	const struct sw_database_config *my_db = sw_config_database(config, "my db");
	const struct sw_user_config *report = sw_config_user(config, "report"),
	                            *tx = sw_config_user(config, "tx");

	(void)state;
	assert_non_null(app);
	assert_non_null(my_db);
	assert_null(sw_config_database(config, "other")); /* no "*" */
	assert_string_equal(app->dbname, "app_prod");
	assert_string_equal(my_db->dbname, "");
	assert_int_equal(app->line, 6);
	assert_int_equal(sw_config_pool_size(config, app), 40);
	assert_int_equal(sw_config_pool_size(config, my_db), 20);
	assert_int_equal(sw_config_pool_size(config, NULL), 20);
	assert_null(sw_config_user(config, "nobody"));

	assert_int_equal(sw_config_level(config, NULL, NULL), SW_LEVEL_SESSION);
	assert_int_equal(sw_config_level(config, app, NULL), SW_LEVEL_OFF);
	assert_int_equal(sw_config_level(config, app, tx), SW_LEVEL_OFF);
	assert_int_equal(sw_config_level(config, app, report), SW_LEVEL_EVENTUAL);
	assert_int_equal(sw_config_pool_mode(config, NULL, NULL), SW_POOL_TRANSACTION);
	assert_int_equal(sw_config_pool_mode(config, my_db, NULL), SW_POOL_SESSION);
	assert_int_equal(sw_config_pool_mode(config, my_db, tx), SW_POOL_TRANSACTION);
	assert_int_equal(sw_config_pool_mode(config, app, report), SW_POOL_SESSION);

	/* 0: 10s, 64MB; 1: 1min, 64MB; 2: 1min, 1GB */
	assert_int_equal(config->lag_class_count, 3);
	assert_int_equal(app->lag_class, 0);
	assert_int_equal(sw_config_database(config, "news")->lag_class, 1);
	assert_int_equal(sw_config_database(config, "old")->lag_class, 2);
	assert_int_equal(sw_config_database(config, "same")->lag_class, 0);
	assert_int_equal(my_db->lag_class, 1);
	assert_true(config->lag_classes[2].max_lag_bytes == UINT64_C(1) << 30);
	assert_int_equal(config->lag_classes[2].max_lag_us, 60 * SW_US_PER_S);
	sw_config_unref(config);
}

static void test_star_stands_for_every_other_database(void **state)
{
	/* Before and behind the others alike. */
	struct sw_config *config = load_good(REST "[databases]\n* = pool_size=5\napp =\n");

	(void)state;
	assert_string_equal(sw_config_database(config, "app")->name, "app");
	assert_string_equal(sw_config_database(config, "other")->name, "*");
	assert_int_equal(sw_config_database(config, "other")->pool_size, 5);
	sw_config_unref(config);
	config = load_good(REST);
	assert_string_equal(sw_config_database(config, "other")->name, "*");
	sw_config_unref(config);
}

/* routing may stand behind the databases that take their limits from it */
static void test_sections_in_any_order(void **state)
{
	struct sw_config *config = load_good("[databases]\na = max_lag_bytes=1MB\n" REST
	                                     "[routing]\nmax_lag = 3s\n[seawall]\nlisten_port = 7000\n");

	(void)state;
	assert_int_equal(config->lag_class_count, 2);
	assert_int_equal(config->lag_classes[0].max_lag_us, 3 * SW_US_PER_S);
	assert_int_equal(config->lag_classes[1].max_lag_us, 3 * SW_US_PER_S);
	assert_true(config->lag_classes[1].max_lag_bytes == 1 << 20);
	assert_int_equal(config->listen_port, 7000);
	sw_config_unref(config);
}

static void test_workers_are_the_usable_cpus(void **state)
{
	cpu_set_t before, one;
	struct sw_config *config;
	int cpu = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	while (!CPU_ISSET(cpu, &before))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	config = load_good(REST);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(config->workers, 1);
	sw_config_unref(config);
}

static void test_relative_path_of_the_file_itself(void **state)
{
	char before[4096], expected[128];
	struct sw_config *config;

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	write_bytes(REST, strlen(REST));
	assert_int_equal(chdir(folder), 0);
	config = sw_config_load("f.conf", stderr);
	assert_int_equal(chdir(before), 0);
	assert_non_null(config);
	snprintf(expected, sizeof(expected), "%s/users.txt", folder);
	assert_string_equal(config->auth_file, expected);
	assert_string_equal(config->path, path);
	sw_config_unref(config);
}

/* ---- faults */

static void test_unknown_keys_name_the_closest(void **state)
{
	(void)state;
	expect_faults("[seawall]\nlisten_prt = 1\nfrobnicate = 2\nmax_lag = 3s\n" REST,
	        "2: unknown key \"listen_prt\" in [seawall]; did you mean \"listen_port\"?\n"
	        "3: unknown key \"frobnicate\" in [seawall]: remove it or use a known one (\"seawall "
	        "--dump-config-table\" "
	        "lists all keys)\n"
	        "4: \"max_lag\" is no key of [seawall]: move it to [routing]\n");
	expect_faults("[nodes]\na = host=h prt=1 zone=x\n[databases]\nd = pool_sise=3\n[users]\nu = "
	              "dbname=x\n" MONITOR,
	        "2: \"a\": unknown key \"prt\" in [nodes]; did you mean \"port\"?\n"
	        "2: \"a\": unknown key \"zone\" in [nodes]: remove it or use a known one (host, port, "
	        "weight)\n"
	        "4: \"d\": unknown key \"pool_sise\" in [databases]; did you mean \"pool_size\"?\n"
	        "6: \"u\": unknown key \"dbname\" in [users]: remove it or use a known one (pool_mode, "
	        "consistency, hints)\n");
	expect_faults("[seawal]\nx = 1\n[blah]\ny\n" REST,
	        "1: unknown section [seawal]; did you mean [seawall]?\n"
	        "3: unknown section [blah]: known are [seawall], [nodes], [databases], [users], [routing] "
	        "and [monitor]\n");
}

static void test_what_later_versions_bring_is_refused(void **state)
{
	static const char *const keys[] = {
	        "state_dir", "http_listen", "optimistic_transactions"};
	char text[256], expected[256];

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text), "[seawall]\n%s = x\n" REST, keys[i]);
		snprintf(expected, sizeof(expected),
		        "2: \"%s\" in [seawall] is not in this version of Seawall yet and would have no "
		        "effect: remove it\n",
		        keys[i]);
		expect_faults(text, expected);
	}
	expect_faults("[failover]\nmode = observe\n[wal]\nuser = x\n[store]\nurl = memory:\n" REST,
	        "1: [failover] is not in this version of Seawall yet and would have no effect: remove the "
	        "section\n"
	        "3: [wal] is not in this version of Seawall yet and would have no effect: remove the "
	        "section\n"
	        "5: [store] is not in this version of Seawall yet and would have no effect: remove the "
	        "section\n");
	expect_faults("[routing]\n\n"
	              "[nodes]\na = host=h promote_priority=1 region=eu\n" MONITOR,
	        "4: \"a\": \"promote_priority\" in [nodes] is not in this version of Seawall yet and would "
	        "have no effect: remove "
	        "it\n"
	        "4: \"a\": \"region\" in [nodes] is not in this version of Seawall yet and would have no "
	        "effect: remove it\n");
}

static void test_a_pgbouncer_ini_is_told_what_to_change(void **state)
{
	expect_faults(
	        "[databases]\napp = host=db1 port=5432\n[pgbouncer]\nlisten_port = 70000\npidfile = x\n" REST,
	        "2: \"app\": \"host\" is no key of [databases]: it is not set for a database: list the "
	        "servers in [nodes]\n"
	        "2: \"app\": \"port\" is no key of [databases]: it is not set for a database: list the "
	        "servers in [nodes]\n"
	        "3: the section is called [seawall] here: rename [pgbouncer]\n"
	        "4: \"listen_port\": \"70000\" is out of range: write a value from 1 to 65535\n"
	        "5: \"pidfile\" is no key of [seawall]: Seawall stays in the foreground: remove the line and "
	        "let the service "
	        "manager watch it\n");
	(void)state;
}

static void test_duplicates(void **state)
{
	(void)state;
	expect_faults("[seawall]\nworkers = 1\nworkers = 1\n" REST "[seawall]\nworkers = 1\n",
	        "3: \"workers\" is given twice, first on line 2: remove one of the lines\n"
	        "9: \"workers\" is given twice, first on line 2: remove one of the lines\n");
	expect_faults(REST "[nodes]\npg1 = host=h2\npg2 = host=10.0.0.1\npg3 = host=h3 host=h4\n",
	        "6: node \"pg1\" is given twice, first on line 2: remove or rename one\n"
	        "7: node \"pg2\" is the same server as \"pg1\" on line 2 (10.0.0.1 port 5432): remove one\n"
	        "8: \"pg3\": \"host\" is given twice: remove one of them\n");
	expect_faults(REST "[databases]\na =\na = pool_size=2\n[users]\nu =\nu =\n",
	        "7: database \"a\" is given twice, first on line 6: remove or rename one\n"
	        "10: user \"u\" is given twice, first on line 9: remove one\n");
}

static void test_nodes(void **state)
{
	(void)state;
	expect_faults(MONITOR, "2: [nodes] is missing: add the section, with a line \"pg1 = host=ADDRESS "
	                       "port=5432\" for each "
	                       "server\n");
	expect_faults("[nodes]\n" MONITOR,
	        "1: [nodes] is empty: write a line \"pg1 = host=ADDRESS port=5432\" for each server\n");
	expect_faults("[nodes]\na = port=1\nb = host=\nc = host=h1,h2\nd = host=h port=0\ne = host=i "
	              "weight=1001\nf g = host=j\n"
	              "h = host='k\n" MONITOR,
	        "2: node \"a\" has no host: write \"a = host=ADDRESS port=5432\"\n"
	        "3: node \"b\": \"\" is not one host: write a name, an address or a folder\n"
	        "4: node \"c\": \"h1,h2\" is not one host: write a name, an address or a folder\n"
	        "5: \"d\": \"port\": \"0\" is out of range: write a value from 1 to 65535\n"
	        "6: \"e\": \"weight\": \"1001\" is out of range: write a value from 0 to 1000\n"
	        "7: the node name \"f g\" cannot be used: write letters, digits, '_', '-', '.'\n"
	        "8: \"h\": the quote in the value of \"host\" is not closed: close it, and note that \" ;\" "
	        "begins a comment\n"
	        "8: node \"h\" has no host: write \"h = host=ADDRESS port=5432\"\n");
}

static void test_node_limit(void **state)
{
	char text[2048] = MONITOR "[nodes]\n";

	(void)state;
	for (int i = 0; i < SW_NODES_MAX; i++)
		sprintf(text + strlen(text), "n%d = host=h%d\n", i, i);
	sw_config_unref(load_good(text));
	strcat(text, "more = host=hm\nyet = host=hy\n");
	expect_faults(text, "20: node \"more\" is one too many: at most 16 nodes are possible\n"
	                    "21: node \"yet\" is one too many: at most 16 nodes are possible\n");
}

static void test_lag_class_limit(void **state)
{
	char text[4096] = REST "[databases]\n", expected[256];

	(void)state;
	for (int i = 1; i < SW_LAG_CLASSES_MAX; i++) /* class 0 is [routing]'s */
		sprintf(text + strlen(text), "d%d = max_lag=%dms\n", i, i);
	sw_config_unref(load_good(text));
	strcat(text, "more = max_lag=1h\nagain = max_lag=5ms\n");
	snprintf(expected, sizeof(expected),
	        "%d: \"more\" has one pair of \"max_lag\" and \"max_lag_bytes\" too many: use at most 32 "
	        "different ones\n",
	        5 + SW_LAG_CLASSES_MAX);
	expect_faults(text, expected);
}

static void test_entry_limit(void **state)
{
	size_t size = 64 * 1024;
	char *text = sw_mem_alloc(size), *at = text;

	(void)state;
	at += sprintf(at, REST "[users]\n");
	for (int i = 0; i < 1000; i++)
		at += sprintf(at, "u%d =\n", i);
	sw_config_unref(load_good(text));
	sprintf(at, "more =\n");
	expect_faults(text, "1006: too many lines in [users]: at most 1000 are possible\n");
	sw_mem_free(text);
}

static void test_names(void **state)
{
	char text[256];

	(void)state;
	snprintf(text, sizeof(text), REST "[users]\n%0*d =\n%0*d =\n", SW_NAME_MAX - 1, 1, SW_NAME_MAX, 1);
	expect_faults(text, "7: a name of 64 bytes in [users]: write one of 1 to 63 bytes\n");
	expect_faults(REST "[databases]\nseawall =\npgbouncer = dbname=x\n\"a =\n\"\" =\n[users]\n* =\n",
	        "6: \"seawall\" is the console's name: use another name and dbname=seawall\n"
	        "7: \"pgbouncer\" is the console's name: use another name and dbname=pgbouncer\n"
	        "8: the name \"\"a\" cannot be used: leave out '\"', '=' and ':'\n"
	        "9: a name of 0 bytes in [databases]: write one of 1 to 63 bytes\n"
	        "11: \"*\" is not possible in [users]: set it for all in [seawall] or [routing], or name the "
	        "user\n");
}

static void test_across_keys(void **state)
{
	(void)state;
	expect_faults(
	        NODES, "2: \"user\" in [monitor] is missing: name the role that the monitor logs in as\n");
	expect_faults("[seawall]\nauth_file =\nlisten_addr =\nmin_pool_size = 21\n[databases]\nd = "
	              "pool_size=4\n" NODES
	              "[monitor]\nuser =\ndbname =\ninterval = 5ms\nmin_interval = 6ms\n"
	              "[routing]\nprimary_functions = a, b\nreplica_functions = c, B\n",
	        "3: nothing to listen on: set \"listen_addr\" or \"unix_socket_dir\"\n"
	        "2: \"auth_file\" is empty and \"auth_type\" needs it: name the file of users and secrets\n"
	        "10: \"user\" in [monitor] is missing: name the role that the monitor logs in as\n"
	        "11: \"dbname\" in [monitor] is empty: name a database, such as \"postgres\"\n"
	        "4: \"min_pool_size\" (21) is more than \"default_pool_size\" (20): lower it\n"
	        "6: \"d\": \"pool_size\" (4) is less than \"min_pool_size\" (21): raise it\n"
	        "13: \"min_interval\" (6ms) is more than \"interval\" (5ms): lower it\n"
	        "16: \"b\" is in \"primary_functions\" and in \"replica_functions\": remove it from one\n");
	expect_faults("[seawall]\nlisten_addr = *, localhost, 10.0.0.1, ::, db1, 10.0.0\n" REST,
	        "2: \"listen_addr\": \"db1\" is not an address: write IPv4 or IPv6 addresses, localhost or "
	        "*\n"
	        "2: \"listen_addr\": \"10.0.0\" is not an address: write IPv4 or IPv6 addresses, localhost "
	        "or *\n");
	sw_config_unref(load_good("[seawall]\nlisten_addr =\nunix_socket_dir = /tmp\n" REST));
}

static void test_no_level_is_weaker_than_the_minimum(void **state)
{
	struct sw_config *config;

	(void)state;
	expect_faults("[routing]\nminimum_consistency = strong\nconsistency = session\n[databases]\nd = consistency=eventual\n"
	              "e = consistency=off\n[users]\nu = consistency=session hints=on\nv = consistency=strong\n" REST,
	        "2: [routing]: \"consistency\" (session) is weaker than \"minimum_consistency\" (strong): raise it\n"
	        "5: d: \"consistency\" (eventual) is weaker than \"minimum_consistency\" (strong): raise it\n"
	        "8: u: \"consistency\" (session) is weaker than \"minimum_consistency\" (strong): raise it\n");
	config = load_good("[routing]\nminimum_consistency = session\nhints = on\n[users]\nu = hints=off\n" REST);
	assert_int_equal(config->minimum_consistency, SW_LEVEL_SESSION);
	assert_true(sw_config_hints(config, NULL));
	assert_false(sw_config_hints(config, sw_config_user(config, "u")));
	sw_config_unref(config);
}

static void test_auth_query_has_one_parameter_and_a_role(void **state)
{
	struct sw_config *config;

	(void)state;
	config = load_good("[seawall]\nauth_query = SELECT \"$2\", a$2 FROM f('$3 it''s', $1) WHERE x = $1\n"
	                   "auth_user = asker\nauth_dbname = db\nauth_query_ttl = 0\n" REST);
	assert_string_equal(config->auth_query, "SELECT \"$2\", a$2 FROM f('$3 it''s', $1) WHERE x = $1");
	assert_string_equal(config->auth_user, "asker");
	assert_string_equal(config->auth_dbname, "db");
	assert_int_equal(config->auth_query_ttl_us, 0);
	sw_config_unref(config);
	config = load_good(REST);
	assert_string_equal(config->auth_query, "");
	assert_int_equal(config->auth_query_ttl_us, 60 * SW_US_PER_S);
	sw_config_unref(config);
	expect_faults("[seawall]\nauth_query = SELECT 1, 2\n" REST,
	        "2: \"auth_query\" needs \"auth_user\": name the role that runs it\n"
	        "2: \"auth_query\" has no $1: write it where the user's name belongs\n");
	expect_faults("[seawall]\nauth_user = a\nauth_query = SELECT a, b FROM f($1, $2)\n" REST,
	        "3: \"auth_query\" has a parameter other than $1: the user's name is all that it is given\n");
	expect_faults("[seawall]\nauth_user = a\nauth_query = SELECT a, b FROM f($11)\n" REST,
	        "3: \"auth_query\" has no $1: write it where the user's name belongs\n"
	        "3: \"auth_query\" has a parameter other than $1: the user's name is all that it is given\n");
	expect_faults("[seawall]\nauth_user = a\n" REST,
	        "2: \"auth_user\" has no effect without \"auth_query\": set that, or remove the line\n");
	expect_faults("[seawall]\nauth_dbname = a\n" REST,
	        "2: \"auth_dbname\" has no effect without \"auth_query\": set that, or remove the line\n");
	expect_faults("[seawall]\nauth_query_ttl = 60\n" REST,
	        "2: \"auth_query_ttl\": \"60\" has no unit: write one of us, ms, s, min, h, d behind it, such as "
	        "\"60ms\"\n");
}

static void test_pam_needs_no_auth_file(void **state)
{
	struct sw_config *config;

	(void)state;
	config = load_good("[seawall]\nauth_type = pam\nauth_file =\n" REST);
	assert_int_equal(config->auth_type, SW_AUTH_PAM);
	sw_config_unref(config);
}

static void test_delay_of_refusals(void **state)
{
	struct sw_config *config;

	(void)state;
	config = load_good(REST);
	assert_int_equal(config->auth_failure_delay_us, SW_US_PER_S / 2);
	sw_config_unref(config);
	config = load_good("[seawall]\nauth_failure_delay = 0\n" REST);
	assert_int_equal(config->auth_failure_delay_us, 0);
	sw_config_unref(config);
	expect_faults("[seawall]\nauth_failure_delay = 61s\n" REST,
	        "2: \"auth_failure_delay\": \"61s\" is out of range: write a value from 0 to 1min\n");
}

static void test_values_out_of_form(void **state)
{
	(void)state;
	expect_faults(
	        "[seawall]\nworkers = 65\nlog_connections = maybe\npool_mode = statement\nserver_lifetime = "
	        "0\n"
	        "admin_users = a,,b\nstats_users = a # b\nlisten_port =\n"
	        "[routing]\nmax_lag = 10\nlag_recover = 1.01\nwait_for_replica = 61s\nmax_lag_bytes = 1B\n"
	        "primary_functions = public.f\nreplica_functions = a,\n" REST
	        "interval = 999us\ndown_after = 101\n",
	        "2: \"workers\": \"65\" is out of range: write a value from 0 to 64\n"
	        "3: \"log_connections\": \"maybe\" is neither on nor off: write \"on\" or \"off\"\n"
	        "4: \"pool_mode\": \"statement\" is not allowed: write one of transaction, session\n"
	        "5: \"server_lifetime\": \"0\" is out of range: write a value from 1s to 365d\n"
	        "6: \"admin_users\": \"a,,b\" has an empty element: remove the comma too many\n"
	        "7: \"stats_users\": \"#\" begins no comment behind a value: use \";\" for \"# b\"\n"
	        "8: \"listen_port\": \"\" is not a whole number: write digits only\n"
	        "10: \"max_lag\": \"10\" has no unit: write one of us, ms, s, min, h, d behind it, such as "
	        "\"10ms\"\n"
	        "11: \"lag_recover\": \"1.01\" is out of range: write a value from 0 to 1\n"
	        "12: \"wait_for_replica\": \"61s\" is out of range: write a value from 0 to 1min\n"
	        "13: \"max_lag_bytes\": \"1B\" is out of range: write a value from 1kB to 1TB\n"
	        "14: \"primary_functions\": \"public.f\" is not the name of a function: write it without "
	        "schema, quotes and "
	        "arguments\n"
	        "15: \"replica_functions\": \"a,\" has an empty element: remove the comma too many\n"
	        "20: \"interval\": \"999us\" is out of range: write a value from 1ms to 1min\n"
	        "21: \"down_after\": \"101\" is out of range: write a value from 1 to 100\n");
}

static void test_lines_out_of_form(void **state)
{
	static const char zero[] = "[seawall]\nwork\0ers = 1\n" REST;

	(void)state;
	expect_faults(
	        "listen_port = 1\n[seawall]\nnonsense\n= 5\nworkers ; = 2\n[seawall\n[nodes] x\n[]\n" REST
	        "last line",
	        "1: \"listen_port\" stands before the first section: write [seawall] above it\n"
	        "3: the line has no \"=\": write \"key = value\" or begin it with \";\"\n"
	        "4: nothing stands before the \"=\": write \"key = value\"\n"
	        "5: the line has no \"=\": write \"key = value\" or begin it with \";\"\n"
	        "6: \"[seawall\" is not a section: write \"[name]\" alone on its line\n"
	        "7: \"[nodes] x\" is not a section: write \"[name]\" alone on its line\n"
	        "8: unknown section []: known are [seawall], [nodes], [databases], [users], [routing] and "
	        "[monitor]\n"
	        "13: the line has no \"=\": write \"key = value\" or begin it with \";\"\n");
	expect_faults_of_bytes(
	        zero, sizeof(zero) - 1, "2: the line has a zero byte: save the file as plain text (UTF-8)\n");
	/* An indented line is a line, not a part of the one before. */
	expect_faults("[seawall]\nworkers = 1\n  nonsense\n" REST,
	        "3: the line has no \"=\": write \"key = value\" or begin it with \";\"\n");
}

static void test_long_lines_are_not_cut(void **state)
{
	size_t size = 64 * 1024;
	char *text = sw_mem_alloc(size), *at = text;
	struct sw_config *config;
	int count = 0;

	(void)state;
	/* Well past inih's own 200, all of it arrives. */
	at += sprintf(at, REST "[routing]\nprimary_functions = f0");
	while (++count < 1000)
		at += sprintf(at, ", f%d", count);
	config = load_good(text);
	assert_string_equal(config->primary_functions[999], "f999");
	assert_null(config->primary_functions[1000]);
	sw_config_unref(config);
	strcpy(at, ", more");
	expect_faults(text, "6: \"primary_functions\": 1001 names are too many: write at most 1000\n");

	strcpy(text, REST "[routing]\nprimary_functions = ");
	at = text + strlen(text);
	memset(at, 'f', 16384);
	strcpy(at + 16384, "\nmax_lag = x\n");
	expect_faults(text, "6: the line has 16404 bytes: at most 16384 are allowed, shorten it\n"
	                    "7: \"max_lag\": \"x\" is not a time: write a number and one of us, ms, s, min, "
	                    "h, d, such as \"10s\"\n");
	sw_mem_free(text);
}

/* One byte below and at the limit: the whole line is used or refused. */
static void test_line_limit_is_exact(void **state)
{
	char *text = sw_mem_alloc(32 * 1024);
	size_t start;

	(void)state;
	start = (size_t)sprintf(text, REST "[routing]\n");
	memset(text + start, ' ', 20000);
	memcpy(text + start, "max_lag = 3s ;", 14);
	memset(text + start + 14, 'x', 16384 - 14);
	strcpy(text + start + 16384, "\n");
	sw_config_unref(load_good(text));
	strcpy(text + start + 16384, "x\n");
	expect_faults(text, "6: the line has 16385 bytes: at most 16384 are allowed, shorten it\n");
	sw_mem_free(text);
}

static void test_texts_too_long(void **state)
{
	char text[2048];

	(void)state;
	snprintf(text, sizeof(text), "[seawall]\nauth_file = %0512d\nunix_socket_dir = /%092d\n" REST, 0, 0);
	expect_faults(text, "2: \"auth_file\": the value has 512 bytes: at most 511 are allowed\n"
	                    "3: \"unix_socket_dir\": \"/"
	                    "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
	                    "000000000000\" is "
	                    "too long for the name of a socket: use a shorter one\n");
	snprintf(text, sizeof(text), "[seawall]\nunix_socket_dir = /%091d\n" REST, 0);
	sw_config_unref(load_good(text));
	/* Short enough as written, too long behind the folder. */
	snprintf(text, sizeof(text), "[seawall]\nauth_file = %0500d\n" REST, 0);
	snprintf(text + 1024, sizeof(text) - 1024,
	        "2: \"auth_file\": the path behind \"%s\" is too long: move the file\n", folder);
	expect_faults(text, text + 1024);
}

static void test_files_that_cannot_be_read(void **state)
{
	char *faults = NULL, expected[256], *large;
	size_t len, size = 1024 * 1024 + 1;
	FILE *out = open_memstream(&faults, &len);

	(void)state;
	assert_null(sw_config_load("/nonexistent/x.conf", out));
	assert_null(sw_config_load(folder, out));
	fclose(out);
	snprintf(expected, sizeof(expected),
	        "/nonexistent/x.conf:1: the file cannot be opened: No such file or directory: check its name "
	        "and rights\n"
	        "%s:1: the file cannot be read: Is a directory: check that it is a file\n",
	        folder);
	assert_string_equal(faults, expected);
	free(faults);
	large = malloc(size);
	memset(large, '\n', size);
	expect_faults_of_bytes(
	        large, size, "1: the file has more than 1048576 bytes: check that it is the right one\n");
	memcpy(large, REST, strlen(REST));
	large[size - 1] = '\0';
	sw_config_unref(load_good(large));
	free(large);
	expect_faults("", "1: [nodes] is missing: add the section, with a line \"pg1 = host=ADDRESS "
	                  "port=5432\" for each "
	                  "server\n"
	                  "1: \"user\" in [monitor] is missing: name the role that the monitor logs in as\n");
}

/* ---- SHOW CONFIG, reload, references */

struct rows {
	uint32_t count;
	bool is_password_hidden, is_port_seen;
};

static void on_row(const struct sw_config_row *row, void *arg)
{
	struct rows *rows = arg;

	rows->count++;
	assert_true(sw_config_is_global(row->section));
	assert_null(strstr(row->value, "hush"));
	if (strcmp(row->key, "password") == 0)
		rows->is_password_hidden = strcmp(row->value, "********") == 0;
	if (strcmp(row->key, "listen_port") == 0)
		rows->is_port_seen = strcmp(row->value, "7001") == 0 &&
		                     strcmp(row->default_text, "6432") == 0 && !row->is_changeable;
}

static void test_each_row_hides_secrets(void **state)
{
	struct sw_config *config = load_good("[seawall]\nlisten_port = 7001\n" REST "password = hush\n");
	struct rows rows = {0};
	uint32_t expected = 0;

	(void)state;
	for (uint32_t i = 0; i < sw_config_key_count; i++)
		expected += sw_config_is_global(sw_config_keys[i].section);
	sw_config_each(config, on_row, &rows);
	assert_int_equal(rows.count, expected);
	assert_true(rows.is_password_hidden);
	assert_true(rows.is_port_seen);
	sw_config_unref(config);
}

/* Whether a Seawall that runs with old may reload new, and what is said otherwise. */
static void expect_reload(const char *old_text, const char *new_text, const char *expected)
{
	struct sw_config *old = load_good(old_text), *new = load_good(new_text);
	char *faults = NULL;
	size_t len;
	FILE *out = open_memstream(&faults, &len);

	assert_int_equal(sw_config_check_reload(old, new, out), *expected ? SW_ERR_CONFIG : SW_OK);
	fclose(out);
	assert_string_equal(faults, expected);
	free(faults);
	sw_config_unref(old);
	sw_config_unref(new);
}

static void test_reload(void **state)
{
	(void)state;
	expect_reload(REST, REST, "");
	expect_reload(REST,
	        "[seawall]\ndefault_pool_size = 30\nauth_type = trust\n[routing]\nmax_lag = 1s\n"
	        "[nodes]\npg1 = host=10.0.0.1 weight=7\n" MONITOR "interval = 50ms\npassword = x\n"
	        "[databases]\na =\n[users]\nb =\n",
	        "");
	expect_reload("[seawall]\nworkers = 2\n" REST,
	        "[seawall]\nlisten_port = 6433\nunix_socket_dir = /tmp\nworkers = 9\nlisten_backlog = "
	        "1\n" REST "[seawall]\nlisten_addr = *\n",
	        "listen_addr changed from 127.0.0.1 to *: restart Seawall to apply it\n"
	        "listen_port changed from 6432 to 6433: restart Seawall to apply it\n"
	        "listen_backlog changed from 128 to 1: restart Seawall to apply it\n"
	        "unix_socket_dir changed from \"\" to /tmp: restart Seawall to apply it\n"
	        "workers changed from 2 to 9: restart Seawall to apply it\n");
}

static void test_reload_of_nodes(void **state)
{
	(void)state;
	expect_reload("[nodes]\na = host=h1\nb = host=h2\n" MONITOR,
	        "[nodes]\na = host=h9 port=7\nc = host=h3\n" MONITOR,
	        "node \"a\": host changed from h1 to h9: restart Seawall to apply it\n"
	        "node \"a\": port changed from 5432 to 7: restart Seawall to apply it\n"
	        "node \"b\" removed: restart Seawall to apply it\n"
	        "node \"c\" added: restart Seawall to apply it\n");
	expect_reload("[nodes]\na = host=h1\nb = host=h2\n" MONITOR,
	        "[nodes]\nb = host=h2\na = host=h1\n" MONITOR,
	        "the order of [nodes] changed at \"b\": restore it or restart Seawall\n");
}

static void test_references(void **state)
{
	struct sw_config *config = load_good(REST);

	(void)state;
	assert_ptr_equal(sw_config_ref(config), config);
	sw_config_unref(config);
	assert_int_equal(config->listen_port, 6432); /* still there: under ASan a free would show */
	sw_config_unref(config);
	sw_config_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_defaults),
	        cmocka_unit_test(test_values_of_every_section),
	        cmocka_unit_test(test_databases_users_and_what_wins),
	        cmocka_unit_test(test_star_stands_for_every_other_database),
	        cmocka_unit_test(test_sections_in_any_order),
	        cmocka_unit_test(test_workers_are_the_usable_cpus),
	        cmocka_unit_test(test_relative_path_of_the_file_itself),
	        cmocka_unit_test(test_unknown_keys_name_the_closest),
	        cmocka_unit_test(test_what_later_versions_bring_is_refused),
	        cmocka_unit_test(test_a_pgbouncer_ini_is_told_what_to_change),
	        cmocka_unit_test(test_duplicates),
	        cmocka_unit_test(test_nodes),
	        cmocka_unit_test(test_node_limit),
	        cmocka_unit_test(test_lag_class_limit),
	        cmocka_unit_test(test_entry_limit),
	        cmocka_unit_test(test_names),
	        cmocka_unit_test(test_across_keys),
	        cmocka_unit_test(test_no_level_is_weaker_than_the_minimum),
	        cmocka_unit_test(test_auth_query_has_one_parameter_and_a_role),
	        cmocka_unit_test(test_pam_needs_no_auth_file),
	        cmocka_unit_test(test_delay_of_refusals),
	        cmocka_unit_test(test_values_out_of_form),
	        cmocka_unit_test(test_lines_out_of_form),
	        cmocka_unit_test(test_long_lines_are_not_cut),
	        cmocka_unit_test(test_line_limit_is_exact),
	        cmocka_unit_test(test_texts_too_long),
	        cmocka_unit_test(test_files_that_cannot_be_read),
	        cmocka_unit_test(test_each_row_hides_secrets),
	        cmocka_unit_test(test_reload),
	        cmocka_unit_test(test_reload_of_nodes),
	        cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
