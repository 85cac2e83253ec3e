/*
 * Texts of the configuration file as values. Pure functions for any thread; the ranges that a key allows are
 * the table's business (config_table.c), not known here.
 *
 * Invariant: a ret_ argument is written only together with SW_OK, and formatting is the inverse of reading.
 */
#include "proxy/config_value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* 10^15 units of any size still fit in 64 bits after the multiplication is checked; longer numbers are typing
 * errors. */
#define NUMBER_DIGITS_MAX 15

/* Times are kept in microseconds: more decimals than these say nothing. */
#define FRACTION_DIGITS_MAX 6

/* Names longer than this are not compared for likeness. */
#define DISTANCE_TEXT_MAX 63

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: the formatter takes the first that divides. */
static const struct unit time_units[] = {
        {"d", 86400000000}, {"h", 3600000000}, {"min", 60000000}, {"s", 1000000}, {"ms", 1000}, {"us", 1}};
static const struct unit byte_units[] = {{"TB", UINT64_C(1) << 40}, {"GB", UINT64_C(1) << 30},
        {"MB", UINT64_C(1) << 20}, {"kB", 1024}, {"B", 1}};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum sw_err sw_value_bool(const char *text, bool *ret_value, char *why)
{
	static const char *const yes[] = {"on", "true", "yes", "1"};
	static const char *const no[] = {"off", "false", "no", "0"};

	for (size_t i = 0; i < COUNT_OF(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0) {
			*ret_value = true;
			return SW_OK;
		}
		if (strcasecmp(text, no[i]) == 0) {
			*ret_value = false;
			return SW_OK;
		}
	}
	snprintf(why, SW_WHY_MAX, "\"%s\" is neither on nor off: write \"on\" or \"off\"", text);
	return SW_ERR_SYNTAX;
}

/* Reads digits at *at; false where there is none or there are too many. */
static bool take_digits(const char **at, unsigned digits_max, uint64_t *ret_number, unsigned *ret_digits)
{
	uint64_t number = 0;
	unsigned digits = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++) {
		if (++digits > digits_max)
			return false;
		number = number * 10 + (uint64_t)(**at - '0');
	}
	if (digits == 0)
		return false;
	*ret_number = number;
	*ret_digits = digits;
	return true;
}

enum sw_err sw_value_number(const char *text, uint64_t *ret_value, char *why)
{
	const char *at = text;
	uint64_t number;
	unsigned digits;

	if (!take_digits(&at, NUMBER_DIGITS_MAX, &number, &digits) || *at) {
		snprintf(why, SW_WHY_MAX, "\"%s\" is not a whole number: write digits only", text);
		return SW_ERR_SYNTAX;
	}
	*ret_value = number;
	return SW_OK;
}

enum sw_err sw_value_ratio(const char *text, double *ret_value, char *why)
{
	const char *at = text;
	uint64_t whole, fraction = 0;
	unsigned digits, fraction_digits = 0;
	double value;

	/* Not strtod(): it takes "nan", "0x1" and, in some locales, a comma. */
	if (!take_digits(&at, FRACTION_DIGITS_MAX, &whole, &digits))
		goto wrong;
	if (*at == '.') {
		at++;
		if (!take_digits(&at, FRACTION_DIGITS_MAX, &fraction, &fraction_digits))
			goto wrong;
	}
	if (*at)
		goto wrong;
	value = (double)fraction;
	while (fraction_digits-- > 0)
		value /= 10;
	*ret_value = (double)whole + value;
	return SW_OK;
wrong:
	snprintf(why, SW_WHY_MAX, "\"%s\" is not a number: write one such as 0.5", text);
	return SW_ERR_SYNTAX;
}

static const struct unit *find_unit(
        const struct unit *units, size_t count, const char *name, bool is_case_free)
{
	for (size_t i = 0; i < count; i++)
		if ((is_case_free ? strcasecmp : strcmp)(units[i].name, name) == 0)
			return &units[i];
	return NULL;
}

enum sw_err sw_value_time(const char *text, int64_t plain_us, int64_t *ret_us, char *why)
{
	const struct unit *unit;
	const char *at = text;
	uint64_t whole, fraction = 0, factor, us;
	unsigned digits, fraction_digits = 0;

	if (!take_digits(&at, NUMBER_DIGITS_MAX, &whole, &digits))
		goto wrong;
	if (*at == '.') {
		at++;
		if (!take_digits(&at, FRACTION_DIGITS_MAX, &fraction, &fraction_digits))
			goto wrong;
	}
	while (*at == ' ' || *at == '\t')
		at++;
	if (*at) {
		unit = find_unit(time_units, COUNT_OF(time_units), at, false);
		if (!unit)
			goto wrong;
		factor = unit->factor;
	} else if (plain_us == 0 && (whole || fraction)) {
		snprintf(why, SW_WHY_MAX,
		        "\"%s\" has no unit: write one of us, ms, s, min, h, d behind it, such as \"%sms\"",
		        text, text);
		return SW_ERR_SYNTAX;
	} else {
		factor = (uint64_t)plain_us;
	}
	/* The fraction in microseconds: at most 10^6 times a day fits, and what is finer than one is cut. */
	fraction *= factor;
	while (fraction_digits-- > 0)
		fraction /= 10;
	if (__builtin_mul_overflow(whole, factor, &us) || __builtin_add_overflow(us, fraction, &us) ||
	        us > INT64_MAX) {
		snprintf(why, SW_WHY_MAX, "\"%s\" is too long a time: write a shorter one", text);
		return SW_ERR_SYNTAX;
	}
	*ret_us = (int64_t)us;
	return SW_OK;
wrong:
	snprintf(why, SW_WHY_MAX,
	        "\"%s\" is not a time: write a number and one of us, ms, s, min, h, d, such as \"10s\"",
	        text);
	return SW_ERR_SYNTAX;
}

enum sw_err sw_value_bytes(const char *text, uint64_t *ret_bytes, char *why)
{
	const struct unit *unit;
	const char *at = text;
	uint64_t number, bytes;
	unsigned digits;

	if (!take_digits(&at, NUMBER_DIGITS_MAX, &number, &digits))
		goto wrong;
	while (*at == ' ' || *at == '\t')
		at++;
	/* Nobody means a millibyte: "64mb" can only be megabytes. Of a time, "1M" could be two things. */
	unit = find_unit(byte_units, COUNT_OF(byte_units), *at ? at : "B", true);
	if (!unit)
		goto wrong;
	if (__builtin_mul_overflow(number, unit->factor, &bytes) || bytes > INT64_MAX) {
		snprintf(why, SW_WHY_MAX, "\"%s\" is too large: write a smaller size", text);
		return SW_ERR_SYNTAX;
	}
	*ret_bytes = bytes;
	return SW_OK;
wrong:
	snprintf(why, SW_WHY_MAX,
	        "\"%s\" is not a size: write a whole number and one of B, kB, MB, GB, TB, such as \"64MB\"",
	        text);
	return SW_ERR_SYNTAX;
}

static char *format_unit(const struct unit *units, size_t count, uint64_t value, char *out)
{
	size_t i = 0;

	if (value == 0) {
		strcpy(out, "0");
		return out;
	}
	while (i + 1 < count && value % units[i].factor)
		i++;
	snprintf(out, SW_VALUE_TEXT_MAX, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
	return out;
}

char *sw_value_format_time(int64_t us, char *out)
{
	return format_unit(time_units, COUNT_OF(time_units), (uint64_t)us, out);
}

char *sw_value_format_bytes(uint64_t bytes, char *out)
{
	return format_unit(byte_units, COUNT_OF(byte_units), bytes, out);
}

static char *skip_spaces(char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

/* Takes quotes and backslashes out of a value, in its own room; NULL where its quote stays open. */
static char *unquote(char *at, char **ret_end)
{
	bool is_quoted = *at == '\'';
	char *out = at, *from = is_quoted ? at + 1 : at;

	for (; *from; from++) {
		if (is_quoted ? *from == '\'' : isspace((unsigned char)*from))
			break;
		if (*from == '\\' && from[1])
			from++;
		*out++ = *from;
	}
	if (is_quoted && !*from)
		return NULL;
	*ret_end = *from ? from + 1 : from;
	*out = '\0';
	return at;
}

enum sw_err sw_value_next_pair(char **cursor, const char **ret_key, const char **ret_value, char *why)
{
	char *key = skip_spaces(*cursor), *at = key, *value, *after;

	if (!*key)
		return SW_ERR_NOT_FOUND;
	while (*at && *at != '=' && !isspace((unsigned char)*at))
		at++;
	value = skip_spaces(at);
	if (*value != '=' || at == key) {
		snprintf(why, SW_WHY_MAX,
		        "\"%.*s\" is not key=value: write key=value pairs with spaces between them",
		        (int)(at == key ? 1 : at - key), key);
		return SW_ERR_SYNTAX;
	}
	*at = '\0';
	value = skip_spaces(value + 1);
	value = unquote(value, &after);
	if (!value) {
		snprintf(why, SW_WHY_MAX,
		        "the quote in the value of \"%s\" is not closed: close it, and note that \" ;\" "
		        "begins a comment",
		        key);
		return SW_ERR_SYNTAX;
	}
	*cursor = after;
	*ret_key = key;
	*ret_value = value;
	return SW_OK;
}

bool sw_value_next_item(const char **cursor, const char **ret_item, size_t *ret_len)
{
	const char *start = *cursor, *end;

	while (*start == ',' || isspace((unsigned char)*start))
		start++;
	if (!*start)
		return false;
	end = start + strcspn(start, ",");
	*cursor = end;
	while (isspace((unsigned char)end[-1]))
		end--;
	*ret_item = start;
	*ret_len = (size_t)(end - start);
	return true;
}

bool sw_value_has_gap(const char *list)
{
	const char *cursor = list, *item;
	size_t commas = 0, items = 0, len;

	for (const char *at = list; *at; at++)
		commas += *at == ',';
	while (sw_value_next_item(&cursor, &item, &len))
		items++;
	return commas + items > 0 && items != commas + 1;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned sw_value_distance(const char *a, const char *b)
{
	unsigned rows[3][DISTANCE_TEXT_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	if (a_len > DISTANCE_TEXT_MAX || b_len > DISTANCE_TEXT_MAX)
		return DISTANCE_TEXT_MAX;
	for (size_t j = 0; j <= b_len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			now[j] = least(least(now[j - 1], last[j]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		before = last;
		last = now;
		now = rows[(i + 2) % 3];
	}
	return last[b_len];
}
