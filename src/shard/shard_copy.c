/* A second directory with the files of a shard. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include "base/log.h"

#include "local_files.h"

static const char *const FOLDERS[] = {"parts", "series", "blocks", "metadata"};
enum { FOLDER_COUNT = sizeof FOLDERS / sizeof FOLDERS[0] };

/* --- On a worker ------------------------------------------------------------------------------ */

/* A file of the manifest, by the name that it has in both directories. */
static enum error_code link_file(struct shard_copy *copy, const char *kind, uint64_t index,
                                 unsigned number, const char *extension)
{
    char from[SHARD_PATH_MAX], to[SHARD_PATH_MAX];
    shard_path_in(copy->shard->options.directory, from, kind, index, number, extension);
    shard_path_in(copy->directory, to, kind, index, number, extension);
    return disk_link(copy->shard->options.environment->disk, from, to, &copy->error);
}

static void tell_missing(const struct shard_copy *copy, const struct error *reason)
{
    log_event(LOG_WARNING, "shard", "a missing file is not in the copy", "shard=%u error=\"%s\"",
              copy->shard->options.shard_id, reason->message);
}

/* What is in the bucket only; false: it is not there either. */
static bool take_from_bucket(struct shard_copy *copy, const struct manifest *manifest,
                             const struct manifest_block *block)
{
    const struct bucket_object *object = bucket_find_block(&manifest->bucket, block_name_of(block));
    char path[SHARD_PATH_MAX], unfinished[SHARD_UNFINISHED_PATH_MAX];
    if (object == NULL || copy->shard->options.bucket == NULL)
        return false;
    if (!copy->fetches_blocks)
        return true; /* who has the copy reads it there, too */
    const struct bucket_address address = {object->shard_id, object->hash, object->size_bytes};
    shard_path_in(copy->directory, path, "blocks", block->index, block->number, "block");
    snprintf(unfinished, sizeof unfinished, "%s" SHARD_UNFINISHED, path);
    (void)local_download(copy->shard, NULL, block, &address, unfinished, path,
                         &copy->error); /* how it went is in the error */
    return true;
}

static enum error_code link_block(struct shard_copy *copy, const struct manifest *manifest,
                                  const struct manifest_block *block)
{
    enum error_code code = link_file(copy, "blocks", block->index, block->number, "block");
    if (code != ERROR_NOT_FOUND)
        return code;
    struct error missing = copy->error;
    error_clear(&copy->error);
    if (take_from_bucket(copy, manifest, block))
        return copy->error.code;
    tell_missing(copy, &missing);
    return ERROR_NONE;
}

/* A file that is damaged by being away is not in the copy either. */
static enum error_code link_if_there(struct shard_copy *copy, const char *kind, uint64_t index,
                                     unsigned number, const char *extension)
{
    enum error_code code = link_file(copy, kind, index, number, extension);
    if (code != ERROR_NOT_FOUND)
        return code;
    tell_missing(copy, &copy->error);
    error_clear(&copy->error);
    return ERROR_NONE;
}

static enum error_code link_all(struct shard_copy *copy, const struct manifest *manifest)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < manifest->segment_count; i++)
        code = link_file(copy, "series", manifest->segments[i], 0, "segment");
    for (size_t i = 0; code == ERROR_NONE && i < manifest->part_count; i++)
        code = link_if_there(copy, "parts", manifest->parts[i].index, manifest->parts[i].number,
                             "part");
    for (size_t i = 0; code == ERROR_NONE && i < manifest->block_count; i++)
        code = link_block(copy, manifest, &manifest->blocks[i]);
    if (code == ERROR_NONE && manifest->metadata_index > 0)
        code = link_file(copy, "metadata", manifest->metadata_index, 0, "metadata");
    return code;
}

typedef enum error_code folder_operation(struct disk *, const char *path, struct error *);

static enum error_code each_folder(struct shard_copy *copy, folder_operation *operation)
{
    struct disk *disk = copy->shard->options.environment->disk;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < FOLDER_COUNT; i++) {
        char path[SHARD_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", copy->directory, FOLDERS[i]);
        code = operation(disk, path, &copy->error);
    }
    return code;
}

static enum error_code copy_files(struct shard_copy *copy, const struct manifest *manifest)
{
    struct disk *disk = copy->shard->options.environment->disk;
    enum error_code code = each_folder(copy, disk_make_directory);
    if (code == ERROR_NONE)
        code = link_all(copy, manifest);
    if (code == ERROR_NONE)
        code = each_folder(copy, disk_sync_directory);
    return code == ERROR_NONE ? disk_sync_directory(disk, copy->directory, &copy->error) : code;
}

/* Who has the copy knows of no children; what left the shard has left the copy, too. */
static enum error_code forget_splits(struct shard_copy *copy, struct manifest *manifest)
{
    copy->owned = manifest->owned;
    if (manifest->split_count == 0)
        return ERROR_NONE;
    manifest->split_count = 0;
    byte_buffer_clear(&copy->manifest);
    manifest_encode(manifest, &copy->manifest);
    return copy->manifest.failed ? error_set(&copy->error, ERROR_OUT_OF_MEMORY, "manifest")
                                 : ERROR_NONE;
}

static void copy_run(struct job *job)
{
    struct shard_copy *copy = (struct shard_copy *)((char *)job - offsetof(struct shard_copy, job));
    struct manifest manifest = {0};
    enum error_code code = copy->error.code;
    if (code == ERROR_NONE && copy->frozen_index > 0) {
        code = manifest_decode(copy->manifest.bytes, copy->manifest.size, &manifest, &copy->error);
        if (code == ERROR_NONE)
            code = forget_splits(copy, &manifest);
    }
    if (code == ERROR_NONE)
        (void)copy_files(copy, &manifest); /* how it went is in the error */
    manifest_clear(&manifest);
}

/* --- On the loop ------------------------------------------------------------------------------ */

static void copy_done(struct job *job)
{
    struct shard_copy *copy = (struct shard_copy *)((char *)job - offsetof(struct shard_copy, job));
    struct shard *shard = copy->shard;
    if (--shard->copies_running == 0)
        shard_delete_doomed(shard); /* what was due meanwhile */
    copy->done(copy);
    shard_job_ended(shard);
}

static void start(struct shard *shard, struct shard_copy *copy, enum job_class class)
{
    copy->shard = shard;
    copy->job = (struct job){.run = copy_run, .done = copy_done, .class = class};
    shard->copies_running++;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &copy->job);
}

void shard_copy(struct shard *shard, struct shard_copy *copy)
{
    struct shard_child child;
    copy->manifest = (struct byte_buffer){0};
    copy->fetches_blocks = true;
    copy->lacks_child = shard_unfounded_child(shard, &child);
    error_clear(&copy->error);
    (void)shard_snapshot(shard, &copy->manifest, &copy->frozen_index,
                         &copy->error); /* to the job */
    start(shard, copy, JOB_BACKGROUND);
}

/* What the parent had at the split, but for the slots. */
void shard_copy_child(struct shard *shard, struct shard_copy *copy)
{
    struct manifest manifest = shard->durable; /* a look, nothing is owned */
    manifest.owned = manifest.split.slots;
    manifest.split_count = 0;
    assert(manifest.split.index == manifest.frozen_index && manifest.merge_index == 0);
    copy->fetches_blocks = false;
    copy->manifest = (struct byte_buffer){0};
    copy->frozen_index = manifest.frozen_index;
    error_clear(&copy->error);
    if (bucket_inherit(&shard->durable.bucket, &manifest.bucket, &copy->error) == ERROR_NONE) {
        manifest_encode(&manifest, &copy->manifest);
        bucket_clear(&manifest.bucket);
    }
    if (copy->manifest.failed)
        error_set(&copy->error, ERROR_OUT_OF_MEMORY, "manifest");
    start(shard, copy, JOB_STORAGE);
}
