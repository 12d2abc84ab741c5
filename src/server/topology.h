/*
 * topology - what a data directory was made for: number of shards and spread. Fixed at creation,
 * kept in the file "topology" as two lines.
 */
#ifndef SERVER_TOPOLOGY_H
#define SERVER_TOPOLOGY_H

#include <stdint.h>

#include "base/error.h"

struct topology {
    uint32_t shard_count;
    uint32_t spread;
};

/* Read it, or write `wanted` when there is none yet. Errors: CORRUPT, IO, NO_SPACE. */
enum error_code topology_open(const char *directory, const struct topology *wanted,
                              struct topology *topology_out, struct error *error);

#endif
