/*
 * follow - entries and snapshots from a leader.
 */
#include <assert.h>

#include "consensus_private.h"

/* --- Answers ------------------------------------------------------------------------------- */

static uint64_t answerable_index(const struct consensus *consensus)
{
    uint64_t index = consensus->matched_index;
    if (!rule_on(consensus, RULE_ANSWER_ONLY_MATCHED))
        index = consensus_log_last_index(&consensus->log);
    if (index > consensus->stored_index && rule_on(consensus, RULE_ANSWER_ONLY_STORED))
        index = consensus->stored_index;
    return index;
}

static void answer(struct consensus *consensus, uint64_t node_id, uint64_t round)
{
    consensus->answered_index = answerable_index(consensus);
    struct consensus_message message = {
        .type = CONSENSUS_APPEND_RESULT,
        .term = consensus->term,
        .append_result = {.round = round, .matched_index = consensus->answered_index},
    };
    (void)send_message(consensus, node_id, &message);
}

static void reject(struct consensus *consensus, uint64_t node_id,
                   const struct consensus_append *append)
{
    const struct consensus_log *log = &consensus->log;
    uint64_t hint = consensus_log_last_index(log);
    if (append->previous_index <= hint) {
        /* Not one by one: the whole term that does not fit. */
        hint = append->previous_index - 1;
        uint64_t term = consensus_log_term(log, append->previous_index);
        while (hint > consensus->commit_index && consensus_log_term(log, hint) == term)
            hint--;
    }
    struct consensus_message message = {
        .type = CONSENSUS_APPEND_RESULT,
        .term = consensus->term,
        .append_result =
            {
                .round = append->round,
                .rejected_index = append->previous_index,
                .hint_index = hint,
            },
    };
    (void)send_message(consensus, node_id, &message);
}

void follower_written(struct consensus *consensus)
{
    if (consensus->leader_id != 0 && answerable_index(consensus) > consensus->answered_index)
        answer(consensus, consensus->leader_id, 0);
}

/* A message of a term that is over: its sender hears of the present one. True when it was. */
static bool tell_newer_term(struct consensus *consensus, uint64_t from_node,
                            const struct consensus_message *message)
{
    if (message->term >= consensus->term)
        return false;
    struct consensus_message answer_message = {
        .type = CONSENSUS_APPEND_RESULT,
        .term = consensus->term,
    };
    (void)send_message(consensus, from_node, &answer_message);
    return true;
}

/* The sender leads in this term. False when that can't be. */
static bool hear_leader(struct consensus *consensus, uint64_t from_node)
{
    if (consensus->state == CONSENSUS_LEADER)
        return false; /* one vote a term makes one leader a term */
    if (consensus->leader_id != 0 && consensus->leader_id != from_node)
        return false;
    if (consensus->state == CONSENSUS_CANDIDATE || consensus->leader_id == 0)
        become_follower(consensus, consensus->term, from_node);
    if (consensus->vote == 0)
        vote_for_leader(consensus, from_node);
    consensus->leader_heard_ms = consensus->now_ms;
    election_restart_timer(consensus);
    return true;
}

/* --- Entries ------------------------------------------------------------------------------- */

/* Entries [*position_io, entry_count) of the message that are not in the log; what contradicts them
 * is cut off. False when that is committed. */
static bool skip_known(struct consensus *consensus, const struct consensus_append *append,
                       size_t *position_io)
{
    const struct consensus_log *log = &consensus->log;
    size_t position = *position_io;
    for (; position < append->entry_count; position++) {
        uint64_t index = append->previous_index + 1 + position;
        if (index > consensus_log_last_index(log))
            break;
        if (consensus_log_term(log, index) == append->entries[position].term)
            continue;
        if (index <= consensus->commit_index) {
            *position_io = position;
            return false;
        }
        struct consensus_world *world = consensus->options.world;
        log_cut(consensus, index);
        world->operations->truncate(world, index);
        break;
    }
    *position_io = position;
    return true;
}

/* The index up to which the log then is the leader's: all of the message but for want of memory. */
static uint64_t append_entries(struct consensus *consensus, const struct consensus_append *append,
                               size_t position)
{
    uint64_t first_index = append->previous_index + 1 + position;
    uint64_t write = consensus->writes_begun + 1;
    size_t count = 0;
    struct error error;
    while (position + count < append->entry_count) {
        enum error_code code =
            log_take(consensus, &append->entries[position + count], write, &error);
        if (code == ERROR_CORRUPT)
            consensus_fail(consensus, "unreadable entry", first_index + count);
        if (code != ERROR_NONE)
            break;
        count++;
    }
    if (count > 0) {
        struct consensus_world *world = consensus->options.world;
        consensus->writes_begun = write;
        world->operations->append(world, first_index, count);
    }
    return first_index + count - 1;
}

static bool fits(const struct consensus *consensus, uint64_t index, uint64_t term)
{
    return index <= consensus_log_last_index(&consensus->log) &&
           consensus_log_term(&consensus->log, index) == term;
}

/*
 * From a leader of an era that the log has no entry of: the forced replica may have lacked what is
 * committed here, so that everything is compared. What does not fit is no error of anybody's: this
 * replica is superseded. True: so it was, or the append was answered with a rejection.
 */
static bool refuse_across_eras(struct consensus *consensus, uint64_t from_node,
                               const struct consensus_append *append)
{
    uint64_t previous_index = append->previous_index;
    bool is_fit = previous_index == 0 || fits(consensus, previous_index, append->previous_term);
    if (!is_fit && previous_index <= consensus->commit_index)
        consensus_supersede(consensus, previous_index);
    else if (!is_fit)
        reject(consensus, from_node, append);
    return !is_fit;
}

static void receive_across_eras(struct consensus *consensus, uint64_t from_node,
                                const struct consensus_append *append)
{
    size_t position = 0;
    if (refuse_across_eras(consensus, from_node, append))
        return;
    if (!skip_known(consensus, append, &position)) {
        consensus_supersede(consensus, append->previous_index + 1 + position);
        return;
    }
    uint64_t matched = append->previous_index + position;
    if (position < append->entry_count)
        matched = append_entries(consensus, append, position);
    if (consensus->failure.code != ERROR_NONE)
        return;
    if (matched > consensus->matched_index)
        consensus->matched_index = matched;
    commit_to(consensus, append->commit_index < matched ? append->commit_index : matched);
    answer(consensus, from_node, append->round);
}

void receive_append(struct consensus *consensus, uint64_t from_node,
                    const struct consensus_message *message)
{
    const struct consensus_append *append = &message->append;
    if (tell_newer_term(consensus, from_node, message) || !hear_leader(consensus, from_node))
        return;

    if (append->commit_index > consensus->told_index)
        consensus->told_index = append->commit_index;
    if (log_is_of_former_era(consensus)) {
        receive_across_eras(consensus, from_node, append);
        return;
    }
    /* What is committed here is in the log of every leader of a later term. */
    uint64_t known = 0;
    if (append->previous_index < consensus->commit_index)
        known = consensus->commit_index - append->previous_index;
    size_t position = known < append->entry_count ? (size_t)known : append->entry_count;
    uint64_t matched = consensus->commit_index;
    if (known == 0 && !fits(consensus, append->previous_index, append->previous_term)) {
        if (append->previous_index > 0 && append->previous_index == consensus->commit_index)
            consensus_fail(consensus, "a leader without the committed entry",
                           consensus->commit_index);
        else
            reject(consensus, from_node, append);
        return;
    }
    if (known <= append->entry_count) {
        if (!skip_known(consensus, append, &position)) {
            consensus_fail(consensus, "another entry than the committed", consensus->commit_index);
            return;
        }
        matched = append_entries(consensus, append, position);
        if (consensus->failure.code != ERROR_NONE)
            return;
    }
    if (matched > consensus->matched_index)
        consensus->matched_index = matched;
    commit_to(consensus, append->commit_index < matched ? append->commit_index : matched);
    /* Until then a leader may know less than others were told before it. */
    if (consensus_log_term(&consensus->log, consensus->commit_index) == consensus->term)
        consensus->told_term = consensus->term;

    if (position == append->entry_count || answerable_index(consensus) > consensus->answered_index)
        answer(consensus, from_node, append->round);
}

/* --- Snapshots ----------------------------------------------------------------------------- */

void receive_install(struct consensus *consensus, uint64_t from_node,
                     const struct consensus_message *message)
{
    const struct consensus_install *install = &message->install;
    if (tell_newer_term(consensus, from_node, message) || !hear_leader(consensus, from_node))
        return;
    if (log_is_of_former_era(consensus)) {
        /* Files of the state here may bear the names of others there. */
        consensus_supersede(consensus, consensus->commit_index);
        return;
    }
    bool guarded = rule_on(consensus, RULE_INSTALL_WHEN_BEHIND);
    if (install->index > consensus->commit_index && guarded &&
        consensus_log_term(&consensus->log, install->index) == install->term)
        commit_to(consensus, install->index); /* a snapshot is of what is committed */
    if (install->index > consensus->commit_index || !guarded) {
        struct consensus_world *world = consensus->options.world;
        world->operations->snapshot_offered(world, from_node, install);
        return;
    }
    if (consensus->matched_index < consensus->commit_index)
        consensus->matched_index = consensus->commit_index;
    answer(consensus, from_node, 0);
}
