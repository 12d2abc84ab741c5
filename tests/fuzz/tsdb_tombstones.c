/* Any bytes as a file of tombstones, its checksum put right. */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "big_endian.h"
#include "tombstones.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    enum { HEAD_BYTES = 5, CHECKSUM_BYTES = 4 };
    struct tombstones tombstones;
    struct error error;
    uint8_t *bytes = malloc(size + 1);
    struct arena *arena = arena_create(64 * 1024 * 1024);
    if (bytes == NULL || arena == NULL)
        abort();
    if (size > 0)
        memcpy(bytes, input, size);
    if (size >= HEAD_BYTES + CHECKSUM_BYTES)
        store_u32(
            bytes + size - CHECKSUM_BYTES,
            __builtin_bswap32(crc32c(0, bytes + HEAD_BYTES, size - HEAD_BYTES - CHECKSUM_BYTES)));
    if (tombstones_decode(bytes, size, arena, &tombstones, &error) == ERROR_NONE) {
        size_t found = 0;
        for (size_t i = 0; i < tombstones.count; i += found) {
            const struct tombstone *stones =
                tombstones_of(&tombstones, tombstones.stones[i].series, &found);
            if (stones != tombstones.stones + i || found == 0 ||
                (stones->start_ms <= stones->end_ms &&
                 !tombstones_cover(stones, found, stones->start_ms)))
                abort();
        }
    }
    arena_destroy(arena);
    free(bytes);
    return 0;
}
