/*
 * remote_write - decode Prometheus remote-write requests, 1.0 and 2.0.
 *
 * The body is walked once; what comes out are flat arrays with views into the body, no object per
 * series or label. Labels stay undecoded until somebody asks: a series that the receiver knows is
 * found by the hash of its label bytes as they arrived (write_series.alias).
 *
 * Sources: the remote-write 1.0 specification and prometheus/prompb (fields of WriteRequest), the
 * 2.0 specification (io.prometheus.write.v2.Request).
 */
#ifndef WIRE_REMOTE_WRITE_H
#define WIRE_REMOTE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/text.h"
#include "model/sample.h"

enum write_version { WRITE_VERSION_1, WRITE_VERSION_2 };

struct write_sample {
    int64_t timestamp_ms;
    double value;
    int64_t start_timestamp_ms; /* 0: none */
};

struct write_histogram {
    int64_t timestamp_ms;
    int64_t start_timestamp_ms;
    struct histogram histogram; /* arrays in the arena; not validated */
    enum error_code status;     /* LIMIT: more than HISTOGRAM_BUCKETS_MAX, which were not read */
};

/* Where labels are: label fields of a 1.0 message, or packed symbol references of a 2.0 one. */
struct write_labels {
    const uint8_t *fields; /* [size] */
    uint32_t size;
};

struct write_exemplar {
    struct write_labels labels;
    double value;
    int64_t timestamp_ms;
};

/* Of a metric (1.0: a message of its own) or of a series (2.0). */
struct write_metadata {
    uint32_t series;           /* 2.0: index of the series */
    uint32_t type;             /* enum metric_type, any number as sent */
    struct text metric_family; /* 1.0 */
    struct text help;
    struct text unit;
    enum error_code status; /* 2.0: INVALID when a reference is outside the symbols */
};

struct write_series {
    /* The identity of the labels as sent: the same bytes (1.0) or symbols (2.0) give the same,
     * other labels another one. The reverse does not hold: one series may have many aliases. */
    struct hash128 alias;
    struct write_labels labels;
    uint32_t sample_first;
    uint32_t sample_count;
    uint32_t histogram_first;
    uint32_t histogram_count;
    uint32_t exemplar_first;
    uint32_t exemplar_count;
    /* 2.0: one of its references is outside the symbols; the series is to be refused alone. */
    bool reference_invalid;
    /* 1.0: nobody has looked whether its labels are such (WRITE_LABELS_TRUSTED). */
    bool labels_unseen;
};

struct write_request {
    enum write_version version;
    bool has_start_timestamps; /* of a float sample */
    struct write_series *series;
    struct write_sample *samples;
    struct write_histogram *histograms;
    struct write_exemplar *exemplars;
    struct write_metadata *metadata;
    struct text *symbols; /* 2.0 */
    size_t series_count;
    size_t sample_count;
    size_t histogram_count;
    size_t exemplar_count;
    size_t metadata_count;
    size_t symbol_count;
};

/*
 * Who looks whether labels of a 1.0 request are well-formed.
 *
 * CHECKED: the decoder. TRUSTED: the caller. What stands before the samples at the end of a series
 * is then taken for its labels unseen, which is right if they have the alias of labels that were
 * checked once: they are the same bytes. A caller that does not know the alias asks
 * write_labels_are_whole, and if they are not, has the body decoded CHECKED: whatever it holds is
 * then decoded or refused as it should be.
 */
enum write_labels_trust { WRITE_LABELS_CHECKED, WRITE_LABELS_TRUSTED };

struct write_decode_options {
    enum write_version version;
    enum write_labels_trust trust;
    size_t series_limit;
    uint64_t alias_seed; /* secret: nobody shall make two series with one alias */
};

/*
 * Decode an uncompressed body. Views point into `body`, arrays into `arena`; both outlive the
 * request.
 *
 * Errors: INVALID (not this message: nothing may be stored of it), LIMIT (more than
 * `series_limit` series), OUT_OF_MEMORY.
 */
enum error_code write_request_decode(const struct write_decode_options *options,
                                     const uint8_t *body, size_t body_size, struct arena *arena,
                                     struct write_request *request_out, struct error *error);

/* Whether labels of a series with labels_unseen are well-formed label fields and nothing else. */
bool write_labels_are_whole(const struct write_labels *labels);

/*
 * The labels of a series or an exemplar as sent: not sorted, not checked, views into the body.
 * Errors: INVALID (a reference outside the symbols, an odd number of them), LIMIT (more than
 * LABELS_PER_SERIES_MAX).
 */
enum error_code write_labels_decode(const struct write_request *request,
                                    const struct write_labels *labels,
                                    struct label array[LABELS_PER_SERIES_MAX], size_t *count_out,
                                    struct error *error);

/* What of them can be read, to name a series that is refused. Returns how many. */
size_t write_labels_readable(const struct write_request *request, const struct write_labels *labels,
                             struct label array[LABELS_PER_SERIES_MAX]);

#endif
