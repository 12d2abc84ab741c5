#include <assert.h>
#include <math.h>

#include "histogram_buckets.h"
#include "histogram_math.h"
#include "window.h"

/* --- Means and deviations -------------------------------------------------------------------- */

/* The value that stands for a bucket: its geometric mean, zero, or the middle of custom bounds. */
static double bucket_value(const struct bounded_bucket *bucket, bool is_custom)
{
    if (is_custom)
        return (bucket->upper + bucket->lower) / 2;
    if (bucket->lower <= 0 && bucket->upper >= 0)
        return 0;
    double value = sqrt(bucket->upper * bucket->lower);
    return bucket->upper < 0 ? -value : value;
}

static double histogram_variance(const struct histogram *histogram, struct arena *scratch)
{
    struct histogram_parts parts;
    size_t count;
    if (!histogram_take_apart(scratch, histogram, &parts))
        return NAN;
    struct bounded_bucket *buckets = histogram_bounded_buckets(scratch, &parts, &count);
    if (buckets == NULL)
        return NAN;
    double mean = parts.sum / parts.count;
    double sum = 0;
    double compensation = 0;
    for (size_t i = 0; i < count; i++) {
        double delta = bucket_value(&buckets[i], histogram_is_custom(histogram)) - mean;
        compensated_add(buckets[i].count * delta * delta, &sum, &compensation);
    }
    return (sum + compensation) / parts.count;
}

double histogram_statistic(enum function_id function, const struct histogram *histogram,
                           struct arena *scratch)
{
    switch (function) {
    case FUNCTION_HISTOGRAM_COUNT:
        return histogram_count(histogram);
    case FUNCTION_HISTOGRAM_SUM:
        return histogram->sum;
    case FUNCTION_HISTOGRAM_AVG:
        return histogram->sum / histogram_count(histogram);
    case FUNCTION_HISTOGRAM_STDVAR:
        return histogram_variance(histogram, scratch);
    default:
        assert(function == FUNCTION_HISTOGRAM_STDDEV);
        return sqrt(histogram_variance(histogram, scratch));
    }
}

/* --- Quantiles ------------------------------------------------------------------------------- */

/* A side of zero without observations bounds the zero bucket. */
static void zero_bucket_bound(const struct histogram_parts *parts, struct bounded_bucket *bucket)
{
    if (!parts->has_negative && parts->has_positive)
        bucket->lower = 0;
    else if (!parts->has_positive && parts->has_negative)
        bucket->upper = 0;
}

/* Where `fraction` of a bucket's observations lie below: exponential buckets are even on a
 * logarithmic scale. */
static double value_within(const struct bounded_bucket *bucket, double fraction, bool is_custom)
{
    if (is_custom || (bucket->lower <= 0 && bucket->upper >= 0))
        return bucket->lower + (bucket->upper - bucket->lower) * fraction;
    double lower = log2(fabs(bucket->lower));
    double upper = log2(fabs(bucket->upper));
    if (bucket->lower > 0)
        return exp2(lower + (upper - lower) * fraction);
    return -exp2(upper + (lower - upper) * (1 - fraction));
}

/* *among_nan_out: the rank is that of an observation of NaN, which no bucket has. */
static double quantile_of(const struct histogram_parts *parts, double quantile,
                          const struct bounded_bucket *buckets, size_t bucket_count,
                          bool *among_nan_out)
{
    bool is_custom = parts->schema == HISTOGRAM_SCHEMA_CUSTOM;
    /* From the nearer end; NaN observations are in the count only, so then from below. */
    bool is_forward = isnan(parts->sum) || quantile < 0.5;
    double rank = (is_forward ? quantile : 1 - quantile) * parts->count;
    struct bounded_bucket bucket = {0};
    double count = 0;
    *among_nan_out = false;
    for (size_t i = 0; i < bucket_count; i++) {
        bucket = buckets[is_forward ? i : bucket_count - 1 - i];
        if (bucket.count == 0)
            continue;
        count += bucket.count;
        if (count >= rank)
            break;
    }
    if (!is_custom && bucket.lower < 0 && bucket.upper > 0) {
        zero_bucket_bound(parts, &bucket);
    } else if (is_custom) {
        if (isinf(bucket.lower) && bucket.lower < 0) {
            if (bucket.upper <= 0)
                return bucket.upper;
            bucket.lower = 0;
        } else if (isinf(bucket.upper)) {
            return bucket.lower;
        }
    }
    if (count > parts->count)
        count = parts->count;
    *among_nan_out = count < rank && isnan(parts->sum);
    if (count < rank)
        return *among_nan_out ? NAN : bucket.upper;
    rank = is_forward ? rank - (count - bucket.count) : count - rank;
    return value_within(&bucket, rank / bucket.count, is_custom);
}

static void note_nan(struct evaluation *evaluation, struct text_range position,
                     struct text metric_name, struct lane *lane, const char *message)
{
    struct text quoted = text_quote(lane->scratch, metric_name);
    evaluation_annotate(evaluation, PROMQL_INFO, position, "%s%s%.*s", message,
                        metric_name.size > 0 ? " for metric name " : "",
                        metric_name.size > 0 ? (int)quoted.size : 0, quoted.data);
}

double histogram_quantile(struct evaluation *evaluation, double quantile,
                          const struct histogram *histogram, struct text metric_name,
                          struct text_range position, struct lane *lane)
{
    struct histogram_parts parts;
    size_t count;
    if (quantile < 0 || quantile > 1)
        return quantile < 0 ? -INFINITY : INFINITY;
    if (isnan(quantile) || histogram_count(histogram) == 0 ||
        !histogram_take_apart(lane->scratch, histogram, &parts))
        return NAN;
    struct bounded_bucket *buckets = histogram_bounded_buckets(lane->scratch, &parts, &count);
    if (buckets == NULL)
        return NAN;
    bool is_among_nan;
    double value = quantile_of(&parts, quantile, buckets, count, &is_among_nan);
    if (isnan(parts.sum)) {
        double observed = 0;
        for (size_t i = 0; i < count; i++)
            observed += buckets[i].count;
        if (is_among_nan)
            note_nan(evaluation, position, metric_name, lane,
                     "input to histogram_quantile has NaN observations, result is NaN");
        else if (observed < parts.count)
            note_nan(evaluation, position, metric_name, lane,
                     "input to histogram_quantile has NaN observations, result is skewed higher");
    }
    return value;
}

/* --- Fractions ------------------------------------------------------------------------------- */

/* The observations of a bucket below `value`, which lies in it. */
static double count_below(const struct bounded_bucket *bucket, double value, bool is_linear)
{
    if (is_linear)
        return bucket->count * (value - bucket->lower) / (bucket->upper - bucket->lower);
    double lower = log2(fabs(bucket->lower));
    double upper = log2(fabs(bucket->upper));
    double at = log2(fabs(value));
    double fraction =
        value > 0 ? (at - lower) / (upper - lower) : 1 - (at - upper) / (lower - upper);
    return bucket->count * fraction;
}

/* The rank of `value`: how many observations lie below it, of `all` that are not NaN. */
static double rank_of(const struct histogram_parts *parts, const struct bounded_bucket *buckets,
                      size_t count, double value, double all)
{
    bool is_custom = parts->schema == HISTOGRAM_SCHEMA_CUSTOM;
    double rank = 0;
    for (size_t i = 0; i < count && !(rank > all); i++) {
        struct bounded_bucket bucket = buckets[i];
        bool is_zero = bucket.lower <= 0 && bucket.upper >= 0;
        if (is_zero)
            zero_bucket_bound(parts, &bucket); /* and that of custom bounds where zero lies */
        if (bucket.lower >= value)
            return rank;
        if (bucket.upper > value) {
            /* Nothing is known of the distribution in a bucket without an end. */
            if (isinf(bucket.upper))
                return rank;
            if (!isinf(bucket.lower))
                rank += count_below(&bucket, value, is_custom || is_zero);
            else
                rank += bucket.count;
            return rank > all ? all : rank;
        }
        rank += bucket.count;
    }
    return all;
}

double histogram_fraction(struct evaluation *evaluation, double lower, double upper,
                          const struct histogram *histogram, struct text metric_name,
                          struct text_range position, struct lane *lane)
{
    struct histogram_parts parts;
    size_t count;
    if (isnan(lower) || isnan(upper) || histogram_count(histogram) == 0 ||
        !histogram_take_apart(lane->scratch, histogram, &parts))
        return NAN;
    if (lower >= upper)
        return 0;
    struct bounded_bucket *buckets = histogram_bounded_buckets(lane->scratch, &parts, &count);
    if (buckets == NULL)
        return NAN;
    double observed = 0;
    for (size_t i = 0; i < count; i++)
        observed += buckets[i].count;
    if (isnan(parts.sum) && observed < parts.count)
        note_nan(evaluation, position, metric_name, lane,
                 "input to histogram_fraction has NaN observations, which are excluded from all "
                 "fractions");
    double all = isnan(parts.sum) ? observed : parts.count;
    return (rank_of(&parts, buckets, count, upper, all) -
            rank_of(&parts, buckets, count, lower, all)) /
           parts.count;
}

/* --- Trimming -------------------------------------------------------------------------------- */

struct trim_state {
    double bound;
    enum histogram_trim trim;
    bool is_custom;
    double kept_count;
    double removed_sum;
    bool has_positive;
    bool has_negative;
};

/* What is kept of a bucket without an end; *middle_out stands for what is removed. */
static double open_bucket_kept(const struct trim_state *state, const struct bounded_bucket *bucket,
                               double *middle_out)
{
    bool keeps_lower = state->trim == HISTOGRAM_KEEP_LOWER;
    double bound = state->bound;
    *middle_out = 0;
    if (isinf(bucket->lower)) {
        if (keeps_lower && bound >= bucket->upper)
            return bucket->count;
        if (!keeps_lower && bound <= bucket->lower)
            return bucket->count;
        if (bound >= 0 && bucket->upper > bound && !isinf(bucket->upper)) {
            /* A first bucket with a positive end is taken to begin at zero. */
            *middle_out = keeps_lower ? (bound + bucket->upper) / 2 : bound / 2;
            double below = bucket->count * bound / bucket->upper;
            return keeps_lower ? below : bucket->count - below;
        }
        *middle_out = bucket->upper;
        return 0;
    }
    if (!keeps_lower && bound <= bucket->lower)
        return bucket->count;
    *middle_out = bucket->lower;
    return 0;
}

/* The count that stays of a bucket. */
static double bucket_trim(struct trim_state *state, const struct bounded_bucket *bucket,
                          bool is_positive)
{
    bool keeps_lower = state->trim == HISTOGRAM_KEEP_LOWER;
    double bound = state->bound;
    bool is_whole = keeps_lower ? bucket->upper <= bound : bucket->lower >= bound;
    bool is_cut = keeps_lower ? bucket->lower < bound : bucket->upper > bound;
    if (is_whole) {
        state->kept_count += bucket->count;
        return bucket->count;
    }
    double middle;
    double kept = 0;
    bool is_open = isinf(bucket->lower) || isinf(bucket->upper);
    if (is_open) {
        kept = open_bucket_kept(state, bucket, &middle);
        if (!is_cut)
            kept = 0;
    } else if (is_cut) {
        double below = count_below(bucket, bound, state->is_custom);
        kept = keeps_lower ? below : bucket->count - below;
        double product = fabs(bound) * fabs(keeps_lower ? bucket->lower : bucket->upper);
        middle = state->is_custom ? (bucket->lower + bucket->upper) / 2
                 : is_positive    ? sqrt(product)
                                  : -sqrt(product);
    } else {
        middle = state->is_custom ? (bucket->lower + bucket->upper) / 2
                                  : sqrt(bucket->lower * bucket->upper);
    }
    state->removed_sum += (bucket->count - kept) * middle;
    state->kept_count += kept;
    return kept;
}

static void side_signs(struct trim_state *state, const struct bounded_bucket *bucket,
                       bool is_positive)
{
    if (!state->is_custom) {
        state->has_positive |= is_positive;
        state->has_negative |= !is_positive;
        return;
    }
    if (bucket->upper > 0)
        state->has_positive = true;
    if (bucket->upper <= 0 || bucket->lower < 0)
        state->has_negative = true;
}

struct histogram *histogram_trimmed(struct arena *arena, const struct histogram *histogram,
                                    double bound, enum histogram_trim trim)
{
    struct histogram_parts parts;
    size_t count;
    if (!histogram_take_apart(arena, histogram, &parts))
        return NULL;
    struct histogram_parts unzeroed = parts;
    unzeroed.zero_count = 0; /* buckets keep their own bounds */
    struct bounded_bucket *buckets = histogram_bounded_buckets(arena, &unzeroed, &count);
    if (buckets == NULL)
        return NULL;
    struct trim_state state = {bound, trim, histogram_is_custom(histogram), 0, 0, false, false};
    for (size_t i = 0; i < parts.positive.count; i++) {
        const struct bounded_bucket *bucket = &buckets[parts.negative.count + i];
        side_signs(&state, bucket, true);
        parts.positive.buckets[i].count = bucket_trim(&state, bucket, true);
    }
    for (size_t i = 0; i < parts.negative.count; i++) {
        const struct bounded_bucket *bucket = &buckets[parts.negative.count - 1 - i];
        side_signs(&state, bucket, false);
        parts.negative.buckets[i].count = bucket_trim(&state, bucket, false);
    }
    if (parts.zero_count > 0) {
        struct bounded_bucket zero = {-parts.zero_threshold, parts.zero_threshold,
                                      parts.zero_count};
        if (!parts.has_negative && parts.has_positive)
            zero.lower = 0;
        else if (!parts.has_positive && parts.has_negative)
            zero.upper = 0;
        double below = bound <= zero.lower   ? 0
                       : bound >= zero.upper ? zero.count
                                             : count_below(&zero, bound, true);
        parts.zero_count = trim == HISTOGRAM_KEEP_LOWER ? below : zero.count - below;
        state.kept_count += parts.zero_count;
    }
    double sum = state.kept_count == 0 ? 0 : parts.sum - state.removed_sum;
    if ((!state.has_negative && sum < 0) || (!state.has_positive && sum > 0))
        sum = 0;
    parts.count = state.kept_count;
    parts.sum = sum;
    return histogram_put_together(arena, &parts);
}
