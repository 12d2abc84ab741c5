#include "promql/union_source.h"

#include <assert.h>
#include <stdlib.h>

/* --- Types ------------------------------------------------------------------------------------ */

struct union_source {
    struct series_source base; /* first */
    struct series_source *const *sources;
    size_t count;
};

/* The sets of the sources one behind the other. */
struct union_set {
    struct series_set base;   /* first */
    struct series_set **sets; /* [set_count] */
    size_t *ends;             /* [set_count], index behind the last series of each */
    size_t set_count;
};

struct union_reader {
    struct series_reader base;      /* first */
    struct series_reader **readers; /* [set_count], NULL until needed */
};

/* --- Sets ------------------------------------------------------------------------------------- */

/* The set that `index` is in; few sets, so a scan. */
static size_t set_of(const struct union_set *set, size_t *index)
{
    size_t number = 0;
    while (*index >= set->ends[number])
        number++;
    if (number > 0)
        *index -= set->ends[number - 1];
    return number;
}

static enum error_code union_labels(struct series_set *self, size_t first, size_t count,
                                    struct arena *arena, struct labels *labels_out,
                                    struct error *error)
{
    struct union_set *set = (struct union_set *)self;
    assert(first <= self->count && count <= self->count - first);
    while (count > 0) {
        size_t index = first;
        struct series_set *part = set->sets[set_of(set, &index)];
        size_t taken = count < part->count - index ? count : part->count - index;
        enum error_code code = series_set_labels(part, index, taken, arena, labels_out, error);
        if (code != ERROR_NONE)
            return code;
        first += taken;
        count -= taken;
        labels_out += taken;
    }
    return ERROR_NONE;
}

static bool union_may_have(struct series_set *self, struct text name)
{
    struct union_set *set = (struct union_set *)self;
    for (size_t i = 0; i < set->set_count; i++)
        if (series_set_may_have(set->sets[i], name))
            return true;
    return false;
}

static enum error_code union_reader_open(struct series_set *self, struct series_reader **reader_out,
                                         struct error *error)
{
    struct union_set *set = (struct union_set *)self;
    struct union_reader *reader = malloc(sizeof *reader);
    struct series_reader **readers = calloc(set->set_count + 1, sizeof *readers);
    if (reader == NULL || readers == NULL) {
        free(reader);
        free(readers);
        return error_set(error, ERROR_OUT_OF_MEMORY, "reader of series");
    }
    *reader = (struct union_reader){.base.set = self, .readers = readers};
    *reader_out = &reader->base;
    return ERROR_NONE;
}

static enum error_code union_read(struct series_reader *self, size_t index,
                                  struct sample_columns *columns_out, struct error *error)
{
    struct union_reader *reader = (struct union_reader *)self;
    struct union_set *set = (struct union_set *)self->set;
    size_t number = set_of(set, &index);
    if (reader->readers[number] == NULL) {
        enum error_code code =
            series_reader_open(set->sets[number], &reader->readers[number], error);
        if (code != ERROR_NONE)
            return code;
    }
    enum error_code code = series_reader_read(reader->readers[number], index, columns_out, error);
    /* Ids are unique within a source; make them unique in the union. */
    if (code == ERROR_NONE && columns_out->timestamps_id != 0)
        columns_out->timestamps_id = columns_out->timestamps_id * set->set_count + number + 1;
    return code;
}

static void union_reader_close(struct series_reader *self)
{
    struct union_reader *reader = (struct union_reader *)self;
    struct union_set *set = (struct union_set *)self->set;
    for (size_t i = 0; i < set->set_count; i++)
        series_reader_close(reader->readers[i]);
    free(reader->readers);
    free(reader);
}

static void union_close(struct series_set *self)
{
    struct union_set *set = (struct union_set *)self;
    for (size_t i = 0; i < set->set_count; i++)
        series_set_close(set->sets[i]);
}

static const struct series_set_operations SET_OPERATIONS = {
    .labels = union_labels,
    .may_have = union_may_have,
    .reader_open = union_reader_open,
    .read = union_read,
    .reader_close = union_reader_close,
    .close = union_close,
};

struct series_set *union_set_create(struct arena *arena, struct series_set **sets, size_t count,
                                    size_t series_limit)
{
    struct union_set *set = arena_array(arena, 1, sizeof *set);
    size_t *ends = arena_array(arena, count, sizeof *ends);
    if (set == NULL || ends == NULL)
        return NULL;
    *set = (struct union_set){
        .base.operations = &SET_OPERATIONS, .sets = sets, .ends = ends, .set_count = count};
    for (size_t i = 0; i < count; i++) {
        set->base.count += sets[i]->count;
        set->base.truncated |= sets[i]->truncated;
        ends[i] = set->base.count;
    }
    if (series_limit > 0 && set->base.count > series_limit) {
        set->base.count = series_limit;
        set->base.truncated = true;
    }
    return &set->base;
}

/* --- Source ----------------------------------------------------------------------------------- */

static enum error_code union_select(struct series_source *self,
                                    const struct series_request *request,
                                    struct series_set **set_out, struct error *error)
{
    struct union_source *source = (struct union_source *)self;
    struct union_set *set = arena_array(request->arena, 1, sizeof *set);
    if (set == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    set->base.operations = &SET_OPERATIONS;
    set->sets = arena_array(request->arena, source->count, sizeof *set->sets);
    set->ends = arena_array(request->arena, source->count, sizeof *set->ends);
    if (set->sets == NULL || set->ends == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    struct series_request part = *request;
    for (size_t i = 0; i < source->count; i++) {
        if (request->series_limit > 0) {
            if (set->base.count >= request->series_limit) {
                set->base.truncated = true;
                break;
            }
            part.series_limit = request->series_limit - set->base.count;
        }
        enum error_code code =
            series_source_select(source->sources[i], &part, &set->sets[i], error);
        if (code != ERROR_NONE) {
            union_close(&set->base);
            return code;
        }
        set->set_count++;
        set->base.count += set->sets[i]->count;
        set->base.truncated |= set->sets[i]->truncated;
        set->ends[i] = set->base.count;
    }
    *set_out = &set->base;
    return ERROR_NONE;
}

static enum error_code union_label_names(struct series_source *self,
                                         const struct series_request *request,
                                         struct text_set *names, struct error *error)
{
    struct union_source *source = (struct union_source *)self;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < source->count; i++)
        code = series_source_label_names(source->sources[i], request, names, error);
    return code;
}

static enum error_code union_label_values(struct series_source *self,
                                          const struct series_request *request, struct text name,
                                          struct text_set *values, struct error *error)
{
    struct union_source *source = (struct union_source *)self;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < source->count; i++)
        code = series_source_label_values(source->sources[i], request, name, values, error);
    return code;
}

static enum error_code union_exemplars(struct series_source *self,
                                       const struct series_request *request,
                                       struct series_exemplars **series_out, size_t *count_out,
                                       struct error *error)
{
    struct union_source *source = (struct union_source *)self;
    struct series_exemplars *all = NULL;
    size_t total = 0;
    for (size_t i = 0; i < source->count; i++) {
        struct series_exemplars *found;
        size_t count;
        enum error_code code =
            series_source_exemplars(source->sources[i], request, &found, &count, error);
        if (code != ERROR_NONE)
            return code;
        if (count == 0)
            continue;
        all = arena_grow(request->arena, all, total, total + count, sizeof *all);
        if (all == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
        memcpy(all + total, found, count * sizeof *all);
        total += count;
    }
    *series_out = all;
    *count_out = total;
    return ERROR_NONE;
}

static const struct series_source_operations SOURCE_OPERATIONS = {
    .select = union_select,
    .label_names = union_label_names,
    .label_values = union_label_values,
    .exemplars = union_exemplars,
};

struct series_source *union_source_create(struct series_source *const *sources, size_t count)
{
    struct union_source *source = malloc(sizeof *source);
    if (source == NULL)
        return NULL;
    *source = (struct union_source){
        .base.operations = &SOURCE_OPERATIONS, .sources = sources, .count = count};
    return &source->base;
}

void union_source_destroy(struct series_source *source)
{
    free(source);
}
