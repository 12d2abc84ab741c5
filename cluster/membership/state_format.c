#include "state.h"

#include "base/checksum.h"
#include "fields.h"

static const uint8_t MAGIC[4] = {'G', 'C', 'L', 'S'};
enum { STATE_FORMAT_VERSION = 1, CHECKSUM_BYTES = 4 };

/* Smallest encodings, so that a count from outside does not claim more memory than its bytes. */
enum { NODE_BYTES_MIN = 27, SHARD_BYTES_MIN = 5, SETTING_BYTES_MIN = 6 };

/* --- Encoding ------------------------------------------------------------------------------ */

static void encode_facts(struct byte_buffer *buffer, const struct cluster_facts *facts)
{
    byte_buffer_u8(buffer, facts->founded);
    byte_buffer_append(buffer, facts->cluster_id, sizeof facts->cluster_id);
    byte_buffer_text(buffer, text_of(facts->name));
    byte_buffer_varint(buffer, facts->version);
    byte_buffer_varint(buffer, facts->replication);
    byte_buffer_varint(buffer, facts->spread);
    byte_buffer_varint(buffer, facts->index);
    byte_buffer_varint(buffer, facts->slot_map_version);
    byte_buffer_varint(buffer, facts->next_node_id);
    byte_buffer_varint(buffer, facts->next_group_id);
}

static void encode_node(struct byte_buffer *buffer, const struct cluster_node *node)
{
    byte_buffer_varint(buffer, node->node_id);
    encode_identity(buffer, &node->identity);
    encode_traits(buffer, &node->traits);
    byte_buffer_varint(buffer, node->state);
    byte_buffer_varint(buffer, node->draining_from);
    byte_buffer_varint(buffer, node->replaced_by);
}

static void encode_shard(struct byte_buffer *buffer, const struct cluster_shard *shard)
{
    byte_buffer_varint(buffer, shard->group_id);
    byte_buffer_varint(buffer, shard->generation);
    byte_buffer_varint(buffer, shard->parent);
    encode_replicas(buffer, &shard->replicas);
}

void cluster_state_encode(const struct cluster_state *state, struct byte_buffer *buffer)
{
    size_t start = buffer->size;
    byte_buffer_append(buffer, MAGIC, sizeof MAGIC);
    byte_buffer_u8(buffer, STATE_FORMAT_VERSION);
    encode_facts(buffer, &state->facts);
    byte_buffer_varint(buffer, state->node_count);
    for (size_t i = 0; i < state->node_count; i++)
        encode_node(buffer, &state->nodes[i]);
    byte_buffer_varint(buffer, state->shard_count);
    for (size_t i = 0; i < state->shard_count; i++)
        encode_shard(buffer, &state->shards[i]);
    if (state->facts.founded)
        encode_slots(buffer, state->slots);
    byte_buffer_varint(buffer, state->setting_count);
    for (size_t i = 0; i < state->setting_count; i++) {
        byte_buffer_text(buffer, state->settings[i].tenant);
        byte_buffer_text(buffer, state->settings[i].key);
        byte_buffer_text(buffer, state->settings[i].value);
    }
    if (!buffer->failed)
        byte_buffer_u32(buffer, crc32c(0, buffer->bytes + start, buffer->size - start));
}

/* --- Decoding ------------------------------------------------------------------------------ */

static void decode_facts(struct byte_reader *reader, struct cluster_facts *facts)
{
    uint8_t founded = byte_reader_u8(reader);
    const uint8_t *id = byte_reader_take(reader, sizeof facts->cluster_id);
    if (id != NULL)
        memcpy(facts->cluster_id, id, sizeof facts->cluster_id);
    decode_string(reader, facts->name, sizeof facts->name);
    facts->founded = founded == 1;
    facts->version = decode_number(reader, UINT32_MAX);
    facts->replication = decode_number(reader, CLUSTER_REPLICAS_MAX);
    facts->spread = decode_number(reader, SLOT_COUNT);
    facts->index = byte_reader_varint(reader);
    facts->slot_map_version = byte_reader_varint(reader);
    facts->next_node_id = byte_reader_varint(reader);
    facts->next_group_id = byte_reader_varint(reader);
    bool whole = facts->name[0] != '\0' && facts->version > 0 && facts->replication > 0 &&
                 facts->spread > 0 && facts->index > 0 && facts->slot_map_version > 0;
    static const struct cluster_facts NONE;
    bool nothing = memcmp(facts, &NONE, sizeof NONE) == 0;
    if (founded > 1 || (facts->founded ? !whole : !nothing))
        reader->failed = true;
}

static void decode_node(struct byte_reader *reader, struct cluster_node *node)
{
    *node = (struct cluster_node){.node_id = byte_reader_varint(reader)};
    decode_identity(reader, &node->identity);
    decode_traits(reader, &node->traits);
    uint32_t state = decode_number(reader, CLUSTER_NODE_LEFT);
    node->state = (enum cluster_node_state)state;
    node->draining_from = decode_number(reader, CLUSTER_SHARDS_MAX);
    node->replaced_by = byte_reader_varint(reader);
    if (state < CLUSTER_NODE_JOINING ||
        (node->replaced_by != 0 && node->state != CLUSTER_NODE_LEFT))
        reader->failed = true;
}

/* Ids rise; a name is one node's, but for those that were replaced. */
static bool node_fits(const struct cluster_state *state, const struct cluster_node *node)
{
    uint64_t previous = state->node_count == 0 ? 0 : state->nodes[state->node_count - 1].node_id;
    if (node->node_id <= previous || node->node_id >= state->facts.next_node_id ||
        node->replaced_by >= state->facts.next_node_id)
        return false;
    return node->replaced_by != 0 ||
           cluster_state_find_name(state, text_of(node->identity.name)) == NULL;
}

static enum error_code decode_nodes(struct byte_reader *reader, struct cluster_state *state,
                                    struct error *error)
{
    size_t count = decode_count(reader, CLUSTER_NODES_MAX, NODE_BYTES_MIN);
    if (count == 0)
        return ERROR_NONE;
    enum error_code code = state_reserve_nodes(state, count, error);
    for (size_t i = 0; i < count && code == ERROR_NONE && !reader->failed; i++) {
        struct cluster_node *node = &state->nodes[state->node_count];
        decode_node(reader, node);
        if (!reader->failed && !node_fits(state, node))
            reader->failed = true;
        state->node_count++;
    }
    return code;
}

/* Groups rise with the shards, since both only ever are added; parents are older. */
static bool shard_fits(const struct cluster_state *state, const struct cluster_shard *shard)
{
    uint64_t previous = shard->shard_id == 0 ? 0 : state->shards[shard->shard_id - 1].group_id;
    if (shard->group_id <= previous || shard->group_id >= state->facts.next_group_id ||
        shard->generation == 0)
        return false;
    if (shard->parent != CLUSTER_SHARD_NONE && shard->parent >= shard->shard_id)
        return false;
    for (uint32_t i = 0; i < shard->replicas.count; i++)
        if (cluster_state_find_node(state, shard->replicas.node_ids[i]) == NULL)
            return false;
    return true;
}

static enum error_code decode_shards(struct byte_reader *reader, struct cluster_state *state,
                                     struct error *error)
{
    size_t count = decode_count(reader, CLUSTER_SHARDS_MAX, SHARD_BYTES_MIN);
    if (count == 0)
        return ERROR_NONE;
    enum error_code code = state_reserve_shards(state, count, error);
    for (size_t i = 0; i < count && code == ERROR_NONE && !reader->failed; i++) {
        struct cluster_shard *shard = &state->shards[i];
        *shard = (struct cluster_shard){.shard_id = (uint32_t)i};
        shard->group_id = byte_reader_varint(reader);
        shard->generation = byte_reader_varint(reader);
        shard->parent = decode_number(reader, CLUSTER_SHARD_NONE);
        decode_replicas(reader, &shard->replicas);
        if (!reader->failed && !shard_fits(state, shard))
            reader->failed = true;
        state->shard_count++;
    }
    return code;
}

static void decode_slot_map(struct byte_reader *reader, struct cluster_state *state)
{
    uint32_t counts[CLUSTER_SHARDS_MAX] = {0};
    decode_slots(reader, state->shard_count, state->slots, counts);
    for (size_t i = 0; i < state->shard_count; i++)
        state->shards[i].slot_count = counts[i];
}

static bool setting_fits(const struct cluster_state *state, const struct cluster_setting *setting)
{
    bool there;
    size_t place = state_setting_place(state, setting->tenant, setting->key, &there);
    return !there && place == state->setting_count && setting->tenant.size > 0 &&
           setting->tenant.size <= TENANT_ID_BYTES_MAX && setting->key.size > 0 &&
           setting->key.size <= CLUSTER_SETTING_KEY_BYTES_MAX && setting->value.size > 0 &&
           setting->value.size <= CLUSTER_SETTING_VALUE_BYTES_MAX &&
           state->setting_bytes + setting_size_bytes(setting) <= CLUSTER_SETTINGS_BYTES_MAX;
}

static enum error_code decode_settings(struct byte_reader *reader, struct cluster_state *state,
                                       struct error *error)
{
    enum error_code code = ERROR_NONE;
    size_t count = decode_count(reader, CLUSTER_SETTINGS_MAX, SETTING_BYTES_MIN);
    for (size_t i = 0; i < count && code == ERROR_NONE && !reader->failed; i++) {
        struct cluster_setting setting;
        setting.tenant = byte_reader_text(reader);
        setting.key = byte_reader_text(reader);
        setting.value = byte_reader_text(reader);
        if (reader->failed || !setting_fits(state, &setting))
            reader->failed = true;
        else
            code = state_insert_setting(state, i, &setting, error);
    }
    return code;
}

static enum error_code decode_state(struct byte_reader *reader, struct cluster_state *state,
                                    struct error *error)
{
    decode_facts(reader, &state->facts);
    if (!reader->failed && state->facts.version > state->version_max)
        return state_refuse_version(state, state->facts.version, error);
    enum error_code code = decode_nodes(reader, state, error);
    if (code == ERROR_NONE && !reader->failed)
        code = decode_shards(reader, state, error);
    if (code == ERROR_NONE && !reader->failed && state->facts.founded)
        decode_slot_map(reader, state);
    if (code == ERROR_NONE && !reader->failed)
        code = decode_settings(reader, state, error);
    if (code != ERROR_NONE)
        return code;
    bool empty = state->node_count == 0 && state->shard_count == 0 && state->setting_count == 0;
    if (reader->failed || byte_reader_left(reader) > 0 || (!state->facts.founded && !empty))
        return error_set(error, ERROR_CORRUPT, "cluster state: cut, or out of range");
    return ERROR_NONE;
}

enum error_code cluster_state_decode(const uint8_t *bytes, size_t size_bytes, uint32_t version_max,
                                     struct cluster_state **state_out, struct error *error)
{
    if (size_bytes < sizeof MAGIC + 1 + CHECKSUM_BYTES || memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
        return error_set(error, ERROR_CORRUPT, "cluster state: not one");
    size_t body_bytes = size_bytes - CHECKSUM_BYTES;
    if (crc32c(0, bytes, body_bytes) != load_u32(bytes + body_bytes))
        return error_set(error, ERROR_CORRUPT, "cluster state: checksum");
    struct byte_reader reader = byte_reader_over(bytes + sizeof MAGIC, body_bytes - sizeof MAGIC);
    uint8_t format = byte_reader_u8(&reader);
    if (format != STATE_FORMAT_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "cluster state: format %u", format);
    struct cluster_state *state;
    enum error_code code = cluster_state_create(version_max, &state, error);
    if (code != ERROR_NONE)
        return code;
    code = decode_state(&reader, state, error);
    if (code != ERROR_NONE)
        cluster_state_destroy(state);
    else
        *state_out = state;
    return code;
}
