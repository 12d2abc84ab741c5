/*
 * posting_list - ascending positions of series, about one byte each.
 *
 * One thread appends, any number read. The first position is in the list itself, so that a label
 * value of a single series needs nothing more; the others are differences as varints in chained
 * blocks, which double.
 */
#ifndef HEAD_POSTING_LIST_H
#define HEAD_POSTING_LIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool.h"

struct posting_block {
    _Atomic(struct posting_block *) next;
    uint16_t capacity;
    _Atomic uint16_t used;
    uint8_t bytes[];
};

/* Zeroed is empty. */
struct posting_list {
    _Atomic uint32_t count; /* stored last: that many can be read */
    uint32_t first;
    uint32_t newest;            /* writer only */
    struct posting_block *tail; /* writer only */
    _Atomic(struct posting_block *) blocks;
};

static inline uint32_t posting_list_count(const struct posting_list *list)
{
    return atomic_load_explicit(&list->count, memory_order_acquire);
}

/* Make room for one more; false when memory is out. */
bool posting_list_reserve(struct posting_list *list, struct pool *pool);

/* After a reserve; `position` is above all in the list. */
void posting_list_append(struct posting_list *list, uint32_t position);

/* A walk through the first `count` positions, count <= posting_list_count, that are below
 * `limit`. */
struct posting_cursor {
    const struct posting_block *block;
    const uint8_t *bytes; /* in the block; NULL: from its start */
    uint32_t position;    /* the next one to hand out */
    uint32_t limit;
    size_t left;
};

struct posting_cursor posting_list_begin(const struct posting_list *list, size_t count,
                                         uint32_t limit);

/* The next ones, `count` at most: positions_out[count]; returns how many. */
size_t posting_cursor_read(struct posting_cursor *cursor, uint32_t *positions_out, size_t count);

#endif
