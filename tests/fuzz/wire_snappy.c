/* Snappy bodies with a small limit; the reference decoder is of the same opinion. */
#include <assert.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "wire/compression.h"

enum { LIMIT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What snappy's own library makes of it, NULL when it refuses. */
static char *reference_decode(const uint8_t *bytes, size_t size, size_t *decoded_size_out)
{
    size_t decoded_size;
    if (snappy_uncompressed_length((const char *)bytes, size, &decoded_size) != SNAPPY_OK ||
        decoded_size > LIMIT_BYTES)
        return NULL;
    char *decoded = malloc(decoded_size + 1);
    assert(decoded != NULL);
    if (snappy_uncompress((const char *)bytes, size, decoded, &decoded_size) == SNAPPY_OK) {
        *decoded_size_out = decoded_size;
        return decoded;
    }
    free(decoded);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena *arena = arena_create(8 << 20);
    struct error error;
    uint8_t *decoded;
    size_t decoded_size, expected_size = 0;
    enum error_code code =
        snappy_decode(bytes, size, LIMIT_BYTES, arena, &decoded, &decoded_size, &error);
    char *expected = reference_decode(bytes, size, &expected_size);
    assert((code == ERROR_NONE) == (expected != NULL));
    if (code == ERROR_NONE)
        assert(decoded_size == expected_size && memcmp(decoded, expected, decoded_size) == 0);
    free(expected);
    arena_destroy(arena);
    return 0;
}
