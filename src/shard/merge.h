/*
 * merge - one merge of parts and blocks into blocks: what was decided, and its job. Private.
 */
#ifndef SHARD_MERGE_H
#define SHARD_MERGE_H

#include "merge_plan.h"

/* An input, held open. */
struct merge_part {
    struct shard_part input;
    int64_t from_ms; /* merged_until of the part when the merge was decided */
};

struct merge {
    struct job job;
    struct timer retry;
    struct shard *shard;
    uint64_t index;     /* of the entry that decided it */
    int64_t decided_ms; /* the leader's clock then */
    int64_t cutoff_ms;
    struct merge_part *parts; /* [part_count], owned, with references */
    size_t part_count;
    struct shard_block *blocks; /* [block_count] */
    size_t block_count;
    struct merge_window *wide; /* [wide_count]: outputs that are longer than two hours */
    size_t wide_count;
    struct view *view;                /* tombstones and slots of that moment */
    struct series_segment **segments; /* [segment_count] of that moment, for the labels */
    size_t segment_count;
    struct retention_cut retention; /* of that moment */
    struct byte_buffer body;        /* of the entry, for the manifest */
    bool running;                   /* the job, or the timer before it is tried again */
    bool completed;                 /* the outputs are there */
    bool differs;                   /* an output is another one than the log has */
    bool done_proposed;             /* or that it is given up */
    int64_t retry_ms;               /* until a failed job is tried again */
    bool adoption_tried;            /* outputs of an earlier life were looked for */
    atomic_bool abandoned;          /* nobody needs the outputs: the job ends soon */

    /* Results: of the job alone while it runs. */
    struct error error;
    bool given_up;     /* inputs are damaged here: the outputs will not be made here */
    bool lacks_object; /* it failed to read an input from the bucket */
    char damaged_segment[SHARD_PATH_MAX]; /* path of one that can't be read; empty: none */
    struct shard_block *outputs;          /* [output_count], open */
    size_t output_count;
    struct shard_block *adopted; /* [adopted_count], of the loop while it installs them */
    size_t adopted_count;
};

/*
 * The whole work, on a worker: fills in the outputs. A file has its final name only when all of
 * it is durable, so that a restart can use what it finds. Errors: CORRUPT, IO, NO_SPACE, CANCELED
 * (abandoned), OUT_OF_MEMORY.
 */
enum error_code merge_write_blocks(struct merge *merge, struct error *error);

void merge_discard_outputs(struct merge *merge);

#endif
