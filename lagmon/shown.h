/*
 * What replicas have shown and the primary does not show yet: commits whose backend is still on the primary's list of
 * transactions in progress, for it waits for synchronous replication, or has not been given the processor since. Pure: no
 * clock, log or allocation; the control thread's. Why the answers may be relied on: router/floor.h, rule 6.
 *
 * The primary is asked for its snapshot ("737:742:737,740") and for the next transaction id. What is in progress there is
 * the list, and anything from xmax to the next id: a snapshot does not list what it treats as not begun, and a commit that
 * nobody behind it has overtaken is just that. A replica is then asked which of those it shows as committed; only they
 * have to end. A replica's own snapshot tells its xmax only: in recovery it lists nothing.
 */
#ifndef SW_LAGMON_SHOWN_H
#define SW_LAGMON_SHOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/limits.h"

/* An answer of the primary. */
struct sw_progress {
	uint64_t xmin, xmax; /* all before xmin has ended; of what lies between the two, all that is not in list */
	uint64_t next;       /* all from xmax on may be in progress, up to here */
	const char *list;    /* "737,740", rising; borrowed */
};

/* age: age('3'::xid), the distance from id 3 to the next id, modulo 2^32. */
enum sw_err sw_progress_parse(const char *snapshot, int64_t age, struct sw_progress *ret_progress) SW_MUST_USE;
/* Have all of xids ("737,741", rising) ended? */
bool sw_progress_has_ended(const struct sw_progress *progress, const char *xids);

/* All zero at first. */
struct sw_shown {
	int64_t asked_ns;            /* when the newest answer of the primary was asked for; 0 = none that can be used */
	struct sw_progress progress; /* that answer; its list lies in snapshot */
	char snapshot[SW_SNAPSHOT_BYTES_MAX];
	/* For who has read on a replica that cannot be asked any more: until all that was in progress has ended. */
	int64_t all_base_ns, all_settled_ns;
	uint64_t all_next;
	struct {
		int64_t base_ns;    /* of the round under way: when the primary was asked; 0 = none */
		int64_t settled_ns; /* all that the replica had shown by then is visible on the primary */
		int64_t early_ns;   /* base of the last round in which it had shown something early */
		bool is_due;        /* to be asked about the newest answer of the primary */
		bool is_asked;      /* … is being asked, about that of base_ns */
		char pending[SW_EARLY_BYTES_MAX]; /* what has to end */
	} node[SW_NODES_MAX];
};

/* The primary was asked at sent_ns and has answered. wanted: bit a node, whose replicas' sessions wait. */
enum sw_err sw_shown_on_primary(struct sw_shown *shown, int64_t sent_ns, const char *snapshot, int64_t age, uint32_t wanted);
/* Is the replica to be asked? Then a round has begun, about shown->snapshot and shown->progress.next. */
bool sw_shown_begin(struct sw_shown *shown, int node);
/* It has answered with what it shows as committed; NULL: it cannot tell. Returns whether something has to end first. */
bool sw_shown_on_replica(struct sw_shown *shown, int node, const char *committed);
/* The connection to the replica, and with it the knowledge of what it has shown, is gone. */
void sw_shown_forget(struct sw_shown *shown, int node);
/* The primary is another one, or has been restarted: what is under way begins anew. */
void sw_shown_restart(struct sw_shown *shown);

#endif
