/*
 * What one worker owns and all its sessions and server connections use. A worker shares nothing with another: everything
 * here is touched by its thread only, but for what is said to be shared. Upward calls (to the worker and the control
 * thread) are hooks, so that this layer does not know who runs it.
 */
#ifndef SW_SESSION_ENGINE_H
#define SW_SESSION_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lagmon/view.h"
#include "proxy/base/buf.h"
#include "proxy/base/limits.h"
#include "proxy/base/list.h"
#include "router/choose.h"
#include "router/classify.h"

struct sw_cancel_key;
struct sw_auth_users;
struct sw_engine;
struct sw_hba;
struct sw_scratch;
struct sw_pam_ask;
struct sw_secret_ask;
struct sw_secrets;
struct sw_unit;
struct sw_catalog;
struct sw_config;
struct sw_plans;
struct sw_pool;
struct sw_quota;
struct sw_session;
struct sw_settings_table;
struct sw_statement;
struct sw_tls;
struct sw_verdicts;

/* Counters of one database on one worker: written by the worker alone, read through a report that it fills itself. */
struct sw_stats {
	uint64_t queries, transactions, bytes_in, bytes_out, wait_us, query_us;
	uint64_t routes[SW_NODES_MAX][SW_ROUTE_REASONS]; /* units of work by node and reason */
	uint64_t pins[SW_PIN_KINDS];                     /* by kind */
	uint64_t retries, waits, cancels;
};

/* A database as clients name it, as this worker knows it. Made at first use, kept. */
struct sw_database {
	struct sw_list entry;
	char name[SW_NAME_MAX];
	char dbname[SW_NAME_MAX];     /* on the servers */
	uint32_t number;              /* for the verdict cache */
	uint8_t lag_class;
	uint32_t pool_size;
	uint32_t ddl_slot;            /* of the database on the board */
	int64_t ddl_asked_ns;         /* the change for which its catalog was asked for last */
	int64_t real_ns;              /* when it became so */
	bool is_real;                 /* a server has let somebody in: from then on its catalog is read */
	struct sw_catalog *catalog;   /* newest snapshot, a reference; NULL = none yet */
	struct sw_stats stats;
};

/* A question of a client of the console, and its answer; see proxy/admin.c. */
struct sw_console_ask {
	uint64_t session;             /* number of the session that asks */
	bool is_admin;                /* may change things, not only look */
	char user[SW_NAME_MAX];
	const char *sql;
};

struct sw_engine_hooks {
	void (*on_want_sample)(struct sw_engine *engine);                 /* the demand for samples left zero */
	void (*on_want_catalog)(struct sw_engine *engine, const char *dbname);
	void (*on_console)(struct sw_engine *engine, const struct sw_console_ask *ask); /* answer: sw_session_console_reply */
	void (*on_foreign_cancel)(struct sw_engine *engine, const struct sw_cancel_key *key); /* the key is another worker's */
	void (*on_want_secret)(struct sw_engine *engine, const struct sw_secret_ask *ask); /* answer: sw_login_on_secret */
	enum sw_err (*on_want_pam)(struct sw_engine *engine, struct sw_pam_ask *ask); /* answer: sw_login_on_pam */
	void (*on_idle)(struct sw_engine *engine);                         /* draining, and the last session has ended */
};

struct sw_engine {
	uv_loop_t *loop;
	int number;                       /* of the worker */
	const struct sw_engine_hooks *hooks;
	void *worker;                     /* for the hooks */
	struct sw_scratch *scratch;       /* of the streams */
	struct sw_buf assembly;           /* messages being built for one write */
	/* The worker holds these, and brings new ones (proxy/setup.h). */
	struct sw_config *config;
	struct sw_auth_users *users;      /* NULL without auth_file */
	struct sw_secrets *secrets;       /* shared: what auth_query has told */
	struct sw_hba *hba;               /* NULL but with auth_type hba or cert */
	struct sw_tls *client_tls, *server_tls; /* NULL = none */
	struct sw_board *board;           /* shared, read only */
	struct sw_view view;              /* this worker's copy */
	uint64_t view_seen;
	uint64_t epoch_seen;              /* server connections of earlier primaries were closed for it */
	struct sw_verdicts *verdicts;
	struct sw_plans *plans;
	struct sw_settings_table *settings;
	struct sw_list databases;
	uint32_t database_count;
	struct sw_pool *pools;            /* uthash */
	uint32_t failing_pools;           /* how many have failed_ns set */
	struct sw_list sessions;          /* all */
	struct sw_list cancels;           /* cancel requests on their way to servers */
	struct sw_list waiting_floor;     /* sessions that wait for a replica, by deadline */
	struct sw_list waiting_primary;   /* sessions that wait until there is a primary, oldest first */
	struct sw_list refusals;          /* held back (refuse.c), the one that is due first at the front */
	uv_timer_t refusal_timer;         /* armed while refusals is not empty */
	struct sw_unit *spare_units;      /* for the next units of work, so that the hot path allocates none */
	struct sw_quota *clients;         /* shared: all clients of the process */
	struct sw_quota *primary_reads;   /* shared: reads on the primary in place of replicas */
	struct sw_session **slots;        /* by the low 24 bits of the cancel key's pid */
	uint32_t slot_count, session_count, slot_hint;
	uint64_t session_serial;
	uv_timer_t floor_timer;           /* armed while waiting_floor is not empty */
	bool is_idle_told;                /* hooks->on_idle has been called */
	bool is_draining;                 /* no new work: sessions end where they are idle */
	uint32_t weights[SW_NODES_MAX];
	uint32_t loads[SW_NODES_MAX];     /* units of work under way on each node */
	uint64_t random_state;
	uint32_t sample_wants;            /* sw_engine_want_sample calls that were not taken back */
	uint32_t closing_streams;         /* sessions and server connections whose handles are not closed yet */
};

/* Random bits for choices; never for secrets. */
uint32_t sw_engine_random(struct sw_engine *engine);
struct sw_database *sw_engine_database(struct sw_engine *engine, const char *name); /* NULL: not configured */
struct sw_database *sw_engine_console_database(struct sw_engine *engine);
void sw_engine_free_databases(struct sw_engine *engine);
/* The configuration has changed: brings databases and weights up to date. */
void sw_engine_apply_config(struct sw_engine *engine);
void sw_engine_set_catalog(struct sw_engine *engine, struct sw_catalog *catalog);

/* Copies the newest view where there is one; called before every decision. One atomic load where nothing is new. */
bool sw_engine_refresh_view(struct sw_engine *engine);

/* Somebody here waits for a sample, or no longer does; calls come in pairs. */
void sw_engine_want_sample(struct sw_engine *engine);
void sw_engine_unwant_sample(struct sw_engine *engine);

#endif
