/*
 * prometheus_chunk - samples of a series as one chunk in Prometheus' encodings
 * (tsdb/docs/format/chunks.md; the sizes of its variable-length numbers are in tsdb/chunkenc).
 */
#ifndef WIRE_PROMETHEUS_CHUNK_H
#define WIRE_PROMETHEUS_CHUNK_H

#include <stddef.h>

#include "base/bytes.h"
#include "bit_writer.h"
#include "model/columns.h"

/* Numbers of prompb.Chunk.Encoding. */
enum prometheus_encoding { ENCODING_XOR = 1, ENCODING_HISTOGRAM = 2, ENCODING_FLOAT_HISTOGRAM = 3 };

/* Of sample `first`. */
enum prometheus_encoding chunk_encoding_of(const struct sample_columns *columns, size_t first);

/* Behind the last sample that can be in one chunk with `first`: of the same encoding and, for
 * histograms, of the same buckets, without a reset of the counter. */
size_t chunk_end(const struct sample_columns *columns, size_t first);

/* Append the chunk of samples [first, end); `windows` is memory for it. */
void chunk_append(const struct sample_columns *columns, size_t first, size_t end,
                  struct byte_buffer *windows, struct byte_buffer *target);

/* chunk_histogram.c */
bool chunk_histograms_fit(const struct histogram *previous, const struct histogram *next);
void chunk_append_histograms(const struct sample_columns *columns, size_t first, size_t end,
                             struct byte_buffer *windows, struct byte_buffer *target);

/* The leading and trailing zero bits that a XOR kept; leading WINDOW_NONE: none yet. */
enum { WINDOW_NONE = 0xff };
struct xor_window {
    uint8_t leading;
    uint8_t trailing;
};
void chunk_put_xor(struct bit_writer *writer, double previous, double value,
                   struct xor_window *window);

#endif
