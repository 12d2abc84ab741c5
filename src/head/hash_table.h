/*
 * hash_table - finds numbers by hash: one thread adds, any number look up.
 *
 * It stores 32 bits of the hash beside each number; who looks up compares what the number stands
 * for. Open addressing in 64 stripes that grow apart, so that growing never stops the loop for
 * long; the old stripe stays until the pool is cleared, because readers may be in it.
 */
#ifndef HEAD_HASH_TABLE_H
#define HEAD_HASH_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

enum { HASH_TABLE_STRIPES = 64 };

struct hash_stripe {
    uint32_t mask; /* capacity - 1 */
    uint32_t count;
    _Atomic uint64_t slots[]; /* low half of the hash << 32 | number + 1; 0: free */
};

struct hash_table {
    _Atomic(struct hash_stripe *) stripes[HASH_TABLE_STRIPES];
};

/* Zeroed is empty. */

/* Make room for one more; false when memory is out. */
bool hash_table_reserve(struct hash_table *table, struct pool *pool, uint64_t hash);

/* After a reserve with the same hash. `number` < UINT32_MAX. */
void hash_table_insert(struct hash_table *table, uint64_t hash, uint32_t number);

struct hash_probe {
    const struct hash_stripe *stripe; /* NULL: nothing there */
    uint32_t tag;
    uint32_t slot;
};

static inline struct hash_stripe *hash_table_stripe(const struct hash_table *table, uint64_t hash)
{
    return atomic_load_explicit(&table->stripes[hash >> 58], memory_order_acquire);
}

static inline struct hash_probe hash_probe_begin(const struct hash_table *table, uint64_t hash)
{
    const struct hash_stripe *stripe = hash_table_stripe(table, hash);
    return (struct hash_probe){.stripe = stripe,
                               .tag = (uint32_t)hash,
                               .slot = stripe == NULL ? 0 : (uint32_t)hash & stripe->mask};
}

/* The next number with that hash; false when there are no more. */
static inline bool hash_probe_next(struct hash_probe *probe, uint32_t *number_out)
{
    if (probe->stripe == NULL)
        return false;
    for (;;) {
        uint64_t slot =
            atomic_load_explicit(&probe->stripe->slots[probe->slot], memory_order_acquire);
        if (slot == 0)
            return false;
        probe->slot = (probe->slot + 1) & probe->stripe->mask;
        if (slot >> 32 == probe->tag) {
            *number_out = (uint32_t)slot - 1;
            return true;
        }
    }
}

static inline void hash_table_prefetch(const struct hash_table *table, uint64_t hash)
{
    const struct hash_stripe *stripe = hash_table_stripe(table, hash);
    if (stripe != NULL)
        __builtin_prefetch((const void *)&stripe->slots[(uint32_t)hash & stripe->mask]);
}

#endif
