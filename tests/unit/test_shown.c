/* What replicas have shown and the primary not yet: answers in the order in which a monitor would get them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lagmon/shown.h"

#define REPLICA 1
#define OTHER   2
#define WANTED  (1u << REPLICA | 1u << OTHER)

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct sw_shown));
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void primary(struct sw_shown *shown, int64_t sent_ns, const char *snapshot, uint64_t next)
{
	assert_int_equal(sw_shown_on_primary(shown, sent_ns, snapshot, (int64_t)(uint32_t)next - 3, WANTED), SW_OK);
}

static void test_a_snapshot_and_the_next_id(void **state)
{
	struct sw_progress progress;

	(void)state;
	assert_int_equal(sw_progress_parse("737:742:737,740", 745 - 3, &progress), SW_OK);
	assert_int_equal(progress.xmin, 737);
	assert_int_equal(progress.xmax, 742);
	assert_int_equal(progress.next, 745);
	assert_string_equal(progress.list, "737,740");
	/* The next id has gone round. */
	assert_int_equal(sw_progress_parse("4294967290:4294967295:", 7, &progress), SW_OK);
	assert_int_equal(progress.next, UINT64_C(4294967306));
	assert_string_equal(progress.list, "");
	assert_int_equal(sw_progress_parse("", 7, &progress), SW_ERR_PROTOCOL);
	assert_int_equal(sw_progress_parse("737", 7, &progress), SW_ERR_PROTOCOL);
	assert_int_equal(sw_progress_parse("737:x:", 7, &progress), SW_ERR_PROTOCOL);
	assert_int_equal(sw_progress_parse("99999999999999999999999:1:", 7, &progress), SW_ERR_PROTOCOL);
}

static bool has_ended(const char *snapshot, const char *xids)
{
	struct sw_progress progress;

	assert_int_equal(sw_progress_parse(snapshot, 0, &progress), SW_OK);
	return sw_progress_has_ended(&progress, xids);
}

static void test_T46_what_has_ended(void **state)
{
	(void)state;
	assert_true(has_ended("737:742:737,740", ""));
	assert_true(has_ended("737:742:737,740", "736,738,739,741"));
	assert_false(has_ended("737:742:737,740", "736,740"));
	assert_false(has_ended("737:742:737,740", "737"));
	/* What nobody has overtaken is on no list. */
	assert_false(has_ended("737:742:737,740", "742"));
	assert_false(has_ended("742:742:", "742"));
	assert_true(has_ended("742:742:", "741"));
	/* Who sends rubbish is not believed. */
	assert_false(has_ended("737:742:737,x,741", "741"));
	assert_false(has_ended("737:742:737", "73x"));
}

static void test_T46_nothing_in_progress_settles_all(void **state)
{
	struct sw_shown *shown = *state;

	primary(shown, 10, "742:742:", 742);
	assert_int_equal(shown->all_settled_ns, 10);
	assert_false(sw_shown_begin(shown, REPLICA)); /* nothing to ask about */
	/* Something that nobody has overtaken, on no list, is in progress all the same. */
	primary(shown, 20, "742:742:", 743);
	assert_int_equal(shown->all_settled_ns, 10);
	assert_true(sw_shown_begin(shown, REPLICA));
}

static void test_T46_what_the_replica_does_not_show_delays_nobody(void **state)
{
	struct sw_shown *shown = *state;

	primary(shown, 10, "737:742:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_false(sw_shown_begin(shown, REPLICA)); /* once */
	assert_string_equal(shown->snapshot, "737:742:737");
	assert_false(sw_shown_on_replica(shown, REPLICA, ""));
	assert_int_equal(shown->node[REPLICA].settled_ns, 10);
	assert_int_equal(shown->node[REPLICA].early_ns, 0);
	assert_int_equal(shown->node[OTHER].settled_ns, 0); /* says nothing of another */
	assert_int_equal(shown->all_settled_ns, 0);
}

static void test_T46_an_early_commit_is_waited_for(void **state)
{
	struct sw_shown *shown = *state;

	primary(shown, 10, "737:741:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	primary(shown, 20, "737:741:737", 745); /* while the replica is being asked */
	assert_true(sw_shown_on_replica(shown, REPLICA, "741,743"));
	assert_int_equal(shown->node[REPLICA].early_ns, 10);
	primary(shown, 30, "737:743:737", 746); /* 741 has ended */
	assert_int_equal(shown->node[REPLICA].settled_ns, 0);
	assert_false(sw_shown_begin(shown, REPLICA)); /* one round at a time */
	primary(shown, 40, "737:745:737,743", 746);
	assert_int_equal(shown->node[REPLICA].settled_ns, 0);
	primary(shown, 50, "737:745:737", 746);
	assert_int_equal(shown->node[REPLICA].settled_ns, 10); /* the base of the round, no later */
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_int_equal(shown->node[REPLICA].base_ns, 50);
}

static void test_T46_all_that_was_in_progress_has_to_end(void **state)
{
	struct sw_shown *shown = *state;

	primary(shown, 10, "737:741:737", 745);
	primary(shown, 20, "738:745:738,744", 750);
	assert_int_equal(shown->all_settled_ns, 0);
	primary(shown, 30, "745:752:745,749", 760); /* what came later does not matter */
	assert_int_equal(shown->all_settled_ns, 10);
	primary(shown, 40, "745:765:745", 770);
	assert_int_equal(shown->all_settled_ns, 10);
	primary(shown, 50, "760:771:770", 772);
	assert_int_equal(shown->all_settled_ns, 30);
}

static void test_T46_a_replica_that_cannot_tell(void **state)
{
	struct sw_shown *shown = *state;

	primary(shown, 10, "737:741:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_false(sw_shown_on_replica(shown, REPLICA, NULL));
	assert_int_equal(shown->node[REPLICA].settled_ns, 0);
	assert_false(sw_shown_begin(shown, REPLICA)); /* not about the same again */
	primary(shown, 20, "737:741:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
}

static void test_T46_a_replica_that_has_gone(void **state)
{
	struct sw_shown *shown = *state;

	primary(shown, 10, "737:741:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_false(sw_shown_on_replica(shown, REPLICA, ""));
	primary(shown, 20, "737:741:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	sw_shown_forget(shown, REPLICA);
	assert_int_equal(shown->node[REPLICA].settled_ns, 0);
	assert_false(sw_shown_on_replica(shown, REPLICA, ""));
	assert_int_equal(shown->node[REPLICA].settled_ns, 0);
}

static void test_T46_another_primary(void **state)
{
	struct sw_shown *shown = *state;

	primary(shown, 10, "737:741:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_true(sw_shown_on_replica(shown, REPLICA, "741"));
	sw_shown_restart(shown);
	assert_false(sw_shown_begin(shown, REPLICA)); /* its answer is not known */
	primary(shown, 20, "500:700:500", 701);
	assert_int_equal(shown->node[REPLICA].settled_ns, 0);
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_int_equal(shown->node[REPLICA].base_ns, 20);
}

static void test_T46_more_than_can_be_asked_about(void **state)
{
	struct sw_shown *shown = *state;
	char *text = malloc(SW_SNAPSHOT_BYTES_MAX + 32);
	size_t len = (size_t)sprintf(text, "737:90000000:737");

	primary(shown, 10, "737:741:737", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_true(sw_shown_on_replica(shown, REPLICA, "741"));
	for (int i = 0; len < SW_SNAPSHOT_BYTES_MAX; i++)
		len += (size_t)sprintf(text + len, ",%d", 1000000 + i);
	primary(shown, 20, text, 90000000);
	assert_int_equal(shown->node[REPLICA].settled_ns, 10); /* what it says of others still counts */
	assert_false(sw_shown_begin(shown, REPLICA));
	memset(text, '1', SW_EARLY_BYTES_MAX);
	text[SW_EARLY_BYTES_MAX] = '\0';
	primary(shown, 30, "738:741:738", 745);
	assert_true(sw_shown_begin(shown, REPLICA));
	assert_false(sw_shown_on_replica(shown, REPLICA, text));
	assert_int_equal(shown->node[REPLICA].settled_ns, 10);
	free(text);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_snapshot_and_the_next_id),
		CASE(test_T46_what_has_ended),
		CASE(test_T46_nothing_in_progress_settles_all),
		CASE(test_T46_what_the_replica_does_not_show_delays_nobody),
		CASE(test_T46_an_early_commit_is_waited_for),
		CASE(test_T46_all_that_was_in_progress_has_to_end),
		CASE(test_T46_a_replica_that_cannot_tell),
		CASE(test_T46_a_replica_that_has_gone),
		CASE(test_T46_another_primary),
		CASE(test_T46_more_than_can_be_asked_about),
	};

	return cmocka_run_group_tests_name("shown", tests, NULL, NULL);
}
