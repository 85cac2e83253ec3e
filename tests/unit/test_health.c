/* Up and down, lag, and the gates of lag classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lagmon/health.h"
#include "proxy/base/clock.h"
#include "proxy/config.h"

#define MS SW_NS_PER_MS

static void test_T95_one_failed_query_is_not_a_dead_node(void **state)
{
	struct sw_health health = {0};

	(void)state;
	assert_int_equal(sw_health_answered(&health), SW_HEALTH_UP);
	assert_int_equal(sw_health_answered(&health), SW_HEALTH_SAME);
	assert_int_equal(sw_health_failed(&health, 3, false), SW_HEALTH_SAME);
	assert_int_equal(sw_health_failed(&health, 3, false), SW_HEALTH_SAME);
	assert_true(health.is_up);
	assert_int_equal(sw_health_answered(&health), SW_HEALTH_SAME);
	assert_int_equal(sw_health_failed(&health, 3, false), SW_HEALTH_SAME);
	assert_int_equal(sw_health_failed(&health, 3, false), SW_HEALTH_SAME);
	assert_int_equal(sw_health_failed(&health, 3, false), SW_HEALTH_DOWN);
	assert_false(health.is_up);
	assert_int_equal(sw_health_failed(&health, 3, false), SW_HEALTH_SAME);
	assert_int_equal(sw_health_answered(&health), SW_HEALTH_UP);
}

static void test_broken_connection_is_down_at_once(void **state)
{
	struct sw_health health = {0};

	(void)state;
	assert_int_equal(sw_health_answered(&health), SW_HEALTH_UP);
	assert_int_equal(sw_health_failed(&health, 3, true), SW_HEALTH_DOWN);
	assert_false(health.is_up);
	assert_int_equal(sw_health_failed(&health, 3, true), SW_HEALTH_SAME);
}

static void test_node_that_never_answered_is_told_once(void **state)
{
	struct sw_health health = {0};

	(void)state;
	assert_int_equal(sw_health_failed(&health, 3, true), SW_HEALTH_DOWN);
	for (int i = 0; i < 10; i++)
		assert_int_equal(sw_health_failed(&health, 3, true), SW_HEALTH_SAME);
	assert_int_equal(sw_health_answered(&health), SW_HEALTH_UP);
}

static void test_backoff_grows_to_a_second(void **state)
{
	struct sw_health health = {0};
	const int64_t waits_ms[] = {50, 100, 200, 400, 800, 1000, 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
		sw_health_failed(&health, 3, true);
		assert_int_equal(sw_health_backoff_ns(&health), waits_ms[i] * MS);
	}
	health.failures = UINT32_MAX;
	sw_health_failed(&health, 3, true);
	assert_int_equal(sw_health_backoff_ns(&health), 1000 * MS);
	sw_health_answered(&health);
	sw_health_failed(&health, 3, true);
	assert_int_equal(sw_health_backoff_ns(&health), 50 * MS);
}

static struct sw_config two_classes(void)
{
	return (struct sw_config){
	        .interval_us = 100000,
	        .lag_recover = 0.5,
	        .lag_dwell_us = 1000000,
	        .lag_class_count = 2,
	        .lag_classes = {{.max_lag_us = 10000000, .max_lag_bytes = 64 << 20},
	                {.max_lag_us = 2000000, .max_lag_bytes = 1 << 20}},
	};
}

static struct sw_lag lag_of(int64_t ms, uint64_t bytes)
{
	return (struct sw_lag){.us = ms * 1000, .bytes = bytes};
}

static struct sw_lag_point point(int64_t sent_ns, uint64_t pos)
{
	return (struct sw_lag_point){.sent_ns = sent_ns, .lsn = {.pos = pos}};
}

static void test_T36_lag_is_the_age_of_the_oldest_sample_not_replayed(void **state)
{
	struct sw_lag_history history = {0};
	const struct sw_config config = two_classes();
	const int64_t stale_ns = sw_lag_stale_ns(&config);
	struct sw_lag lag;

	(void)state;
	assert_int_equal(stale_ns, 300 * MS);
	for (int64_t k = 1; k <= 50; k++)
		sw_lag_history_add(&history, k * 100 * MS, (struct sw_lsn){(uint64_t)k * 1000});
	/* Caught up, or ahead since its sample is newer. */
	lag = sw_lag_measure(
	        &history, point(5000 * MS, 50000), point(5000 * MS, 50000), 0, stale_ns, 5100 * MS);
	assert_int_equal(lag.us, 0);
	assert_int_equal(lag.bytes, 0);
	lag = sw_lag_measure(
	        &history, point(5000 * MS, 50000), point(5000 * MS, 50001), 0, stale_ns, 5100 * MS);
	assert_int_equal(lag.us, 0);
	assert_int_equal(lag.bytes, 0);
	/* Has replayed what was there at 1.0 s, not what was there at 1.1 s. */
	lag = sw_lag_measure(
	        &history, point(5000 * MS, 50000), point(5000 * MS, 10500), 1100 * MS, stale_ns, 5100 * MS);
	assert_int_equal(lag.us, 4000000);
	assert_int_equal(lag.bytes, 39500);
	/* The board's ring may know it more exactly. */
	lag = sw_lag_measure(
	        &history, point(5000 * MS, 50000), point(5000 * MS, 10500), 1050 * MS, stale_ns, 5100 * MS);
	assert_int_equal(lag.us, 4050000);
	/* Or may not reach back that far, and must not make it look better. */
	lag = sw_lag_measure(
	        &history, point(5000 * MS, 50000), point(5000 * MS, 10500), 4900 * MS, stale_ns, 5100 * MS);
	assert_int_equal(lag.us, 4000000);
}

static void test_T36_an_idle_primary_makes_no_lag(void **state)
{
	struct sw_lag_history history = {0};
	struct sw_lag lag;

	(void)state;
	for (int64_t k = 1; k <= 3000; k++)
		sw_lag_history_add(&history, k * 100 * MS, (struct sw_lsn){5000});
	assert_int_equal(history.count, 1);
	lag = sw_lag_measure(
	        &history, point(300000 * MS, 5000), point(300000 * MS, 5000), 0, 300 * MS, 300010 * MS);
	assert_int_equal(lag.us, 0);
}

static void test_T36_unknown_is_not_zero(void **state)
{
	struct sw_lag_history history = {0};
	struct sw_lag lag;

	(void)state;
	sw_lag_history_add(&history, 1000 * MS, (struct sw_lsn){1000});
	sw_lag_history_add(&history, 2000 * MS, (struct sw_lsn){2000});
	/* No sample of the primary, no sample of the replica, an old one. */
	lag = sw_lag_measure(&history, point(0, 0), point(2000 * MS, 2000), 0, 300 * MS, 2000 * MS);
	assert_true(lag.us == INT64_MAX && lag.bytes == UINT64_MAX);
	lag = sw_lag_measure(&history, point(2000 * MS, 2000), point(0, 0), 0, 300 * MS, 2000 * MS);
	assert_true(lag.us == INT64_MAX && lag.bytes == UINT64_MAX);
	lag = sw_lag_measure(
	        &history, point(2301 * MS, 2000), point(2000 * MS, 2000), 0, 300 * MS, 2301 * MS);
	assert_true(lag.us == INT64_MAX && lag.bytes == UINT64_MAX);
	lag = sw_lag_measure(
	        &history, point(2300 * MS, 2000), point(2000 * MS, 2000), 0, 300 * MS, 2300 * MS);
	assert_int_equal(lag.us, 0);
	/* Behind everything that is remembered: the distance is known, the age is not. */
	lag = sw_lag_measure(
	        &history, point(2000 * MS, 2000), point(2000 * MS, 999), 1000 * MS, 300 * MS, 2100 * MS);
	assert_int_equal(lag.us, INT64_MAX);
	assert_int_equal(lag.bytes, 1001);
}

static void test_T36_without_the_primary_its_last_sample_bounds_the_lag(void **state)
{
	const struct sw_config config = two_classes();
	struct sw_lag_gate gates[SW_LAG_CLASSES_MAX] = {0};
	struct sw_lag_history history = {0};
	struct sw_lag lag;

	(void)state;
	sw_lag_history_add(&history, 1000 * MS, (struct sw_lsn){1000});
	sw_lag_history_add(&history, 1200 * MS, (struct sw_lsn){2000});
	/* Had all that the primary had: what came later is not older than the time since then. */
	lag = sw_lag_measure(
	        &history, point(1200 * MS, 2000), point(1600 * MS, 2000), 0, 300 * MS, 1600 * MS);
	assert_true(lag.is_bound && lag.us == 400000 && lag.bytes == 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag, 1600 * MS), 3);
	/* Was behind. */
	lag = sw_lag_measure(
	        &history, point(1300 * MS, 2500), point(1700 * MS, 1500), 0, 300 * MS, 1700 * MS);
	assert_true(lag.is_bound && lag.us == 500000 && lag.bytes == 1000);
	/* Past a limit nothing is known for that class, which is no reason for a dwell afterwards. */
	lag.us = 2000001;
	assert_int_equal(sw_lag_gates_step(gates, &config, lag, 3400 * MS), 1);
	lag.us = 10000001;
	assert_int_equal(sw_lag_gates_step(gates, &config, lag, 12000 * MS), 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 12100 * MS), 3);
}

/* At 2 ms a sample the board's ring is 8 s long; a limit of 10 s has to be seen to be passed all the same. */
static void test_T36_history_reaches_past_the_largest_limit(void **state)
{
	struct sw_lag_history history = {0};
	const struct sw_config config = two_classes();
	int64_t now_ns = 0;
	struct sw_lag lag;

	(void)state;
	sw_lag_history_configure(&history, &config);
	for (uint64_t k = 1; k <= 20000; k++) {
		now_ns += 2 * MS;
		sw_lag_history_add(&history, now_ns, (struct sw_lsn){k});
	}
	/* 35 s back of 40 s. */
	lag = sw_lag_measure(&history, point(now_ns, 20000), point(now_ns, 2500), now_ns - 8 * SW_NS_PER_S,
	        300 * MS, now_ns);
	assert_in_range(lag.us, 34900000, 35000000);
	assert_true(history.count <= SW_LAG_HISTORY_MAX);
	for (uint64_t k = 20001; k <= 60000; k++) {
		now_ns += 2 * MS;
		sw_lag_history_add(&history, now_ns, (struct sw_lsn){k});
	}
	assert_int_equal(history.count, SW_LAG_HISTORY_MAX);
	lag = sw_lag_measure(&history, point(now_ns, 60000), point(now_ns, 42500), now_ns - 8 * SW_NS_PER_S,
	        300 * MS, now_ns);
	assert_in_range(lag.us, 34900000, 35000000);
	lag = sw_lag_measure(&history, point(now_ns, 60000), point(now_ns, 2500), now_ns - 8 * SW_NS_PER_S,
	        300 * MS, now_ns);
	assert_int_equal(lag.us, INT64_MAX);
}

static void test_T41_history_forgets_what_the_primary_lost(void **state)
{
	struct sw_lag_history history = {0};
	int64_t since_ns = -1;

	(void)state;
	sw_lag_history_add(&history, 100, (struct sw_lsn){1000});
	sw_lag_history_add(&history, 200, (struct sw_lsn){3000});
	sw_lag_history_add(&history, 300, (struct sw_lsn){4000});
	sw_lag_history_add(&history, 400, (struct sw_lsn){2000});
	assert_int_equal(sw_lag_history_behind_since(&history, (struct sw_lsn){1000}, &since_ns), SW_OK);
	assert_int_equal(since_ns, 400);
	assert_int_equal(sw_lag_history_behind_since(&history, (struct sw_lsn){2000}, &since_ns), SW_OK);
	assert_int_equal(since_ns, 0);
	assert_int_equal(
	        sw_lag_history_behind_since(&history, (struct sw_lsn){999}, &since_ns), SW_ERR_NOT_FOUND);
	sw_lag_history_clear(&history);
	assert_int_equal(
	        sw_lag_history_behind_since(&history, (struct sw_lsn){2000}, &since_ns), SW_ERR_NOT_FOUND);
}

static void test_T56_gate_leaves_at_once_and_returns_after_the_dwell(void **state)
{
	const struct sw_config config = two_classes();
	struct sw_lag_gate gates[SW_LAG_CLASSES_MAX] = {0};

	(void)state;
	/* A new replica within the limits serves at once. */
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(1500, 0), 1000 * MS), 3);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(2000, 1 << 20), 1100 * MS), 3);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(2001, 0), 1200 * MS), 1);
	/* Below the limit but not below half of it. */
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(1500, 0), 1300 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(1001, 0), 9000 * MS), 1);
	/* Below half of it, for the dwell without a break. */
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(1000, 0), 10000 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 10999 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(1200, 0), 10999 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 11100 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 12099 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 12100 * MS), 3);
	/* Inside again, the whole limit counts. */
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(1900, 0), 12200 * MS), 3);
}

static void test_T56_either_limit_takes_it_out(void **state)
{
	const struct sw_config config = two_classes();
	struct sw_lag_gate gates[SW_LAG_CLASSES_MAX] = {0};

	(void)state;
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, (64 << 20) + 1), 1000 * MS), 0);
	/* Low time, but bytes above half of the limit: stays out. */
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 33 << 20), 2000 * MS), 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 33 << 20), 4000 * MS), 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 32 << 20), 5000 * MS), 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 32 << 20), 6000 * MS), 1);
}

static void test_T36_unknown_lag_fits_no_class(void **state)
{
	const struct sw_config config = two_classes();
	struct sw_lag_gate gates[SW_LAG_CLASSES_MAX] = {0};

	(void)state;
	assert_int_equal(sw_lag_gates_step(gates, &config, SW_LAG_UNKNOWN, 1000 * MS), 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 1100 * MS), 3);
	assert_int_equal(sw_lag_gates_step(gates, &config, SW_LAG_UNKNOWN, 1200 * MS), 0);
	/* It was not late, so it need not wait. */
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 1300 * MS), 3);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(3000, 0), 1400 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 1500 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, SW_LAG_UNKNOWN, 1600 * MS), 0);
	/* That one was, and its dwell starts anew. */
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 2600 * MS), 1);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 3600 * MS), 3);
}

static void test_limit_zero_admits_who_is_not_behind(void **state)
{
	struct sw_config config = two_classes();
	struct sw_lag_gate gates[SW_LAG_CLASSES_MAX] = {0};

	(void)state;
	config.lag_class_count = 1;
	config.lag_classes[0] = (struct sw_lag_class){0};
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(1, 1), 1000 * MS), 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 2000 * MS), 0);
	assert_int_equal(sw_lag_gates_step(gates, &config, lag_of(0, 0), 3000 * MS), 1);
}

static void test_short_interval_has_a_least_staleness(void **state)
{
	struct sw_config config = two_classes();

	(void)state;
	config.interval_us = 2000;
	assert_int_equal(sw_lag_stale_ns(&config), 250 * MS);
	config.interval_us = 1000000;
	assert_int_equal(sw_lag_stale_ns(&config), 3000 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_T95_one_failed_query_is_not_a_dead_node),
	        cmocka_unit_test(test_broken_connection_is_down_at_once),
	        cmocka_unit_test(test_node_that_never_answered_is_told_once),
	        cmocka_unit_test(test_backoff_grows_to_a_second),
	        cmocka_unit_test(test_T36_lag_is_the_age_of_the_oldest_sample_not_replayed),
	        cmocka_unit_test(test_T36_an_idle_primary_makes_no_lag),
	        cmocka_unit_test(test_T36_unknown_is_not_zero),
	        cmocka_unit_test(test_T36_without_the_primary_its_last_sample_bounds_the_lag),
	        cmocka_unit_test(test_T36_history_reaches_past_the_largest_limit),
	        cmocka_unit_test(test_T41_history_forgets_what_the_primary_lost),
	        cmocka_unit_test(test_T56_gate_leaves_at_once_and_returns_after_the_dwell),
	        cmocka_unit_test(test_T56_either_limit_takes_it_out),
	        cmocka_unit_test(test_T36_unknown_lag_fits_no_class),
	        cmocka_unit_test(test_limit_zero_admits_who_is_not_behind),
	        cmocka_unit_test(test_short_interval_has_a_least_staleness),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
