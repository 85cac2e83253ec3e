/*
 * The one file that sees xxhash. It is compiled in (XXH_INLINE_ALL) because libpg_query exports a copy of its
 * own under the usual names. Pure; any thread.
 */
#include "router/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t sw_hash(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}
