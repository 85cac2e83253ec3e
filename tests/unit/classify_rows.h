/*
 * Shared by the tests of the classifier: tables of statements, each row the flags, pins and names that a text
 * must get. SW_V_CALLS is left out of the tables and has tests of its own. The catalog stands for a database
 * with an application's functions in it.
 */
#ifndef SW_TESTS_CLASSIFY_ROWS_H
#define SW_TESTS_CLASSIFY_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "router/catalog.h"
#include "router/classify.h"

#define READ       (SW_V_READ | SW_V_RETRY)
#define READ_ONCE  SW_V_READ
#define WRITE      0
#define NO_DATA    SW_V_NO_DATA
#define SET        (SW_V_NO_DATA | SW_V_SETS)
#define DDL        SW_V_DDL
#define BEGIN      (SW_V_BEGIN | SW_V_NO_DATA)
#define END        (SW_V_END | SW_V_NO_DATA)
#define SAVEPOINT  (SW_V_SAVEPOINT | SW_V_NO_DATA)
#define MODE       (SW_V_TXN_MODE | SW_V_NO_DATA)
#define MULTI      SW_V_MULTI
#define UNPARSED   SW_V_UNPARSED
#define LENGTH(of) (sizeof(of) / sizeof((of)[0]))

struct row {
	const char *sql;
	uint32_t flags;
	uint32_t pins;
	const char *names; /* joined with a space; NULL = none */
};

static struct sw_catalog *catalog;
static const char *const primary_functions[] = {"audit", "settle", "app.charge", "currval", NULL};
static const char *const replica_functions[] = {"lookup", "app.peek", "pg_is_in_recovery", "nextval", NULL};

static inline struct sw_classify_env usual_env(void)
{
	return (struct sw_classify_env){.catalog = catalog,
		.primary_functions = primary_functions,
		.replica_functions = replica_functions,
		.standard_conforming_strings = true};
}

static inline int set_up(void **state)
{
	(void)state;
	catalog = sw_catalog_new("app");
	sw_catalog_add_function(catalog, "total", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "audit", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "charge", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "settle", SW_FUNCTION_VOLATILE);
	sw_catalog_add_function(catalog, "book", SW_FUNCTION_VOLATILE);
	sw_catalog_add_function(catalog, "lookup", SW_FUNCTION_VOLATILE);
	sw_catalog_add_function(catalog, "peek", SW_FUNCTION_VOLATILE);
	sw_catalog_add_function(catalog, "upper", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "upper", SW_FUNCTION_VOLATILE);
	sw_catalog_add_function(catalog, "MixedCase", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "has_stock", SW_FUNCTION_STABLE);
	sw_catalog_add_primary_relation(catalog, "cache_unlogged");
	sw_catalog_add_setting_relation(catalog, "knobs");
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	sw_catalog_unref(catalog);
	return 0;
}

static inline struct sw_verdict classify(const char *sql)
{
	struct sw_classify_env env = usual_env();
	struct sw_verdict verdict;

	sw_classify(sql, strlen(sql), &env, &verdict);
	return verdict;
}

static inline void join_names(const struct sw_verdict *verdict, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < verdict->name_count; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "", verdict->names[i]);
}

/* What rests on the catalog, and what later steps want to know beside the class: tests of their own look at these. */
#define UNCOMPARED_FLAGS (SW_V_CALLS | SW_V_STABLE_CALLS | SW_V_CONSTANTS | SW_V_ADVISORY | SW_V_PASSING | \
	SW_V_DEALLOCATE_ALL | SW_V_RELEASES | SW_V_PLAIN_TABLE)

static inline void check_rows(const struct row *rows, size_t count)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++) {
		struct sw_verdict verdict = classify(rows[i].sql);
		uint32_t flags = verdict.flags & ~(uint32_t)UNCOMPARED_FLAGS;
		char names[SW_SET_NAMES_MAX * SW_NAME_MAX];

		join_names(&verdict, names, sizeof(names));
		assert_non_null(verdict.reason);
		if (flags == rows[i].flags && verdict.pins == rows[i].pins &&
			strcmp(names, rows[i].names ? rows[i].names : "") == 0)
			continue;
		wrong++;
		print_error("%s\n\tflags 0x%x, expected 0x%x; pins 0x%x, expected 0x%x; names \"%s\"; reason "
			    "\"%s\"\n",
			rows[i].sql, flags, rows[i].flags, verdict.pins, rows[i].pins, names, verdict.reason);
	}
	assert_int_equal(wrong, 0);
}

#endif
