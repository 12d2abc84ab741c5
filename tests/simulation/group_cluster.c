#include "group_cluster.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

/* --- Failures and lists -------------------------------------------------------------------- */

void cluster_fail(struct cluster *cluster, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cluster->failure, sizeof cluster->failure, format, arguments);
    va_end(arguments);
    if (cluster->on_failure != NULL)
        longjmp(*cluster->on_failure, 1);
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)cluster->settings.seed,
            cluster->failure);
    abort();
}

static void values_append(struct cluster_values *values, uint64_t index, uint64_t value)
{
    if (values->count == values->capacity) {
        values->capacity = values->capacity * 2 + 64;
        values->items = realloc(values->items, values->capacity * sizeof *values->items);
        assert(values->items != NULL);
    }
    values->items[values->count++] = (struct cluster_value){index, value};
}

static void values_copy(struct cluster_values *to, const struct cluster_values *from,
                        uint64_t up_to_index)
{
    to->count = 0;
    for (size_t i = 0; i < from->count && from->items[i].index <= up_to_index; i++)
        values_append(to, from->items[i].index, from->items[i].value);
}

/* Position of `index` in a list by rising index, or of the first above it. */
static size_t values_find(const struct cluster_values *values, uint64_t index)
{
    size_t low = 0, high = values->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (values->items[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t values_hash(const struct cluster_values *values)
{
    return hash64(values->items, values->count * sizeof *values->items, 1);
}

/* --- Checker ------------------------------------------------------------------------------- */

/* Some replica has `value` at `index`: it is committed, there, for ever. */
static void check_committed(struct cluster *cluster, size_t group_number, uint64_t node,
                            uint64_t index, uint64_t value)
{
    struct cluster_values *committed = &cluster->committed[group_number];
    size_t position = values_find(committed, index);
    if (position < committed->count && committed->items[position].index == index) {
        if (committed->items[position].value != value)
            cluster_fail(cluster, "node %llu applied %llu at %llu, another one %llu",
                         (unsigned long long)node, (unsigned long long)value,
                         (unsigned long long)index,
                         (unsigned long long)committed->items[position].value);
        return;
    }
    /* Values are handed out in rising order but may commit in another. */
    for (size_t i = 0; i < committed->count; i++)
        if (committed->items[i].value == value)
            cluster_fail(cluster, "value %llu is at %llu and %llu", (unsigned long long)value,
                         (unsigned long long)committed->items[i].index, (unsigned long long)index);
    if (position < committed->count)
        cluster_fail(cluster, "node %llu applied %llu at %llu, which others passed over",
                     (unsigned long long)node, (unsigned long long)value,
                     (unsigned long long)index);
    values_append(committed, index, value);
}

static void check_leader(struct cluster *cluster, size_t group_number, uint64_t term, uint64_t node)
{
    struct cluster_values *leaders = &cluster->leaders[group_number];
    for (size_t i = leaders->count; i > 0; i--) {
        if (leaders->items[i - 1].index != term)
            continue;
        if (leaders->items[i - 1].value != node)
            cluster_fail(cluster, "nodes %llu and %llu lead in term %llu",
                         (unsigned long long)leaders->items[i - 1].value, (unsigned long long)node,
                         (unsigned long long)term);
        return;
    }
    values_append(leaders, term, node);
}

static void check_leaders(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        for (size_t g = 0; node->alive && g < cluster->settings.group_count; g++) {
            struct group_status status;
            group_status(node->machines[g].group, &status);
            if (status.state == GROUP_STATE_LEADER)
                check_leader(cluster, g, status.term, node->id);
        }
    }
}

/* --- Payloads ------------------------------------------------------------------------------ */

static void payload_fill(uint8_t *payload, size_t size_bytes, uint64_t value)
{
    for (size_t i = 0; i < size_bytes; i++)
        payload[i] = (uint8_t)(value * 31 + i);
    store_u64(payload, value);
}

static uint64_t payload_check(struct cluster *cluster, const uint8_t *payload, size_t size_bytes)
{
    uint64_t value = load_u64(payload);
    for (size_t i = 8; i < size_bytes; i++)
        if (payload[i] != (uint8_t)(value * 31 + i))
            cluster_fail(cluster, "payload of %llu is altered", (unsigned long long)value);
    return value;
}

/* --- State machine ------------------------------------------------------------------------- */

static struct cluster_machine *machine_of(struct state_machine *self)
{
    return (struct cluster_machine *)self;
}

static void close_recovery_when_replayed(struct cluster_node *node)
{
    if (node->recovery == NULL || !node->alive)
        return;
    for (size_t g = 0; g < node->cluster->settings.group_count; g++) {
        struct group_status status;
        group_status(node->machines[g].group, &status);
        if (status.replaying || node->machines[g].queue_count > 0)
            return;
    }
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

static void apply_first(struct cluster_machine *machine)
{
    struct cluster *cluster = machine->node->cluster;
    struct group_entry entry = machine->queue[0];
    uint64_t value = payload_check(cluster, entry.payload, entry.size_bytes);
    check_committed(cluster, machine->group_number, machine->node->id, entry.index, value);
    if (machine->rebuild_index != 0 && entry.index > machine->rebuild_index) {
        if (values_hash(&machine->values) != machine->rebuild_hash)
            cluster_fail(cluster, "node %llu replayed to another state at %llu",
                         (unsigned long long)machine->node->id,
                         (unsigned long long)machine->rebuild_index);
        machine->rebuild_index = 0;
    }
    values_append(&machine->values, entry.index, value);
    machine->applied_index = entry.index;
    memmove(machine->queue, machine->queue + 1, --machine->queue_count * sizeof entry);
}

struct slice {
    struct cluster_node *node;
    struct cluster_machine *machine;
    uint64_t incarnation;
};

static void schedule_slice(struct cluster_machine *machine);

static void run_slice(void *argument)
{
    struct slice slice = *(struct slice *)argument;
    free(argument);
    struct cluster_machine *machine = slice.machine;
    struct cluster_node *node = slice.node;
    if (!node->alive || node->incarnation != slice.incarnation)
        return;
    machine->slice_scheduled = false;
    for (size_t i = 0; i < 8 && machine->queue_count > 0 && !machine->stalled; i++)
        apply_first(machine);
    group_applied(machine->group);
    close_recovery_when_replayed(node);
    if (machine->queue_count > 0)
        schedule_slice(machine);
}

static void schedule_slice(struct cluster_machine *machine)
{
    if (machine->slice_scheduled)
        return;
    machine->slice_scheduled = true;
    struct cluster *cluster = machine->node->cluster;
    struct slice *slice = malloc(sizeof *slice);
    assert(slice != NULL);
    *slice = (struct slice){machine->node, machine, machine->node->incarnation};
    simulated_scheduler_after(&cluster->world->scheduler,
                              random_below(&cluster->random.base, 3000000), run_slice, slice);
}

static void machine_apply(struct state_machine *self, const struct group_entry *entry)
{
    struct cluster_machine *machine = machine_of(self);
    uint64_t last = machine->queue_count > 0 ? machine->queue[machine->queue_count - 1].index
                                             : machine->applied_index;
    if (entry->index <= last)
        cluster_fail(machine->node->cluster, "entry %llu after %llu",
                     (unsigned long long)entry->index, (unsigned long long)last);
    if (machine->queue_count == machine->queue_capacity) {
        machine->queue_capacity = machine->queue_capacity * 2 + 16;
        machine->queue = realloc(machine->queue, machine->queue_capacity * sizeof *machine->queue);
        assert(machine->queue != NULL);
    }
    machine->queue[machine->queue_count++] = *entry;
    schedule_slice(machine);
}

static uint64_t machine_applied_index(struct state_machine *self)
{
    return machine_of(self)->applied_index;
}

/* Bytes: whole or not, hash of the state, and when whole the state. */
static void encode_state(struct cluster_machine *machine, bool whole, struct byte_buffer *bytes,
                         struct state_machine_position *position_out)
{
    byte_buffer_u64(bytes, whole);
    byte_buffer_u64(bytes, values_hash(&machine->values));
    if (whole)
        byte_buffer_append(bytes, machine->values.items,
                           machine->values.count * sizeof *machine->values.items);
    position_out->applied_index = machine->applied_index;
    position_out->frozen_index = whole ? machine->applied_index : machine->frozen_index;
}

static enum error_code machine_snapshot(struct state_machine *self, struct byte_buffer *bytes,
                                        struct state_machine_position *position_out,
                                        struct error *error)
{
    struct cluster_machine *machine = machine_of(self);
    /* While an earlier state is rebuilt there is none of its own. */
    if (machine->applied_index < machine->rebuild_index ||
        random_below(&machine->node->cluster->random.base, 4) == 0)
        return error_set(error, ERROR_UNAVAILABLE, "not now");
    encode_state(machine, false, bytes, position_out);
    return ERROR_NONE;
}

static enum error_code machine_snapshot_for_peer(struct state_machine *self,
                                                 struct byte_buffer *bytes,
                                                 struct state_machine_position *position_out,
                                                 struct error *error)
{
    struct cluster_machine *machine = machine_of(self);
    if (machine->applied_index < machine->rebuild_index)
        return error_set(error, ERROR_UNAVAILABLE, "not now");
    encode_state(machine, true, bytes, position_out);
    return ERROR_NONE;
}

static void machine_snapshot_stored(struct state_machine *self,
                                    const struct state_machine_position *position)
{
    (void)position;
    machine_of(self)->snapshots_stored++;
}

static enum error_code machine_restore(struct state_machine *self, const uint8_t *bytes,
                                       size_t size_bytes,
                                       const struct state_machine_position *position,
                                       struct error *error)
{
    struct cluster_machine *machine = machine_of(self);
    struct cluster_node *node = machine->node;
    struct cluster *cluster = node->cluster;
    struct cluster_values *files = &node->files[machine->group_number];
    if (size_bytes < 16 || (size_bytes - 16) % sizeof(struct cluster_value) != 0)
        return error_set(error, ERROR_CORRUPT, "snapshot of %zu bytes", size_bytes);

    machine->restores++;
    machine->queue_count = 0;
    machine->values.count = 0;
    if (load_u64(bytes) != 0) {
        for (size_t at = 16; at < size_bytes; at += sizeof(struct cluster_value))
            values_append(&machine->values, load_u64(bytes + at), load_u64(bytes + at + 8));
        size_t count = machine->values.count;
        if (count > 0 && machine->values.items[count - 1].index > position->applied_index)
            cluster_fail(cluster, "node %llu was sent a state of %llu as one of %llu",
                         (unsigned long long)node->id,
                         (unsigned long long)machine->values.items[count - 1].index,
                         (unsigned long long)position->applied_index);
        values_copy(files, &machine->values, position->frozen_index);
    } else {
        values_copy(&machine->values, files, position->frozen_index);
    }
    for (size_t i = 0; i < machine->values.count; i++)
        check_committed(cluster, machine->group_number, node->id, machine->values.items[i].index,
                        machine->values.items[i].value);
    machine->applied_index = position->frozen_index;
    machine->frozen_index = position->frozen_index;
    machine->rebuild_index = position->applied_index;
    machine->rebuild_hash = load_u64(bytes + 8);
    return ERROR_NONE;
}

static void machine_leader_started(struct state_machine *self, uint64_t term)
{
    struct cluster_machine *machine = machine_of(self);
    if (machine->leads)
        cluster_fail(machine->node->cluster, "leader_started twice");
    machine->leads = true;
    machine->leader_changes++;
    check_leader(machine->node->cluster, machine->group_number, term, machine->node->id);
}

static void machine_leader_stopped(struct state_machine *self, uint64_t term)
{
    struct cluster_machine *machine = machine_of(self);
    (void)term;
    if (!machine->leads)
        cluster_fail(machine->node->cluster, "leader_stopped twice");
    machine->leads = false;
}

static const struct state_machine_operations MACHINE_OPERATIONS = {
    .apply = machine_apply,
    .applied_index = machine_applied_index,
    .snapshot = machine_snapshot,
    .snapshot_for_peer = machine_snapshot_for_peer,
    .snapshot_stored = machine_snapshot_stored,
    .restore = machine_restore,
    .leader_started = machine_leader_started,
    .leader_stopped = machine_leader_stopped,
};

/* --- Network ------------------------------------------------------------------------------- */

struct letter {
    struct cluster *cluster;
    size_t from, to;
    uint64_t group_id;
    uint8_t *bytes;
    size_t size_bytes;
};

static void deliver(void *argument)
{
    struct letter *letter = argument;
    struct cluster *cluster = letter->cluster;
    struct cluster_node *node = &cluster->nodes[letter->to];
    if (node->alive && !cluster->cut[letter->from][letter->to])
        group_host_receive(node->host, letter->group_id, letter->from + 1, letter->bytes,
                           letter->size_bytes);
    free(letter->bytes);
    free(letter);
}

static void post(struct cluster *cluster, size_t from, size_t to, uint64_t group_id,
                 const uint8_t *bytes, size_t size_bytes)
{
    struct letter *letter = malloc(sizeof *letter);
    assert(letter != NULL);
    *letter = (struct letter){cluster, from, to, group_id, malloc(size_bytes), size_bytes};
    memcpy(letter->bytes, bytes, size_bytes);
    uint64_t delay_ns =
        cluster->slow_ms[from] * 1000000 + random_below(&cluster->random.base, 200000);
    if (cluster->delay_ms_max > 0 && random_below(&cluster->random.base, 4) == 0) {
        cluster->counts.reordered++;
        delay_ns += 1000000 *
                    (uint64_t)random_below(&cluster->random.base, (uint32_t)cluster->delay_ms_max);
    }
    simulated_scheduler_after(&cluster->world->scheduler, delay_ns, deliver, letter);
}

static bool transport_send(struct group_transport *self, uint64_t group_id, uint64_t node_id,
                           uint8_t *bytes, size_t size_bytes)
{
    struct cluster_node *node = ((struct cluster_transport *)self)->node;
    struct cluster *cluster = node->cluster;
    size_t from = node->id - 1, to = node_id - 1;
    bool reachable = node->alive && to < cluster->settings.node_count && !cluster->cut[from][to];
    cluster->counts.messages++;
    if (reachable && random_below(&cluster->random.base, 1000) < cluster->loss_per_thousand) {
        cluster->counts.lost++;
    } else if (reachable) {
        post(cluster, from, to, group_id, bytes, size_bytes);
        if (random_below(&cluster->random.base, 1000) < cluster->duplicate_per_thousand) {
            cluster->counts.duplicated++;
            post(cluster, from, to, group_id, bytes, size_bytes);
        }
    }
    free(bytes);
    return reachable;
}

static const struct group_transport_operations TRANSPORT_OPERATIONS = {.send = transport_send};

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
    node->transport = (struct cluster_transport){.base = {&TRANSPORT_OPERATIONS}, .node = node};
    struct group_host_options options = {
        .environment = &cluster->world->base,
        .journal = node->journal,
        .transport = settings->node_count > 1 ? &node->transport.base : NULL,
        .node_id = node->id,
        .snapshot_log_bytes = settings->snapshot_log_bytes,
        .in_flight_bytes_max = settings->in_flight_bytes_max,
        .fatal = node_fatal,
        .fatal_context = node,
        .unsafe_disabled_rules = settings->disabled_rules,
    };
    if (group_host_create(&options, &node->host, &error) != ERROR_NONE)
        cluster_fail(cluster, "host: %s", error.message);

    struct group_member founders[CLUSTER_NODES_MAX] = {0};
    for (size_t i = 0; i < settings->founder_count; i++) {
        founders[i].node_id = i + 1;
        founders[i].role = GROUP_ROLE_VOTER;
        snprintf(founders[i].address, sizeof founders[i].address, "node-%zu", i + 1);
    }
    node->alive = true;
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
            .founder_count = number < settings->founder_count ? settings->founder_count : 0,
        };
        if (group_create(node->host, &group_options, &machine->base, &machine->group, &error) !=
                ERROR_NONE ||
            group_start(machine->group, &error) != ERROR_NONE)
            cluster_fail(cluster, "node %zu: %s", number + 1, error.message);
    }
    close_recovery_when_replayed(node);
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

static void close_groups(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    struct group_statistics statistics;
    group_host_statistics(node->host, &statistics);
    cluster->counts.snapshots += statistics.snapshots_stored;
    cluster->counts.installs += statistics.snapshots_installed;
    cluster->counts.replayed += statistics.entries_replayed;
    cluster->counts.reopened += statistics.reopened;
    cluster->counts.elections += statistics.elections_won;
    cluster->counts.filtered += statistics.messages_filtered;
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        node->closing++;
        group_close(node->machines[g].group, part_closed, node);
    }
    await_closed(node);
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        free(node->machines[g].queue);
        free(node->machines[g].values.items);
        node->machines[g] = (struct cluster_machine){0};
    }
    group_host_destroy(node->host);
    node->host = NULL;
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
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

void cluster_stop(struct cluster *cluster, size_t number)
{
    struct cluster_node *node = &cluster->nodes[number];
    assert(node->alive);
    node->alive = false;
    close_groups(node);
    close_journal(node);
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
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
    while (simulated_scheduler_step(&cluster->world->scheduler))
        ;
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
        check_leaders(cluster);
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
    if (request->value != 0 && outcome == GROUP_OUTCOME_COMMITTED) {
        cluster->counts.acknowledged++;
        values_append(&cluster->acknowledged[request->group_number], base->index, request->value);
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
    payload_fill(payload, payload_bytes, request->value);
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
                    enum group_change_kind kind, size_t member, enum group_role role)
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
    values_copy(&cluster->nodes[node].files[group_number], &machine->values,
                machine->applied_index);
    machine->frozen_index = machine->applied_index;
    group_snapshot_soon(machine->group);
}

/* --- The end ------------------------------------------------------------------------------- */

static void check_replica(struct cluster *cluster, size_t number, size_t group_number)
{
    const struct cluster_values *committed = &cluster->committed[group_number];
    const struct cluster_values *values = &cluster->nodes[number].machines[group_number].values;
    if (values->count != committed->count ||
        memcmp(values->items, committed->items, values->count * sizeof *values->items) != 0)
        cluster_fail(cluster, "node %zu has %zu values of %zu at the end", number + 1,
                     values->count, committed->count);
    for (size_t i = 0; i < cluster->acknowledged[group_number].count; i++) {
        struct cluster_value value = cluster->acknowledged[group_number].items[i];
        size_t position = values_find(values, value.index);
        if (position == values->count || values->items[position].index != value.index ||
            values->items[position].value != value.value)
            cluster_fail(cluster, "acknowledged value %llu at %llu is lost",
                         (unsigned long long)value.value, (unsigned long long)value.index);
    }
}

/* Everything is well from here on; the node `dead` is down, SIZE_MAX: none is. */
static void heal(struct cluster *cluster, size_t dead)
{
    memset(cluster->cut, 0, sizeof cluster->cut);
    cluster->loss_per_thousand = cluster->duplicate_per_thousand = 0;
    cluster->delay_ms_max = 0;
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        group_medium_set_delay(cluster->nodes[i].medium, 0);
        if (i == dead && cluster->nodes[i].alive)
            cluster_crash(cluster, i);
        else if (i != dead && !cluster->nodes[i].alive)
            cluster_start(cluster, i);
        for (size_t g = 0; g < cluster->settings.group_count; g++)
            cluster->nodes[i].machines[g].stalled = false;
    }
}

static void expect_leader(struct cluster *cluster, size_t group_number, const char *when)
{
    if (!cluster_await_leader(cluster, group_number, 120000))
        cluster_fail(cluster, "no leader of group %zu after %s for two minutes", group_number + 1,
                     when);
}

/* Whether the living know a membership of the group, and are a majority of each that they know. */
static bool is_led_without(struct cluster *cluster, size_t dead, size_t group_number)
{
    bool is_known = false;
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        struct group_member members[GROUP_MEMBERS_MAX];
        if (i == dead)
            continue;
        size_t count = group_members(cluster->nodes[i].machines[group_number].group, members);
        size_t voters = 0, alive = 0;
        for (size_t m = 0; m < count; m++) {
            voters += members[m].role == GROUP_ROLE_VOTER;
            alive += members[m].role == GROUP_ROLE_VOTER && members[m].node_id != dead + 1;
        }
        if (2 * alive <= voters && count > 0)
            return false;
        is_known |= count > 0;
    }
    return is_known;
}

void cluster_check_majority(struct cluster *cluster)
{
    size_t dead = cluster_below(cluster, (uint32_t)cluster->settings.node_count);
    heal(cluster, dead);
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        if (!is_led_without(cluster, dead, g))
            continue;
        cluster->counts.majorities++;
        expect_leader(cluster, g, "all but one node were well");
    }
}

void cluster_heal_and_check(struct cluster *cluster)
{
    heal(cluster, SIZE_MAX);
    for (size_t g = 0; g < cluster->settings.group_count; g++)
        expect_leader(cluster, g, "everything was well");
    cluster_run_for(cluster, 90000); /* an install that was lost is repeated after 30 s */
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        size_t leader = cluster_leader(cluster, g);
        if (leader == SIZE_MAX || cluster_propose(cluster, leader, g, 16) != ERROR_NONE)
            cluster_fail(cluster, "the leader takes nothing");
        cluster_run_for(cluster, 5000);
        struct group_member members[GROUP_MEMBERS_MAX];
        size_t count = group_members(cluster->nodes[leader].machines[g].group, members);
        for (size_t i = 0; i < count; i++)
            if (members[i].role != GROUP_ROLE_SPARE)
                check_replica(cluster, members[i].node_id - 1, g);
    }
    if (cluster->requests_out != 0)
        cluster_fail(cluster, "%llu requests are not answered",
                     (unsigned long long)cluster->requests_out);
}
