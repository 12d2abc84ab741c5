/*
 * Damaged files are fetched from other replicas, which have the same content: one after the other,
 * a failure more and more seldom. What came is verified, takes the name, and is opened in the place
 * of what could not be read.
 */
#include <stdlib.h>

#include "base/log.h"

#include "damage.h"
#include "file_arrival.h"

enum { WAIT_MS_MIN = 2000, WAIT_MS_MAX = 5 * 60 * 1000 };

struct repair {
    struct file_arrival arrival; /* first */
};

/* --- What is damaged -------------------------------------------------------------------------- */

static struct shard_file file_of_part(const struct manifest_part *part)
{
    return (struct shard_file){
        .kind = SHARD_FILE_PART,
        .index = part->index,
        .number = part->number,
        .is_agreed = true,
        .content_checksum = part->summary.content_checksum,
    };
}

static struct shard_file file_of_block(const struct manifest_block *block)
{
    return (struct shard_file){
        .kind = SHARD_FILE_BLOCK,
        .index = block->index,
        .number = block->number,
        .is_agreed = true,
        .content_checksum = block->summary.content_checksum,
    };
}

/* The one of this number among the damaged ones; returns how many there are. */
static size_t find_damaged(const struct shard *shard, size_t number, struct shard_file *file_out)
{
    size_t count = 0;
    for (size_t i = 0; i < shard->segment_count; i++)
        if (shard->segments[i].damaged && !shard->segments[i].is_replaced && count++ == number)
            *file_out =
                (struct shard_file){.kind = SHARD_FILE_SEGMENT, .index = shard->segments[i].name};
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].damaged && !shard->parts[i].is_replaced && count++ == number)
            *file_out = file_of_part(&shard->parts[i].described);
    for (size_t i = 0; i < shard->block_count; i++)
        if (shard->blocks[i].damaged && !shard->blocks[i].is_replaced && count++ == number)
            *file_out = file_of_block(&shard->blocks[i].described);
    return count;
}

static void note_replaced(struct shard *shard, const struct shard_file *file)
{
    for (size_t i = 0; file->kind == SHARD_FILE_SEGMENT && i < shard->segment_count; i++)
        shard->segments[i].is_replaced |= shard->segments[i].name == file->index;
    for (size_t i = 0; file->kind == SHARD_FILE_PART && i < shard->part_count; i++)
        shard->parts[i].is_replaced |= shard->parts[i].described.index == file->index &&
                                       shard->parts[i].described.number == file->number;
    for (size_t i = 0; file->kind == SHARD_FILE_BLOCK && i < shard->block_count; i++)
        shard->blocks[i].is_replaced |= shard->blocks[i].described.index == file->index &&
                                        shard->blocks[i].described.number == file->number;
}

/* --- Repairing -------------------------------------------------------------------------------- */

static void wait_longer(struct shard *shard)
{
    shard->repair_wait_ms = shard->repair_wait_ms == 0 ? WAIT_MS_MIN : shard->repair_wait_ms * 2;
    if (shard->repair_wait_ms > WAIT_MS_MAX)
        shard->repair_wait_ms = WAIT_MS_MAX;
    shard->repair_due_ms =
        clock_monotonic_ms(shard->options.environment->clock) + shard->repair_wait_ms;
    shard->repair_turn++;
}

static void repair_done(struct file_arrival *arrival, const struct error *error)
{
    struct repair *repair = (struct repair *)arrival;
    struct shard *shard = arrival->shard;
    struct shard_file file = arrival->fetch.file;
    char path[DISK_PATH_MAX + 1];
    shard_file_path(shard, &file, path);
    shard->repair = NULL;
    if (error->code == ERROR_NONE) {
        log_event(LOG_INFO, "shard", "a damaged file was replaced by that of another replica",
                  "shard=%u file=\"%s\"", shard->options.shard_id, path);
        shard->arrivals.files_repaired++;
        shard->repair_wait_ms = shard->repair_due_ms = 0;
        note_replaced(shard, &file);
    } else if (shard->closed == NULL && error->code != ERROR_CANCELED) {
        log_event(LOG_WARNING, "shard", "a damaged file can't be had from another replica yet",
                  "shard=%u file=\"%s\" error=\"%s\"", shard->options.shard_id, path,
                  error->message);
        wait_longer(shard);
    }
    bool replaced = error->code == ERROR_NONE && shard->closed == NULL;
    free(repair);
    if (replaced)
        damage_reopen_soon(shard);
    shard_install_resume(shard);
}

void repair_tend(struct shard *shard)
{
    struct shard_file file;
    if (shard->counters.damaged_files == 0 || shard->peers.fetcher == NULL ||
        shard->repair != NULL || shard->install != NULL || shard->install_leaving != NULL ||
        shard->sweeping || shard->closed != NULL ||
        clock_monotonic_ms(shard->options.environment->clock) < shard->repair_due_ms)
        return;
    size_t count = find_damaged(shard, SIZE_MAX, &file);
    struct repair *repair = count == 0 ? NULL : calloc(1, sizeof *repair);
    if (repair == NULL)
        return; /* looked for again */
    (void)find_damaged(shard, shard->repair_turn % count, &file);
    shard->repair = repair;
    repair->arrival.done = repair_done;
    file_arrival_begin(&repair->arrival, shard, &file);
}

void repair_cancel(struct shard *shard)
{
    if (shard->repair != NULL)
        file_arrival_cancel(&shard->repair->arrival);
}
