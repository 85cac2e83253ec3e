/*
 * Sets of settings (name, value), immutable, interned and counted, one table a worker: equal sets are the same pointer,
 * so that "does this server connection have what this session needs?" is one comparison on the hot path. Names compare
 * without case, as PostgreSQL's do, and come back in the spelling in which PostgreSQL reports them to clients. One thread.
 */
#ifndef SW_POOL_SETTINGS_H
#define SW_POOL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_settings_flag {
	SW_SETTINGS_SERIALIZABLE = 1u << 0,    /* default_transaction_isolation = serializable (T15) */
	SW_SETTINGS_READ_ONLY = 1u << 1,       /* default_transaction_read_only = on (T14) */
	SW_SETTINGS_BACKSLASH = 1u << 2,       /* standard_conforming_strings = off (T18) */
	SW_SETTINGS_UNSAFE_ENCODING = 1u << 3, /* client_encoding in which a quote can be a trailing byte (T18) */
};

struct sw_settings;
struct sw_settings_table;

struct sw_settings_table *sw_settings_table_new(void);
void sw_settings_table_free(struct sw_settings_table *table); /* every set has been released */

/* The empty set; a reference. */
struct sw_settings *sw_settings_empty(struct sw_settings_table *table);
struct sw_settings *sw_settings_ref(struct sw_settings *set);
void sw_settings_unref(struct sw_settings *set); /* takes NULL */

/* base with name set to value, or without name where value is NULL; a new reference. base stays the caller's. */
struct sw_settings *sw_settings_with(struct sw_settings *base, const char *name, const char *value);
/* The same, replacing *set and its reference. */
void sw_settings_change(struct sw_settings **set, const char *name, const char *value);

const char *sw_settings_find(const struct sw_settings *set, const char *name); /* NULL where missing */
uint32_t sw_settings_flags(const struct sw_settings *set);
uint32_t sw_settings_count(const struct sw_settings *set);
size_t sw_settings_bytes(const struct sw_settings *set);
/* The i-th name and its value, in order. */
const char *sw_settings_name(const struct sw_settings *set, uint32_t i, const char **ret_value);

#endif
