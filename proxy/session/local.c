/*
 * What Seawall answers itself, in both query protocols: SET, RESET and SHOW of seawall.*, DEALLOCATE of statements that it
 * keeps, and everything on the console. Runs on the worker's thread.
 * What is not here: what the console knows (proxy/admin.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/session/session.h"
#include "proxy/wire/reader.h"
#include "router/verdicts.h"

/* ---- settings of seawall */

const struct sw_problem *sw_local_set_level(struct sw_session *session, const char *value)
{
	static const struct sw_problem
		unknown = {.severity = "ERROR", .sqlstate = "22023",
			.message = "seawall.consistency is one of off, eventual, session, strong"},
		too_weak = {.severity = "ERROR", .sqlstate = "22023",
			.message = "this level is weaker than minimum_consistency allows",
			.hint = "SHOW CONFIG on the console shows minimum_consistency, the weakest level that a session may have."};
	enum sw_consistency level;

	if (!sw_level_parse(value, strlen(value), &level))
		return &unknown;
	if (sw_level_is_weaker(level, (enum sw_consistency)session->engine->config->minimum_consistency))
		return &too_weak;
	session->level = (uint8_t)level;
	session->has_level = true;
	return NULL;
}

const struct sw_problem *sw_local_no_such_setting(const char *name)
{
	static const struct sw_problem
		only_shown = {.severity = "ERROR", .sqlstate = "22023", .message = "this setting of seawall can only be shown"},
		unknown = {.severity = "ERROR", .sqlstate = "22023", .message = "this version of seawall has no such setting",
			.hint = "seawall.consistency and seawall.token can be set."};

	return strcasecmp(name, "last_route") == 0 || strcasecmp(name, "node") == 0 ? &only_shown : &unknown;
}

static void reset_level(struct sw_session *session)
{
	const struct sw_config *config = session->engine->config;

	session->has_level = false;
	session->level = (uint8_t)sw_config_level(config, sw_config_database(config, session->database->name),
		sw_config_user(config, session->user));
}

void sw_local_apply_config(struct sw_session *session)
{
	const struct sw_config *config = session->engine->config;

	session->has_hints = sw_config_hints(config, sw_config_user(config, session->user));
	if (!session->has_level ||
		sw_level_is_weaker((enum sw_consistency)session->level, (enum sw_consistency)config->minimum_consistency))
		reset_level(session);
}

/* SET where there is a value, else RESET; NULL, or what is wrong. */
static const struct sw_problem *set(struct sw_session *session, const char *name, const char *value)
{
	static const struct sw_problem no_reset = {.severity = "ERROR", .sqlstate = "22023",
		.message = "seawall.token cannot be reset or empty: a session never sees less than it has seen"};

	if (strcasecmp(name, "token") == 0)
		return *value ? sw_token_set(session, value) : &no_reset;
	if (strcasecmp(name, "consistency") != 0)
		return sw_local_no_such_setting(name);
	if (*value)
		return sw_local_set_level(session, value);
	reset_level(session);
	return NULL;
}

static const char *node_name(const struct sw_session *session)
{
	return session->route.node >= 0 ? session->engine->config->nodes[session->route.node].name : "";
}

/* A shown setting: its columns and their texts. */
#define SHOWN_COLUMNS_MAX 6

struct shown {
	int count;
	const char *names[SHOWN_COLUMNS_MAX], *values[SHOWN_COLUMNS_MAX];
	char floor[40], at[40], waited[16], token[SW_TOKEN_TEXT_MAX];
};

static void print_position(char *out, size_t size, struct sw_position position)
{
	char lsn[SW_LSN_TEXT_MAX];

	if (position.timeline == 0)
		out[0] = '\0';
	else
		snprintf(out, size, "%" PRIu32 ":%s", position.timeline, sw_lsn_format(position.lsn, lsn));
}

static void add_column(struct shown *shown, const char *name, const char *value)
{
	shown->names[shown->count] = name;
	shown->values[shown->count++] = value;
}

static void show_last_route(const struct sw_session *session, struct shown *shown)
{
	const struct sw_route *route = &session->route;

	print_position(shown->floor, sizeof(shown->floor), route->floor);
	print_position(shown->at, sizeof(shown->at), route->at);
	snprintf(shown->waited, sizeof(shown->waited), "%" PRIu32, route->waited_us);
	add_column(shown, "node", node_name(session));
	add_column(shown, "reason", sw_route_reason_text(route->reason));
	add_column(shown, "statement", route->why ? route->why : "");
	add_column(shown, "floor", shown->floor);
	add_column(shown, "position", shown->at);
	add_column(shown, "waited_us", shown->waited);
}

/* The columns, and the values but for the token's, which takes more; false where there is no such setting. */
static bool show(const struct sw_session *session, const char *name, struct shown *shown)
{
	shown->count = 0;
	shown->token[0] = '\0';
	if (strcasecmp(name, "consistency") == 0)
		add_column(shown, "seawall.consistency", sw_level_text((enum sw_consistency)session->level));
	else if (strcasecmp(name, "last_route") == 0)
		show_last_route(session, shown);
	else if (strcasecmp(name, "node") == 0)
		add_column(shown, "seawall.node", node_name(session));
	else if (strcasecmp(name, "token") == 0)
		add_column(shown, "seawall.token", shown->token);
	else
		return false;
	return true;
}

/* ---- one statement of our own */

bool sw_local_is_deallocate(const struct sw_session *session, const struct sw_statement *statement)
{
	const struct sw_verdict *verdict = &statement->verdict;

	if (!(verdict->flags & SW_V_DEALLOCATE) || verdict->flags & SW_V_MULTI)
		return false;
	if (verdict->flags & SW_V_DEALLOCATE_ALL)
		return !(session->pins & (SW_PIN_PREPARE | SW_PIN_UNSEEN)); /* else the server may keep some, too */
	return sw_plan_names_find(&session->plans, verdict->names[0]);
}

const char *sw_local_deallocate(struct sw_session *session, const struct sw_statement *statement)
{
	if (statement->verdict.flags & SW_V_DEALLOCATE_ALL) {
		sw_plan_names_clear(&session->plans, session->engine->plans);
		return "DEALLOCATE ALL";
	}
	sw_plan_names_remove(&session->plans, session->engine->plans, statement->verdict.names[0]);
	return "DEALLOCATE";
}

bool sw_local_is(const struct sw_session *session, const struct sw_statement *statement)
{
	return session->is_console || statement->verdict.flags & SW_V_SEAWALL || sw_local_is_deallocate(session, statement);
}

static const char *short_name(const struct sw_verdict *verdict)
{
	const char *dot = strchr(verdict->names[0], '.');

	return dot ? dot + 1 : verdict->names[0];
}

/* NULL, or what is wrong. */
static const struct sw_problem *execute_show(struct sw_session *session, const char *name, bool describes)
{
	static const struct sw_problem unknown = {.severity = "ERROR", .sqlstate = "42704",
		.message = "unrecognized configuration parameter of seawall",
		.hint = "seawall.consistency, seawall.token, seawall.last_route and seawall.node can be shown."};
	struct sw_buf *out = &session->engine->assembly;
	const struct sw_problem *problem;
	struct shown shown;

	if (!show(session, name, &shown))
		return &unknown;
	problem = strcasecmp(name, "token") == 0 ? sw_token_show(session, shown.token) : NULL;
	if (problem)
		return problem;
	if (describes)
		sw_msg_row_description(out, shown.names, shown.count);
	sw_msg_data_row(out, shown.values, shown.count);
	sw_msg_command_complete(out, "SHOW");
	return NULL;
}

static const struct sw_problem *execute_set(struct sw_session *session, const struct sw_verdict *verdict)
{
	static const struct sw_problem local = {.severity = "ERROR", .sqlstate = "22023",
		.message = "settings of seawall hold for the session: use SET, not SET LOCAL"};
	const struct sw_problem *problem =
		verdict->flags & SW_V_LOCAL ? &local : set(session, short_name(verdict), verdict->value);

	if (!problem)
		sw_msg_command_complete(&session->engine->assembly, verdict->value[0] ? "SET" : "RESET");
	return problem;
}

/* Executes it: rows and CommandComplete, or an error. False where it failed. */
static bool execute(struct sw_session *session, const struct sw_statement *statement, bool describes)
{
	const struct sw_verdict *verdict = &statement->verdict;
	struct sw_buf *out = &session->engine->assembly;
	const struct sw_problem *problem;

	if (session->txn_status == 'E') {
		sw_msg_problem(out, &(struct sw_problem){.severity = "ERROR", .sqlstate = "25P02",
			.message = "current transaction is aborted, commands ignored until end of transaction block"});
		return false;
	}
	if (verdict->flags & SW_V_DEALLOCATE) {
		sw_msg_command_complete(out, sw_local_deallocate(session, statement));
		return true;
	}
	problem = verdict->flags & SW_V_SHOW ? execute_show(session, short_name(verdict), describes) : execute_set(session, verdict);
	if (problem)
		sw_msg_problem(out, problem);
	return !problem;
}

/* ---- errors of our own */

/*
 * A server that knows nothing of the error would commit the transaction later. It refuses this one, and what else the
 * transaction brings.
 */
static const char abort_sql[] = "ROLLBACK TO SAVEPOINT \"a statement that seawall has refused\"";

static void on_aborted(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;
	struct sw_buf *out = &session->engine->assembly;

	(void)round;
	session->state = SW_SESSION_READY;
	session->txn_status = server->txn_status;
	session->has_failed_txn = true;
	sw_msg_ready(out, session->txn_status);
	sw_session_send(session, out);
	sw_session_resume(session);
}

void sw_local_end_in_error(struct sw_session *session)
{
	struct sw_buf *out = &session->engine->assembly;

	if (session->txn_status != 'T' || !session->server) {
		sw_msg_ready(out, session->txn_status);
		sw_session_send(session, out);
		return;
	}
	sw_session_send(session, out);
	sw_msg_query(out, abort_sql);
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(session->server, sw_buf_data(out), sw_buf_len(out), on_aborted, session);
	sw_buf_clear(out);
}

static void ask_console(struct sw_session *session, const char *sql)
{
	struct sw_console_ask ask = {.session = session->number, .is_admin = session->is_admin, .sql = sql};

	snprintf(ask.user, sizeof(ask.user), "%s", session->user);
	session->state = SW_SESSION_CONSOLE;
	session->engine->hooks->on_console(session->engine, &ask);
}

bool sw_local_query(struct sw_session *session, struct sw_statement *statement)
{
	struct sw_buf *out = &session->engine->assembly;
	bool is_done;

	if (!sw_local_is(session, statement) || session->unit)
		return false;
	session->queries++;
	sw_session_set_unnamed(session, NULL);
	if (session->is_console) {
		ask_console(session, statement->text);
		return true;
	}
	is_done = execute(session, statement, true);
	sw_token_answered(session);
	if (!is_done) {
		sw_local_end_in_error(session);
		return true;
	}
	sw_msg_ready(out, session->txn_status);
	sw_session_send(session, out);
	return true;
}

void sw_session_console_reply(struct sw_engine *engine, uint64_t number, const void *messages, size_t len)
{
	SW_LIST_EACH(&engine->sessions, at, after) {
		struct sw_session *session = SW_CONTAINER_OF(at, struct sw_session, entry);

		if (session->number != number || session->state != SW_SESSION_CONSOLE)
			continue;
		sw_stream_write(&session->stream, messages, len);
		sw_msg_ready(&engine->assembly, 'I');
		sw_session_send(session, &engine->assembly);
		session->state = SW_SESSION_READY;
		sw_session_resume(session);
		return;
	}
}

/* ---- the extended protocol */

struct batch {
	struct sw_session *session;
	struct sw_statement *bound; /* of the portal; a reference */
	bool has_failed;
};

static struct sw_statement *named(struct sw_session *session, const char *name)
{
	struct sw_plan *plan = *name ? sw_plan_names_find(&session->plans, name) : session->unnamed;

	return plan ? plan->statement : NULL;
}

static void on_parse(struct batch *batch, struct sw_reader *body)
{
	struct sw_session *session = batch->session;
	struct sw_plans *plans = session->engine->plans;
	const char *name = sw_read_text(body), *text = sw_read_text(body);
	struct sw_plan *plan;

	if (*name && sw_plan_names_find(&session->plans, name)) {
		char message[SW_NAME_MAX + 40];

		snprintf(message, sizeof(message), "prepared statement \"%.*s\" already exists", SW_NAME_MAX, name);
		sw_msg_problem(&session->engine->assembly,
			&(struct sw_problem){.severity = "ERROR", .sqlstate = "42P05", .message = message});
		batch->has_failed = true;
		return;
	}
	plan = sw_session_plan(session, text, NULL, 0);
	if (*name) {
		sw_plan_names_set(&session->plans, plans, name, plan);
	} else {
		sw_session_set_unnamed(session, plan);
	}
	sw_plan_unref(plans, plan);
	sw_msg_end(&session->engine->assembly, sw_msg_begin(&session->engine->assembly, '1'));
}

static void on_bind(struct batch *batch, struct sw_reader *body)
{
	struct sw_statement *statement;

	sw_read_text(body);
	statement = named(batch->session, sw_read_text(body));
	if (statement)
		sw_statement_ref(statement);
	if (batch->bound)
		sw_statement_unref(batch->bound);
	batch->bound = statement;
	sw_msg_end(&batch->session->engine->assembly, sw_msg_begin(&batch->session->engine->assembly, '2'));
}

static void on_describe(struct batch *batch, struct sw_reader *body)
{
	struct sw_buf *out = &batch->session->engine->assembly;
	bool is_statement = sw_read_u8(body) == 'S';
	struct sw_statement *statement = is_statement ? named(batch->session, sw_read_text(body)) : batch->bound;
	struct shown shown;
	size_t mark;

	if (is_statement) {
		mark = sw_msg_begin(out, 't');
		sw_msg_u16(out, 0);
		sw_msg_end(out, mark);
	}
	if (statement && statement->verdict.flags & SW_V_SHOW && show(batch->session, short_name(&statement->verdict), &shown)) {
		sw_msg_row_description(out, shown.names, shown.count);
	} else {
		sw_msg_end(out, sw_msg_begin(out, 'n'));
	}
}

static void on_close(struct batch *batch, struct sw_reader *body)
{
	struct sw_session *session = batch->session;
	bool is_statement = sw_read_u8(body) == 'S';
	const char *name = sw_read_text(body);

	if (is_statement && *name)
		sw_plan_names_remove(&session->plans, session->engine->plans, name);
	sw_msg_end(&session->engine->assembly, sw_msg_begin(&session->engine->assembly, '3'));
}

static void on_batch_message(struct batch *batch, char type, struct sw_reader *body)
{
	switch (type) {
	case 'P':
		on_parse(batch, body);
		return;
	case 'B':
		on_bind(batch, body);
		return;
	case 'D':
		on_describe(batch, body);
		return;
	case 'C':
		on_close(batch, body);
		return;
	case 'E':
		if (batch->bound)
			batch->has_failed = !execute(batch->session, batch->bound, false);
		return;
	}
}

void sw_local_batch(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	struct batch batch = {.session = session};
	struct sw_buf *out = &session->engine->assembly;
	bool has_sync = bytes[len - SW_HEADER_BYTES] == 'S';

	session->queries++;
	if (session->is_console) {
		sw_msg_problem(out, &(struct sw_problem){.severity = "ERROR", .sqlstate = "0A000",
			.message = "the console speaks the simple query protocol only"});
		batch.has_failed = true;
	}
	for (size_t at = 0; at + SW_HEADER_BYTES <= len && !batch.has_failed;) {
		uint32_t length = sw_get_u32(bytes + at + 1);
		struct sw_reader body = sw_reader_over(bytes + at + SW_HEADER_BYTES, length - 4);

		on_batch_message(&batch, (char)bytes[at], &body);
		at += 1 + (size_t)length;
	}
	if (batch.bound)
		sw_statement_unref(batch.bound);
	sw_token_answered(session);
	if (batch.has_failed && has_sync) {
		sw_local_end_in_error(session);
		return;
	}
	session->is_skipping = batch.has_failed;
	if (has_sync)
		sw_msg_ready(out, session->txn_status);
	sw_session_send(session, out);
}
