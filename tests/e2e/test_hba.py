"""Who may come from where, and how he proves it: rules, certificates, maps of names.

The rules below are given to a PostgreSQL server and to Seawall: what holds for the one must hold for the other.
"""

import contextlib
import os
import pwd
import socket
import ssl
import struct

import psycopg
import pytest

from lib import proc
from lib.certs import make_certs
from lib.cluster import HOST, USERS, Cluster, pg_bin
from lib.proxy import ADMIN, binary_path
from lib.tls import Over, Showing, TlsWire, context, unix_socket
from lib.wait import wait_until
from lib.wire import SSL_REQUEST, Closed, ServerError, query, rows, special

ME = pwd.getpwuid(os.geteuid()).pw_name
NO_LINE = "28000"
SECRETS = {role: password for role, (password, _) in USERS.items()}

RULES = """\
# who is waited for
host      all        postgres       127.0.0.1/32               trust

# the first line that fits, and no other
hostssl   app        app_md5        127.0.0.1/32               md5
host      app        app_md5        127.0.0.1/32               password
hostnossl app        app_plain      all                        password
hostssl   app        app_plain      all                        reject

# lists, masks, names in quotes
host      app,bench  app,bench      127.0.0.2 255.255.255.255  trust
host      sameuser   bench,app      127.0.0.1/32               trust
host      "app"      app_trust      127.0.0.8/30               trust
host      all        "all"          0.0.0.0/0                  trust
host      template1  app            samehost                   trust

# certificates
hostssl   bench      app            127.0.0.1/32               cert
hostssl   bench      app_trust      127.0.0.1/32               cert map=people
hostssl   bench      app_md5        127.0.0.1/32               cert map=people
hostssl   postgres   app            127.0.0.1/32               scram-sha-256 clientcert=verify-full
hostssl   postgres   app_trust      127.0.0.1/32               trust clientcert=verify-ca

# Unix sockets
local     all        postgres                                  peer
local     app        app_trust                                 peer map=system
local     app        app                                       peer map=system
local     bench      bench                                     trust
"""
MAPS = """\
people  "Alice Example"         app_trust
people  /^(.*)@example\\.org$    \\1
system  %s                      app_trust
system  nobody                  app
""" % ME


@pytest.fixture(scope="module")
def certs():
    return make_certs()


def write(path, text):
    with open(path, "w") as out:
        out.write(text)
    proc.own(path)


@pytest.fixture(scope="module")
def direct(certs):
    """A PostgreSQL server with the rules."""
    with Cluster(standbys=0, conf=certs.of_node()) as cluster:
        node = cluster.primary
        write(os.path.join(node.data, "pg_hba.conf"), RULES)
        write(os.path.join(node.data, "pg_ident.conf"), MAPS)
        node.configure()
        node.socket_dir = node.data
        yield node


class Guarded(Showing):
    """A Seawall with rules, and a Unix socket."""

    def __init__(self, cluster, certs, rules, maps="", **keys):
        super().__init__(cluster, certs.client("anybody"))
        self.socket_dir = proc.make_dir("socket")
        self.hba_path, self.ident_path = (os.path.join(self.directory, name) for name in ("hba.conf", "ident.conf"))
        write(self.hba_path, rules)
        write(self.ident_path, maps)
        self.change({"seawall": dict(certs.for_clients("allow"), auth_type="hba", auth_hba_file=self.hba_path,
                                     auth_ident_file=self.ident_path, unix_socket_dir=self.socket_dir, **keys)})


@pytest.fixture(scope="module")
def guarded(cluster, certs):
    with Guarded(cluster, certs, RULES, MAPS) as running:
        yield running


@pytest.fixture
def make_guarded(cluster, certs):
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kw: stack.enter_context(Guarded(cluster, certs, *args, **kw))


@pytest.fixture(params=["direct", "guarded"])
def server(request):
    return request.getfixturevalue(request.param)


METHODS = {0: "trust", 3: "password", 5: "md5", 10: "scram"}


def tcp(server, source=HOST, tls=None):
    connected = socket.create_connection((server.host, server.port), 10, (source, 0))
    if tls:
        connected.sendall(special(SSL_REQUEST))
        assert connected.recv(1) == b"S"
        connected = tls.wrap_socket(connected, server_hostname="localhost")
    return connected


def outcome(connected, user, database, password=None):
    """What became of a login: how the user proved who he is, or the error."""
    with Over(connected) as wire:
        try:
            messages = wire.login(user, database, password or SECRETS.get(user))
        except ServerError as error:
            return error.sqlstate
        assert rows(wire.ask(query("SELECT current_user"))) == [[user.encode()]]
        return METHODS[next(struct.unpack_from("!i", body)[0] for kind, body in messages if kind == "R")]


@pytest.mark.parametrize("user, database, source, plain, secure", [
    ("app_md5", "app", HOST, "password", "md5"),
    ("app_md5", "app", "127.0.0.2", NO_LINE, NO_LINE),
    ("app_plain", "app", HOST, "password", "28000"),
    ("app_plain", "app", "127.3.2.1", "password", "28000"),
    ("app", "app", "127.0.0.2", "trust", "trust"),
    ("app", "bench", "127.0.0.2", "trust", "trust"),
    ("bench", "app", "127.0.0.2", "trust", "trust"),
    ("bench", "bench", "127.0.0.3", NO_LINE, NO_LINE),
    ("bench", "bench", HOST, "trust", "trust"),
    ("app", "app", HOST, "trust", "trust"),
    ("bench", "app", HOST, NO_LINE, NO_LINE),
    ("app_trust", "app", "127.0.0.7", NO_LINE, NO_LINE),
    ("app_trust", "app", "127.0.0.9", "trust", "trust"),
    ("app_trust", "app", "127.0.0.11", "trust", "trust"),
    ("app_trust", "app", "127.0.0.12", NO_LINE, NO_LINE),
    ("app", "template1", HOST, "trust", "trust"),
    ("app", "template1", "127.0.0.2", NO_LINE, NO_LINE),
    ("nobody", "app", HOST, NO_LINE, NO_LINE),
    ("app_trust", "no_such_database", HOST, NO_LINE, NO_LINE),
])
def test_the_first_line_that_fits(server, certs, user, database, source, plain, secure):
    assert outcome(tcp(server, source), user, database) == plain
    assert outcome(tcp(server, source, context(certs.ca)), user, database) == secure


@pytest.mark.parametrize("common_name, user, database, result", [
    ("app", "app", "bench", "trust"), ("bench", "app", "bench", "28000"), (None, "app", "bench", "28000"),
    ("App", "app", "bench", "28000"), ("app@example.org", "app", "bench", "28000"),
    ("Alice Example", "app_trust", "bench", "trust"), ("Alice Example", "app_md5", "bench", "28000"),
    ("app_trust", "app_trust", "bench", "28000"), (None, "app_trust", "bench", "28000"),
    ("app_md5@example.org", "app_md5", "bench", "trust"), ("app_md5@example.org", "app_trust", "bench", "28000"),
    ("app_md5@example.org.evil", "app_md5", "bench", "28000"),
    ("app", "app", "postgres", "scram"), (None, "app", "postgres", "28000"),
    ("whoever", "app_trust", "postgres", "trust"), (None, "app_trust", "postgres", "28000"),
])
def test_certificates(server, certs, common_name, user, database, result):
    tls = context(certs.ca, certs.client(common_name) if common_name else None)
    assert outcome(tcp(server, tls=tls), user, database) == result


def test_a_password_beside_the_certificate(server, certs):
    """clientcert=verify-full asks for both."""
    own, other = (context(certs.ca, certs.client(name)) for name in ("app", "bench"))
    assert outcome(tcp(server, tls=own), "app", "postgres", "wrong") == "28P01"
    assert outcome(tcp(server, tls=other), "app", "postgres").startswith("28")


def test_a_stranger_s_certificate_does_not_get_so_far(server, certs):
    for pair in (certs.stranger, certs.expired):
        with pytest.raises((ssl.SSLError, Closed, ConnectionError)):
            outcome(tcp(server, tls=context(certs.ca, pair)), "app", "bench")


@pytest.mark.parametrize("user, database, result", [
    ("app_trust", "app", "trust"), ("app", "app", "28000"), ("bench", "bench", "trust"),
    ("app_trust", "bench", NO_LINE), ("postgres", "app", "trust" if ME == "postgres" else "28000")])
def test_unix_sockets(server, user, database, result):
    assert outcome(unix_socket(server.socket_dir, server.port), user, database) == result


@pytest.mark.skipif(not proc.IS_ROOT, reason="only root can be somebody else")
def test_a_peer_is_who_runs_the_client(server):
    def psql(user):
        argv = [pg_bin("psql"), "-X", "-h", server.socket_dir, "-p", str(server.port), "-U", user, "-d", "app"]
        return proc.run(argv + ["-Atc", "SELECT current_user"], check=False, env={"HOME": "/nowhere"}).stdout.strip()
    assert psql(proc.SERVER_USER) == proc.SERVER_USER
    assert 'eer authentication failed for user "app_trust"' in psql("app_trust")


# -- Seawall alone

def line_of(text):
    return RULES[:RULES.index(text)].count("\n") + 1


def test_the_log_says_which_line_refused(guarded, certs):
    before = len(guarded.log())
    assert outcome(tcp(guarded, tls=context(certs.ca)), "app_plain", "app") == "28000"
    assert outcome(tcp(guarded, "127.0.0.3"), "bench", "bench") == "28000"
    with pytest.raises(ServerError) as refused, Over(tcp(guarded)) as wire:
        wire.login("bench", "app")
    for word in ('"bench"', '"app"', HOST, "without TLS"):
        assert word in refused.value.fields["M"]
    rejected, missing = [line for line in guarded.log()[before:].split("\n") if "hba" in line][:2]
    assert "%s:%d" % (guarded.hba_path, line_of("hostssl   app        app_plain")) in rejected
    assert "with TLS" in rejected
    assert "127.0.0.3" in missing and "no line" in missing


def test_the_log_says_whose_certificate_it_was(guarded, certs):
    assert outcome(tcp(guarded, tls=context(certs.ca, certs.client("bench"))), "app", "bench") == "28000"
    assert any('user "app"' in line and '"bench"' in line and "certificate" in line
               for line in guarded.log().split("\n"))


def test_the_console_has_rules_too(guarded):
    assert outcome_of_console(guarded, HOST) == "in"
    assert outcome_of_console(guarded, "127.0.0.2") == NO_LINE


def outcome_of_console(seawall, source):
    with Over(tcp(seawall, source)) as wire:
        try:
            wire.login(ADMIN, "seawall")
        except ServerError as error:
            return error.sqlstate
        return "in"


def test_nothing_is_learnt_of_databases_and_users(make_guarded):
    """Who is not let in hears the same of what there is and of what there is not."""
    seawall = make_guarded("host all postgres all trust\nhost all all all scram-sha-256\n")
    for user in ("app", "nobody"):
        for database in ("app", "no_such_database"):
            assert outcome(tcp(seawall), user, database, "wrong") == "28P01"


def test_regular_expressions_for_names(make_guarded):
    """As PostgreSQL 16 has them."""
    seawall = make_guarded("host all postgres all trust\nhost /^a(pp|sp)$ /^app_t,/^bench$ all trust\n")
    for user, database, result in (("app_trust", "app", "trust"), ("app_trust", "bench", NO_LINE),
                                   ("bench", "app", "trust"), ("app_md5", "app", NO_LINE)):
        assert outcome(tcp(seawall), user, database) == result


def test_channel_binding_by_a_rule(make_guarded):
    seawall = make_guarded("host all postgres all trust\nhost all app all scram-sha-256\n")
    with seawall.connect("app", sslmode="require", channel_binding="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    seawall.connect("app", sslmode="disable").close()


def test_rules_are_read_again_by_SIGHUP(make_guarded):
    begin = "host all postgres all trust\n"
    seawall = make_guarded(begin + "host app app_trust all trust\n")

    def change(rules):
        write(seawall.hba_path, begin + rules)
        seawall.reload()

    def is_now(result):
        wait_until(lambda: all(outcome(tcp(seawall), "app_trust", "app") == result for _ in range(8)), 10, result)
    is_now("trust")
    with Over(tcp(seawall)) as before:
        before.login("app_trust", "app")
        change("host app app_trust all reject\n")
        is_now("28000")
        assert rows(before.ask(query("SELECT 1"))) == [[b"1"]]  # who is in stays
        for rules, line in (("host app app_trust all trust\nhost app app_trust all nonsense\n", 3),
                            ("host app app_trust db.example.org trust\n", 2), ("host app app_trust\n", 2)):
            said = len(seawall.log())
            change(rules)
            wait_until(lambda: "the old one stays in force" in seawall.log()[said:], 10, "the fault to be logged")
            assert "%s:%d: " % (seawall.hba_path, line) in seawall.log()[said:]
            is_now("28000")
        os.unlink(seawall.hba_path)
        said = len(seawall.log())
        seawall.reload()
        wait_until(lambda: seawall.hba_path in seawall.log()[said:], 10, "the missing file to be logged")
        is_now("28000")
        change("host app app_trust all trust\n")
        is_now("trust")


def test_maps_are_read_again_by_SIGHUP(make_guarded, certs):
    seawall = make_guarded("host all postgres all trust\nhostssl all all all cert map=m\n", "m alice app\n")
    tls = context(certs.ca, certs.client("alice"))

    def is_now(user, result):
        wait_until(lambda: all(outcome(tcp(seawall, tls=tls), user, "app") == result for _ in range(8)), 10, result)
    is_now("app", "trust")
    is_now("app_trust", "28000")
    write(seawall.ident_path, "m alice app_trust\n")
    seawall.reload()
    is_now("app_trust", "trust")
    is_now("app", "28000")


@pytest.mark.parametrize("rules, maps, file, line", [
    ("host all all all trust\nhost all all all krb\n", "", "hba", 2), ("", "", "hba", 0),
    ("\n\nhost all all localhost trust\n", "", "hba", 3), ("host all +staff all trust\n", "", "hba", 1),
    ("host all all all cert\n", "", "hba", 1), ("hostssl all all all peer\n", "", "hba", 1),
    ("host all all 127.0.0.1/33 trust\n", "", "hba", 1),
    ("host all all all trust clientcert=verify-ca\n", "", "hba", 1),
    ("host all all all trust\n", "m alice\n", "ident", 1), ("host all all all trust\n", "\nm /( bob\n", "ident", 2),
])
def test_check_names_the_line(cluster, certs, rules, maps, file, line):
    seawall = Guarded(cluster, certs, rules, maps)
    seawall.port = proc.free_port()
    seawall.write_config()
    done = proc.run([binary_path(), "--check", "-c", seawall.config_path], check=False, unprivileged=False)
    path = seawall.hba_path if file == "hba" else seawall.ident_path
    assert done.returncode == 1
    named, = done.stdout.strip().split("\n")
    assert named.startswith("%s:%d: " % (path, line)), named


# -- auth_type = cert

@pytest.fixture(scope="module")
def by_certificate(cluster, certs):
    config = certs.for_clients("require", auth_type="cert")
    with Showing(cluster, certs.client(ADMIN), config={"seawall": config}) as running:
        yield running


def test_the_certificate_names_the_user(by_certificate, certs):
    for user in ("app", "app_md5", "app_trust"):
        pair = certs.client(user)
        with by_certificate.connect(user, password=None, sslmode="verify-full", sslrootcert=certs.ca, sslcert=pair.cert,
                                    sslkey=pair.key) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (user,)
    tls = context(certs.ca, certs.client("app"))
    assert outcome(tcp(by_certificate, tls=tls), "app_trust", "app") == "28000"
    assert outcome(tcp(by_certificate, tls=tls), "APP", "app") == "28000"
    assert outcome(tcp(by_certificate, tls=context(certs.ca)), "app", "app") == "28000"
    assert outcome(tcp(by_certificate), "app", "app") == "28000"
    with pytest.raises((ssl.SSLError, Closed, ConnectionError)):
        outcome(tcp(by_certificate, tls=context(certs.ca, certs.stranger)), "app", "app")
    with pytest.raises(psycopg.OperationalError, match="certificate"):
        by_certificate.connect("app", sslmode="require")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_comes_back_to_a_session_of_TLS_is_the_same(by_certificate, certs, version):
    """A ticket stands for the certificate that was shown when it was made."""
    tls = context(certs.ca, certs.client("app"), version)
    with TlsWire(by_certificate, tls) as wire:
        wire.login("app", "app")
        rows(wire.ask(query("SELECT 1")))
        session = wire.socket.session
    for user, is_let_in in (("app", True), ("app_trust", False)):
        with TlsWire(by_certificate, tls, session=session) as wire:
            with contextlib.nullcontext() if is_let_in else pytest.raises(ServerError, match="28000"):
                wire.login(user, "app")
            assert wire.socket.session_reused
