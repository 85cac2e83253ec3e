/*
 * The judgement on roles. Pure; state is struct sw_topology, owned by the monitor on the control thread.
 *
 * Invariants: the timeline never shrinks; the epoch grows whenever the pair (primary, timeline) becomes
 * another one; at most one node has the role of the primary, and that is topology->primary.
 *
 * What this cannot know: who is right where two nodes that never met in one view accept writes in turn. That
 * takes the journal and the votes of the coordinator; here a restart of Seawall forgets.
 *
 * Not here: samples, the log, the health of nodes.
 */
#include "lagmon/topology.h"

void sw_topology_init(struct sw_topology *topology)
{
	*topology = (struct sw_topology){.epoch = 1, .primary = -1, .last_primary = -1};
}

static bool is_writable(const struct sw_topology_input *input)
{
	return input->is_known && !input->is_in_recovery && input->timeline != 0;
}

static bool settle(
        struct sw_topology *topology, const struct sw_topology_input *input, uint32_t count, bool may_settle)
{
	bool all = true;

	for (uint32_t n = 0; n < count; n++)
		all = all && input[n].is_asked;
	topology->is_settled = topology->is_settled || all || may_settle;
	return topology->is_settled;
}

static uint32_t count_fellows(const struct sw_topology_input *input, uint32_t count, uint64_t system_id)
{
	uint32_t fellows = 0;

	for (uint32_t n = 0; n < count; n++)
		fellows += input[n].is_known && input[n].system_id == system_id;
	return fellows;
}

/*
 * The system of the cluster: known since the first primary; before that, the writable node's that most nodes
 * share, so that one stray line in the configuration does not outvote a whole cluster.
 */
static uint64_t choose_system(
        const struct sw_topology *topology, const struct sw_topology_input *input, uint32_t count)
{
	uint64_t chosen = topology->system_id;
	uint32_t most = 0;

	if (chosen != 0)
		return chosen;
	for (uint32_t n = 0; n < count; n++) {
		uint32_t fellows =
		        is_writable(&input[n]) ? count_fellows(input, count, input[n].system_id) : 0;

		if (fellows > most) {
			most = fellows;
			chosen = input[n].system_id;
		}
	}
	return chosen;
}

/*
 * May the node succeed? A promotion always starts a timeline, so on the last primary's own timeline there is
 * only that primary, or the one that took over its disk. A node that was seen writing beside it is not that
 * one.
 */
static bool is_candidate(const struct sw_topology *topology, const struct sw_topology_input *input,
        uint32_t n, uint64_t system_id)
{
	if (!is_writable(&input[n]) || input[n].system_id != system_id ||
	        input[n].timeline < topology->timeline)
		return false;
	if (topology->last_primary < 0 || (int32_t)n == topology->last_primary)
		return true;
	return input[n].timeline > topology->timeline || topology->node[n].complaint != SW_COMPLAINT_WRITER;
}

/* The only candidate on the highest timeline; among several the one that was the primary; else -1. */
static int32_t choose_primary(const struct sw_topology *topology, const struct sw_topology_input *input,
        uint32_t count, uint64_t system_id)
{
	uint32_t highest = 0, several = 0;
	int32_t chosen = -1;

	for (uint32_t n = 0; n < count; n++) {
		if (!is_candidate(topology, input, n, system_id) || input[n].timeline < highest)
			continue;
		several = input[n].timeline == highest ? several + 1 : 1;
		highest = input[n].timeline;
		chosen = (int32_t)n;
	}
	if (several <= 1)
		return chosen;
	/* The last primary is among them only where they share its timeline. */
	if (highest == topology->timeline && topology->last_primary >= 0 &&
	        is_candidate(topology, input, (uint32_t)topology->last_primary, system_id))
		return topology->last_primary;
	return -1;
}

static uint8_t judge_replica(const struct sw_topology *topology, const struct sw_topology_input *input)
{
	if (input->lineage == SW_LINEAGE_DIVERGED)
		return SW_COMPLAINT_DIVERGED;
	if (topology->timeline != 0 && input->timeline != topology->timeline)
		return SW_COMPLAINT_LINEAGE;
	return input->lineage == SW_LINEAGE_STUCK ? SW_COMPLAINT_STUCK : SW_COMPLAINT_NONE;
}

static uint8_t judge(const struct sw_topology *topology, const struct sw_topology_input *input, uint32_t n,
        uint64_t system_id, uint32_t highest)
{
	if (system_id != 0 && input[n].system_id != system_id)
		return SW_COMPLAINT_SYSTEM;
	if (input[n].is_in_recovery)
		return judge_replica(topology, &input[n]);
	if ((int32_t)n == topology->primary || !topology->is_settled || input[n].timeline == 0)
		return SW_COMPLAINT_NONE;
	return input[n].timeline < highest ? SW_COMPLAINT_TIMELINE : SW_COMPLAINT_WRITER;
}

static uint8_t role_of(const struct sw_topology *topology, const struct sw_topology_input *input, uint32_t n)
{
	if (!input[n].is_known || topology->node[n].complaint == SW_COMPLAINT_SYSTEM)
		return SW_ROLE_UNKNOWN;
	if (input[n].is_in_recovery)
		return SW_ROLE_REPLICA;
	return (int32_t)n == topology->primary ? SW_ROLE_PRIMARY : SW_ROLE_UNKNOWN;
}

static void take_primary(struct sw_topology *topology, const struct sw_topology_input *input, int32_t primary,
        struct sw_topology_news *news)
{
	news->is_primary_lost = topology->primary >= 0 && primary < 0;
	if (primary >= 0) {
		uint32_t timeline = input[primary].timeline;

		news->is_primary_new = primary != topology->last_primary || timeline != topology->timeline;
		news->is_primary_back = !news->is_primary_new && topology->primary < 0;
		/* The first one ends nobody's connections: epoch 1 is its own. */
		if (news->is_primary_new && topology->last_primary >= 0)
			topology->epoch++;
		topology->last_primary = primary;
		topology->timeline = timeline;
		topology->system_id = input[primary].system_id;
	}
	topology->primary = primary;
}

struct sw_topology_news sw_topology_step(struct sw_topology *topology,
        const struct sw_topology_input input[SW_NODES_MAX], uint32_t count, bool may_settle)
{
	struct sw_topology_news news = {0};
	uint64_t system_id = choose_system(topology, input, count);
	uint32_t highest;

	if (settle(topology, input, count, may_settle))
		take_primary(topology, input, choose_primary(topology, input, count, system_id), &news);
	highest = topology->timeline;
	for (uint32_t n = 0; n < count; n++)
		if (is_writable(&input[n]) && input[n].system_id == system_id && input[n].timeline > highest)
			highest = input[n].timeline;
	for (uint32_t n = 0; n < count; n++) {
		uint8_t complaint = topology->node[n].complaint, role;

		if (input[n].is_known)
			complaint = judge(topology, input, n, topology->is_settled ? system_id : 0, highest);
		if (complaint != topology->node[n].complaint)
			news.complaints |= UINT32_C(1) << n;
		topology->node[n].complaint = complaint;
		role = role_of(topology, input, n);
		if (role != topology->node[n].role)
			news.roles |= UINT32_C(1) << n;
		topology->node[n].role = role;
		topology->node[n].is_lineage_ok =
		        role == SW_ROLE_PRIMARY ||
		        (role == SW_ROLE_REPLICA && topology->timeline != 0 &&
		                complaint == SW_COMPLAINT_NONE && input[n].lineage == SW_LINEAGE_PROVEN);
	}
	return news;
}
