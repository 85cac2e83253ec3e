/*
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) as PostgreSQL speaks them: keys, proofs and the
 * four messages of both roles. No state, no randomness: nonces come from the caller. Parsers take any bytes;
 * spans point into what was parsed.
 */
#ifndef SW_AUTH_SCRAM_H
#define SW_AUTH_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/auth/binding.h"
#include "proxy/auth/digest.h"
#include "proxy/base/err.h"

#define SW_SCRAM_MECHANISM      "SCRAM-SHA-256"
#define SW_SCRAM_MECHANISM_PLUS SW_SCRAM_MECHANISM "-PLUS"

/*
 * What the client says about channel binding, the first byte of client-first: it cannot; it could, but the
 * server did not offer it; it does, and names the one type that PostgreSQL knows.
 */
#define SW_SCRAM_UNBOUND     'n'
#define SW_SCRAM_NOT_OFFERED 'y'
#define SW_SCRAM_BOUND       'p'

/* PostgreSQL's defaults: bytes of salt, rounds of PBKDF2, random bytes of a nonce. */
#define SW_SCRAM_SALT_BYTES  16
#define SW_SCRAM_ITERATIONS  4096
#define SW_SCRAM_NONCE_BYTES 18

/*
 * The most rounds that Seawall works through itself, whoever asks for them: about half a second of a
 * worker. Any role may give itself a secret with two thousand million rounds, and the next login to a node
 * would stop that worker.
 */
#define SW_SCRAM_ITERATIONS_MAX 1000000

/* The longest salt, nonce and message. PostgreSQL and its drivers stay below a quarter of each. */
#define SW_SCRAM_SALT_MAX    64
#define SW_SCRAM_NONCE_MAX   256
#define SW_SCRAM_MESSAGE_MAX 2048

/* Room for a nonce of our own as text, with the NUL. */
#define SW_SCRAM_NONCE_TEXT_MAX SW_BASE64_TEXT_MAX(SW_SCRAM_NONCE_BYTES)

/* The longest gs2 header, and room for the channel binding of client-final as text: the header and a hash. */
#define SW_SCRAM_BINDING_TYPE     "tls-server-end-point"
#define SW_SCRAM_HEADER_BOUND     "p=" SW_SCRAM_BINDING_TYPE ",,"
#define SW_SCRAM_BINDING_TEXT_MAX SW_BASE64_TEXT_MAX(sizeof(SW_SCRAM_HEADER_BOUND) - 1 + SW_BINDING_BYTES_MAX)

struct sw_scram_span {
	const char *at;
	size_t len;
};

struct sw_scram_salt {
	uint32_t iterations;
	uint32_t len;
	uint8_t bytes[SW_SCRAM_SALT_MAX];
};

struct sw_scram_keys {
	uint8_t client[SW_SHA256_BYTES]; /* zeroes where only a secret is known: it has no client key */
	uint8_t stored[SW_SHA256_BYTES];
	uint8_t server[SW_SHA256_BYTES];
};

struct sw_scram_client_first {
	char binding; /* SW_SCRAM_UNBOUND, _NOT_OFFERED or _BOUND */
	struct sw_scram_span bare, nonce;
};

struct sw_scram_server_first {
	struct sw_scram_salt salt;
	struct sw_scram_span nonce;
};

struct sw_scram_client_final {
	struct sw_scram_span binding; /* base64; with SW_SCRAM_BOUND the caller asks sw_scram_is_bound */
	struct sw_scram_span without_proof;
	uint8_t proof[SW_SHA256_BYTES];
};

/* SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>. Any count of iterations from 1 to 2^31 - 1. */
enum sw_err sw_scram_secret_parse(
        const char *text, struct sw_scram_salt *ret_salt, struct sw_scram_keys *ret_keys) SW_MUST_USE;

/* SASLprep, PBKDF2 and the keys. SW_ERR_LIMIT above SW_SCRAM_ITERATIONS_MAX. */
enum sw_err sw_scram_derive(
        const char *password, const struct sw_scram_salt *salt, struct sw_scram_keys *ret_keys) SW_MUST_USE;

/*
 * The message over which both sides sign: client-first-bare, server-first and client-final-without-proof with
 * commas between. proof: what the client sends; signature: what the server sends.
 */
void sw_scram_proof(const struct sw_scram_keys *keys, const void *auth_message, size_t len,
        uint8_t ret_proof[SW_SHA256_BYTES]);
void sw_scram_signature(const struct sw_scram_keys *keys, const void *auth_message, size_t len,
        uint8_t ret_signature[SW_SHA256_BYTES]);
/* SW_ERR_AUTH where the proof is not the stored key's; else the client key, which the proof contains. */
enum sw_err sw_scram_check_proof(const struct sw_scram_keys *keys, const void *auth_message, size_t len,
        const uint8_t proof[SW_SHA256_BYTES], uint8_t ret_client_key[SW_SHA256_BYTES]) SW_MUST_USE;

/* The gs2 header, with which client-first begins. */
const char *sw_scram_header(char binding);
/* What client-final repeats: the header and, with SW_SCRAM_BOUND, the hash of the server's certificate. */
void sw_scram_binding_write(
        char binding, const uint8_t *hash, size_t len, char ret_text[SW_SCRAM_BINDING_TEXT_MAX]);
/* Whether the client is bound to the very certificate with this hash. */
bool sw_scram_is_bound(struct sw_scram_span binding, const uint8_t *hash, size_t len) SW_MUST_USE;

/* A fresh nonce as text: printable, without commas. */
void sw_scram_nonce(char ret_text[SW_SCRAM_NONCE_TEXT_MAX]);

/* Parsers: SW_ERR_PROTOCOL, and then why is a constant sentence for the log. */
enum sw_err sw_scram_client_first_parse(
        const void *bytes, size_t len, struct sw_scram_client_first *ret_first, const char **why) SW_MUST_USE;
/* client_nonce: ours, NUL-ended; the server's must begin with it and be longer. */
enum sw_err sw_scram_server_first_parse(const void *bytes, size_t len, const char *client_nonce,
        struct sw_scram_server_first *ret_first, const char **why) SW_MUST_USE;
/* binding: of client-first; nonce: both halves, NUL-ended. A hash is not looked at: sw_scram_is_bound. */
enum sw_err sw_scram_client_final_parse(const void *bytes, size_t len, char binding, const char *nonce,
        struct sw_scram_client_final *ret_final, const char **why) SW_MUST_USE;
enum sw_err sw_scram_server_final_parse(
        const void *bytes, size_t len, uint8_t ret_signature[SW_SHA256_BYTES], const char **why) SW_MUST_USE;

/* Writers: text has room for SW_SCRAM_MESSAGE_MAX; they return the length without the NUL. */
size_t sw_scram_server_first_write(const char *nonce, const struct sw_scram_salt *salt, char *text);
/* Without ",p=". binding: as sw_scram_binding_write made it. */
size_t sw_scram_client_final_write(const char *binding, struct sw_scram_span nonce, char *text);

#endif
