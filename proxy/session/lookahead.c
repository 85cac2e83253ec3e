/*
 * Looking ahead: a batch is looked at up to its Sync before its first byte is sent, so that all of it runs on one node that
 * can do all of it (T67). Runs on the worker's thread.
 * What is not here: the sending (extended.c), what Bind may rely on (shapes.c).
 */
#include <string.h>

#include "proxy/session/batch.h"
#include "router/verdicts.h"

/* A name that Seawall has not seen prepared. */
static struct sw_statement unknown_statement = {
	.verdict = {.statements = 1, .reason = "unknown prepared statement"},
};

/* Parses of one batch that are followed by name. */
#define SCAN_NAMES_MAX 64

struct scan {
	struct sw_lookahead *seen;
	char last;                    /* type of the message before */
	const char *portal;           /* that the last Bind has made; NULL = none */
	struct {
		const char *name;
		struct sw_statement *statement;
	} parsed[SCAN_NAMES_MAX];     /* by Parse in this batch */
	uint32_t parsed_count;
};

/* What a client's name means at this point of the batch. */
static struct sw_statement *statement_named(struct sw_session *session, const struct scan *scan, const char *name)
{
	struct sw_plan *plan;

	for (uint32_t i = scan->parsed_count; i-- > 0;)
		if (strcmp(scan->parsed[i].name, name) == 0)
			return scan->parsed[i].statement;
	plan = *name ? sw_plan_names_find(&session->plans, name) : session->unnamed;
	/* The verdict may be older than the catalog: ask for it again. */
	return plan ? sw_session_statement(session, plan->statement->text, plan->statement->len) : &unknown_statement;
}

bool sw_lookahead_is_lone_deallocate(const struct sw_statement *statement)
{
	return statement->verdict.flags & SW_V_DEALLOCATE && !(statement->verdict.flags & SW_V_MULTI);
}

static void scan_statement(struct sw_session *session, struct scan *scan, struct sw_statement *statement)
{
	bool is_ours = !(session->pins & (SW_PIN_PREPARE | SW_PIN_UNSEEN)) && sw_lookahead_is_lone_deallocate(statement);

	scan->seen->statement_count++;
	scan->seen->local_count += sw_local_is(session, statement);
	scan->seen->has_unknown_token |= !sw_token_is_known(session, statement);
	scan->seen->setting_count += (statement->verdict.flags & SW_V_SEAWALL) != 0;
	if (is_ours)
		session->unit->is_final = true; /* answered here, wherever the others run */
	else
		sw_unit_add(session, session->unit, statement);
}

static void scan_parse(struct sw_session *session, struct scan *scan, const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);
	const char *name = sw_read_text(&body), *text = sw_read_text(&body);
	struct sw_statement *statement;

	if (body.failed) {
		scan->seen->is_broken = true;
		return;
	}
	scan->seen->has_named |= *name != '\0';
	statement = sw_session_statement(session, text, strlen(text));
	scan_statement(session, scan, statement);
	if (scan->parsed_count == SCAN_NAMES_MAX) {
		session->unit->is_read = false; /* too many to follow: the primary can do all of them */
		return;
	}
	/* Kept alive over later look-ups; given back by free_scan. */
	sw_statement_ref(statement);
	scan->parsed[scan->parsed_count].name = name;
	scan->parsed[scan->parsed_count++].statement = statement;
}

static void scan_portal(struct scan *scan, const char *portal)
{
	scan->seen->has_other_portal |= !scan->portal || strcmp(scan->portal, portal) != 0;
}

static void scan_message(struct sw_session *session, struct scan *scan, const struct sw_batch_message *message)
{
	struct sw_reader body = sw_batch_body(message);
	const char *name;

	switch (message->type) {
	case 'P':
		scan_parse(session, scan, message);
		break;
	case 'B':
		scan->portal = sw_read_text(&body);
		name = sw_read_text(&body);
		scan->seen->has_named |= *name != '\0';
		scan->seen->is_prepare_only = false;
		scan->seen->blind_count++;
		scan_statement(session, scan, statement_named(session, scan, name));
		break;
	case 'D':
		if (sw_read_u8(&body) == 'S') {
			name = sw_read_text(&body);
			scan->seen->has_named |= *name != '\0';
			scan_statement(session, scan, statement_named(session, scan, name));
			break;
		}
		scan_portal(scan, sw_read_text(&body));
		scan->seen->blind_count -= scan->last == 'B';
		break;
	case 'E':
		scan_portal(scan, sw_read_text(&body));
		scan->seen->is_prepare_only = false;
		break;
	case 'C':
		if (sw_read_u8(&body) == 'P')
			scan_portal(scan, sw_read_text(&body));
		break;
	case 'S':
		scan->seen->has_sync = true;
		break;
	case 'H':
		scan->seen->has_flush = true;
		break;
	default:
		break;
	}
	scan->last = message->type;
	scan->seen->is_broken |= body.failed;
}

static void free_scan(struct scan *scan)
{
	while (scan->parsed_count > 0)
		sw_statement_unref(scan->parsed[--scan->parsed_count].statement);
}

void sw_lookahead(struct sw_session *session, const uint8_t *bytes, size_t len, struct sw_lookahead *ret_seen)
{
	struct scan scan = {.seen = ret_seen};
	struct sw_batch_message message;

	*ret_seen = (struct sw_lookahead){.is_prepare_only = true};
	while (!ret_seen->has_sync && !ret_seen->has_flush &&
		sw_batch_next(bytes + ret_seen->bytes, len - ret_seen->bytes, &message)) {
		if (message.len < message.total || !sw_batch_has(message.type))
			break;
		scan_message(session, &scan, &message);
		ret_seen->bytes += message.total;
	}
	free_scan(&scan);
}

bool sw_lookahead_is_whole(const uint8_t *bytes, size_t len)
{
	struct sw_batch_message message;

	for (size_t at = 0; sw_batch_next(bytes + at, len - at, &message); at += message.total) {
		if (sw_batch_is_too_long(&message))
			return true; /* it will be refused when it comes first in line */
		if (message.len < message.total)
			return false;
		if (message.type == 'S' || message.type == 'H' || !sw_batch_has(message.type))
			return true;
	}
	return false;
}

void sw_lookahead_late(struct sw_session *session, const struct sw_batch_message *message)
{
	struct sw_lookahead seen = {.bytes = 0};
	struct scan scan = {.seen = &seen};

	/* Of a Bind the names suffice, and they are there. */
	if (message->type == 'P' && message->len < message->total)
		sw_unit_add(session, session->unit, &sw_unseen_statement);
	else
		scan_message(session, &scan, message);
	free_scan(&scan);
}
