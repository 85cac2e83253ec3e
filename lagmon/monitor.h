/*
 * The monitor: one libpq connection a node, on the control thread's loop, that samples positions, and one to
 * the primary for each database in use, that reads the catalog. It turns what it sees into the published
 * view. Control thread only. Nothing blocks: PQconnectStart/Poll on uv_poll, host names through
 * uv_getaddrinfo.
 */
#ifndef SW_LAGMON_MONITOR_H
#define SW_LAGMON_MONITOR_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lagmon/view.h"
#include "proxy/base/err.h"

struct sw_config;
struct sw_catalog;
struct sw_monitor;

struct sw_monitor_hooks {
	/* A view was published; workers with waiting sessions want to be woken. */
	void (*on_view)(const struct sw_view *view, void *arg);
	/* A new catalog snapshot of a database; the callee takes its own references. */
	void (*on_catalog)(struct sw_catalog *catalog, void *arg);
	void *arg;
};

/* Starts monitoring; nothing is published before the loop runs. The board outlives the monitor. */
struct sw_monitor *sw_monitor_new(uv_loop_t *loop, struct sw_board *board, struct sw_config *config,
        const struct sw_monitor_hooks *hooks);
/* Closes every handle; on_closed comes once, after the last, from the loop. A host name look-up that hangs
 * cannot be ended: it may keep uv_run from returning, so stop the loop rather than wait for it. */
void sw_monitor_close(struct sw_monitor *monitor, void (*on_closed)(void *arg), void *arg);

/* A reload. Nodes may be added or removed only by a restart in this version. */
void sw_monitor_set_config(struct sw_monitor *monitor, struct sw_config *config);

/* Somebody waits for a sample (sw_board_want returned true): sample now, and again as fast as min_interval
 * allows. */
void sw_monitor_kick(struct sw_monitor *monitor);

/* A database is in use, or its catalog has changed (DDL went through): read its catalog soon. database: its
 * name on the server. Cheap to repeat. */
void sw_monitor_want_catalog(struct sw_monitor *monitor, const char *database);

/* For SHOW NODES: the last error text of a node's monitor connection, "" when it is well; and counters. */
const char *sw_monitor_node_error(const struct sw_monitor *monitor, int node);
uint64_t sw_monitor_node_samples(const struct sw_monitor *monitor, int node);

#endif
