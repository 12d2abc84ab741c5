#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_world.h"

enum {
    STEPS_TO_CLOSE_MAX = 3000000,
    HAND_OVER_MS = 3000,
    END_MS = 30000,
    TRANSPORT_PATIENCE_MS = 500,
    GROUPS_MAX = WORLD_SHARDS_MAX + 1,
    PEERS_MAX = WORLD_NODES_MAX,
};

/* --- Machines -------------------------------------------------------------------------------- */

static void make_directory(struct node *node)
{
    struct world *world = node->world;
    for (size_t i = 0; i < sizeof node->directory_id; i++)
        node->directory_id[i] = (uint8_t)world_below(world, 256);
    simulated_disk_init(&node->disk, &world->base->scheduler, random_next(&world->random.base));
}

struct node *world_add(struct world *world)
{
    assert(world->node_count < WORLD_NODES_MAX);
    struct node *node = &world->nodes[world->node_count];
    *node = (struct node){.world = world, .number = world->node_count++, .exists = true};
    snprintf(node->name, sizeof node->name, "node-%zu", node->number + 1);
    (void)simulated_network_add(&world->network, node->name, 1);
    node->clock.ahead_ms = (int64_t)world_below(world, 2000) - 1000;
    make_directory(node);
    return node;
}

void node_wipe(struct node *node)
{
    assert(!node->is_alive);
    if (node->disk.crashed)
        simulated_disk_restart(&node->disk);
    simulated_disk_clear(&node->disk);
    if (node == node->world->rotting)
        node->world->flipped_count = 0;
    byte_buffer_clear(&node->identity);
    byte_buffer_clear(&node->remembered);
    make_directory(node);
}

void world_set_links(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        for (size_t k = 0; k < world->node_count; k++)
            simulated_network_stall(&world->network, i, k,
                                    world->apart[i][k] || world->nodes[i].closing > 0 ||
                                        world->nodes[k].closing > 0);
}

/* --- A life begins --------------------------------------------------------------------------- */

static int64_t clock_now(struct clock *self)
{
    struct node_clock *clock = (struct node_clock *)self;
    return clock->world->now_ms(clock->world) + clock->ahead_ms;
}

static uint64_t clock_monotonic(struct clock *self)
{
    struct node_clock *clock = (struct node_clock *)self;
    return clock->world->monotonic_ns(clock->world);
}

static void make_environment(struct node *node)
{
    struct world *world = node->world;
    random_generator_init(&node->random, random_next(&world->random.base));
    node->clock.base.now_ms = clock_now;
    node->clock.base.monotonic_ns = clock_monotonic;
    node->clock.world = &world->base->clock.base;
    node->environment = (struct environment){
        .scheduler = &world->base->scheduler.base,
        .disk = &node->disk.base,
        .clock = &node->clock.base,
        .random = &node->random.base,
        .network = simulated_network_lane(&world->network, node->number, 0),
    };
}

static enum error_code open_board(struct node *node, struct error *error)
{
    struct cluster_state *state = NULL;
    enum error_code code = cluster_board_create(&node->board, error);
    if (code == ERROR_NONE && node->remembered.size > 0)
        code = cluster_state_decode(node->remembered.bytes, node->remembered.size,
                                    CLUSTER_VERSION_MAX, &state, error);
    if (code == ERROR_NONE && state != NULL)
        code = cluster_board_post(node->board, state, CLUSTER_VIEW_REMEMBERED, error);
    cluster_state_destroy(state);
    return code;
}

static enum error_code open_journal(struct node *node, struct error *error)
{
    uint64_t groups[GROUPS_MAX];
    struct journal_recovery_options recovery = {.directory = "journal"};
    enum error_code code =
        journal_recover(node->environment.disk, &recovery, &node->recovery, error);
    if (code != ERROR_NONE)
        return code;
    size_t count = journal_recovery_group_count(node->recovery);
    assert(count <= GROUPS_MAX);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(node->recovery, i)->group;
    struct journal_options options = {
        .directory = "journal",
        .segment_bytes_min = 64 * 1024,
        .segment_bytes_max = 256 * 1024,
        .free_bytes_min = 1,
    };
    struct journal_events events = {
        .context = node, .fatal = node_journal_fatal, .space_changed = node_space_changed};
    return journal_open(&node->environment, &options, &events, node->recovery, groups, count,
                        &node->journal, error);
}

static enum error_code open_network(struct node *node, struct error *error)
{
    char address[24];
    snprintf(address, sizeof address, "%s:1", node->name);
    struct transport_options options = {
        .environment = &node->environment,
        .name = node->name,
        .listen_address = "x:1",
        .advertise_address = address,
        .lane_count = 1,
        .incarnation = node->life * WORLD_NODES_MAX + node->number + 1,
        .events = &NODE_TRANSPORT_EVENTS,
        .context = node,
    };
    enum error_code code = transport_open(&options, &node->transport, error);
    if (code == ERROR_NONE)
        code = group_link_create(node->transport, &node->link, error);
    node->budget = (struct transfer_budget){
        .bytes_per_second = node->world->seed % 3 == 1 ? 50000 : 0,
    };
    struct transfer_options transfer = {
        .environment = &node->environment,
        .transport = node->transport,
        .budget = &node->budget,
        .range_bytes = node->world->seed % 4 == 3 ? 300 : 4000,
        .timeout_ms = 3000,
    };
    if (code == ERROR_NONE)
        code = transfer_create(&transfer, &node->transfer, error);
    struct routing_options routing = {
        .scheduler = node->environment.scheduler,
        .table = node->table,
        .board = node->board,
        .transport = node->transport,
        .timeout_ms = 2000,
    };
    if (code == ERROR_NONE)
        code = routing_create(&routing, &node->routing, error);
    return code;
}

/* Small, so that everything happens often. */
static struct placement_limits placement_limits(void)
{
    return (struct placement_limits){
        .replace_after_ms = 25000,
        .caught_up_bytes = 16 * 1024,
        .moves_total = 8,
        .moves_per_node = 2,
        .transfers_total = 4,
        .transfer_pause_ms = 5000,
    };
}

static enum error_code open_hosting(struct node *node, struct error *error)
{
    node->limits = (struct replica_node){
        .unfrozen_bytes_max = 40 * 1024,
        .unfrozen_age_max_ms = 15 * 60 * 1000,
        .queued_bytes_max = 64 << 20,
    };
    struct hosting_loop_options loop = {
        .environment = &node->environment,
        .journal = node->journal,
        .transport = node->transport,
        .transfer = node->transfer,
    };
    struct hosting_options options = {
        .loops = &loop,
        .loop_count = 1,
        .table = node->table,
        .node = &node->limits,
        .board = node->board,
        .shard =
            {
                .cache = node->cache,
                .hash_seed = node->number + 1,
                .future_window_ms = 600000,
                .quiet_ms = 10 * 60 * 1000,
                .node_series = &node->series_count,
                .exemplars_max = 1000,
                .metadata_max = 100,
            },
        .limits = placement_limits(),
        .fatal = node_fatal,
        .context = node,
    };
    return hosting_create(&options, &node->hosting, error);
}

/* Those that the operator named: all founders, or, when some of them are gone for good or the node
 * came later, all that are there. */
static size_t list_peers(const struct node *node, struct meta_peer *peers,
                         char addresses[PEERS_MAX][24])
{
    const struct world *world = node->world;
    size_t count = 0;
    bool names_founders = node->number < world->founders;
    for (size_t i = 0; i < world->founders; i++)
        names_founders = names_founders && world->nodes[i].exists;
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *other = &world->nodes[i];
        bool is_named = names_founders ? i < world->founders : other->exists && other != node;
        if (!is_named)
            continue;
        snprintf(addresses[count], 24, "%s:1", other->name);
        peers[count] = (struct meta_peer){other->name, addresses[count]};
        count++;
    }
    return count;
}

/* In half of the runs the founders know only the first version until they are started again: a
 * cluster that is founded with the newest one never sees it raised later. */
static uint32_t known_version(const struct node *node)
{
    const struct world *world = node->world;
    bool is_old = world->seed % 2 == 1 && node->number < world->founders && node->life == 1;
    return is_old ? 1 : CLUSTER_VERSION_MAX;
}

static enum error_code open_meta(struct node *node, struct error *error)
{
    struct meta_peer peers[PEERS_MAX];
    char addresses[PEERS_MAX][24];
    size_t peer_count = list_peers(node, peers, addresses);
    struct meta_options options = {
        .environment = &node->environment,
        .transport = node->transport,
        .traits = {.roles = CLUSTER_ROLES_ALL,
                   .version_min = 1,
                   .version_max = known_version(node)},
        .peers = peers,
        .peer_count = peer_count,
        .formation = {.name = "east",
                      .shard_count = node->world->founding_shards,
                      .replication = 3,
                      .version = 1,
                      .spread = 4,
                      .first_group = hosting_group_of(0)},
        .directory = META_DIRECTORY_NEW,
        .stored = node->identity.bytes,
        .stored_bytes = node->identity.size,
        .recovery =
            journal_recovery_find(node->recovery, META_GROUP_ID) == NULL ? NULL : node->recovery,
        .limits = placement_limits(),
        .events = &NODE_META_EVENTS,
        .context = node,
    };
    snprintf(options.identity.name, sizeof options.identity.name, "%s", node->name);
    memcpy(options.identity.directory_id, node->directory_id, sizeof node->directory_id);
    snprintf(options.traits.address, sizeof options.traits.address, "%s:1", node->name);
    snprintf(options.traits.zone, sizeof options.traits.zone, "z");
    return meta_create(&options, &node->meta, error);
}

struct beginning {
    struct node *node;
    uint64_t life;
};

static void begin(void *argument)
{
    struct beginning *beginning = argument;
    struct node *node = beginning->node;
    if (node->is_alive && node->life == beginning->life)
        meta_start(node->meta);
    free(beginning);
}

/* A processor has much to do at a start: connections may be there before the node knows itself. */
static void begin_soon(struct node *node)
{
    struct world *world = node->world;
    struct beginning *beginning = malloc(sizeof *beginning);
    assert(beginning != NULL);
    *beginning = (struct beginning){node, node->life};
    simulated_scheduler_after(
        &world->base->scheduler,
        world_chance(world, 50) ? 0 : world_below(world, 2000) * UINT64_C(1000000), begin,
        beginning);
}

void node_start(struct node *node)
{
    struct error error;
    assert(node->exists && !node->is_alive);
    node->life++;
    node->failed = node->is_dismissed = node->was_ready = false;
    node->node_id = 0;
    node->world->counts.starts++;
    if (node->disk.crashed)
        simulated_disk_restart(&node->disk);
    node->disk.settings.capacity_bytes = UINT64_MAX; /* without room no node starts */
    atomic_store(&node->series_count, 0);
    node_forget_series(node);
    make_environment(node);
    enum error_code code = page_cache_create(1 << 20, &node->cache, &error);
    if (code == ERROR_NONE)
        code = replica_table_create(CLUSTER_SHARDS_MAX, &node->table, &error);
    if (code == ERROR_NONE)
        code = open_board(node, &error);
    if (code == ERROR_NONE)
        code = open_journal(node, &error);
    if (code == ERROR_NONE)
        code = open_network(node, &error);
    if (code == ERROR_NONE)
        code = open_hosting(node, &error);
    if (code == ERROR_NONE)
        code = open_meta(node, &error);
    if (code != ERROR_NONE)
        world_fail(node->world, "%s does not start: %s", node->name, error.message);
    node->is_alive = true;
    node_follow(node);
    begin_soon(node);
}

/* --- A life ends ----------------------------------------------------------------------------- */

static void part_closed(void *context)
{
    ((struct node *)context)->closing--;
}

/* Where a disk is so full that not even an end has room, the process ends all the same after a
 * while; here there is room then. */
static void await(struct node *node, size_t closing, const char *what)
{
    struct simulated_scheduler *scheduler = &node->world->base->scheduler;
    uint64_t until_ms = world_now_ms(node->world) + END_MS;
    for (size_t i = 0; node->closing > closing; i++) {
        if (world_now_ms(node->world) > until_ms)
            node->disk.settings.capacity_bytes = UINT64_MAX;
        if (i == STEPS_TO_CLOSE_MAX || !simulated_scheduler_step(scheduler))
            world_fail(node->world, "%s of %s does not end", what, node->name);
    }
}

static void count_life(struct node *node)
{
    struct world_counts *counts = &node->world->counts;
    struct hosting_statistics hosting;
    struct routing_statistics routing;
    hosting_read_statistics(node->hosting, &hosting);
    counts->transfers += hosting.transfers_total;
    counts->member_steps += hosting.steps_total;
    counts->replicas_made += hosting.created_total;
    counts->replicas_removed += hosting.removed_total;
    routing_read_statistics(node->routing, &routing);
    counts->redirected += routing.redirected;
    counts->retried += routing.retried;
    if (node->host != NULL) {
        struct group_statistics group;
        group_host_statistics(node->host, &group);
        counts->snapshots_prepared += group.snapshots_prepared;
        counts->snapshots_installed += group.snapshots_installed;
        counts->entries_read_back += group.entries_read_back;
        counts->elections += group.elections_won;
    }
}

static void count_replica(void *context, uint32_t shard_id, struct replica *replica)
{
    struct world_counts *counts = context;
    struct shard_install_progress progress;
    struct shard_statistics shard;
    (void)shard_id;
    shard_read_install_progress(replica_shard(replica), &progress);
    shard_read_statistics(replica_shard(replica), &shard);
    counts->files_fetched += progress.files_fetched_total;
    counts->damage_mended += progress.files_repaired_total;
    counts->merges += shard.merges_total;
    counts->freezes += shard.freezes_total;
    counts->series_forgotten += shard.series_forgotten;
}

static void close_meta(struct node *node, size_t closing)
{
    struct meta *meta = node->meta;
    node->meta = NULL;
    node->closing++;
    meta_close(meta, part_closed, node);
    await(node, closing, "the meta group");
}

static void end_calls(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)context, (void)shard_id;
    shard_cancel_flushes(replica_shard(replica));
    replica_step_down(replica);
}

static void close_routing(struct node *node, size_t closing)
{
    struct routing_statistics routing;
    node->closing++;
    routing_drain(node->routing, part_closed, node);
    hosting_visit_loop(node->hosting, 0, end_calls, NULL);
    await(node, closing, "routing");
    routing_read_statistics(node->routing, &routing);
    if (routing.under_way + routing.sent_bytes_under_way + routing.received_bytes_under_way > 0)
        world_fail(node->world, "%s: routing is drained, with something under way", node->name);
}

static void close_network(struct node *node, uint64_t patience_ms, size_t closing)
{
    struct transfer_statistics transfer;
    struct world_counts *counts = &node->world->counts;
    struct transport *transport = node->transport;
    group_link_deliver_to(node->link, NULL);
    node->transport = NULL;
    node->closing++;
    transport_close(transport, patience_ms, part_closed, node);
    await(node, closing, "the transport");
    transfer_read_statistics(node->transfer, &transfer);
    counts->ranges_failed += transfer.ranges_failed;
    counts->files_resumed += transfer.files_resumed;
    node->closing++;
    transfer_close(node->transfer, part_closed, node);
    await(node, closing, "the transfer");
    node->transfer = NULL;
}

/* Everything is closed; its memory is given back. */
static void release(struct node *node)
{
    struct simulated_scheduler *scheduler = &node->world->base->scheduler;
    while (node->follow_queued && simulated_scheduler_step(scheduler))
        ;
    count_life(node);
    routing_destroy(node->routing);
    hosting_destroy(node->hosting);
    group_host_destroy(node->host);
    group_link_destroy(node->link);
    cluster_view_unref(node->view);
    cluster_board_destroy(node->board);
    replica_table_destroy(node->table);
    journal_recovery_close(node->recovery);
    page_cache_destroy(node->cache);
    node->routing = NULL;
    node->hosting = NULL;
    node->host = NULL;
    node->link = NULL;
    node->view = NULL;
    node->board = NULL;
    node->table = NULL;
    node->journal = NULL;
    node->recovery = NULL;
    node->cache = NULL;
    if (atomic_load(&node->limits.queued_bytes) != 0)
        world_fail(node->world, "%s: writes are queued in no replica", node->name);
}

/* In the order of the server. */
void node_stop(struct node *node)
{
    assert(node->is_alive);
    node->world->counts.stops++;
    node->disk.settings.crash_at_operation = 0;
    node->disk.settings.capacity_bytes = UINT64_MAX; /* what waits for room would wait for ever */
    node->is_alive = false;
    if (node->host != NULL) {
        node->closing++;
        hosting_hand_over(node->hosting, 0, HAND_OVER_MS, part_closed, node);
        await(node, 0, "handing over");
    }
    close_meta(node, 0);
    close_routing(node, 0);
    hosting_visit_loop(node->hosting, 0, count_replica, &node->world->counts);
    node->closing++;
    hosting_close(node->hosting, 0, part_closed, node);
    await(node, 0, "hosting");
    close_network(node, TRANSPORT_PATIENCE_MS, 0);
    node->closing++;
    journal_close(node->journal, part_closed, node);
    await(node, 0, "the journal");
    release(node);
}

/* Nobody hears of what it does while it is taken apart, and it hears of nobody. */
void node_crash(struct node *node)
{
    struct world *world = node->world;
    assert(node->is_alive);
    node->is_alive = false;
    node->failed = true;
    node->disk.settings.crash_at_operation = 0;
    if (!node->disk.crashed)
        simulated_disk_crash(&node->disk,
                             world_chance(world, 30) ? SIMULATED_KILL : SIMULATED_POWER_FAILURE);
    node->closing = 1;
    world_set_links(world);
    for (size_t i = 0; i < world->node_count; i++)
        if (i != node->number)
            simulated_network_cut(&world->network, node->number, i);
    if (node->host != NULL)
        group_host_journal_lost(node->host);
    hosting_visit_loop(node->hosting, 0, count_replica, &node->world->counts);
    hosting_journal_lost(node->hosting, 0);
    node->closing++;
    journal_close(node->journal, part_closed, node);
    await(node, 1, "the journal");
    close_meta(node, 1);
    node->closing++;
    hosting_close(node->hosting, 0, part_closed, node);
    await(node, 1, "hosting");
    close_routing(node, 1);
    close_network(node, 0, 1);
    release(node);
    node->closing = 0;
    world_set_links(world);
}
