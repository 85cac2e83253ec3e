/* Process-wide limits: a list of named counters behind a mutex; the counters are atomics. Any thread. */
#include "proxy/pool/quota.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "proxy/base/mem.h"

struct sw_quota {
	struct sw_quota *next;
	_Atomic uint32_t used;
	_Atomic uint64_t wanted; /* marks; a hint: a stale one closes a connection too many, or a turn later */
	char name[];
};

static struct sw_quota *all;
static uv_mutex_t all_lock;
static uv_once_t all_once = UV_ONCE_INIT;

static void init_lock(void)
{
	uv_mutex_init(&all_lock);
}

struct sw_quota *sw_quota_named(const char *name)
{
	struct sw_quota *quota;

	uv_once(&all_once, init_lock);
	uv_mutex_lock(&all_lock);
	for (quota = all; quota && strcmp(quota->name, name) != 0; quota = quota->next)
		;
	if (!quota) {
		quota = sw_mem_zalloc(sizeof(*quota) + strlen(name) + 1);
		strcpy(quota->name, name);
		quota->next = all;
		all = quota;
	}
	uv_mutex_unlock(&all_lock);
	return quota;
}

void sw_quota_free_all(void)
{
	while (all) {
		struct sw_quota *next = all->next;

		sw_mem_free(all);
		all = next;
	}
}

uint64_t sw_quota_new_mark(void)
{
	static _Atomic uint32_t count;

	return UINT64_C(1) << (atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) % 64);
}

bool sw_quota_take(struct sw_quota *quota, uint32_t limit, uint64_t mark)
{
	uint32_t used = atomic_load_explicit(&quota->used, memory_order_relaxed);

	do {
		if (limit > 0 && used >= limit) {
			atomic_fetch_or_explicit(&quota->wanted, mark, memory_order_relaxed);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(&quota->used, &used, used + 1, memory_order_relaxed,
		memory_order_relaxed));
	sw_quota_unwant(quota, mark);
	return true;
}

void sw_quota_give(struct sw_quota *quota)
{
	uint32_t before = atomic_fetch_sub_explicit(&quota->used, 1, memory_order_relaxed);

	assert(before > 0);
}

uint32_t sw_quota_used(const struct sw_quota *quota)
{
	return atomic_load_explicit(&quota->used, memory_order_relaxed);
}

void sw_quota_unwant(struct sw_quota *quota, uint64_t mark)
{
	if (atomic_load_explicit(&quota->wanted, memory_order_relaxed) & mark)
		atomic_fetch_and_explicit(&quota->wanted, ~mark, memory_order_relaxed);
}

bool sw_quota_is_wanted(const struct sw_quota *quota, uint64_t mark)
{
	return (atomic_load_explicit(&quota->wanted, memory_order_relaxed) & ~mark) != 0;
}
