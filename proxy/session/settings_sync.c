/*
 * A session's settings on whichever server connection it uses: brought there before a unit of work, read back after one
 * that may have changed them. Both are rounds of Seawall's own, outside the client's (T68). Runs on the worker's thread.
 *
 * Reading back is what makes rollback, savepoints, SET LOCAL and set_config in expressions come out right (T58, T60): the
 * server is asked what holds, instead of a guess from the text. Values travel as parameters, never as SQL text, so neither
 * quoting nor the client's encoding matters.
 */
#include <string.h>
#include <strings.h>

#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "proxy/wire/reader.h"
#include "router/verdicts.h"

static const char set_sql[] = "SELECT pg_catalog.set_config($1, $2, false)";
static const char get_sql[] = "SELECT pg_catalog.current_setting($1, true)";

/* The names of settings that RESET may be built from: anything else never got into a session's settings. */
static bool is_plain_name(const char *name)
{
	return *name && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$") == strlen(name);
}

static void add_reset(struct sw_buf *out, const char *name)
{
	char sql[2 * SW_NAME_MAX] = "RESET \"";
	size_t used = strlen(sql);

	for (const char *at = name; *at && used < sizeof(sql) - 8; at++) {
		if (*at == '.') {
			memcpy(sql + used, "\".\"", 3);
			used += 3;
		} else {
			sql[used++] = *at;
		}
	}
	sql[used++] = '"';
	sql[used] = '\0';
	sw_msg_parse(out, "", sql, NULL, 0);
	sw_msg_bind(out, "", NULL, 0);
	sw_msg_execute(out, "");
}

/* The messages that turn the settings 'have' into 'want'. One implicit transaction: all of it or nothing. */
static void build_changes(struct sw_buf *out, const struct sw_settings *have, const struct sw_settings *want)
{
	for (uint32_t i = 0; i < sw_settings_count(have); i++) {
		const char *value, *name = sw_settings_name(have, i, &value);

		if (!sw_settings_find(want, name) && is_plain_name(name))
			add_reset(out, name);
	}
	sw_msg_parse(out, "", set_sql, NULL, 0);
	for (uint32_t i = 0; i < sw_settings_count(want); i++) {
		const char *pair[2], *held;

		pair[0] = sw_settings_name(want, i, &pair[1]);
		held = sw_settings_find(have, pair[0]);
		if (held && strcmp(held, pair[1]) == 0)
			continue;
		sw_msg_bind(out, "", pair, 2);
		sw_msg_execute(out, "");
	}
	sw_msg_sync(out);
}

/*
 * The settings are there, but the server reports another value than the client was told: another default on this node. The
 * told value becomes a setting of the session. True where there was one.
 */
static bool adopt_told_values(struct sw_session *session)
{
	bool has_changed = false;

	for (uint32_t i = 0; i < sw_settings_count(session->params); i++) {
		const char *told, *name = sw_settings_name(session->params, i, &told);
		const char *reported = sw_settings_find(session->server->params, name);
		const char *set = sw_settings_find(session->vars, name);

		if (set || (reported && strcmp(reported, told) == 0)) /* what the session has set wins, if it was told or not */
			continue;
		sw_settings_change(&session->vars, name, told);
		has_changed = true;
	}
	return has_changed;
}

/* What still differs cannot be set: the client is told what holds now. */
static void tell_values(struct sw_session *session)
{
	struct sw_buf *out = &session->engine->assembly;
	struct sw_settings *reported = session->server->params;

	for (uint32_t i = 0; i < sw_settings_count(reported); i++) {
		const char *value, *name = sw_settings_name(reported, i, &value);
		const char *told = sw_settings_find(session->params, name);

		if (!told || strcmp(told, value) != 0)
			sw_msg_parameter_status(out, name, value);
	}
	sw_session_send(session, out);
	sw_settings_unref(session->params);
	session->params = sw_settings_ref(reported);
}

/* SET, RESET and DISCARD ALL must get through: how else could a client replace a value that is refused now? */
static bool replaces_settings(const struct sw_unit *unit)
{
	return unit->statements == 1 && unit->flags & (SW_V_SETS | SW_V_RESET_ALL | SW_V_DISCARD_ALL);
}

static void on_synced(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;
	bool is_welcome = session->params == NULL;

	session->state = is_welcome ? SW_SESSION_WELCOME : SW_SESSION_READY;
	server->unnamed = 0;
	if (round->has_failed) {
		struct sw_problem problem = {.severity = is_welcome ? "FATAL" : "ERROR", .message = round->message};

		memcpy(problem.sqlstate, round->sqlstate, sizeof(problem.sqlstate));
		if (is_welcome) {
			sw_session_die(session, SW_END_LOGIN, &problem);
			return;
		}
		problem.detail = "The session's settings could not be brought to the server connection.";
		if (replaces_settings(session->unit))
			session->unit->is_unsynced = server->is_unclean = true;
		else
			sw_unit_keep_problem(session->unit, &problem);
		sw_session_resume(session);
		return;
	}
	sw_settings_unref(server->vars);
	server->vars = sw_settings_ref(session->vars);
	if (is_welcome)
		sw_login_on_synced(session);
	else
		sw_session_resume(session);
}

static bool sync_vars(struct sw_session *session)
{
	struct sw_server *server = session->server;
	struct sw_buf *out = &session->engine->assembly;

	if (server->vars == session->vars)
		return true;
	build_changes(out, server->vars, session->vars);
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(server, sw_buf_data(out), sw_buf_len(out), on_synced, session);
	sw_buf_clear(out);
	return false;
}

bool sw_sync_settings(struct sw_session *session)
{
	struct sw_server *server = session->server;

	if ((server->vars == session->vars && server->params == session->params) || (session->unit && session->unit->is_unsynced))
		return true;
	if (!sync_vars(session))
		return false;
	if (!session->params || server->params == session->params)
		return true;
	if (adopt_told_values(session))
		return sync_vars(session);
	tell_values(session);
	return true;
}

/* ---- reading back */

static void take_value(struct sw_session *session, const char *name, const uint8_t *value, size_t len)
{
	char *text;

	if (!value) {
		sw_settings_change(&session->vars, name, NULL);
		return;
	}
	text = sw_mem_strndup((const char *)value, len);
	sw_settings_change(&session->vars, name, text);
	sw_mem_free(text);
}

/* RESET goes back to the startup packet's value, which a server connection of ours does not know as its default. */
static void restore_startup_values(struct sw_session *session)
{
	for (uint32_t i = 0; i < sw_settings_count(session->touched); i++) {
		const char *how, *name = sw_settings_name(session->touched, i, &how);
		const char *at_startup = sw_settings_find(session->startup_vars, name);

		if (at_startup && strcmp(how, SW_TOUCHED_BY_RESET) == 0)
			sw_settings_change(&session->vars, name, at_startup);
	}
}

static void on_restored(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;

	(void)round; /* where it has failed, so has the transaction */
	session->state = SW_SESSION_READY;
	session->txn_status = server->txn_status;
	server->unnamed = 0;
	sw_session_resume(session);
}

bool sw_sync_restore(struct sw_session *session, const struct sw_verdict *verdict)
{
	struct sw_buf *out = &session->engine->assembly;
	bool is_all = verdict->flags & SW_V_RESET_ALL;
	uint32_t count = is_all ? sw_settings_count(session->startup_vars) : verdict->name_count, restored = 0;

	for (uint32_t i = 0; i < count; i++) {
		const char *pair[2];

		pair[0] = is_all ? sw_settings_name(session->startup_vars, i, &pair[1]) : verdict->names[i];
		pair[1] = sw_settings_find(session->startup_vars, pair[0]);
		if (!pair[1])
			continue;
		if (restored++ == 0)
			sw_msg_parse(out, "", set_sql, NULL, 0);
		sw_msg_bind(out, "", pair, 2);
		sw_msg_execute(out, "");
	}
	if (restored == 0)
		return false;
	sw_msg_sync(out);
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(session->server, sw_buf_data(out), sw_buf_len(out), on_restored, session);
	sw_buf_clear(out);
	return true;
}

static void on_read_back(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;
	struct sw_reader rows = sw_reader_over(sw_buf_data(&round->rows), sw_buf_len(&round->rows));

	session->state = SW_SESSION_READY;
	server->unnamed = 0;
	for (uint32_t i = 0; i < sw_settings_count(session->touched) && !round->has_failed; i++) {
		const char *how, *name = sw_settings_name(session->touched, i, &how);
		uint32_t len = sw_read_u32(&rows);
		const uint8_t *value = len == UINT32_MAX ? NULL : sw_read_bytes(&rows, len);

		if (rows.failed || !is_plain_name(name))
			round->has_failed = true;
		else
			take_value(session, name, value, len);
	}
	if (round->has_failed || sw_settings_bytes(session->vars) > SW_SETTINGS_BYTES_MAX) {
		sw_pins_add(session, SW_PIN_SETTING);
	}
	sw_settings_unref(server->vars);
	server->vars = sw_settings_ref(session->vars);
	restore_startup_values(session);
	sw_settings_unref(session->touched);
	session->touched = NULL;
	sw_unit_release(session);
}

void sw_sync_read_back(struct sw_session *session)
{
	struct sw_buf *out = &session->engine->assembly;

	sw_msg_parse(out, "", get_sql, NULL, 0);
	for (uint32_t i = 0; i < sw_settings_count(session->touched); i++) {
		const char *unused, *name = sw_settings_name(session->touched, i, &unused);

		sw_msg_bind(out, "", &name, 1);
		sw_msg_execute(out, "");
	}
	sw_msg_sync(out);
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(session->server, sw_buf_data(out), sw_buf_len(out), on_read_back, session);
	sw_buf_clear(out);
}
