/*
 * cluster_world - a whole cluster from one seed: nodes wired as the server wires them (meta group,
 * hosting, routing, transfer, transport, journal), each with a disk, a clock and a place in the
 * network of its own, on one simulated time.
 *
 *     cluster_node     a node from its start to its end, in good order or not
 *     cluster_wiring   what its modules say to each other
 *     cluster_medium   what happens to the messages of groups on their way
 *     cluster_leaders  one leader a group and term; no replica goes that is counted on
 *     cluster_writes   clients: samples written through any node, and what was acknowledged
 *     cluster_deletions  clients that delete, by matchers
 *     cluster_reads    what must be readable while things go wrong
 *     cluster_rot      bits that flip in stored files, found and mended
 *     cluster_stuck    a replica that can't go on for one of them
 *     cluster_changes  nodes that join, are wiped, drained, removed
 *     cluster_readiness  when nodes are ready, above all after all of them have crashed at once
 *     cluster_faults   everything else that goes wrong
 *     cluster_check    what must hold in the end
 */
#ifndef TESTS_CLUSTER_WORLD_H
#define TESTS_CLUSTER_WORLD_H

#include <setjmp.h>

#include "group/link.h"
#include "hosting/hosting.h"
#include "journal/journal.h"
#include "membership/cluster_board.h"
#include "meta/meta.h"
#include "offered_samples.h"
#include "routing/routing.h"
#include "shard/slots.h"
#include "simulated_environment.h"
#include "simulated_network.h"
#include "simulated_seeds.h"
#include "transfer/transfer.h"
#include "transport/transport.h"

enum {
    WORLD_NODES_MAX = 10,
    WORLD_SHARDS_MAX = 16,
    WORLD_SERIES = 48,
    WORLD_IDS_MAX = 64, /* node ids of a run */
    WORLD_FLIPS_MAX = 64,
    WORLD_VERSIONS_MAX = 512 /* of the cluster's state, the latest */
};

struct world;

struct node_clock {
    struct clock base;
    struct clock *world;
    int64_t ahead_ms;
};

/* Between a host of groups and its link; the operations are those of cluster_medium.c. */
struct node_medium {
    struct group_transport base;
    struct node *node;
};

/* The series as this process knows it. */
struct known_series {
    bool known;
    uint64_t id;
};

/* Times at which samples were acknowledged, in the order of that. */
struct time_list {
    int64_t *times_ms;
    size_t count, capacity;
};

struct node {
    struct world *world;
    size_t number; /* also in the network */
    char name[16];
    bool exists; /* a machine that is to run, or will again */

    /* What survives. */
    uint8_t directory_id[CLUSTER_DIRECTORY_ID_BYTES];
    struct simulated_disk disk;
    struct byte_buffer identity;
    struct byte_buffer remembered; /* an encoded state */

    /* A life. */
    bool is_alive;
    bool failed;       /* the process must end */
    bool was_ready;    /* in this life, as the server says it */
    bool is_dismissed; /* by the cluster */
    uint64_t life;     /* rises with every start */
    size_t closing;    /* parts that are not closed yet */
    struct environment environment;
    struct node_clock clock;
    struct random_generator random;
    struct page_cache *cache;
    struct replica_node limits;
    _Atomic uint64_t series_count;
    struct transfer_budget budget;
    struct replica_table *table;
    struct cluster_board *board;
    struct cluster_view *view;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct transport *transport;
    struct group_link *link;
    struct transfer *transfer;
    struct node_medium medium;
    struct group_host *host;
    struct routing *routing;
    struct hosting *hosting;
    struct meta *meta;
    struct task follow_task;
    bool follow_queued;
    uint64_t node_id; /* 0: not known yet */
    struct known_series known[WORLD_SERIES];
    struct time_list acknowledged[WORLD_SERIES]; /* through this node in this life */
    bool seen_replicas[WORLD_SHARDS_MAX];        /* when they were looked at last, in seen_life */
    uint64_t seen_life;
    size_t acknowledged_before[WORLD_SERIES]; /* through any, before this life */
};

struct world_series {
    struct labels labels;
    uint16_t slot;
    struct offered_series offered;
    struct time_list acknowledged; /* through any node */
};

/* Everything that must happen over many seeds; all of them numbers of one size. */
struct world_counts {
    uint64_t versions_raised, splits, moved, deletions_moved, unreadable_by_splits;
    uint64_t writes, writes_acknowledged, writes_given_up, writes_twice, attempts;
    uint64_t samples_acknowledged, samples_refused, ids_stale;
    uint64_t kills, power_failures, crashes_in_operation, stops, starts;
    uint64_t crashes_of_all, awaited_ready;
    uint64_t partitions, partitions_one_way, isolated, cuts, half_open, links_slow;
    uint64_t messages_delayed, messages_doubled, messages_lost;
    uint64_t disks_slow, disks_full, clock_jumps, clock_jumps_of_all, stores_failed;
    uint64_t joined, wiped, lost_for_good, drained, undrained, removed, dismissed;
    uint64_t transfers_asked, transfers, member_steps, replicas_made, replicas_removed;
    uint64_t snapshots_prepared, snapshots_installed, entries_read_back, elections;
    uint64_t files_fetched, ranges_failed, files_resumed;
    uint64_t freezes, merges, flushes, series_forgotten;
    uint64_t deletions, deletions_of_many, deletions_unanswered, samples_deleted, written_again;
    uint64_t bits_flipped, files_scrubbed, damage_found, damage_read, damage_mended;
    uint64_t replicas_lacking, stuck_leaders, states_adopted;
    uint64_t redirected, retried;
    uint64_t reads, reads_unreadable, reads_confirmed, samples_read, replicas_compared;
};

/* Who was seen to lead in a term. */
struct seen_leader {
    uint64_t term;
    uint64_t node_id;
};

struct seen_leaders {
    struct seen_leader *items; /* [count], by rising term */
    size_t count, capacity;
};

enum { WORLD_GROUPS = WORLD_SHARDS_MAX + 1 }; /* the last one is the meta group */

struct version_seen {
    uint64_t index;
    uint32_t checksum;
};

/* A node on its way in or out; one at a time. */
enum change_kind {
    CHANGE_NONE,
    CHANGE_SETTLING, /* until all replicas are where they shall be */
    CHANGE_DRAINING,
    CHANGE_EMPTYING,
    CHANGE_REMOVING,
};

struct world_change {
    enum change_kind kind;
    struct node *node;
    uint64_t number;
    bool forced;
    bool is_asking;
    bool is_settled; /* as of the last look */
    const char *unrest;
    bool is_looking;
    uint64_t looked_ms;
};

struct world_options {
    struct seed_range seeds;
    uint64_t nodes, shards; /* 0: by the seed */
    uint64_t writes;        /* of clients, acknowledged */
    uint64_t without_rule;  /* of consensus; 0: none */
    bool until_failure, verbose;
};

struct flipped_bit {
    uint64_t file; /* its number, under whatever names */
    uint64_t bit;
    int was; /* before */
};

struct world {
    uint64_t seed;
    const struct world_options *options;
    struct simulated_environment *base;
    struct simulated_network network;
    struct random_generator random;
    struct node nodes[WORLD_NODES_MAX];
    size_t node_count; /* machines so far */
    size_t founders;
    uint32_t founding_shards, shard_count; /* shards are split */
    uint32_t splits_asked;
    uint32_t message_faults_per_thousand;
    bool apart[WORLD_NODES_MAX][WORLD_NODES_MAX]; /* [from][to]: stalled on purpose */

    struct arena *arena; /* labels */
    struct world_series series[WORLD_SERIES];
    uint64_t moment;     /* of attempts and deletions */
    size_t requests_out; /* of all kinds: each is answered before the end */
    bool is_ending;
    struct world_change change;

    struct node *rotting;                        /* NULL: no file rots */
    struct flipped_bit flipped[WORLD_FLIPS_MAX]; /* [flipped_count] of its files */
    size_t flipped_count;
    bool rot_is_over;
    uint64_t lacking_since_ms; /* of the rotting node; 0: it lacks nothing */

    bool has_cluster;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t directory_of_id[WORLD_IDS_MAX];
    struct version_seen versions[WORLD_VERSIONS_MAX];
    struct seen_leaders leaders[WORLD_GROUPS];
    uint64_t digest;
    struct world_counts counts;
    uint64_t slowest_ready_ms; /* of those that were awaited */
    char failure[500];
    jmp_buf *on_failure;
};

/* --- cluster_simulation.c --------------------------------------------------------------------- */

void world_fail(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
uint32_t world_below(struct world *world, uint32_t bound);
bool world_chance(struct world *world, uint32_t percent);
uint64_t world_now_ms(const struct world *world);

/* In pieces: nodes that fail meanwhile are taken apart, and leaders are looked at. */
void world_run_ms(struct world *world, uint64_t duration_ms);

typedef bool world_condition(struct world *world);
bool world_await(struct world *world, world_condition *condition, uint64_t milliseconds);

/* NULL: none is alive and knows who it is. */
struct node *world_any(struct world *world);
struct node *world_find(struct world *world, uint64_t node_id); /* alive; NULL: none */

/* --- cluster_node.c --------------------------------------------------------------------------- */

struct node *world_add(struct world *world);
void node_start(struct node *node);
void node_stop(struct node *node);
void node_crash(struct node *node);

/* Its disk is empty; it is down. */
void node_wipe(struct node *node);

/* The processes of a fallen node are not heard, nor hear; links are as `apart` says otherwise. */
void world_set_links(struct world *world);

/* --- cluster_wiring.c ------------------------------------------------------------------------- */

extern const struct meta_events NODE_META_EVENTS;
extern const struct transport_events NODE_TRANSPORT_EVENTS;
void node_fatal(void *context, const struct error *error);
void node_group_fatal(void *context, uint64_t group_id, const struct error *error);
void node_journal_fatal(void *context, const struct error *error);
void node_space_changed(void *context, enum journal_space space);
void node_follow(struct node *node);

/* --- cluster_medium.c ------------------------------------------------------------------------- */

void node_medium_init(struct node *node);

/* --- cluster_leaders.c ------------------------------------------------------------------------ */

void world_look_at_groups(struct world *world);
void world_forget_leaders(struct world *world);

/* Whether all founders of those that were split off have a replica of it: one that was down then
 * makes it later, or is replaced. */
bool world_children_are_whole(struct world *world);

/* --- cluster_writes.c ------------------------------------------------------------------------- */

void world_make_series(struct world *world);
void client_write(struct world *world, struct node *node);
void node_forget_series(struct node *node);
void time_list_add(struct time_list *list, int64_t time_ms);

/* The slots as the node knows them; as formation has them while it knows nothing. */
void node_slots(const struct node *node, struct slot_map *map_out);
uint32_t node_shard_of(const struct node *node, unsigned series);

/* Whether it has heard that the shard was split, and not yet into what: it answers no query. */
bool node_is_behind(const struct node *node, uint32_t shard_id);

/* --- cluster_deletions.c ---------------------------------------------------------------------- */

void client_delete(struct world *world, struct node *node);

/* --- cluster_rot.c ---------------------------------------------------------------------------- */

/* One bit in a stored file of the one node where this happens, in seeds where it does. */
void world_rot(struct world *world);

/* Read all files of that node; what is found is fetched from others. */
void world_scrub(struct world *world);

/* So often that everything is found. */
void world_find_rot(struct world *world);

/* The node does not start: whether it is for a file that an operator then had a copy of. */
bool world_mend_named(struct world *world, struct node *node, const struct error *error);

/* Where no other node has what a start lacks any more, an operator brings it. */
void world_look_at_lacking(struct world *world);

/* A file of that node is rotten still: no other disk may be lost. */
bool world_has_rot(struct world *world);

/* Whether a read may fail there. */
bool node_is_rotting(const struct node *node);

/* --- cluster_stuck.c -------------------------------------------------------------------------- */

/* All is well; then the node whose files rot can't write a freeze, and leads. */
void world_stick(struct world *world);

/* --- cluster_reads.c -------------------------------------------------------------------------- */

/* A series as a replica has it, by time. Columns are valid in the callback only. */
typedef void read_columns(void *context, const struct sample_columns *columns);
void node_read_series(struct node *node, struct replica *replica, unsigned series,
                      read_columns *read, void *context);

/* What this node acknowledged, and all that was acknowledged before it was started, is there, if
 * its replica says that it may be asked. */
void node_read_own(struct node *node);

/* The ready replica of the shard, held, and its node. NULL: none. */
struct replica *world_hold_leader(struct world *world, uint32_t shard_id, struct node **node_out);

/* What any node acknowledged is there, once a leader is confirmed. */
void node_read_confirmed(struct node *node);

/* --- cluster_changes.c ------------------------------------------------------------------------ */

void world_begin_change(struct world *world);
void world_go_on_changing(struct world *world);
bool world_is_settled(struct world *world); /* looks at it now and then */

/* --- cluster_readiness.c ---------------------------------------------------------------------- */

/* Notes who is ready by now. */
void world_look_at_readiness(struct world *world);

/* Every node that is up becomes ready, all faults being over; fails if one does not. */
void world_await_ready(struct world *world);

/* All nodes crash at once, and come back one after the other, in any order. */
void world_crash_all(struct world *world);

/* --- cluster_faults.c ------------------------------------------------------------------------- */

void world_step(struct world *world);
void world_heal(struct world *world);

/* Links and disks are well. */
void world_mend(struct world *world);

/* Nobody starts what is about to be removed: a node that left comes back by a start. */
bool node_is_leaving(const struct node *node);
void node_flush(struct node *node, uint32_t shard_id);

/* --- cluster_check.c -------------------------------------------------------------------------- */

void world_check(struct world *world);

#endif
