/*
 * Messages of protocol 3: builders that append to a buffer, and decoders of the ones that Seawall looks into. Pure but
 * for the buffer's heap. Sizes count the bytes on the wire.
 * Source: PostgreSQL manual, 55.7 'Message Formats'.
 */
#ifndef SW_WIRE_MESSAGE_H
#define SW_WIRE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/base/err.h"
#include "proxy/base/limits.h"

/* Type byte and length of a message. */
#define SW_HEADER_BYTES 5

#define SW_PROTOCOL_3_0        0x00030000u
#define SW_PROTOCOL_3_2        0x00030002u
#define SW_CODE_CANCEL         80877102u
#define SW_CODE_SSL            80877103u
#define SW_CODE_GSSENC         80877104u

static inline uint32_t sw_get_u32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void sw_put_u32(uint8_t *b, uint32_t value)
{
	b[0] = (uint8_t)(value >> 24);
	b[1] = (uint8_t)(value >> 16);
	b[2] = (uint8_t)(value >> 8);
	b[3] = (uint8_t)value;
}

/*
 * Building. sw_msg_begin returns a mark that sw_msg_end needs to fill the length in. The buffer's maximum must leave
 * room: builders are used for messages of Seawall's own, whose sizes are bounded; passing the maximum is a fault of
 * the caller and ends the process.
 */
size_t sw_msg_begin(struct sw_buf *out, char type); /* type 0: a startup-style message without type byte */
void sw_msg_u8(struct sw_buf *out, uint8_t value);
void sw_msg_u16(struct sw_buf *out, uint16_t value);
void sw_msg_u32(struct sw_buf *out, uint32_t value);
void sw_msg_text(struct sw_buf *out, const char *text); /* with its NUL */
void sw_msg_bytes(struct sw_buf *out, const void *bytes, size_t len);
void sw_msg_end(struct sw_buf *out, size_t mark);

/* Whole messages, towards clients. */
void sw_msg_auth(struct sw_buf *out, const uint8_t *body, size_t len);
void sw_msg_parameter_status(struct sw_buf *out, const char *name, const char *value);
void sw_msg_backend_key(struct sw_buf *out, uint32_t pid, const uint8_t *secret, size_t secret_len);
void sw_msg_ready(struct sw_buf *out, char status);
void sw_msg_command_complete(struct sw_buf *out, const char *tag);
/* One text column a name, type text. */
void sw_msg_row_description(struct sw_buf *out, const char *const *names, int count);
/* NULL values are SQL NULL. */
void sw_msg_data_row(struct sw_buf *out, const char *const *values, int count);
/* minor: the newest protocol minor version that Seawall speaks; names: options that it does not know. */
void sw_msg_negotiate(struct sw_buf *out, uint32_t minor, const char *const *names, int count);

struct sw_problem {
	const char *severity; /* "ERROR", "FATAL", "WARNING", "NOTICE" */
	char sqlstate[6];
	const char *message;  /* lower case, what failed */
	const char *detail;   /* may be NULL */
	const char *hint;     /* what to do; may be NULL */
};
/* ErrorResponse, or NoticeResponse for WARNING and NOTICE. */
void sw_msg_problem(struct sw_buf *out, const struct sw_problem *problem);

/* Whole messages, towards servers. */
void sw_msg_query(struct sw_buf *out, const char *sql);
void sw_msg_parse(struct sw_buf *out, const char *name, const char *sql, const uint8_t *types, uint16_t type_count);
/* All parameters text, all results text. */
void sw_msg_bind(struct sw_buf *out, const char *statement, const char *const *values, int count);
void sw_msg_execute(struct sw_buf *out, const char *portal);
void sw_msg_sync(struct sw_buf *out);
void sw_msg_flush(struct sw_buf *out);
void sw_msg_describe_statement(struct sw_buf *out, const char *name);
void sw_msg_close_statement(struct sw_buf *out, const char *name);
void sw_msg_cancel(struct sw_buf *out, uint32_t pid, uint32_t secret);
void sw_msg_startup(struct sw_buf *out, const char *const *pairs); /* name, value, …, NULL */

/* A cancel key of Seawall's own. Its secret has 4 bytes in protocol 3.0, and all of them from 3.2 on. */
#define SW_CANCEL_SECRET_BYTES 32
struct sw_cancel_key {
	uint32_t pid;
	uint32_t secret_len;
	uint8_t secret[SW_CANCEL_SECRET_BYTES];
};

/* What a first packet asks for. */
struct sw_startup {
	enum sw_startup_kind { SW_STARTUP_SESSION, SW_STARTUP_SSL, SW_STARTUP_GSSENC, SW_STARTUP_CANCEL } kind;
	uint32_t version;              /* with SESSION */
	const uint8_t *parameters;     /* with SESSION: name NUL value NUL … NUL */
	size_t parameters_len;
	uint32_t pid;                  /* with CANCEL */
	const uint8_t *secret;         /* with CANCEL: 4 to 256 bytes */
	size_t secret_len;
};
/* packet[0..len): the whole packet with its length field. SW_ERR_PROTOCOL where it is none. */
enum sw_err sw_startup_parse(const uint8_t *packet, size_t len, struct sw_startup *ret_startup) SW_MUST_USE;

/*
 * What the body of a RowDescription says of names and types, in one number; 0 where it makes no sense. Two that differ are
 * different; formats and the tables that columns come from do not count.
 */
uint64_t sw_row_shape(const uint8_t *body, size_t len);
/* The shape of no rows (NoData). */
#define SW_ROW_SHAPE_NONE 1

/* The fields of an ErrorResponse or NoticeResponse body; "" where missing. The texts lie in the body. */
struct sw_fields {
	const char *severity, *sqlstate, *message, *detail, *hint;
	const char *where, *inner; /* what was being executed; the text of a query that the server itself had made */
	const char *routine;       /* the function of the server that raised it */
};
enum sw_err sw_fields_parse(const uint8_t *body, size_t len, struct sw_fields *ret_fields) SW_MUST_USE;

#endif
