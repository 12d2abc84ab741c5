/* The snapshot of a shard, its manifest, and the way back: opening the files that it names. */
#include <stdlib.h>

#include "damage.h"
#include "forget.h"
#include "shard_version.h"

/* --- Series ---------------------------------------------------------------------------------- */

enum { REVIVE_BATCH = 4096 };

/* Fill the tables of the registry with the series of a segment that are alive. */
static enum error_code revive_segment(struct shard *shard, struct series_segment *segment,
                                      const struct id_set *forgotten,
                                      struct shard_segment *segment_out, struct error *error)
{
    struct segment_series *series = malloc(REVIVE_BATCH * sizeof *series);
    enum error_code code = ERROR_NONE;
    if (series == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "series of a segment");
    uint64_t total = series_segment_summary(segment).series_count;
    segment_out->first_id = series_segment_first_id(segment);
    segment_out->series_count = total;
    for (uint64_t from = 0; code == ERROR_NONE && from < total; from += REVIVE_BATCH) {
        size_t count = total - from < REVIVE_BATCH ? (size_t)(total - from) : REVIVE_BATCH;
        code = series_segment_read_briefly(segment, (uint32_t)from, count, series, error);
        for (size_t i = 0; code == ERROR_NONE && i < count; i++)
            if (id_set_has(forgotten, series[i].id))
                segment_out->forgotten_count++;
            else
                code = registry_revive(&shard->registry, series[i].id, series[i].tenant,
                                       (uint32_t)series[i].target, series[i].slot, error);
    }
    free(series);
    return code;
}

static enum error_code restore_segments(struct shard *shard, const struct manifest *manifest,
                                        struct error *error)
{
    uint64_t forgotten_count = 0;
    enum error_code code = ERROR_NONE;
    shard->segments = calloc(manifest->segment_count + 1, sizeof *shard->segments);
    if (shard->segments == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "list of segments");
    for (size_t i = 0; code == ERROR_NONE && i < manifest->segment_count; i++) {
        struct shard_segment *described = &shard->segments[shard->segment_count++];
        struct series_segment *segment;
        described->name = manifest->segments[i];
        code = shard_open_segment(shard, described->name, &segment, error);
        if (code != ERROR_NONE) {
            if (damage_is_of_file(code))
                damage_tell_segment(shard, described->name, error);
            break;
        }
        code = registry_add_segment(&shard->registry, described->name, segment, error);
        if (code == ERROR_NONE)
            code = revive_segment(shard, segment, manifest->forgotten, described, error);
        else
            series_segment_unref(segment);
        if (code == ERROR_CORRUPT)
            damage_tell_segment(shard, described->name, error);
        forgotten_count += described->forgotten_count;
    }
    if (code == ERROR_NONE && forgotten_count != id_set_count(manifest->forgotten))
        code = error_set(error, ERROR_CORRUPT, "%llu forgotten series are in no segment",
                         (unsigned long long)(id_set_count(manifest->forgotten) - forgotten_count));
    if (code == ERROR_NONE) {
        shard->forgotten = id_set_ref(manifest->forgotten);
        shard->hidden = id_set_ref(manifest->forgotten);
    }
    return code;
}

/* --- Metadata -------------------------------------------------------------------------------- */

static enum error_code restore_metadata(struct shard *shard, struct error *error)
{
    char path[SHARD_PATH_MAX];
    if (shard->metadata_index == 0)
        return ERROR_NONE;
    shard_path(shard, path, "metadata", shard->metadata_index, 0, "metadata");
    enum error_code code =
        metadata_file_read(shard->options.environment->disk, path, shard->metadata, error);
    /* What may pass is no reason to begin without: the next file would lack it for good. */
    return code == ERROR_CORRUPT || code == ERROR_NOT_FOUND ? damage_of_metadata(shard, path, error)
                                                            : code;
}

/* --- Files ----------------------------------------------------------------------------------- */

static enum error_code restore_files(struct shard *shard, const struct manifest *manifest,
                                     struct error *error)
{
    enum error_code code = restore_segments(shard, manifest, error);
    for (size_t i = 0; code == ERROR_NONE && i < manifest->part_count; i++) {
        struct shard_part part;
        code = damage_open_part(shard, &manifest->parts[i], &part, error);
        if (code != ERROR_NONE)
            break;
        code = shard_add_part(shard, &part, error);
        if (code != ERROR_NONE)
            part_unref(part.part);
    }
    for (size_t i = 0; code == ERROR_NONE && i < manifest->block_count; i++) {
        struct shard_block block;
        code = damage_open_block(shard, &manifest->blocks[i], &block, error);
        if (code != ERROR_NONE)
            break;
        code = shard_add_block(shard, &block, error);
        if (code != ERROR_NONE)
            block_unref(block.block);
    }
    return code;
}

/* --- Public ---------------------------------------------------------------------------------- */

enum error_code shard_snapshot(struct shard *shard, struct byte_buffer *bytes,
                               uint64_t *frozen_index_out, struct error *error)
{
    manifest_encode(&shard->durable, bytes);
    if (bytes->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "manifest");
    *frozen_index_out = shard->durable.frozen_index;
    return ERROR_NONE;
}

/* Everything of the manifest in `made`, which nobody else knows of; the manifest goes there. */
static enum error_code fill_state(struct shard *made, struct manifest *manifest,
                                  struct error *error)
{
    made->metadata = metadata_store_create(made->options.metadata_max);
    if (made->metadata == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "metadata");
    enum error_code code =
        registry_init(&made->registry, made->options.hash_seed, manifest->next_id, error);
    if (code == ERROR_NONE)
        code = bucket_copy(&manifest->bucket, &made->bucket, error); /* blocks may be there */
    if (code == ERROR_NONE)
        code = restore_files(made, manifest, error);
    if (code == ERROR_NONE) {
        made->metadata_index = manifest->metadata_index;
        code = restore_metadata(made, error);
    }
    made->retention_cutoff_ms = manifest->retention_cutoff_ms;
    made->retention = manifest->retention;
    retention_cut_ref(&made->retention);
    made->state_version = manifest->state_version;
    made->rehearsed_count = manifest->rehearsed_count;
    if (code == ERROR_NONE && manifest->windows_base > 0)
        code = windows_init(&made->windows, manifest->windows_base, manifest->windows,
                            manifest->window_count, error);
    windows_end_before(&made->windows, made->retention_cutoff_ms);
    made->tombstones = tombstones_ref(manifest->tombstones);
    made->owned = manifest->owned;
    made->lacks_slots = slot_set_count(&manifest->owned) < SLOT_COUNT;
    made->split_count = manifest->split_count;
    made->split = manifest->split;
    made->applied_index = manifest->frozen_index;
    made->durable = *manifest;
    *manifest = (struct manifest){0};
    return code;
}

enum error_code shard_make_state(const struct shard *shard, const uint8_t *manifest_bytes,
                                 size_t size_bytes, struct shard **made_out, struct error *error)
{
    struct manifest manifest = {0};
    struct shard *made = shard_state_create(shard);
    if (made == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "restore shard %u", shard->options.shard_id);
    enum error_code code = manifest_decode(manifest_bytes, size_bytes, &manifest, error);
    if (code == ERROR_NONE)
        code = shard_version_check(shard, manifest.state_version, error);
    if (code == ERROR_NONE)
        code = fill_state(made, &manifest, error);
    manifest_clear(&manifest); /* if it was not taken */
    if (code != ERROR_NONE) {
        shard_state_destroy(made);
        return error_wrap(error, "restore shard %u", shard->options.shard_id);
    }
    *made_out = made;
    return ERROR_NONE;
}

/* What belongs to the state before and is not the log's: gone, or begun anew. */
static void leave_former_state(struct shard *shard)
{
    struct merge *merge = shard->merge;
    shard->merge = NULL;
    if (merge != NULL && merge->running)
        shard_merge_abandon(merge);
    else
        shard_merge_destroy(merge);
    shard_forget_clear(shard);
    shard->forgetting.turns++; /* what a scan finds is of the state before */
    shard->forgetting.scan_from = 0;
    shard->forgetting.scanned_version = 0;
    if (shard->pending != NULL)
        memset(shard->pending, 0, shard->pending_capacity * sizeof *shard->pending);
    shard->pending_count = 0;
    shard->head_exemplars = 0;
    shard->metadata_changed = false;
    shard->changed_index = 0;
    shard->unfrozen_bytes = 0;
    shard->unfrozen_since_ms = INT64_MIN;
    shard->freeze_proposed = shard->merge_proposed = shard->clean_proposed = false;
    shard->version_proposed = shard->retention_proposed = false;
    shard->metadata_forget_proposed = shard->late_is_full = false;
    shard->split_proposed = shard->split_wanted = false;
    shard->is_replaying = false;
}

/* The numbers that others see. */
static void count_state(struct shard *shard)
{
    shard->counters.applied_index = shard->applied_index;
    shard->counters.state_version = shard->state_version;
    shard->counters.unfrozen_bytes = 0;
    shard->counters.registry_bytes = registry_size_bytes(&shard->registry);
    shard->proposed_next_id = shard->prepared_next_id = shard->registry.next_id;
    shard_count_series(shard);
    damage_count(shard);
}

enum error_code shard_take_state(struct shard *shard, struct shard *made, struct error *error)
{
    struct head *head = NULL;
    struct shard *retired = shard_state_create(shard);
    enum error_code code = retired == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "state")
                                           : shard_create_head(shard, &head, error);
    if (code != ERROR_NONE) {
        shard_state_destroy(retired);
        shard_state_destroy(made);
        return code;
    }
    uint64_t generation = shard->registry.segment_generation;
    leave_former_state(shard);
    shard_state_move(retired, shard);
    shard_freeze_retire(shard, retired);
    shard_state_move(shard, made);
    shard->head = head;
    shard_note_children(shard);
    shard_count_foreign(shard);
    shard->registry.segment_generation += generation + 1; /* look-ups before are of no worth */
    metadata_store_swap(shard->metadata, made->metadata);
    atomic_store(&shard->metadata_is_damaged, atomic_load(&made->metadata_is_damaged));
    shard_state_destroy(made);
    count_state(shard);
    shard_forget_restored(shard);
    return ERROR_NONE;
}

enum error_code shard_begin_state(struct shard *shard, struct error *error)
{
    enum error_code code = shard_publish(shard, error);
    shard_show_windows(shard);
    if (code == ERROR_NONE)
        code = shard_restore_merge(shard, &shard->durable, error);
    return code == ERROR_NONE ? code
                              : error_wrap(error, "restore shard %u", shard->options.shard_id);
}

enum error_code shard_restore(struct shard *shard, const uint8_t *manifest_bytes, size_t size_bytes,
                              struct error *error)
{
    struct shard *made;
    enum error_code code = shard_make_state(shard, manifest_bytes, size_bytes, &made, error);
    if (code == ERROR_NONE)
        code = shard_take_state(shard, made, error);
    if (code != ERROR_NONE)
        return code;
    /* No job runs yet at a start: unfinished files are of lives before. */
    shard_sweep_files(shard);
    return shard_begin_state(shard, error);
}
