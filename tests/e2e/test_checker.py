"""The checker finds each anomaly in a history made by hand, and nothing in a clean one.

A checker that is never wrong because it never looks is worse than none: what it must find stands here first.
"""

import json

import pytest

from chaos import checker


class History:
    """Writes a history line by line; time passes by a millisecond a line."""

    def __init__(self):
        self.lines, self.at = [], 0

    def _add(self, **event):
        self.lines.append(json.dumps(event) + "\n")
        return self

    def access(self, kind, session, register, version, outcome="ok", unit=0):
        self.at += 1000
        seen = {} if version is None else {"v": version}
        return self._add(s=session, t=unit, k=kind, r=register, a=self.at - 500, z=self.at, o=outcome, p="simple",
                         **seen)

    def read(self, *args, **kw):
        return self.access("r", *args, **kw)

    def wrote(self, *args, **kw):
        return self.access("w", *args, **kw)

    def end(self, session, unit, outcome):
        self.at += 1000
        return self._add(s=session, t=unit, k="end", z=self.at, o=outcome)

    def gone(self, session):
        self.at += 1000
        return self._add(s=session, k="gone", z=self.at, e="lost")

    def fault(self, what):
        self.at += 1000
        return self._add(k="fault", a=self.at, what=what)

    def check(self):
        return checker.check(self.lines)


def found(history):
    return dict(history.check().kinds)


# Clean histories

def test_nothing_is_clean():
    verdict = History().check()
    assert verdict.clean and verdict.checked == 0 and verdict.shortest() is None


def test_own_write_read_back_is_clean():
    verdict = History().wrote(1, 7, 1).read(1, 7, 1).read(1, 7, 2).wrote(1, 7, 3).read(1, 7, 3).check()
    assert verdict.clean
    assert (verdict.reads, verdict.writes, verdict.constrained, verdict.sessions) == (3, 2, 3, 1)


def test_sessions_owe_each_other_nothing():
    assert not found(History().wrote(1, 7, 5).read(2, 7, 4).read(1, 7, 5))


def test_registers_are_apart():
    assert not found(History().wrote(1, 7, 5).read(1, 8, 1))


def test_lost_connection_starts_a_new_session():
    assert not found(History().wrote(1, 7, 5).gone(1).read(2, 7, 4))


def test_T28_unknown_write_demands_nothing():
    history = History().wrote(1, 7, 4).wrote(1, 7, None, outcome="unknown").read(1, 7, 4)
    verdict = history.check()
    assert verdict.clean and verdict.unknown == 1


def test_T28_unknown_write_may_turn_out_to_be_there():
    assert not found(History().wrote(1, 7, 4).wrote(1, 7, None, outcome="unknown").read(1, 7, 5).wrote(1, 7, 6))


def test_failed_accesses_are_counted_and_demand_nothing():
    verdict = History().wrote(1, 7, None, outcome="failed").read(1, 7, None, outcome="failed").read(1, 7, 0).check()
    assert verdict.clean and verdict.failed == 2 and verdict.checked == 1


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_uncommitted_write_demands_nothing_after_its_transaction(outcome):
    history = History().read(1, 7, 3).wrote(1, 7, 4, unit=1).read(1, 7, 4, unit=1).end(1, 1, outcome).read(1, 7, 3)
    assert not found(history)


def test_transaction_without_end_demands_nothing():
    assert not found(History().read(1, 7, 3).wrote(1, 7, 4, unit=1).read(1, 7, 3))


def test_rolled_back_version_may_be_made_again():
    history = History().wrote(1, 7, 4, unit=1).end(1, 1, "failed").wrote(2, 7, 4).wrote(1, 7, 5)
    assert not found(history)


# Anomalies

def test_stale_read_after_own_write():
    history = History().wrote(1, 7, 5).read(1, 7, 4)
    assert found(history) == {"read-your-writes": 1} and history.check().stale == 1


def test_missing_row_after_own_write():
    assert found(History().wrote(1, 7, 1).read(1, 7, 0)) == {"read-your-writes": 1}


def test_stale_read_long_after_the_write():
    history = History().wrote(1, 7, 5)
    for i in range(1000):
        history.read(1, 8, i)
    assert found(history.read(1, 7, 4)) == {"read-your-writes": 1}


def test_read_goes_back_in_time():
    assert found(History().read(1, 7, 5).read(1, 7, 4)) == {"monotonic-reads": 1}


def test_every_read_back_in_time_counts():
    assert found(History().read(1, 7, 5).read(1, 7, 4).read(1, 7, 5).read(1, 7, 3)) == {"monotonic-reads": 2}


def test_stale_read_does_not_lower_the_floor():
    assert found(History().wrote(1, 7, 5).read(1, 7, 3).read(1, 7, 4)) == {"read-your-writes": 2}


def test_read_newer_than_the_own_write_becomes_the_floor():
    assert found(History().wrote(1, 7, 5).read(1, 7, 9).read(1, 7, 8)) == {"monotonic-reads": 1}


def test_stale_read_inside_the_writing_transaction():
    assert found(History().wrote(1, 7, 5, unit=1).read(1, 7, 4, unit=1).end(1, 1, "ok")) == {"read-your-writes": 1}


def test_stale_read_after_commit():
    history = History().wrote(1, 7, 5, unit=1).end(1, 1, "ok").read(1, 7, 4)
    assert found(history) == {"read-your-writes": 1}


def test_read_only_transaction_goes_back_in_time():
    history = History().read(1, 7, 5).read(1, 7, 4, unit=1).read(1, 7, 4, unit=1).end(1, 1, "ok")
    assert found(history) == {"monotonic-reads": 2}


def test_what_a_read_only_transaction_saw_is_a_floor():
    history = History().read(1, 7, 5, unit=1).end(1, 1, "ok").read(1, 7, 4)
    assert found(history) == {"monotonic-reads": 1}


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_what_others_committed_is_a_floor_however_the_transaction_ended(outcome):
    history = History().read(1, 7, 5, unit=1).wrote(1, 8, 1, unit=1).end(1, 1, outcome).read(1, 7, 4)
    assert found(history) == {"monotonic-reads": 1}


def test_uncommitted_write_does_not_lower_the_floor():
    history = History().read(1, 7, 3).wrote(1, 7, 4, unit=1).end(1, 1, "failed").read(1, 7, 2)
    assert found(history) == {"monotonic-reads": 1}


def test_write_on_a_version_already_passed():
    assert found(History().read(1, 7, 5).wrote(1, 7, 5)) == {"monotonic-writes": 1}


def test_two_writers_of_one_version():
    assert found(History().wrote(1, 7, 5).wrote(2, 7, 5)) == {"lost-update": 1}


def test_two_writers_of_one_version_in_transactions():
    history = History().wrote(1, 7, 5, unit=1).wrote(2, 7, 5, unit=1).end(1, 1, "ok").end(2, 1, "ok")
    assert found(history) == {"lost-update": 1}


# The report

def test_excerpt_shows_cause_effect_and_the_faults_between():
    history = History().fault("pg3: paused").wrote(1, 7, 5).fault("pg2: killed").read(1, 8, 2).read(1, 7, 4)
    report = history.check().report()
    lines = report.splitlines()
    assert "read-your-writes: session 1, register 7: version 4 after 5" in lines[1]
    assert [line.split("ms", 1)[1].split("(")[0].strip() for line in lines[2:]] == [
        "fault     pg3: paused", "> wrote     register 7: version 5", "fault     pg2: killed",
        "read      register 8: version 2", "! read      register 7: version 4"]


def test_report_picks_the_shortest_excerpt():
    history = History().wrote(1, 7, 5)
    for i in range(50):
        history.read(1, 8, i)
    history.read(1, 7, 4)
    assert "... 39 accesses of the session not shown ..." in history.check().report()
    shortest = history.wrote(1, 9, 3).read(1, 9, 2).check().shortest()
    assert shortest.steps == 0 and shortest.effect["r"] == 9


def test_faults_of_another_file_are_put_in_time_order():
    faults = History().fault("early").fault("late")
    history = History().wrote(1, 7, 5).read(1, 7, 4)
    verdict = checker.check(history.lines, reversed(faults.lines))
    assert [fault["what"] for fault in verdict.faults] == ["early", "late"]


@pytest.mark.parametrize("line, message", [
    ("{\"s\":1,", "line 2 is not JSON"),
    ("{\"s\":1,\"k\":\"x\"}", "unknown kind"),
    ("{\"s\":1,\"k\":\"r\",\"r\":1,\"o\":\"ok\",\"a\":1,\"z\":2}", "lacks something"),
    ("{\"s\":1,\"k\":\"r\",\"r\":1,\"o\":\"fine\",\"a\":1,\"z\":2}", "unknown outcome"),
    ("7", "lacks something"),
])
def test_broken_history_is_an_error(line, message):
    with pytest.raises(checker.BadHistory, match=message):
        checker.check(History().wrote(1, 7, 1).lines + [line])
