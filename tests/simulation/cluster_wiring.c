/* As src/server/node_cluster.c and node_peers.c do it, with one loop. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "cluster_world.h"

/* --- Ends ------------------------------------------------------------------------------------ */

static bool may_fail(const struct node *node)
{
    return node->disk.crashed || node->failed || !node->is_alive;
}

void node_fatal(void *context, const struct error *error)
{
    struct node *node = context;
    if (!may_fail(node) && !world_mend_named(node->world, node, error))
        world_fail(node->world, "%s stopped: %s", node->name, error->message);
    node->failed = true;
}

void node_group_fatal(void *context, uint64_t group_id, const struct error *error)
{
    (void)group_id;
    node_fatal(context, error);
}

void node_journal_fatal(void *context, const struct error *error)
{
    struct node *node = context;
    node_fatal(context, error);
    if (node->host != NULL)
        group_host_journal_lost(node->host);
}

void node_space_changed(void *context, enum journal_space space)
{
    struct node *node = context;
    if (space == JOURNAL_SPACE_LOW)
        atomic_fetch_add(&node->limits.journals_low, 1);
    else
        atomic_fetch_sub(&node->limits.journals_low, 1);
}

/* --- Files that are written whole or not at all ---------------------------------------------- */

struct storing {
    struct node *node;
    uint64_t life;
    struct byte_buffer bytes;
    bool is_identity;
};

static void stored(void *argument)
{
    enum { FAILURES_PER_HUNDRED = 5 };
    struct storing *storing = argument;
    struct node *node = storing->node;
    if (node->is_alive && node->life == storing->life && !node->disk.crashed) {
        struct byte_buffer *file = storing->is_identity ? &node->identity : &node->remembered;
        struct error error = {0};
        if (world_below(node->world, 100) < FAILURES_PER_HUNDRED) {
            node->world->counts.stores_failed++;
            error_set(&error, ERROR_IO, "no luck");
        } else {
            byte_buffer_reset(file);
            byte_buffer_append(file, storing->bytes.bytes, storing->bytes.size);
        }
        if (storing->is_identity)
            meta_stored(node->meta, &error);
    }
    byte_buffer_clear(&storing->bytes);
    free(storing);
}

static struct storing *storing_create(struct node *node)
{
    struct storing *storing = calloc(1, sizeof *storing);
    assert(storing != NULL);
    storing->node = node;
    storing->life = node->life;
    simulated_scheduler_after(&node->world->base->scheduler,
                              world_below(node->world, 50) * UINT64_C(1000000), stored, storing);
    return storing;
}

static void on_store_identity(void *context, const uint8_t *bytes, size_t size_bytes)
{
    struct storing *storing = storing_create(context);
    storing->is_identity = true;
    byte_buffer_append(&storing->bytes, bytes, size_bytes);
}

/* --- Identity -------------------------------------------------------------------------------- */

static void check_identity(struct node *node, const uint8_t *cluster_id, uint64_t node_id)
{
    struct world *world = node->world;
    if (world->has_cluster && memcmp(world->cluster_id, cluster_id, CLUSTER_ID_BYTES) != 0)
        world_fail(world, "%s: a second cluster", node->name);
    if (node_id >= WORLD_IDS_MAX)
        world_fail(world, "%s: id %llu", node->name, (unsigned long long)node_id);
    world->has_cluster = true;
    memcpy(world->cluster_id, cluster_id, CLUSTER_ID_BYTES);
    uint64_t directory = load_u64(node->directory_id);
    uint64_t *known = &world->directory_of_id[node_id];
    if (*known != 0 && *known != directory)
        world_fail(world, "%s: id %llu is of another directory", node->name,
                   (unsigned long long)node_id);
    *known = directory;
}

static enum error_code open_groups(struct node *node, struct error *error)
{
    struct group_host_options options = {
        .environment = &node->environment,
        .journal = node->journal,
        .transport = &node->medium.base,
        .node_id = node->node_id,
        .snapshot_log_bytes = 16 * 1024,
        .unsafe_disabled_rules = UINT32_C(1) << node->world->options->without_rule,
        .fatal = node_group_fatal,
        .fatal_context = node,
    };
    node_medium_init(node);
    enum error_code code = group_host_create(&options, &node->host, error);
    if (code != ERROR_NONE)
        return code;
    group_link_deliver_to(node->link, node->host);
    code = hosting_open(node->hosting, 0, node->host, node->node_id, node->recovery, error);
    return code == ERROR_NONE ? meta_attach(node->meta, node->host, error) : code;
}

static void on_identified(void *context, const uint8_t cluster_id[CLUSTER_ID_BYTES],
                          uint64_t node_id)
{
    struct node *node = context;
    struct transport_identity identity = {.node_id = node_id};
    struct error error;
    if (!node->is_alive)
        return; /* it is being taken apart */
    if (node->node_id != 0)
        world_fail(node->world, "%s: identified twice", node->name);
    check_identity(node, cluster_id, node_id);
    node->node_id = node_id;
    memcpy(identity.cluster_id, cluster_id, CLUSTER_ID_BYTES);
    transport_set_identity(node->transport, &identity);
    routing_set_node(node->routing, node_id);
    if (open_groups(node, &error) != ERROR_NONE)
        node_fatal(node, &error);
}

/* --- What the meta group says ---------------------------------------------------------------- */

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
        world_fail(world, "%s: another state %llu", node->name, (unsigned long long)index);
    *seen = (struct version_seen){index, checksum};
}

void node_follow(struct node *node)
{
    (void)cluster_board_refresh(node->board, &node->view);
    if (node->view == NULL || node->transport == NULL)
        return;
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(cluster_view_state(node->view), &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = nodes[i].identity.name;
        struct transport_peer *peer;
        struct error error;
        if (strcmp(name, node->name) == 0 || nodes[i].replaced_by != 0)
            continue;
        if (nodes[i].state == CLUSTER_NODE_LEFT) {
            peer = transport_find_name(node->transport, text_of(name));
            if (peer != NULL)
                transport_remove_peer(peer);
            continue;
        }
        if (transport_add_peer(node->transport, name, nodes[i].traits.address, &peer, &error) !=
            ERROR_NONE)
            world_fail(node->world, "peer: %s", error.message);
    }
}

static void follow_run(struct task *task)
{
    struct node *node = (struct node *)((char *)task - offsetof(struct node, follow_task));
    node->follow_queued = false;
    node_follow(node);
}

static void on_changed(void *context, const struct cluster_state *state)
{
    struct node *node = context;
    struct error error;
    if (!node->is_alive)
        return;
    check_version(node, state);
    cluster_state_encode(state, &storing_create(node)->bytes);
    if (cluster_board_post(node->board, state, CLUSTER_VIEW_CURRENT, &error) != ERROR_NONE)
        world_fail(node->world, "%s", error.message);
    if (node->follow_queued)
        return;
    node->follow_queued = true;
    node->follow_task.run = follow_run;
    scheduler_post(node->environment.scheduler, &node->follow_task);
}

static void on_observed(void *context, const struct meta_view *view)
{
    struct node *node = context;
    for (size_t shard = 0; shard < view->shard_count; shard++)
        if (view->shard_leaders[shard] != 0 &&
            cluster_board_leader(node->board, (uint32_t)shard) == 0)
            cluster_board_note_leader(node->board, (uint32_t)shard, view->shard_leaders[shard]);
    hosting_observed(node->hosting, view);
}

static void on_report(void *context, struct meta_report *report_out)
{
    struct node *node = context;
    hosting_report(node->hosting, report_out);
    report_out->stopping |= !node->is_alive;
}

static void on_transfer(void *context, uint32_t shard_id, uint64_t to_node)
{
    hosting_transfer(((struct node *)context)->hosting, shard_id, to_node);
}

static void on_dismissed(void *context, const char *reason)
{
    struct node *node = context;
    (void)reason;
    node->is_dismissed = true;
    node->world->counts.dismissed++;
}

const struct meta_events NODE_META_EVENTS = {
    .store_identity = on_store_identity,
    .identified = on_identified,
    .changed = on_changed,
    .observed = on_observed,
    .report = on_report,
    .transfer = on_transfer,
    .dismissed = on_dismissed,
    .fatal = node_fatal,
};

/* --- What the transport says ----------------------------------------------------------------- */

static void on_disconnected(void *context, struct transport_peer *peer)
{
    group_link_disconnected(((struct node *)context)->link, peer);
}

static void on_drained(void *context, struct transport_peer *peer, enum transport_class class)
{
    if (class == TRANSPORT_APPEND || class == TRANSPORT_CONTROL)
        group_link_drained(((struct node *)context)->link, peer);
}

static bool on_admit(void *context, const struct transport_stranger *stranger)
{
    struct node *node = context;
    if (node->meta != NULL && meta_admit(node->meta, stranger))
        return true;
    (void)cluster_board_refresh(node->board, &node->view);
    const struct cluster_node *known =
        node->view == NULL
            ? NULL
            : cluster_state_find_name(cluster_view_state(node->view), stranger->name);
    return known != NULL && known->state != CLUSTER_NODE_LEFT;
}

const struct transport_events NODE_TRANSPORT_EVENTS = {
    .disconnected = on_disconnected,
    .drained = on_drained,
    .admit = on_admit,
};
