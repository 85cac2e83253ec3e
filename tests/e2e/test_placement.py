"""Where a statement belongs when something is not as usual: the primary is out of sight, the catalog has just changed,
a relation or a lock is the primary's alone, a replica refuses a role or has data of its own."""

import contextlib
import os
import shutil
import threading
import time

import psycopg
import pytest

from lib import proc
from lib import wire as w
from lib.cluster import USERS, Cluster
from lib.crew import Crew
from lib.proxy import Seawall, last_route
from lib.wait import wait_until
from lib.wire import Wire, bind, execute, kinds, parse, query, rows, sqlstates, sync
from lib.witness import make_table, unique

# A read that may go to a replica does, also right behind a write: it waits there for its floor.
NARROW = {"seawall": {"workers": 1, "default_pool_size": 1, "query_wait_timeout": "5s"},
          "routing": {"wait_for_replica": "5s"}}
SEEN = "SELECT coalesce(current_setting('app.user_id', true), '')"
DIVERGED = 'node "pg1" has replayed what the primary has never written'


@pytest.fixture(scope="module")
def furnished(cluster):
    """Relations whose content is the primary's alone, others that only look like it, and functions."""
    cluster.primary.execute("""
        CREATE TABLE counted (id serial, note text);
        CREATE VIEW counted_view AS SELECT last_value, is_called FROM counted_id_seq;
        CREATE VIEW counted_view_view AS SELECT v.last_value FROM counted_view v JOIN (SELECT 1) s ON true;
        CREATE VIEW counted_union AS SELECT 0 AS n UNION ALL SELECT (SELECT last_value FROM counted_view_view);
        CREATE VIEW counted_plain_view AS SELECT id FROM counted;
        CREATE UNLOGGED TABLE unlogged_one AS SELECT 1 AS a;
        CREATE VIEW unlogged_view AS SELECT a FROM unlogged_one;
        CREATE VIEW unlogged_view_view AS SELECT a FROM unlogged_view;
        CREATE MATERIALIZED VIEW unlogged_copy AS SELECT a FROM unlogged_one;
        CREATE VIEW unlogged_copy_view AS SELECT a FROM unlogged_copy;
        CREATE EXTENSION file_fdw;
        CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE FOREIGN TABLE foreign_one (a int) SERVER files OPTIONS (filename '/dev/null');
        CREATE VIEW foreign_view AS SELECT a FROM foreign_one;
        CREATE SEQUENCE forbidden;
        CREATE FUNCTION harmless_volatile() RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 1; END';
        CREATE FUNCTION setting_volatile() RETURNS text LANGUAGE sql VOLATILE AS
            'SELECT set_config(''app.user_id'', ''leaked'', false)';
        CREATE VIEW knobs AS SELECT name, setting FROM pg_settings;
        CREATE VIEW knobs_view AS SELECT * FROM knobs WHERE name LIKE 's%';
        CREATE TABLE wishes (name text, setting text);
        CREATE RULE wish AS ON INSERT TO wishes DO ALSO SELECT set_config(new.name, new.setting, false);
        CREATE VIEW wishes_view AS TABLE wishes;
        GRANT ALL ON knobs, knobs_view, wishes, wishes_view TO PUBLIC
    """)
    cluster.primary.execute("SELECT nextval('counted_id_seq')")
    cluster.wait_caught_up()
    return cluster


def start_narrow(cluster, size):
    """One worker, and so many server connections for a user and node: what one session leaves there the next finds."""
    return Seawall(cluster, config=dict(NARROW, seawall=dict(NARROW["seawall"], default_pool_size=size)))


@pytest.fixture(scope="module")
def narrow(furnished):
    with start_narrow(furnished, 1) as running:
        wait_for_catalog(running)
        yield running


@pytest.fixture
def fresh(furnished):
    """For one test: what leaks there is seen there."""
    with start_narrow(furnished, 1) as running:
        wait_for_catalog(running)
        yield running


@pytest.fixture(scope="module")
def pair(furnished):
    """A second connection for everybody else while one session keeps the first."""
    with start_narrow(furnished, 2) as running:
        wait_for_catalog(running)
        yield running


@pytest.fixture(scope="module")
def retrying(own_cluster):
    """In front of nodes that tests change and put back."""
    config = {"seawall": {"workers": 1, "server_login_retry": "1s"}, "routing": {"wait_for_replica": "5s"}}
    with Seawall(own_cluster, config=config) as running:
        yield running


def wait_for_catalog(seawall):
    """Until then every function is unknown, and no relation is known to be the primary's alone."""
    name = unique("known")
    seawall.cluster.primary.execute("CREATE FUNCTION %s() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'" % name)
    wait_until(lambda: goes_to_a_replica(seawall, "SELECT %s()" % name), 10, "the catalog to be read")


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


def outcome(connection, sql):
    """The rows, or the SQLSTATE."""
    try:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else None
    except psycopg.Error as error:
        return error.sqlstate


def node_of(connection, sql):
    """Where a statement of the session goes."""
    connection.execute(sql)
    return last_route(connection).node


def goes_to_a_replica(seawall, sql, user="app"):
    """Asked by a new session, which nothing has pinned yet."""
    with seawall.connect(user) as connection:
        return node_of(connection, sql) != seawall.cluster.primary.name


def wired(server, user="app_trust"):
    """A connection byte by byte, logged in."""
    wire = Wire(server.host, server.port)
    wire.login(user, "app", *USERS.get(user, [])[:1])
    return wire


def batch(*statements):
    """They share one Sync."""
    return b"".join(parse("", sql) + bind() + execute() for sql in statements) + sync()


def answer(wire, sql):
    messages = wire.ask(query(sql))
    return rows(messages), sqlstates(messages)


def node_row(seawall, node):
    return next(row for row in seawall.console("SHOW NODES") if row["name"] == node.name)


def client_row(seawall, user):
    """The only client of that user."""
    row, = [row for row in seawall.console("SHOW CLIENTS") if row["user"] == user and row["database"] == "app"]
    return row


def same_as_direct(cluster, seawall, scenario):
    """What a scenario returns, on the primary itself and through Seawall: the first says what is right."""
    expected = scenario(cluster.primary)
    assert scenario(seawall) == expected
    return expected


def mine_and_next(server, mine, sql):
    """What a question is answered to its session, and to the next client of the same server connection, who has asked
    first and waits where the session keeps that connection to its end."""
    with wired(server) as other:
        other.send(query(sql))
        seen = answer(mine, sql)
        mine.close()
        messages = other.until_ready()
        return seen, (rows(messages), sqlstates(messages))


# -- a session that keeps a connection to a primary which the monitor has lost

@contextlib.contextmanager
def primary_out_of_sight(seawall):
    """The monitor loses its connection to the primary and gets no other; everybody else keeps theirs."""
    primary = seawall.cluster.primary

    def seen():
        return [row["name"] for row in seawall.console("SHOW NODES") if row["role"] == "primary"]
    primary.execute("ALTER ROLE seawall_monitor NOLOGIN")
    try:
        primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'seawall_monitor'")
        wait_until(lambda: seen() == [], 10, "the primary to be lost")
        yield
    finally:
        primary.execute("ALTER ROLE seawall_monitor LOGIN")
        wait_until(lambda: seen() == [primary.name], 10, "the primary to be back")


def test_T36_replicas_serve_without_a_primary_as_long_as_max_lag_holds(own_cluster, make_seawall):
    """What is known of the primary gets older; beyond max_lag it says nothing, and fallback decides."""
    seawall = make_seawall(own_cluster, config={"routing": {"max_lag": "2s", "lag_dwell": "1h", "fallback": "error"}})
    table = make_table(own_cluster)

    def fit():
        return [row["fit"] for row in seawall.console("SHOW NODES") if row["role"] == "replica"]
    wait_until(lambda: fit() == ["yes", "yes"], 10, "the replicas to serve")
    with seawall.connect() as connection:
        with primary_out_of_sight(seawall):
            seen = 0
            while outcome(connection, "SELECT count(*) FROM " + table) == [(3,)]:
                seen = max(seen, *(int(row["lag_ms"] or 0) for row in seawall.console("SHOW NODES")))
            assert seen > 1000
            assert outcome(connection, "SELECT count(*) FROM " + table) == "57P03" and fit() == ["no", "no"]
        wait_until(lambda: fit() == ["yes", "yes"], 5, "the replicas to serve again, without a dwell")
        assert outcome(connection, "SELECT count(*) FROM " + table) == [(3,)]
    assert "beyond the lag limits" not in seawall.log()


INSERT = "INSERT INTO {t} VALUES (20)"
INTO_THE_TEMPORARY_TABLE = {  # requests, each with an answer of its own
    "a statement": [(query, INSERT)],
    "a transaction": [(query, "BEGIN"), (query, INSERT), (query, "COMMIT")],
    "a read first": [(query, "BEGIN"), (query, "SELECT * FROM {t}"), (query, INSERT), (query, "COMMIT")],
    "read write after all": [(query, "BEGIN READ ONLY"), (query, "SET TRANSACTION READ WRITE"), (query, INSERT),
                             (query, "COMMIT")],
    "a text": [(query, "BEGIN; " + INSERT + "; COMMIT")],
    "a batch": [(batch, INSERT)],
    "batches": [(batch, "BEGIN"), (batch, INSERT), (batch, "COMMIT")],
}


@pytest.mark.parametrize("name", sorted(INTO_THE_TEMPORARY_TABLE))
def test_T19_T95_a_temporary_table_while_the_primary_is_out_of_sight(own_cluster, retrying, name):
    """What is meant for it is written there or fails: the permanent one of its name sees nothing of it."""
    table, answers = make_table(own_cluster), []
    requests = [form(sql.replace("{t}", table)) for form, sql in INTO_THE_TEMPORARY_TABLE[name]]
    with wired(retrying) as mine:
        mine.ask(query("CREATE TEMP TABLE %s (id int)" % table))

        def ask():
            for request in requests:
                answers.append(mine.ask(request))
        asking = threading.Thread(target=ask)
        with primary_out_of_sight(retrying):
            asking.start()
            wait_until(lambda: len(answers) == len(requests) or client_row(retrying, "app_trust")["state"] == "waiting",
                       10, "the answers, or a wait for the primary")
        asking.join()
        has_failed = any(sqlstates(messages) for messages in answers)
        assert has_failed or answer(mine, "SELECT id FROM " + table) == ([[b"20"]], [])
    assert own_cluster.primary.value("SELECT count(*) FROM %s WHERE id = 20" % table) == 0


# -- relations

@pytest.mark.parametrize("sql", [
    "SELECT last_value, is_called FROM counted_id_seq", "TABLE public.counted_id_seq", "SELECT * FROM counted_view",
    "SELECT last_value FROM counted_view_view", "SELECT max(n) FROM counted_union",
    "SELECT (SELECT last_value FROM counted_view_view)", "WITH x AS (TABLE counted_view) SELECT last_value FROM x",
    "SELECT count(*) FROM counted, counted_view", "SELECT pg_sequence_last_value('counted_id_seq')",
    "SELECT last_value FROM pg_sequences WHERE sequencename = 'counted_id_seq'"])
def test_T7_a_sequence_is_read_on_the_primary(furnished, narrow, witness, sql):
    """A replica shows up to 32 values more than were given."""
    with narrow.connect("postgres") as connection:
        assert witness.run(connection, sql) == (furnished.primary.execute(sql), ["pg1"])


def test_T7_a_sequence_is_the_first_thing_that_is_read(furnished, make_seawall):
    """Nothing has been said yet of what there is in the database."""
    seawall = make_seawall(furnished, config=NARROW)
    with seawall.connect("postgres") as connection:
        sql = "SELECT last_value FROM counted_view_view"
        assert connection.execute(sql).fetchall() == furnished.primary.execute(sql)


MADE_AND_READ = {  # what makes a sequence and takes a value, and what reads it
    "a sequence": (["CREATE SEQUENCE {n}", "SELECT nextval('{n}')"], "SELECT last_value FROM {n}"),
    "a serial column": (["CREATE TABLE {n} (id serial, a int)", "INSERT INTO {n} (a) VALUES (1)"], "TABLE {n}_id_seq"),
    "a view": (["CREATE TABLE {n} (id serial, a int)", "INSERT INTO {n} (a) VALUES (1)",
                "CREATE VIEW {n}_view AS SELECT last_value FROM {n}_id_seq"], "TABLE {n}_view"),
    "a new name": (["CREATE TABLE {n}_old (id serial, a int)", "INSERT INTO {n}_old (a) VALUES (1)",
                    "ALTER SEQUENCE {n}_old_id_seq RENAME TO {n}"], "TABLE {n}"),
}


@pytest.mark.parametrize("reader", ["its session", "another one"])
@pytest.mark.parametrize("name", sorted(MADE_AND_READ))
def test_T7_a_sequence_made_while_running(narrow, name, reader):
    """It is read at once, before a new look at the catalog has found it."""
    made, sql = MADE_AND_READ[name]
    for _ in range(5):
        relation = unique("made")
        with narrow.connect("postgres") as mine, narrow.connect("postgres") as other:
            for statement in made:
                mine.execute(statement.replace("{n}", relation))
            if reader == "another one":
                mine.close()  # nextval has pinned it, perhaps
            assert value(mine if reader == "its session" else other, sql.replace("{n}", relation)) == 1


@pytest.mark.parametrize("relation", ["unlogged_one", "unlogged_view", "unlogged_view_view", "foreign_one",
                                      "foreign_view"])
def test_T20_unlogged_and_foreign_tables_are_read_on_the_primary(furnished, narrow, witness, relation):
    sql = "SELECT a FROM " + relation
    with narrow.connect("postgres") as connection:
        assert witness.run(connection, sql) == (furnished.primary.execute(sql), ["pg1"])


@pytest.mark.parametrize("sql", ["SELECT a FROM unlogged_copy", "TABLE unlogged_copy_view",
                                 "SELECT count(*) FROM counted", "TABLE counted_plain_view"])
def test_T20_what_only_comes_from_there_is_read_on_a_replica(furnished, narrow, witness, sql):
    """A materialized view has rows of its own, and a table is not its sequence."""
    wait_until(lambda: goes_to_a_replica(narrow, sql, "postgres"), 10, "the catalog to be read after what went before")
    with narrow.connect("postgres") as connection:
        found, nodes = witness.run(connection, sql)
        assert found == furnished.primary.execute(sql)
        assert nodes in (["pg2"], ["pg3"]), last_route(connection)


# -- functions that change

LEAKING = "plpgsql VOLATILE AS 'BEGIN PERFORM set_config(''app.user_id'', ''leaked'', false); RETURN 2; END'"


def replace(name, body="sql STABLE AS 'SELECT 1'"):
    return "CREATE OR REPLACE FUNCTION %s() RETURNS int LANGUAGE %s" % (name, body)


def make_stable(seawall, connection):
    """The name of a new function that replicas serve."""
    name = unique("stable")
    connection.execute(replace(name))
    wait_until(lambda: goes_to_a_replica(seawall, "SELECT %s()" % name), 10, "%s() to be known" % name)
    return name


def assert_nothing_leaked(seawall, user="postgres"):
    """Neither on the primary nor on a replica, on whatever connections the user has there."""
    for begin in ("BEGIN", "BEGIN READ ONLY"):
        with seawall.connect(user) as victim:
            victim.execute(begin)
            victim.execute("SELECT 1")
            assert value(victim, SEEN) == ""
            victim.execute("COMMIT")
            assert (last_route(victim).node == "pg1") == (begin == "BEGIN")


@pytest.mark.parametrize("ends", [["COMMIT"], ["PREPARE TRANSACTION 'replaced'", "COMMIT PREPARED 'replaced'"]],
                         ids=["COMMIT", "COMMIT PREPARED"])
def test_T5_a_function_replaced_in_a_transaction(fresh, witness, ends):
    """The catalog is read while the transaction is open, and again when it is over: what it has then is what counts."""
    with fresh.connect("postgres") as mine, fresh.connect("app") as other:
        name = make_stable(fresh, mine)
        for sql in ["BEGIN", replace(name, LEAKING)] + ends[:-1]:
            mine.execute(sql)
        make_stable(fresh, other)
        mine.execute(ends[-1])
        for _ in range(3):
            assert witness.run(mine, "SELECT %s()" % name) == ([(2,)], ["pg1"])
            make_stable(fresh, other)
    assert_nothing_leaked(fresh)


@pytest.mark.parametrize("way", ["{}", "BEGIN; {}; COMMIT", "DO $do$BEGIN EXECUTE $text${}$text$; END$do$",
                                 "DO $do$BEGIN EXECUTE $text${}$text$; COMMIT; PERFORM 1/0; END$do$"],
                         ids=["autocommit", "a text", "DO", "DO that fails behind COMMIT"])
def test_T5_a_function_called_right_behind_its_ddl(fresh, way):
    """By its session, and by another one."""
    for caller in ("postgres", "app", "postgres", "app"):
        with fresh.connect("postgres") as mine, fresh.connect("app") as other:
            name = make_stable(fresh, mine)
            outcome(mine, way.format(replace(name, LEAKING)))
            assert node_of(mine if caller == "postgres" else other, "SELECT %s()" % name) == "pg1"
        assert_nothing_leaked(fresh, caller)


def test_T5_a_function_called_behind_its_ddl_by_sessions_of_all_workers(furnished, make_seawall):
    """Whichever worker saw the DDL go by, it concerns them all."""
    seawall = make_seawall(furnished, config={"seawall": {"workers": 2}, "routing": NARROW["routing"]})
    wait_for_catalog(seawall)
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            mine = stack.enter_context(seawall.connect("postgres"))
            name = make_stable(seawall, mine)
            call = "SELECT %s()" % name
            wait_until(lambda: all(goes_to_a_replica(seawall, call) for _ in range(6)), 10, "all workers to know it")
            callers = [stack.enter_context(seawall.connect()) for _ in range(6)]
            mine.execute(replace(name, LEAKING))
            assert [node_of(caller, call) for caller in callers] == ["pg1"] * 6
        for _ in range(6):
            assert_nothing_leaked(seawall, "app")


@pytest.mark.parametrize("ddl, asked", [
    ("CREATE OR REPLACE FUNCTION {n}() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 2'", "SELECT {n}()"),
    ("CREATE VIEW {n}_view AS SELECT last_value FROM counted_id_seq", "SELECT * FROM {n}_view")])
def test_T5_ddl_of_a_function_is_noticed_soon(pair, ddl, asked):
    """One that is called in a SELECT: catalog_refresh is a minute."""
    name, maker = None, unique("maker")
    with pair.connect("postgres") as mine:
        name = make_stable(pair, mine)
        mine.execute("CREATE FUNCTION %s() RETURNS void LANGUAGE plpgsql AS $f$BEGIN EXECUTE $d$%s$d$; END$f$" % (
            maker, ddl.format(n=name)))
        mine.execute("SELECT %s()" % maker)
    wait_until(lambda: not goes_to_a_replica(pair, asked.format(n=name), "postgres"), 5, "it to be known")


@pytest.mark.parametrize("form", ["statements", "a text", "a batch"])
def test_T5_T59_a_function_called_in_the_transaction_that_changed_it(fresh, form):
    """The catalog that Seawall has read says stable, and the transaction calls another one."""
    with fresh.connect("postgres") as mine:
        name = make_stable(fresh, mine)
    statements = ["BEGIN", replace(name, LEAKING), "SELECT %s()" % name, "COMMIT"]
    with Wire(fresh.host, fresh.port) as wire:
        wire.login("postgres", "app")
        for request in {"statements": [query(sql) for sql in statements], "a text": [query("; ".join(statements))],
                        "a batch": [batch(*statements)]}[form]:
            assert sqlstates(wire.ask(request)) == []
    assert_nothing_leaked(fresh)


def test_T5_a_stable_function_made_in_a_transaction_gets_to_replicas(pair, witness):
    """Its DDL is read at COMMIT; whoever calls it then is not pinned, however many they are."""
    name = unique("new")
    with pair.connect("postgres") as mine:
        mine.execute("BEGIN")
        mine.execute(replace(name))
        mine.execute("SELECT 1")
        mine.execute("COMMIT")
    wait_until(lambda: goes_to_a_replica(pair, "SELECT %s()" % name), 5, "the function to be known")
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(pair.connect("app_trust")) for _ in range(5)]
        for caller in callers:
            assert witness.is_on_replica(caller, "SELECT %s()" % name)
        assert {row["pinned"] for row in pair.console("SHOW CLIENTS") if row["user"] == "app_trust"} == {""}
        for caller in callers:
            assert value(caller, "SELECT 1 FROM pg_advisory_xact_lock(1)") == 1


# -- replicas with data of their own

class Divided:
    """A former primary that has rows which nobody else got is to be a replica of its successor, and was not rewound. It
    has the history of the new timeline, and so it believes that it is on it."""

    def __init__(self, cluster, lost, kept):
        self.old, self.new = cluster.nodes
        self.right = [("both", 1), ("kept", kept)]
        self.old.execute("CREATE TABLE divided (who text); INSERT INTO divided VALUES ('both'); "
                         "GRANT ALL ON divided TO PUBLIC")
        self.old.execute("CHECKPOINT")
        cluster.wait_caught_up()
        self.new.configure(primary_conninfo="")
        receivers = "SELECT count(*) FROM pg_stat_wal_receiver"
        wait_until(lambda: self.new.value(receivers) == 0, 10, "the standby to be on its own")
        self.old.execute("INSERT INTO divided SELECT 'lost' FROM generate_series(1, %d)" % lost)
        self.old.kill9()
        self.new.promote()
        self.new.execute("INSERT INTO divided SELECT 'kept' FROM generate_series(1, %d)" % kept)
        cluster.write_conf(self.old, self.new)
        history = shutil.copy(os.path.join(self.new.data, "pg_wal", "00000002.history"),
                              os.path.join(self.old.data, "pg_wal"))
        proc.own(history)


class Readers(Crew):
    """Clients that read `divided`; .failures has what is not as on the primary, .nodes those who have answered."""

    def __init__(self, seawall, right):
        super().__init__(3)
        self.seawall, self.right, self.nodes, self.reads = seawall, right, set(), 0

    def __enter__(self):
        super().__enter__()
        self.wait_more(50)
        return self

    def work(self, _):
        while not self.stopped.is_set():
            with self.seawall.connect() as connection:
                for _ in range(20):
                    found = connection.execute("SELECT who, count(*) FROM divided GROUP BY 1 ORDER BY 1").fetchall()
                    node = last_route(connection).node
                    self.nodes.add(node)
                    self.failures += [(node, found)] if found != self.right else []
                    self.reads += 1

    def wait_more(self, count):
        target = self.reads + count
        wait_until(lambda: self.reads >= target or self.failures, 20, "%d more reads" % count)


@pytest.fixture
def divided(make_seawall):
    """Two nodes, and what Seawall thinks of them: the new one is the primary, the old one is down."""
    with Cluster(standbys=1) as cluster:
        seawall = make_seawall(cluster, config={"monitor": {"interval": "100ms"}, "routing": {"sticky": "off"}})
        nodes = Divided(cluster, 1000, 10)
        wait_until(lambda: node_row(seawall, nodes.new)["role"] == "primary", 10, "the new primary to be seen")
        yield seawall, nodes


def assert_serves_again_when_made_anew(readers, divided):
    assert readers.failures == [] and readers.nodes == {"pg2"}
    divided.old.reclone(divided.new)
    wait_until(lambda: readers.failures or "pg1" in readers.nodes, 15, "the node to serve again")


def test_T40_T93_a_diverged_replica_serves_nothing_until_it_is_made_anew(divided):
    seawall, nodes = divided
    with Readers(seawall, nodes.right) as readers:
        nodes.old.start()
        assert nodes.old.value("SELECT count(*) FROM divided WHERE who = 'lost'") == 1000
        wait_until(lambda: readers.failures or DIVERGED in seawall.log(), 10, "the node to be found")
        readers.wait_more(500)
        assert_serves_again_when_made_anew(readers, nodes)
    assert readers.failures == [] and seawall.log().count(DIVERGED) <= 1


def test_T40_T93_a_diverged_replica_that_is_behind_serves_nothing(divided):
    """Nobody sees it ahead: the primary comes back into sight behind the place at which it stands still."""
    seawall, nodes = divided
    with primary_out_of_sight(seawall):
        nodes.old.start()
        wait_until(lambda: node_row(seawall, nodes.old)["timeline"] == "2", 10, "the old one to be seen")
        nodes.new.execute("INSERT INTO divided SELECT 'kept' FROM generate_series(1, 5000)")
    assert nodes.new.value("SELECT pg_current_wal_lsn() > '%s'::pg_lsn" % node_row(seawall, nodes.old)["lsn"])
    with Readers(seawall, [("both", 1), ("kept", 5010)]) as readers:
        readers.wait_more(500)
        assert_serves_again_when_made_anew(readers, nodes)
    assert readers.failures == [] and DIVERGED not in seawall.log()


def test_T40_a_replica_that_comes_back_serves_once_it_has_caught_up(own_cluster, retrying):
    """Also while the primary writes, so that it is always a little behind."""
    table, standby = make_table(own_cluster), own_cluster.standbys[0]
    stopped = threading.Event()

    def write():
        with own_cluster.primary.connect() as connection:
            while not stopped.is_set():
                connection.execute("UPDATE %s SET note = 'x' WHERE id = 1" % table)
    writing = threading.Thread(target=write)
    writing.start()
    try:
        standby.stop()
        wait_until(lambda: node_row(retrying, standby)["state"] == "down", 10, "the node to be gone")
        standby.start()
        wait_until(lambda: node_row(retrying, standby)["fit"] == "yes", 10, "the node to serve again")
    finally:
        stopped.set()
        writing.join()


def test_T40_a_healthy_replica_is_not_taken_for_a_diverged_one(own_cluster, retrying):
    """Positions at the ends of segments, where the primary names a place behind a header that nobody replays."""
    with own_cluster.primary.connect() as connection:
        for _ in range(6):
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("SELECT txid_current()")
            own_cluster.wait_caught_up()
    assert "never written" not in retrying.log()


# -- advisory locks

LOCKED_THEN_FAILED = {  # an expression that is refused when it is computed, behind a lock, as class 42
    "a relation": ("('nosuch' || '')::regclass", "42P01"),
    "a type": ("('nosuch' || '')::regtype", "42704"),
    "a function": ("('nosuch' || '')::regproc", "42883"),
    "an operator": ("('+++' || '')::regoper", "42883"),
    "a name that is none": ("('a b' || '')::regtype", "42601"),
    "a right": ("nextval('forbidden')", "42501"),
    "a setting": ("set_config('nosuch', 'x', false)", "42704"),
    "a privilege": ("has_table_privilege('nosuch' || '', 'select')", "42P01"),
    "a column of a query in a text": ("ts_rewrite('a', 'SELECT nosuch')", "42703"),
    "a table of a query in a text": ("ts_rewrite('a', 'SELECT a FROM nosuch')", "42P01"),
    "the syntax of a query in a text": ("ts_rewrite('a', 'SELEC 1')", "42601"),
    "XML of a query in a text": ("query_to_xml('SELECT nosuch', false, false, '')", "42703"),
}
HOLDER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %d"


@pytest.mark.parametrize("form", [query, batch], ids=["query", "batch"])
@pytest.mark.parametrize("name", sorted(LOCKED_THEN_FAILED))
def test_T73_a_lock_is_kept_where_its_statement_fails_behind_it(furnished, pair, name, form):
    number = 7300 + 2 * sorted(LOCKED_THEN_FAILED).index(name) + (form is batch)
    expression, sqlstate = LOCKED_THEN_FAILED[name]

    def holders():
        return furnished.primary.execute(HOLDER % number)

    def scenario(server):
        with wired(server) as mine:
            messages = mine.ask(form("SELECT pg_advisory_lock(%d), %s" % (number, expression)))
            assert len(holders()) == 1
            if server is pair:
                assert "session advisory lock" in client_row(pair, "app_trust")["pinned"]
            for _ in range(3):
                with wired(server) as other:
                    found, _ = answer(other, "SELECT pg_backend_pid(), pg_try_advisory_lock(%d)" % number)
                    assert found[0][1] == b"f" and int(found[0][0]) != holders()[0][0]
            answers = sqlstates(messages), answer(mine, "SELECT pg_advisory_unlock(%d)" % number)
        wait_until(lambda: holders() == [], 10, "the lock to go with its session")
        return answers
    assert same_as_direct(furnished, pair, scenario) == ([sqlstate], ([[b"t"]], []))


@pytest.mark.parametrize("sql, sqlstate", [
    ("SELECT pg_advisory_lock(7399), nosuch", "42703"), ("SELECT pg_advisory_lock(7399) FROM nosuch", "42P01"),
    ("SELECT pg_advisory_lock(7399), nosuch()", "42883"), ("SELECT pg_advisory_lock(7399), 1::nosuch", "42704")])
def test_T73_a_statement_that_was_never_run_pins_nobody(furnished, pair, sql, sqlstate):
    with pair.connect("app_trust") as mine:
        assert outcome(mine, sql) == sqlstate
        assert client_row(pair, "app_trust")["pinned"] == ""
    assert furnished.primary.execute(HOLDER % 7399) == []


@pytest.mark.parametrize("form", [query, batch], ids=["query", "batch"])
@pytest.mark.parametrize("sql", [
    "SELECT pg_try_advisory_xact_lock(5)", "SELECT pg_advisory_lock(5)", "SELECT pg_catalog.pg_advisory_unlock_all()",
    "SELECT id FROM counted WHERE pg_try_advisory_lock_shared(id)", "PREPARE later AS SELECT pg_advisory_lock(5)"])
def test_T73_an_advisory_lock_in_a_transaction_on_a_replica(narrow, sql, form):
    """It would be granted there and exclude nobody: an error, as any other in a transaction."""
    with wired(narrow) as mine:
        for begin in ("BEGIN READ ONLY", "SELECT 1"):
            mine.ask(query(begin))
        assert answer(mine, "SHOW seawall.last_route")[0][0][0] != b"pg1"
        messages = mine.ask(form(sql))
        assert kinds(messages) == "EZ" and mine.status == "E"
        error, = w.errors(messages)
        assert error["C"] == "0A000" and "advisory" in error["M"] and "H" in error
        assert answer(mine, "SELECT 1") == ([], ["25P02"])
        assert w.tags(mine.ask(query("COMMIT"))) == ["ROLLBACK"] and mine.status == "I"
        assert answer(mine, "SELECT 1") == ([[b"1"]], [])


@pytest.mark.parametrize("form", ["statements", "a batch", "a text"])
def test_T73_an_advisory_lock_first_in_a_read_only_transaction(furnished, narrow, form):
    """The transaction moves to the primary, and so does all that comes as one."""
    statements = ["BEGIN READ ONLY", "SELECT pg_advisory_xact_lock(7398)", "SELECT 2"]
    if form != "statements":
        statements[1:1] = ["SELECT 1"]
    with wired(narrow) as mine:
        requests = {"statements": [query(sql) for sql in statements], "a batch": [batch(*statements)],
                    "a text": [query("; ".join(statements))]}[form]
        for request in requests:
            assert sqlstates(mine.ask(request)) == []
        assert len(furnished.primary.execute(HOLDER % 7398)) == 1
        mine.ask(query("COMMIT"))
        assert furnished.primary.execute(HOLDER % 7398) == []


# -- settings that are tables, and EXPLAIN that is none

@pytest.mark.parametrize("form", [query, batch], ids=["query", "batch"])
@pytest.mark.parametrize("sql", [
    "UPDATE pg_settings SET setting = 'nowhere' WHERE name = 'search_path'",
    "UPDATE pg_catalog.pg_settings AS s SET setting = '77777' WHERE s.name = 'statement_timeout'",
    "UPDATE knobs SET setting = 'nowhere' WHERE name = 'search_path'",
    "UPDATE public.knobs_view SET setting = '77777' WHERE name = 'statement_timeout'",
    "INSERT INTO wishes VALUES ('search_path', 'nowhere')",
    "INSERT INTO wishes_view VALUES ('statement_timeout', '77777')",
    "EXPLAIN ANALYZE UPDATE pg_settings SET setting = 'nowhere' WHERE name = 'search_path'",
    "BEGIN; UPDATE pg_settings SET setting = 'nowhere' WHERE name = 'search_path'; COMMIT; SELECT 1/0"])
def test_T59_a_rule_that_sets_leaks_nothing(furnished, narrow, sql, form):
    question = ("SELECT current_setting('search_path'), current_setting('statement_timeout') "
                "FROM pg_advisory_xact_lock(1)")  # on the primary

    def scenario(server):
        with wired(server) as mine:
            for request in [query(sql)] if form is query else [batch(part) for part in sql.split("; ")]:
                mine.ask(request)
            return mine_and_next(server, mine, question)
    mine, later = same_as_direct(furnished, narrow, scenario)
    assert mine != later and later == ([[b'"$user", public', b"0"]], [])


@pytest.mark.parametrize("form", [query, batch], ids=["query", "batch"])
@pytest.mark.parametrize("sql", [
    "INSERT INTO {t} SELECT max(id) + 1 FROM {t}", "DELETE FROM {t}", "SELECT * FROM {t} FOR UPDATE",
    "WITH x AS (DELETE FROM {t} RETURNING 1) TABLE x", "SELECT pg_advisory_lock(3)"])
def test_T2_T4_explain_with_options_that_execute(narrow, table, sql, form):
    """All these texts differ in constants only, and the constants are what they mean."""
    def node(options):
        with wired(narrow) as wire:
            assert sqlstates(wire.ask(form("EXPLAIN (%s) %s" % (options, sql.replace("{t}", table))))) == []
            return answer(wire, "SHOW seawall.last_route")[0][0][0]
    for options in ("ANALYZE 0", "ANALYZE 0, TIMING 0", "ANALYZE 0, COSTS 1", "ANALYZE 0, ANALYZE 0"):
        assert node(options) in (b"pg2", b"pg3"), options
    for options in ("ANALYZE 1", "ANALYZE 1, TIMING 0", "ANALYZE 1, COSTS 1", "ANALYZE 0, ANALYZE 1"):
        assert node(options) == b"pg1", options


# -- read only transactions

@pytest.mark.parametrize("function", ["harmless_volatile()", "setting_volatile()", "no_such_function()"])
def test_T14_a_read_only_transaction_ties_nobody_to_its_replica(fresh, table, function):
    with fresh.connect("app_trust") as mine:
        mine.execute("BEGIN READ ONLY")
        assert node_of(mine, "SELECT 1") != "pg1"
        outcome(mine, "SELECT " + function)
        mine.execute("COMMIT")
        assert client_row(fresh, "app_trust")["pinned"] == ""
        mine.execute("INSERT INTO %s VALUES (10)" % table)
        mine.execute("BEGIN")
        mine.execute("UPDATE %s SET note = 'x' WHERE id = 10" % table)
        mine.execute("COMMIT")
        assert value(mine, "SELECT note FROM %s WHERE id = 10" % table) == "x"
    assert_nothing_leaked(fresh, "app_trust")


LEFT_BEHIND = ["DECLARE held CURSOR WITH HOLD FOR SELECT 1", "PREPARE later AS SELECT 1", "SET ROLE app", "LOAD 'plpgsql'"]
NOTHING_READ = {
    "nothing": [],
    "a setting": ["SET LOCAL work_mem = '7MB'; ", "SET app.user_id = 'me' -- a comment"],
    "a question about a setting": ["SHOW work_mem"],
    "a mode": ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
    "savepoints": ["SAVEPOINT a", "SET LOCAL work_mem = '8MB'", "ROLLBACK TO a", "SAVEPOINT b", "RELEASE a"],
}


@pytest.mark.parametrize("before", sorted(NOTHING_READ))
@pytest.mark.parametrize("sql", LEFT_BEHIND)
def test_T14_what_would_tie_to_a_replica_moves_to_the_primary(narrow, furnished, table, before, sql):
    """Nothing was read yet: the transaction begins again there, with all that was said in it."""
    question = "SELECT current_setting('work_mem'), coalesce(current_setting('app.user_id', true), ''), " \
        "current_setting('transaction_isolation'), current_setting('transaction_read_only')"

    def scenario(server):
        with wired(server, "postgres") as mine:
            seen = [answer(mine, "BEGIN READ ONLY")] + [answer(mine, step) for step in NOTHING_READ[before]]
            seen += [answer(mine, sql), answer(mine, question), answer(mine, "COMMIT"), answer(mine, question)]
            seen += [answer(mine, "INSERT INTO %s VALUES (30) ON CONFLICT DO NOTHING" % table)]
            return seen + [answer(mine, "SELECT count(*) FROM " + table)]
    assert scenario(narrow) == scenario(furnished.primary)


@pytest.mark.parametrize("sql", LEFT_BEHIND)
def test_T14_what_ties_to_a_replica_that_was_read_from(narrow, table, sql):
    """There it stays, and the session is told what it cannot do."""
    with wired(narrow, "postgres") as mine:
        for step in ("BEGIN READ ONLY", "SELECT 1", sql, "COMMIT"):
            assert answer(mine, step)[1] == []
        assert answer(mine, "SHOW seawall.last_route")[0][0][0] != b"pg1"
        assert answer(mine, "INSERT INTO %s VALUES (40)" % table) == ([], ["0A000"])


# -- roles that a replica does not serve

@contextlib.contextmanager
def refused_by(nodes, user):
    """Their pg_hba.conf says so; put back at the end."""
    def take_in(node, text, is_refused):
        with open(os.path.join(node.data, "pg_hba.conf"), "w") as out:
            out.write(text)
        node.execute("SELECT pg_reload_conf()")
        wait_until(lambda: refuses(node) == is_refused, 10, "%s to reload" % node.name)

    def refuses(node):
        try:
            node.connect(user=user).close()
            return False
        except psycopg.OperationalError:
            return True
    texts = {}
    for node in nodes:
        with open(os.path.join(node.data, "pg_hba.conf")) as hba:
            texts[node] = hba.read()
        take_in(node, "host all %s all reject\n%s" % (user, texts[node]), True)
    try:
        yield
    finally:
        for node in nodes:
            take_in(node, texts[node], False)


def read_often(seawall, user, sql, count=30):
    """As many new sessions that read: (milliseconds, node) of each."""
    reads = []
    for _ in range(count):
        with seawall.connect(user) as connection:
            before = time.monotonic()
            connection.execute(sql)
            reads.append(((time.monotonic() - before) * 1000, last_route(connection).node))
    return reads


def slow(reads, limit_ms=100):
    return [ms for ms, _ in reads if ms > limit_ms]


@pytest.mark.parametrize("count", [1, 2])
def test_T78_a_replica_that_refuses_a_role(own_cluster, retrying, count):
    """Reads go elsewhere and wait for nothing; when it takes the role again it serves within server_login_retry."""
    refusing = own_cluster.standbys[:count]
    names, others = {node.name for node in refusing}, {node.name for node in own_cluster.standbys[count:]} or {"pg1"}
    own_cluster.wait_caught_up()
    with refused_by(refusing, "app_trust"):
        for node in own_cluster.nodes:
            node.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_trust'")
        reads = read_often(retrying, "app_trust", "SELECT 1")
        assert {node for _, node in reads} == others
        assert len(slow(reads)) <= 2 * count, reads
        assert names & {node for _, node in read_often(retrying, "bench", "SELECT 1")}

    def serves():
        return names <= {node for _, node in read_often(retrying, "app_trust", "SELECT 1")}
    wait_until(serves, 3, "the replicas to serve the role again")


def test_T15_a_role_whose_transactions_are_serializable(own_cluster, retrying):
    """No standby lets it ask anything: all is read on the primary, and nobody waits for a replica to agree."""
    table = make_table(own_cluster)
    own_cluster.primary.execute("ALTER ROLE bench SET default_transaction_isolation = 'serializable'")
    try:
        own_cluster.wait_caught_up()
        for node in own_cluster.nodes:
            node.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bench'")
        reads = read_often(retrying, "bench", "SELECT count(*) FROM " + table, 20)
        assert {node for _, node in reads} == {"pg1"} and len(slow(reads)) <= 4, reads
        with retrying.connect("bench") as connection:
            connection.execute("INSERT INTO %s VALUES (10)" % table)
            assert value(connection, "SELECT count(*) FROM " + table) == 4
            connection.execute("BEGIN READ ONLY")
            assert value(connection, "SHOW transaction_isolation") == "serializable"
            assert value(connection, "SELECT count(*) FROM " + table) == 4
            connection.execute("COMMIT")
    finally:
        own_cluster.primary.execute("ALTER ROLE bench RESET default_transaction_isolation")
    own_cluster.wait_caught_up()
    wait_until(lambda: goes_to_a_replica(retrying, "SELECT 1", "bench"), 3, "replicas to serve the role again")


# -- reads that run again although their Parse is answered already

@pytest.fixture
def one_replica(own_cluster, make_seawall):
    """What the one replica fails to do, the primary does."""
    running = make_seawall(own_cluster, nodes=[own_cluster.primary, own_cluster.standbys[0]], config=NARROW)
    wait_for_catalog(running)
    yield running
    for node in own_cluster.standbys:
        node.resume_replay()
        node.configure(max_standby_streaming_delay=None)
    own_cluster.wait_caught_up()


def by_plan(sql):
    """A read that asks for its plan by name, so that it stays on the server connection for whoever wants the same."""
    return parse("shared", sql) + bind("", "shared") + execute() + sync()


def leave_plan(seawall, sql):
    with wired(seawall) as first:
        assert sqlstates(first.ask(by_plan(sql))) == []
        assert answer(first, "SHOW seawall.last_route")[0][0][0] == b"pg2"


@contextlib.contextmanager
def locked(cluster, table):
    """ACCESS EXCLUSIVE, on the replica, too."""
    granted = "SELECT count(*) FROM pg_locks WHERE relation = '%s'::regclass AND mode = 'AccessExclusiveLock'" % table
    with cluster.primary.connect(autocommit=False) as lock:
        lock.execute("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE" % table)
        cluster.primary.execute("CREATE TABLE %s ()" % unique("flushed"))
        wait_until(lambda: cluster.standbys[0].value(granted) == 1, 10, "the lock to be replayed")
        yield
        lock.rollback()


def wait_for_waiter(node, table):
    """Until somebody waits for a lock on the table; his process."""
    waits = "SELECT pid FROM pg_locks WHERE relation = '%s'::regclass AND NOT granted" % table
    return wait_until(lambda: node.execute(waits), 10, "somebody to wait on " + node.name)[0][0]


PLANNED = pytest.mark.parametrize("is_known", [False, True], ids=["its Parse is sent", "its plan is there"])


@PLANNED
def test_T16_T54_a_read_whose_backend_is_shot_runs_again(own_cluster, one_replica, is_known):
    table = make_table(own_cluster)
    replica = own_cluster.standbys[0]
    sql = "SELECT id FROM " + table
    if is_known:
        leave_plan(one_replica, sql)
    with wired(one_replica) as wire:
        with locked(own_cluster, table):
            wire.send(by_plan(sql))
            replica.execute("SELECT pg_terminate_backend(%d)" % wait_for_waiter(replica, table))
            wait_for_waiter(own_cluster.primary, table)
        messages = wire.until_ready()
        assert kinds(messages) == "12DDDCZ" and rows(messages) == [[b"1"], [b"2"], [b"3"]]
        assert wire.notices == []


@PLANNED
def test_T54_a_read_that_stands_in_the_way_of_replay_runs_again(own_cluster, one_replica, is_known):
    """It has a lock on one table and waits for one on the other when the first is wanted by replay."""
    held, wanted = make_table(own_cluster), make_table(own_cluster)
    replica = own_cluster.standbys[0]
    replica.configure(max_standby_streaming_delay="0")
    sql = "SELECT a.id FROM %s a JOIN %s b USING (id)" % (held, wanted)
    if is_known:
        leave_plan(one_replica, sql)
    with wired(one_replica) as wire:
        with locked(own_cluster, wanted):
            wire.send(by_plan(sql))
            wait_for_waiter(replica, wanted)
            with locked(own_cluster, held):
                wait_for_waiter(own_cluster.primary, held)
        messages = wire.until_ready()
        assert kinds(messages) == "12DDDCZ" and rows(messages) == [[b"1"], [b"2"], [b"3"]]


@PLANNED
def test_T57_a_read_of_a_table_that_was_made_anew_runs_again(own_cluster, one_replica, is_known):
    """The replica has replayed the end of the one and not the beginning of the other."""
    table = make_table(own_cluster)
    sql = "SELECT id FROM " + table
    if is_known:
        leave_plan(one_replica, sql)
    own_cluster.primary.execute("DROP TABLE " + table)
    own_cluster.wait_caught_up()
    own_cluster.standbys[0].pause_replay()
    own_cluster.primary.execute("CREATE TABLE %s AS SELECT 7 AS id; GRANT ALL ON %s TO PUBLIC" % (table, table))
    with wired(one_replica) as wire:
        messages = wire.ask(by_plan(sql))
        assert kinds(messages) == "12DCZ" and rows(messages) == [[b"7"]]
