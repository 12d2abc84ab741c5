/*
 * removal_mark - what stays of a replica that was removed from this node: that it was here, and
 * what it promised to the other replicas (consensus/promise.h). A file beside the shards' folders.
 *
 * Byte layout: docs/formats/removal-mark.md. Blocking.
 */
#ifndef HOSTING_REMOVAL_MARK_H
#define HOSTING_REMOVAL_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "consensus/promise.h"

struct disk;

/* In place of that of an earlier removal; durable when it returns. Errors: IO, NO_SPACE,
 * OUT_OF_MEMORY. */
enum error_code removal_mark_write(struct disk *disk, uint32_t shard_id,
                                   const struct consensus_promise *promise, struct error *error);

/* Without a mark `*exists_out` is false and the promise is zeroes. Errors: IO, CORRUPT. */
enum error_code removal_mark_read(struct disk *disk, uint32_t shard_id, bool *exists_out,
                                  struct consensus_promise *promise_out, struct error *error);

#endif
