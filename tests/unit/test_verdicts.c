/* The verdict cache: what is in the key, what is evicted, what lives on, what is made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/catalog.h"
#include "router/verdicts.h"

static const struct sw_classify_env plain = {.standard_conforming_strings = true};

static struct sw_statement *get(struct sw_verdicts *cache, const char *sql)
{
	return sw_verdicts_get(cache, sql, strlen(sql), 0, &plain);
}

static struct sw_verdicts_stats stats_of(const struct sw_verdicts *cache)
{
	struct sw_verdicts_stats stats;

	sw_verdicts_stats(cache, &stats);
	return stats;
}

static void test_hits_and_misses(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(10, 10000);
	struct sw_statement *first = get(cache, "SELECT 1"), *again;
	char elsewhere[] = "SELECT 1 and more";

	(void)state;
	assert_true(first->verdict.flags & SW_V_READ);
	assert_true(first->is_cached);
	assert_int_equal(first->len, 8);
	assert_string_equal(first->text, "SELECT 1");
	again = sw_verdicts_get(cache, elsewhere, 8, 0, &plain);
	assert_ptr_equal(first, again);
	assert_int_equal(stats_of(cache).hits, 1);
	assert_int_equal(stats_of(cache).misses, 1);
	assert_int_equal(stats_of(cache).entries, 1);
	assert_int_equal(stats_of(cache).text_bytes, 8);
	sw_verdicts_free(cache);
	sw_verdicts_free(NULL);
}

static void test_T14_full_bytes_are_the_key(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(10, 10000);

	(void)state;
	assert_true(get(cache, "BEGIN READ ONLY")->verdict.flags & SW_V_READ_ONLY);
	assert_true(get(cache, "BEGIN READ WRITE")->verdict.flags & SW_V_READ_WRITE);
	assert_true(get(cache, "SELECT 1")->verdict.flags & SW_V_READ);
	assert_int_equal(get(cache, "SELECT 1 ")->len, 9);
	assert_true(get(cache, "")->verdict.flags & SW_V_EMPTY);
	assert_int_equal(stats_of(cache).entries, 5);
	sw_verdicts_free(cache);
}

static void test_T18_database_and_lexing_are_in_the_key(void **state)
{
	static const char text[] = "SELECT '\\'; DELETE FROM t; --'";
	struct sw_verdicts *cache = sw_verdicts_new(10, 10000);
	struct sw_classify_env env = plain;
	struct sw_statement *conforming = sw_verdicts_get(cache, text, strlen(text), 7, &env), *other;

	(void)state;
	assert_int_equal(conforming->verdict.statements, 2);
	env.standard_conforming_strings = false;
	other = sw_verdicts_get(cache, text, strlen(text), 7, &env);
	assert_ptr_not_equal(other, conforming);
	assert_int_equal(other->verdict.statements, 1);
	assert_int_not_equal(other->hash, conforming->hash);
	env.unsafe_encoding = true;
	assert_ptr_not_equal(sw_verdicts_get(cache, text, strlen(text), 7, &env), other);
	assert_ptr_not_equal(sw_verdicts_get(cache, text, strlen(text), 8, &plain), conforming);
	assert_ptr_equal(sw_verdicts_get(cache, text, strlen(text), 7, &plain), conforming);
	assert_int_equal(stats_of(cache).entries, 4);
	sw_verdicts_free(cache);
}

static void test_entry_limit_and_clock(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(4, 10000);
	struct sw_statement *hot = get(cache, "SELECT 'hot'");
	char sql[32];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(sql, sizeof(sql), "SELECT %d", i);
		get(cache, sql);
		assert_true(stats_of(cache).entries <= 4);
		assert_ptr_equal(get(cache, "SELECT 'hot'"), hot);
	}
	assert_int_equal(stats_of(cache).evictions, 97);
	assert_int_equal(stats_of(cache).hits, 100);
	/* Without use it goes. */
	for (int i = 200; i < 210; i++) {
		snprintf(sql, sizeof(sql), "SELECT %d", i);
		get(cache, sql);
	}
	assert_int_equal(stats_of(cache).entries, 4);
	get(cache, "SELECT 'hot'");
	assert_int_equal(stats_of(cache).hits, 100);
	sw_verdicts_free(cache);
}

static void test_byte_limit(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(1000, 100 * SW_VERDICT_SHARE);
	char sql[128];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(sql, sizeof(sql), "SELECT %090d", i);
		get(cache, sql);
		assert_true(stats_of(cache).text_bytes <= 100 * SW_VERDICT_SHARE);
	}
	assert_int_equal(stats_of(cache).entries, 100 * SW_VERDICT_SHARE / 97);
	assert_int_equal(stats_of(cache).text_bytes, stats_of(cache).entries * 97);
	sw_verdicts_free(cache);
}

static void test_text_too_long_to_keep(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(10, 100 * SW_VERDICT_SHARE);
	char sql[128];
	struct sw_statement *kept;

	(void)state;
	snprintf(sql, sizeof(sql), "SELECT %094d", 1);
	kept = get(cache, sql);
	assert_int_equal(kept->len, 101);
	assert_false(kept->is_cached);
	assert_true(kept->verdict.flags & SW_V_READ);
	sw_statement_ref(kept);
	get(cache, sql);
	get(cache, "SELECT 1");
	assert_int_equal(stats_of(cache).misses, 3);
	assert_int_equal(stats_of(cache).entries, 1);
	assert_int_equal(kept->refs, 1);
	assert_string_equal(kept->text, sql);
	sw_statement_unref(kept);
	get(cache, sql); /* loose when the cache ends */
	sw_verdicts_free(cache);
}

static void test_references_outlive_the_cache(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(1, 10000);
	struct sw_statement *held = get(cache, "SELECT 1"), *cleared;

	(void)state;
	sw_statement_ref(held);
	cleared = get(cache, "SELECT 2");
	assert_false(held->is_cached);
	assert_string_equal(held->text, "SELECT 1");
	sw_statement_ref(cleared);
	sw_verdicts_clear(cache);
	assert_false(cleared->is_cached);
	assert_int_equal(stats_of(cache).entries, 0);
	assert_int_equal(stats_of(cache).text_bytes, 0);
	assert_ptr_not_equal(get(cache, "SELECT 2"), cleared);
	sw_verdicts_free(cache);
	assert_int_equal(held->refs, 1);
	assert_true(held->verdict.flags & SW_V_READ);
	sw_statement_unref(held);
	sw_statement_unref(cleared);
}

static void test_T5_new_catalog_makes_verdicts_again(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(10, 10000);
	struct sw_catalog *stable = sw_catalog_new("app"), *changed = sw_catalog_new("app");
	struct sw_classify_env env = plain;
	struct sw_statement *call, *constant;
	uint64_t version;

	(void)state;
	sw_catalog_add_function(stable, "f", SW_FUNCTION_STABLE);
	sw_catalog_add_function(changed, "f", SW_FUNCTION_VOLATILE);
	call = sw_verdicts_get(cache, "SELECT f()", 10, 0, &env);
	assert_false(call->verdict.flags & SW_V_READ);
	assert_int_equal(call->verdict.pins, SW_PIN_SETTING);
	env.catalog = stable;
	assert_ptr_equal(sw_verdicts_get(cache, "SELECT f()", 10, 0, &env), call);
	assert_true(call->verdict.flags & SW_V_READ);
	assert_int_equal(call->verdict.pins, 0);
	call->learned_primary = true;
	constant = sw_verdicts_get(cache, "SELECT 1", 8, 0, &env);
	version = constant->catalog_version;
	env.catalog = changed;
	assert_ptr_equal(sw_verdicts_get(cache, "SELECT f()", 10, 0, &env), call);
	assert_false(call->verdict.flags & SW_V_READ);
	assert_int_equal(call->verdict.pins, SW_PIN_SETTING);
	assert_true(call->learned_primary); /* T16: what a standby said stays true */
	/* No catalog can change this one. */
	assert_ptr_equal(sw_verdicts_get(cache, "SELECT 1", 8, 0, &env), constant);
	assert_int_equal(constant->catalog_version, version);
	sw_verdicts_free(cache);
	sw_catalog_unref(stable);
	sw_catalog_unref(changed);
}

static void test_T63_held_statement_is_refreshed(void **state)
{
	static const char text[] = "SELECT f('\\'; DELETE FROM t; --')";
	struct sw_verdicts *cache = sw_verdicts_new(10, 10000);
	struct sw_catalog *stable = sw_catalog_new("app"), *changed = sw_catalog_new("app");
	struct sw_classify_env env = {.catalog = stable};
	struct sw_statement *held;

	(void)state;
	sw_catalog_add_function(stable, "f", SW_FUNCTION_STABLE);
	sw_catalog_add_function(changed, "f", SW_FUNCTION_VOLATILE);
	held = sw_verdicts_get(cache, text, strlen(text), 0, &env);
	sw_statement_ref(held);
	sw_verdicts_clear(cache);
	assert_true(held->verdict.flags & SW_V_READ);
	/* The session has changed how it lexes; the statement was parsed before that. */
	env.standard_conforming_strings = true;
	sw_statement_refresh(held, &env);
	assert_int_equal(held->verdict.statements, 1);
	env.catalog = changed;
	sw_statement_refresh(held, &env);
	assert_int_equal(held->verdict.statements, 1);
	assert_false(held->verdict.flags & SW_V_READ);
	assert_int_equal(held->catalog_version, sw_catalog_version(changed));
	sw_statement_unref(held);
	sw_verdicts_free(cache);
	sw_catalog_unref(stable);
	sw_catalog_unref(changed);
}

static struct sw_statement *judge(struct sw_verdicts *cache, const char *text)
{
	return sw_verdicts_judge(cache, text, strlen(text), 0, &plain);
}

static void test_integer_constants_share_a_verdict(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(100, 100000);
	struct sw_statement *read = judge(cache, "SELECT a FROM t1 WHERE id = 17 AND b IN (3,4);");

	(void)state;
	assert_true(read->verdict.flags & SW_V_READ);
	assert_ptr_equal(read, judge(cache, "SELECT a FROM t1 WHERE id = 1234567890123456789012 AND b IN (30,0);"));
	assert_ptr_not_equal(read, judge(cache, "SELECT a FROM t2 WHERE id = 17 AND b IN (3,4);"));
	assert_ptr_not_equal(read, judge(cache, "SELECT a FROM t1 WHERE id = 1.7 AND b IN (3,4);"));
	assert_false(judge(cache, "UPDATE t SET a = 5 WHERE id = 6")->verdict.flags & SW_V_READ);
	assert_ptr_equal(judge(cache, "UPDATE t SET a = 5 WHERE id = 6"), judge(cache, "UPDATE t SET a = 7 WHERE id = 8"));
	sw_verdicts_free(cache);
}

static void test_T14_constants_that_matter_are_not_shared(void **state)
{
	struct sw_verdicts *cache = sw_verdicts_new(100, 100000);

	(void)state;
	assert_true(judge(cache, "SET transaction_read_only = 1")->verdict.flags & SW_V_READ_ONLY);
	assert_true(judge(cache, "SET transaction_read_only = 0")->verdict.flags & SW_V_READ_WRITE);
	/* The grammar refuses float(0): judged as it is. */
	assert_true(judge(cache, "SELECT CAST(a AS float(24)) FROM t")->verdict.flags & SW_V_READ);
	/* Digits inside of quotes and comments are no constants. */
	assert_ptr_not_equal(judge(cache, "SELECT ' 1 '"), judge(cache, "SELECT ' 2 '"));
	assert_ptr_not_equal(judge(cache, "SELECT a /* = 1 */ FROM t"), judge(cache, "SELECT a /* = 2 */ FROM t"));
	assert_ptr_not_equal(judge(cache, "SELECT a -- = 1 \n FROM t"), judge(cache, "SELECT a -- = 2 \n FROM t"));
	sw_verdicts_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hits_and_misses),
		cmocka_unit_test(test_T14_full_bytes_are_the_key),
		cmocka_unit_test(test_T18_database_and_lexing_are_in_the_key),
		cmocka_unit_test(test_entry_limit_and_clock),
		cmocka_unit_test(test_byte_limit),
		cmocka_unit_test(test_text_too_long_to_keep),
		cmocka_unit_test(test_references_outlive_the_cache),
		cmocka_unit_test(test_T5_new_catalog_makes_verdicts_again),
		cmocka_unit_test(test_T63_held_statement_is_refreshed),
		cmocka_unit_test(test_integer_constants_share_a_verdict),
		cmocka_unit_test(test_T14_constants_that_matter_are_not_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
