/*
 * block_opening - how a deferred block becomes an open one. Private to block.
 */
#ifndef BLOCK_BLOCK_OPENING_H
#define BLOCK_BLOCK_OPENING_H

#include <pthread.h>
#include <stdatomic.h>

#include "block/deferred_block.h"

struct block_opening {
    struct page_cache *cache;
    struct block_opener *opener; /* owned */
    struct file_summary summary;
    struct block *_Atomic opened; /* owned; NULL: not yet */
    pthread_mutex_t lock;         /* of what follows */
    pthread_cond_t ended;
    bool is_running;
    uint64_t attempts;       /* that ended */
    struct error last_error; /* of the last one */
};

/* Takes over `opener`, also on error. Errors: OUT_OF_MEMORY. */
enum error_code block_opening_create(struct page_cache *cache, struct block_opener *opener,
                                     const struct file_summary *summary,
                                     struct block_opening **opening_out, struct error *error);
void block_opening_destroy(struct block_opening *opening);

/* The open block, alive as long as the opening. Blocks. Errors: those of block_open and the source,
 * WOULD_WAIT (platform/no_wait.h). */
enum error_code block_opening_wait(struct block_opening *opening, struct block **block_out,
                                   struct error *error);

/* The same, if it is open already; else NULL. */
static inline struct block *block_opening_peek(const struct block_opening *opening)
{
    return atomic_load_explicit(&opening->opened, memory_order_acquire);
}

/* As the index of the outer block answers: opens it, and asks the index inside. */
extern const struct index_source_operations DEFERRED_INDEX_OPERATIONS;

/* block_reader.c: of the block whose index this is. */
struct block_opening *block_opening_of_index(struct index_source *index);

#endif
