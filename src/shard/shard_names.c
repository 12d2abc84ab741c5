/* Names and values of labels: straight from the indexes of a view's pieces. */
#include <stdlib.h>

#include "selection_fetch.h"
#include "shard_private.h"
#include "view_reader.h"

/* --- Which series have samples in the range --------------------------------------------------- */

/* Asks the pieces for samples of the series at a position of one index. */
struct sample_filter {
    struct index_filter filter; /* first */
    const struct series_request *request;
    struct view_reader *reader;
    struct index_source *index;
    struct arena *scratch;          /* labels of one series; NULL: no deletion needs them */
    struct series_segment *segment; /* of a segment, ids are in its rows, */
    const struct id_set *forgotten; /* but for those; */
    uint64_t first_id;              /* of a memory index they count from here; */
    uint32_t block;                 /* a block of the view has positions only */
};

static enum error_code filter_series(struct sample_filter *self, uint32_t position,
                                     struct view_series series, bool *keeps_out,
                                     struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (self->scratch != NULL) {
        arena_reset(self->scratch);
        code = self->index->operations->labels(self->index, (struct positions){&position, 1},
                                               self->scratch, &series.labels, error);
    }
    series.tenant = self->request->tenant;
    return code != ERROR_NONE
               ? code
               : view_reader_has_samples(self->reader, &series, self->request->start_ms,
                                         self->request->end_ms, keeps_out, error);
}

static enum error_code segment_keeps(struct index_filter *base, uint32_t position, bool *keeps_out,
                                     struct error *error)
{
    struct sample_filter *self = (struct sample_filter *)base;
    struct view_series series = {0};
    enum error_code code =
        series_segment_ids(self->segment, (struct positions){&position, 1}, &series.id, error);
    if (code == ERROR_NONE && id_set_has(self->forgotten, series.id)) {
        *keeps_out = false;
        return ERROR_NONE;
    }
    return code != ERROR_NONE ? code : filter_series(self, position, series, keeps_out, error);
}

static enum error_code memory_keeps(struct index_filter *base, uint32_t position, bool *keeps_out,
                                    struct error *error)
{
    struct sample_filter *self = (struct sample_filter *)base;
    struct view_series series = {.id = self->first_id + position};
    return filter_series(self, position, series, keeps_out, error);
}

static enum error_code block_keeps(struct index_filter *base, uint32_t position, bool *keeps_out,
                                   struct error *error)
{
    struct sample_filter *self = (struct sample_filter *)base;
    struct block_position at = {self->block, position};
    struct view_series series = {.id = SERIES_ID_NONE, .blocks = &at, .block_count = 1};
    return filter_series(self, position, series, keeps_out, error);
}

/* --- Walking the indexes of a view ------------------------------------------------------------ */

struct text_walk {
    const struct series_request *request;
    const struct text *name; /* whose values; NULL: names */
    struct view *view;
    struct sample_filter filter;
    struct text_set *found;
};

static enum error_code walk_index(struct text_walk *walk, struct index_source *index,
                                  struct index_filter *filter, struct error *error)
{
    const struct series_request *request = walk->request;
    struct index_query query = {
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .filter = filter,
        .canceled = request->canceled,
        .arena = request->arena,
    };
    walk->filter.index = index;
    return walk->name == NULL ? index_label_names(index, &query, walk->found, error)
                              : index_label_values(index, &query, *walk->name, walk->found, error);
}

static enum error_code walk_registry(struct text_walk *walk, struct error *error)
{
    struct view *view = walk->view;
    struct sample_filter *filter = &walk->filter;
    enum error_code code = ERROR_NONE;
    filter->filter.keeps = segment_keeps;
    filter->forgotten = view->forgotten;
    for (size_t i = 0; code == ERROR_NONE && i < view->segment_count; i++) {
        filter->segment = view->segments[i];
        code = walk_index(walk, series_segment_index(view->segments[i]), &filter->filter, error);
    }
    filter->filter.keeps = memory_keeps;
    for (size_t i = 0; code == ERROR_NONE && i < view->index_count; i++) {
        filter->first_id = memory_index_first_id(view->indexes[i]);
        code = walk_index(walk, memory_index_source(view->indexes[i]), &filter->filter, error);
    }
    return code;
}

/* Most blocks of a shard have the same names and values: those that were read already, as their
 * digests tell, are passed over. */
struct lists_seen {
    uint64_t *digests; /* [count] */
    size_t count;
};

static bool list_is_seen(const struct lists_seen *seen, uint64_t digest)
{
    for (size_t i = seen->count; digest != 0 && i > 0; i--)
        if (seen->digests[i - 1] == digest)
            return true;
    return false;
}

static uint64_t list_digest(const struct text_walk *walk, size_t block)
{
    return index_source_digest(block_index(walk->view->blocks[block].block), walk->request->tenant,
                               walk->name == NULL ? (struct text){0} : *walk->name);
}

static enum error_code walk_blocks(struct text_walk *walk, struct error *error)
{
    const struct series_request *request = walk->request;
    struct lists_seen seen = {
        .digests = arena_array(request->arena, walk->view->block_count + 1, sizeof(uint64_t)),
    };
    enum error_code code = ERROR_NONE;
    if (seen.digests == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "label names and values");
    code = selection_fetch_indexes(walk->view, request, walk->name, error);
    walk->filter.filter.keeps = block_keeps;
    for (size_t i = 0; code == ERROR_NONE && i < walk->view->block_count; i++) {
        const struct view_block *block = &walk->view->blocks[i];
        if (block->start_ms > request->end_ms || block->end_ms < request->start_ms)
            continue;
        /* Every series of a block has a sample in it. */
        bool is_whole = block->start_ms >= request->start_ms && block->end_ms <= request->end_ms &&
                        walk->filter.scratch == NULL;
        bool is_everything = is_whole && request->matcher_count == 0;
        if (is_everything && list_is_seen(&seen, list_digest(walk, i)))
            continue;
        walk->filter.block = (uint32_t)i;
        code = walk_index(walk, block_index(block->block), is_whole ? NULL : &walk->filter.filter,
                          error);
        if (is_everything)
            seen.digests[seen.count++] = list_digest(walk, i);
    }
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code shard_find_texts(struct shard *shard, const struct series_request *request,
                                 const struct text *name, struct text_set *found,
                                 struct error *error)
{
    struct text_walk walk = {
        .request = request,
        .name = name,
        .view = shard_view(shard),
        .filter.request = request,
        .found = found,
    };
    enum error_code code = view_reader_create(walk.view, &walk.filter.reader, error);
    if (code == ERROR_NONE && view_has_deletions(walk.view, request->start_ms, request->end_ms) &&
        (walk.filter.scratch = arena_create(0)) == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "label names and values");
    if (code == ERROR_NONE && view_has_registered(walk.view, request->start_ms, request->end_ms))
        code = walk_registry(&walk, error);
    if (code == ERROR_NONE)
        code = walk_blocks(&walk, error);
    arena_destroy(walk.filter.scratch);
    view_reader_destroy(walk.filter.reader);
    view_unref(walk.view);
    return code;
}
