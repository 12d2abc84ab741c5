/*
 * page_source - the bytes of one immutable file, wherever it lies.
 *
 * Parts, series segments and blocks are read through it: from the local disk here, from the
 * bucket with an implementation of the object tier. Any thread may read; reads block.
 *
 * Where each read is a round trip to somewhere else, who knows what will be read says so first:
 * page_source_fetch brings many ranges near at once, and reads of them wait no more.
 */
#ifndef BLOCK_PAGE_SOURCE_H
#define BLOCK_PAGE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "platform/disk.h"

struct page_source;

/* Not empty, inside of the file. */
struct page_range {
    struct page_source *source;
    uint64_t offset_bytes;
    uint64_t size_bytes;
};

struct page_source_operations {
    /* All of [offset, offset + size) or an error. Errors: IO, CORRUPT (the file ends before). */
    enum error_code (*read)(struct page_source *self, uint64_t offset_bytes, uint8_t *target,
                            size_t size_bytes, struct error *error);
    void (*close)(struct page_source *self);
    /* Ranges of sources that have these operations too. NULL: reads are near at any time. */
    enum error_code (*fetch)(const struct page_range *ranges, size_t count, struct error *error);
};

/* First member of an implementation. */
struct page_source {
    const struct page_source_operations *operations;
    uint64_t size_bytes;
    char name[DISK_PATH_MAX + 1]; /* for error messages */
};

/* A file of `disk`, which outlives it. Errors: NOT_FOUND, IO, OUT_OF_MEMORY. */
enum error_code page_source_open_file(struct disk *disk, const char *path,
                                      struct page_source **source_out, struct error *error);

static inline enum error_code page_source_read(struct page_source *self, uint64_t offset_bytes,
                                               uint8_t *target, size_t size_bytes,
                                               struct error *error)
{
    return self->operations->read(self, offset_bytes, target, size_bytes, error);
}

/* Whether it pays to fetch before it is read. */
static inline bool page_source_is_remote(const struct page_source *self)
{
    return self->operations->fetch != NULL;
}

/*
 * Bring ranges near, all in one round trip unless they are very many; what is near already costs
 * nothing. All sources are remote and of one kind. It is a promise for the next reads only as far
 * as there is room. Errors: those of reads.
 */
static inline enum error_code page_source_fetch(const struct page_range *ranges, size_t count,
                                                struct error *error)
{
    return count == 0 ? ERROR_NONE : ranges[0].source->operations->fetch(ranges, count, error);
}

/* NULL is fine. */
static inline void page_source_close(struct page_source *self)
{
    if (self != NULL)
        self->operations->close(self);
}

#endif
