/*
 * Channel binding: the hash of a certificate, SCRAM-SHA-256-PLUS between both roles, and a client and a man
 * in the middle that do it wrong. Both roles share their code, so a vector made without it keeps them honest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/binding.h"
#include "proxy/auth/scram.h"
#include "tests/unit/auth_pair.h"

/* RFC 7677, section 3: user "user", password "pencil"; as in test_auth_parts.c. */
#define RFC_BARE         "n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_NONCE        "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define PENCIL                                                                                               \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"          \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

/*
 * The same exchange bound to a certificate whose hash are the bytes 0, 1, 2 … 31. From Python's hmac and
 * hashlib, which make the RFC's own proof and signature of its own messages.
 */
#define BOUND_TEXT      "cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define BOUND_PROOF     "nY1Wus9a+gM2DrbQ1msXFgyhW6KM5ktOxWiU+/P/EGY="
#define BOUND_SIGNATURE "RwppMGddhz/J0lFYaRReBjXcQeNUFP5Qc76Lo5Exrig="

/* What a proof looks like. */
#define NO_PROOF "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

#define PLUS  "SCRAM-SHA-256-PLUS"
#define PLAIN "SCRAM-SHA-256"
#define BIND  "p=tls-server-end-point,,"

/* Hashes of certificates: 0, 1, 2 … and another one that differs in its last byte of 32. */
static uint8_t own[SW_BINDING_BYTES_MAX], other[SW_BINDING_BYTES_MAX];

static int make_hashes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(own); i++)
		own[i] = other[i] = (uint8_t)i;
	other[31] ^= 1;
	return 0;
}

static EVP_PKEY *key_of(const char *type)
{
	EVP_PKEY *key;

	if (strncmp(type, "RSA", 3) == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	else if (strcmp(type, "EC") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, type);
	assert_non_null(key);
	return key;
}

/* A certificate of its own making; digest NULL where the signature has none. */
static X509 *certificate_of(const char *type, EVP_PKEY *key, const EVP_MD *digest)
{
	X509 *certificate = X509_new();
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options = NULL;

	assert_true(certificate && context);
	assert_true(X509_set_version(certificate, X509_VERSION_3));
	assert_true(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1));
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
	assert_true(X509_NAME_add_entry_by_txt(
	        X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const uint8_t *)"node", -1, -1, 0));
	assert_true(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)));
	assert_true(X509_set_pubkey(certificate, key));
	assert_int_equal(EVP_DigestSignInit(context, &options, digest, NULL, key), 1);
	if (strcmp(type, "RSA-PSS") == 0)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
	assert_true(X509_sign_ctx(certificate, context) > 0);
	EVP_MD_CTX_free(context);
	return certificate;
}

/* What the RFC says, by other calls: the digest over the certificate's DER. */
static void assert_hash(X509 *certificate, const EVP_MD *digest, const uint8_t *hash, size_t len)
{
	uint8_t *der = NULL, expected[EVP_MAX_MD_SIZE];
	int der_len = i2d_X509(certificate, &der);
	unsigned expected_len;

	assert_true(der_len > 0);
	assert_int_equal(EVP_Digest(der, (size_t)der_len, expected, &expected_len, digest, NULL), 1);
	assert_int_equal(len, expected_len);
	assert_memory_equal(hash, expected, len);
	OPENSSL_free(der);
}

static void test_hash_of_certificate(void **state)
{
	static const struct {
		const char *type;
		const EVP_MD *(*signs)(void), *(*binds)(void); /* NULL: none */
	} cases[] = {
	        {"RSA", EVP_md5, EVP_sha256},
	        {"RSA", EVP_sha1, EVP_sha256},
	        {"RSA", EVP_sha224, EVP_sha224},
	        {"RSA", EVP_sha256, EVP_sha256},
	        {"RSA", EVP_sha384, EVP_sha384},
	        {"RSA", EVP_sha512, EVP_sha512},
	        {"RSA", EVP_sha3_256, EVP_sha3_256},
	        {"RSA-PSS", EVP_sha256, EVP_sha256},
	        {"RSA-PSS", EVP_sha512, EVP_sha512},
	        {"EC", EVP_sha1, EVP_sha256},
	        {"EC", EVP_sha256, EVP_sha256},
	        {"EC", EVP_sha384, EVP_sha384},
	        {"ED25519", NULL, NULL},
	        {"ED448", NULL, NULL},
	};
	EVP_PKEY *key = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t hash[SW_BINDING_BYTES_MAX] = "untouched";
		size_t len = 99;
		X509 *certificate;

		if (i == 0 || strcmp(cases[i].type, cases[i - 1].type) != 0) {
			EVP_PKEY_free(key);
			key = key_of(cases[i].type);
		}
		certificate = certificate_of(cases[i].type, key, cases[i].signs ? cases[i].signs() : NULL);
		if (cases[i].binds) {
			assert_int_equal(sw_binding_of(certificate, hash, &len), SW_OK);
			assert_hash(certificate, cases[i].binds(), hash, len);
		} else {
			assert_int_equal(sw_binding_of(certificate, hash, &len), SW_ERR_NOT_FOUND);
			assert_string_equal(hash, "untouched");
			assert_int_equal(len, 99);
		}
		X509_free(certificate);
	}
	EVP_PKEY_free(key);
}

/* TLS asks the queue what its own call met: a failure here neither adds to it nor takes from it. */
static void test_hash_leaves_the_error_queue(void **state)
{
	uint8_t hash[SW_BINDING_BYTES_MAX];
	X509 *certificate = X509_new(); /* not signed */
	size_t len;

	(void)state;
	ERR_clear_error();
	assert_int_equal(sw_binding_of(certificate, hash, &len), SW_ERR_NOT_FOUND);
	assert_int_equal(ERR_peek_error(), 0);
	ERR_raise(ERR_LIB_USER, 7);
	assert_int_equal(sw_binding_of(certificate, hash, &len), SW_ERR_NOT_FOUND);
	assert_int_equal(ERR_GET_REASON(ERR_get_error()), 7);
	assert_int_equal(ERR_peek_error(), 0);
	X509_free(certificate);
}

static void assert_bytes_base64(const uint8_t *bytes, const char *expected)
{
	char text[SW_BASE64_TEXT_MAX(SW_SHA256_BYTES)];

	sw_base64_encode(bytes, SW_SHA256_BYTES, text);
	assert_string_equal(text, expected);
}

static void test_vector(void **state)
{
	static const char client_first[] = BIND RFC_BARE;
	static const char auth_message[] = RFC_BARE "," RFC_SERVER_FIRST ",c=" BOUND_TEXT ",r=" RFC_NONCE;
	static const char client_final[] = "c=" BOUND_TEXT ",r=" RFC_NONCE ",p=" BOUND_PROOF;
	size_t len = sizeof(auth_message) - 1;
	struct sw_scram_client_first first;
	struct sw_scram_server_first server_first;
	struct sw_scram_client_final final;
	struct sw_scram_salt salt;
	struct sw_scram_keys keys, stored;
	uint8_t bytes[SW_SHA256_BYTES];
	char binding[SW_SCRAM_BINDING_TEXT_MAX], text[SW_SCRAM_MESSAGE_MAX];
	const char *why;

	(void)state;
	assert_int_equal(
	        sw_scram_client_first_parse(client_first, sizeof(client_first) - 1, &first, &why), SW_OK);
	assert_int_equal(first.binding, SW_SCRAM_BOUND);
	assert_int_equal(first.bare.len, strlen(RFC_BARE));
	assert_memory_equal(first.bare.at, RFC_BARE, first.bare.len);
	assert_int_equal(sw_scram_server_first_parse(RFC_SERVER_FIRST, strlen(RFC_SERVER_FIRST),
	                         "rOprNGfwEbeRWgbNEkqO", &server_first, &why),
	        SW_OK);
	sw_scram_binding_write(SW_SCRAM_BOUND, own, 32, binding);
	assert_string_equal(binding, BOUND_TEXT);
	assert_int_equal(sw_scram_client_final_write(binding, server_first.nonce, text),
	        strlen("c=" BOUND_TEXT ",r=" RFC_NONCE));
	assert_memory_equal(client_final, text, strlen(text));
	assert_int_equal(sw_scram_derive("pencil", &server_first.salt, &keys), SW_OK);
	sw_scram_proof(&keys, auth_message, len, bytes);
	assert_bytes_base64(bytes, BOUND_PROOF);
	assert_int_equal(sw_scram_client_final_parse(client_final, sizeof(client_final) - 1, SW_SCRAM_BOUND,
	                         RFC_NONCE, &final, &why),
	        SW_OK);
	assert_true(sw_scram_is_bound(final.binding, own, 32));
	assert_false(sw_scram_is_bound(final.binding, other, 32));
	assert_false(sw_scram_is_bound(final.binding, own, 31));
	assert_false(sw_scram_is_bound(final.binding, own, 33));
	/* A header alone binds to nothing. */
	sw_scram_binding_write(SW_SCRAM_BOUND, NULL, 0, binding);
	assert_false(sw_scram_is_bound((struct sw_scram_span){binding, strlen(binding)}, NULL, 0));
	assert_int_equal(sw_scram_secret_parse(PENCIL, &salt, &stored), SW_OK);
	assert_int_equal(sw_scram_check_proof(&stored, auth_message, len, final.proof, bytes), SW_OK);
	sw_scram_signature(&stored, auth_message, len, bytes);
	assert_bytes_base64(bytes, BOUND_SIGNATURE);
	/* A hash says nothing where the header does not announce it. */
	sw_scram_binding_write(SW_SCRAM_UNBOUND, own, 32, binding);
	assert_string_equal(binding, "biws");
	sw_scram_binding_write(SW_SCRAM_NOT_OFFERED, own, 32, binding);
	assert_string_equal(binding, "eSws");
}

/* Both ends with and without TLS, and with the certificate of somebody between them. */
static void test_both_roles(void **state)
{
	static const struct {
		const uint8_t *hash;
		size_t len;
		const uint8_t *login_hash;
		size_t login_len;
		bool is_in;
	} ends[] = {
	        {NULL, 0, NULL, 0, true},
	        {NULL, 0, own, 32, true},
	        {own, 32, NULL, 0, true},
	        {own, 32, own, 32, true},
	        {own, 64, own, 64, true},
	        {own, 1, own, 1, true},
	        {own, 32, other, 32, false},
	        {own, 64, other, 64, false},
	        {own, 32, own, 48, false},
	        {own, 48, own, 32, false},
	};
	static const struct {
		enum sw_auth_method method;
		const char *secret, *password;
		bool is_right;
	} users[] = {
	        {SW_METHOD_SCRAM, "pencil", "pencil", true},
	        {SW_METHOD_SCRAM, PENCIL, "pencil", true},
	        {SW_METHOD_MD5, PENCIL, "pencil", true},
	        {SW_METHOD_SCRAM, PENCIL, "pencils", false},
	        {SW_METHOD_SCRAM, NULL, "pencil", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		for (size_t k = 0; k < sizeof(users) / sizeof(*users); k++) {
			struct pair pair = {
			        .verifier = sw_verifier_new(users[k].method, "user", users[k].secret),
			        .login = sw_login_new("user", users[k].password)};
			bool is_in = ends[i].is_in && users[k].is_right;

			sw_verifier_use_binding(pair.verifier, ends[i].hash, ends[i].len);
			sw_login_use_binding(pair.login, ends[i].login_hash, ends[i].login_len);
			talk(&pair);
			assert_int_equal(pair.step, is_in ? SW_STEP_SEND_DONE : SW_STEP_FAILED);
			assert_int_equal(pair.login_step == SW_LOGIN_DONE, is_in);
			if (!ends[i].is_in)
				assert_non_null(
				        strstr(sw_verifier_reason(pair.verifier), "another certificate"));
			pair_free(&pair);
		}
	}
}

/* A changed byte in any message keeps both sides from being content. */
static void test_corrupt_messages(void **state)
{
	(void)state;
	for (int corrupt = 1; corrupt <= 5; corrupt++) {
		struct pair pair = {.verifier = sw_verifier_new(SW_METHOD_SCRAM, "user", PENCIL),
		        .login = sw_login_new("user", "pencil"),
		        .corrupt = corrupt};

		sw_verifier_use_binding(pair.verifier, own, 32);
		sw_login_use_binding(pair.login, own, 32);
		talk(&pair);
		assert_int_not_equal(pair.login_step, SW_LOGIN_DONE);
		if (corrupt < 5)
			assert_int_not_equal(pair.step, SW_STEP_SEND_DONE);
		pair_free(&pair);
	}
}

/* What a client's login teaches serves a bound login to a node, whether the client's own was bound or not. */
static void test_learnt_keys(void **state)
{
	(void)state;
	for (int is_bound = 0; is_bound <= 3; is_bound++) {
		struct sw_auth_keys *keys = sw_auth_keys_new();
		struct pair client = {.verifier = sw_verifier_new(SW_METHOD_SCRAM, "user", PENCIL),
		        .login = sw_login_new("user", "pencil")};
		struct pair node = {.verifier = sw_verifier_new(SW_METHOD_SCRAM, "user", PENCIL),
		        .login = sw_login_new("user", PENCIL)};

		sw_verifier_use_keys(client.verifier, keys);
		sw_verifier_use_binding(client.verifier, own, is_bound & 1 ? 32 : 0);
		sw_login_use_binding(client.login, own, is_bound & 1 ? 32 : 0);
		talk(&client);
		assert_int_equal(client.login_step, SW_LOGIN_DONE);
		sw_login_use_keys(node.login, keys);
		sw_verifier_use_binding(node.verifier, other, is_bound & 2 ? 48 : 0);
		sw_login_use_binding(node.login, other, is_bound & 2 ? 48 : 0);
		talk(&node);
		assert_int_equal(node.login_step, SW_LOGIN_DONE);
		pair_free(&client);
		pair_free(&node);
		sw_auth_keys_unref(keys);
	}
}

/* What Seawall chooses from a node's list, and how it says so. */
static void test_login_chooses(void **state)
{
#define LIST "\0\0\0\12"
	static const struct {
		const char *list;
		size_t list_len, hash_len;
		const char *mechanism, *header; /* NULL: a reason */
	} cases[] = {
	        {LIST PLUS "\0" PLAIN "\0", 38, 32, PLUS, BIND},
	        {LIST PLAIN "\0" PLUS "\0", 38, 32, PLUS, BIND},
	        {LIST PLUS "\0", 24, 64, PLUS, BIND},
	        {LIST PLAIN "\0", 19, 32, PLAIN, "y,,"},
	        {LIST PLAIN "\0" PLUS "2\0", 39, 32, PLAIN, "y,,"},
	        {LIST PLUS "\0" PLAIN "\0", 38, 0, PLAIN, "n,,"},
	        {LIST PLAIN "\0", 19, 0, PLAIN, "n,,"},
	        {LIST PLUS "\0", 24, 0, NULL, "only SCRAM-SHA-256-PLUS"},
	        {LIST "SCRAM-SHA-1-PLUS\0", 22, 32, NULL, "without SCRAM-SHA-256"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_login *login = sw_login_new("user", "pencil");
		const uint8_t *reply;
		size_t len;
		enum sw_login_step step;

		sw_login_use_binding(login, own, cases[i].hash_len);
		step = sw_login_feed(login, (const uint8_t *)cases[i].list, cases[i].list_len, &reply, &len);
		if (cases[i].mechanism) {
			size_t name_len = strlen(cases[i].mechanism) + 1,
			       header_len = strlen(cases[i].header);

			assert_int_equal(step, SW_LOGIN_SEND);
			assert_string_equal(reply, cases[i].mechanism);
			assert_int_equal(len, name_len + 4 + header_len + strlen("n=,r=") + 24);
			assert_int_equal(reply[name_len + 3], len - name_len - 4);
			assert_memory_equal(reply + name_len + 4, cases[i].header, header_len);
		} else {
			assert_int_equal(step, SW_LOGIN_FAILED);
			assert_non_null(strstr(sw_login_reason(login), cases[i].header));
		}
		sw_login_free(login);
	}
}

/* A verifier that has offered its mechanisms; with TLS where hash_len is not 0. */
static struct sw_verifier *begun(size_t hash_len)
{
	static const char with[] = LIST PLUS "\0" PLAIN "\0", without[] = LIST PLAIN "\0";
	struct sw_verifier *verifier = sw_verifier_new(SW_METHOD_SCRAM, "user", PENCIL);
	const uint8_t *reply;
	size_t len;

	sw_verifier_use_binding(verifier, hash_len > 0 ? own : NULL, hash_len);
	assert_int_equal(sw_verifier_start(verifier, &reply, &len), SW_STEP_SEND);
	assert_int_equal(len, hash_len > 0 ? sizeof(with) : sizeof(without));
	assert_memory_equal(reply, hash_len > 0 ? with : without, len);
	return verifier;
}

/* A SASLInitialResponse; the nonce in the reply goes to ret_nonce. */
static enum sw_auth_step send_first(
        struct sw_verifier *verifier, const char *mechanism, const char *message, char ret_nonce[64])
{
	uint8_t body[256];
	size_t name_len = strlen(mechanism) + 1, len = strlen(message);
	const uint8_t *reply;
	enum sw_auth_step step;

	memcpy(body, mechanism, name_len);
	memcpy(body + name_len, (uint8_t[]){0, 0, 0, (uint8_t)len}, 4);
	memcpy(body + name_len + 4, message, len);
	step = sw_verifier_feed(verifier, body, name_len + 4 + len, &reply, &len);
	if (step == SW_STEP_SEND) {
		assert_memory_equal(reply, "\0\0\0\13r=abc", 9);
		assert_true(sscanf((const char *)reply + 4, "r=%63[^,]", ret_nonce) == 1);
	}
	return step;
}

static void test_first_message(void **state)
{
	static const struct {
		size_t hash_len;
		const char *mechanism, *message;
		enum sw_auth_step step;
		const char *reason;
	} cases[] = {
	        {32, PLUS, BIND "n=,r=abc", SW_STEP_SEND, "nothing failed"},
	        {32, PLAIN, "n,,n=,r=abc", SW_STEP_SEND, "nothing failed"},
	        {0, PLAIN, "n,,n=,r=abc", SW_STEP_SEND, "nothing failed"},
	        {0, PLAIN, "y,,n=,r=abc", SW_STEP_SEND, "nothing failed"},
	        {32, PLAIN, "y,,n=,r=abc", SW_STEP_FAILED, "was not shown"},
	        {32, PLUS, "n,,n=,r=abc", SW_STEP_BROKEN, "sends no channel binding"},
	        {32, PLUS, "y,,n=,r=abc", SW_STEP_BROKEN, "sends no channel binding"},
	        {32, PLAIN, BIND "n=,r=abc", SW_STEP_BROKEN, "insists on channel binding"},
	        {0, PLAIN, BIND "n=,r=abc", SW_STEP_BROKEN, "insists on channel binding"},
	        {0, PLUS, BIND "n=,r=abc", SW_STEP_BROKEN, "not offered"},
	        {32, PLUS "2", BIND "n=,r=abc", SW_STEP_BROKEN, "not offered"},
	        {32, PLUS, "p=tls-unique,,n=,r=abc", SW_STEP_BROKEN, "another channel binding"},
	        {32, PLUS, "p=tls-exporter,,n=,r=abc", SW_STEP_BROKEN, "another channel binding"},
	        {32, PLUS, "p=tls-server-end-poin,,n=,r=abc", SW_STEP_BROKEN, "another channel binding"},
	        {32, PLUS, "p=,,n=,r=abc", SW_STEP_BROKEN, "another channel binding"},
	        {32, PLUS, "p,,n=,r=abc", SW_STEP_BROKEN, "another channel binding"},
	        {32, PLUS, "p", SW_STEP_BROKEN, "another channel binding"},
	        {32, PLUS, "p=tls-server-end-point", SW_STEP_BROKEN, "no comma"},
	        {32, PLUS, "p=tls-server-end-point,", SW_STEP_BROKEN, "authorization identity"},
	        {32, PLUS, "p=tls-server-end-point,a=root,n=,r=abc", SW_STEP_BROKEN,
	                "authorization identity"},
	        {32, PLUS, BIND, SW_STEP_BROKEN, "no user name"},
	        {32, PLUS, "", SW_STEP_BROKEN, "empty"},
	};
	char nonce[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_verifier *verifier = begun(cases[i].hash_len);

		assert_int_equal(
		        send_first(verifier, cases[i].mechanism, cases[i].message, nonce), cases[i].step);
		assert_non_null(strstr(sw_verifier_reason(verifier), cases[i].reason));
		sw_verifier_free(verifier);
	}
}

/* A SASLInitialResponse without data: the choice of the mechanism holds for what follows. */
static void test_first_message_apart(void **state)
{
	struct sw_verifier *verifier = begun(32);
	const uint8_t *reply;
	size_t len;

	(void)state;
	assert_int_equal(
	        sw_verifier_feed(verifier, (const uint8_t *)PLUS "\0\377\377\377\377", 23, &reply, &len),
	        SW_STEP_SEND);
	assert_int_equal(len, 4);
	assert_int_equal(
	        sw_verifier_feed(verifier, (const uint8_t *)"n,,n=,r=abc", 11, &reply, &len), SW_STEP_BROKEN);
	sw_verifier_free(verifier);
}

/* What the last message must repeat. Each comes with a wrong proof, so the right one gets as far as the
 * password. */
static void test_last_message(void **state)
{
	static const struct {
		const char *mechanism, *message, *binding;
		enum sw_auth_step step;
		const char *reason;
	} cases[] = {
	        {PLUS, BIND, "c=" BOUND_TEXT, SW_STEP_FAILED, "password is wrong"},
	        {PLUS, BIND, "c=biws", SW_STEP_FAILED, "another certificate"},
	        {PLUS, BIND, "c=eSws", SW_STEP_FAILED, "another certificate"},
	        {PLUS, BIND, "c=", SW_STEP_FAILED, "another certificate"},
	        /* no hash; one byte of it missing; one too many; another one; the last bits of base64 not
	           zero */
	        {PLUS, BIND, "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws", SW_STEP_FAILED, "another certificate"},
	        {PLUS, BIND, "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
	                SW_STEP_FAILED, "another certificate"},
	        {PLUS, BIND, "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
	                SW_STEP_FAILED, "another certificate"},
	        {PLUS, BIND, "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4=",
	                SW_STEP_FAILED, "another certificate"},
	        {PLUS, BIND, "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
	                SW_STEP_FAILED, "another certificate"},
	        /* the hash without its header */
	        {PLUS, BIND, "c=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", SW_STEP_FAILED,
	                "another certificate"},
	        {PLUS, BIND, "x=y", SW_STEP_BROKEN, "no channel binding attribute"},
	        {PLAIN, "n,,", "c=biws", SW_STEP_FAILED, "password is wrong"},
	        {PLAIN, "n,,", "c=eSws", SW_STEP_BROKEN, "another channel binding"},
	        {PLAIN, "n,,", "c=" BOUND_TEXT, SW_STEP_BROKEN, "another channel binding"},
	};
	char message[256], nonce[64];
	const uint8_t *reply;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_verifier *verifier = begun(32);

		snprintf(message, sizeof(message), "%sn=,r=abc", cases[i].message);
		assert_int_equal(send_first(verifier, cases[i].mechanism, message, nonce), SW_STEP_SEND);
		snprintf(message, sizeof(message), "%s,r=%s,p=" NO_PROOF, cases[i].binding, nonce);
		assert_int_equal(
		        sw_verifier_feed(verifier, (const uint8_t *)message, strlen(message), &reply, &len),
		        cases[i].step);
		assert_null(reply);
		assert_non_null(strstr(sw_verifier_reason(verifier), cases[i].reason));
		sw_verifier_free(verifier);
	}
}

/* Whoever cuts the offer out of the list is found out by what the other side says it has seen. */
static void test_offer_cut_out(void **state)
{
	struct sw_verifier *verifier = begun(32);
	struct sw_login *login = sw_login_new("user", "pencil");
	const uint8_t *bytes;
	size_t len;

	(void)state;
	sw_login_use_binding(login, own, 32);
	assert_int_equal(
	        sw_login_feed(login, (const uint8_t *)LIST PLAIN "\0", 19, &bytes, &len), SW_LOGIN_SEND);
	assert_int_equal(sw_verifier_feed(verifier, bytes, len, &bytes, &len), SW_STEP_FAILED);
	assert_null(bytes);
	assert_non_null(strstr(sw_verifier_reason(verifier), "was not shown"));
	sw_verifier_free(verifier);
	sw_login_free(login);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_hash_of_certificate),
	        cmocka_unit_test(test_hash_leaves_the_error_queue),
	        cmocka_unit_test(test_vector),
	        cmocka_unit_test(test_both_roles),
	        cmocka_unit_test(test_corrupt_messages),
	        cmocka_unit_test(test_learnt_keys),
	        cmocka_unit_test(test_login_chooses),
	        cmocka_unit_test(test_first_message),
	        cmocka_unit_test(test_first_message_apart),
	        cmocka_unit_test(test_last_message),
	        cmocka_unit_test(test_offer_cut_out),
	};

	return cmocka_run_group_tests_name("auth_binding", tests, make_hashes, NULL);
}
