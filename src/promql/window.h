/*
 * window - range functions: slide over the samples of one series for all steps at once.
 *
 * A kernel gets the samples of a series as columns, without stale markers, and for each step the
 * part of them that lies in its window (end - range, end]. Floats and histograms come as two
 * columns, as the functions of Prometheus see them.
 */
#ifndef PROMQL_WINDOW_H
#define PROMQL_WINDOW_H

#include "columns_source.h"

/* One kind of samples of a series; the window of a step is [first[step], last[step]). */
struct window_samples {
    size_t count;
    const int64_t *timestamps_ms;
    const double *values;                      /* floats only */
    const struct histogram *const *histograms; /* histograms only */
    const int64_t *start_timestamps_ms;        /* NULL: none known */
    const uint32_t *first;
    const uint32_t *last;
};

enum { WINDOW_PARAMETERS_MAX = 2 };

/* What a kernel has made of the windows of floats alone: most series have the same as the one
 * before. The kernel's own, in the lane's memory. */
struct window_memo {
    void *steps;
    bool is_made; /* for the windows of the call */
};

struct window_call {
    struct evaluation *evaluation;
    struct lane *lane;
    struct columns_source *source;
    size_t series; /* index in the source */
    enum function_id function;
    const struct step_range *steps;
    const struct time_view *view;
    enum range_mode mode;
    struct window_samples floats;
    struct window_samples histograms; /* count 0 in most series */
    struct window_memo *memo;
    const double *parameters[WINDOW_PARAMETERS_MAX]; /* [steps] each */
    struct text_range range_position;                /* of the range vector argument */
    struct text_range call_position;                 /* of the first argument */
    struct text_range parameter_position;            /* of the first scalar argument */
};

/* Fills in `out`, in which nothing is present yet; out->histograms is [steps] NULLs in which
 * histograms may be put, from the lane's scratch. Errors: INVALID, LIMIT, OUT_OF_MEMORY. */
typedef enum error_code window_kernel(const struct window_call *call, struct step_vector *out,
                                      struct error *error);

/* NULL: not a range function. */
window_kernel *window_kernel_of(enum function_id function);

window_kernel window_rate;          /* rate, increase, delta */
window_kernel window_instant_rate;  /* irate, idelta */
window_kernel window_extended_rate; /* the same with anchored and smoothed */
window_kernel window_changes;       /* changes, resets */
window_kernel window_sum;           /* sum_over_time, avg_over_time */
window_kernel window_extreme;       /* min, max and their timestamps */
window_kernel window_variance;      /* stddev, stdvar */
window_kernel window_quantile;
window_kernel window_mad;
window_kernel window_count;
window_kernel window_present;
window_kernel window_edge;       /* first, last and their timestamps */
window_kernel window_regression; /* deriv, predict_linear */
window_kernel window_smoothing;

/* A call of a range function as a stream. */
enum error_code window_stream(struct evaluation *evaluation, const struct expression *call,
                              const struct step_range *steps, struct stream **stream_out,
                              struct error *error);

/* The metric's name of the series, for annotations; lives as long as the lane's scratch. */
struct text window_metric_name(const struct window_call *call);

void window_warn_mixed(const struct window_call *call);
/* "ignored histograms in a range containing both ...". */
void window_note_ignored_histograms(const struct window_call *call);

static inline bool window_is_empty(const struct window_samples *samples, size_t step)
{
    return samples->count == 0 || samples->first[step] >= samples->last[step];
}

/* Functions of floats alone: true when the step has floats; histograms beside them are told. */
static inline bool window_has_floats(const struct window_call *call, size_t step)
{
    if (window_is_empty(&call->floats, step))
        return false;
    if (!window_is_empty(&call->histograms, step))
        window_note_ignored_histograms(call);
    return true;
}

static inline size_t window_size(const struct window_samples *samples, size_t step)
{
    return window_is_empty(samples, step) ? 0 : samples->last[step] - samples->first[step];
}

/* The sum of each step's window of floats is sums[step] + compensations[step]; NULL where adding
 * up each window is as good, or needed (values that are not finite). In the lane's scratch. */
struct window_sums {
    double *sums;          /* [steps] */
    double *compensations; /* [steps] */
};

/* False when memory is out. */
bool window_sums_slide(const struct window_call *call, struct window_sums *sums_out);

/* Neumaier's form of Kahan's sum: the sum is *sum + *compensation. */
static inline void compensated_add(double value, double *sum, double *compensation)
{
    double total = *sum + value;
    if (__builtin_isinf(total))
        *compensation = 0;
    else if (__builtin_fabs(*sum) >= __builtin_fabs(value))
        *compensation += (*sum - total) + value;
    else
        *compensation += (value - total) + *sum;
    *sum = total;
}

#endif
