/*
 * Hashes, random bytes, base64 and comparison of secrets. Any thread. Only MD5 can fail (a FIPS provider
 * forbids it); where OpenSSL refuses anything else the process ends, as it does without memory.
 */
#ifndef SW_AUTH_DIGEST_H
#define SW_AUTH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

#define SW_SHA256_BYTES 32

/* 32 hexadecimal digits and the NUL. */
#define SW_MD5_TEXT_MAX 33

/* Characters that base64 makes of so many bytes, with the NUL. */
#define SW_BASE64_TEXT_MAX(bytes) (((bytes) + 2) / 3 * 4 + 1)

/* MD5 over a followed by b, in lower-case hexadecimal digits. SW_ERR_CONFIG where OpenSSL lacks it. */
enum sw_err sw_digest_md5_hex(
        const void *a, size_t a_len, const void *b, size_t b_len, char ret_text[SW_MD5_TEXT_MAX]) SW_MUST_USE;

void sw_digest_sha256(const void *bytes, size_t len, uint8_t ret_hash[SW_SHA256_BYTES]);
void sw_digest_hmac(
        const void *key, size_t key_len, const void *bytes, size_t len, uint8_t ret_mac[SW_SHA256_BYTES]);

/* PBKDF2 with HMAC-SHA-256. iterations: at least 1; 4096 of them take 1 to 3 ms. */
void sw_digest_pbkdf2(const char *password, size_t password_len, const uint8_t *salt, size_t salt_len,
        uint32_t iterations, uint8_t ret_key[SW_SHA256_BYTES]);

/* Bytes that nobody can guess. */
void sw_digest_random(void *bytes, size_t len);

/* In a time that depends on len only. */
bool sw_digest_is_equal(const void *a, const void *b, size_t len);

/* text must have room for SW_BASE64_TEXT_MAX(len); returns the length without the NUL. */
size_t sw_base64_encode(const uint8_t *bytes, size_t len, char *text);

/* With padding, without white space. SW_ERR_SYNTAX; SW_ERR_LIMIT where it would pass size. */
enum sw_err sw_base64_decode(
        const char *text, size_t len, uint8_t *ret_bytes, size_t size, size_t *ret_len) SW_MUST_USE;

#endif
