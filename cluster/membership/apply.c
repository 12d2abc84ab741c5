/* Every function here answers from the entry and the state alone, and changes nothing before it
 * has decided and has the memory that it needs. */
#include "state.h"

#include <assert.h>

static enum error_code refuse(struct cluster_outcome *outcome, enum cluster_refusal refusal)
{
    outcome->refusal = refusal;
    return ERROR_NONE;
}

static enum error_code accept_change(struct cluster_outcome *outcome)
{
    outcome->changed = true;
    return ERROR_NONE;
}

/* It is so already: an entry that was sent twice. */
static enum error_code accept_unchanged(struct cluster_outcome *outcome)
{
    outcome->changed = false;
    return ERROR_NONE;
}

/* --- Founding ------------------------------------------------------------------------------ */

static void found_nodes(struct cluster_state *state, const struct cluster_found *found)
{
    for (size_t i = 0; i < found->founder_count; i++)
        state->nodes[i] = (struct cluster_node){
            .node_id = i + 1,
            .identity = found->founders[i].identity,
            .traits = found->founders[i].traits,
            .state = CLUSTER_NODE_ACTIVE,
        };
    state->node_count = found->founder_count;
}

static void found_shards(struct cluster_state *state, const struct cluster_found *found)
{
    for (size_t i = 0; i < found->shard_count; i++)
        state->shards[i] = (struct cluster_shard){
            .shard_id = (uint32_t)i,
            .parent = CLUSTER_SHARD_NONE,
            .group_id = found->shards[i].group_id,
            .generation = 1,
            .replicas = found->shards[i].replicas,
        };
    state->shard_count = found->shard_count;
    memcpy(state->slots, found->slots, sizeof state->slots);
    for (size_t i = 0; i < SLOT_COUNT; i++)
        state->shards[state->slots[i]].slot_count++;
}

static enum error_code apply_found(struct cluster_state *state, const struct cluster_found *found,
                                   struct cluster_outcome *outcome, struct error *error)
{
    struct cluster_facts *facts = &state->facts;
    if (facts->founded)
        return memcmp(facts->cluster_id, found->cluster_id, sizeof facts->cluster_id) == 0
                   ? accept_unchanged(outcome)
                   : refuse(outcome, CLUSTER_REFUSED_FOUNDED);
    if (found->version > state->version_max)
        return state_refuse_version(state, found->version, error);
    enum error_code code = state_reserve_nodes(state, found->founder_count, error);
    if (code == ERROR_NONE)
        code = state_reserve_shards(state, found->shard_count, error);
    if (code != ERROR_NONE)
        return code;
    found_nodes(state, found);
    found_shards(state, found);
    facts->founded = true;
    memcpy(facts->cluster_id, found->cluster_id, sizeof facts->cluster_id);
    memcpy(facts->name, found->name, sizeof facts->name);
    facts->version = found->version;
    facts->replication = found->replication;
    facts->spread = found->spread;
    facts->slot_map_version = 1;
    facts->next_node_id = found->founder_count + 1;
    facts->next_group_id = found->shards[found->shard_count - 1].group_id + 1;
    return accept_change(outcome);
}

/* --- Nodes --------------------------------------------------------------------------------- */

static bool same_identity(const struct cluster_node *node,
                          const struct cluster_node_identity *identity)
{
    return strcmp(node->identity.name, identity->name) == 0 &&
           memcmp(node->identity.directory_id, identity->directory_id,
                  sizeof identity->directory_id) == 0;
}

static struct cluster_node *find_identity(struct cluster_state *state,
                                          const struct cluster_node_identity *identity)
{
    for (size_t i = 0; i < state->node_count; i++)
        if (same_identity(&state->nodes[i], identity))
            return &state->nodes[i];
    return NULL;
}

static enum error_code return_node(struct cluster_node *node,
                                   const struct cluster_node_traits *traits,
                                   struct cluster_outcome *outcome)
{
    if (node->replaced_by != 0)
        return refuse(outcome, CLUSTER_REFUSED_REPLACED);
    outcome->node_id = node->node_id;
    if (node->state != CLUSTER_NODE_LEFT)
        return accept_unchanged(outcome);
    node->state = CLUSTER_NODE_JOINING;
    node->traits = *traits; /* those of before may lack the version that is in force now */
    return accept_change(outcome);
}

static void replace_namesake(struct cluster_state *state, const char *name, uint64_t node_id)
{
    struct cluster_node *namesake =
        (struct cluster_node *)cluster_state_find_name(state, text_of(name));
    if (namesake == NULL)
        return;
    namesake->replaced_by = node_id;
    namesake->state = CLUSTER_NODE_LEFT;
}

static enum error_code apply_add_node(struct cluster_state *state,
                                      const struct cluster_add_node *add,
                                      struct cluster_outcome *outcome, struct error *error)
{
    struct cluster_node *known = find_identity(state, &add->identity);
    if (!cluster_node_supports(&add->traits, state->facts.version))
        return refuse(outcome, CLUSTER_REFUSED_VERSION);
    if (known != NULL)
        return return_node(known, &add->traits, outcome);
    if (state->node_count == CLUSTER_NODES_MAX)
        return refuse(outcome, CLUSTER_REFUSED_LIMIT);
    enum error_code code = state_reserve_nodes(state, 1, error);
    if (code != ERROR_NONE)
        return code;
    outcome->node_id = state->facts.next_node_id++;
    replace_namesake(state, add->identity.name, outcome->node_id);
    state->nodes[state->node_count++] = (struct cluster_node){
        .node_id = outcome->node_id,
        .identity = add->identity,
        .traits = add->traits,
        .state = CLUSTER_NODE_JOINING,
    };
    return accept_change(outcome);
}

static bool same_traits(const struct cluster_node_traits *left,
                        const struct cluster_node_traits *right)
{
    return strcmp(left->address, right->address) == 0 && strcmp(left->zone, right->zone) == 0 &&
           left->roles == right->roles && left->version_min == right->version_min &&
           left->version_max == right->version_max;
}

static enum error_code apply_update_node(struct cluster_state *state,
                                         const struct cluster_update_node *update,
                                         struct cluster_outcome *outcome)
{
    struct cluster_node *node = state_node(state, update->node_id);
    if (node == NULL)
        return refuse(outcome, CLUSTER_REFUSED_NODE);
    if (!cluster_node_supports(&update->traits, state->facts.version))
        return refuse(outcome, CLUSTER_REFUSED_VERSION);
    if (same_traits(&node->traits, &update->traits))
        return accept_unchanged(outcome);
    node->traits = update->traits;
    return accept_change(outcome);
}

static bool may_become(enum cluster_node_state from, enum cluster_node_state to)
{
    switch (to) {
    case CLUSTER_NODE_JOINING:
        return false; /* by coming back only, see return_node */
    case CLUSTER_NODE_ACTIVE:
        return from == CLUSTER_NODE_JOINING || from == CLUSTER_NODE_DRAINING;
    case CLUSTER_NODE_DRAINING:
        return from == CLUSTER_NODE_ACTIVE;
    case CLUSTER_NODE_LEFT:
        return true;
    }
    return false;
}

static enum error_code apply_set_node_state(struct cluster_state *state,
                                            const struct cluster_set_node_state *change,
                                            struct cluster_outcome *outcome)
{
    struct cluster_node *node = state_node(state, change->node_id);
    if (node == NULL)
        return refuse(outcome, CLUSTER_REFUSED_NODE);
    if (node->state == change->state)
        return accept_unchanged(outcome);
    if (!may_become(node->state, change->state))
        return refuse(outcome, CLUSTER_REFUSED_NODE_STATE);
    bool supports = cluster_node_supports(&node->traits, state->facts.version);
    if (change->state == CLUSTER_NODE_ACTIVE && !supports)
        return refuse(outcome, CLUSTER_REFUSED_VERSION);
    node->draining_from = 0;
    if (change->state == CLUSTER_NODE_DRAINING)
        node->draining_from = (uint32_t)cluster_state_replica_count(state, node->node_id);
    node->state = change->state;
    return accept_change(outcome);
}

static enum error_code apply_remove_node(struct cluster_state *state,
                                         const struct cluster_remove_node *removal,
                                         struct cluster_outcome *outcome)
{
    struct cluster_node *node = state_node(state, removal->node_id);
    if (node == NULL) {
        bool was_there = removal->node_id > 0 && removal->node_id < state->facts.next_node_id;
        return was_there ? accept_unchanged(outcome) : refuse(outcome, CLUSTER_REFUSED_NODE);
    }
    if (node->state == CLUSTER_NODE_JOINING || node->state == CLUSTER_NODE_ACTIVE)
        return refuse(outcome, CLUSTER_REFUSED_NODE_STATE);
    if (cluster_state_replica_count(state, removal->node_id) > 0)
        return refuse(outcome, CLUSTER_REFUSED_IN_USE);
    size_t place = (size_t)(node - state->nodes);
    state->node_count--;
    memmove(node, node + 1, (state->node_count - place) * sizeof *node);
    return accept_change(outcome);
}

/* --- Shards -------------------------------------------------------------------------------- */

/* Each is a node that takes replicas, or had one of this shard before. */
static bool replicas_fit(const struct cluster_state *state, const struct cluster_replicas *replicas,
                         const struct cluster_replicas *before)
{
    for (uint32_t i = 0; i < replicas->count; i++) {
        uint64_t node_id = replicas->node_ids[i];
        const struct cluster_node *node = cluster_state_find_node(state, node_id);
        if (node == NULL)
            return false;
        if (!cluster_node_takes_replicas(node) && !cluster_replicas_has(before, node_id))
            return false;
    }
    return true;
}

static enum error_code apply_assign(struct cluster_state *state,
                                    const struct cluster_assign *assign,
                                    struct cluster_outcome *outcome)
{
    struct cluster_shard *shard = state_shard(state, assign->shard_id);
    if (shard == NULL)
        return refuse(outcome, CLUSTER_REFUSED_SHARD);
    if (cluster_replicas_equal(&shard->replicas, &assign->replicas))
        return accept_unchanged(outcome);
    if (shard->generation != assign->generation)
        return refuse(outcome, CLUSTER_REFUSED_STALE);
    if (!replicas_fit(state, &assign->replicas, &shard->replicas))
        return refuse(outcome, CLUSTER_REFUSED_REPLICAS);
    shard->replicas = assign->replicas;
    shard->generation++;
    return accept_change(outcome);
}

/* How many of the slots of the ranges are the shard's; *all_out: how many they are. */
static uint32_t count_owned(const struct cluster_state *state, const struct cluster_split *split,
                            uint32_t *all_out)
{
    uint32_t owned = 0;
    *all_out = 0;
    for (size_t i = 0; i < split->range_count; i++) {
        *all_out += split->ranges[i].count;
        for (uint32_t k = 0; k < split->ranges[i].count; k++)
            owned += state->slots[split->ranges[i].first + k] == split->shard_id;
    }
    return owned;
}

/* The same split was applied before: its new shard is there, and none of the slots came back. */
static bool split_before(const struct cluster_state *state, const struct cluster_split *split,
                         uint32_t owned)
{
    const struct cluster_shard *shard = cluster_state_find_shard(state, split->new_shard_id);
    return shard != NULL && shard->group_id == split->new_group_id &&
           shard->parent == split->shard_id && owned == 0;
}

static void split_shard(struct cluster_state *state, struct cluster_shard *parent,
                        const struct cluster_split *split, uint32_t slot_count)
{
    for (size_t i = 0; i < split->range_count; i++)
        for (uint32_t k = 0; k < split->ranges[i].count; k++)
            state->slots[split->ranges[i].first + k] = (uint16_t)split->new_shard_id;
    parent->slot_count -= slot_count;
    parent->generation++;
    state->shards[state->shard_count++] = (struct cluster_shard){
        .shard_id = split->new_shard_id,
        .parent = split->shard_id,
        .group_id = split->new_group_id,
        .generation = 1,
        .slot_count = slot_count,
        .replicas = split->replicas,
    };
    state->facts.next_group_id = split->new_group_id + 1;
    state->facts.slot_map_version++;
}

static enum error_code apply_split(struct cluster_state *state, const struct cluster_split *split,
                                   struct cluster_outcome *outcome, struct error *error)
{
    uint32_t all;
    uint32_t owned = count_owned(state, split, &all);
    const struct cluster_shard *shard = cluster_state_find_shard(state, split->shard_id);
    if (shard == NULL)
        return refuse(outcome, CLUSTER_REFUSED_SHARD);
    if (split_before(state, split, owned))
        return accept_unchanged(outcome);
    if (shard->generation != split->generation || split->new_shard_id != state->shard_count ||
        split->new_group_id != state->facts.next_group_id)
        return refuse(outcome, CLUSTER_REFUSED_STALE);
    if (owned != all || all == shard->slot_count)
        return refuse(outcome, CLUSTER_REFUSED_SLOTS);
    if (!replicas_fit(state, &split->replicas, &shard->replicas))
        return refuse(outcome, CLUSTER_REFUSED_REPLICAS);
    enum error_code code = state_reserve_shards(state, 1, error);
    if (code != ERROR_NONE)
        return code;
    split_shard(state, state_shard(state, split->shard_id), split, all);
    return accept_change(outcome);
}

/* --- Settings and versions ----------------------------------------------------------------- */

static enum error_code apply_set_replication(struct cluster_state *state,
                                             const struct cluster_set_replication *set,
                                             struct cluster_outcome *outcome)
{
    if (state->facts.replication == set->replication)
        return accept_unchanged(outcome);
    state->facts.replication = set->replication;
    return accept_change(outcome);
}

static enum error_code apply_set_tenant(struct cluster_state *state,
                                        const struct cluster_set_tenant *set,
                                        struct cluster_outcome *outcome, struct error *error)
{
    struct cluster_setting setting = {set->tenant, set->key, set->value};
    bool there;
    size_t place = state_setting_place(state, set->tenant, set->key, &there);
    struct text old = there ? state->settings[place].value : (struct text){0};
    if (text_equal(old, set->value))
        return accept_unchanged(outcome);
    if (set->value.size == 0) {
        state_remove_setting(state, place);
        return accept_change(outcome);
    }
    size_t freed = there ? setting_size_bytes(&state->settings[place]) : 0;
    if (state->setting_bytes - freed + setting_size_bytes(&setting) > CLUSTER_SETTINGS_BYTES_MAX ||
        (!there && state->setting_count == CLUSTER_SETTINGS_MAX))
        return refuse(outcome, CLUSTER_REFUSED_LIMIT);
    enum error_code code = state_insert_setting(state, place, &setting, error);
    if (code != ERROR_NONE)
        return code;
    if (there)
        state_remove_setting(state, place + 1);
    return accept_change(outcome);
}

static enum error_code apply_raise_version(struct cluster_state *state,
                                           const struct cluster_raise_version *raise,
                                           struct cluster_outcome *outcome, struct error *error)
{
    if (raise->version == state->facts.version)
        return accept_unchanged(outcome);
    if (raise->version < state->facts.version)
        return refuse(outcome, CLUSTER_REFUSED_STALE);
    for (size_t i = 0; i < state->node_count; i++)
        if (state->nodes[i].state != CLUSTER_NODE_LEFT &&
            !cluster_node_supports(&state->nodes[i].traits, raise->version))
            return refuse(outcome, CLUSTER_REFUSED_VERSION);
    if (raise->version > state->version_max)
        return state_refuse_version(state, raise->version, error);
    state->facts.version = raise->version;
    return accept_change(outcome);
}

/* --- All ----------------------------------------------------------------------------------- */

static enum error_code apply_entry(struct cluster_state *state, const struct cluster_entry *entry,
                                   struct cluster_outcome *outcome, struct error *error)
{
    if (entry->kind != CLUSTER_FOUND && !state->facts.founded)
        return refuse(outcome, CLUSTER_REFUSED_NOT_FOUNDED);
    switch (entry->kind) {
    case CLUSTER_FOUND:
        return apply_found(state, &entry->found, outcome, error);
    case CLUSTER_ADD_NODE:
        return apply_add_node(state, &entry->add_node, outcome, error);
    case CLUSTER_UPDATE_NODE:
        return apply_update_node(state, &entry->update_node, outcome);
    case CLUSTER_SET_NODE_STATE:
        return apply_set_node_state(state, &entry->set_node_state, outcome);
    case CLUSTER_REMOVE_NODE:
        return apply_remove_node(state, &entry->remove_node, outcome);
    case CLUSTER_ASSIGN:
        return apply_assign(state, &entry->assign, outcome);
    case CLUSTER_SPLIT:
        return apply_split(state, &entry->split, outcome, error);
    case CLUSTER_SET_REPLICATION:
        return apply_set_replication(state, &entry->set_replication, outcome);
    case CLUSTER_SET_TENANT:
        return apply_set_tenant(state, &entry->set_tenant, outcome, error);
    case CLUSTER_RAISE_VERSION:
        return apply_raise_version(state, &entry->raise_version, outcome, error);
    }
    return error_set(error, ERROR_UNSUPPORTED, "cluster entry: kind %u", entry->kind);
}

enum error_code cluster_state_apply(struct cluster_state *state, uint64_t index,
                                    const uint8_t *bytes, size_t size_bytes,
                                    struct cluster_outcome *outcome_out, struct error *error)
{
    assert(index > state->facts.index);
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster entry");
    struct cluster_outcome outcome = {.refusal = CLUSTER_ACCEPTED};
    struct cluster_entry entry;
    enum error_code code = cluster_entry_decode(bytes, size_bytes, arena, &entry, error);
    if (code == ERROR_NONE)
        code = apply_entry(state, &entry, &outcome, error);
    arena_destroy(arena);
    if (code != ERROR_NONE)
        return error_wrap(error, "entry %llu of the cluster", (unsigned long long)index);
    if (outcome.changed)
        state->facts.index = index;
    *outcome_out = outcome;
    return ERROR_NONE;
}

const char *cluster_refusal_text(enum cluster_refusal refusal)
{
    static const char *const TEXTS[] = {
        [CLUSTER_ACCEPTED] = "accepted",
        [CLUSTER_REFUSED_NOT_FOUNDED] = "there is no cluster yet",
        [CLUSTER_REFUSED_FOUNDED] = "there is another cluster already",
        [CLUSTER_REFUSED_NODE] = "no such node",
        [CLUSTER_REFUSED_SHARD] = "no such shard",
        [CLUSTER_REFUSED_STALE] = "the cluster has changed since",
        [CLUSTER_REFUSED_NODE_STATE] = "not in this state of the node",
        [CLUSTER_REFUSED_REPLACED] = "this data directory was replaced by a newer one",
        [CLUSTER_REFUSED_IN_USE] = "shards are kept there",
        [CLUSTER_REFUSED_REPLICAS] = "a node that takes no replicas",
        [CLUSTER_REFUSED_SLOTS] = "slots that are not the shard's, or all that it has",
        [CLUSTER_REFUSED_VERSION] = "a node does not support the version",
        [CLUSTER_REFUSED_LIMIT] = "more than a cluster may have",
    };
    bool known = (size_t)refusal < sizeof TEXTS / sizeof TEXTS[0];
    return known ? TEXTS[refusal] : "refused";
}
