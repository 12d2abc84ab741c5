/*
 * prometheus_chunk - samples of a series as chunks in Prometheus' encodings
 * (tsdb/docs/format/chunks.md; the sizes of its variable-length numbers are in tsdb/chunkenc):
 * what remote read streams and what blocks of Prometheus hold.
 */
#ifndef WIRE_PROMETHEUS_CHUNK_H
#define WIRE_PROMETHEUS_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/columns.h"

/* Numbers of prompb.Chunk.Encoding and of the chunk files. */
enum prometheus_encoding { ENCODING_XOR = 1, ENCODING_HISTOGRAM = 2, ENCODING_FLOAT_HISTOGRAM = 3 };

/* --- Writing ----------------------------------------------------------------------------------
 */

/* Of sample `first`. */
enum prometheus_encoding chunk_encoding_of(const struct sample_columns *columns, size_t first);

/* Behind the last sample that can be in one chunk with `first`, of at most 120: of the same
 * encoding and, for histograms, of the same buckets, without a reset of the counter. */
size_t chunk_end(const struct sample_columns *columns, size_t first);

/* Append the chunk of samples [first, end); `windows` is memory for it. */
void chunk_append(const struct sample_columns *columns, size_t first, size_t end,
                  struct byte_buffer *windows, struct byte_buffer *target);

/* --- Reading ----------------------------------------------------------------------------------
 */

/* Samples of one or more chunks as they came. Zero-initialise but for the arena, which holds
 * everything. */
struct chunk_samples {
    struct arena *arena;
    size_t count;
    size_t capacity;
    int64_t *timestamps_ms;              /* [count] */
    double *values;                      /* [count]; 0 at histograms */
    const struct histogram **histograms; /* [count]; NULL at floats */
    bool has_histograms;
};

/* As columns; the samples must ascend. Valid until the next chunk. */
struct sample_columns chunk_samples_columns(const struct chunk_samples *samples);

/* Those of another, behind; their histograms stay where they are. False when memory is out. */
bool chunk_samples_append(struct chunk_samples *samples, const struct chunk_samples *more);

/*
 * Decode one chunk, whose checksum is verified or that has none, behind the samples that are
 * there. Of the hints whether a counter was reset, YES and GAUGE are told; NO only says that
 * values do not fall, which they show. The end of a series is a histogram with nothing but a sum.
 *
 * Errors: CORRUPT, LIMIT (more buckets than HISTOGRAM_BUCKETS_MAX), UNSUPPORTED (another
 * encoding), OUT_OF_MEMORY; then no sample was added.
 */
enum error_code chunk_decode(unsigned encoding, const uint8_t *bytes, size_t size,
                             struct chunk_samples *samples, struct error *error);

#endif
