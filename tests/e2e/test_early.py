"""
Replicas that show a commit before the primary does (T46): with synchronous replication to a standby that never confirms, a
commit is replayed and shown by the others while on the primary its backend still waits.
"""

import contextlib
import threading

import psycopg
import pytest

from lib.proxy import last_route
from lib.wait import wait_until
from lib.witness import make_table

COUNT = "SELECT count(*) FROM %s WHERE id = 100"
ON_PRIMARY = "SELECT count(*) FROM %s, pg_advisory_xact_lock_shared(1) WHERE id = 100"
WAITS = {"routing": {"wait_for_primary": "30s"}}


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


class Background(threading.Thread):
    """Runs a function; result() waits for what it returns, or raises what it raised."""

    def __init__(self, function):
        super().__init__()
        self.function, self.returned, self.raised = function, None, None
        self.start()

    def run(self):
        try:
            self.returned = self.function()
        except Exception as error:  # raised again in result()
            self.raised = error

    def result(self):
        self.join(30)
        assert not self.is_alive(), "still running"
        if self.raised:
            raise self.raised
        return self.returned


@pytest.fixture
def table(own_cluster):
    return make_table(own_cluster)


def many_subtransactions(table, first):
    """More of them than a replica tells of; each has an id."""
    return """DO $$BEGIN FOR i IN %d..%d LOOP BEGIN INSERT INTO %s VALUES (i); EXCEPTION WHEN division_by_zero THEN END;
        END LOOP; END$$""" % (first, first + 1500, table)


@contextlib.contextmanager
def commit_held_back(cluster, table, sql="INSERT INTO %s VALUES (100)"):
    """Row 100 is committed, and shown by every running replica; the primary shows it after release()."""
    sql = sql % table

    def insert():
        with cluster.primary.connect() as connection:
            connection.execute(sql)
    is_released = []

    def release():
        if not is_released:
            cluster.primary.configure(synchronous_standby_names=None)
            writer.result()
            is_released.append(True)
    cluster.primary.configure(synchronous_standby_names="ANY 1 (nobody)")
    writer = Background(insert)
    try:
        for node in cluster.standbys:
            if node.is_running():
                wait_until(lambda: node.value(COUNT % table) == 1, 10, "%s to show the commit" % node.name)
        assert cluster.primary.value(COUNT % table) == 0
        yield release
    finally:
        release()


def counters(seawall):
    row = next(row for row in seawall.console("SHOW STATS") if row["database"] == "app")
    return tuple(int(row[name]) for name in ("settles", "settles_early", "settles_late"))


def wait_for_settle(seawall, count=1):
    wait_until(lambda: counters(seawall)[0] == count, 10, "a statement to wait for the primary")


def test_T46_without_the_guard_a_session_goes_back(own_cluster, table, make_seawall):
    """The test's own proof: what the other tests forbid is what happens where nobody asks for order."""
    seawall = make_seawall(own_cluster, config={"routing": {"consistency": "eventual"}})
    with commit_held_back(own_cluster, table), seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        assert value(connection, ON_PRIMARY % table) == 0
        assert counters(seawall) == (0, 0, 0)


@pytest.mark.parametrize("level", ["session", "strong"])
def test_T46_a_read_on_the_primary_waits(own_cluster, table, make_seawall, level):
    seawall = make_seawall(own_cluster, config={"routing": {"wait_for_primary": "30s", "consistency": level}})
    with commit_held_back(own_cluster, table) as release, seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        assert last_route(connection).node in ("pg2", "pg3")
        read = Background(lambda: value(connection, ON_PRIMARY % table))
        wait_for_settle(seawall)
        assert read.is_alive()
        release()
        assert read.result() == 1
        assert last_route(connection).node == "pg1"
        assert counters(seawall) == (1, 1, 0)
        assert value(connection, ON_PRIMARY % table) == 1  # nothing was read on a replica since: nothing to wait for
        assert counters(seawall) == (1, 1, 0)


def in_transaction(connection, table):
    with connection.transaction():
        return value(connection, COUNT % table)


def with_parameters(connection, table):
    return connection.execute((ON_PRIMARY + " AND id <> %%s") % table, (5,)).fetchone()[0]


def update(connection, table):
    return connection.execute("UPDATE %s SET note = 'seen' WHERE id = 100" % table).rowcount


def moved(connection, table):
    """A transaction that began on a replica and turns out to need the primary (T14)."""
    connection.execute("BEGIN READ ONLY")
    assert last_route(connection).node in ("pg2", "pg3")
    connection.execute("SET TRANSACTION READ WRITE")
    rows = connection.execute("SELECT id FROM %s WHERE id = 100 FOR UPDATE" % table).fetchall()
    connection.execute("COMMIT")
    return len(rows)


@pytest.mark.parametrize("act", [in_transaction, with_parameters, update, moved])
def test_T46_whatever_sees_data_on_the_primary_waits(own_cluster, table, make_seawall, act):
    own_cluster.primary.execute("GRANT ALL ON %s TO PUBLIC" % table)
    own_cluster.wait_caught_up()
    seawall = make_seawall(own_cluster, config=WAITS)
    with commit_held_back(own_cluster, table) as release, seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        work = Background(lambda: act(connection, table))
        wait_for_settle(seawall)
        release()
        assert work.result() == 1


def test_T46_what_sees_nothing_does_not_wait(own_cluster, table, make_seawall):
    seawall = make_seawall(own_cluster, config=WAITS)
    with commit_held_back(own_cluster, table), seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        connection.execute("SET work_mem = '5MB'")
        assert value(connection, COUNT % table) == 1
        assert counters(seawall) == (0, 0, 0)


def test_T46_a_session_that_has_read_on_no_replica_does_not_wait(own_cluster, table, make_seawall):
    seawall = make_seawall(own_cluster, config=WAITS)
    with commit_held_back(own_cluster, table), seawall.connect() as connection:
        assert value(connection, ON_PRIMARY % table) == 0
        assert counters(seawall) == (0, 0, 0)


def test_T46_the_wait_is_bounded(own_cluster, table, make_seawall):
    seawall = make_seawall(own_cluster, config={"routing": {"wait_for_primary": "50ms"}})
    with commit_held_back(own_cluster, table), seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        assert value(connection, ON_PRIMARY % table) == 0
        assert value(connection, ON_PRIMARY % table) == 0  # once is enough
        assert counters(seawall) == (1, 1, 1)


def test_T46_fallback_error(own_cluster, table, make_seawall):
    seawall = make_seawall(own_cluster, config={"routing": {"wait_for_primary": "50ms", "fallback": "error"}})
    with commit_held_back(own_cluster, table) as release, seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        for _ in range(2):
            with pytest.raises(psycopg.Error) as refused:
                connection.execute(ON_PRIMARY % table)
            assert refused.value.sqlstate == "57P03"
        with pytest.raises(psycopg.Error) as refused:
            moved(connection, table)
        assert refused.value.sqlstate == "57P03"
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.execute("ROLLBACK")
        release()
        assert value(connection, ON_PRIMARY % table) == 1


def test_T46_no_wait_where_none_is_wanted(own_cluster, table, make_seawall):
    seawall = make_seawall(own_cluster, config={"routing": {"wait_for_primary": "0"}})
    with commit_held_back(own_cluster, table), seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        assert value(connection, ON_PRIMARY % table) == 0
        assert counters(seawall) == (0, 0, 0)


@pytest.mark.parametrize("sticky", ["on", "off"])
def test_T46_a_long_transaction_delays_nobody(own_cluster, table, make_seawall, sticky):
    """Also one with subtransactions, whose ids lie above all that the primary's snapshot lists, and a prepared one."""
    seawall = make_seawall(own_cluster, config={"routing": {"wait_for_primary": "30s", "sticky": sticky}})
    with contextlib.ExitStack() as stack:
        long, other, connection = (stack.enter_context(node.connect()) for node in (own_cluster.primary, own_cluster.primary, seawall))
        other.execute("BEGIN")
        other.execute("INSERT INTO %s VALUES (200)" % table)
        other.execute("PREPARE TRANSACTION 'long'")
        stack.callback(other.execute, "ROLLBACK PREPARED 'long'")
        long.execute("BEGIN")
        long.execute(many_subtransactions(table, 201))
        own_cluster.primary.execute("CHECKPOINT")  # or what it has written may not reach the replicas before it ends
        for _ in range(10):
            assert value(connection, COUNT % table) == 0
            assert last_route(connection).node in ("pg2", "pg3")
            assert value(connection, ON_PRIMARY % table) == 0
        assert counters(seawall) == (10, 0, 0)


def test_T46_many_sessions_wait_for_the_same(own_cluster, table, make_seawall):
    """… beside a transaction that goes on; each on its own replica, in both workers."""
    seawall = make_seawall(own_cluster, config=WAITS)
    with contextlib.ExitStack() as stack:
        long = stack.enter_context(own_cluster.primary.connect())
        long.execute("BEGIN")
        long.execute("INSERT INTO %s VALUES (200)" % table)
        release = stack.enter_context(commit_held_back(own_cluster, table))
        sessions = [stack.enter_context(seawall.connect()) for _ in range(12)]
        assert [value(session, COUNT % table) for session in sessions] == [1] * 12
        reads = [Background(lambda session=session: value(session, ON_PRIMARY % table)) for session in sessions]
        wait_for_settle(seawall, 12)
        release()
        assert [read.result() for read in reads] == [1] * 12
        assert counters(seawall) == (12, 12, 0)


def test_T46_more_early_commits_than_a_replica_tells_of(own_cluster, table, make_seawall):
    seawall = make_seawall(own_cluster, config=WAITS)
    sql = many_subtransactions("%s", 100)
    with commit_held_back(own_cluster, table, sql) as release, seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        read = Background(lambda: value(connection, ON_PRIMARY % table))
        wait_for_settle(seawall)
        assert read.is_alive()
        release()
        assert read.result() == 1
        assert counters(seawall) == (1, 0, 0)  # nobody knows whether it would have gone back


def test_T46_the_replica_is_gone(own_cluster, table, make_seawall):
    """Then nobody can say what it had shown: all that was in progress has to end."""
    seawall = make_seawall(own_cluster, config=WAITS)
    with commit_held_back(own_cluster, table) as release, seawall.connect() as connection:
        assert value(connection, COUNT % table) == 1
        node = own_cluster.node(last_route(connection).node)
        node.kill9()
        try:
            read = Background(lambda: value(connection, ON_PRIMARY % table))
            wait_for_settle(seawall)
            node.start()
            wait_until(lambda: node.value(COUNT % table) == 1, 10, "the replica to be back")
            assert read.is_alive()
            release()
            assert read.result() == 1
        finally:
            if not node.is_running():
                node.start()
    own_cluster.wait_streaming()


def test_T46_the_primary_is_restarted(own_cluster, table, make_seawall):
    """What it had committed it shows after a crash; nobody is left who waits."""
    seawall = make_seawall(own_cluster, config=WAITS)
    with seawall.connect() as connection:
        own_cluster.primary.configure(synchronous_standby_names="ANY 1 (nobody)")
        with own_cluster.primary.connect() as writer:
            insert = Background(lambda: writer.execute("INSERT INTO %s VALUES (100)" % table))
            for node in own_cluster.standbys:
                wait_until(lambda: node.value(COUNT % table) == 1, 10, "%s to show the commit" % node.name)
            assert value(connection, COUNT % table) == 1
            read = Background(lambda: value(connection, ON_PRIMARY % table))
            wait_for_settle(seawall)
            own_cluster.primary.kill9()
            own_cluster.primary.start()
            with pytest.raises(psycopg.OperationalError):
                insert.result()
        assert read.result() == 1
        own_cluster.primary.configure(synchronous_standby_names=None)
    own_cluster.wait_streaming()
