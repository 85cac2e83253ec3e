#!/bin/sh
# pgbench in each of its modes; what it has written must add up.
set -u
. "$DRIVERS_LIB/tap.sh"

sql() {
	psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

bench() {
	pgbench -n -c 8 -j 2 -t 60 "$@"
}

# In a transaction, so on the primary, which has what all others wrote.
adds_up() { # ROWS
	same "$1|t" "$(sql -c 'BEGIN' -c "SELECT (SELECT count(*) FROM pgbench_history),
		(SELECT sum(delta) FROM pgbench_history) = ALL (SELECT sum(abalance) FROM pgbench_accounts
		UNION ALL SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches)" \
		-c 'COMMIT')"
}

initialise() {
	pgbench -i -I dtgvpf -s 1
	pgbench -i -I dtGvp -s 2
	same 200000 "$(sql -c 'SELECT count(*) FROM pgbench_accounts')"
}

tpcb() {
	sql -c "TRUNCATE pgbench_history" -c "UPDATE pgbench_accounts SET abalance = 0 WHERE abalance <> 0" \
		-c "UPDATE pgbench_tellers SET tbalance = 0" -c "UPDATE pgbench_branches SET bbalance = 0"
	bench -M "$mode"
	bench -M "$mode" -C -t 5
	adds_up $((8 * 65))
}

reads() {
	bench -M "$mode" -S -t 500
}

cat >own <<-'END'
	\set n random(1, 1000000000)
	UPDATE pgbench_accounts SET abalance = :n WHERE aid = :client_id + 1;
	SELECT 1 / (abalance = :n)::int FROM pgbench_accounts WHERE aid = :client_id + 1;
	SELECT abalance FROM pgbench_accounts WHERE aid = :client_id + 1 \gset
	\if :abalance <> :n
	SELECT 1 / 0;
	\endif
END
own_writes() {
	bench -M "$mode" -f own
}

cat >pipeline <<-'END'
	\set n random(1, 1000000000)
	\startpipeline
	UPDATE pgbench_accounts SET abalance = :n WHERE aid = :client_id + 1;
	SELECT 1 / (abalance = :n)::int FROM pgbench_accounts WHERE aid = :client_id + 1;
	SELECT :n;
	\endpipeline
	\startpipeline
	SELECT 1 / (abalance = :n)::int FROM pgbench_accounts WHERE aid = :client_id + 1;
	SELECT 2;
	\endpipeline
	BEGIN;
	\startpipeline
	SELECT 1;
	UPDATE pgbench_accounts SET abalance = 0 WHERE aid = :client_id + 1;
	\endpipeline
	END;
END
pipelines() {
	bench -M "$mode" -f pipeline
}

cat >serializable <<-'END'
	BEGIN ISOLATION LEVEL SERIALIZABLE;
	SELECT tbalance AS old FROM pgbench_tellers WHERE tid = 1 \gset
	UPDATE pgbench_tellers SET tbalance = :old + 1 WHERE tid = 1;
	END;
END
serializable() {
	sql -c "UPDATE pgbench_tellers SET tbalance = 0 WHERE tid = 1"
	bench -M "$mode" -f serializable -t 10 --max-tries=1000
	same 80 "$(sql -c "SELECT tbalance FROM pgbench_tellers WHERE tid = 1")"
}

restarted() {
	pgbench -n -S -M "$mode" -c 4 -j 2 -T 6 >reads 2>&1 </dev/null &
	restart
	wait $! || { cat reads; return 1; }
}

check "initialises, on the client's and on the server's side" initialise
for mode in simple extended prepared; do
	check "$mode: TPC-B, also with a connection for each transaction" tpcb
	check "$mode: reads only" reads
	check "$mode: each client reads its own writes" own_writes
	[ $mode = simple ] || check "$mode: pipelines" pipelines
	check "$mode: serializable transactions, repeated until they pass" serializable
done
mode=prepared
if is_pooled; then
	check "readers notice no restart of the servers" restarted
else
	skip "readers notice no restart of the servers"
fi
finish
