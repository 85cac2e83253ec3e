/*
 * Private to classify*.c: what the parts of the classifier share while they look at one text. The only header
 * that includes libpg_query and PostgreSQL's node definitions (package postgresql-server-dev-15). Four files
 * include it, not one as elsewhere, since the tree is what each of them works on; nothing else may.
 *
 * The parse tree itself is used, not libpg_query's protobuf of it: writing and reading that costs ten times
 * the parse. PostgreSQL keeps these structs as they are within a major version; tests/unit/test_classify.c
 * fails if they moved.
 */
#ifndef SW_ROUTER_CLASSIFY_TREE_H
#define SW_ROUTER_CLASSIFY_TREE_H

#include <pg_query.h>
#include <pg_query/pg_query_internal.h>

#include <nodes/parsenodes.h>

#include "router/classify.h"

struct sw_scan {
	const struct sw_classify_env *env;
	struct sw_verdict *verdict;  /* pins and names are added as they are found */
	const char *primary;         /* why the text belongs to the primary, whatever the catalog says; NULL = nothing yet */
	const char *catalog_primary; /* why, as the catalog stands now */
	bool is_alone;               /* one statement in the text */
	bool asked_catalog;
	bool overridden;    /* an operator's word made a function harmless: not to be run twice (T17) */
	bool wants_no_retry;/* the statement belongs to the node that it was sent to */
	bool is_ddl;        /* found inside a query: SELECT INTO */
	bool is_planned;    /* EXPLAIN: nothing of the query is executed */
	bool is_deferred;   /* PREPARE, DECLARE: executed by a later statement */
};

/* Notes why the text belongs to the primary; the first reason stays. */
void sw_scan_primary(struct sw_scan *scan, const char *reason);

/* classify_walk.c: everything below a query or an expression. */
void sw_scan_query(struct sw_scan *scan, Node *query);
/* … below a name of a relation: system catalogs, temporary and unlogged tables. */
void sw_scan_relation(struct sw_scan *scan, const RangeVar *relation);
/* … a relation that is about to be made. */
void sw_scan_created(struct sw_scan *scan, const RangeVar *relation, OnCommitAction on_commit);

/*
 * classify_utility.c: one statement of the text. Returns its enum sw_verdict_flag, SW_V_READ not among them.
 */
uint32_t sw_scan_statement(struct sw_scan *scan, Node *stmt);

/* classify_set.c: settings. The flags of the statement. */
uint32_t sw_scan_set(struct sw_scan *scan, const VariableSetStmt *stmt);
uint32_t sw_scan_show(struct sw_scan *scan, const VariableShowStmt *stmt);
void sw_scan_set_config(struct sw_scan *scan, const FuncCall *call);
/* READ ONLY, ISOLATION LEVEL … in BEGIN and SET TRANSACTION. */
uint32_t sw_scan_transaction_modes(const List *modes);

#endif
