#include "chunk_decoder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/histogram_codec.h"
#include "codec/integer_codec.h"
#include "codec/value_codec.h"

enum {
    CAPACITY_FIRST = 2 * CHUNK_SAMPLES_MAX,
    /* Histograms of one read: what a hostile file may make of a few bytes ends here. */
    ARENA_BYTES_MAX = 1 << 30,
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "read samples");
}

static bool grow(void *array, size_t capacity, size_t element_bytes)
{
    void *grown = realloc(*(void **)array, capacity * element_bytes);
    if (grown == NULL)
        return false;
    *(void **)array = grown;
    return true;
}

enum error_code chunk_decoder_init(struct chunk_decoder *decoder, struct error *error)
{
    *decoder = (struct chunk_decoder){0};
    decoder->scratch = malloc(sizeof *decoder->scratch);
    decoder->arena = arena_create(ARENA_BYTES_MAX);
    if (decoder->scratch == NULL || decoder->arena == NULL)
        return out_of_memory(error);
    return chunk_decoder_reserve(decoder, CAPACITY_FIRST, error);
}

void chunk_decoder_clear(struct chunk_decoder *decoder)
{
    free(decoder->scratch);
    arena_destroy(decoder->arena);
    free(decoder->timestamps_ms);
    free(decoder->values);
    free(decoder->histograms);
    free(decoder->starts_ms);
    *decoder = (struct chunk_decoder){0};
}

void chunk_decoder_begin(struct chunk_decoder *decoder)
{
    decoder->count = 0;
    decoder->has_histograms = false;
    decoder->has_starts = false;
    arena_reset(decoder->arena);
}

enum error_code chunk_decoder_reserve(struct chunk_decoder *decoder, size_t extra,
                                      struct error *error)
{
    if (decoder->capacity - decoder->count >= extra)
        return ERROR_NONE;
    size_t capacity = decoder->count + extra + decoder->capacity / 2;
    if (!grow(&decoder->timestamps_ms, capacity, sizeof(int64_t)) ||
        !grow(&decoder->values, capacity, sizeof(double)) ||
        (decoder->histograms != NULL &&
         !grow(&decoder->histograms, capacity, sizeof *decoder->histograms)) ||
        (decoder->starts_ms != NULL && !grow(&decoder->starts_ms, capacity, sizeof(int64_t))))
        return out_of_memory(error);
    decoder->capacity = capacity;
    return ERROR_NONE;
}

/* --- Decoding --------------------------------------------------------------------------------- */

static enum error_code add_histograms(struct chunk_decoder *decoder,
                                      const struct encoded_chunk *chunk, struct error *error)
{
    if (decoder->histograms == NULL &&
        !grow(&decoder->histograms, decoder->capacity, sizeof *decoder->histograms))
        return out_of_memory(error);
    if (!decoder->has_histograms)
        memset(decoder->histograms, 0, decoder->count * sizeof *decoder->histograms);
    decoder->has_histograms = true;
    struct histogram *histograms;
    enum error_code code =
        histogram_codec_decode(chunk->bytes, chunk->size_bytes, chunk->sample_count,
                               decoder->scratch, decoder->arena, &histograms, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < chunk->sample_count; i++) {
        decoder->histograms[decoder->count + i] = &histograms[i];
        decoder->values[decoder->count + i] = 0;
    }
    return ERROR_NONE;
}

static enum error_code add_floats(struct chunk_decoder *decoder, const struct encoded_chunk *chunk,
                                  struct error *error)
{
    if (decoder->has_histograms)
        memset(decoder->histograms + decoder->count, 0,
               chunk->sample_count * sizeof *decoder->histograms);
    return value_codec_decode(chunk->bytes, chunk->size_bytes, chunk->sample_count,
                              decoder->scratch, decoder->values + decoder->count, error);
}

static enum error_code add_starts(struct chunk_decoder *decoder, const struct encoded_chunk *chunk,
                                  struct error *error)
{
    if (chunk->start_timestamps_bytes == 0) {
        if (decoder->has_starts)
            memset(decoder->starts_ms + decoder->count, 0,
                   chunk->sample_count * sizeof *decoder->starts_ms);
        return ERROR_NONE;
    }
    if (decoder->starts_ms == NULL &&
        !grow(&decoder->starts_ms, decoder->capacity, sizeof(int64_t)))
        return out_of_memory(error);
    if (!decoder->has_starts)
        memset(decoder->starts_ms, 0, decoder->count * sizeof *decoder->starts_ms);
    decoder->has_starts = true;
    struct byte_reader reader =
        byte_reader_over(chunk->start_timestamps, chunk->start_timestamps_bytes);
    enum error_code code = integer_column_decode(&reader, chunk->sample_count, decoder->scratch,
                                                 decoder->starts_ms + decoder->count, error);
    if (code == ERROR_NONE && byte_reader_left(&reader) > 0)
        code = error_set(error, ERROR_CORRUPT, "start timestamps");
    return code;
}

enum error_code chunk_decoder_add(struct chunk_decoder *decoder, const struct encoded_chunk *chunk,
                                  struct error *error)
{
    assert(decoder->capacity - decoder->count >= chunk->sample_count);
    enum error_code code = chunk->kind == CHUNK_HISTOGRAM ? add_histograms(decoder, chunk, error)
                                                          : add_floats(decoder, chunk, error);
    if (code == ERROR_NONE)
        code = add_starts(decoder, chunk, error);
    if (code == ERROR_NONE)
        decoder->count += chunk->sample_count;
    return code;
}

/* --- Columns ---------------------------------------------------------------------------------- */

/* Index of the first timestamp >= wanted. */
static size_t lower_bound(const int64_t *timestamps_ms, size_t count, int64_t wanted)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (timestamps_ms[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct sample_columns chunk_decoder_columns(const struct chunk_decoder *decoder, int64_t start_ms,
                                            int64_t end_ms, size_t *first_out)
{
    size_t first = lower_bound(decoder->timestamps_ms, decoder->count, start_ms);
    size_t last = end_ms == INT64_MAX
                      ? decoder->count
                      : lower_bound(decoder->timestamps_ms, decoder->count, end_ms + 1);
    *first_out = first;
    if (last <= first)
        return (struct sample_columns){0};
    return (struct sample_columns){
        .count = last - first,
        .timestamps_ms = decoder->timestamps_ms + first,
        .values = decoder->values + first,
        .histograms = decoder->has_histograms ? decoder->histograms + first : NULL,
        .start_timestamps_ms = decoder->has_starts ? decoder->starts_ms + first : NULL,
    };
}
