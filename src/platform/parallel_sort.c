#include "platform/parallel_sort.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "platform/parallel.h"

struct sorting {
    const struct parallel_sort *sort;
    size_t item_bytes;
    size_t count;
    uint8_t *items; /* where the sorted runs are */
    uint8_t *other; /* where merged ones go */
    size_t run;     /* items in each of them, but for the last */
    atomic_bool is_over;
};

static size_t end_of(const struct sorting *sorting, size_t at, size_t length)
{
    return length < sorting->count - at ? at + length : sorting->count;
}

static bool is_over(struct sorting *sorting)
{
    const struct parallel_sort *sort = sorting->sort;
    if (!atomic_load_explicit(&sorting->is_over, memory_order_relaxed) && sort->is_over != NULL &&
        sort->is_over(sort->is_over_context))
        atomic_store_explicit(&sorting->is_over, true, memory_order_relaxed);
    return atomic_load_explicit(&sorting->is_over, memory_order_relaxed);
}

static void sort_run(void *context, size_t part, size_t lane)
{
    (void)lane;
    struct sorting *sorting = context;
    size_t first = part * PARALLEL_SORT_RUN;
    if (!is_over(sorting))
        qsort_r(sorting->items + first * sorting->item_bytes,
                end_of(sorting, first, PARALLEL_SORT_RUN) - first, sorting->item_bytes,
                sorting->sort->compare, sorting->sort->compare_context);
}

/* Two neighbouring runs become one. Of equal items those of the first come first. */
static void merge_runs(void *context, size_t part, size_t lane)
{
    (void)lane;
    struct sorting *sorting = context;
    const struct parallel_sort *sort = sorting->sort;
    size_t bytes = sorting->item_bytes;
    size_t first = part * 2 * sorting->run;
    size_t middle = end_of(sorting, first, sorting->run);
    const uint8_t *left = sorting->items + first * bytes;
    const uint8_t *left_end = sorting->items + middle * bytes;
    const uint8_t *right = left_end;
    const uint8_t *right_end = sorting->items + end_of(sorting, middle, sorting->run) * bytes;
    uint8_t *target = sorting->other + first * bytes;
    for (size_t i = 0; left < left_end && right < right_end; i++) {
        if (i % PARALLEL_SORT_RUN == 0 && is_over(sorting))
            return;
        bool takes_left = sort->compare(left, right, sort->compare_context) <= 0;
        memcpy(target, takes_left ? left : right, bytes);
        *(takes_left ? &left : &right) += bytes;
        target += bytes;
    }
    memcpy(target, left, (size_t)(left_end - left));
    memcpy(target + (left_end - left), right, (size_t)(right_end - right));
}

static size_t parts_of(const struct sorting *sorting, size_t size)
{
    return (sorting->count + size - 1) / size;
}

static enum sort_outcome sort_runs(struct sorting *sorting, void *items)
{
    struct worker_pool *pool = sorting->sort->pool;
    parallel_run(pool, parts_of(sorting, PARALLEL_SORT_RUN), sort_run, sorting);
    for (sorting->run = PARALLEL_SORT_RUN; sorting->run < sorting->count && !is_over(sorting);
         sorting->run *= 2) {
        parallel_run(pool, parts_of(sorting, 2 * sorting->run), merge_runs, sorting);
        uint8_t *merged = sorting->other;
        sorting->other = sorting->items;
        sorting->items = merged;
    }
    if (is_over(sorting))
        return SORT_OVER;
    if (sorting->items != items)
        memcpy(items, sorting->items, sorting->count * sorting->item_bytes);
    return SORT_DONE;
}

enum sort_outcome parallel_sort(const struct parallel_sort *sort, void *items, size_t count,
                                size_t item_bytes)
{
    if (count <= PARALLEL_SORT_RUN) {
        if (count > 1)
            qsort_r(items, count, item_bytes, sort->compare, sort->compare_context);
        return SORT_DONE;
    }
    struct arena *arena = arena_create_charged(sort->account);
    struct sorting sorting = {
        .sort = sort,
        .item_bytes = item_bytes,
        .count = count,
        .items = items,
        .other = arena == NULL ? NULL : arena_array(arena, count, item_bytes),
    };
    enum sort_outcome outcome =
        sorting.other == NULL ? SORT_OUT_OF_MEMORY : sort_runs(&sorting, items);
    arena_destroy(arena);
    return outcome;
}
