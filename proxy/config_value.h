/*
 * Texts of the configuration file as values: numbers, times, sizes, lists, and lines of key=value. Pure: no
 * file, no log, no allocation. Every reader takes the whole text; where it is wrong it writes to
 * why[SW_WHY_MAX] what is wrong and what to write instead, and returns SW_ERR_SYNTAX.
 */
#ifndef SW_PROXY_CONFIG_VALUE_H
#define SW_PROXY_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

/* Room for one reason; a longer one is cut. */
#define SW_WHY_MAX 512

/* Room for a formatted time or size: 20 digits, a unit, a NUL. */
#define SW_VALUE_TEXT_MAX 32

#define SW_US_PER_MS INT64_C(1000)
#define SW_US_PER_S  INT64_C(1000000)
#define SW_US_PER_H  (3600 * SW_US_PER_S)
#define SW_US_PER_D  (24 * SW_US_PER_H)

enum sw_err sw_value_bool(const char *text, bool *ret_value, char *why) SW_MUST_USE;
enum sw_err sw_value_number(const char *text, uint64_t *ret_value, char *why) SW_MUST_USE;
enum sw_err sw_value_ratio(const char *text, double *ret_value, char *why) SW_MUST_USE;

/* "10ms", "1.5 s", "2min", "1h", "1d", "0". plain_us is what a number without a unit counts; 0: it must have
 * one. */
enum sw_err sw_value_time(const char *text, int64_t plain_us, int64_t *ret_us, char *why) SW_MUST_USE;
/* "64MB", "1 kB", "512". Units are powers of 1024, as in PostgreSQL. */
enum sw_err sw_value_bytes(const char *text, uint64_t *ret_bytes, char *why) SW_MUST_USE;

/* With the largest unit that divides it; reading it again gives the same value. Return
 * out[SW_VALUE_TEXT_MAX]. */
char *sw_value_format_time(int64_t us, char *out);
char *sw_value_format_bytes(uint64_t bytes, char *out);

/*
 * The next "key = value" of a line in the form of libpq's connection strings; the value may stand in single
 * quotes, and a backslash takes the next character as it is. Works in place: *cursor moves on, the strings
 * lie in the line. SW_ERR_NOT_FOUND at the end of the line.
 */
enum sw_err sw_value_next_pair(
        char **cursor, const char **ret_key, const char **ret_value, char *why) SW_MUST_USE;

/*
 * The next element of a comma separated list without the spaces around it, empty ones left out; *cursor
 * starts at the list. False at the end.
 */
bool sw_value_next_item(const char **cursor, const char **ret_item, size_t *ret_len);
/* Does the list have an empty element, as in "a,,b" or "a,"? */
bool sw_value_has_gap(const char *list);

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b; longer texts count as far
 * apart. */
unsigned sw_value_distance(const char *a, const char *b);

#endif
