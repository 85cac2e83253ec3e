/*
 * Regular expressions of the hba file and the ident maps: what regcomp would take without a word, and should not. Pure.
 */
#include "proxy/auth/pattern.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What the C library makes of an expression takes a multiple of its length, in memory and on the stack. */
#define PATTERN_BYTES_MAX 1024

/* The product of all the numbers in {} of one pattern. */
#define REPEATS_MAX 1000

/* What of an expression POSIX would read otherwise than PostgreSQL, so that a rule means what nobody wrote; or NULL. */
static const char *find_difference(const char *at)
{
	static const char escape[] = "POSIX lacks such escapes: write a class, as [[:digit:]]";

	for (bool was_quantifier = false; *at; at++) {
		bool is_quantifier = strchr("*+?{", *at);

		if (is_quantifier && was_quantifier)
			return "POSIX has no non-greedy quantifiers: write it without";
		if (*at == '{' && !isdigit((unsigned char)at[1]))
			return "\"{\" is followed by no number: write \\{ for the character";
		was_quantifier = (is_quantifier && *at != '{') || *at == '}';
		if (*at == '\\' && at[1]) {
			at++;
			if (strchr("<>`'", *at) || isalnum((unsigned char)*at))
				return escape;
		} else if (*at == '[') {
			at += at[1] == '^' ? 2 : 1;
			for (at += *at == ']'; *at && *at != ']'; at++) {
				if (*at == '\\')
					return escape;
				if (*at == '[' && at[1] == ':' && strstr(at, ":]"))
					at = strstr(at, ":]") + 1;
			}
			if (!*at)
				break; /* regcomp says what is wrong */
		}
	}
	return NULL;
}

/* regcomp writes out what is repeated: numbers within numbers would take all memory. Sound, and strict for those in a row. */
static bool repeats_too_often(const char *pattern)
{
	unsigned long product = 1;

	for (const char *at = strchr(pattern, '{'); at; at = strchr(at + 1, '{')) {
		char *end;
		unsigned long least = strtoul(at + 1, &end, 10), most = *end == ',' ? strtoul(end + 1, NULL, 10) : least;

		most = most > least ? most : least;
		if (most > REPEATS_MAX || (product *= most > 0 ? most : 1) > REPEATS_MAX)
			return true;
	}
	return false;
}

const char *sw_pattern_flaw(const char *pattern)
{
	if (strlen(pattern) > PATTERN_BYTES_MAX)
		return "it is too long: shorten it";
	if (repeats_too_often(pattern))
		return "it repeats too often: make the numbers in {} smaller";
	return find_difference(pattern);
}
