/*
 * One user's secret: what kind it is, what md5 makes of it, and the SCRAM keys that were worked out from it
 * or learnt. Inside of proxy/auth; others need only auth.h.
 */
#ifndef SW_AUTH_SECRET_H
#define SW_AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/scram.h"

/* Authentication requests, the first int32 of an 'R' message. */
enum sw_auth_code {
	SW_CODE_OK = 0,
	SW_CODE_KERBEROS = 2,
	SW_CODE_PLAIN = 3,
	SW_CODE_MD5 = 5,
	SW_CODE_GSS = 7,
	SW_CODE_GSS_CONTINUE = 8,
	SW_CODE_SSPI = 9,
	SW_CODE_SASL = 10,
	SW_CODE_SASL_CONTINUE = 11,
	SW_CODE_SASL_FINAL = 12,
};

#define SW_MD5_SALT_BYTES 4

/* "md5", 32 digits and the NUL: a secret as well as a response. */
#define SW_MD5_SECRET_MAX 36

/* The longest secret: cloud services hand out tokens of up to 2 kB as passwords. */
#define SW_SECRET_BYTES_MAX 4096

enum sw_secret_kind { SW_SECRET_NONE, SW_SECRET_PLAIN, SW_SECRET_MD5, SW_SECRET_SCRAM };

/* As PostgreSQL tells them apart: what is no md5 hash and no SCRAM secret is a plain password. NULL, "":
 * none. */
enum sw_secret_kind sw_secret_kind(const char *secret);
/* NULL, or a constant sentence: a damaged hash, which would silently be a plain password. */
const char *sw_secret_fault(const char *secret);

/* The answer to an md5 request. secret: plain or md5. SW_ERR_CONFIG where OpenSSL does not offer MD5. */
enum sw_err sw_secret_md5_response(const char *secret, const char *user,
        const uint8_t salt[SW_MD5_SALT_BYTES], char ret_response[SW_MD5_SECRET_MAX]) SW_MUST_USE;

/*
 * The salt shown for users without a SCRAM secret, known or not: the same as long as the process lives, so
 * that asking twice tells nothing, and not to be guessed from outside.
 */
void sw_secret_mock_salt(const char *user, struct sw_scram_salt *ret_salt);

/* keys may be NULL: then nothing is found or kept. Any thread. */
enum sw_err sw_auth_keys_find(struct sw_auth_keys *keys, const char *secret, const struct sw_scram_salt *salt,
        struct sw_scram_keys *ret_keys) SW_MUST_USE;
void sw_auth_keys_keep(struct sw_auth_keys *keys, const char *secret, const struct sw_scram_salt *salt,
        const struct sw_scram_keys *found);
/* Finds, or derives (one PBKDF2) and keeps. SW_ERR_LIMIT as sw_scram_derive. */
enum sw_err sw_auth_keys_derive(struct sw_auth_keys *keys, const char *password,
        const struct sw_scram_salt *salt, struct sw_scram_keys *ret_keys) SW_MUST_USE;

#endif
