/*
 * Which node runs a unit of work. Pure: the caller brings view, floor, level and load, and gets a node, a wait, or the
 * fallback. The caller's thread.
 */
#ifndef SW_ROUTER_CHOOSE_H
#define SW_ROUTER_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "lagmon/view.h"
#include "router/floor.h"

/* Why a unit of work ran where it ran: a metric label, and a column of SHOW seawall.last_route. */
enum sw_route_reason {
	SW_ROUTE_NONE,        /* nothing was routed yet */
	SW_ROUTE_READ,        /* a replica that was fit at once */
	SW_ROUTE_WAITED,      /* a replica that reached the floor while the read waited */
	SW_ROUTE_STALE,       /* a replica behind the floor, because fallback = stale */
	SW_ROUTE_STATEMENT,   /* primary: the statement must (its verdict says why) */
	SW_ROUTE_TRANSACTION, /* primary: a transaction that may write */
	SW_ROUTE_PINNED,      /* the server connection that holds the session's state */
	SW_ROUTE_LEVEL,       /* primary: consistency = off */
	SW_ROUTE_HINT,        /* primary: a hint asks for it */
	SW_ROUTE_SETTING,     /* primary: a setting of the session asks for it (serializable) */
	SW_ROUTE_NO_REPLICA,  /* primary: no replica is up and within its limits */
	SW_ROUTE_BEHIND,      /* primary: no replica reached the floor in time */
	SW_ROUTE_REFUSED,     /* primary: a standby refused the statement, now or earlier */
	SW_ROUTE_LOST,        /* the replica failed before it answered; ran again elsewhere */
	SW_ROUTE_DRY,         /* primary: a replica would have served it, but for dry_run */
	SW_ROUTE_REASONS,
};

/* "read", "waited", … a constant. */
const char *sw_route_reason_text(enum sw_route_reason reason);

struct sw_choice_request {
	const struct sw_board *board;
	const struct sw_view *view;
	struct sw_floor *floor;          /* resolved as far as can be; ignored where is_eventual */
	const uint32_t *weights;         /* a node; 0 = serves no reads */
	const uint32_t *loads;           /* a node: units of work it runs for this worker now */
	uint32_t node_count;
	uint32_t excluded;               /* bit a node: has failed this unit already */
	uint32_t random;                 /* fresh random bits */
	int32_t sticky;                  /* the replica of the last read, -1 = none or not wanted */
	uint8_t lag_class;
	bool is_eventual;                /* level eventual: any fit replica */
};

enum sw_choice_kind {
	SW_CHOICE_REPLICA, /* ret_node */
	SW_CHOICE_WAIT,    /* a fit replica may reach the floor soon: ask again at the next view */
	SW_CHOICE_NONE,    /* no replica is fit, and waiting will not help */
};

enum sw_choice_kind sw_choose_replica(const struct sw_choice_request *request, int *ret_node);

/* For fallback = stale: the fit replica that is furthest ahead, -1 where none is fit. */
int sw_choose_stale(const struct sw_choice_request *request);

#endif
