/*
 * Limits that hold for the whole process: server connections a (node, database, user), a database, a user, and clients.
 * Touched only when a server connection is opened or closed, never on the path of a query.
 *
 * A quota is a count that all workers change (relaxed atomics: the count alone carries the meaning, nothing else is
 * published by it) under a limit that a reload may change. Who is refused leaves his mark until he is served or gives up;
 * who has places sees the marks of others and gives one up now and then, so that nobody starves beside another.
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

/* A mark for one who takes: one bit. After 64 they are used again, and two with the same one wait a little longer. */
uint64_t sw_quota_new_mark(void);

/* Takes a place where fewer than limit are taken (0 = no limit); else leaves the mark (0 = none) and returns false. */
bool sw_quota_take(struct sw_quota *quota, uint32_t limit, uint64_t mark);
void sw_quota_give(struct sw_quota *quota);
uint32_t sw_quota_used(const struct sw_quota *quota);

/* Takes the mark away: nobody waits under it any more. */
void sw_quota_unwant(struct sw_quota *quota, uint64_t mark);
/* Does somebody else wait for a place? Any thread. */
bool sw_quota_is_wanted(const struct sw_quota *quota, uint64_t mark);

#endif
