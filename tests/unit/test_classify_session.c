/* The statement classifier: transactions, settings and whatever else outlives a statement. One table a
 * T-item. */
#include "tests/unit/classify_rows.h"

static void test_T14_T15_access_modes(void **state)
{
	static const struct row rows[] = {
		{"SET TRANSACTION READ ONLY", MODE | SW_V_READ_ONLY, 0, NULL},
		{"SET TRANSACTION READ WRITE", MODE | SW_V_READ_WRITE, 0, NULL},
		{"SET LOCAL TRANSACTION READ WRITE", MODE | SW_V_READ_WRITE, 0, NULL},
		{"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", MODE | SW_V_SERIALIZABLE, 0, NULL},
		{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", MODE | SW_V_READ_ONLY, 0,
			NULL},
		{"SET TRANSACTION NOT DEFERRABLE", MODE, 0, NULL},
		{"SET TRANSACTION SNAPSHOT '0-1'", WRITE, 0, NULL},
		{"SET transaction_read_only = on", MODE | SW_V_READ_ONLY, 0, NULL},
		{"SET transaction_read_only TO 'f'", MODE | SW_V_READ_WRITE, 0, NULL},
		{"SET LOCAL transaction_read_only = 0", MODE | SW_V_READ_WRITE, 0, NULL},
		{"SET transaction_read_only = true", MODE | SW_V_READ_ONLY, 0, NULL},
		{"SET transaction_read_only TO DEFAULT", MODE | SW_V_READ_WRITE, 0, NULL},
		{"RESET transaction_read_only", MODE | SW_V_READ_WRITE, 0, NULL},
		{"SET \"Transaction_Isolation\" = 'Serializable'", MODE | SW_V_SERIALIZABLE, 0, NULL},
		{"SET LOCAL transaction_isolation TO 'repeatable read'", MODE, 0, NULL},
		{"SET transaction_deferrable = on", MODE, 0, NULL},
		{"SET default_transaction_read_only = on", SET, 0, "default_transaction_read_only"},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", SET, 0,
			"default_transaction_read_only"},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE, "
		 "DEFERRABLE",
			SET, 0,
			"default_transaction_isolation default_transaction_read_only "
			"default_transaction_deferrable"},
		{"SET LOCAL SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", NO_DATA, 0, NULL},
		{"BEGIN READ ONLY", BEGIN | SW_V_READ_ONLY, 0, NULL},
		{"BEGIN READ WRITE", BEGIN | SW_V_READ_WRITE, 0, NULL},
		{"BEGIN READ ONLY, READ WRITE", BEGIN | SW_V_READ_WRITE, 0, NULL},
		{"START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
			BEGIN | SW_V_READ_ONLY | SW_V_SERIALIZABLE, 0, NULL},
		{"BEGIN ISOLATION LEVEL REPEATABLE READ", BEGIN, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T18_lexing(void **state)
{
	static const char injected[] = "SELECT '\\'; DELETE FROM t; --'";
	static const char letter[] = "SELECT '\x83\x5c'";
	struct sw_classify_env env = usual_env();
	struct sw_verdict verdict;

	(void)state;
	sw_classify(injected, strlen(injected), &env, &verdict);
	assert_int_equal(verdict.statements, 2);
	assert_false(verdict.flags & SW_V_READ);
	env.standard_conforming_strings = false;
	sw_classify(injected, strlen(injected), &env, &verdict);
	assert_int_equal(verdict.statements, 1);
	assert_true(verdict.flags & SW_V_READ);
	/* The setting does not stay behind in the thread. */
	env.standard_conforming_strings = true;
	sw_classify(injected, strlen(injected), &env, &verdict);
	assert_int_equal(verdict.statements, 2);
	/* An encoding whose letters may end in a backslash: ASCII is parsed, nothing else. */
	env.unsafe_encoding = true;
	sw_classify(letter, strlen(letter), &env, &verdict);
	assert_int_equal(verdict.flags, UNPARSED);
	assert_int_equal(verdict.pins, SW_PIN_UNSEEN);
	sw_classify("SELECT 'x'", 10, &env, &verdict);
	assert_true(verdict.flags & SW_V_READ);
}

static void test_T19_temporary_tables(void **state)
{
	static const struct row rows[] = {
		{"CREATE TEMP TABLE t (a int)", DDL, SW_PIN_TEMP, NULL},
		{"CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS t (a int) ON COMMIT DELETE ROWS", DDL,
			SW_PIN_TEMP, NULL},
		{"CREATE TEMP TABLE t (a int) ON COMMIT DROP", DDL, 0, NULL},
		{"CREATE TABLE pg_temp.t (a int)", DDL, SW_PIN_TEMP, NULL},
		{"CREATE TABLE PG_TEMP.t AS SELECT 1", DDL, SW_PIN_TEMP, NULL},
		{"CREATE TEMP TABLE t AS SELECT 1", DDL, SW_PIN_TEMP, NULL},
		{"CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1", DDL, 0, NULL},
		{"CREATE TEMP TABLE t AS EXECUTE p", DDL, SW_PIN_TEMP, NULL},
		{"SELECT 1 INTO TEMP t", DDL, SW_PIN_TEMP, NULL},
		{"SELECT 1 INTO pg_temp.t", DDL, SW_PIN_TEMP, NULL},
		{"CREATE TEMP VIEW v AS SELECT 1", DDL, SW_PIN_TEMP, NULL},
		{"CREATE TEMP SEQUENCE s", DDL, SW_PIN_TEMP, NULL},
		{"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", DDL, SW_PIN_TEMP,
			NULL},
		{"CREATE TYPE pg_temp.t AS (a int)", DDL, SW_PIN_TEMP, NULL},
		{"SELECT * FROM pg_temp.t", WRITE, 0, NULL},
		{"INSERT INTO pg_temp.t VALUES (1)", WRITE, 0, NULL},
		{"SET search_path = pg_temp, public", SET, SW_PIN_TEMP, "search_path"},
		{"SET LOCAL search_path = 'pg_temp'", NO_DATA, SW_PIN_TEMP, NULL},
		{"SELECT set_config('search_path', 'pg_temp', true)", WRITE, SW_PIN_TEMP, NULL},
		{"SET SCHEMA 'app'", SET, 0, "search_path"},
		{"DROP TABLE pg_temp.t", DDL, SW_PIN_TEMP,
			NULL}, /* needless, and harmless: it was pinned before */
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T22_large_objects_and_cursors(void **state)
{
	static const struct row rows[] = {
		{"SELECT lo_get(1)", WRITE, 0, NULL},
		{"SELECT loread(lo_open(1, 262144), 10)", WRITE, 0, NULL},
		{"SELECT lo_import('x')", WRITE, 0, NULL},
		{"DECLARE c CURSOR FOR SELECT * FROM t", READ, 0, NULL},
		{"DECLARE c BINARY SCROLL CURSOR WITHOUT HOLD FOR SELECT 1", READ, 0, NULL},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t", WRITE, SW_PIN_CURSOR, NULL},
		{"DECLARE c CURSOR FOR SELECT book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"DECLARE c CURSOR FOR SELECT set_config('a.b', '1', false)", WRITE, SW_PIN_SETTING, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T27_T76_transactions(void **state)
{
	static const struct row rows[] = {
		{"BEGIN", BEGIN, 0, NULL},
		{"BEGIN WORK", BEGIN, 0, NULL},
		{"START TRANSACTION", BEGIN, 0, NULL},
		{"COMMIT", END, 0, NULL},
		{"END", END, 0, NULL},
		{"END TRANSACTION", END, 0, NULL},
		{"ROLLBACK", END, 0, NULL},
		{"ABORT", END, 0, NULL},
		{"COMMIT AND CHAIN", END, 0, NULL},
		{"ROLLBACK AND CHAIN", END, 0, NULL},
		{"PREPARE TRANSACTION 'x'", SW_V_END, 0, NULL},
		{"COMMIT PREPARED 'x'", SW_V_DDL, 0, NULL},
		{"ROLLBACK PREPARED 'x'", SW_V_DDL, 0, NULL},
		{"SAVEPOINT s", SAVEPOINT, 0, NULL},
		{"RELEASE SAVEPOINT s", SAVEPOINT, 0, NULL},
		{"RELEASE s", SAVEPOINT, 0, NULL},
		{"ROLLBACK TO s", SAVEPOINT, 0, NULL},
		{"ROLLBACK TO SAVEPOINT s", SAVEPOINT, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T58_T59_settings(void **state)
{
	static const struct row rows[] = {
		{"SET work_mem = '1MB'", SET, 0, "work_mem"},
		{"SET SESSION Work_Mem TO 64", SET, 0, "work_mem"},
		{"SET \"Work_Mem\" TO 64", SET, 0, "work_mem"},
		{"SET app.user_id = '7'", SET, 0, "app.user_id"},
		{"SET statement_timeout TO DEFAULT", SET | SW_V_RESET, 0, "statement_timeout"},
		{"RESET statement_timeout", SET | SW_V_RESET, 0, "statement_timeout"},
		{"SET TIME ZONE 'Europe/Berlin'", SET, 0, "timezone"},
		{"SET TIME ZONE LOCAL", SET | SW_V_RESET, 0, "timezone"},
		{"SET TIME ZONE INTERVAL '1' HOUR", SET, 0, "timezone"},
		{"RESET TIME ZONE", SET | SW_V_RESET, 0, "timezone"},
		{"SET NAMES 'UTF8'", SET, 0, "client_encoding"},
		{"SET SCHEMA 'a'", SET, 0, "search_path"},
		{"SET search_path = a, b", SET, 0, "search_path"},
		{"SET XML OPTION DOCUMENT", SET, 0, "xmloption"},
		{"SET LOCAL work_mem = '1MB'", NO_DATA, 0, NULL},
		{"SET LOCAL app.user_id = '7'", NO_DATA, 0, NULL},
		{"RESET ALL", NO_DATA | SW_V_RESET_ALL, 0, NULL},
		{"DISCARD ALL", NO_DATA | SW_V_DISCARD_ALL, 0, NULL},
		{"DISCARD TEMP", WRITE, 0, NULL},
		{"DISCARD PLANS", NO_DATA, 0, NULL},
		{"DISCARD SEQUENCES", NO_DATA, 0, NULL},
		{"SET ROLE bob", NO_DATA, SW_PIN_ROLE, NULL},
		{"SET ROLE NONE", NO_DATA, SW_PIN_ROLE, NULL},
		{"set role to 'bob'", NO_DATA, SW_PIN_ROLE, NULL},
		{"SET LOCAL ROLE bob", NO_DATA, 0, NULL},
		{"RESET ROLE", NO_DATA, 0, NULL},
		{"SET SESSION AUTHORIZATION bob", NO_DATA, SW_PIN_ROLE, NULL},
		{"SET session_authorization = bob", NO_DATA, SW_PIN_ROLE, NULL},
		{"RESET SESSION AUTHORIZATION", NO_DATA, 0, NULL},
		{"SET SESSION AUTHORIZATION DEFAULT", NO_DATA, 0, NULL},
		{"LOAD 'x'", WRITE, SW_PIN_LOAD, NULL},
		{"SET aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb = 1",
			NO_DATA, SW_PIN_SETTING, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T59_functions_that_may_set(void **state)
{
	static const struct row rows[] = {
		{"SELECT book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT unheard_of(1)", WRITE, SW_PIN_SETTING, NULL},
		{"INSERT INTO t VALUES (book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"COPY t FROM STDIN WHERE book(a)", WRITE, SW_PIN_SETTING, NULL},
		{"CREATE TABLE t AS SELECT book(1)", DDL, SW_PIN_SETTING, NULL},
		{"PREPARE p AS SELECT book(1)", WRITE, SW_PIN_PREPARE | SW_PIN_SETTING, NULL},
		{"SELECT 1; SELECT book(1)", MULTI, SW_PIN_SETTING, NULL},
		/* Nothing of it is executed. */
		{"EXPLAIN SELECT book(1)", READ, 0, NULL},
		{"CREATE VIEW v AS SELECT book(1)", DDL, 0, NULL},
		/* The operator has listed it; where a text calls another one too, that one still pins. */
		{"SELECT settle(1)", WRITE, 0, NULL},
		{"SELECT app.settle(1)", WRITE, 0, NULL},
		{"SELECT settle(book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT lookup(1)", READ_ONCE, 0, NULL},
		{"SELECT currval('s')", WRITE, SW_PIN_SEQUENCE, NULL}, /* listed in vain */
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T58_reset_of_one_setting(void **state)
{
	static const struct row rows[] = {
		{"RESET a.b", SET | SW_V_RESET, 0, "a.b"},
		{"SET a.b TO DEFAULT", SET | SW_V_RESET, 0, "a.b"},
		{"SET a.b = 1", SET, 0, "a.b"},
		{"SET LOCAL a.b TO DEFAULT", NO_DATA, 0, NULL},
		{"RESET ALL", NO_DATA | SW_V_RESET_ALL, 0, NULL},
		{"RESET ROLE", NO_DATA, 0, NULL},
		/* Of several statements the names do not say which one reset what. */
		{"RESET a.b; RESET c.d", MULTI | SET, 0, "a.b c.d"},
		{"SET a.b = 1; RESET a.b", MULTI | SET, 0, "a.b"},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T60_set_config(void **state)
{
	static const struct row rows[] = {
		{"SELECT set_config('app.user_id', '7', false)", SW_V_SETS, 0, "app.user_id"},
		{"SELECT pg_catalog.set_config('Search_Path', '', false)", SW_V_SETS, 0, "search_path"},
		{"SELECT set_config('app.user_id', $1, 'off')", SW_V_SETS, 0, "app.user_id"},
		{"SELECT set_config('app.user_id'::text, $1, NULL)", SW_V_SETS, 0, "app.user_id"},
		{"SELECT set_config('app.user_id', '7', true)", WRITE, 0, NULL},
		{"SELECT set_config('app.user_id', '7', 't'::bool)", WRITE, 0, NULL},
		{"SELECT set_config($1, '7', false)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT set_config('a.' || 'b', '7', false)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT set_config('a.b', '7', $1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT set_config(name, setting, false) FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT set_config(VARIADIC $1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT set_config('role', 'bob', false)", WRITE, SW_PIN_ROLE, NULL},
		{"SELECT set_config('transaction_read_only', 'off', false)", WRITE, 0, NULL},
		{"SELECT 1 FROM t WHERE set_config('a.b', '7', false) IS NULL", SW_V_SETS, 0, "a.b"},
		{"INSERT INTO t VALUES (set_config('a.b', '7', false))", SW_V_SETS, 0, "a.b"},
		{"PREPARE p AS SELECT set_config('a.b', '7', false)", WRITE, SW_PIN_PREPARE | SW_PIN_SETTING,
			NULL},
		{"EXPLAIN SELECT set_config('a.b', '7', false)", READ, 0, NULL},
		{"EXPLAIN ANALYZE SELECT set_config('a.b', '7', false)", SW_V_SETS, 0, "a.b"},
		{"SELECT set_config('a.b', '7', false), set_config('c.d', '7', false), book(1)", SW_V_SETS,
			SW_PIN_SETTING, "c.d a.b"},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T65_sql_prepared_statements(void **state)
{
	static const struct row rows[] = {
		{"PREPARE p AS SELECT 1", WRITE, SW_PIN_PREPARE, NULL},
		{"PREPARE p (int) AS INSERT INTO t VALUES ($1)", WRITE, SW_PIN_PREPARE, NULL},
		{"PREPARE p AS SELECT nextval('s')", WRITE, SW_PIN_PREPARE | SW_PIN_BACKEND, NULL},
		{"EXECUTE p", WRITE, 0, NULL},
		{"EXECUTE p (1, setseed(0))", WRITE, SW_PIN_BACKEND, NULL},
		{"DEALLOCATE p", NO_DATA | SW_V_DEALLOCATE, 0, NULL},
		{"DEALLOCATE ALL", NO_DATA | SW_V_DEALLOCATE, 0, NULL},
		{"SET a.b = 1; DEALLOCATE p", MULTI | SET | SW_V_DEALLOCATE, 0, "a.b"},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
	assert_string_equal(classify("DEALLOCATE \"P q\"").names[0], "P q");
	assert_string_equal(classify("DEALLOCATE ALL").names[0], "");
}

static void test_T73_advisory_locks(void **state)
{
	static const struct row rows[] = {
		{"SELECT pg_advisory_lock(1)", WRITE, SW_PIN_LOCK, NULL},
		{"SELECT pg_advisory_lock_shared(1, 2)", WRITE, SW_PIN_LOCK, NULL},
		{"SELECT pg_try_advisory_lock(1)", WRITE, SW_PIN_LOCK, NULL},
		{"SELECT pg_catalog.pg_try_advisory_lock_shared(1)", WRITE, SW_PIN_LOCK, NULL},
		{"SELECT pg_advisory_xact_lock(1)", WRITE, 0, NULL},
		{"SELECT pg_advisory_xact_lock_shared(1)", WRITE, 0, NULL},
		{"SELECT pg_try_advisory_xact_lock(1)", WRITE, 0, NULL},
		{"SELECT pg_try_advisory_xact_lock_shared(1)", WRITE, 0, NULL},
		{"SELECT pg_advisory_unlock(1)", WRITE, 0, NULL},
		{"SELECT pg_advisory_unlock_shared(1)", WRITE, 0, NULL},
		{"SELECT pg_advisory_unlock_all()", WRITE, 0, NULL},
		{"SELECT * FROM t WHERE pg_try_advisory_lock(a) LIMIT 1", WRITE, SW_PIN_LOCK, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T74_notifications(void **state)
{
	static const struct row rows[] = {
		{"LISTEN x", NO_DATA, SW_PIN_LISTEN, NULL},
		{"UNLISTEN x", NO_DATA, 0, NULL},
		{"UNLISTEN *", NO_DATA, 0, NULL},
		{"NOTIFY x, 'y'", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_seawall_settings(void **state)
{
	static const struct {
		const char *sql;
		uint32_t flags;
		const char *name, *value;
	} rows[] = {
		{"SET seawall.consistency = 'strong'", 0, "seawall.consistency", "strong"},
		{"SET SESSION seawall.consistency TO strong", 0, "seawall.consistency", "strong"},
		{"SET Seawall.Consistency TO strong", 0, "seawall.consistency", "strong"},
		{"SET \"SEAWALL\".token TO 'aB'", 0, "seawall.token", "aB"},
		{"SET LOCAL seawall.route = 'primary'", SW_V_LOCAL, "seawall.route", "primary"},
		{"SET seawall.max_staleness = 250", 0, "seawall.max_staleness", "250"},
		{"SET seawall.max_staleness = -1", 0, "seawall.max_staleness", "-1"},
		{"SET seawall.max_staleness = 1.5", 0, "seawall.max_staleness", "1.5"},
		{"SET seawall.route = on", 0, "seawall.route", "on"},
		{"SET seawall.route = a, b", 0, "seawall.route", "a, b"},
		{"SET seawall.token TO DEFAULT", 0, "seawall.token", ""},
		{"RESET seawall.token", 0, "seawall.token", ""},
		{"SHOW seawall.token", SW_V_SHOW, "seawall.token", ""},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		struct sw_verdict verdict = classify(rows[i].sql);

		assert_int_equal(verdict.flags, rows[i].flags | SW_V_SEAWALL | NO_DATA);
		assert_int_equal(verdict.pins, 0);
		assert_int_equal(verdict.name_count, 1);
		assert_string_equal(verdict.names[0], rows[i].name);
		assert_string_equal(verdict.value, rows[i].value);
	}
	assert_int_equal(classify("SELECT set_config('seawall.token', '1', false)").flags, SW_V_SETS);
}

static void test_seawall_value_that_does_not_fit(void **state)
{
	char sql[1200];
	struct sw_verdict verdict;

	(void)state;
	snprintf(sql, sizeof(sql), "SET seawall.token = '%0500d', '%0500d'", 1, 2);
	verdict = classify(sql);
	assert_int_equal(strlen(verdict.value), sizeof(verdict.value) - 1);
	snprintf(sql, sizeof(sql), "SET seawall.%0500d = 1", 1);
	assert_true(classify(sql).flags & SW_V_UNPARSED); /* no identifier begins with a digit */
	snprintf(sql, sizeof(sql), "SET seawall.a%0500d = 1", 1);
	assert_int_equal(strlen(classify(sql).names[0]), SW_NAME_MAX - 1);
}

/* The view's rule makes it set_config(). */
static void test_T59_update_of_pg_settings(void **state)
{
	(void)state;
	assert_int_equal(classify("UPDATE pg_settings SET setting = '1' WHERE name = 'x'").pins, SW_PIN_SETTING);
	assert_int_equal(classify("UPDATE pg_catalog.pg_settings SET setting = '1'").pins, SW_PIN_SETTING);
	assert_int_equal(classify("UPDATE t SET setting = '1'").pins, 0);
}

/* As the catalog says; reading it, or planning to write to it, sets nothing. */
static void test_T59_relations_whose_rules_set(void **state)
{
	static const struct row rows[] = {
		{"UPDATE knobs SET setting = '1'", WRITE, SW_PIN_SETTING, NULL},
		{"INSERT INTO public.knobs VALUES ('x', '1')", WRITE, SW_PIN_SETTING, NULL},
		{"WITH x AS (DELETE FROM knobs RETURNING 1) TABLE x", WRITE, SW_PIN_SETTING, NULL},
		{"INSERT INTO t SELECT * FROM knobs", WRITE, 0, NULL},
		{"UPDATE t SET a = 1 FROM knobs", WRITE, 0, NULL},
		{"TABLE knobs", READ, 0, NULL},
		{"EXPLAIN UPDATE knobs SET setting = '1'", READ, 0, NULL},
	};

	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

/* Also where the lock is gone with the transaction, and whatever else the text does. */
static void test_T73_advisory_flag(void **state)
{
	(void)state;
	assert_true(classify("SELECT pg_try_advisory_xact_lock(5)").flags & SW_V_ADVISORY);
	assert_true(classify("SELECT 1; SELECT pg_advisory_lock(5)").flags & SW_V_ADVISORY);
	assert_false(classify("SELECT random()").flags & SW_V_ADVISORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_T14_T15_access_modes),
		cmocka_unit_test(test_T18_lexing),
		cmocka_unit_test(test_T19_temporary_tables),
		cmocka_unit_test(test_T22_large_objects_and_cursors),
		cmocka_unit_test(test_T27_T76_transactions),
		cmocka_unit_test(test_T58_T59_settings),
		cmocka_unit_test(test_T59_functions_that_may_set),
		cmocka_unit_test(test_T58_reset_of_one_setting),
		cmocka_unit_test(test_T60_set_config),
		cmocka_unit_test(test_T65_sql_prepared_statements),
		cmocka_unit_test(test_T73_advisory_locks),
		cmocka_unit_test(test_T74_notifications),
		cmocka_unit_test(test_T59_update_of_pg_settings),
		cmocka_unit_test(test_T59_relations_whose_rules_set),
		cmocka_unit_test(test_T73_advisory_flag),
		cmocka_unit_test(test_seawall_settings),
		cmocka_unit_test(test_seawall_value_that_does_not_fit),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
