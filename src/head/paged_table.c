#include "paged_table.h"

void paged_table_init(struct paged_table *table, uint32_t element_bytes, uint32_t alignment)
{
    *table = (struct paged_table){.element_bytes = element_bytes, .alignment = alignment};
}

void *paged_table_add(struct paged_table *table, struct pool *pool, uint64_t key)
{
    assert(key >> PAGED_KEY_BITS == 0);
    unsigned shift = PAGED_KEY_BITS - PAGED_ROOT_BITS;
    _Atomic(void *) *place = &table->root[key >> shift];
    for (;;) {
        void *node = atomic_load_explicit(place, memory_order_relaxed);
        if (node == NULL) {
            node = shift == PAGED_LEAF_BITS
                       ? pool_allocate(pool, PAGED_LEAF_ELEMENTS * (size_t)table->element_bytes,
                                       table->alignment)
                       : pool_allocate(pool, sizeof(void *) << PAGED_NODE_BITS, sizeof(void *));
            if (node == NULL)
                return NULL; /* what was made on the way stays, empty */
            atomic_store_explicit(place, node, memory_order_release);
        }
        if (shift == PAGED_LEAF_BITS)
            return (uint8_t *)node + (key & (PAGED_LEAF_ELEMENTS - 1)) * table->element_bytes;
        shift -= PAGED_NODE_BITS;
        place = (_Atomic(void *) *)node + ((key >> shift) & ((1 << PAGED_NODE_BITS) - 1));
    }
}

static void visit_node(void *node, unsigned shift, uint64_t first_key,
                       void (*visit)(void *context, uint64_t first_key, void *elements),
                       void *context)
{
    if (shift == PAGED_LEAF_BITS) {
        visit(context, first_key, node);
        return;
    }
    shift -= PAGED_NODE_BITS;
    _Atomic(void *) *children = node;
    for (uint64_t i = 0; i < 1 << PAGED_NODE_BITS; i++) {
        void *child = atomic_load_explicit(&children[i], memory_order_acquire);
        if (child != NULL)
            visit_node(child, shift, first_key | i << shift, visit, context);
    }
}

void paged_table_visit(const struct paged_table *table,
                       void (*visit)(void *context, uint64_t first_key, void *elements),
                       void *context)
{
    unsigned shift = PAGED_KEY_BITS - PAGED_ROOT_BITS;
    for (uint64_t i = 0; i < 1 << PAGED_ROOT_BITS; i++) {
        void *child = atomic_load_explicit(&table->root[i], memory_order_acquire);
        if (child != NULL)
            visit_node(child, shift, i << shift, visit, context);
    }
}
