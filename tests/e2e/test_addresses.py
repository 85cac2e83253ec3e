"""Where clients connect and where nodes are: several addresses, IPv6, Unix sockets, names that change."""

import os
import socket

import psycopg
import pytest

from lib import proc
from lib.proxy import binary_path
from lib.wait import wait_until

needs_root = pytest.mark.skipif(not proc.IS_ROOT, reason="gives Seawall an /etc/hosts of its own")


def value(seawall, **where):
    with psycopg.connect(**seawall.conninfo("app_trust", "app", **where), autocommit=True) as connection:
        return connection.execute("SELECT 7").fetchone()[0]


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
            return True
        except OSError:
            return False


def test_several_listen_addresses(cluster, make_seawall):
    seawall = make_seawall(cluster, config={"seawall": {"listen_addr": "127.0.0.1, 127.0.0.2"}})
    assert [value(seawall, host=host) for host in ("127.0.0.1", "127.0.0.2")] == [7, 7]
    with pytest.raises(psycopg.OperationalError):
        value(seawall, host="127.0.0.3")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback")
@pytest.mark.parametrize("addresses", ["127.0.0.1, ::1", "localhost", "*"])
def test_ipv6(cluster, make_seawall, addresses):
    seawall = make_seawall(cluster, config={"seawall": {"listen_addr": addresses}})
    assert [value(seawall, host=host) for host in ("127.0.0.1", "::1")] == [7, 7]
    assert "::1" in seawall.log()


def test_unix_socket_and_its_end(cluster, make_seawall):
    directory = proc.make_dir("s")
    seawall = make_seawall(cluster, config={"seawall": {"unix_socket_dir": directory}})
    path = os.path.join(directory, ".s.PGSQL.%d" % seawall.port)
    assert value(seawall, host=directory) == 7
    assert os.path.exists(path)
    seawall.stop()
    assert not os.path.exists(path)
    seawall.start()
    seawall.kill()  # leaves its socket behind
    assert os.path.exists(path)
    seawall.start()
    assert value(seawall, host=directory) == 7


def test_a_socket_that_is_in_use_is_not_taken_away(cluster, make_seawall):
    directory = proc.make_dir("s")
    first = make_seawall(cluster, config={"seawall": {"unix_socket_dir": directory}})
    path = os.path.join(first.directory, "second.conf")
    with open(first.config_path) as config, open(path, "w") as out:
        out.write(config.read().replace("listen_addr = 127.0.0.1", "listen_addr = 127.0.0.2"))
    done = proc.run([first.binary, "-c", path], check=False, unprivileged=False, timeout=20)
    assert done.returncode == 1 and "another server is using it" in done.stdout
    assert value(first, host=directory) == 7


def test_nodes_by_unix_socket(cluster, make_seawall):
    nodes = {node.name: "host=%s port=%d" % (node.data, node.port) for node in cluster.nodes}
    seawall = make_seawall(cluster, config={"nodes": nodes})
    assert value(seawall) == 7


# -- names: Seawall runs with an /etc/hosts of its own, which the test may change while it runs

class Hosts:
    """A file of names, and a program that runs Seawall with it."""

    def __init__(self):
        directory = proc.make_dir("hosts")
        self.path, self.program = os.path.join(directory, "hosts"), os.path.join(directory, "seawall")
        self.write()

    def write(self, *lines):
        with open(self.path, "r+" if os.path.exists(self.path) else "w") as out:  # in place: it is mounted
            out.truncate()
            out.writelines(line + "\n" for line in lines)

    def wrap(self, binary):
        with open(self.program, "w") as out:
            out.write("#!/bin/sh\nexec unshare --mount sh -c 'mount --bind %s /etc/hosts && exec %s \"$@\"' sh \"$@\"\n"
                      % (self.path, binary))
        os.chmod(self.program, 0o755)
        return self.program


@pytest.fixture
def named(cluster, make_seawall):
    """(Seawall that knows its nodes by name, its file of names); before the first address of each comes a dead one."""
    hosts = Hosts()
    hosts.write(*("%s %s" % (address, node.name) for node in cluster.nodes for address in ("127.0.0.99", node.host)))
    seawall = make_seawall(cluster, binary=hosts.wrap(binary_path()), config={
        "nodes": {node.name: "host=%s port=%d" % (node.name, node.port) for node in cluster.nodes},
        "seawall": {"server_login_retry": "100ms"}})
    return seawall, hosts


@needs_root
def test_every_address_of_a_name_is_tried(named):
    seawall, _ = named
    assert value(seawall) == 7
    with seawall.connect("app_trust") as connection:
        connection.execute("CREATE TEMP TABLE on_the_primary (a int)")


@needs_root
def test_T95_a_name_is_looked_up_again(cluster, named):
    seawall, hosts = named
    with seawall.connect("app_trust") as connection:
        hosts.write("127.0.0.99 " + " ".join(node.name for node in cluster.nodes))
        for node in cluster.nodes:
            node.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
                         "backend_type = 'client backend'")
        wait_until(lambda: all(row["state"] == "down" for row in seawall.console("SHOW NODES")), 10,
                   "the nodes to be gone with their names")
        hosts.write(*("%s %s" % (node.host, node.name) for node in cluster.nodes))
        wait_until(lambda: all(row["state"] == "up" for row in seawall.console("SHOW NODES")), 10,
                   "the nodes to be found at their new address")
        assert connection.execute("SELECT 8").fetchone()[0] == 8
