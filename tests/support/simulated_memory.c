#include "simulated_memory.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16 };

void *simulated_grow(void *old, size_t old_bytes, size_t bytes)
{
    /* The size must be a multiple of the alignment. */
    void *memory = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    if (memory == NULL)
        abort();
    if (old != NULL)
        memcpy(memory, old, old_bytes);
    free(old);
    return memory;
}

void *simulated_allocate(size_t bytes)
{
    return memset(simulated_grow(NULL, 0, bytes), 0, bytes);
}
