/*
 * Any bytes as a chunk of Prometheus: what could be decoded and ascends is encoded again, and is
 * then the same.
 */
#include <stdlib.h>

#include "wire/prometheus_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool ascends(const struct chunk_samples *samples)
{
    for (size_t i = 1; i < samples->count; i++)
        if (samples->timestamps_ms[i] <= samples->timestamps_ms[i - 1])
            return false;
    return true;
}

static bool is_same(const struct chunk_samples *left, const struct chunk_samples *right, size_t i)
{
    const struct histogram *one = left->histograms[i], *other = right->histograms[i];
    if (left->timestamps_ms[i] != right->timestamps_ms[i] || (one == NULL) != (other == NULL))
        return false;
    return one == NULL ? double_to_bits(left->values[i]) == double_to_bits(right->values[i])
                       : histogram_equal(one, other);
}

static void round_trip(const struct chunk_samples *samples, struct arena *arena)
{
    struct sample_columns columns = chunk_samples_columns(samples);
    struct byte_buffer chunk = {0}, windows = {0};
    struct chunk_samples again = {.arena = arena};
    struct error error;
    for (size_t first = 0, end; first < columns.count; first = end) {
        end = chunk_end(&columns, first);
        byte_buffer_reset(&chunk);
        chunk_append(&columns, first, end, &windows, &chunk);
        enum error_code code = chunk_decode(chunk_encoding_of(&columns, first), chunk.bytes,
                                            chunk.size, &again, &error);
        require(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        if (code != ERROR_NONE)
            break;
    }
    for (size_t i = 0; i < again.count; i++)
        require(is_same(samples, &again, i));
    byte_buffer_clear(&chunk);
    byte_buffer_clear(&windows);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct error error;
    if (size < 1)
        return 0;
    struct arena *arena = arena_create(256 * 1024 * 1024);
    require(arena != NULL);
    struct chunk_samples samples = {.arena = arena};
    if (chunk_decode(input[0] % 5, input + 1, size - 1, &samples, &error) == ERROR_NONE &&
        ascends(&samples))
        round_trip(&samples, arena);
    arena_destroy(arena);
    return 0;
}
