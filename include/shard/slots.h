/*
 * slots - which slot and which shard a series belongs to.
 *
 * slot = hash(tenant, job, instance, hash(labels) mod spread) mod SLOT_COUNT, from canonical
 * labels: the series of a target stay together in `spread` slots. A shard is a set of slots; the
 * slot map is versioned and changes only when shards are split.
 */
#ifndef SHARD_SLOTS_H
#define SHARD_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
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

/* Some of all slots. */
struct slot_set {
    uint64_t words[SLOT_COUNT / 64];
};

static inline bool slot_set_has(const struct slot_set *set, uint16_t slot)
{
    return set->words[slot / 64] >> slot % 64 & 1;
}

void slot_set_fill(struct slot_set *set);
void slot_set_add(struct slot_set *set, uint32_t first, uint32_t count);
void slot_set_remove(struct slot_set *set, const struct slot_set *other);
uint32_t slot_set_count(const struct slot_set *set);
bool slot_set_is_within(const struct slot_set *set, const struct slot_set *other);

/* As runs of neighbours. Errors: CORRUPT (order, beyond the last slot). */
void slot_set_encode(const struct slot_set *set, struct byte_buffer *buffer);
enum error_code slot_set_decode(struct byte_reader *reader, struct slot_set *set_out,
                                struct error *error);

/* Where a metric's metadata belongs. */
uint16_t metadata_slot(struct text metric_name);

static inline uint32_t slot_map_shard(const struct slot_map *map, uint16_t slot)
{
    return map->shards[slot];
}

#endif
