/* Answering a selection from the shards of this cluster. */
#include <stdlib.h>

#include "federation/selection.h"
#include "promql/labelled_source.h"
#include "promql/record_format.h"
#include "promql/series_format.h"
#include "selection_frame.h"

/* A frame is about so long; labels are read so many at a time. */
enum { FRAME_BYTES = 64 * 1024, LABELS_AHEAD = 256 };

struct answering {
    const struct selection *selection;
    const struct selection_environment *environment;
    struct selection_sink *sink;
    struct byte_buffer frame; /* its head first */
    uint8_t flags;
    struct error *error; /* of a visit that ended */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the answer to another cluster");
}

/* --- Frames ---------------------------------------------------------------------------------- */

enum { HEAD_BYTES = 5 };

static void frame_begin(struct byte_buffer *frame, enum selection_frame type)
{
    byte_buffer_reset(frame);
    byte_buffer_u8(frame, (uint8_t)type);
    byte_buffer_u32(frame, 0);
}

static enum error_code frame_end(struct answering *answering, struct error *error)
{
    struct byte_buffer *frame = &answering->frame;
    if (frame->failed)
        return out_of_memory(error);
    if (frame->size - HEAD_BYTES > UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "a series has too many samples in the range");
    store_u32(frame->bytes + 1, (uint32_t)(frame->size - HEAD_BYTES));
    enum error_code code =
        answering->sink->write(answering->sink, frame->bytes, frame->size, error);
    frame_begin(frame, SELECTION_FRAME_DATA);
    return code;
}

/* After each record. */
static enum error_code frame_look(struct answering *answering, struct error *error)
{
    if (answering->environment->canceled != NULL &&
        atomic_load_explicit(answering->environment->canceled, memory_order_relaxed))
        return error_set(error, ERROR_CANCELED, "canceled");
    return answering->frame.size < FRAME_BYTES && !answering->frame.failed
               ? ERROR_NONE
               : frame_end(answering, error);
}

/* --- Series ---------------------------------------------------------------------------------- */

struct series_answer {
    struct series_set *set;
    struct series_reader *reader; /* NULL: labels only */
    struct series_writer writer;
    struct arena *labels_arena;
    struct arena *histograms_arena;
    struct labels labels[LABELS_AHEAD];
    struct codec_scratch scratch;
};

static enum error_code write_series(struct answering *answering, struct series_answer *series,
                                    struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < series->set->count; i++) {
        size_t left = series->set->count - i;
        if (i % LABELS_AHEAD == 0) {
            arena_reset(series->labels_arena);
            code = series_set_labels(series->set, i, left < LABELS_AHEAD ? left : LABELS_AHEAD,
                                     series->labels_arena, series->labels, error);
        }
        struct sample_columns columns;
        if (code == ERROR_NONE && series->reader != NULL)
            code = series_reader_read(series->reader, i, &columns, error);
        if (code == ERROR_NONE)
            code = series_writer_add(&series->writer, &answering->frame,
                                     series->labels[i % LABELS_AHEAD],
                                     series->reader == NULL ? NULL : &columns, error);
        if (code == ERROR_NONE)
            code = frame_look(answering, error);
    }
    return code;
}

static enum error_code answer_series(struct answering *answering, struct series_source *source,
                                     const struct series_request *request, struct error *error)
{
    struct series_answer *series = calloc(1, sizeof *series);
    if (series == NULL)
        return out_of_memory(error);
    enum error_code code = series_source_select(source, request, &series->set, error);
    if (code == ERROR_NONE) {
        series->labels_arena = arena_create(0);
        series->histograms_arena = arena_create(0);
        series->writer.scratch = &series->scratch;
        series->writer.arena = series->histograms_arena;
        if (series->labels_arena == NULL || series->histograms_arena == NULL)
            code = out_of_memory(error);
    }
    if (code == ERROR_NONE && request->need != SERIES_NEED_LABELS)
        code = series_reader_open(series->set, &series->reader, error);
    if (code == ERROR_NONE)
        code = write_series(answering, series, error);
    if (code == ERROR_NONE && series->set->truncated)
        answering->flags |= SELECTION_END_TRUNCATED;
    series_reader_close(series->reader);
    series_set_close(series->set);
    series_writer_clear(&series->writer);
    arena_destroy(series->labels_arena);
    arena_destroy(series->histograms_arena);
    free(series);
    return code;
}

/* --- The rest -------------------------------------------------------------------------------- */

static enum error_code answer_texts(struct answering *answering, struct series_source *source,
                                    const struct series_request *request, struct error *error)
{
    const struct selection *selection = answering->selection;
    struct text_set texts = {.arena = request->arena};
    enum error_code code =
        selection->kind == SELECTION_LABEL_NAMES
            ? series_source_label_names(source, request, &texts, error)
            : series_source_label_values(source, request, selection->name, &texts, error);
    for (size_t i = 0; code == ERROR_NONE && i < texts.count; i++) {
        byte_buffer_text(&answering->frame, texts.texts[i]);
        code = frame_look(answering, error);
    }
    return code;
}

static enum error_code answer_exemplars(struct answering *answering, struct series_source *source,
                                        const struct series_request *request, struct error *error)
{
    struct series_exemplars *series;
    size_t count;
    enum error_code code = series_source_exemplars(source, request, &series, &count, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        record_write_exemplars(&answering->frame, &series[i]);
        code = frame_look(answering, error);
    }
    return code;
}

static bool visit_metadata(void *context, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    struct answering *answering = context;
    record_write_metadata(&answering->frame, metric_name, metadata);
    return frame_look(answering, answering->error) == ERROR_NONE;
}

static enum error_code answer_metadata(struct answering *answering, struct error *error)
{
    const struct selection_environment *environment = answering->environment;
    struct error failure = {0};
    struct metadata_request request = {
        .tenant = environment->tenant,
        .metric = answering->selection->name,
        .canceled = environment->canceled,
        .deadline_ns = environment->deadline_ns,
        .arena = environment->arena,
        .visit = visit_metadata,
        .context = answering,
    };
    bool is_damaged = false;
    answering->error = &failure;
    enum error_code code =
        metadata_source_visit(environment->metadata, &request, &is_damaged, error);
    if (is_damaged)
        answering->flags |= SELECTION_END_DAMAGED;
    if (code == ERROR_NONE && failure.code != ERROR_NONE)
        *error = failure;
    return code == ERROR_NONE ? failure.code : code;
}

static enum error_code answer_kind(struct answering *answering, struct error *error)
{
    const struct selection *selection = answering->selection;
    const struct selection_environment *environment = answering->environment;
    struct series_request request = {
        .tenant = environment->tenant,
        .matchers = selection->matchers,
        .matcher_count = selection->matcher_count,
        .start_ms = selection->start_ms,
        .end_ms = selection->end_ms,
        .need = selection->need,
        .series_limit = (size_t)selection->series_limit,
        .canceled = environment->canceled,
        .deadline_ns = environment->deadline_ns,
        .arena = environment->arena,
    };
    struct labelled_source labelled;
    struct series_source *source =
        labelled_source_init(&labelled, environment->source, selection->external_labels);
    switch (selection->kind) {
    case SELECTION_SERIES:
        return answer_series(answering, source, &request, error);
    case SELECTION_LABEL_NAMES:
    case SELECTION_LABEL_VALUES:
        return answer_texts(answering, source, &request, error);
    case SELECTION_EXEMPLARS:
        return answer_exemplars(answering, source, &request, error);
    case SELECTION_METADATA:
        break;
    }
    return answer_metadata(answering, error);
}

enum error_code selection_answer(const struct selection *selection,
                                 const struct selection_environment *environment,
                                 struct selection_sink *sink, struct error *error)
{
    struct answering answering = {.selection = selection, .environment = environment, .sink = sink};
    frame_begin(&answering.frame, SELECTION_FRAME_DATA);
    enum error_code code = answer_kind(&answering, error);
    if (code == ERROR_NONE && answering.frame.size > HEAD_BYTES)
        code = frame_end(&answering, error);
    if (code == ERROR_NONE) {
        frame_begin(&answering.frame, SELECTION_FRAME_END);
        byte_buffer_u8(&answering.frame, answering.flags);
        code = frame_end(&answering, error);
    }
    byte_buffer_clear(&answering.frame);
    return code;
}
