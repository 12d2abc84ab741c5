/* Snappy bodies with a small limit. */
#include "wire/compression.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena *arena = arena_create(8 << 20);
    struct error error;
    uint8_t *decoded;
    size_t decoded_size;
    (void)snappy_decode(bytes, size, 1 << 20, arena, &decoded, &decoded_size,
                        &error); /* any answer, as long as it is one */
    arena_destroy(arena);
    return 0;
}
