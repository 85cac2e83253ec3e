"""The console: what it shows, who may use it, that its columns stay."""

import psycopg
import pytest

from lib.proxy import ADMIN
from lib.wait import wait_until
from lib.wire import Wire, bind, describe, execute, kinds, parse, query, rows, sqlstates, sync

COLUMNS = {  # at least these; those of PgBouncer's commands are what its exporters read
    "SHOW NODES": {"name", "host", "port", "role", "state"},
    "SHOW LAG": {"name", "lag_bytes"},
    "SHOW POOLS": {"database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "sv_tested",
                   "sv_login", "maxwait", "maxwait_us", "pool_mode"},
    "SHOW CLIENTS": {"type", "user", "database", "state", "addr", "port", "connect_time", "request_time", "ptr"},
    "SHOW SERVERS": {"type", "user", "database", "state", "addr", "port", "connect_time", "request_time", "ptr"},
    "SHOW DATABASES": {"name", "host", "port", "database", "pool_size", "pool_mode", "current_connections"},
    "SHOW STATS": {"database", "total_xact_count", "total_query_count", "total_received", "total_sent",
                   "total_xact_time", "total_query_time", "total_wait_time", "avg_query_count"},
    "SHOW CONFIG": {"key", "value", "default", "changeable"},
}


@pytest.fixture
def busy(seawall, table):
    """A Seawall with a client that has read and written."""
    with seawall.connect() as connection:
        connection.execute("SELECT count(*) FROM " + table)
        connection.execute("INSERT INTO %s VALUES (10)" % table)
        yield seawall


@pytest.mark.parametrize("command", sorted(COLUMNS))
def test_show(busy, command):
    found = busy.console(command)
    assert found, command
    assert COLUMNS[command] <= set(found[0]), COLUMNS[command] - set(found[0])


@pytest.mark.parametrize("command", ["show nodes", "SHOW NODES;", "  Show   Nodes ; ", "SHOW nodes -- comment"])
def test_words_in_any_case(seawall, command):
    assert len(seawall.console(command)) == 3


def test_show_clients_and_servers(busy):
    clients = [row for row in busy.console("SHOW CLIENTS") if row["user"] == "app"]
    assert [row["database"] for row in clients] == ["app"]
    servers = [row for row in busy.console("SHOW SERVERS") if row["user"] == "app"]
    ports = {int(row["port"]) for row in servers}
    assert busy.cluster.primary.port in ports and len(ports) >= 2


def test_show_stats_counts(busy):
    def queries():
        return sum(int(row["total_query_count"]) for row in busy.console("SHOW STATS") if row["database"] == "app")
    before = queries()
    with busy.connect() as connection:
        for _ in range(25):
            connection.execute("SELECT 1")
    wait_until(lambda: queries() >= before + 25, 5, "the queries to be counted")


def test_show_config_hides_secrets(seawall):
    found = {row["key"]: row for row in seawall.console("SHOW CONFIG")}
    values = " ".join(str(row["value"]) for row in found.values())
    assert "monitor secret" not in values and "admin secret" not in values
    assert any(row["key"].endswith("pool_mode") and row["value"] == "transaction" for row in found.values())


def test_show_version(seawall):
    assert "seawall" in str(seawall.console("SHOW VERSION")).lower()


def test_show_help(seawall):
    with seawall.connect(ADMIN, "seawall") as connection:
        notices = []
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary) + str(
            notice.message_detail)))
        found = connection.execute("SHOW HELP")
        text = " ".join(notices) + (str(found.fetchall()) if found.description else "")
    for word in ("SHOW", "NODES", "POOLS", "RELOAD"):
        assert word in text


def test_pgbouncer_is_another_name(seawall):
    with seawall.connect(ADMIN, "pgbouncer") as connection:
        assert connection.execute("SHOW POOLS").description is not None


@pytest.mark.parametrize("command", ["SHOW NONSENSE", "DROP DATABASE app", "SELECT * FROM pg_class", "gibberish",
                                     "SHOW", "RELOAD NOW PLEASE"])
def test_unknown_commands_are_errors(seawall, command):
    with seawall.connect(ADMIN, "seawall") as connection:
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(command)
        assert refused.value.sqlstate in ("42601", "42704", "0A000")
        assert connection.execute("SHOW VERSION").fetchone()


def test_only_named_users_get_in(seawall):
    with pytest.raises(psycopg.OperationalError):
        with seawall.connect("app", "seawall") as connection:
            connection.execute("SHOW NODES")


def test_stats_users_look_and_change_nothing(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"stats_users": "app, bench"}})
    assert len(seawall.console("SHOW NODES", user="app")) == 3
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        seawall.console("RELOAD", user="app")


def test_reload(cluster, make_seawall):
    seawall = make_seawall(cluster)
    seawall.change({"routing": {"max_lag": "7s"}})
    seawall.write_config()
    seawall.console("RELOAD")

    def max_lag():
        return next(row["value"] for row in seawall.console("SHOW CONFIG") if row["key"].endswith("max_lag"))
    wait_until(lambda: max_lag() in ("7s", "7000ms"), 5, "the new max_lag")


def test_reload_of_a_bad_file_is_an_error_and_changes_nothing(cluster, make_seawall):
    seawall = make_seawall(cluster)
    before = seawall.console("SHOW CONFIG")
    seawall.change({"routing": {"max_lag": "soon"}})
    seawall.write_config()
    with pytest.raises(psycopg.Error) as refused:
        seawall.console("RELOAD")
    assert "max_lag" in str(refused.value)
    assert seawall.console("SHOW CONFIG") == before


def test_extended_protocol(seawall):
    """Drivers that cannot do otherwise get their answer too."""
    with Wire(seawall.host, seawall.port) as wire:
        wire.login(ADMIN, "seawall", "admin secret")
        messages = wire.ask(parse("", "SHOW NODES"), bind(), describe("P"), execute(), sync())
        if sqlstates(messages):
            assert sqlstates(messages) == ["0A000"] and kinds(messages) == "EZ"
        else:
            assert kinds(messages) == "12TDDDCZ"
        assert len(rows(wire.ask(query("SHOW NODES")))) == 3


def test_psql_works(seawall):
    from lib import proc
    shown = proc.run(["psql", "-X", "-h", seawall.host, "-p", str(seawall.port), "-U", ADMIN, "-d", "seawall", "-c",
                      "SHOW NODES"], env={"PGPASSWORD": "admin secret"}).stdout
    assert "pg1" in shown and "primary" in shown


def test_many_commands_on_one_connection(seawall):
    with seawall.connect(ADMIN, "seawall") as connection:
        for _ in range(50):
            for command in COLUMNS:
                connection.execute(command)
