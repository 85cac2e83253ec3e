/* The intrusive list: order, removal from anywhere, removal while walking, an entry on no list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/list.h"

#define ITEMS 6

/* The link is not first, so that SW_CONTAINER_OF has something to do. */
struct item {
	char name;
	struct sw_list link;
};

struct fixture {
	struct sw_list list;
	struct item items[ITEMS];
};

static void init(struct fixture *fixture)
{
	sw_list_init(&fixture->list);
	for (int i = 0; i < ITEMS; i++) {
		fixture->items[i].name = (char)('a' + i);
		sw_list_init(&fixture->items[i].link);
	}
}

static char name_of(struct sw_list *link)
{
	return SW_CONTAINER_OF(link, struct item, link)->name;
}

/* The names in order, and that every link is answered from the other side. */
static void assert_order(struct sw_list *list, const char *expected)
{
	char have[ITEMS + 1] = "";
	size_t len = 0;

	SW_LIST_EACH(list, at, after)
	{
		assert_true(len < ITEMS);
		assert_ptr_equal(at->next->prev, at);
		assert_ptr_equal(at->prev->next, at);
		have[len++] = name_of(at);
	}
	assert_string_equal(have, expected);
	assert_int_equal(sw_list_is_empty(list), *expected == '\0');
}

static void push_all(struct fixture *fixture)
{
	init(fixture);
	for (int i = 0; i < ITEMS; i++)
		sw_list_push_back(&fixture->list, &fixture->items[i].link);
}

static void test_push(void **state)
{
	struct fixture f;

	(void)state;
	init(&f);
	assert_order(&f.list, "");
	sw_list_push_back(&f.list, &f.items[1].link);
	assert_order(&f.list, "b");
	sw_list_push_back(&f.list, &f.items[2].link);
	sw_list_push_front(&f.list, &f.items[0].link);
	assert_order(&f.list, "abc");
	assert_int_equal(name_of(f.list.next), 'a');
	assert_int_equal(name_of(f.list.prev), 'c');
}

static void test_remove(void **state)
{
	struct fixture f;

	(void)state;
	push_all(&f);
	assert_order(&f.list, "abcdef");
	sw_list_remove(&f.items[2].link);
	assert_order(&f.list, "abdef");
	sw_list_remove(&f.items[0].link);
	assert_order(&f.list, "bdef");
	sw_list_remove(&f.items[5].link);
	assert_order(&f.list, "bde");
	sw_list_remove(&f.items[1].link);
	sw_list_remove(&f.items[4].link);
	sw_list_remove(&f.items[3].link);
	assert_order(&f.list, "");
}

static void test_removed_entry_is_on_no_list(void **state)
{
	struct fixture f;

	(void)state;
	push_all(&f);
	sw_list_remove(&f.items[3].link);
	assert_true(sw_list_is_empty(&f.items[3].link));
	sw_list_remove(&f.items[3].link); /* again: harmless */
	assert_order(&f.list, "abcef");
	sw_list_push_front(&f.list, &f.items[3].link);
	assert_order(&f.list, "dabcef");
}

static void test_move_between_lists(void **state)
{
	struct fixture f;
	struct sw_list other;

	(void)state;
	push_all(&f);
	sw_list_init(&other);
	SW_LIST_EACH(&f.list, at, after)
	{
		if ((name_of(at) - 'a') % 2 == 0)
			continue;
		sw_list_remove(at);
		sw_list_push_front(&other, at);
	}
	assert_order(&f.list, "ace");
	assert_order(&other, "fdb");
}

static void test_walk_may_remove(void **state)
{
	struct fixture f;
	int seen = 0;

	(void)state;
	for (int kept = 0; kept < 1 << ITEMS; kept++) {
		char expected[ITEMS + 1] = "";
		size_t len = 0;

		push_all(&f);
		seen = 0;
		SW_LIST_EACH(&f.list, at, after)
		{
			seen++;
			if (!(kept & 1 << (name_of(at) - 'a')))
				sw_list_remove(at);
		}
		for (int i = 0; i < ITEMS; i++)
			if (kept & 1 << i)
				expected[len++] = (char)('a' + i);
		assert_int_equal(seen, ITEMS);
		assert_order(&f.list, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_push),
	        cmocka_unit_test(test_remove),
	        cmocka_unit_test(test_removed_entry_is_on_no_list),
	        cmocka_unit_test(test_move_between_lists),
	        cmocka_unit_test(test_walk_may_remove),
	};

	return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
