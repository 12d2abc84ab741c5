/*
 * The job that writes what is frozen, as the loop sees it: when it begins, what becomes of its
 * result.
 *
 * Jobs run one at a time, in order of the freezes. A failed job (full disk) is tried again.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

#include "damage.h"
#include "forget.h"
#include "freeze.h"

/* A failed job is tried again after so long, then after twice as long, and so on. */
enum { RETRY_MS_MIN = 2000, RETRY_MS_MAX = 60 * 1000 };

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
        struct manifest *manifest = &shard->frozen[k]->manifest;
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
        struct manifest *manifest = &shard->frozen[k]->manifest;
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
    struct shard_frozen *frozen = shard->frozen[0];
    shard->frozen_count--;
    memmove(shard->frozen, shard->frozen + 1, shard->frozen_count * sizeof shard->frozen[0]);
    manifest_clear(&shard->durable);
    shard->durable = frozen->manifest;
    frozen->manifest = (struct manifest){0};
    shard_note_children(shard);
    if (shard->frozen_count == 0) {
        /* What is written here is what the log knows: the dead that were left out are no more. */
        id_set_unref(shard->hidden);
        shard->hidden = id_set_ref(shard->forgotten);
    }
    shard_publish_soon(shard);
    shard_frozen_destroy(frozen);
    return ERROR_NONE;
}

static void job_destroy(struct freeze_job *job)
{
    if (job->retired != NULL)
        shard_state_destroy(job->retired);
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
    if (shard->closed != NULL || job->retired != NULL) {
        if (shard->freeze_job == job)
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

void shard_freeze_try_now(struct shard *shard)
{
    if (!shard_freeze_is_stuck(shard))
        return;
    struct timer *retry = &shard->freeze_job->retry;
    scheduler_timer_stop(shard->options.environment->scheduler, retry);
    freeze_retry(retry);
}

void shard_freeze_retire(struct shard *shard, struct shard *retired)
{
    struct freeze_job *job = shard->freeze_job;
    if (job == NULL) {
        shard_state_destroy(retired);
        return;
    }
    job->retired = retired; /* what the job reads is in there */
    shard_freeze_try_now(shard);
    shard->freeze_job = NULL;
}

/* What was frozen stays readable in memory and in the log. What is wrong may pass, as a full disk
 * does. */
static void try_again_later(struct freeze_job *job, const struct error *error)
{
    struct shard *shard = job->shard;
    shard->counters.job_failures++;
    job->file_failures = damage_is_of_file(error->code) ? job->file_failures + 1 : 0;
    log_event(LOG_ERROR, "shard", "a freeze could not be written, it is tried again",
              "shard=%u index=%llu retry_ms=%lld error=\"%s\"%s", shard->options.shard_id,
              (unsigned long long)job->frozen->index, (long long)job->retry_ms, error->message,
              damage_is_of_file(error->code)
                  ? " next=\"with other replicas, it takes over their state; without, put a sound "
                    "copy of that file in its place, or writes are refused when two freezes wait\""
                  : "");
    shard_suspect_files(shard, error);
    scheduler_timer_start(shard->options.environment->scheduler, &job->retry, job->retry_ms);
    job->retry_ms = job->retry_ms * 2 < RETRY_MS_MAX ? job->retry_ms * 2 : RETRY_MS_MAX;
}

static void freeze_done(struct job *base)
{
    struct freeze_job *job = (struct freeze_job *)base;
    struct shard *shard = job->shard;
    struct error error = job->error;
    if (job->retired != NULL) {
        job_destroy(job);
        shard_job_ended(shard);
        return;
    }
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
    const struct shard_frozen *frozen = shard->frozen[0];
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
    struct shard_child child;
    if (shard_unfounded_child(shard, &child))
        return; /* what it is made of must stay the durable state until then */
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
    job->frozen = shard->frozen[0];
    shard->freeze_job = job;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &job->job);
}
