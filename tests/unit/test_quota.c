/* Process-wide limits: exact under contention, a refusal leaves its mark. Built with ThreadSanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "proxy/pool/quota.h"

#define THREADS 4
#define ROUNDS  20000
#define LIMIT   3
#define NAMES   50

#define MARK       (UINT64_C(1) << 3)
#define OTHER_MARK (UINT64_C(1) << 63)

static int free_all(void **state)
{
	(void)state;
	sw_quota_free_all();
	return 0;
}

static void test_names(void **state)
{
	struct sw_quota *a = sw_quota_named("node pg1 database a user u"), *b;
	char name[] = "node pg1 database a user u";

	(void)state;
	assert_non_null(a);
	assert_ptr_equal(sw_quota_named(name), a); /* by text, not by pointer */
	b = sw_quota_named("node pg1 database a user U");
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(sw_quota_named(""), a);
	name[0] = 'x'; /* the name was copied */
	assert_ptr_equal(sw_quota_named("node pg1 database a user u"), a);
	assert_true(sw_quota_take(a, 1, MARK));
	assert_int_equal(sw_quota_used(a), 1);
	assert_int_equal(sw_quota_used(b), 0);
}

static void test_limit_is_exact(void **state)
{
	struct sw_quota *quota = sw_quota_named("q");

	(void)state;
	for (uint32_t i = 0; i < LIMIT; i++) {
		assert_int_equal(sw_quota_used(quota), i);
		assert_true(sw_quota_take(quota, LIMIT, MARK));
	}
	assert_false(sw_quota_take(quota, LIMIT, MARK));
	assert_int_equal(sw_quota_used(quota), LIMIT);
	sw_quota_give(quota);
	assert_true(sw_quota_take(quota, LIMIT, MARK));
	assert_false(sw_quota_take(quota, LIMIT, MARK));
}

static void test_zero_is_no_limit(void **state)
{
	struct sw_quota *quota = sw_quota_named("q");

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(sw_quota_take(quota, 0, MARK));
	assert_int_equal(sw_quota_used(quota), 1000);
	assert_false(sw_quota_is_wanted(quota, OTHER_MARK));
}

/* A reload may lower the limit under what is taken, and raise it again. */
static void test_limit_may_change(void **state)
{
	struct sw_quota *quota = sw_quota_named("q");

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(sw_quota_take(quota, 4, MARK));
	assert_false(sw_quota_take(quota, 2, MARK));
	sw_quota_give(quota);
	sw_quota_give(quota);
	assert_false(sw_quota_take(quota, 2, MARK));
	sw_quota_give(quota);
	assert_true(sw_quota_take(quota, 2, MARK));
	assert_true(sw_quota_take(quota, 5, MARK));
	assert_int_equal(sw_quota_used(quota), 3);
}

static void test_refusal_leaves_a_mark(void **state)
{
	struct sw_quota *quota = sw_quota_named("q"), *other = sw_quota_named("other");

	(void)state;
	assert_false(sw_quota_is_wanted(quota, OTHER_MARK));
	assert_true(sw_quota_take(quota, 1, MARK));
	assert_false(sw_quota_is_wanted(quota, OTHER_MARK));
	assert_false(sw_quota_take(quota, 1, MARK));
	assert_true(sw_quota_is_wanted(quota, OTHER_MARK));
	assert_false(sw_quota_is_wanted(other, OTHER_MARK));
	sw_quota_give(quota);
	assert_true(sw_quota_is_wanted(quota, OTHER_MARK)); /* until somebody gets the place */
	assert_true(sw_quota_take(quota, 1, MARK));
	assert_false(sw_quota_is_wanted(quota, OTHER_MARK));
}

/* Who waits must not give way to himself, nor be waited for when he has given up. */
static void test_mark_is_somebodys(void **state)
{
	struct sw_quota *quota = sw_quota_named("q");

	(void)state;
	assert_true(sw_quota_take(quota, 1, OTHER_MARK));
	assert_false(sw_quota_take(quota, 1, MARK));
	assert_false(sw_quota_is_wanted(quota, MARK));
	assert_true(sw_quota_is_wanted(quota, OTHER_MARK));
	sw_quota_unwant(quota, OTHER_MARK);
	assert_true(sw_quota_is_wanted(quota, OTHER_MARK));
	sw_quota_unwant(quota, MARK);
	assert_false(sw_quota_is_wanted(quota, OTHER_MARK));
	assert_true(sw_quota_new_mark() != sw_quota_new_mark());
}

struct contest {
	struct sw_quota *quota;
	_Atomic uint32_t inside, faults;
	uint32_t taken[THREADS]; /* each thread's own */
};

struct contender {
	uv_thread_t thread;
	struct contest *contest;
	uint32_t id;
};

static void contend(void *arg)
{
	struct contender *self = arg;
	struct contest *contest = self->contest;

	for (int i = 0; i < ROUNDS; i++) {
		if (!sw_quota_take(contest->quota, LIMIT, MARK))
			continue;
		if (atomic_fetch_add(&contest->inside, 1) >= LIMIT)
			atomic_fetch_add(&contest->faults, 1);
		contest->taken[self->id]++;
		atomic_fetch_sub(&contest->inside, 1);
		sw_quota_give(contest->quota);
	}
}

static void test_limit_holds_over_threads(void **state)
{
	struct contest contest = {.quota = sw_quota_named("q")};
	struct contender contenders[THREADS];
	uint32_t taken = 0;

	(void)state;
	for (uint32_t i = 0; i < THREADS; i++) {
		contenders[i] = (struct contender){.contest = &contest, .id = i};
		assert_int_equal(uv_thread_create(&contenders[i].thread, contend, &contenders[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		uv_thread_join(&contenders[i].thread);
		taken += contest.taken[i];
	}
	assert_int_equal(contest.faults, 0);
	assert_int_equal(sw_quota_used(contest.quota), 0);
	assert_true(taken > 0);
}

struct namer {
	uv_thread_t thread;
	struct sw_quota *found[NAMES];
};

static void name_all(void *arg)
{
	struct namer *namer = arg;

	for (int i = 0; i < NAMES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "quota %d", i);
		namer->found[i] = sw_quota_named(name);
		sw_quota_take(namer->found[i], 0, MARK);
	}
}

/* All threads meet in the same quota, whoever makes it. */
static void test_names_over_threads(void **state)
{
	struct namer namers[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(uv_thread_create(&namers[i].thread, name_all, &namers[i]), 0);
	for (int i = 0; i < THREADS; i++)
		uv_thread_join(&namers[i].thread);
	for (int n = 0; n < NAMES; n++) {
		for (int i = 1; i < THREADS; i++)
			assert_ptr_equal(namers[i].found[n], namers[0].found[n]);
		for (int other = 0; other < n; other++)
			assert_ptr_not_equal(namers[0].found[n], namers[0].found[other]);
		assert_int_equal(sw_quota_used(namers[0].found[n]), THREADS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_teardown(test_names, free_all),
	        cmocka_unit_test_teardown(test_limit_is_exact, free_all),
	        cmocka_unit_test_teardown(test_zero_is_no_limit, free_all),
	        cmocka_unit_test_teardown(test_limit_may_change, free_all),
	        cmocka_unit_test_teardown(test_refusal_leaves_a_mark, free_all),
	        cmocka_unit_test_teardown(test_mark_is_somebodys, free_all),
	        cmocka_unit_test_teardown(test_limit_holds_over_threads, free_all),
	        cmocka_unit_test_teardown(test_names_over_threads, free_all),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
