/* Floors and events: see floor.h for the argument that each step below relies on. Pure; the caller's thread. */
#include "router/floor.h"

void sw_floor_add_event(struct sw_floor *floor, int node, bool is_primary, int64_t now_ns)
{
	if (is_primary) {
		/* A bound for this event is one for every earlier event anywhere (rules 1 and 2). */
		floor->primary_event_ns = now_ns;
		floor->replica_event_ns = 0;
		return;
	}
	if (floor->replica_event_ns > 0 && floor->replica != node) {
		/* Only reads that asked for no floor move without resolving the event behind them: let rule 1 cover both. */
		floor->primary_event_ns = now_ns;
		floor->replica_event_ns = 0;
		return;
	}
	floor->replica = node;
	floor->replica_event_ns = now_ns;
}

static void raise_to(struct sw_floor *floor, struct sw_position at)
{
	if (floor->at.timeline == at.timeline)
		floor->at.lsn = sw_lsn_max(floor->at.lsn, at.lsn);
	else if (at.timeline > floor->at.timeline)
		floor->at = at;
}

/*
 * A bound from a node's ring, which is live, while the view that vouches for the node (its role, its incarnation) is a copy.
 * What the view says is published before the first sample that it applies to; so where nothing newer has been published
 * by the time the bound was read, the view speaks of that sample's generation.
 */
static enum sw_err bound_of(const struct sw_board *board, const struct sw_view *view, int node, int64_t event_ns,
	struct sw_position *ret_bound)
{
	struct sw_position bound;

	if (sw_board_first_after(board, node, event_ns, &bound) != SW_OK || !sw_board_is_newest(board, view))
		return SW_ERR_AGAIN;
	*ret_bound = bound;
	return SW_OK;
}

/* Rule 1. Resolves every event with one sample of the primary, if there is one. */
static enum sw_err resolve_by_primary(struct sw_floor *floor, const struct sw_board *board, const struct sw_view *view)
{
	int64_t event_ns = floor->primary_event_ns > floor->replica_event_ns ? floor->primary_event_ns :
									       floor->replica_event_ns;
	struct sw_position bound;

	if (view->primary < 0 || bound_of(board, view, view->primary, event_ns, &bound) != SW_OK)
		return SW_ERR_AGAIN;
	raise_to(floor, bound);
	floor->primary_event_ns = floor->replica_event_ns = 0;
	return SW_OK;
}

/* Rule 2. Resolves the event on a replica before the session moves away from it. */
static enum sw_err resolve_replica_event(struct sw_floor *floor, const struct sw_board *board, const struct sw_view *view)
{
	const struct sw_view_node *node = &view->node[floor->replica];
	struct sw_position bound;

	if (node->is_up && node->since_ns > 0 && node->since_ns < floor->replica_event_ns && node->is_lineage_ok &&
		bound_of(board, view, floor->replica, floor->replica_event_ns, &bound) == SW_OK) {
		raise_to(floor, bound);
		floor->replica_event_ns = 0;
		return SW_OK;
	}
	return resolve_by_primary(floor, board, view);
}

/* Rule 5. */
static enum sw_err follow_timeline(struct sw_floor *floor, const struct sw_view *view)
{
	const struct sw_view_node *primary;

	if (floor->at.timeline == 0 || floor->at.timeline == view->timeline)
		return SW_OK;
	if (view->primary < 0)
		return SW_ERR_AGAIN;
	primary = &view->node[view->primary];
	if (primary->sent_ns == 0 || primary->at.timeline <= floor->at.timeline)
		return SW_ERR_AGAIN;
	floor->at = primary->at;
	return SW_OK;
}

enum sw_err sw_floor_admits(struct sw_floor *floor, const struct sw_board *board, const struct sw_view *view, int node)
{
	const struct sw_view_node *replica = &view->node[node];

	if (floor->primary_event_ns > 0 && resolve_by_primary(floor, board, view) != SW_OK)
		return SW_ERR_AGAIN;
	if (floor->replica_event_ns > 0 && (floor->replica != node || replica->since_ns >= floor->replica_event_ns) &&
		resolve_replica_event(floor, board, view) != SW_OK)
		return SW_ERR_AGAIN;
	if (follow_timeline(floor, view) != SW_OK)
		return SW_ERR_AGAIN;
	if (floor->at.timeline == 0)
		return SW_OK;
	if (replica->at.timeline != floor->at.timeline || !sw_lsn_at_least(replica->at.lsn, floor->at.lsn))
		return SW_ERR_AGAIN;
	return SW_OK;
}

/* ---- rule 6 */

void sw_floor_note_shown(struct sw_floor *floor, int node, bool is_admitted, int64_t now_ns)
{
	if (floor->shown_ns == 0)
		floor->shown_by = node;
	else if (!is_admitted)
		floor->shown_by = -1;
	else if (floor->shown_by >= 0)
		floor->shown_by = node;
	floor->shown_ns = now_ns;
}

int sw_floor_witness(const struct sw_floor *floor, const struct sw_view *view)
{
	const struct sw_view_node *node;

	if (floor->shown_by < 0)
		return -1;
	node = &view->node[floor->shown_by];
	if (node->role != SW_ROLE_REPLICA || !node->is_up || !node->is_lineage_ok || node->since_ns == 0 ||
		node->since_ns >= floor->shown_ns)
		return -1;
	return floor->shown_by;
}

bool sw_floor_is_settled(struct sw_floor *floor, const struct sw_view *view)
{
	int witness;

	if (floor->shown_ns == 0)
		return true;
	witness = sw_floor_witness(floor, view);
	if (view->settled_ns <= floor->shown_ns && (witness < 0 || view->node[witness].settled_ns <= floor->shown_ns) &&
		(floor->shown_by < 0 || floor->shown_by != view->primary))
		return false;
	sw_floor_forget_shown(floor);
	return true;
}

void sw_floor_forget_shown(struct sw_floor *floor)
{
	floor->shown_ns = 0;
}

enum sw_err sw_floor_resolve(struct sw_floor *floor, const struct sw_board *board, const struct sw_view *view)
{
	if (floor->primary_event_ns > 0 && resolve_by_primary(floor, board, view) != SW_OK)
		return SW_ERR_AGAIN;
	if (floor->replica_event_ns > 0 && resolve_replica_event(floor, board, view) != SW_OK)
		return SW_ERR_AGAIN;
	return follow_timeline(floor, view);
}

void sw_floor_raise(struct sw_floor *floor, const struct sw_view *view, struct sw_position at, int64_t now_ns)
{
	if (at.timeline != view->timeline || (floor->at.timeline != 0 && floor->at.timeline != at.timeline))
		sw_floor_add_event(floor, view->primary, true, now_ns);
	else
		raise_to(floor, at);
}
