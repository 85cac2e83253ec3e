"""Where a statement really ran: the nodes' own logs say so, and not Seawall. And tables to read and write meanwhile."""

import itertools

import psycopg

WITNESS_CONF = {"log_statement": "all"}

_numbers = itertools.count(1)


def unique(prefix):
    """A name that this process has not used yet."""
    return "%s_%d" % (prefix, next(_numbers))


def make_table(cluster):
    name = unique("t")
    cluster.primary.execute("CREATE TABLE %s (id int PRIMARY KEY, note text); GRANT ALL ON %s TO PUBLIC;"
                            "INSERT INTO %s SELECT n, 'row ' || n FROM generate_series(1, 3) n" % (name, name, name))
    cluster.wait_caught_up()
    return name


class Witness:
    """Says on which nodes a statement ran, from their logs."""

    def __init__(self, cluster):
        self.cluster = cluster

    def run(self, connection, sql):
        """Executes sql with a mark in a trailing comment; returns (rows or None, names of the nodes that saw it)."""
        mark = "/* %s */" % unique("mark")
        rows = None
        try:
            cursor = connection.execute(sql + " " + mark)
            rows = cursor.fetchall() if cursor.description else None
        except psycopg.Error as error:
            error.seen = self.nodes(mark)
            raise
        return rows, self.nodes(mark)

    def nodes(self, mark):
        found = []
        for node in self.cluster.nodes:
            with open(node.log_path, errors="replace") as log:
                if any(mark in line for line in log):
                    found.append(node.name)
        return found

    def is_on_replica(self, connection, sql):
        """Did it run on one replica and nowhere else?"""
        _, nodes = self.run(connection, sql)
        assert len(nodes) == 1, "%s ran on %s" % (sql, nodes)
        return Placed(nodes[0] != self.cluster.primary.name, connection)


class Placed:
    """A yes or no that says in an assertion why the statement was routed as it was."""

    def __init__(self, is_on_replica, connection):
        self.is_on_replica, self.connection = is_on_replica, connection

    def __bool__(self):
        return self.is_on_replica

    def __repr__(self):
        try:
            return "<%s>" % ", ".join(map(str, self.connection.execute("SHOW seawall.last_route").fetchone()))
        except psycopg.Error as error:
            return "<%s>" % error
