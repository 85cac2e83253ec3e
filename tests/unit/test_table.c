/* Tables of results: what is combined, what is kept apart, where they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/table.h"

static const struct sw_column columns[] = {{"name", SW_COLUMN_KEY}, {"user", SW_COLUMN_KEY},
        {"count", SW_COLUMN_SUM}, {"longest", SW_COLUMN_MAX}, {"nodes", SW_COLUMN_TEXT},
        {"mode", SW_COLUMN_FIRST}};

static const struct sw_column plain_columns[] = {{"text", SW_COLUMN_TEXT}};

static struct sw_table *new_table(void)
{
	return sw_table_new(columns, 6, 1024 * 1024);
}

static void add(struct sw_table *table, const char *name, const char *user, uint64_t count, uint64_t longest,
        const char *nodes, const char *mode)
{
	sw_table_begin(table);
	sw_table_text(table, name);
	sw_table_text(table, user);
	sw_table_number(table, count);
	sw_table_number(table, longest);
	sw_table_text(table, nodes);
	sw_table_text(table, mode);
	sw_table_end(table);
}

static void add_plain(struct sw_table *table, const char *text)
{
	sw_table_begin(table);
	sw_table_text(table, text);
	sw_table_end(table);
}

static void test_rows_with_one_key_are_combined(void **state)
{
	struct sw_table *table = new_table();
	const struct sw_cell *cells;

	(void)state;
	add(table, "app", "ann", 2, 7, "pg1", NULL);
	add(table, "app", "ann", 3, 5, "pg2", "transaction");
	add(table, "app", "ann", 0, 6, "pg1", "session");
	assert_int_equal(table->row_count, 1);
	cells = table->rows->cells;
	assert_string_equal(cells[0].text, "app");
	assert_string_equal(cells[1].text, "ann");
	assert_int_equal(cells[2].number, 5);
	assert_int_equal(cells[3].number, 7);
	assert_string_equal(cells[4].text, "pg1,pg2");
	assert_string_equal(cells[5].text, "transaction");
	assert_null(table->rows->next);
	sw_table_free(table);
}

static void test_every_key_column_counts(void **state)
{
	struct sw_table *table = new_table();

	(void)state;
	add(table, "app", "ann", 1, 0, NULL, NULL);
	add(table, "app", "bob", 1, 0, NULL, NULL);
	add(table, "ap", "pann", 1, 0, NULL, NULL);
	add(table, "app", NULL, 1, 0, NULL, NULL);
	add(table, "app", "", 1, 0, NULL, NULL);
	add(table, "app", NULL, 1, 0, NULL, NULL);
	assert_int_equal(table->row_count, 5);
	assert_string_equal(table->rows->next->cells[1].text, "bob");
	assert_null(table->rows->next->next->next->cells[1].text);
	assert_int_equal(table->rows->next->next->next->cells[2].number, 2);
	sw_table_free(table);
}

static void test_without_keys_every_row_stays(void **state)
{
	struct sw_table *table = sw_table_new(plain_columns, 1, 4096);
	struct sw_table *other = sw_table_new(plain_columns, 1, 4096);

	(void)state;
	add_plain(table, "a");
	add_plain(table, "a");
	add_plain(other, "a");
	sw_table_merge(table, other);
	assert_int_equal(table->row_count, 3);
	sw_table_free(table);
	sw_table_free(other);
}

static void test_null_numbers_stay_null(void **state)
{
	struct sw_table *table = new_table(), *other = new_table();

	(void)state;
	sw_table_begin(other);
	for (int i = 0; i < 6; i++)
		sw_table_text(other, NULL);
	sw_table_end(other);
	sw_table_merge(table, other);
	assert_false(table->rows->cells[2].has_number);
	assert_false(table->rows->cells[3].has_number);
	add(table, NULL, NULL, 0, 0, NULL, NULL);
	assert_int_equal(table->row_count, 1);
	assert_true(table->rows->cells[2].has_number);
	assert_true(table->rows->cells[3].has_number);
	sw_table_free(table);
	sw_table_free(other);
}

static void test_merge_is_as_if_all_were_added_to_one(void **state)
{
	struct sw_table *into = new_table(), *from = new_table();

	(void)state;
	add(into, "a", "u", 1, 1, "pg1", NULL);
	add(into, "b", "u", 1, 9, "pg1", "session");
	add(from, "b", "u", 5, 4, "pg3", "transaction");
	add(from, "c", "u", 7, 7, "pg2", NULL);
	sw_table_merge(into, from);
	assert_int_equal(into->row_count, 3);
	assert_string_equal(into->rows->cells[0].text, "a");
	assert_int_equal(into->rows->next->cells[2].number, 6);
	assert_int_equal(into->rows->next->cells[3].number, 9);
	assert_string_equal(into->rows->next->cells[4].text, "pg1,pg3");
	assert_string_equal(into->rows->next->cells[5].text, "session");
	assert_string_equal(into->rows->next->next->cells[0].text, "c");
	assert_int_equal(from->row_count, 2);
	assert_string_equal(from->rows->cells[4].text, "pg3");
	sw_table_free(into);
	sw_table_free(from);
}

static void test_list_takes_whole_names(void **state)
{
	struct sw_table *table = new_table();

	(void)state;
	add(table, "a", "u", 0, 0, "pg10", NULL);
	add(table, "a", "u", 0, 0, "pg1", NULL);
	add(table, "a", "u", 0, 0, "g10", NULL);
	add(table, "a", "u", 0, 0, "", NULL);
	add(table, "a", "u", 0, 0, "pg1", NULL);
	assert_string_equal(table->rows->cells[4].text, "pg10,pg1,g10");
	sw_table_free(table);
}

static void test_list_has_an_end(void **state)
{
	struct sw_table *table = new_table();
	char name[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "node%d", i);
		add(table, "a", "u", 1, 0, name, NULL);
	}
	assert_int_equal(table->rows->cells[2].number, 1000);
	assert_in_range(strlen(table->rows->cells[4].text), SW_TABLE_TEXT_MAX / 2, SW_TABLE_TEXT_MAX - 1);
	sw_table_free(table);
}

static void test_thousands_of_keys_are_found_again(void **state)
{
	struct sw_table *table = new_table();
	uint32_t seen = 0;
	char name[32];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3000; i++) {
			snprintf(name, sizeof(name), "db%d", i);
			add(table, name, "u", 1, 0, NULL, NULL);
		}
	}
	assert_int_equal(table->row_count, 3000);
	for (const struct sw_row *row = table->rows; row; row = row->next, seen++)
		assert_int_equal(row->cells[2].number, 2);
	assert_int_equal(seen, 3000);
	sw_table_free(table);
}

static void test_maximum_drops_rows_and_counts_them(void **state)
{
	struct sw_table *table = sw_table_new(plain_columns, 1, 1000),
	                *other = sw_table_new(plain_columns, 1, 1000);
	uint32_t kept;

	(void)state;
	for (int i = 0; i < 100; i++)
		add_plain(table, "0123456789");
	kept = table->row_count;
	assert_in_range(kept, 5, 50);
	assert_int_equal(table->dropped, 100 - kept);
	assert_true(table->used_bytes <= 1000);
	add_plain(other, "one");
	sw_table_merge(other, table);
	assert_true(other->used_bytes <= 1000);
	assert_int_equal(other->row_count + other->dropped, 101);
	sw_table_free(table);
	sw_table_free(other);
}

static void test_full_table_still_counts_known_keys(void **state)
{
	struct sw_table *table = sw_table_new(columns, 6, 300);

	(void)state;
	add(table, "a", "u", 1, 0, NULL, NULL);
	for (int i = 0; i < 20; i++)
		add(table, i % 2 ? "a" : "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "u", 1, 0, "pg1", NULL);
	assert_int_equal(table->row_count, 1);
	assert_int_equal(table->rows->cells[2].number, 11);
	assert_int_equal(table->dropped, 10);
	sw_table_free(table);
}

static void test_long_text_is_cut_between_letters(void **state)
{
	struct sw_table *table = sw_table_new(plain_columns, 1, 8192);
	char text[SW_TABLE_TEXT_MAX + 100];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	add_plain(table, text);
	assert_int_equal(strlen(table->rows->cells[0].text), SW_TABLE_TEXT_MAX - 1);
	memcpy(text + SW_TABLE_TEXT_MAX - 3, "\xe2\x82\xac", 3); /* its last byte would be the one too many */
	add_plain(table, text);
	assert_int_equal(strlen(table->rows->next->cells[0].text), SW_TABLE_TEXT_MAX - 3);
	text[SW_TABLE_TEXT_MAX - 1] = '\0'; /* the longest that fits */
	text[SW_TABLE_TEXT_MAX - 3] = text[SW_TABLE_TEXT_MAX - 2] = 'x';
	add_plain(table, text);
	assert_int_equal(strlen(table->rows->next->next->cells[0].text), SW_TABLE_TEXT_MAX - 1);
	sw_table_free(table);
}

static void test_numbers_in_columns_of_text(void **state)
{
	struct sw_table *table = sw_table_new(plain_columns, 1, 4096);

	(void)state;
	sw_table_begin(table);
	sw_table_number(table, UINT64_MAX);
	sw_table_end(table);
	assert_string_equal(table->rows->cells[0].text, "18446744073709551615");
	assert_false(table->rows->cells[0].has_number);
	assert_int_equal(sw_table_column(table, "text"), 0);
	sw_table_free(table);
	sw_table_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_rows_with_one_key_are_combined),
	        cmocka_unit_test(test_every_key_column_counts),
	        cmocka_unit_test(test_without_keys_every_row_stays),
	        cmocka_unit_test(test_null_numbers_stay_null),
	        cmocka_unit_test(test_merge_is_as_if_all_were_added_to_one),
	        cmocka_unit_test(test_list_takes_whole_names),
	        cmocka_unit_test(test_list_has_an_end),
	        cmocka_unit_test(test_thousands_of_keys_are_found_again),
	        cmocka_unit_test(test_maximum_drops_rows_and_counts_them),
	        cmocka_unit_test(test_full_table_still_counts_known_keys),
	        cmocka_unit_test(test_long_text_is_cut_between_letters),
	        cmocka_unit_test(test_numbers_in_columns_of_text),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
