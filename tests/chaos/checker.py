"""Judges a history of register accesses: does every session read its own writes, and never go back in time?

Pure: lines in, a verdict out. No clock, no process, no database; what runs the load is history.py.

A register's version only grows. The checker keeps, for each session and register, the highest version that the session
has been shown or has had acknowledged (its floor there), and every later access of the session must be at or above it:

- read-your-writes   a read is older than a write of the session that was acknowledged before it
- monotonic-reads    a read is older than an earlier read of the session
- monotonic-writes   an acknowledged write made a version that the session had already passed
- lost-update        two acknowledged, committed writes made the same version of a register

What an open transaction has written counts for its own reads at once and for the session only when its "end" line says
ok; a write that failed, or whose outcome is unknown (T28), raises nothing. A session ends with its connection.

Lines, one JSON object each, times in microseconds of CLOCK_MONOTONIC:
  {"s":3,"t":0,"k":"r","r":12,"v":45,"a":1000,"z":1400,"o":"ok","p":"simple"}   a read ("w": a write) of register 12
  {"s":3,"t":7,"k":"end","z":1900,"o":"ok"}                                     transaction 7 has ended
  {"s":3,"k":"gone","z":2000,"e":"lost"}                                        the session has ended
  {"k":"fault","a":1500,"what":"pg2: killed"}                                   what the schedule did at that time
"""

import json
import sys
from collections import Counter, deque

CHUNK = 20_000  # lines parsed at once: the JSON module is twice as fast on one long array as on its elements
EXCERPT = 12  # accesses of the failing session that an excerpt shows at most
KEPT = 1_000  # violations kept whole; beyond this they are only counted


class BadHistory(ValueError):
    """The history itself cannot be read, so nothing can be said about it."""


class Violation:
    """One access that a session must not have seen, with the access that forbids it."""

    def __init__(self, kind, session, cause, effect, between, skipped):
        self.kind, self.session = kind, session
        self.cause, self.effect = cause, effect
        self.between, self.skipped = between, skipped

    @property
    def steps(self):
        return self.skipped + len(self.between)

    def __str__(self):
        return "%s: session %s, register %s: version %s after %s" % (
            self.kind, self.session, self.effect["r"], self.effect["v"], self.cause["v"])


class Verdict:
    """The outcome of one check: what was counted and what was found."""

    def __init__(self):
        self.reads = self.writes = 0  # accesses that were compared
        self.constrained = 0  # reads of a register on which the session had a floor: the ones that can fail
        self.failed = self.unknown = 0
        self.sessions = self.transactions = 0
        self.kinds = Counter()
        self.violations = []
        self.faults = []

    @property
    def checked(self):
        return self.reads + self.writes

    @property
    def clean(self):
        return not self.kinds

    @property
    def stale(self):
        """How many reads were stale: older than what the session had written or seen."""
        return self.kinds["read-your-writes"] + self.kinds["monotonic-reads"]

    def shortest(self):
        """The violation that shows the most with the least: fewest accesses between, then least time."""
        return min(self.violations, key=lambda v: (v.steps, v.effect["z"] - v.cause["z"]), default=None)

    def summary(self):
        text = "%d operations checked (%d reads, %d of them constrained, %d writes) in %d sessions" % (
            self.checked, self.reads, self.constrained, self.writes, self.sessions)
        text += "; %d failed, %d unknown" % (self.failed, self.unknown)
        found = ", ".join("%d %s" % (n, kind) for kind, n in sorted(self.kinds.items()))
        return "%s; violations: %s" % (text, found or "none")

    def report(self):
        """The summary and, where there is a violation, its shortest excerpt with the faults around it."""
        worst = self.shortest()
        if worst is None:
            return self.summary()
        return "%s\nshortest excerpt, %s\n%s" % (self.summary(), worst, self._excerpt(worst))

    def _excerpt(self, v):
        start, end = v.cause["z"], v.effect["z"]
        before = [f for f in self.faults if f["a"] < v.cause.get("a", start)][-3:]
        during = [f for f in self.faults if v.cause.get("a", start) <= f["a"] <= end]
        rows = [(f["a"], "    fault     %s" % f["what"]) for f in before + during]
        rows += [(e["z"], "    " + _describe(e)) for e in v.between]
        rows += [(start, "  > " + _describe(v.cause)), (end, "  ! " + _describe(v.effect))]
        rows.sort(key=lambda row: row[0])
        lines = ["%+12.3f ms%s" % ((at - start) / 1000, text) for at, text in rows]
        if v.skipped:
            lines.insert(1, "%15s    ... %d accesses of the session not shown ..." % ("", v.skipped))
        return "\n".join(lines)


def _describe(event):
    verb = {"r": "read ", "w": "wrote"}[event["k"]]
    seen = "version %d" % event["v"] if "v" in event else event["o"]
    text = "%s     register %d: %s" % (verb, event["r"], seen)
    text += " (%s, took %.3f ms" % (event.get("p", "?"), (event["z"] - event["a"]) / 1000)
    if event.get("t"):
        text += ", in transaction %d" % event["t"]
    if "n" in event:
        text += ", on %s" % ("the primary" if event["n"] == 0 else "replica %d" % event["n"])
    return text + ", session %s)" % event["s"]


class _Session:
    """What one causal session may demand."""

    __slots__ = ("floors", "count", "recent", "unit", "pending", "overlay")

    def __init__(self):
        self.floors = {}  # register: (version, event that raised it, accesses of the session until then)
        self.count = 0
        self.recent = deque(maxlen=EXCERPT)
        self.unit = 0  # the open transaction, and ...
        self.pending = []  # ... its writes, and reads of what it wrote itself, in order
        self.overlay = {}  # ... register: floor inside it


class Checker:
    """Takes a history line by line; `verdict` is up to date after each."""

    def __init__(self):
        self.verdict = Verdict()
        self._sessions = {}
        self._made = set()  # (register, version) of every committed write, as one number

    def feed(self, event):
        kind = event["k"]
        if kind == "r" or kind == "w":
            self._access(event, kind)
        elif kind == "end":
            self._end(event)
        elif kind == "gone":
            self._sessions.pop(event["s"], None)
        elif kind == "fault":
            self.verdict.faults.append(event)
        else:
            raise BadHistory("unknown kind of line %r" % kind)

    def _session(self, number):
        session = self._sessions.get(number)
        if session is None:
            session = self._sessions[number] = _Session()
            self.verdict.sessions += 1
        return session

    def _access(self, event, kind):
        session = self._session(event["s"])
        session.count += 1
        session.recent.append(event)
        unit = event.get("t", 0)
        if unit != session.unit:
            # A transaction that never got its end line (the recorder was stopped) has proved nothing.
            session.unit, session.pending, session.overlay = unit, [], {}
        outcome = event["o"]
        if outcome != "ok":
            if outcome == "failed":
                self.verdict.failed += 1
            elif outcome == "unknown":
                self.verdict.unknown += 1
            else:
                raise BadHistory("unknown outcome %r" % outcome)
            return
        self._compare(session, event, kind)

    def _compare(self, session, event, kind):
        register, version = event["r"], event["v"]
        own = session.overlay.get(register)
        floor = own or session.floors.get(register)
        raised = (version, event, session.count)
        if kind == "w":
            self.verdict.writes += 1
            if floor and version <= floor[0]:
                self._found("monotonic-writes", session, floor, event)
            if session.unit:
                session.pending.append(event)
                session.overlay[register] = raised
            else:
                self._committed(session, event)
                session.floors[register] = raised if not floor or version > floor[0] else floor
            return
        self.verdict.reads += 1
        if floor is None:
            session.floors[register] = raised
            return
        self.verdict.constrained += 1
        if version < floor[0]:
            by_write = floor[1]["k"] == "w"
            self._found("read-your-writes" if by_write else "monotonic-reads", session, floor, event)
        elif version > floor[0]:
            # Inside a transaction a newer version of what it wrote itself is its own, and may be rolled back with it.
            (session.overlay if own else session.floors)[register] = raised

    def _end(self, event):
        session = self._session(event["s"])
        self.verdict.transactions += 1
        if event["t"] == session.unit and event["o"] == "ok":
            for write in session.pending:
                self._committed(session, write)
            for register, raised in session.overlay.items():
                floor = session.floors.get(register)
                if not floor or raised[0] > floor[0]:
                    session.floors[register] = raised
        session.unit, session.pending, session.overlay = 0, [], {}

    def _committed(self, session, write):
        made = write["r"] << 48 | write["v"]
        if made in self._made:
            self._found("lost-update", session, (write["v"], write, session.count), write)
        self._made.add(made)

    def _found(self, kind, session, floor, event):
        verdict = self.verdict
        verdict.kinds[kind] += 1
        if len(verdict.violations) < KEPT:
            steps = max(session.count - floor[2] - 1, 0)
            between = list(session.recent)[:-1][-steps:] if steps else []
            verdict.violations.append(
                Violation(kind, event["s"], floor[1], event, between, steps - len(between)))


def _events(lines):
    """Parses lines in chunks, and line by line where a chunk is broken, to name the one that is."""
    chunk, done = [], 0
    for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK:
            yield from _parse(chunk, done)
            done += len(chunk)
            chunk = []
    yield from _parse(chunk, done)


def _parse(chunk, done):
    try:
        return json.loads("[%s]" % ",".join(chunk))
    except ValueError:
        pass
    for i, line in enumerate(chunk):
        try:
            json.loads(line)
        except ValueError as error:
            raise BadHistory("line %d is not JSON: %s" % (done + i + 1, error)) from None
    raise BadHistory("lines %d to %d are not one JSON object each" % (done + 1, done + len(chunk)))


def check(*histories):
    """Checks one history given as several iterables of lines, such as the faults and the accesses."""
    checker = Checker()
    for lines in histories:
        number = 0
        for number, event in enumerate(_events(lines), 1):
            try:
                checker.feed(event)
            except (KeyError, TypeError, AttributeError) as error:
                raise BadHistory("line %d lacks something: %r in %s" % (number, error, event)) from None
    checker.verdict.faults.sort(key=lambda fault: fault["a"])
    return checker.verdict


def check_files(*paths):
    files = []
    try:
        for path in paths:
            files.append(open(path, encoding="ascii"))
        return check(*files)
    finally:
        for file in files:
            file.close()


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: checker.py HISTORY...")
    verdict = check_files(*sys.argv[1:])
    print(verdict.report())
    sys.exit(0 if verdict.clean else 1)


if __name__ == "__main__":
    main()
