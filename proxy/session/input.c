/*
 * What a client sends once it is let in: simple queries, function calls, COPY data, the end; extended messages go to
 * extended.c. Runs on the worker's thread. A step uses up bytes only when it can do all that they ask for; a step that has to
 * wait uses none, and is taken again.
 * Source: PostgreSQL manual, 55.2 'Message Flow'.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/clock.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "router/verdicts.h"

struct sw_statement sw_unseen_statement = {
	.verdict = {.pins = SW_PIN_UNSEEN, .statements = 1, .flags = SW_V_DDL, .reason = "statement too long to parse"},
};
struct sw_statement sw_call_statement = {
	.verdict = {.statements = 1, .reason = "function call message"},
};

static void break_protocol(struct sw_session *session, const char *what)
{
	sw_session_die(session, SW_END_PROTOCOL, &(struct sw_problem){.severity = "FATAL", .sqlstate = "08P01", .message = what});
}

uint32_t sw_session_settings_flags(const struct sw_session *session)
{
	return sw_settings_flags(session->vars) | (session->params ? sw_settings_flags(session->params) : 0);
}

static struct sw_classify_env env_of(const struct sw_session *session)
{
	const struct sw_config *config = session->engine->config;
	uint32_t settings = sw_session_settings_flags(session);

	return (struct sw_classify_env){
		.catalog = session->database->catalog,
		.primary_functions = (const char *const *)config->primary_functions,
		.replica_functions = (const char *const *)config->replica_functions,
		.standard_conforming_strings = !(settings & SW_SETTINGS_BACKSLASH),
		.unsafe_encoding = settings & SW_SETTINGS_UNSAFE_ENCODING,
	};
}


struct sw_statement *sw_session_statement(struct sw_session *session, const char *text, size_t len)
{
	struct sw_classify_env env = env_of(session);

	return sw_verdicts_get(session->engine->verdicts, text, len, session->database->number, &env);
}

/*
 * Parse reads literals of dates, times, money and arrays as these settings say, and the text itself, and names mean what
 * they mean under search_path, to this user: a plan that was made under others is another plan.
 */
static struct sw_settings *parse_vars(struct sw_session *session)
{
	static const char *const names[] = {"array_nulls", "backslash_quote", "client_encoding", "DateStyle", "IntervalStyle",
		"lc_monetary", "search_path", "standard_conforming_strings", "TimeZone", "timezone_abbreviations", "transform_null_equals",
		"xmloption"};

	if (session->parse_vars_of == session->vars)
		return session->parse_vars;
	sw_settings_unref(session->parse_vars);
	sw_settings_unref(session->parse_vars_of);
	session->parse_vars_of = sw_settings_ref(session->vars);
	session->parse_vars = sw_settings_empty(session->engine->settings);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = sw_settings_find(session->vars, names[i]);

		if (value)
			sw_settings_change(&session->parse_vars, names[i], value);
	}
	sw_settings_change(&session->parse_vars, "session_authorization", session->user);
	return session->parse_vars;
}

struct sw_plan *sw_session_plan(struct sw_session *session, const char *text, const uint8_t *types, uint16_t type_count)
{
	/* What is prepared under settings or tables that only this session knows, perhaps only so far, is nobody else's. */
	uint32_t flags = session->unit ? session->unit->flags : 0;
	bool is_private = session->touched || session->has_passing || session->pins || session->has_ddl ||
			  flags & (SW_V_PASSING | SW_V_DDL);
	int64_t ddl_ns = session->has_ddl ? INT64_MAX :
					    sw_board_ddl_ns(session->engine->board, SW_DDL_FUNCTIONS, session->database->ddl_slot);
	/* Of what others change nobody tells: what clients were told of types lives no longer than a server connection. */
	int64_t old_ns = sw_clock_ns() - session->engine->config->server_lifetime_us * SW_NS_PER_US;
	struct sw_plan_key key = {.statement = sw_session_statement(session, text, strlen(text)),
		.settings = parse_vars(session),
		.owner = is_private ? session->number : 0};

	return sw_plans_get(session->engine->plans, &key, types, type_count, ddl_ns > old_ns ? ddl_ns : old_ns);
}

/* A simple query is not kept: only its verdict counts, but for the console's, which is the text. */
struct sw_statement *sw_session_query(struct sw_session *session, const char *text, size_t len)
{
	struct sw_classify_env env = env_of(session);

	if (session->is_console)
		return sw_session_statement(session, text, len);
	return sw_verdicts_judge(session->engine->verdicts, text, len, session->database->number, &env);
}

void sw_session_forget_unnamed(struct sw_session *session)
{
	session->server->unnamed = 0;
	sw_session_set_unnamed(session, NULL);
}

/* Passes what is there of a message to the server; the rest follows through session->pass. */
static size_t forward(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	size_t now = len < total ? len : total;

	sw_stream_write(&session->server->stream, bytes, now);
	session->pass = total - now;
	return now;
}

/* A message that is not for the server: what is there of it is used up, the rest will be. */
static size_t drop(struct sw_session *session, size_t len, size_t total)
{
	size_t now = len < total ? len : total;

	session->pass_over = total - now;
	return now;
}

/* Keeps the request of a read on a replica, to be sent again elsewhere if the replica refuses or fails. */
static void keep_request(struct sw_session *session, struct sw_unit *unit, const uint8_t *bytes, size_t total)
{
	unit->may_retry = !session->server->is_primary && !unit->was_in_transaction && session->pins == 0 &&
			  (unit->common & SW_V_RETRY || unit->flags & SW_V_BEGIN) &&
			  sw_buf_append(&unit->request, bytes, total) == SW_OK;
}

/* A BEGIN that goes to a replica is remembered: the transaction may yet have to move to the primary. */
static void remember_begin(struct sw_session *session, const struct sw_unit *unit, const char *text, size_t len)
{
	if (unit->flags & SW_V_BEGIN && !session->server->is_primary && !session->begin)
		session->begin = sw_mem_strndup(text, len);
}

/* What the console does not take: it has no server behind it. */
static size_t refuse_on_console(struct sw_session *session, const char *message, size_t len, size_t total)
{
	sw_msg_problem(&session->engine->assembly, &(struct sw_problem){.severity = "ERROR", .sqlstate = "0A000", .message = message});
	sw_local_end_in_error(session);
	return drop(session, len, total);
}

static size_t consume_query(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	const char *text = (const char *)bytes + SW_HEADER_BYTES;
	struct sw_statement *statement = &sw_unseen_statement;
	struct sw_unit *unit = session->unit;
	bool is_short = total <= SW_STATEMENT_BYTES_MAX;

	if (!is_short && session->is_console)
		return refuse_on_console(session, "a command this long is not known to the console", len, total);
	if (is_short && len < total)
		return 0;
	if (is_short) {
		if (total == SW_HEADER_BYTES || bytes[total - 1] != '\0') {
			break_protocol(session, "invalid string in message");
			return 0;
		}
		statement = sw_session_query(session, text, total - SW_HEADER_BYTES - 1);
		if (!unit && !sw_token_is_known(session, statement) && sw_token_wait(session))
			return 0;
		if (sw_local_query(session, statement))
			return total;
	}
	if (!unit) {
		unit = sw_unit_begin(session);
		unit->is_read = true;
		sw_unit_add(session, unit, statement);
	}
	switch (sw_route_unit(session, unit)) {
	case SW_ROUTE_WAIT:
		return 0;
	case SW_ROUTE_ENDED:
		return drop(session, len, total);
	case SW_ROUTE_GO:
		break;
	}
	if (is_short) {
		keep_request(session, unit, bytes, total);
		remember_begin(session, unit, text, total - SW_HEADER_BYTES - 1);
	}
	sw_session_forget_unnamed(session);
	unit->is_sent = true;
	session->state = SW_SESSION_UNIT;
	return forward(session, bytes, len, total);
}

static size_t consume_call(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	struct sw_unit *unit = session->unit;

	if (session->is_console)
		return refuse_on_console(session, "the console has no functions", len, total);
	if (!unit) {
		unit = sw_unit_begin(session);
		sw_unit_add(session, unit, &sw_call_statement);
	}
	switch (sw_route_unit(session, unit)) {
	case SW_ROUTE_WAIT:
		return 0;
	case SW_ROUTE_ENDED:
		return drop(session, len, total);
	case SW_ROUTE_GO:
		break;
	}
	unit->is_sent = true;
	session->state = SW_SESSION_UNIT;
	return forward(session, bytes, len, total);
}

/*
 * While the server wants COPY data everything goes to it; it ignores Sync and Flush then (T21). Rows that arrived together
 * leave together.
 */
static size_t consume_copy(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	size_t run = 0;

	while (bytes[run] == 'd' && len - run >= total) {
		uint32_t length;

		run += total;
		if (len - run < SW_HEADER_BYTES)
			break;
		length = sw_get_u32(bytes + run + 1);
		if (length < 4 || length > SW_MESSAGE_BYTES_MAX)
			break;
		total = 1 + (size_t)length;
	}
	if (run > 0) {
		sw_stream_write(&session->server->stream, bytes, run);
		return run;
	}
	if (bytes[0] != 'd' && bytes[0] != 'H' && bytes[0] != 'S')
		session->unit->is_copy_in = false; /* the end, or something that the server refuses and leaves the copy for */
	return forward(session, bytes, len, total);
}

/* After an error that Seawall has answered: everything up to Sync is dropped, as a server does. */
static size_t consume_skipped(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	if (bytes[0] != 'S')
		return drop(session, len, total);
	session->is_skipping = false;
	sw_local_end_in_error(session);
	return total;
}

/* What means the same in the middle of a batch and outside of it. */
static size_t consume_anywhere(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	char what[64];

	switch (bytes[0]) {
	case 'd':
	case 'c':
	case 'f': /* left over from a COPY that failed: a server ignores them too */
		return drop(session, len, total);
	case 'X':
		sw_session_close(session, SW_END_CLIENT);
		return 0;
	default:
		snprintf(what, sizeof(what), "invalid frontend message type %d", bytes[0]);
		break_protocol(session, what);
		return 0;
	}
}

static size_t consume_in_unit(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	struct sw_unit *unit = session->unit;

	if (unit->is_copy_in)
		return consume_copy(session, bytes, len, total);
	if (!unit->is_extended || unit->is_sent)
		return 0;
	if (sw_extended_has((char)bytes[0]))
		return sw_extended_consume(session, bytes, len);
	return consume_anywhere(session, bytes, len, total);
}

static size_t consume_when_ready(struct sw_session *session, const uint8_t *bytes, size_t len, size_t total)
{
	if (session->is_skipping && bytes[0] != 'X')
		return consume_skipped(session, bytes, len, total);
	if ((session->asked_ns || session->has_token) && bytes[0] != 'X' && !sw_token_resume(session))
		return 0;
	switch (bytes[0]) {
	case 'Q':
		return consume_query(session, bytes, len, total);
	case 'H': /* nothing is under way that could be flushed */
		return drop(session, len, total);
	case 'P':
	case 'B':
	case 'D':
	case 'E':
	case 'C':
	case 'S':
		return sw_extended_consume(session, bytes, len);
	case 'F':
		return consume_call(session, bytes, len, total);
	default:
		return consume_anywhere(session, bytes, len, total);
	}
}

/* PostgreSQL's PQ_SMALL_MESSAGE_LIMIT counts what is behind the type. */
bool sw_input_is_too_long(uint8_t type, size_t total)
{
	return total - 1 > SW_SMALL_MESSAGE_BYTES_MAX && type != '\0' && strchr("CDEHSXcf", type);
}

size_t sw_input_consume(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	uint32_t length;

	if (session->pass > 0) {
		size_t now = len < session->pass ? len : session->pass;

		session->pass -= now;
		sw_stream_write(&session->server->stream, bytes, now);
		return now;
	}
	if (session->pass_over > 0) {
		size_t now = len < session->pass_over ? len : session->pass_over;

		session->pass_over -= now;
		return now;
	}
	if (len < SW_HEADER_BYTES)
		return 0;
	length = sw_get_u32(bytes + 1);
	if (length < 4 || length > SW_MESSAGE_BYTES_MAX) {
		break_protocol(session, "invalid message length");
		return 0;
	}
	if (sw_input_is_too_long(bytes[0], 1 + (size_t)length)) {
		break_protocol(session, "invalid message length");
		return 0;
	}
	if (session->state == SW_SESSION_UNIT)
		return consume_in_unit(session, bytes, len, 1 + (size_t)length);
	if (session->state == SW_SESSION_READY)
		return consume_when_ready(session, bytes, len, 1 + (size_t)length);
	return 0;
}
