/* Floors: which replica may serve a session, from samples alone. Each rule of router/floor.h has a test that breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lagmon/view.h"
#include "router/floor.h"

#define PRIMARY   0
#define REPLICA   1
#define OTHER     2
#define CONNECTED 10 /* when the monitor's connections were established */

struct cluster {
	struct sw_board *board;
	struct sw_view view;
	struct sw_floor floor;
};

static void sample(struct cluster *cluster, int node, int64_t sent_ns, uint64_t lsn, uint32_t timeline)
{
	struct sw_position at = {.timeline = timeline, .lsn = {lsn}};

	sw_board_add_sample(cluster->board, node, sent_ns, at);
	cluster->view.node[node].sent_ns = sent_ns;
	cluster->view.node[node].at = at;
}

static int setup(void **state)
{
	static struct cluster cluster;

	cluster = (struct cluster){.board = sw_board_new()};
	cluster.view.primary = PRIMARY;
	cluster.view.timeline = 1;
	cluster.view.node_count = 3;
	for (int i = 0; i < 3; i++)
		cluster.view.node[i] = (struct sw_view_node){.is_up = true, .is_lineage_ok = true, .since_ns = CONNECTED,
			.role = i == PRIMARY ? SW_ROLE_PRIMARY : SW_ROLE_REPLICA};
	*state = &cluster;
	return 0;
}

static int teardown(void **state)
{
	sw_board_free(((struct cluster *)*state)->board);
	return 0;
}

static enum sw_err admits(struct cluster *cluster, int node)
{
	uint64_t seen = 0;

	sw_board_publish(cluster->board, &cluster->view);
	sw_board_read(cluster->board, &seen, &cluster->view);
	return sw_floor_admits(&cluster->floor, cluster->board, &cluster->view, node);
}

static void test_a_new_session_reads_anywhere(void **state)
{
	struct cluster *cluster = *state;

	sample(cluster, REPLICA, 20, 100, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);
}

static void test_T25_a_write_is_unresolved_until_a_later_sample(void **state)
{
	struct cluster *cluster = *state;

	sample(cluster, PRIMARY, 20, 100, 1);
	sample(cluster, REPLICA, 20, 100, 1);
	sw_floor_add_event(&cluster->floor, PRIMARY, true, 30);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN); /* the samples are older than the write */
	sample(cluster, PRIMARY, 30, 150, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN); /* as old as the write: not after it */
	sample(cluster, PRIMARY, 31, 200, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN); /* resolved, and the replica is behind */
	assert_int_equal(cluster->floor.at.lsn.pos, 200);
	sample(cluster, REPLICA, 40, 199, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN);
	sample(cluster, REPLICA, 41, 200, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);
}

static void test_T25_the_first_later_sample_counts_not_the_newest(void **state)
{
	struct cluster *cluster = *state;

	sw_floor_add_event(&cluster->floor, PRIMARY, true, 30);
	sample(cluster, PRIMARY, 31, 200, 1);
	sample(cluster, PRIMARY, 90, 9000, 1);
	sample(cluster, REPLICA, 91, 200, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);
}

static void test_T30_leaving_a_replica_needs_a_sample_sent_after_the_read(void **state)
{
	struct cluster *cluster = *state;

	sample(cluster, PRIMARY, 15, 90, 1);
	sample(cluster, REPLICA, 20, 100, 1);
	sample(cluster, OTHER, 20, 100, 1);
	sw_floor_add_event(&cluster->floor, REPLICA, false, 30);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);      /* staying needs nothing */
	assert_int_equal(admits(cluster, OTHER), SW_ERR_AGAIN); /* the read may have seen more than 100 */
	sample(cluster, REPLICA, 31, 120, 1);
	assert_int_equal(admits(cluster, OTHER), SW_ERR_AGAIN);
	assert_int_equal(cluster->floor.at.lsn.pos, 120);
	sample(cluster, OTHER, 40, 120, 1);
	assert_int_equal(admits(cluster, OTHER), SW_OK);
}

static void test_T31_a_sample_of_another_incarnation_proves_nothing(void **state)
{
	struct cluster *cluster = *state;

	sample(cluster, REPLICA, 20, 500, 1);
	sw_floor_add_event(&cluster->floor, REPLICA, false, 30);
	/* The replica crashes and opens again far behind what the read saw. */
	sw_board_reset_samples(cluster->board, REPLICA);
	cluster->view.node[REPLICA].since_ns = 40;
	sample(cluster, REPLICA, 41, 100, 1);
	sample(cluster, OTHER, 41, 100, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN);
	assert_int_equal(admits(cluster, OTHER), SW_ERR_AGAIN);
	/* Only the primary's position bounds what was seen. */
	sample(cluster, PRIMARY, 42, 510, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN);
	sample(cluster, REPLICA, 50, 510, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);
}

static void test_T29_reading_on_the_primary_raises_the_floor(void **state)
{
	struct cluster *cluster = *state;

	cluster->floor.at = (struct sw_position){.timeline = 1, .lsn = {100}};
	sample(cluster, REPLICA, 20, 100, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);
	sw_floor_add_event(&cluster->floor, PRIMARY, true, 30);
	sample(cluster, PRIMARY, 31, 101, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN);
}

static void test_a_move_without_resolving_is_bounded_by_the_primary(void **state)
{
	struct cluster *cluster = *state;

	sample(cluster, REPLICA, 20, 100, 1);
	sample(cluster, OTHER, 20, 90, 1);
	sw_floor_add_event(&cluster->floor, REPLICA, false, 30);
	sw_floor_add_event(&cluster->floor, OTHER, false, 35); /* at level eventual nobody asked */
	assert_int_equal(admits(cluster, OTHER), SW_ERR_AGAIN);
	sample(cluster, PRIMARY, 36, 100, 1);
	assert_int_equal(admits(cluster, OTHER), SW_ERR_AGAIN);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);
}

static void test_T39_a_floor_of_an_earlier_timeline_follows_the_primary(void **state)
{
	struct cluster *cluster = *state;

	cluster->floor.at = (struct sw_position){.timeline = 1, .lsn = {900}};
	cluster->view.timeline = 2;
	sample(cluster, REPLICA, 50, 400, 2);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN); /* the new primary is not known yet */
	sample(cluster, PRIMARY, 51, 500, 2);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN); /* it must have what the new primary has */
	sample(cluster, REPLICA, 52, 500, 2);
	assert_int_equal(admits(cluster, REPLICA), SW_OK);
}

static void test_T40_a_replica_that_is_numerically_ahead_on_another_timeline(void **state)
{
	struct cluster *cluster = *state;

	cluster->floor.at = (struct sw_position){.timeline = 2, .lsn = {500}};
	cluster->view.timeline = 2;
	sample(cluster, PRIMARY, 50, 500, 2);
	sample(cluster, REPLICA, 50, 9000, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN);
}

static void test_T31_a_view_that_is_not_the_newest_vouches_for_nothing(void **state)
{
	struct cluster *cluster = *state;
	struct sw_view newer;

	sample(cluster, REPLICA, 20, 500, 1);
	sample(cluster, OTHER, 20, 500, 1);
	sw_floor_add_event(&cluster->floor, REPLICA, false, 30);
	admits(cluster, REPLICA); /* this view is what the worker has */
	/* Meanwhile the replica crashed and the monitor has seen it again, behind what it had served. */
	newer = cluster->view;
	newer.node[REPLICA].since_ns = 40;
	sw_board_reset_samples(cluster->board, REPLICA);
	sw_board_publish(cluster->board, &newer);
	sw_board_add_sample(cluster->board, REPLICA, 41, (struct sw_position){.timeline = 1, .lsn = {100}});
	assert_int_equal(sw_floor_admits(&cluster->floor, cluster->board, &cluster->view, OTHER), SW_ERR_AGAIN);
	assert_int_equal(cluster->floor.at.timeline, 0);
}

static void test_no_primary_no_bound(void **state)
{
	struct cluster *cluster = *state;

	cluster->view.primary = -1;
	sample(cluster, REPLICA, 20, 100, 1);
	sw_floor_add_event(&cluster->floor, PRIMARY, true, 30);
	sample(cluster, REPLICA, 40, 1000, 1);
	assert_int_equal(admits(cluster, REPLICA), SW_ERR_AGAIN);
}

static void test_T46_the_replica_that_was_read_last_speaks_for_all(void **state)
{
	struct cluster *cluster = *state;
	struct sw_floor *floor = &cluster->floor;

	assert_true(sw_floor_is_settled(floor, &cluster->view)); /* nothing was read there */
	sw_floor_note_shown(floor, REPLICA, true, 30);
	sw_floor_note_shown(floor, OTHER, true, 35);
	assert_int_equal(sw_floor_witness(floor, &cluster->view), OTHER);
	cluster->view.node[REPLICA].settled_ns = 40;
	assert_false(sw_floor_is_settled(floor, &cluster->view));
	cluster->view.node[OTHER].settled_ns = 35;
	assert_false(sw_floor_is_settled(floor, &cluster->view)); /* asked at the same moment, not after it */
	cluster->view.node[OTHER].settled_ns = 36;
	assert_true(sw_floor_is_settled(floor, &cluster->view));
	cluster->view.node[OTHER].settled_ns = 0;
	assert_true(sw_floor_is_settled(floor, &cluster->view)); /* for good */
}

static void test_T46_another_incarnation_says_nothing(void **state)
{
	struct cluster *cluster = *state;
	struct sw_floor *floor = &cluster->floor;

	sw_floor_note_shown(floor, REPLICA, true, 30);
	cluster->view.node[REPLICA].since_ns = 31;
	cluster->view.node[REPLICA].settled_ns = 40;
	assert_int_equal(sw_floor_witness(floor, &cluster->view), -1);
	assert_false(sw_floor_is_settled(floor, &cluster->view));
	cluster->view.settled_ns = 31;
	assert_true(sw_floor_is_settled(floor, &cluster->view));
}

static void test_T46_a_move_without_a_floor_leaves_no_witness(void **state)
{
	struct cluster *cluster = *state;
	struct sw_floor *floor = &cluster->floor;

	sw_floor_note_shown(floor, REPLICA, false, 30); /* of a first read the replica itself knows all */
	assert_int_equal(sw_floor_witness(floor, &cluster->view), REPLICA);
	sw_floor_note_shown(floor, OTHER, false, 35);
	sw_floor_note_shown(floor, OTHER, true, 36);
	assert_int_equal(sw_floor_witness(floor, &cluster->view), -1);
	cluster->view.node[OTHER].settled_ns = 40;
	assert_false(sw_floor_is_settled(floor, &cluster->view));
	sw_floor_forget_shown(floor);
	assert_true(sw_floor_is_settled(floor, &cluster->view));
	sw_floor_note_shown(floor, OTHER, true, 50);
	assert_int_equal(sw_floor_witness(floor, &cluster->view), OTHER);
}

static void test_T46_a_replica_that_has_become_the_primary(void **state)
{
	struct cluster *cluster = *state;

	sw_floor_note_shown(&cluster->floor, REPLICA, true, 30);
	cluster->view.primary = REPLICA;
	cluster->view.node[REPLICA].role = SW_ROLE_PRIMARY;
	assert_true(sw_floor_is_settled(&cluster->floor, &cluster->view));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_new_session_reads_anywhere),
		CASE(test_T25_a_write_is_unresolved_until_a_later_sample),
		CASE(test_T25_the_first_later_sample_counts_not_the_newest),
		CASE(test_T30_leaving_a_replica_needs_a_sample_sent_after_the_read),
		CASE(test_T31_a_sample_of_another_incarnation_proves_nothing),
		CASE(test_T29_reading_on_the_primary_raises_the_floor),
		CASE(test_a_move_without_resolving_is_bounded_by_the_primary),
		CASE(test_T39_a_floor_of_an_earlier_timeline_follows_the_primary),
		CASE(test_T40_a_replica_that_is_numerically_ahead_on_another_timeline),
		CASE(test_T31_a_view_that_is_not_the_newest_vouches_for_nothing),
		CASE(test_no_primary_no_bound),
		CASE(test_T46_the_replica_that_was_read_last_speaks_for_all),
		CASE(test_T46_another_incarnation_says_nothing),
		CASE(test_T46_a_move_without_a_floor_leaves_no_witness),
		CASE(test_T46_a_replica_that_has_become_the_primary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
