/*
 * freeze - the job that writes a frozen head as files. Private to shard.
 */
#ifndef SHARD_FREEZE_H
#define SHARD_FREEZE_H

#include "part_split.h"
#include "shard_private.h"

struct freeze_job {
    struct job job;
    struct timer retry;
    int64_t retry_ms;
    unsigned file_failures; /* one after the other, for a file that can't be read */
    struct shard *shard;
    struct shard_frozen *frozen; /* shard->frozen[0], which stays until the job is done */
    struct shard *retired; /* the state that it is of, when the shard has another one; else NULL */
    struct segment_rewrite rewrite;
    struct registry_brief brief;

    /* Results. */
    struct error error;
    struct manifest_part parts[PARTS_PER_FREEZE];
    struct part *opened[PARTS_PER_FREEZE];
    size_t part_count;
    struct series_segment *segment; /* NULL: none was due, or nothing was left for it */
};

/* The whole work, on a worker: fills in the results, or the error. Nothing is left open then. */
void freeze_run(struct job *job);

/* Close what was written; the files stay. */
void freeze_discard_parts(struct freeze_job *job);
void freeze_discard_results(struct freeze_job *job);

#endif
