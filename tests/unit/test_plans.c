/* Prepared statements: one plan a text and types (T61), the order of use on a server connection, clients'
 * names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/pool/plans.h"
#include "proxy/pool/settings.h"
#include "router/classify.h"
#include "router/verdicts.h"

#define INT4 "\0\0\0\27"
#define TEXT "\0\0\0\31"

struct fixture {
	struct sw_verdicts *verdicts;
	struct sw_plans *plans;
	struct sw_settings_table *table;
	struct sw_settings *settings;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.verdicts = sw_verdicts_new(100, 1 << 20), .plans = sw_plans_new(),
	        .table = sw_settings_table_new()};
	fixture.settings = sw_settings_empty(fixture.table);
	*state = &fixture;
	return 0;
}

/* sw_plans_free stops the test where a plan was left over; what is left of a statement shows under ASan. */
static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	sw_plans_free(fixture->plans);
	sw_settings_unref(fixture->settings);
	sw_settings_table_free(fixture->table);
	sw_verdicts_free(fixture->verdicts);
	return 0;
}

static struct sw_plan *get_under(struct fixture *fixture, const char *sql, struct sw_settings *settings,
        uint64_t owner, const char *types, uint16_t type_count)
{
	struct sw_classify_env env = {.standard_conforming_strings = true};
	struct sw_plan_key key = {
	        .statement = sw_verdicts_get(fixture->verdicts, sql, strlen(sql), 1, &env),
	        .settings = settings,
	        .owner = owner};

	return sw_plans_get(fixture->plans, &key, (const uint8_t *)types, type_count, 0);
}

static struct sw_plan *get(struct fixture *fixture, const char *sql, const char *types, uint16_t type_count)
{
	return get_under(fixture, sql, fixture->settings, 0, types, type_count);
}

/* A literal of a time is read by Parse: '2024-01-01'::timestamptz is another moment in another zone. */
static void test_T61_settings_that_parse_depends_on_make_another_plan(void **state)
{
	struct fixture *f = *state;
	struct sw_settings *tokyo = sw_settings_with(f->settings, "TimeZone", "Asia/Tokyo");
	struct sw_plan *plan = get(f, "SELECT $1", NULL, 0), *there = get_under(f, "SELECT $1", tokyo, 0, NULL, 0),
	               *mine = get_under(f, "SELECT $1", f->settings, 7, NULL, 0),
	               *still_mine = get_under(f, "SELECT $1", f->settings, 7, NULL, 0);

	assert_ptr_not_equal(plan, there);
	assert_ptr_not_equal(plan, mine);
	assert_ptr_equal(mine, still_mine);
	sw_plan_unref(f->plans, plan);
	sw_plan_unref(f->plans, there);
	sw_plan_unref(f->plans, mine);
	sw_plan_unref(f->plans, still_mine);
	sw_settings_unref(tokyo);
}

static void test_T61_same_text_and_types_are_one_plan(void **state)
{
	struct fixture *f = *state;
	struct sw_plan *plan = get(f, "SELECT $1", INT4, 1), *again = get(f, "SELECT $1", INT4, 1);
	struct sw_plan *others[] = {get(f, "SELECT $1", TEXT, 1), get(f, "SELECT $1", NULL, 0),
	        get(f, "SELECT $1", INT4 TEXT, 2), get(f, "SELECT $1 ", INT4, 1)};
	uint32_t last = plan->id;

	assert_ptr_equal(plan, again);
	assert_int_equal(plan->refs, 2);
	assert_int_equal(plan->type_count, 1);
	assert_memory_equal(plan->types, INT4, 4);
	assert_string_equal(plan->statement->text, "SELECT $1");
	for (size_t i = 0; i < 4; i++) {
		assert_ptr_not_equal(others[i], plan);
		assert_true(others[i]->id > last); /* no two share a name on a server connection */
		last = others[i]->id;
		sw_plan_unref(f->plans, others[i]);
	}
	sw_plan_unref(f->plans, again);
	sw_plan_unref(f->plans, plan);
	sw_plan_unref(f->plans, NULL);
}

static void test_T61_ids_are_never_used_again(void **state)
{
	struct fixture *f = *state;
	uint32_t last = 0;

	for (int i = 0; i < 10; i++) {
		struct sw_plan *plan = get(f, "SELECT 1", NULL, 0);

		assert_true(plan->id > last);
		last = plan->id;
		sw_plan_unref(f->plans, plan);
	}
}

/* A plan outlives the cache entry of its text, and the caller's copy of the types. */
static void test_plan_keeps_what_it_needs(void **state)
{
	struct fixture *f = *state;
	char types[] = INT4 TEXT;
	struct sw_plan *plan = get(f, "SELECT 'kept'", types, 2);

	memset(types, 0xee, sizeof(types));
	sw_verdicts_clear(f->verdicts);
	assert_string_equal(plan->statement->text, "SELECT 'kept'");
	assert_true(plan->statement->verdict.flags & SW_V_READ);
	assert_memory_equal(plan->types, INT4 TEXT, 8);
	sw_plan_unref(f->plans, plan);
}

static void test_names_on_the_server(void **state)
{
	char name[SW_PLAN_NAME_MAX];

	(void)state;
	sw_plan_name(&(struct sw_plan){.id = 1}, name);
	assert_string_equal(name, "sw_1");
	sw_plan_name(&(struct sw_plan){.id = 0x1a}, name);
	assert_string_equal(name, "sw_1a");
	sw_plan_name(&(struct sw_plan){.id = UINT32_MAX}, name);
	assert_string_equal(name, "sw_ffffffff");
}

static void test_set_is_in_the_order_of_use(void **state)
{
	struct fixture *f = *state;
	struct sw_plan_set set = {NULL}, other = {NULL};
	struct sw_plan *a = get(f, "SELECT 'a'", NULL, 0), *b = get(f, "SELECT 'b'", NULL, 0),
	               *c = get(f, "SELECT 'c'", NULL, 0);

	assert_null(sw_plan_set_oldest(&set));
	assert_int_equal(sw_plan_set_count(&set), 0);
	assert_false(sw_plan_set_has(&set, a));
	sw_plan_set_add(&set, a);
	sw_plan_set_add(&set, b);
	sw_plan_set_add(&set, c);
	assert_int_equal(sw_plan_set_count(&set), 3);
	assert_ptr_equal(sw_plan_set_oldest(&set), a);
	assert_true(sw_plan_set_has(&set, a)); /* now used: b is the oldest */
	assert_ptr_equal(sw_plan_set_oldest(&set), b);
	assert_true(sw_plan_set_has(&set, c)); /* the newest stays it */
	assert_true(sw_plan_set_has(&set, b));
	assert_ptr_equal(sw_plan_set_oldest(&set), a);
	assert_false(sw_plan_set_has(&other, a));
	sw_plan_set_remove(&set, f->plans, a);
	assert_false(sw_plan_set_has(&set, a));
	assert_ptr_equal(sw_plan_set_oldest(&set), c);
	sw_plan_set_remove(&set, f->plans, a); /* not there any more: harmless */
	assert_int_equal(sw_plan_set_count(&set), 2);
	sw_plan_set_clear(&set, f->plans);
	sw_plan_set_clear(&set, f->plans);
	assert_int_equal(sw_plan_set_count(&set), 0);
	assert_null(sw_plan_set_oldest(&set));
	sw_plan_unref(f->plans, a);
	sw_plan_unref(f->plans, b);
	sw_plan_unref(f->plans, c);
}

static void test_set_holds_one_reference(void **state)
{
	struct fixture *f = *state;
	struct sw_plan_set set = {NULL};
	struct sw_plan *plan = get(f, "SELECT 1", NULL, 0);

	sw_plan_set_add(&set, plan);
	sw_plan_set_add(&set, plan);
	assert_int_equal(plan->refs, 2);
	assert_int_equal(sw_plan_set_count(&set), 1);
	sw_plan_unref(f->plans, plan);
	assert_ptr_equal(sw_plan_set_oldest(&set), plan); /* alive through the set alone */
	assert_int_equal(plan->refs, 1);
	sw_plan_set_remove(&set, f->plans, plan);
}

/* As many as a connection may hold: driven out oldest first. */
static void test_eviction(void **state)
{
	struct fixture *f = *state;
	struct sw_plan_set set = {NULL};

	for (int i = 0; i < 300; i++) {
		char sql[32];
		struct sw_plan *plan;

		snprintf(sql, sizeof(sql), "SELECT %d", i);
		plan = get(f, sql, NULL, 0);
		if (sw_plan_set_count(&set) == 200) {
			snprintf(sql, sizeof(sql), "SELECT %d", i - 200);
			assert_string_equal(sw_plan_set_oldest(&set)->statement->text, sql);
			sw_plan_set_remove(&set, f->plans, sw_plan_set_oldest(&set));
		}
		sw_plan_set_add(&set, plan);
		sw_plan_unref(f->plans, plan);
	}
	assert_int_equal(sw_plan_set_count(&set), 200);
	sw_plan_set_clear(&set, f->plans);
}

static void test_T61_clients_names(void **state)
{
	struct fixture *f = *state;
	struct sw_plan_names one = {NULL}, two = {NULL};
	struct sw_plan *a = get(f, "SELECT 'a'", NULL, 0), *b = get(f, "SELECT 'b'", NULL, 0);

	assert_null(sw_plan_names_find(&one, "s"));
	assert_null(sw_plan_names_find(&one, ""));
	sw_plan_names_set(&one, f->plans, "s", a);
	sw_plan_names_set(&two, f->plans, "s", b);
	assert_ptr_equal(sw_plan_names_find(&one, "s"), a);
	assert_ptr_equal(sw_plan_names_find(&two, "s"), b);
	assert_null(sw_plan_names_find(&one, "S")); /* names have a case, as PostgreSQL's */
	sw_plan_names_set(&one, f->plans, "", b);
	sw_plan_names_set(&one, f->plans, "\xff\x01 long name that no identifier could be", b);
	assert_ptr_equal(sw_plan_names_find(&one, ""), b);
	assert_ptr_equal(sw_plan_names_find(&one, "\xff\x01 long name that no identifier could be"), b);
	assert_int_equal(sw_plan_names_count(&one), 3);
	sw_plan_names_set(&one, f->plans, "", a); /* the unnamed one is replaced all the time */
	assert_ptr_equal(sw_plan_names_find(&one, ""), a);
	assert_int_equal(sw_plan_names_count(&one), 3);
	sw_plan_names_remove(&one, f->plans, "s");
	sw_plan_names_remove(&one, f->plans, "s");
	assert_null(sw_plan_names_find(&one, "s"));
	sw_plan_unref(f->plans, a);
	sw_plan_unref(f->plans, b);
	assert_int_equal(b->refs, 2); /* one name of each client */
	sw_plan_names_clear(&one, f->plans);
	sw_plan_names_clear(&two, f->plans);
	assert_int_equal(sw_plan_names_count(&one), 0);
}

/* As it comes: the caller's only hold on the plan may be the name that is set anew. */
static void test_name_set_to_the_plan_it_holds(void **state)
{
	struct fixture *f = *state;
	struct sw_plan_names names = {NULL};
	struct sw_plan *plan = get(f, "SELECT 'a'", NULL, 0);

	sw_plan_names_set(&names, f->plans, "s", plan);
	sw_plan_unref(f->plans, plan);
	sw_plan_names_set(&names, f->plans, "s", sw_plan_names_find(&names, "s"));
	assert_ptr_equal(sw_plan_names_find(&names, "s"), plan);
	assert_int_equal(plan->refs, 1);
	assert_string_equal(plan->statement->text, "SELECT 'a'");
	assert_int_equal(sw_plan_names_count(&names), 1);
	sw_plan_names_clear(&names, f->plans);
}

/* T64: what is spoiled goes on for who has it, and nobody else gets it. */
static void test_T64_spoiled_plan(void **state)
{
	struct fixture *f = *state;
	struct sw_plan_names names = {NULL};
	struct sw_plan *plan = get(f, "SELECT $1", INT4, 1), *successor, *found;

	sw_plan_names_set(&names, f->plans, "a", plan);
	sw_plan_names_set(&names, f->plans, "b", plan);
	sw_plans_spoil(f->plans, plan);
	sw_plans_spoil(f->plans, plan);
	assert_true(plan->is_stale);
	successor = sw_plans_successor(f->plans, plan);
	assert_ptr_not_equal(successor, plan);
	assert_int_not_equal(successor->id, plan->id);
	assert_false(successor->is_stale);
	assert_memory_equal(successor->types, INT4, 4);
	found = get(f, "SELECT $1", INT4, 1);
	assert_ptr_equal(found, successor);
	sw_plan_names_replace(&names, f->plans, plan, successor);
	assert_int_equal(plan->refs, 1);
	assert_ptr_equal(sw_plan_names_find(&names, "a"), successor);
	assert_ptr_equal(sw_plan_names_find(&names, "b"), successor);
	sw_plan_unref(f->plans, found);
	sw_plan_unref(f->plans, successor);
	sw_plan_unref(f->plans, plan);
	sw_plan_names_clear(&names, f->plans);
}

/* After DDL a text is prepared anew; who has prepared it before keeps what he has. */
static void test_T64_plan_older_than_a_change(void **state)
{
	struct fixture *f = *state;
	struct sw_classify_env env = {.standard_conforming_strings = true};
	struct sw_plan_key key = {.statement = sw_verdicts_get(f->verdicts, "SELECT 1", 8, 1, &env), .settings = f->settings};
	struct sw_plan *old = sw_plans_get(f->plans, &key, NULL, 0, 0);
	struct sw_plan *same = sw_plans_get(f->plans, &key, NULL, 0, old->made_ns - 1);
	struct sw_plan *other = sw_plans_get(f->plans, &key, NULL, 0, old->made_ns);

	assert_ptr_equal(same, old);
	assert_ptr_not_equal(other, old);
	assert_false(old->is_stale);
	sw_plan_unref(f->plans, old);
	sw_plan_unref(f->plans, same);
	sw_plan_unref(f->plans, other);
}

static void test_what_is_known_of_a_held_plan(void **state)
{
	struct fixture *f = *state;
	struct sw_plan_set set = {NULL};
	struct sw_plan *plan = get(f, "SELECT $1", NULL, 0);

	sw_plan_set_check(&set, plan); /* not held: nothing to note */
	sw_plan_set_add(&set, plan);
	assert_false(sw_plan_set_is_checked(&set, plan));
	sw_plan_set_check(&set, plan);
	assert_true(sw_plan_set_is_checked(&set, plan));
	sw_plan_set_remove(&set, f->plans, plan);
	assert_false(sw_plan_set_is_checked(&set, plan));
	sw_plan_fix_types(plan, (const uint8_t *)INT4, 1);
	sw_plan_fix_types(plan, (const uint8_t *)TEXT, 1); /* the first counts */
	assert_memory_equal(plan->told_types, INT4, 4);
	sw_plan_unref(f->plans, plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_T61_same_text_and_types_are_one_plan, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(
	                test_T61_settings_that_parse_depends_on_make_another_plan, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T61_ids_are_never_used_again, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_plan_keeps_what_it_needs, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_names_on_the_server, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_set_is_in_the_order_of_use, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_set_holds_one_reference, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_eviction, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T61_clients_names, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_name_set_to_the_plan_it_holds, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T64_spoiled_plan, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T64_plan_older_than_a_change, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_what_is_known_of_a_held_plan, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("plans", tests, NULL, NULL);
}
