/*
 * Extended query messages: what of a batch goes to the server, with the names of statements put right for the server
 * connection (T61 to T65), and what Seawall puts in. Runs on the worker's thread.
 * What is not here: the look ahead at a batch (lookahead.c), what Bind may rely on (shapes.c), the answers (relay.c).
 * Source: PostgreSQL manual, 55.2.3 'Extended Query'.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/session/batch.h"
#include "router/verdicts.h"

/* A batch that is longer goes to the primary without being seen whole. */
#define BATCH_BYTES_MAX SW_HIGH_WATER_BYTES

/* The names at the head of Bind, Describe and Close must lie within so many bytes. */
#define NAMES_BYTES_MAX 1024

/* Statements that one client may have prepared by name. */
#define CLIENT_PLANS_MAX 65536

static void break_protocol(struct sw_session *session, const char *what)
{
	sw_session_die(session, SW_END_PROTOCOL, &(struct sw_problem){.severity = "FATAL", .sqlstate = "08P01", .message = what});
}

/* ---- sending */

/* The client has, or will have, another unnamed statement, or none. */
static void expect_unnamed(struct sw_session *session, struct sw_unit *unit, enum sw_expect_kind kind, struct sw_plan *plan)
{
	struct sw_expect *expect;

	sw_unit_expect(unit, kind, plan, NULL);
	expect = sw_unit_last_expected(unit);
	expect->is_unnamed = true;
	expect->before = session->unnamed ? sw_plan_ref(session->unnamed) : NULL;
	sw_session_set_unnamed(session, plan);
}

static struct sw_buf *out_of(struct sw_session *session)
{
	return &session->engine->assembly;
}

static void flush(struct sw_session *session)
{
	struct sw_buf *out = out_of(session);

	sw_stream_write(&session->server->stream, sw_buf_data(out), sw_buf_len(out));
	sw_buf_clear(out);
}

/* The message as it is. What has not arrived of it follows through session->pass. */
static void send_raw(struct sw_session *session, const struct sw_batch_message *message)
{
	sw_msg_bytes(out_of(session), message->bytes, message->len);
	session->pass = message->total - message->len;
}

/* The message with one of its texts replaced: body[at..at + old_len) becomes text. */
static void send_renamed(struct sw_session *session, const struct sw_batch_message *message, size_t at, size_t old_len, const char *text)
{
	struct sw_buf *out = out_of(session);
	const uint8_t *body = message->bytes + SW_HEADER_BYTES;
	size_t body_len = message->len - SW_HEADER_BYTES;

	sw_msg_u8(out, (uint8_t)message->type);
	sw_msg_u32(out, (uint32_t)(message->total - 1 - old_len + strlen(text)));
	sw_msg_bytes(out, body, at);
	sw_msg_bytes(out, text, strlen(text));
	sw_msg_bytes(out, body + at + old_len, body_len - at - old_len);
	session->pass = message->total - message->len;
}

void sw_extended_make_room(struct sw_session *session, struct sw_unit *unit)
{
	struct sw_plan_set *set = &session->server->plans;
	char name[SW_PLAN_NAME_MAX];

	while (sw_plan_set_count(set) >= session->engine->config->max_prepared_statements) {
		struct sw_plan *oldest = sw_plan_set_oldest(set);

		sw_plan_name(oldest, name);
		sw_msg_close_statement(out_of(session), name);
		if (unit)
			sw_unit_expect(unit, SW_EXPECT_OWN_CLOSE, oldest, NULL);
		sw_plan_set_remove(set, session->engine->plans, oldest);
	}
}

void sw_extended_add_parse(struct sw_session *session, const char *name, const struct sw_plan *plan)
{
	const struct sw_statement *statement = plan->statement;

	if (plan->told_types)
		sw_msg_parse(out_of(session), name, statement->text, plan->told_types, plan->told_type_count);
	else
		sw_msg_parse(out_of(session), name, statement->text, plan->types, plan->type_count);
}

/* Sends Parse for a plan that the server connection lacks. */
static void prepare(struct sw_session *session, struct sw_unit *unit, struct sw_plan *plan, enum sw_expect_kind kind,
	const char *client_name)
{
	char name[SW_PLAN_NAME_MAX];

	sw_extended_make_room(session, unit);
	sw_plan_name(plan, name);
	sw_extended_add_parse(session, name, plan);
	sw_plan_set_add(&session->server->plans, plan);
	sw_unit_expect(unit, kind, plan, client_name);
}

static void prepare_unnamed(struct sw_session *session, struct sw_unit *unit)
{
	struct sw_plan *plan = session->unnamed;

	if (session->server->unnamed == session->unnamed_serial)
		return;
	if (plan) {
		sw_extended_add_parse(session, "", plan);
		sw_unit_expect(unit, SW_EXPECT_OWN_PARSE, plan, NULL);
		sw_unit_last_expected(unit)->is_unnamed = true;
		session->server->unnamed = session->unnamed_serial;
	} else {
		/* The client has none; what another left there must not serve instead. */
		sw_msg_close_statement(out_of(session), "");
		sw_unit_expect(unit, SW_EXPECT_OWN_CLOSE, NULL, NULL);
		session->server->unnamed = 0;
	}
}

static void send_named_parse(struct sw_session *session, struct sw_unit *unit, struct sw_plan *plan, const char *name)
{
	struct sw_plan *known = sw_plan_names_find(&session->plans, name);
	char sw_name[SW_PLAN_NAME_MAX];

	if (known && !(unit->is_again && (known == plan || sw_plan_is_retired(known)))) {
		/* A server would refuse the second of that name, so let it: with a name that it has. */
		if (!sw_plan_set_has(&session->server->plans, known))
			prepare(session, unit, known, SW_EXPECT_OWN_PARSE, NULL);
		sw_plan_name(known, sw_name);
		sw_msg_parse(out_of(session), sw_name, plan->statement->text, plan->types, plan->type_count);
		sw_unit_expect(unit, SW_EXPECT_SECOND_PARSE, known, name);
		return;
	}
	if (sw_plan_set_has(&session->server->plans, plan))
		sw_unit_expect(unit, SW_EXPECT_FAKE_PARSE, plan, name);
	else
		prepare(session, unit, plan, SW_EXPECT_PARSE, name);
	sw_plan_names_set(&session->plans, session->engine->plans, name, plan);
}

/* ---- DEALLOCATE of what Seawall keeps, amid a pipeline: no server knows the name, so nothing is sent (T65) */

static bool is_ours(const struct sw_session *session, const struct sw_plan *plan)
{
	return plan && session->txn_status != 'E' && sw_lookahead_is_lone_deallocate(plan->statement) &&
	       sw_local_is_deallocate(session, plan->statement);
}

static void expect_own_parse(struct sw_session *session, struct sw_unit *unit, struct sw_plan *plan, const char *name)
{
	if (*name == '\0') {
		expect_unnamed(session, unit, SW_EXPECT_FAKE_PARSE, plan);
		return;
	}
	sw_unit_expect(unit, SW_EXPECT_FAKE_PARSE, plan, name);
	sw_plan_names_set(&session->plans, session->engine->plans, name, plan);
}

static struct sw_plan *plan_named(const struct sw_session *session, const char *name)
{
	return *name ? sw_plan_names_find(&session->plans, name) : session->unnamed;
}

/* Does the portal of that name hold such a one? */
static bool is_own_portal(const struct sw_unit *unit, const char *portal)
{
	return unit->own_portal && strcmp(unit->own_portal_name, portal) == 0;
}

static void forget_own_portal(struct sw_session *session, struct sw_unit *unit)
{
	sw_plan_unref(session->engine->plans, unit->own_portal);
	unit->own_portal = NULL;
}

/* True where it was one, and is answered. */
static bool bind_own(struct sw_session *session, struct sw_unit *unit, const char *portal, const char *name)
{
	struct sw_plan *plan = plan_named(session, name);

	if (is_own_portal(unit, portal))
		forget_own_portal(session, unit);
	if (!is_ours(session, plan) || strlen(portal) >= sizeof(unit->own_portal_name))
		return false;
	forget_own_portal(session, unit);
	unit->own_portal = sw_plan_ref(plan);
	strcpy(unit->own_portal_name, portal);
	sw_unit_expect(unit, SW_EXPECT_FAKE_BIND, NULL, NULL);
	return true;
}

static bool send_parse(struct sw_session *session, struct sw_unit *unit, const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);
	const char *name = sw_read_text(&body), *text = sw_read_text(&body);
	uint16_t type_count = sw_read_u16(&body);
	const uint8_t *types = sw_read_bytes(&body, (size_t)type_count * 4);
	struct sw_plan *plan;

	if (!sw_reader_is_done(&body)) {
		break_protocol(session, "malformed Parse message");
		return false;
	}
	if (sw_plan_names_count(&session->plans) >= CLIENT_PLANS_MAX) {
		break_protocol(session, "too many prepared statements in one session");
		return false;
	}
	plan = sw_session_plan(session, text, types, type_count);
	if (is_ours(session, plan) && !(*name && sw_plan_names_find(&session->plans, name))) {
		expect_own_parse(session, unit, plan, name);
	} else if (*name) {
		send_named_parse(session, unit, plan, name);
	} else {
		send_raw(session, message);
		expect_unnamed(session, unit, SW_EXPECT_PARSE, plan);
		session->server->unnamed = session->unnamed_serial;
	}
	sw_plan_unref(session->engine->plans, plan);
	return true;
}

/* What the name means; where the rows are not any more what they were, anew: the client asks what they are (shapes.c). */
static struct sw_plan *usable_plan(struct sw_session *session, const char *name)
{
	struct sw_plan *plan = sw_plan_names_find(&session->plans, name), *successor;

	if (!plan || !plan->is_stale)
		return plan;
	successor = sw_plans_successor(session->engine->plans, plan);
	sw_plan_names_set(&session->plans, session->engine->plans, name, successor);
	sw_plan_unref(session->engine->plans, successor); /* the name holds it */
	return successor;
}

static void set_bound(struct sw_session *session, struct sw_unit *unit, struct sw_plan *plan)
{
	if (plan)
		sw_plan_ref(plan);
	sw_plan_unref(session->engine->plans, unit->bound);
	unit->bound = plan;
}

/*
 * Bind and Describe 'S' speak of a statement by the client's name, which starts at body[at]. The plan, where it is a named
 * one.
 */
static struct sw_plan *send_about_statement(struct sw_session *session, struct sw_unit *unit,
	const struct sw_batch_message *message, size_t at, const char *name)
{
	struct sw_plan *plan = *name ? usable_plan(session, name) : NULL;
	char theirs[SW_NAME_MAX + 8];

	if (*name == '\0') {
		prepare_unnamed(session, unit);
		send_raw(session, message);
		return NULL;
	}
	if (plan) {
		if (!sw_plan_set_has(&session->server->plans, plan))
			prepare(session, unit, plan, SW_EXPECT_OWN_PARSE, NULL);
		sw_plan_name(plan, theirs);
	} else if (session->pins & (SW_PIN_PREPARE | SW_PIN_UNSEEN) && !sw_plan_name_is_ours(name)) {
		send_raw(session, message); /* the session's own server connection knows it from elsewhere */
		return NULL;
	} else {
		snprintf(theirs, sizeof(theirs), SW_UNKNOWN_NAME, name); /* no server knows it: the error is the server's */
	}
	send_renamed(session, message, at, strlen(name), theirs);
	return plan;
}

static void send_bind(struct sw_session *session, struct sw_unit *unit, const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);
	const char *portal = sw_read_text(&body), *name = sw_read_text(&body);
	struct sw_plan *plan;

	if (bind_own(session, unit, portal, name)) {
		session->pass_over = message->total - message->len;
		return;
	}
	plan = send_about_statement(session, unit, message, strlen(portal) + 1, name);
	if (*portal == '\0')
		set_bound(session, unit, plan);
	sw_unit_expect(unit, SW_EXPECT_BIND, plan, plan || *name == '\0' ? NULL : name);
}

/* Does the answer of a Describe tell something of the plan that is not known yet? */
static bool is_news(const struct sw_session *session, const struct sw_plan *plan, bool is_statement)
{
	return !sw_plan_set_is_checked(&session->server->plans, plan) || (is_statement && !plan->told_types);
}

static void send_describe(struct sw_session *session, struct sw_unit *unit, const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);
	bool is_statement = sw_read_u8(&body) == 'S';
	const char *name = sw_read_text(&body);
	struct sw_plan *plan = *name ? NULL : unit->bound;
	bool is_unnamed = is_statement && *name == '\0';

	if (is_statement ? is_ours(session, plan_named(session, name)) : is_own_portal(unit, name)) {
		sw_unit_expect(unit, is_statement ? SW_EXPECT_FAKE_NO_ROWS : SW_EXPECT_FAKE_NO_DATA, NULL, NULL);
		return;
	}
	if (is_statement)
		plan = send_about_statement(session, unit, message, 1, name);
	else
		send_raw(session, message);
	sw_unit_expect(unit, SW_EXPECT_DESCRIBE, is_unnamed ? session->unnamed : plan,
		is_statement && !is_unnamed && !plan ? name : NULL);
	sw_unit_last_expected(unit)->is_unnamed = is_unnamed;
	sw_unit_last_expected(unit)->is_told = is_unnamed ? session->unnamed != NULL : plan && is_news(session, plan, is_statement);
}

static void send_execute(struct sw_session *session, struct sw_unit *unit, const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);

	if (is_own_portal(unit, sw_read_text(&body))) {
		sw_unit_expect(unit, SW_EXPECT_FAKE_DEALLOCATE, unit->own_portal, NULL);
		forget_own_portal(session, unit); /* it can be run once */
		return;
	}
	send_raw(session, message);
	unit->has_executed = true;
	sw_unit_expect(unit, SW_EXPECT_EXECUTE, NULL, NULL);
}

static void send_close(struct sw_session *session, struct sw_unit *unit, const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);
	bool is_statement = sw_read_u8(&body) == 'S';
	const char *name = sw_read_text(&body);
	struct sw_plan *plan = is_statement && *name ? sw_plan_names_find(&session->plans, name) : NULL;

	if (plan || (is_statement && *name && !(session->pins & (SW_PIN_PREPARE | SW_PIN_UNSEEN)))) {
		/* The plan stays on the server connection, for whoever prepares it next. */
		sw_unit_expect(unit, SW_EXPECT_FAKE_CLOSE, plan, name);
		sw_plan_names_remove(&session->plans, session->engine->plans, name);
		return;
	}
	send_raw(session, message);
	if (is_statement && *name == '\0')
		expect_unnamed(session, unit, SW_EXPECT_CLOSE, NULL);
	else
		sw_unit_expect(unit, SW_EXPECT_CLOSE, NULL, NULL);
}

/* The names at its head must be there and well-formed before a message is sent. */
static bool are_names_readable(const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);

	if (message->type == 'D' || message->type == 'C') {
		uint8_t kind = sw_read_u8(&body);

		if (kind != 'S' && kind != 'P')
			return false;
	}
	if (message->type != 'H' && message->type != 'S')
		sw_read_text(&body);
	if (message->type == 'B')
		sw_read_text(&body);
	return !body.failed;
}

/* Must more of the message arrive before it can be handled? */
static bool is_incomplete(const struct sw_batch_message *message)
{
	if (message->len == message->total)
		return false;
	if (message->type == 'P' || message->type == 'Q')
		return message->total <= SW_STATEMENT_BYTES_MAX;
	if (message->type == 'F')
		return false;
	if (message->type == 'B')
		return message->len < NAMES_BYTES_MAX;
	return true;
}

/* It takes away what the statements around it have left: which of them came last could not be told. */
static bool is_discard_in_company(const struct sw_unit *unit)
{
	return unit->flags & SW_V_DISCARD_ALL && unit->statements > 1;
}

/* The batch is on its way to a node, and a hint asks for what that one cannot do: then the session has ended. */
static bool is_hint_too_late(struct sw_session *session, struct sw_unit *unit)
{
	if (!unit->problem && !sw_hint_is_unmet(session, unit))
		return false;
	break_protocol(session, "a hint that cannot be followed comes too late in a pipeline");
	return true;
}

/* ---- a query or a function call behind a batch without Sync: it ends the batch, with one ReadyForQuery for both */

/* A Sync of Seawall's own; what the client has sent behind it waits for its answer. */
static void send_own_sync(struct sw_session *session, struct sw_unit *unit)
{
	sw_msg_sync(out_of(session));
	unit->is_sent = unit->is_own_sync = true;
}

/* Is what the batch has executed, and what follows, one transaction only because there is no Sync between them? */
static bool is_implicit_transaction(const struct sw_unit *unit)
{
	return unit->has_executed && (!unit->was_in_transaction || unit->flags & SW_V_END);
}

/* False where it has to wait, or is to come again as a unit of its own. */
static bool send_query(struct sw_session *session, struct sw_unit *unit, const struct sw_batch_message *message)
{
	struct sw_statement *statement = &sw_unseen_statement;
	bool is_query = message->type == 'Q', is_seen = message->len == message->total;

	if (is_query && is_seen && message->bytes[message->total - 1] != '\0') {
		break_protocol(session, "invalid string in message");
		return false;
	}
	if (is_query && is_seen)
		statement = sw_session_query(session, (const char *)message->bytes + SW_HEADER_BYTES,
			message->total - SW_HEADER_BYTES - 1);
	if (!is_implicit_transaction(unit) || sw_local_is(session, statement) || statement->verdict.flags & SW_V_DISCARD_ALL) {
		send_own_sync(session, unit);
		return false;
	}
	if (unit->expect_count > 0 && !unit->is_awaited) {
		sw_msg_flush(out_of(session));
		unit->is_awaited = true;
	}
	if (unit->expect_count > 0)
		return false;
	if (is_query)
		sw_session_forget_unnamed(session);
	sw_unit_add(session, unit, is_query ? statement : &sw_call_statement);
	if (is_hint_too_late(session, unit))
		return false;
	unit->is_sent = true;
	unit->is_extended = false;
	send_raw(session, message);
	return true;
}

/* ---- one message of a batch */

bool sw_extended_has(char type)
{
	return sw_batch_has(type) || type == 'Q' || type == 'F';
}

/* Handles one message; false where it has to wait or the session ended. */
static bool send_message(struct sw_session *session, struct sw_unit *unit, const struct sw_batch_message *message)
{
	if (!sw_extended_has(message->type))
		return false;
	if (unit->has_failed && message->type != 'S') {
		session->pass_over = message->total - message->len;
		return true;
	}
	if (sw_batch_is_too_long(message)) {
		break_protocol(session, "invalid message length");
		return false;
	}
	if (is_incomplete(message))
		return false;
	if (message->type == 'Q' || message->type == 'F')
		return send_query(session, unit, message);
	if (!are_names_readable(message)) {
		break_protocol(session, "malformed extended query message");
		return false;
	}
	if (unit->scanned >= message->total)
		unit->scanned -= message->total;
	else
		sw_lookahead_late(session, message);
	if (is_discard_in_company(unit)) {
		break_protocol(session, "DISCARD ALL cannot share a pipeline with other statements");
		return false;
	}
	if (is_hint_too_late(session, unit))
		return false;
	switch (message->type) {
	case 'P':
		if (message->len == message->total)
			return send_parse(session, unit, message);
		send_raw(session, message);
		sw_unit_expect(unit, SW_EXPECT_PARSE, NULL, NULL);
		session->server->unnamed = 0;
		break;
	case 'B':
		send_bind(session, unit, message);
		break;
	case 'D':
		send_describe(session, unit, message);
		break;
	case 'E':
		send_execute(session, unit, message);
		break;
	case 'C':
		send_close(session, unit, message);
		break;
	case 'S':
		unit->is_sent = true;
		send_raw(session, message);
		break;
	default: /* Flush */
		if (unit->is_prepare_only)
			send_own_sync(session, unit);
		else
			send_raw(session, message);
	}
	return true;
}

/* Sends what is there of the batch, in one write. */
static size_t send_batch(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	struct sw_unit *unit = session->unit;
	struct sw_batch_message message;
	size_t used = 0;

	while (!unit->is_sent && session->pass == 0 && session->pass_over == 0 && sw_batch_next(bytes + used, len - used, &message)) {
		if (!send_message(session, unit, &message))
			break;
		used += message.len;
		if (sw_buf_len(out_of(session)) > SW_HIGH_WATER_BYTES)
			break;
	}
	if (session->state == SW_SESSION_CLOSING) {
		sw_buf_clear(out_of(session));
		return 0;
	}
	flush(session);
	sw_relay_emit_fakes(session);
	return used;
}

/* ---- the first message of a batch */

static void keep_request(struct sw_session *session, struct sw_unit *unit, const uint8_t *bytes)
{
	bool is_replica = !session->server->is_primary;
	bool may_keep = unit->is_whole && !unit->was_in_transaction && session->pins == 0 && !unit->is_final;
	bool may_retry = may_keep && is_replica && (unit->common & SW_V_RETRY || unit->flags & SW_V_BEGIN);
	bool may_heal = may_keep && unit->statements <= 1 && unit->has_named;

	if (!(may_retry || may_heal) || sw_buf_append(&unit->request, bytes, unit->scanned) != SW_OK)
		return;
	unit->may_retry = may_retry;
	unit->may_heal = may_heal && !unit->is_again;
}

/* The BEGIN of a batch that opens a read-only transaction on a replica (T14). */
static void remember_begin(struct sw_session *session, const struct sw_unit *unit)
{
	if (unit->flags & SW_V_BEGIN && unit->statement && !session->begin && !session->server->is_primary)
		session->begin = sw_mem_strndup(unit->statement->text, unit->statement->len);
}

/* Makes the unit from what is there; false where more has to arrive, or the batch was answered here. */
static bool begin_batch(struct sw_session *session, const uint8_t *bytes, size_t len, size_t *ret_used)
{
	struct sw_lookahead seen;
	struct sw_unit *unit;
	bool is_local = false;

	*ret_used = 0;
	if (!sw_lookahead_is_whole(bytes, len) && len < BATCH_BYTES_MAX)
		return false;
	unit = sw_unit_begin(session);
	unit->is_extended = unit->is_read = true;
	sw_lookahead(session, bytes, len, &seen);
	unit->scanned = seen.bytes;
	unit->is_prepare_only = seen.has_flush && seen.is_prepare_only;
	unit->is_whole = seen.has_sync || unit->is_prepare_only;
	unit->has_named = seen.has_named;
	unit->has_blind = seen.blind_count > 0;
	if (!unit->is_whole)
		unit->is_read = false;
	if (seen.is_broken) {
		break_protocol(session, "malformed extended query message");
	} else if (unit->is_whole && !seen.has_other_portal && seen.local_count == seen.statement_count &&
		   (seen.statement_count > 0 || seen.bytes == SW_HEADER_BYTES || session->is_console)) {
		is_local = true; /* also a lone Sync */
	} else if (seen.setting_count > 0) {
		sw_unit_keep_problem(unit, &(struct sw_problem){.sqlstate = "0A000",
			.message = "a setting of seawall cannot share a pipeline with other statements",
			.hint = "Send it on its own, followed by Sync."});
	} else if (is_discard_in_company(unit)) {
		sw_unit_keep_problem(unit, &(struct sw_problem){.sqlstate = "0A000",
			.message = "DISCARD ALL cannot share a pipeline with other statements",
			.hint = "Send it on its own, followed by Sync."});
	}
	if (session->state == SW_SESSION_CLOSING)
		return false;
	if (is_local) {
		size_t used = unit->scanned;

		session->unit = NULL;
		sw_unit_free(session->engine, unit);
		if (seen.has_unknown_token && sw_token_wait(session))
			return false;
		sw_local_batch(session, bytes, used);
		*ret_used = used;
		return false;
	}
	return true;
}

size_t sw_extended_consume(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	size_t used;

	if (session->state == SW_SESSION_UNIT)
		return send_batch(session, bytes, len);
	if (!session->unit && !begin_batch(session, bytes, len, &used))
		return used;
	switch (sw_route_unit(session, session->unit)) {
	case SW_ROUTE_WAIT:
		return 0;
	case SW_ROUTE_ENDED: /* the session skips up to Sync, beginning here */
		return sw_input_consume(session, bytes, len);
	case SW_ROUTE_GO:
		break;
	}
	switch (sw_shapes_ask(session, session->unit, bytes)) {
	case SW_ROUTE_WAIT:
		return 0;
	case SW_ROUTE_ENDED:
		return sw_input_consume(session, bytes, len);
	case SW_ROUTE_GO:
		break;
	}
	keep_request(session, session->unit, bytes);
	remember_begin(session, session->unit);
	session->state = SW_SESSION_UNIT;
	return send_batch(session, bytes, len);
}
