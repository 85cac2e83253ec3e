/*
 * Plans, the sets of them on server connections, and clients' names for them. Runs on the worker's thread.
 * Invariant: a plan is in the table while it has a reference and is not retired; uthash keeps entries in order of insertion, which makes the
 * first entry of a set the one used longest ago.
 */
#include "proxy/pool/plans.h"

#include <assert.h>
#include <string.h>
#include <uthash.h>

#include "proxy/base/clock.h"
#include "proxy/base/mem.h"
#include "proxy/pool/settings.h"
#include "router/verdicts.h"

#define PREFIX "sw_"

/* With more parameters a key is put together in memory of its own. */
#define TYPES_MAX 32

struct kept_plan {
	struct sw_plan plan;
	UT_hash_handle hh;
	bool is_retired; /* not in the table any more */
	size_t key_len;
	uint8_t key[]; /* struct sw_plan_key, then the types */
};

struct sw_plans {
	struct kept_plan *kept;
	uint32_t last_id;
};

struct sw_held_plan {
	struct sw_plan *plan;
	UT_hash_handle hh;
	bool is_checked;
};

struct sw_named_plan {
	struct sw_plan *plan;
	UT_hash_handle hh;
	char name[];
};

struct sw_plans *sw_plans_new(void)
{
	return SW_NEW(struct sw_plans);
}

void sw_plans_free(struct sw_plans *plans)
{
	if (!plans)
		return;
	assert(!plans->kept);
	sw_mem_free(plans);
}

static struct kept_plan *kept_of(const struct sw_plan *plan)
{
	return (struct kept_plan *)(void *)plan;
}

/* No Parse finds it any more; who has it keeps it. */
static void retire(struct sw_plans *plans, struct kept_plan *kept)
{
	if (!kept->is_retired)
		HASH_DEL(plans->kept, kept);
	kept->is_retired = true;
}

static struct kept_plan *make(struct sw_plans *plans, const uint8_t *bytes, size_t key_len)
{
	struct kept_plan *made = sw_mem_zalloc(sizeof(*made) + key_len);
	struct sw_plan_key key;

	memcpy(&key, bytes, sizeof(key));
	memcpy(made->key, bytes, key_len);
	made->key_len = key_len;
	sw_statement_ref(key.statement);
	made->plan = (struct sw_plan){.statement = key.statement,
		.settings = sw_settings_ref(key.settings),
		.types = made->key + sizeof(key),
		.type_count = (uint16_t)((key_len - sizeof(key)) / 4),
		.made_ns = sw_clock_ns(),
		.id = ++plans->last_id,
		.refs = 1};
	HASH_ADD_KEYPTR(hh, plans->kept, made->key, key_len, made);
	return made;
}

struct sw_plan *sw_plans_get(struct sw_plans *plans, const struct sw_plan_key *key, const uint8_t *types,
	uint16_t type_count, int64_t older_ns)
{
	size_t types_len = (size_t)type_count * 4, key_len = sizeof(*key) + types_len;
	uint8_t here[sizeof(*key) + TYPES_MAX * 4];
	uint8_t *bytes = type_count <= TYPES_MAX ? here : sw_mem_alloc(key_len);
	struct kept_plan *found;

	memcpy(bytes, key, sizeof(*key));
	if (types_len > 0)
		memcpy(bytes + sizeof(*key), types, types_len);
	HASH_FIND(hh, plans->kept, bytes, key_len, found);
	if (found && found->plan.made_ns > older_ns) {
		sw_plan_ref(&found->plan);
	} else {
		if (found)
			retire(plans, found);
		found = make(plans, bytes, key_len);
	}
	if (bytes != here)
		sw_mem_free(bytes);
	return &found->plan;
}

void sw_plan_fix_types(struct sw_plan *plan, const uint8_t *types, uint16_t type_count)
{
	if (plan->told_types || type_count == 0)
		return;
	plan->told_types = sw_mem_alloc((size_t)type_count * 4);
	memcpy(plan->told_types, types, (size_t)type_count * 4);
	plan->told_type_count = type_count;
}

void sw_plans_spoil(struct sw_plans *plans, struct sw_plan *plan)
{
	plan->is_stale = true;
	retire(plans, kept_of(plan));
}

struct sw_plan *sw_plans_successor(struct sw_plans *plans, const struct sw_plan *plan)
{
	struct sw_plan_key key;

	memcpy(&key, kept_of(plan)->key, sizeof(key));
	return sw_plans_get(plans, &key, plan->types, plan->type_count, 0);
}

struct sw_plan *sw_plan_ref(struct sw_plan *plan)
{
	plan->refs++;
	return plan;
}

void sw_plan_unref(struct sw_plans *plans, struct sw_plan *plan)
{
	struct kept_plan *kept = kept_of(plan);

	if (!plan || --plan->refs > 0)
		return;
	retire(plans, kept);
	sw_statement_unref(plan->statement);
	sw_settings_unref(plan->settings);
	sw_mem_free(plan->told_types);
	sw_mem_free(kept);
}

/* Made for each execution of a statement: printf would take longer than all the rest of it. */
void sw_plan_name(const struct sw_plan *plan, char out[SW_PLAN_NAME_MAX])
{
	static const char digits[] = "0123456789abcdef";
	int shift = 28;

	memcpy(out, PREFIX, strlen(PREFIX));
	out += strlen(PREFIX);
	while (shift > 0 && plan->id >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*out++ = digits[plan->id >> shift & 15];
	*out = '\0';
}

bool sw_plan_name_is_ours(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

static struct sw_held_plan *find_held(const struct sw_plan_set *set, const struct sw_plan *plan)
{
	struct sw_held_plan *held;

	HASH_FIND_PTR(set->held, &plan, held);
	return held;
}

bool sw_plan_set_has(struct sw_plan_set *set, const struct sw_plan *plan)
{
	struct sw_held_plan *held = find_held(set, plan);

	if (!held)
		return false;
	if (held->hh.next) {
		HASH_DEL(set->held, held);
		HASH_ADD_PTR(set->held, plan, held);
	}
	return true;
}

bool sw_plan_set_is_checked(const struct sw_plan_set *set, const struct sw_plan *plan)
{
	const struct sw_held_plan *held = find_held(set, plan);

	return held && held->is_checked;
}

void sw_plan_set_check(struct sw_plan_set *set, const struct sw_plan *plan)
{
	struct sw_held_plan *held = find_held(set, plan);

	if (held)
		held->is_checked = true;
}

void sw_plan_set_add(struct sw_plan_set *set, struct sw_plan *plan)
{
	struct sw_held_plan *held;

	if (find_held(set, plan))
		return;
	held = SW_NEW(struct sw_held_plan);
	held->plan = sw_plan_ref(plan);
	HASH_ADD_PTR(set->held, plan, held);
}

static void drop_held(struct sw_plan_set *set, struct sw_plans *plans, struct sw_held_plan *held)
{
	HASH_DEL(set->held, held);
	sw_plan_unref(plans, held->plan);
	sw_mem_free(held);
}

void sw_plan_set_remove(struct sw_plan_set *set, struct sw_plans *plans, struct sw_plan *plan)
{
	struct sw_held_plan *held = find_held(set, plan);

	if (held)
		drop_held(set, plans, held);
}

uint32_t sw_plan_set_count(const struct sw_plan_set *set)
{
	return HASH_COUNT(set->held);
}

struct sw_plan *sw_plan_set_oldest(const struct sw_plan_set *set)
{
	return set->held ? set->held->plan : NULL;
}

void sw_plan_set_clear(struct sw_plan_set *set, struct sw_plans *plans)
{
	struct sw_held_plan *held, *after;

	HASH_ITER(hh, set->held, held, after)
		drop_held(set, plans, held);
}

static struct sw_named_plan *find_named(const struct sw_plan_names *names, const char *name)
{
	struct sw_named_plan *named;

	HASH_FIND_STR(names->named, name, named);
	return named;
}

struct sw_plan *sw_plan_names_find(const struct sw_plan_names *names, const char *name)
{
	struct sw_named_plan *named = find_named(names, name);

	return named ? named->plan : NULL;
}

void sw_plan_names_set(struct sw_plan_names *names, struct sw_plans *plans, const char *name, struct sw_plan *plan)
{
	struct sw_named_plan *named = sw_mem_zalloc(sizeof(*named) + strlen(name) + 1);

	strcpy(named->name, name);
	named->plan = sw_plan_ref(plan); /* first: the name may hold the last one on this very plan */
	sw_plan_names_remove(names, plans, name);
	HASH_ADD_STR(names->named, name, named);
}

static void drop_named(struct sw_plan_names *names, struct sw_plans *plans, struct sw_named_plan *named)
{
	HASH_DEL(names->named, named);
	sw_plan_unref(plans, named->plan);
	sw_mem_free(named);
}

void sw_plan_names_remove(struct sw_plan_names *names, struct sw_plans *plans, const char *name)
{
	struct sw_named_plan *named = find_named(names, name);

	if (named)
		drop_named(names, plans, named);
}

void sw_plan_names_replace(struct sw_plan_names *names, struct sw_plans *plans, struct sw_plan *plan, struct sw_plan *by)
{
	for (struct sw_named_plan *named = names->named; named; named = named->hh.next) {
		if (named->plan != plan)
			continue;
		named->plan = sw_plan_ref(by);
		sw_plan_unref(plans, plan);
	}
}

uint32_t sw_plan_names_count(const struct sw_plan_names *names)
{
	return HASH_COUNT(names->named);
}

void sw_plan_names_clear(struct sw_plan_names *names, struct sw_plans *plans)
{
	struct sw_named_plan *named, *after;

	HASH_ITER(hh, names->named, named, after)
		drop_named(names, plans, named);
}
