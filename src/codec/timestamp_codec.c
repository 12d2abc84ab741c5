#include "codec/timestamp_codec.h"

#include <assert.h>
#include <string.h>

#include "integer_stream.h"

/* --- Format ------------------------------------------------------------------------------- */

enum { BLOCK_TIMESTAMPS = CHUNK_SAMPLES_MAX, BLOCK_END_SIZE = 4 };

static size_t blocks_of(size_t count)
{
    return (count + BLOCK_TIMESTAMPS - 1) / BLOCK_TIMESTAMPS;
}

static size_t timestamps_in(size_t count, size_t block)
{
    size_t left = count - block * BLOCK_TIMESTAMPS;
    return left < BLOCK_TIMESTAMPS ? left : BLOCK_TIMESTAMPS;
}

/* --- Encoding ----------------------------------------------------------------------------- */

static void assert_ascending(const int64_t *timestamps, size_t count)
{
    for (size_t i = 1; i < count; i++)
        assert(timestamps[i] > timestamps[i - 1]);
}

void timestamp_codec_encode(const int64_t *timestamps, size_t count, struct codec_scratch *scratch,
                            struct byte_buffer *buffer)
{
    assert(count >= 1 && count <= TIMESTAMP_COLUMN_MAX);
    assert_ascending(timestamps, count);

    byte_buffer_varint(buffer, count);
    size_t blocks = blocks_of(count);
    size_t table = buffer->size;
    for (size_t block = 0; block < blocks; block++)
        byte_buffer_u32(buffer, 0); /* set below, when the block is written */
    size_t origin = buffer->size;

    const struct codec_kernels *kernels = codec_kernels();
    for (size_t block = 0; block < blocks; block++) {
        uint8_t *bytes = scratch->plain_bytes;
        uint8_t *end = integer_stream_encode(timestamps + block * BLOCK_TIMESTAMPS,
                                             timestamps_in(count, block), kernels, scratch, bytes);
        byte_buffer_append(buffer, bytes, (size_t)(end - bytes));
        if (buffer->failed)
            return;
        store_u32(buffer->bytes + table + block * BLOCK_END_SIZE,
                  (uint32_t)(buffer->size - origin));
    }
}

/* --- Decoding ----------------------------------------------------------------------------- */

enum error_code timestamp_codec_open(const uint8_t *bytes, size_t size,
                                     struct timestamp_column *column_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    uint64_t count = byte_reader_varint(&reader);
    if (reader.failed || count == 0)
        return error_set(error, ERROR_CORRUPT, "timestamps: no count");
    if (count > TIMESTAMP_COLUMN_MAX)
        return error_set(error, ERROR_LIMIT, "timestamps: %llu in a column",
                         (unsigned long long)count);

    size_t blocks = blocks_of(count);
    const uint8_t *block_ends = byte_reader_take(&reader, blocks * BLOCK_END_SIZE);
    if (block_ends == NULL)
        return error_set(error, ERROR_CORRUPT, "timestamps: table of %zu blocks cut short", blocks);
    uint32_t previous_end = 0;
    for (size_t block = 0; block < blocks; block++) {
        uint32_t block_end = load_u32(block_ends + block * BLOCK_END_SIZE);
        if (block_end <= previous_end)
            return error_set(error, ERROR_CORRUPT, "timestamps: block %zu out of order", block);
        previous_end = block_end;
    }
    if (previous_end != byte_reader_left(&reader))
        return error_set(error, ERROR_CORRUPT, "timestamps: blocks of %u bytes in %zu",
                         previous_end, byte_reader_left(&reader));

    *column_out = (struct timestamp_column){
        .count = count,
        .block_ends = block_ends,
        .blocks = reader.position,
        .blocks_size = previous_end,
    };
    return ERROR_NONE;
}

/* Decode one block to scratch->scaled. */
static enum error_code decode_block(const struct timestamp_column *column, size_t block,
                                    struct codec_scratch *scratch, struct error *error)
{
    size_t begin = block == 0 ? 0 : load_u32(column->block_ends + (block - 1) * BLOCK_END_SIZE);
    size_t end = load_u32(column->block_ends + block * BLOCK_END_SIZE);
    assert(begin < end && end <= column->blocks_size);

    struct byte_reader reader = byte_reader_over(column->blocks + begin, end - begin);
    enum error_code code = integer_stream_decode(&reader, timestamps_in(column->count, block),
                                                 codec_kernels(), scratch, scratch->scaled, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "timestamps: block %zu", block);
    if (byte_reader_left(&reader) != 0)
        return error_set(error, ERROR_CORRUPT, "timestamps: block %zu has bytes left", block);
    return ERROR_NONE;
}

enum error_code timestamp_codec_decode(const struct timestamp_column *column, size_t first,
                                       size_t count, struct codec_scratch *scratch,
                                       int64_t *timestamps_out, struct error *error)
{
    if (first > column->count || count > column->count - first)
        return error_set(error, ERROR_CORRUPT, "timestamps: %zu from %zu on, of %zu", count, first,
                         column->count);

    size_t done = 0;
    while (done < count) {
        size_t block = (first + done) / BLOCK_TIMESTAMPS;
        size_t skipped = (first + done) % BLOCK_TIMESTAMPS;
        enum error_code code = decode_block(column, block, scratch, error);
        if (code != ERROR_NONE)
            return code;
        size_t taken = timestamps_in(column->count, block) - skipped;
        taken = taken < count - done ? taken : count - done;
        memcpy(timestamps_out + done, scratch->scaled + skipped, taken * sizeof *timestamps_out);
        done += taken;
    }
    for (size_t i = 1; i < count; i++)
        if (timestamps_out[i] <= timestamps_out[i - 1])
            return error_set(error, ERROR_CORRUPT, "timestamps: %zu is not ascending", first + i);
    return ERROR_NONE;
}
