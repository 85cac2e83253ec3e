/*
 * The threads that ask PAM, and the line before them. Workers put, threads take: a way between threads, under one mutex that
 * is held for a step of a list. A thread is started when there is work and none is free, up to SW_PAM_THREADS_MAX; it
 * stays. Threads are detached: a module may hang for ever, and then its thread, and what it works on, is left behind.
 * Invariant: an answer is given under the lock and not after sw_pam_close, so that whoever hears it is still there.
 */
#include <pthread.h>

#include "proxy/auth/pam.h"
#include "proxy/base/limits.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"

struct sw_pam {
	pthread_mutex_t lock;
	pthread_cond_t work;
	void (*check)(struct sw_pam_ask *ask);
	void (*on_answer)(struct sw_pam_ask *ask, void *arg);
	void *arg;
	struct sw_list line;
	uint32_t waiting, threads, free_threads;
	int refs; /* the owner's and one a thread */
	bool is_closed;
};

struct sw_pam *sw_pam_new(
	void (*check)(struct sw_pam_ask *ask), void (*on_answer)(struct sw_pam_ask *ask, void *arg), void *arg)
{
	struct sw_pam *pam = SW_NEW(struct sw_pam);

	pthread_mutex_init(&pam->lock, NULL);
	pthread_cond_init(&pam->work, NULL);
	pam->check = check;
	pam->on_answer = on_answer;
	pam->arg = arg;
	sw_list_init(&pam->line);
	pam->refs = 1;
	return pam;
}

static struct sw_pam_ask *take_first(struct sw_pam *pam)
{
	struct sw_pam_ask *ask = SW_CONTAINER_OF(pam->line.next, struct sw_pam_ask, entry);

	sw_list_remove(&ask->entry);
	pam->waiting--;
	return ask;
}

void sw_pam_unref(struct sw_pam *pam)
{
	bool is_last;

	pthread_mutex_lock(&pam->lock);
	is_last = --pam->refs == 0;
	pthread_mutex_unlock(&pam->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&pam->work);
	pthread_mutex_destroy(&pam->lock);
	sw_mem_free(pam);
}

/* Under the lock, which is given up while PAM is asked. */
static void work_on(struct sw_pam *pam, struct sw_pam_ask *ask)
{
	bool is_wanted = !atomic_load_explicit(&ask->is_given_up, memory_order_relaxed);

	if (is_wanted) {
		pthread_mutex_unlock(&pam->lock);
		pam->check(ask);
		pthread_mutex_lock(&pam->lock);
	}
	if (is_wanted && !pam->is_closed)
		pam->on_answer(ask, pam->arg);
	else
		sw_pam_ask_unref(ask);
}

static void *run(void *arg)
{
	struct sw_pam *pam = arg;

	sw_log_set_thread("pam");
	pthread_mutex_lock(&pam->lock);
	while (!pam->is_closed) {
		if (!sw_list_is_empty(&pam->line)) {
			work_on(pam, take_first(pam));
			continue;
		}
		pam->free_threads++;
		pthread_cond_wait(&pam->work, &pam->lock);
		pam->free_threads--;
	}
	pthread_mutex_unlock(&pam->lock);
	sw_pam_unref(pam);
	return NULL;
}

static bool start_thread(struct sw_pam *pam)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, pam) != 0)
		return false;
	pthread_detach(thread);
	pam->threads++;
	pam->refs++;
	return true;
}

enum sw_err sw_pam_put(struct sw_pam *pam, struct sw_pam_ask *ask)
{
	enum sw_err err = SW_ERR_LIMIT;

	pthread_mutex_lock(&pam->lock);
	if (pam->is_closed) {
		err = SW_OK;
	} else if (pam->waiting < SW_PAM_ASKS_MAX) {
		/* A thread that was woken and has not begun yet still counts as free: so they are held against the line. */
		if (pam->free_threads <= pam->waiting && pam->threads < SW_PAM_THREADS_MAX)
			start_thread(pam);
		if (pam->threads > 0) {
			sw_list_push_back(&pam->line, &sw_pam_ask_ref(ask)->entry);
			pam->waiting++;
			pthread_cond_signal(&pam->work);
			err = SW_OK;
		}
	}
	pthread_mutex_unlock(&pam->lock);
	return err;
}

void sw_pam_close(struct sw_pam *pam)
{
	pthread_mutex_lock(&pam->lock);
	pam->is_closed = true;
	while (!sw_list_is_empty(&pam->line))
		sw_pam_ask_unref(take_first(pam));
	pthread_cond_broadcast(&pam->work);
	pthread_mutex_unlock(&pam->lock);
}
