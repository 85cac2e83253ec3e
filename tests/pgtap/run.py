#!/usr/bin/python3 -B
"""The pgTAP suite, run by pg_prove through Seawall; prints TAP.

usage: run.py [--direct]      --direct runs it straight on the primary, which proves the suite itself
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from lib.cluster import Cluster, pg_bin  # noqa: E402
from lib.proxy import Seawall  # noqa: E402


def prove(server):
    """pg_prove's TAP of every .sql file here; its exit code."""
    environment = dict(os.environ, PGPASSWORD="app secret", PGOPTIONS="")
    return subprocess.run(["pg_prove", "--verbose", "--ext", ".sql", "--host", server.host, "--port", str(server.port),
                           "--username", "app", "--dbname", "app", "--psql-bin", pg_bin("psql"), HERE], env=environment,
                          stdin=subprocess.DEVNULL).returncode


def main():
    with Cluster(standbys=2) as cluster:
        cluster.primary.execute("CREATE EXTENSION pgtap")
        cluster.wait_caught_up()
        if "--direct" in sys.argv[1:]:
            return prove(cluster.primary)
        with Seawall(cluster) as seawall:
            return prove(seawall)


if __name__ == "__main__":
    sys.exit(main())
