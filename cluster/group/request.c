/*
 * request - what is asked of a leader: proposals, barriers, changes of members, a transfer. Each is
 * refused at once or answered from the loop.
 */
#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "group_private.h"
#include "payload.h"

/* --- Proposals ----------------------------------------------------------------------------- */

static enum error_code not_leader(const struct group *group, struct error *error)
{
    return error_set(error, ERROR_UNAVAILABLE, "group %llu: not the leader",
                     (unsigned long long)group->id);
}

static enum error_code check_ready(struct group *group, struct error *error)
{
    assert(scheduler_on_loop(group->host->options.environment->scheduler));
    return group_is_ready(group) ? ERROR_NONE : not_leader(group, error);
}

static void begin(struct group *group, struct group_request *request, size_t payload_bytes)
{
    request->group = group;
    request->next = NULL;
    request->index = 0;
    request->payload_bytes = payload_bytes;
    request->started_ns = clock_monotonic_ns(group->host->options.environment->clock);
}

/* Answered when the entry at `index` is committed, or may never be. */
static void await(struct group *group, struct group_request *request, uint64_t index)
{
    request->index = index;
    request->term = group->leading_term;
    *group->pending_end = request;
    group->pending_end = &request->next;
    group_after_step(group);
}

static enum error_code check_room(struct group *group, const struct group_request *request,
                                  size_t size_bytes, struct error *error)
{
    const struct journal *journal = group->host->options.journal;
    if (request->space == GROUP_SPARES_RESERVE && journal_space(journal) != JOURNAL_SPACE_OK)
        return error_set(error, ERROR_NO_SPACE, "group %llu: the disk is full",
                         (unsigned long long)group->id);
    if (!journal_has_room(journal, size_bytes))
        return error_set(error, ERROR_LIMIT, "group %llu: the journal's queue is full",
                         (unsigned long long)group->id);
    /* One is taken however large it is. */
    if (group->in_flight_bytes > 0 &&
        group->in_flight_bytes + size_bytes > group->host->options.in_flight_bytes_max)
        return error_set(error, ERROR_LIMIT, "group %llu: %zu bytes in flight",
                         (unsigned long long)group->id, group->in_flight_bytes);
    return ERROR_NONE;
}

enum error_code group_propose(struct group *group, struct group_request *request, uint8_t *payload,
                              struct error *error)
{
    struct group_statistics *statistics = &group->host->statistics;
    size_t size_bytes;
    struct consensus_batch *batch = payload_batch(payload, &size_bytes);
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE) {
        statistics->proposals_refused_not_leader++;
        return code;
    }
    code = check_room(group, request, size_bytes, error);
    if (code != ERROR_NONE) {
        statistics->proposals_refused_limit++;
        return code;
    }
    uint64_t index =
        consensus_propose(group->consensus, CONSENSUS_COMMAND, batch, batch->bytes, size_bytes);
    if (index == 0) {
        statistics->proposals_refused_not_leader++;
        return not_leader(group, error);
    }
    consensus_batch_unref(batch); /* the log has a reference */
    begin(group, request, size_bytes);
    group->in_flight_bytes += size_bytes;
    statistics->proposals++;
    await(group, request, index);
    return ERROR_NONE;
}

enum error_code group_barrier(struct group *group, struct group_request *request,
                              struct error *error)
{
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE)
        return code;
    uint64_t index = consensus_propose(group->consensus, CONSENSUS_BARRIER, NULL, NULL, 0);
    if (index == 0)
        return not_leader(group, error);
    begin(group, request, 0);
    await(group, request, index);
    return ERROR_NONE;
}

/* --- Reads --------------------------------------------------------------------------------- */

enum error_code group_confirm_lead(struct group *group, struct group_request *request,
                                   struct error *error)
{
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE)
        return code;
    begin(group, request, 0);
    request->round = 0;
    request->term = group->leading_term;
    *group->confirming_end = request;
    group->confirming_end = &request->next;
    group->confirmation_wanted = true;
    group_wake(group);
    return ERROR_NONE;
}

void group_confirm_begin(struct group *group)
{
    struct error error;
    uint64_t round, index;
    if (!group->confirmation_wanted)
        return;
    group->confirmation_wanted = false;
    if (consensus_read_begin(group->consensus, &round, &index, &error) == ERROR_NONE)
        for (struct group_request *request = group->confirming; request != NULL;
             request = request->next)
            if (request->round == 0) {
                request->round = round;
                request->index = index;
            }
    group_after_step(group);
}

void group_confirm_answer(struct group *group)
{
    uint64_t round = consensus_read_round(group->consensus);
    while (group->confirming != NULL) {
        struct group_request *request = group->confirming;
        bool still_leads = request->term == group->leading_term;
        bool is_confirmed = still_leads && request->round != 0 && request->round <= round;
        if (!is_confirmed && still_leads)
            return;
        group->confirming = request->next;
        if (group->confirming == NULL)
            group->confirming_end = &group->confirming;
        group_answer(group, request, is_confirmed ? GROUP_OUTCOME_COMMITTED : GROUP_OUTCOME_FAILED);
    }
}

/* --- Members ------------------------------------------------------------------------------- */

static enum error_code add_member(const struct group_change *change, struct membership *membership,
                                  struct error *error)
{
    if (membership_find(membership, change->node_id) != NULL)
        return error_set(error, ERROR_INVALID, "node %llu is a member",
                         (unsigned long long)change->node_id);
    struct consensus_member member = {
        .node_id = change->node_id,
        .role = CONSENSUS_ROLE_SPARE,
    };
    if (change->address == NULL || snprintf(member.address, sizeof member.address, "%s",
                                            change->address) >= (int)sizeof member.address)
        return error_set(error, ERROR_INVALID, "address of node %llu",
                         (unsigned long long)change->node_id);
    return membership_set(membership, &member, error);
}

static enum error_code change_member(const struct group_change *change,
                                     struct membership *membership, struct error *error)
{
    const struct consensus_member *known = membership_find(membership, change->node_id);
    if (known == NULL)
        return error_set(error, ERROR_INVALID, "node %llu is no member",
                         (unsigned long long)change->node_id);
    if (change->kind == GROUP_CHANGE_REMOVE) {
        (void)membership_remove(membership, change->node_id);
        return ERROR_NONE;
    }
    if (known->role == change->role)
        return error_set(error, ERROR_INVALID, "node %llu has this role",
                         (unsigned long long)change->node_id);
    struct consensus_member member = *known;
    member.role = change->role;
    return membership_set(membership, &member, error);
}

/* A vote for who is far behind, or not there at all, could stop the group: until it caught up
 * nothing would be committed without it. */
static enum error_code check_promotion(const struct group *group, const struct group_change *change,
                                       struct error *error)
{
    if (change->kind != GROUP_CHANGE_ASSIGN || change->role != CONSENSUS_ROLE_VOTER ||
        change->node_id == group->host->options.node_id)
        return ERROR_NONE;
    struct consensus_peer peer;
    struct consensus_status status;
    consensus_status(group->consensus, &status);
    if (consensus_peer(group->consensus, change->node_id, &peer) && !peer.is_installing &&
        peer.matched_index > 0 &&
        group_now_ms(group) - peer.answered_ms < group->host->options.election_ms &&
        consensus_bytes(group->consensus, peer.matched_index, status.last_index) <=
            group->host->options.snapshot_log_bytes &&
        peer.matched_index >= status.base_index)
        return ERROR_NONE;
    return error_set(error, ERROR_UNAVAILABLE, "node %llu has not caught up yet",
                     (unsigned long long)change->node_id);
}

enum error_code group_change_members(struct group *group, struct group_request *request,
                                     const struct group_change *change, struct error *error)
{
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE)
        return code;
    /* Who leads hands over first, so that a vote is never taken from the one that counts them. */
    bool keeps_vote = change->kind == GROUP_CHANGE_ADD ||
                      (change->kind == GROUP_CHANGE_ASSIGN && change->role == CONSENSUS_ROLE_VOTER);
    if (change->node_id == group->host->options.node_id && !keeps_vote)
        return error_set(error, ERROR_INVALID, "group %llu: transfer leadership first",
                         (unsigned long long)group->id);
    struct membership membership = *consensus_membership(group->consensus);
    uint64_t index = 0;
    code = change->kind == GROUP_CHANGE_ADD ? add_member(change, &membership, error)
                                            : change_member(change, &membership, error);
    if (code == ERROR_NONE)
        code = check_promotion(group, change, error);
    if (code == ERROR_NONE)
        code = consensus_change(group->consensus, &membership, &index, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "group %llu", (unsigned long long)group->id);
    begin(group, request, 0);
    await(group, request, index);
    return ERROR_NONE;
}

/* --- Force -------------------------------------------------------------------------------------
 */

enum error_code group_force_membership(struct group *group, const struct group_force *position,
                                       struct error *error)
{
    struct group_status status;
    group_status(group, &status);
    if (group->phase != GROUP_PHASE_RUNNING || status.replaying || status.installing)
        return error_set(error, ERROR_UNAVAILABLE, "group %llu: not ready for it",
                         (unsigned long long)group->id);
    if (status.last_index != position->last_index || status.last_term != position->last_term)
        return error_set(error, ERROR_CONFLICT, "group %llu: its log ends at %llu by now",
                         (unsigned long long)group->id, (unsigned long long)status.last_index);
    uint64_t node_id = group->host->options.node_id, index;
    const struct consensus_member *known =
        membership_find(consensus_membership(group->consensus), node_id);
    if (known == NULL)
        return error_set(error, ERROR_INVALID, "group %llu: this node is no member",
                         (unsigned long long)group->id);
    struct consensus_member member = *known;
    member.role = CONSENSUS_ROLE_VOTER;
    enum error_code code = consensus_force_membership(group->consensus, group_now_ms(group),
                                                      position->seen_term, &member, &index, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "group %llu", (unsigned long long)group->id);
    log_event(LOG_WARNING, "group", "this replica goes on alone, as an operator has said",
              "group=%llu index=%llu", (unsigned long long)group->id, (unsigned long long)index);
    group_after_step(group);
    return ERROR_NONE;
}

/* --- Leadership ---------------------------------------------------------------------------- */

enum error_code group_transfer(struct group *group, struct group_request *request, uint64_t node_id,
                               struct error *error)
{
    enum error_code code = check_ready(group, error);
    if (code == ERROR_NONE && group->transfer != NULL)
        code = error_set(error, ERROR_CONFLICT, "a transfer is under way");
    if (code == ERROR_NONE)
        code = consensus_transfer(group->consensus, node_id, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "group %llu", (unsigned long long)group->id);
    begin(group, request, 0);
    group->transfer = request;
    group->transfer_node = node_id;
    group->transfer_due_ms = group_now_ms(group) + 2 * group->host->options.election_ms;
    group_after_step(group);
    return ERROR_NONE;
}

void group_step_down(struct group *group)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    consensus_step_down(group->consensus);
    group_after_step(group);
}
