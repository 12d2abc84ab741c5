/* The series_source of a shard: selections over the pieces of a view. */
#include <assert.h>
#include <stdlib.h>

#include "series_selection.h"
#include "shard_private.h"
#include "view_reader.h"

/* --- Types ---------------------------------------------------------------------------------- */

struct shard_set {
    struct series_set set;
    struct view *view;
    struct text tenant;
    int64_t start_ms;
    int64_t end_ms;
    enum series_need need;
    struct found_series *series; /* [set.count] */
    struct block_link *links;
};

struct shard_set_reader {
    struct series_reader reader;
    struct view_reader *view_reader;
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

static struct view_series series_at(const struct shard_set *set, size_t index,
                                    struct block_position *positions)
{
    const struct found_series *found = &set->series[index];
    size_t count = 0;
    for (uint32_t link = found->block_first; link != LINK_NONE; link = set->links[link].next) {
        assert(count < set->view->block_count);
        positions[count++] = set->links[link].at;
    }
    return (struct view_series){
        .tenant = set->tenant,
        .labels = found->labels,
        .id = found->id,
        .blocks = positions,
        .block_count = count,
    };
}

static struct labels set_labels(struct series_set *self, size_t index)
{
    assert(index < self->count);
    return ((struct shard_set *)self)->series[index].labels;
}

static enum error_code set_reader_open(struct series_set *self, struct series_reader **reader_out,
                                       struct error *error)
{
    struct shard_set *set = (struct shard_set *)self;
    struct shard_set_reader *reader =
        malloc(sizeof *reader + set->view->block_count * sizeof reader->positions[0]);
    if (reader == NULL)
        return out_of_memory(error);
    reader->reader.set = self;
    enum error_code code = view_reader_create(set->view, &reader->view_reader, error);
    if (code != ERROR_NONE) {
        free(reader);
        return code;
    }
    *reader_out = &reader->reader;
    return ERROR_NONE;
}

static enum error_code set_read(struct series_reader *base, size_t index,
                                struct sample_columns *columns_out, struct error *error)
{
    struct shard_set_reader *reader = (struct shard_set_reader *)base;
    struct shard_set *set = (struct shard_set *)base->set;
    assert(index < set->set.count);
    struct view_series series = series_at(set, index, reader->positions);
    if (set->need == SERIES_NEED_LATEST)
        return view_reader_read_latest(reader->view_reader, &series, set->start_ms, set->end_ms,
                                       columns_out, error);
    return view_reader_read(reader->view_reader, &series, set->start_ms, set->end_ms, columns_out,
                            error);
}

static void set_reader_close(struct series_reader *base)
{
    struct shard_set_reader *reader = (struct shard_set_reader *)base;
    view_reader_destroy(reader->view_reader);
    free(reader);
}

/* The set itself is in the request's arena. */
static void set_close(struct series_set *self)
{
    view_unref(((struct shard_set *)self)->view);
}

static const struct series_set_operations SET_OPERATIONS = {
    .labels = set_labels,
    .reader_open = set_reader_open,
    .read = set_read,
    .reader_close = set_reader_close,
    .close = set_close,
};

/* Keep only series with samples in the range. */
static enum error_code keep_with_samples(struct shard_set *set,
                                         const struct series_request *request, struct error *error)
{
    struct view_reader *reader;
    enum error_code code = view_reader_create(set->view, &reader, error);
    if (code != ERROR_NONE)
        return code;
    struct block_position *positions =
        arena_array(request->arena, set->view->block_count, sizeof *positions);
    size_t kept = 0;
    if (positions == NULL)
        code = out_of_memory(error);
    for (size_t i = 0; code == ERROR_NONE && i < set->set.count; i++) {
        struct view_series series = series_at(set, i, positions);
        bool has = false;
        if (i % 1024 == 0 && request->canceled != NULL && atomic_load(request->canceled))
            code = error_set(error, ERROR_CANCELED, "the query was canceled");
        else
            code =
                view_reader_has_samples(reader, &series, set->start_ms, set->end_ms, &has, error);
        if (code == ERROR_NONE && has)
            set->series[kept++] = set->series[i];
    }
    set->set.count = kept;
    view_reader_destroy(reader);
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
        .set = {.operations = &SET_OPERATIONS, .count = found.count},
        .view = view,
        .tenant = request->tenant,
        .start_ms = request->start_ms,
        .end_ms = request->end_ms,
        .need = request->need,
        .series = found.series,
        .links = found.links,
    };
    if (code == ERROR_NONE && request->need == SERIES_NEED_LABELS)
        code = keep_with_samples(set, request, error);
    if (code != ERROR_NONE) {
        view_unref(set->view);
        return code;
    }
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
    struct block_position *positions =
        arena_array(request->arena, set->view->block_count, sizeof *positions);
    struct view_reader *reader = NULL;
    size_t count = 0;
    if (found == NULL || positions == NULL)
        code = out_of_memory(error);
    else
        code = view_reader_create(set->view, &reader, error);
    for (size_t i = 0; code == ERROR_NONE && i < set->set.count; i++) {
        struct view_series series = series_at(set, i, positions);
        struct exemplar *exemplars;
        size_t exemplar_count;
        code = view_reader_exemplars(reader, &series, request->start_ms, request->end_ms,
                                     request->arena, &exemplars, &exemplar_count, error);
        if (code == ERROR_NONE && exemplar_count > 0)
            found[count++] = (struct series_exemplars){series.labels, exemplars, exemplar_count};
    }
    view_reader_destroy(reader);
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
