/*
 * Tokens in a session: SHOW and SET of seawall.token, one in the startup packet, one in a hint. A token is shown when it
 * covers all that the session has seen and taken when the cluster is known to have been where it points; either may take a
 * sample of the primary, so the session waits, and then takes the step again from its first byte. Runs on the worker's thread.
 *
 * Invariant: while session->asked_ns is set the session's unit, if there is one, stands for the wait and for nothing else.
 * What is not here: the text and the judgement (router/token.c), what is answered (local.c).
 */
#include <string.h>

#include "proxy/base/clock.h"
#include "proxy/config.h"
#include "proxy/session/session.h"
#include "router/verdicts.h"

static const struct sw_problem damaged = {.severity = "ERROR", .sqlstate = "22023",
	.message = "invalid value for seawall.token: it is no token, or was changed",
	.hint = "Take what SHOW seawall.token has given, as it is."};
static const struct sw_problem not_at_eventual = {.severity = "ERROR", .sqlstate = "22023",
	.message = "a token means nothing to a session of consistency eventual",
	.hint = "SET seawall.consistency = session first."};

#define UNANSWERED \
	{.severity = "ERROR", .sqlstate = "57P03", \
		.message = "seawall.token needs the primary, and it has not answered within query_wait_timeout", \
		.hint = "Try again. SHOW NODES on the console says what is wrong with each node."}

static const struct sw_problem refusals[] = {
	[SW_TOKEN_UNKNOWN] = UNANSWERED,
	[SW_TOKEN_FOREIGN] = {.severity = "ERROR", .sqlstate = "22023", .message = "the token is of another cluster",
		.detail = "The system identifier in it is not that of this cluster.",
		.hint = "Take one from a session in front of this cluster."},
	[SW_TOKEN_FUTURE] = {.severity = "ERROR", .sqlstate = "22023", .message = "the token is from the future",
		.detail = "The primary has not written as far as it points, and may never do so: no read would be answered.",
		.hint = "Take a new one, if the cluster was restored or has lost WAL in a crash."},
};

static const struct sw_problem cancelled = {.severity = "ERROR", .sqlstate = "57014",
	.message = "canceling statement due to user request", .detail = "It was waiting for a sample of the primary."};

static enum sw_token_fit judge(struct sw_session *session, const struct sw_token *token, int64_t asked_ns)
{
	sw_engine_refresh_view(session->engine);
	return sw_token_judge(token, session->engine->board, &session->engine->view, asked_ns);
}

static void raise_floor(struct sw_session *session, const struct sw_token *token)
{
	sw_floor_raise(&session->floor, &session->engine->view, token->at, sw_clock_ns());
}

/* ---- waiting */

bool sw_token_wait(struct sw_session *session)
{
	struct sw_unit *unit;

	if (session->is_cancelled)
		return false;
	unit = sw_unit_begin(session);
	if (session->asked_ns == 0)
		session->asked_ns = unit->started_ns;
	unit->waiting_since_ns = session->asked_ns;
	if (sw_route_await_primary(session, unit))
		return true;
	session->unit = NULL;
	sw_unit_free(session->engine, unit);
	return false;
}

void sw_token_answered(struct sw_session *session)
{
	session->asked_ns = 0;
	session->is_cancelled = false;
}

static void die_of(struct sw_session *session, const struct sw_problem *problem)
{
	struct sw_problem fatal = *problem;

	fatal.severity = "FATAL";
	sw_session_die(session, SW_END_LOGIN, &fatal);
}

bool sw_token_resume(struct sw_session *session)
{
	enum sw_token_fit fit;

	if (session->asked_ns) {
		session->is_cancelled = session->unit && session->unit->problem;
		sw_unit_free(session->engine, session->unit);
		session->unit = NULL;
	}
	if (!session->has_token)
		return true;
	session->is_cancelled = false; /* the statement is not the one that waits */
	fit = judge(session, &session->token, session->asked_ns);
	if (fit == SW_TOKEN_UNKNOWN && sw_token_wait(session))
		return false;
	if (fit != SW_TOKEN_GOOD) {
		die_of(session, &refusals[fit]);
		return false;
	}
	raise_floor(session, &session->token);
	session->has_token = false;
	sw_token_answered(session);
	return true;
}

/* ---- at login */

const struct sw_problem *sw_token_remember(struct sw_session *session, const char *text)
{
	if (sw_token_parse(text, strlen(text), &session->token) != SW_OK)
		return &damaged;
	session->has_token = true;
	return NULL;
}

bool sw_token_may_enter(struct sw_session *session)
{
	enum sw_token_fit fit;

	if (!session->has_token)
		return true;
	if (session->level == SW_LEVEL_EVENTUAL) {
		die_of(session, &not_at_eventual);
		return false;
	}
	fit = judge(session, &session->token, 0);
	if (fit == SW_TOKEN_GOOD || fit == SW_TOKEN_UNKNOWN)
		return true; /* sw_token_resume goes on with it, before the first message */
	die_of(session, &refusals[fit]);
	return false;
}

/* ---- SET and SHOW */

/* All that the session has seen is in its floor, and the cluster has a name. */
static bool is_settled(struct sw_session *session)
{
	const struct sw_view *view = &session->engine->view;

	return sw_token_system(view) != 0 && view->timeline != 0 &&
	       sw_floor_resolve(&session->floor, session->engine->board, view) == SW_OK;
}

/*
 * What is seen and is no event yet: what the transaction under way has read (what it has written nobody else can see), and in
 * a dry run all reads, which are noted where they would have run.
 */
static void note_unnoted(struct sw_session *session)
{
	const struct sw_server *server = session->server;

	if (session->asked_ns != 0)
		return;
	if (session->engine->config->dry_run)
		sw_floor_add_event(&session->floor, -1, true, sw_clock_ns());
	else if (session->txn_status == 'T' && session->has_event && server)
		sw_floor_add_event(&session->floor, (int)server->pool->key.node, server->is_primary, sw_clock_ns());
}

bool sw_token_is_known(struct sw_session *session, const struct sw_statement *statement)
{
	const struct sw_verdict *verdict = &statement->verdict;
	struct sw_token token;

	if (!(verdict->flags & SW_V_SEAWALL) || session->is_console || strcmp(verdict->names[0], "seawall.token") != 0)
		return true;
	if (verdict->flags & SW_V_SHOW) {
		sw_engine_refresh_view(session->engine);
		note_unnoted(session);
		return is_settled(session);
	}
	if (sw_token_parse(verdict->value, strlen(verdict->value), &token) != SW_OK)
		return true; /* and so refused */
	return judge(session, &token, session->asked_ns) != SW_TOKEN_UNKNOWN;
}

const struct sw_problem *sw_token_set(struct sw_session *session, const char *text)
{
	struct sw_token token;
	enum sw_token_fit fit;

	if (sw_token_parse(text, strlen(text), &token) != SW_OK)
		return &damaged;
	if (session->level == SW_LEVEL_EVENTUAL)
		return &not_at_eventual;
	fit = judge(session, &token, session->asked_ns);
	if (fit == SW_TOKEN_UNKNOWN && session->is_cancelled)
		return &cancelled;
	if (fit != SW_TOKEN_GOOD)
		return &refusals[fit];
	raise_floor(session, &token);
	return NULL;
}

const struct sw_problem *sw_token_show(struct sw_session *session, char *out)
{
	const struct sw_view *view = &session->engine->view;
	struct sw_token token;

	if (!is_settled(session))
		return session->is_cancelled ? &cancelled : &refusals[SW_TOKEN_UNKNOWN];
	token = (struct sw_token){.system_id = sw_token_system(view), .at = session->floor.at};
	if (token.at.timeline == 0)
		token.at.timeline = view->timeline;
	sw_token_format(&token, out);
	return NULL;
}

/* ---- in a hint */

/* A batch may bring several: of those of one timeline the furthest stands for all. */
static const struct sw_problem *keep(struct sw_unit *unit, const struct sw_token *token)
{
	if (unit->has_token &&
		(unit->token.system_id != token->system_id || unit->token.at.timeline != token->at.timeline))
		return &refusals[SW_TOKEN_FUTURE];
	if (!unit->has_token || sw_lsn_at_least(token->at.lsn, unit->token.at.lsn))
		unit->token = *token;
	unit->has_token = true;
	return NULL;
}

const struct sw_problem *sw_token_hinted(struct sw_session *session, struct sw_unit *unit, const struct sw_token *token)
{
	enum sw_token_fit fit = judge(session, token, 0);

	if (fit == SW_TOKEN_UNKNOWN)
		return keep(unit, token);
	if (fit != SW_TOKEN_GOOD)
		return &refusals[fit];
	raise_floor(session, token);
	return NULL;
}

enum sw_route_step sw_token_bring(struct sw_session *session, struct sw_unit *unit)
{
	enum sw_token_fit fit = judge(session, &unit->token, unit->started_ns);

	if (fit == SW_TOKEN_UNKNOWN && sw_route_await_primary(session, unit))
		return SW_ROUTE_WAIT;
	if (fit != SW_TOKEN_GOOD) {
		sw_unit_fail(session, &refusals[fit]);
		return SW_ROUTE_ENDED;
	}
	raise_floor(session, &unit->token);
	unit->has_token = false;
	return SW_ROUTE_GO;
}
