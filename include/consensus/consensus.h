/*
 * consensus - Raft for one replica of one group, without disk, network or clock.
 *
 * What happens (time, a message, a proposal, a finished write) comes in by function; what must
 * follow (write this, send that) goes out through `struct consensus_world`. Everything in between
 * is computed here, in the thread of the caller, so that the same calls give the same state: the
 * tests and simulations of a whole cluster drive it from one seed.
 *
 * Raft as in Ongaro's dissertation ("Consensus: Bridging Theory and Practice", 2014): single-server
 * changes of members (chapter 4), log compaction (5), leadership transfer (3.10), reads by a round
 * of heartbeats (6.4), pre-vote (9.6). Which rules keep it safe, one by one: docs/decisions/0023.
 *
 * The operations of the world never call back: they note what is to be done, and return.
 */
#ifndef CONSENSUS_CONSENSUS_H
#define CONSENSUS_CONSENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "consensus/entry.h"
#include "consensus/membership.h"
#include "consensus/promise.h"

struct consensus;
struct random;

/* --- Messages ------------------------------------------------------------------------------ */

enum consensus_message_type {
    CONSENSUS_APPEND = 1,
    CONSENSUS_APPEND_RESULT = 2,
    CONSENSUS_VOTE = 3,
    CONSENSUS_VOTE_RESULT = 4,
    CONSENSUS_INSTALL = 5,
    CONSENSUS_TIMEOUT_NOW = 6,
};

/* Entries behind `previous_index`; none: a heartbeat. */
struct consensus_append {
    uint64_t previous_index;
    uint64_t previous_term;                /* 0 exactly when the index is */
    uint64_t commit_index;                 /* of the leader, be it in this message or not */
    uint64_t round;                        /* of heartbeats, see consensus_read_begin */
    const struct consensus_entry *entries; /* [entry_count] */
    size_t entry_count;
};

struct consensus_append_result {
    uint64_t round;          /* of what is answered */
    uint64_t matched_index;  /* up to here the log is the leader's, and durable */
    uint64_t rejected_index; /* the previous_index that did not fit; 0: it did */
    uint64_t hint_index;     /* of a rejection: try from behind this one */
};

struct consensus_vote {
    uint64_t last_index;
    uint64_t last_term;
    bool pre_vote; /* `term` is the one that would be asked for */
    bool disrupt;  /* the leader itself asked for this election */
};

struct consensus_vote_result {
    bool granted;
    bool pre_vote;
};

/* The state up to `index`, in place of the log up to there. */
struct consensus_install {
    uint64_t index;
    uint64_t term;
    uint64_t membership_index; /* of the entry that made `membership`; at most `index` */
    const struct membership *membership;
    const uint8_t *bytes; /* [size_bytes], the owner's */
    size_t size_bytes;
};

/* Follow the leader no longer: stand for election at once. */
struct consensus_timeout_now {
    uint64_t last_index;
    uint64_t last_term;
};

struct consensus_message {
    enum consensus_message_type type;
    uint64_t term;
    union {
        struct consensus_append append;
        struct consensus_append_result append_result;
        struct consensus_vote vote;
        struct consensus_vote_result vote_result;
        struct consensus_install install;
        struct consensus_timeout_now timeout_now;
    };
};

/* --- Eras ---------------------------------------------------------------------------------- */

/*
 * The highest bits of a term. A group begins in era 0 and stays there, unless its members were
 * forced (consensus_force_membership): then a new era begins, of which the forced entry is the
 * first. Who hears of an era without having an entry of it can't stand any more.
 */
enum {
    CONSENSUS_ERA_BITS = 40,      /* below them: node, elections */
    CONSENSUS_ERA_NODE_BITS = 16, /* below them: elections */
};

static inline uint64_t consensus_era(uint64_t term)
{
    return term >> CONSENSUS_ERA_BITS;
}

/* The first term of the era behind that of `seen_term`, if this node begins it: nodes that know
 * nothing of each other begin it in different terms. */
static inline uint64_t consensus_forced_term(uint64_t seen_term, uint64_t node_id)
{
    uint64_t node_mask = (UINT64_C(1) << (CONSENSUS_ERA_BITS - CONSENSUS_ERA_NODE_BITS)) - 1;
    return ((consensus_era(seen_term) + 1) << CONSENSUS_ERA_BITS) |
           ((node_id & node_mask) << CONSENSUS_ERA_NODE_BITS);
}

/* --- What must follow ---------------------------------------------------------------------- */

struct consensus_world;

struct consensus_world_operations {
    /* Make term and vote durable, before any message that is sent from now on leaves. */
    void (*store_metadata)(struct consensus_world *self, uint64_t term, uint64_t vote);

    /* Make entries [first_index, first_index + count) of the log durable; consensus_written tells
     * that it is done. In order with `truncate`. */
    void (*append)(struct consensus_world *self, uint64_t first_index, size_t count);

    /* Drop entries >= index from the disk. */
    void (*truncate)(struct consensus_world *self, uint64_t index);

    /* The message is borrowed in the call. False: it can't be sent now. */
    bool (*send)(struct consensus_world *self, uint64_t node_id,
                 const struct consensus_message *message);

    /* A peer needs entries from `first_index` to before `end_index`, which are only on the disk:
     * consensus_send_stored follows, whatever comes of it. */
    void (*entries_needed)(struct consensus_world *self, uint64_t node_id, uint64_t first_index,
                           uint64_t end_index);

    /* A peer needs entries that are not known any more: consensus_send_snapshot, or not, then it is
     * asked for again. */
    void (*snapshot_needed)(struct consensus_world *self, uint64_t node_id);

    /* The leader sent a snapshot: consensus_install when it is fit to take the place of the log.
     * Borrowed in the call. */
    void (*snapshot_offered)(struct consensus_world *self, uint64_t from_node,
                             const struct consensus_install *install);
};

struct consensus_world {
    const struct consensus_world_operations *operations;
};

/* --- Life ---------------------------------------------------------------------------------- */

/* From the entry `index` on these are the members. */
struct consensus_members {
    uint64_t index;
    struct membership membership;
};

/* What keeps it safe, each with a bit to leave it out in tests that show that it is needed
 * (docs/decisions/0023). */
enum consensus_rule {
    RULE_ANSWER_ONLY_MATCHED = 1, /* an answer covers what was compared with the leader's log */
    RULE_ANSWER_ONLY_STORED,      /* and is durable */
    RULE_MATCHED_OF_THIS_TERM,    /* with the log of the leader of this term */
    RULE_OWN_TERM_COMMITS,        /* only an entry of the leader's term is committed by counting */
    RULE_ONE_VOTE,                /* one vote a term, */
    RULE_HOLD_UNTIL_DURABLE,      /* durable before it is told (the owner's) */
    RULE_VOTE_FOR_COMPLETE_LOGS,  /* for who has at least what is here */
    RULE_TRUNCATION_VOIDS_WRITES, /* a write of what was cut off stores nothing */
    RULE_MEMBERSHIP_ROLLS_BACK,   /* with the entry that made it */
    RULE_ONE_CHANGE,              /* one change of members at a time, */
    RULE_CHANGE_IN_OWN_TERM,      /* behind a committed entry of the leader's term */
    RULE_FORMER_VOTER_STANDS,     /* until its demotion is committed */
    RULE_VOTE_WITHOUT_VOTE,       /* the candidate's membership counts, not the voter's */
    RULE_NEW_TERM_ALONE,          /* a single voter leads in a new term after a start */
    RULE_PRE_VOTE_TELLS_TERM,     /* a refused pre-vote carries the term */
    RULE_INSTALL_WHEN_BEHIND,     /* a snapshot replaces only a log that lacks it */
    RULE_KEEP_PROMISE,        /* who was removed and is added again votes as if it had its log */
    RULE_STAND_IN_OWN_ERA,    /* a candidate has an entry of the era of its term, */
    RULE_COMPARE_ACROSS_ERAS, /* and what is committed in one era need not be in the next */
};

struct consensus_options {
    uint64_t node_id;
    struct consensus_world *world;
    struct random *random;          /* for the lengths of elections */
    uint64_t heartbeat_ms;          /* consensus_tick is called at least so often */
    uint64_t election_ms;           /* a follower stands after one to two times this */
    uint64_t window_bytes;          /* sent to a peer and not acknowledged */
    uint64_t message_bytes;         /* of entries in one message, but at least one entry */
    uint32_t unsafe_disabled_rules; /* bits 1 << rule */
};

/* What was stored: behind its snapshot, entries follow by consensus_load. */
struct consensus_stored {
    uint64_t term;
    uint64_t vote;
    uint64_t snapshot_index; /* 0: none */
    uint64_t snapshot_term;
    uint64_t membership_index;           /* of the snapshot */
    const struct membership *membership; /* of the snapshot; NULL: none */
    struct consensus_promise promise;    /* of an earlier life, whose log is gone */
};

/* Options and membership are copied. Errors: OUT_OF_MEMORY. */
enum error_code consensus_create(const struct consensus_options *options,
                                 const struct consensus_stored *stored,
                                 struct consensus **consensus_out, struct error *error);
void consensus_destroy(struct consensus *consensus);

/* What is owed by what is here, and by what was promised before; for whoever deletes it. */
struct consensus_promise consensus_promise(const struct consensus *consensus);

/* The next entry of the stored log. Errors: CORRUPT (a term that goes back, members that can't be
 * read), OUT_OF_MEMORY. */
enum error_code consensus_load(struct consensus *consensus, const struct consensus_entry *entry,
                               struct error *error);

/* Take part. A single voter leads from here on. */
void consensus_start(struct consensus *consensus, uint64_t now_ms);

/* --- What happens -------------------------------------------------------------------------- */

/* Ask for votes at once, as if no leader had been heard for long. Without effect while one is
 * known, or on who may not stand. */
void consensus_stand(struct consensus *consensus, uint64_t now_ms);

/* Time, monotonic. */
void consensus_tick(struct consensus *consensus, uint64_t now_ms);

/* A message, whose entries and bytes are borrowed; references of batches are taken. */
void consensus_receive(struct consensus *consensus, uint64_t now_ms, uint64_t from_node,
                       const struct consensus_message *message);

/* The oldest write of `append` or consensus_install that was not told is durable. */
void consensus_written(struct consensus *consensus);

/* What was sent to a peer and not acknowledged is lost. If it leads, another one shall soon. */
void consensus_peer_lost(struct consensus *consensus, uint64_t node_id);

/* What the world refused to send to it may go now. It is also tried with each heartbeat. */
void consensus_peer_drained(struct consensus *consensus, uint64_t node_id);

/* At the end of a turn: tell followers what is committed, where no entry will. */
void consensus_flush(struct consensus *consensus);

/* --- Leading ------------------------------------------------------------------------------- */

/* Append an entry, whose batch gets a reference. Index of the entry; 0: not the leader, a transfer
 * is under way, or no memory. */
uint64_t consensus_propose(struct consensus *consensus, enum consensus_kind kind,
                           struct consensus_batch *batch, const uint8_t *bytes, size_t size_bytes);

/* A membership that differs in one member from the newest. Index of its entry. Errors: UNAVAILABLE
 * (not the leader, or nothing of its term is committed), CONFLICT (the change before is not
 * committed), OUT_OF_MEMORY. */
enum error_code consensus_change(struct consensus *consensus, const struct membership *membership,
                                 uint64_t *index_out, struct error *error);

/* Have a voter stand for election once it has the whole log; nothing is proposed until then, or
 * until `election_ms` are over. Errors: UNAVAILABLE, INVALID (not a voter), CONFLICT. */
enum error_code consensus_transfer(struct consensus *consensus, uint64_t node_id,
                                   struct error *error);

/* Lead no longer, whoever comes next; perhaps this replica again, after an election. */
void consensus_step_down(struct consensus *consensus);

/*
 * Begin a round of heartbeats: once consensus_read_round reached *round_out, this replica was still
 * leader after the call, so that a state which has applied *index_out is as new as any answer
 * before the call. Errors: UNAVAILABLE.
 */
enum error_code consensus_read_begin(struct consensus *consensus, uint64_t *round_out,
                                     uint64_t *index_out, struct error *error);
uint64_t consensus_read_round(const struct consensus *consensus);

/* Send a peer `entry_count` entries that were read from the disk, from `first_index` on; none: they
 * are not there, and it gets a snapshot. */
void consensus_send_stored(struct consensus *consensus, uint64_t node_id, uint64_t first_index,
                           const struct consensus_entry *entries, size_t entry_count);

/* Send a peer the state in place of the log up to it. */
void consensus_send_snapshot(struct consensus *consensus, uint64_t node_id,
                             const struct consensus_install *install);

/*
 * Make this replica the only voter, in a new era, and its leader: it commits what it has. This
 * breaks what Raft promises: entries that others acknowledged and that are not here are lost. For
 * an operator who knows that a majority of the voters is gone for good (docs/decisions/0060).
 *
 * `seen_term` is at least each term that is known of any replica; `member` is this replica, a
 * voter. Index of the entry. Errors: CONFLICT (a leader is heard, or this replica is one), INVALID
 * (member), UNAVAILABLE (stopped, or the log is empty), OUT_OF_MEMORY: then it leads nobody, and
 * can be forced again.
 */
enum error_code consensus_force_membership(struct consensus *consensus, uint64_t now_ms,
                                           uint64_t seen_term,
                                           const struct consensus_member *member,
                                           uint64_t *index_out, struct error *error);

/* --- Snapshots ----------------------------------------------------------------------------- */

/* Drop entries up to `index` from memory as far as they are committed and durable. */
void consensus_compact(struct consensus *consensus, uint64_t index);

/* Entries before `index` are not on the disk any more either: a peer that needs them gets a
 * snapshot. */
void consensus_forget(struct consensus *consensus, uint64_t index);

/*
 * What the disk has of the log between `index` and the base, as it was found after the start: peers
 * that are there get entries, and a snapshot of `index` can be sent. Without effect when anything
 * was compacted since. Copied; without memory nothing is known, as before.
 */
struct consensus_past {
    uint64_t index;
    const struct consensus_term *terms; /* [term_count], rising, up to the base */
    size_t term_count;
    const struct consensus_members *memberships; /* [membership_count], rising, from `index` on: the
                                                  * first as of there */
    size_t membership_count;
};
void consensus_recall(struct consensus *consensus, const struct consensus_past *past);

/*
 * Take a snapshot for the log: everything before is dropped, and what follows comes behind it. The
 * owner writes both to the disk as one, in order with `append`; consensus_written tells when.
 * False, and nothing happened: the log here is not behind it any more.
 */
bool consensus_install(struct consensus *consensus, const struct consensus_install *install);

/* --- State --------------------------------------------------------------------------------- */

enum consensus_state {
    CONSENSUS_FOLLOWER,
    CONSENSUS_CANDIDATE,
    CONSENSUS_LEADER,
};

struct consensus_status {
    enum consensus_state state;
    uint64_t term;
    uint64_t vote;
    uint64_t leader_id;       /* 0 when unknown */
    uint64_t leader_heard_ms; /* when it was heard last, or a majority heard this leader */
    uint64_t own_index;       /* of the first entry of a leader's term; 0 when it does not lead */
    uint64_t commit_index;
    uint64_t told_index; /* the highest that a leader said is committed, be it here or not */
    bool told_is_new;    /* it is not before what former leaders committed: the leader of this term
                          * has committed an entry of its own (Raft, section 8) */
    uint64_t last_index;
    uint64_t stored_index;     /* durable here */
    uint64_t base_index;       /* entries above it are in memory */
    uint64_t log_bytes;        /* of them */
    uint64_t membership_index; /* of the entry that made the newest membership */
    bool transferring;
};

void consensus_status(const struct consensus *consensus, struct consensus_status *status_out);

/* Something contradicts the rules of Raft (another's fault or ours): it does nothing any more.
 * CONFLICT: the group went on without this replica in a new era, and what is committed here is not
 * in its log; the replica is to be made anew. */
const struct error *consensus_failure(const struct consensus *consensus);

/* The newest membership, committed or not. */
const struct membership *consensus_membership(const struct consensus *consensus);

/* That as of `index`, which was not forgotten; membership_index_out is above `index` when it is not
 * known. */
const struct membership *consensus_membership_at(const struct consensus *consensus, uint64_t index,
                                                 uint64_t *membership_index_out);

/* NULL when it is not in memory. */
const struct consensus_entry *consensus_entry(const struct consensus *consensus, uint64_t index);

/* Term of an entry that is or was in memory, or of the base; 0 when unknown. */
uint64_t consensus_term_at(const struct consensus *consensus, uint64_t index);

/* Bytes of entries (after_index, index], 64 more for each, as far as they are in memory. */
uint64_t consensus_bytes(const struct consensus *consensus, uint64_t after_index, uint64_t index);

/* How far a peer of this leader is. */
struct consensus_peer {
    uint64_t node_id;
    uint64_t matched_index;
    uint64_t next_index;
    uint64_t answered_ms; /* when it answered last */
    bool is_installing;   /* it was sent a snapshot that it has not taken yet */
};

/* False when it does not lead or has no such peer. */
bool consensus_peer(const struct consensus *consensus, uint64_t node_id,
                    struct consensus_peer *peer_out);

#endif
