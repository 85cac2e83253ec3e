/*
 * Fuzz target of authentication: whatever a client, a node or an auth_file says, nothing is read out of
 * bounds and nobody gets in who knows no password. The first byte of an input chooses the target. Built with
 * -fsanitize=fuzzer; the corpus also runs in tests/unit/test_auth.c, which includes this file.
 *
 * Messages of an exchange are separated by 0xff. In them 0xfe stands for the nonce of the other side, which
 * no input could guess, so that the fuzzer gets past the first message.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/saslprep.h"
#include "proxy/auth/scram.h"
#include "proxy/auth/secret.h"
#include "proxy/base/mem.h"

#define SEPARATOR  0xff
#define NONCE_MARK 0xfe

/* A SCRAM secret whose password nobody knows, so that no exchange pays for PBKDF2. */
#define SECRET                                                                                               \
	"SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"          \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes one message off the input, with the other side's nonce put in. */
static size_t take_message(
        const uint8_t **at, const uint8_t *end, const char *nonce, uint8_t *out, size_t size)
{
	size_t len = 0;

	for (; *at < end && **at != SEPARATOR && len < size; (*at)++) {
		if (**at != NONCE_MARK) {
			out[len++] = **at;
			continue;
		}
		for (const char *c = nonce; *c && len < size; c++)
			out[len++] = (uint8_t)*c;
	}
	if (*at < end)
		(*at)++;
	return len;
}

/* The nonce in a reply: from "r=" to the next comma or the end. */
static void find_nonce(const uint8_t *reply, size_t len, char *ret_nonce, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i + 2 < len; i++) {
		if (memcmp(reply + i, "r=", 2) != 0)
			continue;
		for (i += 2; i < len && reply[i] != ',' && used + 1 < size; i++)
			ret_nonce[used++] = (char)reply[i];
		break;
	}
	ret_nonce[used] = '\0';
}

static void fuzz_verifier(
        enum sw_auth_method method, const char *secret, const uint8_t *at, const uint8_t *end)
{
	struct sw_verifier *verifier = sw_verifier_new(method, "fuzz", secret);
	const uint8_t *reply;
	size_t len;
	enum sw_auth_step step = sw_verifier_start(verifier, &reply, &len);
	uint8_t message[4096];
	char nonce[512] = "";

	for (int i = 0; i < 4 && step == SW_STEP_SEND; i++) {
		len = take_message(&at, end, nonce, message, sizeof(message));
		step = sw_verifier_feed(verifier, message, len, &reply, &len);
		if (step == SW_STEP_SEND)
			find_nonce(reply, len, nonce, sizeof(nonce));
	}
	assert(step == SW_STEP_SEND || step == SW_STEP_FAILED || step == SW_STEP_BROKEN);
	assert(sw_verifier_reason(verifier));
	sw_verifier_free(verifier);
}

static void fuzz_login(const char *password, const uint8_t *at, const uint8_t *end)
{
	struct sw_login *login = sw_login_new("fuzz", password);
	enum sw_login_step step = SW_LOGIN_WAIT;
	const uint8_t *reply;
	uint8_t message[4096];
	char nonce[512] = "";
	size_t len;

	for (int i = 0; i < 4 && (step == SW_LOGIN_SEND || step == SW_LOGIN_WAIT); i++) {
		len = take_message(&at, end, nonce, message, sizeof(message));
		step = sw_login_feed(login, message, len, &reply, &len);
		if (step == SW_LOGIN_SEND)
			find_nonce(reply, len, nonce, sizeof(nonce));
	}
	assert(sw_login_reason(login));
	sw_login_free(login);
}

static void fuzz_parsers(const uint8_t *data, size_t size)
{
	struct sw_scram_client_first client_first;
	struct sw_scram_server_first server_first;
	struct sw_scram_client_final client_final;
	uint8_t signature[SW_SHA256_BYTES];
	const char *why = NULL;

	if (sw_scram_client_first_parse(data, size, &client_first, &why) == SW_OK)
		assert(client_first.nonce.len > 0 && client_first.nonce.len <= SW_SCRAM_NONCE_MAX);
	if (sw_scram_server_first_parse(data, size, "abc", &server_first, &why) == SW_OK)
		assert(server_first.salt.len > 0 && server_first.salt.len <= SW_SCRAM_SALT_MAX);
	if (sw_scram_client_final_parse(data, size, 'n', "abcdef", &client_final, &why) == SW_OK)
		assert(client_final.without_proof.len < size);
	if (sw_scram_server_final_parse(data, size, signature, &why) != SW_OK)
		assert(why);
}

static void fuzz_texts(const uint8_t *data, size_t size)
{
	char *text = sw_mem_strndup((const char *)data, size);
	char *prepared = sw_saslprep(text);
	uint8_t bytes[256];
	char again[SW_BASE64_TEXT_MAX(sizeof(bytes))];
	struct sw_scram_salt salt;
	struct sw_scram_keys keys;
	size_t len;

	assert(!*text || *prepared);
	if (sw_scram_secret_parse(text, &salt, &keys) == SW_OK)
		assert(sw_secret_kind(text) == SW_SECRET_SCRAM);
	if (sw_base64_decode(text, strlen(text), bytes, sizeof(bytes), &len) == SW_OK)
		assert(sw_base64_encode(bytes, len, again) == strlen(text));
	sw_mem_free(prepared);
	sw_mem_free(text);
}

static void fuzz_users(const uint8_t *data, size_t size)
{
	FILE *faults = fopen("/dev/null", "w");

	assert(faults);
	sw_auth_users_unref(sw_auth_users_parse((const char *)data, size, "fuzz", faults));
	fclose(faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at, *end;

	if (size == 0)
		return 0;
	at = data + 1;
	end = data + size;
	switch (data[0]) {
	case 's':
		fuzz_verifier(SW_METHOD_SCRAM, SECRET, at, end);
		break;
	case 'u':
		fuzz_verifier(SW_METHOD_SCRAM, NULL, at, end);
		break;
	case 'm':
		fuzz_verifier(SW_METHOD_MD5, "md50123456789abcdef0123456789abcdef", at, end);
		break;
	case 'c':
		fuzz_verifier(SW_METHOD_PLAIN, "a password that is longer than any input says", at, end);
		break;
	case 'l':
		fuzz_login(SECRET, at, end);
		break;
	case 'p':
		fuzz_login("md50123456789abcdef0123456789abcdef", at, end);
		break;
	case 'f':
		fuzz_users(at, size - 1);
		break;
	case 't':
		fuzz_texts(at, size - 1);
		break;
	default:
		fuzz_parsers(at, size - 1);
		break;
	}
	return 0;
}
