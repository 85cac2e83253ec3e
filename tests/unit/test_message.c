/*
 * Messages on the wire: each builder against bytes written by hand from the manual (55.7), the parsers
 * against whole, cut and lying packets. Every packet is parsed as an exact-size heap copy, so that a read
 * past its end shows under ASan; a cut must give an error, whether or not the length in it was cut to match.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/wire/reader.h"
#include "tests/fuzz/fuzz_wire.c"
#include "tests/unit/corpus.h"

/* A literal with NULs and its length. */
#define B(literal) literal, sizeof(literal) - 1

#define V3 "\0\3\0\0"

static struct sw_buf out;

static void assert_built(const char *expected, size_t len)
{
	assert_int_equal(sw_buf_len(&out), len);
	assert_memory_equal(sw_buf_data(&out), expected, len);
	sw_buf_clear(&out);
}

static int set_up(void **state)
{
	(void)state;
	sw_buf_init(&out, SW_AUTH_MESSAGE_BYTES_MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sw_buf_fini(&out);
	return 0;
}

static void test_numbers(void **state)
{
	uint8_t bytes[4];

	(void)state;
	sw_msg_u8(&out, 0xfe);
	sw_msg_u16(&out, 0x1234);
	sw_msg_u16(&out, 0xfffe);
	sw_msg_u32(&out, 0x12345678);
	sw_msg_u32(&out, 0xfedcba98);
	assert_built(B("\xfe\x12\x34\xff\xfe\x12\x34\x56\x78\xfe\xdc\xba\x98"));
	sw_put_u32(bytes, 0xfedcba98);
	assert_memory_equal(bytes, "\xfe\xdc\xba\x98", 4);
	assert_int_equal(sw_get_u32(bytes), 0xfedcba98);
	sw_msg_bytes(&out, NULL, 0);
	sw_msg_text(&out, "");
	sw_msg_text(&out, "ab");
	assert_built(B("\0ab\0"));
}

static void test_to_clients(void **state)
{
	static const char *const names[] = {"a", "bc"};
	static const char *const values[] = {"x", NULL, ""};

	(void)state;
	sw_msg_auth(&out, (const uint8_t *)"\0\0\0\12SCRAM-SHA-256\0", 19);
	assert_built(B("R\0\0\0\27\0\0\0\12SCRAM-SHA-256\0\0"));
	sw_msg_parameter_status(&out, "TimeZone", "UTC");
	assert_built(B("S\0\0\0\21TimeZone\0UTC\0"));
	sw_msg_backend_key(&out, 0x01020304, (const uint8_t *)"\xff\xfe\xfd\xfc", 4);
	assert_built(B("K\0\0\0\14\1\2\3\4\xff\xfe\xfd\xfc"));
	sw_msg_ready(&out, 'T');
	assert_built(B("Z\0\0\0\5T"));
	sw_msg_command_complete(&out, "SELECT 1");
	assert_built(B("C\0\0\0\15SELECT 1\0"));
	sw_msg_row_description(&out, names, 2);
	assert_built(B("T\0\0\0\57\0\2"
	               "a\0\0\0\0\0\0\0\0\0\0\31\xff\xff\xff\xff\xff\xff\0\0"
	               "bc\0\0\0\0\0\0\0\0\0\0\31\xff\xff\xff\xff\xff\xff\0\0"));
	sw_msg_data_row(&out, values, 3);
	assert_built(B("D\0\0\0\23\0\3\0\0\0\1x\xff\xff\xff\xff\0\0\0\0"));
	sw_msg_data_row(&out, NULL, 0);
	assert_built(B("D\0\0\0\6\0\0"));
	sw_msg_negotiate(&out, 0, names, 2);
	assert_built(B("v\0\0\0\21\0\0\0\0\0\0\0\2a\0bc\0"));
}

static void test_problems(void **state)
{
	static const struct sw_problem whole = {"FATAL", "57P01", "m", "d", "h"},
	                               bare = {.severity = "WARNING", .sqlstate = "01000", .message = "m"};

	(void)state;
	sw_msg_problem(&out, &whole);
	assert_built(B("E\0\0\0\43SFATAL\0VFATAL\0C57P01\0Mm\0Dd\0Hh\0\0"));
	sw_msg_problem(&out, &bare);
	assert_built(B("N\0\0\0\41SWARNING\0VWARNING\0C01000\0Mm\0\0"));
	sw_msg_problem(&out, &(struct sw_problem){.severity = "NOTICE", .sqlstate = "00000", .message = ""});
	assert_built(B("N\0\0\0\36SNOTICE\0VNOTICE\0C00000\0M\0\0"));
	sw_msg_problem(&out,
	        &(struct sw_problem){.severity = "ERROR", .sqlstate = "25006", .message = "m", .hint = "h"});
	assert_built(B("E\0\0\0\40SERROR\0VERROR\0C25006\0Mm\0Hh\0\0"));
}

static void test_to_servers(void **state)
{
	static const char *const values[] = {"one", ""};
	static const char *const pairs[] = {"user", "u", "options", "", NULL};
	static const char *const no_pairs[] = {NULL};

	(void)state;
	sw_msg_query(&out, "SELECT 1");
	assert_built(B("Q\0\0\0\15SELECT 1\0"));
	sw_msg_parse(&out, "sw_1", "SELECT $1", (const uint8_t *)"\0\0\0\27", 1);
	assert_built(B("P\0\0\0\31sw_1\0SELECT $1\0\0\1\0\0\0\27"));
	sw_msg_parse(&out, "", "", NULL, 0);
	assert_built(B("P\0\0\0\10\0\0\0\0"));
	sw_msg_bind(&out, "s", values, 2);
	assert_built(B("B\0\0\0\30\0s\0\0\0\0\2\0\0\0\3one\0\0\0\0\0\0"));
	sw_msg_execute(&out, "p");
	assert_built(B("E\0\0\0\12p\0\0\0\0\0"));
	sw_msg_sync(&out);
	assert_built(B("S\0\0\0\4"));
	sw_msg_close_statement(&out, "s");
	assert_built(B("C\0\0\0\7Ss\0"));
	sw_msg_cancel(&out, 0x01020304, 0xfffefdfc);
	assert_built(B("\0\0\0\20\4\xd2\26\56\1\2\3\4\xff\xfe\xfd\xfc"));
	sw_msg_startup(&out, pairs);
	assert_built(B("\0\0\0\31" V3 "user\0u\0options\0\0\0"));
	sw_msg_startup(&out, no_pairs);
	assert_built(B("\0\0\0\11" V3 "\0"));
}

/* A length is filled in where the message lies, also when the buffer has moved and grown since its begin. */
static void test_length_after_a_move(void **state)
{
	static const uint8_t filler[300] = {0};
	size_t mark;

	(void)state;
	sw_msg_bytes(&out, filler, 200);
	sw_msg_ready(&out, 'I');
	sw_buf_consume(&out, 200);
	mark = sw_msg_begin(&out, 'x');
	sw_msg_bytes(&out, filler, 300);
	sw_msg_end(&out, mark);
	assert_int_equal(sw_buf_len(&out), 6 + 5 + 300);
	assert_memory_equal(sw_buf_data(&out), "Z\0\0\0\5Ix\0\0\1\60", 11);
}

static void test_reader(void **state)
{
	static const uint8_t bytes[] = "\x01\x02\x03\xff\xfe\xfd\xfc"
	                               "ab\0z";
	struct sw_reader reader = sw_reader_over(bytes, 11);

	(void)state;
	assert_int_equal(sw_read_u8(&reader), 1);
	assert_int_equal(sw_read_u16(&reader), 0x0203);
	assert_int_equal(sw_read_u32(&reader), 0xfffefdfc);
	assert_string_equal(sw_read_text(&reader), "ab");
	assert_int_equal(sw_reader_left(&reader), 1);
	assert_false(sw_reader_is_done(&reader));
	assert_string_equal(sw_read_text(&reader), ""); /* "z" has no end */
	assert_true(reader.failed);
	assert_int_equal(sw_read_u8(&reader), 0); /* stays failed, though a byte is left */
	assert_false(sw_reader_is_done(&reader));
	reader = sw_reader_over(bytes, 3);
	assert_int_equal(sw_read_u32(&reader), 0);
	assert_true(reader.failed);
	reader = sw_reader_over(bytes, 3);
	assert_null(sw_read_bytes(&reader, SIZE_MAX));
	reader = sw_reader_over(bytes, 3);
	assert_ptr_equal(sw_read_bytes(&reader, 3), bytes);
	assert_true(sw_reader_is_done(&reader));
	assert_ptr_equal(sw_read_bytes(&reader, 0), bytes + 3);
	assert_true(sw_reader_is_done(&reader));
}

static enum sw_err parse_startup(
        const char *packet, size_t len, bool has_right_length, struct sw_startup *ret_startup)
{
	uint8_t *copy = malloc(len ? len : 1);
	enum sw_err err;

	assert_non_null(copy);
	memcpy(copy, packet, len);
	if (has_right_length && len >= 4)
		sw_put_u32(copy, (uint32_t)len);
	err = sw_startup_parse(copy, len, ret_startup);
	free(copy); /* what ret_startup points at is gone: for tests that look at numbers only */
	return err;
}

static void test_startup_kinds(void **state)
{
	static const uint8_t session[] = "\0\0\0\24" V3 "user\0app\0"
	                                 "a\0\0";
	static const uint8_t cancel[] = "\0\0\0\21\4\xd2\26\56\1\2\3\4qwert";
	struct sw_startup startup;

	(void)state;
	assert_int_equal(parse_startup(B("\0\0\0\10\4\xd2\26\57"), false, &startup), SW_OK);
	assert_int_equal(startup.kind, SW_STARTUP_SSL);
	assert_int_equal(parse_startup(B("\0\0\0\10\4\xd2\26\60"), false, &startup), SW_OK);
	assert_int_equal(startup.kind, SW_STARTUP_GSSENC);
	assert_int_equal(sw_startup_parse(cancel, 17, &startup), SW_OK);
	assert_int_equal(startup.kind, SW_STARTUP_CANCEL);
	assert_int_equal(startup.pid, 0x01020304);
	assert_int_equal(startup.secret_len, 5);
	assert_memory_equal(startup.secret, "qwert", 5);
	assert_int_equal(sw_startup_parse(session, 20, &startup), SW_ERR_PROTOCOL); /* "a", "", and no end */
	assert_int_equal(parse_startup(B("\0\0\0\22" V3 "user\0app\0\0"), false, &startup), SW_OK);
	assert_int_equal(startup.kind, SW_STARTUP_SESSION);
	assert_int_equal(startup.version, SW_PROTOCOL_3_0);
	assert_int_equal(startup.parameters_len, 10);
}

static void test_startup_parameters(void **state)
{
	static const uint8_t packet[] = "\0\0\0\25" V3 "user\0app\0"
	                                "a\0\0";
	struct sw_startup startup;

	(void)state;
	/* The NUL that ends the literal is the end of the list. */
	assert_int_equal(sw_startup_parse(packet, sizeof(packet), &startup), SW_OK);
	assert_ptr_equal(startup.parameters, packet + 8);
	assert_int_equal(startup.parameters_len, sizeof(packet) - 8);
}

/* Other major versions are the caller's to refuse, with a message; what follows the version is not looked at.
 */
static void test_startup_versions(void **state)
{
	struct sw_startup startup;

	(void)state;
	assert_int_equal(parse_startup(B("\0\0\0\13\0\3\0\2"
	                                 "a\0\0"),
	                         false, &startup),
	        SW_ERR_PROTOCOL);
	assert_int_equal(parse_startup(B("\0\0\0\14\0\3\0\2"
	                                 "a\0\0\0"),
	                         false, &startup),
	        SW_OK);
	assert_int_equal(startup.version, 0x00030002);
	assert_int_equal(parse_startup(B("\0\0\0\14\0\2\0\0abcd"), false, &startup), SW_OK);
	assert_int_equal(startup.version, 0x00020000);
	assert_int_equal(startup.kind, SW_STARTUP_SESSION);
	assert_int_equal(parse_startup(B("\0\0\0\10\0\4\0\0"), false, &startup), SW_OK);
	assert_int_equal(startup.version, 0x00040000);
	assert_int_equal(startup.parameters_len, 0);
	assert_int_equal(
	        parse_startup(B("\0\0\0\10\4\xd2\26\55"), false, &startup), SW_OK); /* a code that is none */
	assert_int_equal(startup.kind, SW_STARTUP_SESSION);
}

static void test_startup_faults(void **state)
{
	static const struct {
		const char *packet;
		size_t len;
	} cases[] = {
	        {B("")}, {B("\0\0\0\4")}, {B("\0\0\0\7\0\3\0")}, {B("\0\0\0\10" V3)}, /* no list */
	        {B("\0\0\0\12" V3 "\0\0")},                                           /* after the end */
	        {B("\0\0\0\23" V3 "user\0app\0\0x")},                                 /* after the end */
	        {B("\0\0\0\16" V3 "user\0\0")},                                       /* a name alone */
	        {B("\0\0\0\21" V3 "user\0app\0")},                                    /* no end */
	        {B("\0\0\0\14" V3 "user")},          /* a text without its end */
	        {B("\0\0\0\23" V3 "user\0app\0\0")}, /* length one too large */
	        {B("\0\0\0\21" V3 "user\0app\0\0")}, /* length one too small */
	        {B("\xff\xff\xff\xff" V3 "user\0app\0\0")}, {B("\0\0\0\0" V3 "user\0app\0\0")},
	        {B("\0\0\0\11\4\xd2\26\57\0")},                               /* a TLS request with more */
	        {B("\0\0\0\11\4\xd2\26\60\0")}, {B("\0\0\0\10\4\xd2\26\56")}, /* a cancel of nothing */
	        {B("\0\0\0\14\4\xd2\26\56\1\2\3\4")},                         /* … without secret */
	        {B("\0\0\0\17\4\xd2\26\56\1\2\3\4abc")},                      /* … with a short one */
	};
	struct sw_startup untouched = {.pid = 42};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (parse_startup(cases[i].packet, cases[i].len, false, &untouched) != SW_ERR_PROTOCOL)
			fail_msg("case %zu was accepted", i);
		assert_int_equal(untouched.pid, 42);
	}
}

static void test_startup_limits(void **state)
{
	char packet[SW_STARTUP_BYTES_MAX + 1] = "....\0\3\0\0user";
	struct sw_startup startup;

	(void)state;
	memset(packet + 13, 'u', sizeof(packet) - 13);
	packet[SW_STARTUP_BYTES_MAX - 1] = packet[SW_STARTUP_BYTES_MAX - 2] = '\0';
	assert_int_equal(parse_startup(packet, SW_STARTUP_BYTES_MAX, true, &startup), SW_OK);
	packet[SW_STARTUP_BYTES_MAX - 2] = 'u';
	packet[SW_STARTUP_BYTES_MAX] = '\0';
	assert_int_equal(parse_startup(packet, SW_STARTUP_BYTES_MAX + 1, true, &startup), SW_ERR_PROTOCOL);
	memcpy(packet + 4, "\4\xd2\26\56", 4);
	assert_int_equal(parse_startup(packet, 12 + 256, true, &startup), SW_OK);
	assert_int_equal(startup.secret_len, 256);
	assert_int_equal(parse_startup(packet, 12 + 257, true, &startup), SW_ERR_PROTOCOL);
	assert_int_equal(parse_startup(packet, 12 + 4, true, &startup), SW_OK);
	assert_int_equal(parse_startup(packet, 12 + 3, true, &startup), SW_ERR_PROTOCOL);
}

static void test_every_cut_of_a_startup_packet(void **state)
{
	static const struct {
		const char *packet;
		size_t len;
	} whole[] = {
	        {B("\0\0\0\11" V3 "\0")},
	        {B("\0\0\0\22" V3 "user\0app\0\0")},
	        {B("\0\0\0\61" V3 "user\0app\0database\0\0options\0-c a=b\0x\0\0\0")},
	        {B("\0\0\0\26\0\3\0\2user\0app\0_\0\0\0")},
	        {B("\0\0\0\10\4\xd2\26\57")},
	        {B("\0\0\0\10\4\xd2\26\60")},
	        {B("\0\0\0\20\4\xd2\26\56\1\2\3\4\5\6\7\10")},
	};
	struct sw_startup startup;

	(void)state;
	for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++) {
		assert_int_equal(parse_startup(whole[i].packet, whole[i].len, true, &startup), SW_OK);
		for (size_t len = 0; len < whole[i].len; len++)
			for (int has_right_length = 0; has_right_length <= 1; has_right_length++)
				if (parse_startup(whole[i].packet, len, has_right_length, &startup) !=
				        SW_ERR_PROTOCOL)
					fail_msg("packet %zu was accepted after %zu bytes", i, len);
	}
}

static enum sw_err parse_fields(const char *body, size_t len)
{
	struct sw_fields fields;
	uint8_t *copy = malloc(len ? len : 1);
	enum sw_err err;

	assert_non_null(copy);
	memcpy(copy, body, len);
	err = sw_fields_parse(copy, len, &fields);
	free(copy);
	return err;
}

static void test_fields(void **state)
{
	static const uint8_t body[] = "SFATAL\0VFATAL\0C57P01\0Mm\0Dd\0Hh\0Fpostgres.c\0L1\0Rr\0";
	struct sw_fields fields;

	(void)state;
	assert_int_equal(sw_fields_parse(body, sizeof(body), &fields), SW_OK);
	assert_string_equal(fields.severity, "FATAL");
	assert_string_equal(fields.sqlstate, "57P01");
	assert_string_equal(fields.message, "m");
	assert_string_equal(fields.detail, "d");
	assert_string_equal(fields.hint, "h");
	assert_int_equal(sw_fields_parse((const uint8_t *)"Mm\0", 4, &fields), SW_OK);
	assert_string_equal(fields.message, "m");
	assert_string_equal(fields.severity, "");
	assert_string_equal(fields.sqlstate, "");
	assert_string_equal(fields.detail, "");
	assert_string_equal(fields.hint, "");
	assert_int_equal(sw_fields_parse((const uint8_t *)"", 1, &fields), SW_OK);
	assert_string_equal(fields.message, "");
}

/* What the builder writes, the parser reads. */
static void test_fields_of_a_built_problem(void **state)
{
	static const struct sw_problem problem = {
	        "ERROR", "53300", "too many clients", "all 100 places are taken", "raise max_client_conn"};
	struct sw_fields fields;

	(void)state;
	sw_msg_problem(&out, &problem);
	assert_int_equal(sw_fields_parse(sw_buf_data(&out) + SW_HEADER_BYTES,
	                         sw_buf_len(&out) - SW_HEADER_BYTES, &fields),
	        SW_OK);
	assert_string_equal(fields.severity, problem.severity);
	assert_string_equal(fields.sqlstate, problem.sqlstate);
	assert_string_equal(fields.message, problem.message);
	assert_string_equal(fields.detail, problem.detail);
	assert_string_equal(fields.hint, problem.hint);
}

static void test_every_cut_of_fields(void **state)
{
	static const char body[] = "SERROR\0VERROR\0C42P01\0Mrelation \"x\" does not exist\0D\0H\0P15\0";
	struct sw_fields untouched = {"u", "u", "u", "u", "u", "u", "u", "u"};

	(void)state;
	assert_int_equal(parse_fields(body, sizeof(body)), SW_OK);
	for (size_t len = 0; len < sizeof(body); len++)
		if (parse_fields(body, len) != SW_ERR_PROTOCOL)
			fail_msg("the fields were accepted after %zu bytes", len);
	assert_int_equal(
	        sw_fields_parse((const uint8_t *)body, sizeof(body) - 1, &untouched), SW_ERR_PROTOCOL);
	assert_string_equal(untouched.severity, "u");
	assert_string_equal(untouched.message, "u");
}

/* The terminator ends the message; what stands behind it is no field, and nobody can say what it is. */
static void test_bytes_behind_the_fields(void **state)
{
	static const char *const behind[] = {"\0", "M", "Mm\0", "\0\0"};
	static const size_t lens[] = {1, 1, 3, 2};
	static const char fields[] = "SERROR\0Mm\0"; /* its own NUL is the terminator */

	(void)state;
	assert_int_equal(parse_fields(fields, sizeof(fields)), SW_OK);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		char body[32];

		memcpy(body, fields, sizeof(fields));
		memcpy(body + sizeof(fields), behind[i], lens[i]);
		if (parse_fields(body, sizeof(fields) + lens[i]) != SW_ERR_PROTOCOL)
			fail_msg("%zu bytes behind the terminator were accepted (case %zu)", lens[i], i);
	}
}

/* id int4, with a format, a table and a column of its own. */
#define COLUMN(name, table, type, format) name "\0\0\0\0" table "\0\1\0\0\0" type "\0\4\xff\xff\xff\xff\0" format

static uint64_t shape(const char *bytes, size_t len)
{
	return sw_row_shape((const uint8_t *)bytes, len);
}
#define SHAPE(literal) shape(literal, sizeof(literal) - 1)

static void test_T64_shape_of_rows(void **state)
{
	static const char row[] = "\0\2" COLUMN("id", "\7", "\27", "\0") COLUMN("note", "\7", "\31", "\0");
	uint64_t whole = shape(row, sizeof(row) - 1);

	(void)state;
	assert_true(whole > SW_ROW_SHAPE_NONE);
	assert_true(whole == SHAPE("\0\2" COLUMN("id", "\10", "\27", "\1") COLUMN("note", "\0", "\31", "\1")));
	assert_false(whole == SHAPE("\0\2" COLUMN("id", "\7", "\24", "\0") COLUMN("note", "\7", "\31", "\0")));
	assert_false(whole == SHAPE("\0\2" COLUMN("ID", "\7", "\27", "\0") COLUMN("note", "\7", "\31", "\0")));
	assert_false(whole == SHAPE("\0\1" COLUMN("id", "\7", "\27", "\0")));
	assert_true(SHAPE("\0\0") > SW_ROW_SHAPE_NONE);
	for (size_t len = 0; len < sizeof(row) - 1; len++)
		assert_true(shape(row, len) == 0);
}

static void test_corpus(void **state)
{
	(void)state;
	run_corpus("tests/fuzz/corpus/wire", 35, LLVMFuzzerTestOneInput);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_to_clients, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_problems, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_to_servers, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(test_length_after_a_move, set_up, tear_down),
	        cmocka_unit_test(test_reader),
	        cmocka_unit_test(test_startup_kinds),
	        cmocka_unit_test(test_startup_parameters),
	        cmocka_unit_test(test_startup_versions),
	        cmocka_unit_test(test_startup_faults),
	        cmocka_unit_test(test_startup_limits),
	        cmocka_unit_test(test_every_cut_of_a_startup_packet),
	        cmocka_unit_test(test_fields),
	        cmocka_unit_test_setup_teardown(test_fields_of_a_built_problem, set_up, tear_down),
	        cmocka_unit_test(test_every_cut_of_fields),
	        cmocka_unit_test(test_bytes_behind_the_fields),
	        cmocka_unit_test(test_T64_shape_of_rows),
	        cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
