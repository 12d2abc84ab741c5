#include "promql/engine.h"

#include <assert.h>
#include <stdlib.h>

#include "distribute.h"
#include "evaluation.h"
#include "matrix.h"
#include "store.h"

struct promql_execution {
    struct evaluation evaluation;
    struct promql_result result;
    bool was_run;
};

/* --- Creation -------------------------------------------------------------------------------- */

/* A range query yields a matrix, so only scalars and vectors have a meaning at each step. */
static enum error_code type_check(const struct evaluation *evaluation, struct error *error)
{
    enum value_type type = evaluation->query.root->type;
    if (evaluation->options.step_ms == 0 || type == VALUE_SCALAR || type == VALUE_VECTOR)
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID,
                     "invalid expression type \"%s\" for range query, must be Scalar or instant "
                     "Vector",
                     value_type_description(type));
}

enum error_code promql_execution_create(const struct promql_execution_options *options,
                                        struct promql_execution **execution_out,
                                        struct error *error)
{
    assert(options != NULL && execution_out != NULL);
    assert(options->source != NULL && options->clock != NULL);
    struct promql_execution *execution = calloc(1, sizeof *execution);
    if (execution == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "query");
    struct evaluation *evaluation = &execution->evaluation;
    uint64_t before_ns = clock_monotonic_ns(options->clock);
    enum error_code code = evaluation_open(evaluation, options, error);
    if (code == ERROR_NONE)
        code = type_check(evaluation, error);
    execution->result.statistics.prepare_ns = clock_monotonic_ns(options->clock) - before_ns;
    if (code != ERROR_NONE) {
        promql_execution_destroy(execution);
        return code;
    }
    *execution_out = execution;
    return ERROR_NONE;
}

void promql_execution_destroy(struct promql_execution *execution)
{
    if (execution == NULL)
        return;
    evaluation_close(&execution->evaluation);
    free(execution);
}

/* --- The result ------------------------------------------------------------------------------ */

/* Points of a vector at its present steps. */
static enum error_code series_fill(struct evaluation *evaluation, const struct step_range *steps,
                                   const struct step_vector *vector, struct promql_series *series,
                                   struct error *error)
{
    size_t count = steps_present_count(vector->present, steps->count);
    int64_t *timestamps = arena_allocate(evaluation->arena, count * sizeof *timestamps);
    double *values = arena_allocate(evaluation->arena, count * sizeof *values);
    const struct histogram **histograms = NULL;
    if (vector->histograms != NULL)
        histograms = arena_array(evaluation->arena, count, sizeof *histograms);
    if (timestamps == NULL || values == NULL || (vector->histograms != NULL && histograms == NULL))
        return evaluation_out_of_memory(evaluation, error);
    bool has_histograms = false;
    size_t point = 0;
    for (size_t step = step_next(vector->present, steps->count, 0); step < steps->count;
         step = step_next(vector->present, steps->count, step + 1), point++) {
        timestamps[point] = step_time(steps, step);
        values[point] = vector->values[step];
        if (histograms != NULL) {
            histograms[point] = vector->histograms[step];
            has_histograms |= histograms[point] != NULL;
        }
    }
    series->point_count = count;
    series->timestamps_ms = timestamps;
    series->values = values;
    series->histograms = has_histograms ? histograms : NULL;
    return ERROR_NONE;
}

static int compare_series(const void *left, const void *right, void *context)
{
    (void)context;
    return labels_compare(((const struct promql_series *)left)->labels,
                          ((const struct promql_series *)right)->labels);
}

static enum error_code vector_result(struct promql_execution *execution,
                                     const struct step_range *steps, struct error *error)
{
    struct evaluation *evaluation = &execution->evaluation;
    struct stream *stream;
    enum error_code code =
        evaluate_vector(evaluation, evaluation->query.root, steps, &stream, error);
    if (code == ERROR_NONE && evaluation->delayed_names)
        code = vector_stream_drop_names(stream, NAMES_DROP_MARKED, &stream, error);
    if (code == ERROR_NONE)
        code = vector_stream_store(stream, &stream, error);
    if (code != ERROR_NONE)
        return code;
    struct promql_series *series = arena_array(evaluation->arena, stream->count, sizeof *series);
    if (series == NULL)
        return evaluation_out_of_memory(evaluation, error);
    size_t count = 0;
    for (size_t i = 0; i < stream->count; i++) {
        struct series_identity identity;
        struct step_vector vector;
        stored_series_get(stream, i, &identity, &vector);
        if (!steps_any(vector.present, steps->count))
            continue;
        series[count].labels = identity.labels;
        code = series_fill(evaluation, steps, &vector, &series[count++], error);
        if (code != ERROR_NONE)
            return code;
    }
    if (evaluation->options.step_ms > 0)
        code =
            evaluation_sort(evaluation, series, count, sizeof *series, compare_series, NULL, error);
    if (code != ERROR_NONE)
        return code;
    execution->result.type = evaluation->options.step_ms > 0 ? VALUE_MATRIX : VALUE_VECTOR;
    execution->result.series = series;
    execution->result.series_count = count;
    return ERROR_NONE;
}

static enum error_code scalar_result(struct promql_execution *execution,
                                     const struct step_range *steps, struct error *error)
{
    struct evaluation *evaluation = &execution->evaluation;
    const double *values;
    enum error_code code =
        evaluate_scalar(evaluation, evaluation->query.root, steps, &values, error);
    if (code != ERROR_NONE)
        return code;
    struct promql_series *series = arena_array(evaluation->arena, 1, sizeof *series);
    int64_t *timestamps = arena_array(evaluation->arena, steps->count, sizeof *timestamps);
    if (series == NULL || timestamps == NULL)
        return evaluation_out_of_memory(evaluation, error);
    for (size_t step = 0; step < steps->count; step++)
        timestamps[step] = step_time(steps, step);
    *series = (struct promql_series){
        .point_count = steps->count,
        .timestamps_ms = timestamps,
        .values = values,
    };
    execution->result.type = evaluation->options.step_ms > 0 ? VALUE_MATRIX : VALUE_SCALAR;
    execution->result.series = series;
    execution->result.series_count = 1;
    return ERROR_NONE;
}

/* --- Running --------------------------------------------------------------------------------- */

static int compare_annotations(const void *left_pointer, const void *right_pointer)
{
    const struct promql_annotation *left = left_pointer;
    const struct promql_annotation *right = right_pointer;
    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    return text_compare(left->message, right->message);
}

static void result_finish(struct promql_execution *execution, uint64_t before_ns)
{
    struct evaluation *evaluation = &execution->evaluation;
    evaluation_annotate_finish(evaluation);
    struct annotations *annotations = &evaluation->annotations;
    if (annotations->count > 0)
        qsort(annotations->entries, annotations->count, sizeof *annotations->entries,
              compare_annotations);
    execution->result.annotations = annotations->entries;
    execution->result.annotation_count = annotations->count;
    struct promql_statistics *statistics = &execution->result.statistics;
    uint64_t elapsed_ns = clock_monotonic_ns(evaluation->options.clock) - before_ns;
    evaluation_statistics(evaluation, statistics);
    statistics->select_ns = evaluation->select_ns;
    statistics->evaluate_ns = elapsed_ns - evaluation->select_ns;
}

static enum error_code evaluate_root(struct promql_execution *execution, struct error *error)
{
    struct evaluation *evaluation = &execution->evaluation;
    const struct promql_execution_options *options = &evaluation->options;
    int64_t step_ms = options->step_ms > 0 ? options->step_ms : 1;
    struct step_range steps = {
        .start_ms = options->start_ms,
        .step_ms = step_ms,
        .count = evaluation_step_count(evaluation),
    };
    const struct expression *root = expression_unwrap(evaluation->query.root);
    enum error_code code = distribution_begin_all(evaluation, root, &steps, error);
    if (code != ERROR_NONE)
        return code;
    switch (root->type) {
    case VALUE_STRING:
        execution->result.type = VALUE_STRING;
        execution->result.string = root->string.value;
        return ERROR_NONE;
    case VALUE_SCALAR:
        return scalar_result(execution, &steps, error);
    case VALUE_VECTOR:
        return vector_result(execution, &steps, error);
    default:
        return matrix_result(evaluation, root, &steps, &execution->result, error);
    }
}

enum error_code promql_execution_run(struct promql_execution *execution, struct error *error)
{
    assert(execution != NULL && !execution->was_run);
    execution->was_run = true;
    uint64_t before_ns = clock_monotonic_ns(execution->evaluation.options.clock);
    enum error_code code = evaluate_root(execution, error);
    distribution_close_all(&execution->evaluation);
    if (code == ERROR_NONE)
        code = evaluation_check(&execution->evaluation, error);
    if (code != ERROR_NONE) {
        execution->result.series = NULL;
        execution->result.series_count = 0;
        evaluation_close_streams(&execution->evaluation);
    }
    result_finish(execution, before_ns);
    return code;
}

const struct memory_budget *promql_execution_memory(const struct promql_execution *execution)
{
    return &execution->evaluation.memory;
}

const struct promql_result *promql_execution_result(const struct promql_execution *execution)
{
    assert(execution->was_run);
    return &execution->result;
}
