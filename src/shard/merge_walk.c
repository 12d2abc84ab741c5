#include "merge_walk.h"

#include <stdlib.h>

struct merge_cursor {
    const struct segment_order *order; /* of parts; NULL: of a block */
    struct block_reader *reader;       /* of a block */
    struct merge_batch batch;          /* of parts: what they hold */
    struct arena *labels;              /* of parts: those of the series below */
    uint64_t next;                     /* place or position behind it */
    uint64_t count;
    struct merge_item item;
    struct block_series series;
    struct block_order_key key;
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
}

/* --- Cursors ---------------------------------------------------------------------------------- */

/* To the next series of a block that is the shard's; *found_out is false behind the last. */
static enum error_code step_in_block(struct merge_cursor *cursor, const struct view *view,
                                     bool *found_out, struct error *error)
{
    *found_out = false;
    for (; !*found_out && cursor->next < cursor->count; cursor->next++) {
        cursor->item.position = (uint32_t)cursor->next;
        enum error_code code =
            block_reader_series(cursor->reader, cursor->item.position, &cursor->series, error);
        if (code != ERROR_NONE)
            return code;
        *found_out = !view->lacks_slots || slot_set_has(&view->owned, cursor->series.slot);
    }
    return ERROR_NONE;
}

/* To the next series; *found_out is false behind the last. */
static enum error_code cursor_step(struct merge_cursor *cursor, const struct view *view,
                                   bool *found_out, struct error *error)
{
    enum error_code code;
    *found_out = cursor->next < cursor->count;
    if (!*found_out)
        return ERROR_NONE;
    if (cursor->order != NULL) {
        arena_reset(cursor->labels);
        code = segment_order_series(cursor->order, cursor->next, cursor->labels, &cursor->series,
                                    error);
        if (code == ERROR_NONE)
            code = merge_batch_find(&cursor->batch, cursor->next, &cursor->item.pieces, error);
        cursor->next++;
    } else {
        code = step_in_block(cursor, view, found_out, error);
    }
    if (code != ERROR_NONE || !*found_out)
        return code;
    cursor->key = block_order_key(&cursor->series);
    return ERROR_NONE;
}

static void cursor_clear(struct merge_cursor *cursor)
{
    arena_destroy(cursor->labels);
    merge_batch_clear(&cursor->batch);
}

/* The order of series; of equal ones that of the cursors, so that every walk is the same. */
static bool cursor_is_before(const struct merge_cursor *left, const struct merge_cursor *right)
{
    int order = block_order_compare(&left->key, &right->key);
    return order != 0 ? order < 0 : left < right;
}

/* --- Heap ------------------------------------------------------------------------------------- */

static void heap_push(struct merge_walk *walk, struct merge_cursor *cursor)
{
    size_t at = walk->heap_count++;
    while (at > 0 && cursor_is_before(cursor, walk->heap[(at - 1) / 2])) {
        walk->heap[at] = walk->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    walk->heap[at] = cursor;
}

static struct merge_cursor *heap_pop(struct merge_walk *walk)
{
    struct merge_cursor *least = walk->heap[0];
    struct merge_cursor *last = walk->heap[--walk->heap_count];
    size_t at = 0;
    while (2 * at + 1 < walk->heap_count) {
        size_t child = 2 * at + 1;
        if (child + 1 < walk->heap_count &&
            cursor_is_before(walk->heap[child + 1], walk->heap[child]))
            child++;
        if (!cursor_is_before(walk->heap[child], last))
            break;
        walk->heap[at] = walk->heap[child];
        at = child;
    }
    walk->heap[at] = last;
    return least;
}

/* --- Walk ------------------------------------------------------------------------------------- */

static struct merge_cursor *add_cursor(struct merge_walk *walk)
{
    struct merge_cursor *cursor = &walk->cursors[walk->cursor_count++];
    walk->taken[walk->item_count++] = cursor; /* the first step moves it */
    return cursor;
}

static enum error_code add_order(struct merge_walk *walk, const struct segment_order *order,
                                 int64_t start_ms, int64_t end_ms, struct error *error)
{
    struct merge_cursor *cursor = add_cursor(walk);
    cursor->order = order;
    cursor->count = segment_order_count(order);
    cursor->labels = arena_create(0);
    if (cursor->labels == NULL)
        return out_of_memory(error);
    return merge_batch_begin(&cursor->batch, walk->work, order, start_ms, end_ms, error);
}

static void add_block(struct merge_walk *walk, uint32_t block, int64_t start_ms, int64_t end_ms)
{
    const struct file_summary *summary = &walk->work->merge->blocks[block].described.summary;
    if (summary->min_time_ms > end_ms || summary->max_time_ms < start_ms)
        return;
    struct merge_cursor *cursor = add_cursor(walk);
    cursor->reader = walk->work->block_readers[block];
    cursor->count = summary->series_count;
    cursor->item.block = block;
}

enum error_code merge_walk_begin(struct merge_walk *walk, struct merge_work *work, int64_t start_ms,
                                 int64_t end_ms, struct error *error)
{
    const struct merge *merge = work->merge;
    size_t cursors = work->order_count + merge->block_count + 1;
    *walk = (struct merge_walk){
        .work = work,
        .cursors = calloc(cursors, sizeof *walk->cursors),
        .heap = malloc(cursors * sizeof(struct merge_cursor *)),
        .taken = malloc(cursors * sizeof(struct merge_cursor *)),
        .items = malloc(cursors * sizeof *walk->items),
    };
    enum error_code code = ERROR_NONE;
    if (walk->cursors == NULL || walk->heap == NULL || walk->taken == NULL || walk->items == NULL)
        code = out_of_memory(error);
    for (size_t i = 0; code == ERROR_NONE && i < work->order_count; i++)
        code = add_order(walk, work->orders[i], start_ms, end_ms, error);
    for (uint32_t i = 0; code == ERROR_NONE && i < merge->block_count; i++)
        add_block(walk, i, start_ms, end_ms);
    return code;
}

enum error_code merge_walk_next(struct merge_walk *walk, struct error *error)
{
    if (atomic_load_explicit(&walk->work->merge->abandoned, memory_order_relaxed))
        return error_set(error, ERROR_CANCELED, "nobody needs the merge any more");
    for (; walk->item_count > 0; walk->item_count--) {
        struct merge_cursor *cursor = walk->taken[walk->item_count - 1];
        bool found;
        enum error_code code = cursor_step(cursor, walk->work->merge->view, &found, error);
        if (code != ERROR_NONE)
            return code;
        if (found)
            heap_push(walk, cursor);
    }
    while (walk->heap_count > 0 &&
           (walk->item_count == 0 ||
            block_order_compare(&walk->taken[0]->key, &walk->heap[0]->key) == 0)) {
        struct merge_cursor *cursor = heap_pop(walk);
        walk->taken[walk->item_count] = cursor;
        walk->items[walk->item_count++] = cursor->item;
    }
    if (walk->item_count > 0)
        walk->series = walk->taken[0]->series;
    return ERROR_NONE;
}

size_t merge_walk_size_bytes(const struct merge_walk *walk)
{
    size_t bytes = 0;
    for (size_t i = 0; i < walk->cursor_count; i++)
        if (walk->cursors[i].batch.arena != NULL)
            bytes += arena_size_bytes(walk->cursors[i].batch.arena);
    return bytes;
}

void merge_walk_clear(struct merge_walk *walk)
{
    for (size_t i = 0; i < walk->cursor_count; i++)
        cursor_clear(&walk->cursors[i]);
    free(walk->cursors);
    free(walk->heap);
    free(walk->taken);
    free(walk->items);
    *walk = (struct merge_walk){0};
}
