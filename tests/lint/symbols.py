#!/usr/bin/python3 -B
"""Every global symbol that the program defines starts with sw_, except main.

libpg_query exports palloc, lappend, errmsg and hundreds of other bare names, and a clash silently changes how a
statement parses. Reads the objects of the build (SEAWALL_BUILD, default build), of which there must be one a source.
"""

import subprocess
import sys

from source import BUILD, PRODUCT, ROOT, exit_code, fault, files

DEFINED = set("ABCDGRSTVW")  # nm's letters of global symbols with a definition; weak ones clash, too
# What sanitizers add to an object.
MADE_BY_COMPILER = ("__odr_asan", "__asan_", "__tsan_", "__ubsan_", "__sancov_")


def symbols_of(objects):
    """(object, symbol) of each definition."""
    text = subprocess.run(["nm", "--extern-only", "--defined-only", "--print-file-name"] + objects, check=True,
                          capture_output=True, text=True).stdout
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        _, letter, symbol = rest.rsplit(None, 2)
        if letter in DEFINED:
            yield name, symbol


def main():
    sources = {}
    for path in files(PRODUCT, (".c",)):
        made = BUILD / "obj" / path.relative_to(ROOT).with_suffix(".o")
        if made.is_file():
            sources[str(made)] = path
        else:
            fault(path, 1, "has no object in %s: build first" % (BUILD / "obj"))
    seen = {}
    for name, symbol in symbols_of(sorted(sources)) if sources else ():
        path = sources[name]
        if symbol in seen and symbol != "main":
            fault(path, 1, '"%s" is defined in %s, too' % (symbol, seen[symbol].relative_to(ROOT)))
        seen[symbol] = path
        if symbol != "main" and not symbol.startswith("sw_") and not symbol.startswith(MADE_BY_COMPILER):
            fault(path, 1, 'the global symbol "%s" does not start with sw_: rename it or make it static' % symbol)
    if not seen:
        print("no symbols in %s: build first" % (BUILD / "obj"))
        return 1
    return exit_code()


if __name__ == "__main__":
    sys.exit(main())
