#include "group_checker.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../cluster/consensus/consensus_private.h"
#include "../../cluster/group/group_private.h"
#include "base/checksum.h"

/* --- Failures and lists -------------------------------------------------------------------- */

void cluster_fail(struct cluster *cluster, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cluster->failure, sizeof cluster->failure, format, arguments);
    va_end(arguments);
    if (cluster->on_failure != NULL)
        longjmp(*cluster->on_failure, 1);
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)cluster->settings.seed,
            cluster->failure);
    abort();
}

void cluster_values_append(struct cluster_values *values, uint64_t index, uint64_t value)
{
    if (values->count == values->capacity) {
        values->capacity = values->capacity * 2 + 64;
        values->items = realloc(values->items, values->capacity * sizeof *values->items);
        assert(values->items != NULL);
    }
    values->items[values->count++] = (struct cluster_value){index, value};
}

void cluster_values_copy(struct cluster_values *to, const struct cluster_values *from,
                         uint64_t up_to_index)
{
    to->count = 0;
    for (size_t i = 0; i < from->count && from->items[i].index <= up_to_index; i++)
        cluster_values_append(to, from->items[i].index, from->items[i].value);
}

/* Position of `index` in a list by rising index, or of the first above it. */
size_t cluster_values_find(const struct cluster_values *values, uint64_t index)
{
    size_t low = 0, high = values->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (values->items[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t cluster_values_hash(const struct cluster_values *values)
{
    return hash64(values->items, values->count * sizeof *values->items, 1);
}

/* --- Checker ------------------------------------------------------------------------------- */

/* Some replica has `value` at `index`: it is committed, there, for ever. */
void checker_committed(struct cluster *cluster, size_t group_number, uint64_t node, uint64_t index,
                       uint64_t value)
{
    struct cluster_values *committed = &cluster->committed[group_number];
    if (cluster->nodes[node - 1].is_of_former_era)
        return;
    size_t position = cluster_values_find(committed, index);
    if (position < committed->count && committed->items[position].index == index) {
        if (committed->items[position].value != value)
            cluster_fail(cluster, "node %llu applied %llu at %llu, another one %llu",
                         (unsigned long long)node, (unsigned long long)value,
                         (unsigned long long)index,
                         (unsigned long long)committed->items[position].value);
        return;
    }
    /* Values are handed out in rising order but may commit in another. */
    for (size_t i = 0; i < committed->count; i++)
        if (committed->items[i].value == value)
            cluster_fail(cluster, "value %llu is at %llu and %llu", (unsigned long long)value,
                         (unsigned long long)committed->items[i].index, (unsigned long long)index);
    if (position < committed->count)
        cluster_fail(cluster, "node %llu applied %llu at %llu, which others passed over",
                     (unsigned long long)node, (unsigned long long)value,
                     (unsigned long long)index);
    cluster_values_append(committed, index, value);
}

/* --- Votes --------------------------------------------------------------------------------- */

static const struct consensus *consensus_of(const struct cluster *cluster, size_t node,
                                            size_t group_number)
{
    return cluster->nodes[node].machines[group_number].group->consensus;
}

/* The candidate that has the vote of this node, counted from 1; 0 when nobody was seen to. */
static uint64_t vote_of(const struct cluster_votes *votes, size_t group_number, uint64_t term,
                        uint64_t voter)
{
    for (size_t i = votes->count; i > 0; i--) {
        const struct cluster_vote *vote = &votes->items[i - 1];
        if (vote->term == term && vote->group_number == group_number && vote->voter == voter)
            return vote->candidate;
    }
    return 0;
}

static void note_vote(struct cluster *cluster, size_t group_number, uint64_t term, uint64_t voter,
                      uint64_t candidate)
{
    struct cluster_votes *votes = &cluster->votes;
    uint64_t before = vote_of(votes, group_number, term, voter);
    if (before != 0 && before != candidate)
        cluster_fail(cluster, "node %llu votes for %llu and %llu in term %llu",
                     (unsigned long long)voter, (unsigned long long)before,
                     (unsigned long long)candidate, (unsigned long long)term);
    if (before != 0)
        return;
    if (votes->count == votes->capacity) {
        votes->capacity = votes->capacity * 2 + 64;
        votes->items = realloc(votes->items, votes->capacity * sizeof *votes->items);
        assert(votes->items != NULL);
    }
    votes->items[votes->count++] = (struct cluster_vote){term, group_number, voter, candidate};
}

/* Most of the voters that the new leader knows have voted for it. */
static void check_election(struct cluster *cluster, size_t group_number, uint64_t term,
                           uint64_t leader)
{
    const struct membership *membership =
        consensus_membership(consensus_of(cluster, leader - 1, group_number));
    unsigned voters = 0, votes = 0;
    for (size_t i = 0; i < membership->count; i++) {
        const struct consensus_member *member = &membership->members[i];
        if (member->role != CONSENSUS_ROLE_VOTER)
            continue;
        voters++;
        votes += member->node_id == leader ||
                 vote_of(&cluster->votes, group_number, term, member->node_id) == leader;
    }
    if (2 * votes <= voters)
        cluster_fail(cluster, "node %llu leads in term %llu by %u votes of %u",
                     (unsigned long long)leader, (unsigned long long)term, votes, voters);
}

/* --- Leaders ------------------------------------------------------------------------------- */

void checker_leader(struct cluster *cluster, size_t group_number, uint64_t term, uint64_t node)
{
    struct cluster_values *leaders = &cluster->leaders[group_number];
    for (size_t i = leaders->count; i > 0; i--) {
        if (leaders->items[i - 1].index != term)
            continue;
        if (leaders->items[i - 1].value != node)
            cluster_fail(cluster, "nodes %llu and %llu lead in term %llu",
                         (unsigned long long)leaders->items[i - 1].value, (unsigned long long)node,
                         (unsigned long long)term);
        return;
    }
    check_election(cluster, group_number, term, node);
    cluster_values_append(leaders, term, node);
}

/* The newest membership is that of an entry in the log. */
static void check_membership(struct cluster *cluster, size_t node, size_t group_number)
{
    const struct consensus *consensus = consensus_of(cluster, node, group_number);
    struct consensus_status status;
    consensus_status(consensus, &status);
    const struct consensus_entry *entry = consensus_entry(consensus, status.membership_index);
    if (status.membership_index > status.last_index ||
        (entry != NULL && entry->kind != CONSENSUS_MEMBERSHIP))
        cluster_fail(cluster, "node %zu goes by members of entry %llu, which is not there",
                     node + 1, (unsigned long long)status.membership_index);
}

void checker_leaders(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        for (size_t g = 0; node->alive && g < cluster->settings.group_count; g++) {
            struct group_status status;
            group_status(node->machines[g].group, &status);
            if (status.state == GROUP_STATE_LEADER)
                checker_leader(cluster, g, status.term, node->id);
            check_membership(cluster, i, g);
        }
    }
}

/* --- Messages ------------------------------------------------------------------------------ */

void checker_sent(struct cluster *cluster, size_t from, size_t group_number,
                  const struct consensus_message *message, size_t to)
{
    const struct consensus *consensus = consensus_of(cluster, from, group_number);
    if (message->type == CONSENSUS_VOTE && !message->vote.pre_vote) {
        note_vote(cluster, group_number, message->term, from + 1, from + 1);
    } else if (message->type == CONSENSUS_VOTE_RESULT) {
        const struct consensus_vote_result *answer = &message->vote_result;
        if (answer->granted && !answer->pre_vote)
            note_vote(cluster, group_number, message->term, from + 1, to + 1);
    } else if (message->type == CONSENSUS_APPEND_RESULT) {
        const struct consensus_append_result *answer = &message->append_result;
        uint64_t write = consensus_log_write(&consensus->log, answer->matched_index);
        if (write > consensus->writes_done)
            cluster_fail(cluster, "node %zu acknowledges entry %llu, which is not on its disk",
                         from + 1, (unsigned long long)answer->matched_index);
    }
}

void checker_received(struct cluster *cluster, size_t from, size_t group_number,
                      const struct consensus_message *message, size_t to)
{
    const struct consensus_append_result *answer = &message->append_result;
    if (message->type != CONSENSUS_APPEND_RESULT || !cluster->nodes[from].alive)
        return;
    const struct consensus *follower = consensus_of(cluster, from, group_number);
    const struct consensus *leader = consensus_of(cluster, to, group_number);
    struct consensus_status theirs, ours;
    consensus_status(follower, &theirs);
    consensus_status(leader, &ours);
    if (ours.state != CONSENSUS_LEADER || ours.term != message->term ||
        theirs.term != message->term)
        return;
    uint64_t our_term = consensus_term_at(leader, answer->matched_index);
    uint64_t their_term = consensus_term_at(follower, answer->matched_index);
    if (our_term != 0 && their_term != 0 && our_term != their_term)
        cluster_fail(cluster, "node %zu acknowledges entry %llu of term %llu, and has that of %llu",
                     from + 1, (unsigned long long)answer->matched_index,
                     (unsigned long long)our_term, (unsigned long long)their_term);
}
