/* auth_query without a node: what is kept of its answers, who waits for them, and a second judgement by a newer one. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/auth/asks.h"
#include "proxy/auth/auth.h"
#include "proxy/auth/scram.h"
#include "proxy/auth/secret.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/mem.h"

#define THREADS 4
#define ROUNDS  5000
#define NAMES   50

/* RFC 7677, section 3: password "pencil". */
#define PENCIL                                                                                               \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"          \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define PENCIL_MD5 "md520c46e3762c864548e296b33c3406aa9" /* of user "user" */

static void keep(struct sw_secrets *secrets, const char *user, const char *secret, int64_t asked_ns)
{
	struct sw_known known;

	sw_secrets_keep(secrets, user, secret, asked_ns, &known);
	sw_known_fini(&known);
}

static bool is_there(struct sw_secrets *secrets, const char *user, int64_t since_ns)
{
	struct sw_known known;

	if (sw_secrets_find(secrets, user, since_ns, &known) != SW_OK)
		return false;
	sw_known_fini(&known);
	return true;
}

/* ---- the cache */

static void test_an_answer_is_as_old_as_its_question(void **state)
{
	struct sw_secrets *secrets = sw_secrets_new(10);
	struct sw_known known = {.asked_ns = 7};

	(void)state;
	assert_int_equal(sw_secrets_find(secrets, "a", INT64_MIN, &known), SW_ERR_NOT_FOUND);
	assert_int_equal(known.asked_ns, 7); /* untouched */
	sw_secrets_keep(secrets, "a", "one", 100, &known);
	assert_string_equal(known.secret, "one");
	assert_non_null(known.keys);
	assert_int_equal(known.asked_ns, 100);
	sw_known_fini(&known);
	assert_null(known.secret);
	assert_null(known.keys);
	assert_true(is_there(secrets, "a", 100));
	assert_false(is_there(secrets, "a", 101));
	assert_false(is_there(secrets, "A", INT64_MIN));
	keep(secrets, "a", "one", 200);
	assert_true(is_there(secrets, "a", 101));
	assert_int_equal(sw_secrets_count(secrets), 1);
	sw_secrets_free(secrets);
	sw_secrets_free(NULL);
}

static void test_nobody_and_no_password_are_answers(void **state)
{
	struct sw_secrets *secrets = sw_secrets_new(10);
	struct sw_known known;

	(void)state;
	keep(secrets, "nobody", NULL, 1);
	keep(secrets, "mute", "", 1);
	assert_int_equal(sw_secrets_find(secrets, "nobody", 1, &known), SW_OK);
	assert_null(known.secret);
	assert_null(known.keys);
	sw_known_fini(&known);
	assert_int_equal(sw_secrets_find(secrets, "mute", 1, &known), SW_OK);
	assert_string_equal(known.secret, "");
	sw_known_fini(&known);
	keep(secrets, "nobody", "born", 2);
	assert_int_equal(sw_secrets_find(secrets, "nobody", 2, &known), SW_OK);
	assert_string_equal(known.secret, "born");
	assert_non_null(known.keys);
	sw_known_fini(&known);
	sw_secrets_free(secrets);
}

/* What a client's login taught serves the same secret again, and never another one. */
static void test_keys_outlive_the_secret(void **state)
{
	struct sw_secrets *secrets = sw_secrets_new(10);
	struct sw_scram_salt salt;
	struct sw_scram_keys keys, found;
	struct sw_known known;

	(void)state;
	assert_int_equal(sw_scram_secret_parse(PENCIL, &salt, &keys), SW_OK);
	sw_secrets_keep(secrets, "a", PENCIL, 1, &known);
	sw_auth_keys_keep(known.keys, known.secret, &salt, &keys);
	sw_known_fini(&known);
	sw_secrets_keep(secrets, "a", "another", 2, &known);
	assert_int_equal(sw_auth_keys_find(known.keys, known.secret, &salt, &found), SW_ERR_NOT_FOUND);
	sw_known_fini(&known);
	keep(secrets, "a", NULL, 3);
	sw_secrets_keep(secrets, "a", PENCIL, 4, &known);
	assert_int_equal(sw_auth_keys_find(known.keys, known.secret, &salt, &found), SW_OK);
	assert_memory_equal(&keys, &found, sizeof(keys));
	sw_known_fini(&known);
	sw_secrets_free(secrets);
}

static void test_expired_answers_serve_nodes_only(void **state)
{
	struct sw_secrets *secrets = sw_secrets_new(10);

	(void)state;
	keep(secrets, "a", "one", 100);
	keep(secrets, "b", NULL, 100);
	sw_secrets_expire(secrets);
	assert_false(is_there(secrets, "a", INT64_MIN + 1));
	assert_true(is_there(secrets, "a", INT64_MIN));
	keep(secrets, "a", "one", 200);
	assert_true(is_there(secrets, "a", 200));
	assert_false(is_there(secrets, "b", 0));
	sw_secrets_free(secrets);
}

static void test_the_oldest_that_nobody_holds_makes_room(void **state)
{
	struct sw_secrets *secrets = sw_secrets_new(3);
	struct sw_known held;

	(void)state;
	sw_secrets_keep(secrets, "held", "x", 1, &held); /* a session */
	keep(secrets, "b", "x", 2);
	keep(secrets, "c", NULL, 3);
	keep(secrets, "b", "x", 4); /* asked again: c is older now */
	keep(secrets, "d", "x", 5);
	assert_int_equal(sw_secrets_count(secrets), 3);
	assert_true(is_there(secrets, "held", 1));
	assert_true(is_there(secrets, "b", 4));
	assert_false(is_there(secrets, "c", 0));
	assert_true(is_there(secrets, "d", 5));
	sw_known_fini(&held);
	keep(secrets, "e", "x", 6);
	keep(secrets, "f", "x", 7);
	keep(secrets, "g", "x", 8);
	assert_false(is_there(secrets, "held", 0)); /* the session has ended */
	assert_int_equal(sw_secrets_count(secrets), 3);
	sw_secrets_free(secrets);
}

/* The bound holds even where all are held; then it is the holder who loses, and who has to be asked for again. */
static void test_the_bound_is_hard(void **state)
{
	enum { MOST = 200 };
	struct sw_secrets *secrets = sw_secrets_new(MOST);
	struct sw_known held[MOST + 50];
	char name[16];

	(void)state;
	for (int i = 0; i < MOST + 50; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		sw_secrets_keep(secrets, name, "x", i, &held[i]);
		assert_true(is_there(secrets, name, i));
		assert_true(sw_secrets_count(secrets) <= MOST);
	}
	assert_int_equal(sw_secrets_count(secrets), MOST);
	sw_secrets_free(secrets); /* holders may live longer */
	for (int i = 0; i < MOST + 50; i++)
		sw_known_fini(&held[i]);
}

static void test_many_names(void **state)
{
	struct sw_secrets *secrets = sw_secrets_new(SW_SECRETS_MAX);
	char name[16];

	(void)state;
	for (int i = 0; i < SW_SECRETS_MAX + 10; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		keep(secrets, name, i % 2 ? "x" : NULL, i);
	}
	assert_int_equal(sw_secrets_count(secrets), SW_SECRETS_MAX);
	assert_false(is_there(secrets, "u9", 0));
	assert_true(is_there(secrets, "u10", 0));
	sw_secrets_free(secrets);
}

static void *use(void *arg)
{
	struct sw_secrets *secrets = arg;
	struct sw_known known;
	char name[16];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "u%d", i * 7 % NAMES);
		if (sw_secrets_find(secrets, name, i / 2, &known) == SW_OK) {
			assert_true(!known.secret || strcmp(known.secret, name) == 0);
			sw_known_fini(&known);
		} else {
			sw_secrets_keep(secrets, name, i % 5 ? name : NULL, i, &known);
			sw_known_fini(&known);
		}
		if (i % 1000 == 0)
			sw_secrets_expire(secrets);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct sw_secrets *secrets = sw_secrets_new(NAMES / 2);
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, secrets), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(sw_secrets_count(secrets) <= NAMES / 2);
	sw_secrets_free(secrets);
}

static void test_what_is_nobody_s_secret(void **state)
{
	char text[SW_SECRET_BYTES_MAX + 2];

	(void)state;
	assert_null(sw_secrets_complaint(""));
	assert_null(sw_secrets_complaint("pencil"));
	assert_null(sw_secrets_complaint("pencil*"));
	assert_null(sw_secrets_complaint(PENCIL));
	assert_null(sw_secrets_complaint(PENCIL_MD5));
	assert_non_null(strstr(sw_secrets_complaint("********"), "pg_roles"));
	assert_non_null(strstr(sw_secrets_complaint("SCRAM-SHA-256$4096:x$y:z"), "damaged"));
	assert_non_null(strstr(sw_secrets_complaint("md520C46E3762C864548E296B33C3406AA9"), "capital"));
	memset(text, 'x', sizeof(text));
	text[SW_SECRET_BYTES_MAX] = '\0';
	assert_null(sw_secrets_complaint(text));
	text[SW_SECRET_BYTES_MAX] = 'x';
	text[SW_SECRET_BYTES_MAX + 1] = '\0';
	assert_non_null(strstr(sw_secrets_complaint(text), "longer"));
}

/* ---- who waits */

static struct sw_secret_ask ask_of(const char *user, uint64_t session, int64_t since_ns)
{
	struct sw_secret_ask ask = {.session = session, .since_ns = since_ns};

	snprintf(ask.user, sizeof(ask.user), "%s", user);
	return ask;
}

static void add(struct sw_asks *asks, const char *user, uint64_t session, int64_t since_ns)
{
	struct sw_secret_ask ask = ask_of(user, session, since_ns);

	assert_int_equal(sw_asks_add(asks, &ask), SW_OK);
}

static uint64_t take(struct sw_asks *asks)
{
	struct sw_secret_ask ask;

	sw_asks_take(asks, &ask);
	return ask.session;
}

static void test_one_question_for_all_who_wait_for_a_user(void **state)
{
	struct sw_asks *asks = sw_asks_new();

	(void)state;
	assert_null(sw_asks_first(asks));
	assert_int_equal(sw_asks_of_first(asks), 0);
	add(asks, "a", 1, 10);
	add(asks, "b", 2, 10);
	add(asks, "a", 3, 20);
	add(asks, "b", 4, 10);
	assert_string_equal(sw_asks_first(asks), "a");
	assert_int_equal(sw_asks_of_first(asks), 2);
	sw_asks_sent(asks, 30);
	assert_int_equal(take(asks), 1);
	assert_string_equal(sw_asks_first(asks), "a");
	assert_int_equal(take(asks), 3);
	assert_string_equal(sw_asks_first(asks), "b");
	assert_int_equal(take(asks), 2);
	assert_int_equal(take(asks), 4);
	assert_null(sw_asks_first(asks));
	sw_asks_free(asks);
	sw_asks_free(NULL);
}

static void test_a_question_under_way_may_be_too_old(void **state)
{
	struct sw_asks *asks = sw_asks_new();

	(void)state;
	add(asks, "a", 1, 10);
	sw_asks_sent(asks, 30);
	add(asks, "a", 2, 30); /* old enough answers will do */
	add(asks, "a", 3, 31); /* they will not: a password may have been changed since */
	add(asks, "a", 4, 40); /* joins the one that was not sent yet */
	assert_int_equal(sw_asks_of_first(asks), 2);
	assert_int_equal(take(asks), 1);
	assert_int_equal(take(asks), 2);
	assert_string_equal(sw_asks_first(asks), "a");
	assert_int_equal(sw_asks_of_first(asks), 2);
	sw_asks_sent(asks, 50);
	sw_asks_lost(asks); /* will be sent again, later than now */
	add(asks, "a", 5, 60);
	assert_int_equal(sw_asks_of_first(asks), 3);
	sw_asks_free(asks); /* also with some who wait */
}

static void test_so_many_may_wait_and_no_more(void **state)
{
	struct sw_asks *asks = sw_asks_new();
	struct sw_secret_ask ask;
	char name[16];

	(void)state;
	for (uint64_t i = 0; i < SW_ASKS_MAX; i++) {
		snprintf(name, sizeof(name), "u%u", (unsigned)(i % 5000));
		add(asks, name, i, 0);
	}
	ask = ask_of("u0", 1, 0);
	assert_int_equal(sw_asks_add(asks, &ask), SW_ERR_LIMIT);
	assert_int_equal(sw_asks_of_first(asks), SW_ASKS_MAX / 5000);
	assert_int_equal(take(asks), 0);
	assert_int_equal(sw_asks_add(asks, &ask), SW_OK);
	sw_asks_free(asks);
}

/* ---- a second judgement */

static enum sw_auth_step offer(
        struct sw_verifier *verifier, enum sw_auth_method method, const char *user, const char *password)
{
	char response[SW_MD5_SECRET_MAX];
	const uint8_t *reply;
	size_t len;

	assert_int_equal(sw_verifier_start(verifier, &reply, &len), SW_STEP_SEND);
	if (method == SW_METHOD_MD5) {
		assert_int_equal(len, 8);
		assert_int_equal(sw_secret_md5_response(password, user, reply + 4, response), SW_OK);
		password = response;
	}
	return sw_verifier_feed(verifier, (const uint8_t *)password, strlen(password) + 1, &reply, &len);
}

static void test_the_client_s_answer_is_judged_by_a_newer_secret(void **state)
{
	static const struct {
		enum sw_auth_method method;
		const char *old, *password, *fresh;
		enum sw_auth_step step;
	} cases[] = {
	        {SW_METHOD_PLAIN, "old", "pencil", "pencil", SW_STEP_DONE},
	        {SW_METHOD_PLAIN, "old", "pencil", PENCIL_MD5, SW_STEP_DONE},
	        {SW_METHOD_PLAIN, "old", "pencil", PENCIL, SW_STEP_DONE},
	        {SW_METHOD_PLAIN, NULL, "pencil", PENCIL, SW_STEP_DONE}, /* a new user */
	        {SW_METHOD_PLAIN, PENCIL, "new", "new", SW_STEP_DONE},
	        {SW_METHOD_PLAIN, "old", "wrong", PENCIL, SW_STEP_FAILED},
	        {SW_METHOD_PLAIN, "old", "wrong", "old", SW_STEP_FAILED},
	        {SW_METHOD_PLAIN, "old", "", "", SW_STEP_FAILED},
	        {SW_METHOD_PLAIN, "old", "pencil", NULL, SW_STEP_FAILED}, /* dropped */
	        {SW_METHOD_MD5, "old", "pencil", "pencil", SW_STEP_DONE},
	        {SW_METHOD_MD5, "old", "pencil", PENCIL_MD5, SW_STEP_DONE},
	        {SW_METHOD_MD5, NULL, "pencil", PENCIL_MD5, SW_STEP_DONE},
	        {SW_METHOD_MD5, PENCIL_MD5, "wrong", "new", SW_STEP_FAILED},
	        {SW_METHOD_MD5, "old", "pencil", PENCIL, SW_STEP_FAILED}, /* the client has to come again */
	        {SW_METHOD_MD5, "old", "pencil", "", SW_STEP_FAILED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_verifier *verifier = sw_verifier_new(cases[i].method, "user", cases[i].old);
		struct sw_auth_keys *keys = sw_auth_keys_new();

		assert_int_equal(
		        offer(verifier, cases[i].method, "user", cases[i].password), SW_STEP_FAILED);
		assert_int_equal(sw_verifier_again(verifier, cases[i].fresh, keys), cases[i].step);
		assert_false(cases[i].step == SW_STEP_FAILED &&
		             strcmp(sw_verifier_reason(verifier), "nothing failed") == 0);
		sw_verifier_free(verifier);
		assert_false(sw_auth_keys_are_shared(keys));
		sw_auth_keys_unref(keys);
	}
}

/* The proof was made for the salt of the old secret. */
static void test_a_proof_says_nothing_about_another_secret(void **state)
{
	static const uint8_t first[] = "SCRAM-SHA-256\0\0\0\0\x14n,,n=,r=abcdefghijkl";
	struct sw_verifier *verifier = sw_verifier_new(SW_METHOD_SCRAM, "user", PENCIL_MD5);
	char final[SW_SCRAM_MESSAGE_MAX], nonce[256];
	const uint8_t *reply;
	size_t len;

	(void)state;
	assert_int_equal(sw_verifier_start(verifier, &reply, &len), SW_STEP_SEND);
	assert_int_equal(sw_verifier_feed(verifier, first, sizeof(first) - 1, &reply, &len), SW_STEP_SEND);
	assert_int_equal(sscanf((const char *)reply + 4, "r=%255[^,]", nonce), 1);
	snprintf(final, sizeof(final), "c=biws,r=%s,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", nonce);
	assert_int_equal(
	        sw_verifier_feed(verifier, (const uint8_t *)final, strlen(final), &reply, &len), SW_STEP_FAILED);
	assert_int_equal(sw_verifier_again(verifier, PENCIL, NULL), SW_STEP_FAILED);
	assert_non_null(strstr(sw_verifier_reason(verifier), "md5 hash"));
	sw_verifier_free(verifier);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_an_answer_is_as_old_as_its_question),
	        cmocka_unit_test(test_nobody_and_no_password_are_answers),
	        cmocka_unit_test(test_keys_outlive_the_secret),
	        cmocka_unit_test(test_expired_answers_serve_nodes_only),
	        cmocka_unit_test(test_the_oldest_that_nobody_holds_makes_room),
	        cmocka_unit_test(test_the_bound_is_hard),
	        cmocka_unit_test(test_many_names),
	        cmocka_unit_test(test_threads),
	        cmocka_unit_test(test_what_is_nobody_s_secret),
	        cmocka_unit_test(test_one_question_for_all_who_wait_for_a_user),
	        cmocka_unit_test(test_a_question_under_way_may_be_too_old),
	        cmocka_unit_test(test_so_many_may_wait_and_no_more),
	        cmocka_unit_test(test_the_client_s_answer_is_judged_by_a_newer_secret),
	        cmocka_unit_test(test_a_proof_says_nothing_about_another_secret),
	};

	return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
