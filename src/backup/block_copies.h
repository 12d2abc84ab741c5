/*
 * block_copies - the blocks that lists name, from one store to another. Private to backup.
 */
#ifndef BACKUP_BLOCK_COPIES_H
#define BACKUP_BLOCK_COPIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backup/backup.h"
#include "shard/bucket_list.h"

struct block_copy {
    struct bucket_block_key key;
    uint64_t size_bytes;
    bool is_there; /* in the target */
};

struct block_copies {
    struct block_copy *blocks; /* [count], owned; by key, each once, after block_copies_look */
    size_t count;
};

/* Errors: OUT_OF_MEMORY. */
enum error_code block_copies_add(struct block_copies *copies, const struct bucket_list *list,
                                 struct error *error);
void block_copies_clear(struct block_copies *copies);

/* Put them in order, and find what the target has. Errors: those of the store, OUT_OF_MEMORY. */
enum error_code block_copies_look(struct block_copies *copies, struct object_store *target,
                                  struct error *error);

/* After block_copies_look. */
bool block_copies_have(const struct block_copies *copies, const struct bucket_block_key *key);

/* What is not there, several at once. On an error the others that were begun are ended first.
 * Errors: those of both stores, CORRUPT, IO, NO_SPACE, OUT_OF_MEMORY. */
enum error_code block_copies_run(struct block_copies *copies, const struct backup_options *options,
                                 struct backup_progress *progress, struct error *error);

#endif
