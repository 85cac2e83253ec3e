/*
 * The one file of authentication that computes with OpenSSL (binding.c reads certificates), so that another
 * library can take its place. Owns nothing; any thread. What SCRAM and md5 make of these functions is in
 * scram.c, verifier.c and login.c.
 */
#include "proxy/auth/digest.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#define MD5_BYTES 16

/* Without these functions nobody can be let in safely, and no peer can make them fail. */
static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "seawall: OpenSSL refused %s; check its providers in openssl.cnf\n", what);
		abort();
	}
}

enum sw_err sw_digest_md5_hex(
        const void *a, size_t a_len, const void *b, size_t b_len, char ret_text[SW_MD5_TEXT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t hash[MD5_BYTES];
	bool ok;

	must(context, "memory for MD5");
	ok = EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(context, a, a_len) == 1 &&
	     EVP_DigestUpdate(context, b, b_len) == 1 && EVP_DigestFinal_ex(context, hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!ok)
		return SW_ERR_CONFIG;
	for (size_t i = 0; i < sizeof(hash); i++) {
		ret_text[2 * i] = digits[hash[i] >> 4];
		ret_text[2 * i + 1] = digits[hash[i] & 15];
	}
	ret_text[2 * MD5_BYTES] = '\0';
	OPENSSL_cleanse(hash, sizeof(hash));
	return SW_OK;
}

void sw_digest_sha256(const void *bytes, size_t len, uint8_t ret_hash[SW_SHA256_BYTES])
{
	must(SHA256(bytes, len, ret_hash), "SHA-256");
}

void sw_digest_hmac(
        const void *key, size_t key_len, const void *bytes, size_t len, uint8_t ret_mac[SW_SHA256_BYTES])
{
	assert(key_len <= INT_MAX);
	must(HMAC(EVP_sha256(), key, (int)key_len, bytes, len, ret_mac, NULL), "HMAC-SHA-256");
}

void sw_digest_pbkdf2(const char *password, size_t password_len, const uint8_t *salt, size_t salt_len,
        uint32_t iterations, uint8_t ret_key[SW_SHA256_BYTES])
{
	assert(password_len <= INT_MAX && salt_len <= INT_MAX && iterations > 0 && iterations <= INT_MAX);
	must(PKCS5_PBKDF2_HMAC(password, (int)password_len, salt, (int)salt_len, (int)iterations,
	             EVP_sha256(), SW_SHA256_BYTES, ret_key) == 1,
	        "PBKDF2");
}

void sw_digest_random(void *bytes, size_t len)
{
	assert(len <= INT_MAX);
	must(RAND_bytes(bytes, (int)len) == 1, "random bytes");
}

bool sw_digest_is_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

/* OpenSSL's decoder lets white space and missing padding pass, PostgreSQL's does not: hence one of our own.
 */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t sw_base64_encode(const uint8_t *bytes, size_t len, char *text)
{
	char *at = text;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = (uint32_t)bytes[i] << 16;

		if (i + 1 < len)
			group |= (uint32_t)bytes[i + 1] << 8;
		if (i + 2 < len)
			group |= bytes[i + 2];
		*at++ = alphabet[group >> 18];
		*at++ = alphabet[group >> 12 & 63];
		*at++ = i + 1 < len ? alphabet[group >> 6 & 63] : '=';
		*at++ = i + 2 < len ? alphabet[group & 63] : '=';
	}
	*at = '\0';
	return (size_t)(at - text);
}

static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

enum sw_err sw_base64_decode(const char *text, size_t len, uint8_t *ret_bytes, size_t size, size_t *ret_len)
{
	size_t padding = 0, bytes, used = 0;

	if (len % 4 != 0)
		return SW_ERR_SYNTAX;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len - padding; i++) {
		if (sextet(text[i]) < 0)
			return SW_ERR_SYNTAX;
	}
	bytes = len / 4 * 3 - padding;
	if (bytes > size)
		return SW_ERR_LIMIT;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t group = 0;

		for (size_t k = i; k < i + 4; k++)
			group = group << 6 | (k < len - padding ? (uint32_t)sextet(text[k]) : 0);
		for (int shift = 16; shift >= 0 && used < bytes; shift -= 8)
			ret_bytes[used++] = (uint8_t)(group >> shift);
	}
	*ret_len = bytes;
	return SW_OK;
}
