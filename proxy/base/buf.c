/* A growing byte buffer with a maximum. Invariant: start <= end <= size <= max. Pure but for the heap. */
#include "proxy/base/buf.h"

#include <assert.h>
#include <string.h>

#include "proxy/base/mem.h"

#define SMALLEST_BYTES 256

void sw_buf_init(struct sw_buf *buf, uint32_t max_bytes)
{
	assert(max_bytes > 0 && max_bytes <= UINT32_C(1) << 31);
	*buf = (struct sw_buf){.max = max_bytes};
}

void sw_buf_fini(struct sw_buf *buf)
{
	sw_mem_free(buf->mem);
	*buf = (struct sw_buf){.max = buf->max};
}

uint8_t *sw_buf_reserve(struct sw_buf *buf, size_t len)
{
	size_t used = sw_buf_len(buf);
	size_t want;

	assert(len > 0);
	if (len > buf->max || used > buf->max - len)
		return NULL;
	want = used + len;
	if (buf->end + len <= buf->size)
		return buf->mem + buf->end;
	if (buf->start > 0) {
		memmove(buf->mem, buf->mem + buf->start, used);
		buf->start = 0;
		buf->end = (uint32_t)used;
	}
	if (want > buf->size) {
		size_t size = buf->size ? buf->size : SMALLEST_BYTES;

		while (size < want)
			size *= 2;
		if (size > buf->max)
			size = buf->max;
		buf->mem = sw_mem_realloc(buf->mem, size);
		buf->size = (uint32_t)size;
	}
	return buf->mem + buf->end;
}

void sw_buf_added(struct sw_buf *buf, size_t len)
{
	assert(buf->end + len <= buf->size);
	buf->end += (uint32_t)len;
}

enum sw_err sw_buf_append(struct sw_buf *buf, const void *bytes, size_t len)
{
	uint8_t *at;

	if (len == 0)
		return SW_OK;
	at = sw_buf_reserve(buf, len);
	if (!at)
		return SW_ERR_LIMIT;
	memcpy(at, bytes, len);
	sw_buf_added(buf, len);
	return SW_OK;
}

void sw_buf_consume(struct sw_buf *buf, size_t len)
{
	assert(len <= sw_buf_len(buf));
	buf->start += (uint32_t)len;
	if (buf->start == buf->end)
		buf->start = buf->end = 0;
}

void sw_buf_clear(struct sw_buf *buf)
{
	buf->start = buf->end = 0;
}

void sw_buf_release(struct sw_buf *buf)
{
	if (sw_buf_len(buf) == 0)
		sw_buf_fini(buf);
}
