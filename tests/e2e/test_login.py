"""From the first byte to the first ReadyForQuery: negotiation, authentication on both sides, what is refused."""

import struct

import psycopg
import pytest

from lib.cluster import USERS
from lib.wire import (GSSENC_REQUEST, PROTOCOL_3_0, SSL_REQUEST, Closed, ServerError, Wire, error_fields, query,
                      rows, special, startup)

MD5_OF_TRUST_USER = "md5fd15e879fe35800e065d74c7f6bb42f5"  # of "hash secret" + "app_trust"


def connect(server):
    return Wire(server.host, server.port)


@pytest.mark.parametrize("request_code", [SSL_REQUEST, GSSENC_REQUEST])
def test_encryption_request_is_declined_and_startup_goes_on(seawall, request_code):
    with connect(seawall) as wire:
        wire.send(special(request_code))
        assert wire.receive_bytes(1) == b"N"
        wire.login("app_trust", "app")
        assert rows(wire.ask(query("SELECT 7"))) == [[b"7"]]


def test_T77_both_encryption_requests_one_after_the_other(seawall):
    with connect(seawall) as wire:
        wire.send(special(GSSENC_REQUEST))
        assert wire.receive_bytes(1) == b"N"
        wire.send(special(SSL_REQUEST))
        assert wire.receive_bytes(1) == b"N"
        wire.login("app_trust", "app")


def test_T77_encryption_request_with_startup_behind_it_is_not_taken_as_startup(server):
    """Bytes that came with the request, before its answer, may have been injected: the server must not use them as if
    they had been sent encrypted. Declined encryption makes them plain, so login or close are both right."""
    with connect(server) as wire:
        wire.send(special(SSL_REQUEST), startup({"user": "app_trust", "database": "app"}))
        assert wire.receive_bytes(1) == b"N"
        try:
            while wire.receive()[0] != "Z":
                pass
        except Closed:
            pass


@pytest.mark.parametrize("protocol, parameters", [
    (PROTOCOL_3_0 + 3, {}),
    (PROTOCOL_3_0, {"_pq_.unheard_of": "1"}),
    (PROTOCOL_3_0 + 2, {"_pq_.unheard_of": "1", "_pq_.other": "2"}),
])
def test_T77_newer_protocol_is_negotiated_down_as_by_the_server(cluster, seawall, protocol, parameters):
    answers = []
    for server in (cluster.primary, seawall):
        with connect(server) as wire:
            messages = wire.login("app_trust", "app", protocol=protocol, **parameters)
            answers.append([body for kind, body in messages if kind == "v"])
            assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]]
    assert len(answers[0]) == 1
    # Of the requested parameters it repeats those that it does not know. Seawall's newest version is that of PostgreSQL 18.
    assert struct.unpack_from("!i", answers[1][0])[0] == min(protocol, PROTOCOL_3_0 + 2)
    assert answers[1][0][4:] == answers[0][0][4:]


@pytest.mark.parametrize("minor, key_bytes", [(0, 4), (1, 4), (2, 32), (3, 32)])
def test_T77_protocol_3_2_and_its_cancel_key(seawall, minor, key_bytes):
    with connect(seawall) as wire:
        messages = wire.login("app_trust", "app", protocol=PROTOCOL_3_0 + minor)
        assert [kind for kind, _ in messages if kind == "v"] == ["v"] * (minor > 2)
        assert len(wire.key[1]) == key_bytes
        assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]]


@pytest.mark.parametrize("protocol", [2 << 16, 4 << 16, 0, 0x7fffffff])
def test_T77_unknown_protocol_is_refused(server, protocol):
    with connect(server) as wire:
        wire.send(startup({"user": "app_trust", "database": "app"}, protocol))
        # To version 2 a server answers in version 2's format: the same letter, and a text without a length.
        assert wire.drain()[:1] in (b"E", b"")


@pytest.mark.parametrize("options, name, value", [
    ("-c statement_timeout=4321", "statement_timeout", b"4321ms"),
    ("-c statement_timeout=4321 -c work_mem=1234kB", "work_mem", b"1234kB"),
    ("--work-mem=2345kB", "work_mem", b"2345kB"),
    (r"-c search_path=pg_catalog,\ public", "search_path", b"pg_catalog, public"),
    ("-c app.tenant=blue", "app.tenant", b"blue"),
])
def test_T77_options_of_startup(server, options, name, value):
    with connect(server) as wire:
        wire.login("app_trust", "app", options=options)
        assert rows(wire.ask(query("SHOW " + name))) == [[value]]
        assert rows(wire.ask(query("SELECT current_setting('%s')" % name))) == [[value]]


def test_seawall_settings_in_startup_options(seawall):
    with seawall.connect(options="-c seawall.consistency=eventual") as connection:
        assert connection.execute("SHOW seawall.consistency").fetchone() == ("eventual",)


def test_startup_parameters_arrive(server):
    with connect(server) as wire:
        wire.login("app_trust", "app", application_name="tester", client_encoding="LATIN1", DateStyle="German")
        assert wire.parameters["client_encoding"] == "LATIN1"
        assert wire.parameters["application_name"] == "tester"
        assert wire.parameters["DateStyle"].startswith("German")
        assert rows(wire.ask(query("SELECT '2026-02-01'::date"))) == [[b"01.02.2026"]]


def test_T71_parameter_status_is_the_server_s(cluster, seawall):
    seen = []
    for server in (cluster.primary, seawall):
        with connect(server) as wire:
            wire.login("app_trust", "app")
            seen.append(wire.parameters)
    assert seen[1]["server_version"] == seen[0]["server_version"]
    for name in ("client_encoding", "DateStyle", "TimeZone", "IntervalStyle", "integer_datetimes", "server_encoding",
                 "standard_conforming_strings", "session_authorization"):
        assert seen[1].get(name) == seen[0].get(name), name
    assert seen[1].get("in_hot_standby", "off") == "off"


def test_unknown_startup_parameter_is_refused(server):
    with connect(server) as wire, pytest.raises(ServerError) as refused:
        wire.login("app_trust", "app", no_such_setting="1")
    assert refused.value.sqlstate == "42704"


def test_ignored_startup_parameter(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"ignore_startup_parameters": "no_such_setting"}})
    with connect(seawall) as wire:
        wire.login("app_trust", "app", no_such_setting="1")
        assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]]


def test_extra_float_digits_in_startup(server):
    """Older JDBC drivers and Npgsql send it."""
    with connect(server) as wire:
        wire.login("app_trust", "app", extra_float_digits="0")
        assert rows(wire.ask(query("SHOW extra_float_digits"))) == [[b"0"]]


def test_startup_without_user_is_refused(server):
    with connect(server) as wire:
        wire.send(startup({"database": "app"}))
        messages = wire.until_closed()
        assert [error_fields(body)["C"] for kind, body in messages if kind == "E"] == ["28000"]


def test_database_defaults_to_the_user_s_name(server):
    with connect(server) as wire:
        wire.send(startup({"user": "bench"}))
        while wire.receive()[0] != "Z":
            pass
        assert rows(wire.ask(query("SELECT current_database()"))) == [[b"bench"]]


def test_unknown_database_is_3D000(server):
    with connect(server) as wire, pytest.raises(ServerError) as refused:
        wire.login("app_trust", "no_such_database")
    assert refused.value.sqlstate == "3D000"


def test_database_that_is_not_configured_is_3D000(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"databases": {"*": None, "alias": "dbname=app"}})
    with connect(seawall) as wire:
        wire.login("app_trust", "alias")
        assert rows(wire.ask(query("SELECT current_database()"))) == [[b"app"]]
    with connect(seawall) as wire, pytest.raises(ServerError) as refused:
        wire.login("app_trust", "app")
    assert refused.value.sqlstate == "3D000"


@pytest.mark.parametrize("user", sorted(USERS))
def test_every_method_towards_the_nodes(seawall, user):
    with seawall.connect(user) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (user,)
        assert connection.execute("SELECT session_user, 1 FROM pg_advisory_xact_lock(0)").fetchone() == (user, 1)


AUTH_TYPES = {"plain": 3, "md5": 5, "scram-sha-256": 10}


@pytest.fixture(scope="module", params=sorted(AUTH_TYPES))
def strict(request, cluster):
    from lib.proxy import Seawall, default_users
    users = default_users()
    if request.param == "md5":
        users["app_trust"] = MD5_OF_TRUST_USER
    if request.param == "scram-sha-256":
        # Made by the server from "hash secret".
        with cluster.primary.connect() as connection:
            connection.execute("SET password_encryption = 'scram-sha-256'")
            connection.execute("CREATE ROLE scram_maker PASSWORD 'hash secret'")
            users["app_trust"] = connection.execute(
                "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_maker'").fetchone()[0]
            connection.execute("DROP ROLE scram_maker")
    with Seawall(cluster, config={"seawall": {"auth_type": request.param}}, users=users) as running:
        running.auth_type = request.param
        yield running


def test_right_password(strict):
    with connect(strict) as wire:
        messages = wire.login("app", "app", USERS["app"][0])
        codes = [struct.unpack_from("!i", body)[0] for kind, body in messages if kind == "R"]
        assert codes[0] == AUTH_TYPES[strict.auth_type] and codes[-1] == 0
        assert rows(wire.ask(query("SELECT current_user"))) == [[b"app"]]


def test_a_driver_gets_in(strict):
    with strict.connect("app") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("user, password", [("app", "wrong"), ("app", ""), ("nobody", "x"), ("nobody", "")])
def test_wrong_password_or_user_is_28P01(strict, user, password):
    with connect(strict) as wire, pytest.raises(ServerError) as refused:
        wire.login(user, "app", password)
    assert refused.value.sqlstate == "28P01"


def test_T78_an_unknown_user_looks_like_a_wrong_password(strict):
    texts = []
    for user in ("app", "nobody"):
        with connect(strict) as wire, pytest.raises(ServerError) as refused:
            wire.login(user, "app", "wrong")
        texts.append(refused.value.fields["M"].replace(user, "USER"))
    assert texts[0] == texts[1]


def test_a_stored_hash_serves(strict):
    if strict.auth_type == "plain":
        pytest.skip("plain passwords are stored as they are")
    with strict.connect("app_trust", password="hash secret") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        strict.connect("app_trust", password="wrong")


def test_too_many_clients_is_53300(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"max_client_conn": 5}})
    clients = []
    try:
        with pytest.raises(ServerError) as refused:
            for _ in range(8):
                clients.append(connect(seawall))
                clients[-1].login("app_trust", "app")
        assert refused.value.sqlstate == "53300"
        assert 4 <= len(clients) - 1 <= 5
        clients.pop().close()
        clients.pop().close()

        def gets_in():
            try:
                seawall.connect("app_trust").close()
                return True
            except psycopg.OperationalError:
                return False
        from lib.wait import wait_until
        wait_until(gets_in, 10, "a place to become free")
    finally:
        for wire in clients:
            wire.close()


def test_client_login_timeout(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"client_login_timeout": "300ms"}})
    with connect(seawall) as wire:
        wire.until_closed(deadline=10)


def test_a_node_that_refuses_the_login_is_named_with_28P01(cluster, make_seawall):
    from lib.proxy import default_users
    seawall = make_seawall(cluster, users=dict(default_users(), app="not what the node has"))
    with connect(seawall) as wire, pytest.raises(ServerError) as refused:
        wire.login("app", "app")
        wire.ask(query("SELECT 1"))
        raise ServerError({"C": "none", "M": "it got in"})
    assert refused.value.sqlstate.startswith("28") or refused.value.sqlstate.startswith("08")
