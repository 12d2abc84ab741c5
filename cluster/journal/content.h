/*
 * content - the bytes of one segment while a recovery is open.
 *
 * Memory is given back to the system in pieces, each as soon as nothing in it is needed any more,
 * so that what replay builds takes the place of what it has read.
 */
#ifndef JOURNAL_CONTENT_H
#define JOURNAL_CONTENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { CONTENT_PIECE_BYTES = 2 * 1024 * 1024 }; /* a huge page */

struct content {
    void *mapped;
    uint8_t *bytes; /* [size_bytes], within `mapped` */
    uint64_t size_bytes;
    size_t piece_count;
    _Atomic uint32_t pins[]; /* of each piece */
};

/* Not touched: memory is taken where bytes are written. NULL: out of memory. */
struct content *content_create(uint64_t size_bytes);
void content_destroy(struct content *content); /* NULL is fine */

/* [offset_bytes, offset_bytes + size_bytes) is needed. Before any piece is dropped. */
void content_pin(struct content *content, uint64_t offset_bytes, uint64_t size_bytes);

/* What was pinned is not needed any more; any thread. Its pieces go with their last pin. */
void content_unpin(struct content *content, uint64_t offset_bytes, uint64_t size_bytes);

/* Pieces without a pin go. */
void content_drop_unpinned(struct content *content);

#endif
