/*
 * Authentication without sockets: both sides as exchanges of bytes. The caller frames them as messages.
 *  - struct sw_verifier: Seawall checks a client (the server's side of trust, plain, md5, SCRAM-SHA-256 with
 *    and without channel binding, and PAM, where somebody else judges the password);
 *  - struct sw_login: Seawall logs in to a node (the client's side).
 * One exchange belongs to one thread; allocation only inside an exchange; secrets are wiped.
 * Source: PostgreSQL manual, 'SASL Authentication' and 'Message Flow', RFC 5802, RFC 7677, RFC 5929.
 */
#ifndef SW_AUTH_AUTH_H
#define SW_AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/auth/binding.h"
#include "proxy/base/err.h"
#include "proxy/base/limits.h"

/*
 * The SCRAM keys that were worked out (or learnt, see sw_verifier_use_keys) for one user, so that a storm of
 * logins pays for PBKDF2 once, not each time. Counted, locked inside: any thread. Never needed for
 * correctness: NULL is always fine.
 */
struct sw_auth_keys;
struct sw_auth_keys *sw_auth_keys_new(void);
struct sw_auth_keys *sw_auth_keys_ref(struct sw_auth_keys *keys);
void sw_auth_keys_unref(struct sw_auth_keys *keys); /* takes NULL */
/* Does anybody hold them besides the caller? Exact where no one else can take a reference meanwhile. */
bool sw_auth_keys_are_shared(const struct sw_auth_keys *keys);

/*
 * The auth_file: lines of "name" "secret", where the secret is a plain password (UTF-8), md5<32 hex digits>
 * or SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>. A quote inside is doubled. Lines that start
 * with ; or # are comments. An empty secret is a user who cannot log in by password.
 */
struct sw_auth_users;
/* Faults as "file:line: what", all of them; NULL where there was any. Immutable; counted; any thread. */
struct sw_auth_users *sw_auth_users_load(const char *path, FILE *faults_file);
/* The same from memory; path only names it in faults. */
struct sw_auth_users *sw_auth_users_parse(const char *text, size_t len, const char *path, FILE *faults_file);
struct sw_auth_users *sw_auth_users_ref(struct sw_auth_users *users);
void sw_auth_users_unref(struct sw_auth_users *users); /* takes NULL */
/* The secret of a user or NULL. Valid as long as users is. */
const char *sw_auth_users_find(const struct sw_auth_users *users, const char *name);
/* Is it a hash of a password rather than a password? */
bool sw_auth_is_hash(const char *secret);
/* The key set of a user or NULL; an exchange that uses it takes a reference of its own. */
struct sw_auth_keys *sw_auth_users_keys(const struct sw_auth_users *users, const char *name);
/*
 * For a reload, before fresh is shown to any other thread: users that are in both keep their key sets. Keys
 * are kept under the secret that they belong to, so a changed secret never meets the keys of the old one.
 */
void sw_auth_users_adopt_keys(struct sw_auth_users *fresh, const struct sw_auth_users *old);

/* Seawall checks a client. */
enum sw_auth_method { SW_METHOD_TRUST, SW_METHOD_PLAIN, SW_METHOD_MD5, SW_METHOD_SCRAM, SW_METHOD_PAM };

/* AuthenticationOk is never in a reply: the caller sends it when the client is in. */
enum sw_auth_step {
	SW_STEP_SEND, /* send the reply as an Authentication message ('R'), then wait for the client's 'p' */
	SW_STEP_SEND_DONE, /* send the reply ('R', SASLFinal), then the client is in */
	SW_STEP_DONE,      /* the client is in */
	SW_STEP_ASK,       /* PAM has to judge sw_verifier_answer; the exchange is over */
	SW_STEP_FAILED,    /* it is not (28P01); the reason is for the log only */
	SW_STEP_BROKEN,    /* it sent bytes that the exchange does not allow (08P01) */
};

struct sw_verifier;
/*
 * method as configured; secret as in the auth_file, NULL for an unknown user (the exchange then runs to its
 * end against a mock secret and fails; the salt that it shows is the same every time and of the same kind as
 * that of a user with a plain password). A method that the secret cannot serve fails likewise: md5 with a
 * SCRAM secret goes on as SCRAM, scram with an md5 secret fails. trust never looks at the secret: whether an
 * unknown user may enter is the caller's decision.
 */
struct sw_verifier *sw_verifier_new(enum sw_auth_method method, const char *user, const char *secret);
void sw_verifier_free(struct sw_verifier *verifier); /* takes NULL */
/*
 * Before the start: uses the user's key set (sw_auth_users_keys; NULL does nothing). With a plain password in
 * the auth_file it saves one PBKDF2 (1 to 3 ms) a login. With a SCRAM secret the verifier leaves there the
 * client's key, which the client's proof gives away: struct sw_login can then log in to nodes that have the
 * very same secret.
 */
void sw_verifier_use_keys(struct sw_verifier *verifier, struct sw_auth_keys *keys);
/*
 * Before the start: the hash of the certificate that Seawall showed this client (sw_binding_of). With it
 * SCRAM-SHA-256-PLUS is offered beside SCRAM-SHA-256, and a client that could have bound the channel but was
 * kept from seeing the offer is refused. Length 0, as without this call: no TLS, or a certificate that has no
 * hash. At most SW_BINDING_BYTES_MAX; copied.
 */
void sw_verifier_use_binding(struct sw_verifier *verifier, const uint8_t *hash, size_t len);
/*
 * The first step. Replies are bodies of 'R' messages (everything behind the length: int32 code and so on) and
 * stay valid until the next call; where there is nothing to send they are NULL and 0.
 */
enum sw_auth_step sw_verifier_start(struct sw_verifier *verifier, const uint8_t **ret_reply, size_t *ret_len);
/* The body of a 'p' message (behind its length). */
enum sw_auth_step sw_verifier_feed(struct sw_verifier *verifier, const uint8_t *body, size_t len,
        const uint8_t **ret_reply, size_t *ret_len);
/*
 * After SW_STEP_FAILED, for a secret that is not ours alone to change: judges what the client has sent by a
 * newer secret and its key set. A plain password and an md5 response can be; a SCRAM proof was made for the
 * old secret's salt, so that client has to come again. SW_STEP_DONE or SW_STEP_FAILED.
 */
enum sw_auth_step sw_verifier_again(
        struct sw_verifier *verifier, const char *secret, struct sw_auth_keys *keys);
/* After SW_STEP_ASK: the password that the client has sent, not empty. Valid as long as the verifier is. */
const char *sw_verifier_answer(const struct sw_verifier *verifier);
/* After SW_STEP_FAILED or _BROKEN: a constant sentence for the log. */
const char *sw_verifier_reason(const struct sw_verifier *verifier);

/* Seawall logs in to a node. */
enum sw_login_step {
	SW_LOGIN_SEND,   /* send the reply as a 'p' message */
	SW_LOGIN_WAIT,   /* nothing to send, wait for the next 'R' */
	SW_LOGIN_DONE,   /* AuthenticationOk */
	SW_LOGIN_FAILED, /* cannot go on: sw_login_reason */
};

struct sw_login;
/*
 * password: as in the auth_file. Plain text serves every request; "md5…" serves md5 only; a SCRAM secret
 * serves SCRAM only, and only when keys were learnt from a client's login (sw_login_use_keys); NULL or ""
 * serves trust.
 */
struct sw_login *sw_login_new(const char *user, const char *password);
void sw_login_free(struct sw_login *login); /* takes NULL */
/* Before the first feed; NULL does nothing. */
void sw_login_use_keys(struct sw_login *login, struct sw_auth_keys *keys);
/*
 * Before the first feed: the hash of the certificate that the node showed (sw_binding_of). With it the login
 * is bound to the TLS connection where the node offers that (SCRAM-SHA-256-PLUS); a node that does not is
 * told what we saw, and refuses us where its offer was cut out on the way. Length 0, as without this call: no
 * TLS, or a certificate that has no hash. At most SW_BINDING_BYTES_MAX; copied.
 */
void sw_login_use_binding(struct sw_login *login, const uint8_t *hash, size_t len);
/*
 * The body of an 'R' message (behind its length): AuthenticationOk, CleartextPassword, MD5Password, SASL,
 * SASLContinue, SASLFinal. An ErrorResponse in between is the caller's to read.
 */
enum sw_login_step sw_login_feed(
        struct sw_login *login, const uint8_t *body, size_t len, const uint8_t **ret_reply, size_t *ret_len);
/* A constant sentence that says what to do ("the node asks for SCRAM but … only an md5 hash is known: …"). */
const char *sw_login_reason(const struct sw_login *login);

#endif
