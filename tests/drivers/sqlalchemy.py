"""SQLAlchemy 1.4, over psycopg2 and over asyncpg: engine and pool, core, ORM, reflection."""

import asyncio
import os

import sqlalchemy
import tap
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Numeric, String, Table
from sqlalchemy import func, insert, inspect, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, declarative_base, relationship

Base = declarative_base()


class Author(Base):
    __tablename__ = "sa_author"
    id = Column(Integer, primary_key=True)
    name = Column(String, unique=True)
    facts = Column(JSONB)
    books = relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "sa_book"
    id = Column(Integer, primary_key=True)
    title = Column(String(100), nullable=False)
    price = Column(Numeric(10, 2))
    tags = Column(ARRAY(String))
    author_id = Column(ForeignKey("sa_author.id"), nullable=False)
    author = relationship("Author", back_populates="books")


def make_engine(driver="psycopg2", make=sqlalchemy.create_engine, **kw):
    url = sqlalchemy.engine.URL.create("postgresql+" + driver, *[os.environ["PG" + name] for name in (
        "USER", "PASSWORD", "HOST")], int(os.environ["PGPORT"]), os.environ["PGDATABASE"])
    return make(url, future=True, **kw)


engine = make_engine(pool_size=4)


@tap.case("connects, makes and reflects a schema")
def _():
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    found = inspect(engine)
    tap.same(["id", "title", "price", "tags", "author_id"], [column["name"] for column in found.get_columns("sa_book")])
    tap.same("sa_author", found.get_foreign_keys("sa_book")[0]["referred_table"])
    tap.same(["name"], found.get_unique_constraints("sa_author")[0]["column_names"])
    reflected = Table("sa_book", MetaData(), autoload_with=engine)
    tap.same("NUMERIC(10, 2)", str(reflected.c.price.type))


@tap.case("a unit of work, read by another session")
def _():
    with Session(engine) as session, session.begin():
        for number in range(50):
            session.add(Author(name="author %d" % number, facts={"n": number, "of": [None, tap.HORSE]}, books=[
                Book(title="book %d" % n, price=n + 0.25, tags=["a", tap.HORSE]) for n in range(4)]))
    with Session(engine) as session:
        author = session.execute(select(Author).where(Author.facts["n"].as_integer() == 7)).scalar_one()
        tap.same(["book 0", "book 1", "book 2", "book 3"], sorted(book.title for book in author.books))
        tap.same(tap.HORSE, author.facts["of"][1])
        author.books.pop()
        author.name = "renamed"
        session.commit()
        tap.same(199, session.execute(select(func.count()).select_from(Book)).scalar_one())


@tap.case("savepoints, errors and recovery")
def _():
    with Session(engine) as session:
        session.add(Author(name="kept"))
        session.flush()

        def twice():
            with session.begin_nested():
                session.add(Author(name="kept"))
        tap.fails("23505", twice)
        session.add(Author(name="kept, too"))
        session.commit()
        tap.fails("23502", lambda: (session.add(Book()), session.flush()))
        session.rollback()
        tap.same(2, session.query(Author).filter(Author.name.like("kept%")).count())


@tap.case("inserts of many rows, upserts, RETURNING")
def _():
    with engine.begin() as connection:
        connection.execute(insert(Author), [{"name": "many %d" % n} for n in range(3000)])
        statement = upsert(Author).values([{"name": "many %d" % n, "facts": {"again": n}} for n in range(10)])
        statement = statement.on_conflict_do_update(index_elements=["name"], set_={"facts": statement.excluded.facts})
        rows = connection.execute(statement.returning(Author.name)).all()
        tap.same(10, len(rows))
        tap.same(10, connection.execute(select(func.count()).where(Author.facts.has_key("again"))).scalar())


@tap.case("rows by a cursor of the server")
def _():
    with engine.connect().execution_options(stream_results=True, max_row_buffer=500) as connection:
        rows = connection.execute(text("SELECT n FROM generate_series(1, 20000) n"))
        tap.same(20000 * 20001 // 2, sum(part[0] for parts in rows.partitions(700) for part in parts))


@tap.case("autocommit and isolation levels; locks")
def _():
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("UPDATE sa_author SET facts = '{}' WHERE name = 'kept'"))
        tap.same({}, connection.execute(text("SELECT facts FROM sa_author WHERE name = 'kept'")).scalar())
        connection.execute(text("VACUUM sa_author"))
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        tap.same("repeatable read", connection.execute(text("SHOW transaction_isolation")).scalar())
        tap.fails("25006", connection.execute, text("DELETE FROM sa_book"))
    with Session(engine) as session:
        tap.same(1, len(session.query(Author).filter_by(name="kept").with_for_update().all()))
        session.query(Author).filter_by(name="kept").delete()
        session.commit()
    with engine.connect() as connection:  # what the connection was told before does not cling to it in the pool
        tap.same(("read committed", "off"), tuple(connection.execute(text(
            "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")).one()))


@tap.case("over asyncpg: pool, transactions, savepoints, streams")
async def _():
    lively = make_engine("asyncpg", create_async_engine, pool_size=5, connect_args={"ssl": os.environ["PGSSLMODE"]})

    async def work(n):
        for turn in range(5):
            async with lively.begin() as connection:
                tap.same(n, (await connection.execute(text("SELECT CAST(:n AS int)"), {"n": n})).scalar())
                nested = await connection.begin_nested()
                await connection.execute(insert(Author).values(name="async %d %d" % (n, turn)))
                await (nested.rollback() if turn % 2 else nested.commit())
    await asyncio.gather(*[work(n) for n in range(20)])
    async with lively.connect() as connection:
        tap.same(60, (await connection.execute(select(func.count()).where(Author.name.like("async%")))).scalar())
        rows = await connection.stream(text("SELECT n FROM generate_series(1, 2000) n"))
        tap.same(2000, len([row async for row in rows]))
        await tap.fails_async("22012", connection.execute(text("SELECT 1/0")))
    await lively.dispose()


@tap.case("a restart of the servers: the pool finds out")
def _():
    careful = make_engine(pool_size=2, pool_pre_ping=True)
    with careful.connect() as busy:
        busy.execute(text("INSERT INTO sa_author (name) VALUES ('lost')"))
        tap.restart()
        try:
            busy.execute(text("SELECT 1"))
            raise AssertionError("the transaction outlived its server")
        except sqlalchemy.exc.DBAPIError as error:
            assert error.connection_invalidated, error
    for _ in range(3):
        with careful.connect() as connection:
            tap.same(0, connection.execute(select(func.count()).where(Author.name == "lost")).scalar())


tap.done()
