/*
 * WAL positions. An LSN is a type of its own so that it cannot be mixed up with a count of bytes, and it is compared as
 * a number, never as text ('0/9' < '0/10'). A position (timeline, LSN) is what floors and samples carry: an LSN says
 * nothing without the timeline it lies on.
 *
 * Source: PostgreSQL manual, 30.6 'WAL Internals'; data type pg_lsn.
 */
#ifndef SW_BASE_LSN_H
#define SW_BASE_LSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

struct sw_lsn {
	uint64_t pos; /* byte position in the WAL stream; 0 = none */
};

struct sw_position {
	uint32_t timeline; /* 0 = none */
	struct sw_lsn lsn;
};

/* "FFFFFFFF/FFFFFFFF" and its NUL. */
#define SW_LSN_TEXT_MAX 18

static inline bool sw_lsn_at_least(struct sw_lsn have, struct sw_lsn want)
{
	return have.pos >= want.pos;
}

static inline struct sw_lsn sw_lsn_max(struct sw_lsn a, struct sw_lsn b)
{
	return a.pos >= b.pos ? a : b;
}

/* Bytes from 'from' to 'to'; 0 where 'to' is not past 'from'. */
static inline uint64_t sw_lsn_distance(struct sw_lsn from, struct sw_lsn to)
{
	return to.pos > from.pos ? to.pos - from.pos : 0;
}

/*
 * Reads "X/X" of 1 to 8 hexadecimal digits each, all of text[0..len). SW_ERR_SYNTAX otherwise. Pure; any thread.
 */
enum sw_err sw_lsn_parse(const char *text, size_t len, struct sw_lsn *ret_lsn) SW_MUST_USE;

/* Writes "X/X" into out[SW_LSN_TEXT_MAX] and returns out. */
char *sw_lsn_format(struct sw_lsn lsn, char *out);

/*
 * The insert position right behind a page boundary points past the page header that the next record will need (24
 * bytes, 40 at the start of a segment), so an idle primary names a position that no standby ever replays (T42). Returns
 * the boundary for such a position and every other position as it is. page_bytes and segment_bytes are powers of two,
 * as the server's wal_block_size and wal_segment_size say.
 */
struct sw_lsn sw_lsn_normalise(struct sw_lsn lsn, uint32_t page_bytes, uint64_t segment_bytes);

#endif
