#include "shard/slots.h"

#include <assert.h>

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
