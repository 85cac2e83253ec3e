#!/usr/bin/python3 -B
"""One foreign library, one place. A header that is neither C's nor the system's must be in this table."""

import fnmatch
import sys

from source import ROOT, c_files, exit_code, fault, includes_of

# What its headers look like: where it may be included (patterns of paths from the root).
LIBRARIES = {
    "libpq-fe.h": ("lagmon/link.h",),
    "openssl/*": ("proxy/auth/digest.c", "proxy/auth/binding.c", "proxy/net/tls.c", "proxy/net/tls.h"),
    "stringprep.h": ("proxy/auth/saslprep.c",),
    "security/*": ("proxy/auth/pam.c",),
    "ini.h": ("proxy/config_load.c",),
    "hiredis*": (),
    "xxhash.h": ("router/hash.c",),
    # The parse tree: libpg_query, and PostgreSQL's headers that describe its nodes.
    "pg_query*": ("router/classify*",),
    "nodes/*": ("router/classify*",),
    "catalog/*": ("router/classify*",),
    "utils/*": ("router/classify*",),
    # Macros, nothing is linked: for private tables of the pool.
    "uthash.h": ("proxy/pool/*",),
    # The loop is the ground that all stands on, except what is pure.
    "uv.h": ("proxy/base/mailbox.h", "proxy/net/*", "proxy/pool/*", "proxy/session/*", "proxy/relay/*", "proxy/*.[ch]",
             "lagmon/catalog_load.h", "lagmon/probe.h", "lagmon/link.h", "lagmon/monitor.h"),
}
SYSTEM = set("""
    assert.h ctype.h errno.h fcntl.h fnmatch.h getopt.h grp.h ifaddrs.h inttypes.h limits.h math.h netdb.h
    poll.h pthread.h pwd.h regex.h sched.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h strings.h
    syslog.h time.h unistd.h arpa/inet.h
""".split())
SYSTEM_FOLDERS = ("sys/", "netinet/", "linux/")


def is_system(header):
    return header in SYSTEM or header.startswith(SYSTEM_FOLDERS)


def is_allowed(name, patterns):
    # A star stays in its folder, as in a shell.
    return any(fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns)


def main():
    for path in c_files():
        name = str(path.relative_to(ROOT))
        for line, kind, header in includes_of(path):
            if kind != "<" or is_system(header):
                continue
            places = [where for pattern, where in LIBRARIES.items() if fnmatch.fnmatchcase(header, pattern)]
            if not places:
                fault(path, line, "<%s> is of no library that tests/lint/foreign.py knows" % header)
            elif not any(is_allowed(name, where) for where in places):
                where = ", ".join(pattern for patterns in places for pattern in patterns)
                fault(path, line, "<%s> belongs in %s only" % (header, where or "no file"))
    return exit_code()


if __name__ == "__main__":
    sys.exit(main())
