#!/usr/bin/python3 -B
"""Includes point down only.

    proxy/base < proxy/wire, lagmon/view.h < router < the peers below < files directly in proxy/

The peers may include one another. One exception: proxy/config.h, a declaration of plain data, may be included from
anywhere above wire. Sources of the program include nothing of the tests.
"""

import sys

from source import ROOT, c_files, fault, includes_of, exit_code

PEERS = ("proxy/net", "proxy/auth", "proxy/pool", "proxy/session", "proxy/relay", "lagmon")
RANKS = {"proxy/base": 0, "proxy/wire": 1, "lagmon/view.h": 1, "router": 2, "proxy": 4}
RANKS.update(dict.fromkeys(PEERS, 3))
PLAIN_DATA = "proxy/config.h"
WIRE = RANKS["proxy/wire"]


def layer_of(path):
    """The layer of a file by its path from the root; None where it has none."""
    if path in RANKS:
        return path
    folder = path.rpartition("/")[0]
    return folder if folder in RANKS else None


def may_include(source, target):
    """True where a file of layer 'source' may include one of layer 'target'."""
    if source == target:
        return True
    if RANKS[source] == RANKS[target]:
        return source in PEERS and target in PEERS
    return RANKS[source] > RANKS[target]


def check(path):
    name = str(path.relative_to(ROOT))
    source = layer_of(name)
    if source is None:
        fault(path, 1, "is in no layer: give its folder a place in tests/lint/layers.py")
        return
    for line, kind, included in includes_of(path):
        if kind == "<":
            continue
        target = layer_of(included)
        if not (ROOT / included).is_file():
            fault(path, line, '"%s" is no path from the root of the repository' % included)
        elif target is None:
            fault(path, line, '"%s" is in no layer' % included)
        elif included == PLAIN_DATA and RANKS[source] > WIRE:
            continue
        elif not may_include(source, target):
            fault(path, line, '"%s" (%s) is not below %s: turn the call round with a hook' % (included, target, source))


def main():
    for path in c_files():
        check(path)
    return exit_code()


if __name__ == "__main__":
    sys.exit(main())
