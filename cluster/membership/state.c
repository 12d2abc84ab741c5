#include "state.h"

#include <assert.h>
#include <stdlib.h>

/* --- Life ---------------------------------------------------------------------------------- */

enum error_code state_refuse_version(const struct cluster_state *state, uint32_t version,
                                     struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED,
                     "the cluster is of state-machine version %u, this program knows versions up "
                     "to %u: run a release that knows version %u; nothing was changed",
                     version, state->version_max, version);
}

enum error_code cluster_state_create(uint32_t version_max, struct cluster_state **state_out,
                                     struct error *error)
{
    struct cluster_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster state");
    state->version_max = version_max;
    for (size_t i = 0; i < SLOT_COUNT; i++)
        state->slots[i] = CLUSTER_SHARD_NONE;
    *state_out = state;
    return ERROR_NONE;
}

void cluster_state_destroy(struct cluster_state *state)
{
    if (state == NULL)
        return;
    for (size_t i = 0; i < state->setting_count; i++)
        free((char *)state->settings[i].tenant.data);
    free(state->settings);
    free(state->shards);
    free(state->nodes);
    free(state);
}

/* --- Room ---------------------------------------------------------------------------------- */

enum error_code state_reserve_nodes(struct cluster_state *state, size_t extra, struct error *error)
{
    size_t count = state->node_count + extra;
    struct cluster_node *nodes = realloc(state->nodes, count * sizeof *nodes);
    if (nodes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster state: nodes");
    state->nodes = nodes;
    return ERROR_NONE;
}

enum error_code state_reserve_shards(struct cluster_state *state, size_t extra, struct error *error)
{
    size_t count = state->shard_count + extra;
    struct cluster_shard *shards = realloc(state->shards, count * sizeof *shards);
    if (shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster state: shards");
    state->shards = shards;
    return ERROR_NONE;
}

/* --- Settings ------------------------------------------------------------------------------ */

size_t setting_size_bytes(const struct cluster_setting *setting)
{
    return setting->tenant.size + setting->key.size + setting->value.size;
}

size_t state_setting_place(const struct cluster_state *state, struct text tenant, struct text key,
                           bool *there_out)
{
    size_t low = 0, high = state->setting_count;
    *there_out = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct cluster_setting *setting = &state->settings[middle];
        int order = text_compare(setting->tenant, tenant);
        if (order == 0)
            order = text_compare(setting->key, key);
        if (order == 0)
            *there_out = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct text put_text(char **end, struct text source)
{
    struct text copy = {.data = *end, .size = source.size};
    if (source.size > 0)
        memcpy(*end, source.data, source.size);
    *end += source.size;
    return copy;
}

enum error_code state_insert_setting(struct cluster_state *state, size_t place,
                                     const struct cluster_setting *setting, struct error *error)
{
    assert(place <= state->setting_count);
    char *block = malloc(setting_size_bytes(setting));
    struct cluster_setting *settings =
        realloc(state->settings, (state->setting_count + 1) * sizeof *settings);
    if (settings != NULL)
        state->settings = settings;
    if (block == NULL || settings == NULL) {
        free(block);
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster state: setting");
    }
    memmove(&settings[place + 1], &settings[place],
            (state->setting_count - place) * sizeof *settings);
    settings[place].tenant = put_text(&block, setting->tenant);
    settings[place].key = put_text(&block, setting->key);
    settings[place].value = put_text(&block, setting->value);
    state->setting_count++;
    state->setting_bytes += setting_size_bytes(setting);
    return ERROR_NONE;
}

void state_remove_setting(struct cluster_state *state, size_t place)
{
    assert(place < state->setting_count);
    struct cluster_setting *setting = &state->settings[place];
    state->setting_bytes -= setting_size_bytes(setting);
    free((char *)setting->tenant.data);
    state->setting_count--;
    memmove(setting, setting + 1, (state->setting_count - place) * sizeof *setting);
}

/* --- Looking ------------------------------------------------------------------------------- */

const struct cluster_facts *cluster_state_facts(const struct cluster_state *state)
{
    return &state->facts;
}

const struct cluster_node *cluster_state_nodes(const struct cluster_state *state, size_t *count_out)
{
    *count_out = state->node_count;
    return state->nodes;
}

struct cluster_node *state_node(struct cluster_state *state, uint64_t node_id)
{
    size_t low = 0, high = state->node_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (state->nodes[middle].node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    bool there = low < state->node_count && state->nodes[low].node_id == node_id;
    return there ? &state->nodes[low] : NULL;
}

const struct cluster_node *cluster_state_find_node(const struct cluster_state *state,
                                                   uint64_t node_id)
{
    return state_node((struct cluster_state *)state, node_id);
}

const struct cluster_node *cluster_state_find_name(const struct cluster_state *state,
                                                   struct text name)
{
    for (size_t i = 0; i < state->node_count; i++)
        if (state->nodes[i].replaced_by == 0 &&
            text_equal(text_of(state->nodes[i].identity.name), name))
            return &state->nodes[i];
    return NULL;
}

const struct cluster_shard *cluster_state_shards(const struct cluster_state *state,
                                                 size_t *count_out)
{
    *count_out = state->shard_count;
    return state->shards;
}

struct cluster_shard *state_shard(struct cluster_state *state, uint32_t shard_id)
{
    return shard_id < state->shard_count ? &state->shards[shard_id] : NULL;
}

const struct cluster_shard *cluster_state_find_shard(const struct cluster_state *state,
                                                     uint32_t shard_id)
{
    return state_shard((struct cluster_state *)state, shard_id);
}

uint32_t cluster_state_count_children(const struct cluster_state *state, uint32_t shard_id)
{
    uint32_t children = 0;
    for (size_t i = 0; i < state->shard_count; i++)
        children += state->shards[i].parent == shard_id;
    return children;
}

const struct cluster_shard *cluster_state_next_shard_of(const struct cluster_state *state,
                                                        uint64_t node_id,
                                                        const struct cluster_shard *previous)
{
    size_t first = previous == NULL ? 0 : (size_t)(previous - state->shards) + 1;
    for (size_t i = first; i < state->shard_count; i++)
        if (cluster_replicas_has(&state->shards[i].replicas, node_id))
            return &state->shards[i];
    return NULL;
}

size_t cluster_state_replica_count(const struct cluster_state *state, uint64_t node_id)
{
    size_t count = 0;
    for (size_t i = 0; i < state->shard_count; i++)
        count += cluster_replicas_has(&state->shards[i].replicas, node_id);
    return count;
}

uint16_t cluster_state_shard_of(const struct cluster_state *state, uint16_t slot)
{
    assert(slot < SLOT_COUNT);
    return state->slots[slot];
}

const uint16_t *cluster_state_slots(const struct cluster_state *state)
{
    return state->slots;
}

bool cluster_state_next_range(const struct cluster_state *state, uint32_t shard_id, uint32_t from,
                              struct slot_range *range_out)
{
    while (from < SLOT_COUNT && state->slots[from] != shard_id)
        from++;
    uint32_t end = from;
    while (end < SLOT_COUNT && state->slots[end] == shard_id)
        end++;
    if (end == from)
        return false;
    *range_out = (struct slot_range){.first = (uint16_t)from, .count = (uint16_t)(end - from)};
    return true;
}

const struct cluster_setting *cluster_state_settings(const struct cluster_state *state,
                                                     size_t *count_out)
{
    *count_out = state->setting_count;
    return state->settings;
}

struct text cluster_state_setting(const struct cluster_state *state, struct text tenant,
                                  struct text key)
{
    bool there;
    size_t place = state_setting_place(state, tenant, key, &there);
    return there ? state->settings[place].value : (struct text){0};
}
