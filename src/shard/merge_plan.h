/*
 * merge_plan - what the leader has merged next. Private to shard.
 *
 * The life of a block: parts of a window that is over become its block of two hours. Late parts
 * become blocks of their own beside the ones that are there (overlays), which enter them when they
 * have come to a tenth of them, are many, or a day old. Blocks of twelve, then of forty-eight hours
 * follow when a window is quiet; where such a window is over and has no block yet, as after an
 * import, its parts become one at once.
 */
#ifndef SHARD_MERGE_PLAN_H
#define SHARD_MERGE_PLAN_H

#include "shard_private.h"

enum merge_wish {
    MERGE_DUE,        /* what time has come for */
    MERGE_EVERYTHING, /* a flush: all parts, and overlays of some size */
    MERGE_DELETED,    /* the same, and every block that a tombstone covers */
};

/* Where an output is longer than two hours. */
struct merge_window {
    int64_t start_ms;
    int64_t end_ms;
};

enum { MERGE_WINDOWS_MAX = 1 << 20 };

struct merge_plan {
    int64_t cutoff_ms; /* nothing at or after it is merged */
    bool *parts;       /* [part_count of the shard], whether it is an input */
    bool *blocks;      /* [block_count of the shard] */
    size_t part_count; /* of those that are */
    size_t block_count;
    struct merge_window *wide; /* [wide_count], ascending, owned */
    size_t wide_count;
};

/* The window of two hours that a time lies in begins here. */
int64_t merge_window_start(int64_t timestamp_ms);

/* Samples before this time are late for whoever looks at `now_ms`: their window is being merged. */
int64_t merge_late_before(int64_t now_ms);

/* Empty (no parts, no blocks) when there is nothing to do. Errors: OUT_OF_MEMORY. */
enum error_code merge_plan_make(const struct shard *shard, enum merge_wish wish, int64_t now_ms,
                                struct merge_plan *plan_out, struct error *error);
void merge_plan_clear(struct merge_plan *plan);

/* Whether late samples come faster than they are merged: writes of more of them wait. */
bool merge_late_is_full(const struct shard *shard);

/* Whether a file that is here holds samples that the tombstone deleted, or may come to. */
bool merge_tombstone_is_needed(const struct shard *shard, const struct tombstone *tombstone);

/* Whether a block, or an object of the bucket, holds or may hold what the tombstone deleted. */
bool merge_block_may_have(const struct shard_block *block, const struct tombstone *tombstone);
bool merge_object_needs(const struct shard *shard, const struct tombstone *tombstone,
                        const struct bucket_object *object);

/* Whether parts, or what becomes parts, wait to be merged so that a deleted tenant leaves. */
bool merge_tenant_waits(const struct shard *shard);

#endif
