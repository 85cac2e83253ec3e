/* The choice of a replica. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/choose.h"

struct setting {
	struct sw_board *board;
	struct sw_view view;
	struct sw_floor floor;
	uint32_t weights[SW_NODES_MAX], loads[SW_NODES_MAX];
	struct sw_choice_request request;
};

/* Node 0 is the primary, 1 and 2 are replicas at LSN 100, fit for lag class 0. */
static int setup(void **state)
{
	static struct setting setting;

	setting = (struct setting){.board = sw_board_new(), .weights = {1, 1, 1}};
	setting.view = (struct sw_view){.primary = 0, .timeline = 1, .node_count = 3};
	for (int i = 0; i < 3; i++)
		setting.view.node[i] = (struct sw_view_node){.is_up = true, .is_lineage_ok = true, .fit_mask = 1, .since_ns = 1,
			.sent_ns = 2, .at = {.timeline = 1, .lsn = {100}}, .role = i == 0 ? SW_ROLE_PRIMARY : SW_ROLE_REPLICA};
	setting.request = (struct sw_choice_request){.board = setting.board, .view = &setting.view, .floor = &setting.floor,
		.weights = setting.weights, .loads = setting.loads, .node_count = 3, .sticky = -1};
	*state = &setting;
	return 0;
}

static int teardown(void **state)
{
	sw_board_free(((struct setting *)*state)->board);
	return 0;
}

static int chosen(struct setting *setting)
{
	int node = -1;

	return sw_choose_replica(&setting->request, &node) == SW_CHOICE_REPLICA ? node : -1;
}

static void test_the_primary_is_never_chosen(void **state)
{
	struct setting *setting = *state;

	for (uint32_t i = 0; i < 64; i++) {
		setting->request.random = i << 16 | i * 7;
		assert_in_range(chosen(setting), 1, 2);
	}
}

static void test_sticky_first(void **state)
{
	struct setting *setting = *state;

	setting->request.sticky = 2;
	setting->loads[2] = 1000;
	assert_int_equal(chosen(setting), 2);
}

static void test_T33_sticky_is_compared_with_the_floor_too(void **state)
{
	struct setting *setting = *state;

	setting->request.sticky = 2;
	setting->floor.at = (struct sw_position){.timeline = 1, .lsn = {101}};
	setting->view.node[1].at.lsn.pos = 101;
	assert_int_equal(chosen(setting), 1);
}

static void test_less_loaded_of_two(void **state)
{
	struct setting *setting = *state;

	setting->loads[1] = 5;
	setting->request.random = 0u << 16 | 1; /* draws 2, then 1 */
	assert_int_equal(chosen(setting), 2);
	setting->request.random = 1u << 16 | 0; /* draws 1, then 2 */
	assert_int_equal(chosen(setting), 2);
}

static void test_weight_divides_load(void **state)
{
	struct setting *setting = *state;

	setting->loads[1] = 4;
	setting->weights[1] = 10;
	setting->loads[2] = 1;
	setting->request.random = 1u << 16 | 0;
	assert_int_equal(chosen(setting), 1);
}

static void test_weight_0_serves_nothing(void **state)
{
	struct setting *setting = *state;

	setting->weights[1] = 0;
	for (uint32_t i = 0; i < 8; i++) {
		setting->request.random = i;
		assert_int_equal(chosen(setting), 2);
	}
}

static void test_T56_beyond_the_limits_is_not_fit(void **state)
{
	struct setting *setting = *state;
	int node;

	setting->view.node[1].fit_mask = setting->view.node[2].fit_mask = 0;
	assert_int_equal(sw_choose_replica(&setting->request, &node), SW_CHOICE_NONE);
	setting->view.node[2].fit_mask = 1u << 3;
	setting->request.lag_class = 3;
	assert_int_equal(chosen(setting), 2);
}

static void test_T37_a_delayed_replica_is_never_waited_for(void **state)
{
	struct setting *setting = *state;
	int node;

	setting->floor.at = (struct sw_position){.timeline = 1, .lsn = {500}};
	assert_int_equal(sw_choose_replica(&setting->request, &node), SW_CHOICE_WAIT);
	setting->view.node[1].is_delayed = true;
	assert_int_equal(sw_choose_replica(&setting->request, &node), SW_CHOICE_WAIT);
	setting->view.node[2].is_delayed = true;
	assert_int_equal(sw_choose_replica(&setting->request, &node), SW_CHOICE_NONE);
}

static void test_excluded_down_and_foreign_are_not_fit(void **state)
{
	struct setting *setting = *state;

	setting->request.excluded = 1u << 1;
	assert_int_equal(chosen(setting), 2);
	setting->view.node[2].is_up = false;
	assert_int_equal(chosen(setting), -1);
	setting->view.node[2].is_up = true;
	setting->view.node[2].is_lineage_ok = false;
	assert_int_equal(chosen(setting), -1);
}

static void test_eventual_ignores_the_floor(void **state)
{
	struct setting *setting = *state;

	setting->floor.at = (struct sw_position){.timeline = 1, .lsn = {500}};
	setting->request.is_eventual = true;
	assert_in_range(chosen(setting), 1, 2);
}

static void test_stale_takes_the_furthest(void **state)
{
	struct setting *setting = *state;

	setting->view.node[2].at.lsn.pos = 300;
	assert_int_equal(sw_choose_stale(&setting->request), 2);
	setting->view.node[1].fit_mask = setting->view.node[2].fit_mask = 0;
	assert_int_equal(sw_choose_stale(&setting->request), -1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_the_primary_is_never_chosen),
		CASE(test_sticky_first),
		CASE(test_T33_sticky_is_compared_with_the_floor_too),
		CASE(test_less_loaded_of_two),
		CASE(test_weight_divides_load),
		CASE(test_weight_0_serves_nothing),
		CASE(test_T56_beyond_the_limits_is_not_fit),
		CASE(test_T37_a_delayed_replica_is_never_waited_for),
		CASE(test_excluded_down_and_foreign_are_not_fit),
		CASE(test_eventual_ignores_the_floor),
		CASE(test_stale_takes_the_furthest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
