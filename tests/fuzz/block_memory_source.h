/*
 * block_memory_source - hostile bytes as a file whose checksums are right.
 *
 * A random change would stop at the first checksum; so checksums of pages and footer are computed
 * anew, and what is behind them meets the decoders.
 */
#ifndef BLOCK_MEMORY_SOURCE_H
#define BLOCK_MEMORY_SOURCE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "block/page_source.h"

enum { FUZZ_HEADER = 16, FUZZ_FOOTER = 112, FUZZ_PAGE_HEAD = 16 };

struct memory_source {
    struct page_source base;
    uint8_t *bytes;
};

static enum error_code memory_read(struct page_source *self, uint64_t offset_bytes, uint8_t *target,
                                   size_t size_bytes, struct error *error)
{
    if (offset_bytes > self->size_bytes || size_bytes > self->size_bytes - offset_bytes)
        return error_set(error, ERROR_CORRUPT, "beyond the end");
    memcpy(target, ((struct memory_source *)self)->bytes + offset_bytes, size_bytes);
    return ERROR_NONE;
}

static void memory_close(struct page_source *self)
{
    free(((struct memory_source *)self)->bytes);
    free(self);
}

/* As a source far away: what is fetched must be inside. */
static enum error_code memory_fetch(const struct page_range *ranges, size_t count,
                                    struct error *error)
{
    (void)error;
    for (size_t i = 0; i < count; i++)
        if (ranges[i].size_bytes == 0 || ranges[i].offset_bytes > ranges[i].source->size_bytes ||
            ranges[i].size_bytes > ranges[i].source->size_bytes - ranges[i].offset_bytes)
            abort();
    return ERROR_NONE;
}

static const struct page_source_operations MEMORY_OPERATIONS = {memory_read, memory_close,
                                                                memory_fetch};

static void repair_checksums(uint8_t *bytes, size_t size, uint32_t kind)
{
    size_t end = size - FUZZ_FOOTER;
    size_t at = FUZZ_HEADER;
    while (end - at >= FUZZ_PAGE_HEAD) {
        uint8_t *page = bytes + at;
        size_t stored = load_u32(page);
        if (stored > end - at - FUZZ_PAGE_HEAD)
            break;
        if (page[8] == 0)
            store_u32(page + 4, (uint32_t)stored);
        store_u32(page + 12, crc32c(crc32c(0, page, 12), page + FUZZ_PAGE_HEAD, stored));
        at += FUZZ_PAGE_HEAD + stored;
        if (at > end)
            break;
    }
    uint8_t *footer = bytes + end;
    memcpy(footer, "GNOMON\r\n", 8);
    memcpy(footer + 104, "GNOMON\r\n", 8);
    store_u32(footer + 8, kind);
    store_u32(footer + 12, 1);
    store_u32(footer + 100, crc32c(0, footer, 100));
}

/* NULL when there are too few bytes. */
static struct page_source *memory_source_create(const uint8_t *data, size_t size, uint32_t kind)
{
    if (size < FUZZ_HEADER + FUZZ_FOOTER)
        return NULL;
    struct memory_source *source = calloc(1, sizeof *source);
    source->base.operations = &MEMORY_OPERATIONS;
    source->base.size_bytes = size;
    snprintf(source->base.name, sizeof source->base.name, "fuzz");
    source->bytes = malloc(size);
    memcpy(source->bytes, data, size);
    repair_checksums(source->bytes, size, kind);
    return &source->base;
}

#endif
