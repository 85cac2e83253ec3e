/* Who is the primary, lineage and epoch. Node 0 is the first primary in most tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lagmon/topology.h"

#define HERE  UINT64_C(7000)
#define OTHER UINT64_C(8000)

static struct sw_topology_input primary_on(uint32_t timeline)
{
	return (struct sw_topology_input){
	        .is_asked = true, .is_known = true, .timeline = timeline, .system_id = HERE};
}

static struct sw_topology_input replica_on(uint32_t timeline)
{
	struct sw_topology_input input = primary_on(timeline);

	input.is_in_recovery = true;
	input.lineage = SW_LINEAGE_PROVEN;
	return input;
}

static struct sw_topology_input gone(void)
{
	return (struct sw_topology_input){.is_asked = true};
}

static struct sw_topology_news step(struct sw_topology *topology, struct sw_topology_input a,
        struct sw_topology_input b, struct sw_topology_input c)
{
	const struct sw_topology_input input[SW_NODES_MAX] = {a, b, c};

	return sw_topology_step(topology, input, 3, false);
}

static struct sw_topology started(void)
{
	struct sw_topology topology;

	sw_topology_init(&topology);
	step(&topology, primary_on(1), replica_on(1), replica_on(1));
	return topology;
}

static void test_first_primary_is_epoch_one(void **state)
{
	struct sw_topology topology;
	struct sw_topology_news news;

	(void)state;
	sw_topology_init(&topology);
	assert_int_equal(topology.primary, -1);
	assert_int_equal(topology.epoch, 1);
	news = step(&topology, primary_on(3), replica_on(3), gone());
	assert_true(news.is_primary_new);
	assert_int_equal(news.roles, 3);
	assert_int_equal(news.complaints, 0);
	assert_int_equal(topology.primary, 0);
	assert_int_equal(topology.timeline, 3);
	assert_int_equal(topology.epoch, 1);
	assert_int_equal(topology.node[0].role, SW_ROLE_PRIMARY);
	assert_int_equal(topology.node[1].role, SW_ROLE_REPLICA);
	assert_int_equal(topology.node[2].role, SW_ROLE_UNKNOWN);
	assert_true(topology.node[0].is_lineage_ok);
	assert_true(topology.node[1].is_lineage_ok);
	assert_false(topology.node[2].is_lineage_ok);
	news = step(&topology, primary_on(3), replica_on(3), gone());
	assert_false(news.is_primary_new || news.is_primary_lost || news.is_primary_back || news.roles ||
	             news.complaints);
}

static void test_T80_a_start_waits_for_all_before_it_names_a_primary(void **state)
{
	struct sw_topology topology;
	struct sw_topology_news news;
	const struct sw_topology_input unasked = {0};

	(void)state;
	sw_topology_init(&topology);
	/* The first to answer is a former primary that nobody has stopped. */
	step(&topology, primary_on(1), unasked, unasked);
	assert_int_equal(topology.primary, -1);
	step(&topology, primary_on(1), unasked, replica_on(2));
	assert_int_equal(topology.primary, -1);
	assert_int_equal(topology.node[2].role, SW_ROLE_REPLICA);
	assert_false(topology.node[2].is_lineage_ok);
	news = step(&topology, primary_on(1), primary_on(2), replica_on(2));
	assert_int_equal(topology.primary, 1);
	assert_int_equal(topology.epoch, 1);
	assert_int_equal(news.complaints, 1);
	assert_int_equal(topology.node[0].complaint, SW_COMPLAINT_TIMELINE);
	assert_int_equal(topology.node[0].role, SW_ROLE_UNKNOWN);
	assert_false(topology.node[0].is_lineage_ok);
}

static void test_a_start_does_not_wait_for_ever(void **state)
{
	const struct sw_topology_input input[SW_NODES_MAX] = {primary_on(1)};
	struct sw_topology topology;

	(void)state;
	sw_topology_init(&topology);
	sw_topology_step(&topology, input, 2, false);
	assert_int_equal(topology.primary, -1);
	sw_topology_step(&topology, input, 2, true);
	assert_int_equal(topology.primary, 0);
	sw_topology_step(&topology, input, 2, false);
	assert_int_equal(topology.primary, 0);
}

static void test_promotion_makes_an_epoch(void **state)
{
	struct sw_topology topology = started();
	struct sw_topology_news news;

	(void)state;
	news = step(&topology, gone(), replica_on(1), replica_on(1));
	assert_true(news.is_primary_lost);
	assert_int_equal(topology.primary, -1);
	assert_int_equal(topology.epoch, 1);
	assert_int_equal(topology.timeline, 1);
	assert_int_equal(topology.node[0].role, SW_ROLE_UNKNOWN);
	news = step(&topology, gone(), primary_on(2), replica_on(1));
	assert_true(news.is_primary_new);
	assert_int_equal(topology.primary, 1);
	assert_int_equal(topology.timeline, 2);
	assert_int_equal(topology.epoch, 2);
	/* T93, T40: a replica that still follows the dead primary serves nothing. */
	assert_false(topology.node[2].is_lineage_ok);
	assert_int_equal(topology.node[2].complaint, SW_COMPLAINT_LINEAGE);
	assert_int_equal(topology.node[2].role, SW_ROLE_REPLICA);
	news = step(&topology, gone(), primary_on(2), replica_on(2));
	assert_true(topology.node[2].is_lineage_ok);
	assert_int_equal(news.complaints, 4);
	assert_int_equal(topology.node[2].complaint, SW_COMPLAINT_NONE);
}

static void test_the_same_primary_again_is_the_same_epoch(void **state)
{
	struct sw_topology topology = started();
	struct sw_topology_news news;

	(void)state;
	step(&topology, gone(), replica_on(1), replica_on(1));
	/* Replicas keep their lineage: it is compared with the last timeline that is known. */
	assert_true(topology.node[1].is_lineage_ok);
	news = step(&topology, primary_on(1), replica_on(1), replica_on(1));
	assert_true(news.is_primary_back);
	assert_false(news.is_primary_new);
	assert_int_equal(topology.primary, 0);
	assert_int_equal(topology.epoch, 1);
	/* It may be restarted on a new timeline too (a recovery to a point in time): that is another history.
	 */
	step(&topology, primary_on(4), replica_on(1), replica_on(1));
	assert_int_equal(topology.epoch, 2);
	assert_false(topology.node[1].is_lineage_ok);
}

static void test_T80_former_primary_is_quarantined_and_told_once(void **state)
{
	struct sw_topology topology = started();
	struct sw_topology_news news;

	(void)state;
	news = step(&topology, primary_on(1), primary_on(2), replica_on(2));
	assert_int_equal(topology.primary, 1);
	assert_int_equal(topology.epoch, 2);
	assert_int_equal(news.complaints & 1, 1);
	assert_int_equal(topology.node[0].role, SW_ROLE_UNKNOWN);
	news = step(&topology, primary_on(1), primary_on(2), replica_on(2));
	assert_int_equal(news.complaints, 0);
	/* Not even when the right one is gone, and not told again after a reconnect. */
	step(&topology, primary_on(1), gone(), replica_on(2));
	assert_int_equal(topology.primary, -1);
	news = step(&topology, gone(), gone(), replica_on(2));
	assert_int_equal(news.complaints, 0);
	news = step(&topology, primary_on(1), gone(), replica_on(2));
	assert_int_equal(news.complaints, 0);
	assert_int_equal(topology.primary, -1);
	assert_int_equal(topology.epoch, 2);
	/* Rejoined as a standby it is one of us again. */
	news = step(&topology, replica_on(2), primary_on(2), replica_on(2));
	assert_int_equal(news.complaints, 1);
	assert_int_equal(topology.node[0].role, SW_ROLE_REPLICA);
	assert_true(topology.node[0].is_lineage_ok);
	assert_int_equal(topology.epoch, 2);
}

static void test_T80_two_writers_on_one_timeline_keep_the_first(void **state)
{
	struct sw_topology topology = started();
	struct sw_topology_news news;

	(void)state;
	news = step(&topology, primary_on(1), primary_on(1), replica_on(1));
	assert_int_equal(topology.primary, 0);
	assert_int_equal(news.complaints, 2);
	assert_int_equal(topology.node[1].complaint, SW_COMPLAINT_WRITER);
	assert_int_equal(topology.node[1].role, SW_ROLE_UNKNOWN);
	/* A blink of the primary must not hand everything to the other. */
	step(&topology, gone(), primary_on(1), replica_on(1));
	assert_int_equal(topology.primary, -1);
	step(&topology, primary_on(1), primary_on(1), replica_on(1));
	assert_int_equal(topology.primary, 0);
	assert_int_equal(topology.epoch, 1);
	/* Promoted for real it may. */
	step(&topology, primary_on(1), primary_on(2), replica_on(1));
	assert_int_equal(topology.primary, 1);
	assert_int_equal(topology.epoch, 2);
}

static void test_two_writers_at_the_start_are_nobody(void **state)
{
	struct sw_topology topology;

	(void)state;
	sw_topology_init(&topology);
	step(&topology, primary_on(1), primary_on(1), replica_on(1));
	assert_int_equal(topology.primary, -1);
	assert_int_equal(topology.node[0].complaint, SW_COMPLAINT_WRITER);
	assert_int_equal(topology.node[1].complaint, SW_COMPLAINT_WRITER);
	assert_false(topology.node[2].is_lineage_ok);
	step(&topology, primary_on(1), gone(), replica_on(1));
	assert_int_equal(topology.primary, 0);
	assert_true(topology.node[2].is_lineage_ok);
}

static void test_same_disk_on_another_node_succeeds(void **state)
{
	struct sw_topology topology = started();

	(void)state;
	step(&topology, gone(), gone(), replica_on(1));
	step(&topology, gone(), primary_on(1), replica_on(1));
	assert_int_equal(topology.primary, 1);
	assert_int_equal(topology.epoch, 2);
}

static void test_T51_another_system_is_refused(void **state)
{
	struct sw_topology topology = started();
	struct sw_topology_input stranger = primary_on(9);
	struct sw_topology_news news;

	(void)state;
	stranger.system_id = OTHER;
	news = step(&topology, primary_on(1), replica_on(1), stranger);
	assert_int_equal(topology.primary, 0);
	assert_int_equal(topology.epoch, 1);
	assert_int_equal(news.complaints, 4);
	assert_int_equal(topology.node[2].complaint, SW_COMPLAINT_SYSTEM);
	assert_int_equal(topology.node[2].role, SW_ROLE_UNKNOWN);
	stranger.is_in_recovery = true;
	stranger.timeline = 1;
	news = step(&topology, primary_on(1), replica_on(1), stranger);
	assert_int_equal(news.complaints, 0);
	assert_int_equal(topology.node[2].role, SW_ROLE_UNKNOWN);
	assert_false(topology.node[2].is_lineage_ok);
	/* Also while the primary is away. */
	stranger.is_in_recovery = false;
	step(&topology, gone(), replica_on(1), stranger);
	assert_int_equal(topology.primary, -1);
}

static void test_T51_a_stranger_does_not_outvote_a_cluster_at_the_start(void **state)
{
	struct sw_topology topology;
	struct sw_topology_input stranger = primary_on(9);

	(void)state;
	stranger.system_id = OTHER;
	sw_topology_init(&topology);
	step(&topology, stranger, primary_on(1), replica_on(1));
	assert_int_equal(topology.primary, 1);
	assert_int_equal(topology.system_id, HERE);
	assert_int_equal(topology.node[0].complaint, SW_COMPLAINT_SYSTEM);
}

static void test_demoted_primary_becomes_a_replica(void **state)
{
	struct sw_topology topology = started();
	struct sw_topology_news news;

	(void)state;
	news = step(&topology, replica_on(1), replica_on(1), replica_on(1));
	assert_true(news.is_primary_lost);
	assert_int_equal(topology.primary, -1);
	assert_int_equal(topology.node[0].role, SW_ROLE_REPLICA);
}

static void test_T40_a_replica_must_be_proven(void **state)
{
	static const struct {
		enum sw_lineage_state lineage;
		enum sw_complaint complaint;
	} rows[] = {
	        {SW_LINEAGE_UNPROVEN, SW_COMPLAINT_NONE},
	        {SW_LINEAGE_STUCK, SW_COMPLAINT_STUCK},
	        {SW_LINEAGE_DIVERGED, SW_COMPLAINT_DIVERGED},
	};
	struct sw_topology topology = started();
	struct sw_topology_input replica = replica_on(1);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		replica.lineage = rows[i].lineage;
		step(&topology, primary_on(1), replica, replica_on(1));
		assert_int_equal(topology.node[1].complaint, rows[i].complaint);
		assert_int_equal(topology.node[1].role, SW_ROLE_REPLICA);
		assert_false(topology.node[1].is_lineage_ok);
	}
	step(&topology, primary_on(1), replica_on(1), replica_on(1));
	assert_true(topology.node[1].is_lineage_ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_first_primary_is_epoch_one),
	        cmocka_unit_test(test_T80_a_start_waits_for_all_before_it_names_a_primary),
	        cmocka_unit_test(test_a_start_does_not_wait_for_ever),
	        cmocka_unit_test(test_promotion_makes_an_epoch),
	        cmocka_unit_test(test_the_same_primary_again_is_the_same_epoch),
	        cmocka_unit_test(test_T80_former_primary_is_quarantined_and_told_once),
	        cmocka_unit_test(test_T80_two_writers_on_one_timeline_keep_the_first),
	        cmocka_unit_test(test_two_writers_at_the_start_are_nobody),
	        cmocka_unit_test(test_same_disk_on_another_node_succeeds),
	        cmocka_unit_test(test_T51_another_system_is_refused),
	        cmocka_unit_test(test_T51_a_stranger_does_not_outvote_a_cluster_at_the_start),
	        cmocka_unit_test(test_demoted_primary_becomes_a_replica),
	        cmocka_unit_test(test_T40_a_replica_must_be_proven),
	};

	return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
