/*
 * Listening sockets. One socket an address serves all workers: each duplicates it and accepts from the same queue, so no
 * client waits behind a busy worker while another is idle. Control thread.
 */
#include "proxy/net/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "proxy/base/log.h"

static int open_socket(const struct sockaddr *address, socklen_t len, int backlog)
{
	int one = 1;
	int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return -1;
	if (address->sa_family != AF_UNIX)
		setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->sa_family == AF_INET6)
		setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(descriptor, address, len) == 0 && listen(descriptor, backlog) == 0)
		return descriptor;
	close(descriptor);
	return -1;
}

static enum sw_err add_tcp(const char *text, uint16_t port, int backlog, int *out, int *count)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t len = sizeof(address.v4);

	if (uv_ip4_addr(text, port, &address.v4) != 0) {
		if (uv_ip6_addr(text, port, &address.v6) != 0)
			return SW_ERR_SYNTAX;
		len = sizeof(address.v6);
	}
	if (*count == SW_LISTENERS_MAX)
		return SW_ERR_LIMIT;
	out[*count] = open_socket(&address.any, len, backlog);
	if (out[*count] < 0)
		return SW_ERR_IO;
	(*count)++;
	return SW_OK;
}

/* Both families of "*" and "localhost": one of them may be missing on the machine, not both. */
static enum sw_err add_both(const char *v4, const char *v6, uint16_t port, int backlog, int *out, int *count)
{
	enum sw_err first = add_tcp(v4, port, backlog, out, count);
	int kept_errno = errno;
	enum sw_err second = add_tcp(v6, port, backlog, out, count);

	errno = kept_errno;
	return first == SW_OK || (first == SW_ERR_IO && kept_errno == EADDRNOTAVAIL) ? (first == SW_OK ? SW_OK : second) : first;
}

static enum sw_err add_address(const char *text, uint16_t port, int backlog, int *out, int *count)
{
	enum sw_err err;

	if (strcmp(text, "*") == 0)
		err = add_both("0.0.0.0", "::", port, backlog, out, count);
	else if (strcmp(text, "localhost") == 0)
		err = add_both("127.0.0.1", "::1", port, backlog, out, count);
	else
		err = add_tcp(text, port, backlog, out, count);
	if (err != SW_OK)
		sw_log(SW_LOG_ERROR, "could not listen on \"%s\" port %u: %s", text, port,
			err == SW_ERR_IO ? strerror(errno) : sw_err_text(err));
	return err;
}

static enum sw_err add_unix(const char *dir, uint16_t port, int backlog, int *out, int *count)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int probe;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.%u", dir, port);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe >= 0 && connect(probe, (struct sockaddr *)&address, sizeof(address)) == 0) {
		close(probe);
		sw_log(SW_LOG_ERROR, "could not listen on \"%s\": another server is using it", address.sun_path);
		return SW_ERR_IO;
	}
	if (probe >= 0)
		close(probe);
	unlink(address.sun_path); /* left by a server that did not end in order */
	if (*count == SW_LISTENERS_MAX)
		return SW_ERR_LIMIT;
	out[*count] = open_socket((struct sockaddr *)&address, sizeof(address), backlog);
	if (out[*count] < 0) {
		sw_log(SW_LOG_ERROR, "could not listen on \"%s\": %s", address.sun_path, strerror(errno));
		return SW_ERR_IO;
	}
	chmod(address.sun_path, 0777);
	(*count)++;
	return SW_OK;
}

enum sw_err sw_listen_open(const char *addresses, uint16_t port, const char *unix_dir, int backlog, int out[SW_LISTENERS_MAX],
	int *ret_count)
{
	char list[512], *rest = list, *item;
	enum sw_err err = SW_OK;
	int count = 0;

	snprintf(list, sizeof(list), "%s", addresses);
	while (err == SW_OK && (item = strsep(&rest, ", ")))
		if (*item)
			err = add_address(item, port, backlog, out, &count);
	if (err == SW_OK && *unix_dir)
		err = add_unix(unix_dir, port, backlog, out, &count);
	if (err == SW_OK && count == 0) {
		sw_log(SW_LOG_ERROR, "nothing to listen on: set listen_addr or unix_socket_dir");
		err = SW_ERR_CONFIG;
	}
	if (err != SW_OK) {
		sw_listen_close(out, count);
		return err;
	}
	*ret_count = count;
	return SW_OK;
}

void sw_listen_close(const int *descriptors, int count)
{
	for (int i = 0; i < count; i++) {
		struct sockaddr_un address;
		socklen_t len = sizeof(address);

		if (getsockname(descriptors[i], (struct sockaddr *)&address, &len) == 0 && address.sun_family == AF_UNIX)
			unlink(address.sun_path);
		close(descriptors[i]);
	}
}
