/*
 * Secrets of users: their kinds, and the key sets that spare PBKDF2. Owns two random keys of the process,
 * made on first use, and the key sets. Any thread.
 *
 * A key set is a way between threads. Workers read and write it under its mutex, which is held for copies of
 * a few hundred bytes only; PBKDF2 runs outside, so at worst each worker computes the same keys once.
 * Invariant: what a slot holds is a function of the secret and the salt it is kept under, so a stale or
 * missing slot costs time, never correctness; a password that nobody has proved to be right is never kept.
 */
#include "proxy/auth/secret.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "proxy/auth/digest.h"
#include "proxy/base/mem.h"

/* One for the salt that Seawall shows clients, one for that of the nodes, which are one cluster and share it.
 */
#define SLOTS_MAX 2

#define MD5_HEX_DIGITS "0123456789abcdef"

struct slot {
	bool used;
	uint8_t tag[SW_SHA256_BYTES]; /* of the secret */
	struct sw_scram_salt salt;
	struct sw_scram_keys keys;
};

struct sw_auth_keys {
	/* Any holder writes; relaxed to add, acquire and release to drop: the last one sees everything. */
	atomic_int refs;
	pthread_mutex_t lock;
	unsigned newest;    /* slot used last: the other one is replaced */
	struct slot *slots; /* NULL until there is something to keep: most users never log in */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint8_t salt_key[SW_SHA256_BYTES], tag_key[SW_SHA256_BYTES];

static void make_process_keys(void)
{
	sw_digest_random(salt_key, sizeof(salt_key));
	sw_digest_random(tag_key, sizeof(tag_key));
}

enum sw_secret_kind sw_secret_kind(const char *secret)
{
	struct sw_scram_salt salt;
	struct sw_scram_keys keys;

	if (!secret || !*secret)
		return SW_SECRET_NONE;
	if (strncmp(secret, "md5", 3) == 0 && strlen(secret) == SW_MD5_SECRET_MAX - 1 &&
	        strspn(secret + 3, MD5_HEX_DIGITS) == SW_MD5_SECRET_MAX - 4)
		return SW_SECRET_MD5;
	return sw_scram_secret_parse(secret, &salt, &keys) == SW_OK ? SW_SECRET_SCRAM : SW_SECRET_PLAIN;
}

const char *sw_secret_fault(const char *secret)
{
	static const char scram[] = "SCRAM-SHA-256$";

	if (sw_secret_kind(secret) != SW_SECRET_PLAIN)
		return NULL;
	if (strncmp(secret, scram, sizeof(scram) - 1) == 0)
		return "the SCRAM secret is damaged: copy it anew from pg_authid";
	if (strncmp(secret, "md5", 3) == 0 && strlen(secret) == SW_MD5_SECRET_MAX - 1 &&
	        strspn(secret + 3, MD5_HEX_DIGITS "ABCDEF") == SW_MD5_SECRET_MAX - 4)
		return "the md5 hash has capital letters: PostgreSQL writes it in lower case";
	return NULL;
}

bool sw_auth_is_hash(const char *secret)
{
	enum sw_secret_kind kind = sw_secret_kind(secret);

	return kind == SW_SECRET_MD5 || kind == SW_SECRET_SCRAM;
}

enum sw_err sw_secret_md5_response(const char *secret, const char *user,
        const uint8_t salt[SW_MD5_SALT_BYTES], char ret_response[SW_MD5_SECRET_MAX])
{
	char inner[SW_MD5_TEXT_MAX], outer[SW_MD5_TEXT_MAX];
	enum sw_err err = SW_OK;

	if (sw_secret_kind(secret) == SW_SECRET_MD5)
		memcpy(inner, secret + 3, sizeof(inner));
	else
		err = sw_digest_md5_hex(secret, strlen(secret), user, strlen(user), inner);
	if (err == SW_OK)
		err = sw_digest_md5_hex(inner, sizeof(inner) - 1, salt, SW_MD5_SALT_BYTES, outer);
	if (err == SW_OK) {
		memcpy(ret_response, "md5", 3);
		memcpy(ret_response + 3, outer, sizeof(outer));
	}
	sw_mem_wipe(inner, sizeof(inner));
	return err;
}

void sw_secret_mock_salt(const char *user, struct sw_scram_salt *ret_salt)
{
	uint8_t mac[SW_SHA256_BYTES];

	pthread_once(&once, make_process_keys);
	sw_digest_hmac(salt_key, sizeof(salt_key), user, strlen(user), mac);
	*ret_salt = (struct sw_scram_salt){.iterations = SW_SCRAM_ITERATIONS, .len = SW_SCRAM_SALT_BYTES};
	memcpy(ret_salt->bytes, mac, SW_SCRAM_SALT_BYTES);
}

struct sw_auth_keys *sw_auth_keys_new(void)
{
	struct sw_auth_keys *keys = SW_NEW(struct sw_auth_keys);

	atomic_init(&keys->refs, 1);
	pthread_mutex_init(&keys->lock, NULL);
	return keys;
}

struct sw_auth_keys *sw_auth_keys_ref(struct sw_auth_keys *keys)
{
	atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
	return keys;
}

void sw_auth_keys_unref(struct sw_auth_keys *keys)
{
	if (!keys || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (keys->slots)
		sw_mem_wipe(keys->slots, SLOTS_MAX * sizeof(*keys->slots));
	sw_mem_free(keys->slots);
	pthread_mutex_destroy(&keys->lock);
	sw_mem_free(keys);
}

bool sw_auth_keys_are_shared(const struct sw_auth_keys *keys)
{
	/* Acquire: what the others did with them before they let go has been done. */
	return atomic_load_explicit(&keys->refs, memory_order_acquire) > 1;
}

static void tag_of(const char *secret, uint8_t ret_tag[SW_SHA256_BYTES])
{
	pthread_once(&once, make_process_keys);
	sw_digest_hmac(tag_key, sizeof(tag_key), secret, strlen(secret), ret_tag);
}

/* Under the lock. The slot of a secret and salt, or -1. */
static int find_slot(
        const struct sw_auth_keys *keys, const uint8_t tag[SW_SHA256_BYTES], const struct sw_scram_salt *salt)
{
	for (int i = 0; keys->slots && i < SLOTS_MAX; i++) {
		const struct slot *slot = &keys->slots[i];

		if (slot->used && slot->salt.iterations == salt->iterations && slot->salt.len == salt->len &&
		        memcmp(slot->salt.bytes, salt->bytes, salt->len) == 0 &&
		        sw_digest_is_equal(slot->tag, tag, SW_SHA256_BYTES))
			return i;
	}
	return -1;
}

enum sw_err sw_auth_keys_find(struct sw_auth_keys *keys, const char *secret, const struct sw_scram_salt *salt,
        struct sw_scram_keys *ret_keys)
{
	uint8_t tag[SW_SHA256_BYTES];
	int at;

	if (!keys)
		return SW_ERR_NOT_FOUND;
	tag_of(secret, tag);
	pthread_mutex_lock(&keys->lock);
	at = find_slot(keys, tag, salt);
	if (at >= 0) {
		*ret_keys = keys->slots[at].keys;
		keys->newest = (unsigned)at;
	}
	pthread_mutex_unlock(&keys->lock);
	return at >= 0 ? SW_OK : SW_ERR_NOT_FOUND;
}

void sw_auth_keys_keep(struct sw_auth_keys *keys, const char *secret, const struct sw_scram_salt *salt,
        const struct sw_scram_keys *found)
{
	struct slot slot = {.used = true, .salt = *salt, .keys = *found};

	if (!keys)
		return;
	assert(salt->len <= sizeof(salt->bytes));
	tag_of(secret, slot.tag);
	pthread_mutex_lock(&keys->lock);
	if (find_slot(keys, slot.tag, salt) < 0) {
		if (!keys->slots)
			keys->slots = sw_mem_zalloc(SLOTS_MAX * sizeof(*keys->slots));
		keys->newest = (keys->newest + 1) % SLOTS_MAX;
		keys->slots[keys->newest] = slot;
	}
	pthread_mutex_unlock(&keys->lock);
	sw_mem_wipe(&slot, sizeof(slot));
}

enum sw_err sw_auth_keys_derive(struct sw_auth_keys *keys, const char *password,
        const struct sw_scram_salt *salt, struct sw_scram_keys *ret_keys)
{
	struct sw_scram_keys derived;
	enum sw_err err;

	if (sw_auth_keys_find(keys, password, salt, ret_keys) == SW_OK)
		return SW_OK;
	err = sw_scram_derive(password, salt, &derived);
	if (err != SW_OK)
		return err;
	sw_auth_keys_keep(keys, password, salt, &derived);
	*ret_keys = derived;
	sw_mem_wipe(&derived, sizeof(derived));
	return SW_OK;
}
