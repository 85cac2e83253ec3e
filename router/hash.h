/*
 * The router's hash of bytes: XXH3, the same on every worker and in every run. Not secret. Pure; any thread.
 */
#ifndef SW_ROUTER_HASH_H
#define SW_ROUTER_HASH_H

#include <stddef.h>
#include <stdint.h>

/* seed: whatever else the key holds. */
uint64_t sw_hash(const void *bytes, size_t len, uint64_t seed);

#endif
