/*
 * arena - memory with the life of a request, a query or a block build.
 *
 * Allocations are bumped from chunks and released together. Not thread-safe:
 * one thread at a time. The limit makes a runaway request fail with NULL
 * instead of taking the process down.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct arena;

enum { ARENA_ALIGNMENT = 16 };

/* At most `limit_bytes` in all (0: no limit). NULL when memory is out. */
struct arena *arena_create(size_t limit_bytes);

/* Who pays for the memory of arenas; may be shared by arenas of several threads, so both are
 * called from any thread. */
struct arena_account {
    /* False: over budget; the allocation fails. */
    bool (*charge)(struct arena_account *self, size_t size_bytes);
    void (*release)(struct arena_account *self, size_t size_bytes);
};

/* Every byte is charged to `account`, which outlives the arena. NULL when memory is out. */
struct arena *arena_create_charged(struct arena_account *account);

/* Another arena under the same account, for a thread of its own; one without an account has no
 * limit here. NULL when memory is out. */
struct arena *arena_create_beside(const struct arena *arena);
void arena_destroy(struct arena *arena);

/* Forget every allocation; the first chunk is kept for reuse. */
void arena_reset(struct arena *arena);

/* `size_bytes` of uninitialised memory aligned to ARENA_ALIGNMENT; never NULL for 0 bytes.
 * NULL: out of memory or over the limit. */
void *arena_allocate(struct arena *arena, size_t size_bytes);

/* `count` elements, zeroed; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t element_bytes);

/* Grow the array `old` of `old_count` elements to `new_count` >= old_count; new elements zeroed.
 * In place when `old` is the latest allocation, copied otherwise. */
void *arena_grow(struct arena *arena, void *old, size_t old_count, size_t new_count,
                 size_t element_bytes);

/* A copy of the text, NUL-terminated after its size; data is NULL when memory is out. */
struct text arena_copy_text(struct arena *arena, struct text source);

/* Formatted, NUL-terminated; data is NULL when memory is out. */
struct text arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Bytes taken from the operating system by this arena now. */
size_t arena_size_bytes(const struct arena *arena);

#endif
