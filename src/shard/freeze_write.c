/* The files of a freeze: parts, series segment, metadata. The decision: shard_freeze.c. */
#include <stdio.h>

#include "block/part_writer.h"

#include "freeze.h"
#include "merge_plan.h"

/* A file bears its name only when it is whole: another one of this name may be here already, and in
 * use (shard_install.h). */
static const char *unfinished_path(const char *path, char unfinished[SHARD_UNFINISHED_PATH_MAX])
{
    snprintf(unfinished, SHARD_UNFINISHED_PATH_MAX, "%s" SHARD_UNFINISHED, path);
    return unfinished;
}

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
    char path[SHARD_PATH_MAX], unfinished[SHARD_UNFINISHED_PATH_MAX];
    struct disk *disk = shard->options.environment->disk;
    bool any = false;
    shard_path(shard, path, "parts", part.index, number, "part");
    enum error_code code =
        part_writer_create(disk, unfinished_path(path, unfinished), &writer, error);
    if (code == ERROR_NONE)
        code = write_series(job, writer, &part, &any, error);
    if (code == ERROR_NONE && any)
        code = finish_part(writer, &part, error);
    part_writer_destroy(writer); /* removes the file unless it was finished */
    if (code != ERROR_NONE || !any)
        return code;
    code = disk_rename(disk, unfinished, path, error);
    if (code == ERROR_NONE)
        code = shard_open_part(shard, &part, &job->opened[job->part_count], error);
    if (code == ERROR_NONE)
        job->parts[job->part_count++] = part;
    return code;
}

static enum error_code write_segment(struct freeze_job *job, struct error *error)
{
    struct shard *shard = job->shard;
    struct disk *disk = shard->options.environment->disk;
    uint64_t series_count = 0;
    char path[SHARD_PATH_MAX], unfinished[SHARD_UNFINISHED_PATH_MAX];
    if (job->rewrite.index_count + job->rewrite.segment_count == 0)
        return ERROR_NONE;
    shard_path(shard, path, "series", job->frozen->index, 0, "segment");
    enum error_code code = segment_rewrite_run(
        &job->rewrite, disk, unfinished_path(path, unfinished), &series_count, error);
    if (code == ERROR_NONE && series_count > 0)
        code = disk_rename(disk, unfinished, path, error);
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
    char path[SHARD_PATH_MAX], unfinished[SHARD_UNFINISHED_PATH_MAX];
    if (bytes->size == 0)
        return ERROR_NONE;
    shard_path(shard, path, "metadata", job->frozen->index, 0, "metadata");
    enum error_code code =
        disk_open(disk, unfinished_path(path, unfinished), DISK_OPEN_REPLACE, &file, error);
    if (code == ERROR_NONE)
        code = disk_write_at(disk, file, 0, bytes->bytes, bytes->size, error);
    if (code == ERROR_NONE)
        code = disk_sync(disk, file, error);
    disk_close(disk, file);
    return code == ERROR_NONE ? disk_rename(disk, unfinished, path, error) : code;
}

static enum error_code sync_directories(struct shard *shard, struct error *error)
{
    /* Blocks too: a replay takes over what a merge of an earlier life left, names and all. */
    static const char *const KINDS[] = {"parts", "series", "metadata", "blocks"};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < sizeof KINDS / sizeof KINDS[0]; i++) {
        char path[SHARD_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", shard->options.directory, KINDS[i]);
        code = disk_sync_directory(shard->options.environment->disk, path, error);
    }
    return code;
}

void freeze_discard_parts(struct freeze_job *job)
{
    for (size_t i = 0; i < job->part_count; i++)
        part_unref(job->opened[i]);
    job->part_count = 0;
}

void freeze_discard_results(struct freeze_job *job)
{
    freeze_discard_parts(job);
    series_segment_unref(job->segment);
    job->segment = NULL;
}

void freeze_run(struct job *base)
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
        freeze_discard_results(job);
}
