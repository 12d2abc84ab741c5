/*
 * chunk_decoder - gather decoded chunks of one series as columns.
 *
 * Owns the memory of the columns and reuses it from series to series. One thread at a time.
 */
#ifndef BLOCK_CHUNK_DECODER_H
#define BLOCK_CHUNK_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "block/encoded_series.h"
#include "codec/codec_scratch.h"
#include "model/columns.h"

struct chunk_decoder {
    struct codec_scratch *scratch;
    struct arena *arena; /* histograms, until the next begin */
    size_t count;
    size_t capacity;
    int64_t *timestamps_ms; /* [capacity] */
    double *values;         /* [capacity] */
    /* [capacity] from the first chunk on that needs them. */
    const struct histogram **histograms;
    int64_t *starts_ms;
    bool has_histograms;
    bool has_starts;
};

/* Errors: OUT_OF_MEMORY. Clear it also then. */
enum error_code chunk_decoder_init(struct chunk_decoder *decoder, struct error *error);
void chunk_decoder_clear(struct chunk_decoder *decoder);

/* Forget what was gathered. */
void chunk_decoder_begin(struct chunk_decoder *decoder);

/*
 * Decode a chunk behind the others. Its timestamps are at decoder->timestamps_ms + decoder->count
 * already, where chunk_decoder_reserve made room. Errors: CORRUPT, UNSUPPORTED, OUT_OF_MEMORY.
 */
enum error_code chunk_decoder_add(struct chunk_decoder *decoder, const struct encoded_chunk *chunk,
                                  struct error *error);

/* Room for `extra` more samples. Errors: OUT_OF_MEMORY. */
enum error_code chunk_decoder_reserve(struct chunk_decoder *decoder, size_t extra,
                                      struct error *error);

/* The samples with start_ms <= timestamp <= end_ms of those gathered. *first_out is the index of
 * the first of them. */
struct sample_columns chunk_decoder_columns(const struct chunk_decoder *decoder, int64_t start_ms,
                                            int64_t end_ms, size_t *first_out);

#endif
