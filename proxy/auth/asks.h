/*
 * Who waits for the answer of auth_query, user by user, first come, first served. Those who wait for the same
 * user wait for one question, as long as it is not older than they allow. No socket, no clock; one thread.
 */
#ifndef SW_AUTH_ASKS_H
#define SW_AUTH_ASKS_H

#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/limits.h"

/* A session that needs a secret; session 0: nobody, the answer is for the cache alone. */
struct sw_secret_ask {
	uint64_t session; /* its number, and its slot on its worker */
	uint32_t slot;
	int32_t worker;
	int64_t since_ns; /* a question that was sent before is no use to it */
	char user[SW_NAME_MAX];
};

struct sw_asks;
struct sw_asks *sw_asks_new(void);
void sw_asks_free(struct sw_asks *asks); /* takes NULL */

/* SW_ERR_LIMIT where SW_ASKS_MAX wait. */
enum sw_err sw_asks_add(struct sw_asks *asks, const struct sw_secret_ask *ask) SW_MUST_USE;

/* The user whose turn it is, NULL where nobody waits. Valid until the last of those who wait for him is taken. */
const char *sw_asks_first(const struct sw_asks *asks);
/* The question about him goes out now: who will not take an answer from then on waits for another one. */
void sw_asks_sent(struct sw_asks *asks, int64_t now_ns);
/* It is lost: whoever comes may wait for the next try. */
void sw_asks_lost(struct sw_asks *asks);
/* Takes one of those who wait for the first user. The one who was the last brings the next user's turn. */
void sw_asks_take(struct sw_asks *asks, struct sw_secret_ask *ret_ask);
/* How many of them there are. */
uint32_t sw_asks_of_first(const struct sw_asks *asks);

#endif
