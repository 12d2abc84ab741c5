/*
 * Values of a chunk. The first byte of the input tells what the rest is: a payload to decode on
 * each path, a list to read, or values to bring through a round trip.
 */
#include <stdlib.h>
#include <string.h>

#include "ascending_list.h"
#include "codec/codec_path.h"
#include "codec/value_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static struct codec_scratch scratch;

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Hostile bytes: the paths must agree on what they are, bit for bit. */
static void decode(const uint8_t *bytes, size_t size, size_t count)
{
    static double values[CODEC_PATHS][CHUNK_SAMPLES_MAX];
    enum error_code codes[CODEC_PATHS] = {0};
    for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
        if (!codec_path_is_available(path))
            continue;
        struct error error = {0};
        codec_path_select(path);
        codes[path] = value_codec_decode(bytes, size, count, &scratch, values[path], &error);
        require(codes[path] == ERROR_NONE || codes[path] == ERROR_CORRUPT ||
                codes[path] == ERROR_UNSUPPORTED);
        require(codes[path] == codes[CODEC_PATH_PORTABLE]);
        if (codes[path] == ERROR_NONE)
            require(memcmp(values[path], values[CODEC_PATH_PORTABLE], count * 8) == 0);
    }
}

static void round_trip(const uint8_t *bytes, size_t count)
{
    static double values[CHUNK_SAMPLES_MAX];
    static double decoded[CHUNK_SAMPLES_MAX];
    memcpy(values, bytes, count * sizeof *values);
    uint8_t encoded[CODEC_PATHS][VALUE_CODEC_BYTES_MAX];
    size_t sizes[CODEC_PATHS] = {0};
    for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
        if (!codec_path_is_available(path))
            continue;
        struct error error = {0};
        codec_path_select(path);
        sizes[path] = value_codec_encode(values, count, &scratch, encoded[path]);
        require(sizes[path] <= value_codec_size_max(count));
        require(sizes[path] == sizes[CODEC_PATH_PORTABLE]);
        require(memcmp(encoded[path], encoded[CODEC_PATH_PORTABLE], sizes[path]) == 0);
        require(value_codec_decode(encoded[path], sizes[path], count, &scratch, decoded, &error) ==
                ERROR_NONE);
        require(memcmp(values, decoded, count * sizeof *values) == 0);
    }
}

/* Neighbouring numbers, as bytes and powers of ten tell: what random bits hardly ever are. */
static void round_trip_of_steps(const uint8_t *bytes, size_t size)
{
    static const double UNITS[] = {1, 10, 100, 1e3, 1e6, 1e9, 1.0 / 4096, 1e15};
    static double values[CHUNK_SAMPLES_MAX];
    if (size < 10)
        return;
    uint64_t sum = load_u64(bytes);
    double unit = UNITS[bytes[8] % 8];
    size_t count = 0;
    for (size_t i = 9; i < size && count < CHUNK_SAMPLES_MAX; i++) {
        uint64_t step = bytes[i] < 0xf0 ? (uint64_t)(bytes[i] >> 2) << 5 * (bytes[i] & 1)
                                        : UINT64_C(1) << 4 * (bytes[i] & 0xf);
        sum += step;
        values[count++] = bytes[i] == 0xf0 ? double_from_bits(UINT64_C(0x7ff0000000000002))
                                           : (double)(int64_t)sum / unit;
    }
    round_trip((const uint8_t *)values, count);
}

static void read_list(const uint8_t *bytes, size_t size, size_t count)
{
    uint32_t values[CHUNK_SAMPLES_MAX];
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct error error = {0};
    if (ascending_decode(&reader, count, values, &error) != ERROR_NONE)
        return;
    for (size_t i = 1; i < count; i++)
        require(values[i] > values[i - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 3)
        return 0;
    size_t count = 1 + load_u16(input + 1) % CHUNK_SAMPLES_MAX;
    const uint8_t *bytes = input + 3;
    size -= 3;
    switch (input[0] % 4) {
    case 0:
        decode(bytes, size, count);
        break;
    case 1:
        count = size / 8 < CHUNK_SAMPLES_MAX ? size / 8 : CHUNK_SAMPLES_MAX;
        if (count > 0)
            round_trip(bytes, count);
        break;
    case 2:
        round_trip_of_steps(bytes, size);
        break;
    default:
        read_list(bytes, size, count);
    }
    return 0;
}
