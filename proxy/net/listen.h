/* Listening sockets, opened once by the control thread and duplicated by every worker. */
#ifndef SW_NET_LISTEN_H
#define SW_NET_LISTEN_H

#include <stdint.h>

#include "proxy/base/err.h"

#define SW_LISTENERS_MAX 16

/*
 * Opens a socket for every address of the comma separated list ("localhost" = both loopback addresses, as far as the machine
 * has them; "*" = every address) and, where unix_dir is not empty, unix_dir/.s.PGSQL.port. Says in the log what failed.
 * Control thread, before workers start.
 */
enum sw_err sw_listen_open(const char *addresses, uint16_t port, const char *unix_dir, int backlog, int out[SW_LISTENERS_MAX],
	int *ret_count) SW_MUST_USE;
/* Closes them and removes the Unix socket's file. */
void sw_listen_close(const int *descriptors, int count);

#endif
