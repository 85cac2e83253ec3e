/*
 * What auth_query has said of users: names and secrets, a cache for the whole process, so that a storm of
 * logins is one question. Any thread: a mutex inside, held for a look-up and a copy.
 *
 * An answer is used for logins of clients as long as the caller finds it young enough. For logins to nodes
 * the last one serves, however old: whoever holds its key set (a session, from its login to its end) keeps
 * the entry from being evicted.
 */
#ifndef SW_AUTH_SECRETS_H
#define SW_AUTH_SECRETS_H

#include <stdint.h>

#include "proxy/base/err.h"

struct sw_auth_keys;

/* A copy of what is known of one user. */
struct sw_known {
	char *secret;              /* NULL: there is no such user; "": one who has no password */
	struct sw_auth_keys *keys; /* a reference; NULL where there has never been a secret */
	int64_t asked_ns;          /* when the question was sent */
};

void sw_known_copy(struct sw_known *ret_copy, const struct sw_known *known);
void sw_known_fini(struct sw_known *known); /* wipes; harmless on zeroes */

struct sw_secrets;
/* most: names kept at a time. */
struct sw_secrets *sw_secrets_new(uint32_t most);
void sw_secrets_free(struct sw_secrets *secrets); /* takes NULL */

/*
 * Keeps an answer, in place of the one before and in place of the oldest entry that nobody holds where there
 * is no room. ret_known: as it is kept now; the caller finishes it.
 */
void sw_secrets_keep(struct sw_secrets *secrets, const char *user, const char *secret, int64_t asked_ns,
        struct sw_known *ret_known);
/* SW_ERR_NOT_FOUND where nothing is known, or only from a question sent before since_ns. */
enum sw_err sw_secrets_find(
        struct sw_secrets *secrets, const char *user, int64_t since_ns, struct sw_known *ret_known) SW_MUST_USE;
/* No answer is young enough from now on; logins to nodes still find them (since_ns INT64_MIN). */
void sw_secrets_expire(struct sw_secrets *secrets);
uint32_t sw_secrets_count(struct sw_secrets *secrets);

/*
 * NULL, or why an answer can be nobody's secret: too long, a damaged hash, the stars by which pg_roles and
 * pg_user hide passwords. A constant sentence.
 */
const char *sw_secrets_complaint(const char *secret);

#endif
