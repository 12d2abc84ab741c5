/*
 * Freeze: the head becomes immutable at one log index; a job writes it as parts and a series
 * segment; when they are durable, queries read them instead, and the log before can go.
 *
 *   growing --FREEZE applied--> frozen --job--> parts durable --> view, manifest, snapshot
 *
 * Jobs run one at a time, in order of the freezes. A failed job (full disk) is tried again.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"

#include "damage.h"
#include "forget.h"
#include "freeze.h"

/* A failed job is tried again after so long, then after twice as long, and so on. */
enum { RETRY_MS_MIN = 2000, RETRY_MS_MAX = 60 * 1000 };

/* --- Applying ------------------------------------------------------------------------------- */

/* The metadata file of this freeze, when anything changed. */
static enum error_code encode_metadata(struct shard *shard, struct shard_frozen *frozen,
                                       struct error *error)
{
    if (!shard->metadata_changed)
        return ERROR_NONE;
    byte_buffer_u32(&frozen->metadata, 0); /* the checksum */
    metadata_store_encode(shard->metadata, &frozen->metadata);
    if (frozen->metadata.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "metadata file");
    store_u32(frozen->metadata.bytes,
              crc32c(0, frozen->metadata.bytes + 4, frozen->metadata.size - 4));
    return ERROR_NONE;
}

/* Take the new segment into the list, in the place of those that are rewritten with it. */
static enum error_code change_segments(struct shard *shard, struct shard_frozen *frozen,
                                       struct error *error)
{
    uint64_t new_count = memory_index_count(shard->registry.growing);
    size_t from = segment_rewrite_from(shard->segments, shard->segment_count, new_count);
    struct shard_segment added = {
        .name = frozen->index,
        .first_id = memory_index_first_id(shard->registry.growing),
        .series_count =
            new_count + segment_rewrite_live_count(shard->segments, from, shard->segment_count),
    };
    if (from < shard->segment_count)
        added.first_id = shard->segments[from].first_id;
    struct shard_segment *segments =
        realloc(shard->segments, (shard->segment_count + 1) * sizeof *segments);
    if (segments == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "list of segments");
    shard->segments = segments;
    struct id_set *left = NULL;
    enum error_code code = id_set_below(shard->forgotten, added.first_id, &left, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = from; i < shard->segment_count; i++) {
        char path[SHARD_PATH_MAX];
        shard_doom_file(shard, frozen->index,
                        shard_path(shard, path, "series", segments[i].name, 0, "segment"));
    }
    frozen->rewritten_count = shard->segment_count - from;
    frozen->forgotten = shard->forgotten;
    shard->forgotten = left;
    shard->segment_count = from;
    if (added.series_count > 0)
        segments[shard->segment_count++] = added;
    return ERROR_NONE;
}

static enum error_code freeze_into(struct shard *shard, struct shard_frozen *frozen,
                                   struct error *error)
{
    struct head *next = NULL;
    enum error_code code = encode_metadata(shard, frozen, error);
    if (code == ERROR_NONE && frozen->metadata.size > 0) {
        if (shard->metadata_index != 0) {
            char path[SHARD_PATH_MAX];
            shard_doom_file(
                shard, frozen->index,
                shard_path(shard, path, "metadata", shard->metadata_index, 0, "metadata"));
        }
        shard->metadata_index = frozen->index;
    }
    if (code == ERROR_NONE)
        code = change_segments(shard, frozen, error);
    if (code == ERROR_NONE)
        code = shard_describe(shard, frozen->index, &frozen->manifest, error);
    if (code == ERROR_NONE)
        code = shard_create_head(shard, &next, error);
    if (code == ERROR_NONE)
        code = registry_freeze(&shard->registry, error);
    if (code != ERROR_NONE) {
        head_unref(next);
        return code;
    }
    frozen->head = shard->head;
    shard->head = next;
    shard->head_exemplars = 0;
    return ERROR_NONE;
}

enum error_code shard_apply_freeze(struct shard *shard, uint64_t index, struct error *error)
{
    shard->freeze_proposed = false;
    if (shard->frozen_count == FROZEN_HEADS_MAX)
        return error_set(error, ERROR_UNAVAILABLE, "%d frozen heads wait to be written",
                         FROZEN_HEADS_MAX);
    struct shard_frozen *frozen = &shard->frozen[shard->frozen_count];
    *frozen = (struct shard_frozen){.index = index, .stamp_ms = shard->stamp_ms};
    enum error_code code = freeze_into(shard, frozen, error);
    if (code != ERROR_NONE) {
        manifest_clear(&frozen->manifest);
        byte_buffer_clear(&frozen->metadata);
        id_set_unref(frozen->forgotten);
        return code;
    }
    shard_forget_turn(shard, frozen->head);
    shard->frozen_count++;
    shard->metadata_changed = false;
    shard->unfrozen_bytes = 0;
    shard->unfrozen_since_ms = INT64_MIN;
    shard->counters.freezes++;
    code = shard_publish(shard, error);
    if (code == ERROR_NONE)
        shard_start_freeze_job(shard);
    return code;
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
    freeze_discard_parts(job);
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
    freeze_discard_results(job);
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
        freeze_discard_results(job);
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

void shard_start_freeze_job(struct shard *shard)
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
