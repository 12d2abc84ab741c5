#include "bucket_tend.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/state_version.h"
#include "shard/shard_bucket.h"

#include "bucket_entry.h"
#include "bucket_job.h"
#include "bucket_list_write.h"
#include "bucket_metadata.h"
#include "damage.h"

enum {
    /* A failed job is tried again after so long, then after twice as long, and so on. */
    RETRY_MS_MIN = 1000,
    RETRY_MS_MAX = 60 * 1000,
    /* While uploads follow upon one another, a list is published this long after the first. */
    LIST_WAIT_MS = 30 * 1000,
    /* Shards that were split off have no list yet, or one that names what is to be deleted: they
     * are looked at again after so long. */
    HEIRS_WAIT_MS = 5000,
    NAMED_WAIT_MS = 60 * 1000,
    /* A flush gives up when nothing came of it for so long. A version may take most of it to rise.
     */
    FLUSH_PATIENCE_MS = 45 * 1000,
    /* Of one job, so that the log hears of what was uploaded before long. */
    UPLOAD_BLOCKS_MAX = 16,
    REMOVE_OBJECTS_MAX = 512,
    SWEEPS_AN_AGE = 4,
    /* What an upload is of may have come so long before its merge. */
    ARRIVAL_MS_MAX = 6 * 60 * 60 * 1000,
};
static const uint64_t UPLOAD_BYTES_MAX = 256 << 20;

static uint64_t monotonic_ms(const struct shard *shard)
{
    return clock_monotonic_ms(shard->options.environment->clock);
}

/* Whether this replica has to do with the bucket now. */
static bool is_active(const struct shard *shard)
{
    return shard->options.bucket != NULL && shard->keeper.is_leading && shard->closed == NULL &&
           shard->state_version >= STATE_VERSION_BUCKET &&
           atomic_load(&shard->options.bucket->incarnation) > 0;
}

/* --- What is missing ------------------------------------------------------------------------- */

static bool is_missing(const struct shard *shard, const struct shard_block *block)
{
    return bucket_find_block(&shard->bucket, block_name_of(&block->described)) == NULL;
}

static bool has_deputy(const struct shard *shard, const struct shard_block *block)
{
    for (size_t i = 0; i < shard->bucket.object_count; i++)
        if (shard->bucket.objects[i].state == OBJECT_LISTED &&
            block_name_equal(shard->bucket.objects[i].stands_for, block_name_of(&block->described)))
            return true;
    return false;
}

/* When the samples of a file came: those of long ago came lately, too. */
static int64_t arrival_ms(const struct file_summary *summary, int64_t stamp_ms)
{
    int64_t earliest_ms = stamp_ms - ARRIVAL_MS_MAX;
    return summary->min_time_ms > earliest_ms ? summary->min_time_ms : earliest_ms;
}

static int64_t lower(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

/* Memory and parts are on local disks only. */
static int64_t oldest_unmerged_ms(const struct shard *shard)
{
    int64_t oldest_ms = INT64_MAX;
    for (size_t i = 0; i < shard->part_count; i++)
        oldest_ms = lower(oldest_ms, arrival_ms(&shard->parts[i].described.summary,
                                                shard->parts[i].described.stamp_ms));
    if (shard->unfrozen_since_ms != INT64_MIN)
        oldest_ms = lower(oldest_ms, shard->unfrozen_since_ms);
    return oldest_ms;
}

static bool settled_before(const struct shard *shard)
{
    const struct bucket_keeper *keeper = &shard->keeper;
    return keeper->settled_changed_index == shard->changed_index &&
           keeper->settled_listed_index == shard->bucket.changed_index &&
           keeper->settled_block_count == shard->block_count;
}

/* Count what is missing, unless it is known that nothing is. */
static void measure_backlog(struct shard *shard)
{
    struct bucket_keeper *keeper = &shard->keeper;
    uint64_t blocks = 0, bytes = 0;
    int64_t oldest_ms = INT64_MAX, loss_ms = oldest_unmerged_ms(shard);
    for (size_t i = 0; !settled_before(shard) && i < shard->block_count; i++) {
        const struct manifest_block *block = &shard->blocks[i].described;
        if (!is_missing(shard, &shard->blocks[i]))
            continue;
        blocks++;
        bytes += block->summary.size_bytes;
        oldest_ms = lower(oldest_ms, block->stamp_ms);
        if (!has_deputy(shard, &shard->blocks[i]))
            loss_ms = lower(loss_ms, arrival_ms(&block->summary, block->stamp_ms));
    }
    if (blocks == 0) {
        keeper->settled_changed_index = shard->changed_index;
        keeper->settled_listed_index = shard->bucket.changed_index;
        keeper->settled_block_count = shard->block_count;
    }
    keeper->backlog_blocks = blocks;
    keeper->backlog_bytes = bytes;
    keeper->oldest_block_ms = oldest_ms;
    keeper->oldest_loss_ms = loss_ms;
}

static void clear_backlog(struct shard *shard)
{
    shard->keeper.backlog_blocks = shard->keeper.backlog_bytes = 0;
    shard->keeper.oldest_block_ms = shard->keeper.oldest_loss_ms = INT64_MAX;
}

void shard_read_backlog(struct shard *shard, struct shard_backlog *backlog_out)
{
    *backlog_out = (struct shard_backlog){
        .blocks = shard->keeper.backlog_blocks,
        .bytes = shard->keeper.backlog_bytes,
        .oldest_block_ms = shard->keeper.oldest_block_ms,
        .oldest_loss_ms = shard->keeper.oldest_loss_ms,
    };
}

/* --- Steps ----------------------------------------------------------------------------------- */

static void job_done(struct job *base);

static struct bucket_job *job_create(struct shard *shard, enum bucket_work work, size_t item_count)
{
    struct bucket_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->job = (struct job){.run = bucket_job_run, .done = job_done, .class = JOB_TRANSFER};
    job->shard = shard;
    job->work = work;
    job->items = calloc(item_count + 1, sizeof *job->items);
    job->heirs = calloc(shard->bucket.heir_count + 1, sizeof *job->heirs);
    if (job->items == NULL || job->heirs == NULL) {
        bucket_job_destroy(job);
        return NULL;
    }
    job->heir_count = shard->bucket.heir_count;
    for (size_t i = 0; i < job->heir_count; i++)
        job->heirs[i] = shard->bucket.heirs[i];
    return job;
}

static void begin(struct shard *shard, struct bucket_job *job)
{
    shard->keeper.job = job;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &job->job);
}

/* False: it was done. */
static bool begin_verify(struct shard *shard)
{
    const struct bucket_list_name published = shard->bucket.published;
    if (shard->keeper.is_verified)
        return false;
    struct bucket_job *job = job_create(shard, BUCKET_VERIFY, 0);
    if (job == NULL)
        return true; /* nothing else is done before */
    job->list =
        (struct bucket_list_key){shard->options.shard_id, published.incarnation, published.index};
    job->published = (struct bucket_list_name){atomic_load(&shard->options.bucket->incarnation),
                                               shard->keeper.led_index};
    begin(shard, job);
    return true;
}

/* Blocks without an object, in their order. */
static bool begin_upload(struct shard *shard)
{
    uint64_t bytes = 0;
    if (settled_before(shard))
        return false;
    struct bucket_job *job = job_create(shard, BUCKET_UPLOAD, UPLOAD_BLOCKS_MAX);
    if (job == NULL)
        return false;
    for (size_t i = 0; i < shard->block_count && job->item_count < UPLOAD_BLOCKS_MAX; i++) {
        const struct shard_block *block = &shard->blocks[i];
        uint64_t size_bytes = block->described.summary.size_bytes;
        if (block->damaged || !is_missing(shard, block) ||
            (job->item_count > 0 && bytes + size_bytes > UPLOAD_BYTES_MAX))
            continue;
        bytes += size_bytes;
        job->items[job->item_count++] = (struct bucket_item){
            .object = {.block = block_name_of(&block->described)},
            .content_checksum = block->described.summary.content_checksum,
        };
    }
    if (job->item_count == 0) {
        bucket_job_destroy(job);
        return false;
    }
    begin(shard, job);
    return true;
}

static bool list_is_due(const struct shard *shard)
{
    return shard->bucket.published.index < shard->bucket.changed_index ||
           shard->bucket.published.incarnation < atomic_load(&shard->options.bucket->incarnation);
}

/* Metadata goes with a list when it is not what this leader put before. */
static void add_metadata(const struct shard *shard, struct bucket_job *job)
{
    const struct bucket_keeper *keeper = &shard->keeper;
    bucket_metadata_encode(shard->metadata, &job->metadata);
    if (job->metadata.failed)
        return;
    job->metadata_hash = hash128(job->metadata.bytes, job->metadata.size, HASH_SEED_STORED);
    if (keeper->has_put_metadata && hash128_equal(keeper->metadata_hash, job->metadata_hash))
        byte_buffer_reset(&job->metadata);
}

static bool begin_list(struct shard *shard)
{
    struct bucket_job *job = job_create(shard, BUCKET_LIST, 0);
    if (job == NULL)
        return false;
    job->list = (struct bucket_list_key){
        .shard_id = shard->options.shard_id,
        .incarnation = atomic_load(&shard->options.bucket->incarnation),
        .index = shard->applied_index,
    };
    struct bucket_list_source source = {
        .key = job->list,
        .retention_cutoff_ms = shard->retention_cutoff_ms,
        .retention = &shard->retention,
        .slots = &shard->owned,
        .tombstones = shard->tombstones,
        .bucket = &shard->bucket,
    };
    bucket_list_encode(&source, &job->bytes);
    add_metadata(shard, job);
    if (job->bytes.failed || job->metadata.failed) {
        bucket_job_destroy(job);
        return false;
    }
    begin(shard, job);
    return true;
}

static bool grace_is_over(const struct shard *shard, int64_t since_ms)
{
    int64_t now_ms = clock_now_ms(shard->options.environment->clock);
    return now_ms - since_ms >= (int64_t)shard->options.bucket->delete_grace_ms;
}

static bool begin_remove(struct shard *shard)
{
    const struct bucket *bucket = &shard->bucket;
    bool lists_too = bucket->published.index > shard->keeper.cleaned_index &&
                     grace_is_over(shard, bucket->published_ms);
    struct bucket_job *job = job_create(shard, BUCKET_REMOVE, REMOVE_OBJECTS_MAX);
    if (job == NULL)
        return false;
    for (size_t i = 0; i < bucket->object_count && job->item_count < REMOVE_OBJECTS_MAX; i++) {
        const struct bucket_object *object = &bucket->objects[i];
        if (object->state == OBJECT_RELEASED && grace_is_over(shard, object->released_ms))
            job->items[job->item_count++].object = (struct bucket_upload){
                block_name_of(&object->described), object->size_bytes, object->hash};
    }
    if (lists_too)
        job->published = bucket->published;
    if (job->item_count == 0 && !lists_too) {
        bucket_job_destroy(job);
        return false;
    }
    begin(shard, job);
    return true;
}

static bool begin_sweep(struct shard *shard)
{
    struct error error;
    struct bucket_job *job = job_create(shard, BUCKET_SWEEP, 0);
    if (job == NULL)
        return false;
    job->current = calloc(shard->block_count + 1, sizeof *job->current);
    if (job->current == NULL || bucket_copy(&shard->bucket, &job->named, &error) != ERROR_NONE) {
        bucket_job_destroy(job);
        return false;
    }
    for (; job->current_count < shard->block_count; job->current_count++)
        job->current[job->current_count] =
            block_name_of(&shard->blocks[job->current_count].described);
    job->swept_before_ms = clock_now_ms(shard->options.environment->clock) -
                           (int64_t)shard->options.bucket->sweep_age_ms;
    begin(shard, job);
    return true;
}

/* --- Choosing -------------------------------------------------------------------------------- */

static bool begin_due_list(struct shard *shard, uint64_t now_ms)
{
    return list_is_due(shard) && now_ms >= shard->keeper.list_due_ms && begin_list(shard);
}

static void begin_next(struct shard *shard)
{
    struct bucket_keeper *keeper = &shard->keeper;
    uint64_t now_ms = monotonic_ms(shard);
    if (!list_is_due(shard))
        keeper->changed_ms = 0;
    else if (keeper->changed_ms == 0)
        keeper->changed_ms = now_ms;
    bool is_overdue = keeper->changed_ms > 0 && now_ms - keeper->changed_ms >= LIST_WAIT_MS;
    if (begin_verify(shard) || (is_overdue && begin_due_list(shard, now_ms)) ||
        begin_upload(shard) || begin_due_list(shard, now_ms))
        return;
    if (now_ms >= keeper->remove_due_ms && begin_remove(shard))
        return;
    if (now_ms >= keeper->sweep_due_ms)
        begin_sweep(shard);
}

void bucket_tend(struct shard *shard)
{
    struct bucket_keeper *keeper = &shard->keeper;
    if (shard->options.bucket == NULL || !keeper->is_leading)
        return;
    measure_backlog(shard);
    if (is_active(shard) && keeper->job == NULL && !keeper->entry_proposed &&
        monotonic_ms(shard) >= keeper->due_ms)
        begin_next(shard);
}

/* --- Results --------------------------------------------------------------------------------- */

static struct bucket_upload *done_items(const struct bucket_job *job, size_t *count_out)
{
    struct bucket_upload *done = calloc(job->item_count + 1, sizeof *done);
    size_t count = 0;
    for (size_t i = 0; done != NULL && i < job->item_count; i++)
        if (job->items[i].is_done)
            done[count++] = job->items[i].object;
    *count_out = count;
    return done;
}

/* One that is refused is not tried again at once: nothing here would have changed. */
static void propose(struct shard *shard, struct byte_buffer *entry)
{
    shard->keeper.entry_proposed = shard_propose(shard, entry);
    shard->keeper.entry_refused = !shard->keeper.entry_proposed;
}

static void propose_items(struct shard *shard, const struct bucket_job *job)
{
    struct byte_buffer entry = {0};
    size_t count;
    struct bucket_upload *done = done_items(job, &count);
    int64_t now_ms = clock_now_ms(shard->options.environment->clock);
    if (count > 0 && job->work == BUCKET_UPLOAD)
        bucket_encode_uploaded(&entry, now_ms, done, count);
    else if (count > 0)
        bucket_encode_removed(&entry, now_ms, done, count);
    if (count > 0)
        propose(shard, &entry);
    free(done);
}

static void take_upload(struct shard *shard, const struct bucket_job *job)
{
    struct shard_bucket *bucket = shard->options.bucket;
    for (size_t i = 0; i < job->item_count; i++) {
        if (!job->items[i].is_done)
            continue;
        bucket->uploads++;
        bucket->upload_bytes += job->items[i].object.size_bytes;
    }
    propose_items(shard, job);
}

static void take_list(struct shard *shard, const struct bucket_job *job)
{
    struct byte_buffer entry = {0};
    if (job->error.code != ERROR_NONE || job->waits_for_heirs)
        return;
    shard->options.bucket->lists++;
    shard->keeper.has_put_metadata = true;
    shard->keeper.metadata_hash = job->metadata_hash;
    bucket_encode_published(&entry, clock_now_ms(shard->options.environment->clock),
                            (struct bucket_list_name){job->list.incarnation, job->list.index});
    propose(shard, &entry);
}

static void take_removal(struct shard *shard, const struct bucket_job *job)
{
    if (job->error.code != ERROR_NONE || job->waits_for_heirs)
        return;
    if (job->published.index > 0)
        shard->keeper.cleaned_index = job->published.index;
    for (size_t i = 0; i < job->item_count; i++) {
        shard->options.bucket->removals += job->items[i].is_done;
        if (!job->items[i].is_done)
            shard->keeper.remove_due_ms = monotonic_ms(shard) + NAMED_WAIT_MS;
    }
    propose_items(shard, job);
}

static void take_sweep(struct shard *shard, const struct bucket_job *job)
{
    struct shard_bucket *bucket = shard->options.bucket;
    if (job->error.code != ERROR_NONE || job->waits_for_heirs)
        return;
    bucket->sweeps++;
    bucket->swept += job->swept;
    shard->keeper.sweep_due_ms =
        monotonic_ms(shard) + bucket->sweep_age_ms / SWEEPS_AN_AGE + RETRY_MS_MIN;
    if (job->swept > 0)
        log_event(LOG_INFO, "shard", "objects that nothing named were deleted from the bucket",
                  "shard=%u objects=%llu", shard->options.shard_id, (unsigned long long)job->swept);
}

/* The block may have been merged away while it was read. */
static bool lost_its_block(const struct shard *shard, const struct bucket_job *job)
{
    for (size_t i = 0; i < shard->block_count; i++)
        if (block_name_equal(block_name_of(&shard->blocks[i].described), job->bad_block))
            return false;
    return job->is_of_file;
}

static void try_again_later(struct shard *shard, const struct bucket_job *job)
{
    struct bucket_keeper *keeper = &shard->keeper;
    keeper->error = job->error;
    keeper->retry_ms = keeper->retry_ms == 0 ? RETRY_MS_MIN : keeper->retry_ms * 2;
    if (keeper->retry_ms > RETRY_MS_MAX)
        keeper->retry_ms = RETRY_MS_MAX;
    keeper->due_ms = monotonic_ms(shard) + keeper->retry_ms;
    shard->options.bucket->failures++;
    log_event(LOG_ERROR, "shard", "the bucket could not be kept, it is tried again",
              "shard=%u retry_ms=%llu error=\"%s\"", shard->options.shard_id,
              (unsigned long long)keeper->retry_ms, job->error.message);
    if (job->is_of_file)
        shard_suspect_files(shard, &job->error);
}

static void take_result(struct shard *shard, const struct bucket_job *job)
{
    struct bucket_keeper *keeper = &shard->keeper;
    switch (job->work) {
    case BUCKET_VERIFY:
        keeper->is_verified = job->error.code == ERROR_NONE;
        break;
    case BUCKET_UPLOAD:
        take_upload(shard, job);
        break;
    case BUCKET_LIST:
        take_list(shard, job);
        break;
    case BUCKET_REMOVE:
        take_removal(shard, job);
        break;
    case BUCKET_SWEEP:
        take_sweep(shard, job);
        break;
    }
    if (job->error.code != ERROR_NONE && !lost_its_block(shard, job)) {
        try_again_later(shard, job);
        return;
    }
    error_clear(&keeper->error);
    keeper->retry_ms = 0;
    keeper->due_ms = keeper->entry_refused ? monotonic_ms(shard) + RETRY_MS_MIN : 0;
    keeper->entry_refused = false;
    if (!job->waits_for_heirs)
        keeper->progress_ms = monotonic_ms(shard);
    else if (job->work == BUCKET_LIST)
        keeper->list_due_ms = monotonic_ms(shard) + HEIRS_WAIT_MS;
    else
        keeper->remove_due_ms = keeper->sweep_due_ms = monotonic_ms(shard) + NAMED_WAIT_MS;
}

static void job_done(struct job *base)
{
    struct bucket_job *job = (struct bucket_job *)base;
    struct shard *shard = job->shard;
    assert(shard->keeper.job == job);
    shard->keeper.job = NULL;
    if (shard->closed == NULL && shard->keeper.is_leading && !atomic_load(&job->canceled))
        take_result(shard, job);
    bucket_job_destroy(job);
    if (shard->closed == NULL) {
        bucket_tend(shard);
        shard_flush_advance(shard);
    }
    shard_job_ended(shard);
}

/* --- Leading --------------------------------------------------------------------------------- */

void bucket_lead(struct shard *shard)
{
    struct bucket_keeper *keeper = &shard->keeper;
    keeper->is_leading = true;
    keeper->led_index = shard->applied_index;
    keeper->entry_proposed = keeper->is_verified = false;
    keeper->retry_ms = keeper->due_ms = keeper->list_due_ms = keeper->changed_ms = 0;
    keeper->cleaned_index = 0;
    keeper->has_put_metadata = false;
    keeper->remove_due_ms = keeper->sweep_due_ms = 0;
    keeper->settled_block_count = UINT64_MAX; /* of a shard that was another one's follower */
    error_clear(&keeper->error);
}

void bucket_follow(struct shard *shard)
{
    shard->keeper.is_leading = false;
    clear_backlog(shard);
    if (shard->keeper.job != NULL)
        atomic_store(&shard->keeper.job->canceled, true);
}

void bucket_entry_applied(struct shard *shard)
{
    if (!shard->keeper.is_leading)
        return;
    shard->keeper.entry_proposed = false;
    bucket_tend(shard);
    shard_flush_advance(shard);
}

/* --- Flushes --------------------------------------------------------------------------------- */

void bucket_flush_begin(struct shard *shard)
{
    shard->keeper.progress_ms = monotonic_ms(shard);
}

static bool is_settled(struct shard *shard)
{
    measure_backlog(shard);
    uint64_t damaged = 0;
    for (size_t i = 0; i < shard->block_count; i++)
        damaged += shard->blocks[i].damaged && is_missing(shard, &shard->blocks[i]);
    return is_active(shard) && shard->keeper.backlog_blocks == damaged && !list_is_due(shard);
}

enum bucket_flush bucket_flush_advance(struct shard *shard, struct error *error)
{
    const struct bucket_keeper *keeper = &shard->keeper;
    if (shard->options.bucket == NULL || is_settled(shard))
        return BUCKET_FLUSH_DONE;
    bucket_tend(shard);
    if (monotonic_ms(shard) - keeper->progress_ms < FLUSH_PATIENCE_MS)
        return BUCKET_FLUSH_GOES_ON;
    const char *reason = keeper->error.message;
    if (keeper->error.code == ERROR_NONE)
        reason = shard->state_version < STATE_VERSION_BUCKET
                     ? "the state-machine version in force does not know uploads"
                     : "it is not known that the bucket is this cluster's";
    error_set(error, ERROR_UNAVAILABLE, "not all is in the bucket: %s", reason);
    return BUCKET_FLUSH_FAILED;
}
