/* The series_source of a shard: selections over the pieces of a view. */
#include <assert.h>
#include <stdlib.h>

#include "selection_fetch.h"
#include "series_selection.h"
#include "shard_private.h"
#include "view_reader.h"

/* --- Types ---------------------------------------------------------------------------------- */

struct shard_set {
    struct series_set set;
    struct view *view;
    int64_t start_ms;
    int64_t end_ms;
    enum series_need need;
    bool has_deletions; /* in the range: samples are read with the labels of their series */
    bool is_remote;     /* some of it is in the bucket */
    struct series_selection found;
};

/* Ids are read ahead as long as series are asked for in order. */
enum { IDS_AHEAD_MIN = 16, IDS_AHEAD_MAX = 256 };

struct shard_set_reader {
    struct series_reader reader;
    struct view_reader *view_reader;
    struct arena *arena; /* labels of one series, for deletions; NULL until needed */
    uint64_t ids[IDS_AHEAD_MAX];
    size_t ids_first;
    size_t ids_count;
    struct samples_ahead ahead;
    struct block_position positions[]; /* [blocks of the view] */
};

static struct shard *shard_of_source(struct series_source *source)
{
    return (struct shard *)((char *)source - offsetof(struct shard, source));
}

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY,
                     "the query needs more memory than it may take to select series");
}

/* --- Reading a set -------------------------------------------------------------------------- */

static enum error_code set_labels(struct series_set *self, size_t first, size_t count,
                                  struct arena *arena, struct labels *labels_out,
                                  struct error *error)
{
    return series_selection_labels(&((struct shard_set *)self)->found, first, count, arena,
                                   labels_out, error);
}

static bool set_may_have(struct series_set *self, struct text name)
{
    return series_selection_may_have(&((struct shard_set *)self)->found, name);
}

static enum error_code reader_create(struct shard_set *set, struct shard_set_reader **reader_out,
                                     struct error *error)
{
    struct shard_set_reader *reader =
        malloc(sizeof *reader + set->view->block_count * sizeof reader->positions[0]);
    if (reader == NULL)
        return out_of_memory(error);
    *reader = (struct shard_set_reader){.reader.set = &set->set};
    enum error_code code = view_reader_create(set->view, &reader->view_reader, error);
    if (code != ERROR_NONE) {
        free(reader);
        return code;
    }
    *reader_out = reader;
    return ERROR_NONE;
}

static void reader_destroy(struct shard_set_reader *reader)
{
    if (reader == NULL)
        return;
    view_reader_destroy(reader->view_reader);
    arena_destroy(reader->arena);
    free(reader);
}

static enum error_code ids_read(struct shard_set_reader *reader, const struct shard_set *set,
                                size_t index, struct error *error)
{
    size_t count = IDS_AHEAD_MIN;
    if (reader->ids_count > 0 && index == reader->ids_first + reader->ids_count)
        count = 2 * reader->ids_count;
    if (count > IDS_AHEAD_MAX)
        count = IDS_AHEAD_MAX;
    if (count > set->found.count - index)
        count = set->found.count - index;
    reader->ids_count = 0;
    enum error_code code = series_selection_ids(&set->found, index, count, reader->ids, error);
    if (code != ERROR_NONE)
        return code;
    reader->ids_first = index;
    reader->ids_count = count;
    return ERROR_NONE;
}

/* Labels live until the next series. */
static enum error_code labels_read(struct shard_set_reader *reader, const struct shard_set *set,
                                   size_t index, struct labels *labels_out, struct error *error)
{
    if (reader->arena == NULL)
        reader->arena = arena_create(0);
    if (reader->arena == NULL)
        return out_of_memory(error);
    arena_reset(reader->arena);
    return series_selection_labels(&set->found, index, 1, reader->arena, labels_out, error);
}

static enum error_code series_at(struct shard_set_reader *reader, size_t index,
                                 struct view_series *series_out, struct error *error)
{
    struct shard_set *set = (struct shard_set *)reader->reader.set;
    assert(index < set->found.count);
    enum error_code code = ERROR_NONE;
    if (index < reader->ids_first || index - reader->ids_first >= reader->ids_count)
        code = ids_read(reader, set, index, error);
    *series_out = (struct view_series){.tenant = set->found.tenant};
    if (code == ERROR_NONE && set->has_deletions)
        code = labels_read(reader, set, index, &series_out->labels, error);
    if (code != ERROR_NONE)
        return code;
    series_out->id = reader->ids[index - reader->ids_first];
    series_out->blocks = reader->positions;
    series_out->block_count = series_selection_blocks(&set->found, index, reader->positions);
    return ERROR_NONE;
}

/* Have samples of the series near, and of those behind it. */
static enum error_code fetch_ahead(struct shard_set_reader *reader, const struct shard_set *set,
                                   size_t index, struct error *error)
{
    struct samples_needed needed = {set->need, set->start_ms, set->end_ms};
    return selection_fetch_samples(set->view, &set->found, &needed, index, &reader->ahead, error);
}

static enum error_code set_reader_open(struct series_set *self, struct series_reader **reader_out,
                                       struct error *error)
{
    struct shard_set_reader *reader;
    enum error_code code = reader_create((struct shard_set *)self, &reader, error);
    if (code == ERROR_NONE)
        *reader_out = &reader->reader;
    return code;
}

static enum error_code set_read(struct series_reader *base, size_t index,
                                struct sample_columns *columns_out, struct error *error)
{
    struct shard_set_reader *reader = (struct shard_set_reader *)base;
    struct shard_set *set = (struct shard_set *)base->set;
    struct view_series series;
    enum error_code code = ERROR_NONE;
    if (set->is_remote)
        code = fetch_ahead(reader, set, index, error);
    if (code == ERROR_NONE)
        code = series_at(reader, index, &series, error);
    if (code != ERROR_NONE)
        return code;
    if (set->need == SERIES_NEED_LATEST)
        return view_reader_read_latest(reader->view_reader, &series, set->start_ms, set->end_ms,
                                       columns_out, error);
    return view_reader_read(reader->view_reader, &series, set->start_ms, set->end_ms, columns_out,
                            error);
}

static void set_reader_close(struct series_reader *base)
{
    reader_destroy((struct shard_set_reader *)base);
}

/* The set itself is in the request's arena. */
static void set_close(struct series_set *self)
{
    view_unref(((struct shard_set *)self)->view);
}

static const struct series_set_operations SET_OPERATIONS = {
    .labels = set_labels,
    .may_have = set_may_have,
    .reader_open = set_reader_open,
    .read = set_read,
    .reader_close = set_reader_close,
    .close = set_close,
};

/* Keep only series with samples in the range. */
static enum error_code keep_with_samples(struct shard_set *set,
                                         const struct series_request *request, struct error *error)
{
    struct shard_set_reader *reader = NULL;
    bool *marks = arena_array(request->arena, set->found.count, sizeof *marks);
    enum error_code code =
        marks == NULL ? out_of_memory(error) : reader_create(set, &reader, error);
    for (size_t i = 0; code == ERROR_NONE && i < set->found.count; i++) {
        struct view_series series;
        if (i % 1024 == 0 && request->canceled != NULL && atomic_load(request->canceled))
            code = error_set(error, ERROR_CANCELED, "the query was canceled");
        else if (set->is_remote)
            code = fetch_ahead(reader, set, i, error);
        if (code == ERROR_NONE)
            code = series_at(reader, i, &series, error);
        if (code == ERROR_NONE)
            code = view_reader_has_samples(reader->view_reader, &series, set->start_ms, set->end_ms,
                                           &marks[i], error);
    }
    reader_destroy(reader);
    if (code == ERROR_NONE)
        series_selection_keep(&set->found, marks);
    return code;
}

/* What is asked of the series found. */
enum wanted { WANT_SAMPLES, WANT_EXEMPLARS };

static enum error_code select_set(struct shard *shard, const struct series_request *request,
                                  enum wanted wanted, struct shard_set **set_out,
                                  struct error *error)
{
    struct shard_set *set = arena_array(request->arena, 1, sizeof *set);
    if (set == NULL)
        return out_of_memory(error);
    size_t growing_count;
    struct view *view = shard_view_at_once(shard, &growing_count);
    struct series_selection found;
    /* An exemplar may be older or newer than the samples of its head. */
    bool registered =
        wanted == WANT_EXEMPLARS || view_has_registered(view, request->start_ms, request->end_ms);
    enum error_code code =
        series_selection_find(view, registered ? &growing_count : NULL, request, &found, error);
    *set = (struct shard_set){
        .set.operations = &SET_OPERATIONS,
        .view = view,
        .start_ms = request->start_ms,
        .end_ms = request->end_ms,
        .need = request->need,
        .has_deletions = view_has_deletions(view, request->start_ms, request->end_ms),
        .is_remote = code == ERROR_NONE && selection_is_remote(view, &found),
        .found = found,
    };
    if (code == ERROR_NONE && request->need == SERIES_NEED_LABELS)
        code = keep_with_samples(set, request, error);
    if (code != ERROR_NONE) {
        view_unref(set->view);
        return code;
    }
    set->set.count = set->found.count;
    if (request->series_limit > 0 && set->set.count > request->series_limit) {
        set->set.count = request->series_limit;
        set->set.truncated = true;
    }
    *set_out = set;
    return ERROR_NONE;
}

static enum error_code source_select(struct series_source *self,
                                     const struct series_request *request,
                                     struct series_set **set_out, struct error *error)
{
    struct shard_set *set;
    enum error_code code = select_set(shard_of_source(self), request, WANT_SAMPLES, &set, error);
    if (code == ERROR_NONE)
        *set_out = &set->set;
    return code;
}

/* --- Names and values ----------------------------------------------------------------------- */

static enum error_code source_label_names(struct series_source *self,
                                          const struct series_request *request,
                                          struct text_set *names, struct error *error)
{
    return shard_find_texts(shard_of_source(self), request, NULL, names, error);
}

static enum error_code source_label_values(struct series_source *self,
                                           const struct series_request *request, struct text name,
                                           struct text_set *values, struct error *error)
{
    return shard_find_texts(shard_of_source(self), request, &name, values, error);
}

/* --- Exemplars ------------------------------------------------------------------------------ */

static enum error_code source_exemplars(struct series_source *self,
                                        const struct series_request *request,
                                        struct series_exemplars **series_out, size_t *count_out,
                                        struct error *error)
{
    struct shard_set *set;
    struct series_request all = *request;
    all.need = SERIES_NEED_ALL;
    enum error_code code = select_set(shard_of_source(self), &all, WANT_EXEMPLARS, &set, error);
    if (code != ERROR_NONE)
        return code;
    struct series_exemplars *found = arena_array(request->arena, set->set.count, sizeof *found);
    struct shard_set_reader *reader = NULL;
    size_t count = 0;
    code = found == NULL ? out_of_memory(error) : reader_create(set, &reader, error);
    for (size_t i = 0; code == ERROR_NONE && i < set->set.count; i++) {
        struct series_exemplars *taken = &found[count];
        struct exemplar *exemplars = NULL;
        struct view_series series;
        taken->count = 0;
        code = series_at(reader, i, &series, error);
        if (code == ERROR_NONE)
            code = view_reader_exemplars(reader->view_reader, &series, request->start_ms,
                                         request->end_ms, request->arena, &exemplars, &taken->count,
                                         error);
        if (code == ERROR_NONE && taken->count > 0)
            code =
                series_selection_labels(&set->found, i, 1, request->arena, &taken->labels, error);
        if (code == ERROR_NONE && taken->count > 0) {
            taken->exemplars = exemplars;
            count++;
        }
    }
    reader_destroy(reader);
    set_close(&set->set);
    if (code != ERROR_NONE)
        return code;
    *series_out = found;
    *count_out = count;
    return ERROR_NONE;
}

const struct series_source_operations SHARD_SOURCE_OPERATIONS = {
    .select = source_select,
    .label_names = source_label_names,
    .label_values = source_label_values,
    .exemplars = source_exemplars,
};
