"""Two promises taken literally, one at a time.

- UPDATE and then SELECT of the same row, as two statements on one connection, a million times, with a standby 300 ms
  behind: never the old value.                                                python3 -m chaos.million (make check-rmw)
- A load of mostly reads on healthy standbys: nearly all of the reads are served by them.
                                                                                       python3 -m chaos.million --reads
"""

import argparse
import sys

from chaos import history
from lib.cluster import Cluster
from lib.proxy import Seawall
from lib.wait import wait_until

SLOW = {"pg3": {"recovery_min_apply_delay": "300ms"}}  # of two standbys one: the tempting choice and the right one
READ_PCT = 90

# How often the table was looked at on a node; an UPDATE there looks once too. Counted by PostgreSQL, not by Seawall,
# and not disturbed by what the monitor asks.
ACCESSES = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'reg'"
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = %s"


def accesses(cluster):
    """{node name: accesses to the registers so far}, once the sessions' backends have ended and reported."""
    counts = {}
    for node in cluster.nodes:
        wait_until(lambda n=node: n.value(BACKENDS, (history.DATABASE, history.USER)) == 0, 20,
                   "the backends on %s to end" % node.name)
        counts[node.name] = node.value(ACCESSES)
    return counts


def reads_by_node(cluster, before, summary):
    """{node name: reads of the load that this node served}."""
    after = accesses(cluster)
    reads = {name: after[name] - before[name] for name in after}
    reads[cluster.primary.name] -= summary["writes"]
    return reads


def read_shares(cluster, before, summary):
    """{node name: share of the load's reads that this node served}."""
    reads = reads_by_node(cluster, before, summary)
    return {name: count / summary["reads"] for name, count in reads.items()}


def replica_share(cluster, shares):
    return sum(share for name, share in shares.items() if name != cluster.primary.name)


def run_rmw(target, pairs, sessions=1, seconds=3600):
    """UPDATE, SELECT, UPDATE, SELECT … on each of `sessions` connections, `pairs` pairs in all."""
    return history.run(target, mode="rmw", ops=2 * pairs, sessions=sessions, seconds=seconds)


def run_reads(cluster, config=None, seconds=10, sessions=32, think_us=4000):
    """Mostly reads through a Seawall of its own; (result, {node name: share of the reads}, SHOW STATS)."""
    before = accesses(cluster)
    with Seawall(cluster, config=config) as seawall:
        result = history.run(history.seawall_target(seawall), mode="reads", read_pct=READ_PCT, sessions=sessions,
                             think_us=think_us, least_seconds=seconds, seconds=seconds + 30)
        stats = seawall.console("SHOW STATS")
    return result, read_shares(cluster, before, result.summary), stats


def main():
    parser = argparse.ArgumentParser(description="read-modify-write on one connection, or mostly reads")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--naive", action="store_true", help="reads to a random replica, without Seawall")
    parser.add_argument("--reads", action="store_true", help="mostly reads instead, and who serves them")
    args = parser.parse_args()
    with Cluster(standbys=2, conf=history.CLUSTER_CONF, node_conf={} if args.reads else SLOW) as cluster:
        history.make_registers(cluster)
        good = True
        if args.reads:
            result, shares, _ = run_reads(cluster)
            print("reads by node: " + ", ".join("%s %.1f %%" % (name, 100 * part) for name, part in shares.items()))
            good = replica_share(cluster, shares) >= 0.9
        elif args.naive:
            result = run_rmw(history.naive_target(cluster), args.pairs, args.sessions)
        else:
            with Seawall(cluster) as seawall:
                result = run_rmw(history.seawall_target(seawall), args.pairs, args.sessions)
    print(result.report())
    sys.exit(0 if good and result.verdict.clean and not result.summary["stalled"] else 1)


if __name__ == "__main__":
    main()
