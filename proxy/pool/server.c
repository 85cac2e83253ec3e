/*
 * Server connections: dial, login, proof, rounds, end. Runs on the worker's thread.
 * Invariant: while state is LINKED the bytes are the session's business; in every other state whole messages are handled
 * here. on_lost is called exactly once for a connection that a session holds when it ends.
 * What is not here: which session gets which connection (pool.c), what passes while linked (session/relay.c).
 */
#include "proxy/pool/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/auth/asks.h"
#include "proxy/auth/auth.h"
#include "proxy/auth/binding.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/net/dial.h"
#include "proxy/net/tls.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/settings.h"
#include "proxy/session/engine.h"
#include "proxy/wire/reader.h"

/*
 * The first question on every connection, on either kind of node. A text of four numbers: is it in recovery, the system
 * identifier, when its postmaster started (µs since 2000-01-01).
 */
static const char proof_sql[] =
	"SELECT pg_catalog.pg_is_in_recovery()::int || ' ' || system_identifier || ' ' || "
	"(extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint - 946684800000000 "
	"FROM pg_catalog.pg_control_system()";

/* An ErrorResponse or a row of a round that is longer than this is of no use to us. */
#define PARTIAL_BYTES_MAX (SW_ROUND_BYTES_MAX * 2)

static const struct sw_server_hooks *session_hooks;

void sw_server_set_hooks(const struct sw_server_hooks *hooks)
{
	session_hooks = hooks;
}

const char *sw_server_end_text(enum sw_server_end why)
{
	static const char *const texts[] = {"lost", "refused", "protocol", "lifetime", "epoch", "unclean", "quota", "shutdown"};

	return texts[why];
}

const char *sw_server_state_text(enum sw_server_state state)
{
	static const char *const texts[SW_SERVER_STATES] = {
		"dialling", "login", "proving", "idle", "linked", "round", "closing"};

	return texts[state];
}

static const struct sw_node_config *node_of(const struct sw_server *server)
{
	return &server->engine->config->nodes[server->pool->key.node];
}

static struct sw_server *server_of(struct sw_stream *stream)
{
	return SW_CONTAINER_OF(stream, struct sw_server, stream);
}

static void on_stream_closed(struct sw_stream *stream)
{
	struct sw_server *server = server_of(stream);

	server->engine->closing_streams--;
	sw_mem_free(server);
}

static void free_round(struct sw_server *server)
{
	if (!server->round)
		return;
	sw_buf_fini(&server->round->rows);
	sw_mem_free(server->round);
	server->round = NULL;
}

void sw_server_close(struct sw_server *server, enum sw_server_end why)
{
	struct sw_session *session = server->session;
	bool was_proving = server->established_ns > 0 && !server->is_proven;

	if (server->state == SW_SERVER_CLOSING)
		return;
	sw_log(SW_LOG_DEBUG, "server connection to node \"%s\" closed: %s", node_of(server)->name, sw_server_end_text(why));
	if (was_proving)
		sw_engine_unwant_sample(server->engine);
	server->state = SW_SERVER_CLOSING;
	server->session = NULL;
	sw_pool_on_closing(server);
	sw_plan_set_clear(&server->plans, server->engine->plans);
	sw_settings_unref(server->vars);
	sw_settings_unref(server->params);
	sw_settings_unref(server->facts);
	sw_login_free(server->login);
	free_round(server);
	sw_buf_fini(&server->partial);
	server->engine->closing_streams++;
	sw_stream_close(&server->stream);
	if (session)
		session_hooks->on_lost(session, server);
}

static void refuse(struct sw_server *server, const struct sw_problem *problem, bool is_node_lost)
{
	sw_pool_on_refused(server, problem, is_node_lost);
	sw_server_close(server, SW_SERVER_END_REFUSED);
}

/* The node cannot be used now, for a reason of our own finding. */
static void refuse_as_lost(struct sw_server *server, const char *message)
{
	struct sw_problem problem = {.severity = "FATAL", .sqlstate = "08006", .message = message};

	refuse(server, &problem, true);
}

bool sw_server_note_parameter(struct sw_server *server, const char *name, const char *value)
{
	/* What a session can change and another must not inherit (manual, 55.2.7 'Asynchronous Operations'). */
	static const char *const changeable[] = {
		"client_encoding", "DateStyle", "TimeZone", "IntervalStyle", "standard_conforming_strings", "application_name"};

	if (strcasecmp(name, "in_hot_standby") == 0)
		return false;
	for (size_t i = 0; i < sizeof(changeable) / sizeof(*changeable); i++) {
		if (strcasecmp(name, changeable[i]) == 0) {
			sw_settings_change(&server->params, name, value);
			return true;
		}
	}
	sw_settings_change(&server->facts, name, value);
	return true;
}

static void send_to(struct sw_server *server, struct sw_buf *message)
{
	sw_stream_write(&server->stream, sw_buf_data(message), sw_buf_len(message));
	sw_buf_clear(message);
}

/* ---- login */

/* With what auth_file says of the pool's user or, where it does not know him, what auth_query has said. */
static struct sw_login *login_new(const struct sw_server *server)
{
	const struct sw_engine *engine = server->engine;
	const char *user = server->pool->key.user;
	const char *secret = engine->users ? sw_auth_users_find(engine->users, user) : NULL;
	struct sw_auth_keys *keys = secret ? sw_auth_users_keys(engine->users, user) : NULL;
	struct sw_known known = {0};
	struct sw_login *login;

	if (!secret && sw_secrets_find(engine->secrets, user, INT64_MIN, &known) == SW_OK) {
		secret = known.secret;
		keys = known.keys;
	}
	login = sw_login_new(user, secret); /* NULL: the node may trust him */
	sw_login_use_keys(login, keys);
	sw_known_fini(&known);
	return login;
}

/* The node takes another secret: what auth_query has said may be out of date. The next attempt will know. */
static void doubt_secret(const struct sw_server *server)
{
	struct sw_engine *engine = server->engine;
	const char *user = server->pool->key.user;
	struct sw_secret_ask ask = {.worker = engine->number, .since_ns = sw_clock_ns()};
	struct sw_known known;

	if (!engine->config->auth_query[0] || (engine->users && sw_auth_users_find(engine->users, user)) ||
		sw_secrets_find(engine->secrets, user, INT64_MIN, &known) != SW_OK)
		return;
	sw_known_fini(&known);
	strcpy(ask.user, user);
	engine->hooks->on_want_secret(engine, &ask);
}

static void on_login_request(struct sw_server *server, const uint8_t *body, size_t len)
{
	const uint8_t *reply;
	size_t reply_len, mark;
	struct sw_buf *out = &server->engine->assembly;

	switch (sw_login_feed(server->login, body, len, &reply, &reply_len)) {
	case SW_LOGIN_SEND:
		mark = sw_msg_begin(out, 'p');
		sw_msg_bytes(out, reply, reply_len);
		sw_msg_end(out, mark);
		send_to(server, out);
		return;
	case SW_LOGIN_WAIT:
		return;
	case SW_LOGIN_DONE:
		sw_login_free(server->login);
		server->login = NULL;
		return;
	case SW_LOGIN_FAILED:
		break;
	}
	doubt_secret(server);
	refuse(server, &(struct sw_problem){.severity = "FATAL", .sqlstate = "08004",
			       .message = "seawall cannot log in to the node", .detail = sw_login_reason(server->login)}, false);
}

/* Errors that say "not now" or "not here", and nothing about the user or the database. */
static bool is_node_problem(const char *sqlstate)
{
	return strncmp(sqlstate, "57P", 3) == 0 || strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "08", 2) == 0;
}

static void on_login_error(struct sw_server *server, const uint8_t *body, size_t len)
{
	struct sw_problem problem = {.severity = "FATAL", .sqlstate = "08006"};
	struct sw_fields fields;

	if (sw_fields_parse(body, len, &fields) != SW_OK) {
		refuse_as_lost(server, "the node sent a malformed error");
		return;
	}
	snprintf(problem.sqlstate, sizeof(problem.sqlstate), "%s", fields.sqlstate);
	problem.message = fields.message;
	problem.detail = fields.detail[0] ? fields.detail : NULL;
	problem.hint = fields.hint[0] ? fields.hint : NULL;
	if (strcmp(problem.sqlstate, "28000") == 0 && sw_pool_turn_tls(server))
		return;
	if (strcmp(problem.sqlstate, "28P01") == 0)
		doubt_secret(server);
	refuse(server, &problem, is_node_problem(problem.sqlstate));
}

static void on_proof(struct sw_server *server, struct sw_round *round, void *arg);

static void on_login_ready(struct sw_server *server)
{
	struct sw_buf *out = &server->engine->assembly;

	server->established_ns = sw_clock_ns();
	sw_msg_query(out, proof_sql);
	sw_server_start_round(server, sw_buf_data(out), sw_buf_len(out), on_proof, NULL);
	sw_buf_clear(out);
	server->state = SW_SERVER_PROVING;
	sw_engine_want_sample(server->engine);
}

/* Does the proof's text name the node that the monitor samples? */
static bool is_same_node(const struct sw_view_node *seen, const char *proof)
{
	char *at;
	bool in_recovery = strtol(proof, &at, 10) == 1;
	uint64_t system_id = strtoull(at, &at, 10);
	int64_t start_us = strtoll(at, &at, 10);

	if (*at != '\0' || seen->system_id != system_id || seen->start_time_us != start_us)
		return false;
	return in_recovery ? seen->role == SW_ROLE_REPLICA : seen->role == SW_ROLE_PRIMARY;
}

static void on_proof(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_reader rows = sw_reader_over(sw_buf_data(&round->rows), sw_buf_len(&round->rows));
	uint32_t len = sw_read_u32(&rows);
	const uint8_t *text = sw_read_bytes(&rows, len);

	(void)arg;
	server->state = SW_SERVER_PROVING;
	if (round->has_failed || !text || len >= sizeof(server->proof)) {
		char message[320];

		/* Also where the role's default isolation is serializable, which no standby has (T15). */
		snprintf(message, sizeof(message), "the node did not answer who it is: %s", round->message);
		refuse_as_lost(server, message);
		return;
	}
	memcpy(server->proof, text, len);
	server->proof[len] = '\0';
	sw_server_check_proof(server);
}

/*
 * The proof is compared with the view only when a sample has come that was sent after this connection was established:
 * the monitor's connection was alive then, so both talk to one incarnation of the node (router/floor.h, rule 3).
 */
void sw_server_check_proof(struct sw_server *server)
{
	const struct sw_view_node *seen = &server->engine->view.node[server->pool->key.node];

	if (server->state != SW_SERVER_PROVING || server->proof[0] == '\0' || seen->sent_ns <= server->established_ns)
		return;
	if (!is_same_node(seen, server->proof)) {
		refuse_as_lost(server, "the node is not the one that the monitor sees: a restart or a change of role is under way");
		return;
	}
	sw_engine_unwant_sample(server->engine);
	server->is_proven = true;
	server->is_primary = seen->role == SW_ROLE_PRIMARY;
	server->epoch = server->engine->view.epoch;
	server->state = SW_SERVER_IDLE;
	sw_pool_on_ready(server);
}

/* ---- messages outside of a link */

static void collect_row(struct sw_round *round, const uint8_t *body, size_t len)
{
	struct sw_reader row = sw_reader_over(body, len);
	uint32_t columns = sw_read_u16(&row), value_len = sw_read_u32(&row);

	if (columns == 0 || row.failed)
		return;
	if (value_len != UINT32_MAX && !sw_read_bytes(&row, value_len))
		return;
	if (sw_buf_append(&round->rows, body + 2, value_len == UINT32_MAX ? 4 : 4 + (size_t)value_len) != SW_OK)
		round->has_failed = true;
}

static void fail_round(struct sw_round *round, const uint8_t *body, size_t len)
{
	struct sw_fields fields;

	round->has_failed = true;
	if (sw_fields_parse(body, len, &fields) != SW_OK)
		return;
	snprintf(round->sqlstate, sizeof(round->sqlstate), "%s", fields.sqlstate);
	snprintf(round->message, sizeof(round->message), "%s", fields.message);
}

static void end_round(struct sw_server *server)
{
	struct sw_round *round = server->round;

	server->round = NULL;
	server->state = server->session ? SW_SERVER_LINKED : SW_SERVER_IDLE;
	server->on_round(server, round, server->round_arg);
	sw_buf_fini(&round->rows);
	sw_mem_free(round);
}

static void on_parameter_status(struct sw_server *server, const uint8_t *body, size_t len)
{
	struct sw_reader reader = sw_reader_over(body, len);
	const char *name = sw_read_text(&reader), *value = sw_read_text(&reader);

	if (!reader.failed)
		sw_server_note_parameter(server, name, value);
}

static void on_key_data(struct sw_server *server, const uint8_t *body, size_t len)
{
	struct sw_reader reader = sw_reader_over(body, len);

	server->pid = sw_read_u32(&reader);
	server->secret = sw_read_u32(&reader);
}

/* One whole message while no session is linked, or during a round. */
static void on_message(struct sw_server *server, char type, const uint8_t *body, size_t len)
{
	switch (type) {
	case 'S':
		on_parameter_status(server, body, len);
		return;
	case 'N':
		return; /* to nobody: no session holds the connection, or Seawall asked itself (T68) */
	case 'A':
		if (server->session) /* else it is for somebody who has left (T70) */
			session_hooks->on_notification(server->session, body - SW_HEADER_BYTES, len + SW_HEADER_BYTES);
		return;
	case 'R':
		if (server->state == SW_SERVER_LOGIN && server->login)
			on_login_request(server, body, len);
		return;
	case 'K':
		on_key_data(server, body, len);
		return;
	case 'E':
		if (server->state == SW_SERVER_LOGIN)
			on_login_error(server, body, len);
		else if (server->round)
			fail_round(server->round, body, len);
		else
			sw_server_close(server, SW_SERVER_END_LOST); /* 57P01 and its kin on an idle connection */
		return;
	case 'D':
		if (server->round)
			collect_row(server->round, body, len);
		return;
	case '1':
		if (server->round)
			server->round->has_parsed = true;
		return;
	case 'T':
	case 'n':
		if (server->round)
			server->round->shape = type == 'n' ? SW_ROW_SHAPE_NONE : sw_row_shape(body, len);
		return;
	case 'Z':
		server->txn_status = len == 1 ? (char)body[0] : '?';
		if (server->state == SW_SERVER_LOGIN)
			on_login_ready(server);
		else if (server->round)
			end_round(server);
		return;
	default:
		return; /* 2 3 C I s t of a round */
	}
}

/* What is left of a row that is too long for a round. */
static void skip(struct sw_server *server, const uint8_t **bytes, size_t *len)
{
	size_t now = *len < server->pass ? *len : server->pass;

	*bytes += now;
	*len -= now;
	server->pass -= now;
}

/* Cuts bytes into whole messages; stops where a session has the connection, or it has ended. */
static void on_messages(struct sw_server *server, const uint8_t *bytes, size_t len)
{
	skip(server, &bytes, &len);
	while (len >= SW_HEADER_BYTES && server->state != SW_SERVER_CLOSING && server->state != SW_SERVER_LINKED) {
		uint32_t length = sw_get_u32(bytes + 1);

		if (server->round && bytes[0] == 'D' && length > PARTIAL_BYTES_MAX && length <= SW_MESSAGE_BYTES_MAX) {
			server->round->has_failed = true;
			server->pass = 1 + (size_t)length;
			skip(server, &bytes, &len);
			continue;
		}
		if (length < 4 || length > PARTIAL_BYTES_MAX) {
			sw_log(SW_LOG_WARNING, "node \"%s\" sent a message of %" PRIu32 " bytes where none was expected",
				node_of(server)->name, length);
			sw_server_close(server, SW_SERVER_END_PROTOCOL);
			return;
		}
		if (len < 1 + (size_t)length)
			break;
		on_message(server, (char)bytes[0], bytes + SW_HEADER_BYTES, length - 4);
		bytes += 1 + (size_t)length;
		len -= 1 + (size_t)length;
	}
	if (len == 0 || server->state == SW_SERVER_CLOSING)
		return;
	if (server->state == SW_SERVER_LINKED) {
		session_hooks->on_data(server->session, server, bytes, len);
		return;
	}
	if (sw_buf_append(&server->partial, bytes, len) != SW_OK)
		sw_server_close(server, SW_SERVER_END_PROTOCOL);
}

static void on_stream_data(struct sw_stream *stream, const uint8_t *bytes, size_t len)
{
	struct sw_server *server = server_of(stream);
	struct sw_buf whole;

	if (server->state == SW_SERVER_LINKED) {
		session_hooks->on_data(server->session, server, bytes, len);
		return;
	}
	if (sw_buf_len(&server->partial) == 0) {
		on_messages(server, bytes, len);
		return;
	}
	if (sw_buf_append(&server->partial, bytes, len) != SW_OK) {
		sw_server_close(server, SW_SERVER_END_PROTOCOL);
		return;
	}
	whole = server->partial;
	sw_buf_init(&server->partial, PARTIAL_BYTES_MAX);
	on_messages(server, sw_buf_data(&whole), sw_buf_len(&whole));
	sw_buf_fini(&whole);
}

static void on_stream_end(struct sw_stream *stream, enum sw_err why)
{
	struct sw_server *server = server_of(stream);

	(void)why;
	if (!server->is_proven)
		refuse_as_lost(server, "the node closed the connection during login");
	else
		sw_server_close(server, SW_SERVER_END_LOST);
}

static void on_stream_drained(struct sw_stream *stream)
{
	struct sw_server *server = server_of(stream);

	if (server->session)
		session_hooks->on_drained(server->session);
}

static const struct sw_stream_hooks stream_hooks = {
	.on_data = on_stream_data,
	.on_end = on_stream_end,
	.on_drained = on_stream_drained,
	.on_closed = on_stream_closed,
};

/* ---- opening */

static void on_dialled(struct sw_stream *stream, const char *problem)
{
	struct sw_server *server = server_of(stream);
	const struct sw_pool_key *key = &server->pool->key;
	struct sw_buf *out = &server->engine->assembly;
	const char *const pairs[] = {"user", key->user, "database", key->dbname, NULL};
	uint8_t hash[SW_BINDING_BYTES_MAX];
	size_t hash_len;

	if (problem && stream->tls && sw_pool_turn_tls(server))
		return;
	if (problem) {
		char message[SW_TLS_WHY_MAX + 128];

		snprintf(message, sizeof(message), "could not connect to node \"%s\": %s", node_of(server)->name, problem);
		refuse_as_lost(server, message);
		return;
	}
	server->state = SW_SERVER_LOGIN;
	server->login = login_new(server);
	if (stream->tls && sw_binding_of(sw_tls_peer_certificate(stream->tls), hash, &hash_len) == SW_OK)
		sw_login_use_binding(server->login, hash, hash_len);
	sw_stream_start(&server->stream);
	sw_msg_startup(out, pairs);
	send_to(server, out);
}

/* Its address, and whether TLS is spoken: what libpq's sslmode says, and what the node has wanted of this pool before. */
static struct sw_dial_target target_of(const struct sw_pool *pool)
{
	const struct sw_engine *engine = pool->engine;
	const struct sw_node_config *node = &engine->config->nodes[pool->key.node];
	enum sw_sslmode mode = engine->config->server_tls.sslmode;
	bool is_plain = mode == SW_SSL_ALLOW;

	if (pool->is_tls_turned && mode <= SW_SSL_PREFER)
		is_plain = !is_plain;
	return (struct sw_dial_target){.host = node->host,
		.port = node->port,
		.tls = is_plain ? NULL : engine->server_tls,
		.may_be_plain = mode <= SW_SSL_PREFER};
}

struct sw_server *sw_server_open(struct sw_engine *engine, struct sw_pool *pool)
{
	struct sw_server *server = SW_NEW(struct sw_server);
	struct sw_dial_target target;

	server->engine = engine;
	server->pool = pool;
	sw_list_init(&server->entry);
	server->state = SW_SERVER_DIALLING;
	server->vars = sw_settings_empty(engine->settings);
	server->params = sw_settings_empty(engine->settings);
	server->facts = sw_settings_empty(engine->settings);
	sw_buf_init(&server->partial, PARTIAL_BYTES_MAX);
	server->opened_ns = server->waiting_since_ns = sw_clock_ns();
	server->txn_status = 'I';
	target = target_of(pool);
	sw_dial_start(&server->stream, engine->loop, &stream_hooks, engine->scratch, &target, on_dialled);
	return server;
}

void sw_server_link(struct sw_server *server, struct sw_session *session)
{
	server->session = session;
	server->state = SW_SERVER_LINKED;
}

void sw_server_unlink(struct sw_server *server)
{
	server->session = NULL;
	if (server->state == SW_SERVER_LINKED)
		server->state = SW_SERVER_IDLE;
}

static void on_checked(struct sw_server *server, struct sw_round *round, void *arg)
{
	(void)arg;
	if (round->has_failed)
		sw_server_close(server, SW_SERVER_END_LOST);
	else
		sw_pool_on_checked(server);
}

void sw_server_check(struct sw_server *server)
{
	struct sw_buf *out = &server->engine->assembly;

	server->waiting_since_ns = sw_clock_ns();
	sw_msg_query(out, "");
	sw_server_start_round(server, sw_buf_data(out), sw_buf_len(out), on_checked, NULL);
	sw_buf_clear(out);
}

void sw_server_start_round(struct sw_server *server, const void *messages, size_t len,
	void (*on_round)(struct sw_server *server, struct sw_round *round, void *arg), void *arg)
{
	server->round = SW_NEW(struct sw_round);
	sw_buf_init(&server->round->rows, SW_ROUND_BYTES_MAX);
	server->on_round = on_round;
	server->round_arg = arg;
	server->state = SW_SERVER_ROUND;
	sw_stream_write(&server->stream, messages, len);
}

/* ---- cancel */

struct cancel {
	struct sw_stream stream;
	struct sw_list entry; /* in engine->cancels */
	int64_t started_ns;
	struct sw_engine *engine;
	struct sw_pool *pool;
	uint32_t pid, secret;
};

/* The server closes the connection when it has sent the signal: only then may another session get the backend. */
static void on_cancel_end(struct sw_stream *stream, enum sw_err why)
{
	(void)why;
	sw_stream_close(stream);
}

static void on_cancel_data(struct sw_stream *stream, const uint8_t *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	sw_stream_close(stream);
}

static void on_cancel_drained(struct sw_stream *stream)
{
	(void)stream;
}

static void on_cancel_closed(struct sw_stream *stream)
{
	struct cancel *cancel = SW_CONTAINER_OF(stream, struct cancel, stream);

	sw_list_remove(&cancel->entry);
	sw_pool_on_cancelled(cancel->pool, cancel->pid);
	cancel->engine->closing_streams--;
	sw_mem_free(cancel);
}

static const struct sw_stream_hooks cancel_hooks = {
	.on_data = on_cancel_data,
	.on_end = on_cancel_end,
	.on_drained = on_cancel_drained,
	.on_closed = on_cancel_closed,
};

static void on_cancel_dialled(struct sw_stream *stream, const char *problem)
{
	struct cancel *cancel = SW_CONTAINER_OF(stream, struct cancel, stream);
	struct sw_buf *out = &cancel->engine->assembly;

	if (problem) {
		sw_stream_close(stream);
		return;
	}
	sw_stream_start(stream);
	sw_msg_cancel(out, cancel->pid, cancel->secret);
	sw_stream_write(stream, sw_buf_data(out), sw_buf_len(out));
	sw_buf_clear(out);
}

void sw_server_cancel(struct sw_server *server)
{
	struct cancel *cancel = SW_NEW(struct cancel);
	struct sw_dial_target target = target_of(server->pool);

	cancel->engine = server->engine;
	cancel->pool = server->pool;
	cancel->pid = server->pid;
	cancel->secret = server->secret;
	cancel->started_ns = sw_clock_ns();
	sw_list_push_back(&cancel->engine->cancels, &cancel->entry);
	server->cancels++;
	server->engine->closing_streams++;
	sw_dial_start(&cancel->stream, server->engine->loop, &cancel_hooks, server->engine->scratch, &target,
		on_cancel_dialled);
}

void sw_cancels_time_out(struct sw_engine *engine, int64_t now_ns)
{
	int64_t limit_ns = engine->config->server_connect_timeout_us * SW_NS_PER_US;

	SW_LIST_EACH(&engine->cancels, at, after) {
		struct cancel *cancel = SW_CONTAINER_OF(at, struct cancel, entry);

		if (now_ns == INT64_MAX || (limit_ns > 0 && now_ns - cancel->started_ns > limit_ns))
			sw_stream_close(&cancel->stream);
	}
}
