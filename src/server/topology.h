/*
 * topology - what a data directory was made for: number of shards and spread. Fixed at creation,
 * kept in the file "topology" as two lines, with a third that has their checksum: another number of
 * shards would look for every series in the wrong place.
 */
#ifndef SERVER_TOPOLOGY_H
#define SERVER_TOPOLOGY_H

#include <stdint.h>

#include "base/error.h"

struct topology {
    uint32_t shard_count;
    uint32_t spread;
};

/* Read it, or write `wanted` when there is none yet. Errors: CORRUPT (also when it is missing
 * beside data), INVALID, IO, NO_SPACE; they name the file. */
enum error_code topology_open(const char *directory, const struct topology *wanted,
                              struct topology *topology_out, struct error *error);

#endif
