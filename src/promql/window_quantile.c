/* quantile_over_time and mad_over_time: what needs the values of each window in order. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "quantile.h"
#include "window.h"

static size_t window_size_max(const struct window_call *call)
{
    size_t size = 0;
    for (size_t step = 0; step < call->steps->count; step++)
        if (window_size(&call->floats, step) > size)
            size = window_size(&call->floats, step);
    return size;
}

/* --- A window that stays sorted --------------------------------------------------------------- */

/* The values in [first, last) of the series. */
struct sorted_window {
    const double *values;
    uint64_t *keys; /* [last - first], ascending */
    size_t first;
    size_t last;
};

/* The number of keys below `key`. */
static size_t keys_below(const uint64_t *keys, size_t count, uint64_t key)
{
    size_t low = 0;
    while (count > 0) {
        size_t half = count / 2;
        bool is_below = keys[low + half] < key;
        low = is_below ? low + half + 1 : low;
        count = is_below ? count - half - 1 : half;
    }
    return low;
}

static void window_take(struct sorted_window *window)
{
    size_t count = window->last - window->first;
    uint64_t key = quantile_key(window->values[window->last++]);
    size_t at = keys_below(window->keys, count, key);
    memmove(window->keys + at + 1, window->keys + at, (count - at) * sizeof key);
    window->keys[at] = key;
}

static void window_drop(struct sorted_window *window)
{
    size_t count = window->last - window->first;
    uint64_t key = quantile_key(window->values[window->first++]);
    size_t at = keys_below(window->keys, count, key);
    memmove(window->keys + at, window->keys + at + 1, (count - at - 1) * sizeof key);
}

/*
 * Windows ascend at both ends and mostly overlap, so a value is put in its place once and taken out
 * once. With n values that moves n / 2 of them on average, which is less than sorting up to some
 * thousands.
 */
static void window_move(struct sorted_window *window, size_t first, size_t last)
{
    assert(first >= window->first && last >= window->last);
    if (first >= window->last) /* nothing stays */
        window->first = window->last = first;
    while (window->first < first)
        window_drop(window);
    while (window->last < last)
        window_take(window);
}

/* --- Functions -------------------------------------------------------------------------------- */

enum { SLIDE_SIZE_MAX = 2048 };

static double quantile_of_window(const struct window_samples *floats, size_t step, double quantile,
                                 double *values)
{
    size_t size = window_size(floats, step);
    memcpy(values, floats->values + floats->first[step], size * sizeof *values);
    return quantile_of_values(quantile, values, size);
}

enum error_code window_quantile(const struct window_call *call, struct step_vector *out,
                                struct error *error)
{
    const struct window_samples *floats = &call->floats;
    size_t size_max = window_size_max(call);
    struct sorted_window window = {.values = floats->values};
    double *values = arena_allocate(call->lane->scratch, size_max * sizeof *values);
    window.keys = arena_allocate(call->lane->scratch, size_max * sizeof *window.keys);
    if (values == NULL || window.keys == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    bool slides = size_max <= SLIDE_SIZE_MAX && call->steps->count > 1;
    for (size_t step = 0; step < call->steps->count; step++) {
        double quantile = call->parameters[0][step];
        if (window_is_empty(floats, step))
            continue;
        if (isnan(quantile) || quantile < 0 || quantile > 1)
            evaluation_annotate_quantile(call->evaluation, quantile, call->parameter_position);
        if (!window_has_floats(call, step))
            continue;
        if (slides)
            window_move(&window, floats->first[step], floats->last[step]);
        step_vector_set(out, step,
                        slides ? quantile_of_keys(quantile, window.keys, window_size(floats, step))
                               : quantile_of_window(floats, step, quantile, values));
    }
    return ERROR_NONE;
}

enum error_code window_mad(const struct window_call *call, struct step_vector *out,
                           struct error *error)
{
    const struct window_samples *floats = &call->floats;
    double *values = arena_allocate(call->lane->scratch, window_size_max(call) * sizeof *values);
    if (values == NULL)
        return evaluation_out_of_memory(call->evaluation, error);
    for (size_t step = 0; step < call->steps->count; step++) {
        if (!window_has_floats(call, step))
            continue;
        size_t size = window_size(floats, step);
        double median = quantile_of_window(floats, step, 0.5, values);
        if (isnan(values[0])) { /* NaN is in front now */
            step_vector_set(out, step, NAN);
            continue;
        }
        for (size_t i = 0; i < size; i++)
            values[i] = fabs(floats->values[floats->first[step] + i] - median);
        step_vector_set(out, step, quantile_of_values(0.5, values, size));
    }
    return ERROR_NONE;
}
