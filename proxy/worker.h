/*
 * A worker: one thread with one loop, its clients, its server connections and its verdict cache. It shares the board (read
 * only) with the control thread and nothing with other workers; everything else comes and goes by mail.
 *
 *	control thread ── mail ──→ worker: configuration, catalogs, secrets, cancel, console replies, reports, drain, stop
 *	worker ── hooks ──→ control thread: a sample, a catalog, a secret is wanted, console questions, foreign cancels, idle
 *	worker ── hooks ──→ PAM's threads ── mail ──→ control thread ── mail ──→ worker: passwords and what PAM says of them
 */
#ifndef SW_PROXY_WORKER_H
#define SW_PROXY_WORKER_H

#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/session/engine.h"

struct sw_board;
struct sw_cancel_key;
struct sw_catalog;
struct sw_known;
struct sw_pam_ask;
struct sw_secret_ask;
struct sw_secrets;
struct sw_setup;
struct sw_worker;

/* What workers call; from their threads. */
struct sw_worker_hooks {
	void (*on_want_sample)(void *arg);
	void (*on_want_catalog)(const char *dbname, void *arg);
	void (*on_console)(int worker, const struct sw_console_ask *ask, void *arg);
	void (*on_cancel)(const struct sw_cancel_key *key, void *arg); /* a key of another worker */
	void (*on_want_secret)(const struct sw_secret_ask *ask, void *arg);
	enum sw_err (*on_want_pam)(struct sw_pam_ask *ask, void *arg); /* its worker and session are filled in */
	void (*on_idle)(int worker, void *arg);                      /* after sw_worker_drain: no session is left */
	void *arg;
};

/* listeners: descriptors of listening sockets that the worker duplicates. Control thread, as everything below. */
struct sw_worker *sw_worker_start(int number, struct sw_board *board, struct sw_secrets *secrets,
	struct sw_setup *setup, const int *listeners, int listener_count, const struct sw_worker_hooks *hooks);

void sw_worker_set_setup(struct sw_worker *worker, struct sw_setup *setup);
void sw_worker_set_catalog(struct sw_worker *worker, struct sw_catalog *catalog);
void sw_worker_wake_for_view(struct sw_worker *worker);
void sw_worker_cancel(struct sw_worker *worker, const struct sw_cancel_key *key);
/* messages are copied. */
void sw_worker_console_reply(struct sw_worker *worker, uint64_t session, const void *messages, size_t len);
/* The answer to on_want_secret; NULL: the user could not be looked up. Copied. */
void sw_worker_secret_reply(struct sw_worker *worker, const struct sw_secret_ask *ask, const struct sw_known *known);
/* The answer to on_want_pam; takes over the reference. */
void sw_worker_pam_reply(struct sw_worker *worker, struct sw_pam_ask *ask);
/* Runs fill on the worker's thread, for reports. */
void sw_worker_run(struct sw_worker *worker, void (*fill)(struct sw_engine *engine, void *arg), void *arg);
/* No new clients; sessions end as they become idle; then on_idle. */
void sw_worker_drain(struct sw_worker *worker);
/* Ends every session and waits for the thread. */
void sw_worker_stop(struct sw_worker *worker);

#endif
