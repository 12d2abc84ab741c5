/*
 * election - who leads: time without a leader, votes asked for and given.
 *
 *              time                consents            votes
 *   follower ---------> candidate ----------> the same -----> leader
 *      ^                 (pre-vote)          in a new term       |
 *      +--------- a leader, or a newer term --------------------+
 */
#include <assert.h>

#include "consensus_private.h"
#include "platform/random.h"

/* --- Following ----------------------------------------------------------------------------- */

void election_restart_timer(struct consensus *consensus)
{
    uint64_t election_ms = consensus->options.election_ms;
    consensus->election_due_ms = consensus->now_ms + election_ms +
                                 random_below(consensus->options.random, (uint32_t)election_ms);
}

/* The leader's connection is gone, and very likely the leader: so much sooner is it asked for
 * votes, which those who still hear it refuse. */
void election_hasten(struct consensus *consensus)
{
    enum { HASTE = 4 };
    consensus->leader_id = 0;
    uint64_t due_ms =
        consensus->now_ms +
        random_below(consensus->options.random, (uint32_t)(consensus->options.election_ms / HASTE));
    if (due_ms < consensus->election_due_ms)
        consensus->election_due_ms = due_ms;
}

static void set_term(struct consensus *consensus, uint64_t term, uint64_t vote)
{
    struct consensus_world *world = consensus->options.world;
    bool is_new = term != consensus->term;
    consensus->term = term;
    consensus->vote = vote;
    if (is_new && rule_on(consensus, RULE_MATCHED_OF_THIS_TERM)) {
        /* What is committed is in the log of every later leader of the era; more is to be shown. */
        consensus->matched_index = log_is_of_former_era(consensus) ? 0 : consensus->commit_index;
        consensus->answered_index = 0;
    }
    world->operations->store_metadata(world, term, vote);
}

/* The vote has no effect any more but this: a member that was removed, with its log and votes, and
 * added again can't help another candidate of this term. */
void vote_for_leader(struct consensus *consensus, uint64_t leader_id)
{
    assert(consensus->vote == 0);
    set_term(consensus, consensus->term, leader_id);
}

void become_follower(struct consensus *consensus, uint64_t term, uint64_t leader_id)
{
    assert(term >= consensus->term);
    bool was_leader = consensus->state == CONSENSUS_LEADER;
    if (term > consensus->term)
        set_term(consensus, term, 0);
    consensus->state = CONSENSUS_FOLLOWER;
    consensus->leader_id = leader_id;
    consensus->progress_count = 0;
    consensus->transfer = (struct transfer){0};
    if (was_leader)
        election_restart_timer(consensus);
}

/* Whether a log that ends so has all that an earlier life of this replica had. */
bool keeps_promise(const struct consensus *consensus, uint64_t last_term, uint64_t last_index)
{
    const struct consensus_promise *promise = &consensus->promise;
    return !rule_on(consensus, RULE_KEEP_PROMISE) || last_term > promise->last_term ||
           (last_term == promise->last_term && last_index >= promise->last_index);
}

void election_take_term(struct consensus *consensus, uint64_t term)
{
    assert(term > consensus->term);
    become_follower(consensus, term, 0);
    set_term(consensus, term, consensus->options.node_id);
}

/* --- Standing ------------------------------------------------------------------------------ */

/* Without an entry of the era it does not have what the forced replica had: its members are those
 * of before, and their majority means nothing any more. */
static bool knows_era(const struct consensus *consensus)
{
    return !rule_on(consensus, RULE_STAND_IN_OWN_ERA) ||
           consensus_era(consensus_log_last_term(&consensus->log)) ==
               consensus_era(consensus->term);
}

/*
 * Whether it may ask for votes: it has one itself in the newest membership, or had one in those
 * whose replacement is not known to be committed. It may then be the only one with the newest log
 * (dissertation, 4.2.2).
 */
bool election_may_stand(const struct consensus *consensus)
{
    if (!knows_era(consensus))
        return false;
    uint64_t node_id = consensus->options.node_id;
    size_t position = consensus->membership_count - 1;
    const struct consensus_log *log = &consensus->log;
    if (!keeps_promise(consensus, consensus_log_last_term(log), consensus_log_last_index(log)))
        return false;
    if (membership_has_voter(&consensus->memberships[position].membership, node_id))
        return true;
    while (position > 0 && consensus->memberships[position].index > consensus->commit_index &&
           rule_on(consensus, RULE_FORMER_VOTER_STANDS)) {
        position--;
        if (membership_has_voter(&consensus->memberships[position].membership, node_id))
            return true;
    }
    return false;
}

static bool has_majority(const struct consensus *consensus)
{
    const struct membership *membership = &membership_newest(consensus)->membership;
    size_t voters = membership_voter_count(membership);
    return voters > 0 && consensus->granted_count > voters / 2;
}

/* Counted once, and only from whoever has a vote. */
static void count_vote(struct consensus *consensus, uint64_t node_id)
{
    if (!membership_has_voter(&membership_newest(consensus)->membership, node_id))
        return;
    for (size_t i = 0; i < consensus->granted_count; i++)
        if (consensus->granted[i] == node_id)
            return;
    assert(consensus->granted_count < CONSENSUS_MEMBERS_MAX);
    consensus->granted[consensus->granted_count++] = node_id;
}

static void ask_for_votes(struct consensus *consensus)
{
    const struct consensus_log *log = &consensus->log;
    struct consensus_message message = {
        .type = CONSENSUS_VOTE,
        .term = consensus->term + consensus->pre_vote,
        .vote =
            {
                .last_index = consensus_log_last_index(log),
                .last_term = consensus_log_last_term(log),
                .pre_vote = consensus->pre_vote,
                .disrupt = consensus->disrupt,
            },
    };
    const struct membership *membership = &membership_newest(consensus)->membership;
    for (size_t i = 0; i < membership->count; i++) {
        const struct consensus_member *member = &membership->members[i];
        if (member->role == CONSENSUS_ROLE_VOTER && member->node_id != consensus->options.node_id)
            (void)send_message(consensus, member->node_id, &message);
    }
}

static void stand(struct consensus *consensus)
{
    consensus->state = CONSENSUS_CANDIDATE;
    consensus->pre_vote = false;
    consensus->leader_id = 0;
    consensus->granted_count = 0;
    set_term(consensus, consensus->term + 1, consensus->options.node_id);
    election_restart_timer(consensus);
    count_vote(consensus, consensus->options.node_id);
    if (has_majority(consensus))
        become_leader(consensus);
    else
        ask_for_votes(consensus);
}

/* Ask first whether an election would be won: one that is lost disturbs (dissertation, 9.6). */
static void stand_perhaps(struct consensus *consensus)
{
    consensus->state = CONSENSUS_CANDIDATE;
    consensus->pre_vote = true;
    consensus->disrupt = false;
    consensus->leader_id = 0;
    consensus->granted_count = 0;
    election_restart_timer(consensus);
    count_vote(consensus, consensus->options.node_id);
    if (has_majority(consensus))
        stand(consensus);
    else
        ask_for_votes(consensus);
}

void election_tick(struct consensus *consensus)
{
    if (consensus->now_ms < consensus->election_due_ms)
        return;
    if (election_may_stand(consensus)) {
        stand_perhaps(consensus);
        return;
    }
    consensus->leader_id = 0;
    election_restart_timer(consensus);
}

void election_begin_alone(struct consensus *consensus)
{
    if (rule_on(consensus, RULE_NEW_TERM_ALONE)) {
        /* In its old term it might write other bytes under an index that it used before a crash. */
        stand(consensus);
        return;
    }
    become_leader(consensus);
}

/* --- Votes --------------------------------------------------------------------------------- */

static bool is_complete(const struct consensus *consensus, const struct consensus_vote *vote)
{
    if (!rule_on(consensus, RULE_VOTE_FOR_COMPLETE_LOGS))
        return true;
    if (!keeps_promise(consensus, vote->last_term, vote->last_index))
        return false;
    uint64_t last_term = consensus_log_last_term(&consensus->log);
    return vote->last_term > last_term ||
           (vote->last_term == last_term &&
            vote->last_index >= consensus_log_last_index(&consensus->log));
}

/* Whoever hears its leader helps nobody else into its place (dissertation, 4.2.3). */
bool election_has_leader(const struct consensus *consensus)
{
    if (consensus->state == CONSENSUS_LEADER)
        return true;
    return consensus->leader_id != 0 &&
           consensus->now_ms - consensus->leader_heard_ms < consensus->options.election_ms;
}

static void answer_vote(struct consensus *consensus, uint64_t node_id, uint64_t term,
                        struct consensus_vote_result result)
{
    struct consensus_message message = {
        .type = CONSENSUS_VOTE_RESULT,
        .term = term,
        .vote_result = result,
    };
    (void)send_message(consensus, node_id, &message);
}

void receive_vote(struct consensus *consensus, uint64_t from_node,
                  const struct consensus_message *message)
{
    const struct consensus_vote *vote = &message->vote;
    bool refused =
        (election_has_leader(consensus) && !vote->disrupt) || !is_complete(consensus, vote);
    if (!rule_on(consensus, RULE_VOTE_WITHOUT_VOTE) &&
        !membership_has_voter(consensus_membership(consensus), consensus->options.node_id))
        refused = true;
    if (vote->pre_vote) {
        bool granted = !refused && message->term > consensus->term;
        answer_vote(consensus, from_node, granted ? message->term : consensus->term,
                    (struct consensus_vote_result){.granted = granted, .pre_vote = true});
        return;
    }
    if (message->term > consensus->term) {
        if (election_has_leader(consensus) && !vote->disrupt)
            return; /* it is not even told: the term would go on rising */
        become_follower(consensus, message->term, 0);
    }
    bool is_free =
        consensus->vote == 0 || consensus->vote == from_node || !rule_on(consensus, RULE_ONE_VOTE);
    bool granted = !refused && message->term == consensus->term && is_free &&
                   consensus->state != CONSENSUS_LEADER;
    if (granted) {
        consensus->state = CONSENSUS_FOLLOWER;
        set_term(consensus, consensus->term, from_node);
        election_restart_timer(consensus);
    }
    answer_vote(consensus, from_node, consensus->term,
                (struct consensus_vote_result){.granted = granted});
}

void receive_vote_result(struct consensus *consensus, uint64_t from_node,
                         const struct consensus_message *message)
{
    const struct consensus_vote_result *result = &message->vote_result;
    if (consensus->state != CONSENSUS_CANDIDATE || !result->granted ||
        result->pre_vote != consensus->pre_vote ||
        message->term != consensus->term + consensus->pre_vote)
        return;
    count_vote(consensus, from_node);
    if (!has_majority(consensus))
        return;
    if (consensus->pre_vote)
        stand(consensus);
    else
        become_leader(consensus);
}

void receive_timeout_now(struct consensus *consensus, uint64_t from_node,
                         const struct consensus_message *message)
{
    if (message->term != consensus->term || consensus->state != CONSENSUS_FOLLOWER ||
        from_node != consensus->leader_id || !election_may_stand(consensus) ||
        message->timeout_now.last_index != consensus_log_last_index(&consensus->log))
        return;
    consensus->disrupt = true;
    stand(consensus);
}
