/*
 * The bounded reader: the only way in which bytes of a peer become numbers and texts. A read past the end makes the
 * reader failed, returns zeros, and stays failed, so a caller reads a whole message and asks once. Big-endian, as the
 * protocol is. Pure.
 */
#ifndef SW_WIRE_READER_H
#define SW_WIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sw_reader {
	const uint8_t *at, *end;
	bool failed;
};

static inline struct sw_reader sw_reader_over(const void *bytes, size_t len)
{
	static const uint8_t nothing[1];
	const uint8_t *start = len > 0 ? bytes : nothing; /* an empty buffer has no memory */

	return (struct sw_reader){.at = start, .end = start + len};
}

static inline size_t sw_reader_left(const struct sw_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

/* The next len bytes, or NULL. */
static inline const uint8_t *sw_read_bytes(struct sw_reader *reader, size_t len)
{
	const uint8_t *bytes = reader->at;

	if (reader->failed || sw_reader_left(reader) < len) {
		reader->failed = true;
		return NULL;
	}
	reader->at += len;
	return bytes;
}

static inline uint8_t sw_read_u8(struct sw_reader *reader)
{
	const uint8_t *b = sw_read_bytes(reader, 1);

	return b ? b[0] : 0;
}

static inline uint16_t sw_read_u16(struct sw_reader *reader)
{
	const uint8_t *b = sw_read_bytes(reader, 2);

	return b ? (uint16_t)(b[0] << 8 | b[1]) : 0;
}

static inline uint32_t sw_read_u32(struct sw_reader *reader)
{
	const uint8_t *b = sw_read_bytes(reader, 4);

	return b ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

/* A NUL-terminated text inside the message, "" where there is none. */
static inline const char *sw_read_text(struct sw_reader *reader)
{
	const uint8_t *nul = reader->failed ? NULL : memchr(reader->at, 0, sw_reader_left(reader));
	const char *text = (const char *)reader->at;

	if (!nul) {
		reader->failed = true;
		return "";
	}
	reader->at = nul + 1;
	return text;
}

/* True where everything was read and nothing is left over. */
static inline bool sw_reader_is_done(const struct sw_reader *reader)
{
	return !reader->failed && reader->at == reader->end;
}

#endif
