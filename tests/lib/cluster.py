"""A real PostgreSQL cluster for a test: one primary and streaming standbys on free ports of 127.0.0.1.

    with Cluster(standbys=2) as cluster:
        cluster.primary.execute("CREATE TABLE t (a int)")
        cluster.wait_caught_up()
        cluster.standbys[0].pause_replay()

The data directory is initialised once, into a template under build/test, and copied: primary and standbys start from
the same stopped copy, which is what pg_basebackup would make of it, only faster (a second or two for three nodes). All
of it ends with the test process, however that ends (proc.py).

What the template holds: databases `app` and `bench` besides `postgres`, and the roles of USERS. A role's name says how
it must authenticate; `postgres` and `app_trust` need no password.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import signal

import psycopg

from lib import proc, watchdog
from lib.wait import wait_until

HOST = "127.0.0.1"
USERS = {  # role: (password, pg_hba method)
    "app": ("app secret", "scram-sha-256"),
    "app_md5": ("md5 secret", "md5"),
    "app_plain": ("plain secret", "password"),
    "app_trust": (None, "trust"),
    "bench": (None, "trust"),
    "seawall_monitor": ("monitor secret", "scram-sha-256"),
}

# fsync=off: a killed server process loses nothing that the kernel has, so crash tests stay honest; only a machine that
# loses power would notice. dynamic_shared_memory_type=mmap: a killed server leaves nothing in /dev/shm.
BASE_CONF = {
    "listen_addresses": HOST,
    "max_connections": 200,
    "superuser_reserved_connections": 10,
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "autovacuum": "off",
    "wal_level": "logical",
    "wal_log_hints": "on",
    "wal_keep_size": "1GB",
    "max_wal_size": "4GB",
    "max_wal_senders": 20,
    "max_replication_slots": 20,
    "max_prepared_transactions": 20,
    "hot_standby": "on",
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "log_checkpoints": "off",
    "TimeZone": "UTC",
}


def pg_bin(name):
    """The path of a PostgreSQL program: $PG_BIN, or Debian's newest version."""
    directory = os.environ.get("PG_BIN")
    if not directory:
        versions = glob.glob("/usr/lib/postgresql/*/bin/postgres")
        assert versions, "no PostgreSQL server in /usr/lib/postgresql: run make deps, or set PG_BIN"
        directory = os.path.dirname(max(versions, key=lambda path: int(path.split("/")[4])))
    return os.path.join(directory, name)


def _conf_text(conf):
    return "".join("%s = '%s'\n" % (key, str(value).replace("'", "''")) for key, value in conf.items())


def _hba_text():
    lines = ["local all all trust", "host all,replication postgres all trust"]
    lines += ["host all,replication %s all %s" % (role, method) for role, (_, method) in USERS.items()]
    return "\n".join(lines) + "\n"


def _template_sql():
    statements = []
    for role, (password, method) in USERS.items():
        encryption = "md5" if method == "md5" else "scram-sha-256"
        statements.append("SET password_encryption = '%s'" % encryption)
        statements.append("CREATE ROLE %s LOGIN %s" % (role, "PASSWORD '%s'" % password if password else ""))
    statements.append("GRANT pg_monitor TO seawall_monitor")
    for database in ("app", "bench"):
        statements.append("CREATE DATABASE %s" % database)
    return statements


class Node:
    """One PostgreSQL server. Its name is the name in Seawall's [nodes] too; its port stays the same over restarts."""

    def __init__(self, cluster, name, data):
        self.cluster, self.name, self.data = cluster, name, data
        self.host, self.port = HOST, None
        self.log_path = data + ".log"
        self.process = None

    def __repr__(self):
        return "<%s port=%s>" % (self.name, self.port)

    # -- SQL

    def connect(self, dbname="app", user="postgres", **kw):
        """A psycopg connection straight to this node, autocommit and without automatic preparing unless asked for."""
        kw.setdefault("password", USERS.get(user, (None, None))[0])
        kw.setdefault("autocommit", True)
        kw.setdefault("prepare_threshold", None)
        kw.setdefault("connect_timeout", 5)
        return psycopg.connect(host=self.host, port=self.port, dbname=dbname, user=user, **kw)

    def execute(self, sql, params=None, dbname="app"):
        """Runs one statement as superuser on a connection of its own; returns the rows, None where there are none."""
        with self.connect(dbname) as connection:
            cursor = connection.execute(sql, params)
            return cursor.fetchall() if cursor.description else None

    def value(self, sql, params=None, dbname="app"):
        return self.execute(sql, params, dbname)[0][0]

    # -- life

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def is_ready(self):
        try:
            self.connect("postgres").close()
            return True
        except psycopg.OperationalError:
            return False

    def start(self, deadline=30):
        """Starts the server and waits until it takes connections."""
        assert not self.is_running(), "%s runs already" % self.name
        may_move = self.port is None
        for _ in range(20):
            if may_move:
                self.port = proc.free_port()
            self.process = proc.spawn([pg_bin("postgres"), "-D", self.data, "-p", str(self.port)], self.data,
                                      self.log_path, env={"LC_ALL": "C.UTF-8"})
            wait_until(lambda: self.process.poll() is not None or self.is_ready(), deadline, "%s to start" % self.name)
            if self.process.poll() is None:
                return self
            if not (may_move and "Address already in use" in proc.tail(self.log_path)):
                break
        raise AssertionError("%s did not start:\n%s" % (self.name, proc.tail(self.log_path)))

    def stop(self, mode="fast", deadline=60):
        """Shuts the server down: smart, fast or immediate."""
        sign = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        self.process.send_signal(sign)
        proc.wait_exit(self.process, deadline, self.name)
        self.process = None

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def kill9(self):
        """The postmaster and all its children at once, as when the machine goes; what the kernel holds survives."""
        watchdog.kill_inside(self.data)
        self.process.wait()
        self.process = None

    def sigstop(self):
        """Freezes the whole server: it neither answers nor closes anything."""
        self.process.send_signal(signal.SIGSTOP)  # first the postmaster, so that it starts no more children
        for pid in watchdog.processes_inside(self.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def sigcont(self):
        for pid in watchdog.processes_inside(self.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    # -- configuration

    def configure(self, **settings):
        """ALTER SYSTEM SET for each setting (None resets it), then a reload that has been taken in on return."""
        with self.connect("postgres") as connection:
            loaded = connection.execute("SELECT pg_conf_load_time()").fetchone()[0]
            for key, value in settings.items():
                to = "DEFAULT" if value is None else "'%s'" % str(value).replace("'", "''")
                connection.execute("ALTER SYSTEM SET %s = %s" % (key, to))
            connection.execute("SELECT pg_reload_conf()")

            def is_loaded():
                return connection.execute("SELECT pg_conf_load_time()").fetchone()[0] > loaded
            wait_until(is_loaded, 10, "%s to reload" % self.name)

    # -- replication

    def is_in_recovery(self):
        return self.value("SELECT pg_is_in_recovery()", dbname="postgres")

    def insert_lsn(self):
        return self.value("SELECT pg_current_wal_insert_lsn()", dbname="postgres")

    def replay_lsn(self):
        return self.value("SELECT pg_last_wal_replay_lsn()", dbname="postgres")

    def pause_replay(self):
        """Stops replay; on return nothing more becomes visible here, while WAL is still received."""
        with self.connect("postgres") as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
            wait_until(lambda: connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone()[0] == "paused",
                       10, "%s to pause replay" % self.name)

    def resume_replay(self):
        self.execute("SELECT pg_wal_replay_resume()", dbname="postgres")

    def set_delay(self, ms):
        """Commits become visible here this much after they were made (recovery_min_apply_delay)."""
        self.configure(recovery_min_apply_delay="%dms" % ms if ms else None)

    def follow(self, upstream):
        """Makes this standby stream from another node."""
        self.configure(primary_conninfo=_conninfo(upstream, self.name))

    def promote(self):
        """Makes this standby the primary. The others go on following the old one until they are told (follow)."""
        self.execute("SELECT pg_promote(true, 30)", dbname="postgres")
        wait_until(lambda: not self.is_in_recovery(), 30, "%s to leave recovery" % self.name)
        self.cluster.primary = self

    def reclone(self, upstream):
        """Makes this node a standby of another from a fresh base backup, whatever it was before."""
        if self.is_running():
            self.stop("immediate")
        shutil.rmtree(self.data)
        proc.run([pg_bin("pg_basebackup"), "-D", self.data, "-h", upstream.host, "-p", str(upstream.port), "-U",
                  "postgres", "-c", "fast", "-X", "stream", "--no-sync"], cwd=self.cluster.directory)
        self.cluster.write_conf(self, upstream)
        return self.start()

    def wait_caught_up(self, deadline=30, upstream=None):
        """Waits until this standby has replayed all that the primary has written by now."""
        target = _reachable((upstream or self.cluster.primary).insert_lsn())
        with self.connect("postgres") as connection:
            def is_there():
                return connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (target,)).fetchone()[0]
            wait_until(is_there, deadline, "%s to replay %s" % (self.name, target))


def _reachable(lsn):
    """At the start of a page the insert position lies behind the page's header, where no replay ends (T42)."""
    high, low = (int(part, 16) for part in lsn.split("/"))
    offset = low % 8192
    return "%X/%X" % (high, low - offset if offset in (24, 40) else low)


def _conninfo(upstream, name):
    return "host=%s port=%d user=postgres application_name=%s" % (upstream.host, upstream.port, name)


class Cluster:
    """A primary (pg1) and standbys (pg2, pg3 …).

    conf        PostgreSQL settings for all nodes, over BASE_CONF
    node_conf   {node name: settings}, over conf
    base_dir    where the nodes' directories go; inside the run directory where not given
    """

    def __init__(self, standbys=2, base_dir=None, conf=None, node_conf=None):
        self.conf = dict(BASE_CONF, **(conf or {}))
        self.node_conf = node_conf or {}
        self.directory = base_dir or proc.make_dir("cluster")
        self.nodes = [Node(self, "pg%d" % (i + 1), os.path.join(self.directory, "pg%d" % (i + 1)))
                      for i in range(standbys + 1)]
        self.primary = self.nodes[0]

    @property
    def standbys(self):
        return [node for node in self.nodes if node is not self.primary]

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.destroy()

    def start(self):
        template = _template()
        for node in self.nodes:
            proc.run(["cp", "-a", "--reflink=auto", template, node.data], cwd=self.directory)
        self.write_conf(self.primary, None)
        self.primary.start()
        for node in self.standbys:
            self.write_conf(node, self.primary)
            node.start()
        self.wait_streaming()
        return self

    def write_conf(self, node, upstream):
        """Writes a node's settings; with an upstream it becomes a standby of that."""
        conf = dict(self.conf, cluster_name=node.name, **self.node_conf.get(node.name, {}))
        # A socket's path must fit into 107 bytes, and a checkout may lie deep; without one, TCP serves all.
        fits = len(os.path.join(node.data, ".s.PGSQL.65535")) < 107
        conf["unix_socket_directories"] = node.data if fits else ""
        if upstream is not None:
            conf["primary_conninfo"] = _conninfo(upstream, node.name)
            signal_file = os.path.join(node.data, "standby.signal")
            open(signal_file, "w").close()
            proc.own(signal_file)
        for name, text in (("postgresql.conf", _conf_text(conf)), ("pg_hba.conf", _hba_text())):
            with open(os.path.join(node.data, name), "w") as out:
                out.write(text)

    def wait_streaming(self, deadline=30):
        """Waits until every running standby streams from the primary."""
        running = sum(node.is_running() for node in self.standbys)
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: self.primary.value(query, dbname="postgres") >= running, deadline, "all standbys to stream")

    def wait_caught_up(self, deadline=30):
        for node in self.standbys:
            if node.is_running():
                node.wait_caught_up(deadline)

    def log_tails(self, lines=30):
        return "\n".join("--- %s\n%s" % (node.name, proc.tail(node.log_path, lines)) for node in self.nodes)

    def destroy(self):
        """Ends all nodes at once and removes their directories."""
        watchdog.kill_inside(self.directory)
        for node in self.nodes:
            if node.process is not None:
                node.process.wait()
                node.process = None
            watchdog.free_shared_memory(node.data)
        if not os.environ.get("SEAWALL_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)


def _template():
    """The path of a stopped data directory with the roles and databases; made where it is missing or out of date."""
    recipe = "\n".join([pg_bin("postgres"), _conf_text(BASE_CONF), _hba_text()] + _template_sql())
    name = "template-" + hashlib.sha256(recipe.encode()).hexdigest()[:12]
    final = os.path.join(proc.base_dir(), name)
    with open(final + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(final):
            _make_template(final)
    return final


def _make_template(final):
    work = proc.make_dir("template")
    cluster = Cluster.__new__(Cluster)
    cluster.conf, cluster.node_conf, cluster.directory = dict(BASE_CONF), {}, work
    node = cluster.primary = Node(cluster, "template", os.path.join(work, "data"))
    cluster.nodes = [node]
    proc.run([pg_bin("initdb"), "-D", node.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust",
              "--no-sync"], cwd=work)
    cluster.write_conf(node, None)
    node.start()
    with node.connect("postgres") as connection:
        for statement in _template_sql():
            connection.execute(statement)
    for database in ("app", "bench", "template1"):
        # As before PostgreSQL 15: tests create their tables in public under any role.
        node.execute("GRANT ALL ON SCHEMA public TO PUBLIC", dbname=database)
    node.stop("fast")
    os.unlink(node.log_path)
    os.rename(node.data, final)
    shutil.rmtree(work)
