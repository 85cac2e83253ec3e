/*
 * The one file that knows libidn. Owns one table, made on first use; any thread. libidn keeps copies of its
 * own on the heap that it frees unwiped; pure ASCII passwords, which need no preparation, never get there.
 *
 * PostgreSQL looks for prohibited characters and at the direction of the text before it normalises; RFC 4013,
 * and libidn with it, afterwards. Passwords with Hebrew or Arabic presentation forms differ, and PostgreSQL
 * counts. Five ideographs (U+2F868, U+2F874, U+2F91F, U+2F95F, U+2F9BF) still do: libidn has their mapping of
 * Unicode 3.2.
 */
#include "proxy/auth/saslprep.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <stringprep.h>

#include "proxy/base/mem.h"

/* The longest growth of UTF-8 under NFKC is U+FDFA: 3 bytes become 33. */
#define GROWTH_MAX 11

static bool is_ascii(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text > 127)
			return false;
	}
	return true;
}

/* Room for the steps of libidn's own profile and the end mark. */
#define STEPS_MAX 32

static pthread_once_t once = PTHREAD_ONCE_INIT;
static Stringprep_profile profile[STEPS_MAX];

/* libidn's profile with the normalisation moved to the end. */
static void make_profile(void)
{
	Stringprep_profile normalise = {.operation = STRINGPREP_NFKC};
	size_t count = 0;

	for (const Stringprep_profile *step = stringprep_saslprep; step->operation; step++) {
		assert(count + 2 < STEPS_MAX);
		if (step->operation == STRINGPREP_NFKC)
			normalise = *step;
		else
			profile[count++] = *step;
	}
	profile[count] = normalise;
}

char *sw_saslprep(const char *password)
{
	size_t len = strlen(password), size = len * GROWTH_MAX + 1;
	char *text;

	if (is_ascii(password))
		return sw_mem_strndup(password, len);
	pthread_once(&once, make_profile);
	text = sw_mem_zalloc(size);
	memcpy(text, password, len);
	/* Code points younger than Unicode 3.2 are refused, and a password of which nothing is left. */
	if (stringprep(text, size, STRINGPREP_NO_UNASSIGNED, profile) != STRINGPREP_OK || !*text) {
		sw_mem_wipe(text, size);
		memcpy(text, password, len + 1);
	}
	return text;
}
