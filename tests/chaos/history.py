"""Runs the load on a real cluster, disturbs the standbys meanwhile, and has the checker judge what the sessions saw.

The tests use it in a short form. For a long run, or to see again what a seed has shown:

    python3 -m chaos.history --seconds 600 --seed 7          through Seawall
    python3 -m chaos.history --seconds 20 --naive            straight to the nodes, each read to a random replica
"""

import argparse
import json
import os
import random
import sys
import threading
import time

from chaos import checker
from lib import proc
from lib.cluster import Cluster
from lib.proxy import Seawall
from lib.wait import wait_until

REGISTERS = 200
USER = "app_trust"  # needs no password on the nodes, so that the naive run and the proxied run log in alike
DATABASE = "app"

# Sessions that come back all at once after a restart must not be turned away: that would be a test of max_connections.
CLUSTER_CONF = {"max_connections": 300}


def binary_path():
    path = os.environ.get("SEAWALL_WORKLOAD") or os.path.join(proc.ROOT, "build", "tests", "workload")
    assert os.path.exists(path), "%s does not exist: run make" % path
    return path


def make_registers(cluster, registers=REGISTERS):
    """Creates the table on which the load runs, with room on each page for new versions of its rows."""
    with cluster.primary.connect(DATABASE) as connection:
        connection.execute("CREATE TABLE reg (id int PRIMARY KEY, version bigint NOT NULL, writer text NOT NULL)"
                           " WITH (fillfactor = 20)")
        connection.execute("INSERT INTO reg SELECT id, 0, '' FROM generate_series(1, %d) id" % registers)
        connection.execute("GRANT ALL ON reg TO PUBLIC")
        connection.execute("VACUUM ANALYZE reg")
    cluster.wait_caught_up()


def node_conninfo(node):
    return "host=%s port=%d user=%s dbname=%s" % (node.host, node.port, USER, DATABASE)


def naive_target(cluster):
    """What splitting reads without knowing positions does: writes to the primary, each read to a random replica."""
    target = ["--primary", node_conninfo(cluster.primary)]
    for node in cluster.standbys:
        target += ["--replica", node_conninfo(node)]
    return target


def seawall_target(seawall):
    info = seawall.conninfo(USER, DATABASE)
    return ["--proxy", " ".join("%s='%s'" % item for item in info.items())]


class Workload:
    """One run of the load generator: its process, the history it writes and its closing summary."""

    def __init__(self, target, **options):
        self.directory = proc.make_dir("history")
        self.path = os.path.join(self.directory, "history.jsonl")
        self._log = os.path.join(self.directory, "workload.log")
        argv = [binary_path(), "--out", self.path, "--registers", str(options.pop("registers", REGISTERS))] + target
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        self.process = proc.spawn(argv, self.directory, self._log, unprivileged=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        proc.end(self.process)

    def is_running(self):
        return self.process.poll() is None

    def wait(self, deadline):
        """Waits for its end; returns the summary that it prints last."""
        wait_until(lambda: not self.is_running(), deadline, "the workload to end\n" + proc.tail(self._log))
        log = proc.tail(self._log)
        assert self.process.returncode == 0, "the workload ended with %d:\n%s" % (self.process.returncode, log)
        return json.loads(log.splitlines()[-1])


class Faults:
    """Disturbs the standbys in a seeded order while it is entered, and heals them afterwards.

    Each kind of fault comes once before any comes twice. At most one standby is dead at a time; another may be delayed
    or paused meanwhile. Every action is logged as a line of the history.
    """

    KINDS = ("delay", "pause", "kill", "restart")

    def __init__(self, cluster, seed, pace=1.0, kinds=KINDS):
        self.cluster, self.pace, self.kinds = cluster, pace, kinds
        self.lines, self.done = [], {kind: 0 for kind in kinds}
        self.error = None
        self._random = random.Random(seed)
        self._deck = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the schedule, heals every standby; raises what went wrong in the schedule itself."""
        self._ending.set()
        self._thread.join()
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def is_complete(self):
        """Has every kind of fault happened?"""
        return all(self.done.values()) or self.error is not None

    def log(self, node, what):
        self.lines.append(json.dumps({"k": "fault", "a": time.monotonic_ns() // 1000,
                                      "what": "%s: %s" % (node.name, what)}) + "\n")

    def _run(self):
        try:
            while not self._ending.is_set():
                self._one()
            self._heal()
        except Exception as error:  # shown by stop(): a thread has nobody to raise to
            self.error = error

    def _one(self):
        if not self._deck:
            self._deck = list(self.kinds)
            self._random.shuffle(self._deck)
        kind = self._deck.pop()
        node = self._random.choice(self.cluster.standbys)
        getattr(self, "_" + kind)(node)
        self.done[kind] += 1
        self._ending.wait(self._random.uniform(0.2, 0.8) * self.pace)

    def _dwell(self, low, high):
        self._ending.wait(self._random.uniform(low, high) * self.pace)

    def _delay(self, node):
        ms = self._random.choice((20, 100, 300, 800))
        self.log(node, "replay delayed by %d ms" % ms)
        node.set_delay(ms)
        if self._random.random() < 0.5:  # the other half stays for what comes next, such as a crash of the other node
            self._dwell(1.0, 3.0)
            node.set_delay(0)
            self.log(node, "no longer delayed")

    def _pause(self, node):
        node.pause_replay()
        self.log(node, "replay paused")
        self._dwell(0.5, 2.5)
        self.log(node, "replay resumed")
        node.resume_replay()

    def _kill(self, node):
        self.log(node, "killed (-9)")
        node.kill9()
        self._dwell(0.2, 2.0)
        self.log(node, "starts")
        node.start()
        self.log(node, "takes connections again")

    def _restart(self, node):
        self.log(node, "immediate shutdown")
        node.stop("immediate")
        self.log(node, "starts")
        node.start()
        self.log(node, "takes connections again")
        if self._random.random() < 0.5:
            node.set_delay(0)
            self.log(node, "no longer delayed")

    def _heal(self):
        for node in self.cluster.standbys:
            if not node.is_running():
                node.start()
            node.resume_replay()
            node.set_delay(0)
            self.log(node, "healed")


class Result:
    """What one run has shown."""

    def __init__(self, summary, verdict, faults, path):
        self.summary, self.verdict, self.faults, self.path = summary, verdict, faults, path

    def latencies_us(self, kind):
        """How long each answered read ("r") or write ("w") of a single statement took, sorted."""
        found = []
        with open(self.path, encoding="ascii") as history:
            for line in history:
                event = json.loads(line)
                if event["k"] == kind and event["o"] == "ok" and not event["t"]:
                    found.append(event["z"] - event["a"])
        return sorted(found)

    def report(self):
        return "%s\nload: %s\nfaults: %s" % (
            self.verdict.report(), json.dumps(self.summary),
            ", ".join("%d %s" % (n, kind) for kind, n in self.faults.done.items()) if self.faults else "none")


def run(target, faults=None, seconds=120, **options):
    """Runs the load until it has met its minima (ops, least_seconds) or `seconds` are over, and checks its history."""
    with Workload(target, seconds=seconds, **options) as workload:
        if faults is None:
            summary = workload.wait(seconds + 60)
        else:
            with faults:
                summary = workload.wait(seconds + 60)
        with open(workload.path, encoding="ascii") as history:
            verdict = checker.check(faults.lines if faults else (), history)
    return Result(summary, verdict, faults, workload.path)


def main():
    parser = argparse.ArgumentParser(description="a long history check on a cluster of its own")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--sessions", type=int, default=48)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--naive", action="store_true", help="reads to a random replica, without Seawall")
    parser.add_argument("--calm", action="store_true", help="no faults")
    args = parser.parse_args()
    print("seed %d, %d s, %d sessions" % (args.seed, args.seconds, args.sessions), flush=True)
    options = {"seconds": args.seconds, "seed": args.seed, "sessions": args.sessions, "churn": 2000}
    with Cluster(standbys=2, conf=CLUSTER_CONF) as cluster:
        make_registers(cluster)
        faults = None if args.calm else Faults(cluster, args.seed)
        if args.naive:
            result = run(naive_target(cluster), faults, **options)
        else:
            with Seawall(cluster) as seawall:
                result = run(seawall_target(seawall), faults, **options)
    print(result.report())
    sys.exit(0 if result.verdict.clean and not result.summary["stalled"] else 1)


if __name__ == "__main__":
    main()
