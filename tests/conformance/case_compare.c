#include <math.h>
#include <stdio.h>

#include "cases.h"

/* The reference's tolerance: relative, a millionth. */
static const double TOLERANCE = 1e-6;

static bool numbers_agree(double left, double right)
{
    if (value_is_stale(left) || value_is_stale(right))
        return value_is_stale(left) == value_is_stale(right);
    if (isnan(left) || isnan(right))
        return isnan(left) && isnan(right);
    if (left == right)
        return true;
    double sum = fabs(left) + fabs(right);
    double difference = fabs(left - right);
    if (left == 0 || right == 0 || sum < 2.2250738585072014e-308)
        return difference < TOLERANCE * 2.2250738585072014e-308;
    return difference / fmin(sum, 1.7976931348623157e308) < TOLERANCE;
}

/* --- Histograms ------------------------------------------------------------------------------ */

/* The count of bucket `index` of one side. */
static double bucket_at(const struct histogram *histogram, bool is_positive, int32_t index)
{
    uint32_t spans = is_positive ? histogram->positive_span_count : histogram->negative_span_count;
    const struct histogram_span *span =
        is_positive ? histogram->positive_spans : histogram->negative_spans;
    const union histogram_number *counts =
        is_positive ? histogram->positive_buckets : histogram->negative_buckets;
    int32_t at = 0;
    size_t position = 0;
    for (uint32_t i = 0; i < spans; i++) {
        at += span[i].offset;
        for (uint32_t j = 0; j < span[i].length; j++, at++, position++)
            if (at == index)
                return histogram->kind == HISTOGRAM_FLOAT ? counts[position].real
                                                          : (double)counts[position].integer;
    }
    return 0;
}

/* Every bucket of `left` is the same in `right`. */
static bool side_agrees(const struct histogram *left, const struct histogram *right,
                        bool is_positive)
{
    uint32_t spans = is_positive ? left->positive_span_count : left->negative_span_count;
    const struct histogram_span *span = is_positive ? left->positive_spans : left->negative_spans;
    int32_t at = 0;
    for (uint32_t i = 0; i < spans; i++) {
        at += span[i].offset;
        for (uint32_t j = 0; j < span[i].length; j++, at++)
            if (!numbers_agree(bucket_at(left, is_positive, at), bucket_at(right, is_positive, at)))
                return false;
    }
    return true;
}

static double number_of(const struct histogram *histogram, union histogram_number number)
{
    return histogram->kind == HISTOGRAM_FLOAT ? number.real : (double)number.integer;
}

static bool histograms_agree(const struct point *expected, const struct histogram *actual)
{
    const struct histogram *histogram = expected->histogram;
    if (histogram->schema != actual->schema ||
        histogram->custom_bound_count != actual->custom_bound_count)
        return false;
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++)
        if (!numbers_agree(histogram->custom_bounds[i], actual->custom_bounds[i]))
            return false;
    if (expected->has_reset_hint && histogram->reset != actual->reset)
        return false;
    return numbers_agree(histogram->count.real, number_of(actual, actual->count)) &&
           numbers_agree(histogram->sum, actual->sum) &&
           numbers_agree(histogram->zero_count.real, number_of(actual, actual->zero_count)) &&
           numbers_agree(histogram->zero_threshold, actual->zero_threshold) &&
           side_agrees(histogram, actual, true) && side_agrees(actual, histogram, true) &&
           side_agrees(histogram, actual, false) && side_agrees(actual, histogram, false);
}

/* --- Points ---------------------------------------------------------------------------------- */

struct actual_point {
    bool is_there;
    double value;
    const struct histogram *histogram;
};

static struct actual_point point_at(const struct promql_series *series, int64_t timestamp_ms)
{
    for (size_t i = 0; i < series->point_count; i++)
        if (series->timestamps_ms[i] == timestamp_ms)
            return (struct actual_point){true, series->values[i],
                                         series->histograms == NULL ? NULL : series->histograms[i]};
    return (struct actual_point){0};
}

static const char *histogram_dump(const struct histogram *histogram, struct arena *arena)
{
    if (histogram == NULL)
        return "none";
    struct text text = arena_format(
        arena, "{{schema:%d count:%.17g sum:%.17g z:%.17g/%g hint:%d buckets:[", histogram->schema,
        number_of(histogram, histogram->count), histogram->sum,
        number_of(histogram, histogram->zero_count), histogram->zero_threshold, histogram->reset);
    for (uint32_t i = 0; i < histogram->positive_bucket_count; i++)
        text = arena_format(arena, "%.*s %g", TEXT_ARGUMENTS(text),
                            number_of(histogram, histogram->positive_buckets[i]));
    text =
        arena_format(arena, "%.*s] from %d, n:[", TEXT_ARGUMENTS(text),
                     histogram->positive_span_count > 0 ? histogram->positive_spans[0].offset : 0);
    for (uint32_t i = 0; i < histogram->negative_bucket_count; i++)
        text = arena_format(arena, "%.*s %g", TEXT_ARGUMENTS(text),
                            number_of(histogram, histogram->negative_buckets[i]));
    text = arena_format(arena, "%.*s] bounds:%u}}", TEXT_ARGUMENTS(text),
                        histogram->custom_bound_count);
    return text.data;
}

static const char *point_compare(const struct point *expected, struct actual_point actual,
                                 int64_t timestamp_ms, struct arena *arena)
{
    double seconds = (double)timestamp_ms / 1000;
    if ((expected->kind != POINT_MISSING) != actual.is_there)
        return arena_format(arena, "at %gs: expected %s, got %s (%.17g)", seconds,
                            expected->kind == POINT_MISSING ? "nothing" : "a value",
                            actual.is_there ? "a value" : "nothing", actual.value)
            .data;
    if (!actual.is_there)
        return NULL;
    if ((expected->kind == POINT_HISTOGRAM) != (actual.histogram != NULL))
        return arena_format(arena, "at %gs: expected a %s", seconds,
                            expected->kind == POINT_HISTOGRAM ? "histogram" : "float")
            .data;
    if (actual.histogram != NULL)
        return histograms_agree(expected, actual.histogram)
                   ? NULL
                   : arena_format(arena, "at %gs: expected %s, got %s", seconds,
                                  histogram_dump(expected->histogram, arena),
                                  histogram_dump(actual.histogram, arena))
                         .data;
    if (numbers_agree(expected->value, actual.value))
        return NULL;
    return arena_format(arena, "at %gs: expected %.17g, got %.17g", seconds, expected->value,
                        actual.value)
        .data;
}

static const char *series_compare(const struct evaluation_case *evaluation,
                                  const struct notation *expected,
                                  const struct promql_series *actual, int64_t middle_ms,
                                  struct arena *arena)
{
    int64_t start_ms =
        evaluation->expects_matrix ? evaluation->matrix_start_ms : evaluation->start_ms;
    int64_t step_ms = evaluation->expects_matrix ? evaluation->matrix_step_ms
                      : evaluation->step_ms > 0  ? evaluation->step_ms
                                                 : 1;
    size_t there = 0;
    for (size_t i = 0; i < expected->point_count; i++) {
        int64_t timestamp_ms = start_ms + (int64_t)i * step_ms;
        const char *difference = point_compare(&expected->points[i], point_at(actual, timestamp_ms),
                                               timestamp_ms, arena);
        if (difference != NULL)
            return difference;
        there += expected->points[i].kind != POINT_MISSING;
    }
    if (middle_ms == INT64_MIN && there != actual->point_count)
        return arena_format(arena, "expected %zu points, got %zu", there, actual->point_count).data;
    return NULL;
}

/* --- Series ---------------------------------------------------------------------------------- */

static const char *labels_dump(struct labels labels, struct arena *arena)
{
    char *text = arena_allocate(arena, 1024);
    return labels_format(text, 1024, labels);
}

static bool notation_is_empty(const struct notation *notation)
{
    for (size_t i = 0; i < notation->point_count; i++)
        if (notation->points[i].kind != POINT_MISSING)
            return false;
    return true;
}

static bool series_counts(const struct promql_series *series, int64_t middle_ms)
{
    return middle_ms == INT64_MIN || point_at(series, middle_ms).is_there;
}

static const char *all_series_compare(const struct evaluation_case *evaluation,
                                      const struct promql_result *result, int64_t middle_ms,
                                      struct arena *arena)
{
    size_t expected_count = 0;
    for (size_t i = 0; i < evaluation->series_count; i++) {
        const struct notation *expected = &evaluation->series[i];
        if (notation_is_empty(expected))
            continue;
        expected_count++;
        const struct promql_series *actual = NULL;
        size_t position = 0;
        for (size_t j = 0; j < result->series_count; j++)
            if (labels_equal(result->series[j].labels, expected->labels) &&
                series_counts(&result->series[j], middle_ms)) {
                actual = &result->series[j];
                position = j;
            }
        if (actual == NULL)
            return arena_format(arena, "missing %s", labels_dump(expected->labels, arena)).data;
        if (evaluation->is_ordered && position != i)
            return arena_format(arena, "%s stands at %zu, not %zu",
                                labels_dump(expected->labels, arena), position, i)
                .data;
        const char *difference = series_compare(evaluation, expected, actual, middle_ms, arena);
        if (difference != NULL)
            return arena_format(arena, "%s %s", labels_dump(expected->labels, arena), difference)
                .data;
    }
    size_t actual_count = 0;
    for (size_t j = 0; j < result->series_count; j++)
        actual_count += series_counts(&result->series[j], middle_ms);
    if (actual_count != expected_count)
        return arena_format(
                   arena, "expected %zu series, got %zu, as %s", expected_count, actual_count,
                   result->series_count == 0 ? "none"
                                             : labels_dump(result->series[0].labels, arena))
            .data;
    return NULL;
}

const char *case_compare(const struct evaluation_case *evaluation,
                         const struct promql_result *result, int64_t middle_ms, struct arena *arena)
{
    if (evaluation->expects_string)
        return result->type == VALUE_STRING && text_equal(result->string, evaluation->string)
                   ? NULL
                   : "another string";
    if (evaluation->expects_scalar) {
        if (result->series_count != 1)
            return "expected a scalar";
        struct actual_point point = point_at(&result->series[0], evaluation->start_ms);
        return point.is_there && numbers_agree(point.value, evaluation->scalar)
                   ? NULL
                   : arena_format(arena, "expected %.17g, got %.17g", evaluation->scalar,
                                  point.value)
                         .data;
    }
    return all_series_compare(evaluation, result, middle_ms, arena);
}
