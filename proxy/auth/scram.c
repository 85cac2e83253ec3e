/*
 * SCRAM-SHA-256: arithmetic and messages of both roles. Owns nothing, keeps nothing; any thread. Invariant: a
 * parser looks at no byte outside what it was given, accepts no NUL, and leaves its results alone unless it
 * returns SW_OK. Not here: who says what when (verifier.c, login.c), where keys are kept (secret.c).
 *
 * Where RFC 5802 leaves room, PostgreSQL's own server and libpq decide: the name in client-first is ignored
 * (the startup message has it), extensions of the client's messages are skipped, those of the server's are
 * refused.
 */
#include "proxy/auth/scram.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/auth/saslprep.h"
#include "proxy/base/mem.h"

#define SECRET_PREFIX SW_SCRAM_MECHANISM "$"

#define NO_COMMA "the first SCRAM message has no comma behind its channel binding flag"

struct cursor {
	const char *at, *end;
};

static enum sw_err refuse(const char **why, const char *reason)
{
	*why = reason;
	return SW_ERR_PROTOCOL;
}

static bool is_text(const void *bytes, size_t len)
{
	return len > 0 && len < SW_SCRAM_MESSAGE_MAX && !memchr(bytes, '\0', len);
}

/* Takes everything up to a delimiter, which is taken too, or up to the end. */
static struct sw_scram_span take_until(struct cursor *cursor, char delimiter)
{
	struct sw_scram_span span = {cursor->at, 0};

	while (cursor->at < cursor->end && *cursor->at != delimiter)
		cursor->at++;
	span.len = (size_t)(cursor->at - span.at);
	if (cursor->at < cursor->end)
		cursor->at++;
	return span;
}

/* Takes "x=value" and a comma behind it, where one is there. */
static bool take_attribute(struct cursor *cursor, char name, struct sw_scram_span *ret_value)
{
	if (cursor->end - cursor->at < 2 || cursor->at[0] != name || cursor->at[1] != '=')
		return false;
	cursor->at += 2;
	*ret_value = take_until(cursor, ',');
	return true;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Skips an extension; which, does not matter. */
static bool skip_attribute(struct cursor *cursor)
{
	struct sw_scram_span value;

	return cursor->at < cursor->end && is_letter(*cursor->at) &&
	       take_attribute(cursor, *cursor->at, &value);
}

static bool is_nonce(struct sw_scram_span span)
{
	if (span.len == 0 || span.len > SW_SCRAM_NONCE_MAX)
		return false;
	for (size_t i = 0; i < span.len; i++) {
		if (span.at[i] < 0x21 || span.at[i] > 0x7e || span.at[i] == ',')
			return false;
	}
	return true;
}

static bool is_span(struct sw_scram_span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

static enum sw_err parse_iterations(struct sw_scram_span span, uint32_t *ret_iterations)
{
	uint64_t number = 0;

	if (span.len == 0 || span.len > 10)
		return SW_ERR_SYNTAX;
	for (size_t i = 0; i < span.len; i++) {
		if (span.at[i] < '0' || span.at[i] > '9')
			return SW_ERR_SYNTAX;
		number = number * 10 + (uint64_t)(span.at[i] - '0');
	}
	if (number == 0 || number > INT32_MAX)
		return SW_ERR_SYNTAX;
	*ret_iterations = (uint32_t)number;
	return SW_OK;
}

static enum sw_err parse_key(struct sw_scram_span span, uint8_t ret_key[SW_SHA256_BYTES])
{
	uint8_t key[SW_SHA256_BYTES];
	size_t len;

	if (sw_base64_decode(span.at, span.len, key, sizeof(key), &len) != SW_OK || len != sizeof(key))
		return SW_ERR_SYNTAX;
	memcpy(ret_key, key, sizeof(key));
	sw_mem_wipe(key, sizeof(key));
	return SW_OK;
}

static enum sw_err parse_salt(
        struct sw_scram_span iterations, struct sw_scram_span base64, struct sw_scram_salt *ret_salt)
{
	struct sw_scram_salt salt = {0};
	size_t len;

	if (parse_iterations(iterations, &salt.iterations) != SW_OK ||
	        sw_base64_decode(base64.at, base64.len, salt.bytes, sizeof(salt.bytes), &len) != SW_OK ||
	        len == 0)
		return SW_ERR_SYNTAX;
	salt.len = (uint32_t)len;
	*ret_salt = salt;
	return SW_OK;
}

enum sw_err sw_scram_secret_parse(
        const char *text, struct sw_scram_salt *ret_salt, struct sw_scram_keys *ret_keys)
{
	struct cursor cursor = {text, text + strlen(text)};
	struct sw_scram_keys keys = {.client = {0}};
	struct sw_scram_salt salt;
	struct sw_scram_span iterations, base64;

	if (strncmp(text, SECRET_PREFIX, strlen(SECRET_PREFIX)) != 0)
		return SW_ERR_SYNTAX;
	cursor.at += strlen(SECRET_PREFIX);
	iterations = take_until(&cursor, ':');
	base64 = take_until(&cursor, '$');
	if (parse_salt(iterations, base64, &salt) != SW_OK ||
	        parse_key(take_until(&cursor, ':'), keys.stored) != SW_OK ||
	        parse_key((struct sw_scram_span){cursor.at, (size_t)(cursor.end - cursor.at)}, keys.server) !=
	                SW_OK)
		return SW_ERR_SYNTAX;
	*ret_salt = salt;
	*ret_keys = keys;
	return SW_OK;
}

enum sw_err sw_scram_derive(
        const char *password, const struct sw_scram_salt *salt, struct sw_scram_keys *ret_keys)
{
	uint8_t salted[SW_SHA256_BYTES];
	char *prepared;
	size_t len;

	if (salt->iterations == 0 || salt->iterations > SW_SCRAM_ITERATIONS_MAX)
		return SW_ERR_LIMIT;
	prepared = sw_saslprep(password);
	len = strlen(prepared);
	sw_digest_pbkdf2(prepared, len, salt->bytes, salt->len, salt->iterations, salted);
	sw_mem_wipe(prepared, len);
	sw_mem_free(prepared);
	sw_digest_hmac(salted, sizeof(salted), "Client Key", 10, ret_keys->client);
	sw_digest_sha256(ret_keys->client, sizeof(ret_keys->client), ret_keys->stored);
	sw_digest_hmac(salted, sizeof(salted), "Server Key", 10, ret_keys->server);
	sw_mem_wipe(salted, sizeof(salted));
	return SW_OK;
}

void sw_scram_proof(const struct sw_scram_keys *keys, const void *auth_message, size_t len,
        uint8_t ret_proof[SW_SHA256_BYTES])
{
	uint8_t signature[SW_SHA256_BYTES];

	sw_digest_hmac(keys->stored, sizeof(keys->stored), auth_message, len, signature);
	for (size_t i = 0; i < sizeof(signature); i++)
		ret_proof[i] = keys->client[i] ^ signature[i];
	/* Signature and proof together are the client key. */
	sw_mem_wipe(signature, sizeof(signature));
}

void sw_scram_signature(const struct sw_scram_keys *keys, const void *auth_message, size_t len,
        uint8_t ret_signature[SW_SHA256_BYTES])
{
	sw_digest_hmac(keys->server, sizeof(keys->server), auth_message, len, ret_signature);
}

enum sw_err sw_scram_check_proof(const struct sw_scram_keys *keys, const void *auth_message, size_t len,
        const uint8_t proof[SW_SHA256_BYTES], uint8_t ret_client_key[SW_SHA256_BYTES])
{
	uint8_t client_key[SW_SHA256_BYTES], stored[SW_SHA256_BYTES];
	enum sw_err err = SW_ERR_AUTH;

	sw_digest_hmac(keys->stored, sizeof(keys->stored), auth_message, len, client_key);
	for (size_t i = 0; i < sizeof(client_key); i++)
		client_key[i] ^= proof[i];
	sw_digest_sha256(client_key, sizeof(client_key), stored);
	if (sw_digest_is_equal(stored, keys->stored, sizeof(stored))) {
		memcpy(ret_client_key, client_key, sizeof(client_key));
		err = SW_OK;
	}
	sw_mem_wipe(client_key, sizeof(client_key));
	return err;
}

const char *sw_scram_header(char binding)
{
	switch (binding) {
	case SW_SCRAM_BOUND:
		return SW_SCRAM_HEADER_BOUND;
	case SW_SCRAM_NOT_OFFERED:
		return "y,,";
	default:
		return "n,,";
	}
}

void sw_scram_binding_write(
        char binding, const uint8_t *hash, size_t len, char ret_text[SW_SCRAM_BINDING_TEXT_MAX])
{
	uint8_t bytes[sizeof(SW_SCRAM_HEADER_BOUND) - 1 + SW_BINDING_BYTES_MAX];
	const char *header = sw_scram_header(binding);
	size_t header_len = strlen(header);

	assert(len <= SW_BINDING_BYTES_MAX);
	memcpy(bytes, header, header_len);
	if (binding != SW_SCRAM_BOUND)
		len = 0;
	if (len > 0)
		memcpy(bytes + header_len, hash, len);
	sw_base64_encode(bytes, header_len + len, ret_text);
}

bool sw_scram_is_bound(struct sw_scram_span binding, const uint8_t *hash, size_t len)
{
	char expected[SW_SCRAM_BINDING_TEXT_MAX];

	sw_scram_binding_write(SW_SCRAM_BOUND, hash, len, expected);
	return len > 0 && binding.len == strlen(expected) &&
	       sw_digest_is_equal(binding.at, expected, binding.len);
}

void sw_scram_nonce(char ret_text[SW_SCRAM_NONCE_TEXT_MAX])
{
	uint8_t bytes[SW_SCRAM_NONCE_BYTES];

	sw_digest_random(bytes, sizeof(bytes));
	sw_base64_encode(bytes, sizeof(bytes), ret_text);
}

/* The flag of channel binding, with "=type" where it is bound, and the comma behind. */
static enum sw_err take_flag(struct cursor *cursor, char *ret_binding, const char **why)
{
	struct sw_scram_span type;
	char binding = *cursor->at;

	if (binding == SW_SCRAM_BOUND) {
		if (!take_attribute(cursor, SW_SCRAM_BOUND, &type) || !is_span(type, SW_SCRAM_BINDING_TYPE))
			return refuse(why,
			        "the client asks for another channel binding than " SW_SCRAM_BINDING_TYPE);
	} else if (binding == SW_SCRAM_UNBOUND || binding == SW_SCRAM_NOT_OFFERED) {
		type = take_until(cursor, ',');
		if (type.len != 1)
			return refuse(why, NO_COMMA);
	} else {
		return refuse(why, "the first SCRAM message has an unknown channel binding flag");
	}
	if (cursor->at[-1] != ',')
		return refuse(why, NO_COMMA);
	*ret_binding = binding;
	return SW_OK;
}

enum sw_err sw_scram_client_first_parse(
        const void *bytes, size_t len, struct sw_scram_client_first *ret_first, const char **why)
{
	struct cursor cursor = {bytes, (const char *)bytes + len};
	struct sw_scram_client_first first;
	struct sw_scram_span name;

	if (!is_text(bytes, len))
		return refuse(why, "the first SCRAM message is empty, too long or contains a NUL");
	if (take_flag(&cursor, &first.binding, why) != SW_OK)
		return SW_ERR_PROTOCOL;
	if (cursor.at < cursor.end && *cursor.at == 'a')
		return refuse(why, "the client asks for an authorization identity, which is not supported");
	if (cursor.at == cursor.end || *cursor.at++ != ',')
		return refuse(
		        why, "the first SCRAM message has bytes where only an authorization identity may be");
	first.bare = (struct sw_scram_span){cursor.at, (size_t)(cursor.end - cursor.at)};
	if (cursor.at < cursor.end && *cursor.at == 'm')
		return refuse(why, "the client insists on a SCRAM extension that is not supported");
	if (!take_attribute(&cursor, 'n', &name))
		return refuse(why, "the first SCRAM message has no user name");
	if (!take_attribute(&cursor, 'r', &first.nonce) || !is_nonce(first.nonce))
		return refuse(why, "the first SCRAM message has no usable nonce");
	while (cursor.at < cursor.end) {
		if (!skip_attribute(&cursor))
			return refuse(why, "the first SCRAM message has garbage behind its nonce");
	}
	*ret_first = first;
	return SW_OK;
}

enum sw_err sw_scram_server_first_parse(const void *bytes, size_t len, const char *client_nonce,
        struct sw_scram_server_first *ret_first, const char **why)
{
	struct cursor cursor = {bytes, (const char *)bytes + len};
	struct sw_scram_server_first first;
	struct sw_scram_span base64, iterations;
	size_t ours = strlen(client_nonce);

	if (!is_text(bytes, len))
		return refuse(why, "the node's first SCRAM message is empty, too long or contains a NUL");
	if (*cursor.at == 'm')
		return refuse(why, "the node insists on a SCRAM extension that is not supported");
	if (!take_attribute(&cursor, 'r', &first.nonce) || !is_nonce(first.nonce))
		return refuse(why, "the node's first SCRAM message has no usable nonce");
	if (first.nonce.len <= ours || memcmp(first.nonce.at, client_nonce, ours) != 0)
		return refuse(why, "the node's SCRAM nonce does not continue ours: something stands between "
		                   "us and the node");
	if (!take_attribute(&cursor, 's', &base64) || !take_attribute(&cursor, 'i', &iterations) ||
	        cursor.at != cursor.end || parse_salt(iterations, base64, &first.salt) != SW_OK)
		return refuse(why, "the node's first SCRAM message has no usable salt and iteration count");
	*ret_first = first;
	return SW_OK;
}

enum sw_err sw_scram_client_final_parse(const void *bytes, size_t len, char binding, const char *nonce,
        struct sw_scram_client_final *ret_final, const char **why)
{
	struct cursor cursor = {bytes, (const char *)bytes + len};
	struct sw_scram_client_final final;
	struct sw_scram_span value;
	char expected[SW_SCRAM_BINDING_TEXT_MAX];

	if (!is_text(bytes, len))
		return refuse(why, "the last SCRAM message is empty, too long or contains a NUL");
	if (!take_attribute(&cursor, 'c', &final.binding))
		return refuse(why, "the last SCRAM message has no channel binding attribute");
	sw_scram_binding_write(binding, NULL, 0, expected);
	if (binding != SW_SCRAM_BOUND && !is_span(final.binding, expected))
		return refuse(why, "the last SCRAM message has another channel binding than the first");
	if (!take_attribute(&cursor, 'r', &value) || !is_span(value, nonce))
		return refuse(why, "the last SCRAM message has another nonce than this exchange");
	while (cursor.at < cursor.end && *cursor.at != 'p') {
		if (!skip_attribute(&cursor))
			return refuse(why, "the last SCRAM message has garbage behind its nonce");
	}
	final.without_proof.at = bytes;
	final.without_proof.len = (size_t)(cursor.at - (const char *)bytes) - 1;
	/* The comma must be there, and nothing, not even a comma, behind the proof. */
	if (cursor.at[-1] != ',' || !take_attribute(&cursor, 'p', &value) ||
	        value.at + value.len != cursor.end || parse_key(value, final.proof) != SW_OK)
		return refuse(why, "the last SCRAM message has no usable proof at its end");
	*ret_final = final;
	return SW_OK;
}

enum sw_err sw_scram_server_final_parse(
        const void *bytes, size_t len, uint8_t ret_signature[SW_SHA256_BYTES], const char **why)
{
	struct cursor cursor = {bytes, (const char *)bytes + len};
	struct sw_scram_span value;

	if (!is_text(bytes, len))
		return refuse(why, "the node's last SCRAM message is empty, too long or contains a NUL");
	if (*cursor.at == 'e')
		return refuse(why, "the node ended the SCRAM exchange with an error: look into its log");
	if (!take_attribute(&cursor, 'v', &value) || value.at + value.len != cursor.end ||
	        parse_key(value, ret_signature) != SW_OK)
		return refuse(why, "the node's last SCRAM message has no usable signature");
	return SW_OK;
}

size_t sw_scram_server_first_write(const char *nonce, const struct sw_scram_salt *salt, char *text)
{
	char base64[SW_BASE64_TEXT_MAX(SW_SCRAM_SALT_MAX)];
	int len;

	sw_base64_encode(salt->bytes, salt->len, base64);
	len = snprintf(text, SW_SCRAM_MESSAGE_MAX, "r=%s,s=%s,i=%" PRIu32, nonce, base64, salt->iterations);
	assert(len > 0 && len < SW_SCRAM_MESSAGE_MAX);
	return (size_t)len;
}

size_t sw_scram_client_final_write(const char *binding, struct sw_scram_span nonce, char *text)
{
	int len = snprintf(text, SW_SCRAM_MESSAGE_MAX, "c=%s,r=%.*s", binding, (int)nonce.len, nonce.at);

	assert(len > 0 && len < SW_SCRAM_MESSAGE_MAX);
	return (size_t)len;
}
