/* Files that are missing here and should not be: fetched from the bucket, one after the other. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "block/block_inspect.h"
#include "shard/bucket_download.h"
#include "shard/shard_bucket.h"

#include "file_arrival.h"
#include "local_files.h"

enum { WAIT_MS_MIN = 5000, WAIT_MS_MAX = 5 * 60 * 1000 };

/* --- On a worker ------------------------------------------------------------------------------ */

static enum error_code check_content(struct disk *disk, const char *path,
                                     const struct manifest_block *described, struct error *error)
{
    struct page_source *source;
    struct file_summary summary;
    enum error_code code = page_source_open_file(disk, path, &source, error);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, error);
    if (code == ERROR_NONE &&
        !hash128_equal(summary.content_checksum, described->summary.content_checksum))
        code = error_set(error, ERROR_CORRUPT, "it has not the content that was uploaded");
    return code;
}

enum error_code local_download(struct shard *shard, const struct object_call *call,
                               const struct manifest_block *described,
                               const struct bucket_address *address, const char *unfinished,
                               const char *path, struct error *error)
{
    struct disk *disk = shard->options.environment->disk;
    struct error ignored; /* what is left is swept */
    const struct bucket_block_key key = {address->shard_id, described->index, described->number,
                                         address->hash};
    enum error_code code = bucket_download_block(shard->options.bucket->store, call, &key,
                                                 address->size_bytes, disk, unfinished, error);
    if (code != ERROR_NONE)
        return code;
    code = check_content(disk, unfinished, described, error);
    if (code == ERROR_NONE)
        code = disk_rename(disk, unfinished, path, error);
    if (code == ERROR_NONE)
        return code;
    (void)disk_remove(disk, unfinished, &ignored);
    return error_wrap(error, "block '%s' of the bucket", path);
}

struct return_job {
    struct job job;
    struct shard *shard;
    atomic_bool canceled;
    struct shard_block wanted; /* without its block; then with what was opened */
    struct error error;
};

static enum error_code fetch_and_open(struct return_job *job)
{
    struct shard *shard = job->shard;
    struct disk *disk = shard->options.environment->disk;
    const struct manifest_block *described = &job->wanted.described;
    struct object_call call = {.canceled = &job->canceled};
    char path[SHARD_PATH_MAX], folder[SHARD_PATH_MAX], unfinished[2 * SHARD_PATH_MAX];
    file_arrival_directory(shard, folder);
    enum error_code code = disk_make_directory(disk, folder, &job->error);
    snprintf(unfinished, sizeof unfinished, "%s/%016llx-%u.object", folder,
             (unsigned long long)described->index, described->number);
    shard_path(shard, path, "blocks", described->index, described->number, "block");
    if (code == ERROR_NONE)
        code = local_download(shard, &call, described, &job->wanted.address, unfinished, path,
                              &job->error);
    snprintf(folder, sizeof folder, "%s/blocks", shard->options.directory);
    if (code == ERROR_NONE)
        code = disk_sync_directory(disk, folder, &job->error);
    if (code == ERROR_NONE)
        code = shard_open_block(shard, described, &job->wanted.block, &job->error);
    return code;
}

static void return_run(struct job *base)
{
    struct return_job *job = (struct return_job *)base;
    error_clear(&job->error);
    if (fetch_and_open(job) != ERROR_NONE)
        job->wanted.block = NULL;
}

/* --- On the loop ------------------------------------------------------------------------------ */

static void wait_longer(struct shard *shard)
{
    uint64_t wait_ms = shard->return_wait_ms == 0 ? WAIT_MS_MIN : 2 * shard->return_wait_ms;
    shard->return_wait_ms = wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX;
    shard->return_due_ms =
        clock_monotonic_ms(shard->options.environment->clock) + shard->return_wait_ms;
}

static void take_returned(struct shard *shard, struct return_job *job)
{
    for (size_t i = 0; i < shard->block_count; i++) {
        struct shard_block *block = &shard->blocks[i];
        if (!block->is_absent || !is_same_block(block, &job->wanted))
            continue;
        block_unref(block->block);
        block->block = job->wanted.block;
        job->wanted.block = NULL;
        block->is_absent = block->is_wanted = false;
        shard->arrivals.files_repaired++;
        log_event(LOG_INFO, "shard", "a file was fetched from the bucket",
                  "shard=%u index=%llu number=%u bytes=%llu", shard->options.shard_id,
                  (unsigned long long)block->described.index, block->described.number,
                  (unsigned long long)block->address.size_bytes);
        shard_publish_soon(shard);
        return;
    }
}

/* The block was merged away meanwhile. */
static void doom_unwanted(struct shard *shard, const struct return_job *job)
{
    char path[SHARD_PATH_MAX];
    shard_doom_file(shard, shard->applied_index,
                    shard_path(shard, path, "blocks", job->wanted.described.index,
                               job->wanted.described.number, "block"));
}

static void return_done(struct job *base)
{
    struct return_job *job = (struct return_job *)base;
    struct shard *shard = job->shard;
    shard->local_return = NULL;
    if (job->error.code == ERROR_NONE && shard->closed == NULL) {
        shard->return_wait_ms = shard->return_due_ms = 0;
        take_returned(shard, job);
        if (job->wanted.block != NULL)
            doom_unwanted(shard, job);
    } else if (shard->closed == NULL) {
        log_event(LOG_WARNING, "shard", "a file could not be fetched from the bucket yet",
                  "shard=%u error=\"%s\"", shard->options.shard_id, job->error.message);
        wait_longer(shard);
    }
    block_unref(job->wanted.block);
    free(job);
    shard_job_ended(shard);
}

void local_return_tend(struct shard *shard)
{
    const struct shard_block *wanted = NULL;
    if (shard->local_return != NULL || shard->sweeping ||
        clock_monotonic_ms(shard->options.environment->clock) < shard->return_due_ms)
        return;
    for (size_t i = 0; wanted == NULL && i < shard->block_count; i++)
        if (shard->blocks[i].is_wanted && local_is_recent(shard, &shard->blocks[i].described))
            wanted = &shard->blocks[i];
    struct return_job *job = wanted == NULL ? NULL : calloc(1, sizeof *job);
    if (job == NULL)
        return; /* looked for again */
    job->job = (struct job){.run = return_run, .done = return_done, .class = JOB_TRANSFER};
    job->shard = shard;
    job->wanted = *wanted;
    job->wanted.block = NULL;
    shard->local_return = &job->canceled;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &job->job);
}
