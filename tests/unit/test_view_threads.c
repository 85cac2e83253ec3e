/*
 * The board with one writer and two readers; built with ThreadSanitizer too. Everything that is written obeys
 * rules that a torn or mixed read would break: all words of a view repeat its number; a sample's position
 * follows from its send time and its timeline, which is its generation in ring 0 and its number in ring 1.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lagmon/view.h"

/* Races need many rounds; the sanitizer needs few and takes long. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define ROUNDS 20000
#else
#define ROUNDS 200000
#endif
#define READERS 2

/* Samples of generation g have timeline g and position POS(sent, g): later generations restart behind. */
#define GENERATION_SAMPLES    1500
#define POS(sent, generation) ((uint64_t)((sent)*16 - (int64_t)(generation)*4000))

struct test {
	struct sw_board *board;
	_Atomic int64_t sent; /* newest sample that was added */
	_Atomic bool is_over;
	_Atomic uint64_t faults;
};

static void fault_unless(struct test *test, bool is_right)
{
	if (!is_right)
		atomic_fetch_add(&test->faults, 1);
}

static void fill(struct sw_view *view, uint64_t number)
{
	memset(view, 0, sizeof(*view));
	view->epoch = number;
	view->primary = (int32_t)number;
	view->timeline = (uint32_t)number;
	view->node_count = SW_NODES_MAX;
	for (int n = 0; n < SW_NODES_MAX; n++) {
		view->node[n].since_ns = (int64_t)number;
		view->node[n].sent_ns = (int64_t)number;
		view->node[n].at.lsn.pos = number;
		view->node[n].system_id = number;
	}
}

static bool is_whole(const struct sw_view *view)
{
	struct sw_view expected;

	fill(&expected, view->epoch);
	expected.number = view->number; /* the board's */
	return !memcmp(&expected, view, sizeof(expected));
}

static void *write_all(void *arg)
{
	struct test *test = arg;
	struct sw_view view;
	uint32_t generation = 1;

	for (int64_t k = 1; k <= ROUNDS; k++) {
		fill(&view, (uint64_t)k);
		sw_board_publish(test->board, &view);
		if (k % GENERATION_SAMPLES == 0) {
			sw_board_reset_samples(test->board, 0);
			generation++;
		}
		sw_board_add_sample(test->board, 0, k,
		        (struct sw_position){
		                .timeline = generation, .lsn = {.pos = POS(k + 10000, generation)}});
		sw_board_add_sample(test->board, 1, k,
		        (struct sw_position){.timeline = (uint32_t)k, .lsn = {.pos = POS(k, 0)}});
		atomic_store(&test->sent, k);
	}
	atomic_store(&test->is_over, true);
	return NULL;
}

static void read_view(struct test *test, uint64_t *seen, struct sw_view *view)
{
	uint64_t before = view->epoch;

	if (!sw_board_read(test->board, seen, view))
		return;
	/* The first one, of the new board, has no nodes. */
	if (view->node_count == 0)
		return;
	fault_unless(test, is_whole(view));
	fault_unless(test, view->number == *seen);
	fault_unless(test, view->epoch > before);
}

static void read_rings(struct test *test)
{
	int64_t event = atomic_load(&test->sent) - 2, since;
	struct sw_position bound;

	/* A sample of any generation: what it says of itself must fit together. */
	if (sw_board_first_after(test->board, 0, event, &bound) == SW_OK) {
		int64_t sent = ((int64_t)bound.lsn.pos + (int64_t)bound.timeline * 4000) / 16 - 10000;

		fault_unless(test, POS(sent + 10000, bound.timeline) == bound.lsn.pos);
		fault_unless(test, sent > event);
		fault_unless(test, bound.timeline == sent / GENERATION_SAMPLES + 1);
	}
	if (event > 0) {
		fault_unless(test, sw_board_first_after(test->board, 1, event, &bound) == SW_OK);
		/* A reader that is put aside for long may find it overwritten, and gets a later one. */
		fault_unless(test, bound.lsn.pos >= POS(event + 1, 0));
		since = sw_board_behind_since(test->board, 1, (struct sw_lsn){POS(event, 0)});
		fault_unless(test, since > event);
	}
	/* From the very beginning: races with the slot that is being overwritten. */
	if (sw_board_first_after(test->board, 1, 0, &bound) == SW_OK)
		fault_unless(test, bound.lsn.pos == POS(bound.timeline, 0));
}

static void *read_all(void *arg)
{
	struct test *test = arg;
	struct sw_view view = {0};
	uint64_t seen = 0;

	while (!atomic_load(&test->is_over)) {
		read_view(test, &seen, &view);
		read_rings(test);
		if (sw_board_want(test->board))
			fault_unless(test, sw_board_wanted(test->board) > 0);
		sw_board_unwant(test->board);
	}
	read_view(test, &seen, &view);
	fault_unless(test, view.epoch == ROUNDS);
	return NULL;
}

static void test_one_writer_two_readers(void **state)
{
	struct test test = {.board = sw_board_new()};
	pthread_t readers[READERS], writer;

	(void)state;
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_all, &test), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_all, &test), 0);
	pthread_join(writer, NULL);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&test.faults), 0);
	assert_int_equal(sw_board_wanted(test.board), 0);
	sw_board_free(test.board);
}

/* A sample in the ring implies a view that is at least as new as the one published before it was added
 * (view.h). */
static void *read_in_order(void *arg)
{
	struct test *test = arg;
	struct sw_view view = {0};
	uint64_t seen = 0;

	while (!atomic_load(&test->is_over)) {
		struct sw_position bound;
		int64_t event = atomic_load_explicit(&test->sent, memory_order_relaxed);

		if (sw_board_first_after(test->board, 1, event, &bound) != SW_OK)
			continue;
		sw_board_read(test->board, &seen, &view);
		fault_unless(test, POS(view.epoch, 0) >= bound.lsn.pos);
	}
	return NULL;
}

static void test_T31_view_is_as_new_as_the_sample(void **state)
{
	struct test test = {.board = sw_board_new()};
	pthread_t readers[READERS], writer;

	(void)state;
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_in_order, &test), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_all, &test), 0);
	pthread_join(writer, NULL);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&test.faults), 0);
	sw_board_free(test.board);
}

/* Bursts overtake a reader in the middle of its search: what it then picked up must be thrown away. */
#define BURST 6

static void *write_bursts(void *arg)
{
	struct test *test = arg;
	struct sw_view view = {0};
	int64_t k = 1;

	for (int64_t round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < BURST; i++, k++)
			sw_board_add_sample(test->board, 1, k,
			        (struct sw_position){.timeline = (uint32_t)k, .lsn = {.pos = POS(k, 0)}});
		/* Generations of two samples, the second of which is the one to find. */
		sw_board_reset_samples(test->board, 2);
		sw_board_add_sample(test->board, 2, 10,
		        (struct sw_position){.timeline = (uint32_t)round, .lsn = {.pos = 7}});
		sw_board_add_sample(test->board, 2, 20,
		        (struct sw_position){
		                .timeline = (uint32_t)round, .lsn = {.pos = (uint64_t)round * 16}});
		/* A pause, as long as a view takes to write. */
		sw_board_publish(test->board, &view);
	}
	atomic_store(&test->is_over, true);
	return NULL;
}

static void *read_bursts(void *arg)
{
	struct test *test = arg;
	struct sw_position bound;

	while (!atomic_load(&test->is_over)) {
		if (sw_board_first_after(test->board, 1, 0, &bound) == SW_OK)
			fault_unless(test, bound.lsn.pos == POS(bound.timeline, 0));
		if (sw_board_first_after(test->board, 2, 10, &bound) == SW_OK)
			fault_unless(test, bound.lsn.pos == (uint64_t)bound.timeline * 16);
	}
	return NULL;
}

static void test_overtaken_reader_starts_again(void **state)
{
	struct test test = {.board = sw_board_new()};
	pthread_t readers[READERS], writer;

	(void)state;
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_bursts, &test), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_bursts, &test), 0);
	pthread_join(writer, NULL);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&test.faults), 0);
	sw_board_free(test.board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_one_writer_two_readers),
	        cmocka_unit_test(test_T31_view_is_as_new_as_the_sample),
	        cmocka_unit_test(test_overtaken_reader_starts_again),
	};

	return cmocka_run_group_tests_name("view_threads", tests, NULL, NULL);
}
