"""Random sequences of messages, to the primary itself and through Seawall: kinds of messages, rows, error codes and the
transaction's status are the same. Two sessions take turns, and a third one holds server connections now and then, so that
the sessions' are swapped. DIFFERENTIAL_SEEDS=from:to runs others than the fixed ones."""

import os
import random

import pytest

from lib.proxy import Seawall
from lib.wire import (Wire, bind, close, describe, error_fields, execute, flush, parse, query, row, sync)

NAMES = ["", "", "a", "b"]
PORTALS = ["", "", "", "p"]
TEXTS = [
    "SELECT 1 AS x", "SELECT 'two' AS y", "SELECT * FROM {t}", "SELECT count(*) FROM {t}", "SELEKT", "SELECT 1/0",
    "SELECT 1/count(*) FROM generate_series(1, 0)", "SELECT nothing FROM {t}", "BEGIN", "BEGIN", "COMMIT", "ROLLBACK",
    "SAVEPOINT s", "ROLLBACK TO s", "SET work_mem = '5MB'", "SET LOCAL work_mem = '7MB'", "RESET work_mem", "SHOW work_mem",
    "INSERT INTO {t} VALUES (1) RETURNING a", "INSERT INTO {t} VALUES (2)", "DELETE FROM {t}", "", "DEALLOCATE a",
    "DEALLOCATE ALL", "COPY {t} TO STDOUT", "SELECT generate_series(1, 3)", "RESET ALL",
    "ALTER TABLE {t} ADD COLUMN b int DEFAULT 3", "ALTER TABLE {t} DROP COLUMN b", "ALTER TABLE {t} ALTER a TYPE bigint",
]
QUERIES = TEXTS + ["SELECT 1; SELECT 2", "INSERT INTO {t} VALUES (3); SELECT 1/0", "BEGIN; SELECT 1", "COMMIT; SELECT 4"]
END = close("P", "none") + sync() + sync()  # the only two ReadyForQuery without a message between them


@pytest.fixture(scope="module")
def swapping(cluster):
    """One worker, and server connections that keep few statements."""
    with Seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 3, "max_prepared_statements": 3},
                                  "routing": {"consistency": "off"}}) as running:
        yield running


def a_message(rng):
    """One message, for any table; and what to call it."""
    name, portal, kind = rng.choice(NAMES), rng.choice(PORTALS), rng.choice("PPPBBBEEEDDCHSQ")
    if kind == "P":
        sql = rng.choice(TEXTS)
        return "P %s %s" % (name, sql), lambda table: parse(name, sql.format(t=table))
    if kind == "Q":
        sql = rng.choice(QUERIES)
        return "Q " + sql, lambda table: query(sql.format(t=table))
    if kind == "B":
        return "B %s %s" % (portal, name), lambda table: bind(portal, name)
    if kind == "E":
        limit = rng.choice([0, 0, 0, 1])
        return "E %s %d" % (portal, limit), lambda table: execute(portal, limit)
    if kind in "DC":
        what, of = rng.choice([("S", name), ("P", portal)])
        return "%s%s %s" % (kind, what, of), lambda table: (describe if kind == "D" else close)(what, of)
    if kind == "H":
        return "H", lambda table: flush()
    return "S", lambda table: close("P", "none") + sync()


def a_step(rng):
    """Messages of one session: what they are called, how to make their bytes, and where these are cut."""
    if rng.random() < 0.5:  # what drivers do
        name, sql = rng.choice(NAMES), rng.choice(TEXTS)
        parts = [("P %s %s" % (name, sql), lambda table: parse(name, sql.format(t=table)))] * (rng.random() < 0.6)
        parts.append(("DS", lambda table: describe("S", name))) if rng.random() < 0.3 else None
        parts.append(("B " + name, lambda table: bind("", name)))
        parts.append(("DP", lambda table: describe("P"))) if rng.random() < 0.5 else None
        parts.append(("E", lambda table: execute()))
        if rng.random() < 0.3:
            parts.insert(rng.randrange(len(parts)), a_message(rng))
    else:
        parts = [a_message(rng) for _ in range(rng.randrange(1, 9))]
    return [called for called, _ in parts], lambda table: b"".join(make(table) for _, make in parts) + END, rng.random()


def columns(body):
    found, at = [], 2
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(b"\0", at)
        found.append((body[at:end], int.from_bytes(body[end + 7:end + 11], "big")))
        at = end + 19
    return found


def seen(kind, body):
    if kind == "E":
        fields = error_fields(body)
        if fields["C"] in ("34000", "55000"):
            return kind, "no portal"
        return kind, fields["C"], fields["M"].replace("_direct_", "_").replace("_seawall_", "_")
    if kind == "D":
        return kind, row(body)
    if kind == "T":
        return kind, columns(body)
    return kind, body if kind in "CZtd" else b""


class Side:
    """One of the two ways to the primary: two sessions with a table each."""

    def __init__(self, server, cluster, label):
        self.wires, self.tables = [], []
        self.lengths = random.Random(1)
        for number in range(2):
            table = "differ_%s_%d" % (label, number)
            cluster.primary.execute("DROP TABLE IF EXISTS %s; CREATE TABLE %s (a int); ALTER TABLE %s OWNER TO app_trust"
                                    % (table, table, table))
            self.wires.append(Wire(server.host, server.port))
            self.wires[-1].login("app_trust", "app")
            self.tables.append(table)

    def close(self):
        for wire in self.wires:
            wire.close()

    def send(self, number, content):
        while content:
            length = self.lengths.choice([1, 3, 5, 10, 40, 1000])
            self.wires[number].send(content[:length])
            content = content[length:]

    def answers(self, number):
        found = []
        while [one[0] for one in found[-2:]] != ["Z", "Z"]:
            kind, body = self.wires[number].receive()
            if kind not in "NSA":
                found.append(seen(kind, body))
        return found


def differ(seed, cluster, swapping):
    """None, or what was different."""
    rng = random.Random(seed)
    holder = Wire(swapping.host, swapping.port)
    holder.login("app_trust", "app")
    holder.ask(parse("begin", "BEGIN"), parse("commit", "COMMIT"), sync())
    is_holding, said = False, []
    sides = [Side(cluster.primary, cluster, "direct"), Side(swapping, cluster, "seawall")]
    try:
        for _ in range(40):
            if rng.random() < 0.4:
                is_holding = not is_holding
                holder.ask(bind("", "begin" if is_holding else "commit"), execute(), sync())
            number = rng.randrange(2)
            both = [(number, a_step(rng))]
            if rng.random() < 0.3:
                both.append((1 - number, a_step(rng)))
            got = []
            for side in sides:
                contents = [make(side.tables[who]) for who, (_, make, _) in both]
                cuts = [int(len(content) * cut) for content, (_, (_, _, cut)) in zip(contents, both)]
                for (who, _), content, at in zip(both, contents, cuts):
                    side.send(who, content[:at])
                for (who, _), content, at in zip(both, contents, cuts):
                    side.send(who, content[at:])
                try:
                    got.append([side.answers(who) for who, _ in both])
                except Exception as error:
                    got.append(repr(error))
            said += [(who, called + ["->" + "".join(one[1] if one[0] == "E" else one[0] for one in answers)])
                     for (who, (called, _, _)), answers in zip(both, got[0])]
            if got[0] != got[1]:
                if "0A000" in str(got) or "25P02" in str(got):
                    # Seawall prepares anew where a server alone refuses, and can prepare nothing late in a failed
                    # transaction: from here on they may differ.
                    return None
                return "seed %d\n%s\ndirect  %s\nseawall %s" % (
                    seed, "\n".join("  %d %s" % (who, " | ".join(called)) for who, called in said), got[0], got[1])
    finally:
        holder.close()
        for side in sides:
            side.close()
    return None


def seeds():
    start, end = (os.environ.get("DIFFERENTIAL_SEEDS") or "1:81").split(":")
    return range(int(start), int(end))


@pytest.mark.parametrize("seed", seeds())
def test_random_batches_are_answered_as_by_the_primary_itself(cluster, swapping, seed):
    different = differ(seed, cluster, swapping)
    assert not different, different
