/*
 * metrics - the node's own metrics: counters, gauges and distributions that code updates, and
 * collectors that are asked when somebody looks.
 *
 * Updating is one relaxed atomic operation, from any thread. Metrics are created at start-up and
 * live as long as their registry; a family is one name with one help text and kind. Names are
 * gnomon_<module>_<noun>_<unit>[_total]; docs/operations/metrics.md lists all.
 */
#ifndef TELEMETRY_METRICS_H
#define TELEMETRY_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };

enum { METRIC_LABELS_MAX = 8, DISTRIBUTION_BOUNDS_MAX = 24 };

struct metric_label {
    const char *name;
    const char *value;
};

/* Name, help and labels are copied; `labels` [label_count] may be NULL when there are none. */
struct metric_options {
    const char *name;
    const char *help;
    const struct metric_label *labels;
    size_t label_count;
};

struct metrics; /* the registry */

struct counter {
    _Atomic uint64_t value;
};

struct gauge {
    _Atomic int64_t value;
};

/* A classic histogram: counts of observations up to each bound. */
struct distribution {
    size_t bound_count;
    double bounds[DISTRIBUTION_BOUNDS_MAX];
    _Atomic uint64_t counts[DISTRIBUTION_BOUNDS_MAX + 1];
    _Atomic uint64_t sum_nanos; /* of seconds; of units for other quantities, times 1e9 */
};

/* NULL when memory is out. */
struct metrics *metrics_create(void);
void metrics_destroy(struct metrics *metrics);

/* The metric belongs to the registry. The same name and labels again give the same metric. Running
 * out of memory here is fatal to the program's start: NULL is returned. */
struct counter *metrics_counter(struct metrics *metrics, const struct metric_options *options);
struct gauge *metrics_gauge(struct metrics *metrics, const struct metric_options *options);

/* Bounds ascending, without +Inf. */
struct distribution *metrics_distribution(struct metrics *metrics,
                                          const struct metric_options *options,
                                          const double *bounds, size_t bound_count);

/* 1 ms to 10 s, for requests; METRICS_LATENCY_BOUND_COUNT of them. */
enum { METRICS_LATENCY_BOUND_COUNT = 13 };
extern const double METRICS_LATENCY_BOUNDS[METRICS_LATENCY_BOUND_COUNT];

static inline void counter_add(struct counter *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

static inline uint64_t counter_value(struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline void gauge_set(struct gauge *gauge, int64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

static inline void gauge_add(struct gauge *gauge, int64_t amount)
{
    atomic_fetch_add_explicit(&gauge->value, amount, memory_order_relaxed);
}

static inline int64_t gauge_value(struct gauge *gauge)
{
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

void distribution_observe(struct distribution *distribution, double value);

/* --- Looking ------------------------------------------------------------------------------- */

/* One sample of a family, seen by a visit. `name` may carry _bucket, _sum or _count. */
struct metric_sample {
    const char *family;
    const char *help;
    enum metric_kind kind;
    const char *name;
    const struct metric_label *labels; /* [label_count] */
    size_t label_count;
    double value;
};

typedef void metric_visit(void *context, const struct metric_sample *sample);

/*
 * A collector reports what its module counts itself, by calling `visit` for each sample. It runs
 * on the thread that looks; samples of one family come one after another.
 */
typedef void metric_collect(void *collector_context, metric_visit *visit, void *visit_context);

/* False when memory is out. */
bool metrics_add_collector(struct metrics *metrics, metric_collect *collect, void *context);

/* Every sample of the registry and its collectors. Any thread. */
void metrics_visit(struct metrics *metrics, metric_visit *visit, void *context);

/* The text exposition format 0.0.4, appended. */
void metrics_expose(struct metrics *metrics, struct byte_buffer *buffer);

#endif
