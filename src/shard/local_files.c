#include "local_files.h"

#include <stdlib.h>

#include "base/log.h"
#include "block/deferred_block.h"
#include "object/object_store.h"
#include "shard/bucket_list.h"
#include "shard/bucket_source.h"
#include "shard/shard_bucket.h"

#include "damage.h"

enum {
    /* Between two looks, when nothing failed and something did. */
    LOOK_MS = 10 * 1000,
    RETRY_MS = 60 * 1000,
    /* Of one job, so that files go before long. */
    DROP_BLOCKS_MAX = 64,
    /* Absent blocks are left out of merges for so long after one failed, then twice as long... */
    MERGE_WAIT_MS_MIN = 60 * 1000,
    MERGE_WAIT_MS_MAX = 30 * 60 * 1000,
};

static uint64_t monotonic_ms(const struct shard *shard)
{
    return clock_monotonic_ms(shard->options.environment->clock);
}

/* --- Reading from the bucket ----------------------------------------------------------------- */

struct bucket_address local_address_of(const struct shard *shard,
                                       const struct manifest_block *described)
{
    const struct bucket_object *object =
        shard->options.bucket == NULL ? NULL
                                      : bucket_find_block(&shard->bucket, block_name_of(described));
    return object == NULL
               ? (struct bucket_address){0}
               : (struct bucket_address){object->shard_id, object->hash, object->size_bytes};
}

/* Of a block; lives as long as that, be the shard closed or not. */
struct object_opener {
    struct block_opener base;
    struct object_store *store;
    struct bucket_cache *cache;
    uint64_t size_bytes;
    char key[BUCKET_KEY_MAX];
};

static enum error_code opener_source(const struct block_opener *self,
                                     struct page_source **source_out, struct error *error)
{
    const struct object_opener *opener = (const struct object_opener *)self;
    const struct bucket_source_options options = {
        .store = opener->store,
        .cache = opener->cache,
        .key = text_of(opener->key),
        .size_bytes = opener->size_bytes,
    };
    return bucket_source_open(&options, source_out, error);
}

static void opener_close(struct block_opener *self)
{
    free(self);
}

enum error_code local_open_object(struct shard *shard, struct page_cache *cache,
                                  const struct manifest_block *described,
                                  const struct bucket_address *address, struct block **block_out,
                                  struct error *error)
{
    struct object_opener *opener = calloc(1, sizeof *opener);
    if (opener == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "block");
    const struct bucket_block_key key = {address->shard_id, described->index, described->number,
                                         address->hash};
    opener->base = (struct block_opener){opener_source, opener_close};
    opener->store = shard->options.bucket->store;
    opener->cache = shard->options.bucket->cache;
    opener->size_bytes = address->size_bytes;
    bucket_block_key_format(&key, opener->key);
    return deferred_block_create(cache, &opener->base, &described->summary, block_out, error);
}

enum error_code local_open_through(struct shard *shard, struct page_cache *cache,
                                   const struct shard_block *block, struct block **block_out,
                                   struct error *error)
{
    enum error_code code = ERROR_NOT_FOUND;
    if (!block->is_absent)
        code = shard_open_block_through(shard, cache, &block->described, block_out, error);
    /* It may have been dropped since. */
    if (code == ERROR_NOT_FOUND && block->address.size_bytes > 0)
        code =
            local_open_object(shard, cache, &block->described, &block->address, block_out, error);
    return code;
}

bool local_replace_damaged(struct shard *shard, struct shard_block *block)
{
    const struct bucket_address address = local_address_of(shard, &block->described);
    struct block *remote;
    struct error error;
    if (address.size_bytes == 0 || local_open_object(shard, shard->options.cache, &block->described,
                                                     &address, &remote, &error) != ERROR_NONE)
        return false;
    block_unref(block->block);
    block->block = remote;
    block->address = address;
    block->is_absent = true;
    block->is_wanted = true;
    block->damaged = block->is_stand_in = block->is_replaced = false;
    return true;
}

void local_replace_all_damaged(struct shard *shard)
{
    bool any = false;
    for (size_t i = 0; i < shard->block_count; i++)
        any |= shard->blocks[i].damaged && local_replace_damaged(shard, &shard->blocks[i]);
    if (!any)
        return;
    log_event(LOG_INFO, "shard", "blocks whose files are damaged are read from the bucket",
              "shard=%u", shard->options.shard_id);
    damage_count(shard);
    shard_publish_soon(shard);
}

bool local_is_unsplit(const struct shard *shard, const struct shard_block *block)
{
    if (!shard->lacks_slots)
        return false;
    /* What was made after the last split has none, and is not opened to be asked. */
    if (shard->split_count > 0 && block->described.index > shard->split.index)
        return false;
    return block_has_slot_outside(block->block, shard->owned.words);
}

/* --- What is to be here ---------------------------------------------------------------------- */

bool local_is_recent(struct shard *shard, const struct manifest_block *described)
{
    const struct shard_bucket *bucket = shard->options.bucket;
    if (bucket == NULL)
        return true;
    int64_t retention_ms = atomic_load(&bucket->local_retention_ms);
    int64_t cutoff_ms = atomic_load(&bucket->local_cutoff_ms);
    int64_t newest_ms = described->summary.max_time_ms;
    int64_t now_ms = steady_clock_now_ms(&shard->local_steady, shard->options.environment->clock);
    /* The cutoff of the size is of this moment: it does not ask for what comes later. */
    if (cutoff_ms != 0 && newest_ms < cutoff_ms)
        return false;
    return retention_ms == 0 || newest_ms >= now_ms - retention_ms;
}

static bool is_merged(const struct shard *shard, const struct shard_block *block)
{
    for (size_t i = 0; shard->merge != NULL && i < shard->merge->block_count; i++)
        if (is_same_block(&shard->merge->blocks[i], block))
            return true;
    return false;
}

/* Its object, when the list that is published names it; NULL: there is none such. */
static const struct bucket_object *published_object_of(const struct shard *shard,
                                                       const struct shard_block *block)
{
    const struct bucket_object *object =
        bucket_find_block(&shard->bucket, block_name_of(&block->described));
    return object != NULL && object->listed_index <= shard->bucket.published.index ? object : NULL;
}

/* --- Dropping -------------------------------------------------------------------------------- */

struct drop_item {
    struct block_name block;
    struct bucket_address address;
    bool is_there; /* as large as the log says */
};

/* What the log has in the bucket is looked for in the store once more before files go: the settings
 * may name another one by now. */
struct drop_job {
    struct job job;
    struct shard *shard;
    atomic_bool canceled;
    struct drop_item items[DROP_BLOCKS_MAX];
    size_t count;
    struct error error;
};

static void drop_run(struct job *base)
{
    struct drop_job *job = (struct drop_job *)base;
    struct object_call call = {.canceled = &job->canceled};
    error_clear(&job->error);
    for (size_t i = 0; job->error.code == ERROR_NONE && i < job->count; i++) {
        struct drop_item *item = &job->items[i];
        const struct bucket_block_key key = {item->address.shard_id, item->block.index,
                                             item->block.number, item->address.hash};
        char text[BUCKET_KEY_MAX];
        struct object_info info;
        enum error_code code =
            object_store_head(job->shard->options.bucket->store, &call,
                              bucket_block_key_format(&key, text), &info, &job->error);
        if (code == ERROR_NONE && info.size_bytes != item->address.size_bytes)
            error_set(&job->error, ERROR_CORRUPT, "object '%s' has %llu bytes, not %llu", text,
                      (unsigned long long)info.size_bytes,
                      (unsigned long long)item->address.size_bytes);
        item->is_there = job->error.code == ERROR_NONE;
    }
}

static bool drop_file(struct shard *shard, const struct drop_item *item)
{
    for (size_t i = 0; i < shard->block_count; i++) {
        struct shard_block *block = &shard->blocks[i];
        if (!block_name_equal(block_name_of(&block->described), item->block))
            continue;
        const struct bucket_object *object = published_object_of(shard, block);
        if (block->is_absent || block->damaged || is_merged(shard, block) || object == NULL)
            return false;
        uint64_t listed_index = object->listed_index;
        if (!local_replace_damaged(shard, block)) /* it is not, but so it is read */
            return false;
        block->is_wanted = false;
        char path[SHARD_PATH_MAX];
        /* A restart from an older state does not know of the object yet. */
        shard_doom_file(
            shard, listed_index,
            shard_path(shard, path, "blocks", item->block.index, item->block.number, "block"));
        return true;
    }
    return false;
}

static void drop_done(struct job *base)
{
    struct drop_job *job = (struct drop_job *)base;
    struct shard *shard = job->shard;
    size_t dropped = 0;
    shard->local_drop = NULL;
    for (size_t i = 0; shard->closed == NULL && i < job->count; i++)
        if (job->items[i].is_there)
            dropped += drop_file(shard, &job->items[i]);
    if (dropped > 0) {
        shard_publish_soon(shard);
        shard_delete_doomed(shard);
    }
    bool failed = job->error.code != ERROR_NONE && shard->closed == NULL;
    if (failed)
        log_event(LOG_WARNING, "shard", "files stay here, as the bucket could not be asked",
                  "shard=%u error=\"%s\"", shard->options.shard_id, job->error.message);
    /* There may be more. */
    shard->local_due_ms = failed                          ? monotonic_ms(shard) + RETRY_MS
                          : job->count == DROP_BLOCKS_MAX ? 0
                                                          : shard->local_due_ms;
    free(job);
    shard_job_ended(shard);
}

/* The oldest first, as they lie mostly. */
static void drop_begin(struct shard *shard)
{
    struct drop_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return; /* looked at again */
    for (size_t i = 0; i < shard->block_count && job->count < DROP_BLOCKS_MAX; i++) {
        const struct shard_block *block = &shard->blocks[i];
        if (block->is_absent || block->damaged || local_is_recent(shard, &block->described) ||
            is_merged(shard, block) || published_object_of(shard, block) == NULL)
            continue;
        job->items[job->count++] =
            (struct drop_item){.block = block_name_of(&block->described),
                               .address = local_address_of(shard, &block->described)};
    }
    if (job->count == 0) {
        free(job);
        return;
    }
    job->job = (struct job){.run = drop_run, .done = drop_done, .class = JOB_TRANSFER};
    job->shard = shard;
    shard->local_drop = &job->canceled;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &job->job);
}

/* Files that wait for a state that knows of their objects: where nothing is written, none comes. */
static void freeze_for_dropped(struct shard *shard)
{
    if (!shard->keeper.is_leading || shard->unfrozen_bytes > 0 || shard->freeze_proposed ||
        shard->frozen_count > 0)
        return;
    if (shard_has_doomed_behind(shard, shard->durable.frozen_index))
        shard_freeze(shard);
}

void local_files_tend(struct shard *shard)
{
    uint64_t now_ms = monotonic_ms(shard);
    if (shard->options.bucket == NULL || shard->closed != NULL || shard->install != NULL)
        return;
    if (shard->counters.damaged_files > 0)
        local_replace_all_damaged(shard); /* it may be uploaded since */
    local_return_tend(shard);
    if (shard->local_drop != NULL || now_ms < shard->local_due_ms)
        return;
    shard->local_due_ms = now_ms + LOOK_MS;
    freeze_for_dropped(shard);
    drop_begin(shard);
}

void local_files_cancel(struct shard *shard)
{
    if (shard->local_drop != NULL)
        atomic_store(shard->local_drop, true);
    if (shard->local_return != NULL)
        atomic_store(shard->local_return, true);
}

/* --- Merges ---------------------------------------------------------------------------------- */

void local_merge_failed(struct shard *shard)
{
    shard->absent_merge_wait_ms =
        shard->absent_merge_wait_ms == 0 ? MERGE_WAIT_MS_MIN : 2 * shard->absent_merge_wait_ms;
    if (shard->absent_merge_wait_ms > MERGE_WAIT_MS_MAX)
        shard->absent_merge_wait_ms = MERGE_WAIT_MS_MAX;
    shard->absent_merge_due_ms = monotonic_ms(shard) + shard->absent_merge_wait_ms;
}

bool local_may_merge(const struct shard *shard, const struct shard_block *block)
{
    return !block->damaged &&
           (!block->is_absent || monotonic_ms(shard) >= shard->absent_merge_due_ms);
}
