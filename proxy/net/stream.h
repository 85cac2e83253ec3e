/*
 * A stream socket on a worker's loop, plain or TLS: reads into the worker's scratch memory, writes at once where the kernel
 * takes it and buffers the rest. An idle stream owns no buffer. One thread.
 *
 * Contract: sw_stream_close may be called at any time, also from a callback; after it no callback comes but on_closed, once,
 * from the loop. Callbacks never run inside the call that set them up.
 */
#ifndef SW_NET_STREAM_H
#define SW_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/base/buf.h"
#include "proxy/base/err.h"

struct sw_dial;
struct sw_stream;
struct sw_tls;
struct sw_tls_conn;
struct sw_write;

/* What all streams of a loop share, one use at a time. */
struct sw_scratch {
	uint8_t *read;        /* SW_READ_BYTES: one read of any socket */
	uint8_t *opened;      /* what TLS made of it */
	struct sw_buf sealed; /* what TLS wants to be written */
};

void sw_scratch_init(struct sw_scratch *scratch);
void sw_scratch_fini(struct sw_scratch *scratch);

struct sw_stream_hooks {
	/* Bytes arrived; they are gone when the call returns. */
	void (*on_data)(struct sw_stream *stream, const uint8_t *bytes, size_t len);
	/* Nothing more will arrive: SW_ERR_EOF or SW_ERR_IO. Not called for a stream that is being closed. */
	void (*on_end)(struct sw_stream *stream, enum sw_err why);
	/* Everything that was buffered has been written after sw_stream_is_full had become true. */
	void (*on_drained)(struct sw_stream *stream);
	/* The TLS handshake is over: SW_OK, or SW_ERR_AUTH, and sw_stream_tls says why; the caller closes then. */
	void (*on_secure)(struct sw_stream *stream, enum sw_err result);
	/* The last callback. */
	void (*on_closed)(struct sw_stream *stream);
};

struct sw_stream {
	union {
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	const struct sw_stream_hooks *hooks;
	struct sw_scratch *scratch;
	struct sw_tls_conn *tls; /* NULL = plain */
	struct sw_buf waiting;   /* to be written, after what is being written */
	struct sw_dial *dial;    /* a look-up that is under way for it, NULL = none */
	struct sw_write *writing;/* handed to libuv, NULL = none */
	bool is_reading, is_closing, was_full;
	bool is_shaking;         /* the TLS handshake is under way */
};

/* scratch outlives the stream. */
void sw_stream_init_tcp(
	struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch);
void sw_stream_init_pipe(
	struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch);
enum sw_err sw_stream_accept(struct sw_stream *stream, uv_stream_t *listener) SW_MUST_USE;

/*
 * From here on the stream is TLS; on_secure comes when the handshake is over, and nothing may be written before. As the
 * server, first are bytes of the peer's that were read already (a ClientHello without SSLRequest before it), or none; as
 * the client, host is the server's name. SW_ERR_IO: OpenSSL cannot. on_secure and on_data may come from inside accept's call.
 */
enum sw_err sw_stream_accept_tls(struct sw_stream *stream, struct sw_tls *tls, const uint8_t *first, size_t len) SW_MUST_USE;
enum sw_err sw_stream_connect_tls(struct sw_stream *stream, struct sw_tls *tls, const char *host) SW_MUST_USE;

void sw_stream_start(struct sw_stream *stream); /* reading; repeated calls are harmless */
void sw_stream_stop(struct sw_stream *stream);

/*
 * Writes, or keeps what the kernel does not take now. A broken connection is reported by on_end, not here. The bytes may
 * go away when the call returns.
 */
void sw_stream_write(struct sw_stream *stream, const void *bytes, size_t len);

/* Bytes that the kernel has not taken yet. */
size_t sw_stream_unsent(const struct sw_stream *stream);
/* Past the high-water mark: the other side must not be read until on_drained. */
bool sw_stream_is_full(struct sw_stream *stream);

/* Drops what is not written yet (error messages fit the kernel's buffer) and closes. */
void sw_stream_close(struct sw_stream *stream);

#endif
