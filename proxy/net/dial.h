/*
 * Connecting a stream to a node: an address as it stands, a host name through the resolver's thread pool (never on the
 * loop), or a Unix socket where the host is an absolute path; then, where wanted, TLS. One thread.
 */
#ifndef SW_NET_DIAL_H
#define SW_NET_DIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/base/err.h"
#include "proxy/net/stream.h"

struct sw_dial;
struct sw_tls;

struct sw_dial_target {
	const char *host;
	uint16_t port;
	struct sw_tls *tls;   /* NULL = plain; a Unix socket is always plain */
	bool may_be_plain;    /* where the server does not know TLS */
};

/*
 * Connects. Initialises the stream (which must not be in use) and, later, from the loop, calls on_done once: problem is
 * NULL, or says what went wrong. Whatever happens, the caller ends with sw_stream_close; after that on_done does not come
 * any more. The target may go away when the call returns.
 */
void sw_dial_start(struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, struct sw_scratch *scratch,
	const struct sw_dial_target *target, void (*on_done)(struct sw_stream *stream, const char *problem));

/* Called by sw_stream_close: the stream that a dial was for is going away. */
void sw_dial_forget(struct sw_dial *dial);

#endif
