/*
 * Sessions: accept, bytes in, resume, cancel, time-outs, end. Runs on the worker's thread.
 * Invariant: bytes of a client are used in order, by one function for each state; what cannot be used yet lies in session->in.
 * Exactly one function ends a session. Its memory goes when libuv has closed its handle.
 * What is not here: what the bytes mean (login.c, input.c, extended.c), where they go (route.c), what comes back (relay.c).
 */
#include "proxy/session/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/digest.h"
#include "proxy/auth/pam.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/net/tls.h"
#include "proxy/pool/quota.h"
#include "proxy/pool/settings.h"

/* What a client may send ahead: reading stops at the high-water mark, and a statement must fit whole. */
#define IN_BYTES_MAX (4u * 1024 * 1024)

/* A cancel key's pid: the worker in the upper bits, the session's slot in the lower ones. */
#define SLOT_BITS 24
#define SLOT_MASK ((1u << SLOT_BITS) - 1)

static const char *const state_texts[SW_SESSION_STATES] = {
	"startup", "wait_secret", "auth", "wait_pam", "refused", "welcome", "ready", "wait_node", "wait_server", "round", "unit",
	"console", "closing"};

const char *sw_session_state_text(enum sw_session_state state)
{
	return state_texts[state];
}

const char *sw_session_end_text(enum sw_session_end why)
{
	static const char *const texts[] = {"client", "login", "protocol", "timeout", "server", "cancel", "shutdown"};

	return texts[why];
}

static struct sw_session *session_of(struct sw_stream *stream)
{
	return SW_CONTAINER_OF(stream, struct sw_session, stream);
}

/* ---- bytes in */

static size_t consume(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	switch (session->state) {
	case SW_SESSION_STARTUP:
	case SW_SESSION_AUTH:
		return sw_login_consume(session, bytes, len);
	case SW_SESSION_REFUSED:
		return len; /* whatever it says, the answer stands */
	case SW_SESSION_READY:
	case SW_SESSION_UNIT:
		if (session->server && sw_stream_is_full(&session->server->stream))
			return 0;
		if (sw_stream_is_full(&session->stream))
			return 0;
		return sw_input_consume(session, bytes, len);
	default:
		return 0;
	}
}

static size_t consume_all(struct sw_session *session, const uint8_t *bytes, size_t len)
{
	size_t used = 0;

	session->is_resuming = true;
	while (used < len && session->state != SW_SESSION_CLOSING) {
		size_t step = consume(session, bytes + used, len - used);

		if (step == 0)
			break;
		used += step;
	}
	session->is_resuming = false;
	return used;
}

/* A client that sends more than can be used now is not read until it can. */
static void steer_reading(struct sw_session *session)
{
	bool may_need_more = session->state == SW_SESSION_READY || session->state == SW_SESSION_UNIT;
	size_t limit = may_need_more && !(session->unit && session->unit->is_sent) ? SW_STATEMENT_BYTES_MAX + SW_READ_BYTES :
										     SW_HIGH_WATER_BYTES;

	if (session->state == SW_SESSION_CLOSING)
		return;
	if (sw_buf_len(&session->in) >= limit ||
		(session->server && session->pass > 0 && sw_stream_is_full(&session->server->stream)))
		sw_stream_stop(&session->stream);
	else
		sw_stream_start(&session->stream);
}

void sw_session_resume(struct sw_session *session)
{
	if (session->state == SW_SESSION_CLOSING || session->is_resuming)
		return;
	if (session->server && !sw_stream_is_full(&session->stream))
		sw_stream_start(&session->server->stream);
	if (sw_buf_len(&session->in) > 0) {
		/* The buffer may be replaced while its bytes are used, by a unit that has to run again: hold on to it. */
		struct sw_buf in = session->in;
		size_t used;

		sw_buf_init(&session->in, IN_BYTES_MAX);
		used = consume_all(session, sw_buf_data(&in), sw_buf_len(&in));
		if (session->state == SW_SESSION_CLOSING) {
			sw_buf_fini(&in);
			return;
		}
		sw_buf_consume(&in, used);
		if (sw_buf_len(&session->in) > 0 && sw_buf_append(&in, sw_buf_data(&session->in), sw_buf_len(&session->in)) != SW_OK)
			sw_log(SW_LOG_ERROR, "session %" PRIu64 ": input is lost", session->number);
		sw_buf_fini(&session->in);
		session->in = in;
		sw_buf_release(&session->in);
	}
	steer_reading(session);
}

static void on_data(struct sw_stream *stream, const uint8_t *bytes, size_t len)
{
	struct sw_session *session = session_of(stream);
	size_t used = 0;

	if (session->state == SW_SESSION_CLOSING)
		return;
	if (session->database)
		session->database->stats.bytes_in += len;
	if (sw_buf_len(&session->in) == 0)
		used = consume_all(session, bytes, len);
	if (session->state == SW_SESSION_CLOSING || used == len)
		return;
	if (sw_buf_append(&session->in, bytes + used, len - used) != SW_OK) {
		sw_session_die(session, SW_END_PROTOCOL, &(struct sw_problem){.severity = "FATAL", .sqlstate = "54000",
			.message = "too much input at once"});
		return;
	}
	if (used == 0)
		sw_session_resume(session);
	else
		steer_reading(session);
}

static void on_end(struct sw_stream *stream, enum sw_err why)
{
	(void)why;
	sw_session_close(session_of(stream), SW_END_CLIENT);
}

static void on_drained(struct sw_stream *stream)
{
	sw_session_resume(session_of(stream));
}

static void on_secure(struct sw_stream *stream, enum sw_err result)
{
	struct sw_session *session = session_of(stream);

	if (result != SW_OK) {
		sw_log(SW_LOG_WARNING, "TLS handshake with %s:%u failed: %s", session->address, session->port,
			sw_tls_reason(stream->tls));
		sw_session_close(session, SW_END_LOGIN);
	} else if (session->is_direct_tls && !sw_tls_has_alpn(stream->tls)) {
		sw_log(SW_LOG_WARNING, "%s:%u began with TLS, but not for the protocol \"postgresql\" (ALPN)", session->address,
			session->port);
		sw_session_close(session, SW_END_LOGIN);
	}
}

/* ---- the end */

static void on_closed(struct sw_stream *stream)
{
	struct sw_session *session = session_of(stream);

	session->engine->closing_streams--;
	sw_mem_free(session);
}

static const struct sw_stream_hooks stream_hooks = {
	.on_data = on_data,
	.on_end = on_end,
	.on_drained = on_drained,
	.on_secure = on_secure,
	.on_closed = on_closed,
};

/*
 * Does the server work on what can have no effect any more, now that the client has gone: a read, or a part of a transaction
 * that nobody will commit? A write outside of one it may finish, as it would for a client of its own.
 */
static bool is_in_vain(const struct sw_session *session)
{
	const struct sw_unit *unit = session->unit;

	if (!unit || !unit->is_sent || session->server->state != SW_SERVER_LINKED)
		return false;
	return unit->common & SW_V_READ || (unit->was_in_transaction && !(unit->flags & (SW_V_END | SW_V_MULTI)));
}

/* A server connection in the middle of something is of no use to anybody else. */
static void let_go_of_server(struct sw_session *session)
{
	struct sw_server *server = session->server;

	if (!server)
		return;
	if (session->unit || session->txn_status != 'I' || session->pins || session->touched ||
		server->state != SW_SERVER_LINKED || session->pool_mode == SW_POOL_SESSION)
		server->is_unclean = true;
	if (server->state == SW_SERVER_ROUND)
		server->session = NULL;
	if (is_in_vain(session))
		sw_server_cancel(server);
	if (server->is_unclean) {
		session->server = NULL;
		session->engine->loads[server->pool->key.node]--;
		sw_server_unlink(server);
		sw_server_close(server, SW_SERVER_END_UNCLEAN);
		return;
	}
	sw_unit_detach(session);
}

/* Draining is over when the last session has ended; told once, though a late client may still come and be refused. */
static void tell_if_idle(struct sw_engine *engine)
{
	if (!engine->is_draining || engine->is_idle_told || engine->session_count > 0)
		return;
	engine->is_idle_told = true;
	engine->hooks->on_idle(engine);
}

void sw_session_close(struct sw_session *session, enum sw_session_end why)
{
	struct sw_engine *engine = session->engine;

	if (session->state == SW_SESSION_CLOSING)
		return;
	if (engine->config->log_disconnections && session->database)
		sw_log(SW_LOG_INFO, "session %" PRIu64 ": user \"%s\" database \"%s\" from %s:%u ended: %s", session->number,
			session->user, session->database->name, session->address, session->port, sw_session_end_text(why));
	sw_route_stop_waiting(session);
	session->state = SW_SESSION_CLOSING;
	let_go_of_server(session);
	sw_unit_free(engine, session->unit);
	session->unit = NULL;
	sw_plan_names_clear(&session->plans, engine->plans);
	sw_plan_unref(engine->plans, session->unnamed);
	sw_settings_unref(session->startup_vars);
	sw_settings_unref(session->vars);
	sw_settings_unref(session->params);
	sw_settings_unref(session->touched);
	sw_settings_unref(session->facts);
	sw_settings_unref(session->parse_vars);
	sw_settings_unref(session->parse_vars_of);
	sw_verifier_free(session->verifier);
	sw_pam_ask_give_up(session->pam);
	sw_refusal_free(session->refusal);
	sw_auth_keys_unref(session->keys);
	sw_mem_free(session->user);
	sw_mem_free(session->wanted);
	sw_mem_free(session->begin);
	sw_buf_fini(&session->in);
	sw_list_remove(&session->entry);
	engine->slots[session->slot] = NULL;
	engine->session_count--;
	engine->closing_streams++;
	sw_stream_close(&session->stream);
	sw_quota_give(engine->clients);
	tell_if_idle(engine);
}

void sw_session_die(struct sw_session *session, enum sw_session_end why, const struct sw_problem *problem)
{
	struct sw_buf *out = &session->engine->assembly;

	if (session->state == SW_SESSION_CLOSING)
		return;
	sw_buf_clear(out);
	sw_msg_problem(out, problem);
	sw_session_send(session, out);
	sw_session_close(session, why);
}

void sw_session_send(struct sw_session *session, struct sw_buf *messages)
{
	sw_stream_write(&session->stream, sw_buf_data(messages), sw_buf_len(messages));
	sw_buf_clear(messages);
}

/* ---- accept */

static uint32_t take_slot(struct sw_engine *engine, struct sw_session *session)
{
	uint32_t slot;

	if (engine->session_count == engine->slot_count) {
		uint32_t count = engine->slot_count ? engine->slot_count * 2 : 64;

		engine->slots = sw_mem_realloc(engine->slots, count * sizeof(*engine->slots));
		memset(engine->slots + engine->slot_count, 0, (count - engine->slot_count) * sizeof(*engine->slots));
		engine->slot_hint = engine->slot_count;
		engine->slot_count = count;
	}
	for (slot = engine->slot_hint; engine->slots[slot]; slot = (slot + 1) % engine->slot_count)
		;
	engine->slots[slot] = session;
	engine->slot_hint = (slot + 1) % engine->slot_count;
	return slot;
}

static void note_address(struct sw_session *session)
{
	struct sockaddr_storage address;
	int len = sizeof(address);

	strcpy(session->address, "unix");
	if (session->stream.uv.stream.type != UV_TCP ||
		uv_tcp_getpeername(&session->stream.uv.tcp, (struct sockaddr *)&address, &len) != 0)
		return;
	uv_ip_name((struct sockaddr *)&address, session->address, sizeof(session->address));
	session->port = address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port) :
							ntohs(((struct sockaddr_in *)&address)->sin_port);
}

void sw_session_accept(struct sw_engine *engine, uv_stream_t *listener)
{
	struct sw_session *session = SW_NEW(struct sw_session);

	session->engine = engine;
	session->number = ++engine->session_serial << 8 | (uint64_t)engine->number;
	session->state = SW_SESSION_STARTUP;
	session->txn_status = 'I';
	session->sticky = session->route.node = -1;
	session->unnamed_serial = ++engine->unnamed_serial;
	session->since_ns = session->active_ns = sw_clock_ns();
	sw_list_init(&session->entry);
	sw_list_init(&session->wait_entry);
	sw_list_init(&session->waiter.entry);
	sw_buf_init(&session->in, IN_BYTES_MAX);
	session->startup_vars = sw_settings_empty(engine->settings);
	session->vars = sw_settings_empty(engine->settings);
	if (listener->type == UV_TCP)
		sw_stream_init_tcp(&session->stream, engine->loop, &stream_hooks, engine->scratch);
	else
		sw_stream_init_pipe(&session->stream, engine->loop, &stream_hooks, engine->scratch);
	sw_list_push_back(&engine->sessions, &session->entry);
	session->slot = take_slot(engine, session);
	engine->session_count++;
	sw_digest_random(session->secret, sizeof(session->secret));
	session->secret_len = 4;
	sw_quota_take(engine->clients, 0, 0);
	if (sw_stream_accept(&session->stream, listener) != SW_OK) {
		sw_session_close(session, SW_END_CLIENT);
		return;
	}
	note_address(session);
	sw_stream_start(&session->stream);
}

/* ---- cancel */

void sw_session_cancel(struct sw_engine *engine, const struct sw_cancel_key *key)
{
	uint32_t slot = key->pid & SLOT_MASK;
	struct sw_session *session;

	if (key->pid >> SLOT_BITS != (uint32_t)engine->number) {
		engine->hooks->on_foreign_cancel(engine, key);
		return;
	}
	session = slot < engine->slot_count ? engine->slots[slot] : NULL;
	if (!session || !session->database || session->secret_len != key->secret_len ||
		!sw_digest_is_equal(session->secret, key->secret, key->secret_len))
		return;
	session->database->stats.cancels++;
	if (session->state == SW_SESSION_WAIT_NODE || session->state == SW_SESSION_WAIT_SERVER) {
		if (!session->unit)
			return; /* still logging in */
		sw_route_stop_waiting(session);
		sw_unit_keep_problem(session->unit, &(struct sw_problem){.sqlstate = "57014",
			.message = "canceling statement due to user request", .detail = "It was waiting for a server connection."});
		sw_session_resume(session);
	} else if (session->server && ((session->state == SW_SESSION_UNIT && session->server->state == SW_SERVER_LINKED) ||
					      (session->state == SW_SESSION_ROUND && session->unit && session->unit->asked))) {
		sw_server_cancel(session->server);
	}
}

/* ---- time */

static bool is_at_rest(const struct sw_session *session)
{
	return session->state <= SW_SESSION_WELCOME || (session->state == SW_SESSION_READY && !session->unit && !session->is_skipping &&
							       session->txn_status == 'I' && session->pool_mode != SW_POOL_SESSION);
}

static const struct sw_problem shutdown_problem = {.severity = "FATAL", .sqlstate = "57P01",
	.message = "terminating connection because seawall is shutting down"};

static void time_out(struct sw_session *session, const char *message, const char *sqlstate)
{
	sw_session_die(session, SW_END_TIMEOUT, &(struct sw_problem){.severity = "FATAL", .message = message,
		.sqlstate = {sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4], 0}});
}

static bool is_over(int64_t since_ns, int64_t limit_us, int64_t now_ns)
{
	return limit_us > 0 && now_ns - since_ns > limit_us * SW_NS_PER_US;
}

void sw_sessions_tick(struct sw_engine *engine, int64_t now_ns)
{
	const struct sw_config *config = engine->config;

	SW_LIST_EACH(&engine->sessions, at, after) {
		struct sw_session *session = SW_CONTAINER_OF(at, struct sw_session, entry);

		if (session->state <= SW_SESSION_WELCOME) {
			if (is_over(session->since_ns, config->client_login_timeout_us, now_ns))
				time_out(session, "client_login_timeout: the login took too long", "08P01");
			continue;
		}
		if (session->seen_queries != session->queries || session->unit) {
			session->seen_queries = session->queries;
			session->active_ns = now_ns;
			continue;
		}
		if (engine->is_draining && is_at_rest(session)) {
			/* Not right behind its last answer: a client that reads both at once would take it for the answer. */
			sw_session_die(session, SW_END_SHUTDOWN, &shutdown_problem);
			continue;
		}
		if (session->txn_status != 'I' && is_over(session->active_ns, config->idle_transaction_timeout_us, now_ns))
			time_out(session, "idle_transaction_timeout: the transaction was idle for too long", "25P03");
		else if (session->txn_status == 'I' && is_over(session->active_ns, config->client_idle_timeout_us, now_ns))
			time_out(session, "client_idle_timeout: the client was idle for too long", "57P05");
	}
	while (!sw_list_is_empty(&engine->waiting_primary)) {
		struct sw_session *first = SW_CONTAINER_OF(engine->waiting_primary.next, struct sw_session, wait_entry);

		if (!is_over(first->unit->waiting_since_ns, config->query_wait_timeout_us, now_ns))
			break;
		sw_route_stop_waiting(first);
		sw_session_resume(first);
	}
}

/* ---- shutdown */

void sw_sessions_drain(struct sw_engine *engine)
{
	engine->is_draining = true;
	SW_LIST_EACH(&engine->sessions, at, after) {
		struct sw_session *session = SW_CONTAINER_OF(at, struct sw_session, entry);

		if (is_at_rest(session))
			sw_session_die(session, SW_END_SHUTDOWN, &shutdown_problem);
	}
	tell_if_idle(engine);
}

void sw_sessions_on_catalog(struct sw_engine *engine)
{
	SW_LIST_EACH(&engine->sessions, at, after) {
		struct sw_session *session = SW_CONTAINER_OF(at, struct sw_session, entry);

		if (session->facts)
			sw_login_on_catalog(session);
	}
}

void sw_sessions_apply_config(struct sw_engine *engine)
{
	SW_LIST_EACH(&engine->sessions, at, after) {
		struct sw_session *session = SW_CONTAINER_OF(at, struct sw_session, entry);

		if (session->database)
			sw_local_apply_config(session);
		if (session->route.reason == SW_ROUTE_DRY && !engine->config->dry_run)
			sw_floor_add_event(&session->floor, -1, true, sw_clock_ns()); /* what it has read was the primary's after all */
	}
}

void sw_sessions_close_all(struct sw_engine *engine)
{
	while (!sw_list_is_empty(&engine->sessions))
		sw_session_die(SW_CONTAINER_OF(engine->sessions.next, struct sw_session, entry), SW_END_SHUTDOWN, &shutdown_problem);
}
