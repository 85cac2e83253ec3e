"""Where statements run, as the nodes' logs show it, and what a session may see (T1 to T23, T24 to T57 from outside)."""

import threading

import psycopg
import pytest

from lib import wire as w
from lib.proxy import Seawall, last_route
from lib.wait import wait_until
from lib.wire import Wire, bind, execute, parse, rows, sync
from lib.witness import Witness, make_table, unique


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


# -- which statements may go to a replica ({t} is a table with rows 1 to 3)

READS = [
    "SELECT 1", "SELECT * FROM {t}", "TABLE {t}", "VALUES (1), (2)", "(SELECT id FROM {t}) UNION ALL SELECT 2",
    "WITH x AS (SELECT * FROM {t}) SELECT count(*) FROM x", "/* a /* nested */ comment */ SELECT * FROM {t}",
    "-- a comment\nSELECT * FROM {t}", "SELECT $$INSERT INTO {t}$$", "SELECT 'DELETE FROM {t}' AS \"UPDATE\"",
    "SELECT U&'\\0041'", "SELECT count(*), random(), clock_timestamp(), gen_random_uuid() FROM {t}", "SELECT now()",
    "SELECT * FROM {t} a JOIN {t} b USING (id) WHERE a.id IN (SELECT id FROM {t})", "SELECT 1; SELECT * FROM {t}",
    "SELECT * FROM generate_series(1, 3) g", "  SELECT id FROM {t} ORDER BY 1 LIMIT 1  ;", "select note::text from {t}",
    "EXPLAIN SELECT * FROM {t}",
]

WRITES = [
    ("T2", "INSERT INTO {t} VALUES ({n})"), ("T2", "UPDATE {t} SET note = 'x' WHERE id = 1"),
    ("T2", "DELETE FROM {t} WHERE id = {n}"),
    ("T2", "WITH x AS (INSERT INTO {t} VALUES ({n}) RETURNING id) SELECT * FROM x"),
    ("T2", "WITH y AS (SELECT 1), x AS (UPDATE {t} SET note = 'y' RETURNING id) SELECT count(*) FROM x"),
    ("T2", "EXPLAIN ANALYZE INSERT INTO {t} VALUES ({n})"), ("T2", "EXPLAIN (ANALYZE) DELETE FROM {t} WHERE id = {n}"),
    ("T2", "MERGE INTO {t} USING (SELECT 1 AS id) s ON {t}.id = s.id WHEN MATCHED THEN UPDATE SET note = 'm'"),
    ("T2", "/* SELECT */ INSERT INTO {t} VALUES ({n})"), ("T2", "-- SELECT\nINSERT INTO {t} VALUES ({n})"),
    ("T3", "SELECT * FROM {t} FOR UPDATE"), ("T3", "SELECT * FROM {t} FOR NO KEY UPDATE"),
    ("T3", "SELECT * FROM {t} FOR SHARE"), ("T3", "SELECT * FROM {t} FOR KEY SHARE"),
    ("T3", "SELECT * FROM (SELECT * FROM {t} FOR UPDATE) s"),
    ("T3", "WITH x AS (SELECT * FROM {t} FOR SHARE) SELECT * FROM x"),
    ("T4", "SELECT 1 AS a INTO {t}_{n}"), ("T4", "CREATE TABLE {t}_{n} AS SELECT 1"),
    ("T4", "CREATE TABLE {t}_{n} (a int)"),
    ("T4", "DO $$BEGIN PERFORM 1; END$$"), ("T4", "ANALYZE {t}"), ("T4", "VACUUM {t}"), ("T4", "TRUNCATE {t}"),
    ("T4", "COPY (INSERT INTO {t} VALUES ({n}) RETURNING id) TO STDOUT"),
    ("T4", "COMMENT ON TABLE {t} IS 'x'"), ("T4", "GRANT SELECT ON {t} TO app"),
    ("T5", "SELECT volatile_writer()"), ("T5", "SELECT id, volatile_writer() FROM {t}"),
    ("T5", "SELECT * FROM {t} WHERE id = volatile_writer()"), ("T5", "SELECT overloaded(1)"),
    ("T7", "SELECT nextval('some_sequence')"), ("T7", "SELECT setval('some_sequence', 10)"),
    ("T8", "SELECT pg_is_in_recovery()"), ("T8", "SELECT pg_backend_pid()"), ("T8", "SELECT inet_server_addr()"),
    ("T8", "SELECT pg_current_wal_lsn()"), ("T8", "SELECT count(*) FROM pg_stat_activity"),
    ("T8", "SELECT count(*) FROM pg_locks"), ("T8", "SHOW transaction_read_only"), ("T8", "SELECT txid_current()"),
    ("T9", "SELECT 1; INSERT INTO {t} VALUES ({n})"), ("T9", "SELECT 1; SELECT 2; DELETE FROM {t} WHERE id = {n}"),
    ("T9", "BEGIN; SELECT 1; COMMIT"), ("T20", "SELECT * FROM some_unlogged"),
    ("T20", "SELECT count(*) FROM {t}, some_unlogged"), ("T22", "SELECT lo_create(0)"),
    ("T73", "SELECT pg_advisory_xact_lock(1)"), ("T73", "SELECT pg_try_advisory_lock_shared(2)"),
    ("T74", "NOTIFY news"), ("T11", "/* seawall: route=replica */ INSERT INTO {t} VALUES ({n})"),
    ("T11", "/* seawall: route=replica */ SELECT * FROM {t} FOR UPDATE"),
]


@pytest.fixture(scope="module")
def furnished(cluster):
    """Functions and relations that the statements above mention."""
    cluster.primary.execute("""
        CREATE TABLE written (a int); GRANT ALL ON written TO PUBLIC;
        CREATE SEQUENCE some_sequence; GRANT ALL ON some_sequence TO PUBLIC;
        CREATE UNLOGGED TABLE some_unlogged AS SELECT 1 AS a; GRANT ALL ON some_unlogged TO PUBLIC;
        CREATE FUNCTION volatile_writer() RETURNS int LANGUAGE plpgsql VOLATILE AS
            'BEGIN INSERT INTO written VALUES (1); RETURN 1; END';
        CREATE FUNCTION stable_liar() RETURNS int LANGUAGE sql STABLE AS 'SELECT volatile_writer()';
        CREATE FUNCTION overloaded(text) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
        CREATE FUNCTION overloaded(int) RETURNS int LANGUAGE plpgsql VOLATILE AS
            'BEGIN INSERT INTO written VALUES (2); RETURN 1; END';
        CREATE VIEW writing_view AS SELECT volatile_writer() AS a; GRANT ALL ON writing_view TO PUBLIC;
        CREATE FUNCTION proc_writer() RETURNS void LANGUAGE sql VOLATILE AS 'SELECT 1';
        CREATE PROCEDURE some_procedure() LANGUAGE plpgsql AS 'BEGIN INSERT INTO written VALUES (3); COMMIT; END'
    """)
    cluster.wait_caught_up()
    return cluster


@pytest.fixture(scope="module")
def routed(furnished):
    """Started after the functions were made, so that its catalog snapshot has them."""
    with Seawall(furnished) as running:
        yield running


@pytest.fixture(scope="module")
def routed_table(furnished):
    return make_table(furnished)


@pytest.fixture
def session(routed):
    with routed.connect("postgres") as connection:
        yield connection


@pytest.mark.parametrize("sql", READS)
def test_T1_read_runs_on_a_replica(routed, routed_table, witness, sql):
    with routed.connect() as connection:  # a new session: no floor holds it back
        assert witness.is_on_replica(connection, sql.format(t=routed_table))


@pytest.mark.parametrize("item, sql", WRITES)
def test_T2_T4_runs_on_the_primary(session, furnished, witness, item, sql):
    table = unique("w")
    furnished.primary.execute("CREATE TABLE %s AS SELECT 1 AS id, '' AS note" % table)
    if sql.startswith("COPY"):
        mark = "/* %s */" % unique("mark")
        with session.cursor().copy(sql.format(t=table, n=100) + " " + mark) as copy:
            assert list(copy)
        nodes = witness.nodes(mark)
    else:
        _, nodes = witness.run(session, sql.format(t=table, n=100))
    assert nodes == ["pg1"], "%s: ran on %s" % (item, nodes)


def test_T1_extended_protocol_routes_alike(routed, routed_table, witness):
    with routed.connect(prepare_threshold=0) as connection:
        mark = "/* %s */" % unique("mark")
        for number in (1, 2, 3):
            connection.execute("SELECT note FROM %s WHERE id = %%s %s" % (routed_table, mark), (number,))
        assert witness.nodes(mark) in (["pg2"], ["pg3"])
        mark = "/* %s */" % unique("mark")
        connection.execute("UPDATE %s SET note = note WHERE id = %%s %s" % (routed_table, mark), (1,))
        assert witness.nodes(mark) == ["pg1"]


@pytest.mark.parametrize("sql, sqlstate", [("SELEC 1", "42601"), ("SELECT FROM WHERE", "42601"),
                                           ("SELECT no_such_function()", "42883")])
def test_T10_what_is_not_understood_goes_to_the_primary(session, witness, sql, sqlstate):
    with pytest.raises(psycopg.Error) as refused:
        witness.run(session, sql)
    assert refused.value.sqlstate == sqlstate and refused.value.seen == ["pg1"]


def test_T9_a_semicolon_in_a_string_is_not_the_end(session, routed_table, witness):
    assert witness.is_on_replica(session, "SELECT '; DELETE FROM %s;'" % routed_table)


def test_T18_backslash_escapes(routed, furnished):
    """With standard_conforming_strings off this is one string; with it on the middle is a statement."""
    table = make_table(furnished)
    tricky = "SELECT 'a\\'; DELETE FROM %s; --'" % table
    with routed.connect() as connection:
        connection.execute("SET standard_conforming_strings = off")
        assert value(connection, tricky) == "a'; DELETE FROM %s; --" % table
        assert value(connection, "SELECT count(*) FROM " + table) == 3
        connection.execute("SET standard_conforming_strings = on")
        connection.execute(tricky)
        assert value(connection, "SELECT count(*) FROM " + table) == 0


def test_T6_T16_a_view_that_writes_is_run_again_on_the_primary(session, furnished, witness):
    for turn in (1, 2, 3):
        before = furnished.primary.value("SELECT count(*) FROM written")
        found, nodes = witness.run(session, "SELECT a FROM writing_view")
        assert found == [(1,)] and "pg1" in nodes
        assert furnished.primary.value("SELECT count(*) FROM written") == before + 1


def test_T16_the_refusal_is_remembered(session, furnished, routed):
    """Three times the same bytes: at the third no replica sees them any more."""
    sql = "SELECT a AS %s FROM writing_view" % unique("same_text")
    for _ in range(2):
        session.execute(sql)
    witness = Witness(furnished)
    replicas = [node for node in furnished.standbys]
    seen = sum(open(node.log_path, errors="replace").read().count(sql) for node in replicas)
    session.execute(sql)
    assert sum(open(node.log_path, errors="replace").read().count(sql) for node in replicas) == seen
    assert witness.nodes(sql)[0] == "pg1"


def test_T5_a_function_declared_stable_that_writes(session, furnished, witness):
    before = furnished.primary.value("SELECT count(*) FROM written")
    found, nodes = witness.run(session, "SELECT stable_liar()")
    assert found == [(1,)] and "pg1" in nodes
    assert furnished.primary.value("SELECT count(*) FROM written") == before + 1


def test_T16_in_the_extended_protocol(routed, furnished):
    before = furnished.primary.value("SELECT count(*) FROM written")
    with Wire(routed.host, routed.port) as wire:
        wire.login("app_trust", "app")
        for turn in range(3):
            messages = wire.ask(parse("", "SELECT a, %d FROM writing_view" % turn), bind(), w.describe("P"), execute(),
                                sync())
            assert w.kinds(messages) == "12TDCZ" and rows(messages) == [[b"1", b"%d" % turn]]
    assert furnished.primary.value("SELECT count(*) FROM written") == before + 3


def test_T16_not_in_a_read_only_transaction(session):
    session.execute("BEGIN READ ONLY")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("SELECT a FROM writing_view")
    session.execute("ROLLBACK")


def test_T5_a_function_made_while_running(session, furnished, witness):
    """Not known to any snapshot when it is called first: taken for volatile, later seen to be stable or not."""
    name = unique("fresh")
    session.execute("CREATE FUNCTION %s() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO written VALUES (9); "
                    "RETURN 1; END'" % name)
    before = furnished.primary.value("SELECT count(*) FROM written")
    _, nodes = witness.run(session, "SELECT %s()" % name)
    assert nodes == ["pg1"]
    assert furnished.primary.value("SELECT count(*) FROM written") == before + 1


def test_T4_call_with_commits_inside(session, furnished):
    before = furnished.primary.value("SELECT count(*) FROM written")
    session.execute("CALL some_procedure()")
    assert value(session, "SELECT count(*) FROM written") == before + 1


def test_primary_and_replica_functions_override_the_catalog(furnished, make_seawall, witness):
    seawall = make_seawall(furnished, config={"routing": {"primary_functions": "upper",
                                                          "replica_functions": "proc_writer, inet_server_port"}})
    with seawall.connect() as connection:
        assert witness.is_on_replica(connection, "SELECT proc_writer()")
        assert witness.is_on_replica(connection, "SELECT lower('X')")
        assert value(connection, "SELECT inet_server_port()") in [node.port for node in furnished.standbys]
        assert not witness.is_on_replica(connection, "SELECT upper('x')")


# -- transactions

def nodes_of_transaction(connection, witness, statements):
    seen = []
    for sql in statements:
        _, nodes = witness.run(connection, sql)
        seen += nodes
    return set(seen)


def test_T12_a_transaction_stays_on_one_node(session, furnished, witness):
    table = make_table(furnished)
    for begin in ("BEGIN", "START TRANSACTION", "BEGIN ISOLATION LEVEL REPEATABLE READ"):
        assert nodes_of_transaction(session, witness, [
            begin, "SELECT * FROM " + table, "UPDATE %s SET note = 'x'" % table, "SELECT * FROM " + table,
            "COMMIT"]) == {"pg1"}


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "START TRANSACTION READ ONLY",
                                   "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"])
def test_T12_a_read_only_transaction_stays_on_one_replica(routed, routed_table, witness, begin):
    with routed.connect() as connection:
        seen = nodes_of_transaction(connection, witness, [begin, "SELECT * FROM " + routed_table, "SELECT 2",
                                                          "SELECT now()", "COMMIT"])
        assert len(seen) == 1 and seen != {"pg1"}


def test_T14_read_write_after_all(session, furnished):
    """Legal before the first query of a READ ONLY transaction on a primary, and so it is here."""
    table = make_table(furnished)
    session.execute("BEGIN READ ONLY")
    session.execute("SET TRANSACTION READ WRITE")
    session.execute("INSERT INTO %s VALUES (10)" % table)
    session.execute("COMMIT")
    assert value(session, "SELECT count(*) FROM " + table) == 4


def test_T14_a_write_in_a_read_only_transaction_is_25006(session, routed_table):
    session.execute("BEGIN READ ONLY")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("INSERT INTO %s VALUES (10)" % routed_table)
    session.execute("ROLLBACK")


@pytest.mark.parametrize("sql", ["SET default_transaction_read_only = on",
                                 "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"])
def test_T14_read_only_by_default(routed, routed_table, sql):
    with routed.connect() as connection:
        connection.execute(sql)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("INSERT INTO %s VALUES (10)" % routed_table)
        assert value(connection, "SELECT count(*) FROM " + routed_table) == 3
        connection.execute("BEGIN READ WRITE")
        connection.execute("DELETE FROM %s WHERE id = 99" % routed_table)
        connection.execute("COMMIT")


@pytest.mark.parametrize("prelude, begin", [
    (None, "BEGIN ISOLATION LEVEL SERIALIZABLE"), (None, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"),
    ("SET default_transaction_isolation = 'serializable'", "BEGIN READ ONLY"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN READ ONLY"),
])
def test_T15_serializable_runs_on_the_primary(routed, routed_table, witness, prelude, begin):
    with routed.connect() as connection:
        if prelude:
            connection.execute(prelude)
        seen = nodes_of_transaction(connection, witness, [begin, "SELECT * FROM " + routed_table, "COMMIT"])
        assert seen == {"pg1"}
        if prelude:
            assert nodes_of_transaction(connection, witness, ["SELECT * FROM " + routed_table]) == {"pg1"}


def test_T15_set_transaction_serializable_after_begin(routed, routed_table):
    with routed.connect() as connection:
        for begin in ("BEGIN", "BEGIN READ ONLY"):
            connection.execute(begin)
            connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            assert value(connection, "SELECT count(*) FROM " + routed_table) == 3
            assert value(connection, "SHOW transaction_isolation") == "serializable"
            connection.execute("COMMIT")


def test_T21_copy_out_of_a_query(routed, routed_table):
    with routed.connect() as connection:
        with connection.cursor().copy("COPY (SELECT * FROM %s) TO STDOUT" % routed_table) as copy:
            assert len(list(copy)) == 3


def test_T22_function_call_runs_on_the_primary(routed, furnished):
    oid = furnished.primary.value("SELECT 'volatile_writer'::regproc::oid::int")
    before = furnished.primary.value("SELECT count(*) FROM written")
    with Wire(routed.host, routed.port) as wire:
        wire.login("app_trust", "app")
        assert w.kinds(wire.ask(w.function_call(oid, []))) == "VZ"
    assert furnished.primary.value("SELECT count(*) FROM written") == before + 1


def test_T23_the_catalog_shows_what_was_just_made(session):
    for _ in range(20):
        table = unique("made")
        session.execute("CREATE TABLE %s (a int)" % table)
        assert value(session, "SELECT count(*) FROM pg_class WHERE relname = '%s'" % table) == 1
        assert value(session, "SELECT count(*) FROM information_schema.columns WHERE table_name = '%s'" % table) == 1


# -- levels and floors, with replicas that are late on purpose

@pytest.fixture(scope="module")
def late(own_cluster):
    """Two standbys; the tests delay and pause them, and put them back."""
    return own_cluster


@pytest.fixture
def late_table(late):
    yield make_table(late)
    for node in late.standbys:
        node.resume_replay()
        node.configure(recovery_min_apply_delay=None)
    late.wait_caught_up()


def test_T24_a_session_reads_its_own_writes(late, late_table, make_seawall):
    late.standbys[0].set_delay(150)
    late.standbys[1].set_delay(20)
    seawall = make_seawall(late)
    with seawall.connect() as connection:
        for number in range(100, 160):
            connection.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            assert value(connection, "SELECT count(*) FROM %s WHERE id = %d" % (late_table, number)) == 1


def test_T24_with_asynchronous_commit(late, late_table, make_seawall):
    late.standbys[0].set_delay(20)
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "500ms"}})
    with seawall.connect() as connection:
        connection.execute("SET synchronous_commit = off")
        for number in range(100, 140):
            connection.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            assert value(connection, "SELECT count(*) FROM %s WHERE id = %d" % (late_table, number)) == 1


def test_T26_writes_that_do_not_look_like_writes(late, late_table, make_seawall):
    late.standbys[0].set_delay(100)
    late.standbys[1].set_delay(100)
    name = unique("hidden")
    late.primary.execute("CREATE FUNCTION %s(int) RETURNS int LANGUAGE sql VOLATILE AS "
                         "'INSERT INTO %s VALUES ($1) RETURNING id'" % (name, late_table))
    seawall = make_seawall(late)
    with seawall.connect() as connection:
        writes = ["SELECT %s({n})" % name, "WITH x AS (INSERT INTO {t} VALUES ({n}) RETURNING 1) SELECT * FROM x",
                  "DO $$BEGIN INSERT INTO {t} VALUES ({n}); END$$", "BEGIN; INSERT INTO {t} VALUES ({n}); COMMIT",
                  "INSERT INTO {t} VALUES ({n})"]
        for number, sql in enumerate(writes * 3):
            connection.execute(sql.format(t=late_table, n=200 + number))
            assert value(connection, "SELECT count(*) FROM %s WHERE id = %d" % (late_table, 200 + number)) == 1, sql


def monotonic(seawall, late, table, readers=3, seconds=3.0):
    """A writer goes straight to the primary; sessions read through Seawall and may never see less than before."""
    stop, failures, counts = threading.Event(), [], []

    def write():
        with late.primary.connect() as connection:
            number = 1000
            while not stop.is_set():
                number += 1
                connection.execute("INSERT INTO %s VALUES (%d)" % (table, number))

    def reader(number):
        seen, count = 0, 0
        try:
            with seawall.connect() as connection:
                while not stop.is_set():
                    if number == 0 and count % 50 == 49:  # now and then on the primary, which knows more (T29, T46)
                        now = value(connection, "SELECT max(id) FROM %s, pg_advisory_xact_lock_shared(1)" % table)
                    else:
                        now = value(connection, "SELECT max(id) FROM " + table)
                    assert now >= seen, "saw %d, then %d (%s)" % (seen, now, last_route(connection))
                    seen, count = now, count + 1
        except Exception as error:  # reported below, from the main thread
            failures.append(error)
            stop.set()
        counts.append(count)
    threads = [threading.Thread(target=write)]
    threads += [threading.Thread(target=reader, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    return counts


@pytest.mark.parametrize("sticky", ["on", "off"])
def test_T30_reads_of_a_session_never_go_back(late, late_table, make_seawall, sticky):
    late.standbys[0].set_delay(120)
    seawall = make_seawall(late, config={"routing": {"sticky": sticky}})
    assert min(monotonic(seawall, late, late_table)) > 10


def test_wait_for_replica(late, late_table, make_seawall):
    """A read right behind a write waits for a replica that has replayed it, instead of going to the primary."""
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "3s"}})
    reasons = set()
    with seawall.connect() as connection:
        for number in range(100, 120):
            connection.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            assert value(connection, "SELECT count(*) FROM " + late_table) == 4 + number - 100
            assert last_route(connection).node in ("pg2", "pg3")
            reasons.add(last_route(connection).reason)
    assert "waited" in reasons


def test_T37_a_delayed_replica_is_not_waited_for(late, late_table, make_seawall):
    """Both replicas are 100 ms late on purpose: no read waits for that, though it may wait for long."""
    for node in late.standbys:
        node.set_delay(100)
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "3s"}})
    with seawall.connect() as connection:
        connection.execute("INSERT INTO %s VALUES (100)" % late_table)
        assert value(connection, "SELECT count(*) FROM " + late_table) == 4
        assert last_route(connection).node == "pg1"


def test_fallback_primary(late, late_table, make_seawall):
    for node in late.standbys:
        node.pause_replay()
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "50ms"}})
    with seawall.connect() as connection:
        connection.execute("INSERT INTO %s VALUES (100)" % late_table)
        assert value(connection, "SELECT count(*) FROM " + late_table) == 4
        assert last_route(connection).node == "pg1"


def wait_until_fit(seawall):
    wait_until(lambda: all(row["fit"] == "yes" for row in seawall.console("SHOW NODES") if row["role"] == "replica"), 5,
               "every replica to be seen within its limits")


def test_fallback_stale(late, late_table, make_seawall):
    for node in late.standbys:
        node.pause_replay()
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "50ms", "fallback": "stale"}})
    wait_until_fit(seawall)
    with seawall.connect() as connection:
        connection.execute("INSERT INTO %s VALUES (100)" % late_table)
        assert value(connection, "SELECT count(*) FROM " + late_table) == 3
        assert last_route(connection).node in ("pg2", "pg3")
        assert last_route(connection).reason == "stale"


def test_fallback_error(late, late_table, make_seawall):
    for node in late.standbys:
        node.pause_replay()
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "50ms", "fallback": "error"}})
    with seawall.connect() as connection:
        connection.execute("INSERT INTO %s VALUES (100)" % late_table)
        with pytest.raises(psycopg.Error) as refused:
            connection.execute("SELECT count(*) FROM " + late_table)
        assert refused.value.sqlstate is not None
        connection.execute("INSERT INTO %s VALUES (101)" % late_table)  # writes go on
        for node in late.standbys:
            node.resume_replay()

        def is_served():
            try:
                return value(connection, "SELECT count(*) FROM " + late_table) == 5
            except psycopg.Error:
                return False
        wait_until(is_served, 10, "a replica to have caught up")


def test_level_eventual_reads_what_a_replica_has(late, late_table, make_seawall):
    for node in late.standbys:
        node.set_delay(3000)
    seawall = make_seawall(late, config={"databases": {"*": "consistency=eventual"}, "routing": {"max_lag": "30s"}})
    wait_until_fit(seawall)
    with seawall.connect() as connection:
        connection.execute("INSERT INTO %s VALUES (100)" % late_table)
        assert value(connection, "SELECT count(*) FROM " + late_table) == 3
        assert last_route(connection).node in ("pg2", "pg3")
        connection.execute("SET seawall.consistency = 'session'")
        assert value(connection, "SELECT count(*) FROM " + late_table) == 4


def others_write_and_a_session_reads(late, seawall, table, level, rounds):
    """Writes by somebody else, who is not even a client of Seawall's, each followed by a read: what each saw more or less
    than the write, and on which nodes the reads ran."""
    behind, nodes = [], set()
    with late.primary.connect() as other, seawall.connect() as connection:
        connection.execute("SET seawall.consistency = '%s'" % level)
        first = late.primary.value("SELECT max(id) + 1 FROM " + table)
        for number in range(first, first + rounds):
            other.execute("INSERT INTO %s VALUES (%d)" % (table, number))
            behind.append(number - value(connection, "SELECT max(id) FROM " + table))
            nodes.add(last_route(connection).node)
    return behind, nodes


def test_T49_level_strong_sees_what_others_wrote(late, late_table, make_seawall):
    late.standbys[0].set_delay(100)
    seawall = make_seawall(late, config={"routing": {"sticky": "off", "wait_for_replica": "500ms"}})
    behind, nodes = others_write_and_a_session_reads(late, seawall, late_table, "session", 100)
    assert max(behind) > 0  # it promises nothing of the kind, or this test would show nothing
    behind, nodes = others_write_and_a_session_reads(late, seawall, late_table, "strong", 200)
    assert set(behind) == {0}
    assert nodes - {"pg1"}  # and not because everything runs on the primary


def test_level_strong_falls_back_to_the_primary_and_never_to_the_stale(late, late_table, make_seawall):
    for node in late.standbys:
        node.pause_replay()
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "50ms", "fallback": "stale",
                                                     "consistency": "strong"}})
    behind, nodes = others_write_and_a_session_reads(late, seawall, late_table, "strong", 10)
    assert set(behind) == {0} and nodes == {"pg1"}


def test_level_strong_runs_transactions_on_the_primary(late, late_table, make_seawall):
    seawall = make_seawall(late, config={"routing": {"consistency": "strong"}})
    with late.primary.connect() as other, seawall.connect(autocommit=True) as connection:
        connection.execute("BEGIN READ ONLY")
        other.execute("INSERT INTO %s VALUES (100)" % late_table)
        assert value(connection, "SELECT max(id) FROM " + late_table) == 100
        assert last_route(connection)[:2] == ("pg1", "level")
        connection.execute("COMMIT")


def test_level_strong_of_many_sessions_takes_few_samples(late, late_table, make_seawall):
    """They share them: the reads of 16 sessions at a time take hardly more of them than those of one."""
    seawall = make_seawall(late, config={"routing": {"consistency": "strong", "wait_for_replica": "1s"},
                                         "monitor": {"interval": "1s"}})
    reads = []

    def read():
        with seawall.connect() as connection:
            for _ in range(50):
                value(connection, "SELECT count(*) FROM " + late_table)
                reads.append(last_route(connection).node)
    threads = [threading.Thread(target=read) for _ in range(16)]
    with open(late.primary.log_path) as log:
        log.seek(0, 2)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        samples = log.read().count("execute sw_sample")
    assert len(reads) == 800 and set(reads) <= {"pg2", "pg3"}
    assert samples < 400


def sleeping_on_the_primary(late, connection, table):
    """A thread whose read runs on the primary until it is cancelled."""
    def read():
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT count(*) FROM %s, pg_sleep(30)" % table)
    thread = threading.Thread(target=read)
    thread.start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%' || 'pg_sleep(30)' AND state = 'active'"
    wait_until(lambda: late.primary.value(asleep) == 1, 10, "the read to run on the primary")
    return thread


def test_T56_reads_in_place_of_replicas_are_limited(late, late_table, make_seawall):
    """One reads on the primary because no replica is up to date; the next waits for its turn, and is served by a replica
    when there is one again."""
    for node in late.standbys:
        node.pause_replay()
    seawall = make_seawall(late, config={"seawall": {"query_wait_timeout": "30s"},
                                         "routing": {"wait_for_replica": "0", "max_primary_reads": "1"}})
    insert, read = "INSERT INTO %s VALUES (%d)", "SELECT count(*) FROM " + late_table
    with seawall.connect() as first, seawall.connect() as second, seawall.connect() as third:
        for number, connection in enumerate((first, second, third)):
            connection.execute(insert % (late_table, 100 + number))
        assert value(first, read) == 6 and value(second, read) == 6  # one after the other
        assert last_route(second).node == "pg1"
        running = sleeping_on_the_primary(late, first, late_table)
        seen = []
        waiting = threading.Thread(target=lambda: seen.append(value(second, read)))
        waiting.start()
        wait_until(lambda: [row for row in seawall.console("SHOW CLIENTS") if row["state"] == "waiting"], 10,
                   "the second read to wait")
        third.execute(insert % (late_table, 200))  # is no read
        assert seen == []
        for node in late.standbys:
            node.resume_replay()
        waiting.join()
        assert seen[0] >= 6 and last_route(second).node in ("pg2", "pg3")
        first.cancel()
        running.join()


def test_T56_a_read_that_waits_for_its_turn_too_long_fails(late, late_table, make_seawall):
    for node in late.standbys:
        node.pause_replay()
    seawall = make_seawall(late, config={"seawall": {"query_wait_timeout": "300ms"},
                                         "routing": {"wait_for_replica": "0", "max_primary_reads": "1"}})
    with seawall.connect() as first, seawall.connect() as second:
        for number, connection in enumerate((first, second)):
            connection.execute("INSERT INTO %s VALUES (%d)" % (late_table, 100 + number))
        running = sleeping_on_the_primary(late, first, late_table)
        with pytest.raises(psycopg.Error) as failure:
            second.execute("SELECT count(*) FROM " + late_table)
        assert failure.value.sqlstate == "57P03" and "max_primary_reads" in str(failure.value)
        first.cancel()
        running.join()
        assert value(second, "SELECT count(*) FROM " + late_table) == 5


def test_dry_run_counts_and_changes_nothing(late, late_table, make_seawall):
    seawall = make_seawall(late, config={"routing": {"dry_run": "on"}})
    witness = Witness(late)
    with seawall.connect(autocommit=True) as connection:
        connection.execute("INSERT INTO %s VALUES (100)" % late_table)
        for _ in range(5):
            assert not witness.is_on_replica(connection, "SELECT count(*) FROM " + late_table)
            assert last_route(connection)[:2] == ("pg1", "dry_run")
        connection.execute("BEGIN READ ONLY")
        assert value(connection, "SELECT count(*) FROM " + late_table) == 4
        connection.execute("COMMIT")
        assert not witness.is_on_replica(connection, "SELECT pg_backend_pid()")
        assert last_route(connection)[:2] == ("pg1", "statement")
    dry = {row["node"]: int(row["count"]) for row in seawall.console("SHOW ROUTES") if row["reason"] == "dry_run"}
    assert sum(dry.values()) == 6 and set(dry) <= {"pg2", "pg3"}


def test_T29_what_a_dry_run_has_shown_is_not_taken_back(late, late_table, make_seawall):
    seawall = make_seawall(late, config={"routing": {"dry_run": "on", "wait_for_replica": "0"}})
    with seawall.connect() as connection:
        assert value(connection, "SELECT count(*) FROM " + late_table) == 3
        for node in late.standbys:
            node.pause_replay()
        late.primary.execute("INSERT INTO %s VALUES (100)" % late_table)
        assert value(connection, "SELECT count(*) FROM " + late_table) == 4
        seawall.reload({"routing": {"dry_run": "off"}})
        for node in late.standbys:
            node.set_delay(60000)  # so that they are not merely paused …
            node.resume_replay()  # … and yet without the row
        assert value(connection, "SELECT count(*) FROM " + late_table) == 4


def test_level_off_reads_on_the_primary(late, late_table, make_seawall):
    seawall = make_seawall(late, config={"routing": {"consistency": "off"}})
    witness = Witness(late)
    with seawall.connect() as connection:
        assert not witness.is_on_replica(connection, "SELECT * FROM " + late_table)
        connection.execute("SET seawall.consistency = 'session'")
        assert witness.is_on_replica(connection, "SELECT * FROM " + late_table)


def test_level_of_a_user(late, late_table, make_seawall):
    seawall = make_seawall(late, config={"users": {"app_trust": "consistency=off"}})
    witness = Witness(late)
    with seawall.connect("app") as one, seawall.connect("app_trust") as two:
        assert witness.is_on_replica(one, "SELECT * FROM " + late_table)
        assert not witness.is_on_replica(two, "SELECT * FROM " + late_table)


def test_T56_a_replica_beyond_max_lag_serves_nothing_and_comes_back(late, late_table, make_seawall):
    seawall = make_seawall(late, config={"routing": {"max_lag": "500ms", "lag_dwell": "200ms", "sticky": "off"},
                                         "databases": {"*": "consistency=eventual"}})
    slow, quick = late.standbys
    slow.set_delay(60000)
    with seawall.connect() as connection:
        number = 100

        def served_by():
            """Writes something, so that the slow one has something to be late with, and reads often."""
            nonlocal number
            number += 1
            connection.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            nodes = set()
            for _ in range(20):
                connection.execute("SELECT count(*) FROM " + late_table)
                nodes.add(last_route(connection).node)
            return nodes
        wait_until(lambda: served_by() == {quick.name}, 15, "the slow replica to be left out")
        slow.configure(recovery_min_apply_delay=None)
        wait_until(lambda: slow.name in served_by(), 15, "the replica to come back")


def test_T36_an_idle_primary_makes_no_lag(late, late_table, make_seawall):
    """Nothing is written for longer than max_lag: replicas still serve."""
    late.wait_caught_up()
    seawall = make_seawall(late, config={"routing": {"max_lag": "200ms"}})
    witness = Witness(late)
    with seawall.connect() as connection:
        threading.Event().wait(0.6)
        for _ in range(3):
            assert witness.is_on_replica(connection, "SELECT * FROM " + late_table)


def test_T37_a_paused_replica_is_not_waited_for(late, late_table, make_seawall):
    """One is paused, the other is up to date: the read goes there at once, whatever wait_for_replica says."""
    late.standbys[0].pause_replay()
    seawall = make_seawall(late, config={"routing": {"wait_for_replica": "5s"}})
    with seawall.connect() as connection:
        for number in range(100, 110):
            connection.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            assert value(connection, "SELECT max(id) FROM " + late_table) == number
            assert last_route(connection).node == late.standbys[1].name


def test_T57_a_table_that_a_replica_does_not_have_yet(late, late_table, make_seawall):
    """Made by another session, straight on the primary: this one has no floor that would protect it."""
    for node in late.standbys:
        node.pause_replay()
    seawall = make_seawall(late)
    with seawall.connect() as connection:
        connection.execute("SELECT 1")
        table = unique("unknown_there")
        late.primary.execute("CREATE TABLE %s AS SELECT 5 AS a; GRANT ALL ON %s TO PUBLIC" % (table, table))
        assert value(connection, "SELECT a FROM " + table) == 5


def test_T54_a_recovery_conflict_is_hidden(late, late_table, make_seawall):
    """A long read on a replica is cancelled because the primary's VACUUM removed what it reads: it runs again."""
    for node in late.standbys:
        node.configure(max_standby_streaming_delay="0")
    seawall = make_seawall(late)
    try:
        with seawall.connect() as connection:
            answers = []
            sql = ("SELECT count(*) FROM %s a, pg_sleep_for('1500ms') s WHERE a.id > 0" % late_table)
            reader = threading.Thread(target=lambda: answers.append(value(connection, sql)))
            reader.start()

            def is_running():
                query_text = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1500ms%' AND state = 'active' "
                return any(node.value(query_text + "AND pid <> pg_backend_pid()") for node in late.nodes)
            wait_until(is_running, 10, "the read to run")
            late.primary.execute("DELETE FROM %s WHERE id = 1" % late_table)
            late.primary.execute("VACUUM " + late_table)
            reader.join()
            assert answers in ([2], [3])
    finally:
        for node in late.standbys:
            node.configure(max_standby_streaming_delay=None)


def test_weight_zero_serves_no_reads(late, late_table, make_seawall):
    seawall = make_seawall(late)
    seawall.stop()
    seawall.change({"nodes": {"pg2": "host=%s port=%d weight=0" % (late.node("pg2").host, late.node("pg2").port)}})
    seawall.start()
    with seawall.connect() as connection:
        for _ in range(30):
            connection.execute("SELECT count(*) FROM " + late_table)
            assert last_route(connection).node == "pg3"


def test_reads_are_spread_over_the_replicas(late, late_table, make_seawall):
    seawall = make_seawall(late)
    routes = set()
    for _ in range(20):
        with seawall.connect() as connection:
            connection.execute("SELECT count(*) FROM " + late_table)
            route = last_route(connection)
            routes.add((route.node, route.reason))
    assert routes == {("pg2", "read"), ("pg3", "read")}


def test_explain_route(routed, routed_table):
    assert "primary" in str(routed.console("EXPLAIN ROUTE INSERT INTO t VALUES (1)")).lower()
    assert "replica" in str(routed.console("EXPLAIN ROUTE SELECT 1")).lower()
