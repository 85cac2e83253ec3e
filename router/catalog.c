/*
 * A snapshot of one database's catalog: a hash table of names. Owned by whoever holds a reference; the
 * control thread builds it, then nobody writes but the reference count.
 *
 * Invariant: at least a quarter of the slots is empty, so a probe ends; a name stands in the table once.
 *
 * Not here: how the names come from the primary (lagmon), and which of them PostgreSQL itself defines
 * (functions.c).
 */
#include "router/catalog.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "router/hash.h"

#define FIRST_SLOTS 64

struct entry {
	char *name; /* NULL: empty */
	enum sw_function_kind kind;
	bool is_primary_relation, is_setting_relation;
};

struct sw_catalog {
	/*
	 * Any thread adds and subtracts. A new reference comes from one that is held, so relaxed does; the
	 * last subtraction must see all that others did before theirs, so that is acquire and release.
	 */
	_Atomic uint32_t refs;
	uint64_t version;
	uint64_t content; /* sum of hashes of what was added: the order of rows does not matter */
	int64_t read_ns;
	char *database;
	struct entry *entries;
	size_t count, slots; /* slots is a power of two */
};

/*
 * Written by whoever makes a catalog; only its growth matters, and the snapshot is published by other means:
 * relaxed.
 */
static _Atomic uint64_t last_version;

static struct entry *find(struct entry *entries, size_t slots, const char *name)
{
	size_t at = sw_hash(name, strlen(name), 0) & (slots - 1);

	while (entries[at].name && strcmp(entries[at].name, name) != 0)
		at = (at + 1) & (slots - 1);
	return &entries[at];
}

static void grow(struct sw_catalog *catalog)
{
	size_t slots = catalog->slots * 2;
	struct entry *entries = sw_mem_zalloc(slots * sizeof(*entries));

	for (size_t i = 0; i < catalog->slots; i++)
		if (catalog->entries[i].name)
			*find(entries, slots, catalog->entries[i].name) = catalog->entries[i];
	sw_mem_free(catalog->entries);
	catalog->entries = entries;
	catalog->slots = slots;
}

static struct entry *find_or_add(struct sw_catalog *catalog, const char *name)
{
	struct entry *entry = find(catalog->entries, catalog->slots, name);

	if (entry->name)
		return entry;
	if ((catalog->count + 1) * 4 > catalog->slots * 3) {
		grow(catalog);
		entry = find(catalog->entries, catalog->slots, name);
	}
	catalog->count++;
	entry->name = sw_mem_strdup(name);
	return entry;
}

/* What a row says beside its name; seeds of hashes, so that each says something else of the same name. */
enum { SEED_FUNCTION = 1, SEED_PRIMARY_RELATION = 100, SEED_SETTING_RELATION };

static void count_in(struct sw_catalog *catalog, const char *name, uint64_t seed)
{
	catalog->content += sw_hash(name, strlen(name), seed);
}

struct sw_catalog *sw_catalog_new(const char *database)
{
	struct sw_catalog *catalog = SW_NEW(struct sw_catalog);

	atomic_init(&catalog->refs, 1);
	catalog->version = atomic_fetch_add_explicit(&last_version, 1, memory_order_relaxed) + 1;
	catalog->database = sw_mem_strdup(database);
	catalog->slots = FIRST_SLOTS;
	catalog->entries = sw_mem_zalloc(FIRST_SLOTS * sizeof(struct entry));
	return catalog;
}

struct sw_catalog *sw_catalog_ref(struct sw_catalog *catalog)
{
	if (catalog)
		atomic_fetch_add_explicit(&catalog->refs, 1, memory_order_relaxed);
	return catalog;
}

void sw_catalog_unref(struct sw_catalog *catalog)
{
	if (!catalog || atomic_fetch_sub_explicit(&catalog->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < catalog->slots; i++)
		sw_mem_free(catalog->entries[i].name);
	sw_mem_free(catalog->entries);
	sw_mem_free(catalog->database);
	sw_mem_free(catalog);
}

void sw_catalog_add_function(struct sw_catalog *catalog, const char *name, enum sw_function_kind kind)
{
	struct entry *entry;

	assert(kind != SW_FUNCTION_UNKNOWN);
	count_in(catalog, name, SEED_FUNCTION + (uint64_t)kind);
	entry = find_or_add(catalog, name);
	if (kind > entry->kind)
		entry->kind = kind;
}

void sw_catalog_add_primary_relation(struct sw_catalog *catalog, const char *name)
{
	count_in(catalog, name, SEED_PRIMARY_RELATION);
	find_or_add(catalog, name)->is_primary_relation = true;
}

void sw_catalog_add_setting_relation(struct sw_catalog *catalog, const char *name)
{
	count_in(catalog, name, SEED_SETTING_RELATION);
	find_or_add(catalog, name)->is_setting_relation = true;
}

void sw_catalog_succeed(struct sw_catalog *catalog, const struct sw_catalog *last)
{
	if (last && last->content == catalog->content)
		catalog->version = last->version;
}

const char *sw_catalog_database(const struct sw_catalog *catalog)
{
	return catalog->database;
}

uint64_t sw_catalog_version(const struct sw_catalog *catalog)
{
	return catalog->version;
}

enum sw_function_kind sw_catalog_function(const struct sw_catalog *catalog, const char *name)
{
	return find(catalog->entries, catalog->slots, name)->kind;
}

bool sw_catalog_is_primary_relation(const struct sw_catalog *catalog, const char *name)
{
	return find(catalog->entries, catalog->slots, name)->is_primary_relation;
}

bool sw_catalog_is_setting_relation(const struct sw_catalog *catalog, const char *name)
{
	return find(catalog->entries, catalog->slots, name)->is_setting_relation;
}

void sw_catalog_set_read_ns(struct sw_catalog *catalog, int64_t read_ns)
{
	catalog->read_ns = read_ns;
}

int64_t sw_catalog_read_ns(const struct sw_catalog *catalog)
{
	return catalog->read_ns;
}
