/*
 * Seawall logs in to a node. One login serves one server connection, on the thread of that connection.
 * Invariant: once SCRAM was begun only a node that has proved to know the secret too gets us to the end.
 * Not here: the startup message, errors that the node sends, and whether a plain password may go over a
 * connection without TLS: the node's pg_hba.conf asks for it, and libpq sends it too.
 *
 *	first: trust -> AuthenticationOk
 *	first: plain or md5 asked for -> answered -> AuthenticationOk
 *	first: SASL -> challenged: SASLContinue -> proved: SASLFinal -> verified -> AuthenticationOk
 */
#include "proxy/auth/auth.h"

#include <assert.h>
#include <string.h>

#include "proxy/auth/digest.h"
#include "proxy/auth/scram.h"
#include "proxy/auth/secret.h"
#include "proxy/base/buf.h"
#include "proxy/base/mem.h"
#include "proxy/wire/message.h"
#include "proxy/wire/reader.h"

/* Seawall's client-first behind its header: no name, the startup message has it. */
#define BARE_START "n=,r="

/* Each fits a log line: what failed first, then what to do. */
#define NO_PASSWORD "the node asks for a password and none is known for this user: add it to auth_file"
#define MALFORMED   "the node sent a malformed authentication request: is it a PostgreSQL server?"
#define OUT_OF_TURN "the node sent an authentication request out of turn: is it a PostgreSQL server?"
#define NOT_PROVED  "the node skipped its SCRAM proof: something may stand between us and the node"
#define FORGED      "the node's SCRAM proof is wrong: something may stand between us and the node"
#define NO_KERBEROS "the node asks for Kerberos, GSSAPI or SSPI: allow scram-sha-256 in its pg_hba.conf"
#define UNKNOWN     "the node asks for an unknown authentication: allow scram-sha-256 in its pg_hba.conf"
#define NO_SCRAM    "the node offers SASL without SCRAM-SHA-256: allow scram-sha-256 in its pg_hba.conf"
#define ONLY_PLUS   "the node offers only SCRAM-SHA-256-PLUS, which binds to a TLS certificate: use TLS to it"
#define NO_MD5      "the node asks for md5, which OpenSSL lacks (FIPS?): allow scram-sha-256 in its pg_hba.conf"
#define TOO_COSTLY  "the node asks for over 1000000 SCRAM iterations: set a new password with fewer"
#define PLAIN_HASH  "the node asks for the password, only a hash is known: put the password into auth_file"
#define SCRAM_MD5   "the node asks for SCRAM, only an md5 hash is known: put the password into auth_file"
#define MD5_SCRAM   "the node asks for md5, only a SCRAM secret is known: put the password into auth_file"
#define OTHER_SALT  "the node's SCRAM secret is not that of auth_file: copy it from pg_authid"
#define NOT_LEARNT  "only a SCRAM secret is known and no client used it yet: put the password into auth_file"

enum state { FIRST, ANSWERED, CHALLENGED, PROVED, VERIFIED, ENDED, STATE_COUNT };

/* Authentication requests as the table knows them. */
enum request { IS_OK, IS_PLAIN, IS_MD5, IS_SASL, IS_SASL_CONTINUE, IS_SASL_FINAL, REQUEST_COUNT };

struct sw_login {
	enum state state;
	enum sw_secret_kind kind;
	char *user, *password;
	struct sw_auth_keys *keys; /* NULL where none were given */
	const char *reason;
	uint8_t hash[SW_BINDING_BYTES_MAX]; /* of the node's certificate */
	size_t hash_len;                    /* 0 without TLS: there is nothing to bind to */
	char binding;
	char nonce[SW_SCRAM_NONCE_TEXT_MAX];
	struct sw_scram_keys scram;
	struct sw_buf auth_message, reply;
};

struct sw_login *sw_login_new(const char *user, const char *password)
{
	struct sw_login *login = SW_NEW(struct sw_login);

	login->kind = sw_secret_kind(password);
	login->user = sw_mem_strdup(user);
	login->password = sw_mem_strdup(password ? password : "");
	sw_buf_init(&login->auth_message, 3 * SW_SCRAM_MESSAGE_MAX + 2);
	/* The longest reply is a SCRAM message or the password, whatever length the caller allows it. */
	sw_buf_init(&login->reply, SW_SCRAM_MESSAGE_MAX + (uint32_t)strlen(login->password) + 1);
	return login;
}

static void wipe_reply(struct sw_login *login)
{
	if (login->reply.mem)
		sw_mem_wipe(login->reply.mem, login->reply.size);
	sw_buf_clear(&login->reply);
}

void sw_login_free(struct sw_login *login)
{
	if (!login)
		return;
	wipe_reply(login);
	sw_buf_fini(&login->reply);
	sw_buf_fini(&login->auth_message);
	sw_auth_keys_unref(login->keys);
	sw_mem_wipe(login->password, strlen(login->password));
	sw_mem_free(login->password);
	sw_mem_free(login->user);
	sw_mem_wipe(login, sizeof(*login));
	sw_mem_free(login);
}

void sw_login_use_keys(struct sw_login *login, struct sw_auth_keys *keys)
{
	assert(login->state == FIRST);
	if (!keys)
		return;
	sw_auth_keys_unref(login->keys);
	login->keys = sw_auth_keys_ref(keys);
}

void sw_login_use_binding(struct sw_login *login, const uint8_t *hash, size_t len)
{
	assert(login->state == FIRST && len <= sizeof(login->hash));
	if (len > 0)
		memcpy(login->hash, hash, len);
	login->hash_len = len;
}

static enum sw_login_step fail(struct sw_login *login, const char *reason)
{
	login->reason = reason;
	return SW_LOGIN_FAILED;
}

static enum sw_login_step send_in(struct sw_login *login, enum state state)
{
	login->state = state;
	return SW_LOGIN_SEND;
}

static enum sw_login_step on_ok(struct sw_login *login, struct sw_reader *reader)
{
	if (!sw_reader_is_done(reader))
		return fail(login, MALFORMED);
	login->state = ENDED;
	return SW_LOGIN_DONE;
}

static enum sw_login_step on_early_ok(struct sw_login *login, struct sw_reader *reader)
{
	(void)reader;
	return fail(login, NOT_PROVED);
}

static enum sw_login_step on_plain(struct sw_login *login, struct sw_reader *reader)
{
	if (!sw_reader_is_done(reader))
		return fail(login, MALFORMED);
	if (login->kind == SW_SECRET_NONE)
		return fail(login, NO_PASSWORD);
	if (login->kind != SW_SECRET_PLAIN)
		return fail(login, PLAIN_HASH);
	sw_msg_text(&login->reply, login->password);
	return send_in(login, ANSWERED);
}

static enum sw_login_step on_md5(struct sw_login *login, struct sw_reader *reader)
{
	const uint8_t *salt = sw_read_bytes(reader, SW_MD5_SALT_BYTES);
	char response[SW_MD5_SECRET_MAX];

	if (!sw_reader_is_done(reader))
		return fail(login, MALFORMED);
	if (login->kind == SW_SECRET_NONE)
		return fail(login, NO_PASSWORD);
	if (login->kind == SW_SECRET_SCRAM)
		return fail(login, MD5_SCRAM);
	if (sw_secret_md5_response(login->password, login->user, salt, response) != SW_OK)
		return fail(login, NO_MD5);
	sw_msg_text(&login->reply, response);
	return send_in(login, ANSWERED);
}

/* The mechanisms offered are texts, the last one is empty. */
static enum sw_login_step on_sasl(struct sw_login *login, struct sw_reader *reader)
{
	bool has_scram = false, has_plus = false, can_bind = login->hash_len > 0;
	const char *header;

	for (const char *name = sw_read_text(reader); *name; name = sw_read_text(reader)) {
		has_scram |= strcmp(name, SW_SCRAM_MECHANISM) == 0;
		has_plus |= strcmp(name, SW_SCRAM_MECHANISM_PLUS) == 0;
	}
	if (!sw_reader_is_done(reader))
		return fail(login, MALFORMED);
	if (!has_scram && !(has_plus && can_bind))
		return fail(login, has_plus ? ONLY_PLUS : NO_SCRAM);
	if (login->kind == SW_SECRET_NONE)
		return fail(login, NO_PASSWORD);
	if (login->kind == SW_SECRET_MD5)
		return fail(login, SCRAM_MD5);
	/* Had the list been cut on its way, the node sees by "not offered" that it was. */
	login->binding = !can_bind ? SW_SCRAM_UNBOUND : has_plus ? SW_SCRAM_BOUND : SW_SCRAM_NOT_OFFERED;
	header = sw_scram_header(login->binding);
	sw_scram_nonce(login->nonce);
	sw_msg_bytes(&login->auth_message, BARE_START, strlen(BARE_START));
	sw_msg_bytes(&login->auth_message, login->nonce, strlen(login->nonce));
	sw_msg_text(&login->reply,
	        login->binding == SW_SCRAM_BOUND ? SW_SCRAM_MECHANISM_PLUS : SW_SCRAM_MECHANISM);
	sw_msg_u32(&login->reply, (uint32_t)(strlen(header) + sw_buf_len(&login->auth_message)));
	sw_msg_bytes(&login->reply, header, strlen(header));
	sw_msg_bytes(&login->reply, sw_buf_data(&login->auth_message), sw_buf_len(&login->auth_message));
	return send_in(login, CHALLENGED);
}

/* NULL, or why there are no keys for this salt. */
static const char *find_keys(struct sw_login *login, const struct sw_scram_salt *salt)
{
	struct sw_scram_salt own;
	struct sw_scram_keys stored;
	enum sw_err err;

	if (login->kind == SW_SECRET_PLAIN)
		err = sw_auth_keys_derive(login->keys, login->password, salt, &login->scram);
	else
		err = sw_auth_keys_find(login->keys, login->password, salt, &login->scram);
	if (err == SW_OK)
		return NULL;
	if (err == SW_ERR_LIMIT)
		return TOO_COSTLY;
	if (sw_scram_secret_parse(login->password, &own, &stored) == SW_OK &&
	        own.iterations == salt->iterations && own.len == salt->len &&
	        memcmp(own.bytes, salt->bytes, own.len) == 0)
		return NOT_LEARNT;
	return OTHER_SALT;
}

static enum sw_login_step on_sasl_continue(struct sw_login *login, struct sw_reader *reader)
{
	const uint8_t *bytes = reader->at;
	size_t len = sw_reader_left(reader), message_len;
	struct sw_scram_server_first first;
	uint8_t proof[SW_SHA256_BYTES];
	char message[SW_SCRAM_MESSAGE_MAX], text[SW_BASE64_TEXT_MAX(SW_SHA256_BYTES)];
	char binding[SW_SCRAM_BINDING_TEXT_MAX];
	const char *why;

	if (sw_scram_server_first_parse(bytes, len, login->nonce, &first, &why) != SW_OK)
		return fail(login, why);
	why = find_keys(login, &first.salt);
	if (why)
		return fail(login, why);
	sw_scram_binding_write(login->binding, login->hash, login->hash_len, binding);
	message_len = sw_scram_client_final_write(binding, first.nonce, message);
	sw_msg_bytes(&login->auth_message, ",", 1);
	sw_msg_bytes(&login->auth_message, bytes, len);
	sw_msg_bytes(&login->auth_message, ",", 1);
	sw_msg_bytes(&login->auth_message, message, message_len);
	sw_scram_proof(
	        &login->scram, sw_buf_data(&login->auth_message), sw_buf_len(&login->auth_message), proof);
	sw_base64_encode(proof, sizeof(proof), text);
	sw_msg_bytes(&login->reply, message, message_len);
	sw_msg_bytes(&login->reply, ",p=", 3);
	sw_msg_bytes(&login->reply, text, strlen(text));
	return send_in(login, PROVED);
}

static enum sw_login_step on_sasl_final(struct sw_login *login, struct sw_reader *reader)
{
	uint8_t expected[SW_SHA256_BYTES], signature[SW_SHA256_BYTES];
	const char *why;

	if (sw_scram_server_final_parse(reader->at, sw_reader_left(reader), signature, &why) != SW_OK)
		return fail(login, why);
	sw_scram_signature(
	        &login->scram, sw_buf_data(&login->auth_message), sw_buf_len(&login->auth_message), expected);
	if (!sw_digest_is_equal(signature, expected, sizeof(expected)))
		return fail(login, FORGED);
	login->state = VERIFIED;
	return SW_LOGIN_WAIT;
}

/* What a request means in each state; an empty cell is out of turn. */
static enum sw_login_step (*const handlers[STATE_COUNT][REQUEST_COUNT])(
        struct sw_login *, struct sw_reader *) = {
        [FIRST] = {[IS_OK] = on_ok, [IS_PLAIN] = on_plain, [IS_MD5] = on_md5, [IS_SASL] = on_sasl},
        [ANSWERED] = {[IS_OK] = on_ok},
        [CHALLENGED] = {[IS_OK] = on_early_ok, [IS_SASL_CONTINUE] = on_sasl_continue},
        [PROVED] = {[IS_OK] = on_early_ok, [IS_SASL_FINAL] = on_sasl_final},
        [VERIFIED] = {[IS_OK] = on_ok},
};

/* REQUEST_COUNT where Seawall cannot serve the code. */
static enum request request_of(uint32_t code)
{
	switch (code) {
	case SW_CODE_OK:
		return IS_OK;
	case SW_CODE_PLAIN:
		return IS_PLAIN;
	case SW_CODE_MD5:
		return IS_MD5;
	case SW_CODE_SASL:
		return IS_SASL;
	case SW_CODE_SASL_CONTINUE:
		return IS_SASL_CONTINUE;
	case SW_CODE_SASL_FINAL:
		return IS_SASL_FINAL;
	default:
		return REQUEST_COUNT;
	}
}

static bool is_kerberos(uint32_t code)
{
	return code == SW_CODE_KERBEROS || code == SW_CODE_GSS || code == SW_CODE_GSS_CONTINUE ||
	       code == SW_CODE_SSPI;
}

static enum sw_login_step feed(struct sw_login *login, const uint8_t *body, size_t len)
{
	struct sw_reader reader = sw_reader_over(body, len);
	uint32_t code = sw_read_u32(&reader);
	enum request request = request_of(code);

	if (login->state == ENDED)
		return fail(login, login->reason ? login->reason : OUT_OF_TURN);
	if (reader.failed)
		return fail(login, MALFORMED);
	if (request == REQUEST_COUNT)
		return fail(login, is_kerberos(code) ? NO_KERBEROS : UNKNOWN);
	if (!handlers[login->state][request])
		return fail(login, OUT_OF_TURN);
	return handlers[login->state][request](login, &reader);
}

enum sw_login_step sw_login_feed(
        struct sw_login *login, const uint8_t *body, size_t len, const uint8_t **ret_reply, size_t *ret_len)
{
	enum sw_login_step step;

	wipe_reply(login);
	step = feed(login, len ? body : (const uint8_t *)"", len);
	if (step == SW_LOGIN_FAILED)
		login->state = ENDED;
	*ret_reply = step == SW_LOGIN_SEND ? sw_buf_data(&login->reply) : NULL;
	*ret_len = step == SW_LOGIN_SEND ? sw_buf_len(&login->reply) : 0;
	return step;
}

const char *sw_login_reason(const struct sw_login *login)
{
	return login->reason ? login->reason : "nothing failed";
}
