/*
 * shard_node - a whole node without its HTTP: journal, group host and replicas on the simulated
 * world, opened and closed as the server does.
 */
#ifndef TESTS_SHARD_NODE_H
#define TESTS_SHARD_NODE_H

#include "journal/journal.h"
#include "replica/replica.h"
#include "shard/shard_bucket.h"
#include "simulated_environment.h"

enum { NODE_SHARDS = 2, NODE_STEPS_MAX = 3000000 };

struct shard_node {
    struct simulated_environment *environment;
    enum journal_durability durability;
    int64_t retention_ms;               /* 0: for ever */
    struct retention_policy *retention; /* NULL: what retention_ms says; the run's */
    int64_t retention_grace_ms;
    uint32_t version;           /* that shards rise to; 0: they stay with the first */
    struct shard_bucket bucket; /* without a store: there is none */
    struct page_cache *cache;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct group_host *host;
    struct replica *replicas[NODE_SHARDS];
    char directories[NODE_SHARDS][32];
    struct replica_node limits;
    bool journal_failed;
    bool replica_failed;
    struct error failure; /* of the replica that failed */
    size_t closing, settling;
};

/* Recover, open, wait until every shard takes writes. On an error close it all the same. */
enum error_code shard_node_open(struct shard_node *node, struct error *error);

/* What SIGTERM begins with: freeze, and drop the log. False when the node broke over it. */
bool shard_node_settle(struct shard_node *node);

/* In the order of an orderly end, or of one whose log failed. */
void shard_node_close(struct shard_node *node);

/* The disk fails from now on, if it does not yet; then close. */
void shard_node_crash(struct shard_node *node, enum simulated_crash crash);

/* Nothing can go on: the log, a shard or the whole machine failed. */
bool shard_node_is_broken(const struct shard_node *node);

#endif
