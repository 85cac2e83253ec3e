"""Users who are in no file: auth_query against real nodes, by a function as PgBouncer's documentation has it."""

import concurrent.futures
import contextlib
import itertools
import os
import re
import signal
import struct

import psycopg
import pytest

from lib import proc
from lib.certs import make_certs
from lib.cluster import Cluster
from lib.proxy import ADMIN, ADMIN_PASSWORD, Seawall, binary_path, last_route
from lib.wait import holds_for, wait_until
from lib.wire import ServerError, Wire, query, rows, startup

ASKER, ASKER_PASSWORD = "asker", "asker secret"
QUERY = "SELECT username, password FROM lookup.get_auth($1)"
SLOW = "SELECT username, password FROM lookup.slow($1)"
PATIENT = {"monitor": {"query_timeout": "30s"}}
HANGS = "SELECT username, password FROM lookup.hangs($1)"
NOT_LOOKED_UP = "08006"
SETUP = """
CREATE ROLE {asker} LOGIN PASSWORD '{password}';
CREATE SCHEMA lookup;
GRANT USAGE ON SCHEMA lookup TO {asker};
CREATE FUNCTION lookup.get_auth(p_name text) RETURNS TABLE(username text, password text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    RAISE LOG 'looked up % tls %', p_name, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid());
    RETURN QUERY SELECT s.usename::text, s.passwd::text FROM pg_shadow s WHERE s.usename = p_name;
END $$;
CREATE FUNCTION lookup.slow(p_name text) RETURNS TABLE(username text, password text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    RAISE LOG 'looked up % tls %', p_name, false;
    PERFORM pg_advisory_xact_lock_shared(4242); -- as long as the test holds it
    RETURN QUERY SELECT s.usename::text, s.passwd::text FROM pg_shadow s WHERE s.usename = p_name;
END $$;
CREATE FUNCTION lookup.hangs(p_name text) RETURNS TABLE(username text, password text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_sleep(1000);
END $$;
CREATE TABLE lookup.notes (note text);
GRANT INSERT ON lookup.notes TO {asker};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA lookup FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA lookup TO {asker};
""".format(asker=ASKER, password=ASKER_PASSWORD)
SECRETS_IN_TEXT = re.compile(r"SCRAM-SHA-256\$|md5[0-9a-f]{32}|" + ASKER_PASSWORD + r"|pass \d+")

_serial = itertools.count()


def ready(cluster):
    """Lets in whom the template does not know, and makes the function."""
    for node in cluster.nodes:
        with open(os.path.join(node.data, "pg_hba.conf"), "a") as out:
            out.write("host all all all md5\n")  # serves SCRAM secrets, too
        node.configure()
    cluster.primary.execute(SETUP, dbname="postgres")
    cluster.wait_caught_up()
    return cluster


@pytest.fixture(scope="module")
def nodes():
    with Cluster(standbys=2) as running:
        yield ready(running)


@pytest.fixture
def start(nodes):
    """start(auth_type, **keys) starts a Seawall with auth_query; at the end its log is searched for secrets."""
    with contextlib.ExitStack() as stack:
        started = []

        def run(auth_type="scram-sha-256", cluster=nodes, users=None, more=None, wait_ready=True, **keys):
            config = dict({"auth_type": auth_type, "auth_query": QUERY, "auth_user": ASKER}, **keys)
            seawall = Seawall(cluster, config=dict({"seawall": config}, **(more or {})),
                              users=dict({ADMIN: ADMIN_PASSWORD, ASKER: ASKER_PASSWORD}, **(users or {})))
            started.append(seawall)
            return stack.enter_context(seawall)
        yield run
        for seawall in started:
            assert not SECRETS_IN_TEXT.search(seawall.log())


class Role:
    """A role of the cluster that no auth_file has."""

    def __init__(self, cluster, encryption):
        serial = next(_serial)
        self.cluster, self.encryption, self.name = cluster, encryption, "stranger_%d" % serial
        self.password = None

    def create(self):
        self.set_password("CREATE")
        return self

    def set_password(self, verb="ALTER"):
        self.password = "pass %d" % next(_serial)
        with self.cluster.primary.connect("postgres") as connection:
            connection.execute("SET password_encryption = '%s'" % self.encryption)
            connection.execute("%s ROLE %s LOGIN PASSWORD '%s'" % (verb, self.name, self.password))
        self.cluster.wait_caught_up()

    def drop(self):
        self.cluster.primary.execute("DROP ROLE " + self.name, dbname="postgres")
        self.cluster.wait_caught_up()


@pytest.fixture
def make_role(nodes):
    roles = []

    def make(encryption="scram-sha-256"):
        roles.append(Role(nodes, encryption))
        return roles[-1].create()
    yield make
    for role in roles:
        with contextlib.suppress(psycopg.errors.UndefinedObject):
            role.drop()


def refusal(seawall, user, password, dbname="app"):
    """The SQLSTATE and the message by which a login was refused; None where it was not."""
    try:
        with Wire(seawall.host, seawall.port) as wire:
            wire.login(user, dbname, password)
            assert rows(wire.ask(query("SELECT 1"))) == [[b"1"]] or dbname != "app"
    except ServerError as error:
        return error.sqlstate, error.fields["M"]
    return None


def outcome(seawall, role, password=None):
    refused = refusal(seawall, role.name, password or role.password)
    return refused[0] if refused else "in"


def times_asked(cluster, name):
    return sum(open(node.log_path, errors="replace").read().count("looked up %s tls" % name) for node in cluster.nodes)


def wait_for_asking(seawall, count=1):
    """Until so many clients wait for auth_query."""
    wait_until(lambda: [row["step"] for row in seawall.console("SHOW CLIENTS")].count("wait_secret") == count, 10,
               "%d to wait" % count)


@contextlib.contextmanager
def held_up(cluster):
    """What SLOW asks is not answered meanwhile."""
    with cluster.primary.connect("postgres") as connection:
        connection.execute("SELECT pg_advisory_lock(4242)")
        yield


# -- who gets in

@pytest.mark.parametrize("auth_type, encryption, result", [
    ("plain", "md5", "in"), ("plain", "scram-sha-256", "in"),
    ("md5", "md5", "in"), ("md5", "scram-sha-256", "in"),
    ("scram-sha-256", "scram-sha-256", "in"), ("scram-sha-256", "md5", "28P01"),
])
def test_a_user_of_no_file_gets_in_by_his_secret(start, make_role, nodes, auth_type, encryption, result):
    seawall, role = start(auth_type), make_role(encryption)
    assert outcome(seawall, role) == result
    assert outcome(seawall, role, "wrong") == "28P01"
    if result != "in":
        return
    with seawall.connect(role.name, password=role.password) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role.name,)
        seen = set()

        def has_been_everywhere():
            connection.execute("SELECT 1")
            seen.add(last_route(connection).node)
            with seawall.connect(role.name, password=role.password) as other:
                other.execute("SELECT 1")
                seen.add(last_route(other).node)
            connection.execute("SELECT pg_is_in_recovery()")
            seen.add(last_route(connection).node)
            return seen == {node.name for node in nodes.nodes}
        wait_until(has_been_everywhere, 20, "a login to every node")


def end_server_connections(seawall, role):
    """On every node; on return Seawall knows."""
    for node in role.cluster.nodes:
        node.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role.name,))
    wait_until(lambda: role.name not in [row["user"] for row in seawall.console("SHOW SERVERS")], 10, "none to be left")


def test_a_server_connection_is_made_long_after_the_login(start, make_role):
    """By what the client's login taught: the answer is older than auth_query_ttl, and nobody knows the password."""
    seawall, role = start(auth_query_ttl="0"), make_role()
    with seawall.connect(role.name, password=role.password) as connection:
        for _ in range(3):
            end_server_connections(seawall, role)
            assert connection.execute("SELECT current_user, pg_is_in_recovery()").fetchone() == (role.name, False)
    assert times_asked(role.cluster, role.name) == 1


def test_T78_an_unknown_user_looks_like_a_wrong_password(start, make_role):
    for auth_type in ("plain", "md5", "scram-sha-256"):
        seawall, role = start(auth_type), make_role("md5" if auth_type == "md5" else "scram-sha-256")
        nobody = "nobody_%d" % next(_serial)
        seen = {(refusal(seawall, user, "wrong")[0], refusal(seawall, user, "wrong")[1].replace(user, "USER"))
                for user in (role.name, nobody, ASKER)}
        assert seen == {("28P01", 'password authentication failed for user "USER"')}
        # Asked for at the first login and, what is known being older than the second one, again before refusing it.
        assert times_asked(role.cluster, nobody) == times_asked(role.cluster, role.name) == 2


def test_a_role_without_a_password(start, make_role):
    seawall, role = start("plain"), make_role()
    role.cluster.primary.execute("ALTER ROLE %s PASSWORD NULL" % role.name)
    for password in ("wrong", ""):
        assert refusal(seawall, role.name, password)[0] == "28P01"


def test_auth_file_comes_first(start, make_role):
    role, other = make_role(), make_role()
    seawall = start(users={role.name: "of the file", other.name: ""})
    assert refusal(seawall, role.name, role.password)[0] == "28P01"
    assert refusal(seawall, other.name, other.password)[0] == "28P01"
    assert times_asked(role.cluster, role.name) == times_asked(role.cluster, other.name) == 0


def test_console(start, make_role):
    role, other = make_role(), make_role()
    seawall = start(stats_users=role.name)
    assert refusal(seawall, role.name, role.password, "seawall") is None
    assert refusal(seawall, role.name, "wrong", "seawall")[0] == "28P01"
    assert refusal(seawall, other.name, other.password, "seawall")[0] == "28000"


def test_lines_of_an_hba_file(start, make_role):
    """Methods that ask for a password ask for the secret, too; the others do not."""
    role, trusted = make_role(), make_role()
    hba = os.path.join(proc.make_dir("hba"), "hba.conf")
    with open(hba, "w") as out:
        out.write("host all postgres all trust\nhost app %s all trust\nhost app all all scram-sha-256\n" % trusted.name)
    seawall = start("hba", auth_hba_file=hba)
    assert outcome(seawall, role) == "in"
    assert outcome(seawall, role, "wrong") == "28P01"
    with Wire(seawall.host, seawall.port) as wire:
        wire.send(startup({"user": trusted.name, "database": "app"}))
        assert wire.receive()[1] != struct.pack("!i", 10)
    assert times_asked(role.cluster, trusted.name) == 0


# -- what changes

@pytest.mark.parametrize("auth_type, encryption, tries", [
    ("plain", "scram-sha-256", 1), ("plain", "md5", 1), ("md5", "md5", 1),
    ("scram-sha-256", "scram-sha-256", 2), ("md5", "scram-sha-256", 2)])
def test_a_changed_password_is_noticed_by_its_failure(start, make_role, auth_type, encryption, tries):
    """Where the client's answer can be judged by another secret, at once; a SCRAM proof cannot, so it comes again."""
    seawall, role = start(auth_type, auth_query_ttl="1d"), make_role(encryption)
    for _ in range(3):
        before = role.password
        assert outcome(seawall, role) == "in"
        role.set_password()
        assert [outcome(seawall, role) for _ in range(tries)] == ["28P01"] * (tries - 1) + ["in"]
        assert outcome(seawall, role, before) == "28P01"


def test_a_kind_of_secret_that_changes(start, make_role):
    """Encryption is a matter of when the password was set."""
    seawall, role = start("md5", auth_query_ttl="1d"), make_role("md5")
    assert outcome(seawall, role) == "in"
    role.encryption = "scram-sha-256"
    role.set_password()
    assert [outcome(seawall, role), outcome(seawall, role)] == ["28P01", "in"]
    role.encryption = "md5"
    role.set_password()
    assert [outcome(seawall, role), outcome(seawall, role)] == ["28P01", "in"]


def test_a_changed_password_works_within_the_ttl(start, make_role):
    seawall, role = start(auth_query_ttl="500ms"), make_role()
    before = role.password
    assert outcome(seawall, role) == "in"
    role.set_password()
    wait_until(lambda: outcome(seawall, role) == "in", 5, "the new password to work")
    holds_for(lambda: outcome(seawall, role) == "in", 1)
    assert outcome(seawall, role, before) == "28P01"


def test_a_dropped_user_is_out_after_the_ttl(start, make_role):
    seawall, role = start(auth_query_ttl="500ms"), make_role()
    assert outcome(seawall, role) == "in"
    role.drop()
    wait_until(lambda: outcome(seawall, role) == "28P01", 5, "the refusal")
    holds_for(lambda: outcome(seawall, role) == "28P01", 1)


@pytest.mark.parametrize("auth_type, tries", [("plain", 1), ("scram-sha-256", 2)])
def test_a_user_who_was_not_there_before(start, make_role, auth_type, tries):
    seawall, role = start(auth_type, auth_query_ttl="1d"), make_role()
    role.drop()
    assert outcome(seawall, role) == "28P01"
    role.create()
    assert [outcome(seawall, role) for _ in range(tries)] == ["28P01"] * (tries - 1) + ["in"]


def test_how_often_a_node_is_asked(start, make_role):
    kept, asked, wrong = make_role(), make_role(), make_role()
    seawall = start(auth_query_ttl="1d")
    assert [outcome(seawall, kept) for _ in range(10)] == ["in"] * 10
    assert times_asked(kept.cluster, kept.name) == 1
    assert [outcome(seawall, wrong, "wrong") for _ in range(10)] == ["28P01"] * 10
    assert times_asked(kept.cluster, wrong.name) == 10
    every_time = start(auth_query_ttl="0")
    assert [outcome(every_time, asked) for _ in range(10)] == ["in"] * 10
    assert times_asked(kept.cluster, asked.name) == 10


def test_a_node_that_wants_another_secret_makes_it_asked_for_again(start, make_role):
    """The password was changed while the session was open: it goes on, though nobody has logged in anew."""
    seawall, role = start("md5", auth_query_ttl="1d"), make_role("md5")
    with seawall.connect(role.name, password=role.password) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role.name,)
        role.set_password()
        end_server_connections(seawall, role)

        def works():
            try:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
            except psycopg.errors.InvalidPassword:  # what the node says of the old secret
                return False
        wait_until(works, 10, "the new secret to be used")
        assert times_asked(role.cluster, role.name) == 2


# -- many at a time

def in_threads(count, work):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_logins_of_one_user_at_the_same_time_are_one_question(start, make_role):
    role = make_role()
    seawall = start(auth_query=SLOW, more=PATIENT)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        with held_up(role.cluster):
            logins = [pool.submit(outcome, seawall, role) for _ in range(40)]
            wait_for_asking(seawall, 40)
        assert [login.result() for login in logins] == ["in"] * 40
    assert times_asked(role.cluster, role.name) == 1


def test_many_users_at_the_same_time(start, nodes):
    """Each needs a server connection of his own, of which a node has 200."""
    count, prefix = 80, "crowd_%d_" % next(_serial)
    with nodes.primary.connect("postgres") as connection:
        connection.execute("SET password_encryption = 'md5'")
        for i in range(count):
            connection.execute("CREATE ROLE %s%d LOGIN PASSWORD 'pass %d'" % (prefix, i, i))
    nodes.wait_caught_up()
    seawall = start("md5")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda i: refusal(seawall, "%s%d" % (prefix, i), "pass %d" % i), range(count))) == {None}
    assert {times_asked(nodes, "%s%d" % (prefix, i)) for i in range(count)} == {1}


def test_who_leaves_while_he_waits(start, make_role):
    role = make_role()
    seawall = start(auth_query=SLOW, more=PATIENT)
    with held_up(role.cluster):
        for _ in range(20):
            with Wire(seawall.host, seawall.port) as wire:
                wire.send(startup({"user": role.name, "database": "app"}))
        wait_until(lambda: times_asked(role.cluster, role.name) == 1, 5, "the question")
    assert outcome(seawall, role) == "in"
    assert len(seawall.console("SHOW CLIENTS")) == 1


# -- nodes that do not answer

def is_asked_of(cluster, name):
    return [node.name for node in cluster.nodes
            if "looked up %s tls" % name in open(node.log_path, errors="replace").read()]


def test_a_replica_is_asked_while_there_is_no_primary(start, make_role, nodes):
    before, while_down, after = make_role(), make_role(), make_role()
    seawall = start()
    assert outcome(seawall, before) == "in"
    assert is_asked_of(nodes, before.name) == ["pg1"]
    nodes.primary.stop("immediate")
    try:
        with Wire(seawall.host, seawall.port) as wire:
            wire.login(while_down.name, "app", while_down.password)
        assert is_asked_of(nodes, while_down.name)[0] in ("pg2", "pg3")
        assert refusal(seawall, "nobody", "x")[0] == "28P01"
    finally:
        nodes.primary.start()
        nodes.wait_streaming()
    wait_until(lambda: seawall.console("SHOW NODES")[0]["role"] == "primary", 10, "the primary to be back")
    assert outcome(seawall, after) == "in"
    assert is_asked_of(nodes, after.name) == ["pg1"]


def test_no_node_at_all(start, make_role):
    with Cluster(standbys=0) as alone:
        ready(alone)
        role = Role(alone, "scram-sha-256").create()
        seawall = start(cluster=alone)
        alone.primary.stop("immediate")
        assert refusal(seawall, role.name, role.password) == (NOT_LOOKED_UP, "the user could not be looked up")
        assert 'cannot look up user "%s" by auth_query: ' % role.name in seawall.log()
        assert refusal(seawall, ADMIN, ADMIN_PASSWORD, "seawall") is None
        alone.primary.start()
        wait_until(lambda: outcome(seawall, role) == "in", 20, "the node to be asked")


def test_a_node_that_hangs(start, make_role, nodes):
    """Whoever waits for an answer is told when query_timeout is over, and nothing stays behind on the node."""
    role = make_role()
    seawall = start(auth_query=HANGS, more={"monitor": {"query_timeout": "300ms"}})
    assert in_threads(5, lambda _: outcome(seawall, role)) == [NOT_LOOKED_UP] * 5
    busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = '%s' AND state = 'active'" % ASKER
    wait_until(lambda: nodes.primary.value(busy) == 0, 10, "the backend to give up")
    with Cluster(standbys=0) as alone:
        ready(alone)
        role = Role(alone, "scram-sha-256").create()
        frozen = start(cluster=alone, more={"monitor": {"query_timeout": "300ms"}})
        alone.primary.sigstop()
        assert in_threads(5, lambda i: refusal(frozen, "user_%d" % i, "x")[0]) == [NOT_LOOKED_UP] * 5
        alone.primary.sigcont()
        wait_until(lambda: outcome(frozen, role) == "in", 20, "the node to be asked")


def test_login_timeout_and_drain_while_a_node_is_asked(start, make_role):
    role = make_role()
    slow = {"auth_query": HANGS, "more": {"monitor": {"query_timeout": "1min"}}}
    seawall = start(client_login_timeout="300ms", **slow)
    assert refusal(seawall, role.name, role.password)[0] == "08P01"
    seawall = start(**slow)
    with Wire(seawall.host, seawall.port) as wire:
        wire.send(startup({"user": role.name, "database": "app"}))
        wait_for_asking(seawall)
        seawall.process.send_signal(signal.SIGTERM)
        assert [kind for kind, _ in wire.until_closed()] == ["E"]
    seawall.check_exit(proc.wait_exit(seawall.process, 10, "Seawall"))
    seawall.start()
    with Wire(seawall.host, seawall.port) as wire:
        wire.send(startup({"user": role.name, "database": "app"}))
        wait_for_asking(seawall)
        seawall.stop()
        seawall.start()


def test_the_connection_is_made_again(start, make_role, nodes):
    seawall, roles = start(), [make_role() for _ in range(3)]
    for role in roles:
        assert outcome(seawall, role) == "in"
        nodes.primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '%s'" % ASKER)
    assert "cannot look up" not in seawall.log()


# -- statements that answer badly

@pytest.mark.parametrize("sql, why", [
    ("SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1", "permission denied"),
    ("SELECT username FROM lookup.get_auth($1)", "columns"),
    ("SELECT username, password, 1 FROM lookup.get_auth($1)", "columns"),
    ("SELECT username, password FROM lookup.get_auth($1), generate_series(1, 2)", "more than one row"),
    ("SELECT 'somebody else', password FROM lookup.get_auth($1)", "not the user's"),
    ("SELECT NULL, password FROM lookup.get_auth($1)", "not the user's"),
    ("SELECT username, left(password, 30) FROM lookup.get_auth($1)", "damaged"),
    ("SELECT rolname, rolpassword FROM pg_catalog.pg_roles WHERE rolname = $1", "pg_authid"),
    ("SELECT username, password::int FROM lookup.get_auth($1)", "22P02"),
    ("SELECT username, repeat(password, 100) FROM lookup.get_auth($1)", "4096"),
    ("SELECT username, password FROM lookup.no_such_function($1)", "no_such_function"),
    ("SELECT username password FROM FROM lookup.get_auth($1)", "syntax error"),
    ("SELECT username, password FROM lookup.get_auth($1); SELECT 1", "42601"),
    ("SET search_path = $1", "42601"),
    ("LISTEN a /* $1 */", "08P01"),
    ("INSERT INTO lookup.notes VALUES ($1)", "no rows"),
])
def test_a_statement_that_answers_badly(start, make_role, sql, why):
    seawall, role = start(auth_query=sql), make_role()
    assert refusal(seawall, role.name, role.password) == (NOT_LOOKED_UP, "the user could not be looked up")
    line = next(line for line in seawall.log().split("\n") if "cannot look up" in line)
    assert '"%s"' % role.name in line and why in line
    assert refusal(seawall, ASKER, ASKER_PASSWORD) is None  # who is in the file does not need it


def test_auth_user_who_cannot_log_in(start, make_role):
    role = make_role()
    seawall = start(users={ASKER: "not his password"})
    assert refusal(seawall, role.name, role.password)[0] == NOT_LOOKED_UP
    assert "authentication failed" in seawall.log()
    assert "not his password" not in seawall.log()


@pytest.mark.parametrize("name", [b"a\xff", b"'; DROP TABLE x; --", b"$1", b"%s%n", b"\"", b"a b", b"\\"])
def test_names_are_values(start, name):
    seawall = start("plain")
    with Wire(seawall.host, seawall.port) as wire:
        body = struct.pack("!i", 3 << 16) + b"user\0" + name + b"\0database\0app\0\0"
        wire.send(struct.pack("!i", len(body) + 4) + body)
        kind, body = wire.receive()
        if name.endswith(b"\xff"):
            assert kind == "E" and NOT_LOOKED_UP.encode() in body
        else:
            assert (kind, body) == ("R", struct.pack("!i", 3))


def test_a_hostile_search_path_changes_nothing(start, make_role, nodes):
    """Nobody but the operator says which function or table it is: not the role's settings, nor the database's."""
    role = make_role()
    mine = nodes.primary.value("SELECT passwd FROM pg_shadow WHERE usename = 'app'", dbname="postgres")
    nodes.primary.execute("""
        CREATE SCHEMA evil;
        GRANT USAGE ON SCHEMA evil TO PUBLIC;
        CREATE FUNCTION evil.get_auth(text) RETURNS TABLE(username text, password text)
            LANGUAGE sql AS $f$ SELECT $1, '{0}' $f$;
        CREATE FUNCTION public.get_auth(text) RETURNS TABLE(username text, password text)
            LANGUAGE sql AS $f$ SELECT $1, '{0}' $f$;
        CREATE VIEW evil.pg_shadow AS SELECT rolname AS usename, '{0}'::text AS passwd FROM pg_catalog.pg_roles;
        ALTER ROLE postgres SET search_path = evil, public, pg_catalog;
        ALTER ROLE {1} SET search_path = evil, public, pg_catalog;
        ALTER DATABASE postgres SET search_path = evil, public, pg_catalog
        """.format(mine, ASKER), dbname="postgres")
    try:
        seawall = start(auth_query="SELECT username, password FROM get_auth($1)")
        assert refusal(seawall, role.name, "app secret")[0] == NOT_LOOKED_UP
        assert "get_auth" in seawall.log()
        seawall = start(auth_query="SELECT usename, passwd FROM pg_shadow WHERE usename = $1", auth_user=ADMIN)
        assert refusal(seawall, role.name, "app secret")[0] == "28P01"
        assert outcome(seawall, role) == "in"
    finally:
        nodes.primary.execute("""
            ALTER DATABASE postgres RESET search_path; ALTER ROLE {0} RESET search_path;
            ALTER ROLE postgres RESET search_path; DROP FUNCTION public.get_auth(text);
            DROP SCHEMA evil CASCADE""".format(ASKER), dbname="postgres")


# -- the configuration

def test_auth_dbname(start, make_role, nodes):
    role = make_role()
    nodes.primary.execute("""
        CREATE FUNCTION public.only_in_bench(text) RETURNS TABLE(u text, p text) LANGUAGE sql SECURITY DEFINER
        AS $$ SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1 $$""", dbname="bench")
    try:
        sql = "SELECT u, p FROM public.only_in_bench($1)"
        assert outcome(start(auth_query=sql, auth_dbname="bench"), role) == "in"
        assert outcome(start(auth_query=sql), role) == NOT_LOOKED_UP
    finally:
        nodes.primary.execute("DROP FUNCTION public.only_in_bench(text)", dbname="bench")


def test_reload(start, make_role, nodes):
    seawall, role, other = start(auth_query_ttl="1d"), make_role(), make_role()
    assert outcome(seawall, role) == "in"

    def change(**keys):
        said = len(seawall.log())
        seawall.reload({"seawall": keys})
        wait_until(lambda: "configuration reloaded" in seawall.log()[said:], 10, "the reload")

    # What was known is asked for anew: even a SCRAM login gets in at the first try.
    role.set_password()
    change()
    assert outcome(seawall, role) == "in"
    # Another statement, then none, then the first one again.
    change(auth_query="SELECT username, password FROM lookup.no_such_function($1)")
    assert outcome(seawall, role) == NOT_LOOKED_UP
    with seawall.connect(ADMIN, "seawall") as console:
        console.execute("SHOW VERSION")
    change(auth_query=None, auth_user=None)
    wait_until(lambda: outcome(seawall, role) == "28P01", 10, "nobody to be asked")
    change(auth_query=QUERY, auth_user=ASKER)
    wait_until(lambda: outcome(seawall, role) == "in", 10, "the users to be known again")
    assert outcome(seawall, other) == "in"
    # A reload with a fault changes nothing.
    said = len(seawall.log())
    seawall.reload({"seawall": {"auth_user": "somebody"}})
    wait_until(lambda: "the old one stays in force" in seawall.log()[said:], 10, "the fault to be logged")
    assert 'role "somebody" is not in "auth_file"' in seawall.log()[said:]
    assert outcome(seawall, other) == "in"


def test_reload_while_a_node_is_asked(start, make_role):
    """Who waits is asked for by the new statement."""
    role = make_role()
    seawall = start(auth_query=HANGS, more={"monitor": {"query_timeout": "1min"}})
    for keys, result in (({"auth_query": QUERY}, "in"), ({"auth_query": None, "auth_user": None}, "28P01")):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(outcome, seawall, role)
            wait_for_asking(seawall)
            seawall.reload({"seawall": keys})
            assert waiting.result(20) == result
        seawall.reload({"seawall": {"auth_query": HANGS, "auth_user": ASKER}})
        wait_until(lambda: HANGS in [row["value"] for row in seawall.console("SHOW CONFIG")], 10, "the reload")


@pytest.mark.parametrize("keys, secret, fault", [
    ({}, "asker secret", None), ({}, "", None),
    ({"auth_user": None}, "x", '"auth_query" needs "auth_user"'),
    ({"auth_query": "SELECT usename, passwd FROM pg_shadow"}, "x", "has no $1"),
    ({"auth_query": "SELECT $1, $2"}, "x", "a parameter other than $1"),
    ({"auth_query": None}, "x", '"auth_user" has no effect'),
    ({"auth_user": "somebody"}, "x", 'role "somebody" is not in "auth_file"'),
    ({}, "md520c46e3762c864548e296b33c3406aa9", "has only a hash"),
    ({"auth_query_ttl": "-1s"}, "x", "auth_query_ttl"),
])
def test_check_names_the_fault(nodes, keys, secret, fault):
    config = dict({"auth_query": QUERY, "auth_user": ASKER}, **keys)
    seawall = Seawall(nodes, config={"seawall": config}, users={ASKER: secret})
    seawall.port = proc.free_port()
    seawall.write_config()
    done = proc.run([binary_path(), "--check", "-c", seawall.config_path], check=False, unprivileged=False)
    assert done.returncode == (1 if fault else 0), done.stdout
    assert fault is None or fault in done.stdout


def test_the_function_of_the_documents(start, make_role, nodes):
    with open(os.path.join(proc.ROOT, "docs", "configuration.md")) as text:
        document = text.read()
    sql = next(block for block in re.findall(r"```sql\n(.*?)```", document, re.S) if "get_auth" in block)
    asker = re.search(r"auth_user = (\w+)", document)[1]
    nodes.primary.execute(sql.replace("PASSWORD '…'", "PASSWORD 'pass 0'"), dbname="postgres")
    nodes.wait_caught_up()
    try:
        statement = re.search(r"auth_query = (SELECT.*)", document)[1]
        seawall = start(auth_query=statement, auth_user=asker, auth_query_ttl="0", users={asker: "pass 0"})
        role = make_role()
        assert outcome(seawall, role) == "in"
        assert refusal(seawall, "seawall_monitor", "monitor secret") is None
        for change in ("VALID UNTIL '2000-01-01'", "VALID UNTIL 'infinity' NOLOGIN", "LOGIN SUPERUSER"):
            nodes.primary.execute("ALTER ROLE %s %s" % (role.name, change))
            assert outcome(seawall, role) == "28P01"
        with nodes.primary.connect("postgres", role.name, password=role.password) as connection:
            connection.execute("SET ROLE seawall_monitor")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT seawall_auth.get_auth('app')")
    finally:
        nodes.primary.execute("DROP SCHEMA {0} CASCADE; DROP ROLE {0}".format(asker), dbname="postgres")


def test_TLS_to_the_node(start):
    certs = make_certs()
    with Cluster(standbys=0, conf=certs.of_node()) as alone:
        ready(alone)
        role = Role(alone, "scram-sha-256").create()
        log = lambda: open(alone.primary.log_path, errors="replace").read()  # noqa: E731
        assert outcome(start(cluster=alone, **certs.for_nodes("verify-full")), role) == "in"
        assert "looked up %s tls t" % role.name in log()
        plain = Role(alone, "scram-sha-256").create()
        assert outcome(start(cluster=alone, server_tls_sslmode="disable"), plain) == "in"
        assert "looked up %s tls f" % plain.name in log()
