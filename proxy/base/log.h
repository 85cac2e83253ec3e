/*
 * The log: one line an event on standard error, written with one write(2), so lines of several threads never mix.
 *
 *	2026-11-21 02:01:38.123 UTC [worker 0] WARNING: node "pg2" is down: connection refused
 *
 * Messages are lower case: what failed first, the value in quotes, then what to do. The function that gives up logs,
 * once. Secrets and SQL text never go in. Any thread.
 */
#ifndef SW_BASE_LOG_H
#define SW_BASE_LOG_H

enum sw_log_level { SW_LOG_DEBUG, SW_LOG_INFO, SW_LOG_WARNING, SW_LOG_ERROR };

/* Lines below this level are not written. Set before threads start, or by the control thread (relaxed atomic). */
void sw_log_set_level(enum sw_log_level least);

/* Names the calling thread in its lines; name must outlive the thread. */
void sw_log_set_thread(const char *name);

void sw_log(enum sw_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
