// pgx v4: its own protocol code, binary, statements prepared and kept by itself, batches, COPY, a pool.
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"

	"tap"
)

var ctx, _ = tap.Within(80)

func connect(more string) *pgx.Conn {
	config, err := pgx.ParseConfig(more)
	tap.OK(err)
	c, err := pgx.ConnectConfig(ctx, config)
	tap.OK(err)
	return c
}

// simple: no prepared statements, parameters are put into the text.
func simple() *pgx.Conn {
	config, err := pgx.ParseConfig("")
	tap.OK(err)
	config.PreferSimpleProtocol = true
	c, err := pgx.ConnectConfig(ctx, config)
	tap.OK(err)
	return c
}

type querier interface {
	QueryRow(context.Context, string, ...interface{}) pgx.Row
	Exec(context.Context, string, ...interface{}) (pgconn.CommandTag, error)
}

func number(q querier, sql string, args ...interface{}) int64 {
	var n int64
	tap.OK(q.QueryRow(ctx, sql, args...).Scan(&n))
	return n
}

func text(q querier, sql string, args ...interface{}) string {
	var s string
	tap.OK(q.QueryRow(ctx, sql, args...).Scan(&s))
	return s
}

func run(q querier, sql string, args ...interface{}) {
	_, err := q.Exec(ctx, sql, args...)
	tap.OK(err)
}

func state(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

func fails(expected string, q querier, sql string, args ...interface{}) {
	_, err := q.Exec(ctx, sql, args...)
	tap.Fails(expected, err, state)
}

func connects() {
	c := connect("target_session_attrs=read-write")
	defer c.Close(ctx)
	tap.Same("app", text(c, "SELECT current_user::text"))
	tap.Same("UTF8", c.PgConn().ParameterStatus("server_encoding"))
	run(c, "DROP TABLE IF EXISTS px")
	run(c, "CREATE TABLE px (id int PRIMARY KEY, note text)")
}

func types() {
	at := time.Date(2024, 2, 29, 23, 59, 59, 999999000, time.UTC)
	for _, c := range []*pgx.Conn{connect(""), simple()} {
		for _, inTransaction := range []bool{false, true} {
			var q querier = c
			if inTransaction {
				tx, err := c.Begin(ctx)
				tap.OK(err)
				defer tx.Rollback(ctx)
				q = tx
			}
			tap.Same(int64(math.MaxInt64), number(q, "SELECT $1::int8", int64(math.MaxInt64)))
			tap.Same(tap.Horse, text(q, "SELECT $1::text", tap.Horse))
			var (
				f     float64
				raw   []byte
				then  time.Time
				ints  []int32
				null  *string
				truth bool
				facts map[string]interface{}
			)
			row := q.QueryRow(ctx, "SELECT $1::float8, $2::bytea, $3::timestamptz, $4::int4[], NULL::text, $5::bool, "+
				"'{\"a\": [1, null]}'::jsonb", 0.1, []byte{0, 1, 255}, at, []int32{1, 2, -3}, true)
			tap.OK(row.Scan(&f, &raw, &then, &ints, &null, &truth, &facts))
			tap.Same([]interface{}{0.1, []byte{0, 1, 255}, []int32{1, 2, -3}, (*string)(nil), true},
				[]interface{}{f, raw, ints, null, truth})
			tap.Same(true, at.Equal(then))
		}
	}
}

func savepoints() {
	c, other := connect(""), connect("")
	defer c.Close(ctx)
	defer other.Close(ctx)
	tap.OK(c.BeginFunc(ctx, func(tx pgx.Tx) error {
		run(tx, "INSERT INTO px VALUES ($1, 'kept')", 1)
		err := tx.BeginFunc(ctx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "INSERT INTO px VALUES ($1, 'twice')", 1)
			return err
		})
		tap.Fails("23505", err, state)
		run(tx, "INSERT INTO px VALUES ($1, 'kept')", 2)
		return nil
	}))
	tap.Same(int64(2), number(c, "SELECT count(*) FROM px"))
	tap.OK(other.BeginFunc(ctx, func(tx pgx.Tx) error {
		tap.Same(int64(2), number(tx, "SELECT count(*) FROM px"))
		return nil
	}))
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	tx, err := c.BeginTx(ctx, options)
	tap.OK(err)
	tap.Same("repeatable read", text(tx, "SHOW transaction_isolation"))
	fails("25006", tx, "DELETE FROM px")
	tap.OK(tx.Rollback(ctx))
}

func prepared() {
	var crowd []*pgx.Conn
	pids := make([]map[int64]bool, 6)
	for i := 0; i < 6; i++ {
		c := connect("")
		_, err := c.Prepare(ctx, "mine", fmt.Sprintf("SELECT $1::int + %d FROM px WHERE id = 1", i))
		tap.OK(err)
		crowd, pids[i] = append(crowd, c), map[int64]bool{}
	}
	hasMoved := false
	for turn := 0; turn < 8; turn++ {
		var open []pgx.Tx
		for i, c := range crowd {
			tx, err := c.Begin(ctx)
			tap.OK(err)
			tap.Same(int64(turn*100+i), number(tx, "mine", turn*100))
			pids[i][number(tx, "SELECT pg_backend_pid()")] = true
			hasMoved = hasMoved || len(pids[i]) > 1
			open = append(open, tx)
		}
		for i := range open {
			tap.OK(open[(turn+i)%6].Commit(ctx))
		}
	}
	for i, c := range crowd {
		tap.Same(int64(7+i), number(c, "mine", 7))
		tap.OK(c.Deallocate(ctx, "mine"))
		tap.OK(c.Close(ctx))
	}
	tap.Same(tap.Pooled, hasMoved)
}

func manyStatements() {
	c := connect("statement_cache_capacity=20")
	defer c.Close(ctx)
	described := connect("statement_cache_mode=describe")
	defer described.Close(ctx)
	for turn := 0; turn < 2; turn++ {
		for n := 0; n < 150; n++ {
			tap.Same(int64(n+turn), number(c, fmt.Sprintf("SELECT $1::int8 + %d", n), turn))
			tap.Same(int64(n+turn), number(described, fmt.Sprintf("SELECT $1::int8 + %d", n), turn))
		}
	}
}

func batches() {
	c := connect("")
	defer c.Close(ctx)
	var batch pgx.Batch
	for n := 100; n < 1100; n++ {
		batch.Queue("INSERT INTO px VALUES ($1, $2)", n, tap.Horse)
	}
	batch.Queue("SELECT count(*) FROM px WHERE id >= $1", 100)
	results := c.SendBatch(ctx, &batch)
	for n := 100; n < 1100; n++ {
		_, err := results.Exec()
		tap.OK(err)
	}
	var count int
	tap.OK(results.QueryRow().Scan(&count))
	tap.Same(1000, count)
	tap.OK(results.Close())

	var bad pgx.Batch // one implicit transaction: the error undoes all of it
	bad.Queue("INSERT INTO px VALUES (2000, 'undone')")
	bad.Queue("SELECT 1 / $1::int", 0)
	bad.Queue("INSERT INTO px VALUES (2001, 'never')")
	tap.Fails("22012", c.SendBatch(ctx, &bad).Close(), state)
	tap.Same(int64(0), number(c, "SELECT count(*) FROM px WHERE id >= 2000"))
}

func copies() {
	c := connect("")
	defer c.Close(ctx)
	var rows [][]interface{}
	for n := 10000; n < 30000; n++ {
		rows = append(rows, []interface{}{int32(n), tap.Horse + "\t\n"})
	}
	count, err := c.CopyFrom(ctx, pgx.Identifier{"px"}, []string{"id", "note"}, pgx.CopyFromRows(rows))
	tap.OK(err)
	tap.Same(int64(20000), count)
	_, err = c.CopyFrom(ctx, pgx.Identifier{"px"}, []string{"id", "note"}, pgx.CopyFromRows(rows[:1]))
	tap.Fails("23505", err, state)
	var out lines
	_, err = c.PgConn().CopyTo(ctx, &out, "COPY (SELECT id FROM px WHERE id >= 10000) TO STDOUT")
	tap.OK(err)
	tap.Same(lines(20000), out)
}

type lines int

func (count *lines) Write(data []byte) (int, error) {
	for _, b := range data {
		if b == '\n' {
			*count++
		}
	}
	return len(data), nil
}

func notifications() {
	listener, other := connect(""), connect("")
	defer listener.Close(ctx)
	defer other.Close(ctx)
	run(listener, "LISTEN px_news")
	run(other, "NOTIFY px_news, 'hello'")
	got, err := listener.WaitForNotification(ctx)
	tap.OK(err)
	tap.Same("hello", got.Payload)
}

func cancels() {
	for _, begin := range []string{"SELECT 1", "BEGIN"} {
		c := connect("")
		defer c.Close(ctx)
		run(c, begin)
		asked := make(chan error)
		go func() {
			_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
			asked <- err
		}()
		for waiting := true; waiting; {
			select {
			case err := <-asked:
				tap.Fails("57014", err, state)
				waiting = false
			case <-time.After(50 * time.Millisecond): // one that came before the statement did nothing
				tap.OK(c.PgConn().CancelRequest(ctx))
			}
		}
		run(c, "ROLLBACK")
		tap.Same(int64(1), number(c, "SELECT 1"))
	}
	c := connect("")
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	_, err := c.Exec(short, "SELECT pg_sleep(60)")
	tap.Same(true, err != nil && c.IsClosed())
}

func errorsAndSettings() {
	c := connect("statement_timeout=12345 application_name=one")
	defer c.Close(ctx)
	fails("42P01", c, "SELECT * FROM nowhere")
	fails("22012", c, "SELECT 1 / $1::int", 0)
	fails("42601", c, "SELEKT 1")
	run(c, "SET DateStyle = 'German'")
	tap.Same("29.02.2024", text(c, "SELECT '2024-02-29'::date::text"))
	tap.Same("12345ms", text(c, "SHOW statement_timeout"))
	run(c, "CREATE TABLE px_ddl AS SELECT 7 AS a")
	defer run(c, "DROP TABLE px_ddl")
	for turn := 0; turn < 3; turn++ {
		tap.Same(int64(7), number(c, "SELECT a FROM px_ddl"))
	}
	other := connect("")
	defer other.Close(ctx)
	run(other, "ALTER TABLE px_ddl ALTER a TYPE bigint")
	var n int64 // pgx forgets the statement when it hears of it; the next one finds it new
	if err := c.QueryRow(ctx, "SELECT a FROM px_ddl").Scan(&n); err != nil {
		tap.Fails("0A000", err, state)
		n = number(c, "SELECT a FROM px_ddl")
	}
	tap.Same(int64(7), n)
}

func largeObjects() {
	c := connect("")
	defer c.Close(ctx)
	tap.OK(c.BeginFunc(ctx, func(tx pgx.Tx) error {
		objects := tx.LargeObjects()
		oid, err := objects.Create(ctx, 0)
		tap.OK(err)
		object, err := objects.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
		tap.OK(err)
		blob := make([]byte, 100000)
		_, err = object.Write(blob)
		tap.OK(err)
		size, err := object.Tell()
		tap.OK(err)
		tap.Same(int64(100000), size)
		return objects.Unlink(ctx, oid)
	}))
}

func pool() {
	p, err := pgxpool.Connect(ctx, "pool_max_conns=30")
	tap.OK(err)
	defer p.Close()
	var all sync.WaitGroup
	problems := make(chan interface{}, 50)
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			defer func() { problems <- recover() }()
			for n := 0; n < 20; n++ {
				tap.Same(int64(i*n), number(p, "SELECT $1::int8 * $2::int8", i, n))
				run(p, "INSERT INTO px VALUES ($1, 'pool') ON CONFLICT (id) DO UPDATE SET note = $2", 50000+i, tap.Horse)
			}
		}(i)
	}
	all.Wait()
	for i := 0; i < 50; i++ {
		if problem := <-problems; problem != nil {
			panic(problem)
		}
	}
}

func restarted() {
	idle, busy := connect(""), connect("")
	p, err := pgxpool.Connect(ctx, "")
	tap.OK(err)
	defer p.Close()
	tap.Same(int64(7), number(idle, "SELECT $1::int8", 7))
	tap.Same(int64(7), number(p, "SELECT $1::int8", 7))
	tx, err := busy.Begin(ctx)
	tap.OK(err)
	run(tx, "INSERT INTO px VALUES (90000, 'lost')")
	tap.Restart()
	_, err = tx.Exec(ctx, "SELECT 1")
	tap.Same(true, err != nil && busy.IsClosed())
	if tap.Pooled {
		tap.Same(int64(8), number(idle, "SELECT $1::int8", 8))
		tap.Same(int64(8), number(p, "SELECT $1::int8", 8))
	}
	again := connect("")
	defer again.Close(ctx)
	tap.Same(int64(0), number(again, "SELECT count(*) FROM px WHERE id = 90000"))
}

func main() {
	tap.Case("connects with SCRAM over TLS, as to a primary", connects)
	tap.Case("types in binary and by the simple protocol, on replicas and in a transaction", types)
	tap.Case("transactions and savepoints", savepoints)
	tap.Case("prepared statements over transactions and server connections", prepared)
	tap.Case("more statements than it keeps; statements that it only describes", manyStatements)
	tap.Case("batches", batches)
	tap.Case("COPY in and out", copies)
	tap.Case("LISTEN and NOTIFY", notifications)
	tap.Case("cancel, on a replica and in a transaction", cancels)
	tap.Case("errors, settings, a changed result type", errorsAndSettings)
	tap.Case("large objects", largeObjects)
	tap.Case("a pool", pool)
	tap.Case("a restart of the servers", restarted)
	tap.Done()
}
