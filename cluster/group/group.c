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
bool group_is_ready(const struct group *group)
{
    return group->phase == GROUP_PHASE_RUNNING && group->ready_term != 0 && !group->replaying;
}

/* Tell the owner when it differs from what it knows. */
static void announce_leadership(struct group *group)
{
    const struct state_machine_operations *operations = group->machine->operations;
    uint64_t ready_term = group_is_ready(group) ? group->ready_term : 0;
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

/* --- Asked by the owner --------------------------------------------------------------------- */

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
        .ready = group_is_ready(group),
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
