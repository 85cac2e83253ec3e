/*
 * Limits that hold for the whole process: server connections a (node, database, user), a database, a user, and clients.
 * Touched only when a server connection is opened or closed, never on the path of a query.
 *
 * A quota is a count that all workers change (relaxed atomics: the count alone carries the meaning, nothing else is
 * published by it) under a limit that a reload may change. A worker that was refused leaves its mark; whoever gives a place
 * back, or holds one idle, sees the mark and closes, so a worker never starves beside idle connections of another.
 */
#ifndef SW_POOL_QUOTA_H
#define SW_POOL_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct sw_quota;

/* The quota of that name, made at first use; lives as long as the process. Any thread (a mutex; rarely called). */
struct sw_quota *sw_quota_named(const char *name);
/* Frees all; when no worker runs any more. */
void sw_quota_free_all(void);

/* Takes a place where fewer than limit are taken (0 = no limit); else marks the quota as wanted and returns false. */
bool sw_quota_take(struct sw_quota *quota, uint32_t limit);
void sw_quota_give(struct sw_quota *quota);
uint32_t sw_quota_used(const struct sw_quota *quota);

/* Somebody was refused since the last take that succeeded. Any thread. */
bool sw_quota_is_wanted(const struct sw_quota *quota);

#endif
