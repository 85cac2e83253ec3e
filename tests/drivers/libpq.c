/*
 * libpq: simple and extended protocol, text and binary, pipelines, COPY, large objects, cancel, reset.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>

#include <libpq-fe.h>
#include <libpq/libpq-fs.h>

#include "tap.h"

#define CROWD 6

enum { INT4 = 23 };

static char shown[1000]; /* the last value(), which outlives its result */

static PGconn *open_with(const char *conninfo)
{
	PGconn *c = PQconnectdb(conninfo);

	if (PQstatus(c) != CONNECTION_OK)
		tap_fail(__LINE__, "a connection", PQerrorMessage(c));
	return c;
}

/* The SQLSTATE of a result, or "00000"; clears it. */
static const char *state_of(PGresult *result)
{
	static char state[6];
	const char *found = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	snprintf(state, sizeof state, "%s", found ? found : result ? "00000" : "none");
	PQclear(result);
	return state;
}

static void run(PGconn *c, const char *sql)
{
	CHECK_TEXT("00000", state_of(PQexec(c, sql)));
}

static const char *value_of(PGresult *result)
{
	const char *error = PQresultErrorMessage(result);

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
		snprintf(shown, sizeof shown, "%s", PQgetvalue(result, 0, 0));
	else
		snprintf(shown, sizeof shown, "no row: %s", error);
	PQclear(result);
	return shown;
}

static const char *value(PGconn *c, const char *sql)
{
	return value_of(PQexec(c, sql));
}

static void connects(void)
{
	PGconn *c = open_with("channel_binding=require target_session_attrs=read-write");

	CHECK(PQsslInUse(c));
	CHECK_TEXT("TLSv1.3", PQsslAttribute(c, "protocol"));
	CHECK_TEXT("app", value(c, "SELECT current_user"));
	CHECK(PQserverVersion(c) >= 150000);
	CHECK_TEXT("on", PQparameterStatus(c, "standard_conforming_strings"));
	PQfinish(c);
	run(c = open_with(""), "DROP TABLE IF EXISTS lq; CREATE TABLE lq (id int PRIMARY KEY, note text)");
	PQfinish(c);
}

static void parameters(void)
{
	PGconn *c = open_with("");
	uint32_t number = htonl(42);
	const char *const values[] = {(const char *)&number, "\0\1\377", NULL};
	const int lengths[] = {4, 3, 0}, formats[] = {1, 1, 0};
	const Oid types[] = {INT4, 0, 0};

	for (int binary = 0; binary <= 1; binary++) {
		PGresult *r = PQexecParams(
		        c, "SELECT $1 + 1, $2::bytea, $3::text", 3, types, values, lengths, formats, binary);
		CHECK(PQntuples(r) == 1 && PQgetisnull(r, 0, 2) && PQfformat(r, 0) == binary);
		if (binary) {
			CHECK(ntohl(*(uint32_t *)PQgetvalue(r, 0, 0)) == 43);
			CHECK(PQgetlength(r, 0, 1) == 3 && memcmp(PQgetvalue(r, 0, 1), "\0\1\377", 3) == 0);
		} else {
			CHECK_TEXT("43", PQgetvalue(r, 0, 0));
			CHECK_TEXT("\\x0001ff", PQgetvalue(r, 0, 1));
		}
		PQclear(r);
	}
	PQfinish(c);
}

static void savepoints(void)
{
	PGconn *c = open_with(""), *other = open_with("");

	run(c, "BEGIN; INSERT INTO lq VALUES (1, 'kept'); SAVEPOINT s");
	CHECK_TEXT("23505", state_of(PQexec(c, "INSERT INTO lq VALUES (1, 'twice')")));
	CHECK(PQtransactionStatus(c) == PQTRANS_INERROR);
	CHECK_TEXT("25P02", state_of(PQexec(c, "SELECT 1")));
	run(c, "ROLLBACK TO s; INSERT INTO lq VALUES (2, 'kept')");
	CHECK(PQtransactionStatus(c) == PQTRANS_INTRANS);
	run(c, "COMMIT");
	CHECK(PQtransactionStatus(c) == PQTRANS_IDLE);
	CHECK_TEXT("2", value(c, "SELECT count(*) FROM lq"));
	run(other, "BEGIN");
	CHECK_TEXT("2", value(other, "SELECT count(*) FROM lq"));
	run(other, "COMMIT");
	PQfinish(c);
	PQfinish(other);
}

static void prepared(void)
{
	PGconn *crowd[CROWD];
	bool has_moved = false;
	int pids[CROWD] = {0};

	for (int i = 0; i < CROWD; i++) {
		crowd[i] = open_with("");
		/* The same name means another statement in each session. */
		char sql[200];
		snprintf(sql, sizeof sql, "SELECT $1::int + %d, pg_backend_pid() FROM lq WHERE id = 1", i);
		CHECK_TEXT("00000", state_of(PQprepare(crowd[i], "mine", sql, 0, NULL)));
	}
	for (int turn = 0; turn < 8; turn++) {
		for (int i = 0; i < CROWD; i++) {
			char text[20], expected[20];
			const char *const values[] = {text};
			snprintf(text, sizeof text, "%d", turn * 100);
			snprintf(expected, sizeof expected, "%d", turn * 100 + i);
			run(crowd[i], "BEGIN");
			PGresult *r = PQexecPrepared(crowd[i], "mine", 1, values, NULL, NULL, 0);
			CHECK(PQntuples(r) == 1);
			int pid = atoi(PQgetvalue(r, 0, 1));
			has_moved |= pids[i] && pids[i] != pid;
			pids[i] = pid;
			CHECK_TEXT(expected, value_of(r));
		}
		for (int i = 0; i < CROWD; i++)
			run(crowd[(turn + i) % CROWD], "COMMIT");
	}
	for (int i = 0; i < CROWD; i++) {
		PGresult *r = PQdescribePrepared(crowd[i], "mine");
		CHECK(PQnparams(r) == 1 && PQparamtype(r, 0) == INT4 && PQnfields(r) == 2);
		PQclear(r);
		run(crowd[i], "DEALLOCATE mine");
		CHECK_TEXT("26000", state_of(PQexecPrepared(crowd[i], "mine", 0, NULL, NULL, NULL, 0)));
		PQfinish(crowd[i]);
	}
	CHECK(has_moved == tap_is_pooled());
}

static void single_rows_and_cursors(void)
{
	PGconn *c = open_with("");
	PGresult *r;
	int rows = 0;

	CHECK(PQsendQuery(c, "SELECT n FROM generate_series(1, 10000) n") && PQsetSingleRowMode(c));
	for (; (r = PQgetResult(c)) != NULL; PQclear(r))
		rows += PQresultStatus(r) == PGRES_SINGLE_TUPLE;
	CHECK(rows == 10000);
	run(c, "BEGIN; DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 10) n; MOVE 7 IN c");
	CHECK_TEXT("8", value(c, "FETCH c"));
	r = PQdescribePortal(c, "c");
	CHECK(PQnfields(r) == 1 && PQftype(r, 0) == INT4);
	PQclear(r);
	run(c, "CLOSE c; COMMIT");
	CHECK_TEXT("34000", state_of(PQexec(c, "FETCH c")));
	PQfinish(c);
}

/* Sends n numbers as statements of a pipeline and a Sync. */
static void send_numbers(PGconn *c, int from, int to)
{
	for (int n = from; n < to; n++) {
		char text[20];
		const char *const values[] = {text};
		snprintf(text, sizeof text, "%d", n);
		CHECK(PQsendQueryParams(c, "SELECT 10 / $1::int", 1, NULL, values, NULL, NULL, 0));
	}
	CHECK(PQpipelineSync(c));
}

/* The next statement's status, SQLSTATE read on the way; the NULL that ends it is taken too. */
static ExecStatusType next(PGconn *c)
{
	PGresult *r = PQgetResult(c);
	ExecStatusType status = PQresultStatus(r);

	snprintf(shown, sizeof shown, "%s", PQresultErrorMessage(r));
	PQclear(r);
	if (status != PGRES_PIPELINE_SYNC)
		CHECK(PQgetResult(c) == NULL);
	return status;
}

static void pipelines(void)
{
	PGconn *c = open_with("");

	CHECK(PQenterPipelineMode(c));
	send_numbers(c, 1, 200);
	send_numbers(c, -2, 3); /* 1/0 in the middle */
	CHECK(PQsendQueryParams(c, "INSERT INTO lq VALUES (3, 'pipeline')", 0, NULL, NULL, NULL, NULL, 0));
	CHECK(PQsendQueryParams(c, "SELECT note FROM lq WHERE id = 3", 0, NULL, NULL, NULL, NULL, 0));
	CHECK(PQsendFlushRequest(c));
	CHECK(PQpipelineSync(c));
	for (int n = 1; n < 200; n++)
		CHECK(next(c) == PGRES_TUPLES_OK);
	CHECK(next(c) == PGRES_PIPELINE_SYNC);
	CHECK(next(c) == PGRES_TUPLES_OK && next(c) == PGRES_TUPLES_OK && next(c) == PGRES_FATAL_ERROR);
	CHECK(next(c) == PGRES_PIPELINE_ABORTED && next(c) == PGRES_PIPELINE_ABORTED);
	CHECK(next(c) == PGRES_PIPELINE_SYNC);
	CHECK(next(c) == PGRES_COMMAND_OK && next(c) == PGRES_TUPLES_OK && next(c) == PGRES_PIPELINE_SYNC);

	/* With a flush and no Sync the answer must come. */
	CHECK(PQsendQueryParams(c, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0) && PQsendFlushRequest(c) &&
	        PQflush(c) == 0);
	CHECK(next(c) == PGRES_TUPLES_OK);
	CHECK(PQpipelineSync(c) && next(c) == PGRES_PIPELINE_SYNC && PQexitPipelineMode(c));
	CHECK_TEXT("1", value(c, "SELECT count(*) FROM lq WHERE id = 3"));
	PQfinish(c);
}

static void copies(void)
{
	PGconn *c = open_with("");
	char *line = NULL, row[100];
	int rows = 0, length;

	CHECK(PQresultStatus(PQexec(c, "COPY lq FROM STDIN")) == PGRES_COPY_IN);
	for (int n = 1000; n < 31000; n++) {
		length = snprintf(row, sizeof row, "%d\trow %d\n", n, n);
		CHECK(PQputCopyData(c, row, length) == 1);
	}
	CHECK(PQputCopyEnd(c, NULL) == 1);
	CHECK_TEXT("00000", state_of(PQgetResult(c)));
	CHECK(PQgetResult(c) == NULL);
	PQclear(PQexec(c, "COPY lq FROM STDIN"));
	CHECK(PQputCopyData(c, "5\tnever\n", 8) == 1 && PQputCopyEnd(c, "changed my mind") == 1);
	CHECK_TEXT("57014", state_of(PQgetResult(c)));
	CHECK(PQgetResult(c) == NULL);
	PQclear(PQexec(c, "COPY (SELECT * FROM lq WHERE id >= 1000) TO STDOUT (FORMAT csv)"));
	for (; (length = PQgetCopyData(c, &line, 0)) > 0; PQfreemem(line))
		rows++;
	CHECK(length == -1 && rows == 30000);
	CHECK_TEXT("00000", state_of(PQgetResult(c)));
	CHECK(PQgetResult(c) == NULL);
	PQfinish(c);
}

static void notifications(void)
{
	PGconn *listener = open_with(""), *other = open_with("");
	PGnotify *got;

	run(listener, "LISTEN lq_news");
	run(other, "NOTIFY lq_news, 'hello'");
	while (!(got = PQnotifies(listener))) {
		struct pollfd readable = {.fd = PQsocket(listener), .events = POLLIN};
		CHECK(poll(&readable, 1, 20000) == 1 && PQconsumeInput(listener));
	}
	CHECK_TEXT("hello", got->extra);
	PQfreemem(got);
	PQfinish(listener);
	PQfinish(other);
}

/* A cancel that comes before the statement does nothing, so it is sent until the statement has ended. */
static void cancelled(PGconn *c)
{
	PGcancel *cancel = PQgetCancel(c);
	char error[256];

	CHECK(PQsendQuery(c, "SELECT pg_sleep(60)"));
	for (struct pollfd readable = {.fd = PQsocket(c), .events = POLLIN}; PQisBusy(c); PQconsumeInput(c))
		while (poll(&readable, 1, 50) == 0)
			CHECK(PQcancel(cancel, error, sizeof error));
	CHECK_TEXT("57014", state_of(PQgetResult(c)));
	CHECK(PQgetResult(c) == NULL);
	PQfreeCancel(cancel);
}

static void cancels(void)
{
	PGconn *c = open_with("");

	cancelled(c);
	CHECK_TEXT("1", value(c, "SELECT 1"));
	run(c, "BEGIN; DELETE FROM lq");
	cancelled(c);
	run(c, "ROLLBACK");
	CHECK(strcmp("0", value(c, "SELECT count(*) FROM lq")) != 0);
	PQfinish(c);
}

static void large_objects(void)
{
	PGconn *c = open_with("");
	char back[70000], blob[sizeof back];

	memset(blob, 0xA5, sizeof blob);
	run(c, "BEGIN");
	Oid oid = lo_creat(c, INV_READ | INV_WRITE);
	int fd = lo_open(c, oid, INV_READ | INV_WRITE);
	CHECK(lo_write(c, fd, blob, sizeof blob) == (int)sizeof blob);
	CHECK(lo_lseek64(c, fd, 0, SEEK_SET) == 0);
	CHECK(lo_read(c, fd, back, sizeof back) == (int)sizeof back && memcmp(blob, back, sizeof back) == 0);
	CHECK(lo_close(c, fd) == 0);
	run(c, "COMMIT");
	CHECK(lo_unlink(c, oid) == 1);
	PQfinish(c);
}

static void settings(void)
{
	PGconn *c = open_with("options='-c search_path=pg_catalog -c geqo=off' application_name=one");

	CHECK_TEXT("off", value(c, "SELECT current_setting('geqo')"));
	CHECK(PQsetClientEncoding(c, "LATIN1") == 0);
	CHECK_TEXT("\351", value(c, "SELECT chr(233)"));
	run(c, "SET TimeZone = 'Asia/Tokyo'");
	CHECK_TEXT("Asia/Tokyo", PQparameterStatus(c, "TimeZone"));
	CHECK_TEXT("1970-01-01 09:00:00+09", value(c, "SELECT to_timestamp(0)"));
	CHECK_TEXT("one", PQparameterStatus(c, "application_name"));
	CHECK_TEXT("pg_catalog", value(c, "SHOW search_path"));
	PQfinish(c);
}

static void restarted(void)
{
	PGconn *idle = open_with(""), *busy = open_with("");

	CHECK_TEXT("00000", state_of(PQprepare(idle, "kept", "SELECT 7", 0, NULL)));
	CHECK_TEXT("7", value_of(PQexecPrepared(idle, "kept", 0, NULL, NULL, NULL, 0)));
	run(busy, "BEGIN; INSERT INTO lq VALUES (100000, 'lost')");
	tap_restart();
	PQclear(PQexec(busy, "SELECT 1"));
	CHECK(PQstatus(busy) == CONNECTION_BAD);
	if (tap_is_pooled())
		CHECK_TEXT("7", value_of(PQexecPrepared(idle, "kept", 0, NULL, NULL, NULL, 0)));
	PQreset(busy);
	CHECK(PQstatus(busy) == CONNECTION_OK);
	CHECK_TEXT("0", value(busy, "SELECT count(*) FROM lq WHERE id = 100000"));
	PQfinish(idle);
	PQfinish(busy);
}

int main(void)
{
	tap_case("connects with SCRAM, bound to its TLS channel", connects);
	tap_case("parameters and results in text and binary", parameters);
	tap_case("transactions and savepoints", savepoints);
	tap_case("prepared statements over transactions and server connections", prepared);
	tap_case("single rows and cursors", single_rows_and_cursors);
	tap_case("pipelines, with errors and flushes inside", pipelines);
	tap_case("COPY in and out", copies);
	tap_case("LISTEN and NOTIFY", notifications);
	tap_case("cancel, on a replica and in a transaction", cancels);
	tap_case("large objects by function calls", large_objects);
	tap_case("settings follow the session", settings);
	tap_case("a restart of the servers", restarted);
	return tap_done();
}
