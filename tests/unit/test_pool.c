/* Pools: which of them share a process-wide limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/config.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/quota.h"
#include "proxy/session/engine.h"

enum { OF_POOL, OF_DATABASE, OF_USER };

static struct sw_config config;
static struct sw_engine engine;

static int set_up(void **state)
{
	(void)state;
	config.node_count = 2;
	snprintf(config.nodes[0].name, sizeof(config.nodes[0].name), "pg1");
	snprintf(config.nodes[1].name, sizeof(config.nodes[1].name), "pg2");
	engine = (struct sw_engine){.config = &config};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sw_pools_free(&engine);
	sw_quota_free_all();
	return 0;
}

/* max_db_connections and max_user_connections hold over all nodes, pool_size on each of them. */
static void test_quotas_over_nodes(void **state)
{
	struct sw_database app = {.name = "app", .dbname = "app"}, shop = {.name = "shop", .dbname = "shop", .number = 1};
	struct sw_pool *base = sw_pool_get(&engine, 0, &app, "bob"), *node = sw_pool_get(&engine, 1, &app, "bob"),
		       *user = sw_pool_get(&engine, 0, &app, "eve"), *database = sw_pool_get(&engine, 1, &shop, "bob");

	(void)state;
	assert_ptr_equal(sw_pool_get(&engine, 0, &app, "bob"), base);
	assert_ptr_not_equal(node->quotas[OF_POOL], base->quotas[OF_POOL]);
	assert_ptr_equal(node->quotas[OF_DATABASE], base->quotas[OF_DATABASE]);
	assert_ptr_equal(node->quotas[OF_USER], base->quotas[OF_USER]);
	assert_ptr_not_equal(user->quotas[OF_POOL], base->quotas[OF_POOL]);
	assert_ptr_equal(user->quotas[OF_DATABASE], base->quotas[OF_DATABASE]);
	assert_ptr_not_equal(user->quotas[OF_USER], base->quotas[OF_USER]);
	assert_ptr_not_equal(database->quotas[OF_POOL], node->quotas[OF_POOL]);
	assert_ptr_not_equal(database->quotas[OF_DATABASE], base->quotas[OF_DATABASE]);
	assert_ptr_equal(database->quotas[OF_USER], base->quotas[OF_USER]);
}

/* A database and a user of one name are two. */
static void test_quotas_of_the_same_name(void **state)
{
	struct sw_database app = {.name = "app", .dbname = "app"};
	struct sw_pool *pool = sw_pool_get(&engine, 0, &app, "app");

	(void)state;
	assert_ptr_not_equal(pool->quotas[OF_DATABASE], pool->quotas[OF_USER]);
	assert_ptr_not_equal(pool->quotas[OF_DATABASE], pool->quotas[OF_POOL]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_quotas_over_nodes, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_quotas_of_the_same_name, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
