#include <assert.h>
#include <math.h>

#include "window_extrapolation.h"
#include "window_histogram.h"
#include "window_starts.h"

/* --- Counter resets -------------------------------------------------------------------------- */

static bool sample_is_reset(const struct window_samples *floats, bool uses_starts, size_t sample)
{
    if (floats->values[sample] < floats->values[sample - 1])
        return true;
    return uses_starts && start_timestamp_tells_reset(floats->start_timestamps_ms[sample - 1],
                                                      floats->timestamps_ms[sample - 1],
                                                      floats->start_timestamps_ms[sample],
                                                      floats->timestamps_ms[sample]);
}

/* Indices of samples that follow a reset, ascending, in the lane's scratch. Seldom any. */
static bool resets_find(const struct window_call *call, uint32_t **resets_out, size_t *count_out)
{
    const struct window_samples *floats = &call->floats;
    bool uses_starts = window_uses_starts(call, floats);
    size_t count = 0;
    for (size_t i = 1; !uses_starts && i < floats->count; i++)
        count += floats->values[i] < floats->values[i - 1];
    for (size_t i = 1; uses_starts && i < floats->count; i++)
        count += sample_is_reset(floats, uses_starts, i);
    *count_out = count;
    *resets_out = NULL;
    if (count == 0)
        return true;
    uint32_t *resets = arena_array(call->lane->scratch, count, sizeof *resets);
    if (resets == NULL)
        return false;
    count = 0;
    for (size_t i = 1; i < floats->count; i++)
        if (sample_is_reset(floats, uses_starts, i))
            resets[count++] = (uint32_t)i;
    *resets_out = resets;
    return true;
}

/* --- rate, increase, delta ------------------------------------------------------------------- */

static double increase_of_window(const struct window_samples *floats, size_t first, size_t last,
                                 const uint32_t *resets, size_t reset_count)
{
    double increase = floats->values[last - 1] - floats->values[first];
    /* Each lost counter counts; the same order of additions as one pass over the window. */
    for (size_t i = 0; i < reset_count && resets[i] < last; i++)
        increase += floats->values[resets[i] - 1];
    return increase;
}

/* A window that has a rate, as far as timestamps tell. */
struct rate_step {
    struct rate_times times;
    double factor; /* what the increase is multiplied with, when no zero is near */
    uint32_t first;
    uint32_t last; /* 0: too few samples */
};

/* The memo of the call's windows, made when they are not those of the series before. NULL: out of
 * memory. */
static const struct rate_step *rate_steps(const struct window_call *call)
{
    const struct window_samples *floats = &call->floats;
    struct window_memo *memo = call->memo;
    if (memo->is_made)
        return memo->steps;
    if (memo->steps == NULL)
        memo->steps = arena_array(call->lane->memory, call->steps->count, sizeof(struct rate_step));
    struct rate_step *steps = memo->steps;
    for (size_t i = 0; steps != NULL && i < call->steps->count; i++) {
        size_t size = window_size(floats, i);
        steps[i].last = 0;
        if (size < 2)
            continue;
        int64_t end_ms = view_end(call->view, call->steps, i);
        struct rate_step *step = &steps[i];
        step->first = floats->first[i];
        step->last = floats->last[i];
        step->times =
            rate_times_of(end_ms - call->view->range_ms, end_ms, floats->timestamps_ms[step->first],
                          floats->timestamps_ms[step->last - 1], size);
        step->factor =
            rate_times_factor(&step->times, step->times.to_start, call->function == FUNCTION_RATE);
    }
    memo->is_made = steps != NULL;
    return steps;
}

/* Whether a counter may have been zero so near to the window that it must be looked at. Rounding is
 * on the side of looking. */
static bool zero_may_be_near(const struct rate_step *step, double first_value, double increase)
{
    return increase > 0 && first_value >= 0 &&
           !(first_value * step->times.sampled > step->times.to_start * increase * (1 + 1e-9));
}

/* Of a series of floats without start timestamps. */
static void rate_of_floats(const struct window_call *call, const struct rate_step *steps,
                           const uint32_t *resets, size_t reset_count, struct step_vector *out)
{
    const double *values = call->floats.values;
    bool is_counter = call->function != FUNCTION_DELTA;
    bool is_rate = call->function == FUNCTION_RATE;
    for (size_t i = 0; i < call->steps->count; i++) {
        const struct rate_step *step = &steps[i];
        if (step->last == 0)
            continue;
        for (; reset_count > 0 && *resets <= step->first; resets++)
            reset_count--;
        double increase =
            increase_of_window(&call->floats, step->first, step->last, resets, reset_count);
        double factor = step->factor;
        if (is_counter && zero_may_be_near(step, values[step->first], increase)) {
            double to_zero = step->times.sampled * (values[step->first] / increase);
            if (to_zero < step->times.to_start)
                factor = rate_times_factor(&step->times, to_zero, is_rate);
        }
        out->values[i] = increase * factor;
        step_set_present(out->present, i);
    }
}

struct reset_list {
    uint32_t *samples; /* [count], ascending */
    size_t count;
    size_t next; /* the first that may lie in the current window */
};

/* The rate over the floats of one step's window; nothing when there are too few. */
static inline void rate_of_step(const struct window_call *call, struct reset_list *resets,
                                bool uses_starts, size_t step, struct step_vector *out)
{
    const struct window_samples *floats = &call->floats;
    size_t size = window_size(floats, step);
    if (size == 0)
        return;
    size_t first = floats->first[step];
    size_t last = floats->last[step];
    int64_t end_ms = view_end(call->view, call->steps, step);
    struct rate_window window = {
        .range_start_ms = end_ms - call->view->range_ms,
        .range_end_ms = end_ms,
        .first_ms = floats->timestamps_ms[first],
        .last_ms = floats->timestamps_ms[last - 1],
        .sample_count = size,
        .first_value = floats->values[first],
        .is_counter = call->function != FUNCTION_DELTA,
        .is_rate = call->function == FUNCTION_RATE,
    };
    if (uses_starts)
        window.zero_ms = window_zero_instant(call, floats, first, window.range_start_ms);
    if (size == 1 && window.zero_ms == 0)
        return;
    while (resets->next < resets->count && resets->samples[resets->next] <= first)
        resets->next++;
    size_t resets_left = resets->count - resets->next;
    window.increase = increase_of_window(
        floats, first, last, resets_left == 0 ? NULL : resets->samples + resets->next, resets_left);
    /* The counter was zero at an instant within the range: what it had at first, it gained. */
    if (window.zero_ms != 0)
        window.increase += window.first_value;
    if (window.is_counter && uses_starts)
        window_check_start_overlap(call, floats, first, last);
    out->values[step] = window.increase * window_rate_factor(&window);
    step_set_present(out->present, step);
}

enum error_code window_rate(const struct window_call *call, struct step_vector *out,
                            struct error *error)
{
    struct reset_list resets = {0};
    bool uses_starts = window_uses_starts(call, &call->floats);
    if (call->function != FUNCTION_DELTA && !resets_find(call, &resets.samples, &resets.count))
        return evaluation_out_of_memory(call->evaluation, error);
    if (call->histograms.count == 0 && !uses_starts) {
        const struct rate_step *steps = rate_steps(call);
        if (steps == NULL)
            return evaluation_out_of_memory(call->evaluation, error);
        rate_of_floats(call, steps, resets.samples, resets.count, out);
        return ERROR_NONE;
    }
    for (size_t step = 0; step < call->steps->count; step++) {
        if (window_is_empty(&call->histograms, step)) {
            rate_of_step(call, &resets, uses_starts, step, out);
            continue;
        }
        if (!window_is_empty(&call->floats, step)) {
            window_warn_mixed(call);
            continue;
        }
        enum error_code code = window_histogram_rate(call, step, out, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- irate, idelta --------------------------------------------------------------------------- */

enum error_code window_instant_rate(const struct window_call *call, struct step_vector *out,
                                    struct error *error)
{
    const struct window_samples *floats = &call->floats;
    bool is_rate = call->function == FUNCTION_IRATE;
    bool uses_starts = window_uses_starts(call, floats);
    for (size_t step = 0; step < call->steps->count; step++) {
        if (!window_is_empty(&call->histograms, step)) {
            enum error_code code = window_histogram_instant_rate(call, step, out, error);
            if (code != ERROR_NONE)
                return code;
            continue;
        }
        if (window_size(floats, step) < 2)
            continue;
        size_t last = floats->last[step] - 1;
        int64_t interval_ms = floats->timestamps_ms[last] - floats->timestamps_ms[last - 1];
        assert(interval_ms > 0);
        double value = floats->values[last];
        if (!is_rate || !sample_is_reset(floats, uses_starts, last))
            value -= floats->values[last - 1];
        if (is_rate)
            value /= (double)interval_ms / 1000;
        out->values[step] = value;
        step_set_present(out->present, step);
    }
    return ERROR_NONE;
}

/* --- changes, resets ------------------------------------------------------------------------- */

/* One count per sample against the one before it, so that a window is a difference of sums. */
static uint32_t *changes_count(const struct window_call *call)
{
    const struct window_samples *floats = &call->floats;
    bool is_resets = call->function == FUNCTION_RESETS;
    bool uses_starts = is_resets && window_uses_starts(call, floats);
    uint32_t *sums = arena_array(call->lane->scratch, floats->count + 1, sizeof *sums);
    if (sums == NULL)
        return NULL;
    for (size_t i = 1; i < floats->count; i++) {
        double value = floats->values[i];
        double previous = floats->values[i - 1];
        bool counts = is_resets ? sample_is_reset(floats, uses_starts, i)
                                : value != previous && !(isnan(value) && isnan(previous));
        sums[i] = sums[i - 1] + counts;
    }
    return sums;
}

enum error_code window_changes(const struct window_call *call, struct step_vector *out,
                               struct error *error)
{
    const struct window_samples *floats = &call->floats;
    uint32_t *sums = changes_count(call);
    if (sums == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    for (size_t step = 0; step < call->steps->count; step++) {
        double count;
        if (!window_is_empty(&call->histograms, step)) {
            count = window_histogram_changes(call, step);
        } else {
            if (window_is_empty(floats, step))
                continue;
            size_t first = floats->first[step];
            size_t last = floats->last[step] - 1;
            if (call->mode == RANGE_ANCHORED) {
                int64_t start_ms = view_end(call->view, call->steps, step) - call->view->range_ms;
                if (floats->timestamps_ms[last] <= start_ms)
                    continue;
                while (first < last && floats->timestamps_ms[first + 1] <= start_ms)
                    first++;
            }
            count = sums[last] - sums[first];
        }
        out->values[step] = count;
        step_set_present(out->present, step);
    }
    return ERROR_NONE;
}
