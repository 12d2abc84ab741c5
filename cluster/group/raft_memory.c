#include "raft_memory.h"

#include <pthread.h>
#include <raft.h>
#include <stdlib.h>

#include "base/log.h"

static void *checked(void *memory, size_t size)
{
    if (memory == NULL && size > 0) {
        log_event(LOG_ERROR, "group", "out of memory in consensus", "bytes=%zu", size);
        abort();
    }
    return memory;
}

static void *memory_malloc(void *data, size_t size)
{
    (void)data;
    return checked(malloc(size), size);
}

static void memory_free(void *data, void *memory)
{
    (void)data;
    free(memory);
}

static void *memory_calloc(void *data, size_t count, size_t size)
{
    (void)data;
    return checked(calloc(count, size), count * size);
}

static void *memory_realloc(void *data, void *memory, size_t size)
{
    (void)data;
    return checked(realloc(memory, size), size);
}

static void *memory_aligned_alloc(void *data, size_t alignment, size_t size)
{
    (void)data;
    return checked(aligned_alloc(alignment, size), size);
}

static void memory_aligned_free(void *data, size_t alignment, void *memory)
{
    (void)data;
    (void)alignment;
    free(memory);
}

static struct raft_heap heap = {
    .malloc = memory_malloc,
    .free = memory_free,
    .calloc = memory_calloc,
    .realloc = memory_realloc,
    .aligned_alloc = memory_aligned_alloc,
    .aligned_free = memory_aligned_free,
};

static void install(void)
{
    raft_heap_set(&heap);
}

void raft_memory_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}
