#include "content.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

struct content *content_create(uint64_t size_bytes)
{
    size_t piece_count = size_bytes / CONTENT_PIECE_BYTES + 1;
    struct content *content = calloc(1, sizeof *content + piece_count * sizeof content->pins[0]);
    if (content == NULL)
        return NULL;
    /* Pieces begin on huge pages: what is in front stays address space, never memory. */
    void *mapped = mmap(NULL, size_bytes + CONTENT_PIECE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        free(content);
        return NULL;
    }
    size_t before = -(uintptr_t)mapped & (CONTENT_PIECE_BYTES - 1);
    content->mapped = mapped;
    content->bytes = (uint8_t *)mapped + before;
    content->size_bytes = size_bytes;
    content->piece_count = piece_count;
    madvise(content->bytes, size_bytes, MADV_HUGEPAGE); /* without, it works as well */
    return content;
}

void content_destroy(struct content *content)
{
    if (content == NULL)
        return;
    munmap(content->mapped, content->size_bytes + CONTENT_PIECE_BYTES);
    free(content);
}

static void piece_drop(struct content *content, size_t piece)
{
    uint64_t start = (uint64_t)piece * CONTENT_PIECE_BYTES;
    uint64_t left = content->size_bytes > start ? content->size_bytes - start : 0;
    size_t size = left < CONTENT_PIECE_BYTES ? left : CONTENT_PIECE_BYTES;
    if (size > 0) /* memory that stays only goes later */
        madvise(content->bytes + start, size, MADV_DONTNEED);
}

void content_pin(struct content *content, uint64_t offset_bytes, uint64_t size_bytes)
{
    assert(size_bytes > 0 && offset_bytes + size_bytes <= content->size_bytes);
    size_t last = (offset_bytes + size_bytes - 1) / CONTENT_PIECE_BYTES;
    for (size_t i = offset_bytes / CONTENT_PIECE_BYTES; i <= last; i++)
        atomic_fetch_add_explicit(&content->pins[i], 1, memory_order_relaxed);
}

void content_unpin(struct content *content, uint64_t offset_bytes, uint64_t size_bytes)
{
    size_t last = (offset_bytes + size_bytes - 1) / CONTENT_PIECE_BYTES;
    for (size_t i = offset_bytes / CONTENT_PIECE_BYTES; i <= last; i++) {
        /* Whoever has read in it has done so before. */
        uint32_t before = atomic_fetch_sub_explicit(&content->pins[i], 1, memory_order_acq_rel);
        assert(before > 0);
        if (before == 1)
            piece_drop(content, i);
    }
}

void content_drop_unpinned(struct content *content)
{
    for (size_t i = 0; i < content->piece_count; i++)
        if (atomic_load_explicit(&content->pins[i], memory_order_relaxed) == 0)
            piece_drop(content, i);
}
