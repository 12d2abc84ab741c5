/*
 * Any bytes as a remote read request; and, as samples of any times and values, as chunks and
 * frames.
 */
#include <stdlib.h>
#include <string.h>

#include "wire/remote_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct read_request *request, const uint8_t *data, size_t size)
{
    const char *start = (const char *)data, *end = start + size;
    for (size_t q = 0; q < request->query_count; q++) {
        const struct read_query *query = &request->queries[q];
        for (size_t m = 0; m < query->matcher_count; m++) {
            struct text value = query->matchers[m].value;
            if (value.size > 0 && (value.data < start || value.data + value.size > end))
                abort();
        }
    }
}

/* Pairs of a step in time and a value. */
static void write_samples(const uint8_t *data, size_t size)
{
    enum { SAMPLES_MAX = 300 };
    int64_t times[SAMPLES_MAX], at = 0;
    double values[SAMPLES_MAX];
    struct byte_reader reader = byte_reader_over(data, size);
    size_t count = 0;
    while (count < SAMPLES_MAX) {
        uint64_t step = byte_reader_varint(&reader);
        uint64_t bits = byte_reader_u64(&reader);
        if (reader.failed || __builtin_add_overflow(at, (int64_t)(step >> 2) + 1, &at))
            break;
        times[count] = at;
        memcpy(&values[count++], &bits, sizeof bits);
    }
    struct sample_columns columns = {.count = count, .timestamps_ms = times, .values = values};
    struct read_scratch scratch = {0};
    struct byte_buffer stream = {0}, result = {0};
    read_append_frames(1, (struct labels){0}, &columns, &scratch, &stream);
    read_append_series((struct labels){0}, &columns, &result);
    if ((stream.size == 0) != (count == 0) || (result.size == 0) != (count == 0))
        abort();
    byte_buffer_clear(&stream);
    byte_buffer_clear(&result);
    read_scratch_clear(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(64 * 1024 * 1024);
    struct read_request request;
    struct error error;
    if (read_request_decode(data, size, arena, &request, &error) == ERROR_NONE)
        check_request(&request, data, size);
    write_samples(data, size);
    arena_destroy(arena);
    return 0;
}
