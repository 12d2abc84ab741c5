/*
 * Freeze: the head becomes immutable at one log index; a job writes it as parts and a series
 * segment; when they are durable, queries read them instead, and the log before can go.
 *
 *   growing --FREEZE applied--> frozen --job--> parts durable --> view, manifest, snapshot
 *
 * The job is in shard_freeze_job.c.
 */
#include <stdlib.h>

#include "forget.h"

void shard_frozen_destroy(struct shard_frozen *frozen)
{
    if (frozen == NULL)
        return;
    head_unref(frozen->head);
    manifest_clear(&frozen->manifest);
    byte_buffer_clear(&frozen->metadata);
    id_set_unref(frozen->forgotten);
    free(frozen);
}

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
    struct shard_frozen *frozen = calloc(1, sizeof *frozen);
    if (frozen == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "freeze");
    frozen->index = index;
    frozen->stamp_ms = shard->stamp_ms;
    enum error_code code = freeze_into(shard, frozen, error);
    if (code != ERROR_NONE) {
        shard_frozen_destroy(frozen);
        return code;
    }
    shard_forget_turn(shard, frozen->head);
    shard->frozen[shard->frozen_count++] = frozen;
    shard->metadata_changed = false;
    shard->unfrozen_bytes = 0;
    shard->unfrozen_since_ms = INT64_MIN;
    shard->counters.freezes++;
    code = shard_publish(shard, error);
    if (code == ERROR_NONE)
        shard_start_freeze_job(shard);
    return code;
}

/* --- When it is written ----------------------------------------------------------------------- */

void shard_start_freeze_job(struct shard *shard)
{
    if (!shard->is_replaying)
        shard_start_freeze_job_at_once(shard);
}

void shard_replay_begin(struct shard *shard)
{
    shard->is_replaying = true;
}

void shard_replay_end(struct shard *shard)
{
    shard->is_replaying = false;
    shard_start_freeze_job(shard);
}
