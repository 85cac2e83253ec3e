/* The argument stands in lineage.h. Pure; any thread, though only the control thread owns such state. */
#include "lagmon/lineage.h"

#include "proxy/base/clock.h"

/* A replica that has been down has WAL to fetch; one that stands still after this is worth a line in the log. */
#define STUCK_NS (10 * SW_NS_PER_S)

void sw_lineage_step(struct sw_lineage *lineage, const struct sw_lineage_input *input)
{
	struct sw_lsn replica = input->replica.lsn, primary = input->primary.lsn;

	if (lineage->start_time_us != input->start_time_us)
		*lineage = (struct sw_lineage){.start_time_us = input->start_time_us};
	if (input->replica.timeline != input->primary.timeline)
		return;
	if (lineage->seen_ns == 0)
		lineage->seen_ns = input->arrived_ns;
	if (input->primary_sent_ns > input->arrived_ns && !sw_lsn_at_least(primary, replica))
		lineage->state = SW_LINEAGE_DIVERGED;
	if (lineage->state == SW_LINEAGE_PROVEN || lineage->state == SW_LINEAGE_DIVERGED)
		return;
	if (lineage->goal_ns == 0) {
		if (input->primary_sent_ns <= lineage->seen_ns)
			return;
		lineage->goal = primary;
		lineage->goal_ns = input->primary_sent_ns;
	}
	if (!sw_lsn_at_least(replica, lineage->goal))
		lineage->state = input->primary_sent_ns - lineage->goal_ns > STUCK_NS ? SW_LINEAGE_STUCK : SW_LINEAGE_UNPROVEN;
	else if (sw_lsn_at_least(primary, replica))
		lineage->state = SW_LINEAGE_PROVEN;
}
