/*
 * A lock-free mailbox on uv_async. See mailbox.h for the memory order. Posting runs on any thread, all else on the
 * owner's.
 * Invariant: a letter is in the stack of new ones or in the list of undelivered ones, or it has been given away.
 */
#include "proxy/base/mailbox.h"

#include <stddef.h>

#include "proxy/base/list.h"

/* All new letters, oldest first. */
static struct sw_mail *take_new(struct sw_mailbox *box)
{
	struct sw_mail *mail = atomic_exchange_explicit(&box->newest, NULL, memory_order_acquire);
	struct sw_mail *oldest = NULL;

	while (mail) {
		struct sw_mail *next = mail->next;

		mail->next = oldest;
		oldest = mail;
		mail = next;
	}
	return oldest;
}

static void on_async(uv_async_t *async)
{
	struct sw_mailbox *box = SW_CONTAINER_OF(async, struct sw_mailbox, async);

	box->undelivered = take_new(box);
	while (box->undelivered && !uv_is_closing((uv_handle_t *)&box->async)) {
		struct sw_mail *mail = box->undelivered;

		box->undelivered = mail->next;
		mail->on_arrival(mail, box->owner);
	}
}

static void lose(struct sw_mail *mail)
{
	while (mail) {
		struct sw_mail *next = mail->next;

		if (mail->on_lost)
			mail->on_lost(mail);
		mail = next;
	}
}

enum sw_err sw_mailbox_init(struct sw_mailbox *box, uv_loop_t *loop, void *owner)
{
	atomic_init(&box->newest, NULL);
	box->undelivered = NULL;
	box->owner = owner;
	return uv_async_init(loop, &box->async, on_async) == 0 ? SW_OK : SW_ERR_IO;
}

void sw_mailbox_close(struct sw_mailbox *box)
{
	uv_close((uv_handle_t *)&box->async, NULL);
}

void sw_mailbox_fini(struct sw_mailbox *box)
{
	lose(box->undelivered);
	lose(take_new(box));
	box->undelivered = NULL;
}

void sw_mailbox_post(struct sw_mailbox *box, struct sw_mail *mail)
{
	mail->next = atomic_load_explicit(&box->newest, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&box->newest, &mail->next, mail, memory_order_release,
		memory_order_relaxed))
		;
	uv_async_send(&box->async);
}
