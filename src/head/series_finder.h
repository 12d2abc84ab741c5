/*
 * series_finder - the records of series one after another. Private to head.
 *
 * Ids of a batch are mostly neighbours, so the leaf of the one before is looked at first. Records
 * are looked for some samples ahead and asked for: memory takes longer than a few samples do.
 */
#ifndef HEAD_SERIES_FINDER_H
#define HEAD_SERIES_FINDER_H

#include "paged_table.h"
#include "series.h"

/* Samples looked ahead, for the record and then for what it points to. */
enum { PREFETCH_RECORDS = 40, PREFETCH_BUFFERS = 16, PREFETCH_RING = 64 };

struct series_finder {
    const struct paged_table *table;
    struct series *leaf; /* NULL: none */
    uint64_t leaf_number;
};

/* The record, or NULL when its leaf is not there. */
static inline struct series *series_finder_find(struct series_finder *finder, uint64_t series_id)
{
    uint64_t number = series_id / PAGED_LEAF_ELEMENTS;
    if (number != finder->leaf_number || finder->leaf == NULL) {
        finder->leaf_number = number;
        finder->leaf = paged_table_find(finder->table, number * PAGED_LEAF_ELEMENTS);
    }
    return finder->leaf == NULL ? NULL : finder->leaf + series_id % PAGED_LEAF_ELEMENTS;
}

#endif
