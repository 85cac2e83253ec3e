/*
 * The table of configuration keys and what can be done with one row: read a text into its field, write the
 * field as a text, name the range. Constant data and pure functions (a list of functions is allocated); any
 * thread.
 *
 * Invariant: each default, read and formatted again, gives the same text; what sw_config_key_set() has
 * accepted is in the row's range. Checks that need two keys are in config_check.c; names that are no keys are
 * in config_unknown.c.
 */
#include "proxy/config_table.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proxy/base/mem.h"

static const struct sw_key_choice auth_types[] = {{"trust", SW_AUTH_TRUST}, {"plain", SW_AUTH_PLAIN},
        {"md5", SW_AUTH_MD5}, {"scram-sha-256", SW_AUTH_SCRAM}, {"cert", SW_AUTH_CERT},
        {"hba", SW_AUTH_HBA}, {"pam", SW_AUTH_PAM}, {NULL, 0}};
static const struct sw_key_choice sslmodes[] = {{"disable", SW_SSL_DISABLE}, {"allow", SW_SSL_ALLOW},
        {"prefer", SW_SSL_PREFER}, {"require", SW_SSL_REQUIRE}, {"verify-ca", SW_SSL_VERIFY_CA},
        {"verify-full", SW_SSL_VERIFY_FULL}, {NULL, 0}};
static const struct sw_key_choice pool_modes[] = {
        {"transaction", SW_POOL_TRANSACTION}, {"session", SW_POOL_SESSION}, {NULL, 0}};
static const struct sw_key_choice levels[] = {{"off", SW_LEVEL_OFF}, {"eventual", SW_LEVEL_EVENTUAL},
        {"session", SW_LEVEL_SESSION}, {"strong", SW_LEVEL_STRONG}, {NULL, 0}};
/* Not off: nothing that a session may choose promises less than the primary's answer. */
static const struct sw_key_choice minimum_levels[] = {{"eventual", SW_LEVEL_EVENTUAL},
        {"session", SW_LEVEL_SESSION}, {"strong", SW_LEVEL_STRONG}, {NULL, 0}};
static const struct sw_key_choice fallbacks[] = {{"primary", SW_FALLBACK_PRIMARY},
        {"stale", SW_FALLBACK_STALE}, {"error", SW_FALLBACK_ERROR}, {NULL, 0}};

#define AT(type, field)  .offset = offsetof(struct type, field), .size = sizeof(((struct type *)0)->field)
#define HAS(type, field) .has_offset = offsetof(struct type, field)
#define SEAWALL          .section = "seawall"
#define ROUTING          .section = "routing"
#define MONITOR          .section = "monitor"
#define NODES            .section = "nodes"
#define DATABASES        .section = "databases"
#define USERS            .section = "users"
#define RELOAD           .is_changeable = true
#define RANGE(from, to)  .min = (from), .max = (to)

#define MS SW_US_PER_MS
#define S  SW_US_PER_S
#define H  SW_US_PER_H
#define D  SW_US_PER_D
#define KB INT64_C(1024)
#define TB (INT64_C(1) << 40)

/* Connections of one kind that a process can sensibly hold, and its pools. */
#define CLIENTS_MAX 1000000
#define POOL_MAX    100000

/* One row a key: the formatter would spread it over a dozen lines. */
/* clang-format off */
const struct sw_config_key sw_config_keys[] = {
	/* where clients connect */
	{SEAWALL, .name = "listen_addr", .type = SW_KEY_LIST, AT(sw_config, listen_addr),
	 .default_text = "127.0.0.1",
	 .help = "addresses to listen on: IPv4, IPv6, localhost, or * for all; empty for no TCP"},
	{SEAWALL, .name = "listen_port", .type = SW_KEY_PORT, AT(sw_config, listen_port),
	 .default_text = "6432", RANGE(1, 65535),
	 .help = "port to listen on, also in the name of the Unix socket"},
	{SEAWALL, .name = "listen_backlog", .type = SW_KEY_NUMBER, AT(sw_config, listen_backlog),
	 .default_text = "128", RANGE(1, 65535),
	 .help = "connections that the kernel keeps until they are accepted; its own limit may be lower"},
	{SEAWALL, .name = "unix_socket_dir", .type = SW_KEY_TEXT, AT(sw_config, unix_socket_dir),
	 .default_text = "",
	 .help = "folder for a Unix socket .s.PGSQL.<listen_port>; empty for none"},
	{SEAWALL, .name = "tcp_keepalive", .type = SW_KEY_BOOL, AT(sw_config, tcp_keepalive),
	 .default_text = "on", RELOAD,
	 .help = "TCP keepalive on new connections, with the system's intervals"},
	{SEAWALL, .name = "workers", .type = SW_KEY_NUMBER, AT(sw_config, workers),
	 .default_text = "0", RANGE(0, SW_WORKERS_MAX),
	 .help = "threads that serve clients; 0 for one for each CPU that the process may use"},
	/* who may connect */
	{SEAWALL, .name = "auth_type", .type = SW_KEY_CHOICE, AT(sw_config, auth_type),
	 .default_text = "scram-sha-256", .choices = auth_types, RELOAD,
	 .help = "how clients prove who they are"},
	{SEAWALL, .name = "auth_file", .type = SW_KEY_TEXT, AT(sw_config, auth_file),
	 .default_text = "users.txt", RELOAD,
	 .help = "file of users and their secrets; a relative name starts at this file's folder"},
	{SEAWALL, .name = "auth_hba_file", .type = SW_KEY_TEXT, AT(sw_config, auth_hba_file),
	 .default_text = "", RELOAD,
	 .help = "with auth_type hba: who may connect from where and how, in the format of pg_hba.conf"},
	{SEAWALL, .name = "auth_ident_file", .type = SW_KEY_TEXT, AT(sw_config, auth_ident_file),
	 .default_text = "", RELOAD,
	 .help = "names of certificates and system users and whom they may be, in the format of pg_ident.conf"},
	{SEAWALL, .name = "auth_query", .type = SW_KEY_TEXT, AT(sw_config, auth_query),
	 .default_text = "", RELOAD,
	 .help = "statement that tells the name and the secret of user $1, for users who are not in auth_file"},
	{SEAWALL, .name = "auth_user", .type = SW_KEY_TEXT, AT(sw_config, auth_user),
	 .default_text = "", RELOAD,
	 .help = "role that runs auth_query; its password is in auth_file"},
	{SEAWALL, .name = "auth_dbname", .type = SW_KEY_TEXT, AT(sw_config, auth_dbname),
	 .default_text = "", RELOAD,
	 .help = "database in which auth_query runs; empty for dbname of [monitor]"},
	{SEAWALL, .name = "auth_query_ttl", .type = SW_KEY_TIME, AT(sw_config, auth_query_ttl_us),
	 .default_text = "1min", RANGE(0, D), RELOAD,
	 .help = "how long an answer of auth_query is good for logins; 0 for a question at every login"},
	{SEAWALL, .name = "auth_failure_delay", .type = SW_KEY_TIME, AT(sw_config, auth_failure_delay_us),
	 .default_text = "500ms", RANGE(0, 60 * S), RELOAD,
	 .help = "how long a client that has not proven who it is waits for its refusal; 0 for no delay"},
	{SEAWALL, .name = "admin_users", .type = SW_KEY_LIST, AT(sw_config, admin_users),
	 .default_text = "postgres", RELOAD,
	 .help = "users who may do everything on the console"},
	{SEAWALL, .name = "stats_users", .type = SW_KEY_LIST, AT(sw_config, stats_users),
	 .default_text = "", RELOAD,
	 .help = "users who may only look (SHOW) on the console"},
	{SEAWALL, .name = "ignore_startup_parameters", .type = SW_KEY_LIST,
	 AT(sw_config, ignore_startup_parameters), .default_text = "", RELOAD,
	 .help = "start-up parameters of clients to ignore"},
	{SEAWALL, .name = "client_login_timeout", .type = SW_KEY_TIMEOUT,
	 AT(sw_config, client_login_timeout_us), .default_text = "1min", RANGE(0, D), RELOAD,
	 .help = "a client that has not logged in after this is disconnected; 0 for never"},
	{SEAWALL, .name = "client_idle_timeout", .type = SW_KEY_TIMEOUT,
	 AT(sw_config, client_idle_timeout_us), .default_text = "0", RANGE(0, 365 * D), RELOAD,
	 .help = "a client idle for this long outside a transaction is disconnected; 0 for never"},
	{SEAWALL, .name = "idle_transaction_timeout", .type = SW_KEY_TIMEOUT,
	 AT(sw_config, idle_transaction_timeout_us), .default_text = "0", RANGE(0, 365 * D), RELOAD,
	 .help = "a client idle for this long inside a transaction is disconnected; 0 for never"},
	{SEAWALL, .name = "max_client_conn", .type = SW_KEY_NUMBER, AT(sw_config, max_client_conn),
	 .default_text = "1000", RANGE(1, CLIENTS_MAX), RELOAD,
	 .help = "clients at a time; more are refused"},
	{SEAWALL, .name = "max_user_connections", .type = SW_KEY_NUMBER, AT(sw_config, max_user_connections),
	 .default_text = "0", RANGE(0, POOL_MAX), RELOAD,
	 .help = "server connections of one user, over all nodes and databases; 0 for no limit"},
	{SEAWALL, .name = "max_db_connections", .type = SW_KEY_NUMBER, AT(sw_config, max_db_connections),
	 .default_text = "0", RANGE(0, POOL_MAX), RELOAD,
	 .help = "server connections of one database, over all nodes and users; 0 for no limit"},
	/* the pool */
	{SEAWALL, .name = "pool_mode", .type = SW_KEY_CHOICE, AT(sw_config, pool_mode),
	 .default_text = "transaction", .choices = pool_modes, RELOAD,
	 .help = "what a client keeps a server connection for; in session mode all runs on the primary"},
	{SEAWALL, .name = "default_pool_size", .type = SW_KEY_NUMBER, AT(sw_config, default_pool_size),
	 .default_text = "20", RANGE(1, POOL_MAX), RELOAD,
	 .help = "most server connections of one user to one database on one node"},
	{SEAWALL, .name = "min_pool_size", .type = SW_KEY_NUMBER, AT(sw_config, min_pool_size),
	 .default_text = "0", RANGE(0, POOL_MAX), RELOAD,
	 .help = "of these, how many are kept open while nobody uses them"},
	{SEAWALL, .name = "reserve_pool_size", .type = SW_KEY_NUMBER, AT(sw_config, reserve_pool_size),
	 .default_text = "0", RANGE(0, POOL_MAX), RELOAD,
	 .help = "more of them for a pool whose clients have waited for reserve_pool_timeout; 0 for none"},
	{SEAWALL, .name = "reserve_pool_timeout", .type = SW_KEY_TIMEOUT, AT(sw_config, reserve_pool_timeout_us),
	 .default_text = "5s", RANGE(0, H), RELOAD,
	 .help = "how long the first client in a pool's queue waits before the reserve is used"},
	{SEAWALL, .name = "max_prepared_statements", .type = SW_KEY_NUMBER,
	 AT(sw_config, max_prepared_statements), .default_text = "1000", RANGE(1, POOL_MAX), RELOAD,
	 .help = "prepared statements kept on each server connection"},
	{SEAWALL, .name = "query_wait_timeout", .type = SW_KEY_TIMEOUT, AT(sw_config, query_wait_timeout_us),
	 .default_text = "2min", RANGE(0, D), RELOAD,
	 .help = "a statement that has waited this long for a server connection fails; 0 for never"},
	{SEAWALL, .name = "server_lifetime", .type = SW_KEY_TIMEOUT, AT(sw_config, server_lifetime_us),
	 .default_text = "1h", RANGE(S, 365 * D), RELOAD,
	 .help = "a server connection older than this is closed when it is free"},
	{SEAWALL, .name = "server_idle_timeout", .type = SW_KEY_TIMEOUT,
	 AT(sw_config, server_idle_timeout_us), .default_text = "10min", RANGE(0, 365 * D), RELOAD,
	 .help = "a server connection unused for this long is closed; 0 for never"},
	{SEAWALL, .name = "server_check_delay", .type = SW_KEY_TIMEOUT, AT(sw_config, server_check_delay_us),
	 .default_text = "30s", RANGE(0, D), RELOAD,
	 .help = "a server connection unused for longer is asked for a sign of life before a client gets it"},
	{SEAWALL, .name = "server_connect_timeout", .type = SW_KEY_TIMEOUT,
	 AT(sw_config, server_connect_timeout_us), .default_text = "15s", RANGE(10 * MS, H), RELOAD,
	 .help = "time for a server connection to be opened and logged in"},
	{SEAWALL, .name = "server_login_retry", .type = SW_KEY_TIMEOUT, AT(sw_config, server_login_retry_us),
	 .default_text = "15s", RANGE(0, H), RELOAD,
	 .help = "pause after a failed server connection before the next attempt at a replica, or at a node that is down"},
	/* TLS */
	{SEAWALL, .name = "client_tls_sslmode", .type = SW_KEY_CHOICE, AT(sw_config, client_tls.sslmode),
	 .default_text = "disable", .choices = sslmodes, RELOAD,
	 .help = "TLS with clients: disable, or offer it (allow, prefer), or insist on it (require), and on a certificate of theirs (verify-ca, verify-full)"},
	{SEAWALL, .name = "client_tls_key_file", .type = SW_KEY_TEXT, AT(sw_config, client_tls.key_file),
	 .default_text = "", RELOAD,
	 .help = "file of Seawall's private key, PEM"},
	{SEAWALL, .name = "client_tls_cert_file", .type = SW_KEY_TEXT, AT(sw_config, client_tls.cert_file),
	 .default_text = "", RELOAD,
	 .help = "file of Seawall's certificate and those between it and the root, PEM"},
	{SEAWALL, .name = "client_tls_ca_file", .type = SW_KEY_TEXT, AT(sw_config, client_tls.ca_file),
	 .default_text = "", RELOAD,
	 .help = "file of the certificates that may have signed those of clients, PEM"},
	{SEAWALL, .name = "client_tls_protocols", .type = SW_KEY_LIST, AT(sw_config, client_tls.protocols),
	 .default_text = "secure", RELOAD,
	 .help = "versions: secure (tlsv1.2, tlsv1.3), all, or a list of tlsv1.0 to tlsv1.3"},
	{SEAWALL, .name = "client_tls_ciphers", .type = SW_KEY_TEXT, AT(sw_config, client_tls.ciphers),
	 .default_text = "", RELOAD,
	 .help = "ciphers of TLS 1.2 and before, in OpenSSL's words; empty for OpenSSL's choice"},
	{SEAWALL, .name = "client_tls13_ciphers", .type = SW_KEY_TEXT, AT(sw_config, client_tls.tls13_ciphers),
	 .default_text = "", RELOAD,
	 .help = "ciphers of TLS 1.3, separated by colons; empty for OpenSSL's choice"},
	{SEAWALL, .name = "server_tls_sslmode", .type = SW_KEY_CHOICE, AT(sw_config, server_tls.sslmode),
	 .default_text = "prefer", .choices = sslmodes, RELOAD,
	 .help = "TLS with nodes, as libpq's sslmode; verify-full also compares the certificate with the host of [nodes]"},
	{SEAWALL, .name = "server_tls_key_file", .type = SW_KEY_TEXT, AT(sw_config, server_tls.key_file),
	 .default_text = "", RELOAD,
	 .help = "file of the private key that Seawall shows nodes who it is by, PEM"},
	{SEAWALL, .name = "server_tls_cert_file", .type = SW_KEY_TEXT, AT(sw_config, server_tls.cert_file),
	 .default_text = "", RELOAD,
	 .help = "file of the certificate for it, PEM"},
	{SEAWALL, .name = "server_tls_ca_file", .type = SW_KEY_TEXT, AT(sw_config, server_tls.ca_file),
	 .default_text = "", RELOAD,
	 .help = "file of the certificates that may have signed those of nodes, PEM"},
	{SEAWALL, .name = "server_tls_protocols", .type = SW_KEY_LIST, AT(sw_config, server_tls.protocols),
	 .default_text = "secure", RELOAD,
	 .help = "versions: secure (tlsv1.2, tlsv1.3), all, or a list of tlsv1.0 to tlsv1.3"},
	{SEAWALL, .name = "server_tls_ciphers", .type = SW_KEY_TEXT, AT(sw_config, server_tls.ciphers),
	 .default_text = "", RELOAD,
	 .help = "ciphers of TLS 1.2 and before, in OpenSSL's words; empty for OpenSSL's choice"},
	{SEAWALL, .name = "server_tls13_ciphers", .type = SW_KEY_TEXT, AT(sw_config, server_tls.tls13_ciphers),
	 .default_text = "", RELOAD,
	 .help = "ciphers of TLS 1.3, separated by colons; empty for OpenSSL's choice"},
	/* the log */
	{SEAWALL, .name = "log_connections", .type = SW_KEY_BOOL, AT(sw_config, log_connections),
	 .default_text = "on", RELOAD,
	 .help = "a line in the log for every client that has logged in"},
	{SEAWALL, .name = "log_disconnections", .type = SW_KEY_BOOL, AT(sw_config, log_disconnections),
	 .default_text = "on", RELOAD,
	 .help = "a line in the log for every client that has gone, with the reason"},

	{ROUTING, .name = "consistency", .type = SW_KEY_CHOICE, AT(sw_config, consistency),
	 .default_text = "session", .choices = levels, RELOAD,
	 .help = "what reads on replicas promise"},
	{ROUTING, .name = "minimum_consistency", .type = SW_KEY_CHOICE, AT(sw_config, minimum_consistency),
	 .default_text = "eventual", .choices = minimum_levels, RELOAD,
	 .help = "the weakest level that a session or a hint may choose"},
	{ROUTING, .name = "hints", .type = SW_KEY_BOOL, AT(sw_config, hints), .default_text = "off", RELOAD,
	 .help = "a leading comment that begins with seawall: steers its statement"},
	{ROUTING, .name = "max_lag", .type = SW_KEY_TIME, AT(sw_config, max_lag_us),
	 .default_text = "10s", RANGE(MS, 7 * D), RELOAD,
	 .help = "a replica further behind than this serves nothing"},
	{ROUTING, .name = "max_lag_bytes", .type = SW_KEY_BYTES, AT(sw_config, max_lag_bytes),
	 .default_text = "64MB", RANGE(KB, TB), RELOAD,
	 .help = "a replica with more WAL than this to replay serves nothing"},
	{ROUTING, .name = "lag_recover", .type = SW_KEY_RATIO, AT(sw_config, lag_recover),
	 .default_text = "0.5", RANGE(0, 1), RELOAD,
	 .help = "such a replica comes back below this share of both limits"},
	{ROUTING, .name = "lag_dwell", .type = SW_KEY_TIME, AT(sw_config, lag_dwell_us),
	 .default_text = "1s", RANGE(0, H), RELOAD,
	 .help = "and after it has stayed there for this long"},
	{ROUTING, .name = "wait_for_replica", .type = SW_KEY_TIME, AT(sw_config, wait_for_replica_us),
	 .default_text = "20ms", RANGE(0, 60 * S), RELOAD,
	 .help = "longest wait of a read for a replica that still lacks what its session has seen"},
	{ROUTING, .name = "wait_for_primary", .type = SW_KEY_TIME, AT(sw_config, wait_for_primary_us),
	 .default_text = "1s", RANGE(0, 60 * S), RELOAD,
	 .help = "longest wait of a statement until the primary shows what its session has seen on a replica"},
	{ROUTING, .name = "fallback", .type = SW_KEY_CHOICE, AT(sw_config, fallback),
	 .default_text = "primary", .choices = fallbacks, RELOAD,
	 .help = "what becomes of a read that no replica may serve"},
	{ROUTING, .name = "max_primary_reads", .type = SW_KEY_NUMBER, AT(sw_config, max_primary_reads),
	 .default_text = "0", RANGE(0, 100000), RELOAD,
	 .help = "reads that the primary answers in place of replicas at a time; 0: no limit"},
	{ROUTING, .name = "sticky", .type = SW_KEY_BOOL, AT(sw_config, sticky), .default_text = "on", RELOAD,
	 .help = "a session keeps reading from the replica that it has used last while that one qualifies"},
	{ROUTING, .name = "dry_run", .type = SW_KEY_BOOL, AT(sw_config, dry_run), .default_text = "off", RELOAD,
	 .help = "everything runs on the primary; what replicas would have served is counted"},
	{ROUTING, .name = "primary_functions", .type = SW_KEY_FUNCTIONS, AT(sw_config, primary_functions),
	 .default_text = "", RELOAD,
	 .help = "functions whose calls always go to the primary, whatever the catalog says"},
	{ROUTING, .name = "replica_functions", .type = SW_KEY_FUNCTIONS, AT(sw_config, replica_functions),
	 .default_text = "", RELOAD,
	 .help = "functions whose calls may go to a replica, whatever the catalog says"},

	{MONITOR, .name = "user", .type = SW_KEY_TEXT, AT(sw_config, monitor_user),
	 .absent = "(required)", RELOAD,
	 .help = "role of the monitor's own connections; it needs no rights on tables"},
	{MONITOR, .name = "password", .type = SW_KEY_TEXT, AT(sw_config, monitor_password),
	 .default_text = "", .is_secret = true, RELOAD,
	 .help = "its password"},
	{MONITOR, .name = "dbname", .type = SW_KEY_TEXT, AT(sw_config, monitor_dbname),
	 .default_text = "postgres", RELOAD,
	 .help = "database that it connects to for sampling"},
	{MONITOR, .name = "interval", .type = SW_KEY_TIME, AT(sw_config, interval_us),
	 .default_text = "100ms", RANGE(MS, 60 * S), RELOAD,
	 .help = "between two samples of a node while no session waits for one"},
	{MONITOR, .name = "min_interval", .type = SW_KEY_TIME, AT(sw_config, min_interval_us),
	 .default_text = "2ms", RANGE(MS, 60 * S), RELOAD,
	 .help = "between two samples of a node while sessions wait; at most interval"},
	{MONITOR, .name = "connect_timeout", .type = SW_KEY_TIME, AT(sw_config, monitor_connect_timeout_us),
	 .default_text = "3s", RANGE(10 * MS, 60 * S), RELOAD,
	 .help = "time for the monitor to connect to a node"},
	{MONITOR, .name = "query_timeout", .type = SW_KEY_TIME, AT(sw_config, monitor_query_timeout_us),
	 .default_text = "1s", RANGE(10 * MS, 60 * S), RELOAD,
	 .help = "time for a node to answer a sample"},
	{MONITOR, .name = "down_after", .type = SW_KEY_NUMBER, AT(sw_config, down_after),
	 .default_text = "3", RANGE(1, 100), RELOAD,
	 .help = "failures in a row before a node counts as down"},
	{MONITOR, .name = "catalog_refresh", .type = SW_KEY_TIME, AT(sw_config, catalog_refresh_us),
	 .default_text = "1min", RANGE(S, D), RELOAD,
	 .help = "between two looks at the functions and relations of a database in use"},

	{NODES, .name = "host", .type = SW_KEY_TEXT, AT(sw_node_config, host), .absent = "(required)",
	 .help = "name or address; an absolute path is the folder of a Unix socket"},
	{NODES, .name = "port", .type = SW_KEY_PORT, AT(sw_node_config, port),
	 .default_text = "5432", RANGE(1, 65535),
	 .help = "port of the server"},
	{NODES, .name = "weight", .type = SW_KEY_NUMBER, AT(sw_node_config, weight),
	 .default_text = "1", RANGE(0, 1000), RELOAD,
	 .help = "share of the reads, relative to the other replicas; 0 for none"},

	{DATABASES, .name = "dbname", .type = SW_KEY_TEXT, AT(sw_database_line, config.dbname),
	 .absent = "(the same name)", RELOAD,
	 .help = "name of the database on the servers"},
	{DATABASES, .name = "pool_size", .type = SW_KEY_NUMBER, AT(sw_database_line, config.pool_size),
	 .absent = "(default_pool_size)", RANGE(1, POOL_MAX), RELOAD,
	 .help = "server connections for each (node, user) of this database"},
	{DATABASES, .name = "pool_mode", .type = SW_KEY_CHOICE, AT(sw_database_line, config.pool_mode),
	 HAS(sw_database_line, config.has_pool_mode),
	 .absent = "(as in [seawall])", .choices = pool_modes, RELOAD,
	 .help = "pool mode of this database"},
	{DATABASES, .name = "consistency", .type = SW_KEY_CHOICE, AT(sw_database_line, config.consistency),
	 HAS(sw_database_line, config.has_consistency),
	 .absent = "(as in [routing])", .choices = levels, RELOAD,
	 .help = "level of this database"},
	{DATABASES, .name = "max_lag", .type = SW_KEY_TIME, AT(sw_database_line, max_lag_us),
	 .absent = "(as in [routing])", RANGE(MS, 7 * D), RELOAD,
	 .help = "limit on the lag in time of this database"},
	{DATABASES, .name = "max_lag_bytes", .type = SW_KEY_BYTES, AT(sw_database_line, max_lag_bytes),
	 .absent = "(as in [routing])", RANGE(KB, TB), RELOAD,
	 .help = "limit on the lag in bytes of this database"},

	{USERS, .name = "pool_mode", .type = SW_KEY_CHOICE, AT(sw_user_config, pool_mode),
	 HAS(sw_user_config, has_pool_mode),
	 .absent = "(as for the database)", .choices = pool_modes, RELOAD,
	 .help = "pool mode of this user, whatever the database"},
	{USERS, .name = "consistency", .type = SW_KEY_CHOICE, AT(sw_user_config, consistency),
	 HAS(sw_user_config, has_consistency),
	 .absent = "(as for the database)", .choices = levels, RELOAD,
	 .help = "level of this user, whatever the database"},
	{USERS, .name = "hints", .type = SW_KEY_BOOL, AT(sw_user_config, hints),
	 HAS(sw_user_config, has_hints),
	 .absent = "(as in [routing])", RELOAD,
	 .help = "whether hints of this user count"},
};
/* clang-format on */

const uint32_t sw_config_key_count = sizeof(sw_config_keys) / sizeof(sw_config_keys[0]);

_Static_assert(
        sizeof(sw_config_keys) / sizeof(sw_config_keys[0]) <= SW_CONFIG_KEYS_MAX, "raise SW_CONFIG_KEYS_MAX");

const struct sw_config_key *sw_config_key_find(const char *section, const char *name)
{
	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];

		if (strcmp(key->section, section) == 0 && strcmp(key->name, name) == 0)
			return key;
	}
	return NULL;
}

bool sw_config_is_global(const char *section)
{
	return strcmp(section, "seawall") == 0 || strcmp(section, "routing") == 0 ||
	       strcmp(section, "monitor") == 0;
}

static void format_range_end(const struct sw_config_key *key, int64_t value, char *out)
{
	if (key->type == SW_KEY_TIME || key->type == SW_KEY_TIMEOUT)
		sw_value_format_time(value, out);
	else if (key->type == SW_KEY_BYTES)
		sw_value_format_bytes((uint64_t)value, out);
	else
		snprintf(out, SW_VALUE_TEXT_MAX, "%" PRId64, value);
}

char *sw_config_key_range(const struct sw_config_key *key, char *out)
{
	char from[SW_VALUE_TEXT_MAX], to[SW_VALUE_TEXT_MAX];
	size_t len = 0;

	switch ((enum sw_key_type)key->type) {
	case SW_KEY_TEXT:
	case SW_KEY_LIST:
		snprintf(out, SW_RANGE_TEXT_MAX, "up to %u bytes", key->size - 1);
		break;
	case SW_KEY_FUNCTIONS:
		snprintf(out, SW_RANGE_TEXT_MAX, "up to %d names", SW_CONFIG_FUNCTIONS_MAX);
		break;
	case SW_KEY_BOOL:
		snprintf(out, SW_RANGE_TEXT_MAX, "on, off");
		break;
	case SW_KEY_CHOICE:
		for (const struct sw_key_choice *choice = key->choices; choice->name; choice++)
			len += (size_t)snprintf(
			        out + len, SW_RANGE_TEXT_MAX - len, "%s%s", len ? ", " : "", choice->name);
		break;
	default:
		format_range_end(key, key->min, from);
		format_range_end(key, key->max, to);
		snprintf(out, SW_RANGE_TEXT_MAX, "%s to %s", from, to);
	}
	return out;
}

static enum sw_err refuse_range(const struct sw_config_key *key, const char *text, char *why)
{
	char range[SW_RANGE_TEXT_MAX];

	snprintf(why, SW_WHY_MAX, "\"%s\" is out of range: write a value from %s", text,
	        sw_config_key_range(key, range));
	return SW_ERR_SYNTAX;
}

static enum sw_err set_text(const struct sw_config_key *key, char *field, const char *text, char *why)
{
	size_t len = strlen(text);
	/* Only ';' ends a value, so somebody's "# remark" would silently become a part of it. */
	const char *hash = key->is_secret ? NULL : strstr(text, " #");

	if (hash) {
		snprintf(why, SW_WHY_MAX, "\"#\" begins no comment behind a value: use \";\" for \"%s\"",
		        hash + 1);
		return SW_ERR_SYNTAX;
	}
	if (len >= key->size) {
		snprintf(why, SW_WHY_MAX, "the value has %zu bytes: at most %u are allowed", len,
		        key->size - 1);
		return SW_ERR_SYNTAX;
	}
	if (key->type == SW_KEY_LIST && sw_value_has_gap(text)) {
		snprintf(why, SW_WHY_MAX, "\"%s\" has an empty element: remove the comma too many", text);
		return SW_ERR_SYNTAX;
	}
	memcpy(field, text, len + 1);
	return SW_OK;
}

/* A name as the parser gives it for an unquoted one: without schema, in lower case. */
static enum sw_err check_function(const char *item, size_t len, char *why)
{
	if (len >= SW_NAME_MAX) {
		snprintf(why, SW_WHY_MAX, "\"%.*s\" is too long: names have at most %d bytes",
		        (int)(len < 100 ? len : 100), item, SW_NAME_MAX - 1);
		return SW_ERR_SYNTAX;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)item[i];

		if (!isalnum(c) && c != '_' && c != '$' && c < 0x80) {
			snprintf(why, SW_WHY_MAX,
			        "\"%.*s\" is not the name of a function: write it without schema, quotes and "
			        "arguments",
			        (int)len, item);
			return SW_ERR_SYNTAX;
		}
	}
	return SW_OK;
}

static enum sw_err set_functions(const char ***field, const char *text, char *why)
{
	const char *cursor = text, *item;
	size_t len, count = 0, bytes;
	const char **names;
	char *at;

	if (sw_value_has_gap(text)) {
		snprintf(why, SW_WHY_MAX, "\"%s\" has an empty element: remove the comma too many", text);
		return SW_ERR_SYNTAX;
	}
	for (; sw_value_next_item(&cursor, &item, &len); count++)
		if (check_function(item, len, why) != SW_OK)
			return SW_ERR_SYNTAX;
	if (count > SW_CONFIG_FUNCTIONS_MAX) {
		snprintf(why, SW_WHY_MAX, "%zu names are too many: write at most %d", count,
		        SW_CONFIG_FUNCTIONS_MAX);
		return SW_ERR_SYNTAX;
	}
	/* Pointers and texts in one block, so that one free is enough. A NUL replaces each comma. */
	bytes = (count + 1) * sizeof(*names);
	names = sw_mem_zalloc(bytes + strlen(text) + 1);
	at = (char *)names + bytes;
	cursor = text;
	for (size_t i = 0; sw_value_next_item(&cursor, &item, &len); i++) {
		names[i] = at;
		for (size_t j = 0; j < len; j++)
			*at++ = (char)tolower((unsigned char)item[j]);
		*at++ = '\0';
	}
	sw_mem_free((void *)*field);
	*field = names;
	return SW_OK;
}

static enum sw_err set_choice(const struct sw_config_key *key, uint8_t *field, const char *text, char *why)
{
	char range[SW_RANGE_TEXT_MAX];

	for (const struct sw_key_choice *choice = key->choices; choice->name; choice++) {
		if (strcasecmp(choice->name, text) != 0)
			continue;
		*field = (uint8_t)choice->value;
		return SW_OK;
	}
	snprintf(why, SW_WHY_MAX, "\"%s\" is not allowed: write one of %s", text,
	        sw_config_key_range(key, range));
	return SW_ERR_SYNTAX;
}

static enum sw_err set_number(const struct sw_config_key *key, void *field, const char *text, char *why)
{
	uint64_t number;
	enum sw_err err;
	int64_t us;

	if (key->type == SW_KEY_TIME || key->type == SW_KEY_TIMEOUT) {
		err = sw_value_time(text, key->type == SW_KEY_TIMEOUT ? SW_US_PER_S : 0, &us, why);
		if (err == SW_OK)
			number = (uint64_t)us;
	} else {
		err = (key->type == SW_KEY_BYTES ? sw_value_bytes : sw_value_number)(text, &number, why);
	}
	if (err != SW_OK)
		return err;
	if (number < (uint64_t)key->min || number > (uint64_t)key->max)
		return refuse_range(key, text, why);
	if (key->type == SW_KEY_PORT)
		*(uint16_t *)field = (uint16_t)number;
	else if (key->type == SW_KEY_NUMBER)
		*(uint32_t *)field = (uint32_t)number;
	else if (key->type == SW_KEY_BYTES)
		*(uint64_t *)field = number;
	else
		*(int64_t *)field = (int64_t)number;
	return SW_OK;
}

static enum sw_err set_ratio(const struct sw_config_key *key, double *field, const char *text, char *why)
{
	double value;
	enum sw_err err = sw_value_ratio(text, &value, why);

	if (err != SW_OK)
		return err;
	if (value < (double)key->min || value > (double)key->max)
		return refuse_range(key, text, why);
	*field = value;
	return SW_OK;
}

enum sw_err sw_config_key_set(const struct sw_config_key *key, void *base, const char *text, char *why)
{
	void *field = (char *)base + key->offset;
	enum sw_err err;

	switch ((enum sw_key_type)key->type) {
	case SW_KEY_TEXT:
	case SW_KEY_LIST:
		err = set_text(key, field, text, why);
		break;
	case SW_KEY_FUNCTIONS:
		err = set_functions(field, text, why);
		break;
	case SW_KEY_BOOL:
		err = sw_value_bool(text, field, why);
		break;
	case SW_KEY_RATIO:
		err = set_ratio(key, field, text, why);
		break;
	case SW_KEY_CHOICE:
		err = set_choice(key, field, text, why);
		break;
	default:
		err = set_number(key, field, text, why);
	}
	if (err == SW_OK && key->has_offset)
		*(bool *)((char *)base + key->has_offset) = true;
	return err;
}

static void format_functions(const char *const *names, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (; names && *names && len < size; names++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "", *names);
}

static void format_choice(const struct sw_config_key *key, uint8_t value, char *out, size_t size)
{
	for (const struct sw_key_choice *choice = key->choices; choice->name; choice++)
		if (choice->value == value)
			snprintf(out, size, "%s", choice->name);
}

void sw_config_key_format(const struct sw_config_key *key, const void *base, char *out, size_t size)
{
	const void *field = (const char *)base + key->offset;
	char text[SW_VALUE_TEXT_MAX];

	switch ((enum sw_key_type)key->type) {
	case SW_KEY_TEXT:
	case SW_KEY_LIST:
		snprintf(out, size, "%s", (const char *)field);
		break;
	case SW_KEY_FUNCTIONS:
		format_functions(*(const char *const *const *)field, out, size);
		break;
	case SW_KEY_BOOL:
		snprintf(out, size, "%s", *(const bool *)field ? "on" : "off");
		break;
	case SW_KEY_PORT:
		snprintf(out, size, "%u", *(const uint16_t *)field);
		break;
	case SW_KEY_NUMBER:
		snprintf(out, size, "%u", *(const uint32_t *)field);
		break;
	case SW_KEY_RATIO:
		snprintf(out, size, "%g", *(const double *)field);
		break;
	case SW_KEY_TIME:
	case SW_KEY_TIMEOUT:
		snprintf(out, size, "%s", sw_value_format_time(*(const int64_t *)field, text));
		break;
	case SW_KEY_BYTES:
		snprintf(out, size, "%s", sw_value_format_bytes(*(const uint64_t *)field, text));
		break;
	case SW_KEY_CHOICE:
		format_choice(key, *(const uint8_t *)field, out, size);
		break;
	}
}

static const char *unit_text(const struct sw_config_key *key)
{
	switch ((enum sw_key_type)key->type) {
	case SW_KEY_TIME:
		return "time";
	case SW_KEY_TIMEOUT:
		return "time or seconds";
	case SW_KEY_BYTES:
		return "size or bytes";
	default:
		return "-";
	}
}

void sw_config_dump_table(FILE *out)
{
	char range[SW_RANGE_TEXT_MAX];

	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];

		fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", key->section, key->name,
		        key->default_text ? key->default_text : key->absent, sw_config_key_range(key, range),
		        unit_text(key), key->is_changeable ? "yes" : "no", key->help);
	}
}
