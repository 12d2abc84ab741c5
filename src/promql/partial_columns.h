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
#include "model/sample.h"
#include "step_vector.h"

/* `present` is [step_words(step_count)]; decoded into zeroed words. */
void steps_encode(struct byte_buffer *buffer, const uint64_t *present, size_t step_count);
void steps_decode(struct byte_reader *reader, uint64_t *present, size_t step_count);

/* The values of the present steps; others are not looked at, and left alone by the decoder.
 * `scratch` holds them for a moment. False when memory is out. */
bool column_encode(struct byte_buffer *buffer, const double *values, const uint64_t *present,
                   size_t step_count, struct arena *scratch);
void column_decode(struct byte_reader *reader, double *values, const uint64_t *present,
                   size_t step_count);

/* `count` values one after the other. */
void values_encode(struct byte_buffer *buffer, const double *values, size_t count);
void values_decode(struct byte_reader *reader, double *values, size_t count);

/* Fields and bits as they are; a decoded one is safe to calculate with. NULL and the reader failed,
 * or NULL when memory is out. */
void histogram_encode(struct byte_buffer *buffer, const struct histogram *histogram);
struct histogram *histogram_decode(struct byte_reader *reader, struct arena *arena);

#endif
