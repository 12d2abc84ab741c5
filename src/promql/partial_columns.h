/*
 * partial_columns - values at steps as bytes: which steps, floats, native histograms.
 *
 * Byte layout: docs/protocols/sub-query.md. Writers tell by the buffer's `failed` that memory is
 * out, readers by theirs that the bytes are not what a writer makes. Any thread.
 */
#ifndef PROMQL_PARTIAL_COLUMNS_H
#define PROMQL_PARTIAL_COLUMNS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "codec/codec_scratch.h"
#include "model/sample.h"
#include "step_vector.h"

/* `present` is [step_words(step_count)]; decoded into zeroed words. */
void steps_encode(struct byte_buffer *buffer, const uint64_t *present, size_t step_count);
void steps_decode(struct byte_reader *reader, uint64_t *present, size_t step_count);

/*
 * Packs columns as blocks are packed, where that is much shorter. Few columns of results are like
 * samples and many alike, so after one that did not pack some are not tried. What it remembers
 * decides about bytes, never about values: begin anew where bytes must be the same.
 */
struct values_packer {
    struct codec_scratch *scratch; /* needs no initialisation; NULL: nothing is packed */
    unsigned skipped;              /* columns not to be tried */
};

/* The values of the present steps; others are not looked at, and left alone by the decoder.
 * `scratch` holds them for a moment. False when memory is out. */
bool column_encode(struct byte_buffer *buffer, const double *values, const uint64_t *present,
                   size_t step_count, struct values_packer *packer, struct arena *scratch);
void column_decode(struct byte_reader *reader, double *values, const uint64_t *present,
                   size_t step_count, struct codec_scratch *unpacking);

/* `count` values one after the other. Without a packer none are packed; without room for unpacking
 * none may be. */
void values_encode(struct byte_buffer *buffer, const double *values, size_t count,
                   struct values_packer *packer);
void values_decode(struct byte_reader *reader, double *values, size_t count,
                   struct codec_scratch *unpacking);

/* Fields and bits as they are; a decoded one is safe to calculate with. NULL and the reader failed,
 * or NULL when memory is out. */
void histogram_encode(struct byte_buffer *buffer, const struct histogram *histogram);
struct histogram *histogram_decode(struct byte_reader *reader, struct arena *arena);

#endif
