/* The life of a query's evaluation, of a whole query or of a part of one. */
#include <assert.h>

#include "distribute.h"
#include "evaluation.h"

static enum error_code options_check(const struct promql_execution_options *options,
                                     struct error *error)
{
    /* Times beyond this would overflow when offsets are added. */
    static const int64_t TIME_LIMIT_MS = INT64_MAX / 16;
    if (options->step_ms < 0)
        return error_set(error, ERROR_INVALID,
                         "zero or negative query resolution step widths are not accepted. Try a "
                         "positive integer");
    if (options->end_ms < options->start_ms)
        return error_set(error, ERROR_INVALID, "end timestamp must not be before start time");
    if (options->step_ms == 0 && options->end_ms != options->start_ms)
        return error_set(error, ERROR_INVALID, "an instant query has one time");
    if (options->start_ms < -TIME_LIMIT_MS || options->end_ms > TIME_LIMIT_MS)
        return error_set(error, ERROR_INVALID, "time out of range");
    if (options->step_ms > 0 &&
        (options->end_ms - options->start_ms) / options->step_ms >= PROMQL_STEPS_MAX)
        return error_set(error, ERROR_LIMIT, "more than %d steps", PROMQL_STEPS_MAX);
    return ERROR_NONE;
}

static enum error_code options_copy(struct evaluation *evaluation,
                                    const struct promql_execution_options *options,
                                    struct error *error)
{
    evaluation->options = *options;
    struct promql_execution_options *copy = &evaluation->options;
    copy->tenant = arena_copy_text(evaluation->arena, options->tenant);
    copy->query = arena_copy_text(evaluation->arena, options->query);
    if (copy->tenant.data == NULL || copy->query.data == NULL)
        return evaluation_out_of_memory(evaluation, error);
    if (copy->lookback_ms <= 0)
        copy->lookback_ms = PROMQL_LOOKBACK_DEFAULT_MS;
    if (copy->subquery_step_default_ms <= 0)
        copy->subquery_step_default_ms = PROMQL_SUBQUERY_STEP_DEFAULT_MS;
    if (copy->samples_max == 0)
        copy->samples_max = PROMQL_SAMPLES_MAX_DEFAULT;
    evaluation->sample_weight = 1;
    evaluation->text_line = 1;
    evaluation->text_column = 1;
    evaluation->delayed_names = copy->features == PROMQL_EXPERIMENTAL;
    evaluation->query_start_ms = copy->start_ms;
    evaluation->query_end_ms = copy->end_ms;
    evaluation->duration_environment = (struct duration_environment){
        .step_ms = copy->step_ms,
        .range_ms = copy->end_ms - copy->start_ms,
    };
    return ERROR_NONE;
}

/* Those that depend on the query are wrong before it runs. */
static enum error_code durations_check(const struct evaluation *evaluation, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (const struct duration_expression *duration = evaluation->query.durations;
         code == ERROR_NONE && duration != NULL; duration = duration->next) {
        int64_t milliseconds;
        code = duration_evaluate(&(struct duration){.expression = duration}, duration->sign,
                                 &evaluation->duration_environment, &milliseconds, error);
    }
    return code;
}

static enum error_code lanes_create(struct evaluation *evaluation, struct error *error)
{
    size_t count = parallel_lanes(evaluation->options.pool);
    evaluation->lanes = arena_array(evaluation->arena, count, sizeof *evaluation->lanes);
    if (evaluation->lanes == NULL)
        return evaluation_out_of_memory(evaluation, error);
    evaluation->lane_count = count;
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = &evaluation->lanes[i];
        lane->index = i;
        lane->memory = evaluation_arena_create(evaluation);
        lane->scratch = evaluation_arena_create(evaluation);
        if (lane->memory == NULL || lane->scratch == NULL)
            return evaluation_out_of_memory(evaluation, error);
        if (!evaluation->options.counts_steps)
            continue;
        size_t steps = evaluation_step_count(evaluation);
        lane->step_counts = arena_array(lane->memory, steps, sizeof *lane->step_counts);
        if (lane->step_counts == NULL)
            return evaluation_out_of_memory(evaluation, error);
    }
    return ERROR_NONE;
}

enum error_code evaluation_open(struct evaluation *evaluation,
                                const struct promql_execution_options *options, struct error *error)
{
    memory_budget_init(&evaluation->memory, options->memory_max_bytes, options->memory);
    pthread_mutex_init(&evaluation->annotations.lock, NULL);
    pthread_mutex_init(&evaluation->failure_lock, NULL);
    enum error_code code = options_check(options, error);
    if (code != ERROR_NONE)
        return code;
    evaluation->arena = evaluation_arena_create(evaluation);
    code = evaluation->arena == NULL ? evaluation_out_of_memory(evaluation, error)
                                     : options_copy(evaluation, options, error);
    struct promql_options parse_options = {.features = options->features};
    if (code == ERROR_NONE)
        code = promql_parse(evaluation->options.query, &parse_options, evaluation->arena,
                            &evaluation->query, error);
    if (code == ERROR_NONE)
        code = durations_check(evaluation, error);
    if (code == ERROR_NONE)
        code = lanes_create(evaluation, error);
    return code;
}

void evaluation_close(struct evaluation *evaluation)
{
    evaluation_close_streams(evaluation);
    distribution_close_all(evaluation);
    promql_query_clear(&evaluation->query);
    for (size_t i = 0; i < evaluation->lane_count; i++) {
        arena_destroy(evaluation->lanes[i].scratch);
        arena_destroy(evaluation->lanes[i].memory);
    }
    arena_destroy(evaluation->annotations.arena);
    pthread_mutex_destroy(&evaluation->annotations.lock);
    pthread_mutex_destroy(&evaluation->failure_lock);
    arena_destroy(evaluation->arena);
}
