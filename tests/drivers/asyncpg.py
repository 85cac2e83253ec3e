"""asyncpg: binary, prepared statements of its own for every query, a pool."""

import asyncio
import datetime
import decimal
import io
import ipaddress
import os
import uuid

import asyncpg
import tap

VALUES = {
    "int2": -32768, "int8": -2 ** 63, "float8": 0.1, "bool": True, "text": tap.HORSE, "bytea": bytes(range(256)),
    "numeric": decimal.Decimal("-12345678901234567890.123456789"), "date": datetime.date(2024, 2, 29),
    "timestamptz": datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, datetime.timezone.utc),
    "interval": datetime.timedelta(days=-3, microseconds=7), "uuid": uuid.UUID(int=2 ** 127 + 5),
    "inet": ipaddress.ip_address("2001:db8::1"), "int4[]": [1, None, -3], "text[]": ["a,b", None, '"', tap.HORSE],
    "int4range": asyncpg.Range(1, 5), "jsonb": '{"a": [1, null]}',
}
HOW = {"ssl": os.environ["PGSSLMODE"], "timeout": 10}


async def connect(**kw):
    return await asyncpg.connect(**HOW, **kw)


@tap.case("connects with SCRAM over TLS")
async def _():
    connection = await connect()
    tap.same("app", await connection.fetchval("SELECT current_user::text"))
    tap.same(15, connection.get_server_version().major)
    await connection.execute("DROP TABLE IF EXISTS ap; CREATE TABLE ap (id int PRIMARY KEY, note text)")
    await connection.execute("DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('good', 'bad')")
    await connection.close()


@tap.case("types in binary, on replicas and in a transaction; those of the user")
async def _():
    connection = await connect()
    for name, sent in VALUES.items():
        tap.same(sent, await connection.fetchval("SELECT $1::%s" % name, sent))
    async with connection.transaction():
        for name, sent in VALUES.items():
            tap.same(sent, await connection.fetchval("SELECT $1::%s" % name, sent))
    tap.same("bad", await connection.fetchval("SELECT $1::mood", "bad"))  # looks the type up in the catalog
    tap.same([(1, "a"), (2, None)], [tuple(row) for row in await connection.fetchval(
        "SELECT array_agg(t) FROM (VALUES (1, 'a'), (2, NULL)) AS t (n, x)")])
    await connection.close()


@tap.case("transactions and savepoints")
async def _():
    connection, other = await connect(), await connect()
    async with connection.transaction():
        await connection.execute("INSERT INTO ap VALUES (1, 'kept')")
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO ap VALUES ($1, 'twice')", 1)
        except asyncpg.UniqueViolationError:
            await connection.execute("INSERT INTO ap VALUES (2, 'kept')")
    tap.same(2, await connection.fetchval("SELECT count(*) FROM ap"))
    async with other.transaction():
        tap.same(2, await other.fetchval("SELECT count(*) FROM ap"))
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        tap.same("on", await connection.fetchval("SHOW transaction_read_only"))
        await tap.fails_async("25006", connection.execute("DELETE FROM ap"))
    await asyncio.gather(connection.close(), other.close())


@tap.case("prepared statements over transactions and server connections")
async def _():
    crowd = [await connect() for _ in range(6)]
    query = "SELECT $1::int + %d, pg_backend_pid() FROM ap WHERE id = 1"
    statements = [await connection.prepare(query % index) for index, connection in enumerate(crowd)]
    pids = [set() for _ in crowd]
    for turn in range(8):
        open_ones = [connection.transaction() for connection in crowd]
        for index, transaction in enumerate(open_ones):
            await transaction.start()
            got, pid = await statements[index].fetchrow(turn * 100)
            tap.same(turn * 100 + index, got)
            pids[index].add(pid)
        for transaction in open_ones[turn % 6:] + open_ones[:turn % 6]:
            await transaction.commit()
    for index, statement in enumerate(statements):
        tap.same(7 + index, await statement.fetchval(7))
        await crowd[index].close()
    assert not tap.POOLED or max(len(seen) for seen in pids) > 1, "nobody changed the server connection: %r" % pids


@tap.case("more sessions with a statement prepared than server connections")
async def _():
    crowd = [await connect() for _ in range(30)]
    try:
        for connection in crowd:  # Parse, Describe and Flush: no Sync follows before the statement is used
            await asyncio.wait_for(connection.prepare("SELECT $1::int"), 10)
        for connection in crowd:
            tap.same(7, await asyncio.wait_for(connection.fetchval("SELECT $1::int", 7), 10))
    finally:
        for connection in crowd:
            connection.terminate()


@tap.case("more statements than its cache and the server connection keep")
async def _():
    connection = await connect(statement_cache_size=20)
    for turn in range(2):
        for n in range(150):
            tap.same(n + turn, await connection.fetchval("SELECT $1::int + %d" % n, turn))
    await connection.close()


@tap.case("batches: executemany")
async def _():
    connection = await connect()
    await connection.executemany("INSERT INTO ap VALUES ($1, $2)", [(n, tap.HORSE) for n in range(100, 3100)])
    twice = [(5000,), (5001,), (100,)]
    await tap.fails_async("23505", connection.executemany("INSERT INTO ap VALUES ($1, 'x')", twice))
    tap.same(3000, await connection.fetchval("SELECT count(*) FROM ap WHERE id >= 100"))
    await connection.close()


@tap.case("cursors are portals")
async def _():
    connection = await connect()
    async with connection.transaction():
        cursor = await connection.cursor("SELECT n FROM generate_series(1, 5000) n")
        tap.same([1, 2, 3], [row[0] for row in await cursor.fetch(3)])
        await cursor.forward(10)
        tap.same(14, (await cursor.fetchrow())[0])
        rows = connection.cursor("SELECT n FROM generate_series(1, $1::int) n", 5000, prefetch=70)
        tap.same(list(range(1, 5001)), [row[0] async for row in rows])
        tap.same(15, (await cursor.fetchrow())[0])
    await connection.close()


@tap.case("COPY in and out, binary and csv")
async def _():
    connection = await connect()
    rows = [(n, tap.HORSE + "\t\n\\") for n in range(10000, 20000)]
    tap.same("COPY 10000", await connection.copy_records_to_table("ap", records=rows))
    out = io.BytesIO()
    await connection.copy_from_query("SELECT * FROM ap WHERE id >= $1", 10000, output=out, format="csv")
    await connection.execute("DELETE FROM ap WHERE id >= 10000")
    out.seek(0)
    tap.same("COPY 10000", await connection.copy_to_table("ap", source=out, format="csv"))
    tap.same(rows, [tuple(row) for row in await connection.fetch("SELECT * FROM ap WHERE id >= 10000 ORDER BY id")])
    await tap.fails_async("23505", connection.copy_records_to_table("ap", records=rows[-2:]))
    tap.same(1, await connection.fetchval("SELECT 1"))
    await connection.close()


@tap.case("LISTEN and NOTIFY")
async def _():
    listener, other, got = await connect(), await connect(), asyncio.Queue()
    await listener.add_listener("ap_news", lambda *event: got.put_nowait(event[3]))
    await other.execute("NOTIFY ap_news, 'hello'")
    tap.same("hello", await asyncio.wait_for(got.get(), 20))
    await asyncio.gather(listener.close(), other.close())


@tap.case("cancel: a time limit, on a replica and in a transaction")
async def _():
    connection = await connect()
    for _ in range(2):
        try:
            await connection.fetch("SELECT pg_sleep(60)", timeout=0.2)
            raise AssertionError("not cancelled")
        except asyncio.TimeoutError:
            tap.same(1, await connection.fetchval("SELECT 1"))
    transaction = connection.transaction()
    await transaction.start()
    task = asyncio.create_task(connection.execute("SELECT pg_sleep(60) AS ap_cancel"))
    other = await connect()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%ap_cancel%' AND wait_event = 'PgSleep'"
    while not await other.fetchval(asleep):
        pass
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    await transaction.rollback()
    tap.same(1, await connection.fetchval("SELECT 1"))
    await asyncio.gather(connection.close(), other.close())


@tap.case("errors and recovery; a changed result type")
async def _():
    connection, other = await connect(), await connect()
    await tap.fails_async("42P01", connection.fetch("SELECT * FROM nowhere"))
    await tap.fails_async("22012", connection.fetch("SELECT 1/$1::int", 0))
    await connection.execute("CREATE TABLE ap_ddl (a int); INSERT INTO ap_ddl VALUES (1)")
    tap.same((1,), tuple(await connection.fetchrow("SELECT * FROM ap_ddl")))
    await other.execute("ALTER TABLE ap_ddl ADD b int DEFAULT 2")

    async def row():
        async with connection.transaction():
            return tuple(await connection.fetchrow("SELECT * FROM ap_ddl"))
    try:
        tap.same((1, 2), await row())
    except asyncpg.InvalidCachedStatementError:  # the error passes in a transaction, and the statement is made anew
        tap.same((1, 2), await row())
    tap.same((1, 2), tuple(await connection.fetchrow("SELECT * FROM ap_ddl")))
    await connection.execute("DROP TABLE ap_ddl")
    await asyncio.gather(connection.close(), other.close())


@tap.case("a pool, which resets its connections; settings follow the session")
async def _():
    pool = await asyncpg.create_pool(**HOW, min_size=30, max_size=30, server_settings={"DateStyle": "German"})

    async def work(n):
        async with pool.acquire() as connection:
            tap.same("29.02.2024", await connection.fetchval("SELECT '2024-02-29'::date::text"))
            await connection.execute("SET search_path = pg_catalog")
            async with connection.transaction():
                tap.same(n, await connection.fetchval("SELECT $1::int", n))
            tap.same("pg_catalog", await connection.fetchval("SHOW search_path"))
    try:
        await asyncio.wait_for(asyncio.gather(*[work(n) for n in range(100)]), 15)
        tap.same('"$user", public', await pool.fetchval("SHOW search_path"))
    finally:
        pool.terminate()


@tap.case("a restart of the servers")
async def _():
    idle, busy = await connect(), await connect()
    pool = await asyncpg.create_pool(**HOW, min_size=2, max_size=4)
    tap.same(7, await idle.fetchval("SELECT $1::int", 7))
    tap.same(7, await pool.fetchval("SELECT $1::int", 7))
    transaction = busy.transaction()
    await transaction.start()
    await busy.execute("INSERT INTO ap VALUES (90000, 'lost')")
    await asyncio.to_thread(tap.restart)  # so that the loop sees which connections end
    try:
        await busy.fetchval("SELECT 1")
        raise AssertionError("the transaction outlived its server")
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError, OSError):
        pass
    if tap.POOLED:
        tap.same(8, await idle.fetchval("SELECT $1::int", 8))
    tap.same(0, await pool.fetchval("SELECT count(*) FROM ap WHERE id = 90000"))
    for connection in (idle, busy):
        connection.terminate()
    await pool.close()


tap.done()
