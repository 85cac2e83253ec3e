/* The log on standard error. Any thread; the level is the only shared state. */
#include "proxy/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

/* Written by the control thread, read by all; a stale value only lets a line more or less through. */
static _Atomic int least_level = SW_LOG_INFO;
static _Thread_local const char *thread_name = "main";

static const char *const level_names[] = {"DEBUG", "LOG", "WARNING", "ERROR"};

void sw_log_set_level(enum sw_log_level least)
{
	atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
}

void sw_log_set_thread(const char *name)
{
	thread_name = name;
}

/* Control characters in values that came from a peer must not forge lines. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void sw_log(enum sw_log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	struct timespec now;
	struct tm utc;
	va_list args;
	size_t used;
	ssize_t written;

	if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	used = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S", &utc);
	used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ld UTC [%s] %s: ", now.tv_nsec / 1000000, thread_name,
		level_names[level]);
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	make_printable(line + used);
	used += strlen(line + used);
	line[used++] = '\n';
	written = write(STDERR_FILENO, line, used);
	(void)written; /* nobody is left to tell */
}
