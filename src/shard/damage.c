#include "damage.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "block/block_inspect.h"

#include "local_files.h"

/* --- Telling ---------------------------------------------------------------------------------- */

void damage_tell(const struct shard *shard, const char *path, const struct error *reason)
{
    log_event(LOG_ERROR, "shard",
              "a file is damaged: queries that need it fail, everything else goes on",
              "shard=%u file=\"%s\" error=\"%s\" next=\"%s\"", shard->options.shard_id, path,
              reason->message,
              shard->peers.fetcher != NULL
                  ? "it is fetched from another replica"
                  : "put a sound copy in its place: it is looked for again at times, and at a "
                    "restart");
}

void damage_tell_segment(const struct shard *shard, uint64_t name, const struct error *reason)
{
    char path[SHARD_PATH_MAX];
    log_event(LOG_ERROR, "shard", "a series segment is damaged: the replica can't begin without it",
              "shard=%u file=\"%s\" error=\"%s\" next=\"%s\"", shard->options.shard_id,
              shard_path(shard, path, "series", name, 0, "segment"), reason->message,
              shard->peers.fetcher != NULL
                  ? "it is fetched from another replica"
                  : "put a sound copy in its place, or begin with a backup of the directory");
}

bool damage_is_of_file(enum error_code code)
{
    return code == ERROR_CORRUPT || code == ERROR_NOT_FOUND || code == ERROR_UNSUPPORTED ||
           code == ERROR_IO;
}

/* --- Stand-ins -------------------------------------------------------------------------------- */

enum error_code damage_open_part(struct shard *shard, const struct manifest_part *described,
                                 struct shard_part *part_out, struct error *error)
{
    struct shard_part part = {.described = *described};
    enum error_code code = shard_open_part(shard, described, &part.part, error);
    if (code != ERROR_NONE && damage_is_of_file(code)) {
        char path[SHARD_PATH_MAX];
        struct error reason = *error;
        reason.code = ERROR_CORRUPT; /* to who asks: nobody looks for this file by name */
        damage_tell(shard,
                    shard_path(shard, path, "parts", described->index, described->number, "part"),
                    &reason);
        part.damaged = part.is_stand_in = true;
        code = part_create_unreadable(&reason, &part.part, error);
    }
    if (code == ERROR_NONE)
        *part_out = part;
    return code;
}

enum error_code damage_open_block(struct shard *shard, const struct manifest_block *described,
                                  struct shard_block *block_out, struct error *error)
{
    struct shard_block block = {.described = *described};
    enum error_code code = shard_open_block(shard, described, &block.block, error);
    if (code != ERROR_NONE && damage_is_of_file(code) && local_replace_damaged(shard, &block)) {
        block.is_wanted = code != ERROR_NOT_FOUND;
        if (block.is_wanted)
            log_event(LOG_ERROR, "shard", "a file is damaged: the block is read from the bucket",
                      "shard=%u error=\"%s\"", shard->options.shard_id, error->message);
        error_clear(error); /* who runs as a job looks there */
        code = ERROR_NONE;
    }
    if (code != ERROR_NONE && damage_is_of_file(code)) {
        char path[SHARD_PATH_MAX];
        struct error reason = *error;
        reason.code = ERROR_CORRUPT;
        damage_tell(shard,
                    shard_path(shard, path, "blocks", described->index, described->number, "block"),
                    &reason);
        block.damaged = block.is_stand_in = true;
        code = block_create_unreadable(&reason, &block.block, error);
    }
    if (code == ERROR_NONE)
        *block_out = block;
    return code;
}

enum error_code damage_of_metadata(struct shard *shard, const char *path, struct error *error)
{
    log_event(LOG_ERROR, "shard",
              "a file of metadata is damaged: type, help and unit come back as senders state them",
              "shard=%u file=\"%s\" error=\"%s\"", shard->options.shard_id, path, error->message);
    metadata_store_destroy(shard->metadata);
    shard->metadata = metadata_store_create(shard->options.metadata_max);
    atomic_store(&shard->metadata_is_damaged, true);
    return shard->metadata == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "metadata") : ERROR_NONE;
}

enum error_code damage_agree_on_part(struct shard *shard, struct shard_part *input,
                                     struct hash128 agreed, struct error *error)
{
    if (shard->peers.fetcher == NULL ||
        hash128_equal(input->described.summary.content_checksum, agreed))
        return ERROR_NONE;
    struct part *stand_in;
    struct error reason;
    char path[SHARD_PATH_MAX];
    shard_path(shard, path, "parts", input->described.index, input->described.number, "part");
    error_set(&reason, ERROR_CORRUPT, "part '%s' has another content here than the log has", path);
    enum error_code code = part_create_unreadable(&reason, &stand_in, error);
    if (code != ERROR_NONE)
        return code;
    damage_tell(shard, path, &reason);
    shard->counters.differing_files++;
    struct part *before = input->part;
    input->part = stand_in;
    input->damaged = input->is_stand_in = true;
    input->described.summary.content_checksum = agreed;
    for (size_t i = 0; i < shard->part_count; i++) {
        if (!is_same_part(&shard->parts[i], input))
            continue;
        part_unref(shard->parts[i].part);
        shard->parts[i].part = part_ref(stand_in);
        shard->parts[i].damaged = shard->parts[i].is_stand_in = true;
        shard->parts[i].described.summary.content_checksum = agreed;
    }
    part_unref(before);
    damage_count(shard);
    shard_publish_soon(shard);
    return ERROR_NONE;
}

enum error_code damage_replace_output(struct shard *shard, const struct manifest_block *described,
                                      struct shard_block *block_out, struct error *error)
{
    struct shard_block block = {.described = *described, .damaged = true, .is_stand_in = true};
    char path[SHARD_PATH_MAX];
    struct error reason;
    shard_path(shard, path, "blocks", described->index, described->number, "block");
    error_set(&reason, ERROR_CORRUPT,
              "block '%s' could not be made, since a file that it is made of is damaged", path);
    damage_tell(shard, path, &reason);
    enum error_code code = block_create_unreadable(&reason, &block.block, error);
    if (code == ERROR_NONE)
        *block_out = block;
    return code;
}

/* --- Finding what a merge could not read ------------------------------------------------------ */

/* Whether the file is damaged; `reason` says how. */
static bool is_damaged(const struct merge *merge, const char *path, struct error *reason)
{
    struct page_source *source;
    struct file_summary summary;
    error_clear(reason);
    if (atomic_load(&merge->abandoned))
        return false;
    enum error_code code =
        page_source_open_file(merge->shard->options.environment->disk, path, &source, reason);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, reason);
    return code != ERROR_NONE && damage_is_of_file(code);
}

static bool find_in_segments(struct merge *merge)
{
    bool any = false;
    for (size_t i = 0; merge->part_count > 0 && i < merge->view->segment_count; i++) {
        const char *path = series_segment_path(merge->view->segments[i]);
        struct error reason;
        if (!is_damaged(merge, path, &reason))
            continue;
        any = true;
        snprintf(merge->damaged_segment, sizeof merge->damaged_segment, "%s", path);
        damage_tell(merge->shard, path, &reason);
    }
    return any;
}

bool damage_find(struct merge *merge)
{
    const struct shard *shard = merge->shard;
    char path[SHARD_PATH_MAX];
    struct error reason;
    bool any = find_in_segments(merge);
    for (size_t i = 0; i < merge->part_count; i++) {
        struct shard_part *input = &merge->parts[i].input;
        shard_path(shard, path, "parts", input->described.index, input->described.number, "part");
        if (input->damaged || !is_damaged(merge, path, &reason)) {
            any |= input->damaged;
            continue;
        }
        any = input->damaged = true;
        damage_tell(shard, path, &reason);
    }
    for (size_t i = 0; i < merge->block_count; i++) {
        struct shard_block *input = &merge->blocks[i];
        shard_path(shard, path, "blocks", input->described.index, input->described.number, "block");
        if (input->damaged || input->is_absent || !is_damaged(merge, path, &reason)) {
            any |= input->damaged;
            continue;
        }
        /* It may be gone on purpose. */
        if (reason.code == ERROR_NOT_FOUND && input->address.size_bytes > 0)
            continue;
        any = input->damaged = true;
        damage_tell(shard, path, &reason);
    }
    return any;
}

/* --- What the shard knows --------------------------------------------------------------------- */

static void note_segment(struct shard *shard, const char *damaged)
{
    for (size_t i = 0; damaged[0] != '\0' && i < shard->segment_count; i++) {
        char path[SHARD_PATH_MAX];
        shard_path(shard, path, "series", shard->segments[i].name, 0, "segment");
        shard->segments[i].damaged |= strcmp(path, damaged) == 0;
    }
}

void damage_take_over(struct shard *shard, const struct merge *merge)
{
    note_segment(shard, merge->damaged_segment);
    for (size_t k = 0; k < merge->part_count; k++)
        for (size_t i = 0; merge->parts[k].input.damaged && i < shard->part_count; i++)
            if (is_same_part(&shard->parts[i], &merge->parts[k].input))
                shard->parts[i].damaged = true;
    for (size_t k = 0; k < merge->block_count; k++)
        for (size_t i = 0; merge->blocks[k].damaged && i < shard->block_count; i++)
            if (is_same_block(&shard->blocks[i], &merge->blocks[k]))
                shard->blocks[i].damaged = true;
    local_replace_all_damaged(shard);
    damage_count(shard);
}

bool damage_blocks_parts(const struct shard *shard)
{
    for (size_t i = 0; i < shard->segment_count; i++)
        if (shard->segments[i].damaged)
            return true;
    return false;
}

bool damage_has_parts(const struct shard *shard)
{
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].damaged)
            return true;
    return false;
}

void damage_count(struct shard *shard)
{
    uint64_t count = atomic_load(&shard->metadata_is_damaged);
    for (size_t i = 0; i < shard->part_count; i++)
        count += shard->parts[i].damaged;
    for (size_t i = 0; i < shard->block_count; i++)
        count += shard->blocks[i].damaged;
    for (size_t i = 0; i < shard->segment_count; i++)
        count += shard->segments[i].damaged;
    shard->counters.damaged_files = count;
}
