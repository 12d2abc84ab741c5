/* What of a shard follows from the log: so that another replica's can take its place. */
#include <stdlib.h>

#include "shard_private.h"

struct shard *shard_state_create(const struct shard *shard)
{
    struct shard *state = calloc(1, sizeof *state);
    if (state != NULL)
        state->options = shard->options;
    return state;
}

void shard_state_clear(struct shard *shard)
{
    head_unref(shard->head);
    for (size_t i = 0; i < shard->frozen_count; i++)
        shard_frozen_destroy(shard->frozen[i]);
    free(shard->segments);
    id_set_unref(shard->forgotten);
    id_set_unref(shard->hidden);
    for (size_t i = 0; i < shard->part_count; i++)
        part_unref(shard->parts[i].part);
    for (size_t i = 0; i < shard->block_count; i++)
        block_unref(shard->blocks[i].block);
    free(shard->parts);
    free(shard->blocks);
    windows_clear(&shard->windows);
    bucket_clear(&shard->bucket);
    registry_clear(&shard->registry);
    tombstones_unref(shard->tombstones);
    retention_cut_clear(&shard->retention);
    manifest_clear(&shard->durable);
}

void shard_state_destroy(struct shard *state)
{
    if (state == NULL)
        return;
    shard_state_clear(state);
    metadata_store_destroy(state->metadata);
    free(state);
}

void shard_state_move(struct shard *into, struct shard *from)
{
    into->applied_index = from->applied_index;
    into->state_version = from->state_version;
    into->windows = from->windows;
    into->bucket = from->bucket;
    into->rehearsed_count = from->rehearsed_count;
    into->head = from->head;
    into->registry = from->registry;
    memcpy(into->frozen, from->frozen, sizeof into->frozen);
    into->frozen_count = from->frozen_count;
    into->segments = from->segments;
    into->segment_count = from->segment_count;
    into->forgotten = from->forgotten;
    into->hidden = from->hidden;
    into->parts = from->parts;
    into->part_count = from->part_count;
    into->blocks = from->blocks;
    into->block_count = from->block_count;
    into->tombstones = from->tombstones;
    into->metadata_index = from->metadata_index;
    into->retention_cutoff_ms = from->retention_cutoff_ms;
    into->retention = from->retention;
    into->owned = from->owned;
    into->lacks_slots = from->lacks_slots;
    into->split_count = from->split_count;
    into->split = from->split;
    into->durable = from->durable;

    from->head = NULL;
    from->windows = (struct windows){0};
    from->bucket = (struct bucket){0};
    from->registry = (struct registry){0};
    from->frozen_count = 0;
    from->segments = NULL;
    from->forgotten = from->hidden = NULL;
    from->segment_count = from->part_count = from->block_count = 0;
    from->parts = NULL;
    from->blocks = NULL;
    from->tombstones = NULL;
    from->retention = RETENTION_CUT_NONE;
    from->durable = (struct manifest){0};
}
