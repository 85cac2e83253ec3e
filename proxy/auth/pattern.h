/*
 * Regular expressions in the hba file and the ident maps. They are PostgreSQL's (the manual's 'POSIX Regular Expressions'),
 * and regcomp(3) runs them: what the two read differently is refused, and what would take all memory.
 */
#ifndef SW_AUTH_PATTERN_H
#define SW_AUTH_PATTERN_H

/* What is wrong with a pattern, and what to write instead: a constant text. NULL: regcomp may see it. */
const char *sw_pattern_flaw(const char *pattern);

#endif
