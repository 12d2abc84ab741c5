#include "raft_filter.h"

#include <assert.h>

#include "group_private.h"
#include "log_view.h"
#include "members.h"

/* --- Helpers ------------------------------------------------------------------------------- */

/* The first index at which a message contradicts the log here; 0 when it does not. */
static uint64_t first_conflict(const struct group *group, const struct raft_append_entries *append)
{
    for (unsigned i = 0; i < append->n_entries; i++) {
        uint64_t index = append->prev_log_index + 1 + i;
        raft_term term = log_view_term(&group->raft, index);
        if (term != 0 && term != append->entries[i].term)
            return index;
    }
    return 0;
}

static bool has_membership_change(const struct group *group, uint64_t from_index)
{
    uint64_t last_index = log_view_last_index(&group->raft);
    for (uint64_t index = from_index; index <= last_index; index++) {
        const struct raft_entry *entry = log_view_entry(&group->raft, index);
        if (entry != NULL && entry->type == RAFT_CHANGE)
            return true;
    }
    return false;
}

/* Nothing of the group is on its way, so that consensus may be started anew. */
static bool is_quiet(const struct group *group)
{
    return group->appends_in_flight == 0 && group->sends_in_flight == 0 &&
           group->raft.snapshot.put.data == NULL && group_machine_is_idle(group);
}

/* --- Messages in --------------------------------------------------------------------------- */

static enum filter_verdict receive_append(const struct group *group,
                                          const struct raft_append_entries *append,
                                          uint64_t *cut_index_out)
{
    const struct raft *raft = &group->raft;

    /* Rule 10: the log is about to be replaced as a whole. The leader asks again. */
    if (group->install_in_flight && group_rule_on(group, RULE_INSTALL_ALONE))
        return FILTER_DROP;

    /* Rule 4, the other side of it: with one vote a term there is one leader a term; consensus
     * asserts that, in a build without asserts. */
    if (append->term == raft->current_term && raft->state == RAFT_LEADER &&
        group_rule_on(group, RULE_ONE_VOTE))
        return FILTER_DROP;

    if (append->term < raft->current_term)
        return FILTER_DELIVER; /* will be refused */
    /* Not a rule: the disk is full. What is refused here comes again when there is room; a
     * heartbeat passes. */
    if (append->n_entries > 0 && journal_space(group->host->options.journal) != JOURNAL_SPACE_OK)
        return FILTER_DROP;
    if (append->prev_log_index != 0 && append->prev_log_index >= raft->log.snapshot.last_index &&
        log_view_term(raft, append->prev_log_index) != append->prev_log_term)
        return FILTER_DELIVER; /* will be refused: nothing is truncated */

    uint64_t conflict = first_conflict(group, append);
    if (conflict == 0 || conflict <= raft->commit_index)
        return FILTER_DELIVER;

    /* Rule 6: references to what is truncated are counted wrongly when the same indexes come
     * again, and writes under way are counted as stored. */
    if ((group->appends_in_flight > 0 || group->sends_in_flight > 0) &&
        group_rule_on(group, RULE_TRUNCATE_DRAINED))
        return FILTER_DROP;

    /* Rule 7: rolling back needs the membership before, which consensus looks up in a log that
     * may begin after it. */
    if (has_membership_change(group, conflict) && group_rule_on(group, RULE_REOPEN_ON_ROLLBACK)) {
        if (!is_quiet(group))
            return FILTER_DROP;
        *cut_index_out = conflict;
        return FILTER_REOPEN;
    }
    return FILTER_DELIVER;
}

static enum filter_verdict receive_append_result(const struct group *group,
                                                 const struct raft_append_entries_result *result)
{
    const struct raft *raft = &group->raft;
    if (raft->state != RAFT_LEADER || result->rejected != 0 || result->term > raft->current_term)
        return FILTER_DELIVER;

    /* Rule 2: what former terms left is counted as committed by libraft as soon as a majority
     * has it, which is not enough (Raft, figure 8). Only an entry of this term commits it: no
     * success counts before ours is in the log to be counted with it. */
    if (group_rule_on(group, RULE_OWN_TERM_FIRST) &&
        (group->filter.barrier_index == 0 || raft->last_stored < group->filter.barrier_index))
        return FILTER_DROP;

    /* Rule 1, from the other side: nobody can have checked more than was sent. */
    if (result->last_log_index > log_view_last_index(raft) &&
        group_rule_on(group, RULE_ANSWER_ONLY_CHECKED))
        return FILTER_DROP;
    return FILTER_DELIVER;
}

static enum filter_verdict receive_vote(const struct group *group, uint64_t from_node,
                                        const struct raft_request_vote *vote)
{
    const struct raft *raft = &group->raft;
    if (vote->candidate_id != from_node)
        return FILTER_DROP;
    /* Rule 10: the last index is not known before the snapshot is in place. */
    if (group->install_in_flight && group_rule_on(group, RULE_INSTALL_ALONE))
        return FILTER_DROP;
    /* Rule 4: a leader that hands over forgets that it voted for itself. */
    if (!vote->pre_vote && vote->term == raft->current_term && raft->voted_for != 0 &&
        raft->voted_for != vote->candidate_id && group_rule_on(group, RULE_ONE_VOTE))
        return FILTER_DROP;
    return FILTER_DELIVER;
}

static enum filter_verdict receive_vote_result(struct group *group,
                                               const struct raft_request_vote_result *result)
{
    struct raft *raft = &group->raft;
    /* Rule 18: libraft answers a pre-vote with the term that was asked for, and takes none from
     * the answer. The replica with the longest log would ask for a term below that of the others
     * for ever. It voted for nobody in the term that it takes, and goes on asking from there. */
    if (raft->state == RAFT_CANDIDATE && raft->candidate_state.in_pre_vote &&
        !result->vote_granted && result->term > raft->current_term + 1 &&
        group_rule_on(group, RULE_PRE_VOTE_LEARNS)) {
        raft->current_term = result->term;
        raft->voted_for = 0;
        group_store_metadata(group, raft->current_term, 0);
        return FILTER_DROP;
    }
    /* A refusal may carry a higher term, whatever was asked. */
    if (raft->state != RAFT_CANDIDATE || !result->vote_granted ||
        !group_rule_on(group, RULE_VOTE_OF_ITS_PHASE))
        return FILTER_DELIVER;
    /* Rule 15: messages arrive late; a consent to ask is not a consent to lead. */
    if (raft->candidate_state.in_pre_vote != (result->pre_vote == raft_tribool_true))
        return FILTER_DROP;
    return FILTER_DELIVER;
}

static enum filter_verdict receive_install(const struct group *group,
                                           const struct raft_install_snapshot *install,
                                           uint64_t *cut_index_out)
{
    const struct raft *raft = &group->raft;
    if (!group_rule_on(group, RULE_INSTALL_ALONE))
        return FILTER_DELIVER;
    /* Rule 10: the in-memory log is replaced before anything is on the disk, and payloads go
     * with it. */
    if (!is_quiet(group) || group->install_in_flight)
        return FILTER_PARK;

    /* Rule 10: entries of a later term at this index are taken for "already there", and
     * acknowledged. They cannot be committed, since the snapshot is. */
    if (install->term >= raft->current_term && install->last_index > raft->commit_index &&
        log_view_term(raft, install->last_index) > install->last_term) {
        *cut_index_out = install->last_index;
        return FILTER_REOPEN;
    }
    return FILTER_DELIVER;
}

enum filter_verdict filter_receive(struct group *group, uint64_t from_node,
                                   const struct raft_message *message, uint64_t *cut_index_out)
{
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        return receive_append(group, &message->append_entries, cut_index_out);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        return receive_append_result(group, &message->append_entries_result);
    case RAFT_IO_REQUEST_VOTE:
        return receive_vote(group, from_node, &message->request_vote);
    case RAFT_IO_REQUEST_VOTE_RESULT:
        return receive_vote_result(group, &message->request_vote_result);
    case RAFT_IO_INSTALL_SNAPSHOT:
        return receive_install(group, &message->install_snapshot, cut_index_out);
    default:
        assert(message->type == RAFT_IO_TIMEOUT_NOW);
        /* Rules 5 and 10: it starts an election at once. */
        return filter_tick_allowed(group) ? FILTER_DELIVER : FILTER_DROP;
    }
}

void filter_cut_known_entries(const struct group *group, struct raft_append_entries *append)
{
    const struct raft *raft = &group->raft;
    uint64_t snapshot_index = raft->log.snapshot.last_index;
    if (append->prev_log_index >= snapshot_index || append->term < raft->current_term ||
        !group_rule_on(group, RULE_CUT_WHAT_IS_KNOWN))
        return;

    /* A snapshot is committed, so a leader's entries up to it are those that it was made of.
     * libraft takes an index that is not in memory for a new one, and appends the entry at the
     * end of its log. */
    uint64_t known = snapshot_index - append->prev_log_index;
    if (known > append->n_entries)
        known = append->n_entries;
    unsigned left = append->n_entries - (unsigned)known;
    if (left == 0 && append->n_entries > 0) {
        raft_free(append->entries[0].batch);
        raft_free(append->entries);
        append->entries = NULL;
    }
    for (unsigned i = 0; i < left; i++)
        append->entries[i] = append->entries[known + i];
    append->n_entries = left;
    append->prev_log_index = snapshot_index;
    append->prev_log_term = raft->log.snapshot.last_term;
}

void filter_install_began(struct group *group)
{
    /* Rule 10: libraft keeps the index of a membership change that was not committed in the log
     * that it replaced. Its own next change would wait for that one for ever, and a conflict
     * below that index roll back to a membership that is in no log any more (NULL). */
    if (group_rule_on(group, RULE_INSTALL_ALONE))
        group->raft.configuration_uncommitted_index = 0;
}

/* --- Time ---------------------------------------------------------------------------------- */

bool filter_tick_allowed(const struct group *group)
{
    if (group->install_in_flight && group_rule_on(group, RULE_INSTALL_ALONE))
        return false;
    /* Rule 5: a candidate names its last entry, durable or not. */
    if (group->raft.state == RAFT_FOLLOWER && group->appends_in_flight > 0 &&
        group_rule_on(group, RULE_QUIET_WHILE_APPENDING))
        return false;
    return true;
}

/* --- Answers ------------------------------------------------------------------------------- */

void filter_answer_begin(struct group *group, const struct raft_message *message)
{
    struct raft_filter *filter = &group->filter;
    assert(!filter->answering);
    if (message->type == RAFT_IO_APPEND_ENTRIES) {
        filter->answering = true;
        filter->answer_limit =
            message->append_entries.prev_log_index + message->append_entries.n_entries;
    } else if (message->type == RAFT_IO_REQUEST_VOTE) {
        filter->asked = &message->request_vote;
    } else if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        filter->answering = true;
        filter->answer_limit = message->install_snapshot.last_index;
    }
    filter->answer_suppressed = false;
}

void filter_answer_end(struct group *group)
{
    group->filter.answering = false;
    group->filter.answer_suppressed = false;
    group->filter.asked = NULL;
}

struct filter_append filter_append_submitted(const struct group *group)
{
    return (struct filter_append){
        .answers = group->filter.answering,
        .answer_limit = group->filter.answer_limit,
        .term = group->raft.current_term,
    };
}

void filter_append_begin(struct group *group, const struct filter_append *append)
{
    assert(!group->filter.answering); /* completions never come inside a delivery */
    group->filter.answering = append->answers;
    group->filter.answer_limit = append->answer_limit;
    /* Rule 3: the leader that sent the entries is another one than the one answered now. */
    group->filter.answer_suppressed = append->answers && append->term != group->raft.current_term &&
                                      group_rule_on(group, RULE_ANSWER_IN_SAME_TERM);
}

void filter_append_end(struct group *group)
{
    filter_answer_end(group);
}

static enum group_role own_role(const struct raft *raft,
                                const struct raft_configuration *configuration)
{
    for (unsigned i = 0; i < configuration->n; i++)
        if (configuration->servers[i].id == raft->id)
            return configuration->servers[i].role == RAFT_VOTER ? GROUP_ROLE_VOTER
                                                                : GROUP_ROLE_STANDBY;
    return GROUP_ROLE_SPARE;
}

void filter_forget_silent_leader(struct group *group)
{
    struct raft *raft = &group->raft;
    if (raft->state != RAFT_FOLLOWER || raft->follower_state.current_leader.id == 0 ||
        own_role(raft, &raft->configuration) == GROUP_ROLE_VOTER ||
        !group_rule_on(group, RULE_VOTE_WITHOUT_VOTE))
        return;
    /* Rule 17: libraft forgets a leader when it stands for election, so one without a vote has
     * its last leader for ever, and refuses to vote for another. */
    if (group->io.time(&group->io) - raft->election_timer_start >= raft->election_timeout)
        raft->follower_state.current_leader.id = 0;
}

/*
 * Rule 17: libraft refuses when this replica has no vote in the membership that it knows. But
 * the candidate's membership counts, which may be newer (Raft dissertation, 4.1), and then there
 * may be no leader without this vote. Decide as a voter would.
 */
static void vote_without_vote(struct group *group, struct raft_request_vote_result *result)
{
    struct raft *raft = &group->raft;
    const struct raft_request_vote *asked = group->filter.asked;
    bool has_leader = raft->state == RAFT_LEADER ||
                      (raft->state == RAFT_FOLLOWER && raft->follower_state.current_leader.id != 0);
    if (result->vote_granted || raft->configuration.n == 0 ||
        own_role(raft, &raft->configuration) == GROUP_ROLE_VOTER ||
        !group_rule_on(group, RULE_VOTE_WITHOUT_VOTE) || (has_leader && !asked->disrupt_leader) ||
        asked->term < raft->current_term)
        return;

    uint64_t last_index = log_view_last_index(raft);
    uint64_t last_term = log_view_term(raft, last_index);
    bool up_to_date = asked->last_log_term > last_term ||
                      (asked->last_log_term == last_term && asked->last_log_index >= last_index);
    if (!up_to_date)
        return;
    if (!asked->pre_vote) {
        /* libraft took the term over before it refused. */
        if (asked->term != raft->current_term ||
            (raft->voted_for != 0 && raft->voted_for != asked->candidate_id))
            return;
        raft->voted_for = asked->candidate_id;
        group_store_metadata(group, raft->current_term, raft->voted_for);
        raft->election_timer_start = group->io.time(&group->io);
    }
    result->vote_granted = true;
    result->pre_vote = asked->pre_vote ? raft_tribool_true : raft_tribool_false;
}

bool filter_send(struct group *group, struct raft_message *message)
{
    if (message->type == RAFT_IO_REQUEST_VOTE_RESULT && group->filter.asked != NULL) {
        struct raft_request_vote_result *answer = &message->request_vote_result;
        vote_without_vote(group, answer);
        if (!answer->vote_granted && answer->term < group->raft.current_term &&
            group_rule_on(group, RULE_PRE_VOTE_LEARNS))
            answer->term = group->raft.current_term; /* rule 18 */
    }
    if (message->type != RAFT_IO_APPEND_ENTRIES_RESULT || !group->filter.answering)
        return true;
    if (group->filter.answer_suppressed)
        return false;
    /* Rule 1: libraft answers with its last index, checked or not. */
    struct raft_append_entries_result *result = &message->append_entries_result;
    if (result->rejected == 0 && result->last_log_index > group->filter.answer_limit &&
        group_rule_on(group, RULE_ANSWER_ONLY_CHECKED))
        result->last_log_index = group->filter.answer_limit;
    return true;
}

void filter_cut_own_demotion(const struct group *group, struct raft_append_entries *append)
{
    const struct raft *raft = &group->raft;
    if (!group_rule_on(group, RULE_DEMOTED_WHEN_COMMITTED) ||
        own_role(raft, &raft->configuration) != GROUP_ROLE_VOTER)
        return;

    /*
     * A replica that is no voter in its latest membership does not ask for votes in libraft, and
     * as long as that membership is not committed it may be the only one with the newest log
     * (Raft dissertation, 4.2.2). Nobody needs it to store that entry: it is not counted for it.
     */
    for (unsigned i = 0; i < append->n_entries; i++) {
        uint64_t index = append->prev_log_index + 1 + i;
        if (append->entries[i].type != RAFT_CHANGE || index <= append->leader_commit)
            continue;
        /* The leader may know less than this replica of what is committed. What is here was let in
         * when it was; cut off again, it would never be acknowledged. */
        raft_term known_term = log_view_term(raft, index);
        if (index <= raft->commit_index ||
            (known_term != 0 && known_term == append->entries[i].term))
            continue;
        struct raft_configuration configuration;
        struct error error;
        if (members_decode_entry(&append->entries[i].buf, &configuration, &error) != ERROR_NONE)
            continue;
        enum group_role role = own_role(raft, &configuration);
        raft_configuration_close(&configuration);
        if (role == GROUP_ROLE_VOTER)
            continue;
        if (i == 0) {
            raft_free(append->entries[0].batch);
            raft_free(append->entries);
            append->entries = NULL;
        }
        append->n_entries = i;
        return;
    }
}

/* --- Leadership ---------------------------------------------------------------------------- */

bool filter_leader_without_election(struct group *group)
{
    struct raft *raft = &group->raft;
    assert(raft->state == RAFT_LEADER);
    if (!group_rule_on(group, RULE_NEW_TERM_ALONE))
        return false;

    unsigned voters = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++)
        voters += raft->configuration.servers[i].role == RAFT_VOTER;
    if (voters != 1)
        return false;

    /*
     * Rule 14: libraft makes the only voter leader without an election, in the term that it led
     * before. What it had sent to members without a vote, and lost in a crash, would come again
     * with the same index and term but other bytes. So it takes the next term, as if it had
     * asked itself. Nothing was sent or appended yet that says otherwise but heartbeats.
     */
    raft->current_term++;
    raft->voted_for = raft->id;
    group_store_metadata(group, raft->current_term, raft->voted_for);
    return true;
}
