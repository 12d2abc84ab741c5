/*
 * block_sources - the blocks that folders hold: a block itself, a data directory of Prometheus, a
 * copy of a bucket of Thanos, or one of Mimir, where a folder for each tenant holds its blocks; or
 * such a bucket itself.
 */
#ifndef CLI_BLOCK_SOURCES_H
#define CLI_BLOCK_SOURCES_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "cli/block_command.h"
#include "tsdb/tsdb_folder.h"
#include "tsdb/tsdb_meta.h"

#include "block_options.h"

struct block_source {
    struct tsdb_folder *folder;
    const char *path;   /* in the folder; "" is the folder itself */
    const char *tenant; /* whose folder it is in; NULL: of none */
    struct tsdb_meta meta;
    uint64_t chunk_bytes; /* of its files */
    const char *skipped;  /* why it is not read; NULL: it is */
};

struct block_root;

struct block_sources {
    struct arena *arena;
    struct block_root *roots; /* [root_count] */
    size_t root_count;
    struct block_source *sources; /* [count], the oldest first */
    size_t count;
    size_t capacity;
};

/* Of the folders and stores of the options. Errors: NOT_FOUND (no folder, or no block in it),
 * CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY, those of stores. Clear it in any case. */
enum error_code block_sources_find(const struct block_options *options,
                                   block_open_store *open_store, struct block_sources *sources,
                                   struct error *error);
void block_sources_clear(struct block_sources *sources);

#endif
