-- PostgreSQL's own behaviour, asserted with pgTAP on one session through Seawall (run.py). What a test leaves in the
-- session (plans, temporary tables, settings) has to be there at the next statement, whatever that statement is.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset pager off
SELECT plan(59);

-- types, in both directions
SELECT is(1 + 1, 2, 'int4');
SELECT is(9223372036854775807::int8::text, '9223372036854775807', 'int8 at its limit');
SELECT is(0.1 + 0.2, 0.3, 'numeric is exact');
SELECT ok('NaN'::float8 = 'NaN'::float8, 'NaN equals itself');
SELECT is('a''b\c'::text, E'a\'b\\c'::text, 'quotes and backslashes');
SELECT is(U&'\0441\043B\043E\043D'::text, 'слон'::text, 'Unicode escapes');
SELECT is(length('日本語'), 3, 'multibyte characters are counted');
SELECT is('\xdeadbeef'::bytea, decode('deadbeef', 'hex'), 'bytea');
SELECT is('{1,2,NULL}'::int[], ARRAY[1, 2, NULL], 'arrays');
SELECT is('{"a": [1, 2]}'::jsonb #> '{a,1}', '2'::jsonb, 'jsonb');
SELECT is('[1,5)'::int4range, int4range(1, 5), 'ranges');
SELECT is('2026-02-28'::date + 1, '2026-03-01'::date, 'dates');
SELECT is('1 day'::interval * 2, '48 hours'::interval, 'intervals');
SELECT is(row(1, 'x')::text, '(1,x)', 'records');
SELECT is($a$it's $b$ nested $b$ here$a$::text, 'it''s $b$ nested $b$ here'::text, 'dollar quotes');
SELECT is('00000000-0000-0000-0000-000000000001'::uuid::text, '00000000-0000-0000-0000-000000000001', 'uuid');

-- temporary tables (T19)
CREATE TEMP TABLE animals (id int PRIMARY KEY, name text NOT NULL, legs int CHECK (legs >= 0));
INSERT INTO animals VALUES (1, 'cat', 4), (2, 'bird', 2), (3, 'fish', 0);
SELECT is(count(*), 3::bigint, 'a temporary table keeps its rows') FROM animals;
SELECT has_table('animals');
SELECT has_pk('animals');
SELECT col_not_null('animals', 'name');
SELECT throws_ok($$INSERT INTO animals VALUES (1, 'dog', 4)$$, '23505', NULL, 'unique violation');
SELECT throws_ok($$INSERT INTO animals VALUES (4, NULL, 4)$$, '23502', NULL, 'not-null violation');
SELECT throws_ok($$INSERT INTO animals VALUES (4, 'ghost', -1)$$, '23514', NULL, 'check violation');
SELECT results_eq('SELECT name FROM animals ORDER BY legs', ARRAY['fish', 'bird', 'cat'], 'rows in order');
SELECT bag_eq('SELECT legs FROM animals', ARRAY[0, 2, 4], 'rows as a bag');
SELECT lives_ok($$UPDATE animals SET legs = legs + 1$$, 'an update');
SELECT is(sum(legs), 9::bigint, 'is seen at once') FROM animals;
WITH gone AS (DELETE FROM animals WHERE id = 3 RETURNING name) SELECT is(name, 'fish', 'a modifying CTE') FROM gone;
SELECT is(count(*), 2::bigint, 'deletes') FROM animals;

-- transactions and savepoints (T58, T76)
BEGIN;
INSERT INTO animals VALUES (10, 'spider', 8);
SAVEPOINT one;
INSERT INTO animals VALUES (11, 'ant', 6);
ROLLBACK TO one;
SELECT is(count(*), 3::bigint, 'rollback to a savepoint takes back what came after it') FROM animals;
RELEASE one;
COMMIT;
SELECT is(count(*), 3::bigint, 'commit keeps the rest') FROM animals;
BEGIN;
DELETE FROM animals;
SELECT is(count(*), 0::bigint, 'deleted inside') FROM animals;
ROLLBACK;
SELECT is(count(*), 3::bigint, 'and back after rollback') FROM animals;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(current_setting('transaction_isolation'), 'repeatable read', 'isolation level');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT is(current_setting('transaction_isolation'), 'serializable', 'the strictest too');
COMMIT;

-- settings (T58 to T60)
SET work_mem = '7MB';
SELECT is(current_setting('work_mem'), '7MB', 'SET holds');
BEGIN;
SET LOCAL work_mem = '8MB';
SELECT is(current_setting('work_mem'), '8MB', 'SET LOCAL holds inside');
COMMIT;
SELECT is(current_setting('work_mem'), '7MB', 'and ends with its transaction');
BEGIN;
SET work_mem = '9MB';
ROLLBACK;
SELECT is(current_setting('work_mem'), '7MB', 'SET is rolled back');
RESET work_mem;
SELECT isnt(current_setting('work_mem'), '7MB', 'RESET');
SELECT is(set_config('app.tenant', 'blue', false), 'blue', 'set_config');
SELECT is(current_setting('app.tenant'), 'blue', 'is SET');
SET TIME ZONE 'Asia/Tokyo';
SELECT is('2026-01-01 00:00+00'::timestamptz::text, '2026-01-01 09:00:00+09', 'time zone');
RESET TIME ZONE;

-- prepared statements of SQL (T65)
PREPARE twice(int) AS SELECT $1 * 2;
SELECT results_eq('EXECUTE twice(21)', ARRAY[42], 'EXECUTE');
SELECT is((SELECT count(*) FROM pg_prepared_statements WHERE name = 'twice'), 1::bigint, 'is listed');
DEALLOCATE twice;
SELECT throws_ok('EXECUTE twice(1)', '26000', NULL, 'gone after DEALLOCATE');

-- cursors (T22, T66)
BEGIN;
DECLARE few SCROLL CURSOR FOR SELECT generate_series(1, 5);
MOVE 2 FROM few;
SELECT results_eq('FETCH 2 FROM few', ARRAY[3, 4], 'FETCH after MOVE');
SELECT results_eq('FETCH BACKWARD 1 FROM few', ARRAY[3], 'FETCH BACKWARD');
CLOSE few;
COMMIT;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 3);
COMMIT;
SELECT results_eq('FETCH 2 FROM held', ARRAY[1, 2], 'a held cursor outlives its transaction');
SELECT results_eq('FETCH ALL FROM held', ARRAY[3], 'and keeps its place');
CLOSE held;

-- functions and triggers
CREATE FUNCTION pg_temp.add(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
SELECT is(pg_temp.add(1), 2, 'a default argument');
SELECT is(pg_temp.add(b => 5, a => 1), 6, 'named arguments');
CREATE FUNCTION pg_temp.shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
CREATE TRIGGER shout BEFORE INSERT ON animals FOR EACH ROW EXECUTE FUNCTION pg_temp.shout();
INSERT INTO animals VALUES (20, 'mouse', 4);
SELECT is(name, 'MOUSE', 'a trigger') FROM animals WHERE id = 20;
SELECT throws_ok($$DO 'BEGIN RAISE EXCEPTION USING ERRCODE = ''ZZ001'', MESSAGE = ''mine''; END'$$, 'ZZ001', 'mine',
	'an error of one''s own');

-- sequences and locks (T7, T73)
CREATE TEMP SEQUENCE counter START 7;
SELECT is(nextval('counter'), 7::bigint, 'nextval');
SELECT is(currval('counter'), 7::bigint, 'currval on the same backend');
SELECT lives_ok('SELECT pg_advisory_lock(31)', 'an advisory lock');
SELECT ok(pg_advisory_unlock(31), 'is this session''s to unlock');

-- COPY within the session
COPY animals FROM STDIN;
30	horse	4
31	snake	0
\.
SELECT is(count(*), 2::bigint, 'copied rows') FROM animals WHERE id IN (30, 31);

SELECT * FROM finish();
