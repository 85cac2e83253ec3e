/*
 * The console: what its statements mean and how they are answered. Runs on the control thread, which owns
 * what is asked for; nothing here waits. A statement that needs the workers is handed back as a report to be
 * gathered (proxy/report.h). Answers are whole messages without ReadyForQuery.
 */
#ifndef SW_PROXY_ADMIN_H
#define SW_PROXY_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/report.h"

struct sw_config;
struct sw_monitor;
struct sw_table;
struct sw_view;

/*
 * The longest answer; further rows are left out and a warning says how many. Less than what a stream keeps
 * unsent, so that an answer always fits the session that asked. A shorter maximum of 'out' holds as well; it
 * has to be at least SW_ADMIN_ANSWER_BYTES_LEAST.
 */
#define SW_ADMIN_ANSWER_BYTES_MAX   (48u * 1024 * 1024)
#define SW_ADMIN_ANSWER_BYTES_LEAST (64u * 1024)

/* What the answers are made of. monitor may be NULL: its columns are NULL then. */
struct sw_admin_context {
	struct sw_config *config;
	const struct sw_view *view;
	struct sw_monitor *monitor;
	int64_t started_ns;
};

enum sw_admin_step {
	SW_ADMIN_ANSWERED, /* out holds the answer */
	SW_ADMIN_REPORT,   /* gather ret_report from the workers, then sw_admin_render */
	SW_ADMIN_RELOAD,   /* reload, then sw_admin_reload_answer */
};

enum sw_admin_step sw_admin_parse(const char *sql, bool is_admin, const struct sw_admin_context *context,
        struct sw_buf *out, enum sw_report_kind *ret_report);

/* The merged tables of all workers as an answer. */
void sw_admin_render(enum sw_report_kind kind, const struct sw_table *table,
        const struct sw_admin_context *context, struct sw_buf *out);

/* faults: what the loader said, a line each; may be NULL. */
void sw_admin_reload_answer(bool ok, const char *faults, struct sw_buf *out);

#endif
