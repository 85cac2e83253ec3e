// lib/pq under database/sql: unnamed statements, statements of a database handle, COPY as a statement, its listener.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"tap"
)

var ctx, _ = tap.Within(80)

func open(connections int, more string) *sql.DB {
	db, err := sql.Open("postgres", more)
	tap.OK(err)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

type querier interface {
	QueryRow(string, ...interface{}) *sql.Row
	Exec(string, ...interface{}) (sql.Result, error)
}

func number(q querier, text string, args ...interface{}) (n int64) {
	tap.OK(q.QueryRow(text, args...).Scan(&n))
	return n
}

func run(q querier, text string, args ...interface{}) {
	_, err := q.Exec(text, args...)
	tap.OK(err)
}

func begin(db *sql.DB, options *sql.TxOptions) *sql.Tx {
	tx, err := db.BeginTx(ctx, options)
	tap.OK(err)
	return tx
}

func state(err error) string {
	if problem, is := err.(*pq.Error); is {
		return string(problem.Code)
	}
	return ""
}

func fails(expected string, q querier, text string, args ...interface{}) {
	_, err := q.Exec(text, args...)
	tap.Fails(expected, err, state)
}

func connects() {
	db := open(1, "")
	defer db.Close()
	var user string
	tap.OK(db.QueryRow("SELECT current_user").Scan(&user))
	tap.Same("app", user)
	run(db, "DROP TABLE IF EXISTS lp; CREATE TABLE lp (id int PRIMARY KEY, note text)")
}

func types() {
	at := time.Date(2024, 2, 29, 23, 59, 59, 999999000, time.UTC)
	for _, parameters := range []string{"binary_parameters=no", "binary_parameters=yes"} {
		db := open(1, parameters)
		defer db.Close()
		for turn := 0; turn < 2; turn++ {
			var q querier = db
			if turn == 1 {
				tx := begin(db, nil)
				defer tx.Rollback()
				q = tx
			}
			var (
				n    int64
				text string
				raw  []byte
				then time.Time
				ints pq.Int64Array
				null sql.NullString
				f    float64
			)
			tap.OK(q.QueryRow("SELECT $1::int8, $2::text, $3::bytea, $4::timestamptz, $5::int8[], NULL::text, $6::float8",
				int64(-1)<<63, tap.Horse, []byte{0, 1, 255}, at, pq.Array([]int64{1, -3}), 0.1).
				Scan(&n, &text, &raw, &then, &ints, &null, &f))
			tap.Same([]interface{}{int64(-1) << 63, tap.Horse, []byte{0, 1, 255}, pq.Int64Array{1, -3}, false, 0.1},
				[]interface{}{n, text, raw, ints, null.Valid, f})
			tap.Same(true, at.Equal(then))
		}
	}
}

func savepoints() {
	db, other := open(2, ""), open(1, "")
	defer db.Close()
	defer other.Close()
	tx := begin(db, nil)
	run(tx, "INSERT INTO lp VALUES ($1, 'kept')", 1)
	run(tx, "SAVEPOINT s")
	fails("23505", tx, "INSERT INTO lp VALUES ($1, 'twice')", 1)
	fails("25P02", tx, "SELECT 1")
	run(tx, "ROLLBACK TO s")
	run(tx, "INSERT INTO lp VALUES ($1, 'kept')", 2)
	tap.OK(tx.Commit())
	seen := begin(other, nil)
	tap.Same(int64(2), number(seen, "SELECT count(*) FROM lp"))
	tap.OK(seen.Commit())
	tx = begin(db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	tap.Same(int64(1), number(tx, "SELECT (current_setting('transaction_isolation') = 'repeatable read')::int"))
	fails("25006", tx, "DELETE FROM lp")
	tap.OK(tx.Rollback())
}

func prepared() {
	db := open(6, "")
	defer db.Close()
	var statements []*sql.Stmt
	for i := 0; i < 4; i++ {
		statement, err := db.Prepare(fmt.Sprintf("SELECT $1::int + %d, pg_backend_pid() FROM lp WHERE id = 1", i))
		tap.OK(err)
		statements = append(statements, statement)
	}
	for turn := 0; turn < 8; turn++ {
		var open []*sql.Tx
		for i := 0; i < 6; i++ {
			tx := begin(db, nil)
			for j, statement := range statements {
				var n, pid int
				tap.OK(tx.Stmt(statement).QueryRow(turn*100).Scan(&n, &pid))
				tap.Same(turn*100+j, n)
			}
			open = append(open, tx)
		}
		for i := range open {
			tap.OK(open[(turn+i)%6].Commit())
		}
	}
	for j, statement := range statements {
		var n, pid int
		tap.OK(statement.QueryRow(7).Scan(&n, &pid))
		tap.Same(7+j, n)
		tap.OK(statement.Close())
	}
}

func severalInOne() {
	db := open(1, "")
	defer db.Close()
	rows, err := db.Query("SELECT 1; SELECT 2")
	tap.OK(err)
	total := 0
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			var n int
			tap.OK(rows.Scan(&n))
			total = total*10 + n
		}
	}
	tap.OK(rows.Close())
	tap.Same(12, total)
	fails("22012", db, "INSERT INTO lp VALUES (50, 'undone'); SELECT 1/0")
	tap.Same(int64(0), number(db, "SELECT count(*) FROM lp WHERE id = 50"))
}

func cursors() {
	db := open(1, "")
	defer db.Close()
	tx := begin(db, nil)
	run(tx, "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5000) n")
	run(tx, "MOVE 4000 IN c")
	tap.Same(int64(4001), number(tx, "FETCH c"))
	run(tx, "CLOSE c")
	tap.OK(tx.Commit())
}

func copies() {
	db := open(1, "")
	defer db.Close()
	tx := begin(db, nil)
	statement, err := tx.Prepare(pq.CopyIn("lp", "id", "note"))
	tap.OK(err)
	for n := 10000; n < 30000; n++ {
		_, err = statement.Exec(n, tap.Horse+"\t\n")
		tap.OK(err)
	}
	_, err = statement.Exec()
	tap.OK(err)
	tap.OK(statement.Close())
	tap.OK(tx.Commit())
	tap.Same(int64(20000), number(db, "SELECT count(*) FROM lp WHERE note = $1", tap.Horse+"\t\n"))
	tx = begin(db, nil)
	statement, err = tx.Prepare(pq.CopyIn("lp", "id", "note"))
	tap.OK(err)
	statement.Exec(1, "twice")
	_, err = statement.Exec()
	tap.Fails("23505", err, state)
	statement.Close()
	tap.OK(tx.Rollback())
	tap.Same(int64(1), number(db, "SELECT 1"))
}

func notifications() {
	db := open(1, "")
	defer db.Close()
	listener := pq.NewListener("", time.Second, time.Minute, nil)
	defer listener.Close()
	tap.OK(listener.Listen("lp_news"))
	run(db, "NOTIFY lp_news, 'hello'")
	select {
	case got := <-listener.Notify:
		tap.Same("hello", got.Extra)
	case <-ctx.Done():
		panic("no notification")
	}
	tap.OK(listener.Ping())
}

func cancels() {
	db := open(2, "")
	defer db.Close()
	for _, inTransaction := range []bool{false, true} {
		short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		var err error
		if inTransaction {
			tx, _ := db.BeginTx(ctx, nil)
			_, err = tx.ExecContext(short, "SELECT pg_sleep(60)")
			tx.Rollback()
		} else {
			_, err = db.ExecContext(short, "SELECT pg_sleep(60)")
		}
		tap.Fails("57014", err, state)
		tap.Same(int64(1), number(db, "SELECT 1"))
	}
}

func errorsAndSettings() {
	db := open(1, "statement_timeout=12345 search_path=pg_catalog,public")
	defer db.Close()
	fails("42P01", db, "SELECT * FROM nowhere")
	fails("22012", db, "SELECT 1 / $1::int", 0)
	fails("42601", db, "SELEKT 1")
	tap.Same(int64(12345), number(db, "SELECT replace(current_setting('statement_timeout'), 'ms', '')::int"))
	run(db, "SET IntervalStyle = 'iso_8601'")
	var text string
	tap.OK(db.QueryRow("SELECT interval '1 day 2 hours'").Scan(&text))
	tap.Same("P1DT2H", text)
}

func restarted() {
	idle, busy := open(1, ""), open(1, "")
	defer idle.Close()
	defer busy.Close()
	statement, err := idle.Prepare("SELECT $1::int")
	tap.OK(err)
	tap.OK(idle.Ping())
	tx := begin(busy, nil)
	run(tx, "INSERT INTO lp VALUES (90000, 'lost')")
	tap.Restart()
	_, err = tx.Exec("SELECT 1")
	tap.Same(true, err != nil)
	tx.Rollback()
	if tap.Pooled {
		var n int
		tap.OK(statement.QueryRow(8).Scan(&n))
		tap.Same(8, n)
	}
	if !tap.Pooled {
		idle.Exec("SELECT 1") // finds out that the connection is dead
	}
	run(idle, "SELECT 1")
	tap.Same(int64(0), number(busy, "SELECT count(*) FROM lp WHERE id = 90000"))
}

func main() {
	tap.Case("connects with SCRAM over TLS", connects)
	tap.Case("types, parameters in text and binary, on replicas and in a transaction", types)
	tap.Case("transactions and savepoints", savepoints)
	tap.Case("prepared statements over transactions and server connections", prepared)
	tap.Case("several statements in one query", severalInOne)
	tap.Case("cursors", cursors)
	tap.Case("COPY in", copies)
	tap.Case("LISTEN and NOTIFY", notifications)
	tap.Case("cancel, on a replica and in a transaction", cancels)
	tap.Case("errors and settings", errorsAndSettings)
	tap.Case("a restart of the servers", restarted)
	tap.Done()
}
