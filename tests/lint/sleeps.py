#!/usr/bin/python3 -B
"""Tests wait for events with a deadline and take free ports: no sleep, no fixed port.

tests/lib/wait.py is where time passes; pg_sleep in SQL is a statement that takes long, not a wait of the test's. A port
in a text that is only read (a configuration that is parsed) is none: what counts is one that is listened or connected to.
"""

import re
import sys

from source import exit_code, fault, files, without_comments

WAITING = "tests/lib/wait.py"
SLEEPS = {
    ".py": re.compile(r"\b(?:time|asyncio|gevent)\.sleep\b|\bfrom time import\b.*\bsleep\b|(?<![\w.])sleep\("),
    ".c": re.compile(r"\b(?:sleep|usleep|nanosleep|clock_nanosleep|uv_sleep|thrd_sleep)\s*\("),
    ".sh": re.compile(r"(?:^|[;&|(]|\bdo\b|\bthen\b)\s*sleep\b"),
}
SLEEPS[".h"] = SLEEPS[".c"]
PORT = r"[1-9]\d{3,4}\b"
PORTS = {
    # ("127.0.0.1", 6432), port=6432 as an argument, -p 6432 of a command
    ".py": re.compile(r"[\"'](?:127\.[\d.]+|localhost|0\.0\.0\.0|::1?)[\"'],\s*%s|(?<![\w'\"] )\bport=%s(?=\s*[,)])|"
                      r"[\"']-p[\"'],\s*[\"']?%s" % (PORT, PORT, PORT)),
    ".c": re.compile(r"\bhtons\s*\(\s*%s|\buv_ip[46]_addr\s*\([^,]*,\s*%s" % (PORT, PORT)),
    ".sh": re.compile(r"\s-p\s*%s|--port[ =]%s" % (PORT, PORT)),
}
PORTS[".h"] = PORTS[".c"]


def suffix_of(path):
    if path.suffix:
        return path.suffix
    first = path.read_text(errors="replace").partition("\n")[0]
    return ".py" if "python" in first else ".sh" if first.startswith("#!") else ""


def main():
    for path in files(("tests",)):
        suffix = suffix_of(path)
        if suffix not in SLEEPS or "lint" in path.parts:
            continue
        text = without_comments(path) if suffix in (".c", ".h") else re.sub(
            r"(?m)^\s*#.*$", "", path.read_text(errors="replace"))
        for number, line in enumerate(text.splitlines(), 1):
            if SLEEPS[suffix].search(line):
                fault(path, number, "sleeps: wait for the event with a deadline (%s)" % WAITING)
            if PORTS[suffix].search(line):
                fault(path, number, "a fixed port: take a free one (tests/lib/proc.py)")
    return exit_code()


if __name__ == "__main__":
    sys.exit(main())
