/* The statement classifier: hostile texts, limits, threads, and the tables of functions. */
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>

#include "router/classify_text.h"
#include "router/functions.h"
#include "tests/fuzz/fuzz_classify.c"
#include "tests/unit/classify_rows.h"

/* pre + count times middle + post; freed by the caller. */
static char *repeat(const char *pre, const char *middle, size_t count, const char *post)
{
	size_t len = strlen(middle);
	char *text = malloc(strlen(pre) + len * count + strlen(post) + 1), *at = text;

	assert_non_null(text);
	at = stpcpy(at, pre);
	for (size_t i = 0; i < count; i++, at += len)
		memcpy(at, middle, len);
	strcpy(at, post);
	return text;
}

struct hostile {
	const char *pre, *middle;
	size_t count;
	const char *post;
	uint32_t flags;
};

/* Texts that break a recursion, a quadratic loop or an unbounded memory. */
static const struct hostile hostile[] = {
	{"SELECT ", "(", 100000, "1", UNPARSED},
	{"SELECT ", "(", 1000000, "1", UNPARSED},
	{"SELECT 1", "+1", 400000, "", READ},
	{"SELECT 1", "::a", 300000, "", READ},
	{"SELECT a", "[1]", 300000, "", READ},
	{"SELECT 1", " UNION SELECT 1", 60000, "", READ},
	{"SELECT a", " IS NULL", 120000, "", READ},
	{"SELECT 1", ",1", 500000, "", READ},
	{"SELECT f(1", " AND total(1)", 70000, ")", WRITE},
	{"", "BEGIN;", 150000, "", MULTI | NO_DATA},
	{"", ";", 1000000, "", SW_V_EMPTY | SW_V_READ | NO_DATA},
	{"", "/*", 500000, "", UNPARSED},
	{"SELECT ", "+", 1000000, "1", UNPARSED},
	{"SELECT ", "+-", 500000, "1", UNPARSED},
	{"SELECT 1", " *", 400000, "", UNPARSED},
	{"SELECT ", "~", 1000000, "1", UNPARSED},
	{"SET a", ".a", 500000, " = 1", UNPARSED},
	{"SELECT ", "NOT ", 250000, "true", UNPARSED},
	{"SELECT ", "CASE WHEN a THEN ", 50000, "1", UNPARSED},
	{"SELECT $a$", " $b$ $a", 200000, "", UNPARSED},
	{"SELECT '", "''", 500000, "'", READ},
	{"INSERT INTO t VALUES (1)", ",(1)", 250000, "", WRITE},
	{"/", "*", 1000000, "/ SELECT 1", READ},
	{"--", "-", 1000000, "\nSELECT 1", READ},
};

static void *classify_hostile(void *unused)
{
	(void)unused;
	for (size_t i = 0; i < LENGTH(hostile); i++) {
		char *text = repeat(hostile[i].pre, hostile[i].middle, hostile[i].count, hostile[i].post);
		uint32_t flags = classify(text).flags & ~(uint32_t)UNCOMPARED_FLAGS;

		if (flags != hostile[i].flags) {
			print_error("%s%s…: flags 0x%x, expected 0x%x\n", hostile[i].pre, hostile[i].middle,
				flags, hostile[i].flags);
			free(text);
			return (void *)hostile;
		}
		free(text);
	}
	return NULL;
}

/* On a thread with a small stack, so that a recursion would show. */
static void test_hostile_texts(void **state)
{
	pthread_attr_t attr;
	pthread_t thread;
	void *result = (void *)hostile;

	(void)state;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 512 * 1024), 0);
	assert_int_equal(pthread_create(&thread, &attr, classify_hostile, NULL), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	pthread_attr_destroy(&attr);
}

static void test_statement_bytes_max(void **state)
{
	char *text = repeat("SELECT 1 --", "x", SW_STATEMENT_BYTES_MAX - 11, "xx");
	struct sw_classify_env env = usual_env();
	struct sw_verdict verdict;

	(void)state;
	sw_classify(text, SW_STATEMENT_BYTES_MAX, &env, &verdict);
	assert_true(verdict.flags & SW_V_READ);
	sw_classify(text, SW_STATEMENT_BYTES_MAX + 1, &env, &verdict);
	assert_int_equal(verdict.flags, UNPARSED);
	assert_int_equal(verdict.pins, SW_PIN_UNSEEN);
	free(text);
}

static void *classify_often(void *failures)
{
	static const char *const reads[] = {
		"SELECT lower(a) FROM t", "SELECT 'a\\'b'", "SELECT * FROM generate_series(1, 2)"};
	struct sw_classify_env env = usual_env();
	struct sw_verdict verdict;

	for (int i = 0; i < 3000; i++) {
		const char *sql = reads[i % 3];
		bool must_read = i % 3 != 1 || !(i & 1);

		env.standard_conforming_strings = i & 1;
		sw_classify(sql, strlen(sql), &env, &verdict);
		*(int *)failures += must_read != !!(verdict.flags & SW_V_READ);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	int failures[4] = {0};

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, classify_often, &failures[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(failures[i], 0);
	}
}

static void test_cheap_texts(void **state)
{
	char *rule = repeat("/", "*", 900000, "/ SELECT 1");
	char *table = repeat("-- ", "+---+---+\n-- ", 60000, "\nSELECT 1");

	(void)state;
	assert_true(sw_text_is_cheap(rule, strlen(rule)));
	assert_true(sw_text_is_cheap(table, strlen(table)));
	assert_true(sw_text_is_cheap("", 0));
	free(rule);
	free(table);
	rule = repeat("", "/*", 10000, "");
	assert_false(sw_text_is_cheap(rule, strlen(rule)));
	free(rule);
}

static void test_booleans(void **state)
{
	static const char *const yes[] = {"t", "TRUE", "tr", "y", "yes", "on", "1"};
	static const char *const no[] = {"f", "fal", "n", "No", "of", "OFF", "0"};
	static const char *const neither[] = {"", "o", "truee", "2", "onn", " t"};

	(void)state;
	for (size_t i = 0; i < LENGTH(yes); i++)
		assert_int_equal(sw_text_bool(yes[i]), SW_TEXT_TRUE);
	for (size_t i = 0; i < LENGTH(no); i++)
		assert_int_equal(sw_text_bool(no[i]), SW_TEXT_FALSE);
	for (size_t i = 0; i < LENGTH(neither); i++)
		assert_int_equal(sw_text_bool(neither[i]), SW_TEXT_NO_BOOL);
}

static void test_function_tables_are_sorted(void **state)
{
	static const char *const harmless[] = {
#include "router/functions_builtin.inc"
	};
	static const char *const ruled[] = {"col_description", "currval", "dblink_connect_u", "lo_close",
		"lowrite", "nextval", "pg_advisory_lock", "pg_start_backup",
		"pg_try_advisory_xact_lock_shared", "set_limit", "setval", "to_regtype", "version"};

	(void)state;
	for (size_t i = 1; i < LENGTH(harmless); i++)
		assert_true(strcmp(harmless[i - 1], harmless[i]) < 0);
	for (size_t i = 0; i < LENGTH(harmless); i++) {
		assert_true(sw_function_is_harmless(harmless[i]));
		assert_null(sw_function_rule(harmless[i]));
	}
	for (size_t i = 0; i < LENGTH(ruled); i++)
		assert_non_null(sw_function_rule(ruled[i]));
	assert_false(sw_function_is_harmless("nextval"));
	assert_null(sw_function_rule("lower"));
}

/* The corpus of the fuzzer; run from the root of the repository, as make does. */
static void test_fuzz_corpus(void **state)
{
	DIR *dir = opendir("tests/fuzz/corpus/classify");
	uint8_t data[8192];
	int count = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		char path[512];
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "tests/fuzz/corpus/classify/%s", entry->d_name);
		file = fopen(path, "rb");
		assert_non_null(file);
		LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
		fclose(file);
		count++;
	}
	closedir(dir);
	assert_true(count > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fuzz_corpus),
		cmocka_unit_test(test_hostile_texts),
		cmocka_unit_test(test_statement_bytes_max),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_cheap_texts),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_function_tables_are_sorted),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
