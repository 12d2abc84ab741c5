/*
 * The series of the parts of a merge, sorted as blocks are: parts know ids, segments their labels.
 */
#include <stdlib.h>

#include "merge_work.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
}

/* Ascending, each once. */
struct id_list {
    uint64_t *ids; /* [count], owned */
    size_t count;
};

/* Join the ids of a part, which ascend too, with those of the parts before. */
static enum error_code add_part(struct id_list *list, struct part_reader *reader,
                                uint64_t series_count, const struct view *view, struct error *error)
{
    uint64_t *joined = malloc((list->count + series_count + 1) * sizeof *joined);
    if (joined == NULL)
        return out_of_memory(error);
    size_t count = 0, at = 0;
    struct part_entry entry = {0};
    bool found = true;
    enum error_code code = part_reader_next(reader, 0, &entry, &found, error);
    for (uint64_t left = series_count; code == ERROR_NONE && found; left--) {
        if (left == 0) {
            code = error_set(error, ERROR_CORRUPT, "merge: a part of more series than it says");
            break;
        }
        while (at < list->count && list->ids[at] < entry.id)
            joined[count++] = list->ids[at++];
        at += at < list->count && list->ids[at] == entry.id;
        if (!view->lacks_slots || slot_set_has(&view->owned, entry.slot))
            joined[count++] = entry.id; /* others went to another shard */
        code = part_reader_next(reader, entry.id + 1, &entry, &found, error);
    }
    while (at < list->count)
        joined[count++] = list->ids[at++];
    free(list->ids);
    *list = (struct id_list){joined, count};
    return code;
}

static size_t first_at_least(const struct id_list *list, uint64_t id)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum error_code sort_ids(struct merge_work *work, const struct id_list *list,
                                struct error *error)
{
    const struct merge *merge = work->merge;
    work->orders = calloc(merge->segment_count + 1, sizeof(struct segment_order *));
    if (work->orders == NULL)
        return out_of_memory(error);
    size_t found = 0;
    for (size_t i = 0; i < merge->segment_count; i++) {
        struct series_segment *segment = merge->segments[i];
        uint64_t first_id = series_segment_first_id(segment);
        size_t first = first_at_least(list, first_id);
        size_t end = first_at_least(list, first_id + series_segment_span(segment));
        if (first == end)
            continue;
        struct segment_order **order = &work->orders[work->order_count];
        enum error_code code =
            segment_order_create(segment, list->ids + first, end - first, order, error);
        if (code != ERROR_NONE)
            return code;
        found += segment_order_count(*order);
        work->order_count++;
    }
    if (found != list->count)
        return error_set(error, ERROR_CORRUPT, "merge: %zu of %zu series have labels", found,
                         list->count);
    return ERROR_NONE;
}

enum error_code merge_sort_parts(struct merge_work *work, struct error *error)
{
    struct id_list list = {0};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < work->merge->part_count; i++)
        code = add_part(&list, work->part_readers[i],
                        work->merge->parts[i].input.described.summary.series_count,
                        work->merge->view, error);
    if (code == ERROR_NONE && list.count > 0)
        code = sort_ids(work, &list, error);
    free(list.ids);
    return code;
}
