/*
 * One node's probe: connect, learn the facts, then sample for ever; when anything is wrong, drop the
 * connection, wait and connect again. Control thread only.
 *
 * One query is in flight at most, and it serves whoever waits. The send time is taken right before the query
 * goes out: the answer then describes a moment after it, which is what the bounds of the board rest on
 * (view.h). One timer serves for the deadline of what is under way and, between queries, for the next start.
 * A node that hangs costs its own probe one deadline and nobody else anything.
 *
 * Not here: what the samples mean for roles and lag (monitor.c, topology.c, health.c).
 */
#include "lagmon/probe.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lagmon/link.h"
#include "proxy/base/clock.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"

/* Facts are read again this often; a change of recovery_min_apply_delay is seen that late. */
#define FACTS_NS (5 * SW_NS_PER_S)

/* A connection that lived this long and then broke is made again at once: it may have been terminated alone
 * (T95). */
#define SETTLED_NS SW_NS_PER_S

/* PREPARE lets facts and statements travel in one round trip. */
#define SAMPLE_NAME   "sw_sample"
#define PROGRESS_NAME "sw_progress"
#define SHOWN_NAME    "sw_shown"

#define TEXT(x)       TEXT_OF_IT(x)
#define TEXT_OF_IT(x) #x

/*
 * The node says in the same row whether it is in recovery, and CASE keeps functions from the role that they
 * fail in. A promotion in the middle fails the query, which is asked again. The position stands before the
 * timeline: a timeline that is newer than its position is true (it is shared up to the fork), the opposite
 * need not be. The insert position, not the written one (T24). The replay position and nothing instead of it
 * (T32).
 */
static const char sample_sql[] =
        "PREPARE " SAMPLE_NAME " AS SELECT r,"
        " CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END,"
        " CASE WHEN r THEN (SELECT received_tli::text FROM pg_stat_wal_receiver)"
        " ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,"
        " CASE WHEN r THEN %s ELSE false END"
        " FROM pg_is_in_recovery() AS r;";

/*
 * The age of an id is its distance from the next one: that is how the next id can be read. A replica knows an id from its
 * xmax on only as one that has not ended, or not at all; of one that it has not heard of txid_status fails.
 */
static const char question_sql[] =
        "PREPARE " PROGRESS_NAME " AS SELECT pg_is_in_recovery(), txid_current_snapshot()::text, age('3'::xid);"
        "PREPARE " SHOWN_NAME "(txid_snapshot, bigint) AS SELECT pg_is_in_recovery(),"
        " CASE WHEN count(*) <= " TEXT(SW_EARLY_XIDS_MAX)
        " AND least($2, txid_snapshot_xmax(txid_current_snapshot())) <= txid_snapshot_xmax($1) + " TEXT(SW_SNAPSHOT_RANGE_MAX)
        " THEN coalesce(string_agg(x::text, ',' ORDER BY x), '') END, 0"
        " FROM (SELECT x FROM txid_snapshot_xmax(txid_current_snapshot()) AS mine, LATERAL ("
        "SELECT txid_snapshot_xip($1) UNION ALL SELECT generate_series(txid_snapshot_xmax($1), "
        "least($2, mine, txid_snapshot_xmax($1) + " TEXT(SW_SNAPSHOT_RANGE_MAX) ") - 1)) AS c(x)"
        " WHERE CASE WHEN x < mine THEN txid_status(x) = 'committed' END LIMIT " TEXT(SW_EARLY_XIDS_MAX) " + 1) AS shown;";

static const char facts_sql[] =
        "SELECT s.system_identifier,"
        " ((extract(epoch from pg_postmaster_start_time()) - 946684800) * 1000000)::bigint,"
        " current_setting('wal_block_size'), pg_size_bytes(current_setting('wal_segment_size')),"
        " (SELECT timeline_id FROM pg_control_checkpoint()),"
        " pg_is_in_recovery() AND current_setting('recovery_min_apply_delay') <> '0'"
        " FROM pg_control_system() AS s";

enum probe_state {
	PROBE_WAITING, /* not connected, until the timer */
	PROBE_CONNECTING,
	PROBE_ASKING, /* for facts */
	PROBE_IDLE,   /* connected, until the timer or a kick */
	PROBE_SAMPLING,
	PROBE_QUESTION, /* of the owner's */
	PROBE_CLOSING,
};

struct sw_probe {
	const struct sw_board *board;
	const struct sw_config *config;
	const struct sw_probe_hooks *hooks;
	void *arg;
	int node;
	struct sw_link *link;
	enum probe_state state;
	struct sw_health health;
	bool is_asked;
	int64_t since_ns; /* connected; 0 = not */
	int64_t start_ns; /* of the newest sample's query */
	int64_t facts_ns; /* when the facts were read */
	struct sw_probe_facts facts;
	bool has_facts, has_last;
	struct sw_probe_sample last; /* on this connection */
	bool has_result;             /* of the query in flight */
	struct sw_probe_sample next;
	struct sw_probe_ask ask; /* in state QUESTION */
	uint64_t samples;
	void (*on_closed)(void *arg);
	void *closed_arg;
	char error[512];
};

static int64_t from_us(int64_t us)
{
	return us * SW_NS_PER_US;
}

__attribute__((format(printf, 2, 3))) static void set_error(struct sw_probe *probe, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(probe->error, sizeof(probe->error), format, args);
	va_end(args);
}

static void end_question(struct sw_probe *probe)
{
	if (probe->state == PROBE_QUESTION && !probe->has_result)
		probe->hooks->on_answer(probe->node, &probe->ask, NULL, probe->arg);
}

/* Ends the connection, if there is one; probe->error says why. */
static void fail_broken(struct sw_probe *probe)
{
	int64_t now_ns = sw_clock_ns(), wait_ns = 0;
	bool was_settled = probe->has_last && now_ns - probe->since_ns > SETTLED_NS;
	enum sw_health_change change;

	sw_link_drop(probe->link);
	end_question(probe);
	probe->state = PROBE_WAITING;
	probe->since_ns = 0;
	probe->has_facts = probe->has_last = false;
	probe->is_asked = true;
	change = sw_health_failed(&probe->health, probe->config->down_after, true);
	if (!was_settled)
		wait_ns = sw_health_backoff_ns(&probe->health);
	sw_link_wake_at(probe->link, now_ns + wait_ns);
	probe->hooks->on_failure(probe->node, true, change, probe->arg);
}

static void fail_link(struct sw_probe *probe)
{
	set_error(probe, "%s", sw_link_error(probe->link));
	fail_broken(probe);
}

static void connect_now(struct sw_probe *probe)
{
	const struct sw_config *config = probe->config;
	const struct sw_node_config *node = &config->nodes[probe->node];
	const struct sw_link_target target = {
	        .host = node->host,
	        .port = node->port,
	        .user = config->monitor_user,
	        .password = config->monitor_password,
	        .dbname = config->monitor_dbname,
	        .tls = &config->server_tls,
	};

	probe->state = PROBE_CONNECTING;
	sw_link_wake_at(probe->link, sw_clock_ns() + from_us(config->monitor_connect_timeout_us));
	if (sw_link_connect(probe->link, &target) != SW_OK)
		fail_link(probe);
}

static void ask_facts(struct sw_probe *probe, const char *before)
{
	char sql[sizeof(sample_sql) + sizeof(question_sql) + sizeof(facts_sql) + 128];

	snprintf(sql, sizeof(sql), "%s%s", before, facts_sql);
	probe->state = PROBE_ASKING;
	probe->has_result = false;
	sw_link_wake_at(probe->link, sw_clock_ns() + from_us(probe->config->monitor_query_timeout_us));
	if (sw_link_query(probe->link, sql) != SW_OK)
		fail_link(probe);
}

static void on_ready(void *arg)
{
	struct sw_probe *probe = arg;
	char prepare[sizeof(sample_sql) + sizeof(question_sql) + 64];
	size_t len;
	bool has_states = sw_link_server_version(probe->link) >= 140000;

	snprintf(prepare, sizeof(prepare), sample_sql,
	        has_states ? "pg_get_wal_replay_pause_state() <> 'not paused'" : "pg_is_wal_replay_paused()");
	len = strlen(prepare);
	snprintf(prepare + len, sizeof(prepare) - len, "%s", question_sql);
	probe->since_ns = sw_clock_ns();
	probe->hooks->on_connected(probe->node, probe->since_ns, probe->arg);
	ask_facts(probe, prepare);
}

static void sample_now(struct sw_probe *probe)
{
	probe->state = PROBE_SAMPLING;
	probe->has_result = false;
	probe->start_ns = sw_clock_ns();
	sw_link_wake_at(probe->link, probe->start_ns + from_us(probe->config->monitor_query_timeout_us));
	if (sw_link_execute(probe->link, SAMPLE_NAME, NULL, 0) != SW_OK)
		fail_link(probe);
}

static void ask_now(struct sw_probe *probe)
{
	bool is_shown = probe->ask.question == SW_PROBE_SHOWN;

	probe->state = PROBE_QUESTION;
	probe->has_result = false;
	sw_link_wake_at(probe->link, sw_clock_ns() + from_us(probe->config->monitor_query_timeout_us));
	if (sw_link_execute(probe->link, is_shown ? SHOWN_NAME : PROGRESS_NAME, probe->ask.values, is_shown ? 2 : 0) != SW_OK)
		fail_link(probe);
}

/* Between queries: when does the next one start? */
static void schedule(struct sw_probe *probe)
{
	const struct sw_config *config = probe->config;
	int64_t due_ns = probe->start_ns + from_us(config->interval_us), ask_ns = INT64_MAX;

	/* The timer counts whole milliseconds: without the tolerance of an eighth, 2 ms would be 3 every
	 * time. */
	if (sw_board_wanted(probe->board) > 0)
		due_ns = probe->start_ns + from_us(config->min_interval_us - config->min_interval_us / 8);
	probe->state = PROBE_IDLE;
	if (probe->hooks->on_free(probe->node, &probe->ask, &ask_ns, probe->arg))
		ask_now(probe);
	else if (sw_clock_ns() >= due_ns)
		sample_now(probe);
	else
		sw_link_wake_at(probe->link, due_ns < ask_ns ? due_ns : ask_ns);
}

/* A query was answered with an error. The connection lives unless this has come too often in a row. */
static void fail_query(struct sw_probe *probe)
{
	enum sw_health_change change;

	if (!probe->has_facts || probe->health.failures + 1 >= probe->config->down_after) {
		fail_broken(probe);
		return;
	}
	change = sw_health_failed(&probe->health, probe->config->down_after, false);
	probe->hooks->on_failure(probe->node, false, change, probe->arg);
	schedule(probe);
}

static bool field_int64(const PGresult *result, int column, int base, int64_t *ret_value)
{
	const char *text = PQgetvalue(result, 0, column);
	char *end;
	int64_t value;

	errno = 0;
	value = strtoll(text, &end, base);
	if (errno || end == text || *end)
		return false;
	*ret_value = value;
	return true;
}

static bool is_power_of_two(int64_t value, int64_t least, int64_t most)
{
	return value >= least && value <= most && (value & (value - 1)) == 0;
}

static enum sw_err read_facts(const PGresult *result, struct sw_probe_facts *ret_facts)
{
	int64_t system_id, start_time_us, page_bytes, segment_bytes, timeline;

	if (PQntuples(result) != 1 || PQnfields(result) != 6)
		return SW_ERR_PROTOCOL;
	if (!field_int64(result, 0, 10, &system_id) || !field_int64(result, 1, 10, &start_time_us) ||
	        !field_int64(result, 2, 10, &page_bytes) || !field_int64(result, 3, 10, &segment_bytes) ||
	        !field_int64(result, 4, 10, &timeline))
		return SW_ERR_PROTOCOL;
	if (!is_power_of_two(page_bytes, 1024, 65536) || !is_power_of_two(segment_bytes, 1 << 20, 1 << 30))
		return SW_ERR_PROTOCOL;
	if (system_id == 0 || timeline <= 0 || timeline > UINT32_MAX)
		return SW_ERR_PROTOCOL;
	*ret_facts = (struct sw_probe_facts){
	        .system_id = (uint64_t)system_id,
	        .start_time_us = start_time_us,
	        .page_bytes = (uint32_t)page_bytes,
	        .segment_bytes = (uint64_t)segment_bytes,
	        .timeline = (uint32_t)timeline,
	        .is_apply_delayed = PQgetvalue(result, 0, 5)[0] == 't',
	};
	return SW_OK;
}

/* A replica without a receiver has no timeline in the row: the one seen last, or the control file's, still
 * holds. */
static enum sw_err read_sample(
        const struct sw_probe *probe, const PGresult *result, struct sw_probe_sample *ret_sample)
{
	struct sw_probe_sample sample = {.sent_ns = probe->start_ns};
	int64_t timeline = probe->facts.timeline;

	if (PQntuples(result) != 1 || PQnfields(result) != 4 || PQgetisnull(result, 0, 0))
		return SW_ERR_PROTOCOL;
	sample.is_in_recovery = PQgetvalue(result, 0, 0)[0] == 't';
	sample.is_paused = PQgetvalue(result, 0, 3)[0] == 't';
	if (!PQgetisnull(result, 0, 2)) {
		if (!field_int64(result, 2, sample.is_in_recovery ? 10 : 16, &timeline))
			return SW_ERR_PROTOCOL;
	} else if (probe->has_last && probe->last.at.timeline > timeline) {
		timeline = probe->last.at.timeline;
	}
	if (timeline <= 0 || timeline > UINT32_MAX)
		return SW_ERR_PROTOCOL;
	sample.at.timeline = (uint32_t)timeline;
	if (!PQgetisnull(result, 0, 1)) {
		const char *text = PQgetvalue(result, 0, 1);

		if (sw_lsn_parse(text, strlen(text), &sample.at.lsn) != SW_OK)
			return SW_ERR_PROTOCOL;
	}
	if (!sample.is_in_recovery)
		sample.at.lsn =
		        sw_lsn_normalise(sample.at.lsn, probe->facts.page_bytes, probe->facts.segment_bytes);
	sample.is_role_changed = probe->has_last && probe->last.is_in_recovery != sample.is_in_recovery;
	*ret_sample = sample;
	return SW_OK;
}

static enum sw_err take_answer(struct sw_probe *probe, const PGresult *result)
{
	bool is_shown = probe->ask.question == SW_PROBE_SHOWN;
	struct sw_probe_answer answer = {0};

	if (PQntuples(result) != 1 || PQnfields(result) != 3 || !field_int64(result, 2, 10, &answer.age))
		return SW_ERR_PROTOCOL;
	answer.is_in_recovery = PQgetvalue(result, 0, 0)[0] == 't';
	if (!is_shown)
		answer.snapshot = PQgetvalue(result, 0, 1);
	else if (!PQgetisnull(result, 0, 1))
		answer.committed = PQgetvalue(result, 0, 1);
	probe->has_result = true;
	probe->hooks->on_answer(probe->node, &probe->ask, &answer, probe->arg);
	return SW_OK;
}

static void on_result(const PGresult *result, void *arg)
{
	struct sw_probe *probe = arg;
	ExecStatusType status = PQresultStatus(result);
	enum sw_err err;

	if (status == PGRES_COMMAND_OK)
		return;
	if (status != PGRES_TUPLES_OK) {
		sw_link_first_line(probe->error, sizeof(probe->error), PQresultErrorMessage(result));
		return;
	}
	if (probe->state == PROBE_ASKING)
		err = read_facts(result, &probe->facts);
	else if (probe->state == PROBE_QUESTION)
		err = take_answer(probe, result);
	else
		err = read_sample(probe, result, &probe->next);
	if (err != SW_OK)
		set_error(probe, "the server answered what PostgreSQL does not: %s", sw_err_text(err));
	else
		probe->has_result = true;
}

/* Within one connection a position cannot go back. Where it does, the other end is not the server that it was
 * (T31). */
static bool is_forward(struct sw_probe *probe)
{
	char was[SW_LSN_TEXT_MAX], is[SW_LSN_TEXT_MAX];

	if (!probe->has_last || probe->next.is_role_changed ||
	        sw_lsn_at_least(probe->next.at.lsn, probe->last.at.lsn))
		return true;
	set_error(probe, "position went back from %s to %s on one connection",
	        sw_lsn_format(probe->last.at.lsn, was), sw_lsn_format(probe->next.at.lsn, is));
	return false;
}

static void take_sample(struct sw_probe *probe)
{
	enum sw_health_change change;

	if (!is_forward(probe)) {
		fail_broken(probe);
		return;
	}
	probe->last = probe->next;
	probe->has_last = true;
	probe->is_asked = true;
	probe->samples++;
	probe->error[0] = '\0';
	change = sw_health_answered(&probe->health);
	probe->hooks->on_sample(probe->node, &probe->last, &probe->facts, change, probe->arg);
	if (sw_clock_ns() - probe->facts_ns > FACTS_NS)
		ask_facts(probe, "");
	else
		schedule(probe);
}

static void on_done(void *arg)
{
	struct sw_probe *probe = arg;

	if (probe->state == PROBE_QUESTION) { /* whatever it says, samples tell of the node's health */
		end_question(probe);
		schedule(probe);
	} else if (!probe->has_result) {
		fail_query(probe);
	} else if (probe->state == PROBE_SAMPLING) {
		take_sample(probe);
	} else {
		assert(probe->state == PROBE_ASKING);
		probe->facts_ns = sw_clock_ns();
		if (probe->has_facts) {
			schedule(probe);
		} else {
			probe->has_facts = true;
			sample_now(probe);
		}
	}
}

static void on_broken(void *arg)
{
	fail_link(arg);
}

static void on_timer(void *arg)
{
	struct sw_probe *probe = arg;

	switch (probe->state) {
	case PROBE_WAITING:
		connect_now(probe);
		break;
	case PROBE_IDLE:
		schedule(probe);
		break;
	case PROBE_CONNECTING:
		set_error(probe, "no connection within connect_timeout");
		fail_broken(probe);
		break;
	case PROBE_ASKING:
	case PROBE_SAMPLING:
	case PROBE_QUESTION:
		set_error(probe, "no answer within query_timeout");
		fail_broken(probe);
		break;
	case PROBE_CLOSING:
		break;
	}
}

static const struct sw_link_hooks link_hooks = {
        .on_ready = on_ready,
        .on_result = on_result,
        .on_done = on_done,
        .on_broken = on_broken,
        .on_timer = on_timer,
};

void sw_probe_kick(struct sw_probe *probe)
{
	if (probe->state == PROBE_IDLE)
		schedule(probe);
}

void sw_probe_set_config(struct sw_probe *probe, const struct sw_config *config)
{
	probe->config = config;
	sw_probe_kick(probe); /* the interval may be another one */
}

bool sw_probe_is_up(const struct sw_probe *probe)
{
	return probe->health.is_up;
}

bool sw_probe_is_asked(const struct sw_probe *probe)
{
	return probe->is_asked;
}

const char *sw_probe_error(const struct sw_probe *probe)
{
	return probe->error;
}

uint64_t sw_probe_samples(const struct sw_probe *probe)
{
	return probe->samples;
}

struct sw_probe *sw_probe_new(uv_loop_t *loop, const struct sw_board *board, int node,
        const struct sw_config *config, const struct sw_probe_hooks *hooks, void *arg)
{
	struct sw_probe *probe = SW_NEW(struct sw_probe);

	probe->board = board;
	probe->node = node;
	probe->config = config;
	probe->hooks = hooks;
	probe->arg = arg;
	probe->link = sw_link_new(loop, &link_hooks, probe);
	probe->state = PROBE_WAITING;
	sw_link_wake_at(probe->link, sw_clock_ns());
	return probe;
}

static void on_link_closed(void *arg)
{
	struct sw_probe *probe = arg;
	void (*on_closed)(void *) = probe->on_closed;
	void *closed_arg = probe->closed_arg;

	sw_mem_free(probe);
	on_closed(closed_arg);
}

void sw_probe_close(struct sw_probe *probe, void (*on_closed)(void *arg), void *arg)
{
	probe->state = PROBE_CLOSING;
	probe->on_closed = on_closed;
	probe->closed_arg = arg;
	sw_link_close(probe->link, on_link_closed, probe);
}
