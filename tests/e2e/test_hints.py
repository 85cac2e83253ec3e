"""Hints in leading comments, and the level below which nobody may go (T11)."""

import contextlib

import psycopg
import pytest

from lib import wire as w
from lib.cluster import Cluster
from lib.proxy import Seawall, last_route
from lib.wait import wait_until
from lib.wire import Wire, bind, execute, parse, query, rows, sqlstates, sync
from lib.witness import make_table

PRIMARY = "/* seawall: route=primary */ "
STRONG = "/* seawall: consistency=strong */ "
OFF = "/* seawall: consistency=off */ "
SESSION = "/* seawall: consistency=session */ "
EVENTUAL = "/* seawall: consistency=eventual */ "


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


def wait_until_fit(seawall):
    wait_until(lambda: all(row["fit"] == "yes" for row in seawall.console("SHOW NODES") if row["role"] == "replica"), 10,
               "every replica to be seen within its limits")


@pytest.fixture(scope="module")
def hinted():
    """No replica replays what is written from row 100 on, and who reads on one misses that."""
    with Cluster(standbys=2) as cluster:
        table = make_table(cluster)
        keys = {"wait_for_replica": "20ms", "max_lag": "1h", "max_lag_bytes": "1GB", "hints": "on"}
        with Seawall(cluster, config={"routing": keys, "users": {"app_trust": "hints=off"}}) as seawall:
            wait_until_fit(seawall)
            for node in cluster.standbys:
                node.pause_replay()
            cluster.primary.execute("INSERT INTO %s VALUES (100)" % table)
            seawall.table = table
            yield seawall


@contextlib.contextmanager
def changed(seawall, **routing):
    """With other keys for a while; None for their defaults."""
    before = {key: seawall.config["routing"].get(key) for key in routing}

    def reload(keys):
        loaded = seawall.log().count("reloaded")
        seawall.reload({"routing": keys})
        wait_until(lambda: seawall.log().count("reloaded") > loaded, 10, "the reload")
    reload(routing)
    yield
    reload(before)


@pytest.fixture
def connection(hinted):
    with hinted.connect() as connection:
        yield connection


@pytest.fixture
def wire(hinted):
    with Wire(hinted.host, hinted.port) as wire:
        wire.login("app", "app")
        yield wire


@pytest.fixture
def table(hinted):
    return hinted.table


@pytest.fixture
def count(table):
    return "SELECT count(*) FROM " + table


@pytest.mark.parametrize("hint, seen, reason", [
    ("", 3, "read"), (EVENTUAL, 3, "read"), (SESSION, 3, "read"), (STRONG, 4, "no_replica"), (OFF, 4, "level"),
    (PRIMARY, 4, "hint"), ("/* seawall: consistency=eventual, route=primary */", 4, "hint"),
    ("/* other */" + PRIMARY, 3, "read"), ("SELECT 1;" + PRIMARY, 3, "read"), ("-- " + PRIMARY + "\n", 3, "read")])
def test_a_hint_steers_its_statement_and_no_other(connection, count, hint, seen, reason):
    for _ in range(2):
        cursor = connection.execute(hint + count)
        while cursor.nextset():
            pass
        assert cursor.fetchone()[0] == seen
        assert last_route(connection).reason == reason
        if reason == "read":
            assert value(connection, count) == 3
    assert value(connection, EVENTUAL + count) == 3
    assert value(connection, "SHOW seawall.consistency") == "session"


def test_a_hint_may_ask_for_less_than_the_session(connection, table, count):
    connection.execute("UPDATE %s SET note = 'x' WHERE id = 1" % table)
    assert value(connection, count) == 4  # nobody has replayed that
    assert value(connection, EVENTUAL + count) == 3
    assert value(connection, count) == 4


def test_T11_a_write_goes_to_the_primary_whatever_its_hint_says(connection, table):
    connection.execute(EVENTUAL + "UPDATE %s SET note = 'y' WHERE id = 1" % table)
    assert last_route(connection)[:2] == ("pg1", "statement")


def test_a_constant_does_not_take_the_hint_away(connection, table):
    """Statements that differ in constants share a verdict: not these."""
    for number in (100, 100, 3):
        for hint, node in ((PRIMARY, True), (EVENTUAL, False), (PRIMARY, True)):
            connection.execute("%sSELECT * FROM %s WHERE id = %d" % (hint, table, number))
            assert (last_route(connection).node == "pg1") == node


@pytest.mark.parametrize("hint", [
    "/* seawall: */", "/* seawall: consistency=stronk */", "/* seawall: consistensy=strong */", "/* seawall: route=replica */",
    "/* seawall: token=sw1.0 */", "/* seawall: consistency strong */"])
def test_T11_a_faulty_hint_is_an_error(connection, wire, hint, count):
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        connection.execute(hint + count)
    assert "seawall: consistency=LEVEL" in refused.value.diag.message_hint
    assert value(connection, count) == 3
    messages = wire.ask(parse("", hint + count), bind(), execute(), sync())
    assert sqlstates(messages) == ["22023"] and w.kinds(messages) == "EZ"
    wire.ask(query("BEGIN"))
    assert sqlstates(wire.ask(query(hint + count))) == ["22023"]
    assert sqlstates(wire.ask(query("SELECT 1"))) == ["25P02"]
    assert w.kinds(wire.ask(query("ROLLBACK"))) == "CZ"


def test_T11_where_hints_are_off_a_comment_is_a_comment(hinted, connection, count):
    with hinted.connect("app_trust") as other:
        for hint in (PRIMARY, STRONG, "/* seawall: nonsense */"):
            assert value(other, hint + count) == 3
    with changed(hinted, hints=None):
        wait_until(lambda: value(connection, PRIMARY + count) == 3, 10, "hints to be off")
    wait_until(lambda: value(connection, PRIMARY + count) == 4, 10, "hints to be on")


def test_T67_the_strongest_of_a_batch_wins(wire, count):
    def batch(*hints):
        messages = [message for hint in hints for message in (parse("", hint + count), bind(), execute())]
        return [int(row[0]) for row in rows(wire.ask(*messages, sync()))]
    assert batch("", "") == [3, 3]
    assert batch("", STRONG) == batch(STRONG, "") == batch(EVENTUAL, STRONG) == [4, 4]
    assert batch("", PRIMARY) == batch(PRIMARY, EVENTUAL) == [4, 4]
    assert batch(EVENTUAL, EVENTUAL) == [3, 3]


def test_T67_a_statement_without_a_hint_counts_with_the_level_of_its_session(wire, table, count):
    wire.ask(query("UPDATE %s SET note = 'z' WHERE id = 1" % table))
    plain = (parse("", count), bind(), execute())
    weak = (parse("", EVENTUAL + count), bind(), execute())
    assert [int(row[0]) for row in rows(wire.ask(*weak, sync()))] == [3]
    assert [int(row[0]) for row in rows(wire.ask(*weak, *plain, sync()))] == [4, 4]
    assert [int(row[0]) for row in rows(wire.ask(*plain, *weak, sync()))] == [4, 4]


def test_a_prepared_statement_keeps_its_hint(wire, count):
    wire.ask(query("SET seawall.consistency = 'eventual'"))
    wire.ask(parse("strong", STRONG + count), parse("plain", count), sync())
    for _ in range(3):
        assert [int(row[0]) for row in rows(wire.ask(bind("", "strong"), execute(), sync()))] == [4]
        assert [int(row[0]) for row in rows(wire.ask(bind("", "plain"), execute(), sync()))] == [3]


# -- transactions

def test_a_hint_in_front_of_begin_places_the_transaction(connection, count):
    for hint, seen in (("", 3), (PRIMARY, 4), (STRONG, 4), (EVENTUAL, 3)):
        connection.execute(hint + "BEGIN READ ONLY")
        assert value(connection, count) == seen
        connection.execute("COMMIT")


@pytest.mark.parametrize("hint", [PRIMARY, STRONG, OFF])
def test_a_transaction_that_has_read_nothing_moves_for_a_hint(connection, count, hint):
    connection.execute("BEGIN READ ONLY")
    assert value(connection, hint + count) == 4
    assert value(connection, count) == 4
    connection.execute("COMMIT")


@pytest.mark.parametrize("hint", [PRIMARY, STRONG, OFF])
def test_a_hint_that_comes_too_late_is_an_error(connection, count, hint):
    connection.execute("BEGIN READ ONLY")
    assert value(connection, count) == 3
    assert value(connection, EVENTUAL + count) == value(connection, SESSION + count) == 3
    with pytest.raises(psycopg.Error) as refused:
        connection.execute(hint + count)
    assert refused.value.sqlstate == "25001" and "BEGIN" in refused.value.diag.message_hint
    connection.execute("ROLLBACK")
    assert value(connection, hint + count) == 4


def test_a_token_that_comes_too_late_is_an_error(hinted, connection, table, count):
    with hinted.connect() as writer:
        writer.execute("UPDATE %s SET note = 'w' WHERE id = 2" % table)
        hint = "/* seawall: token=%s */ " % value(writer, "SHOW seawall.token")
    connection.execute("BEGIN READ ONLY")
    assert value(connection, count) == 3
    with pytest.raises(psycopg.Error) as refused:
        connection.execute(hint + count)
    assert refused.value.sqlstate == "25001"
    connection.execute("ROLLBACK")
    assert value(connection, hint + count) == 4


def test_a_hint_late_in_a_batch_without_end_is_never_passed_over(wire, count):
    """A batch that is too long to be seen whole is on its way when its hint turns up."""
    wire.ask(query("BEGIN READ ONLY"))
    assert [int(row[0]) for row in rows(wire.ask(query(count)))] == [3]
    for number in range(40):
        wire.send(parse("", "SELECT %d --%s" % (number, "x" * 60000)), bind(), execute())
    wire.send(parse("", PRIMARY + count))  # and no more: what is not read when it closes may cost the answer
    assert "08P01" in sqlstates(wire.until_closed())


# -- the least level

def test_nobody_goes_below_the_minimum(hinted, connection, table, count):
    connection.execute("UPDATE %s SET note = 'v' WHERE id = 3" % table)
    with changed(hinted, minimum_consistency="session"):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            connection.execute("SET seawall.consistency = 'eventual'")
        assert "minimum_consistency" in str(refused.value)
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            connection.execute(EVENTUAL + count)
        assert "minimum_consistency" in str(refused.value)
        for level in ("session", "strong", "off"):
            connection.execute("SET seawall.consistency = '%s'" % level)
            assert value(connection, "/* seawall: consistency=%s */ %s" % (level, count)) == 4
        with pytest.raises(psycopg.OperationalError) as refused:
            hinted.connect(options="-c seawall.consistency=eventual")
        assert "minimum_consistency" in str(refused.value)


def test_a_reload_raises_whoever_is_below_the_minimum(hinted):
    with hinted.connect() as weak, hinted.connect() as firm:
        weak.execute("SET seawall.consistency = 'eventual'")
        firm.execute("SET seawall.consistency = 'off'")
        with changed(hinted, minimum_consistency="strong", consistency="strong"):
            wait_until(lambda: value(weak, "SHOW seawall.consistency") == "strong", 10, "the level to be raised")
            assert value(firm, "SHOW seawall.consistency") == "off"
