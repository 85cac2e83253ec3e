/* The threads that ask PAM, with a check of the test's own in place of libpam: who is asked when, and what is dropped. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/pam.h"
#include "proxy/base/limits.h"
#include "proxy/base/mem.h"

/* What the threads and the test tell each other. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t begun, answered, right;
	bool is_gate_open;
	uint64_t order[SW_PAM_THREADS_MAX * 4]; /* sessions, as they were begun */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void check(struct sw_pam_ask *ask)
{
	pthread_mutex_lock(&seen.lock);
	if (seen.begun < sizeof(seen.order) / sizeof(*seen.order))
		seen.order[seen.begun] = ask->session;
	seen.begun++;
	pthread_cond_broadcast(&seen.changed);
	while (!seen.is_gate_open)
		pthread_cond_wait(&seen.changed, &seen.lock);
	pthread_mutex_unlock(&seen.lock);
	ask->is_right = strcmp(ask->password, "right") == 0;
}

static void on_answer(struct sw_pam_ask *ask, void *arg)
{
	assert_ptr_equal(arg, &seen);
	pthread_mutex_lock(&seen.lock);
	seen.answered++;
	seen.right += ask->is_right;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
	sw_pam_ask_unref(ask);
}

static void wait_for(const uint32_t *count, uint32_t least)
{
	pthread_mutex_lock(&seen.lock);
	while (*count < least)
		pthread_cond_wait(&seen.changed, &seen.lock);
	pthread_mutex_unlock(&seen.lock);
}

static void set_gate(bool is_open)
{
	pthread_mutex_lock(&seen.lock);
	seen.is_gate_open = is_open;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static int begin(void **state)
{
	seen.begun = seen.answered = seen.right = 0;
	set_gate(false);
	*state = sw_pam_new(check, on_answer, &seen);
	return 0;
}

static int end(void **state)
{
	sw_pam_close(*state);
	set_gate(true);
	sw_pam_unref(*state);
	return 0;
}

/* The caller's reference. */
static struct sw_pam_ask *put(struct sw_pam *pam, uint64_t session, const char *password, enum sw_err expected)
{
	struct sw_pam_ask *ask = sw_pam_ask_new(NULL, "somebody", "127.0.0.1");

	ask->session = session;
	ask->password = sw_mem_strdup(password);
	assert_int_equal(sw_pam_put(pam, ask), expected);
	return ask;
}

static void test_what_is_asked(void **state)
{
	struct sw_pam_ask *named = sw_pam_ask_new("directory", "somebody", NULL);
	struct sw_pam_ask *usual = sw_pam_ask_new(NULL, "somebody", "::1");

	(void)state;
	assert_string_equal(named->service, "directory");
	assert_null(named->address);
	assert_string_equal(usual->service, "seawall");
	assert_string_equal(usual->address, "::1");
	sw_pam_ask_unref(named);
	sw_pam_ask_give_up(usual);
	sw_pam_ask_give_up(NULL);
}

static void test_answers(void **state)
{
	struct sw_pam_ask *asks[3];

	set_gate(true);
	for (int i = 0; i < 3; i++)
		asks[i] = put(*state, 1, i == 1 ? "wrong" : "right", SW_OK);
	wait_for(&seen.answered, 3);
	assert_int_equal(seen.right, 2);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(asks[i]->is_right, i != 1);
		sw_pam_ask_unref(asks[i]);
	}
}

static void test_no_more_at_a_time_than_threads_and_the_rest_in_turn(void **state)
{
	for (uint64_t i = 0; i < SW_PAM_THREADS_MAX + 3; i++)
		sw_pam_ask_unref(put(*state, i, "right", SW_OK));
	wait_for(&seen.begun, SW_PAM_THREADS_MAX);
	assert_int_equal(seen.answered, 0);
	assert_int_equal(seen.begun, SW_PAM_THREADS_MAX);
	set_gate(true);
	wait_for(&seen.answered, SW_PAM_THREADS_MAX + 3);
	assert_int_equal(seen.begun, SW_PAM_THREADS_MAX + 3);
	/* Who came when all threads were taken was begun after all who came before. */
	for (int i = 0; i < SW_PAM_THREADS_MAX; i++)
		assert_true(seen.order[i] < SW_PAM_THREADS_MAX);
}

static void test_nobody_asks_for_who_has_left_the_line(void **state)
{
	for (int i = 0; i < SW_PAM_THREADS_MAX; i++)
		sw_pam_ask_unref(put(*state, 1, "right", SW_OK));
	wait_for(&seen.begun, SW_PAM_THREADS_MAX);
	for (int i = 0; i < 5; i++)
		sw_pam_ask_give_up(put(*state, 2, "right", SW_OK));
	sw_pam_ask_unref(put(*state, 3, "right", SW_OK));
	set_gate(true);
	wait_for(&seen.answered, SW_PAM_THREADS_MAX + 1);
	assert_int_equal(seen.begun, SW_PAM_THREADS_MAX + 1);
	assert_int_equal(seen.order[SW_PAM_THREADS_MAX], 3);
}

static void test_the_line_has_an_end(void **state)
{
	for (int i = 0; i < SW_PAM_THREADS_MAX; i++)
		sw_pam_ask_unref(put(*state, 1, "right", SW_OK));
	wait_for(&seen.begun, SW_PAM_THREADS_MAX);
	for (int i = 0; i < SW_PAM_ASKS_MAX; i++)
		sw_pam_ask_give_up(put(*state, 2, "right", SW_OK));
	sw_pam_ask_unref(put(*state, 3, "right", SW_ERR_LIMIT));
	set_gate(true);
	wait_for(&seen.answered, SW_PAM_THREADS_MAX);
	assert_int_equal(seen.begun, SW_PAM_THREADS_MAX);
}

static void test_no_answer_after_the_end(void **state)
{
	for (int i = 0; i < SW_PAM_THREADS_MAX * 2; i++)
		sw_pam_ask_unref(put(*state, 1, "right", SW_OK));
	wait_for(&seen.begun, SW_PAM_THREADS_MAX);
	sw_pam_close(*state);
	sw_pam_ask_unref(put(*state, 2, "right", SW_OK)); /* lost */
	set_gate(true);
	assert_int_equal(seen.answered, 0);
	assert_int_equal(seen.begun, SW_PAM_THREADS_MAX);
}

/* What the client sends, up to the question. */
static void test_the_exchange(void **state)
{
	struct sw_verifier *verifier = sw_verifier_new(SW_METHOD_PAM, "somebody", NULL);
	const uint8_t *reply;
	size_t len;

	(void)state;
	assert_int_equal(sw_verifier_start(verifier, &reply, &len), SW_STEP_SEND);
	assert_int_equal(len, 4);
	assert_memory_equal(reply, "\0\0\0\3", 4);
	assert_int_equal(sw_verifier_feed(verifier, (const uint8_t *)"secret", 7, &reply, &len), SW_STEP_ASK);
	assert_null(reply);
	assert_string_equal(sw_verifier_answer(verifier), "secret");
	assert_int_equal(sw_verifier_feed(verifier, (const uint8_t *)"secret", 7, &reply, &len), SW_STEP_BROKEN);
	sw_verifier_free(verifier);
}

static void test_no_question_about_no_password(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum sw_auth_step step;
	} cases[] = {
		{"", 1, SW_STEP_FAILED}, {"", 0, SW_STEP_BROKEN}, {"a\0b", 4, SW_STEP_BROKEN}, {"ab", 2, SW_STEP_BROKEN}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_verifier *verifier = sw_verifier_new(SW_METHOD_PAM, "somebody", NULL);
		const uint8_t *reply;
		size_t len;

		assert_int_equal(sw_verifier_start(verifier, &reply, &len), SW_STEP_SEND);
		assert_int_equal(sw_verifier_feed(verifier, (const uint8_t *)cases[i].bytes, cases[i].len, &reply, &len),
			cases[i].step);
		sw_verifier_free(verifier);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_asked),
		cmocka_unit_test_setup_teardown(test_answers, begin, end),
		cmocka_unit_test_setup_teardown(test_no_more_at_a_time_than_threads_and_the_rest_in_turn, begin, end),
		cmocka_unit_test_setup_teardown(test_nobody_asks_for_who_has_left_the_line, begin, end),
		cmocka_unit_test_setup_teardown(test_the_line_has_an_end, begin, end),
		cmocka_unit_test_setup_teardown(test_no_answer_after_the_end, begin, end),
		cmocka_unit_test(test_the_exchange),
		cmocka_unit_test(test_no_question_about_no_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
