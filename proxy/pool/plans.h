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
	bool is_stale;                  /* its rows are not any more what clients were told of them (T64) */
	uint8_t *told_types;            /* of its parameters, as clients were told, like types; NULL = nobody was told */
	uint16_t told_type_count;
	uint64_t shape;                 /* of its rows, as clients were told (sw_row_shape); 0 = nobody was told */
	int64_t made_ns;
	uint32_t id;                    /* never used again */
	uint32_t refs;
};

/* "sw_" and 8 hexadecimal digits and a NUL. */
#define SW_PLAN_NAME_MAX 12

struct sw_plans *sw_plans_new(void);
void sw_plans_free(struct sw_plans *plans); /* every plan has been released */

/*
 * The plan for a key and types (4 bytes each, as Parse carries them); a reference. Not one that was made before older_ns: what
 * it means may have changed since.
 */
struct sw_plan *sw_plans_get(struct sw_plans *plans, const struct sw_plan_key *key, const uint8_t *types,
	uint16_t type_count, int64_t older_ns);
/* A client was told these types (4 bytes each): from now on they hold, like those of a statement that was prepared once. */
void sw_plan_fix_types(struct sw_plan *plan, const uint8_t *types, uint16_t type_count);
/* Nobody new gets it: what it means may have changed. */
void sw_plans_retire(struct sw_plans *plans, struct sw_plan *plan);
bool sw_plan_is_retired(const struct sw_plan *plan); /* also where it was spoiled */
/* Its rows have changed: nobody new gets it, and whoever was told of them has to hear of it. */
void sw_plans_spoil(struct sw_plans *plans, struct sw_plan *plan);
/* The plan in place of a retired or spoiled one; a reference. */
struct sw_plan *sw_plans_successor(struct sw_plans *plans, const struct sw_plan *plan);
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
/* Is it known that the rows there are those of plan->shape? The server sees to it that they stay so. */
bool sw_plan_set_is_checked(const struct sw_plan_set *set, const struct sw_plan *plan);
void sw_plan_set_check(struct sw_plan_set *set, const struct sw_plan *plan);
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
/* One of a plan's names, NULL where none. */
const char *sw_plan_names_of(const struct sw_plan_names *names, const struct sw_plan *plan);
/* Removes all of a plan's names. */
void sw_plan_names_remove_plan(struct sw_plan_names *names, struct sw_plans *plans, const struct sw_plan *plan);
/* Whatever is a name of one plan becomes a name of the other. */
void sw_plan_names_replace(struct sw_plan_names *names, struct sw_plans *plans, struct sw_plan *plan, struct sw_plan *by);
uint32_t sw_plan_names_count(const struct sw_plan_names *names);
void sw_plan_names_clear(struct sw_plan_names *names, struct sw_plans *plans);

#endif
