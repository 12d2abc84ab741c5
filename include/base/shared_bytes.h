/*
 * shared_bytes - bytes with a count of who holds them: encoded once, sent to several.
 *
 * Filled by its creator before anybody else sees it, never changed afterwards. The count is
 * atomic: holders may be on several threads.
 */
#ifndef BASE_SHARED_BYTES_H
#define BASE_SHARED_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct shared_bytes {
    _Atomic uint32_t references;
    size_t size;
    uint8_t bytes[]; /* [size] */
};

/* One reference, bytes not set. NULL when memory is out. */
struct shared_bytes *shared_bytes_create(size_t size);

/* A copy of `bytes`. NULL when memory is out. */
struct shared_bytes *shared_bytes_copy(const void *bytes, size_t size);

/* Returns `shared`. */
struct shared_bytes *shared_bytes_ref(struct shared_bytes *shared);

/* The last one frees it. NULL is fine. */
void shared_bytes_unref(struct shared_bytes *shared);

#endif
