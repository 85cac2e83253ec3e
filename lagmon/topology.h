/*
 * Who is the primary, which replicas belong to it, and the epoch. Pure. A node that is not in recovery is not
 * yet the primary (T80): it must be of the known system, on the highest timeline that any primary was seen
 * on, and alone.
 */
#ifndef SW_LAGMON_TOPOLOGY_H
#define SW_LAGMON_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "lagmon/lineage.h"
#include "lagmon/view.h"
#include "proxy/base/limits.h"

/* What the newest sample of a node says. */
struct sw_topology_input {
	bool is_asked; /* answered or failed at least once since the start */
	bool is_known; /* up, and sampled on its present connection */
	bool is_in_recovery;
	enum sw_lineage_state lineage; /* of a replica */
	uint32_t timeline; /* 0 = unknown */
	uint64_t system_id;
};

/* Why a node that answers is not used. */
enum sw_complaint {
	SW_COMPLAINT_NONE,
	SW_COMPLAINT_SYSTEM,   /* of another cluster (T51) */
	SW_COMPLAINT_TIMELINE, /* accepts writes on a timeline that was left: a former primary (T80) */
	SW_COMPLAINT_WRITER,   /* accepts writes beside the primary, or beside another on the same timeline
	                          (T80) */
	SW_COMPLAINT_LINEAGE,  /* a replica on another timeline than the primary (T39, T40, T93) */
	SW_COMPLAINT_STUCK,    /* a replica that does not get to where the primary was (T40, T93) */
	SW_COMPLAINT_DIVERGED, /* a replica ahead of the primary on its own timeline (T40, T93) */
};

struct sw_topology {
	uint64_t epoch;
	uint64_t system_id;   /* of the first primary; 0 = there was none yet */
	int32_t primary;      /* -1 = none now */
	int32_t last_primary; /* -1 = none ever */
	uint32_t timeline;    /* of last_primary; never shrinks */
	bool is_settled;      /* all nodes had their say, or the time for it is over */
	struct {
		uint8_t role;      /* enum sw_role */
		uint8_t complaint; /* enum sw_complaint; kept while the node is away, so it is told once */
		bool is_lineage_ok;
	} node[SW_NODES_MAX];
};

/* What a step changed, for the log and for whoever keeps samples by role. Masks: bit n is node n. */
struct sw_topology_news {
	bool is_primary_new;  /* another node, or another timeline */
	bool is_primary_lost; /* there was one and now there is none */
	bool is_primary_back; /* the same one after it was lost */
	uint32_t roles, complaints;
};

void sw_topology_init(struct sw_topology *topology);
/*
 * Judges anew. Until every node was asked, or may_settle says that the wait was long enough, nobody is the
 * primary: the first to answer after a start may be a former primary that nobody has stopped.
 */
struct sw_topology_news sw_topology_step(struct sw_topology *topology,
        const struct sw_topology_input input[SW_NODES_MAX], uint32_t count, bool may_settle);

#endif
