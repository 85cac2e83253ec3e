/*
 * The choice of a replica: sticky first, since a session that stays needs no new bound for what it saw there; else two
 * random candidates and the less loaded of them (M. Mitzenmacher, 'The power of two choices', 2001), by load over weight.
 * Pure; the caller's thread.
 */
#include "router/choose.h"

static const char *const reason_texts[SW_ROUTE_REASONS] = {
	[SW_ROUTE_NONE] = "none",
	[SW_ROUTE_READ] = "read",
	[SW_ROUTE_WAITED] = "waited",
	[SW_ROUTE_STALE] = "stale",
	[SW_ROUTE_STATEMENT] = "statement",
	[SW_ROUTE_TRANSACTION] = "transaction",
	[SW_ROUTE_PINNED] = "pinned",
	[SW_ROUTE_LEVEL] = "level",
	[SW_ROUTE_HINT] = "hint",
	[SW_ROUTE_SETTING] = "setting",
	[SW_ROUTE_NO_REPLICA] = "no_replica",
	[SW_ROUTE_BEHIND] = "behind",
	[SW_ROUTE_REFUSED] = "refused",
	[SW_ROUTE_LOST] = "lost",
	[SW_ROUTE_DRY] = "dry_run",
};

const char *sw_route_reason_text(enum sw_route_reason reason)
{
	return reason < SW_ROUTE_REASONS ? reason_texts[reason] : "unknown";
}

static bool is_fit(const struct sw_choice_request *request, int node)
{
	const struct sw_view_node *seen = &request->view->node[node];

	return seen->role == SW_ROLE_REPLICA && seen->is_up && seen->is_lineage_ok && seen->sent_ns > 0 &&
	       seen->fit_mask >> request->lag_class & 1 && request->weights[node] > 0 &&
	       !(request->excluded >> node & 1);
}

static bool is_admitted(const struct sw_choice_request *request, int node)
{
	return request->is_eventual ||
	       sw_floor_admits(request->floor, request->board, request->view, node) == SW_OK;
}

/* Is a less loaded than b, for their weights? */
static bool is_lighter(const struct sw_choice_request *request, int a, int b)
{
	return (uint64_t)request->loads[a] * request->weights[b] < (uint64_t)request->loads[b] * request->weights[a];
}

enum sw_choice_kind sw_choose_replica(const struct sw_choice_request *request, int *ret_node)
{
	int ready[SW_NODES_MAX], ready_count = 0, first, second;
	bool is_waiting_useful = false;

	if (request->sticky >= 0 && is_fit(request, request->sticky) && is_admitted(request, request->sticky)) {
		*ret_node = request->sticky;
		return SW_CHOICE_REPLICA;
	}
	for (int node = 0; node < (int)request->node_count; node++) {
		if (!is_fit(request, node))
			continue;
		if (is_admitted(request, node))
			ready[ready_count++] = node;
		else if (!request->view->node[node].is_delayed)
			is_waiting_useful = true;
	}
	if (ready_count == 0)
		return is_waiting_useful ? SW_CHOICE_WAIT : SW_CHOICE_NONE;
	first = ready[request->random % (uint32_t)ready_count];
	second = ready[(request->random >> 16) % (uint32_t)ready_count];
	*ret_node = is_lighter(request, second, first) ? second : first;
	return SW_CHOICE_REPLICA;
}

int sw_choose_stale(const struct sw_choice_request *request)
{
	int best = -1;

	for (int node = 0; node < (int)request->node_count; node++) {
		if (!is_fit(request, node))
			continue;
		if (best < 0 || request->view->node[node].at.lsn.pos > request->view->node[best].at.lsn.pos)
			best = node;
	}
	return best;
}
