/*
 * The levels of consistency, and which of two promises more. Constants and pure functions; any thread.
 */
#ifndef SW_ROUTER_LEVEL_H
#define SW_ROUTER_LEVEL_H

#include <stdbool.h>
#include <stddef.h>

enum sw_consistency { SW_LEVEL_OFF, SW_LEVEL_EVENTUAL, SW_LEVEL_SESSION, SW_LEVEL_STRONG };

/* "off", "eventual", … a constant. */
const char *sw_level_text(enum sw_consistency level);
/* All of text[0..len), in any case; false where it names no level. */
bool sw_level_parse(const char *text, size_t len, enum sw_consistency *ret_level);

/*
 * Does a promise less than b? Nothing promises more than off: the primary shows whatever was acknowledged to anybody.
 */
bool sw_level_is_weaker(enum sw_consistency a, enum sw_consistency b);

#endif
