#include "bucket_metadata.h"

#include "base/checksum.h"

/* "GBMD" | u8 format | u64 hash low | u64 high | body: the hash is that of the body. */
static const uint8_t MAGIC[4] = {'G', 'B', 'M', 'D'};
enum { FORMAT = 1, HASH_OFFSET = 5, HEADER_BYTES = HASH_OFFSET + 16 };

void bucket_metadata_encode(struct metadata_store *store, struct byte_buffer *buffer)
{
    size_t start = buffer->size;
    byte_buffer_append(buffer, MAGIC, sizeof MAGIC);
    byte_buffer_u8(buffer, FORMAT);
    byte_buffer_u64(buffer, 0);
    byte_buffer_u64(buffer, 0);
    metadata_store_encode(store, buffer);
    if (buffer->failed)
        return;
    const uint8_t *body = buffer->bytes + start + HEADER_BYTES;
    struct hash128 hash = hash128(body, buffer->size - start - HEADER_BYTES, HASH_SEED_STORED);
    store_u64(buffer->bytes + start + HASH_OFFSET, hash.low);
    store_u64(buffer->bytes + start + HASH_OFFSET + 8, hash.high);
}

enum error_code bucket_metadata_decode(const uint8_t *bytes, size_t size_bytes,
                                       struct metadata_store *store, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    const uint8_t *magic = byte_reader_take(&reader, sizeof MAGIC);
    uint8_t format = byte_reader_u8(&reader);
    struct hash128 hash = {.low = byte_reader_u64(&reader)};
    hash.high = byte_reader_u64(&reader);
    if (reader.failed || memcmp(magic, MAGIC, sizeof MAGIC) != 0)
        return error_set(error, ERROR_CORRUPT, "metadata of a bucket: cut, or another thing");
    if (format != FORMAT)
        return error_set(error, ERROR_UNSUPPORTED,
                         "metadata of a bucket: format %u is not known to this program: run a "
                         "release that knows it",
                         format);
    if (!hash128_equal(hash, hash128(reader.position, byte_reader_left(&reader), HASH_SEED_STORED)))
        return error_set(error, ERROR_CORRUPT, "metadata of a bucket: its checksum");
    return metadata_store_decode(store, &reader, error);
}
