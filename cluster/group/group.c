#include "group/group.h"

#include <assert.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "group_private.h"
#include "log_view.h"
#include "members.h"
#include "message.h"
#include "payload.h"

_Static_assert(sizeof(struct raft_apply) <= sizeof(((struct group_request *)0)->implementation),
               "a proposal fits into its request");
_Static_assert(sizeof(struct raft_barrier) <= sizeof(struct raft_apply), "so does a barrier");
_Static_assert(sizeof(struct raft_change) <= sizeof(struct raft_apply), "and a change");
_Static_assert(sizeof(struct raft_transfer) <= sizeof(struct raft_apply), "and a transfer");

/* --- Work for the loop --------------------------------------------------------------------- */

static void run_task(struct task *task);

void group_wake(struct group *group)
{
    if (group->task_queued)
        return;
    group->task_queued = true;
    group->task.run = run_task;
    scheduler_defer(group->host->options.environment->scheduler, &group->task);
}

void group_defer(struct group *group, struct group_deferred *deferred)
{
    deferred->next = NULL;
    *group->deferred_end = deferred;
    group->deferred_end = &deferred->next;
    group_wake(group);
}

void group_answer(struct group *group, struct group_request *request, enum group_outcome outcome)
{
    request->outcome = outcome;
    request->next = NULL;
    *group->answered_end = request;
    group->answered_end = &request->next;
    group_wake(group);
}

static void count_answer(struct group *group, const struct group_request *request)
{
    struct group_statistics *statistics = &group->host->statistics;
    if (request->payload_bytes == 0)
        return;
    assert(group->in_flight_bytes >= request->payload_bytes);
    group->in_flight_bytes -= request->payload_bytes;
    if (request->outcome != GROUP_OUTCOME_COMMITTED) {
        statistics->outcomes_unknown++;
        return;
    }
    uint64_t latency_ns =
        clock_monotonic_ns(group->host->options.environment->clock) - request->started_ns;
    statistics->commits++;
    statistics->commit_latency_ns_sum += latency_ns;
    if (latency_ns > statistics->commit_latency_ns_max)
        statistics->commit_latency_ns_max = latency_ns;
}

static void run_answers(struct group *group)
{
    while (group->answered != NULL) {
        struct group_request *request = group->answered;
        group->answered = request->next;
        if (group->answered == NULL)
            group->answered_end = &group->answered;
        count_answer(group, request);
        request->done(request, request->outcome);
    }
}

/* A leader whose state machine has not been given what was there before is none yet. */
static bool is_ready(const struct group *group)
{
    return group->phase == GROUP_PHASE_RUNNING && group->ready_term != 0 && !group->replaying;
}

/* Tell the owner when it differs from what it knows. */
static void announce_leadership(struct group *group)
{
    const struct state_machine_operations *operations = group->machine->operations;
    uint64_t ready_term = is_ready(group) ? group->ready_term : 0;
    if (group->announced_term != 0 && group->announced_term != ready_term) {
        uint64_t term = group->announced_term;
        group->announced_term = 0;
        operations->leader_stopped(group->machine, term);
    }
    if (group->announced_term == 0 && ready_term != 0) {
        group->announced_term = ready_term;
        operations->leader_started(group->machine, ready_term);
    }
}

static void run_task(struct task *task)
{
    struct group *group = (struct group *)((char *)task - offsetof(struct group, task));
    group->task_queued = false;

    struct group_deferred *deferred = group->deferred;
    group->deferred = NULL;
    group->deferred_end = &group->deferred;
    while (deferred != NULL) {
        struct group_deferred *next = deferred->next;
        deferred->run(group, deferred);
        deferred = next;
    }
    run_answers(group);
    announce_leadership(group);
    group_host_replay_drop(group->host);
    if (group->finished) {
        if (!group->task_queued && group->writes == NULL && group_replay_leave(group))
            group_free(group);
        return;
    }
    group_receive_parked(group);
}

/* --- After each step of consensus ---------------------------------------------------------- */

void group_stop(struct group *group, const struct error *error)
{
    if (group->phase == GROUP_PHASE_CREATED)
        group->failure = *error; /* for group_start to tell */
    if (group->phase != GROUP_PHASE_RUNNING && group->phase != GROUP_PHASE_REOPENING)
        return;
    group->phase = GROUP_PHASE_STOPPED;
    log_event(LOG_ERROR, "group", "consensus stopped", "group=%llu reason=%s message=\"%s\"",
              (unsigned long long)group->id, error_code_name(error->code), error->message);
    const struct group_host_options *options = &group->host->options;
    if (options->fatal == NULL)
        abort();
    options->fatal(options->fatal_context, group->id, error);
}

struct own_barrier {
    struct raft_barrier base;
    struct group *group;
    uint64_t term;
};

static void own_barrier_done(struct raft_barrier *base, int status)
{
    struct own_barrier *barrier = (struct own_barrier *)base;
    struct group *group = barrier->group;
    assert(group->own_barriers > 0);
    group->own_barriers--;
    if (status == 0 && group->leading_term == barrier->term && group->ready_term == 0) {
        group->ready_term = barrier->term;
        group_wake(group);
    }
    raft_free(barrier);
}

bool group_own_barrier(struct group *group)
{
    if (group->own_barriers > 0)
        return true; /* one will do */
    struct own_barrier *barrier = raft_malloc(sizeof *barrier);
    memset(barrier, 0, sizeof *barrier);
    barrier->group = group;
    barrier->term = group->raft.current_term;
    group->own_barriers++;
    if (raft_barrier(&group->raft, &barrier->base, own_barrier_done) == 0)
        return true;
    group->own_barriers--;
    raft_free(barrier);
    return false;
}

static void follow_leadership(struct group *group)
{
    struct raft *raft = &group->raft;
    struct group_statistics *statistics = &group->host->statistics;
    bool leads = raft->state == RAFT_LEADER;
    if (group->leading_term != 0 && (!leads || group->leading_term != raft->current_term)) {
        group->leading_term = 0;
        group->ready_term = 0;
        group->filter.barrier_index = 0;
        statistics->leaderships_lost++;
        group_wake(group);
    }
    if (!leads)
        return;
    if (group->leading_term == 0) {
        (void)filter_leader_without_election(group);
        group->leading_term = raft->current_term;
        statistics->elections_won++;
        if (!group_rule_on(group, RULE_OWN_TERM_FIRST)) {
            group->ready_term = raft->current_term;
            group_wake(group);
        }
    }
    /* Rule 2. The filter counts no acknowledgement before this barrier is stored. It is refused
     * while a transfer of a former leadership is not over; then a later step asks again. */
    uint64_t index = log_view_last_index(raft) + 1;
    if (group_rule_on(group, RULE_OWN_TERM_FIRST) && group->filter.barrier_index == 0 &&
        group_own_barrier(group))
        group->filter.barrier_index = index;
}

void group_after_step(struct group *group)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    struct raft *raft = &group->raft;
    if (raft->state == RAFT_UNAVAILABLE) {
        struct error error;
        error_set(&error, ERROR_UNAVAILABLE, "%s", raft_errmsg(raft));
        group_stop(group, &error);
        return;
    }
    follow_leadership(group);

    /* libraft checks the threshold after it applied something. */
    bool due = group->snapshot_wanted ||
               group->bytes_since_snapshot >= group->host->options.snapshot_log_bytes;
    raft_set_snapshot_threshold(raft, due ? 1 : UINT_MAX);
    if (group->parked != NULL)
        group_wake(group);
}

/* --- Life ---------------------------------------------------------------------------------- */

enum error_code group_create(struct group_host *host, const struct group_options *options,
                             struct state_machine *state_machine, struct group **group_out,
                             struct error *error)
{
    if (options->group_id == 0)
        return error_set(error, ERROR_INVALID, "group: id 0");
    for (struct group *other = host->groups; other != NULL; other = other->next) {
        if (other->id == options->group_id)
            return error_set(error, ERROR_EXISTS, "group %llu",
                             (unsigned long long)options->group_id);
    }
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "group");
    enum error_code code = members_to_configuration(options->founders, options->founder_count,
                                                    &group->founders, error);
    if (code != ERROR_NONE) {
        free(group);
        return error_wrap(error, "group %llu", (unsigned long long)options->group_id);
    }
    group->host = host;
    group->id = options->group_id;
    group->machine = state_machine;
    group->recovery = options->recovery;
    group->outbox_end = &group->outbox;
    group->deferred_end = &group->deferred;
    group->answered_end = &group->answered;
    group_io_init(group);
    group_machine_init(group);

    group->next = host->groups;
    host->groups = group;
    *group_out = group;
    return ERROR_NONE;
}

enum error_code group_start(struct group *group, struct error *error)
{
    assert(group->phase == GROUP_PHASE_CREATED && !group->initialized);
    enum error_code code = group_stored_read(group, error);
    if (code == ERROR_NONE)
        code = group_raft_start(group, error);
    group->recovery = NULL; /* what is replayed is read by the host's replay */
    if (code != ERROR_NONE) {
        group_stored_clear(group);
        if (group->failure.code != ERROR_NONE)
            *error = group->failure; /* libraft knows numbers only */
        return error_wrap(error, "group %llu", (unsigned long long)group->id);
    }
    group->phase = GROUP_PHASE_RUNNING;
    group_after_step(group);
    return ERROR_NONE;
}

static void raft_closed(struct raft *raft)
{
    group_finish_close(raft->data);
}

void group_finish_close(struct group *group)
{
    /* Consensus forgets a transfer that is under way when it closes. */
    if (group->transfer != NULL)
        group_answer(group, group->transfer, GROUP_OUTCOME_UNKNOWN);
    group->transfer = NULL;
    group->finished = true;
    group_wake(group);
}

void group_close(struct group *group, void (*closed)(void *context), void *context)
{
    assert(group->phase != GROUP_PHASE_CLOSING);
    group->phase = GROUP_PHASE_CLOSING;
    group->closed = closed;
    group->closed_context = context;
    group->ready_term = 0;
    if (group->parked != NULL) {
        message_clear(group->parked);
        raft_free(group->parked);
        group->parked = NULL;
    }
    if (!group->initialized)
        group_finish_close(group);
    else if (!group->consensus_closing) /* otherwise reopen_closed goes on */
        raft_close(&group->raft, raft_closed);
    if (group->host->journal_lost)
        group_writes_cancel(group);
}

void group_free(struct group *group)
{
    assert(group->writes == NULL && group->sends_in_flight == 0);
    struct group **link = &group->host->groups;
    while (*link != group)
        link = &(*link)->next;
    *link = group->next;

    void (*closed)(void *context) = group->closed;
    void *context = group->closed_context;
    group_stored_clear(group);
    outbox_clear(group);
    raft_configuration_close(&group->founders);
    raft_free(group->snapshot_bytes);
    free(group);
    closed(context);
}

/* --- Proposals ----------------------------------------------------------------------------- */

static enum error_code check_ready(struct group *group, struct error *error)
{
    assert(scheduler_on_loop(group->host->options.environment->scheduler));
    if (is_ready(group))
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

void group_snapshot_soon(struct group *group)
{
    group->snapshot_wanted = true;
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    group_after_step(group); /* arms */
    if (group->ready_term != 0)
        (void)group_own_barrier(group); /* or the next tick does */
}

void group_applied(struct group *group)
{
    group_replay_release(group);
}

/* --- State --------------------------------------------------------------------------------- */

void group_status(const struct group *group, struct group_status *status_out)
{
    static const enum group_state states[] = {
        [RAFT_UNAVAILABLE] = GROUP_STATE_UNAVAILABLE,
        [RAFT_FOLLOWER] = GROUP_STATE_FOLLOWER,
        [RAFT_CANDIDATE] = GROUP_STATE_CANDIDATE,
        [RAFT_LEADER] = GROUP_STATE_LEADER,
    };
    const struct raft *raft = &group->raft;
    bool running = group->phase == GROUP_PHASE_RUNNING;
    *status_out = (struct group_status){
        .state = running ? states[raft->state] : GROUP_STATE_UNAVAILABLE,
        .ready = is_ready(group),
        .replaying = group->replaying,
        .term = raft->current_term,
        .commit_index = raft->commit_index,
        .last_index = running ? log_view_last_index(raft) : 0,
        .stored_index = raft->last_stored,
        .delivered_index = group->delivered_index,
        .snapshot_index = group->snapshot.index,
        .frozen_index = group->snapshot.position.frozen_index,
        .in_flight_bytes = group->in_flight_bytes,
    };
    if (running) {
        status_out->log_bytes =
            log_view_bytes(raft, log_view_first_index(raft), log_view_last_index(raft));
        status_out->leader_id = raft->state == RAFT_LEADER ? raft->id
                                : raft->state == RAFT_FOLLOWER
                                    ? raft->follower_state.current_leader.id
                                    : 0;
    }
}

size_t group_members(const struct group *group, struct group_member *members_out)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return 0;
    return members_from_configuration(&group->raft.configuration, members_out);
}
