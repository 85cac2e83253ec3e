/*
 * What must be known of a text before the grammar may see it, and what is found without one. Pure; any
 * thread.
 */
#ifndef SW_ROUTER_CLASSIFY_TEXT_H
#define SW_ROUTER_CLASSIFY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* False for texts that would keep PostgreSQL's lexer busy for much longer than their length explains. */
bool sw_text_is_cheap(const char *text, size_t len);

bool sw_text_has_high_byte(const char *text, size_t len);

/* word in lower-case ASCII; any case is found. */
bool sw_text_has_word(const char *text, size_t len, const char *word);

/*
 * A boolean as PostgreSQL reads it in settings: unique beginnings of true, false, yes, no, on, off; 1 and 0.
 */
enum sw_text_bool { SW_TEXT_FALSE, SW_TEXT_TRUE, SW_TEXT_NO_BOOL };
enum sw_text_bool sw_text_bool(const char *text);

#endif
