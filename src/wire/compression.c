#include "wire/compression.h"

#include <snappy-c.h>

enum error_code snappy_decode(const uint8_t *compressed, size_t compressed_size, size_t limit_bytes,
                              struct arena *arena, uint8_t **bytes_out, size_t *size_out,
                              struct error *error)
{
    size_t size;
    if (snappy_uncompressed_length((const char *)compressed, compressed_size, &size) != SNAPPY_OK)
        return error_set(error, ERROR_INVALID, "snappy: no valid length in front of the body");
    if (size > limit_bytes)
        return error_set(error, ERROR_LIMIT,
                         "the decoded body has %zu bytes, more than the limit of %zu", size,
                         limit_bytes);
    uint8_t *bytes = arena_allocate(arena, size);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "snappy: %zu bytes", size);
    if (snappy_uncompress((const char *)compressed, compressed_size, (char *)bytes, &size) !=
        SNAPPY_OK)
        return error_set(error, ERROR_INVALID, "snappy: corrupt input");
    *bytes_out = bytes;
    *size_out = size;
    return ERROR_NONE;
}

enum error_code snappy_encode(const uint8_t *bytes, size_t size, struct arena *arena,
                              uint8_t **compressed_out, size_t *compressed_size_out,
                              struct error *error)
{
    size_t room = snappy_max_compressed_length(size);
    uint8_t *compressed = arena_allocate(arena, room);
    if (compressed == NULL ||
        snappy_compress((const char *)bytes, size, (char *)compressed, &room) != SNAPPY_OK)
        return error_set(error, ERROR_OUT_OF_MEMORY, "snappy: compress %zu bytes", size);
    *compressed_out = compressed;
    *compressed_size_out = room;
    return ERROR_NONE;
}
