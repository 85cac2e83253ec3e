/*
 * The cache of what auth_query has said. A hash table with chains, and a list from the answer that was given
 * first to the newest one. Any thread.
 *
 * A way between threads: the control thread keeps answers, workers find them. Everything is under one mutex,
 * which is held for a hash look-up and the copy of a secret; logins are rare beside queries, so nobody waits
 * for it long. A stale answer lets an old password in, or keeps a new one out, for as long as the caller
 * takes answers of that age (auth_query_ttl).
 * Invariant: each entry is in one chain and on the list; there are at most 'most'. Secrets are wiped before
 * they are freed. Not here: who asks, and when (asks.c, proxy/lookup.c).
 */
#include "proxy/auth/secrets.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/digest.h"
#include "proxy/auth/secret.h"
#include "proxy/base/list.h"
#include "proxy/base/mem.h"
#include "router/hash.h"

/*
 * How many entries are passed over because somebody holds them; then the one at hand goes all the same. What
 * is passed over becomes the newest, so the next eviction does not meet it again.
 */
#define TRIES_MAX 64

struct entry {
	struct sw_list age; /* secrets->ages, the oldest first */
	struct entry *next; /* in its chain */
	struct sw_known known;
	char user[];
};

struct sw_secrets {
	pthread_mutex_t lock;
	uint64_t seed; /* names come from outside: nobody shall choose the chain */
	uint32_t most, count, mask;
	struct sw_list ages;
	struct entry **chains;
};

static void wipe_text(char *text)
{
	if (text)
		sw_mem_wipe(text, strlen(text));
	sw_mem_free(text);
}

void sw_known_copy(struct sw_known *ret_copy, const struct sw_known *known)
{
	ret_copy->secret = known->secret ? sw_mem_strdup(known->secret) : NULL;
	ret_copy->keys = known->keys ? sw_auth_keys_ref(known->keys) : NULL;
	ret_copy->asked_ns = known->asked_ns;
}

void sw_known_fini(struct sw_known *known)
{
	wipe_text(known->secret);
	sw_auth_keys_unref(known->keys);
	*known = (struct sw_known){0};
}

/* The link that points to the user's entry, or to the end of the chain where it would be. */
static struct entry **find(const struct sw_secrets *secrets, const char *user)
{
	struct entry **at = &secrets->chains[sw_hash(user, strlen(user), secrets->seed) & secrets->mask];

	while (*at && strcmp((*at)->user, user) != 0)
		at = &(*at)->next;
	return at;
}

static void drop(struct sw_secrets *secrets, struct entry *entry)
{
	*find(secrets, entry->user) = entry->next;
	sw_list_remove(&entry->age);
	secrets->count--;
	sw_known_fini(&entry->known);
	sw_mem_free(entry);
}

static void make_newest(struct sw_secrets *secrets, struct entry *entry)
{
	sw_list_remove(&entry->age);
	sw_list_push_back(&secrets->ages, &entry->age);
}

/* The oldest that nobody holds; the oldest of all where too many are held. */
static void make_room(struct sw_secrets *secrets)
{
	struct entry *oldest = NULL;

	for (int tries = 0; tries < TRIES_MAX; tries++) {
		oldest = SW_CONTAINER_OF(secrets->ages.next, struct entry, age);
		if (!oldest->known.keys || !sw_auth_keys_are_shared(oldest->known.keys))
			break;
		make_newest(secrets, oldest);
	}
	drop(secrets, oldest);
}

static struct entry *entry_new(struct sw_secrets *secrets, const char *user)
{
	struct entry *entry = sw_mem_zalloc(sizeof(*entry) + strlen(user) + 1);
	struct entry **chain;

	if (secrets->count == secrets->most)
		make_room(secrets);
	strcpy(entry->user, user);
	chain = find(secrets, user);
	*chain = entry;
	sw_list_push_back(&secrets->ages, &entry->age);
	secrets->count++;
	return entry;
}

void sw_secrets_keep(struct sw_secrets *secrets, const char *user, const char *secret, int64_t asked_ns,
        struct sw_known *ret_known)
{
	struct entry *entry;

	pthread_mutex_lock(&secrets->lock);
	entry = *find(secrets, user);
	if (!entry)
		entry = entry_new(secrets, user);
	make_newest(secrets, entry);
	wipe_text(entry->known.secret);
	entry->known.secret = secret ? sw_mem_strdup(secret) : NULL;
	/* The keys stay: those of another secret are never found under this one, and may be needed again. */
	if (secret && !entry->known.keys)
		entry->known.keys = sw_auth_keys_new();
	entry->known.asked_ns = asked_ns;
	sw_known_copy(ret_known, &entry->known);
	pthread_mutex_unlock(&secrets->lock);
}

enum sw_err sw_secrets_find(
        struct sw_secrets *secrets, const char *user, int64_t since_ns, struct sw_known *ret_known)
{
	enum sw_err err = SW_ERR_NOT_FOUND;
	const struct entry *entry;

	pthread_mutex_lock(&secrets->lock);
	entry = *find(secrets, user);
	if (entry && entry->known.asked_ns >= since_ns) {
		sw_known_copy(ret_known, &entry->known);
		err = SW_OK;
	}
	pthread_mutex_unlock(&secrets->lock);
	return err;
}

void sw_secrets_expire(struct sw_secrets *secrets)
{
	pthread_mutex_lock(&secrets->lock);
	SW_LIST_EACH(&secrets->ages, at, after)
	SW_CONTAINER_OF(at, struct entry, age)->known.asked_ns = INT64_MIN;
	pthread_mutex_unlock(&secrets->lock);
}

uint32_t sw_secrets_count(struct sw_secrets *secrets)
{
	uint32_t count;

	pthread_mutex_lock(&secrets->lock);
	count = secrets->count;
	pthread_mutex_unlock(&secrets->lock);
	return count;
}

const char *sw_secrets_complaint(const char *secret)
{
	if (strlen(secret) > SW_SECRET_BYTES_MAX)
		return "the secret is longer than 4096 bytes: it is no password";
	if (*secret && strspn(secret, "*") == strlen(secret))
		return "the secret is hidden by stars: read pg_shadow or pg_authid, not pg_user or pg_roles";
	return sw_secret_fault(secret);
}

struct sw_secrets *sw_secrets_new(uint32_t most)
{
	struct sw_secrets *secrets = SW_NEW(struct sw_secrets);
	uint32_t chains = 1;

	while (chains < most)
		chains *= 2;
	pthread_mutex_init(&secrets->lock, NULL);
	sw_digest_random(&secrets->seed, sizeof(secrets->seed));
	secrets->most = most;
	secrets->mask = chains - 1;
	sw_list_init(&secrets->ages);
	/* Untouched, this is no memory yet. */
	secrets->chains = sw_mem_zalloc(chains * sizeof(struct entry *));
	return secrets;
}

void sw_secrets_free(struct sw_secrets *secrets)
{
	if (!secrets)
		return;
	while (!sw_list_is_empty(&secrets->ages))
		drop(secrets, SW_CONTAINER_OF(secrets->ages.next, struct entry, age));
	pthread_mutex_destroy(&secrets->lock);
	sw_mem_free(secrets->chains);
	sw_mem_free(secrets);
}
