/*
 * group_cluster - up to five nodes with groups, a network that misbehaves, and a checker.
 *
 * The checker knows what any replica applied at which index and what was acknowledged, and ends
 * the run at the first contradiction: two values at one index, a value applied twice, two
 * leaders of one term, a replayed state that differs from the one the snapshot was taken of.
 */
#ifndef GROUP_CLUSTER_H
#define GROUP_CLUSTER_H

#include <setjmp.h>

#include "group/group.h"
#include "group_medium.h"
#include "simulated_environment.h"

enum { CLUSTER_NODES_MAX = 5, CLUSTER_GROUPS_MAX = 3 };

struct cluster;
struct cluster_node;
struct letter;
struct cluster_wires;
struct consensus_message;

struct cluster_settings {
    uint64_t seed;
    size_t node_count;
    size_t group_count;
    size_t founder_count; /* the first nodes */
    enum group_medium_mode medium_mode;
    uint32_t disabled_rules;
    uint64_t snapshot_log_bytes; /* 0: the default */
    uint64_t in_flight_bytes_max;
    bool slow_to_prepare; /* snapshots of peers are prepared in time, or not, and are of frozen
                           * states too */
    bool over_transport;  /* real transports carry what the nodes say, see group_wires.h */
};

struct cluster_value {
    uint64_t index;
    uint64_t value;
};

/* A growing list of values. */
struct cluster_values {
    struct cluster_value *items;
    size_t count, capacity;
};

/* Who voted for whom, nodes counted from 1. */
struct cluster_vote {
    uint64_t term;
    size_t group_number;
    uint64_t voter, candidate;
};

struct cluster_votes {
    struct cluster_vote *items;
    size_t count, capacity;
};

struct cluster_machine {
    struct state_machine base;
    struct cluster_node *node;
    size_t group_number;
    struct group *group;
    struct cluster_values values; /* the state */
    uint64_t applied_index;
    uint64_t frozen_index;
    /* While a snapshot is rebuilt: what its state was. */
    uint64_t rebuild_index, rebuild_hash;
    struct group_entry *queue;
    size_t queue_count, queue_capacity;
    bool slice_scheduled;
    bool stalled; /* applies nothing: a slow shard */
    bool leads;
    bool started;
    /* Getting ready for a snapshot of the leader: of which index (0: none), and whether it was
     * told. Each preparation has a number. */
    uint64_t preparing_index, preparation;
    bool is_prepared;
    uint64_t restores, leader_changes, snapshots_stored;
};

struct cluster_transport {
    struct group_transport base;
    struct cluster_node *node;
};

struct cluster_node {
    struct cluster *cluster;
    uint64_t id;
    bool alive;     /* serves */
    size_t closing; /* parts that are not closed yet */
    uint64_t incarnation;
    struct group_medium *medium;
    struct journal *journal;
    struct journal_recovery *recovery;
    struct group_host *host;
    struct cluster_transport transport;
    struct cluster_machine machines[CLUSTER_GROUPS_MAX];
    struct cluster_values files[CLUSTER_GROUPS_MAX]; /* survive: what was frozen */
    /* Its log is of before another replica was forced to go on without it: what it applies need not
     * be what the others have. */
    bool is_of_former_era;
    bool is_wiped; /* it lost its disk, and founds nothing */
};

struct cluster_counts {
    uint64_t proposals, acknowledged, unknown;
    uint64_t crashes, messages, lost, duplicated, reordered;
    uint64_t snapshots, installs, replayed, read_back, elections;
    uint64_t member_changes, transfers, duels, slow_followers, rivals, majorities, scripts, cuts;
    uint64_t prepared, superseded, unprepared, cancelled, frozen_exports, adopted;
};

struct cluster {
    struct cluster_settings settings;
    struct simulated_environment *world;
    struct random_generator random; /* of the test itself */
    struct cluster_node nodes[CLUSTER_NODES_MAX];

    /* Network. */
    struct cluster_wires *wires;                    /* NULL: letters */
    bool cut[CLUSTER_NODES_MAX][CLUSTER_NODES_MAX]; /* [from][to] */
    uint32_t loss_per_thousand, duplicate_per_thousand;
    uint64_t delay_ms_max;
    uint64_t slow_ms[CLUSTER_NODES_MAX]; /* added to what this node sends */
    /* Letters that a scenario holds back: those that `holds` says it of, until they are released
     * or dropped. NULL: none. */
    bool (*holds)(struct cluster *cluster, size_t from, size_t to,
                  const struct consensus_message *message);
    struct letter *held; /* the last one first */

    /* Checker, a group each. */
    struct cluster_values committed[CLUSTER_GROUPS_MAX]; /* by rising index */
    struct cluster_values acknowledged[CLUSTER_GROUPS_MAX];
    struct cluster_values leaders[CLUSTER_GROUPS_MAX]; /* term and node */
    struct cluster_votes votes;
    uint64_t next_value;
    uint64_t requests_out;
    struct cluster_counts counts;

    char failure[256]; /* the first contradiction */
    jmp_buf *on_failure;
};

struct cluster *cluster_create(const struct cluster_settings *settings);
void cluster_destroy(struct cluster *cluster);

/* Start a node from what it stored. Fails the run when the group refuses to start. */
void cluster_start(struct cluster *cluster, size_t node);

/* In the middle of whatever it does; returns when all of it is closed. */
void cluster_crash(struct cluster *cluster, size_t node);

/* In good order. */
void cluster_stop(struct cluster *cluster, size_t node);

/* It stops in good order, and the machine goes down before it is done. */
void cluster_crash_over_stop(struct cluster *cluster, size_t node);

/* Its disk is lost, and all that was on it; it is down. */
void cluster_wipe(struct cluster *cluster, size_t node);

/* Have a node go on alone with what it has; what others had beyond that never happened. False: it
 * was refused. */
bool cluster_force(struct cluster *cluster, size_t node, size_t group_number);

/* A number below `bound`, by the seed. */
uint32_t cluster_below(struct cluster *cluster, uint32_t bound);

void cluster_run_for(struct cluster *cluster, uint64_t milliseconds);

/* Let go what is held back of this sender, in the order in which it was sent; let all of it be
 * lost. */
void cluster_release_letters(struct cluster *cluster, size_t from);
void cluster_drop_letters(struct cluster *cluster);

/* Node that leads and takes proposals, or SIZE_MAX. */
size_t cluster_leader(struct cluster *cluster, size_t group_number);

/* Run until there is one; false after `milliseconds`. */
bool cluster_await_leader(struct cluster *cluster, size_t group_number, uint64_t milliseconds);

/* Propose the next value on a node, with so many bytes of payload (at least 8). */
enum error_code cluster_propose(struct cluster *cluster, size_t node, size_t group_number,
                                size_t payload_bytes);

/* Ask for a change of members or a transfer (role unused); false when it was refused. */
bool cluster_change(struct cluster *cluster, size_t node, size_t group_number,
                    enum group_change_kind kind, size_t member, enum consensus_role role);
bool cluster_transfer(struct cluster *cluster, size_t node, size_t group_number, size_t member);

/* What is applied now becomes files, and needs no log any more. */
void cluster_freeze(struct cluster *cluster, size_t node, size_t group_number);

/* All links up, nothing lost and all nodes started but one, where the others are a majority of
 * every membership that anybody knows: then each group must find a leader. */
void cluster_check_majority(struct cluster *cluster);

/* All links up, nothing lost, all nodes started; then every member that is sent entries must
 * come to the same state with all that was acknowledged in it. */
void cluster_heal_and_check(struct cluster *cluster);

void cluster_fail(struct cluster *cluster, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
