/* Hints: what counts as one, what it asks for, and that nothing in one is passed over. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "router/hint.h"

static struct sw_hint parse(const char *text)
{
	struct sw_hint hint;

	sw_hint_parse(text, strlen(text), &hint);
	return hint;
}

static void test_T11_only_a_leading_comment_with_the_mark_is_one(void **state)
{
	static const char *const none[] = {"", "SELECT 1", "/* comment */ SELECT 1", "/* x */ /* seawall: route=primary */ SELECT 1",
		"SELECT /* seawall: route=primary */ 1", "-- seawall: route=primary\nSELECT 1", "/* seawalls: route=primary */",
		"/* by seawall: route=primary */", "/", "/*", "/* seawall", ";/* seawall: route=primary */"};

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_false(parse(none[i]).is_there);
}

static void test_what_it_asks_for(void **state)
{
	struct sw_hint hint = parse(" \n/* seawall: consistency=strong */ SELECT 1");

	(void)state;
	assert_true(hint.is_there && hint.has_level && !hint.is_primary && !hint.has_token && !hint.fault);
	assert_int_equal(hint.level, SW_LEVEL_STRONG);
	hint = parse("/*SeaWall:ROUTE=Primary,Consistency=OFF*/");
	assert_true(hint.is_primary && hint.has_level && hint.level == SW_LEVEL_OFF && !hint.fault);
	hint = parse("/* seawall: route=primary  consistency=eventual\t*/SELECT 1");
	assert_true(hint.is_primary && hint.level == SW_LEVEL_EVENTUAL && !hint.fault);
}

static void test_it_carries_a_token(void **state)
{
	struct sw_token token = {.system_id = 7, .at = {.timeline = 3, .lsn = {0x1234}}};
	char text[SW_TOKEN_TEXT_MAX], sql[200];
	struct sw_hint hint;

	(void)state;
	sw_token_format(&token, text);
	snprintf(sql, sizeof(sql), "/* seawall: token=%s, route=primary */ SELECT 1", text);
	hint = parse(sql);
	assert_true(hint.has_token && hint.is_primary && !hint.fault);
	assert_int_equal(hint.token.at.lsn.pos, 0x1234);
	snprintf(sql, sizeof(sql), "/* seawall: token=%s token=%s */ SELECT 1", text, text);
	assert_non_null(parse(sql).fault);
	snprintf(sql, sizeof(sql), "/* seawall: token=%s consistency=eventual */ SELECT 1", text);
	assert_non_null(parse(sql).fault);
}

static void test_a_typing_error_is_a_fault(void **state)
{
	static const char *const faulty[] = {"/* seawall: */", "/* seawall: consistency */", "/* seawall: consistency= */",
		"/* seawall: consistency=stronk */", "/* seawall: consistensy=strong */", "/* seawall: consistency = strong */",
		"/* seawall: consistency=strong consistency=strong */", "/* seawall: route=replica */", "/* seawall: route=primary, */",
		"/* seawall: , route=primary */", "/* seawall: route=primary,, consistency=strong */", "/* seawall: =primary */",
		"/* seawall: token=sw1.00 */", "/* seawall: route=primary /* x */ */", "/* seawall: route=primary",
		"/* seawall: route=primary=x */", "/* seawall: consistency='strong' */"};

	(void)state;
	for (size_t i = 0; i < sizeof(faulty) / sizeof(*faulty); i++)
		if (!parse(faulty[i]).is_there || !parse(faulty[i]).fault)
			fail_msg("taken: %s", faulty[i]);
}

/* Every beginning, in memory of exactly its length: a sanitizer sees a read beyond. */
static void test_no_byte_beyond_the_text_is_read(void **state)
{
	static const char text[] = "/* seawall: consistency=strong, route=primary */ SELECT 1";

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char *copy = test_malloc(len ? len : 1);
		struct sw_hint hint;

		memcpy(copy, text, len);
		sw_hint_parse(copy, len, &hint);
		if (hint.is_there)
			assert_int_equal(!hint.fault, memmem(copy, len, "*/", 2) != NULL);
		test_free(copy);
	}
}

static void test_levels_by_what_they_promise(void **state)
{
	static const enum sw_consistency rising[] = {SW_LEVEL_EVENTUAL, SW_LEVEL_SESSION, SW_LEVEL_STRONG, SW_LEVEL_OFF};
	enum sw_consistency back;

	(void)state;
	for (int a = 0; a < 4; a++) {
		const char *text = sw_level_text(rising[a]);

		assert_true(sw_level_parse(text, strlen(text), &back) && back == rising[a]);
		for (int b = 0; b < 4; b++)
			assert_int_equal(sw_level_is_weaker(rising[a], rising[b]), a < b);
	}
	assert_false(sw_level_parse("stron", 5, &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_T11_only_a_leading_comment_with_the_mark_is_one),
		cmocka_unit_test(test_what_it_asks_for),
		cmocka_unit_test(test_it_carries_a_token),
		cmocka_unit_test(test_a_typing_error_is_a_fault),
		cmocka_unit_test(test_no_byte_beyond_the_text_is_read),
		cmocka_unit_test(test_levels_by_what_they_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
