/*
 * A server connection: one connection to PostgreSQL, from the dial to its end. It belongs to one pool, and at any moment
 * to at most one session. One thread.
 *
 *	dialling → login → proving → idle ⇄ linked (a session's bytes pass)
 *	                               ⇅
 *	                             round (messages of Seawall's own, answered to Seawall alone)
 *	any → closing
 */
#ifndef SW_POOL_SERVER_H
#define SW_POOL_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/base/buf.h"
#include "proxy/base/err.h"
#include "proxy/base/list.h"
#include "proxy/net/stream.h"
#include "proxy/pool/plans.h"
#include "proxy/wire/message.h"

struct sw_engine;
struct sw_login;
struct sw_pool;
struct sw_server;
struct sw_session;
struct sw_settings;

enum sw_server_state {
	SW_SERVER_DIALLING,
	SW_SERVER_LOGIN,
	SW_SERVER_PROVING, /* asks who it talks to, then waits for a sample that is younger than the connection */
	SW_SERVER_IDLE,
	SW_SERVER_LINKED,
	SW_SERVER_ROUND,
	SW_SERVER_CLOSING,
	SW_SERVER_STATES,
};

/* Where a server connection stands in its pool; sw_pool moves it. */
enum sw_server_place { SW_PLACE_OPENING, SW_PLACE_IDLE, SW_PLACE_USED, SW_PLACES };

/* Why a server connection ended: a metric label and a log text. */
enum sw_server_end {
	SW_SERVER_END_LOST,      /* the peer closed or the connection broke */
	SW_SERVER_END_REFUSED,   /* dial or login failed */
	SW_SERVER_END_PROTOCOL,  /* it sent what the protocol does not allow */
	SW_SERVER_END_LIFETIME,  /* server_lifetime, server_idle_timeout */
	SW_SERVER_END_EPOCH,     /* another node has become the primary since it was opened */
	SW_SERVER_END_UNCLEAN,   /* a client left state on it that no other may see */
	SW_SERVER_END_QUOTA,     /* its place was wanted by another worker */
	SW_SERVER_END_SHUTDOWN,
};

/* What a round brought: at most SW_ROUND_BYTES_MAX of rows. */
struct sw_round {
	bool has_failed;
	bool has_parsed;      /* a Parse has succeeded */
	char sqlstate[6];
	char message[256];
	uint64_t shape;       /* of what was described last (sw_row_shape); 0 = nothing */
	struct sw_buf rows;   /* the first columns of all rows: int32 length (-1 = NULL), bytes */
};
#define SW_ROUND_BYTES_MAX (64 * 1024)

struct sw_server_hooks {
	/* Linked: bytes for the session. The session calls sw_server_frame itself. */
	void (*on_data)(struct sw_session *session, struct sw_server *server, const uint8_t *bytes, size_t len);
	/* Linked or in a session's round: the connection is gone; server is closing and not the session's any more. */
	void (*on_lost)(struct sw_session *session, struct sw_server *server);
	/* A whole NotificationResponse for the session, during a round on its server connection. */
	void (*on_notification)(struct sw_session *session, const uint8_t *bytes, size_t len);
	/* The kernel took what was waiting to go to the server: the client may be read again. */
	void (*on_drained)(struct sw_session *session);
};

struct sw_server {
	struct sw_stream stream;
	uv_connect_t connect;
	struct sw_engine *engine;
	struct sw_pool *pool;
	struct sw_list entry;           /* in the pool's list of its place */
	enum sw_server_place place;
	enum sw_server_state state;
	struct sw_session *session;     /* whose it is; NULL = nobody's */
	struct sw_login *login;
	struct sw_round *round;
	void (*on_round)(struct sw_server *server, struct sw_round *round, void *arg);
	void *round_arg;
	struct sw_settings *vars;       /* what was set on it by Seawall and its clients */
	struct sw_settings *params;     /* what it has reported and a client may change */
	struct sw_settings *facts;      /* what it has reported and nobody changes (server_version, …) */
	struct sw_plan_set plans;
	uint64_t written_by;            /* number of the session that wrote on it last: currval and lastval are its (T7) */
	uint64_t unnamed;               /* which unnamed statement it holds (session->unnamed_serial); 0 = none that is known */
	struct sw_buf partial;          /* the beginning of a message whose end has not arrived */
	size_t pass;                    /* bytes of the present message that only pass */
	uint32_t pid, secret;           /* for CancelRequest */
	uint32_t cancels;               /* cancel requests under way: not for another session before they ended (T72) */
	uint64_t epoch;                 /* of the view that the proof was checked against */
	bool is_primary;                /* the node was the primary when it was proven */
	bool is_proven;                 /* it is the node, and the incarnation, that the monitor samples */
	char proof[96];                 /* what it answered, "" before */
	int64_t opened_ns, established_ns, idle_since_ns;
	int64_t waiting_since_ns;       /* for its login, or for its sign of life */
	bool is_unclean;                /* to be closed instead of given to another session */
	char txn_status;                /* of the last ReadyForQuery */
};

/* Opens a connection for the pool; its end or readiness is told to the pool. */
struct sw_server *sw_server_open(struct sw_engine *engine, struct sw_pool *pool);
void sw_server_close(struct sw_server *server, enum sw_server_end why);
const char *sw_server_end_text(enum sw_server_end why);
const char *sw_server_state_text(enum sw_server_state state);

/* The session's hooks, the same for all; set once before the first worker runs. */
void sw_server_set_hooks(const struct sw_server_hooks *hooks);

/* Gives the server connection to a session, or takes it back. */
void sw_server_link(struct sw_server *server, struct sw_session *session);
void sw_server_unlink(struct sw_server *server);

/*
 * Sends messages of Seawall's own (they end in one Sync or are one Query) and collects what comes back up to
 * ReadyForQuery. on_round is called from the loop, once, unless the connection is lost first (on_lost).
 */
void sw_server_start_round(struct sw_server *server, const void *messages, size_t len,
	void (*on_round)(struct sw_server *server, struct sw_round *round, void *arg), void *arg);

/* A ParameterStatus of this server; keeps params and facts. Returns false for one that no client may see (T71). */
bool sw_server_note_parameter(struct sw_server *server, const char *name, const char *value);

/* Asks for a sign of life; sw_pool_on_checked, or its end. */
void sw_server_check(struct sw_server *server);

/* A view came: has the proof arrived that this connection waits for? */
void sw_server_check_proof(struct sw_server *server);

/* Sends CancelRequest for it over a connection of its own; counts in server->cancels until that one is closed. */
void sw_server_cancel(struct sw_server *server);
/* Closes those that have taken longer than server_connect_timeout; all of them where now_ns is INT64_MAX. */
void sw_cancels_time_out(struct sw_engine *engine, int64_t now_ns);

#endif
