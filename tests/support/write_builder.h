/*
 * write_builder - makes remote-write bodies, 1.0 and 2.0, for tests and load.
 *
 * The writing side of src/wire, kept apart from it so that a mistake in one does not hide in the
 * other. Bodies are uncompressed protobuf.
 */
#ifndef SUPPORT_WRITE_BUILDER_H
#define SUPPORT_WRITE_BUILDER_H

#include "base/bytes.h"
#include "model/sample.h"

/* One series of a request; every pointer may be NULL with a count of 0. */
struct built_series {
    const struct label *labels; /* [label_count], written as they are */
    size_t label_count;
    const int64_t *timestamps_ms; /* [sample_count] */
    const double *values;
    size_t sample_count;
    const struct histogram *histograms; /* [histogram_count] */
    const int64_t *histogram_timestamps_ms;
    size_t histogram_count;
    const struct exemplar *exemplars; /* [exemplar_count] */
    size_t exemplar_count;
    int64_t start_timestamp_ms;             /* 2.0, of every sample; 0: none */
    const struct metric_metadata *metadata; /* 2.0; NULL: none */
};

/* Append a TimeSeries field to a 1.0 body. */
void build_series_1(struct byte_buffer *body, const struct built_series *series);

/* Append a MetricMetadata field to a 1.0 body. */
void build_metadata_1(struct byte_buffer *body, struct text metric_family,
                      const struct metric_metadata *metadata);

/* A whole 2.0 body. */
void build_request_2(struct byte_buffer *body, const struct built_series *series, size_t count);

/* --- Single fields, for malformed bodies ---------------------------------------------------- */

void build_varint_field(struct byte_buffer *body, uint32_t number, uint64_t value);
void build_double_field(struct byte_buffer *body, uint32_t number, double value);
void build_bytes_field(struct byte_buffer *body, uint32_t number, const void *bytes, size_t size);

/* As 64 bits. */
void build_bits_field(struct byte_buffer *body, uint32_t number, uint64_t bits);

#endif
