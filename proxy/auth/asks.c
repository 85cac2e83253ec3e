/*
 * The line before auth_query. Control thread.
 * Invariant: a question is in the line and in one chain, and somebody waits for it; one that is sent is the
 * first in line.
 * Not here: the connection and what is answered (proxy/lookup.c), what is kept (secrets.c).
 */
#include "proxy/auth/asks.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "proxy/auth/digest.h"
#include "proxy/base/list.h"
#include "proxy/base/mem.h"
#include "router/hash.h"

/* Logins of one user meet in one question, so few users are in line even when many clients are. */
#define CHAINS 1024

struct waiter {
	struct sw_list link; /* question->waiters */
	struct sw_secret_ask ask;
};

struct question {
	struct sw_list in_line, in_chain;
	struct sw_list waiters;
	uint32_t count;
	bool is_sent;
	int64_t sent_ns;
	char user[SW_NAME_MAX];
};

struct sw_asks {
	uint64_t seed; /* names come from outside: nobody shall choose the chain */
	uint32_t count; /* who waits, in all */
	struct sw_list line;
	struct sw_list chains[CHAINS];
};

static struct sw_list *chain_of(struct sw_asks *asks, const char *user)
{
	return &asks->chains[sw_hash(user, strlen(user), asks->seed) % CHAINS];
}

static struct question *first(const struct sw_asks *asks)
{
	return SW_CONTAINER_OF(asks->line.next, struct question, in_line);
}

/* A question that serves the ask, or NULL. */
static struct question *find(struct sw_asks *asks, const struct sw_secret_ask *ask)
{
	SW_LIST_EACH(chain_of(asks, ask->user), at, after)
	{
		struct question *question = SW_CONTAINER_OF(at, struct question, in_chain);

		if ((!question->is_sent || question->sent_ns >= ask->since_ns) &&
		        strcmp(question->user, ask->user) == 0)
			return question;
	}
	return NULL;
}

static struct question *question_new(struct sw_asks *asks, const char *user)
{
	struct question *question = SW_NEW(struct question);

	strcpy(question->user, user);
	sw_list_init(&question->waiters);
	sw_list_push_back(&asks->line, &question->in_line);
	sw_list_push_back(chain_of(asks, user), &question->in_chain);
	return question;
}

enum sw_err sw_asks_add(struct sw_asks *asks, const struct sw_secret_ask *ask)
{
	struct question *question;
	struct waiter *waiter;

	if (asks->count == SW_ASKS_MAX)
		return SW_ERR_LIMIT;
	question = find(asks, ask);
	if (!question)
		question = question_new(asks, ask->user);
	waiter = SW_NEW(struct waiter);
	waiter->ask = *ask;
	sw_list_push_back(&question->waiters, &waiter->link);
	question->count++;
	asks->count++;
	return SW_OK;
}

const char *sw_asks_first(const struct sw_asks *asks)
{
	return sw_list_is_empty(&asks->line) ? NULL : first(asks)->user;
}

void sw_asks_sent(struct sw_asks *asks, int64_t now_ns)
{
	first(asks)->is_sent = true;
	first(asks)->sent_ns = now_ns;
}

void sw_asks_lost(struct sw_asks *asks)
{
	first(asks)->is_sent = false;
}

uint32_t sw_asks_of_first(const struct sw_asks *asks)
{
	return sw_list_is_empty(&asks->line) ? 0 : first(asks)->count;
}

void sw_asks_take(struct sw_asks *asks, struct sw_secret_ask *ret_ask)
{
	struct question *question = first(asks);
	struct waiter *waiter = SW_CONTAINER_OF(question->waiters.next, struct waiter, link);

	assert(!sw_list_is_empty(&asks->line) && question->count > 0);
	*ret_ask = waiter->ask;
	sw_list_remove(&waiter->link);
	sw_mem_free(waiter);
	asks->count--;
	if (--question->count > 0)
		return;
	sw_list_remove(&question->in_line);
	sw_list_remove(&question->in_chain);
	sw_mem_free(question);
}

struct sw_asks *sw_asks_new(void)
{
	struct sw_asks *asks = SW_NEW(struct sw_asks);

	sw_digest_random(&asks->seed, sizeof(asks->seed));
	sw_list_init(&asks->line);
	for (size_t i = 0; i < CHAINS; i++)
		sw_list_init(&asks->chains[i]);
	return asks;
}

void sw_asks_free(struct sw_asks *asks)
{
	struct sw_secret_ask ask;

	if (!asks)
		return;
	while (sw_asks_first(asks))
		sw_asks_take(asks, &ask);
	sw_mem_free(asks);
}
