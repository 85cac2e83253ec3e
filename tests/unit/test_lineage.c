/* Who has the primary's WAL: positions in the order in which a monitor would see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lagmon/lineage.h"
#include "proxy/base/clock.h"

/* Samples of the replica arrive at times that the test gives; the primary is asked at others. */
static enum sw_lineage_state step(struct sw_lineage *lineage, int64_t arrived_ns, uint64_t replica, int64_t sent_ns, uint64_t primary)
{
	struct sw_lineage_input input = {.start_time_us = 1,
		.arrived_ns = arrived_ns,
		.replica = {.lsn = {replica}, .timeline = 2},
		.primary_sent_ns = sent_ns,
		.primary = {.lsn = {primary}, .timeline = 2}};

	sw_lineage_step(lineage, &input);
	return lineage->state;
}

static void test_T40_an_idle_replica_is_proven_by_one_sample(void **state)
{
	struct sw_lineage lineage = {0};

	(void)state;
	/* What the primary said before it came says nothing of it. */
	assert_int_equal(step(&lineage, 10, 500, 9, 500), SW_LINEAGE_UNPROVEN);
	assert_int_equal(step(&lineage, 10, 500, 11, 500), SW_LINEAGE_PROVEN);
}

static void test_T40_a_replica_that_always_lags_is_proven(void **state)
{
	struct sw_lineage lineage = {0};

	(void)state;
	assert_int_equal(step(&lineage, 10, 400, 11, 500), SW_LINEAGE_UNPROVEN);
	assert_int_equal(step(&lineage, 20, 499, 21, 600), SW_LINEAGE_UNPROVEN);
	/* The goal is where the primary was then. */
	assert_int_equal(step(&lineage, 30, 500, 21, 600), SW_LINEAGE_PROVEN);
	assert_int_equal(step(&lineage, 40, 600, 41, 700), SW_LINEAGE_PROVEN);
}

static void test_T40_past_what_is_known_of_the_primary_is_no_proof(void **state)
{
	struct sw_lineage lineage = {0};

	(void)state;
	step(&lineage, 10, 400, 11, 500);
	assert_int_equal(step(&lineage, 20, 550, 11, 500), SW_LINEAGE_UNPROVEN);
	assert_int_equal(step(&lineage, 20, 550, 21, 560), SW_LINEAGE_PROVEN);
}

static void test_T40_a_replica_ahead_has_diverged_for_good(void **state)
{
	struct sw_lineage lineage = {0};

	(void)state;
	assert_int_equal(step(&lineage, 10, 600, 11, 500), SW_LINEAGE_DIVERGED);
	assert_int_equal(step(&lineage, 10, 600, 12, 700), SW_LINEAGE_DIVERGED);
	/* … also one that was proven. */
	lineage = (struct sw_lineage){0};
	step(&lineage, 10, 500, 11, 500);
	assert_int_equal(step(&lineage, 20, 600, 21, 500), SW_LINEAGE_DIVERGED);
}

static void test_T40_a_replica_that_stands_still_is_told_of_and_may_go_on(void **state)
{
	struct sw_lineage lineage = {0};

	(void)state;
	step(&lineage, 10, 400, 11, 500);
	assert_int_equal(step(&lineage, 10 * SW_NS_PER_S, 400, 10 * SW_NS_PER_S, 900), SW_LINEAGE_UNPROVEN);
	assert_int_equal(step(&lineage, 10 * SW_NS_PER_S, 400, 11 * SW_NS_PER_S, 900), SW_LINEAGE_STUCK);
	assert_int_equal(step(&lineage, 12 * SW_NS_PER_S, 500, 11 * SW_NS_PER_S, 900), SW_LINEAGE_PROVEN);
}

static void test_T40_another_timeline_proves_nothing(void **state)
{
	struct sw_lineage_input input = {.start_time_us = 1, .arrived_ns = 10, .replica = {.lsn = {500}, .timeline = 1},
		.primary_sent_ns = 11, .primary = {.lsn = {500}, .timeline = 2}};
	struct sw_lineage lineage = {0};

	(void)state;
	sw_lineage_step(&lineage, &input);
	assert_int_equal(lineage.state, SW_LINEAGE_UNPROVEN);
	/* It has come to the primary's now, and the primary is to be asked after that. */
	assert_int_equal(step(&lineage, 12, 500, 11, 500), SW_LINEAGE_UNPROVEN);
	assert_int_equal(step(&lineage, 12, 500, 13, 500), SW_LINEAGE_PROVEN);
}

static void test_T40_a_restart_begins_anew(void **state)
{
	struct sw_lineage_input input = {.start_time_us = 2, .arrived_ns = 20, .replica = {.lsn = {450}, .timeline = 2},
		.primary_sent_ns = 21, .primary = {.lsn = {600}, .timeline = 2}};
	struct sw_lineage lineage = {0};

	(void)state;
	step(&lineage, 10, 500, 11, 500);
	sw_lineage_step(&lineage, &input);
	assert_int_equal(lineage.state, SW_LINEAGE_UNPROVEN);
	assert_int_equal(lineage.goal.pos, 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_T40_an_idle_replica_is_proven_by_one_sample),
		cmocka_unit_test(test_T40_a_replica_that_always_lags_is_proven),
		cmocka_unit_test(test_T40_past_what_is_known_of_the_primary_is_no_proof),
		cmocka_unit_test(test_T40_a_replica_ahead_has_diverged_for_good),
		cmocka_unit_test(test_T40_a_replica_that_stands_still_is_told_of_and_may_go_on),
		cmocka_unit_test(test_T40_another_timeline_proves_nothing),
		cmocka_unit_test(test_T40_a_restart_begins_anew),
	};

	return cmocka_run_group_tests_name("lineage", tests, NULL, NULL);
}
