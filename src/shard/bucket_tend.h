/*
 * bucket_tend - what is to be done next in the bucket, for who leads a shard. Private to shard.
 *
 *   leadership began         --> see that it is the bucket that the log speaks of
 *   blocks without an object --> upload --> UPLOADED
 *   what is listed changed   --> list, when nothing more is to be uploaded or after a while
 *                                --> PUBLISHED
 *   released long enough     --> remove --> REMOVED
 *   now and then             --> sweep
 *
 * One step at a time, and the next one when the entry of the step before is applied.
 */
#ifndef SHARD_BUCKET_TEND_H
#define SHARD_BUCKET_TEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/error.h"

struct bucket_job;
struct shard;

/* Of the loop, but for the backlog. Times are of the monotonic clock; 0: none. */
struct bucket_keeper {
    struct bucket_job *job; /* running */
    bool is_leading;
    bool entry_proposed;          /* and not applied yet */
    bool entry_refused;           /* by who proposes, right now */
    bool is_verified;             /* the bucket is the one that the log speaks of */
    uint64_t led_index;           /* applied when leadership began: no list is later then */
    uint64_t retry_ms, due_ms;    /* after a failure: how long, and when it is over */
    uint64_t list_due_ms;         /* a list waits for those of other shards until then */
    uint64_t changed_ms;          /* since when a list is due */
    struct hash128 metadata_hash; /* of what was put with a list last, while it led */
    bool has_put_metadata;
    uint64_t cleaned_index; /* lists before the published one of this index are gone */
    uint64_t remove_due_ms; /* what is to be deleted is still named by others until then */
    uint64_t sweep_due_ms;
    uint64_t progress_ms; /* when something came of it, or a flush began to wait */
    struct error error;   /* of the last job; NONE: it succeeded */
    /* Of which state it is known that all blocks are uploaded. */
    uint64_t settled_changed_index, settled_listed_index, settled_block_count;

    _Atomic uint64_t backlog_blocks, backlog_bytes;
    _Atomic int64_t oldest_block_ms, oldest_loss_ms;
};

void bucket_lead(struct shard *shard);
/* Leadership ended, or the shard closes: what is under way is broken off. */
void bucket_follow(struct shard *shard);

/* Do what is due. Cheap. */
void bucket_tend(struct shard *shard);

/* One of the bucket's entries was applied. */
void bucket_entry_applied(struct shard *shard);

enum bucket_flush {
    BUCKET_FLUSH_DONE,    /* all is uploaded and listed, or there is no bucket */
    BUCKET_FLUSH_GOES_ON, /* or waits for what may come soon */
    BUCKET_FLUSH_FAILED,  /* it does not: why is in the error */
};
void bucket_flush_begin(struct shard *shard);
enum bucket_flush bucket_flush_advance(struct shard *shard, struct error *error);

#endif
