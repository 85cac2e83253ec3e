/*
 * A worker's engine: databases, the view's copy, the demand for samples. Runs on the worker's thread.
 * What is not here: the worker's thread and its mail (proxy/worker.c), sessions (session.c).
 */
#include "proxy/session/engine.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "router/catalog.h"

/* xorshift64*: spreads load, guards nothing. S. Vigna, 'An experimental exploration of Marsaglia's xorshift generators'. */
uint32_t sw_engine_random(struct sw_engine *engine)
{
	uint64_t x = engine->random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	engine->random_state = x;
	return (uint32_t)((x * UINT64_C(2685821657736338717)) >> 32);
}

static struct sw_database *add_database(struct sw_engine *engine, const char *name, const char *dbname)
{
	struct sw_database *database = SW_NEW(struct sw_database);

	snprintf(database->name, sizeof(database->name), "%s", name);
	snprintf(database->dbname, sizeof(database->dbname), "%s", dbname);
	database->number = engine->database_count++;
	database->ddl_slot = sw_board_ddl_slot(dbname);
	sw_list_push_back(&engine->databases, &database->entry);
	sw_engine_apply_config(engine);
	return database;
}

static struct sw_database *find_database(struct sw_engine *engine, const char *name)
{
	SW_LIST_EACH(&engine->databases, at, after) {
		struct sw_database *database = SW_CONTAINER_OF(at, struct sw_database, entry);

		if (strcmp(database->name, name) == 0)
			return database;
	}
	return NULL;
}

/* The console counts its sessions under a name of its own; no server knows it. */
struct sw_database *sw_engine_console_database(struct sw_engine *engine)
{
	struct sw_database *database = find_database(engine, "seawall");

	return database ? database : add_database(engine, "seawall", "");
}

struct sw_database *sw_engine_database(struct sw_engine *engine, const char *name)
{
	const struct sw_database_config *config = sw_config_database(engine->config, name);
	struct sw_database *database = find_database(engine, name);

	if (!config || strlen(name) >= SW_NAME_MAX)
		return NULL;
	return database ? database : add_database(engine, name, config->dbname[0] ? config->dbname : name);
}

void sw_engine_apply_config(struct sw_engine *engine)
{
	const struct sw_config *config = engine->config;

	for (uint32_t i = 0; i < config->node_count; i++)
		engine->weights[i] = config->nodes[i].weight;
	SW_LIST_EACH(&engine->databases, at, after) {
		struct sw_database *database = SW_CONTAINER_OF(at, struct sw_database, entry);
		const struct sw_database_config *entry = sw_config_database(config, database->name);

		database->lag_class = entry ? entry->lag_class : 0;
		database->pool_size = entry && entry->pool_size ? entry->pool_size : config->default_pool_size;
	}
}

void sw_engine_free_databases(struct sw_engine *engine)
{
	SW_LIST_EACH(&engine->databases, at, after) {
		struct sw_database *database = SW_CONTAINER_OF(at, struct sw_database, entry);

		if (database->catalog)
			sw_catalog_unref(database->catalog);
		sw_list_remove(at);
		sw_mem_free(database);
	}
}

void sw_engine_set_catalog(struct sw_engine *engine, struct sw_catalog *catalog)
{
	SW_LIST_EACH(&engine->databases, at, after) {
		struct sw_database *database = SW_CONTAINER_OF(at, struct sw_database, entry);

		if (strcmp(database->dbname, sw_catalog_database(catalog)) != 0)
			continue;
		if (database->catalog)
			sw_catalog_unref(database->catalog);
		database->catalog = sw_catalog_ref(catalog);
	}
}

bool sw_engine_refresh_view(struct sw_engine *engine)
{
	return sw_board_read(engine->board, &engine->view_seen, &engine->view);
}

void sw_engine_want_sample(struct sw_engine *engine)
{
	engine->sample_wants++;
	if (sw_board_want(engine->board))
		engine->hooks->on_want_sample(engine);
}

void sw_engine_want_settled(struct sw_engine *engine, int node, int64_t event_ns)
{
	sw_board_want_settled(engine->board, node, event_ns);
	engine->hooks->on_want_sample(engine);
}

void sw_engine_unwant_sample(struct sw_engine *engine)
{
	engine->sample_wants--;
	sw_board_unwant(engine->board);
}
