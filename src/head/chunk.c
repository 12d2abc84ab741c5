#include "chunk.h"

#include <assert.h>
#include <string.h>

#include "codec/value_codec.h"

static const struct chunk *chunk_create(struct pool *pool, struct chunk header,
                                        const uint8_t *bytes, size_t size)
{
    assert(size <= UINT16_MAX);
    struct chunk *chunk = pool_allocate(pool, offsetof(struct chunk, bytes) + size, 8);
    if (chunk == NULL)
        return NULL;
    memcpy(chunk, &header, offsetof(struct chunk, bytes));
    chunk->size_bytes = (uint16_t)size;
    memcpy(chunk->bytes, bytes, size);
    return chunk;
}

const struct chunk *chunk_create_floats(struct pool *pool, struct chunk header,
                                        const double *values, struct codec_scratch *scratch)
{
    uint8_t bytes[VALUE_CODEC_BYTES_MAX];
    if (scratch == NULL) {
        header.kind = CHUNK_RAW_FLOATS;
        return chunk_create(pool, header, (const uint8_t *)values, header.count * sizeof *values);
    }
    header.kind = CHUNK_FLOATS;
    size_t size = value_codec_encode(values, header.count, scratch, bytes);
    return chunk_create(pool, header, bytes, size);
}

const struct chunk *chunk_create_histograms(struct pool *pool, struct chunk header,
                                            const uint8_t *pointers)
{
    header.kind = CHUNK_HISTOGRAMS;
    return chunk_create(pool, header, pointers, header.count * sizeof(uint8_t *));
}

enum error_code chunk_decode_floats(const struct chunk *chunk, struct codec_scratch *scratch,
                                    double *values_out, struct error *error)
{
    assert(chunk->kind != CHUNK_HISTOGRAMS);
    if (chunk->kind == CHUNK_RAW_FLOATS) {
        memcpy(values_out, chunk->bytes, chunk->count * sizeof *values_out);
        return ERROR_NONE;
    }
    return value_codec_decode(chunk->bytes, chunk->size_bytes, chunk->count, scratch, values_out,
                              error);
}

const uint8_t *chunk_histogram(const struct chunk *chunk, uint32_t position)
{
    assert(chunk->kind == CHUNK_HISTOGRAMS && position < chunk->count);
    const uint8_t *packed;
    memcpy(&packed, chunk->bytes + position * sizeof packed, sizeof packed);
    return packed;
}
