"""--check names every fault with its line; reloads take what can be taken and refuse the rest."""

import signal

import pytest

from lib import proc
from lib.proxy import Seawall, binary_path
from lib.wait import wait_until

GOOD = """[seawall]
listen_addr = 127.0.0.1
listen_port = 6432
auth_type = trust

[nodes]
pg1 = host=127.0.0.1 port=5432
pg2 = host=127.0.0.1 port=5433 weight=2

[databases]
* =
app = dbname=app pool_size=40 consistency=session max_lag=2s

[routing]
max_lag = 10s
max_lag_bytes = 64MB

[monitor]
user = monitor
"""


@pytest.fixture
def check():
    """check(text) runs --check on it: (exit code, output, path)."""
    directory = proc.make_dir("check")

    def run(text):
        path = directory + "/seawall.conf"
        with open(path, "w") as out:
            out.write(text)
        done = proc.run([binary_path(), "--check", "-c", path], check=False, unprivileged=False)
        return done.returncode, done.stdout, path
    return run


def test_a_good_file(check):
    code, output, _ = check(GOOD)
    assert code == 0, output


FAULTS = [  # (replace, with, a word that the message must have)
    ("max_lag = 10s", "max_lag = soon", "max_lag"), ("max_lag = 10s", "max_lag = -1s", "max_lag"),
    ("max_lag = 10s", "max_lagg = 10s", "max_lagg"), ("max_lag_bytes = 64MB", "max_lag_bytes = 64XB", "max_lag_bytes"),
    ("listen_port = 6432", "listen_port = 65536", "listen_port"),
    ("listen_port = 6432", "listen_port = many", "listen_port"),
    ("listen_port = 6432", "listen_port = 6432x", "listen_port"), ("auth_type = trust", "auth_type = ident", "auth_type"),
    ("[monitor]", "[monitors]", "monitors"), ("pg1 = host=127.0.0.1 port=5432", "pg1 = port=nowhere", "pg1"),
    ("port=5433 weight=2", "port=5433 weigth=2", "weigth"), ("port=5433 weight=2", "port=5433 weight=x", "weight"),
    ("pool_size=40", "pool_size=-1", "pool_size"), ("consistency=session", "consistency=perfect", "consistency"),
    ("pg2 = host", "pg1 = host", "pg1"), ("max_lag = 10s", "max_lag = 10s\nmax_lag = 11s", "max_lag"),
    ("max_lag = 10s", "lag_dwell", "has no \"=\""),
]


@pytest.mark.parametrize("old, new, word", FAULTS)
def test_a_fault_is_named_with_its_line(check, old, new, word):
    assert old in GOOD
    text = GOOD.replace(old, new)
    code, output, path = check(text)
    assert code == 1, output
    # The fault is on the line where the replacement ends.
    line = text[:text.rindex(new) + len(new)].count("\n") + 1
    places = ["%s:%d: " % (path, line)]
    if new.startswith("["):
        places.append("%s:%d: " % (path, line + 1))  # a section may be named at its first key
    assert any(word in message for message in output.split("\n") if message.startswith(tuple(places))), output


def test_all_faults_are_named_not_only_the_first(check):
    text = GOOD.replace("10s", "soon").replace("6432", "0x").replace("64MB", "big").replace("trust", "faith")
    code, output, path = check(text)
    assert code == 1
    named = [message.split(": ", 1)[1] for message in output.split("\n") if message.startswith(path + ":")]
    assert len(named) == 4
    for key in ("max_lag", "listen_port", "max_lag_bytes", "auth_type"):
        assert any(key in message for message in named), key


def test_no_nodes_is_a_fault(check):
    code, output, _ = check(GOOD.replace("pg1 = host", "; ").replace("pg2 = host", "; "))
    assert code == 1 and "nodes" in output


def test_a_missing_file(check):
    done = proc.run([binary_path(), "--check", "-c", "/nowhere/seawall.conf"], check=False, unprivileged=False)
    assert done.returncode == 1 and "/nowhere/seawall.conf" in done.stdout


def test_a_faulty_file_does_not_start(cluster):
    seawall = Seawall(cluster, config={"routing": {"max_lag": "soon"}})
    seawall.start(wait_ready=False)
    assert proc.wait_exit(seawall.process, 10, "Seawall") == 1
    assert "max_lag" in seawall.log()


def test_version_and_usage():
    shown = proc.run([binary_path(), "--version"], unprivileged=False).stdout
    assert shown.lower().startswith("seawall") and any(letter.isdigit() for letter in shown)
    refused = proc.run([binary_path(), "--nonsense"], check=False, unprivileged=False)
    assert refused.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT) and refused.stdout
    refused = proc.run([binary_path()], check=False, unprivileged=False)
    assert refused.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT) and "-c" in refused.stdout


def setting(seawall, key):
    return next(row["value"] for row in seawall.console("SHOW CONFIG") if row["key"].endswith(key))


def test_sighup_reloads(cluster, make_seawall):
    seawall = make_seawall(cluster)
    with seawall.connect() as connection:
        seawall.reload({"routing": {"consistency": "off"}, "seawall": {"query_wait_timeout": "99s"}})
        wait_until(lambda: setting(seawall, "query_wait_timeout") == "99s", 5, "the new value")
        assert connection.execute("SHOW seawall.consistency").fetchone() == ("off",)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_sighup_with_a_faulty_file_keeps_the_old_one(cluster, make_seawall):
    seawall = make_seawall(cluster)
    seawall.reload({"routing": {"max_lag": "soon"}})
    wait_until(lambda: "max_lag" in seawall.log(), 5, "the fault to be logged")
    with seawall.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert seawall.is_running()


def test_sighup_with_what_needs_a_restart_is_refused_with_reason(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"workers": 2}})
    seawall.reload({"seawall": {"workers": 3}})
    wait_until(lambda: "workers" in seawall.log() and "restart" in seawall.log(), 5, "the refusal to be logged")
    assert setting(seawall, "workers") == "2"


def test_sighup_rereads_the_users(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"auth_type": "md5"}})
    seawall.users["bench"] = "new secret"
    seawall.reload()

    def gets_in():
        import psycopg
        try:
            seawall.connect("bench", password="new secret").close()
            return True
        except psycopg.OperationalError:
            return False
    wait_until(gets_in, 5, "the new password to be known")


@pytest.mark.parametrize("how", ["now", "drain"])
def test_it_ends_well(cluster, how):
    seawall = Seawall(cluster).start()
    seawall.connect().close()
    seawall.stop(how)


def test_drain_lets_a_transaction_end(cluster):
    import psycopg
    seawall = Seawall(cluster).start()
    with seawall.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT pg_advisory_xact_lock(5)")
        seawall.process.send_signal(signal.SIGTERM)

        def is_closed_to_others():
            try:
                seawall.connect().close()
                return False
            except psycopg.OperationalError:
                return True
        wait_until(is_closed_to_others, 10, "new clients to be refused")
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.execute("COMMIT")
    seawall.check_exit(proc.wait_exit(seawall.process, 20, "Seawall"))


def test_two_cannot_have_one_port(cluster, seawall):
    second = Seawall(cluster)
    second.port = seawall.port
    second.start(wait_ready=False)
    assert proc.wait_exit(second.process, 10, "the second one") == 1
    assert str(seawall.port) in second.log()
