/*
 * What to say about a name that is no key: that a later version brings it, that it stands in the wrong
 * section, that Seawall does it another way than PgBouncer, or which key was probably meant. Constant data,
 * pure functions.
 *
 * Why a key of a later version is refused rather than ignored: whoever writes client_tls_sslmode = require
 * believes that passwords are encrypted from then on. A name leaves this file in the change that makes it
 * work.
 */
#include "proxy/config_table.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

struct name_advice {
	const char *section; /* NULL: the global ones */
	const char *pattern; /* of fnmatch(3) */
	const char *advice;  /* NULL: not yet */
};

static const struct name_advice names[] = {
        {NULL, "*_tls_ecdhcurve", "OpenSSL chooses the group of the key exchange: remove the line"},
        {NULL, "*_tls_dheparams", "OpenSSL chooses the group of the key exchange: remove the line"},
        {NULL, "server_check_query", "Seawall asks with an empty query: remove the line"},
        {NULL, "server_reset_query*",
                "Seawall brings each client's settings itself and closes a connection that cannot be made clean: "
                "remove the line"},
        {NULL, "state_dir", NULL},
        {NULL, "http_listen", NULL},
        {NULL, "optimistic_transactions", NULL},
        {NULL, "session_key*", NULL},
        {NULL, "unix_socket_mode", NULL},
        {NULL, "unix_socket_group", NULL},
        {NULL, "query_timeout", NULL},
        {NULL, "logfile",
                "Seawall logs to standard error: remove the line and let the service manager keep the log"},
        {NULL, "syslog*",
                "Seawall logs to standard error: remove the line and let the service manager keep the log"},
        {NULL, "pidfile",
                "Seawall stays in the foreground: remove the line and let the service manager watch it"},
        {NULL, "user",
                "Seawall does not change its user: remove the line and start it as the user that it is to "
                "run as"},
        {NULL, "resolver*", "Seawall uses the system's resolver: remove the line"},
        {"nodes", "promote_priority", NULL},
        {"nodes", "region", NULL},
        {"nodes", "user",
                "it is not set for a node: clients log in as themselves, the monitor as [monitor] says"},
        {"nodes", "password",
                "it is not set for a node: clients log in as themselves, the monitor as [monitor] says"},
        {"nodes", "dbname",
                "it is not set for a node: [databases] names databases, [monitor] the monitor's own"},
        {"databases", "host", "it is not set for a database: list the servers in [nodes]"},
        {"databases", "port", "it is not set for a database: list the servers in [nodes]"},
        {"databases", "auth_*", NULL},
        {"databases", "user", NULL},
        {"databases", "password", NULL},
        {"databases", "reserve_pool*", NULL},
        {"databases", "min_pool_size", NULL},
        {"databases", "max_db_connections", NULL},
        {"databases", "connect_query", NULL},
        {"users", "pool_size", NULL},
        {"users", "max_user_connections", NULL},
};

static const char *const later_sections[] = {"failover", "wal", "store"};
static const char *const sections[] = {"seawall", "nodes", "databases", "users", "routing", "monitor"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A third of the letters may be wrong; below that, two unrelated short names would pass for one. */
static bool is_alike(const char *name, unsigned distance)
{
	size_t len = strlen(name);

	return distance <= (len < 6 ? 1 : len / 3);
}

static const struct name_advice *find_advice(const char *section, const char *name)
{
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const struct name_advice *entry = &names[i];

		if (entry->section ? strcmp(entry->section, section) != 0 : !sw_config_is_global(section))
			continue;
		if (fnmatch(entry->pattern, name, 0) == 0)
			return entry;
	}
	return NULL;
}

/* The key of the section that is most like the name, or NULL. */
static const char *find_alike(const char *section, const char *name)
{
	unsigned best = 0;
	const char *found = NULL;

	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];
		unsigned distance;

		if (strcmp(key->section, section) != 0)
			continue;
		distance = sw_value_distance(name, key->name);
		if (is_alike(key->name, distance) && (!found || distance < best)) {
			found = key->name;
			best = distance;
		}
	}
	return found;
}

static const char *find_other_section(const char *section, const char *name)
{
	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];

		if (sw_config_is_global(key->section) && strcmp(key->section, section) != 0 &&
		        strcmp(key->name, name) == 0)
			return key->section;
	}
	return NULL;
}

static void list_names(const char *section, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < sw_config_key_count && len < size; i++)
		if (strcmp(sw_config_keys[i].section, section) == 0)
			len += (size_t)snprintf(
			        out + len, size - len, "%s%s", len ? ", " : "", sw_config_keys[i].name);
}

void sw_config_explain_unknown_key(const char *section, const char *name, char *why)
{
	const struct name_advice *entry = find_advice(section, name);
	const char *alike = find_alike(section, name);
	const char *other;
	char known[SW_WHY_MAX / 2];

	if (entry && entry->advice) {
		snprintf(why, SW_WHY_MAX, "\"%s\" is no key of [%s]: %s", name, section, entry->advice);
		return;
	}
	if (entry) {
		snprintf(why, SW_WHY_MAX,
		        "\"%s\" in [%s] is not in this version of Seawall yet and would have no effect: "
		        "remove it",
		        name, section);
		return;
	}
	other = sw_config_is_global(section) ? find_other_section(section, name) : NULL;
	if (other) {
		snprintf(why, SW_WHY_MAX, "\"%s\" is no key of [%s]: move it to [%s]", name, section, other);
		return;
	}
	if (alike) {
		snprintf(why, SW_WHY_MAX, "unknown key \"%.100s\" in [%s]; did you mean \"%s\"?", name,
		        section, alike);
		return;
	}
	if (sw_config_is_global(section))
		snprintf(known, sizeof(known), "\"seawall --dump-config-table\" lists all keys");
	else
		list_names(section, known, sizeof(known));
	snprintf(why, SW_WHY_MAX, "unknown key \"%.100s\" in [%s]: remove it or use a known one (%s)", name,
	        section, known);
}

bool sw_config_explain_unknown_section(const char *section, char *why)
{
	const char *alike = NULL;

	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (strcmp(section, sections[i]) == 0)
			return false;
		if (is_alike(sections[i], sw_value_distance(section, sections[i])))
			alike = sections[i];
	}
	for (size_t i = 0; i < COUNT_OF(later_sections); i++) {
		if (strcmp(section, later_sections[i]) == 0) {
			snprintf(why, SW_WHY_MAX,
			        "[%s] is not in this version of Seawall yet and would have no effect: remove "
			        "the section",
			        section);
			return true;
		}
	}
	if (strcmp(section, "pgbouncer") == 0)
		snprintf(why, SW_WHY_MAX, "the section is called [seawall] here: rename [pgbouncer]");
	else if (alike)
		snprintf(why, SW_WHY_MAX, "unknown section [%.100s]; did you mean [%s]?", section, alike);
	else
		snprintf(why, SW_WHY_MAX,
		        "unknown section [%.100s]: known are [seawall], [nodes], [databases], [users], "
		        "[routing] and [monitor]",
		        section);
	return true;
}
