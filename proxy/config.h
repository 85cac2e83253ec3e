/*
 * The configuration: an ini file (inih) read into one immutable struct, described by one table
 * (config_table.c) from which --check, SHOW CONFIG, conf/seawall.conf and docs/configuration.md are checked.
 * Built by the control thread; a reload builds a new one and mails it to the workers. Immutable after
 * loading; counted (atomic), any thread may unref.
 */
#ifndef SW_PROXY_CONFIG_H
#define SW_PROXY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/base/err.h"
#include "proxy/base/limits.h"
#include "router/level.h"

enum sw_auth_type { SW_AUTH_TRUST, SW_AUTH_PLAIN, SW_AUTH_MD5, SW_AUTH_SCRAM, SW_AUTH_CERT, SW_AUTH_HBA, SW_AUTH_PAM };
/* libpq's sslmode, for either side. */
enum sw_sslmode {
	SW_SSL_DISABLE,
	SW_SSL_ALLOW,
	SW_SSL_PREFER,
	SW_SSL_REQUIRE,
	SW_SSL_VERIFY_CA,
	SW_SSL_VERIFY_FULL,
};
enum sw_pool_mode { SW_POOL_TRANSACTION, SW_POOL_SESSION };
enum sw_fallback { SW_FALLBACK_PRIMARY, SW_FALLBACK_STALE, SW_FALLBACK_ERROR };

/* The TLS of one side. Paths are absolute, "" = none. */
struct sw_tls_config {
	uint8_t sslmode; /* enum sw_sslmode */
	char key_file[512], cert_file[512], ca_file[512];
	char protocols[64], ciphers[512], tls13_ciphers[256];
};

struct sw_node_config {
	char name[SW_NAME_MAX];
	char host[256]; /* name or address; an absolute path is a Unix socket directory */
	uint16_t port;
	uint32_t weight; /* 0 to 1000; 0 = serves no reads */
	uint32_t line;   /* of the file, for messages */
};

/* Limits on lag that some database uses; databases refer to them by number. */
struct sw_lag_class {
	int64_t max_lag_us;
	uint64_t max_lag_bytes;
};

struct sw_database_config {
	char name[SW_NAME_MAX];   /* as clients say it; "*" stands for every other one */
	char dbname[SW_NAME_MAX]; /* on the server; "" = the same name */
	uint32_t pool_size;       /* 0 = default_pool_size */
	uint8_t consistency;      /* enum sw_consistency */
	uint8_t pool_mode;        /* enum sw_pool_mode */
	uint8_t lag_class;        /* index into sw_config.lag_classes */
	uint32_t line;            /* of the file, for messages */
	bool has_consistency, has_pool_mode;
};

struct sw_user_config {
	char name[SW_NAME_MAX];
	uint8_t consistency, pool_mode;
	bool has_consistency, has_pool_mode, hints, has_hints;
	uint32_t line;
};

struct sw_config {
	/* [seawall] */
	char listen_addr[256]; /* list: IPv4, IPv6, "localhost" (both), "*" (every address); "" = no TCP */
	uint16_t listen_port;
	uint32_t listen_backlog;
	bool tcp_keepalive;
	char unix_socket_dir[108]; /* absolute, short enough for the socket's name; "" = none */
	uint32_t workers;          /* 0 in the file becomes the number of CPUs that the process may use */
	bool is_workers_auto;      /* it was 0 in the file */
	char admin_users[256], stats_users[256]; /* comma separated */
	uint8_t auth_type;                       /* enum sw_auth_type */
	char auth_file[512];                     /* absolute, whatever the file says; "" = none */
	char auth_hba_file[512], auth_ident_file[512]; /* the same */
	char auth_query[1024]; /* "" = none; else auth_user is set, and $1 is its only parameter */
	char auth_user[SW_NAME_MAX], auth_dbname[SW_NAME_MAX];
	int64_t auth_query_ttl_us;
	int64_t auth_failure_delay_us; /* 0 = none */
	struct sw_tls_config client_tls, server_tls;
	uint8_t pool_mode;
	uint32_t default_pool_size, min_pool_size, max_client_conn, max_db_connections, max_user_connections;
	/* 0 = never, in the first five */
	int64_t query_wait_timeout_us, client_idle_timeout_us, client_login_timeout_us;
	int64_t idle_transaction_timeout_us, server_idle_timeout_us;
	int64_t server_lifetime_us, server_connect_timeout_us, server_login_retry_us;
	int64_t server_check_delay_us; /* 0 = before every use */
	uint32_t reserve_pool_size;    /* 0 = none */
	int64_t reserve_pool_timeout_us;
	uint32_t max_prepared_statements;
	char ignore_startup_parameters[512];
	bool log_connections, log_disconnections;
	/* [routing] */
	uint8_t consistency, fallback;
	uint8_t minimum_consistency; /* nobody's level promises less */
	bool hints;
	uint32_t max_primary_reads; /* 0 = no limit */
	int64_t max_lag_us;
	uint64_t max_lag_bytes;
	double lag_recover; /* 0.0 to 1.0 */
	int64_t lag_dwell_us, wait_for_replica_us, wait_for_primary_us;
	bool sticky, dry_run;
	const char **primary_functions, **replica_functions; /* NULL-ended, lower case, never NULL */
	/* [monitor] */
	char monitor_user[SW_NAME_MAX], monitor_password[256], monitor_dbname[SW_NAME_MAX];
	int64_t interval_us, min_interval_us, monitor_connect_timeout_us, monitor_query_timeout_us;
	uint32_t down_after;
	int64_t catalog_refresh_us;
	/* [nodes], [databases], [users] */
	struct sw_node_config nodes[SW_NODES_MAX];
	uint32_t node_count;
	struct sw_database_config *databases;
	uint32_t database_count;
	struct sw_user_config *users;
	uint32_t user_count;
	struct sw_lag_class lag_classes[SW_LAG_CLASSES_MAX];
	uint32_t lag_class_count; /* class 0 is [routing]'s own */
	/* private */
	char path[512]; /* absolute */
	_Atomic int refs;
};

/*
 * Reads and checks a file. Every fault is written to faults as "file:line: what, and what to do", all of
 * them, not only the first. NULL where there was any.
 */
struct sw_config *sw_config_load(const char *path, FILE *faults);
struct sw_config *sw_config_ref(struct sw_config *config);
void sw_config_unref(struct sw_config *config);

/*
 * Whether a running Seawall may go from old to new: writes to faults one line a key that needs a restart
 * ("listen_port changed from 6432 to 6433: restart Seawall to apply it"). SW_ERR_CONFIG where there is one.
 */
enum sw_err sw_config_check_reload(
        const struct sw_config *old, const struct sw_config *new, FILE *faults) SW_MUST_USE;

/* The entry for a database as a client names it, or the "*" entry, or NULL. */
const struct sw_database_config *sw_config_database(const struct sw_config *config, const char *name);
const struct sw_user_config *sw_config_user(const struct sw_config *config, const char *name);
/*
 * What holds for a session of this user on this database: the user's entry wins over the database's, which
 * wins over the global key. Either entry may be NULL.
 */
enum sw_consistency sw_config_level(const struct sw_config *config, const struct sw_database_config *database,
        const struct sw_user_config *user);
/* Does a session of this user honour hints? The entry may be NULL. */
bool sw_config_hints(const struct sw_config *config, const struct sw_user_config *user);
enum sw_pool_mode sw_config_pool_mode(const struct sw_config *config,
        const struct sw_database_config *database, const struct sw_user_config *user);
/* Server connections for each (node, database, user). */
uint32_t sw_config_pool_size(const struct sw_config *config, const struct sw_database_config *database);

/* Is name an element of a comma separated list (spaces around elements are ignored)? */
bool sw_config_list_has(const char *list, const char *name);

/* One row of SHOW CONFIG. */
struct sw_config_row {
	const char *section, *key;
	char value[1024]; /* secrets as "********" */
	const char *default_text;
	bool is_changeable; /* by a reload */
};
/* Calls on_row for every key of [seawall], [routing] and [monitor], in the table's order. */
void sw_config_each(const struct sw_config *config,
        void (*on_row)(const struct sw_config_row *row, void *arg), void *arg);

/*
 * Writes the table, one key a line, tab separated: section, key, default, range, unit, reloadable (yes or
 * no), help. A default in parentheses is a remark ("(required)"), not a text that may be written in the file.
 */
void sw_config_dump_table(FILE *out);

#endif
