/*
 * One libpq connection on a libuv loop, and the one timer that its owner needs. The monitor's probes, its
 * catalog reader and auth_query are made of it. Nothing blocks: host names go through uv_getaddrinfo,
 * connecting and queries through uv_poll. The thread of the loop only.
 */
#ifndef SW_LAGMON_LINK_H
#define SW_LAGMON_LINK_H

#include <libpq-fe.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/base/err.h"
#include "proxy/config.h"

struct sw_link;

/* Text is copied where it has to outlive the call. */
struct sw_link_target {
	const char *host; /* name or address; an absolute path is a Unix socket directory */
	uint16_t port;
	const char *user, *password, *dbname;
	const struct sw_tls_config *tls;
	const char *name;              /* application_name, a constant; NULL: the monitor's */
	uint32_t statement_timeout_ms; /* 0: none */
};

/*
 * Called from the loop, never inside a call to the link. on_result may not call the link; every other one
 * may, also to close it.
 */
struct sw_link_hooks {
	void (*on_ready)(void *arg); /* connected; no query is in flight */
	void (*on_result)(
	        const PGresult *result, void *arg); /* one for each statement of the query in flight */
	void (*on_done)(void *arg);                 /* the query in flight is over */
	void (*on_broken)(void *arg);               /* not connected any more; sw_link_error says why */
	void (*on_timer)(void *arg);                /* the time of sw_link_wake_at has come */
};

/* hooks outlive the link. */
struct sw_link *sw_link_new(uv_loop_t *loop, const struct sw_link_hooks *hooks, void *arg);
/* Drops the connection and the timer; on_closed comes once, from the loop, and then the link is freed. */
void sw_link_close(struct sw_link *link, void (*on_closed)(void *arg), void *arg);

/* Starts to connect an unconnected link. SW_OK: on_ready or on_broken follows, unless the link is dropped
 * before. */
enum sw_err sw_link_connect(struct sw_link *link, const struct sw_link_target *target) SW_MUST_USE;
/* Forgets the connection, whatever its state; no hook is called for it any more. */
void sw_link_drop(struct sw_link *link);

/* Sends a query on a connected link that has none in flight. SW_ERR_IO: the link is broken, and on_broken
 * does not come. */
enum sw_err sw_link_query(struct sw_link *link, const char *sql) SW_MUST_USE;
/* values: the prepared statement's parameters, as text. */
enum sw_err sw_link_execute(struct sw_link *link, const char *prepared, const char *const *values, int count) SW_MUST_USE;
/* One statement with one parameter, as a text whose type the server infers. */
enum sw_err sw_link_query_with(struct sw_link *link, const char *sql, const char *value) SW_MUST_USE;

/* Calls on_timer once, not before sw_clock_ns() reaches when_ns. Replaces the time that was set. */
void sw_link_wake_at(struct sw_link *link, int64_t when_ns);
void sw_link_wake_never(struct sw_link *link);

/* As PQserverVersion; 0 where not connected. */
int sw_link_server_version(const struct sw_link *link);
/* Why it broke last: one line. */
const char *sw_link_error(const struct sw_link *link);
/* The first line of a foreign message. */
void sw_link_first_line(char *out, size_t out_bytes, const char *message);

#endif
