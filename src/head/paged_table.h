/*
 * paged_table - a sparse array of fixed-size elements, indexed by numbers that are dense in
 * stretches: series ids, positions.
 *
 * A radix tree of fixed shape whose leaves hold 64 elements each. Nodes appear and never move, so
 * there is nothing to republish when it grows: one thread adds, any number look up.
 */
#ifndef HEAD_PAGED_TABLE_H
#define HEAD_PAGED_TABLE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "pool.h"

enum {
    PAGED_LEAF_BITS = 6,
    PAGED_NODE_BITS = 9,
    PAGED_ROOT_BITS = 7,
    PAGED_KEY_BITS = PAGED_LEAF_BITS + 3 * PAGED_NODE_BITS + PAGED_ROOT_BITS, /* 40 */
    PAGED_LEAF_ELEMENTS = 1 << PAGED_LEAF_BITS,
};

struct paged_table {
    uint32_t element_bytes;
    uint32_t alignment;
    _Atomic(void *) root[1 << PAGED_ROOT_BITS];
};

void paged_table_init(struct paged_table *table, uint32_t element_bytes, uint32_t alignment);

/* The element, made (zeroed) with its neighbours when it is not there. NULL: out of memory. */
void *paged_table_add(struct paged_table *table, struct pool *pool, uint64_t key);

/* Call visit for every leaf there is, by key: elements of [first_key, first_key + 64), some of
 * which may be zeroed and never used. */
void paged_table_visit(const struct paged_table *table,
                       void (*visit)(void *context, uint64_t first_key, void *elements),
                       void *context);

/* The element, or NULL when its leaf is not there. It may be one that was never used. */
static inline void *paged_table_find(const struct paged_table *table, uint64_t key)
{
    if (key >> PAGED_KEY_BITS != 0)
        return NULL;
    unsigned shift = PAGED_KEY_BITS - PAGED_ROOT_BITS;
    void *node = atomic_load_explicit(&table->root[key >> shift], memory_order_acquire);
    while (node != NULL && shift > PAGED_LEAF_BITS) {
        shift -= PAGED_NODE_BITS;
        _Atomic(void *) *children = node;
        node = atomic_load_explicit(&children[(key >> shift) & ((1 << PAGED_NODE_BITS) - 1)],
                                    memory_order_acquire);
    }
    if (node == NULL)
        return NULL;
    return (uint8_t *)node + (key & (PAGED_LEAF_ELEMENTS - 1)) * table->element_bytes;
}

#endif
