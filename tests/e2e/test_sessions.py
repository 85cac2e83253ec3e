"""What belongs to a session follows it or pins it, and never reaches another client."""

import threading

import psycopg
import pytest

from lib import wire as w
from lib.proxy import Seawall, last_route
from lib.wait import wait_until
from lib.wire import Wire, bind, describe, execute, kinds, parse, query, rows, sqlstates, sync
from lib.witness import unique



@pytest.fixture(scope="module")
def shared(cluster):
    """One worker and two server connections a node: one may be pinned and the other still serves everyone else."""
    with Seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 2}}) as running:
        yield running


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


def on_primary(connection):
    """Runs something that only the primary may run, so that the next check there sees this session's state."""
    connection.execute("SELECT pg_advisory_xact_lock(4711)")


SETTINGS = [
    ("statement_timeout", "54321ms"), ("work_mem", "1234kB"), ("search_path", "pg_catalog, public"),
    ("TimeZone", "Asia/Tokyo"), ("DateStyle", "German, DMY"), ("application_name", "somebody"),
    ("lock_timeout", "777ms"), ("extra_float_digits", "-3"), ("app.user_id", "42"), ("enable_seqscan", "off"),
    ("client_min_messages", "error"), ("bytea_output", "escape"), ("row_security", "off"),
    ("IntervalStyle", "iso_8601"), ("standard_conforming_strings", "off"), ("client_encoding", "LATIN1"),
]


def current(connection, name):
    """The setting as the node knows it: asked on a node, not answered from what Seawall may remember."""
    return value(connection, "SELECT current_setting('%s', true) FROM pg_advisory_xact_lock(1)" % name)


@pytest.mark.parametrize("name, text", SETTINGS)
def test_T59_setting_follows_its_session_and_leaks_to_nobody(narrow, name, text):
    with narrow.connect() as mine, narrow.connect() as other:
        # A setting with a dot that was set once and reset is empty afterwards, as in PostgreSQL itself.
        defaults = {current(other, name) or ""}
        mine.execute("SET %s = %s" % (name, text if name in ("search_path", "DateStyle") else "'%s'" % text))
        for _ in range(3):
            assert current(mine, name) == text
            assert (current(other, name) or "") in defaults
    with narrow.connect() as later:
        assert (current(later, name) or "") in defaults


@pytest.mark.parametrize("name, text", [("work_mem", "1234kB"), ("app.user_id", "42"), ("TimeZone", "Asia/Tokyo")])
def test_T59_setting_holds_on_replicas_too(narrow, table, name, text):
    """A read that sees the setting, first where it was set last and then on a replica."""
    with narrow.connect() as mine, narrow.connect() as other:
        mine.execute("SET %s = '%s'" % (name, text))
        assert current(mine, name) == text
        mine.execute("SET seawall.consistency = 'eventual'")
        sql = "SELECT id, now() FROM %s WHERE id = 1" % table
        assert mine.execute(sql).fetchone()[0] == 1
        assert other.execute(sql).fetchone()[0] == 1
        assert value(mine, "SHOW " + name) == text
        assert (current(other, name) or "") != text


def test_T58_set_in_a_rolled_back_transaction_reverts(narrow):
    with narrow.connect() as mine, narrow.connect() as other:
        mine.execute("SET work_mem = '1111kB'")
        mine.execute("BEGIN")
        mine.execute("SET work_mem = '2222kB'")
        assert value(mine, "SHOW work_mem") == "2222kB"
        mine.execute("ROLLBACK")
        on_primary(other)
        assert current(mine, "work_mem") == "1111kB"


def test_T58_set_in_a_failed_transaction_reverts(narrow):
    with narrow.connect() as mine, narrow.connect() as other:
        before = current(mine, "work_mem")
        mine.execute("BEGIN")
        mine.execute("SET work_mem = '2222kB'")
        with pytest.raises(psycopg.errors.DivisionByZero):
            mine.execute("SELECT 1/0")
        mine.execute("COMMIT")
        on_primary(other)
        assert current(mine, "work_mem") == before


def test_T58_set_in_a_committed_transaction_stays(narrow):
    with narrow.connect() as mine, narrow.connect() as other:
        mine.execute("BEGIN")
        mine.execute("SET work_mem = '3333kB'")
        mine.execute("COMMIT")
        on_primary(other)
        assert current(mine, "work_mem") == "3333kB"


def test_T58_set_local_ends_with_its_transaction(narrow):
    with narrow.connect() as mine:
        before = current(mine, "work_mem")
        mine.execute("BEGIN")
        mine.execute("SET LOCAL work_mem = '4444kB'")
        assert value(mine, "SHOW work_mem") == "4444kB"
        mine.execute("COMMIT")
        assert current(mine, "work_mem") == before


def test_T58_rollback_to_savepoint_reverts(narrow):
    with narrow.connect() as mine, narrow.connect() as other:
        mine.execute("BEGIN")
        mine.execute("SET work_mem = '1111kB'")
        mine.execute("SAVEPOINT s")
        mine.execute("SET work_mem = '2222kB'")
        mine.execute("ROLLBACK TO s")
        mine.execute("COMMIT")
        on_primary(other)
        assert current(mine, "work_mem") == "1111kB"


def test_T58_a_multi_statement_query_that_fails_reverts_its_set(narrow):
    with narrow.connect() as mine, narrow.connect() as other:
        before = current(mine, "work_mem")
        with pytest.raises(psycopg.errors.DivisionByZero):
            mine.execute("SET work_mem = '5555kB'; SELECT 1/0")
        on_primary(other)
        assert current(mine, "work_mem") == before
        mine.execute("SET work_mem = '5555kB'; SELECT 1")
        on_primary(other)
        assert current(mine, "work_mem") == "5555kB"


@pytest.mark.parametrize("reset", ["RESET work_mem", "RESET ALL", "DISCARD ALL", "SET work_mem TO DEFAULT"])
def test_T58_reset(narrow, reset):
    with narrow.connect() as mine, narrow.connect() as other:
        before = current(mine, "work_mem")
        mine.execute("SET work_mem = '1111kB'")
        mine.execute(reset)
        on_primary(other)
        assert current(mine, "work_mem") == before


def test_T58_a_refused_set_changes_nothing(narrow):
    with narrow.connect() as mine:
        mine.execute("SET work_mem = '1111kB'")
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            mine.execute("SET work_mem = 'a lot'")
        assert current(mine, "work_mem") == "1111kB"


def test_reset_goes_back_to_startup_options(narrow):
    with narrow.connect(options="-c work_mem=9999kB") as mine, narrow.connect() as other:
        mine.execute("SET work_mem = '1111kB'")
        mine.execute("RESET work_mem")
        on_primary(other)
        assert current(mine, "work_mem") == "9999kB"
        mine.execute("DISCARD ALL")
        assert current(mine, "work_mem") == "9999kB"


@pytest.mark.parametrize("reset", ["RESET work_mem", "SET work_mem TO DEFAULT", "RESET ALL"])
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_T58_reset_in_a_transaction_goes_back_to_startup_options(cluster, narrow, reset, end):
    def scenario(server):
        with server.connect(options="-c work_mem=9999kB", autocommit=True) as mine:
            mine.execute("SET work_mem = '1111kB'")
            seen = []
            for sql in ("BEGIN", reset, "SAVEPOINT s", "SET work_mem = '2222kB'", reset, "ROLLBACK TO s", end):
                mine.execute(sql)
                seen.append(current(mine, "work_mem"))
            return seen
    assert scenario(narrow) == scenario(cluster.primary)


def test_T60_set_config_is_set(narrow):
    with narrow.connect() as mine, narrow.connect() as other:
        mine.execute("SELECT set_config('app.tenant', 'blue', false)")
        assert current(other, "app.tenant") in (None, "")
        assert current(mine, "app.tenant") == "blue"
        mine.execute("BEGIN")
        mine.execute("SELECT set_config('app.tenant', 'green', true)")
        assert value(mine, "SELECT current_setting('app.tenant')") == "green"
        mine.execute("COMMIT")
        assert current(mine, "app.tenant") == "blue"


def test_T60_set_config_in_expressions_and_with_parameters(shared):
    with shared.connect() as mine, shared.connect() as other:
        mine.execute("SELECT set_config(%s, %s, %s)", ("app.tenant", "red", False))
        assert current(other, "app.tenant") in (None, "")
        assert current(mine, "app.tenant") == "red"
        mine.execute("SELECT set_config('app.' || name, 'computed', false) FROM (VALUES ('tenant'), ('team')) v(name)")
        assert current(other, "app.team") in (None, "")
        assert current(mine, "app.team") == "computed"


def test_T59_settings_made_inside_a_function_leak_to_nobody(shared):
    with shared.connect() as mine:
        mine.execute("DO $$BEGIN PERFORM set_config('app.hidden', 'secret', false); SET work_mem = '6666kB'; END$$")
        with shared.connect() as other:
            for _ in range(4):
                assert current(other, "app.hidden") in (None, "")
                assert current(other, "work_mem") != "6666kB"
        assert current(mine, "app.hidden") == "secret"
    with shared.connect() as first, shared.connect() as second:
        for connection in (first, second):
            assert current(connection, "app.hidden") in (None, "")


def test_T59_role_leaks_to_nobody(cluster, shared):
    cluster.primary.execute("DROP ROLE IF EXISTS costume; CREATE ROLE costume; GRANT costume TO app")
    with shared.connect() as mine:
        mine.execute("SET ROLE costume")
        with shared.connect() as other:
            for _ in range(4):
                assert value(other, "SELECT current_user::text FROM pg_advisory_xact_lock(1)") == "app"
        assert value(mine, "SELECT current_user::text FROM pg_advisory_xact_lock(1)") == "costume"
    with shared.connect() as first, shared.connect() as second:
        for connection in (first, second):
            assert value(connection, "SELECT current_user::text FROM pg_advisory_xact_lock(1)") == "app"


def test_T71_parameter_status_stays_coherent(narrow):
    """Two clients on one server connection: each is told of its own settings only, and gets its own formats."""
    with Wire(narrow.host, narrow.port) as mine, Wire(narrow.host, narrow.port) as other:
        mine.login("app_trust", "app")
        other.login("app_trust", "app")
        zone = other.parameters["TimeZone"]
        mine.ask(query("SET TimeZone = 'Asia/Tokyo'"))
        assert mine.parameters["TimeZone"] == "Asia/Tokyo"
        instant = query("SELECT '2026-01-01 00:00:00+00'::timestamptz FROM pg_advisory_xact_lock(1)")
        for _ in range(3):
            assert rows(mine.ask(instant)) == [[b"2026-01-01 09:00:00+09"]]
            assert rows(other.ask(instant)) == [[b"2026-01-01 00:00:00+00"]]
        assert other.parameters["TimeZone"] == zone and mine.parameters["TimeZone"] == "Asia/Tokyo"


def test_T71_client_encoding_is_the_session_s(narrow):
    with Wire(narrow.host, narrow.port) as mine, Wire(narrow.host, narrow.port) as other:
        mine.login("app_trust", "app", client_encoding="LATIN1")
        other.login("app_trust", "app", client_encoding="UTF8")
        sql = query("SELECT chr(233) FROM pg_advisory_xact_lock(1)")
        for _ in range(3):
            assert rows(mine.ask(sql)) == [[b"\xe9"]]
            assert rows(other.ask(sql)) == [[b"\xc3\xa9"]]


def test_T71_in_hot_standby_never_flips(seawall, table):
    with Wire(seawall.host, seawall.port) as wire:
        wire.login("app_trust", "app")
        for number in range(10):
            wire.ask(query("SELECT * FROM " + table))
            wire.ask(query("UPDATE %s SET note = '%d'" % (table, number)))
            assert wire.parameters.get("in_hot_standby", "off") == "off"


# -- what pins a session

def pins_shown(seawall, text):
    """Does SHOW CLIENTS name this as the reason of a pin?"""
    return any(text.lower() in str(cell).lower() for row in seawall.console("SHOW CLIENTS") for cell in row.values())


def test_T19_temporary_table(shared):
    with shared.connect() as mine, shared.connect() as other:
        mine.execute("CREATE TEMP TABLE mine (a int)")
        mine.execute("INSERT INTO mine VALUES (1)")
        for _ in range(5):
            assert value(mine, "SELECT count(*) FROM mine") == 1
            with pytest.raises(psycopg.errors.UndefinedTable):
                other.execute("SELECT * FROM mine")
        assert pins_shown(shared, "temporary table")
    with shared.connect() as later, shared.connect() as another:
        for connection in (later, another):
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("SELECT 1 FROM mine FOR UPDATE")


def test_T19_temporary_table_shadows_a_real_one(shared, table):
    with shared.connect() as mine:
        assert value(mine, "SELECT count(*) FROM " + table) == 3
        mine.execute("CREATE TEMP TABLE %s (id int)" % table)
        for _ in range(5):
            assert value(mine, "SELECT count(*) FROM " + table) == 0


@pytest.mark.parametrize("sql", ["SELECT 1 AS a INTO TEMP made", "CREATE TEMP TABLE made AS SELECT 1 AS a",
                                 "CREATE TEMP VIEW made AS SELECT 1 AS a", "CREATE TABLE pg_temp.made AS SELECT 1 AS a",
                                 "DO $$BEGIN CREATE TEMP TABLE made AS SELECT 1 AS a; END$$"])
def test_T19_every_way_to_make_a_temporary_table(shared, sql):
    with shared.connect() as mine:
        mine.execute(sql)
        for _ in range(4):
            with shared.connect() as other:
                on_primary(other)
            assert value(mine, "SELECT a FROM made") == 1


def test_T74_listen(shared):
    with shared.connect() as mine, shared.connect() as other:
        mine.execute("LISTEN news")
        for _ in range(3):
            value(mine, "SELECT 1")
            other.execute("NOTIFY news, 'from the other'")
        notified = mine.notifies()
        assert next(notified).payload == "from the other"
        notified.close()
        assert pins_shown(shared, "LISTEN")


def test_T73_advisory_lock(shared):
    with shared.connect() as mine, shared.connect() as other:
        mine.execute("SELECT pg_advisory_lock(1234)")
        for _ in range(4):
            assert value(mine, "SELECT 1") == 1
            assert value(other, "SELECT pg_try_advisory_lock(1234)") is False
        assert value(mine, "SELECT pg_advisory_unlock(1234)") is True
        assert value(other, "SELECT pg_try_advisory_lock(1234)") is True
    with shared.connect() as later:
        wait_until(lambda: value(later, "SELECT pg_try_advisory_xact_lock(1234)"), 10, "the lock to go")


def test_T65_sql_prepare(shared):
    with shared.connect() as mine, shared.connect() as other:
        mine.execute("PREPARE plan(int) AS SELECT $1 + 1")
        for number in range(5):
            assert value(mine, "EXECUTE plan(%d)" % number) == number + 1
            on_primary(other)
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            other.execute("EXECUTE plan(1)")
        mine.execute("DEALLOCATE plan")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            mine.execute("EXECUTE plan(1)")


def test_T65_sql_prepare_of_a_write(shared, table):
    with shared.connect() as mine:
        mine.execute("PREPARE plan AS INSERT INTO %s VALUES ($1)" % table)
        mine.execute("EXECUTE plan(10)")
        assert value(mine, "SELECT count(*) FROM " + table) == 4


def test_T66_cursor_with_hold(shared, table):
    with shared.connect() as mine, shared.connect() as other:
        mine.execute("BEGIN")
        mine.execute("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM %s ORDER BY id" % table)
        mine.execute("COMMIT")
        for number in (1, 2, 3):
            on_primary(other)
            assert value(mine, "FETCH c") == number
        mine.execute("CLOSE c")


def test_T7_currval_after_nextval(cluster, shared):
    sequence = unique("s")
    cluster.primary.execute("CREATE SEQUENCE %s; GRANT ALL ON %s TO PUBLIC" % (sequence, sequence))
    with shared.connect() as mine, shared.connect() as other:
        for turn in range(4):
            assert value(mine, "SELECT nextval('%s')" % sequence) == 2 * turn + 1
            assert value(other, "SELECT nextval('%s')" % sequence) == 2 * turn + 2
            assert value(mine, "SELECT currval('%s')" % sequence) == 2 * turn + 1
            assert value(mine, "SELECT lastval()") == 2 * turn + 1


def test_T7_setseed(shared):
    with shared.connect() as mine, shared.connect() as other:
        sequences = []
        for _ in range(2):
            mine.execute("SELECT setseed(0.5)")
            sequences.append([value(mine, "SELECT random()") for _ in range(3) if value(other, "SELECT 1")])
        assert sequences[0] == sequences[1]


def test_pins_of_a_session_end_with_it(shared):
    """More sessions, one after the other, than there are server connections: each leaves something behind."""
    for number in range(8):
        with shared.connect() as mine:
            mine.execute("CREATE TEMP TABLE again (a int)")
            mine.execute("SELECT pg_advisory_lock(99)")
            mine.execute("LISTEN something")
            mine.execute("PREPARE again AS SELECT 1")
            assert value(mine, "EXECUTE again") == 1


def test_discard_all_ends_pins(shared):
    with shared.connect() as mine:
        mine.execute("CREATE TEMP TABLE gone (a int)")
        mine.execute("DISCARD ALL")
        with pytest.raises(psycopg.errors.UndefinedTable):
            mine.execute("SELECT * FROM gone")


def test_session_pooling_keeps_one_server_connection(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"users": {"app": "pool_mode=session"}})
    with seawall.connect() as mine:
        pids = {value(mine, "SELECT pg_backend_pid()") for _ in range(5)}
        assert len(pids) == 1


# -- prepared statements of the protocol

def test_T61_same_name_other_text(narrow):
    """Two clients use one name for different statements on the same server connection."""
    with Wire(narrow.host, narrow.port) as first, Wire(narrow.host, narrow.port) as second:
        for number, wire in ((1, first), (2, second)):
            wire.login("app_trust", "app")
            assert kinds(wire.ask(parse("s", "SELECT %d, $1::int FROM pg_advisory_xact_lock(1)" % number),
                                  sync())) == "1Z"
        for turn in range(5):
            for number, wire in ((1, first), (2, second)):
                messages = wire.ask(bind("", "s", [turn]), execute(), sync())
                assert rows(messages) == [[b"%d" % number, b"%d" % turn]]


def test_T61_statement_runs_on_any_node(seawall, table):
    with seawall.connect(prepare_threshold=0) as connection:
        for number in range(30):
            note, = connection.execute("SELECT note FROM %s WHERE id = %%s" % table, (1,)).fetchone()
            assert note in ("row 1", str(number - 1))
            connection.execute("UPDATE %s SET note = %%s WHERE id = 1" % table, (str(number),))


def test_T62_unnamed_statements_of_two_clients(narrow):
    with Wire(narrow.host, narrow.port) as first, Wire(narrow.host, narrow.port) as second:
        for number, wire in ((1, first), (2, second)):
            wire.login("app_trust", "app")
            wire.ask(parse("", "SELECT %d FROM pg_advisory_xact_lock(1)" % number), sync())
        for _ in range(3):
            assert rows(first.ask(bind(), execute(), sync())) == [[b"1"]]
            assert rows(second.ask(bind(), execute(), sync())) == [[b"2"]]


def test_T63_parsed_outside_and_run_inside_a_transaction(seawall, table):
    with Wire(seawall.host, seawall.port) as wire:
        wire.login("app_trust", "app")
        wire.ask(parse("s", "SELECT count(*) FROM " + table), sync())
        assert rows(wire.ask(bind("", "s"), execute(), sync())) == [[b"3"]]
        wire.ask(query("BEGIN"))
        wire.ask(query("INSERT INTO %s VALUES (10)" % table))
        assert rows(wire.ask(bind("", "s"), execute(), sync())) == [[b"4"]]
        wire.ask(query("ROLLBACK"))


def test_T64_result_type_changes_under_a_prepared_statement(seawall, cluster, table):
    """PostgreSQL would say 0A000 on every later execution."""
    with Wire(seawall.host, seawall.port) as wire:
        wire.login("app_trust", "app")
        wire.ask(parse("s", "SELECT * FROM %s WHERE id = 1" % table), sync())
        assert rows(wire.ask(bind("", "s"), execute(), sync())) == [[b"1", b"row 1"]]
        cluster.primary.execute("ALTER TABLE %s ADD COLUMN extra int DEFAULT 7" % table)
        cluster.wait_caught_up()
        for _ in range(4):
            messages = wire.ask(bind("", "s"), describe("P"), execute(), sync())
            assert sqlstates(messages) == [] and rows(messages) == [[b"1", b"row 1", b"7"]]


def test_T61_search_path_is_part_of_a_statement(cluster, narrow):
    one, two = unique("schema"), unique("schema")
    for number, schema in enumerate((one, two)):
        cluster.primary.execute("CREATE SCHEMA %s; GRANT ALL ON SCHEMA %s TO PUBLIC;"
                                "CREATE TABLE %s.thing AS SELECT %d AS a; GRANT ALL ON %s.thing TO PUBLIC" %
                                (schema, schema, schema, number, schema))
    cluster.wait_caught_up()
    with narrow.connect(prepare_threshold=0) as first, narrow.connect(prepare_threshold=0) as second:
        first.execute("SET search_path = " + one)
        second.execute("SET search_path = " + two)
        for _ in range(4):
            assert value(first, "SELECT a FROM thing") == 0
            assert value(second, "SELECT a FROM thing") == 1


@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_T65_deallocate_all_ends_protocol_statements_too(narrow, sql):
    with Wire(narrow.host, narrow.port) as wire:
        wire.login("app_trust", "app")
        wire.ask(parse("s", "SELECT 1"), sync())
        wire.ask(query(sql))
        assert sqlstates(wire.ask(bind("", "s"), execute(), sync())) == ["26000"]
        assert kinds(wire.ask(parse("s", "SELECT 2"), bind("", "s"), execute(), sync())) == "12DCZ"


def test_T61_more_statements_than_a_server_connection_keeps(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"max_prepared_statements": 5, "workers": 1}})
    with Wire(seawall.host, seawall.port) as wire:
        wire.login("app_trust", "app")
        for number in range(40):
            wire.ask(parse("s%d" % number, "SELECT %d" % number), sync())
        for number in list(range(40)) + list(range(0, 40, 7)):
            assert rows(wire.ask(bind("", "s%d" % number), execute(), sync())) == [[b"%d" % number]]
        wire.ask(query("BEGIN"))
        held = int(rows(wire.ask(query("SELECT count(*) FROM pg_prepared_statements")))[0][0])
        wire.ask(query("ROLLBACK"))
        assert held <= 5


def test_many_sessions_with_statements_and_settings(seawall, table):
    """All of it at once, from many threads: every session sees its own."""
    failures = []

    def work(number):
        try:
            with seawall.connect("app_trust", prepare_threshold=0) as connection:
                connection.execute("SET app.me = '%d'" % number)
                for turn in range(25):
                    sql = "SELECT current_setting('app.me')::int, %s::int FROM pg_advisory_xact_lock(%s)"
                    assert connection.execute(sql, (turn, number)).fetchone() == (number, turn)
                    assert connection.execute("SELECT id, %%s::int FROM %s WHERE id = 2" % table,
                                              (turn,)).fetchone() == (2, turn)
        except Exception as error:  # reported below, from the main thread
            failures.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_seawall_settings(seawall):
    with seawall.connect() as connection:
        assert value(connection, "SHOW seawall.consistency") == "session"
        connection.execute("SET seawall.consistency = 'eventual'")
        assert value(connection, "SHOW seawall.consistency") == "eventual"
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SET seawall.consistency = 'nonsense'")
        connection.execute("RESET seawall.consistency")
        assert value(connection, "SHOW seawall.consistency") == "session"
        with pytest.raises(psycopg.Error):
            connection.execute("SHOW seawall.no_such_thing")
        assert value(connection, "SELECT 1") == 1


def test_seawall_settings_in_the_extended_protocol(seawall):
    with Wire(seawall.host, seawall.port) as wire:
        wire.login("app_trust", "app")
        messages = wire.ask(parse("", "SET seawall.consistency = 'off'"), bind(), execute(), sync())
        assert kinds(messages) == "12CZ"
        messages = wire.ask(parse("", "SHOW seawall.consistency"), bind(), w.describe("P"), execute(), sync())
        assert kinds(messages) == "12TDCZ" and rows(messages) == [[b"off"]]


def test_last_route_names_node_and_reason(seawall, table):
    with seawall.connect() as connection:
        connection.execute("INSERT INTO %s VALUES (50)" % table)
        assert last_route(connection).node == "pg1"
        connection.execute("SET seawall.consistency = 'eventual'")
        connection.execute("SELECT * FROM " + table)
        assert last_route(connection).node in ("pg2", "pg3")
        assert last_route(connection).reason == "read"


# -- what Seawall asks for itself, and what servers say unasked

def wired(seawall):
    wire = Wire(seawall.host, seawall.port)
    wire.login("app_trust", "app")
    return wire


def test_T68_messages_of_seawalls_own_are_not_seen(narrow):
    """Two clients with other settings share one server connection: it is set anew at each turn, and nobody hears of it."""
    lock = "SELECT 1 FROM pg_advisory_xact_lock(1)"
    with wired(narrow) as one, wired(narrow) as two:
        assert kinds(one.ask(query("SET work_mem = '1234kB'"))) == "CZ"
        assert kinds(two.ask(query("SET TimeZone = 'Asia/Tokyo'"))) == "CZ"
        for wire, name, expected in [(one, "work_mem", b"1234kB"), (two, "TimeZone", b"Asia/Tokyo")] * 3:
            assert kinds(wire.ask(query(lock))) == "TDCZ"
            messages = wire.ask(parse("", "SELECT current_setting('%s')" % name), bind(), execute(), sync())
            assert kinds(messages) == "12DCZ" and rows(messages) == [[expected]]


def test_T70_a_notification_reaches_its_listener_alone(shared):
    with shared.connect() as listener, shared.connect() as other, shared.connect() as sender:
        listener.execute("LISTEN t70")
        assert value(other, "SELECT 1") == 1
        sender.execute("NOTIFY t70, 'hello'")

        def heard():
            listener.pgconn.consume_input()
            return listener.pgconn.notifies()
        assert wait_until(heard, 10, "the notification").extra == b"hello"
        on_primary(other)
        on_primary(sender)
        other.pgconn.consume_input()
        assert other.pgconn.notifies() is None


def test_T70_an_idle_server_connection_that_is_ended_disturbs_nobody(cluster, narrow):
    with narrow.connect() as mine:
        on_primary(mine)
        before = value(mine, "SELECT pg_backend_pid()")
        cluster.primary.execute("SELECT pg_terminate_backend(%d)" % before)
        wait_until(lambda: cluster.primary.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %d" % before) == 0, 10,
                   "the backend to end")
        assert value(mine, "SELECT pg_backend_pid()") != before


# -- pins end with their reason

PINS = [  # what pins, what Seawall calls it, what ends it
    ("CREATE TEMP TABLE passing (a int)", "temporary table", "DROP TABLE passing"),
    ("CREATE TEMP TABLE passing (a int)", "temporary table", "DISCARD TEMP"),
    ("BEGIN; CREATE TEMP TABLE passing (a int); COMMIT", "temporary table", "DROP TABLE passing"),
    ("LISTEN passing", "LISTEN", "UNLISTEN passing"),
    ("LISTEN passing", "LISTEN", "UNLISTEN *"),
    ("PREPARE passing AS SELECT 1", "PREPARE", "DEALLOCATE passing"),
    ("PREPARE passing AS SELECT 1", "PREPARE", "DEALLOCATE ALL"),
    ("SELECT pg_advisory_lock(81)", "session advisory lock", "SELECT pg_advisory_unlock(81)"),
    ("SELECT pg_advisory_lock(81)", "session advisory lock", "SELECT pg_advisory_unlock_all()"),
    ("BEGIN; DECLARE passing CURSOR WITH HOLD FOR SELECT 1; COMMIT", "cursor WITH HOLD", "CLOSE passing"),
    ("BEGIN; DECLARE passing CURSOR WITH HOLD FOR SELECT 1; COMMIT", "cursor WITH HOLD", "CLOSE ALL"),
    ("SET SESSION AUTHORIZATION app_trust", "", "RESET SESSION AUTHORIZATION"),  # is who it was
    ("SET ROLE pg_monitor", "SET ROLE", "RESET ROLE"),
    ("SET ROLE pg_monitor", "SET ROLE", "SET ROLE NONE"),
    ("LISTEN passing", "LISTEN", "DISCARD ALL"),
]


def pin_of(seawall, user):
    return [row["pinned"] for row in seawall.console("SHOW CLIENTS") if row["user"] == user]


@pytest.mark.parametrize("pins, name, releases", PINS)
def test_T89_a_pin_ends_with_its_reason(shared, cluster, pins, name, releases):
    cluster.primary.execute("GRANT pg_monitor TO app_trust")
    with Wire(shared.host, shared.port) as wire:
        wire.login("app_trust", "app")
        assert not sqlstates(wire.ask(query(pins)))
        wait_until(lambda: pin_of(shared, "app_trust") == [name], 5, "the session to be pinned by " + name)
        assert not sqlstates(wire.ask(query(releases)))
        wait_until(lambda: pin_of(shared, "app_trust") == [""], 5, "the pin to be gone")
        assert not sqlstates(wire.ask(query("SELECT 1")))


def test_T89_a_pin_stays_while_another_reason_does(shared):
    with Wire(shared.host, shared.port) as wire:
        wire.login("app_trust", "app")
        wire.ask(query("LISTEN staying"))
        wire.ask(query("CREATE TEMP TABLE passing (a int)"))
        wire.ask(query("DROP TABLE passing"))
        wait_until(lambda: pin_of(shared, "app_trust") == ["LISTEN"], 5, "the one pin that is left")
        wire.ask(query("NOTIFY staying"))
        assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]]


def test_pins_are_counted_by_kind(shared):
    def count(kind):
        return sum(int(row["pins_" + kind]) for row in shared.console("SHOW STATS"))

    before = count("listen"), count("temp")
    with Wire(shared.host, shared.port) as wire:
        wire.login("app_trust", "app")
        wire.ask(query("LISTEN counted"))
        wire.ask(query("LISTEN counted_again"))
    wait_until(lambda: (count("listen"), count("temp")) == (before[0] + 1, before[1]), 5, "one more pin by LISTEN")
