/*
 * A question to PAM, the one file that knows libpam. As PostgreSQL does it: the password is the answer to whatever a module
 * asks without echo, and the account has to be good, too (expired, locked, not at this hour). Any thread; each question has
 * a PAM handle of its own, which is what makes libpam safe among threads (but for a cache of libaudit's: tests/lib/tsan.supp).
 * Not here: the threads (pam_threads.c), what a client is told (proxy/session).
 */
#include "proxy/auth/pam.h"

#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"

struct sw_pam_ask *sw_pam_ask_new(const char *service, const char *user, const char *address)
{
	struct sw_pam_ask *ask = SW_NEW(struct sw_pam_ask);

	ask->service = sw_mem_strdup(service ? service : SW_PAM_SERVICE);
	ask->user = sw_mem_strdup(user);
	ask->address = address ? sw_mem_strdup(address) : NULL;
	sw_list_init(&ask->entry);
	atomic_init(&ask->refs, 1);
	return ask;
}

struct sw_pam_ask *sw_pam_ask_ref(struct sw_pam_ask *ask)
{
	atomic_fetch_add_explicit(&ask->refs, 1, memory_order_relaxed);
	return ask;
}

void sw_pam_ask_unref(struct sw_pam_ask *ask)
{
	if (!ask || atomic_fetch_sub_explicit(&ask->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (ask->password)
		sw_mem_wipe(ask->password, strlen(ask->password));
	sw_mem_free(ask->password);
	sw_mem_free(ask->service);
	sw_mem_free(ask->user);
	sw_mem_free(ask->address);
	sw_mem_free(ask);
}

void sw_pam_ask_give_up(struct sw_pam_ask *ask)
{
	if (ask)
		atomic_store_explicit(&ask->is_given_up, true, memory_order_relaxed);
	sw_pam_ask_unref(ask);
}

/* What libpam frees with free() comes from malloc(). */
static void drop_responses(struct pam_response *responses, int count)
{
	for (int i = 0; i < count; i++) {
		if (responses[i].resp)
			sw_mem_wipe(responses[i].resp, strlen(responses[i].resp));
		free(responses[i].resp);
	}
	free(responses);
}

/* The modules talk to the client. */
static int converse(int count, const struct pam_message **messages, struct pam_response **ret_responses, void *arg)
{
	const struct sw_pam_ask *ask = arg;
	struct pam_response *responses;

	if (count <= 0 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	responses = calloc((size_t)count, sizeof(*responses));
	if (!responses)
		return PAM_BUF_ERR;
	for (int i = 0; i < count; i++) {
		switch (messages[i]->msg_style) {
		case PAM_PROMPT_ECHO_OFF:
			responses[i].resp = strdup(ask->password);
			break;
		case PAM_ERROR_MSG:
		case PAM_TEXT_INFO:
			responses[i].resp = strdup("");
			break;
		}
		if (!responses[i].resp) { /* a question that nobody is here to answer, or no memory */
			drop_responses(responses, count);
			return PAM_CONV_ERR;
		}
	}
	*ret_responses = responses;
	return PAM_SUCCESS;
}

#ifdef PAM_FAIL_DELAY
/* A refusal keeps no thread waiting, as pam_unix would for two seconds: Seawall has its own delay (auth_failure_delay). */
static void do_not_wait(int status, unsigned delay_us, void *arg)
{
	(void)status;
	(void)delay_us;
	(void)arg;
}
#endif

static int ask_modules(pam_handle_t *handle, const struct sw_pam_ask *ask)
{
	int status = PAM_SUCCESS;

#ifdef PAM_FAIL_DELAY
	status = pam_set_item(handle, PAM_FAIL_DELAY, (const void *)do_not_wait);
#endif
	if (status == PAM_SUCCESS && ask->address)
		status = pam_set_item(handle, PAM_RHOST, ask->address);
	if (status == PAM_SUCCESS)
		status = pam_authenticate(handle, 0);
	if (status == PAM_SUCCESS)
		status = pam_acct_mgmt(handle, 0);
	return status;
}

void sw_pam_check(struct sw_pam_ask *ask)
{
	struct pam_conv conversation = {.conv = converse, .appdata_ptr = ask};
	pam_handle_t *handle = NULL;
	int status = pam_start(ask->service, ask->user, &conversation, &handle);

	if (status == PAM_SUCCESS)
		status = ask_modules(handle, ask);
	ask->is_right = status == PAM_SUCCESS;
	if (!ask->is_right)
		snprintf(ask->why, sizeof(ask->why), "service \"%s\": %s", ask->service, pam_strerror(handle, status));
	if (handle)
		pam_end(handle, status);
}
