/* A replica that can't go on: a freeze would write a series segment anew that is rotten there, and
 * that the others have written anew meanwhile. It is made to lead then, which it may not do for
 * long: it hands over, goes on with the state of who leads, and ends with the same files. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_world.h"
#include "simulated_write.h"

enum {
    FIRST_PAGE_BIT = 30 * 8,
    OTHERS = 300, /* more series than a shard has: all segments are written anew with them */
    LEAD_AFTER_MS = 1000,
    GO_ON_WITHIN_MS = 90000,
    LOOK_EACH_MS = 250,
};

/* --- Series that nobody looks at ------------------------------------------------------------- */

struct other_write {
    struct replica_write write; /* first */
    struct world *world;
    struct arena *arena;
};

static void on_written(struct replica_write *base)
{
    struct other_write *write = (struct other_write *)base;
    write->world->requests_out--; /* what was refused was no matter of samples that are checked */
    arena_destroy(write->arena);
    free(write);
}

static void write_others(struct node *node, struct replica *replica, uint32_t shard_id)
{
    struct world *world = node->world;
    struct other_write *request = calloc(1, sizeof *request);
    struct arena *arena = arena_create(0);
    struct slot_map slots;
    uint16_t slot = 0;
    assert(request != NULL && arena != NULL);
    request->world = world;
    request->arena = arena;
    node_slots(node, &slots);
    while (slot + 1 < SLOT_COUNT && slot_map_shard(&slots, slot) != shard_id)
        slot++;
    struct shard_write *write = &request->write.write;
    simulated_write_init(write, arena, OTHERS);
    int64_t now_ms = clock_now_ms(world->base->base.clock);
    for (uint32_t i = 0; i < OTHERS; i++) {
        struct label labels[] = {
            {LABEL_METRIC_NAME, arena_format(arena, "other_%u", i)},
            {TEXT("job"), TEXT("others")},
        };
        write->new_series[write->new_series_count++] = (struct shard_new_series){
            .labels = labels_build(arena, labels, 2), .slot = slot, .id = SHARD_ID_UNKNOWN};
        simulated_write_add(write, SHARD_SERIES_NEW | i, 0, now_ms, i);
    }
    request->write.origin = node->environment.scheduler;
    request->write.done = on_written;
    world->requests_out++;
    replica_write(replica, &request->write);
}

/* --- Being stuck ----------------------------------------------------------------------------- */

/* The newest segment is one of those that there shall be. */
static bool rot_segment(struct node *node, uint32_t shard_id)
{
    enum { LOOKS = 200 }; /* there are few */
    char newest[DISK_PATH_MAX + 1] = "", prefix[40];
    snprintf(prefix, sizeof prefix, "shards/%04u/series/", shard_id);
    for (int i = 0; i < LOOKS; i++) {
        uint64_t size;
        const char *path = simulated_disk_choose(&node->disk, prefix, &size);
        if (path != NULL && strcmp(path, newest) > 0)
            snprintf(newest, sizeof newest, "%s", path);
    }
    if (newest[0] != '\0')
        simulated_disk_flip(&node->disk, newest, FIRST_PAGE_BIT);
    return newest[0] != '\0';
}

static bool freeze_others(struct world *world, uint32_t shard_id, struct node *stuck)
{
    struct node *leader;
    struct replica *replica = world_hold_leader(world, shard_id, &leader);
    if (replica == NULL)
        return false;
    write_others(leader, replica, shard_id);
    world_run_ms(world, 1000);
    shard_freeze(replica_shard(replica));
    replica_table_release(leader->table, shard_id);
    world_run_ms(world, LEAD_AFTER_MS);
    if (leader != stuck && leader->is_alive)
        hosting_transfer(leader->hosting, shard_id, stuck->node_id);
    return true;
}

/* Whether it leads and can't go on, or is through with it. */
static bool look_at(struct node *node, uint32_t shard_id, bool *was_stuck)
{
    struct replica *replica = node->is_alive ? replica_table_hold(node->table, shard_id) : NULL;
    struct group_status status;
    struct group_statistics statistics;
    if (replica == NULL)
        return true;
    bool is_stuck = shard_needs_state(replica_shard(replica));
    replica_group_status(replica, &status);
    node->world->counts.stuck_leaders +=
        is_stuck && !*was_stuck && status.state == GROUP_STATE_LEADER;
    bool is_over = *was_stuck && !is_stuck;
    *was_stuck |= is_stuck;
    group_host_statistics(node->host, &statistics);
    node->world->counts.states_adopted += is_over && statistics.snapshots_adopted > 0;
    replica_table_release(node->table, shard_id);
    return is_over;
}

void world_stick(struct world *world)
{
    struct node *node = world->rotting;
    uint32_t shard_id = world_below(world, world->shard_count);
    if (node == NULL || !node->exists || !node->is_alive || node->failed)
        return;
    node_stop(node); /* what it has in memory is sound */
    bool is_rotten = rot_segment(node, shard_id);
    node_start(node);
    world_await_ready(world);
    bool was_stuck = false;
    if (!is_rotten || !freeze_others(world, shard_id, node))
        return;
    for (int waited_ms = 0; waited_ms < GO_ON_WITHIN_MS; waited_ms += LOOK_EACH_MS) {
        if (look_at(node, shard_id, &was_stuck))
            return;
        world_run_ms(world, LOOK_EACH_MS);
    }
    if (was_stuck)
        world_fail(world, "%s is stuck with shard %u", node->name, shard_id);
}
