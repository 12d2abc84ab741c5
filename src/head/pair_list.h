/*
 * pair_list - a list of (timestamp, payload) that only grows: late samples, start timestamps.
 *
 * One thread appends, any number read. Blocks double, the newest is first.
 */
#ifndef HEAD_PAIR_LIST_H
#define HEAD_PAIR_LIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

struct pair {
    int64_t timestamp_ms;
    uint64_t payload;
};

struct pair_block {
    struct pair_block *previous; /* full */
    uint32_t capacity;
    _Atomic uint32_t count;
    struct pair pairs[];
};

struct pair_list {
    _Atomic(struct pair_block *) newest; /* NULL: empty */
};

/* Make room for one more; false when memory is out. */
bool pair_list_reserve(struct pair_list *list, struct pool *pool);

/* After a reserve. */
void pair_list_append(struct pair_list *list, struct pair pair);

/* Walk back from the newest: `cursor = pair_list_end(list); while (pair_list_back(&cursor, &p))`.
 */
struct pair_cursor {
    const struct pair_block *block;
    uint32_t left;
};

static inline struct pair_cursor pair_list_end(const struct pair_list *list)
{
    const struct pair_block *block = atomic_load_explicit(&list->newest, memory_order_acquire);
    return (struct pair_cursor){
        .block = block,
        .left = block == NULL ? 0 : atomic_load_explicit(&block->count, memory_order_acquire)};
}

static inline bool pair_list_back(struct pair_cursor *cursor, struct pair *pair_out)
{
    while (cursor->left == 0) {
        if (cursor->block == NULL || cursor->block->previous == NULL)
            return false;
        cursor->block = cursor->block->previous;
        cursor->left = cursor->block->capacity;
    }
    *pair_out = cursor->block->pairs[--cursor->left];
    return true;
}

#endif
