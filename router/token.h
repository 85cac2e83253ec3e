/*
 * Tokens: a floor as a text that an application may carry to another session, also one behind another Seawall of the same
 * cluster. Pure decisions on the published view; the caller's thread.
 *
 *	sw1.<system identifier, 16 digits><timeline, 8><LSN, 16><checksum, 8>		hexadecimal, lower case
 *
 * Applications are not to look inside: the number behind 'sw' tells a later form from this one. The checksum (CRC-32 of all
 * before it) finds every change within eight neighbouring characters, so a token that was cut or mistyped is refused. It is
 * no signature: whoever makes a token up delays his own reads, or has it refused as from the future.
 */
#ifndef SW_ROUTER_TOKEN_H
#define SW_ROUTER_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "lagmon/view.h"
#include "proxy/base/err.h"
#include "proxy/base/lsn.h"

struct sw_token {
	uint64_t system_id;
	struct sw_position at; /* LSN 0: of a session that has seen nothing yet */
};

/* Its characters and the NUL. */
#define SW_TOKEN_TEXT_MAX 53

/* Writes the text into out[SW_TOKEN_TEXT_MAX] and returns out. */
char *sw_token_format(const struct sw_token *token, char *out);
/* All of text[0..len). SW_ERR_SYNTAX: it is no token of this form, or was changed. */
enum sw_err sw_token_parse(const char *text, size_t len, struct sw_token *ret_token) SW_MUST_USE;

/* The system identifier of the cluster, 0 while no node of it is known. */
uint64_t sw_token_system(const struct sw_view *view);

enum sw_token_fit {
	SW_TOKEN_GOOD,    /* the cluster has been where it points */
	SW_TOKEN_UNKNOWN, /* a sample of the primary that is sent after asked_ns will tell */
	SW_TOKEN_FOREIGN, /* of another cluster */
	SW_TOKEN_FUTURE,  /* the primary has not been there: it would hold back all reads (T41) */
};

/*
 * May the token raise a floor? One of an earlier timeline is good wherever it points: what did not survive cannot be waited
 * for (rule 5 of floor.h). asked_ns: when the primary's word was first wanted; 0 = not yet.
 */
enum sw_token_fit sw_token_judge(const struct sw_token *token, const struct sw_board *board, const struct sw_view *view,
	int64_t asked_ns);

#endif
