/*
 * Rounds of questions about what replicas show before the primary does: see shown.h. Pure; the control thread's.
 * Invariant: a round's base is when the primary was asked for what the replica was then asked about.
 *
 * Not here: the questions' texts (probe.c), when they are asked (monitor.c), who waits for the answers (proxy/session).
 */
#include "lagmon/shown.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads one id and steps over it and what follows it, which must be one of ends. */
static bool read_xid(const char **at, const char *ends, uint64_t *ret_xid)
{
	char *end;
	uint64_t xid;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	xid = strtoull(*at, &end, 10);
	if (errno || (*end && !strchr(ends, *end)))
		return false;
	*at = *end ? end + 1 : end;
	*ret_xid = xid;
	return true;
}

enum sw_err sw_progress_parse(const char *snapshot, int64_t age, struct sw_progress *ret_progress)
{
	struct sw_progress progress;
	const char *at = snapshot;

	if (!read_xid(&at, ":", &progress.xmin) || !read_xid(&at, ":", &progress.xmax))
		return SW_ERR_PROTOCOL;
	/* The next id lies less than 2^31 behind xmax, so its low half tells the whole. */
	progress.next = progress.xmax + (uint32_t)((uint32_t)age + 3 - (uint32_t)progress.xmax);
	progress.list = at;
	*ret_progress = progress;
	return SW_OK;
}

bool sw_progress_has_ended(const struct sw_progress *progress, const char *xids)
{
	const char *list = progress->list;
	uint64_t running = 0, xid;

	/* Both rise: one pass over each. What cannot be read counts as in progress. */
	while (*xids) {
		if (!read_xid(&xids, ",", &xid) || xid >= progress->xmax)
			return false;
		while (running < xid && *list)
			if (!read_xid(&list, ",", &running))
				return false;
		if (running == xid)
			return false;
	}
	return true;
}

static void step_all(struct sw_shown *shown, int64_t sent_ns, const struct sw_progress *progress)
{
	if (progress->xmin >= progress->next) { /* nothing at all is in progress */
		shown->all_settled_ns = sent_ns;
		shown->all_base_ns = 0;
		return;
	}
	if (shown->all_base_ns > 0 && progress->xmin >= shown->all_next) {
		shown->all_settled_ns = shown->all_base_ns;
		shown->all_base_ns = 0;
	}
	if (shown->all_base_ns == 0) {
		shown->all_base_ns = sent_ns;
		shown->all_next = progress->next;
	}
}

static void end_round(struct sw_shown *shown, int node)
{
	shown->node[node].settled_ns = shown->node[node].base_ns;
	shown->node[node].base_ns = 0;
}

enum sw_err sw_shown_on_primary(struct sw_shown *shown, int64_t sent_ns, const char *snapshot, int64_t age, uint32_t wanted)
{
	struct sw_progress progress;
	size_t len = strlen(snapshot);

	if (sw_progress_parse(snapshot, age, &progress) != SW_OK)
		return SW_ERR_PROTOCOL;
	step_all(shown, sent_ns, &progress);
	shown->asked_ns = 0;
	for (int n = 0; n < SW_NODES_MAX; n++)
		if (shown->node[n].base_ns > 0 && !shown->node[n].is_asked &&
			sw_progress_has_ended(&progress, shown->node[n].pending))
			end_round(shown, n);
	if (len >= sizeof(shown->snapshot))
		return SW_OK; /* too many to ask about; what began earlier may have ended all the same */
	memcpy(shown->snapshot, snapshot, len + 1);
	shown->progress = progress;
	shown->progress.list = shown->snapshot + (progress.list - snapshot);
	shown->asked_ns = sent_ns;
	for (int n = 0; n < SW_NODES_MAX; n++)
		shown->node[n].is_due = wanted >> n & 1 && shown->all_settled_ns != sent_ns;
	return SW_OK;
}

bool sw_shown_begin(struct sw_shown *shown, int node)
{
	if (!shown->node[node].is_due || shown->node[node].base_ns > 0 || shown->asked_ns == 0)
		return false;
	shown->node[node].is_due = false;
	shown->node[node].is_asked = true;
	shown->node[node].base_ns = shown->asked_ns;
	return true;
}

bool sw_shown_on_replica(struct sw_shown *shown, int node, const char *committed)
{
	if (!shown->node[node].is_asked)
		return false; /* the round was given up while the answer was on its way */
	shown->node[node].is_asked = false;
	if (!committed || strlen(committed) >= sizeof(shown->node[node].pending)) {
		shown->node[node].base_ns = 0;
		return false;
	}
	strcpy(shown->node[node].pending, committed);
	if (*committed == '\0') {
		end_round(shown, node);
		return false;
	}
	shown->node[node].early_ns = shown->node[node].base_ns;
	return true;
}

static void give_up(struct sw_shown *shown, int node)
{
	shown->node[node].base_ns = 0;
	shown->node[node].is_due = shown->node[node].is_asked = false;
}

void sw_shown_forget(struct sw_shown *shown, int node)
{
	give_up(shown, node);
	shown->node[node].settled_ns = shown->node[node].early_ns = 0;
}

void sw_shown_restart(struct sw_shown *shown)
{
	shown->asked_ns = shown->all_base_ns = 0;
	for (int n = 0; n < SW_NODES_MAX; n++)
		give_up(shown, n);
}
