#!/usr/bin/python3 -B
"""Files and functions that one can read: a .c file of more than 900 lines and a function of more than 120 are errors.

More than 600 and more than 70 are listed as warnings, which fail nothing. A function's lines are counted from the line
of its name to its closing brace.
"""

import re
import sys

from source import ROOT, PRODUCT, code_of, exit_code, fault, files

FILE_GOAL, FILE_LIMIT = 600, 900
FUNCTION_GOAL, FUNCTION_LIMIT = 70, 120


def functions_of(code):
    """(name, first line, lines) of each function in C whose comments and texts are blanked."""
    # Directives are no code: an unbalanced brace in a macro would count for all that follows.
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda match: re.sub(r"[^\n]", " ", match.group()), code, flags=re.M)
    depth, start, head = 0, 0, None
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        if match.group() == "{":
            if depth == 0:
                # "name(parameters) attributes {" behind whatever ended before it
                head = re.search(r"(\w+)\s*\((?:[^()]|\([^()]*\))*\)[\s\w]*$", code[start:at])
                head = (head[1], code.count("\n", 0, start + head.start()) + 1) if head else None
            depth += 1
        elif match.group() == "}":
            depth -= 1
            if depth == 0:
                start = at + 1
                if head:
                    yield head[0], head[1], code.count("\n", 0, at) + 1 - head[1] + 1
                head = None
        elif depth == 0:
            start = at + 1


def judge(path, line, what, count, goal, limit):
    if count > limit:
        fault(path, line, "%s has %d lines, more than %d: divide it" % (what, count, limit))
    elif count > goal:
        print("%s:%d: warning: %s has %d lines, more than %d" % (path.relative_to(ROOT), line, what, count, goal))


def main():
    count = 0
    for path in files(PRODUCT + ("tests",), (".c",)):
        judge(path, 1, "the file", len(path.read_text().splitlines()), FILE_GOAL, FILE_LIMIT)
        for name, line, lines in functions_of(code_of(path)):
            count += 1
            judge(path, line, name + "()", lines, FUNCTION_GOAL, FUNCTION_LIMIT)
    if count == 0:
        print("no functions found")
        return 1
    return exit_code()


if __name__ == "__main__":
    sys.exit(main())
