#include "base/arena.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_BYTES_FIRST = 4096, CHUNK_BYTES_MAX = 1024 * 1024 };

struct chunk {
    struct chunk *previous;
    size_t capacity;
    size_t used;
    _Alignas(ARENA_ALIGNMENT) uint8_t bytes[];
};

struct arena {
    struct chunk *current;
    size_t limit_bytes;
    size_t size_bytes;
    struct arena_account *account; /* NULL: nobody */
    void *latest;                  /* the last allocation, which may grow in place */
};

static size_t align_up(size_t size)
{
    return (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
}

static bool size_is_granted(struct arena *arena, size_t size_bytes)
{
    if (arena->limit_bytes > 0 && arena->size_bytes + size_bytes > arena->limit_bytes)
        return false;
    return arena->account == NULL || arena->account->charge(arena->account, size_bytes);
}

static void size_release(struct arena *arena, size_t size_bytes)
{
    arena->size_bytes -= size_bytes;
    if (arena->account != NULL && size_bytes > 0)
        arena->account->release(arena->account, size_bytes);
}

static struct chunk *chunk_add(struct arena *arena, size_t needed)
{
    size_t capacity = arena->current == NULL ? CHUNK_BYTES_FIRST : arena->current->capacity * 2;
    if (capacity > CHUNK_BYTES_MAX)
        capacity = CHUNK_BYTES_MAX;
    if (capacity < needed)
        capacity = needed;
    size_t total = sizeof(struct chunk) + capacity;
    if (!size_is_granted(arena, total)) {
        /* Near the limit, take just what is needed before giving up. */
        capacity = needed;
        total = sizeof(struct chunk) + capacity;
        if (!size_is_granted(arena, total))
            return NULL;
    }
    arena->size_bytes += total;
    struct chunk *chunk = malloc(total);
    if (chunk == NULL) {
        size_release(arena, total);
        return NULL;
    }
    *chunk = (struct chunk){.previous = arena->current, .capacity = capacity};
    arena->current = chunk;
    return chunk;
}

struct arena *arena_create(size_t limit_bytes)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena != NULL)
        arena->limit_bytes = limit_bytes;
    return arena;
}

struct arena *arena_create_charged(struct arena_account *account)
{
    struct arena *arena = arena_create(0);
    if (arena != NULL)
        arena->account = account;
    return arena;
}

struct arena *arena_create_beside(const struct arena *arena)
{
    return arena_create_charged(arena->account);
}

static void chunks_free(struct chunk *chunk)
{
    while (chunk != NULL) {
        struct chunk *previous = chunk->previous;
        free(chunk);
        chunk = previous;
    }
}

void arena_destroy(struct arena *arena)
{
    if (arena == NULL)
        return;
    chunks_free(arena->current);
    size_release(arena, arena->size_bytes);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    /* The latest chunk is the largest: what was needed once is there the next time. One of more
     * than the usual size was for a single array. */
    struct chunk *kept = arena->current;
    while (kept != NULL && kept->capacity > CHUNK_BYTES_MAX) {
        struct chunk *previous = kept->previous;
        free(kept);
        kept = previous;
    }
    size_t size_bytes = 0;
    if (kept != NULL) {
        chunks_free(kept->previous);
        kept->previous = NULL;
        kept->used = 0;
        size_bytes = sizeof *kept + kept->capacity;
    }
    arena->current = kept;
    arena->latest = NULL;
    size_release(arena, arena->size_bytes - size_bytes);
}

void *arena_allocate(struct arena *arena, size_t size_bytes)
{
    assert(arena != NULL);
    if (size_bytes > SIZE_MAX / 4)
        return NULL;
    size_t size = align_up(size_bytes == 0 ? 1 : size_bytes);
    struct chunk *chunk = arena->current;
    if (chunk == NULL || chunk->capacity - chunk->used < size) {
        chunk = chunk_add(arena, size);
        if (chunk == NULL)
            return NULL;
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += size;
    arena->latest = memory;
    return memory;
}

void *arena_array(struct arena *arena, size_t count, size_t element_bytes)
{
    size_t size;
    if (__builtin_mul_overflow(count, element_bytes, &size))
        return NULL;
    void *memory = arena_allocate(arena, size);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

void *arena_grow(struct arena *arena, void *old, size_t old_count, size_t new_count,
                 size_t element_bytes)
{
    assert(new_count >= old_count);
    if (old == NULL)
        return arena_array(arena, new_count, element_bytes);
    size_t new_size;
    if (__builtin_mul_overflow(new_count, element_bytes, &new_size) || new_size > SIZE_MAX / 4)
        return NULL;
    size_t old_size = old_count * element_bytes;
    struct chunk *chunk = arena->current;
    if (old == arena->latest) {
        size_t offset = (size_t)((uint8_t *)old - chunk->bytes);
        if (chunk->capacity - offset >= align_up(new_size)) {
            chunk->used = offset + align_up(new_size);
            memset((uint8_t *)old + old_size, 0, new_size - old_size);
            return old;
        }
    }
    void *memory = arena_allocate(arena, new_size);
    if (memory == NULL)
        return NULL;
    memcpy(memory, old, old_size);
    memset((uint8_t *)memory + old_size, 0, new_size - old_size);
    return memory;
}

struct text arena_copy_text(struct arena *arena, struct text source)
{
    char *copy = arena_allocate(arena, source.size + 1);
    if (copy == NULL)
        return (struct text){0};
    if (source.size > 0)
        memcpy(copy, source.data, source.size);
    copy[source.size] = '\0';
    return (struct text){.data = copy, .size = source.size};
}

struct text arena_format(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    struct text result = {0};
    if (length >= 0) {
        char *copy = arena_allocate(arena, (size_t)length + 1);
        if (copy != NULL) {
            vsnprintf(copy, (size_t)length + 1, format, again);
            result = (struct text){.data = copy, .size = (size_t)length};
        }
    }
    va_end(again);
    return result;
}

size_t arena_size_bytes(const struct arena *arena)
{
    return arena->size_bytes;
}
