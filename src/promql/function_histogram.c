#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "function.h"
#include "histogram_math.h"
#include "label_table.h"
#include "quantile.h"

/*
 * Series of classic buckets with equal labels but `le` form one histogram; a native histogram of
 * the same labels belongs to it as well, though the two must not meet at a step.
 */
struct histogram_member {
    uint32_t series;
    uint32_t next;      /* the group's next, by upper bound; NO_MEMBER: none */
    double upper_bound; /* NaN: the series has no usable `le`, only histograms count */
};

#define NO_MEMBER    UINT32_MAX
#define BUCKET_LABEL TEXT("le")

enum { QUANTILES_MAX = 16 };

struct histogram_stream {
    struct stream stream;
    struct stream *input;
    const struct expression *expression;
    const struct expression *vector; /* the argument that `input` was made of */
    struct arena *arena;
    struct label_table groups; /* labels without `le` */
    bool *drops_name;          /* [groups.count] */
    uint32_t *first;           /* [groups.count] */
    uint32_t *size;            /* [groups.count]: members */
    size_t size_max;
    struct histogram_member *members; /* [input->count] */
    size_t per_group;                 /* outputs of one group */
    const double *parameters[QUANTILES_MAX];
    struct text_range parameter_positions[QUANTILES_MAX];
    size_t parameter_count;
    struct text quantile_label; /* histogram_quantiles */
};

struct histogram_lane {
    struct step_vector vector;
    struct step_vector *members;               /* [size_max]: copies */
    const struct histogram_member **member_of; /* [size_max] */
    struct classic_bucket *buckets;            /* [size_max] */
    const struct histogram **natives;          /* [steps] */
    size_t group_read;                         /* the group that `members` holds, + 1 */
};

/* --- Identity -------------------------------------------------------------------------------- */

static struct series_identity histogram_identity(struct stream *self, struct lane *lane,
                                                 size_t index, struct arena *arena)
{
    (void)lane;
    struct histogram_stream *stream = (struct histogram_stream *)self;
    size_t group = index / stream->per_group;
    struct labels labels = stream->groups.labels[group];
    if (stream->quantile_label.size > 0) {
        char text[NUMBER_TEXT_BYTES];
        double quantile = stream->parameters[index % stream->per_group][0];
        size_t count = labels_count(labels) + 1;
        struct label *array = arena_array(arena, count, sizeof *array);
        if (array == NULL)
            return (struct series_identity){0};
        open_metrics_number_text(text, quantile);
        array[0] = (struct label){stream->quantile_label, arena_copy_text(arena, text_of(text))};
        struct labels_cursor cursor = labels_begin(labels);
        for (size_t i = 1; i < count && labels_next(&cursor, &array[i]); i++)
            continue;
        labels = labels_build(arena, array, count);
    }
    return identity_drop_name(self->evaluation, (struct series_identity){.labels = labels}, arena);
}

/* --- Reading --------------------------------------------------------------------------------- */

static struct histogram_lane *histogram_lane_open(struct histogram_stream *stream,
                                                  struct lane *lane)
{
    struct histogram_lane *state = vector_stream_lane_state(&stream->stream, lane, sizeof *state);
    if (state == NULL || state->natives != NULL)
        return state;
    size_t steps = stream->stream.steps.count;
    state->members = arena_array(lane->memory, stream->size_max, sizeof *state->members);
    state->member_of = arena_array(lane->memory, stream->size_max, sizeof *state->member_of);
    state->buckets = arena_array(lane->memory, stream->size_max, sizeof *state->buckets);
    const struct histogram **natives = arena_array(lane->memory, steps, sizeof *natives);
    if (state->members == NULL || state->member_of == NULL || state->buckets == NULL ||
        natives == NULL || !step_vector_init(&state->vector, lane->memory, steps))
        return NULL;
    for (size_t i = 0; i < stream->size_max; i++)
        if (!step_vector_init(&state->members[i], lane->memory, steps))
            return NULL;
    state->natives = natives;
    return state;
}

static void warn_bad_bucket(struct histogram_stream *stream, struct lane *lane, size_t series)
{
    struct labels labels =
        vector_stream_identity(stream->input, lane, series, lane->scratch).labels;
    struct text name = text_quote(lane->scratch, labels_get(labels, LABEL_METRIC_NAME));
    struct text value = text_quote(lane->scratch, labels_get(labels, BUCKET_LABEL));
    bool has_name = stream->stream.evaluation->delayed_names && name.size > 2;
    evaluation_annotate(stream->stream.evaluation, PROMQL_WARNING, stream->vector->position,
                        "bucket label \"le\" is missing or has a malformed value of %.*s%s%.*s",
                        TEXT_ARGUMENTS(value), has_name ? " for metric name " : "",
                        has_name ? (int)name.size : 0, name.data);
}

/* Copy a member's floats, and put its histograms among the natives. */
static void member_take(struct histogram_stream *stream, struct histogram_lane *state,
                        struct lane *lane, size_t position, const struct step_vector *vector)
{
    size_t count = stream->stream.steps.count;
    const struct histogram_member *member = state->member_of[position];
    struct step_vector *copy = &state->members[position];
    memcpy(copy->present, vector->present, step_words(count) * sizeof *copy->present);
    memcpy(copy->values, vector->values, count * sizeof *copy->values);
    bool has_bad_float = false;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        const struct histogram *histogram = step_histogram(vector, step);
        if (histogram != NULL) {
            state->natives[step] = histogram;
            step_clear_present(copy->present, step);
        } else if (isnan(member->upper_bound)) {
            has_bad_float = true;
            step_clear_present(copy->present, step);
        } else if (vector->histograms == NULL) {
            break; /* nothing but buckets */
        }
    }
    if (has_bad_float)
        warn_bad_bucket(stream, lane, member->series);
}

static enum error_code group_read(struct histogram_stream *stream, struct histogram_lane *state,
                                  struct lane *lane, size_t group, struct error *error)
{
    state->group_read = 0;
    memset(state->natives, 0, stream->stream.steps.count * sizeof *state->natives);
    bool has_histograms = false;
    size_t position = 0;
    for (uint32_t i = stream->first[group]; i != NO_MEMBER; i = stream->members[i].next) {
        struct step_vector vector;
        enum error_code code =
            vector_stream_read(stream->input, lane, stream->members[i].series, &vector, error);
        if (code != ERROR_NONE)
            return code;
        state->member_of[position] = &stream->members[i];
        member_take(stream, state, lane, position++, &vector);
        has_histograms |= vector.histograms != NULL;
    }
    /* Histograms go with the lane's scratch; floats stay for the group's next output. */
    if (!has_histograms)
        state->group_read = group + 1;
    return ERROR_NONE;
}

static struct text group_name(const struct histogram_stream *stream, size_t group)
{
    if (!stream->stream.evaluation->delayed_names)
        return (struct text){0};
    return labels_get(stream->groups.labels[group], LABEL_METRIC_NAME);
}

static void warn_mixed(const struct histogram_stream *stream, struct lane *lane, size_t group)
{
    struct text name = group_name(stream, group);
    struct text quoted = text_quote(lane->scratch, name);
    evaluation_annotate(stream->stream.evaluation, PROMQL_WARNING, stream->vector->position,
                        "vector contains a mix of classic and native histograms%s%.*s",
                        name.size > 0 ? " for metric name " : "",
                        name.size > 0 ? (int)quoted.size : 0, quoted.data);
}

static void note_forced(const struct histogram_stream *stream, struct lane *lane, size_t group,
                        const struct bucket_quantile *quantile, size_t step)
{
    struct text name = group_name(stream, group);
    struct text quoted = text_quote(lane->scratch, name);
    struct forced_monotonicity forced = {
        .bucket_min = quantile->fixed_bucket_min,
        .bucket_max = quantile->fixed_bucket_max,
        .difference_max = quantile->difference_max,
        .timestamp_ms = step_time(&stream->stream.steps, step),
    };
    evaluation_annotate_forced(stream->stream.evaluation, stream->vector->position,
                               name.size > 0 ? quoted : (struct text){0}, &forced);
}

/* The result of one step from the group's classic buckets or its native histogram. */
static void histogram_step(struct histogram_stream *stream, struct histogram_lane *state,
                           struct lane *lane, size_t group, size_t output, size_t step)
{
    enum function_id function = stream->expression->call.function;
    size_t bucket_count = 0;
    for (size_t i = 0; i < stream->size[group]; i++)
        if (step_is_present(state->members[i].present, step))
            state->buckets[bucket_count++] = (struct classic_bucket){
                state->member_of[i]->upper_bound, state->members[i].values[step]};
    const struct histogram *native = state->natives[step];
    if (bucket_count == 0 && native == NULL)
        return;
    if (bucket_count > 0 && native != NULL) {
        warn_mixed(stream, lane, group);
        return;
    }
    double value;
    if (function == FUNCTION_HISTOGRAM_FRACTION) {
        double lower = stream->parameters[0][step];
        double upper = stream->parameters[1][step];
        value = native != NULL
                    ? histogram_fraction(stream->stream.evaluation, lower, upper, native,
                                         group_name(stream, group),
                                         stream->expression->call.arguments[0]->position, lane)
                    : fraction_of_buckets(lower, upper, state->buckets, bucket_count);
    } else {
        double quantile = stream->parameters[output][step];
        if (native != NULL) {
            value = histogram_quantile(stream->stream.evaluation, quantile, native,
                                       group_name(stream, group),
                                       stream->expression->call.arguments[0]->position, lane);
        } else {
            struct bucket_quantile result =
                quantile_of_buckets(quantile, state->buckets, bucket_count);
            if (result.forced_monotonic)
                note_forced(stream, lane, group, &result, step);
            value = result.value;
        }
    }
    state->vector.values[step] = value;
    step_set_present(state->vector.present, step);
}

static enum error_code histogram_read(struct stream *self, struct lane *lane, size_t index,
                                      struct step_vector *vector_out, struct error *error)
{
    struct histogram_stream *stream = (struct histogram_stream *)self;
    struct histogram_lane *state = histogram_lane_open(stream, lane);
    if (state == NULL)
        return evaluation_out_of_memory(self->evaluation, error);
    size_t group = index / stream->per_group;
    if (state->group_read != group + 1) {
        enum error_code code = group_read(stream, state, lane, group, error);
        if (code != ERROR_NONE)
            return code;
    }
    steps_clear(state->vector.present, self->steps.count);
    for (size_t step = 0; step < self->steps.count; step++)
        histogram_step(stream, state, lane, group, index % stream->per_group, step);
    *vector_out = state->vector;
    return ERROR_NONE;
}

static void histogram_close(struct stream *self)
{
    struct histogram_stream *stream = (struct histogram_stream *)self;
    arena_destroy(stream->arena);
    vector_stream_close(stream->input);
}

static const struct stream_operations HISTOGRAM_OPERATIONS = {
    .identity = histogram_identity,
    .read = histogram_read,
    .close = histogram_close,
};

/* --- Groups ---------------------------------------------------------------------------------- */

static bool groups_reserve(struct histogram_stream *stream, size_t *capacity)
{
    size_t grown = *capacity == 0 ? 16 : *capacity * 2;
    stream->first =
        arena_grow(stream->arena, stream->first, *capacity, grown, sizeof *stream->first);
    if (stream->first == NULL)
        return false;
    stream->size = arena_grow(stream->arena, stream->size, *capacity, grown, sizeof *stream->size);
    *capacity = grown;
    return stream->size != NULL;
}

/* Put a member into its group's list, by upper bound. */
static void member_insert(struct histogram_stream *stream, size_t group, uint32_t index)
{
    struct histogram_member *member = &stream->members[index];
    uint32_t *link = &stream->first[group];
    while (*link != NO_MEMBER && !(member->upper_bound < stream->members[*link].upper_bound))
        link = &stream->members[*link].next;
    member->next = *link;
    *link = index;
    if (++stream->size[group] > stream->size_max)
        stream->size_max = stream->size[group];
}

static enum error_code groups_make(struct histogram_stream *stream, struct error *error)
{
    struct evaluation *evaluation = stream->input->evaluation;
    static const struct text BUCKET_LABELS[] = {{"le", 2}};
    struct arena *scratch = evaluation_arena_create(evaluation);
    size_t capacity = 0;
    enum error_code code = ERROR_NONE;
    stream->members = arena_array(stream->arena, stream->input->count, sizeof *stream->members);
    if (scratch == NULL || stream->members == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    for (uint32_t i = 0; code == ERROR_NONE && i < stream->input->count; i++) {
        arena_reset(scratch);
        struct labels labels =
            vector_stream_identity(stream->input, &evaluation->lanes[0], i, scratch).labels;
        double bound;
        bool has_bound = text_to_double(labels_get(labels, BUCKET_LABEL), &bound);
        if (has_bound)
            labels = labels_project(scratch, labels, LABELS_DROP_NAMED, BUCKET_LABELS, 1);
        size_t known = stream->groups.count;
        size_t group;
        if (!label_table_add(&stream->groups, labels, &group) ||
            (group == capacity && !groups_reserve(stream, &capacity))) {
            code = evaluation_out_of_memory(evaluation, error);
            break;
        }
        if (group == known) {
            stream->first[group] = NO_MEMBER;
            stream->size[group] = 0;
        }
        stream->members[i] = (struct histogram_member){
            .series = i,
            .upper_bound = has_bound ? bound : NAN,
        };
        member_insert(stream, group, i);
    }
    arena_destroy(scratch);
    return code;
}

/* --- Building -------------------------------------------------------------------------------- */

static void check_quantiles(struct histogram_stream *stream)
{
    if (stream->expression->call.function == FUNCTION_HISTOGRAM_FRACTION)
        return;
    for (size_t i = 0; i < stream->parameter_count; i++) {
        for (size_t step = 0; step < stream->stream.steps.count; step++) {
            double quantile = stream->parameters[i][step];
            if (isnan(quantile) || quantile < 0 || quantile > 1)
                evaluation_annotate_quantile(stream->stream.evaluation, quantile,
                                             stream->parameter_positions[i]);
        }
    }
}

static enum error_code histogram_arguments(struct histogram_stream *stream,
                                           struct evaluation *evaluation,
                                           const struct step_range *steps, struct error *error)
{
    const struct call_node *call = &stream->expression->call;
    for (size_t i = 0; i < call->argument_count; i++) {
        const struct expression *argument = expression_unwrap(call->arguments[i]);
        if (argument->type == VALUE_VECTOR) {
            stream->vector = argument;
        } else if (argument->type == VALUE_STRING) {
            stream->quantile_label = argument->string.value;
        } else {
            if (stream->parameter_count == QUANTILES_MAX)
                return error_set(error, ERROR_LIMIT, "too many quantiles");
            stream->parameter_positions[stream->parameter_count] = argument->position;
            enum error_code code = evaluate_scalar(
                evaluation, argument, steps, &stream->parameters[stream->parameter_count++], error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    assert(stream->vector != NULL);
    return ERROR_NONE;
}

enum error_code function_histogram_stream(struct evaluation *evaluation,
                                          const struct expression *expression,
                                          const struct step_range *steps,
                                          struct stream **stream_out, struct error *error)
{
    struct histogram_stream *stream = arena_array(evaluation->arena, 1, sizeof *stream);
    if (stream == NULL)
        return evaluation_out_of_memory(evaluation, error);
    stream->expression = expression;
    enum error_code code = histogram_arguments(stream, evaluation, steps, error);
    if (code == ERROR_NONE)
        code = evaluate_vector(evaluation, stream->vector, steps, &stream->input, error);
    if (code != ERROR_NONE)
        return code;
    if (stream->input->count >= NO_MEMBER)
        return error_set(error, ERROR_LIMIT, "too many series");
    stream->arena = evaluation_arena_create(evaluation);
    if (stream->arena == NULL)
        return evaluation_out_of_memory(evaluation, error);
    label_table_init(&stream->groups, stream->arena);
    code = groups_make(stream, error);
    stream->per_group = stream->quantile_label.size > 0 ? stream->parameter_count : 1;
    if (code == ERROR_NONE)
        code = vector_stream_init(&stream->stream, evaluation, &HISTOGRAM_OPERATIONS, steps,
                                  stream->groups.count * stream->per_group, error);
    if (code != ERROR_NONE) {
        arena_destroy(stream->arena);
        return code;
    }
    check_quantiles(stream);
    if (evaluation->delayed_names) {
        *stream_out = &stream->stream;
        return ERROR_NONE;
    }
    return vector_stream_merge_equal_labels(&stream->stream, stream_out, error);
}
