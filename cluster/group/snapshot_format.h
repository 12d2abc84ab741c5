/*
 * snapshot_format - a snapshot of a group as bytes: what consensus must know of the log up to it,
 * the positions of the state machine, and the state machine's own bytes.
 *
 * Byte layout: docs/formats/snapshot.md. The same bytes are stored in the journal and travel in
 * an InstallSnapshot message.
 */
#ifndef GROUP_SNAPSHOT_FORMAT_H
#define GROUP_SNAPSHOT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "consensus/membership.h"
#include "group/state_machine.h"

/* A snapshot is of version 2 where it says what was at the frozen index. */
enum { SNAPSHOT_VERSION = 2 };

struct snapshot_header {
    uint64_t group_id;
    uint64_t index; /* S: consensus keeps only entries above it */
    uint64_t term;  /* of entry S */
    uint64_t membership_index;
    struct state_machine_position position;
    /* Of the entry at position.frozen_index where that is below `index`, so that a peer which is
     * there, or before, can be told of it; 0: not known. */
    uint64_t frozen_term;
    uint64_t frozen_membership_index;
};

/*
 * Append a snapshot to `buffer` in two steps: the head, then (by the caller) the bytes of the
 * state machine, then the end, which needs the size of `buffer` before the head. The memberships
 * are those as of the index and, with a frozen_term, as of the frozen index.
 */
void snapshot_encode_head(const struct snapshot_header *header, const struct membership *membership,
                          const struct membership *frozen_membership, struct byte_buffer *buffer);
void snapshot_encode_end(struct byte_buffer *buffer, size_t start);

struct snapshot_view {
    struct snapshot_header header;
    struct membership membership;
    struct membership frozen_membership; /* with a frozen_term */
    const uint8_t *state;                /* [state_bytes], within the bytes given */
    size_t state_bytes;
};

/* Nothing is allocated. Errors: CORRUPT, UNSUPPORTED (a newer version). */
enum error_code snapshot_decode(const uint8_t *bytes, size_t size_bytes,
                                struct snapshot_view *view_out, struct error *error);

#endif
