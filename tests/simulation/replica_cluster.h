/*
 * replica_cluster - nodes that replicate one shard: each with a disk, a journal, a group host, a
 * replica and transports of its own, on one simulated clock and network.
 *
 *     replica_node    a node from its start to its end, in good order or not
 *     replica_files   how files get from node to node, where it is not the real transfer
 *     replica_writes  samples written, and what of them was acknowledged
 *     replica_check   what every replica must hold in the end
 */
#ifndef TESTS_REPLICA_CLUSTER_H
#define TESTS_REPLICA_CLUSTER_H

#include <setjmp.h>

#include "group/link.h"
#include "journal/journal.h"
#include "offered_samples.h"
#include "replica/replica.h"
#include "simulated_environment.h"
#include "simulated_network.h"
#include "transfer/transfer.h"
#include "transport/transport.h"

enum {
    REPLICA_NODES_MAX = 8,
    REPLICA_FOUNDERS = 3,
    REPLICA_SERIES = 40,
    REPLICA_GROUP = 1,
    REPLICA_STEPS_MAX = 5000000,
};

struct replica_cluster;

struct cluster_node {
    struct replica_cluster *cluster;
    size_t number; /* its id is one more */
    bool exists;   /* a disk, and a place among the members */
    bool alive;
    size_t closing; /* parts that are not closed yet */
    uint64_t incarnation;
    struct simulated_disk disk;
    struct random_generator random;
    struct environment environment;
    struct transport *transport;
    struct group_link *link;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct group_host *host;
    struct page_cache *cache;
    struct replica_node limits;
    struct file_fetcher double_fetcher;
    struct transfer *transfer;
    struct transfer_budget budget;
    struct replica *replica;
    bool failed;
};

struct replica_counts {
    uint64_t writes, refused, acknowledged_samples, crashes, stops, crashes_in_operation, wiped,
        joined, removed;
    uint64_t freezes, flushes, merges, cuts, full_disks;
    uint64_t prepared, installs, files_fetched, files_rejected, files_failed, fetches_cancelled;
    uint64_t read_back, checks;
    uint64_t rotten, scrubbed, damaged, repaired;
    uint64_t ranges_served, ranges_refused, ranges_failed, files_resumed, throttled_ms;
    uint64_t raised, adopted;
};

struct replica_cluster {
    uint64_t seed;
    struct simulated_environment *world;
    struct simulated_network network;
    struct random_generator random;
    struct cluster_node nodes[REPLICA_NODES_MAX];
    size_t node_count;  /* places used so far */
    bool real_transfer; /* not the double */
    bool files_rot;
    uint32_t version_wanted; /* of the state machine, by all nodes */
    bool is_mixed;           /* node 1 runs a program that knows one version less */
    size_t rotting;          /* the node whose files rot */
    bool faulty_files;       /* the double errs now and then */
    struct offered_series series[REPLICA_SERIES];
    uint64_t moment; /* of attempts */
    uint32_t others; /* series written that nobody looks at */
    bool scrubbing;
    size_t writes_in_flight;
    size_t requests_in_flight;
    struct replica_counts counts;
    char failure[400];
    jmp_buf *on_failure;
};

void cluster_fail(struct replica_cluster *cluster, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

uint32_t cluster_below(struct replica_cluster *cluster, uint32_t bound);
bool cluster_chance(struct replica_cluster *cluster, uint32_t percent);
void cluster_run_for(struct replica_cluster *cluster, uint64_t milliseconds);

/* The node that leads and takes writes; NULL when there is none. */
struct cluster_node *cluster_leader(struct replica_cluster *cluster);
struct cluster_node *cluster_await_leader(struct replica_cluster *cluster, uint64_t milliseconds);

/* Read all files of the node, unless that is done already. */
void cluster_scrub(struct cluster_node *node);

/* --- replica_node.c ------------------------------------------------------------------------- */

void cluster_node_init(struct replica_cluster *cluster, size_t number);
void cluster_node_start(struct cluster_node *node);
void cluster_node_stop(struct cluster_node *node);
void cluster_node_crash(struct cluster_node *node);

/* --- replica_files.c ------------------------------------------------------------------------ */

extern const struct file_fetcher_operations DOUBLE_FETCHER;

/* --- replica_writes.c ----------------------------------------------------------------------- */

void cluster_write(struct replica_cluster *cluster, struct cluster_node *node);

/* A sample each of so many series that nobody has written before, and nobody looks at. */
void cluster_write_others(struct replica_cluster *cluster, struct cluster_node *node,
                          uint32_t count);

/* --- replica_check.c ------------------------------------------------------------------------ */

/* Everything that was acknowledged, and nothing that was not written; a hash of all of it. */
uint64_t cluster_check_samples(struct replica_cluster *cluster, struct cluster_node *node);

/* All faults end; every replica comes to the same samples and the same files. */
void cluster_heal_and_check(struct replica_cluster *cluster);

/* --- replica_stuck.c ------------------------------------------------------------------------ */

/* All is well; then a freeze of one node finds a file rotten that all others have done with. */
void cluster_stick(struct replica_cluster *cluster);

#endif
