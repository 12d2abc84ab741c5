/*
 * What is frozen, written as parts and a series segment by a worker.
 *
 * Jobs run one at a time, in order of the freezes. A failed job (full disk) is tried again.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"
#include "block/part_writer.h"

#include "damage.h"
#include "forget.h"
#include "part_split.h"

/* A failed job is tried again after so long, then after twice as long, and so on. */
enum { RETRY_MS_MIN = 2000, RETRY_MS_MAX = 60 * 1000 };

struct freeze_job {
    struct job job;
    struct timer retry;
    int64_t retry_ms;
    struct shard *shard;
    struct shard_frozen *frozen; /* shard->frozen[0], which stays there until the job is done */
    struct segment_rewrite rewrite;
    struct registry_brief brief;

    /* Results. */
    struct error error;
    struct manifest_part parts[PARTS_PER_FREEZE];
    struct part *opened[PARTS_PER_FREEZE];
    size_t part_count;
    struct series_segment *segment; /* NULL: none was due, or nothing was left for it */
};

/* --- The job, on a worker ------------------------------------------------------------------- */

/* One series in one part. */
struct part_content {
    struct sample_columns columns;
    const struct exemplar *exemplars; /* [exemplar_count], by timestamp */
    size_t exemplar_count;
};

static enum error_code add_series(struct freeze_job *job, struct part_writer *writer, uint64_t id,
                                  const struct part_content *content, struct error *error)
{
    struct series_brief brief;
    if (!registry_brief_get(&job->brief, id, &brief))
        return error_set(error, ERROR_CORRUPT, "series %llu of the head is not registered",
                         (unsigned long long)id);
    struct part_series series = {
        .id = id,
        .target = brief.target,
        .tenant = text_of(job->brief.tenants[brief.tenant]),
        .slot = brief.slot,
    };
    return part_writer_add(writer, &series, &content->columns, content->exemplars,
                           content->exemplar_count, error);
}

/* The times of a part are those of its samples and its exemplars. */
static void widen(struct manifest_part *part, const struct part_content *content)
{
    for (size_t i = 0; i < content->exemplar_count; i++) {
        int64_t time_ms = content->exemplars[i].timestamp_ms;
        if (time_ms < part->summary.min_time_ms)
            part->summary.min_time_ms = time_ms;
        if (time_ms > part->summary.max_time_ms)
            part->summary.max_time_ms = time_ms;
    }
}

static enum error_code write_series(struct freeze_job *job, struct part_writer *writer,
                                    struct manifest_part *part, bool *any_out, struct error *error)
{
    struct part_split split = {.number = (enum part_number)part->number,
                               .late_before_ms = merge_late_before(job->frozen->stamp_ms)};
    struct head_iterator *iterator = NULL;
    struct head_series_content all;
    struct part_content content;
    bool more = true;
    *any_out = false;
    enum error_code code = head_iterator_create(job->frozen->head, &iterator, error);
    while (code == ERROR_NONE) {
        code = head_iterator_next(iterator, &all, &more, error);
        if (code != ERROR_NONE || !more)
            break;
        code = part_split_take(&split, &all, &content.columns, &content.exemplars,
                               &content.exemplar_count, error);
        if (code != ERROR_NONE || content.columns.count + content.exemplar_count == 0)
            continue;
        *any_out = true;
        widen(part, &content);
        code = add_series(job, writer, all.series_id, &content, error);
    }
    head_iterator_destroy(iterator);
    part_split_clear(&split);
    return code;
}

static enum error_code finish_part(struct part_writer *writer, struct manifest_part *part,
                                   struct error *error)
{
    int64_t min_time_ms = part->summary.min_time_ms, max_time_ms = part->summary.max_time_ms;
    enum error_code code = part_writer_finish(writer, &part->summary, error);
    if (min_time_ms < part->summary.min_time_ms)
        part->summary.min_time_ms = min_time_ms;
    if (max_time_ms > part->summary.max_time_ms)
        part->summary.max_time_ms = max_time_ms;
    return code;
}

static enum error_code write_part(struct freeze_job *job, enum part_number number,
                                  struct error *error)
{
    struct shard *shard = job->shard;
    struct part_writer *writer = NULL;
    struct manifest_part part = {
        .index = job->frozen->index,
        .number = number,
        .merged_until_ms = INT64_MIN,
        .stamp_ms = job->frozen->stamp_ms,
        .summary = {.min_time_ms = INT64_MAX, .max_time_ms = INT64_MIN},
    };
    char path[SHARD_PATH_MAX];
    bool any = false;
    shard_path(shard, path, "parts", part.index, number, "part");
    enum error_code code =
        part_writer_create(shard->options.environment->disk, path, &writer, error);
    if (code == ERROR_NONE)
        code = write_series(job, writer, &part, &any, error);
    if (code == ERROR_NONE && any)
        code = finish_part(writer, &part, error);
    part_writer_destroy(writer); /* removes the file unless it was finished */
    if (code != ERROR_NONE || !any)
        return code;
    code = shard_open_part(shard, &part, &job->opened[job->part_count], error);
    if (code == ERROR_NONE)
        job->parts[job->part_count++] = part;
    return code;
}

static enum error_code write_segment(struct freeze_job *job, struct error *error)
{
    struct shard *shard = job->shard;
    uint64_t series_count = 0;
    char path[SHARD_PATH_MAX];
    if (job->rewrite.index_count + job->rewrite.segment_count == 0)
        return ERROR_NONE;
    shard_path(shard, path, "series", job->frozen->index, 0, "segment");
    enum error_code code = segment_rewrite_run(&job->rewrite, shard->options.environment->disk,
                                               path, &series_count, error);
    if (code == ERROR_NONE && series_count > 0)
        code = shard_open_segment(shard, job->frozen->index, &job->segment, error);
    return code;
}

static enum error_code write_metadata(struct freeze_job *job, struct error *error)
{
    struct shard *shard = job->shard;
    struct disk *disk = shard->options.environment->disk;
    const struct byte_buffer *bytes = &job->frozen->metadata;
    struct file *file = NULL;
    char path[SHARD_PATH_MAX];
    if (bytes->size == 0)
        return ERROR_NONE;
    shard_path(shard, path, "metadata", job->frozen->index, 0, "metadata");
    enum error_code code = disk_open(disk, path, DISK_OPEN_REPLACE, &file, error);
    if (code == ERROR_NONE)
        code = disk_write_at(disk, file, 0, bytes->bytes, bytes->size, error);
    if (code == ERROR_NONE)
        code = disk_sync(disk, file, error);
    disk_close(disk, file);
    return code;
}

static enum error_code sync_directories(struct shard *shard, struct error *error)
{
    static const char *const KINDS[] = {"parts", "series", "metadata"};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < sizeof KINDS / sizeof KINDS[0]; i++) {
        char path[SHARD_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", shard->options.directory, KINDS[i]);
        code = disk_sync_directory(shard->options.environment->disk, path, error);
    }
    return code;
}

static void discard_parts(struct freeze_job *job)
{
    for (size_t i = 0; i < job->part_count; i++)
        part_unref(job->opened[i]);
    job->part_count = 0;
}

static void discard_results(struct freeze_job *job)
{
    discard_parts(job);
    series_segment_unref(job->segment);
    job->segment = NULL;
}

static void freeze_run(struct job *base)
{
    struct freeze_job *job = (struct freeze_job *)base;
    error_clear(&job->error);
    enum error_code code = write_segment(job, &job->error);
    if (code == ERROR_NONE)
        code = write_part(job, PART_CURRENT, &job->error);
    if (code == ERROR_NONE)
        code = write_part(job, PART_LATE, &job->error);
    if (code == ERROR_NONE)
        code = write_metadata(job, &job->error);
    if (code == ERROR_NONE)
        code = sync_directories(job->shard, &job->error);
    if (code != ERROR_NONE)
        discard_results(job);
}

/* --- Its result, on the loop ---------------------------------------------------------------- */

/* What lies before the cutoff of the retention as a whole is not there, whenever it was written. */
static bool is_retained(const struct manifest_part *part, int64_t cutoff_ms)
{
    return part->summary.max_time_ms >= cutoff_ms;
}

/* This freeze and the ones behind it now have these files. */
static enum error_code describe_results(struct freeze_job *job, struct error *error)
{
    struct shard *shard = job->shard;
    enum error_code code = ERROR_NONE;
    for (size_t k = 0; code == ERROR_NONE && k < shard->frozen_count; k++) {
        struct manifest *manifest = &shard->frozen[k].manifest;
        for (size_t i = 0; code == ERROR_NONE && i < job->part_count; i++)
            if (is_retained(&job->parts[i], manifest->retention_cutoff_ms))
                code = manifest_add_part(manifest, &job->parts[i], error);
    }
    return code;
}

/* Undo describe_results: what this freeze added stands at the ends. */
static void forget_results(struct freeze_job *job)
{
    struct shard *shard = job->shard;
    uint64_t index = job->frozen->index;
    for (size_t k = 0; k < shard->frozen_count; k++) {
        struct manifest *manifest = &shard->frozen[k].manifest;
        while (manifest->part_count > 0 && manifest->parts[manifest->part_count - 1].index == index)
            manifest->part_count--;
    }
}

/* The shard holds a reference of its own to what it keeps. */
static enum error_code add_result(struct shard *shard, const struct manifest_part *described,
                                  struct part *part, struct error *error)
{
    if (!is_retained(described, shard->retention_cutoff_ms)) {
        char path[SHARD_PATH_MAX];
        shard_doom_file(
            shard, shard->applied_index,
            shard_path(shard, path, "parts", described->index, described->number, "part"));
        return ERROR_NONE;
    }
    enum error_code code =
        shard_add_part(shard, &(struct shard_part){.described = *described, .part = part}, error);
    if (code == ERROR_NONE)
        part_ref(part);
    return code;
}

static enum error_code install_results(struct freeze_job *job, struct error *error)
{
    struct shard *shard = job->shard;
    size_t part_count = shard->part_count;
    enum error_code code = describe_results(job, error);
    for (size_t i = 0; code == ERROR_NONE && i < job->part_count; i++)
        code = add_result(shard, &job->parts[i], job->opened[i], error);
    if (code == ERROR_NONE)
        code = registry_thaw(&shard->registry, job->frozen->rewritten_count, job->frozen->index,
                             job->segment, error);
    if (code != ERROR_NONE) {
        while (shard->part_count > part_count)
            part_unref(shard->parts[--shard->part_count].part);
        forget_results(job);
        return code;
    }
    discard_parts(job);
    job->segment = NULL; /* the registry's now */
    shard->counters.segments_rewritten += job->frozen->rewritten_count;
    struct shard_frozen frozen = shard->frozen[0];
    shard->frozen_count--;
    memmove(shard->frozen, shard->frozen + 1, shard->frozen_count * sizeof shard->frozen[0]);
    manifest_clear(&shard->durable);
    shard->durable = frozen.manifest;
    byte_buffer_clear(&frozen.metadata);
    id_set_unref(frozen.forgotten);
    if (shard->frozen_count == 0) {
        /* What is written here is what the log knows: the dead that were left out are no more. */
        id_set_unref(shard->hidden);
        shard->hidden = id_set_ref(shard->forgotten);
    }
    shard_publish_soon(shard);
    head_unref(frozen.head);
    return ERROR_NONE;
}

static void job_destroy(struct freeze_job *job)
{
    discard_results(job);
    registry_brief_clear(&job->brief);
    segment_rewrite_clear(&job->rewrite);
    free(job);
}

static void freeze_retry(struct timer *timer)
{
    struct freeze_job *job =
        (struct freeze_job *)((char *)timer - offsetof(struct freeze_job, retry));
    struct shard *shard = job->shard;
    if (shard->closed != NULL) {
        shard->freeze_job = NULL;
        job_destroy(job);
        shard_job_ended(shard);
        return;
    }
    scheduler_submit(shard->options.environment->scheduler, &job->job);
}

bool shard_freeze_is_stuck(const struct shard *shard)
{
    return shard->freeze_job != NULL && shard->freeze_job->retry.heap_index != TIMER_IDLE;
}

void shard_freeze_abandon(struct shard *shard)
{
    if (!shard_freeze_is_stuck(shard))
        return;
    struct timer *retry = &shard->freeze_job->retry;
    scheduler_timer_stop(shard->options.environment->scheduler, retry);
    freeze_retry(retry);
}

/* What was frozen stays readable in memory and in the log. What is wrong may pass, as a full disk
 * does. */
static void try_again_later(struct freeze_job *job, const struct error *error)
{
    struct shard *shard = job->shard;
    shard->counters.job_failures++;
    log_event(LOG_ERROR, "shard", "a freeze could not be written, it is tried again",
              "shard=%u index=%llu retry_ms=%lld error=\"%s\"%s", shard->options.shard_id,
              (unsigned long long)job->frozen->index, (long long)job->retry_ms, error->message,
              damage_is_of_file(error->code)
                  ? " next=\"put a sound copy of that file in its place; without one, writes are "
                    "refused when two freezes wait\""
                  : "");
    scheduler_timer_start(shard->options.environment->scheduler, &job->retry, job->retry_ms);
    job->retry_ms = job->retry_ms * 2 < RETRY_MS_MAX ? job->retry_ms * 2 : RETRY_MS_MAX;
}

static void freeze_done(struct job *base)
{
    struct freeze_job *job = (struct freeze_job *)base;
    struct shard *shard = job->shard;
    struct error error = job->error;
    if (error.code == ERROR_NONE && shard->closed == NULL)
        (void)install_results(job, &error); /* its code is in the error */
    if (error.code != ERROR_NONE && shard->closed == NULL) {
        discard_results(job);
        try_again_later(job, &error);
        return;
    }
    uint64_t index = shard->durable.frozen_index;
    bool installed = shard->closed == NULL;
    shard->freeze_job = NULL;
    job_destroy(job);
    if (installed) {
        shard->options.proposer.durable(shard->options.proposer.context, index);
        shard_start_freeze_job(shard);
        shard_flush_advance(shard);
        shard_maintain(shard);
    }
    shard_job_ended(shard);
}

/* The inputs of the segment of the oldest freeze: all before it are written. */
static enum error_code take_rewrite(struct shard *shard, struct segment_rewrite *rewrite,
                                    struct error *error)
{
    const struct shard_frozen *frozen = &shard->frozen[0];
    const struct registry *registry = &shard->registry;
    size_t count = frozen->rewritten_count;
    assert(count <= registry->segment_count);
    rewrite->segments = calloc(count + 1, sizeof *rewrite->segments);
    if (rewrite->segments == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "segments of a freeze");
    for (; rewrite->segment_count < count; rewrite->segment_count++)
        rewrite->segments[rewrite->segment_count] = series_segment_ref(
            registry->segments[registry->segment_count - count + rewrite->segment_count]);
    rewrite->forgotten = id_set_ref(frozen->forgotten);
    rewrite->index = memory_index_ref(registry->frozen[0]);
    rewrite->index_count = memory_index_count(rewrite->index);
    return ERROR_NONE;
}

void shard_start_freeze_job_at_once(struct shard *shard)
{
    if (shard->freeze_job != NULL || shard->frozen_count == 0 || shard->closed != NULL)
        return;
    struct error error;
    struct freeze_job *job = calloc(1, sizeof *job);
    if (job == NULL || take_rewrite(shard, &job->rewrite, &error) != ERROR_NONE ||
        registry_brief_create(&shard->registry, &job->brief, &error) != ERROR_NONE) {
        if (job != NULL)
            segment_rewrite_clear(&job->rewrite);
        free(job);
        log_event(LOG_ERROR, "shard", "no memory to write a freeze", "shard=%u",
                  shard->options.shard_id);
        return; /* shard_maintain tries again */
    }
    job->job = (struct job){.run = freeze_run, .done = freeze_done, .class = JOB_STORAGE};
    job->retry = (struct timer){.fire = freeze_retry, .heap_index = TIMER_IDLE};
    job->retry_ms = RETRY_MS_MIN;
    job->shard = shard;
    job->frozen = &shard->frozen[0];
    shard->freeze_job = job;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &job->job);
}
