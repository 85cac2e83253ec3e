"""Every limit and time-out: what it allows, what a client is told beyond it, that the nodes never see more, and that
nobody hangs."""

import contextlib
import os
import re
import signal
import socket
import time

import psycopg
import pytest

from lib import wire as w
from lib.cluster import HOST, USERS
from lib.crew import Crew
from lib.wait import holds_for, wait_until
from lib.wire import Closed, ServerError, Wire, bind, execute, kinds, parse, query, rows, sqlstates, startup, sync, tags
from lib.witness import make_table, unique

TICK = 0.25          # how often a worker looks at its time-outs
LATE = 5             # what comes within a moment may take this long on a busy machine
WHOSE = "SELECT pg_backend_pid() FROM pg_advisory_xact_lock(1)"  # has to run on the primary, and leaves nothing


class Backends:
    """The nodes' own word on who is connected for clients. Its connections are open before anything is frozen."""

    def __init__(self, cluster):
        self.nodes = {node.name: node.connect() for node in cluster.nodes}

    def __call__(self, where="true", node=None):
        """{(node, pid)} of one node or of all."""
        sql = ("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND "
               "usename NOT IN ('postgres', 'seawall_monitor') AND " + where)
        return {(name, pid) for name, connection in self.nodes.items() if node in (None, name)
                for pid, in connection.execute(sql)}

    def wait(self, count, what, where="true", node=None):
        return wait_until(lambda: len(self(where, node)) == count and [self(where, node)], 10, what)[0]

    def end(self, pid, node="pg1"):
        self.nodes[node].execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


@pytest.fixture(scope="module")
def backends(own_cluster):
    return Backends(own_cluster)


@pytest.fixture
def limited(own_cluster, backends, make_seawall):
    """limited(max_client_conn=3) starts a Seawall with that limit. No other client is connected to its nodes."""
    def start(sections=None, nodes=None, **limits):
        backends.wait(0, "the connections of the last test to be gone")
        config = dict({"seawall": dict({"workers": 1}, **limits)}, **(sections or {}))
        return make_seawall(own_cluster, config=config, nodes=nodes)
    return start


def wired(seawall, user="app_trust", dbname="app", **kw):
    wire = Wire(seawall.host, seawall.port)
    try:
        wire.login(user, dbname, USERS[user][0], **kw)
    except BaseException:
        wire.close()
        raise
    return wire


def worker_of(wire):
    return wire.key[0] >> 24


def wired_to(seawall, worker, *args):
    """A client of a certain worker."""
    others = []
    try:
        while True:
            wire = wired(seawall, *args)
            if worker_of(wire) == worker:
                return wire
            others.append(wire)
    finally:
        for other in others:
            other.close()


def hold(wire):
    """Begins a transaction on the primary; the pid of the server connection that it holds."""
    pid, = rows(wire.ask(query("BEGIN; SELECT pg_backend_pid()")))[0]
    return int(pid)


def hold_replica(wire):
    wire.ask(query("BEGIN READ ONLY"))
    assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]]


def whose(wire):
    """The server connection to the primary that serves this session's next statement."""
    return int(rows(wire.ask(query(WHOSE)))[0][0])


def let_go(*wires):
    for wire in wires:
        assert tags(wire.ask(query("COMMIT"))) == ["COMMIT"]


def goes_on(wire):
    return rows(wire.ask(query("SELECT 'on'" + WHOSE[WHOSE.index(" FROM"):]))) == [[b"on"]] and wire.status == "I"


def batch(sql):
    return parse("", sql) + bind() + execute() + sync()


def told(messages):
    """(severity, SQLSTATE) of each error."""
    return [(fields["S"], fields["C"]) for fields in w.errors(messages)]


def waiting_in(seawall):
    return [row for row in seawall.console("SHOW CLIENTS") if row["state"] == "waiting"]


def wait_for_queue(seawall, length):
    wait_until(lambda: len(waiting_in(seawall)) == length, 10, "%d clients to wait" % length)


def reload(seawall, **limits):
    seawall.reload({"seawall": limits})

    def is_taken_in():
        values = {row["key"]: row["value"] for row in seawall.console("SHOW CONFIG")}
        return all(values[name] == value for name, value in limits.items())
    wait_until(is_taken_in, 10, "the new limits")


@contextlib.contextmanager
def stopped(pid):
    """A process that neither answers nor goes away."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


# -- clients

def test_max_client_conn(limited, backends):
    seawall = limited(workers=2, max_client_conn="3")

    def gets_in():
        try:
            return wired(seawall)
        except ServerError as refused:
            assert (refused.fields["S"], refused.sqlstate) == ("FATAL", "53300")
            return None

    def is_full():
        wire = gets_in()
        if wire:
            wire.close()
        return not wire

    # A console that has just left may still be counted.
    clients = [wait_until(gets_in, LATE, "a place") for _ in range(3)]
    assert is_full()
    assert sum(row["database"] == "app" for row in seawall.console("SHOW CLIENTS")) == 3  # the console still gets in
    clients[0].send(query("SELECT pg_sleep(300)"))
    wait_until(lambda: backends("state = 'active' AND query LIKE '%sleep%'"), LATE, "the query to run")
    with Wire(seawall.host, seawall.port) as canceller:  # and so does a cancel
        canceller.send(w.cancel(*clients[0].key))
        assert canceller.drain() == b""
    assert sqlstates(clients[0].until_ready()) == ["57014"]
    clients.pop().close()
    clients.append(wait_until(gets_in, LATE, "the place of one who has left"))
    assert is_full()
    reload(seawall, max_client_conn="4")
    clients.append(wait_until(gets_in, LATE, "one place more"))
    assert is_full()
    assert all(goes_on(wire) for wire in clients)
    for wire in clients:
        wire.close()


HELLO = startup({"user": "app", "database": "app"})
UNFINISHED = {  # what has been sent when the client falls silent, and what it sends now and then
    "nothing": (b"", b""),
    "half a startup packet": (HELLO[:9], b""),
    "a request for encryption": (w.special(w.SSL_REQUEST), b""),
    "startup, and no password": (HELLO, b""),
    "startup, and half a password": (HELLO + w.message("p", b"p" * 40)[:20], b""),
    "a startup packet byte by byte": (b"", HELLO),
    "a password byte by byte": (HELLO, w.message("p", b"p" * 400)),
}


def is_ended(wire, drip):
    """Sends the next byte, if there is one, and looks whether the connection is still there."""
    try:
        wire.send(next(drip, b""))
        wire.receive_bytes(1 << 20, 0.01)
    except Closed:
        return True
    except AssertionError:  # nothing more within that moment
        return False


def test_client_login_timeout(limited):
    """All of them at once, beside one who has logged in, whom it does not concern."""
    seawall = limited(client_login_timeout="500ms", auth_type="md5")
    with contextlib.ExitStack() as stack:
        mine = stack.enter_context(wired(seawall, "app"))
        since, clients, ended = time.monotonic(), {}, {}
        for name, (sent, drip) in UNFINISHED.items():
            wire = stack.enter_context(Wire(seawall.host, seawall.port))
            wire.send(sent)
            clients[name] = wire, iter([drip[at:at + 1] for at in range(len(drip))])

        def all_are_ended():
            for name in clients.keys() - ended.keys():
                if is_ended(*clients[name]):
                    ended[name] = time.monotonic() - since
            return len(ended) == len(clients)
        wait_until(all_are_ended, LATE, "all of them to be ended")
        for name, (wire, _) in clients.items():
            got = bytes(wire.pending)
            assert b"SFATAL\0" in got and b"C08P01\0" in got and b"client_login_timeout" in got, name
            assert ended[name] >= 0.5, name
        assert goes_on(mine)


def test_client_idle_timeout(limited):
    seawall = limited(client_idle_timeout="600ms")
    since = time.monotonic()
    with wired(seawall) as idle, wired(seawall) as busy, wired(seawall) as amid:
        hold(amid)
        busy.send(query("SELECT pg_sleep(1.2)"))
        assert told(idle.until_closed(LATE)) == [("FATAL", "57P05")]
        assert time.monotonic() - since >= 0.6
        assert sqlstates(busy.until_ready()) == []
        let_go(amid)  # inside a transaction the other limit holds
        for wire in (busy, amid):
            assert told(wire.until_closed(LATE)) == [("FATAL", "57P05")]


@pytest.mark.parametrize("limit, begin", [("client_idle_timeout", ";"), ("idle_transaction_timeout", "BEGIN")])
def test_idle_time_begins_where_a_statement_ends(limited, limit, begin):
    """Whenever that is: they end one after the other within a tick."""
    seawall = limited(**{limit: "600ms"})
    with contextlib.ExitStack() as stack:
        ends = []
        for number in range(6):
            wire = stack.enter_context(wired(seawall))
            wire.ask(query(begin))
            seconds = 0.3 + TICK / 5 * number
            ends.append((wire, time.monotonic() + seconds))  # no earlier than that
            wire.send(query("SELECT pg_sleep(%g)" % seconds))
        for wire, _ in ends:
            assert sqlstates(wire.until_ready()) == []
        for wire, end in ends:
            wire.until_closed(LATE)
            assert time.monotonic() - end >= 0.6


BEGINNINGS = {  # what a transaction has done when its client falls silent
    "on the primary": ["BEGIN", "UPDATE {} SET note = 'mine'"],
    "failed": ["BEGIN", "SELECT 1/0"],
    "on a replica": ["BEGIN READ ONLY", "SELECT * FROM {}"],
}


def test_idle_transaction_timeout(limited, own_cluster, backends):
    table = make_table(own_cluster)
    seawall = limited(idle_transaction_timeout="600ms")
    locks = "SELECT count(*) FROM pg_locks WHERE relation = '%s'::regclass" % table
    with contextlib.ExitStack() as stack:
        outside, busy = [stack.enter_context(wired(seawall)) for _ in range(2)]
        wires = [stack.enter_context(wired(seawall)) for _ in BEGINNINGS]
        busy.ask(query("BEGIN"))
        busy.send(query("SELECT pg_sleep(1.2)"))
        for wire, sqls in zip(wires, BEGINNINGS.values()):
            for sql in sqls:
                wire.ask(query(sql.format(table)))
            assert wire.status in "TE"
        assert own_cluster.primary.value(locks) > 0
        for name, wire in zip(BEGINNINGS, wires):
            assert told(wire.until_closed(LATE)) == [("FATAL", "25P03")], name
        wait_until(lambda: own_cluster.primary.value(locks) == 0, LATE, "the locks to go")
        assert tags(outside.ask(query("UPDATE %s SET note = 'theirs' RETURNING id" % table))) == ["UPDATE 3"]
        assert sqlstates(busy.until_ready()) == []
        assert told(busy.until_closed(LATE)) == [("FATAL", "25P03")]
        assert goes_on(outside)


# -- how many server connections

def told_to_wait_no_more(wires, request, limit=0.3):
    """They ask, and each is told that it has waited for too long; then its session goes on."""
    since = time.monotonic()
    for wire in wires:
        wire.send(request)
    for wire in wires:
        messages = wire.until_ready()
        assert kinds(messages) == "EZ" and told(messages) == [("ERROR", "53300")] and wire.status == "I"
        assert time.monotonic() - since >= limit


@pytest.mark.parametrize("limits, sections", [
    ({"default_pool_size": 2}, {}),
    ({"default_pool_size": 1}, {"databases": {"app": "pool_size=2"}}),
    ({"default_pool_size": 3}, {"databases": {"app": "pool_size=2"}}),
], ids=["default_pool_size", "pool_size above it", "pool_size below it"])
def test_pool_size(limited, backends, limits, sections):
    """Of all workers together; each user and each node has a pool of its own."""
    seawall = limited(sections, workers=2, query_wait_timeout="300ms", **limits)
    with contextlib.ExitStack() as stack:
        def client(worker, *args):
            return stack.enter_context(wired_to(seawall, worker, *args))
        holding, waiting = [client(0), client(1)], [client(0), client(1)]
        someone_else = client(0, "bench")
        for wire in holding:
            hold(wire)
        told_to_wait_no_more(waiting, query(WHOSE))
        assert len(backends("usename = 'app_trust'", "pg1")) == 2
        assert goes_on(someone_else)
        hold_replica(waiting[0])
        let_go(waiting[0], holding[0])
        assert goes_on(waiting[0])


@pytest.mark.parametrize("first", ["small", "large"])
def test_pool_size_of_two_names_for_one_database(limited, first):
    """Each has its own, whoever came first."""
    sizes = {"small": 1, "large": 3}
    databases = {name: "dbname=app pool_size=%d" % size for name, size in sizes.items()}
    seawall = limited({"databases": databases}, query_wait_timeout="300ms")
    with wired(seawall, "app_trust", first):
        for name, size in sizes.items():
            with contextlib.ExitStack() as stack:
                wires = [stack.enter_context(wired(seawall, "app_trust", name)) for _ in range(size + 1)]
                for wire in wires[:size]:
                    assert sqlstates(wire.ask(query("BEGIN; SELECT 1"))) == []
                told_to_wait_no_more(wires[size:], query(WHOSE))
                let_go(*wires[:size])


OVER_ALL = {  # limit: two of its pools, another one, and one that it does not concern
    "max_db_connections": [("app_trust", "app"), ("bench", "app"), ("app", "app"), ("bench", "bench")],
    "max_user_connections": [("bench", "app"), ("bench", "bench"), ("bench", "postgres"), ("app_trust", "app")],
}


@pytest.mark.parametrize("limit", sorted(OVER_ALL))
def test_connections_over_all_nodes_and_workers(limited, backends, limit):
    one, two, newcomer, outsider = OVER_ALL[limit]
    concerned = {"max_db_connections": "datname = 'app'", "max_user_connections": "usename = 'bench'"}[limit]
    seawall = limited(workers=2, **{limit: 3, "query_wait_timeout": "30s"})
    with contextlib.ExitStack() as stack:
        holding = [stack.enter_context(wired_to(seawall, *where)) for where in ((0, *one), (1, *two), (1, *one))]
        waiting = [stack.enter_context(wired_to(seawall, *where)) for where in ((0, *one), (1, *two), (1, *one))]
        waiting[2].ask(query("SET seawall.consistency = 'eventual'"))
        hold(holding[0])
        hold(holding[1])
        hold_replica(holding[2])
        backends.wait(3, "the connections that are held", concerned)
        assert len({node for node, _ in backends(concerned)}) == 2
        reload(seawall, query_wait_timeout="300ms")
        told_to_wait_no_more(waiting[:2], query(WHOSE))
        told_to_wait_no_more(waiting[2:], query("SELECT 1"))
        with pytest.raises(ServerError) as refused:
            wired(seawall, *newcomer)
        assert (refused.value.fields["S"], refused.value.sqlstate) == ("FATAL", "53300")
        assert len(backends(concerned)) == 3
        with wired(seawall, *outsider) as wire:
            assert goes_on(wire)
        reload(seawall, query_wait_timeout="30s")
        for wire in waiting[:2]:
            wire.send(query(WHOSE))
        let_go(holding[0])
        assert [sqlstates(wire.until_ready()) for wire in waiting[:2]] == [[], []]


class Crowd(Crew):
    """Clients that ask one thing after another, on threads of their own."""

    def __init__(self, clients, requests):
        super().__init__(len(clients))
        self.clients, self.requests, self.answers = clients, requests, [0] * len(clients)

    def work(self, number):
        while not self.stopped.is_set():
            self.failures += sqlstates(self.clients[number].ask(self.requests[number % len(self.requests)]))
            self.answers[number] += 1


def test_connections_are_never_more_while_they_change_hands(limited, backends):
    """More pools than places, so that connections are closed for others all the time."""
    seawall = limited(workers=2, max_db_connections=3, query_wait_timeout="20s")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wired_to(seawall, worker, user))
                   for user in ("app_trust", "bench") for worker in (0, 1)]
        clients[2].ask(query("SET seawall.consistency = 'eventual'"))
        crowd = stack.enter_context(Crowd(clients, [query(WHOSE), query(WHOSE), query("SELECT 1"), query(WHOSE)]))
        looks = []  # (when, the connections that were there)

        def all_have_had_their_turn():
            looks.append((time.monotonic(), backends("datname = 'app'")))
            while looks[-1][0] - looks[0][0] > 0.8:
                looks.pop(0)
            # A connection that Seawall has closed takes a moment to go: what counts is what stays.
            assert len(looks) < 5 or len(set.intersection(*(found for _, found in looks))) <= 3
            return crowd.failures or min(crowd.answers) > 0
        wait_until(all_have_had_their_turn, 20, "a turn for each")
    assert crowd.failures == []
    wait_until(lambda: len(backends("datname = 'app'")) <= 3, LATE, "the limit")


def test_reserve_pool(limited, backends):
    """It is for those who have waited, and is given back when nobody needs it any more."""
    seawall = limited(default_pool_size=1, reserve_pool_size=1, reserve_pool_timeout="500ms",
                      query_wait_timeout="1200ms", server_idle_timeout="400ms")
    with wired(seawall) as first, wired(seawall) as second, wired(seawall) as third:
        pid = hold(first)
        since = time.monotonic()
        second.send(query("BEGIN; SELECT pg_backend_pid()"))

        def has_grown():
            count = len(backends())
            assert count == 1 or time.monotonic() - since >= 0.5
            return count > 1
        wait_until(has_grown, LATE, "the pool to grow")
        assert rows(second.until_ready()) != [[b"%d" % pid]]
        told_to_wait_no_more([third], query(WHOSE), 1.2)
        assert len(backends()) == 2
        let_go(first, second)
        wait_until(lambda: goes_on(third) and len(backends()) == 1, LATE, "the pool to shrink")
        assert goes_on(first) and goes_on(second)


def test_without_a_reserve_a_pool_does_not_grow(limited, backends):
    seawall = limited(default_pool_size=1, reserve_pool_size=0, reserve_pool_timeout=0, query_wait_timeout="600ms")
    with wired(seawall) as first, wired(seawall) as second:
        hold(first)
        told_to_wait_no_more([second], query(WHOSE), 0.6)
        assert len(backends()) == 1


WAITS = {  # what is asked where every server connection is held
    "a query": query(WHOSE),
    "a batch": batch(WHOSE),
    "a transaction": query("BEGIN; SELECT 1; COMMIT"),
    "a read": query("SELECT 1"),
}


def test_query_wait_timeout(limited, own_cluster):
    seawall = limited({"routing": {"consistency": "eventual"}}, nodes=own_cluster.nodes[:2], default_pool_size=1,
                      query_wait_timeout="500ms")
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(wired(seawall)) for _ in WAITS]
        driver = stack.enter_context(seawall.connect("app_trust"))
        first, second = [stack.enter_context(wired(seawall)) for _ in range(2)]
        hold(first)
        hold_replica(second)
        since = time.monotonic()
        for wire, request in zip(waiting, WAITS.values()):
            wire.send(request)
        with pytest.raises(psycopg.errors.TooManyConnections):
            driver.execute(WHOSE, prepare=True)
        for wire in waiting:
            messages = wire.until_ready()
            assert kinds(messages) == "EZ" and told(messages) == [("ERROR", "53300")] and wire.status == "I"
        assert time.monotonic() - since >= 0.5
        let_go(first, second)
        assert all(goes_on(wire) for wire in waiting)
        assert driver.execute("SELECT 1").fetchone() == (1,)


def test_query_wait_timeout_of_0_waits_for_ever(limited):
    seawall = limited(default_pool_size=1, query_wait_timeout=0)
    with wired(seawall) as first, wired(seawall) as second:
        pid = hold(first)
        second.send(query(WHOSE))
        wait_for_queue(seawall, 1)
        holds_for(lambda: waiting_in(seawall), 3 * TICK, "the wait")
        let_go(first)
        assert rows(second.until_ready()) == [[b"%d" % pid]]


# -- how long a server connection lives

def test_server_lifetime(limited, backends):
    seawall = limited(server_lifetime="1s", default_pool_size=3)
    with wired(seawall) as amid, wired(seawall) as listening, wired(seawall) as free:
        held = {hold(amid)}
        listening.ask(query("LISTEN x"))
        held.add(whose(listening))
        assert whose(free) not in held and len(held) == 2
        backends.wait(2, "the one that is free to be closed")
        backends.wait(2, "the two in use to be much older", "now() - backend_start > '1.6s'")
        assert {pid for _, pid in backends()} == held
        assert goes_on(free) and whose(free) not in held
        let_go(amid)
        listening.ask(query("UNLISTEN x"))
        wait_until(lambda: not {pid for _, pid in backends()} & held, LATE, "them to be closed when they are free")
        assert all(goes_on(wire) for wire in (amid, listening, free))


def test_server_idle_timeout_and_min_pool_size(limited, backends):
    seawall = limited(server_idle_timeout="400ms", min_pool_size=1, default_pool_size=3)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(wired(seawall)) for _ in range(3)]
        held = {hold(wire) for wire in wires}
        let_go(*wires)
        left = backends.wait(1, "all but one to be closed")
        holds_for(lambda: backends() == left, 0.8, "the one that is left")
        (_, pid), = left
        assert pid in held
        backends.end(pid)
        wait_until(lambda: len(backends()) == 1 and backends() != left, LATE, "another one in its place")
        reload(seawall, min_pool_size="2")
        backends.wait(2, "one more")
        reload(seawall, min_pool_size="0")
        hold(wires[0])
        backends.wait(1, "all to be closed but the one in use")
        holds_for(lambda: len(backends()) == 1, 0.8, "the one in use")
        let_go(wires[0])
        backends.wait(0, "the last one to be closed")
        assert goes_on(wires[0])


def test_min_pool_size_of_all_workers(limited, backends):
    seawall = limited(server_idle_timeout="300ms", min_pool_size=1, workers=2)
    with wired_to(seawall, 0) as one, wired_to(seawall, 1) as other:
        hold(one)
        hold(other)
        let_go(one, other)
        backends.wait(1, "all but one to be closed")


def last_node(wire):
    return rows(wire.ask(query("SHOW seawall.last_route")))[0][0].decode()


def opening(seawall, node):
    return [row for row in seawall.console("SHOW SERVERS")
            if row["node"] == node and row["step"] in ("dialling", "login")]


def test_server_connect_timeout_and_login_retry_of_a_replica(limited, own_cluster):
    """The kernel goes on to accept for its postmaster, who answers nobody. Who wanted to read there reads elsewhere; it
    is asked again when server_login_retry says so."""
    seawall = limited({"routing": {"consistency": "eventual"}}, nodes=own_cluster.nodes[:2],
                      server_connect_timeout="700ms", server_login_retry="1h")
    with wired(seawall) as wire:
        assert goes_on(wire)
        with stopped(own_cluster.standbys[0].process.pid):
            since = time.monotonic()
            assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]] and last_node(wire) == "pg1"
            assert 0.7 <= time.monotonic() - since < LATE
            since = time.monotonic()
            assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]] and last_node(wire) == "pg1"
            assert time.monotonic() - since < 0.7
        holds_for(lambda: not opening(seawall, "pg2"), 2 * TICK, "the pause after the failure")
        reload(seawall, server_login_retry="300ms")
        wait_until(lambda: rows(wire.ask(query("SELECT 1"))) and last_node(wire) == "pg2", LATE,
                   "the replica to serve again")


def test_server_connect_timeout_of_the_primary(limited, own_cluster):
    seawall = limited(server_connect_timeout="300ms", server_login_retry="100ms", query_wait_timeout="1s")
    with wired(seawall) as holding, wired(seawall) as waiting:
        hold(holding)
        with stopped(own_cluster.primary.process.pid):
            messages = waiting.ask(query(WHOSE))
            assert told(messages) == [("ERROR", "53300")]
            error, = w.errors(messages)
            assert "server_connect_timeout" in error["D"] and "SHOW NODES" in error["H"]
            waiting.send(query(WHOSE))
        assert rows(waiting.until_ready())
        let_go(holding)


def test_a_node_that_accepts_and_says_nothing(limited, own_cluster):
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen(50)
        nodes = {"silent": "host=%s port=%d" % silent.getsockname()}
        seawall = limited({"nodes": nodes, "routing": {"consistency": "eventual"},
                           "monitor": {"connect_timeout": "200ms"}}, server_connect_timeout="200ms")
        for _ in range(10):
            with wired(seawall) as wire:
                assert goes_on(wire) and rows(wire.ask(query("SELECT 1"))) == [[b"1"]]
                assert last_node(wire) != "silent"


# -- a sign of life

def checks(cluster, pid):
    """How often a backend of the primary was sent an empty query."""
    with open(cluster.primary.log_path, errors="replace") as log:
        return len(re.findall(r"(?m)^[^\n]*\[%d\][^\n]* LOG:  statement: $" % pid, log.read()))


def test_server_check_delay_of_0_checks_before_every_use(limited, own_cluster):
    seawall = limited(server_check_delay=0)
    with wired(seawall) as wire:
        pid = whose(wire)
        before = checks(own_cluster, pid)
        assert [whose(wire) for _ in range(3)] == [pid] * 3
        assert checks(own_cluster, pid) == before + 3
        assert hold(wire) == pid and whose(wire) == pid
        let_go(wire)
        assert checks(own_cluster, pid) == before + 4


def test_server_check_delay(limited, own_cluster, backends):
    seawall = limited(server_check_delay="1h")
    with wired(seawall) as wire:
        pid = whose(wire)
        assert whose(wire) == pid and checks(own_cluster, pid) == 0
        reload(seawall, server_check_delay="300ms")
        backends.wait(1, "it to be idle for longer", "state = 'idle' AND now() - state_change > '0.4s'")
        assert whose(wire) == pid and checks(own_cluster, pid) == 1


def test_a_sign_of_life_is_no_use(limited, backends):
    """What nobody uses is closed, however often it has been asked."""
    seawall = limited(server_check_delay=0, server_idle_timeout="400ms", default_pool_size=3)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(wired(seawall)) for _ in range(3)]
        for wire in wires:
            hold(wire)
        assert len(backends()) == 3
        let_go(*wires)
        wait_until(lambda: goes_on(wires[0]) and len(backends()) == 1, LATE, "those to be closed that nobody needs")


def is_closed(seawall, pid):
    return not any(row["remote_pid"] == str(pid) for row in seawall.console("SHOW SERVERS"))


@pytest.mark.parametrize("count", [1, 2])
def test_a_frozen_server_connection_is_given_to_no_client(limited, count):
    """It is given up after server_connect_timeout; where there is another one, nobody waits for that."""
    seawall = limited(server_check_delay=0, server_connect_timeout="1s", default_pool_size=count)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(wired(seawall)) for _ in range(count)]
        pids = {hold(wire) for wire in wires}
        let_go(*wires)
        frozen = whose(wires[0])
        with stopped(frozen):
            since = time.monotonic()
            for wire in wires:
                wire.send(query(WHOSE))
            served = {int(rows(wire.until_ready(LATE))[0][0]) for wire in wires}
            assert time.monotonic() - since < (1 if count > 1 else 1 + 4 * TICK)
            assert frozen not in served and pids - {frozen} <= served
            wait_until(lambda: is_closed(seawall, frozen), LATE, "the frozen one to be given up")
            assert all(goes_on(wire) for wire in wires)


def test_a_frozen_server_connection_to_a_replica_is_given_to_no_client(limited, own_cluster, backends):
    seawall = limited({"routing": {"consistency": "eventual"}}, nodes=own_cluster.nodes[:2], server_check_delay=0,
                      server_connect_timeout="500ms")
    with wired(seawall) as wire:
        assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]] and last_node(wire) == "pg2"
        (_, frozen), = backends(node="pg2")
        with stopped(frozen):
            since = time.monotonic()
            assert rows(wire.ask(query("SELECT 1"), deadline=LATE)) == [[b"1"]]
            assert time.monotonic() - since < 0.5 + 4 * TICK
            wait_until(lambda: is_closed(seawall, frozen), LATE, "the frozen one to be given up")
        assert goes_on(wire)


# -- prepared statements

HELD = "SELECT count(*) FROM pg_prepared_statements"  # on the server connection that this statement gets


def held_plans(wire, begin):
    wire.ask(query(begin))
    (count,), = rows(wire.ask(query(HELD)))
    let_go(wire)
    return int(count)


def numbered(number):
    return "SELECT %d, $1::int" % number


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN READ ONLY"])
@pytest.mark.parametrize("limit", [1, 4])
def test_max_prepared_statements(limited, own_cluster, limit, begin):
    """Two sessions with more statements than a server connection may have, on the only one of their node."""
    seawall = limited(nodes=own_cluster.nodes[:2], default_pool_size=1, max_prepared_statements=limit)
    with wired(seawall) as one, wired(seawall) as other:
        for wire in (one, other):
            for number in range(12):
                assert kinds(wire.ask(parse("s%d" % number, numbered(number)), sync())) == "1Z"
        for turn in range(3):
            for wire in (one, other):
                wire.ask(query(begin))
                for number in range(12):
                    messages = wire.ask(bind("", "s%d" % number, [turn]), execute(), sync())
                    assert rows(messages) == [[b"%d" % number, b"%d" % turn]]
                assert int(rows(wire.ask(query(HELD)))[0][0]) <= limit
                let_go(wire)
        pipeline = b"".join(bind("", "s%d" % number, [number]) + execute() for number in range(12))
        assert rows(one.ask(pipeline, sync())) == [[b"%d" % number] * 2 for number in range(12)]
        assert held_plans(one, begin) <= limit


def test_max_prepared_statements_and_a_driver(limited, own_cluster):
    seawall = limited(default_pool_size=1, max_prepared_statements="3")
    with seawall.connect("app_trust", prepare_threshold=0) as driver, wired(seawall) as wire:
        def ask_all():
            for number in range(20):
                sql = "SELECT %d, %%s::int FROM pg_advisory_xact_lock(1)" % number
                assert driver.execute(sql, (number,)).fetchone() == (number, number)
            return held_plans(wire, "BEGIN")
        assert ask_all() == 3 == ask_all()
        reload(seawall, max_prepared_statements="10")
        assert ask_all() == 10
        reload(seawall, max_prepared_statements="2")
        assert ask_all() == 2


# -- other limits for those who are there already

def test_limits_that_change_by_reload(limited):
    seawall = limited(default_pool_size=1, query_wait_timeout="1h")
    with wired(seawall) as idle, wired(seawall) as holding, wired(seawall) as patient, wired(seawall) as waiting:
        hold(holding)
        waiting.send(query("BEGIN; SELECT 1"))
        wait_for_queue(seawall, 1)
        reload(seawall, default_pool_size="2")
        assert rows(waiting.until_ready()) == [[b"1"]]
        patient.send(query(WHOSE))
        wait_for_queue(seawall, 1)
        reload(seawall, query_wait_timeout="100ms")
        assert told(patient.until_ready()) == [("ERROR", "53300")]
        reload(seawall, idle_transaction_timeout="100ms")
        for wire in (holding, waiting):
            assert told(wire.until_closed(LATE)) == [("FATAL", "25P03")]
        assert goes_on(idle) and goes_on(patient)
        reload(seawall, client_idle_timeout="100ms")
        for wire in (idle, patient):
            assert told(wire.until_closed(LATE)) == [("FATAL", "57P05")]
