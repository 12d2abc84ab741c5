#include "group/group.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "group_private.h"

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
    return group->phase == GROUP_PHASE_RUNNING && group->ready_term != 0 && !group->replaying &&
           !group->install_in_flight;
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

/* Peers that need the state in place of the log. */
static void export_snapshots(struct group *group)
{
    size_t count = group->snapshots_asked_count;
    group->snapshots_asked_count = 0;
    for (size_t i = 0; i < count; i++)
        group_machine_export(group, group->snapshots_asked[i]);
}

static void run_task(struct task *task)
{
    struct group *group = (struct group *)((char *)task - offsetof(struct group, task));
    group->task_queued = false;
    if (group->phase == GROUP_PHASE_RUNNING) {
        struct consensus_status status;
        group_confirm_begin(group);
        consensus_flush(group->consensus);
        consensus_status(group->consensus, &status);
        group->flushed_index = status.commit_index;
        export_snapshots(group);
    }
    run_answers(group);
    announce_leadership(group);
    group_host_replay_drop(group->host);
    if (group->phase == GROUP_PHASE_CLOSING) {
        if (group->host->journal_lost)
            group_writes_cancel(group);
        if (!group->task_queued && group->writes == NULL && group->reads_in_flight == 0 &&
            group_replay_leave(group))
            group_free(group);
        return;
    }
    group_offer_try(group);
}

/* --- After each step of consensus ---------------------------------------------------------- */

/* Nothing is led or waited for any more: what is out is answered. */
static void group_leave_leadership(struct group *group)
{
    group->leading_term = 0;
    group->ready_term = 0;
    group_offer_drop(group);
    outbox_clear(group);
    while (group->pending != NULL) {
        struct group_request *request = group->pending;
        group->pending = request->next;
        group_answer(group, request, GROUP_OUTCOME_UNKNOWN);
    }
    group->pending_end = &group->pending;
    if (group->consensus != NULL)
        group_confirm_answer(group);
    if (group->transfer != NULL)
        group_answer(group, group->transfer, GROUP_OUTCOME_UNKNOWN);
    group->transfer = NULL;
    group_wake(group);
}

void group_stop(struct group *group, const struct error *error)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    group->phase = GROUP_PHASE_STOPPED;
    if (error->code == ERROR_CONFLICT) {
        log_event(LOG_WARNING, "group", "the group went on without this replica",
                  "group=%llu message=\"%s\"", (unsigned long long)group->id, error->message);
        group_leave_leadership(group);
        if (group->host->options.superseded != NULL)
            group->host->options.superseded(group->host->options.fatal_context, group->id, error);
        return;
    }
    log_event(LOG_ERROR, "group", "consensus stopped", "group=%llu reason=%s message=\"%s\"",
              (unsigned long long)group->id, error_code_name(error->code), error->message);
    const struct group_host_options *options = &group->host->options;
    if (options->fatal == NULL)
        abort();
    options->fatal(options->fatal_context, group->id, error);
}

static void answer_pending(struct group *group, const struct consensus_status *status)
{
    while (group->pending != NULL) {
        struct group_request *request = group->pending;
        /* Another leader may have put its own entry there and committed it, within one step. */
        bool committed = request->index <= status->commit_index &&
                         consensus_term_at(group->consensus, request->index) == request->term;
        if (!committed && group->leading_term == request->term)
            return;
        group->pending = request->next;
        if (group->pending == NULL)
            group->pending_end = &group->pending;
        group_answer(group, request, committed ? GROUP_OUTCOME_COMMITTED : GROUP_OUTCOME_UNKNOWN);
    }
}

static void answer_transfer(struct group *group, const struct consensus_status *status)
{
    if (group->transfer == NULL)
        return;
    bool leads = status->state == CONSENSUS_LEADER;
    bool is_over = leads ? !status->transferring : status->leader_id != 0;
    if (!is_over && group_now_ms(group) < group->transfer_due_ms)
        return;
    struct group_request *request = group->transfer;
    group->transfer = NULL;
    group_answer(group, request,
                 leads                                       ? GROUP_OUTCOME_FAILED
                 : status->leader_id == group->transfer_node ? GROUP_OUTCOME_COMMITTED
                                                             : GROUP_OUTCOME_UNKNOWN);
}

static void follow_leadership(struct group *group, const struct consensus_status *status)
{
    struct group_statistics *statistics = &group->host->statistics;
    bool leads = status->state == CONSENSUS_LEADER;
    if (group->leading_term != 0 && (!leads || group->leading_term != status->term)) {
        group->leading_term = 0;
        group->ready_term = 0;
        statistics->leaderships_lost++;
        group_wake(group);
    }
    if (!leads)
        return;
    if (group->leading_term == 0) {
        group->leading_term = status->term;
        statistics->elections_won++;
    }
    bool own_term_first =
        (group->host->options.unsafe_disabled_rules & (UINT32_C(1) << RULE_OWN_TERM_COMMITS)) == 0;
    if (group->ready_term == 0 && (status->commit_index >= status->own_index || !own_term_first)) {
        group->ready_term = status->term;
        group_wake(group);
    }
}

void group_after_step(struct group *group)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    const struct error *failure = consensus_failure(group->consensus);
    if (failure->code != ERROR_NONE) {
        group_stop(group, failure);
        return;
    }
    struct consensus_status status;
    consensus_status(group->consensus, &status);
    group_machine_deliver_committed(group);
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    follow_leadership(group, &status);
    answer_pending(group, &status);
    answer_transfer(group, &status);
    group_confirm_answer(group);
    group_machine_snapshot(group);
    if (status.state == CONSENSUS_LEADER && status.commit_index > group->flushed_index)
        group_wake(group); /* tells the followers */
}

/* --- Life ---------------------------------------------------------------------------------- */

enum error_code group_create(struct group_host *host, const struct group_options *options,
                             struct state_machine *state_machine, struct group **group_out,
                             struct error *error)
{
    if (options->group_id == 0)
        return error_set(error, ERROR_INVALID, "group: id 0");
    if (group_host_find(host, options->group_id) != NULL)
        return error_set(error, ERROR_EXISTS, "group %llu", (unsigned long long)options->group_id);
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "group");
    enum error_code code =
        membership_init(&group->founders, options->founders, options->founder_count, error);
    if (code != ERROR_NONE) {
        free(group);
        return error_wrap(error, "group %llu", (unsigned long long)options->group_id);
    }
    group->host = host;
    group->id = options->group_id;
    group->machine = state_machine;
    group->recovery = options->recovery;
    group->promise = options->promise;
    group->origin_index = options->origin_index;
    group->origin_state = options->origin_state;
    group->origin_bytes = options->origin_bytes;
    group->world.operations = &group_world_operations;
    group->outbox_end = &group->outbox;
    group->answered_end = &group->answered;
    group->pending_end = &group->pending;
    group->confirming_end = &group->confirming;

    group_host_add(host, group);
    *group_out = group;
    return ERROR_NONE;
}

enum error_code group_start(struct group *group, struct error *error)
{
    assert(group->phase == GROUP_PHASE_CREATED && group->consensus == NULL);
    enum error_code code = group_bring_up(group, error);
    if (code != ERROR_NONE) {
        consensus_destroy(group->consensus);
        group->consensus = NULL;
        return error_wrap(error, "group %llu", (unsigned long long)group->id);
    }
    group->recovery = NULL; /* what is replayed is read by the host's replay */
    group->origin_state = NULL;
    group_after_step(group);
    return ERROR_NONE;
}

struct consensus_promise group_promise(const struct group *group)
{
    return group->consensus == NULL ? group->promise : consensus_promise(group->consensus);
}

void group_close(struct group *group, void (*closed)(void *context), void *context)
{
    assert(group->phase != GROUP_PHASE_CLOSING);
    group->phase = GROUP_PHASE_CLOSING;
    group->closed = closed;
    group->closed_context = context;
    group_leave_leadership(group);
}

void group_free(struct group *group)
{
    assert(group->writes == NULL);
    group_host_remove(group->host, group);
    void (*closed)(void *context) = group->closed;
    void *context = group->closed_context;
    outbox_clear(group);
    group_past_clear(group);
    consensus_destroy(group->consensus);
    free(group->snapshot_bytes);
    free(group);
    closed(context);
}

/* --- Asked by the owner --------------------------------------------------------------------- */

void group_snapshot_soon(struct group *group)
{
    group->snapshot_wanted = true;
    group_after_step(group);
}

void group_applied(struct group *group)
{
    group_replay_release(group);
    if (group->offer.bytes != NULL)
        group_wake(group);
}

/* --- State --------------------------------------------------------------------------------- */

void group_status(const struct group *group, struct group_status *status_out)
{
    static const enum group_state states[] = {
        [CONSENSUS_FOLLOWER] = GROUP_STATE_FOLLOWER,
        [CONSENSUS_CANDIDATE] = GROUP_STATE_CANDIDATE,
        [CONSENSUS_LEADER] = GROUP_STATE_LEADER,
    };
    struct consensus_status status = {0};
    if (group->consensus != NULL)
        consensus_status(group->consensus, &status);
    bool running = group->phase == GROUP_PHASE_RUNNING;
    *status_out = (struct group_status){
        .state = running ? states[status.state] : GROUP_STATE_UNAVAILABLE,
        .ready = group_is_ready(group),
        .replaying = group->replaying,
        .installing = group->offer.bytes != NULL || group->install_in_flight,
        .term = status.term,
        .leader_id = running ? status.leader_id : 0,
        .leader_heard_ms = status.leader_heard_ms,
        .commit_index = status.commit_index,
        .is_current = running && !group->replaying && !group->install_in_flight &&
                      status.told_is_new && group->handled_index >= status.told_index,
        .transferring = running && status.transferring,
        .is_changing = running && status.membership_index > status.commit_index,
        .is_superseded = group->phase == GROUP_PHASE_STOPPED &&
                         consensus_failure(group->consensus)->code == ERROR_CONFLICT,
        .last_index = running ? status.last_index : 0,
        .last_term = running ? consensus_term_at(group->consensus, status.last_index) : 0,
        .told_index = running ? status.told_index : 0,
        .stored_index = status.stored_index,
        .delivered_index = group->delivered_index,
        .snapshot_index = group->snapshot.index,
        .frozen_index = group->snapshot.position.frozen_index,
        .in_flight_bytes = group->in_flight_bytes,
        .log_bytes = running ? status.log_bytes : 0,
    };
}

size_t group_members(const struct group *group, struct consensus_member *members_out)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return 0;
    const struct membership *membership = consensus_membership(group->consensus);
    for (size_t i = 0; i < membership->count; i++)
        members_out[i] = membership->members[i];
    return membership->count;
}

/* Log after an index; what is not in memory is taken for as much an entry as what is. */
static uint64_t bytes_after(const struct group *group, const struct consensus_status *status,
                            uint64_t index)
{
    const struct consensus *consensus = group->consensus;
    if (index >= status->last_index)
        return 0;
    if (index >= status->base_index)
        return consensus_bytes(consensus, index, status->last_index);
    uint64_t entries = status->last_index - status->base_index;
    uint64_t mean = entries == 0 ? 0 : status->log_bytes / entries;
    return status->log_bytes + (status->base_index - index) * (mean + 1);
}

size_t group_peers(const struct group *group, struct group_peer *peers_out)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return 0;
    struct consensus_status status;
    consensus_status(group->consensus, &status);
    if (status.state != CONSENSUS_LEADER)
        return 0;
    const struct membership *membership = consensus_membership(group->consensus);
    for (size_t i = 0; i < membership->count; i++) {
        const struct consensus_member *member = &membership->members[i];
        struct consensus_peer peer = {0};
        bool is_self = member->node_id == group->host->options.node_id;
        peers_out[i] = (struct group_peer){.node_id = member->node_id, .role = member->role};
        if (is_self)
            peer.matched_index = status.last_index;
        else if (consensus_peer(group->consensus, member->node_id, &peer))
            peers_out[i].is_heard =
                group_now_ms(group) - peer.answered_ms < group->host->options.election_ms;
        peers_out[i].is_heard |= is_self;
        peers_out[i].is_installing = peer.is_installing;
        peers_out[i].matched_index = peer.matched_index;
        peers_out[i].lacks_state = peer.is_installing || peer.matched_index == 0 ||
                                   peer.matched_index < group->snapshot.position.frozen_index;
        peers_out[i].bytes_behind = bytes_after(group, &status, peer.matched_index);
    }
    return membership->count;
}
