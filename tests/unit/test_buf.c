/* The byte buffer: its maximum, its three cursors, and that an empty one owns nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/buf.h"

static void check_invariant(const struct sw_buf *buf)
{
	assert_true(buf->start <= buf->end);
	assert_true(buf->end <= buf->size);
	assert_true(buf->size <= buf->max);
	assert_int_equal(sw_buf_len(buf), buf->end - buf->start);
}

static void append(struct sw_buf *buf, const char *text)
{
	assert_int_equal(sw_buf_append(buf, text, strlen(text)), SW_OK);
	check_invariant(buf);
}

static void assert_holds(const struct sw_buf *buf, const char *text)
{
	assert_int_equal(sw_buf_len(buf), strlen(text));
	assert_memory_equal(sw_buf_data(buf), text, strlen(text));
}

static void test_fresh_owns_nothing(void **state)
{
	struct sw_buf buf;

	(void)state;
	sw_buf_init(&buf, 100);
	check_invariant(&buf);
	assert_null(buf.mem);
	assert_int_equal(sw_buf_len(&buf), 0);
	assert_int_equal(sw_buf_append(&buf, NULL, 0), SW_OK);
	assert_null(buf.mem);
	assert_null(sw_buf_data(&buf));
	sw_buf_consume(&buf, 0);
	sw_buf_clear(&buf);
	sw_buf_release(&buf);
	sw_buf_fini(&buf);
}

static void test_append_and_consume(void **state)
{
	struct sw_buf buf;

	(void)state;
	sw_buf_init(&buf, 1000);
	append(&buf, "abc");
	append(&buf, "defg");
	assert_holds(&buf, "abcdefg");
	sw_buf_consume(&buf, 2);
	assert_holds(&buf, "cdefg");
	append(&buf, "h");
	assert_holds(&buf, "cdefgh");
	sw_buf_consume(&buf, 6);
	check_invariant(&buf);
	assert_holds(&buf, "");
	assert_int_equal(buf.start, 0); /* the room in front is usable again without a move */
	sw_buf_fini(&buf);
}

static void test_bytes_of_any_value(void **state)
{
	struct sw_buf buf;
	uint8_t bytes[256];

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	sw_buf_init(&buf, 512);
	assert_int_equal(sw_buf_append(&buf, bytes, 256), SW_OK);
	assert_int_equal(sw_buf_append(&buf, bytes, 256), SW_OK);
	assert_memory_equal(sw_buf_data(&buf), bytes, 256);
	assert_memory_equal(sw_buf_data(&buf) + 256, bytes, 256);
	sw_buf_fini(&buf);
}

/* To the byte, whatever the maximum is: not a power of two, smaller than the first piece, one. */
static void test_maximum_is_exact(void **state)
{
	static const uint32_t maxima[] = {1, 2, 255, 256, 257, 1000, 4096, 100003};

	(void)state;
	for (size_t i = 0; i < sizeof(maxima) / sizeof(*maxima); i++) {
		struct sw_buf buf;

		sw_buf_init(&buf, maxima[i]);
		for (uint32_t n = 0; n < maxima[i]; n++) {
			assert_int_equal(sw_buf_append(&buf, "x", 1), SW_OK);
			assert_true(buf.size <= maxima[i]);
		}
		check_invariant(&buf);
		assert_int_equal(sw_buf_len(&buf), maxima[i]);
		assert_int_equal(sw_buf_append(&buf, "y", 1), SW_ERR_LIMIT);
		assert_null(sw_buf_reserve(&buf, 1));
		assert_int_equal(sw_buf_len(&buf), maxima[i]);
		assert_int_equal(sw_buf_data(&buf)[maxima[i] - 1], 'x');
		sw_buf_consume(&buf, 1);
		assert_int_equal(sw_buf_append(&buf, "y", 1), SW_OK);
		assert_int_equal(sw_buf_data(&buf)[maxima[i] - 1], 'y');
		check_invariant(&buf);
		sw_buf_fini(&buf);
	}
}

/* All or nothing: what does not fit whole leaves the buffer as it was. */
static void test_refusal_appends_nothing(void **state)
{
	struct sw_buf buf;

	(void)state;
	sw_buf_init(&buf, 8);
	append(&buf, "12345");
	assert_int_equal(sw_buf_append(&buf, "6789", 4), SW_ERR_LIMIT);
	assert_holds(&buf, "12345");
	append(&buf, "678");
	assert_holds(&buf, "12345678");
	sw_buf_fini(&buf);
}

/* Lengths near the end of size_t must not wrap round the check. */
static void test_absurd_lengths(void **state)
{
	static const size_t lens[] = {
	        101, UINT32_MAX, (size_t)UINT32_MAX + 1, (size_t)UINT32_MAX + 98, SIZE_MAX - 3, SIZE_MAX};
	struct sw_buf buf;

	(void)state;
	sw_buf_init(&buf, 100);
	for (int filled = 0; filled < 2; filled++) {
		for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
			assert_null(sw_buf_reserve(&buf, lens[i]));
			assert_int_equal(sw_buf_append(&buf, "", lens[i]), SW_ERR_LIMIT);
		}
		check_invariant(&buf);
		if (!filled)
			append(&buf, "abc");
	}
	assert_holds(&buf, "abc");
	sw_buf_fini(&buf);
}

static void test_reserve(void **state)
{
	struct sw_buf buf;
	uint8_t *at;

	(void)state;
	sw_buf_init(&buf, 1000);
	append(&buf, "head ");
	at = sw_buf_reserve(&buf, 900);
	assert_non_null(at);
	memset(at, 'r', 900); /* all of it is ours to write */
	assert_holds(&buf, "head ");
	sw_buf_added(&buf, 3);
	assert_holds(&buf, "head rrr");
	append(&buf, "!");
	assert_holds(&buf, "head rrr!");
	sw_buf_fini(&buf);
}

/* Consumed room is used before the memory grows, and what is left survives the move. */
static void test_room_in_front_is_reused(void **state)
{
	struct sw_buf buf;
	uint32_t size;

	(void)state;
	sw_buf_init(&buf, 1 << 20);
	for (int i = 0; i < 256; i++)
		assert_int_equal(sw_buf_append(&buf, &(uint8_t){(uint8_t)i}, 1), SW_OK);
	size = buf.size;
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(sw_buf_data(&buf)[0], (uint8_t)i);
		sw_buf_consume(&buf, 1);
		assert_int_equal(sw_buf_append(&buf, &(uint8_t){(uint8_t)i}, 1), SW_OK);
		check_invariant(&buf);
	}
	assert_int_equal(buf.size, size);
	sw_buf_fini(&buf);
}

static void test_clear_and_release(void **state)
{
	struct sw_buf buf;

	(void)state;
	sw_buf_init(&buf, 1000);
	append(&buf, "abc");
	sw_buf_release(&buf);
	assert_holds(&buf, "abc"); /* not empty: stays */
	sw_buf_clear(&buf);
	assert_holds(&buf, "");
	assert_non_null(buf.mem);
	append(&buf, "d");
	assert_holds(&buf, "d");
	sw_buf_consume(&buf, 1);
	sw_buf_release(&buf);
	assert_null(buf.mem);
	assert_int_equal(buf.size, 0);
	assert_int_equal(buf.max, 1000);
	append(&buf, "again");
	assert_holds(&buf, "again");
	sw_buf_fini(&buf);
	assert_null(buf.mem);
	sw_buf_fini(&buf); /* twice is harmless */
}

/* Against a model: a plain array. */
static void test_random_operations(void **state)
{
	static uint8_t model[3000];
	size_t used = 0;
	uint32_t seed = 1, count = 0;
	struct sw_buf buf;

	(void)state;
	sw_buf_init(&buf, sizeof(model));
	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[700];
		size_t len;

		seed = seed * 1664525 + 1013904223;
		len = (seed >> 8) % sizeof(bytes);
		if (seed >> 30 == 0) {
			len = len < used ? len : used;
			sw_buf_consume(&buf, len);
			memmove(model, model + len, used - len);
			used -= len;
		} else if (seed >> 26 == 63) {
			sw_buf_clear(&buf);
			sw_buf_release(&buf);
			used = 0;
		} else {
			for (size_t n = 0; n < len; n++)
				bytes[n] = (uint8_t)count++;
			if (used + len > sizeof(model)) {
				assert_int_equal(sw_buf_append(&buf, bytes, len), SW_ERR_LIMIT);
			} else {
				assert_int_equal(sw_buf_append(&buf, bytes, len), SW_OK);
				memcpy(model + used, bytes, len);
				used += len;
			}
		}
		check_invariant(&buf);
		assert_int_equal(sw_buf_len(&buf), used);
		if (used > 0)
			assert_memory_equal(sw_buf_data(&buf), model, used);
	}
	sw_buf_fini(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_fresh_owns_nothing),
	        cmocka_unit_test(test_append_and_consume),
	        cmocka_unit_test(test_bytes_of_any_value),
	        cmocka_unit_test(test_maximum_is_exact),
	        cmocka_unit_test(test_refusal_appends_nothing),
	        cmocka_unit_test(test_absurd_lengths),
	        cmocka_unit_test(test_reserve),
	        cmocka_unit_test(test_room_in_front_is_reused),
	        cmocka_unit_test(test_clear_and_release),
	        cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
