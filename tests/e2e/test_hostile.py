"""Bytes that no driver sends, and clients that do not read: an error or a closed connection, never a crash, a hang or
memory that grows."""

import random
import socket
import struct

import pytest

from lib import wire as w
from lib.proxy import Seawall
from lib.wait import wait_until
from lib.wire import (PROTOCOL_3_0, SSL_REQUEST, Closed, Wire, bind, execute, flush, message, parse, query, rows,
                      special, startup, sync)

HELLO = {"user": "app_trust", "database": "app"}


@pytest.fixture(scope="module")
def hardened(cluster):
    """One Seawall for the whole file; stopping it at the end asserts a clean exit and no sanitizer report."""
    with Seawall(cluster, config={"seawall": {"client_login_timeout": "2s"}}) as running:
        yield running


@pytest.fixture(autouse=True)
def still_serves(hardened):
    """After every test the same process must serve the next client."""
    pid = hardened.pid
    yield
    assert hardened.is_running() and hardened.pid == pid
    with hardened.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def connect(seawall, **kw):
    return Wire(seawall.host, seawall.port, **kw)


def logged_in(seawall, **kw):
    wire = connect(seawall, **kw)
    wire.login("app_trust", "app")
    return wire


def answer_or_close(wire, deadline=10):
    """Reads what comes until the connection ends; where it stays open, its client ends it. Never a hang: bytes that ask
    for an answer get one or a close within the deadline."""
    try:
        wire.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    return wire.drain(deadline)


BEFORE_STARTUP = {
    "nothing": b"",
    "one byte": b"\0",
    "length only": struct.pack("!i", 8),
    "length 0": struct.pack("!ii", 0, PROTOCOL_3_0),
    "length 4": struct.pack("!i", 4),
    "length 7": struct.pack("!i", 7) + b"abc",
    "negative length": struct.pack("!ii", -1, PROTOCOL_3_0),
    "smallest length": struct.pack("!ii", -2**31, PROTOCOL_3_0),
    "huge length": struct.pack("!ii", 2**31 - 1, PROTOCOL_3_0) + b"x" * 1000,
    "just too long": struct.pack("!ii", 10001, PROTOCOL_3_0) + b"user\0" + b"x" * 9985 + b"\0\0",
    "no terminator": struct.pack("!ii", 17, PROTOCOL_3_0) + b"user\0app\0",
    "name without value": struct.pack("!ii", 13, PROTOCOL_3_0) + b"user\0",
    "no NUL at all": struct.pack("!ii", 18, PROTOCOL_3_0) + b"userappxyz",
    "empty name": struct.pack("!ii", 12, PROTOCOL_3_0) + b"\0xy\0",
    "bytes after the terminator": struct.pack("!ii", 23, PROTOCOL_3_0) + b"user\0app\0\0more",
    "user too long": startup({"user": "u" * 3000, "database": "app"}),
    "database too long": startup({"user": "app_trust", "database": "d" * 3000}),
    "user twice": struct.pack("!ii", 38, PROTOCOL_3_0) + b"user\0app_trust\0user\0postgres\0\0",
    "many parameters": startup(dict(HELLO, **{"p%d" % n: "v" for n in range(900)})),
    "only SSLRequest twice": special(SSL_REQUEST) * 2,
    "SSLRequest too long": special(SSL_REQUEST, b"more"),
    "CancelRequest too short": special(w.CANCEL_REQUEST, b"abc"),
    "CancelRequest too long": special(w.CANCEL_REQUEST, b"x" * 300),
    "CancelRequest of nobody": w.cancel(0, bytes(4)),
    "TLS ClientHello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 64,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "query before startup": query("SELECT 1"),
    "control characters": startup({"user": "app\x01\x1b[2J", "database": "a\nb"}),
    "invalid UTF-8": struct.pack("!ii", 19, PROTOCOL_3_0) + b"user\0\xff\xfe\xc0\0\0",
}


@pytest.mark.parametrize("name", sorted(BEFORE_STARTUP))
def test_T77_before_startup(hardened, name):
    with connect(hardened) as wire:
        try:
            wire.send(BEFORE_STARTUP[name])
        except Closed:
            return
        answer_or_close(wire)


def test_T77_every_prefix_of_a_startup_packet(hardened):
    whole = startup(HELLO)
    for length in range(len(whole)):
        with connect(hardened) as wire:
            wire.send(whole[:length])
            assert answer_or_close(wire)[:1] in (b"", b"E")


def test_T77_a_client_that_never_finishes_its_startup(hardened):
    with connect(hardened) as wire:
        wire.send(startup(HELLO)[:9])
        wire.drain(10)  # client_login_timeout ends it


def test_T77_startup_twice(hardened):
    with logged_in(hardened) as wire:
        wire.send(startup(HELLO))
        answer_or_close(wire)


IN_A_SESSION = {
    "unknown type": message("?", b"x"), "type NUL": b"\0" + struct.pack("!i", 4), "type 0xff": b"\xff\0\0\0\x04",
    "length 0": b"Q" + struct.pack("!i", 0), "length 3": b"Q" + struct.pack("!i", 3),
    "negative length": b"Q" + struct.pack("!i", -5), "huge length": b"Q" + struct.pack("!i", 2**31 - 1) + b"SELECT",
    "huge Parse": b"P" + struct.pack("!i", 2**30) + b"x", "huge Sync": b"S" + struct.pack("!i", 2**29),
    "huge password": b"p" + struct.pack("!i", 2**29),
    "Query without NUL": message("Q", b"SELECT 1"), "Query empty body": message("Q"),
    "Query with NUL inside": message("Q", b"SELECT 1\0; DROP TABLE x\0"), "Sync with a body": message("S", b"body"),
    "Flush with a body": message("H", b"body"), "Terminate with a body": message("X", b"body"),
    "Parse without NUL": message("P", b"name"), "Parse without statement": message("P", b"name\0"),
    "Parse without types": message("P", b"\0SELECT 1\0"),
    "Parse with too many types": message("P", b"\0SELECT 1\0" + struct.pack("!h", 32767)),
    "Parse with negative types": message("P", b"\0SELECT 1\0" + struct.pack("!h", -1)),
    "Parse with bytes behind": message("P", b"\0SELECT 1\0\0\0more"),
    "Bind empty": message("B"), "Bind without statement": message("B", b"\0"),
    "Bind with too many formats": message("B", b"\0\0" + struct.pack("!h", 32767)),
    "Bind with negative formats": message("B", b"\0\0" + struct.pack("!h", -1)),
    "Bind with a length behind its end": message("B", b"\0\0" + struct.pack("!hhi", 0, 1, 2**31 - 1)),
    "Bind with length -2": message("B", b"\0\0" + struct.pack("!hhih", 0, 1, -2, 0)),
    "Bind with negative parameters": message("B", b"\0\0" + struct.pack("!hh", 0, -1)),
    "Bind with a bad format": bind("", "", [b"x"], [77], [99]),
    "Describe empty": message("D"), "Describe of nothing": message("D", b"X\0"),
    "Describe without NUL": message("D", b"S"),
    "Close of nothing": message("C", b"Z\0"), "Close empty": message("C"),
    "Execute short": message("E", b"\0\0"), "Execute negative rows": message("E", b"\0" + struct.pack("!i", -1)),
    "Execute without Bind": message("E", b"none\0" + struct.pack("!i", 0)),
    "long statement name": parse("n" * 100000, "SELECT 1"), "long portal name": bind("p" * 100000),
    "function call short": message("F", b"\0\0"),
    "function call bad count": message("F", struct.pack("!Ihh", 1, -1, -1)),
    "CopyData outside COPY": message("d", b"data"), "CopyDone outside COPY": message("c"),
    "CopyFail outside COPY": message("f", b"why\0"), "CopyFail without NUL": message("f", b"why"),
    "password outside login": message("p", b"secret\0"), "server's message": message("Z", b"I"),
    "a message cut in its header": b"Q\0\0", "a message cut in its body": query("SELECT 1")[:-3],
}
STATES = {
    "idle": (), "in a transaction": (query("BEGIN"),), "in a failed transaction": (query("BEGIN"), query("SELECT 1/0")),
    "after Parse": (parse("", "SELECT 1") + flush(),), "in a pipeline": (parse("", "SELECT 1") + bind() + flush(),),
    "skipping to Sync": (parse("", "SELEC") + flush(),), "in COPY IN": (query("BEGIN"), query("COPY c FROM STDIN")),
}


@pytest.fixture(scope="module")
def copy_table(cluster):
    cluster.primary.execute("CREATE TABLE c (a text); GRANT ALL ON c TO PUBLIC")


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("name", sorted(IN_A_SESSION))
def test_in_a_session(hardened, copy_table, name, state):
    with logged_in(hardened) as wire:
        for prelude in STATES[state]:
            wire.send(prelude)
            wire.until({b"Q": "ZG", b"P": "1E"}[prelude[:1]])
        try:
            wire.send(IN_A_SESSION[name], sync())
        except Closed:
            return
        answer_or_close(wire)


def test_random_bytes_after_login(hardened):
    source = random.Random(20260101)
    for _ in range(60):
        with logged_in(hardened) as wire:
            try:
                wire.send(source.randbytes(source.randrange(1, 400)))
            except Closed:
                continue
            answer_or_close(wire)


def test_random_damage_to_a_good_conversation(hardened):
    source = random.Random(20260102)
    good = (query("SELECT 1") + parse("a", "SELECT $1::int", [23]) + bind("", "a", [5]) + execute() + sync() +
            parse("", "SELECT 2") + bind() + w.describe("P") + execute() + sync() + w.close("S", "a") + sync())
    for _ in range(150):
        damaged = bytearray(good)
        for _ in range(source.randrange(1, 4)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        with logged_in(hardened) as wire:
            try:
                wire.send(bytes(damaged))
            except Closed:
                continue
            answer_or_close(wire)


@pytest.mark.parametrize("auth_type", ["md5", "scram-sha-256"])
def test_nonsense_during_authentication(cluster, make_seawall, auth_type):
    seawall = make_seawall(cluster, config={"seawall": {"auth_type": auth_type}})
    nonsense = [b"", b"\0", b"x" * 70000, b"SCRAM-SHA-256\0", b"SCRAM-SHA-256\0\xff\xff\xff\xff",
                b"SCRAM-SHA-256\0" + struct.pack("!i", 2**31 - 1), b"SCRAM-SHA-256\0" + struct.pack("!i", 5) + b"n,,n=",
                b"SCRAM-SHA-256-PLUS\0" + struct.pack("!i", 5) + b"p=tls", b"UNKNOWN\0\0\0\0\0",
                b"SCRAM-SHA-256\0" + struct.pack("!i", 16) + b"n,,n=app,r=abcde", b"md5", b"md5" + b"0" * 32 + b"\0"]
    for body in nonsense:
        with connect(seawall) as wire:
            wire.send(startup(HELLO))
            wire.receive()
            try:
                wire.send(message("p", body))
                wire.send(message("p", body))
            except Closed:
                continue
            assert b"Z\0\0\0\x05I" not in answer_or_close(wire)
    for other in (query("SELECT 1"), sync(), b"p" + struct.pack("!i", 2**31 - 1), startup(HELLO)):
        with connect(seawall) as wire:
            wire.send(startup(HELLO))
            wire.receive()
            try:
                wire.send(other)
            except Closed:
                continue
            assert b"Z\0\0\0\x05I" not in answer_or_close(wire)
    seawall.connect().close()


def test_many_connections_that_come_and_go(hardened):
    """Some say nothing, some leave in the middle of a login, some in the middle of a query."""
    before = hardened.rss_kb()
    for turn in range(4):
        for _ in range(150):
            connect(hardened).close()
            with connect(hardened) as wire:
                wire.send(startup(HELLO))
            with logged_in(hardened) as wire:
                wire.send(query("SELECT * FROM generate_series(1, 1000)"))
        if turn == 0:
            before = hardened.rss_kb()
    assert hardened.rss_kb() < before * 1.5 + 4096


def test_memory_does_not_grow_with_damaged_messages(hardened):
    def damage():
        for name in sorted(IN_A_SESSION):
            with logged_in(hardened) as wire:
                try:
                    wire.send(IN_A_SESSION[name], sync())
                except Closed:
                    continue
                answer_or_close(wire)
    damage()
    before = hardened.rss_kb()
    for _ in range(4):
        damage()
    assert hardened.rss_kb() < before * 1.3 + 4096


def test_an_announced_message_is_not_allocated(hardened):
    """Fifty clients announce 900 MB each and send nothing of it."""
    wires = [logged_in(hardened) for _ in range(50)]
    before = hardened.rss_kb()
    for wire in wires:
        wire.send(b"Q" + struct.pack("!i", 900 * 1024 * 1024) + b"SELECT ")
    with hardened.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert hardened.rss_kb() < before + 64 * 1024
    for wire in wires:
        wire.close()


def test_a_client_that_does_not_read(hardened, cluster):
    """A gigabyte is on its way to a client that reads nothing: Seawall stops reading from the server."""
    with logged_in(hardened, receive_buffer=65536) as wire:
        before = hardened.rss_kb()
        wire.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000) /* unread */"))
        blocked = ("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* unread */' "
                   "AND wait_event = 'ClientWrite'")

        def is_blocked():
            return any(node.value(blocked + " AND pid <> pg_backend_pid()") == 1 for node in cluster.nodes)
        wait_until(is_blocked, 20, "the server to be held back")
        assert hardened.rss_kb() < before + 16 * 1024
        with hardened.connect() as connection:
            for _ in range(20):
                assert connection.execute("SELECT 1").fetchone() == (1,)
        # Now it reads: all of it arrives, and memory stays where it was.
        peak, received = 0, 0
        while True:
            kind, body = wire.receive(30)
            received += len(body) if kind == "D" else 0
            if received % 100_000_000 < 1_000_010:
                peak = max(peak, hardened.rss_kb())
            if kind == "Z":
                break
        assert received >= 1_000_000_000
        assert peak < before + 16 * 1024


def test_a_client_that_sends_much_and_reads_nothing(hardened):
    """Pipelined queries whose answers nobody takes: Seawall stops reading from the client."""
    with logged_in(hardened, receive_buffer=65536) as wire:
        before = hardened.rss_kb()
        wire.socket.settimeout(0.5)
        batch = query("SELECT repeat('x', 1000)") * 2000
        sent = 0
        try:
            while sent < 400_000_000:
                sent += wire.socket.send(batch)
        except (socket.timeout, OSError):
            pass
        assert sent < 400_000_000, "nothing held this client back"
        assert hardened.rss_kb() < before + 32 * 1024


def test_a_slow_upload_of_a_large_message(hardened):
    """40 MB of one Bind value pass through without being collected."""
    before = hardened.rss_kb()
    size = 40 * 1024 * 1024
    head = parse("", "SELECT length($1)", [25])
    body = b"\0\0" + struct.pack("!hhi", 0, 1, size)
    with logged_in(hardened) as wire:
        wire.send(head + b"B" + struct.pack("!i", 4 + len(body) + size + 2) + body)
        for _ in range(40):
            wire.send(b"y" * (1024 * 1024))
        wire.send(struct.pack("!h", 0), execute(), sync())
        assert rows(wire.until_ready(30)) == [[b"%d" % size]]
    assert hardened.rss_kb() < before + 64 * 1024


def test_copy_in_that_never_ends_is_ended_by_the_client_leaving(hardened, copy_table, cluster):
    with logged_in(hardened) as wire:
        wire.send(query("COPY c FROM STDIN"))
        wire.until("G")
        for _ in range(100):
            wire.send(w.copy_data(b"line\n" * 1000))
    locks = "SELECT count(*) FROM pg_locks WHERE relation = 'c'::regclass"
    wait_until(lambda: cluster.primary.value(locks) == 0, 10, "the COPY to be given up")
    assert cluster.primary.value("SELECT count(*) FROM c") == 0


def test_a_server_that_sends_nonsense(cluster, make_seawall):
    """The node's port answers, but not in PostgreSQL's language."""
    import threading
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(50)
    answers = [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"\0" * 100, b"R\xff\xff\xff\xff",
               b"R" + struct.pack("!i", 2**31 - 1),
               b"E" + struct.pack("!i", 5) + b"x", b"N", b"S", b"Z\0\0\0\x05I", b"R\0\0\0\x08\0\0\0\0K\0\0\0\x05x"]
    stopped = threading.Event()

    def serve():
        turn = 0
        listener.settimeout(0.2)
        while not stopped.is_set():
            try:
                peer, _ = listener.accept()
            except socket.timeout:
                continue
            with peer:
                try:
                    peer.sendall(answers[turn % len(answers)])
                except OSError:
                    pass
            turn += 1
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        seawall = make_seawall(cluster, config={"nodes": {
            "odd": "host=127.0.0.1 port=%d" % listener.getsockname()[1]}, "monitor": {"interval": "5ms"}})
        for _ in range(30):
            with seawall.connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        odd = next(row for row in seawall.console("SHOW NODES") if row["name"] == "odd")
        assert odd["state"] != "up"
    finally:
        stopped.set()
        thread.join()
        listener.close()
