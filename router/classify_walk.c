/*
 * The inside of a query: which relations, functions and clauses it holds, at any depth (T2, T3, T5, T23).
 * Facts are only ever added, so the order of the visit does not matter and a list of nodes still to visit
 * does for a recursion: a text of a megabyte can nest half a million levels, and a worker's stack is 8 MB.
 * Any thread.
 *
 * Invariant: a node of a kind that is not listed here makes the text the primary's (T10).
 *
 * Not here: what only the server can know. Views and rules, operators and casts, column defaults and policies
 * may call functions that the text does not name, and t.f may be a call of f(t) (T6). A standby refuses what
 * they write, and T16 is the net; what such a hidden call sets for the session stays unseen, and does not pin.
 * A call in the text pins where the function is volatile or unknown (T59), unless the operator lists it.
 */
#include "router/classify_tree.h"

#include <catalog/pg_class.h>
#include <nodes/nodeFuncs.h>

#include "proxy/base/mem.h"
#include "router/catalog.h"
#include "router/functions.h"

#define WORK_FIRST 256

/* Nodes to visit. Bounded by the number of nodes, so by the memory that the parse may use. */
struct work {
	Node **nodes;
	size_t count, size;
	Node *first[WORK_FIRST];
};

/* For raw_expression_tree_walker: false lets it go on to the next child. */
static bool push(Node *node, struct work *work)
{
	if (!node)
		return false;
	if (work->count == work->size) {
		size_t bytes = work->size * sizeof(Node *);

		if (work->nodes == work->first)
			work->nodes = memcpy(sw_mem_alloc(2 * bytes), work->first, bytes);
		else
			work->nodes = sw_mem_realloc(work->nodes, 2 * bytes);
		work->size *= 2;
	}
	work->nodes[work->count++] = node;
	return false;
}

static void catalog_primary(struct sw_scan *scan, const char *reason)
{
	if (!scan->catalog_primary)
		scan->catalog_primary = reason;
}

void sw_scan_primary(struct sw_scan *scan, const char *reason)
{
	if (!scan->primary)
		scan->primary = reason;
}

void sw_scan_relation(struct sw_scan *scan, const RangeVar *relation)
{
	const char *schema = relation->schemaname;

	if (schema && strncmp(schema, "pg_temp", 7) == 0) {
		sw_scan_primary(scan, "temporary table");
	} else if (schema ? strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0
			  : strncmp(relation->relname, "pg_", 3) == 0) {
		sw_scan_primary(scan, "system catalog");
	} else {
		scan->asked_catalog = true;
		if (scan->env->catalog && sw_catalog_is_primary_relation(scan->env->catalog, relation->relname))
			catalog_primary(scan, "table that a replica does not have");
	}
}

void sw_scan_created(struct sw_scan *scan, const RangeVar *relation, OnCommitAction on_commit)
{
	bool is_temp = relation->relpersistence == RELPERSISTENCE_TEMP ||
		(relation->schemaname && strncmp(relation->schemaname, "pg_temp", 7) == 0);

	/* ON COMMIT DROP: gone with its transaction, which stays on one backend anyway. */
	if (is_temp && on_commit != ONCOMMIT_DROP)
		scan->verdict->pins |= SW_PIN_TEMP;
}

/* True where the list has an entry "name", or "schema.name" that may be meant: the exact one if is_exact. */
static bool is_listed(const char *const *list, const char *schema, const char *name, bool is_exact)
{
	for (; list && *list; list++) {
		const char *dot = strchr(*list, '.');

		if (strcmp(dot ? dot + 1 : *list, name) != 0)
			continue;
		if (!dot)
			return true;
		if (!schema) {
			/* The search path decides which one is called. */
			if (!is_exact)
				return true;
		} else if (strlen(schema) == (size_t)(dot - *list) &&
			strncmp(schema, *list, (size_t)(dot - *list)) == 0) {
			return true;
		}
	}
	return false;
}

/* A function that no list of ours decides: the catalog's word, the worst of all overloads (T5). */
static void scan_catalog_function(struct sw_scan *scan, const char *schema, const char *name)
{
	enum sw_function_kind kind = SW_FUNCTION_UNKNOWN;
	bool is_harmless_builtin =
		(!schema || strcmp(schema, "pg_catalog") == 0) && sw_function_is_harmless(name);

	if (schema && is_harmless_builtin)
		return;
	scan->asked_catalog = true;
	if (scan->env->catalog)
		kind = sw_catalog_function(scan->env->catalog, name);
	if (kind == SW_FUNCTION_STABLE)
		scan->verdict->flags |= SW_V_STABLE_CALLS;
	if (kind == SW_FUNCTION_STABLE || (kind == SW_FUNCTION_UNKNOWN && is_harmless_builtin))
		return;
	catalog_primary(scan, kind == SW_FUNCTION_VOLATILE ? "volatile function" : "unknown function");
	/* It may set anything for the rest of the session, where no text shows it (T59). */
	scan->verdict->pins |= SW_PIN_SETTING;
}

static void scan_function(struct sw_scan *scan, const FuncCall *call)
{
	const char *name = strVal(llast(call->funcname));
	const char *schema = list_length(call->funcname) > 1 ?
		strVal(list_nth(call->funcname, list_length(call->funcname) - 2)) : NULL;
	const struct sw_function_rule *rule = sw_function_rule(name);
	bool is_builtin_name = !schema || strcmp(schema, "pg_catalog") == 0;

	if (strstr(name, "advisory"))
		scan->verdict->flags |= SW_V_ADVISORY | (strstr(name, "unlock") ? SW_V_RELEASES : 0);
	if (is_builtin_name && strcmp(name, "set_config") == 0) {
		sw_scan_set_config(scan, call);
	} else if (rule && rule->pins) {
		/* No override: what it leaves behind is there whatever the operator says. */
		sw_scan_primary(scan, rule->reason);
		scan->verdict->pins |= rule->pins;
	} else if (is_listed(scan->env->primary_functions, schema, name, false)) {
		sw_scan_primary(scan, "named in primary_functions");
	} else if (is_listed(scan->env->replica_functions, schema, name, true)) {
		scan->overridden = true;
	} else if (rule && is_builtin_name) {
		sw_scan_primary(scan, rule->reason);
	} else if (is_builtin_name && sw_function_is_node_local(name) && !sw_function_is_harmless(name)) {
		sw_scan_primary(scan, "answer of one node");
	} else {
		scan_catalog_function(scan, schema, name);
	}
}

/* What is written to a relation may be for a rule that makes it set_config(), as that of pg_settings does (T59). */
static void scan_target(struct sw_scan *scan, const char *reason, const RangeVar *target)
{
	const struct sw_catalog *catalog = scan->env->catalog;

	sw_scan_primary(scan, reason);
	if (strcmp(target->relname, "pg_settings") == 0 ||
		(catalog && sw_catalog_is_setting_relation(catalog, target->relname)))
		scan->verdict->pins |= SW_PIN_SETTING;
}

/* Executed parts of a query; EXPLAIN executes none. */
static void scan_executed(struct sw_scan *scan, const Node *node)
{
	switch (nodeTag(node)) {
	case T_FuncCall:
		scan_function(scan, (const FuncCall *)node);
		break;
	case T_InsertStmt:
		scan_target(scan, "INSERT", ((const InsertStmt *)node)->relation);
		break;
	case T_UpdateStmt:
		scan_target(scan, "UPDATE", ((const UpdateStmt *)node)->relation);
		break;
	case T_DeleteStmt:
		scan_target(scan, "DELETE", ((const DeleteStmt *)node)->relation);
		break;
	case T_MergeStmt:
		sw_scan_primary(scan, "MERGE");
		break;
	case T_LockingClause:
		sw_scan_primary(scan, "FOR UPDATE or SHARE");
		break;
	case T_IntoClause:
		sw_scan_primary(scan, "SELECT INTO");
		sw_scan_created(scan, ((const IntoClause *)node)->rel, ((const IntoClause *)node)->onCommit);
		scan->is_ddl = true;
		break;
	default:
		break;
	}
}

/* Kinds of nodes whose children raw_expression_tree_walker knows: it ends the process at any other. */
static bool can_walk(const Node *node)
{
	switch (nodeTag(node)) {
	case T_A_ArrayExpr:
	case T_A_Const:
	case T_A_Expr:
	case T_A_Indices:
	case T_A_Indirection:
	case T_A_Star:
	case T_Alias:
	case T_BitString:
	case T_BoolExpr:
	case T_Boolean:
	case T_BooleanTest:
	case T_CaseExpr:
	case T_CoalesceExpr:
	case T_CollateClause:
	case T_ColumnDef:
	case T_ColumnRef:
	case T_CommonTableExpr:
	case T_CurrentOfExpr:
	case T_DeleteStmt:
	case T_Float:
	case T_FuncCall:
	case T_GroupingFunc:
	case T_GroupingSet:
	case T_IndexElem:
	case T_InferClause:
	case T_InsertStmt:
	case T_Integer:
	case T_IntoClause:
	case T_JoinExpr:
	case T_List:
	case T_LockingClause:
	case T_MergeStmt:
	case T_MergeWhenClause:
	case T_MinMaxExpr:
	case T_MultiAssignRef:
	case T_NamedArgExpr:
	case T_NullTest:
	case T_OnConflictClause:
	case T_ParamRef:
	case T_RangeFunction:
	case T_RangeSubselect:
	case T_RangeTableFunc:
	case T_RangeTableFuncCol:
	case T_RangeTableSample:
	case T_RangeVar:
	case T_ResTarget:
	case T_RowExpr:
	case T_SQLValueFunction:
	case T_SelectStmt:
	case T_SetToDefault:
	case T_SortBy:
	case T_String:
	case T_SubLink:
	case T_TypeCast:
	case T_TypeName:
	case T_UpdateStmt:
	case T_WindowDef:
	case T_WithClause:
	case T_XmlExpr:
	case T_XmlSerialize:
		return true;
	default:
		return false;
	}
}

void sw_scan_query(struct sw_scan *scan, Node *query)
{
	struct work work = {.nodes = work.first, .size = WORK_FIRST};

	push(query, &work);
	while (work.count > 0) {
		Node *node = work.nodes[--work.count];

		if (!can_walk(node)) {
			sw_scan_primary(scan, "syntax that is not known");
			continue;
		}
		if (IsA(node, RangeVar))
			sw_scan_relation(scan, (const RangeVar *)node);
		else if (!scan->is_planned)
			scan_executed(scan, node);
		raw_expression_tree_walker(node, push, &work);
	}
	if (work.nodes != work.first)
		sw_mem_free(work.nodes);
}
