/*
 * Seawall checks a client. One verifier serves one login; it is owned by the session and runs on its worker.
 * Invariant: a client gets in only through finish() with 'doom' unset; what fails for lack of a usable secret
 * looks to the client like a wrong password. Not here: the messages around (session), the users (users.c),
 * the formulas (scram.c, secret.c).
 *
 *	trust: nothing asked -> in
 *	plain, md5: PasswordMessage -> in
 *	pam: PasswordMessage -> the caller asks PAM
 *	scram: SASLInitialResponse [-> SASLResponse, first message] -> SASLResponse, proof -> in
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

/* The length field of a SASLInitialResponse that carries no data. */
#define NO_DATA UINT32_C(0xffffffff)

/* Why a login fails although the client may know a password. Constant sentences, for the log only. */
#define NO_USER    "the user is unknown or has no password: add it to auth_file"
#define ONLY_MD5   "the user has only an md5 hash: put a SCRAM secret or the password into auth_file"
#define WRONG      "the password is wrong"
#define TOO_COSTLY "the user's SCRAM secret has too many iterations for auth_type plain: use scram-sha-256"
#define NO_MD5     "OpenSSL does not offer MD5 (FIPS?): use auth_type scram-sha-256"
#define EMPTY      "the password is empty"
#define NOT_A_TEXT "the password message is not one text that ends in a NUL"
#define NOT_BOUND  "the client chose SCRAM-SHA-256-PLUS, but sends no channel binding"
#define BOUND      "the client insists on channel binding, but did not choose SCRAM-SHA-256-PLUS"
#define DOWNGRADE                                                                                            \
	"the client was not shown that channel binding is offered: something may stand between it and us"
#define OTHER_CHANNEL                                                                                        \
	"the client is bound to another certificate than ours: something may stand between it and us"

enum state { CREATED, PLAIN_PASSWORD, MD5_PASSWORD, SCRAM_INITIAL, SCRAM_FIRST, SCRAM_PROOF, ENDED };
#define STATE_COUNT (ENDED + 1)

struct sw_verifier {
	enum state state;
	enum sw_auth_method method;
	enum sw_secret_kind kind;
	char *user, *secret;
	struct sw_auth_keys *keys; /* NULL where none were given */
	char *answer;              /* a password or an md5 response, for sw_verifier_again; NULL = none */
	const char *doom;          /* why this login can only fail; NULL where it can succeed */
	const char *reason;
	uint8_t md5_salt[SW_MD5_SALT_BYTES];
	struct sw_scram_salt salt;
	struct sw_scram_keys scram;
	uint8_t hash[SW_BINDING_BYTES_MAX]; /* of our certificate */
	size_t hash_len;                    /* 0 without TLS: there is nothing to bind to */
	bool is_plus;                       /* the mechanism that the client chose */
	char binding;
	char nonce[SW_SCRAM_NONCE_MAX + SW_SCRAM_NONCE_TEXT_MAX]; /* the client's and ours */
	struct sw_buf auth_message, reply;
};

struct sw_verifier *sw_verifier_new(enum sw_auth_method method, const char *user, const char *secret)
{
	struct sw_verifier *verifier = SW_NEW(struct sw_verifier);

	verifier->method = method;
	verifier->kind = sw_secret_kind(secret);
	verifier->user = sw_mem_strdup(user);
	verifier->secret = sw_mem_strdup(secret ? secret : "");
	verifier->doom = verifier->kind == SW_SECRET_NONE ? NO_USER : NULL;
	/* Three SCRAM messages with commas between; a reply holds one of them behind its code. */
	sw_buf_init(&verifier->auth_message, 3 * SW_SCRAM_MESSAGE_MAX + 2);
	sw_buf_init(&verifier->reply, SW_SCRAM_MESSAGE_MAX + 4);
	return verifier;
}

static void wipe_text(char *text)
{
	if (text)
		sw_mem_wipe(text, strlen(text));
	sw_mem_free(text);
}

void sw_verifier_free(struct sw_verifier *verifier)
{
	if (!verifier)
		return;
	sw_buf_fini(&verifier->reply);
	sw_buf_fini(&verifier->auth_message);
	sw_auth_keys_unref(verifier->keys);
	wipe_text(verifier->secret);
	wipe_text(verifier->answer);
	sw_mem_free(verifier->user);
	sw_mem_wipe(verifier, sizeof(*verifier));
	sw_mem_free(verifier);
}

void sw_verifier_use_keys(struct sw_verifier *verifier, struct sw_auth_keys *keys)
{
	assert(verifier->state == CREATED);
	if (!keys)
		return;
	sw_auth_keys_unref(verifier->keys);
	verifier->keys = sw_auth_keys_ref(keys);
}

void sw_verifier_use_binding(struct sw_verifier *verifier, const uint8_t *hash, size_t len)
{
	assert(verifier->state == CREATED && len <= sizeof(verifier->hash));
	if (len > 0)
		memcpy(verifier->hash, hash, len);
	verifier->hash_len = len;
}

static enum sw_auth_step fail(struct sw_verifier *verifier, const char *reason)
{
	verifier->reason = reason;
	return SW_STEP_FAILED;
}

static enum sw_auth_step breaks(struct sw_verifier *verifier, const char *reason)
{
	verifier->reason = reason;
	return SW_STEP_BROKEN;
}

/* The one way in for whoever had to know a password. */
static enum sw_auth_step finish(struct sw_verifier *verifier, bool is_right, enum sw_auth_step success)
{
	if (verifier->doom)
		return fail(verifier, verifier->doom);
	return is_right ? success : fail(verifier, WRONG);
}

static enum sw_auth_step ask_md5(struct sw_verifier *verifier)
{
	sw_digest_random(verifier->md5_salt, sizeof(verifier->md5_salt));
	sw_msg_u32(&verifier->reply, SW_CODE_MD5);
	sw_msg_bytes(&verifier->reply, verifier->md5_salt, sizeof(verifier->md5_salt));
	verifier->state = MD5_PASSWORD;
	return SW_STEP_SEND;
}

/* Keys from the secret, from the password, or zeroes, which no proof fits and 'doom' rules out anyway. */
static enum sw_auth_step ask_scram(struct sw_verifier *verifier)
{
	enum sw_err err = SW_OK;

	sw_secret_mock_salt(verifier->user, &verifier->salt);
	if (verifier->kind == SW_SECRET_SCRAM)
		err = sw_scram_secret_parse(verifier->secret, &verifier->salt, &verifier->scram);
	else if (verifier->kind == SW_SECRET_PLAIN)
		err = sw_auth_keys_derive(
		        verifier->keys, verifier->secret, &verifier->salt, &verifier->scram);
	else if (verifier->kind == SW_SECRET_MD5)
		verifier->doom = ONLY_MD5;
	assert(err == SW_OK); /* the kind says that the secret parses; the salt is ours */
	sw_msg_u32(&verifier->reply, SW_CODE_SASL);
	if (verifier->hash_len > 0) /* first, as PostgreSQL does */
		sw_msg_text(&verifier->reply, SW_SCRAM_MECHANISM_PLUS);
	sw_msg_text(&verifier->reply, SW_SCRAM_MECHANISM);
	sw_msg_u8(&verifier->reply, 0);
	verifier->state = SCRAM_INITIAL;
	return SW_STEP_SEND;
}

static enum sw_auth_step start(struct sw_verifier *verifier)
{
	switch (verifier->method) {
	case SW_METHOD_TRUST:
		verifier->state = ENDED;
		return SW_STEP_DONE;
	case SW_METHOD_PLAIN:
	case SW_METHOD_PAM:
		sw_msg_u32(&verifier->reply, SW_CODE_PLAIN);
		verifier->state = PLAIN_PASSWORD;
		return SW_STEP_SEND;
	case SW_METHOD_MD5:
		return verifier->kind == SW_SECRET_SCRAM ? ask_scram(verifier) : ask_md5(verifier);
	case SW_METHOD_SCRAM:
		return ask_scram(verifier);
	}
	verifier->state = ENDED;
	return fail(verifier, "the authentication method is unknown");
}

/* The text of a PasswordMessage; NULL where it is none. */
static const char *password_of(const uint8_t *body, size_t len)
{
	struct sw_reader reader = sw_reader_over(body, len);
	const char *password = sw_read_text(&reader);

	return sw_reader_is_done(&reader) ? password : NULL;
}

/* Hashing first: the time does not tell where the texts differ, nor how long the known one is. */
static bool is_same_text(const char *a, const char *b)
{
	uint8_t hash_a[SW_SHA256_BYTES], hash_b[SW_SHA256_BYTES];

	sw_digest_sha256(a, strlen(a), hash_a);
	sw_digest_sha256(b, strlen(b), hash_b);
	return sw_digest_is_equal(hash_a, hash_b, sizeof(hash_a));
}

/* A plain password against a SCRAM secret: the one place where a client's guess costs PBKDF2. */
static enum sw_auth_step check_against_scram(struct sw_verifier *verifier, const char *password)
{
	struct sw_scram_salt salt;
	struct sw_scram_keys known, offered;
	bool is_right;

	if (sw_scram_secret_parse(verifier->secret, &salt, &known) != SW_OK ||
	        sw_scram_derive(password, &salt, &offered) != SW_OK)
		return fail(verifier, TOO_COSTLY);
	is_right = sw_digest_is_equal(offered.stored, known.stored, sizeof(known.stored)) &&
	           sw_digest_is_equal(offered.server, known.server, sizeof(known.server));
	if (is_right)
		sw_auth_keys_keep(verifier->keys, verifier->secret, &salt, &offered);
	sw_mem_wipe(&offered, sizeof(offered));
	sw_mem_wipe(&known, sizeof(known));
	return finish(verifier, is_right, SW_STEP_DONE);
}

static enum sw_auth_step judge_password(struct sw_verifier *verifier)
{
	const char *password = verifier->answer;
	char hash[SW_MD5_TEXT_MAX];

	if (!*password)
		return fail(verifier, verifier->doom ? verifier->doom : EMPTY);
	if (verifier->kind == SW_SECRET_SCRAM)
		return check_against_scram(verifier, password);
	if (verifier->kind != SW_SECRET_MD5)
		return finish(verifier, is_same_text(password, verifier->secret), SW_STEP_DONE);
	if (sw_digest_md5_hex(password, strlen(password), verifier->user, strlen(verifier->user), hash) !=
	        SW_OK)
		return fail(verifier, NO_MD5);
	return finish(verifier, is_same_text(hash, verifier->secret + 3), SW_STEP_DONE);
}

static enum sw_auth_step judge_md5(struct sw_verifier *verifier)
{
	char expected[SW_MD5_SECRET_MAX];

	if (sw_secret_md5_response(verifier->secret, verifier->user, verifier->md5_salt, expected) != SW_OK)
		return fail(verifier, NO_MD5);
	return finish(verifier, is_same_text(verifier->answer, expected), SW_STEP_DONE);
}

static enum sw_auth_step on_plain_password(struct sw_verifier *verifier, const uint8_t *body, size_t len)
{
	const char *password = password_of(body, len);

	if (!password)
		return breaks(verifier, NOT_A_TEXT);
	verifier->answer = sw_mem_strdup(password);
	if (verifier->method == SW_METHOD_PAM)
		return *password ? SW_STEP_ASK : fail(verifier, EMPTY);
	return judge_password(verifier);
}

static enum sw_auth_step on_md5_password(struct sw_verifier *verifier, const uint8_t *body, size_t len)
{
	const char *response = password_of(body, len);

	if (!response)
		return breaks(verifier, NOT_A_TEXT);
	verifier->answer = sw_mem_strdup(response);
	return judge_md5(verifier);
}

static void record(struct sw_verifier *verifier, const void *bytes, size_t len)
{
	sw_msg_bytes(&verifier->auth_message, bytes, len);
}

/* client-first, in whichever message it came. */
static enum sw_auth_step on_scram_first(struct sw_verifier *verifier, const uint8_t *body, size_t len)
{
	struct sw_scram_client_first first;
	char message[SW_SCRAM_MESSAGE_MAX];
	const char *why;
	size_t message_len;

	if (sw_scram_client_first_parse(body, len, &first, &why) != SW_OK)
		return breaks(verifier, why);
	if (verifier->is_plus != (first.binding == SW_SCRAM_BOUND))
		return breaks(verifier, verifier->is_plus ? NOT_BOUND : BOUND);
	if (first.binding == SW_SCRAM_NOT_OFFERED && verifier->hash_len > 0)
		return fail(verifier, DOWNGRADE);
	verifier->binding = first.binding;
	memcpy(verifier->nonce, first.nonce.at, first.nonce.len);
	sw_scram_nonce(verifier->nonce + first.nonce.len);
	message_len = sw_scram_server_first_write(verifier->nonce, &verifier->salt, message);
	record(verifier, first.bare.at, first.bare.len);
	record(verifier, ",", 1);
	record(verifier, message, message_len);
	record(verifier, ",", 1);
	sw_msg_u32(&verifier->reply, SW_CODE_SASL_CONTINUE);
	sw_msg_bytes(&verifier->reply, message, message_len);
	verifier->state = SCRAM_PROOF;
	return SW_STEP_SEND;
}

static enum sw_auth_step on_scram_initial(struct sw_verifier *verifier, const uint8_t *body, size_t len)
{
	struct sw_reader reader = sw_reader_over(body, len);
	const char *mechanism = sw_read_text(&reader);
	uint32_t data_len = sw_read_u32(&reader);
	const uint8_t *data;

	if (reader.failed)
		return breaks(verifier, "the client's choice of a SASL mechanism is cut short");
	verifier->is_plus = verifier->hash_len > 0 && strcmp(mechanism, SW_SCRAM_MECHANISM_PLUS) == 0;
	if (!verifier->is_plus && strcmp(mechanism, SW_SCRAM_MECHANISM) != 0)
		return breaks(verifier, "the client chose a SASL mechanism that was not offered");
	if (data_len == NO_DATA && sw_reader_left(&reader) == 0) {
		sw_msg_u32(&verifier->reply, SW_CODE_SASL_CONTINUE);
		verifier->state = SCRAM_FIRST;
		return SW_STEP_SEND;
	}
	data = sw_read_bytes(&reader, data_len);
	if (!sw_reader_is_done(&reader))
		return breaks(verifier, "the client's first SASL message has a wrong length");
	return on_scram_first(verifier, data, data_len);
}

static enum sw_auth_step on_scram_proof(struct sw_verifier *verifier, const uint8_t *body, size_t len)
{
	const struct sw_buf *signed_over = &verifier->auth_message;
	struct sw_scram_client_final final;
	uint8_t signature[SW_SHA256_BYTES];
	char text[SW_BASE64_TEXT_MAX(SW_SHA256_BYTES)];
	const char *why;
	enum sw_err err;

	if (sw_scram_client_final_parse(body, len, verifier->binding, verifier->nonce, &final, &why) != SW_OK)
		return breaks(verifier, why);
	if (verifier->is_plus && !sw_scram_is_bound(final.binding, verifier->hash, verifier->hash_len))
		return fail(verifier, OTHER_CHANNEL);
	record(verifier, final.without_proof.at, final.without_proof.len);
	err = sw_scram_check_proof(&verifier->scram, sw_buf_data(signed_over), sw_buf_len(signed_over),
	        final.proof, verifier->scram.client);
	if (err != SW_OK || verifier->doom)
		return finish(verifier, false, SW_STEP_FAILED);
	if (verifier->kind == SW_SECRET_SCRAM)
		sw_auth_keys_keep(verifier->keys, verifier->secret, &verifier->salt, &verifier->scram);
	sw_scram_signature(&verifier->scram, sw_buf_data(signed_over), sw_buf_len(signed_over), signature);
	sw_base64_encode(signature, sizeof(signature), text);
	sw_msg_u32(&verifier->reply, SW_CODE_SASL_FINAL);
	sw_msg_bytes(&verifier->reply, "v=", 2);
	sw_msg_bytes(&verifier->reply, text, strlen(text));
	return finish(verifier, true, SW_STEP_SEND_DONE);
}

static enum sw_auth_step on_nothing_due(struct sw_verifier *verifier, const uint8_t *body, size_t len)
{
	(void)body;
	(void)len;
	return breaks(verifier, "a password message came that nobody asked for");
}

/* What a 'p' message means in each state. */
static enum sw_auth_step (*const handlers[STATE_COUNT])(struct sw_verifier *, const uint8_t *, size_t) = {
        [CREATED] = on_nothing_due,
        [PLAIN_PASSWORD] = on_plain_password,
        [MD5_PASSWORD] = on_md5_password,
        [SCRAM_INITIAL] = on_scram_initial,
        [SCRAM_FIRST] = on_scram_first,
        [SCRAM_PROOF] = on_scram_proof,
        [ENDED] = on_nothing_due,
};

static enum sw_auth_step hand_over(
        struct sw_verifier *verifier, enum sw_auth_step step, const uint8_t **ret_reply, size_t *ret_len)
{
	bool has_reply = step == SW_STEP_SEND || step == SW_STEP_SEND_DONE;

	if (step != SW_STEP_SEND)
		verifier->state = ENDED;
	*ret_reply = has_reply ? sw_buf_data(&verifier->reply) : NULL;
	*ret_len = has_reply ? sw_buf_len(&verifier->reply) : 0;
	return step;
}

enum sw_auth_step sw_verifier_start(struct sw_verifier *verifier, const uint8_t **ret_reply, size_t *ret_len)
{
	assert(verifier->state == CREATED);
	return hand_over(verifier, start(verifier), ret_reply, ret_len);
}

enum sw_auth_step sw_verifier_feed(struct sw_verifier *verifier, const uint8_t *body, size_t len,
        const uint8_t **ret_reply, size_t *ret_len)
{
	sw_buf_clear(&verifier->reply);
	return hand_over(verifier, handlers[verifier->state](verifier, len ? body : (const uint8_t *)"", len),
	        ret_reply, ret_len);
}

enum sw_auth_step sw_verifier_again(
        struct sw_verifier *verifier, const char *secret, struct sw_auth_keys *keys)
{
	assert(verifier->state == ENDED);
	/* An md5 response says nothing about a SCRAM secret; the same secret gives the same answer. */
	if (!verifier->answer || !secret || strcmp(secret, verifier->secret) == 0 ||
	        (verifier->method == SW_METHOD_MD5 && sw_secret_kind(secret) == SW_SECRET_SCRAM))
		return SW_STEP_FAILED;
	wipe_text(verifier->secret);
	verifier->secret = sw_mem_strdup(secret);
	verifier->kind = sw_secret_kind(secret);
	verifier->doom = verifier->kind == SW_SECRET_NONE ? NO_USER : NULL;
	sw_auth_keys_unref(verifier->keys);
	verifier->keys = keys ? sw_auth_keys_ref(keys) : NULL;
	return verifier->method == SW_METHOD_PLAIN ? judge_password(verifier) : judge_md5(verifier);
}

const char *sw_verifier_answer(const struct sw_verifier *verifier)
{
	return verifier->answer;
}

const char *sw_verifier_reason(const struct sw_verifier *verifier)
{
	return verifier->reason ? verifier->reason : "nothing failed";
}
