/*
 * The tables of PostgreSQL's own functions. Invariant: both are sorted by strcmp, so they can be searched by
 * halves (a unit test proves it). The long one is generated, see functions_builtin.sql. Constant; any thread.
 *
 * Not here: functions of extensions and users. The catalog snapshot knows them; only those that leave
 * something behind in their backend have a rule, since volatility cannot tell.
 */
#include "router/functions.h"

#include <stdlib.h>
#include <string.h>

#include "router/classify.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char advisory[] = "advisory lock";
static const char answer[] = "answer of one node";
static const char catalog[] = "reads the catalog";
static const char large_object[] = "large object";
static const char sequence[] = "sequence function";
static const char session[] = "state of one backend";

static const struct sw_function_rule rules[] = {
	{"col_description", catalog, 0},
	{"current_setting", answer, 0},
	{"currval", sequence, SW_PIN_SEQUENCE},
	{"database_to_xml", catalog, 0},
	{"database_to_xml_and_xmlschema", catalog, 0},
	{"database_to_xmlschema", catalog, 0},
	{"dblink_connect", session, SW_PIN_BACKEND},
	{"dblink_connect_u", session, SW_PIN_BACKEND},
	{"format_type", catalog, 0},
	{"has_any_column_privilege", catalog, 0},
	{"has_column_privilege", catalog, 0},
	{"has_database_privilege", catalog, 0},
	{"has_foreign_data_wrapper_privilege", catalog, 0},
	{"has_function_privilege", catalog, 0},
	{"has_language_privilege", catalog, 0},
	{"has_largeobject_privilege", catalog, 0},
	{"has_parameter_privilege", catalog, 0},
	{"has_schema_privilege", catalog, 0},
	{"has_sequence_privilege", catalog, 0},
	{"has_server_privilege", catalog, 0},
	{"has_table_privilege", catalog, 0},
	{"has_tablespace_privilege", catalog, 0},
	{"has_type_privilege", catalog, 0},
	{"inet_client_addr", answer, 0},
	{"inet_client_port", answer, 0},
	{"inet_server_addr", answer, 0},
	{"inet_server_port", answer, 0},
	{"lastval", sequence, SW_PIN_SEQUENCE},
	{"lo_close", large_object, 0},
	{"lo_creat", large_object, 0},
	{"lo_create", large_object, 0},
	{"lo_export", large_object, 0},
	{"lo_from_bytea", large_object, 0},
	{"lo_get", large_object, 0},
	{"lo_import", large_object, 0},
	{"lo_lseek", large_object, 0},
	{"lo_lseek64", large_object, 0},
	{"lo_open", large_object, 0},
	{"lo_put", large_object, 0},
	{"lo_tell", large_object, 0},
	{"lo_tell64", large_object, 0},
	{"lo_truncate", large_object, 0},
	{"lo_truncate64", large_object, 0},
	{"lo_unlink", large_object, 0},
	{"loread", large_object, 0},
	{"lowrite", large_object, 0},
	{"mxid_age", answer, 0},
	{"nextval", sequence, SW_PIN_BACKEND},
	{"obj_description", catalog, 0},
	{"pg_advisory_lock", advisory, SW_PIN_LOCK},
	{"pg_advisory_lock_shared", advisory, SW_PIN_LOCK},
	{"pg_advisory_unlock", advisory, 0},
	{"pg_advisory_unlock_all", advisory, 0},
	{"pg_advisory_unlock_shared", advisory, 0},
	{"pg_advisory_xact_lock", advisory, 0},
	{"pg_advisory_xact_lock_shared", advisory, 0},
	/*
	 * A backup that was started belongs to its session (its name up to PostgreSQL 14: pg_start_backup).
	 */
	{"pg_backup_start", session, SW_PIN_BACKEND},
	/* A slot may be temporary: then it lives as long as its backend. */
	{"pg_copy_logical_replication_slot", session, SW_PIN_BACKEND},
	{"pg_copy_physical_replication_slot", session, SW_PIN_BACKEND},
	{"pg_create_logical_replication_slot", session, SW_PIN_BACKEND},
	{"pg_create_physical_replication_slot", session, SW_PIN_BACKEND},
	{"pg_notify", "NOTIFY", 0},
	{"pg_replication_origin_session_setup", session, SW_PIN_BACKEND},
	{"pg_start_backup", session, SW_PIN_BACKEND},
	{"pg_try_advisory_lock", advisory, SW_PIN_LOCK},
	{"pg_try_advisory_lock_shared", advisory, SW_PIN_LOCK},
	{"pg_try_advisory_xact_lock", advisory, 0},
	{"pg_try_advisory_xact_lock_shared", advisory, 0},
	{"row_security_active", catalog, 0},
	{"schema_to_xml", catalog, 0},
	{"schema_to_xml_and_xmlschema", catalog, 0},
	{"schema_to_xmlschema", catalog, 0},
	/* pg_trgm: sets pg_trgm.similarity_threshold for the session. */
	{"set_limit", session, SW_PIN_SETTING},
	{"setseed", session, SW_PIN_BACKEND},
	{"setval", sequence, SW_PIN_BACKEND},
	{"shobj_description", catalog, 0},
	{"to_regclass", catalog, 0},
	{"to_regcollation", catalog, 0},
	{"to_regnamespace", catalog, 0},
	{"to_regoper", catalog, 0},
	{"to_regoperator", catalog, 0},
	{"to_regproc", catalog, 0},
	{"to_regprocedure", catalog, 0},
	{"to_regrole", catalog, 0},
	{"to_regtype", catalog, 0},
	{"version", answer, 0},
};

static const char *const harmless[] = {
#include "router/functions_builtin.inc"
};

static int compare_rule(const void *name, const void *rule)
{
	return strcmp(name, ((const struct sw_function_rule *)rule)->name);
}

static int compare_name(const void *name, const void *entry)
{
	return strcmp(name, *(const char *const *)entry);
}

const struct sw_function_rule *sw_function_rule(const char *name)
{
	return bsearch(name, rules, COUNT_OF(rules), sizeof(rules[0]), compare_rule);
}

bool sw_function_is_node_local(const char *name)
{
	return strncmp(name, "pg_", 3) == 0 || strncmp(name, "txid_", 5) == 0 || strncmp(name, "dblink", 6) == 0;
}

bool sw_function_is_harmless(const char *name)
{
	return bsearch(name, harmless, COUNT_OF(harmless), sizeof(harmless[0]), compare_name) != NULL;
}
