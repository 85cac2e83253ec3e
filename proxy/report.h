/*
 * Reports: what the console shows of the workers. The control thread mails a request to each worker, each
 * fills a table of its own on its own thread, the control thread merges them and renders the answer
 * (proxy/admin.h). Nothing of a worker is ever read by another thread.
 */
#ifndef SW_PROXY_REPORT_H
#define SW_PROXY_REPORT_H

struct sw_engine;
struct sw_table;

enum sw_report_kind {
	SW_REPORT_CLIENTS,
	SW_REPORT_SERVERS,
	SW_REPORT_POOLS,         /* by database and user */
	SW_REPORT_POOLS_BY_NODE, /* by database, user and node */
	SW_REPORT_STATS,
	SW_REPORT_ROUTES,
	SW_REPORT_DATABASES,
	SW_REPORT_LISTS,
	SW_REPORT_KINDS,
};

/* An empty table with the report's columns. Any thread. */
struct sw_table *sw_report_table(enum sw_report_kind kind);

/* Adds this worker's rows. On the worker's thread. */
void sw_report_fill(struct sw_engine *engine, enum sw_report_kind kind, struct sw_table *table);

#endif
