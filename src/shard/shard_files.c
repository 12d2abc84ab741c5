/* Opening, describing and deleting the files of a shard. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#include "merge.h"

/* --- Names ---------------------------------------------------------------------------------- */

const char *shard_path_in(const char *directory, char path[SHARD_PATH_MAX], const char *kind,
                          uint64_t index, unsigned number, const char *extension)
{
    snprintf(path, SHARD_PATH_MAX, "%s/%s/%016llx-%u.%s", directory, kind,
             (unsigned long long)index, number, extension);
    return path;
}

const char *shard_path(const struct shard *shard, char path[SHARD_PATH_MAX], const char *kind,
                       uint64_t index, unsigned number, const char *extension)
{
    return shard_path_in(shard->options.directory, path, kind, index, number, extension);
}

/* --- Opening -------------------------------------------------------------------------------- */

/* A sound file may still be another one than the log speaks of, put there by hand. */
static enum error_code check_content(const char *path, const struct file_summary *described,
                                     const struct file_summary *found, struct error *error)
{
    return hash128_equal(described->content_checksum, found->content_checksum)
               ? ERROR_NONE
               : error_set(error, ERROR_CORRUPT,
                           "'%s' has not the content that it was written with", path);
}

enum error_code shard_open_part_through(struct shard *shard, struct page_cache *cache,
                                        const struct manifest_part *described,
                                        struct part **part_out, struct error *error)
{
    char path[SHARD_PATH_MAX];
    struct page_source *file;
    struct part *part;
    shard_path(shard, path, "parts", described->index, described->number, "part");
    enum error_code code =
        page_source_open_file(shard->options.environment->disk, path, &file, error);
    if (code == ERROR_NONE)
        code = part_open(cache, file, &part, error);
    if (code != ERROR_NONE)
        return code;
    struct file_summary summary = part_summary(part);
    code = check_content(path, &described->summary, &summary, error);
    if (code == ERROR_NONE)
        *part_out = part;
    else
        part_unref(part);
    return code;
}

enum error_code shard_open_part(struct shard *shard, const struct manifest_part *described,
                                struct part **part_out, struct error *error)
{
    return shard_open_part_through(shard, shard->options.cache, described, part_out, error);
}

enum error_code shard_open_block_through(struct shard *shard, struct page_cache *cache,
                                         const struct manifest_block *described,
                                         struct block **block_out, struct error *error)
{
    char path[SHARD_PATH_MAX];
    struct page_source *file;
    struct block *block;
    shard_path(shard, path, "blocks", described->index, described->number, "block");
    enum error_code code =
        page_source_open_file(shard->options.environment->disk, path, &file, error);
    if (code == ERROR_NONE)
        code = block_open(cache, file, &block, error);
    if (code != ERROR_NONE)
        return code;
    struct file_summary summary = block_summary(block);
    code = check_content(path, &described->summary, &summary, error);
    if (code == ERROR_NONE)
        *block_out = block;
    else
        block_unref(block);
    return code;
}

enum error_code shard_open_block(struct shard *shard, const struct manifest_block *described,
                                 struct block **block_out, struct error *error)
{
    return shard_open_block_through(shard, shard->options.cache, described, block_out, error);
}

enum error_code shard_open_segment(struct shard *shard, uint64_t index,
                                   struct series_segment **segment_out, struct error *error)
{
    char path[SHARD_PATH_MAX];
    struct page_source *file;
    shard_path(shard, path, "series", index, 0, "segment");
    enum error_code code =
        page_source_open_file(shard->options.environment->disk, path, &file, error);
    if (code == ERROR_NONE)
        code = series_segment_open(shard->options.cache, file, segment_out, error);
    return code;
}

/* --- What is open --------------------------------------------------------------------------- */

enum error_code shard_add_part(struct shard *shard, const struct shard_part *part,
                               struct error *error)
{
    struct shard_part *parts =
        realloc(shard->parts, (shard->part_count + 1) * sizeof *shard->parts);
    if (parts == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "list of parts");
    shard->parts = parts;
    parts[shard->part_count++] = *part;
    return ERROR_NONE;
}

enum error_code shard_add_block(struct shard *shard, const struct shard_block *block,
                                struct error *error)
{
    struct shard_block *blocks =
        realloc(shard->blocks, (shard->block_count + 1) * sizeof *shard->blocks);
    if (blocks == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "list of blocks");
    shard->blocks = blocks;
    blocks[shard->block_count++] = *block;
    return ERROR_NONE;
}

static enum error_code describe_windows(const struct windows *windows, struct manifest *manifest,
                                        struct error *error)
{
    if (windows->table == NULL)
        return ERROR_NONE;
    manifest->windows_base = windows->table->base;
    return windows_list(windows, &manifest->windows, &manifest->window_count, error);
}

enum error_code shard_describe(const struct shard *shard, uint64_t index,
                               struct manifest *manifest_out, struct error *error)
{
    struct manifest manifest = {
        .frozen_index = index,
        .next_id = shard->registry.next_id,
        .retention_cutoff_ms = shard->retention_cutoff_ms,
        .retention = shard->retention,
        .metadata_index = shard->metadata_index,
        .tombstones = tombstones_ref(shard->tombstones),
        .forgotten = id_set_ref(shard->forgotten),
        .state_version = shard->state_version,
        .rehearsed_count = shard->rehearsed_count,
        .owned = shard->owned,
        .split_count = shard->split_count,
        .split = shard->split,
    };
    retention_cut_ref(&manifest.retention);
    enum error_code code = describe_windows(&shard->windows, &manifest, error);
    if (code == ERROR_NONE)
        code = bucket_copy(&shard->bucket, &manifest.bucket, error);
    for (size_t i = 0; code == ERROR_NONE && i < shard->segment_count; i++)
        code = manifest_add_segment(&manifest, shard->segments[i].name, error);
    for (size_t i = 0; code == ERROR_NONE && i < shard->part_count; i++)
        code = manifest_add_part(&manifest, &shard->parts[i].described, error);
    for (size_t i = 0; code == ERROR_NONE && i < shard->block_count; i++)
        code = manifest_add_block(&manifest, &shard->blocks[i].described, error);
    if (code == ERROR_NONE && shard->merge != NULL)
        code = shard_describe_merge(shard->merge, &manifest, error);
    if (code != ERROR_NONE) {
        manifest_clear(&manifest);
        return code;
    }
    *manifest_out = manifest;
    return ERROR_NONE;
}

/* --- Files that nothing names any more ------------------------------------------------------ */

struct doomed_file {
    struct doomed_file *next;
    uint64_t index;
    char path[SHARD_PATH_MAX];
};

void shard_doom_file(struct shard *shard, uint64_t index, const char *path)
{
    struct doomed_file *doomed = malloc(sizeof *doomed);
    if (doomed == NULL)
        return; /* the sweep at the next start finds it */
    doomed->index = index;
    snprintf(doomed->path, sizeof doomed->path, "%s", path);
    doomed->next = shard->doomed;
    shard->doomed = doomed;
    shard->counters.doomed_files++;
}

void shard_forget_doomed(struct shard *shard)
{
    struct doomed_file *doomed = shard->doomed;
    shard->doomed = doomed->next;
    shard->counters.doomed_files--;
    free(doomed);
}

/* Deletes files off the loop. */
struct deletion_job {
    struct job job;
    struct shard *shard;
    struct doomed_file *files;
};

static void deletion_run(struct job *job)
{
    struct deletion_job *deletion = (struct deletion_job *)job;
    struct disk *disk = deletion->shard->options.environment->disk;
    for (struct doomed_file *file = deletion->files; file != NULL; file = file->next) {
        struct error error;
        enum error_code code = disk_remove(disk, file->path, &error);
        if (code != ERROR_NONE && code != ERROR_NOT_FOUND)
            log_event(LOG_WARNING, "shard", "a file could not be deleted", "path=%s error=\"%s\"",
                      file->path, error.message);
    }
}

static void deletion_done(struct job *job)
{
    struct deletion_job *deletion = (struct deletion_job *)job;
    struct shard *shard = deletion->shard;
    while (deletion->files != NULL) {
        struct doomed_file *next = deletion->files->next;
        shard->counters.doomed_files--;
        free(deletion->files);
        deletion->files = next;
    }
    free(deletion);
    shard->deletions_running--;
    shard_flush_advance(shard);
    shard_job_ended(shard);
}

void shard_keep_files(struct shard *shard, uint64_t duration_ms)
{
    uint64_t until_ms = clock_monotonic_ms(shard->options.environment->clock) + duration_ms;
    if (until_ms > shard->kept_until_ms)
        shard->kept_until_ms = until_ms;
}

static bool files_are_kept(const struct shard *shard)
{
    return shard->kept_until_ms > 0 &&
           clock_monotonic_ms(shard->options.environment->clock) < shard->kept_until_ms;
}

bool shard_has_doomed(const struct shard *shard)
{
    if (shard->deletions_running > 0)
        return true;
    if (files_are_kept(shard))
        return false; /* nobody waits for another replica */
    for (const struct doomed_file *file = shard->doomed; file != NULL; file = file->next)
        if (file->index <= shard->durable.frozen_index)
            return true;
    return false;
}

bool shard_has_doomed_behind(const struct shard *shard, uint64_t index)
{
    for (const struct doomed_file *file = shard->doomed; file != NULL; file = file->next)
        if (file->index > index)
            return true;
    return false;
}

void shard_snapshot_stored(struct shard *shard, uint64_t frozen_index)
{
    if (frozen_index > shard->stored_index)
        shard->stored_index = frozen_index;
    shard_delete_doomed(shard);
}

void shard_delete_doomed(struct shard *shard)
{
    if (shard->copies_running > 0 || files_are_kept(shard))
        return; /* the last of them, or shard_maintain, comes back here */
    struct doomed_file *due = NULL;
    struct doomed_file **link = &shard->doomed;
    while (*link != NULL) {
        struct doomed_file *file = *link;
        if (file->index <= shard->stored_index) {
            *link = file->next;
            file->next = due;
            due = file;
        } else {
            link = &file->next;
        }
    }
    if (due == NULL)
        return;
    struct deletion_job *deletion = calloc(1, sizeof *deletion);
    if (deletion == NULL) {
        /* Keep them: shard_maintain comes back here. */
        while (due != NULL) {
            struct doomed_file *next = due->next;
            due->next = shard->doomed;
            shard->doomed = due;
            due = next;
        }
        return;
    }
    *deletion = (struct deletion_job){
        .job = {.run = deletion_run, .done = deletion_done, .class = JOB_BACKGROUND},
        .shard = shard,
        .files = due,
    };
    shard->deletions_running++;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &deletion->job);
}
