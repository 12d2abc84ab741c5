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

/* First member of an implementation. */
struct block_opener {
    /* May block for long. Once at a time. Errors: any, with the name of the block. */
    enum error_code (*open)(struct block_opener *self, struct block **block_out,
                            struct error *error);
    void (*close)(struct block_opener *self); /* no more of it is needed */
};

/* Takes over `opener`, also on error. A block that opens with another content or number of series
 * than `summary` says is CORRUPT. Errors: OUT_OF_MEMORY. */
enum error_code deferred_block_create(struct block_opener *opener,
                                      const struct file_summary *summary, struct block **block_out,
                                      struct error *error);

#endif
