/*
 * fanout - queries over all shards of a cluster, from any of its nodes.
 *
 * For each shard of the cluster's state a replica is chosen, here or on another node; what is asked
 * of one node goes there in one request, and a request that is not answered is asked elsewhere. To
 * the query engine all of it is one series_source. The same object answers the other nodes. Bytes
 * between nodes: docs/protocols/select.md.
 *
 *   worker: select ──▶ plan ──▶ replicas of this node: their sources
 *                         └──▶ a request to each node, posted to some loop ──▶ transport
 *   loop:   question of another node ──▶ a job on a worker ──▶ pieces, as the asker takes them
 *
 * Threads: sources, metadata and distributor are used by workers, where they block; fanout_attach
 * and fanout_detach belong to the loop that they name; all else any thread.
 */
#ifndef FANOUT_FANOUT_H
#define FANOUT_FANOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "membership/cluster_board.h"
#include "platform/clock.h"
#include "platform/scheduler.h"
#include "platform/worker_pool.h"
#include "promql/distribution.h"
#include "promql/metadata_source.h"
#include "promql/series_source.h"
#include "replica/replica_table.h"
#include "transport/transport.h"

struct fanout;
struct fanout_replicas;
struct fanout_windows; /* fanout/windows.h */

/* What a read must have seen. */
enum fanout_read {
    /* All that this node acknowledged, and what was committed at most seconds ago. */
    FANOUT_READ_DEFAULT,
    /* All that any node acknowledged before the read began: by leaders that were confirmed. */
    FANOUT_READ_STRONG,
    FANOUT_READS
};

/* A number that is 0 stands for the default. */
struct fanout_options {
    struct cluster_board *board;      /* outlives the fanout; NULL: a node alone */
    struct fanout_replicas *replicas; /* of this node (fanout/replicas.h); outlives the fanout */
    struct clock *clock;
    size_t loop_count;               /* of this node, each with its transport; 0: a node alone */
    struct worker_pool *pool;        /* that sub-queries are shared by; NULL: each has one thread */
    uint64_t query_memory_max_bytes; /* of a sub-query; 0: no limit of its own */
    uint64_t samples_max;            /* held by a sub-query at once; 0: as it asks for */
    uint64_t timeout_ms;             /* of a question without a deadline: 2 min */
    /* While no replica of a shard can be read, it is tried again for so long: 3 s. */
    uint64_t patience_ms;
    uint64_t hedge_ms_min,
        hedge_ms_max;      /* silence after which a second node is asked: 50, 150 ms */
    uint64_t slow_ms;      /* a node that was silent is asked last for so long: 5 s */
    uint32_t window_bytes; /* of an answer, on its way: 1 MiB */
    uint32_t serving_max;  /* questions of other nodes at once; beyond: UNAVAILABLE. 256 */
};

/* Errors: OUT_OF_MEMORY. */
enum error_code fanout_create(const struct fanout_options *options, struct fanout **fanout_out,
                              struct error *error);

/* No query may be under way, and the transports must be closed or never have been attached. NULL is
 * fine. */
void fanout_destroy(struct fanout *fanout);

/* What answers to other nodes are charged to, before the first question; without: nobody. */
void fanout_set_memory(struct fanout *fanout, struct arena_account *memory);

/* Who this node is in the cluster, as soon as it is known. */
void fanout_set_node(struct fanout *fanout, uint64_t node_id);

/* --- Loops ----------------------------------------------------------------------------------- */

/*
 * Ask and answer by this transport. On its loop, before its first connection; `number` <
 * loop_count. Both outlive the attachment. Questions are worked on by the workers of the scheduler
 * (JOB_SUBQUERY).
 */
void fanout_attach(struct fanout *fanout, size_t number, struct scheduler *scheduler,
                   struct transport *transport);

/* Ask by it no more, before it is closed. On its loop. */
void fanout_detach(struct fanout *fanout, size_t number);

/* --- Asking ---------------------------------------------------------------------------------- */

/*
 * All shards of the cluster as one source; lives as long as the fanout. A shard that nobody can
 * answer for is an error that names it. On a thread that may not wait (platform/no_wait.h) it ends
 * with WOULD_WAIT where another node would have to be asked.
 */
struct series_source *fanout_source(struct fanout *fanout, enum fanout_read read);

/* The same for one query that wants to know what it read: told there when a set is closed. The
 * caller's memory, as long as the sets. */
struct fanout_source {
    struct series_source base; /* first */
    struct fanout *fanout;
    enum fanout_read read;
    struct fanout_windows *windows; /* NULL: nobody wants to know */
};

struct series_source *fanout_source_init(struct fanout_source *source, struct fanout *fanout,
                                         enum fanout_read read, struct fanout_windows *windows);

/* Likewise what is known of metrics. */
struct metadata_source *fanout_metadata(struct fanout *fanout, enum fanout_read read);

/*
 * Sub-queries of one query, sent to where the series are: one to each node, for all shards that it
 * is asked about. Declines while all shards are led here. The caller's memory, as long as the
 * query.
 */
struct fanout_distributor {
    struct promql_distributor base; /* first */
    struct fanout *fanout;
    enum fanout_read read;
    const atomic_bool *canceled;    /* of the query; NULL: never */
    struct arena_account *memory;   /* what answers are charged to; NULL: none */
    struct fanout_windows *windows; /* where it is told what was read; NULL: nobody wants to know */
};

/* Returns what the engine is given: NULL while all shards are led here, so that short queries stay
 * on their loops. */
struct promql_distributor *fanout_distributor_init(struct fanout_distributor *distributor,
                                                   struct fanout *fanout, enum fanout_read read,
                                                   const atomic_bool *canceled,
                                                   struct arena_account *memory);

/* --- Looking --------------------------------------------------------------------------------- */

struct fanout_statistics {
    uint64_t asked;      /* requests to other nodes */
    uint64_t hedged;     /* of them, because another was silent */
    uint64_t retried;    /* of them, because another failed or could not answer for a shard */
    uint64_t redirected; /* answers for a shard: not here, that one leads */
    uint64_t failed;     /* requests that ended with an error */
    uint64_t received_bytes;
    uint64_t unavailable; /* questions that ended since a shard had no readable replica */
    uint64_t served;      /* questions of other nodes */
    uint64_t refused;     /* of them, since there were too many */
    uint64_t serving;     /* now */
    uint64_t sent_bytes;
    uint64_t first_byte_ns_p95; /* of answers, as far as was seen lately; 0: not yet */
};
void fanout_statistics(struct fanout *fanout, struct fanout_statistics *statistics_out);

#endif
