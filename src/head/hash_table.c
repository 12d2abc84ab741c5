#include "hash_table.h"

#include <assert.h>

enum { STRIPE_CAPACITY_FIRST = 8 };

/* At most three quarters full, so that every probe ends at a free slot soon. */
static bool stripe_is_full(const struct hash_stripe *stripe)
{
    return (stripe->count + 1) * 4ull > (stripe->mask + 1) * 3ull;
}

static void stripe_insert(struct hash_stripe *stripe, uint64_t slot)
{
    uint32_t position = (uint32_t)(slot >> 32) & stripe->mask;
    while (atomic_load_explicit(&stripe->slots[position], memory_order_relaxed) != 0)
        position = (position + 1) & stripe->mask;
    atomic_store_explicit(&stripe->slots[position], slot, memory_order_release);
    stripe->count++;
}

bool hash_table_reserve(struct hash_table *table, struct pool *pool, uint64_t hash)
{
    struct hash_stripe *old = hash_table_stripe(table, hash);
    if (old != NULL && !stripe_is_full(old))
        return true;
    size_t capacity = old == NULL ? STRIPE_CAPACITY_FIRST : 2 * ((size_t)old->mask + 1);
    struct hash_stripe *stripe =
        pool_allocate(pool, sizeof *stripe + capacity * sizeof stripe->slots[0], 64);
    if (stripe == NULL)
        return false;
    stripe->mask = (uint32_t)(capacity - 1);
    for (size_t i = 0; old != NULL && i <= old->mask; i++) {
        uint64_t slot = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (slot != 0)
            stripe_insert(stripe, slot);
    }
    atomic_store_explicit(&table->stripes[hash >> 58], stripe, memory_order_release);
    return true;
}

void hash_table_insert(struct hash_table *table, uint64_t hash, uint32_t number)
{
    struct hash_stripe *stripe = hash_table_stripe(table, hash);
    assert(stripe != NULL && !stripe_is_full(stripe));
    assert(number < UINT32_MAX);
    stripe_insert(stripe, hash << 32 | (number + 1));
}
