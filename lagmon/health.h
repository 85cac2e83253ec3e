/*
 * Is a node up, how far is a replica behind, and may it serve? Pure: no clock, log or allocation; the caller
 * says what time it is. Used by the monitor on the control thread.
 */
#ifndef SW_LAGMON_HEALTH_H
#define SW_LAGMON_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/limits.h"
#include "proxy/base/lsn.h"

struct sw_config;
struct sw_lag_class;

/* A node starts down and unreported, all zero. */
struct sw_health {
	uint32_t failures; /* in a row */
	bool is_up;
	bool is_reported; /* the present outage was reported */
};

enum sw_health_change { SW_HEALTH_SAME, SW_HEALTH_UP, SW_HEALTH_DOWN };

enum sw_health_change sw_health_answered(struct sw_health *health);
/*
 * A connection that broke (or could not be made) is down at once: nothing can be measured. One failed query
 * is not a dead node (T95): that takes down_after in a row.
 */
enum sw_health_change sw_health_failed(struct sw_health *health, uint32_t down_after, bool is_broken);
/* How long to wait before the next attempt to connect: doubles with every failure, within fixed bounds. */
int64_t sw_health_backoff_ns(const struct sw_health *health);

/*
 * Where the primary was and when, thinned so that it reaches several times further back than the largest lag
 * limit. The board's ring is exact, but at the shortest interval it reaches back 8 seconds only: by it alone
 * a replica that hangs for an hour would be 8 seconds behind for ever.
 */
#define SW_LAG_HISTORY_MAX 1024

struct sw_lag_history {
	int64_t spacing_ns;
	uint32_t first, count;
	struct {
		int64_t sent_ns;
		struct sw_lsn lsn;
	} entries[SW_LAG_HISTORY_MAX];
};

/* Empties it: the primary is another one. */
void sw_lag_history_clear(struct sw_lag_history *history);
/* Takes the spacing from the lag limits. */
void sw_lag_history_configure(struct sw_lag_history *history, const struct sw_config *config);
void sw_lag_history_add(struct sw_lag_history *history, int64_t sent_ns, struct sw_lsn lsn);
/*
 * The send time of the oldest kept sample past lsn, 0 where none is. SW_ERR_NOT_FOUND: lsn lies before all
 * that is kept, so that the moment is not known.
 */
enum sw_err sw_lag_history_behind_since(
        const struct sw_lag_history *history, struct sw_lsn lsn, int64_t *ret_since_ns) SW_MUST_USE;

struct sw_lag {
	uint64_t bytes; /* UINT64_MAX = unknown */
	int64_t us;     /* INT64_MAX = unknown */
	bool is_bound;  /* the primary is out of sight: it is not more than this, and may be less */
};

#define SW_LAG_UNKNOWN ((struct sw_lag){.bytes = UINT64_MAX, .us = INT64_MAX})

/* A sample as lag is measured by; sent_ns 0 = none. */
struct sw_lag_point {
	int64_t sent_ns;
	struct sw_lsn lsn;
};

/*
 * T36: compared with the primary's own samples, never with clocks of servers. Unknown where the replica's newest
 * sample is older than stale_ns or the history does not reach back far enough. Where the primary's is, what it may
 * have written since counts as unreplayed: the time since it was asked last bounds the lag, and bytes are those up
 * to its last known position. ring_since_ns: what the board's ring says.
 */
struct sw_lag sw_lag_measure(const struct sw_lag_history *history, struct sw_lag_point primary,
        struct sw_lag_point replica, int64_t ring_since_ns, int64_t stale_ns, int64_t now_ns);

/* Samples older than this say nothing of what is so now. */
int64_t sw_lag_stale_ns(const struct sw_config *config);

/* A node's state for one lag class (T56). All zero: not judged yet, enters at once where it is within the
 * limits. */
struct sw_lag_gate {
	uint8_t state;
	int64_t below_since_ns; /* outside: since when it has been below the limits of re-entry; 0 = it is not
	                         */
};

/* Steps the gates of a node by a new measurement; returns the mask of the classes that it is fit for. */
uint32_t sw_lag_gates_step(struct sw_lag_gate gates[SW_LAG_CLASSES_MAX], const struct sw_config *config,
        struct sw_lag lag, int64_t now_ns);

#endif
