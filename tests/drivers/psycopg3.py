"""psycopg 3: sync, async and pipelines, text and binary."""

import datetime
import decimal
import ipaddress
import uuid

import psycopg
import tap
from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

UTC = datetime.timezone.utc
VALUES = {
    "int2": -32768, "int4": 2147483647, "int8": -2 ** 63, "float8": 0.1, "bool": True, "text": tap.HORSE,
    "numeric": decimal.Decimal("-12345678901234567890.123456789"), "bytea": bytes(range(256)),
    "date": datetime.date(2024, 2, 29), "timestamptz": datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
    "interval": datetime.timedelta(days=-3, microseconds=7), "uuid": uuid.UUID(int=2 ** 127 + 5),
    "inet": ipaddress.ip_address("2001:db8::1"), "int4[]": [1, None, -3], "text[]": ["a,b", None, '"', tap.HORSE],
}
autocommit = {"autocommit": True}


def connect(**kw):
    return psycopg.connect("", **kw)


def value(connection, query, *args, **kw):
    return connection.execute(query, *args, **kw).fetchone()[0]


with connect(**autocommit) as setup:
    setup.execute("DROP TABLE IF EXISTS p3")
    setup.execute("CREATE TABLE p3 (id int PRIMARY KEY, note text)")


@tap.case("connects with SCRAM, bound to its TLS channel")
def _():
    with connect(channel_binding="require") as connection:
        tap.same("app", value(connection, "SELECT current_user::text"))
        tap.same("UTF8", connection.info.parameter_status("client_encoding"))


@tap.case("types in text and in binary, on replicas and in a transaction")
def _():
    with connect(**autocommit) as connection:
        for binary in (False, True):
            for transaction in (False, True):
                with connection.transaction() if transaction else connection.cursor():
                    for name, sent in VALUES.items():
                        query = "SELECT %%%s::%s" % ("b" if binary else "t", name)
                        tap.same(sent, value(connection, query, [sent], binary=binary))
        tap.same({"a": [1, None, tap.HORSE]}, value(connection, "SELECT %s", [Jsonb({"a": [1, None, tap.HORSE]})]))
        tap.same(Range(1, 5), value(connection, "SELECT %s::int4range", [Range(1, 5)]))


@tap.case("transactions and savepoints")
def _():
    with connect() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO p3 VALUES (1, 'kept')")
            try:
                with connection.transaction():
                    connection.execute("INSERT INTO p3 VALUES (2, 'undone')")
                    connection.execute("INSERT INTO p3 VALUES (1, 'twice')")
            except psycopg.errors.UniqueViolation:
                connection.execute("INSERT INTO p3 VALUES (3, 'kept')")
            with connection.transaction():
                connection.execute("INSERT INTO p3 VALUES (4, 'undone, too')")
                raise psycopg.Rollback
        tap.same([(1,), (3,)], connection.execute("SELECT id FROM p3 ORDER BY id").fetchall())
        with connect() as other:  # in a transaction, so on the primary: a replica may not have it yet
            tap.same(2, value(other, "SELECT count(*) FROM p3"))


@tap.case("prepared statements over transactions and server connections")
def _():
    crowd = [connect() for _ in range(6)]
    pids = [set() for _ in crowd]
    for turn in range(8):
        for index, connection in enumerate(crowd):
            found = connection.execute("SELECT %s::int + id, pg_backend_pid() FROM p3 WHERE id = %s", [index, 3],
                                       prepare=True).fetchone()
            tap.same(index + 3, found[0])
            pids[index].add(found[1])
        for connection in crowd[turn % 6:] + crowd[:turn % 6]:
            connection.commit()
    for connection in crowd:
        connection.autocommit = True
        for number in range(8):  # the 6th is prepared by itself
            tap.same(number, value(connection, "SELECT %s::int FROM p3 WHERE id = 1", [number]))
        connection.close()
    assert not tap.POOLED or max(len(seen) for seen in pids) > 1, "nobody changed the server connection: %r" % pids


@tap.case("what is prepared after DDL is new, whoever prepared it before")
def _():
    with connect(**autocommit) as owner:
        owner.execute("DROP TABLE IF EXISTS p3_ddl; CREATE TABLE p3_ddl AS SELECT 7 AS a")
        crowds = [[connect() for _ in range(6)] for _ in range(2)]
        for crowd in crowds:
            for connection in crowd:  # all in a transaction at once, so that many server connections know the statement
                tap.same(7, value(connection, "SELECT * FROM p3_ddl", prepare=True))
            for connection in crowd:
                connection.commit()
                connection.close()
            owner.execute("ALTER TABLE p3_ddl ALTER a TYPE bigint")


@tap.case("executemany and batches")
def _():
    with connect(**autocommit) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO p3 VALUES (%s, %s) RETURNING id", [(n, tap.HORSE) for n in range(100, 400)],
                           returning=True)
        got = [cursor.fetchone()[0]]
        while cursor.nextset():
            got += cursor.fetchone()
        tap.same(list(range(100, 400)), got)
        tap.fails("23505", cursor.executemany, "INSERT INTO p3 VALUES (%s, 'x')", [(n,) for n in (500, 501, 100)])
        tap.same(300, value(connection, "SELECT count(*) FROM p3 WHERE id >= 100"))


@tap.case("pipelines, with errors inside")
def _():
    with connect(**autocommit) as connection:
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("SELECT %s::int * 2", [n]) for n in range(300)]
            connection.execute("INSERT INTO p3 VALUES (600, 'pipeline')")
            written = connection.execute("SELECT note FROM p3 WHERE id = 600")
            pipeline.sync()
            tap.same([2 * n for n in range(300)], [cursor.fetchone()[0] for cursor in cursors])
            tap.same("pipeline", written.fetchone()[0])

        def broken():
            with connection.pipeline():
                connection.execute("INSERT INTO p3 VALUES (601, 'with the error')")
                connection.execute("SELECT 1/%s", [0])
                connection.execute("SELECT 2")
        tap.fails("22012", broken)
        tap.same(0, value(connection, "SELECT count(*) FROM p3 WHERE id = 601"))
        with connection.pipeline(), connection.transaction():
            connection.execute("INSERT INTO p3 VALUES (602, 'transaction')")
            inside = connection.execute("SELECT note FROM p3 WHERE id = 602")
            tap.same("transaction", inside.fetchone()[0])


@tap.case("cursors of the server, also with hold")
def _():
    with connect() as connection:
        with connection.cursor("rows", scrollable=True) as cursor:
            cursor.execute("SELECT n FROM generate_series(1, 5000) n")
            cursor.itersize = 700
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


@tap.case("COPY in and out, text and binary")
def _():
    rows = [(n, tap.HORSE + "\t\n\\") for n in range(1000, 4000)]
    with connect(**autocommit) as connection, connection.cursor() as cursor:
        for shape in ("TEXT", "BINARY"):
            cursor.execute("TRUNCATE p3")
            with cursor.copy("COPY p3 FROM STDIN (FORMAT %s)" % shape) as copy:
                copy.set_types(["int4", "text"])
                for row in rows:
                    copy.write_row(row)
            with cursor.copy("COPY (TABLE p3 ORDER BY id) TO STDOUT (FORMAT %s)" % shape) as copy:
                copy.set_types(["int4", "text"])
                tap.same(rows, list(copy.rows()))

        def broken():
            with cursor.copy("COPY p3 FROM STDIN") as copy:
                copy.write("1\ta\n")
                raise ZeroDivisionError
        tap.fails("57014", broken)
        tap.same(3000, value(connection, "SELECT count(*) FROM p3"))


@tap.case("LISTEN and NOTIFY")
def _():
    with connect(**autocommit) as listener, connect(**autocommit) as other:
        listener.execute("LISTEN p3_news")
        for text in ("one", tap.HORSE):
            other.execute(sql.SQL("NOTIFY p3_news, {}").format(text))
        generator = listener.notifies()
        tap.same(["one", tap.HORSE], [next(generator).payload, next(generator).payload])
        generator.close()


@tap.case("cancel, on a replica and in a transaction")
def _():
    with connect(**autocommit) as connection:
        tap.cancelled(lambda: connection.execute("SELECT pg_sleep(60)"), connection.cancel)
        tap.same(1, value(connection, "SELECT 1"))
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO p3 VALUES (9000, 'cancelled')")
            tap.cancelled(lambda: connection.execute("SELECT pg_sleep(60) FROM p3 WHERE id = 9000"), connection.cancel)
            tap.fails("25P02", connection.execute, "SELECT 1")
        tap.same(0, value(connection, "SELECT count(*) FROM p3 WHERE id = 9000"))


@tap.case("errors and recovery")
def _():
    with connect() as connection:
        connection.execute("INSERT INTO p3 VALUES (9001, 'a')")
        tap.fails("42P01", connection.execute, "SELECT * FROM nowhere")
        tap.fails("25P02", connection.execute, "SELECT 1")
        connection.rollback()
        tap.fails("42601", connection.execute, "SELEKT 1")
        connection.rollback()
        tap.fails("22P02", connection.execute, "SELECT %s::int", ["seven"])
        connection.rollback()
        tap.same(0, value(connection, "SELECT count(*) FROM p3 WHERE id = 9001"))


@tap.case("settings follow the session; read-only transactions")
def _():
    with connect(options="-c statement_timeout=12345", **autocommit) as connection, connect(**autocommit) as other:
        connection.execute("SET DateStyle = 'German'")
        for _ in range(3):
            tap.same("29.02.2024", value(connection, "SELECT '2024-02-29'::date::text"))
            tap.same("2024-02-29", value(other, "SELECT '2024-02-29'::date::text"))
        tap.same("12345ms", value(connection, "SHOW statement_timeout"))
        other.read_only, other.isolation_level = True, psycopg.IsolationLevel.REPEATABLE_READ
        with other.transaction():
            tap.same("on", value(other, "SHOW transaction_read_only"))
            tap.same("repeatable read", value(other, "SHOW transaction_isolation"))
        with other.transaction(force_rollback=True):
            tap.fails("25006", other.execute, "DELETE FROM p3")


@tap.case("async: many at once, and a pipeline")
async def _():
    import asyncio

    async def work(index):
        async with await psycopg.AsyncConnection.connect("") as connection:
            for n in range(10):
                async with connection.transaction():
                    cursor = await connection.execute("SELECT %s::int", [index * n])
                    tap.same((index * n,), await cursor.fetchone())
            async with connection.pipeline():
                cursors = [await connection.execute("SELECT %s::text", [str(n)]) for n in range(50)]
                tap.same([(str(n),) for n in range(50)], [await cursor.fetchone() for cursor in cursors])
    await asyncio.gather(*[work(index) for index in range(30)])


@tap.case("a restart of the servers")
def _():
    idle, busy = connect(**autocommit), connect()
    for connection in (idle, busy):
        for number in range(7):
            tap.same(number, value(connection, "SELECT %s::int", [number]))
    busy.execute("INSERT INTO p3 VALUES (9002, 'lost')")
    tap.restart()
    try:
        busy.execute("SELECT 1")
        raise AssertionError("the transaction outlived its server")
    except psycopg.OperationalError:
        assert busy.closed or busy.broken
    if tap.POOLED:
        for number in range(7):
            tap.same(number, value(idle, "SELECT %s::int", [number]))
    with connect(**autocommit) as again:
        tap.same(0, value(again, "SELECT count(*) FROM p3 WHERE id = 9002"))


tap.done()
