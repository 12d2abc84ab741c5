/* What operators ask for: checked by the leader against what it has heard, then proposed. */
#include <stddef.h>
#include <stdlib.h>

#include "meta_private.h"

/* --- The leader's side ----------------------------------------------------------------------- */

static void done(struct meta *meta, void *owner, const struct cluster_outcome *outcome)
{
    struct ask *ask = owner;
    if (outcome == NULL)
        ask_refuse(ask, ERROR_UNAVAILABLE, "the leader of the meta group changed");
    else if (outcome->refusal == CLUSTER_REFUSED_STALE)
        ask_refuse(ask, ERROR_UNAVAILABLE, "%s", cluster_refusal_text(outcome->refusal));
    else if (outcome->refusal != CLUSTER_ACCEPTED)
        ask_refuse(ask, ERROR_CONFLICT, "%s", cluster_refusal_text(outcome->refusal));
    else
        ask_end(ask, (struct bytes){0});
    meta_wake(meta);
}

static void propose(struct ask *ask, const struct cluster_entry *entry)
{
    struct error error;
    if (propose_entry(ask_meta(ask), entry, done, ask, &error) != ERROR_NONE)
        ask_fail(ask, &error);
}

static void set_state(struct ask *ask, const struct cluster_node *node,
                      enum cluster_node_state state)
{
    propose(ask, &(struct cluster_entry){.kind = CLUSTER_SET_NODE_STATE,
                                         .set_node_state = {node->node_id, state}});
}

/* It would take replicas with it that still serve, and be missed. */
static void remove_node(struct ask *ask, const struct cluster_node *node, enum meta_force force)
{
    const struct meta *meta = ask_meta(ask);
    size_t replicas = cluster_state_replica_count(meta->state, node->node_id);
    bool is_alive = leadership_is_alive(meta, node->node_id);
    bool is_drained = node->state == CLUSTER_NODE_DRAINING && replicas == 0;
    if (node->state == CLUSTER_NODE_LEFT)
        propose(ask, &(struct cluster_entry){.kind = CLUSTER_REMOVE_NODE,
                                             .remove_node = {node->node_id}});
    else if (force == META_ASKED && is_alive && !is_drained)
        ask_refuse(ask, ERROR_CONFLICT,
                   "node %s is alive and %s, with %zu replicas: drain it first, or use force",
                   node->identity.name, cluster_node_state_name(node->state), replicas);
    else
        set_state(ask, node, CLUSTER_NODE_LEFT);
}

static void serve_node(struct ask *ask, const struct meta_command *command)
{
    const struct cluster_state *state = ask_meta(ask)->state;
    const struct cluster_node *node =
        command->node_id != 0 ? cluster_state_find_node(state, command->node_id)
                              : cluster_state_find_name(state, text_of(command->node_name));
    if (node == NULL && command->node_id != 0)
        ask_refuse(ask, ERROR_NOT_FOUND, "there is no node %llu",
                   (unsigned long long)command->node_id);
    else if (node == NULL)
        ask_refuse(ask, ERROR_NOT_FOUND, "there is no node '%s'", command->node_name);
    else if (command->kind == META_DRAIN_NODE)
        set_state(ask, node, CLUSTER_NODE_DRAINING);
    else if (command->kind == META_UNDRAIN_NODE)
        set_state(ask, node, CLUSTER_NODE_ACTIVE);
    else
        remove_node(ask, node, command->force);
}

/* The nodes of the shard found the one that is split off, with votes: each has to have what that
 * begins with, or one more that fails would leave it without a leader. */
static enum error_code check_whole(struct meta *meta, uint32_t shard_id, struct arena *arena,
                                   struct error *error)
{
    struct placement_observation observation;
    if (!leadership_observe(meta, arena, &observation))
        return error_set(error, ERROR_OUT_OF_MEMORY, "observation");
    if (!placement_is_settled(meta->state, &observation, shard_id))
        return error_set(error, ERROR_CONFLICT,
                         "shard %u is not as desired yet, see 'gnomon cluster status': it is split "
                         "when each of its replicas has all that it holds",
                         shard_id);
    const struct cluster_replicas *replicas =
        &cluster_state_find_shard(meta->state, shard_id)->replicas;
    for (uint32_t i = 0; i < replicas->count; i++)
        if (!leadership_is_alive(meta, replicas->node_ids[i]))
            return error_set(
                error, ERROR_CONFLICT,
                "node %s, which has a replica of shard %u, is not there: the shard is "
                "split when it is back, or replaced",
                cluster_state_find_node(meta->state, replicas->node_ids[i])->identity.name,
                shard_id);
    return ERROR_NONE;
}

/* Whether the command was carried out already, and its answer got lost. */
static bool was_split(const struct cluster_state *state, const struct meta_command *command)
{
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    return command->shard_count != 0 && count == command->shard_count + (size_t)1 &&
           shards[count - 1].parent != CLUSTER_SHARD_NONE &&
           (command->shard_id == CLUSTER_SHARD_NONE ||
            command->shard_id == shards[count - 1].parent);
}

static void split_shard(struct ask *ask, const struct meta_command *command)
{
    const struct cluster_state *state = ask_meta(ask)->state;
    uint32_t shard_id = command->shard_id;
    size_t count;
    (void)cluster_state_shards(state, &count);
    if (was_split(state, command)) {
        ask_end(ask, (struct bytes){0});
        return;
    }
    if (command->shard_count != 0 && count != command->shard_count) {
        ask_refuse(ask, ERROR_CONFLICT, "there are %zu shards by now: look again", count);
        return;
    }
    struct cluster_entry entry;
    struct error error;
    uint32_t version = cluster_state_facts(state)->version;
    if (version < STATE_VERSION_SPLITS) {
        ask_refuse(ask, ERROR_CONFLICT,
                   "state-machine version %u is in force, shards can be split from version %d on: "
                   "'gnomon cluster version' says what it waits for",
                   version, STATE_VERSION_SPLITS);
        return;
    }
    struct arena *arena = arena_create(0);
    if (shard_id == CLUSTER_SHARD_NONE)
        shard_id = placement_shard_to_split(state);
    enum error_code code = arena == NULL ? error_set(&error, ERROR_OUT_OF_MEMORY, "split")
                                         : placement_split(state, shard_id, arena, &entry, &error);
    if (code == ERROR_NONE)
        code = check_whole(ask_meta(ask), shard_id, arena, &error);
    if (code == ERROR_NONE)
        propose(ask, &entry);
    else
        ask_fail(ask, &error);
    arena_destroy(arena);
}

void serve_command(struct ask *ask, struct bytes body)
{
    struct meta *meta = ask_meta(ask);
    struct meta_command command;
    struct error error;
    if (command_decode(body, &command, &error) != ERROR_NONE) {
        ask_fail(ask, &error);
        return;
    }
    if (!cluster_state_facts(meta->state)->founded) {
        ask_refuse(ask, ERROR_UNAVAILABLE, "there is no cluster yet");
        return;
    }
    switch (command.kind) {
    case META_DRAIN_NODE:
    case META_UNDRAIN_NODE:
    case META_REMOVE_NODE:
        serve_node(ask, &command);
        return;
    case META_SET_REPLICATION:
        propose(ask, &(struct cluster_entry){.kind = CLUSTER_SET_REPLICATION,
                                             .set_replication = {command.replication}});
        return;
    case META_SPLIT_SHARD:
        split_shard(ask, &command);
        return;
    case META_HOLD_VERSION:
        versions_hold(ask, propose);
        return;
    case META_RAISE_VERSION:
        versions_raise(ask, propose);
        return;
    case META_REBALANCE:
        meta->leadership->plans_now = true;
        meta_wake(meta);
        ask_end(ask, (struct bytes){0});
        return;
    }
}

/* --- Asking -------------------------------------------------------------------------------- */

static void answered(struct meta *meta, void *owner, struct bytes answer, const struct error *error)
{
    struct meta_command *command = owner;
    (void)meta;
    (void)answer;
    command->done(command, error);
}

void meta_command(struct meta *meta, struct meta_command *command)
{
    struct byte_buffer bytes = {0};
    command_encode(command, &bytes);
    /* Small memory that is missing ends the process, as in group. */
    if (bytes.failed ||
        !call_leader(meta, OPERATION_COMMAND, (struct bytes){bytes.bytes, bytes.size},
                     command->timeout_ms, answered, command))
        abort();
    byte_buffer_clear(&bytes);
}
