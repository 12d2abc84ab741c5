#include "group_cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group_checker.h"
#include "group_machine.h"
#include "group_network.h"
#include "group_wires.h"

/* --- Nodes --------------------------------------------------------------------------------- */

static void node_fatal(void *context, uint64_t group_id, const struct error *error)
{
    struct cluster_node *node = context;
    cluster_fail(node->cluster, "node %llu, group %llu stopped: %s", (unsigned long long)node->id,
                 (unsigned long long)group_id, error->message);
}

void cluster_start(struct cluster *cluster, size_t number)
{
    struct cluster_node *node = &cluster->nodes[number];
    const struct cluster_settings *settings = &cluster->settings;
    assert(!node->alive && node->closing == 0);
    struct error error = {0};
    node->incarnation++;
    node->recovery = group_medium_recover(node->medium, &error);
    if (node->recovery != NULL)
        node->journal = group_medium_open(node->medium, node->recovery, &error);
    if (node->journal == NULL)
        cluster_fail(cluster, "node %zu: %s", number + 1, error.message);
    node->transport = (struct cluster_transport){.base = {&NETWORK_OPERATIONS}, .node = node};
    struct group_transport *transport = &node->transport.base;
    if (cluster->wires != NULL)
        transport = wires_open(cluster->wires, node);
    struct group_host_options options = {
        .environment = &cluster->world->base,
        .journal = node->journal,
        .transport = settings->node_count > 1 ? transport : NULL,
        .node_id = node->id,
        .snapshot_log_bytes = settings->snapshot_log_bytes,
        .in_flight_bytes_max = settings->in_flight_bytes_max,
        .fatal = node_fatal,
        .fatal_context = node,
        .unsafe_disabled_rules = settings->disabled_rules,
    };
    if (group_host_create(&options, &node->host, &error) != ERROR_NONE)
        cluster_fail(cluster, "host: %s", error.message);

    struct consensus_member founders[CLUSTER_NODES_MAX] = {0};
    for (size_t i = 0; i < settings->founder_count; i++) {
        founders[i].node_id = i + 1;
        founders[i].role = CONSENSUS_ROLE_VOTER;
        snprintf(founders[i].address, sizeof founders[i].address, "node-%zu", i + 1);
    }
    node->alive = true;
    if (cluster->wires != NULL)
        wires_attach(cluster->wires, node);
    for (size_t g = 0; g < settings->group_count; g++) {
        struct cluster_machine *machine = &node->machines[g];
        *machine = (struct cluster_machine){
            .base = {.operations = &MACHINE_OPERATIONS},
            .node = node,
            .group_number = g,
        };
        struct group_options group_options = {
            .group_id = g + 1,
            .recovery = node->recovery,
            .founders = founders,
            .founder_count =
                number < settings->founder_count && !node->is_wiped ? settings->founder_count : 0,
        };
        if (group_create(node->host, &group_options, &machine->base, &machine->group, &error) !=
                ERROR_NONE ||
            group_start(machine->group, &error) != ERROR_NONE)
            cluster_fail(cluster, "node %zu: %s", number + 1, error.message);
        machine->started = true;
    }
    machine_close_recovery(node);
}

static void part_closed(void *context)
{
    ((struct cluster_node *)context)->closing--;
}

static void await_closed(struct cluster_node *node)
{
    while (node->closing > 0)
        if (!simulated_scheduler_step(&node->cluster->world->scheduler))
            cluster_fail(node->cluster, "node %llu does not close", (unsigned long long)node->id);
}

static void begin_to_close_groups(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    if (cluster->wires != NULL)
        wires_detach(cluster->wires, node);
    struct group_statistics statistics;
    group_host_statistics(node->host, &statistics);
    cluster->counts.snapshots += statistics.snapshots_stored;
    cluster->counts.installs += statistics.snapshots_installed;
    cluster->counts.replayed += statistics.entries_replayed;
    cluster->counts.read_back += statistics.entries_read_back;
    cluster->counts.elections += statistics.elections_won;
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        node->closing++;
        group_close(node->machines[g].group, part_closed, node);
    }
}

static void end_closing_groups(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    await_closed(node);
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        free(node->machines[g].queue);
        free(node->machines[g].values.items);
        node->machines[g] = (struct cluster_machine){0};
    }
    group_host_destroy(node->host);
    node->host = NULL;
}

static void close_groups(struct cluster_node *node)
{
    begin_to_close_groups(node);
    end_closing_groups(node);
}

static void close_wires(struct cluster_node *node, bool is_crash)
{
    if (node->cluster->wires != NULL)
        wires_close(node->cluster->wires, node, is_crash);
}

static void close_journal(struct cluster_node *node)
{
    node->closing++;
    journal_close(node->journal, part_closed, node);
    await_closed(node);
    node->journal = NULL;
}

void cluster_crash(struct cluster *cluster, size_t number)
{
    struct cluster_node *node = &cluster->nodes[number];
    assert(node->alive);
    node->alive = false;
    cluster->counts.crashes++;
    group_medium_crash(node->medium);
    group_host_journal_lost(node->host);
    close_journal(node);
    close_groups(node);
    close_wires(node, true);
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

void cluster_crash_over_stop(struct cluster *cluster, size_t number)
{
    struct cluster_node *node = &cluster->nodes[number];
    assert(node->alive);
    node->alive = false;
    cluster->counts.crashes++;
    begin_to_close_groups(node);
    group_medium_crash(node->medium);
    group_host_journal_lost(node->host);
    end_closing_groups(node);
    close_wires(node, true);
    close_journal(node);
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

void cluster_stop(struct cluster *cluster, size_t number)
{
    struct cluster_node *node = &cluster->nodes[number];
    assert(node->alive);
    node->alive = false;
    close_groups(node);
    close_wires(node, false);
    close_journal(node);
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

void cluster_wipe(struct cluster *cluster, size_t number)
{
    struct cluster_node *node = &cluster->nodes[number];
    assert(!node->alive);
    group_medium_destroy(node->medium);
    node->medium = group_medium_create(&cluster->world->scheduler, cluster->settings.medium_mode);
    for (size_t g = 0; g < cluster->settings.group_count; g++)
        node->files[g].count = 0;
    node->is_wiped = true;
    node->is_of_former_era = false;
}

/* --- Cluster ------------------------------------------------------------------------------- */

struct cluster *cluster_create(const struct cluster_settings *settings)
{
    assert(settings->node_count <= CLUSTER_NODES_MAX &&
           settings->group_count <= CLUSTER_GROUPS_MAX);
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert(cluster != NULL);
    cluster->settings = *settings;
    cluster->world = simulated_environment_create(settings->seed);
    if (settings->over_transport)
        cluster->wires = wires_create(cluster);
    cluster->next_value = 1;
    random_generator_init(&cluster->random, settings->seed * 7 + 5);
    for (size_t i = 0; i < settings->node_count; i++) {
        cluster->nodes[i].cluster = cluster;
        cluster->nodes[i].id = i + 1;
        cluster->nodes[i].medium =
            group_medium_create(&cluster->world->scheduler, settings->medium_mode);
    }
    return cluster;
}

void cluster_destroy(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->settings.node_count; i++)
        if (cluster->nodes[i].alive)
            cluster_stop(cluster, i);
    cluster_drop_letters(cluster);
    while (simulated_scheduler_step(&cluster->world->scheduler))
        ;
    if (cluster->wires != NULL)
        wires_destroy(cluster->wires);
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        group_medium_destroy(cluster->nodes[i].medium);
        for (size_t g = 0; g < CLUSTER_GROUPS_MAX; g++)
            free(cluster->nodes[i].files[g].items);
    }
    for (size_t g = 0; g < CLUSTER_GROUPS_MAX; g++) {
        free(cluster->committed[g].items);
        free(cluster->acknowledged[g].items);
        free(cluster->leaders[g].items);
    }
    free(cluster->votes.items);
    simulated_environment_destroy(cluster->world);
    free(cluster);
}

uint32_t cluster_below(struct cluster *cluster, uint32_t bound)
{
    return random_below(&cluster->random.base, bound);
}

void cluster_run_for(struct cluster *cluster, uint64_t milliseconds)
{
    struct simulated_scheduler *scheduler = &cluster->world->scheduler;
    uint64_t end_ns = cluster->world->clock.now_ns + milliseconds * 1000000;
    while (cluster->world->clock.now_ns < end_ns) {
        if (!simulated_scheduler_step(scheduler)) {
            cluster->world->clock.now_ns = end_ns;
            break;
        }
        checker_leaders(cluster);
        if (cluster->wires != NULL)
            wires_follow(cluster->wires);
    }
}

size_t cluster_leader(struct cluster *cluster, size_t group_number)
{
    size_t leader = SIZE_MAX;
    uint64_t term = 0;
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        struct group_status status;
        if (!cluster->nodes[i].alive)
            continue;
        group_status(cluster->nodes[i].machines[group_number].group, &status);
        if (status.ready && status.term > term) {
            leader = i;
            term = status.term;
        }
    }
    return leader;
}

bool cluster_await_leader(struct cluster *cluster, size_t group_number, uint64_t milliseconds)
{
    for (uint64_t waited = 0; waited < milliseconds; waited += 20) {
        if (cluster_leader(cluster, group_number) != SIZE_MAX)
            return true;
        cluster_run_for(cluster, 20);
    }
    return cluster_leader(cluster, group_number) != SIZE_MAX;
}

/* --- Requests ------------------------------------------------------------------------------ */

struct cluster_request {
    struct group_request base;
    struct cluster *cluster;
    size_t group_number;
    uint64_t node;
    uint64_t value; /* 0: no proposal */
};

static void request_done(struct group_request *base, enum group_outcome outcome)
{
    struct cluster_request *request = (struct cluster_request *)base;
    struct cluster *cluster = request->cluster;
    cluster->requests_out--;
    bool counts = !cluster->nodes[request->node - 1].is_of_former_era;
    if (request->value != 0 && outcome == GROUP_OUTCOME_COMMITTED && counts) {
        cluster->counts.acknowledged++;
        cluster_values_append(&cluster->acknowledged[request->group_number], base->index,
                              request->value);
    } else if (request->value != 0) {
        cluster->counts.unknown++;
    }
    free(request);
}

static struct cluster_request *request_create(struct cluster *cluster, size_t node,
                                              size_t group_number)
{
    struct cluster_request *request = calloc(1, sizeof *request);
    assert(request != NULL);
    request->base.done = request_done;
    request->cluster = cluster;
    request->group_number = group_number;
    request->node = node + 1;
    return request;
}

enum error_code cluster_propose(struct cluster *cluster, size_t node, size_t group_number,
                                size_t payload_bytes)
{
    struct cluster_request *request = request_create(cluster, node, group_number);
    uint8_t *payload = group_payload_create(payload_bytes);
    assert(payload != NULL && payload_bytes >= 8);
    request->value = cluster->next_value++;
    machine_fill_payload(payload, payload_bytes, request->value);
    struct error error;
    enum error_code code = group_propose(cluster->nodes[node].machines[group_number].group,
                                         &request->base, payload, &error);
    if (code != ERROR_NONE) {
        group_payload_destroy(payload);
        free(request);
        return code;
    }
    cluster->requests_out++;
    cluster->counts.proposals++;
    return code;
}

bool cluster_change(struct cluster *cluster, size_t node, size_t group_number,
                    enum group_change_kind kind, size_t member, enum consensus_role role)
{
    char address[32];
    snprintf(address, sizeof address, "node-%zu", member + 1);
    struct group_change change = {
        .kind = kind,
        .node_id = member + 1,
        .role = role,
        .address = address,
    };
    struct cluster_request *request = request_create(cluster, node, group_number);
    struct error error;
    if (group_change_members(cluster->nodes[node].machines[group_number].group, &request->base,
                             &change, &error) != ERROR_NONE) {
        free(request);
        return false;
    }
    cluster->requests_out++;
    cluster->counts.member_changes++;
    return true;
}

/* What a list has behind an index goes. */
static void forget_after(struct cluster_values *values, uint64_t index)
{
    size_t kept = 0;
    for (size_t i = 0; i < values->count; i++)
        if (values->items[i].index <= index)
            values->items[kept++] = values->items[i];
    values->count = kept;
}

bool cluster_force(struct cluster *cluster, size_t node, size_t group_number)
{
    struct group *group = cluster->nodes[node].machines[group_number].group;
    struct group_status status;
    struct error error;
    group_status(group, &status);
    struct group_force position = {
        .seen_term = status.term,
        .last_index = status.last_index,
        .last_term = status.last_term,
    };
    if (group_force_membership(group, &position, &error) != ERROR_NONE)
        return false;
    forget_after(&cluster->committed[group_number], status.last_index);
    forget_after(&cluster->acknowledged[group_number], status.last_index);
    return true;
}

bool cluster_transfer(struct cluster *cluster, size_t node, size_t group_number, size_t member)
{
    struct cluster_request *request = request_create(cluster, node, group_number);
    struct error error;
    if (group_transfer(cluster->nodes[node].machines[group_number].group, &request->base,
                       member + 1, &error) != ERROR_NONE) {
        free(request);
        return false;
    }
    cluster->requests_out++;
    cluster->counts.transfers++;
    return true;
}

void cluster_freeze(struct cluster *cluster, size_t node, size_t group_number)
{
    struct cluster_machine *machine = &cluster->nodes[node].machines[group_number];
    if (machine->applied_index < machine->rebuild_index)
        return; /* the manifest of a state that is being rebuilt names later files */
    cluster_values_copy(&cluster->nodes[node].files[group_number], &machine->values,
                        machine->applied_index);
    machine->frozen_index = machine->applied_index;
    group_snapshot_soon(machine->group);
}
