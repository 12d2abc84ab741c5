/*
 * What a shard asks for by itself: merges, the end of old files, of tombstones, of quiet series.
 */
#include "base/log.h"

#include "bucket_entry.h"
#include "damage.h"
#include "forget.h"
#include "local_files.h"
#include "retention_survey.h"
#include "shard_version.h"

/* --- Retention ------------------------------------------------------------------------------ */

int64_t shard_newest_stored_ms(const struct shard *shard)
{
    int64_t newest_ms = INT64_MIN;
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].described.summary.max_time_ms > newest_ms)
            newest_ms = shard->parts[i].described.summary.max_time_ms;
    for (size_t i = 0; i < shard->block_count; i++)
        if (shard->blocks[i].described.summary.max_time_ms > newest_ms)
            newest_ms = shard->blocks[i].described.summary.max_time_ms;
    return newest_ms;
}

/* Whether a file lies before the cutoff as a whole. */
static bool retention_is_due(const struct shard *shard, int64_t cutoff_ms)
{
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].described.summary.max_time_ms < cutoff_ms)
            return true;
    for (size_t i = 0; i < shard->block_count; i++)
        if (shard->blocks[i].described.window_end_ms <= cutoff_ms)
            return true;
    return false;
}

void shard_retain_from(struct shard *shard, int64_t cutoff_ms)
{
    if (cutoff_ms <= shard->retention_cutoff_ms || !retention_is_due(shard, cutoff_ms))
        return;
    struct byte_buffer entry = {0};
    entry_encode_header(&entry, ENTRY_RETENTION, clock_now_ms(shard->options.environment->clock));
    byte_buffer_zigzag(&entry, cutoff_ms);
    shard_propose(shard, &entry);
}

static bool merges_block(const struct merge *merge, const struct shard_block *block)
{
    for (size_t i = 0; merge != NULL && i < merge->block_count; i++)
        if (is_same_block(&merge->blocks[i], block))
            return true;
    return false;
}

static bool merges_part(const struct merge *merge, const struct shard_part *part)
{
    for (size_t i = 0; merge != NULL && i < merge->part_count; i++)
        if (is_same_part(&merge->parts[i].input, part))
            return true;
    return false;
}

enum error_code shard_apply_retention(struct shard *shard, uint64_t index, struct byte_reader *body,
                                      struct error *error)
{
    int64_t cutoff_ms = byte_reader_zigzag(body);
    if (body->failed)
        return error_set(error, ERROR_CORRUPT, "retention: cut");
    if (cutoff_ms <= shard->retention_cutoff_ms)
        return ERROR_NONE;
    shard->retention_cutoff_ms = cutoff_ms;
    windows_end_before(&shard->windows, cutoff_ms);
    shard->changed_index = index;
    /* What a merge reads stays named until that is done, so that a restart finds it. */
    const struct bucket_news news = bucket_news_of(shard, index);
    for (size_t i = shard->block_count; i > 0; i--) {
        const struct shard_block *block = &shard->blocks[i - 1];
        if (block->described.window_end_ms > cutoff_ms || merges_block(shard->merge, block))
            continue;
        bucket_leave(&shard->bucket, &news, block_name_of(&block->described), NULL);
        shard_drop_block(shard, i - 1, index);
    }
    for (size_t i = shard->part_count; i > 0; i--)
        if (shard->parts[i - 1].described.summary.max_time_ms < cutoff_ms &&
            !merges_part(shard->merge, &shard->parts[i - 1]))
            shard_drop_part(shard, i - 1, index);
    return shard_publish(shard, error);
}

/* --- Tombstones ----------------------------------------------------------------------------- */

bool shard_clean_propose(struct shard *shard)
{
    struct byte_buffer entry = {0}, indexes = {0};
    size_t count = 0;
    if (shard->clean_proposed)
        return true;
    for (size_t i = 0; i < tombstones_count(shard->tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(shard->tombstones, i);
        if (merge_tombstone_is_needed(shard, tombstone))
            continue;
        byte_buffer_varint(&indexes, tombstone->index);
        count++;
    }
    if (count > 0) {
        entry_encode_header(&entry, ENTRY_CLEAN_TOMBSTONES,
                            clock_now_ms(shard->options.environment->clock));
        byte_buffer_varint(&entry, count);
        byte_buffer_append(&entry, indexes.bytes, indexes.size);
        entry.failed |= indexes.failed;
        shard->clean_proposed = shard_propose(shard, &entry);
    }
    byte_buffer_clear(&indexes);
    return count > 0;
}

/* --- Now and then --------------------------------------------------------------------------- */

void shard_tend(struct shard *shard)
{
    shard_start_freeze_job(shard);
    if (shard->view_is_stale)
        shard_publish_soon(shard);
    shard_delete_doomed(shard);
    damage_reopen(shard);
    repair_tend(shard);
    local_files_tend(shard);
}

/* What a deletion took out of the shard leaves the disk when a freeze is durable. */
static void settle(struct shard *shard)
{
    if (!shard->settle_wanted || shard->merge != NULL || shard->frozen_count > 0 ||
        shard->freeze_proposed)
        return;
    if (shard->durable.frozen_index < shard->changed_index)
        shard_freeze(shard);
    else
        shard->settle_wanted = false;
}

void shard_maintain(struct shard *shard)
{
    shard_tend(shard);
    shard_merge_resume(shard);
    shard_flush_advance(shard);
    int64_t newest_ms = shard_newest_stored_ms(shard);
    shard->late_is_full = merge_late_is_full(shard);
    retention_maintain(shard, newest_ms); /* before merges, which leave out what is past it */
    retention_survey_tend(shard);
    bool merges = newest_ms != INT64_MIN && merge_tenant_waits(shard) &&
                  shard_merge_propose(shard, MERGE_EVERYTHING);
    if (newest_ms != INT64_MIN && !merges)
        shard_merge_propose(shard, MERGE_DUE);
    shard_version_propose(shard);
    bucket_tend(shard);
    shard_clean_propose(shard);
    shard_forget_maintain(shard);
    shard_forget_metadata_maintain(shard);
    settle(shard);
}
