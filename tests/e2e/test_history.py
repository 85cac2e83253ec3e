"""What sessions see through Seawall while its standbys are delayed, paused, killed and restarted.

The same load, pointed past Seawall at a random replica for each read, must be found guilty: a check that cannot fail
proves nothing. The long forms are `make check-rmw` and `python3 -m chaos.history --seconds 3600`.
"""

import pytest

from chaos import checker, history, million
from lib.cluster import Cluster
from lib.proxy import Seawall
from lib.wait import pause

SEED = 20
CHECKED = 200_000
PAIRS = 20_000
MOST_ERRORS = 0.01  # of the accesses: a replica that dies takes the transactions that run on it along


@pytest.fixture(name="cluster")
def _cluster(request):
    with Cluster(standbys=2, conf=history.CLUSTER_CONF, node_conf=getattr(request, "param", {})) as cluster:
        history.make_registers(cluster)
        yield cluster


slow_standby = pytest.mark.parametrize("cluster", [million.SLOW], indirect=True, ids=["one-standby-300ms-behind"])


def test_T33_T35_naive_choice_of_a_replica_is_found_guilty(cluster):
    faults = history.Faults(cluster, SEED, pace=0.5)
    result = history.run(history.naive_target(cluster), faults, ops=20_000, seed=SEED)
    assert result.verdict.kinds["read-your-writes"] > 0, result.report()
    assert result.verdict.kinds["monotonic-reads"] > 0, result.report()
    assert "> wrote" in result.report() and "! read" in result.report()


def test_everything_on_the_primary_is_acquitted(cluster):
    target = ["--proxy", history.node_conninfo(cluster.primary)]
    result = history.run(target, ops=20_000, seed=SEED, churn=500)
    assert result.verdict.clean, result.report()
    assert result.summary["failed"] == result.summary["unknown"] == result.summary["lost"] == 0, result.report()


def test_T28_refused_and_broken_writes_on_the_primary_are_acquitted(cluster):
    """What fails, is cancelled or loses its connection must not look like an anomaly."""
    target = ["--proxy", history.node_conninfo(cluster.primary) + " options='-c lock_timeout=3ms'"]
    victims = "FROM (SELECT pid FROM pg_stat_activity WHERE usename = %s ORDER BY random() LIMIT 3) victims"
    with history.Workload(target, ops=20_000, seconds=60, sessions=64, registers=20, seed=SEED) as workload:
        with cluster.primary.connect() as connection:
            while workload.is_running():
                connection.execute("SELECT pg_terminate_backend(pid) " + victims, (history.USER,))
                connection.execute("SELECT pg_cancel_backend(pid) " + victims, (history.USER,))
                pause(0.05)
        summary, verdict = workload.wait(60), checker.check_files(workload.path)
    assert summary["failed"] and summary["unknown"] and summary["lost"] and not summary["stalled"], summary
    assert verdict.clean, verdict.report()


@pytest.mark.deadline(240)
def test_T25_T29_T30_T31_T33_sessions_read_their_writes_and_never_go_back(cluster):
    faults = history.Faults(cluster, SEED, pace=0.6)
    with Seawall(cluster) as seawall:
        result = history.run(history.seawall_target(seawall), faults, ops=CHECKED * 11 // 10, least_seconds=20,
                             seconds=200, sessions=48, churn=2000, seed=SEED)
        routes = seawall.console("SHOW ROUTES")
    print(result.report())
    assert result.verdict.clean, result.report()
    assert result.verdict.checked >= CHECKED, result.report()
    assert result.verdict.constrained >= CHECKED // 3, result.report()
    assert faults.is_complete(), result.report()
    errors = result.summary["failed"] + result.summary["unknown"]
    assert result.summary["stalled"] == 0 and errors <= MOST_ERRORS * result.verdict.checked, result.report()
    # Where replicas serve nothing, nothing was tested.
    replicas = {node.name for node in cluster.standbys}
    on_replicas = sum(int(row["count"]) for row in routes if row["node"] in replicas)
    assert on_replicas > 0.1 * sum(int(row["count"]) for row in routes), routes


@slow_standby
def test_T25_update_then_select_never_returns_the_old_value(cluster):
    with Seawall(cluster) as seawall:
        result = million.run_rmw(history.seawall_target(seawall), PAIRS, sessions=4, seconds=100)
    print(result.report())
    assert result.verdict.clean, result.report()
    assert result.verdict.constrained >= PAIRS * 0.99, result.report()
    assert result.summary["failed"] == result.summary["unknown"] == result.summary["stalled"] == 0, result.report()


@slow_standby
def test_T25_update_then_select_on_a_random_replica_returns_the_old_value(cluster):
    result = million.run_rmw(history.naive_target(cluster), 2000, sessions=4)
    assert result.verdict.kinds["read-your-writes"] > 500, result.report()


def test_replicas_serve_nine_tenths_of_the_reads(cluster):
    result, shares, stats = million.run_reads(cluster)
    print(result.report(), shares, stats, sep="\n")
    assert result.verdict.clean, result.report()
    assert million.replica_share(cluster, shares) >= 0.9, (shares, stats)
    for node in cluster.standbys:
        assert shares[node.name] >= 0.2, (shares, stats)
