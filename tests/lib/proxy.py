"""A Seawall in front of a cluster, for a test.

    with Seawall(cluster, config={"routing": {"max_lag": "2s"}}) as seawall:
        with seawall.connect("app") as connection:
            connection.execute("SELECT 1")
        assert seawall.console("SHOW NODES")[0]["name"] == "pg1"

The program is $SEAWALL_BIN, or `seawall` in $SEAWALL_BUILD (build). Built with a sanitizer, a report of that fails the
test that stops it. $SEAWALL_WORKERS: how many workers, where a test says nothing else (2).
"""

import contextlib
import glob
import os
import signal

import psycopg
from psycopg.rows import dict_row

from lib import proc
from lib.cluster import HOST, USERS
from lib.wait import wait_until

ADMIN = "postgres"
ADMIN_PASSWORD = "admin secret"
SANITIZER_EXIT_CODE = 99
TSAN_SUPPRESSIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tsan.supp")


def binary_path():
    build = os.path.join(proc.ROOT, os.environ.get("SEAWALL_BUILD", "build"))
    return os.environ.get("SEAWALL_BIN") or os.path.join(build, "seawall")


def default_users():
    """What the auth_file holds where a test says nothing else: every role of the cluster, and the console's user."""
    users = {role: password or "unused" for role, (password, _) in USERS.items()}
    users[ADMIN] = ADMIN_PASSWORD
    return users


def _quote(text):
    return '"%s"' % text.replace('"', '""')


class Seawall:
    """One Seawall process.

    config   {section: {key: value}}, over the defaults of default_config(); a value of None removes the key
    users    {name: secret} of the auth_file; default_users() where not given
    env      more environment for the process
    nodes    the nodes to name in [nodes]; all of the cluster where not given
    """

    def __init__(self, cluster, config=None, users=None, env=None, binary=None, nodes=None):
        self.cluster, self.env, self.binary = cluster, env or {}, binary or binary_path()
        self.nodes = list(nodes if nodes is not None else cluster.nodes)
        self.users = default_users() if users is None else users
        self.directory = proc.make_dir("seawall")
        self.config_path = os.path.join(self.directory, "seawall.conf")
        self.users_path = os.path.join(self.directory, "users.txt")
        self.log_path = os.path.join(self.directory, "seawall.log")
        self.host, self.port, self.process = HOST, None, None
        self.config = self.default_config()
        self.change(config or {})

    def default_config(self):
        return {
            "seawall": {
                "listen_addr": HOST,
                "workers": int(os.environ.get("SEAWALL_WORKERS", "2")),
                "admin_users": ADMIN,
                "auth_type": "trust",
                "auth_file": self.users_path,
                "auth_failure_delay": 0,
                "log_connections": 1,
                "log_disconnections": 1,
            },
            "nodes": {node.name: "host=%s port=%s" % (node.host, node.port) for node in self.nodes},
            "databases": {"*": ""},
            "users": {},
            # A slow machine must not make a read go to the primary; what the real default does is tested with it.
            "routing": {"wait_for_replica": "2s"},
            "monitor": {"user": "seawall_monitor", "password": USERS["seawall_monitor"][0], "interval": "20ms"},
        }

    def change(self, config):
        """Merges {section: {key: value}} into what the next write_config() writes."""
        for section, keys in config.items():
            target = self.config.setdefault(section, {})
            for key, value in keys.items():
                if value is None:
                    target.pop(key, None)
                else:
                    target[key] = value

    def write_config(self):
        self.config["seawall"]["listen_port"] = self.port
        with open(self.config_path, "w") as out:
            for section, keys in self.config.items():
                out.write("[%s]\n" % section)
                out.writelines("%s = %s\n" % item for item in keys.items())
        with open(self.users_path, "w") as out:
            out.writelines("%s %s\n" % (_quote(name), _quote(secret)) for name, secret in self.users.items())

    # -- life

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def _sanitizer_env(self):
        common = "log_path=%s:exitcode=%d:halt_on_error=1" % (os.path.join(self.directory, "sanitizer"),
                                                              SANITIZER_EXIT_CODE)
        return {name: common + more + ":" + os.environ.get(name, "") for name, more in (
            ("ASAN_OPTIONS", ":detect_leaks=1:quarantine_size_mb=4"), ("UBSAN_OPTIONS", ":print_stacktrace=1"),
            ("TSAN_OPTIONS", ":suppressions=" + TSAN_SUPPRESSIONS))}

    def start(self, deadline=20, wait_ready=True):
        """Starts it and waits until it serves: a console client gets in and every running node has been seen."""
        assert os.path.exists(self.binary), "%s does not exist: run make" % self.binary
        for _ in range(20):
            self.port = self.port or proc.free_port()
            self.write_config()
            self.process = proc.spawn([self.binary, "-c", self.config_path], self.directory, self.log_path,
                                      env=dict(self._sanitizer_env(), **self.env), unprivileged=False)
            if not wait_ready:
                return self
            wait_until(lambda: not self.is_running() or self._is_serving(), deadline, "Seawall to serve\n" +
                       self.log()[-3000:])
            if self.is_running():
                with contextlib.suppress(AssertionError):  # some tests begin with replicas that cannot serve
                    wait_until(self._do_replicas_serve, 1, "replicas to serve")
                return self
            if "ddress already in use" not in self.log():
                break
            self.port = None
        raise AssertionError("Seawall ended with %s:\n%s%s" % (self.process.returncode, self.log()[-4000:],
                                                               self._sanitizer_report()))

    def _is_serving(self):
        try:
            rows = self.console("SHOW NODES")
        except psycopg.OperationalError:
            return False
        running = {node.name for node in self.nodes if node.is_running()}
        roles = [row["role"] for row in rows if row["state"] == "up"]
        return (running <= {row["name"] for row in rows if row["state"] == "up"} and "unknown" not in roles and
                ("primary" in roles or not self.cluster.primary.is_running()))

    def _do_replicas_serve(self):
        return all(row["fit"] == "yes" for row in self.console("SHOW NODES") if row["role"] == "replica")

    def stop(self, how="now", deadline=30):
        """Stops it, now (SIGINT) or when its clients are done (drain, SIGTERM), and asserts that it ended well."""
        self.process.send_signal(signal.SIGINT if how == "now" else signal.SIGTERM)
        try:
            code = proc.wait_exit(self.process, deadline, "Seawall")
        finally:
            proc.end(self.process)
        self.check_exit(code)

    def check_exit(self, code):
        report = self._sanitizer_report()
        assert not report, "a sanitizer complained:\n" + report
        assert code == 0, "Seawall ended with %d:\n%s" % (code, self.log()[-4000:])

    def _sanitizer_report(self):
        return "".join("\n%s:\n%s" % (path, proc.tail(path, 120))
                       for path in glob.glob(os.path.join(self.directory, "sanitizer.*")))

    def kill(self):
        """SIGKILL, nothing asserted."""
        proc.end(self.process)

    def restart(self):
        self.stop()
        return self.start()

    def reload(self, config=None):
        """Merges config, writes the files and sends SIGHUP. The caller waits for the effect it is after."""
        self.change(config or {})
        self.write_config()
        self.process.send_signal(signal.SIGHUP)

    # -- clients

    def conninfo(self, user="app", dbname="app", **kw):
        """What a driver needs to connect, as keyword arguments."""
        info = {"host": self.host, "port": self.port, "user": user, "dbname": dbname, "connect_timeout": 10}
        if user in self.users:
            info["password"] = self.users[user]
        info.update(kw)
        return info

    def connect(self, user="app", dbname="app", **kw):
        """A psycopg connection, autocommit and without automatic preparing unless asked for."""
        kw.setdefault("autocommit", True)
        kw.setdefault("prepare_threshold", None)
        return psycopg.connect(**self.conninfo(user, dbname, **kw))

    def console(self, sql, user=ADMIN):
        """Runs a command on the console; the rows as dicts (an empty list where it has none)."""
        with self.connect(user, "seawall", row_factory=dict_row) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def log(self):
        try:
            with open(self.log_path, errors="replace") as log:
                return log.read()
        except OSError:
            return ""

    @property
    def overhead(self):
        """How many times the memory it takes that was built as this one is: ThreadSanitizer remembers each access."""
        return 8 if "tsan" in self.binary else 1

    def rss_kb(self):
        return proc.rss_kb(self.pid)

    def cpu_ticks(self):
        return proc.cpu_ticks(self.pid)


class Route(tuple):
    """Where a session's last statement went: .node, .reason, and the whole row as a tuple."""

    node = property(lambda self: self[0])
    reason = property(lambda self: self[1])


def last_route(connection):
    """What `SHOW seawall.last_route` says of this session's last statement."""
    return Route(connection.execute("SHOW seawall.last_route").fetchone())
