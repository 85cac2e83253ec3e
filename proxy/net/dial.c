/*
 * Dials. A dial owns itself: it is freed in its last callback. The stream's handle exists from sw_dial_start on, so the
 * owner can close it at any moment. libuv cancels a connect before it reports the handle as closed; a look-up may outlive
 * the stream, so while one is under way the stream points at its dial, and closing the stream makes the dial forget it.
 * Runs on the loop of the stream.
 */
#include "proxy/net/dial.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/list.h"
#include "proxy/base/mem.h"

struct sw_dial {
	uv_connect_t connect;
	uv_getaddrinfo_t lookup;
	uv_timer_t later; /* reports an error that was known at once, from the loop */
	struct sw_stream *stream;
	void (*on_done)(struct sw_stream *stream, int status);
	uint16_t port;
	int status;
};

/* The stream may have been closed, but not freed: libuv cancels requests before it calls on_closed. */
static void finish(struct sw_dial *dial, int status)
{
	struct sw_stream *stream = dial->stream;
	void (*on_done)(struct sw_stream *, int) = dial->on_done;

	sw_mem_free(dial);
	if (stream && !stream->is_closing)
		on_done(stream, status);
}

static void on_connected(uv_connect_t *connect, int status)
{
	finish(SW_CONTAINER_OF(connect, struct sw_dial, connect), status);
}

static void on_later_closed(uv_handle_t *handle)
{
	struct sw_dial *dial = SW_CONTAINER_OF(handle, struct sw_dial, later);

	if (dial->stream)
		dial->stream->dial = NULL;
	finish(dial, dial->status);
}

static void on_later(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, on_later_closed);
}

static void fail_later(struct sw_dial *dial, uv_loop_t *loop, int status)
{
	dial->status = status;
	dial->stream->dial = dial;
	uv_timer_init(loop, &dial->later);
	uv_timer_start(&dial->later, on_later, 0, 0);
}

static void connect_to(struct sw_dial *dial, const struct sockaddr *address)
{
	struct sw_stream *stream = dial->stream;
	int status = uv_tcp_connect(&dial->connect, &stream->uv.tcp, address, on_connected);

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
		sw_mem_free(dial);
	else if (status != 0)
		finish(dial, status);
	else
		connect_to(dial, found->ai_addr);
	uv_freeaddrinfo(found);
}

static void resolve(struct sw_dial *dial, uv_loop_t *loop, const char *host)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	char port[8];
	int status;

	snprintf(port, sizeof(port), "%u", dial->port);
	dial->stream->dial = dial;
	status = uv_getaddrinfo(loop, &dial->lookup, on_resolved, host, port, &hints);
	if (status != 0)
		fail_later(dial, loop, status);
}

void sw_dial_forget(struct sw_dial *dial)
{
	dial->stream = NULL;
}

void sw_dial_start(struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, uint8_t *scratch,
	const char *host, uint16_t port, void (*on_done)(struct sw_stream *stream, int status))
{
	struct sw_dial *dial = SW_NEW(struct sw_dial);
	struct sockaddr_storage address;
	char path[512];

	dial->stream = stream;
	dial->on_done = on_done;
	dial->port = port;
	if (host[0] == '/') {
		sw_stream_init_pipe(stream, loop, hooks, scratch);
		snprintf(path, sizeof(path), "%s/.s.PGSQL.%u", host, port);
		uv_pipe_connect(&dial->connect, &stream->uv.pipe, path, on_connected);
		return;
	}
	sw_stream_init_tcp(stream, loop, hooks, scratch);
	if (uv_ip4_addr(host, port, (struct sockaddr_in *)&address) == 0 ||
		uv_ip6_addr(host, port, (struct sockaddr_in6 *)&address) == 0)
		connect_to(dial, (struct sockaddr *)&address);
	else
		resolve(dial, loop, host);
}
