"""Batches of extended messages over server connections that are swapped: names, the unnamed statement, what an error
undoes, and whose statement is whose. Where a scenario runs on the primary itself too, that run says what is right."""

import pytest

from lib import wire as w
from lib.proxy import Seawall
from lib.wait import wait_until
from lib.wire import Wire, bind, close, describe, execute, flush, kinds, parse, query, rows, sqlstates, sync, tags


def swapped(cluster, **settings):
    """One worker, two server connections to the primary, which serves everything."""
    return Seawall(cluster, config={"seawall": dict({"workers": 1, "default_pool_size": 2}, **settings),
                                    "routing": {"consistency": "off"}})


@pytest.fixture(scope="module")
def twin(cluster):
    with swapped(cluster) as running:
        yield running


@pytest.fixture(scope="module")
def cramped(cluster):
    """A server connection keeps one statement."""
    with swapped(cluster, max_prepared_statements=1) as running:
        yield running


def wired(server, user="app_trust", **parameters):
    wire = Wire(server.host, server.port)
    wire.login(user, "app", **parameters)
    return wire


@pytest.fixture(params=["direct", "twin", "cramped"])
def server(request, cluster):
    return cluster.primary if request.param == "direct" else request.getfixturevalue(request.param)


@pytest.fixture
def mine(server):
    with wired(server) as wire:
        yield wire


def run(name=""):
    return bind("", name) + execute()


# -- what an error undoes

def test_an_unknown_statement_does_not_cost_the_next_in_line(mine):
    mine.ask(parse("s", "SELECT 1"), sync())
    assert sqlstates(mine.ask(run("nobody"), run("s"), sync())) == ["26000"]
    assert rows(mine.ask(run("s"), sync())) == [[b"1"]]


def test_a_close_that_was_skipped_has_closed_nothing(mine):
    mine.ask(parse("s", "SELECT 1"), sync())
    assert sqlstates(mine.ask(parse("", "SELEKT"), close("S", "s"), sync())) == ["42601"]
    assert rows(mine.ask(run("s"), sync())) == [[b"1"]]
    assert sqlstates(mine.ask(parse("", "SELEKT"), close("S", "s"), parse("s", "SELECT 2"), sync())) == ["42601"]
    assert rows(mine.ask(run("s"), sync())) == [[b"1"]]


def test_a_parse_of_the_unnamed_that_was_skipped(mine):
    mine.ask(parse("", "SELECT 1"), sync())
    assert sqlstates(mine.ask(parse("x", "SELEKT"), parse("", "SELECT 2"), sync())) == ["42601"]
    assert rows(mine.ask(run(), sync())) == [[b"1"]]


def test_a_parse_of_the_unnamed_that_failed_leaves_none(mine):
    mine.ask(parse("", "SELECT 1"), sync())
    assert sqlstates(mine.ask(parse("", "SELEKT"), parse("", "SELECT 2"), sync())) == ["42601"]
    assert sqlstates(mine.ask(run(), sync())) == ["26000"]


def test_a_close_of_the_unnamed_that_was_skipped(mine):
    mine.ask(parse("", "SELECT 1"), sync())
    assert sqlstates(mine.ask(parse("x", "SELEKT"), close("S", ""), sync())) == ["42601"]
    assert rows(mine.ask(run(), sync())) == [[b"1"]]


def test_room_that_was_not_made(mine):
    mine.ask(parse("one", "SELECT 1"), sync())
    assert sqlstates(mine.ask(parse("", "SELEKT"), parse("two", "SELECT 2"), sync())) == ["42601"]
    assert rows(mine.ask(run("one"), sync())) == [[b"1"]]
    assert sqlstates(mine.ask(run("two"), sync())) == ["26000"]
    assert rows(mine.ask(run("one"), sync())) == [[b"1"]]


def test_an_error_speaks_of_the_statement_that_failed(mine):
    def message(*batch):
        return [fields["M"] for fields in w.errors(mine.ask(*batch, sync()))]
    mine.ask(parse("s", "SELECT 1"), parse("t", "SELECT 2"), sync())
    assert message(run("nobody"), run("s")) == ['prepared statement "nobody" does not exist']
    assert message(run("s"), parse("s", "SELECT 3"), run("t")) == ['prepared statement "s" already exists']


def test_an_error_comes_behind_what_came_before_it(mine):
    messages = mine.ask(parse("", "SELECT 1"), run(), run("nobody"), sync())
    assert kinds(messages) == "12DCEZ" and sqlstates(messages) == ["26000"]


# -- DEALLOCATE of what Seawall keeps

def test_T65_deallocate_under_a_name_that_is_taken(mine):
    for behind in (b"", parse("", "SELECT 2") + run()):
        mine.ask(parse("s", "SELECT 1"), sync())
        assert sqlstates(mine.ask(parse("s", "DEALLOCATE ALL"), run("s"), behind, sync())) == ["42P05"]
        assert rows(mine.ask(run("s"), sync())) == [[b"1"]]
        mine.ask(close("S", "s"), sync())


def test_T65_deallocate_all_that_is_only_prepared_deallocates_nothing(mine):
    mine.ask(query("PREPARE held AS SELECT 0"))
    mine.ask(parse("s", "SELECT 1"), sync())
    assert sqlstates(mine.ask(parse("", "DEALLOCATE ALL"), sync())) == []
    assert rows(mine.ask(run("s"), sync())) == [[b"1"]]
    assert sqlstates(mine.ask(parse("x", "SELEKT"), parse("", "DEALLOCATE ALL"), run(), sync())) == ["42601"]
    assert rows(mine.ask(run("s"), sync())) == [[b"1"]]


def test_T65_deallocate_where_the_server_has_statements_of_its_own(mine):
    mine.ask(query("PREPARE held AS SELECT 0"))
    mine.ask(parse("s", "SELECT 1"), sync())
    assert tags(mine.ask(query("DEALLOCATE s"))) == ["DEALLOCATE"]
    assert sqlstates(mine.ask(run("s"), sync())) == ["26000"]
    assert tags(mine.ask(query("DEALLOCATE held"))) == ["DEALLOCATE"]


def test_T65_deallocate_in_a_failed_transaction(mine):
    mine.ask(parse("s", "SELECT 1"), sync())
    mine.ask(query("BEGIN"))
    mine.ask(query("SELEKT"))
    assert sqlstates(mine.ask(parse("", "DEALLOCATE s"), run(), close("P", "none"), sync())) == ["25P02"]
    mine.ask(query("ROLLBACK"))
    assert rows(mine.ask(run("s"), sync())) == [[b"1"]]


def test_T65_deallocate_destroys_the_unnamed_statement_like_any_query(mine):
    mine.ask(parse("s", "SELECT 1"), parse("", "SELECT 2"), sync())
    mine.ask(query("DEALLOCATE s"))
    assert sqlstates(mine.ask(run(), sync())) == ["26000"]


def test_T65_a_portal_that_is_not_of_the_deallocate(mine):
    assert sqlstates(mine.ask(execute("p"), parse("", "DEALLOCATE ALL"), sync())) == ["34000"]


# -- answers in their turn

def test_close_behind_execute_with_flush_is_answered(mine):
    mine.ask(parse("s", "SELECT 1"), sync())
    mine.send(run("s"), close("S", "s"), flush())
    assert kinds(mine.until("3")) == "2DC3"
    assert kinds(mine.ask(sync())) == "Z"


def test_a_query_behind_close_behind_execute(mine):
    mine.ask(parse("s", "SELECT 1"), sync())
    messages = mine.ask(run("s"), close("S", "s"), query("SELECT 2"))
    assert kinds(messages) == "2DC3TDCZ" and rows(messages) == [[b"1"], [b"2"]]


# -- rows that were told

def test_describe_of_another_statement_between_bind_and_describe_of_the_portal(mine):
    mine.ask(parse("one", "SELECT 1"), parse("two", "SELECT 'a'"), sync())
    messages = mine.ask(bind("", "one"), describe("S", "two"), describe("P"), execute(), sync())
    assert kinds(messages) == "2tTTDCZ"
    assert rows(mine.ask(run("one"), sync())) == [[b"1"]]
    assert rows(mine.ask(run("two"), sync())) == [[b"a"]]


def test_a_statement_that_is_stale_does_not_make_its_neighbour_so(mine, cluster, table):
    mine.ask(parse("one", "SELECT id FROM %s" % table), describe("S", "one"), parse("two", "SELECT 2"),
             describe("S", "two"), sync())
    assert sqlstates(mine.ask(run("one"), run("two"), sync())) == []
    cluster.primary.execute("ALTER TABLE %s ALTER id TYPE bigint" % table)
    assert sqlstates(mine.ask(run("one"), run("two"), sync())) == ["0A000"]
    assert rows(mine.ask(run("two"), sync())) == [[b"2"]]
    assert rows(mine.ask(run("two"), sync())) == [[b"2"]]


def test_a_stale_statement_is_prepared_anew_under_its_name_in_one_batch(mine, cluster, table):
    select = "SELECT id FROM %s" % table
    mine.ask(parse("s", select), describe("S", "s"), sync())
    cluster.primary.execute("ALTER TABLE %s ALTER id TYPE bigint" % table)
    assert sqlstates(mine.ask(run("s"), sync())) == ["0A000"]
    messages = mine.ask(close("S", "s"), parse("s", select), run("s"), sync())
    assert sqlstates(messages) == [] and len(rows(messages)) == 3


def test_statements_that_were_told_run_in_one_batch(mine):
    """More of them than a server connection keeps."""
    mine.ask(*[parse("s%d" % n, "SELECT %d" % n) + describe("S", "s%d" % n) for n in range(3)], sync())
    messages = mine.ask(*[run("s%d" % n) for n in range(3)], sync())
    assert rows(messages) == [[b"0"], [b"1"], [b"2"]]


# -- the unnamed statement on server connections that are swapped

def test_T62_the_unnamed_statement_is_the_last_one(twin):
    with wired(twin) as mine, wired(twin) as other:
        other.ask(parse("begin", "BEGIN"), parse("commit", "COMMIT"), sync())
        for told in (b"", describe("S")):
            mine.ask(parse("", "SELECT 1"), told, sync())
            other.ask(run("begin"), sync())  # on the connection that was used last
            mine.ask(parse("", "SELECT 2"), told, sync())
            for end in ("commit", "begin", "commit"):
                assert rows(mine.ask(run(), sync())) == [[b"2"]]
                other.ask(run(end), sync())
            assert rows(mine.ask(run(), sync())) == [[b"2"]]


# -- whose statement

def columns(messages):
    found = []
    for kind, body in messages:
        if kind == "T":
            at = 2
            for _ in range(int.from_bytes(body[:2], "big")):
                at = body.index(b"\0", at) + 1
                found.append(int.from_bytes(body[at + 6:at + 10], "big"))
                at += 18
    return found


INT4, TEXT = 23, 25


def apart(twin, cluster, table, first, second):
    """Two sessions to whom one text means two tables: (id int) and (id text)."""
    prepare = parse("s", "SELECT id FROM %s WHERE id = $1" % table) + describe("S", "s") + sync()
    see = bind("", "s", ["2"]) + describe("P") + execute() + sync()
    blind = bind("", "s", ["2"]) + execute() + sync()
    for _ in range(2):
        for session, kind in ((first, INT4), (second, TEXT)):
            messages = session.ask(prepare)
            assert sqlstates(messages) == [] and columns(messages) == [kind]
        for ask in (blind, see, blind):
            for session in (first, second):
                messages = session.ask(ask)
                assert sqlstates(messages) == [] and rows(messages) == [[b"2"]]
        for session in (first, second):
            session.ask(close("S", "s"), sync())


def test_T61_what_a_temporary_table_hides(twin, cluster, table):
    with wired(twin) as first, wired(twin) as second:
        second.ask(query("CREATE TEMP TABLE %s (id text); INSERT INTO %s VALUES ('2')" % (table, table)))
        apart(twin, cluster, table, first, second)


@pytest.fixture
def schema(cluster, table):
    """In a schema of its own, a table of the same name with another column."""
    cluster.primary.execute("CREATE SCHEMA s_%s; GRANT USAGE ON SCHEMA s_%s TO PUBLIC;"
                            "CREATE TABLE s_%s.%s (id text); INSERT INTO s_%s.%s VALUES ('2');"
                            "GRANT ALL ON s_%s.%s TO PUBLIC" % ((table,) * 8))
    cluster.wait_caught_up()
    return "s_" + table


def test_T61_search_paths(twin, cluster, table, schema):
    with wired(twin) as first, wired(twin, search_path=schema) as second:
        apart(twin, cluster, table, first, second)


def test_T61_search_paths_that_were_set(twin, cluster, table, schema):
    with wired(twin) as first, wired(twin) as second:
        second.ask(query("SET search_path = " + schema))
        apart(twin, cluster, table, first, second)


def test_T61_users(twin, cluster, table, schema):
    cluster.primary.execute("ALTER ROLE app SET search_path = " + schema)
    try:
        with wired(twin) as first, wired(twin, "app") as second:
            apart(twin, cluster, table, first, second)
    finally:
        cluster.primary.execute("ALTER ROLE app RESET search_path")


# -- the question what the rows are (T64) is cancelled, lost, or answered by a replica that is behind

@pytest.fixture
def blocked(twin, cluster, table):
    """A session whose question waits for a lock; the statement was told on another server connection."""
    with wired(twin) as mine, wired(twin) as other:
        other.ask(parse("begin", "BEGIN"), parse("commit", "COMMIT"), sync())
        mine.ask(parse("s", "SELECT id FROM %s" % table), describe("S", "s"), sync())
        other.ask(run("begin"), sync())
        with cluster.primary.connect() as holder:
            holder.execute("BEGIN")
            holder.execute("LOCK TABLE %s" % table)
            mine.send(run("s"), sync())
            wait_until(lambda: waiting(cluster, table), 5, "the question to wait")
            yield mine, holder
        other.ask(run("commit"), sync())


def waiting(cluster, table):
    return cluster.primary.value("SELECT max(pid) FROM pg_locks WHERE NOT granted AND relation = '%s'::regclass" % table)


def test_T72_a_cancel_reaches_the_question(blocked, twin):
    mine, holder = blocked
    with Wire(twin.host, twin.port) as canceller:
        canceller.send(w.cancel(*mine.key))
        canceller.drain()
    assert sqlstates(mine.until_ready()) == ["57014"] and mine.status == "I"
    holder.execute("ROLLBACK")
    assert len(rows(mine.ask(run("s"), sync()))) == 3


def test_the_server_connection_is_lost_amid_the_question(blocked, cluster, table):
    mine, holder = blocked
    cluster.primary.value("SELECT pg_terminate_backend(%d)" % waiting(cluster, table))
    holder.execute("ROLLBACK")
    messages = mine.until_ready()
    assert len(rows(messages)) == 3 or sqlstates(messages) == ["57P01"]
    assert len(rows(mine.ask(run("s"), sync()))) == 3


def test_a_client_leaves_amid_the_question(blocked, twin, cluster, table):
    mine, holder = blocked
    mine.close()
    holder.execute("ROLLBACK")
    with wired(twin) as fresh:
        assert rows(fresh.ask(query("SELECT 1"))) == [[b"1"]]


@pytest.fixture(scope="module")
def lagging(own_cluster):
    """One replica, whose replay a test may pause."""
    nodes = [own_cluster.primary, own_cluster.standbys[0]]
    with Seawall(own_cluster, nodes=nodes, config={"seawall": {"workers": 1, "default_pool_size": 1},
                                                   "monitor": {"catalog_refresh": "1s"},
                                                   "routing": {"consistency": "eventual"}}) as running:
        yield running


def test_T57_a_replica_that_is_behind_has_not_the_last_word(lagging, own_cluster):
    """Told on the primary, run without asking on a replica that does not know of the table yet, or of its columns."""
    replica = own_cluster.standbys[0]
    own_cluster.primary.execute("CREATE TABLE behind (id int); GRANT ALL ON behind TO PUBLIC; INSERT INTO behind VALUES (1)")
    own_cluster.wait_caught_up()
    for change in ("ALTER TABLE behind ALTER id TYPE bigint", "ALTER TABLE behind RENAME TO after"):
        replica.pause_replay()
        own_cluster.primary.execute(change)
        name = change.split()[-1] if "RENAME" in change else "behind"
        with wired(lagging) as wire:
            wire.ask(query("BEGIN"))  # on the primary
            assert sqlstates(wire.ask(parse("s", "SELECT id FROM " + name), describe("S", "s"), sync())) == []
            wire.ask(query("COMMIT"))
            for _ in range(2):
                assert rows(wire.ask(run("s"), sync())) == [[b"1"]]
            assert rows(wire.ask(query("SHOW seawall.node"))) == [[b"pg1"]]
        replica.resume_replay()
        own_cluster.wait_caught_up()


# -- types of parameters that have changed, by a change that Seawall has not seen

INT8 = 20


def told(messages):
    """Types of parameters, or error codes."""
    return [int.from_bytes(body[2:6], "big") for kind, body in messages if kind == "t"] or sqlstates(messages)


def ask_types(name, table):
    return parse(name, "SELECT note FROM %s WHERE id = $1" % table) + describe("S", name) + sync()


def test_types_that_cannot_be_do_not_stay(twin, cluster, table):
    """An old session still has the statement; a new one is not refused for good."""
    with wired(twin) as old:
        assert told(old.ask(ask_types("s", table))) == [INT4]
        cluster.primary.execute("ALTER TABLE %s ALTER id TYPE text" % table)
        with wired(twin) as fresh:
            fresh.ask(ask_types("s", table))
            assert told(fresh.ask(ask_types("again", table))) == [TEXT]
            assert rows(fresh.ask(bind("", "again", ["2"]), execute(), sync())) == [[b"row 2"]]


def test_types_that_the_unnamed_statement_is_told_hold(twin, cluster, table):
    """Also where an old session was told others, and the statement is prepared late on another server connection."""
    with wired(twin) as old, wired(twin) as fresh, wired(twin) as other:
        other.ask(parse("begin", "BEGIN"), parse("commit", "COMMIT"), sync())
        assert told(old.ask(ask_types("", table))) == [INT4]
        cluster.primary.execute("ALTER TABLE %s ALTER id TYPE bigint" % table)
        assert told(fresh.ask(ask_types("", table))) == [INT8]
        two = bind("", "", [(2).to_bytes(8, "big")], formats=[1]) + execute() + sync()
        for end in ("begin", "commit"):
            other.ask(run(end), sync())
            assert rows(fresh.ask(two)) == [[b"row 2"]]


def test_types_are_told_anew_after_the_lifetime_of_a_server_connection(cluster, make_seawall, table):
    seawall = make_seawall(cluster, config={"seawall": {"workers": 1, "server_lifetime": "1s"},
                                            "routing": {"consistency": "off"}})
    with wired(seawall) as old:
        assert told(old.ask(ask_types("s", table))) == [INT4]
        cluster.primary.execute("ALTER TABLE %s ALTER id TYPE bigint" % table)

        def fresh():
            with wired(seawall) as wire:
                return told(wire.ask(ask_types("s", table)))
        wait_until(lambda: fresh() == [INT8], 10, "the new types to be told")
        assert sqlstates(old.ask(bind("", "s", [(2).to_bytes(4, "big")], formats=[1]), execute(), sync())) == []


# -- replicas

def test_T57_prepared_with_flush_on_a_replica_that_does_not_know_the_table_yet(lagging, own_cluster):
    """Its answer is dropped up to the end that Seawall has put in, and the batch runs on the primary."""
    replica = own_cluster.standbys[0]
    replica.pause_replay()
    try:
        own_cluster.primary.execute("CREATE TABLE later (id int); GRANT ALL ON later TO PUBLIC; INSERT INTO later VALUES (1)")
        with wired(lagging) as wire:
            wire.send(parse("s", "SELECT id FROM later"), describe("S", "s"), flush())
            assert kinds(wire.until("TE")) == "1tT"
            assert rows(wire.ask(run("s"), sync())) == [[b"1"]]
            wire.send(parse("t", "SELECT nothing FROM later"), describe("S", "t"), flush())
            assert kinds(wire.until("TE")) == "E"
            assert kinds(wire.ask(run("s"), sync())) == "Z"
            assert rows(wire.ask(run("s"), sync())) == [[b"1"]]
    finally:
        replica.resume_replay()


def test_a_warning_that_only_looks_like_a_servers_end(lagging, own_cluster):
    own_cluster.primary.execute("CREATE FUNCTION cry_wolf() RETURNS int STABLE LANGUAGE plpgsql AS "
                                "$$BEGIN RAISE WARNING 'wolf' USING ERRCODE = '57P02'; RETURN 1; END$$;"
                                "CREATE FUNCTION sheep() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'")
    own_cluster.wait_caught_up()
    with wired(lagging) as wire:
        def is_known():
            wire.ask(query("DISCARD ALL"))
            wire.ask(query("SELECT sheep()"))
            return rows(wire.ask(query("SHOW seawall.node"))) == [[b"pg2"]]
        wait_until(is_known, 20, "the catalog to be read")
        for ask in (query("SELECT cry_wolf()"), parse("", "SELECT cry_wolf()") + run() + sync()):
            assert rows(wire.ask(ask)) == [[b"1"]]


def test_T57_a_statement_that_fails_on_a_replica_behind_its_parse_runs_on_the_primary(lagging, own_cluster):
    replica = own_cluster.standbys[0]
    own_cluster.primary.execute("CREATE TABLE moved (id int); GRANT ALL ON moved TO PUBLIC; INSERT INTO moved VALUES (1)")
    own_cluster.wait_caught_up()
    with wired(lagging) as first, wired(lagging) as wire:
        assert sqlstates(first.ask(parse("s", "SELECT id FROM moved"), run("s"), sync())) == []
        own_cluster.primary.execute("ALTER TABLE moved RENAME TO elsewhere")
        own_cluster.wait_caught_up()
        replica.pause_replay()
        own_cluster.primary.execute("ALTER TABLE elsewhere RENAME TO moved")
        try:
            messages = wire.ask(parse("s", "SELECT id FROM moved"), run("s"), sync())
            assert kinds(messages) == "12DCZ" and rows(messages) == [[b"1"]]
        finally:
            replica.resume_replay()
