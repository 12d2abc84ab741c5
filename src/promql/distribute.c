#include "distribute.h"

#include <assert.h>

#include "platform/no_wait.h"

/* --- Beginning ------------------------------------------------------------------------------- */

/* What is left of the query's time, at least a millisecond; 0: there is no limit. */
static uint64_t timeout_left_ms(const struct evaluation *evaluation)
{
    const struct promql_execution_options *options = &evaluation->options;
    if (options->deadline_ns == 0)
        return 0;
    uint64_t now_ns = clock_monotonic_ns(options->clock);
    uint64_t left_ms =
        options->deadline_ns > now_ns ? (options->deadline_ns - now_ns) / 1000000 : 0;
    return left_ms == 0 ? 1 : left_ms;
}

static struct promql_partial_request request_make(const struct evaluation *evaluation,
                                                  const struct distributed *distributed)
{
    const struct promql_execution_options *options = &evaluation->options;
    struct text_range position = distributed->expression->position;
    struct text_place place = evaluation_place(evaluation, position);
    return (struct promql_partial_request){
        .mode = distributed->plan.kind == DISTRIBUTE_GROUPS ? PROMQL_PARTIAL_GROUPS
                                                            : PROMQL_PARTIAL_SERIES,
        .tenant = options->tenant,
        .expression = {evaluation->query.text.data + position.start, position.end - position.start},
        .line = place.line,
        .column = place.column,
        .features = options->features,
        .query_start_ms = options->start_ms,
        .query_end_ms = options->end_ms,
        .query_step_ms = options->step_ms,
        .start_ms = distributed->steps.start_ms,
        .step_ms = distributed->steps.step_ms,
        .step_count = distributed->steps.count,
        .lookback_ms = options->lookback_ms,
        .subquery_step_default_ms = options->subquery_step_default_ms,
        .samples_max = options->samples_max,
        .timeout_ms = timeout_left_ms(evaluation),
        .external_labels = options->external_labels,
        .counts_steps = options->counts_steps,
        .sample_weight = evaluation->sample_weight,
        .sample_shift_ms = evaluation->step_shift_ms,
        .tree = distributed->expression,
    };
}

static enum error_code readers_make(struct evaluation *evaluation, struct distributed *distributed,
                                    struct error *error)
{
    size_t count = distributed->distribution->place_count;
    struct answer_reader *readers = arena_array(evaluation->arena, count, sizeof *readers);
    distributed->flags = arena_array(evaluation->arena, count, sizeof *distributed->flags);
    if (readers == NULL || distributed->flags == NULL)
        return evaluation_out_of_memory(evaluation, error);
    for (size_t place = 0; place < count; place++)
        answer_reader_init(&readers[place], evaluation, distributed->distribution, place);
    distributed->readers = readers;
    return ERROR_NONE;
}

/* *distributed_out is NULL when the expression does not distribute; its distribution is when the
 * distributor declines. */
static enum error_code distribution_begin(struct evaluation *evaluation,
                                          const struct expression *expression,
                                          const struct step_range *steps,
                                          struct distributed **distributed_out, struct error *error)
{
    *distributed_out = NULL;
    struct distribution_plan plan = distribution_plan_of(expression, evaluation->options.features);
    if (plan.kind == DISTRIBUTE_NOT)
        return ERROR_NONE;
    if (no_wait_applies())
        return error_set(error, ERROR_WOULD_WAIT, "query: asks other places");
    struct distributed *distributed = arena_array(evaluation->arena, 1, sizeof *distributed);
    if (distributed == NULL)
        return evaluation_out_of_memory(evaluation, error);
    *distributed = (struct distributed){
        .expression = expression,
        .steps = *steps,
        .plan = plan,
        .next = evaluation->distributed,
    };
    distributed->request = request_make(evaluation, distributed);
    struct promql_distributor *distributor = evaluation->options.distributor;
    enum error_code code = distributor->operations->begin(distributor, &distributed->request,
                                                          &distributed->distribution, error);
    if (code != ERROR_NONE)
        return code;
    evaluation->distributed = distributed;
    *distributed_out = distributed;
    return distributed->distribution == NULL ? ERROR_NONE
                                             : readers_make(evaluation, distributed, error);
}

static enum error_code begin_children(struct evaluation *evaluation,
                                      const struct expression *expression,
                                      const struct step_range *steps, struct error *error)
{
    const struct expression *child;
    enum error_code code = ERROR_NONE;
    bool is_info =
        expression->kind == EXPRESSION_CALL && expression->call.function == FUNCTION_INFO;
    /* The second argument of info() is no vector of its own. */
    for (size_t i = 0; code == ERROR_NONE && i < (is_info ? 1 : SIZE_MAX) &&
                       expression_child(expression, i, &child);
         i++)
        code = distribution_begin_all(evaluation, child, steps, error);
    return code;
}

/* As evaluate_vector goes through it. */
static enum error_code begin_vector(struct evaluation *evaluation,
                                    const struct expression *expression,
                                    const struct step_range *steps, struct error *error)
{
    if (expression->step_invariant && steps->count > 1) {
        struct step_range first = {steps->start_ms, steps->step_ms, 1};
        uint64_t weight = evaluation->sample_weight;
        evaluation->sample_weight *= steps->count;
        enum error_code code = begin_vector(evaluation, expression, &first, error);
        evaluation->sample_weight = weight;
        return code;
    }
    struct distributed *distributed = NULL;
    enum error_code code = distribution_begin(evaluation, expression, steps, &distributed, error);
    if (code != ERROR_NONE || (distributed != NULL && distributed->distribution != NULL))
        return code;
    return begin_children(evaluation, expression, steps, error);
}

enum error_code distribution_begin_all(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct error *error)
{
    if (evaluation->options.distributor == NULL)
        return ERROR_NONE;
    expression = expression_unwrap(expression);
    switch (expression->type) {
    case VALUE_VECTOR:
        return begin_vector(evaluation, expression, steps, error);
    case VALUE_SCALAR:
        return begin_children(evaluation, expression, steps, error);
    default:
        return ERROR_NONE;
    }
}

/* --- Taking ---------------------------------------------------------------------------------- */

static struct distributed *distribution_find(const struct evaluation *evaluation,
                                             const struct expression *expression,
                                             const struct step_range *steps)
{
    struct distributed *distributed = evaluation->distributed;
    for (; distributed != NULL; distributed = distributed->next)
        if (distributed->expression == expression && !distributed->is_taken &&
            distributed->steps.start_ms == steps->start_ms &&
            distributed->steps.step_ms == steps->step_ms &&
            distributed->steps.count == steps->count &&
            distributed->request.sample_weight == evaluation->sample_weight &&
            distributed->request.sample_shift_ms == evaluation->step_shift_ms)
            return distributed;
    return NULL;
}

static void distribution_close(struct distributed *distributed)
{
    if (distributed->distribution == NULL)
        return;
    for (size_t place = 0;
         distributed->readers != NULL && place < distributed->distribution->place_count; place++)
        answer_reader_clear(&distributed->readers[place]);
    distributed->distribution->operations->close(distributed->distribution);
    distributed->distribution = NULL;
}

void distribution_close_all(struct evaluation *evaluation)
{
    for (; evaluation->distributed != NULL; evaluation->distributed = evaluation->distributed->next)
        distribution_close(evaluation->distributed);
}

/* The headers of all answers; they come before a value is computed. */
static enum error_code headers_read(struct distributed *distributed, uint8_t *any_flags_out,
                                    struct error *error)
{
    *any_flags_out = 0;
    for (size_t place = 0; place < distributed->distribution->place_count; place++) {
        enum answer_frame kind;
        struct byte_reader payload;
        struct answer_header header = {0};
        enum error_code code =
            answer_read_frame(&distributed->readers[place], &kind, &payload, error);
        while (code == ERROR_NONE && kind == FRAME_ANNOTATIONS) {
            code =
                answer_annotations_decode(payload, distributed->readers[place].evaluation, error);
            if (code == ERROR_NONE)
                code = answer_read_frame(&distributed->readers[place], &kind, &payload, error);
        }
        if (code == ERROR_NONE && kind == FRAME_ERROR)
            code = answer_error_decode(payload, error);
        if (code == ERROR_NONE && kind == FRAME_HEADER)
            code = answer_header_decode(payload, &header, error);
        if (code != ERROR_NONE)
            return code;
        if (header.mode != distributed->request.mode ||
            header.step_count != distributed->request.step_count)
            return error_set(error, ERROR_CORRUPT, "sub-query: an answer to something else");
        distributed->flags[place] = header.flags;
        *any_flags_out |= header.flags;
    }
    return ERROR_NONE;
}

/* What is under way of an expression, or is begun now, up to the headers; NULL: nothing. What is
 * there is to be closed. */
static enum error_code distribution_take(struct evaluation *evaluation,
                                         const struct expression *expression,
                                         const struct step_range *steps,
                                         struct distributed **distributed_out, bool *may_merge_out,
                                         struct error *error)
{
    struct distributed *distributed = distribution_find(evaluation, expression, steps);
    enum error_code code = ERROR_NONE;
    if (distributed == NULL)
        code = distribution_begin(evaluation, expression, steps, &distributed, error);
    if (code != ERROR_NONE || distributed == NULL || distributed->distribution == NULL)
        return code;
    distributed->is_taken = true;
    uint8_t any_flags;
    code = headers_read(distributed, &any_flags, error);
    if (code != ERROR_NONE) {
        distribution_close(distributed);
        return code;
    }
    bool has_type_or_unit = (any_flags & ANSWER_HAS_TYPE_OR_UNIT) != 0;
    evaluation->has_type_or_unit |= has_type_or_unit;
    *may_merge_out = !has_type_or_unit || !distributed->plan.needs_plain_names;
    *distributed_out = distributed;
    return ERROR_NONE;
}

enum error_code distribution_stream(struct evaluation *evaluation,
                                    const struct expression *expression,
                                    const struct step_range *steps, struct stream **stream_out,
                                    struct error *error)
{
    *stream_out = NULL;
    struct distributed *distributed = NULL;
    bool may_merge = false;
    enum error_code code =
        distribution_take(evaluation, expression, steps, &distributed, &may_merge, error);
    if (distributed == NULL)
        return code;
    if (may_merge)
        code = distribution_merge(evaluation, distributed, stream_out, error);
    distribution_close(distributed);
    return code;
}

enum error_code distribution_groups(struct evaluation *evaluation,
                                    const struct expression *expression,
                                    const struct step_range *steps, struct aggregation_plan *plan,
                                    struct aggregation_groups *groups_out, bool *are_merged_out,
                                    struct error *error)
{
    *are_merged_out = false;
    struct distributed *distributed = NULL;
    bool may_merge = false;
    enum error_code code =
        distribution_take(evaluation, expression, steps, &distributed, &may_merge, error);
    if (distributed == NULL)
        return code;
    if (may_merge && distributed->plan.kind == DISTRIBUTE_GROUPS) {
        code = distribution_merge_groups(evaluation, distributed, plan, groups_out, error);
        *are_merged_out = code == ERROR_NONE;
    }
    distribution_close(distributed);
    return code;
}
