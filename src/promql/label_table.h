/*
 * label_table - numbers label sets: equal ones get the same number, counted from 0.
 *
 * For groups of aggregations, match groups of binary operators, equal results. One thread.
 */
#ifndef PROMQL_LABEL_TABLE_H
#define PROMQL_LABEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/labels.h"

#define LABEL_TABLE_NONE SIZE_MAX

struct label_table {
    struct arena *arena;   /* of labels and slots */
    struct labels *labels; /* [count], by number */
    uint64_t *hashes;      /* [count] */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* [slot_count], number + 1; 0: free */
    size_t slot_count;
    size_t latest; /* neighbours often have equal labels */
};

void label_table_init(struct label_table *table, struct arena *arena);

/* The number of `labels`, which are copied when new. False when memory is out. */
bool label_table_add(struct label_table *table, struct labels labels, size_t *number_out);

/* LABEL_TABLE_NONE when absent. */
size_t label_table_find(const struct label_table *table, struct labels labels);

#endif
