/*
 * A growing byte buffer that cannot be made without a maximum. Bytes are appended at the end and consumed at the front;
 * an empty buffer owns no memory once it was released, so idle clients cost none. Not thread-safe.
 */
#ifndef SW_BASE_BUF_H
#define SW_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

struct sw_buf {
	uint8_t *mem;
	uint32_t start; /* first byte not consumed */
	uint32_t end;   /* one past the last byte */
	uint32_t size;  /* of mem */
	uint32_t max;   /* size never passes it */
};

/* max_bytes: 1 to 2^31. */
void sw_buf_init(struct sw_buf *buf, uint32_t max_bytes);
void sw_buf_fini(struct sw_buf *buf);

static inline size_t sw_buf_len(const struct sw_buf *buf)
{
	return buf->end - buf->start;
}

/* NULL where the buffer owns no memory. */
static inline uint8_t *sw_buf_data(const struct sw_buf *buf)
{
	return buf->mem ? buf->mem + buf->start : NULL;
}

/* Appends; SW_ERR_LIMIT (and nothing appended) where it would pass the maximum. */
enum sw_err sw_buf_append(struct sw_buf *buf, const void *bytes, size_t len) SW_MUST_USE;

/*
 * Makes room for len (1 or more) further bytes and returns where they go, NULL where the maximum forbids it; sw_buf_added()
 * counts them.
 */
uint8_t *sw_buf_reserve(struct sw_buf *buf, size_t len) SW_MUST_USE;
void sw_buf_added(struct sw_buf *buf, size_t len);

/* Drops len bytes (at most sw_buf_len) from the front. */
void sw_buf_consume(struct sw_buf *buf, size_t len);

/* Drops all bytes; keeps the memory. */
void sw_buf_clear(struct sw_buf *buf);

/* Gives the memory back where the buffer is empty. */
void sw_buf_release(struct sw_buf *buf);

#endif
