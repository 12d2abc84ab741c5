/* Files that no manifest names: of jobs that a crash cut short, or of a state that was replaced. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#include "file_arrival.h"

static const char *const KINDS[] = {"parts", "series", "blocks", "metadata"};

enum sweep_reach {
    SWEEP_NAMED_FILES, /* jobs run, and write unfinished ones */
    SWEEP_UNFINISHED_TOO,
};

struct stray_file {
    struct stray_file *next;
    char path[SHARD_PATH_MAX];
};

/* What the sweep of one folder needs. */
struct sweep {
    struct disk *disk;
    const char *directory;
    const struct manifest *manifest;
    enum sweep_reach reach;
    const char *kind;
    struct stray_file *found;
};

/* Names of files that are not whole yet end so. */
static bool is_unfinished(const char *name)
{
    size_t size = strlen(name), ending = strlen(SHARD_UNFINISHED);
    return size > ending && strcmp(name + size - ending, SHARD_UNFINISHED) == 0;
}

static bool is_named(const struct manifest *manifest, const char *kind, uint64_t index,
                     unsigned number)
{
    /* Blocks that a merge under way made in an earlier life. */
    if (strcmp(kind, "blocks") == 0 && manifest->merge_index == index)
        return true;
    if (strcmp(kind, "metadata") == 0)
        return manifest->metadata_index == index;
    for (size_t i = 0; strcmp(kind, "series") == 0 && i < manifest->segment_count; i++)
        if (manifest->segments[i] == index)
            return true;
    for (size_t i = 0; strcmp(kind, "parts") == 0 && i < manifest->part_count; i++)
        if (manifest->parts[i].index == index && manifest->parts[i].number == number)
            return true;
    for (size_t i = 0; strcmp(kind, "blocks") == 0 && i < manifest->block_count; i++)
        if (manifest->blocks[i].index == index && manifest->blocks[i].number == number)
            return true;
    return false;
}

static bool is_stray(const struct sweep *sweep, const char *name)
{
    unsigned long long index;
    unsigned number;
    if (sscanf(name, "%16llx-%u.", &index, &number) != 2)
        return false;
    if (is_unfinished(name))
        return sweep->reach == SWEEP_UNFINISHED_TOO;
    return index <= sweep->manifest->frozen_index &&
           !is_named(sweep->manifest, sweep->kind, index, number);
}

static bool sweep_visit(void *context, const char *name, bool is_directory)
{
    struct sweep *sweep = context;
    if (is_directory || !is_stray(sweep, name))
        return true;
    struct stray_file *file = malloc(sizeof *file);
    if (file == NULL)
        return false;
    file->next = sweep->found;
    snprintf(file->path, sizeof file->path, "%s/%s/%s", sweep->directory, sweep->kind, name);
    sweep->found = file;
    return true;
}

static void sweep_folder(struct sweep *sweep)
{
    char path[SHARD_PATH_MAX];
    struct error error;
    snprintf(path, sizeof path, "%s/%s", sweep->directory, sweep->kind);
    if (disk_list(sweep->disk, path, sweep_visit, sweep, &error) != ERROR_NONE)
        log_event(LOG_WARNING, "shard", "a folder could not be swept", "path=%s error=\"%s\"", path,
                  error.message);
    while (sweep->found != NULL) {
        struct stray_file *file = sweep->found;
        enum error_code code = disk_remove(sweep->disk, file->path, &error);
        if (code != ERROR_NONE && code != ERROR_NOT_FOUND)
            log_event(LOG_WARNING, "shard", "a stray file could not be deleted",
                      "path=%s error=\"%s\"", file->path, error.message);
        sweep->found = file->next;
        free(file);
    }
}

static void sweep_all(struct sweep *sweep)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        sweep->kind = KINDS[i];
        sweep_folder(sweep);
    }
}

void shard_sweep_files(struct shard *shard)
{
    /* What nobody names may be what a damaged file was made of. */
    if (shard->counters.damaged_files > 0)
        return;
    struct sweep sweep = {
        .disk = shard->options.environment->disk,
        .directory = shard->options.directory,
        .manifest = &shard->durable,
        .reach = SWEEP_UNFINISHED_TOO,
    };
    sweep_all(&sweep);
}

/* --- Off the loop ----------------------------------------------------------------------------- */

struct sweep_job {
    struct job job;
    struct shard *shard;
    struct manifest manifest;
};

/* What an install left of files that it did not need in the end. */
static bool remove_incoming(void *context, const char *name, bool is_directory)
{
    struct sweep *sweep = context;
    struct stray_file *file = is_directory ? NULL : malloc(sizeof *file);
    if (file == NULL)
        return true;
    file->next = sweep->found;
    snprintf(file->path, sizeof file->path, "%s/%s", sweep->kind, name);
    sweep->found = file;
    return true;
}

static void sweep_incoming(struct sweep *sweep, const char *path)
{
    struct error ignored; /* the next install comes by here again */
    sweep->kind = path;
    (void)disk_list(sweep->disk, path, remove_incoming, sweep, &ignored);
    while (sweep->found != NULL) {
        struct stray_file *file = sweep->found;
        (void)disk_remove(sweep->disk, file->path, &ignored);
        sweep->found = file->next;
        free(file);
    }
}

static void sweep_run(struct job *base)
{
    struct sweep_job *job = (struct sweep_job *)base;
    char path[SHARD_PATH_MAX];
    struct sweep sweep = {
        .disk = job->shard->options.environment->disk,
        .directory = job->shard->options.directory,
        .manifest = &job->manifest,
        .reach = SWEEP_NAMED_FILES,
    };
    sweep_all(&sweep);
    sweep_incoming(&sweep, file_arrival_directory(job->shard, path));
}

static void sweep_done(struct job *base)
{
    struct sweep_job *job = (struct sweep_job *)base;
    struct shard *shard = job->shard;
    manifest_clear(&job->manifest);
    free(job);
    shard->sweeping = false;
    shard_install_resume(shard);
    shard_job_ended(shard);
}

void shard_sweep_soon(struct shard *shard)
{
    struct byte_buffer bytes = {0};
    struct error ignored; /* the next start sweeps */
    struct sweep_job *job = calloc(1, sizeof *job);
    /* A copy may be made of files that the state before named, and a restart may need what an
     * older snapshot names. */
    bool sweeps = job != NULL && shard->copies_running == 0 && !shard->sweeping &&
                  shard->repair == NULL && shard->counters.damaged_files == 0 &&
                  shard->stored_index >= shard->durable.frozen_index;
    if (sweeps)
        manifest_encode(&shard->durable, &bytes);
    if (!sweeps || bytes.failed ||
        manifest_decode(bytes.bytes, bytes.size, &job->manifest, &ignored) != ERROR_NONE) {
        byte_buffer_clear(&bytes);
        free(job);
        return;
    }
    byte_buffer_clear(&bytes);
    job->job = (struct job){.run = sweep_run, .done = sweep_done, .class = JOB_BACKGROUND};
    job->shard = shard;
    shard->sweeping = true;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &job->job);
}
