/*
 * Authentication as an exchange: both roles against each other, then a client and a node that do everything
 * wrong. The arithmetic has tests of its own (test_auth_parts.c), so an error that both roles share does not
 * pass unseen.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/scram.h"
#include "proxy/auth/secret.h"
#include "tests/fuzz/fuzz_auth.c"
#include "tests/unit/auth_pair.h"

/* RFC 7677, section 3: password "pencil"; the example is worked through in test_auth_parts.c. */
#define RFC_NONCE        "rOprNGfwEbeRWgbNEkqO%%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" /* in a format */
#define RFC_CLIENT_FINAL "c=biws,r=abc,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SIGNATURE    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
#define PENCIL                                                                                               \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"          \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define PENCIL_MD5 "md520c46e3762c864548e296b33c3406aa9" /* of user "user" */

#define FIRST_MESSAGE "n,,n=,r=abcdefgh"

/* What a proof looks like. */
#define NO_PROOF "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void test_both_roles(void **state)
{
	enum { IN, OUT, NO_LOGIN }; /* let in; refused; the login side gave up */
	static const struct {
		enum sw_auth_method method;
		const char *secret, *password;
		int outcome;
		const char *reason;
	} cases[] = {
	        {SW_METHOD_TRUST, NULL, NULL, IN, NULL},
	        {SW_METHOD_PLAIN, "pencil", "pencil", IN, NULL},
	        {SW_METHOD_PLAIN, PENCIL_MD5, "pencil", IN, NULL},
	        {SW_METHOD_PLAIN, PENCIL, "pencil", IN, NULL},
	        {SW_METHOD_MD5, "pencil", "pencil", IN, NULL},
	        {SW_METHOD_MD5, PENCIL_MD5, "pencil", IN, NULL},
	        {SW_METHOD_MD5, "pencil", PENCIL_MD5, IN, NULL},
	        {SW_METHOD_MD5, PENCIL, "pencil", IN, NULL},
	        {SW_METHOD_SCRAM, "pencil", "pencil", IN, NULL},
	        {SW_METHOD_SCRAM, PENCIL, "pencil", IN, NULL},
	        {SW_METHOD_SCRAM, "I\u00adX", "\u2168", IN, NULL},
	        {SW_METHOD_SCRAM, "caf\xe9", "caf\xe9", IN, NULL},
	        {SW_METHOD_PLAIN, "pencil", "pencils", OUT, "wrong"},
	        {SW_METHOD_PLAIN, PENCIL_MD5, "pencils", OUT, "wrong"},
	        {SW_METHOD_PLAIN, PENCIL, "pencils", OUT, "wrong"},
	        {SW_METHOD_PLAIN, "SCRAM-SHA-256$1000001:AAAA$" NO_PROOF ":" NO_PROOF, "x", OUT,
	                "iterations"},
	        {SW_METHOD_PLAIN, NULL, "pencil", OUT, "unknown"},
	        {SW_METHOD_PLAIN, "", "pencil", OUT, "no password"},
	        {SW_METHOD_MD5, "pencil", "pencils", OUT, "wrong"},
	        {SW_METHOD_MD5, PENCIL, "pencils", OUT, "wrong"},
	        {SW_METHOD_MD5, NULL, "pencil", OUT, "unknown"},
	        {SW_METHOD_MD5, "", "pencil", OUT, "no password"},
	        {SW_METHOD_SCRAM, "pencil", "pencils", OUT, "wrong"},
	        {SW_METHOD_SCRAM, PENCIL, "pencils", OUT, "wrong"},
	        {SW_METHOD_SCRAM, PENCIL_MD5, "pencil", OUT, "only an md5 hash"},
	        {SW_METHOD_SCRAM, NULL, "pencil", OUT, "unknown"},
	        {SW_METHOD_SCRAM, "", "pencil", OUT, "no password"},
	        {SW_METHOD_PLAIN, "pencil", NULL, NO_LOGIN, "none is known"},
	        {SW_METHOD_PLAIN, "pencil", PENCIL_MD5, NO_LOGIN, "only a hash"},
	        {SW_METHOD_PLAIN, "pencil", PENCIL, NO_LOGIN, "only a hash"},
	        {SW_METHOD_MD5, "pencil", "", NO_LOGIN, "none is known"},
	        {SW_METHOD_MD5, "pencil", PENCIL, NO_LOGIN, "only a SCRAM secret"},
	        {SW_METHOD_SCRAM, "pencil", NULL, NO_LOGIN, "none is known"},
	        {SW_METHOD_SCRAM, "pencil", PENCIL_MD5, NO_LOGIN, "only an md5 hash"},
	        {SW_METHOD_SCRAM, "pencil", PENCIL, NO_LOGIN, "not that of auth_file"},
	        {SW_METHOD_SCRAM, PENCIL, PENCIL, NO_LOGIN, "no client used it"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pair pair = {.verifier = sw_verifier_new(cases[i].method, "user", cases[i].secret),
		        .login = sw_login_new("user", cases[i].password)};
		bool is_in;

		talk(&pair);
		is_in = pair.step == SW_STEP_DONE || pair.step == SW_STEP_SEND_DONE;
		assert_int_equal(is_in, cases[i].outcome == IN);
		assert_int_equal(pair.login_step == SW_LOGIN_DONE, cases[i].outcome == IN);
		assert_int_equal(pair.step == SW_STEP_FAILED, cases[i].outcome == OUT);
		assert_int_equal(pair.login_step == SW_LOGIN_FAILED, cases[i].outcome == NO_LOGIN);
		if (cases[i].outcome == OUT)
			assert_non_null(strstr(sw_verifier_reason(pair.verifier), cases[i].reason));
		if (cases[i].outcome == NO_LOGIN)
			assert_non_null(strstr(sw_login_reason(pair.login), cases[i].reason));
		pair_free(&pair);
	}
}

/* A changed byte in any message of a SCRAM exchange keeps both sides from being content. */
static void test_corrupt_messages(void **state)
{
	(void)state;
	for (int corrupt = 1; corrupt <= 5; corrupt++) {
		struct pair pair = {.verifier = sw_verifier_new(SW_METHOD_SCRAM, "user", PENCIL),
		        .login = sw_login_new("user", "pencil"),
		        .corrupt = corrupt};

		talk(&pair);
		assert_int_not_equal(pair.login_step, SW_LOGIN_DONE);
		if (corrupt < 5)
			assert_int_not_equal(pair.step, SW_STEP_SEND_DONE);
		pair_free(&pair);
	}
}

static struct sw_verifier *begun(enum sw_auth_method method, const char *secret)
{
	struct sw_verifier *verifier = sw_verifier_new(method, "user", secret);
	const uint8_t *reply;
	size_t len;

	assert_int_equal(sw_verifier_start(verifier, &reply, &len), SW_STEP_SEND);
	return verifier;
}

/* A SASLInitialResponse with this message; returns the server-first in nonce and salt. */
static enum sw_auth_step send_first(
        struct sw_verifier *verifier, const char *message, const char **ret_reply, size_t *ret_len)
{
	uint8_t body[SW_SCRAM_MESSAGE_MAX + 64];
	size_t len = strlen(message);
	const uint8_t *reply;
	enum sw_auth_step step;

	memcpy(body, SW_SCRAM_MECHANISM, 14);
	memcpy(body + 14, (uint8_t[]){0, 0, (uint8_t)(len >> 8), (uint8_t)len}, 4);
	memcpy(body + 18, message, len);
	step = sw_verifier_feed(verifier, body, len + 18, &reply, ret_len);
	*ret_reply = (const char *)reply;
	return step;
}

static void assert_broken(struct sw_verifier *verifier, enum sw_auth_step step, const char *reason)
{
	const uint8_t *reply;
	size_t len;

	assert_int_equal(step, SW_STEP_BROKEN);
	assert_non_null(strstr(sw_verifier_reason(verifier), reason));
	/* Whatever comes after the end changes nothing. */
	assert_int_equal(sw_verifier_feed(verifier, (const uint8_t *)"x", 2, &reply, &len), SW_STEP_BROKEN);
	assert_null(reply);
	assert_int_equal(len, 0);
	sw_verifier_free(verifier);
}

static void test_client_first_faults(void **state)
{
	static const struct {
		const char *message, *reason;
	} cases[] = {
	        {"", "empty"}, {"n", "no comma"}, {"x,,n=,r=abc", "unknown channel binding flag"},
	        {"p=tls-server-end-point,,n=,r=abc", "insists on channel binding"},
	        {"n,a=root,n=,r=abc", "authorization identity"}, {"n,x,n=,r=abc", "authorization identity"},
	        {"n,,m=x,n=,r=abc", "extension"}, {"n,,r=abc", "no user name"}, {"n,,n=", "no usable nonce"},
	        {"n,,n=,r=", "no usable nonce"}, {"n,,n=,r=a b", "no usable nonce"},
	        {"n,,n=,r=a\u00e4", "no usable nonce"}, {"n,,n=,r=abc,garbage", "garbage"},
	        {"n,,n=,r=abc,1=x", "garbage"},
	        {RFC_CLIENT_FINAL, "unknown channel binding flag"}, /* the last message first */
	};
	const char *reply;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_verifier *verifier = begun(SW_METHOD_SCRAM, PENCIL);

		assert_broken(
		        verifier, send_first(verifier, cases[i].message, &reply, &len), cases[i].reason);
	}
}

static void test_initial_response_faults(void **state)
{
	static const struct {
		const char *body;
		size_t len;
		const char *reason;
	} cases[] = {
	        {"", 0, "cut short"},
	        {"SCRAM-SHA-256", 13, "cut short"},
	        {"SCRAM-SHA-256\0\0\0", 16, "cut short"},
	        {"SCRAM-SHA-256-PLUS\0\0\0\0\1n", 24, "not offered"},
	        {"SCRAM-SHA-256\0\0\0\0\20n,,n=,r=abc", 30, "wrong length"},
	        {"SCRAM-SHA-256\0\0\0\0\13n,,n=,r=abcd", 31, "wrong length"},
	        {"SCRAM-SHA-256\0\377\377\377\377n,,n=,r=abc", 30, "wrong length"},
	        {"SCRAM-SHA-256\0\0\0\0\14n,,n=,r=ab\0c", 30, "NUL"},
	        {"pencil", 7, "cut short"},
	};
	const uint8_t *reply;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_verifier *verifier = begun(SW_METHOD_SCRAM, PENCIL);

		assert_broken(verifier,
		        sw_verifier_feed(
		                verifier, (const uint8_t *)cases[i].body, cases[i].len, &reply, &len),
		        cases[i].reason);
	}
}

static void test_client_final_faults(void **state)
{
	/* %s: the nonce of the exchange. */
	static const struct {
		const char *format, *reason;
	} cases[] = {
	        {"", "empty"},
	        {FIRST_MESSAGE, "no channel binding attribute"},
	        {"c=eSws,r=%s,p=" NO_PROOF, "another channel binding"},
	        {"c=biw,r=%s,p=" NO_PROOF, "another channel binding"},
	        {"c=biws,r=abcdefgh,p=" NO_PROOF, "another nonce"},
	        {"c=biws,r=%sx,p=" NO_PROOF, "another nonce"},
	        {"c=biws,p=" NO_PROOF, "another nonce"},
	        {"c=biws,r=%s", "no usable proof"},
	        {"c=biws,r=%s,", "no usable proof"},
	        {"c=biws,r=%s,p=", "no usable proof"},
	        {"c=biws,r=%s,p=AAAA", "no usable proof"},
	        {"c=biws,r=%s,p=" NO_PROOF ",", "no usable proof"},
	        {"c=biws,r=%s,p=" NO_PROOF ",x=1", "no usable proof"},
	        {"c=biws,r=%s,p=" NO_PROOF "AAAA", "no usable proof"},
	        {"c=biws,r=%s,garbage,p=" NO_PROOF, "garbage"},
	};
	char message[512], nonce[128];
	const char *reply;
	const uint8_t *last;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_verifier *verifier = begun(SW_METHOD_SCRAM, PENCIL);

		assert_int_equal(send_first(verifier, FIRST_MESSAGE, &reply, &len), SW_STEP_SEND);
		find_nonce((const uint8_t *)reply, len, nonce, sizeof(nonce));
		assert_int_equal(strlen(nonce), 8 + SW_SCRAM_NONCE_TEXT_MAX - 1);
		snprintf(message, sizeof(message), cases[i].format, nonce);
		assert_broken(verifier,
		        sw_verifier_feed(verifier, (const uint8_t *)message, strlen(message), &last, &len),
		        cases[i].reason);
	}
}

/* What the rules allow beside the usual: no initial data, the y flag, extensions, names, the longest
 * messages. */
static void test_unusual_but_right(void **state)
{
	struct sw_verifier *verifier = begun(SW_METHOD_SCRAM, PENCIL);
	char message[SW_SCRAM_MESSAGE_MAX + 1], nonce[512];
	const uint8_t *reply;
	const char *text;
	size_t len;

	(void)state;
	assert_int_equal(sw_verifier_feed(verifier, (const uint8_t *)"SCRAM-SHA-256\0\377\377\377\377", 18,
	                         &reply, &len),
	        SW_STEP_SEND);
	assert_int_equal(len, 4);
	assert_memory_equal(reply, "\0\0\0\13", 4);
	/* The longest message with the longest nonce, and then its twin at the end. */
	len = (size_t)sprintf(message, "y,,n=%0*d,r=%0256d", SW_SCRAM_MESSAGE_MAX - 1 - 5 - 3 - 256, 0, 0);
	assert_int_equal(len, SW_SCRAM_MESSAGE_MAX - 1);
	assert_int_equal(
	        sw_verifier_feed(verifier, (const uint8_t *)message, len, &reply, &len), SW_STEP_SEND);
	find_nonce(reply, len, nonce, sizeof(nonce));
	len = (size_t)sprintf(message, "c=eSws,r=%s,x=%0*d,p=" NO_PROOF, nonce,
	        (int)(SW_SCRAM_MESSAGE_MAX - 1 - 12 - 47 - strlen(nonce)), 0);
	assert_int_equal(len, SW_SCRAM_MESSAGE_MAX - 1);
	assert_int_equal(
	        sw_verifier_feed(verifier, (const uint8_t *)message, len, &reply, &len), SW_STEP_FAILED);
	assert_string_equal(sw_verifier_reason(verifier), "the password is wrong");
	sw_verifier_free(verifier);

	verifier = begun(SW_METHOD_SCRAM, PENCIL);
	sprintf(message, "n,,n=,r=%0257d", 0);
	assert_broken(verifier, send_first(verifier, message, &text, &len), "no usable nonce");
	verifier = begun(SW_METHOD_SCRAM, PENCIL);
	sprintf(message, "n,,n=%0*d,r=abc", SW_SCRAM_MESSAGE_MAX - 11, 0);
	assert_broken(verifier, send_first(verifier, message, &text, &len), "too long");
}

static void test_password_message_faults(void **state)
{
	static const enum sw_auth_method methods[] = {SW_METHOD_PLAIN, SW_METHOD_MD5};
	const uint8_t *reply;
	size_t len;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sw_verifier *verifier = begun(methods[i], "pencil");

		assert_broken(verifier, sw_verifier_feed(verifier, NULL, 0, &reply, &len), "not one text");
		verifier = begun(methods[i], "pencil");
		assert_broken(verifier,
		        sw_verifier_feed(verifier, (const uint8_t *)"pencil", 6, &reply, &len),
		        "not one text");
		verifier = begun(methods[i], "pencil");
		assert_broken(verifier,
		        sw_verifier_feed(verifier, (const uint8_t *)"pencil\0x", 8, &reply, &len),
		        "not one text");
		verifier = begun(methods[i], "pencil");
		assert_int_equal(
		        sw_verifier_feed(verifier, (const uint8_t *)"", 1, &reply, &len), SW_STEP_FAILED);
		sw_verifier_free(verifier);
	}
}

/* server-first of a login of this user, without the nonces. */
static void challenge(const char *user, const char *secret, char *ret_text, size_t size)
{
	struct sw_verifier *verifier = sw_verifier_new(SW_METHOD_SCRAM, user, secret);
	const uint8_t *bytes;
	const char *reply;
	size_t len;

	assert_int_equal(sw_verifier_start(verifier, &bytes, &len), SW_STEP_SEND);
	assert_int_equal(send_first(verifier, FIRST_MESSAGE, &reply, &len), SW_STEP_SEND);
	snprintf(ret_text, size, "%.*s", (int)len - 4 - 34, reply + 4 + 34);
	assert_memory_equal(ret_text, ",s=", 3);
	sw_verifier_free(verifier);
}

static void test_mock_exchange_is_stable(void **state)
{
	char first[128], second[128];

	(void)state;
	challenge("nobody", NULL, first, sizeof(first));
	challenge("nobody", NULL, second, sizeof(second));
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "==,i=4096"));
	/* Whoever gets a password, or only has an md5 hash, is not told apart from before. */
	challenge("nobody", "pencil", second, sizeof(second));
	assert_string_equal(first, second);
	challenge("nobody", PENCIL_MD5, second, sizeof(second));
	assert_string_equal(first, second);
	challenge("nobody else", NULL, second, sizeof(second));
	assert_string_not_equal(first, second);
	assert_int_equal(strlen(first), strlen(second));
}

/* A login that has sent its first SCRAM message; its nonce. */
static struct sw_login *challenged(const char *password, char *ret_nonce, size_t size)
{
	struct sw_login *login = sw_login_new("user", password);
	const uint8_t *reply;
	size_t len;

	assert_int_equal(sw_login_feed(login, (const uint8_t *)"\0\0\0\12SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0",
	                         38, &reply, &len),
	        SW_LOGIN_SEND);
	assert_memory_equal(reply, "SCRAM-SHA-256\0\0\0\0\40n,,n=,r=", 26);
	assert_int_equal(len, 18 + 32);
	find_nonce(reply, len, ret_nonce, size);
	return login;
}

static void assert_refused(struct sw_login *login, const void *body, size_t body_len, const char *reason)
{
	const uint8_t *reply;
	size_t len;

	assert_int_equal(sw_login_feed(login, body, body_len, &reply, &len), SW_LOGIN_FAILED);
	assert_null(reply);
	assert_int_equal(len, 0);
	assert_non_null(strstr(sw_login_reason(login), reason));
	assert_int_equal(sw_login_feed(login, ok_message, 4, &reply, &len), SW_LOGIN_FAILED);
	sw_login_free(login);
}

static void test_login_requests(void **state)
{
	static const struct {
		const char *body;
		size_t len;
		const char *reason;
	} cases[] = {
	        {"", 0, "malformed"},
	        {"\0\0\0", 3, "malformed"},
	        {"\0\0\0\0x", 5, "malformed"},
	        {"\0\0\0\2", 4, "Kerberos"},
	        {"\0\0\0\7", 4, "Kerberos"},
	        {"\0\0\0\10", 4, "Kerberos"},
	        {"\0\0\0\11", 4, "Kerberos"},
	        {"\0\0\0\4ab", 6, "unknown authentication"},
	        {"\377\377\377\377", 4, "unknown authentication"},
	        {"\0\0\0\3x", 5, "malformed"},
	        {"\0\0\0\5abc", 7, "malformed"},
	        {"\0\0\0\5abcde", 9, "malformed"},
	        {"\0\0\0\12", 4, "malformed"},
	        {"\0\0\0\12SCRAM-SHA-256", 17, "malformed"},
	        {"\0\0\0\12SCRAM-SHA-256\0", 18, "malformed"},
	        {"\0\0\0\12SCRAM-SHA-256\0\0x", 20, "malformed"},
	        {"\0\0\0\12\0", 5, "without SCRAM-SHA-256"},
	        {"\0\0\0\12SCRAM-SHA-1\0\0", 17, "without SCRAM-SHA-256"},
	        {"\0\0\0\13r=abc", 9, "out of turn"},
	        {"\0\0\0\14v=" RFC_SIGNATURE, 50, "out of turn"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_refused(sw_login_new("user", "pencil"), cases[i].body, cases[i].len, cases[i].reason);
}

static void test_server_first_faults(void **state)
{
	/* %s: our nonce. */
	static const struct {
		const char *format, *reason;
	} cases[] = {
	        {"", "empty"},
	        {"m=x,r=%sx,s=AAAA,i=1", "extension"},
	        {"e=other-error", "no usable nonce"},
	        {"r=%s,s=AAAA,i=1", "does not continue ours"},
	        {"r=abc,s=AAAA,i=1", "does not continue ours"},
	        {"r=" RFC_NONCE "0123456789,s=AAAA,i=1", "does not continue ours"},
	        {"r=%sx", "no usable salt"},
	        {"r=%sx,s=,i=1", "no usable salt"},
	        {"r=%sx,s=AA,i=1", "no usable salt"},
	        {"r=%sx,s=AAAA", "no usable salt"},
	        {"r=%sx,s=AAAA,i=", "no usable salt"},
	        {"r=%sx,s=AAAA,i=0", "no usable salt"},
	        {"r=%sx,s=AAAA,i=-1", "no usable salt"},
	        {"r=%sx,s=AAAA,i=1x", "no usable salt"},
	        {"r=%sx,s=AAAA,i=99999999999", "no usable salt"},
	        {"r=%sx,s=AAAA,i=1,x=y", "no usable salt"},
	        {"r=%sx,s="
	         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,i="
	         "1",
	                "no usable salt"},
	        {"r=%sx,s=AAAA,i=1000001", "over 1000000 SCRAM iterations"},
	        {"r=%sx,s=AAAA,i=2147483647", "over 1000000 SCRAM iterations"},
	};
	char body[512] = "\0\0\0\13", nonce[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_login *login = challenged("pencil", nonce, sizeof(nonce));
		int len = snprintf(body + 4, sizeof(body) - 4, cases[i].format, nonce);

		assert_refused(login, body, (size_t)len + 4, cases[i].reason);
	}
}

static void test_node_must_prove_itself(void **state)
{
	static const struct {
		const char *body;
		size_t len;
		const char *reason;
	} cases[] = {
	        {"\0\0\0\0", 4, "skipped its SCRAM proof"},
	        {"\0\0\0\14", 4, "empty"},
	        {"\0\0\0\14e=invalid-proof", 19, "error"},
	        {"\0\0\0\14v=AAAA", 10, "no usable signature"},
	        {"\0\0\0\14v=" NO_PROOF ",", 51, "no usable signature"},
	        {"\0\0\0\14v=" NO_PROOF, 50, "proof is wrong"},
	        {"\0\0\0\13r=abc", 9, "out of turn"},
	        {"\0\0\0\12SCRAM-SHA-256\0", 19, "out of turn"},
	};
	char body[256] = "\0\0\0\13", nonce[64];
	const uint8_t *reply;
	size_t len;

	(void)state;
	assert_refused(challenged("pencil", nonce, sizeof(nonce)), ok_message, 4, "skipped its SCRAM proof");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_login *login = challenged("pencil", nonce, sizeof(nonce));
		int first_len = snprintf(body + 4, sizeof(body) - 4, "r=%sx,s=AAAA,i=1", nonce);

		assert_int_equal(sw_login_feed(login, (uint8_t *)body, (size_t)first_len + 4, &reply, &len),
		        SW_LOGIN_SEND);
		assert_refused(login, cases[i].body, cases[i].len, cases[i].reason);
	}
}

/* A SCRAM secret lets Seawall log in to nodes once a client has logged in; a failed login teaches nothing. */
static void test_secret_is_passed_through(void **state)
{
	static const enum sw_auth_method methods[] = {SW_METHOD_SCRAM, SW_METHOD_PLAIN};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sw_auth_keys *keys = sw_auth_keys_new();

		for (int is_right = 0; is_right <= 1; is_right++) {
			struct pair client = {.verifier = sw_verifier_new(methods[i], "user", PENCIL),
			        .login = sw_login_new("user", is_right ? "pencil" : "pencils")};
			struct pair node = {.verifier = sw_verifier_new(SW_METHOD_SCRAM, "user", PENCIL),
			        .login = sw_login_new("user", PENCIL)};

			sw_verifier_use_keys(client.verifier, keys);
			talk(&client);
			assert_int_equal(client.login_step == SW_LOGIN_DONE, is_right);
			sw_login_use_keys(node.login, keys);
			talk(&node);
			assert_int_equal(node.login_step == SW_LOGIN_DONE, is_right);
			pair_free(&client);
			pair_free(&node);
		}
		sw_auth_keys_unref(keys);
	}
}

/* The fuzz corpus, every time. SW_CORPUS_AUTH names another folder. */
static void test_corpus(void **state)
{
	const char *folder = getenv("SW_CORPUS_AUTH") ? getenv("SW_CORPUS_AUTH") : "tests/fuzz/corpus/auth";
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		uint8_t bytes[8192];
		char path[1024];
		FILE *file;
		size_t len;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		file = fopen(path, "rb");
		assert_non_null(file);
		len = fread(bytes, 1, sizeof(bytes), file);
		fclose(file);
		LLVMFuzzerTestOneInput(bytes, len);
		count++;
	}
	closedir(dir);
	assert_true(count >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_both_roles),
	        cmocka_unit_test(test_corrupt_messages),
	        cmocka_unit_test(test_client_first_faults),
	        cmocka_unit_test(test_initial_response_faults),
	        cmocka_unit_test(test_client_final_faults),
	        cmocka_unit_test(test_unusual_but_right),
	        cmocka_unit_test(test_password_message_faults),
	        cmocka_unit_test(test_mock_exchange_is_stable),
	        cmocka_unit_test(test_login_requests),
	        cmocka_unit_test(test_server_first_faults),
	        cmocka_unit_test(test_node_must_prove_itself),
	        cmocka_unit_test(test_secret_is_passed_through),
	        cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
