/*
 * Looks users up by auth_query: one question at a time, on a connection of its own to the primary, or to a replica
 * while there is no primary. Control thread.
 */
#ifndef SW_PROXY_LOOKUP_H
#define SW_PROXY_LOOKUP_H

#include <uv.h>

#include "proxy/base/err.h"

struct sw_known;
struct sw_lookup;
struct sw_secret_ask;
struct sw_secrets;
struct sw_setup;
struct sw_view;

struct sw_lookup_hooks {
	/* known: NULL where the user could not be looked up; the log says why. It stays the caller's. */
	void (*on_answer)(const struct sw_secret_ask *ask, const struct sw_known *known, void *arg);
	void *arg;
};

/* view: the newest one, wherever the owner keeps it. view and secrets outlive the look-up. */
struct sw_lookup *sw_lookup_new(uv_loop_t *loop, const struct sw_view *view, struct sw_secrets *secrets,
	struct sw_setup *setup, const struct sw_lookup_hooks *hooks);
/* Nobody is answered any more; on_closed comes once, from the loop, and then the look-up is freed. */
void sw_lookup_close(struct sw_lookup *lookup, void (*on_closed)(void *arg), void *arg);

/* A reload: what was answered before is no longer used for logins of clients, and who waits is asked for anew. */
void sw_lookup_set_setup(struct sw_lookup *lookup, struct sw_setup *setup);

/* SW_OK: on_answer follows, from the loop, unless the look-up is closed. SW_ERR_LIMIT: too many wait. */
enum sw_err sw_lookup_ask(struct sw_lookup *lookup, const struct sw_secret_ask *ask) SW_MUST_USE;

#endif
