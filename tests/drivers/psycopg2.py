"""psycopg2: simple queries only, so its prepared statements are SQL's."""

import datetime
import decimal
import io
import select

import psycopg2
import psycopg2.extensions as extensions
import psycopg2.extras as extras
import tap

VALUES = {
    "int8": 2 ** 63 - 1, "float8": 0.1, "bool": True, "text": tap.HORSE, "numeric": decimal.Decimal("-1234.123456789"),
    "date": datetime.date(2024, 2, 29), "interval": datetime.timedelta(days=-3, microseconds=7),
    "timestamptz": datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, datetime.timezone.utc), "int4[]": [1, None, -3],
    "text[]": ["a,b", None, '"', tap.HORSE],
}


def connect(autocommit=False, **kw):
    connection = psycopg2.connect("", **kw)
    connection.autocommit = autocommit
    return connection


def run(connection, query, *args):
    """The rows of a query, None where it has none."""
    with connection.cursor() as cursor:
        cursor.execute(query, *args)
        return cursor.fetchall() if cursor.description else None


def value(connection, query, *args):
    return run(connection, query, *args)[0][0]


run(connect(True), "DROP TABLE IF EXISTS p2; CREATE TABLE p2 (id int PRIMARY KEY, note text)")


@tap.case("connects with SCRAM over TLS")
def _():
    connection = connect(True)
    tap.same(True, connection.info.ssl_in_use)
    tap.same("app", value(connection, "SELECT current_user"))
    tap.same("UTF8", connection.encoding)


@tap.case("types, on replicas and in a transaction")
def _():
    for connection in (connect(True), connect()):
        for name, sent in VALUES.items():
            tap.same(sent, value(connection, "SELECT %%s::%s" % name, [sent]))
        tap.same(bytes(range(256)), value(connection, "SELECT %s", [psycopg2.Binary(bytes(range(256)))]).tobytes())
        tap.same({"a": [1, None]}, value(connection, "SELECT %s::jsonb", [extras.Json({"a": [1, None]})]))


@tap.case("transactions and savepoints")
def _():
    connection, other = connect(), connect()
    with connection:
        run(connection, "INSERT INTO p2 VALUES (1, 'kept'); SAVEPOINT s")
        tap.fails("23505", run, connection, "INSERT INTO p2 VALUES (1, 'twice')")
        tap.fails("25P02", run, connection, "SELECT 1")
        run(connection, "ROLLBACK TO s; INSERT INTO p2 VALUES (2, 'kept')")
    tap.same(2, value(other, "SELECT count(*) FROM p2"))
    other.rollback()
    try:
        with connection:
            run(connection, "DELETE FROM p2")
            raise ZeroDivisionError
    except ZeroDivisionError:
        tap.same(2, value(connection, "SELECT count(*) FROM p2"))


@tap.case("PREPARE over transactions, many at once")
def _():
    crowd = [connect() for _ in range(6)]
    for index, connection in enumerate(crowd):
        run(connection, "PREPARE mine (int) AS SELECT $1 + %s FROM p2 WHERE id = 1", [index])
        connection.commit()
    for turn in range(5):
        for index, connection in enumerate(crowd):
            tap.same(turn + index, value(connection, "EXECUTE mine(%s)", [turn]))
        for connection in crowd:
            connection.commit()
    for connection in crowd:
        run(connection, "DEALLOCATE mine")
        connection.close()


@tap.case("batches: execute_values and execute_batch")
def _():
    connection = connect()
    with connection, connection.cursor() as cursor:
        rows = extras.execute_values(cursor, "INSERT INTO p2 VALUES %s RETURNING id",
                                     [(n, tap.HORSE) for n in range(100, 1100)], page_size=300, fetch=True)
        tap.same([(n,) for n in range(100, 1100)], rows)
        extras.execute_batch(cursor, "UPDATE p2 SET note = %s WHERE id = %s", [("new", n) for n in range(100, 400)])
    tap.same(300, value(connection, "SELECT count(*) FROM p2 WHERE note = 'new'"))


@tap.case("cursors of the server, also with hold")
def _():
    connection = connect()
    with connection.cursor("rows", scrollable=True) as cursor:
        cursor.itersize = 700
        cursor.execute("SELECT n FROM generate_series(1, 5000) n")
        tap.same(5000 * 5001 // 2, sum(row[0] for row in cursor))
        cursor.scroll(10, "absolute")
        tap.same((11,), cursor.fetchone())
    connection.commit()
    with connection.cursor("held", withhold=True) as cursor:
        cursor.execute("SELECT n FROM generate_series(1, 10) n")
        connection.commit()
        tap.same([(1,), (2,)], cursor.fetchmany(2))
        connection.commit()
        tap.same(8, len(cursor.fetchall()))


@tap.case("COPY in and out")
def _():
    connection = connect()
    text = "".join("%d\t%s\n" % (n, "row %d" % n) for n in range(2000, 12000))
    with connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY p2 FROM STDIN", io.StringIO(text))
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM p2 WHERE id >= 2000 ORDER BY id) TO STDOUT", out)
        tap.same(text, out.getvalue())
    with connection.cursor() as cursor:
        tap.fails("22P02", cursor.copy_expert, "COPY p2 FROM STDIN", io.StringIO("seven\tb\n"))
    connection.rollback()
    tap.same(10000, value(connection, "SELECT count(*) FROM p2 WHERE id >= 2000"))


@tap.case("LISTEN and NOTIFY")
def _():
    listener, other = connect(True), connect(True)
    run(listener, "LISTEN p2_news")
    run(other, "NOTIFY p2_news, 'hello'")
    while not listener.notifies:
        assert select.select([listener], [], [], 20)[0], "no notification"
        listener.poll()
    tap.same("hello", listener.notifies[0].payload)


@tap.case("cancel, on a replica and in a transaction")
def _():
    for connection in (connect(True), connect()):
        tap.cancelled(lambda: run(connection, "SELECT pg_sleep(60)"), connection.cancel)
        if not connection.autocommit:
            tap.fails("25P02", run, connection, "SELECT 1")
        connection.rollback()
        tap.same(1, value(connection, "SELECT 1"))


@tap.case("asynchronous, with poll()")
def _():
    connection = psycopg2.connect("", async_=True)

    def finish():
        while (state := connection.poll()) != extensions.POLL_OK:
            sides = ([connection], []) if state == extensions.POLL_READ else ([], [connection])
            assert any(select.select(*sides, [], 20)), "no answer"
    finish()
    with connection.cursor() as cursor:
        for statement in ("BEGIN", "INSERT INTO p2 VALUES (20000, 'async')", "COMMIT",
                          "SELECT note FROM p2 WHERE id = 20000"):
            cursor.execute(statement)
            finish()
        tap.same([("async",)], cursor.fetchall())


@tap.case("two-phase commit")
def _():
    connection = connect()
    for number, end in ((30000, connection.tpc_commit), (30001, connection.tpc_rollback)):
        connection.tpc_begin(connection.xid(1, "p2-%d" % number, "branch"))
        run(connection, "INSERT INTO p2 VALUES (%s, 'two-phase')", [number])
        connection.tpc_prepare()
        end()
    tap.same([(30000,)], run(connection, "SELECT id FROM p2 WHERE id >= 30000"))


@tap.case("large objects by function calls")
def _():
    connection = connect()
    with connection:
        made = connection.lobject(0, "wb")
        made.write(bytes(range(256)) * 100)
        made.seek(0)
        made.close()
    with connection:
        tap.same(bytes(range(256)) * 100, connection.lobject(made.oid, "rb").read())
    with connection:
        connection.lobject(made.oid).unlink()


@tap.case("errors, settings, sessions of other kinds")
def _():
    connection = connect(True)
    tap.fails("42P01", run, connection, "SELECT * FROM nowhere")
    tap.fails("22012", run, connection, "SELECT 1; SELECT 1/0; DELETE FROM p2")
    run(connection, "SET DateStyle = 'German'")
    tap.same("29.02.2024", value(connection, "SELECT '2024-02-29'::date::text"))
    connection.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True, autocommit=False)
    tap.same(("serializable", "on"), run(connection, "SELECT current_setting('transaction_isolation'),"
                                                     "current_setting('transaction_read_only')")[0])
    tap.fails("25006", run, connection, "DELETE FROM p2")
    connection.rollback()
    connection.set_client_encoding("LATIN1")
    tap.same("é", value(connection, "SELECT chr(233)"))
    connection.reset()


@tap.case("a restart of the servers")
def _():
    idle, busy = connect(True), connect()
    run(idle, "SELECT 1")
    run(busy, "INSERT INTO p2 VALUES (90000, 'lost')")
    tap.restart()
    try:
        run(busy, "SELECT 1")
        raise AssertionError("the transaction outlived its server")
    except psycopg2.OperationalError:
        assert busy.closed
    if tap.POOLED:
        tap.same(7, value(idle, "SELECT 7"))
    tap.same(0, value(connect(True), "SELECT count(*) FROM p2 WHERE id = 90000"))


tap.done()
