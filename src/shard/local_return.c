/* Files that are missing here and should not be: fetched from the bucket, one after the other. */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash_stream.h"
#include "base/log.h"
#include "block/block_inspect.h"
#include "object/object_store.h"
#include "shard/bucket_list.h"
#include "shard/shard_bucket.h"

#include "file_arrival.h"
#include "local_files.h"

enum { WAIT_MS_MIN = 5000, WAIT_MS_MAX = 5 * 60 * 1000, PIECE_BYTES = 1024 * 1024 };

/* --- On a worker ------------------------------------------------------------------------------ */

static enum error_code copy_object(struct shard *shard, const struct object_call *call,
                                   struct text key, uint64_t size_bytes, struct file *file,
                                   struct hash128 *hash_out, struct error *error)
{
    struct disk *disk = shard->options.environment->disk;
    uint8_t *piece = malloc(PIECE_BYTES);
    struct hash_stream *stream = hash_stream_create();
    enum error_code code = ERROR_NONE;
    if (piece == NULL || stream == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "fetch an object");
    for (uint64_t at = 0; code == ERROR_NONE && at < size_bytes; at += PIECE_BYTES) {
        size_t size = size_bytes - at < PIECE_BYTES ? (size_t)(size_bytes - at) : PIECE_BYTES;
        struct object_read read = {.key = key,
                                   .place = OBJECT_READ_AT,
                                   .offset_bytes = at,
                                   .target = piece,
                                   .size_bytes = size};
        code = object_store_read(shard->options.bucket->store, call, &read);
        if (code != ERROR_NONE)
            *error = read.error;
        else if (read.read_bytes < size || read.object_bytes != size_bytes)
            code = error_set(error, ERROR_CORRUPT, "the object has %llu bytes, not %llu",
                             (unsigned long long)read.object_bytes, (unsigned long long)size_bytes);
        if (code != ERROR_NONE)
            break;
        hash_stream_add(stream, piece, size);
        code = disk_write_at(disk, file, at, piece, size, error);
    }
    if (code == ERROR_NONE)
        code = disk_sync(disk, file, error);
    if (code == ERROR_NONE)
        *hash_out = hash_stream_result(stream);
    hash_stream_destroy(stream);
    free(piece);
    return code;
}

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
    struct file *file = NULL;
    struct hash128 hash;
    struct error ignored; /* what is left is swept */
    const struct bucket_block_key key = {address->shard_id, described->index, described->number,
                                         address->hash};
    char text[BUCKET_KEY_MAX];
    struct text object = bucket_block_key_format(&key, text);
    enum error_code code = disk_open(disk, unfinished, DISK_OPEN_REPLACE, &file, error);
    if (code == ERROR_NONE)
        code = copy_object(shard, call, object, address->size_bytes, file, &hash, error);
    disk_close(disk, file);
    if (code == ERROR_NONE && !hash128_equal(hash, address->hash))
        code = error_set(error, ERROR_CORRUPT, "it has other bytes than were uploaded");
    if (code == ERROR_NONE)
        code = check_content(disk, unfinished, described, error);
    if (code == ERROR_NONE)
        code = disk_rename(disk, unfinished, path, error);
    if (code == ERROR_NONE)
        return code;
    (void)disk_remove(disk, unfinished, &ignored);
    return error_wrap(error, "fetch object '%s'", text);
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
