/*
 * Prepared statements. A plan is a statement's text with its parameter types; clients name plans as they like, a server
 * connection knows a plan under one name of Seawall's own ("sw_1a"), so a plan that one client prepared serves the next,
 * and no name ever means two texts (T61). One thread.
 */
#ifndef SW_POOL_PLANS_H
#define SW_POOL_PLANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_settings;
struct sw_statement;
struct sw_plans;

/* What makes two plans the same, apart from the types. */
struct sw_plan_key {
	struct sw_statement *statement;
	struct sw_settings *settings;   /* that Parse depends on, interned */
	uint64_t owner;                 /* number of the one session that may use it; 0 = all may */
};

struct sw_plan {
	struct sw_statement *statement; /* a reference: text and verdict */
	struct sw_settings *settings;   /* a reference */
	const uint8_t *types;           /* type_count object ids, big-endian */
	uint16_t type_count;
	uint32_t id;                    /* never used again */
	uint32_t refs;
};

/* "sw_" and 8 hexadecimal digits and a NUL. */
#define SW_PLAN_NAME_MAX 12

struct sw_plans *sw_plans_new(void);
void sw_plans_free(struct sw_plans *plans); /* every plan has been released */

/* The plan for a key and types (4 bytes each, as Parse carries them); a reference. */
struct sw_plan *sw_plans_get(struct sw_plans *plans, const struct sw_plan_key *key, const uint8_t *types,
	uint16_t type_count);
struct sw_plan *sw_plan_ref(struct sw_plan *plan);
void sw_plan_unref(struct sw_plans *plans, struct sw_plan *plan); /* takes NULL */
void sw_plan_name(const struct sw_plan *plan, char out[SW_PLAN_NAME_MAX]);
/* Could it be the name of a plan? */
bool sw_plan_name_is_ours(const char *name);

/* The plans that one server connection holds, oldest use first. */
struct sw_plan_set {
	struct sw_held_plan *held;
};
bool sw_plan_set_has(struct sw_plan_set *set, const struct sw_plan *plan); /* also marks it as used */
void sw_plan_set_add(struct sw_plan_set *set, struct sw_plan *plan);      /* takes a reference */
void sw_plan_set_remove(struct sw_plan_set *set, struct sw_plans *plans, struct sw_plan *plan);
uint32_t sw_plan_set_count(const struct sw_plan_set *set);
/* The one used longest ago, NULL where empty. */
struct sw_plan *sw_plan_set_oldest(const struct sw_plan_set *set);
void sw_plan_set_clear(struct sw_plan_set *set, struct sw_plans *plans);

/* What one client calls its statements. Names are the client's, any bytes without NUL. */
struct sw_plan_names {
	struct sw_named_plan *named;
};
struct sw_plan *sw_plan_names_find(const struct sw_plan_names *names, const char *name);
void sw_plan_names_set(struct sw_plan_names *names, struct sw_plans *plans, const char *name, struct sw_plan *plan);
void sw_plan_names_remove(struct sw_plan_names *names, struct sw_plans *plans, const char *name);
uint32_t sw_plan_names_count(const struct sw_plan_names *names);
void sw_plan_names_clear(struct sw_plan_names *names, struct sw_plans *plans);

#endif
