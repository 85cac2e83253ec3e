/*
 * Builders and decoders of protocol messages. Pure: bytes in, bytes out; no socket, no state.
 * What is not here: the rules of who may send what when (proxy/session).
 */
#include "proxy/wire/message.h"

#include <assert.h>
#include <string.h>

#include "proxy/wire/reader.h"

#define OID_TEXT 25

static uint8_t *room(struct sw_buf *out, size_t len)
{
	uint8_t *at = sw_buf_reserve(out, len);

	assert(at); /* messages of our own are bounded: see message.h */
	return at;
}

void sw_msg_bytes(struct sw_buf *out, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	memcpy(room(out, len), bytes, len);
	sw_buf_added(out, len);
}

void sw_msg_u8(struct sw_buf *out, uint8_t value)
{
	sw_msg_bytes(out, &value, 1);
}

void sw_msg_u16(struct sw_buf *out, uint16_t value)
{
	uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	sw_msg_bytes(out, bytes, 2);
}

void sw_msg_u32(struct sw_buf *out, uint32_t value)
{
	sw_put_u32(room(out, 4), value);
	sw_buf_added(out, 4);
}

void sw_msg_text(struct sw_buf *out, const char *text)
{
	sw_msg_bytes(out, text, strlen(text) + 1);
}

/* The mark is the offset of the length field from the buffer's first unconsumed byte. */
size_t sw_msg_begin(struct sw_buf *out, char type)
{
	size_t mark;

	if (type)
		sw_msg_u8(out, (uint8_t)type);
	mark = sw_buf_len(out);
	sw_msg_u32(out, 0);
	return mark;
}

void sw_msg_end(struct sw_buf *out, size_t mark)
{
	sw_put_u32(sw_buf_data(out) + mark, (uint32_t)(sw_buf_len(out) - mark));
}

void sw_msg_auth(struct sw_buf *out, const uint8_t *body, size_t len)
{
	size_t mark = sw_msg_begin(out, 'R');

	sw_msg_bytes(out, body, len);
	sw_msg_end(out, mark);
}

void sw_msg_parameter_status(struct sw_buf *out, const char *name, const char *value)
{
	size_t mark = sw_msg_begin(out, 'S');

	sw_msg_text(out, name);
	sw_msg_text(out, value);
	sw_msg_end(out, mark);
}

void sw_msg_backend_key(struct sw_buf *out, uint32_t pid, const uint8_t *secret, size_t secret_len)
{
	size_t mark = sw_msg_begin(out, 'K');

	sw_msg_u32(out, pid);
	sw_msg_bytes(out, secret, secret_len);
	sw_msg_end(out, mark);
}

void sw_msg_ready(struct sw_buf *out, char status)
{
	size_t mark = sw_msg_begin(out, 'Z');

	sw_msg_u8(out, (uint8_t)status);
	sw_msg_end(out, mark);
}

void sw_msg_command_complete(struct sw_buf *out, const char *tag)
{
	size_t mark = sw_msg_begin(out, 'C');

	sw_msg_text(out, tag);
	sw_msg_end(out, mark);
}

void sw_msg_row_description(struct sw_buf *out, const char *const *names, int count)
{
	size_t mark = sw_msg_begin(out, 'T');

	sw_msg_u16(out, (uint16_t)count);
	for (int i = 0; i < count; i++) {
		sw_msg_text(out, names[i]);
		sw_msg_u32(out, 0); /* of no table */
		sw_msg_u16(out, 0);
		sw_msg_u32(out, OID_TEXT);
		sw_msg_u16(out, (uint16_t)-1); /* varying length */
		sw_msg_u32(out, (uint32_t)-1); /* no type modifier */
		sw_msg_u16(out, 0);            /* text format */
	}
	sw_msg_end(out, mark);
}

void sw_msg_data_row(struct sw_buf *out, const char *const *values, int count)
{
	size_t mark = sw_msg_begin(out, 'D');

	sw_msg_u16(out, (uint16_t)count);
	for (int i = 0; i < count; i++) {
		if (!values[i]) {
			sw_msg_u32(out, (uint32_t)-1);
			continue;
		}
		sw_msg_u32(out, (uint32_t)strlen(values[i]));
		sw_msg_bytes(out, values[i], strlen(values[i]));
	}
	sw_msg_end(out, mark);
}

void sw_msg_negotiate(struct sw_buf *out, uint32_t minor, const char *const *names, int count)
{
	size_t mark = sw_msg_begin(out, 'v');

	sw_msg_u32(out, minor);
	sw_msg_u32(out, (uint32_t)count);
	for (int i = 0; i < count; i++)
		sw_msg_text(out, names[i]);
	sw_msg_end(out, mark);
}

static void field(struct sw_buf *out, char code, const char *text)
{
	if (!text)
		return;
	sw_msg_u8(out, (uint8_t)code);
	sw_msg_text(out, text);
}

void sw_msg_problem(struct sw_buf *out, const struct sw_problem *problem)
{
	bool is_notice = strcmp(problem->severity, "WARNING") == 0 || strcmp(problem->severity, "NOTICE") == 0;
	size_t mark = sw_msg_begin(out, is_notice ? 'N' : 'E');

	field(out, 'S', problem->severity);
	field(out, 'V', problem->severity);
	field(out, 'C', problem->sqlstate);
	field(out, 'M', problem->message);
	field(out, 'D', problem->detail);
	field(out, 'H', problem->hint);
	sw_msg_u8(out, 0);
	sw_msg_end(out, mark);
}

void sw_msg_query(struct sw_buf *out, const char *sql)
{
	size_t mark = sw_msg_begin(out, 'Q');

	sw_msg_text(out, sql);
	sw_msg_end(out, mark);
}

void sw_msg_parse(struct sw_buf *out, const char *name, const char *sql, const uint8_t *types, uint16_t type_count)
{
	size_t mark = sw_msg_begin(out, 'P');

	sw_msg_text(out, name);
	sw_msg_text(out, sql);
	sw_msg_u16(out, type_count);
	sw_msg_bytes(out, types, (size_t)type_count * 4);
	sw_msg_end(out, mark);
}

void sw_msg_bind(struct sw_buf *out, const char *statement, const char *const *values, int count)
{
	size_t mark = sw_msg_begin(out, 'B');

	sw_msg_text(out, "");
	sw_msg_text(out, statement);
	sw_msg_u16(out, 0);
	sw_msg_u16(out, (uint16_t)count);
	for (int i = 0; i < count; i++) {
		sw_msg_u32(out, (uint32_t)strlen(values[i]));
		sw_msg_bytes(out, values[i], strlen(values[i]));
	}
	sw_msg_u16(out, 0);
	sw_msg_end(out, mark);
}

void sw_msg_execute(struct sw_buf *out, const char *portal)
{
	size_t mark = sw_msg_begin(out, 'E');

	sw_msg_text(out, portal);
	sw_msg_u32(out, 0);
	sw_msg_end(out, mark);
}

void sw_msg_sync(struct sw_buf *out)
{
	sw_msg_end(out, sw_msg_begin(out, 'S'));
}

void sw_msg_flush(struct sw_buf *out)
{
	sw_msg_end(out, sw_msg_begin(out, 'H'));
}

void sw_msg_describe_statement(struct sw_buf *out, const char *name)
{
	size_t mark = sw_msg_begin(out, 'D');

	sw_msg_u8(out, 'S');
	sw_msg_text(out, name);
	sw_msg_end(out, mark);
}

void sw_msg_close_statement(struct sw_buf *out, const char *name)
{
	size_t mark = sw_msg_begin(out, 'C');

	sw_msg_u8(out, 'S');
	sw_msg_text(out, name);
	sw_msg_end(out, mark);
}

void sw_msg_cancel(struct sw_buf *out, uint32_t pid, uint32_t secret)
{
	size_t mark = sw_msg_begin(out, 0);

	sw_msg_u32(out, SW_CODE_CANCEL);
	sw_msg_u32(out, pid);
	sw_msg_u32(out, secret);
	sw_msg_end(out, mark);
}

void sw_msg_startup(struct sw_buf *out, const char *const *pairs)
{
	size_t mark = sw_msg_begin(out, 0);

	sw_msg_u32(out, SW_PROTOCOL_3_0);
	for (; *pairs; pairs++)
		sw_msg_text(out, *pairs);
	sw_msg_u8(out, 0);
	sw_msg_end(out, mark);
}

/* name NUL value NUL … NUL, names not empty. */
static enum sw_err check_parameters(struct sw_reader reader)
{
	for (;;) {
		const char *name = sw_read_text(&reader);

		if (reader.failed)
			return SW_ERR_PROTOCOL;
		if (*name == '\0')
			return sw_reader_is_done(&reader) ? SW_OK : SW_ERR_PROTOCOL;
		sw_read_text(&reader);
	}
}

enum sw_err sw_startup_parse(const uint8_t *packet, size_t len, struct sw_startup *ret_startup)
{
	struct sw_reader reader = sw_reader_over(packet, len);
	struct sw_startup startup = {0};
	uint32_t stated = sw_read_u32(&reader);
	uint32_t code = sw_read_u32(&reader);

	if (reader.failed || stated != len || len > SW_STARTUP_BYTES_MAX)
		return SW_ERR_PROTOCOL;
	switch (code) {
	case SW_CODE_SSL:
	case SW_CODE_GSSENC:
		startup.kind = code == SW_CODE_SSL ? SW_STARTUP_SSL : SW_STARTUP_GSSENC;
		if (!sw_reader_is_done(&reader))
			return SW_ERR_PROTOCOL;
		break;
	case SW_CODE_CANCEL:
		startup.kind = SW_STARTUP_CANCEL;
		startup.pid = sw_read_u32(&reader);
		startup.secret = reader.at;
		startup.secret_len = sw_reader_left(&reader);
		if (reader.failed || startup.secret_len < 4 || startup.secret_len > 256)
			return SW_ERR_PROTOCOL;
		break;
	default:
		startup.kind = SW_STARTUP_SESSION;
		startup.version = code;
		startup.parameters = reader.at;
		startup.parameters_len = sw_reader_left(&reader);
		if (code >> 16 == SW_PROTOCOL_3_0 >> 16 && check_parameters(reader) != SW_OK)
			return SW_ERR_PROTOCOL;
	}
	*ret_startup = startup;
	return SW_OK;
}

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return hash;
}

uint64_t sw_row_shape(const uint8_t *body, size_t len)
{
	struct sw_reader reader = sw_reader_over(body, len);
	uint16_t count = sw_read_u16(&reader);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (uint16_t i = 0; i < count && !reader.failed; i++) {
		const char *name = sw_read_text(&reader);
		const uint8_t *type;

		hash = mix(hash, name, strlen(name) + 1);
		sw_read_bytes(&reader, 6); /* table and column */
		type = sw_read_bytes(&reader, 10); /* type, size, modifier */
		if (type)
			hash = mix(hash, type, 10);
		sw_read_u16(&reader); /* format */
	}
	if (!sw_reader_is_done(&reader))
		return 0;
	return hash > SW_ROW_SHAPE_NONE ? hash : SW_ROW_SHAPE_NONE + 1;
}

enum sw_err sw_fields_parse(const uint8_t *body, size_t len, struct sw_fields *ret_fields)
{
	struct sw_reader reader = sw_reader_over(body, len);
	struct sw_fields fields = {"", "", "", "", "", "", "", ""};

	for (;;) {
		uint8_t code = sw_read_u8(&reader);
		const char *text;

		if (code == 0)
			break;
		text = sw_read_text(&reader);
		switch (code) {
		case 'S':
			fields.severity = text;
			break;
		case 'C':
			fields.sqlstate = text;
			break;
		case 'M':
			fields.message = text;
			break;
		case 'D':
			fields.detail = text;
			break;
		case 'H':
			fields.hint = text;
			break;
		case 'W':
			fields.where = text;
			break;
		case 'q':
			fields.inner = text;
			break;
		case 'R':
			fields.routine = text;
			break;
		}
	}
	if (!sw_reader_is_done(&reader))
		return SW_ERR_PROTOCOL;
	*ret_fields = fields;
	return SW_OK;
}
