/*
 * pool - the memory of one head or memory index: bumped from large pieces of
 * anonymous memory, released as a whole: to the spares, if it has any, else to the system.
 *
 * One thread allocates. What was allocated stays mapped until the pool is cleared, so a reader
 * that holds a stale pointer reads stale bytes, never a fault: buffers may therefore be recycled
 * while readers copy from them, provided that the reader can tell afterwards (series.h).
 */
#ifndef HEAD_POOL_H
#define HEAD_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spare_pieces.h"

/* What is recycled; aligned to its size. */
enum pool_buffer_class { POOL_BUFFER_32, POOL_BUFFER_64, POOL_BUFFER_CLASSES };

/* So many bytes can be read at any address that the pool ever gave out. */
enum { POOL_READABLE_BYTES = 64 };

struct pool_piece;
struct pool_buffer;

struct pool {
    struct pool_piece *pieces;
    uint8_t *position; /* of the newest piece */
    size_t left_bytes;
    bool is_zeroed;             /* that is */
    size_t limit_bytes;         /* of used_bytes; 0: none */
    struct head_spares *spares; /* NULL: none */
    struct pool_buffer *free_buffers[POOL_BUFFER_CLASSES];
    _Atomic size_t size_bytes; /* mapped */
    _Atomic size_t used_bytes; /* handed out, recycled buffers included */
};

/* `spares` may be NULL, and outlives the pool. */
void pool_init(struct pool *pool, size_t limit_bytes, struct head_spares *spares);
void pool_clear(struct pool *pool);

/* Zeroed; `alignment` is a power of two of at most 64. NULL: out of memory or over the limit. */
void *pool_allocate(struct pool *pool, size_t size_bytes, size_t alignment);

/* A buffer with any content. */
void *pool_buffer_take(struct pool *pool, enum pool_buffer_class buffer_class);
void pool_buffer_recycle(struct pool *pool, void *buffer, enum pool_buffer_class buffer_class);

static inline size_t pool_size_bytes(const struct pool *pool)
{
    return atomic_load_explicit(&pool->size_bytes, memory_order_relaxed);
}

static inline size_t pool_used_bytes(const struct pool *pool)
{
    return atomic_load_explicit(&pool->used_bytes, memory_order_relaxed);
}

#endif
