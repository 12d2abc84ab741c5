#include "consensus_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- Memberships --------------------------------------------------------------------------- */

const struct consensus_members *membership_newest(const struct consensus *consensus)
{
    return &consensus->memberships[consensus->membership_count - 1];
}

bool membership_is_uncommitted(const struct consensus *consensus)
{
    return membership_newest(consensus)->index > consensus->commit_index;
}

static bool membership_push(struct consensus *consensus, uint64_t index,
                            const struct membership *membership)
{
    if (consensus->membership_count == consensus->membership_capacity) {
        size_t capacity = consensus->membership_capacity * 2 + 1;
        struct consensus_members *memberships =
            realloc(consensus->memberships, capacity * sizeof *memberships);
        if (memberships == NULL)
            return false;
        consensus->memberships = memberships;
        consensus->membership_capacity = capacity;
    }
    consensus->memberships[consensus->membership_count++] =
        (struct consensus_members){.index = index, .membership = *membership};
    return true;
}

/* Those that were replaced at or before low_index are history. */
static void memberships_forget(struct consensus *consensus)
{
    size_t gone = 0;
    uint64_t base_index = consensus->log.base_index;
    uint64_t index = consensus->low_index < base_index ? consensus->low_index : base_index;
    while (gone + 1 < consensus->membership_count &&
           consensus->memberships[gone + 1].index <= index)
        gone++;
    consensus->membership_count -= gone;
    memmove(consensus->memberships, consensus->memberships + gone,
            consensus->membership_count * sizeof *consensus->memberships);
}

/* --- Log ----------------------------------------------------------------------------------- */

enum error_code log_take(struct consensus *consensus, const struct consensus_entry *entry,
                         uint64_t write, struct error *error)
{
    uint64_t index = consensus_log_last_index(&consensus->log) + 1;
    bool is_membership = entry->kind == CONSENSUS_MEMBERSHIP;
    if (entry->term == 0 || entry->term < consensus_log_last_term(&consensus->log))
        return error_set(error, ERROR_CORRUPT, "entry %llu goes back to term %llu",
                         (unsigned long long)index, (unsigned long long)entry->term);
    if (is_membership) {
        struct membership membership;
        struct byte_reader reader = byte_reader_over(entry->bytes, entry->size_bytes);
        enum error_code code = membership_decode(&reader, &membership, error);
        if (code != ERROR_NONE)
            return error_wrap(error, "entry %llu", (unsigned long long)index);
        if (!membership_push(consensus, index, &membership))
            return error_set(error, ERROR_OUT_OF_MEMORY, "members");
    }
    if (!consensus_log_append(&consensus->log, entry, write)) {
        consensus->membership_count -= is_membership;
        return error_set(error, ERROR_OUT_OF_MEMORY, "log");
    }
    return ERROR_NONE;
}

void log_cut(struct consensus *consensus, uint64_t index)
{
    assert(index > consensus->commit_index);
    consensus_log_truncate(&consensus->log, index);
    while (consensus->membership_count > 1 && membership_newest(consensus)->index >= index &&
           rule_on(consensus, RULE_MEMBERSHIP_ROLLS_BACK))
        consensus->membership_count--;
    if (consensus->stored_index >= index && rule_on(consensus, RULE_TRUNCATION_VOIDS_WRITES))
        consensus->stored_index = index - 1;
}

void commit_to(struct consensus *consensus, uint64_t index)
{
    assert(index <= consensus_log_last_index(&consensus->log));
    if (index > consensus->commit_index)
        consensus->commit_index = index;
}

void consensus_compact(struct consensus *consensus, uint64_t index)
{
    if (index > consensus->commit_index)
        index = consensus->commit_index;
    if (index > consensus->stored_index)
        index = consensus->stored_index;
    if (index <= consensus->log.base_index)
        return;
    consensus_log_compact(&consensus->log, index);
    consensus_log_forget(&consensus->log, consensus->low_index);
    memberships_forget(consensus);
}

void consensus_forget(struct consensus *consensus, uint64_t index)
{
    consensus_log_forget(&consensus->log, index);
    if (index > consensus->low_index)
        consensus->low_index = index;
    memberships_forget(consensus);
}

/* Before those that are known, as far as they are older. */
static bool memberships_recall(struct consensus *consensus,
                               const struct consensus_members *memberships, size_t count)
{
    while (count > 0 && memberships[count - 1].index >= consensus->memberships[0].index)
        count--;
    size_t total = consensus->membership_count + count;
    struct consensus_members *all = malloc(total * sizeof *all);
    if (all == NULL)
        return false;
    if (count > 0)
        memcpy(all, memberships, count * sizeof *all);
    memcpy(all + count, consensus->memberships, consensus->membership_count * sizeof *all);
    free(consensus->memberships);
    consensus->memberships = all;
    consensus->membership_count = consensus->membership_capacity = total;
    return true;
}

void consensus_recall(struct consensus *consensus, const struct consensus_past *past)
{
    if (consensus->log.term_count > 0 || past->index >= consensus->low_index ||
        consensus->low_index != consensus->log.base_index)
        return;
    /* Members that can't be told are asked for by nobody: the terms alone are good, too. */
    (void)memberships_recall(consensus, past->memberships, past->membership_count);
    if (consensus_log_recall(&consensus->log, past->terms, past->term_count))
        consensus->low_index = past->index;
}

bool consensus_install(struct consensus *consensus, const struct consensus_install *install)
{
    if (consensus->failure.code != ERROR_NONE || consensus->state == CONSENSUS_LEADER)
        return false;
    if (rule_on(consensus, RULE_INSTALL_WHEN_BEHIND)) {
        if (install->index <= consensus->commit_index)
            return false;
        if (consensus_log_term(&consensus->log, install->index) == install->term) {
            commit_to(consensus, install->index);
            return false;
        }
    }
    consensus_log_clear(&consensus->log);
    consensus_log_init(&consensus->log, install->index, install->term);
    consensus->low_index = install->index;
    consensus->membership_count = 0;
    bool pushed = membership_push(consensus, install->membership_index, install->membership);
    assert(pushed); /* there is room for one, always */
    (void)pushed;
    consensus->base_write = ++consensus->writes_begun;
    /* Until the snapshot is durable the disk has the log before it, as far as that was committed.
     */
    if (consensus->stored_index > consensus->commit_index)
        consensus->stored_index = consensus->commit_index;
    consensus->commit_index = install->index;
    consensus->matched_index = install->index;
    return true;
}

/* --- Life ---------------------------------------------------------------------------------- */

enum error_code consensus_create(const struct consensus_options *options,
                                 const struct consensus_stored *stored,
                                 struct consensus **consensus_out, struct error *error)
{
    assert(options->node_id > 0 && options->heartbeat_ms < options->election_ms);
    struct consensus *consensus = calloc(1, sizeof *consensus);
    if (consensus == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "consensus");
    static const struct membership none = {0};
    if (!membership_push(consensus, stored->membership_index,
                         stored->membership == NULL ? &none : stored->membership)) {
        free(consensus);
        return error_set(error, ERROR_OUT_OF_MEMORY, "consensus");
    }
    consensus->options = *options;
    consensus->term = stored->term;
    consensus->vote = stored->vote;
    consensus->promise = stored->promise;
    if (stored->promise.term > stored->term ||
        (stored->promise.term == stored->term && stored->vote == 0 && stored->promise.vote != 0)) {
        consensus->term = stored->promise.term;
        consensus->vote = stored->promise.vote;
        consensus->must_store_term = true;
    }
    consensus_log_init(&consensus->log, stored->snapshot_index, stored->snapshot_term);
    consensus->low_index = stored->snapshot_index;
    consensus->stored_index = stored->snapshot_index;
    consensus->commit_index = stored->snapshot_index;
    consensus->matched_index = stored->snapshot_index;
    *consensus_out = consensus;
    return ERROR_NONE;
}

void consensus_destroy(struct consensus *consensus)
{
    if (consensus == NULL)
        return;
    consensus_log_clear(&consensus->log);
    free(consensus->memberships);
    free(consensus->scratch);
    free(consensus);
}

struct consensus_promise consensus_promise(const struct consensus *consensus)
{
    struct consensus_promise promise = {
        .term = consensus->term,
        .vote = consensus->vote,
        .last_term = consensus_log_last_term(&consensus->log),
        .last_index = consensus_log_last_index(&consensus->log),
    };
    if (!keeps_promise(consensus, promise.last_term, promise.last_index)) {
        promise.last_term = consensus->promise.last_term;
        promise.last_index = consensus->promise.last_index;
    }
    return promise;
}

enum error_code consensus_load(struct consensus *consensus, const struct consensus_entry *entry,
                               struct error *error)
{
    assert(!consensus->started);
    enum error_code code = log_take(consensus, entry, 0, error);
    if (code == ERROR_NONE)
        consensus->stored_index = consensus_log_last_index(&consensus->log);
    return code;
}

void consensus_start(struct consensus *consensus, uint64_t now_ms)
{
    const struct membership *membership = &membership_newest(consensus)->membership;
    consensus->started = true;
    consensus->now_ms = now_ms;
    election_restart_timer(consensus);
    if (consensus->must_store_term) {
        struct consensus_world *world = consensus->options.world;
        world->operations->store_metadata(world, consensus->term, consensus->vote);
    }
    if (membership_voter_count(membership) == 1 &&
        membership_has_voter(membership, consensus->options.node_id) &&
        election_may_stand(consensus))
        election_begin_alone(consensus);
}

void consensus_fail(struct consensus *consensus, const char *what, uint64_t index)
{
    if (consensus->failure.code == ERROR_NONE)
        error_set(&consensus->failure, ERROR_CORRUPT, "%s %llu in term %llu", what,
                  (unsigned long long)index, (unsigned long long)consensus->term);
    consensus->state = CONSENSUS_FOLLOWER;
    consensus->leader_id = 0;
}

void consensus_supersede(struct consensus *consensus, uint64_t index)
{
    error_set(&consensus->failure, ERROR_CONFLICT,
              "the group went on without entry %llu, which is committed here, in term %llu",
              (unsigned long long)index, (unsigned long long)consensus->term);
    consensus->state = CONSENSUS_FOLLOWER;
    consensus->leader_id = 0;
}

bool log_is_of_former_era(const struct consensus *consensus)
{
    return rule_on(consensus, RULE_COMPARE_ACROSS_ERAS) &&
           consensus_log_last_index(&consensus->log) > 0 &&
           consensus_era(consensus_log_last_term(&consensus->log)) < consensus_era(consensus->term);
}

const struct error *consensus_failure(const struct consensus *consensus)
{
    return &consensus->failure;
}

/* --- What happens -------------------------------------------------------------------------- */

bool send_message(struct consensus *consensus, uint64_t node_id,
                  const struct consensus_message *message)
{
    struct consensus_world *world = consensus->options.world;
    return world->operations->send(world, node_id, message);
}

void consensus_tick(struct consensus *consensus, uint64_t now_ms)
{
    if (!consensus->started || consensus->failure.code != ERROR_NONE)
        return;
    consensus->now_ms = now_ms;
    if (consensus->state == CONSENSUS_LEADER)
        leader_tick(consensus);
    else
        election_tick(consensus);
}

void consensus_stand(struct consensus *consensus, uint64_t now_ms)
{
    if (!consensus->started || consensus->failure.code != ERROR_NONE ||
        consensus->state == CONSENSUS_LEADER || consensus->leader_id != 0)
        return;
    consensus->now_ms = now_ms;
    consensus->election_due_ms = now_ms;
    election_tick(consensus);
}

/* Whether the message tells a term that this replica must not stay behind. A vote is looked at by
 * itself: who has a leader hears of no election. */
static bool tells_newer_term(const struct consensus *consensus,
                             const struct consensus_message *message)
{
    if (message->term <= consensus->term || message->type == CONSENSUS_VOTE)
        return false;
    if (message->type != CONSENSUS_VOTE_RESULT || !message->vote_result.pre_vote)
        return true;
    /* A consent repeats the term that was asked for, which nobody has yet. */
    return !message->vote_result.granted && rule_on(consensus, RULE_PRE_VOTE_TELLS_TERM);
}

void consensus_receive(struct consensus *consensus, uint64_t now_ms, uint64_t from_node,
                       const struct consensus_message *message)
{
    if (!consensus->started || consensus->failure.code != ERROR_NONE ||
        from_node == consensus->options.node_id)
        return;
    consensus->now_ms = now_ms;
    if (tells_newer_term(consensus, message))
        become_follower(consensus, message->term, 0);
    switch (message->type) {
    case CONSENSUS_APPEND:
        receive_append(consensus, from_node, message);
        break;
    case CONSENSUS_APPEND_RESULT:
        receive_append_result(consensus, from_node, message);
        break;
    case CONSENSUS_VOTE:
        receive_vote(consensus, from_node, message);
        break;
    case CONSENSUS_VOTE_RESULT:
        receive_vote_result(consensus, from_node, message);
        break;
    case CONSENSUS_INSTALL:
        receive_install(consensus, from_node, message);
        break;
    case CONSENSUS_TIMEOUT_NOW:
        receive_timeout_now(consensus, from_node, message);
        break;
    }
}

void consensus_written(struct consensus *consensus)
{
    assert(consensus->writes_done < consensus->writes_begun);
    consensus->writes_done++;
    struct consensus_log *log = &consensus->log;
    if (consensus->stored_index < log->base_index && consensus->base_write > consensus->writes_done)
        return; /* what is stored now goes with the snapshot that is on its way */
    if (consensus->stored_index < log->base_index)
        consensus->stored_index = log->base_index;
    while (consensus->stored_index < consensus_log_last_index(log) &&
           consensus_log_write(log, consensus->stored_index + 1) <= consensus->writes_done)
        consensus->stored_index++;
    if (!consensus->started || consensus->failure.code != ERROR_NONE)
        return;
    if (consensus->state == CONSENSUS_LEADER)
        leader_written(consensus);
    else
        follower_written(consensus);
}

void consensus_flush(struct consensus *consensus)
{
    if (consensus->state == CONSENSUS_LEADER)
        leader_flush(consensus);
}

/* --- State --------------------------------------------------------------------------------- */

void consensus_status(const struct consensus *consensus, struct consensus_status *status_out)
{
    const struct consensus_log *log = &consensus->log;
    uint64_t last_index = consensus_log_last_index(log);
    *status_out = (struct consensus_status){
        .state = consensus->state,
        .term = consensus->term,
        .vote = consensus->vote,
        .leader_id = consensus->leader_id,
        .leader_heard_ms = consensus->leader_heard_ms,
        .own_index = consensus->state == CONSENSUS_LEADER ? consensus->own_index : 0,
        .commit_index = consensus->commit_index,
        .told_index = consensus->told_index > consensus->commit_index ? consensus->told_index
                                                                      : consensus->commit_index,
        .told_is_new = consensus->state == CONSENSUS_LEADER
                           ? consensus->commit_index >= consensus->own_index
                           : consensus->told_term == consensus->term,
        .last_index = last_index,
        .stored_index = consensus->stored_index,
        .base_index = log->base_index,
        .log_bytes = consensus_log_bytes(log, log->base_index, last_index),
        .membership_index = membership_newest(consensus)->index,
        .transferring = consensus->transfer.node_id != 0,
    };
}

const struct membership *consensus_membership(const struct consensus *consensus)
{
    return &membership_newest(consensus)->membership;
}

const struct membership *consensus_membership_at(const struct consensus *consensus, uint64_t index,
                                                 uint64_t *membership_index_out)
{
    size_t position = consensus->membership_count - 1;
    while (position > 0 && consensus->memberships[position].index > index)
        position--;
    *membership_index_out = consensus->memberships[position].index;
    return &consensus->memberships[position].membership;
}

const struct consensus_entry *consensus_entry(const struct consensus *consensus, uint64_t index)
{
    return consensus_log_entry(&consensus->log, index);
}

uint64_t consensus_term_at(const struct consensus *consensus, uint64_t index)
{
    return consensus_log_term(&consensus->log, index);
}

uint64_t consensus_bytes(const struct consensus *consensus, uint64_t after_index, uint64_t index)
{
    return consensus_log_bytes(&consensus->log, after_index, index);
}
