/* The corpus of the classifier's fuzz target, every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "tests/fuzz/fuzz_classify.c"
#include "tests/unit/corpus.h"

static void test_corpus(void **state)
{
	(void)state;
	run_corpus("tests/fuzz/corpus/classify", 80, LLVMFuzzerTestOneInput);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests_name("classify_corpus", tests, NULL, NULL);
}
