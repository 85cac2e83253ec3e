/*
 * The one table of configuration keys. Reading a file, the ranges, SHOW CONFIG, the reload check and the lint
 * of conf/seawall.conf and docs/configuration.md all go by it; a new key is a field and a row. The attributes
 * of lines in [nodes], [databases] and [users] are rows too. The table is constant: any thread.
 */
#ifndef SW_PROXY_CONFIG_TABLE_H
#define SW_PROXY_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/base/err.h"
#include "proxy/config.h"
#include "proxy/config_value.h"

enum sw_key_type {
	SW_KEY_TEXT,      /* char[size] */
	SW_KEY_LIST,      /* char[size], comma separated */
	SW_KEY_FUNCTIONS, /* const char **: NULL-ended, lower case, one allocation */
	SW_KEY_BOOL,      /* bool */
	SW_KEY_PORT,      /* uint16_t */
	SW_KEY_NUMBER,    /* uint32_t */
	SW_KEY_RATIO,     /* double */
	SW_KEY_TIME,      /* int64_t microseconds; needs a unit */
	SW_KEY_TIMEOUT,   /* the same; a number without a unit counts seconds, as in PgBouncer */
	SW_KEY_BYTES,     /* uint64_t */
	SW_KEY_CHOICE,    /* uint8_t: one of choices */
};

/* Rows of the table: a loader keeps one line number a row. */
#define SW_CONFIG_KEYS_MAX 128

/* Names in one list of functions: nobody types more by hand. */
#define SW_CONFIG_FUNCTIONS_MAX 1000

struct sw_key_choice {
	const char *name; /* NULL ends the choices */
	int value;
};

struct sw_config_key {
	const char *section, *name;
	const char *default_text; /* as it may stand in the file; NULL: see absent */
	const char *absent;       /* what holds without it, in parentheses */
	const char *help;
	const struct sw_key_choice *choices;
	int64_t min, max;
	uint32_t offset, size; /* of the field: in struct sw_config, sw_node_config, sw_database_line or
	                          sw_user_config */
	uint32_t has_offset;   /* of a bool that says that the key was given; 0 = none */
	uint8_t type;          /* enum sw_key_type */
	bool is_changeable;    /* by a reload */
	bool is_secret;
};

/* A line of [databases] while it is read: the lag limits become a lag class at the end. 0 = not given. */
struct sw_database_line {
	struct sw_database_config config;
	int64_t max_lag_us;
	uint64_t max_lag_bytes;
};

/* Room for sw_config_key_range. */
#define SW_RANGE_TEXT_MAX 128

extern const struct sw_config_key sw_config_keys[];
extern const uint32_t sw_config_key_count;

/* The row, or NULL. */
const struct sw_config_key *sw_config_key_find(const char *section, const char *name);
/* Is the section one whose lines are keys of struct sw_config ([seawall], [routing], [monitor])? */
bool sw_config_is_global(const char *section);

/* Reads text into the key's field of *base (a struct that matches the section). On failure why says what to
 * do. */
enum sw_err sw_config_key_set(
        const struct sw_config_key *key, void *base, const char *text, char *why) SW_MUST_USE;
/* The field as it may stand in the file; secrets too. */
void sw_config_key_format(const struct sw_config_key *key, const void *base, char *out, size_t size);
/* The allowed values: "1 to 65535", "on, off", "up to 255 bytes". Returns out[SW_RANGE_TEXT_MAX]. */
char *sw_config_key_range(const struct sw_config_key *key, char *out);

/* What to do about a name that is no key of the section: why[SW_WHY_MAX] begins with the name. */
void sw_config_explain_unknown_key(const char *section, const char *name, char *why);
/* The same for a section; false where it is one. */
bool sw_config_explain_unknown_section(const char *section, char *why);

#endif
