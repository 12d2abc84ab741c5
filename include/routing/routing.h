/*
 * routing - the way of writes, deletions and flushes to whoever leads their shard.
 *
 * One a loop; everything here is called on it, but for routing_read_statistics. What this node
 * leads goes to its replica as it is; anything else is encoded once and asked of the node that
 * leads, over the transport of the same loop, which also brings what other nodes ask of this one.
 * Who leads is known from the last answers (the board), from the replica of this node, or else
 * found by asking the replicas of the shard in turn. A node without a cluster has neither board nor
 * transport. Bytes: docs/protocols/write.md.
 *
 * Life: routing_create before the transport has connections, routing_drain before the transport is
 * gone (when it is told to close, say), routing_destroy when drained and the transport is gone.
 */
#ifndef ROUTING_ROUTING_H
#define ROUTING_ROUTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "platform/scheduler.h"
#include "replica/write_router.h"
#include "shard/shard.h"

struct cluster_board;
struct replica;
struct replica_table;
struct routing;
struct transport;

/* A number that is 0 stands for the default. All that is pointed to outlives the routing, but for
 * the transport. */
struct routing_options {
    struct scheduler *scheduler;
    struct replica_table *table;
    struct cluster_board *board; /* NULL: no cluster */
    struct transport *transport; /* of this loop; NULL: none */
    uint64_t node_id;            /* this node's; 0: not known yet, see routing_set_node */
    uint64_t timeout_ms;         /* of one question, 4 s */
    uint64_t sent_bytes_max;     /* encoded and not answered; beyond: UNAVAILABLE; 32 MiB */
    uint64_t received_bytes_max; /* memory of what others sent and is not answered; 64 MiB */
    /* A flush of a replica of this node is over, on the replica's loop: the log before it is not
     * needed any more. NULL: nobody cares. */
    void (*flushed)(void *context, uint32_t shard_id, struct replica *replica);
    /* The board was told of a split that somebody here did not go by. On this loop. NULL likewise.
     */
    void (*slots_changed)(void *context);
    void *context;
};

/* Registers its kinds of requests with the transport. Errors: OUT_OF_MEMORY. */
enum error_code routing_create(const struct routing_options *options, struct routing **routing_out,
                               struct error *error);

/* Nothing is under way. NULL is fine. */
void routing_destroy(struct routing *routing);

/* From now on everything is refused with UNAVAILABLE, what others ask included. `drained` runs when
 * nothing is under way, not inside the call: replicas and peers answer first. Once. */
void routing_drain(struct routing *routing, void (*drained)(void *context), void *context);

/* The node has got its id. */
void routing_set_node(struct routing *routing, uint64_t node_id);

/*
 * Writes and proposals. One attempt a call, though one that goes on to another node as long as
 * those asked before certainly did nothing: not connected, or not the leader. Every outcome but
 * NONE is UNAVAILABLE, with the reason, or OUT_OF_MEMORY.
 */
struct write_router *routing_router(struct routing *routing);

/* Freeze and merge a shard, by its leader; the caller's until `done`. */
struct routing_flush {
    enum flush_reach reach;
    uint64_t timeout_ms; /* 0: 10 min */
    void (*done)(struct routing_flush *flush);
    struct error error; /* outcome: NONE, or UNAVAILABLE and not, or not all, may be flushed */

    /* The module's. */
    struct routing *routing;
    uint32_t shard_id;
    struct replica *replica;
    struct shard_flush flush;
    struct task task;
};

void routing_flush(struct routing *routing, uint32_t shard_id, struct routing_flush *flush);

/* Ask the leader of a shard what it has of a tenant; the caller's until `done`. */
struct routing_tenant {
    struct text tenant; /* stays until then */
    void (*done)(struct routing_tenant *asked);
    struct shard_tenant_state state; /* the answer, */
    struct error error;              /* or UNAVAILABLE */

    /* The module's. */
    struct routing *routing;
    uint32_t shard_id;
    struct replica *replica;
    struct task task;
};

void routing_ask_tenant(struct routing *routing, uint32_t shard_id, struct routing_tenant *asked);

/* Since the start, but for the last three. */
struct routing_statistics {
    uint64_t local;      /* writes, deletions and flushes for replicas of this node */
    uint64_t sent;       /* asked of others, each question */
    uint64_t sent_bytes; /* of these questions */
    uint64_t received;   /* asked by others */
    uint64_t received_bytes;
    uint64_t redirected;  /* answers that another node leads */
    uint64_t retried;     /* questions that followed another of the same call */
    uint64_t unavailable; /* calls that ended so */
    uint64_t malformed;   /* questions and answers that could not be read */
    uint64_t under_way;   /* calls and received questions, now */
    uint64_t sent_bytes_under_way;
    uint64_t received_bytes_under_way;
};

/* Any thread. */
void routing_read_statistics(const struct routing *routing,
                             struct routing_statistics *statistics_out);

#endif
