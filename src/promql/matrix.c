#include "matrix.h"

#include <assert.h>
#include <stdlib.h>

#include "columns_source.h"

/* Samples of the window (end - range, end] that are not stale, copied. */
static enum error_code series_copy(struct evaluation *evaluation,
                                   const struct sample_columns *columns, int64_t after_ms,
                                   int64_t end_ms, struct promql_series *series,
                                   struct error *error)
{
    int64_t *timestamps = arena_allocate(evaluation->arena, columns->count * sizeof *timestamps);
    double *values = arena_allocate(evaluation->arena, columns->count * sizeof *values);
    const struct histogram **histograms = NULL;
    if (columns->histograms != NULL)
        histograms = arena_array(evaluation->arena, columns->count, sizeof *histograms);
    if (timestamps == NULL || values == NULL || (columns->histograms != NULL && histograms == NULL))
        return evaluation_out_of_memory(evaluation, error);
    size_t count = 0;
    uint64_t looked_at = 0;
    for (size_t i = 0; i < columns->count; i++) {
        const struct histogram *histogram =
            columns->histograms == NULL ? NULL : columns->histograms[i];
        if (columns->timestamps_ms[i] <= after_ms || columns->timestamps_ms[i] > end_ms ||
            value_is_stale(histogram == NULL ? columns->values[i] : histogram->sum))
            continue;
        timestamps[count] = columns->timestamps_ms[i];
        values[count] = columns->values[i];
        if (histogram != NULL) {
            struct histogram *copy = arena_allocate(evaluation->arena, sizeof *copy);
            if (copy == NULL || !histogram_copy(evaluation->arena, histogram, copy))
                return evaluation_out_of_memory(evaluation, error);
            histograms[count] = copy;
        }
        looked_at += histogram == NULL ? 1 : histogram_sample_count(histogram);
        count++;
    }
    series->point_count = count;
    series->timestamps_ms = timestamps;
    series->values = values;
    series->histograms = histograms;
    struct lane *lane = &evaluation->lanes[0];
    lane->counted.queried += looked_at;
    lane->counted.read += looked_at;
    if (lane->step_counts != NULL) {
        lane->step_counts[0].queried += looked_at;
        lane->step_counts[0].read += looked_at;
    }
    return evaluation_hold_samples(evaluation, count, error);
}

static int compare_series(const void *left, const void *right, void *context)
{
    (void)context;
    return labels_compare(((const struct promql_series *)left)->labels,
                          ((const struct promql_series *)right)->labels);
}

static enum error_code source_copy(struct evaluation *evaluation, struct columns_source *source,
                                   int64_t after_ms, int64_t end_ms, struct promql_result *result,
                                   struct error *error)
{
    struct lane *lane = &evaluation->lanes[0];
    struct promql_series *series = arena_array(evaluation->arena, source->count, sizeof *series);
    if (series == NULL)
        return evaluation_out_of_memory(evaluation, error);
    size_t count = 0;
    for (size_t i = 0; i < source->count; i++) {
        struct sample_columns columns;
        arena_reset(lane->scratch);
        enum error_code code = evaluation_check(evaluation, error);
        if (code == ERROR_NONE)
            code = columns_read(source, lane, i, &columns, error);
        if (code == ERROR_NONE && columns.count > 0)
            code = series_copy(evaluation, &columns, after_ms, end_ms, &series[count], error);
        if (code != ERROR_NONE)
            return code;
        if (series[count].point_count == 0)
            continue;
        struct series_identity identity = columns_identity(source, lane, i, lane->scratch);
        struct labels labels = identity.drops_name
                                   ? labels_without_name(evaluation->arena, identity.labels)
                                   : labels_copy(evaluation->arena, identity.labels);
        series[count++].labels = labels;
    }
    enum error_code code =
        evaluation_sort(evaluation, series, count, sizeof *series, compare_series, NULL, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 1; i < count; i++)
        if (labels_equal(series[i - 1].labels, series[i].labels))
            return error_set(error, ERROR_INVALID,
                             "vector cannot contain metrics with the same labelset");
    result->type = VALUE_MATRIX;
    result->series = series;
    result->series_count = count;
    return ERROR_NONE;
}

enum error_code matrix_result(struct evaluation *evaluation, const struct expression *expression,
                              const struct step_range *steps, struct promql_result *result,
                              struct error *error)
{
    assert(steps->count == 1);
    struct columns_source *source;
    struct time_view view;
    enum error_code code;
    if (expression->kind == EXPRESSION_SUBQUERY) {
        code = time_view_make(evaluation, &expression->subquery.shift, &expression->subquery.range,
                              0, &view, error);
        if (code == ERROR_NONE)
            code =
                columns_subquery(evaluation, &expression->subquery, &view, steps, &source, error);
    } else {
        const struct selector_node *selector = &expression->matrix.selector->selector;
        code = time_view_make(evaluation, &selector->shift, &expression->matrix.range, 0, &view,
                              error);
        if (code == ERROR_NONE)
            code =
                columns_select(evaluation, selector, &view, SERIES_NEED_ALL, steps, &source, error);
    }
    if (code != ERROR_NONE)
        return code;
    int64_t end_ms = view_end(&view, steps, 0);
    code = source_copy(evaluation, source, end_ms - view.range_ms, end_ms, result, error);
    columns_close(source);
    return code;
}
