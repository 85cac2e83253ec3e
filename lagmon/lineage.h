/*
 * Has a replica replayed the primary's WAL, and no other (T40, T93)? Pure: the caller brings samples, and what is known
 * holds for the life of one postmaster under one primary.
 *
 * Two proofs. Nothing is replayed that was not written first: a replica that was past the place where the primary is found
 * later, on the same timeline, has diverged. And WAL of its own lies on its own disk: what it can replay of that it has
 * replayed when it lets anybody in, or does within moments. From there on it streams, and a record of the primary behind
 * one that the primary never had does not fit (its link to the record before points elsewhere): it stands still for ever.
 * So who gets to a place where the primary was after that postmaster had been seen first, without being past the primary,
 * has the primary's WAL. A healthy replica gets there within its lag, however far the primary is by then.
 *
 * Not found: pages that a former primary had written out before it crashed, where the new timeline's WAL was brought to it
 * by hand; and a replica of another primary that was promoted to the same timeline. Positions are alike there.
 */
#ifndef SW_LAGMON_LINEAGE_H
#define SW_LAGMON_LINEAGE_H

#include <stdint.h>

#include "proxy/base/lsn.h"

enum sw_lineage_state {
	SW_LINEAGE_UNPROVEN, /* serves nothing */
	SW_LINEAGE_STUCK,    /* … for so long that somebody should look */
	SW_LINEAGE_PROVEN,
	SW_LINEAGE_DIVERGED,
};

/* All zero: nothing is known; so it is set back when the primary is another one. */
struct sw_lineage {
	enum sw_lineage_state state;
	int64_t start_time_us; /* of the postmaster */
	int64_t seen_ns;       /* when its first sample on the primary's timeline arrived; 0 = none yet */
	int64_t goal_ns;       /* when the primary was asked for the goal; 0 = there is none yet */
	struct sw_lsn goal;
};

/* The newest samples of a replica and of the primary. */
struct sw_lineage_input {
	int64_t start_time_us, arrived_ns;
	struct sw_position replica;
	int64_t primary_sent_ns;
	struct sw_position primary;
};

void sw_lineage_step(struct sw_lineage *lineage, const struct sw_lineage_input *input);

#endif
