/*
 * Settings: SET, RESET and SHOW in all their spellings, and set_config() (T14, T58, T59, T60). What a session
 * must carry to another server connection is named in the verdict; what cannot be carried pins. Any thread.
 *
 * Invariant: a name is listed in lower case, once; one that finds no room pins the session instead.
 *
 * Not here: values (but for seawall.*). A transaction may undo them, and set_config computes them; whoever
 * follows a setting asks the server what it is now. One thing stays unseen: a computed search_path that puts
 * pg_temp first.
 */
#include "router/classify_tree.h"

#include <ctype.h>

#include "router/classify_text.h"

#define SEAWALL_PREFIX "seawall."

/* PostgreSQL's headers put a function of libpg_query in the place of the one of libc. */
#undef snprintf

/* Writes the lower-case name to out[SW_NAME_MAX]; false where it had to be cut. */
static bool lower_name(const char *name, char *out)
{
	size_t i;

	for (i = 0; name[i] && i + 1 < SW_NAME_MAX; i++)
		out[i] = (char)tolower((unsigned char)name[i]);
	out[i] = '\0';
	return name[i] == '\0';
}

static void add_name(struct sw_scan *scan, const char *name)
{
	struct sw_verdict *verdict = scan->verdict;

	for (int i = 0; i < verdict->name_count; i++)
		if (strcmp(verdict->names[i], name) == 0)
			return;
	if (verdict->name_count == SW_SET_NAMES_MAX) {
		verdict->pins |= SW_PIN_SETTING;
		return;
	}
	strcpy(verdict->names[verdict->name_count++], name);
}

/*
 * A setting that changes for longer than the transaction; name as the text has it. Returns SW_V_SETS where it
 * can be followed by its name, else pins.
 */
static uint32_t change_setting(struct sw_scan *scan, const char *name)
{
	char lower[SW_NAME_MAX];

	if (!lower_name(name, lower)) {
		scan->verdict->pins |= SW_PIN_SETTING;
		return 0;
	}
	if (strcmp(lower, "role") == 0 || strcmp(lower, "session_authorization") == 0) {
		scan->verdict->pins |= SW_PIN_ROLE;
		scan->verdict->flags |= SW_V_RELEASES; /* SET ROLE NONE, or back to the user who has logged in */
		return 0;
	}
	if (strncmp(lower, "transaction_", 12) == 0)
		return 0; /* they end with the transaction, whatever the text says */
	add_name(scan, lower);
	return SW_V_SETS;
}

/*
 * The text of a constant, through casts; NULL where it is none or has none. Numbers are written to out[32].
 */
static const char *constant_text(const Node *node, char *out)
{
	const A_Const *constant;

	while (node && IsA(node, TypeCast))
		node = ((const TypeCast *)node)->arg;
	if (!node || !IsA(node, A_Const))
		return NULL;
	constant = (const A_Const *)node;
	if (constant->isnull)
		return NULL;
	switch (nodeTag(&constant->val)) {
	case T_String:
		return constant->val.sval.sval;
	case T_Float:
		return constant->val.fval.fval;
	case T_Boolean:
		return constant->val.boolval.boolval ? "true" : "false";
	case T_Integer:
		snprintf(out, 32, "%d", constant->val.ival.ival);
		return out;
	default:
		return NULL;
	}
}

static bool is_null_constant(const Node *node)
{
	while (node && IsA(node, TypeCast))
		node = ((const TypeCast *)node)->arg;
	return node && IsA(node, A_Const) && ((const A_Const *)node)->isnull;
}

/*
 * SET [LOCAL] search_path = pg_temp, …: tables made from here on may be temporary, and outlive the
 * transaction, without a word in the text that makes them (T19).
 */
static void scan_search_path(struct sw_scan *scan, const char *name, const List *values)
{
	const ListCell *cell;
	char number[32];

	if (strcasecmp(name, "search_path") != 0)
		return;
	foreach (cell, values) {
		const char *value = constant_text(lfirst(cell), number);

		if (value && sw_text_has_word(value, strlen(value), "pg_temp"))
			scan->verdict->pins |= SW_PIN_TEMP;
	}
}

/* One mode of a transaction, under the name of the setting that it is. later wins over what flags holds. */
static uint32_t apply_mode(uint32_t flags, const char *name, const char *value)
{
	enum sw_text_bool on;

	if (strcmp(name, "transaction_isolation") == 0) {
		flags &= ~(uint32_t)SW_V_SERIALIZABLE;
		if (value && strcasecmp(value, "serializable") == 0)
			flags |= SW_V_SERIALIZABLE;
	} else if (strcmp(name, "transaction_read_only") == 0) {
		/* DEFAULT may mean either: a standby refuses READ WRITE, so that is what counts. */
		on = value ? sw_text_bool(value) : SW_TEXT_FALSE;
		flags &= ~(uint32_t)(SW_V_READ_ONLY | SW_V_READ_WRITE);
		if (on != SW_TEXT_NO_BOOL)
			flags |= on == SW_TEXT_TRUE ? SW_V_READ_ONLY : SW_V_READ_WRITE;
	}
	return flags;
}

uint32_t sw_scan_transaction_modes(const List *modes)
{
	const ListCell *cell;
	uint32_t flags = 0;
	char number[32];

	foreach (cell, modes) {
		const DefElem *mode = lfirst(cell);

		flags = apply_mode(flags, mode->defname, constant_text(mode->arg, number));
	}
	return flags;
}

/* SET TRANSACTION and SET SESSION CHARACTERISTICS AS TRANSACTION. */
static uint32_t set_modes(struct sw_scan *scan, const VariableSetStmt *stmt)
{
	uint32_t flags = SW_V_NO_DATA;
	const ListCell *cell;
	char name[SW_NAME_MAX];

	if (strcmp(stmt->name, "TRANSACTION") == 0)
		return SW_V_NO_DATA | SW_V_TXN_MODE | sw_scan_transaction_modes(stmt->args);
	if (strcmp(stmt->name, "SESSION CHARACTERISTICS") != 0)
		return 0; /* SET TRANSACTION SNAPSHOT: exported by a session of the primary */
	if (stmt->is_local)
		return flags;
	foreach (cell, stmt->args) {
		snprintf(name, sizeof(name), "default_%s", ((const DefElem *)lfirst(cell))->defname);
		flags |= change_setting(scan, name);
	}
	return flags;
}

/*
 * SET seawall.x, for the proxy itself. A value that does not fit is cut to 255 bytes: longer than any that
 * means something.
 */
static uint32_t set_seawall(struct sw_scan *scan, const VariableSetStmt *stmt)
{
	struct sw_verdict *verdict = scan->verdict;
	const ListCell *cell;
	char number[32];
	size_t used = 0;

	lower_name(stmt->name, verdict->names[0]);
	verdict->name_count = 1;
	foreach (cell, stmt->args) {
		const char *value = constant_text(lfirst(cell), number);
		size_t room = sizeof(verdict->value) - used;

		if (value && room > 1)
			used += (size_t)snprintf(verdict->value + used, room, "%s%s", used ? ", " : "", value);
		if (used >= sizeof(verdict->value))
			used = sizeof(verdict->value) - 1;
	}
	return SW_V_NO_DATA | SW_V_SEAWALL | (stmt->is_local ? SW_V_LOCAL : 0);
}

static bool is_seawall(const char *name)
{
	return strncasecmp(name, SEAWALL_PREFIX, strlen(SEAWALL_PREFIX)) == 0;
}

uint32_t sw_scan_set(struct sw_scan *scan, const VariableSetStmt *stmt)
{
	bool is_reset = stmt->kind != VAR_SET_VALUE;
	char lower[SW_NAME_MAX], number[32];
	const char *value;

	if (stmt->kind == VAR_RESET_ALL)
		return SW_V_NO_DATA | SW_V_RESET_ALL;
	if (stmt->kind == VAR_SET_MULTI)
		return set_modes(scan, stmt);
	if (is_seawall(stmt->name) && scan->is_alone)
		return set_seawall(scan, stmt);
	lower_name(stmt->name, lower);
	if (strncmp(lower, "transaction_", 12) == 0) {
		value = is_reset || !stmt->args ? NULL : constant_text(linitial(stmt->args), number);
		return SW_V_NO_DATA | SW_V_TXN_MODE | apply_mode(0, lower, value);
	}
	if (strcmp(lower, "seed") == 0) {
		scan->verdict->pins |= SW_PIN_BACKEND; /* setseed() by another name; no transaction undoes it */
		return SW_V_NO_DATA;
	}
	scan_search_path(scan, lower, stmt->args);
	if (stmt->is_local)
		return SW_V_NO_DATA | SW_V_PASSING;
	if (is_reset && (strcmp(lower, "role") == 0 || strcmp(lower, "session_authorization") == 0)) {
		scan->verdict->flags |= SW_V_RELEASES; /* leaves its backend as every session finds it */
		return SW_V_NO_DATA;
	}
	return SW_V_NO_DATA | (stmt->kind == VAR_RESET || stmt->kind == VAR_SET_DEFAULT ? SW_V_RESET : 0) | change_setting(scan, stmt->name);
}

uint32_t sw_scan_show(struct sw_scan *scan, const VariableShowStmt *stmt)
{
	if (!is_seawall(stmt->name) || !scan->is_alone)
		return SW_V_NO_DATA;
	lower_name(stmt->name, scan->verdict->names[0]);
	scan->verdict->name_count = 1;
	return SW_V_NO_DATA | SW_V_SEAWALL | SW_V_SHOW;
}

void sw_scan_set_config(struct sw_scan *scan, const FuncCall *call)
{
	char name_number[32], local_number[32];
	const char *name, *local_text;
	enum sw_text_bool local;

	sw_scan_primary(scan, "set_config");
	if (list_length(call->args) != 3) {
		scan->verdict->pins |= SW_PIN_SETTING; /* VARIADIC or by name: the server decides what it is */
		return;
	}
	name = constant_text(linitial(call->args), name_number);
	local_text = constant_text(lthird(call->args), local_number);
	local = is_null_constant(lthird(call->args)) ? SW_TEXT_FALSE :
		local_text ? sw_text_bool(local_text) : SW_TEXT_NO_BOOL;
	if (name)
		scan_search_path(scan, name, call->args);
	if (name && strcasecmp(name, "seed") == 0) {
		scan->verdict->pins |= SW_PIN_BACKEND;
	} else if (local == SW_TEXT_TRUE) {
		scan->verdict->flags |= SW_V_PASSING;
	} else if (!name || local == SW_TEXT_NO_BOOL || scan->is_deferred) {
		scan->verdict->pins |= SW_PIN_SETTING;
	} else {
		scan->verdict->flags |= change_setting(scan, name);
	}
}
