/*
 * Flush: freeze, wait for the parts, merge them, wait, and freeze once more so that the snapshot
 * no longer needs the log of the merge. When that snapshot is stored what was merged is deleted,
 * and the flush is over when the bucket has all of it. Nothing happens when nothing is new.
 */
#include <assert.h>

#include "merge_plan.h"

enum flush_phase { FLUSH_FREEZING, FLUSH_MERGING, FLUSH_SETTLING };

static bool head_is_empty(const struct shard *shard)
{
    struct head_statistics head;
    head_read_statistics(shard->head, &head);
    return head.series_count == 0 && !shard->metadata_changed;
}

static void finish_all(struct shard *shard, const struct error *outcome)
{
    while (shard->flushes != NULL) {
        struct shard_flush *flush = shard->flushes;
        shard->flushes = flush->next;
        flush->done(flush, outcome);
    }
}

/* Those that do not wait for the bucket; the others have come as far. */
static void finish_here(struct shard *shard, const struct error *outcome)
{
    struct shard_flush **link = &shard->flushes, *over = NULL;
    while (*link != NULL) {
        struct shard_flush *flush = *link;
        if (flush->place != FLUSH_HERE) {
            flush->phase = FLUSH_SETTLING;
            link = &flush->next;
            continue;
        }
        *link = flush->next;
        flush->next = over;
        over = flush;
    }
    while (over != NULL) {
        struct shard_flush *flush = over;
        over = flush->next;
        flush->done(flush, outcome); /* which may ask for another one */
    }
}

void shard_cancel_flushes(struct shard *shard)
{
    struct error canceled;
    error_set(&canceled, ERROR_UNAVAILABLE, "not all is flushed: no leader here any more");
    finish_all(shard, &canceled);
}

static enum merge_wish wish_of(const struct shard_flush *flushes)
{
    for (; flushes != NULL; flushes = flushes->next)
        if (flushes->reach == FLUSH_DELETED)
            return MERGE_DELETED;
    return MERGE_EVERYTHING;
}

/* Where the flushes stand follows from the state of the shard. */
void shard_flush_advance(struct shard *shard)
{
    if (shard->flushes == NULL)
        return;
    if (shard->frozen_count > 0 || shard->freeze_proposed)
        return; /* freezing */
    struct shard_flush *newest = shard->flushes;
    if (newest->phase == FLUSH_FREEZING) {
        if (!head_is_empty(shard)) {
            shard_freeze(shard);
            return;
        }
        newest->phase = FLUSH_MERGING;
    }
    if (newest->phase == FLUSH_MERGING) {
        if (shard_merge_propose(shard, wish_of(shard->flushes)))
            return;
        newest->phase = FLUSH_SETTLING;
        bool cleans = shard_clean_propose(shard);
        if (cleans || shard->durable.frozen_index < shard->changed_index) {
            shard_freeze(shard);
            return;
        }
    }
    if (shard_has_doomed(shard))
        return; /* the last deletion comes back here */
    struct error outcome;
    error_clear(&outcome);
    finish_here(shard, &outcome);
    if (shard->flushes == NULL)
        return;
    if (bucket_flush_advance(shard, &outcome) != BUCKET_FLUSH_GOES_ON)
        finish_all(shard, &outcome);
}

void shard_flush(struct shard *shard, struct shard_flush *flush)
{
    flush->phase = FLUSH_FREEZING;
    flush->next = shard->flushes;
    shard->flushes = flush;
    bucket_flush_begin(shard);
    shard_flush_advance(shard);
}
