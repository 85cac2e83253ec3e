"""For every pytest suite: the way to tests/lib, a deadline for each test, and the servers' last words when one fails."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import cluster as cluster_module  # noqa: E402
from lib import proxy as proxy_module  # noqa: E402

TEST_DEADLINE = 60


def pytest_configure(config):
    config.addinivalue_line("markers", "deadline(seconds): this test may take longer than %d s" % TEST_DEADLINE)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Interrupts a test, with its fixtures, that hangs: whatever it waits for, the suite goes on."""
    marker = item.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else TEST_DEADLINE

    def on_alarm(*_):
        raise TimeoutError("the test took longer than %d s" % seconds)
    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    tails, seen = [], set()
    for value in getattr(item, "funcargs", {}).values():
        for part in (value, getattr(value, "cluster", None)):
            if id(part) in seen:
                continue
            seen.add(id(part))
            if isinstance(part, proxy_module.Seawall):
                tails.append("--- Seawall\n" + part.log()[-4000:])
            elif isinstance(part, cluster_module.Cluster):
                tails.append(part.log_tails(8))
    if tails:
        report.sections.append(("servers", "\n".join(tails)))
        # JUnit XML keeps the text of the failure only, and tests/run prints from there.
        report.longrepr = "%s\n%s" % (report.longreprtext, "\n".join(tails))
