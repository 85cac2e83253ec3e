/*
 * libpq on libuv. The only file that drives libpq's connection machine; owners see results, a broken link and
 * a timer. Runs on the thread of the loop.
 *
 * libpq closes and opens sockets as it likes while it connects (addresses in turn, a retry without TLS), so
 * the watch on its descriptor is taken down before every PQconnectPoll and put up anew after it. Once
 * connected the descriptor stays. The watch always goes before PQfinish: a closed descriptor number may be
 * another socket's a moment later.
 *
 * Invariant: a watch exists only with a connection. A look-up that is overdue is left to itself (libuv's
 * thread cannot be stopped) and finds out by a NULL that nobody waits.
 *
 * Not here: time-outs and reconnecting, which are the owner's, by on_timer; PQcancel, which blocks.
 */
#include "lagmon/link.h"

#include <assert.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/clock.h"
#include "proxy/base/mem.h"
#include "proxy/net/tls.h"

/* Of a name with more addresses the first few are tried, in the resolver's order. */
#define ADDRESSES_MAX 4
#define HOST_BYTES    256
#define ADDRESS_BYTES 64
#define LIST_BYTES    (ADDRESSES_MAX * (HOST_BYTES + 1))

enum link_state { LINK_IDLE, LINK_RESOLVING, LINK_CONNECTING, LINK_READY, LINK_BUSY };

struct look_up {
	uv_getaddrinfo_t request;
	struct sw_link *link; /* NULL: nobody waits for it any more */
};

struct sw_link {
	uv_loop_t *loop;
	const struct sw_link_hooks *hooks;
	void *arg;
	enum link_state state;
	PGconn *conn;
	uv_poll_t *watch;
	int watched; /* events */
	struct look_up *look_up;
	uv_timer_t timer;
	int64_t wake_ns;
	int open_handles;
	void (*on_closed)(void *arg);
	void *closed_arg;
	char host[HOST_BYTES], port[8], *user, *password, *dbname;
	struct sw_tls_config tls;
	const char *name;
	uint32_t statement_timeout_ms;
	char error[512], notice[256];
};

void sw_link_first_line(char *out, size_t out_bytes, const char *message)
{
	size_t len = strcspn(message, "\r\n");

	snprintf(out, out_bytes, "%.*s", (int)(len < out_bytes ? len : out_bytes), message);
}

const char *sw_link_error(const struct sw_link *link)
{
	return link->error;
}

int sw_link_server_version(const struct sw_link *link)
{
	return link->conn ? PQserverVersion(link->conn) : 0;
}

/* A server that ends a connection says why in a message that nobody asked for; libpq would print it. */
static void on_notice(void *arg, const PGresult *notice)
{
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
	struct sw_link *link = arg;

	if (severity && message && (!strcmp(severity, "FATAL") || !strcmp(severity, "PANIC")))
		sw_link_first_line(link->notice, sizeof(link->notice), message);
}

static void forget_target(struct sw_link *link)
{
	if (link->password)
		sw_mem_wipe(link->password, strlen(link->password));
	sw_mem_free(link->user);
	sw_mem_free(link->password);
	sw_mem_free(link->dbname);
	link->user = link->password = link->dbname = NULL;
}

/* The last handle is gone. */
static void release(struct sw_link *link)
{
	void (*on_closed)(void *) = link->on_closed;
	void *arg = link->closed_arg;

	if (--link->open_handles > 0)
		return;
	assert(on_closed);
	forget_target(link);
	sw_mem_free(link);
	on_closed(arg);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct sw_link *link = handle->data;

	sw_mem_free(handle);
	release(link);
}

static void on_timer_closed(uv_handle_t *handle)
{
	release(handle->data);
}

static void watch_end(struct sw_link *link)
{
	if (link->watch)
		uv_close((uv_handle_t *)link->watch, on_watch_closed);
	link->watch = NULL;
}

static void on_socket(uv_poll_t *watch, int status, int events);

static enum sw_err watch_start(struct sw_link *link, int events)
{
	int failed;

	if (!link->watch) {
		uv_poll_t *watch = sw_mem_zalloc(sizeof(*watch));

		failed = uv_poll_init(link->loop, watch, PQsocket(link->conn));
		if (failed) {
			sw_mem_free(watch);
			snprintf(link->error, sizeof(link->error), "cannot watch the socket: %s",
			        uv_strerror(failed));
			return SW_ERR_IO;
		}
		watch->data = link;
		link->watch = watch;
		link->watched = 0;
		link->open_handles++;
	}
	/* libuv takes a descriptor out of the poll set and puts it back, two system calls, even where nothing
	 * changes. */
	if (events == link->watched)
		return SW_OK;
	failed = uv_poll_start(link->watch, events, on_socket);
	assert(failed == 0); /* it only fails on a handle that is being closed */
	link->watched = events;
	return SW_OK;
}

void sw_link_drop(struct sw_link *link)
{
	watch_end(link);
	if (link->conn)
		PQfinish(link->conn);
	link->conn = NULL;
	if (link->look_up) {
		link->look_up->link = NULL;
		uv_cancel((uv_req_t *)&link->look_up->request);
	}
	link->look_up = NULL;
	link->state = LINK_IDLE;
}

/* The reason is the server's last words where it had any. */
static void take_error(struct sw_link *link)
{
	PGnotify *notify;

	if (!link->conn)
		return;
	/* Makes libpq parse what came before the end. */
	while ((notify = PQnotifies(link->conn)) != NULL)
		PQfreemem(notify);
	sw_link_first_line(link->error, sizeof(link->error),
	        link->notice[0] ? link->notice : PQerrorMessage(link->conn));
	if (!link->error[0])
		snprintf(link->error, sizeof(link->error), "connection closed by the server");
}

static void broken(struct sw_link *link)
{
	sw_link_drop(link);
	link->hooks->on_broken(link->arg);
}

/* One step of libpq's connecting. */
static enum sw_err connect_step(struct sw_link *link, PostgresPollingStatusType step)
{
	switch (step) {
	case PGRES_POLLING_READING:
		return watch_start(link, UV_READABLE);
	case PGRES_POLLING_WRITING:
		return watch_start(link, UV_WRITABLE);
	case PGRES_POLLING_OK:
		PQsetnonblocking(link->conn, 1);
		link->state = LINK_READY;
		return watch_start(link, UV_READABLE);
	default:
		take_error(link);
		return SW_ERR_IO;
	}
}

static void on_connecting(struct sw_link *link)
{
	watch_end(link);
	if (connect_step(link, PQconnectPoll(link->conn)) != SW_OK)
		broken(link);
	else if (link->state == LINK_READY)
		link->hooks->on_ready(link->arg);
}

static enum sw_err flush(struct sw_link *link)
{
	int left = PQflush(link->conn);

	if (left < 0) {
		take_error(link);
		return SW_ERR_IO;
	}
	return watch_start(link, left ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void take_results(struct sw_link *link)
{
	while (!PQisBusy(link->conn)) {
		PGresult *result = PQgetResult(link->conn);

		if (!result) {
			if (PQstatus(link->conn) == CONNECTION_BAD) {
				take_error(link);
				broken(link);
				return;
			}
			link->state = LINK_READY;
			link->hooks->on_done(link->arg);
			return;
		}
		link->hooks->on_result(result, link->arg);
		PQclear(result);
	}
}

static void on_socket(uv_poll_t *watch, int status, int events)
{
	struct sw_link *link = watch->data;

	if (link->state == LINK_CONNECTING) {
		/* Also with an error: libpq asks the socket what is wrong and may try the next address. */
		on_connecting(link);
		return;
	}
	if (!PQconsumeInput(link->conn)) {
		take_error(link);
		broken(link);
		return;
	}
	if (status < 0) {
		/* libuv has only a code for "error or hang-up"; a second read makes libpq find out which. */
		(void)PQconsumeInput(link->conn);
		take_error(link);
		broken(link);
		return;
	}
	if ((events & UV_WRITABLE) && flush(link) != SW_OK) {
		broken(link);
		return;
	}
	if (link->state == LINK_BUSY)
		take_results(link);
	else
		(void)PQisBusy(link->conn); /* parses: messages between queries must not pile up */
}

/* For libpq "" is the file in the home directory of whoever runs us; a path that cannot be is none. */
#define NO_FILE "/dev/null/none"

static const char *file_or_none(const char *path)
{
	return *path ? path : NO_FILE;
}

/* hosts and addresses: lists of the same length for libpq; addresses "" for a Unix socket. */
static enum sw_err start(struct sw_link *link, const char *hosts, const char *addresses)
{
	static const char *const sslmodes[] = {
	        "disable", "allow", "prefer", "require", "verify-ca", "verify-full"};
	const struct sw_tls_config *tls = &link->tls;
	const char *const keys[] = {"host", "hostaddr", "port", "user", "password", "dbname",
	        "application_name", "client_encoding", "gssencmode", "target_session_attrs", "options", "sslmode",
	        "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "ssl_min_protocol_version",
	        "ssl_max_protocol_version", NULL};
	char options[128] = "-c search_path=pg_catalog -c client_min_messages=warning -c jit=off";
	const char *const values[] = {hosts, addresses, link->port, link->user, link->password, link->dbname,
	        link->name ? link->name : "seawall monitor", "UTF8", "disable", "any", options,
	        sslmodes[tls->sslmode], file_or_none(tls->ca_file), file_or_none(tls->cert_file),
	        file_or_none(tls->key_file), NO_FILE, NO_FILE, sw_tls_lowest_protocol(tls->protocols),
	        sw_tls_highest_protocol(tls->protocols), NULL};

	/* A startup packet wins over what the role or the database is set to. */
	if (link->statement_timeout_ms > 0)
		snprintf(options + strlen(options), sizeof(options) - strlen(options),
		        " -c statement_timeout=%" PRIu32, link->statement_timeout_ms);
	link->notice[0] = '\0';
	link->conn = PQconnectStartParams(keys, values, 0);
	if (!link->conn || PQstatus(link->conn) == CONNECTION_BAD) {
		take_error(link);
		return SW_ERR_IO;
	}
	PQsetNoticeReceiver(link->conn, on_notice, link);
	link->state = LINK_CONNECTING;
	return connect_step(link, PGRES_POLLING_WRITING);
}

static void append(char *list, const char *item)
{
	size_t used = strlen(list);

	snprintf(list + used, LIST_BYTES - used, "%s%s", used ? "," : "", item);
}

static enum sw_err start_with(struct sw_link *link, const struct addrinfo *found)
{
	char hosts[LIST_BYTES] = "", addresses[LIST_BYTES] = "", address[ADDRESS_BYTES];
	int count = 0;

	for (; found && count < ADDRESSES_MAX; found = found->ai_next) {
		if (getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0,
		            NI_NUMERICHOST))
			continue;
		append(hosts, link->host);
		append(addresses, address);
		count++;
	}
	return start(link, hosts, addresses);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct look_up *look_up = request->data;
	struct sw_link *link = look_up->link;
	enum sw_err err = SW_ERR_IO;

	sw_mem_free(look_up);
	if (link) {
		link->look_up = NULL;
		if (status)
			snprintf(link->error, sizeof(link->error), "cannot look up \"%.200s\": %s",
			        link->host, uv_strerror(status));
		else
			err = start_with(link, found);
	}
	uv_freeaddrinfo(found);
	if (link && err != SW_OK)
		broken(link);
}

static enum sw_err look_up_start(struct sw_link *link)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct look_up *look_up = SW_NEW(struct look_up);
	int failed;

	look_up->request.data = look_up;
	look_up->link = link;
	failed = uv_getaddrinfo(link->loop, &look_up->request, on_looked_up, link->host, NULL, &hints);
	if (failed) {
		sw_mem_free(look_up);
		snprintf(link->error, sizeof(link->error), "cannot look up \"%.200s\": %s", link->host,
		        uv_strerror(failed));
		return SW_ERR_IO;
	}
	link->look_up = look_up;
	link->state = LINK_RESOLVING;
	return SW_OK;
}

enum sw_err sw_link_connect(struct sw_link *link, const struct sw_link_target *target)
{
	struct sockaddr_in ip4;
	struct sockaddr_in6 ip6;
	enum sw_err err;

	assert(link->state == LINK_IDLE && !link->on_closed);
	forget_target(link);
	snprintf(link->host, sizeof(link->host), "%s", target->host);
	snprintf(link->port, sizeof(link->port), "%u", (unsigned)target->port);
	link->user = sw_mem_strdup(target->user);
	link->password = sw_mem_strdup(target->password);
	link->dbname = sw_mem_strdup(target->dbname);
	link->tls = *target->tls;
	link->name = target->name;
	link->statement_timeout_ms = target->statement_timeout_ms;
	if (link->host[0] == '/')
		err = start(link, link->host, "");
	else if (uv_ip4_addr(link->host, 0, &ip4) == 0 || uv_ip6_addr(link->host, 0, &ip6) == 0)
		err = start(link, link->host, link->host);
	else
		err = look_up_start(link);
	if (err != SW_OK)
		sw_link_drop(link);
	return err;
}

/* After libpq took a query or refused it. */
static enum sw_err sent(struct sw_link *link, int is_taken)
{
	enum sw_err err = SW_ERR_IO;

	if (is_taken) {
		link->state = LINK_BUSY;
		err = flush(link);
	} else {
		take_error(link);
	}
	if (err != SW_OK)
		sw_link_drop(link);
	return err;
}

enum sw_err sw_link_query(struct sw_link *link, const char *sql)
{
	assert(link->state == LINK_READY);
	return sent(link, PQsendQuery(link->conn, sql));
}

enum sw_err sw_link_execute(struct sw_link *link, const char *prepared, const char *const *values, int count)
{
	assert(link->state == LINK_READY);
	return sent(link, PQsendQueryPrepared(link->conn, prepared, count, values, NULL, NULL, 0));
}

enum sw_err sw_link_query_with(struct sw_link *link, const char *sql, const char *value)
{
	assert(link->state == LINK_READY);
	return sent(link, PQsendQueryParams(link->conn, sql, 1, NULL, &value, NULL, NULL, 0));
}

static void on_time(uv_timer_t *timer)
{
	struct sw_link *link = timer->data;

	/* libuv counts whole milliseconds, perhaps on a coarse clock. */
	if (sw_clock_ns() < link->wake_ns) {
		sw_link_wake_at(link, link->wake_ns);
		return;
	}
	link->hooks->on_timer(link->arg);
}

void sw_link_wake_at(struct sw_link *link, int64_t when_ns)
{
	int64_t wait_ns = when_ns - sw_clock_ns();
	int64_t wait_ms = wait_ns > 0 ? (wait_ns + SW_NS_PER_MS - 1) / SW_NS_PER_MS : 0;

	/* Early by what the loop's clock lags behind, which on_time mends; aiming later would be late every
	 * time. */
	link->wake_ns = when_ns;
	uv_timer_start(&link->timer, on_time, (uint64_t)wait_ms, 0);
}

void sw_link_wake_never(struct sw_link *link)
{
	uv_timer_stop(&link->timer);
}

struct sw_link *sw_link_new(uv_loop_t *loop, const struct sw_link_hooks *hooks, void *arg)
{
	struct sw_link *link = SW_NEW(struct sw_link);

	link->loop = loop;
	link->hooks = hooks;
	link->arg = arg;
	uv_timer_init(loop, &link->timer);
	link->timer.data = link;
	link->open_handles = 1;
	return link;
}

void sw_link_close(struct sw_link *link, void (*on_closed)(void *arg), void *arg)
{
	assert(!link->on_closed && on_closed);
	link->on_closed = on_closed;
	link->closed_arg = arg;
	sw_link_drop(link);
	uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}
