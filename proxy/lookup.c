/*
 * auth_query. The control thread asks, so that a worker never waits for a node; workers ask and are told by mail.
 *
 * A question has query_timeout from its turn on. A connection that fails or breaks is made again, to whichever node the
 * view names by then, until that time is over; then all who wait are told, for there is nobody to ask. What the node
 * answers, errors included, ends one question. Answers go into the cache (auth/secrets.h), errors do not.
 *
 * Security: the statement is the operator's, the user's name a parameter; search_path is pg_catalog, whatever the role
 * or the database is set to. No secret is ever in a message: an error of the node may quote data, so its text is shown
 * only where its class cannot.
 * Invariant: a question is in flight in state ASKING, and there only; with nobody waiting no attempt is under way.
 * Not here: who waits (auth/asks.c), what libpq does (lagmon/link.c).
 */
#include "proxy/lookup.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lagmon/link.h"
#include "lagmon/view.h"
#include "proxy/auth/asks.h"
#include "proxy/auth/auth.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/setup.h"

/* Between two attempts to connect for one question: doubled each time, up to the second. */
#define RETRY_FIRST_NS (20 * SW_NS_PER_MS)
#define RETRY_LAST_NS  SW_NS_PER_S
/* An idle connection is kept this long: logins come in bursts. */
#define LINGER_NS (10 * SW_NS_PER_S)

/* PAUSED: not connected, and the timer will try again. */
enum lookup_state { IDLE, PAUSED, CONNECTING, CONNECTED, ASKING };

struct sw_lookup {
	struct sw_link *link;
	const struct sw_view *view;
	struct sw_secrets *secrets;
	struct sw_setup *setup;
	struct sw_asks *asks;
	struct sw_lookup_hooks hooks;
	enum lookup_state state;
	int32_t node;        /* of the connection */
	bool has_turn;       /* deadline_ns is of the question at hand */
	bool has_answered;   /* a result came, good or bad */
	bool has_failed;     /* it was bad: error says why */
	bool is_known;       /* it was good, and there is such a user: secret */
	int64_t deadline_ns, retry_ns, sent_ns;
	char *secret;
	char error[512];
	void (*on_closed)(void *arg);
	void *closed_arg;
};

static void forget_result(struct sw_lookup *lookup)
{
	if (lookup->secret)
		sw_mem_wipe(lookup->secret, strlen(lookup->secret));
	sw_mem_free(lookup->secret);
	lookup->secret = NULL;
	lookup->has_answered = lookup->has_failed = lookup->is_known = false;
}

/* ---- answers */

/* Tells all who wait for the first user. known NULL: he could not be looked up. */
static void answer(struct sw_lookup *lookup, const struct sw_known *known)
{
	struct sw_secret_ask ask;

	for (uint32_t left = sw_asks_of_first(lookup->asks); left > 0; left--) {
		sw_asks_take(lookup->asks, &ask);
		lookup->hooks.on_answer(&ask, known, lookup->hooks.arg);
	}
	lookup->has_turn = false;
}

static void answer_all(struct sw_lookup *lookup, const struct sw_known *known)
{
	while (sw_asks_first(lookup->asks))
		answer(lookup, known);
}

static void log_failure(const struct sw_lookup *lookup)
{
	sw_log(SW_LOG_WARNING, "cannot look up user \"%s\" by auth_query: %s", sw_asks_first(lookup->asks), lookup->error);
}

static void succeed(struct sw_lookup *lookup)
{
	struct sw_known known;

	sw_secrets_keep(lookup->secrets, sw_asks_first(lookup->asks), lookup->is_known ? lookup->secret : NULL,
		lookup->sent_ns, &known);
	answer(lookup, &known);
	sw_known_fini(&known);
}

/* ---- one attempt after another */

/* The primary, or, while there is none, a replica: one that follows it, if there is any. -1: nobody can be asked. */
static int32_t choose_node(const struct sw_view *view)
{
	int32_t found = -1;

	if (view->primary >= 0)
		return view->primary;
	for (uint32_t i = 0; i < view->node_count; i++) {
		const struct sw_view_node *node = &view->node[i];

		if (node->is_up && node->role == SW_ROLE_REPLICA &&
			(found < 0 || (node->is_lineage_ok && !view->node[found].is_lineage_ok)))
			found = (int32_t)i;
	}
	return found;
}

static void next(struct sw_lookup *lookup);

/* No connection, or none any more: once more in a while, as long as there is time. */
static void try_later(struct sw_lookup *lookup)
{
	int64_t when_ns = sw_clock_ns() + lookup->retry_ns;

	sw_link_drop(lookup->link);
	forget_result(lookup);
	if (lookup->state == ASKING)
		sw_asks_lost(lookup->asks);
	lookup->state = PAUSED;
	lookup->retry_ns = 2 * lookup->retry_ns < RETRY_LAST_NS ? 2 * lookup->retry_ns : RETRY_LAST_NS;
	sw_link_wake_at(lookup->link, when_ns < lookup->deadline_ns ? when_ns : lookup->deadline_ns);
}

static void try_later_for(struct sw_lookup *lookup, const char *why)
{
	snprintf(lookup->error, sizeof(lookup->error), "node \"%s\": %.400s",
		lookup->setup->config->nodes[lookup->node].name, why);
	try_later(lookup);
}

static void send_question(struct sw_lookup *lookup)
{
	const char *sql = lookup->setup->config->auth_query;

	forget_result(lookup);
	lookup->state = ASKING;
	lookup->sent_ns = sw_clock_ns();
	sw_asks_sent(lookup->asks, lookup->sent_ns);
	sw_link_wake_at(lookup->link, lookup->deadline_ns);
	if (sw_link_query_with(lookup->link, sql, sw_asks_first(lookup->asks)) != SW_OK)
		try_later_for(lookup, sw_link_error(lookup->link));
}

static void connect_to(struct sw_lookup *lookup, int32_t node)
{
	const struct sw_config *config = lookup->setup->config;
	const char *password = sw_auth_users_find(lookup->setup->users, config->auth_user);
	const struct sw_link_target target = {
		.host = config->nodes[node].host,
		.port = config->nodes[node].port,
		.user = config->auth_user,
		.password = password ? password : "",
		.dbname = config->auth_dbname[0] ? config->auth_dbname : config->monitor_dbname,
		.tls = &config->server_tls,
		.name = "seawall auth_query",
		/* The node gives up, too: a function that hangs leaves no pile of backends. */
		.statement_timeout_ms = (uint32_t)(config->monitor_query_timeout_us / 1000),
	};

	lookup->node = node;
	lookup->state = CONNECTING;
	sw_link_wake_at(lookup->link, lookup->deadline_ns);
	if (sw_link_connect(lookup->link, &target) != SW_OK)
		try_later_for(lookup, sw_link_error(lookup->link));
}

static void rest(struct sw_lookup *lookup)
{
	if (lookup->state != CONNECTED) {
		lookup->state = IDLE;
		sw_link_wake_never(lookup->link);
		return;
	}
	sw_link_wake_at(lookup->link, sw_clock_ns() + LINGER_NS);
}

/* The first user's turn, or his next attempt; called with no attempt under way. */
static void next(struct sw_lookup *lookup)
{
	int32_t node = choose_node(lookup->view);

	if (!lookup->setup->config->auth_query[0])
		answer_all(lookup, &(struct sw_known){.asked_ns = sw_clock_ns()});
	if (!sw_asks_first(lookup->asks)) {
		rest(lookup);
		return;
	}
	if (!lookup->has_turn) {
		lookup->has_turn = true;
		lookup->retry_ns = RETRY_FIRST_NS;
		lookup->deadline_ns = sw_clock_ns() + lookup->setup->config->monitor_query_timeout_us * SW_NS_PER_US;
	}
	if (lookup->state == CONNECTED && lookup->node == node) {
		send_question(lookup);
		return;
	}
	sw_link_drop(lookup->link);
	if (node < 0) {
		snprintf(lookup->error, sizeof(lookup->error), "no node of the cluster can be reached");
		try_later(lookup);
		return;
	}
	connect_to(lookup, node);
}

/* ---- what the node answers */

/* Errors of these classes quote names, places in the statement and settings, never data. */
static bool may_show(const char *sqlstate)
{
	static const char *const classes[] = {
		"08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"};

	for (size_t i = 0; sqlstate && i < sizeof(classes) / sizeof(*classes); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

static void fail(struct sw_lookup *lookup, const char *why)
{
	lookup->has_failed = true;
	snprintf(lookup->error, sizeof(lookup->error), "%.400s", why);
}

static void take_error(struct sw_lookup *lookup, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	char why[400], line[300];

	sw_link_first_line(line, sizeof(line), message && may_show(sqlstate) ? message :
		"its text may hold a secret and stands in the node's log");
	snprintf(why, sizeof(why), "error %s of node \"%s\": %s", sqlstate ? sqlstate : "without a code",
		lookup->setup->config->nodes[lookup->node].name, line);
	fail(lookup, why);
}

static void take_row(struct sw_lookup *lookup, const PGresult *result)
{
	const char *secret = PQgetvalue(result, 0, 1);
	const char *why = sw_secrets_complaint(secret);

	if (PQgetisnull(result, 0, 0) || strcmp(PQgetvalue(result, 0, 0), sw_asks_first(lookup->asks)) != 0) {
		fail(lookup, "the name that it returns is not the user's");
		return;
	}
	if (why) {
		fail(lookup, why);
		return;
	}
	lookup->secret = sw_mem_strdup(secret); /* "" for NULL: a user without a password */
	lookup->is_known = true;
}

static void on_result(const PGresult *result, void *arg)
{
	struct sw_lookup *lookup = arg;

	lookup->has_answered = true;
	if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		take_error(lookup, result);
	else if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail(lookup, "it returns no rows: write a SELECT");
	else if (PQnfields(result) != 2)
		fail(lookup, "it returns another number of columns than two, the user's name and his secret");
	else if (PQntuples(result) > 1)
		fail(lookup, "it returns more than one row");
	else if (PQntuples(result) == 1)
		take_row(lookup, result);
}

static void on_ready(void *arg)
{
	struct sw_lookup *lookup = arg;

	lookup->state = CONNECTED;
	next(lookup);
}

static void on_done(void *arg)
{
	struct sw_lookup *lookup = arg;

	lookup->state = CONNECTED;
	if (!lookup->has_answered)
		fail(lookup, "the node gave no answer");
	if (lookup->has_failed) {
		log_failure(lookup);
		answer(lookup, NULL);
	} else {
		succeed(lookup);
	}
	forget_result(lookup);
	next(lookup);
}

static void on_broken(void *arg)
{
	struct sw_lookup *lookup = arg;

	if (lookup->state == CONNECTED) {
		lookup->state = IDLE; /* nobody waits: the next question makes a new one */
		sw_link_wake_never(lookup->link);
		return;
	}
	try_later_for(lookup, sw_link_error(lookup->link));
}

/* The time of the question at hand is over. */
static void give_up(struct sw_lookup *lookup)
{
	bool was_asked = lookup->state == ASKING;

	sw_link_drop(lookup->link);
	forget_result(lookup);
	if (was_asked || lookup->state == CONNECTING)
		snprintf(lookup->error, sizeof(lookup->error), "node \"%s\": %s within query_timeout",
			lookup->setup->config->nodes[lookup->node].name, was_asked ? "no answer" : "no connection");
	lookup->state = IDLE;
	log_failure(lookup);
	if (was_asked)
		answer(lookup, NULL);
	else
		answer_all(lookup, NULL);
	next(lookup);
}

static void on_timer(void *arg)
{
	struct sw_lookup *lookup = arg;

	if (lookup->state == IDLE || lookup->state == CONNECTED) {
		if (sw_asks_first(lookup->asks)) {
			next(lookup);
			return;
		}
		sw_link_drop(lookup->link);
		lookup->state = IDLE;
	} else if (sw_clock_ns() >= lookup->deadline_ns) {
		give_up(lookup);
	} else if (lookup->state == PAUSED) {
		next(lookup);
	}
}

static const struct sw_link_hooks link_hooks = {
	.on_ready = on_ready,
	.on_result = on_result,
	.on_done = on_done,
	.on_broken = on_broken,
	.on_timer = on_timer,
};

/* ---- from the control thread */

enum sw_err sw_lookup_ask(struct sw_lookup *lookup, const struct sw_secret_ask *ask)
{
	enum sw_err err = sw_asks_add(lookup->asks, ask);

	/* From the loop: nobody is answered inside of this call. */
	if (err == SW_OK && (lookup->state == IDLE || lookup->state == CONNECTED))
		sw_link_wake_at(lookup->link, sw_clock_ns());
	return err;
}

void sw_lookup_set_setup(struct sw_lookup *lookup, struct sw_setup *setup)
{
	sw_setup_unref(lookup->setup);
	lookup->setup = sw_setup_ref(setup);
	sw_secrets_expire(lookup->secrets);
	/* Another role, another statement perhaps: nothing that was begun is of use. */
	sw_link_drop(lookup->link);
	forget_result(lookup);
	if (lookup->state == ASKING)
		sw_asks_lost(lookup->asks);
	lookup->state = IDLE;
	lookup->has_turn = false;
	sw_link_wake_at(lookup->link, sw_clock_ns());
}

struct sw_lookup *sw_lookup_new(uv_loop_t *loop, const struct sw_view *view, struct sw_secrets *secrets,
	struct sw_setup *setup, const struct sw_lookup_hooks *hooks)
{
	struct sw_lookup *lookup = SW_NEW(struct sw_lookup);

	lookup->view = view;
	lookup->secrets = secrets;
	lookup->setup = sw_setup_ref(setup);
	lookup->hooks = *hooks;
	lookup->asks = sw_asks_new();
	lookup->link = sw_link_new(loop, &link_hooks, lookup);
	lookup->node = -1;
	return lookup;
}

static void on_link_closed(void *arg)
{
	struct sw_lookup *lookup = arg;
	void (*on_closed)(void *) = lookup->on_closed;
	void *closed_arg = lookup->closed_arg;

	sw_setup_unref(lookup->setup);
	sw_mem_free(lookup);
	on_closed(closed_arg);
}

void sw_lookup_close(struct sw_lookup *lookup, void (*on_closed)(void *arg), void *arg)
{
	lookup->on_closed = on_closed;
	lookup->closed_arg = arg;
	forget_result(lookup);
	sw_asks_free(lookup->asks);
	lookup->asks = NULL;
	sw_link_close(lookup->link, on_link_closed, lookup);
}
