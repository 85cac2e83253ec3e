/*
 * The floor of a session: the least WAL position that its next read must see, so that it reads its own writes and never
 * goes back in time. Pure decisions on the published view; the caller's thread.
 *
 * The argument, in full. Call the work of one statement or transaction on a node an event, and let e be a moment after
 * its end (after its ReadyForQuery was read). A sample of a node is (sent, lsn): its query was sent at 'sent' and answered
 * with lsn.
 *
 * 1. Bound on the primary. What an event on the primary wrote or saw was in its WAL before e: a commit is visible only
 *    after its record was inserted. So a sample of the primary with sent > e has lsn >= all that the event wrote or saw
 *    (it samples the *insert* position: with synchronous_commit = off the write position may still lie before it, T24).
 * 2. Bound on a replica. What an event on replica r saw had been replayed before e, and a replica replays only forward
 *    while it runs. So a sample of r with sent > e is a bound too, provided that r did not crash in between, for a crashed
 *    replica opens again behind what it had served (T31). A crash ends the monitor's connection; hence: a sample counts
 *    only where that connection was established before e (since_ns < e). Otherwise the primary is asked: everything that
 *    any replica has ever shown is in the primary's WAL, so rule 1 serves for events on replicas as well.
 * 3. Admission. Replica r may serve a read where its newest sample is at or past the floor: it has replayed all that the
 *    session saw. A stale sample only makes r look worse. The server connection that is used was proven to belong to the
 *    sampled incarnation: a pool hands it out only after a sample that was sent after it was established.
 * 4. An event on r that is not resolved yet does not stand in the way of a further read on r itself, if r has not crashed
 *    since: since_ns < e.
 * 5. Timelines. Positions compare only on one timeline (T39). A replica is fit only on the primary's present timeline; a
 *    floor of an earlier timeline is replaced by the first known position of the new primary, which is past the fork
 *    point and so past everything that survived. What did not survive cannot be waited for.
 *
 * 6. From a replica to the primary (T46). A replica shows a commit when it has replayed its record, the primary only when
 *    the backend that wrote it has left the list of transactions in progress: with synchronous replication after a standby
 *    has confirmed it, else when the backend is given the processor again. Positions say nothing of that. What a
 *    session may have seen on replica r before e are commits whose transaction ids were assigned before e. Whatever has
 *    left the primary's list is visible there for ever. So ask the primary, with sent > e, for what is in progress: its
 *    snapshot lists that below xmax, and above it anything up to the next id may be, for a snapshot does not list what no
 *    later transaction has overtaken. Only top-level ids are listed, and those suffice: a transaction's subtransactions
 *    become visible with it. Then ask r, over the connection that it showed those commits under (since_ns < e), which of
 *    these it shows as committed: what it shows after e includes what it had shown by e. Where there is none, all that r
 *    had shown by e is visible on the primary; else it is once those have ended there. What r shows as in progress
 *    delays nobody. That is published as settled_ns of r, the moment at which the primary was asked: it serves every
 *    event before. Where r cannot be asked any more, all that was in progress at that moment has to end
 *    (settled_ns of the view): every commit that any replica had shown by e was written on the primary before.
 *    A session that has moved from r to r' as rules 2 and 3 demand sees on r' all that it saw on r, so the last one is asked;
 *    where it has moved without (level eventual, fallback = stale), no replica speaks for it.
 *    A new primary shows at once what survived: it has replayed it all, and what a replica shows is durable there.
 */
#ifndef SW_ROUTER_FLOOR_H
#define SW_ROUTER_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "lagmon/view.h"
#include "proxy/base/err.h"
#include "proxy/base/lsn.h"

struct sw_floor {
	struct sw_position at;      /* timeline 0: no floor yet */
	int64_t primary_event_ns;   /* end of the last event on the primary that is not in 'at' yet; 0 = none */
	int64_t replica_event_ns;   /* the same for the last event on 'replica' */
	int32_t replica;            /* the node of that event */
	int32_t shown_by;           /* the node that speaks for what replicas have shown to the session, -1 = none does */
	int64_t shown_ns;           /* the last event on a replica that the primary may not show yet (rule 6); 0 = none */
};

/* The session ended an event on a node at now_ns (sw_clock_ns read after its last byte arrived). */
void sw_floor_add_event(struct sw_floor *floor, int node, bool is_primary, int64_t now_ns);

/*
 * The event was on a replica: for rule 6. is_admitted: the session's floor was asked about that replica before.
 */
void sw_floor_note_shown(struct sw_floor *floor, int node, bool is_admitted, int64_t now_ns);

/* Rule 6: is all that replicas have shown to the session visible on the primary? */
bool sw_floor_is_settled(struct sw_floor *floor, const struct sw_view *view);
/* Where it is not: the replica that is to be asked, -1 = none can be. */
int sw_floor_witness(const struct sw_floor *floor, const struct sw_view *view);
/* It was waited for in vain, and will not be any more. */
void sw_floor_forget_shown(struct sw_floor *floor);

/*
 * May a read of this session run on replica 'node'? Resolves events with the samples that are there.
 * SW_OK: yes. SW_ERR_AGAIN: not with what is known now; a later view may say yes.
 */
enum sw_err sw_floor_admits(struct sw_floor *floor, const struct sw_board *board, const struct sw_view *view,
	int node) SW_MUST_USE;

/*
 * Brings all that the session has seen and written into floor->at, on the primary's timeline. SW_ERR_AGAIN: a sample is wanted.
 * A session that has seen nothing keeps timeline 0.
 */
enum sw_err sw_floor_resolve(struct sw_floor *floor, const struct sw_board *board, const struct sw_view *view) SW_MUST_USE;

/*
 * From now on the session also has to see what lies before 'at', of a token. Positions of two timelines do not compare: one of
 * another timeline counts as an event on the primary, whose bound lies past all of it that survived (rule 5).
 */
void sw_floor_raise(struct sw_floor *floor, const struct sw_view *view, struct sw_position at, int64_t now_ns);

#endif
