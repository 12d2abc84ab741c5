/*
 * Writes, deletions and flushes from another node. What is taken for a write encodes and decodes to
 * the same again, and all of it can be looked at. The first byte chooses the kind.
 */
#include <stdlib.h>
#include <string.h>

#include "write_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_same(const void *left, const void *right, size_t size)
{
    require(size == 0 || memcmp(left, right, size) == 0);
}

static void compare(const struct shard_write *one, const struct shard_write *other)
{
    require(one->float_count == other->float_count);
    require(one->new_series_count == other->new_series_count);
    require(one->histogram_count == other->histogram_count);
    require(one->exemplar_count == other->exemplar_count);
    require(one->metadata_count == other->metadata_count);
    require(text_equal(one->tenant, other->tenant) && text_equal(one->source, other->source));
    require_same(one->ids, other->ids, one->float_count * sizeof *one->ids);
    require_same(one->values, other->values, one->float_count * sizeof *one->values);
    require_same(one->timestamps_ms, other->timestamps_ms, one->float_count * sizeof(int64_t));
    if (one->start_timestamps_ms != NULL)
        require_same(one->start_timestamps_ms, other->start_timestamps_ms,
                     one->float_count * sizeof(int64_t));
    for (size_t i = 0; i < one->new_series_count; i++)
        require(labels_equal(one->new_series[i].labels, other->new_series[i].labels) &&
                one->new_series[i].slot == other->new_series[i].slot);
    for (size_t i = 0; i < one->histogram_count; i++)
        require(one->histograms[i].id == other->histograms[i].id &&
                histogram_equal(&one->histograms[i].histogram, &other->histograms[i].histogram));
}

static void take_write(const uint8_t *bytes, size_t size)
{
    struct arena *arena = arena_create(64 << 20);
    struct shard_write write, again;
    uint32_t shard_id, shard_again;
    struct error error;
    if (write_question_decode(bytes, size, arena, &shard_id, &write, &error) == ERROR_NONE) {
        struct shared_bytes *encoded = write_question_encode(shard_id, &write);
        require(encoded != NULL);
        require(write_question_decode(encoded->bytes, encoded->size, arena, &shard_again, &again,
                                      &error) == ERROR_NONE);
        require(shard_id == shard_again);
        compare(&write, &again);
        shared_bytes_unref(encoded);
    }
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes)
{
    if (input_bytes < 1)
        return 0;
    /* Without room behind it, so that a read beyond the end is noticed. */
    size_t size = input_bytes - 1;
    uint8_t *bytes = malloc(size + (size == 0));
    uint32_t shard_id, splits;
    struct text entry;
    enum flush_reach reach;
    struct error error;
    memcpy(bytes, input + 1, size);
    if (input[0] % 4 == 1) {
        if (propose_question_decode(bytes, size, &shard_id, &splits, &entry, &error) == ERROR_NONE)
            (void)shard_check_delete((const uint8_t *)entry.data, entry.size, &error);
    } else if (input[0] % 4 == 3) {
        if (tenant_question_decode(bytes, size, &shard_id, &entry, &error) == ERROR_NONE)
            require(entry.size > 0 && entry.size + 8 == size);
    } else if (input[0] % 4 == 2)
        (void)flush_question_decode(bytes, size, &shard_id, &reach, &error);
    else
        take_write(bytes, size);
    free(bytes);
    return 0;
}
