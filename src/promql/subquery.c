#include <assert.h>

#include "columns_source.h"

struct subquery_lane {
    int64_t *timestamps_ms; /* [steps] */
    double *values;
    const struct histogram **histograms;
};

struct subquery_source {
    struct columns_source source;
    struct stream *input;
    struct subquery_lane *lanes; /* [lane_count] */
};

static struct series_identity subquery_identity(struct columns_source *self, struct lane *lane,
                                                size_t index, struct arena *arena)
{
    return vector_stream_identity(((struct subquery_source *)self)->input, lane, index, arena);
}

static bool subquery_lane_open(struct subquery_lane *state, struct lane *lane, size_t count)
{
    if (state->histograms != NULL)
        return true;
    state->timestamps_ms = arena_array(lane->memory, count, sizeof *state->timestamps_ms);
    state->values = arena_array(lane->memory, count, sizeof *state->values);
    state->histograms = arena_array(lane->memory, count, sizeof *state->histograms);
    return state->timestamps_ms != NULL && state->values != NULL && state->histograms != NULL;
}

/*
 * A counter-reset hint speaks of two neighbours in storage; the points of a sub-query are not
 * (samples between them may be missing, or one may appear twice), so hints are forgotten.
 */
static const struct histogram *without_reset_hint(struct arena *arena,
                                                  const struct histogram *histogram)
{
    if (histogram->reset != HISTOGRAM_RESET_YES && histogram->reset != HISTOGRAM_RESET_NO)
        return histogram;
    struct histogram *copy = arena_allocate(arena, sizeof *copy);
    if (copy != NULL) {
        *copy = *histogram;
        copy->reset = HISTOGRAM_RESET_UNKNOWN;
    }
    return copy;
}

static enum error_code subquery_read(struct columns_source *self, struct lane *lane, size_t index,
                                     struct sample_columns *columns_out, struct error *error)
{
    struct subquery_source *subquery = (struct subquery_source *)self;
    struct subquery_lane *state = &subquery->lanes[lane->index];
    const struct step_range *steps = &subquery->input->steps;
    if (!subquery_lane_open(state, lane, steps->count))
        return evaluation_out_of_memory(subquery->input->evaluation, error);
    struct step_vector vector;
    enum error_code code = vector_stream_read(subquery->input, lane, index, &vector, error);
    if (code != ERROR_NONE)
        return code;
    size_t count = 0;
    for (size_t step = step_next(vector.present, steps->count, 0); step < steps->count;
         step = step_next(vector.present, steps->count, step + 1)) {
        const struct histogram *histogram = step_histogram(&vector, step);
        if (histogram != NULL) {
            histogram = without_reset_hint(lane->scratch, histogram);
            if (histogram == NULL)
                return evaluation_out_of_memory(subquery->input->evaluation, error);
        }
        state->timestamps_ms[count] = step_time(steps, step);
        state->values[count] = vector.values[step];
        state->histograms[count] = histogram;
        count++;
    }
    *columns_out = (struct sample_columns){
        .count = count,
        .timestamps_ms = state->timestamps_ms,
        .values = state->values,
        .histograms = vector.histograms == NULL ? NULL : state->histograms,
    };
    return ERROR_NONE;
}

static void subquery_close(struct columns_source *self)
{
    vector_stream_close(((struct subquery_source *)self)->input);
}

static const struct columns_source_operations SUBQUERY_OPERATIONS = {
    .identity = subquery_identity,
    .read = subquery_read,
    .close = subquery_close,
};

/* Multiples of the step in (start - range, end], where start and end are the outer ones. */
static enum error_code subquery_steps(const struct time_view *view, const struct step_range *outer,
                                      int64_t step_ms, struct step_range *steps_out,
                                      struct error *error)
{
    int64_t after_ms = view_end(view, outer, 0) - view->range_ms;
    int64_t end_ms = view_end(view, outer, outer->count - 1);
    int64_t start_ms = step_ms * (after_ms / step_ms);
    if (start_ms <= after_ms)
        start_ms += step_ms;
    uint64_t count = end_ms < start_ms ? 0 : (uint64_t)(end_ms - start_ms) / (uint64_t)step_ms + 1;
    if (count > PROMQL_STEPS_MAX)
        return error_set(error, ERROR_LIMIT,
                         "query processing would load too many samples into memory in query "
                         "execution");
    *steps_out = (struct step_range){start_ms, step_ms, (size_t)count};
    return ERROR_NONE;
}

enum error_code columns_subquery(struct evaluation *evaluation,
                                 const struct subquery_node *subquery, const struct time_view *view,
                                 const struct step_range *steps, struct columns_source **source_out,
                                 struct error *error)
{
    struct subquery_source *source = arena_array(evaluation->arena, 1, sizeof *source);
    struct subquery_lane *lanes =
        arena_array(evaluation->arena, evaluation->lane_count, sizeof *lanes);
    if (source == NULL || lanes == NULL)
        return evaluation_out_of_memory(evaluation, error);
    int64_t step_ms = evaluation->options.subquery_step_default_ms;
    enum error_code code = ERROR_NONE;
    if (subquery->has_step)
        code = duration_evaluate(&subquery->step, DURATION_POSITIVE,
                                 &evaluation->duration_environment, &step_ms, error);
    struct step_range inner;
    if (code == ERROR_NONE)
        code = subquery_steps(view, steps, step_ms, &inner, error);
    uint64_t weight = evaluation->sample_weight;
    int64_t shift_ms = evaluation->step_shift_ms;
    evaluation->sample_weight = 0;
    evaluation->step_shift_ms = view->is_pinned || shift_ms == SHIFT_TO_FIRST
                                    ? SHIFT_TO_FIRST
                                    : time_bounded(shift_ms + view->offset_ms);
    if (code == ERROR_NONE && inner.count > 0)
        code = evaluate_vector(evaluation, subquery->operand, &inner, &source->input, error);
    evaluation->sample_weight = weight;
    evaluation->step_shift_ms = shift_ms;
    if (code != ERROR_NONE)
        return code;
    source->source = (struct columns_source){
        .operations = &SUBQUERY_OPERATIONS,
        .count = source->input == NULL ? 0 : source->input->count,
        .is_unique_without_name = source->input != NULL && source->input->is_unique_without_name,
    };
    source->lanes = lanes;
    *source_out = &source->source;
    return ERROR_NONE;
}
