/*
 * The monitor: puts the probes' samples, the health, the lag and the topology together into the published
 * view. Control thread only; workers see the board.
 *
 * Order matters in two places. A connection's since_ns is published before the first sample of that
 * connection is added to the ring, and the ring is emptied before the view says that the connection is gone:
 * whoever finds a sample in the ring and then reads a view sees at least that sample's connection (view.h
 * rests on it).
 *
 * Not here: the decisions themselves (health.c, topology.c: pure), how a node is asked (probe.c), the
 * catalogs (catalog_load.c), failover.
 */
#include "lagmon/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lagmon/catalog_load.h"
#include "lagmon/health.h"
#include "lagmon/lineage.h"
#include "lagmon/probe.h"
#include "lagmon/shown.h"
#include "lagmon/topology.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"

/* After a start every node may have its say before a primary is named, but not for longer than this. */
#define SETTLE_NS SW_NS_PER_S

struct node {
	struct sw_probe *probe;
	bool has_sample; /* on the present connection */
	struct sw_probe_sample sample;
	int64_t arrived_ns; /* of that sample */
	struct sw_lineage lineage;
	struct sw_lag_gate gates[SW_LAG_CLASSES_MAX];
	uint32_t told_outside; /* lag classes that the log says it is beyond */
	uint8_t told_role;
};

struct sw_monitor {
	struct sw_board *board;
	struct sw_config *config;
	struct sw_monitor_hooks hooks;
	struct sw_catalog_loader *loader;
	struct sw_topology topology;
	struct sw_lag_history history;
	struct sw_shown shown;
	char next_xid[24];   /* of shown, as text for the replica that is being asked */
	int64_t progress_ns; /* when the primary was asked last what is in progress */
	bool is_hurried;     /* it is to be asked again at once: something may have ended since */
	struct sw_lag_point
	        primary_point; /* the primary's newest sample; outlives its connection */
	struct sw_view view;
	struct node nodes[SW_NODES_MAX];
	int64_t start_ns;
	uint32_t open;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

static const char *name_of(const struct sw_monitor *monitor, int node)
{
	return monitor->config->nodes[node].name;
}

static void publish(struct sw_monitor *monitor)
{
	sw_board_publish(monitor->board, &monitor->view);
	if (monitor->hooks.on_view)
		monitor->hooks.on_view(&monitor->view, monitor->hooks.arg);
}

static void log_complaint(const struct sw_monitor *monitor, int node)
{
	const char *name = name_of(monitor, node);
	uint32_t timeline = monitor->nodes[node].sample.at.timeline;

	switch ((enum sw_complaint)monitor->topology.node[node].complaint) {
	case SW_COMPLAINT_NONE:
		sw_log(SW_LOG_INFO, "node \"%s\" belongs to the cluster again, on timeline %" PRIu32, name,
		        timeline);
		break;
	case SW_COMPLAINT_SYSTEM:
		sw_log(SW_LOG_ERROR,
		        "node \"%s\" is of another cluster, system identifier %" PRIu64
		        ": it is not used; correct "
		        "[nodes]",
		        name, monitor->view.node[node].system_id);
		break;
	case SW_COMPLAINT_TIMELINE:
		sw_log(SW_LOG_ERROR,
		        "two writers: node \"%s\" accepts writes on timeline %" PRIu32 ", which was left for "
		        "another: it is not used; stop it and make it a standby",
		        name, timeline);
		break;
	case SW_COMPLAINT_WRITER:
		sw_log(SW_LOG_ERROR,
		        "two writers: node \"%s\" accepts writes on timeline %" PRIu32
		        " as another node does: it is "
		        "not used; stop the wrong one",
		        name, timeline);
		break;
	case SW_COMPLAINT_LINEAGE:
		sw_log(SW_LOG_WARNING,
		        "node \"%s\" follows timeline %" PRIu32 ", the primary is on %" PRIu32
		        ": it serves no "
		        "reads until it follows the primary",
		        name, timeline, monitor->topology.timeline);
		break;
	case SW_COMPLAINT_STUCK:
		sw_log(SW_LOG_WARNING,
		        "node \"%s\" has not got to where the primary was when it came: it serves no reads until it does; where "
		        "its position in SHOW NODES stands still its data may not be the primary's: rewind it (pg_rewind) or "
		        "make it anew",
		        name);
		break;
	case SW_COMPLAINT_DIVERGED:
		sw_log(SW_LOG_ERROR,
		        "node \"%s\" has replayed what the primary has never written: its data is not the primary's, "
		        "and it serves no reads; rewind it (pg_rewind) or make it anew",
		        name);
		break;
	}
}

static void log_role(struct sw_monitor *monitor, int node)
{
	uint8_t role = monitor->topology.node[node].role;

	/* The primary is told of by log_primary; a node that comes back as what it was is told of by its
	 * being up. */
	if (role == SW_ROLE_REPLICA && role != monitor->nodes[node].told_role)
		sw_log(SW_LOG_INFO, "node \"%s\" is a replica on timeline %" PRIu32, name_of(monitor, node),
		        monitor->nodes[node].sample.at.timeline);
	if (role != SW_ROLE_UNKNOWN)
		monitor->nodes[node].told_role = role;
}

static void log_primary(const struct sw_monitor *monitor, struct sw_topology_news news)
{
	const struct sw_topology *topology = &monitor->topology;

	if (news.is_primary_lost)
		sw_log(SW_LOG_WARNING, "there is no primary: node \"%s\" is gone",
		        name_of(monitor, topology->last_primary));
	if (news.is_primary_new || news.is_primary_back)
		sw_log(SW_LOG_INFO, "the primary is node \"%s\"%s, timeline %" PRIu32 ", epoch %" PRIu64,
		        name_of(monitor, topology->primary), news.is_primary_back ? " again" : "",
		        topology->timeline, topology->epoch);
}

/* Says once that a node passed the limits of a lag class, in either direction. */
static void log_lag(struct sw_monitor *monitor, int node, struct sw_lag lag)
{
	uint32_t fit = monitor->view.node[node].fit_mask;

	if (lag.us == INT64_MAX || lag.bytes == UINT64_MAX || lag.is_bound)
		return;
	for (uint32_t k = 0; k < monitor->config->lag_class_count; k++) {
		const struct sw_lag_class *limits = &monitor->config->lag_classes[k];
		uint32_t bit = UINT32_C(1) << k;
		bool is_outside = !(fit & bit);

		if (is_outside == !!(monitor->nodes[node].told_outside & bit))
			continue;
		monitor->nodes[node].told_outside ^= bit;
		sw_log(is_outside ? SW_LOG_WARNING : SW_LOG_INFO,
		        "node \"%s\" is %s the lag limits of %" PRId64 " ms and %" PRIu64 " bytes: %" PRId64
		        " ms, %" PRIu64 " bytes",
		        name_of(monitor, node), is_outside ? "beyond" : "within", limits->max_lag_us / 1000,
		        limits->max_lag_bytes, lag.us / 1000, lag.bytes);
	}
}

/* Lag and fitness of one node, from what is known now. */
static void judge_lag(struct sw_monitor *monitor, int node, int64_t now_ns)
{
	struct sw_view_node *view = &monitor->view.node[node];
	struct node *state = &monitor->nodes[node];
	struct sw_lag lag = SW_LAG_UNKNOWN;
	const struct sw_lag_point replica = {.sent_ns = view->sent_ns, .lsn = view->at.lsn};
	bool is_replica = view->role == SW_ROLE_REPLICA && view->is_lineage_ok;

	if (is_replica) {
		int64_t ring_since_ns = 0;

		if (monitor->topology.primary >= 0)
			ring_since_ns =
			        sw_board_behind_since(monitor->board, monitor->topology.primary, replica.lsn);
		lag = sw_lag_measure(&monitor->history, monitor->primary_point, replica, ring_since_ns,
		        sw_lag_stale_ns(monitor->config), now_ns);
	}
	view->fit_mask = sw_lag_gates_step(state->gates, monitor->config, lag, now_ns);
	if (is_replica)
		log_lag(monitor, node, lag);
	if (view->role == SW_ROLE_PRIMARY)
		lag = (struct sw_lag){0};
	view->lag_bytes = lag.bytes;
	view->lag_us = lag.us;
}

static void judge_all_lags(struct sw_monitor *monitor, int64_t now_ns)
{
	for (uint32_t n = 0; n < monitor->view.node_count; n++)
		judge_lag(monitor, (int)n, now_ns);
}

static struct sw_topology_news judge_topology(struct sw_monitor *monitor, int64_t now_ns)
{
	struct sw_topology_input input[SW_NODES_MAX];
	uint32_t count = monitor->view.node_count;

	for (uint32_t n = 0; n < count; n++) {
		const struct node *node = &monitor->nodes[n];

		input[n] = (struct sw_topology_input){
		        .is_asked = sw_probe_is_asked(node->probe),
		        .is_known = sw_probe_is_up(node->probe) && node->has_sample,
		        .is_in_recovery = node->sample.is_in_recovery,
		        .lineage = node->lineage.state,
		        .timeline = node->sample.at.timeline,
		        .system_id = monitor->view.node[n].system_id,
		};
	}
	return sw_topology_step(&monitor->topology, input, count, now_ns - monitor->start_ns >= SETTLE_NS);
}

/* Takes the topology over into the view. Returns whether anything that concerns other nodes changed. */
static bool step_topology(struct sw_monitor *monitor, int64_t now_ns)
{
	struct sw_topology_news news = judge_topology(monitor, now_ns);
	const struct sw_topology *topology = &monitor->topology;
	struct sw_view *view = &monitor->view;

	view->epoch = topology->epoch;
	view->primary = topology->primary;
	view->timeline = topology->timeline;
	for (uint32_t n = 0; n < view->node_count; n++) {
		view->node[n].role = topology->node[n].role;
		/* A replica that has replayed nothing has no place on any timeline yet (T32). */
		view->node[n].is_lineage_ok = topology->node[n].is_lineage_ok && view->node[n].sent_ns != 0;
		if (news.roles & UINT32_C(1) << n)
			log_role(monitor, (int)n);
	}
	log_primary(monitor, news);
	for (uint32_t n = 0; n < view->node_count; n++)
		if (news.complaints & UINT32_C(1) << n)
			log_complaint(monitor, (int)n);
	if (news.is_primary_new || news.is_primary_lost || news.is_primary_back)
		sw_shown_restart(&monitor->shown);
	if (news.is_primary_new) {
		sw_lag_history_clear(&monitor->history);
		for (uint32_t n = 0; n < view->node_count; n++)
			monitor->nodes[n].lineage = (struct sw_lineage){0};
		monitor->primary_point = (struct sw_lag_point){0};
	}
	if (news.is_primary_new || news.is_primary_back)
		sw_catalog_loader_set_primary(monitor->loader, &monitor->config->nodes[topology->primary]);
	else if (news.is_primary_lost)
		sw_catalog_loader_set_primary(monitor->loader, NULL);
	return news.is_primary_new || news.is_primary_lost || news.is_primary_back || news.roles ||
	       news.complaints;
}

static void take_primary_sample(struct sw_monitor *monitor)
{
	const struct sw_view_node *primary;

	if (monitor->topology.primary < 0)
		return;
	primary = &monitor->view.node[monitor->topology.primary];
	if (primary->sent_ns <= monitor->primary_point.sent_ns)
		return;
	monitor->primary_point = (struct sw_lag_point){.sent_ns = primary->sent_ns, .lsn = primary->at.lsn};
	sw_lag_history_add(&monitor->history, primary->sent_ns, primary->at.lsn);
}

static void judge_lineage(struct sw_monitor *monitor, int n)
{
	const struct node *primary = &monitor->nodes[monitor->topology.primary];
	struct node *node = &monitor->nodes[n];

	if (!primary->has_sample || primary->sample.is_in_recovery || !node->has_sample || !node->sample.is_in_recovery)
		return;
	sw_lineage_step(&node->lineage, &(struct sw_lineage_input){
	                                        .start_time_us = monitor->view.node[n].start_time_us,
	                                        .arrived_ns = node->arrived_ns,
	                                        .replica = node->sample.at,
	                                        .primary_sent_ns = primary->sample.sent_ns,
	                                        .primary = primary->sample.at,
	                                });
}

/* A sample of the primary says something of all replicas, another one of its own node. */
static void judge_lineages(struct sw_monitor *monitor, int node)
{
	if (monitor->topology.primary < 0)
		return;
	for (int n = 0; n < (int)monitor->view.node_count; n++)
		if (node == n || node == monitor->topology.primary)
			judge_lineage(monitor, n);
}

static void on_connected(int node, int64_t since_ns, void *arg)
{
	struct sw_monitor *monitor = arg;

	monitor->view.node[node].since_ns = since_ns;
	publish(monitor);
}

static void on_sample(int node, const struct sw_probe_sample *sample, const struct sw_probe_facts *facts,
        enum sw_health_change change, void *arg)
{
	struct sw_monitor *monitor = arg;
	struct sw_view_node *view = &monitor->view.node[node];
	bool has_position = sample->at.lsn.pos != 0;
	int64_t now_ns = sw_clock_ns();
	bool is_news;

	if (change == SW_HEALTH_UP)
		sw_log(SW_LOG_INFO, "node \"%s\" is up", name_of(monitor, node));
	if (sample->is_role_changed)
		sw_board_reset_samples(monitor->board, node);
	if (has_position)
		sw_board_add_sample(monitor->board, node, sample->sent_ns, sample->at);
	monitor->nodes[node].has_sample = true;
	monitor->nodes[node].sample = *sample;
	view->is_up = true;
	view->is_delayed = sample->is_in_recovery && (sample->is_paused || facts->is_apply_delayed);
	view->sent_ns = has_position ? sample->sent_ns : 0;
	view->at = has_position ? sample->at : (struct sw_position){0};
	view->start_time_us = facts->start_time_us;
	view->system_id = facts->system_id;
	monitor->nodes[node].arrived_ns = now_ns;
	judge_lineages(monitor, node);
	is_news = step_topology(monitor, now_ns);
	take_primary_sample(monitor);
	if (is_news || node == monitor->topology.primary)
		judge_all_lags(monitor, now_ns);
	else
		judge_lag(monitor, node, now_ns);
	publish(monitor);
}

static void on_failure(int node, bool is_broken, enum sw_health_change change, void *arg)
{
	struct sw_monitor *monitor = arg;
	struct sw_view_node *view = &monitor->view.node[node];
	int64_t now_ns = sw_clock_ns();
	bool is_news;

	if (change == SW_HEALTH_DOWN)
		sw_log(SW_LOG_WARNING, "node \"%s\" is down: %s", name_of(monitor, node),
		        sw_probe_error(monitor->nodes[node].probe));
	if (is_broken) {
		sw_board_reset_samples(monitor->board, node);
		sw_shown_forget(&monitor->shown, node);
		if (node == monitor->topology.primary)
			sw_shown_restart(&monitor->shown);
		view->settled_ns = view->early_ns = 0;
		monitor->nodes[node].has_sample = false;
		view->is_up = view->is_delayed = false;
		view->since_ns = view->sent_ns = 0;
		view->at = (struct sw_position){0};
	}
	is_news = step_topology(monitor, now_ns);
	if (is_news)
		judge_all_lags(monitor, now_ns);
	else
		judge_lag(monitor, node, now_ns);
	publish(monitor);
}

/* ---- what replicas show before the primary does (shown.h) */

/* Does a session wait to hear of what the node has shown, -1: any node? */
static bool is_settling_wanted(const struct sw_monitor *monitor, int node)
{
	int64_t asked_ns = sw_board_settling_ns(monitor->board, node);
	int64_t settled_ns = monitor->shown.all_settled_ns;

	if (node >= 0 && monitor->shown.node[node].settled_ns > settled_ns)
		settled_ns = monitor->shown.node[node].settled_ns;
	return asked_ns > 0 && asked_ns >= settled_ns;
}

/* Bit a node; the bit behind them: any node. */
static uint32_t settling_wanted(const struct sw_monitor *monitor)
{
	uint32_t wanted = is_settling_wanted(monitor, -1) ? UINT32_C(1) << SW_NODES_MAX : 0;

	if (sw_board_settling(monitor->board) == 0)
		return 0;
	for (int n = 0; n < (int)monitor->view.node_count; n++)
		if (is_settling_wanted(monitor, n))
			wanted |= UINT32_C(1) << n;
	return wanted;
}

static bool ask_progress(struct sw_monitor *monitor, struct sw_probe_ask *ret_ask, int64_t *ret_due_ns)
{
	int64_t now_ns = sw_clock_ns();
	int64_t spacing_us = monitor->config->min_interval_us;
	int64_t due_ns = monitor->progress_ns + (spacing_us - spacing_us / 8) * SW_NS_PER_US; /* see probe.c, schedule */

	if (settling_wanted(monitor) == 0)
		return false;
	if (now_ns < due_ns && !monitor->is_hurried) {
		*ret_due_ns = due_ns;
		return false;
	}
	monitor->is_hurried = false;
	monitor->progress_ns = now_ns;
	*ret_ask = (struct sw_probe_ask){.question = SW_PROBE_PROGRESS, .sent_ns = now_ns};
	return true;
}

static bool ask_shown(struct sw_monitor *monitor, int node, struct sw_probe_ask *ret_ask)
{
	const struct sw_view_node *view = &monitor->view.node[node];

	if (view->role != SW_ROLE_REPLICA || !view->is_up || !view->is_lineage_ok || !sw_shown_begin(&monitor->shown, node))
		return false;
	snprintf(monitor->next_xid, sizeof(monitor->next_xid), "%" PRIu64, monitor->shown.progress.next);
	*ret_ask = (struct sw_probe_ask){.question = SW_PROBE_SHOWN, .sent_ns = sw_clock_ns(),
		.values = {monitor->shown.snapshot, monitor->next_xid}};
	return true;
}

static bool on_free(int node, struct sw_probe_ask *ret_ask, int64_t *ret_due_ns, void *arg)
{
	struct sw_monitor *monitor = arg;

	if (sw_board_settling(monitor->board) == 0)
		return false;
	if (node == monitor->topology.primary)
		return ask_progress(monitor, ret_ask, ret_due_ns);
	return ask_shown(monitor, node, ret_ask);
}

static void publish_settled(struct sw_monitor *monitor)
{
	struct sw_view *view = &monitor->view;

	view->settled_ns = monitor->shown.all_settled_ns;
	for (uint32_t n = 0; n < view->node_count; n++) {
		view->node[n].settled_ns = monitor->shown.node[n].settled_ns;
		view->node[n].early_ns = monitor->shown.node[n].early_ns;
	}
	publish(monitor);
}

static void kick_others(struct sw_monitor *monitor, int node)
{
	for (int n = 0; n < (int)monitor->view.node_count; n++)
		if (n != node)
			sw_probe_kick(monitor->nodes[n].probe);
}

static void on_answer(int node, const struct sw_probe_ask *ask, const struct sw_probe_answer *answer, void *arg)
{
	struct sw_monitor *monitor = arg;

	if (ask->question == SW_PROBE_SHOWN) {
		monitor->is_hurried |= sw_shown_on_replica(&monitor->shown, node, answer ? answer->committed : NULL);
	} else if (!answer || answer->is_in_recovery || node != monitor->topology.primary ||
		   sw_shown_on_primary(&monitor->shown, ask->sent_ns, answer->snapshot, answer->age,
			   settling_wanted(monitor)) != SW_OK) {
		return;
	}
	publish_settled(monitor);
	if (settling_wanted(monitor) != 0)
		kick_others(monitor, node);
}

static const struct sw_probe_hooks probe_hooks = {
        .on_connected = on_connected,
        .on_sample = on_sample,
        .on_failure = on_failure,
        .on_free = on_free,
        .on_answer = on_answer,
};

static void on_catalog(struct sw_catalog *catalog, void *arg)
{
	struct sw_monitor *monitor = arg;

	if (monitor->hooks.on_catalog)
		monitor->hooks.on_catalog(catalog, monitor->hooks.arg);
}

struct sw_monitor *sw_monitor_new(uv_loop_t *loop, struct sw_board *board, struct sw_config *config,
        const struct sw_monitor_hooks *hooks)
{
	struct sw_monitor *monitor = SW_NEW(struct sw_monitor);

	monitor->board = board;
	monitor->config = sw_config_ref(config);
	monitor->hooks = *hooks;
	monitor->start_ns = sw_clock_ns();
	sw_topology_init(&monitor->topology);
	sw_lag_history_configure(&monitor->history, config);
	monitor->view = (struct sw_view){.epoch = 1, .primary = -1, .node_count = config->node_count};
	monitor->loader = sw_catalog_loader_new(loop, board, config, on_catalog, monitor);
	monitor->open = 1 + config->node_count;
	for (uint32_t n = 0; n < config->node_count; n++) {
		monitor->view.node[n].lag_bytes = UINT64_MAX;
		monitor->view.node[n].lag_us = INT64_MAX;
		monitor->nodes[n].probe = sw_probe_new(loop, board, (int)n, config, &probe_hooks, monitor);
	}
	return monitor;
}

static void on_part_closed(void *arg)
{
	struct sw_monitor *monitor = arg;
	void (*on_closed)(void *) = monitor->on_closed;
	void *closed_arg = monitor->closed_arg;

	if (--monitor->open > 0)
		return;
	sw_config_unref(monitor->config);
	sw_mem_free(monitor);
	on_closed(closed_arg);
}

void sw_monitor_close(struct sw_monitor *monitor, void (*on_closed)(void *arg), void *arg)
{
	monitor->on_closed = on_closed;
	monitor->closed_arg = arg;
	for (uint32_t n = 0; n < monitor->view.node_count; n++)
		sw_probe_close(monitor->nodes[n].probe, on_part_closed, monitor);
	sw_catalog_loader_close(monitor->loader, on_part_closed, monitor);
}

void sw_monitor_set_config(struct sw_monitor *monitor, struct sw_config *config)
{
	struct sw_config *old = monitor->config;
	int64_t now_ns = sw_clock_ns();

	monitor->config = sw_config_ref(config);
	/* The numbers of lag classes may stand for other limits now, so every replica is judged as a new one.
	 */
	sw_lag_history_configure(&monitor->history, config);
	for (uint32_t n = 0; n < monitor->view.node_count; n++) {
		memset(monitor->nodes[n].gates, 0, sizeof(monitor->nodes[n].gates));
		monitor->nodes[n].told_outside = 0;
		sw_probe_set_config(monitor->nodes[n].probe, config);
	}
	sw_catalog_loader_set_config(monitor->loader, config);
	sw_config_unref(old);
	judge_all_lags(monitor, now_ns);
	publish(monitor);
}

void sw_monitor_kick(struct sw_monitor *monitor)
{
	for (uint32_t n = 0; n < monitor->view.node_count; n++)
		sw_probe_kick(monitor->nodes[n].probe);
}

void sw_monitor_want_catalog(struct sw_monitor *monitor, const char *database)
{
	sw_catalog_loader_want(monitor->loader, database);
}

const char *sw_monitor_node_error(const struct sw_monitor *monitor, int node)
{
	return sw_probe_error(monitor->nodes[node].probe);
}

uint64_t sw_monitor_node_samples(const struct sw_monitor *monitor, int node)
{
	return sw_probe_samples(monitor->nodes[node].probe);
}
