#!/usr/bin/env python3
"""Holds conf/seawall.conf and docs/configuration.md against the table of configuration keys.

Every key of the table is in both files, in its section, with the table's default (and, in the docs, range, unit and
whether a reload applies it), and neither file names another key. Prints each fault as file:line: what; exits 0 or 1.

usage: config.py [COMMAND ...]      what prints the table; default: build/seawall --dump-config-table
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONF = ROOT / "conf/seawall.conf"
DOCS = ROOT / "docs/configuration.md"
# Their lines are entries with attributes; an attribute is described by a line of a comment above the header.
ENTRY_SECTIONS = ("nodes", "databases", "users")

faults = 0


def fault(path, line, text):
    global faults
    faults += 1
    print(f"{path.relative_to(ROOT)}:{line}: {text}")


def read_table(command):
    """{(section, key): row}, the rows as the program prints them."""
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    table = {}
    for line in text.splitlines():
        section, key, default, range_, unit, reload_, help_ = line.split("\t")
        table[section, key] = {"default": default, "range": range_, "unit": unit, "reload": reload_}
        if not help_:
            sys.exit(f"the table has no help for {key} in [{section}]")
    if not table:
        sys.exit(f"{' '.join(command)} printed no table")
    return table


def note(path, line, found, section, key, table):
    """Marks a key as found; None where the table does not have it."""
    row = table.get((section, key))
    if row is None:
        fault(path, line, f'"{key}" in [{section}] is not in the table of keys: remove it')
    elif (section, key) in found:
        fault(path, line, f'"{key}" in [{section}] is here for the second time')
    found.add((section, key))
    return row


def check_default(path, line, key, have, row):
    if have != row["default"]:
        fault(path, line, f'the default of "{key}" is "{row["default"]}", not "{have}"')


def check_attributes(line, section, text, table):
    for key in re.findall(r"(\w+)=", text):
        if (section, key) not in table:
            fault(CONF, line, f'"{key}" in [{section}] is not in the table of keys: remove it')


def check_global(line, section, match, found, table):
    key, value = match["key"], match["value"].strip()
    row = note(CONF, line, found, section, key, table)
    if row is None:
        return
    # An active line may set what has no default; anything else shows the default.
    if row["default"].startswith("("):
        if match["off"]:
            fault(CONF, line, f'"{key}" has no default: give an active example')
    else:
        check_default(CONF, line, key, value, row)


def check_conf(table):
    found, pending, section = set(), [], None
    for number, text in enumerate(CONF.read_text().splitlines(), 1):
        header = re.fullmatch(r"\[(\w+)\]", text)
        described = re.fullmatch(r";   (?P<key>\w+) {2,}(?P<default>\([^)]*\)|\S+) {2,}\S.*", text)
        setting = re.fullmatch(r"(?P<off>;?)(?P<key>[\w*]+) =(?P<value>.*)", text)
        if header:
            section = header[1]
            if section in ENTRY_SECTIONS:
                for line, match in pending:
                    row = note(CONF, line, found, section, match["key"], table)
                    if row is not None:
                        check_default(CONF, line, match["key"], match["default"], row)
            pending = []
        elif described:
            pending.append((number, described))
        elif setting and section in ENTRY_SECTIONS:
            check_attributes(number, section, setting["value"], table)
        elif setting:
            check_global(number, section, setting, found, table)
        elif text and not text.startswith("; ") and text != ";":
            fault(CONF, number, f'"{text}" is neither a remark ("; text") nor a key (";key = value")')
    report_missing(CONF, found, table)


def plain(cell):
    """A cell of the documentation as the table would say it."""
    return cell.strip().strip("`").strip()


def check_docs(table):
    found, section = set(), None
    for number, text in enumerate(DOCS.read_text().splitlines(), 1):
        header = re.fullmatch(r"## (?:\[(\w+)\]|.*)", text)
        if header:
            section = header[1]
        if not text.startswith("| `"):
            continue
        cells = text.strip("|").split("|")
        if len(cells) != 6:
            fault(DOCS, number, "a row needs six cells: key, default, range, unit, reload, meaning")
            continue
        key, *values, meaning = map(plain, cells)
        row = note(DOCS, number, found, section, key, table)
        if row is None:
            continue
        check_default(DOCS, number, key, values[0], row)
        for name, have in zip(("range", "unit", "reload"), values[1:]):
            if have != row[name]:
                fault(DOCS, number, f'the {name} of "{key}" is "{row[name]}", not "{have}"')
        if not meaning:
            fault(DOCS, number, f'"{key}" has no meaning: say what it does')
    report_missing(DOCS, found, table)


def report_missing(path, found, table):
    for section, key in table:
        if (section, key) not in found:
            fault(path, 1, f'"{key}" in [{section}] is missing: describe it')


def main():
    table = read_table(sys.argv[1:] or [str(ROOT / "build/seawall"), "--dump-config-table"])
    check_conf(table)
    check_docs(table)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
