/* Tokens: their text, and whether the cluster knows what they speak of. Pure; the caller's thread. */
#include "router/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREFIX          "sw1."
#define CHECKSUM_DIGITS 8

/* CRC-32 as of IEEE 802.3, bit by bit: 44 bytes a token, a few hundred times a second at most. */
static uint32_t checksum(const char *text, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned char)text[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

char *sw_token_format(const struct sw_token *token, char *out)
{
	int len = snprintf(out, SW_TOKEN_TEXT_MAX, PREFIX "%016" PRIx64 "%08" PRIx32 "%016" PRIx64, token->system_id,
		token->at.timeline, token->at.lsn.pos);

	snprintf(out + len, SW_TOKEN_TEXT_MAX - (size_t)len, "%08" PRIx32, checksum(out, (size_t)len));
	return out;
}

/* Reads so many digits at *at and moves it behind them; upper case is none of ours. */
static bool read_digits(const char **at, int count, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (; count > 0; count--, (*at)++) {
		char c = **at;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret_value = value;
	return true;
}

enum sw_err sw_token_parse(const char *text, size_t len, struct sw_token *ret_token)
{
	const char *at = text + strlen(PREFIX);
	uint64_t system_id, timeline, lsn, sum;

	if (len != SW_TOKEN_TEXT_MAX - 1 || memcmp(text, PREFIX, strlen(PREFIX)) != 0)
		return SW_ERR_SYNTAX;
	if (!read_digits(&at, 16, &system_id) || !read_digits(&at, 8, &timeline) || !read_digits(&at, 16, &lsn) ||
		!read_digits(&at, CHECKSUM_DIGITS, &sum) || sum != checksum(text, len - CHECKSUM_DIGITS))
		return SW_ERR_SYNTAX;
	if (system_id == 0 || timeline == 0)
		return SW_ERR_SYNTAX; /* no session was ever given such a one */
	*ret_token = (struct sw_token){.system_id = system_id, .at = {.timeline = (uint32_t)timeline, .lsn = {lsn}}};
	return SW_OK;
}

/* Does the node's word count for the cluster? */
static bool is_of_cluster(const struct sw_view *view, int node)
{
	const struct sw_view_node *seen = &view->node[node];

	return node == view->primary || (seen->role == SW_ROLE_REPLICA && seen->is_lineage_ok);
}

uint64_t sw_token_system(const struct sw_view *view)
{
	if (view->primary >= 0)
		return view->node[view->primary].system_id;
	for (uint32_t i = 0; i < view->node_count; i++)
		if (is_of_cluster(view, (int)i) && view->node[i].system_id != 0)
			return view->node[i].system_id;
	return 0;
}

static bool is_at_or_past(struct sw_position have, struct sw_position want)
{
	return have.timeline == want.timeline && sw_lsn_at_least(have.lsn, want.lsn);
}

static bool has_been_seen(const struct sw_token *token, const struct sw_view *view)
{
	for (uint32_t i = 0; i < view->node_count; i++)
		if (is_of_cluster(view, (int)i) && view->node[i].sent_ns > 0 && is_at_or_past(view->node[i].at, token->at))
			return true;
	return false;
}

enum sw_token_fit sw_token_judge(const struct sw_token *token, const struct sw_board *board, const struct sw_view *view,
	int64_t asked_ns)
{
	uint64_t system_id = sw_token_system(view);
	struct sw_position now;

	if (system_id == 0)
		return SW_TOKEN_UNKNOWN;
	if (token->system_id != system_id)
		return SW_TOKEN_FOREIGN;
	if (token->at.timeline < view->timeline || has_been_seen(token, view))
		return SW_TOKEN_GOOD;
	/* As with bounds: what the ring says counts where nothing newer than the view was published (floor.c, bound_of). */
	if (view->primary < 0 || asked_ns == 0 || sw_board_first_after(board, view->primary, asked_ns, &now) != SW_OK ||
		!sw_board_is_newest(board, view))
		return SW_TOKEN_UNKNOWN;
	return is_at_or_past(now, token->at) ? SW_TOKEN_GOOD : SW_TOKEN_FUTURE;
}
