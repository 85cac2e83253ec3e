/* The statement classifier: which texts are reads. One table a T-item. */
#include "tests/unit/classify_rows.h"

static void test_T1_real_grammar(void **state)
{
	static const struct row rows[] = {
		{"SELECT 1", READ, 0, NULL},
		{"select * from t where a = $1", READ, 0, NULL},
		{"  /* a /* nested */ comment */ -- and one more\nSELECT 1", READ, 0, NULL},
		{"/* SELECT 1 */ INSERT INTO t VALUES (1)", WRITE, 0, NULL},
		{"-- SELECT 1\nDELETE FROM t", WRITE, 0, NULL},
		{"(SELECT 1)", READ, 0, NULL},
		{"((SELECT a FROM t) UNION (SELECT b FROM u)) ORDER BY 1", READ, 0, NULL},
		{"TABLE t", READ, 0, NULL},
		{"VALUES (1, 2), (3, 4)", READ, 0, NULL},
		{"WITH x AS (SELECT 1) SELECT * FROM x", READ, 0, NULL},
		{"WITH RECURSIVE x(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM x WHERE n < 9) SELECT * "
		 "FROM x",
			READ, 0, NULL},
		{"SELECT $$; DELETE FROM t; $$", READ, 0, NULL},
		{"SELECT $q$ it's $$ $q$", READ, 0, NULL},
		{"SELECT U&'d\\0061t\\+000061'", READ, 0, NULL},
		{"SELECT U&\"d\\0061ta\" FROM t", READ, 0, NULL},
		{"SELECT 'DELETE FROM t'", READ, 0, NULL},
		{"SELECT \"INSERT\" FROM \"UPDATE\"", READ, 0, NULL},
		{"SELECT a FROM t WHERE b IN (SELECT c FROM u) AND EXISTS (SELECT 1 FROM v)", READ, 0, NULL},
		{"SELECT CASE WHEN a THEN (SELECT 1) ELSE 2 END FROM t", READ, 0, NULL},
		{"SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) FROM t", READ, 0, NULL},
		{"SELECT count(*) FILTER (WHERE a), sum(b) FROM t GROUP BY GROUPING SETS ((c), ()) HAVING "
		 "max(d) > 1",
			READ, 0, NULL},
		{"SELECT * FROM t TABLESAMPLE system (1)", READ, 0, NULL},
		{"SELECT * FROM a JOIN b USING (c) LEFT JOIN LATERAL (SELECT * FROM d) e ON true", READ, 0,
			NULL},
		{"SELECT ARRAY[1, 2], ROW(1, 2), a[1:2], (b).c, d::text, e COLLATE \"C\" FROM t", READ, 0,
			NULL},
		{"SELECT xmlelement(name a, b) FROM t", READ, 0, NULL},
		{"SELECT * FROM xmltable('/a' PASSING x COLUMNS b int PATH 'c')", READ, 0, NULL},
		{"SELECT grouping(a) FROM t GROUP BY ROLLUP (a)", READ, 0, NULL},
		{"SELECT a FROM t ORDER BY a USING < LIMIT 1 OFFSET 2", READ, 0, NULL},
		{"SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES", READ, 0, NULL},
		{"SELECT greatest(1, 2), coalesce(a, b), nullif(a, b) FROM t", READ, 0, NULL},
		{"SELECT current_user, current_timestamp, session_user, current_schema FROM t", READ, 0,
			NULL},
		{"SELECT a AT TIME ZONE 'UTC', extract(year FROM b), trim(both 'x' FROM c), position('a' IN "
		 "d) FROM t",
			READ, 0, NULL},
		{"SELECT overlay(a placing b from 1), substring(a from 1 for 2) FROM t", READ, 0, NULL},
		{"SELECT * FROM ONLY t", READ, 0, NULL},
		{"INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1 RETURNING *", WRITE, 0, NULL},
		{"UPDATE t SET a = 1", WRITE, 0, NULL},
		{"UPDATE t SET (a, b) = (SELECT 1, 2) WHERE CURRENT OF c", WRITE, 0, NULL},
		{"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T2_writes_in_ctes(void **state)
{
	static const struct row rows[] = {
		{"WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x", WRITE, 0, NULL},
		{"WITH x AS (UPDATE t SET a = 1 RETURNING a) SELECT * FROM x", WRITE, 0, NULL},
		{"WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", WRITE, 0, NULL},
		{"WITH a AS (SELECT 1), b AS (WITH c AS (DELETE FROM t RETURNING 1) SELECT 1) SELECT * FROM "
		 "a",
			WRITE, 0, NULL},
		{"SELECT (WITH x AS (SELECT 1) SELECT * FROM x)", READ, 0, NULL},
		{"SELECT 1 UNION (WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x)", WRITE, 0, NULL},
		{"EXPLAIN ANALYZE WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", WRITE, 0, NULL},
		{"PREPARE p AS WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", WRITE, SW_PIN_PREPARE,
			NULL},
		{"DECLARE c CURSOR FOR WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", WRITE, 0,
			NULL},
		{"COPY (WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x) TO STDOUT", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T3_locking_clauses(void **state)
{
	static const struct row rows[] = {
		{"SELECT * FROM t FOR UPDATE", WRITE, 0, NULL},
		{"SELECT * FROM t FOR NO KEY UPDATE", WRITE, 0, NULL},
		{"SELECT * FROM t FOR SHARE", WRITE, 0, NULL},
		{"SELECT * FROM t FOR KEY SHARE NOWAIT", WRITE, 0, NULL},
		{"SELECT * FROM t FOR UPDATE OF t SKIP LOCKED", WRITE, 0, NULL},
		{"SELECT * FROM (SELECT * FROM t FOR UPDATE) s", WRITE, 0, NULL},
		{"WITH x AS (SELECT * FROM t FOR SHARE) SELECT * FROM x", WRITE, 0, NULL},
		{"(SELECT 1 FROM t FOR UPDATE) UNION ALL (SELECT 2)", WRITE, 0, NULL},
		{"SELECT a IN (SELECT b FROM t FOR UPDATE) FROM u", WRITE, 0, NULL},
		{"DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE", WRITE, 0, NULL},
		{"SELECT * FROM t FOR READ ONLY", READ, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T4_commands_that_look_like_reads(void **state)
{
	static const struct row rows[] = {
		{"SELECT 1 INTO t", DDL, 0, NULL},
		{"WITH x AS (SELECT 1) SELECT * INTO UNLOGGED t FROM x", DDL, 0, NULL},
		{"CREATE TABLE t AS SELECT 1", DDL, 0, NULL},
		{"CREATE TABLE t AS EXECUTE p", DDL, 0, NULL},
		{"CREATE MATERIALIZED VIEW v AS SELECT 1", DDL, 0, NULL},
		{"REFRESH MATERIALIZED VIEW CONCURRENTLY v", WRITE, 0, NULL},
		{"CALL p(1)", DDL, SW_PIN_SETTING, NULL},
		{"DO $$ BEGIN PERFORM 1; END $$", DDL, SW_PIN_SETTING, NULL},
		{"LOCK TABLE t IN ACCESS SHARE MODE", WRITE, 0, NULL},
		{"VACUUM t", WRITE, 0, NULL},
		{"ANALYZE", WRITE, 0, NULL},
		{"CLUSTER t USING i", WRITE, 0, NULL},
		{"REINDEX TABLE t", WRITE, 0, NULL},
		{"TRUNCATE t", WRITE, 0, NULL},
		{"CHECKPOINT", WRITE, 0, NULL},
		{"SET CONSTRAINTS ALL IMMEDIATE", WRITE, 0, NULL},
		{"COPY (INSERT INTO t VALUES (1) RETURNING 1) TO STDOUT", WRITE, 0, NULL},
		{"EXPLAIN SELECT 1", READ, 0, NULL},
		{"EXPLAIN (COSTS off, VERBOSE) SELECT * FROM t", READ, 0, NULL},
		{"EXPLAIN INSERT INTO t VALUES (nextval('s'))", READ, 0, NULL},
		{"EXPLAIN SELECT * FROM t FOR UPDATE", READ, 0, NULL},
		{"EXPLAIN SELECT book(1)", READ, 0, NULL},
		{"EXPLAIN (ANALYZE false) DELETE FROM t", READ, 0, NULL},
		{"EXPLAIN (ANALYZE off) DELETE FROM t", READ, 0, NULL},
		{"EXPLAIN (ANALYZE 0) DELETE FROM t", READ, 0, NULL},
		{"EXPLAIN CREATE TABLE x AS SELECT 1", READ, 0, NULL},
		{"EXPLAIN REFRESH MATERIALIZED VIEW v", READ, 0, NULL},
		{"EXPLAIN DECLARE c CURSOR FOR SELECT 1", READ, 0, NULL},
		{"EXPLAIN SELECT * FROM cache_unlogged", WRITE, 0, NULL},
		{"EXPLAIN EXECUTE p", WRITE, 0, NULL},
		{"EXPLAIN ANALYZE SELECT 1", READ, 0, NULL},
		{"EXPLAIN (ANALYZE) SELECT count(*) FROM t", READ, 0, NULL},
		{"EXPLAIN ANALYZE DELETE FROM t", WRITE, 0, NULL},
		{"EXPLAIN (ANALYZE 1) DELETE FROM t", WRITE, 0, NULL},
		{"EXPLAIN (BUFFERS, ANALYZE on) UPDATE t SET a = 1", WRITE, 0, NULL},
		{"EXPLAIN ANALYZE SELECT book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"EXPLAIN ANALYZE SELECT setseed(0.5)", WRITE, SW_PIN_BACKEND, NULL},
		{"EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1", DDL, SW_PIN_TEMP, NULL},
		{"EXPLAIN (ANALYZE false, ANALYZE true) DELETE FROM t", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T5_functions(void **state)
{
	static const struct row rows[] = {
		{"SELECT now(), lower(a), length(b), round(c, 2), md5(d) FROM t", READ, 0, NULL},
		{"SELECT count(*), sum(a), avg(b), string_agg(c, ','), array_agg(d), bool_or(e) FROM t", READ,
			0, NULL},
		{"SELECT * FROM generate_series(1, 10)", READ, 0, NULL},
		{"SELECT jsonb_build_object('a', 1), jsonb_agg(x), jsonb_path_query(y, '$'), to_jsonb(z) "
		 "FROM t",
			READ, 0, NULL},
		{"SELECT * FROM jsonb_to_recordset($1) AS x(a int, b text)", READ, 0, NULL},
		{"SELECT unnest(a), regexp_replace(b, 'c', 'd'), date_trunc('day', now()), to_char(now(), "
		 "'YYYY') FROM t",
			READ, 0, NULL},
		{"SELECT random(), clock_timestamp(), gen_random_uuid(), timeofday(), pg_sleep(1)", READ, 0,
			NULL},
		{"SELECT pg_catalog.random(), pg_catalog.lower('A')", READ, 0, NULL},
		{"SELECT ROWS.* FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY[1])) AS rows", READ, 0,
			NULL},
		{"SELECT total(1)", READ, 0, NULL},
		{"SELECT app.total(1)", READ, 0, NULL},
		{"SELECT \"MixedCase\"()", READ, 0, NULL},
		{"SELECT MixedCase()", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT has_stock(1)", READ, 0, NULL},
		{"SELECT book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT app.book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT a FROM t WHERE book(a)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT a FROM t ORDER BY book(a)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT a FROM t LIMIT book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT count(*) FILTER (WHERE book(a)) FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT sum(a) OVER (ORDER BY book(a)) FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT total(a => book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM t JOIN u ON book(t.a)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM t, LATERAL (VALUES (book(1))) v", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM t TABLESAMPLE bernoulli (book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT ARRAY[book(1)], a[book(2)] FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT CASE WHEN true THEN book(1) END", WRITE, SW_PIN_SETTING, NULL},
		{"VALUES (1, book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT DISTINCT ON (book(a)) a FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT a FROM t GROUP BY ROLLUP (a, book(a))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT a FROM t GROUP BY a HAVING book(a)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT a FROM t OFFSET book(1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY book(a)) FROM t",
			WRITE, SW_PIN_SETTING, NULL},
		{"SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY book(a))",
			WRITE, SW_PIN_SETTING, NULL},
		{"SELECT sum(a) OVER (ROWS book(1) PRECEDING) FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT string_agg(a, ',' ORDER BY book(a)) FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM t TABLESAMPLE system (1) REPEATABLE (book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT xmlelement(name a, xmlattributes(book(1) AS b), 'c')", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT xmlserialize(content book(1) AS text)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM xmltable('/a' PASSING book(1) COLUMNS b int PATH 'c' DEFAULT 1)",
			WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM xmltable('/a' PASSING x COLUMNS b int PATH 'c' DEFAULT book(1))",
			WRITE, SW_PIN_SETTING, NULL},
		{"SELECT * FROM ROWS FROM (generate_series(1, 2), book(1)) AS x",
			WRITE, SW_PIN_SETTING, NULL},
		{"SELECT (book(1)).*, (ARRAY[1])[book(2)]", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT a BETWEEN 1 AND book(2), b IN (1, book(2)), c LIKE book(3) ESCAPE 'x' FROM t",
			WRITE, SW_PIN_SETTING, NULL},
		{"SELECT book(1) IS NULL", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT book(1)::bool IS TRUE", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT NOT (true AND book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT 1 = ANY (SELECT book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT ARRAY(SELECT book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT greatest(1, book(1)), coalesce(NULL, 1)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT ROW(book(1)), 'a' COLLATE \"C\"", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT grouping(book(a)) FROM t GROUP BY book(a)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT CASE book(1) WHEN 1 THEN 2 END", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT CASE WHEN book(1) THEN 2 END", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT CASE WHEN a THEN 2 ELSE book(1) END FROM t", WRITE, SW_PIN_SETTING, NULL},
		{"(SELECT 1) EXCEPT (SELECT 2 UNION (VALUES (book(1))))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT 1 ORDER BY (SELECT book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT book(1) AT TIME ZONE 'UTC'", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT extract(year FROM book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT unheard_of(1)", WRITE, SW_PIN_SETTING, NULL},
		/* Not pg_catalog's, and the catalog has none. */
		{"SELECT app.lower('A')", WRITE, SW_PIN_SETTING, NULL},
		/* Worst wins: the user has a volatile one. */
		{"SELECT upper('a')", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT pg_catalog.upper('a')", READ, 0, NULL},
		{"SELECT audit(1)", WRITE, 0, NULL},
		{"SELECT app.audit(1)", WRITE, 0, NULL},
		{"SELECT charge(1)", WRITE, 0, NULL}, /* the search path may mean app.charge */
		{"SELECT app.charge(1)", WRITE, 0, NULL},
		{"SELECT other.charge(1)", READ, 0, NULL},
		{"SELECT lookup(1)", READ_ONCE, 0, NULL},
		{"SELECT app.lookup(1)", READ_ONCE, 0, NULL},
		{"SELECT app.peek(1)", READ_ONCE, 0, NULL},
		{"SELECT peek(1)", WRITE, SW_PIN_SETTING, NULL}, /* only app.peek is declared harmless */
		{"SELECT lookup(book(1))", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT ts_stat('SELECT 1')", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT query_to_xml('DELETE FROM t', true, true, '')", WRITE, SW_PIN_SETTING, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T5_without_a_catalog(void **state)
{
	static const struct {
		const char *sql;
		bool is_read;
	} rows[] = {
		{"SELECT count(*), now(), random() FROM t", true},
		{"SELECT jsonb_set(a, '{b}', '1') FROM t", true},
		{"SELECT pg_typeof(1), pg_size_pretty(1::bigint)", true}, {"SELECT total(1)", false},
		{"SELECT app.lower('A')", false},
		{"SELECT * FROM cache_unlogged", true}, /* the standby refuses it: T16 */
	};
	struct sw_classify_env env = {.standard_conforming_strings = true};
	struct sw_verdict verdict;

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		sw_classify(rows[i].sql, strlen(rows[i].sql), &env, &verdict);
		assert_int_equal(!!(verdict.flags & SW_V_READ), rows[i].is_read);
		assert_int_equal(verdict.pins, rows[i].is_read ? 0 : SW_PIN_SETTING);
		assert_true(verdict.flags & SW_V_CALLS);
	}
}

static void test_T7_sequences_and_seeds(void **state)
{
	static const struct row rows[] = {
		{"SELECT nextval('s')", WRITE, SW_PIN_BACKEND, NULL}, /* replica_functions cannot change it */
		{"SELECT pg_catalog.nextval('s'::regclass)", WRITE, SW_PIN_BACKEND, NULL},
		{"SELECT setval('s', 1)", WRITE, SW_PIN_BACKEND, NULL},
		{"SELECT currval('s')", WRITE, SW_PIN_SEQUENCE, NULL},
		{"SELECT lastval()", WRITE, SW_PIN_SEQUENCE, NULL},
		{"SELECT nextval('s'), currval('s')", WRITE, SW_PIN_BACKEND | SW_PIN_SEQUENCE, NULL},
		{"SELECT setseed(0.5)", WRITE, SW_PIN_BACKEND, NULL},
		{"INSERT INTO t VALUES (nextval('s'))", WRITE, SW_PIN_BACKEND, NULL},
		{"UPDATE t SET a = nextval('s')", WRITE, SW_PIN_BACKEND, NULL},
		{"CREATE TABLE t AS SELECT setseed(0.1)", DDL, SW_PIN_BACKEND, NULL},
		{"SET seed = 0.5", NO_DATA, SW_PIN_BACKEND, NULL},
		{"SET LOCAL seed TO 0.5", NO_DATA, SW_PIN_BACKEND, NULL},
		{"SELECT set_config('seed', '0.5', true)", WRITE, SW_PIN_BACKEND, NULL},
		{"SELECT dblink_connect('c', 'x')", WRITE, SW_PIN_BACKEND, NULL},
		{"SELECT pg_create_logical_replication_slot('a', 'b', true)", WRITE, SW_PIN_BACKEND, NULL},
		{"SELECT pg_backup_start('a')", WRITE, SW_PIN_BACKEND, NULL},
		{"SELECT set_limit(0.5)", WRITE, SW_PIN_SETTING, NULL},
		{"SELECT last_value FROM s", READ, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T8_answers_of_one_node(void **state)
{
	static const struct row rows[] = {
		{"SELECT pg_is_in_recovery()", READ_ONCE, 0, NULL}, /* the operator's replica_functions */
		{"SELECT inet_server_addr(), inet_server_port()", WRITE, 0, NULL},
		{"SELECT pg_backend_pid()", WRITE, 0, NULL},
		{"SELECT pg_catalog.pg_backend_pid()", WRITE, 0, NULL},
		{"SELECT pg_stat_get_activity(NULL)", WRITE, 0, NULL},
		{"SELECT * FROM pg_stat_activity", WRITE, 0, NULL},
		{"SELECT * FROM pg_stat_replication", WRITE, 0, NULL},
		{"SELECT * FROM pg_locks", WRITE, 0, NULL},
		{"SELECT * FROM pg_settings", WRITE, 0, NULL},
		{"SELECT current_setting('transaction_read_only')", WRITE, 0, NULL},
		{"SELECT current_setting('seawall.token')", WRITE, 0, NULL},
		{"SHOW transaction_read_only", NO_DATA, 0, NULL},
		{"SHOW ALL", NO_DATA, 0, NULL},
		{"SHOW TIME ZONE", NO_DATA, 0, NULL},
		{"SELECT pg_current_wal_lsn()", WRITE, 0, NULL},
		{"SELECT pg_current_wal_insert_lsn()", WRITE, 0, NULL},
		{"SELECT pg_last_wal_replay_lsn()", WRITE, 0, NULL},
		{"SELECT txid_current()", WRITE, 0, NULL},
		{"SELECT txid_current_if_assigned()", WRITE, 0, NULL},
		{"SELECT pg_current_xact_id()", WRITE, 0, NULL},
		{"SELECT pg_current_snapshot()", WRITE, 0, NULL},
		{"SELECT pg_postmaster_start_time()", WRITE, 0, NULL},
		{"SELECT pg_of_a_newer_server()", WRITE, 0, NULL},
		{"SELECT version()", WRITE, 0, NULL},
		{"SELECT pg_size_pretty(a), pg_typeof(b) FROM t", READ, 0, NULL},
		{"SELECT pg_cancel_backend(1)", WRITE, 0, NULL},
		{"SELECT pg_notify('a', 'b')", WRITE, 0, NULL},
		{"SELECT dblink_exec('DELETE FROM t')", WRITE, 0, NULL},
		{"SELECT * FROM dblink('c', 'SELECT 1') AS x(a int)", WRITE, 0, NULL},
		{"SELECT pg_read_file('x')", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T9_several_statements(void **state)
{
	static const struct row rows[] = {
		{"SELECT 1;", READ, 0, NULL},
		{"SELECT 1; ;", READ, 0, NULL},
		{"SELECT 1; SELECT 2", READ | MULTI, 0, NULL},
		{"SELECT 1; SELECT lookup(1)", READ_ONCE | MULTI, 0, NULL},
		{"SELECT 1; INSERT INTO t VALUES (1)", MULTI, 0, NULL},
		{"INSERT INTO t VALUES (1); SELECT 1", MULTI, 0, NULL},
		{"SELECT 1; DROP TABLE t", MULTI | DDL, 0, NULL},
		{"BEGIN; SELECT 1; COMMIT", MULTI, 0, NULL},
		{"SELECT 1; COMMIT", MULTI, 0, NULL},
		{"BEGIN; SET TRANSACTION READ ONLY", MULTI | NO_DATA, 0, NULL},
		{"COMMIT; BEGIN", MULTI | NO_DATA, 0, NULL},
		{"SET a.b = 1; SELECT 1", MULTI | SW_V_SETS, 0, "a.b"},
		{"SET a.b = 1; SET TIME ZONE 'UTC'; SET a.b = 2", MULTI | SET, 0, "a.b timezone"},
		{"SET seawall.token = 'x'; SELECT 1", MULTI | SW_V_SETS, 0, "seawall.token"},
		{"SELECT nextval('s'); LISTEN x", MULTI, SW_PIN_BACKEND | SW_PIN_LISTEN, NULL},
		{"SELECT 1; SET LOCAL a.b = 1", MULTI, 0, NULL},
		{"RESET ALL; SELECT 1", MULTI | SW_V_RESET_ALL, 0, NULL},
		{"SET a.b = 1; RESET ALL; SELECT 1", MULTI | SW_V_SETS | SW_V_RESET_ALL, 0, "a.b"},
		{"SET a.b = 1; RESET ALL; SET a.b = 2", MULTI | SW_V_SETS | SW_V_RESET_ALL | NO_DATA, SW_PIN_SETTING, "a.b"},
		{"BEGIN; RESET ALL; COMMIT", MULTI | SW_V_RESET_ALL | NO_DATA, SW_PIN_SETTING, NULL},
		{"RESET ALL; SET a.b = 1", MULTI | SW_V_SETS | SW_V_RESET_ALL | NO_DATA, SW_PIN_SETTING,
			"a.b"},
		{"SELECT 1; SHOW seawall.token", MULTI, 0, NULL},
		{"SELECT 1; SELECT 2 FOR UPDATE", MULTI, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
	assert_int_equal(classify("SELECT 1; SELECT 2; SELECT 3").statements, 3);
	assert_int_equal(classify("SELECT 1").statements, 1);
}

static void test_T9_more_names_than_fit(void **state)
{
	char sql[SW_SET_NAMES_MAX * 32 + 32] = "";
	size_t used = 0;
	struct sw_verdict verdict;

	(void)state;
	for (int i = 0; i < SW_SET_NAMES_MAX; i++)
		used += (size_t)snprintf(sql + used, sizeof(sql) - used, "SET a.n%d = 1;", i);
	verdict = classify(sql);
	assert_int_equal(verdict.name_count, SW_SET_NAMES_MAX);
	assert_int_equal(verdict.pins, 0);
	snprintf(sql + used, sizeof(sql) - used, "SET a.last = 1");
	verdict = classify(sql);
	assert_int_equal(verdict.name_count, SW_SET_NAMES_MAX);
	assert_int_equal(verdict.pins, SW_PIN_SETTING);
	assert_true(verdict.flags & SW_V_SETS);
}

static void test_T10_not_understood(void **state)
{
	static const struct row rows[] = {
		{"SELEC 1", UNPARSED, SW_PIN_UNSEEN, NULL},
		{"SELECT 'open", UNPARSED, SW_PIN_UNSEEN, NULL},
		{"SELECT 1 /* open", UNPARSED, SW_PIN_UNSEEN, NULL},
		{"WAIT FOR LSN '0/1'", UNPARSED, SW_PIN_UNSEEN, NULL},
		{"SELECT * FROM json_table('[]', '$' COLUMNS (a int PATH '$'))", UNPARSED, SW_PIN_UNSEEN,
			NULL},
		{"SELECT json_value('{}', '$.a')", WRITE, SW_PIN_SETTING, NULL},
		{"FROB t", UNPARSED, SW_PIN_UNSEEN, NULL},
		{"SELECT 1; FROB t", UNPARSED, SW_PIN_UNSEEN, NULL},
		{"SELECT E'\\uD800'", UNPARSED, SW_PIN_UNSEEN, NULL},
	};
	static const char nul[] = "SELECT 1\0; DROP TABLE t";
	struct sw_classify_env env = usual_env();
	struct sw_verdict verdict;

	(void)state;
	check_rows(rows, LENGTH(rows));
	sw_classify(nul, sizeof(nul) - 1, &env, &verdict);
	assert_int_equal(verdict.flags, UNPARSED);
	/* Only len bytes count. */
	sw_classify(nul, 8, &env, &verdict);
	assert_true(verdict.flags & SW_V_READ);
	sw_classify("SELECT 1; DELETE FROM t", 8, &env, &verdict);
	assert_true(verdict.flags & SW_V_READ);
}

static void test_T10_ddl_and_the_rest(void **state)
{
	static const struct row rows[] = {
		{"CREATE TABLE t (a int)", DDL, 0, NULL},
		{"CREATE INDEX CONCURRENTLY ON t (a)", DDL, 0, NULL},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", DDL, 0, NULL},
		{"CREATE OR REPLACE FUNCTION f() RETURNS int RETURN nextval('s')", DDL, 0, NULL},
		{"CREATE VIEW v AS SELECT nextval('s')", DDL, 0, NULL},
		{"CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()", DDL, 0, NULL},
		{"CREATE RULE r AS ON INSERT TO t DO NOTHING", DDL, 0, NULL},
		{"CREATE EXTENSION e", DDL, 0, NULL},
		{"CREATE SCHEMA s CREATE TABLE t (a int)", DDL, 0, NULL},
		{"CREATE ROLE r", DDL, 0, NULL},
		{"CREATE DATABASE d", DDL, 0, NULL},
		{"CREATE TYPE e AS ENUM ('a')", DDL, 0, NULL},
		{"CREATE POLICY p ON t USING (true)", DDL, 0, NULL},
		{"ALTER TABLE t ADD COLUMN b int", DDL, 0, NULL},
		{"ALTER FUNCTION f() STABLE", DDL, 0, NULL},
		{"ALTER ROLE r SET a.b = 1", DDL, 0, NULL},
		{"ALTER DATABASE d SET a.b = 1", DDL, 0, NULL},
		{"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r", DDL, 0, NULL},
		{"ALTER SYSTEM SET work_mem = '1MB'", WRITE, 0, NULL},
		{"DROP TABLE t", DDL, 0, NULL},
		{"DROP FUNCTION f", DDL, 0, NULL},
		{"DROP OWNED BY r", DDL, 0, NULL},
		{"GRANT SELECT ON t TO r", DDL, 0, NULL},
		{"GRANT a TO b", DDL, 0, NULL},
		{"REVOKE ALL ON t FROM r", DDL, 0, NULL},
		{"COMMENT ON TABLE t IS 'x'", DDL, 0, NULL},
		{"SECURITY LABEL ON TABLE t IS 'x'", DDL, 0, NULL},
		{"IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", DDL, 0, NULL},
		{"REASSIGN OWNED BY a TO b", DDL, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T16_T17_what_may_run_again(void **state)
{
	static const struct row rows[] = {
		{"SELECT pg_sleep(1)", READ, 0, NULL},
		{"SELECT lookup(1)", READ_ONCE, 0, NULL},
		{"FETCH ALL FROM c", READ_ONCE, 0, NULL},
		{"MOVE 3 IN c", READ_ONCE, 0, NULL},
		{"CLOSE c", READ_ONCE, 0, NULL},
		{"CLOSE ALL", READ_ONCE, 0, NULL},
		{"COPY t TO PROGRAM 'x'", WRITE, 0, NULL},
		{"COPY (SELECT 1) TO '/tmp/x'", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T20_unlogged_tables(void **state)
{
	static const struct row rows[] = {
		{"SELECT * FROM cache_unlogged", WRITE, 0, NULL},
		{"SELECT * FROM app.cache_unlogged c JOIN t ON true", WRITE, 0, NULL},
		{"COPY cache_unlogged TO STDOUT", WRITE, 0, NULL},
		{"SELECT * FROM t WHERE a IN (TABLE cache_unlogged)", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T21_copy(void **state)
{
	static const struct row rows[] = {
		{"COPY t FROM STDIN", WRITE, 0, NULL},
		{"COPY t (a, b) FROM STDIN WHERE setseed(1) IS NULL", WRITE, SW_PIN_BACKEND, NULL},
		{"COPY t FROM '/tmp/x'", WRITE, 0, NULL},
		{"COPY t FROM PROGRAM 'x'", WRITE, 0, NULL},
		{"COPY t TO STDOUT", READ, 0, NULL},
		{"COPY t (a) TO STDOUT (FORMAT binary)", READ, 0, NULL},
		{"COPY (SELECT * FROM t) TO STDOUT", READ, 0, NULL},
		{"COPY (SELECT book(1)) TO STDOUT", WRITE, SW_PIN_SETTING, NULL},
		{"COPY (SELECT 1 FROM t FOR UPDATE) TO STDOUT", WRITE, 0, NULL},
		{"COPY pg_class TO STDOUT", WRITE, 0, NULL},
		{"COPY t TO '/tmp/x'", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_T23_catalogs(void **state)
{
	static const struct row rows[] = {
		{"SELECT * FROM pg_class", WRITE, 0, NULL},
		{"SELECT * FROM pg_catalog.pg_class", WRITE, 0, NULL},
		{"SELECT * FROM information_schema.tables", WRITE, 0, NULL},
		{"SELECT * FROM t WHERE a = (SELECT oid FROM pg_type LIMIT 1)", WRITE, 0, NULL},
		{"SELECT * FROM pg_toast.pg_toast_1", WRITE, 0, NULL},
		{"TABLE pg_stat_statements", WRITE, 0, NULL},
		{"SELECT * FROM app.pg_imitation", READ, 0, NULL},
		{"SELECT pg_get_viewdef(1)", WRITE, 0, NULL},
		{"SELECT has_table_privilege('t', 'SELECT')", WRITE, 0, NULL},
		{"SELECT to_regclass('t')", WRITE, 0, NULL},
		{"SELECT format_type(1, 2)", WRITE, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
}

static void test_empty_texts(void **state)
{
	static const struct row rows[] = {
		{"", SW_V_EMPTY | SW_V_READ | NO_DATA, 0, NULL},
		{" \n\t", SW_V_EMPTY | SW_V_READ | NO_DATA, 0, NULL},
		{";;", SW_V_EMPTY | SW_V_READ | NO_DATA, 0, NULL},
		{"-- nothing", SW_V_EMPTY | SW_V_READ | NO_DATA, 0, NULL},
		{"/* nothing */", SW_V_EMPTY | SW_V_READ | NO_DATA, 0, NULL},
	};

	(void)state;
	check_rows(rows, LENGTH(rows));
	assert_int_equal(classify("").statements, 0);
}

static void test_what_rests_on_the_catalog(void **state)
{
	(void)state;
	assert_true(classify("SELECT total(1)").flags & SW_V_CALLS);
	assert_true(classify("SELECT book(1)").flags & SW_V_CALLS);
	assert_true(classify("SELECT lower('A')").flags & SW_V_CALLS); /* a user may define one */
	assert_true(classify("SELECT * FROM t").flags & SW_V_CALLS);
	assert_true(classify("SELECT * FROM t; SELECT book(1)").flags & SW_V_CALLS);
	assert_false(classify("SELECT 1").flags & SW_V_CALLS);
	assert_false(classify("SELECT pg_catalog.lower('A')").flags & SW_V_CALLS);
	assert_true(classify("INSERT INTO t VALUES (book(1))").flags & SW_V_CALLS);
	assert_false(classify("BEGIN").flags & SW_V_CALLS);
}

static void test_reasons(void **state)
{
	(void)state;
	assert_string_equal(classify("SELECT 1").reason, "read");
	assert_string_equal(classify("INSERT INTO t SELECT book(1)").reason, "INSERT");
	assert_string_equal(classify("SELECT 1 FOR UPDATE").reason, "FOR UPDATE or SHARE");
	assert_string_equal(classify("SELECT book(1)").reason, "volatile function");
	assert_string_equal(classify("SELECT unheard_of(1)").reason, "unknown function");
	assert_string_equal(classify("SELECT audit(1)").reason, "named in primary_functions");
	assert_string_equal(sw_pin_text(0), "");
	assert_string_equal(sw_pin_text(SW_PIN_LISTEN | SW_PIN_LOAD), "LISTEN");
	for (uint32_t pin = SW_PIN_TEMP; pin <= SW_PIN_SEQUENCE; pin <<= 1)
		assert_true(strlen(sw_pin_text(pin)) > 3);
	assert_string_equal(sw_pin_text(SW_PIN_SEQUENCE), "sequence value of one backend");
	assert_string_equal(sw_pin_text(SW_PIN_SEQUENCE << 1), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_T1_real_grammar),
		cmocka_unit_test(test_T2_writes_in_ctes),
		cmocka_unit_test(test_T3_locking_clauses),
		cmocka_unit_test(test_T4_commands_that_look_like_reads),
		cmocka_unit_test(test_T5_functions),
		cmocka_unit_test(test_T5_without_a_catalog),
		cmocka_unit_test(test_T7_sequences_and_seeds),
		cmocka_unit_test(test_T8_answers_of_one_node),
		cmocka_unit_test(test_T9_several_statements),
		cmocka_unit_test(test_T9_more_names_than_fit),
		cmocka_unit_test(test_T10_not_understood),
		cmocka_unit_test(test_T10_ddl_and_the_rest),
		cmocka_unit_test(test_T16_T17_what_may_run_again),
		cmocka_unit_test(test_T20_unlogged_tables),
		cmocka_unit_test(test_T21_copy),
		cmocka_unit_test(test_T23_catalogs),
		cmocka_unit_test(test_empty_texts),
		cmocka_unit_test(test_what_rests_on_the_catalog),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
