/* Deleting a tenant: a deletion of everything, which who leads carries out without being asked. */
#include "base/state_version.h"

#include "merge_plan.h"

enum error_code shard_encode_delete_tenant(struct byte_buffer *entry, int64_t stamp_ms,
                                           struct text tenant, struct error *error)
{
    if (tenant.size == 0)
        return error_set(error, ERROR_INVALID, "no tenant is named");
    return shard_encode_delete(entry, stamp_ms, tenant, NULL, 0, INT64_MIN, INT64_MAX, error);
}

static void add_file(struct shard_tenant_state *state, const struct file_summary *summary)
{
    state->files_left++;
    state->bytes_left += summary->size_bytes;
}

static void add_files(const struct shard *shard, const struct tombstone *tombstone,
                      struct shard_tenant_state *state)
{
    for (size_t i = 0; i < shard->part_count; i++)
        if (shard->parts[i].described.index < tombstone->index)
            add_file(state, &shard->parts[i].described.summary);
    for (size_t i = 0; i < shard->block_count; i++)
        if (merge_block_may_have(&shard->blocks[i], tombstone))
            add_file(state, &shard->blocks[i].described.summary);
    for (size_t i = 0; i < shard->bucket.object_count; i++)
        if (merge_object_needs(shard, tombstone, &shard->bucket.objects[i])) {
            state->objects_left++;
            state->object_bytes_left += shard->bucket.objects[i].size_bytes;
        }
    for (size_t i = 0; i < shard->frozen_count; i++)
        state->files_left += shard->frozen[i]->index < tombstone->index;
}

void shard_read_tenant_state(const struct shard *shard, struct text tenant,
                             struct shard_tenant_state *state_out)
{
    struct shard_tenant_state state = {.can_be_deleted =
                                           shard->state_version >= STATE_VERSION_BUCKET};
    /* The newest deletion covers what older ones do. */
    for (size_t i = tombstones_count(shard->tombstones); i > 0 && !state.is_being_deleted; i--) {
        const struct tombstone *tombstone = tombstones_at(shard->tombstones, i - 1);
        if (!tombstone_is_of_tenant(tombstone) || !text_equal(tombstone->tenant, tenant))
            continue;
        state.is_being_deleted = true;
        add_files(shard, tombstone, &state);
    }
    for (size_t i = 0; i < shard->block_count; i++)
        state.blocks += block_has_tenant(shard->blocks[i].block, tenant);
    *state_out = state;
}
