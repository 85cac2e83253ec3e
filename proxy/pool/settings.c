/*
 * Interned sets of settings. Owns the table; runs on the worker's thread.
 * Invariant: entries are sorted by name without case, each name once and in the one spelling that append_name() gives it;
 * a set in the table has at least one reference.
 */
#include "proxy/pool/settings.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#include "proxy/base/mem.h"

struct sw_settings {
	struct sw_settings_table *table;
	UT_hash_handle hh; /* by bytes */
	uint32_t refs, count, flags, len;
	char bytes[]; /* name NUL value NUL … */
};

struct sw_settings_table {
	struct sw_settings *sets;
};

/*
 * Client encodings in which a byte of '\'' or '\\' may be the second byte of a character (manual, 24.3.1), under all the
 * names that PostgreSQL has for them, in lower case and without signs.
 */
static const char *const unsafe_encodings[] = {"big5", "gb18030", "gbk", "johab", "mskanji", "shiftjis", "shiftjis2004",
	"sjis", "uhc", "win932", "win936", "win949", "win950", "windows932", "windows936", "windows949", "windows950"};

/* The names that PostgreSQL reports in mixed case; clients look for them letter by letter. All others are lower case. */
static const char *const mixed_names[] = {"DateStyle", "IntervalStyle", "TimeZone"};

/* By ASCII alone, whatever the locale: as PostgreSQL folds names. */
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* PostgreSQL takes every beginning of a boolean word that could be no other word. */
static bool is_true(const char *value)
{
	static const struct {
		const char *word;
		size_t least;
	} words[] = {{"true", 1}, {"yes", 1}, {"on", 2}, {"1", 1}};
	size_t len = strlen(value);

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (len >= words[i].least && len <= strlen(words[i].word) && strncasecmp(value, words[i].word, len) == 0)
			return true;
	return false;
}

/* Letters and digits alone count: "Shift_JIS", "shift-jis" and "SHIFTJIS" are one encoding. name is in lower case. */
static bool is_encoding(const char *value, const char *name)
{
	for (; *value; value++) {
		char c = lower(*value);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			continue;
		if (c != *name++)
			return false;
	}
	return *name == '\0';
}

static uint32_t flags_of(const char *name, const char *value)
{
	if (strcasecmp(name, "default_transaction_isolation") == 0)
		return strcasecmp(value, "serializable") == 0 ? SW_SETTINGS_SERIALIZABLE : 0;
	if (strcasecmp(name, "default_transaction_read_only") == 0)
		return is_true(value) ? SW_SETTINGS_READ_ONLY : 0;
	if (strcasecmp(name, "standard_conforming_strings") == 0)
		return is_true(value) ? 0 : SW_SETTINGS_BACKSLASH;
	if (strcasecmp(name, "client_encoding") == 0)
		for (size_t i = 0; i < sizeof(unsafe_encodings) / sizeof(*unsafe_encodings); i++)
			if (is_encoding(value, unsafe_encodings[i]))
				return SW_SETTINGS_UNSAFE_ENCODING;
	return 0;
}

struct sw_settings_table *sw_settings_table_new(void)
{
	return SW_NEW(struct sw_settings_table);
}

void sw_settings_table_free(struct sw_settings_table *table)
{
	if (!table)
		return;
	assert(!table->sets);
	sw_mem_free(table);
}

static struct sw_settings *intern(struct sw_settings_table *table, const char *bytes, uint32_t len)
{
	struct sw_settings *set;

	HASH_FIND(hh, table->sets, bytes, len, set);
	if (set)
		return sw_settings_ref(set);
	set = sw_mem_zalloc(sizeof(*set) + len);
	set->table = table;
	set->refs = 1;
	set->len = len;
	if (len > 0)
		memcpy(set->bytes, bytes, len);
	for (const char *at = set->bytes; at < set->bytes + len; set->count++) {
		const char *value = at + strlen(at) + 1;

		set->flags |= flags_of(at, value);
		at = value + strlen(value) + 1;
	}
	HASH_ADD_KEYPTR(hh, table->sets, set->bytes, len, set);
	return set;
}

struct sw_settings *sw_settings_empty(struct sw_settings_table *table)
{
	return intern(table, "", 0);
}

struct sw_settings *sw_settings_ref(struct sw_settings *set)
{
	set->refs++;
	return set;
}

void sw_settings_unref(struct sw_settings *set)
{
	if (!set || --set->refs > 0)
		return;
	HASH_DEL(set->table->sets, set);
	sw_mem_free(set);
}

/* One spelling a name, so that sets which differ in it alone are one; it is the spelling that servers report. */
static size_t append_name(char *out, size_t used, const char *name)
{
	size_t len = strlen(name) + 1;

	for (size_t i = 0; i < sizeof(mixed_names) / sizeof(*mixed_names); i++)
		if (strcasecmp(name, mixed_names[i]) == 0) {
			memcpy(out + used, mixed_names[i], len);
			return used + len;
		}
	for (size_t i = 0; i < len; i++)
		out[used + i] = lower(name[i]);
	return used + len;
}

static size_t append(char *out, size_t used, const char *name, const char *value)
{
	size_t value_len = strlen(value) + 1;

	used = append_name(out, used, name);
	memcpy(out + used, value, value_len);
	return used + value_len;
}

struct sw_settings *sw_settings_with(struct sw_settings *base, const char *name, const char *value)
{
	char *bytes = sw_mem_alloc(base->len + strlen(name) + (value ? strlen(value) : 0) + 2);
	struct sw_settings *set;
	bool is_placed = !value;
	size_t used = 0;

	for (uint32_t i = 0; i < base->count; i++) {
		const char *old_value, *old = sw_settings_name(base, i, &old_value);
		int order = strcasecmp(old, name);

		if (order >= 0 && !is_placed) {
			used = append(bytes, used, name, value);
			is_placed = true;
		}
		if (order != 0)
			used = append(bytes, used, old, old_value);
	}
	if (!is_placed)
		used = append(bytes, used, name, value);
	set = intern(base->table, bytes, (uint32_t)used);
	sw_mem_free(bytes);
	return set;
}

void sw_settings_change(struct sw_settings **set, const char *name, const char *value)
{
	struct sw_settings *changed = sw_settings_with(*set, name, value);

	sw_settings_unref(*set);
	*set = changed;
}

const char *sw_settings_find(const struct sw_settings *set, const char *name)
{
	for (uint32_t i = 0; i < set->count; i++) {
		const char *value;

		if (strcasecmp(sw_settings_name(set, i, &value), name) == 0)
			return value;
	}
	return NULL;
}

uint32_t sw_settings_flags(const struct sw_settings *set)
{
	return set->flags;
}

uint32_t sw_settings_count(const struct sw_settings *set)
{
	return set->count;
}

size_t sw_settings_bytes(const struct sw_settings *set)
{
	return set->len;
}

const char *sw_settings_name(const struct sw_settings *set, uint32_t i, const char **ret_value)
{
	const char *at = set->bytes;

	assert(i < set->count);
	for (; i > 0; i--) {
		at += strlen(at) + 1;
		at += strlen(at) + 1;
	}
	*ret_value = at + strlen(at) + 1;
	return at;
}
