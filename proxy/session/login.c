/*
 * Everything before a session is let in: the first packets, authentication, the parameters that the client is told. Runs on
 * the worker's thread. Invariant: nothing that a client sends is believed before its length was checked, and no server
 * connection is taken for a client that has not proven who it is.
 * What is not here: the arithmetic of passwords (proxy/auth), TLS itself (proxy/net).
 * Source: PostgreSQL manual, 55.2.1 'Start-up'.
 */
#define _GNU_SOURCE /* struct ucred */
#include <ctype.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "proxy/auth/asks.h"
#include "proxy/auth/auth.h"
#include "proxy/auth/binding.h"
#include "proxy/auth/hba.h"
#include "proxy/auth/pam.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/base/version.h"
#include "proxy/config.h"
#include "proxy/net/tls.h"
#include "proxy/pool/quota.h"
#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "proxy/wire/reader.h"

/* Options of the protocol that a client may name and we do not know; more are not listed one by one. */
#define UNKNOWN_OPTIONS_MAX 16

static void refuse(struct sw_session *session, const char *sqlstate, const char *message, const char *hint)
{
	struct sw_problem problem = {.severity = "FATAL", .message = message, .hint = hint};

	snprintf(problem.sqlstate, sizeof(problem.sqlstate), "%s", sqlstate);
	sw_session_die(session, SW_END_LOGIN, &problem);
}

/* A Unix socket needs none: what passes there does not leave the machine. */
static bool may_be_tls(const struct sw_session *session)
{
	return session->engine->client_tls && session->stream.uv.stream.type == UV_TCP;
}

/* ---- the startup packet */

static bool is_setting_name(const char *name)
{
	return *name && strlen(name) < SW_NAME_MAX && !isdigit((unsigned char)*name) &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$") == strlen(name);
}

/* A setting from the startup packet. False where the session was refused. */
static bool add_setting(struct sw_session *session, const char *name, const char *value)
{
	char message[256];

	if (strncasecmp(name, "seawall.", 8) == 0) {
		const struct sw_problem *problem = strcasecmp(name + 8, "consistency") == 0 ? sw_local_set_level(session, value) :
						   strcasecmp(name + 8, "token") == 0 ? sw_token_remember(session, value) :
											sw_local_no_such_setting(name + 8);

		if (!problem)
			return true;
		refuse(session, "22023", problem->message,
			problem->hint ? problem->hint : "See docs/configuration.md for the settings of a session.");
		return false;
	}
	if (!is_setting_name(name) || strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0) {
		snprintf(message, sizeof(message), "unsupported startup parameter: \"%s\"", name);
		refuse(session, "08P01", message, "Set it with a statement after connecting, or list it in ignore_startup_parameters.");
		return false;
	}
	sw_settings_change(&session->startup_vars, name, value);
	return true;
}

/* One word of options: spaces separate, a backslash takes the next character as it is (manual, 20.1.3). */
static const char *next_word(const char *at, char *word, size_t size)
{
	size_t used = 0;

	while (isspace((unsigned char)*at))
		at++;
	for (; *at && !isspace((unsigned char)*at); at++) {
		if (*at == '\\' && at[1])
			at++;
		if (used + 1 < size)
			word[used++] = *at;
	}
	word[used] = '\0';
	return at;
}

/* The options parameter: -c name=value, -cname=value, --name=value. */
static bool add_options(struct sw_session *session, const char *options)
{
	char word[1024], *equals, *name;
	const char *at = options;

	for (;;) {
		at = next_word(at, word, sizeof(word));
		if (word[0] == '\0')
			return true;
		if (strcmp(word, "-c") == 0) {
			at = next_word(at, word, sizeof(word));
			name = word;
		} else if (strncmp(word, "-c", 2) == 0 || strncmp(word, "--", 2) == 0) {
			name = word + 2;
		} else {
			refuse(session, "08P01", "unsupported word in the options parameter",
				"Only -c name=value and --name=value can be used.");
			return false;
		}
		equals = strchr(name, '=');
		if (!equals) {
			refuse(session, "42601", "a setting in the options parameter has no value", "Write -c name=value.");
			return false;
		}
		*equals = '\0';
		for (char *c = name; *c; c++)
			if (*c == '-')
				*c = '_';
		if (!add_setting(session, name, equals + 1))
			return false;
	}
}

static bool add_parameter(struct sw_session *session, const char *name, const char *value, const char **ret_database)
{
	if (strcmp(name, "user") == 0) {
		sw_mem_free(session->user);
		session->user = sw_mem_strdup(value);
	} else if (strcmp(name, "database") == 0) {
		*ret_database = value;
	} else if (strcmp(name, "options") == 0) {
		return add_options(session, value);
	} else if (strcmp(name, "replication") == 0) {
		if (strcasecmp(value, "false") != 0 && strcasecmp(value, "off") != 0 && strcasecmp(value, "no") != 0 && strcmp(value, "0") != 0) {
			refuse(session, "0A000", "replication connections are not supported by this version of seawall",
				"Point primary_conninfo at the primary itself.");
			return false;
		}
	} else if (!sw_config_list_has(session->engine->config->ignore_startup_parameters, name)) {
		return add_setting(session, name, value);
	}
	return true;
}

/* Answers a newer minor version, or protocol options that we do not know, with what we do know. */
static void negotiate(struct sw_session *session, const struct sw_startup *startup)
{
	struct sw_reader reader = sw_reader_over(startup->parameters, startup->parameters_len);
	const char *unknown[UNKNOWN_OPTIONS_MAX], *name;
	int count = 0;

	while (*(name = sw_read_text(&reader))) {
		if (strncmp(name, "_pq_.", 5) == 0 && count < UNKNOWN_OPTIONS_MAX)
			unknown[count++] = name;
		sw_read_text(&reader);
	}
	if (startup->version >= SW_PROTOCOL_3_2)
		session->secret_len = SW_CANCEL_SECRET_BYTES;
	if (count == 0 && startup->version <= SW_PROTOCOL_3_2)
		return;
	sw_msg_negotiate(&session->engine->assembly, startup->version < SW_PROTOCOL_3_2 ? startup->version : SW_PROTOCOL_3_2,
		unknown, count);
	sw_session_send(session, &session->engine->assembly);
}

static bool read_parameters(struct sw_session *session, const struct sw_startup *startup, const char **ret_database)
{
	struct sw_reader reader = sw_reader_over(startup->parameters, startup->parameters_len);
	const char *name, *value;

	while (*(name = sw_read_text(&reader))) {
		value = sw_read_text(&reader);
		if (strncmp(name, "_pq_.", 5) != 0 && !add_parameter(session, name, value, ret_database))
			return false;
	}
	if (!session->user || !*session->user) {
		refuse(session, "28000", "no PostgreSQL user name specified in startup packet", NULL);
		return false;
	}
	if (strlen(session->user) >= SW_NAME_MAX) {
		refuse(session, "28000", "the user name is too long", "PostgreSQL's names have at most 63 bytes.");
		return false;
	}
	if (!*ret_database || !**ret_database)
		*ret_database = session->user;
	return true;
}

/* After authentication: who is not known to us learns nothing of what there is, and makes nothing. */
static bool find_database(struct sw_session *session)
{
	const struct sw_config *config = session->engine->config;
	const char *name = session->wanted;
	char message[256];

	if (session->is_console) {
		session->is_admin = sw_config_list_has(config->admin_users, session->user);
		if (!session->is_admin && !sw_config_list_has(config->stats_users, session->user)) {
			snprintf(message, sizeof(message), "user \"%s\" may not use the console", session->user);
			refuse(session, "28000", message, "List the user in admin_users or stats_users.");
			return false;
		}
		session->database = sw_engine_console_database(session->engine);
		return true;
	}
	session->database = sw_engine_database(session->engine, name);
	if (session->database)
		return true;
	snprintf(message, sizeof(message), "database \"%s\" is not configured", name);
	refuse(session, "3D000", message, "Add it to [databases], or * = for every database of the cluster.");
	return false;
}

/* ---- authentication */

static void look_again(struct sw_session *session);

static void on_auth_step(struct sw_session *session, enum sw_auth_step step, const uint8_t *reply, size_t len)
{
	struct sw_buf *out = &session->engine->assembly;
	char message[256];

	switch (step) {
	case SW_STEP_SEND:
		sw_msg_auth(out, reply, len);
		sw_session_send(session, out);
		return;
	case SW_STEP_SEND_DONE:
		sw_msg_auth(out, reply, len);
		sw_session_send(session, out);
		break;
	case SW_STEP_DONE:
		break;
	case SW_STEP_ASK:
		sw_login_ask_pam(session);
		return;
	case SW_STEP_FAILED:
		if (session->pam) {
			sw_login_refuse_by_pam(session, sw_verifier_reason(session->verifier));
			return;
		}
		if (session->is_secret_old) {
			look_again(session);
			return;
		}
		sw_log(SW_LOG_WARNING, "login of user \"%s\" from %s failed: %s", session->user, session->address,
			sw_verifier_reason(session->verifier));
		snprintf(message, sizeof(message), "password authentication failed for user \"%s\"", session->user);
		sw_refuse_later(session, "28P01", message, NULL);
		return;
	case SW_STEP_BROKEN:
		refuse(session, "08P01", sw_verifier_reason(session->verifier), NULL);
		return;
	}
	sw_login_welcome(session);
}

static void refuse_as_hba(struct sw_session *session, const struct sw_hba_rule *rule)
{
	const char *how = session->stream.tls ? "with TLS" : "without TLS";
	char message[512];

	snprintf(message, sizeof(message), "%s for host \"%s\", user \"%s\", database \"%s\", %s",
		rule->line ? "the hba file rejects connections" : "the hba file has no line", session->address, session->user,
		session->wanted, how);
	sw_log(SW_LOG_WARNING, "%s (%s:%u)", message, rule->line ? rule->path : "no line fits", rule->line);
	sw_refuse_later(session, "28000", message, NULL);
}

/* The name of the system user at the other end of a Unix socket. */
static bool find_peer_name(const struct sw_session *session, char *name, size_t size)
{
	struct ucred cred;
	struct passwd entry, *found;
	socklen_t len = sizeof(cred);
	char text[1024];
	uv_os_fd_t fd;

	if (uv_fileno((const uv_handle_t *)&session->stream.uv.stream, &fd) != 0 ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 ||
		getpwuid_r(cred.uid, &entry, text, sizeof(text), &found) != 0 || !found || strlen(entry.pw_name) >= size)
		return false;
	strcpy(name, entry.pw_name);
	return true;
}

/* Does the system, or the certificate, call the client by a name that may be the user's? */
static bool check_outside_name(struct sw_session *session, const char *map, const char *name, const char *what)
{
	char message[256];

	if (sw_hba_map_allows(session->engine->hba, map, name, session->user))
		return true;
	sw_log(SW_LOG_WARNING, "login of user \"%s\" from %s failed: the %s is \"%s\"", session->user, session->address, what,
		name ? name : "");
	snprintf(message, sizeof(message), "%s authentication failed for user \"%s\"", what, session->user);
	sw_refuse_later(session, "28000", message, NULL);
	return false;
}

static bool check_certificate(struct sw_session *session, const struct sw_hba_rule *rule)
{
	char name[SW_NAME_MAX * 4];
	bool has_name;

	if (rule->clientcert == SW_CLIENTCERT_NONE)
		return true;
	if (!session->stream.tls || !sw_tls_peer_certificate(session->stream.tls)) {
		sw_refuse_later(session, "28000", "connection requires a valid client certificate", "Set sslcert and sslkey.");
		return false;
	}
	if (rule->clientcert == SW_CLIENTCERT_CA)
		return true;
	has_name = sw_tls_peer_name(session->stream.tls, name, sizeof(name));
	return check_outside_name(session, rule->map, has_name ? name : NULL, "certificate");
}

static bool check_peer(struct sw_session *session, const struct sw_hba_rule *rule)
{
	char name[SW_NAME_MAX * 4];
	bool has_name = find_peer_name(session, name, sizeof(name));

	return check_outside_name(session, rule->map, has_name ? name : NULL, "peer");
}

/* What the configuration says, or the first line of the hba file that fits. */
static struct sw_hba_rule find_rule(const struct sw_session *session)
{
	static const struct sw_hba_rule rules[] = {
		[SW_AUTH_TRUST] = {.method = SW_HBA_TRUST},
		[SW_AUTH_PLAIN] = {.method = SW_HBA_PASSWORD},
		[SW_AUTH_MD5] = {.method = SW_HBA_MD5},
		[SW_AUTH_SCRAM] = {.method = SW_HBA_SCRAM},
		[SW_AUTH_PAM] = {.method = SW_HBA_PAM},
		[SW_AUTH_CERT] = {.method = SW_HBA_CERT, .clientcert = SW_CLIENTCERT_FULL},
	};
	struct sw_hba_ask ask = {.is_unix = session->stream.uv.stream.type != UV_TCP,
		.is_tls = session->stream.tls != NULL,
		.database = session->wanted,
		.user = session->user};
	struct sockaddr_storage address;
	struct sw_hba_rule rule;
	int len = sizeof(address);

	if (session->engine->config->auth_type != SW_AUTH_HBA)
		return rules[session->engine->config->auth_type];
	if (!ask.is_unix && uv_tcp_getpeername(&session->stream.uv.tcp, (struct sockaddr *)&address, &len) == 0)
		ask.address = (struct sockaddr *)&address;
	sw_hba_find(session->engine->hba, &ask, &rule);
	return rule;
}

static void begin_exchange(struct sw_session *session, const char *secret, struct sw_auth_keys *keys)
{
	const uint8_t *reply = NULL;
	uint8_t hash[SW_BINDING_BYTES_MAX];
	size_t len = 0, hash_len;
	enum sw_auth_step step;

	session->state = SW_SESSION_AUTH;
	session->verifier = sw_verifier_new((enum sw_auth_method)session->auth_method, session->user, secret);
	sw_verifier_use_keys(session->verifier, keys);
	if (session->stream.tls && sw_binding_of(sw_tls_own_certificate(session->stream.tls), hash, &hash_len) == SW_OK)
		sw_verifier_use_binding(session->verifier, hash, hash_len);
	step = sw_verifier_start(session->verifier, &reply, &len);
	on_auth_step(session, step, reply, len);
}

/* ---- users of auth_query */

static void hold_keys(struct sw_session *session, const struct sw_known *known)
{
	sw_auth_keys_unref(session->keys);
	session->keys = known->keys ? sw_auth_keys_ref(known->keys) : NULL;
}

static void begin_known(struct sw_session *session, const struct sw_known *known)
{
	hold_keys(session, known);
	session->is_secret_old = known->asked_ns < session->login_ns;
	begin_exchange(session, known->secret, known->keys);
}

/* The control thread asks a node, or finds that others wait for the same answer. */
static void ask_for_secret(struct sw_session *session, int64_t since_ns)
{
	struct sw_secret_ask ask = {.session = session->number,
		.slot = session->slot,
		.worker = session->engine->number,
		.since_ns = since_ns};

	strcpy(ask.user, session->user); /* its length was checked */
	session->state = SW_SESSION_WAIT_SECRET;
	session->engine->hooks->on_want_secret(session->engine, &ask);
}

/* The password was wrong for an answer from before this login: it may have been changed, or the user be new. */
static void judge_again(struct sw_session *session, const struct sw_known *known)
{
	session->state = SW_SESSION_AUTH;
	hold_keys(session, known);
	on_auth_step(session, sw_verifier_again(session->verifier, known->secret, known->keys), NULL, 0);
}

static void look_again(struct sw_session *session)
{
	struct sw_known known;

	session->is_secret_old = false;
	if (sw_secrets_find(session->engine->secrets, session->user, session->login_ns, &known) != SW_OK) {
		ask_for_secret(session, session->login_ns);
		return;
	}
	judge_again(session, &known);
	sw_known_fini(&known);
}

void sw_login_on_secret(struct sw_engine *engine, uint32_t slot, uint64_t number, const struct sw_known *known)
{
	struct sw_session *session = slot < engine->slot_count ? engine->slots[slot] : NULL;

	if (!session || session->number != number || session->state != SW_SESSION_WAIT_SECRET)
		return;
	if (known && session->verifier) {
		judge_again(session, known);
	} else if (known) {
		begin_known(session, known);
	} else if (session->verifier) {
		session->state = SW_SESSION_AUTH;
		on_auth_step(session, SW_STEP_FAILED, NULL, 0); /* by what was known before */
	} else {
		refuse(session, "08006", "the user could not be looked up",
			"The log of Seawall says why; see auth_query in docs/configuration.md.");
	}
	sw_session_resume(session);
}

static void start_exchange(struct sw_session *session, enum sw_auth_method method)
{
	struct sw_engine *engine = session->engine;
	const char *secret = engine->users ? sw_auth_users_find(engine->users, session->user) : NULL;
	struct sw_known known;
	int64_t since_ns;

	session->auth_method = (uint8_t)method;
	if (secret || method == SW_METHOD_TRUST || !engine->config->auth_query[0]) {
		begin_exchange(session, secret, secret ? sw_auth_users_keys(engine->users, session->user) : NULL);
		return;
	}
	session->login_ns = sw_clock_ns();
	since_ns = session->login_ns - engine->config->auth_query_ttl_us * SW_NS_PER_US;
	if (sw_secrets_find(engine->secrets, session->user, since_ns, &known) != SW_OK) {
		ask_for_secret(session, since_ns);
		return;
	}
	begin_known(session, &known);
	sw_known_fini(&known);
}

/* ---- the method */

static void start_pam(struct sw_session *session, const char *service)
{
	bool is_unix = session->stream.uv.stream.type != UV_TCP;

	session->auth_method = SW_METHOD_PAM;
	session->pam = sw_pam_ask_new(service, session->user, is_unix ? NULL : session->address);
	begin_exchange(session, NULL, NULL);
}

static void start_auth(struct sw_session *session)
{
	struct sw_hba_rule rule = find_rule(session);

	if (!check_certificate(session, &rule))
		return;
	switch (rule.method) {
	case SW_HBA_REJECT:
		refuse_as_hba(session, &rule);
		return;
	case SW_HBA_PEER:
		if (!check_peer(session, &rule))
			return;
		start_exchange(session, SW_METHOD_TRUST);
		return;
	case SW_HBA_TRUST:
	case SW_HBA_CERT:
		start_exchange(session, SW_METHOD_TRUST);
		return;
	case SW_HBA_PASSWORD:
		start_exchange(session, SW_METHOD_PLAIN);
		return;
	case SW_HBA_MD5:
		start_exchange(session, SW_METHOD_MD5);
		return;
	case SW_HBA_SCRAM:
		start_exchange(session, SW_METHOD_SCRAM);
		return;
	case SW_HBA_PAM:
		start_pam(session, rule.pamservice);
		return;
	}
}

static size_t consume_auth(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	const uint8_t *reply = NULL;
	size_t reply_len = 0;
	uint32_t length;
	enum sw_auth_step step;

	if (len < SW_HEADER_BYTES)
		return 0;
	length = sw_get_u32(bytes + 1);
	if (bytes[0] != 'p' || length < 4 || length > SW_AUTH_MESSAGE_BYTES_MAX) {
		if (bytes[0] == 'X')
			sw_session_close(session, SW_END_LOGIN); /* the user gave no password */
		else
			refuse(session, "08P01", "expected a password message", NULL);
		return 0;
	}
	if (len < 1 + (size_t)length)
		return 0;
	step = sw_verifier_feed(session->verifier, bytes + SW_HEADER_BYTES, length - 4, &reply, &reply_len);
	sw_mem_wipe((uint8_t *)(uintptr_t)bytes + SW_HEADER_BYTES, length - 4); /* our own buffer; it may hold a password */
	on_auth_step(session, step, reply, reply_len);
	return 1 + (size_t)length;
}

/* ---- welcome: what the client is told before its first query */

static void tell_all(struct sw_buf *out, const struct sw_settings *set)
{
	for (uint32_t i = 0; i < sw_settings_count(set); i++) {
		const char *value, *name = sw_settings_name(set, i, &value);

		sw_msg_parameter_status(out, name, value);
	}
}

/*
 * What is read before the catalog is here could be read in the wrong place: a sequence, say, on a replica. So the first
 * sessions of a database wait for it, but not for ever: the monitor may have no right to connect there. Nor without a
 * primary, which it is read from.
 */
#define FIRST_CATALOG_NS (3 * SW_NS_PER_S)

static bool is_catalog_awaited(const struct sw_session *session)
{
	const struct sw_database *database = session->database;

	return !session->is_console && !database->catalog && database->is_real && session->engine->view.primary >= 0 &&
	       sw_clock_ns() - database->real_ns < FIRST_CATALOG_NS;
}

static void let_in(struct sw_session *session, struct sw_settings *facts)
{
	static const uint8_t auth_ok[4] = {0, 0, 0, 0};
	struct sw_engine *engine = session->engine;
	struct sw_buf *out = &engine->assembly;

	if (!sw_token_may_enter(session))
		return;
	if (is_catalog_awaited(session)) {
		session->state = SW_SESSION_WELCOME;
		session->facts = sw_settings_ref(facts);
		return;
	}
	sw_msg_auth(out, auth_ok, sizeof(auth_ok));
	if (facts)
		tell_all(out, facts);
	tell_all(out, session->params);
	sw_msg_backend_key(out, (uint32_t)engine->number << 24 | session->slot, session->secret, session->secret_len);
	sw_msg_ready(out, 'I');
	sw_session_send(session, out);
	session->state = SW_SESSION_READY;
	if (engine->config->log_connections)
		sw_log(SW_LOG_INFO, "session %" PRIu64 ": user \"%s\" database \"%s\" from %s:%u", session->number, session->user,
			session->database->name, session->address, session->port);
	sw_session_resume(session);
}

void sw_login_on_catalog(struct sw_session *session)
{
	struct sw_settings *facts = session->facts;

	session->facts = NULL;
	let_in(session, facts);
	sw_settings_unref(facts);
}

static void welcome_to_console(struct sw_session *session)
{
	static const char *const facts[][2] = {{"server_version", SW_VERSION "/seawall"}, {"server_encoding", "UTF8"},
		{"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"}, {"integer_datetimes", "on"},
		{"standard_conforming_strings", "on"}};

	session->has_token = false; /* the console reads nothing of the cluster's */
	session->params = sw_settings_empty(session->engine->settings);
	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++)
		sw_settings_change(&session->params, facts[i][0], facts[i][1]);
	let_in(session, NULL);
}

/* The node that says what the parameters are: the primary, or whichever is up. */
static int welcome_node(const struct sw_engine *engine)
{
	if (engine->view.primary >= 0)
		return engine->view.primary;
	for (uint32_t i = 0; i < engine->view.node_count; i++)
		if (engine->view.node[i].is_up && engine->view.node[i].role == SW_ROLE_REPLICA)
			return (int)i;
	return -1;
}

static void apply_user(struct sw_session *session)
{
	const struct sw_config *config = session->engine->config;
	const struct sw_database_config *database = sw_config_database(config, session->database->name);
	const struct sw_user_config *user = sw_config_user(config, session->user);

	sw_local_apply_config(session);
	session->pool_mode = (uint8_t)sw_config_pool_mode(config, database, user);
	sw_settings_unref(session->vars);
	session->vars = sw_settings_ref(session->startup_vars);
}

void sw_login_welcome(struct sw_session *session)
{
	struct sw_settings *params;
	struct sw_server *server;
	struct sw_pool *pool;
	int node;

	sw_verifier_free(session->verifier);
	session->verifier = NULL;
	sw_pam_ask_give_up(session->pam);
	session->pam = NULL;
	if (!find_database(session))
		return;
	sw_mem_free(session->wanted);
	session->wanted = NULL;
	apply_user(session);
	session->state = SW_SESSION_WELCOME;
	if (session->is_console) {
		welcome_to_console(session);
		return;
	}
	sw_engine_refresh_view(session->engine);
	node = welcome_node(session->engine);
	if (node < 0) {
		refuse(session, "57P03", "no node of the cluster can be reached", "SHOW NODES on the console says what is wrong with each.");
		return;
	}
	pool = sw_pool_get(session->engine, node, session->database, session->user);
	params = sw_pool_welcome(pool, session->startup_vars);
	if (params && pool->facts) {
		session->params = sw_settings_ref(params);
		let_in(session, pool->facts);
		return;
	}
	server = sw_route_take_for_login(session, pool);
	if (!server)
		return;
	sw_login_on_server(session);
}

void sw_login_on_server(struct sw_session *session)
{
	session->state = SW_SESSION_WELCOME;
	if (sw_sync_settings(session))
		sw_login_on_synced(session);
}

void sw_login_on_synced(struct sw_session *session)
{
	struct sw_server *server = session->server;
	struct sw_settings *facts = sw_settings_ref(server->facts);

	session->params = sw_settings_ref(server->params);
	sw_pool_set_welcome(server->pool, session->startup_vars, session->params);
	sw_unit_detach(session);
	let_in(session, facts);
	sw_settings_unref(facts);
}

/* ---- bytes */

static size_t on_session_request(struct sw_session *session, const struct sw_startup *startup, size_t len)
{
	const struct sw_engine *engine = session->engine;
	const char *database = NULL;
	char message[128];

	if (startup->version >> 16 != SW_PROTOCOL_3_0 >> 16) {
		snprintf(message, sizeof(message), "unsupported frontend protocol %u.%u: server supports 3.0", startup->version >> 16,
			startup->version & 0xffff);
		refuse(session, "0A000", message, NULL);
		return 0;
	}
	if (!read_parameters(session, startup, &database))
		return 0;
	if (engine->config->client_tls.sslmode >= SW_SSL_REQUIRE && may_be_tls(session) && !session->stream.tls) {
		refuse(session, "28000", "TLS is required", "Connect with sslmode=require or above.");
		return 0;
	}
	if (engine->is_draining) {
		refuse(session, "57P03", "seawall is shutting down", NULL);
		return 0;
	}
	session->wanted = sw_mem_strdup(database);
	session->is_console = strcmp(database, "seawall") == 0 || strcmp(database, "pgbouncer") == 0;
	if (sw_quota_used(engine->clients) > engine->config->max_client_conn && !session->is_console) {
		refuse(session, "53300", "no more connections allowed (max_client_conn)", "Raise max_client_conn, or close connections.");
		return 0;
	}
	negotiate(session, startup);
	start_auth(session);
	return len;
}

static void cancel(struct sw_engine *engine, const struct sw_startup *startup)
{
	struct sw_cancel_key key = {.pid = startup->pid, .secret_len = (uint32_t)startup->secret_len};

	if (startup->secret_len > sizeof(key.secret))
		return; /* none of Seawall's */
	memcpy(key.secret, startup->secret, startup->secret_len);
	sw_session_cancel(engine, &key);
}

static size_t on_encryption_request(struct sw_session *session, const struct sw_startup *startup, size_t length, size_t len)
{
	if (session->stream.tls || ++session->encryption_requests > 2) {
		refuse(session, "08P01", "a request for encryption was not expected now", NULL);
		return 0;
	}
	if (startup->kind == SW_STARTUP_GSSENC || !may_be_tls(session)) {
		sw_stream_write(&session->stream, "N", 1);
		return length;
	}
	/* What came with it in plain text may be somebody else's, to be taken for the client's after the handshake. */
	if (len > length) {
		refuse(session, "08P01", "received unencrypted data after SSL request",
			"This is a fault of the client's software, or somebody is tampering with the connection.");
		return 0;
	}
	sw_stream_write(&session->stream, "S", 1);
	if (sw_stream_accept_tls(&session->stream, session->engine->client_tls, NULL, 0) != SW_OK)
		sw_session_close(session, SW_END_LOGIN);
	return length;
}

/* The first byte of a TLS handshake; no startup packet is so long that it begins with it. */
#define TLS_HANDSHAKE 0x16

static size_t on_direct_tls(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	session->is_direct_tls = true;
	if (sw_stream_accept_tls(&session->stream, session->engine->client_tls, bytes, len) != SW_OK)
		sw_session_close(session, SW_END_LOGIN);
	return len;
}

static size_t consume_startup(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	struct sw_startup startup;
	uint32_t length;

	if (bytes[0] == TLS_HANDSHAKE && !session->stream.tls && session->encryption_requests == 0 && may_be_tls(session))
		return on_direct_tls(session, bytes, len);
	if (len < 4)
		return 0;
	length = sw_get_u32(bytes);
	if (length < 8 || length > SW_STARTUP_BYTES_MAX) {
		refuse(session, "08P01", "invalid length of startup packet", NULL);
		return 0;
	}
	if (len < length)
		return 0;
	if (sw_startup_parse(bytes, length, &startup) != SW_OK) {
		refuse(session, "08P01", "invalid startup packet", NULL);
		return 0;
	}
	switch (startup.kind) {
	case SW_STARTUP_SSL:
	case SW_STARTUP_GSSENC:
		return on_encryption_request(session, &startup, length, len);
	case SW_STARTUP_CANCEL:
		cancel(session->engine, &startup);
		sw_session_close(session, SW_END_CANCEL);
		return 0;
	case SW_STARTUP_SESSION:
		break;
	}
	return on_session_request(session, &startup, length);
}

size_t sw_login_consume(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	session->active_ns = sw_clock_ns();
	return session->state == SW_SESSION_STARTUP ? consume_startup(session, bytes, len) : consume_auth(session, bytes, len);
}
