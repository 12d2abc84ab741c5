#include "cluster_json.h"

#include <string.h>

#include "wire/json_field.h"

/* --- Fields ---------------------------------------------------------------------------------- */

static void truth_field(struct byte_buffer *json, const char *name, bool value)
{
    json_field_name(json, name);
    json_raw(json, value ? TEXT("true") : TEXT("false"));
}

/* The name of a node, or null. */
static void node_field(struct byte_buffer *json, const char *name,
                       const struct cluster_state *state, uint64_t node_id)
{
    const struct cluster_node *node = node_id == 0 ? NULL : cluster_state_find_node(state, node_id);
    json_field_name(json, name);
    if (node == NULL)
        json_raw(json, TEXT("null"));
    else
        json_string(json, text_of(node->identity.name));
}

static void progress_fields(struct byte_buffer *json, const struct placement_progress *progress)
{
    json_integer_field(json, "planned", (int64_t)progress->planned);
    json_integer_field(json, "done", (int64_t)progress->done);
    json_integer_field(json, "bytesLeft", (int64_t)progress->bytes_left);
}

static void next_element(struct byte_buffer *json)
{
    json_raw(json, json->size > 0 && json->bytes[json->size - 1] == '[' ? TEXT("{") : TEXT(",{"));
}

/* --- Nodes ----------------------------------------------------------------------------------- */

static uint64_t count_leaders(const struct placement_observation *placement, uint64_t node_id)
{
    uint64_t count = 0;
    for (size_t i = 0; i < placement->shard_count; i++)
        count += placement->shards[i].leader == node_id;
    return count;
}

static void observed_fields(struct byte_buffer *json, const struct meta_observation *observation,
                            size_t position)
{
    const struct placement_node_view *view = &observation->placement.nodes[position];
    const struct meta_observed_node *observed = &observation->nodes[position];
    truth_field(json, "alive", view->alive);
    truth_field(json, "slowDisk", view->slow_disk);
    truth_field(json, "stopping", observed->stopping);
    if (observed->heard_ms_ago != UINT64_MAX) {
        json_field_name(json, "heardSecondsAgo");
        json_double(json, (double)observed->heard_ms_ago / 1000);
        json_field_name(json, "clockAheadSeconds");
        json_double(json, (double)observed->clock_ahead_ms / 1000);
    }
    json_integer_field(json, "leaders",
                       (int64_t)count_leaders(&observation->placement, view->node_id));
    truth_field(json, "metaVoter", observed->is_member && observed->role == PLACEMENT_VOTER);
}

void cluster_json_roles(struct byte_buffer *json, uint32_t roles)
{
    bool is_first = true;
    json_field_name(json, "roles");
    json_raw(json, TEXT("["));
    for (uint32_t role = 1; role <= CLUSTER_ROLES_ALL; role <<= 1) {
        if ((roles & role) == 0)
            continue;
        if (!is_first)
            json_raw(json, TEXT(","));
        json_string(json, text_of(cluster_role_name(role)));
        is_first = false;
    }
    json_raw(json, TEXT("]"));
}

static void append_node(struct byte_buffer *json, const struct meta_observation *observation,
                        const struct cluster_node *node, size_t position)
{
    next_element(json);
    json_integer_field(json, "id", (int64_t)node->node_id);
    json_string_field(json, "name", node->identity.name);
    json_string_field(json, "address", node->traits.address);
    json_string_field(json, "zone", node->traits.zone);
    cluster_json_roles(json, node->traits.roles);
    json_integer_field(json, "versionMin", (int64_t)node->traits.version_min);
    json_integer_field(json, "versionMax", (int64_t)node->traits.version_max);
    json_string_field(json, "state", cluster_node_state_name(node->state));
    json_integer_field(json, "replicas",
                       (int64_t)cluster_state_replica_count(observation->state, node->node_id));
    if (position < observation->placement.node_count)
        observed_fields(json, observation, position);
    if (node->state == CLUSTER_NODE_DRAINING && observation->drains != NULL) {
        json_field_name(json, "draining");
        json_raw(json, TEXT("{"));
        progress_fields(json, &observation->drains[position]);
        json_raw(json, TEXT("}"));
    }
    json_raw(json, TEXT("}"));
}

/* --- Shards ---------------------------------------------------------------------------------- */

static const struct placement_member *find_member(const struct placement_shard_view *view,
                                                  uint64_t node_id)
{
    for (size_t i = 0; view != NULL && i < view->member_count; i++)
        if (view->members[i].node_id == node_id)
            return &view->members[i];
    return NULL;
}

static void append_replica(struct byte_buffer *json, const struct cluster_state *state,
                           const struct placement_shard_view *view, uint64_t node_id, bool desired)
{
    static const char *const ROLES[] = {
        [PLACEMENT_STANDBY] = "standby", [PLACEMENT_VOTER] = "voter", [PLACEMENT_SPARE] = "spare"};
    const struct placement_member *member = find_member(view, node_id);
    next_element(json);
    node_field(json, "node", state, node_id);
    json_string_field(json, "role", member == NULL ? "missing" : ROLES[member->role]);
    truth_field(json, "desired", desired);
    if (member != NULL) {
        truth_field(json, "leader", view->leader == node_id);
        json_integer_field(json, "bytesBehind", (int64_t)member->bytes_behind);
    }
    json_raw(json, TEXT("}"));
}

static void append_shard(struct byte_buffer *json, const struct meta_observation *observation,
                         const struct cluster_shard *shard, const struct cluster_json_files *files)
{
    const struct placement_observation *placement = &observation->placement;
    const struct placement_shard_view *view =
        shard->shard_id < placement->shard_count && placement->shards[shard->shard_id].leader != 0
            ? &placement->shards[shard->shard_id]
            : NULL;
    next_element(json);
    json_integer_field(json, "shard", (int64_t)shard->shard_id);
    json_integer_field(json, "group", (int64_t)shard->group_id);
    json_integer_field(json, "slots", (int64_t)shard->slot_count);
    json_integer_field(json, "generation", (int64_t)shard->generation);
    if (shard->parent != CLUSTER_SHARD_NONE)
        json_integer_field(json, "parent", (int64_t)shard->parent);
    node_field(json, "leader", observation->state, view == NULL ? 0 : view->leader);
    if (view != NULL) {
        json_integer_field(json, "sizeBytes", (int64_t)view->size_bytes);
        truth_field(json, "settled",
                    placement_is_settled(observation->state, placement, shard->shard_id));
    }
    if (files != NULL && files->is_known) {
        json_integer_field(json, "unsplitFiles", (int64_t)files->unsplit_files);
        json_integer_field(json, "unsplitBytes", (int64_t)files->unsplit_bytes);
    }
    json_field_name(json, "replicas");
    json_raw(json, TEXT("["));
    for (uint32_t i = 0; i < shard->replicas.count; i++)
        append_replica(json, observation->state, view, shard->replicas.node_ids[i], true);
    for (size_t i = 0; view != NULL && i < view->member_count; i++)
        if (!cluster_replicas_has(&shard->replicas, view->members[i].node_id))
            append_replica(json, observation->state, view, view->members[i].node_id, false);
    json_raw(json, TEXT("]}"));
}

/* --- The whole ------------------------------------------------------------------------------- */

static void append_id(struct byte_buffer *json, const uint8_t id[CLUSTER_ID_BYTES])
{
    static const char DIGITS[] = "0123456789abcdef";
    char text[2 * CLUSTER_ID_BYTES + 1] = {0};
    for (size_t i = 0; i < CLUSTER_ID_BYTES; i++) {
        text[2 * i] = DIGITS[id[i] >> 4];
        text[2 * i + 1] = DIGITS[id[i] & 15];
    }
    json_string_field(json, "id", text);
}

void cluster_json(const struct meta_observation *observation, const char *node_name,
                  const struct cluster_json_files *files, size_t file_count,
                  struct byte_buffer *json)
{
    const struct cluster_state *state = observation->state;
    const struct cluster_facts *facts = cluster_state_facts(state);
    size_t node_count, shard_count;
    const struct cluster_node *nodes = cluster_state_nodes(state, &node_count);
    const struct cluster_shard *shards = cluster_state_shards(state, &shard_count);
    json_raw(json, TEXT("{"));
    json_string_field(json, "name", facts->name);
    append_id(json, facts->cluster_id);
    json_string_field(json, "node", node_name);
    truth_field(json, "observed", observation->leader != 0);
    node_field(json, "metaLeader", state, observation->leader);
    json_integer_field(json, "version", (int64_t)facts->version);
    json_integer_field(json, "versionHeld", (int64_t)meta_version_held(state)); /* 0: not */
    json_integer_field(json, "replication", (int64_t)facts->replication);
    json_integer_field(json, "stateIndex", (int64_t)facts->index);
    if (observation->leader != 0) {
        json_field_name(json, "agreedTime");
        json_timestamp(json, observation->agreed_ms);
        json_field_name(json, "progress");
        json_raw(json, TEXT("{"));
        progress_fields(json, &observation->progress);
        json_raw(json, TEXT("}"));
    }
    json_field_name(json, "nodes");
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < node_count; i++)
        append_node(json, observation, &nodes[i], i);
    json_raw(json, TEXT("]"));
    json_field_name(json, "shards");
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < shard_count; i++)
        append_shard(json, observation, &shards[i], i < file_count ? &files[i] : NULL);
    json_raw(json, TEXT("]}"));
}
