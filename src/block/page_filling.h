/*
 * page_filling - read a page from its file, verified and decompressed. Private to block: how the
 * page cache fills an entry.
 */
#ifndef BLOCK_PAGE_FILLING_H
#define BLOCK_PAGE_FILLING_H

#include <pthread.h>

#include "page_pin.h"

enum { DECOMPRESSORS_KEPT = 16 };

/* Contexts of zstd that are not in use. Thread-safe. */
struct decompressor_pool {
    pthread_mutex_t lock;
    struct ZSTD_DCtx_s *kept[DECOMPRESSORS_KEPT]; /* [count] */
    size_t count;
};

void decompressor_pool_init(struct decompressor_pool *pool);
void decompressor_pool_clear(struct decompressor_pool *pool);

/* A page of a file. */
struct file_page {
    struct page_maker maker; /* first; made by file_page_make */
    struct decompressor_pool *pool;
    struct page_source *source;
    struct page_reference reference;
    const struct page_preparation *preparation; /* NULL: kept as it lies there */
};

/* Errors: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code file_page_make(struct page_maker *maker, struct page_made *made_out,
                               struct error *error);

#endif
