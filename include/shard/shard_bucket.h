/*
 * shard_bucket - the bucket that the shards of a node upload to (docs/decisions/0070).
 *
 *   block there -> put, verified -> UPLOADED -> list put, verified -> PUBLISHED
 *               -> what is not listed any more is deleted `delete_grace_ms` later -> REMOVED
 *
 * Whoever leads does it, by jobs of the class JOB_TRANSFER, one a shard at a time. What the bucket
 * does not take is tried again, ever more seldom; nothing else of the shard waits for it but
 * flushes, which fail with the reason when nothing moves for a while.
 */
#ifndef SHARD_SHARD_BUCKET_H
#define SHARD_SHARD_BUCKET_H

#include <stdatomic.h>
#include <stdint.h>

struct bucket_cache;
struct object_store;

/* Of a node, shared by its shards; outlives them. */
struct shard_bucket {
    struct object_store *store;
    struct bucket_cache *cache; /* of what is read of blocks; NULL: none */
    uint64_t delete_grace_ms;   /* what a published list names may be read for so long after the
                                   next one is */
    uint64_t sweep_age_ms;      /* what nothing names is deleted when it is so old: older than any
                                   upload that is still under way */

    /* Files of blocks that are uploaded and listed leave the local disk when they are older than
     * this by their newest sample; 0: they stay. And those before the cutoff, for want of room; 0:
     * there is none. Set by any thread. */
    _Atomic int64_t local_retention_ms;
    _Atomic int64_t local_cutoff_ms;

    /* Of the cluster; 0: it is not known yet, or not so, that the bucket is ours: nothing is
     * written there. Set by any thread. */
    _Atomic uint64_t incarnation;

    /* Kept by the shards; zero at first. */
    _Atomic uint64_t uploads, upload_bytes; /* of blocks, verified */
    _Atomic uint64_t lists;                 /* published */
    _Atomic uint64_t removals;              /* of objects that were condemned */
    _Atomic uint64_t sweeps, swept;         /* objects that nothing named, and old lists */
    _Atomic uint64_t failures;              /* jobs that ended with an error */
};

struct shard;

/* What of a shard is to be uploaded, as who leads it saw it last; zero elsewhere. */
struct shard_backlog {
    uint64_t blocks, bytes;
    int64_t oldest_block_ms; /* stamp of the oldest block that is not uploaded; INT64_MAX: none */
    int64_t oldest_loss_ms;  /* since when there are samples that the bucket does not have;
                                INT64_MAX: none. Samples of long ago count by when they came */
};

/* Any thread. */
void shard_read_backlog(struct shard *shard, struct shard_backlog *backlog_out);

#endif
