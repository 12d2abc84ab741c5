/*
 * json_writer - JSON as Prometheus' API writes it, appended to a byte buffer.
 *
 * Building blocks, not a tree: who writes an answer knows its shape. Running out of memory is the
 * buffer's `failed`.
 */
#ifndef WIRE_JSON_WRITER_H
#define WIRE_JSON_WRITER_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/text.h"
#include "model/labels.h"

enum { JSON_NUMBER_BYTES_MAX = 64 };

/* As it is: punctuation and literals. */
static inline void json_raw(struct byte_buffer *buffer, struct text raw)
{
    byte_buffer_append(buffer, raw.data, raw.size);
}

/* In quotes, escaped; bytes that are not UTF-8 become U+FFFD. */
void json_string(struct byte_buffer *buffer, struct text value);

void json_integer(struct byte_buffer *buffer, int64_t value);

/*
 * The shortest digits that read back as the same double, laid out as Go's strconv does for
 * Prometheus: plain between 1e-6 and 1e21, with an exponent outside; NaN, +Inf, -Inf. Returns the
 * number of characters, at most JSON_NUMBER_BYTES_MAX; not NUL-terminated.
 */
size_t double_format(char *target, double value);

/* The same as Go's %g lays it out: with an exponent below 1e-4 and from 1e6 on. */
size_t double_format_general(char *target, double value);

/* double_format in quotes: the form of sample values. */
void json_sample_value(struct byte_buffer *buffer, double value);

/* The same digits in quotes, never with an exponent. */
void json_plain_value(struct byte_buffer *buffer, double value);

/* A number without quotes; NaN and infinities, which JSON lacks, are written as strings. */
void json_double(struct byte_buffer *buffer, double value);

/* Milliseconds as seconds: 1435781430.781, 1435781430. */
void json_timestamp(struct byte_buffer *buffer, int64_t timestamp_ms);

/* [1435781430.781,"0.25"] */
void json_sample(struct byte_buffer *buffer, int64_t timestamp_ms, double value);

/*
 * Samples with commas between them, at least one of `count`, until the buffer holds
 * `size_bytes_max` bytes or more. Returns how many were written; fewer when memory is out.
 */
size_t json_samples(struct byte_buffer *buffer, const int64_t *timestamps_ms, const double *values,
                    size_t count, size_t size_bytes_max);

/* A sample of a scalar expression, which Prometheus never writes with an exponent. */
void json_scalar(struct byte_buffer *buffer, int64_t timestamp_ms, double value);

/* {"__name__":"up","job":"node"} */
void json_labels(struct byte_buffer *buffer, struct labels labels);

#endif
