#include <assert.h>
#include <math.h>

#include "aggregate.h"
#include "quantile.h"
#include "window.h"

/*
 * Walk the present steps of a vector: whole words first, where the loop over 64 steps has no
 * branch, then bit by bit.
 */
#define STEP_LOOP(step, present, count)                                                            \
    for (size_t step = step_next(present, count, 0); step < (count);                               \
         step = step_next(present, count, (step) + 1))

static double *column(struct arena *arena, size_t count)
{
    return arena_array(arena, count, sizeof(double));
}

static void mark_present(struct aggregation_group *group, const uint64_t *present, size_t count)
{
    for (size_t word = 0; word < step_words(count); word++)
        group->present[word] |= present[word];
}

/* The floats of a vector; histograms are left out, or NULL when all are floats. */
static const uint64_t *float_steps(const struct step_vector *vector, size_t count,
                                   struct arena *arena, bool *has_histogram_out)
{
    *has_histogram_out = false;
    if (vector->histograms == NULL)
        return vector->present;
    uint64_t *floats = arena_array(arena, step_words(count), sizeof *floats);
    if (floats == NULL)
        return NULL;
    STEP_LOOP(step, vector->present, count)
    {
        if (vector->histograms[step] == NULL)
            step_set_present(floats, step);
        else
            *has_histogram_out = true;
    }
    return floats;
}

/* Floats of a vector for operations that ignore histograms, and say so. */
static const uint64_t *only_floats(const struct aggregation_plan *plan,
                                   const struct step_vector *vector, struct arena *arena)
{
    bool has_histogram;
    const uint64_t *floats = float_steps(vector, plan->steps.count, arena, &has_histogram);
    if (has_histogram)
        aggregation_note_histogram(plan, plan->operand_position);
    return floats;
}

static enum error_code nothing_to_finish(const struct aggregation_plan *plan,
                                         struct aggregation_group *group, struct arena *arena,
                                         struct error *error)
{
    (void)plan, (void)group, (void)arena, (void)error;
    return ERROR_NONE;
}

/* --- sum ------------------------------------------------------------------------------------- */

static bool sum_init(const struct aggregation_plan *plan, struct aggregation_group *group,
                     struct arena *arena)
{
    group->values = column(arena, plan->steps.count);
    group->compensation = column(arena, plan->steps.count);
    return group->values != NULL && group->compensation != NULL;
}

static void sum_add_steps(struct aggregation_group *group, const double *values,
                          const uint64_t *present, size_t count)
{
    for (size_t word = 0; word < step_words(count); word++) {
        uint64_t bits = present[word];
        size_t base = word * 64;
        if (bits == UINT64_MAX) {
            for (size_t step = base; step < base + 64; step++)
                compensated_add(values[step], &group->values[step], &group->compensation[step]);
            continue;
        }
        for (; bits != 0; bits &= bits - 1) {
            size_t step = base + (size_t)__builtin_ctzll(bits);
            compensated_add(values[step], &group->values[step], &group->compensation[step]);
        }
    }
}

static enum error_code sum_add(const struct aggregation_plan *plan, struct aggregation_group *group,
                               const struct step_vector *vector, struct arena *arena,
                               struct error *error)
{
    size_t count = plan->steps.count;
    const uint64_t *floats = vector->present;
    if (vector->histograms != NULL || group->histograms != NULL) {
        bool has_histogram;
        floats = float_steps(vector, count, arena, &has_histogram);
        if (floats == NULL)
            return evaluation_out_of_memory(plan->evaluation, error);
        enum error_code code = aggregation_histograms_add(plan, group, vector, arena, error);
        if (code != ERROR_NONE)
            return code;
    }
    sum_add_steps(group, vector->values, floats, count);
    mark_present(group, vector->present, count);
    return ERROR_NONE;
}

static enum error_code sum_merge(const struct aggregation_plan *plan,
                                 struct aggregation_group *group,
                                 const struct aggregation_group *other, struct arena *arena,
                                 struct error *error)
{
    size_t count = plan->steps.count;
    if (group->histograms != NULL || other->histograms != NULL) {
        enum error_code code = aggregation_histograms_merge(plan, group, other, arena, error);
        if (code != ERROR_NONE)
            return code;
    }
    sum_add_steps(group, other->values, other->present, count);
    STEP_LOOP(step, other->present, count)
    {
        if (!isinf(group->values[step]))
            group->compensation[step] += other->compensation[step];
    }
    mark_present(group, other->present, count);
    return ERROR_NONE;
}

static enum error_code sum_finish(const struct aggregation_plan *plan,
                                  struct aggregation_group *group, struct arena *arena,
                                  struct error *error)
{
    for (size_t step = 0; step < plan->steps.count; step++)
        group->values[step] += group->compensation[step];
    if (group->histograms == NULL)
        return ERROR_NONE;
    return aggregation_histograms_finish(plan, group, arena, error);
}

/* --- avg ------------------------------------------------------------------------------------- */

static bool avg_init(const struct aggregation_plan *plan, struct aggregation_group *group,
                     struct arena *arena)
{
    size_t count = plan->steps.count;
    group->counts = column(arena, count);
    group->incremental = arena_array(arena, step_words(count), sizeof *group->incremental);
    return sum_init(plan, group, arena) && group->counts != NULL && group->incremental != NULL;
}

/* The sum as long as it does not overflow, from then on the mean. */
static void avg_add_value(struct aggregation_group *group, size_t step, double value)
{
    double count = ++group->counts[step];
    double *sum = &group->values[step];
    double *compensation = &group->compensation[step];
    if (!step_is_present(group->incremental, step)) {
        double next = *sum;
        double next_compensation = *compensation;
        compensated_add(value, &next, &next_compensation);
        if (!isinf(next) || count == 1) {
            *sum = next;
            *compensation = next_compensation;
            return;
        }
        step_set_present(group->incremental, step);
        *sum /= count - 1;
        *compensation /= count - 1;
    }
    double weight = (count - 1) / count;
    *sum *= weight;
    *compensation *= weight;
    compensated_add(value / count, sum, compensation);
}

static enum error_code avg_add(const struct aggregation_plan *plan, struct aggregation_group *group,
                               const struct step_vector *vector, struct arena *arena,
                               struct error *error)
{
    size_t count = plan->steps.count;
    const uint64_t *floats = vector->present;
    if (vector->histograms != NULL || group->histograms != NULL) {
        bool has_histogram;
        floats = float_steps(vector, count, arena, &has_histogram);
        if (floats == NULL)
            return evaluation_out_of_memory(plan->evaluation, error);
        enum error_code code = aggregation_histograms_add(plan, group, vector, arena, error);
        if (code != ERROR_NONE)
            return code;
    }
    STEP_LOOP(step, floats, count)
    avg_add_value(group, step, vector->values[step]);
    mark_present(group, vector->present, count);
    return ERROR_NONE;
}

static void avg_merge_step(struct aggregation_group *group, const struct aggregation_group *other,
                           size_t step)
{
    double left = group->counts[step];
    double right = other->counts[step];
    double total = left + right;
    if (right == 0)
        return;
    bool left_mean = step_is_present(group->incremental, step);
    bool right_mean = step_is_present(other->incremental, step);
    double sum = group->values[step];
    double compensation = group->compensation[step];
    compensated_add(other->values[step], &sum, &compensation);
    group->counts[step] = total;
    if (left == 0 || (!left_mean && !right_mean && !isinf(sum))) {
        group->values[step] = left == 0 ? other->values[step] : sum;
        group->compensation[step] =
            left == 0 ? other->compensation[step] : compensation + other->compensation[step];
        if (right_mean)
            step_set_present(group->incremental, step);
        return;
    }
    /* Means, weighted by how many values they are of. */
    double left_scale = left_mean ? 1 : left;
    double right_scale = right_mean ? 1 : right;
    double mean = group->values[step] / left_scale * (left / total);
    double mean_compensation = group->compensation[step] / left_scale * (left / total);
    compensated_add(other->values[step] / right_scale * (right / total), &mean, &mean_compensation);
    group->values[step] = mean;
    group->compensation[step] =
        mean_compensation + other->compensation[step] / right_scale * (right / total);
    step_set_present(group->incremental, step);
}

static enum error_code avg_merge(const struct aggregation_plan *plan,
                                 struct aggregation_group *group,
                                 const struct aggregation_group *other, struct arena *arena,
                                 struct error *error)
{
    if (group->histograms != NULL || other->histograms != NULL) {
        enum error_code code = aggregation_histograms_merge(plan, group, other, arena, error);
        if (code != ERROR_NONE)
            return code;
    }
    STEP_LOOP(step, other->present, plan->steps.count)
    avg_merge_step(group, other, step);
    mark_present(group, other->present, plan->steps.count);
    return ERROR_NONE;
}

static enum error_code avg_finish(const struct aggregation_plan *plan,
                                  struct aggregation_group *group, struct arena *arena,
                                  struct error *error)
{
    STEP_LOOP(step, group->present, plan->steps.count)
    {
        double count = step_is_present(group->incremental, step) ? 1 : group->counts[step];
        group->values[step] = group->values[step] / count + group->compensation[step] / count;
    }
    if (group->histograms == NULL)
        return ERROR_NONE;
    return aggregation_histograms_finish(plan, group, arena, error);
}

/* --- min, max -------------------------------------------------------------------------------- */

static bool extreme_init(const struct aggregation_plan *plan, struct aggregation_group *group,
                         struct arena *arena)
{
    group->values = column(arena, plan->steps.count);
    if (group->values == NULL)
        return false;
    for (size_t step = 0; step < plan->steps.count; step++)
        group->values[step] = NAN; /* any value takes its place */
    return true;
}

static void extreme_add_steps(struct aggregation_group *group, enum aggregation operation,
                              const double *values, const uint64_t *present, size_t count)
{
    STEP_LOOP(step, present, count)
    {
        double current = group->values[step];
        bool is_better =
            operation == AGGREGATE_MAX ? current < values[step] : current > values[step];
        if (is_better || isnan(current))
            group->values[step] = values[step];
    }
    mark_present(group, present, count);
}

static enum error_code extreme_add(const struct aggregation_plan *plan,
                                   struct aggregation_group *group,
                                   const struct step_vector *vector, struct arena *arena,
                                   struct error *error)
{
    const uint64_t *floats = only_floats(plan, vector, arena);
    if (floats == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    extreme_add_steps(group, plan->node->operation, vector->values, floats, plan->steps.count);
    return ERROR_NONE;
}

static enum error_code extreme_merge(const struct aggregation_plan *plan,
                                     struct aggregation_group *group,
                                     const struct aggregation_group *other, struct arena *arena,
                                     struct error *error)
{
    (void)arena, (void)error;
    extreme_add_steps(group, plan->node->operation, other->values, other->present,
                      plan->steps.count);
    return ERROR_NONE;
}

/* --- count, group, count_values -------------------------------------------------------------- */

static bool count_init(const struct aggregation_plan *plan, struct aggregation_group *group,
                       struct arena *arena)
{
    group->values = column(arena, plan->steps.count);
    return group->values != NULL;
}

static enum error_code count_add(const struct aggregation_plan *plan,
                                 struct aggregation_group *group, const struct step_vector *vector,
                                 struct arena *arena, struct error *error)
{
    (void)arena, (void)error;
    STEP_LOOP(step, vector->present, plan->steps.count)
    group->values[step]++;
    mark_present(group, vector->present, plan->steps.count);
    return ERROR_NONE;
}

static enum error_code count_merge(const struct aggregation_plan *plan,
                                   struct aggregation_group *group,
                                   const struct aggregation_group *other, struct arena *arena,
                                   struct error *error)
{
    (void)arena, (void)error;
    STEP_LOOP(step, other->present, plan->steps.count)
    group->values[step] += other->values[step];
    mark_present(group, other->present, plan->steps.count);
    return ERROR_NONE;
}

static enum error_code group_finish(const struct aggregation_plan *plan,
                                    struct aggregation_group *group, struct arena *arena,
                                    struct error *error)
{
    (void)arena, (void)error;
    for (size_t step = 0; step < plan->steps.count; step++)
        group->values[step] = 1;
    return ERROR_NONE;
}

/* --- stddev, stdvar -------------------------------------------------------------------------- */

static bool variance_init(const struct aggregation_plan *plan, struct aggregation_group *group,
                          struct arena *arena)
{
    size_t count = plan->steps.count;
    group->values = column(arena, count); /* the sum of squared differences from the mean */
    group->means = column(arena, count);
    group->counts = column(arena, count);
    return group->values != NULL && group->means != NULL && group->counts != NULL;
}

static enum error_code variance_add(const struct aggregation_plan *plan,
                                    struct aggregation_group *group,
                                    const struct step_vector *vector, struct arena *arena,
                                    struct error *error)
{
    const uint64_t *floats = only_floats(plan, vector, arena);
    if (floats == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    STEP_LOOP(step, floats, plan->steps.count)
    {
        double value = vector->values[step];
        double count = ++group->counts[step];
        double delta = value - group->means[step];
        group->means[step] += delta / count;
        group->values[step] += delta * (value - group->means[step]);
    }
    mark_present(group, floats, plan->steps.count);
    return ERROR_NONE;
}

/* Chan, Golub, LeVeque: updating formulae for variances (1979), (2.1). */
static enum error_code variance_merge(const struct aggregation_plan *plan,
                                      struct aggregation_group *group,
                                      const struct aggregation_group *other, struct arena *arena,
                                      struct error *error)
{
    (void)arena, (void)error;
    STEP_LOOP(step, other->present, plan->steps.count)
    {
        double left = group->counts[step];
        double right = other->counts[step];
        double total = left + right;
        double delta = other->means[step] - group->means[step];
        group->counts[step] = total;
        if (left == 0) {
            group->means[step] = other->means[step];
            group->values[step] = other->values[step];
        } else {
            group->means[step] += delta * (right / total);
            group->values[step] += other->values[step] + delta * delta * left * (right / total);
        }
    }
    mark_present(group, other->present, plan->steps.count);
    return ERROR_NONE;
}

static enum error_code variance_finish(const struct aggregation_plan *plan,
                                       struct aggregation_group *group, struct arena *arena,
                                       struct error *error)
{
    (void)arena, (void)error;
    bool is_deviation = plan->node->operation == AGGREGATE_STDDEV;
    STEP_LOOP(step, group->present, plan->steps.count)
    {
        double variance = group->values[step] / group->counts[step];
        group->values[step] = is_deviation ? sqrt(variance) : variance;
    }
    return ERROR_NONE;
}

/* --- quantile -------------------------------------------------------------------------------- */

static bool quantile_init(const struct aggregation_plan *plan, struct aggregation_group *group,
                          struct arena *arena)
{
    group->values = column(arena, plan->steps.count);
    group->lists = arena_array(arena, plan->steps.count, sizeof *group->lists);
    return group->values != NULL && group->lists != NULL;
}

static bool list_append(struct value_list *list, const double *values, size_t count,
                        struct arena *arena)
{
    if (list->count + count > list->capacity) {
        size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        while (capacity < list->count + count)
            capacity *= 2;
        double *grown =
            arena_grow(arena, list->values, list->capacity, capacity, sizeof *list->values);
        if (grown == NULL)
            return false;
        list->values = grown;
        list->capacity = capacity;
    }
    memcpy(list->values + list->count, values, count * sizeof *values);
    list->count += count;
    return true;
}

static enum error_code quantile_add(const struct aggregation_plan *plan,
                                    struct aggregation_group *group,
                                    const struct step_vector *vector, struct arena *arena,
                                    struct error *error)
{
    const uint64_t *floats = only_floats(plan, vector, arena);
    if (floats == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    STEP_LOOP(step, floats, plan->steps.count)
    {
        if (!list_append(&group->lists[step], &vector->values[step], 1, arena))
            return evaluation_out_of_memory(plan->evaluation, error);
    }
    mark_present(group, floats, plan->steps.count);
    return ERROR_NONE;
}

static enum error_code quantile_merge(const struct aggregation_plan *plan,
                                      struct aggregation_group *group,
                                      const struct aggregation_group *other, struct arena *arena,
                                      struct error *error)
{
    STEP_LOOP(step, other->present, plan->steps.count)
    {
        const struct value_list *list = &other->lists[step];
        if (!list_append(&group->lists[step], list->values, list->count, arena))
            return evaluation_out_of_memory(plan->evaluation, error);
    }
    mark_present(group, other->present, plan->steps.count);
    return ERROR_NONE;
}

static enum error_code quantile_finish(const struct aggregation_plan *plan,
                                       struct aggregation_group *group, struct arena *arena,
                                       struct error *error)
{
    (void)arena, (void)error;
    STEP_LOOP(step, group->present, plan->steps.count)
    group->values[step] = quantile_of_values(plan->parameters[step], group->lists[step].values,
                                             group->lists[step].count);
    return ERROR_NONE;
}

/* --- The table ------------------------------------------------------------------------------- */

static const struct aggregation_operations OPERATIONS[AGGREGATIONS] = {
    [AGGREGATE_SUM] = {sum_init, sum_add, sum_merge, sum_finish},
    [AGGREGATE_AVG] = {avg_init, avg_add, avg_merge, avg_finish},
    [AGGREGATE_MIN] = {extreme_init, extreme_add, extreme_merge, nothing_to_finish},
    [AGGREGATE_MAX] = {extreme_init, extreme_add, extreme_merge, nothing_to_finish},
    [AGGREGATE_COUNT] = {count_init, count_add, count_merge, nothing_to_finish},
    [AGGREGATE_COUNT_VALUES] = {count_init, count_add, count_merge, nothing_to_finish},
    [AGGREGATE_GROUP] = {count_init, count_add, count_merge, group_finish},
    [AGGREGATE_STDDEV] = {variance_init, variance_add, variance_merge, variance_finish},
    [AGGREGATE_STDVAR] = {variance_init, variance_add, variance_merge, variance_finish},
    [AGGREGATE_QUANTILE] = {quantile_init, quantile_add, quantile_merge, quantile_finish},
};

const struct aggregation_operations *aggregation_operations_of(enum aggregation operation)
{
    assert(OPERATIONS[operation].init != NULL);
    return &OPERATIONS[operation];
}
