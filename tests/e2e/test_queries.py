"""Both query protocols through Seawall and, to prove the expectations, straight to the server."""

import threading

import psycopg
import pytest

from lib import wire as w
from lib.wait import wait_until
from lib.wire import PROTOCOL_3_0, Wire, bind, describe, execute, flush, kinds, parse, query, rows, sqlstates, sync, tags


def run(wire, sql):
    return wire.ask(query(sql))


# -- simple protocol

def test_simple_query(wire):
    messages = run(wire, "SELECT 1 AS one, NULL, 'text'")
    assert kinds(messages) == "TDCZ"
    assert rows(messages) == [[b"1", None, b"text"]]
    assert tags(messages) == ["SELECT 1"] and wire.status == "I"


@pytest.mark.parametrize("sql", ["", ";", "-- nothing", "/* nothing */ ; ;"])
def test_empty_query(wire, sql):
    assert kinds(run(wire, sql)) == "IZ"


def test_T9_several_statements_in_one_query(wire, table):
    messages = run(wire, "SELECT 1; INSERT INTO %s VALUES (10); SELECT count(*) FROM %s" % (table, table))
    assert kinds(messages) == "TDCCTDCZ"
    assert rows(messages) == [[b"1"], [b"4"]]
    assert tags(messages) == ["SELECT 1", "INSERT 0 1", "SELECT 1"]


def test_T9_several_statements_are_one_transaction(wire, table):
    messages = run(wire, "INSERT INTO %s VALUES (10); SELECT 1/0; INSERT INTO %s VALUES (11)" % (table, table))
    assert kinds(messages) == "CEZ" and sqlstates(messages) == ["22012"]
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"3"]]


def test_T27_transaction_status(wire, table):
    assert run(wire, "BEGIN") and wire.status == "T"
    assert run(wire, "SELECT 1") and wire.status == "T"
    assert sqlstates(run(wire, "SELECT 1/0")) == ["22012"] and wire.status == "E"
    assert sqlstates(run(wire, "SELECT 1")) == ["25P02"] and wire.status == "E"
    assert tags(run(wire, "COMMIT")) == ["ROLLBACK"] and wire.status == "I"


def test_T76_rollback_to_savepoint_keeps_the_transaction(wire, table):
    run(wire, "BEGIN")
    run(wire, "INSERT INTO %s VALUES (10)" % table)
    run(wire, "SAVEPOINT s")
    run(wire, "INSERT INTO %s VALUES (10)" % table)
    assert wire.status == "E"
    run(wire, "ROLLBACK TO s")
    assert wire.status == "T"
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"4"]]
    run(wire, "INSERT INTO %s VALUES (11)" % table)
    run(wire, "COMMIT")
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"5"]]


def test_T26_commit_and_chain(wire, table):
    run(wire, "BEGIN")
    run(wire, "INSERT INTO %s VALUES (10)" % table)
    assert run(wire, "COMMIT AND CHAIN") and wire.status == "T"
    run(wire, "INSERT INTO %s VALUES (11)" % table)
    assert run(wire, "ROLLBACK AND CHAIN") and wire.status == "T"
    assert run(wire, "COMMIT") and wire.status == "I"
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"4"]]


@pytest.mark.parametrize("sql, sqlstate", [
    ("SELECT * FROM no_such_table", "42P01"), ("SELEC 1", "42601"), ("SELECT no_such_function()", "42883"),
    ("SELECT 1/0", "22012"), ("SELECT 'x'::int", "22P02"), ("COMMIT; SELECT 1/0", "22012"),
    ("SET no_such_setting = 1", "42704"), ("SELECT $1", "42P02"),
])
def test_errors_arrive_as_they_are(wire, sql, sqlstate):
    messages = run(wire, sql)
    assert sqlstates(messages) == [sqlstate] and wire.status == "I"
    assert rows(run(wire, "SELECT 1")) == [[b"1"]]


def test_error_fields_are_the_server_s(cluster, seawall, table):
    seen = []
    for server in (cluster.primary, seawall):
        with Wire(server.host, server.port) as wire:
            wire.login("app_trust", "app")
            seen.append(w.errors(run(wire, "INSERT INTO %s VALUES (1)" % table))[0])
    assert seen[0] == seen[1] and seen[0]["C"] == "23505" and seen[0]["t"] == table


def test_notices(wire):
    messages = run(wire, "DO $$BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'there'; END$$")
    assert kinds(messages) == "CZ"
    assert [(n["S"], n["M"]) for n in wire.notices] == [("NOTICE", "hello"), ("WARNING", "there")]


def test_many_small_queries_sent_at_once(wire):
    """Simple queries may be pipelined too; the answers come in order."""
    wire.send(b"".join(query("SELECT %d" % n) for n in range(500)))
    assert [rows(wire.until_ready()) for _ in range(500)] == [[[b"%d" % n]] for n in range(500)]


def test_a_message_that_arrives_byte_by_byte(wire):
    for byte in query("SELECT 'slowly'") + parse("", "SELECT 2") + bind() + execute() + sync():
        wire.send(bytes([byte]))
    assert rows(wire.until_ready()) == [[b"slowly"]]
    assert rows(wire.until_ready()) == [[b"2"]]


# -- extended protocol

def test_extended_query(wire):
    messages = wire.ask(parse("", "SELECT $1::int + 1, $2::text"), bind(values=[41, None]), describe("P"), execute(),
                        sync())
    assert kinds(messages) == "12TDCZ" and rows(messages) == [[b"42", None]]


def test_describe_statement(wire):
    assert kinds(wire.ask(parse("", "SELECT $1::int"), describe("S"), sync())) == "1tTZ"


def test_describe_of_a_statement_without_rows(wire, table):
    messages = wire.ask(parse("", "INSERT INTO %s VALUES ($1)" % table), describe("S"), bind(values=[9]), describe("P"),
                        execute(), sync())
    assert kinds(messages) == "1tn2nCZ" and tags(messages) == ["INSERT 0 1"]


def test_extended_empty_query(wire):
    assert kinds(wire.ask(parse("", ""), bind(), execute(), sync())) == "12IZ"


def test_binary_parameters_and_results(wire):
    messages = wire.ask(parse("", "SELECT $1 + 1", [23]), bind(values=[b"\0\0\0\x29"], formats=[1], results=[1]),
                        execute(), sync())
    assert rows(messages) == [[b"\0\0\0\x2a"]]


def test_lone_sync(wire):
    assert kinds(wire.ask(sync())) == "Z" and wire.status == "I"
    run(wire, "BEGIN")
    assert kinds(wire.ask(sync())) == "Z" and wire.status == "T"


@pytest.mark.parametrize("sql, sqlstate", [("SELEC 1", "42601"), ("SELECT * FROM no_such_table", "42P01"),
                                           ("SELECT 1; SELECT 2", "42601")])
def test_T69_error_at_parse_skips_to_sync(wire, sql, sqlstate):
    messages = wire.ask(parse("", sql), bind(), describe("P"), execute(), sync())
    assert kinds(messages) == "EZ" and sqlstates(messages) == [sqlstate]
    assert rows(wire.ask(parse("", "SELECT 1"), bind(), execute(), sync())) == [[b"1"]]


def test_T67_pipeline_is_one_transaction(wire, table):
    insert = "INSERT INTO %s VALUES ($1::int)" % table
    messages = wire.ask(parse("", insert), bind(values=[10]), execute(), bind(values=[1]), execute(), bind(values=[11]),
                        execute(), sync())
    assert kinds(messages) == "12C2EZ" and sqlstates(messages) == ["23505"]
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"3"]]


def test_T67_read_then_write_in_one_batch(wire, table):
    messages = wire.ask(parse("r", "SELECT count(*) FROM " + table), bind("", "r"), execute(),
                        parse("", "INSERT INTO %s VALUES (10)" % table), bind(), execute(), bind("", "r"), execute(),
                        sync())
    assert kinds(messages) == "12DC12C2DCZ" and rows(messages) == [[b"3"], [b"4"]]


def test_T67_consecutive_batches_answer_in_order(wire, table):
    """Reads and writes alternate, so that they go to different nodes; all is sent before anything is read."""
    batches = 60
    for number in range(batches):
        if number % 3 == 0:
            sql = "INSERT INTO %s VALUES (%d) RETURNING id" % (table, 100 + number)
        else:
            sql = "SELECT %d" % (100 + number)
        wire.send(parse("", sql), bind(), execute(), sync())
    assert [rows(wire.until_ready()) for _ in range(batches)] == [[[b"%d" % (100 + n)]] for n in range(batches)]


def test_T67_error_in_one_of_many_batches(wire):
    for number in range(20):
        wire.send(parse("", "SELECT 1/%d" % (number - 10)), bind(), execute(), sync())
    answers = [wire.until_ready() for _ in range(20)]
    assert [sqlstates(messages) for messages in answers] == [["22012"] if n == 10 else [] for n in range(20)]


def test_T66_flush_brings_answers_before_sync(wire, table):
    wire.send(parse("", "SELECT id FROM %s ORDER BY id" % table), describe("S"), flush())
    assert kinds(wire.until("T")) == "1tT"
    wire.send(bind(), execute(rows=1), flush())
    assert rows(wire.until("s")) == [[b"1"]]
    wire.send(execute(), flush())
    assert rows(wire.until("C")) == [[b"2"], [b"3"]]
    assert kinds(wire.ask(sync())) == "Z"


def test_T67_flush_after_a_read_then_a_write_in_the_same_batch(wire, table):
    """The client waits for the first answer before it sends the write: both belong to one transaction."""
    wire.send(parse("", "SELECT count(*) FROM " + table), bind(), execute(), flush())
    assert rows(wire.until("C")) == [[b"3"]]
    messages = wire.ask(parse("", "INSERT INTO %s VALUES (10)" % table), bind(), execute(), sync())
    assert kinds(messages) == "12CZ"
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"4"]]


def test_T69_error_is_flushed_at_once(wire):
    wire.send(parse("", "SELEC 1"), flush())
    assert kinds(wire.until("E")) == "E"
    wire.send(parse("", "SELECT 1"), flush())  # skipped, as everything up to Sync
    assert kinds(wire.ask(sync())) == "Z"


def test_T61_named_statement_over_transactions(wire, table):
    wire.ask(parse("mine", "SELECT note FROM %s WHERE id = $1" % table), sync())
    for number in (1, 2, 3):
        messages = wire.ask(bind("", "mine", [number]), execute(), sync())
        assert kinds(messages) == "2DCZ" and rows(messages) == [[b"row %d" % number]]
    run(wire, "BEGIN")
    assert rows(wire.ask(bind("", "mine", [1]), execute(), sync())) == [[b"row 1"]]
    run(wire, "ROLLBACK")
    assert rows(wire.ask(bind("", "mine", [2]), execute(), sync())) == [[b"row 2"]]
    assert kinds(wire.ask(w.close("S", "mine"), sync())) == "3Z"
    assert sqlstates(wire.ask(bind("", "mine", [1]), execute(), sync())) == ["26000"]


def test_T61_name_in_use_is_42P05(wire):
    wire.ask(parse("mine", "SELECT 1"), sync())
    assert sqlstates(wire.ask(parse("mine", "SELECT 2"), sync())) == ["42P05"]
    assert rows(wire.ask(bind("", "mine"), execute(), sync())) == [[b"1"]]


def test_T61_failed_parse_leaves_no_statement(wire):
    assert sqlstates(wire.ask(parse("mine", "SELECT * FROM no_such_table"), sync())) == ["42P01"]
    assert sqlstates(wire.ask(bind("", "mine"), sync())) == ["26000"]
    assert kinds(wire.ask(parse("mine", "SELECT 1"), sync())) == "1Z"


def test_T61_statement_parsed_in_a_rolled_back_transaction_stays(wire):
    run(wire, "BEGIN")
    wire.ask(parse("mine", "SELECT 5"), sync())
    run(wire, "ROLLBACK")
    assert rows(wire.ask(bind("", "mine"), execute(), sync())) == [[b"5"]]


def test_close_of_an_unknown_name_is_no_error(wire):
    assert kinds(wire.ask(w.close("S", "never"), w.close("P", "never"), sync())) == "33Z"


def test_T62_unnamed_statement_survives_sync(wire):
    wire.ask(parse("", "SELECT $1::int * 2"), sync())
    assert rows(wire.ask(bind(values=[4]), execute(), sync())) == [[b"8"]]
    assert rows(wire.ask(bind(values=[5]), execute(), sync())) == [[b"10"]]


def test_T62_simple_query_destroys_the_unnamed_statement(wire):
    wire.ask(parse("", "SELECT 1"), sync())
    run(wire, "SELECT 2")
    assert sqlstates(wire.ask(bind(), execute(), sync())) == ["26000"]


def test_T66_portal_is_suspended_and_goes_on(wire, table):
    messages = wire.ask(parse("", "SELECT id FROM %s ORDER BY id" % table), bind("p"), execute("p", 2), execute("p", 2),
                        sync())
    assert kinds(messages) == "12DDsDCZ" and rows(messages) == [[b"1"], [b"2"], [b"3"]]


def test_T66_portal_lives_as_long_as_its_transaction(wire, table):
    run(wire, "BEGIN")
    wire.ask(parse("", "SELECT id FROM %s ORDER BY id" % table), bind("p"), execute("p", 1), sync())
    assert rows(wire.ask(execute("p", 1), sync())) == [[b"2"]]
    run(wire, "COMMIT")
    assert sqlstates(wire.ask(execute("p", 1), sync())) == ["34000"]


def test_T66_portal_dies_with_an_implicit_transaction(wire):
    wire.ask(parse("", "SELECT generate_series(1, 3)"), bind("p"), execute("p", 1), sync())
    assert sqlstates(wire.ask(execute("p", 1), sync())) == ["34000"]


def test_T66_sql_cursor_in_a_transaction(wire, table):
    run(wire, "BEGIN")
    run(wire, "DECLARE c CURSOR FOR SELECT id FROM %s ORDER BY id" % table)
    assert rows(run(wire, "FETCH 2 FROM c")) == [[b"1"], [b"2"]]
    assert rows(run(wire, "FETCH 2 FROM c")) == [[b"3"]]
    run(wire, "COMMIT")
    assert sqlstates(run(wire, "FETCH c")) == ["34000"]


def test_wrong_number_of_parameters(wire):
    assert sqlstates(wire.ask(parse("", "SELECT $1::int"), bind(), execute(), sync())) == ["08P01"]
    assert rows(run(wire, "SELECT 1")) == [[b"1"]]


def test_transaction_control_in_extended_protocol(wire, table):
    for sql, status in (("BEGIN", "T"), ("INSERT INTO %s VALUES (10)" % table, "T"), ("COMMIT", "I")):
        wire.ask(parse("", sql), bind(), execute(), sync())
        assert wire.status == status
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"4"]]


def test_begin_and_read_in_one_batch(wire, table):
    messages = wire.ask(parse("", "BEGIN"), bind(), execute(), parse("", "SELECT count(*) FROM " + table), bind(),
                        execute(), sync())
    assert rows(messages) == [[b"3"]] and wire.status == "T"
    run(wire, "ROLLBACK")


# -- COPY

def test_T21_copy_out(wire, table):
    messages = run(wire, "COPY (SELECT id, note FROM %s ORDER BY id) TO STDOUT" % table)
    assert kinds(messages) == "HdddcCZ" and tags(messages) == ["COPY 3"]
    assert b"".join(body for kind, body in messages if kind == "d") == b"1\trow 1\n2\trow 2\n3\trow 3\n"


def start_copy(wire, table):
    wire.send(query("COPY %s FROM STDIN" % table))
    assert kinds(wire.until("G")) == "G"


def test_T21_copy_in(wire, table):
    start_copy(wire, table)
    messages = wire.ask(w.copy_data(b"10\tten\n11"), w.copy_data(b"\televen\n"), w.copy_done())
    assert kinds(messages) == "CZ" and tags(messages) == ["COPY 2"]
    assert rows(run(wire, "SELECT note FROM %s WHERE id = 11" % table)) == [[b"eleven"]]


def test_T21_copy_fail(wire, table):
    start_copy(wire, table)
    messages = wire.ask(w.copy_data(b"10\tten\n"), w.copy_fail("changed my mind"))
    assert sqlstates(messages) == ["57014"] and wire.status == "I"
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"3"]]


def test_T21_bad_copy_data(wire, table):
    start_copy(wire, table)
    wire.send(w.copy_data(b"not a number\tx\n"), w.copy_done())
    assert sqlstates(wire.until_ready()) == ["22P02"]
    assert rows(run(wire, "SELECT count(*) FROM " + table)) == [[b"3"]]


def test_T21_flush_and_sync_are_ignored_during_copy_in(wire, table):
    start_copy(wire, table)
    messages = wire.ask(w.copy_data(b"10\tten\n"), sync(), flush(), w.copy_data(b"11\tx\n"), w.copy_done())
    assert kinds(messages) == "CZ" and tags(messages) == ["COPY 2"]
    assert rows(run(wire, "SELECT 1")) == [[b"1"]]


def test_T21_copy_in_extended_protocol(wire, table):
    wire.send(parse("", "COPY %s FROM STDIN" % table), bind(), execute(), flush())
    assert kinds(wire.until("G")) == "12G"
    messages = wire.ask(w.copy_data(b"10\tten\n"), w.copy_done(), sync())
    assert kinds(messages) == "CZ" and tags(messages) == ["COPY 1"]


def test_T21_query_during_copy_in_ends_the_connection(wire, table):
    start_copy(wire, table)
    wire.send(query("SELECT 1"))
    assert "08P01" in sqlstates(wire.until_closed())


def test_T21_copy_among_other_statements(wire, table):
    wire.send(query("SELECT 1; COPY %s FROM STDIN; SELECT count(*) FROM %s" % (table, table)))
    assert kinds(wire.until("G")) == "TDCG"
    messages = wire.ask(w.copy_data(b"10\tten\n"), w.copy_done())
    assert kinds(messages) == "CTDCZ" and rows(messages) == [[b"4"]]


def test_T21_large_copy_both_ways(server, table):
    line = b"%d\t" + b"x" * 1000 + b"\n"
    with psycopg.connect(host=server.host, port=server.port, user="app_trust", dbname="app", autocommit=True) as c:
        with c.cursor().copy("COPY %s FROM STDIN" % table) as copy:
            for number in range(1000, 11000):
                copy.write(line % number)
        with c.cursor().copy("COPY %s TO STDOUT" % table) as copy:
            assert sum(len(block) for block in copy) > 10_000_000


# -- the rest of the protocol

def test_T22_function_call(wire, cluster):
    oid = cluster.primary.value("SELECT 'int4pl'::regproc::oid::int")
    messages = wire.ask(w.function_call(oid, [b"40", b"2"]))
    assert kinds(messages) == "VZ"
    assert messages[0][1].endswith(b"42")
    messages = wire.ask(w.function_call(1, []))
    assert kinds(messages) == "EZ"


def test_T72_cancel(server):
    with Wire(server.host, server.port) as wire:
        wire.login("app_trust", "app")
        wire.send(query("SELECT pg_sleep_for('30s')"))
        canceller = threading.Timer(0.1, cancel, (server, wire.key))
        canceller.start()
        messages = wire.until_ready(15)
        canceller.join()
        assert sqlstates(messages) == ["57014"]
        assert rows(run(wire, "SELECT 1")) == [[b"1"]]


def cancel(server, key):
    with Wire(server.host, server.port) as wire:
        wire.send(w.cancel(*key))
        assert wire.drain() == b""


def test_T72_cancel_of_a_query_on_a_replica(seawall, table):
    """Seconds of work that reads only, so that it runs on a replica."""
    with Wire(seawall.host, seawall.port) as wire:
        wire.login("app_trust", "app")
        wire.send(query("SELECT count(*) FROM generate_series(1, 1000000000)"))
        canceller = threading.Timer(0.2, cancel, (seawall, wire.key))
        canceller.start()
        assert sqlstates(wire.until_ready(15)) == ["57014"]
        canceller.join()


def test_T72_a_wrong_key_cancels_nothing(server):
    with Wire(server.host, server.port) as wire:
        wire.login("app_trust", "app")
        wire.send(query("SELECT pg_sleep_for('300ms')"))
        pid, secret = wire.key
        for wrong in (secret[:-1] + bytes([secret[-1] ^ 1]), bytes([secret[0] ^ 1]) + secret[1:], secret + bytes(28),
                      secret + bytes(252)):
            cancel(server, (pid, wrong))
        cancel(server, (pid + 1, secret))
        assert kinds(wire.until_ready()) == "TDCZ"


@pytest.mark.parametrize("workers", [1, 4])
def test_T72_a_long_key_of_protocol_3_2(cluster, make_seawall, workers):
    """32 bytes, all of which count, whichever worker the cancel request reaches."""
    seawall = make_seawall(cluster, config={"seawall": {"workers": workers}})
    with Wire(seawall.host, seawall.port) as wire:
        wire.login("app_trust", "app", protocol=PROTOCOL_3_0 + 2)
        pid, secret = wire.key
        assert len(secret) == 32
        wire.send(query("SELECT pg_sleep_for('300ms')"))
        for wrong in (secret[:4], secret[:-1], secret[:-1] + bytes([secret[-1] ^ 1]), secret + b"x"):
            cancel(seawall, (pid, wrong))
        assert kinds(wire.until_ready()) == "TDCZ"
        wire.send(query("SELECT pg_sleep_for('30s')"))
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep_for(''30s'')' AND state = 'active'"
        wait_until(lambda: cluster.primary.value(running) == 1 or any(
            node.value(running) for node in cluster.standbys), 10, "the query to run")
        cancel(seawall, (pid, secret))
        assert sqlstates(wire.until_ready(15)) == ["57014"]


def test_T72_a_late_cancel_hits_nobody(server):
    """The query has ended when the cancel arrives; the next one on the same server connection must not suffer."""
    with Wire(server.host, server.port) as first, Wire(server.host, server.port) as second:
        first.login("app_trust", "app")
        second.login("app_trust", "app")
        for _ in range(30):
            run(first, "SELECT 1")
            cancel(server, first.key)
            assert kinds(run(second, "SELECT count(*) FROM generate_series(1, 20000)")) == "TDCZ"


def test_T74_notifications(server):
    with Wire(server.host, server.port) as listener, Wire(server.host, server.port) as sender:
        listener.login("app_trust", "app")
        sender.login("app_trust", "app")
        run(listener, "LISTEN news")
        run(sender, "NOTIFY news, 'payload'")
        (kind, body), = listener.until("A")
        assert body[4:] == b"news\0payload\0"
        run(listener, "UNLISTEN *")


def test_large_result(wire):
    messages = wire.ask(query("SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n"), deadline=30)
    answer = rows(messages)
    assert len(answer) == 100000 and answer[-1] == [b"100000", b"x" * 100]
    assert rows(run(wire, "SELECT 1")) == [[b"1"]]


def test_one_large_value(wire):
    size = 20 * 1024 * 1024
    answer = rows(wire.ask(query("SELECT repeat('y', %d)" % size), deadline=30))
    assert len(answer[0][0]) == size


def test_large_parameter(wire):
    value = b"z" * (8 * 1024 * 1024)
    messages = wire.ask(parse("", "SELECT length($1), right($1, 3)", [25]), bind(values=[value]), execute(), sync(),
                        deadline=30)
    assert rows(messages) == [[b"8388608", b"zzz"]]


def test_large_statement(wire):
    text = "q" * (3 * 1024 * 1024)
    assert rows(wire.ask(query("SELECT length('%s')" % text), deadline=30)) == [[b"3145728"]]
    assert rows(run(wire, "SELECT 1")) == [[b"1"]]


def test_many_columns_and_nulls(wire):
    columns = ", ".join("NULL" if n % 2 else str(n) for n in range(1600))
    answer = rows(run(wire, "SELECT " + columns))
    assert len(answer[0]) == 1600 and answer[0][1] is None and answer[0][1598] == b"1598"


def test_terminate_closes(server):
    with Wire(server.host, server.port) as wire:
        wire.login("app_trust", "app")
        wire.send(w.terminate())
        assert wire.until_closed() == []


def test_disconnect_in_a_transaction_rolls_back(server, table, cluster):
    with Wire(server.host, server.port) as wire:
        wire.login("app_trust", "app")
        run(wire, "BEGIN")
        run(wire, "INSERT INTO %s VALUES (10)" % table)

    def is_unlocked():
        locks = "SELECT count(*) FROM pg_locks WHERE relation = '%s'::regclass AND mode = 'RowExclusiveLock'" % table
        return cluster.primary.value(locks) == 0
    wait_until(is_unlocked, 10, "the transaction to be rolled back")
    assert cluster.primary.value("SELECT count(*) FROM " + table) == 3


def test_disconnect_during_a_query_ends_it(server, cluster):
    with Wire(server.host, server.port) as wire:
        wire.login("app_trust", "app")
        wire.ask(query("BEGIN"))
        wire.send(query("SELECT pg_sleep_for('40s') /* abandoned */"))
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* abandoned */' AND state = 'active'"
        running += " AND pid <> pg_backend_pid()"
        wait_until(lambda: cluster.primary.value(running) == 1, 10, "the query to run")
    if server is cluster.primary:
        cluster.primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE "
                                "'%%/* abandoned */' AND pid <> pg_backend_pid()")
    wait_until(lambda: cluster.primary.value(running) == 0, 15, "the query of a client that has left to end")


# -- through a driver

def test_driver_pipeline(server, table):
    with psycopg.connect(host=server.host, port=server.port, user="app_trust", dbname="app") as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(50)]
            connection.execute("INSERT INTO %s VALUES (77)" % table)
            cursors += [connection.execute("SELECT count(*) FROM " + table)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(50)) + [4]
        connection.rollback()


def test_driver_executemany_and_server_side_cursor(server, table):
    with psycopg.connect(host=server.host, port=server.port, user="app_trust", dbname="app") as connection:
        connection.cursor().executemany("INSERT INTO %s VALUES (%%s, %%s)" % table, [(n, "n") for n in range(50, 150)])
        with connection.cursor("named") as cursor:
            cursor.itersize = 10
            cursor.execute("SELECT id FROM %s WHERE id >= 50 ORDER BY id" % table)
            assert [row[0] for row in cursor] == list(range(50, 150))
        connection.rollback()


def test_many_clients_at_once(server):
    """More clients than server connections in a pool; each sees its own answers only."""
    def work(number, failures):
        try:
            with psycopg.connect(host=server.host, port=server.port, user="app_trust", dbname="app",
                                 autocommit=True) as connection:
                for turn in range(40):
                    assert connection.execute("SELECT %s::int, %s::int", (number, turn)).fetchone() == (number, turn)
        except Exception as error:  # reported below, from the main thread
            failures.append(error)
    failures = []
    threads = [threading.Thread(target=work, args=(number, failures)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
