#include "pair_list.h"

#include <assert.h>

enum { BLOCK_PAIRS_FIRST = 4, BLOCK_PAIRS_MAX = 256 };

bool pair_list_reserve(struct pair_list *list, struct pool *pool)
{
    struct pair_block *newest = atomic_load_explicit(&list->newest, memory_order_relaxed);
    if (newest != NULL &&
        atomic_load_explicit(&newest->count, memory_order_relaxed) < newest->capacity)
        return true;
    uint32_t capacity = newest == NULL ? BLOCK_PAIRS_FIRST : newest->capacity * 2;
    if (capacity > BLOCK_PAIRS_MAX)
        capacity = BLOCK_PAIRS_MAX;
    struct pair_block *block =
        pool_allocate(pool, sizeof *block + capacity * sizeof block->pairs[0], 8);
    if (block == NULL)
        return false;
    block->previous = newest;
    block->capacity = capacity;
    atomic_store_explicit(&list->newest, block, memory_order_release);
    return true;
}

void pair_list_append(struct pair_list *list, struct pair pair)
{
    struct pair_block *block = atomic_load_explicit(&list->newest, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&block->count, memory_order_relaxed);
    assert(count < block->capacity);
    block->pairs[count] = pair;
    atomic_store_explicit(&block->count, count + 1, memory_order_release);
}
