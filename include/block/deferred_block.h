/*
 * deferred_block - a block that is opened when somebody needs it first.
 *
 * What is known of it without a read (its summary) is answered at once; everything else opens it,
 * on the thread that asks. Who comes while it is being opened waits for that, and shares the
 * outcome. An error is told to those and forgotten: the next use tries again. Any number of
 * threads.
 */
#ifndef BLOCK_DEFERRED_BLOCK_H
#define BLOCK_DEFERRED_BLOCK_H

#include "block/block_reader.h"

/* Where it comes from; first member of an implementation. */
struct block_opener {
    /* Asks nobody for anything yet. Any thread. Errors: INVALID, OUT_OF_MEMORY. */
    enum error_code (*open_source)(const struct block_opener *self, struct page_source **source_out,
                                   struct error *error);
    void (*close)(struct block_opener *self); /* no more of it is needed */
};

/* Takes over `opener`, also on error. `cache` outlives the block. A block that opens with another
 * content or number of series than `summary` says is CORRUPT. Errors: OUT_OF_MEMORY. */
enum error_code deferred_block_create(struct page_cache *cache, struct block_opener *opener,
                                      const struct file_summary *summary, struct block **block_out,
                                      struct error *error);

/* Open it, unless that was done; *opened_out, for which nothing is to be released, lives as long as
 * `block`. Any block. Errors: those of reads, CORRUPT, OUT_OF_MEMORY, and why the block is
 * unreadable. */
enum error_code block_need_open(struct block *block, struct block **opened_out,
                                struct error *error);

/* Whether it was opened, or never had to be. */
bool block_is_open(const struct block *block);

#endif
