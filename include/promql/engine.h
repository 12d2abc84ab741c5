/*
 * engine - evaluates PromQL over a series_source.
 *
 * A query is created (parsed, checked), run once on a worker thread, read and destroyed. An
 * instant query is a range query of one step. Semantics, error texts and annotations are those of
 * Prometheus 3; see src/promql/README.md for how it is evaluated.
 *
 *     struct promql_execution *execution = NULL;
 *     code = promql_execution_create(&options, &execution, error);
 *     if (code == ERROR_NONE)
 *         code = promql_execution_run(execution, error);
 *     if (code == ERROR_NONE)
 *         answer(promql_execution_result(execution));
 *     promql_execution_destroy(execution);
 */
#ifndef PROMQL_ENGINE_H
#define PROMQL_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/memory_budget.h"
#include "base/text.h"
#include "model/labels.h"
#include "model/sample.h"
#include "platform/clock.h"
#include "platform/parallel.h"
#include "promql/distribution.h"
#include "promql/parser.h"
#include "promql/series_source.h"
#include "promql/value_type.h"

enum {
    /* Steps of one query; the HTTP layer allows fewer (11,000 points). */
    PROMQL_STEPS_MAX = 10 * 1000 * 1000,
    PROMQL_LOOKBACK_DEFAULT_MS = 5 * 60 * 1000,
    PROMQL_SUBQUERY_STEP_DEFAULT_MS = 60 * 1000,
};

#define PROMQL_SAMPLES_MAX_DEFAULT ((uint64_t)50 * 1000 * 1000)

struct promql_execution_options {
    struct text query;  /* copied */
    struct text tenant; /* copied */
    int64_t start_ms;
    int64_t end_ms;      /* >= start_ms; an instant query has end_ms == start_ms */
    int64_t step_ms;     /* > 0: a range query, whose result is a matrix; 0: an instant query */
    int64_t lookback_ms; /* 0: PROMQL_LOOKBACK_DEFAULT_MS */
    int64_t subquery_step_default_ms; /* of [5m:]; 0: PROMQL_SUBQUERY_STEP_DEFAULT_MS */
    enum promql_features features;
    bool counts_steps; /* count for each step what it looks at */

    struct series_source *source; /* outlives the query */
    /* Evaluates sub-expressions where their series are; NULL: all is read from `source`. What it
     * declines or what does not distribute still is. Outlives the query. */
    struct promql_distributor *distributor;
    /* What `source` adds to its series and the places of `distributor` shall add to theirs; lives
     * as long as the query. */
    struct labels external_labels;
    struct worker_pool *pool; /* NULL: evaluated on the calling thread alone */
    struct clock *clock;      /* for the deadline and the timings */

    /* Limits; reaching one ends the query with LIMIT, TIMEOUT or CANCELED, or UNAVAILABLE when
     * other queries hold what it would need of `memory`. */
    uint64_t memory_max_bytes;    /* 0: none */
    uint64_t samples_max;         /* held at once; 0: PROMQL_SAMPLES_MAX_DEFAULT */
    uint64_t deadline_ns;         /* on the clock's monotonic time; 0: none */
    const atomic_bool *canceled;  /* NULL: never; set by any thread, seen within milliseconds */
    struct arena_account *memory; /* the budget of all queries together; NULL: none */
};

/* Points of one series of the answer. */
struct promql_series {
    struct labels labels;
    size_t point_count;
    const int64_t *timestamps_ms; /* [point_count], ascending */
    const double *values;         /* [point_count]; unused where there is a histogram */
    /* [point_count], NULL at floats; NULL as a whole when all points are floats. */
    const struct histogram *const *histograms;
};

enum promql_annotation_kind { PROMQL_WARNING, PROMQL_INFO };

struct promql_annotation {
    enum promql_annotation_kind kind;
    struct text message; /* "PromQL info: ... (1:6)": line and column in the query */
};

/* What one step looked at, as in the totals. */
struct promql_step_count {
    uint64_t samples_queried;
    uint64_t samples_read;
};

struct promql_statistics {
    uint64_t samples_queried; /* every sample that a step looked at (totalQueryableSamples) */
    uint64_t samples_read;    /* of these what no step before had looked at (samplesRead) */
    const struct promql_step_count *step_counts; /* [step_count], NULL unless asked for */
    size_t step_count;
    uint64_t samples_held_max;
    uint64_t memory_bytes_max;
    uint64_t series_selected;
    uint64_t prepare_ns; /* parse and check */
    uint64_t select_ns;  /* finding series */
    uint64_t evaluate_ns;
};

/*
 * VALUE_SCALAR: one series without labels, one point (instant queries only). VALUE_STRING: no
 * series. VALUE_VECTOR: series of one point each, in the order of the expression. VALUE_MATRIX:
 * series by labels, points by timestamp, no series without points.
 */
struct promql_result {
    enum value_type type;
    struct text string;
    const struct promql_series *series; /* [series_count] */
    size_t series_count;
    const struct promql_annotation *annotations; /* [annotation_count], by kind and message */
    size_t annotation_count;
    struct promql_statistics statistics;
};

struct promql_execution;

/*
 * Parse and check. `options` is copied.
 *
 * Errors: INVALID (the query or its times: bad_data), LIMIT, OUT_OF_MEMORY. Any thread.
 */
enum error_code promql_execution_create(const struct promql_execution_options *options,
                                        struct promql_execution **execution_out,
                                        struct error *error);

/*
 * Evaluate, blocking; once per query, on a worker thread.
 *
 * Errors: INVALID (execution, as duplicate series), LIMIT (samples, memory), TIMEOUT, CANCELED,
 * OUT_OF_MEMORY, and what the source answers. Annotations gathered so far can be read even then.
 */
enum error_code promql_execution_run(struct promql_execution *execution, struct error *error);

/* What the query uses, and used at most; any thread, as long as the query is there. */
const struct memory_budget *promql_execution_memory(const struct promql_execution *execution);

/* Owned by the query. After a failed run it has annotations and statistics only. */
const struct promql_result *promql_execution_result(const struct promql_execution *execution);

/* NULL is fine. */
void promql_execution_destroy(struct promql_execution *execution);

#endif
