/*
 * What holds between the keys of a configuration, and what follows from them: absolute paths, the number of
 * workers, lag classes, the database entry "*". Runs once, when all lines have been read, also where there
 * were faults, so that one run shows everything there is to mend. Control thread.
 *
 * Invariant: where no fault was counted the configuration is complete; nobody behind sw_config_load() checks
 * it again.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/config_load.h"
#include "proxy/net/tls.h"

/* The folder of a file, absolute, without symbolic links in it: it stays right when the process changes its
 * folder. */
static bool find_folder(const char *path, char out[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	char *folder =
	        slash ? sw_mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : sw_mem_strdup(".");
	bool is_found = realpath(folder, out) != NULL;

	sw_mem_free(folder);
	return is_found;
}

/* Puts the folder before a relative path; false where it does not fit. An empty path stays empty. */
static bool make_absolute(const char *folder, char *path, size_t size)
{
	char joined[PATH_MAX + 1024];
	int len;

	if (!path[0] || path[0] == '/')
		return true;
	len = snprintf(joined, sizeof(joined), "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path);
	if (len < 0 || (size_t)len >= size)
		return false;
	memcpy(path, joined, (size_t)len + 1);
	return true;
}

static void finish_file(
        struct sw_config_load *load, const char *folder, const char *key, char *path, size_t size)
{
	if (!make_absolute(folder, path, size))
		sw_config_fault(load, sw_config_key_line(load, "seawall", key),
		        "\"%s\": the path behind \"%s\" is too long: move the file", key, folder);
}

static void finish_tls_files(
        struct sw_config_load *load, const char *folder, const char *side, struct sw_tls_config *tls)
{
	char key[64];

	snprintf(key, sizeof(key), "%s_tls_key_file", side);
	finish_file(load, folder, key, tls->key_file, sizeof(tls->key_file));
	snprintf(key, sizeof(key), "%s_tls_cert_file", side);
	finish_file(load, folder, key, tls->cert_file, sizeof(tls->cert_file));
	snprintf(key, sizeof(key), "%s_tls_ca_file", side);
	finish_file(load, folder, key, tls->ca_file, sizeof(tls->ca_file));
}

static void finish_paths(struct sw_config_load *load)
{
	struct sw_config *config = load->config;
	const char *base = strrchr(load->path, '/');
	char folder[PATH_MAX], socket_path[PATH_MAX];
	int len;

	if (!find_folder(load->path, folder)) {
		sw_config_fault(load, 0,
		        "the folder of the file cannot be found: start Seawall with an absolute path");
		return;
	}
	len = snprintf(config->path, sizeof(config->path), "%s", base ? base + 1 : load->path);
	if ((size_t)len >= sizeof(config->path) || !make_absolute(folder, config->path, sizeof(config->path)))
		sw_config_fault(load, 0, "the file's path has more than %zu bytes: move it",
		        sizeof(config->path) - 1);
	finish_file(load, folder, "auth_file", config->auth_file, sizeof(config->auth_file));
	finish_file(load, folder, "auth_hba_file", config->auth_hba_file, sizeof(config->auth_hba_file));
	finish_file(load, folder, "auth_ident_file", config->auth_ident_file, sizeof(config->auth_ident_file));
	finish_tls_files(load, folder, "client", &config->client_tls);
	finish_tls_files(load, folder, "server", &config->server_tls);
	/* What the listener will have to put in a struct sockaddr_un. */
	len = snprintf(socket_path, sizeof(socket_path), "%s", config->unix_socket_dir);
	if (!make_absolute(folder, socket_path, sizeof(socket_path)) ||
	        strlen(socket_path) + strlen("/.s.PGSQL.65535") >=
	                sizeof(((struct sockaddr_un *)0)->sun_path))
		sw_config_fault(load, sw_config_key_line(load, "seawall", "unix_socket_dir"),
		        "\"unix_socket_dir\": \"%s\" is too long for the name of a socket: use a shorter one",
		        socket_path);
	else
		memcpy(config->unix_socket_dir, socket_path, strlen(socket_path) + 1);
}

static bool is_listen_address(const char *item)
{
	unsigned char address[sizeof(struct in6_addr)];

	return strcmp(item, "*") == 0 || strcmp(item, "localhost") == 0 ||
	       inet_pton(AF_INET, item, address) == 1 || inet_pton(AF_INET6, item, address) == 1;
}

static void check_listening(struct sw_config_load *load)
{
	const struct sw_config *config = load->config;
	const char *cursor = config->listen_addr, *item;
	uint32_t line = sw_config_key_line(load, "seawall", "listen_addr");
	size_t len;

	while (sw_value_next_item(&cursor, &item, &len)) {
		char *address = sw_mem_strndup(item, len);

		if (!is_listen_address(address))
			sw_config_fault(load, line,
			        "\"listen_addr\": \"%s\" is not an address: write IPv4 or IPv6 addresses, "
			        "localhost or *",
			        address);
		sw_mem_free(address);
	}
	if (!config->listen_addr[0] && !config->unix_socket_dir[0])
		sw_config_fault(
		        load, line, "nothing to listen on: set \"listen_addr\" or \"unix_socket_dir\"");
}

static void check_protocols(struct sw_config_load *load, const char *key, const char *protocols)
{
	if (!sw_tls_protocols_are_known(protocols))
		sw_config_fault(load, sw_config_key_line(load, "seawall", key),
		        "\"%s\": \"%s\" names no version: write secure, all, or a list of tlsv1.0, tlsv1.1, tlsv1.2, "
		        "tlsv1.3",
		        key, protocols);
}

/* What the files say is checked where they are read (setup.c). */
static void check_tls(struct sw_config_load *load)
{
	const struct sw_tls_config *client = &load->config->client_tls, *server = &load->config->server_tls;

	if (client->sslmode != SW_SSL_DISABLE && (!client->key_file[0] || !client->cert_file[0]))
		sw_config_fault(load, sw_config_key_line(load, "seawall", "client_tls_sslmode"),
		        "\"client_tls_sslmode\" needs \"client_tls_key_file\" and \"client_tls_cert_file\": name "
		        "them");
	if (client->sslmode >= SW_SSL_VERIFY_CA && !client->ca_file[0])
		sw_config_fault(load, sw_config_key_line(load, "seawall", "client_tls_sslmode"),
		        "\"client_tls_sslmode\" needs \"client_tls_ca_file\" to check clients by: name it");
	if (server->sslmode >= SW_SSL_VERIFY_CA && !server->ca_file[0])
		sw_config_fault(load, sw_config_key_line(load, "seawall", "server_tls_sslmode"),
		        "\"server_tls_sslmode\" needs \"server_tls_ca_file\" to check nodes by: name it");
	check_protocols(load, "client_tls_protocols", client->protocols);
	check_protocols(load, "server_tls_protocols", server->protocols);
	if (!server->key_file[0] != !server->cert_file[0])
		sw_config_fault(load, sw_config_key_line(load, "seawall", "server_tls_cert_file"),
		        "\"server_tls_key_file\" and \"server_tls_cert_file\" go together: name both or none");
}

static void check_login(struct sw_config_load *load)
{
	const struct sw_config *config = load->config;
	uint32_t line = sw_config_key_line(load, "seawall", "auth_file");

	if (config->auth_type == SW_AUTH_HBA && !config->auth_hba_file[0])
		sw_config_fault(load, sw_config_key_line(load, "seawall", "auth_type"),
		        "\"auth_type\" = hba needs \"auth_hba_file\": name it");
	if (config->auth_type == SW_AUTH_CERT &&
	        (!config->client_tls.ca_file[0] || config->client_tls.sslmode == SW_SSL_DISABLE))
		sw_config_fault(load, sw_config_key_line(load, "seawall", "auth_type"),
		        "\"auth_type\" = cert needs \"client_tls_sslmode\" and \"client_tls_ca_file\": set them");
	if (config->auth_type != SW_AUTH_TRUST && config->auth_type != SW_AUTH_PAM && !config->auth_file[0])
		sw_config_fault(load, line,
		        "\"auth_file\" is empty and \"auth_type\" needs it: name the file of users and "
		        "secrets");
	if (!config->monitor_user[0])
		sw_config_fault(load, sw_config_key_line(load, "monitor", "user"),
		        "\"user\" in [monitor] is missing: name the role that the monitor logs in as");
	if (!config->monitor_dbname[0])
		sw_config_fault(load, sw_config_key_line(load, "monitor", "dbname"),
		        "\"dbname\" in [monitor] is empty: name a database, such as \"postgres\"");
}

/* Which parameters a statement has: bit 0 for $1, bit 1 for any other. Quoted texts and names are passed over. */
static unsigned find_parameters(const char *sql)
{
	unsigned found = 0;
	char before = ' ';

	for (const char *at = sql; *at; before = *at++) {
		const char *close = *at == '\'' || *at == '"' ? strchr(at + 1, *at) : NULL;

		if (close)
			at = close;
		else if (*at == '$' && isdigit((unsigned char)at[1]) && !isalnum((unsigned char)before) && before != '_')
			found |= strtoul(at + 1, NULL, 10) == 1 ? 1 : 2;
	}
	return found;
}

static void check_auth_query(struct sw_config_load *load)
{
	const struct sw_config *config = load->config;
	uint32_t line = sw_config_key_line(load, "seawall", "auth_query");
	unsigned parameters = find_parameters(config->auth_query);

	if (!config->auth_query[0]) {
		const char *useless = config->auth_user[0] ? "auth_user" : config->auth_dbname[0] ? "auth_dbname" : NULL;

		if (useless)
			sw_config_fault(load, sw_config_key_line(load, "seawall", useless),
			        "\"%s\" has no effect without \"auth_query\": set that, or remove the line", useless);
		return;
	}
	if (!config->auth_user[0])
		sw_config_fault(load, line, "\"auth_query\" needs \"auth_user\": name the role that runs it");
	if (!(parameters & 1))
		sw_config_fault(load, line, "\"auth_query\" has no $1: write it where the user's name belongs");
	if (parameters & 2)
		sw_config_fault(load, line,
		        "\"auth_query\" has a parameter other than $1: the user's name is all that it is given");
}

static void check_pools(struct sw_config_load *load)
{
	const struct sw_config *config = load->config;

	if (config->min_pool_size > config->default_pool_size)
		sw_config_fault(load, sw_config_key_line(load, "seawall", "min_pool_size"),
		        "\"min_pool_size\" (%u) is more than \"default_pool_size\" (%u): lower it",
		        config->min_pool_size, config->default_pool_size);
	for (uint32_t i = 0; i < config->database_count; i++) {
		const struct sw_database_config *database = &load->databases[i].config;

		if (database->pool_size && config->min_pool_size > database->pool_size)
			sw_config_fault(load, database->line,
			        "\"%s\": \"pool_size\" (%u) is less than \"min_pool_size\" (%u): raise it",
			        database->name, database->pool_size, config->min_pool_size);
	}
}

static void check_monitor(struct sw_config_load *load)
{
	const struct sw_config *config = load->config;
	char least[SW_VALUE_TEXT_MAX], usual[SW_VALUE_TEXT_MAX];

	if (config->min_interval_us > config->interval_us)
		sw_config_fault(load, sw_config_key_line(load, "monitor", "min_interval"),
		        "\"min_interval\" (%s) is more than \"interval\" (%s): lower it",
		        sw_value_format_time(config->min_interval_us, least),
		        sw_value_format_time(config->interval_us, usual));
}

static void check_functions(struct sw_config_load *load)
{
	const struct sw_config *config = load->config;

	for (const char **name = config->primary_functions; *name; name++)
		for (const char **other = config->replica_functions; *other; other++)
			if (strcmp(*name, *other) == 0)
				sw_config_fault(load,
				        sw_config_key_line(load, "routing", "replica_functions"),
				        "\"%s\" is in \"primary_functions\" and in \"replica_functions\": "
				        "remove it from one",
				        *name);
}

static void check_level(struct sw_config_load *load, uint32_t line, const char *name, uint8_t level)
{
	enum sw_consistency least = (enum sw_consistency)load->config->minimum_consistency;

	if (sw_level_is_weaker((enum sw_consistency)level, least))
		sw_config_fault(load, line, "%s: \"consistency\" (%s) is weaker than \"minimum_consistency\" (%s): raise it", name,
		        sw_level_text((enum sw_consistency)level), sw_level_text(least));
}

static void check_levels(struct sw_config_load *load)
{
	const struct sw_config *config = load->config;

	check_level(load, sw_config_key_line(load, "routing", "minimum_consistency"), "[routing]", config->consistency);
	for (uint32_t i = 0; i < config->database_count; i++)
		if (load->databases[i].config.has_consistency)
			check_level(load, load->databases[i].config.line, load->databases[i].config.name,
			        load->databases[i].config.consistency);
	for (uint32_t i = 0; i < config->user_count; i++)
		if (config->users[i].has_consistency)
			check_level(load, config->users[i].line, config->users[i].name, config->users[i].consistency);
}

static void finish_workers(struct sw_config *config)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t cpus;

	if (config->workers != 0)
		return;
	/* What this process may use, which in a container or under taskset is less than the machine has. */
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		count = CPU_COUNT(&cpus);
	if (count < 1)
		count = 1;
	config->workers = count > SW_WORKERS_MAX ? SW_WORKERS_MAX : (uint32_t)count;
	config->is_workers_auto = true;
}

/* The number of a pair of limits; SW_LAG_CLASSES_MAX where there is no room for another pair. */
static uint32_t find_lag_class(struct sw_config *config, int64_t max_lag_us, uint64_t max_lag_bytes)
{
	uint32_t i;

	for (i = 0; i < config->lag_class_count; i++)
		if (config->lag_classes[i].max_lag_us == max_lag_us &&
		        config->lag_classes[i].max_lag_bytes == max_lag_bytes)
			return i;
	if (i < SW_LAG_CLASSES_MAX) {
		config->lag_classes[i].max_lag_us = max_lag_us;
		config->lag_classes[i].max_lag_bytes = max_lag_bytes;
		config->lag_class_count++;
	}
	return i;
}

static void finish_databases(struct sw_config_load *load)
{
	struct sw_config *config = load->config;
	uint32_t count = config->database_count;

	(void)find_lag_class(config, config->max_lag_us, config->max_lag_bytes);
	config->databases = sw_mem_zalloc((count ? count : 1) * sizeof(*config->databases));
	for (uint32_t i = 0; i < count; i++) {
		const struct sw_database_line *line = &load->databases[i];
		uint32_t lag_class =
		        find_lag_class(config, line->max_lag_us ? line->max_lag_us : config->max_lag_us,
		                line->max_lag_bytes ? line->max_lag_bytes : config->max_lag_bytes);

		config->databases[i] = line->config;
		config->databases[i].lag_class = (uint8_t)lag_class;
		if (lag_class == SW_LAG_CLASSES_MAX)
			sw_config_fault(load, line->config.line,
			        "\"%s\" has one pair of \"max_lag\" and \"max_lag_bytes\" too many: use at "
			        "most %d different ones",
			        line->config.name, SW_LAG_CLASSES_MAX);
	}
	if (count == 0) {
		strcpy(config->databases[0].name, "*");
		config->database_count = 1;
	}
}

void sw_config_finish(struct sw_config_load *load)
{
	if (load->config->node_count == 0)
		sw_config_fault(load, load->nodes_line ? load->nodes_line : load->last_line,
		        load->nodes_line ? "[nodes] is empty: write a line \"pg1 = host=ADDRESS port=5432\" "
		                           "for each server"
		                         : "[nodes] is missing: add the section, with a line \"pg1 = "
		                           "host=ADDRESS port=5432\" "
		                           "for each server");
	finish_paths(load);
	check_listening(load);
	check_login(load);
	check_auth_query(load);
	check_tls(load);
	check_pools(load);
	check_monitor(load);
	check_functions(load);
	check_levels(load);
	finish_workers(load->config);
	finish_databases(load);
}
