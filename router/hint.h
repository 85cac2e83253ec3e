/*
 * Hints: what the leading comment of a text asks of the router. Pure; any thread.
 *
 *	seawall: consistency=strong, route=primary, token=sw1.…		between the marks of a comment
 *
 * Only the first thing in a text counts, and only where the comment begins with 'seawall:', since tools put comments of
 * their own, with what their users typed in, into statements (T11). No hint sends to a replica what belongs on the primary.
 * Whether a session honours hints at all is its owner's business.
 */
#ifndef SW_ROUTER_HINT_H
#define SW_ROUTER_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router/level.h"
#include "router/token.h"

struct sw_hint {
	bool is_there;
	bool has_level, is_primary, has_token;
	uint8_t level;          /* enum sw_consistency */
	const char *fault;      /* a constant sentence that says what is wrong with it; NULL = nothing */
	struct sw_token token;
};

void sw_hint_parse(const char *text, size_t len, struct sw_hint *ret_hint);

#endif
