#include "placement/formation.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "planner.h"

/* --- Peers --------------------------------------------------------------------------------- */

static int compare_names(const void *left, const void *right)
{
    const struct cluster_founder *one = left, *other = right;
    return strcmp(one->identity.name, other->identity.name);
}

/* Random, since the directory ids are; the same for all who know the same peers. */
static void derive_id(const struct cluster_founder *founders, size_t count, uint8_t *id_out)
{
    struct hash128 hash = {0};
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[16 + sizeof founders[i].identity] = {0};
        store_u64(bytes, hash.low);
        store_u64(bytes + 8, hash.high);
        memcpy(bytes + 16, founders[i].identity.directory_id, CLUSTER_DIRECTORY_ID_BYTES);
        size_t name_bytes = strlen(founders[i].identity.name);
        memcpy(bytes + 16 + CLUSTER_DIRECTORY_ID_BYTES, founders[i].identity.name, name_bytes);
        hash = hash128(bytes, 16 + CLUSTER_DIRECTORY_ID_BYTES + name_bytes, HASH_SEED_STORED);
    }
    store_u64(id_out, hash.low);
    store_u64(id_out + 8, hash.high);
}

/* --- Replicas ------------------------------------------------------------------------------ */

static const struct placement_limits NO_LIMITS = {
    .moves_total = UINT32_MAX,
    .moves_per_node = UINT32_MAX,
    .transfers_total = UINT32_MAX,
};

/* As if all that was planned had been done. */
static bool settle(struct planner *planner)
{
    bool changed = planner->moves > 0;
    planner->moves = 0;
    for (size_t i = 0; i < planner->node_count; i++)
        planner->nodes[i].coming = planner->nodes[i].going = 0;
    for (size_t i = 0; i < planner->shard_count; i++)
        planner->shards[i].touched = planner->shards[i].moving = false;
    return changed;
}

static enum error_code place_replicas(struct planner *planner, struct error *error)
{
    for (size_t i = 0; i < planner->shard_count; i++) {
        struct planner_shard *shard = &planner->shards[i];
        uint16_t in = best_target(planner, shard, PLACE_NONE, false);
        for (; shard->count < planner->replication && in != PLACE_NONE;
             in = best_target(planner, shard, PLACE_NONE, false))
            move_replica(planner, shard, PLACE_NONE, in);
    }
    while (settle(planner)) {
        enum error_code code = plan_balance(planner, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code plan_founding(const struct cluster_found *found,
                                     struct cluster_founding_shard *shards, struct arena *arena,
                                     struct error *error)
{
    struct cluster_node *nodes = arena_array(arena, found->founder_count, sizeof *nodes);
    struct cluster_shard *empty = arena_array(arena, found->shard_count, sizeof *empty);
    struct planner planner;
    if (nodes == NULL || empty == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "formation");
    for (size_t i = 0; i < found->founder_count; i++) {
        nodes[i].node_id = i + 1;
        nodes[i].traits = found->founders[i].traits;
    }
    enum error_code code = planner_init(&planner, nodes, found->founder_count, empty,
                                        found->shard_count, arena, error);
    if (code != ERROR_NONE)
        return code;
    planner.limits = &NO_LIMITS;
    planner.replication = found->replication;
    for (size_t i = 0; i < found->founder_count; i++)
        planner.nodes[i].takes = (nodes[i].traits.roles & CLUSTER_ROLE_INGEST) != 0;
    for (size_t i = 0; i < found->shard_count; i++)
        planner.shards[i].whole = true;
    code = place_replicas(&planner, error);
    for (size_t i = 0; i < found->shard_count && code == ERROR_NONE; i++)
        for (uint32_t k = 0; k < planner.shards[i].count; k++)
            cluster_replicas_add(&shards[i].replicas, planner.shards[i].replicas[k] + 1u);
    return code;
}

/* --- All ----------------------------------------------------------------------------------- */

static enum error_code check_options(const struct cluster_founder *peers, size_t peer_count,
                                     const struct formation_options *options, struct error *error)
{
    bool takes_samples = false;
    for (size_t i = 0; i < peer_count; i++)
        takes_samples = takes_samples || (peers[i].traits.roles & CLUSTER_ROLE_INGEST) != 0;
    if (!takes_samples)
        return error_set(error, ERROR_INVALID, "formation: no peer has the role ingest");
    if (peer_count > CLUSTER_NODES_MAX)
        return error_set(error, ERROR_INVALID, "formation: %zu peers", peer_count);
    if (options->shard_count == 0 || options->shard_count > CLUSTER_SHARDS_MAX)
        return error_set(error, ERROR_INVALID, "formation: %u shards", options->shard_count);
    if (options->replication == 0 || options->replication > CLUSTER_REPLICAS_MAX)
        return error_set(error, ERROR_INVALID, "formation: replication %u", options->replication);
    if (options->spread == 0 || options->spread > SLOT_COUNT)
        return error_set(error, ERROR_INVALID, "formation: spread %u", options->spread);
    if (options->first_group == 0 || strlen(options->name) > CLUSTER_NAME_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "formation: name or group");
    return ERROR_NONE;
}

enum error_code formation_found(const struct cluster_founder *peers, size_t peer_count,
                                const struct formation_options *options, struct arena *arena,
                                struct cluster_entry *entry_out, struct error *error)
{
    enum error_code code = check_options(peers, peer_count, options, error);
    if (code != ERROR_NONE)
        return code;
    struct cluster_founder *founders = arena_array(arena, peer_count, sizeof *founders);
    struct cluster_founding_shard *shards =
        arena_array(arena, options->shard_count, sizeof *shards);
    uint16_t *slots = arena_array(arena, SLOT_COUNT, sizeof *slots);
    if (founders == NULL || shards == NULL || slots == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "formation");
    memcpy(founders, peers, peer_count * sizeof *founders);
    qsort(founders, peer_count, sizeof *founders, compare_names);
    for (size_t i = 1; i < peer_count; i++)
        if (compare_names(&founders[i - 1], &founders[i]) == 0)
            return error_set(error, ERROR_INVALID, "formation: node '%s' twice",
                             founders[i].identity.name);
    for (uint32_t i = 0; i < options->shard_count; i++)
        shards[i].group_id = options->first_group + i;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        slots[i] = options->slots != NULL
                       ? options->slots[i]
                       : (uint16_t)((uint64_t)i * options->shard_count / SLOT_COUNT);
    struct cluster_entry entry = {.kind = CLUSTER_FOUND};
    struct cluster_found *found = &entry.found;
    derive_id(founders, peer_count, found->cluster_id);
    memcpy(found->name, options->name, strlen(options->name));
    found->version = options->version;
    found->replication = options->replication;
    found->spread = options->spread;
    found->founders = founders;
    found->founder_count = peer_count;
    found->shards = shards;
    found->shard_count = options->shard_count;
    found->slots = slots;
    code = plan_founding(found, shards, arena, error);
    if (code == ERROR_NONE)
        *entry_out = entry;
    return code;
}
