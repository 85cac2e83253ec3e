/*
 * Clients whom the system's PAM checks: a password goes to the modules of a service (/etc/pam.d), which may ask LDAP, a
 * file or a program, and may take as long as they like. So threads of their own do it, not a loop and not libuv's pool,
 * which name look-ups need and which would keep the process from ending while a module hangs.
 */
#ifndef SW_AUTH_PAM_H
#define SW_AUTH_PAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/list.h"

/* Of PostgreSQL's pamservice option, where none is given. */
#define SW_PAM_SERVICE "seawall"

#define SW_PAM_WHY_MAX 128

/* A question to PAM, then its answer. The session that waits holds a reference, and whoever works on it another. */
struct sw_pam_ask {
	struct sw_list entry; /* in the line of sw_pam */
	char *service, *user, *password;
	char *address;        /* of the client; NULL: a Unix socket */
	uint64_t session;     /* its number, and its slot on its worker */
	uint32_t slot;
	int32_t worker;
	bool is_right;            /* the answer */
	char why[SW_PAM_WHY_MAX]; /* not; for the log */
	/* Written by the worker, read by PAM's threads, relaxed: seen late, it costs a question in vain. */
	_Atomic bool is_given_up;
	_Atomic int refs;
};

/* service: NULL = SW_PAM_SERVICE. The password and the numbers are the caller's to fill in. */
struct sw_pam_ask *sw_pam_ask_new(const char *service, const char *user, const char *address);
struct sw_pam_ask *sw_pam_ask_ref(struct sw_pam_ask *ask);
void sw_pam_ask_unref(struct sw_pam_ask *ask); /* takes NULL; wipes the password with the last one */
/* Nobody waits for it any more: gives up the reference. Takes NULL. */
void sw_pam_ask_give_up(struct sw_pam_ask *ask);

/* Blocks: asks PAM and fills in the answer. Any thread. */
void sw_pam_check(struct sw_pam_ask *ask);

/*
 * The threads and the line before them, first come, first served. check: sw_pam_check. on_answer comes from one of the
 * threads, under a lock, so it only passes the ask on; the reference is its own.
 */
struct sw_pam;
struct sw_pam *sw_pam_new(
	void (*check)(struct sw_pam_ask *ask), void (*on_answer)(struct sw_pam_ask *ask, void *arg), void *arg);
/* Any thread; takes a reference. SW_ERR_LIMIT: SW_PAM_ASKS_MAX wait, or there is no thread to be had. */
enum sw_err sw_pam_put(struct sw_pam *pam, struct sw_pam_ask *ask) SW_MUST_USE;
/* After it no answer comes, and what is put is lost. Threads that hang stay behind. */
void sw_pam_close(struct sw_pam *pam);
/* After sw_pam_close, when nobody puts any more. */
void sw_pam_unref(struct sw_pam *pam);

#endif
