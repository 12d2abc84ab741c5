#include "shard/slots.h"

#include <assert.h>
#include <string.h>

#include "base/checksum.h"

static uint64_t hash_text(struct text text, uint64_t seed)
{
    return hash64(text.data, text.size, seed);
}

uint16_t series_slot(struct text tenant, struct labels labels, uint32_t spread)
{
    assert(spread > 0);
    uint64_t part = hash64(labels.bytes, labels.size, HASH_SEED_STORED) % spread;
    struct text job = {0}, instance = {0};
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (labels_next(&cursor, &label))
        if (text_equal(label.name, TEXT("job")))
            job = label.value;
        else if (text_equal(label.name, TEXT("instance")))
            instance = label.value;
    uint64_t hash = hash_text(tenant, HASH_SEED_STORED);
    hash = hash_text(job, hash);
    hash = hash_text(instance, hash);
    hash = hash64(&part, sizeof part, hash);
    return (uint16_t)(hash % SLOT_COUNT);
}

void slot_map_init(struct slot_map *map, uint32_t shard_count)
{
    assert(shard_count > 0 && shard_count <= SLOT_COUNT);
    map->version = 1;
    map->shard_count = shard_count;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        map->shards[slot] = (uint16_t)(slot * shard_count / SLOT_COUNT);
}

uint16_t metadata_slot(struct text metric_name)
{
    return (uint16_t)(hash_text(metric_name, HASH_SEED_STORED) % SLOT_COUNT);
}

/* --- Sets ------------------------------------------------------------------------------------ */

void slot_set_fill(struct slot_set *set)
{
    memset(set->words, 0xff, sizeof set->words);
}

void slot_set_add(struct slot_set *set, uint32_t first, uint32_t count)
{
    assert(first <= SLOT_COUNT && count <= SLOT_COUNT - first);
    for (uint32_t slot = first; slot < first + count; slot++)
        set->words[slot / 64] |= UINT64_C(1) << slot % 64;
}

void slot_set_remove(struct slot_set *set, const struct slot_set *other)
{
    for (size_t i = 0; i < SLOT_COUNT / 64; i++)
        set->words[i] &= ~other->words[i];
}

uint32_t slot_set_count(const struct slot_set *set)
{
    uint32_t count = 0;
    for (size_t i = 0; i < SLOT_COUNT / 64; i++)
        count += (uint32_t)__builtin_popcountll(set->words[i]);
    return count;
}

bool slot_set_is_within(const struct slot_set *set, const struct slot_set *other)
{
    for (size_t i = 0; i < SLOT_COUNT / 64; i++)
        if ((set->words[i] & ~other->words[i]) != 0)
            return false;
    return true;
}

/* The first slot from `from` on that is in the set, or is not. */
static uint32_t next_slot(const struct slot_set *set, uint32_t from, bool is_in)
{
    while (from < SLOT_COUNT && slot_set_has(set, (uint16_t)from) != is_in)
        from++;
    return from;
}

void slot_set_encode(const struct slot_set *set, struct byte_buffer *buffer)
{
    uint32_t runs = 0;
    for (uint32_t at = next_slot(set, 0, true); at < SLOT_COUNT;
         at = next_slot(set, next_slot(set, at, false), true))
        runs++;
    byte_buffer_varint(buffer, runs);
    uint32_t behind = 0;
    for (uint32_t at = next_slot(set, 0, true); at < SLOT_COUNT;
         at = next_slot(set, behind, true)) {
        byte_buffer_varint(buffer, at - behind);
        behind = next_slot(set, at, false);
        byte_buffer_varint(buffer, behind - at);
    }
}

enum error_code slot_set_decode(struct byte_reader *reader, struct slot_set *set_out,
                                struct error *error)
{
    struct slot_set set = {0};
    uint64_t runs = byte_reader_varint(reader);
    uint64_t behind = 0;
    for (uint64_t i = 0; i < runs && !reader->failed; i++) {
        uint64_t gap = byte_reader_varint(reader), count = byte_reader_varint(reader);
        if (reader->failed || gap > SLOT_COUNT - behind || (gap == 0 && i > 0) || count == 0 ||
            count > SLOT_COUNT - behind - gap)
            return error_set(error, ERROR_CORRUPT, "slots: run %llu", (unsigned long long)i);
        slot_set_add(&set, (uint32_t)(behind + gap), (uint32_t)count);
        behind += gap + count;
    }
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "slots: cut");
    *set_out = set;
    return ERROR_NONE;
}
