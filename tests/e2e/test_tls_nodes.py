"""TLS with nodes: modes, certificates on both ends, channel binding, and who else may sit in the node's place."""

import contextlib
import os
import socket

import psycopg
import pytest

from lib import proc
from lib import wire as w
from lib.certs import make_certs
from lib.cluster import Cluster
from lib.proxy import Seawall
from lib.tls import Between, TlsWire, answers, context, ends_tls, passes
from lib.wait import wait_until
from lib.wire import SSL_REQUEST, query, rows, special, sqlstates

# Before what the nodes have: app_md5 gets in with TLS only, app_plain without only, bench with a certificate.
NODE_HBA = """\
hostssl all app_md5 all md5
host all app_md5 all reject
hostnossl all app_plain all password
host all app_plain all reject
hostssl all bench all trust clientcert=verify-ca
host all bench all reject
host all app_monitor all trust
"""
# For tests in which a node is not to be reached.
IMPATIENT = {"query_wait_timeout": "300ms", "server_login_retry": "20ms"}
IS_SECURE = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def certs():
    return make_certs()


@pytest.fixture(scope="module")
def nodes(certs):
    """A cluster whose nodes speak TLS."""
    with Cluster(standbys=1, conf=certs.of_node()) as running:
        for node in running.nodes:
            path = os.path.join(node.data, "pg_hba.conf")
            with open(path) as old:
                text = NODE_HBA + old.read()
            with open(path, "w") as new:
                new.write(text)
            node.configure()
        running.primary.execute("CREATE ROLE app_monitor LOGIN IN ROLE pg_monitor")
        running.wait_caught_up()
        yield running


def log_until(seawall, text, deadline=10):
    wait_until(lambda: text in seawall.log(), deadline, "%r in the log" % text)


def gets_in(seawall, user):
    with contextlib.suppress(psycopg.OperationalError), seawall.connect(user) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


# -- modes

ROLES = ["app", "app_md5", "app_plain"]
NODE_OUTCOMES = {  # server_tls_sslmode: is a connection of each of ROLES secure; None: there is none (see NODE_HBA)
    "disable": (False, None, False),
    "allow": (False, True, False),
    "prefer": (True, True, False),
    "require": (True, True, None),
    "verify-ca": (True, True, None),
    "verify-full": (True, True, None),
}


@pytest.fixture(scope="module", params=list(NODE_OUTCOMES))
def towards(request, nodes, certs):
    """Its monitor is another user than that of every other Seawall here, to be told from them."""
    config = {"seawall": certs.for_nodes(request.param), "monitor": {"user": "postgres", "password": None}}
    with Seawall(nodes, config=config) as running:
        running.mode = request.param
        yield running


@pytest.mark.parametrize("role", ROLES)
def test_modes_of_seawall_and_node(towards, role):
    is_secure = NODE_OUTCOMES[towards.mode][ROLES.index(role)]
    if is_secure is None:
        with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects connection"):
            towards.connect(role)
        return
    for _ in range(2):  # a second session finds what the first one has learnt
        with towards.connect(role) as connection:
            assert connection.execute(IS_SECURE).fetchone() == (is_secure,)
            with connection.transaction():  # on the primary
                assert connection.execute(IS_SECURE).fetchone() == (is_secure,)


def test_the_monitor_s_connections_are_as_the_mode_says(towards, nodes):
    seen = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = " \
           "'seawall monitor' AND usename = 'postgres'"
    for node in nodes.nodes:
        assert node.execute(seen) == [(NODE_OUTCOMES[towards.mode][0],)]


@pytest.mark.parametrize("mode", list(NODE_OUTCOMES))
def test_nodes_that_have_no_TLS(cluster, certs, make_seawall, mode):
    seawall = Seawall(cluster, config={"seawall": certs.for_nodes(mode)})
    if NODE_OUTCOMES[mode][2] is not None:
        with seawall, seawall.connect() as connection:
            assert connection.execute(IS_SECURE).fetchone() == (False,)
        return
    seawall.start(wait_ready=False)
    for node in cluster.nodes:
        wait_until(lambda: any(node.name in line and "does not support SSL" in line
                               for line in seawall.log().split("\n")), 10, "the log to say why")
    seawall.stop()


def test_prefer_goes_on_without_TLS_where_the_handshake_fails(nodes, certs, make_seawall):
    """As libpq does, and the monitor with it."""
    def spoils_tls(between, client):
        head = client.recv(8, socket.MSG_PEEK | socket.MSG_WAITALL)
        (answers(b"S") if head == special(SSL_REQUEST) else passes)(between, client)
    with Between(nodes.primary) as between:
        seawall = make_seawall(nodes, nodes=[nodes.primary], config=dict(
            between.as_node(), seawall=certs.for_nodes("prefer", **IMPATIENT)))
        between.how = spoils_tls
        with psycopg.connect(host=between.host, port=between.port, user="app_trust", dbname="app") as connection:
            assert not connection.pgconn.ssl_in_use  # libpq's default is prefer
        with seawall.connect("app") as connection:
            assert connection.execute(IS_SECURE).fetchone() == (False,)


@pytest.mark.parametrize("protocols, version", [("tlsv1.2", "TLSv1.2"), ("tlsv1.3", "TLSv1.3"), ("secure", "TLSv1.3")])
def test_versions_and_ciphers(nodes, certs, make_seawall, protocols, version):
    seawall = make_seawall(nodes, config={"seawall": certs.for_nodes(
        "require", server_tls_protocols=protocols, server_tls_ciphers="ECDHE-RSA-AES128-GCM-SHA256",
        server_tls13_ciphers="TLS_CHACHA20_POLY1305_SHA256"), "monitor": {"user": "postgres", "password": None}})
    cipher = "ECDHE-RSA-AES128-GCM-SHA256" if version == "TLSv1.2" else "TLS_CHACHA20_POLY1305_SHA256"
    with seawall.connect("app") as connection:
        agreed = connection.execute("SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert agreed.fetchone() == (version, cipher)


def test_versions_are_the_monitor_s_too(nodes, certs, make_seawall):
    make_seawall(nodes, config={"seawall": certs.for_nodes("require", server_tls_protocols="tlsv1.2"),
                                "monitor": {"user": "app_monitor", "password": None}})
    seen = "SELECT DISTINCT version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app_monitor'"
    for node in nodes.nodes:
        assert node.execute(seen) == [("TLSv1.2",)]


def test_a_client_certificate_for_nodes(nodes, certs, make_seawall):
    pair = certs.client("seawall")
    with_pair = certs.for_nodes("verify-full", server_tls_cert_file=pair.cert, server_tls_key_file=pair.key)
    seawall = make_seawall(nodes, config={"seawall": with_pair})
    with seawall.connect("bench") as connection:
        assert connection.execute("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (
            "/CN=seawall",)
    seawall = make_seawall(nodes, config={"seawall": certs.for_nodes("verify-full")})
    with pytest.raises(psycopg.OperationalError, match="valid client certificate"):
        seawall.connect("bench")


@pytest.mark.parametrize("mode, has_ca, which, reason", [
    ("require", False, "stranger", None), ("require", True, "stranger", "certificate"),
    ("verify-ca", True, "elsewhere", None), ("verify-ca", True, "stranger", "certificate"),
    ("verify-full", True, "elsewhere", "mismatch")])
def test_the_certificate_of_a_node_is_not_the_right_one(nodes, certs, make_seawall, mode, has_ca, which, reason):
    """The monitor has seen the node itself: what meets the certificate are the pools' own connections. As with libpq,
    require verifies where it is given an authority."""
    with Between(nodes.primary) as between:
        seawall = make_seawall(nodes, nodes=[nodes.primary], config=dict(between.as_node(), seawall=certs.for_nodes(
            mode, server_tls_ca_file=certs.ca if has_ca else "", **IMPATIENT)))
        between.how = ends_tls(getattr(certs, which), certs.ca)
        if reason is None:
            with seawall.connect("app_trust") as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            return
        with pytest.raises(psycopg.OperationalError):
            seawall.connect("app_trust")
        log_until(seawall, 'could not connect to node "pg1": TLS handshake: ')
        assert reason in seawall.log().partition("TLS handshake: ")[2].partition("\n")[0]


@pytest.mark.parametrize("mode, authority, word", [("verify-full", "ca", "does not match host name"),
                                                   ("verify-ca", "other_ca", "certificate verify failed")])
def test_the_monitor_says_what_is_wrong_with_a_certificate(nodes, certs, mode, authority, word):
    with Between(nodes.primary, ends_tls(certs.elsewhere, certs.ca)) as between:
        seawall = Seawall(nodes, nodes=[nodes.primary], config=dict(
            between.as_node(), seawall=certs.for_nodes(mode, server_tls_ca_file=getattr(certs, authority))))
        seawall.start(wait_ready=False)
        wait_until(lambda: any("pg1" in line and word in line for line in seawall.log().split("\n")), 10,
                   "the log to say why")
        seawall.stop()


@pytest.mark.parametrize("name", ["root.crt", "postgresql.crt"])
def test_the_home_of_seawall_s_user_says_nothing(nodes, certs, make_seawall, name):
    """libpq, which is the monitor's, would look there."""
    home = proc.make_dir("home")
    os.mkdir(os.path.join(home, ".postgresql"))
    with open(certs.other_ca) as text, open(os.path.join(home, ".postgresql", name), "w") as out:
        out.write(text.read())
    seawall = Seawall(nodes, config={"seawall": {"server_tls_sslmode": "require"}}, env={"HOME": home})
    seawall.start(deadline=5)
    seawall.stop()


# -- channel binding

def test_channel_binding_finds_somebody_between_seawall_and_node(nodes, certs, make_seawall):
    with Between(nodes.primary) as between:
        seawall = make_seawall(nodes, nodes=[nodes.primary], config=dict(
            between.as_node(), seawall=certs.for_nodes("verify-ca", **IMPATIENT)))
        between.how = ends_tls(certs.elsewhere, certs.ca)
        with seawall.connect("app_trust") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)  # the man in the middle works
        with pytest.raises(psycopg.OperationalError):
            seawall.connect("app")
        log_until(seawall, 'refused a connection for user "app"')
        between.how = passes
        wait_until(lambda: gets_in(seawall, "app"), 10, "the node to be used again")


@pytest.fixture(params=["server", "ec384", "ed25519"])
def signed(request, nodes, certs):
    """The primary with one of three certificates: (node, configuration of Seawall for it)."""
    pair = getattr(certs, request.param)
    node = nodes.primary
    node.configure(ssl_cert_file=pair.cert, ssl_key_file=pair.key)
    yield node, certs.for_nodes("verify-full", server_tls_ca_file=certs.ca if pair is certs.server else pair.cert)
    node.configure(ssl_cert_file=None, ssl_key_file=None)


def test_a_session_s_login_to_a_node_whatever_its_certificate(nodes, signed, make_seawall):
    node, config = signed
    seawall = make_seawall(nodes, nodes=[node], config={
        "seawall": config, "monitor": {"user": "postgres", "password": None}})  # which the node trusts
    with seawall.connect("app") as connection:
        assert connection.execute(IS_SECURE).fetchone() == (True,)


@pytest.mark.parametrize("signed", ["server", "ec384"], indirect=True)  # libpq 15 cannot hash the third one
def test_the_monitor_s_login_to_a_node_whatever_its_certificate(nodes, signed):
    node, config = signed
    seawall = Seawall(nodes, nodes=[node], config={"seawall": config})
    seawall.start(deadline=5)
    seawall.stop()


# -- cancel

def test_T72_cancel_inside_of_TLS_on_both_sides(nodes, certs, make_seawall):
    with Between(nodes.primary) as between:
        seawall = make_seawall(nodes, nodes=[nodes.primary], config=dict(between.as_node(), seawall=dict(
            certs.for_clients("require"), **certs.for_nodes("verify-full"))))
        tls = context(certs.ca)
        with TlsWire(seawall, tls) as wire:
            wire.login("app_trust", "app")
            wire.send(query("SELECT pg_sleep_for('30s') /* to be cancelled */"))
            running = ("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* to be cancelled */' "
                       "AND state = 'active' AND pid <> pg_backend_pid()")
            wait_until(lambda: nodes.primary.value(running) == 1, 10, "the query to run")
            connections = len(between.heads)
            with TlsWire(seawall, tls) as canceller:
                canceller.send(w.cancel(*wire.key))
                assert canceller.drain() == b""
            assert sqlstates(wire.until_ready()) == ["57014"]
            assert rows(wire.ask(query("SELECT 7"))) == [[b"7"]]
        assert len(between.heads) > connections
        assert set(between.heads) == {special(SSL_REQUEST)}


# -- answers to the request for TLS

# What a server sends to somebody whom it lets in; in plain text, behind the answer to SSLRequest.
WELCOME = b"R\0\0\0\x08\0\0\0\0" + w.message("K", b"\0" * 8) + w.message("Z", b"I")


@pytest.mark.parametrize("answer, reason", [
    (b"S" + WELCOME, "unencrypted data"), (b"N" + WELCOME, "refused"), (w.message("E", b"SFATAL\0C28000\0Mno\0\0"),
                                                                      "refused"),
    (b"HTTP/1.0 400 Bad Request\r\n\r\n", "refused"), (b"N", "does not support TLS"), (b"", "closed the connection")])
def test_T77_a_server_that_answers_the_request_oddly(nodes, certs, make_seawall, answer, reason):
    with Between(nodes.primary) as between:
        seawall = make_seawall(nodes, nodes=[nodes.primary], config=dict(
            between.as_node(), seawall=certs.for_nodes("require", **IMPATIENT)))
        between.how = answers(answer)
        with pytest.raises(psycopg.OperationalError):
            seawall.connect("app_trust")
        log_until(seawall, 'could not connect to node "pg1"')
        assert reason in seawall.log().partition('could not connect to node "pg1"')[2].partition("\n")[0]
        between.how = passes
        wait_until(lambda: gets_in(seawall, "app_trust"), 10, "the node to be used again")
