/*
 * Pins: why a session keeps its server connection, and their end. When a statement may have taken away what pins a session,
 * the server is asked what is still there, in a round of Seawall's own: the text alone cannot tell (T66, T73, T74, T89).
 * Runs on the worker's thread.
 * What is not here: which statements pin (router/classify.h), what a pinned session may do (route.c).
 */
#include <string.h>

#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "proxy/wire/reader.h"

/* What a server can be asked for, in the order of the letters of its answer. */
static const uint32_t asked[] = {SW_PIN_TEMP, SW_PIN_PREPARE, SW_PIN_LISTEN, SW_PIN_LOCK, SW_PIN_CURSOR, SW_PIN_ROLE};
#define ASKED_COUNT (sizeof(asked) / sizeof(*asked))
#define ASKED                                                                                                              \
	((uint32_t)SW_PIN_TEMP | SW_PIN_PREPARE | SW_PIN_LISTEN | SW_PIN_LOCK | SW_PIN_CURSOR | SW_PIN_ROLE)

/* Letters t and f; a NULL, where there is no temporary schema, is none. $1: the user who has logged in. */
static const char asked_sql[] =
	"SELECT pg_catalog.concat("
	"EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass "
	"AND refobjid = pg_catalog.pg_my_temp_schema()), "
	"EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql), "
	"EXISTS (SELECT FROM pg_catalog.pg_listening_channels()), "
	"EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()), "
	"EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable), "
	"pg_catalog.current_setting('role') <> 'none' OR session_user <> $1)";

void sw_pins_add(struct sw_session *session, uint32_t pins)
{
	if ((pins & ~session->pins) == 0)
		return;
	for (uint32_t kind = 0; kind < SW_PIN_KINDS; kind++)
		session->database->stats.pins[kind] += (pins & ~session->pins) >> kind & 1;
	session->pins |= pins;
}

bool sw_pins_may_be_gone(const struct sw_session *session)
{
	return session->may_release && session->pins != 0 && (session->pins & ~ASKED) == 0;
}

static void on_answer(struct sw_server *server, struct sw_round *round, void *arg)
{
	struct sw_session *session = arg;
	struct sw_reader rows = sw_reader_over(sw_buf_data(&round->rows), sw_buf_len(&round->rows));
	uint32_t len = sw_read_u32(&rows);
	const uint8_t *letters = sw_read_bytes(&rows, len);
	uint32_t found = 0;

	server->unnamed_of = 0;
	for (size_t i = 0; letters && i < ASKED_COUNT && i < len; i++)
		found |= letters[i] == 't' ? asked[i] : 0;
	if (!round->has_failed && letters && len == ASKED_COUNT)
		session->pins = found;
	sw_unit_release(session);
}

void sw_pins_ask(struct sw_session *session)
{
	struct sw_buf *out = &session->engine->assembly;
	const char *user = session->user;

	session->may_release = false;
	sw_msg_parse(out, "", asked_sql, NULL, 0);
	sw_msg_bind(out, "", &user, 1);
	sw_msg_execute(out, "");
	sw_msg_sync(out);
	session->state = SW_SESSION_ROUND;
	sw_server_start_round(session->server, sw_buf_data(out), sw_buf_len(out), on_answer, session);
	sw_buf_clear(out);
}
