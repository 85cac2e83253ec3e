/*
 * The one clock that decisions use: CLOCK_BOOTTIME, which never steps and goes on while the machine is suspended.
 * Nanoseconds since boot; only differences mean anything. Any thread; a vDSO call, no system call.
 */
#ifndef SW_BASE_CLOCK_H
#define SW_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SW_NS_PER_US INT64_C(1000)
#define SW_NS_PER_MS INT64_C(1000000)
#define SW_NS_PER_S  INT64_C(1000000000)

static inline int64_t sw_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * SW_NS_PER_S + now.tv_nsec;
}

#endif
