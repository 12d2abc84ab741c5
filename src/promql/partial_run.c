#include "promql/partial.h"

#include <assert.h>

#include "aggregate.h"
#include "distribute.h"
#include "partial_answer.h"
#include "partial_rows.h"
#include "promql/labelled_source.h"
#include "store.h"

/*
 * Rows are encoded by all lanes, a part of the series each, and written in the order of the parts:
 * a lane that has a piece full waits until all parts before its own are written. So memory holds a
 * piece per lane, and the bytes do not depend on threads.
 */

/* --- Writing --------------------------------------------------------------------------------- */

struct answer_writer {
    struct promql_partial_sink *sink;
    uint64_t row_count;
    bool has_failed; /* the sink: nothing more is written */
};

static enum error_code writer_write(struct answer_writer *writer, const struct byte_buffer *bytes,
                                    struct error *error)
{
    if (bytes->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "answer to a sub-query");
    enum error_code code = writer->sink->write(writer->sink, bytes->bytes, bytes->size, error);
    writer->has_failed |= code != ERROR_NONE;
    return code;
}

static enum error_code writer_frame(struct answer_writer *writer, enum answer_frame kind,
                                    const struct byte_buffer *payload, struct error *error)
{
    struct byte_buffer frame = {0};
    frame_append(&frame, kind, payload);
    enum error_code code = writer_write(writer, &frame, error);
    byte_buffer_clear(&frame);
    return code;
}

/* Rows so far as a frame. */
static enum error_code writer_rows(struct answer_writer *writer, struct rows_encoder *encoder,
                                   struct error *error)
{
    if (encoder->rows.size == 0 && !encoder->rows.failed)
        return ERROR_NONE;
    writer->row_count += encoder->row_count;
    enum error_code code = writer_frame(writer, FRAME_ROWS, &encoder->rows, error);
    encoder->row_count = 0;
    rows_encoder_reset(encoder);
    return code;
}

static uint8_t flags_of(const struct stream *stream)
{
    return stream->is_unique_without_name ? ANSWER_UNIQUE_WITHOUT_NAME : 0;
}

static enum error_code writer_header(struct answer_writer *writer, struct evaluation *evaluation,
                                     const struct promql_partial_request *request, uint8_t flags,
                                     struct error *error)
{
    struct byte_buffer payload = {0};
    struct answer_header header = {
        .mode = request->mode,
        .flags = (uint8_t)(flags | (evaluation->has_type_or_unit ? ANSWER_HAS_TYPE_OR_UNIT : 0)),
        .step_count = request->step_count,
    };
    answer_header_encode(&header, &payload);
    enum error_code code = writer_frame(writer, FRAME_HEADER, &payload, error);
    byte_buffer_clear(&payload);
    return code;
}

/* --- Series ---------------------------------------------------------------------------------- */

struct series_run {
    struct answer_writer *writer;
    struct stream *stream;
    struct partition partition;
    enum promql_partial_packing packing;
    struct codec_scratch **scratches; /* [lane_count], of packing: NULL until a lane needs it */
    pthread_mutex_t lock;
    pthread_cond_t turn_has_come;
    size_t turn;        /* the part that may write */
    size_t failed_part; /* the lowest; those after it need not wait */
};

struct series_part {
    struct series_run *run;
    struct rows_encoder encoder;
    size_t part;
};

/* False when a part before has failed, whose error is the answer. */
static bool turn_await(struct series_run *run, size_t part)
{
    pthread_mutex_lock(&run->lock);
    while (run->turn != part && run->failed_part > part)
        pthread_cond_wait(&run->turn_has_come, &run->lock);
    bool has_come = run->turn == part;
    pthread_mutex_unlock(&run->lock);
    return has_come;
}

static void turn_end(struct series_run *run, size_t part, enum error_code code)
{
    pthread_mutex_lock(&run->lock);
    if (code == ERROR_NONE)
        run->turn = part + 1;
    else if (part < run->failed_part)
        run->failed_part = part;
    pthread_cond_broadcast(&run->turn_has_come);
    pthread_mutex_unlock(&run->lock);
}

static enum error_code series_flush(struct series_part *state, struct error *error)
{
    if (!turn_await(state->run, state->part))
        return error_set(error, ERROR_CANCELED, "a part before has failed");
    return writer_rows(state->run->writer, &state->encoder, error);
}

static enum error_code series_visit_row(void *context, struct lane *lane, size_t index,
                                        const struct step_vector *vector, struct error *error)
{
    struct series_part *state = context;
    struct stream *stream = state->run->stream;
    if (!steps_any(vector->present, stream->steps.count))
        return ERROR_NONE;
    struct series_identity identity = vector_stream_identity(stream, lane, index, lane->scratch);
    if (!rows_encode_series(&state->encoder, identity, vector, lane->scratch))
        return evaluation_out_of_memory(stream->evaluation, error);
    return state->encoder.rows.size < PROMQL_PARTIAL_PIECE_BYTES ? ERROR_NONE
                                                                 : series_flush(state, error);
}

static enum error_code series_part_run(void *context, struct lane *lane, size_t part,
                                       struct error *error)
{
    struct series_run *run = context;
    struct series_part state = {.run = run, .part = part};
    struct codec_scratch **scratch = &run->scratches[lane->index];
    enum error_code code = ERROR_NONE;
    if (*scratch == NULL && run->packing == PROMQL_PARTIAL_SHORT) {
        *scratch = arena_allocate(lane->memory, sizeof **scratch);
        if (*scratch == NULL)
            code = evaluation_out_of_memory(run->stream->evaluation, error);
    }
    rows_encoder_init(&state.encoder, run->stream->steps.count, *scratch);
    if (code == ERROR_NONE)
        code = vector_stream_visit_part(run->stream, lane, run->partition, part, series_visit_row,
                                        &state, error);
    if (code == ERROR_NONE)
        code = series_flush(&state, error);
    rows_encoder_clear(&state.encoder);
    turn_end(run, part, code);
    return code;
}

static enum error_code series_write(struct answer_writer *writer,
                                    const struct promql_partial_request *request,
                                    struct evaluation *evaluation, const struct step_range *steps,
                                    struct error *error)
{
    struct stream *stream;
    enum error_code code =
        evaluate_vector(evaluation, evaluation->query.root, steps, &stream, error);
    if (code == ERROR_NONE)
        code = writer_header(writer, evaluation, request, flags_of(stream), error);
    if (code != ERROR_NONE)
        return code;
    struct series_run run = {
        .writer = writer,
        .stream = stream,
        .partition = vector_stream_partition(stream),
        .packing = request->packing,
        .scratches = arena_array(evaluation->arena, evaluation->lane_count, sizeof *run.scratches),
        .failed_part = SIZE_MAX,
    };
    if (run.scratches == NULL)
        return evaluation_out_of_memory(evaluation, error);
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.turn_has_come, NULL);
    code = evaluation_run_parts(evaluation, run.partition, series_part_run, &run, error);
    pthread_cond_destroy(&run.turn_has_come);
    pthread_mutex_destroy(&run.lock);
    vector_stream_close(stream);
    return code;
}

/* --- Groups ---------------------------------------------------------------------------------- */

static bool operation_has_groups(enum aggregation operation)
{
    switch (operation) {
    case AGGREGATE_AVG:
    case AGGREGATE_COUNT:
    case AGGREGATE_COUNT_VALUES:
    case AGGREGATE_GROUP:
    case AGGREGATE_MAX:
    case AGGREGATE_MIN:
    case AGGREGATE_STDDEV:
    case AGGREGATE_STDVAR:
    case AGGREGATE_SUM:
        return true;
    default:
        return false;
    }
}

static enum error_code groups_encode(struct answer_writer *writer, struct evaluation *evaluation,
                                     enum promql_partial_packing packing,
                                     const struct aggregation_groups *groups, size_t step_count,
                                     struct error *error)
{
    struct rows_encoder encoder;
    struct arena *scratch = evaluation->lanes[0].scratch;
    struct codec_scratch *packing_scratch = NULL;
    if (packing == PROMQL_PARTIAL_SHORT) {
        packing_scratch = arena_allocate(evaluation->arena, sizeof *packing_scratch);
        if (packing_scratch == NULL)
            return evaluation_out_of_memory(evaluation, error);
    }
    enum error_code code = ERROR_NONE;
    rows_encoder_init(&encoder, step_count, packing_scratch);
    for (size_t i = 0; code == ERROR_NONE && i < groups->table.count; i++) {
        arena_reset(scratch);
        if (!rows_encode_group(&encoder, groups->table.labels[i], &groups->groups[i], scratch))
            code = evaluation_out_of_memory(evaluation, error);
        else if (encoder.rows.size >= PROMQL_PARTIAL_PIECE_BYTES)
            code = evaluation_check(evaluation, error);
        if (code == ERROR_NONE && encoder.rows.size >= PROMQL_PARTIAL_PIECE_BYTES)
            code = writer_rows(writer, &encoder, error);
    }
    if (code == ERROR_NONE)
        code = writer_rows(writer, &encoder, error);
    rows_encoder_clear(&encoder);
    return code;
}

static enum error_code groups_encode_all(struct answer_writer *writer,
                                         const struct promql_partial_request *request,
                                         struct evaluation *evaluation,
                                         struct aggregation_groups *groups,
                                         const struct step_range *steps, struct error *error)
{
    enum error_code code =
        groups_encode(writer, evaluation, request->packing, groups, steps->count, error);
    aggregation_groups_clear(groups);
    return code;
}

/* Of the series that are read here, or whose values come from places of this one. */
static enum error_code groups_write_here(struct answer_writer *writer,
                                         const struct promql_partial_request *request,
                                         struct evaluation *evaluation,
                                         struct aggregation_plan *plan,
                                         const struct expression *operand,
                                         const struct step_range *steps, struct error *error)
{
    struct stream *input;
    struct aggregation_groups groups;
    enum error_code code = evaluate_vector(evaluation, operand, steps, &input, error);
    if (code == ERROR_NONE)
        code = writer_header(writer, evaluation, request, flags_of(input), error);
    if (code == ERROR_NONE)
        code = aggregation_collect(plan, input, &groups, error);
    if (code != ERROR_NONE)
        return code;
    return groups_encode_all(writer, request, evaluation, &groups, steps, error);
}

static enum error_code groups_write(struct answer_writer *writer,
                                    const struct promql_partial_request *request,
                                    struct evaluation *evaluation, const struct step_range *steps,
                                    struct error *error)
{
    const struct expression *root = expression_unwrap(evaluation->query.root);
    if (root->kind != EXPRESSION_AGGREGATION || !operation_has_groups(root->aggregation.operation))
        return error_set(error, ERROR_UNSUPPORTED, "sub-query: groups of what has none");
    struct aggregation_plan *plan;
    struct aggregation_groups groups;
    bool are_merged = false;
    enum error_code code = aggregation_plan_make(evaluation, root, steps, &plan, error);
    if (code == ERROR_NONE && evaluation->options.distributor != NULL)
        code = distribution_groups(evaluation, root, steps, plan, &groups, &are_merged, error);
    if (code == ERROR_NONE && !are_merged)
        return groups_write_here(writer, request, evaluation, plan, root->aggregation.operand,
                                 steps, error);
    if (code == ERROR_NONE)
        code = writer_header(writer, evaluation, request, 0, error);
    if (code != ERROR_NONE) {
        if (are_merged)
            aggregation_groups_clear(&groups);
        return code;
    }
    return groups_encode_all(writer, request, evaluation, &groups, steps, error);
}

/* --- The whole answer ------------------------------------------------------------------------ */

static enum error_code annotations_write(struct answer_writer *writer,
                                         struct evaluation *evaluation, struct error *error)
{
    evaluation_annotate_finish(evaluation);
    const struct annotations *annotations = &evaluation->annotations;
    if (annotations->count == 0)
        return ERROR_NONE;
    struct byte_buffer payload = {0};
    answer_annotations_encode(annotations->entries, annotations->count, &payload);
    enum error_code code = writer_frame(writer, FRAME_ANNOTATIONS, &payload, error);
    byte_buffer_clear(&payload);
    return code;
}

/* What was looked at, and that this is all. */
static enum error_code end_write(struct answer_writer *writer, struct evaluation *evaluation,
                                 struct error *error)
{
    struct promql_statistics statistics = {0};
    struct byte_buffer payload = {0};
    evaluation_statistics(evaluation, &statistics);
    answer_statistics_encode(&statistics, &payload);
    enum error_code code = writer_frame(writer, FRAME_STATISTICS, &payload, error);
    byte_buffer_reset(&payload);
    byte_buffer_varint(&payload, writer->row_count);
    if (code == ERROR_NONE)
        code = writer_frame(writer, FRAME_END, &payload, error);
    byte_buffer_clear(&payload);
    return code;
}

/* Tell what went wrong, unless it is the sink. */
static void failure_write(struct answer_writer *writer, struct evaluation *evaluation,
                          const struct error *failure)
{
    struct error ignored; /* the failure is what counts */
    if (writer->has_failed)
        return;
    struct byte_buffer payload = {0};
    answer_error_encode(failure, &payload);
    if (annotations_write(writer, evaluation, &ignored) == ERROR_NONE)
        (void)writer_frame(writer, FRAME_ERROR, &payload, &ignored);
    byte_buffer_clear(&payload);
}

/* The lower of two limits, of which 0 is none. */
static uint64_t lower_limit(uint64_t left, uint64_t right)
{
    if (left == 0 || right == 0)
        return left + right;
    return left < right ? left : right;
}

static struct promql_execution_options
options_make(const struct promql_partial_request *request,
             const struct promql_partial_environment *environment)
{
    static const uint64_t MILLISECOND_NS = 1000000;
    uint64_t deadline_ns = 0;
    if (request->timeout_ms > 0 && request->timeout_ms < INT64_MAX / MILLISECOND_NS)
        deadline_ns = clock_monotonic_ns(environment->clock) + request->timeout_ms * MILLISECOND_NS;
    return (struct promql_execution_options){
        .query = request->expression,
        .tenant = request->tenant,
        .start_ms = request->query_start_ms,
        .end_ms = request->query_end_ms,
        .step_ms = request->query_step_ms,
        .lookback_ms = request->lookback_ms,
        .subquery_step_default_ms = request->subquery_step_default_ms,
        .features = request->features,
        .counts_steps = request->counts_steps,
        .source = environment->source,
        .distributor = environment->distributor,
        .external_labels = request->external_labels,
        .pool = environment->pool,
        .clock = environment->clock,
        .memory_max_bytes = environment->memory_max_bytes,
        .samples_max = lower_limit(environment->samples_max, request->samples_max),
        .deadline_ns = lower_limit(environment->deadline_ns, deadline_ns),
        .canceled = environment->canceled,
        .memory = environment->memory,
    };
}

static enum error_code partial_evaluate(struct answer_writer *writer,
                                        const struct promql_partial_request *request,
                                        struct evaluation *evaluation, struct error *error)
{
    struct step_range steps = {
        .start_ms = request->start_ms,
        .step_ms = request->step_ms,
        .count = (size_t)request->step_count,
    };
    evaluation->sample_weight = request->sample_weight;
    evaluation->step_shift_ms = request->sample_shift_ms;
    evaluation->text_line = request->line;
    evaluation->text_column = request->column;
    if (evaluation->query.root->type != VALUE_VECTOR)
        return error_set(error, ERROR_INVALID, "sub-query: not an instant vector");
    enum error_code code = request->mode == PROMQL_PARTIAL_GROUPS
                               ? groups_write(writer, request, evaluation, &steps, error)
                               : series_write(writer, request, evaluation, &steps, error);
    if (code == ERROR_NONE)
        code = evaluation_check(evaluation, error);
    if (code == ERROR_NONE)
        code = annotations_write(writer, evaluation, error);
    return code == ERROR_NONE ? end_write(writer, evaluation, error) : code;
}

enum error_code promql_partial_run(const struct promql_partial_request *request,
                                   const struct promql_partial_environment *environment,
                                   struct promql_partial_sink *sink, struct error *error)
{
    assert(request != NULL && sink != NULL);
    assert(environment->source != NULL && environment->clock != NULL);

    struct answer_writer writer = {.sink = sink};
    struct promql_execution_options options = options_make(request, environment);
    struct labelled_source labelled;
    if (request->external_labels.size > 0)
        options.source =
            labelled_source_init(&labelled, environment->source, request->external_labels);
    struct evaluation evaluation = {0};
    enum error_code code = evaluation_open(&evaluation, &options, error);
    if (code == ERROR_NONE)
        code = partial_evaluate(&writer, request, &evaluation, error);
    distribution_close_all(&evaluation);
    if (code != ERROR_NONE)
        failure_write(&writer, &evaluation, error);
    evaluation_close(&evaluation);
    return code;
}
