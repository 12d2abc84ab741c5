#include <math.h>

#include "window.h"

/*
 * Sums of overlapping windows in O(samples + steps). A window is cut at a pivot: sums from each
 * sample up to the pivot are known, those behind it grow with the window; when a window begins
 * behind the pivot, its end becomes the next one. Nothing is ever subtracted, so no digits are
 * lost, and both halves are compensated sums.
 */

/* Below this, adding up each window anew costs no more. */
enum { OVERLAP_MIN = 4 };

struct half {
    double sum;
    double compensation;
};

static void half_add(struct half *half, double value)
{
    compensated_add(value, &half->sum, &half->compensation);
}

static bool is_worth_it(const struct window_call *call)
{
    const struct window_samples *floats = &call->floats;
    size_t total = 0;
    for (size_t step = 0; step < call->steps->count; step++)
        total += window_size(floats, step);
    if (total / OVERLAP_MIN <= floats->count)
        return false;
    /* Infinities and NaN would not leave the sums with their samples. */
    for (size_t i = 0; i < floats->count; i++)
        if (!isfinite(floats->values[i]))
            return false;
    return true;
}

bool window_sums_slide(const struct window_call *call, struct window_sums *sums_out)
{
    const struct window_samples *floats = &call->floats;
    struct arena *scratch = call->lane->scratch;
    *sums_out = (struct window_sums){0};
    if (!is_worth_it(call))
        return true;
    struct half *before = arena_allocate(scratch, floats->count * sizeof *before);
    sums_out->sums = arena_allocate(scratch, call->steps->count * sizeof *sums_out->sums);
    sums_out->compensations =
        arena_allocate(scratch, call->steps->count * sizeof *sums_out->compensations);
    if (before == NULL || sums_out->sums == NULL || sums_out->compensations == NULL)
        return false;
    size_t pivot = 0;
    size_t end = 0; /* after the samples that `behind` holds */
    struct half behind = {0};
    for (size_t step = 0; step < call->steps->count; step++) {
        if (window_is_empty(floats, step))
            continue;
        size_t first = floats->first[step];
        size_t last = floats->last[step];
        if (first >= pivot) {
            struct half half = {0};
            for (size_t i = last; i > first; i--) {
                half_add(&half, floats->values[i - 1]);
                before[i - 1] = half;
            }
            pivot = last;
            end = last;
            behind = (struct half){0};
        }
        for (; end < last; end++)
            half_add(&behind, floats->values[end]);
        struct half whole = before[first];
        half_add(&whole, behind.sum);
        sums_out->sums[step] = whole.sum;
        sums_out->compensations[step] = whole.compensation + behind.compensation;
    }
    return true;
}
