/*
 * consensus_private - what the files of this module share: the state of one replica.
 */
#ifndef CONSENSUS_CONSENSUS_PRIVATE_H
#define CONSENSUS_CONSENSUS_PRIVATE_H

#include "consensus/consensus.h"
#include "log.h"

/*
 * How a leader sends to a peer:
 *
 *   PROBE ---answer fits---> PIPELINE      one message, then wait; many, as far as the window goes
 *     ^ \--<--rejected, lost--/
 *     |
 *     +--<--installed or too long-- SNAPSHOT   entries it needs are not known any more
 */
enum progress_state { PROGRESS_PROBE, PROGRESS_PIPELINE, PROGRESS_SNAPSHOT };

struct progress {
    uint64_t node_id;
    enum progress_state state;
    bool probe_sent;
    bool is_blocked; /* the world takes no more for now */
    bool is_reading; /* what comes next, from the disk */
    uint64_t next_index;
    uint64_t matched_index;
    uint64_t snapshot_index; /* sent; 0: asked for */
    uint64_t commit_sent;    /* the highest commit index that it was told */
    uint64_t round;          /* the highest that it answered */
    uint64_t answered_ms;
    uint64_t advanced_ms; /* when matched_index rose, or what is on its way was begun */
};

struct transfer {
    uint64_t node_id; /* 0: none */
    uint64_t due_ms;
};

struct consensus {
    struct consensus_options options;
    struct error failure;
    uint64_t now_ms;
    bool started;

    /* Durable. */
    uint64_t term;
    uint64_t vote;
    struct consensus_promise promise;
    bool must_store_term; /* it came with the promise */
    struct consensus_log log;
    struct consensus_members
        *memberships; /* [membership_count], rising; the first as of low_index or the base */
    size_t membership_count;
    size_t membership_capacity;
    uint64_t low_index; /* of what is before it nothing is wanted any more */

    uint64_t writes_begun; /* the number of the newest */
    uint64_t writes_done;
    uint64_t base_write; /* of the snapshot that was installed as the base */
    uint64_t stored_index;
    uint64_t commit_index;

    enum consensus_state state;
    uint64_t leader_id;
    uint64_t leader_heard_ms;
    uint64_t election_due_ms;

    /* Following: the log is the leader's of this term up to here. */
    uint64_t matched_index;
    uint64_t answered_index; /* durable part of it that the leader was told */
    uint64_t told_index;     /* committed, as leaders said, be it here or not */
    uint64_t told_term;      /* the last in which an entry of the term itself was told of */

    /* Standing. */
    bool pre_vote;
    bool disrupt;
    uint64_t granted[CONSENSUS_MEMBERS_MAX];
    size_t granted_count;

    /* Leading. */
    uint64_t own_index; /* of the first entry of the term */
    uint64_t led_since_ms;
    uint64_t heartbeat_due_ms;
    uint64_t round;
    struct progress progress[CONSENSUS_MEMBERS_MAX];
    size_t progress_count;
    struct transfer transfer;
    struct consensus_entry *scratch; /* [scratch_capacity], entries of a message */
    size_t scratch_capacity;
};

static inline bool rule_on(const struct consensus *consensus, enum consensus_rule rule)
{
    return (consensus->options.unsafe_disabled_rules & (UINT32_C(1) << rule)) == 0;
}

/* --- consensus.c --------------------------------------------------------------------------- */

/* Nothing is done any more. */
void consensus_fail(struct consensus *consensus, const char *what, uint64_t index);

/* Append to the log in memory, with the membership that the entry may make. Errors: CORRUPT,
 * OUT_OF_MEMORY; nothing is appended then. */
enum error_code log_take(struct consensus *consensus, const struct consensus_entry *entry,
                         uint64_t write, struct error *error);

/* Cut entries >= index off, with the memberships that they made. */
void log_cut(struct consensus *consensus, uint64_t index);

const struct consensus_members *membership_newest(const struct consensus *consensus);

/* Its change is in the log but not committed. */
bool membership_is_uncommitted(const struct consensus *consensus);

void commit_to(struct consensus *consensus, uint64_t index);

bool send_message(struct consensus *consensus, uint64_t node_id,
                  const struct consensus_message *message);

/* Nothing is done any more, for the group went on without what is committed here. */
void consensus_supersede(struct consensus *consensus, uint64_t index);

/* The log has no entry of the era of the term: nothing in it is proof for its leader's log. */
bool log_is_of_former_era(const struct consensus *consensus);

/* --- election.c ---------------------------------------------------------------------------- */

/* Follow in `term`, which is at least the present one; leader_id 0: whoever will lead. */
void become_follower(struct consensus *consensus, uint64_t term, uint64_t leader_id);
void election_hasten(struct consensus *consensus);
bool keeps_promise(const struct consensus *consensus, uint64_t last_term, uint64_t last_index);
void vote_for_leader(struct consensus *consensus, uint64_t leader_id);
void election_restart_timer(struct consensus *consensus);
void election_tick(struct consensus *consensus);
void election_begin_alone(struct consensus *consensus);
/* Whether it may ask for votes. */
bool election_may_stand(const struct consensus *consensus);
/* A leader is heard, or it is this replica. */
bool election_has_leader(const struct consensus *consensus);
/* Take a term by force, with this replica's vote. */
void election_take_term(struct consensus *consensus, uint64_t term);
void receive_vote(struct consensus *consensus, uint64_t from_node,
                  const struct consensus_message *message);
void receive_vote_result(struct consensus *consensus, uint64_t from_node,
                         const struct consensus_message *message);
void receive_timeout_now(struct consensus *consensus, uint64_t from_node,
                         const struct consensus_message *message);

/* --- follow.c ------------------------------------------------------------------------------ */

void receive_append(struct consensus *consensus, uint64_t from_node,
                    const struct consensus_message *message);
void receive_install(struct consensus *consensus, uint64_t from_node,
                     const struct consensus_message *message);

/* More is durable: tell the leader. */
void follower_written(struct consensus *consensus);

/* --- lead.c -------------------------------------------------------------------------------- */

void become_leader(struct consensus *consensus);
/* As become_leader, with another first entry of the term than a barrier; its term is filled in.
 * False: no memory. */
bool become_leader_with(struct consensus *consensus, struct consensus_entry *first);
void leader_tick(struct consensus *consensus);
void leader_written(struct consensus *consensus);
void leader_flush(struct consensus *consensus);

/* The newest membership has changed. */
void leader_follow_membership(struct consensus *consensus);
void receive_append_result(struct consensus *consensus, uint64_t from_node,
                           const struct consensus_message *message);

/* Send what there is to whoever can take it. */
void replicate_all(struct consensus *consensus);
void heartbeat_all(struct consensus *consensus);
/* NULL when it is no peer of this leader. */
struct progress *progress_find(const struct consensus *consensus, uint64_t node_id);

/* Commit what a majority has. */
void leader_commit(struct consensus *consensus);

/* --- change.c ------------------------------------------------------------------------------ */

void handover_advance(struct consensus *consensus);

#endif
