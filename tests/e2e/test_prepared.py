"""Prepared statements: what a client was told of one holds when it runs it; and batches that end without a Sync. Where a
scenario runs on the primary itself too, that run says what is right."""

import pytest

from lib import wire as w
from lib.proxy import Seawall
from lib.wait import wait_until
from lib.wire import Closed, Wire, bind, describe, execute, flush, kinds, parse, query, rows, sqlstates, sync, tags

ON_PRIMARY = " FROM pg_advisory_xact_lock(1)"  # behind a SELECT: it has to run on the primary, and leaves nothing


@pytest.fixture(scope="module")
def twin(cluster):
    """One worker, two server connections to the primary, which serves everything."""
    with Seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 2},
                                  "routing": {"consistency": "off"}}) as running:
        yield running


def wired(server):
    wire = Wire(server.host, server.port)
    wire.login("app_trust", "app")
    return wire


@pytest.fixture
def mine(server):
    with wired(server) as wire:
        yield wire


def types(messages):
    """The type of each column in the first RowDescription."""
    found = []
    for kind, body in messages:
        if kind == "T" and not found:
            at = 2
            for _ in range(int.from_bytes(body[:2], "big")):
                at = body.index(b"\0", at) + 1
                found.append(int.from_bytes(body[at + 6:at + 10], "big"))
                at += 18
    return found


def told_types(messages):
    """The types of parameters in the first ParameterDescription."""
    body = next(body for kind, body in messages if kind == "t")
    return [int.from_bytes(body[at:at + 4], "big") for at in range(2, len(body), 4)]


INT4, INT8, TEXT = 23, 20, 25
BLIND = bind("", "s") + execute() + sync()
SEEING = bind("", "s") + describe("P") + execute() + sync()


def alter(cluster, table):
    cluster.primary.execute("ALTER TABLE %s ALTER id TYPE bigint" % table)
    cluster.wait_caught_up()


# -- T64: rows that are others than the client was told

def test_T64_rows_that_have_changed_are_refused_to_who_does_not_ask(mine, cluster, table):
    """A driver that remembers the columns would read eight bytes as four."""
    assert types(mine.ask(parse("s", "SELECT id, note FROM %s" % table), describe("S", "s"), sync())) == [INT4, TEXT]
    assert sqlstates(mine.ask(BLIND)) == []
    alter(cluster, table)
    assert sqlstates(mine.ask(BLIND)) == ["0A000"]
    assert sqlstates(mine.ask(BLIND)) == ["0A000"]
    messages = mine.ask(parse("new", "SELECT id, note FROM %s" % table), describe("S", "new"), sync())
    assert types(messages) == [INT8, TEXT]
    assert len(rows(mine.ask(bind("", "new"), execute(), sync()))) == 3


@pytest.mark.parametrize("who, name", [  # what a portal of the unnamed statement has told is of its own batch
    ("statement", "s"), ("statement", ""), ("portal", "s")])
def test_T64_nor_where_the_statement_is_prepared_late(twin, cluster, table, who, name):
    """On a server connection that has never seen it the server alone would notice nothing."""
    ask = describe("S", name) if who == "statement" else bind("", name) + describe("P")
    with wired(twin) as session, wired(twin) as other:
        messages = session.ask(parse(name, "SELECT id, note FROM %s" % table), ask, sync())
        assert types(messages) == [INT4, TEXT]
        alter(cluster, table)
        other.ask(query("BEGIN"))  # on the connection that was used last
        assert sqlstates(session.ask(bind("", name), execute(), sync())) == ["0A000"]
        assert session.status == "I"
        other.ask(query("COMMIT"))
        assert sqlstates(session.ask(bind("", name), execute(), sync())) == ["0A000"]


def test_T64_and_in_a_transaction_it_is_the_transactions_end(twin, cluster, table):
    with wired(twin) as session, wired(twin) as other:
        session.ask(parse("s", "SELECT id FROM %s" % table), describe("S", "s"), sync())
        alter(cluster, table)
        other.ask(query("BEGIN"))
        session.ask(query("BEGIN"))
        assert sqlstates(session.ask(BLIND)) == ["0A000"]
        assert session.status == "E"
        assert sqlstates(session.ask(query("SELECT 1"))) == ["25P02"]
        assert tags(session.ask(query("COMMIT"))) == ["ROLLBACK"]
        other.ask(query("COMMIT"))


def test_T64_rows_that_have_not_changed_are_given(twin, cluster, table):
    """Prepared late, looked at once, and then no more."""
    with wired(twin) as session, wired(twin) as other:
        session.ask(parse("s", "SELECT id, note FROM %s" % table), describe("S", "s"), sync())
        cluster.primary.execute("ALTER TABLE %s ADD COLUMN extra int" % table)
        other.ask(query("BEGIN"))
        for _ in range(3):
            messages = session.ask(BLIND)
            assert kinds(messages) == "2DDDCZ" and len(rows(messages)) == 3
        other.ask(query("COMMIT"))
        assert len(rows(session.ask(BLIND))) == 3


def test_T64_a_blind_write_that_is_refused_has_written_nothing(twin, cluster, table):
    with wired(twin) as session, wired(twin) as other:
        sql = "INSERT INTO %s VALUES (10) RETURNING id" % table
        session.ask(parse("s", sql), describe("S", "s"), sync())
        alter(cluster, table)
        other.ask(query("BEGIN"))
        assert sqlstates(session.ask(BLIND)) == ["0A000"]
        other.ask(query("COMMIT"))
    assert cluster.primary.value("SELECT count(*) FROM %s WHERE id = 10" % table) == 0


def test_T64_who_asks_is_told_the_new_rows(twin, cluster, table):
    with wired(twin) as session, wired(twin) as other:
        session.ask(parse("s", "SELECT id FROM %s" % table), describe("S", "s"), sync())
        alter(cluster, table)
        for holds in (False, True):
            if holds:
                other.ask(query("BEGIN"))
            messages = session.ask(SEEING)
            assert sqlstates(messages) == [] and types(messages) == [INT8] and len(rows(messages)) == 3
        assert len(rows(session.ask(BLIND))) == 3  # it knows now
        other.ask(query("COMMIT"))
        assert len(rows(session.ask(BLIND))) == 3


def test_T64_one_is_told_and_the_other_is_not(twin, cluster, table):
    """The session that asks has the statement prepared anew; the one that does not must not read its rows unawares."""
    prepared = parse("s", "SELECT id FROM %s" % table) + describe("S", "s") + sync()
    with wired(twin) as asking, wired(twin) as knowing:
        assert types(asking.ask(prepared)) == types(knowing.ask(prepared)) == [INT4]
        alter(cluster, table)
        assert types(asking.ask(SEEING)) == [INT8]
        for _ in range(2):
            assert sqlstates(knowing.ask(BLIND)) == ["0A000"]
        assert types(knowing.ask(SEEING)) == [INT8]
        assert len(rows(knowing.ask(BLIND))) == 3


def test_T64_types_of_parameters_stay_what_was_told(twin, cluster, table):
    """A statement that is prepared late must not take the four bytes of an int4 for something else."""
    with wired(twin) as session, wired(twin) as other:
        told = session.ask(parse("s", "SELECT note FROM %s WHERE id = $1" % table), describe("S", "s"), sync())
        assert told_types(told) == [INT4]
        alter(cluster, table)
        other.ask(query("BEGIN"))
        messages = session.ask(bind("", "s", [b"\0\0\0\2"], formats=[1]), describe("P"), execute(), sync())
        assert rows(messages) == [[b"row 2"]] and sqlstates(messages) == []
        other.ask(query("COMMIT"))


@pytest.mark.parametrize("where", ["BEGIN", "COMMIT"])
def test_T64_a_new_session_is_not_given_a_plan_from_before_the_change(twin, cluster, table, where):
    """In a transaction there is no second try, so the first must be right."""
    prepared = parse("s", "SELECT * FROM %s" % table) + sync()
    with wired(twin) as old, wired(twin) as changing, wired(twin) as fresh:
        cluster.primary.execute("ALTER TABLE %s OWNER TO app_trust" % table)
        old.ask(prepared)
        old.ask(SEEING)
        assert sqlstates(changing.ask(query("ALTER TABLE %s ADD COLUMN extra int" % table))) == []
        fresh.ask(query(where))
        assert sqlstates(fresh.ask(prepared)) == []
        messages = fresh.ask(SEEING)
        assert sqlstates(messages) == [] and len(types(messages)) == 3
        fresh.ask(query("COMMIT"))


def test_T64_nor_in_the_transaction_that_changes_it(mine, cluster, table):
    cluster.primary.execute("ALTER TABLE %s OWNER TO app_trust" % table)

    def prepare(name):
        messages = mine.ask(parse(name, "SELECT * FROM " + table), describe("S", name), sync())
        return types(messages) or sqlstates(messages)
    assert prepare("one") == [INT4, TEXT]
    mine.ask(query("BEGIN"))
    for name, column in (("two", "a"), ("three", "b")):
        mine.ask(query("ALTER TABLE %s ADD COLUMN %s int" % (table, column)))
        assert prepare(name)[2:] == [INT4] * (ord(column) - ord("a") + 1)
    mine.ask(query("ROLLBACK"))
    assert prepare("four") == [INT4, TEXT]


# -- a Query or FunctionCall behind a batch without Sync

PREPARE = parse("s", "SELECT 1") + describe("S", "s") + flush()


@pytest.mark.parametrize("begin", [None, "BEGIN"])
@pytest.mark.parametrize("flushed", [True, False])
def test_a_query_behind_parse_ends_the_batch(mine, begin, flushed):
    if begin:
        mine.ask(query(begin))
    mine.send(parse("s", "SELECT 1"), describe("S", "s"), *[flush()] * flushed)
    if flushed:
        assert kinds(mine.until("T")) == "1tT"
    messages = mine.ask(query("SELECT 2"))
    assert kinds(messages) == ("" if flushed else "1tT") + "TDCZ" and rows(messages) == [[b"2"]]
    assert rows(mine.ask(bind("", "s"), execute(), sync())) == [[b"1"]]
    if begin:
        mine.ask(query("COMMIT"))


def test_a_query_behind_executes_is_of_their_transaction(mine, cluster, table):
    """Without a Sync between them an error of the query takes the rest along."""
    insert = parse("", "INSERT INTO %s VALUES (10)" % table) + bind() + execute()
    messages = mine.ask(insert, query("SELECT 1/0"))
    assert kinds(messages) == "12CEZ" and mine.status == "I"
    assert cluster.primary.value("SELECT count(*) FROM %s WHERE id = 10" % table) == 0
    messages = mine.ask(insert, query("INSERT INTO %s VALUES (11)" % table))
    assert kinds(messages) == "12CCZ"
    assert cluster.primary.value("SELECT count(*) FROM %s WHERE id IN (10, 11)" % table) == 2


def test_a_query_behind_an_error_is_skipped(mine):
    mine.send(parse("", "SELECT 1/count(*) FROM generate_series(1, 0)"), bind(), execute(), query("SELECT 2"), flush())
    assert kinds(mine.until("E")) == "12E"
    assert kinds(mine.ask(query("SELECT 3"), parse("", "SELECT 4"), sync())) == "Z"
    assert rows(mine.ask(query("SELECT 5"))) == [[b"5"]]


def test_a_query_behind_parse_that_fails_is_skipped(mine):
    mine.send(parse("", "SELEKT"), flush())
    assert kinds(mine.until("E")) == "E"
    assert kinds(mine.ask(query("SELECT 3"), parse("", "SELECT 4"), sync())) == "Z"
    assert mine.status == "I"
    assert rows(mine.ask(query("SELECT 5"))) == [[b"5"]]


def test_an_error_behind_flush_in_a_transaction(mine):
    mine.ask(query("BEGIN"))
    mine.send(parse("", "SELEKT"), flush())
    assert kinds(mine.until("E")) == "E"
    assert kinds(mine.ask(sync())) == "Z" and mine.status == "E"
    assert tags(mine.ask(query("COMMIT"))) == ["ROLLBACK"]


def test_copy_by_a_query_behind_executes(mine, cluster, table):
    insert = parse("", "INSERT INTO %s VALUES (10)" % table) + bind() + execute()
    mine.send(insert, query("COPY %s FROM STDIN" % table))
    assert kinds(mine.until("GE")) == "12CG"
    assert kinds(mine.ask(w.copy_data(b"11\tx\n"), w.copy_done())) == "CZ"
    assert cluster.primary.value("SELECT count(*) FROM %s WHERE id IN (10, 11)" % table) == 2
    assert rows(mine.ask(query("SELECT 5"))) == [[b"5"]]


def test_a_function_call_behind_a_batch(mine, cluster):
    oid = cluster.primary.value("SELECT 'int4pl(int, int)'::regprocedure::oid::int")
    insert = parse("", "SELECT 1") + bind() + execute()
    assert kinds(mine.ask(insert, w.function_call(oid, [b"1", b"2"]))) == "12DCVZ"
    assert rows(mine.ask(query("SELECT 5"))) == [[b"5"]]


@pytest.mark.parametrize("stray", [w.copy_data(b"x"), w.copy_done(), w.copy_fail("no")], ids=["d", "c", "f"])
def test_copy_messages_in_a_batch_are_passed_over(mine, stray):
    messages = mine.ask(parse("", "SELECT 1"), bind(), stray, execute(), sync())
    assert kinds(messages) == "12DCZ" and rows(messages) == [[b"1"]]


@pytest.mark.parametrize("behind", [PREPARE, parse("", "SELECT 1") + bind() + execute(), parse("", "SELEKT") + flush()],
                         ids=["prepared", "executed", "failed"])
def test_terminate_in_a_batch_is_an_ordinary_end(cluster, make_seawall, behind):
    seawall = make_seawall(cluster)
    with wired(seawall) as wire:
        wire.send(behind, w.terminate())
        wire.until_closed()
    wait_until(lambda: "ended: client" in seawall.log().split('database "app"')[-1], 5, "the end to be logged")


def test_an_unknown_message_in_a_batch(mine):
    mine.send(PREPARE, w.message("y"))
    with pytest.raises(Closed):
        mine.until_ready()


# -- prepared with Flush, outside of a transaction: the server connection is free

def test_prepare_with_flush_gives_the_server_connection_back(narrow):
    with wired(narrow) as preparing, wired(narrow) as other:
        preparing.send(PREPARE)
        assert kinds(preparing.until("T")) == "1tT"
        assert rows(other.ask(query("SELECT 'other'" + ON_PRIMARY))) == [[b"other"]]
        assert rows(preparing.ask(bind("", "s"), execute(), sync())) == [[b"1"]]
        assert kinds(preparing.ask(sync())) == "Z"


def test_prepare_with_flush_that_fails_gives_it_back_too(narrow):
    with wired(narrow) as preparing, wired(narrow) as other:
        preparing.send(parse("s", "SELEKT"), describe("S", "s"), flush())
        assert kinds(preparing.until("E")) == "E"
        assert rows(other.ask(query("SELECT 'other'" + ON_PRIMARY))) == [[b"other"]]
        assert kinds(preparing.ask(bind("", "s"), execute(), sync())) == "Z"
        assert rows(preparing.ask(query("SELECT 1"))) == [[b"1"]]


def test_a_reader_that_prepares_with_flush_reads_on_a_replica(narrow, table):
    with wired(narrow) as wire:
        def node():
            return rows(wire.ask(query("SHOW seawall.node")))[0][0]
        wire.send(parse("s", "SELECT count(*) FROM " + table), describe("S", "s"), flush())
        wire.until("T")
        assert node() in (b"pg2", b"pg3")
        assert rows(wire.ask(BLIND)) == [[b"3"]]
        assert node() in (b"pg2", b"pg3")


def test_settings_of_seawall_prepared_with_flush(narrow):
    with wired(narrow) as wire:
        wire.send(parse("s", "SHOW seawall.consistency"), describe("S", "s"), flush())
        assert kinds(wire.until("T")) == "1tT"
        messages = wire.ask(bind("", "s"), execute(), sync())
        assert kinds(messages) == "2DCZ" and rows(messages) == [[b"session"]]
        wire.send(parse("", "SET seawall.consistency = eventual"), describe("S"), flush())
        assert kinds(wire.until("n")) == "1tn"
        assert kinds(wire.ask(bind(), execute(), sync())) == "2CZ"
        assert rows(wire.ask(query("SHOW seawall.consistency"))) == [[b"eventual"]]


# -- RESET ALL at the end of a text: what drivers' pools send before they hand a connection on

@pytest.mark.parametrize("begin", ["SET work_mem = '7MB'", "BEGIN; SET work_mem = '7MB'; COMMIT"])
def test_T60_reset_all_at_the_end_of_a_text_pins_nothing(narrow, begin):
    with wired(narrow) as wire, wired(narrow) as other:
        wire.ask(query(begin))
        text = "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL"
        assert sqlstates(wire.ask(query(text))) == []
        assert rows(other.ask(query("SHOW work_mem"))) == [[b"4MB"]]
        assert rows(wire.ask(query("SHOW work_mem"))) == [[b"4MB"]]
        assert [row["pinned"] for row in narrow.console("SHOW CLIENTS") if row["database"] == "app"] == ["", ""]
