/*
 * snapshot_journal - the log of a copy of the data directory: of each group a snapshot and nothing
 * else, so that a node which starts there finds what it always finds.
 */
#ifndef SERVER_SNAPSHOT_JOURNAL_H
#define SERVER_SNAPSHOT_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "group/snapshot_export.h"

struct snapshot_record {
    struct group_export export;
    struct byte_buffer state; /* of the state machine */
};

/*
 * Make the journal below `root`, which exists, with these groups. Blocking: has a loop and a worker
 * of its own while it lasts.
 * Errors: NO_SPACE, IO, LIMIT, OUT_OF_MEMORY.
 */
enum error_code snapshot_journal_write(const char *root, const struct snapshot_record *records,
                                       size_t record_count, struct error *error);

#endif
