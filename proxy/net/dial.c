/*
 * Dials. A dial owns itself: it is freed in its last callback. The stream's handle exists from sw_dial_start on, so the
 * owner can close it at any moment. libuv cancels a connect before it reports the handle as closed; a look-up may outlive
 * the stream, so while one is under way the stream points at its dial, and closing the stream makes the dial forget it.
 *
 *	look-up → connect → (SSLRequest → one byte → handshake) → done
 *
 * While TLS is agreed on, the stream's hooks are the dial's; the owner's are put back before on_done, and for the end.
 * Runs on the loop of the stream.
 * Source: PostgreSQL manual, 55.2.10 'SSL Session Encryption'.
 */
#include "proxy/net/dial.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/list.h"
#include "proxy/base/mem.h"
#include "proxy/net/tls.h"

static const uint8_t ssl_request[8] = {0, 0, 0, 8, 4, 210, 22, 47};

enum dial_phase { DIAL_LOOK_UP, DIAL_CONNECT, DIAL_TLS };

struct sw_dial {
	uv_connect_t connect;
	uv_getaddrinfo_t lookup;
	uv_timer_t later; /* reports an error that was known at once, from the loop */
	struct sw_stream *stream;
	const struct sw_stream_hooks *hooks; /* the owner's, while the stream's are ours */
	void (*on_done)(struct sw_stream *stream, const char *problem);
	struct sw_tls *tls;
	char *host;
	enum dial_phase phase;
	uint16_t port;
	int status;
	bool may_be_plain;
};

static void free_dial(struct sw_dial *dial)
{
	sw_tls_unref(dial->tls);
	sw_mem_free(dial->host);
	sw_mem_free(dial);
}

/* The stream may have been closed, but not freed: libuv cancels requests before it calls on_closed. */
static void finish(struct sw_dial *dial, const char *problem)
{
	struct sw_stream *stream = dial->stream;
	void (*on_done)(struct sw_stream *, const char *) = dial->on_done;

	if (stream && !stream->is_closing) {
		stream->dial = NULL;
		if (dial->hooks)
			stream->hooks = dial->hooks;
	}
	free_dial(dial);
	if (stream && !stream->is_closing)
		on_done(stream, problem);
}

/* ---- TLS */

static struct sw_dial *dial_of(struct sw_stream *stream)
{
	return stream->dial;
}

static void on_answer(struct sw_stream *stream, const uint8_t *bytes, size_t len)
{
	struct sw_dial *dial = dial_of(stream);

	if (bytes[0] == 'N' && len == 1 && dial->may_be_plain) {
		finish(dial, NULL);
	} else if (bytes[0] == 'N' && len == 1) {
		finish(dial, "the server does not support TLS, and server_tls_sslmode asks for it");
	} else if (bytes[0] == 'S' && len > 1) {
		/* What came in plain text behind the answer may be somebody else's. */
		finish(dial, "the server sent unencrypted data after its answer to SSLRequest");
	} else if (bytes[0] != 'S') {
		finish(dial, "the server refused the request for TLS");
	} else if (sw_stream_connect_tls(stream, dial->tls, dial->host) != SW_OK) {
		finish(dial, "OpenSSL could not start the handshake");
	}
}

static void on_secure(struct sw_stream *stream, enum sw_err result)
{
	char problem[SW_TLS_WHY_MAX];

	if (result == SW_OK) {
		finish(dial_of(stream), NULL);
		return;
	}
	snprintf(problem, sizeof(problem), "TLS handshake: %s", sw_tls_reason(stream->tls));
	finish(dial_of(stream), problem);
}

static void on_end(struct sw_stream *stream, enum sw_err why)
{
	(void)why;
	finish(dial_of(stream), "the server closed the connection before TLS was agreed on");
}

static void on_drained(struct sw_stream *stream)
{
	(void)stream;
}

static const struct sw_stream_hooks tls_hooks = {
	.on_data = on_answer, .on_end = on_end, .on_drained = on_drained, .on_secure = on_secure};

static void ask_for_tls(struct sw_dial *dial)
{
	struct sw_stream *stream = dial->stream;

	dial->phase = DIAL_TLS;
	dial->hooks = stream->hooks;
	stream->hooks = &tls_hooks;
	stream->dial = dial;
	sw_stream_start(stream);
	sw_stream_write(stream, ssl_request, sizeof(ssl_request));
}

/* ---- connect */

static void on_connected(uv_connect_t *connect, int status)
{
	struct sw_dial *dial = SW_CONTAINER_OF(connect, struct sw_dial, connect);

	if (status != 0)
		finish(dial, uv_strerror(status));
	else if (dial->tls && !dial->stream->is_closing)
		ask_for_tls(dial);
	else
		finish(dial, NULL);
}

static void on_later_closed(uv_handle_t *handle)
{
	struct sw_dial *dial = SW_CONTAINER_OF(handle, struct sw_dial, later);

	finish(dial, uv_strerror(dial->status));
}

static void on_later(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, on_later_closed);
}

static void fail_later(struct sw_dial *dial, uv_loop_t *loop, int status)
{
	dial->phase = DIAL_LOOK_UP;
	dial->status = status;
	dial->stream->dial = dial;
	uv_timer_init(loop, &dial->later);
	uv_timer_start(&dial->later, on_later, 0, 0);
}

static void connect_to(struct sw_dial *dial, const struct sockaddr *address)
{
	struct sw_stream *stream = dial->stream;
	int status;

	dial->phase = DIAL_CONNECT;
	status = uv_tcp_connect(&dial->connect, &stream->uv.tcp, address, on_connected);
	if (status != 0) {
		fail_later(dial, stream->uv.tcp.loop, status);
		return;
	}
	uv_tcp_nodelay(&stream->uv.tcp, 1);
	uv_tcp_keepalive(&stream->uv.tcp, 1, 60);
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
	struct sw_dial *dial = SW_CONTAINER_OF(lookup, struct sw_dial, lookup);

	if (dial->stream)
		dial->stream->dial = NULL;
	if (!dial->stream || dial->stream->is_closing)
		free_dial(dial);
	else if (status != 0)
		finish(dial, uv_strerror(status));
	else
		connect_to(dial, found->ai_addr);
	uv_freeaddrinfo(found);
}

static void resolve(struct sw_dial *dial, uv_loop_t *loop)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	char port[8];
	int status;

	snprintf(port, sizeof(port), "%u", dial->port);
	dial->stream->dial = dial;
	status = uv_getaddrinfo(loop, &dial->lookup, on_resolved, dial->host, port, &hints);
	if (status != 0)
		fail_later(dial, loop, status);
}

void sw_dial_forget(struct sw_dial *dial)
{
	struct sw_stream *stream = dial->stream;

	dial->stream = NULL;
	if (dial->phase != DIAL_TLS)
		return;
	/* Nothing of libuv's is under way for it. */
	stream->dial = NULL;
	stream->hooks = dial->hooks;
	free_dial(dial);
}

void sw_dial_start(struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch,
	const struct sw_dial_target *target, void (*on_done)(struct sw_stream *stream, const char *problem))
{
	struct sw_dial *dial = SW_NEW(struct sw_dial);
	struct sockaddr_storage address;
	char path[512];

	dial->stream = stream;
	dial->on_done = on_done;
	dial->port = target->port;
	dial->host = sw_mem_strdup(target->host);
	if (target->host[0] == '/') {
		dial->phase = DIAL_CONNECT;
		sw_stream_init_pipe(stream, loop, hooks, scratch);
		snprintf(path, sizeof(path), "%s/.s.PGSQL.%u", target->host, target->port);
		uv_pipe_connect(&dial->connect, &stream->uv.pipe, path, on_connected);
		return;
	}
	dial->tls = sw_tls_ref(target->tls);
	dial->may_be_plain = target->may_be_plain;
	sw_stream_init_tcp(stream, loop, hooks, scratch);
	if (uv_ip4_addr(target->host, target->port, (struct sockaddr_in *)&address) == 0 ||
		uv_ip6_addr(target->host, target->port, (struct sockaddr_in6 *)&address) == 0)
		connect_to(dial, (struct sockaddr *)&address);
	else
		resolve(dial, loop);
}
