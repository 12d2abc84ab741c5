/*
 * state_machine - what a Raft group keeps identical on every replica.
 *
 * The group hands committed entries over in the order of their index, once each; the machine
 * applies them in its own time and tells how far it got. All calls come on the group's loop.
 *
 * A snapshot is not the state but what the state can be built from: some bytes (a manifest of
 * immutable files) that describe the machine at `applied_index`, and the `frozen_index` up to
 * which nothing is needed from the log any more. After a restart the group calls `restore` and
 * then `apply` for every entry above `frozen_index`:
 *
 *     ... frozen_index | frozen_index+1 ... applied_index | applied_index+1 ...
 *         in files     | again: the bytes know their      | new: applied in full
 *                      | outcome, only memory is rebuilt  |
 */
#ifndef GROUP_STATE_MACHINE_H
#define GROUP_STATE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "consensus/membership.h"

/* One committed entry. The payload is what was proposed, byte for byte. */
struct group_entry {
    uint64_t index;
    uint64_t term;
    const uint8_t *payload; /* [size_bytes], see `apply` */
    size_t size_bytes;
};

/* What a snapshot covers. frozen_index <= applied_index. */
struct state_machine_position {
    uint64_t applied_index; /* the last entry whose effect the bytes hold */
    uint64_t frozen_index;  /* no entry up to here has to be replayed */
};

/* A snapshot that a leader offers in place of a log that it has no more. */
struct state_machine_offer {
    const uint8_t *bytes; /* [size_bytes] of `snapshot_for_peer` there */
    size_t size_bytes;
    struct state_machine_position position; /* frozen_index is applied_index */
    uint64_t from_node;
    const struct consensus_member *members; /* [member_count]: who else may have what it names */
    size_t member_count;
};

struct state_machine;

struct state_machine_operations {
    /*
     * Take one committed entry; must be quick (put it in a queue). The payload stays in place
     * until `applied_index` reports this entry (see group_applied), `restore` is called or the
     * group is closed.
     * Indexes rise but have gaps (the group keeps entries of its own).
     */
    void (*apply)(struct state_machine *self, const struct group_entry *entry);

    /* The index of the last entry that was applied and whose payload is no longer looked at; 0
     * before the first. */
    uint64_t (*applied_index)(struct state_machine *self);

    /*
     * Append the bytes of a snapshot to `bytes` and tell what they cover. Must be quick.
     * ERROR_UNAVAILABLE: not now, ask again later. Every other error is logged and retried.
     */
    enum error_code (*snapshot)(struct state_machine *self, struct byte_buffer *bytes,
                                struct state_machine_position *position_out, struct error *error);

    /*
     * As `snapshot`, for a replica that lags too far behind: bytes for which nothing up to
     * frozen_index is needed from the log, and which hold the effect of nothing behind it, so
     * frozen_index is applied_index. It may be less than what was applied, but not less than the
     * frozen_index of the last `snapshot_stored`: the entries behind it follow from the log. NULL:
     * such replicas cannot be served.
     */
    enum error_code (*snapshot_for_peer)(struct state_machine *self, struct byte_buffer *bytes,
                                         struct state_machine_position *position_out,
                                         struct error *error);

    /*
     * Get what `restore` will need of this offer, files that it names say, while entries still
     * come; group_restore_prepared tells when all of it is durable here, or that it can't be had.
     * Only then the offer takes the place of log and state. Called once for an offer, however often
     * the leader repeats it, and again for a newer one, which takes the place of the one before.
     * The offer is borrowed in the call. NULL: there is nothing to prepare.
     */
    void (*prepare_restore)(struct state_machine *self, const struct state_machine_offer *offer);

    /* The offer is void: the log went on without it, or the group closes. NULL without
     * prepare_restore. */
    void (*cancel_restore)(struct state_machine *self);

    /*
     * The snapshot that covers `position` is durable: files that only older ones name can go.
     */
    void (*snapshot_stored)(struct state_machine *self,
                            const struct state_machine_position *position);

    /*
     * Replace the whole state by a snapshot; entries that wait in a queue are void. Called once
     * in group_start when there is one, and when a leader sends one. The bytes are borrowed. An
     * error ends the group: group_start fails, or the host's `fatal` is called.
     */
    enum error_code (*restore)(struct state_machine *self, const uint8_t *bytes, size_t size_bytes,
                               const struct state_machine_position *position, struct error *error);

    /*
     * This replica leads in `term`, everything committed before was handed to `apply`, and
     * proposals are taken from now on.
     */
    void (*leader_started)(struct state_machine *self, uint64_t term);

    /* No longer; what was proposed and not answered yet gets GROUP_OUTCOME_UNKNOWN. */
    void (*leader_stopped)(struct state_machine *self, uint64_t term);
};

struct state_machine {
    const struct state_machine_operations *operations;
};

#endif
