/*
 * TAP out of a program in C: a case is a function; what it CHECKs and does not find ends it.
 *
 *	static void adds(void) { CHECK(1 + 1 == 2); CHECK_TEXT("2", value(c, "SELECT 1 + 1")); }
 *	int main(void) { tap_case("adds", adds); return tap_done(); }
 */
#ifndef DRIVERS_TAP_H
#define DRIVERS_TAP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_cases, tap_failed;
static jmp_buf tap_out;

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			tap_fail(__LINE__, #condition, "");                                                  \
	} while (0)

#define CHECK_TEXT(expected, got)                                                                            \
	do {                                                                                                 \
		const char *_got = (got);                                                                    \
		if (strcmp((expected), _got) != 0)                                                           \
			tap_fail(__LINE__, (expected), _got);                                                \
	} while (0)

_Noreturn static void tap_fail(int line, const char *expected, const char *got)
{
	printf("# line %d: expected %s %s\n", line, expected, got);
	longjmp(tap_out, 1);
}

static void tap_case(const char *title, void (*run)(void))
{
	volatile bool is_good = false;

	tap_cases++;
	if (setjmp(tap_out) == 0) {
		run();
		is_good = true;
	}
	tap_failed += !is_good;
	printf("%sok %d - %s\n", is_good ? "" : "not ", tap_cases, title);
	fflush(stdout);
}

static int tap_done(void)
{
	printf("1..%d\n", tap_cases);
	return tap_failed != 0;
}

static bool tap_is_pooled(void)
{
	return getenv("DRIVERS_POOLED") != NULL;
}

/* Every node restarts before this returns. */
static void tap_restart(void)
{
	char line[100];

	printf("RESTART\n");
	fflush(stdout);
	CHECK(fgets(line, sizeof line, stdin));
}

#endif
