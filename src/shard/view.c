#include "view.h"

#include <stdlib.h>
#include <string.h>

struct view *view_create(const struct view *pieces)
{
    size_t pointers = pieces->index_count + pieces->segment_count;
    struct view *view = malloc(sizeof *view + pointers * sizeof(void *) +
                               pieces->head_count * sizeof(struct view_head) +
                               pieces->part_count * sizeof(struct view_part) +
                               pieces->block_count * sizeof(struct view_block));
    if (view == NULL)
        return NULL;
    *view = *pieces;
    atomic_init(&view->references, 1);
    void **room = (void **)(view + 1);
    view->indexes = (struct memory_index **)room;
    view->segments = (struct series_segment **)(view->indexes + view->index_count);
    view->heads = (struct view_head *)(view->segments + view->segment_count);
    view->parts = (struct view_part *)(view->heads + view->head_count);
    view->blocks = (struct view_block *)(view->parts + view->part_count);
    for (size_t i = 0; i < view->head_count; i++)
        view->heads[i] =
            (struct view_head){head_ref(pieces->heads[i].head), pieces->heads[i].index};
    for (size_t i = 0; i < view->part_count; i++) {
        view->parts[i] = pieces->parts[i];
        part_ref(view->parts[i].part);
    }
    for (size_t i = 0; i < view->block_count; i++) {
        view->blocks[i] = pieces->blocks[i];
        block_ref(view->blocks[i].block);
    }
    for (size_t i = 0; i < view->index_count; i++)
        view->indexes[i] = memory_index_ref(pieces->indexes[i]);
    for (size_t i = 0; i < view->segment_count; i++)
        view->segments[i] = series_segment_ref(pieces->segments[i]);
    tombstones_ref(view->tombstones);
    retention_cut_ref(&view->retention);
    id_set_ref(view->forgotten);
    return view;
}

struct view *view_ref(struct view *view)
{
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    return view;
}

void view_unref(struct view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < view->head_count; i++)
        head_unref(view->heads[i].head);
    for (size_t i = 0; i < view->part_count; i++)
        part_unref(view->parts[i].part);
    for (size_t i = 0; i < view->block_count; i++)
        block_unref(view->blocks[i].block);
    for (size_t i = 0; i < view->index_count; i++)
        memory_index_unref(view->indexes[i]);
    for (size_t i = 0; i < view->segment_count; i++)
        series_segment_unref(view->segments[i]);
    tombstones_unref(view->tombstones);
    retention_cut_clear(&view->retention);
    id_set_unref(view->forgotten);
    free(view);
}

bool view_has_registered(const struct view *view, int64_t start_ms, int64_t end_ms)
{
    for (size_t i = 0; i < view->part_count; i++)
        if (view->parts[i].start_ms <= end_ms && view->parts[i].end_ms >= start_ms)
            return true;
    for (size_t i = 0; i < view->head_count; i++) {
        struct head_statistics head;
        head_read_statistics(view->heads[i].head, &head);
        if (head.start_ms <= end_ms && head.end_ms >= start_ms)
            return true;
    }
    return false;
}

bool view_has_deletions(const struct view *view, int64_t start_ms, int64_t end_ms)
{
    for (size_t i = 0; i < tombstones_count(view->tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(view->tombstones, i);
        if (tombstone->start_ms <= end_ms && tombstone->end_ms >= start_ms)
            return true;
    }
    return retention_cut_reaches(&view->retention, start_ms);
}
