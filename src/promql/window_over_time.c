#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "window.h"
#include "window_histogram.h"

/* --- sum_over_time, avg_over_time ------------------------------------------------------------ */

static double sum_of(const double *values, size_t count)
{
    double sum = 0;
    double compensation = 0;
    for (size_t i = 0; i < count; i++)
        compensated_add(values[i], &sum, &compensation);
    return isinf(sum) ? sum : sum + compensation;
}

/* The mean of values whose sum overflows, value by value. */
static double mean_incremental(const double *values, size_t count)
{
    double mean = values[0];
    double compensation = 0;
    double sum = values[0];
    bool is_incremental = false;
    for (size_t i = 1; i < count; i++) {
        double number = (double)(i + 1);
        if (!is_incremental) {
            double next_sum = sum;
            double next_compensation = compensation;
            compensated_add(values[i], &next_sum, &next_compensation);
            if (!isinf(next_sum)) {
                sum = next_sum;
                compensation = next_compensation;
                continue;
            }
            is_incremental = true;
            mean = sum / (number - 1);
            compensation /= number - 1;
        }
        double weight = (number - 1) / number;
        mean *= weight;
        compensation *= weight;
        compensated_add(values[i] / number, &mean, &compensation);
    }
    return is_incremental ? mean + compensation
                          : sum / (double)count + compensation / (double)count;
}

static double mean_of(const double *values, size_t count)
{
    double sum = 0;
    double compensation = 0;
    for (size_t i = 0; i < count; i++)
        compensated_add(values[i], &sum, &compensation);
    if (isinf(sum) || isnan(sum))
        return mean_incremental(values, count);
    return sum / (double)count + compensation / (double)count;
}

/* The result of one step's floats: from sums that are known, else value by value. */
static double sum_or_mean(const struct window_call *call, const struct window_sums *sums,
                          size_t step)
{
    const struct window_samples *floats = &call->floats;
    size_t size = window_size(floats, step);
    bool is_mean = call->function == FUNCTION_AVG_OVER_TIME;
    if (sums->sums != NULL && isfinite(sums->sums[step])) {
        double count = is_mean ? (double)size : 1;
        return sums->sums[step] / count + sums->compensations[step] / count;
    }
    const double *values = floats->values + floats->first[step];
    return is_mean ? mean_of(values, size) : sum_of(values, size);
}

enum error_code window_sum(const struct window_call *call, struct step_vector *out,
                           struct error *error)
{
    struct window_sums sums;
    if (!window_sums_slide(call, &sums))
        return evaluation_out_of_memory(call->evaluation, error);
    for (size_t step = 0; step < call->steps->count; step++) {
        bool has_floats = !window_is_empty(&call->floats, step);
        if (window_is_empty(&call->histograms, step)) {
            if (has_floats)
                step_vector_set(out, step, sum_or_mean(call, &sums, step));
            continue;
        }
        if (has_floats) {
            window_warn_mixed(call);
            continue;
        }
        enum error_code code = window_histogram_sum(call, step, out, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- min, max and their timestamps ----------------------------------------------------------- */

/*
 * A queue of samples that may still become the extreme of a window: each beats all after it, so
 * the front is the answer; O(samples + steps) over all windows.
 */
struct extreme_queue {
    uint32_t *samples;
    size_t front;
    size_t back; /* one after the last */
};

/* Whether a later sample makes an earlier one pointless. */
static bool sample_beats(enum function_id function, double later, double earlier)
{
    switch (function) {
    case FUNCTION_MAX_OVER_TIME:
        return later > earlier;
    case FUNCTION_MIN_OVER_TIME:
        return later < earlier;
    case FUNCTION_TS_OF_MAX_OVER_TIME: /* of equal ones the latest */
        return later >= earlier;
    default:
        return later <= earlier;
    }
}

enum error_code window_extreme(const struct window_call *call, struct step_vector *out,
                               struct error *error)
{
    const struct window_samples *floats = &call->floats;
    struct extreme_queue queue = {0};
    queue.samples = arena_allocate(call->lane->scratch, floats->count * sizeof *queue.samples);
    if (queue.samples == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    bool is_timestamp = call->function == FUNCTION_TS_OF_MAX_OVER_TIME ||
                        call->function == FUNCTION_TS_OF_MIN_OVER_TIME;
    size_t next = 0;
    for (size_t step = 0; step < call->steps->count; step++) {
        if (!window_has_floats(call, step))
            continue;
        for (; next < floats->last[step]; next++) {
            double value = floats->values[next];
            if (isnan(value))
                continue; /* beats nothing and loses to all */
            while (
                queue.back > queue.front &&
                sample_beats(call->function, value, floats->values[queue.samples[queue.back - 1]]))
                queue.back--;
            queue.samples[queue.back++] = (uint32_t)next;
        }
        while (queue.front < queue.back && queue.samples[queue.front] < floats->first[step])
            queue.front++;
        /* Nothing but NaN: the last of them wins each comparison. */
        bool is_nan = queue.front == queue.back;
        size_t best = is_nan ? floats->last[step] - 1 : queue.samples[queue.front];
        step_vector_set(out, step,
                        is_timestamp ? (double)floats->timestamps_ms[best] / 1000
                                     : floats->values[best]);
    }
    return ERROR_NONE;
}

/* --- stddev, stdvar -------------------------------------------------------------------------- */

/* Welford's algorithm with compensated sums. */
static double variance_of(const double *values, size_t count)
{
    double mean = 0;
    double mean_compensation = 0;
    double squares = 0;
    double squares_compensation = 0;
    for (size_t i = 0; i < count; i++) {
        double delta = values[i] - (mean + mean_compensation);
        compensated_add(delta / (double)(i + 1), &mean, &mean_compensation);
        compensated_add(delta * (values[i] - (mean + mean_compensation)), &squares,
                        &squares_compensation);
    }
    return (squares + squares_compensation) / (double)count;
}

enum error_code window_variance(const struct window_call *call, struct step_vector *out,
                                struct error *error)
{
    (void)error;
    const struct window_samples *floats = &call->floats;
    for (size_t step = 0; step < call->steps->count; step++) {
        if (!window_has_floats(call, step))
            continue;
        double variance =
            variance_of(floats->values + floats->first[step], window_size(floats, step));
        step_vector_set(out, step,
                        call->function == FUNCTION_STDDEV_OVER_TIME ? sqrt(variance) : variance);
    }
    return ERROR_NONE;
}

/* --- count, present, first, last ------------------------------------------------------------- */

enum error_code window_count(const struct window_call *call, struct step_vector *out,
                             struct error *error)
{
    (void)error;
    for (size_t step = 0; step < call->steps->count; step++) {
        size_t size = window_size(&call->floats, step) + window_size(&call->histograms, step);
        if (size > 0)
            step_vector_set(out, step, (double)size);
    }
    return ERROR_NONE;
}

enum error_code window_present(const struct window_call *call, struct step_vector *out,
                               struct error *error)
{
    (void)error;
    for (size_t step = 0; step < call->steps->count; step++)
        if (!window_is_empty(&call->floats, step) || !window_is_empty(&call->histograms, step))
            step_vector_set(out, step, 1);
    return ERROR_NONE;
}

enum error_code window_edge(const struct window_call *call, struct step_vector *out,
                            struct error *error)
{
    (void)error;
    bool is_first = call->function == FUNCTION_FIRST_OVER_TIME ||
                    call->function == FUNCTION_TS_OF_FIRST_OVER_TIME;
    bool is_timestamp = call->function == FUNCTION_TS_OF_FIRST_OVER_TIME ||
                        call->function == FUNCTION_TS_OF_LAST_OVER_TIME;
    const struct window_samples *floats = &call->floats;
    const struct window_samples *histograms = &call->histograms;
    for (size_t step = 0; step < call->steps->count; step++) {
        bool has_float = !window_is_empty(floats, step);
        bool has_histogram = !window_is_empty(histograms, step);
        if (!has_float && !has_histogram)
            continue;
        size_t sample = 0;
        size_t histogram = 0;
        if (has_float)
            sample = is_first ? floats->first[step] : floats->last[step] - 1;
        if (has_histogram)
            histogram = is_first ? histograms->first[step] : histograms->last[step] - 1;
        bool takes_float = !has_histogram;
        if (has_float && has_histogram) {
            int64_t float_ms = floats->timestamps_ms[sample];
            int64_t histogram_ms = histograms->timestamps_ms[histogram];
            takes_float = is_first ? float_ms < histogram_ms : float_ms > histogram_ms;
        }
        if (is_timestamp) {
            int64_t timestamp_ms =
                takes_float ? floats->timestamps_ms[sample] : histograms->timestamps_ms[histogram];
            step_vector_set(out, step, (double)timestamp_ms / 1000);
        } else if (takes_float) {
            step_vector_set(out, step, floats->values[sample]);
        } else {
            out->histograms[step] = histograms->histograms[histogram];
            step_set_present(out->present, step);
        }
    }
    return ERROR_NONE;
}

/* --- deriv, predict_linear ------------------------------------------------------------------- */

struct line {
    double slope;
    double intercept;
};

/* Least squares over a window; seconds count from `origin_ms`. */
static struct line regression_of(const struct window_samples *floats, size_t first, size_t last,
                                 int64_t origin_ms)
{
    double count = (double)(last - first);
    double sum_x = 0, error_x = 0, sum_y = 0, error_y = 0;
    double sum_xy = 0, error_xy = 0, sum_xx = 0, error_xx = 0;
    double initial = floats->values[first];
    bool is_constant = true;
    for (size_t i = first; i < last; i++) {
        double y = floats->values[i];
        if (i > first && y != initial)
            is_constant = false;
        double x = (double)(floats->timestamps_ms[i] - origin_ms) / 1e3;
        compensated_add(x, &sum_x, &error_x);
        compensated_add(y, &sum_y, &error_y);
        compensated_add(x * y, &sum_xy, &error_xy);
        compensated_add(x * x, &sum_xx, &error_xx);
    }
    if (is_constant)
        return isinf(initial) ? (struct line){NAN, NAN} : (struct line){0, initial};
    sum_x += error_x;
    sum_y += error_y;
    sum_xy += error_xy;
    sum_xx += error_xx;
    double covariance = sum_xy - sum_x * sum_y / count;
    double variance = sum_xx - sum_x * sum_x / count;
    double slope = covariance / variance;
    return (struct line){slope, sum_y / count - slope * sum_x / count};
}

enum error_code window_regression(const struct window_call *call, struct step_vector *out,
                                  struct error *error)
{
    (void)error;
    const struct window_samples *floats = &call->floats;
    for (size_t step = 0; step < call->steps->count; step++) {
        if (!window_has_floats(call, step) || window_size(floats, step) < 2)
            continue;
        size_t first = floats->first[step];
        size_t last = floats->last[step];
        if (call->function == FUNCTION_DERIV) {
            /* Any instant near the samples keeps the numbers small. */
            step_vector_set(out, step,
                            regression_of(floats, first, last, floats->timestamps_ms[first]).slope);
        } else {
            struct line line = regression_of(floats, first, last, step_time(call->steps, step));
            step_vector_set(out, step, line.slope * call->parameters[0][step] + line.intercept);
        }
    }
    return ERROR_NONE;
}

/* --- double_exponential_smoothing ------------------------------------------------------------ */

static double smooth(const double *values, size_t count, double smoothing, double trend_factor)
{
    double previous = 0;
    double smoothed = values[0];
    double trend = values[1] - values[0];
    for (size_t i = 1; i < count; i++) {
        if (i > 1)
            trend = trend_factor * (smoothed - previous) + (1 - trend_factor) * trend;
        double next = smoothing * values[i] + (1 - smoothing) * (smoothed + trend);
        previous = smoothed;
        smoothed = next;
    }
    return smoothed;
}

enum error_code window_smoothing(const struct window_call *call, struct step_vector *out,
                                 struct error *error)
{
    const struct window_samples *floats = &call->floats;
    for (size_t step = 0; step < call->steps->count; step++) {
        double smoothing = call->parameters[0][step];
        double trend = call->parameters[1][step];
        if (window_is_empty(floats, step) && window_is_empty(&call->histograms, step))
            continue;
        if (smoothing <= 0 || smoothing >= 1)
            return error_set(error, ERROR_INVALID,
                             "invalid smoothing factor. Expected: 0 < sf < 1, got: %f", smoothing);
        if (trend <= 0 || trend >= 1)
            return error_set(error, ERROR_INVALID,
                             "invalid trend factor. Expected: 0 < tf < 1, got: %f", trend);
        if (!window_has_floats(call, step) || window_size(floats, step) < 2)
            continue;
        step_vector_set(out, step,
                        smooth(floats->values + floats->first[step], window_size(floats, step),
                               smoothing, trend));
    }
    return ERROR_NONE;
}
