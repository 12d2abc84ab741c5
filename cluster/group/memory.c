#include <stdlib.h>

#include "base/log.h"
#include "group_private.h"

void *group_memory(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes);
    if (memory == NULL) {
        log_event(LOG_ERROR, "group", "out of memory in consensus", "bytes=%zu", size_bytes);
        abort();
    }
    return memory;
}
