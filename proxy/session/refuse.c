/*
 * Refusals of clients that are not in yet. Who has not proven who he is hears of it after auth_failure_delay, so that
 * guessing takes its time. The delay counts from the client's last byte, not from the judgement: how long that took, which
 * differs with what is known of a user, does not show. Runs on the worker's thread.
 *
 * Invariant: a session has a refusal exactly while it is in state REFUSED. It holds nothing else then but its place under
 * max_client_conn, what the client sends is dropped, and whatever ends a session ends the wait: the client itself,
 * client_login_timeout, a drain. Refusals are in the order in which they are due; a reload may have changed the delay.
 */
#include <stdio.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/pam.h"
#include "proxy/base/clock.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/session/session.h"
#include "proxy/wire/message.h"

/* Longer than any problem with what a client may put into it. */
#define ANSWER_BYTES_MAX (64u * 1024)

struct sw_refusal {
	struct sw_list entry; /* engine->refusals */
	struct sw_session *session;
	int64_t due_ns;
	struct sw_buf answer;
};

static void on_timer(uv_timer_t *timer);

/* A millisecond late rather than early. */
static void arm_timer(struct sw_engine *engine)
{
	const struct sw_refusal *first = SW_CONTAINER_OF(engine->refusals.next, struct sw_refusal, entry);
	int64_t left_ns;

	if (sw_list_is_empty(&engine->refusals))
		return;
	left_ns = first->due_ns - sw_clock_ns();
	uv_update_time(engine->loop);
	uv_timer_start(&engine->refusal_timer, on_timer, left_ns > 0 ? (uint64_t)(left_ns / SW_NS_PER_MS) + 1 : 1, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct sw_engine *engine = timer->data;
	int64_t now_ns = sw_clock_ns();

	while (!sw_list_is_empty(&engine->refusals)) {
		struct sw_refusal *first = SW_CONTAINER_OF(engine->refusals.next, struct sw_refusal, entry);
		struct sw_session *session = first->session;

		if (first->due_ns > now_ns)
			break;
		sw_session_send(session, &first->answer);
		sw_session_close(session, SW_END_LOGIN);
	}
	arm_timer(engine);
}

static void insert(struct sw_engine *engine, struct sw_refusal *refusal)
{
	struct sw_list *after = engine->refusals.prev;

	while (after != &engine->refusals && SW_CONTAINER_OF(after, struct sw_refusal, entry)->due_ns > refusal->due_ns)
		after = after->prev;
	sw_list_push_front(after, &refusal->entry);
}

static void let_go(struct sw_session *session)
{
	sw_verifier_free(session->verifier);
	session->verifier = NULL;
	sw_auth_keys_unref(session->keys);
	session->keys = NULL;
	sw_pam_ask_give_up(session->pam);
	session->pam = NULL;
}

void sw_refuse_later(struct sw_session *session, const char *sqlstate, const char *message, const char *hint)
{
	struct sw_engine *engine = session->engine;
	int64_t delay_us = engine->config->auth_failure_delay_us;
	struct sw_problem problem = {.severity = "FATAL", .message = message, .hint = hint};

	snprintf(problem.sqlstate, sizeof(problem.sqlstate), "%s", sqlstate);
	if (delay_us == 0) {
		sw_session_die(session, SW_END_LOGIN, &problem);
		return;
	}
	let_go(session);
	session->state = SW_SESSION_REFUSED;
	session->refusal = SW_NEW(struct sw_refusal);
	session->refusal->session = session;
	session->refusal->due_ns = session->active_ns + delay_us * SW_NS_PER_US;
	sw_buf_init(&session->refusal->answer, ANSWER_BYTES_MAX);
	sw_msg_problem(&session->refusal->answer, &problem);
	insert(engine, session->refusal);
	arm_timer(engine);
}

void sw_refusal_free(struct sw_refusal *refusal)
{
	if (!refusal)
		return;
	sw_list_remove(&refusal->entry);
	sw_buf_fini(&refusal->answer);
	sw_mem_free(refusal);
}
