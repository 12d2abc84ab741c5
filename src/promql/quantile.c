#include "quantile.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* --- Values ---------------------------------------------------------------------------------- */

static void swap_values(double *values, ptrdiff_t left, ptrdiff_t right)
{
    double value = values[left];
    values[left] = values[right];
    values[right] = value;
}

/* NaN first; returns how many. */
static size_t move_nans(double *values, size_t count)
{
    size_t nans = 0;
    for (size_t i = 0; i < count; i++)
        if (isnan(values[i]))
            swap_values(values, (ptrdiff_t)i, (ptrdiff_t)nans++);
    return nans;
}

static int compare_values(const void *left_pointer, const void *right_pointer)
{
    double left = *(const double *)left_pointer;
    double right = *(const double *)right_pointer;
    return left < right ? -1 : left > right;
}

/* The middle one of the first, the middle and the last goes to the middle. */
static double pivot_of(double *values, ptrdiff_t first, ptrdiff_t last)
{
    ptrdiff_t middle = first + (last - first) / 2;
    if (values[middle] < values[first])
        swap_values(values, middle, first);
    if (values[last] < values[middle])
        swap_values(values, last, middle);
    if (values[middle] < values[first])
        swap_values(values, middle, first);
    return values[middle];
}

/*
 * Hoare's selection: afterwards the value at `wanted` is the one that sorting would put there, none
 * in front of it is larger and none behind it smaller. What does not get smaller quickly is sorted.
 */
static void select_value(double *values, size_t count, size_t wanted)
{
    enum { ROUNDS_MAX = 64 };
    ptrdiff_t first = 0, last = (ptrdiff_t)count - 1, at = (ptrdiff_t)wanted;
    for (int round = 0; first < last && round < ROUNDS_MAX; round++) {
        double pivot = pivot_of(values, first, last);
        ptrdiff_t left = first, right = last;
        while (left <= right) {
            while (values[left] < pivot)
                left++;
            while (pivot < values[right])
                right--;
            if (left <= right)
                swap_values(values, left++, right--);
        }
        /* [first, right] <= pivot <= [left, last]; what is between them is the pivot. */
        if (at <= right)
            last = right;
        else if (at >= left)
            first = left;
        else
            return;
    }
    if (first < last)
        qsort(values + first, (size_t)(last - first) + 1, sizeof *values, compare_values);
}

static double least_of(const double *values, size_t count)
{
    double least = values[0];
    for (size_t i = 1; i < count; i++)
        least = values[i] < least ? values[i] : least;
    return least;
}

/* The value at `rank` among sorted ones, NaN first. */
static void value_pair(double *values, size_t count, size_t rank, double *lower_out,
                       double *upper_out)
{
    size_t nans = move_nans(values, count);
    *lower_out = *upper_out = NAN;
    if (rank < nans) {
        if (rank + 1 == nans && nans < count)
            *upper_out = least_of(values + nans, count - nans);
        return;
    }
    select_value(values + nans, count - nans, rank - nans);
    *lower_out = values[rank];
    *upper_out = rank + 1 < count ? least_of(values + rank + 1, count - rank - 1) : values[rank];
}

/* True when the quantile is what it is without any look at the values. */
static bool is_known(double quantile, size_t count, double *result_out)
{
    *result_out = quantile < 0 ? -INFINITY : INFINITY;
    if (count == 0 || isnan(quantile))
        *result_out = NAN;
    return !(count > 0 && quantile >= 0 && quantile <= 1);
}

static double interpolate(double lower, double upper, double rank)
{
    double weight = rank - floor(rank);
    return lower * (1 - weight) + upper * weight;
}

double quantile_of_values(double quantile, double *values, size_t count)
{
    double lower, upper;
    if (is_known(quantile, count, &lower))
        return lower;
    double rank = quantile * (double)(count - 1);
    value_pair(values, count, (size_t)floor(rank), &lower, &upper);
    return interpolate(lower, upper, rank);
}

static double value_of_key(uint64_t key)
{
    if (key == 0)
        return NAN;
    return double_from_bits(key >> 63 ? key & ~(UINT64_C(1) << 63) : ~key);
}

double quantile_of_keys(double quantile, const uint64_t *keys, size_t count)
{
    double known;
    if (is_known(quantile, count, &known))
        return known;
    double rank = quantile * (double)(count - 1);
    size_t lower = (size_t)floor(rank);
    size_t upper = lower + 1 < count ? lower + 1 : lower;
    return interpolate(value_of_key(keys[lower]), value_of_key(keys[upper]), rank);
}

/* --- Classic buckets ------------------------------------------------------------------------- */

static int compare_buckets(const void *left_pointer, const void *right_pointer)
{
    double left = ((const struct classic_bucket *)left_pointer)->upper_bound;
    double right = ((const struct classic_bucket *)right_pointer)->upper_bound;
    return left < right ? -1 : left > right;
}

/* Sort, and make one of buckets with the same bound. Returns how many are left. */
static size_t buckets_sort(struct classic_bucket *buckets, size_t count)
{
    bool is_sorted = true;
    for (size_t i = 1; i < count; i++)
        is_sorted &= buckets[i - 1].upper_bound < buckets[i].upper_bound;
    if (is_sorted)
        return count;
    qsort(buckets, count, sizeof *buckets, compare_buckets);
    size_t kept = 0;
    for (size_t i = 1; i < count; i++) {
        if (buckets[i].upper_bound == buckets[kept].upper_bound)
            buckets[kept].count += buckets[i].count;
        else
            buckets[++kept] = buckets[i];
    }
    return kept + 1;
}

/*
 * Cumulative counts that fall: tiny differences come from rounding and are levelled silently,
 * others from broken data and are told.
 */
static void buckets_make_monotonic(struct classic_bucket *buckets, size_t count,
                                   struct bucket_quantile *result)
{
    static const double TOLERANCE = 1e-12;
    double previous = buckets[0].count;
    for (size_t i = 1; i < count; i++) {
        double current = buckets[i].count;
        if (current == previous)
            continue;
        /* As the reference compares floats: relative to the sum of both, near zero absolutely. */
        double sum = fabs(previous) + fabs(current);
        double difference = fabs(previous - current);
        double scale = fmin(sum, 1.7976931348623157e308);
        bool is_rounding = previous == 0 || current == 0 || sum < 2.2250738585072014e-308
                               ? difference < TOLERANCE * 2.2250738585072014e-308
                               : difference / scale < TOLERANCE;
        if (is_rounding) {
            buckets[i].count = previous;
            continue;
        }
        if (current < previous) {
            if (!result->forced_monotonic)
                result->fixed_bucket_min = buckets[i].upper_bound;
            result->fixed_bucket_max = buckets[i].upper_bound;
            result->difference_max = fmax(result->difference_max, previous - current);
            result->forced_monotonic = true;
            buckets[i].count = previous;
            continue;
        }
        previous = current;
    }
}

struct bucket_quantile quantile_of_buckets(double quantile, struct classic_bucket *buckets,
                                           size_t count)
{
    assert(count > 0);
    struct bucket_quantile result = {.value = NAN};
    if (isnan(quantile))
        return result;
    if (quantile < 0 || quantile > 1) {
        result.value = quantile < 0 ? -INFINITY : INFINITY;
        return result;
    }
    count = buckets_sort(buckets, count);
    if (!isinf(buckets[count - 1].upper_bound) || buckets[count - 1].upper_bound < 0)
        return result;
    buckets_make_monotonic(buckets, count, &result);
    double observations = buckets[count - 1].count;
    if (count < 2 || observations == 0 || isnan(observations))
        return result;
    double rank = quantile * observations;
    size_t bucket = 0;
    while (bucket < count - 1 && !(buckets[bucket].count >= rank))
        bucket++;
    if (bucket == count - 1) {
        result.value = buckets[count - 2].upper_bound;
        return result;
    }
    double start = 0;
    double end = buckets[bucket].upper_bound;
    double inside = buckets[bucket].count;
    if (bucket == 0 && end <= 0) {
        result.value = end;
        return result;
    }
    if (bucket > 0) {
        start = buckets[bucket - 1].upper_bound;
        inside -= buckets[bucket - 1].count;
        rank -= buckets[bucket - 1].count;
    }
    result.value = start + (end - start) * (rank / inside);
    return result;
}

double fraction_of_buckets(double lower, double upper, struct classic_bucket *buckets, size_t count)
{
    assert(count > 0);
    struct bucket_quantile repair = {0};
    count = buckets_sort(buckets, count);
    if (!isinf(buckets[count - 1].upper_bound) || buckets[count - 1].upper_bound < 0)
        return NAN;
    buckets_make_monotonic(buckets, count, &repair);
    double observations = buckets[count - 1].count;
    if (observations == 0 || isnan(observations) || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    double rank = 0;
    double lower_rank = 0;
    double upper_rank = 0;
    bool has_lower = false;
    bool has_upper = false;
    for (size_t i = 0; i < count && !(has_lower && has_upper); i++) {
        double end = buckets[i].upper_bound;
        double start = i > 0 ? buckets[i - 1].upper_bound : end > 0 ? 0 : -INFINITY;
        double inside = buckets[i].count - (i > 0 ? buckets[i - 1].count : 0);
        if (!has_lower && start >= lower) {
            lower_rank = rank;
            has_lower = true;
        }
        if (!has_upper && start >= upper) {
            upper_rank = rank;
            has_upper = true;
        }
        /* Nothing is known of the distribution in a bucket without an end. */
        bool is_open = isinf(start) || isinf(end);
        if (!has_lower && start < lower && end > lower) {
            lower_rank = is_open ? (isinf(end) ? rank : rank + inside)
                                 : rank + inside * (lower - start) / (end - start);
            has_lower = true;
        }
        if (!has_upper && start < upper && end > upper) {
            upper_rank = is_open ? (isinf(end) ? rank : rank + inside)
                                 : rank + inside * (upper - start) / (end - start);
            has_upper = true;
        }
        rank += inside;
    }
    if (!has_lower || lower_rank > observations)
        lower_rank = observations;
    if (!has_upper || upper_rank > observations)
        upper_rank = observations;
    return (upper_rank - lower_rank) / observations;
}
