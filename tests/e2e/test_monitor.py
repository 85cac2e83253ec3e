"""Nodes that stop, freeze, lag, come back and change roles, and what clients notice of it."""

import threading

import psycopg
import pytest

from lib.cluster import Cluster
from lib.crew import Crew
from lib.proxy import last_route
from lib.wait import wait_until
from lib.witness import make_table


@pytest.fixture
def healed(own_cluster):
    """The cluster, put back together after the test."""
    yield own_cluster
    for node in own_cluster.nodes:
        if not node.is_running():
            node.start()
        node.sigcont()
    for node in own_cluster.standbys:
        node.resume_replay()
        node.configure(recovery_min_apply_delay=None)
    own_cluster.wait_streaming()
    own_cluster.wait_caught_up()


@pytest.fixture
def table(healed):
    return make_table(healed)


@pytest.fixture
def watched(healed, make_seawall):
    return make_seawall(healed, config={"monitor": {"connect_timeout": "1s", "query_timeout": "500ms"},
                                        "routing": {"sticky": "off"}})


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


def node_row(seawall, name):
    return next(row for row in seawall.console("SHOW NODES") if row["name"] == name)


def wait_state(seawall, name, state, deadline=10):
    wait_until(lambda: node_row(seawall, name)["state"] == state, deadline, "%s to be %s" % (name, state))


class Load(Crew):
    """Clients that read in the background."""

    def __init__(self, seawall, table):
        super().__init__(4)
        self.seawall, self.table, self.reads = seawall, table, 0

    def __enter__(self):
        super().__enter__()
        self.wait_more(20)
        return self

    def work(self, _):
        with self.seawall.connect() as connection:
            while not self.stopped.is_set():
                assert value(connection, "SELECT count(*) FROM " + self.table) >= 3
                self.reads += 1

    def wait_more(self, count=100):
        target = self.reads + count
        wait_until(lambda: self.reads >= target or self.failures, 20, "%d more reads" % count)


def test_roles_and_states(watched):
    rows = {row["name"]: row for row in watched.console("SHOW NODES")}
    assert set(rows) == {"pg1", "pg2", "pg3"}
    assert {name: row["role"] for name, row in rows.items()} == {"pg1": "primary", "pg2": "replica", "pg3": "replica"}
    assert all(row["state"] == "up" for row in rows.values())


@pytest.mark.parametrize("how", ["fast", "immediate", "kill9"])
def test_T31_T34_a_replica_goes_and_comes_back_and_no_read_fails(watched, healed, table, how):
    gone = healed.standbys[0]
    with Load(watched, table) as load:
        gone.kill9() if how == "kill9" else gone.stop(how)
        wait_state(watched, gone.name, "down")
        load.wait_more()
        gone.start()
        wait_state(watched, gone.name, "up")
        load.wait_more()
    assert load.failures == []


@pytest.mark.parametrize("sql", ["SELECT count(*), pg_sleep(0) FROM %s, pg_sleep(%s)", "SELECT id, pg_sleep(0) FROM %s, pg_sleep(%s)"])
def test_T87_a_read_under_way_when_its_replica_is_shot_runs_elsewhere(watched, healed, table, sql):
    """PostgreSQL had the head of the answer in its buffer, and sends it with its last words."""
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT%%' || 'pg_sleep(1.5)' AND state = 'active'"
    sql = sql % (table, "1.5")
    with watched.connect() as connection:
        seen = []
        thread = threading.Thread(target=lambda: seen.append(len(connection.execute(sql).fetchall())))
        thread.start()
        found = []
        wait_until(lambda: found.extend(node for node in healed.standbys if node.value(running) == 1) or found, 5,
                   "the read to run")
        found[0].stop("immediate")
        thread.join()
        assert seen == [1 if "count" in sql else 3]
        assert last_route(connection)[0] != found[0].name


def test_all_replicas_gone(watched, healed, table):
    with Load(watched, table) as load:
        for node in healed.standbys:
            node.kill9()
        for node in healed.standbys:
            wait_state(watched, node.name, "down")
        load.wait_more()
        with watched.connect() as connection:
            assert value(connection, "SELECT count(*) FROM " + table) == 3
            assert last_route(connection).node == "pg1"
    assert load.failures == []


def test_a_frozen_replica_is_left_out(watched, healed, table):
    """It still accepts connections but answers nothing: only the monitor's deadline can tell."""
    frozen = healed.standbys[0]
    frozen.sigstop()
    wait_state(watched, frozen.name, "down")
    for _ in range(10):
        with watched.connect() as connection:
            assert value(connection, "SELECT count(*) FROM " + table) == 3
            assert last_route(connection).node != frozen.name
    frozen.sigcont()
    wait_state(watched, frozen.name, "up")


def test_lag_is_measured(watched, healed, table):
    slow = healed.standbys[0]
    slow.pause_replay()
    healed.primary.execute("INSERT INTO %s SELECT n, repeat('x', 100) FROM generate_series(100, 20000) n" % table)

    def lag(node):
        told = next(row["lag_bytes"] for row in watched.console("SHOW LAG") if row["name"] == node.name)
        return -1 if told in (None, "") else int(told)  # not known: its answer is overdue
    wait_until(lambda: lag(slow) > 1_000_000, 20, "the lag to show")
    wait_until(lambda: lag(healed.standbys[1]) == 0, 20, "the other one to have none")
    slow.resume_replay()
    wait_until(lambda: lag(slow) == 0, 20, "the lag to be gone")


def test_T31_a_crashed_replica_is_not_trusted_before_it_has_caught_up(watched, healed, table):
    """Kill a standby again and again while a session writes and reads: it always sees what it wrote."""
    crashed = healed.standbys[0]
    healed.standbys[1].pause_replay()  # so that the crashed one is all there is but the primary
    stopped, failures = threading.Event(), []

    def work():
        try:
            with watched.connect() as connection:
                number = 1000
                while not stopped.is_set():
                    number += 1
                    connection.execute("INSERT INTO %s VALUES (%d)" % (table, number))
                    assert value(connection, "SELECT max(id) FROM " + table) == number
        except Exception as error:  # reported below, from the main thread
            failures.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(4):
        crashed.kill9()
        crashed.start()
        wait_state(watched, crashed.name, "up", 20)
    stopped.set()
    thread.join()
    assert failures == []


def test_the_primary_is_restarted(watched, healed, table):
    """A write of an idle session is held while the primary is away, and goes on when it is back."""
    with watched.connect() as connection:
        connection.execute("INSERT INTO %s VALUES (100)" % table)
        healed.primary.kill9()
        wait_state(watched, "pg1", "down")
        restart = threading.Thread(target=healed.primary.start)
        restart.start()
        connection.execute("INSERT INTO %s VALUES (101)" % table)
        restart.join()

    def can_write():
        try:
            with watched.connect() as connection:
                connection.execute("INSERT INTO %s VALUES (102)" % table)
                return True
        except psycopg.errors.UniqueViolation:
            return True
        except psycopg.Error:
            return False
    wait_until(can_write, 20, "writes to go on")
    with watched.connect() as connection:
        assert value(connection, "SELECT count(*) FROM %s WHERE id = 100" % table) == 1


def test_reads_go_on_while_the_primary_is_gone(watched, healed, table):
    """A session without a floor of its own is served by replicas as long as they are within their limits."""
    healed.primary.kill9()
    wait_state(watched, "pg1", "down")
    with watched.connect() as connection:
        assert value(connection, "SELECT count(*) FROM " + table) == 3


def test_T87_a_write_under_way_when_the_primary_dies_is_not_repeated(watched, healed, table):
    failures = []
    started = threading.Event()

    def work():
        try:
            with watched.connect() as connection:
                started.set()
                connection.execute("INSERT INTO %s SELECT 500 FROM pg_sleep_for('20s')" % table)
        except psycopg.Error as error:
            failures.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    started.wait(10)
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%SELECT 500%%' AND pid <> pg_backend_pid()"
    wait_until(lambda: healed.primary.value(running) >= 1, 10, "the write to run")
    healed.primary.kill9()
    thread.join(20)
    assert not thread.is_alive() and len(failures) == 1
    healed.primary.start()
    assert healed.primary.value("SELECT count(*) FROM %s WHERE id = 500" % table) == 0


@pytest.mark.deadline(90)
def test_T80_a_promotion_by_someone_else_is_followed(make_seawall):
    """mode = observe: the primary dies, somebody promotes a standby, writes go there; the old one never again."""
    with Cluster(standbys=2) as cluster:
        table = make_table(cluster)
        seawall = make_seawall(cluster)
        old, new = cluster.primary, cluster.standbys[0]
        old.kill9()
        new.promote()
        cluster.node("pg3").follow(new)

        def writes_to_new():
            try:
                with seawall.connect() as connection:
                    connection.execute("UPDATE %s SET note = 'after'" % table)
                    return last_route(connection).node == new.name
            except psycopg.Error:
                return False
        wait_until(writes_to_new, 20, "writes to go to the new primary")
        wait_until(lambda: node_row(seawall, new.name)["role"] == "primary", 10, "the console to say so")
        # The old primary comes back as it was, sure that it is the primary.
        old.start()
        assert not old.is_in_recovery()
        for _ in range(20):
            assert writes_to_new()
        assert old.value("SELECT count(*) FROM %s WHERE note = 'after'" % table) == 0
        assert node_row(seawall, old.name)["role"] != "primary" or node_row(seawall, old.name)["state"] != "up"
        with seawall.connect() as connection:
            for _ in range(20):
                assert value(connection, "SELECT min(note) FROM " + table) == "after"
