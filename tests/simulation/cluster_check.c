/* In the end, when all faults are over: the cluster comes to rest, and every replica has what was
 * acknowledged, nothing that was not offered, and the same as the others. */
#include <assert.h>
#include <string.h>

#include "base/checksum.h"
#include "cluster_world.h"
#include "shard/slots.h"

enum { HEALING_MS = 600 * 1000 };

/* --- Coming to rest -------------------------------------------------------------------------- */

static bool is_changed(struct world *world)
{
    world_go_on_changing(world);
    return world->change.kind == CHANGE_NONE;
}

struct replica *world_hold_leader(struct world *world, uint32_t shard_id, struct node **node_out)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        struct replica *replica = node->is_alive ? replica_table_hold(node->table, shard_id) : NULL;
        *node_out = node;
        if (replica != NULL && replica_is_ready(replica))
            return replica;
        if (replica != NULL)
            replica_table_release(node->table, shard_id);
    }
    return NULL;
}

static bool has_nothing_to_do(const struct shard_statistics *shard)
{
    return shard->damaged_files == 0 && shard->frozen_head_count == 0 &&
           shard->merges_running == 0 && shard->merges_waiting == 0;
}

/* Replicas where they shall be and nowhere else, all with what the leader has. */
static bool shard_rests(struct world *world, uint32_t shard_id)
{
    struct node *leader;
    struct replica *led = world_hold_leader(world, shard_id, &leader);
    struct shard_statistics first;
    if (led == NULL)
        return false;
    shard_read_statistics(replica_shard(led), &first);
    const struct cluster_shard *shard =
        cluster_state_find_shard(meta_state(leader->meta), shard_id);
    bool rests = has_nothing_to_do(&first) && first.unfrozen_log_bytes == 0 && shard != NULL &&
                 shard_split_count(replica_shard(led)) ==
                     cluster_state_count_children(meta_state(leader->meta), shard_id);
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        struct replica *replica = node->is_alive ? replica_table_hold(node->table, shard_id) : NULL;
        bool is_desired =
            rests && node->is_alive && cluster_replicas_has(&shard->replicas, node->node_id);
        rests = rests && is_desired == (replica != NULL);
        if (replica == NULL)
            continue;
        struct shard_statistics other;
        shard_read_statistics(replica_shard(replica), &other);
        rests = rests && has_nothing_to_do(&other) && other.applied_index == first.applied_index &&
                replica_is_readable(replica, 0);
        replica_table_release(node->table, shard_id);
    }
    replica_table_release(leader->table, shard_id);
    return rests;
}

static bool all_know_the_same(struct world *world)
{
    uint64_t index = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (!node->is_alive)
            continue;
        uint64_t own = cluster_state_facts(meta_state(node->meta))->index;
        if (index != 0 && own != index)
            return false;
        index = own;
    }
    return true;
}

static bool all_rests(struct world *world)
{
    bool rests = world->requests_out == 0 && all_know_the_same(world);
    for (uint32_t shard = 0; shard < world->shard_count; shard++)
        rests = shard_rests(world, shard) && rests;
    return rests;
}

static void flush_restless(struct world *world)
{
    for (uint32_t shard = 0; shard < world->shard_count; shard++) {
        struct node *node = world_any(world);
        if (node != NULL && !shard_rests(world, shard))
            node_flush(node, shard);
    }
}

static void come_to_rest(struct world *world)
{
    enum { BETWEEN_FLUSHES_MS = 5000 };
    if (!world_await(world, is_changed, HEALING_MS))
        world_fail(world, "a change of nodes does not end");
    if (!world_await(world, world_is_settled, HEALING_MS))
        world_fail(world, "the replicas are not where they shall be");
    for (uint64_t waited_ms = 0; waited_ms < HEALING_MS; waited_ms += BETWEEN_FLUSHES_MS) {
        if (world_await(world, all_rests, BETWEEN_FLUSHES_MS))
            return;
        if (world->requests_out == 0)
            flush_restless(world);
    }
    world_fail(world, "the shards do not come to rest");
}

/* --- Samples --------------------------------------------------------------------------------- */

struct checking {
    struct world *world;
    struct node *node;
    unsigned series;
    uint64_t hash;
};

static void check_columns(void *context, const struct sample_columns *columns)
{
    struct checking *checking = context;
    const struct offered_series *offered = &checking->world->series[checking->series].offered;
    int64_t time_ms;
    const char *wrong =
        offered_check(offered, checking->series, columns, &checking->hash, &time_ms);
    if (wrong != NULL)
        world_fail(checking->world, "%s: series %u at %lld %s", checking->node->name,
                   checking->series, (long long)time_ms, wrong);
}

static void expect_nothing(void *context, const struct sample_columns *columns)
{
    struct checking *checking = context;
    if (columns->count > 0)
        world_fail(checking->world, "%s: series %u is shown by a shard that lost its slot",
                   checking->node->name, checking->series);
}

/* A hash of all that the replica has. */
static uint64_t check_samples(struct world *world, struct node *node, struct replica *replica,
                              const struct slot_map *map, uint32_t shard_id)
{
    struct checking checking = {.world = world, .node = node, .hash = 1};
    for (unsigned series = 0; series < WORLD_SERIES; series++) {
        checking.series = series;
        if (slot_map_shard(map, world->series[series].slot) != shard_id) {
            node_read_series(node, replica, series, expect_nothing, &checking);
            continue;
        }
        node_read_series(node, replica, series, check_columns, &checking);
    }
    return checking.hash;
}

/* --- Files ----------------------------------------------------------------------------------- */

static void snapshot(struct world *world, struct replica *replica, struct byte_buffer *bytes)
{
    uint64_t index;
    struct error error;
    if (shard_snapshot(replica_shard(replica), bytes, &index, &error) != ERROR_NONE)
        world_fail(world, "%s", error.message);
    byte_buffer_u64(bytes, index);
}

static void check_shard(struct world *world, const struct slot_map *map, uint32_t shard_id)
{
    struct byte_buffer first = {0};
    uint64_t hash = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        struct replica *replica = node->is_alive ? replica_table_hold(node->table, shard_id) : NULL;
        struct byte_buffer files = {0};
        if (replica == NULL)
            continue;
        uint64_t own = check_samples(world, node, replica, map, shard_id);
        snapshot(world, replica, &files);
        if (first.size > 0 && own != hash)
            world_fail(world, "%s: shard %u has other samples than elsewhere", node->name,
                       shard_id);
        if (first.size > 0 &&
            (first.size != files.size || memcmp(first.bytes, files.bytes, files.size) != 0))
            world_fail(world, "%s: shard %u has other files than elsewhere", node->name, shard_id);
        world->counts.replicas_compared += first.size > 0;
        hash = own;
        byte_buffer_clear(&first);
        first = files;
        replica_table_release(node->table, shard_id);
    }
    world->digest = hash64(first.bytes, first.size, world->digest + hash);
    byte_buffer_clear(&first);
}

/* --- All of it ------------------------------------------------------------------------------- */

static void check_nodes(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (!node->exists)
            continue;
        if (!node->is_alive || node->failed || node->is_dismissed)
            world_fail(world, "%s is not there in the end", node->name);
    }
}

void world_check(struct world *world)
{
    struct slot_map map;
    world->is_ending = true;
    world_heal(world);
    world_await_ready(world);
    world_stick(world);
    world_find_rot(world);
    come_to_rest(world);
    check_nodes(world);
    /* All is split off by now, whoever has heard of it. */
    memcpy(map.shards, cluster_state_slots(meta_state(world_any(world)->meta)), sizeof map.shards);
    for (uint32_t shard = 0; shard < world->shard_count; shard++)
        check_shard(world, &map, shard);
}
