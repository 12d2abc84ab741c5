/*
 * meta - the meta group of a node, running: how nodes form a cluster, join it, know of each other,
 * and how the leader of the group keeps replicas and leaders of shards where they shall be.
 *
 * What is desired is cluster_state (membership/cluster_state.h), kept by a Raft group of which
 * nodes are members: up to five with a vote, others as standbys, and beyond CONSENSUS_MEMBERS_MAX
 * as readers that ask for the state when it changed. What is observed comes by reports that every
 * node sends the leader each second. Bytes on the wire: docs/protocols/meta.md; of what a node
 * stores: docs/formats/identity.md.
 *
 * Life
 *
 *     meta_create           registers its kinds at the transport of lane 0, which has no connection
 *                           yet, and adds the configured peers to it
 *     meta_start            a node that stored an identity has it; others form or join a cluster,
 *                           which takes as long as it takes
 *     store_identity        to the owner: make these bytes durable, then call meta_stored
 *     identified            to the owner: tell the transports of all lanes, make the hosts of the
 *                           groups (they need the node's id), then call meta_attach
 *     meta_attach           the group starts
 *     changed, observed     to the owner, again and again, and `report` from it
 *     meta_close            hands leadership over, ends what is under way, then `closed`
 *
 * Threads: all of it on the loop of lane 0, whose transport, journal and group host it uses. No
 * event and no `done` runs inside a call of the owner's, but for `transfer`, `report`, `changed`
 * and `observed`, which may run inside what the transport or the group calls, and `changed` inside
 * meta_attach. An event may not close meta; whatever else it may call.
 *
 * Memory: what events point at is valid until they return. The state (meta_state) stays in place
 * until the next `changed`.
 */
#ifndef META_META_H
#define META_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "membership/cluster_entry.h"
#include "membership/cluster_state.h"
#include "placement/formation.h"
#include "placement/placement.h"

struct environment;
struct group;
struct group_host;
struct journal_recovery;
struct transport;
struct transport_stranger;

/* Far from the groups of shards, which count from 1. It is in the journal of lane 0. */
#define META_GROUP_ID (UINT64_C(1) << 40)

enum {
    META_REQUEST_KIND_FIRST = 1, /* kinds of requests in the transport that are this module's */
    META_REQUEST_KIND_LAST = 9,
    META_PEERS_MAX = 1024,
    META_VOTERS_MAX = 5,
};

/* --- Events -------------------------------------------------------------------------------- */

/* What a node tells the leader of a shard group that it leads. */
struct meta_shard_report {
    uint32_t shard_id;
    uint64_t leading_ms; /* for how long */
    bool transferring;   /* leadership is being handed over */
    uint64_t size_bytes; /* of a whole replica */
    size_t member_count;
    struct placement_member members[PLACEMENT_MEMBERS_MAX]; /* [member_count] */
};

struct meta_report {
    bool slow_disk;                         /* the node shall not lead */
    bool stopping;                          /* neither shall it: the process ends */
    const struct meta_shard_report *shards; /* [shard_count], of the shards that the node leads, by
                                             * any order; the owner's until the next event */
    size_t shard_count;
};

/* What the leader wants all nodes to know, as of the last report. */
struct meta_view {
    uint64_t leader;               /* of the meta group: node id */
    int64_t agreed_ms;             /* median of the nodes' wall clocks */
    const uint64_t *shard_leaders; /* [shard_count], by shard id: node ids, 0: not known */
    size_t shard_count;
    const uint64_t *alive; /* [alive_count], rising node ids */
    size_t alive_count;
};

struct meta;

/* All but `dismissed` are needed. */
struct meta_events {
    /* Make `bytes` the node's stored identity, whole or not at all, and call meta_stored when that
     * is durable (or failed). The bytes stay in place until then. Off the loop, if it blocks. */
    void (*store_identity)(void *context, const uint8_t *bytes, size_t size_bytes);
    /* Who this node is; stored. Once in a process. */
    void (*identified)(void *context, const uint8_t cluster_id[CLUSTER_ID_BYTES], uint64_t node_id);
    /* The state has changed, or is there for the first time. It may have skipped versions. May run
     * inside what a peer sent: peers are not removed in it, but later. */
    void (*changed)(void *context, const struct cluster_state *state);
    void (*observed)(void *context, const struct meta_view *view);
    void (*report)(void *context, struct meta_report *report_out);
    /* The leader of the meta group asks that this shard, if this node leads it, be led by
     * `to_node`. Asked again while it is not so. */
    void (*transfer)(void *context, uint32_t shard_id, uint64_t to_node);
    /* The cluster does not have this node any more (it has left, or another has its name): it gets
     * no replicas, and comes back by a new directory, or when it has left only by a start. Once. */
    void (*dismissed)(void *context, const char *reason);
    /* The log has what this program does not know, or memory is out while it is applied: the
     * process must end. */
    void (*fatal)(void *context, const struct error *error);
};

/* --- Identity ------------------------------------------------------------------------------ */

/* Who founds a cluster without asking anybody: a data directory that is made by hand. */
struct meta_founder {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    struct cluster_node_identity identity;
    const uint8_t *founding; /* [founding_bytes], the entry, of which it is node 1 */
    size_t founding_bytes;
};

/* What such a node has stored of itself (docs/formats/identity.md), appended. Memory: test
 * `buffer->failed`. */
void meta_founder_encode(const struct meta_founder *founder, struct byte_buffer *buffer);

/* --- Life ---------------------------------------------------------------------------------- */

struct meta_peer {
    const char *name;
    const char *address; /* host:port */
};

enum meta_directory {
    META_DIRECTORY_NEW,         /* no shards: may form with others, or join */
    META_DIRECTORY_HOLDS_SHARDS /* of a node that was alone, group s + 1 for shard s: without an
                                 * identity it forms a cluster of one with exactly
                                 * `formation.shard_count` and `.spread`, and others join it */
};

/* Everything is copied but for what it points to with a life of its own. 0 stands for the
 * default. */
struct meta_options {
    struct environment *environment; /* of loop 0; outlives it */
    struct transport *transport;     /* of lane 0, just opened; outlives it. NULL: a node without
                                      * connections, which is a cluster of one */
    struct cluster_node_identity identity; /* name and directory */
    struct cluster_node_traits traits;     /* address: where others find it */
    const struct meta_peer *peers;         /* [peer_count]; may have the node itself */
    size_t peer_count;
    struct formation_options formation; /* of a cluster that is still to be formed; first_group 0:
                                         * 1. Strings are copied */
    enum meta_directory directory;

    const uint8_t *stored; /* [stored_bytes], what store_identity gave last; none: NULL, 0 */
    size_t stored_bytes;
    /* What the journal of lane 0 held at the start; NULL: it was made anew. Open until the group
     * is not replaying any more (meta_status), or closed. */
    const struct journal_recovery *recovery;

    struct placement_limits limits; /* replace_after_ms 0: 30 min; caught_up_bytes 0: 4 MiB;
                                     * moves_total 0: 8; moves_per_node 0: 2; transfers_total 0: 4;
                                     * transfer_pause_ms 0: 30 s */

    size_t members_max;   /* of the group: 0, the most, which is CONSENSUS_MEMBERS_MAX; fewer for
                           * tests, the same on all nodes */
    uint64_t tick_ms;     /* 1000: reports, plans, tries */
    uint64_t alive_ms;    /* 3000: a node that was heard so lately is alive */
    uint64_t takeover_ms; /* 5000: a name is another directory's after so long a silence */
    uint64_t version_settle_ms; /* 30000: the state-machine version rises when all nodes have been
                                 * there, and known the next one, for so long; at once as long as
                                 * the leader is a founder that has not been started again */

    const struct meta_events *events;
    void *context;
};

/* Errors: INVALID (options, stored bytes of another node), CORRUPT, UNSUPPORTED (stored bytes),
 * OUT_OF_MEMORY. */
enum error_code meta_create(const struct meta_options *options, struct meta **meta_out,
                            struct error *error);

void meta_start(struct meta *meta);

/* The end of store_identity; may be called inside it. On an error it is asked again, later. */
void meta_stored(struct meta *meta, const struct error *error);

/* After `identified`, also inside it. The host is of lane 0 and has the node's id; it outlives
 * meta. Errors: those of group_create and group_start; the process must end. */
enum error_code meta_attach(struct meta *meta, struct group_host *host, struct error *error);

/* A question of the transport (its event `admit`): whether a node that nobody told of may connect.
 */
bool meta_admit(const struct meta *meta, const struct transport_stranger *stranger);

/*
 * Hand leadership over (2 s at most), end every request with CLOSED, close the group; then
 * `closed`, not inside this call, and meta is gone. The transport must still be open, and its loop
 * run. A store_identity under way must have been answered, or is not any more.
 * For the end of a crashed simulation too: what the journal has lost does not hold it up.
 */
void meta_close(struct meta *meta, void (*closed)(void *context), void *context);

/* --- Looking ------------------------------------------------------------------------------- */

enum meta_phase {
    META_PHASE_SEEKING,  /* no identity: waits for peers to form a cluster, or to be let in one */
    META_PHASE_STORING,  /* its identity is being stored */
    META_PHASE_STARTING, /* waits for meta_attach */
    META_PHASE_MEMBER,   /* its group runs; the state may still be on its way */
    META_PHASE_DISMISSED,
    META_PHASE_CLOSING,
};

struct meta_status {
    enum meta_phase phase;
    uint8_t cluster_id[CLUSTER_ID_BYTES]; /* zeros: none yet */
    uint64_t node_id;                     /* 0: none yet */
    uint64_t leader;                      /* of the meta group; 0: not known */
    bool leads;                           /* this node does */
    bool replaying;                       /* the recovery must stay open */
    uint64_t proposals, proposals_forwarded, reports_heard, plans;
    const char *waiting_for; /* what keeps a node in SEEKING, for people; "" otherwise */
};

void meta_status(const struct meta *meta, struct meta_status *status_out);

/* Its Raft group; NULL before meta_attach and once it closes. */
struct group *meta_group(const struct meta *meta);

/* The newest known state; never NULL, not founded before there is one. Changes with `changed`
 * only. */
const struct cluster_state *meta_state(const struct meta *meta);

/* --- Proposing ----------------------------------------------------------------------------- */

/*
 * A change of the state, from any node. The caller's memory until `done`, which comes once:
 *
 *     NONE         it is in the log, and `outcome` tells what it did (it may have been refused)
 *     INVALID      no entry
 *     TIMEOUT      until then no leader took it; it may still have happened
 *     CLOSED
 */
struct meta_request {
    const struct cluster_entry *entry; /* until the call returns; NULL: bytes */
    const uint8_t *bytes;              /* [size_bytes], until the call returns */
    size_t size_bytes;
    uint64_t timeout_ms; /* > 0 */
    void (*done)(struct meta_request *request, const struct error *error);
    struct cluster_outcome outcome; /* in `done`, without error */

    void *internal;
};

void meta_propose(struct meta *meta, struct meta_request *request);

/* --- Commands of operators ----------------------------------------------------------------- */

enum meta_command_kind {
    META_DRAIN_NODE = 1, /* its replicas and leaders move away; not an error when they do */
    META_UNDRAIN_NODE,   /* a draining node is active again */
    META_REMOVE_NODE,    /* it has left. Refused while it is alive and has replicas, unless
                          * FORCED. Again, when it has left: forget it, refused while a shard
                          * desires it */
    META_SET_REPLICATION,
    META_SPLIT_SHARD,   /* its upper half to a new one */
    META_REBALANCE,     /* plan now, whatever the pause between transfers */
    META_HOLD_VERSION,  /* the state-machine version stays what it is, until it is raised */
    META_RAISE_VERSION, /* to what all nodes know, at once; from then on it rises by itself */
};

enum meta_force { META_ASKED, META_FORCED };

/* The caller's memory until `done`, which comes once. Errors: NOT_FOUND (node, shard), CONFLICT
 * (refused; the message says why), INVALID, LIMIT, TIMEOUT, CLOSED. */
struct meta_command {
    enum meta_command_kind kind;
    uint64_t node_id; /* of the first three; 0: `node_name` */
    char node_name[CLUSTER_NAME_BYTES_MAX + 1];
    enum meta_force force; /* of META_REMOVE_NODE */
    uint32_t replication;
    uint32_t shard_id; /* CLUSTER_SHARD_NONE: the one with the most slots */
    /* Of META_SPLIT_SHARD: so many shards there are before, so that a command whose answer is lost
     * splits once; 0: whatever. */
    uint32_t shard_count;
    uint64_t timeout_ms;
    void (*done)(struct meta_command *command, const struct error *error);

    void *internal;
};

void meta_command(struct meta *meta, struct meta_command *command);

/* The version beyond which an operator has the state-machine version not rise; 0: it may rise. */
uint32_t meta_version_held(const struct cluster_state *state);

/* --- The whole picture --------------------------------------------------------------------- */

struct meta_observed_node {
    uint64_t heard_ms_ago;  /* UINT64_MAX: never by this leader */
    int64_t clock_ahead_ms; /* of its wall clock before the agreed time */
    uint64_t state_index;   /* the version of the state that it has */
    bool stopping;
    bool is_member;           /* of the meta group */
    enum placement_role role; /* if so */
};

struct meta_observation {
    const struct cluster_state *state; /* as the leader has it */
    uint64_t leader;                   /* of the meta group */
    int64_t agreed_ms;
    struct placement_observation placement;  /* nodes: all of the state, in its order */
    const struct meta_observed_node *nodes;  /* [placement.node_count] */
    struct placement_progress progress;      /* of all replicas */
    const struct placement_progress *drains; /* [placement.node_count], of draining nodes */
};

/* The caller's memory until `done`, which comes once. `observation` is valid in it only, NULL with
 * an error. Errors: TIMEOUT, CLOSED, OUT_OF_MEMORY. */
struct meta_observe {
    uint64_t timeout_ms;
    void (*done)(struct meta_observe *observe, const struct meta_observation *observation,
                 const struct error *error);

    void *internal;
};

void meta_observe(struct meta *meta, struct meta_observe *observe);

#endif
