"""Clients whom PAM checks: real libpam, with a service of the test's own in /etc/pam.d, whose modules ask a script.

Where PostgreSQL says the same of the same lines, the test asks it, too.
"""

import contextlib
import errno
import glob
import os
import signal
import time

import psycopg
import pytest

from lib import proc
from lib.cluster import HOST, USERS, Cluster, pg_bin
from lib.proxy import ADMIN, ADMIN_PASSWORD, Seawall
from lib.tls import Over, unix_socket
from lib.wait import wait_until
from lib.wire import ServerError, Wire, message, query, rows, startup, text

SERVICES = "/etc/pam.d"
THREADS = 8  # SW_PAM_THREADS_MAX
PASSWORD = "proven to PAM"
LDAP_LIKE = {"app": PASSWORD, "app_trust": PASSWORD, "bench": "b", ADMIN: ADMIN_PASSWORD}

pytestmark = [
    pytest.mark.skipif(not proc.IS_ROOT, reason="a PAM service is a file in %s, which only root can write" % SERVICES),
    pytest.mark.skipif(not glob.glob("/lib/*/security/pam_exec.so"), reason="PAM's modules are not installed"),
]

CHECK = """\
#!/bin/sh
# Asked by pam_exec: is that the user's password? "hang" keeps it waiting until somebody opens the gate.
password=$(tr -d '\\000')
echo "$PAM_SERVICE|$PAM_USER|$PAM_RHOST" >>%(directory)s/asked
[ "$password" != hang ] || cat %(directory)s/gate >/dev/null
exec grep -qxF -e "$PAM_USER:$password" %(directory)s/passwords
"""
EXEC = "pam_exec.so expose_authtok quiet %(directory)s/check"
STACKS = {
    "": "auth required %s\naccount required pam_permit.so\n" % EXEC,
    "-permit": "auth required pam_permit.so\naccount required pam_permit.so\n",
    "-deny": "auth required pam_deny.so\naccount required pam_permit.so\n",
    "-locked": "auth required %s\naccount required pam_deny.so\n" % EXEC,
    "-slow": "auth optional pam_faildelay.so delay=30000000\nauth required pam_deny.so\naccount required pam_permit.so\n",
}


class Pam:
    """The services, and what their script was asked."""

    def __init__(self, stack):
        self.name = "seawall-test-%d" % os.getpid()
        self.directory = proc.make_dir("pam")
        for name, mode, content in (("asked", 0o666, ""), ("passwords", 0o644, ""),
                                    ("check", 0o755, CHECK % {"directory": self.directory})):
            with open(self.path(name), "w") as out:
                out.write(content)
            os.chmod(self.path(name), mode)
        os.mkfifo(self.path("gate"))
        os.chmod(self.path("gate"), 0o666)
        self.know(LDAP_LIKE)
        for suffix, content in STACKS.items():
            self.add_service(stack, self.name + suffix, content)

    def path(self, name):
        return os.path.join(self.directory, name)

    def know(self, passwords):
        with open(self.path("passwords"), "w") as out:
            out.writelines("%s:%s\n" % item for item in passwords.items())

    def add_service(self, stack, name, content):
        path = os.path.join(SERVICES, name)
        with open(path, "x") as out:
            stack.callback(os.unlink, path)
            out.write(content % {"directory": self.directory})

    def asked(self):
        with open(self.path("asked")) as lines:
            return lines.read().splitlines()

    def forget(self):
        os.truncate(self.path("asked"), 0)

    def open_gate(self):
        """Lets go of those who hang now."""
        try:
            os.close(os.open(self.path("gate"), os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            assert error.errno == errno.ENXIO


@pytest.fixture(scope="module")
def services():
    with contextlib.ExitStack() as stack:
        yield Pam(stack)


@pytest.fixture
def pam(services):
    services.know(LDAP_LIKE)
    services.forget()
    yield services
    services.open_gate()


def lines_of(pam):
    return ("host all postgres all trust\n"
            "host app app_trust,bench,nobody all pam pamservice=%(name)s\n"
            "host app app_md5 all pam pamservice=%(name)s-permit\n"
            "host app app_plain all pam pamservice=%(name)s-deny\n"
            "host app app all pam pamservice=%(name)s-locked\n"
            "host bench app_trust all pam pamservice=%(name)s-nowhere\n"
            "host bench bench all pam pamservice=%(name)s-slow\n"
            "local app app_trust pam pamservice=%(name)s\n"
            "host postgres app_trust all trust\n") % {"name": pam.name}


def write_hba(lines):
    path = os.path.join(proc.make_dir("hba"), "hba.conf")
    with open(path, "w") as out:
        out.write(lines)
    proc.own(path)
    return path


@pytest.fixture(scope="module")
def direct(services):
    """A PostgreSQL server with the lines."""
    built = proc.run([pg_bin("pg_config"), "--configure"], unprivileged=False).stdout
    if "--with-pam" not in built:
        pytest.skip("PostgreSQL is built without PAM")
    with Cluster(standbys=0) as cluster:
        with open(os.path.join(cluster.primary.data, "pg_hba.conf"), "w") as out:
            out.write(lines_of(services))
        cluster.primary.configure()
        yield cluster.primary


@pytest.fixture(scope="module")
def guarded(cluster, services):
    with Seawall(cluster, config={"seawall": {"auth_type": "hba", "auth_hba_file": write_hba(lines_of(services)),
                                              "unix_socket_dir": proc.make_dir("socket")}}) as running:
        yield running


@pytest.fixture(params=["direct", "guarded"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def start(cluster, make_seawall, pam):
    """start(lines, auth_file's users, …) is a Seawall in which PAM checks everybody but the console's user."""
    def one(users=None, **keys):
        path = write_hba("host all postgres all trust\nhost all all all pam pamservice=%s\n" % pam.name)
        return make_seawall(cluster, users=users if users is not None else {ADMIN: ADMIN_PASSWORD},
                            config={"seawall": dict({"auth_type": "hba", "auth_hba_file": path}, **keys)})
    return one


def connect(seawall):
    return Wire(seawall.host, seawall.port)


def outcome(server, user, password, database="app"):
    """What became of a login: in, or the error and its text."""
    with connect(server) as wire:
        try:
            messages = wire.login(user, database, password)
        except ServerError as error:
            return error.sqlstate, error.fields["M"]
        assert [body for kind, body in messages if kind == "R"] == [b"\0\0\0\3", b"\0\0\0\0"]
        assert rows(wire.ask(query("SELECT current_user"))) == [[user.encode()]]
        return "in"


def failed(user):
    return "28000", 'PAM authentication failed for user "%s"' % user


@pytest.mark.parametrize("user, password, result", [
    ("app_trust", PASSWORD, "in"), ("app_trust", "wrong", failed("app_trust")), ("bench", PASSWORD, failed("bench")),
    ("nobody", PASSWORD, failed("nobody"))])
def test_a_module_s_word(server, pam, user, password, result):
    if user == "nobody":
        pam.know({})
    assert outcome(server, user, password) == result
    assert pam.asked() == ["%s|%s|%s" % (pam.name, user, HOST)]


def test_accounts_that_are_locked(server, pam):
    assert outcome(server, "app", PASSWORD) == failed("app")
    assert len(pam.asked()) == 1


def test_a_service_that_denies_and_one_that_does_not_exist(server, pam):
    assert outcome(server, "app_plain", "any") == failed("app_plain")
    assert outcome(server, "app_trust", PASSWORD, "bench") == failed("app_trust")


def test_a_service_that_permits_whatever_the_password_is(guarded, pam):
    """PostgreSQL asks the client for a password only when a module asks for one."""
    assert outcome(guarded, "app_md5", "any") == "in"


def test_no_password_is_not_asked_about(guarded, pam):
    for user in ("app_trust", "app_md5"):
        assert outcome(guarded, user, "") == failed(user)
    assert pam.asked() == []


def test_over_a_unix_socket_there_is_no_host(guarded, pam):
    with Over(unix_socket(guarded.config["seawall"]["unix_socket_dir"], guarded.port)) as wire:
        wire.login("app_trust", "app", PASSWORD)
        assert rows(wire.ask(query("SELECT current_user"))) == [[b"app_trust"]]
    assert pam.asked() == ["%s|app_trust|" % pam.name]


def test_the_log_says_why(guarded, pam):
    outcome(guarded, "app_trust", "wrong")
    wait_until(lambda: 'login of user "app_trust" from 127.0.0.1 failed: PAM: service "%s": ' % pam.name in guarded.log(),
               10, "the line")
    assert PASSWORD not in guarded.log()


def test_PAM_s_own_delay_keeps_no_thread(guarded, pam):
    started = time.monotonic()
    assert outcome(guarded, "bench", "wrong", "bench") == failed("bench")
    assert time.monotonic() - started < 20


def test_a_refusal_takes_auth_failure_delay(start, pam):
    seawall = start(auth_failure_delay="700ms")
    for user, password in (("app_trust", "wrong"), ("nobody", "x"), ("app_trust", "")):
        started = time.monotonic()
        assert outcome(seawall, user, password) == failed(user)
        assert time.monotonic() - started >= 0.7


def test_everybody_by_the_service_seawall(cluster, make_seawall, pam):
    """auth_type = pam, without an auth_file."""
    if os.path.exists(os.path.join(SERVICES, "seawall")):
        pytest.skip("this machine has a PAM service \"seawall\" of its own")
    with contextlib.ExitStack() as stack:
        pam.add_service(stack, "seawall", STACKS[""])
        seawall = make_seawall(cluster, config={"seawall": {"auth_type": "pam", "auth_file": ""}})
        assert outcome(seawall, "app_trust", PASSWORD) == "in"
        assert outcome(seawall, "app_trust", "wrong") == failed("app_trust")
        assert "seawall|%s|%s" % (ADMIN, HOST) in pam.asked()  # the console's user, too
        with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
            seawall.connect(ADMIN, "seawall", password="wrong")


@pytest.mark.parametrize("user", ["app", "app_md5", "app_plain"])
def test_what_was_proven_serves_for_the_nodes(start, pam, user):
    password = USERS[user][0]
    pam.know({user: password})
    with start().connect(user, password=password) as connection:
        connection.execute("SELECT txid_current()")
        assert connection.execute("SELECT current_user").fetchone() == (user,)


def test_what_was_proven_last_serves_for_the_nodes(start, pam):
    """PAM and the nodes disagree, until PAM's password is theirs, too."""
    pam.know({"app": "not the nodes'"})
    seawall = start(server_login_retry=0)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed|cannot log in"):
        seawall.connect("app", password="not the nodes'").execute("SELECT 1")
    pam.know({"app": USERS["app"][0]})

    def gets_in():
        try:
            with seawall.connect("app", password=USERS["app"][0]) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False
    wait_until(gets_in, 10, "the new password to reach the nodes")


def test_auth_file_goes_first_for_the_nodes(start, pam):
    seawall = start(users={ADMIN: ADMIN_PASSWORD, "app": USERS["app"][0]})
    with seawall.connect("app", password=PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    assert outcome(seawall, "app", USERS["app"][0]) == failed("app")  # it says nothing about clients


# -- modules that hang

def send_password(wire, user, password):
    wire.send(startup({"user": user, "database": "app"}))
    assert wire.receive() == ("R", b"\0\0\0\3")
    wire.send(message("p", text(password)))


def waiting(seawall):
    return sum(row["step"] == "wait_pam" for row in seawall.console("SHOW CLIENTS"))


@pytest.fixture
def hang(pam):
    """hang(seawall, count): clients whose modules hang, at the head of those who wait."""
    with contextlib.ExitStack() as stack:
        def some(seawall, count):
            before = len(pam.asked())
            wires = [stack.enter_context(connect(seawall)) for _ in range(count)]
            for wire in wires:
                send_password(wire, "app_trust", "hang")
            wait_until(lambda: len(pam.asked()) == before + count, 20, "the modules to be asked")
            return wires
        yield some


def until_answered(pam, wire):
    """The answer, however often the gate has to be opened for it."""
    def is_there():
        pam.open_gate()
        try:
            return wire.receive(0.2)
        except AssertionError:
            return None
    kind, body = wait_until(is_there, 10, "an answer")
    return kind, body


def test_a_module_that_hangs_holds_up_nobody_else(start, pam, hang):
    seawall = start(workers=1)
    with seawall.connect("bench", password="b") as connection:
        wire, = hang(seawall, 1)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert outcome(seawall, "app_trust", PASSWORD) == "in"
    assert waiting(seawall) == 1 and not wire.pending
    assert until_answered(pam, wire)[0] == "E"


def test_more_than_may_hang_wait_in_line(start, pam, hang):
    seawall = start()
    wires = hang(seawall, THREADS)
    with connect(seawall) as late:
        send_password(late, "app_trust", PASSWORD)
        wait_until(lambda: waiting(seawall) == THREADS + 1, 10, "all to wait")
        assert len(pam.asked()) == THREADS
        assert seawall.console("SHOW VERSION")
        assert until_answered(pam, late) == ("R", b"\0\0\0\0")
    for wire in wires:
        assert until_answered(pam, wire)[0] == "E"
    assert outcome(seawall, "app_trust", PASSWORD) == "in"


def test_clients_that_leave_are_forgotten(start, pam, hang):
    seawall = start()
    wires = hang(seawall, THREADS)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            send_password(stack.enter_context(connect(seawall)), "app_trust", PASSWORD)
        wait_until(lambda: waiting(seawall) == THREADS + 20, 10, "all to wait")
    wait_until(lambda: waiting(seawall) == THREADS, 10, "who has left to be gone")
    for wire in wires:
        wire.close()
    wait_until(lambda: waiting(seawall) == 0, 10, "all to be gone")

    def gets_in():
        pam.open_gate()
        try:
            seawall.connect("app_trust", password=PASSWORD, connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False
    wait_until(gets_in, 20, "somebody to get in")
    assert len(pam.asked()) <= THREADS + 10  # none of the twenty


def test_client_login_timeout_ends_the_wait(start, pam, hang):
    seawall = start(client_login_timeout="500ms")
    for wire in hang(seawall, 2):
        assert b"C08P01\0" in wire.drain()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_module_that_hangs_does_not_keep_a_stop(start, pam, hang, number):
    seawall = start()
    wire, = hang(seawall, 1)
    seawall.process.send_signal(number)
    assert b"C57P01\0" in wire.drain()
    seawall.check_exit(proc.wait_exit(seawall.process, 10, "Seawall"))
    seawall.start()
