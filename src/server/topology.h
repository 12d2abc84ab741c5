/*
 * topology - what a data directory was made for: shards, the slots of each, and spread. Fixed at
 * creation, kept in the file "topology" as lines, the last with the checksum of those before:
 * another division would look for every series in the wrong place.
 *
 *   shards 6
 *   spread 4
 *   slots 512 0        of a copy of shards that were split: runs that cover all slots, with the
 *   slots 512 4        shard of each; without such lines shards have equal ranges
 *   checksum 7d3ce2a1
 */
#ifndef SERVER_TOPOLOGY_H
#define SERVER_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "shard/slots.h"

struct topology {
    uint32_t spread;
    struct slot_map slots; /* of no shards: not known yet */
    bool is_new;           /* nothing was stored before: the file was written by this very call */
};

/* Shards with equal ranges of slots; shard_count > 0. */
void topology_init(struct topology *topology, uint32_t shard_count, uint32_t spread);

/* Read it, or write `wanted` when there is none yet; both may be the same. Errors: CORRUPT (also
 * when it is missing beside data), INVALID, IO, NO_SPACE, OUT_OF_MEMORY; they name the file. */
enum error_code topology_open(const char *directory, const struct topology *wanted,
                              struct topology *topology_out, struct error *error);

#endif
