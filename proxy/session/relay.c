/*
 * What a server answers: bytes pass to the client as they come; only headers are looked at, and the few short messages that
 * change what Seawall knows. Runs on the worker's thread.
 * Invariant: of one read, all that goes to the client goes in one write, in the server's order; while a unit may still be
 * run again elsewhere, nothing of its answer has been written.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "proxy/wire/reader.h"
#include "router/verdicts.h"

/* The short messages that are read whole; a longer ErrorResponse passes unread. */
#define READ_WHOLE_MAX (48 * 1024)

/* One read's worth of answer on its way to the client: a run of the read's own bytes, behind what was copied before it. */
struct passage {
	struct sw_session *session;
	struct sw_server *server;
	const uint8_t *run, *at, *end;
	char ready;     /* status of a ReadyForQuery that came, 0 = none */
	bool is_broken; /* the server's bytes make no sense */
};

static struct sw_buf *out_of(struct sw_session *session)
{
	return &session->engine->assembly;
}

static void cut_run(struct passage *passage, const uint8_t *upto)
{
	if (upto > passage->run)
		sw_msg_bytes(out_of(passage->session), passage->run, (size_t)(upto - passage->run));
}

static void write_out(struct passage *passage)
{
	struct sw_session *session = passage->session;
	struct sw_buf *out = out_of(session);
	size_t run_len = (size_t)(passage->at - passage->run);

	if (session->unit && session->unit->is_retrying) {
		sw_buf_clear(out);
		return;
	}
	session->database->stats.bytes_out += sw_buf_len(out) + run_len;
	if (sw_buf_len(out) == 0) {
		if (run_len == 0)
			return;
		sw_stream_write(&session->stream, passage->run, run_len);
	} else {
		cut_run(passage, passage->at);
		sw_stream_write(&session->stream, sw_buf_data(out), sw_buf_len(out));
		sw_buf_clear(out);
	}
	if (session->unit)
		session->unit->may_retry = session->unit->may_heal = false;
}

/* ---- what was expected */

static void append_empty(struct sw_buf *out, char type)
{
	sw_msg_end(out, sw_msg_begin(out, type));
}

static void append_fake(struct sw_session *session, const struct sw_expect *expect)
{
	struct sw_buf *out = out_of(session);
	size_t mark;

	switch ((enum sw_expect_kind)expect->kind) {
	case SW_EXPECT_FAKE_PARSE:
		append_empty(out, '1');
		return;
	case SW_EXPECT_FAKE_BIND:
		append_empty(out, '2');
		return;
	case SW_EXPECT_FAKE_NO_ROWS:
		mark = sw_msg_begin(out, 't');
		sw_msg_u16(out, 0);
		sw_msg_end(out, mark);
		append_empty(out, 'n');
		return;
	case SW_EXPECT_FAKE_NO_DATA:
		append_empty(out, 'n');
		return;
	case SW_EXPECT_FAKE_DEALLOCATE:
		sw_msg_command_complete(out, sw_local_deallocate(session, expect->plan->statement));
		return;
	default:
		append_empty(out, '3');
	}
}

/* Appends the answers of Seawall's own whose turn it is. */
static void append_fakes(struct sw_session *session)
{
	struct sw_unit *unit = session->unit;
	struct sw_expect *expect;

	while (unit && (expect = sw_unit_expected(unit)) && sw_expect_is_fake(expect)) {
		append_fake(session, expect);
		sw_unit_expected_done(session, unit);
	}
}

void sw_relay_emit_fakes(struct sw_session *session)
{
	struct sw_unit *unit = session->unit;

	if (!unit || unit->has_failed)
		return;
	/* While the unit may run again elsewhere nothing of its answer is told; they go before the server's first. */
	if ((unit->may_retry || unit->may_heal) && sw_unit_expected_of_server(unit))
		return;
	append_fakes(session);
	if (sw_buf_len(out_of(session)) == 0)
		return;
	session->unit->may_retry = session->unit->may_heal = false;
	sw_session_send(session, out_of(session));
}

/* An answer that ends an expectation. Returns false where the client must not see it. */
static bool meet_expectation(struct passage *passage, char type)
{
	struct sw_session *session = passage->session;
	struct sw_expect *expect = sw_unit_expected(session->unit);
	bool is_own;

	if (!expect)
		return true;
	switch (type) {
	case 'T':
	case 'n':
		if (expect->kind != SW_EXPECT_DESCRIBE)
			return true;
		break;
	case 'C':
	case 'I':
	case 's':
		if (expect->kind != SW_EXPECT_EXECUTE)
			return true;
		break;
	}
	is_own = expect->kind == SW_EXPECT_OWN_PARSE || expect->kind == SW_EXPECT_OWN_CLOSE;
	sw_unit_expected_done(session, session->unit);
	return !is_own;
}

/* ---- messages that are read */

/* Errors of a replica after which a read may run elsewhere (T16, T54, T57); nothing of it has reached the client. */
static bool is_worth_retrying(const char *sqlstate)
{
	static const char *const states[] = {"25006", "0A000", "55000", "40001", "42P01", "42703", "42883", "42704", "26000", "57P01",
		"57P02", "57P03", "53200", "53300", "3D000", "XX000", "58030"};

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	return false;
}

static void replace_name(char *out, size_t size, const char *text, const char *theirs, const char *ours)
{
	const char *found = strstr(text, theirs);

	if (found)
		snprintf(out, size, "%.*s%s%s", (int)(found - text), text, ours, found + strlen(theirs));
	else
		snprintf(out, size, "%s", text);
}

/* The error speaks of a statement by the name that Seawall gave it: the client hears its own (T61). */
static bool rename_in_error(struct passage *passage, const struct sw_fields *fields)
{
	struct sw_unit *unit = passage->session->unit;
	struct sw_problem problem = {.severity = fields->severity, .detail = fields->detail[0] ? fields->detail : NULL,
		.hint = fields->hint[0] ? fields->hint : NULL};
	char message[1024];

	if (unit->their_name[0] == '\0' || !strstr(fields->message, unit->their_name))
		return false;
	replace_name(message, sizeof(message), fields->message, unit->their_name, unit->our_name);
	problem.message = message;
	snprintf(problem.sqlstate, sizeof(problem.sqlstate), "%s", fields->sqlstate);
	sw_msg_problem(out_of(passage->session), &problem);
	return true;
}

/* Raised by what the statement executes, a function's query perhaps, and not by the statement itself. */
static bool is_from_within(const struct sw_fields *fields)
{
	return fields->where[0] || fields->inner[0];
}

/* Raised before anything was executed, by the statement itself and not from within a function. */
static bool was_refused(const struct sw_unit *unit, const struct sw_fields *fields)
{
	static const char *const routines[] = {"scanner_yyerror", "ParseFuncOrColumn", "parserOpenTable", "errorMissingColumn",
		"errorMissingRTE", "op_error", "typenameType"};
	/* Of a text that we could not parse only the server's parser speaks before anything is done. */
	size_t count = unit->pins & SW_PIN_UNSEEN ? 1 : sizeof(routines) / sizeof(*routines);

	for (size_t i = 0; i < count && !is_from_within(fields); i++)
		if (strcmp(fields->routine, routines[i]) == 0)
			return true;
	return false;
}

/*
 * The plan that was bound is stale ("cached plan must not change result type"), or somebody has deallocated it: nothing was
 * executed. Told by the server's function, since messages are translated and 0A000 alone may be anybody's.
 */
static bool is_plan_fault(const struct sw_fields *fields)
{
	if (is_from_within(fields))
		return false;
	return (strcmp(fields->sqlstate, "0A000") == 0 && strcmp(fields->routine, "RevalidateCachedQuery") == 0) ||
	       (strcmp(fields->sqlstate, "26000") == 0 && strcmp(fields->routine, "FetchPreparedStatement") == 0) ||
	       (strcmp(fields->sqlstate, "26000") == 0 && strcmp(fields->routine, "exec_bind_message") == 0);
}

/*
 * Nobody shall meet that plan again (T64). True where the unit will run again: not where the rows are others than the client
 * was told, and it did not ask.
 */
static bool heal_or_drop(struct sw_session *session, struct sw_server *server, bool is_stale)
{
	struct sw_unit *unit = session->unit;

	if (is_stale)
		sw_plans_spoil(session->engine->plans, unit->named);
	if (unit->may_heal && !(is_stale && unit->has_blind)) {
		unit->is_healing = unit->is_retrying = true;
		return true;
	}
	if (is_stale)
		return false;
	sw_plan_set_remove(&server->plans, session->engine->plans, unit->named);
	if (session->pins) /* it was the session itself that took it away */
		sw_plan_names_remove(&session->plans, session->engine->plans, unit->our_name);
	return false;
}

/* True where the client gets it. */
static bool on_error(struct passage *passage, const uint8_t *body, size_t len)
{
	struct sw_session *session = passage->session;
	struct sw_unit *unit = session->unit;
	struct sw_fields fields;

	if (sw_fields_parse(body, len, &fields) != SW_OK)
		return true;
	if (!unit) {
		session->was_told_end = true; /* 57P01 and its kin, on a server connection that the session only holds */
		return true;
	}
	unit->has_failed = true;
	unit->is_copy_in = false;
	unit->was_refused = was_refused(unit, &fields);
	if (unit->named && is_plan_fault(&fields) && heal_or_drop(session, passage->server, strcmp(fields.sqlstate, "0A000") == 0))
		return false;
	if (unit->may_retry && is_worth_retrying(fields.sqlstate)) {
		if (strcmp(fields.sqlstate, "25006") == 0 && unit->statement)
			unit->statement->learned_primary = true;
		unit->forced = strcmp(fields.sqlstate, "40001") == 0 ? SW_ROUTE_LOST : SW_ROUTE_REFUSED;
		unit->is_retrying = true;
		return false;
	}
	session->was_told_end = strcmp(fields.severity, "FATAL") == 0 || strcmp(fields.severity, "PANIC") == 0;
	sw_unit_expect_nothing(session, unit);
	if (strcmp(fields.sqlstate, "25006") == 0)
		session->engine->hooks->on_want_sample(session->engine); /* has the node changed its role? (T96) */
	return !rename_in_error(passage, &fields);
}

/*
 * A server that is shot says so in a WARNING, behind the beginning of an answer perhaps; where the unit will run elsewhere,
 * the client hears of neither.
 */
static bool on_notice(struct passage *passage, const uint8_t *body, size_t len)
{
	struct sw_unit *unit = passage->session->unit;
	struct sw_fields fields;

	if (!unit || !unit->may_retry || sw_fields_parse(body, len, &fields) != SW_OK)
		return true;
	unit->is_retrying = strncmp(fields.sqlstate, "57P0", 4) == 0;
	return !unit->is_retrying;
}

static bool on_parameter_status(struct passage *passage, const uint8_t *body, size_t len)
{
	struct sw_session *session = passage->session;
	struct sw_reader reader = sw_reader_over(body, len);
	const char *name = sw_read_text(&reader), *value = sw_read_text(&reader);

	if (reader.failed)
		return true;
	if (!sw_server_note_parameter(passage->server, name, value))
		return false;
	if (session->params != passage->server->params) {
		sw_settings_unref(session->params);
		session->params = sw_settings_ref(passage->server->params);
	}
	return true;
}

/* A whole message. True where the client gets it. */
static bool on_message(struct passage *passage, char type, const uint8_t *body, size_t len)
{
	switch (type) {
	case 'E':
		return on_error(passage, body, len);
	case 'N':
		return on_notice(passage, body, len);
	case 'S':
		return on_parameter_status(passage, body, len);
	case 'Z':
		passage->ready = len == 1 ? (char)body[0] : '?';
		return !(passage->session->unit && passage->session->unit->is_own_sync);
	default: /* read only where somebody wants it */
		if (sw_shapes_want(passage->session, type))
			sw_shapes_note(passage->session, type, body, len);
		return true;
	}
}

/* A message of which only the type matters. True where the client gets it. */
static bool on_header(struct passage *passage, char type)
{
	struct sw_unit *unit = passage->session->unit;

	if (!unit)
		return true;
	switch (type) {
	case 'G':
		unit->is_copy_in = true;
		unit->is_sent = !unit->is_extended; /* the server ignores a Sync that it was sent ahead (T21) */
		return true;
	case '1':
	case '2':
	case '3':
	case 'T':
	case 'n':
	case 'C':
	case 'I':
	case 's':
		return unit->is_extended ? meet_expectation(passage, type) : true;
	default:
		return true;
	}
}

static bool is_read_whole(struct sw_session *session, char type, size_t total)
{
	if (total > READ_WHOLE_MAX)
		return false;
	return (type == 'E' || type == 'N' || type == 'S' || type == 'Z' || type == '1' || type == '2' || type == '3') ||
	       sw_shapes_want(session, type);
}

/* ---- the passage */

/* Is it the turn of an answer of Seawall's own, before a message of this type? */
static bool is_answer(char type)
{
	switch (type) {
	case '1':
	case '2':
	case '3':
	case 'T':
	case 't':
	case 'n':
	case 'C':
	case 'I':
	case 's':
	case 'D':
	case 'E':
	case 'Z':
		return true;
	default:
		return false;
	}
}

/* One message that has arrived whole (bytes[0..total)), in place in the run or put together. Returns whether it passes. */
static bool take_whole(struct passage *passage, const uint8_t *bytes, size_t total)
{
	char type = (char)bytes[0];

	if (is_read_whole(passage->session, type, total) &&
		!on_message(passage, type, bytes + SW_HEADER_BYTES, total - SW_HEADER_BYTES))
		return false;
	return on_header(passage, type);
}

static void emit_turn(struct passage *passage, char type)
{
	struct sw_unit *unit = passage->session->unit;
	struct sw_expect *expect = unit && unit->is_extended ? sw_unit_expected(unit) : NULL;

	if (!expect || !sw_expect_is_fake(expect) || !is_answer(type))
		return;
	cut_run(passage, passage->at);
	passage->run = passage->at;
	append_fakes(passage->session);
}

/* Finishes a message whose beginning came with an earlier read. False where it is still not whole. */
static bool finish_partial(struct passage *passage)
{
	struct sw_buf *partial = &passage->server->partial;
	bool passes;
	size_t total;

	while (sw_buf_len(partial) < SW_HEADER_BYTES) {
		if (passage->at == passage->end)
			return false;
		if (sw_buf_append(partial, passage->at++, 1) != SW_OK)
			return false;
	}
	passage->run = passage->at;
	total = 1 + (size_t)sw_get_u32(sw_buf_data(partial) + 1);
	if (is_read_whole(passage->session, (char)*sw_buf_data(partial), total)) {
		size_t lacking = total - sw_buf_len(partial), there = (size_t)(passage->end - passage->at);
		size_t now = lacking < there ? lacking : there;

		if (sw_buf_append(partial, passage->at, now) != SW_OK)
			return false;
		passage->at += now;
		passage->run = passage->at;
		if (now < lacking)
			return false;
	} else {
		passage->server->pass = total - sw_buf_len(partial);
	}
	emit_turn(passage, (char)*sw_buf_data(partial));
	passes = take_whole(passage, sw_buf_data(partial), total);
	if (passes)
		sw_msg_bytes(out_of(passage->session), sw_buf_data(partial), sw_buf_len(partial));
	sw_buf_fini(partial);
	return true;
}

/* Passes what is left of a long message. */
static void pass_rest(struct passage *passage)
{
	size_t there = (size_t)(passage->end - passage->at);
	size_t now = passage->server->pass < there ? passage->server->pass : there;

	passage->at += now;
	passage->server->pass -= now;
}

/* One message at passage->at. False where it is not there as far as needed. */
static bool take_message(struct passage *passage)
{
	const uint8_t *bytes = passage->at;
	size_t there = (size_t)(passage->end - bytes), total, now;
	bool is_whole;

	if (there < SW_HEADER_BYTES)
		return false;
	total = 1 + (size_t)sw_get_u32(bytes + 1);
	if (total < SW_HEADER_BYTES) {
		passage->is_broken = true;
		return false;
	}
	is_whole = there >= total;
	if (!is_whole && is_read_whole(passage->session, (char)bytes[0], total))
		return false;
	emit_turn(passage, (char)bytes[0]);
	now = is_whole ? total : there;
	if (take_whole(passage, bytes, total)) {
		passage->at += now;
	} else {
		cut_run(passage, passage->at);
		passage->at += now;
		passage->run = passage->at;
	}
	passage->server->pass = total - now;
	return true;
}

/* False where what is left has to wait for the next read. */
static bool step(struct passage *passage)
{
	if (passage->server->pass > 0) {
		pass_rest(passage);
		return true;
	}
	return sw_buf_len(&passage->server->partial) > 0 ? finish_partial(passage) : take_message(passage);
}

/* ---- plans that are stale or gone (T64) */

static void on_healed(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;

	(void)round;
	sw_plan_set_remove(&server->plans, session->engine->plans, session->unit->named);
	sw_unit_again(session);
}

/* Closes the plan on the server connection, so that the unit's next run prepares it anew. */
static void heal(struct sw_session *session, struct sw_server *server)
{
	struct sw_buf *out = out_of(session);
	char name[SW_PLAN_NAME_MAX];

	sw_unit_expect_nothing(session, session->unit);
	sw_plan_name(session->unit->named, name);
	sw_msg_close_statement(out, name);
	sw_msg_sync(out);
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(server, sw_buf_data(out), sw_buf_len(out), on_healed, session);
	sw_buf_clear(out);
}

static void on_ready(struct sw_session *session, struct sw_server *server)
{
	if (session->unit && session->unit->is_healing) {
		heal(session, server);
		return;
	}
	if (session->unit && session->unit->is_retrying) {
		sw_unit_expect_nothing(session, session->unit);
		sw_unit_detach(session);
		sw_unit_again(session);
		return;
	}
	session->txn_status = server->txn_status;
	session->is_skipping = session->unit->is_own_sync && session->unit->has_failed;
	sw_unit_end(session);
}

/* Has the batch been answered that a query waits for? */
static bool is_query_due(const struct sw_unit *unit)
{
	return unit->is_awaited && (unit->expect_count == 0 || unit->has_failed);
}

static void on_data(struct sw_session *session, struct sw_server *server, const uint8_t *bytes, size_t len)
{
	struct passage passage = {.session = session, .server = server, .run = bytes, .at = bytes, .end = bytes + len};
	bool was_copy_in = session->unit && session->unit->is_copy_in;

	if (session->state == SW_SESSION_CLOSING)
		return;
	while (passage.at < passage.end && step(&passage))
		;
	write_out(&passage);
	if (passage.is_broken) {
		sw_server_close(server, SW_SERVER_END_PROTOCOL);
		return;
	}
	if (passage.at < passage.end && sw_buf_append(&server->partial, passage.at, (size_t)(passage.end - passage.at)) != SW_OK) {
		sw_server_close(server, SW_SERVER_END_PROTOCOL);
		return;
	}
	if (sw_stream_is_full(&session->stream))
		sw_stream_stop(&server->stream);
	if (passage.ready != 0)
		server->txn_status = passage.ready;
	if (passage.ready != 0 && session->unit)
		on_ready(session, server);
	else if (session->unit && ((session->unit->is_copy_in && !was_copy_in) || is_query_due(session->unit)))
		sw_session_resume(session);
}

/* ---- the end of a server connection that the session holds */

static bool can_run_again(const struct sw_session *session)
{
	return session->unit && session->unit->may_retry && session->txn_status == 'I' && session->pins == 0;
}

static void on_lost(struct sw_session *session, struct sw_server *server)
{
	struct sw_unit *unit = session->unit;
	bool is_primary = server->is_primary;
	bool is_idle = unit ? !unit->is_sent && session->state != SW_SESSION_UNIT : !session->touched;

	session->server = NULL;
	session->engine->loads[server->pool->key.node]--;
	if (session->state == SW_SESSION_CLOSING)
		return;
	if (!session->params) {
		sw_session_die(session, SW_END_LOGIN, &(struct sw_problem){.severity = "FATAL", .sqlstate = "08006",
			.message = "the server connection was lost during login", .hint = "Try again."});
		return;
	}
	if (session->pass > 0) {
		session->pass_over = session->pass;
		session->pass = 0;
	}
	if (is_idle && session->txn_status == 'I' && session->pins == 0 && session->pool_mode != SW_POOL_SESSION) {
		/* Nothing was sent yet: only the settings were under way. */
		session->state = SW_SESSION_READY;
		if (unit && !is_primary)
			unit->excluded |= 1u << server->pool->key.node;
		sw_session_resume(session);
		return;
	}
	if (can_run_again(session)) {
		unit->excluded |= 1u << server->pool->key.node;
		sw_unit_again(session);
		return;
	}
	if (session->was_told_end) {
		sw_session_close(session, SW_END_SERVER); /* a second error for one failure would confuse the client (T69) */
		return;
	}
	if (unit && is_primary)
		sw_session_die(session, SW_END_SERVER, &(struct sw_problem){.severity = "FATAL", .sqlstate = "08007",
			.message = "the connection to the primary was lost",
			.detail = "Whether the statement took effect is not known.",
			.hint = "Connect again, and look at what it did before repeating it."});
	else
		sw_session_die(session, SW_END_SERVER, &(struct sw_problem){.severity = "FATAL", .sqlstate = "08006",
			.message = "the server connection that held this session's state was lost", .hint = "Connect again."});
}

static void on_drained(struct sw_session *session)
{
	sw_session_resume(session);
}

/* The session is between messages: nothing of the client's is under way during a round. */
static void on_notification(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	sw_stream_write(&session->stream, bytes, len);
}

const struct sw_server_hooks sw_relay_hooks = {
	.on_data = on_data,
	.on_notification = on_notification,
	.on_lost = on_lost,
	.on_drained = on_drained,
};
