/*
 * shard_values - what the simulated writers know of each series: tenant, labels, and the values
 * that they offer for a time.
 *
 * All of it follows from the number of the series, the time and the variant, so that nothing need
 * be remembered to know what a sample must be. Of the three variants for a time a higher one wins
 * by the order of values: stale markers are lowest, then positive numbers, infinity, NaNs, what
 * has the sign bit, and above them histograms.
 *
 * Tenants have series of the same labels and of other values and kinds.
 */
#ifndef TESTS_SHARD_VALUES_H
#define TESTS_SHARD_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/labels.h"
#include "model/sample.h"

enum { MODEL_SERIES = 48, MODEL_TENANTS = 3, MODEL_METRICS = 6, MODEL_VARIANTS = 3 };

enum model_kind {
    MODEL_NOISY, /* all bits of the mantissa */
    MODEL_COUNTER,
    MODEL_SPECIAL, /* NaN payloads, stale markers, infinities, subnormal numbers, minus zero */
    MODEL_INTEGER_HISTOGRAM,
    MODEL_DECIMAL,
    MODEL_MIXED, /* floats and histograms */
    MODEL_FLOAT_HISTOGRAM,
    MODEL_CUSTOM_HISTOGRAM, /* of custom buckets, integer or float */
    MODEL_KINDS
};

/* A sample as it is written: `value` counts when there is no histogram. */
struct model_value {
    bool is_histogram;
    bool is_stale;
    double value;
    struct histogram histogram; /* its arrays are in the struct */
    int64_t start_ms;           /* 0: none */
    struct histogram_span spans[4];
    union histogram_number buckets[8];
    double bounds[4];
};

/* In the caller's memory, which must not be copied. */
void model_value_make(unsigned series, int64_t time_ms, unsigned variant,
                      struct model_value *value_out);

enum model_kind model_kind_of(unsigned series);

/* "anonymous", ...: static memory. */
struct text model_tenant_name(unsigned tenant);
unsigned model_tenant_of(unsigned series);

/* The series of a tenant: `tenant`, then every MODEL_TENANTS-th. */
struct text model_metric_name(struct arena *arena, unsigned series);
struct labels model_labels(struct arena *arena, size_t shard, unsigned series);

/* The value of an exemplar, and its labels. */
double model_exemplar_value(unsigned series, int64_t time_ms);
struct labels model_exemplar_labels(struct arena *arena, unsigned series, int64_t time_ms);

/* What is told of a metric, and of each version of it something else. */
struct metric_metadata model_metadata(struct arena *arena, unsigned metric, uint32_t version);

#endif
