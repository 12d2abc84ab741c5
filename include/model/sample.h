/*
 * sample - values of a series: floats, native histograms, exemplars, metadata.
 *
 * Timestamps are int64 milliseconds since the Unix epoch. Values keep their bits: a stale marker
 * is a NaN with one payload, and other payloads survive as well.
 */
#ifndef MODEL_SAMPLE_H
#define MODEL_SAMPLE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/labels.h"

/* Prometheus' model/value: the series ended here. */
#define STALE_MARKER_BITS UINT64_C(0x7ff0000000000002)
#define NORMAL_NAN_BITS   UINT64_C(0x7ff8000000000001)

static inline bool value_is_stale(double value)
{
    return double_to_bits(value) == STALE_MARKER_BITS;
}

/*
 * The one total order that decides between two values of a series with the same timestamp, in
 * head, merge and read: the larger key stays. The stale marker is lowest, so that a value
 * wins over the end of the series; else by the bits as unsigned number.
 */
static inline uint64_t value_order_key(uint64_t bits)
{
    return bits == STALE_MARKER_BITS ? 0 : bits + (bits < STALE_MARKER_BITS);
}

/* --- Native histograms ----------------------------------------------------------------------- */

enum { HISTOGRAM_SCHEMA_CUSTOM = -53, HISTOGRAM_SCHEMA_MIN = -4, HISTOGRAM_SCHEMA_MAX = 8 };

enum histogram_kind { HISTOGRAM_INTEGER, HISTOGRAM_FLOAT };

/* As in the remote-write protocol (ResetHint). */
enum histogram_reset {
    HISTOGRAM_RESET_UNKNOWN,
    HISTOGRAM_RESET_YES,
    HISTOGRAM_RESET_NO,
    HISTOGRAM_RESET_GAUGE
};

struct histogram_span {
    int32_t offset;  /* gap to the previous span; the first: the bucket's index */
    uint32_t length; /* consecutive buckets */
};

union histogram_number {
    uint64_t integer;
    double real;
};

/* Bucket counts are absolute (never deltas to the bucket before), one per bucket of the spans. */
struct histogram {
    enum histogram_kind kind;
    enum histogram_reset reset;
    int32_t schema;
    double zero_threshold;
    union histogram_number zero_count;
    union histogram_number count;
    double sum; /* a stale marker here: the series ended */
    uint32_t positive_span_count;
    uint32_t negative_span_count;
    uint32_t positive_bucket_count; /* the lengths of the spans added up */
    uint32_t negative_bucket_count;
    uint32_t custom_bound_count; /* schema HISTOGRAM_SCHEMA_CUSTOM only */
    const struct histogram_span *positive_spans;
    const struct histogram_span *negative_spans;
    const union histogram_number *positive_buckets;
    const union histogram_number *negative_buckets;
    const double *custom_bounds; /* ascending, without +Inf */
};

/*
 * The rules that Prometheus has for a histogram from outside: known schema, spans and buckets that
 * agree, no negative offset but the first, counts that are not negative, of an integer histogram a
 * count not below the sum of the buckets (equal to it without NaN observations; sums of floats are
 * not exact), ascending custom bounds, no zero bucket nor negative buckets with custom bounds, at
 * most HISTOGRAM_BUCKETS_MAX buckets, custom bounds and spans of a side.
 * Errors: INVALID with the reason.
 */
enum error_code histogram_validate(const struct histogram *histogram, struct error *error);

/* A deep copy in the arena; false when memory is out. */
bool histogram_copy(struct arena *arena, const struct histogram *source,
                    struct histogram *copy_out);

/* Every field, floats by their bits. */
bool histogram_equal(const struct histogram *left, const struct histogram *right);

/* As value_order_key decides for floats: <0, 0 (equal), >0; stale lowest. */
int histogram_order(const struct histogram *left, const struct histogram *right);

/* --- Beside the samples ---------------------------------------------------------------------- */

struct exemplar {
    struct labels labels; /* of the exemplar (trace_id ...), canonical, may be empty */
    double value;
    int64_t timestamp_ms;
};

/* As in the remote-write 2.0 protocol (MetricType). */
enum metric_type {
    METRIC_UNSPECIFIED,
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
    METRIC_GAUGE_HISTOGRAM,
    METRIC_SUMMARY,
    METRIC_INFO,
    METRIC_STATESET,
    METRIC_TYPES
};

/* "counter", "gaugehistogram", "unknown" ...: the words of the metadata endpoint. */
const char *metric_type_name(enum metric_type type);

struct metric_metadata {
    enum metric_type type;
    struct text help;
    struct text unit;
};

#endif
