/*
 * A pool: the server connections of one (node, database, user) on one worker, and the sessions that wait for one. First
 * come, first served. One thread.
 */
#ifndef SW_POOL_POOL_H
#define SW_POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "proxy/base/limits.h"
#include "proxy/base/list.h"
#include "proxy/pool/server.h"

struct sw_database;
struct sw_quota;

/* How many different sets of startup settings a pool remembers the answer to. */
#define SW_WELCOMES 16

/* A session that waits for a server connection. Embedded in the session. */
struct sw_pool_waiter {
	struct sw_list entry;       /* in pool->waiters; on no list = not waiting */
	struct sw_pool *pool;
	int64_t since_ns;
	/* Exactly one of the two comes, from the loop, unless sw_pool_forget was called before. */
	void (*on_server)(struct sw_pool_waiter *waiter, struct sw_server *server);
	void (*on_failed)(struct sw_pool_waiter *waiter, const struct sw_problem *problem, bool is_node_lost);
};

struct sw_pool_key {
	uint32_t node, database; /* number of the database as clients name it */
	char dbname[SW_NAME_MAX], user[SW_NAME_MAX];
};

struct sw_pool {
	struct sw_pool_key key;
	UT_hash_handle hh;
	struct sw_engine *engine;
	struct sw_database *database;
	struct sw_quota *quotas[3];     /* of the (node, database, user), the database, the user */
	uint64_t mark;                  /* in the quotas */
	int64_t yielded_ns;             /* when it last gave a place up for others */
	struct sw_list places[SW_PLACES]; /* server connections by where they stand */
	uint32_t counts[SW_PLACES];
	struct sw_list waiters;
	uint32_t waiter_count;
	int64_t failed_ns;              /* when the last dial or login failed; 0 = the last one succeeded */
	struct sw_settings *facts;      /* of the newest connection; NULL before the first */
	struct sw_welcome {
		struct sw_settings *vars, *params;
	} welcomes[SW_WELCOMES];        /* what servers report after a login with these settings */
	uint32_t welcome_next;
	struct sw_buf last_error;       /* text of the last failure */
	uint64_t opened, closed;        /* counters */
	bool is_tls_turned;             /* the node's pg_hba.conf wants the opposite of what sslmode begins with */
};

/* The pool for a node, a database and a user; made at first use, kept as long as the worker. */
struct sw_pool *sw_pool_get(struct sw_engine *engine, int node, struct sw_database *database, const char *user);
void sw_pools_free(struct sw_engine *engine);

/*
 * An idle server connection at once (state idle, to be linked by the caller), preferring one that has the settings 'vars'; else NULL
 * and the waiter is queued.
 */
struct sw_server *sw_pool_take(struct sw_pool *pool, struct sw_pool_waiter *waiter, const struct sw_settings *vars);
/* The idle server connection on which that session was the last to write, NULL where there is none. */
struct sw_server *sw_pool_take_written(struct sw_pool *pool, uint64_t session);
void sw_pool_forget(struct sw_pool_waiter *waiter);

/* The session has done with it: the next waiter gets it, or it becomes idle, or it is closed where it must not be used again. */
void sw_pool_give_back(struct sw_server *server);

/* The parameters that a server reported to a session with these settings; NULL where not known. No reference is given. */
struct sw_settings *sw_pool_welcome(const struct sw_pool *pool, const struct sw_settings *vars);
void sw_pool_set_welcome(struct sw_pool *pool, struct sw_settings *vars, struct sw_settings *params);

/*
 * Called by server.c. The login was refused, by the node's pg_hba.conf, with TLS or without it, or the handshake failed. With sslmode allow and prefer the
 * other way is tried once, as libpq does; true where the server connection was closed for that.
 */
bool sw_pool_turn_tls(struct sw_server *server);
void sw_pool_on_ready(struct sw_server *server);
void sw_pool_on_checked(struct sw_server *server);
void sw_pool_on_refused(struct sw_server *server, const struct sw_problem *problem, bool is_node_lost);
void sw_pool_on_closing(struct sw_server *server);
/* A cancel request for the backend of that process id has been delivered, or could not be. */
void sw_pool_on_cancelled(struct sw_pool *pool, uint32_t pid);

/*
 * The nodes (bits) that have refused this user and database lately and hold no connection for them: reads go elsewhere until
 * a connection could be opened, which is tried every server_login_retry.
 */
uint32_t sw_pools_failing(struct sw_engine *engine, const struct sw_database *database, const char *user);

/* Every quarter of a second: time-outs of waiters and idle connections, retries, min_pool_size. */
void sw_pools_tick(struct sw_engine *engine, int64_t now_ns);
/* A new view: epochs and proofs. */
void sw_pools_on_view(struct sw_engine *engine);
void sw_pools_close_all(struct sw_engine *engine);

#endif
