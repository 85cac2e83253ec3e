/* WAL positions as text and numbers. Pure; any thread. */
#include "proxy/base/lsn.h"

#include <inttypes.h>
#include <stdio.h>

/* Sizes of XLogPageHeaderData and XLogLongPageHeaderData, the same in every supported PostgreSQL version. */
#define SHORT_PAGE_HEADER 24
#define LONG_PAGE_HEADER  40

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Reads 1 to 8 hexadecimal digits at *at and moves it behind them. */
static enum sw_err parse_half(const char **at, const char *end, uint32_t *ret_half)
{
	uint32_t half = 0;
	int digits = 0;

	while (*at < end && hex_digit(**at) >= 0) {
		if (++digits > 8)
			return SW_ERR_SYNTAX;
		half = half << 4 | (uint32_t)hex_digit(**at);
		(*at)++;
	}
	if (digits == 0)
		return SW_ERR_SYNTAX;
	*ret_half = half;
	return SW_OK;
}

enum sw_err sw_lsn_parse(const char *text, size_t len, struct sw_lsn *ret_lsn)
{
	const char *at = text, *end = text + len;
	uint32_t high, low;

	if (parse_half(&at, end, &high) != SW_OK || at == end || *at++ != '/')
		return SW_ERR_SYNTAX;
	if (parse_half(&at, end, &low) != SW_OK || at != end)
		return SW_ERR_SYNTAX;
	ret_lsn->pos = (uint64_t)high << 32 | low;
	return SW_OK;
}

char *sw_lsn_format(struct sw_lsn lsn, char *out)
{
	snprintf(out, SW_LSN_TEXT_MAX, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn.pos >> 32), (uint32_t)lsn.pos);
	return out;
}

struct sw_lsn sw_lsn_normalise(struct sw_lsn lsn, uint32_t page_bytes, uint64_t segment_bytes)
{
	uint64_t in_segment = lsn.pos & (segment_bytes - 1);
	uint64_t in_page = lsn.pos & (page_bytes - 1);

	if (in_segment == LONG_PAGE_HEADER || (in_segment != in_page && in_page == SHORT_PAGE_HEADER))
		lsn.pos -= in_page;
	return lsn;
}
