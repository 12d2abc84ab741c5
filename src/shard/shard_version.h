/*
 * shard_version - the state-machine version that a shard's log has come to. Private to shard.
 *
 * What each version is: base/state_version.h. What of a shard depends on it:
 *
 *   version 1   as it began; manifests of format 2
 *   version 2   versions of windows (windows.h); manifests of format 3
 *   version 3   what is in the bucket (bucket.h); manifests of format 4
 *   rehearsal   writes are counted, and manifests have their number
 */
#ifndef SHARD_SHARD_VERSION_H
#define SHARD_SHARD_VERSION_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "shard/entry.h"

struct shard;

/* Whether this program can go on from a log or manifest of the version. Errors: CORRUPT (none),
 * UNSUPPORTED. */
enum error_code shard_version_check(const struct shard *shard, uint64_t version,
                                    struct error *error);

/* Whether there may be such an entry in the log of the shard as it is. Errors: UNSUPPORTED. */
enum error_code shard_version_allows(const struct shard *shard, enum entry_kind kind,
                                     struct error *error);

/* Errors: CORRUPT, UNSUPPORTED, OUT_OF_MEMORY. */
enum error_code shard_apply_version(struct shard *shard, uint64_t index, struct byte_reader *body,
                                    struct error *error);

/* For who leads: propose the version that is wanted, when it is higher. */
void shard_version_propose(struct shard *shard);

/* Show readers the versions of windows as they are. */
void shard_show_windows(struct shard *shard);

#endif
