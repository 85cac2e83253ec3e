/*
 * Connecting a stream to a node: an address as it stands, a host name through the resolver's thread pool (never on the
 * loop), or a Unix socket where the host is an absolute path. One thread.
 */
#ifndef SW_NET_DIAL_H
#define SW_NET_DIAL_H

#include <stdint.h>
#include <uv.h>

#include "proxy/base/err.h"
#include "proxy/net/stream.h"

struct sw_dial;

/*
 * Connects to host and port. Initialises the stream (which must not be in use) and, later, from the loop, calls on_done
 * once: status 0 or a negative libuv error. Whatever happens, the caller ends with sw_stream_close; after that on_done
 * does not come any more.
 */
void sw_dial_start(struct sw_stream *stream, uv_loop_t *loop, const struct sw_stream_hooks *hooks, uint8_t *scratch,
	const char *host, uint16_t port, void (*on_done)(struct sw_stream *stream, int status));

/* Called by sw_stream_close: the stream that a look-up was for is going away. */
void sw_dial_forget(struct sw_dial *dial);

#endif
