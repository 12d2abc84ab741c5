#include "histogram_math.h"
#include "window_histogram.h"

/*
 * rate, increase and delta over anchored and smoothed ranges. No extrapolation: an anchored range
 * begins with the value that the series had there, a smoothed one also ends with the value that
 * lies between its neighbours. The windows hold those neighbours.
 */

/* --- Floats ---------------------------------------------------------------------------------- */

static double interpolate(const struct window_samples *floats, size_t left, int64_t instant_ms,
                          bool is_counter)
{
    double before = floats->values[left];
    double after = floats->values[left + 1];
    if (is_counter && after < before)
        before = 0; /* the counter began anew between the two */
    return before + (after - before) * (double)(instant_ms - floats->timestamps_ms[left]) /
                        (double)(floats->timestamps_ms[left + 1] - floats->timestamps_ms[left]);
}

static double lost_at_resets(const struct window_samples *floats, size_t first, size_t end,
                             double left, double right)
{
    double lost = 0;
    double previous = left;
    for (size_t i = first; i < end; i++) {
        if (floats->values[i] < previous)
            lost += previous;
        previous = floats->values[i];
    }
    return right < previous ? lost + previous : lost;
}

/* The samples of one step's window, its neighbours included. */
static bool extended_increase(const struct window_call *call, size_t step, bool is_counter,
                              double *increase_out)
{
    const struct window_samples *floats = &call->floats;
    bool is_smoothed = call->mode == RANGE_SMOOTHED;
    int64_t end_ms = view_end(call->view, call->steps, step);
    int64_t start_ms = end_ms - call->view->range_ms;
    size_t first = floats->first[step];
    size_t last = floats->last[step] - 1;
    size_t begin = first;
    while (begin < last && floats->timestamps_ms[begin] <= start_ms)
        begin++;
    first = begin > first ? begin - 1 : first;
    if (is_smoothed) {
        size_t final = floats->first[step];
        while (final < last && floats->timestamps_ms[final] < end_ms)
            final++;
        last = final;
    }
    if (floats->timestamps_ms[last] <= start_ms ||
        (is_smoothed && floats->timestamps_ms[first] > end_ms))
        return false;
    double left = floats->values[first];
    if (is_smoothed && floats->timestamps_ms[first] < start_ms)
        left = interpolate(floats, first, start_ms, is_counter);
    double right = floats->values[last];
    if (is_smoothed && last > floats->first[step] && floats->timestamps_ms[last] > end_ms)
        right = interpolate(floats, last - 1, end_ms, is_counter);
    double increase = right - left;
    if (is_counter) {
        size_t inner_first = floats->timestamps_ms[first] <= start_ms ? first + 1 : first;
        size_t inner_end = floats->timestamps_ms[last] >= end_ms ? last : last + 1;
        increase += lost_at_resets(floats, inner_first, inner_end, left, right);
    }
    *increase_out = increase;
    return true;
}

/* --- Histograms ------------------------------------------------------------------------------ */

enum step_result { STEP_DONE, STEP_NOTHING, STEP_FAILED };

static void warn_named(const struct window_call *call, const char *message)
{
    struct text name = text_quote(call->lane->scratch, window_metric_name(call));
    evaluation_annotate(call->evaluation, PROMQL_WARNING, call->range_position, "%s %.*s", message,
                        TEXT_ARGUMENTS(name));
}

static enum step_result combine(const struct window_call *call, const struct histogram *left,
                                const struct histogram *right, double sign,
                                struct histogram **result_out)
{
    struct histogram_sum_notes notes;
    switch (histogram_sum(call->lane->scratch, left, right, sign, result_out, &notes)) {
    case HISTOGRAM_SUM_INCOMPATIBLE:
        warn_named(call, "vector contains a mix of histograms with exponential and custom buckets "
                         "schemas for metric name");
        return STEP_NOTHING;
    case HISTOGRAM_SUM_OUT_OF_MEMORY:
        return STEP_FAILED;
    case HISTOGRAM_SUM_DONE:
        break;
    }
    if (notes.bounds_reconciled)
        evaluation_annotate(call->evaluation, PROMQL_INFO, call->range_position,
                            "mismatched custom buckets were reconciled during %s",
                            sign > 0 ? "addition" : "subtraction");
    return STEP_DONE;
}

/* The part of a window that counts, neighbours included. */
struct extended_window {
    int64_t start_ms;
    int64_t end_ms;
    size_t first;
    size_t last; /* of the samples that count, itself one */
    bool is_counter;
};

static bool extended_window_find(const struct window_call *call,
                                 const struct window_samples *samples, size_t step,
                                 struct extended_window *window)
{
    size_t first = samples->first[step];
    size_t last = samples->last[step] - 1;
    window->end_ms = view_end(call->view, call->steps, step);
    window->start_ms = window->end_ms - call->view->range_ms;
    window->is_counter = call->function != FUNCTION_DELTA;
    window->first = first;
    while (window->first < last && samples->timestamps_ms[window->first + 1] <= window->start_ms)
        window->first++;
    window->last = last;
    if (call->mode == RANGE_SMOOTHED) {
        window->last = first;
        while (window->last < last && samples->timestamps_ms[window->last] < window->end_ms)
            window->last++;
    }
    return samples->timestamps_ms[window->last] > window->start_ms &&
           !(call->mode == RANGE_SMOOTHED &&
             samples->timestamps_ms[window->first] > window->end_ms);
}

/* The histogram on the line between two neighbours; after a reset the counter came from zero. */
static enum step_result interpolate_histogram(const struct window_call *call, size_t left,
                                              int64_t instant_ms, bool is_counter,
                                              struct histogram **result_out)
{
    const struct window_samples *samples = &call->histograms;
    struct arena *scratch = call->lane->scratch;
    const struct histogram *before = samples->histograms[left];
    const struct histogram *after = samples->histograms[left + 1];
    double part = (double)(instant_ms - samples->timestamps_ms[left]) /
                  (double)(samples->timestamps_ms[left + 1] - samples->timestamps_ms[left]);
    struct histogram *gain = NULL;
    enum step_result result = STEP_DONE;
    bool is_reset = is_counter && histogram_is_reset(after, before, scratch);
    if (is_reset)
        gain = histogram_compacted(scratch, after);
    else
        result = combine(call, after, before, -1, &gain);
    if (result != STEP_DONE)
        return result;
    if (gain != NULL)
        gain = histogram_scaled(scratch, gain, part);
    if (gain == NULL)
        return STEP_FAILED;
    *result_out = gain;
    if (!is_reset)
        result = combine(call, before, gain, 1, result_out);
    if (result == STEP_DONE)
        (*result_out)->reset = after->reset;
    return result;
}

static enum step_result edge_histogram(const struct window_call *call, size_t sample,
                                       size_t left_neighbour, bool lies_between, int64_t instant_ms,
                                       bool is_counter, struct histogram **result_out)
{
    if (lies_between)
        return interpolate_histogram(call, left_neighbour, instant_ms, is_counter, result_out);
    *result_out = histogram_compacted(call->lane->scratch, call->histograms.histograms[sample]);
    return *result_out == NULL ? STEP_FAILED : STEP_DONE;
}

static bool window_is_consistent(const struct window_call *call,
                                 const struct extended_window *window)
{
    const struct histogram *const *histograms = call->histograms.histograms;
    for (size_t i = window->first; i <= window->last; i++) {
        if (histogram_is_custom(histograms[i]) != histogram_is_custom(histograms[window->first])) {
            warn_named(call, "vector contains a mix of histograms with exponential and custom "
                             "buckets schemas for metric name");
            return false;
        }
        if (window->is_counter && histograms[i]->reset == HISTOGRAM_RESET_GAUGE)
            warn_named(call, "this native histogram metric is not a counter:");
    }
    return true;
}

/* Add what was lost at resets between the edges, which account for their own. */
static enum step_result add_lost(const struct window_call *call,
                                 const struct extended_window *window, const struct histogram *left,
                                 const struct histogram *right, struct histogram **increase)
{
    const struct window_samples *samples = &call->histograms;
    struct arena *scratch = call->lane->scratch;
    size_t next = window->first + 1;
    const struct histogram *previous = left;
    if (call->mode == RANGE_SMOOTHED && samples->timestamps_ms[window->first] < window->start_ms &&
        next <= window->last &&
        histogram_is_reset(samples->histograms[next], samples->histograms[window->first],
                           scratch)) {
        previous = samples->histograms[next];
        next++;
    }
    if (next > window->last)
        return STEP_DONE;
    enum step_result result = STEP_DONE;
    for (; next <= window->last && result == STEP_DONE; next++) {
        const struct histogram *current = next == window->last ? right : samples->histograms[next];
        if (histogram_is_reset(current, previous, scratch))
            result = combine(call, *increase, previous, 1, increase);
        previous = current;
    }
    return result;
}

static enum step_result extended_histogram(const struct window_call *call, size_t step,
                                           struct histogram **result_out)
{
    const struct window_samples *samples = &call->histograms;
    struct extended_window window;
    if (!extended_window_find(call, samples, step, &window) || !window_is_consistent(call, &window))
        return STEP_NOTHING;
    bool is_smoothed = call->mode == RANGE_SMOOTHED;
    struct histogram *left = NULL;
    struct histogram *right = NULL;
    enum step_result result =
        edge_histogram(call, window.first, window.first,
                       is_smoothed && samples->timestamps_ms[window.first] < window.start_ms &&
                           window.first + 1 < samples->last[step],
                       window.start_ms, window.is_counter, &left);
    if (result == STEP_DONE)
        result = edge_histogram(call, window.last, window.last - 1,
                                is_smoothed && window.last > samples->first[step] &&
                                    samples->timestamps_ms[window.last] > window.end_ms,
                                window.end_ms, window.is_counter, &right);
    if (result != STEP_DONE)
        return result;
    if (!window.is_counter &&
        (left->reset != HISTOGRAM_RESET_GAUGE || right->reset != HISTOGRAM_RESET_GAUGE))
        warn_named(call, "this native histogram metric is not a gauge:");
    struct histogram *increase = NULL;
    result = combine(call, right, left, -1, &increase);
    if (result == STEP_DONE && window.is_counter)
        result = add_lost(call, &window, left, right, &increase);
    if (result != STEP_DONE)
        return result;
    if (call->function == FUNCTION_RATE)
        increase =
            histogram_divided(call->lane->scratch, increase, (double)call->view->range_ms / 1000);
    if (increase == NULL)
        return STEP_FAILED;
    increase->reset = HISTOGRAM_RESET_GAUGE;
    *result_out = increase;
    return STEP_DONE;
}

/* --- Both ------------------------------------------------------------------------------------ */

enum error_code window_extended_rate(const struct window_call *call, struct step_vector *out,
                                     struct error *error)
{
    bool is_counter = call->function != FUNCTION_DELTA;
    for (size_t step = 0; step < call->steps->count; step++) {
        bool has_floats = !window_is_empty(&call->floats, step);
        if (!window_is_empty(&call->histograms, step)) {
            struct histogram *histogram = NULL;
            if (has_floats) {
                window_warn_mixed(call);
                continue;
            }
            enum step_result result = extended_histogram(call, step, &histogram);
            if (result == STEP_FAILED)
                return evaluation_out_of_memory(call->evaluation, error);
            if (result == STEP_NOTHING)
                continue;
            out->histograms[step] = histogram;
            step_set_present(out->present, step);
            continue;
        }
        double increase;
        if (!has_floats || !extended_increase(call, step, is_counter, &increase))
            continue;
        if (call->function == FUNCTION_RATE)
            increase /= (double)call->view->range_ms / 1000;
        out->values[step] = increase;
        step_set_present(out->present, step);
    }
    return ERROR_NONE;
}
