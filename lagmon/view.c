/*
 * The board: how the control thread's picture of the cluster reaches the workers without a lock.
 *
 * One writer, the control thread; readers on any thread. Readers never wait for the writer, not even where it
 * is preempted in the middle of a write: a view is written beside the one that readers use and a sample
 * behind the last that they look at, and only then one number makes it theirs. A reader that was overtaken
 * while it copied sees that from the same number, and starts again.
 *
 * Memory order. The data words are stored with release and loaded with acquire instead of standing between
 * fences: a reader that picks up one word of a newer write is then bound to see the number that was stored
 * before that write began, so its check fails. ThreadSanitizer understands this form (it does not know
 * fences), and on x86 both cost what a plain move costs.
 *
 * Not here: what a view means (view.h), who fills it (monitor.c), the decisions that rest on it (router/).
 */
#include "lagmon/view.h"

#include <assert.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "router/hash.h"

#define VIEW_WORDS (sizeof(struct sw_view) / sizeof(uint64_t))

static_assert(sizeof(struct sw_view) % sizeof(uint64_t) == 0, "a view is copied word by word");

/* Keeps what one side writes often off the cache line that the other side polls. */
#define CACHE_LINE_BYTES 64

struct slot {
	_Atomic int64_t sent_ns;
	_Atomic uint64_t pos;
	_Atomic uint32_t timeline;
};

/*
 * Sample number k lives in slot k % SW_SAMPLES_MAX; numbers are never used again, also not by the next
 * generation. Readers may look at [begin, end), less what was overwritten. Both numbers are written by the
 * control thread only and never shrink; a stale one hides the newest samples (the reader comes again) or
 * shows the last moment of a generation.
 */
struct ring {
	_Atomic uint64_t begin; /* first number of this generation */
	_Atomic uint64_t end;   /* one past the newest */
	struct slot slots[SW_SAMPLES_MAX];
};

struct sw_board {
	/* Writer: control thread. A stale value only means that a reader finds the news a moment later. */
	_Atomic uint64_t published; /* number of the newest view; it lies in views[published % 2] */
	char pad[CACHE_LINE_BYTES];
	_Atomic uint64_t views[2][VIEW_WORDS];
	struct ring rings[SW_NODES_MAX];
	char pad_end[CACHE_LINE_BYTES];
	_Atomic int wanted; /* written by workers, read by the control thread */
	/* The same. The times only grow: one that is seen late is one that was asked about a moment later. */
	_Atomic int settling;
	_Atomic int64_t settling_ns[SW_NODES_MAX + 1]; /* the last is that of any node */
	/* Any worker writes and reads: a time that is seen a moment late is that of a commit a moment later. */
	_Atomic int64_t ddl_ns[SW_DDL_KINDS][SW_DDL_SLOTS];
};

struct sw_board *sw_board_new(void)
{
	struct sw_board *board = SW_NEW(struct sw_board);
	const struct sw_view nothing = {.primary = -1};

	sw_board_publish(board, &nothing);
	return board;
}

void sw_board_free(struct sw_board *board)
{
	sw_mem_free(board);
}

void sw_board_publish(struct sw_board *board, const struct sw_view *view)
{
	uint64_t number = atomic_load_explicit(&board->published, memory_order_relaxed) + 1;
	_Atomic uint64_t *to = board->views[number % 2];
	uint64_t words[VIEW_WORDS];

	memcpy(words, view, sizeof(words));
	for (size_t i = 0; i < VIEW_WORDS; i++)
		atomic_store_explicit(&to[i], words[i], memory_order_release);
	atomic_store_explicit(&board->published, number, memory_order_release);
}

bool sw_board_read(const struct sw_board *board, uint64_t *seen, struct sw_view *view)
{
	uint64_t number = atomic_load_explicit(&board->published, memory_order_acquire);
	uint64_t words[VIEW_WORDS], now;

	if (number == *seen)
		return false;
	for (;;) {
		const _Atomic uint64_t *from = board->views[number % 2];

		for (size_t i = 0; i < VIEW_WORDS; i++)
			words[i] = atomic_load_explicit(&from[i], memory_order_acquire);
		/* This copy's place is written again for number + 2, and that begins after number + 1 came
		 * out. */
		now = atomic_load_explicit(&board->published, memory_order_acquire);
		if (now == number)
			break;
		number = now;
	}
	memcpy(view, words, sizeof(words));
	view->number = number;
	*seen = number;
	return true;
}

bool sw_board_is_newest(const struct sw_board *board, const struct sw_view *view)
{
	return atomic_load_explicit(&board->published, memory_order_acquire) == view->number;
}

static int checked(int node)
{
	assert(node >= 0 && node < SW_NODES_MAX);
	return node;
}

void sw_board_add_sample(struct sw_board *board, int node, int64_t sent_ns, struct sw_position at)
{
	struct ring *ring = &board->rings[checked(node)];
	uint64_t end = atomic_load_explicit(&ring->end, memory_order_relaxed);
	struct slot *slot = &ring->slots[end % SW_SAMPLES_MAX];

	atomic_store_explicit(&slot->sent_ns, sent_ns, memory_order_release);
	atomic_store_explicit(&slot->pos, at.lsn.pos, memory_order_release);
	atomic_store_explicit(&slot->timeline, at.timeline, memory_order_release);
	atomic_store_explicit(&ring->end, end + 1, memory_order_release);
}

void sw_board_reset_samples(struct sw_board *board, int node)
{
	struct ring *ring = &board->rings[checked(node)];
	uint64_t end = atomic_load_explicit(&ring->end, memory_order_relaxed);

	atomic_store_explicit(&ring->begin, end, memory_order_release);
}

/* The samples that a reader may search: numbers [first, end) of the generation that starts at begin. */
struct window {
	uint64_t begin, first, end;
};

static struct window window_open(const struct ring *ring)
{
	struct window window;

	/* In this order: begin never passes end, so an older begin with a newer end is a range, if a mixed
	 * one. */
	window.begin = atomic_load_explicit(&ring->begin, memory_order_acquire);
	window.end = atomic_load_explicit(&ring->end, memory_order_acquire);
	window.first = window.begin;
	/* The oldest slot is the one that the next sample goes to: left out, or every race would be a retry.
	 */
	if (window.end - window.first >= SW_SAMPLES_MAX)
		window.first = window.end - SW_SAMPLES_MAX + 1;
	return window;
}

/* Were all slots of the window whole, and of one generation, while they were read? */
static bool window_has_held(const struct ring *ring, const struct window *window)
{
	/* Sample 'end' may be half written: it goes where end - SW_SAMPLES_MAX was. */
	return atomic_load_explicit(&ring->begin, memory_order_acquire) == window->begin &&
	       atomic_load_explicit(&ring->end, memory_order_acquire) - window->first < SW_SAMPLES_MAX;
}

static const struct slot *slot_of(const struct ring *ring, uint64_t number)
{
	return &ring->slots[number % SW_SAMPLES_MAX];
}

enum sw_err sw_board_first_after(
        const struct sw_board *board, int node, int64_t event_ns, struct sw_position *ret_at)
{
	const struct ring *ring = &board->rings[checked(node)];
	struct sw_position at = {0};
	struct window window;
	bool is_found;

	do {
		uint64_t low, high;

		window = window_open(ring);
		low = window.first;
		high = window.end;
		while (low < high) {
			uint64_t middle = low + (high - low) / 2;

			if (atomic_load_explicit(&slot_of(ring, middle)->sent_ns, memory_order_acquire) >
			        event_ns)
				high = middle;
			else
				low = middle + 1;
		}
		is_found = low < window.end;
		if (is_found) {
			at.timeline =
			        atomic_load_explicit(&slot_of(ring, low)->timeline, memory_order_acquire);
			at.lsn.pos = atomic_load_explicit(&slot_of(ring, low)->pos, memory_order_acquire);
		}
	} while (!window_has_held(ring, &window));
	if (!is_found)
		return SW_ERR_AGAIN;
	*ret_at = at;
	return SW_OK;
}

int64_t sw_board_behind_since(const struct sw_board *board, int node, struct sw_lsn lsn)
{
	const struct ring *ring = &board->rings[checked(node)];
	struct window window;
	int64_t since_ns;

	/* Positions grow within a generation (monitor.c starts a new one where they do not), so bisecting is
	 * right. */
	do {
		uint64_t low, high;

		window = window_open(ring);
		low = window.first;
		high = window.end;
		while (low < high) {
			uint64_t middle = low + (high - low) / 2;

			if (atomic_load_explicit(&slot_of(ring, middle)->pos, memory_order_acquire) > lsn.pos)
				high = middle;
			else
				low = middle + 1;
		}
		since_ns = 0;
		if (low < window.end)
			since_ns = atomic_load_explicit(&slot_of(ring, low)->sent_ns, memory_order_acquire);
	} while (!window_has_held(ring, &window));
	return since_ns;
}

/*
 * Demand. Sequentially consistent, as a count that several threads move: the one that takes it from zero is
 * the one that wakes the monitor, and the monitor goes on until it reads zero. A stale value costs one sample
 * more, or lets the wake-up that is on its way start the next one.
 */
bool sw_board_want(struct sw_board *board)
{
	return atomic_fetch_add(&board->wanted, 1) == 0;
}

void sw_board_unwant(struct sw_board *board)
{
	int before = atomic_fetch_sub(&board->wanted, 1);

	assert(before > 0);
	(void)before;
}

int sw_board_wanted(const struct sw_board *board)
{
	return atomic_load(&board->wanted);
}

static int place_of(int node)
{
	return node < 0 ? SW_NODES_MAX : checked(node);
}

void sw_board_want_settled(struct sw_board *board, int node, int64_t event_ns)
{
	_Atomic int64_t *asked = &board->settling_ns[place_of(node)];
	int64_t before = atomic_load(asked);

	while (before < event_ns && !atomic_compare_exchange_weak(asked, &before, event_ns)) {
	}
	atomic_fetch_add(&board->settling, 1);
}

void sw_board_unwant_settled(struct sw_board *board)
{
	int before = atomic_fetch_sub(&board->settling, 1);

	assert(before > 0);
	(void)before;
}

int sw_board_settling(const struct sw_board *board)
{
	return atomic_load(&board->settling);
}

int64_t sw_board_settling_ns(const struct sw_board *board, int node)
{
	return atomic_load(&board->settling_ns[place_of(node)]);
}

uint32_t sw_board_ddl_slot(const char *database)
{
	return (uint32_t)(sw_hash(database, strlen(database), 0) % SW_DDL_SLOTS);
}

void sw_board_note_ddl(struct sw_board *board, enum sw_ddl kind, uint32_t slot, int64_t now_ns)
{
	atomic_store_explicit(&board->ddl_ns[kind][slot], now_ns, memory_order_relaxed);
}

int64_t sw_board_ddl_ns(const struct sw_board *board, enum sw_ddl kind, uint32_t slot)
{
	return atomic_load_explicit(&board->ddl_ns[kind][slot], memory_order_relaxed);
}
