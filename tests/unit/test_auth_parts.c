/*
 * The parts of authentication: hashes, base64, SASLprep, SCRAM's arithmetic, secrets with their key sets,
 * auth_file. The two roles of SCRAM share their code, so vectors of RFC 7677, RFC 7914 and RFC 4013 keep them
 * honest.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/digest.h"
#include "proxy/auth/saslprep.h"
#include "proxy/auth/scram.h"
#include "proxy/auth/secret.h"
#include "proxy/base/mem.h"

/* RFC 7677, section 3: user "user", password "pencil". */
#define RFC_CLIENT_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_NONCE        "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_PROOF        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_CLIENT_FINAL "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF
#define RFC_SIGNATURE    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
/* The same password and salt as PostgreSQL stores them; from an independent implementation. */
#define PENCIL                                                                                               \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"          \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define PENCIL_MD5 "md520c46e3762c864548e296b33c3406aa9" /* of user "user" */

/* What a key or a proof looks like. */
#define NO_PROOF "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void assert_bytes_base64(const uint8_t *bytes, const char *expected)
{
	char text[SW_BASE64_TEXT_MAX(SW_SHA256_BYTES)];

	sw_base64_encode(bytes, SW_SHA256_BYTES, text);
	assert_string_equal(text, expected);
}

static void test_digests(void **state)
{
	/* RFC 7914, section 11. */
	static const uint8_t expected[] = {0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f, 0xec, 0x16, 0x91,
	        0xc2, 0x25, 0x44, 0xb6, 0x05, 0xf9, 0x41, 0x85, 0x21, 0x6d, 0xde, 0x04, 0x65, 0xe6, 0x8b,
	        0x9d, 0x57, 0xc2, 0x0d, 0xac, 0xbc};
	static const uint8_t salt[SW_MD5_SALT_BYTES] = {1, 2, 3, 4};
	uint8_t key[SW_SHA256_BYTES];
	char text[SW_MD5_TEXT_MAX], response[SW_MD5_SECRET_MAX];

	(void)state;
	sw_digest_pbkdf2("passwd", 6, (const uint8_t *)"salt", 4, 1, key);
	assert_memory_equal(key, expected, sizeof(key));
	assert_int_equal(sw_digest_md5_hex("a", 1, "bc", 2, text), SW_OK);
	assert_string_equal(text, "900150983cd24fb0d6963f7d28e17f72");
	assert_int_equal(sw_secret_md5_response("secret", "postgres", salt, response), SW_OK);
	assert_string_equal(response, "md5bb41a296aab6baccb36ff243a562abff");
	assert_int_equal(
	        sw_secret_md5_response("md553f48b7c4b76a86ce72276c5755f217d", "-", salt, response), SW_OK);
	assert_string_equal(response, "md5bb41a296aab6baccb36ff243a562abff");
	assert_true(sw_digest_is_equal("abc", "abc", 3));
	assert_false(sw_digest_is_equal("abc", "abd", 3));
}

static void test_base64(void **state)
{
	static const char *const bad[] = {
	        "A", "AA", "AAA", "A===", "====", "AA=A", "AA A", "AAAA\n", "AA-_", "=AAA"};
	static const char *const good[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	uint8_t bytes[8];
	char text[SW_BASE64_TEXT_MAX(8)];
	size_t len = 99;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(
		        sw_base64_decode(good[i], strlen(good[i]), bytes, sizeof(bytes), &len), SW_OK);
		assert_int_equal(len, i);
		assert_memory_equal(bytes, "foobar", len);
		assert_int_equal(sw_base64_encode(bytes, len, text), strlen(good[i]));
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(sw_base64_decode(bad[i], strlen(bad[i]), bytes, 8, &len), SW_ERR_SYNTAX);
	assert_int_equal(sw_base64_decode("AAAAAAAAAAAA", 12, bytes, 8, &len), SW_ERR_LIMIT);
	assert_int_equal(len, 6);
}

static void test_saslprep(void **state)
{
	static const struct {
		const char *password, *expected;
	} cases[] = {
	        {"user", "user"},
	        {"I\u00adX", "IX"},         /* soft hyphen: mapped to nothing */
	        {"\u00aa", "a"},            /* NFKC */
	        {"\u2168", "IX"},           /* NFKC */
	        {"a\u00a0\u3000b", "a  b"}, /* spaces */
	        {"\ufdfa", "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064a\u0647 "
	                   "\u0648\u0633\u0644\u0645"}, /* the longest growth */
	        {"\a", "\a"},                           /* prohibited, but ASCII is not looked at */
	        {"\u2168\u2028", "\u2168\u2028"},       /* prohibited: as it is */
	        {"\ufb1d", "\u05d9\u05b4"},       /* would break the bidirectional rule once normalised */
	        {"\u0340", "\u0340"},             /* prohibited, although what it is normalised to is not */
	        {"\u06271", "\u06271"},           /* bidirectional rule */
	        {"\u2168\u0221", "\u2168\u0221"}, /* not assigned in Unicode 3.2 */
	        {"\u00ad", "\u00ad"},             /* nothing left */
	        {"\u2168\xc3(", "\u2168\xc3("},   /* not UTF-8 */
	        {"\xed\xa0\x80", "\xed\xa0\x80"}, /* half a surrogate pair */
	        {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *prepared = sw_saslprep(cases[i].password);

		assert_string_equal(prepared, cases[i].expected);
		sw_mem_free(prepared);
	}
}

/* Every message and number of the example in RFC 7677, from both sides. */
static void test_rfc7677_example(void **state)
{
	static const char auth_message[] =
	        "n=user,r=rOprNGfwEbeRWgbNEkqO," RFC_SERVER_FIRST ",c=biws,r=" RFC_NONCE;
	size_t len = sizeof(auth_message) - 1;
	struct sw_scram_client_first client_first;
	struct sw_scram_server_first server_first;
	struct sw_scram_client_final client_final;
	struct sw_scram_keys keys, stored;
	struct sw_scram_salt salt;
	uint8_t bytes[SW_SHA256_BYTES];
	char text[SW_SCRAM_MESSAGE_MAX];
	const char *why;

	(void)state;
	assert_int_equal(
	        sw_scram_client_first_parse(RFC_CLIENT_FIRST, strlen(RFC_CLIENT_FIRST), &client_first, &why),
	        SW_OK);
	assert_int_equal(client_first.binding, 'n');
	assert_int_equal(client_first.bare.len, strlen("n=user,r=rOprNGfwEbeRWgbNEkqO"));
	assert_memory_equal(client_first.nonce.at, "rOprNGfwEbeRWgbNEkqO", client_first.nonce.len);
	assert_int_equal(sw_scram_server_first_parse(RFC_SERVER_FIRST, strlen(RFC_SERVER_FIRST),
	                         "rOprNGfwEbeRWgbNEkqO", &server_first, &why),
	        SW_OK);
	assert_int_equal(server_first.salt.iterations, 4096);
	sw_scram_server_first_write(RFC_NONCE, &server_first.salt, text);
	assert_string_equal(text, RFC_SERVER_FIRST);
	assert_int_equal(sw_scram_derive("pencil", &server_first.salt, &keys), SW_OK);
	assert_int_equal(sw_scram_secret_parse(PENCIL, &salt, &stored), SW_OK);
	assert_memory_equal(keys.stored, stored.stored, sizeof(keys.stored));
	assert_memory_equal(keys.server, stored.server, sizeof(keys.server));
	assert_int_equal(
	        sw_scram_client_final_write("biws", server_first.nonce, text), strlen("c=biws,r=" RFC_NONCE));
	sw_scram_proof(&keys, auth_message, len, bytes);
	assert_bytes_base64(bytes, RFC_PROOF);
	assert_int_equal(sw_scram_client_final_parse(RFC_CLIENT_FINAL, strlen(RFC_CLIENT_FINAL), 'n',
	                         RFC_NONCE, &client_final, &why),
	        SW_OK);
	assert_int_equal(client_final.without_proof.len, strlen("c=biws,r=" RFC_NONCE));
	assert_int_equal(sw_scram_check_proof(&stored, auth_message, len, client_final.proof, bytes), SW_OK);
	assert_memory_equal(bytes, keys.client, sizeof(bytes));
	client_final.proof[31] ^= 1;
	assert_int_equal(
	        sw_scram_check_proof(&stored, auth_message, len, client_final.proof, bytes), SW_ERR_AUTH);
	sw_scram_signature(&stored, auth_message, len, bytes);
	assert_bytes_base64(bytes, RFC_SIGNATURE);
	assert_int_equal(sw_scram_server_final_parse("v=" RFC_SIGNATURE, 46, bytes, &why), SW_OK);
	assert_bytes_base64(bytes, RFC_SIGNATURE);
}

static void test_secret_kinds(void **state)
{
	static const char *const plain[] = {"x", "md5", PENCIL_MD5 "0", "md5ABCDEF00000000000000000000000000",
	        "SCRAM-SHA-256$4096:AAAA$" NO_PROOF, "SCRAM-SHA-256$0:AAAA$" NO_PROOF ":" NO_PROOF,
	        "SCRAM-SHA-256$2147483648:AAAA$" NO_PROOF ":" NO_PROOF,
	        "SCRAM-SHA-256$1:$" NO_PROOF ":" NO_PROOF, "SCRAM-SHA-256$1:AAAA$AAAA:" NO_PROOF,
	        "SCRAM-SHA-256$1:AAAA$" NO_PROOF ":" NO_PROOF "x"};

	(void)state;
	assert_int_equal(sw_secret_kind(NULL), SW_SECRET_NONE);
	assert_int_equal(sw_secret_kind(""), SW_SECRET_NONE);
	assert_int_equal(sw_secret_kind(PENCIL_MD5), SW_SECRET_MD5);
	assert_int_equal(sw_secret_kind(PENCIL), SW_SECRET_SCRAM);
	assert_int_equal(
	        sw_secret_kind("SCRAM-SHA-256$2147483647:AAAA$" NO_PROOF ":" NO_PROOF), SW_SECRET_SCRAM);
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		assert_int_equal(sw_secret_kind(plain[i]), SW_SECRET_PLAIN);
}

static void test_keys_are_found_again(void **state)
{
	struct sw_auth_keys *keys = sw_auth_keys_new();
	struct sw_scram_salt salt = {.iterations = 2, .len = 3, .bytes = "abc"}, other = salt, third = salt;
	struct sw_scram_keys made, found;

	(void)state;
	other.bytes[0] = 'x';
	third.iterations = 3;
	assert_int_equal(sw_auth_keys_find(NULL, "pencil", &salt, &found), SW_ERR_NOT_FOUND);
	assert_int_equal(sw_auth_keys_find(keys, "pencil", &salt, &found), SW_ERR_NOT_FOUND);
	assert_int_equal(sw_auth_keys_derive(keys, "pencil", &salt, &made), SW_OK);
	assert_int_equal(sw_auth_keys_find(keys, "pencil", &salt, &found), SW_OK);
	assert_memory_equal(&made, &found, sizeof(made));
	assert_int_equal(sw_auth_keys_find(keys, "pencils", &salt, &found), SW_ERR_NOT_FOUND);
	/* Two places: the one used last stays. */
	assert_int_equal(sw_auth_keys_derive(keys, "pencil", &other, &found), SW_OK);
	assert_int_equal(sw_auth_keys_find(keys, "pencil", &salt, &found), SW_OK);
	assert_int_equal(sw_auth_keys_derive(keys, "pencil", &third, &found), SW_OK);
	assert_int_equal(sw_auth_keys_find(keys, "pencil", &other, &found), SW_ERR_NOT_FOUND);
	assert_int_equal(sw_auth_keys_find(keys, "pencil", &salt, &found), SW_OK);
	salt.iterations = SW_SCRAM_ITERATIONS_MAX + 1;
	assert_int_equal(sw_auth_keys_derive(keys, "pencil", &salt, &found), SW_ERR_LIMIT);
	sw_auth_keys_unref(keys);
}

static void *derive_many(void *keys)
{
	struct sw_scram_salt salt = {.iterations = 1, .len = 1};
	struct sw_scram_keys made, found;

	for (int i = 0; i < 200; i++) {
		salt.bytes[0] = (uint8_t)(i % 3);
		if (sw_auth_keys_derive(sw_auth_keys_ref(keys), "pencil", &salt, &found) != SW_OK ||
		        sw_scram_derive("pencil", &salt, &made) != SW_OK ||
		        memcmp(&made, &found, sizeof(made)) != 0)
			return keys;
		sw_auth_keys_unref(keys);
	}
	return NULL;
}

static void test_keys_from_many_threads(void **state)
{
	struct sw_auth_keys *keys = sw_auth_keys_new();
	pthread_t threads[4];
	void *failed;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, derive_many, keys), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	sw_auth_keys_unref(keys);
}

/* Parses, and compares what was written about it. */
static struct sw_auth_users *parse(const char *text, size_t len, const char *expected_faults)
{
	char *faults = NULL;
	size_t faults_len;
	FILE *file = open_memstream(&faults, &faults_len);
	struct sw_auth_users *users = sw_auth_users_parse(text, len, "users.txt", file);

	fclose(file);
	assert_string_equal(faults, expected_faults);
	assert_int_equal(users == NULL, *expected_faults != '\0');
	free(faults);
	return users;
}

static void test_users(void **state)
{
	static const char text[] = "; a comment\n\n  # another\n"
	                           "\"postgres\"\t\"" PENCIL "\"\r\n"
	                           "\"a \"\"quoted\"\" one\" \"pass\"\"word\\\" ; why\n"
	                           "  \"md5\" \"" PENCIL_MD5 "\"  \n"
	                           "\"none\" \"\"";
	struct sw_auth_users *users = parse(text, sizeof(text) - 1, ""), *fresh;

	(void)state;
	assert_string_equal(sw_auth_users_find(users, "postgres"), PENCIL);
	assert_string_equal(sw_auth_users_find(users, "a \"quoted\" one"), "pass\"word\\");
	assert_string_equal(sw_auth_users_find(users, "md5"), PENCIL_MD5);
	assert_string_equal(sw_auth_users_find(users, "none"), "");
	assert_null(sw_auth_users_find(users, "Postgres"));
	assert_null(sw_auth_users_find(users, ""));
	assert_null(sw_auth_users_keys(users, "Postgres"));
	assert_ptr_equal(sw_auth_users_ref(users), users);
	sw_auth_users_unref(users);
	fresh = parse(text, sizeof(text) - 1, "");
	assert_ptr_not_equal(sw_auth_users_keys(fresh, "md5"), sw_auth_users_keys(users, "md5"));
	sw_auth_users_adopt_keys(fresh, users);
	assert_ptr_equal(sw_auth_users_keys(fresh, "md5"), sw_auth_users_keys(users, "md5"));
	sw_auth_users_unref(users);
	assert_non_null(sw_auth_users_keys(fresh, "md5"));
	sw_auth_users_unref(fresh);
	users = parse("", 0, "");
	assert_null(sw_auth_users_find(users, "postgres"));
	sw_auth_users_unref(users);
}

static void test_users_faults(void **state)
{
	static const char text[] = "name \"secret\"\n"
	                           "\"name\n"
	                           "\"name\" secret\n"
	                           "\"name\"\n"
	                           "\"\" \"secret\"\n"
	                           "\"name\"\"secret\"\n"
	                           "\"name\" \"secret\" more\n"
	                           "\"n\0me\" \"secret\"\n"
	                           "\"ok\" \"secret\"\n"
	                           "\"name\" \"SCRAM-SHA-256$4096:abc\"\n"
	                           "\"name\" \"md5ABCDEF00000000000000000000000000\"\n"
	                           "\"ok\" \"again\"\n"
	                           "\"name\";\"secret\"\n";
	static const char faults[] =
	        "users.txt:1: the name must stand in double quotes: write \"name\" \"secret\"\n"
	        "users.txt:2: the name has no closing quote: add it on the same line\n"
	        "users.txt:3: the secret must stand in double quotes: write \"name\" \"secret\"\n"
	        "users.txt:4: the secret must stand in double quotes: write \"name\" \"secret\"\n"
	        "users.txt:5: the name is empty: write the name of the user between the first two quotes\n"
	        "users.txt:6: the secret must stand in double quotes: write \"name\" \"secret\"\n"
	        "users.txt:7: text behind the secret: double a quote that is part of it\n"
	        "users.txt:8: the name contains a NUL byte: remove it\n"
	        "users.txt:10: the SCRAM secret is damaged: copy it anew from pg_authid\n"
	        "users.txt:11: the md5 hash has capital letters: PostgreSQL writes it in lower case\n"
	        "users.txt:13: there is no space behind the name: write \"name\" \"secret\"\n"
	        "users.txt:12: user \"ok\" is on line 9 already: remove one of the two\n";

	(void)state;
	assert_null(parse(text, sizeof(text) - 1, faults));
}

static void test_users_limits(void **state)
{
	char text[SW_SECRET_BYTES_MAX + 256], longest[SW_SECRET_BYTES_MAX + 1];
	struct sw_auth_users *users;
	int len;

	(void)state;
	sprintf(longest, "%0*d", SW_SECRET_BYTES_MAX, 0);
	len = sprintf(text, "\"%0*d\" \"%s\"", SW_NAME_MAX - 1, 1, longest);
	users = parse(text, (size_t)len, "");
	sprintf(text, "%0*d", SW_NAME_MAX - 1, 1);
	assert_string_equal(sw_auth_users_find(users, text), longest);
	sw_auth_users_unref(users);
	len = sprintf(text, "\"%0*d\" \"x\"\n\"name\" \"%s0\"", SW_NAME_MAX, 1, longest);
	assert_null(parse(text, (size_t)len,
	        "users.txt:1: the name is longer than 63 bytes: shorten it\n"
	        "users.txt:2: the secret is longer than 4096 bytes: shorten it\n"));
}

static void test_users_load(void **state)
{
	char path[] = "/tmp/sw_test_auth_XXXXXX", faults[512] = "";
	int fd = mkstemp(path);
	FILE *file = fmemopen(faults, sizeof(faults), "w");
	struct sw_auth_users *users;

	(void)state;
	assert_true(fd >= 0 && file);
	setbuf(file, NULL);
	users = sw_auth_users_load(path, file); /* an empty file has no users and no faults */
	assert_non_null(users);
	sw_auth_users_unref(users);
	assert_int_equal(write(fd, "\"u\" \"p\"\n", 8), 8);
	users = sw_auth_users_load(path, file);
	assert_non_null(users);
	assert_string_equal(sw_auth_users_find(users, "u"), "p");
	sw_auth_users_unref(users);
	assert_string_equal(faults, "");
	assert_int_equal(ftruncate(fd, 32 * 1024 * 1024 + 1), 0);
	assert_null(sw_auth_users_load(path, file));
	assert_non_null(strstr(faults, "larger than"));
	unlink(path);
	close(fd);
	assert_null(sw_auth_users_load(path, file));
	assert_non_null(strstr(faults, "cannot be opened: No such file"));
	assert_null(sw_auth_users_load("/tmp", file));
	assert_non_null(strstr(faults, "/tmp:0: auth_file is not a regular file"));
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_digests),
	        cmocka_unit_test(test_base64),
	        cmocka_unit_test(test_saslprep),
	        cmocka_unit_test(test_rfc7677_example),
	        cmocka_unit_test(test_secret_kinds),
	        cmocka_unit_test(test_keys_are_found_again),
	        cmocka_unit_test(test_keys_from_many_threads),
	        cmocka_unit_test(test_users),
	        cmocka_unit_test(test_users_faults),
	        cmocka_unit_test(test_users_limits),
	        cmocka_unit_test(test_users_load),
	};

	return cmocka_run_group_tests_name("auth_parts", tests, NULL, NULL);
}
