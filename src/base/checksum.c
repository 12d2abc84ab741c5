#include "base/checksum.h"

#include <pthread.h>

#define XXH_INLINE_ALL /* short inputs are worth no calls */
#include <xxhash.h>

#include "base/bytes.h"

/* --- crc32c ------------------------------------------------------------------------------- */

enum { POLYNOMIAL_REFLECTED = (int)0x82f63b78u };

static uint32_t tables[8][256]; /* slicing by 8 */
static uint32_t (*crc32c_update)(uint32_t crc, const uint8_t *bytes, size_t size);
static pthread_once_t chosen = PTHREAD_ONCE_INIT;

static uint32_t update_portable(uint32_t crc, const uint8_t *bytes, size_t size)
{
    while (size >= 8) {
        uint64_t word = load_u64(bytes) ^ crc;
        crc = tables[7][word & 0xff] ^ tables[6][(word >> 8) & 0xff] ^
              tables[5][(word >> 16) & 0xff] ^ tables[4][(word >> 24) & 0xff] ^
              tables[3][(word >> 32) & 0xff] ^ tables[2][(word >> 40) & 0xff] ^
              tables[1][(word >> 48) & 0xff] ^ tables[0][word >> 56];
        bytes += 8;
        size -= 8;
    }
    while (size-- > 0)
        crc = (crc >> 8) ^ tables[0][(crc ^ *bytes++) & 0xff];
    return crc;
}

#if defined(__x86_64__)
/*
 * The instruction takes three cycles and can begin every cycle, so three stripes are summed at
 * once. A sum is linear: that of A and B one after the other is that of A moved on over |B| zero
 * bytes, xor that of B begun with 0. Tables move a sum on over one stripe.
 */
enum { STRIPE_BYTES = 1024 };

static uint32_t stripe_tables[4][256];

static inline uint32_t move_on(uint32_t crc)
{
    return stripe_tables[0][crc & 0xff] ^ stripe_tables[1][(crc >> 8) & 0xff] ^
           stripe_tables[2][(crc >> 16) & 0xff] ^ stripe_tables[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t update_sse42(uint32_t crc, const uint8_t *bytes,
                                                               size_t size)
{
    while (size >= 3 * STRIPE_BYTES) {
        uint64_t first = crc, second = 0, third = 0;
        for (size_t i = 0; i < STRIPE_BYTES; i += 8) {
            first = __builtin_ia32_crc32di(first, load_u64(bytes + i));
            second = __builtin_ia32_crc32di(second, load_u64(bytes + STRIPE_BYTES + i));
            third = __builtin_ia32_crc32di(third, load_u64(bytes + 2 * STRIPE_BYTES + i));
        }
        crc = move_on(move_on((uint32_t)first) ^ (uint32_t)second) ^ (uint32_t)third;
        bytes += 3 * STRIPE_BYTES;
        size -= 3 * STRIPE_BYTES;
    }
    uint64_t wide = crc;
    while (size >= 8) {
        wide = __builtin_ia32_crc32di(wide, load_u64(bytes));
        bytes += 8;
        size -= 8;
    }
    crc = (uint32_t)wide;
    while (size-- > 0)
        crc = __builtin_ia32_crc32qi(crc, *bytes++);
    return crc;
}

static void stripe_tables_fill(void)
{
    static const uint8_t ZEROES[STRIPE_BYTES];
    for (uint32_t i = 0; i < 256; i++)
        for (int byte = 0; byte < 4; byte++)
            stripe_tables[byte][i] = update_sse42(i << 8 * byte, ZEROES, STRIPE_BYTES);
}
#endif

static void tables_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? (uint32_t)POLYNOMIAL_REFLECTED : 0);
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int slice = 1; slice < 8; slice++)
            tables[slice][i] = (tables[slice - 1][i] >> 8) ^ tables[0][tables[slice - 1][i] & 0xff];
}

static void choose(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        stripe_tables_fill();
        crc32c_update = update_sse42;
        return;
    }
#endif
    tables_fill();
    crc32c_update = update_portable;
}

uint32_t crc32c(uint32_t previous, const void *bytes, size_t size)
{
    pthread_once(&chosen, choose);
    return ~crc32c_update(~previous, bytes, size);
}

/* --- XXH3 --------------------------------------------------------------------------------- */

uint64_t hash64(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

struct hash128 hash128(const void *bytes, size_t size, uint64_t seed)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, size, seed);
    return (struct hash128){.low = hash.low64, .high = hash.high64};
}
