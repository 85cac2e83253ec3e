/*
 * What Seawall knows of PostgreSQL's own functions, by name (T5, T7, T8, T73). Constant tables; any thread.
 * What it knows of a database's functions is in catalog.h. Which of the two wins, and that calls of volatile
 * and unknown functions pin (T59), is decided in classify_walk.c.
 */
#ifndef SW_ROUTER_FUNCTIONS_H
#define SW_ROUTER_FUNCTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* A function whose calls belong to the primary, whatever its volatility says. */
struct sw_function_rule {
	const char *name;
	const char *reason;
	uint32_t pins; /* enum sw_pin: what a call leaves behind in its backend, or needs there (currval) */
};

/* NULL where no rule names the function. Names as in the parse tree: folded to lower case. */
const struct sw_function_rule *sw_function_rule(const char *name);

/* True for names whose answers belong to one node, by custom (T8): pg_…, txid_…, dblink… */
bool sw_function_is_node_local(const char *name);

/* True where every function of that name in pg_catalog may be called on a replica. */
bool sw_function_is_harmless(const char *name);

#endif
