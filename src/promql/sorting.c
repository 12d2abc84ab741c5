/*
 * Sorting of many items by all lanes: runs of a fixed size are sorted one by one, and neighbours
 * merged until one is left. Who has left stops it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation.h"

enum { RUN_ITEMS = 4096 };

struct sorting {
    struct evaluation *evaluation;
    item_compare *compare;
    void *context;
    size_t item_bytes;
    size_t count;
    uint8_t *items; /* where the sorted runs are */
    uint8_t *other; /* where merged ones go */
    size_t run;     /* items in each of them, but for the last */
};

static size_t end_of(const struct sorting *sorting, size_t at, size_t length)
{
    return length < sorting->count - at ? at + length : sorting->count;
}

static enum error_code sort_run(void *context, struct lane *lane, size_t part, struct error *error)
{
    (void)lane;
    struct sorting *sorting = context;
    size_t first = part * RUN_ITEMS;
    enum error_code code = evaluation_check(sorting->evaluation, error);
    if (code == ERROR_NONE)
        qsort_r(sorting->items + first * sorting->item_bytes,
                end_of(sorting, first, RUN_ITEMS) - first, sorting->item_bytes, sorting->compare,
                sorting->context);
    return code;
}

/* Two neighbouring runs become one. Of equal items those of the first come first. */
static enum error_code merge_runs(void *context, struct lane *lane, size_t part,
                                  struct error *error)
{
    (void)lane;
    struct sorting *sorting = context;
    size_t bytes = sorting->item_bytes;
    size_t first = part * 2 * sorting->run;
    size_t middle = end_of(sorting, first, sorting->run);
    size_t end = end_of(sorting, middle, sorting->run);
    const uint8_t *left = sorting->items + first * bytes,
                  *left_end = sorting->items + middle * bytes;
    const uint8_t *right = left_end, *right_end = sorting->items + end * bytes;
    uint8_t *target = sorting->other + first * bytes;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && left < left_end && right < right_end; i++) {
        bool takes_left = sorting->compare(left, right, sorting->context) <= 0;
        memcpy(target, takes_left ? left : right, bytes);
        *(takes_left ? &left : &right) += bytes;
        target += bytes;
        if (i % RUN_ITEMS == 0)
            code = evaluation_check(sorting->evaluation, error);
    }
    memcpy(target, left, (size_t)(left_end - left));
    memcpy(target + (left_end - left), right, (size_t)(right_end - right));
    return code;
}

static enum error_code sort_runs(struct sorting *sorting, struct error *error)
{
    struct partition partition = {
        .size = RUN_ITEMS,
        .count = (sorting->count + RUN_ITEMS - 1) / RUN_ITEMS,
        .lanes = PARTS_IN_ALL_LANES,
    };
    enum error_code code =
        evaluation_run_parts(sorting->evaluation, partition, sort_run, sorting, error);
    for (sorting->run = RUN_ITEMS; code == ERROR_NONE && sorting->run < sorting->count;
         sorting->run *= 2) {
        partition.size = 2 * sorting->run;
        partition.count = (sorting->count + partition.size - 1) / partition.size;
        code = evaluation_run_parts(sorting->evaluation, partition, merge_runs, sorting, error);
        uint8_t *merged = sorting->other;
        sorting->other = sorting->items;
        sorting->items = merged;
    }
    return code;
}

enum error_code evaluation_sort(struct evaluation *evaluation, void *items, size_t count,
                                size_t item_bytes, item_compare *compare, void *context,
                                struct error *error)
{
    if (count <= RUN_ITEMS) {
        if (count > 1)
            qsort_r(items, count, item_bytes, compare, context);
        return ERROR_NONE;
    }
    struct arena *arena = evaluation_arena_create(evaluation);
    void *other = arena == NULL ? NULL : arena_array(arena, count, item_bytes);
    struct sorting sorting = {
        .evaluation = evaluation,
        .compare = compare,
        .context = context,
        .item_bytes = item_bytes,
        .count = count,
        .items = items,
        .other = other,
    };
    enum error_code code =
        other == NULL ? evaluation_out_of_memory(evaluation, error) : sort_runs(&sorting, error);
    if (code == ERROR_NONE && sorting.items != items)
        memcpy(items, sorting.items, count * item_bytes);
    arena_destroy(arena);
    return code;
}
