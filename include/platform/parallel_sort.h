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

struct arena_account;
struct worker_pool;

/* As qsort_r's; from several threads at once. */
typedef int item_compare(const void *left, const void *right, void *context);

struct parallel_sort {
    struct worker_pool *pool; /* NULL: the calling thread alone */
    item_compare *compare;
    void *compare_context;
    bool (*is_over)(void *context); /* asked each few thousand items; NULL: never. Any thread */
    void *is_over_context;
    struct arena_account
        *account; /* what room for as many items again is charged to; NULL: nobody */
};

enum sort_outcome {
    SORT_DONE,
    SORT_OVER, /* before the end: the items are in any order */
    SORT_OUT_OF_MEMORY,
};

/* Up to so many items need no more memory, and are sorted without a look at `is_over`. */
enum { PARALLEL_SORT_RUN = 4096 };

/* Sort items[count] of `item_bytes` each in place; equal ones may change places. */
enum sort_outcome parallel_sort(const struct parallel_sort *sort, void *items, size_t count,
                                size_t item_bytes);

#endif
