/* Tokens: their text survives nothing but itself, and they raise a floor only where the cluster has been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "router/floor.h"
#include "router/token.h"

#define PRIMARY 0
#define REPLICA 1
#define SYSTEM  UINT64_C(7301234567890123456)

/* xorshift64: the same on every run. */
static uint64_t random_of(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct sw_token some_token(uint64_t *state)
{
	return (struct sw_token){.system_id = random_of(state) | 1,
		.at = {.timeline = (uint32_t)random_of(state) | 1, .lsn = {random_of(state)}}};
}

static void test_round_trip(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct sw_token token = some_token(&random), back = {.system_id = 0};
		char text[SW_TOKEN_TEXT_MAX];

		sw_token_format(&token, text);
		assert_int_equal(strlen(text), SW_TOKEN_TEXT_MAX - 1);
		assert_int_equal(strspn(text, "sw.0123456789abcdef"), strlen(text));
		assert_int_equal(sw_token_parse(text, strlen(text), &back), SW_OK);
		assert_true(back.system_id == token.system_id && back.at.timeline == token.at.timeline &&
			    back.at.lsn.pos == token.at.lsn.pos);
	}
}

static void test_the_form_stays(void **state)
{
	struct sw_token token = {.system_id = SYSTEM, .at = {.timeline = 3, .lsn = {0x15a3f0c8}}};
	char text[SW_TOKEN_TEXT_MAX];

	(void)state;
	assert_string_equal(sw_token_format(&token, text), "sw1.65533227e8e4bac0000000030000000015a3f0c8c837833e");
}

static void test_every_changed_character_is_refused(void **state)
{
	uint64_t random = 2;

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct sw_token token = some_token(&random), back;
		char text[SW_TOKEN_TEXT_MAX];

		sw_token_format(&token, text);
		for (size_t i = 0; i + 1 < sizeof(text); i++) {
			char was = text[i];

			for (int c = 0; c < 256; c++) {
				text[i] = (char)c;
				assert_int_equal(sw_token_parse(text, sizeof(text) - 1, &back), (char)c == was ? SW_OK : SW_ERR_SYNTAX);
			}
			text[i] = was;
		}
	}
}

static void test_what_is_cut_longer_or_made_up_is_refused(void **state)
{
	struct sw_token token = {.system_id = SYSTEM, .at = {.timeline = 1, .lsn = {1}}}, back;
	char text[2 * SW_TOKEN_TEXT_MAX];
	uint64_t random = 3;

	(void)state;
	sw_token_format(&token, text);
	for (size_t len = 0; len < SW_TOKEN_TEXT_MAX - 1; len++)
		assert_int_equal(sw_token_parse(text, len, &back), SW_ERR_SYNTAX);
	strcat(text, "0");
	assert_int_equal(sw_token_parse(text, strlen(text), &back), SW_ERR_SYNTAX);
	token.system_id = 0;
	assert_int_equal(sw_token_parse(sw_token_format(&token, text), SW_TOKEN_TEXT_MAX - 1, &back), SW_ERR_SYNTAX);
	token = (struct sw_token){.system_id = SYSTEM, .at = {.timeline = 0, .lsn = {1}}};
	assert_int_equal(sw_token_parse(sw_token_format(&token, text), SW_TOKEN_TEXT_MAX - 1, &back), SW_ERR_SYNTAX);
	for (int round = 0; round < 100000; round++) {
		size_t len = random_of(&random) % sizeof(text);

		for (size_t i = 0; i < len; i++)
			text[i] = i < 4 ? "sw1."[i] : "0123456789abcdefgA. \0"[random_of(&random) % 20];
		assert_int_equal(sw_token_parse(text, len, &back), SW_ERR_SYNTAX);
	}
}

/* ---- the judgement */

struct cluster {
	struct sw_board *board;
	struct sw_view view;
};

static void sample(struct cluster *cluster, int node, int64_t sent_ns, uint64_t lsn, uint32_t timeline)
{
	struct sw_position at = {.timeline = timeline, .lsn = {lsn}};
	uint64_t seen = 0;

	sw_board_add_sample(cluster->board, node, sent_ns, at);
	cluster->view.node[node].sent_ns = sent_ns;
	cluster->view.node[node].at = at;
	sw_board_publish(cluster->board, &cluster->view);
	sw_board_read(cluster->board, &seen, &cluster->view);
}

static int setup(void **state)
{
	static struct cluster cluster;

	cluster = (struct cluster){.board = sw_board_new(),
		.view = {.primary = PRIMARY, .timeline = 2, .node_count = 2}};
	for (int i = 0; i < 2; i++)
		cluster.view.node[i] = (struct sw_view_node){.is_up = true, .is_lineage_ok = true, .since_ns = 10,
			.system_id = SYSTEM, .role = i == PRIMARY ? SW_ROLE_PRIMARY : SW_ROLE_REPLICA};
	sample(&cluster, PRIMARY, 20, 100, 2);
	*state = &cluster;
	return 0;
}

static int teardown(void **state)
{
	sw_board_free(((struct cluster *)*state)->board);
	return 0;
}

static enum sw_token_fit judge(struct cluster *cluster, uint32_t timeline, uint64_t lsn, int64_t asked_ns)
{
	struct sw_token token = {.system_id = SYSTEM, .at = {.timeline = timeline, .lsn = {lsn}}};

	return sw_token_judge(&token, cluster->board, &cluster->view, asked_ns);
}

static void test_where_some_node_has_been_is_good(void **state)
{
	struct cluster *cluster = *state;

	assert_int_equal(judge(cluster, 2, 100, 0), SW_TOKEN_GOOD);
	assert_int_equal(judge(cluster, 2, 0, 0), SW_TOKEN_GOOD);
	assert_int_equal(judge(cluster, 2, 101, 0), SW_TOKEN_UNKNOWN);
	sample(cluster, REPLICA, 30, 105, 2);
	assert_int_equal(judge(cluster, 2, 101, 0), SW_TOKEN_GOOD);
	cluster->view.node[REPLICA].is_lineage_ok = false;
	assert_int_equal(judge(cluster, 2, 101, 0), SW_TOKEN_UNKNOWN);
}

static void test_T41_the_future_is_refused_when_the_primary_was_asked_anew(void **state)
{
	struct cluster *cluster = *state;

	assert_int_equal(judge(cluster, 2, 150, 20), SW_TOKEN_UNKNOWN); /* asked when the sample was under way */
	sample(cluster, PRIMARY, 40, 149, 2);
	assert_int_equal(judge(cluster, 2, 150, 40), SW_TOKEN_UNKNOWN);
	assert_int_equal(judge(cluster, 2, 150, 39), SW_TOKEN_FUTURE);
	assert_int_equal(judge(cluster, 3, 1, 0), SW_TOKEN_UNKNOWN); /* a promotion that is not seen here yet? */
	assert_int_equal(judge(cluster, 3, 1, 39), SW_TOKEN_FUTURE);
	sample(cluster, PRIMARY, 50, 150, 2);
	assert_int_equal(judge(cluster, 2, 150, 0), SW_TOKEN_GOOD);
}

static void test_T39_an_earlier_timeline_is_good_wherever_it_points(void **state)
{
	assert_int_equal(judge(*state, 1, UINT64_MAX, 0), SW_TOKEN_GOOD);
}

static void test_T51_another_cluster_is_refused(void **state)
{
	struct cluster *cluster = *state;
	struct sw_token token = {.system_id = SYSTEM + 1, .at = {.timeline = 1, .lsn = {1}}};

	assert_int_equal(sw_token_judge(&token, cluster->board, &cluster->view, 0), SW_TOKEN_FOREIGN);
	cluster->view.primary = -1; /* its replicas know the name as well */
	assert_int_equal(sw_token_judge(&token, cluster->board, &cluster->view, 0), SW_TOKEN_FOREIGN);
	cluster->view.node[REPLICA].system_id = 0;
	assert_int_equal(sw_token_judge(&token, cluster->board, &cluster->view, 1), SW_TOKEN_UNKNOWN);
}

static void test_without_a_primary_only_the_past_is_known(void **state)
{
	struct cluster *cluster = *state;

	sample(cluster, REPLICA, 30, 90, 2);
	cluster->view.primary = -1;
	assert_int_equal(judge(cluster, 2, 90, 0), SW_TOKEN_GOOD);
	assert_int_equal(judge(cluster, 2, 91, 10), SW_TOKEN_UNKNOWN);
}

/* ---- what it does to a floor */

static void test_a_token_raises_a_floor_and_never_lowers_it(void **state)
{
	struct cluster *cluster = *state;
	struct sw_floor floor = {.at = {.timeline = 0}};

	sample(cluster, REPLICA, 30, 90, 2);
	sw_floor_raise(&floor, &cluster->view, (struct sw_position){.timeline = 2, .lsn = {95}}, 35);
	assert_int_equal(sw_floor_admits(&floor, cluster->board, &cluster->view, REPLICA), SW_ERR_AGAIN);
	sw_floor_raise(&floor, &cluster->view, (struct sw_position){.timeline = 2, .lsn = {80}}, 35);
	assert_int_equal(floor.at.lsn.pos, 95);
	sample(cluster, REPLICA, 40, 95, 2);
	assert_int_equal(sw_floor_admits(&floor, cluster->board, &cluster->view, REPLICA), SW_OK);
}

/* Its position means nothing on this timeline, however small it is. */
static void test_T39_a_token_of_an_earlier_timeline_takes_a_bound_of_the_primary(void **state)
{
	struct cluster *cluster = *state;
	struct sw_floor floor = {.at = {.timeline = 2, .lsn = {50}}};

	sample(cluster, REPLICA, 30, 90, 2);
	sw_floor_raise(&floor, &cluster->view, (struct sw_position){.timeline = 1, .lsn = {40}}, 35);
	assert_int_equal(sw_floor_admits(&floor, cluster->board, &cluster->view, REPLICA), SW_ERR_AGAIN);
	sample(cluster, PRIMARY, 40, 120, 2);
	assert_int_equal(sw_floor_admits(&floor, cluster->board, &cluster->view, REPLICA), SW_ERR_AGAIN);
	assert_int_equal(floor.at.lsn.pos, 120);
}

static void test_settling_waits_for_every_event(void **state)
{
	struct cluster *cluster = *state;
	struct sw_floor floor = {.at = {.timeline = 0}};

	assert_int_equal(sw_floor_resolve(&floor, cluster->board, &cluster->view), SW_OK);
	assert_int_equal(floor.at.timeline, 0);
	sample(cluster, REPLICA, 30, 90, 2);
	sw_floor_add_event(&floor, REPLICA, false, 35);
	assert_int_equal(sw_floor_resolve(&floor, cluster->board, &cluster->view), SW_ERR_AGAIN);
	sample(cluster, REPLICA, 36, 95, 2);
	assert_int_equal(sw_floor_resolve(&floor, cluster->board, &cluster->view), SW_OK);
	assert_int_equal(floor.at.lsn.pos, 95);
	sw_floor_add_event(&floor, PRIMARY, true, 40);
	assert_int_equal(sw_floor_resolve(&floor, cluster->board, &cluster->view), SW_ERR_AGAIN);
	sample(cluster, PRIMARY, 41, 130, 2);
	assert_int_equal(sw_floor_resolve(&floor, cluster->board, &cluster->view), SW_OK);
	assert_int_equal(floor.at.lsn.pos, 130);
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_the_form_stays),
		cmocka_unit_test(test_every_changed_character_is_refused),
		cmocka_unit_test(test_what_is_cut_longer_or_made_up_is_refused),
		WITH_CLUSTER(test_where_some_node_has_been_is_good),
		WITH_CLUSTER(test_T41_the_future_is_refused_when_the_primary_was_asked_anew),
		WITH_CLUSTER(test_T39_an_earlier_timeline_is_good_wherever_it_points),
		WITH_CLUSTER(test_T51_another_cluster_is_refused),
		WITH_CLUSTER(test_without_a_primary_only_the_past_is_known),
		WITH_CLUSTER(test_a_token_raises_a_floor_and_never_lowers_it),
		WITH_CLUSTER(test_T39_a_token_of_an_earlier_timeline_takes_a_bound_of_the_primary),
		WITH_CLUSTER(test_settling_waits_for_every_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
