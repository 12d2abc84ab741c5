/* The whole picture, as the leader has it, for people and their tools. */
#include <stdlib.h>

#include "meta_private.h"

/* --- The leader's side ----------------------------------------------------------------------- */

static void describe_node(const struct meta *meta, uint64_t node_id, int64_t agreed_ms,
                          struct meta_observed_node *node_out)
{
    const struct heard_node *heard = leadership_find(meta->leadership, node_id);
    uint64_t now_ms = meta_now_ms(meta);
    *node_out = (struct meta_observed_node){.heard_ms_ago = UINT64_MAX};
    if (heard == NULL)
        return;
    *node_out = (struct meta_observed_node){
        .heard_ms_ago = now_ms - heard->heard_ms,
        .clock_ahead_ms = (int64_t)now_ms + heard->clock_offset_ms - agreed_ms,
        .state_index = heard->state_index,
        .stopping = heard->stopping,
    };
}

static enum placement_role role_of(enum consensus_role role)
{
    switch (role) {
    case CONSENSUS_ROLE_STANDBY:
        return PLACEMENT_STANDBY;
    case CONSENSUS_ROLE_VOTER:
        return PLACEMENT_VOTER;
    case CONSENSUS_ROLE_SPARE:
        return PLACEMENT_SPARE;
    }
    return PLACEMENT_SPARE;
}

static void describe_members(const struct meta *meta, const struct placement_observation *placement,
                             struct meta_observed_node *nodes)
{
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    size_t count = group_members(meta->group, members);
    for (size_t i = 0; i < placement->node_count; i++)
        for (size_t k = 0; k < count; k++)
            if (members[k].node_id == placement->nodes[i].node_id) {
                nodes[i].is_member = true;
                nodes[i].role = role_of(members[k].role);
            }
}

static void answer_observe(struct ask *ask, struct arena *arena)
{
    const struct meta *meta = ask_meta(ask);
    struct meta_observation observation = {
        .leader = meta->node_id,
        .agreed_ms = leadership_agreed_ms(meta),
    };
    struct placement_observation *placement = &observation.placement;
    struct byte_buffer state = {0}, bytes = {0};
    struct meta_observed_node *nodes = NULL;
    if (leadership_observe(meta, arena, placement))
        nodes = arena_array(arena, placement->node_count, sizeof *nodes);
    cluster_state_encode(meta->state, &state);
    if (nodes == NULL || state.failed) {
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "observation");
        byte_buffer_clear(&state);
        return;
    }
    for (size_t i = 0; i < placement->node_count; i++)
        describe_node(meta, placement->nodes[i].node_id, observation.agreed_ms, &nodes[i]);
    describe_members(meta, placement, nodes);
    observation.nodes = nodes;
    observation_encode(&observation, (struct bytes){state.bytes, state.size}, &bytes);
    if (bytes.failed)
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "observation");
    else
        ask_end(ask, (struct bytes){bytes.bytes, bytes.size});
    byte_buffer_clear(&state);
    byte_buffer_clear(&bytes);
}

void serve_observe(struct ask *ask, struct bytes body)
{
    (void)body;
    if (!cluster_state_facts(ask_meta(ask)->state)->founded) {
        ask_refuse(ask, ERROR_UNAVAILABLE, "there is no cluster yet");
        return;
    }
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "observation");
    else
        answer_observe(ask, arena);
    arena_destroy(arena);
}

/* --- Asking -------------------------------------------------------------------------------- */

/* The state's nodes, one by one. */
static bool is_of_state(const struct meta_observation *observation,
                        const struct cluster_state *state)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(state, &count);
    if (count != observation->placement.node_count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (nodes[i].node_id != observation->placement.nodes[i].node_id)
            return false;
    return true;
}

static bool add_progress(const struct meta *meta, struct arena *arena,
                         struct meta_observation *observation)
{
    const struct placement_observation *placement = &observation->placement;
    const struct placement_limits *limits = &meta->options.limits;
    struct placement_progress *drains = arena_array(arena, placement->node_count, sizeof *drains);
    if (drains == NULL)
        return false;
    observation->progress = placement_progress(observation->state, placement, limits);
    for (size_t i = 0; i < placement->node_count; i++)
        drains[i] = placement_drain_progress(observation->state, placement, limits,
                                             placement->nodes[i].node_id);
    observation->drains = drains;
    return true;
}

static enum error_code read_answer(const struct meta *meta, struct bytes answer,
                                   struct arena *arena, struct cluster_state **state_out,
                                   struct meta_observation *observation_out, struct error *error)
{
    struct bytes state;
    enum error_code code = observation_decode(answer, arena, observation_out, &state, error);
    if (code == ERROR_NONE)
        code = cluster_state_decode(state.data, state.size, meta->options.traits.version_max,
                                    state_out, error);
    if (code != ERROR_NONE)
        return code;
    observation_out->state = *state_out;
    if (!is_of_state(observation_out, *state_out))
        return error_set(error, ERROR_CORRUPT, "observation: of other nodes than the state");
    if (!add_progress(meta, arena, observation_out))
        return error_set(error, ERROR_OUT_OF_MEMORY, "observation");
    return ERROR_NONE;
}

static void answered(struct meta *meta, void *owner, struct bytes answer, const struct error *error)
{
    struct meta_observe *observe = owner;
    struct meta_observation observation;
    struct cluster_state *state = NULL;
    struct error failure = *error;
    struct arena *arena = arena_create(0);
    if (arena == NULL && failure.code == ERROR_NONE)
        error_set(&failure, ERROR_OUT_OF_MEMORY, "observation");
    if (failure.code == ERROR_NONE)
        (void)read_answer(meta, answer, arena, &state, &observation, &failure);
    observe->done(observe, failure.code == ERROR_NONE ? &observation : NULL, &failure);
    cluster_state_destroy(state);
    arena_destroy(arena);
}

void meta_observe(struct meta *meta, struct meta_observe *observe)
{
    /* Small memory that is missing ends the process, as in group. */
    if (!call_leader(meta, OPERATION_OBSERVE, (struct bytes){0}, observe->timeout_ms, answered,
                     observe))
        abort();
}
