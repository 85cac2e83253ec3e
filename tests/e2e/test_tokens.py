"""Tokens: what one session has seen, carried to another, also behind another Seawall (T39, T41, T43, T51)."""

import threading
import zlib

import psycopg
import pytest

from lib import wire as w
from lib.cluster import Cluster
from lib.proxy import Seawall, last_route
from lib.wait import wait_until
from lib.wire import Wire, bind, execute, parse, query, rows, sqlstates, sync
from lib.witness import make_table

SHOW = "SHOW seawall.token"


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


def set_token(connection, token):
    connection.execute("SET seawall.token = '%s'" % token)


def refusal(connection, token):
    with pytest.raises(psycopg.Error) as refused:
        set_token(connection, token)
    return refused.value


@pytest.fixture(scope="module")
def late():
    """pg2 shows commits 150 ms late; pg3 is prompt."""
    with Cluster(standbys=2) as running:
        running.standbys[0].set_delay(150)
        yield running


@pytest.fixture(scope="module")
def pair(late):
    """Two Seawalls in front of it. Their reads go to any replica each time, so that many meet the late one."""
    routing = {"routing": {"sticky": "off", "hints": "on"}}
    with Seawall(late, config=routing) as one, Seawall(late, config=routing) as two:
        yield one, two


@pytest.fixture(scope="module")
def late_table(late):
    return make_table(late)


def forged(token, system=0, timeline=0, lsn=0):
    """The token with so much added to its parts, and a checksum that is right."""
    body = "sw1.%016x%08x%016x" % (int(token[4:20], 16) + system, int(token[20:28], 16) + timeline,
                                   int(token[28:44], 16) + lsn)
    return body + "%08x" % zlib.crc32(body.encode())


# -- carrying one



def read_with(how, seawall, reader, token, table):
    """The highest id that a session sees to which the token was given."""
    sql = "SELECT max(id) FROM " + table
    if how == "options":
        with seawall.connect(options="-c seawall.token=" + token) as connection:
            return value(connection, sql), last_route(connection).node
    if how == "set":
        set_token(reader, token)
    elif how == "hint":
        sql = "/* seawall: token=%s */ %s" % (token, sql)
    return value(reader, sql), last_route(reader).node


@pytest.mark.parametrize("how, rounds", [("set", 200), ("hint", 200), ("options", 100)])
@pytest.mark.parametrize("through", [0, 1])
def test_T43_a_token_shows_the_write_to_another_session(pair, late_table, late, how, rounds, through):
    nodes, first = set(), late.primary.value("SELECT max(id) + 1 FROM " + late_table)
    with pair[0].connect() as writer:
        reader = pair[through].connect()
        for number in range(first, first + rounds):
            writer.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            if number % 20 == 0:  # a new session, whose floor is none yet
                reader.close()
                reader = pair[through].connect()
            seen, node = read_with(how, pair[through], reader, value(writer, SHOW), late_table)
            assert seen == number, node
            nodes.add(node)
        reader.close()
    assert nodes - {"pg1"}  # and not because everything runs on the primary


def test_without_a_token_the_write_is_missed(pair, late_table, late):
    """Or the test above would show nothing."""
    first, missed = late.primary.value("SELECT max(id) + 1 FROM " + late_table), 0
    with pair[0].connect() as writer, pair[1].connect() as reader:
        for number in range(first, first + 50):
            writer.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            missed += value(reader, "SELECT max(id) FROM " + late_table) < number
    assert missed > 0


def test_a_token_covers_what_was_read_on_a_replica(pair, late_table, late):
    """Written by somebody else and seen on the prompt replica: then the late one must not serve who has the token."""
    table = "SELECT max(id) FROM " + late_table
    with late.primary.connect() as other, pair[0].connect() as reader, pair[1].connect() as second:
        for number in range(100000, 100030):
            other.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            seen = value(reader, table)
            set_token(second, value(reader, SHOW))
            assert value(second, table) >= seen


def test_a_session_that_has_seen_nothing_has_a_token(pair, late_table):
    with pair[0].connect() as connection, pair[1].connect() as other:
        set_token(other, value(connection, SHOW))
        assert value(other, "SELECT 1") == 1


def test_in_a_transaction_it_covers_what_that_has_read(pair, late_table, late):
    with pair[0].connect() as connection, pair[1].connect() as other:
        connection.execute("INSERT INTO %s VALUES (200000)" % late_table)
        connection.execute("BEGIN")
        late.primary.execute("INSERT INTO %s VALUES (200001)" % late_table)
        assert value(connection, "SELECT max(id) FROM " + late_table) == 200001
        connection.execute("INSERT INTO %s VALUES (200002)" % late_table)
        set_token(other, value(connection, SHOW))
        assert value(other, "SELECT max(id) FROM " + late_table) == 200001
        connection.execute("COMMIT")
        set_token(other, value(connection, SHOW))
        assert value(other, "SELECT max(id) FROM " + late_table) == 200002
        connection.execute("BEGIN READ ONLY")
        assert value(connection, "SELECT max(id) FROM " + late_table) == 200002
        assert last_route(connection).node != "pg1" and value(connection, SHOW).startswith("sw1.")
        connection.execute("COMMIT")


def test_in_a_dry_run_it_covers_what_the_primary_showed(pair, late_table, late, make_seawall):
    """There reads are counted for replicas and run on the primary, which shows more."""
    dry = make_seawall(late, config={"routing": {"dry_run": "on"}})
    with dry.connect() as connection, pair[1].connect() as other:
        for number in range(250000, 250020):
            late.primary.execute("INSERT INTO %s VALUES (%d)" % (late_table, number))
            assert value(connection, "SELECT max(id) FROM " + late_table) == number
            set_token(other, value(connection, SHOW))
            assert value(other, "SELECT max(id) FROM " + late_table) == number


def test_a_transaction_that_has_failed_shows_none(pair):
    with pair[0].connect() as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1/0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute(SHOW)
        connection.execute("ROLLBACK")
        assert value(connection, SHOW).startswith("sw1.")


def test_extended_protocol(pair, late_table):
    with Wire(pair[0].host, pair[0].port) as wire, pair[1].connect() as other:
        wire.login("app", "app")
        wire.ask(query("INSERT INTO %s VALUES (300000)" % late_table))
        messages = wire.ask(parse("s", SHOW), bind("", "s"), w.describe("P"), execute(), sync())
        assert w.kinds(messages) == "12TDCZ"
        token = rows(messages)[0][0].decode() if isinstance(rows(messages)[0][0], bytes) else rows(messages)[0][0]
        set_token(other, token)
        assert value(other, "SELECT max(id) FROM " + late_table) == 300000
        assert w.kinds(wire.ask(parse("", "SET seawall.token = '%s'" % token), bind(), execute(), sync())) == "12CZ"
        wire.ask(query("INSERT INTO %s VALUES (300001)" % late_table))
        # Sent ahead, each with its Sync: the answers come in order.
        wire.send(bind("", "s"), execute(), sync(), query("SELECT 7"), query(SHOW))
        assert [w.kinds(wire.until_ready()) for _ in range(3)] == ["2DCZ", "TDCZ", "TDCZ"]
        messages = wire.ask(parse("", "SET seawall.token = 'sw1.nonsense'"), bind(), execute(), sync())
        assert sqlstates(messages) == ["22023"] and w.kinds(messages).endswith("EZ")


# -- what is refused

def test_every_change_of_a_token_is_refused(pair):
    with pair[0].connect() as connection:
        token = value(connection, SHOW)
        for place in range(len(token)):
            other = "0" if token[place] != "0" else "1"
            assert refusal(connection, token[:place] + other + token[place + 1:]).sqlstate == "22023"
        for text in (token[:-1], token + "0", token.upper(), "x", "0/1234", " " + token):
            error = refusal(connection, text)
            assert error.sqlstate == "22023" and "SHOW seawall.token" in error.diag.message_hint
        for sql in ("RESET seawall.token", "SET seawall.token = ''", "SET LOCAL seawall.token = '%s'" % token):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                connection.execute(sql)
        set_token(connection, token)


def test_a_refusal_in_a_transaction_ends_it(pair, late_table):
    with pair[0].connect() as connection:
        connection.execute("BEGIN")
        assert refusal(connection, "x").sqlstate == "22023"
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.execute("ROLLBACK")


def test_T51_a_token_of_another_cluster_is_refused(pair):
    """Forged, since all clusters of these tests are copies of one, and have its identifier."""
    with pair[0].connect() as connection:
        foreign_token = forged(value(connection, SHOW), system=1)
        error = refusal(connection, foreign_token)
        assert error.sqlstate == "22023" and "another cluster" in str(error)
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            connection.execute("/* seawall: token=%s */ SELECT 1" % foreign_token)
        assert "another cluster" in str(refused.value)
    with pytest.raises(psycopg.OperationalError) as refused:
        pair[0].connect(options="-c seawall.token=" + foreign_token)
    assert "another cluster" in str(refused.value)


@pytest.mark.parametrize("change", [{"lsn": 1 << 30}, {"timeline": 1}])
def test_T41_a_token_from_the_future_is_refused(pair, late_table, change):
    with pair[0].connect() as connection:
        token = forged(value(connection, SHOW), **change)
        error = refusal(connection, token)
        assert error.sqlstate == "22023" and "from the future" in str(error)
        assert value(connection, "SELECT count(*) > 0 FROM " + late_table)  # and holds back no read
        assert last_route(connection).node != "pg1"
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("/* seawall: token=%s */ SELECT 1" % token)
    with pytest.raises(psycopg.OperationalError) as refused:
        with pair[0].connect(options="-c seawall.token=" + token) as connection:
            connection.execute("SELECT 1")
    assert "from the future" in str(refused.value)


def test_at_level_eventual_a_token_is_refused(pair, late_table):
    with pair[0].connect() as connection:
        token = value(connection, SHOW)
        connection.execute("SET seawall.consistency = 'eventual'")
        assert "eventual" in str(refusal(connection, token))
    with pytest.raises(psycopg.OperationalError):
        pair[0].connect(options="-c seawall.token=%s -c seawall.consistency=eventual" % token)
    with pair[0].connect(options="-c seawall.token=%s -c seawall.consistency=session" % token) as connection:
        assert value(connection, "SELECT 1") == 1


def test_the_console_has_no_token(pair):
    with pytest.raises(psycopg.Error):
        pair[0].console(SHOW)


# -- where there is no primary, or another one

def test_T39_tokens_over_a_promotion(make_seawall):
    with Cluster(standbys=2) as cluster:
        table = make_table(cluster)
        one = make_seawall(cluster, config={"seawall": {"query_wait_timeout": "1s"}})
        two = make_seawall(cluster)
        old, new = cluster.primary, cluster.standbys[0]
        with one.connect() as connection:
            connection.execute("INSERT INTO %s VALUES (100)" % table)
            token = value(connection, SHOW)
            cluster.wait_caught_up()
            connection.execute("UPDATE %s SET note = 'unresolved' WHERE id = 1" % table)
            old.kill9()
            wait_until(lambda: all(row["role"] != "primary" or row["state"] != "up" for row in one.console("SHOW NODES")), 20,
                       "the primary to be missed")
        with one.connect() as connection:
            set_token(connection, token)  # a replica has been there
            with pytest.raises(psycopg.Error) as refused:
                set_token(connection, forged(token, lsn=1 << 20))  # who knows?
            assert refused.value.sqlstate == "57P03" and "primary" in str(refused.value)
        new.promote()
        cluster.node("pg3").follow(new)

        def is_followed(seawall):
            return any(row["name"] == new.name and row["role"] == "primary" for row in seawall.console("SHOW NODES"))
        wait_until(lambda: is_followed(one) and is_followed(two), 20, "the new primary to be known")
        wait_until(lambda: one.console("SHOW NODES")[2]["fit"] == "yes", 20, "the other replica to follow")
        for seawall in (one, two):
            with seawall.connect(options="-c seawall.token=" + token) as connection:
                assert value(connection, "SELECT count(*) FROM %s WHERE id = 100" % table) == 1
        with one.connect() as writer, two.connect() as reader:
            for number in range(200, 220):
                writer.execute("INSERT INTO %s VALUES (%d)" % (table, number))
                set_token(reader, token)
                set_token(reader, value(writer, SHOW))
                set_token(reader, token)
                assert value(reader, "SELECT max(id) FROM " + table) == number


def test_a_token_that_cannot_be_known_is_an_error_and_no_lie(make_seawall):
    with Cluster(standbys=1) as cluster:
        table = make_table(cluster)
        seawall = make_seawall(cluster, config={"seawall": {"query_wait_timeout": "500ms"},
                                                "monitor": {"interval": "1s", "query_timeout": "30s"}})
        with seawall.connect() as connection:
            token = value(connection, SHOW)
            connection.execute("INSERT INTO %s VALUES (100)" % table)
            cluster.primary.sigstop()
            try:
                for _ in range(2):
                    with pytest.raises(psycopg.Error) as refused:
                        connection.execute(SHOW)
                    assert refused.value.sqlstate == "57P03"
                cancelled = []

                def ask():
                    try:
                        connection.execute(SHOW)
                    except psycopg.Error as error:
                        cancelled.append(error.sqlstate)
                seawall.reload({"seawall": {"query_wait_timeout": "1min"}})
                wait_until(lambda: "reloaded" in seawall.log(), 10, "the reload")
                thread = threading.Thread(target=ask)
                thread.start()
                wait_until(lambda: any(row["state"] == "waiting" for row in seawall.console("SHOW CLIENTS")), 10, "the wait")
                connection.cancel()
                thread.join()
                assert cancelled == ["57014"]
            finally:
                cluster.primary.sigcont()
            assert value(connection, SHOW) > token
