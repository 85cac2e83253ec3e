/*
 * Fuzz target of the wire decoders. The first byte of an input chooses: 's' takes the rest as a first packet,
 * 'l' puts the right length in front of it, so that the fuzzer gets past that check, 'f' takes it as the body
 * of an error. Built with -fsanitize=fuzzer; the corpus also runs in tests/unit/test_message.c, which
 * includes this file.
 *
 * What must hold is checked, not only that nothing is read out of bounds: whatever is handed out lies in the
 * packet, and the parameters of an accepted packet, built into a packet again, are the same bytes.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(const void *at, size_t len, const uint8_t *packet, size_t packet_len)
{
	const uint8_t *first = at;

	return first >= packet && len <= packet_len && (size_t)(first - packet) <= packet_len - len;
}

/* Every accepted set of parameters is pairs of texts and an empty name. */
static void check_parameters_again(const struct sw_startup *startup, const uint8_t *packet, size_t len)
{
	const char *at = (const char *)startup->parameters, *end = at + startup->parameters_len;
	const char **pairs = sw_mem_zalloc((startup->parameters_len + 2) * sizeof(*pairs));
	size_t count = 0;
	struct sw_buf again;

	for (; *at; at += strlen(at) + 1) {
		assert(at < end);
		pairs[count++] = at;
		if (count % 2 == 1 && at[strlen(at) + 1] == '\0') { /* an empty value does not end the list */
			at += strlen(at) + 1;
			pairs[count++] = at;
		}
	}
	assert(count % 2 == 0 && at + 1 == end);
	sw_buf_init(&again, SW_STARTUP_BYTES_MAX);
	sw_msg_startup(&again, pairs);
	assert(sw_buf_len(&again) == len);
	assert(memcmp(sw_buf_data(&again), packet, 4) == 0);
	assert(memcmp(sw_buf_data(&again) + 8, packet + 8, len - 8) == 0);
	sw_buf_fini(&again);
	sw_mem_free(pairs);
}

static void fuzz_startup(const uint8_t *packet, size_t len)
{
	struct sw_startup startup;

	memset(&startup, 0xee, sizeof(startup));
	if (sw_startup_parse(packet, len, &startup) != SW_OK) {
		assert(startup.version == 0xeeeeeeee &&
		        startup.secret_len == (size_t)UINT64_C(0xeeeeeeeeeeeeeeee));
		return;
	}
	assert(len >= 8 && len <= SW_STARTUP_BYTES_MAX && sw_get_u32(packet) == len);
	switch (startup.kind) {
	case SW_STARTUP_SSL:
	case SW_STARTUP_GSSENC:
		assert(len == 8);
		break;
	case SW_STARTUP_CANCEL:
		assert(startup.secret_len >= 4 && startup.secret_len <= 256);
		assert(startup.secret_len == len - 12);
		assert(is_inside(startup.secret, startup.secret_len, packet, len));
		break;
	case SW_STARTUP_SESSION:
		assert(startup.parameters_len == len - 8);
		assert(is_inside(startup.parameters, startup.parameters_len, packet, len));
		if (startup.version >> 16 == 3)
			check_parameters_again(&startup, packet, len);
		break;
	default:
		assert(!"a kind of packet that there is");
	}
}

static void fuzz_with_length(const uint8_t *rest, size_t len)
{
	uint8_t *packet = sw_mem_alloc(len + 4);

	sw_put_u32(packet, (uint32_t)(len + 4));
	memcpy(packet + 4, rest, len);
	fuzz_startup(packet, len + 4);
	sw_mem_free(packet);
}

static void fuzz_fields(const uint8_t *body, size_t len)
{
	static const char *const untouched = "untouched";
	struct sw_fields fields = {untouched, untouched, untouched, untouched, untouched, untouched, untouched, untouched};
	const char **texts[] = {
	        &fields.severity, &fields.sqlstate, &fields.message, &fields.detail, &fields.hint, &fields.where, &fields.inner, &fields.routine};
	bool is_right = sw_fields_parse(body, len, &fields) == SW_OK;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const char *text = *texts[i];

		if (is_right)
			assert(*text == '\0' || is_inside(text, strlen(text) + 1, body, len));
		else
			assert(text == untouched);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size == 0)
		return 0;
	copy = sw_mem_alloc(size - 1); /* its own piece of memory: the byte before it is out of bounds, too */
	memcpy(copy, data + 1, size - 1);
	if (data[0] == 's')
		fuzz_startup(copy, size - 1);
	else if (data[0] == 'l')
		fuzz_with_length(copy, size - 1);
	else
		fuzz_fields(copy, size - 1);
	sw_mem_free(copy);
	return 0;
}
