/* Sets of settings: interned (equal is the same pointer), immutable, ordered, and the flags that routing
 * reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/pool/settings.h"

static int set_up(void **state)
{
	*state = sw_settings_table_new();
	return 0;
}

/* Stops the test where a set was left over; ASan sees the rest. */
static int tear_down(void **state)
{
	sw_settings_table_free(*state);
	return 0;
}

/* A new set from a list "name=value name=value"; a reference. */
static struct sw_settings *make(struct sw_settings_table *table, const char *list)
{
	struct sw_settings *set = sw_settings_empty(table);
	char copy[256], *at = copy, *pair;

	snprintf(copy, sizeof(copy), "%s", list);
	while ((pair = strsep(&at, " "))) {
		char *value = strchr(pair, '=');

		if (!value)
			continue;
		*value++ = '\0';
		sw_settings_change(&set, pair, value);
	}
	return set;
}

static void assert_list(const struct sw_settings *set, const char *expected)
{
	char have[256] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < sw_settings_count(set); i++) {
		const char *value, *name = sw_settings_name(set, i, &value);

		used += (size_t)snprintf(
		        have + used, sizeof(have) - used, "%s%s=%s", i ? " " : "", name, value);
	}
	assert_string_equal(have, expected);
}

static void test_empty(void **state)
{
	struct sw_settings *empty = sw_settings_empty(*state), *again = sw_settings_empty(*state);

	assert_ptr_equal(empty, again);
	assert_int_equal(sw_settings_count(empty), 0);
	assert_int_equal(sw_settings_bytes(empty), 0);
	assert_int_equal(sw_settings_flags(empty), 0);
	assert_null(sw_settings_find(empty, "a"));
	assert_null(sw_settings_find(empty, ""));
	sw_settings_change(&again, "a", NULL); /* nothing to take away */
	assert_ptr_equal(again, empty);
	sw_settings_unref(empty);
	sw_settings_unref(again);
	sw_settings_unref(NULL);
}

static void test_equal_sets_are_one(void **state)
{
	static const char *const orders[] = {"a=1 b=2 c=3", "a=1 c=3 b=2", "b=2 a=1 c=3", "b=2 c=3 a=1",
	        "c=3 a=1 b=2", "c=3 b=2 a=1", "c=9 b=2 a=1 c=3", "a=1 a=1 b=2 c=3"};
	static const char *const others[] = {
	        "", "a=1 b=2", "a=1 b=2 c=4", "a=1 b=2 c=3 d=", "a=1 b=2 cc=3", "a=1 b=2 c=33"};
	struct sw_settings *first = make(*state, orders[0]);

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		struct sw_settings *set = make(*state, orders[i]);

		assert_ptr_equal(set, first);
		sw_settings_unref(set);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct sw_settings *set = make(*state, others[i]);

		assert_ptr_not_equal(set, first);
		sw_settings_unref(set);
	}
	sw_settings_unref(first);
}

/* Where a name ends and a value begins decides, too. */
static void test_no_two_sets_look_alike(void **state)
{
	struct sw_settings *one = make(*state, "a=bc"), *two = make(*state, "ab=c"),
	                   *three = make(*state, "a= b=c"), *four = make(*state, "a=b c=");

	assert_ptr_not_equal(one, two);
	assert_ptr_not_equal(three, four);
	assert_string_equal(sw_settings_find(three, "a"), "");
	assert_null(sw_settings_find(three, "c"));
	assert_string_equal(sw_settings_find(four, "c"), "");
	sw_settings_unref(one);
	sw_settings_unref(two);
	sw_settings_unref(three);
	sw_settings_unref(four);
}

static void test_order_and_names(void **state)
{
	struct sw_settings *set =
	        make(*state, "TimeZone=UTC application_name=x DateStyle=ISO work_mem=4MB bytea_output=hex");

	assert_list(set, "application_name=x bytea_output=hex DateStyle=ISO TimeZone=UTC work_mem=4MB");
	assert_int_equal(sw_settings_count(set), 5);
	assert_int_equal(sw_settings_bytes(set),
	        sizeof("application_name\0x\0bytea_output\0hex\0DateStyle\0ISO\0TimeZone\0UTC\0work_mem\0"
	               "4MB"));
	sw_settings_unref(set);
}

static void test_replace_and_remove(void **state)
{
	struct sw_settings *set = make(*state, "a=1 b=2 c=3");

	sw_settings_change(&set, "b", "a longer value");
	assert_list(set, "a=1 b=a longer value c=3");
	sw_settings_change(&set, "b", "");
	assert_list(set, "a=1 b= c=3");
	sw_settings_change(&set, "a", NULL);
	assert_list(set, "b= c=3");
	sw_settings_change(&set, "c", NULL);
	sw_settings_change(&set, "nothing", NULL);
	assert_list(set, "b=");
	sw_settings_change(&set, "b", NULL);
	assert_list(set, "");
	sw_settings_unref(set);
}

/* A change makes another set; whoever holds the old one sees no difference. */
static void test_sets_do_not_change(void **state)
{
	struct sw_settings *base = make(*state, "a=1"), *held = sw_settings_ref(base),
	                   *with = sw_settings_with(base, "b", "2"),
	                   *without = sw_settings_with(with, "a", NULL);

	assert_list(with, "a=1 b=2");
	assert_list(without, "b=2");
	sw_settings_change(&base, "a", "9");
	assert_list(base, "a=9");
	assert_list(held, "a=1");
	sw_settings_change(&base, "a", "1");
	assert_ptr_equal(base, held); /* and back again */
	sw_settings_unref(base);
	assert_list(held, "a=1"); /* its own reference keeps it */
	sw_settings_unref(held);
	sw_settings_unref(with);
	sw_settings_unref(without);
}

static void test_case_of_names_and_values(void **state)
{
	struct sw_settings *set = make(*state, "DateStyle=ISO");

	assert_string_equal(sw_settings_find(set, "datestyle"), "ISO");
	assert_string_equal(sw_settings_find(set, "DATESTYLE"), "ISO");
	assert_null(sw_settings_find(set, "DateStyl"));
	sw_settings_change(&set, "DATESTYLE", "German");
	assert_int_equal(sw_settings_count(set), 1);
	assert_string_equal(sw_settings_find(set, "DateStyle"), "German");
	sw_settings_change(&set, "DateStyle", "german"); /* values have a case */
	assert_string_equal(sw_settings_find(set, "datestyle"), "german");
	sw_settings_change(&set, "datestyle", NULL);
	assert_int_equal(sw_settings_count(set), 0);
	sw_settings_unref(set);
}

/* "Does this connection have what the session needs?" is one comparison: it must not ask twice for the same.
 */
static void test_equal_but_for_the_case_of_names_are_one(void **state)
{
	struct sw_settings *driver = make(*state, "DateStyle=ISO TimeZone=UTC"),
	                   *statement = make(*state, "datestyle=ISO timezone=UTC");
	bool are_one = driver == statement;

	sw_settings_unref(driver);
	sw_settings_unref(statement);
	assert_true(are_one);
}

/* Clients look for the names of what is reported to them letter by letter, whoever named it first on this worker. */
static void test_T71_spelling_for_clients_survives(void **state)
{
	struct sw_settings *statement = make(*state, "datestyle=ISO INTERVALSTYLE=iso_8601 timezone=UTC "
	                                             "Application_Name=x");
	struct sw_settings *reported = make(*state, "application_name=x DateStyle=ISO IntervalStyle=iso_8601 "
	                                            "TimeZone=UTC");

	assert_list(statement, "application_name=x DateStyle=ISO IntervalStyle=iso_8601 TimeZone=UTC");
	assert_ptr_equal(statement, reported);
	sw_settings_change(&reported, "TIMEZONE", "GMT");
	assert_list(reported, "application_name=x DateStyle=ISO IntervalStyle=iso_8601 TimeZone=GMT");
	sw_settings_change(&reported, "TimeZones", "x"); /* a longer name is another one */
	sw_settings_change(&reported, "TIMEZON", "x");
	assert_list(reported, "application_name=x DateStyle=ISO IntervalStyle=iso_8601 timezon=x TimeZone=GMT "
	                      "timezones=x");
	sw_settings_unref(statement);
	sw_settings_unref(reported);
}

struct flag_case {
	const char *name, *value;
	uint32_t flags;
};

static void check_flags(struct sw_settings_table *table, const struct flag_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct sw_settings *set = make(table, "a=1 z=1");
		uint32_t with, without;

		sw_settings_change(&set, cases[i].name, cases[i].value);
		with = sw_settings_flags(set);
		sw_settings_change(&set, cases[i].name, NULL);
		without = sw_settings_flags(set);
		sw_settings_unref(set); /* before the checks: a table with sets cannot be freed */
		if (with != cases[i].flags)
			fail_msg("%s = '%s': flags %#x instead of %#x", cases[i].name, cases[i].value, with,
			        cases[i].flags);
		assert_int_equal(without, 0); /* gone with the setting */
	}
}

#define CHECK_FLAGS(table, cases) check_flags(table, cases, sizeof(cases) / sizeof(*(cases)))

static void test_T14_T15_flags(void **state)
{
	static const struct flag_case cases[] = {
	        {"default_transaction_isolation", "serializable", SW_SETTINGS_SERIALIZABLE},
	        {"DEFAULT_TRANSACTION_ISOLATION", "SERIALIZABLE", SW_SETTINGS_SERIALIZABLE},
	        {"default_transaction_isolation", "repeatable read", 0},
	        {"default_transaction_isolation", "read committed", 0},
	        {"default_transaction_isolation", "", 0},
	        {"default_transaction_read_only", "on", SW_SETTINGS_READ_ONLY},
	        {"Default_Transaction_Read_Only", "TRUE", SW_SETTINGS_READ_ONLY},
	        {"default_transaction_read_only", "yes", SW_SETTINGS_READ_ONLY},
	        {"default_transaction_read_only", "1", SW_SETTINGS_READ_ONLY},
	        {"default_transaction_read_only", "off", 0},
	        {"default_transaction_read_only", "0", 0},
	        {"default_transaction_read_only", "false", 0},
	        {"transaction_read_only", "on", 0},
	        {"application_name", "serializable", 0},
	};

	CHECK_FLAGS(*state, cases);
}

static void test_T18_flags(void **state)
{
	static const struct flag_case cases[] = {
	        {"standard_conforming_strings", "off", SW_SETTINGS_BACKSLASH},
	        {"STANDARD_CONFORMING_STRINGS", "False", SW_SETTINGS_BACKSLASH},
	        {"standard_conforming_strings", "0", SW_SETTINGS_BACKSLASH},
	        {"standard_conforming_strings", "on", 0},
	        {"standard_conforming_strings", "TRUE", 0},
	        {"standard_conforming_strings", "1", 0},
	        {"client_encoding", "SJIS", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "sjis", SW_SETTINGS_UNSAFE_ENCODING},
	        {"Client_Encoding", "Big5", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "GBK", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "UHC", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "GB18030", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "JOHAB", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "SHIFT_JIS_2004", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "UTF8", 0},
	        {"client_encoding", "LATIN1", 0},
	        {"client_encoding", "EUC_JP", 0},
	        {"client_encoding", "SQL_ASCII", 0},
	        {"server_encoding", "SJIS", 0},
	};

	CHECK_FLAGS(*state, cases);
}

/* The other names of the same encodings, which PostgreSQL compares by letters and digits alone (SET takes
 * them all). */
static void test_T18_aliases_of_unsafe_encodings(void **state)
{
	static const struct flag_case cases[] = {
	        {"client_encoding", "Shift_JIS", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "shift-jis", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "ShiftJIS", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "mskanji", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "win932", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "windows-932", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "win936", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "windows936", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "win949", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "windows949", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "win950", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "windows950", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "ShiftJIS2004", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "big-5", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "gb_18030", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "windows-31j932", 0},
	        {"client_encoding", " S J I S ", SW_SETTINGS_UNSAFE_ENCODING},
	        {"client_encoding", "sjis2", 0},
	        {"client_encoding", "sji", 0},
	        {"client_encoding", "", 0},
	        {"client_encoding", "--", 0},
	        {"client_encoding", "utf-8", 0},
	        {"client_encoding", "euc_jis_2004", 0},
	        {"client_encoding", "win1252", 0},
	};

	CHECK_FLAGS(*state, cases);
}

/* PostgreSQL takes any beginning of these words that is not ambiguous. */
static void test_abbreviated_booleans(void **state)
{
	static const struct flag_case cases[] = {
	        {"standard_conforming_strings", "t", 0},
	        {"standard_conforming_strings", "tru", 0},
	        {"standard_conforming_strings", "ye", 0},
	        {"standard_conforming_strings", "of", SW_SETTINGS_BACKSLASH},
	        {"standard_conforming_strings", "fals", SW_SETTINGS_BACKSLASH},
	        {"standard_conforming_strings", "n", SW_SETTINGS_BACKSLASH},
	        {"default_transaction_read_only", "tr", SW_SETTINGS_READ_ONLY},
	        {"default_transaction_read_only", "Y", SW_SETTINGS_READ_ONLY},
	        {"default_transaction_read_only", "of", 0},
	        {"default_transaction_read_only", "on", SW_SETTINGS_READ_ONLY},
	        /* no word, or one that could be two: the server refuses it */
	        {"default_transaction_read_only", "o", 0},
	        {"default_transaction_read_only", "", 0},
	        {"default_transaction_read_only", "ono", 0},
	        {"default_transaction_read_only", "trueish", 0},
	        {"default_transaction_read_only", "11", 0},
	};

	CHECK_FLAGS(*state, cases);
}

static void test_flags_of_several(void **state)
{
	struct sw_settings *set =
	        make(*state, "standard_conforming_strings=off client_encoding=SJIS "
	                     "default_transaction_read_only=on default_transaction_isolation=serializable");

	assert_int_equal(sw_settings_flags(set), SW_SETTINGS_SERIALIZABLE | SW_SETTINGS_READ_ONLY |
	                                                 SW_SETTINGS_BACKSLASH | SW_SETTINGS_UNSAFE_ENCODING);
	sw_settings_change(&set, "client_encoding", "UTF8");
	assert_int_equal(sw_settings_flags(set),
	        SW_SETTINGS_SERIALIZABLE | SW_SETTINGS_READ_ONLY | SW_SETTINGS_BACKSLASH);
	sw_settings_unref(set);
}

/* Many sets at once, made and released in different orders; the table must be empty at the end. */
static void test_many_sets(void **state)
{
	struct sw_settings *sets[500];
	char value[16];

	for (int i = 0; i < 500; i++) {
		snprintf(value, sizeof(value), "%d", i % 250);
		sets[i] = make(*state, "a=1");
		sw_settings_change(&sets[i], i % 2 ? "b" : "B0", value);
	}
	for (int i = 0; i < 250; i++) {
		assert_ptr_equal(sets[i], sets[i + 250]);
		snprintf(value, sizeof(value), "%d", i);
		assert_string_equal(sw_settings_find(sets[i], i % 2 ? "b" : "b0"), value);
		if (i > 0)
			assert_ptr_not_equal(sets[i], sets[i - 1]);
	}
	for (int i = 0; i < 250; i++) {
		sw_settings_unref(sets[(i * 7) % 250]);
		sw_settings_unref(sets[499 - i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_equal_sets_are_one, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_no_two_sets_look_alike, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_order_and_names, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_replace_and_remove, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_sets_do_not_change, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_case_of_names_and_values, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(
	                test_equal_but_for_the_case_of_names_are_one, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T71_spelling_for_clients_survives, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T14_T15_flags, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T18_flags, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_T18_aliases_of_unsafe_encodings, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_abbreviated_booleans, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_flags_of_several, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_many_sets, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
