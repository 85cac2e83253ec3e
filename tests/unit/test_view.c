/* The board in one thread: views, rings, bounds, demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lagmon/view.h"

static struct sw_position at(uint32_t timeline, uint64_t pos)
{
	return (struct sw_position){.timeline = timeline, .lsn = {.pos = pos}};
}

static int setup(void **state)
{
	*state = sw_board_new();
	return 0;
}

static int teardown(void **state)
{
	sw_board_free(*state);
	return 0;
}

static void test_new_board_has_no_primary(void **state)
{
	struct sw_view view = {.primary = 5, .node_count = 3};
	uint64_t seen = 0;

	assert_true(sw_board_read(*state, &seen, &view));
	assert_int_equal(view.primary, -1);
	assert_int_equal(view.node_count, 0);
	assert_false(sw_board_read(*state, &seen, &view));
}

static void test_reader_gets_the_newest_view_once(void **state)
{
	struct sw_view view = {.epoch = 1, .primary = 2, .timeline = 7, .node_count = 3}, got;
	uint64_t seen = 0, seen_late = 0;

	view.node[SW_NODES_MAX - 1].lag_bytes = UINT64_MAX;
	view.node[SW_NODES_MAX - 1].at = at(7, 0x1234567890);
	sw_board_publish(*state, &view);
	assert_true(sw_board_read(*state, &seen, &got));
	assert_int_equal(got.number, seen);
	assert_true(sw_board_is_newest(*state, &got));
	view.number = got.number; /* the reader's, whatever the writer had there */
	assert_memory_equal(&got, &view, sizeof(view));
	got.epoch = 99;
	assert_false(sw_board_read(*state, &seen, &got));
	assert_int_equal(got.epoch, 99);
	for (view.epoch = 2; view.epoch < 6; view.epoch++)
		sw_board_publish(*state, &view);
	assert_false(sw_board_is_newest(*state, &got));
	assert_true(sw_board_read(*state, &seen, &got));
	assert_int_equal(got.epoch, 5);
	assert_true(sw_board_is_newest(*state, &got));
	assert_true(sw_board_read(*state, &seen_late, &got));
	assert_int_equal(got.epoch, 5);
}

static void test_T25_bound_is_the_first_sample_sent_after_the_event(void **state)
{
	struct sw_position bound = at(9, 9);

	assert_int_equal(sw_board_first_after(*state, 0, 0, &bound), SW_ERR_AGAIN);
	sw_board_add_sample(*state, 0, 100, at(1, 1000));
	sw_board_add_sample(*state, 0, 200, at(1, 2000));
	sw_board_add_sample(*state, 0, 300, at(1, 3000));
	assert_int_equal(sw_board_first_after(*state, 0, 99, &bound), SW_OK);
	assert_int_equal(bound.lsn.pos, 1000);
	assert_int_equal(bound.timeline, 1);
	/* Sent in the same nanosecond proves nothing. */
	assert_int_equal(sw_board_first_after(*state, 0, 100, &bound), SW_OK);
	assert_int_equal(bound.lsn.pos, 2000);
	assert_int_equal(sw_board_first_after(*state, 0, 299, &bound), SW_OK);
	assert_int_equal(bound.lsn.pos, 3000);
	bound = at(9, 9);
	assert_int_equal(sw_board_first_after(*state, 0, 300, &bound), SW_ERR_AGAIN);
	assert_int_equal(bound.lsn.pos, 9);
	assert_int_equal(sw_board_first_after(*state, 1, 0, &bound), SW_ERR_AGAIN);
}

static void test_T31_reset_forgets_the_incarnation(void **state)
{
	struct sw_position bound;

	sw_board_add_sample(*state, 3, 100, at(1, 1000));
	sw_board_add_sample(*state, 3, 200, at(1, 2000));
	sw_board_reset_samples(*state, 3);
	assert_int_equal(sw_board_first_after(*state, 3, 0, &bound), SW_ERR_AGAIN);
	assert_int_equal(sw_board_behind_since(*state, 3, (struct sw_lsn){0}), 0);
	sw_board_add_sample(*state, 3, 300, at(2, 500));
	assert_int_equal(sw_board_first_after(*state, 3, 0, &bound), SW_OK);
	assert_int_equal(bound.lsn.pos, 500);
	assert_int_equal(bound.timeline, 2);
	sw_board_reset_samples(*state, 3);
	sw_board_reset_samples(*state, 3);
	assert_int_equal(sw_board_first_after(*state, 3, 0, &bound), SW_ERR_AGAIN);
}

static void test_T36_behind_since_the_oldest_sample_past_it(void **state)
{
	for (int64_t k = 1; k <= 10; k++)
		sw_board_add_sample(*state, 0, 100 * k, at(1, (uint64_t)(k + 1) / 2 * 1000));
	/* Positions: 1000 1000 2000 2000 … 5000 5000. */
	assert_int_equal(sw_board_behind_since(*state, 0, (struct sw_lsn){0}), 100);
	assert_int_equal(sw_board_behind_since(*state, 0, (struct sw_lsn){999}), 100);
	assert_int_equal(sw_board_behind_since(*state, 0, (struct sw_lsn){1000}), 300);
	assert_int_equal(sw_board_behind_since(*state, 0, (struct sw_lsn){4999}), 900);
	assert_int_equal(sw_board_behind_since(*state, 0, (struct sw_lsn){5000}), 0);
	assert_int_equal(sw_board_behind_since(*state, 0, (struct sw_lsn){UINT64_MAX}), 0);
}

/* Whatever was overwritten, an answer is a sample sent after the event, and the oldest that is kept. */
static void test_ring_wraps_to_later_samples(void **state)
{
	const int64_t total = 3 * SW_SAMPLES_MAX + 17;
	struct sw_position bound;

	for (int64_t k = 1; k <= total; k++) {
		sw_board_add_sample(*state, 1, k, at(1, (uint64_t)k * 10));
		if (k % 1000 && k < total - 5)
			continue;
		assert_int_equal(sw_board_first_after(*state, 1, k - 1, &bound), SW_OK);
		assert_int_equal(bound.lsn.pos, k * 10);
		assert_int_equal(sw_board_first_after(*state, 1, k, &bound), SW_ERR_AGAIN);
	}
	assert_int_equal(sw_board_first_after(*state, 1, 0, &bound), SW_OK);
	assert_in_range(bound.lsn.pos, (total - SW_SAMPLES_MAX + 1) * 10, (total - SW_SAMPLES_MAX + 2) * 10);
	for (int64_t event = total - SW_SAMPLES_MAX + 2; event < total; event++) {
		assert_int_equal(sw_board_first_after(*state, 1, event, &bound), SW_OK);
		assert_int_equal(bound.lsn.pos, (event + 1) * 10);
		assert_int_equal(
		        sw_board_behind_since(*state, 1, (struct sw_lsn){(uint64_t)event * 10}), event + 1);
	}
}

static void test_reset_of_a_full_ring(void **state)
{
	struct sw_position bound;

	for (int64_t k = 1; k <= SW_SAMPLES_MAX + 100; k++)
		sw_board_add_sample(*state, 2, k, at(1, (uint64_t)k));
	sw_board_reset_samples(*state, 2);
	assert_int_equal(sw_board_first_after(*state, 2, 0, &bound), SW_ERR_AGAIN);
	for (int64_t k = 10001; k <= 10003; k++)
		sw_board_add_sample(*state, 2, k, at(2, (uint64_t)k));
	assert_int_equal(sw_board_first_after(*state, 2, 0, &bound), SW_OK);
	assert_int_equal(bound.lsn.pos, 10001);
}

static void test_demand_wakes_once(void **state)
{
	assert_int_equal(sw_board_wanted(*state), 0);
	assert_true(sw_board_want(*state));
	assert_false(sw_board_want(*state));
	assert_int_equal(sw_board_wanted(*state), 2);
	sw_board_unwant(*state);
	assert_false(sw_board_want(*state));
	sw_board_unwant(*state);
	sw_board_unwant(*state);
	assert_int_equal(sw_board_wanted(*state), 0);
	assert_true(sw_board_want(*state));
	sw_board_unwant(*state);
}

static void test_T46_demand_for_what_is_settled(void **state)
{
	assert_int_equal(sw_board_settling(*state), 0);
	assert_int_equal(sw_board_settling_ns(*state, 1), 0);
	sw_board_want_settled(*state, 1, 30);
	sw_board_want_settled(*state, 1, 20);
	sw_board_want_settled(*state, -1, 25);
	assert_int_equal(sw_board_settling(*state), 3);
	assert_int_equal(sw_board_settling_ns(*state, 1), 30); /* the last event, in whatever order */
	assert_int_equal(sw_board_settling_ns(*state, -1), 25);
	assert_int_equal(sw_board_settling_ns(*state, 2), 0);
	for (int i = 0; i < 3; i++)
		sw_board_unwant_settled(*state);
	assert_int_equal(sw_board_settling(*state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_new_board_has_no_primary, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_reader_gets_the_newest_view_once, setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                test_T25_bound_is_the_first_sample_sent_after_the_event, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_T31_reset_forgets_the_incarnation, setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                test_T36_behind_since_the_oldest_sample_past_it, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_ring_wraps_to_later_samples, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_reset_of_a_full_ring, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_demand_wakes_once, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_T46_demand_for_what_is_settled, setup, teardown),
	};

	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
