#!/usr/bin/python3 -B
"""What a proxy costs: pgbench -S straight to a replica, through HAProxy, PgBouncer and Seawall (`make bench`).

One run measures all of them in turn, round after round, so that whatever else the machine does hits all alike; the
table shows medians over the rounds. Everything is pointed at the same replica. Seawall has one worker and routes: it
knows the primary too, parses each statement once and keeps the session's guarantees.

Environment: BENCH_ROUNDS (5), BENCH_SECONDS (4) of each single measurement, BENCH_CLIENTS (1,8,64), BENCH_MODES
(simple,extended,prepared), BENCH_IDLE (2000) idle clients for the memory figure, BENCH_WRITE=0 to leave
docs/benchmarks.md alone. A quick look: BENCH_ROUNDS=1 BENCH_SECONDS=1 BENCH_WRITE=0.
"""

import datetime
import os
import platform
import re
import resource
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import proc, proxy  # noqa: E402
from lib.cluster import Cluster, pg_bin  # noqa: E402
from lib.peers import HAProxy, PgBouncer  # noqa: E402
from lib.wire import Wire  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", 5))
SECONDS = int(os.environ.get("BENCH_SECONDS", 4))
CLIENTS = [int(n) for n in os.environ.get("BENCH_CLIENTS", "1,8,64").split(",")]
MODES = os.environ.get("BENCH_MODES", "simple,extended,prepared").split(",")
IDLE = int(os.environ.get("BENCH_IDLE", 2000))
REPORT = os.path.join(proc.ROOT, "docs", "benchmarks.md")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
BASE = "pgbouncer"
TICKS = os.sysconf("SC_CLK_TCK")


class Direct:
    name = "direct"
    pid = None

    def __init__(self, node):
        self.host, self.port = node.host, node.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def pgbench(target, mode, clients):
    """One measurement: (transactions a second, latency in ms, the proxy's CPU in µs a transaction or None)."""
    before = sum(proc.cpu_ticks(target.pid)) if target.pid else 0
    done = proc.run([pg_bin("pgbench"), "-n", "-S", "-M", mode, "-c", str(clients), "-j", str(min(clients, 2)), "-T",
                     str(SECONDS), "-h", target.host, "-p", str(target.port), "-U", "bench", "bench"])
    used = sum(proc.cpu_ticks(target.pid)) - before if target.pid else None

    def number(pattern):
        return float(re.search(pattern, done.stdout).group(1))
    failed = number(r"number of failed transactions: (\d+)")
    count = number(r"actually processed: (\d+)")
    assert failed == 0 and count > 0, done.stdout
    return (number(r"tps = ([\d.]+)"), number(r"latency average = ([\d.]+)"),
            None if used is None else used * 1e6 / TICKS / count)


def measure(targets):
    """{(mode, clients, name): (median tps, ms, µs)}; targets is a function from mode to the list of targets."""
    seen = {}
    for turn in range(ROUNDS):
        for mode in MODES:
            for clients in CLIENTS:
                for target in targets(mode):
                    seen.setdefault((mode, clients, target.name), []).append(pgbench(target, mode, clients))
        print("round %d of %d is done" % (turn + 1, ROUNDS), file=sys.stderr)
    return {key: tuple(None if values[0] is None else statistics.median(values) for values in zip(*results))
            for key, results in seen.items()}


def ratio(value, base):
    return "-" if value is None or not base else "%.2f" % (value / base)


def table(medians):
    lines = ["%-9s %7s  %-10s %8s %8s %8s  %9s %9s" % ("protocol", "clients", "through", "tps", "ms", "CPU µs",
                                                     "tps ratio", "CPU ratio")]
    for (mode, clients, name), (tps, latency, cpu) in medians.items():
        base = medians.get((mode, clients, BASE), (None, None, None))
        lines.append("%-9s %7d  %-10s %8.0f %8.3f %8s  %9s %9s" % (
            mode, clients, name, tps, latency, "-" if cpu is None else "%.1f" % cpu, ratio(tps, base[0]),
            ratio(cpu, base[2])))
    return lines


def idle_bytes(target):
    """What one idle client costs: the growth of the resident set with IDLE of them, each having run one query."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, hard - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    clients = []

    def add(number):
        for _ in range(number):
            clients.append(Wire(target.host, target.port))
            clients[-1].login("bench", "bench")
    try:
        add(100)  # the first ones bring what exists once: pools, caches, allocator arenas
        before = proc.rss_kb(target.pid)
        add(count)
        return (proc.rss_kb(target.pid) - before) * 1024 / count
    finally:
        for client in clients:
            client.close()


def machine():
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*: (.*)", info.read())
    version = proc.run([pg_bin("postgres"), "--version"]).stdout.strip()
    commit = proc.run(["git", "-C", proc.ROOT, "rev-parse", "--short", "HEAD"], check=False, unprivileged=False)
    return ["%s, commit %s, Linux %s, %d cores" % (
        datetime.date.today(), commit.stdout.strip() if commit.returncode == 0 else "none",
        platform.release().split("-")[0], os.cpu_count()),
        "%s; %s" % (model.group(1) if model else platform.machine(), version),
        "%d rounds of %d s; medians; ratios to PgBouncer in the same run" % (ROUNDS, SECONDS),
        "CPU µs: user + system time of the proxy's process for one transaction",
        "prepared: PgBouncer in session mode, where alone this version can do it"]


def write_report(lines):
    block = "%s\n```\n%s\n```\n%s" % (BEGIN, "\n".join(lines), END)
    with open(REPORT) as report:
        head, rest = report.read().split(BEGIN, 1)
    with open(REPORT, "w") as report:
        report.write(head + block + rest.split(END, 1)[1])
    print("written to docs/benchmarks.md", file=sys.stderr)


def main():
    has_seawall = os.path.exists(proxy.binary_path())
    if not has_seawall:
        print("build/seawall does not exist: only the others are measured", file=sys.stderr)
    with Cluster(standbys=1, conf={"shared_buffers": "128MB", "max_connections": 500}) as cluster:
        primary, replica = cluster.nodes
        proc.run([pg_bin("pgbench"), "-i", "-q", "-s", "10", "-h", primary.host, "-p", str(primary.port), "-U", "bench",
                  "bench"])
        cluster.wait_caught_up()
        seawall = proxy.Seawall(cluster, config={"seawall": {
            "workers": 1, "default_pool_size": 100, "max_client_conn": IDLE + 1000, "log_connections": 0,
            "log_disconnections": 0}, "monitor": {"interval": "100ms"}})
        with Direct(replica) as direct, HAProxy(replica) as haproxy, PgBouncer(replica) as bouncer, \
                PgBouncer(replica, pool_mode="session") as session_bouncer:
            if has_seawall:
                seawall.start()
            seawall.name = "seawall"

            def targets(mode):
                return [direct, haproxy, session_bouncer if mode == "prepared" else bouncer] + [seawall] * has_seawall
            lines = machine() + [""] + table(measure(targets)) + [""]
            for target in [bouncer] + [seawall] * has_seawall:
                lines.append("%-10s %6.0f bytes of memory an idle client" % (target.name, idle_bytes(target)))
            if has_seawall:
                seawall.stop()
    print("\n".join(lines))
    if os.environ.get("BENCH_WRITE", "1") != "0":
        write_report(lines)


if __name__ == "__main__":
    main()
