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
}

/* --- On the loop ------------------------------------------------------------------------------ */

static void tell(const struct shard *shard, const char *kind, uint64_t index, unsigned number)
{
    log_event(LOG_INFO, "shard", "a damaged file can be opened again",
              "shard=%u kind=%s index=%llu number=%u", shard->options.shard_id, kind,
              (unsigned long long)index, number);
}

/* The reference goes to the shard, when the part still is one of it. */
static void take_part(struct shard *shard, struct shard_part *opened)
{
    for (size_t i = 0; opened->part != NULL && i < shard->part_count; i++) {
        struct shard_part *part = &shard->parts[i];
        if (!part->is_stand_in || !is_same_part(part, opened))
            continue;
        part_unref(part->part);
        part->part = opened->part;
        part->damaged = part->is_stand_in = false;
        opened->part = NULL;
        tell(shard, "part", part->described.index, part->described.number);
    }
    part_unref(opened->part);
}

static void take_block(struct shard *shard, struct shard_block *opened)
{
    for (size_t i = 0; opened->block != NULL && i < shard->block_count; i++) {
        struct shard_block *block = &shard->blocks[i];
        if (!block->is_stand_in || !is_same_block(block, opened))
            continue;
        block_unref(block->block);
        block->block = opened->block;
        block->damaged = block->is_stand_in = false;
        opened->block = NULL;
        tell(shard, "block", block->described.index, block->described.number);
    }
    block_unref(opened->block);
}

static void reopening_destroy(struct reopening *reopening)
{
    free(reopening->parts);
    free(reopening->blocks);
    free(reopening);
}

static void reopening_done(struct job *base)
{
    struct reopening *reopening = (struct reopening *)base;
    struct shard *shard = reopening->shard;
    for (size_t i = 0; i < reopening->part_count; i++)
        take_part(shard, &reopening->parts[i]);
    for (size_t i = 0; i < reopening->block_count; i++)
        take_block(shard, &reopening->blocks[i]);
    reopening_destroy(reopening);
    shard->reopening = NULL;
    damage_count(shard);
    if (shard->closed == NULL)
        shard_publish_soon(shard);
    shard_job_ended(shard);
}

static size_t count_stand_ins(const struct shard *shard)
{
    size_t count = 0;
    for (size_t i = 0; i < shard->part_count; i++)
        count += shard->parts[i].is_stand_in;
    for (size_t i = 0; i < shard->block_count; i++)
        count += shard->blocks[i].is_stand_in;
    return count;
}

static struct reopening *reopening_create(struct shard *shard)
{
    struct reopening *reopening = calloc(1, sizeof *reopening);
    if (reopening == NULL)
        return NULL;
    reopening->parts = calloc(shard->part_count + 1, sizeof *reopening->parts);
    reopening->blocks = calloc(shard->block_count + 1, sizeof *reopening->blocks);
    if (reopening->parts == NULL || reopening->blocks == NULL) {
        reopening_destroy(reopening);
        return NULL;
    }
    reopening->job =
        (struct job){.run = reopening_run, .done = reopening_done, .class = JOB_BACKGROUND};
    reopening->shard = shard;
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].is_stand_in)
            reopening->parts[reopening->part_count++].described = shard->parts[i].described;
    for (size_t i = 0; i < shard->block_count; i++)
        if (shard->blocks[i].is_stand_in)
            reopening->blocks[reopening->block_count++].described = shard->blocks[i].described;
    return reopening;
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
