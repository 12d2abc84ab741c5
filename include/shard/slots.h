/*
 * slots - which slot and which shard a series belongs to.
 *
 * slot = hash(tenant, job, instance, hash(labels) mod spread) mod SLOT_COUNT, from canonical
 * labels: the series of a target stay together in `spread` slots. A shard is a set of slots; the
 * slot map is versioned and changes only when shards are split.
 */
#ifndef SHARD_SLOTS_H
#define SHARD_SLOTS_H

#include <stdint.h>

#include "base/limits.h"
#include "base/text.h"
#include "model/labels.h"

uint16_t series_slot(struct text tenant, struct labels labels, uint32_t spread);

struct slot_map {
    uint64_t version;
    uint32_t shard_count;
    uint16_t shards[SLOT_COUNT]; /* the shard of each slot */
};

/* Contiguous runs of slots, as equal as possible. */
void slot_map_init(struct slot_map *map, uint32_t shard_count);

static inline uint32_t slot_map_shard(const struct slot_map *map, uint16_t slot)
{
    return map->shards[slot];
}

#endif
