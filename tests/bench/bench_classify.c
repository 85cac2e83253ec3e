/*
 * What a verdict costs: found in the cache (ns), made by a parse (µs), and beside it libpg_query's own parse
 *through its public interface, pg_query_parse_protobuf. Targets: 200 ns; twice libpg_query's own. Prints one
 *line a statement and exits 1 where a target is missed.
 *
 *	bench_classify [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pg_query.h>

#include "proxy/base/clock.h"
#include "router/catalog.h"
#include "router/classify.h"
#include "router/verdicts.h"

#define CACHED_NS_MAX 200.0
#define PARSED_MAX    2.0

static const char *const statements[] = {
	"SELECT 1",
	"BEGIN",
	"SELECT abalance FROM pgbench_accounts WHERE aid = 123456",
	"UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
	"INSERT INTO orders (customer_id, placed_at, total, state) VALUES ($1, now(), $2, 'new') RETURNING "
	"id",
	"SELECT u.id, u.name, count(*) AS orders, sum(o.total) FROM users u JOIN orders o ON o.user_id = "
	"u.id "
	"WHERE o.placed_at > now() - interval '1 day' AND lower(u.email) LIKE $1 AND o.state IN ('new', "
	"'paid', 'sent') "
	"GROUP BY u.id, u.name HAVING sum(o.total) > 100 ORDER BY 4 DESC, 2 LIMIT 10 OFFSET $2",
	"WITH recent AS (SELECT * FROM events WHERE at > now() - interval '1 hour'), ranked AS (SELECT *, "
	"row_number() OVER "
	"(PARTITION BY kind ORDER BY at DESC) AS n FROM recent) SELECT kind, "
	"jsonb_agg(jsonb_build_object('id', id, 'at', at)) "
	"FROM ranked WHERE n <= 5 GROUP BY kind",
};

#define COUNT (sizeof(statements) / sizeof(statements[0]))

static double cached_ns(
	struct sw_verdicts *cache, const char *sql, const struct sw_classify_env *env, int rounds)
{
	size_t len = strlen(sql);
	int64_t start;
	uint32_t seen = 0;

	sw_verdicts_get(cache, sql, len, 0, env);
	start = sw_clock_ns();
	for (int i = 0; i < rounds; i++)
		seen |= sw_verdicts_get(cache, sql, len, 0, env)->verdict.flags;
	if (seen & SW_V_UNPARSED)
		abort();
	return (double)(sw_clock_ns() - start) / rounds;
}

static double parsed_us(const char *sql, const struct sw_classify_env *env, int rounds)
{
	size_t len = strlen(sql);
	int64_t start = sw_clock_ns();
	struct sw_verdict verdict;

	for (int i = 0; i < rounds; i++)
		sw_classify(sql, len, env, &verdict);
	return (double)(sw_clock_ns() - start) / rounds / 1000;
}

static double libpg_query_us(const char *sql, int rounds)
{
	int64_t start = sw_clock_ns();

	for (int i = 0; i < rounds; i++)
		pg_query_free_protobuf_parse_result(pg_query_parse_protobuf(sql));
	return (double)(sw_clock_ns() - start) / rounds / 1000;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20000;
	struct sw_verdicts *cache = sw_verdicts_new(SW_VERDICTS_MAX, SW_VERDICT_BYTES_MAX);
	struct sw_catalog *catalog = sw_catalog_new("bench");
	struct sw_classify_env env = {.catalog = catalog, .standard_conforming_strings = true};
	char sql[64];
	int missed = 0;

	if (rounds < 1)
		rounds = 1;
	/* A cache as full as it gets, so that the chains are as long as they get. */
	for (int i = 0; i < SW_VERDICTS_MAX; i++) {
		snprintf(sql, sizeof(sql), "SELECT a FROM t WHERE b = %d", i);
		sw_verdicts_get(cache, sql, strlen(sql), 0, &env);
	}
	printf("%9s %9s %12s %6s  %s\n", "cached ns", "parsed us", "libpg_query", "ratio", "statement");
	for (size_t i = 0; i < COUNT; i++) {
		double own = libpg_query_us(statements[i], rounds),
		       parsed = parsed_us(statements[i], &env, rounds);
		double cached = cached_ns(cache, statements[i], &env, rounds * 10);

		printf("%9.0f %9.2f %12.2f %6.2f  %.60s\n", cached, parsed, own, parsed / own, statements[i]);
		missed |= cached > CACHED_NS_MAX || parsed > PARSED_MAX * own;
	}
	sw_verdicts_free(cache);
	sw_catalog_unref(catalog);
	return missed;
}
