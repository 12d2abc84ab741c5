/*
 * snapshot_export - a group's state as the beginning of another group, in a journal of its own:
 * what a copy of a data directory starts from.
 *
 * Pure but for the journal, whose thread it is.
 */
#ifndef GROUP_SNAPSHOT_EXPORT_H
#define GROUP_SNAPSHOT_EXPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "group/group.h"
#include "journal/journal.h"

enum { GROUP_EXPORT_TERM = 1 };

struct group_export {
    uint64_t group_id;
    uint64_t index; /* the last entry whose effect the state holds, at least 1 */
    const struct consensus_member *members; /* of the new group */
    size_t member_count;
};

/*
 * The bytes of a snapshot (docs/formats/snapshot.md) with the `state` of the state machine
 * [state_bytes], appended to an empty `buffer`; no log belongs to it.
 * Errors: INVALID (members), LIMIT, OUT_OF_MEMORY.
 */
enum error_code group_snapshot_export(const struct group_export *export, const uint8_t *state,
                                      size_t state_bytes, struct byte_buffer *buffer,
                                      struct error *error);

/* Make these bytes what the journal knows of the group, which was unknown to it. `request`, which
 * may be NULL, is done when that is durable. */
void group_export_store(struct journal *journal, const struct group_export *export,
                        const struct byte_buffer *bytes, struct journal_request *request);

#endif
