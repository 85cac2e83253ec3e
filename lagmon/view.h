/*
 * The published view: what the control thread knows of the cluster, in the form in which workers decide on
 * it.
 *
 * One writer (the control thread), any number of readers. Two parts:
 *  - struct sw_view, a plain struct behind a sequence lock; a worker copies it at most once a loop turn and
 * decides on its copy;
 *  - for each node a ring of samples, so that "the first sample that was sent after this event" can be found
 * later.
 *
 * Why a stale view is safe. A sample says: at some moment after sent_ns the node was at lsn. A replica only
 * replays forward while it runs, so an old sample makes it look further behind than it is, which costs a wait
 * and never a stale read. For the bound of an event the order is what counts: a sample that was sent after
 * the event ended shows at least what the event saw, however old it is. The one thing that moves a replica
 * backwards is a crash: it opens again at its last consistent point, behind what it had served. That ends
 * every connection to it, so a sample proves something about an event only where the monitor's connection is
 * older than the event (since_ns).
 */
#ifndef SW_LAGMON_VIEW_H
#define SW_LAGMON_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/limits.h"
#include "proxy/base/lsn.h"

enum sw_role { SW_ROLE_UNKNOWN, SW_ROLE_PRIMARY, SW_ROLE_REPLICA };

struct sw_view_node {
	bool is_up;      /* the monitor has a connection and an answer that is not overdue */
	bool is_delayed; /* recovery_min_apply_delay or pg_wal_replay_pause: never worth waiting for (T37) */
	bool is_lineage_ok; /* same system, and on the primary's timeline (T39, T40, T51, T93) */
	uint8_t role;       /* enum sw_role */
	uint32_t fit_mask;  /* bit k: within the lag limits of class k, hysteresis applied */
	int64_t since_ns; /* sw_clock_ns() when the monitor's present connection was established; 0 = none */
	int64_t sent_ns;  /* when the query of the newest sample was sent; 0 = none since since_ns */
	struct sw_position at; /* its position: insert LSN on the primary, replay LSN on a replica */
	uint64_t lag_bytes;    /* behind the newest primary sample; UINT64_MAX = unknown */
	int64_t lag_us; /* age of the oldest primary sample that is not replayed yet; INT64_MAX = unknown */
	int64_t start_time_us; /* pg_postmaster_start_time(), µs since 2000-01-01 */
	uint64_t system_id;    /* 0 = not known yet */
	/* Of a replica, since since_ns (router/floor.h, rule 6): */
	int64_t settled_ns; /* what it had shown by then is visible on the primary; 0 = not known */
	int64_t early_ns;   /* … after a commit that it had shown before the primary did, when that was last so */
};

struct sw_view {
	uint64_t number;   /* of the publication; filled in by sw_board_read */
	uint64_t epoch;    /* grows with every new primary; connections of an older epoch are closed */
	int32_t primary;   /* index, -1 = none known */
	uint32_t timeline; /* of the primary */
	uint32_t node_count;
	int64_t settled_ns; /* what any replica had shown by then is visible on the primary; 0 = not known */
	struct sw_view_node node[SW_NODES_MAX];
};

struct sw_board; /* the view and the rings; one for the process */

/* A new board holds a view without nodes and without a primary (-1), so a first read always succeeds. */
struct sw_board *sw_board_new(void);
void sw_board_free(struct sw_board *board);

/* Control thread. Publishes a view. */
void sw_board_publish(struct sw_board *board, const struct sw_view *view);

/*
 * Any thread. Copies the published view to *view where it is newer than *seen (a number that the reader
 * keeps, 0 at first) and returns true; else leaves it alone. One atomic load where nothing is new.
 */
bool sw_board_read(const struct sw_board *board, uint64_t *seen, struct sw_view *view);

/* Any thread. Is this still what is published? One atomic load. */
bool sw_board_is_newest(const struct sw_board *board, const struct sw_view *view);

/* Control thread. Appends a sample of a node; sent_ns grows from call to call within one generation. */
void sw_board_add_sample(struct sw_board *board, int node, int64_t sent_ns, struct sw_position at);

/* Control thread. Starts a new generation of a node's ring: after a reconnect or a change of role. Old
 * samples are gone. */
void sw_board_reset_samples(struct sw_board *board, int node);

/*
 * Any thread. The position in the oldest kept sample of the node whose query was sent after event_ns. It is a
 * bound for the event where the caller has checked since_ns (replica) or the epoch (primary). Where older
 * samples were overwritten the answer is a later sample: higher than needed, never wrong. SW_ERR_AGAIN: no
 * sample was sent after the event yet.
 *
 * The ring is live and a view is a copy: check since_ns or the epoch in a view that was read *after* this
 * call. The monitor publishes a new since_ns before it adds the first sample of that connection, so such a
 * view cannot miss that the sample belongs to a connection younger than the event.
 */
enum sw_err sw_board_first_after(
        const struct sw_board *board, int node, int64_t event_ns, struct sw_position *ret_at) SW_MUST_USE;

/*
 * Any thread. The send time of the oldest kept sample of the node that lies past lsn, 0 where none does: with
 * the primary's ring, the moment since when a replica at lsn is known to be behind (T36).
 */
int64_t sw_board_behind_since(const struct sw_board *board, int node, struct sw_lsn lsn);

/*
 * When a session of any worker last committed what may have changed functions, or relations, of a database; 0 = never.
 * PERHAPS: what called code that may do anything, and hardly ever does that: no reason for distrust, but for a look soon.
 * Databases share SW_DDL_SLOTS places by a hash of their names: at worst one is thought of as changed that was not.
 */
#define SW_DDL_SLOTS 256
enum sw_ddl { SW_DDL_FUNCTIONS, SW_DDL_RELATIONS, SW_DDL_PERHAPS, SW_DDL_KINDS };
uint32_t sw_board_ddl_slot(const char *database);
void sw_board_note_ddl(struct sw_board *board, enum sw_ddl kind, uint32_t slot, int64_t now_ns);
int64_t sw_board_ddl_ns(const struct sw_board *board, enum sw_ddl kind, uint32_t slot);

/*
 * Demand. A worker whose sessions wait for a sample adds itself; while the count is not zero the monitor
 * samples as fast as min_interval allows. sw_board_want returns true where the monitor has to be woken (the
 * count left zero).
 */
bool sw_board_want(struct sw_board *board);
void sw_board_unwant(struct sw_board *board);
int sw_board_wanted(const struct sw_board *board);

/*
 * The same for sessions that have to know what a replica had shown by event_ns is visible on the primary (settled_ns); node
 * -1: whatever replica. The monitor has to be woken each time.
 */
void sw_board_want_settled(struct sw_board *board, int node, int64_t event_ns);
void sw_board_unwant_settled(struct sw_board *board);
/* How many wait; and the last event that one of them has asked about for a node, 0 = none yet. */
int sw_board_settling(const struct sw_board *board);
int64_t sw_board_settling_ns(const struct sw_board *board, int node);

#endif
