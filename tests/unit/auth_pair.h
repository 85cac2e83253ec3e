/*
 * Both roles of authentication, which talk to each other without sockets. Included by the tests of exchanges.
 */
#ifndef SW_TEST_AUTH_PAIR_H
#define SW_TEST_AUTH_PAIR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/scram.h"

struct pair {
	struct sw_verifier *verifier;
	struct sw_login *login;
	enum sw_auth_step step;
	enum sw_login_step login_step;
	int corrupt; /* number of the message, either way, whose last byte is changed; 0 = none */
};

static const uint8_t ok_message[4];

/* Lets the two talk until one of them ends. */
static void talk(struct pair *pair)
{
	const uint8_t *bytes;
	uint8_t copy[SW_SCRAM_MESSAGE_MAX + 64];
	size_t len;
	int number = 0;

	pair->login_step = SW_LOGIN_WAIT;
	pair->step = sw_verifier_start(pair->verifier, &bytes, &len);
	for (;;) {
		if (pair->step == SW_STEP_SEND || pair->step == SW_STEP_SEND_DONE) {
			assert_true(len >= 4 && len <= sizeof(copy));
			memcpy(copy, bytes, len);
			copy[len - 1] ^= ++number == pair->corrupt;
			pair->login_step = sw_login_feed(pair->login, copy, len, &bytes, &len);
		}
		if (pair->step == SW_STEP_DONE ||
		        (pair->step == SW_STEP_SEND_DONE && pair->login_step == SW_LOGIN_WAIT))
			pair->login_step = sw_login_feed(pair->login, ok_message, 4, &bytes, &len);
		if (pair->step != SW_STEP_SEND || pair->login_step != SW_LOGIN_SEND)
			return;
		assert_true(len > 0 && len <= sizeof(copy));
		memcpy(copy, bytes, len);
		copy[len - 1] ^= ++number == pair->corrupt;
		pair->step = sw_verifier_feed(pair->verifier, copy, len, &bytes, &len);
	}
}

static void pair_free(struct pair *pair)
{
	sw_verifier_free(pair->verifier);
	sw_login_free(pair->login);
}

#endif
