/*
 * formation - the founding entry of a cluster.
 *
 * A pure function of the peers, whatever their order: each founder makes the same entry.
 */
#ifndef PLACEMENT_FORMATION_H
#define PLACEMENT_FORMATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "membership/cluster_entry.h"

struct formation_options {
    const char *name;     /* of the cluster */
    uint32_t shard_count; /* 1..CLUSTER_SHARDS_MAX */
    uint32_t replication; /* 1..CLUSTER_REPLICAS_MAX; fewer nodes keep fewer replicas, for now */
    uint32_t version;     /* of the state machine */
    uint32_t spread;      /* over how many slots one target is spread, 1..SLOT_COUNT */
    uint64_t first_group; /* id of the group of shard 0; others follow */
    /* [SLOT_COUNT], the shard of each slot, every shard has one; NULL: equal ranges. */
    const uint16_t *slots;
};

/*
 * Peers become nodes 1, 2, ... by rising name; the cluster's id is a hash of their names and random
 * directory ids. Arrays are from `arena`.
 *
 * Errors: INVALID (names twice, options, slots, no peer with the role ingest), OUT_OF_MEMORY.
 */
enum error_code formation_found(const struct cluster_founder *peers, size_t peer_count,
                                const struct formation_options *options, struct arena *arena,
                                struct cluster_entry *entry_out, struct error *error);

#endif
