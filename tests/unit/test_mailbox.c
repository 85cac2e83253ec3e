/*
 * Mail between threads: nothing is lost, doubled or mixed up, whatever a letter holds is seen whole (built
 * with ThreadSanitizer too: the letters' contents are plain memory), and a letter posted by a receiver
 * arrives later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "proxy/base/list.h"
#include "proxy/base/mailbox.h"

#define SENDERS 4
#define LETTERS 5000

struct letter {
	struct sw_mail mail;
	uint32_t sender, number;
	uint64_t contents; /* not atomic: what the mailbox must make visible */
};

struct office {
	uv_loop_t loop;
	struct sw_mailbox box;
	uint32_t expected; /* letters until the box is closed */
	uint32_t arrived;
	uint32_t next[SENDERS]; /* number of each sender's next letter */
	uint32_t faults;
	char trace[32];
};

struct sender {
	uv_thread_t thread;
	uint32_t id;
	struct sw_mailbox *to;
};

static void open_office(struct office *office, uint32_t expected)
{
	memset(office, 0, sizeof(*office));
	office->expected = expected;
	assert_int_equal(uv_loop_init(&office->loop), 0);
	assert_int_equal(sw_mailbox_init(&office->box, &office->loop, office), SW_OK);
}

static void close_office(struct office *office)
{
	assert_int_equal(uv_loop_close(&office->loop), 0);
	assert_int_equal(office->faults, 0);
}

static uint64_t contents_of(uint32_t sender, uint32_t number)
{
	return ((uint64_t)sender << 32 | number) * UINT64_C(0x9E3779B97F4A7C15);
}

static void on_letter(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct office *office = owner;

	if (letter->sender >= SENDERS || letter->number != office->next[letter->sender]++ ||
	        letter->contents != contents_of(letter->sender, letter->number))
		office->faults++;
	free(letter); /* the receiver owns it */
	if (++office->arrived == office->expected)
		sw_mailbox_close(&office->box);
}

static void post(struct sw_mailbox *to, uint32_t sender, uint32_t number)
{
	struct letter *letter = calloc(1, sizeof(*letter));

	if (!letter)
		abort();
	letter->mail.on_arrival = on_letter;
	letter->sender = sender;
	letter->number = number;
	letter->contents = contents_of(sender, number);
	sw_mailbox_post(to, &letter->mail);
}

static void send_all(void *arg)
{
	struct sender *sender = arg;

	for (uint32_t i = 0; i < LETTERS; i++)
		post(sender->to, sender->id, i);
}

static void test_one_thread(void **state)
{
	struct office office;

	(void)state;
	open_office(&office, 3);
	for (uint32_t i = 0; i < 3; i++)
		post(&office.box, 0, i);
	assert_int_equal(office.arrived, 0); /* never inside the post */
	uv_run(&office.loop, UV_RUN_DEFAULT);
	assert_int_equal(office.arrived, 3);
	close_office(&office);
}

/* While the owner runs. Order holds for each sender. */
static void test_many_senders(void **state)
{
	struct sender senders[SENDERS];
	struct office office;

	(void)state;
	open_office(&office, SENDERS * LETTERS);
	for (uint32_t i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){.id = i, .to = &office.box};
		assert_int_equal(uv_thread_create(&senders[i].thread, send_all, &senders[i]), 0);
	}
	uv_run(&office.loop, UV_RUN_DEFAULT);
	for (uint32_t i = 0; i < SENDERS; i++) {
		uv_thread_join(&senders[i].thread);
		assert_int_equal(office.next[i], LETTERS);
	}
	assert_int_equal(office.arrived, SENDERS * LETTERS);
	close_office(&office);
}

static void on_traced(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct office *office = owner;

	office->trace[office->arrived++] = (char)letter->number;
	if (letter->number == 'b') { /* posts itself again, under another name */
		letter->number = 'z';
		sw_mailbox_post(&office->box, mail);
	}
	if (letter->number == 'z' && office->arrived == 4)
		sw_mailbox_close(&office->box);
}

/* All that was posted comes in one turn and in order; what is posted meanwhile waits for the next one. */
static void test_posted_on_arrival_comes_later(void **state)
{
	struct letter letters[3] = {{.number = 'a'}, {.number = 'b'}, {.number = 'c'}};
	struct office office;

	(void)state;
	open_office(&office, 0);
	for (int i = 0; i < 3; i++) {
		letters[i].mail.on_arrival = on_traced;
		sw_mailbox_post(&office.box, &letters[i].mail);
	}
	uv_run(&office.loop, UV_RUN_ONCE);
	assert_string_equal(office.trace, "abc");
	uv_run(&office.loop, UV_RUN_DEFAULT);
	assert_string_equal(office.trace, "abcz");
	close_office(&office);
}

static void test_letters_left_at_close_do_not_arrive(void **state)
{
	struct letter letter = {.mail = {.on_arrival = on_letter}};
	struct office office;

	(void)state;
	open_office(&office, 1);
	sw_mailbox_post(&office.box, &letter.mail);
	sw_mailbox_close(&office.box);
	uv_run(&office.loop, UV_RUN_DEFAULT);
	assert_int_equal(office.arrived, 0);
	close_office(&office);
}

static uint32_t lost_count;
static char lost[8];

static void on_lost(struct sw_mail *mail)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);

	lost[lost_count++] = (char)letter->number;
	free(letter);
}

static void on_close(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct office *office = owner;

	office->trace[office->arrived++] = (char)letter->number;
	if (letter->number == 'b')
		sw_mailbox_close(&office->box);
	free(letter);
}

/* The owner may be half gone when it has closed its box. The letters that it never sees are freed by on_lost, in
 * order, whether they came in the same batch or later; ASan sees one that is forgotten. */
static void test_close_on_arrival_ends_the_batch(void **state)
{
	struct office office;

	(void)state;
	lost_count = 0;
	memset(lost, 0, sizeof(lost));
	open_office(&office, 0);
	for (int i = 0; i < 5; i++) {
		struct letter *letter = calloc(1, sizeof(*letter));

		assert_non_null(letter);
		letter->mail = (struct sw_mail){.on_arrival = on_close, .on_lost = on_lost};
		letter->number = (uint32_t)('a' + i);
		sw_mailbox_post(&office.box, &letter->mail);
		if (i == 3)
			uv_run(&office.loop, UV_RUN_NOWAIT);
	}
	uv_run(&office.loop, UV_RUN_DEFAULT);
	assert_string_equal(office.trace, "ab");
	assert_int_equal(lost_count, 0); /* not before the owner says that nobody posts any more */
	sw_mailbox_fini(&office.box);
	assert_string_equal(lost, "cde");
	sw_mailbox_fini(&office.box); /* twice is harmless */
	assert_int_equal(lost_count, 3);
	close_office(&office);
}

/* A letter without on_lost is its poster's: nothing is called and nothing is freed. */
static void test_letter_left_stays_the_posters(void **state)
{
	struct letter letter = {.mail = {.on_arrival = on_letter}, .number = 7};
	struct office office;

	(void)state;
	open_office(&office, 1);
	sw_mailbox_post(&office.box, &letter.mail);
	sw_mailbox_close(&office.box);
	uv_run(&office.loop, UV_RUN_DEFAULT);
	sw_mailbox_fini(&office.box);
	assert_int_equal(office.arrived, 0);
	assert_int_equal(letter.number, 7);
	close_office(&office);
}

/* Two loops that answer each other, as control and worker do: a letter goes to and fro, its contents with it.
 */
struct ball {
	struct sw_mail mail;
	struct office *at[2];
	uint32_t hits; /* plain memory, written by both threads in turn */
};

static void on_ball(struct sw_mail *mail, void *owner)
{
	struct ball *ball = SW_CONTAINER_OF(mail, struct ball, mail);
	struct office *here = owner, *there = ball->at[ball->at[0] == here];

	here->arrived++;
	ball->hits++;
	if (ball->hits <= 2 * LETTERS)
		sw_mailbox_post(&there->box, mail); /* from here on the other's */
	if (here->arrived == here->expected)
		sw_mailbox_close(&here->box);
}

static void run_loop(void *arg)
{
	uv_run(&((struct office *)arg)->loop, UV_RUN_DEFAULT);
}

static void test_two_loops(void **state)
{
	struct office here, there;
	struct ball ball = {.mail = {.on_arrival = on_ball}, .at = {&here, &there}};
	uv_thread_t thread;

	(void)state;
	open_office(&here, LETTERS + 1);
	open_office(&there, LETTERS);
	assert_int_equal(uv_thread_create(&thread, run_loop, &there), 0);
	sw_mailbox_post(&here.box, &ball.mail);
	uv_run(&here.loop, UV_RUN_DEFAULT);
	uv_thread_join(&thread);
	assert_int_equal(here.arrived, LETTERS + 1);
	assert_int_equal(there.arrived, LETTERS);
	assert_int_equal(ball.hits, 2 * LETTERS + 1);
	close_office(&here);
	close_office(&there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_one_thread),
	        cmocka_unit_test(test_many_senders),
	        cmocka_unit_test(test_posted_on_arrival_comes_later),
	        cmocka_unit_test(test_letters_left_at_close_do_not_arrive),
	        cmocka_unit_test(test_close_on_arrival_ends_the_batch),
	        cmocka_unit_test(test_letter_left_stays_the_posters),
	        cmocka_unit_test(test_two_loops),
	};

	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
