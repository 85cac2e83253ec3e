/*
 * Dials. A dial owns itself. The stream's handle exists from sw_dial_start on, so the owner can close it at any moment: while
 * a dial is under way the stream points at it, and closing the stream makes the dial forget it. A look-up or the connect of
 * a Unix socket may outlive that; then the dial is freed in its callback, else at once.
 *
 *	look-up → connect to each address in turn → (SSLRequest → one byte → handshake) → done
 *
 * While TLS is agreed on, the stream's hooks are the dial's; the owner's are put back before on_done, and for the end.
 * Runs on the loop of the stream.
 * Source: PostgreSQL manual, 55.2.10 'SSL Session Encryption'.
 */
#include "proxy/net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/list.h"
#include "proxy/base/mem.h"
#include "proxy/net/tls.h"

static const uint8_t ssl_request[8] = {0, 0, 0, 8, 4, 210, 22, 47};

enum dial_phase { DIAL_LOOK_UP, DIAL_PIPE, DIAL_CONNECT, DIAL_TLS };

/* A connection to one of the addresses, under way. */
struct attempt {
	uv_tcp_t tcp;
	uv_connect_t connect;
	struct sw_dial *dial; /* NULL: nobody waits for it any more */
};

struct sw_dial {
	uv_loop_t *loop;
	uv_connect_t connect; /* of a Unix socket */
	struct attempt *attempt;
	struct addrinfo *found, *next; /* addresses: all, and those that were not tried */
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
	uv_freeaddrinfo(dial->found);
	sw_tls_unref(dial->tls);
	sw_mem_free(dial->host);
	sw_mem_free(dial);
}

/* The last word; nobody hears it where the stream was closed. */
static void finish(struct sw_dial *dial, const char *problem)
{
	struct sw_stream *stream = dial->stream;
	void (*on_done)(struct sw_stream *, const char *) = dial->on_done;

	if (stream) {
		stream->dial = NULL;
		if (dial->hooks)
			stream->hooks = dial->hooks;
	}
	free_dial(dial);
	if (stream)
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
	sw_stream_start(stream);
	sw_stream_write(stream, ssl_request, sizeof(ssl_request));
}

/* ---- connect: the addresses in turn, each with a handle of its own, since a handle that failed is of no more use */

static void on_attempt_closed(uv_handle_t *handle)
{
	sw_mem_free(SW_CONTAINER_OF(handle, struct attempt, tcp));
}

static void end_attempt(struct attempt *attempt)
{
	if (attempt->dial)
		attempt->dial->attempt = NULL;
	attempt->dial = NULL;
	if (!uv_is_closing((uv_handle_t *)&attempt->tcp))
		uv_close((uv_handle_t *)&attempt->tcp, on_attempt_closed);
}

/* The stream is connected, or may be so. */
static void on_connected(struct sw_dial *dial, int status)
{
	if (status != 0)
		finish(dial, uv_strerror(status));
	else if (dial->tls)
		ask_for_tls(dial);
	else
		finish(dial, NULL);
}

static void on_pipe_connected(uv_connect_t *connect, int status)
{
	struct sw_dial *dial = SW_CONTAINER_OF(connect, struct sw_dial, connect);

	if (dial->stream)
		on_connected(dial, status);
	else
		free_dial(dial);
}

/* Moves the connection to the stream's handle. */
static int adopt(struct sw_dial *dial, const struct attempt *attempt)
{
	uv_tcp_t *tcp = &dial->stream->uv.tcp;
	uv_os_fd_t descriptor;
	int status = uv_fileno((const uv_handle_t *)&attempt->tcp, &descriptor), copy;

	if (status != 0)
		return status;
	copy = dup(descriptor);
	if (copy < 0 || fcntl(copy, F_SETFD, FD_CLOEXEC) != 0)
		return uv_translate_sys_error(errno);
	status = uv_tcp_open(tcp, copy);
	if (status != 0) {
		close(copy);
		return status;
	}
	uv_tcp_nodelay(tcp, 1);
	uv_tcp_keepalive(tcp, 1, 60);
	return 0;
}

static void try_next(struct sw_dial *dial);

static void on_attempted(uv_connect_t *connect, int status)
{
	struct attempt *attempt = SW_CONTAINER_OF(connect, struct attempt, connect);
	struct sw_dial *dial = attempt->dial;

	if (!dial)
		return; /* forgotten, and closing already */
	dial->status = status == 0 ? adopt(dial, attempt) : status;
	end_attempt(attempt);
	if (dial->status == 0)
		on_connected(dial, 0);
	else
		try_next(dial);
}

/* A libuv error where it is known at once. */
static int start_attempt(struct sw_dial *dial, const struct sockaddr *address)
{
	struct attempt *attempt = SW_NEW(struct attempt);
	int status;

	attempt->dial = dial;
	dial->attempt = attempt;
	uv_tcp_init(dial->loop, &attempt->tcp);
	status = uv_tcp_connect(&attempt->connect, &attempt->tcp, address, on_attempted);
	if (status != 0)
		end_attempt(attempt);
	return status;
}

/* From the loop. The last reason is the one that is told. */
static void try_next(struct sw_dial *dial)
{
	while (dial->next) {
		const struct sockaddr *address = dial->next->ai_addr;

		dial->next = dial->next->ai_next;
		dial->status = start_attempt(dial, address);
		if (dial->status == 0)
			return;
	}
	on_connected(dial, dial->status);
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

static void fail_later(struct sw_dial *dial, int status)
{
	dial->phase = DIAL_LOOK_UP;
	dial->status = status;
	uv_timer_init(dial->loop, &dial->later);
	uv_timer_start(&dial->later, on_later, 0, 0);
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
	struct sw_dial *dial = SW_CONTAINER_OF(lookup, struct sw_dial, lookup);

	dial->found = dial->next = found;
	if (!dial->stream) {
		free_dial(dial);
		return;
	}
	dial->phase = DIAL_CONNECT;
	dial->status = status != 0 ? status : UV_EAI_NODATA;
	try_next(dial);
}

static void resolve(struct sw_dial *dial)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	char port[8];
	int status;

	snprintf(port, sizeof(port), "%u", dial->port);
	status = uv_getaddrinfo(dial->loop, &dial->lookup, on_resolved, dial->host, port, &hints);
	if (status != 0)
		fail_later(dial, status);
}

void sw_dial_forget(struct sw_dial *dial)
{
	struct sw_stream *stream = dial->stream;

	stream->dial = NULL;
	dial->stream = NULL;
	if (dial->phase == DIAL_LOOK_UP || dial->phase == DIAL_PIPE)
		return; /* it is freed when libuv has done with it */
	if (dial->attempt)
		end_attempt(dial->attempt);
	if (dial->hooks)
		stream->hooks = dial->hooks;
	free_dial(dial);
}

void sw_dial_start(struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch,
	const struct sw_dial_target *target, void (*on_done)(struct sw_stream *stream, const char *problem))
{
	struct sw_dial *dial = SW_NEW(struct sw_dial);
	struct sockaddr_storage address;
	char path[512];
	int status;

	dial->stream = stream;
	dial->loop = loop;
	dial->on_done = on_done;
	dial->port = target->port;
	dial->host = sw_mem_strdup(target->host);
	if (target->host[0] == '/') {
		dial->phase = DIAL_PIPE;
		sw_stream_init_pipe(stream, loop, hooks, scratch);
		stream->dial = dial;
		snprintf(path, sizeof(path), "%s/.s.PGSQL.%u", target->host, target->port);
		uv_pipe_connect(&dial->connect, &stream->uv.pipe, path, on_pipe_connected);
		return;
	}
	dial->tls = sw_tls_ref(target->tls);
	dial->may_be_plain = target->may_be_plain;
	sw_stream_init_tcp(stream, loop, hooks, scratch);
	stream->dial = dial;
	dial->phase = DIAL_LOOK_UP;
	if (uv_ip4_addr(target->host, target->port, (struct sockaddr_in *)&address) != 0 &&
		uv_ip6_addr(target->host, target->port, (struct sockaddr_in6 *)&address) != 0) {
		resolve(dial);
		return;
	}
	dial->phase = DIAL_CONNECT;
	status = start_attempt(dial, (struct sockaddr *)&address);
	if (status != 0)
		fail_later(dial, status);
}
