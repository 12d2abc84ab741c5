/*
 * parallel_sort - sort many items by all threads of a pool, and stop when nobody waits any more.
 *
 * For work that is off the loops. Runs of a fixed size are sorted one by one, then neighbours are
 * merged until one is left.
 */
#ifndef PLATFORM_PARALLEL_SORT_H
#define PLATFORM_PARALLEL_SORT_H

#include <stdbool.h>
#include <stddef.h>

struct worker_pool;

/* As qsort_r's; from several threads at once. */
typedef int item_compare(const void *left, const void *right, void *context);

struct parallel_sort {
    struct worker_pool *pool; /* NULL: the calling thread alone */
    item_compare *compare;
    void *compare_context;
    bool (*is_over)(void *context); /* asked each few thousand items; NULL: never. Any thread */
    void *is_over_context;
};

/* Up to so many items need no spare memory, and are sorted without a look at `is_over`. */
enum { PARALLEL_SORT_RUN = 4096 };

/*
 * Sort items[count] of `item_bytes` each in place; equal ones may change places. `spare` has room
 * for as many, or is NULL up to PARALLEL_SORT_RUN. False: it was over before the end, and the items
 * are in any order.
 */
bool parallel_sort(const struct parallel_sort *sort, void *items, void *spare, size_t count,
                   size_t item_bytes);

#endif
