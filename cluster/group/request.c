/*
 * request - what is asked of a leader: proposals, barriers, changes of members, a transfer. Each is
 * refused at once or answered from the loop.
 */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "group_private.h"
#include "members.h"
#include "payload.h"

_Static_assert(sizeof(struct raft_apply) <= sizeof(((struct group_request *)0)->implementation),
               "a proposal fits into its request");
_Static_assert(sizeof(struct raft_barrier) <= sizeof(struct raft_apply), "so does a barrier");
_Static_assert(sizeof(struct raft_change) <= sizeof(struct raft_apply), "and a change");
_Static_assert(sizeof(struct raft_transfer) <= sizeof(struct raft_apply), "and a transfer");

/* --- Proposals ----------------------------------------------------------------------------- */

static enum error_code check_ready(struct group *group, struct error *error)
{
    assert(scheduler_on_loop(group->host->options.environment->scheduler));
    if (group_is_ready(group))
        return ERROR_NONE;
    return error_set(error, ERROR_UNAVAILABLE, "group %llu: not the leader",
                     (unsigned long long)group->id);
}

static void begin(struct group *group, struct group_request *request, size_t payload_bytes)
{
    request->group = group;
    request->next = NULL;
    request->index = 0;
    request->payload_bytes = payload_bytes;
    request->started_ns = clock_monotonic_ns(group->host->options.environment->clock);
    memset(request->implementation, 0, sizeof request->implementation);
}

static struct group_request *request_of(void *implementation)
{
    return (struct group_request *)((char *)implementation -
                                    offsetof(struct group_request, implementation));
}

static enum error_code refused(struct group *group, int result, struct error *error)
{
    switch (result) {
    case RAFT_NOTLEADER:
        return error_set(error, ERROR_UNAVAILABLE, "group %llu: not the leader",
                         (unsigned long long)group->id);
    case RAFT_CANTCHANGE:
        return error_set(error, ERROR_CONFLICT, "group %llu: a change is under way",
                         (unsigned long long)group->id);
    default:
        return error_set(error, ERROR_INVALID, "group %llu: %s", (unsigned long long)group->id,
                         raft_strerror(result));
    }
}

static void apply_done(struct raft_apply *apply, int status, void *result)
{
    (void)result;
    struct group_request *request = request_of(apply);
    request->index = apply->index;
    group_answer(request->group, request,
                 status == 0 ? GROUP_OUTCOME_COMMITTED : GROUP_OUTCOME_UNKNOWN);
}

enum error_code group_propose(struct group *group, struct group_request *request, uint8_t *payload,
                              struct error *error)
{
    struct group_statistics *statistics = &group->host->statistics;
    struct raft_buffer buffer = payload_to_buffer(payload);
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE) {
        statistics->proposals_refused_not_leader++;
        return code;
    }
    const struct journal *journal = group->host->options.journal;
    if (request->space == GROUP_SPARES_RESERVE && journal_space(journal) != JOURNAL_SPACE_OK) {
        statistics->proposals_refused_limit++;
        return error_set(error, ERROR_NO_SPACE, "group %llu: the disk is full",
                         (unsigned long long)group->id);
    }
    if (!journal_has_room(journal, buffer.len)) {
        statistics->proposals_refused_limit++;
        return error_set(error, ERROR_LIMIT, "group %llu: the journal's queue is full",
                         (unsigned long long)group->id);
    }
    /* One is taken however large it is. */
    if (group->in_flight_bytes > 0 &&
        group->in_flight_bytes + buffer.len > group->host->options.in_flight_bytes_max) {
        statistics->proposals_refused_limit++;
        return error_set(error, ERROR_LIMIT, "group %llu: %zu bytes in flight",
                         (unsigned long long)group->id, group->in_flight_bytes);
    }
    begin(group, request, buffer.len);
    /* One entry a request: libraft answers a request of several at the first of them. */
    int result = raft_apply(&group->raft, (struct raft_apply *)request->implementation, &buffer, 1,
                            apply_done);
    if (result != 0) {
        statistics->proposals_refused_not_leader++;
        return refused(group, result, error);
    }
    group->in_flight_bytes += buffer.len;
    statistics->proposals++;
    group_after_step(group);
    return ERROR_NONE;
}

static void barrier_done(struct raft_barrier *barrier, int status)
{
    struct group_request *request = request_of(barrier);
    request->index = barrier->index;
    group_answer(request->group, request,
                 status == 0 ? GROUP_OUTCOME_COMMITTED : GROUP_OUTCOME_UNKNOWN);
}

enum error_code group_barrier(struct group *group, struct group_request *request,
                              struct error *error)
{
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE)
        return code;
    begin(group, request, 0);
    int result =
        raft_barrier(&group->raft, (struct raft_barrier *)request->implementation, barrier_done);
    if (result != 0)
        return refused(group, result, error);
    group_after_step(group);
    return ERROR_NONE;
}

/* --- Members ------------------------------------------------------------------------------- */

static void change_done(struct raft_change *change, int status)
{
    struct group_request *request = request_of(change);
    request->index = status == 0 ? request->group->raft.configuration_index : 0;
    bool unknown = status == RAFT_LEADERSHIPLOST || status == RAFT_SHUTDOWN;
    group_answer(request->group, request,
                 status == 0 ? GROUP_OUTCOME_COMMITTED
                 : unknown   ? GROUP_OUTCOME_UNKNOWN
                             : GROUP_OUTCOME_FAILED);
}

enum error_code group_change_members(struct group *group, struct group_request *request,
                                     const struct group_change *change, struct error *error)
{
    /* Ready means that the barrier of this term is applied: the flaw of single-server changes
     * that a former leader's uncommitted one leaves is excluded by that. */
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE)
        return code;
    struct raft *raft = &group->raft;
    if (raft->configuration_uncommitted_index != 0 || raft->leader_state.change != NULL)
        return refused(group, RAFT_CANTCHANGE, error);
    /* A leader without a vote in its latest membership could not ask for votes after a crash. */
    bool keeps_vote = change->kind == GROUP_CHANGE_ADD ||
                      (change->kind == GROUP_CHANGE_ASSIGN && change->role == GROUP_ROLE_VOTER);
    if (change->node_id == raft->id && !keeps_vote)
        return error_set(error, ERROR_INVALID, "group %llu: transfer leadership first",
                         (unsigned long long)group->id);
    begin(group, request, 0);
    struct raft_change *base = (struct raft_change *)request->implementation;
    int result = RAFT_INVALID;
    switch (change->kind) {
    case GROUP_CHANGE_ADD:
        if (raft->configuration.n >= GROUP_MEMBERS_MAX || change->node_id == 0 ||
            change->address == NULL || change->address[0] == '\0' ||
            strlen(change->address) > GROUP_ADDRESS_BYTES_MAX)
            return error_set(error, ERROR_INVALID, "group %llu: member %llu",
                             (unsigned long long)group->id, (unsigned long long)change->node_id);
        result = raft_add(raft, base, change->node_id, change->address, change_done);
        break;
    case GROUP_CHANGE_ASSIGN:
        if (change->role <= GROUP_ROLE_SPARE)
            result = raft_assign(raft, base, change->node_id, members_role_to_raft(change->role),
                                 change_done);
        break;
    case GROUP_CHANGE_REMOVE:
        result = raft_remove(raft, base, change->node_id, change_done);
        break;
    }
    if (result != 0)
        return refused(group, result, error);
    group_after_step(group);
    return ERROR_NONE;
}

static void transfer_done(struct raft_transfer *transfer)
{
    struct group_request *request = request_of(transfer);
    struct group *group = request->group;
    raft_id leader = 0;
    const char *address;
    if (group->raft.state != RAFT_UNAVAILABLE)
        raft_leader(&group->raft, &leader, &address);
    group->transfer = NULL;
    group_answer(group, request,
                 leader == transfer->id             ? GROUP_OUTCOME_COMMITTED
                 : group->raft.state == RAFT_LEADER ? GROUP_OUTCOME_FAILED
                                                    : GROUP_OUTCOME_UNKNOWN);
}

enum error_code group_transfer(struct group *group, struct group_request *request, uint64_t node_id,
                               struct error *error)
{
    enum error_code code = check_ready(group, error);
    if (code != ERROR_NONE)
        return code;
    if (group->transfer != NULL)
        return error_set(error, ERROR_CONFLICT, "group %llu: a transfer is under way",
                         (unsigned long long)group->id);
    if (node_id == 0)
        return refused(group, RAFT_BADID, error);
    begin(group, request, 0);
    group->transfer = request;
    int result = raft_transfer(&group->raft, (struct raft_transfer *)request->implementation,
                               node_id, transfer_done);
    if (result != 0) {
        group->transfer = NULL;
        return refused(group, result, error);
    }
    group_after_step(group);
    return ERROR_NONE;
}
