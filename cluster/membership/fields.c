#include "fields.h"

/* --- Encoding ------------------------------------------------------------------------------ */

void encode_identity(struct byte_buffer *buffer, const struct cluster_node_identity *identity)
{
    byte_buffer_text(buffer, text_of(identity->name));
    byte_buffer_append(buffer, identity->directory_id, sizeof identity->directory_id);
}

void encode_traits(struct byte_buffer *buffer, const struct cluster_node_traits *traits)
{
    byte_buffer_text(buffer, text_of(traits->address));
    byte_buffer_text(buffer, text_of(traits->zone));
    byte_buffer_varint(buffer, traits->roles);
    byte_buffer_varint(buffer, traits->version_min);
    byte_buffer_varint(buffer, traits->version_max);
}

bool replicas_valid(const struct cluster_replicas *replicas)
{
    if (replicas->count == 0 || replicas->count > CLUSTER_REPLICAS_MAX)
        return false;
    uint64_t previous = 0;
    for (uint32_t i = 0; i < replicas->count; i++) {
        if (replicas->node_ids[i] <= previous)
            return false;
        previous = replicas->node_ids[i];
    }
    return true;
}

void encode_replicas(struct byte_buffer *buffer, const struct cluster_replicas *replicas)
{
    byte_buffer_varint(buffer, replicas->count);
    for (uint32_t i = 0; i < replicas->count; i++)
        byte_buffer_varint(buffer, replicas->node_ids[i]);
}

static uint32_t run_end(const uint16_t *slots, uint32_t start)
{
    uint32_t end = start + 1;
    while (end < SLOT_COUNT && slots[end] == slots[start])
        end++;
    return end;
}

void encode_slots(struct byte_buffer *buffer, const uint16_t *slots)
{
    for (uint32_t start = 0; start < SLOT_COUNT;) {
        uint32_t end = run_end(slots, start);
        byte_buffer_varint(buffer, end - start);
        byte_buffer_varint(buffer, slots[start]);
        start = end;
    }
}

/* --- Decoding ------------------------------------------------------------------------------ */

uint32_t decode_number(struct byte_reader *reader, uint32_t max)
{
    uint64_t number = byte_reader_varint(reader);
    if (number > max)
        reader->failed = true;
    return reader->failed ? 0 : (uint32_t)number;
}

size_t decode_count(struct byte_reader *reader, size_t max, size_t element_bytes)
{
    uint64_t count = byte_reader_varint(reader);
    if (count > max || count > byte_reader_left(reader) / element_bytes)
        reader->failed = true;
    return reader->failed ? 0 : (size_t)count;
}

void decode_string(struct byte_reader *reader, char *target, size_t size)
{
    struct text value = byte_reader_text(reader);
    memset(target, 0, size);
    if (value.size >= size || !text_is_plain(value)) {
        reader->failed = true;
        return;
    }
    if (value.size > 0)
        memcpy(target, value.data, value.size);
}

void decode_identity(struct byte_reader *reader, struct cluster_node_identity *identity_out)
{
    decode_string(reader, identity_out->name, sizeof identity_out->name);
    const uint8_t *id = byte_reader_take(reader, sizeof identity_out->directory_id);
    if (id != NULL)
        memcpy(identity_out->directory_id, id, sizeof identity_out->directory_id);
    if (identity_out->name[0] == '\0')
        reader->failed = true;
}

void decode_traits(struct byte_reader *reader, struct cluster_node_traits *traits_out)
{
    struct error ignored; /* the caller names what it was reading */
    decode_string(reader, traits_out->address, sizeof traits_out->address);
    decode_string(reader, traits_out->zone, sizeof traits_out->zone);
    traits_out->roles = decode_number(reader, CLUSTER_ROLES_ALL);
    traits_out->version_min = decode_number(reader, UINT32_MAX);
    traits_out->version_max = decode_number(reader, UINT32_MAX);
    if (!reader->failed && check_traits(traits_out, &ignored) != ERROR_NONE)
        reader->failed = true;
}

void decode_replicas(struct byte_reader *reader, struct cluster_replicas *replicas_out)
{
    *replicas_out = (struct cluster_replicas){0};
    replicas_out->count = (uint32_t)decode_count(reader, CLUSTER_REPLICAS_MAX, 1);
    for (uint32_t i = 0; i < replicas_out->count; i++)
        replicas_out->node_ids[i] = byte_reader_varint(reader);
    if (!replicas_valid(replicas_out))
        reader->failed = true;
}

void decode_slots(struct byte_reader *reader, size_t shard_count, uint16_t *slots_out,
                  uint32_t *slot_counts)
{
    uint32_t slot = 0;
    while (slot < SLOT_COUNT && !reader->failed) {
        uint32_t length = decode_number(reader, SLOT_COUNT - slot);
        uint32_t shard_id = decode_number(reader, CLUSTER_SHARDS_MAX);
        bool continues = slot > 0 && slots_out[slot - 1] == shard_id; /* one run, not two */
        if (length == 0 || shard_id >= shard_count || continues) {
            reader->failed = true;
            return;
        }
        slot_counts[shard_id] += length;
        for (uint32_t end = slot + length; slot < end; slot++)
            slots_out[slot] = (uint16_t)shard_id;
    }
    for (size_t i = 0; i < shard_count; i++)
        if (slot_counts[i] == 0)
            reader->failed = true;
}
