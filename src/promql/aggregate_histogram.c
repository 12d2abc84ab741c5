#include <assert.h>

#include "aggregate.h"
#include "histogram_math.h"

/* --- State ----------------------------------------------------------------------------------- */

struct histogram_sums *aggregation_sums_create(struct arena *arena, size_t count)
{
    size_t words = step_words(count);
    struct histogram_sums *sums = arena_array(arena, 1, sizeof *sums);
    if (sums == NULL)
        return NULL;
    sums->sums = arena_array(arena, count, sizeof *sums->sums);
    sums->counts = arena_array(arena, count, sizeof *sums->counts);
    sums->has_float = arena_array(arena, words, sizeof *sums->has_float);
    sums->incompatible = arena_array(arena, words, sizeof *sums->incompatible);
    sums->seen_reset = arena_array(arena, words, sizeof *sums->seen_reset);
    sums->seen_no_reset = arena_array(arena, words, sizeof *sums->seen_no_reset);
    if (sums->sums == NULL || sums->counts == NULL || sums->has_float == NULL ||
        sums->incompatible == NULL || sums->seen_reset == NULL || sums->seen_no_reset == NULL)
        return NULL;
    return sums;
}

static struct histogram_sums *sums_open(const struct aggregation_plan *plan,
                                        struct aggregation_group *group, struct arena *arena)
{
    if (group->histograms != NULL)
        return group->histograms;
    struct histogram_sums *sums = aggregation_sums_create(arena, plan->steps.count);
    if (sums == NULL)
        return NULL;
    /* All values so far were floats. */
    memcpy(sums->has_float, group->present,
           step_words(plan->steps.count) * sizeof *sums->has_float);
    group->histograms = sums;
    return sums;
}

static void note_hint(struct histogram_sums *sums, size_t step, enum histogram_reset reset)
{
    if (reset == HISTOGRAM_RESET_YES)
        step_set_present(sums->seen_reset, step);
    else if (reset == HISTOGRAM_RESET_NO)
        step_set_present(sums->seen_no_reset, step);
}

/* --- Adding ---------------------------------------------------------------------------------- */

static enum error_code sums_add(const struct aggregation_plan *plan, struct histogram_sums *sums,
                                size_t step, const struct histogram *histogram, double count,
                                struct arena *arena, struct error *error)
{
    if (step_is_present(sums->incompatible, step))
        return ERROR_NONE;
    sums->counts[step] += count;
    struct histogram *sum = NULL;
    if (sums->sums[step] == NULL) {
        sum = histogram_compacted(arena, histogram);
        if (sum != NULL) {
            /* Bounds stay the source's; a copy outlives it. */
            struct histogram *copy = arena_allocate(arena, sizeof *copy);
            sum = copy != NULL && histogram_copy(arena, sum, copy) ? copy : NULL;
        }
        if (sum == NULL)
            return evaluation_out_of_memory(plan->evaluation, error);
        sums->sums[step] = sum;
        return ERROR_NONE;
    }
    struct histogram_sum_notes notes;
    switch (histogram_sum(arena, sums->sums[step], histogram, 1, &sum, &notes)) {
    case HISTOGRAM_SUM_OUT_OF_MEMORY:
        return evaluation_out_of_memory(plan->evaluation, error);
    case HISTOGRAM_SUM_INCOMPATIBLE:
        step_set_present(sums->incompatible, step);
        return ERROR_NONE;
    case HISTOGRAM_SUM_DONE:
        sums->sums[step] = sum;
        break;
    }
    if (notes.bounds_reconciled)
        evaluation_annotate(plan->evaluation, PROMQL_INFO, plan->operand_position,
                            "mismatched custom buckets were reconciled during aggregation");
    return ERROR_NONE;
}

enum error_code aggregation_histograms_add(const struct aggregation_plan *plan,
                                           struct aggregation_group *group,
                                           const struct step_vector *vector, struct arena *arena,
                                           struct error *error)
{
    size_t count = plan->steps.count;
    struct histogram_sums *sums = sums_open(plan, group, arena);
    if (sums == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        const struct histogram *histogram = step_histogram(vector, step);
        if (histogram == NULL) {
            step_set_present(sums->has_float, step);
            continue;
        }
        note_hint(sums, step, histogram->reset);
        enum error_code code = sums_add(plan, sums, step, histogram, 1, arena, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

enum error_code aggregation_histograms_merge(const struct aggregation_plan *plan,
                                             struct aggregation_group *group,
                                             const struct aggregation_group *other,
                                             struct arena *arena, struct error *error)
{
    size_t count = plan->steps.count;
    size_t words = step_words(count);
    struct histogram_sums *sums = sums_open(plan, group, arena);
    if (sums == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    if (other->histograms == NULL) {
        for (size_t word = 0; word < words; word++)
            sums->has_float[word] |= other->present[word];
        return ERROR_NONE;
    }
    for (size_t word = 0; word < words; word++) {
        sums->has_float[word] |= other->histograms->has_float[word];
        sums->incompatible[word] |= other->histograms->incompatible[word];
        sums->seen_reset[word] |= other->histograms->seen_reset[word];
        sums->seen_no_reset[word] |= other->histograms->seen_no_reset[word];
    }
    for (size_t step = 0; step < count; step++) {
        const struct histogram *histogram = other->histograms->sums[step];
        if (histogram == NULL)
            continue;
        enum error_code code =
            sums_add(plan, sums, step, histogram, other->histograms->counts[step], arena, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Finishing ------------------------------------------------------------------------------- */

enum error_code aggregation_histograms_finish(const struct aggregation_plan *plan,
                                              struct aggregation_group *group, struct arena *arena,
                                              struct error *error)
{
    struct histogram_sums *sums = group->histograms;
    size_t count = plan->steps.count;
    for (size_t step = step_next(group->present, count, 0); step < count;
         step = step_next(group->present, count, step + 1)) {
        /* Of incompatible ones there need not be a sum, when a part brought them all. */
        bool is_incompatible = step_is_present(sums->incompatible, step);
        if (sums->sums[step] == NULL && !is_incompatible)
            continue;
        if (step_is_present(sums->has_float, step)) {
            evaluation_annotate(plan->evaluation, PROMQL_WARNING, plan->operand_position,
                                "encountered a mix of histograms and floats for aggregation");
            step_clear_present(group->present, step);
            sums->sums[step] = NULL;
            continue;
        }
        if (is_incompatible) {
            struct text name = text_quote(arena, group->metric_name);
            evaluation_annotate(plan->evaluation, PROMQL_WARNING, plan->operand_position,
                                "vector contains a mix of histograms with exponential and custom "
                                "buckets schemas for metric name %.*s",
                                TEXT_ARGUMENTS(name));
            step_clear_present(group->present, step);
            sums->sums[step] = NULL;
            continue;
        }
        if (step_is_present(sums->seen_reset, step) && step_is_present(sums->seen_no_reset, step))
            evaluation_annotate(plan->evaluation, PROMQL_WARNING, plan->operand_position,
                                "conflicting counter resets during histogram aggregation");
        if (plan->node->operation != AGGREGATE_AVG)
            continue;
        struct histogram *mean = histogram_divided(arena, sums->sums[step], sums->counts[step]);
        if (mean == NULL)
            return evaluation_out_of_memory(plan->evaluation, error);
        sums->sums[step] = mean;
    }
    return ERROR_NONE;
}
