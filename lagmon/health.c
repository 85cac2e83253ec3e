/*
 * Up and down, lag, and the gates that replicas pass by their lag. Pure; any thread, though only the control
 * thread owns such state. Invariant of the history: times and positions grow from entry to entry.
 *
 * Not here: where samples come from (probe.c), which node is the primary (topology.c), logging (monitor.c).
 */
#include "lagmon/health.h"

#include "proxy/base/clock.h"
#include "proxy/config.h"

#define BACKOFF_FIRST_NS (50 * SW_NS_PER_MS)
#define BACKOFF_LAST_NS  SW_NS_PER_S

/* The history resolves the largest limit this finely and reaches SW_LAG_HISTORY_MAX ÷ this times past it. */
#define HISTORY_STEPS 256

/* A machine that pauses for a moment should not make every replica unknown where the interval is short. */
#define STALE_LEAST_NS (250 * SW_NS_PER_MS)

enum sw_health_change sw_health_answered(struct sw_health *health)
{
	bool was_up = health->is_up;

	*health = (struct sw_health){.is_up = true};
	return was_up ? SW_HEALTH_SAME : SW_HEALTH_UP;
}

enum sw_health_change sw_health_failed(struct sw_health *health, uint32_t down_after, bool is_broken)
{
	if (health->failures < UINT32_MAX)
		health->failures++;
	if (is_broken || health->failures >= down_after)
		health->is_up = false;
	if (health->is_up || health->is_reported)
		return SW_HEALTH_SAME;
	health->is_reported = true;
	return SW_HEALTH_DOWN;
}

int64_t sw_health_backoff_ns(const struct sw_health *health)
{
	int64_t wait_ns = BACKOFF_FIRST_NS;

	for (uint32_t i = 1; i < health->failures && wait_ns < BACKOFF_LAST_NS; i++)
		wait_ns *= 2;
	return wait_ns < BACKOFF_LAST_NS ? wait_ns : BACKOFF_LAST_NS;
}

void sw_lag_history_clear(struct sw_lag_history *history)
{
	history->first = history->count = 0;
}

void sw_lag_history_configure(struct sw_lag_history *history, const struct sw_config *config)
{
	int64_t largest_us = 0;

	for (uint32_t k = 0; k < config->lag_class_count; k++)
		if (config->lag_classes[k].max_lag_us > largest_us)
			largest_us = config->lag_classes[k].max_lag_us;
	history->spacing_ns = largest_us / HISTORY_STEPS * SW_NS_PER_US;
}

static uint32_t place_of(const struct sw_lag_history *history, uint32_t k)
{
	return (history->first + k) % SW_LAG_HISTORY_MAX;
}

void sw_lag_history_add(struct sw_lag_history *history, int64_t sent_ns, struct sw_lsn lsn)
{
	uint32_t place;

	/* A primary that crashed may have lost what it had not written out: what it showed then never comes
	 * again. */
	while (history->count > 0 &&
	        history->entries[place_of(history, history->count - 1)].lsn.pos > lsn.pos)
		history->count--;
	if (history->count > 0) {
		place = place_of(history, history->count - 1);
		if (history->entries[place].lsn.pos == lsn.pos)
			return;
		if (sent_ns - history->entries[place].sent_ns < history->spacing_ns)
			return;
	}
	if (history->count == SW_LAG_HISTORY_MAX) {
		history->first = place_of(history, 1);
		history->count--;
	}
	place = place_of(history, history->count++);
	history->entries[place].sent_ns = sent_ns;
	history->entries[place].lsn = lsn;
}

enum sw_err sw_lag_history_behind_since(
        const struct sw_lag_history *history, struct sw_lsn lsn, int64_t *ret_since_ns)
{
	uint32_t low = 0, high = history->count;

	if (history->count == 0 || lsn.pos < history->entries[history->first].lsn.pos)
		return SW_ERR_NOT_FOUND;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (history->entries[place_of(history, middle)].lsn.pos > lsn.pos)
			high = middle;
		else
			low = middle + 1;
	}
	*ret_since_ns = low < history->count ? history->entries[place_of(history, low)].sent_ns : 0;
	return SW_OK;
}

struct sw_lag sw_lag_measure(const struct sw_lag_history *history, struct sw_lag_point primary,
        struct sw_lag_point replica, int64_t ring_since_ns, int64_t stale_ns, int64_t now_ns)
{
	struct sw_lag lag = {0};
	int64_t since_ns = primary.sent_ns, kept_ns;

	if (primary.sent_ns == 0 || replica.sent_ns == 0 || now_ns - replica.sent_ns > stale_ns)
		return SW_LAG_UNKNOWN;
	lag.is_bound = now_ns - primary.sent_ns > stale_ns;
	if (sw_lsn_at_least(replica.lsn, primary.lsn)) {
		lag.us = lag.is_bound ? (now_ns - primary.sent_ns) / SW_NS_PER_US : 0;
		return lag;
	}
	lag.bytes = sw_lsn_distance(replica.lsn, primary.lsn);
	if (sw_lag_history_behind_since(history, replica.lsn, &kept_ns) != SW_OK) {
		lag.us = INT64_MAX;
		return lag;
	}
	if (kept_ns != 0 && kept_ns < since_ns)
		since_ns = kept_ns;
	if (ring_since_ns != 0 && ring_since_ns < since_ns)
		since_ns = ring_since_ns;
	lag.us = (now_ns - since_ns) / SW_NS_PER_US;
	return lag;
}

int64_t sw_lag_stale_ns(const struct sw_config *config)
{
	int64_t stale_ns = 3 * config->interval_us * SW_NS_PER_US;

	return stale_ns > STALE_LEAST_NS ? stale_ns : STALE_LEAST_NS;
}

enum gate_state { GATE_NEW, GATE_INSIDE, GATE_OUTSIDE };

static bool is_within(struct sw_lag lag, const struct sw_lag_class *limits, double part)
{
	return (double)lag.us <= (double)limits->max_lag_us * part &&
	       (double)lag.bytes <= (double)limits->max_lag_bytes * part;
}

static void gate_step(struct sw_lag_gate *gate, const struct sw_lag_class *limits,
        const struct sw_config *config, struct sw_lag lag, int64_t now_ns)
{
	bool is_unknown = lag.us == INT64_MAX || lag.bytes == UINT64_MAX;

	if (is_unknown || (lag.is_bound && !is_within(lag, limits, 1.0))) {
		/* Unknown is not lag: whoever was inside comes back by the door of a new node, without a
		 * dwell. */
		if (gate->state == GATE_INSIDE)
			gate->state = GATE_NEW;
		gate->below_since_ns = 0;
		return;
	}
	if (gate->state != GATE_OUTSIDE) {
		gate->state = is_within(lag, limits, 1.0) ? GATE_INSIDE : GATE_OUTSIDE;
		gate->below_since_ns = 0;
		return;
	}
	if (!is_within(lag, limits, config->lag_recover)) {
		gate->below_since_ns = 0;
		return;
	}
	if (gate->below_since_ns == 0)
		gate->below_since_ns = now_ns;
	if (now_ns - gate->below_since_ns >= config->lag_dwell_us * SW_NS_PER_US)
		*gate = (struct sw_lag_gate){.state = GATE_INSIDE};
}

uint32_t sw_lag_gates_step(struct sw_lag_gate gates[SW_LAG_CLASSES_MAX], const struct sw_config *config,
        struct sw_lag lag, int64_t now_ns)
{
	uint32_t mask = 0;

	for (uint32_t k = 0; k < config->lag_class_count; k++) {
		gate_step(&gates[k], &config->lag_classes[k], config, lag, now_ns);
		if (gates[k].state == GATE_INSIDE)
			mask |= UINT32_C(1) << k;
	}
	return mask;
}
