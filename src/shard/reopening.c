/*
 * Damaged files that could not be opened are tried again, more and more seldom: what failed may
 * pass, and somebody may have put a sound copy in its place.
 */
#include <stdlib.h>

#include "base/log.h"

#include "damage.h"

enum { WAIT_MS_MIN = 5000, WAIT_MS_MAX = 5 * 60 * 1000 };

struct reopening {
    struct job job;
    struct shard *shard;
    struct shard_part *parts; /* [part_count]; what the job opened, else NULL in it */
    size_t part_count;
    struct shard_block *blocks; /* [block_count] */
    size_t block_count;
    uint64_t *names; /* [segment_count] */
    struct series_segment **segments;
    size_t segment_count;
};

/* --- On a worker ------------------------------------------------------------------------------ */

static void reopening_run(struct job *base)
{
    struct reopening *reopening = (struct reopening *)base;
    struct error ignored; /* told before */
    for (size_t i = 0; i < reopening->part_count; i++) {
        struct shard_part *part = &reopening->parts[i];
        if (shard_open_part(reopening->shard, &part->described, &part->part, &ignored) !=
            ERROR_NONE)
            part->part = NULL;
    }
    for (size_t i = 0; i < reopening->block_count; i++) {
        struct shard_block *block = &reopening->blocks[i];
        if (shard_open_block(reopening->shard, &block->described, &block->block, &ignored) !=
            ERROR_NONE)
            block->block = NULL;
    }
    for (size_t i = 0; i < reopening->segment_count; i++)
        if (shard_open_segment(reopening->shard, reopening->names[i], &reopening->segments[i],
                               &ignored) != ERROR_NONE)
            reopening->segments[i] = NULL;
}

/* --- On the loop ------------------------------------------------------------------------------ */

static void tell(const struct shard *shard, const char *kind, uint64_t index, unsigned number)
{
    log_event(LOG_INFO, "shard", "a damaged file can be opened again",
              "shard=%u kind=%s index=%llu number=%u", shard->options.shard_id, kind,
              (unsigned long long)index, number);
}

/* What came for these can't be opened either: it is fetched again. */
static void give_up_replaced(struct shard *shard, const struct reopening *reopening)
{
    for (size_t k = 0; k < reopening->part_count; k++)
        for (size_t i = 0; reopening->parts[k].part == NULL && i < shard->part_count; i++)
            if (is_same_part(&shard->parts[i], &reopening->parts[k]))
                shard->parts[i].is_replaced = false;
    for (size_t k = 0; k < reopening->block_count; k++)
        for (size_t i = 0; reopening->blocks[k].block == NULL && i < shard->block_count; i++)
            if (is_same_block(&shard->blocks[i], &reopening->blocks[k]))
                shard->blocks[i].is_replaced = false;
    for (size_t k = 0; k < reopening->segment_count; k++)
        for (size_t i = 0; reopening->segments[k] == NULL && i < shard->segment_count; i++)
            if (shard->segments[i].name == reopening->names[k])
                shard->segments[i].is_replaced = false;
}

/* The reference goes to the shard, when the part still is one of it. */
static void take_part(struct shard *shard, struct shard_part *opened)
{
    for (size_t i = 0; opened->part != NULL && i < shard->part_count; i++) {
        struct shard_part *part = &shard->parts[i];
        if ((!part->is_stand_in && !part->is_replaced) || !is_same_part(part, opened))
            continue;
        part_unref(part->part);
        part->part = opened->part;
        part->damaged = part->is_stand_in = part->is_replaced = false;
        opened->part = NULL;
        tell(shard, "part", part->described.index, part->described.number);
    }
    part_unref(opened->part);
}

static void take_block(struct shard *shard, struct shard_block *opened)
{
    for (size_t i = 0; opened->block != NULL && i < shard->block_count; i++) {
        struct shard_block *block = &shard->blocks[i];
        if ((!block->is_stand_in && !block->is_replaced) || !is_same_block(block, opened))
            continue;
        block_unref(block->block);
        block->block = opened->block;
        block->damaged = block->is_stand_in = block->is_replaced = false;
        block->is_absent = block->is_wanted = false;
        opened->block = NULL;
        tell(shard, "block", block->described.index, block->described.number);
    }
    block_unref(opened->block);
}

static void take_segment(struct shard *shard, uint64_t name, struct series_segment *opened)
{
    for (size_t i = 0; opened != NULL && i < shard->segment_count; i++) {
        struct shard_segment *segment = &shard->segments[i];
        if (segment->name != name || !segment->is_replaced)
            continue;
        segment->damaged = segment->is_replaced = false;
        registry_reopen_segment(&shard->registry, name, series_segment_ref(opened));
        tell(shard, "segment", name, 0);
    }
    series_segment_unref(opened);
}

static void reopening_destroy(struct reopening *reopening)
{
    free(reopening->names);
    free(reopening->segments);
    free(reopening->parts);
    free(reopening->blocks);
    free(reopening);
}

static void reopening_done(struct job *base)
{
    struct reopening *reopening = (struct reopening *)base;
    struct shard *shard = reopening->shard;
    give_up_replaced(shard, reopening);
    for (size_t i = 0; i < reopening->part_count; i++)
        take_part(shard, &reopening->parts[i]);
    for (size_t i = 0; i < reopening->block_count; i++)
        take_block(shard, &reopening->blocks[i]);
    for (size_t i = 0; i < reopening->segment_count; i++)
        take_segment(shard, reopening->names[i], reopening->segments[i]);
    reopening_destroy(reopening);
    shard->reopening = NULL;
    damage_count(shard);
    if (shard->closed == NULL) {
        shard_publish_soon(shard);
        shard_freeze_try_now(shard); /* it may have waited for the file */
    }
    if (shard->closed == NULL && shard->inputs_are_kept && shard->counters.damaged_files == 0) {
        shard->inputs_are_kept = false;
        shard_sweep_soon(shard);
    }
    shard_job_ended(shard);
}

static size_t count_stand_ins(const struct shard *shard)
{
    size_t count = 0;
    for (size_t i = 0; i < shard->part_count; i++)
        count += shard->parts[i].is_stand_in || shard->parts[i].is_replaced;
    for (size_t i = 0; i < shard->block_count; i++)
        count += shard->blocks[i].is_stand_in || shard->blocks[i].is_replaced;
    for (size_t i = 0; i < shard->segment_count; i++)
        count += shard->segments[i].is_replaced;
    return count;
}

static struct reopening *reopening_create(struct shard *shard)
{
    struct reopening *reopening = calloc(1, sizeof *reopening);
    if (reopening == NULL)
        return NULL;
    reopening->parts = calloc(shard->part_count + 1, sizeof *reopening->parts);
    reopening->blocks = calloc(shard->block_count + 1, sizeof *reopening->blocks);
    reopening->names = calloc(shard->segment_count + 1, sizeof *reopening->names);
    reopening->segments = calloc(shard->segment_count + 1, sizeof *reopening->segments);
    if (reopening->parts == NULL || reopening->blocks == NULL || reopening->names == NULL ||
        reopening->segments == NULL) {
        reopening_destroy(reopening);
        return NULL;
    }
    reopening->job =
        (struct job){.run = reopening_run, .done = reopening_done, .class = JOB_BACKGROUND};
    reopening->shard = shard;
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].is_stand_in || shard->parts[i].is_replaced)
            reopening->parts[reopening->part_count++].described = shard->parts[i].described;
    for (size_t i = 0; i < shard->block_count; i++)
        if (shard->blocks[i].is_stand_in || shard->blocks[i].is_replaced)
            reopening->blocks[reopening->block_count++].described = shard->blocks[i].described;
    for (size_t i = 0; i < shard->segment_count; i++)
        if (shard->segments[i].is_replaced)
            reopening->names[reopening->segment_count++] = shard->segments[i].name;
    return reopening;
}

void damage_reopen_soon(struct shard *shard)
{
    shard->reopen_wait_ms = WAIT_MS_MIN;
    shard->reopen_due_ms = 0;
    damage_reopen(shard);
}

void damage_reopen(struct shard *shard)
{
    if (shard->reopening != NULL)
        return;
    if (atomic_load(&shard->counters.damaged_files) == 0 || count_stand_ins(shard) == 0) {
        shard->reopen_wait_ms = 0;
        return;
    }
    uint64_t now_ms = clock_monotonic_ms(shard->options.environment->clock);
    if (shard->reopen_wait_ms == 0) {
        shard->reopen_wait_ms = WAIT_MS_MIN;
        shard->reopen_due_ms = now_ms + WAIT_MS_MIN;
    }
    if (now_ms < shard->reopen_due_ms || (shard->reopening = reopening_create(shard)) == NULL)
        return;
    shard->reopen_wait_ms *= 2;
    if (shard->reopen_wait_ms > WAIT_MS_MAX)
        shard->reopen_wait_ms = WAIT_MS_MAX;
    shard->reopen_due_ms = now_ms + (uint64_t)shard->reopen_wait_ms;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &shard->reopening->job);
}
