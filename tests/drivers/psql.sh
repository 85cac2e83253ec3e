#!/bin/sh
# psql, and pg_dump with pg_restore.
set -u
. "$DRIVERS_LIB/tap.sh"

sql() {
	psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

horse="žluťoučký 'kůň' \"\\ 🐎"

sql -c "DROP TABLE IF EXISTS ps" -c "CREATE TABLE ps (id int PRIMARY KEY, note text)" 2>/dev/null

connects() {
	has "$(sql -c '\conninfo' -d 'channel_binding=require')" "SSL connection (protocol: TLSv1.3"
	is_pooled && sql -d 'sslmode=disable' -c 'SELECT 1' && return 1
	same "UTF8" "$(sql -c '\encoding')"
}

several_in_one() {
	same "1
2
$horse" "$(sql -c "SELECT 1; SELECT 2; SELECT '$(echo "$horse" | sed "s/'/''/g")'")"
	sql -c "INSERT INTO ps VALUES (1, 'undone'); SELECT 1/0; INSERT INTO ps VALUES (2, 'undone')" && return 1
	same 0 "$(sql -c 'SELECT count(*) FROM ps')"
	sql -1 -c "INSERT INTO ps VALUES (1, 'kept')" -c "SELECT count(*) FROM ps"
	same 1 "$(sql -c 'SELECT count(*) FROM ps')"
}

meta_commands() {
	out=$(sql <<-'END'
		SELECT 7 AS seven, 'a b' AS text \gset mine_
		SELECT :mine_seven + 1, :'mine_text';
		SELECT 1::int2 AS a, '{}'::jsonb AS b \gdesc
		SELECT format('SELECT %s * 10', n) FROM generate_series(1, 2) n \gexec
		SELECT x, y, x * y FROM generate_series(1, 2) x, generate_series(3, 4) y \crosstabview
	END
	)
	same "8|a b
a|smallint
b|jsonb
10
20
1|3|4
2|6|8" "$out"
}

savepoints() {
	out=$(psql -X -q -A -t -v ON_ERROR_ROLLBACK=on 2>/dev/null <<-'END'
		BEGIN;
		INSERT INTO ps VALUES (10, 'kept');
		INSERT INTO ps VALUES (10, 'twice');
		SELECT 'after the error';
		SAVEPOINT s;
		INSERT INTO ps VALUES (11, 'undone');
		ROLLBACK TO s;
		COMMIT AND CHAIN;
		INSERT INTO ps VALUES (12, 'kept, too');
		COMMIT;
		SELECT string_agg(id::text, ',' ORDER BY id) FROM ps WHERE id >= 10;
	END
	)
	same "after the error
10,12" "$out"
}

cursors() {
	echo "SELECT n FROM generate_series(1, 200000) n" | sql -v FETCH_COUNT=999 >fetched
	seq 1 200000 | cmp - fetched
	out=$(sql <<-'END'
		BEGIN;
		DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 100) n;
		FETCH 2 FROM c;
		MOVE ABSOLUTE 50 IN c;
		COMMIT;
		FETCH c;
		FETCH BACKWARD 1 FROM c;
		CLOSE c;
	END
	)
	same "1
2
51
50" "$out"
}

copies() {
	sql -c "COPY (SELECT n, 'row' || n FROM generate_series(1000, 20999) n) TO STDOUT" >rows
	same 20000 "$(wc -l <rows)"
	sql -c "\\copy ps FROM rows"
	sql -c "COPY (SELECT * FROM ps WHERE id >= 1000 ORDER BY id) TO STDOUT" | cmp - rows
	sql -c "\\copy ps TO binary WITH (FORMAT binary)" -c "BEGIN" -c "TRUNCATE ps" \
		-c "\\copy ps FROM binary (FORMAT binary)" -c "COMMIT"
	same 20003 "$(sql -c 'SELECT count(*) FROM ps')"
	# An error in the middle of COPY leaves the session usable.
	out=$(printf '%s\n' '\copy ps FROM stdin' '30000	a' 'seven	b' '\.' "SELECT 'usable';" | psql -X -q -A -t 2>/dev/null)
	same "usable" "$out"
}

notifications() {
	out=$(sql <<-'END'
		LISTEN ps_news;
		\! psql -X -q -c "NOTIFY ps_news, 'from another'"
		NOTIFY ps_news, 'from myself';
		SELECT 1;
	END
	)
	has "$out" '"ps_news" with payload "from another"'
	has "$out" '"ps_news" with payload "from myself"'
}

sql_prepared() {
	same "42
43" "$(sql -c "PREPARE p (int) AS SELECT \$1 + 1" -c "EXECUTE p(41)" -c "BEGIN" -c "EXECUTE p(42)" -c "COMMIT" \
		-c "DEALLOCATE p")"
}

catalogs() {
	has "$(sql -c '\d ps')" 'note|text'
	has "$(psql -X -c '\d ps')" '"ps_pkey" PRIMARY KEY, btree (id)'
	has "$(sql -c '\dt+ ps')" 'public|ps|table|app|permanent|heap'
	for command in '\l' '\du' '\dn' '\di' '\df pg_catalog.now' '\dT int*' '\dx' '\sf now' '\z ps' '\dconfig work_mem'; do
		[ -n "$(sql -c "$command")" ]
	done
	sql -c "CREATE TABLE ps_new (a int)" -c '\d ps_new' -c "DROP TABLE ps_new"
}

is_asleep() {
	[ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%ps_cancel%' AND wait_event = 'PgSleep'")" = 1 ]
}

cancel() {
	psql -X -v ON_ERROR_STOP=1 -c "BEGIN" -c "SELECT pg_sleep(60) AS ps_cancel" >cancelled 2>&1 </dev/null &
	until_true 20 is_asleep
	kill -INT $!
	wait $! && return 1
	has "$(cat cancelled)" "canceling statement due to user request"
}

large_objects() {
	head -c 300000 /dev/urandom >blob
	sql -c '\lo_import blob' -c '\lo_export :LASTOID blob2' -c '\lo_unlink :LASTOID'
	cmp blob blob2
}

settings() {
	same "29.02.2024
on
29.02.2024" "$(PGOPTIONS='-c DateStyle=German' sql -c "SELECT '2024-02-29'::date" -c 'BEGIN READ ONLY' \
		-c 'SHOW transaction_read_only' -c 'COMMIT' -c '\c' -c "SELECT '2024-02-29'::date")"
	same "serializable" "$(sql -c 'BEGIN ISOLATION LEVEL SERIALIZABLE' -c 'SHOW transaction_isolation' -c 'COMMIT')"
}

dump() {
	before=$(sql -c "SELECT md5(string_agg(ps::text, '' ORDER BY id)) FROM ps")
	pg_dump -Fd -j 2 -t ps -f dumped
	sql -c "DROP TABLE ps"
	pg_restore -j 2 -d app dumped
	same "$before" "$(sql -c "SELECT md5(string_agg(ps::text, '' ORDER BY id)) FROM ps")"
	has "$(pg_dump --serializable-deferrable -s -t ps)" "CREATE TABLE public.ps"
}

restarted() {
	mkfifo questions
	sql <questions >answers 2>&1 &
	exec 4>questions
	echo 'SELECT 1; \! touch asked' >&4
	until_true 20 test -e asked
	restart
	echo 'SELECT 2;' >&4
	exec 4>&-
	if is_pooled; then
		wait $!
		same "1
2" "$(cat answers)"
	else
		wait $! && return 1
	fi
	same 20003 "$(sql -c 'SELECT count(*) FROM ps')"
}

check "connects with SCRAM, bound to its TLS channel" connects
check "several statements in one query" several_in_one
check "\\gset, \\gdesc, \\gexec, \\crosstabview" meta_commands
check "transactions and savepoints, ON_ERROR_ROLLBACK" savepoints
check "cursors: FETCH_COUNT, SCROLL, WITH HOLD" cursors
check "COPY in and out, text and binary" copies
check "LISTEN and NOTIFY" notifications
check "PREPARE and EXECUTE" sql_prepared
check "the catalog's commands" catalogs
check "cancel by Ctrl-C" cancel
check "large objects" large_objects
check "settings follow the session" settings
check "pg_dump and pg_restore with two jobs" dump
check "a restart of the servers" restarted
finish
