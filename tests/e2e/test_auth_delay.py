"""A client that has not proven who it is hears of it after auth_failure_delay, and holds up nobody meanwhile."""

import base64
import contextlib
import os
import signal
import time

import psycopg
import pytest

from lib import proc
from lib.cluster import USERS
from lib.proxy import Seawall, default_users
from lib.wait import holds_for, wait_until
from lib.wire import ServerError, Wire, errors, message, startup, text

LONG = "1min"  # longer than any test
COSTLY_ITERATIONS = 900000


def connect(seawall):
    return Wire(seawall.host, seawall.port)


def refusal(seawall, user="app", password="wrong", **kw):
    """Logs in in vain: how long the answer took, and what it was."""
    with connect(seawall) as wire:
        started = time.monotonic()
        with pytest.raises(ServerError) as refused:
            wire.login(user, "app", password, **kw)
        return time.monotonic() - started, refused.value


def send_wrong_password(wire, user="app"):
    wire.send(startup({"user": user, "database": "app"}))
    assert wire.receive() == ("R", b"\0\0\0\3")
    wire.send(message("p", text("wrong")))


def refused_clients(seawall):
    return [row for row in seawall.console("SHOW CLIENTS") if row["step"] == "refused"]


@pytest.fixture
def start(cluster, make_seawall):
    return lambda delay, **kw: make_seawall(
        cluster, config={"seawall": dict({"auth_type": "plain", "auth_failure_delay": delay}, **kw)})


@pytest.fixture
def refuse(start):
    """refuse(seawall) is a client whose refusal is held back; all are closed in the end."""
    with contextlib.ExitStack() as stack:
        def one(seawall):
            wire = stack.enter_context(connect(seawall))
            before = len(refused_clients(seawall))
            send_wrong_password(wire)
            wait_until(lambda: len(refused_clients(seawall)) > before, 10, "the client to be refused")
            return wire
        yield one


@pytest.mark.parametrize("auth_type", ["plain", "md5", "scram-sha-256"])
@pytest.mark.parametrize("user, password", [("app", "wrong"), ("app", ""), ("nobody", "x")])
def test_a_refusal_takes_its_time(start, auth_type, user, password):
    took, refused = refusal(start("400ms", auth_type=auth_type), user, password)
    assert refused.sqlstate == "28P01" and took >= 0.4


def test_half_a_second_where_nothing_is_said(start):
    seawall = start(None)
    took, refused = refusal(seawall)
    assert refused.sqlstate == "28P01" and took >= 0.5


def test_the_hba_file_s_refusals_too(cluster, make_seawall):
    path = os.path.join(proc.make_dir("hba"), "hba.conf")
    with open(path, "w") as out:
        out.write("host all postgres all trust\nhost all app all reject\nhostssl all bench all cert\n")
    seawall = make_seawall(cluster, config={"seawall": {"auth_type": "hba", "auth_hba_file": path,
                                                        "auth_failure_delay": "400ms"}})
    for user in ("app", "bench"):
        took, refused = refusal(seawall, user)
        assert refused.sqlstate == "28000" and took >= 0.4


def test_zero_is_no_delay(start):
    assert refusal(start("0"))[0] < 5


def test_those_who_wait_do_not_wait_for_each_other(start):
    seawall = start("2s", workers=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(seawall)) for _ in range(20)]
        started = time.monotonic()
        for wire in clients:
            send_wrong_password(wire)
        for wire in clients:
            assert [fields["C"] for fields in errors(wire.until_closed())] == ["28P01"]
        assert 2 <= time.monotonic() - started < 10


def test_a_good_login_and_its_queries_do_not_wait(start, refuse):
    seawall = start(LONG, workers=1)
    wire = refuse(seawall)
    started = time.monotonic()
    with seawall.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - started < 10
    assert len(refused_clients(seawall)) == 1
    assert not wire.pending


def test_a_client_that_leaves_frees_its_place(start):
    """The console's client may count for a moment, too; so it is not exact."""
    seawall = start(LONG, max_client_conn=5)

    def gets_in():
        try:
            seawall.connect().close()
            return True
        except psycopg.OperationalError:
            return False
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            send_wrong_password(stack.enter_context(connect(seawall)))
        wait_until(lambda: len(refused_clients(seawall)) == 5, 10, "five clients to be refused")
        with connect(seawall) as wire, pytest.raises(ServerError) as full:
            wire.login("app", "app", USERS["app"][0])
        assert full.value.sqlstate == "53300"
    wait_until(lambda: not refused_clients(seawall), 10, "the places to be free")
    wait_until(gets_in, 10, "somebody else to get in")


def test_what_it_sends_meanwhile_is_neither_used_nor_kept(start, refuse):
    seawall = start(LONG)
    wire = refuse(seawall)
    before = seawall.rss_kb()
    wire.send(message("p", text(USERS["app"][0])))
    for _ in range(64):
        wire.send(b"Q" * (1 << 20))
    holds_for(lambda: len(refused_clients(seawall)) == 1, 0.3, "the refusal")
    assert not wire.pending
    assert seawall.rss_kb() - before < 16 * 1024


def test_client_login_timeout_ends_the_wait(start):
    seawall = start(LONG, client_login_timeout="1s")
    with connect(seawall) as wire:
        send_wrong_password(wire)
        assert [fields["C"] for fields in errors(wire.until_closed())] == ["08P01"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_wait(start, refuse, number):
    seawall = start(LONG)
    wire = refuse(seawall)
    seawall.process.send_signal(number)
    assert [fields["C"] for fields in errors(wire.until_closed())] == ["57P01"]
    seawall.check_exit(proc.wait_exit(seawall.process, 20, "Seawall"))
    seawall.start()


def test_a_reload_changes_it_for_who_comes_next(start, refuse):
    def delay():
        return next(row["value"] for row in seawall.console("SHOW CONFIG") if row["key"].endswith("auth_failure_delay"))
    seawall = start(LONG)
    wire = refuse(seawall)
    seawall.reload({"seawall": {"auth_failure_delay": "300ms"}})
    wait_until(lambda: delay() == "300ms", 10, "the reload")
    wait_until(lambda: refusal(seawall)[0] < 10, 10, "every worker to know of it")
    took, refused = refusal(seawall)
    assert took >= 0.3 and refused.sqlstate == "28P01"
    assert len(refused_clients(seawall)) == 1 and not wire.pending


def test_what_the_check_costs_does_not_show(cluster):
    """A SCRAM secret of many iterations makes a wrong password costly to judge, and an unknown user's is judged at once."""
    zeroes = base64.b64encode(bytes(32)).decode()
    users = dict(default_users(), app="SCRAM-SHA-256$%d:%s$%s:%s" % (COSTLY_ITERATIONS, zeroes, zeroes, zeroes))
    config = {"auth_type": "plain", "auth_failure_delay": 0}
    with Seawall(cluster, config={"seawall": config}, users=users) as seawall:
        cost = min(refusal(seawall)[0] for _ in range(3)) - min(refusal(seawall, "nobody")[0] for _ in range(3))
    with Seawall(cluster, config={"seawall": dict(config, auth_failure_delay="2s")}, users=users) as seawall:
        assert cost > 0.02
        with_delay = min(refusal(seawall)[0] for _ in range(3)) - min(refusal(seawall, "nobody")[0] for _ in range(3))
        assert abs(with_delay) < cost / 2
