/*
 * Hints: the leading comment of a statement (router/hint.h) steers the unit that the statement is in, where the session
 * honours hints. Runs on the worker's thread.
 *
 * Invariant: a unit's level is the strongest that any of its statements asks for, and a statement without a hint asks for the
 * session's. A hint that cannot be followed is an error: its writer relies on it.
 */
#include "proxy/config.h"
#include "proxy/session/session.h"
#include "router/verdicts.h"

static void refuse(struct sw_unit *unit, const char *message, const char *hint)
{
	sw_unit_keep_problem(unit, &(struct sw_problem){.sqlstate = "22023", .message = message, .hint = hint});
}

static void raise_level(struct sw_unit *unit, enum sw_consistency level)
{
	if (unit->statements == 0 || sw_level_is_weaker((enum sw_consistency)unit->level, level))
		unit->level = (uint8_t)level;
}

static enum sw_consistency level_of(const struct sw_session *session, const struct sw_hint *hint)
{
	enum sw_consistency level = hint->has_level ? (enum sw_consistency)hint->level : (enum sw_consistency)session->level;

	return hint->has_token && level == SW_LEVEL_EVENTUAL ? SW_LEVEL_SESSION : level;
}

void sw_hint_apply(struct sw_session *session, struct sw_unit *unit, const struct sw_hint *hint)
{
	const struct sw_problem *problem;

	if (!hint->is_there || !session->has_hints) {
		raise_level(unit, (enum sw_consistency)session->level);
		return;
	}
	if (hint->fault) {
		refuse(unit, hint->fault, "Write /* seawall: consistency=LEVEL, route=primary, token=TOKEN */, any of the three.");
		return;
	}
	if (hint->has_level &&
		sw_level_is_weaker((enum sw_consistency)hint->level, (enum sw_consistency)session->engine->config->minimum_consistency)) {
		refuse(unit, "the consistency in a hint is weaker than minimum_consistency allows", "Ask for a stronger level.");
		return;
	}
	unit->has_hint = true;
	raise_level(unit, level_of(session, hint));
	if (hint->is_primary)
		unit->forced = SW_ROUTE_HINT;
	if (!hint->has_token)
		return;
	problem = sw_token_hinted(session, unit, &hint->token);
	if (problem)
		sw_unit_keep_problem(unit, problem);
}

bool sw_hint_is_unmet(struct sw_session *session, const struct sw_unit *unit)
{
	const struct sw_server *server = session->server;
	bool is_placed = server && (unit->was_in_transaction || session->pins);

	if (!unit->has_hint || !is_placed || server->is_primary)
		return false;
	if (unit->forced == SW_ROUTE_HINT || unit->level == SW_LEVEL_OFF || unit->level == SW_LEVEL_STRONG || unit->has_token)
		return true;
	return unit->level == SW_LEVEL_SESSION && sw_floor_admits(&session->floor, session->engine->board, &session->engine->view,
		(int)server->pool->key.node) != SW_OK;
}
