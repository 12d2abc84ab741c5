#include <assert.h>
#include <stdlib.h>

#include "cluster_world.h"

/* --- Choosing -------------------------------------------------------------------------------- */

static struct node *choose(struct world *world)
{
    struct node *node = &world->nodes[world_below(world, (uint32_t)world->node_count)];
    return node->exists ? node : NULL;
}

static struct node *choose_alive(struct world *world)
{
    struct node *node = choose(world);
    return node != NULL && node->is_alive && !node->failed ? node : NULL;
}

/* --- Writes and reads ------------------------------------------------------------------------ */

static void write_burst(struct world *world)
{
    uint32_t count = 1 + world_below(world, world_chance(world, 15) ? 40 : 10);
    for (uint32_t i = 0; i < count; i++) {
        struct node *node = world_any(world);
        if (node != NULL)
            client_write(world, node);
    }
}

static void read_some(struct world *world)
{
    struct node *node = world_any(world);
    if (node == NULL)
        return;
    node_read_own(node);
    node_read_confirmed(node);
}

struct flushing {
    struct routing_flush flush; /* first */
    struct world *world;
};

static void flushed(struct routing_flush *flush)
{
    struct flushing *flushing = (struct flushing *)flush;
    flushing->world->counts.flushes += flush->error.code == ERROR_NONE;
    flushing->world->requests_out--;
    free(flushing);
}

void node_flush(struct node *node, uint32_t shard_id)
{
    struct flushing *flushing = calloc(1, sizeof *flushing);
    assert(flushing != NULL);
    flushing->world = node->world;
    flushing->flush = (struct routing_flush){
        .reach = world_chance(node->world, 30) ? FLUSH_DELETED : FLUSH_SAMPLES,
        .timeout_ms = 20000,
        .done = flushed,
    };
    node->world->requests_out++;
    routing_flush(node->routing, shard_id, &flushing->flush);
}

/* --- Processes ------------------------------------------------------------------------------- */

/* Soon, in the middle of something. */
static void crash_soon(struct node *node)
{
    struct world *world = node->world;
    node->disk.settings.crash = world_chance(world, 30) ? SIMULATED_KILL : SIMULATED_POWER_FAILURE;
    node->disk.settings.crash_at_sync = world_chance(world, 50);
    node->disk.settings.crash_at_operation = node->disk.operations + 1 + world_below(world, 300);
}

bool node_is_leaving(const struct node *node)
{
    const struct world_change *change = &node->world->change;
    return node == change->node && (change->kind == CHANGE_REMOVING || change->is_asking);
}

static void crash_or_start(struct world *world)
{
    struct node *node = choose(world);
    if (node == NULL || node_is_leaving(node))
        return;
    if (!node->is_alive)
        node_start(node);
    else if (world_chance(world, 20) && !node->disk.crashed) /* by itself, just now */
        node_stop(node);
    else if (world_chance(world, 50))
        node_crash(node);
    else
        crash_soon(node);
}

/* Several at once, as with a power cut of the house. */
static void crash_many(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].exists && world->nodes[i].is_alive && world_chance(world, 60))
            node_crash(&world->nodes[i]);
}

static void start_all(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].exists && !world->nodes[i].is_alive &&
            !node_is_leaving(&world->nodes[i]))
            node_start(&world->nodes[i]);
}

/* --- Network --------------------------------------------------------------------------------- */

static void isolate(struct world *world, size_t one)
{
    for (size_t i = 0; i < world->node_count; i++)
        world->apart[one][i] = world->apart[i][one] = i != one;
    world->counts.isolated++;
}

static void mend_links(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        for (size_t k = 0; k < world->node_count; k++) {
            struct simulated_link *link = &world->network.links[i][k];
            world->apart[i][k] = false;
            link->is_refusing = false;
            link->delay_ns_min = 50000;
            link->delay_ns_max = 500000;
            link->bytes_per_s = 0;
        }
}

static void slow_down(struct world *world, size_t one, size_t other)
{
    struct simulated_link *link = &world->network.links[one][other];
    link->delay_ns_max = UINT64_C(1000000) * (1 + world_below(world, 400));
    link->bytes_per_s = world_chance(world, 50) ? 100000 : 0;
    world->counts.links_slow++;
}

static void mend_disk(struct node *node)
{
    node->disk.settings.capacity_bytes = UINT64_MAX;
    node->disk.settings.slow_per_thousand = 0;
}

void world_mend(struct world *world)
{
    mend_links(world);
    world_set_links(world);
    for (size_t i = 0; i < world->node_count; i++)
        mend_disk(&world->nodes[i]);
}

static void trouble_network(struct world *world)
{
    size_t one = world_below(world, (uint32_t)world->node_count);
    size_t other = world_below(world, (uint32_t)world->node_count);
    uint32_t dice = world_below(world, 100);
    if (dice < 12) {
        isolate(world, one);
    } else if (one == other || dice < 40) {
        mend_links(world);
    } else if (dice < 52) {
        world->apart[one][other] = true;
        world->counts.partitions_one_way++;
    } else if (dice < 62) {
        world->apart[one][other] = world->apart[other][one] = true;
        world->counts.partitions++;
    } else if (dice < 74) {
        simulated_network_cut(&world->network, one, other);
        world->counts.cuts++;
    } else if (dice < 84) {
        simulated_network_lose(&world->network, one, other);
        world->counts.half_open++;
    } else {
        slow_down(world, one, other);
    }
    world_set_links(world);
}

/* --- Disks and clocks ------------------------------------------------------------------------ */

static void trouble_disk(struct world *world)
{
    struct node *node = choose_alive(world);
    if (node == NULL)
        return;
    if (world_chance(world, 50)) {
        mend_disk(node);
    } else if (world_chance(world, 50)) {
        node->disk.settings.slow_per_thousand = 20;
        world->counts.disks_slow++;
    } else {
        node->disk.settings.capacity_bytes = simulated_disk_used_bytes(&node->disk) + 200000;
        world->counts.disks_full++;
    }
}

static void set_clocks(struct world *world)
{
    if (world_chance(world, 40)) {
        world->base->clock.wall_offset_ms += world_below(world, 2 * 3600 * 1000);
        world->counts.clock_jumps_of_all++;
        return;
    }
    struct node *node = choose(world);
    if (node == NULL)
        return;
    node->clock.ahead_ms = (int64_t)world_below(world, world_chance(world, 20) ? 7200000 : 60000) -
                           (world_chance(world, 50) ? 30000 : 0);
    if (world_chance(world, 20))
        node->clock.ahead_ms = -node->clock.ahead_ms;
    world->counts.clock_jumps++;
}

/* --- Leaders --------------------------------------------------------------------------------- */

static void transfer(struct world *world)
{
    struct node *from = world_any(world), *to = world_any(world);
    if (from == NULL || to == NULL || from->host == NULL)
        return;
    for (uint32_t shard = 0; shard < world->shard_count; shard++) {
        struct replica *replica = replica_table_hold(from->table, shard);
        if (replica == NULL)
            continue;
        if (replica_is_ready(replica)) {
            hosting_transfer(from->hosting, shard, to->node_id);
            world->counts.transfers_asked++;
        }
        replica_table_release(from->table, shard);
    }
}

/* --- Splits ----------------------------------------------------------------------------------- */

struct splitting {
    struct meta_command command; /* first */
    struct world *world;
};

static void split_asked(struct meta_command *command, const struct error *error)
{
    struct splitting *splitting = (struct splitting *)command;
    struct world_counts *counts = &splitting->world->counts;
    counts->versions_raised += command->kind == META_RAISE_VERSION && error->code == ERROR_NONE;
    splitting->world->requests_out--; /* of splits, the state tells */
    free(splitting);
}

/* Nothing is split before all nodes know how to. */
static bool may_split(const struct node *node)
{
    return cluster_state_facts(meta_state(node->meta))->version >= STATE_VERSION_SPLITS;
}

/* A split is short: whoever asks meanwhile must meet it. */
static void ask_something(void *argument)
{
    struct world *world = argument;
    struct node *node = world->is_ending ? NULL : world_any(world);
    uint32_t dice = world_below(world, 4);
    world->requests_out--;
    if (node == NULL)
        return;
    if (dice == 0)
        client_delete(world, node);
    else if (dice == 1)
        client_write(world, node);
    else if (dice == 2)
        read_some(world);
    else
        node_flush(node, world_below(world, world->shard_count));
}

static void ask_meanwhile(struct world *world)
{
    enum { QUESTIONS = 30, WITHIN_MS = 3000 };
    for (int i = 0; i < QUESTIONS; i++) {
        world->requests_out++;
        simulated_scheduler_after(&world->base->scheduler,
                                  world_below(world, WITHIN_MS) * UINT64_C(1000000), ask_something,
                                  world);
    }
}

static void split(struct world *world)
{
    enum { SHARDS_AT_MOST = 10 }; /* a command may come to effect twice */
    struct node *node = world_any(world);
    if (node == NULL || node->meta == NULL ||
        world->founding_shards + world->splits_asked >= SHARDS_AT_MOST)
        return;
    struct splitting *splitting = calloc(1, sizeof *splitting);
    assert(splitting != NULL);
    splitting->world = world;
    splitting->command = (struct meta_command){
        .kind = may_split(node) ? META_SPLIT_SHARD : META_RAISE_VERSION,
        .shard_id =
            world_chance(world, 50) ? CLUSTER_SHARD_NONE : world_below(world, world->shard_count),
        .timeout_ms = 5000,
        .done = split_asked,
    };
    world->splits_asked += splitting->command.kind == META_SPLIT_SHARD;
    world->change.is_settled = false; /* whatever was seen before */
    world->change.number++;
    world->requests_out++;
    meta_command(node->meta, &splitting->command);
    ask_meanwhile(world);
    /* Some of those who take part do not come to the end of it. */
    for (int i = 0; i < 2; i++) {
        struct node *other = choose_alive(world);
        if (other != NULL && world_chance(world, 30))
            crash_soon(other);
    }
}

/* --- Steps ----------------------------------------------------------------------------------- */

/* Now and then all is well for some seconds. */
static void rest(struct world *world)
{
    world_mend(world);
    start_all(world);
    for (unsigned i = 0; i < 10; i++) {
        world_run_ms(world, 1000);
        world_go_on_changing(world);
        write_burst(world);
    }
}

void world_step(struct world *world)
{
    if (world_chance(world, 3))
        rest(world);
    uint32_t dice = world_below(world, 100);
    write_burst(world);
    if (dice < 20)
        read_some(world);
    else if (dice < 30)
        crash_or_start(world);
    else if (dice < 31)
        crash_many(world);
    else if (dice < 35)
        start_all(world);
    else if (dice < 47)
        trouble_network(world);
    else if (dice < 52)
        trouble_disk(world);
    else if (dice < 57)
        set_clocks(world);
    else if (dice < 62)
        transfer(world);
    else if (dice < 66 && world_any(world) != NULL)
        node_flush(world_any(world), world_below(world, world->shard_count));
    else if (dice < 76)
        world_begin_change(world);
    else if (dice < 79)
        world_crash_all(world);
    else if (dice < 85 && world_any(world) != NULL)
        client_delete(world, world_any(world));
    else if (dice < 88)
        world_rot(world);
    else if (dice < 90)
        world_scrub(world);
    else if (dice < 95)
        split(world);
    world_go_on_changing(world);
    world_run_ms(world, world_below(world, world_chance(world, 10) ? 12000 : 1500));
}

void world_heal(struct world *world)
{
    world_mend(world);
    world->message_faults_per_thousand = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (!node->exists)
            continue;
        node->disk.settings.crash_at_operation = 0;
        node->clock.ahead_ms = 0;
        if (node->is_alive && (node->failed || node->disk.crashed))
            node_crash(node);
        if (!node->is_alive)
            node_start(node);
    }
}
