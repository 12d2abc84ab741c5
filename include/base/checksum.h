/*
 * checksum - crc32c (Castagnoli, RFC 3720) for files and log records, and
 * XXH3 hashes for identity and tables.
 *
 * The 128-bit hash decides identity in memory only together with a per-process seed, so that a
 * sender cannot choose colliding labels; hashes that are stored use the fixed HASH_SEED_STORED.
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HASH_SEED_STORED = 0 };

/* The same on every processor; uses its instruction where there is one. Start with 0. */
uint32_t crc32c(uint32_t previous, const void *bytes, size_t size);

struct hash128 {
    uint64_t low;
    uint64_t high;
};

static inline bool hash128_equal(struct hash128 left, struct hash128 right)
{
    return left.low == right.low && left.high == right.high;
}

uint64_t hash64(const void *bytes, size_t size, uint64_t seed);
struct hash128 hash128(const void *bytes, size_t size, uint64_t seed);

#endif
