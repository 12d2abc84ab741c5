#include "node_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "platform/random.h"

#include "node_identity.h"
#include "program_version.h"

/* --- Preparing ------------------------------------------------------------------------------- */

static enum error_code open_tls(struct node_cluster *cluster, const struct settings *settings,
                                struct error *error)
{
    if (settings->cluster_tls_certificate[0] == '\0')
        return ERROR_NONE;
    struct tls_options options = {
        .certificate_path = settings->cluster_tls_certificate,
        .key_path = settings->cluster_tls_key,
        .client_ca_path = settings->cluster_tls_ca,
    };
    return tls_context_create(&options, &cluster->tls, error);
}

/* Shards that were founded without a cluster keep number, slots and spread. */
static enum error_code find_former_shards(struct node_cluster *cluster, struct error *error)
{
    struct node *node = cluster->node;
    char path[4096];
    snprintf(path, sizeof path, "%s/topology", node->settings->storage_directory);
    topology_init(&node->topology, (uint32_t)node->settings->cluster_shards,
                  (uint32_t)node->settings->cluster_spread);
    if (access(path, F_OK) != 0)
        return ERROR_NONE;
    cluster->was_alone = cluster->stored.size == 0;
    return topology_open(node->settings->storage_directory, &node->topology, &node->topology,
                         error);
}

/* Before the meta group has a leader: where the others were. */
static enum error_code recall(struct node_cluster *cluster, struct error *error)
{
    struct cluster_state *state = NULL;
    enum error_code code =
        node_identity_recall(cluster->node->settings->storage_directory, &state, error);
    if (code == ERROR_NONE && state != NULL)
        code = cluster_board_post(cluster->board, state, CLUSTER_VIEW_REMEMBERED, error);
    cluster_state_destroy(state);
    return code;
}

enum error_code node_cluster_prepare(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    struct node_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster");
    node->cluster = cluster;
    cluster->node = node;
    cluster->incarnation = random_next(random_system()) | 1;
    cluster->transfer_budget.bytes_per_second = settings->cluster_copy_rate;
    cluster->opened_ms = clock_monotonic_ms(clock_system());
    pthread_mutex_init(&cluster->mutex, NULL);
    enum error_code code = cluster_addresses_read(settings, &cluster->addresses, error);
    if (code == ERROR_NONE)
        code = node_identity_directory(settings->storage_directory, cluster->directory_id, error);
    if (code == ERROR_NONE)
        code = node_identity_read(settings->storage_directory, &cluster->stored, error);
    if (code == ERROR_NONE)
        code = find_former_shards(cluster, error);
    if (code == ERROR_NONE)
        code = open_tls(cluster, settings, error);
    if (code == ERROR_NONE)
        code = cluster_board_create(&cluster->board, error);
    if (code == ERROR_NONE)
        code = recall(cluster, error);
    if (code == ERROR_NONE) {
        cluster->lanes = network_lanes_create((uint32_t)settings->threads);
        if (cluster->lanes == NULL)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "network");
    }
    return code;
}

/* --- Identity -------------------------------------------------------------------------------- */

static void store_run(struct job *job)
{
    struct node_cluster *cluster =
        (struct node_cluster *)((char *)job - offsetof(struct node_cluster, store));
    error_clear(&cluster->store_error);
    (void)node_identity_write(cluster->node->settings->storage_directory, cluster->store_bytes,
                              cluster->store_size, &cluster->store_error); /* its code is kept */
}

static void store_done(struct job *job)
{
    struct node_cluster *cluster =
        (struct node_cluster *)((char *)job - offsetof(struct node_cluster, store));
    meta_stored(cluster->meta, &cluster->store_error);
}

static void on_store_identity(void *context, const uint8_t *bytes, size_t size_bytes)
{
    struct node *node = context;
    struct node_cluster *cluster = node->cluster;
    cluster->store_bytes = bytes;
    cluster->store_size = size_bytes;
    cluster->store = (struct job){.run = store_run, .done = store_done, .class = JOB_STORAGE};
    scheduler_submit(node->loops[0].environment.scheduler, &cluster->store);
}

static void identified_on_loop(struct task *task)
{
    struct node_loop *loop =
        (struct node_loop *)((char *)task - offsetof(struct node_loop, identified_task));
    struct error error;
    if (node_peers_identified(loop, &error) != ERROR_NONE)
        node_fatal_error(NULL, &error);
}

static void on_identified(void *context, const uint8_t cluster_id[CLUSTER_ID_BYTES],
                          uint64_t node_id)
{
    struct node *node = context;
    struct node_cluster *cluster = node->cluster;
    struct error error;
    cluster->node_id = node_id;
    memcpy(cluster->cluster_id, cluster_id, CLUSTER_ID_BYTES);
    char id[2 * CLUSTER_ID_BYTES + 1];
    for (size_t i = 0; i < CLUSTER_ID_BYTES; i++)
        snprintf(id + 2 * i, 3, "%02x", cluster_id[i]);
    log_event(LOG_INFO, "server", "this node is one of a cluster", "cluster=%s node=%llu", id,
              (unsigned long long)node_id);
    for (size_t i = 1; i < node->loop_count; i++) {
        node->loops[i].identified_task.run = identified_on_loop;
        scheduler_post(node->loops[i].environment.scheduler, &node->loops[i].identified_task);
    }
    enum error_code code = node_peers_identified(&node->loops[0], &error);
    if (code == ERROR_NONE)
        code = meta_attach(cluster->meta, node->loops[0].host, &error);
    if (code != ERROR_NONE)
        node_fatal_error(NULL, &error);
    rescue_identified(cluster->rescue, node_id, cluster->meta);
    atomic_store(&cluster->is_identified, true);
}

bool node_cluster_is_replayed(const struct node *node)
{
    const struct node_cluster *cluster = node->cluster;
    struct meta_status meta;
    struct hosting_statistics hosting;
    if (cluster->meta == NULL || atomic_load(&cluster->loops_opened) < node->loop_count)
        return false;
    meta_status(cluster->meta, &meta);
    hosting_read_statistics(node->hosting, &hosting);
    return !meta.replaying && hosting.replaying == 0 && hosting.lacking == 0;
}

/* --- What the meta group says ---------------------------------------------------------------- */

static void follow_on_loop(struct task *task)
{
    struct node_loop *loop =
        (struct node_loop *)((char *)task - offsetof(struct node_loop, follow_task));
    atomic_store(&loop->follow_queued, false);
    node_peers_follow(loop);
}

void node_cluster_follow(struct node *node)
{
    for (size_t i = 0; i < node->loop_count; i++) {
        struct node_loop *loop = &node->loops[i];
        if (atomic_exchange(&loop->follow_queued, true))
            continue;
        loop->follow_task.run = follow_on_loop;
        scheduler_post(loop->environment.scheduler, &loop->follow_task);
    }
}

static void remember(struct node_cluster *cluster, const struct cluster_state *state);

static void remember_run(struct job *job)
{
    struct node_cluster *cluster =
        (struct node_cluster *)((char *)job - offsetof(struct node_cluster, remember));
    struct error error;
    if (node_identity_remember(cluster->node->settings->storage_directory, &cluster->remembered,
                               &error) != ERROR_NONE)
        log_event(LOG_WARNING, "server", "the state of the cluster is not remembered",
                  "error=\"%s\"", error.message);
}

static void remember_done(struct job *job)
{
    struct node_cluster *cluster =
        (struct node_cluster *)((char *)job - offsetof(struct node_cluster, remember));
    cluster->remembering = false;
    if (cluster->remember_again && cluster->meta != NULL)
        remember(cluster, meta_state(cluster->meta));
}

static void remember(struct node_cluster *cluster, const struct cluster_state *state)
{
    cluster->remember_again = cluster->remembering;
    if (cluster->remembering)
        return;
    byte_buffer_clear(&cluster->remembered);
    cluster_state_encode(state, &cluster->remembered);
    if (cluster->remembered.failed)
        return; /* with the next change */
    cluster->remembering = true;
    cluster->remember =
        (struct job){.run = remember_run, .done = remember_done, .class = JOB_STORAGE};
    scheduler_submit(cluster->node->loops[0].environment.scheduler, &cluster->remember);
}

static void on_changed(void *context, const struct cluster_state *state)
{
    struct node *node = context;
    struct error error;
    remember(node->cluster, state);
    if (cluster_board_post(node->cluster->board, state, CLUSTER_VIEW_CURRENT, &error) !=
        ERROR_NONE) {
        log_event(LOG_ERROR, "server", "the state of the cluster can't be shown", "error=\"%s\"",
                  error.message);
        return; /* the next change has it all */
    }
    node_cluster_follow(node);
}

static void on_observed(void *context, const struct meta_view *view)
{
    struct node *node = context;
    for (size_t shard = 0; shard < view->shard_count; shard++)
        if (view->shard_leaders[shard] != 0 &&
            cluster_board_leader(node->cluster->board, (uint32_t)shard) == 0)
            cluster_board_note_leader(node->cluster->board, (uint32_t)shard,
                                      view->shard_leaders[shard]);
    atomic_store(&node->cluster->agreed_ms, view->agreed_ms);
    cluster_figures_observe(&node->cluster->figures, meta_state(node->cluster->meta), view,
                            clock_now_ms(clock_system()), clock_monotonic_ms(clock_system()));
    hosting_observed(node->hosting, view);
}

static void on_report(void *context, struct meta_report *report_out)
{
    struct node *node = context;
    hosting_report(node->hosting, report_out);
    cluster_figures_report(&node->cluster->figures, meta_state(node->cluster->meta), report_out);
    report_out->stopping |= atomic_load(&node->draining);
    /* A full disk takes no writes: others shall lead until there is room. */
    report_out->slow_disk |= atomic_load(&node->replica_node.journals_low) > 0;
}

static void on_transfer(void *context, uint32_t shard_id, uint64_t to_node)
{
    struct node *node = context;
    hosting_transfer(node->hosting, shard_id, to_node);
}

static void on_dismissed(void *context, const char *reason)
{
    struct error error;
    (void)context;
    error_set(&error, ERROR_CONFLICT,
              "the cluster does not have this node any more: %s; started again it joins anew, if "
              "its name is not taken, with this storage.directory or an empty one",
              reason);
    node_fatal_error(NULL, &error);
}

static const struct meta_events META_EVENTS = {
    .store_identity = on_store_identity,
    .identified = on_identified,
    .changed = on_changed,
    .observed = on_observed,
    .report = on_report,
    .transfer = on_transfer,
    .dismissed = on_dismissed,
    .fatal = node_fatal_error,
};

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code node_cluster_describe(const struct settings *settings, const char *advertise,
                                      const uint8_t directory_id[CLUSTER_DIRECTORY_ID_BYTES],
                                      struct cluster_node_identity *identity_out,
                                      struct cluster_node_traits *traits_out, struct error *error)
{
    struct cluster_node_identity identity = {0};
    struct cluster_node_traits traits = {
        .roles = settings->roles,
        .version_min = CLUSTER_VERSION_MIN,
        .version_max = PROGRAM_STATE_VERSION_MAX,
    };
    snprintf(identity.name, sizeof identity.name, "%s", settings->cluster_node);
    memcpy(identity.directory_id, directory_id, CLUSTER_DIRECTORY_ID_BYTES);
    snprintf(traits.address, sizeof traits.address, "%s", advertise);
    snprintf(traits.zone, sizeof traits.zone, "%s", settings->cluster_zone);
    enum error_code code = cluster_node_check(&identity, &traits, error);
    if (code != ERROR_NONE)
        return code;
    *identity_out = identity;
    *traits_out = traits;
    return ERROR_NONE;
}

enum error_code node_cluster_open(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    struct node_cluster *cluster = node->cluster;
    struct meta_options options = {
        .environment = &node->loops[0].environment,
        .transport = node->loops[0].transport,
        .peers = cluster->addresses.peers,
        .peer_count = cluster->addresses.peer_count,
        .formation =
            {
                .name = settings->cluster_name,
                .shard_count = node->topology.slots.shard_count,
                .slots = node->topology.slots.shards,
                .replication = (uint32_t)settings->cluster_replication,
                .spread = node->topology.spread,
                .version = CLUSTER_VERSION_MIN,
                .first_group = hosting_group_of(0),
            },
        .directory = cluster->was_alone ? META_DIRECTORY_HOLDS_SHARDS : META_DIRECTORY_NEW,
        .stored = cluster->stored.bytes,
        .stored_bytes = cluster->stored.size,
        .recovery =
            journal_recovery_find(node->recovery, META_GROUP_ID) == NULL ? NULL : node->recovery,
        .limits = node_placement_limits(node),
        .events = &META_EVENTS,
        .context = node,
    };
    struct rescue_options rescue = {
        .environment = &node->loops[0].environment,
        .transport = node->loops[0].transport,
        .table = node->replicas,
        .board = cluster->board,
        .bytes_per_second = settings->storage_scrub_rate,
    };
    enum error_code code =
        node_cluster_describe(settings, cluster->addresses.advertise, cluster->directory_id,
                              &options.identity, &options.traits, error);
    if (code == ERROR_NONE)
        code = meta_create(&options, &cluster->meta, error);
    if (code == ERROR_NONE)
        code = rescue_create(&rescue, &cluster->rescue, error);
    return code;
}

void node_cluster_start(struct node *node)
{
    node_cluster_follow(node);
    meta_start(node->cluster->meta);
}

void node_cluster_release(struct node *node)
{
    struct node_cluster *cluster = node->cluster;
    if (cluster == NULL)
        return;
    for (size_t i = 0; i < node->loop_count; i++)
        cluster_view_unref(node->loops[i].view);
    network_lanes_destroy(cluster->lanes);
    cluster_board_destroy(cluster->board);
    tls_context_destroy(cluster->tls);
    cluster_addresses_clear(&cluster->addresses);
    byte_buffer_clear(&cluster->stored);
    byte_buffer_clear(&cluster->remembered);
    pthread_mutex_destroy(&cluster->mutex);
    free(cluster);
}

/* --- Readiness ------------------------------------------------------------------------------- */

struct placement_limits node_placement_limits(const struct node *node)
{
    return (struct placement_limits){
        .replace_after_ms = node->settings->cluster_replace_after_ms,
        .caught_up_bytes = 1 << 20,
        .moves_total = 16,
        .moves_per_node = 4,
        .transfers_total = 4,
        .transfer_pause_ms = 30 * 1000,
    };
}

void node_cluster_look(struct node *node)
{
    struct node_cluster *cluster = node->cluster;
    struct meta_status status;
    if (cluster->meta == NULL)
        return; /* it is closed */
    meta_status(cluster->meta, &status);
    pthread_mutex_lock(&cluster->mutex);
    snprintf(cluster->waiting_for, sizeof cluster->waiting_for, "%s", status.waiting_for);
    pthread_mutex_unlock(&cluster->mutex);
}

/* What others lack is not for this node to say: once it was ready it is until it ends. */
enum error_code node_cluster_check_ready(struct node *node, struct error *error)
{
    struct node_cluster *cluster = node->cluster;
    if (atomic_load(&cluster->was_ready))
        return ERROR_NONE;
    if (!atomic_load(&cluster->is_identified)) {
        pthread_mutex_lock(&cluster->mutex);
        enum error_code code =
            error_set(error, ERROR_UNAVAILABLE, "not in a cluster yet: %s", cluster->waiting_for);
        pthread_mutex_unlock(&cluster->mutex);
        return code;
    }
    if (atomic_load(&cluster->loops_opened) < node->loop_count)
        return error_set(error, ERROR_UNAVAILABLE, "replicas are being opened");
    enum error_code code = hosting_check_ready(node->hosting, error);
    if (code == ERROR_NONE)
        atomic_store(&cluster->was_ready, true);
    return code;
}
