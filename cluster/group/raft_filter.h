/*
 * raft_filter - the rules between libraft 0.15.0 and the world.
 *
 * Bare, that version breaks Raft's safety: it acknowledges what it did not check, votes twice,
 * commits entries of former terms by counting (docs/decisions/0001-raft-filter-rules.md has each
 * defect, its fix upstream and the test that shows the rule working). Every message, tick and
 * completion of the disk passes through here on its way in or out.
 */
#ifndef GROUP_RAFT_FILTER_H
#define GROUP_RAFT_FILTER_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

struct group;

/* Numbers of the decision page; 1 to 12 are those of the research that found them. */
enum filter_rule {
    RULE_ANSWER_ONLY_CHECKED = 1,     /* an acknowledgement covers what its message checked */
    RULE_OWN_TERM_FIRST = 2,          /* nothing commits before a barrier of the own term */
    RULE_ANSWER_IN_SAME_TERM = 3,     /* a write of a former term acknowledges nothing */
    RULE_ONE_VOTE = 4,                /* one vote a term, also for a former leader */
    RULE_QUIET_WHILE_APPENDING = 5,   /* no candidacy on entries that are not durable */
    RULE_TRUNCATE_DRAINED = 6,        /* no truncation while its entries are in use */
    RULE_REOPEN_ON_ROLLBACK = 7,      /* a membership change is rolled back by a new start */
    RULE_FAIL_STOP = 8,               /* no failed write is ever reported */
    RULE_SEND_SUCCEEDS = 9,           /* send() returns 0, errors come by callback */
    RULE_INSTALL_ALONE = 10,          /* a snapshot is installed with nothing else going on */
    RULE_NO_SYNCHRONOUS_FAILURE = 11, /* no other function of the io fails either */
    RULE_HOLD_UNTIL_DURABLE = 13,     /* no message before term and vote are durable */
    RULE_NEW_TERM_ALONE = 14,         /* a single voter leads each time in a new term */
    RULE_VOTE_OF_ITS_PHASE = 15,      /* a pre-vote is no vote */
    RULE_CUT_WHAT_IS_KNOWN = 16,      /* entries of the own snapshot are not appended again */
    RULE_VOTE_WITHOUT_VOTE = 17,      /* whoever is asked votes, member or not */
    RULE_PRE_VOTE_LEARNS = 18,        /* a refused pre-vote brings the higher term home */
    RULE_DEMOTED_WHEN_COMMITTED = 19, /* a voter learns that it is none when that is committed */
};

struct raft_filter {
    /* While an answer to AppendEntries or InstallSnapshot may be sent: rules 1 and 3. */
    bool answering;
    bool answer_suppressed;
    uint64_t answer_limit;                 /* last index that the message checked */
    const struct raft_request_vote *asked; /* while a vote is decided: rule 17 */

    uint64_t barrier_index; /* of the own-term barrier: rule 2; 0 when not leader */
};

enum filter_verdict {
    FILTER_DELIVER,
    FILTER_DROP,
    FILTER_PARK,   /* keep it until the group is quiet (InstallSnapshot) */
    FILTER_REOPEN, /* drop the log from *cut_index_out on and start anew; the message is void */
};

enum filter_verdict filter_receive(struct group *group, uint64_t from_node,
                                   const struct raft_message *message, uint64_t *cut_index_out);

/*
 * Rule 19: an AppendEntries ends before the entry that takes the vote from this replica, as long
 * as that is not committed.
 */
void filter_cut_own_demotion(const struct group *group, struct raft_append_entries *append);

/*
 * Rule 16: an AppendEntries that begins before the snapshot here goes on at the snapshot. To be
 * called between filter_answer_begin, which notes what the whole message covers, and delivery.
 */
void filter_cut_known_entries(const struct group *group, struct raft_append_entries *append);

/* Rule 10: a snapshot has replaced the log in memory. To be called when its write was submitted. */
void filter_install_began(struct group *group);

/* Rule 17: a follower without a vote forgets a leader that it has not heard for an election
 * timeout. To be called with each tick. */
void filter_forget_silent_leader(struct group *group);

/* Whether consensus may see time pass now: rules 5 and 10. */
bool filter_tick_allowed(const struct group *group);

/* Bracket the delivery of `message`: what consensus answers meanwhile is about it. */
void filter_answer_begin(struct group *group, const struct raft_message *message);
void filter_answer_end(struct group *group);

/* What an append has to remember of the message it came with. */
struct filter_append {
    bool answers; /* a leader's own append answers nobody */
    uint64_t answer_limit;
    uint64_t term;
};

struct filter_append filter_append_submitted(const struct group *group);

/* Bracket the completion of that append. */
void filter_append_begin(struct group *group, const struct filter_append *append);
void filter_append_end(struct group *group);

/* Adjust what consensus sends; false: it must not leave. */
bool filter_send(struct group *group, struct raft_message *message);

/* A replica found itself leading: rule 14. True when the term was raised. */
bool filter_leader_without_election(struct group *group);

#endif
