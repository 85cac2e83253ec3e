/*
 * The life of a loaded configuration and the questions asked of it. Built by config_load.c on the control
 * thread; from then on immutable, so every function here may run on any thread. Two that differ:
 * sw_config_check_reload() and sw_config_each() format text and are the control thread's.
 *
 * Invariant: refs counts the holders; nothing else in the struct changes once it is shared.
 */
#include "proxy/config.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/config_table.h"

#define SECRET_TEXT "********"

struct sw_config *sw_config_ref(struct sw_config *config)
{
	/* Relaxed: whoever calls holds a reference already, so nothing has to become visible by this. */
	atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
	return config;
}

void sw_config_unref(struct sw_config *config)
{
	/* Release and acquire: every holder's last read comes before the free. */
	if (!config || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) > 1)
		return;
	sw_mem_free((void *)config->primary_functions);
	sw_mem_free((void *)config->replica_functions);
	sw_mem_free(config->databases);
	sw_mem_free(config->users);
	sw_mem_wipe(config, sizeof(*config));
	sw_mem_free(config);
}

const struct sw_database_config *sw_config_database(const struct sw_config *config, const char *name)
{
	const struct sw_database_config *every = NULL;

	for (uint32_t i = 0; i < config->database_count; i++) {
		const struct sw_database_config *database = &config->databases[i];

		if (strcmp(database->name, name) == 0)
			return database;
		if (strcmp(database->name, "*") == 0)
			every = database;
	}
	return every;
}

const struct sw_user_config *sw_config_user(const struct sw_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->user_count; i++)
		if (strcmp(config->users[i].name, name) == 0)
			return &config->users[i];
	return NULL;
}

enum sw_consistency sw_config_level(const struct sw_config *config, const struct sw_database_config *database,
        const struct sw_user_config *user)
{
	if (user && user->has_consistency)
		return (enum sw_consistency)user->consistency;
	if (database && database->has_consistency)
		return (enum sw_consistency)database->consistency;
	return (enum sw_consistency)config->consistency;
}

bool sw_config_hints(const struct sw_config *config, const struct sw_user_config *user)
{
	return user && user->has_hints ? user->hints : config->hints;
}

enum sw_pool_mode sw_config_pool_mode(const struct sw_config *config,
        const struct sw_database_config *database, const struct sw_user_config *user)
{
	if (user && user->has_pool_mode)
		return (enum sw_pool_mode)user->pool_mode;
	if (database && database->has_pool_mode)
		return (enum sw_pool_mode)database->pool_mode;
	return (enum sw_pool_mode)config->pool_mode;
}

uint32_t sw_config_pool_size(const struct sw_config *config, const struct sw_database_config *database)
{
	return database && database->pool_size ? database->pool_size : config->default_pool_size;
}

bool sw_config_list_has(const char *list, const char *name)
{
	size_t len, name_len = strlen(name);
	const char *item;

	while (sw_value_next_item(&list, &item, &len))
		if (len == name_len && memcmp(item, name, len) == 0)
			return true;
	return false;
}

void sw_config_each(
        const struct sw_config *config, void (*on_row)(const struct sw_config_row *row, void *arg), void *arg)
{
	struct sw_config_row row;

	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];

		if (!sw_config_is_global(key->section))
			continue;
		row.section = key->section;
		row.key = key->name;
		row.default_text = key->default_text ? key->default_text : "";
		row.is_changeable = key->is_changeable;
		sw_config_key_format(key, config, row.value, sizeof(row.value));
		if (key->is_secret && row.value[0]) {
			sw_mem_wipe(row.value, sizeof(row.value));
			strcpy(row.value, SECRET_TEXT);
		}
		on_row(&row, arg);
	}
}

/* ---- reload */

/* One line a key of the section that differs and needs a restart; what names the thing that the key belongs
 * to. */
static uint32_t compare_keys(const char *section, const char *skip, const char *what, const void *old,
        const void *new, FILE *faults)
{
	char old_text[1024], new_text[1024];
	uint32_t count = 0;

	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];

		if (key->is_changeable || strcmp(key->section, section) != 0 || strcmp(key->name, skip) == 0)
			continue;
		sw_config_key_format(key, old, old_text, sizeof(old_text));
		sw_config_key_format(key, new, new_text, sizeof(new_text));
		if (strcmp(old_text, new_text) == 0)
			continue;
		fprintf(faults, "%s%s changed from %s to %s: restart Seawall to apply it\n", what, key->name,
		        old_text[0] ? old_text : "\"\"", new_text[0] ? new_text : "\"\"");
		count++;
	}
	return count;
}

static const struct sw_node_config *find_node(const struct sw_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->node_count; i++)
		if (strcmp(config->nodes[i].name, name) == 0)
			return &config->nodes[i];
	return NULL;
}

/* Views, floors and pools refer to nodes by their number, so the set of nodes and their order stay. */
static uint32_t compare_nodes(const struct sw_config *old, const struct sw_config *new, FILE *faults)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < old->node_count; i++) {
		const struct sw_node_config *node = &old->nodes[i], *now = find_node(new, node->name);
		char what[SW_NAME_MAX + 16];

		if (!now) {
			fprintf(faults, "node \"%s\" removed: restart Seawall to apply it\n", node->name);
			count++;
			continue;
		}
		snprintf(what, sizeof(what), "node \"%s\": ", node->name);
		count += compare_keys("nodes", "", what, node, now, faults);
	}
	for (uint32_t i = 0; i < new->node_count; i++) {
		if (find_node(old, new->nodes[i].name))
			continue;
		fprintf(faults, "node \"%s\" added: restart Seawall to apply it\n", new->nodes[i].name);
		count++;
	}
	for (uint32_t i = 0; count == 0 && i < old->node_count; i++) {
		if (strcmp(old->nodes[i].name, new->nodes[i].name) == 0)
			continue;
		fprintf(faults, "the order of [nodes] changed at \"%s\": restore it or restart Seawall\n",
		        new->nodes[i].name);
		count++;
	}
	return count;
}

enum sw_err sw_config_check_reload(const struct sw_config *old, const struct sw_config *new, FILE *faults)
{
	/* "One for each CPU" twice is no change, though there may be more or fewer of them now. */
	const char *skip = old->is_workers_auto && new->is_workers_auto ? "workers" : "";
	uint32_t count = 0;

	count += compare_keys("seawall", skip, "", old, new, faults);
	count += compare_keys("routing", "", "[routing] ", old, new, faults);
	count += compare_keys("monitor", "", "[monitor] ", old, new, faults);
	count += compare_nodes(old, new, faults);
	return count ? SW_ERR_CONFIG : SW_OK;
}
