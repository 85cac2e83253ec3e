/*
 * The catalog reader. Control thread only.
 *
 * A reading starts when its database is dirty (new, or DDL went through, or the primary is another one), when code has run
 * that may have made DDL, or when catalog_refresh has passed, and not sooner than SPACING_NS after the one before: a migration
 * of a thousand statements is a handful of readings. What is read is one snapshot, replaced as a whole. DDL that
 * comes during a reading may or may not be in it, so it makes the database dirty again.
 *
 * Invariant: an entry with a reading under way has a draft; the draft is given away whole or thrown away.
 *
 * Not here: what the names mean for routing (router/classify.c).
 */
#include "lagmon/catalog_load.h"

#include <stdio.h>
#include <string.h>

#include "lagmon/link.h"
#include "lagmon/view.h"
#include "proxy/base/clock.h"
#include "proxy/base/list.h"
#include "proxy/base/log.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "router/catalog.h"

#define SPACING_NS (50 * SW_NS_PER_MS)
/* Where volatile functions are called, which may have changed the catalog, it is read this often at most. */
#define PERHAPS_NS SW_NS_PER_S
/* A reading takes milliseconds; one that hangs holds nothing but its own connection. */
#define READING_NS (10 * SW_NS_PER_S)
/* An idle connection is kept this long, as DDL comes in bursts. */
#define LINGER_NS        (10 * SW_NS_PER_S)
#define BACKOFF_FIRST_NS (100 * SW_NS_PER_MS)
#define BACKOFF_LAST_NS  (30 * SW_NS_PER_S)
/* Databases of one cluster; each may hold a connection to the primary. Those beyond are classified carefully.
 */
#define DATABASES_MAX 256

/* With found(oid): also the views over what is there, and their names. */
#define AND_VIEWS                                                                                                      \
	" UNION SELECT v.oid FROM found JOIN pg_catalog.pg_depend d ON d.refobjid = found.oid"                         \
	" AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass"                                               \
	" AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass"                                                \
	" JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid"                                                             \
	" JOIN pg_catalog.pg_class v ON v.oid = w.ev_class AND v.relkind = 'v')"                                       \
	" SELECT DISTINCT relname FROM found JOIN pg_catalog.pg_class USING (oid)"

/*
 * Three statements, one round trip: the worst volatility of all functions of a name (T5), the relations whose content a
 * replica does not have (T20), and those with a rule that sets (T59). router/catalog.h says why these rows and no others.
 * Names are qualified, as the monitor's role may have a search_path.
 */
static const char catalog_sql[] =
        "SELECT proname, pg_catalog.bool_or(provolatile = 'v') FROM pg_catalog.pg_proc"
        " WHERE provolatile <> 'v' OR pronamespace <> 'pg_catalog'::pg_catalog.regnamespace GROUP BY proname;"
        "WITH RECURSIVE found(oid) AS (SELECT oid FROM pg_catalog.pg_class"
        " WHERE relkind IN ('f', 'S') OR relpersistence = 'u' AND relkind IN ('r', 'p', 'm')"
        AND_VIEWS ";"
        "WITH RECURSIVE found(oid) AS (SELECT ev_class FROM pg_catalog.pg_rewrite WHERE ev_type <> '1'"
        " AND ev_action::pg_catalog.text LIKE '%:funcid ' ||"
        " 'pg_catalog.set_config(text, text, boolean)'::pg_catalog.regprocedure::pg_catalog.oid || ' %'"
        AND_VIEWS;

#define RESULTS 3

enum entry_state { ENTRY_IDLE, ENTRY_CONNECTING, ENTRY_CONNECTED, ENTRY_READING };

struct entry {
	struct sw_list link_all; /* loader->entries */
	struct sw_catalog_loader *loader;
	struct sw_link *link;
	enum entry_state state;
	bool is_dirty, is_failing;
	int64_t start_ns;  /* of the newest reading or attempt at one */
	int64_t loaded_ns; /* 0 = never */
	int64_t wait_ns;   /* after a failure; 0 = the last one went well */
	int64_t deadline_ns;
	struct sw_catalog *draft;
	struct sw_catalog *last; /* NULL = none yet */
	uint32_t slot;           /* of the database on the board */
	uint32_t results; /* of the reading under way, good ones */
	char database[SW_NAME_MAX], error[256];
};

struct sw_catalog_loader {
	uv_loop_t *loop;
	const struct sw_board *board;
	const struct sw_config *config;
	void (*on_catalog)(struct sw_catalog *catalog, void *arg);
	void *arg;
	struct sw_list entries;
	uint32_t count;
	bool has_primary, is_full_told, is_closing;
	struct sw_node_config primary;
	uv_idle_t gate; /* so that closing is asynchronous where there is no entry */
	uint32_t open;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

/* When the next reading is due; INT64_MAX = not before somebody asks for it. */
static int64_t due_ns(const struct entry *entry)
{
	int64_t refresh_ns = entry->loader->config->catalog_refresh_us * SW_NS_PER_US;

	if (!entry->loader->has_primary)
		return INT64_MAX;
	if (entry->wait_ns != 0)
		return entry->start_ns + entry->wait_ns;
	if (entry->is_dirty)
		return entry->start_ns + SPACING_NS;
	if (sw_board_ddl_ns(entry->loader->board, SW_DDL_PERHAPS, entry->slot) > entry->start_ns)
		return entry->start_ns + PERHAPS_NS;
	return refresh_ns > 0 ? entry->loaded_ns + refresh_ns : INT64_MAX;
}

static void discard_draft(struct entry *entry)
{
	if (entry->draft)
		sw_catalog_unref(entry->draft);
	entry->draft = NULL;
}

static void read_now(struct entry *entry);

/* Between readings: wait for the next one, or for the end of the connection's idleness. */
static void schedule(struct entry *entry)
{
	int64_t now_ns = sw_clock_ns(), next_ns = due_ns(entry);

	if (next_ns <= now_ns) {
		read_now(entry);
		return;
	}
	if (entry->state == ENTRY_CONNECTED) {
		if (entry->loaded_ns + LINGER_NS <= now_ns) {
			sw_link_drop(entry->link);
			entry->state = ENTRY_IDLE;
		} else {
			next_ns = earlier(next_ns, entry->loaded_ns + LINGER_NS);
		}
	}
	if (!entry->loader->has_primary)
		sw_link_wake_never(entry->link);
	else
		sw_link_wake_at(entry->link, earlier(next_ns, now_ns + PERHAPS_NS));
}

static void fail(struct entry *entry)
{
	sw_link_drop(entry->link);
	discard_draft(entry);
	entry->state = ENTRY_IDLE;
	entry->is_dirty = true;
	entry->wait_ns = entry->wait_ns ? earlier(2 * entry->wait_ns, BACKOFF_LAST_NS) : BACKOFF_FIRST_NS;
	if (!entry->is_failing)
		sw_log(SW_LOG_WARNING,
		        "cannot read the catalog of database \"%s\": %s; what was read before, if anything, "
		        "stays in use",
		        entry->database, entry->error);
	entry->is_failing = true;
	/* Counted from now: an attempt may have taken longer than the wait. */
	entry->start_ns = sw_clock_ns();
	schedule(entry);
}

static void fail_link(struct entry *entry)
{
	snprintf(entry->error, sizeof(entry->error), "%.250s", sw_link_error(entry->link));
	fail(entry);
}

static void send_query(struct entry *entry)
{
	entry->state = ENTRY_READING;
	entry->is_dirty = false;
	entry->results = 0;
	entry->draft = sw_catalog_new(entry->database);
	sw_catalog_set_read_ns(entry->draft, sw_clock_ns());
	sw_link_wake_at(entry->link, sw_clock_ns() + READING_NS);
	if (sw_link_query(entry->link, catalog_sql) != SW_OK)
		fail_link(entry);
}

static void read_now(struct entry *entry)
{
	const struct sw_config *config = entry->loader->config;
	const struct sw_link_target target = {
	        .host = entry->loader->primary.host,
	        .port = entry->loader->primary.port,
	        .user = config->monitor_user,
	        .password = config->monitor_password,
	        .dbname = entry->database,
	        .tls = &config->server_tls,
	};

	entry->start_ns = sw_clock_ns();
	if (entry->state == ENTRY_CONNECTED) {
		send_query(entry);
		return;
	}
	entry->state = ENTRY_CONNECTING;
	sw_link_wake_at(entry->link, entry->start_ns + config->monitor_connect_timeout_us * SW_NS_PER_US);
	if (sw_link_connect(entry->link, &target) != SW_OK)
		fail_link(entry);
}

static void add_functions(struct sw_catalog *draft, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
		sw_catalog_add_function(draft, PQgetvalue(result, row, 0),
		        PQgetvalue(result, row, 1)[0] == 't' ? SW_FUNCTION_VOLATILE : SW_FUNCTION_STABLE);
}

static void add_relations(
        struct sw_catalog *draft, const PGresult *result, void (*add)(struct sw_catalog *catalog, const char *name))
{
	for (int row = 0; row < PQntuples(result); row++)
		add(draft, PQgetvalue(result, row, 0));
}

static void on_ready(void *arg)
{
	send_query(arg);
}

static void on_result(const PGresult *result, void *arg)
{
	struct entry *entry = arg;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		sw_link_first_line(entry->error, sizeof(entry->error), PQresultErrorMessage(result));
	else if (++entry->results == 1)
		add_functions(entry->draft, result);
	else
		add_relations(entry->draft, result,
		        entry->results == 2 ? sw_catalog_add_primary_relation : sw_catalog_add_setting_relation);
}

static void on_done(void *arg)
{
	struct entry *entry = arg;
	struct sw_catalog *catalog = entry->draft;

	if (entry->results != RESULTS) {
		fail(entry);
		return;
	}
	entry->draft = NULL;
	entry->state = ENTRY_CONNECTED;
	entry->loaded_ns = sw_clock_ns();
	entry->wait_ns = 0;
	if (entry->is_failing)
		sw_log(SW_LOG_INFO, "the catalog of database \"%s\" can be read again", entry->database);
	entry->is_failing = false;
	sw_catalog_succeed(catalog, entry->last);
	sw_catalog_unref(entry->last);
	entry->last = catalog;
	entry->loader->on_catalog(catalog, entry->loader->arg);
	schedule(entry);
}

static void on_broken(void *arg)
{
	struct entry *entry = arg;

	if (entry->state == ENTRY_CONNECTED) {
		/* Idle: nothing is lost, and the next reading makes a new one. */
		entry->state = ENTRY_IDLE;
		schedule(entry);
		return;
	}
	fail_link(entry);
}

static void on_timer(void *arg)
{
	struct entry *entry = arg;

	if (entry->state == ENTRY_CONNECTING || entry->state == ENTRY_READING) {
		snprintf(entry->error, sizeof(entry->error), "no answer in time");
		fail(entry);
		return;
	}
	schedule(entry);
}

static const struct sw_link_hooks link_hooks = {
        .on_ready = on_ready,
        .on_result = on_result,
        .on_done = on_done,
        .on_broken = on_broken,
        .on_timer = on_timer,
};

static struct entry *entry_find(struct sw_catalog_loader *loader, const char *database)
{
	SW_LIST_EACH(&loader->entries, at, after)
	{
		struct entry *entry = SW_CONTAINER_OF(at, struct entry, link_all);

		if (!strcmp(entry->database, database))
			return entry;
	}
	return NULL;
}

static struct entry *entry_new(struct sw_catalog_loader *loader, const char *database)
{
	struct entry *entry;

	if (loader->count == DATABASES_MAX || strlen(database) >= SW_NAME_MAX) {
		if (!loader->is_full_told)
			sw_log(SW_LOG_WARNING,
			        "the catalog of database \"%s\" is not read: more than %d databases are in "
			        "use; its functions count as volatile",
			        database, DATABASES_MAX);
		loader->is_full_told = true;
		return NULL;
	}
	entry = SW_NEW(struct entry);
	entry->loader = loader;
	snprintf(entry->database, sizeof(entry->database), "%s", database);
	entry->link = sw_link_new(loader->loop, &link_hooks, entry);
	entry->slot = sw_board_ddl_slot(database);
	entry->start_ns = sw_clock_ns() - SPACING_NS;
	sw_list_push_back(&loader->entries, &entry->link_all);
	loader->count++;
	loader->open++;
	return entry;
}

/* Has the timer look at the entry anew, from the loop: nothing is started inside the caller's call. */
static void wake(struct entry *entry)
{
	int64_t next_ns = due_ns(entry);

	if (entry->state != ENTRY_CONNECTING && entry->state != ENTRY_READING && next_ns != INT64_MAX)
		sw_link_wake_at(entry->link, earlier(next_ns, sw_clock_ns() + PERHAPS_NS));
}

void sw_catalog_loader_want(struct sw_catalog_loader *loader, const char *database)
{
	struct entry *entry = entry_find(loader, database);

	if (loader->is_closing || (!entry && !(entry = entry_new(loader, database))))
		return;
	if (!entry->is_dirty) {
		entry->is_dirty = true;
		wake(entry);
	}
}

void sw_catalog_loader_set_primary(struct sw_catalog_loader *loader, const struct sw_node_config *primary)
{
	bool is_same = primary && !strcmp(primary->host, loader->primary.host) &&
	               primary->port == loader->primary.port;

	loader->has_primary = primary != NULL;
	if (primary)
		loader->primary = *primary;
	SW_LIST_EACH(&loader->entries, at, after)
	{
		struct entry *entry = SW_CONTAINER_OF(at, struct entry, link_all);

		if (primary && !is_same) {
			sw_link_drop(entry->link);
			discard_draft(entry);
			entry->state = ENTRY_IDLE;
			entry->is_dirty = true;
			entry->wait_ns = 0;
			sw_link_wake_never(entry->link);
		}
		wake(entry);
	}
}

void sw_catalog_loader_set_config(struct sw_catalog_loader *loader, const struct sw_config *config)
{
	loader->config = config;
	SW_LIST_EACH(&loader->entries, at, after)
	wake(SW_CONTAINER_OF(at, struct entry, link_all));
}

struct sw_catalog_loader *sw_catalog_loader_new(uv_loop_t *loop, const struct sw_board *board, const struct sw_config *config,
        void (*on_catalog)(struct sw_catalog *catalog, void *arg), void *arg)
{
	struct sw_catalog_loader *loader = SW_NEW(struct sw_catalog_loader);

	loader->loop = loop;
	loader->board = board;
	loader->config = config;
	loader->on_catalog = on_catalog;
	loader->arg = arg;
	sw_list_init(&loader->entries);
	uv_idle_init(loop, &loader->gate);
	loader->gate.data = loader;
	loader->open = 1;
	return loader;
}

static void release(struct sw_catalog_loader *loader)
{
	void (*on_closed)(void *) = loader->on_closed;
	void *arg = loader->closed_arg;

	if (--loader->open > 0)
		return;
	sw_mem_free(loader);
	on_closed(arg);
}

static void on_link_closed(void *arg)
{
	struct entry *entry = arg;
	struct sw_catalog_loader *loader = entry->loader;

	sw_mem_free(entry);
	release(loader);
}

static void on_gate_closed(uv_handle_t *gate)
{
	release(gate->data);
}

void sw_catalog_loader_close(struct sw_catalog_loader *loader, void (*on_closed)(void *arg), void *arg)
{
	loader->is_closing = true;
	loader->on_closed = on_closed;
	loader->closed_arg = arg;
	SW_LIST_EACH(&loader->entries, at, after)
	{
		struct entry *entry = SW_CONTAINER_OF(at, struct entry, link_all);

		sw_list_remove(&entry->link_all);
		discard_draft(entry);
		sw_catalog_unref(entry->last);
		sw_link_close(entry->link, on_link_closed, entry);
	}
	uv_close((uv_handle_t *)&loader->gate, on_gate_closed);
}
