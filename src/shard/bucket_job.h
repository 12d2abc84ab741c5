/*
 * bucket_job - what the leader of a shard does in the bucket, one step at a time, on a worker.
 * Private to shard.
 *
 * A job reads nothing that changes: it has copies. What it did is said by its result, and by
 * entries that the loop proposes then (bucket_tend.c); what nobody could say any more is done again
 * by the next leader, or swept.
 */
#ifndef SHARD_BUCKET_JOB_H
#define SHARD_BUCKET_JOB_H

#include <stdatomic.h>

#include "object/object_store.h"
#include "platform/scheduler.h"
#include "shard/bucket_list.h"

#include "bucket.h"

enum bucket_work {
    BUCKET_VERIFY, /* see that the bucket is the one that the log speaks of */
    BUCKET_UPLOAD, /* blocks */
    BUCKET_LIST,   /* a list */
    BUCKET_REMOVE, /* released objects, and lists of before */
    BUCKET_SWEEP,  /* objects that nothing names */
};

struct bucket_item {
    struct bucket_upload object;     /* of a block: size and hash are found by the job */
    struct hash128 content_checksum; /* that a block shall have */
    bool is_done;                    /* uploaded and verified */
};

struct shard;

struct bucket_job {
    struct job job; /* first */
    struct shard *shard;
    enum bucket_work work;
    atomic_bool canceled;

    struct bucket_item *items; /* [item_count], owned; UPLOAD, REMOVE */
    size_t item_count;

    struct bucket_list_key list; /* LIST: its name; VERIFY: that of the last one, index 0: none */
    struct byte_buffer bytes;    /* LIST: what it is */
    struct byte_buffer metadata; /* LIST: what goes with it; empty: it was put before */
    struct hash128 metadata_hash;

    uint32_t *heirs; /* [heir_count], owned; LIST: that must have lists; REMOVE, SWEEP: whose lists
                        may name what is ours */
    size_t heir_count;
    struct bucket_list_name published; /* REMOVE: lists before it go; VERIFY: none is behind it */
    struct bucket named;               /* SWEEP: what the log names */
    struct block_name *current;        /* [current_count], owned; SWEEP: blocks that there are */
    size_t current_count;
    int64_t swept_before_ms; /* SWEEP: what was put later stays, by the store's clock */

    /* Results. */
    struct error error;
    bool waits_for_heirs;        /* nothing was done, as one of them has no list yet */
    bool is_of_file;             /* the error is of a file here */
    struct block_name bad_block; /* then */
    uint64_t swept;
};

/* On a worker. */
void bucket_job_run(struct job *job);

void bucket_job_destroy(struct bucket_job *job); /* NULL is fine */

#endif
