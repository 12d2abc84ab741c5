#include "promql/labelled_source.h"

#include <assert.h>
#include <stdlib.h>

static const struct text EXPORTED = {"exported_", sizeof "exported_" - 1};

/* Labels of a series are looked at so many series at a time. */
enum { LABELS_AHEAD = 512 };

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

/* --- Labels ---------------------------------------------------------------------------------- */

static bool is_taken(const struct label *array, size_t count, struct text name)
{
    for (size_t i = 0; i < count; i++)
        if (text_equal(array[i].name, name))
            return true;
    return false;
}

/* The first of exported_<name>, exported_exported_<name> ... that is free. */
static bool rename_label(struct label *array, size_t count, size_t renamed, struct arena *arena)
{
    struct text name = array[renamed].name;
    do {
        name = arena_format(arena, "%s%.*s", EXPORTED.data, TEXT_ARGUMENTS(name));
        if (name.data == NULL)
            return false;
    } while (is_taken(array, count, name));
    array[renamed].name = name;
    return true;
}

struct labels labelled_source_labels(struct labels external, struct labels labels,
                                     struct arena *arena)
{
    size_t count = labels_count(labels) + labels_count(external);
    struct label *array = arena_array(arena, count, sizeof *array);
    if (array == NULL)
        return (struct labels){0};
    size_t external_count = 0, filled = 0;
    for (struct labels_cursor cursor = labels_begin(external);
         labels_next(&cursor, &array[external_count]);)
        external_count++;
    filled = external_count;
    for (struct labels_cursor cursor = labels_begin(labels); labels_next(&cursor, &array[filled]);)
        filled++;
    for (size_t i = external_count; i < filled; i++)
        if (is_taken(array, external_count, array[i].name) &&
            !rename_label(array, filled, i, arena))
            return (struct labels){0};
    return labels_build(arena, array, filled);
}

/* --- Matchers -------------------------------------------------------------------------------- */

/* A name that a label may have got only by being renamed. */
static bool is_renamed(struct labels external, struct text name)
{
    while (text_starts_with(name, EXPORTED)) {
        name.data += EXPORTED.size;
        name.size -= EXPORTED.size;
        if (labels_get(external, name).size > 0)
            return true;
    }
    return false;
}

bool labelled_source_may_match(struct labels external, const struct matcher *const *matchers,
                               size_t matcher_count)
{
    for (size_t i = 0; i < matcher_count; i++) {
        struct text value = labels_get(external, matchers[i]->name);
        if (value.size > 0 && !matcher_matches(matchers[i], value))
            return false;
    }
    return true;
}

/* What is asked of the source below, and what is looked at here. */
struct narrowed {
    struct series_request request;
    const struct matcher **later; /* [later_count], of labels as they are with the external ones */
    size_t later_count;
    bool is_empty;
};

static enum error_code narrow(const struct labelled_source *labelled,
                              const struct series_request *request, struct narrowed *narrowed_out,
                              struct error *error)
{
    struct narrowed narrowed = {.request = *request};
    if (!labelled_source_may_match(labelled->external, request->matchers, request->matcher_count)) {
        narrowed.is_empty = true;
        *narrowed_out = narrowed;
        return ERROR_NONE;
    }
    const struct matcher **now =
        arena_array(request->arena, request->matcher_count + 1, sizeof(struct matcher *));
    narrowed.later =
        arena_array(request->arena, request->matcher_count + 1, sizeof(struct matcher *));
    if (now == NULL || narrowed.later == NULL)
        return out_of_memory(error);
    size_t count = 0;
    for (size_t i = 0; i < request->matcher_count; i++) {
        const struct matcher *matcher = request->matchers[i];
        if (labels_get(labelled->external, matcher->name).size > 0)
            continue;
        if (is_renamed(labelled->external, matcher->name))
            narrowed.later[narrowed.later_count++] = matcher;
        else
            now[count++] = matcher;
    }
    narrowed.request.matchers = now;
    narrowed.request.matcher_count = count;
    if (narrowed.later_count > 0)
        narrowed.request.series_limit = 0;
    *narrowed_out = narrowed;
    return ERROR_NONE;
}

static bool matches_all(const struct narrowed *narrowed, struct labels labels)
{
    for (size_t i = 0; i < narrowed->later_count; i++)
        if (!matcher_matches(narrowed->later[i], labels_get(labels, narrowed->later[i]->name)))
            return false;
    return true;
}

/* --- Sets ------------------------------------------------------------------------------------ */

struct labelled_set {
    struct series_set base; /* first */
    struct series_set *set; /* NULL: nothing is selected */
    struct labels external;
    size_t *indexes; /* [base.count], in `set`; NULL: all of it */
};

struct labelled_reader {
    struct series_reader base; /* first */
    struct series_reader *reader;
};

static size_t index_below(const struct labelled_set *set, size_t index)
{
    assert(index < set->base.count);
    return set->indexes == NULL ? index : set->indexes[index];
}

static enum error_code set_labels(struct series_set *self, size_t first, size_t count,
                                  struct arena *arena, struct labels *labels_out,
                                  struct error *error)
{
    struct labelled_set *set = (struct labelled_set *)self;
    enum error_code code = ERROR_NONE;
    if (set->indexes == NULL && count > 0)
        code = series_set_labels(set->set, first, count, arena, labels_out, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        if (set->indexes != NULL)
            code = series_set_labels(set->set, index_below(set, first + i), 1, arena,
                                     &labels_out[i], error);
        if (code == ERROR_NONE) {
            labels_out[i] = labelled_source_labels(set->external, labels_out[i], arena);
            if (labels_out[i].bytes == NULL)
                code = out_of_memory(error);
        }
    }
    return code;
}

static bool set_may_have(struct series_set *self, struct text name)
{
    struct labelled_set *set = (struct labelled_set *)self;
    if (set->set == NULL)
        return false;
    return labels_get(set->external, name).size > 0 || is_renamed(set->external, name) ||
           series_set_may_have(set->set, name);
}

static enum error_code set_reader_open(struct series_set *self, struct series_reader **reader_out,
                                       struct error *error)
{
    struct labelled_set *set = (struct labelled_set *)self;
    struct series_reader *below = NULL;
    if (set->set != NULL) {
        enum error_code code = series_reader_open(set->set, &below, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct labelled_reader *reader = malloc(sizeof *reader);
    if (reader == NULL) {
        series_reader_close(below);
        return error_set(error, ERROR_OUT_OF_MEMORY, "reader of series");
    }
    *reader = (struct labelled_reader){.base.set = self, .reader = below};
    *reader_out = &reader->base;
    return ERROR_NONE;
}

static enum error_code set_read(struct series_reader *self, size_t index,
                                struct sample_columns *columns_out, struct error *error)
{
    const struct labelled_set *set = (const struct labelled_set *)self->set;
    return series_reader_read(((struct labelled_reader *)self)->reader, index_below(set, index),
                              columns_out, error);
}

static void set_reader_close(struct series_reader *self)
{
    series_reader_close(((struct labelled_reader *)self)->reader);
    free(self);
}

static void set_close(struct series_set *self)
{
    series_set_close(((struct labelled_set *)self)->set);
}

static const struct series_set_operations SET_OPERATIONS = {
    .labels = set_labels,
    .may_have = set_may_have,
    .reader_open = set_reader_open,
    .read = set_read,
    .reader_close = set_reader_close,
    .close = set_close,
};

/* --- Looking at labels ----------------------------------------------------------------------- */

/* With the external ones; they live during the call. */
typedef enum error_code labels_visit(void *context, size_t index, struct labels labels,
                                     struct error *error);

/* The series of a set that all matchers select. */
static enum error_code visit_labels(const struct labelled_source *labelled,
                                    const struct narrowed *narrowed, struct series_set *set,
                                    labels_visit *visit, void *context, struct error *error)
{
    struct arena *scratch = arena_create(0);
    struct labels *labels =
        scratch == NULL ? NULL
                        : arena_array(narrowed->request.arena, LABELS_AHEAD, sizeof(struct labels));
    enum error_code code = labels == NULL ? out_of_memory(error) : ERROR_NONE;
    for (size_t first = 0; code == ERROR_NONE && first < set->count; first += LABELS_AHEAD) {
        size_t left = set->count - first;
        size_t count = left < LABELS_AHEAD ? left : LABELS_AHEAD;
        arena_reset(scratch);
        code = series_set_labels(set, first, count, scratch, labels, error);
        for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
            struct labels all = labelled_source_labels(labelled->external, labels[i], scratch);
            if (all.bytes == NULL)
                code = out_of_memory(error);
            else if (matches_all(narrowed, all))
                code = visit(context, first + i, all, error);
        }
    }
    arena_destroy(scratch);
    return code;
}

static enum error_code keep_index(void *context, size_t index, struct labels labels,
                                  struct error *error)
{
    struct labelled_set *set = context;
    (void)labels, (void)error;
    set->indexes[set->base.count++] = index;
    return ERROR_NONE;
}

static enum error_code filter(const struct labelled_source *labelled,
                              const struct narrowed *narrowed, size_t series_limit,
                              struct labelled_set *set, struct error *error)
{
    set->indexes = arena_array(narrowed->request.arena, set->set->count, sizeof *set->indexes);
    if (set->indexes == NULL)
        return out_of_memory(error);
    set->base.count = 0;
    enum error_code code = visit_labels(labelled, narrowed, set->set, keep_index, set, error);
    if (series_limit > 0 && set->base.count > series_limit) {
        set->base.count = series_limit;
        set->base.truncated = true;
    }
    return code;
}

static enum error_code source_select(struct series_source *self,
                                     const struct series_request *request,
                                     struct series_set **set_out, struct error *error)
{
    const struct labelled_source *labelled = (const struct labelled_source *)self;
    struct narrowed narrowed;
    struct labelled_set *set = arena_array(request->arena, 1, sizeof *set);
    if (set == NULL)
        return out_of_memory(error);
    *set =
        (struct labelled_set){.base.operations = &SET_OPERATIONS, .external = labelled->external};
    enum error_code code = narrow(labelled, request, &narrowed, error);
    if (code == ERROR_NONE && !narrowed.is_empty) {
        code = series_source_select(labelled->source, &narrowed.request, &set->set, error);
        if (code == ERROR_NONE) {
            set->base.count = set->set->count;
            set->base.truncated = set->set->truncated;
        }
        if (code == ERROR_NONE && narrowed.later_count > 0)
            code = filter(labelled, &narrowed, request->series_limit, set, error);
    }
    if (code != ERROR_NONE) {
        set_close(&set->base);
        return code;
    }
    *set_out = &set->base;
    return ERROR_NONE;
}

/* --- Names and values ------------------------------------------------------------------------ */

static enum error_code add_text(struct text_set *set, struct text text, struct error *error)
{
    return text_set_add(set, text) == TEXT_SET_OUT_OF_MEMORY ? out_of_memory(error) : ERROR_NONE;
}

struct collecting {
    struct text_set *texts;
    struct text name; /* whose values; empty: names */
};

static enum error_code collect(void *context, size_t index, struct labels labels,
                               struct error *error)
{
    const struct collecting *collecting = context;
    enum error_code code = ERROR_NONE;
    struct label label;
    (void)index;
    struct labels_cursor cursor = labels_begin(labels);
    while (code == ERROR_NONE && labels_next(&cursor, &label)) {
        if (collecting->name.size == 0)
            code = add_text(collecting->texts, label.name, error);
        else if (text_equal(label.name, collecting->name))
            code = add_text(collecting->texts, label.value, error);
    }
    return code;
}

/* By the labels of every series: where names that were changed play a part. */
static enum error_code collect_from_series(const struct labelled_source *labelled,
                                           const struct narrowed *narrowed,
                                           struct collecting *collecting, struct error *error)
{
    struct series_request request = narrowed->request;
    struct series_set *set;
    request.need = SERIES_NEED_LABELS;
    enum error_code code = series_source_select(labelled->source, &request, &set, error);
    if (code != ERROR_NONE)
        return code;
    code = visit_labels(labelled, narrowed, set, collect, collecting, error);
    series_set_close(set);
    return code;
}

static enum error_code source_label_names(struct series_source *self,
                                          const struct series_request *request,
                                          struct text_set *names, struct error *error)
{
    const struct labelled_source *labelled = (const struct labelled_source *)self;
    struct narrowed narrowed;
    enum error_code code = narrow(labelled, request, &narrowed, error);
    if (code != ERROR_NONE || narrowed.is_empty)
        return code;
    struct text_set below = {.arena = request->arena};
    struct collecting collecting = {.texts = names};
    bool is_simple = narrowed.later_count == 0;
    if (is_simple)
        code = series_source_label_names(labelled->source, &narrowed.request, &below, error);
    for (size_t i = 0; is_simple && i < below.count; i++)
        is_simple = labels_get(labelled->external, below.texts[i]).size == 0;
    if (code != ERROR_NONE)
        return code;
    if (!is_simple)
        return collect_from_series(labelled, &narrowed, &collecting, error);
    for (size_t i = 0; code == ERROR_NONE && i < below.count; i++)
        code = add_text(names, below.texts[i], error);
    struct label label;
    struct labels_cursor cursor = labels_begin(labelled->external);
    while (code == ERROR_NONE && below.count > 0 && labels_next(&cursor, &label))
        code = add_text(names, label.name, error);
    return code;
}

/* Its only value, when there is any series. */
static enum error_code add_external_value(const struct labelled_source *labelled,
                                          struct series_request request, struct text value,
                                          struct text_set *values, struct error *error)
{
    struct series_set *set;
    request.need = SERIES_NEED_LABELS;
    request.series_limit = 1;
    enum error_code code = series_source_select(labelled->source, &request, &set, error);
    if (code != ERROR_NONE)
        return code;
    bool is_there = set->count > 0;
    series_set_close(set);
    return is_there ? add_text(values, value, error) : ERROR_NONE;
}

static enum error_code source_label_values(struct series_source *self,
                                           const struct series_request *request, struct text name,
                                           struct text_set *values, struct error *error)
{
    const struct labelled_source *labelled = (const struct labelled_source *)self;
    struct narrowed narrowed;
    enum error_code code = narrow(labelled, request, &narrowed, error);
    if (code != ERROR_NONE || narrowed.is_empty)
        return code;
    struct collecting collecting = {.texts = values, .name = name};
    if (narrowed.later_count > 0 || is_renamed(labelled->external, name))
        return collect_from_series(labelled, &narrowed, &collecting, error);
    struct text value = labels_get(labelled->external, name);
    if (value.size > 0)
        return add_external_value(labelled, narrowed.request, value, values, error);
    return series_source_label_values(labelled->source, &narrowed.request, name, values, error);
}

/* --- Exemplars ------------------------------------------------------------------------------- */

static enum error_code source_exemplars(struct series_source *self,
                                        const struct series_request *request,
                                        struct series_exemplars **series_out, size_t *count_out,
                                        struct error *error)
{
    const struct labelled_source *labelled = (const struct labelled_source *)self;
    struct narrowed narrowed;
    struct series_exemplars *found = NULL;
    size_t count = 0, kept = 0;
    enum error_code code = narrow(labelled, request, &narrowed, error);
    if (code == ERROR_NONE && !narrowed.is_empty)
        code = series_source_exemplars(labelled->source, &narrowed.request, &found, &count, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct series_exemplars series = found[i];
        series.labels = labelled_source_labels(labelled->external, series.labels, request->arena);
        if (series.labels.bytes == NULL)
            code = out_of_memory(error);
        else if (matches_all(&narrowed, series.labels))
            found[kept++] = series;
    }
    if (code != ERROR_NONE)
        return code;
    *series_out = found;
    *count_out = kept;
    return ERROR_NONE;
}

static const struct series_source_operations SOURCE_OPERATIONS = {
    .select = source_select,
    .label_names = source_label_names,
    .label_values = source_label_values,
    .exemplars = source_exemplars,
};

struct series_source *labelled_source_init(struct labelled_source *labelled,
                                           struct series_source *source, struct labels external)
{
    *labelled = (struct labelled_source){
        .base.operations = &SOURCE_OPERATIONS, .source = source, .external = external};
    return &labelled->base;
}
