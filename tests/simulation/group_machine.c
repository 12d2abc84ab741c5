#include "group_machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "group_checker.h"

/* --- Payloads ------------------------------------------------------------------------------ */

void machine_fill_payload(uint8_t *payload, size_t size_bytes, uint64_t value)
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

void machine_close_recovery(struct cluster_node *node)
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
    checker_committed(cluster, machine->group_number, machine->node->id, entry.index, value);
    if (machine->rebuild_index != 0 && entry.index > machine->rebuild_index) {
        if (cluster_values_hash(&machine->values) != machine->rebuild_hash)
            cluster_fail(cluster, "node %llu replayed to another state at %llu",
                         (unsigned long long)machine->node->id,
                         (unsigned long long)machine->rebuild_index);
        machine->rebuild_index = 0;
    }
    cluster_values_append(&machine->values, entry.index, value);
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
    machine_close_recovery(node);
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
    byte_buffer_u64(bytes, cluster_values_hash(&machine->values));
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

/* As encode_state of what was frozen, which is older: what follows comes from the log. */
static void encode_frozen(struct cluster_machine *machine, struct byte_buffer *bytes,
                          struct state_machine_position *position_out)
{
    struct cluster_values frozen = {0};
    machine->node->cluster->counts.frozen_exports++;
    cluster_values_copy(&frozen, &machine->node->files[machine->group_number],
                        machine->frozen_index);
    byte_buffer_u64(bytes, true);
    byte_buffer_u64(bytes, cluster_values_hash(&frozen));
    byte_buffer_append(bytes, frozen.items, frozen.count * sizeof *frozen.items);
    free(frozen.items);
    position_out->applied_index = position_out->frozen_index = machine->frozen_index;
}

static enum error_code machine_snapshot_for_peer(struct state_machine *self,
                                                 struct byte_buffer *bytes,
                                                 struct state_machine_position *position_out,
                                                 struct error *error)
{
    struct cluster_machine *machine = machine_of(self);
    if (machine->applied_index < machine->rebuild_index)
        return error_set(error, ERROR_UNAVAILABLE, "not now");
    struct cluster *cluster = machine->node->cluster;
    if (cluster->settings.slow_to_prepare && machine->frozen_index > 0 &&
        random_below(&cluster->random.base, 4) != 0)
        encode_frozen(machine, bytes, position_out);
    else
        encode_state(machine, true, bytes, position_out);
    return ERROR_NONE;
}

/* --- Preparing for a snapshot ---------------------------------------------------------------- */

struct preparation {
    struct cluster_node *node;
    struct cluster_machine *machine;
    uint64_t incarnation, number;
};

static void end_preparation(void *argument)
{
    struct preparation preparation = *(struct preparation *)argument;
    free(argument);
    struct cluster_machine *machine = preparation.machine;
    struct cluster *cluster = preparation.node->cluster;
    if (!preparation.node->alive || preparation.node->incarnation != preparation.incarnation ||
        machine->preparation != preparation.number)
        return;
    struct error error = {0};
    uint64_t index = machine->preparing_index;
    machine->is_prepared = true;
    if (cluster->settings.slow_to_prepare && random_below(&cluster->random.base, 8) == 0) {
        error_set(&error, ERROR_UNAVAILABLE, "not to be had");
        cluster->counts.unprepared++;
        machine->is_prepared = false;
        machine->preparing_index = 0;
        machine->preparation++;
    }
    group_restore_prepared(machine->group, index, &error);
}

static void machine_prepare_restore(struct state_machine *self,
                                    const struct state_machine_offer *offer)
{
    struct cluster_machine *machine = machine_of(self);
    struct cluster *cluster = machine->node->cluster;
    if (machine->preparing_index >= offer->position.applied_index)
        cluster_fail(cluster, "node %llu prepares %llu again",
                     (unsigned long long)machine->node->id,
                     (unsigned long long)machine->preparing_index);
    if (offer->member_count == 0 || offer->from_node == machine->node->id)
        cluster_fail(cluster, "an offer from nobody");
    cluster->counts.prepared++;
    cluster->counts.superseded += machine->preparing_index != 0;
    machine->preparing_index = offer->position.applied_index;
    machine->is_prepared = false;
    struct preparation *preparation = malloc(sizeof *preparation);
    assert(preparation != NULL);
    *preparation = (struct preparation){machine->node, machine, machine->node->incarnation,
                                        ++machine->preparation};
    uint64_t delay_ns = 0;
    if (cluster->settings.slow_to_prepare)
        delay_ns = (uint64_t)random_below(&cluster->random.base, 4000) *
                   (random_below(&cluster->random.base, 8) == 0 ? 10000000 : 1000000);
    simulated_scheduler_after(&cluster->world->scheduler, delay_ns, end_preparation, preparation);
}

static void machine_cancel_restore(struct state_machine *self)
{
    struct cluster_machine *machine = machine_of(self);
    if (machine->preparing_index == 0)
        cluster_fail(machine->node->cluster, "nothing to cancel");
    machine->node->cluster->counts.cancelled++;
    machine->preparing_index = 0;
    machine->is_prepared = false;
    machine->preparation++;
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
    if (machine->started &&
        (!machine->is_prepared || machine->preparing_index != position->applied_index))
        cluster_fail(cluster, "node %llu was not prepared for %llu", (unsigned long long)node->id,
                     (unsigned long long)position->applied_index);
    machine->preparing_index = 0;
    machine->is_prepared = false;

    machine->restores++;
    machine->queue_count = 0;
    machine->values.count = 0;
    if (load_u64(bytes) != 0) {
        for (size_t at = 16; at < size_bytes; at += sizeof(struct cluster_value))
            cluster_values_append(&machine->values, load_u64(bytes + at), load_u64(bytes + at + 8));
        size_t count = machine->values.count;
        if (count > 0 && machine->values.items[count - 1].index > position->applied_index)
            cluster_fail(cluster, "node %llu was sent a state of %llu as one of %llu",
                         (unsigned long long)node->id,
                         (unsigned long long)machine->values.items[count - 1].index,
                         (unsigned long long)position->applied_index);
        cluster_values_copy(files, &machine->values, position->frozen_index);
    } else {
        cluster_values_copy(&machine->values, files, position->frozen_index);
    }
    for (size_t i = 0; i < machine->values.count; i++)
        checker_committed(cluster, machine->group_number, node->id, machine->values.items[i].index,
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
    checker_leader(machine->node->cluster, machine->group_number, term, machine->node->id);
}

static void machine_leader_stopped(struct state_machine *self, uint64_t term)
{
    struct cluster_machine *machine = machine_of(self);
    (void)term;
    if (!machine->leads)
        cluster_fail(machine->node->cluster, "leader_stopped twice");
    machine->leads = false;
}

/* --- Going on with the state of another ------------------------------------------------------ */

bool cluster_adopt(struct cluster *cluster, size_t node, size_t from, size_t group_number)
{
    struct cluster_machine *machine = &cluster->nodes[node].machines[group_number];
    struct cluster_machine *other = &cluster->nodes[from].machines[group_number];
    struct state_machine_position position;
    struct byte_buffer bytes = {0};
    struct error error;
    if (!cluster->nodes[node].alive || !cluster->nodes[from].alive || node == from ||
        other->applied_index < other->rebuild_index || machine->preparing_index != 0)
        return false;
    encode_state(other, true, &bytes, &position);
    bool adopts =
        position.applied_index > 0 && group_adopt(machine->group, position.applied_index,
                                                  bytes.bytes, bytes.size, &error) == ERROR_NONE;
    byte_buffer_clear(&bytes);
    if (!adopts)
        return false;
    machine->queue_count = 0;
    machine->preparing_index = position.applied_index;
    machine->is_prepared = true;
    cluster->counts.adopted++;
    return true;
}

const struct state_machine_operations MACHINE_OPERATIONS = {
    .apply = machine_apply,
    .applied_index = machine_applied_index,
    .snapshot = machine_snapshot,
    .snapshot_for_peer = machine_snapshot_for_peer,
    .prepare_restore = machine_prepare_restore,
    .cancel_restore = machine_cancel_restore,
    .snapshot_stored = machine_snapshot_stored,
    .restore = machine_restore,
    .leader_started = machine_leader_started,
    .leader_stopped = machine_leader_stopped,
};
