#include "histogram_math.h"

#include <assert.h>
#include <math.h>

#include "histogram_buckets.h"

/* --- One histogram --------------------------------------------------------------------------- */

struct histogram *histogram_compacted(struct arena *arena, const struct histogram *histogram)
{
    struct histogram_parts parts;
    if (!histogram_take_apart(arena, histogram, &parts))
        return NULL;
    return histogram_put_together(arena, &parts);
}

static void side_scale(struct bucket_list *list, double factor)
{
    for (size_t i = 0; i < list->count; i++)
        list->buckets[i].count *= factor;
}

struct histogram *histogram_scaled(struct arena *arena, const struct histogram *histogram,
                                   double factor)
{
    struct histogram_parts parts;
    if (!histogram_take_apart(arena, histogram, &parts))
        return NULL;
    parts.zero_count *= factor;
    parts.count *= factor;
    parts.sum *= factor;
    side_scale(&parts.positive, factor);
    side_scale(&parts.negative, factor);
    if (factor < 0)
        parts.reset = HISTOGRAM_RESET_GAUGE;
    return histogram_put_together(arena, &parts);
}

struct histogram *histogram_divided(struct arena *arena, const struct histogram *histogram,
                                    double divisor)
{
    struct histogram_parts parts;
    if (!histogram_take_apart(arena, histogram, &parts))
        return NULL;
    parts.zero_count /= divisor;
    parts.count /= divisor;
    parts.sum /= divisor;
    for (size_t i = 0; i < parts.positive.count; i++)
        parts.positive.buckets[i].count /= divisor;
    for (size_t i = 0; i < parts.negative.count; i++)
        parts.negative.buckets[i].count /= divisor;
    if (divisor == 0) {
        /* Nothing sensible is left in the buckets. */
        parts.positive.count = 0;
        parts.negative.count = 0;
    }
    if (divisor < 0)
        parts.reset = HISTOGRAM_RESET_GAUGE;
    return histogram_put_together(arena, &parts);
}

struct histogram *histogram_at_schema(struct arena *arena, const struct histogram *histogram,
                                      int32_t schema)
{
    struct histogram_parts parts;
    if (!histogram_take_apart(arena, histogram, &parts))
        return NULL;
    parts_reduce(arena, &parts, schema);
    return histogram_put_together(arena, &parts);
}

/* --- Sums ------------------------------------------------------------------------------------ */

/* The hint of a sum: a gauge stays one, and what is not known makes the sum unknown. */
static enum histogram_reset hint_of_sum(enum histogram_reset left, enum histogram_reset right,
                                        bool *collide)
{
    if (left == right)
        return left;
    if (left == HISTOGRAM_RESET_GAUGE || right == HISTOGRAM_RESET_GAUGE)
        return HISTOGRAM_RESET_GAUGE;
    if (left != HISTOGRAM_RESET_UNKNOWN && right != HISTOGRAM_RESET_UNKNOWN)
        *collide = true;
    return HISTOGRAM_RESET_UNKNOWN;
}

static bool side_add(struct arena *arena, struct bucket_list *left, const struct bucket_list *right,
                     double sign)
{
    struct bucket *buckets = arena_allocate(arena, (left->count + right->count) * sizeof *buckets);
    if (buckets == NULL)
        return false;
    size_t count = 0;
    size_t i = 0;
    size_t j = 0;
    while (i < left->count || j < right->count) {
        bool takes_left = j == right->count ||
                          (i < left->count && left->buckets[i].index <= right->buckets[j].index);
        bool takes_right = i == left->count ||
                           (j < right->count && right->buckets[j].index <= left->buckets[i].index);
        struct bucket bucket = {0};
        if (takes_left)
            bucket = left->buckets[i++];
        if (takes_right) {
            bucket.index = right->buckets[j].index;
            bucket.count += sign * right->buckets[j++].count;
        }
        if (bucket.count != 0)
            buckets[count++] = bucket;
    }
    *left = (struct bucket_list){buckets, count};
    return true;
}

/* Buckets that the zero bucket has swallowed leave. */
static void side_trim(struct bucket_list *list, int32_t schema, double threshold)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (histogram_exponential_bound(schema, list->buckets[i].index) > threshold)
            list->buckets[kept++] = list->buckets[i];
    list->count = kept;
}

static void zero_widen(struct histogram_parts *parts, double *threshold)
{
    parts->zero_count = parts_zero_count(parts, threshold);
    parts->zero_threshold = *threshold;
    side_trim(&parts->positive, parts->schema, *threshold);
    side_trim(&parts->negative, parts->schema, *threshold);
}

/* Give both the same zero threshold, the lowest that cuts no bucket of either. */
static void zero_reconcile(struct histogram_parts *left, struct histogram_parts *right)
{
    while (left->zero_threshold != right->zero_threshold) {
        double threshold = fmax(left->zero_threshold, right->zero_threshold);
        if (left->zero_threshold < threshold)
            zero_widen(left, &threshold);
        if (right->zero_threshold < threshold)
            zero_widen(right, &threshold);
    }
}

static bool bounds_equal(const struct histogram_parts *left, const struct histogram_parts *right)
{
    if (left->bound_count != right->bound_count)
        return false;
    for (size_t i = 0; i < left->bound_count; i++)
        if (left->bounds[i] != right->bounds[i])
            return false;
    return true;
}

/* Bounds that both have; the buckets between them are added up. */
static bool bounds_intersect(struct arena *arena, const struct histogram_parts *left,
                             const struct histogram_parts *right, const double **bounds_out,
                             size_t *count_out)
{
    double *bounds = arena_allocate(arena, (left->bound_count + 1) * sizeof *bounds);
    if (bounds == NULL)
        return false;
    size_t count = 0;
    size_t j = 0;
    for (size_t i = 0; i < left->bound_count; i++) {
        while (j < right->bound_count && right->bounds[j] < left->bounds[i])
            j++;
        if (j < right->bound_count && right->bounds[j] == left->bounds[i])
            bounds[count++] = left->bounds[i];
    }
    *bounds_out = bounds;
    *count_out = count;
    return true;
}

static void bounds_take(struct histogram_parts *parts, const double *bounds, size_t count)
{
    size_t kept = 0;
    size_t target = 0;
    for (size_t i = 0; i < parts->positive.count; i++) {
        struct bucket bucket = parts->positive.buckets[i];
        double upper = bucket.index >= 0 && (size_t)bucket.index < parts->bound_count
                           ? parts->bounds[bucket.index]
                           : INFINITY;
        while (target < count && bounds[target] < upper)
            target++;
        if (kept > 0 && parts->positive.buckets[kept - 1].index == (int32_t)target)
            parts->positive.buckets[kept - 1].count += bucket.count;
        else
            parts->positive.buckets[kept++] = (struct bucket){(int32_t)target, bucket.count};
    }
    parts->positive.count = kept;
    parts->bounds = bounds;
    parts->bound_count = count;
}

static bool layouts_reconcile(struct arena *arena, struct histogram_parts *left,
                              struct histogram_parts *right, struct histogram_sum_notes *notes)
{
    if (left->schema != HISTOGRAM_SCHEMA_CUSTOM) {
        zero_reconcile(left, right);
        return parts_reduce(arena, left, right->schema) && parts_reduce(arena, right, left->schema);
    }
    if (bounds_equal(left, right))
        return true;
    const double *bounds;
    size_t count;
    if (!bounds_intersect(arena, left, right, &bounds, &count))
        return false;
    bounds_take(left, bounds, count);
    bounds_take(right, bounds, count);
    notes->bounds_reconciled = true;
    return true;
}

enum histogram_sum_result histogram_sum(struct arena *arena, const struct histogram *left,
                                        const struct histogram *right, double sign,
                                        struct histogram **sum_out,
                                        struct histogram_sum_notes *notes_out)
{
    *notes_out = (struct histogram_sum_notes){0};
    if (histogram_is_custom(left) != histogram_is_custom(right))
        return HISTOGRAM_SUM_INCOMPATIBLE;
    struct histogram_parts sum;
    struct histogram_parts other;
    if (!histogram_take_apart(arena, left, &sum) || !histogram_take_apart(arena, right, &other))
        return HISTOGRAM_SUM_OUT_OF_MEMORY;
    sum.reset = hint_of_sum(left->reset, right->reset, &notes_out->hints_collide);
    if (!layouts_reconcile(arena, &sum, &other, notes_out) ||
        !side_add(arena, &sum.positive, &other.positive, sign) ||
        !side_add(arena, &sum.negative, &other.negative, sign))
        return HISTOGRAM_SUM_OUT_OF_MEMORY;
    sum.zero_count += sign * other.zero_count;
    sum.count += sign * other.count;
    sum.sum += sign * other.sum;
    *sum_out = histogram_put_together(arena, &sum);
    return *sum_out == NULL ? HISTOGRAM_SUM_OUT_OF_MEMORY : HISTOGRAM_SUM_DONE;
}

/* --- Comparing ------------------------------------------------------------------------------- */

/* Whether a bucket of `previous` beyond the zero bucket has more than the same one now. */
static bool side_falls(const struct bucket_list *current, const struct bucket_list *previous,
                       int32_t schema, double threshold)
{
    size_t i = 0;
    for (size_t j = 0; j < previous->count; j++) {
        const struct bucket *bucket = &previous->buckets[j];
        if (schema != HISTOGRAM_SCHEMA_CUSTOM &&
            histogram_exponential_bound(schema, bucket->index) <= threshold)
            continue;
        while (i < current->count && current->buckets[i].index < bucket->index)
            i++;
        double now = i < current->count && current->buckets[i].index == bucket->index
                         ? current->buckets[i].count
                         : 0;
        if (now < bucket->count)
            return true;
    }
    return false;
}

bool histogram_is_reset(const struct histogram *current, const struct histogram *previous,
                        struct arena *scratch)
{
    if (current->reset == HISTOGRAM_RESET_YES)
        return true;
    if (current->reset == HISTOGRAM_RESET_NO)
        return false;
    if (histogram_count(current) < histogram_count(previous) ||
        histogram_is_custom(current) != histogram_is_custom(previous))
        return true;
    struct histogram_parts now;
    struct histogram_parts before;
    if (!histogram_take_apart(scratch, current, &now) ||
        !histogram_take_apart(scratch, previous, &before))
        return false; /* memory is out: the query ends anyway */
    if (histogram_is_custom(current)) {
        struct histogram_sum_notes notes;
        if (!layouts_reconcile(scratch, &now, &before, &notes))
            return false;
        return side_falls(&now.positive, &before.positive, now.schema, 0);
    }
    if (now.schema > before.schema || now.zero_threshold < before.zero_threshold)
        return true;
    double threshold = now.zero_threshold;
    double zero_count = parts_zero_count(&before, &threshold);
    if (threshold != now.zero_threshold || now.zero_count < zero_count)
        return true;
    parts_reduce(scratch, &before, now.schema);
    return side_falls(&now.positive, &before.positive, now.schema, now.zero_threshold) ||
           side_falls(&now.negative, &before.negative, now.schema, now.zero_threshold);
}

static bool numbers_equal(double left, double right)
{
    return double_to_bits(left) == double_to_bits(right);
}

static bool sides_equal(const struct bucket_list *left, const struct bucket_list *right)
{
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++)
        if (left->buckets[i].index != right->buckets[i].index ||
            !numbers_equal(left->buckets[i].count, right->buckets[i].count))
            return false;
    return true;
}

bool histogram_values_equal(const struct histogram *left, const struct histogram *right,
                            struct arena *scratch)
{
    struct histogram_parts first;
    struct histogram_parts second;
    if (!histogram_take_apart(scratch, left, &first) ||
        !histogram_take_apart(scratch, right, &second))
        return false;
    return first.schema == second.schema && numbers_equal(first.count, second.count) &&
           numbers_equal(first.sum, second.sum) &&
           (first.schema == HISTOGRAM_SCHEMA_CUSTOM
                ? bounds_equal(&first, &second)
                : numbers_equal(first.zero_threshold, second.zero_threshold) &&
                      numbers_equal(first.zero_count, second.zero_count)) &&
           sides_equal(&first.positive, &second.positive) &&
           sides_equal(&first.negative, &second.negative);
}

/* --- Text ------------------------------------------------------------------------------------ */

static struct text bucket_text(struct arena *arena, struct text text,
                               const struct bounded_bucket *bucket, bool is_custom)
{
    char lower[NUMBER_TEXT_BYTES];
    char upper[NUMBER_TEXT_BYTES];
    char count[NUMBER_TEXT_BYTES];
    bool is_zero = !is_custom && bucket->lower <= 0 && bucket->upper >= 0;
    bool lower_closed = is_zero || bucket->upper < 0 || (is_custom && isinf(bucket->lower));
    bool upper_closed = is_zero || bucket->upper > 0 || is_custom;
    return arena_format(arena, "%.*s, %c%s,%s%c:%s", TEXT_ARGUMENTS(text), lower_closed ? '[' : '(',
                        number_text(lower, bucket->lower), number_text(upper, bucket->upper),
                        upper_closed ? ']' : ')', number_text(count, bucket->count));
}

struct text histogram_text(const struct histogram *histogram, struct arena *arena)
{
    struct histogram_parts parts;
    size_t count;
    if (!histogram_take_apart(arena, histogram, &parts))
        return (struct text){0};
    struct bounded_bucket *buckets = histogram_bounded_buckets(arena, &parts, &count);
    if (buckets == NULL)
        return (struct text){0};
    char observations[NUMBER_TEXT_BYTES];
    char sum[NUMBER_TEXT_BYTES];
    struct text text =
        arena_format(arena, "{count:%s, sum:%s", number_text(observations, parts.count),
                     number_text(sum, parts.sum));
    for (size_t i = 0; i < count; i++)
        text = bucket_text(arena, text, &buckets[i], histogram_is_custom(histogram));
    return arena_format(arena, "%.*s}", TEXT_ARGUMENTS(text));
}
