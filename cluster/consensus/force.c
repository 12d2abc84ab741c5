/*
 * force - members that no majority agreed to: the one thing here that Raft does not allow, and that
 * nothing but an operator's word may begin (docs/decisions/0060).
 */
#include <string.h>

#include "consensus_private.h"

static enum error_code check_forcible(const struct consensus *consensus,
                                      const struct consensus_member *member, struct error *error)
{
    if (!consensus->started || consensus->failure.code != ERROR_NONE)
        return error_set(error, ERROR_UNAVAILABLE, "the replica is stopped");
    if (consensus_log_last_index(&consensus->log) == 0)
        return error_set(error, ERROR_UNAVAILABLE, "the replica is empty");
    if (election_has_leader(consensus))
        return error_set(error, ERROR_CONFLICT, "the group has a leader, node %llu",
                         (unsigned long long)consensus->leader_id);
    if (member->node_id != consensus->options.node_id || member->role != CONSENSUS_ROLE_VOTER)
        return error_set(error, ERROR_INVALID, "only a replica itself can be forced to lead");
    return ERROR_NONE;
}

enum error_code consensus_force_membership(struct consensus *consensus, uint64_t now_ms,
                                           uint64_t seen_term,
                                           const struct consensus_member *member,
                                           uint64_t *index_out, struct error *error)
{
    consensus->now_ms = now_ms;
    struct membership membership;
    enum error_code code = check_forcible(consensus, member, error);
    if (code == ERROR_NONE)
        code = membership_init(&membership, member, 1, error);
    if (code != ERROR_NONE)
        return code;

    struct byte_buffer buffer = {0};
    membership_encode(&membership, &buffer);
    struct consensus_batch *batch = buffer.failed ? NULL : consensus_batch_create(buffer.size);
    if (batch == NULL) {
        byte_buffer_clear(&buffer);
        return error_set(error, ERROR_OUT_OF_MEMORY, "members");
    }
    memcpy(batch->bytes, buffer.bytes, buffer.size);
    struct consensus_entry entry = {
        .kind = CONSENSUS_MEMBERSHIP,
        .size_bytes = (uint32_t)buffer.size,
        .bytes = batch->bytes,
        .batch = batch,
    };
    byte_buffer_clear(&buffer);
    if (seen_term < consensus->term)
        seen_term = consensus->term;
    election_take_term(consensus, consensus_forced_term(seen_term, consensus->options.node_id));
    bool leads = become_leader_with(consensus, &entry);
    consensus_batch_unref(batch); /* the log has a reference */
    if (!leads)
        return error_set(error, ERROR_OUT_OF_MEMORY, "log");
    *index_out = consensus->own_index;
    return ERROR_NONE;
}
