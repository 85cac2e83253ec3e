/* WAL positions: text, order, distance, and what an idle primary names at a page or segment boundary (T42).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/lsn.h"

#define PAGE    UINT32_C(8192)
#define SEGMENT (UINT64_C(16) << 20)

/* Parses an exact-size copy, so that a read past the end shows under ASan. */
static enum sw_err parse(const char *text, size_t len, struct sw_lsn *ret_lsn)
{
	char *copy = malloc(len ? len : 1);
	enum sw_err err;

	assert_non_null(copy);
	memcpy(copy, text, len);
	err = sw_lsn_parse(copy, len, ret_lsn);
	free(copy);
	return err;
}

static struct sw_lsn lsn(const char *text)
{
	struct sw_lsn parsed = {0};

	assert_int_equal(parse(text, strlen(text), &parsed), SW_OK);
	return parsed;
}

static uint64_t normalised(uint64_t pos, uint32_t page_bytes, uint64_t segment_bytes)
{
	return sw_lsn_normalise((struct sw_lsn){pos}, page_bytes, segment_bytes).pos;
}

static void test_text(void **state)
{
	static const struct {
		const char *text, *again;
		uint64_t pos;
	} cases[] = {
	        {"0/0", "0/0", 0},
	        {"0/9", "0/9", 9},
	        {"0/10", "0/10", 16},
	        {"16/B374D848", "16/B374D848", UINT64_C(0x16B374D848)},
	        {"16/b374d848", "16/B374D848", UINT64_C(0x16B374D848)},
	        {"1/0", "1/0", UINT64_C(1) << 32},
	        {"00000001/00000000", "1/0", UINT64_C(1) << 32},
	        {"0/FFFFFFFF", "0/FFFFFFFF", UINT32_MAX},
	        {"FFFFFFFF/FFFFFFFF", "FFFFFFFF/FFFFFFFF", UINT64_MAX},
	};
	char *out = malloc(SW_LSN_TEXT_MAX);

	(void)state;
	assert_non_null(out);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_lsn have = lsn(cases[i].text);

		assert_int_equal(have.pos, cases[i].pos);
		assert_ptr_equal(sw_lsn_format(have, out), out);
		assert_string_equal(out, cases[i].again);
	}
	free(out);
}

static void test_text_faults(void **state)
{
	static const char *const bad[] = {"", "/", "0", "0/", "/0", "0//0", "0/0/0", "0/0 ", " 0/0", "0 /0",
	        "0/ 0", "-1/0", "0/-1", "+1/0", "0x1/0", "0/0x1", "G/0", "0/g", "000000001/0", "0/123456789",
	        "0:0", "0/0\n", "0\\0"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct sw_lsn untouched = {42};

		if (parse(bad[i], strlen(bad[i]), &untouched) != SW_ERR_SYNTAX || untouched.pos != 42)
			fail_msg("\"%s\" was read as a position", bad[i]);
	}
}

/* The length rules, not a NUL: a cut text is another position or none, and a NUL inside is no digit. */
static void test_text_length(void **state)
{
	static const char whole[] = "1F/A0";
	static const uint64_t expected[] = {0, 0, 0, 0, UINT64_C(0x1F0000000A), UINT64_C(0x1F000000A0)};

	(void)state;
	for (size_t len = 0; len <= 5; len++) {
		struct sw_lsn have = {0};

		assert_int_equal(parse(whole, len, &have), len < 4 ? SW_ERR_SYNTAX : SW_OK);
		assert_int_equal(have.pos, expected[len]);
	}
	assert_int_equal(parse("0/1\0", 4, &(struct sw_lsn){0}), SW_ERR_SYNTAX);
	assert_int_equal(parse("0\0/1", 4, &(struct sw_lsn){0}), SW_ERR_SYNTAX);
}

static void test_T42_order_is_by_number(void **state)
{
	static const char *const rising[] = {"0/0", "0/9", "0/10", "0/A0", "0/FFFFFFFF", "1/0", "9/0", "10/0",
	        "A0/0", "7FFFFFFF/FFFFFFFF", "80000000/0", "FFFFFFFF/FFFFFFFF"};
	size_t count = sizeof(rising) / sizeof(*rising);

	(void)state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++) {
			struct sw_lsn a = lsn(rising[i]), b = lsn(rising[j]);

			assert_int_equal(sw_lsn_at_least(a, b), i >= j);
			assert_int_equal(sw_lsn_max(a, b).pos, lsn(rising[i > j ? i : j]).pos);
			assert_int_equal(sw_lsn_distance(a, b), j > i ? b.pos - a.pos : 0);
		}
}

static void test_distance(void **state)
{
	(void)state;
	assert_int_equal(sw_lsn_distance(lsn("0/FFFFFFFF"), lsn("1/1")), 2);
	assert_int_equal(sw_lsn_distance(lsn("1/1"), lsn("0/FFFFFFFF")), 0);
	assert_int_equal(sw_lsn_distance(lsn("0/0"), lsn("FFFFFFFF/FFFFFFFF")), UINT64_MAX);
}

static void test_T42_page_boundary(void **state)
{
	(void)state;
	for (uint64_t page = SEGMENT + PAGE; page < 2 * SEGMENT; page += 97 * PAGE) {
		assert_int_equal(normalised(page + 24, PAGE, SEGMENT), page);
		for (uint64_t past = 0; past < 64; past++)
			if (past != 24)
				assert_int_equal(normalised(page + past, PAGE, SEGMENT), page + past);
		assert_int_equal(normalised(page + PAGE - 1, PAGE, SEGMENT), page + PAGE - 1);
	}
}

static void test_T42_segment_boundary(void **state)
{
	static const uint64_t segments[] = {
	        0, SEGMENT, 255 * SEGMENT, UINT64_C(1) << 32, UINT64_C(0xFFFFFFFFFF000000)};

	(void)state;
	for (size_t i = 0; i < sizeof(segments) / sizeof(*segments); i++) {
		uint64_t segment = segments[i];

		assert_int_equal(normalised(segment + 40, PAGE, SEGMENT), segment);
		for (uint64_t past = 0; past < 64; past++)
			if (past != 40)
				assert_int_equal(normalised(segment + past, PAGE, SEGMENT), segment + past);
	}
}

/* The last page before and the first page after a segment's start have short headers, the start has a long
 * one. */
static void test_T42_around_a_segment(void **state)
{
	uint64_t segment = 7 * SEGMENT;

	(void)state;
	assert_int_equal(normalised(segment - PAGE + 24, PAGE, SEGMENT), segment - PAGE);
	assert_int_equal(normalised(segment - PAGE + 40, PAGE, SEGMENT), segment - PAGE + 40);
	assert_int_equal(normalised(segment + 24, PAGE, SEGMENT), segment + 24);
	assert_int_equal(normalised(segment + PAGE + 24, PAGE, SEGMENT), segment + PAGE);
	assert_int_equal(normalised(segment + PAGE + 40, PAGE, SEGMENT), segment + PAGE + 40);
}

/* initdb --wal-segsize from 1 MB to 1 GB, and the page sizes that PostgreSQL can be built with. */
static void test_T42_other_sizes(void **state)
{
	(void)state;
	for (uint32_t page = 1024; page <= 65536; page *= 2)
		for (uint64_t segment = UINT64_C(1) << 20; segment <= UINT64_C(1) << 30; segment *= 2) {
			assert_int_equal(normalised(3 * segment + 40, page, segment), 3 * segment);
			assert_int_equal(normalised(3 * segment + 24, page, segment), 3 * segment + 24);
			assert_int_equal(
			        normalised(3 * segment + page + 24, page, segment), 3 * segment + page);
			assert_int_equal(
			        normalised(3 * segment + page + 40, page, segment), 3 * segment + page + 40);
		}
	/* A segment of 16 MB starts here, but none of 64 MB. */
	assert_int_equal(normalised(SEGMENT + 24, PAGE, 4 * SEGMENT), SEGMENT);
	assert_int_equal(normalised(SEGMENT + 40, PAGE, 4 * SEGMENT), SEGMENT + 40);
}

/* A floor must never come out higher than what the server said, nor twice different. */
static void test_T42_never_rises_and_is_stable(void **state)
{
	uint64_t pos = 1;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t once;

		pos = pos * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		if (i % 2)
			pos = (pos & ~(uint64_t)(PAGE - 1)) | (i % 4 == 1 ? 24 : 40);
		once = normalised(pos, PAGE, SEGMENT);
		assert_true(once <= pos && pos - once <= 40);
		assert_int_equal(normalised(once, PAGE, SEGMENT), once);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_text),
	        cmocka_unit_test(test_text_faults),
	        cmocka_unit_test(test_text_length),
	        cmocka_unit_test(test_T42_order_is_by_number),
	        cmocka_unit_test(test_distance),
	        cmocka_unit_test(test_T42_page_boundary),
	        cmocka_unit_test(test_T42_segment_boundary),
	        cmocka_unit_test(test_T42_around_a_segment),
	        cmocka_unit_test(test_T42_other_sizes),
	        cmocka_unit_test(test_T42_never_rises_and_is_stable),
	};

	return cmocka_run_group_tests_name("lsn", tests, NULL, NULL);
}
