/*
 * remote_read - Prometheus' remote read protocol (prometheus.io/docs/prometheus/latest/querying/
 * remote_read_api, prompb/remote.proto): its requests, and answers as samples or as a stream of
 * chunks.
 *
 * Answers are made series by series into buffers; memory running out is a buffer's `failed`.
 */
#ifndef WIRE_REMOTE_READ_H
#define WIRE_REMOTE_READ_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/columns.h"
#include "model/labels.h"
#include "model/matcher.h"

/* --- Requests --------------------------------------------------------------------------------- */

struct read_matcher {
    enum matcher_type type;
    struct text name;
    struct text value;
};

/* Samples in [start_ms, end_ms] of the series that all matchers select. */
struct read_query {
    int64_t start_ms;
    int64_t end_ms;
    const struct read_matcher *matchers; /* [matcher_count] */
    size_t matcher_count;
};

enum read_answer { READ_SAMPLES, READ_CHUNKS };

struct read_request {
    const struct read_query *queries; /* [query_count] */
    size_t query_count;
    enum read_answer answer; /* the first of those wanted that there is */
};

/*
 * Decode an uncompressed body. Arrays are in `arena`, texts in the body.
 * Errors: INVALID (not such a message, an unknown type of matcher or of answer), OUT_OF_MEMORY.
 */
enum error_code read_request_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                    struct read_request *request_out, struct error *error);

/* --- Samples: one message ----------------------------------------------------------------------
 */

/* A series, appended to the result of its query. One without samples is left out. */
void read_append_series(struct labels labels, const struct sample_columns *columns,
                        struct byte_buffer *result);

/* A whole result, appended to the message; in the order of the queries. */
void read_append_result(const struct byte_buffer *result, struct byte_buffer *message);

/* --- Chunks: a stream of messages --------------------------------------------------------------
 */

enum { READ_FRAME_BYTES = 1024 * 1024 };

/* Memory that is used again; start with zeroes, clear at the end. */
struct read_scratch {
    struct byte_buffer labels;
    struct byte_buffer chunks;
    struct byte_buffer chunk;
    struct byte_buffer part;
    struct byte_buffer windows;
};

/*
 * A series as frames of about READ_FRAME_BYTES, appended: their size, the checksum, the message.
 * Chunks are those of Prometheus (tsdb/docs/format/chunks.md): floats as XOR, histograms as
 * integers or floats; no counter is reset inside of one. One without samples is left out.
 */
void read_append_frames(size_t query_index, struct labels labels,
                        const struct sample_columns *columns, struct read_scratch *scratch,
                        struct byte_buffer *stream);

void read_scratch_clear(struct read_scratch *scratch);

#endif
