/*
 * Comparing a sample with what is stored, for samples that are not the newest.
 */
#include "head_internal.h"
#include "histogram_pack.h"

/* A sender repeats a write soon or never; more late samples than these are not looked through. */
enum { LATE_LOOKED_AT = 256 };

static enum error_code find_in_run(const struct series_state *state, uint32_t position,
                                   struct stored_sample *sample_out, struct error *error)
{
    uint32_t offset = position - state->first;
    uint8_t bytes[RUN_BYTES_MAX];
    run_copy_bytes(state, bytes);
    if ((state->flags & SERIES_HISTOGRAMS) != 0) {
        *sample_out = (struct stored_sample){0};
        memcpy(&sample_out->packed, bytes + offset * sizeof sample_out->packed,
               sizeof sample_out->packed);
        return ERROR_NONE;
    }
    double values[CHUNK_SAMPLES_MAX];
    if (!value_run_decode(state, bytes, values))
        return error_set(error, ERROR_CORRUPT, "head: open run");
    *sample_out = (struct stored_sample){.bits = double_to_bits(values[offset])};
    return ERROR_NONE;
}

static enum error_code find_in_chunk(struct head *head, const struct chunk *chunk,
                                     uint32_t position, struct stored_sample *sample_out,
                                     struct error *error)
{
    uint32_t offset = position - chunk->first;
    if (chunk->kind == CHUNK_HISTOGRAMS) {
        *sample_out = (struct stored_sample){.packed = chunk_histogram(chunk, offset)};
        return ERROR_NONE;
    }
    double values[CHUNK_SAMPLES_MAX];
    enum error_code code = chunk_decode_floats(chunk, head->scratch, values, error);
    if (code != ERROR_NONE)
        return code;
    *sample_out = (struct stored_sample){.bits = double_to_bits(values[offset])};
    return ERROR_NONE;
}

enum error_code head_find_stored(struct head *head, const struct series_state *state,
                                 int64_t timestamp_ms, bool *found_out,
                                 struct stored_sample *sample_out, struct error *error)
{
    uint32_t position;
    *found_out = false;
    if (state->count > 0 && timestamp_ms >= time_column_get(state->column, state->first)) {
        if (!time_column_find(state->column, state->first, timestamp_ms, &position) ||
            position >= state->first + state->count)
            return ERROR_NONE;
        *found_out = true;
        return find_in_run(state, position, sample_out, error);
    }
    for (const struct chunk *chunk = state->chunks; chunk != NULL; chunk = chunk->previous) {
        if (timestamp_ms > chunk_end_ms(chunk))
            return ERROR_NONE;
        if (timestamp_ms < chunk_start_ms(chunk))
            continue;
        if (!time_column_find(chunk->column, chunk->first, timestamp_ms, &position))
            return ERROR_NONE;
        *found_out = true;
        return find_in_chunk(head, chunk, position, sample_out, error);
    }
    return ERROR_NONE;
}

static bool packed_equal(const uint8_t *left, const uint8_t *right)
{
    size_t size = histogram_packed_size(left);
    return size == histogram_packed_size(right) && memcmp(left, right, size) == 0;
}

enum error_code stored_sample_order(struct arena *arena, struct stored_sample left,
                                    struct stored_sample right, int *order_out, struct error *error)
{
    if (left.packed == NULL && right.packed == NULL) {
        uint64_t left_key = value_order_key(left.bits);
        uint64_t right_key = value_order_key(right.bits);
        *order_out = (left_key > right_key) - (left_key < right_key);
    } else if (left.packed == NULL || right.packed == NULL) {
        *order_out = left.packed == NULL ? -1 : 1; /* a histogram wins */
    } else if (packed_equal(left.packed, right.packed)) {
        *order_out = 0;
    } else {
        const struct histogram *left_histogram = histogram_unpack(left.packed, arena);
        const struct histogram *right_histogram = histogram_unpack(right.packed, arena);
        if (left_histogram == NULL || right_histogram == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "head: compare histograms");
        *order_out = histogram_order(left_histogram, right_histogram);
    }
    return ERROR_NONE;
}

bool head_late_has(const struct series_extra *extra, int64_t timestamp_ms,
                   struct stored_sample sample)
{
    if (extra == NULL)
        return false;
    bool is_histogram = sample.packed != NULL;
    struct pair_cursor cursor =
        pair_list_end(is_histogram ? &extra->late_histograms : &extra->late_floats);
    struct pair pair;
    for (int i = 0; i < LATE_LOOKED_AT && pair_list_back(&cursor, &pair); i++) {
        if (pair.timestamp_ms != timestamp_ms)
            continue;
        if (is_histogram ? packed_equal((const uint8_t *)(uintptr_t)pair.payload, sample.packed)
                         : pair.payload == sample.bits)
            return true;
    }
    return false;
}
