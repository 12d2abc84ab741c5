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

/* In which order rows are taken: those of groups decide about last digits. */
enum rows_order { ROWS_BY_PLACE, ROWS_AS_THEY_COME };

struct answers_run {
    struct distributed *distributed;
    struct rows_decoder decoder; /* of all places: what it remembers ends with a frame */
    row_take *take;
    void *context;
    uint64_t *row_counts; /* [place_count] */
    bool *unfinished;     /* [place_count]: rows are to be taken */
    bool *awaited;        /* [place_count]: bytes are to come */
};

static enum error_code frame_take(struct answers_run *run, struct answer_reader *reader,
                                  enum answer_frame kind, struct byte_reader payload,
                                  struct error *error)
{
    enum error_code code = ERROR_NONE;
    switch (kind) {
    case FRAME_ROWS:
        rows_decoder_begin(&run->decoder, payload);
        for (; code == ERROR_NONE && rows_decoder_has_more(&run->decoder);
             run->row_counts[reader->place]++)
            code = run->take(run->context, reader->place, &run->decoder, error);
        return code;
    case FRAME_ANNOTATIONS:
        return answer_annotations_decode(payload, reader->evaluation, error);
    case FRAME_STATISTICS:
        return answer_statistics_decode(payload, reader->evaluation, error);
    case FRAME_ERROR:
        return answer_error_decode(payload, error);
    case FRAME_END:
        code = end_check(payload, run->row_counts[reader->place], error);
        run->unfinished[reader->place] = false;
        answer_reader_clear(reader);
        return code;
    case FRAME_HEADER:
        break;
    }
    return error_set(error, ERROR_CORRUPT, "sub-query: a second header");
}

/* All frames of a place that are there. */
static enum error_code frames_take(struct answers_run *run, size_t place, struct error *error)
{
    struct answer_reader *reader = &run->distributed->readers[place];
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && run->unfinished[place]) {
        enum answer_frame kind;
        struct byte_reader payload;
        bool is_there;
        code = answer_next_frame(reader, &is_there, &kind, &payload, error);
        if (code == ERROR_NONE && !is_there)
            break;
        if (code == ERROR_NONE)
            code = frame_take(run, reader, kind, payload, error);
    }
    return code;
}

/* The frames that are there and may be taken; *first_out is the first place with more to come. */
static enum error_code frames_take_all(struct answers_run *run, enum rows_order order,
                                       size_t *first_out, struct error *error)
{
    size_t count = run->distributed->distribution->place_count;
    enum error_code code = ERROR_NONE;
    size_t first = count;
    for (size_t place = 0; code == ERROR_NONE && place < count; place++) {
        if (first == count || order == ROWS_AS_THEY_COME)
            code = frames_take(run, place, error);
        if (run->unfinished[place] && first == count)
            first = place;
    }
    *first_out = first;
    return code;
}

/* From the headers to the ends. */
static enum error_code answers_take(struct answers_run *run, enum rows_order order,
                                    struct error *error)
{
    struct promql_distribution *distribution = run->distributed->distribution;
    for (;;) {
        size_t place;
        enum error_code code = frames_take_all(run, order, &place, error);
        if (code != ERROR_NONE || place == distribution->place_count)
            return code;
        if (distribution->operations->await != NULL) {
            for (size_t i = 0; i < distribution->place_count; i++)
                run->awaited[i] = run->unfinished[i] && !run->distributed->readers[i].is_whole;
            place = distribution->operations->await(distribution, run->awaited);
        }
        assert(place < distribution->place_count && run->unfinished[place]);
        code = answer_read_more(&run->distributed->readers[place], error);
        if (code != ERROR_NONE)
            return code;
    }
}

static enum error_code answers_read(struct evaluation *evaluation, struct distributed *distributed,
                                    enum rows_order order, row_take *take, void *context,
                                    struct error *error)
{
    size_t count = distributed->distribution->place_count;
    struct answers_run run = {.distributed = distributed, .take = take, .context = context};
    struct arena *arena = evaluation_arena_create(evaluation);
    if (arena != NULL) {
        run.row_counts = arena_array(arena, count, sizeof *run.row_counts);
        run.unfinished = arena_array(arena, count, sizeof *run.unfinished);
        run.awaited = arena_array(arena, count, sizeof *run.awaited);
    }
    enum error_code code = ERROR_NONE;
    if (run.row_counts == NULL || run.unfinished == NULL || run.awaited == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    else
        code = rows_decoder_init(&run.decoder, evaluation, distributed->steps.count, arena, error);
    for (size_t place = 0; code == ERROR_NONE && place < count; place++)
        run.unfinished[place] = true;
    if (code == ERROR_NONE)
        code = answers_take(&run, order, error);
    arena_destroy(arena);
    return code;
}

/* --- Series ---------------------------------------------------------------------------------- */

struct series_merge {
    struct store *stores;  /* [place_count] */
    uint64_t sample_count; /* of all */
};

static enum error_code series_take(void *context, size_t place, struct rows_decoder *decoder,
                                   struct error *error)
{
    struct series_merge *merge = context;
    struct store *store = &merge->stores[place];
    enum error_code code = rows_decode_series(decoder, store, error);
    if (code != ERROR_NONE)
        return code;
    const struct stored_series *series = &store->series[store->count - 1];
    merge->sample_count += steps_present_count(series->vector.present, store->steps.count);
    return evaluation_look_at_samples(store->evaluation, merge->sample_count, error);
}

static enum error_code series_read(struct evaluation *evaluation, struct distributed *distributed,
                                   struct series_merge *merge, struct error *error)
{
    size_t count = distributed->distribution->place_count;
    enum error_code code = ERROR_NONE;
    for (size_t place = 0; code == ERROR_NONE && place < count; place++)
        code = store_init(&merge->stores[place], evaluation, &distributed->steps, error);
    if (code == ERROR_NONE)
        code = answers_read(evaluation, distributed, ROWS_AS_THEY_COME, series_take, merge, error);
    for (size_t place = 0; code == ERROR_NONE && place < count; place++)
        code = store_hold(&merge->stores[place], error);
    for (size_t place = 0; code != ERROR_NONE && place < count; place++)
        store_clear(&merge->stores[place]);
    return code;
}

/* The series of all places, one place after the other. */
static enum error_code series_merge(struct evaluation *evaluation, struct distributed *distributed,
                                    struct stream **stream_out, struct error *error)
{
    size_t count = distributed->distribution->place_count;
    struct series_merge merge = {
        .stores = arena_array(evaluation->arena, count, sizeof *merge.stores),
    };
    if (merge.stores == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code = series_read(evaluation, distributed, &merge, error);
    struct stream *stream;
    if (code == ERROR_NONE)
        code = stores_stream(evaluation, &distributed->steps, merge.stores, count, &stream, error);
    if (code != ERROR_NONE)
        return code;
    bool is_unique = true;
    for (size_t place = 0; place < count; place++)
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

enum error_code distribution_merge_groups(struct evaluation *evaluation,
                                          struct distributed *distributed,
                                          struct aggregation_plan *plan,
                                          struct aggregation_groups *groups_out,
                                          struct error *error)
{
    struct groups_merge merge = {.plan = plan, .arena = evaluation_arena_create(evaluation)};
    enum error_code code = ERROR_NONE;
    if (merge.arena == NULL || !aggregation_groups_init(&merge.groups, evaluation))
        code = evaluation_out_of_memory(evaluation, error);
    if (code == ERROR_NONE)
        code = answers_read(evaluation, distributed, ROWS_BY_PLACE, group_take, &merge, error);
    arena_destroy(merge.arena);
    if (code == ERROR_NONE)
        *groups_out = merge.groups;
    else
        aggregation_groups_clear(&merge.groups);
    return code;
}

static enum error_code groups_merge(struct evaluation *evaluation, struct distributed *distributed,
                                    struct aggregation_plan *plan, struct stream **stream_out,
                                    struct error *error)
{
    struct aggregation_groups groups;
    enum error_code code = distribution_merge_groups(evaluation, distributed, plan, &groups, error);
    return code == ERROR_NONE ? aggregation_finish(plan, &groups, stream_out, error) : code;
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
        code =
            answers_read(evaluation, distributed, ROWS_AS_THEY_COME, absence_take, &merge, error);
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
