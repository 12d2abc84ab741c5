/*
 * change - of members and of leaders, and reads that a leader vouches for.
 */
#include <string.h>

#include "consensus_private.h"

static enum error_code check_leader(const struct consensus *consensus, struct error *error)
{
    if (consensus->state == CONSENSUS_LEADER && consensus->failure.code == ERROR_NONE)
        return ERROR_NONE;
    return error_set(error, ERROR_UNAVAILABLE, "not the leader");
}

static bool own_term_is_committed(const struct consensus *consensus)
{
    return consensus->commit_index >= consensus->own_index;
}

/* --- Members ------------------------------------------------------------------------------- */

enum error_code consensus_change(struct consensus *consensus, const struct membership *membership,
                                 uint64_t *index_out, struct error *error)
{
    enum error_code code = check_leader(consensus, error);
    if (code != ERROR_NONE)
        return code;
    /* Two changes at once, or one beside what a former leader left uncommitted, may make majorities
     * that share no member (dissertation, 4.1, and the correction of 2015). */
    if (!own_term_is_committed(consensus) && rule_on(consensus, RULE_CHANGE_IN_OWN_TERM))
        return error_set(error, ERROR_UNAVAILABLE, "nothing of this term is committed yet");
    if (membership_is_uncommitted(consensus) && rule_on(consensus, RULE_ONE_CHANGE))
        return error_set(error, ERROR_CONFLICT, "a change of members is under way");

    struct byte_buffer buffer = {0};
    membership_encode(membership, &buffer);
    struct consensus_batch *batch = buffer.failed ? NULL : consensus_batch_create(buffer.size);
    uint64_t index = 0;
    if (batch != NULL) {
        memcpy(batch->bytes, buffer.bytes, buffer.size);
        index =
            consensus_propose(consensus, CONSENSUS_MEMBERSHIP, batch, batch->bytes, buffer.size);
        consensus_batch_unref(batch);
    }
    byte_buffer_clear(&buffer);
    if (index == 0)
        return error_set(error, batch == NULL ? ERROR_OUT_OF_MEMORY : ERROR_UNAVAILABLE,
                         "change of members");
    *index_out = index;
    return ERROR_NONE;
}

/* --- Leaders ------------------------------------------------------------------------------- */

enum error_code consensus_transfer(struct consensus *consensus, uint64_t node_id,
                                   struct error *error)
{
    enum error_code code = check_leader(consensus, error);
    if (code != ERROR_NONE)
        return code;
    if (consensus->transfer.node_id != 0)
        return error_set(error, ERROR_CONFLICT, "a transfer is under way");
    if (node_id == consensus->options.node_id ||
        !membership_has_voter(consensus_membership(consensus), node_id))
        return error_set(error, ERROR_INVALID, "node %llu is no other voter",
                         (unsigned long long)node_id);
    consensus->transfer = (struct transfer){
        .node_id = node_id,
        .due_ms = consensus->now_ms + consensus->options.election_ms,
    };
    handover_advance(consensus);
    return ERROR_NONE;
}

void consensus_step_down(struct consensus *consensus)
{
    if (consensus->state == CONSENSUS_LEADER)
        become_follower(consensus, consensus->term, 0);
}

void handover_advance(struct consensus *consensus)
{
    struct transfer *transfer = &consensus->transfer;
    if (transfer->node_id == 0)
        return;
    const struct progress *progress = progress_find(consensus, transfer->node_id);
    if (progress == NULL || consensus->now_ms >= transfer->due_ms) {
        *transfer = (struct transfer){0};
        return;
    }
    uint64_t last_index = consensus_log_last_index(&consensus->log);
    if (progress->matched_index != last_index)
        return;
    struct consensus_message message = {
        .type = CONSENSUS_TIMEOUT_NOW,
        .term = consensus->term,
        .timeout_now =
            {
                .last_index = last_index,
                .last_term = consensus_log_last_term(&consensus->log),
            },
    };
    (void)send_message(consensus, transfer->node_id, &message); /* again with the next tick */
}

/* --- Reads --------------------------------------------------------------------------------- */

enum error_code consensus_read_begin(struct consensus *consensus, uint64_t *round_out,
                                     uint64_t *index_out, struct error *error)
{
    enum error_code code = check_leader(consensus, error);
    if (code != ERROR_NONE)
        return code;
    if (!own_term_is_committed(consensus))
        return error_set(error, ERROR_UNAVAILABLE, "nothing of this term is committed yet");
    *round_out = ++consensus->round;
    *index_out = consensus->commit_index;
    heartbeat_all(consensus);
    return ERROR_NONE;
}
