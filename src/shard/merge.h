/*
 * merge - one merge of parts and blocks into blocks: what was decided, and its job. Private.
 */
#ifndef SHARD_MERGE_H
#define SHARD_MERGE_H

#include "shard_private.h"

/* An input, held open. */
struct merge_part {
    struct shard_part input;
    int64_t from_ms; /* merged_until of the part when the merge was decided */
};

struct merge {
    struct job job;
    struct timer retry;
    struct shard *shard;
    uint64_t index; /* of the entry that decided it */
    int64_t cutoff_ms;
    struct merge_part *parts; /* [part_count], owned, with references */
    size_t part_count;
    struct shard_block *blocks; /* [block_count] */
    size_t block_count;
    struct view *view; /* segments for the labels, tombstones of that moment */
    bool proposed_done;
    bool running;

    /* Results. */
    struct error error;
    struct shard_block *outputs; /* [output_count], open */
    size_t output_count;
};

/* The whole work, on a worker: fills in the outputs. Errors: CORRUPT, IO, NO_SPACE,
 * OUT_OF_MEMORY. */
enum error_code merge_write_blocks(struct merge *merge, struct error *error);

void merge_discard_outputs(struct merge *merge);

#endif
