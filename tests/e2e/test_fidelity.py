"""Where a pooler betrays itself: each answer as the server alone would give it, also after errors of Seawall's own, and
nothing of one session in another."""

import contextlib
import struct
import threading

import psycopg
import pytest

from lib import wire as w
from lib.cluster import USERS, Cluster
from lib.crew import Crew
from lib.proxy import ADMIN, ADMIN_PASSWORD, Seawall
from lib.wait import wait_until
from lib.wire import Closed, Wire, bind, execute, flush, kinds, parse, query, rows, sqlstates, sync, tags
from lib.witness import make_table, unique

ON_PRIMARY = " FROM pg_advisory_xact_lock(1)"  # behind a SELECT: it has to run on the primary, and leaves nothing


@pytest.fixture(scope="module")
def impatient(cluster):
    """As narrow, and nobody waits for long."""
    with Seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 1,
                                              "query_wait_timeout": "600ms"}}) as running:
        yield running


@pytest.fixture
def healed(own_cluster):
    """A cluster of this module's own, put back together after the test."""
    yield own_cluster
    own_cluster.primary.sigcont()
    for node in own_cluster.standbys:
        node.set_delay(None)
    own_cluster.wait_caught_up()


def wired(server, user="app_trust", **kw):
    """A connection byte by byte, logged in, to Seawall or to a node itself."""
    wire = Wire(server.host, server.port, **kw)
    wire.login(user, "app", USERS[user][0])
    return wire


def unsynced(*statements):
    return b"".join(parse("", sql) + bind() + execute() for sql in statements)


def batch(*statements):
    """They share one Sync."""
    return unsynced(*statements) + sync()


def outcome(messages):
    return rows(messages), sqlstates(messages)


def answer(wire, sql):
    return outcome(wire.ask(query(sql)))


def count(node, table, where="true"):
    return node.value("SELECT count(*) FROM %s WHERE %s" % (table, where))


def goes_on(wire):
    """The next query gets its own answer: nothing is missing before it, and nothing is left over."""
    messages = wire.ask(query("SELECT 'next'"))
    return kinds(messages) == "TDCZ" and rows(messages) == [[b"next"]] and wire.status == "I"


def clients(seawall, **columns):
    """The rows of SHOW CLIENTS, the console's own left out, in which these columns have these values."""
    return [row for row in seawall.console("SHOW CLIENTS")
            if row["database"] == "app" and all(row[name] == value for name, value in columns.items())]


def wait_for_queue(seawall, length):
    wait_until(lambda: len(clients(seawall, state="waiting")) == length, 10, "%d clients to wait" % length)


def wait_until_read(seawall):
    """The one worker has read all that came before: a login takes several of its turns."""
    seawall.console("SHOW VERSION")


def mine_and_next(server, mine, sql):
    """What a question is answered to its session, and to the next client of the same server connection, who has asked
    first and waits where the session keeps that connection to its end."""
    with wired(server) as other:
        other.send(query(sql))
        seen = answer(mine, sql)
        mine.close()
        return seen, outcome(other.until_ready())


def same_as_direct(cluster, seawall, scenario):
    """What a scenario returns, on the primary itself and through Seawall: the first says what is right."""
    expected = scenario(cluster.primary)
    assert scenario(seawall) == expected
    return expected


# -- COPY FROM STDIN in the extended protocol, with Sync sent ahead of the data

def start_copy_with_sync(wire, table):
    wire.send(batch("COPY %s FROM STDIN" % table))
    assert kinds(wire.until("GE")) == "12G"


def test_T21_copy_in_with_sync_ahead(wire, table):
    start_copy_with_sync(wire, table)
    messages = wire.ask(w.copy_data(b"10\tten\n11\televen\n"), w.copy_done(), sync())
    assert kinds(messages) == "CZ" and tags(messages) == ["COPY 2"]
    assert goes_on(wire)
    assert answer(wire, "SELECT count(*) FROM " + table) == ([[b"5"]], [])


def test_T21_a_bad_row_with_sync_ahead(wire, table):
    start_copy_with_sync(wire, table)
    messages = wire.ask(w.copy_data(b"not a number\tx\n"), w.copy_done(), sync())
    assert kinds(messages) == "EZ" and sqlstates(messages) == ["22P02"]
    assert goes_on(wire)
    assert answer(wire, "SELECT count(*) FROM " + table) == ([[b"3"]], [])


def test_T21_the_client_gives_up_with_sync_ahead(wire, table):
    start_copy_with_sync(wire, table)
    messages = wire.ask(w.copy_data(b"10\tten\n"), w.copy_fail("changed my mind"), sync())
    assert kinds(messages) == "EZ" and sqlstates(messages) == ["57014"]
    assert goes_on(wire)


def test_T21_a_refused_copy_with_sync_ahead(wire, table):
    messages = wire.ask(batch("COPY %s (nothing) FROM STDIN" % table))
    assert kinds(messages) == "12EZ" and sqlstates(messages) == ["42703"]
    assert goes_on(wire)


# -- errors of Seawall's own: one error, one ReadyForQuery, and the session goes on

SHAPES = {  # what is sent, and the answers: one for each ReadyForQuery
    "a query": lambda sql: (query(sql), ["EZ"]),
    "a batch": lambda sql: (batch(sql), ["EZ"]),
    "a batch of two": lambda sql: (batch(sql, sql), ["EZ"]),
    "two batches": lambda sql: (batch(sql) * 2, ["EZ", "EZ"]),
    "a batch behind a query": lambda sql: (query("SHOW seawall.consistency") + batch(sql), ["TDCZ", "EZ"]),
    "a query behind a batch": lambda sql: (batch(sql) + query("SHOW seawall.consistency"), ["EZ", "TDCZ"]),
    "Sync behind Flush": lambda sql: (unsynced(sql) + flush() + sync(), ["EZ"]),
}


def assert_refused(wire, shape, sql, sqlstate):
    request, expected = SHAPES[shape](sql)
    wire.send(request)
    answers = [wire.until_ready() for _ in expected]
    assert [kinds(messages) for messages in answers] == expected
    assert {state for messages in answers for state in sqlstates(messages)} == {sqlstate}
    assert wire.status == "I"


@contextlib.contextmanager
def only_connection_held(seawall, table):
    """The only server connection to the primary has somebody else's transaction on it."""
    with wired(seawall) as holder:
        holder.ask(query("BEGIN"))
        holder.ask(query("INSERT INTO %s VALUES (100)" % table))
        yield
        assert tags(holder.ask(query("COMMIT"))) == ["COMMIT"]


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_T69_query_wait_timeout_brings_ready_for_query(cluster, impatient, table, shape):
    with wired(impatient) as wire:
        with only_connection_held(impatient, table):
            assert_refused(wire, shape, "DELETE FROM " + table, "53300")
        assert goes_on(wire)
    assert count(cluster.primary, table) == 4


def test_T69_query_wait_timeout_reaches_a_driver(impatient, table):
    with impatient.connect("app_trust") as mine:
        with only_connection_held(impatient, table):
            with pytest.raises(psycopg.errors.TooManyConnections):
                mine.execute("INSERT INTO %s VALUES (%%s)" % table, (101,))
        mine.execute("INSERT INTO %s VALUES (%%s)" % table, (102,))
        assert mine.execute("SELECT id FROM %s WHERE id > 100" % table).fetchall() == [(102,)]


@pytest.mark.parametrize("shape", ["a query", "a batch", "a batch of two", "Sync behind Flush"])
def test_T72_cancel_of_a_wait_brings_ready_for_query(cluster, narrow, table, shape):
    with wired(narrow) as wire:
        with only_connection_held(narrow, table):
            wire.send(SHAPES[shape]("DELETE FROM " + table)[0])
            wait_for_queue(narrow, 1)
            with Wire(narrow.host, narrow.port) as canceller:
                canceller.send(w.cancel(*wire.key))
                canceller.drain()
            messages = wire.until_ready()
            assert kinds(messages) == "EZ" and sqlstates(messages) == ["57014"]
        assert goes_on(wire)
    assert count(cluster.primary, table) == 4


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"Sync behind Flush"}))  # that one goes to the primary (T67)
def test_T69_no_replica_for_a_read_brings_ready_for_query(cluster, table, make_seawall, shape):
    seawall = make_seawall(cluster, nodes=[cluster.primary], config={"routing": {"fallback": "error"}})
    with wired(seawall) as wire:
        assert_refused(wire, shape, "SELECT * FROM " + table, "57P03")
        assert tags(wire.ask(batch("DELETE FROM %s WHERE id = 1" % table))) == ["DELETE 1"]


@pytest.fixture(scope="module")
def headless(cluster):
    """Knows replicas only."""
    seawall = Seawall(cluster, nodes=cluster.standbys,
                      config={"seawall": {"workers": 1, "query_wait_timeout": "600ms"}})
    seawall.start(wait_ready=False)

    def knows_replicas():
        try:
            return [row["role"] for row in seawall.console("SHOW NODES")] == ["replica"] * len(cluster.standbys)
        except psycopg.OperationalError:
            return False
    wait_until(knows_replicas, 10, "the replicas to be known")
    yield seawall
    seawall.stop()


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_T69_no_primary_brings_ready_for_query(headless, table, shape):
    with wired(headless) as wire:
        assert_refused(wire, shape, "DELETE FROM " + table, "57P03")
        assert answer(wire, "SHOW seawall.consistency") == ([[b"session"]], [])


@pytest.mark.parametrize("company", ["SET seawall.consistency = 'off'", "DISCARD ALL"])
def test_T69_a_statement_that_must_be_alone_brings_ready_for_query(narrow, company):
    with wired(narrow) as wire:
        for request in (batch(company, "SELECT 1"), batch("SELECT 1", company)):
            wire.send(query("SELECT 1"), request, query("SELECT 2"))
            assert [kinds(wire.until_ready()) for _ in range(3)] == ["TDCZ", "EZ", "TDCZ"]
        assert kinds(wire.ask(batch(company))) == "12CZ"
        assert goes_on(wire)


# -- errors of Seawall's own in a transaction fail it, as any other

REFUSED_IN_A_TRANSACTION = {
    "a value": (query("SET seawall.consistency = 'nonsense'"), "22023"),
    "a name": (query("SHOW seawall.no_such_thing"), "42704"),
    "SET LOCAL": (query("SET LOCAL seawall.consistency = 'off'"), "22023"),
    "a value, in a batch": (batch("SET seawall.consistency = 'nonsense'"), "22023"),
    "a setting among others": (batch("SELECT 1", "SET seawall.consistency = 'off'"), "0A000"),
    "DISCARD ALL among others": (batch("DISCARD ALL", "SELECT 1"), "0A000"),
}


@pytest.mark.parametrize("name", sorted(REFUSED_IN_A_TRANSACTION))
def test_T85_an_error_of_seawalls_own_fails_the_transaction(narrow, table, name):
    request, sqlstate = REFUSED_IN_A_TRANSACTION[name]
    with wired(narrow) as wire:
        wire.ask(query("BEGIN"))
        wire.ask(query("INSERT INTO %s VALUES (10)" % table))
        messages = wire.ask(request)
        assert kinds(messages).lstrip("12") == "EZ" and sqlstates(messages) == [sqlstate] and wire.status == "E"
        assert sqlstates(wire.ask(query("SELECT 1"))) == ["25P02"] and wire.status == "E"
        assert len(sqlstates(wire.ask(request))) == 1 and wire.status == "E"
        assert tags(wire.ask(query("COMMIT"))) == ["ROLLBACK"] and wire.status == "I"
        assert answer(wire, "SELECT count(*) FROM " + table) == ([[b"3"]], [])


def test_T85_a_savepoint_survives_an_error_of_seawalls_own(narrow, table):
    with wired(narrow) as wire:
        for sql, status in (("BEGIN", "T"), ("INSERT INTO %s VALUES (10)" % table, "T"), ("SAVEPOINT s", "T"),
                            ("INSERT INTO %s VALUES (11)" % table, "T"), ("SHOW seawall.no_such_thing", "E"),
                            ("ROLLBACK TO s", "T"), ("COMMIT", "I")):
            wire.ask(query(sql))
            assert wire.status == status, sql
        assert answer(wire, "SELECT id FROM %s WHERE id > 3" % table) == ([[b"10"]], [])


def test_T85_an_error_of_seawalls_own_in_a_transaction_on_a_replica(narrow, table):
    with wired(narrow) as wire:
        wire.ask(query("BEGIN READ ONLY"))
        assert answer(wire, "SELECT count(*) FROM " + table) == ([[b"3"]], [])
        wire.ask(query("SHOW seawall.no_such_thing"))
        assert wire.status == "E"
        assert tags(wire.ask(query("COMMIT"))) == ["ROLLBACK"] and goes_on(wire)


# -- small messages in odd places

def test_T66_a_lone_flush_asks_for_nothing(wire):
    wire.send(flush(), flush())
    assert goes_on(wire)
    assert kinds(wire.ask(flush(), sync())) == "Z"


def test_T66_a_lone_flush_keeps_no_server_connection(narrow):
    with wired(narrow) as mine, wired(narrow) as other:
        mine.send(flush())
        wait_until_read(narrow)
        assert answer(other, "SELECT 1" + ON_PRIMARY) == ([[b"1"]], [])
        assert goes_on(mine)


TOO_LONG = {name: kind + struct.pack("!i", length) + body for name, kind, length, body in (
    ("Execute", b"E", 50_000_000, b"portal"), ("Describe", b"D", 50_000_000, b"Sname"),
    ("Close", b"C", 10_001, b"Sname"), ("Sync", b"S", 10_001, b"more"), ("Flush", b"H", 10_001, b"more"))}


@pytest.mark.parametrize("behind", ["nothing", "Parse"])
@pytest.mark.parametrize("name", sorted(TOO_LONG))
def test_T77_a_small_message_that_is_long_is_refused_at_its_head(wire, server, name, behind):
    """PostgreSQL gives up at once, without waiting for what was announced, and without a word."""
    wire.send(parse("", "SELECT 1") if behind == "Parse" else b"", TOO_LONG[name])
    messages = wire.until_closed(5)
    assert "Z" not in kinds(messages)
    if isinstance(server, Seawall):
        assert sqlstates(messages) == ["08P01"]


def test_T77_the_longest_small_message_is_taken(wire):
    """10,000 bytes, its length included, as PostgreSQL counts."""
    longest = w.close("S", "n" * 9994)
    assert len(longest) == 1 + 10_000
    assert kinds(wire.ask(longest, sync())) == "3Z"


@pytest.mark.parametrize("request_of_it", [w.function_call(2077, [b"server_version"]), batch("SHOW VERSION"),
                                           query("SHOW VERSION -- " + "x" * 2_000_000)],
                         ids=["FunctionCall", "a batch", "a long query"])
def test_T22_the_console_refuses_what_needs_a_server(narrow, request_of_it):
    with Wire(narrow.host, narrow.port) as console:
        console.login(ADMIN, "seawall", ADMIN_PASSWORD)
        messages = console.ask(request_of_it)
        assert kinds(messages) == "EZ" and sqlstates(messages) == ["0A000"]
        assert kinds(console.ask(query("SHOW VERSION"))) == "TDCZ"
    assert [row for row in narrow.console("SHOW SERVERS") if row["database"] == "seawall"] == []


# -- settings: RESET ALL and DISCARD ALL in company, values and messages of any size

SEEN = "SELECT coalesce(current_setting('app.user_id', true), ''), coalesce(current_setting('app.tenant', true), '')"
WITH_RESET_ALL = {
    "then SET": ["RESET ALL", "SET app.user_id = 'alice'"],
    "behind SET": ["SET app.user_id = 'alice'", "RESET ALL"],
    "between two": ["SET app.user_id = 'alice'", "RESET ALL", "SET app.tenant = 'blue'"],
    "then set_config": ["RESET ALL", "SELECT set_config('app.user_id', 'alice', false)"],
    "then an error": ["RESET ALL", "SET app.user_id = 'alice'", "SELECT 1/0"],
    "in a transaction": ["BEGIN", "SET app.user_id = 'alice'", "RESET ALL", "SET app.tenant = 'blue'", "COMMIT"],
    "rolled back": ["BEGIN", "RESET ALL", "SET app.tenant = 'blue'", "ROLLBACK"],
}


@pytest.mark.parametrize("form", ["pipeline", "text"])
@pytest.mark.parametrize("name", sorted(WITH_RESET_ALL))
def test_T58_reset_all_among_others(cluster, narrow, name, form):
    def scenario(server):
        with wired(server) as mine:
            mine.ask(query("SET app.user_id = 'before'"))
            statements = WITH_RESET_ALL[name]
            messages = mine.ask(batch(*statements) if form == "pipeline" else query("; ".join(statements)))
            return sqlstates(messages), tags(messages), mine_and_next(server, mine, SEEN)
    assert same_as_direct(cluster, narrow, scenario)[2][1] == ([[b"", b""]], [])


@pytest.mark.parametrize("statements", [["DISCARD ALL", "CREATE TEMP TABLE leak (a int)"],
                                        ["DISCARD ALL", "SET app.user_id = 'alice'"], ["DISCARD ALL", "SELECT 1/0"],
                                        ["SELECT 1", "DISCARD ALL"]], ids="; ".join)
def test_T65_discard_all_among_others_harms_nobody(narrow, table, statements):
    with wired(narrow) as victim, wired(narrow) as mine:
        victim.ask(parse("kept", "INSERT INTO %s SELECT max(id) + 1 FROM %s" % (table, table)), sync())
        run = bind("", "kept") + execute() + sync()
        assert kinds(victim.ask(run)) == "2CZ"
        messages = mine.ask(batch(*statements))
        assert kinds(messages) == "EZ" and sqlstates(messages) == ["0A000"]
        assert kinds(victim.ask(run)) == "2CZ"
        assert answer(victim, SEEN) == ([[b"", b""]], [])
        assert sqlstates(victim.ask(query("SELECT * FROM leak FOR UPDATE"))) == ["42P01"]


def test_T65_discard_all_and_then_others_in_one_pipeline(narrow):
    """With Flush between them the first has run before the second is known."""
    with wired(narrow) as mine, wired(narrow) as victim:
        victim.ask(parse("kept", "SELECT 5" + ON_PRIMARY), sync())
        assert kinds(victim.ask(bind("", "kept"), execute(), sync())) == "2DCZ"
        mine.send(unsynced("DISCARD ALL"), flush())
        mine.until("CE")
        with contextlib.suppress(Closed):
            mine.send(batch("CREATE TEMP TABLE leak (a int)"))
            assert mine.until("E")
        mine.close()
        assert rows(victim.ask(bind("", "kept"), execute(), sync())) == [[b"5"]]
        assert sqlstates(victim.ask(query("SELECT * FROM leak FOR UPDATE"))) == ["42P01"]


def test_T68_a_setting_of_200_kB(cluster, narrow):
    """A round that asks for what holds now gets a row longer than any of its own."""
    def scenario(server):
        with wired(server) as mine:
            messages = mine.ask(query("SELECT set_config('app.user_id', repeat('x', 200000), false) IS NULL"))
            assert goes_on(mine)
            return kinds(messages), rows(messages), mine_and_next(
                server, mine, "SELECT coalesce(length(current_setting('app.user_id', true)), 0)")
    assert same_as_direct(cluster, narrow, scenario)[2][0] == ([[b"200000"]], [])


@pytest.mark.parametrize("size", [3000, 400_000])
@pytest.mark.parametrize("flushed", [False, True], ids=["whole batch", "behind Flush"])
def test_T59_a_bind_that_comes_in_pieces_leaks_no_setting(narrow, size, flushed):
    with wired(narrow) as mine:
        mine.ask(parse("set", "SELECT length(set_config('app.user_id', $1, false))"), sync())
        if flushed:
            mine.send(parse("", "SELECT 1" + ON_PRIMARY), flush())
            assert kinds(mine.until("1")) == "1"
        whole = bind("", "set", ["alice" + "x" * size])
        mine.send(whole[:2000])
        wait_until_read(narrow)
        assert rows(mine.ask(whole[2000:], execute(), sync())) == [[b"%d" % (5 + size)]]
        seen = mine_and_next(narrow, mine, "SELECT coalesce(left(current_setting('app.user_id', true), 5), '')")
        assert seen == (([[b"alice"]], []), ([[b""]], []))


@pytest.mark.parametrize("flushed", [False, True], ids=["whole batch", "behind Flush"])
@pytest.mark.parametrize("size", [1000, 400_000])
def test_T25_a_write_by_a_long_bind_is_read_by_its_session(healed, make_seawall, size, flushed):
    """No commit reaches the replicas for a minute: what the session reads there is the time before its write."""
    table = make_table(healed)
    for node in healed.standbys:
        node.set_delay(60_000)
    seawall = make_seawall(healed, config={"seawall": {"workers": 1}, "routing": {"max_lag": "2min"}})
    with wired(seawall) as mine:
        mine.ask(parse("insert", "INSERT INTO %s VALUES (10, $1)" % table), sync())

        def reads_on_a_replica():
            assert answer(mine, "SELECT count(*) FROM " + table) == ([[b"3"]], [])
            return rows(mine.ask(query("SHOW seawall.last_route")))[0][0] != b"pg1"
        wait_until(reads_on_a_replica, 10, "a replica to serve the session")
        if flushed:
            mine.send(parse("", "SELECT 1"), flush())
            mine.until("1")
        whole = bind("", "insert", ["x" * size])
        mine.send(whole[:500])
        wait_until_read(seawall)
        assert tags(mine.ask(whole[500:], execute(), sync())) == ["INSERT 0 1"]
        for _ in range(3):
            assert answer(mine, "SELECT count(*) FROM " + table) == ([[b"4"]], [])


def test_T68_a_setting_that_is_refused_is_told_to_its_session_alone(cluster, narrow):
    """Two sessions wait in line. The first one's settings can no longer be made, so the connection goes to the second
    from within the error."""
    name = unique("public.search")
    cluster.primary.execute("CREATE TEXT SEARCH CONFIGURATION %s (COPY = english)" % name)
    with wired(narrow) as first, wired(narrow) as second, wired(narrow) as holder:
        assert kinds(first.ask(query("SET default_text_search_config = '%s'" % name))) == "CZ"
        holder.ask(query("BEGIN"))
        assert answer(holder, "SELECT 1" + ON_PRIMARY) == ([[b"1"]], [])
        cluster.primary.execute("DROP TEXT SEARCH CONFIGURATION " + name)
        first.send(query("SELECT 'first'" + ON_PRIMARY))
        wait_for_queue(narrow, 1)
        second.send(batch("SELECT 'second'" + ON_PRIMARY))
        wait_for_queue(narrow, 2)
        holder.ask(query("COMMIT"))
        messages = first.until_ready()
        assert kinds(messages) == "EZ" and sqlstates(messages) == ["22023"]
        messages = second.until_ready()
        assert kinds(messages) == "12DCZ" and rows(messages) == [[b"second"]]
        assert goes_on(second) and goes_on(holder)


@pytest.mark.parametrize("mend", ["SET default_text_search_config = 'simple'", "RESET default_text_search_config",
                                  "RESET ALL", "DISCARD ALL"])
def test_T58_a_setting_that_is_refused_later_can_be_replaced(cluster, narrow, mend):
    name = unique("public.search")
    cluster.primary.execute("CREATE TEXT SEARCH CONFIGURATION %s (COPY = english)" % name)
    with wired(narrow) as mine, wired(narrow) as other:
        assert kinds(mine.ask(query("SET default_text_search_config = '%s'" % name))) == "CZ"
        assert answer(other, "SELECT 1" + ON_PRIMARY) == ([[b"1"]], [])  # it has the connection, without the setting
        cluster.primary.execute("DROP TEXT SEARCH CONFIGURATION " + name)
        mine.ask(query(mend))
        assert answer(mine, "SELECT 1" + ON_PRIMARY) == ([[b"1"]], [])


def test_T70_no_notification_is_lost_while_settings_change(cluster, narrow):
    """Each SET makes rounds of Seawall's own on the listener's server connection; notifications arrive meanwhile."""
    channel, total, failures = unique("channel"), 2000, []

    def notify():
        try:
            with cluster.primary.connect() as sender:
                for number in range(total):
                    sender.execute("NOTIFY %s, '%d'" % (channel, number))
        except psycopg.Error as error:  # reported below, from the main thread
            failures.append(error)
    with wired(narrow) as mine:
        mine.ask(query("LISTEN " + channel))
        sender = threading.Thread(target=notify)
        sender.start()
        messages = []
        while sender.is_alive():
            messages += mine.ask(query("SET work_mem = '%dkB'" % (1000 + len(messages) % 100)))
        sender.join()
        while sum(kind == "A" for kind, _ in messages) < total:
            messages.append(mine.receive())
        heard = [int(body[4:].split(b"\0")[1]) for kind, body in messages if kind == "A"]
    assert failures == [] and heard == list(range(total))


# -- prepared statements

DEALLOCATING = {
    "a text": query("DEALLOCATE ALL; SELECT 1"),
    "at the end of a text": query("SELECT 1; DEALLOCATE ALL"),
    "a transaction in a text": query("BEGIN; DEALLOCATE ALL; COMMIT"),
    "an error behind it": query("DEALLOCATE ALL; SELECT 1/0"),
    "a pipeline": batch("DEALLOCATE ALL", "SELECT 1"),
    "alone": query("DEALLOCATE ALL"),
    "alone in a batch": batch("DEALLOCATE ALL"),
    "DO": query("DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$"),
}


@pytest.mark.parametrize("name", sorted(DEALLOCATING))
def test_T65_deallocate_all_harms_nobody_else(narrow, table, name):
    with wired(narrow) as victim, wired(narrow) as later:
        victim.ask(parse("kept", "INSERT INTO %s SELECT max(id) + 1 FROM %s" % (table, table)), sync())
        run = bind("", "kept") + execute() + sync()
        assert kinds(victim.ask(run)) == "2CZ"
        with wired(narrow) as mine:
            mine.ask(DEALLOCATING[name])
        for _ in range(3):
            assert kinds(victim.ask(run)) == "2CZ"
        later.ask(parse("mine too", "INSERT INTO %s SELECT max(id) + 1 FROM %s" % (table, table)), sync())
        assert kinds(later.ask(bind("", "mine too"), execute(), sync())) == "2CZ"


@pytest.mark.parametrize("name", sorted(DEALLOCATING))
def test_T65_deallocate_all_ends_the_session_s_own(cluster, narrow, name):
    def scenario(server):
        with wired(server) as mine:
            mine.ask(parse("mine", "SELECT 1" + ON_PRIMARY), sync())
            assert kinds(mine.ask(bind("", "mine"), execute(), sync())) == "2DCZ"
            seen = [sqlstates(mine.ask(DEALLOCATING[name]))]
            seen.append(sqlstates(mine.ask(bind("", "mine"), execute(), sync())))
            seen.append(sqlstates(mine.ask(parse("mine", "SELECT 2" + ON_PRIMARY), sync())))
            seen.append(outcome(mine.ask(bind("", "mine"), execute(), sync())))
            return seen
    assert same_as_direct(cluster, narrow, scenario)[1] == ["26000"]


def test_T65_a_driver_deallocates_inside_a_pipeline(cluster, narrow):
    """psycopg keeps three statements and sends DEALLOCATE of others among its queries, with Flush and without Sync."""
    for server in (cluster.primary, narrow):
        with server.connect(user="app_trust", dbname="app", prepare_threshold=0) as mine:
            mine.prepared_max = 3
            with mine.pipeline():
                for number in range(20):
                    cursor = mine.execute("SELECT %d, %%s::int" % number, (number,))
                    if number % 4 == 3:
                        assert cursor.fetchone() == (number, number)


@pytest.mark.parametrize("text", ["DEALLOCATE {0}", "DEALLOCATE {0}; SELECT 1", "SELECT 1; DEALLOCATE PREPARE {0}",
                                  "DO $$BEGIN EXECUTE 'DEALLOCATE {0}'; END$$"])
def test_T65_deallocate_of_a_name_of_seawalls_own_harms_nobody(narrow, table, text):
    with wired(narrow) as victim:
        victim.ask(parse("kept", "INSERT INTO %s SELECT max(id) + 1 FROM %s" % (table, table)), sync())
        run = bind("", "kept") + execute() + sync()
        assert kinds(victim.ask(run)) == "2CZ"
        with wired(narrow) as mine:
            names = [name.decode() for name, in rows(mine.ask(query("SELECT name FROM pg_prepared_statements")))]
            assert names
            for name in names:
                mine.ask(query(text.format(name)))
        for _ in range(3):
            assert kinds(victim.ask(run)) == "2CZ"


READ_BY_PARSE = {  # two values of a setting that Parse reads constants by, and a statement with such a constant
    "TimeZone": ("UTC", "Asia/Tokyo", "SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::text"),
    "DateStyle": ("ISO, MDY", "ISO, DMY", "SELECT to_char('01/02/2024'::date, 'Month')"),
    "IntervalStyle": ("postgres", "sql_standard", "SELECT extract(epoch FROM '-1 2:03:04'::interval)::text"),
    "standard_conforming_strings": ("on", "off", "SELECT length('a\\nb')::text"),
    "transform_null_equals": ("off", "on", "SELECT (pg_advisory_xact_lock IS NULL)::text, (1 = NULL)::text"),
}


@pytest.mark.parametrize("plan", ["named", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("setting", sorted(READ_BY_PARSE))
def test_T61_a_plan_is_made_under_its_session_s_settings(cluster, narrow, setting, plan):
    one, two, sql = READ_BY_PARSE[setting]

    def scenario(server):
        seen = []
        with wired(server) as first, wired(server) as second:
            for wire, text in ((first, one), (second, two)):
                wire.ask(query("SET %s = '%s'" % (setting, text) if "," not in text else
                               "SET %s = %s" % (setting, text)))
                wire.ask(parse(plan, sql + ON_PRIMARY), sync())
            for wire in (first, second, second, first):
                seen.append(outcome(wire.ask(bind("", plan), execute(), sync())))
        return seen
    seen = same_as_direct(cluster, narrow, scenario)
    assert seen[0] != seen[1] and seen[0] == seen[3] and seen[1] == seen[2]


@pytest.mark.parametrize("plan", ["named", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("way", ["SET LOCAL {} = {}; COMMIT", "SET {} = {}; ROLLBACK",
                                 "SELECT set_config('{}', {}, true); COMMIT"], ids=["SET LOCAL", "SET", "set_config"])
@pytest.mark.parametrize("setting", sorted(READ_BY_PARSE))
def test_T61_a_plan_made_under_a_passing_setting_is_nobody_else_s(cluster, narrow, setting, way, plan):
    one, two, sql = READ_BY_PARSE[setting]
    change, end = way.format(setting, two if "," in two and "set_config" not in way else "'%s'" % two).split("; ")
    made, run = parse(plan, sql + ON_PRIMARY) + sync(), bind("", plan) + execute() + sync()

    def scenario(server):
        with wired(server) as first, wired(server) as second, wired(server) as third:
            for wire in (first, second, third):
                wire.ask(query("SET %s = %s" % (setting, one)))
            second.ask(made)
            seen = [outcome(second.ask(run))]
            for request in (query("BEGIN"), query(change), made):
                assert sqlstates(first.ask(request)) == []
            seen.append(outcome(first.ask(run)))
            first.ask(parse("end", end), bind("", "end"), execute(), sync())
            third.ask(made)
            seen += [outcome(wire.ask(run)) for wire in (third, second)]
            assert sqlstates(first.ask(run)) == []  # either value will do: the plan's, or one by what holds now
            return seen
    seen = same_as_direct(cluster, narrow, scenario)
    assert seen[0] == seen[2] == seen[3] != seen[1]


@pytest.fixture(scope="module")
def failing(cluster):
    """Procedures and functions that do something lasting and fail; the names of a table and a sequence for that."""
    table, sequence = unique("t"), unique("s")
    cluster.primary.execute("""
        CREATE TABLE {t} (a int); GRANT ALL ON {t} TO PUBLIC; CREATE SEQUENCE {s}; GRANT ALL ON {s} TO PUBLIC;
        CREATE PROCEDURE commit_and_fail(state text) LANGUAGE plpgsql AS $$BEGIN
            INSERT INTO {t} VALUES (1); COMMIT; RAISE EXCEPTION 'on purpose' USING ERRCODE = state; END$$;
        CREATE FUNCTION count_and_fail(state text) RETURNS int LANGUAGE plpgsql AS $$BEGIN
            PERFORM nextval('{s}'); RAISE EXCEPTION 'on purpose' USING ERRCODE = state; END$$;
        CREATE FUNCTION lock_and_fail() RETURNS int LANGUAGE plpgsql AS $$BEGIN
            PERFORM pg_advisory_lock(4243); RETURN 1/0; END$$;
        CREATE ROLE understudy; GRANT understudy TO app_trust
    """.format(t=table, s=sequence))
    cluster.wait_caught_up()
    return table, sequence


@pytest.mark.parametrize("sqlstate", ["0A000", "26000", "25006", "40001", "42P01", "55000"])
@pytest.mark.parametrize("form", ["prepared before", "one batch", "query"])
def test_T87_what_fails_like_a_stale_plan_runs_once(cluster, wire, failing, sqlstate, form):
    table, sequence = failing
    for sql, done in (("CALL commit_and_fail('%s')", "SELECT count(*) FROM " + table),
                      ("SELECT count_and_fail('%s')", "SELECT nextval('%s')" % sequence)):
        before = cluster.primary.value(done)
        if form == "query":
            messages = wire.ask(query(sql % sqlstate))
        else:
            name = unique("s")
            if form == "prepared before":
                assert kinds(wire.ask(parse(name, sql % sqlstate), sync())) == "1Z"
            messages = wire.ask(*() if form == "prepared before" else (parse(name, sql % sqlstate),), bind("", name),
                                execute(), sync())
        assert kinds(messages)[-2:] == "EZ" and sqlstates(messages) == [sqlstate]
        assert cluster.primary.value(done) == before + (1 if table in done else 2)  # nextval counts, too


def test_T64_who_heals_a_plan_keeps_his_place(cluster, table, make_seawall):
    """Two server connections hold the stale plan and a third client waits in line: the one that meets the stale plan
    prepares it anew where he is, instead of giving his connection to the third and meeting the other."""
    seawall = make_seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 2},
                                            "routing": {"consistency": "off"}})
    run = bind("", "s") + w.describe("P") + execute() + sync()
    with contextlib.ExitStack() as stack:
        mine, other, waiter = (stack.enter_context(wired(seawall)) for _ in range(3))
        lock, ddl = (stack.enter_context(cluster.primary.connect(autocommit=False)) for _ in range(2))
        for wire in (mine, other):
            wire.ask(parse("s", "SELECT * FROM %s WHERE id = 1" % table), sync())
            wire.ask(query("BEGIN"))
        for wire in (mine, other):
            assert rows(wire.ask(run)) == [[b"1", b"row 1"]]
        mine.ask(query("COMMIT"))
        lock.execute("SELECT pg_advisory_xact_lock(4711)")
        other.ask(query("COMMIT"))  # lets go of the table …
        other.ask(query("BEGIN"))  # … and holds its connection
        ddl.execute("ALTER TABLE %s ADD COLUMN extra int DEFAULT 7" % table)
        mine.send(run)
        waits = "SELECT count(*) FROM pg_locks WHERE relation = '%s'::regclass AND NOT granted" % table
        wait_until(lambda: cluster.primary.value(waits) == 1, 10, "the statement to wait for the table")
        waiter.send(query("SELECT 'waiter' FROM pg_advisory_xact_lock(4711)"))
        wait_for_queue(seawall, 1)
        ddl.commit()
        assert outcome(mine.until_ready(5)) == ([[b"1", b"row 1", b"7"]], [])
        lock.commit()
        assert rows(waiter.until_ready()) == [[b"waiter"]]
        other.ask(query("COMMIT"))
        assert outcome(other.ask(run)) == ([[b"1", b"row 1", b"7"]], [])


def test_T64_nobody_meets_a_stale_plan_under_load(cluster, table, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 4},
                                            "routing": {"consistency": "off"}})
    run = bind("", "s") + w.describe("P") + execute() + sync()
    with Crowd(seawall, 12, parse("s", "SELECT * FROM " + table) + sync(), run) as crowd:
        for number in range(4):
            cluster.primary.execute("ALTER TABLE %s ADD COLUMN extra_%d int" % (table, number))
            crowd.wait_more(20)
    assert crowd.failures == []


# -- what a failed text leaves behind stays its session's, and nobody else's

LEFT_BEHIND = {  # a text that ends in a division by zero, and a question whose answer tells what is left of it
    "DO that commits": (
        "DO $$BEGIN PERFORM set_config('app.user_id', 'alice', false); COMMIT; PERFORM 1/0; END$$", SEEN),
    "SET in a transaction": ("BEGIN; SET app.user_id = 'alice'; COMMIT; SELECT 1/0", SEEN),
    "SET ROLE": ("BEGIN; SET ROLE understudy; COMMIT; SELECT 1/0", "SELECT current_user::text" + ON_PRIMARY),
    "PREPARE": ("PREPARE p1 AS SELECT 1; SELECT 1/0", "EXECUTE p1"),
    "a temporary table": ("BEGIN; CREATE TEMP TABLE left_behind AS SELECT 7 AS a; COMMIT; SELECT 1/0",
                          "SELECT a FROM left_behind FOR UPDATE"),
    "a cursor": ("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 7; COMMIT; SELECT 1/0", "FETCH c"),
    "LISTEN": ("BEGIN; LISTEN left_behind; COMMIT; SELECT 1/0", "SELECT count(*) FROM pg_listening_channels()"),
    "a lock": ("SELECT pg_advisory_lock(4242); SELECT 1/0", "SELECT pg_advisory_unlock(4242)"),
    "a lock of a function": ("SELECT lock_and_fail()", "SELECT pg_advisory_unlock(4243)"),
    "a sequence": ("SELECT nextval('{s}'); SELECT 1/0", "SELECT lastval() > 0"),
}


@pytest.mark.parametrize("name", sorted(LEFT_BEHIND))
def test_T59_what_a_failed_text_leaves_behind_reaches_nobody_else(cluster, narrow, failing, name):
    sql, question = LEFT_BEHIND[name]

    def scenario(server):
        with wired(server) as mine:
            assert sqlstates(mine.ask(query(sql.replace("{s}", failing[1])))) == ["22012"]
            return mine_and_next(server, mine, question)
    mine, later = same_as_direct(cluster, narrow, scenario)
    assert mine[1] == [] and mine != later


def test_T73_a_lock_of_a_function_that_failed_is_held_as_long_as_its_session(cluster, wire, failing):
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4243"
    assert sqlstates(wire.ask(query("SELECT lock_and_fail()"))) == ["22012"]
    assert cluster.primary.value(held) == 1
    assert goes_on(wire)
    assert cluster.primary.value(held) == 1
    wire.close()
    wait_until(lambda: cluster.primary.value(held) == 0, 10, "the lock to go with its session")


# -- clients side by side

class Crowd(Crew):
    """Clients that ask the same again and again; .turns counts the answers of each, .failures has what was none."""

    def __init__(self, seawall, size, first, again):
        super().__init__(size)
        self.seawall, self.first, self.again = seawall, first, again
        self.turns, self.answers = [0] * size, set()

    def __enter__(self):
        super().__enter__()
        self.wait_more(1)
        return self

    def work(self, number):
        with wired(self.seawall, deadline=30) as wire, wired(self.seawall.cluster.primary) as aside:
            wire.ask(self.first)
            while not self.stopped.is_set():
                messages = wire.ask(self.again)
                self.failures += w.errors(messages)
                self.answers.update(cell for row in rows(messages) for cell in row)
                self.turns[number] += 1
                aside.ask(query("SELECT 1"))  # elsewhere: a moment without a query here

    def wait_more(self, turns, deadline=20):
        """Waits until each of them has had so many turns more."""
        targets = [had + turns for had in self.turns]

        def has_had_them():
            return self.failures or all(had >= target for had, target in zip(self.turns, targets))
        wait_until(has_had_them, deadline, "%d turns for each of %d clients" % (turns, len(targets)))


def test_T88_every_client_has_its_turn(cluster, make_seawall):
    """Clients of two workers share one server connection: it changes hands between the workers, too."""
    seawall = make_seawall(cluster, config={"seawall": {"workers": 2, "default_pool_size": 1,
                                                        "query_wait_timeout": "8s"},
                                            "routing": {"consistency": "off"}})
    with Crowd(seawall, 8, sync(), query("SELECT 1")) as crowd:
        crowd.wait_more(100)
    assert crowd.failures == []


def test_T79_a_busy_pool_keeps_its_connections(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 2},
                                            "routing": {"consistency": "off"}})
    with Crowd(seawall, 6, sync(), query("SELECT pg_backend_pid()")) as crowd:
        crowd.wait_more(400)
    assert crowd.failures == [] and len(crowd.answers) <= 2


# -- clients that leave, and nodes that do

@pytest.mark.parametrize("request_for", [query, batch], ids=["query", "batch"])
@pytest.mark.parametrize("farewell", [w.terminate(), b""], ids=["Terminate", "close"])
def test_a_write_of_a_client_that_leaves_takes_effect(cluster, server, table, request_for, farewell):
    waits = "SELECT count(*) FROM pg_locks WHERE relation = '%s'::regclass AND NOT granted" % table
    with cluster.primary.connect(autocommit=False) as lock:
        lock.execute("LOCK TABLE %s IN EXCLUSIVE MODE" % table)
        with wired(server) as wire:
            wire.send(request_for("INSERT INTO %s VALUES (10)" % table), farewell)
            wait_until(lambda: cluster.primary.value(waits) == 1, 10, "the write to wait for the table")
        if isinstance(server, Seawall):
            wait_until(lambda: not clients(server, user="app_trust"), 10, "the client to be gone")
        assert cluster.primary.value(waits) == 1
        lock.commit()
    wait_until(lambda: count(cluster.primary, table) == 4, 10, "the row to be there")


@pytest.mark.parametrize("cancelled", [False, True], ids=["a query", "a query and its cancel"])
def test_a_frozen_primary_does_not_keep_seawall_from_ending(healed, cancelled):
    table = make_table(healed)
    seawall = Seawall(healed, config={"seawall": {"workers": 1}}).start()
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* frozen */' AND pid <> pg_backend_pid()"
    try:
        with wired(seawall) as mine, wired(seawall) as gone:
            for wire in (mine, gone):
                wire.send(query("INSERT INTO %s SELECT 10 FROM pg_sleep_for('300s') /* frozen */" % table))
            wait_until(lambda: healed.primary.value(running) == 2, 10, "the queries to run")
            gone.close()
            healed.primary.sigstop()
            if cancelled:
                with Wire(seawall.host, seawall.port) as canceller:
                    canceller.send(w.cancel(*mine.key))
                    wait_until_read(seawall)
            seawall.stop(deadline=5)
    finally:
        seawall.kill()
        healed.primary.sigcont()
        healed.primary.execute(running.replace("count(*)", "pg_terminate_backend(pid)"))


class Promotion:
    """Another node was promoted while the old primary still runs and knows nothing of it; sessions were under way."""

    def __init__(self, cluster, seawall):
        self.cluster, self.seawall, self.table = cluster, seawall, make_table(cluster)
        self.old, self.new = cluster.primary, cluster.standbys[0]
        # Now, since nobody flushes what an open transaction has written: it would be waited for as well.
        cluster.wait_caught_up()
        insert = query("INSERT INTO %s VALUES (100)" % self.table)
        users = {"session mode": "app_trust", "LISTEN": "app", "open transaction": "app_md5", "holder": "bench",
                 "waiter": "bench"}
        self.sessions = {name: wired(seawall, user) for name, user in users.items()}
        delete = query("DELETE FROM %s WHERE id = 3" % self.table)
        assert tags(self.sessions["session mode"].ask(delete)) == ["DELETE 1"]
        self.sessions["LISTEN"].ask(query("LISTEN x"))
        for name in ("open transaction", "holder"):
            self.sessions[name].ask(query("BEGIN"))
        assert tags(self.sessions["open transaction"].ask(insert)) == ["INSERT 0 1"]
        self.sessions["waiter"].send(query("INSERT INTO %s VALUES (200)" % self.table))
        wait_for_queue(seawall, 1)
        self.new.promote()
        wait_until(self.is_seen, 10, "the new primary to be seen")

    def is_seen(self):
        return any(row["name"] == self.new.name and row["role"] == "primary"
                   for row in self.seawall.console("SHOW NODES"))


@pytest.fixture(scope="module")
def promotion():
    with Cluster(standbys=1) as cluster:
        with Seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 1},
                                      "users": {"app_trust": "pool_mode=session"}}) as seawall:
            yield Promotion(cluster, seawall)


@pytest.mark.parametrize("name", ["session mode", "LISTEN", "open transaction", "holder"])
def test_T80_T90_a_session_of_the_former_primary_ends_with_an_error(promotion, name):
    wire = promotion.sessions[name]
    with contextlib.suppress(Closed):  # it may have been told and ended already
        wire.send(query("INSERT INTO %s VALUES (300) RETURNING id" % promotion.table))
    messages = wire.until_closed()
    assert kinds(messages) == "E" and sqlstates(messages)[0] in ("08006", "08007")
    assert count(promotion.old, promotion.table, "id >= 100") == 0
    assert count(promotion.new, promotion.table, "id IN (100, 300)") == 0


def test_T90_a_write_that_waited_for_the_former_primary_goes_to_the_new_one(promotion):
    messages = promotion.sessions["waiter"].until_ready()
    assert tags(messages) == ["INSERT 0 1"] and sqlstates(messages) == []
    assert count(promotion.old, promotion.table, "id = 200") == 0
    assert count(promotion.new, promotion.table, "id = 200") == 1


def test_T80_T90_everybody_else_writes_to_the_new_primary(promotion):
    with wired(promotion.seawall, "app") as wire:
        assert tags(wire.ask(query("INSERT INTO %s VALUES (400)" % promotion.table))) == ["INSERT 0 1"]
    assert count(promotion.old, promotion.table, "id = 400") == 0
    assert count(promotion.new, promotion.table, "id = 400") == 1


# -- clients that prove nothing

@pytest.mark.parametrize("user", ["nobody", "app"])
def test_T77_databases_made_up_before_a_login_create_nothing(cluster, make_seawall, user):
    """Anybody can send a startup packet: what it names is kept when its client has proven who it is."""
    seawall = make_seawall(cluster, config={"seawall": {"workers": 1, "auth_type": "scram-sha-256"}})
    for number in range(50):
        with Wire(seawall.host, seawall.port) as wire:
            if number % 2 == 0:
                wire.send(w.startup({"user": user, "database": "made_up_%d" % number}))
                assert wire.receive()[0] == "R"
            else:
                with pytest.raises(w.ServerError) as refused:
                    wire.login(user, "made_up_%d" % number, "a wrong password")
                assert refused.value.sqlstate == "28P01"
    with seawall.connect("app") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        for command, column in (("SHOW DATABASES", "name"), ("SHOW POOLS", "database"), ("SHOW STATS", "database")):
            shown = [row[column] for row in seawall.console(command)]
            assert "app" in shown and [name for name in shown if name.startswith("made_up")] == [], command
