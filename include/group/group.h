/*
 * group - one replica of a Raft group, and the host that all groups of a loop share.
 *
 * It binds consensus (consensus/consensus.h) to the journal, the transport and the state machine of
 * its owner. Not thread-safe: a host and its groups belong to one loop thread.
 *
 * Life of a group: the journal is recovered and opened with the group among those it adopts, then
 * group_create, group_start (restores the state machine; what the journal recovered is replayed
 * while the loop runs, then a single voter leads), proposals, group_close. Log, metadata and
 * snapshots all live in the journal: a group has no file of its own.
 *
 * No callback of a request runs inside the call that made the request, but the operations of
 * the state machine run inside group_start, group_host_receive and group_close too.
 */
#ifndef GROUP_GROUP_H
#define GROUP_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "consensus/membership.h"
#include "consensus/promise.h"
#include "group/state_machine.h"
#include "group/transport.h"

struct environment;
struct journal;
struct journal_recovery;

enum {
    GROUP_PAYLOAD_BYTES_MAX = 8 * 1024 * 1024,
};

/* --- Host ---------------------------------------------------------------------------------- */

struct group_host_options {
    struct environment *environment;
    struct journal *journal;           /* open, not yet closed; lane of this loop */
    struct group_transport *transport; /* NULL on a node without peers */
    uint64_t node_id;                  /* > 0; the same in all groups, never reused */

    unsigned heartbeat_ms; /* 0: 250. One timer of this period ticks all groups */
    unsigned election_ms;  /* 0: 1500. Elections start after one to two times this */

    uint64_t in_flight_bytes_max; /* payload proposed and not answered, a group; 0: 4 MiB */
    uint64_t snapshot_log_bytes;  /* log since the last snapshot that makes a group take one;
                                   * 0: 2 MiB. What the logs of a loop hold in memory is about
                                   * groups x (this + in flight) */

    /*
     * Consensus of this group stopped, or a sent snapshot could not be restored: the process
     * must end (a restart recovers it). The group answers nothing any more. NULL: abort().
     * Failed writes of the log are the journal's to report.
     */
    void (*fatal)(void *context, uint64_t group_id, const struct error *error);
    void *fatal_context;

    /* A group is superseded (group_status): its replica is stopped and can only be closed. NULL:
     * the owner looks by itself. */
    void (*superseded)(void *context, uint64_t group_id, const struct error *error);

    /* Bits 1 << enum consensus_rule to leave out: only for tests, to show that each is needed. */
    uint32_t unsafe_disabled_rules;
};

struct group_host;

/* Options are copied, what they point to outlives the host. Errors: INVALID, OUT_OF_MEMORY. */
enum error_code group_host_create(const struct group_host_options *options,
                                  struct group_host **host_out, struct error *error);

/* As in the options. */
uint64_t group_host_node_id(const struct group_host *host);

/* NULL is fine. Every group must be closed. */
void group_host_destroy(struct group_host *host);

/*
 * A message of `from_node` for one of the groups; anything malformed, of an unknown group or
 * node, or untimely is dropped and counted. The bytes are borrowed.
 */
void group_host_receive(struct group_host *host, uint64_t group_id, uint64_t from_node,
                        const uint8_t *bytes, size_t size_bytes);

/* What was sent to the node and not answered is lost: its connection is gone. */
void group_host_peer_lost(struct group_host *host, uint64_t node_id);

/* The transport has room again for a node that it refused messages for. */
void group_host_peer_drained(struct group_host *host, uint64_t node_id);

/*
 * The journal failed: groups stop at once, and what they wait for will not come. For an orderly
 * end all the same: call this from the journal's `fatal`, close the journal, then every group.
 */
void group_host_journal_lost(struct group_host *host);

/* --- Life ---------------------------------------------------------------------------------- */

struct group_options {
    uint64_t group_id; /* > 0, unique in the cluster; its records in the journal bear it */

    /*
     * What the journal held when the process started; NULL for a group that is new. It must stay
     * open until group_start returned and the group is not `replaying` any more, or is closed.
     */
    const struct journal_recovery *recovery;

    /*
     * The first members, the same on every one of them, written when nothing is stored. None:
     * an empty replica that waits to be added by a leader.
     */
    const struct consensus_member *founders;
    size_t founder_count;

    /*
     * Where the log of a group that is founded begins, when its state machine is not empty at
     * first: behind this index, with this state [origin_bytes], the same on all founders. 0: at the
     * beginning.
     */
    uint64_t origin_index;
    const uint8_t *origin_state;
    size_t origin_bytes;

    /* Of a replica of this node that was deleted, if there was one: group_promise. */
    struct consensus_promise promise;
};

struct group;

/*
 * Make a group and register it in its host. `state_machine` outlives the group.
 *
 * Errors: INVALID (options), EXISTS (the id is in the host), OUT_OF_MEMORY.
 */
enum error_code group_create(struct group_host *host, const struct group_options *options,
                             struct state_machine *state_machine, struct group **group_out,
                             struct error *error);

/*
 * Restore the state machine, then take part. What the journal holds beyond the restored state is
 * handed to `apply` while the loop runs, a few MiB at a time; until then the replica votes and
 * takes entries, but is not ready. A group whose start failed is started again (when the machine
 * can be restored by now), or still to be closed. Errors: those of `restore`, CORRUPT (what is
 * stored does not fit together, or acknowledged records are lost: the replica must be rebuilt),
 * UNSUPPORTED, OUT_OF_MEMORY.
 */
enum error_code group_start(struct group *group, struct error *error);

/*
 * Stop taking part and release the group. Requests still out are answered first
 * (GROUP_OUTCOME_UNKNOWN), then what is on its way to the disk is waited for, then `closed`
 * runs, not inside this call, and the group is gone. Payloads given to `apply` are void from this
 * call on. Never fails; call once. The journal closes after its groups.
 */
void group_close(struct group *group, void (*closed)(void *context), void *context);

/* What the replica owes to the others, even when it is deleted after they removed it: to be given
 * to the next group of this id on this node. Of one that was started; right before group_close. */
struct consensus_promise group_promise(const struct group *group);

/* --- Requests ------------------------------------------------------------------------------ */

enum group_outcome {
    GROUP_OUTCOME_COMMITTED, /* a majority has it, and `apply` was called for it */
    GROUP_OUTCOME_UNKNOWN,   /* leadership was lost or the group closed: it may still commit */
    GROUP_OUTCOME_FAILED,    /* it did not happen (changes of members, transfers) */
};

/* When the disk has no more than its reserve. */
enum group_space {
    GROUP_SPARES_RESERVE, /* refuse the entry */
    GROUP_USES_RESERVE,   /* take it: small, and without it no room would come */
};

/* The caller's until `done`. */
struct group_request {
    void (*done)(struct group_request *request, enum group_outcome outcome);
    enum group_space space;
    uint64_t index; /* of the entry, valid in `done` when committed */

    /* The group's. */
    struct group *group;
    struct group_request *next;
    uint64_t term;
    uint64_t round;
    enum group_outcome outcome;
    uint64_t started_ns;
    size_t payload_bytes;
};

/* Memory for a payload of `size_bytes` in (0, GROUP_PAYLOAD_BYTES_MAX], aligned to 8; NULL when
 * memory is out. */
uint8_t *group_payload_create(size_t size_bytes);

/* One that was not proposed. NULL is fine. */
void group_payload_destroy(uint8_t *payload);

/*
 * Append an entry to the log of the group. On success the payload is the group's; on an error
 * it stays the caller's and `done` will not run.
 *
 * Errors: UNAVAILABLE (not leader, or not ready yet, or a transfer is under way), LIMIT (too
 * much in flight, here or in the journal: wait for a `done`), NO_SPACE (below the reserve of the
 * disk), OUT_OF_MEMORY.
 */
enum error_code group_propose(struct group *group, struct group_request *request, uint8_t *payload,
                              struct error *error);

/*
 * Committed once everything proposed before is committed and was handed to `apply`; proves that
 * this replica led at some moment after the call. Errors: as group_propose.
 */
enum error_code group_barrier(struct group *group, struct group_request *request,
                              struct error *error);

/*
 * COMMITTED proves that this replica still led after the call: a state machine that has applied
 * `request->index` is then as new as any answer before the call. Costs a round of heartbeats for
 * all that ask in one turn, and no entry. FAILED: it leads no longer. Errors: UNAVAILABLE.
 */
enum error_code group_confirm_lead(struct group *group, struct group_request *request,
                                   struct error *error);

enum group_change_kind {
    GROUP_CHANGE_ADD,    /* as spare; nothing is sent to it yet */
    GROUP_CHANGE_ASSIGN, /* another role; a standby becomes voter when it has caught up */
    GROUP_CHANGE_REMOVE,
};

struct group_change {
    enum group_change_kind kind;
    uint64_t node_id;
    enum consensus_role role; /* for ASSIGN */
    const char *address;      /* for ADD; copied */
};

/* One change at a time; a leader does not take its own vote. Errors: UNAVAILABLE, CONFLICT (one
 * is under way), INVALID, OUT_OF_MEMORY. */
enum error_code group_change_members(struct group *group, struct group_request *request,
                                     const struct group_change *change, struct error *error);

/*
 * Hand leadership to a voter that has the whole log. Proposals are refused until it is over,
 * after election_ms at the latest. `done` tells COMMITTED when the target leads, FAILED when
 * this replica still does. Errors: UNAVAILABLE, INVALID (not a voter), CONFLICT, OUT_OF_MEMORY.
 */
enum error_code group_transfer(struct group *group, struct group_request *request, uint64_t node_id,
                               struct error *error);

/* Lead no longer, though nobody is there to take over: requests still out end with
 * GROUP_OUTCOME_UNKNOWN. Without effect on a group that does not lead. */
void group_step_down(struct group *group);

/* Ask for votes at once, where nobody leads yet: of a group that was founded just now. */
void group_stand(struct group *group);

/*
 * Make this replica the only voter of its group, though no majority agrees (consensus/consensus.h,
 * docs/decisions/0060): only for an operator who knows that a majority is gone for good. `position`
 * is what was decided by: when the log is not like that any more, nothing happens. It leads from
 * then on, as group_status tells.
 * Errors: CONFLICT (a leader is heard, or the position is another), UNAVAILABLE (not running, still
 * replaying or installing, empty), INVALID (no member), OUT_OF_MEMORY.
 */
struct group_force {
    uint64_t seen_term; /* no replica is known to be in a higher one */
    uint64_t last_index;
    uint64_t last_term;
};
enum error_code group_force_membership(struct group *group, const struct group_force *position,
                                       struct error *error);

/*
 * Take a snapshot soon, whatever the size of the log: the state machine has a new frozen_index
 * and the journal can forget what is before it. Without effect on a group that is closing.
 */
void group_snapshot_soon(struct group *group);

/*
 * What prepare_restore of the state machine was asked for at `index` (its position) is here, or
 * `error` (another code than NONE) tells why not: then the offer is dropped, and the leader's next
 * one prepared anew. Nothing happens when the offer has been replaced since. Not from inside
 * prepare_restore.
 */
void group_restore_prepared(struct group *group, uint64_t index, const struct error *error);

/*
 * The state machine can't go on, but has at hand the state at `index` of another replica, in bytes
 * as of snapshot_for_peer: the state that this log leads to, behind what it has applied. That
 * becomes the snapshot; `restore` is called when it is durable, then `apply` for what follows.
 * Until then the machine applies nothing: what it was given and did not apply is void on success.
 * Log and votes stay.
 * Errors: UNAVAILABLE (not committed here, this replica leads, something else is under way, or what
 * follows would have to be replayed), OUT_OF_MEMORY. Nothing happens then.
 */
enum error_code group_adopt(struct group *group, uint64_t index, const uint8_t *state,
                            size_t size_bytes, struct error *error);

/* The state machine's applied_index has risen: payloads up to it may go. */
void group_applied(struct group *group);

/* --- State --------------------------------------------------------------------------------- */

enum group_state {
    GROUP_STATE_UNAVAILABLE, /* not started, closing, or stopped by an error */
    GROUP_STATE_FOLLOWER,
    GROUP_STATE_CANDIDATE,
    GROUP_STATE_LEADER,
};

struct group_status {
    enum group_state state;
    bool ready;      /* leader, and the barrier of its term is applied: takes proposals */
    bool replaying;  /* what was stored before the start is still being handed to `apply` */
    bool installing; /* a snapshot of the leader is being prepared or written */
    uint64_t term;
    uint64_t leader_id;       /* 0 when unknown */
    uint64_t leader_heard_ms; /* monotonic; when it was heard last, or a majority heard this one */
    uint64_t commit_index;
    bool is_current; /* all that a leader said is committed was handed to `apply` */
    bool transferring;
    bool is_changing;   /* a change of members is not committed yet */
    bool is_superseded; /* stopped: the group went on without what is committed here, and this
                         * replica is to be made anew */
    uint64_t last_index;
    uint64_t last_term;
    uint64_t told_index;      /* committed, as a leader said, be it here or not */
    uint64_t stored_index;    /* durable here */
    uint64_t delivered_index; /* last entry given to `apply` */
    uint64_t snapshot_index;  /* S of the last durable snapshot */
    uint64_t frozen_index;    /* its L; the journal keeps entries from L+1 */
    size_t in_flight_bytes;
    size_t log_bytes; /* payload that the log holds in memory */
};

void group_status(const struct group *group, struct group_status *status_out);

/* The newest command of the log, committed or not, as `apply` would get it; borrowed until the next
 * call of this group. False: none is in memory. */
bool group_newest_command(const struct group *group, struct group_entry *entry_out);

/* The current members, at most CONSENSUS_MEMBERS_MAX; returns how many. */
size_t group_members(const struct group *group, struct consensus_member *members_out);

/* A member, as its leader sees it. */
struct group_peer {
    uint64_t node_id;
    enum consensus_role role;
    uint64_t matched_index;
    uint64_t bytes_behind; /* of log; an estimate where the log is not in memory */
    bool is_installing;    /* it was sent a snapshot that it has not taken yet */
    bool lacks_state;      /* as far as it told this leader, it is before what the log begins with:
                            * only a snapshot brings it on */
    bool is_heard;         /* it answered a moment ago */
};

/* All members with the leader itself, at most CONSENSUS_MEMBERS_MAX; 0 unless this replica leads.
 */
size_t group_peers(const struct group *group, struct group_peer *peers_out);

/* Counters since the host was made, all groups together. */
struct group_statistics {
    uint64_t proposals;
    uint64_t proposals_refused_not_leader;
    uint64_t proposals_refused_limit;
    uint64_t commits;
    uint64_t outcomes_unknown;
    uint64_t commit_latency_ns_sum;
    uint64_t commit_latency_ns_max;
    uint64_t elections_won;
    uint64_t leaderships_lost;
    uint64_t snapshots_stored;
    uint64_t snapshots_installed;
    uint64_t snapshots_adopted;  /* by group_adopt */
    uint64_t snapshots_prepared; /* offers that were given to prepare_restore */
    uint64_t snapshot_bytes;
    uint64_t entries_delivered;
    uint64_t entries_replayed;  /* of them at a start, from the journal before the snapshot */
    uint64_t entries_read_back; /* from the disk, for peers that are behind */
    uint64_t messages_sent;
    uint64_t messages_received;
    uint64_t messages_dropped; /* malformed or for nobody */
    uint64_t in_flight_bytes;  /* now */
    uint64_t log_bytes;        /* now */
};

void group_host_statistics(const struct group_host *host, struct group_statistics *out);

#endif
