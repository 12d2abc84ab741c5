/*
 * The start of a merge, as the log has it, and its job. The leader decides (merge_plan.h); the
 * entry carries the decision, so that every replica makes the same blocks. The end: merge_done.c.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "block/block_writer.h"

#include "damage.h"
#include "local_files.h"

/* A failed job is tried again after so long, then after twice as long, and so on. */
enum { RETRY_MS_MIN = 5000, RETRY_MS_MAX = 5 * 60 * 1000 };

/* --- Deciding (leader) ------------------------------------------------------------------------ */

static void encode_plan(struct shard *shard, struct byte_buffer *entry,
                        const struct merge_plan *plan)
{
    int64_t now_ms = clock_now_ms(shard->options.environment->clock);
    entry_encode_header(entry, ENTRY_MERGE_START, now_ms);
    byte_buffer_zigzag(entry, now_ms);
    byte_buffer_zigzag(entry, plan->cutoff_ms);
    byte_buffer_varint(entry, plan->part_count);
    for (size_t i = 0; i < shard->part_count; i++) {
        if (!plan->parts[i])
            continue;
        byte_buffer_varint(entry, shard->parts[i].described.index);
        byte_buffer_varint(entry, shard->parts[i].described.number);
    }
    byte_buffer_varint(entry, plan->block_count);
    for (size_t i = 0; i < shard->block_count; i++) {
        if (!plan->blocks[i])
            continue;
        byte_buffer_varint(entry, shard->blocks[i].described.index);
        byte_buffer_varint(entry, shard->blocks[i].described.number);
    }
    byte_buffer_varint(entry, plan->wide_count);
    for (size_t i = 0; i < plan->wide_count; i++) {
        byte_buffer_zigzag(entry, plan->wide[i].start_ms);
        byte_buffer_zigzag(entry, plan->wide[i].end_ms);
    }
    for (size_t i = 0; i < shard->part_count; i++) {
        if (!plan->parts[i])
            continue;
        struct hash128 checksum = shard->parts[i].described.summary.content_checksum;
        byte_buffer_u64(entry, checksum.low);
        byte_buffer_u64(entry, checksum.high);
    }
}

bool shard_merge_propose(struct shard *shard, enum merge_wish wish)
{
    struct merge_plan plan;
    struct error error;
    if (shard->merge != NULL || shard->merge_proposed || shard->split_wanted)
        return true;
    int64_t now_ms = clock_now_ms(shard->options.environment->clock);
    if (merge_plan_make(shard, wish, now_ms, &plan, &error) != ERROR_NONE)
        return true; /* tried again */
    bool any = plan.part_count + plan.block_count > 0;
    if (any) {
        struct byte_buffer entry = {0};
        encode_plan(shard, &entry, &plan);
        shard->merge_proposed = shard_propose(shard, &entry);
    }
    merge_plan_clear(&plan);
    return any;
}

/* --- Merge start ------------------------------------------------------------------------------ */

void shard_merge_destroy(struct merge *merge)
{
    if (merge == NULL)
        return;
    merge_discard_outputs(merge);
    for (size_t i = 0; i < merge->part_count; i++)
        part_unref(merge->parts[i].input.part);
    for (size_t i = 0; i < merge->block_count; i++)
        block_unref(merge->blocks[i].block);
    free(merge->parts);
    free(merge->blocks);
    free(merge->wide);
    byte_buffer_clear(&merge->body);
    view_unref(merge->view);
    retention_cut_clear(&merge->retention);
    free(merge);
}

/* Whether a freeze at this index waits to be written. */
static bool freeze_is_pending(const struct shard *shard, uint64_t index)
{
    for (size_t i = 0; i < shard->frozen_count; i++)
        if (shard->frozen[i]->index == index)
            return true;
    return false;
}

/* An input may be gone by a deletion that was proposed before: the merge is void then. */
static enum error_code take_part(struct shard *shard, struct merge *merge, uint64_t index,
                                 uint64_t number, struct error *error)
{
    for (size_t i = 0; i < shard->part_count; i++) {
        const struct shard_part *part = &shard->parts[i];
        if (part->described.index != index || part->described.number != number)
            continue;
        merge->parts[merge->part_count++] =
            (struct merge_part){*part, part->described.merged_until_ms};
        part_ref(part->part);
        return ERROR_NONE;
    }
    if (freeze_is_pending(shard, index))
        return error_set(error, ERROR_UNAVAILABLE, "part %llu-%llu is still being written",
                         (unsigned long long)index, (unsigned long long)number);
    return error_set(error, ERROR_CONFLICT, "merge of part %llu-%llu, which is gone",
                     (unsigned long long)index, (unsigned long long)number);
}

static enum error_code take_block(struct shard *shard, struct merge *merge, uint64_t index,
                                  uint64_t number, struct error *error)
{
    for (size_t i = 0; i < shard->block_count; i++) {
        const struct shard_block *block = &shard->blocks[i];
        if (block->described.index != index || block->described.number != number)
            continue;
        merge->blocks[merge->block_count] = *block;
        merge->blocks[merge->block_count++].address = local_address_of(shard, &block->described);
        block_ref(block->block);
        return ERROR_NONE;
    }
    return error_set(error, ERROR_CONFLICT, "merge of block %llu-%llu, which is gone",
                     (unsigned long long)index, (unsigned long long)number);
}

/* Windows ascend and lie apart, and begin and end as those of two hours do. */
static bool wide_is_valid(const struct merge_window *wide, const struct merge_window *before)
{
    return wide->start_ms >= 0 && wide->end_ms > wide->start_ms &&
           wide->start_ms % BLOCK_CHUNK_WINDOW_MS == 0 &&
           wide->end_ms % BLOCK_CHUNK_WINDOW_MS == 0 &&
           (before == NULL || wide->start_ms >= before->end_ms);
}

static enum error_code decode_wide(struct merge *merge, struct byte_reader *body,
                                   struct error *error)
{
    uint64_t count = byte_reader_varint(body);
    if (body->failed || count > byte_reader_left(body))
        return error_set(error, ERROR_CORRUPT, "merge start: windows");
    merge->wide = calloc(count + 1, sizeof *merge->wide);
    if (merge->wide == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "merge start");
    for (; merge->wide_count < count; merge->wide_count++) {
        struct merge_window *wide = &merge->wide[merge->wide_count];
        wide->start_ms = byte_reader_zigzag(body);
        wide->end_ms = byte_reader_zigzag(body);
        if (body->failed || !wide_is_valid(wide, merge->wide_count == 0 ? NULL : wide - 1))
            return error_set(error, ERROR_CORRUPT, "merge start: window %zu", merge->wide_count);
    }
    return ERROR_NONE;
}

/*
 * What the leader's freezes gave. Parts are made on each replica by itself; one that is another
 * here is told, and fetched from who has it as the log has. Entries of earlier builds do not say.
 */
static enum error_code agree_on_parts(struct shard *shard, struct merge *merge,
                                      struct byte_reader *body, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (byte_reader_left(body) == 0)
        return ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < merge->part_count; i++) {
        struct hash128 agreed = {.low = byte_reader_u64(body)};
        agreed.high = byte_reader_u64(body);
        if (body->failed)
            return error_set(error, ERROR_CORRUPT, "merge start: checksums");
        code = damage_agree_on_part(shard, &merge->parts[i].input, agreed, error);
    }
    return code;
}

static enum error_code decode_inputs(struct shard *shard, struct merge *merge,
                                     struct byte_reader *body, struct error *error)
{
    enum error_code code = ERROR_NONE;
    merge->decided_ms = byte_reader_zigzag(body);
    merge->cutoff_ms = byte_reader_zigzag(body);
    uint64_t part_count = byte_reader_varint(body);
    if (body->failed || part_count > byte_reader_left(body))
        return error_set(error, ERROR_CORRUPT, "merge start: parts");
    merge->parts = calloc(part_count + 1, sizeof *merge->parts);
    if (merge->parts == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "merge start");
    for (uint64_t i = 0; code == ERROR_NONE && i < part_count; i++) {
        uint64_t index = byte_reader_varint(body);
        code = take_part(shard, merge, index, byte_reader_varint(body), error);
    }
    if (code != ERROR_NONE)
        return code;
    uint64_t block_count = byte_reader_varint(body);
    if (body->failed || block_count > byte_reader_left(body))
        return error_set(error, ERROR_CORRUPT, "merge start: blocks");
    merge->blocks = calloc(block_count + 1, sizeof *merge->blocks);
    if (merge->blocks == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "merge start");
    for (uint64_t i = 0; code == ERROR_NONE && i < block_count; i++) {
        uint64_t index = byte_reader_varint(body);
        code = take_block(shard, merge, index, byte_reader_varint(body), error);
    }
    if (code == ERROR_NONE)
        code = decode_wide(merge, body, error);
    if (code == ERROR_NONE)
        code = agree_on_parts(shard, merge, body, error);
    if (code == ERROR_NONE && (body->failed || byte_reader_left(body) > 0))
        code = error_set(error, ERROR_CORRUPT, "merge start: cut, or stray bytes");
    return code;
}

static bool has_object(const struct merge *merge)
{
    bool any = false;
    for (size_t i = 0; i < merge->block_count; i++)
        any |= merge->blocks[i].address.size_bytes > 0;
    return any;
}

/* Whether what failed was to read an input from the bucket. */
static bool is_of_object(const struct merge *merge)
{
    return has_object(merge) &&
           (merge->error.code == ERROR_UNAVAILABLE || merge->error.code == ERROR_CORRUPT);
}

static void merge_run(struct job *job)
{
    struct merge *merge = (struct merge *)job;
    struct shard_counters *counters = &merge->shard->counters;
    counters->merges_waiting--;
    counters->merges_running++;
    error_clear(&merge->error);
    merge->lacks_object = false;
    if (merge_write_blocks(merge, &merge->error) != ERROR_NONE) {
        merge_discard_outputs(merge);
        merge->given_up = damage_is_of_file(merge->error.code) && damage_find(merge);
        merge->lacks_object = !merge->given_up && is_of_object(merge);
    }
    counters->merges_running--;
}

static bool propose_given_up(struct merge *merge)
{
    struct byte_buffer entry = {0};
    entry_encode_header(&entry, ENTRY_MERGE_GIVEN_UP,
                        clock_now_ms(merge->shard->options.environment->clock));
    byte_buffer_varint(&entry, merge->index);
    return shard_propose(merge->shard, &entry);
}

static bool propose_done(struct merge *merge)
{
    struct shard *shard = merge->shard;
    struct byte_buffer entry = {0};
    if (merge->given_up)
        return propose_given_up(merge);
    entry_encode_header(&entry, ENTRY_MERGE_DONE, clock_now_ms(shard->options.environment->clock));
    byte_buffer_varint(&entry, merge->index);
    byte_buffer_varint(&entry, merge->output_count);
    for (size_t i = 0; i < merge->output_count; i++)
        manifest_encode_block(&entry, &merge->outputs[i].described);
    return shard_propose(shard, &entry);
}

void shard_merge_resume(struct shard *shard)
{
    struct merge *merge = shard->merge;
    if (merge == NULL || merge->running || merge->done_proposed)
        return;
    if (merge->completed || merge->given_up)
        merge->done_proposed = propose_done(merge);
}

static void merge_retry(struct timer *timer)
{
    struct merge *merge = (struct merge *)((char *)timer - offsetof(struct merge, retry));
    struct shard *shard = merge->shard;
    if (shard->merge == merge && shard->closed == NULL) {
        scheduler_submit(shard->options.environment->scheduler, &merge->job);
        return;
    }
    shard->counters.merges_waiting--;
    merge->running = false;
    if (shard->merge != merge)
        shard_merge_destroy(merge);
    shard_job_ended(shard);
}

void shard_merge_abandon(struct merge *merge)
{
    struct timer *retry = &merge->retry;
    atomic_store(&merge->abandoned, true);
    if (retry->heap_index == TIMER_IDLE)
        return;
    scheduler_timer_stop(merge->shard->options.environment->scheduler, retry);
    merge_retry(retry); /* the merge is gone now, unless the shard has it */
}

/* What is wrong may pass, as a full disk does. */
static void try_again_later(struct merge *merge)
{
    struct shard *shard = merge->shard;
    shard->counters.merges_waiting++;
    log_event(LOG_ERROR, "shard", "a merge failed, it is tried again",
              "shard=%u index=%llu retry_ms=%lld error=\"%s\"", shard->options.shard_id,
              (unsigned long long)merge->index, (long long)merge->retry_ms, merge->error.message);
    scheduler_timer_start(shard->options.environment->scheduler, &merge->retry, merge->retry_ms);
    merge->retry_ms = merge->retry_ms * 2 < RETRY_MS_MAX ? merge->retry_ms * 2 : RETRY_MS_MAX;
}

/* While the bucket cannot be read, other merges go on. Who follows waits for what the leader says,
 * unless that is waiting for it. */
static void give_up_absent(struct shard *shard, struct merge *merge)
{
    if (shard->keeper.is_leading)
        local_merge_failed(shard);
    merge->given_up = shard->keeper.is_leading || merge->adoption_tried;
    merge->retry_ms = RETRY_MS_MIN;
    if (merge->given_up)
        log_event(LOG_WARNING, "shard", "a merge is given up, as the bucket cannot be read",
                  "shard=%u index=%llu error=\"%s\"", shard->options.shard_id,
                  (unsigned long long)merge->index, merge->error.message);
}

static void merge_finished(struct job *job)
{
    struct merge *merge = (struct merge *)job;
    struct shard *shard = merge->shard;
    bool wanted = shard->closed == NULL && shard->merge == merge;
    if (wanted && merge->error.code != ERROR_NONE) {
        shard->counters.job_failures++;
        shard->counters.merge_failures++;
        if (merge->lacks_object)
            give_up_absent(shard, merge);
        if (!merge->given_up) {
            try_again_later(merge);
            return;
        }
        damage_take_over(shard, merge);
    }
    merge->running = false;
    merge->completed = merge->error.code == ERROR_NONE;
    if (merge->completed && has_object(merge))
        shard->absent_merge_wait_ms = 0;
    if (shard->merge != merge)
        shard_merge_destroy(merge); /* its outcome came by the log */
    else if (wanted)
        shard_merge_resume(shard);
    shard_job_ended(shard);
}

static enum error_code merge_create(struct shard *shard, uint64_t index, struct byte_reader *body,
                                    const struct retention_cut *retention, struct merge **merge_out,
                                    struct error *error)
{
    struct merge *merge = calloc(1, sizeof *merge);
    if (merge == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
    merge->job = (struct job){.run = merge_run, .done = merge_finished, .class = JOB_BACKGROUND};
    merge->retry = (struct timer){.fire = merge_retry, .heap_index = TIMER_IDLE};
    merge->shard = shard;
    merge->index = index;
    merge->retry_ms = RETRY_MS_MIN;
    merge->retention = *retention;
    retention_cut_ref(retention);
    byte_buffer_append(&merge->body, body->position, byte_reader_left(body));
    enum error_code code = decode_inputs(shard, merge, body, error);
    if (code == ERROR_NONE && merge->body.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "merge");
    if (code != ERROR_NONE) {
        shard_merge_destroy(merge);
        return code;
    }
    merge->view = shard_view(shard);
    *merge_out = merge;
    return ERROR_NONE;
}

static void merge_begin(struct shard *shard, struct merge *merge)
{
    shard->merge = merge;
    merge->running = true;
    shard->counters.merges_waiting++;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &merge->job);
}

enum error_code shard_apply_merge_start(struct shard *shard, uint64_t index,
                                        struct byte_reader *body, struct error *error)
{
    shard->merge_proposed = false;
    if (shard->merge != NULL)
        return error_set(error, ERROR_CONFLICT, "merge start while merge %llu is not done",
                         (unsigned long long)shard->merge->index);
    struct merge *merge = NULL;
    enum error_code code = merge_create(shard, index, body, &shard->retention, &merge, error);
    if (code == ERROR_NONE)
        merge_begin(shard, merge);
    return code;
}

enum error_code shard_describe_merge(const struct merge *merge, struct manifest *manifest,
                                     struct error *error)
{
    manifest->merge_index = merge->index;
    manifest->merge_retention = merge->retention;
    retention_cut_ref(&manifest->merge_retention);
    byte_buffer_append(&manifest->merge_body, merge->body.bytes, merge->body.size);
    return manifest->merge_body.failed
               ? error_set(error, ERROR_OUT_OF_MEMORY, "merge in a manifest")
               : ERROR_NONE;
}

enum error_code shard_restore_merge(struct shard *shard, const struct manifest *manifest,
                                    struct error *error)
{
    if (manifest->merge_index == 0)
        return ERROR_NONE;
    struct byte_reader body =
        byte_reader_over(manifest->merge_body.bytes, manifest->merge_body.size);
    struct merge *merge = NULL;
    enum error_code code = merge_create(shard, manifest->merge_index, &body,
                                        &manifest->merge_retention, &merge, error);
    if (code == ERROR_CONFLICT)
        code = error_set(error, ERROR_CORRUPT, "manifest: its merge has inputs that it lacks");
    if (code == ERROR_NONE)
        merge_begin(shard, merge);
    return code;
}
