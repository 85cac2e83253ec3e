/*
 * Stream sockets over libuv. Owns the write buffers; runs on the loop of the worker that made the stream.
 * Invariant: bytes leave in the order of sw_stream_write: 'writing' is in libuv's hands, 'waiting' goes after it. With TLS
 * each write is sealed when it is made, so both hold records.
 * What is not here: what TLS is (tls.c), and any knowledge of messages.
 */
#include "proxy/net/stream.h"

#include <assert.h>
#include <string.h>

#include "proxy/base/limits.h"
#include "proxy/base/list.h"
#include "proxy/base/mem.h"
#include "proxy/net/dial.h"
#include "proxy/net/tls.h"

/* A response that is forwarded has been cut at the high-water mark already; this only bounds a fault of the callers. */
#define WAITING_BYTES_MAX (64u * 1024 * 1024)

/* Bytes sealed at a time, and what becomes of them: headers and tags add less than a tenth. */
#define SEAL_BYTES       SW_READ_BYTES
#define SEALED_BYTES_MAX (SEAL_BYTES * 2)

#define OPENED_BYTES (SW_READ_BYTES + SW_TLS_RECORD_BYTES)

struct sw_write {
	uv_write_t req;
	struct sw_stream *stream;
	struct sw_buf bytes;
};

void sw_scratch_init(struct sw_scratch *scratch)
{
	scratch->read = sw_mem_alloc(SW_READ_BYTES);
	scratch->opened = sw_mem_alloc(OPENED_BYTES);
	sw_buf_init(&scratch->sealed, SEALED_BYTES_MAX);
}

void sw_scratch_fini(struct sw_scratch *scratch)
{
	sw_mem_free(scratch->read);
	sw_mem_free(scratch->opened);
	sw_buf_fini(&scratch->sealed);
}

static void init_common(struct sw_stream *stream, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch)
{
	stream->hooks = hooks;
	stream->scratch = scratch;
	stream->tls = NULL;
	sw_buf_init(&stream->waiting, WAITING_BYTES_MAX);
	stream->writing = NULL;
	stream->dial = NULL;
	stream->is_reading = stream->is_closing = stream->was_full = stream->is_shaking = false;
}

void sw_stream_init_tcp(
	struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch)
{
	uv_tcp_init(loop, &stream->uv.tcp);
	init_common(stream, hooks, scratch);
}

void sw_stream_init_pipe(
	struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch)
{
	uv_pipe_init(loop, &stream->uv.pipe, 0);
	init_common(stream, hooks, scratch);
}

enum sw_err sw_stream_accept(struct sw_stream *stream, uv_stream_t *listener)
{
	if (uv_accept(listener, &stream->uv.stream) != 0)
		return SW_ERR_IO;
	if (stream->uv.stream.type == UV_TCP)
		uv_tcp_nodelay(&stream->uv.tcp, 1);
	return SW_OK;
}

static struct sw_stream *stream_of(uv_handle_t *handle)
{
	return SW_CONTAINER_OF(handle, struct sw_stream, uv);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	(void)suggested;
	*ret_buf = uv_buf_init((char *)stream_of(handle)->scratch->read, SW_READ_BYTES);
}

static void end(struct sw_stream *stream, enum sw_err why)
{
	sw_stream_stop(stream);
	stream->hooks->on_end(stream, why);
}

static void write_raw(struct sw_stream *stream, const uint8_t *bytes, size_t len);

static void flush_sealed(struct sw_stream *stream)
{
	struct sw_buf *sealed = &stream->scratch->sealed;

	write_raw(stream, sw_buf_data(sealed), sw_buf_len(sealed));
	sw_buf_clear(sealed);
}

/* A step of the handshake; true where it is over and the stream still there. */
static bool shake(struct sw_stream *stream)
{
	enum sw_err result = sw_tls_shake(stream->tls, &stream->scratch->sealed);

	flush_sealed(stream);
	if (result == SW_ERR_AGAIN)
		return false;
	stream->is_shaking = false;
	stream->hooks->on_secure(stream, result);
	return result == SW_OK && !stream->is_closing;
}

static void on_sealed(struct sw_stream *stream, const uint8_t *bytes, size_t sealed_len)
{
	struct sw_scratch *scratch = stream->scratch;
	enum sw_err result;
	size_t len;

	sw_tls_feed(stream->tls, bytes, sealed_len);
	if (stream->is_shaking && !shake(stream))
		return;
	result = sw_tls_open(stream->tls, scratch->opened, OPENED_BYTES, &len, &scratch->sealed);
	/* TLS itself has answered: a peer that makes it do so and reads nothing would have us keep the answers for it. */
	if (sw_buf_len(&scratch->sealed) > 0 && sw_stream_unsent(stream) > SW_HIGH_WATER_BYTES)
		result = SW_ERR_PROTOCOL;
	flush_sealed(stream);
	if (len > 0)
		stream->hooks->on_data(stream, scratch->opened, len);
	if (result != SW_OK && !stream->is_closing)
		end(stream, result == SW_ERR_EOF ? SW_ERR_EOF : SW_ERR_IO);
}

static void on_read(uv_stream_t *handle, ssize_t got, const uv_buf_t *buf)
{
	struct sw_stream *stream = stream_of((uv_handle_t *)handle);

	if (got == 0 || stream->is_closing)
		return;
	if (got < 0)
		end(stream, got == UV_EOF ? SW_ERR_EOF : SW_ERR_IO);
	else if (stream->tls)
		on_sealed(stream, (const uint8_t *)buf->base, (size_t)got);
	else
		stream->hooks->on_data(stream, (const uint8_t *)buf->base, (size_t)got);
}

enum sw_err sw_stream_accept_tls(struct sw_stream *stream, struct sw_tls *tls, const uint8_t *first, size_t len)
{
	stream->tls = sw_tls_accept(tls);
	if (!stream->tls)
		return SW_ERR_IO;
	stream->is_shaking = true;
	if (len > 0)
		on_sealed(stream, first, len);
	return SW_OK;
}

enum sw_err sw_stream_connect_tls(struct sw_stream *stream, struct sw_tls *tls, const char *host)
{
	stream->tls = sw_tls_connect(tls, host);
	if (!stream->tls)
		return SW_ERR_IO;
	stream->is_shaking = true;
	/* Our first words; the handshake cannot be over before the server has answered. */
	(void)shake(stream);
	return SW_OK;
}

void sw_stream_start(struct sw_stream *stream)
{
	if (stream->is_reading || stream->is_closing)
		return;
	if (uv_read_start(&stream->uv.stream, on_alloc, on_read) == 0)
		stream->is_reading = true;
}

void sw_stream_stop(struct sw_stream *stream)
{
	if (!stream->is_reading || stream->is_closing)
		return;
	uv_read_stop(&stream->uv.stream);
	stream->is_reading = false;
}

static void start_writing(struct sw_stream *stream);

static void on_written(uv_write_t *req, int status)
{
	struct sw_write *done = SW_CONTAINER_OF(req, struct sw_write, req);
	struct sw_stream *stream = done->stream;

	sw_buf_fini(&done->bytes);
	sw_mem_free(done);
	stream->writing = NULL;
	if (stream->is_closing)
		return;
	if (status < 0) {
		sw_stream_stop(stream);
		sw_buf_fini(&stream->waiting);
		stream->hooks->on_end(stream, SW_ERR_IO);
		return;
	}
	if (sw_buf_len(&stream->waiting) > 0) {
		start_writing(stream);
		return;
	}
	if (stream->was_full) {
		stream->was_full = false;
		stream->hooks->on_drained(stream);
	}
}

/* Hands all that waits to libuv, which writes when the socket can take it. */
static void start_writing(struct sw_stream *stream)
{
	struct sw_write *write = SW_NEW(struct sw_write);
	uv_buf_t buf;

	write->stream = stream;
	write->bytes = stream->waiting;
	sw_buf_init(&stream->waiting, WAITING_BYTES_MAX);
	buf = uv_buf_init((char *)sw_buf_data(&write->bytes), (unsigned)sw_buf_len(&write->bytes));
	stream->writing = write;
	if (uv_write(&write->req, &stream->uv.stream, &buf, 1, on_written) != 0) {
		/* Only a closed descriptor gets here: the end is reported by the read side. */
		stream->writing = NULL;
		sw_buf_fini(&write->bytes);
		sw_mem_free(write);
	}
}

static void write_raw(struct sw_stream *stream, const uint8_t *bytes, size_t len)
{
	if (stream->is_closing || len == 0)
		return;
	if (!stream->writing) {
		uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
		int wrote = uv_try_write(&stream->uv.stream, &buf, 1);

		if (wrote == (int)len)
			return;
		if (wrote > 0) {
			bytes += wrote;
			len -= (size_t)wrote;
		}
	}
	if (sw_buf_append(&stream->waiting, bytes, len) != SW_OK)
		assert(!"a writer ignored sw_stream_is_full");
	if (!stream->writing)
		start_writing(stream);
}

void sw_stream_write(struct sw_stream *stream, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	if (!stream->tls) {
		write_raw(stream, at, len);
		return;
	}
	while (len > 0 && !stream->is_closing) {
		size_t some = len < SEAL_BYTES ? len : SEAL_BYTES;

		enum sw_err result = sw_tls_seal(stream->tls, at, some, &stream->scratch->sealed);

		flush_sealed(stream);
		if (result != SW_OK)
			return; /* the read side reports it */
		at += some;
		len -= some;
	}
}

size_t sw_stream_unsent(const struct sw_stream *stream)
{
	return sw_buf_len(&stream->waiting) + (stream->writing ? sw_buf_len(&stream->writing->bytes) : 0);
}

bool sw_stream_is_full(struct sw_stream *stream)
{
	if (sw_stream_unsent(stream) > SW_HIGH_WATER_BYTES)
		stream->was_full = true;
	return stream->was_full;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct sw_stream *stream = stream_of(handle);

	sw_buf_fini(&stream->waiting);
	sw_tls_conn_free(stream->tls);
	stream->hooks->on_closed(stream);
}

void sw_stream_close(struct sw_stream *stream)
{
	if (stream->is_closing)
		return;
	if (stream->tls) {
		sw_tls_say_bye(stream->tls, &stream->scratch->sealed);
		flush_sealed(stream);
	}
	stream->is_closing = true;
	if (stream->dial)
		sw_dial_forget(stream->dial);
	/* libuv ends a write in flight with UV_ECANCELED before the close callback: on_written frees it. */
	uv_close((uv_handle_t *)&stream->uv.stream, on_handle_closed);
}
