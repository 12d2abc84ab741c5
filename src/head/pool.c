#include "pool.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

/* Pieces double up to the size of a huge page: a small shard stays small, and the random access
 * of a large one does not miss the TLB at every series. */
enum { PIECE_BYTES_FIRST = 32 * 1024, PIECE_BYTES_MAX = SPARE_PIECE_BYTES, PAGE_BYTES = 4096 };

static const size_t BUFFER_BYTES[POOL_BUFFER_CLASSES] = {32, 64};

/* In front of each piece. */
struct pool_piece {
    struct pool_piece *previous;
    size_t size_bytes;
};

struct pool_buffer {
    struct pool_buffer *next;
};

void pool_init(struct pool *pool, size_t limit_bytes, struct head_spares *spares)
{
    *pool = (struct pool){.limit_bytes = limit_bytes, .spares = spares};
}

void pool_clear(struct pool *pool)
{
    struct pool_piece *piece = pool->pieces;
    while (piece != NULL) {
        struct pool_piece *previous = piece->previous;
        if (piece->size_bytes != SPARE_PIECE_BYTES || !spare_piece_give(pool->spares, piece))
            munmap(piece, piece->size_bytes);
        piece = previous;
    }
    *pool = (struct pool){0};
}

static size_t align_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

static void *map(size_t size_bytes)
{
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Mapped with room to align it, the rest given back. Without huge pages it works as well, so the
 * advice may fail. */
static void *map_huge(size_t size_bytes)
{
    uint8_t *memory = map(size_bytes + PIECE_BYTES_MAX);
    if (memory == NULL)
        return NULL;
    size_t before = align_up((uintptr_t)memory, PIECE_BYTES_MAX) - (uintptr_t)memory;
    if (before > 0)
        munmap(memory, before);
    if (before < PIECE_BYTES_MAX)
        munmap(memory + before + size_bytes, PIECE_BYTES_MAX - before);
    madvise(memory + before, size_bytes, MADV_HUGEPAGE);
    return memory + before;
}

static bool piece_add(struct pool *pool, size_t needed_bytes)
{
    size_t size = pool->pieces == NULL ? PIECE_BYTES_FIRST : pool->pieces->size_bytes * 2;
    if (size > PIECE_BYTES_MAX)
        size = PIECE_BYTES_MAX;
    size_t overhead = sizeof(struct pool_piece) + POOL_READABLE_BYTES;
    if (size < needed_bytes + overhead)
        size = align_up(needed_bytes + overhead, PAGE_BYTES);
    struct pool_piece *piece = size == SPARE_PIECE_BYTES ? spare_piece_take(pool->spares) : NULL;
    pool->is_zeroed = piece == NULL;
    if (piece == NULL)
        piece = size % PIECE_BYTES_MAX == 0 ? map_huge(size) : map(size);
    if (piece == NULL)
        return false;
    *piece = (struct pool_piece){.previous = pool->pieces, .size_bytes = size};
    pool->pieces = piece;
    pool->position = (uint8_t *)(piece + 1);
    pool->left_bytes = size - overhead;
    atomic_fetch_add_explicit(&pool->size_bytes, size, memory_order_relaxed);
    return true;
}

/* With any content. */
static void *carve(struct pool *pool, size_t size_bytes, size_t alignment)
{
    assert(alignment <= 64 && (alignment & (alignment - 1)) == 0);
    if (size_bytes > SIZE_MAX / 4)
        return NULL;
    if (pool->limit_bytes > 0 && pool_used_bytes(pool) + size_bytes > pool->limit_bytes)
        return NULL;
    size_t padding = -(uintptr_t)pool->position & (alignment - 1);
    if (pool->left_bytes < size_bytes + padding) {
        if (!piece_add(pool, size_bytes + alignment))
            return NULL;
        padding = -(uintptr_t)pool->position & (alignment - 1);
    }
    void *memory = pool->position + padding;
    pool->position += size_bytes + padding;
    pool->left_bytes -= size_bytes + padding;
    /* Only this thread changes the counter. */
    atomic_store_explicit(&pool->used_bytes, pool_used_bytes(pool) + size_bytes,
                          memory_order_relaxed);
    return memory;
}

void *pool_allocate(struct pool *pool, size_t size_bytes, size_t alignment)
{
    void *memory = carve(pool, size_bytes, alignment);
    if (memory != NULL && !pool->is_zeroed)
        memset(memory, 0, size_bytes);
    return memory;
}

void *pool_buffer_take(struct pool *pool, enum pool_buffer_class buffer_class)
{
    struct pool_buffer *buffer = pool->free_buffers[buffer_class];
    if (buffer == NULL)
        return carve(pool, BUFFER_BYTES[buffer_class], BUFFER_BYTES[buffer_class]);
    pool->free_buffers[buffer_class] = __atomic_load_n(&buffer->next, __ATOMIC_RELAXED);
    return buffer;
}

void pool_buffer_recycle(struct pool *pool, void *buffer, enum pool_buffer_class buffer_class)
{
    struct pool_buffer *free_buffer = buffer;
    /* A reader may still be copying the bytes; it throws them away. */
    __atomic_store_n(&free_buffer->next, pool->free_buffers[buffer_class], __ATOMIC_RELEASE);
    pool->free_buffers[buffer_class] = free_buffer;
}
