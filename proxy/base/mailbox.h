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

/*
 * Embedded in what is sent. The receiver owns the letter from on_arrival on. What was posted and never arrives belongs to
 * on_lost, which frees it and what it holds; where it is NULL the letter stays the poster's. Exactly one of the two comes,
 * if the owner calls sw_mailbox_fini.
 */
struct sw_mail {
	struct sw_mail *next;
	void (*on_arrival)(struct sw_mail *mail, void *owner);
	void (*on_lost)(struct sw_mail *mail);
};

struct sw_mailbox {
	uv_async_t async;
	_Atomic(struct sw_mail *) newest;
	struct sw_mail *undelivered; /* the rest of the batch at hand, oldest first; the owner's thread only */
	void *owner;
};

/* On the thread of the loop. owner is passed to every on_arrival. */
enum sw_err sw_mailbox_init(struct sw_mailbox *box, uv_loop_t *loop, void *owner) SW_MUST_USE;
/* On the thread of the loop, also from an on_arrival: no letter arrives afterwards, not even the rest of a batch. */
void sw_mailbox_close(struct sw_mailbox *box);
/*
 * After sw_mailbox_close, when the loop has run out and no thread posts any more: gives the letters that are left to their
 * on_lost, in the order of posting.
 */
void sw_mailbox_fini(struct sw_mailbox *box);

/* Any thread; not after the box's loop has been closed. */
void sw_mailbox_post(struct sw_mailbox *box, struct sw_mail *mail);

#endif
