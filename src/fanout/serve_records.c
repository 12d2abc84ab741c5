#include "serve_records.h"

#include <stdlib.h>

#include "promql/record_format.h"
#include "promql/series_format.h"

/* Labels of neighbours are cheaper together. */
enum { LABELS_AHEAD = 256 };

struct metadata_record {
    struct text metric_name;
    struct metric_metadata metadata;
};

struct serve_records {
    struct serve_records_options options;
    size_t next;
    size_t count;
    /* Of these, what the question asks for. */
    struct text_set texts;
    struct series_exemplars *exemplars;
    struct metadata_record *metadata;
    size_t metadata_capacity;
    bool is_damaged;
    bool is_out_of_memory;
    struct series_set *set;
    struct series_reader *reader; /* NULL: labels only */
    struct series_writer writer;
    struct arena *labels_arena;
    struct arena *histograms_arena;
    struct labels labels[LABELS_AHEAD]; /* of the series before labels_end */
    size_t labels_first, labels_end;
    struct codec_scratch scratch;
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "answers to other nodes need too much memory");
}

/* --- Opening --------------------------------------------------------------------------------- */

static struct series_request request_of(const struct serve_records *records)
{
    const struct question *question = records->options.question;
    return (struct series_request){
        .tenant = question->tenant,
        .matchers = question->matchers,
        .matcher_count = question->matcher_count,
        .start_ms = question->start_ms,
        .end_ms = question->end_ms,
        .need = question->need,
        .series_limit = (size_t)question->series_limit,
        .canceled = records->options.canceled,
        .deadline_ns = records->options.deadline_ns,
        .arena = records->options.arena,
    };
}

static enum error_code open_series(struct serve_records *records, struct series_source *source,
                                   struct error *error)
{
    struct series_request request = request_of(records);
    enum error_code code = series_source_select(source, &request, &records->set, error);
    if (code != ERROR_NONE)
        return code;
    records->count = records->set->count;
    records->labels_arena = arena_create(0);
    records->histograms_arena = arena_create(0);
    if (records->labels_arena == NULL || records->histograms_arena == NULL)
        return out_of_memory(error);
    records->writer.scratch = &records->scratch;
    records->writer.arena = records->histograms_arena;
    return request.need == SERIES_NEED_LABELS
               ? ERROR_NONE
               : series_reader_open(records->set, &records->reader, error);
}

static bool collect_metadata(void *context, struct text metric_name,
                             const struct metric_metadata *metadata)
{
    struct serve_records *records = context;
    struct arena *arena = records->options.arena;
    if (records->count == records->metadata_capacity) {
        size_t capacity = records->count == 0 ? 64 : 2 * records->count;
        struct metadata_record *grown =
            arena_grow(arena, records->metadata, records->count, capacity, sizeof *grown);
        if (grown == NULL) {
            records->is_out_of_memory = true;
            return false;
        }
        records->metadata = grown;
        records->metadata_capacity = capacity;
    }
    struct metadata_record record = {
        .metric_name = arena_copy_text(arena, metric_name),
        .metadata = {.type = metadata->type,
                     .help = arena_copy_text(arena, metadata->help),
                     .unit = arena_copy_text(arena, metadata->unit)},
    };
    if (record.metric_name.data == NULL || record.metadata.help.data == NULL ||
        record.metadata.unit.data == NULL) {
        records->is_out_of_memory = true;
        return false;
    }
    records->metadata[records->count++] = record;
    return true;
}

static enum error_code open_metadata(struct serve_records *records, struct error *error)
{
    struct fanout_replicas *replicas = records->options.fanout->options.replicas;
    struct metadata_request request = {
        .tenant = records->options.question->tenant,
        .metric = records->options.question->name,
        .canceled = records->options.canceled,
        .deadline_ns = records->options.deadline_ns,
        .arena = records->options.arena,
        .visit = collect_metadata,
        .context = records,
    };
    enum error_code code = replicas->operations->visit_metadata(
        replicas, records->options.replica, &request, &records->is_damaged, error);
    return code == ERROR_NONE && records->is_out_of_memory ? out_of_memory(error) : code;
}

static enum error_code open_kind(struct serve_records *records, struct error *error)
{
    struct fanout_replicas *replicas = records->options.fanout->options.replicas;
    struct series_source *source = replicas->operations->source(replicas, records->options.replica);
    struct series_request request = request_of(records);
    enum error_code code = ERROR_NONE;
    switch (records->options.question->kind) {
    case QUESTION_SELECT:
        return open_series(records, source, error);
    case QUESTION_LABEL_NAMES:
        code = series_source_label_names(source, &request, &records->texts, error);
        records->count = records->texts.count;
        return code;
    case QUESTION_LABEL_VALUES:
        code = series_source_label_values(source, &request, records->options.question->name,
                                          &records->texts, error);
        records->count = records->texts.count;
        return code;
    case QUESTION_EXEMPLARS:
        return series_source_exemplars(source, &request, &records->exemplars, &records->count,
                                       error);
    case QUESTION_METADATA:
    case QUESTION_PARTIAL:
        break;
    }
    return open_metadata(records, error);
}

enum error_code serve_records_open(const struct serve_records_options *options,
                                   struct serve_records **records_out, struct error *error)
{
    struct serve_records *records = malloc(sizeof *records);
    if (records == NULL)
        return out_of_memory(error);
    /* Labels and scratch need nothing. */
    memset(records, 0, offsetof(struct serve_records, labels));
    records->labels_first = records->labels_end = 0;
    records->options = *options;
    records->texts.arena = options->arena;
    enum error_code code = open_kind(records, error);
    if (code != ERROR_NONE) {
        serve_records_close(records);
        return code;
    }
    *records_out = records;
    return ERROR_NONE;
}

void serve_records_close(struct serve_records *records)
{
    if (records == NULL)
        return;
    series_reader_close(records->reader);
    series_set_close(records->set);
    series_writer_clear(&records->writer);
    arena_destroy(records->labels_arena);
    arena_destroy(records->histograms_arena);
    free(records);
}

bool serve_records_are_truncated(const struct serve_records *records)
{
    return records->set != NULL && records->set->truncated;
}

bool serve_records_are_damaged(const struct serve_records *records)
{
    return records->is_damaged;
}

/* --- Filling --------------------------------------------------------------------------------- */

static enum error_code labels_of(struct serve_records *records, size_t index,
                                 struct labels *labels_out, struct error *error)
{
    if (index >= records->labels_end) {
        size_t left = records->count - index;
        size_t count = left < LABELS_AHEAD ? left : LABELS_AHEAD;
        arena_reset(records->labels_arena);
        enum error_code code = series_set_labels(records->set, index, count, records->labels_arena,
                                                 records->labels, error);
        if (code != ERROR_NONE)
            return code;
        records->labels_first = index;
        records->labels_end = index + count;
    }
    *labels_out = records->labels[index - records->labels_first];
    return ERROR_NONE;
}

static enum error_code add_series(struct serve_records *records, struct byte_buffer *buffer,
                                  size_t index, struct error *error)
{
    struct labels labels;
    struct sample_columns columns;
    enum error_code code = ERROR_NONE;
    if (records->reader != NULL)
        code = series_reader_read(records->reader, index, &columns, error);
    if (code == ERROR_NONE)
        code = labels_of(records, index, &labels, error);
    if (code != ERROR_NONE)
        return code;
    return series_writer_add(&records->writer, buffer, labels,
                             records->reader == NULL ? NULL : &columns, error);
}

static enum error_code add_record(struct serve_records *records, struct byte_buffer *buffer,
                                  size_t index, struct error *error)
{
    const struct metadata_record *record;
    switch (records->options.question->kind) {
    case QUESTION_SELECT:
        return add_series(records, buffer, index, error);
    case QUESTION_LABEL_NAMES:
    case QUESTION_LABEL_VALUES:
        byte_buffer_text(buffer, records->texts.texts[index]);
        return ERROR_NONE;
    case QUESTION_EXEMPLARS:
        record_write_exemplars(buffer, &records->exemplars[index]);
        return ERROR_NONE;
    case QUESTION_METADATA:
    case QUESTION_PARTIAL:
        break;
    }
    record = &records->metadata[index];
    record_write_metadata(buffer, record->metric_name, &record->metadata);
    return ERROR_NONE;
}

enum error_code serve_records_fill(struct serve_records *records, struct byte_buffer *buffer,
                                   size_t target_bytes, bool *finished_out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && records->next < records->count && buffer->size < target_bytes) {
        if (atomic_load_explicit(records->options.canceled, memory_order_relaxed))
            return error_set(error, ERROR_CANCELED, "canceled");
        code = add_record(records, buffer, records->next++, error);
    }
    if (code == ERROR_NONE && buffer->failed)
        code = out_of_memory(error);
    *finished_out = records->next == records->count;
    return code;
}
