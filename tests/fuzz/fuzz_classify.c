/*
 * libFuzzer entry for the classifier. The first byte sets how strings are lexed, the rest is the statement.
 *What must hold of every verdict is checked, not only that none crashes.
 *
 *	clang -fsanitize=fuzzer,address,undefined … tests/fuzz/fuzz_classify.c router/(classify, functions,
 *…).c …
 *	./fuzz_classify -max_len=4096 -timeout=1 tests/fuzz/corpus/classify
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "router/catalog.h"
#include "router/classify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sw_catalog *make_catalog(void)
{
	struct sw_catalog *catalog = sw_catalog_new("fuzz");

	sw_catalog_add_function(catalog, "f", SW_FUNCTION_STABLE);
	sw_catalog_add_function(catalog, "g", SW_FUNCTION_VOLATILE);
	sw_catalog_add_primary_relation(catalog, "u");
	return catalog;
}

/* What no verdict may combine. */
static void check(const struct sw_verdict *verdict)
{
	const uint32_t not_read = SW_V_UNPARSED | SW_V_BEGIN | SW_V_END | SW_V_SETS | SW_V_DDL |
				  SW_V_TXN_MODE | SW_V_SAVEPOINT | SW_V_SEAWALL | SW_V_RESET_ALL |
				  SW_V_DISCARD_ALL;
	const uint32_t alone =
		SW_V_BEGIN | SW_V_END | SW_V_TXN_MODE | SW_V_SAVEPOINT | SW_V_SEAWALL | SW_V_DISCARD_ALL;

	assert(verdict->reason && verdict->reason[0]);
	assert(verdict->name_count <= SW_SET_NAMES_MAX);
	if (verdict->flags & SW_V_READ)
		assert(verdict->pins == 0 && !(verdict->flags & not_read) && verdict->name_count == 0);
	if (verdict->flags & SW_V_RETRY)
		assert(verdict->flags & SW_V_READ);
	if (verdict->flags & SW_V_MULTI)
		assert(verdict->statements > 1 && !(verdict->flags & alone));
	if (verdict->flags & SW_V_UNPARSED)
		assert(verdict->pins == SW_PIN_UNSEEN && verdict->flags == SW_V_UNPARSED);
	for (int i = 0; i < verdict->name_count; i++)
		assert(memchr(verdict->names[i], '\0', SW_NAME_MAX));
	assert(memchr(verdict->value, '\0', sizeof(verdict->value)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sw_catalog *known;
	static const char *const listed[] = {"p", "s.q", NULL};
	struct sw_verdict verdict;
	struct sw_classify_env env;

	if (!known)
		known = make_catalog();
	if (size == 0)
		return 0;
	env = (struct sw_classify_env){.catalog = data[0] & 4 ? NULL : known,
		.primary_functions = listed,
		.replica_functions = listed,
		.standard_conforming_strings = !(data[0] & 1),
		.unsafe_encoding = data[0] & 2};
	sw_classify((const char *)data + 1, size - 1, &env, &verdict);
	check(&verdict);
	return 0;
}
