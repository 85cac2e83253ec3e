/*
 * A mailbox: how threads give each other work. Any thread posts; the owner's loop takes all mail, in the order of
 * posting, in one go. Lock-free: a stack that senders push on with a compare-and-swap (release) and the owner empties with
 * one exchange (acquire), which is what makes the letter's contents visible to it.
 */
#ifndef SW_BASE_MAILBOX_H
#define SW_BASE_MAILBOX_H

#include <stdatomic.h>
#include <uv.h>

#include "proxy/base/err.h"

/* Embedded in what is sent. The receiver owns the letter from on_arrival on. */
struct sw_mail {
	struct sw_mail *next;
	void (*on_arrival)(struct sw_mail *mail, void *owner);
};

struct sw_mailbox {
	uv_async_t async;
	_Atomic(struct sw_mail *) newest;
	void *owner;
};

/* On the thread of the loop. owner is passed to every on_arrival. */
enum sw_err sw_mailbox_init(struct sw_mailbox *box, uv_loop_t *loop, void *owner) SW_MUST_USE;
/* On the thread of the loop: no mail is taken afterwards; letters still in the box are the poster's loss. */
void sw_mailbox_close(struct sw_mailbox *box);

/* Any thread. */
void sw_mailbox_post(struct sw_mailbox *box, struct sw_mail *mail);

#endif
