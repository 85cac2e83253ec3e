/*
 * Clients whom PAM checks: the password that a client has sent is put to PAM, which blocks, by threads of their own
 * (proxy/auth/pam.h); the session waits, and whatever ends it gives the question up. Runs on the worker's thread.
 *
 * PAM says yes or no and nothing more. Where auth_file has no secret of the user's for the nodes, the password that was
 * right serves: it is kept where the answers of auth_query are, marked as too old for any login of a client.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/pam.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/session/session.h"

void sw_login_ask_pam(struct sw_session *session)
{
	struct sw_pam_ask *ask = session->pam;

	ask->password = sw_mem_strdup(sw_verifier_answer(session->verifier));
	ask->session = session->number;
	ask->slot = session->slot;
	ask->worker = session->engine->number;
	session->state = SW_SESSION_WAIT_PAM;
	if (session->engine->hooks->on_want_pam(session->engine, ask) == SW_OK)
		return;
	sw_log(SW_LOG_WARNING, "cannot ask PAM about user \"%s\": too many wait, or there is no thread to be had",
		session->user);
	sw_session_die(session, SW_END_LOGIN, &(struct sw_problem){.severity = "FATAL", .sqlstate = "53300",
		.message = "too many logins wait for PAM", .hint = "Look what keeps the modules of the PAM service."});
}

/* A text that reads as a hash would be taken for one. */
static void keep_password(struct sw_session *session, const char *password)
{
	struct sw_engine *engine = session->engine;
	struct sw_known known;

	if (session->is_console || sw_auth_is_hash(password) || sw_secrets_complaint(password) ||
		(engine->users && sw_auth_users_find(engine->users, session->user)))
		return;
	sw_secrets_keep(engine->secrets, session->user, password, INT64_MIN, &known);
	session->keys = sw_auth_keys_ref(known.keys);
	sw_known_fini(&known);
}

void sw_login_refuse_by_pam(struct sw_session *session, const char *why)
{
	char message[256];

	sw_log(SW_LOG_WARNING, "login of user \"%s\" from %s failed: PAM: %s", session->user, session->address, why);
	snprintf(message, sizeof(message), "PAM authentication failed for user \"%s\"", session->user);
	sw_refuse_later(session, "28000", message, NULL);
}

void sw_login_on_pam(struct sw_engine *engine, const struct sw_pam_ask *ask)
{
	struct sw_session *session = ask->slot < engine->slot_count ? engine->slots[ask->slot] : NULL;

	if (!session || session->number != ask->session || session->state != SW_SESSION_WAIT_PAM)
		return;
	if (ask->is_right) {
		keep_password(session, ask->password);
		sw_login_welcome(session);
	} else {
		sw_login_refuse_by_pam(session, ask->why);
	}
	sw_session_resume(session);
}
