/*
 * The verdict cache: a hash table of chains, and a queue of its entries for eviction (CLOCK, as a list):
 * whoever was used since it came to the end of the queue goes there again, the first that was not is driven
 * out. A hit moves nothing. One thread: a worker's own.
 *
 * Invariant: every entry in the table holds one reference of the cache's and stands in the queue once;
 * entries and text_bytes never pass their limits. A statement that is not cached is 'loose' until the next
 * call, then lives by its references.
 */
#include "router/verdicts.h"

#include <assert.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "router/catalog.h"
#include "router/hash.h"

enum lexing { LEX_BACKSLASH = 1u << 0, LEX_UNSAFE_ENCODING = 1u << 1 };

struct sw_verdicts {
	struct sw_statement **buckets; /* a power of two of them */
	size_t bucket_mask;
	struct sw_list queue;
	size_t max_entries, max_text_bytes;
	struct sw_statement *loose; /* the last result that was not cached */
	struct sw_verdicts_stats stats;
};

static uint8_t lexing_of(const struct sw_classify_env *env)
{
	return (uint8_t)((env->standard_conforming_strings ? 0 : LEX_BACKSLASH) |
		(env->unsafe_encoding ? LEX_UNSAFE_ENCODING : 0));
}

static uint64_t version_of(const struct sw_classify_env *env)
{
	return env->catalog ? sw_catalog_version(env->catalog) : 0;
}

struct sw_verdicts *sw_verdicts_new(size_t max_entries, size_t max_text_bytes)
{
	struct sw_verdicts *cache = SW_NEW(struct sw_verdicts);
	size_t buckets = 16;

	assert(max_entries > 0 && max_text_bytes > 0);
	while (buckets < max_entries)
		buckets *= 2;
	cache->buckets = sw_mem_zalloc(buckets * sizeof(struct sw_statement *));
	cache->bucket_mask = buckets - 1;
	sw_list_init(&cache->queue);
	cache->max_entries = max_entries;
	cache->max_text_bytes = max_text_bytes;
	return cache;
}

void sw_statement_ref(struct sw_statement *statement)
{
	statement->refs++;
}

void sw_statement_unref(struct sw_statement *statement)
{
	assert(statement->refs > 0);
	if (--statement->refs == 0)
		sw_mem_free(statement);
}

/* Statement and text are one piece of memory. */
static struct sw_statement *statement_new(const char *text, size_t len, uint64_t hash, uint32_t database,
	uint8_t lexing)
{
	struct sw_statement *statement = sw_mem_alloc(sizeof(*statement) + len + 1);
	char *copy = (char *)(statement + 1);

	memset(statement, 0, sizeof(*statement));
	sw_list_init(&statement->in_queue);
	memcpy(copy, text, len);
	copy[len] = '\0';
	statement->hash = hash;
	statement->refs = 1;
	statement->len = (uint32_t)len;
	statement->database = database;
	statement->lexing = lexing;
	statement->text = copy;
	return statement;
}

static void unlink_bucket(struct sw_verdicts *cache, struct sw_statement *statement)
{
	struct sw_statement **at = &cache->buckets[statement->hash & cache->bucket_mask];

	while (*at != statement)
		at = &(*at)->next;
	*at = statement->next;
	statement->next = NULL;
}

static struct sw_statement *first_in_queue(struct sw_verdicts *cache)
{
	return SW_CONTAINER_OF(cache->queue.next, struct sw_statement, in_queue);
}

static void take_out(struct sw_verdicts *cache, struct sw_statement *statement)
{
	sw_list_remove(&statement->in_queue);
	unlink_bucket(cache, statement);
	cache->stats.entries--;
	cache->stats.text_bytes -= statement->len;
	statement->is_cached = false;
	sw_statement_unref(statement);
}

/* Goes through the queue at most twice: the first time clears what the second finds. */
static void make_room(struct sw_verdicts *cache, size_t len)
{
	while (cache->stats.entries == cache->max_entries ||
		cache->stats.text_bytes + len > cache->max_text_bytes) {
		struct sw_statement *statement = first_in_queue(cache);

		if (statement->was_used) {
			statement->was_used = false;
			sw_list_remove(&statement->in_queue);
			sw_list_push_back(&cache->queue, &statement->in_queue);
		} else {
			take_out(cache, statement);
			cache->stats.evictions++;
		}
	}
}

static void add(struct sw_verdicts *cache, struct sw_statement *statement)
{
	struct sw_statement **bucket = &cache->buckets[statement->hash & cache->bucket_mask];

	make_room(cache, statement->len);
	sw_list_push_back(&cache->queue, &statement->in_queue);
	cache->stats.entries++;
	cache->stats.text_bytes += statement->len;
	statement->is_cached = true;
	statement->next = *bucket;
	*bucket = statement;
}

static void drop_loose(struct sw_verdicts *cache)
{
	if (cache->loose)
		sw_statement_unref(cache->loose);
	cache->loose = NULL;
}

void sw_verdicts_clear(struct sw_verdicts *cache)
{
	drop_loose(cache);
	while (!sw_list_is_empty(&cache->queue))
		take_out(cache, first_in_queue(cache));
}

void sw_verdicts_free(struct sw_verdicts *cache)
{
	if (!cache)
		return;
	sw_verdicts_clear(cache);
	sw_mem_free(cache->buckets);
	sw_mem_free(cache);
}

static void classify(struct sw_statement *statement, const struct sw_classify_env *env)
{
	struct sw_classify_env as_made = *env;

	as_made.standard_conforming_strings = !(statement->lexing & LEX_BACKSLASH);
	as_made.unsafe_encoding = statement->lexing & LEX_UNSAFE_ENCODING;
	sw_classify(statement->text, statement->len, &as_made, &statement->verdict);
	statement->catalog_version = version_of(env);
}

void sw_statement_refresh(struct sw_statement *statement, const struct sw_classify_env *env)
{
	if ((statement->verdict.flags & SW_V_CALLS) && statement->catalog_version != version_of(env))
		classify(statement, env);
}

static struct sw_statement *find(struct sw_verdicts *cache, const char *text, size_t len, uint64_t hash,
	uint32_t database, uint8_t lexing)
{
	struct sw_statement *at = cache->buckets[hash & cache->bucket_mask];

	while (at && !(at->hash == hash && at->len == len && at->database == database && at->lexing == lexing &&
			     memcmp(at->text, text, len) == 0))
		at = at->next;
	return at;
}

struct sw_statement *sw_verdicts_get(struct sw_verdicts *cache, const char *text, size_t len, uint32_t database,
	const struct sw_classify_env *env)
{
	uint8_t lexing = lexing_of(env);
	uint64_t hash = sw_hash(text, len, (uint64_t)database << 8 | lexing);
	struct sw_statement *statement = find(cache, text, len, hash, database, lexing);

	drop_loose(cache);
	if (statement) {
		cache->stats.hits++;
		statement->was_used = true;
		sw_statement_refresh(statement, env);
		return statement;
	}
	cache->stats.misses++;
	statement = statement_new(text, len, hash, database, lexing);
	classify(statement, env);
	if (len > cache->max_text_bytes / SW_VERDICT_SHARE)
		cache->loose = statement;
	else
		add(cache, statement);
	return statement;
}

/* ---- texts that differ only in integer constants */

/* Only plain reads and writes are judged by their shape: no value of theirs means anything to a verdict. */
#define SHAPE_FLAGS (SW_V_READ | SW_V_RETRY | SW_V_CALLS | SW_V_STABLE_CALLS | SW_V_MULTI)

/* A longer text is looked up as it is: its digits are not worth a walk through all of it. */
#define SHAPE_BYTES_MAX 512

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

/*
 * The text with every integer constant turned to 0, which is a statement of the same shape; its length, or 0 where there is
 * nothing to turn, or any byte with which digits could be something else than a constant: quotes, dollars, backslashes,
 * comments, anything beyond ASCII. A run of digits counts only between the signs that no name and no other number touches.
 */
static size_t shape_of(const char *text, size_t len, char out[SHAPE_BYTES_MAX])
{
	bool has_turned = false;
	char before = ' ';
	size_t used = 0;

	if (len == 0 || len > SHAPE_BYTES_MAX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		size_t end = i;

		if ((unsigned char)c >= 0x80 || c == '\0' || is_one_of(c, "'\"$\\") || (c == '-' && before == '-') ||
			(c == '*' && before == '/'))
			return 0;
		while (end < len && text[end] >= '0' && text[end] <= '9')
			end++;
		if (end > i && is_one_of(before, " =(,<>\t\n") && (end == len || is_one_of(text[end], " ),;<>=\t\n"))) {
			has_turned |= end - i > 1 || c != '0';
			c = '0';
			i = end - 1;
		}
		out[used++] = before = c;
	}
	return has_turned ? used : 0;
}

/*
 * Rule: a verdict is kept under the full bytes of its statement. This is no exception: what is looked up is another
 * statement, whole, and its verdict serves only where the constants that differ cannot matter.
 */
struct sw_statement *sw_verdicts_judge(struct sw_verdicts *cache, const char *text, size_t len, uint32_t database,
	const struct sw_classify_env *env)
{
	char shape[SHAPE_BYTES_MAX];
	size_t shape_len = shape_of(text, len, shape);

	if (shape_len > 0) {
		struct sw_statement *statement = sw_verdicts_get(cache, shape, shape_len, database, env);

		if (!(statement->verdict.flags & ~(uint32_t)SHAPE_FLAGS) && statement->verdict.pins == 0)
			return statement;
	}
	return sw_verdicts_get(cache, text, len, database, env);
}

void sw_verdicts_stats(const struct sw_verdicts *cache, struct sw_verdicts_stats *ret_stats)
{
	*ret_stats = cache->stats;
}
