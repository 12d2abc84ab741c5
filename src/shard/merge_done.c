/*
 * The end of a merge, as the log has it: outputs take the place of the inputs, the same on every
 * replica. The start: shard_merge.c.
 */
#include <stdlib.h>

#include "base/log.h"

#include "bucket_entry.h"
#include "damage.h"

/* --- Inputs ----------------------------------------------------------------------------------- */

static void doom_block(struct shard *shard, const struct manifest_block *block, uint64_t index)
{
    char path[SHARD_PATH_MAX];
    shard_doom_file(shard, index,
                    shard_path(shard, path, "blocks", block->index, block->number, "block"));
}

void shard_drop_block(struct shard *shard, size_t position, uint64_t index)
{
    struct shard_block *block = &shard->blocks[position];
    doom_block(shard, &block->described, index);
    block_unref(block->block);
    memmove(block, block + 1, (--shard->block_count - position) * sizeof *block);
    damage_count(shard);
}

void shard_drop_part(struct shard *shard, size_t position, uint64_t index)
{
    struct shard_part *part = &shard->parts[position];
    char path[SHARD_PATH_MAX];
    shard_doom_file(
        shard, index,
        shard_path(shard, path, "parts", part->described.index, part->described.number, "part"));
    part_unref(part->part);
    memmove(part, part + 1, (--shard->part_count - position) * sizeof *part);
    damage_count(shard);
}

static void drop_inputs(struct shard *shard, const struct merge *merge, uint64_t index)
{
    for (size_t k = 0; k < merge->block_count; k++)
        for (size_t i = 0; i < shard->block_count; i++)
            if (is_same_block(&shard->blocks[i], &merge->blocks[k])) {
                shard_drop_block(shard, i, index);
                break;
            }
    for (size_t k = 0; k < merge->part_count; k++)
        for (size_t i = 0; i < shard->part_count; i++) {
            struct shard_part *part = &shard->parts[i];
            if (!is_same_part(part, &merge->parts[k].input))
                continue;
            if (part->described.summary.max_time_ms < merge->cutoff_ms)
                shard_drop_part(shard, i, index);
            else
                part->described.merged_until_ms = merge->cutoff_ms;
            break;
        }
}

/* --- Outputs ---------------------------------------------------------------------------------- */

/* What the entry says of the outputs. */
struct agreed_outputs {
    struct manifest_block *blocks; /* [count], owned */
    size_t count;
};

static enum error_code decode_agreed(struct byte_reader *body, struct agreed_outputs *agreed,
                                     struct error *error)
{
    uint64_t count = byte_reader_varint(body);
    if (body->failed || count > byte_reader_left(body))
        return error_set(error, ERROR_CORRUPT, "merge done: cut");
    agreed->blocks = calloc(count + 1, sizeof *agreed->blocks);
    if (agreed->blocks == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "merge done");
    for (; agreed->count < count; agreed->count++)
        agreed->blocks[agreed->count] = manifest_decode_block(body);
    return body->failed ? error_set(error, ERROR_CORRUPT, "merge done: cut") : ERROR_NONE;
}

/* Two builds may encode the same content in other bytes. */
static bool is_same_content(const struct file_summary *left, const struct file_summary *right)
{
    return hash128_equal(left->content_checksum, right->content_checksum);
}

/*
 * Use the files that the job made in an earlier life of the process: whatever bears a final name
 * is whole. A replay so takes the time of opening them.
 */
static bool adopt_outputs(struct merge *merge, const struct agreed_outputs *agreed)
{
    struct shard_block *found = calloc(agreed->count + 1, sizeof *found);
    size_t count = 0;
    merge->adoption_tried = true;
    while (found != NULL && count < agreed->count) {
        struct error missing;
        struct shard_block *output = &found[count];
        output->described = agreed->blocks[count];
        if (output->described.index != merge->index ||
            shard_open_block(merge->shard, &output->described, &output->block, &missing) !=
                ERROR_NONE)
            break;
        count++;
    }
    bool all = found != NULL && count == agreed->count;
    for (size_t i = 0; all && i < count; i++) {
        struct file_summary summary = block_summary(found[i].block);
        all = is_same_content(&summary, &found[i].described.summary);
    }
    if (all) {
        merge->adopted = found;
        merge->adopted_count = count;
        return true;
    }
    for (size_t i = 0; i < count; i++)
        block_unref(found[i].block);
    free(found);
    return false;
}

/* Stand-ins: the log has the outputs, and others do. */
static enum error_code miss_outputs(struct merge *merge, const struct agreed_outputs *agreed,
                                    struct error *error)
{
    merge->adopted = calloc(agreed->count + 1, sizeof *merge->adopted);
    if (merge->adopted == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "merge done");
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && merge->adopted_count < agreed->count) {
        size_t i = merge->adopted_count;
        code = damage_replace_output(merge->shard, &agreed->blocks[i], &merge->adopted[i], error);
        merge->adopted_count += code == ERROR_NONE;
    }
    return code;
}

/* The outputs as the job left them, here or in an earlier life. */
static enum error_code obtain_outputs(struct merge *merge, const struct agreed_outputs *agreed,
                                      struct error *error)
{
    if (merge->completed) {
        merge->adopted = merge->outputs;
        merge->adopted_count = merge->output_count;
        merge->outputs = NULL;
        merge->output_count = 0;
        return ERROR_NONE;
    }
    if (!merge->adoption_tried && adopt_outputs(merge, agreed))
        return ERROR_NONE;
    if (!merge->running && merge->given_up)
        return miss_outputs(merge, agreed, error);
    return error_set(error, ERROR_UNAVAILABLE, "merge %llu is still running",
                     (unsigned long long)merge->index);
}

static enum error_code check_outputs(const struct merge *merge, const struct agreed_outputs *agreed,
                                     struct error *error)
{
    if (agreed->count != merge->adopted_count)
        return error_set(error, ERROR_CORRUPT, "merge %llu gave %zu blocks here, %zu there",
                         (unsigned long long)merge->index, merge->adopted_count, agreed->count);
    for (size_t i = 0; i < agreed->count; i++)
        if (!merge->adopted[i].damaged &&
            !hash128_equal(agreed->blocks[i].summary.content_checksum,
                           merge->adopted[i].described.summary.content_checksum))
            return error_set(error, ERROR_CORRUPT, "merge %llu: block %zu differs here",
                             (unsigned long long)merge->index, i);
    return ERROR_NONE;
}

static void discard_adopted(struct merge *merge)
{
    for (size_t i = 0; i < merge->adopted_count; i++)
        block_unref(merge->adopted[i].block);
    free(merge->adopted);
    merge->adopted = NULL;
    merge->adopted_count = 0;
}

/*
 * Where there are other replicas, an output that came out otherwise here is told, and fetched from
 * one that has it as the log does: its inputs or what read them may be damaged here.
 */
static enum error_code replace_differing(struct merge *merge, const struct agreed_outputs *agreed,
                                         struct error *error)
{
    struct shard *shard = merge->shard;
    struct error difference;
    if (shard->peers.fetcher == NULL || check_outputs(merge, agreed, &difference) == ERROR_NONE)
        return ERROR_NONE;
    merge->differs = true;
    shard->counters.differing_files++;
    log_event(LOG_ERROR, "shard", "a merge came out otherwise here than the log has it",
              "shard=%u index=%llu error=\"%s\"", shard->options.shard_id,
              (unsigned long long)merge->index, difference.message);
    discard_adopted(merge);
    return miss_outputs(merge, agreed, error);
}

/* The manifest is the same everywhere, whatever the sizes of files are here. */
static void describe_as_agreed(struct merge *merge, const struct agreed_outputs *agreed)
{
    for (size_t i = 0; i < merge->adopted_count; i++)
        merge->adopted[i].described = agreed->blocks[i];
}

/* The output in whose window the input lies, if the shard keeps one. */
static const struct manifest_block *successor_of(const struct shard *shard,
                                                 const struct merge *merge,
                                                 const struct manifest_block *input)
{
    for (size_t i = 0; i < merge->adopted_count; i++) {
        const struct manifest_block *output = &merge->adopted[i].described;
        if (output->window_start_ms <= input->window_start_ms &&
            output->window_end_ms >= input->window_end_ms)
            return output->window_end_ms <= shard->retention_cutoff_ms ? NULL : output;
    }
    return NULL;
}

/* What lies in the bucket of the inputs stands for the outputs until these are there. */
static void hand_over_objects(struct shard *shard, const struct merge *merge, uint64_t index)
{
    const struct bucket_news news = bucket_news_of(shard, index);
    for (size_t i = 0; i < merge->block_count; i++) {
        const struct manifest_block *input = &merge->blocks[i].described;
        bucket_leave(&shard->bucket, &news, block_name_of(input),
                     successor_of(shard, merge, input));
    }
}

/* Outputs take the place of the inputs. */
static enum error_code install_outputs(struct shard *shard, struct merge *merge, uint64_t index,
                                       struct error *error)
{
    struct doomed_file *doomed_before = shard->doomed;
    hand_over_objects(shard, merge, index);
    drop_inputs(shard, merge, index);
    /* What an output that is missing here is made of stays where it is. */
    bool kept = (!merge->running && merge->given_up) || merge->differs;
    while (kept && shard->doomed != doomed_before)
        shard_forget_doomed(shard);
    shard->inputs_are_kept |= kept;
    shard->changed_index = index;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < merge->adopted_count; i++) {
        const struct shard_block *output = &merge->adopted[i];
        if (output->described.window_end_ms <= shard->retention_cutoff_ms) {
            /* The retention passed while the merge was under way. */
            doom_block(shard, &output->described, index);
            continue;
        }
        code = shard_add_block(shard, output, error);
        if (code == ERROR_NONE)
            block_ref(output->block);
    }
    damage_count(shard);
    return code;
}

/* --- End -------------------------------------------------------------------------------------- */

/* The merge is over for the shard; a job under way ends soon and releases it then. */
static void merge_leave(struct shard *shard, struct merge *merge)
{
    shard->merge = NULL;
    discard_adopted(merge);
    if (merge->running)
        shard_merge_abandon(merge);
    else
        shard_merge_destroy(merge);
}

/* Files that the job made, here or in an earlier life, and that nobody will name. */
static void doom_outputs(struct shard *shard, const struct merge *merge, uint64_t index)
{
    for (size_t i = 0; i < merge->output_count; i++)
        doom_block(shard, &merge->outputs[i].described, index);
}

static enum error_code finish_merge(struct shard *shard, struct merge *merge, uint64_t index,
                                    const struct agreed_outputs *agreed, struct error *error)
{
    enum error_code code = obtain_outputs(merge, agreed, error);
    if (code != ERROR_NONE)
        return code;
    code = replace_differing(merge, agreed, error);
    if (code == ERROR_NONE)
        code = check_outputs(merge, agreed, error);
    if (code == ERROR_NONE)
        describe_as_agreed(merge, agreed);
    if (code == ERROR_NONE)
        code = install_outputs(shard, merge, index, error);
    for (size_t i = 0; code == ERROR_NONE && i < agreed->count; i++)
        shard->counters.samples_merged += agreed->blocks[i].summary.sample_count;
    merge_leave(shard, merge);
    if (code != ERROR_NONE)
        return code;
    shard->counters.merges++;
    code = shard_publish(shard, error);
    shard_flush_advance(shard);
    return code;
}

enum error_code shard_apply_merge_done(struct shard *shard, uint64_t index,
                                       struct byte_reader *body, struct error *error)
{
    struct merge *merge = shard->merge;
    uint64_t start_index = byte_reader_varint(body);
    if (!body->failed && (merge == NULL || merge->index != start_index))
        return ERROR_NONE; /* proposed twice by two leaders: the first one counted */
    struct agreed_outputs agreed = {0};
    enum error_code code = decode_agreed(body, &agreed, error);
    if (code == ERROR_NONE)
        code = finish_merge(shard, merge, index, &agreed, error);
    free(agreed.blocks);
    return code;
}

enum error_code shard_apply_merge_given_up(struct shard *shard, uint64_t index,
                                           struct byte_reader *body, struct error *error)
{
    struct merge *merge = shard->merge;
    uint64_t start_index = byte_reader_varint(body);
    if (body->failed || byte_reader_left(body) > 0)
        return error_set(error, ERROR_CORRUPT, "merge given up: cut, or stray bytes");
    if (merge == NULL || merge->index != start_index)
        return ERROR_NONE; /* its end came before */
    /* A job that still runs leaves files behind, if any, for the sweep of the next start. */
    if (!merge->running)
        doom_outputs(shard, merge, index);
    shard->changed_index = index;
    shard->counters.merges_given_up++;
    merge_leave(shard, merge);
    shard_flush_advance(shard);
    return ERROR_NONE;
}
