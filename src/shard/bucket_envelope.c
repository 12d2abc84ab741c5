#include "bucket_envelope.h"

#include <string.h>

#include "base/checksum.h"

enum {
    MAGIC_BYTES = 4,
    FORMAT = 1,
    HASH_OFFSET = MAGIC_BYTES + 1,
    HEADER_BYTES = HASH_OFFSET + 16,
};

size_t bucket_envelope_begin(const struct bucket_envelope *envelope, struct byte_buffer *buffer)
{
    size_t begun = buffer->size;
    byte_buffer_append(buffer, envelope->magic, MAGIC_BYTES);
    byte_buffer_u8(buffer, FORMAT);
    byte_buffer_u64(buffer, 0);
    byte_buffer_u64(buffer, 0);
    return begun;
}

void bucket_envelope_end(struct byte_buffer *buffer, size_t begun)
{
    if (buffer->failed)
        return;
    const uint8_t *body = buffer->bytes + begun + HEADER_BYTES;
    struct hash128 hash = hash128(body, buffer->size - begun - HEADER_BYTES, HASH_SEED_STORED);
    store_u64(buffer->bytes + begun + HASH_OFFSET, hash.low);
    store_u64(buffer->bytes + begun + HASH_OFFSET + 8, hash.high);
}

enum error_code bucket_envelope_open(const struct bucket_envelope *envelope, const uint8_t *bytes,
                                     size_t size_bytes, struct byte_reader *body_out,
                                     struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    const uint8_t *magic = byte_reader_take(&reader, MAGIC_BYTES);
    uint8_t format = byte_reader_u8(&reader);
    struct hash128 hash = {.low = byte_reader_u64(&reader)};
    hash.high = byte_reader_u64(&reader);
    if (reader.failed || memcmp(magic, envelope->magic, MAGIC_BYTES) != 0)
        return error_set(error, ERROR_CORRUPT, "%s: cut, or another thing", envelope->name);
    if (format != FORMAT)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: format %u is not known to this program: run a release that knows it",
                         envelope->name, format);
    if (!hash128_equal(hash, hash128(reader.position, byte_reader_left(&reader), HASH_SEED_STORED)))
        return error_set(error, ERROR_CORRUPT, "%s: its checksum", envelope->name);
    *body_out = reader;
    return ERROR_NONE;
}
