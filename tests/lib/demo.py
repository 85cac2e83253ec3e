"""make demo: what Seawall is for, on a real cluster, in half a minute.

A primary and two standbys, one of them late. Many sessions write a row, read it back at once and look at what others
wrote: first with each read on a random replica, as naive splitting does it, then through Seawall. The checker of the
tests counts the stale reads of both. Ends with status 1 where one was seen through Seawall.

DEMO_KEEP=1 keeps everything up afterwards, says how to connect, and ends with Ctrl-C.
"""

import contextlib
import os
import signal
import sys
import threading
import time

import psycopg

from chaos import history, million
from lib.cluster import Cluster
from lib.proxy import ADMIN, Seawall

LATE_MS = 300
SESSIONS = 24
NAIVE_SECONDS, SEAWALL_SECONDS = 6, 15
LOAD = {"mode": "rmw", "sessions": SESSIONS, "browse": 4, "think_us": 5000, "registers": SESSIONS}
WIDTH = 80
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

# What SHOW ROUTES says, in words for someone who sees it for the first time. What is not here is not a read.
READ_REASONS = {
    "read": "it had all that the session wrote or saw",
    "waited": "it had it after a wait of milliseconds",
    "behind": "no replica had the session's write in time",
    "no_replica": "no replica was fit to serve",
    "refused": "a replica refused the statement",
    "lost": "a replica failed, the read ran again here",
    "stale": "stale reads were allowed",
    "level": "consistency = off",
}


def styled(text, code):
    return "\033[%sm%s\033[0m" % (code, text) if COLOUR else text


def bold(text):
    return styled(text, "1")


class Progress:
    """One line a step: what begins now, and how long it took."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        print("  %s %s " % (self.what, "." * (WIDTH - 14 - len(self.what))), end="", flush=True)
        self.began = time.monotonic()

    def __exit__(self, kind, *_):
        print("stopped" if kind else "%6.1f s" % (time.monotonic() - self.began), flush=True)


def percentile(values, share):
    return values[min(int(len(values) * share), len(values) - 1)] / 1000 if values else 0.0


def latency(result, kind):
    values = result.latencies_us(kind)
    return "%.2f / %.2f ms" % (percentile(values, 0.5), percentile(values, 0.99))


def thousands(number):
    return "{:,}".format(number)


def stale(result):
    share = 100.0 * result.verdict.stale / max(result.verdict.reads, 1)
    return "%s  (%.1f %%)" % (thousands(result.verdict.stale), share) if result.verdict.stale else "0"


def routes(seawall):
    """{(node, reason): units of work} from the console; empty where it does not tell."""
    counts = {}
    try:
        for row in seawall.console("SHOW ROUTES"):
            key = row["node"], row["reason"]
            counts[key] = counts.get(key, 0) + int(row["count"])
    except (psycopg.Error, KeyError):
        return {}
    return {key: count for key, count in counts.items() if count}


def print_comparison(naive, through):
    good, bad = ("32;1", "31;1")
    print("\n" + bold(" %-22s %26s %27s" % ("", "each read on a random", "")))
    print(bold(" %-22s %26s %27s" % ("", "replica, no Seawall", "through Seawall")))
    print(" " + "-" * (WIDTH - 2))
    print(" %-22s %26s %27s" % ("reads", thousands(naive.verdict.reads), thousands(through.verdict.reads)))
    print(" %-22s %s %s" % (bold("STALE READS") + " " * 11,
                            styled("%26s" % stale(naive), bad if naive.verdict.stale else good),
                            styled("%27s" % stale(through), bad if through.verdict.stale else good)))
    for kind, name in (("r", "read, median / p99"), ("w", "write, median / p99")):
        print(" %-22s %26s %27s" % (name, latency(naive, kind), latency(through, kind)))
    print("\n A read is stale when its session had already written, or seen, a newer version.")


def print_where(cluster, reads, counts, before):
    """Who served the reads: counted by PostgreSQL for each node, the reasons by Seawall."""
    total = max(sum(reads.values()), 1)
    print("\n " + bold("Who served the reads through Seawall, and why"))
    print(" " + "-" * (WIDTH - 2))
    for node in cluster.nodes:
        what = "primary" if node is cluster.primary else "replica"
        if node.name == "pg3":
            what += ", %d ms late" % LATE_MS
        share = reads[node.name] / total
        bar = "#" * round(share * 24)
        line = " %-4s %-20s %9s  %3.0f %%  %s" % (node.name, what, thousands(reads[node.name]), 100 * share,
                                                styled(bar, "36"))
        print(line.rstrip())
        for reason, words in READ_REASONS.items():
            count = counts.get((node.name, reason), 0) - before.get((node.name, reason), 0)
            if count > 0:
                print("        %-44s %9s" % (words, thousands(count)))


def print_verdict(naive, through):
    verdict = through.verdict
    if not verdict.clean or through.summary["stalled"]:
        print("\n " + styled("FAILED", "31;1") + ": through Seawall a session saw what it must not see\n")
        print(through.report() + "\n")
        return False
    errors = through.summary["failed"] + through.summary["unknown"]
    print("\n " + styled("OK", "32;1") + ": %s operations checked through Seawall, no stale read, %s errors;" % (
        thousands(verdict.checked), thousands(errors) if errors else "no"))
    print("     without it %s reads were stale.\n" % thousands(naive.verdict.stale))
    return True


def psql(host, port, user, dbname):
    return "psql -h %s -p %d -U %s %s" % (host, port, user, dbname)


def keep(cluster, seawall):
    """Leaves everything up until Ctrl-C."""
    print(" " + bold("Try it; Ctrl-C ends everything."))
    print("\n through Seawall   " + psql(seawall.host, seawall.port, history.USER, history.DATABASE))
    print("                   UPDATE reg SET version = version + 1 WHERE id = 1;")
    print("                   SELECT version FROM reg WHERE id = 1;")
    print("                   SHOW seawall.last_route;")
    print(" the console       %s -c 'SHOW NODES'" % psql(seawall.host, seawall.port, ADMIN, "seawall"))
    for node in cluster.nodes:
        print(" %-17s %s" % (node.name + " directly", psql(node.host, node.port, history.USER, history.DATABASE)))
    print("\n settings          %s" % seawall.config_path)
    print(" log               %s" % seawall.log_path, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    print("\n ended")


def demo():
    print("\n " + bold("Seawall demo") + ": one primary, two standbys; pg3 applies every change %d ms late.\n %d "
          "sessions write a row, read it back at once, then look at what others wrote.\n" % (LATE_MS, SESSIONS))
    conf = dict(history.CLUSTER_CONF)
    late = {"pg3": {"recovery_min_apply_delay": "%dms" % LATE_MS}}
    cluster = Cluster(standbys=2, conf=conf, node_conf=late)
    try:
        with Progress("starting a primary and two standbys"):
            cluster.start()
            history.make_registers(cluster, LOAD["registers"])
        with Progress("the load, each read on a random replica"):
            naive = history.run(history.naive_target(cluster), seconds=NAIVE_SECONDS, **LOAD)
        before = million.accesses(cluster)
        seawall = Seawall(cluster)
        with seawall:
            with Progress("starting Seawall in front of them"):
                started = routes(seawall)
            with Progress("the same load through Seawall"):
                through = history.run(history.seawall_target(seawall), seconds=SEAWALL_SECONDS, **LOAD)
            counts = routes(seawall)
        reads = million.reads_by_node(cluster, before, through.summary)
        print_comparison(naive, through)
        print_where(cluster, reads, counts, started)
        good = print_verdict(naive, through)
        if os.environ.get("DEMO_KEEP"):
            with seawall:
                keep(cluster, seawall)
        return 0 if good else 1
    finally:
        cluster.destroy()


def main():
    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        status = demo()
    except KeyboardInterrupt:
        print("\n ended")
        status = 130
    except AssertionError as error:
        print("\n the demo could not be run: %s" % error)
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
