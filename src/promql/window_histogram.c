#include "window_histogram.h"

#include <assert.h>
#include <math.h>

#include "histogram_math.h"
#include "window_extrapolation.h"
#include "window_starts.h"

/* --- Annotations ----------------------------------------------------------------------------- */

static void warn_named(const struct window_call *call, struct text_range position,
                       const char *message)
{
    struct text name = text_quote(call->lane->scratch, window_metric_name(call));
    evaluation_annotate(call->evaluation, PROMQL_WARNING, position, "%s %.*s", message,
                        TEXT_ARGUMENTS(name));
}

static void warn_not_counter(const struct window_call *call, struct text_range position)
{
    warn_named(call, position, "this native histogram metric is not a counter:");
}

static void warn_not_gauge(const struct window_call *call, struct text_range position)
{
    warn_named(call, position, "this native histogram metric is not a gauge:");
}

static void warn_mixed_schemas(const struct window_call *call, struct text_range position)
{
    warn_named(call, position,
               "vector contains a mix of histograms with exponential and custom buckets schemas "
               "for metric name");
}

static void note_reconciled(const struct window_call *call, struct text_range position,
                            const char *operation)
{
    evaluation_annotate(call->evaluation, PROMQL_INFO, position,
                        "mismatched custom buckets were reconciled during %s", operation);
}

/* --- Sums within a window -------------------------------------------------------------------- */

enum step_result { STEP_DONE, STEP_NOTHING, STEP_FAILED };

/* *sum += sign * histogram; warns and gives up when their buckets don't fit. */
static enum step_result step_add(const struct window_call *call, struct histogram **sum,
                                 const struct histogram *histogram, double sign,
                                 struct text_range position)
{
    struct histogram_sum_notes notes;
    switch (histogram_sum(call->lane->scratch, *sum, histogram, sign, sum, &notes)) {
    case HISTOGRAM_SUM_INCOMPATIBLE:
        warn_mixed_schemas(call, position);
        return STEP_NOTHING;
    case HISTOGRAM_SUM_OUT_OF_MEMORY:
        return STEP_FAILED;
    case HISTOGRAM_SUM_DONE:
        break;
    }
    if (notes.bounds_reconciled)
        note_reconciled(call, position, sign > 0 ? "addition" : "subtraction");
    return STEP_DONE;
}

static void out_set(struct step_vector *out, size_t step, const struct histogram *histogram)
{
    out->histograms[step] = histogram;
    step_set_present(out->present, step);
}

/* --- rate, increase, delta ------------------------------------------------------------------- */

static bool sample_is_reset(const struct window_call *call, size_t sample)
{
    const struct window_samples *samples = &call->histograms;
    if (window_uses_starts(call, samples) &&
        start_timestamp_tells_reset(
            samples->start_timestamps_ms[sample - 1], samples->timestamps_ms[sample - 1],
            samples->start_timestamps_ms[sample], samples->timestamps_ms[sample]))
        return true;
    return histogram_is_reset(samples->histograms[sample], samples->histograms[sample - 1],
                              call->lane->scratch);
}

/* Gauges among counters, and kinds of buckets that can't be subtracted. */
static bool window_is_consistent(const struct window_call *call, size_t first, size_t last,
                                 bool is_counter, bool skips_first, int32_t *schema_out)
{
    const struct histogram *const *histograms = call->histograms.histograms;
    size_t begin = skips_first ? first + 1 : first;
    bool is_custom = histogram_is_custom(histograms[begin]);
    int32_t schema = histograms[begin]->schema;
    for (size_t i = first; i < last; i++) {
        bool is_edge = i == first || i == last - 1;
        if (is_counter && histograms[i]->reset == HISTOGRAM_RESET_GAUGE)
            warn_not_counter(call, call->range_position);
        if (i < begin || (!is_counter && !is_edge))
            continue;
        if (histogram_is_custom(histograms[i]) != is_custom) {
            warn_mixed_schemas(call, call->range_position);
            return false;
        }
        if (histograms[i]->schema < schema)
            schema = histograms[i]->schema;
    }
    *schema_out = schema;
    return true;
}

/* The increase over a window of at least two histograms. */
static enum step_result increase_of_window(const struct window_call *call, size_t first,
                                           size_t last, bool is_counter,
                                           struct histogram **increase_out)
{
    const struct histogram *const *histograms = call->histograms.histograms;
    struct text_range position = call->range_position;
    /* A reset right after the first sample: what it holds does not matter at all. */
    bool skips_first = is_counter && sample_is_reset(call, first + 1);
    int32_t schema;
    if (!window_is_consistent(call, first, last, is_counter, skips_first, &schema))
        return STEP_NOTHING;
    struct histogram *increase =
        histogram_at_schema(call->lane->scratch, histograms[last - 1], schema);
    if (increase == NULL)
        return STEP_FAILED;
    enum step_result result = STEP_DONE;
    if (!skips_first)
        result = step_add(call, &increase, histograms[first], -1, position);
    for (size_t i = first + 1; is_counter && result == STEP_DONE && i < last; i++) {
        bool is_first = i == first + 1;
        if (is_first ? skips_first : sample_is_reset(call, i))
            if (!is_first)
                result = step_add(call, &increase, histograms[i - 1], 1, position);
    }
    if (!is_counter && (histograms[first]->reset != HISTOGRAM_RESET_GAUGE ||
                        histograms[last - 1]->reset != HISTOGRAM_RESET_GAUGE))
        warn_not_gauge(call, position);
    if (result == STEP_DONE)
        increase->reset = HISTOGRAM_RESET_GAUGE;
    *increase_out = increase;
    return result;
}

enum error_code window_histogram_rate(const struct window_call *call, size_t step,
                                      struct step_vector *out, struct error *error)
{
    const struct window_samples *samples = &call->histograms;
    size_t first = samples->first[step];
    size_t last = samples->last[step];
    int64_t end_ms = view_end(call->view, call->steps, step);
    struct rate_window window = {
        .range_start_ms = end_ms - call->view->range_ms,
        .range_end_ms = end_ms,
        .first_ms = samples->timestamps_ms[first],
        .last_ms = samples->timestamps_ms[last - 1],
        .sample_count = last - first,
        .first_value = histogram_count(samples->histograms[first]),
        .is_counter = call->function != FUNCTION_DELTA,
        .is_rate = call->function == FUNCTION_RATE,
    };
    window.zero_ms = window_zero_instant(call, samples, first, window.range_start_ms);
    if (window.sample_count < 2 && window.zero_ms == 0)
        return ERROR_NONE;
    struct histogram *increase = NULL;
    enum step_result result = STEP_DONE;
    if (window.sample_count > 1) {
        result = increase_of_window(call, first, last, window.is_counter, &increase);
        if (window.is_counter)
            window_check_start_overlap(call, samples, first, last);
    }
    if (result == STEP_DONE && window.zero_ms != 0) {
        /* The counter was zero within the range: what it had at first, it gained. */
        if (increase == NULL)
            increase = histogram_compacted(call->lane->scratch, samples->histograms[first]);
        else
            result = step_add(call, &increase, samples->histograms[first], 1, call->range_position);
    }
    if (result == STEP_NOTHING)
        return ERROR_NONE;
    if (result == STEP_FAILED || increase == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    window.increase = histogram_count(increase);
    struct histogram *rate =
        histogram_scaled(call->lane->scratch, increase, window_rate_factor(&window));
    if (rate == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    if (window.sample_count > 1)
        rate->reset = HISTOGRAM_RESET_GAUGE;
    out_set(out, step, rate);
    return ERROR_NONE;
}

/* --- irate, idelta --------------------------------------------------------------------------- */

/* One of the last two samples of a window, whatever its kind. */
struct any_sample {
    int64_t timestamp_ms;
    double value;
    const struct histogram *histogram;
    size_t index;
};

/* The `back`-th sample from the end of floats and histograms together. */
static bool sample_from_end(const struct window_call *call, size_t step, size_t back,
                            struct any_sample *sample_out)
{
    size_t floats = window_size(&call->floats, step);
    size_t histograms = window_size(&call->histograms, step);
    if (floats + histograms <= back)
        return false;
    size_t i = floats == 0 ? 0 : call->floats.last[step];
    size_t j = histograms == 0 ? 0 : call->histograms.last[step];
    for (;; back--) {
        bool takes_histogram =
            histograms > 0 && (floats == 0 || call->histograms.timestamps_ms[j - 1] >
                                                  call->floats.timestamps_ms[i - 1]);
        if (takes_histogram) {
            j--;
            histograms--;
            *sample_out = (struct any_sample){call->histograms.timestamps_ms[j], 0,
                                              call->histograms.histograms[j], j};
        } else {
            i--;
            floats--;
            *sample_out =
                (struct any_sample){call->floats.timestamps_ms[i], call->floats.values[i], NULL, i};
        }
        if (back == 0)
            return true;
    }
}

static enum error_code instant_histograms(const struct window_call *call, size_t step,
                                          const struct any_sample *previous,
                                          const struct any_sample *latest, struct step_vector *out,
                                          struct error *error)
{
    bool is_rate = call->function == FUNCTION_IRATE;
    struct text_range position = call->call_position;
    bool has_gauge = previous->histogram->reset == HISTOGRAM_RESET_GAUGE ||
                     latest->histogram->reset == HISTOGRAM_RESET_GAUGE;
    bool are_gauges = previous->histogram->reset == HISTOGRAM_RESET_GAUGE &&
                      latest->histogram->reset == HISTOGRAM_RESET_GAUGE;
    if (is_rate && has_gauge)
        warn_not_counter(call, position);
    if (!is_rate && !are_gauges)
        warn_not_gauge(call, position);
    struct histogram *result = histogram_compacted(call->lane->scratch, latest->histogram);
    if (result == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    if (!is_rate || !sample_is_reset(call, latest->index)) {
        switch (step_add(call, &result, previous->histogram, -1, position)) {
        case STEP_NOTHING:
            return ERROR_NONE;
        case STEP_FAILED:
            return evaluation_out_of_memory(call->evaluation, error);
        case STEP_DONE:
            break;
        }
    }
    if (is_rate)
        result = histogram_divided(call->lane->scratch, result,
                                   (double)(latest->timestamp_ms - previous->timestamp_ms) / 1000);
    if (result == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    result->reset = HISTOGRAM_RESET_GAUGE;
    out_set(out, step, result);
    return ERROR_NONE;
}

enum error_code window_histogram_instant_rate(const struct window_call *call, size_t step,
                                              struct step_vector *out, struct error *error)
{
    struct any_sample latest;
    struct any_sample previous;
    if (!sample_from_end(call, step, 0, &latest) || !sample_from_end(call, step, 1, &previous) ||
        latest.timestamp_ms == previous.timestamp_ms)
        return ERROR_NONE;
    if ((latest.histogram == NULL) != (previous.histogram == NULL)) {
        warn_named(call, call->call_position,
                   "encountered a mix of histograms and floats for metric name");
        return ERROR_NONE;
    }
    if (latest.histogram != NULL)
        return instant_histograms(call, step, &previous, &latest, out, error);
    bool is_rate = call->function == FUNCTION_IRATE;
    double value = latest.value;
    if (!is_rate || latest.value >= previous.value || isnan(latest.value) || isnan(previous.value))
        value -= previous.value;
    if (is_rate)
        value /= (double)(latest.timestamp_ms - previous.timestamp_ms) / 1000;
    out->values[step] = value;
    step_set_present(out->present, step);
    return ERROR_NONE;
}

/* --- changes, resets ------------------------------------------------------------------------- */

double window_histogram_changes(const struct window_call *call, size_t step)
{
    bool is_resets = call->function == FUNCTION_RESETS;
    size_t i = window_is_empty(&call->floats, step) ? 0 : call->floats.first[step];
    size_t floats_end = window_is_empty(&call->floats, step) ? 0 : call->floats.last[step];
    size_t j = call->histograms.first[step];
    size_t histograms_end = call->histograms.last[step];
    const struct histogram *previous = NULL;
    double previous_value = 0;
    bool has_previous = false;
    size_t count = 0;
    while (i < floats_end || j < histograms_end) {
        bool takes_float =
            j == histograms_end ||
            (i < floats_end && call->floats.timestamps_ms[i] < call->histograms.timestamps_ms[j]);
        const struct histogram *histogram = takes_float ? NULL : call->histograms.histograms[j];
        double value = takes_float ? call->floats.values[i] : 0;
        size_t sample = takes_float ? i++ : j++;
        if (has_previous) {
            if ((previous == NULL) != (histogram == NULL))
                count++;
            else if (histogram != NULL && is_resets)
                count += sample_is_reset(call, sample);
            else if (histogram != NULL)
                count += !histogram_values_equal(histogram, previous, call->lane->scratch);
            else if (is_resets)
                count += value < previous_value;
            else
                count += value != previous_value && !(isnan(value) && isnan(previous_value));
        }
        has_previous = true;
        previous = histogram;
        previous_value = value;
    }
    return (double)count;
}

/* --- sum_over_time, avg_over_time ------------------------------------------------------------ */

enum error_code window_histogram_sum(const struct window_call *call, size_t step,
                                     struct step_vector *out, struct error *error)
{
    const struct window_samples *samples = &call->histograms;
    struct histogram *sum =
        histogram_compacted(call->lane->scratch, samples->histograms[samples->first[step]]);
    bool has_reset = false;
    bool has_no_reset = false;
    bool is_reconciled = false;
    for (size_t i = samples->first[step]; sum != NULL && i < samples->last[step]; i++) {
        const struct histogram *histogram = samples->histograms[i];
        has_reset |= histogram->reset == HISTOGRAM_RESET_YES;
        has_no_reset |= histogram->reset == HISTOGRAM_RESET_NO;
        if (i == samples->first[step])
            continue;
        struct histogram_sum_notes notes;
        switch (histogram_sum(call->lane->scratch, sum, histogram, 1, &sum, &notes)) {
        case HISTOGRAM_SUM_INCOMPATIBLE:
            warn_mixed_schemas(call, call->range_position);
            return ERROR_NONE;
        case HISTOGRAM_SUM_OUT_OF_MEMORY:
            return evaluation_out_of_memory(call->evaluation, error);
        case HISTOGRAM_SUM_DONE:
            is_reconciled |= notes.bounds_reconciled;
            break;
        }
    }
    if (has_reset && has_no_reset)
        evaluation_annotate(call->evaluation, PROMQL_WARNING, call->range_position,
                            "conflicting counter resets during histogram aggregation");
    if (is_reconciled)
        note_reconciled(call, call->range_position, "aggregation");
    if (sum != NULL && call->function == FUNCTION_AVG_OVER_TIME)
        sum = histogram_divided(call->lane->scratch, sum, (double)window_size(samples, step));
    if (sum == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    out_set(out, step, sum);
    return ERROR_NONE;
}
