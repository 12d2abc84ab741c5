#include "meta_world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

enum { STEPS_TO_CLOSE_MAX = 2000000, SHARD_STEP_MS = 200, SEGMENT_BYTES = 128 * 1024 };

/* --- World --------------------------------------------------------------------------------- */

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;
    printf("seed %llu: ", (unsigned long long)world->seed);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf(" (at %llu ms)\n", (unsigned long long)world_now_ms(world));
    longjmp(*world->on_failure, 1);
}

uint32_t world_below(struct world *world, uint32_t bound)
{
    return random_below(&world->random.base, bound);
}

uint64_t world_now_ms(const struct world *world)
{
    return world->base->clock.now_ns / 1000000;
}

void world_run_ms(struct world *world, uint64_t duration_ms)
{
    simulated_scheduler_run_for(&world->base->scheduler, duration_ms * 1000000);
}

static void shards_timer(void *argument)
{
    struct world *world = argument;
    if (world->is_ending)
        return;
    shards_step(world);
    simulated_scheduler_after(&world->base->scheduler, SHARD_STEP_MS * UINT64_C(1000000),
                              shards_timer, world);
}

struct world *world_create(uint64_t seed, struct world_counts *counts)
{
    struct world *world = calloc(1, sizeof *world);
    assert(world != NULL);
    world->seed = seed;
    world->counts = counts;
    world->base = simulated_environment_create(seed);
    world->versions = calloc(WORLD_VERSIONS_MAX, sizeof *world->versions);
    assert(world->versions != NULL);
    simulated_network_init(&world->network, &world->base->scheduler, seed + 1);
    random_generator_init(&world->random, seed * 7 + 5);
    world->store_delay_ms_max = 50;
    world->replace_after_ms = 20000;
    shards_timer(world);
    return world;
}

void world_destroy(struct world *world)
{
    world->is_ending = true;
    world_heal(world);
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive)
            node_stop(&world->nodes[i]);
    while (simulated_scheduler_step(&world->base->scheduler))
        ;
    if (simulated_network_stream_count(&world->network) != 0)
        world_fail(world, "streams are left");
    for (size_t i = 0; i < world->node_count; i++) {
        simulated_disk_clear(&world->nodes[i].disk);
        byte_buffer_clear(&world->nodes[i].identity);
    }
    simulated_network_clear(&world->network);
    simulated_environment_destroy(world->base);
    free(world->versions);
    free(world);
}

/* --- Nodes that are down ------------------------------------------------------------------- */

static void make_directory(struct node *node)
{
    struct world *world = node->world;
    for (size_t i = 0; i < sizeof node->directory_id; i++)
        node->directory_id[i] = (uint8_t)world_below(world, 256);
    simulated_disk_init(&node->disk, &world->base->scheduler, random_next(&world->random.base));
}

struct node *world_add(struct world *world, const char *name, const char *host_name)
{
    assert(world->node_count < WORLD_NODES_MAX);
    struct node *node = &world->nodes[world->node_count++];
    node->world = world;
    node->host = simulated_network_add(&world->network, host_name, 1);
    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->host_name, sizeof node->host_name, "%s", host_name);
    snprintf(node->zone, sizeof node->zone, "z");
    node->version_max = CLUSTER_VERSION_MAX;
    node->roles = CLUSTER_ROLES_ALL;
    node->cluster_name = "east";
    node->shard_count = 8;
    node->replication = 3;
    node->clock.ahead_ms = (int64_t)world_below(world, 2000) - 1000;
    make_directory(node);
    return node;
}

void node_knows(struct node *node, const struct node *other)
{
    assert(node->peer_count < WORLD_PEERS_MAX);
    size_t place = node->peer_count++;
    snprintf(node->peer_names[place], sizeof node->peer_names[place], "%s", other->name);
    snprintf(node->peer_addresses[place], sizeof node->peer_addresses[place], "%s:1",
             other->host_name);
}

void world_add_founders(struct world *world, size_t count)
{
    size_t first = world->node_count;
    for (size_t i = 0; i < count; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        (void)world_add(world, name, name);
    }
    for (size_t i = first; i < first + count; i++)
        for (size_t k = first; k < first + count; k++)
            node_knows(&world->nodes[i], &world->nodes[k]);
}

void node_wipe(struct node *node)
{
    assert(!node->is_alive);
    node->world->wipes++;
    simulated_disk_clear(&node->disk);
    byte_buffer_clear(&node->identity);
    node->identity = (struct byte_buffer){0};
    make_directory(node);
    /* A cluster that only this directory knew of is none. */
    struct world *world = node->world;
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].identity.size > 0)
            return;
    world->has_cluster = false;
    memset(world->directory_of_id, 0, sizeof world->directory_of_id);
}

/* --- Events -------------------------------------------------------------------------------- */

struct storing {
    struct node *node;
    uint64_t life;
    struct byte_buffer bytes;
};

static void stored(void *argument)
{
    struct storing *storing = argument;
    struct node *node = storing->node;
    struct world *world = node->world;
    if (node->is_alive && node->life == storing->life) {
        struct error error = {0};
        if (world_below(world, 100) < world->store_failures_per_hundred) {
            world->counts->store_failures++;
            error_set(&error, ERROR_IO, "no luck");
        } else {
            byte_buffer_reset(&node->identity);
            byte_buffer_append(&node->identity, storing->bytes.bytes, storing->bytes.size);
        }
        /* It may be durable, and the process gone before it heard of it. */
        meta_stored(node->meta, &error);
    }
    byte_buffer_clear(&storing->bytes);
    free(storing);
}

static void on_store(void *context, const uint8_t *bytes, size_t size_bytes)
{
    struct node *node = context;
    struct storing *storing = calloc(1, sizeof *storing);
    assert(storing != NULL);
    storing->node = node;
    storing->life = node->life;
    byte_buffer_append(&storing->bytes, bytes, size_bytes);
    uint64_t delay_ms = world_below(node->world, (uint32_t)node->world->store_delay_ms_max + 1);
    simulated_scheduler_after(&node->world->base->scheduler, delay_ms * 1000000, stored, storing);
}

static void host_fatal(void *context, uint64_t group_id, const struct error *error)
{
    struct node *node = context;
    world_fail(node->world, "node %s, group %llu stopped: %s", node->name,
               (unsigned long long)group_id, error->message);
}

static void attach(struct node *node)
{
    struct error error;
    struct group_host_options options = {
        .environment = &node->environment,
        .journal = node->journal,
        .transport = group_link_transport(node->link),
        .node_id = node->node_id,
        .snapshot_log_bytes = 4096,
        .fatal = host_fatal,
        .fatal_context = node,
    };
    if (group_host_create(&options, &node->host_of_groups, &error) != ERROR_NONE)
        world_fail(node->world, "host: %s", error.message);
    group_link_deliver_to(node->link, node->host_of_groups);
    if (meta_attach(node->meta, node->host_of_groups, &error) != ERROR_NONE)
        world_fail(node->world, "node %s: %s", node->name, error.message);
}

struct attaching {
    struct node *node;
    uint64_t life;
};

static void attach_later(void *argument)
{
    struct attaching *attaching = argument;
    if (attaching->node->is_alive && attaching->node->life == attaching->life)
        attach(attaching->node);
    free(attaching);
}

static void check_identity(struct node *node, const uint8_t *cluster_id, uint64_t node_id)
{
    struct world *world = node->world;
    if (world->has_cluster && memcmp(world->cluster_id, cluster_id, CLUSTER_ID_BYTES) != 0)
        world_fail(world, "node %s: a second cluster", node->name);
    world->counts->clusters += !world->has_cluster;
    world->has_cluster = true;
    memcpy(world->cluster_id, cluster_id, CLUSTER_ID_BYTES);
    uint64_t directory = load_u64(node->directory_id);
    uint64_t *known = &world->directory_of_id[node_id % 64];
    if (*known != 0 && *known != directory)
        world_fail(world, "node %s: id %llu is of another directory", node->name,
                   (unsigned long long)node_id);
    *known = directory;
}

static void on_identified(void *context, const uint8_t cluster_id[CLUSTER_ID_BYTES],
                          uint64_t node_id)
{
    struct node *node = context;
    struct transport_identity identity = {.node_id = node_id};
    if (!node->is_alive)
        return; /* it is being taken apart */
    if (node->is_identified)
        world_fail(node->world, "node %s: identified twice", node->name);
    if (node->identity.size == 0)
        world_fail(node->world, "node %s: identified, but nothing is stored", node->name);
    node->is_identified = true;
    node->node_id = node_id;
    check_identity(node, cluster_id, node_id);
    memcpy(identity.cluster_id, cluster_id, CLUSTER_ID_BYTES);
    transport_set_identity(node->transport, &identity);
    if (world_below(node->world, 2) == 0) {
        attach(node);
        return;
    }
    struct attaching *attaching = malloc(sizeof *attaching);
    assert(attaching != NULL);
    *attaching = (struct attaching){node, node->life};
    simulated_scheduler_after(&node->world->base->scheduler,
                              world_below(node->world, 20) * UINT64_C(1000000), attach_later,
                              attaching);
}

static void check_version(struct node *node, const struct cluster_state *state)
{
    struct world *world = node->world;
    struct byte_buffer bytes = {0};
    uint64_t index = cluster_state_facts(state)->index;
    struct version_seen *seen = &world->versions[index % WORLD_VERSIONS_MAX];
    cluster_state_encode(state, &bytes);
    uint32_t checksum = crc32c(0, bytes.bytes, bytes.size);
    byte_buffer_clear(&bytes);
    if (seen->index == index && seen->checksum != checksum)
        world_fail(world, "node %s: another state %llu", node->name, (unsigned long long)index);
    *seen = (struct version_seen){index, checksum};
}

static void on_changed(void *context, const struct cluster_state *state)
{
    struct node *node = context;
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(state, &count);
    check_version(node, state);
    for (size_t i = 0; i < count; i++) {
        struct transport_peer *peer;
        struct error error;
        if (nodes[i].state == CLUSTER_NODE_LEFT || nodes[i].node_id == node->node_id ||
            strcmp(nodes[i].identity.name, node->name) == 0)
            continue;
        if (transport_add_peer(node->transport, nodes[i].identity.name, nodes[i].traits.address,
                               &peer, &error) != ERROR_NONE)
            world_fail(node->world, "peer: %s", error.message);
    }
}

static void on_observed(void *context, const struct meta_view *view)
{
    struct node *node = context;
    node->observed_count++;
    node->agreed_ms = view->agreed_ms;
    node->meta_leader = view->leader;
    node->alive_count = view->alive_count;
    node->shard_leader_count =
        view->shard_count < WORLD_SHARDS_MAX ? view->shard_count : WORLD_SHARDS_MAX;
    for (size_t i = 0; i < node->shard_leader_count; i++)
        node->shard_leaders[i] = view->shard_leaders[i];
}

static void on_report(void *context, struct meta_report *report_out)
{
    shards_report(context, report_out);
}

static void on_transfer(void *context, uint32_t shard_id, uint64_t to_node)
{
    shards_transfer(context, shard_id, to_node);
}

static void on_dismissed(void *context, const char *reason)
{
    struct node *node = context;
    (void)reason;
    node->is_dismissed = true;
    node->world->counts->dismissals++;
}

static void on_fatal(void *context, const struct error *error)
{
    struct node *node = context;
    world_fail(node->world, "node %s: %s", node->name, error->message);
}

static const struct meta_events META_EVENTS = {
    .store_identity = on_store,
    .identified = on_identified,
    .changed = on_changed,
    .observed = on_observed,
    .report = on_report,
    .transfer = on_transfer,
    .dismissed = on_dismissed,
    .fatal = on_fatal,
};

static void on_disconnected(void *context, struct transport_peer *peer)
{
    group_link_disconnected(((struct node *)context)->link, peer);
}

static void on_drained(void *context, struct transport_peer *peer, enum transport_class class)
{
    (void)class;
    group_link_drained(((struct node *)context)->link, peer);
}

static bool on_admit(void *context, const struct transport_stranger *stranger)
{
    struct node *node = context;
    return node->meta != NULL && meta_admit(node->meta, stranger);
}

static const struct transport_events TRANSPORT_EVENTS = {
    .disconnected = on_disconnected,
    .drained = on_drained,
    .admit = on_admit,
};

/* --- A life -------------------------------------------------------------------------------- */

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

/* The disk is that of a crash simulated on purpose. */
static void journal_fatal(void *context, const struct error *error)
{
    struct node *node = context;
    if (!node->disk.crashed)
        world_fail(node->world, "journal of node %s: %s", node->name, error->message);
}

static void open_journal(struct node *node)
{
    uint64_t groups[4];
    struct error error;
    struct journal_recovery_options recovery_options = {.directory = "journal"};
    if (journal_recover(&node->disk.base, &recovery_options, &node->recovery, &error) != ERROR_NONE)
        world_fail(node->world, "node %s: %s", node->name, error.message);
    size_t count = journal_recovery_group_count(node->recovery);
    assert(count <= 1);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(node->recovery, i)->group;
    struct journal_options options = {
        .directory = "journal",
        .segment_bytes_min = SEGMENT_BYTES,
        .segment_bytes_max = SEGMENT_BYTES,
    };
    struct journal_events events = {.context = node, .fatal = journal_fatal};
    if (journal_open(&node->environment, &options, &events, node->recovery, groups, count,
                     &node->journal, &error) != ERROR_NONE)
        world_fail(node->world, "node %s: %s", node->name, error.message);
}

static void open_transport(struct node *node)
{
    struct error error;
    char address[24];
    snprintf(address, sizeof address, "%s:1", node->host_name);
    struct transport_options options = {
        .environment = &node->environment,
        .name = node->name,
        .listen_address = "x:1",
        .advertise_address = address,
        .lane_count = 1,
        .incarnation = node->life + node->host * 1000,
        .events = &TRANSPORT_EVENTS,
        .context = node,
    };
    if (transport_open(&options, &node->transport, &error) != ERROR_NONE ||
        group_link_create(node->transport, &node->link, &error) != ERROR_NONE)
        world_fail(node->world, "node %s: %s", node->name, error.message);
}

static void open_meta(struct node *node)
{
    struct error error;
    struct meta_peer peers[WORLD_PEERS_MAX];
    for (size_t i = 0; i < node->peer_count; i++)
        peers[i] = (struct meta_peer){node->peer_names[i], node->peer_addresses[i]};
    struct meta_options options = {
        .environment = &node->environment,
        .transport = node->transport,
        .traits = {.roles = node->roles, .version_min = 1, .version_max = node->version_max},
        .peers = peers,
        .peer_count = node->peer_count,
        .formation = {.name = node->cluster_name,
                      .shard_count = node->shard_count,
                      .replication = node->replication,
                      .version = 1,
                      .spread = 4},
        .directory = node->directory,
        .stored = node->identity.bytes,
        .stored_bytes = node->identity.size,
        .recovery = node->recovery,
        .members_max = node->world->members_max,
        .version_settle_ms = 2000,
        .limits = {.replace_after_ms = (int64_t)node->world->replace_after_ms,
                   .transfer_pause_ms = 3000},
        .events = &META_EVENTS,
        .context = node,
    };
    snprintf(options.identity.name, sizeof options.identity.name, "%s", node->name);
    memcpy(options.identity.directory_id, node->directory_id, sizeof node->directory_id);
    snprintf(options.traits.address, sizeof options.traits.address, "%s:1", node->host_name);
    snprintf(options.traits.zone, sizeof options.traits.zone, "%s", node->zone);
    if (meta_create(&options, &node->meta, &error) != ERROR_NONE)
        world_fail(node->world, "node %s: %s", node->name, error.message);
    meta_start(node->meta);
}

void node_start(struct node *node)
{
    struct world *world = node->world;
    assert(!node->is_alive);
    node->life++;
    node->is_identified = node->is_dismissed = false;
    node->observed_count = 0;
    node->node_id = 0;
    node->stopping = false;
    random_generator_init(&node->random, random_next(&world->random.base));
    node->clock.base.now_ms = clock_now;
    node->clock.base.monotonic_ns = clock_monotonic;
    node->clock.world = &world->base->clock.base;
    node->environment = (struct environment){
        .scheduler = &world->base->scheduler.base,
        .disk = &node->disk.base,
        .clock = &node->clock.base,
        .random = &node->random.base,
        .network = simulated_network_lane(&world->network, node->host, 0),
    };
    if (node->disk.crashed)
        simulated_disk_restart(&node->disk);
    open_journal(node);
    open_transport(node);
    open_meta(node);
    node->is_alive = true;
}

static void part_closed(void *context)
{
    ((struct node *)context)->closing--;
}

static void await_closed(struct node *node, const char *what)
{
    struct simulated_scheduler *scheduler = &node->world->base->scheduler;
    for (size_t i = 0; node->closing > 0; i++)
        if (i == STEPS_TO_CLOSE_MAX || !simulated_scheduler_step(scheduler))
            world_fail(node->world, "%s of node %s does not close", what, node->name);
}

static void close_meta(struct node *node)
{
    node->closing++;
    meta_close(node->meta, part_closed, node);
    await_closed(node, "meta");
    node->meta = NULL;
    group_link_deliver_to(node->link, NULL);
    group_host_destroy(node->host_of_groups);
    node->host_of_groups = NULL;
}

static void close_transport(struct node *node, uint64_t patience_ms)
{
    node->closing++;
    transport_close(node->transport, patience_ms, part_closed, node);
    await_closed(node, "transport");
    group_link_destroy(node->link);
    node->link = NULL;
    node->transport = NULL;
}

static void close_journal(struct node *node)
{
    node->closing++;
    journal_close(node->journal, part_closed, node);
    await_closed(node, "journal");
    node->journal = NULL;
}

void node_crash(struct node *node)
{
    struct world *world = node->world;
    assert(node->is_alive);
    node->is_alive = false;
    world->counts->crashes++;
    simulated_disk_crash(&node->disk,
                         world_below(world, 2) == 0 ? SIMULATED_KILL : SIMULATED_POWER_FAILURE);
    /* Nobody hears of what it does while it is taken apart. */
    bool stalled[SIMULATED_HOSTS_MAX];
    for (size_t i = 0; i < world->node_count; i++) {
        stalled[i] = world->network.links[node->host][i].is_stalled;
        simulated_network_stall(&world->network, node->host, i, true);
    }
    if (node->host_of_groups != NULL)
        group_host_journal_lost(node->host_of_groups);
    close_journal(node);
    close_meta(node);
    for (size_t i = 0; i < world->node_count; i++)
        if (i != node->host)
            simulated_network_cut(&world->network, node->host, i);
    close_transport(node, 0);
    for (size_t i = 0; i < world->node_count; i++)
        simulated_network_stall(&world->network, node->host, i, stalled[i]);
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

void node_stop(struct node *node)
{
    assert(node->is_alive);
    node->world->counts->stops++;
    node->stopping = true;
    close_meta(node);
    node->is_alive = false;
    close_transport(node, 500);
    close_journal(node);
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

/* --- Network ------------------------------------------------------------------------------- */

void world_partition(struct world *world, const struct node *one, const struct node *other,
                     bool is_apart)
{
    world->counts->partitions += is_apart;
    simulated_network_partition(&world->network, one->host, other->host, is_apart);
}

void world_isolate(struct world *world, const struct node *node, bool is_apart)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (&world->nodes[i] != node)
            world_partition(world, node, &world->nodes[i], is_apart);
}

void world_heal(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        for (size_t k = 0; k < world->node_count; k++)
            simulated_network_stall(&world->network, i, k, false);
}

/* --- Waiting ------------------------------------------------------------------------------- */

bool world_await(struct world *world, world_condition *condition, uint64_t milliseconds)
{
    uint64_t until_ms = world_now_ms(world) + milliseconds;
    while (!condition(world)) {
        if (world_now_ms(world) >= until_ms)
            return false;
        world_run_ms(world, 50);
    }
    return true;
}

void world_require(struct world *world, world_condition *condition, uint64_t milliseconds,
                   const char *what)
{
    if (world_await(world, condition, milliseconds))
        return;
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        struct meta_status status;
        if (!node->is_alive)
            continue;
        meta_status(node->meta, &status);
        printf("  %s: id %llu phase %d leader %llu index %llu observed %llu alive %zu waits: %s\n",
               node->name, (unsigned long long)status.node_id, status.phase,
               (unsigned long long)status.leader,
               (unsigned long long)cluster_state_facts(meta_state(node->meta))->index,
               (unsigned long long)node->observed_count, node->alive_count, status.waiting_for);
    }
    world_fail(world, "not in %llu ms: %s", (unsigned long long)milliseconds, what);
}

struct node *world_find(struct world *world, uint64_t node_id)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive && world->nodes[i].node_id == node_id && node_id != 0)
            return &world->nodes[i];
    return NULL;
}

struct node *world_leader(struct world *world)
{
    struct meta_status status;
    for (size_t i = 0; i < world->node_count; i++) {
        if (!world->nodes[i].is_alive)
            continue;
        meta_status(world->nodes[i].meta, &status);
        if (status.leads)
            return &world->nodes[i];
    }
    return NULL;
}

struct node *world_any(struct world *world)
{
    for (size_t i = 0; i < 1000; i++) {
        struct node *node = &world->nodes[world_below(world, (uint32_t)world->node_count)];
        if (node->is_alive)
            return node;
    }
    return NULL;
}

bool all_are_members(struct world *world)
{
    uint64_t index = 0;
    size_t alive = 0, members = 0;
    for (size_t i = 0; i < world->node_count; i++)
        alive += world->nodes[i].is_alive && !world->nodes[i].is_dismissed;
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (!node->is_alive || node->is_dismissed)
            continue;
        const struct cluster_state *state = meta_state(node->meta);
        const struct cluster_node *self = cluster_state_find_node(state, node->node_id);
        if (!node->is_identified || self == NULL ||
            (self->state != CLUSTER_NODE_ACTIVE && self->state != CLUSTER_NODE_DRAINING))
            return false;
        uint64_t own = cluster_state_facts(state)->index;
        if ((index != 0 && own != index) || node->observed_count < 2 || node->alive_count < alive)
            return false;
        index = own;
        members++;
    }
    return members > 0 && members == alive;
}

bool all_is_settled(struct world *world)
{
    return all_are_members(world) && shards_are_settled(world);
}

/* --- Asking -------------------------------------------------------------------------------- */

struct setting {
    struct meta_request request;
    struct world *world;
    uint64_t number;
};

static void setting_done(struct meta_request *request, const struct error *error)
{
    struct setting *setting = (struct setting *)request; /* its first member */
    struct world *world = setting->world;
    world->requests_out--;
    if (error->code == ERROR_TIMEOUT) {
        world->counts->timeouts++;
    } else if (error->code == ERROR_NONE && request->outcome.refusal == CLUSTER_ACCEPTED) {
        world->counts->acknowledged++;
        if (world->acknowledged_count < 1024)
            world->acknowledged[world->acknowledged_count++] = setting->number;
    } else if (error->code == ERROR_NONE) {
        if (request->outcome.refusal != CLUSTER_REFUSED_NOT_FOUNDED)
            world_fail(world, "refused: %s", cluster_refusal_text(request->outcome.refusal));
    } else if (error->code != ERROR_CLOSED) {
        world_fail(world, "proposal: %s", error->message);
    }
    free(setting);
}

void node_propose(struct node *node)
{
    struct world *world = node->world;
    struct setting *setting = calloc(1, sizeof *setting);
    assert(setting != NULL);
    char key[32];
    setting->world = world;
    setting->number = ++world->next_setting;
    snprintf(key, sizeof key, "k%llu", (unsigned long long)setting->number);
    struct cluster_entry entry = {
        .kind = CLUSTER_SET_TENANT,
        .set_tenant = {.tenant = TEXT("t"), .key = text_of(key), .value = text_of(key)},
    };
    setting->request = (struct meta_request){
        .entry = &entry,
        .timeout_ms = 3000,
        .done = setting_done,
    };
    world->requests_out++;
    meta_propose(node->meta, &setting->request);
}

void world_check_settings(struct world *world)
{
    struct node *node = world_any(world);
    for (size_t i = 0; i < world->acknowledged_count; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%llu", (unsigned long long)world->acknowledged[i]);
        struct text value = cluster_state_setting(meta_state(node->meta), TEXT("t"), text_of(key));
        if (!text_equal(value, text_of(key)))
            world_fail(world, "setting %s was acknowledged and is lost", key);
    }
}

struct asked_command {
    struct meta_command command;
    struct error *error_out;
    bool is_done;
};

static void command_done(struct meta_command *command, const struct error *error)
{
    struct asked_command *asked = (struct asked_command *)command; /* its first member */
    asked->is_done = true;
    *asked->error_out = *error;
}

enum error_code node_command(struct node *node, const struct meta_command *command,
                             struct error *error_out)
{
    struct world *world = node->world;
    struct asked_command asked = {.command = *command, .error_out = error_out};
    asked.command.timeout_ms = 20000;
    asked.command.done = command_done;
    world->counts->commands++;
    meta_command(node->meta, &asked.command);
    if (asked.is_done)
        world_fail(world, "a command ended inside the call");
    while (!asked.is_done)
        if (!simulated_scheduler_step(&world->base->scheduler))
            world_fail(world, "a command does not end");
    return error_out->code;
}

struct later_command {
    struct meta_command command;
    struct world *world;
};

static void later_done(struct meta_command *command, const struct error *error)
{
    struct later_command *later = (struct later_command *)command; /* its first member */
    (void)error;
    later->world->requests_out--;
    free(later);
}

void node_command_later(struct node *node, const struct meta_command *command)
{
    struct later_command *later = malloc(sizeof *later);
    assert(later != NULL);
    *later = (struct later_command){*command, node->world};
    later->command.timeout_ms = 3000;
    later->command.done = later_done;
    node->world->requests_out++;
    node->world->counts->commands++;
    meta_command(node->meta, &later->command);
}

struct asked_observe {
    struct meta_observe observe;
    struct world *world;
    bool is_done;
};

static void observe_done(struct meta_observe *observe, const struct meta_observation *observation,
                         const struct error *error)
{
    struct asked_observe *asked = (struct asked_observe *)observe; /* its first member */
    struct world *world = asked->world;
    asked->is_done = true;
    if (error->code != ERROR_NONE)
        world_fail(world, "observe: %s", error->message);
    struct node *leader = world_find(world, observation->leader);
    if (leader == NULL)
        world_fail(world, "the picture's leader is not alive");
    size_t count, voters = 0;
    const struct cluster_node *nodes = cluster_state_nodes(observation->state, &count);
    for (size_t i = 0; i < world->node_count; i++)
        world->nodes[i].has_vote = false;
    for (size_t i = 0; i < count; i++) {
        bool is_alive = world_find(world, nodes[i].node_id) != NULL;
        if (nodes[i].state != CLUSTER_NODE_LEFT &&
            observation->placement.nodes[i].alive != is_alive)
            world_fail(world, "the picture has node %llu %s", (unsigned long long)nodes[i].node_id,
                       is_alive ? "dead" : "alive");
        bool has_vote =
            observation->nodes[i].is_member && observation->nodes[i].role == PLACEMENT_VOTER;
        voters += has_vote;
        for (size_t k = 0; k < world->node_count; k++)
            if (world->nodes[k].node_id == nodes[i].node_id)
                world->nodes[k].has_vote = has_vote;
    }
    if (voters == 0 || voters > META_VOTERS_MAX)
        world_fail(world, "%zu voters", voters);
    if (observation->progress.planned == 0)
        world_fail(world, "no replicas are planned");
    world->counts->observations++;
}

void node_observe(struct node *node)
{
    struct world *world = node->world;
    struct asked_observe asked = {
        .observe = {.timeout_ms = 20000, .done = observe_done},
        .world = world,
    };
    meta_observe(node->meta, &asked.observe);
    while (!asked.is_done)
        if (!simulated_scheduler_step(&world->base->scheduler))
            world_fail(world, "an observation does not end");
}
