"""The README's "Put it before your own cluster", word for word, on a real cluster.

Only what differs from machine to machine is replaced: the addresses of the nodes and the port.
"""

import os
import re
import signal

import pytest

from lib import proc
from lib.cluster import USERS, Cluster
from lib.proxy import SANITIZER_EXIT_CODE, binary_path
from lib.wait import wait_until

README = os.path.join(proc.ROOT, "README.md")
CHAPTER = "Put it before your own cluster"


class Walk:
    """The chapter's blocks on one cluster, in a directory of its own."""

    def __init__(self, cluster):
        self.cluster, self.directory, self.process = cluster, proc.make_dir("readme"), None
        self.port = proc.free_port()
        self.log = os.path.join(self.directory, "seawall.log")
        with open(README) as readme:
            chapter = readme.read().split("## %s\n" % CHAPTER)[1].split("\n## ")[0]
        self.blocks = re.findall(r"^```(\S+)\n(.*?)^```$", chapter, re.M | re.S)
        self.passwords = os.path.join(self.directory, "pgpass")
        self.write("pgpass", "".join("*:*:*:%s:%s\n" % pair for pair in re.findall(r'^"(\w+)" "([^"]+)"', self.block(
            "users.txt"), re.M)))
        os.makedirs(os.path.join(self.directory, "build"))
        os.symlink(os.path.abspath(binary_path()), os.path.join(self.directory, "build", "seawall"))

    def block(self, language):
        found = [text for name, text in self.blocks if name == language]
        assert len(found) == 1, "the README has %d blocks of %s in this chapter" % (len(found), language)
        return found[0]

    def here(self, text):
        """The text with this machine's addresses."""
        for number, node in enumerate(self.cluster.nodes, 1):
            text = text.replace("host=10.0.0.%d port=5432" % number, "host=%s port=%d" % (node.host, node.port))
        return text.replace("6432", str(self.port))

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as out:
            out.write(self.here(text))
        os.chmod(path, 0o600)

    def run(self, command):
        """One shell command; its output."""
        environment = {"PGPASSFILE": self.passwords, "PGCONNECT_TIMEOUT": "10", "PSQLRC": "/dev/null"}
        return proc.run(["bash", "-eu", "-c", self.here(command)], cwd=self.directory, unprivileged=False,
                        env=environment, timeout=30).stdout

    def start(self, command):
        argv = self.here(command).rstrip("& \n").split()
        env = {"ASAN_OPTIONS": "exitcode=%d" % SANITIZER_EXIT_CODE, "TSAN_OPTIONS": "exitcode=%d" % SANITIZER_EXIT_CODE}
        self.process = proc.spawn(argv, self.directory, self.log, env=env, unprivileged=False)
        wait_until(lambda: "serves on port" in proc.tail(self.log) or self.process.poll() is not None, 20,
                   "Seawall to serve")
        assert self.process.poll() is None, proc.tail(self.log)

    def commands(self):
        """The chapter's shell commands in order, those over several lines joined, without the build."""
        text = "".join(block for name, block in self.blocks if name == "sh").replace("\\\n", " ")
        return [line for line in text.split("\n") if line and line != "make"]


@pytest.fixture(scope="module")
def walk():
    with Cluster(standbys=2) as cluster:
        # The README makes the role itself; the others of users.txt are the application's.
        cluster.primary.execute("DROP ROLE seawall_monitor")
        walk = Walk(cluster)
        yield walk
        proc.end(walk.process)


@pytest.mark.deadline(90)
def test_readme_put_it_before_your_own_cluster(walk):
    assert '"app" "%s"' % USERS["app"][0] in walk.block("users.txt")
    walk.cluster.primary.execute(walk.block("sql").replace("monitor secret", USERS["seawall_monitor"][0]))
    walk.cluster.wait_caught_up()
    walk.write("seawall.conf", walk.block("ini"))
    walk.write("users.txt", walk.block("users.txt"))
    shown = []
    for command in walk.commands():
        if command.endswith("&"):
            walk.start(command)
        else:
            shown.append(walk.run(command))
    output = "".join(shown)
    assert "read me" in output
    assert re.search(r"pg\d +\| (read|waited|behind) +\| read ", output), output
    for node in walk.cluster.nodes:
        assert re.search(r"%s .*\b%s\b.* up " % (node.name, "primary" if node is walk.cluster.primary else "replica"),
                         output), output
    walk.process.send_signal(signal.SIGTERM)
    assert proc.wait_exit(walk.process, 20, "Seawall") == 0, proc.tail(walk.log)
