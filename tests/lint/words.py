#!/usr/bin/python3 -B
"""Nothing is left to do in a source, and no path of somebody's machine is in the tree."""

import re
import sys

from source import ROOT, exit_code, fault, files, lines_of

# In pieces, so that this file is not its own first fault.
UNDONE = re.compile(r"\b(%s)\b" % "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")))
# TAP has a directive of that name.
NOT_UNDONE = re.compile(r"# ?\(?(?:SKIP\|)?TO" + "DO")
MACHINE = re.compile(r"(?<![\w.*$})~-])/(?:%s)(?:/|\b)" % "|".join(("wo" + "rk", r"ho" + r"me/\w+", r"ro" + r"ot/\w+")))


def main():
    here = str(ROOT)
    checked = 0
    for path in files():
        raw = path.read_bytes()
        if b"\0" in raw:
            continue
        checked += 1
        for number, line in lines_of(path):
            word = UNDONE.search(line)
            if word and not NOT_UNDONE.search(line):
                fault(path, number, '"%s": do it, or write it into the plan' % word[1])
            machine = MACHINE.search(line)
            if machine or (here.count("/") > 1 and here in line):
                fault(path, number, '"%s": a path of one machine' % (machine.group() if machine else here))
    if checked == 0:
        print("no files found")
        return 1
    return exit_code()


if __name__ == "__main__":
    sys.exit(main())
