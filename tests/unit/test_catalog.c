/* The catalog snapshot: worst overload wins, references are counted across threads, versions grow. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "router/catalog.h"

static void test_T5_worst_overload_wins(void **state)
{
	struct sw_catalog *catalog = sw_catalog_new("app");

	(void)state;
	sw_catalog_add_function(catalog, "a", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "a", SW_FUNCTION_VOLATILE);
	sw_catalog_add_function(catalog, "b", SW_FUNCTION_VOLATILE);
	sw_catalog_add_function(catalog, "b", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "c", SW_FUNCTION_STABLE);
	assert_int_equal(sw_catalog_function(catalog, "a"), SW_FUNCTION_VOLATILE);
	assert_int_equal(sw_catalog_function(catalog, "b"), SW_FUNCTION_VOLATILE);
	assert_int_equal(sw_catalog_function(catalog, "c"), SW_FUNCTION_STABLE);
	assert_int_equal(sw_catalog_function(catalog, "C"), SW_FUNCTION_UNKNOWN);
	assert_int_equal(sw_catalog_function(catalog, ""), SW_FUNCTION_UNKNOWN);
	assert_string_equal(sw_catalog_database(catalog), "app");
	sw_catalog_unref(catalog);
}

static void test_the_same_content_is_the_same_version(void **state)
{
	struct sw_catalog *catalogs[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		catalogs[i] = sw_catalog_new("app");
	sw_catalog_add_function(catalogs[0], "f", SW_FUNCTION_STABLE);
	sw_catalog_add_primary_relation(catalogs[0], "t");
	sw_catalog_add_primary_relation(catalogs[1], "t");
	sw_catalog_add_function(catalogs[1], "f", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalogs[2], "f", SW_FUNCTION_VOLATILE);
	sw_catalog_add_primary_relation(catalogs[2], "t");
	sw_catalog_add_function(catalogs[3], "f", SW_FUNCTION_VOLATILE);
	sw_catalog_add_setting_relation(catalogs[3], "t");
	sw_catalog_succeed(catalogs[0], NULL);
	for (int i = 1; i < 4; i++)
		sw_catalog_succeed(catalogs[i], catalogs[i - 1]);
	assert_int_equal(sw_catalog_version(catalogs[1]), sw_catalog_version(catalogs[0]));
	assert_true(sw_catalog_version(catalogs[2]) > sw_catalog_version(catalogs[1]));
	assert_true(sw_catalog_version(catalogs[3]) > sw_catalog_version(catalogs[2]));
	for (int i = 0; i < 4; i++)
		sw_catalog_unref(catalogs[i]);
}

static void test_T20_relations(void **state)
{
	struct sw_catalog *catalog = sw_catalog_new("app");

	(void)state;
	sw_catalog_add_primary_relation(catalog, "t");
	sw_catalog_add_function(catalog, "f", SW_FUNCTION_STABLE);
	assert_true(sw_catalog_is_primary_relation(catalog, "t"));
	assert_false(sw_catalog_is_primary_relation(catalog, "f"));
	assert_false(sw_catalog_is_setting_relation(catalog, "t"));
	sw_catalog_add_setting_relation(catalog, "t");
	assert_true(sw_catalog_is_setting_relation(catalog, "t"));
	assert_int_equal(sw_catalog_function(catalog, "t"), SW_FUNCTION_UNKNOWN);
	/* A function and a relation may share a name. */
	sw_catalog_add_function(catalog, "t", SW_FUNCTION_VOLATILE);
	assert_true(sw_catalog_is_primary_relation(catalog, "t"));
	assert_int_equal(sw_catalog_function(catalog, "t"), SW_FUNCTION_VOLATILE);
	sw_catalog_unref(catalog);
}

static void test_many_names(void **state)
{
	struct sw_catalog *catalog = sw_catalog_new("app");
	char name[32];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		sw_catalog_add_function(catalog, name, i % 3 ? SW_FUNCTION_STABLE : SW_FUNCTION_VOLATILE);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(sw_catalog_function(catalog, name),
			i % 3 ? SW_FUNCTION_STABLE : SW_FUNCTION_VOLATILE);
	}
	assert_int_equal(sw_catalog_function(catalog, "f5000"), SW_FUNCTION_UNKNOWN);
	sw_catalog_unref(catalog);
}

static void test_versions_grow(void **state)
{
	struct sw_catalog *first = sw_catalog_new("a"), *second = sw_catalog_new("b");

	(void)state;
	assert_true(sw_catalog_version(first) > 0);
	assert_true(sw_catalog_version(second) > sw_catalog_version(first));
	sw_catalog_unref(first);
	sw_catalog_unref(second);
}

static void *ref_and_unref(void *shared)
{
	for (int i = 0; i < 20000; i++) {
		struct sw_catalog *mine = sw_catalog_ref(shared);

		if (sw_catalog_function(mine, "f") != SW_FUNCTION_STABLE)
			return shared;
		sw_catalog_unref(mine);
	}
	sw_catalog_unref(shared);
	return NULL;
}

/* The last of four threads frees it; a wrong count shows under AddressSanitizer, as a leak or a use after
 * free. */
static void test_references_across_threads(void **state)
{
	struct sw_catalog *catalog = sw_catalog_new("app");
	pthread_t threads[4];
	void *result;

	(void)state;
	assert_null(sw_catalog_ref(NULL));
	sw_catalog_unref(NULL);
	sw_catalog_add_function(catalog, "f", SW_FUNCTION_STABLE);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, ref_and_unref, sw_catalog_ref(catalog)), 0);
	sw_catalog_unref(catalog);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_T5_worst_overload_wins),
		cmocka_unit_test(test_the_same_content_is_the_same_version),
		cmocka_unit_test(test_T20_relations),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_versions_grow),
		cmocka_unit_test(test_references_across_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
