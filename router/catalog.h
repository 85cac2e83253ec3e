/*
 * What the classifier needs to know of one database's catalog: for every function name the worst of all its
 * overloads in all schemas (T5), and the relations that a replica cannot serve. Built by the control thread
 * from the primary, then immutable and shared by reference count among workers.
 *
 * Of PostgreSQL's own functions, router/functions.c knows those of version 15; the snapshot adds the others.
 * So that a harmless volatile one (random) is told from a user's function of the same name, volatile
 * functions of pg_catalog are left out:
 *
 *	SELECT proname, bool_or(provolatile = 'v') FROM pg_proc
 *	WHERE provolatile <> 'v' OR pronamespace <> 'pg_catalog'::regnamespace GROUP BY proname
 *
 * and the relations, by name whatever their schema:
 *
 *	relkind IN ('f', 'S') OR relpersistence = 'u' AND relkind IN ('r', 'p', 'm'), and the views over such
 *
 * and those that are written to in order to set something, again with the views over them: rules other than ON SELECT whose
 * action calls set_config(). What a rule calls beside it, and triggers, are not looked into.
 *
 * Sequences, because what is replayed runs ahead of what nextval has given: a standby shows up to 32 values more.
 * Temporary tables of other sessions are nobody's business; those of the own session pin it.
 */
#ifndef SW_ROUTER_CATALOG_H
#define SW_ROUTER_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

struct sw_catalog;

enum sw_function_kind {
	SW_FUNCTION_UNKNOWN,  /* no such name: taken for volatile unless it is PostgreSQL's own */
	SW_FUNCTION_STABLE,   /* every overload is immutable or stable */
	SW_FUNCTION_VOLATILE, /* at least one overload is volatile */
};

struct sw_catalog *sw_catalog_new(const char *database);
/* Reference counts are atomic: any thread. The last unref frees. Both take NULL. */
struct sw_catalog *sw_catalog_ref(struct sw_catalog *catalog);
void sw_catalog_unref(struct sw_catalog *catalog);

/* Control thread, before the catalog is shared. The worst call for a name wins. */
void sw_catalog_add_function(struct sw_catalog *catalog, const char *name, enum sw_function_kind kind);
/* A relation that only the primary can serve: unlogged (T20), foreign, a sequence, a view over such a one. */
void sw_catalog_add_primary_relation(struct sw_catalog *catalog, const char *name);
/* A relation with a rule that calls set_config(), as pg_settings has, or a view over such a one (T59). */
void sw_catalog_add_setting_relation(struct sw_catalog *catalog, const char *name);

/* Control thread, before it is shared: where it says what the one before said it takes over its version. last: NULL = none. */
void sw_catalog_succeed(struct sw_catalog *catalog, const struct sw_catalog *last);

/* When its query was sent, sw_clock_ns(); 0 = not said. DDL that ended before is in it. */
void sw_catalog_set_read_ns(struct sw_catalog *catalog, int64_t read_ns);
int64_t sw_catalog_read_ns(const struct sw_catalog *catalog);

const char *sw_catalog_database(const struct sw_catalog *catalog);
/* Grows with every snapshot that says anything new, so a cached verdict can tell that it is old. Never 0. */
uint64_t sw_catalog_version(const struct sw_catalog *catalog);
/* Names are compared as they stand in the parse tree: folded to lower case unless quoted. */
enum sw_function_kind sw_catalog_function(const struct sw_catalog *catalog, const char *name);
bool sw_catalog_is_primary_relation(const struct sw_catalog *catalog, const char *name);
bool sw_catalog_is_setting_relation(const struct sw_catalog *catalog, const char *name);

#endif
