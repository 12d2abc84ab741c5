#include "posting_list.h"

#include <assert.h>

#include "base/bytes.h"

enum { DIFFERENCE_BYTES_MAX = 5, BLOCK_BYTES_FIRST = 12, BLOCK_BYTES_MAX = 4096 - 16 };

bool posting_list_reserve(struct posting_list *list, struct pool *pool)
{
    if (atomic_load_explicit(&list->count, memory_order_relaxed) == 0)
        return true;
    struct posting_block *tail = list->tail;
    size_t capacity = BLOCK_BYTES_FIRST;
    if (tail != NULL) {
        size_t used = atomic_load_explicit(&tail->used, memory_order_relaxed);
        if (tail->capacity - used >= DIFFERENCE_BYTES_MAX)
            return true;
        capacity = tail->capacity * 2u > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : tail->capacity * 2u;
    }
    struct posting_block *block = pool_allocate(pool, sizeof *block + capacity, 8);
    if (block == NULL)
        return false;
    block->capacity = (uint16_t)capacity;
    atomic_store_explicit(tail == NULL ? &list->blocks : &tail->next, block, memory_order_release);
    list->tail = block;
    return true;
}

void posting_list_append(struct posting_list *list, uint32_t position)
{
    uint32_t count = atomic_load_explicit(&list->count, memory_order_relaxed);
    if (count == 0) {
        list->first = position;
    } else {
        assert(position > list->newest);
        struct posting_block *tail = list->tail;
        uint8_t *start = tail->bytes + atomic_load_explicit(&tail->used, memory_order_relaxed);
        uint8_t *end = varint_store(start, position - list->newest);
        atomic_store_explicit(&tail->used, (uint16_t)(end - tail->bytes), memory_order_release);
    }
    list->newest = position;
    atomic_store_explicit(&list->count, count + 1, memory_order_release);
}

struct posting_cursor posting_list_begin(const struct posting_list *list, size_t count,
                                         uint32_t limit)
{
    return (struct posting_cursor){
        .block = atomic_load_explicit(&list->blocks, memory_order_acquire),
        .position = list->first,
        .limit = limit,
        .left = count > 0 && list->first < limit ? count : 0,
    };
}

/* The position behind the one handed out; false behind the last. */
static bool cursor_next(struct posting_cursor *cursor)
{
    const struct posting_block *block = cursor->block;
    if (block == NULL)
        return false;
    const uint8_t *bytes = cursor->bytes == NULL ? block->bytes : cursor->bytes;
    if (bytes == block->bytes + atomic_load_explicit(&block->used, memory_order_acquire)) {
        cursor->block = block = atomic_load_explicit(&block->next, memory_order_acquire);
        cursor->bytes = NULL;
        if (block == NULL || atomic_load_explicit(&block->used, memory_order_acquire) == 0)
            return false;
        bytes = block->bytes;
    }
    uint32_t difference = *bytes & 0x7f;
    for (unsigned shift = 7; *bytes++ >= 0x80; shift += 7)
        difference |= (uint32_t)(*bytes & 0x7f) << shift;
    cursor->bytes = bytes;
    cursor->position += difference;
    return cursor->position < cursor->limit;
}

size_t posting_cursor_read(struct posting_cursor *cursor, uint32_t *positions_out, size_t count)
{
    size_t done = 0;
    while (cursor->left > 0 && done < count) {
        positions_out[done++] = cursor->position;
        cursor->left--;
        if (cursor->left > 0 && !cursor_next(cursor))
            cursor->left = 0;
    }
    return done;
}
