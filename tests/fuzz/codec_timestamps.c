/*
 * A column of timestamps: hostile bytes to open and decode in parts, or steps to encode and bring
 * back.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/timestamp_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static struct codec_scratch scratch;

enum { TIMESTAMPS_MAX = 4096 };

static int64_t timestamps[TIMESTAMPS_MAX];
static int64_t decoded[TIMESTAMPS_MAX];

static void require(bool condition)
{
    if (!condition)
        abort();
}

static enum error_code decode_part(const struct timestamp_column *column, size_t first,
                                   size_t count)
{
    struct error error = {0};
    enum error_code code = timestamp_codec_decode(column, first, count, &scratch, decoded, &error);
    for (size_t i = 1; code == ERROR_NONE && i < count; i++)
        require(decoded[i] > decoded[i - 1]);
    return code;
}

static void decode(const uint8_t *bytes, size_t size)
{
    struct timestamp_column column;
    struct error error = {0};
    if (timestamp_codec_open(bytes, size, &column, &error) != ERROR_NONE)
        return;
    size_t whole = column.count < TIMESTAMPS_MAX ? column.count : TIMESTAMPS_MAX;
    decode_part(&column, 0, whole);
    decode_part(&column, column.count / 2, whole / 3);
    decode_part(&column, column.count - 1, 1);
    require(decode_part(&column, column.count, 1) == ERROR_CORRUPT);
}

static void round_trip(const uint8_t *bytes, size_t size)
{
    if (size < 10)
        return;
    size_t count = 0;
    uint64_t now = load_u64(bytes) >> 2;
    for (size_t i = 8; i < size; i++) {
        /* One byte makes several timestamps, so that a small input fills several blocks. */
        for (size_t repeat = 0; repeat <= bytes[i] / 32u && count < TIMESTAMPS_MAX; repeat++) {
            timestamps[count++] = (int64_t)now;
            now += 1 + (UINT64_C(1) << (bytes[i] % 32));
        }
        if (count == TIMESTAMPS_MAX || now > INT64_MAX - (UINT64_C(1) << 40))
            break;
    }
    struct byte_buffer buffer = {0};
    struct timestamp_column column;
    struct error error = {0};
    timestamp_codec_encode(timestamps, count, &scratch, &buffer);
    require(!buffer.failed);
    require(timestamp_codec_open(buffer.bytes, buffer.size, &column, &error) == ERROR_NONE);
    require(column.count == count);
    size_t first = bytes[8] % count;
    require(decode_part(&column, first, count - first) == ERROR_NONE);
    require(memcmp(decoded, timestamps + first, (count - first) * sizeof *decoded) == 0);
    byte_buffer_clear(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size == 0)
        return 0;
    if (input[0] % 2 == 0)
        decode(input + 1, size - 1);
    else
        round_trip(input + 1, size - 1);
    return 0;
}
