/*
 * One statement of a text: what a utility command is, and which part of it is a query to look into. Whatever
 * is not listed is the primary's and may change the catalog (T4, T10). Any thread.
 *
 * Invariant: a statement that is not a plain read notes a reason with sw_scan_primary.
 */
#include "router/classify_tree.h"

#include <catalog/pg_class.h>

#include "router/classify_text.h"

static uint32_t scan_transaction(struct sw_scan *scan, const TransactionStmt *stmt)
{
	switch (stmt->kind) {
	case TRANS_STMT_BEGIN:
	case TRANS_STMT_START:
		sw_scan_primary(scan, "BEGIN");
		return SW_V_BEGIN | SW_V_NO_DATA | sw_scan_transaction_modes(stmt->options);
	case TRANS_STMT_COMMIT:
		sw_scan_primary(scan, "COMMIT");
		return SW_V_END | SW_V_NO_DATA;
	case TRANS_STMT_ROLLBACK:
		sw_scan_primary(scan, "ROLLBACK");
		return SW_V_END | SW_V_NO_DATA;
	case TRANS_STMT_SAVEPOINT:
	case TRANS_STMT_RELEASE:
	case TRANS_STMT_ROLLBACK_TO:
		sw_scan_primary(scan, "savepoint");
		return SW_V_SAVEPOINT | SW_V_NO_DATA;
	case TRANS_STMT_PREPARE:
		sw_scan_primary(scan, "PREPARE TRANSACTION");
		return SW_V_END;
	case TRANS_STMT_COMMIT_PREPARED:
	case TRANS_STMT_ROLLBACK_PREPARED:
		break;
	}
	sw_scan_primary(scan, "two-phase commit");
	return SW_V_DDL; /* whatever was prepared */
}

/* The query is executed, but by a later statement: EXECUTE, FETCH. */
static void scan_deferred(struct sw_scan *scan, Node *query)
{
	bool was_deferred = scan->is_deferred;

	scan->is_deferred = true;
	sw_scan_query(scan, query);
	scan->is_deferred = was_deferred;
}

static uint32_t scan_declare(struct sw_scan *scan, const DeclareCursorStmt *stmt)
{
	if (stmt->options & CURSOR_OPT_HOLD) {
		sw_scan_primary(scan, "cursor WITH HOLD");
		scan->verdict->pins |= SW_PIN_CURSOR;
	}
	scan_deferred(scan, stmt->query);
	return 0;
}

static uint32_t scan_create_as(struct sw_scan *scan, const CreateTableAsStmt *stmt)
{
	if (!scan->is_planned) {
		sw_scan_primary(scan, "CREATE TABLE AS");
		sw_scan_created(scan, stmt->into->rel, stmt->into->onCommit);
	}
	if (IsA(stmt->query, ExecuteStmt))
		sw_scan_primary(scan, "EXECUTE");
	else
		sw_scan_query(scan, stmt->query);
	return scan->is_planned ? 0 : SW_V_DDL;
}

static bool option_is_off(const DefElem *option)
{
	const Node *arg = option->arg;

	if (!arg)
		return false;
	if (IsA(arg, Integer))
		return intVal(arg) == 0;
	if (IsA(arg, Boolean))
		return !boolVal(arg);
	return IsA(arg, String) && sw_text_bool(strVal(arg)) == SW_TEXT_FALSE;
}

/* EXPLAIN plans anything on a standby; with ANALYZE it does what the statement does. */
static uint32_t scan_explain(struct sw_scan *scan, const ExplainStmt *stmt)
{
	bool is_analyze = false, was_planned = scan->is_planned;
	const ListCell *cell;
	uint32_t flags;

	foreach (cell, stmt->options) {
		const DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "analyze") == 0)
			is_analyze |= !option_is_off(option);
	}
	scan->is_planned = !is_analyze;
	if (IsA(stmt->query, RefreshMatViewStmt) && !is_analyze)
		flags = 0; /* has no plan */
	else
		flags = sw_scan_statement(scan, stmt->query);
	scan->is_planned = was_planned;
	return (flags & SW_V_DDL) | SW_V_CONSTANTS; /* (ANALYZE 1) executes, (ANALYZE 0) does not */
}

static uint32_t scan_copy(struct sw_scan *scan, const CopyStmt *stmt)
{
	if (stmt->is_from)
		sw_scan_primary(scan, "COPY FROM");
	else if (stmt->is_program || stmt->filename)
		sw_scan_primary(scan, "COPY to a file of the server");
	if (stmt->relation)
		sw_scan_relation(scan, stmt->relation);
	sw_scan_query(scan, stmt->query);
	sw_scan_query(scan, stmt->whereClause);
	return 0;
}

static uint32_t scan_discard(struct sw_scan *scan, const DiscardStmt *stmt)
{
	sw_scan_primary(scan, "DISCARD");
	scan->verdict->flags |= SW_V_RELEASES;
	switch (stmt->target) {
	case DISCARD_ALL:
		return SW_V_NO_DATA | SW_V_DISCARD_ALL;
	case DISCARD_PLANS:
	case DISCARD_SEQUENCES:
		return SW_V_NO_DATA;
	case DISCARD_TEMP:
		break;
	}
	return 0;
}

static uint32_t scan_schema(struct sw_scan *scan, const CreateSchemaStmt *stmt)
{
	const ListCell *cell;

	sw_scan_primary(scan, "CREATE SCHEMA");
	foreach (cell, stmt->schemaElts)
		sw_scan_statement(scan, lfirst(cell));
	return SW_V_DDL;
}

/* What leaves something behind in its backend. */
static uint32_t pin(struct sw_scan *scan, const char *reason, uint32_t pins, uint32_t flags)
{
	sw_scan_primary(scan, reason);
	scan->verdict->pins |= pins;
	return flags;
}

static uint32_t for_primary(struct sw_scan *scan, const char *reason, uint32_t flags)
{
	sw_scan_primary(scan, reason);
	return flags;
}

/* Which of the session's prepared statements goes (T65). */
static uint32_t scan_deallocate(struct sw_scan *scan, const DeallocateStmt *stmt)
{
	/* Among other statements names[] belongs to their settings. */
	if (stmt->name && scan->is_alone)
		memcpy(scan->verdict->names[0], stmt->name, strnlen(stmt->name, SW_NAME_MAX - 1));
	scan->verdict->flags |= SW_V_RELEASES;
	if (!stmt->name)
		scan->verdict->flags |= SW_V_DEALLOCATE_ALL;
	return for_primary(scan, "DEALLOCATE", SW_V_NO_DATA | SW_V_DEALLOCATE);
}

/* Of a column: does it bring a sequence with it? */
static bool has_sequence(const ColumnDef *column)
{
	const char *type = column->typeName ? strVal(llast(column->typeName->names)) : "";
	const ListCell *cell;

	foreach (cell, column->constraints)
		if (((const Constraint *)lfirst(cell))->contype == CONSTR_IDENTITY)
			return true;
	return strstr(type, "serial") != NULL;
}

static bool is_plain_table(const CreateStmt *stmt)
{
	const ListCell *cell;

	foreach (cell, stmt->tableElts) {
		const Node *element = lfirst(cell);

		if (IsA(element, TableLikeClause) || (IsA(element, ColumnDef) && has_sequence((const ColumnDef *)element)))
			return false;
	}
	return stmt->relation->relpersistence == RELPERSISTENCE_PERMANENT;
}

/* Commands that make a relation, temporary perhaps, and then all others. */
static uint32_t scan_ddl(struct sw_scan *scan, Node *stmt)
{
	if (IsA(stmt, DropStmt))
		scan->verdict->flags |= SW_V_RELEASES;
	switch (nodeTag(stmt)) {
	case T_CreateStmt:
		if (is_plain_table((const CreateStmt *)stmt))
			scan->verdict->flags |= SW_V_PLAIN_TABLE;
		sw_scan_created(scan, ((const CreateStmt *)stmt)->relation, ((const CreateStmt *)stmt)->oncommit);
		return for_primary(scan, "CREATE TABLE", SW_V_DDL);
	case T_ViewStmt:
		sw_scan_created(scan, ((const ViewStmt *)stmt)->view, ONCOMMIT_NOOP);
		return for_primary(scan, "CREATE VIEW", SW_V_DDL);
	case T_CreateSeqStmt:
		sw_scan_created(scan, ((const CreateSeqStmt *)stmt)->sequence, ONCOMMIT_NOOP);
		return for_primary(scan, "CREATE SEQUENCE", SW_V_DDL);
	case T_CreateSchemaStmt:
		return scan_schema(scan, (const CreateSchemaStmt *)stmt);
	case T_TruncateStmt:
		return for_primary(scan, "TRUNCATE", 0);
	case T_LockStmt:
		return for_primary(scan, "LOCK", 0);
	case T_VacuumStmt:
		return for_primary(scan, "VACUUM or ANALYZE", 0);
	case T_ClusterStmt:
		return for_primary(scan, "CLUSTER", 0);
	case T_ReindexStmt:
		return for_primary(scan, "REINDEX", 0);
	case T_CheckPointStmt:
		return for_primary(scan, "CHECKPOINT", 0);
	case T_RefreshMatViewStmt:
		return for_primary(scan, "REFRESH MATERIALIZED VIEW", 0);
	case T_ConstraintsSetStmt:
		return for_primary(scan, "SET CONSTRAINTS", 0);
	case T_AlterSystemStmt:
		return for_primary(scan, "ALTER SYSTEM", 0);
	default:
		return for_primary(scan, "DDL", SW_V_DDL);
	}
}

/* Commands about the session: settings, prepared statements, cursors, notifications, code. */
static uint32_t scan_session(struct sw_scan *scan, Node *stmt)
{
	switch (nodeTag(stmt)) {
	case T_VariableSetStmt:
		sw_scan_primary(scan, "SET");
		return sw_scan_set(scan, (const VariableSetStmt *)stmt);
	case T_VariableShowStmt:
		sw_scan_primary(scan, "SHOW");
		return sw_scan_show(scan, (const VariableShowStmt *)stmt);
	case T_DiscardStmt:
		return scan_discard(scan, (const DiscardStmt *)stmt);
	case T_PrepareStmt:
		scan_deferred(scan, ((const PrepareStmt *)stmt)->query);
		return pin(scan, "PREPARE", SW_PIN_PREPARE, 0);
	case T_ExecuteStmt:
		sw_scan_query(scan, (Node *)((const ExecuteStmt *)stmt)->params);
		return for_primary(scan, "EXECUTE", 0);
	case T_DeallocateStmt:
		return scan_deallocate(scan, (const DeallocateStmt *)stmt);
	case T_ListenStmt:
		return pin(scan, "LISTEN", SW_PIN_LISTEN, SW_V_NO_DATA);
	case T_UnlistenStmt:
		scan->verdict->flags |= SW_V_RELEASES;
		return for_primary(scan, "UNLISTEN", SW_V_NO_DATA);
	case T_NotifyStmt:
		return for_primary(scan, "NOTIFY", 0);
	case T_LoadStmt:
		return pin(scan, "LOAD", SW_PIN_LOAD, 0);
	/* Their code may do anything: SET, CREATE TEMP TABLE, DDL (T19, T59). */
	case T_DoStmt:
		return pin(scan, "DO", SW_PIN_SETTING, SW_V_DDL);
	case T_CallStmt:
		sw_scan_query(scan, (Node *)((const CallStmt *)stmt)->funccall);
		return pin(scan, "CALL", SW_PIN_SETTING, SW_V_DDL);
	default:
		return scan_ddl(scan, stmt);
	}
}

uint32_t sw_scan_statement(struct sw_scan *scan, Node *stmt)
{
	switch (nodeTag(stmt)) {
	case T_SelectStmt:
	case T_InsertStmt:
	case T_UpdateStmt:
	case T_DeleteStmt:
	case T_MergeStmt:
		sw_scan_query(scan, stmt);
		return 0;
	case T_TransactionStmt:
		return scan_transaction(scan, (const TransactionStmt *)stmt);
	case T_ExplainStmt:
		return scan_explain(scan, (const ExplainStmt *)stmt);
	case T_CopyStmt:
		return scan_copy(scan, (const CopyStmt *)stmt);
	case T_DeclareCursorStmt:
		return scan_declare(scan, (const DeclareCursorStmt *)stmt);
	case T_CreateTableAsStmt:
		return scan_create_as(scan, (const CreateTableAsStmt *)stmt);
	/* They run where their cursor is, and only there; without one they are harmless. */
	case T_ClosePortalStmt:
		scan->verdict->flags |= SW_V_RELEASES;
		scan->wants_no_retry = true;
		return 0;
	case T_FetchStmt:
		scan->wants_no_retry = true;
		return 0;
	default:
		return scan_session(scan, stmt);
	}
}
