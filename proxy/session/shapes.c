/*
 * What a client was told of a statement's parameters and rows must hold when it runs the statement without asking again
 * (T64). One server connection sees to that itself ("cached plan must not change result type"); here it is seen to when the
 * statement is prepared late, on another one. Runs on the worker's thread.
 * Source: PostgreSQL manual, 55.2.3 'Extended Query', and PREPARE.
 */
#include <string.h>

#include "proxy/session/batch.h"

/* ---- telling */

bool sw_shapes_want(struct sw_session *session, char type)
{
	const struct sw_expect *expect;

	if ((type != 't' && type != 'T' && type != 'n') || !session->unit || !session->unit->is_extended)
		return false;
	expect = sw_unit_expected_of_server(session->unit);
	return expect && expect->kind == SW_EXPECT_DESCRIBE && expect->is_told;
}

/* The session goes on with another plan in place of a retired one; a reference. */
static struct sw_plan *move_on(struct sw_session *session, struct sw_plan *plan)
{
	struct sw_plans *plans = session->engine->plans;
	struct sw_plan *successor = sw_plans_successor(plans, plan);

	sw_plan_names_replace(&session->plans, plans, plan, successor);
	if (session->unnamed == plan) {
		session->unnamed = sw_plan_ref(successor); /* the server's is the same */
		sw_plan_unref(plans, plan);
	}
	return successor;
}

/* The client hears now that the rows are others: for it they are, for who was told before they are not. */
static void tell_change(struct sw_session *session, struct sw_plan *plan, uint64_t shape)
{
	struct sw_plan *successor;

	sw_plans_spoil(session->engine->plans, plan);
	successor = move_on(session, plan);
	if (successor->shape == 0)
		successor->shape = shape;
	sw_plan_unref(session->engine->plans, successor);
}

/* For this client they hold; who was told others before keeps those. */
static void tell_types(struct sw_session *session, struct sw_expect *expect, const uint8_t *types, uint16_t count)
{
	struct sw_plan *plan = expect->plan;

	if (plan->told_types && (plan->told_type_count != count || memcmp(plan->told_types, types, (size_t)count * 4) != 0)) {
		sw_plans_retire(session->engine->plans, plan);
		expect->plan = move_on(session, plan);
		sw_plan_unref(session->engine->plans, plan);
	}
	sw_plan_fix_types(expect->plan, types, count);
}

void sw_shapes_note(struct sw_session *session, char type, const uint8_t *body, size_t len)
{
	struct sw_expect *expect = sw_unit_expected_of_server(session->unit);
	struct sw_plan *plan = expect->plan;
	uint64_t shape;

	if (type == 't') {
		struct sw_reader reader = sw_reader_over(body, len);
		uint16_t count = sw_read_u16(&reader);
		const uint8_t *types = sw_read_bytes(&reader, (size_t)count * 4);

		if (types)
			tell_types(session, expect, types, count);
		return;
	}
	shape = type == 'n' ? SW_ROW_SHAPE_NONE : sw_row_shape(body, len);
	if (plan->shape == 0)
		plan->shape = shape;
	if (plan->shape == shape)
		sw_plan_set_check(&session->server->plans, plan);
	else
		tell_change(session, plan, shape);
}

/* ---- asking */

struct use {
	struct sw_plan *plan;
	const char *name; /* the client's */
	size_t upto;      /* where its Bind ends in the batch */
};

/* Are its rows what the client was told, on the server connection that the session has now? */
static bool is_safe(const struct sw_session *session, const struct use *use)
{
	if (!use->plan)
		return true;
	if (use->plan->is_stale)
		return false;
	if (use->plan->shape <= SW_ROW_SHAPE_NONE)
		return true;
	return *use->name ? sw_plan_set_is_checked(&session->server->plans, use->plan) :
			    session->server->unnamed == session->unnamed_serial;
}

/* Is the name prepared by the batch itself, bytes[0..len)? */
static bool is_new(const uint8_t *bytes, size_t len, const char *name)
{
	struct sw_batch_message message;

	for (size_t at = 0; sw_batch_next(bytes + at, len - at, &message); at += message.total) {
		struct sw_reader body = sw_batch_body(&message);

		if (message.type == 'P' && strcmp(sw_read_text(&body), name) == 0)
			return true;
	}
	return false;
}

/* The first Bind of the batch, whole messages, whose rows the client does not ask for and which may be others by now. */
static struct use find_unsafe(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	struct use use = {.plan = NULL};
	const char *portal = "", *asked = NULL;
	struct sw_batch_message message;

	for (size_t at = 0; sw_batch_next(bytes + at, len - at, &message); at += message.total) {
		struct sw_reader body = sw_batch_body(&message);

		if (message.type == 'D') {
			if (sw_read_u8(&body) == 'S')
				asked = sw_read_text(&body);
			else if (strcmp(sw_read_text(&body), portal) == 0)
				use.plan = NULL;
			continue;
		}
		if (!is_safe(session, &use))
			return use;
		use.plan = NULL;
		if (message.type != 'B')
			continue;
		portal = sw_read_text(&body);
		use.name = sw_read_text(&body);
		use.upto = at + message.total;
		if (use.upto <= session->unit->asked_upto || (asked && strcmp(asked, use.name) == 0))
			continue;
		use.plan = *use.name ? sw_plan_names_find(&session->plans, use.name) : session->unnamed;
		if (!is_safe(session, &use) && is_new(bytes, at, use.name))
			use.plan = NULL;
	}
	if (is_safe(session, &use))
		use.plan = NULL;
	return use;
}

static void keep_change(struct sw_unit *unit)
{
	sw_unit_keep_problem(unit, &(struct sw_problem){.sqlstate = "0A000",
		.message = "cached plan must not change result type",
		.hint = "Prepare the statement again: its columns are others than when it was described."});
}

static void keep_failure(struct sw_unit *unit, const struct sw_round *round)
{
	struct sw_problem problem = {.message = round->message};

	memcpy(problem.sqlstate, round->sqlstate, sizeof(problem.sqlstate));
	sw_unit_keep_problem(unit, &problem);
}

/* A replica may be behind, or in trouble (T54, T57): what it says of the rows is not the last word. */
static bool may_ask_primary(const struct sw_session *session, const struct sw_round *round)
{
	return !session->server->is_primary && session->txn_status == 'I' && session->pins == 0 &&
	       (!round->has_failed || sw_relay_is_worth_retrying(round->sqlstate));
}

/* The statement of the round that is under way lies in unit->asked. */
static void on_described(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;
	struct sw_unit *unit = session->unit;
	struct sw_plan *plan = unit->asked;
	bool is_same = !round->has_failed && round->shape == plan->shape;

	session->state = SW_SESSION_READY;
	if (!round->has_parsed) {
		sw_plan_set_remove(&server->plans, session->engine->plans, plan);
		server->unnamed = 0;
	}
	if (!is_same && may_ask_primary(session, round)) {
		unit->forced = SW_ROUTE_REFUSED;
		sw_unit_detach(session);
	} else if (round->has_failed) {
		keep_failure(unit, round);
	} else if (is_same) {
		sw_plan_set_check(&server->plans, plan);
	} else {
		sw_plans_spoil(session->engine->plans, plan);
		keep_change(unit);
	}
	sw_plan_unref(session->engine->plans, unit->asked);
	unit->asked = NULL;
	sw_session_resume(session);
}

/* Prepares it anew, and asks. */
static enum sw_route_step describe(struct sw_session *session, struct sw_unit *unit, const struct use *use)
{
	struct sw_buf *out = &session->engine->assembly;
	struct sw_plan_set *held = &session->server->plans;
	char name[SW_PLAN_NAME_MAX] = "";

	if (*use->name == '\0') {
		session->server->unnamed = session->unnamed_serial;
	} else {
		sw_plan_name(use->plan, name);
		if (sw_plan_set_has(held, use->plan)) {
			sw_msg_close_statement(out, name);
		} else {
			sw_extended_make_room(session, NULL);
			sw_plan_set_add(held, use->plan);
		}
	}
	sw_extended_add_parse(session, name, use->plan);
	sw_msg_describe_statement(out, name);
	sw_msg_sync(out);
	sw_plan_unref(session->engine->plans, unit->asked); /* of a server connection that was lost, perhaps */
	unit->asked = sw_plan_ref(use->plan);
	unit->asked_upto = use->upto; /* the server connection may have to give it up for the next one: once is enough */
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(session->server, sw_buf_data(out), sw_buf_len(out), on_described, session);
	sw_buf_clear(out);
	return SW_ROUTE_WAIT;
}

enum sw_route_step sw_shapes_ask(struct sw_session *session, struct sw_unit *unit, const uint8_t *bytes)
{
	struct use use;

	if (!unit->has_blind || session->txn_status == 'E')
		return SW_ROUTE_GO;
	use = find_unsafe(session, bytes, unit->scanned);
	if (!use.plan)
		return SW_ROUTE_GO;
	if (!use.plan->is_stale)
		return describe(session, unit, &use);
	keep_change(unit);
	return sw_route_unit(session, unit);
}
