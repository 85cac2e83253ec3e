/*
 * A session and its connections: sends the groups of a plan, takes the results, writes the history.
 *
 * Owns: the connections and what is in flight on them. Called in the loop's thread.
 * Invariant: at most one group of statements is in flight in a session, so the lines of a session stand in
 * the history in the order in which the session lived them. Every access of a group gets exactly one line,
 * whatever happens to it.
 * Not here: what to do next (plan.c), when (workload.c).
 */
#include "tests/chaos/workload.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static void end_plan(struct session *s, const char *outcome);

/* Recording */

static void count_state(const char *state)
{
	int i;

	for (i = 0; i < sw_count.n_states; i++) {
		if (!strcmp(sw_count.states[i].state, state)) {
			sw_count.states[i].n++;
			return;
		}
	}
	if (sw_count.n_states < MAX_STATES) {
		snprintf(sw_count.states[i].state, sizeof(sw_count.states[i].state), "%s", state);
		sw_count.states[i].n = 1;
		sw_count.n_states++;
	}
}

static const char *how_name(const struct session *s, const struct step *step)
{
	static const char *const names[] = {"simple", "extended", "prepared", "pipeline"};

	if (step->how == HOW_SIMPLE && s->last - s->first > 1)
		return "multi";
	return names[step->how];
}

static void record_step(
        struct session *s, const struct step *step, const char *outcome, int64_t version, const char *state)
{
	bool is_read = step->kind == STEP_READ;

	if (step->kind != STEP_READ && step->kind != STEP_WRITE)
		return; /* begin and end of a transaction are told by the "end" line */
	fprintf(sw_history, "{\"s\":%" PRId64 ",\"t\":%" PRId64 ",\"k\":\"%c\",\"r\":%d", s->number, s->unit,
	        is_read ? 'r' : 'w', step->reg);
	if (version >= 0)
		fprintf(sw_history, ",\"v\":%" PRId64, version);
	fprintf(sw_history, ",\"a\":%" PRId64 ",\"z\":%" PRId64 ",\"o\":\"%s\",\"p\":\"%s\"", s->sent_us,
	        sw_now_us(), outcome, how_name(s, step));
	if (sw_opt.n_links > 1)
		fprintf(sw_history, ",\"n\":%d", (int)(s->at - s->links));
	if (state)
		fprintf(sw_history, ",\"e\":\"%s\"", state);
	fputs("}\n", sw_history);
	if (version >= 0) {
		sw_count.ops++;
		*(is_read ? &sw_count.reads : &sw_count.writes) += 1;
	}
}

/* Every step of the group in flight that has no result yet shares the fate of the one that failed. */
static void record_rest(struct session *s, const char *outcome, const char *state)
{
	for (; s->cur < s->last; s->cur++) {
		record_step(s, &s->plan[s->cur], outcome, -1, state);
		*(outcome[0] == 'u' ? &sw_count.unknown : &sw_count.failed) += 1;
	}
}

static void record_gone(struct session *s, const char *why)
{
	fprintf(sw_history, "{\"s\":%" PRId64 ",\"k\":\"gone\",\"z\":%" PRId64 ",\"e\":\"%s\"}\n", s->number,
	        sw_now_us(), why);
	s->number = ++sw_count.next_session;
}

/* Connections */

void sw_link_connect(struct link *l)
{
	l->conn = PQconnectStart(l->conninfo);
	if (!l->conn)
		sw_die("out of memory");
	l->state = LINK_CONNECTING;
	l->wanted = POLLOUT;
}

static void link_close(struct link *l, int64_t retry_us)
{
	PQfinish(l->conn);
	l->conn = NULL;
	l->state = LINK_DOWN;
	l->retry_us = retry_us;
}

static void link_refused(struct link *l)
{
	if (sw_count.refused++ == 0)
		fprintf(stderr, "workload: first refused connection: %s", PQerrorMessage(l->conn));
	link_close(l, sw_now_us() + RETRY_US);
}

/* The connection of a session is gone: what was in flight is unknown, and so is its transaction. */
void sw_session_lost(struct session *s, struct link *l, const char *why)
{
	bool was_live = l->state == LINK_READY;

	if (s->at == l) {
		record_rest(s, "unknown", why);
		end_plan(s, "unknown");
	}
	if (was_live) {
		sw_count.lost++;
		count_state(why);
		record_gone(s, why);
	}
	link_close(l, sw_now_us() + RETRY_US);
}

/* Ends the causal session on purpose, as an application's pool does with an old connection. */
void sw_session_renew(struct session *s)
{
	record_gone(s, "churn");
	link_close(&s->links[0], 0);
}

void sw_link_flush(struct link *l)
{
	l->wanted = PQflush(l->conn) == 1 ? POLLIN | POLLOUT : POLLIN;
}

void sw_link_advance(struct link *l)
{
	static const char *const read_sql = "SELECT version FROM reg WHERE id = $1";
	static const char *const write_sql =
	        "UPDATE reg SET version = version + 1, writer = $2 WHERE id = $1 RETURNING version";
	PGresult *res;
	bool ok = true;

	if (l->state == LINK_CONNECTING) {
		switch (PQconnectPoll(l->conn)) {
		case PGRES_POLLING_READING:
			l->wanted = POLLIN;
			return;
		case PGRES_POLLING_WRITING:
			l->wanted = POLLOUT;
			return;
		case PGRES_POLLING_OK:
			break;
		default:
			link_refused(l);
			return;
		}
		PQsetnonblocking(l->conn, 1);
		ok = PQsendPrepare(l->conn, "get", read_sql, 1, NULL);
		l->state = LINK_PREPARE_READ;
	} else {
		if (!PQconsumeInput(l->conn)) {
			link_refused(l);
			return;
		}
		while (!PQisBusy(l->conn)) {
			res = PQgetResult(l->conn);
			if (!res) {
				if (l->state == LINK_PREPARE_WRITE) {
					l->state = LINK_READY;
					return;
				}
				ok = PQsendPrepare(l->conn, "put", write_sql, 2, NULL);
				l->state = LINK_PREPARE_WRITE;
				break;
			}
			ok = PQresultStatus(res) == PGRES_COMMAND_OK;
			PQclear(res);
			if (!ok)
				break;
		}
	}
	if (ok)
		sw_link_flush(l);
	else
		link_refused(l);
}

/* Sending */

static int step_sql(const struct session *s, const struct step *step, char *buf, size_t size)
{
	switch (step->kind) {
	case STEP_BEGIN:
		return snprintf(buf, size, "BEGIN");
	case STEP_BEGIN_RO:
		return snprintf(buf, size, "BEGIN READ ONLY");
	case STEP_READ:
		return snprintf(buf, size, "SELECT version FROM reg WHERE id = %d", step->reg);
	case STEP_WRITE:
		return snprintf(buf, size,
		        "UPDATE reg SET version = version + 1, writer = '%" PRId64
		        "' WHERE id = %d RETURNING version",
		        s->number, step->reg);
	case STEP_COMMIT:
		return snprintf(buf, size, "COMMIT");
	default:
		return snprintf(buf, size, "ROLLBACK");
	}
}

static int send_bound(struct session *s, const struct step *step)
{
	static const Oid types[] = {23, 25}; /* int4, text */
	char reg[16], writer[24], sql[160];
	const char *values[] = {reg, writer};
	bool is_read = step->kind == STEP_READ;
	PGconn *conn = s->at->conn;

	snprintf(reg, sizeof(reg), "%d", step->reg);
	snprintf(writer, sizeof(writer), "%" PRId64, s->number);
	if (!is_read && step->kind != STEP_WRITE) {
		step_sql(s, step, sql, sizeof(sql));
		return PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0);
	}
	if (step->how == HOW_PREPARED)
		return PQsendQueryPrepared(
		        conn, is_read ? "get" : "put", is_read ? 1 : 2, values, NULL, NULL, 0);
	if (is_read)
		return PQsendQueryParams(
		        conn, "SELECT version FROM reg WHERE id = $1", 1, types, values, NULL, NULL, 0);
	return PQsendQueryParams(conn,
	        "UPDATE reg SET version = version + 1, writer = $2 WHERE id = $1 RETURNING version", 2, types,
	        values, NULL, NULL, 0);
}

static void send_group(struct session *s)
{
	PGconn *conn = s->at->conn;
	char sql[MAX_STEPS * 128];
	size_t len = 0;
	int i, ok = 1;

	s->first = s->cur = s->last;
	do {
		s->last++;
	} while (s->last < s->n_steps && s->plan[s->last].joined);
	s->sent_us = sw_now_us();
	if (s->plan[s->first].how == HOW_PIPELINE) {
		ok = PQenterPipelineMode(conn);
		for (i = s->first; ok && i < s->last; i++)
			ok = send_bound(s, &s->plan[i]);
		ok = ok && PQpipelineSync(conn);
	} else if (s->plan[s->first].how == HOW_SIMPLE) {
		for (i = s->first; i < s->last; i++) {
			if (i > s->first)
				len += (size_t)snprintf(sql + len, sizeof(sql) - len, "; ");
			len += (size_t)step_sql(s, &s->plan[i], sql + len, sizeof(sql) - len);
		}
		ok = PQsendQuery(conn, sql);
	} else {
		ok = send_bound(s, &s->plan[s->first]);
	}
	if (ok)
		sw_link_flush(s->at);
	else
		sw_session_lost(s, s->at, "send");
}

/* A read may go to any replica that is up; with one link there is nothing to choose. */
static struct link *choose_link(struct session *s)
{
	struct link *l;
	int i;

	if (sw_opt.n_links == 1 || !sw_plan_only_reads(s))
		return &s->links[0];
	for (i = 0; i < 4; i++) {
		l = &s->links[1 + sw_random_below(s, sw_opt.n_links - 1)];
		if (l->state == LINK_READY)
			return l;
	}
	return &s->links[0];
}

void sw_session_start(struct session *s)
{
	sw_plan_make(s);
	s->at = choose_link(s);
	s->unit = s->n_steps > 1 ? ++s->n_units : 0;
	s->first = s->cur = s->last = 0;
	s->failed = s->unknown = s->aborted = false;
	send_group(s);
}

static void end_plan(struct session *s, const char *outcome)
{
	if (s->unit) {
		fprintf(sw_history,
		        "{\"s\":%" PRId64 ",\"t\":%" PRId64 ",\"k\":\"end\",\"z\":%" PRId64
		        ",\"o\":\"%s\"}\n",
		        s->number, s->unit, sw_now_us(), outcome);
		sw_count.units++;
	}
	s->at = NULL;
	s->unit = 0;
	s->wake_us =
	        sw_opt.think_us && !s->is_hurried ? sw_now_us() + sw_random_below(s, 2 * sw_opt.think_us) : 0;
}

/* Receiving */

/* These leave open whether a statement took effect: lost connections, shutdowns, resolution unknown. */
static bool is_unknown_state(const char *state)
{
	return !strncmp(state, "08", 2) || !strncmp(state, "57P0", 4);
}

static void step_failed(struct session *s, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	state = state ? state : "none";
	count_state(state);
	s->failed = true;
	s->unknown |= is_unknown_state(state);
	record_rest(s, is_unknown_state(state) ? "unknown" : "failed", state);
}

static void on_result(struct session *s, const PGresult *res)
{
	struct step *step = &s->plan[s->cur];
	ExecStatusType status = PQresultStatus(res);

	if (s->cur >= s->last) {
		if (status == PGRES_FATAL_ERROR && !s->failed)
			step_failed(s,
			        res); /* refused at the very end: the implicit transaction did not commit */
		return;
	}
	if (status == PGRES_TUPLES_OK && (step->kind == STEP_READ || step->kind == STEP_WRITE)) {
		/* A row that is not there yet is older than every version of it. */
		record_step(
		        s, step, "ok", PQntuples(res) ? strtoll(PQgetvalue(res, 0, 0), NULL, 10) : 0, NULL);
		s->cur++;
	} else if (status == PGRES_COMMAND_OK) {
		if (step->kind == STEP_COMMIT && strcmp(PQcmdStatus((PGresult *)res), "COMMIT"))
			s->failed = true; /* a COMMIT that answers ROLLBACK */
		s->cur++;
	} else {
		step_failed(s, res);
	}
}

static void end_group(struct session *s)
{
	PGTransactionStatusType status = PQtransactionStatus(s->at->conn);
	bool rolled_back = s->plan[s->n_steps - 1].kind == STEP_ROLLBACK;

	if (s->cur < s->last) { /* fewer results than statements: the server, or what stands before it, lost
		                   some */
		s->failed = s->unknown = true;
		count_state("short");
		record_rest(s, "unknown", "short");
	}
	if (s->failed && status != PQTRANS_IDLE && !s->aborted) {
		s->aborted = true;
		s->n_steps = s->last = 0;
		sw_plan_add(s, STEP_ROLLBACK, HOW_SIMPLE, 0, false);
		send_group(s);
	} else if (s->failed && status != PQTRANS_IDLE) {
		sw_session_lost(s, s->at, "stuck");
	} else if (!s->failed && s->last < s->n_steps) {
		send_group(s);
	} else {
		end_plan(s, s->unknown ? "unknown" : s->failed || rolled_back ? "failed" : "ok");
	}
}

void sw_session_read(struct session *s, struct link *l)
{
	bool pipeline, over = false;
	PGresult *res;

	if (!PQconsumeInput(l->conn) || PQstatus(l->conn) == CONNECTION_BAD) {
		sw_session_lost(s, l, "lost");
		return;
	}
	sw_link_flush(l);
	if (s->at != l)
		return; /* a notice between plans */
	pipeline = PQpipelineStatus(l->conn) != PQ_PIPELINE_OFF;
	while (!over && !PQisBusy(l->conn)) {
		res = PQgetResult(l->conn);
		if (!res)
			over = !pipeline;
		else if (PQresultStatus(res) == PGRES_PIPELINE_SYNC)
			over = true;
		else
			on_result(s, res);
		PQclear(res);
	}
	if (PQstatus(l->conn) == CONNECTION_BAD) /* a FATAL error is a result first and an end of file next */
		sw_session_lost(s, l, "lost");
	else if (over && pipeline && !PQexitPipelineMode(l->conn))
		sw_session_lost(s, l, "pipeline");
	else if (over)
		end_group(s);
}

bool sw_session_ready(const struct session *s)
{
	int i;

	if (s->links[0].state != LINK_READY)
		return false;
	for (i = 1; i < sw_opt.n_links; i++)
		if (s->links[i].state == LINK_READY)
			return true;
	return sw_opt.n_links == 1;
}
