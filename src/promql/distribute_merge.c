#include <assert.h>

#include "aggregate.h"
#include "distribute.h"
#include "function.h"
#include "partial_rows.h"
#include "store.h"

/* --- Reading answers ------------------------------------------------------------------------- */

/* Take the next row. */
typedef enum error_code row_take(void *context, size_t place, struct rows_decoder *decoder,
                                 struct error *error);

static enum error_code end_check(struct byte_reader payload, uint64_t row_count,
                                 struct error *error)
{
    uint64_t counted = byte_reader_varint(&payload);
    if (payload.failed || byte_reader_left(&payload) > 0 || counted != row_count)
        return error_set(error, ERROR_CORRUPT, "sub-query: rows of the answer are missing");
    return ERROR_NONE;
}

/* From the header to the end. */
static enum error_code answer_read(struct answer_reader *reader, struct rows_decoder *decoder,
                                   row_take *take, void *context, struct error *error)
{
    uint64_t row_count = 0;
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE) {
        enum answer_frame kind;
        struct byte_reader payload;
        code = answer_read_frame(reader, &kind, &payload, error);
        if (code != ERROR_NONE)
            return code;
        switch (kind) {
        case FRAME_ROWS:
            rows_decoder_begin(decoder, payload);
            for (; code == ERROR_NONE && rows_decoder_has_more(decoder); row_count++)
                code = take(context, reader->place, decoder, error);
            break;
        case FRAME_ANNOTATIONS:
            code = answer_annotations_decode(payload, reader->evaluation, error);
            break;
        case FRAME_STATISTICS:
            code = answer_statistics_decode(payload, reader->evaluation, error);
            break;
        case FRAME_ERROR:
            return answer_error_decode(payload, error);
        case FRAME_END:
            return end_check(payload, row_count, error);
        case FRAME_HEADER:
            return error_set(error, ERROR_CORRUPT, "sub-query: a second header");
        }
    }
    return code;
}

static enum error_code answers_read(struct evaluation *evaluation, struct distributed *distributed,
                                    row_take *take, void *context, struct error *error)
{
    struct arena *arena = evaluation_arena_create(evaluation);
    if (arena == NULL)
        return evaluation_out_of_memory(evaluation, error);
    struct rows_decoder decoder;
    enum error_code code =
        rows_decoder_init(&decoder, evaluation, distributed->steps.count, arena, error);
    for (size_t place = 0; code == ERROR_NONE && place < distributed->distribution->place_count;
         place++) {
        code = answer_read(&distributed->readers[place], &decoder, take, context, error);
        answer_reader_clear(&distributed->readers[place]);
    }
    arena_destroy(arena);
    return code;
}

/* --- Series ---------------------------------------------------------------------------------- */

struct series_merge {
    struct store store;
    uint64_t sample_count;
};

static enum error_code series_take(void *context, size_t place, struct rows_decoder *decoder,
                                   struct error *error)
{
    (void)place;
    struct series_merge *merge = context;
    struct store *store = &merge->store;
    enum error_code code = rows_decode_series(decoder, store, error);
    if (code != ERROR_NONE)
        return code;
    const struct stored_series *series = &store->series[store->count - 1];
    merge->sample_count += steps_present_count(series->vector.present, store->steps.count);
    return evaluation_look_at_samples(store->evaluation, merge->sample_count, error);
}

/* The series of all places, one place after the other. */
static enum error_code series_merge(struct evaluation *evaluation, struct distributed *distributed,
                                    struct stream **stream_out, struct error *error)
{
    struct series_merge merge = {0};
    enum error_code code = store_init(&merge.store, evaluation, &distributed->steps, error);
    if (code == ERROR_NONE)
        code = answers_read(evaluation, distributed, series_take, &merge, error);
    if (code != ERROR_NONE) {
        store_clear(&merge.store);
        return code;
    }
    struct stream *stream;
    code = store_stream(&merge.store, &stream, error);
    if (code != ERROR_NONE)
        return code;
    bool is_unique = true;
    for (size_t place = 0; place < distributed->distribution->place_count; place++)
        is_unique &= (distributed->flags[place] & ANSWER_UNIQUE_WITHOUT_NAME) != 0;
    stream->is_unique_without_name = is_unique;
    return vector_stream_merge_equal_labels(stream, stream_out, error);
}

/* --- Groups ---------------------------------------------------------------------------------- */

struct groups_merge {
    struct aggregation_plan *plan;
    struct aggregation_groups groups;
    struct arena *arena; /* of the row */
};

static enum error_code group_take(void *context, size_t place, struct rows_decoder *decoder,
                                  struct error *error)
{
    (void)place;
    struct groups_merge *merge = context;
    struct labels labels;
    struct aggregation_group group;
    arena_reset(merge->arena);
    enum error_code code =
        rows_decode_group(decoder, merge->plan, merge->arena, &labels, &group, error);
    return code == ERROR_NONE
               ? aggregation_merge_group(merge->plan, &merge->groups, labels, &group, error)
               : code;
}

static enum error_code groups_merge(struct evaluation *evaluation, struct distributed *distributed,
                                    struct aggregation_plan *plan, struct stream **stream_out,
                                    struct error *error)
{
    struct groups_merge merge = {.plan = plan, .arena = evaluation_arena_create(evaluation)};
    enum error_code code = ERROR_NONE;
    if (merge.arena == NULL || !aggregation_groups_init(&merge.groups, evaluation))
        code = evaluation_out_of_memory(evaluation, error);
    if (code == ERROR_NONE)
        code = answers_read(evaluation, distributed, group_take, &merge, error);
    arena_destroy(merge.arena);
    if (code == ERROR_NONE)
        return aggregation_finish(plan, &merge.groups, stream_out, error);
    aggregation_groups_clear(&merge.groups);
    return code;
}

/* --- Absence --------------------------------------------------------------------------------- */

struct absence_merge {
    const struct distributed *distributed;
    struct store store;
    uint64_t *absent; /* [place_count][words]: where the place has nothing */
    size_t words;
};

static enum error_code absence_take(void *context, size_t place, struct rows_decoder *decoder,
                                    struct error *error)
{
    struct absence_merge *merge = context;
    enum error_code code = rows_decode_series(decoder, &merge->store, error);
    if (code != ERROR_NONE)
        return code;
    const struct stored_series *series = &merge->store.series[merge->store.count - 1];
    for (size_t word = 0; word < merge->words; word++)
        merge->absent[place * merge->words + word] |= series->vector.present[word];
    return ERROR_NONE;
}

/* Something is there when it is in one place. */
static enum error_code absence_merge(struct evaluation *evaluation, struct distributed *distributed,
                                     struct stream **stream_out, struct error *error)
{
    size_t place_count = distributed->distribution->place_count;
    struct absence_merge merge = {
        .distributed = distributed,
        .words = step_words(distributed->steps.count),
    };
    enum error_code code = store_init(&merge.store, evaluation, &distributed->steps, error);
    uint64_t *present = arena_array(evaluation->arena, merge.words, sizeof *present);
    if (code == ERROR_NONE)
        merge.absent =
            arena_array(merge.store.arena, place_count * merge.words, sizeof *merge.absent);
    if (code == ERROR_NONE && (merge.absent == NULL || present == NULL))
        code = evaluation_out_of_memory(evaluation, error);
    if (code == ERROR_NONE)
        code = answers_read(evaluation, distributed, absence_take, &merge, error);
    for (size_t place = 0; code == ERROR_NONE && place < place_count; place++) {
        if (distributed->flags[place] & ANSWER_LEFT_OUT)
            continue;
        for (size_t word = 0; word < merge.words; word++)
            present[word] |= ~merge.absent[place * merge.words + word];
    }
    store_clear(&merge.store);
    return code == ERROR_NONE
               ? function_absent_result(evaluation, distributed->expression, &distributed->steps,
                                        present, stream_out, error)
               : code;
}

/* --- All ------------------------------------------------------------------------------------- */

enum error_code distribution_merge(struct evaluation *evaluation, struct distributed *distributed,
                                   struct stream **stream_out, struct error *error)
{
    const struct expression *expression = distributed->expression;
    struct aggregation_plan *plan = NULL;
    enum error_code code = ERROR_NONE;
    switch (distributed->plan.kind) {
    case DISTRIBUTE_SERIES:
        return series_merge(evaluation, distributed, stream_out, error);
    case DISTRIBUTE_GROUPS:
        code = aggregation_plan_make(evaluation, expression, &distributed->steps, &plan, error);
        return code == ERROR_NONE ? groups_merge(evaluation, distributed, plan, stream_out, error)
                                  : code;
    case DISTRIBUTE_SELECTED: {
        struct stream *input;
        code = aggregation_plan_make(evaluation, expression, &distributed->steps, &plan, error);
        if (code == ERROR_NONE)
            code = series_merge(evaluation, distributed, &input, error);
        return code == ERROR_NONE ? aggregate_select(plan, expression, input, stream_out, error)
                                  : code;
    }
    case DISTRIBUTE_ABSENT:
        return absence_merge(evaluation, distributed, stream_out, error);
    case DISTRIBUTE_NOT:
        break;
    }
    assert(false);
    return error_set(error, ERROR_INVALID, "sub-query: of no kind");
}
