"""PgBouncer and HAProxy in the place where Seawall would be, for the benchmark's comparison."""

import os

import psycopg

from lib import proc
from lib.cluster import HOST
from lib.wait import wait_until


class Peer:
    """A proxy in front of one node; subclasses write its configuration and say how it is started."""

    name = program = None

    def __init__(self, node):
        self.node, self.host, self.port, self.process = node, HOST, None, None
        self.directory = proc.make_dir(self.name)
        self.log_path = os.path.join(self.directory, "log")

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        for _ in range(20):
            self.port = proc.free_port()
            self.process = proc.spawn(self.command(), self.directory, self.log_path)
            wait_until(lambda: self.process.poll() is not None or self.is_serving(), 20, self.name + " to serve")
            if self.process.poll() is None:
                return self
        raise AssertionError("%s did not start:\n%s" % (self.name, proc.tail(self.log_path)))

    def __exit__(self, *_):
        proc.end(self.process)

    def is_serving(self):
        try:
            psycopg.connect(host=self.host, port=self.port, user="bench", dbname="bench").close()
            return True
        except psycopg.OperationalError:
            return False

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as out:
            out.write(text)
        return path


class PgBouncer(Peer):
    name = "pgbouncer"

    def __init__(self, node, pool_mode="transaction"):
        super().__init__(node)
        self.pool_mode = pool_mode

    def command(self):
        users = self.write("users.txt", '"bench" "unused"\n"app" "app secret"\n"postgres" "unused"\n')
        conf = self.write("pgbouncer.ini", """[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = %s
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = %s
max_client_conn = 20000
default_pool_size = 100
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
""" % (self.node.host, self.node.port, HOST, self.port, users, self.pool_mode))
        return ["pgbouncer", conf]


class HAProxy(Peer):
    name = "haproxy"

    def command(self):
        conf = self.write("haproxy.cfg", """global
    nbthread 1
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen postgresql
    bind %s:%d
    server node %s:%d
""" % (HOST, self.port, self.node.host, self.node.port))
        return ["haproxy", "-db", "-f", conf]
