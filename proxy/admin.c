/*
 * The console's statements: parsing, what the control thread answers itself, and how tables become messages.
 * Control thread only. Invariant: whatever was asked, out holds either rows with their CommandComplete, one
 * ErrorResponse, or nothing where the statement is handed back; it never passes SW_ADMIN_ANSWER_BYTES_MAX.
 * What is not here: rows of workers (report.c), who gathers them and reloads (control.c), who may use the
 * console at all (session/login.c).
 */
#include "proxy/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lagmon/monitor.h"
#include "lagmon/view.h"
#include "proxy/base/clock.h"
#include "proxy/base/limits.h"
#include "proxy/base/lsn.h"
#include "proxy/base/mem.h"
#include "proxy/base/table.h"
#include "proxy/base/version.h"
#include "proxy/config.h"
#include "proxy/config_table.h"
#include "proxy/wire/message.h"
#include "router/classify.h"

/* The longest command is a fraction of it; a longer statement is none. */
#define STATEMENT_MAX 256

/* What an error quotes of a statement. */
#define QUOTE_MAX 80

/* Faults of a configuration that an answer repeats; the log has them all. */
#define FAULTS_BYTES_MAX 16384

/* Room for what stands behind the last row. */
#define TAIL_BYTES 1024

/* Nodes, settings and help are few. */
#define OWN_TABLE_BYTES_MAX ((size_t)1024 * 1024)

#define COLUMN_COUNT(array) ((uint32_t)(sizeof(array) / sizeof(*(array))))

static void error(
        struct sw_buf *out, const char *sqlstate, const char *message, const char *detail, const char *hint)
{
	struct sw_problem problem = {.severity = "ERROR", .message = message, .detail = detail, .hint = hint};

	snprintf(problem.sqlstate, sizeof(problem.sqlstate), "%s", sqlstate);
	sw_msg_problem(out, &problem);
}

/* ---- tables as messages */

/* One row as it is sent: numbers written out, some of them only known now. */
struct line {
	const char *values[SW_TABLE_COLUMNS_MAX];
	char digits[SW_TABLE_COLUMNS_MAX][24];
};

static void set_number(struct line *line, const struct sw_table *table, const char *column, uint64_t number)
{
	uint32_t i = sw_table_column(table, column);

	snprintf(line->digits[i], sizeof(line->digits[i]), "%" PRIu64, number);
	line->values[i] = line->digits[i];
}

static uint64_t get_number(const struct sw_table *table, const struct sw_row *row, const char *column)
{
	return row->cells[sw_table_column(table, column)].number;
}

static void finish_pools(struct line *line, const struct sw_table *table, const struct sw_row *row)
{
	uint64_t wait_us = get_number(table, row, "maxwait_us");

	set_number(line, table, "maxwait", wait_us / 1000000);
	set_number(line, table, "maxwait_us", wait_us % 1000000);
}

/* Averages over the time since the start: no shorter period is kept. */
static void finish_stats(struct line *line, const struct sw_table *table, const struct sw_row *row,
        const struct sw_admin_context *context)
{
	static const char *const a_second[][2] = {{"avg_xact_count", "total_xact_count"},
	        {"avg_query_count", "total_query_count"}, {"avg_recv", "total_received"},
	        {"avg_sent", "total_sent"}, {"avg_wait_time", "total_wait_time"}};
	int64_t run_ns = sw_clock_ns() - context->started_ns;
	double seconds = run_ns > SW_NS_PER_S ? (double)run_ns / (double)SW_NS_PER_S : 1.0;
	uint64_t queries = get_number(table, row, "total_query_count");
	uint64_t transactions = get_number(table, row, "total_xact_count");

	for (size_t i = 0; i < sizeof(a_second) / sizeof(*a_second); i++)
		set_number(line, table, a_second[i][0],
		        (uint64_t)((double)get_number(table, row, a_second[i][1]) / seconds));
	set_number(line, table, "avg_xact_time",
	        transactions ? get_number(table, row, "total_xact_time") / transactions : 0);
	set_number(line, table, "avg_query_time",
	        queries ? get_number(table, row, "total_query_time") / queries : 0);
}

static uint64_t list_items(const struct sw_table *table, const char *name)
{
	for (const struct sw_row *row = table->rows; row; row = row->next)
		if (row->cells[0].text && strcmp(row->cells[0].text, name) == 0)
			return get_number(table, row, "items");
	return 0;
}

static void finish_lists(struct line *line, const struct sw_table *table, const struct sw_row *row,
        const struct sw_admin_context *context)
{
	const char *name = row->cells[0].text;
	uint64_t clients = list_items(table, "used_clients") + list_items(table, "login_clients");

	if (strcmp(name, "databases") == 0)
		set_number(line, table, "items", context->config->database_count);
	else if (strcmp(name, "users") == 0)
		set_number(line, table, "items", context->config->user_count);
	else if (strcmp(name, "free_clients") == 0)
		set_number(line, table, "items",
		        context->config->max_client_conn > clients
		                ? context->config->max_client_conn - clients
		                : 0);
}

/* kind SW_REPORT_KINDS: a table of the control thread's own. */
static void make_line(enum sw_report_kind kind, const struct sw_table *table, const struct sw_row *row,
        const struct sw_admin_context *context, struct line *line)
{
	for (uint32_t i = 0; i < table->column_count; i++) {
		line->values[i] = row->cells[i].text;
		if (row->cells[i].has_number)
			set_number(line, table, table->columns[i].name, row->cells[i].number);
	}
	if (kind == SW_REPORT_POOLS || kind == SW_REPORT_POOLS_BY_NODE)
		finish_pools(line, table, row);
	else if (kind == SW_REPORT_STATS)
		finish_stats(line, table, row, context);
	else if (kind == SW_REPORT_LISTS)
		finish_lists(line, table, row, context);
}

static bool has_room(const struct sw_buf *out, const struct line *line, uint32_t count)
{
	size_t max = out->max < SW_ADMIN_ANSWER_BYTES_MAX ? out->max : SW_ADMIN_ANSWER_BYTES_MAX;
	size_t len = sw_buf_len(out) + SW_HEADER_BYTES + 2 + TAIL_BYTES;

	for (uint32_t i = 0; i < count; i++)
		len += 4 + (line->values[i] ? strlen(line->values[i]) : 0);
	return len <= max;
}

void sw_admin_render(enum sw_report_kind kind, const struct sw_table *table,
        const struct sw_admin_context *context, struct sw_buf *out)
{
	const char *names[SW_TABLE_COLUMNS_MAX];
	uint64_t left_out = table->dropped;
	struct line line;
	char message[96];

	for (uint32_t i = 0; i < table->column_count; i++)
		names[i] = table->columns[i].name;
	sw_msg_row_description(out, names, (int)table->column_count);
	for (const struct sw_row *row = table->rows; row; row = row->next) {
		make_line(kind, table, row, context, &line);
		if (has_room(out, &line, table->column_count))
			sw_msg_data_row(out, line.values, (int)table->column_count);
		else
			left_out++;
	}
	if (left_out > 0) {
		snprintf(message, sizeof(message), "the answer is too long: %" PRIu64 " rows are left out",
		        left_out);
		sw_msg_problem(out,
		        &(struct sw_problem){.severity = "WARNING", .sqlstate = "01000", .message = message});
	}
	sw_msg_command_complete(out, "SHOW");
}

static void render_own(struct sw_table *table, const struct sw_admin_context *context, struct sw_buf *out)
{
	sw_admin_render(SW_REPORT_KINDS, table, context, out);
	sw_table_free(table);
}

static struct sw_table *own_table(const struct sw_column *columns, uint32_t count)
{
	return sw_table_new(columns, count, OWN_TABLE_BYTES_MAX);
}

/* ---- nodes */

static const struct sw_view_node *seen_node(const struct sw_admin_context *context, uint32_t node)
{
	static const struct sw_view_node nothing = {.lag_bytes = UINT64_MAX, .lag_us = INT64_MAX};

	return node < context->view->node_count ? &context->view->node[node] : &nothing;
}

static const char *role_text(const struct sw_view_node *seen)
{
	return seen->role == SW_ROLE_PRIMARY   ? "primary"
	       : seen->role == SW_ROLE_REPLICA ? "replica"
	                                       : "unknown";
}

static void add_lsn(struct sw_table *table, const struct sw_view_node *seen)
{
	char lsn[SW_LSN_TEXT_MAX];

	sw_table_text(table, seen->sent_ns > 0 ? sw_lsn_format(seen->at.lsn, lsn) : NULL);
}

static void add_lag(struct sw_table *table, const struct sw_view_node *seen)
{
	if (seen->lag_bytes == UINT64_MAX)
		sw_table_text(table, NULL);
	else
		sw_table_number(table, seen->lag_bytes);
	if (seen->lag_us == INT64_MAX)
		sw_table_text(table, NULL);
	else
		sw_table_number(table, (uint64_t)(seen->lag_us / 1000));
}

/* May it serve reads of a database with the general lag limits? Nobody asks that of the primary. */
static void add_fit(struct sw_table *table, const struct sw_view_node *seen)
{
	bool is_fit = seen->role == SW_ROLE_REPLICA && seen->is_up && seen->is_lineage_ok &&
	              seen->sent_ns > 0 && (seen->fit_mask & 1);

	sw_table_text(table, seen->role == SW_ROLE_PRIMARY ? NULL : is_fit ? "yes" : "no");
}

static void show_nodes(const struct sw_admin_context *context, struct sw_buf *out)
{
	static const struct sw_column columns[] = {{"name", SW_COLUMN_TEXT}, {"host", SW_COLUMN_TEXT},
	        {"port", SW_COLUMN_TEXT}, {"role", SW_COLUMN_TEXT}, {"state", SW_COLUMN_TEXT},
	        {"timeline", SW_COLUMN_TEXT}, {"lsn", SW_COLUMN_TEXT}, {"lag_bytes", SW_COLUMN_TEXT},
	        {"lag_ms", SW_COLUMN_TEXT}, {"fit", SW_COLUMN_TEXT}, {"delayed", SW_COLUMN_TEXT},
	        {"weight", SW_COLUMN_TEXT}, {"samples", SW_COLUMN_TEXT}, {"since", SW_COLUMN_TEXT},
	        {"error", SW_COLUMN_TEXT}};
	struct sw_table *table = own_table(columns, COLUMN_COUNT(columns));
	int64_t now_ns = sw_clock_ns();

	for (uint32_t i = 0; i < context->config->node_count; i++) {
		const struct sw_node_config *node = &context->config->nodes[i];
		const struct sw_view_node *seen = seen_node(context, i);

		sw_table_begin(table);
		sw_table_text(table, node->name);
		sw_table_text(table, node->host);
		sw_table_number(table, node->port);
		sw_table_text(table, role_text(seen));
		sw_table_text(table, seen->is_up ? "up" : "down");
		if (seen->sent_ns > 0)
			sw_table_number(table, seen->at.timeline);
		else
			sw_table_text(table, NULL);
		add_lsn(table, seen);
		add_lag(table, seen);
		add_fit(table, seen);
		sw_table_text(table, seen->is_delayed ? "yes" : "no");
		sw_table_number(table, node->weight);
		if (context->monitor)
			sw_table_number(table, sw_monitor_node_samples(context->monitor, (int)i));
		else
			sw_table_text(table, NULL);
		if (seen->since_ns > 0)
			sw_table_number(table, (uint64_t)((now_ns - seen->since_ns) / SW_NS_PER_S));
		else
			sw_table_text(table, NULL);
		sw_table_text(
		        table, context->monitor ? sw_monitor_node_error(context->monitor, (int)i) : NULL);
		sw_table_end(table);
	}
	render_own(table, context, out);
}

static void show_lag(const struct sw_admin_context *context, struct sw_buf *out)
{
	static const struct sw_column columns[] = {{"name", SW_COLUMN_TEXT}, {"role", SW_COLUMN_TEXT},
	        {"lsn", SW_COLUMN_TEXT}, {"lag_bytes", SW_COLUMN_TEXT}, {"lag_ms", SW_COLUMN_TEXT},
	        {"limit_bytes", SW_COLUMN_TEXT}, {"limit_ms", SW_COLUMN_TEXT}, {"fit", SW_COLUMN_TEXT}};
	struct sw_table *table = own_table(columns, COLUMN_COUNT(columns));

	for (uint32_t i = 0; i < context->config->node_count; i++) {
		const struct sw_view_node *seen = seen_node(context, i);

		sw_table_begin(table);
		sw_table_text(table, context->config->nodes[i].name);
		sw_table_text(table, role_text(seen));
		add_lsn(table, seen);
		add_lag(table, seen);
		sw_table_number(table, context->config->max_lag_bytes);
		sw_table_number(table, (uint64_t)(context->config->max_lag_us / 1000));
		add_fit(table, seen);
		sw_table_end(table);
	}
	render_own(table, context, out);
}

/* ---- configuration, version, help */

/* Keys of [seawall] are PgBouncer's and stand bare; the others are told apart by their section. */
static void add_config_row(const struct sw_config_row *row, void *arg)
{
	bool is_bare = strcmp(row->section, "seawall") == 0;
	struct sw_table *table = arg;
	char key[2 * SW_NAME_MAX];

	snprintf(key, sizeof(key), "%s%s%s", is_bare ? "" : row->section, is_bare ? "" : ".", row->key);
	sw_table_begin(table);
	sw_table_text(table, key);
	sw_table_text(table, row->value);
	sw_table_text(table, row->default_text);
	sw_table_text(table, row->is_changeable ? "yes" : "no");
	sw_table_end(table);
}

static void show_config(const struct sw_admin_context *context, struct sw_buf *out)
{
	static const struct sw_column columns[] = {{"key", SW_COLUMN_TEXT}, {"value", SW_COLUMN_TEXT},
	        {"default", SW_COLUMN_TEXT}, {"changeable", SW_COLUMN_TEXT}};
	struct sw_table *table = own_table(columns, COLUMN_COUNT(columns));

	sw_config_each(context->config, add_config_row, table);
	render_own(table, context, out);
}

static void show_version(const struct sw_admin_context *context, struct sw_buf *out)
{
	static const struct sw_column columns[] = {{"version", SW_COLUMN_TEXT}};
	struct sw_table *table = own_table(columns, COLUMN_COUNT(columns));

	sw_table_begin(table);
	sw_table_text(table, "Seawall " SW_VERSION);
	sw_table_end(table);
	render_own(table, context, out);
}

static void show_help(const struct sw_admin_context *context, struct sw_buf *out);

/* Drivers ask this to see whether a connection is alive. */
static void select_one(const struct sw_admin_context *context, struct sw_buf *out)
{
	const char *name = "?column?", *value = "1";

	(void)context;
	sw_msg_row_description(out, &name, 1);
	sw_msg_data_row(out, &value, 1);
	sw_msg_command_complete(out, "SELECT 1");
}

struct command {
	const char *text, *help; /* help NULL: another name, or nothing that anybody types */
	/* NULL: the step is for the caller */
	void (*answer)(const struct sw_admin_context *context, struct sw_buf *out);
	enum sw_admin_step step;
	enum sw_report_kind report;
	bool is_for_admins;
};

#define REPORT(kind) .step = SW_ADMIN_REPORT, .report = (kind)

/* clang-format off */
static const struct command commands[] = {
	{"SHOW NODES", "the servers, their roles, positions and lag", .answer = show_nodes},
	{"SHOW LAG", "how far each server is behind the primary, and the limits", .answer = show_lag},
	{"SHOW ROUTES", "where units of work ran and why, since the start", REPORT(SW_REPORT_ROUTES)},
	{"SHOW POOLS", "clients and server connections of each database and user", REPORT(SW_REPORT_POOLS)},
	{"SHOW POOLS BY NODE", "the same, a row for each server; without clients that have no server connection",
	 REPORT(SW_REPORT_POOLS_BY_NODE)},
	{"SHOW CLIENTS", "the clients: where their last statement ran, what pins them, their floor",
	 REPORT(SW_REPORT_CLIENTS)},
	{"SHOW SERVERS", "the server connections", REPORT(SW_REPORT_SERVERS)},
	{"SHOW DATABASES", "databases of the configuration and those in use", REPORT(SW_REPORT_DATABASES)},
	{"SHOW STATS", "counters of each database since the start; averages are over all that time",
	 REPORT(SW_REPORT_STATS)},
	{"SHOW LISTS", "how many there are of what", REPORT(SW_REPORT_LISTS)},
	{"SHOW CONFIG", "the configuration; changeable means by RELOAD", .answer = show_config},
	{"SHOW VERSION", "the version of Seawall", .answer = show_version},
	{"SHOW HELP", "this list", .answer = show_help},
	{"HELP", NULL, .answer = show_help},
	{"RELOAD", "reads the configuration file again; for admin_users", .step = SW_ADMIN_RELOAD,
	 .is_for_admins = true},
	{"SELECT 1", NULL, .answer = select_one},
};
/* clang-format on */

#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static void show_help(const struct sw_admin_context *context, struct sw_buf *out)
{
	static const struct sw_column columns[] = {{"command", SW_COLUMN_TEXT}, {"meaning", SW_COLUMN_TEXT}};
	struct sw_table *table = own_table(columns, COLUMN_COUNT(columns));

	for (size_t i = 0; i <= COMMAND_COUNT; i++) {
		if (i < COMMAND_COUNT && !commands[i].help)
			continue;
		sw_table_begin(table);
		sw_table_text(table, i < COMMAND_COUNT ? commands[i].text : "EXPLAIN ROUTE statement");
		sw_table_text(table, i < COMMAND_COUNT
		                             ? commands[i].help
		                             : "where a statement may run, judged by its text alone");
		sw_table_end(table);
	}
	render_own(table, context, out);
}

/* ---- statements */

/* Past blanks and comments. */
static const char *skip_blanks(const char *at)
{
	for (;;) {
		if (*at && strchr(" \t\r\n\f\v", *at)) {
			at++;
		} else if (at[0] == '-' && at[1] == '-') {
			at += strcspn(at, "\n");
		} else if (at[0] == '/' && at[1] == '*') {
			int depth = 0;

			do {
				int step = at[0] == '/' && at[1] == '*'   ? 1
				           : at[0] == '*' && at[1] == '/' ? -1
				                                          : 0;

				depth += step;
				at += step ? 2 : 1;
			} while (*at && depth > 0);
		} else {
			return at;
		}
	}
}

/* The words with one space between them, without comments and the semicolons at the end; cut where it is too
 * long. */
static void normalise(const char *sql, char out[STATEMENT_MAX])
{
	const char *at = skip_blanks(sql);
	size_t len = 0;

	while (*at && len < STATEMENT_MAX - 1) {
		const char *next = skip_blanks(at);

		out[len++] = next > at ? ' ' : *at;
		at = next > at ? next : at + 1;
	}
	while (!*at && len > 0 && (out[len - 1] == ' ' || out[len - 1] == ';'))
		len--;
	out[len] = '\0';
}

static bool begins_with(const char *text, const char *words)
{
	return strncasecmp(text, words, strlen(words)) == 0;
}

/* Where a statement of an application may run. The catalog is a database's: without one, functions of users
 * may write. */
static void explain_route(const char *sql, const struct sw_admin_context *context, struct sw_buf *out)
{
	static const struct sw_column columns[] = {{"route", SW_COLUMN_TEXT}, {"why", SW_COLUMN_TEXT}};
	struct sw_classify_env env = {.primary_functions = context->config->primary_functions,
	        .replica_functions = context->config->replica_functions,
	        .standard_conforming_strings = true};
	size_t len = strlen(sql);
	struct sw_verdict *verdict;
	struct sw_table *table;

	if (len > SW_STATEMENT_BYTES_MAX) {
		error(out, "54000", "the statement is too long", NULL, NULL);
		return;
	}
	verdict = SW_NEW(struct sw_verdict);
	sw_classify(sql, len, &env, verdict);
	table = own_table(columns, COLUMN_COUNT(columns));
	sw_table_begin(table);
	sw_table_text(table, verdict->flags & SW_V_SEAWALL ? "seawall"
	                     : verdict->flags & SW_V_READ  ? "replica"
	                                                   : "primary");
	sw_table_text(table, verdict->reason);
	sw_table_end(table);
	sw_mem_free(verdict);
	render_own(table, context, out);
}

/* Clients set things by themselves when they connect. What would look like a change of the configuration is
 * refused. */
static void answer_set(const char *statement, struct sw_buf *out)
{
	char name[SW_NAME_MAX];
	const char *at = statement + strlen("SET ");
	size_t len = strcspn(at, " =");

	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1), at);
	for (char *c = name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (sw_config_key_find("seawall", name))
		error(out, "0A000", "the configuration cannot be changed by SET", NULL,
		        "Change the file, then RELOAD.");
	else
		sw_msg_command_complete(out, "SET");
}

static void refuse_unknown(const char *statement, struct sw_buf *out)
{
	size_t len = strnlen(statement, QUOTE_MAX);
	char message[QUOTE_MAX + 64];

	if (statement[len])
		while (len > 0 && ((uint8_t)statement[len] & 0xc0) == 0x80)
			len--;
	snprintf(message, sizeof(message), "unknown console command \"%.*s%s\"", (int)len, statement,
	        statement[len] ? "..." : "");
	error(out, "42601", message, NULL, "SHOW HELP lists the commands.");
}

/* The text behind the two words that normalise has found, with whatever blanks and comments lie between. */
static const char *behind_words(const char *sql, const char *first, const char *second)
{
	const char *at = skip_blanks(skip_blanks(sql) + strlen(first));

	return at + strlen(second);
}

enum sw_admin_step sw_admin_parse(const char *sql, bool is_admin, const struct sw_admin_context *context,
        struct sw_buf *out, enum sw_report_kind *ret_report)
{
	char statement[STATEMENT_MAX], message[64];

	normalise(sql, statement);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct command *command = &commands[i];

		if (strcasecmp(statement, command->text) != 0)
			continue;
		if (command->is_for_admins && !is_admin) {
			snprintf(message, sizeof(message), "%s is for admin_users", command->text);
			error(out, "42501", message, NULL, "List the user in admin_users.");
			return SW_ADMIN_ANSWERED;
		}
		if (command->step == SW_ADMIN_REPORT)
			*ret_report = command->report;
		if (command->answer)
			command->answer(context, out);
		return command->step;
	}
	if (statement[0] == '\0')
		sw_msg_end(out, sw_msg_begin(out, 'I'));
	else if (begins_with(statement, "SET "))
		answer_set(statement, out);
	else if (begins_with(statement, "EXPLAIN ROUTE "))
		explain_route(behind_words(sql, "EXPLAIN", "ROUTE"), context, out);
	else
		refuse_unknown(statement, out);
	return SW_ADMIN_ANSWERED;
}

/* ---- reload */

void sw_admin_reload_answer(bool ok, const char *faults, struct sw_buf *out)
{
	size_t len = faults ? strnlen(faults, FAULTS_BYTES_MAX) : 0;
	char *lines;

	while (len > 0 && faults[len - 1] == '\n')
		len--;
	lines = len > 0 ? sw_mem_strndup(faults, len) : NULL;
	if (ok && lines)
		sw_msg_problem(
		        out, &(struct sw_problem){.severity = "WARNING",
		                     .sqlstate = "01000",
		                     .message = "the configuration was reloaded, but not all of it holds",
		                     .detail = lines});
	if (ok)
		sw_msg_command_complete(out, "RELOAD");
	else
		error(out, "F0000", "the configuration was not reloaded, the old one holds", lines,
		        "Correct the file and RELOAD again.");
	sw_mem_free(lines);
}
