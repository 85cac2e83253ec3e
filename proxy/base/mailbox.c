/* A lock-free mailbox on uv_async. See mailbox.h for the memory order. */
#include "proxy/base/mailbox.h"

#include <stddef.h>

#include "proxy/base/list.h"

static void on_async(uv_async_t *async)
{
	struct sw_mailbox *box = SW_CONTAINER_OF(async, struct sw_mailbox, async);
	struct sw_mail *mail = atomic_exchange_explicit(&box->newest, NULL, memory_order_acquire);
	struct sw_mail *oldest = NULL;

	while (mail) {
		struct sw_mail *next = mail->next;

		mail->next = oldest;
		oldest = mail;
		mail = next;
	}
	while (oldest) {
		struct sw_mail *next = oldest->next;

		oldest->on_arrival(oldest, box->owner);
		oldest = next;
	}
}

enum sw_err sw_mailbox_init(struct sw_mailbox *box, uv_loop_t *loop, void *owner)
{
	atomic_init(&box->newest, NULL);
	box->owner = owner;
	return uv_async_init(loop, &box->async, on_async) == 0 ? SW_OK : SW_ERR_IO;
}

void sw_mailbox_close(struct sw_mailbox *box)
{
	uv_close((uv_handle_t *)&box->async, NULL);
}

void sw_mailbox_post(struct sw_mailbox *box, struct sw_mail *mail)
{
	mail->next = atomic_load_explicit(&box->newest, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&box->newest, &mail->next, mail, memory_order_release,
		memory_order_relaxed))
		;
	uv_async_send(&box->async);
}
