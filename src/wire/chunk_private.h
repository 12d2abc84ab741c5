/* What the files of Prometheus' chunks share. */
#ifndef WIRE_CHUNK_PRIVATE_H
#define WIRE_CHUNK_PRIVATE_H

#include "bit_reader.h"
#include "bit_writer.h"
#include "model/columns.h"
#include "wire/prometheus_chunk.h"

/* The leading and trailing zero bits that a XOR kept; leading WINDOW_NONE: none yet. */
enum { WINDOW_NONE = 0xff };
struct xor_window {
    uint8_t leading;
    uint8_t trailing;
};

/* --- Writing ----------------------------------------------------------------------------------
 */

/* chunk_xor.c */
void chunk_put_xor(struct bit_writer *writer, double previous, double value,
                   struct xor_window *window);

/* chunk_histogram.c */
bool chunk_histograms_fit(const struct histogram *previous, const struct histogram *next);
void chunk_append_histograms(const struct sample_columns *columns, size_t first, size_t end,
                             struct byte_buffer *windows, struct byte_buffer *target);

/* --- Reading ----------------------------------------------------------------------------------
 */

/* A value of which the bits that change are read. Begins with its bits and no window. */
struct xor_value {
    uint64_t bits;
    struct xor_window window;
};

/* chunk_decode.c */
void chunk_take_xor(struct bit_reader *reader, struct xor_value *value);

/* Room is there: chunk_decode made it. */
void chunk_add_sample(struct chunk_samples *samples, int64_t timestamp_ms, double value,
                      const struct histogram *histogram);

/* chunk_decode_histogram.c: behind the number of samples, which is `count` > 0. What is malformed
 * is told by the reader's `failed`, without an error. */
enum error_code chunk_decode_histograms(enum prometheus_encoding encoding,
                                        struct bit_reader *reader, size_t count,
                                        struct chunk_samples *samples, struct error *error);

#endif
