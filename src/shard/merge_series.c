/*
 * The series of a merge: ids of parts and positions in blocks, with their labels, sorted as blocks
 * are.
 */
#include "merge_work.h"

#include <stdlib.h>

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
}

/* --- Collecting the series ------------------------------------------------------------------- */

static struct merge_item *add_item(struct merge_work *work)
{
    if (work->item_count == work->item_capacity) {
        size_t capacity = work->item_capacity == 0 ? 1024 : work->item_capacity * 2;
        struct merge_item *grown = realloc(work->items, capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        work->items = grown;
        work->item_capacity = capacity;
    }
    return &work->items[work->item_count++];
}

static enum error_code collect_part_ids(struct merge_work *work, size_t part, struct error *error)
{
    uint64_t from_id = 0;
    while (true) {
        struct part_entry entry;
        bool found;
        enum error_code code =
            part_reader_next(work->part_readers[part], from_id, &entry, &found, error);
        if (code != ERROR_NONE || !found)
            return code;
        struct merge_item *item = add_item(work);
        if (item == NULL)
            return out_of_memory(error);
        *item = (struct merge_item){.id = entry.id};
        from_id = entry.id + 1;
    }
}

static int compare_ids(const void *left, const void *right)
{
    const struct merge_item *a = left, *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

enum { LABEL_BATCH = 1024 };

/* Labels of items [from, from + count), which one segment may hold; found ones get them. */
static enum error_code read_labels(struct merge_work *work, struct series_segment *segment,
                                   size_t from, size_t count, struct error *error)
{
    uint64_t ids[LABEL_BATCH] = {0};
    struct segment_series series[LABEL_BATCH];
    for (size_t i = 0; i < count; i++)
        ids[i] = work->items[from + i].id;
    enum error_code code = series_segment_read(segment, ids, count, work->arena, series, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        if (series[i].labels.size > 0)
            work->items[from + i].series =
                (struct block_series){series[i].tenant, series[i].slot, series[i].labels};
    return code;
}

static enum error_code resolve_ids(struct merge_work *work, struct error *error)
{
    const struct view *view = work->merge->view;
    if (work->item_count == 0)
        return ERROR_NONE;
    qsort(work->items, work->item_count, sizeof *work->items, compare_ids);
    size_t kept = 0;
    for (size_t i = 0; i < work->item_count; i++)
        if (kept == 0 || work->items[kept - 1].id != work->items[i].id)
            work->items[kept++] = work->items[i];
    work->item_count = kept;
    for (size_t s = 0; s < view->segment_count; s++) {
        struct series_segment *segment = view->segments[s];
        uint64_t first = series_segment_first_id(segment);
        uint64_t end = first + series_segment_span(segment);
        for (size_t i = 0; i < kept;) {
            size_t count = 0;
            if (work->items[i].id < first) {
                i++;
                continue;
            }
            while (count < LABEL_BATCH && i + count < kept && work->items[i + count].id < end)
                count++;
            if (count == 0)
                break;
            enum error_code code = read_labels(work, segment, i, count, error);
            if (code != ERROR_NONE)
                return code;
            i += count;
        }
    }
    for (size_t i = 0; i < kept; i++)
        if (work->items[i].series.labels.size == 0)
            return error_set(error, ERROR_CORRUPT, "merge: series %llu has no labels",
                             (unsigned long long)work->items[i].id);
    return ERROR_NONE;
}

static enum error_code collect_block(struct merge_work *work, uint32_t block, struct error *error)
{
    uint64_t count = work->merge->blocks[block].described.summary.series_count;
    for (uint32_t position = 0; position < count; position++) {
        struct block_series series;
        enum error_code code =
            block_reader_series(work->block_readers[block], position, &series, error);
        if (code != ERROR_NONE)
            return code;
        struct merge_item *item = add_item(work);
        if (item == NULL)
            return out_of_memory(error);
        *item = (struct merge_item){
            .series = series,
            .id = SERIES_ID_OF_BLOCK,
            .block = block,
            .position = position,
        };
        item->series.labels = labels_copy(work->arena, series.labels);
        item->series.tenant = arena_copy_text(work->arena, series.tenant);
        if (item->series.labels.bytes == NULL || item->series.tenant.data == NULL)
            return out_of_memory(error);
    }
    return ERROR_NONE;
}

/* Put the items into the order of `order`, and tell where a new series begins. */
static void arrange_items(struct merge_work *work, struct merge_item *arranged,
                          const uint32_t *order)
{
    for (size_t i = 0; i < work->item_count; i++) {
        arranged[i] = work->items[order[i]];
        arranged[i].begins =
            i == 0 || block_series_compare(&arranged[i - 1].series, &arranged[i].series) != 0;
        /* Of equal series parts come first, then blocks as they are numbered, however the sort
         * left them: exemplars of one time keep that order. */
        for (size_t k = i;
             k > 0 && !arranged[k].begins && arranged[k - 1].id == SERIES_ID_OF_BLOCK &&
             (arranged[k].id != SERIES_ID_OF_BLOCK || arranged[k].block < arranged[k - 1].block);
             k--) {
            struct merge_item swapped = arranged[k - 1];
            arranged[k - 1] = arranged[k];
            arranged[k] = swapped;
            arranged[k - 1].begins = swapped.begins;
            arranged[k].begins = false;
        }
    }
}

static enum error_code sort_items(struct merge_work *work, struct error *error)
{
    size_t count = work->item_count;
    struct block_series *series = malloc((count + 1) * sizeof *series);
    struct merge_item *arranged = malloc((count + 1) * sizeof *arranged);
    uint32_t *order = malloc((count + 1) * sizeof *order);
    enum error_code code = ERROR_NONE;
    if (series == NULL || arranged == NULL || order == NULL)
        code = out_of_memory(error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        series[i] = work->items[i].series;
    if (code == ERROR_NONE)
        code = block_series_sort(series, count, order, error);
    if (code == ERROR_NONE) {
        arrange_items(work, arranged, order);
        struct merge_item *unsorted = work->items;
        work->items = arranged;
        work->item_capacity = count + 1;
        arranged = unsorted;
    }
    free(series);
    free(arranged);
    free(order);
    return code;
}

enum error_code merge_collect_series(struct merge_work *work, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < work->merge->part_count; i++)
        code = collect_part_ids(work, i, error);
    if (code == ERROR_NONE)
        code = resolve_ids(work, error);
    for (size_t i = 0; code == ERROR_NONE && i < work->merge->block_count; i++)
        code = collect_block(work, (uint32_t)i, error);
    return code == ERROR_NONE ? sort_items(work, error) : code;
}
