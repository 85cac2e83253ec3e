"""TLS with clients: who gets in how, what must not pass, what is renewed without a restart.

TLS with nodes is in test_tls_nodes.py, who may come at all in test_hba.py.
"""

import contextlib
import os
import random
import re
import resource
import select
import socket
import ssl
import struct
import subprocess

import psycopg
import pytest

from lib import proc
from lib import wire as w
from lib.certs import Pair, make_certs
from lib.cluster import HOST, Cluster, pg_bin
from lib.proxy import ADMIN, ADMIN_PASSWORD, Seawall, binary_path
from lib.tls import ALPN, Between, Hello, Over, Sealer, Showing, TlsWire, context, ends_tls, unix_socket
from lib.wait import wait_until
from lib.wire import GSSENC_REQUEST, SSL_REQUEST, Closed, ServerError, Wire, query, rows, special, sqlstates, startup
from lib.witness import WITNESS_CONF, make_table

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
HELLO = {"user": "app_trust", "database": "app"}
# A refusal inside of TLS 1.3 arrives after what the client takes for the end of the handshake.
NOT_LET_IN = (ssl.SSLError, Closed, ConnectionError)
IS_SECURE = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def certs():
    return make_certs()


@pytest.fixture(scope="module")
def nodes(certs):
    """A cluster whose nodes speak TLS."""
    with Cluster(standbys=1, conf=dict(WITNESS_CONF, **certs.of_node())) as running:
        yield running


@pytest.fixture(scope="module")
def both(nodes, certs):
    """TLS on both sides, required of nodes and left to clients."""
    config = dict(certs.for_clients("allow"), **certs.for_nodes("verify-full"))
    with Seawall(nodes, config={"seawall": config}) as running:
        yield running


@pytest.fixture
def table(nodes):
    return make_table(nodes)


def plain(seawall):
    return Wire(seawall.host, seawall.port)


def serves(wire):
    return rows(wire.ask(query("SELECT 7"))) == [[b"7"]]


# -- modes

SSLMODES = ["disable", "prefer", "require", "verify-ca", "verify-full"]
NO_TLS, NO_PLAIN = "server does not support SSL", "TLS is required"
OUTCOMES = {  # client_tls_sslmode: what becomes of a client for each of SSLMODES: with TLS or not, or refused because
    "disable": (False, False, NO_TLS, NO_TLS, NO_TLS),
    "allow": (False, True, True, True, True),
    "prefer": (False, True, True, True, True),
    "require": (NO_PLAIN, True, True, True, True),
    "verify-ca": (NO_PLAIN, True, True, True, True),
    "verify-full": (NO_PLAIN, True, True, True, True),
}


@pytest.fixture(scope="module", params=list(OUTCOMES))
def offering(request, nodes, certs):
    with Showing(nodes, certs.client("anybody"), config={"seawall": certs.for_clients(request.param)}) as running:
        running.mode = request.param
        yield running


@pytest.mark.parametrize("sslmode", SSLMODES)
def test_modes_of_client_and_seawall(offering, certs, sslmode):
    outcome = OUTCOMES[offering.mode][SSLMODES.index(sslmode)]
    how = {"sslmode": sslmode, "sslrootcert": certs.ca}
    if isinstance(outcome, str):
        with pytest.raises(psycopg.OperationalError, match=outcome):
            offering.connect("app_trust", **how)
        return
    with offering.connect("app_trust", **how) as connection:
        assert connection.pgconn.ssl_in_use == outcome
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_plain_is_refused_with_28000_or_let_in(offering):
    with plain(offering) as wire:
        if OUTCOMES[offering.mode][0] != NO_PLAIN:
            wire.login("app_trust", "app")
            return
        with pytest.raises(ServerError) as refused:
            wire.login("app_trust", "app")
        assert refused.value.sqlstate == "28000"


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("shows", ["nothing", "a stranger's", "an expired one", "its own"])
def test_certificates_of_clients(offering, certs, shows, version):
    """One that is shown has to be good; one has to be shown where the mode verifies."""
    if offering.mode == "disable":
        pytest.skip("there is no TLS")
    pair = {"nothing": None, "a stranger's": certs.stranger, "an expired one": certs.expired,
            "its own": certs.client("anybody")}[shows]
    is_let_in = shows == "its own" or (shows == "nothing" and not offering.mode.startswith("verify"))
    with contextlib.nullcontext() if is_let_in else pytest.raises(NOT_LET_IN):
        with TlsWire(offering, context(certs.ca, pair, version)) as wire:
            wire.login("app_trust", "app")
            assert serves(wire)


def test_a_driver_without_the_certificate_does_not_get_in_another_way(offering, certs):
    if not offering.mode.startswith("verify"):
        pytest.skip("no certificate is asked for")
    for sslmode in SSLMODES:
        with pytest.raises(psycopg.OperationalError):
            offering.connect("app_trust", sslmode=sslmode, sslrootcert=certs.ca, sslcert=certs.path("none"))


def test_a_unix_socket_is_plain_and_exempt(nodes, certs):
    directory = proc.make_dir("socket")
    config = certs.for_clients("verify-full", unix_socket_dir=directory)
    with Showing(nodes, certs.client("anybody"), config={"seawall": config}) as seawall:
        with seawall.connect("app_trust", host=directory, sslmode="prefer") as connection:
            assert not connection.pgconn.ssl_in_use
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with Over(unix_socket(directory, seawall.port)) as wire:
            wire.send(special(SSL_REQUEST))
            assert wire.receive_bytes(1) == b"N"
            wire.login("app_trust", "app")


def test_a_client_that_trusts_another_authority_refuses(both, certs):
    for sslmode in ("verify-ca", "verify-full"):
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            both.connect("app_trust", sslmode=sslmode, sslrootcert=certs.other_ca)
    assert both.connect("app_trust", sslmode="verify-full", sslrootcert=certs.ca, host="localhost",
                        hostaddr=HOST).pgconn.ssl_in_use


def test_verify_full_refuses_another_host_s_certificate(nodes, certs, make_seawall):
    seawall = make_seawall(nodes, config={"seawall": certs.for_clients("allow", certs.elsewhere)})
    seawall.connect("app_trust", sslmode="verify-ca", sslrootcert=certs.ca).close()
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        seawall.connect("app_trust", sslmode="verify-full", sslrootcert=certs.ca)


# -- versions and ciphers

def version_of(seawall, tls):
    """What is agreed on, or None."""
    try:
        with TlsWire(seawall, tls) as wire:
            wire.login("app_trust", "app")
            return wire.socket.version()
    except NOT_LET_IN:
        return None


def old_context(certs, version):
    """Of a client that OpenSSL would not let speak so old a version by itself."""
    tls = context(certs.ca)
    tls.set_ciphers("DEFAULT@SECLEVEL=0")
    tls.minimum_version = tls.maximum_version = version
    return tls


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("protocols, spoken", [
    ("secure", {"TLSv1.2", "TLSv1.3"}), ("tlsv1.2", {"TLSv1.2"}), ("tlsv1.3", {"TLSv1.3"}),
    ("tlsv1.2, tlsv1.3", {"TLSv1.2", "TLSv1.3"}), ("all", {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}),
    ("tlsv1.1", {"TLSv1.1"}),
])
def test_protocols(nodes, certs, make_seawall, protocols, spoken):
    config = certs.for_clients("allow", client_tls_protocols=protocols, client_tls_ciphers="DEFAULT@SECLEVEL=0")
    seawall = make_seawall(nodes, config={"seawall": config})
    known = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": TLS12, "TLSv1.3": TLS13}
    for name, version in known.items():
        assert version_of(seawall, old_context(certs, version)) == (name if name in spoken else None)
    # libpq's own words for the same.
    for name in ("TLSv1.2", "TLSv1.3"):
        how = {"sslmode": "require", "ssl_min_protocol_version": name, "ssl_max_protocol_version": name}
        if name in spoken:
            seawall.connect("app_trust", **how).close()
            continue
        with pytest.raises(psycopg.OperationalError, match="(?i)protocol version"):
            seawall.connect("app_trust", **how)
    if spoken != set(known):
        assert "TLS handshake with %s:" % HOST in seawall.log()


def test_ciphers(nodes, certs, make_seawall):
    seawall = make_seawall(nodes, config={"seawall": certs.for_clients(
        "require", client_tls_ciphers="ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
        client_tls13_ciphers="TLS_CHACHA20_POLY1305_SHA256")})

    def cipher_of(tls):
        with TlsWire(seawall, tls) as wire:
            return wire.socket.cipher()[0]
    old = context(certs.ca, version=TLS12)
    assert cipher_of(old) == "ECDHE-RSA-AES128-GCM-SHA256"  # the server's order counts
    old.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
    assert cipher_of(old) == "ECDHE-RSA-AES256-GCM-SHA384"
    old.set_ciphers("ECDHE-RSA-CHACHA20-POLY1305")
    with pytest.raises(NOT_LET_IN):
        cipher_of(old)
    assert cipher_of(context(certs.ca, version=TLS13)) == "TLS_CHACHA20_POLY1305_SHA256"


# -- channel binding

@pytest.fixture(scope="module")
def binding(nodes, certs):
    config = certs.for_clients("allow", auth_type="scram-sha-256")
    with Seawall(nodes, config={"seawall": config}) as running:
        yield running


def test_channel_binding_with_clients(binding, certs):
    with binding.connect("app", sslmode="require", channel_binding="require") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    binding.connect("app", sslmode="require", channel_binding="disable").close()
    binding.connect("app", sslmode="disable").close()
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        binding.connect("app", sslmode="disable", channel_binding="require")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        binding.connect("app", sslmode="require", channel_binding="require", password="wrong")


def offered_mechanisms(wire):
    wire.send(startup({"user": "app", "database": "app"}))
    kind, body = wire.receive()
    assert kind == "R" and struct.unpack_from("!i", body) == (10,)
    return body[4:].rstrip(b"\0").split(b"\0")


def test_plus_is_offered_with_TLS_only(binding, certs):
    with plain(binding) as wire:
        assert offered_mechanisms(wire) == [b"SCRAM-SHA-256"]
    with TlsWire(binding, context(certs.ca)) as wire:
        assert offered_mechanisms(wire) == [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]


@pytest.mark.parametrize("kind, has_plus", [("ec384", True), ("ed25519", False)])
def test_channel_binding_with_other_certificates(nodes, certs, make_seawall, kind, has_plus):
    """Ed25519 has no hash that could be bound to: PLUS is not offered rather than offered and failing."""
    pair = getattr(certs, kind)
    config = certs.for_clients("require", pair, auth_type="scram-sha-256")
    seawall = make_seawall(nodes, config={"seawall": config})
    how = {"sslmode": "verify-full", "sslrootcert": pair.cert}
    seawall.connect("app", **how).close()
    with contextlib.nullcontext() if has_plus else pytest.raises(psycopg.OperationalError, match="channel binding"):
        seawall.connect("app", channel_binding="require", **how).close()


def test_channel_binding_finds_somebody_between_client_and_seawall(binding, certs):
    """Who has a certificate that the client accepts, and Seawall's own client side, still cannot pass the login on."""
    with Between(binding, ends_tls(certs.elsewhere, certs.ca)) as between:
        how = {"port": between.port, "sslmode": "verify-ca", "sslrootcert": certs.ca}
        with pytest.raises(psycopg.OperationalError, match="(?i)channel binding|authentication failed"):
            binding.connect("app", **how)

        def passes():
            try:
                with binding.connect("app", channel_binding="disable", **how) as connection:
                    return connection.execute("SELECT 1").fetchone() == (1,)
            except psycopg.OperationalError:
                return False  # it has not done with the connection before
        wait_until(passes, 10, "the man in the middle to work, without what would find him")


# -- cancel

def test_T72_a_plain_cancel_is_taken_where_TLS_is_required(offering, certs):
    """libpq knows no other before version 17, and the nodes take it."""
    if OUTCOMES[offering.mode][0] != NO_PLAIN:
        pytest.skip("plain clients are let in")
    with TlsWire(offering, context(certs.ca, certs.client("anybody"))) as wire:
        wire.login("app_trust", "app")
        wire.send(query("SELECT count(*) FROM generate_series(1, 1000000000)"), w.flush())

        def cancelled():
            with plain(offering) as canceller:
                canceller.send(w.cancel(*wire.key))
                canceller.drain()
            return bool(select.select([wire.socket], [], [], 0.2)[0])
        wait_until(cancelled, 10, "the query to be cancelled")
        assert sqlstates(wire.until_ready()) == ["57014"]


# -- bytes that come with the request, and before the handshake

def injection(table):
    return startup(HELLO) + query("INSERT INTO %s VALUES (666, 'injected')" % table)


def is_untouched(nodes, table):
    return nodes.primary.value("SELECT count(*) FROM %s WHERE id = 666" % table) == 0


def test_T77_bytes_sent_with_the_request_are_refused(both, nodes, table):
    with plain(both) as wire:
        wire.send(special(SSL_REQUEST) + injection(table))
        messages = wire.until_closed()
        assert sqlstates(messages) == ["08P01"]
    with plain(both) as wire:  # also where the request itself comes in two parts
        wire.send(special(SSL_REQUEST)[:5])
        wire.send(special(SSL_REQUEST)[5:] + injection(table))
        assert b"08P01" in wire.drain()
    with plain(both) as wire:
        wire.send(special(GSSENC_REQUEST) + special(SSL_REQUEST) + injection(table))
        assert wire.receive_bytes(1) == b"N"
        assert sqlstates(wire.until_closed()) == ["08P01"]
    assert is_untouched(nodes, table)


def test_T77_bytes_sent_behind_the_answer_are_refused(both, nodes, table):
    with plain(both) as wire:
        wire.send(special(SSL_REQUEST))
        assert wire.receive_bytes(1) == b"S"
        wire.send(injection(table))
        assert b"Z\0\0\0\x05I" not in wire.drain()
    assert is_untouched(nodes, table)


def test_T77_a_handshake_does_not_make_injected_bytes_good(both, nodes, certs, table):
    """What an attacker puts before the client's handshake."""
    with plain(both) as wire:
        wire.send(special(SSL_REQUEST)[:7])
        with pytest.raises(NOT_LET_IN + (AssertionError,)):
            wire.send(special(SSL_REQUEST)[7:] + injection(table))
            assert wire.receive_bytes(1) == b"S"
            wire.socket = context(certs.ca).wrap_socket(wire.socket, server_hostname="localhost")
            wire.login("app_trust", "app")
    assert is_untouched(nodes, table)


def test_T77_requests_for_encryption_in_every_order(both, certs):
    with plain(both) as wire:
        wire.send(special(GSSENC_REQUEST))
        assert wire.receive_bytes(1) == b"N"
        wire.send(special(SSL_REQUEST))
        assert wire.receive_bytes(1) == b"S"
        wire.socket = context(certs.ca).wrap_socket(wire.socket, server_hostname="localhost")
        wire.login("app_trust", "app")
        assert serves(wire)
    with plain(both) as wire:
        wire.send(special(SSL_REQUEST) * 2)
        assert sqlstates(wire.until_closed()) == ["08P01"]
    for second in (SSL_REQUEST, GSSENC_REQUEST):
        with plain(both) as wire:
            wire.send(special(SSL_REQUEST))
            assert wire.receive_bytes(1) == b"S"
            wire.send(special(second), startup(HELLO))
            assert b"R\0\0\0\x08\0\0\0\0" not in wire.drain()
        with TlsWire(both, context(certs.ca)) as wire:
            wire.send(special(second))
            assert sqlstates(wire.until_closed()) == ["08P01"]
    with plain(both) as wire:
        for _ in range(2):
            wire.send(special(GSSENC_REQUEST))
            assert wire.receive_bytes(1) == b"N"
        wire.send(special(GSSENC_REQUEST))
        assert sqlstates(wire.until_closed()) == ["08P01"]


# -- TLS from the first byte

def test_T77_direct_TLS(both, certs):
    for version in (TLS12, TLS13):
        with TlsWire(both, context(certs.ca, version=version, alpn=ALPN), asks=False) as wire:
            assert wire.socket.selected_alpn_protocol() == "postgresql"
            wire.login("app_trust", "app")
            assert serves(wire)


@pytest.mark.parametrize("asks, alpn, is_let_in", [
    (False, None, False), (False, ["http/1.1"], False), (False, ["h2", "postgresql"], True),
    (True, None, True), (True, ["http/1.1"], False), (True, ALPN, True)])
@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_T77_ALPN(both, certs, asks, alpn, is_let_in, version):
    with contextlib.nullcontext() if is_let_in else pytest.raises(NOT_LET_IN):
        with TlsWire(both, context(certs.ca, version=version, alpn=alpn), asks=asks) as wire:
            wire.login("app_trust", "app")
            assert serves(wire)


def test_T77_direct_TLS_where_there_is_none(cluster, seawall, certs):
    with pytest.raises(NOT_LET_IN):
        TlsWire(seawall, context(certs.ca, alpn=ALPN), asks=False)


@pytest.mark.parametrize("asks", [True, False])
def test_a_handshake_that_arrives_byte_by_byte(both, certs, asks):
    hello = Hello(certs, ALPN)
    with plain(both) as wire:
        if asks:
            wire.send(special(SSL_REQUEST))
            assert wire.receive_bytes(1) == b"S"
        while (flight := hello.step()) is not None:
            for byte in flight:
                wire.send(bytes([byte]))
            wire.socket.settimeout(10)
            hello.incoming.write(wire.socket.recv(1 << 16))
        hello.tls.write(startup(HELLO) + query("SELECT 7") + w.terminate())
        for byte in hello.outgoing.read():
            wire.send(bytes([byte]))
        hello.incoming.write(wire.drain())
        hello.incoming.write_eof()
        got = b""
        with contextlib.suppress(ssl.SSLError):
            while more := hello.tls.read(1 << 16):
                got += more
        assert w.message("D", struct.pack("!hi", 1, 1) + b"7") in got


# -- reload

@pytest.fixture
def renewable(nodes, certs, make_seawall):
    """A Seawall with certificate files of its own, as .pair."""
    directory = proc.make_dir("live")
    pair = certs.server.copy_to(Pair(directory, "live"))
    seawall = make_seawall(nodes, config={"seawall": certs.for_clients("allow", pair)})
    seawall.pair = pair
    return seawall


def certificate_of(seawall, certs):
    with TlsWire(seawall, context(certs.ca)) as wire:
        return wire.socket.getpeercert(True)


def wait_for_certificate(seawall, certs, pair):
    """Until every worker has it: which one takes a connection is chance."""
    wait_until(lambda: all(certificate_of(seawall, certs) == pair.der() for _ in range(8)), 10, "the new certificate")


def test_a_renewed_certificate_is_taken_by_SIGHUP(renewable, certs):
    with TlsWire(renewable, context(certs.ca)) as before:
        before.login("app_trust", "app")
        certs.renewed.copy_to(renewable.pair)
        renewable.reload()
        wait_for_certificate(renewable, certs, certs.renewed)
        for _ in range(3):
            assert serves(before)
        with renewable.connect("app_trust", sslmode="verify-full", sslrootcert=certs.ca) as after:
            assert after.execute("SELECT 1").fetchone() == (1,)


def test_TLS_is_turned_on_and_off_by_SIGHUP(nodes, certs, make_seawall):
    seawall = make_seawall(nodes)

    def answer():
        with plain(seawall) as wire:
            wire.send(special(SSL_REQUEST))
            return wire.receive_bytes(1)
    assert answer() == b"N"
    seawall.reload({"seawall": certs.for_clients("allow")})
    wait_until(lambda: all(answer() == b"S" for _ in range(8)), 10, "TLS to be offered")
    with TlsWire(seawall, context(certs.ca)) as wire:
        wire.login("app_trust", "app")
        seawall.reload({"seawall": {"client_tls_sslmode": "disable"}})
        wait_until(lambda: all(answer() == b"N" for _ in range(8)), 10, "TLS to be gone")
        assert serves(wire)


def spoil_mode(pair, certs):
    os.chmod(pair.key, 0o644)


def spoil_by_text(pair, certs):
    with open(pair.key, "w") as out:
        out.write("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")


def spoil_by_other_key(pair, certs):
    with open(certs.renewed.key) as other, open(pair.key, "w") as out:
        out.write(other.read())


def spoil_by_passphrase(pair, certs):
    certs.openssl("pkcs8", "-topk8", "-in", certs.server.key, "-out", "encrypted.key", "-passout", "pass:secret")
    with open(certs.path("encrypted.key")) as other, open(pair.key, "w") as out:
        out.write(other.read())


FAULTS = {  # what is wrong with the files of a Pair: (how, the file that is named, a word of the reason)
    "key is missing": (lambda pair, certs: os.unlink(pair.key), "key", "cannot be read"),
    "key is readable by others": (spoil_mode, "key", "chmod 600"),
    "key is nonsense": (spoil_by_text, "key", "PEM"),
    "key is another certificate's": (spoil_by_other_key, "key", "key"),
    "key has a passphrase": (spoil_by_passphrase, "key", "passphrase"),
    "certificate is missing": (lambda pair, certs: os.unlink(pair.cert), "cert", "PEM|cannot be read|[Nn]o such file"),
    "certificate is empty": (lambda pair, certs: open(pair.cert, "w").close(), "cert", "PEM"),
}


@pytest.fixture
def spoilt(certs):
    """spoilt(fault) makes files with that fault: (Pair, the file to be named, a pattern of the reason)."""
    def make(fault):
        spoil, which, reason = FAULTS[fault]
        pair = certs.server.copy_to(Pair(proc.make_dir("spoilt"), "spoilt"))
        spoil(pair, certs)
        return pair, getattr(pair, which), reason
    return make


def checked(seawall):
    """What --check says to the configuration: (exit code, output)."""
    seawall.port = seawall.port or proc.free_port()
    seawall.write_config()
    done = proc.run([binary_path(), "--check", "-c", seawall.config_path], check=False, unprivileged=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("fault", list(FAULTS))
def test_check_names_the_fault_of_a_file(nodes, certs, spoilt, fault, side):
    pair, path, reason = spoilt(fault)
    keys = {"%s_tls_sslmode" % side: "prefer", "%s_tls_key_file" % side: pair.key, "%s_tls_cert_file" % side: pair.cert}
    code, output = checked(Seawall(nodes, config={"seawall": keys}))
    assert code == 1
    named = [line for line in output.split("\n") if path in line]
    assert len(named) == 1
    assert re.search(reason, named[0]), named[0]


@pytest.mark.parametrize("keys, word", [
    ({"client_tls_ca_file": "/nowhere/ca.crt"}, "/nowhere/ca.crt"),
    ({"client_tls_key_file": None}, "client_tls_key_file"), ({"client_tls_cert_file": None}, "client_tls_cert_file"),
    ({"client_tls_sslmode": "verify-ca", "client_tls_ca_file": None}, "client_tls_ca_file"),
    ({"server_tls_sslmode": "verify-full"}, "server_tls_ca_file"),
    ({"server_tls_cert_file": "/nowhere/x.crt"}, "server_tls_key_file"),
    ({"client_tls_sslmode": "always"}, "client_tls_sslmode"), ({"client_tls_ciphers": "NO_SUCH"}, "NO_SUCH"),
    ({"client_tls13_ciphers": "NO_SUCH"}, "NO_SUCH"), ({"client_tls_protocols": "tlsv1.4"}, "tlsv1.4"),
    ({"server_tls_protocols": "tlsv1.2 sslv3"}, "sslv3"), ({"client_tls_protocols": "TLSv1.2"}, None),
    ({"client_tls_sslmode": "disable", "auth_type": "cert"}, "client_tls_sslmode"),
    ({"auth_type": "cert", "client_tls_ca_file": None}, "client_tls_ca_file"), ({"auth_type": "cert"}, None),
    ({"auth_type": "hba"}, "auth_hba_file"),
])
def test_check_names_what_does_not_fit(nodes, certs, keys, word):
    seawall = Seawall(nodes, config={"seawall": certs.for_clients("allow")})
    seawall.change({"seawall": keys})
    code, output = checked(seawall)
    assert (code, bool(output)) == ((0, False) if word is None else (1, True)), output
    assert word is None or any(word in line for line in output.split("\n")), output


def test_a_spoilt_file_keeps_the_old_certificate(renewable, certs, spoilt):
    for fault in FAULTS:
        pair, path, reason = spoilt(fault)
        said = len(renewable.log())
        renewable.reload({"seawall": certs.for_clients("allow", pair)})
        wait_until(lambda: "the old one stays in force" in renewable.log()[said:], 10, "the fault to be logged")
        named = [line for line in renewable.log()[said:].split("\n") if path in line]
        assert len(named) == 1 and re.search(reason, named[0]), renewable.log()[said:]
        assert certificate_of(renewable, certs) == certs.server.der()
    with renewable.connect("app_trust", sslmode="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


# -- resumption

@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_session_of_TLS_is_resumed_until_a_reload(renewable, certs, version):
    tls = context(certs.ca, version=version)

    def come_back(session=None):
        """Was it resumed? And the session to come back with."""
        with TlsWire(renewable, tls, session=session) as wire:
            wire.login("app_trust", "app")  # with TLS 1.3 the ticket comes behind the handshake
            assert serves(wire)
            return wire.socket.session_reused, wire.socket.session
    reused, session = come_back()
    assert not reused
    for _ in range(4):
        reused, session = come_back(session)
        assert reused
    certs.renewed.copy_to(renewable.pair)
    renewable.reload()
    wait_for_certificate(renewable, certs, certs.renewed)
    for _ in range(4):
        assert not come_back(session)[0]


# -- much, slow and odd

def test_large_values_both_ways(both, certs):
    with both.connect("app_trust", sslmode="require") as connection:
        assert connection.execute(IS_SECURE).fetchone() == (True,)
        value, = connection.execute("SELECT repeat('0123456789', 2000000)").fetchone()
        assert value == "0123456789" * 2000000
        assert connection.execute("SELECT length(%s), md5(%s)", [value, value[:1000]]).fetchone()[0] == 20_000_000
        many = connection.execute("SELECT n, repeat('x', 100) FROM generate_series(1, 50000) n").fetchall()
        assert [row[0] for row in many] == list(range(1, 50001))


def test_T21_copy_both_ways(both, nodes, table):
    line = b"%d\t" + b"x" * 1000 + b"\n"
    with both.connect("app_trust", sslmode="require") as connection:
        with connection.cursor().copy("COPY %s FROM STDIN" % table) as copy:
            for number in range(1000, 21000):
                copy.write(line % number)
        assert nodes.primary.value("SELECT count(*), sum(length(note)) FROM %s WHERE id >= 1000" % table) == 20000
        with connection.cursor().copy("COPY %s TO STDOUT" % table) as copy:
            assert sum(len(block) for block in copy) > 20_000_000


def test_many_queries_at_once(both, certs):
    """Records and messages end at different places."""
    with TlsWire(both, context(certs.ca)) as wire:
        wire.login("app_trust", "app")
        for first in range(0, 4000, 500):  # one after the other: OpenSSL does not read and write at once for two threads
            wire.send(*[query("SELECT %d" % n) for n in range(first, first + 500)])
            for n in range(first, first + 500):
                assert rows(wire.until_ready()) == [[b"%d" % n]]
        for byte in query("SELECT 7"):
            wire.send(bytes([byte]))
        assert rows(wire.until_ready()) == [[b"7"]]


def test_a_client_that_does_not_read(both, nodes, certs):
    """200 MB are on their way, from a node with TLS to a client with TLS."""
    with TlsWire(both, context(certs.ca), receive_buffer=65536) as wire:
        wire.login("app_trust", "app")
        before = both.rss_kb()
        wire.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 200) /* unread */"))
        blocked = ("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* unread */' "
                   "AND wait_event = 'ClientWrite' AND pid <> pg_backend_pid()")
        wait_until(lambda: any(node.value(blocked) == 1 for node in nodes.nodes), 20, "the server to be held back")
        assert both.rss_kb() < before + 8 * 1024
        with both.connect("app_trust", sslmode="require") as connection:
            for _ in range(20):
                assert connection.execute("SELECT 1").fetchone() == (1,)
        peak = received = 0
        kind = None
        while kind != "Z":
            kind, body = wire.receive(30)
            received += len(body) if kind == "D" else 0
            if received % 20_000_000 < 1_000_010:
                peak = max(peak, both.rss_kb())
        assert received >= 200_000_000
        assert peak < before + 8 * 1024


def test_a_client_that_sends_much_and_reads_nothing(both, certs):
    with TlsWire(both, context(certs.ca), receive_buffer=65536) as wire:
        wire.login("app_trust", "app")
        before = both.rss_kb()
        wire.socket.settimeout(0.5)
        batch = query("SELECT repeat('x', 1000)") * 2000
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 400_000_000:
                sent += wire.socket.send(batch)
        assert sent < 400_000_000, "nothing held this client back"
        assert both.rss_kb() < before + 16 * 1024


IDLE = 500
IDLE_BYTES_MAX = 16 * 1024  # of which OpenSSL 3.0 itself takes more than 13 kB


@pytest.mark.skipif(os.environ.get("SEAWALL_BUILD", "build") != "build", reason="a sanitizer takes more")
def test_idle_clients_cost_little(both, certs):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, IDLE + 300), hard), hard))
    tls = context(certs.ca)
    with contextlib.ExitStack() as stack:
        def add(count):
            for _ in range(count):
                wire = stack.enter_context(TlsWire(both, tls))
                wire.login("app_trust", "app")
                assert serves(wire)
        add(100)  # the first ones bring what exists once
        before = both.rss_kb()
        add(IDLE)
        each = (both.rss_kb() - before) * 1024 / IDLE
    print("%.0f bytes of memory an idle client with TLS" % each)
    assert each <= IDLE_BYTES_MAX


def test_a_slow_handshake_is_ended(nodes, certs, make_seawall):
    seawall = make_seawall(nodes, config={"seawall": certs.for_clients("allow", client_login_timeout="500ms")})
    hello = Hello(certs, ALPN).step()
    with contextlib.ExitStack() as stack:
        wires = []
        for asks in (True, False):
            for length in (0, 1, 5, len(hello) // 2, len(hello)):
                wires.append(stack.enter_context(plain(seawall)))
                if asks:
                    wires[-1].send(special(SSL_REQUEST))
                    assert wires[-1].receive_bytes(1) == b"S"
                wires[-1].send(hello[:length])
        # And one whose handshake is over, but whose login does not come.
        wires.append(stack.enter_context(TlsWire(seawall, context(certs.ca))))
        for wire in wires:
            wire.drain(10)


def test_nonsense_instead_of_a_handshake(both, certs):
    source = random.Random(20260401)
    hello = Hello(certs, ALPN).step()
    nonsense = [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 100,
                b"\x15\x03\x01\0\x02\x02\x28", b"\x80\x2e\x01\x03\x01" + b"\0" * 60,
                b"\x17\x03\x03\0\x10" + b"y" * 16, hello[:100], hello + hello]
    nonsense += [source.randbytes(source.randrange(1, 600)) for _ in range(20)]
    for _ in range(40):
        damaged = bytearray(hello)
        for _ in range(source.randrange(1, 4)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        nonsense.append(bytes(damaged))
    for asks in (True, False):
        for data in nonsense:
            with plain(both) as wire:
                if asks:
                    wire.send(special(SSL_REQUEST))
                    assert wire.receive_bytes(1) == b"S"
                with contextlib.suppress(Closed, OSError):
                    wire.send(data)
                    wire.socket.shutdown(socket.SHUT_WR)
                assert b"Z\0\0\0\x05I" not in wire.drain()
    both.connect("app_trust", sslmode="require").close()


def test_a_session_whose_records_are_damaged(both, nodes, certs, table):
    """Half a record and the end; a record with a flipped bit; plain text; a goodbye without Terminate."""
    insert = query("INSERT INTO %s VALUES (666, 'damaged')" % table)

    def session():
        hello = Hello(certs)
        wire = plain(both)
        wire.send(special(SSL_REQUEST))
        assert wire.receive_bytes(1) == b"S"
        while (flight := hello.step()) is not None:
            wire.send(flight)
            hello.incoming.write(wire.socket.recv(1 << 16))
        hello.tls.write(startup(HELLO))
        wire.send(hello.outgoing.read())
        return hello, wire

    def half(record):
        return record[:len(record) // 2]

    def flipped(record):
        return record[:-9] + bytes([record[-9] ^ 4]) + record[-8:]
    for damage in (half, flipped, lambda record: insert, lambda record: b"", lambda record: b"\0" * 5 + record):
        hello, wire = session()
        with wire:
            hello.tls.write(insert)
            wire.send(damage(hello.outgoing.read()))
            with contextlib.suppress(OSError):
                wire.socket.shutdown(socket.SHUT_WR)
            wire.drain()
    assert is_untouched(nodes, table)
    with TlsWire(both, context(certs.ca)) as wire:
        wire.login("app_trust", "app")
        wire.socket.unwrap().close()
    both.connect("app_trust", sslmode="require").close()

    def is_idle():
        clients = [row for row in both.console("SHOW CLIENTS") if row["user"] == "app_trust"]
        return len(clients) == 0
    wait_until(is_idle, 5, "the clients to be gone")


def test_memory_does_not_grow_with_handshakes(both, certs):
    hello = Hello(certs, ALPN).step()
    tls = context(certs.ca)

    def come_and_go():
        for _ in range(30):
            with TlsWire(both, tls) as wire:
                wire.send(startup(HELLO))
            with plain(both) as wire:
                wire.send(special(SSL_REQUEST))
                wire.send(hello[:50])
            with plain(both) as wire:
                wire.send(hello)
    come_and_go()
    before = both.rss_kb()
    for _ in range(4):
        come_and_go()
    assert both.rss_kb() < before * 1.2 + 2048


# -- the sides of TLS that no driver uses

def test_keys_are_updated(both):
    """openssl's client asks for it at a line that begins with K."""
    s_client = ["openssl", "s_client", "-connect", "%s:%d" % (both.host, both.port), "-starttls", "postgres", "-tls1_3",
                "-brief"]
    pipe = subprocess.PIPE
    with subprocess.Popen(s_client, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        def say(data):
            process.stdin.write(data)
            process.stdin.flush()

        def hear(where, what):
            got = b""
            while what not in got:
                assert select.select([where], [], [], 10)[0], got
                more = os.read(where.fileno(), 1 << 16)
                assert more, got
                got += more
        try:
            say(startup(HELLO))
            hear(process.stdout, b"Z\0\0\0\x05I")
            for n in range(5):
                say(b"K\n")
                hear(process.stderr, b"KEYUPDATE")
                say(w.parse("", "SELECT 'answer %d'" % n) + w.bind() + w.execute() + w.sync())
                hear(process.stdout, b"answer %d" % n)
        finally:
            process.kill()


def test_a_client_that_asks_for_renegotiation_without_end(both, certs):
    """Each request is refused by a record as long as itself; a client that takes none of them is not read for ever."""
    hello = Hello(certs, version=TLS12, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    with Wire(both.host, both.port, receive_buffer=4096) as wire:
        wire.send(special(SSL_REQUEST))
        assert wire.receive_bytes(1) == b"S"
        server_random = None
        while (flight := hello.step()) is not None:
            wire.send(flight)
            answer = wire.socket.recv(1 << 16)
            server_random = server_random or answer[11:43]  # in ServerHello, which comes first
            hello.incoming.write(answer)
        sealer = Sealer(hello.secrets(), server_random)
        before = both.rss_kb()
        wire.socket.settimeout(1)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 20_000_000:
                batch = b"".join(sealer.seal(b"\x01\0\0\0") for _ in range(2000))
                wire.socket.sendall(batch)
                sent += len(batch)
        assert both.is_running() and both.rss_kb() < before + 2 * 1024 * both.overhead, "%d bytes were taken" % sent
    both.connect("app_trust", sslmode="require").close()


# -- people

def test_the_console_with_TLS(both, certs):
    with both.connect(ADMIN, "seawall", sslmode="verify-full", sslrootcert=certs.ca) as console:
        assert console.pgconn.ssl_in_use
        assert [row[0] for row in console.execute("SHOW NODES").fetchall()] == ["pg1", "pg2"]


def test_the_console_names_the_version_of_TLS(both, certs):
    with TlsWire(both, context(certs.ca, version=TLS12)) as wire, plain(both) as other:
        wire.login("app_trust", "app")
        other.login("app_md5", "app")
        shown = {row["user"]: row["tls"] for row in both.console("SHOW CLIENTS")}
        assert shown["app_trust"].startswith("TLSv1.2") and shown["app_md5"] == ""
        assert all(row["tls"].startswith("TLSv1.3") for row in both.console("SHOW SERVERS"))


def test_psql_with_TLS(both, certs):
    info = "host=%s port=%d user=%s dbname=%s sslmode=verify-full sslrootcert=%s"
    for user, database, statement, word in (("app_trust", "app", "SELECT 'served'", "served"),
                                            (ADMIN, "seawall", "SHOW NODES", "primary")):
        done = proc.run([pg_bin("psql"), "-X", info % (HOST, both.port, user, database, certs.ca), "-c", statement,
                         "-c", r"\conninfo"], env={"PGPASSWORD": ADMIN_PASSWORD, "HOME": "/nowhere"})
        assert word in done.stdout and "SSL connection (protocol: TLSv1.3" in done.stdout


def test_a_shutdown_is_told_inside_of_TLS(nodes, certs):
    seawall = Seawall(nodes, config={"seawall": certs.for_clients("require")}).start()
    with TlsWire(seawall, context(certs.ca)) as wire:
        wire.login("app_trust", "app")
        seawall.stop("drain")
        assert sqlstates(wire.until_closed()) == ["57P01"]
