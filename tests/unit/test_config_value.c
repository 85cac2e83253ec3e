/*
 * The parts of the configuration that need no file: texts as values, and the table of keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/config_table.h"
#include "proxy/config_value.h"

/* ---- values */

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t plain_us, us;
	} good[] = {{"10ms", 0, 10000}, {"5s", 0, 5000000}, {"2min", 0, 120000000}, {"1h", 0, 3600000000},
	        {"1d", 0, 86400000000}, {"7us", 0, 7}, {"0", 0, 0}, {"0.0", 0, 0}, {"1.5s", 0, 1500000},
	        {"1.5 ms", 0, 1500}, {"120", SW_US_PER_S, 120000000}, {"0.25", SW_US_PER_S, 250000},
	        {"10ms", SW_US_PER_S, 10000}};
	static const char *const bad[] = {"", "s", "-1s", "1m", "1S", "1 sec", "1.s", ".5s", "1e3s", "10",
	        "1s 2s", "1234567890123456s", "999999999999999d", "1.1234567s"};
	char why[SW_WHY_MAX];
	int64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		us = -1;
		assert_int_equal(sw_value_time(good[i].text, good[i].plain_us, &us, why), SW_OK);
		assert_int_equal(us, good[i].us);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		us = -1;
		why[0] = '\0';
		assert_int_equal(sw_value_time(bad[i], 0, &us, why), SW_ERR_SYNTAX);
		assert_int_equal(us, -1);
		assert_string_not_equal(why, "");
	}
}

static void test_bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"64MB", 64 << 20}, {"1kB", 1024}, {"1KB", 1024}, {"512", 512}, {"512B", 512},
	        {"2 GB", UINT64_C(2) << 30}, {"1TB", UINT64_C(1) << 40}, {"0", 0}};
	static const char *const bad[] = {"", "MB", "1.5MB", "1M", "-1kB", "999999999999999TB", "64MB;"};
	char why[SW_WHY_MAX];
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		bytes = 99;
		assert_int_equal(sw_value_bytes(good[i].text, &bytes, why), SW_OK);
		assert_true(bytes == good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bytes = 99;
		assert_int_equal(sw_value_bytes(bad[i], &bytes, why), SW_ERR_SYNTAX);
		assert_true(bytes == 99);
	}
}

static void test_numbers_and_switches(void **state)
{
	static const char *const yes[] = {"on", "true", "yes", "1", "ON"}, *const no[] = {"off", "false",
	                                                                           "no", "0", "No"};
	static const char *const bad_ratios[] = {"", "nan", "0x1", ".5", "1.", "1,5", "-0.1", "0.1234567"};
	char why[SW_WHY_MAX];
	uint64_t number = 1;
	double ratio = 7;
	bool value;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		value = false;
		assert_int_equal(sw_value_bool(yes[i], &value, why), SW_OK);
		assert_true(value);
		assert_int_equal(sw_value_bool(no[i], &value, why), SW_OK);
		assert_false(value);
	}
	assert_int_equal(sw_value_bool("o", &value, why), SW_ERR_SYNTAX);
	assert_int_equal(sw_value_number("007", &number, why), SW_OK);
	assert_int_equal(number, 7);
	assert_int_equal(sw_value_number("7 ", &number, why), SW_ERR_SYNTAX);
	assert_int_equal(sw_value_number("1234567890123456", &number, why), SW_ERR_SYNTAX);
	for (size_t i = 0; i < sizeof(bad_ratios) / sizeof(bad_ratios[0]); i++)
		assert_int_equal(sw_value_ratio(bad_ratios[i], &ratio, why), SW_ERR_SYNTAX);
	assert_true(ratio == 7);
	assert_int_equal(sw_value_ratio("0.25", &ratio, why), SW_OK);
	assert_true(ratio == 0.25);
}

static void test_formatting_is_the_inverse_of_reading(void **state)
{
	static const int64_t times[] = {
	        0, 1, 999, 1000, 1500, 1000000, 61000000, 90 * SW_US_PER_S, SW_US_PER_D, 25 * SW_US_PER_H};
	static const uint64_t sizes[] = {
	        0, 1, 1023, 1024, 1536, 64 << 20, UINT64_C(1) << 40, (UINT64_C(1) << 40) + 1};
	char out[SW_VALUE_TEXT_MAX], why[SW_WHY_MAX];
	uint64_t bytes;
	int64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_int_equal(sw_value_time(sw_value_format_time(times[i], out), 0, &us, why), SW_OK);
		assert_int_equal(us, times[i]);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(sw_value_bytes(sw_value_format_bytes(sizes[i], out), &bytes, why), SW_OK);
		assert_true(bytes == sizes[i]);
	}
	assert_string_equal(sw_value_format_time(120 * SW_US_PER_S, out), "2min");
	assert_string_equal(sw_value_format_bytes(64 << 20, out), "64MB");
}

static void test_pairs(void **state)
{
	char line[] = " host = db1  port=5433 name='it\\'s \\\\ two' empty='' bare=a\\ b last=";
	static const char *const expected[][2] = {{"host", "db1"}, {"port", "5433"}, {"name", "it's \\ two"},
	        {"empty", ""}, {"bare", "a b"}, {"last", ""}};
	static const char *const bad[] = {"host", "host 1=2", "=x", "a='b", "a='b\\'"};
	char *cursor = line, why[SW_WHY_MAX];
	const char *key = NULL, *value = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(sw_value_next_pair(&cursor, &key, &value, why), SW_OK);
		assert_string_equal(key, expected[i][0]);
		assert_string_equal(value, expected[i][1]);
	}
	assert_int_equal(sw_value_next_pair(&cursor, &key, &value, why), SW_ERR_NOT_FOUND);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char copy[32];

		strcpy(copy, bad[i]);
		cursor = copy;
		assert_int_equal(sw_value_next_pair(&cursor, &key, &value, why), SW_ERR_SYNTAX);
	}
}

static void test_lists(void **state)
{
	(void)state;
	assert_true(sw_config_list_has("postgres", "postgres"));
	assert_true(sw_config_list_has(" a , b c ,d", "b c"));
	assert_true(sw_config_list_has("a,b,d", "d"));
	assert_false(sw_config_list_has("alpha, beta", "alph"));
	assert_false(sw_config_list_has("alpha, beta", "beta2"));
	assert_false(sw_config_list_has("alpha, beta", ""));
	assert_false(sw_config_list_has("", "a"));
	assert_false(sw_config_list_has("", ""));
	assert_false(sw_value_has_gap(""));
	assert_false(sw_value_has_gap("a, b"));
	assert_true(sw_value_has_gap("a,,b"));
	assert_true(sw_value_has_gap("a, "));
	assert_true(sw_value_has_gap(","));
}

static void test_distance(void **state)
{
	char long_name[100];

	(void)state;
	assert_int_equal(sw_value_distance("listen_port", "listen_port"), 0);
	assert_int_equal(sw_value_distance("listen_prt", "listen_port"), 1);
	assert_int_equal(sw_value_distance("listen_prot", "listen_port"), 1);
	assert_int_equal(sw_value_distance("kitten", "sitting"), 3);
	assert_int_equal(sw_value_distance("", "abc"), 3);
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_true(sw_value_distance(long_name, "a") >= 63);
}

/* ---- the table */

static void test_every_default_reads_and_formats_to_itself(void **state)
{
	union {
		struct sw_config config;
		struct sw_node_config node;
		struct sw_database_line database;
		struct sw_user_config user;
	} *base = calloc(1, sizeof(*base));

	(void)state;
	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];
		char why[SW_WHY_MAX] = "", text[1024];

		assert_true((key->default_text == NULL) != (key->absent == NULL));
		assert_non_null(key->help);
		assert_ptr_equal(sw_config_key_find(key->section, key->name), key);
		if (!key->default_text)
			continue;
		assert_int_equal(sw_config_key_set(key, base, key->default_text, why), SW_OK);
		sw_config_key_format(key, base, text, sizeof(text));
		assert_string_equal(text, key->default_text);
	}
	sw_mem_free((void *)base->config.primary_functions);
	sw_mem_free((void *)base->config.replica_functions);
	free(base);
}

/* Both ends of every range are allowed, and what lies one step outside is a fault that names the range. */
static void test_every_range(void **state)
{
	uint64_t *base = calloc(1, sizeof(struct sw_config));

	(void)state;
	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];
		const char *unit = key->type == SW_KEY_TIME || key->type == SW_KEY_TIMEOUT ? "us" : "";
		char text[64], why[SW_WHY_MAX], range[SW_RANGE_TEXT_MAX];

		if (key->max == 0 || key->type == SW_KEY_RATIO)
			continue;
		snprintf(text, sizeof(text), "%lld%s", (long long)key->min, unit);
		assert_int_equal(sw_config_key_set(key, base, text, why), SW_OK);
		snprintf(text, sizeof(text), "%lld%s", (long long)key->max, unit);
		assert_int_equal(sw_config_key_set(key, base, text, why), SW_OK);
		snprintf(text, sizeof(text), "%lld%s", (long long)key->max + 1, unit);
		assert_int_equal(sw_config_key_set(key, base, text, why), SW_ERR_SYNTAX);
		assert_non_null(strstr(why, sw_config_key_range(key, range)));
		if (key->min == 0)
			continue;
		snprintf(text, sizeof(text), "%lld%s", (long long)key->min - 1, unit);
		assert_int_equal(sw_config_key_set(key, base, text, why), SW_ERR_SYNTAX);
		assert_non_null(strstr(why, sw_config_key_range(key, range)));
	}
	free(base);
}

static void test_dump_has_seven_columns(void **state)
{
	char *text = NULL;
	size_t len, lines = 0, tabs = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	sw_config_dump_table(out);
	fclose(out);
	for (size_t i = 0; i < len; i++) {
		lines += text[i] == '\n';
		tabs += text[i] == '\t';
	}
	assert_int_equal(lines, sw_config_key_count);
	assert_int_equal(tabs, 6 * lines);
	assert_non_null(strstr(text, "seawall\tlisten_port\t6432\t1 to 65535\t-\tno\t"));
	assert_non_null(strstr(text, "routing\tmax_lag\t10s\t1ms to 7d\ttime\tyes\t"));
	assert_non_null(strstr(text, "nodes\thost\t(required)\t"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_times),
	        cmocka_unit_test(test_bytes),
	        cmocka_unit_test(test_numbers_and_switches),
	        cmocka_unit_test(test_formatting_is_the_inverse_of_reading),
	        cmocka_unit_test(test_pairs),
	        cmocka_unit_test(test_lists),
	        cmocka_unit_test(test_distance),
	        cmocka_unit_test(test_every_default_reads_and_formats_to_itself),
	        cmocka_unit_test(test_every_range),
	        cmocka_unit_test(test_dump_has_seven_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
