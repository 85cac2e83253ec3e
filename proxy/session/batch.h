/*
 * The messages of an extended batch, and what is seen of them before the first is sent. Runs on the worker's thread.
 */
#ifndef SW_SESSION_BATCH_H
#define SW_SESSION_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/session/session.h"
#include "proxy/wire/message.h"
#include "proxy/wire/reader.h"

/* One message, as far as it has arrived. */
struct sw_batch_message {
	char type;
	const uint8_t *bytes; /* with its header */
	size_t len;           /* that are there */
	size_t total;         /* that there will be */
};

/* False where its header is not there, or makes no sense: that is told when it comes first in line (sw_input_consume). */
static inline bool sw_batch_next(const uint8_t *bytes, size_t len, struct sw_batch_message *ret_message)
{
	uint32_t length;

	if (len < SW_HEADER_BYTES)
		return false;
	length = sw_get_u32(bytes + 1);
	if (length < 4 || length > SW_MESSAGE_BYTES_MAX)
		return false;
	*ret_message = (struct sw_batch_message){.type = (char)bytes[0], .bytes = bytes, .total = 1 + (size_t)length};
	ret_message->len = len < ret_message->total ? len : ret_message->total;
	return true;
}

static inline struct sw_reader sw_batch_body(const struct sw_batch_message *message)
{
	return sw_reader_over(message->bytes + SW_HEADER_BYTES, message->len - SW_HEADER_BYTES);
}

/* Is it one of the messages that make up a batch, Sync and Flush among them? */
static inline bool sw_batch_has(char type)
{
	switch (type) {
	case 'P':
	case 'B':
	case 'D':
	case 'E':
	case 'C':
	case 'H':
	case 'S':
		return true;
	default:
		return false;
	}
}

/* Refused when it comes first in line. */
static inline bool sw_batch_is_too_long(const struct sw_batch_message *message)
{
	return sw_input_is_too_long((uint8_t)message->type, message->total);
}

/* What a server is told in place of a name that the session does not have. */
#define SW_UNKNOWN_NAME "?%.60s"

/* What the messages up to Sync or Flush are; their effects are in the session's unit. */
struct sw_lookahead {
	bool has_sync, has_flush, is_broken;
	bool is_prepare_only;         /* no Bind, no Execute */
	bool has_unknown_token;       /* seawall.token cannot be shown or set yet */
	bool has_named;               /* it speaks of a named statement */
	bool has_other_portal;        /* it speaks of a portal that its last Bind has not made */
	uint32_t blind_count;         /* Binds that no Describe follows at once */
	size_t bytes;                 /* looked at, whole messages */
	uint32_t statement_count, local_count, setting_count;
};

/* Is the batch there up to its Sync or Flush, or to what ends it otherwise? A cheap look at headers only. */
bool sw_lookahead_is_whole(const uint8_t *bytes, size_t len);
/* Looks at whole messages up to Sync or Flush, and adds what they do to the session's unit. */
void sw_lookahead(struct sw_session *session, const uint8_t *bytes, size_t len, struct sw_lookahead *ret_seen);
/* A message beyond what was looked at ahead: its effects are added now. */
void sw_lookahead_late(struct sw_session *session, const struct sw_batch_message *message);
/* Is the text one DEALLOCATE, and nothing else? */
bool sw_lookahead_is_lone_deallocate(const struct sw_statement *statement);

#endif
