/* The fuzz corpus of the hba file and the ident maps, every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz_hba.c"
#include "tests/unit/corpus.h"

static void test_corpus(void **state)
{
	(void)state;
	run_corpus("tests/fuzz/corpus/hba", 10, LLVMFuzzerTestOneInput);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus)};

	return cmocka_run_group_tests_name("hba corpus", tests, NULL, NULL);
}
