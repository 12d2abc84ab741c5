/* The series_source of a shard: selections over the pieces of a view. */
#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"

#include "shard_private.h"
#include "view_reader.h"

/* --- Types ---------------------------------------------------------------------------------- */

struct found_series {
    struct labels labels;
    uint64_t id;          /* SERIES_ID_NONE: only in blocks */
    uint32_t block_first; /* chain of block_link, LINK_NONE: in no block */
};

#define LINK_NONE UINT32_MAX

/* Positions in blocks, chained per series from the newest found to the oldest. */
struct block_link {
    struct block_position at;
    uint32_t next;
};

struct selection {
    const struct series_request *request;
    struct view *view;
    size_t growing_count; /* series of the growing index that belong to the view */
    struct found_series *series;
    size_t series_count;
    size_t series_capacity;
    struct block_link *links;
    size_t link_count;
    size_t link_capacity;
    uint32_t *table; /* [table_capacity], series number + 1 by hash of labels */
    size_t table_capacity;
};

struct shard_set {
    struct series_set set;
    struct view *view;
    struct text tenant;
    int64_t start_ms;
    int64_t end_ms;
    enum series_need need;
    struct found_series *series;
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

/* --- Finding -------------------------------------------------------------------------------- */

static struct index_query query_of(const struct series_request *request)
{
    return (struct index_query){
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .canceled = request->canceled,
        .arena = request->arena,
    };
}

static bool reserve_series(struct selection *selection, size_t count)
{
    size_t needed = selection->series_count + count;
    if (needed <= selection->series_capacity)
        return true;
    size_t capacity = needed + needed / 2;
    struct found_series *grown = arena_grow(selection->request->arena, selection->series,
                                            selection->series_count, capacity, sizeof *grown);
    if (grown == NULL)
        return false;
    selection->series = grown;
    selection->series_capacity = capacity;
    return true;
}

/* Read the labels of what was found in one index. */
static enum error_code read_labels(struct selection *selection, struct index_source *source,
                                   struct positions positions, struct labels **labels_out,
                                   struct error *error)
{
    struct arena *arena = selection->request->arena;
    *labels_out = arena_array(arena, positions.count, sizeof **labels_out);
    if (*labels_out == NULL)
        return out_of_memory(error);
    return source->operations->labels(source, positions, arena, *labels_out, error);
}

/* Select in one index and read the labels of what was found. */
static enum error_code select_labels(struct selection *selection, struct index_source *source,
                                     struct positions *positions_out, struct labels **labels_out,
                                     struct error *error)
{
    struct index_query query = query_of(selection->request);
    enum error_code code = index_select(source, &query, positions_out, error);
    if (code != ERROR_NONE || positions_out->count == 0)
        return code;
    return read_labels(selection, source, *positions_out, labels_out, error);
}

/* The registry holds each series that is alive once. */
static enum error_code add_registered(struct selection *selection, struct positions positions,
                                      const struct labels *labels, const uint64_t *ids,
                                      uint64_t first_id, struct error *error)
{
    if (!reserve_series(selection, positions.count))
        return out_of_memory(error);
    for (size_t i = 0; i < positions.count; i++)
        selection->series[selection->series_count++] = (struct found_series){
            .labels = labels[i],
            .id = ids != NULL ? ids[i] : first_id + positions.items[i],
            .block_first = LINK_NONE,
        };
    return ERROR_NONE;
}

/* Leave out the series that were forgotten: positions and ids get shorter. */
static enum error_code leave_out_forgotten(struct selection *selection, struct positions *positions,
                                           uint64_t *ids, struct error *error)
{
    const struct id_set *forgotten = selection->view->forgotten;
    if (forgotten == NULL)
        return ERROR_NONE;
    uint32_t *alive = arena_array(selection->request->arena, positions->count, sizeof *alive);
    size_t count = 0;
    if (alive == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < positions->count; i++) {
        if (id_set_has(forgotten, ids[i]))
            continue;
        alive[count] = positions->items[i];
        ids[count++] = ids[i];
    }
    *positions = (struct positions){alive, count};
    return ERROR_NONE;
}

static enum error_code find_in_segment(struct selection *selection, struct series_segment *segment,
                                       struct error *error)
{
    struct index_source *source = series_segment_index(segment);
    struct index_query query = query_of(selection->request);
    struct positions positions;
    struct labels *labels = NULL;
    enum error_code code = index_select(source, &query, &positions, error);
    if (code != ERROR_NONE || positions.count == 0)
        return code;
    uint64_t *ids = arena_array(query.arena, positions.count, sizeof *ids);
    if (ids == NULL)
        return out_of_memory(error);
    code = series_segment_ids(segment, positions, ids, error);
    if (code == ERROR_NONE)
        code = leave_out_forgotten(selection, &positions, ids, error);
    if (code == ERROR_NONE && positions.count > 0)
        code = read_labels(selection, source, positions, &labels, error);
    return code != ERROR_NONE ? code : add_registered(selection, positions, labels, ids, 0, error);
}

static enum error_code find_in_memory(struct selection *selection, struct memory_index *index,
                                      size_t series_count, struct error *error)
{
    struct positions positions = {0};
    struct labels *labels = NULL;
    enum error_code code =
        select_labels(selection, memory_index_source(index), &positions, &labels, error);
    while (positions.count > 0 && positions.items[positions.count - 1] >= series_count)
        positions.count--;
    if (code == ERROR_NONE && positions.count > 0)
        code =
            add_registered(selection, positions, labels, NULL, memory_index_first_id(index), error);
    return code;
}

static enum error_code find_registered(struct selection *selection, struct error *error)
{
    struct view *view = selection->view;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < view->segment_count; i++)
        code = find_in_segment(selection, view->segments[i], error);
    for (size_t i = 0; code == ERROR_NONE && i < view->index_count; i++)
        code =
            find_in_memory(selection, view->indexes[i],
                           i + 1 == view->index_count ? selection->growing_count : SIZE_MAX, error);
    return code;
}

/* --- Series of blocks, joined by their labels ------------------------------------------------- */

static uint32_t *table_place(const struct selection *selection, struct labels labels)
{
    size_t mask = selection->table_capacity - 1;
    for (size_t i = hash64(labels.bytes, labels.size, HASH_SEED_STORED) & mask;;
         i = (i + 1) & mask) {
        uint32_t number = selection->table[i];
        if (number == 0 || labels_equal(selection->series[number - 1].labels, labels))
            return &selection->table[i];
    }
}

static bool table_reserve(struct selection *selection, size_t count)
{
    size_t needed = (selection->series_count + count) * 2;
    if (needed <= selection->table_capacity)
        return true;
    size_t capacity = 1024;
    while (capacity < needed)
        capacity *= 2;
    selection->table = arena_array(selection->request->arena, capacity, sizeof(uint32_t));
    if (selection->table == NULL)
        return false;
    selection->table_capacity = capacity;
    for (size_t i = 0; i < selection->series_count; i++)
        *table_place(selection, selection->series[i].labels) = (uint32_t)i + 1;
    return true;
}

static bool reserve_links(struct selection *selection, size_t count)
{
    size_t needed = selection->link_count + count;
    if (needed <= selection->link_capacity)
        return true;
    struct block_link *grown = arena_grow(selection->request->arena, selection->links,
                                          selection->link_count, needed, sizeof *grown);
    if (grown == NULL)
        return false;
    selection->links = grown;
    selection->link_capacity = needed;
    return true;
}

static void add_link(struct selection *selection, struct found_series *series, uint32_t block,
                     uint32_t position)
{
    assert(selection->link_count < selection->link_capacity);
    selection->links[selection->link_count] =
        (struct block_link){{block, position}, series->block_first};
    series->block_first = (uint32_t)selection->link_count++;
}

/* The first piece that has any: there is nothing to join with. */
static enum error_code add_first(struct selection *selection, uint32_t block,
                                 struct positions positions, const struct labels *labels,
                                 struct error *error)
{
    if (!reserve_series(selection, positions.count) || !reserve_links(selection, positions.count))
        return out_of_memory(error);
    for (size_t i = 0; i < positions.count; i++) {
        struct found_series *series = &selection->series[selection->series_count++];
        *series = (struct found_series){
            .labels = labels[i], .id = SERIES_ID_NONE, .block_first = LINK_NONE};
        add_link(selection, series, block, positions.items[i]);
    }
    return ERROR_NONE;
}

static enum error_code add_of_block(struct selection *selection, uint32_t block,
                                    struct positions positions, const struct labels *labels,
                                    struct error *error)
{
    if (selection->series_count == 0)
        return add_first(selection, block, positions, labels, error);
    if (!reserve_series(selection, positions.count) || !reserve_links(selection, positions.count) ||
        !table_reserve(selection, positions.count))
        return out_of_memory(error);
    for (size_t i = 0; i < positions.count; i++) {
        uint32_t *place = table_place(selection, labels[i]);
        if (*place == 0) {
            selection->series[selection->series_count++] = (struct found_series){
                .labels = labels[i], .id = SERIES_ID_NONE, .block_first = LINK_NONE};
            *place = (uint32_t)selection->series_count;
        }
        add_link(selection, &selection->series[*place - 1], block, positions.items[i]);
    }
    return ERROR_NONE;
}

static enum error_code find_in_blocks(struct selection *selection, struct error *error)
{
    const struct series_request *request = selection->request;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < selection->view->block_count; i++) {
        const struct view_block *block = &selection->view->blocks[i];
        struct positions positions;
        struct labels *labels = NULL;
        if (block->start_ms > request->end_ms || block->end_ms < request->start_ms)
            continue;
        code = select_labels(selection, block_index(block->block), &positions, &labels, error);
        if (code == ERROR_NONE && positions.count > 0)
            code = add_of_block(selection, (uint32_t)i, positions, labels, error);
    }
    return code;
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
    struct selection selection = {.request = request};
    selection.view = shard_view_at_once(shard, &selection.growing_count);
    enum error_code code = ERROR_NONE;
    /* An exemplar may be older or newer than the samples of its head. */
    if (wanted == WANT_EXEMPLARS ||
        view_has_registered(selection.view, request->start_ms, request->end_ms))
        code = find_registered(&selection, error);
    if (code == ERROR_NONE)
        code = find_in_blocks(&selection, error);
    *set = (struct shard_set){
        .set = {.operations = &SET_OPERATIONS, .count = selection.series_count},
        .view = selection.view,
        .tenant = request->tenant,
        .start_ms = request->start_ms,
        .end_ms = request->end_ms,
        .need = request->need,
        .series = selection.series,
        .links = selection.links,
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
