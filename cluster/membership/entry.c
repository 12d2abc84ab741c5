#include "membership/cluster_entry.h"

#include "fields.h"

enum { ENTRY_VERSION = 1, RANGES_MAX = SLOT_COUNT / 2 };

/* --- Checks, the same before encoding and after decoding ------------------------------------ */

static enum error_code invalid(struct error *error, const char *what)
{
    return error_set(error, ERROR_INVALID, "cluster entry: %s", what);
}

static enum error_code check_founders(const struct cluster_found *found, struct error *error)
{
    if (found->founder_count == 0 || found->founder_count > CLUSTER_NODES_MAX)
        return invalid(error, "founders");
    for (size_t i = 0; i < found->founder_count; i++) {
        const struct cluster_founder *founder = &found->founders[i];
        enum error_code code = cluster_node_check(&founder->identity, &founder->traits, error);
        if (code != ERROR_NONE)
            return code;
        if (!cluster_node_supports(&founder->traits, found->version))
            return invalid(error, "a founder does not support the version");
        if (i > 0 && strcmp(found->founders[i - 1].identity.name, founder->identity.name) >= 0)
            return invalid(error, "names of founders do not rise");
    }
    return ERROR_NONE;
}

static enum error_code check_founding_shards(const struct cluster_found *found, struct error *error)
{
    uint64_t previous = 0;
    if (found->shard_count == 0 || found->shard_count > CLUSTER_SHARDS_MAX)
        return invalid(error, "shards");
    for (size_t i = 0; i < found->shard_count; i++) {
        const struct cluster_founding_shard *shard = &found->shards[i];
        if (shard->group_id <= previous || shard->group_id == UINT64_MAX)
            return invalid(error, "groups do not rise");
        previous = shard->group_id;
        if (!replicas_valid(&shard->replicas) ||
            shard->replicas.node_ids[shard->replicas.count - 1] > found->founder_count)
            return invalid(error, "replicas");
    }
    return ERROR_NONE;
}

/* Every slot has a shard and every shard a slot. */
static enum error_code check_founding_slots(const struct cluster_found *found, struct error *error)
{
    bool has_slot[CLUSTER_SHARDS_MAX] = {0};
    for (size_t i = 0; i < SLOT_COUNT; i++) {
        if (found->slots[i] >= found->shard_count)
            return invalid(error, "a slot without a shard");
        has_slot[found->slots[i]] = true;
    }
    for (size_t i = 0; i < found->shard_count; i++)
        if (!has_slot[i])
            return invalid(error, "a shard without a slot");
    return ERROR_NONE;
}

static enum error_code check_found(const struct cluster_found *found, struct error *error)
{
    struct text name = text_of(found->name);
    if (name.size == 0 || !text_is_plain(name))
        return invalid(error, "name of the cluster");
    if (found->version == 0)
        return invalid(error, "version");
    if (found->replication == 0 || found->replication > CLUSTER_REPLICAS_MAX)
        return invalid(error, "replication");
    if (found->spread == 0 || found->spread > SLOT_COUNT)
        return invalid(error, "spread");
    enum error_code code = check_founders(found, error);
    if (code == ERROR_NONE)
        code = check_founding_shards(found, error);
    if (code == ERROR_NONE)
        code = check_founding_slots(found, error);
    return code;
}

static enum error_code check_split(const struct cluster_split *split, struct error *error)
{
    uint32_t end = 0;
    if (split->shard_id >= CLUSTER_SHARDS_MAX || split->new_shard_id >= CLUSTER_SHARDS_MAX ||
        split->shard_id == split->new_shard_id)
        return invalid(error, "shards of a split");
    if (split->new_group_id == 0 || split->new_group_id == UINT64_MAX)
        return invalid(error, "group of a split");
    if (split->range_count == 0 || split->range_count > RANGES_MAX)
        return invalid(error, "ranges of a split");
    for (size_t i = 0; i < split->range_count; i++) {
        const struct slot_range *range = &split->ranges[i];
        bool touches = i > 0 && range->first <= end; /* one range, not two */
        if (range->count == 0 || touches || (uint32_t)range->first + range->count > SLOT_COUNT)
            return invalid(error, "ranges of a split");
        end = (uint32_t)range->first + range->count;
    }
    return replicas_valid(&split->replicas) ? ERROR_NONE : invalid(error, "replicas of a split");
}

static enum error_code check_setting(const struct cluster_set_tenant *setting, struct error *error)
{
    if (setting->tenant.size == 0 || setting->tenant.size > TENANT_ID_BYTES_MAX)
        return invalid(error, "tenant");
    if (setting->key.size == 0 || setting->key.size > CLUSTER_SETTING_KEY_BYTES_MAX)
        return invalid(error, "key of a setting");
    if (setting->value.size > CLUSTER_SETTING_VALUE_BYTES_MAX)
        return invalid(error, "value of a setting");
    return ERROR_NONE;
}

static enum error_code check_entry(const struct cluster_entry *entry, struct error *error)
{
    switch (entry->kind) {
    case CLUSTER_FOUND:
        return check_found(&entry->found, error);
    case CLUSTER_ADD_NODE:
        return cluster_node_check(&entry->add_node.identity, &entry->add_node.traits, error);
    case CLUSTER_UPDATE_NODE:
        return check_traits(&entry->update_node.traits, error);
    case CLUSTER_SET_NODE_STATE:
        if (entry->set_node_state.state < CLUSTER_NODE_JOINING ||
            entry->set_node_state.state > CLUSTER_NODE_LEFT)
            return invalid(error, "state of a node");
        return ERROR_NONE;
    case CLUSTER_REMOVE_NODE:
        return ERROR_NONE;
    case CLUSTER_ASSIGN:
        return replicas_valid(&entry->assign.replicas) ? ERROR_NONE : invalid(error, "replicas");
    case CLUSTER_SPLIT:
        return check_split(&entry->split, error);
    case CLUSTER_SET_REPLICATION:
        if (entry->set_replication.replication == 0 ||
            entry->set_replication.replication > CLUSTER_REPLICAS_MAX)
            return invalid(error, "replication");
        return ERROR_NONE;
    case CLUSTER_SET_TENANT:
        return check_setting(&entry->set_tenant, error);
    case CLUSTER_RAISE_VERSION:
        return entry->raise_version.version == 0 ? invalid(error, "version") : ERROR_NONE;
    }
    return invalid(error, "kind");
}

/* --- Encoding ------------------------------------------------------------------------------ */

static void encode_found(struct byte_buffer *buffer, const struct cluster_found *found)
{
    byte_buffer_append(buffer, found->cluster_id, sizeof found->cluster_id);
    byte_buffer_text(buffer, text_of(found->name));
    byte_buffer_varint(buffer, found->version);
    byte_buffer_varint(buffer, found->replication);
    byte_buffer_varint(buffer, found->spread);
    byte_buffer_varint(buffer, found->founder_count);
    for (size_t i = 0; i < found->founder_count; i++) {
        encode_identity(buffer, &found->founders[i].identity);
        encode_traits(buffer, &found->founders[i].traits);
    }
    byte_buffer_varint(buffer, found->shard_count);
    for (size_t i = 0; i < found->shard_count; i++) {
        byte_buffer_varint(buffer, found->shards[i].group_id);
        encode_replicas(buffer, &found->shards[i].replicas);
    }
    encode_slots(buffer, found->slots);
}

static void encode_split(struct byte_buffer *buffer, const struct cluster_split *split)
{
    uint32_t end = 0;
    byte_buffer_varint(buffer, split->shard_id);
    byte_buffer_varint(buffer, split->generation);
    byte_buffer_varint(buffer, split->new_shard_id);
    byte_buffer_varint(buffer, split->new_group_id);
    byte_buffer_varint(buffer, split->range_count);
    for (size_t i = 0; i < split->range_count; i++) {
        byte_buffer_varint(buffer, split->ranges[i].first - end);
        byte_buffer_varint(buffer, split->ranges[i].count);
        end = (uint32_t)split->ranges[i].first + split->ranges[i].count;
    }
    encode_replicas(buffer, &split->replicas);
}

static void encode_body(struct byte_buffer *buffer, const struct cluster_entry *entry)
{
    switch (entry->kind) {
    case CLUSTER_FOUND:
        encode_found(buffer, &entry->found);
        break;
    case CLUSTER_ADD_NODE:
        encode_identity(buffer, &entry->add_node.identity);
        encode_traits(buffer, &entry->add_node.traits);
        break;
    case CLUSTER_UPDATE_NODE:
        byte_buffer_varint(buffer, entry->update_node.node_id);
        encode_traits(buffer, &entry->update_node.traits);
        break;
    case CLUSTER_SET_NODE_STATE:
        byte_buffer_varint(buffer, entry->set_node_state.node_id);
        byte_buffer_varint(buffer, entry->set_node_state.state);
        break;
    case CLUSTER_REMOVE_NODE:
        byte_buffer_varint(buffer, entry->remove_node.node_id);
        break;
    case CLUSTER_ASSIGN:
        byte_buffer_varint(buffer, entry->assign.shard_id);
        byte_buffer_varint(buffer, entry->assign.generation);
        encode_replicas(buffer, &entry->assign.replicas);
        break;
    case CLUSTER_SPLIT:
        encode_split(buffer, &entry->split);
        break;
    case CLUSTER_SET_REPLICATION:
        byte_buffer_varint(buffer, entry->set_replication.replication);
        break;
    case CLUSTER_SET_TENANT:
        byte_buffer_text(buffer, entry->set_tenant.tenant);
        byte_buffer_text(buffer, entry->set_tenant.key);
        byte_buffer_text(buffer, entry->set_tenant.value);
        break;
    case CLUSTER_RAISE_VERSION:
        byte_buffer_varint(buffer, entry->raise_version.version);
        break;
    }
}

enum error_code cluster_entry_encode(const struct cluster_entry *entry, struct byte_buffer *buffer,
                                     struct error *error)
{
    size_t size_before = buffer->size;
    enum error_code code = check_entry(entry, error);
    if (code != ERROR_NONE)
        return code;
    byte_buffer_u8(buffer, (uint8_t)entry->kind);
    byte_buffer_u8(buffer, ENTRY_VERSION);
    encode_body(buffer, entry);
    if (!buffer->failed)
        return ERROR_NONE;
    buffer->size = size_before;
    return error_set(error, ERROR_OUT_OF_MEMORY, "cluster entry");
}

/* --- Decoding ------------------------------------------------------------------------------ */

/* Smallest encodings, so that a count from outside does not claim more memory than its bytes. */
enum { FOUNDER_BYTES_MIN = 24, SHARD_BYTES_MIN = 3, RANGE_BYTES_MIN = 2 };

/* Out of memory sets *memory_out; what does not decode, `failed`. */
static void *allocate(struct arena *arena, size_t count, size_t element_bytes, bool *memory_out)
{
    void *array = arena_array(arena, count, element_bytes);
    if (array == NULL)
        *memory_out = true;
    return array;
}

static void decode_founders(struct byte_reader *reader, struct arena *arena,
                            struct cluster_found *found, bool *memory_out)
{
    size_t count = decode_count(reader, CLUSTER_NODES_MAX, FOUNDER_BYTES_MIN);
    struct cluster_founder *founders = allocate(arena, count, sizeof *founders, memory_out);
    for (size_t i = 0; i < count && founders != NULL && !reader->failed; i++) {
        decode_identity(reader, &founders[i].identity);
        decode_traits(reader, &founders[i].traits);
    }
    found->founders = founders;
    found->founder_count = count;
}

static void decode_found(struct byte_reader *reader, struct arena *arena,
                         struct cluster_found *found, bool *memory_out)
{
    const uint8_t *id = byte_reader_take(reader, sizeof found->cluster_id);
    if (id != NULL)
        memcpy(found->cluster_id, id, sizeof found->cluster_id);
    decode_string(reader, found->name, sizeof found->name);
    found->version = decode_number(reader, UINT32_MAX);
    found->replication = decode_number(reader, CLUSTER_REPLICAS_MAX);
    found->spread = decode_number(reader, SLOT_COUNT);
    decode_founders(reader, arena, found, memory_out);
    size_t count = decode_count(reader, CLUSTER_SHARDS_MAX, SHARD_BYTES_MIN);
    struct cluster_founding_shard *shards = allocate(arena, count, sizeof *shards, memory_out);
    for (size_t i = 0; i < count && shards != NULL && !reader->failed; i++) {
        shards[i].group_id = byte_reader_varint(reader);
        decode_replicas(reader, &shards[i].replicas);
    }
    found->shards = shards;
    found->shard_count = count;
    uint16_t *slots = allocate(arena, SLOT_COUNT, sizeof *slots, memory_out);
    uint32_t *slot_counts = allocate(arena, count, sizeof *slot_counts, memory_out);
    if (slots != NULL && slot_counts != NULL && !reader->failed)
        decode_slots(reader, count, slots, slot_counts);
    found->slots = slots;
}

static void decode_split(struct byte_reader *reader, struct arena *arena,
                         struct cluster_split *split, bool *memory_out)
{
    uint32_t end = 0;
    split->shard_id = decode_number(reader, CLUSTER_SHARDS_MAX);
    split->generation = byte_reader_varint(reader);
    split->new_shard_id = decode_number(reader, CLUSTER_SHARDS_MAX);
    split->new_group_id = byte_reader_varint(reader);
    size_t count = decode_count(reader, RANGES_MAX, RANGE_BYTES_MIN);
    struct slot_range *ranges = allocate(arena, count, sizeof *ranges, memory_out);
    for (size_t i = 0; i < count && ranges != NULL && !reader->failed; i++) {
        uint32_t first = end + decode_number(reader, SLOT_COUNT - end);
        uint32_t length = decode_number(reader, SLOT_COUNT - first);
        ranges[i] = (struct slot_range){.first = (uint16_t)first, .count = (uint16_t)length};
        end = first + length;
    }
    split->ranges = ranges;
    split->range_count = count;
    decode_replicas(reader, &split->replicas);
}

/* False: the kind is not known. */
static bool decode_body(struct byte_reader *reader, struct arena *arena,
                        struct cluster_entry *entry, bool *memory_out)
{
    switch (entry->kind) {
    case CLUSTER_FOUND:
        decode_found(reader, arena, &entry->found, memory_out);
        return true;
    case CLUSTER_ADD_NODE:
        decode_identity(reader, &entry->add_node.identity);
        decode_traits(reader, &entry->add_node.traits);
        return true;
    case CLUSTER_UPDATE_NODE:
        entry->update_node.node_id = byte_reader_varint(reader);
        decode_traits(reader, &entry->update_node.traits);
        return true;
    case CLUSTER_SET_NODE_STATE:
        entry->set_node_state.node_id = byte_reader_varint(reader);
        entry->set_node_state.state = (enum cluster_node_state)decode_number(reader, UINT8_MAX);
        return true;
    case CLUSTER_REMOVE_NODE:
        entry->remove_node.node_id = byte_reader_varint(reader);
        return true;
    case CLUSTER_ASSIGN:
        entry->assign.shard_id = decode_number(reader, UINT32_MAX);
        entry->assign.generation = byte_reader_varint(reader);
        decode_replicas(reader, &entry->assign.replicas);
        return true;
    case CLUSTER_SPLIT:
        decode_split(reader, arena, &entry->split, memory_out);
        return true;
    case CLUSTER_SET_REPLICATION:
        entry->set_replication.replication = decode_number(reader, UINT32_MAX);
        return true;
    case CLUSTER_SET_TENANT:
        entry->set_tenant.tenant = byte_reader_text(reader);
        entry->set_tenant.key = byte_reader_text(reader);
        entry->set_tenant.value = byte_reader_text(reader);
        return true;
    case CLUSTER_RAISE_VERSION:
        entry->raise_version.version = decode_number(reader, UINT32_MAX);
        return true;
    }
    return false;
}

enum error_code cluster_entry_decode(const uint8_t *bytes, size_t size_bytes, struct arena *arena,
                                     struct cluster_entry *entry_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    struct cluster_entry entry;
    bool out_of_memory = false;
    memset(&entry, 0, sizeof entry);
    entry.kind = (enum cluster_entry_kind)byte_reader_u8(&reader);
    uint8_t version = byte_reader_u8(&reader);
    if (reader.failed)
        return error_set(error, ERROR_CORRUPT, "cluster entry: cut");
    if (version != ENTRY_VERSION || !decode_body(&reader, arena, &entry, &out_of_memory))
        return error_set(error, ERROR_UNSUPPORTED, "cluster entry: kind %u in version %u",
                         entry.kind, version);
    if (out_of_memory)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster entry");
    if (reader.failed || byte_reader_left(&reader) > 0)
        return error_set(error, ERROR_CORRUPT, "cluster entry of kind %u: cut, or out of range",
                         entry.kind);
    if (check_entry(&entry, error) != ERROR_NONE) {
        error->code = ERROR_CORRUPT; /* from the log: whoever wrote it had to check it */
        return ERROR_CORRUPT;
    }
    *entry_out = entry;
    return ERROR_NONE;
}
