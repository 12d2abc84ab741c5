#include "base/shared_bytes.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct shared_bytes *shared_bytes_create(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct shared_bytes))
        return NULL;
    struct shared_bytes *shared = malloc(sizeof *shared + size);
    if (shared == NULL)
        return NULL;
    atomic_init(&shared->references, 1);
    shared->size = size;
    return shared;
}

struct shared_bytes *shared_bytes_copy(const void *bytes, size_t size)
{
    struct shared_bytes *shared = shared_bytes_create(size);
    if (shared != NULL && size > 0)
        memcpy(shared->bytes, bytes, size);
    return shared;
}

struct shared_bytes *shared_bytes_ref(struct shared_bytes *shared)
{
    uint32_t before = atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    assert(before > 0 && before < UINT32_MAX);
    return shared;
}

void shared_bytes_unref(struct shared_bytes *shared)
{
    if (shared == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        free(shared);
}
