/*
 * fanout_private - what the parts of fanout share:
 *
 *   fanout.c          life, loops, how nodes have behaved
 *   latency.c         how long answers take to begin
 *   question.c        bytes of a question
 *   frame.c           bytes of an answer: frames
 *   series_*.c, record_format.c  what is in them
 *   call.c            a question to one node, and its answer as bytes, for a thread that waits
 *   exchange*.c       a question to all shards: who is asked, and asked instead
 *   source.c, remote_set.c, metadata_source.c  exchanges as sources
 *   serve*.c          answering other nodes
 *   replicas.c        those of this node
 */
#ifndef FANOUT_FANOUT_PRIVATE_H
#define FANOUT_FANOUT_PRIVATE_H

#include <stdatomic.h>

#include "fanout/fanout.h"
#include "fanout/replicas.h"
#include "latency.h"

/* How a node behaved, by its id modulo their number; only hints. */
enum { FANOUT_HEALTHS = 1024 };
struct fanout_health {
    _Atomic uint64_t avoid_until_ns;
    _Atomic uint64_t heard_ns; /* bytes of some answer */
};

struct fanout_loop {
    struct fanout *fanout;
    struct scheduler *scheduler;
    struct transport *transport; /* the loop's; NULL: detached */
    atomic_bool is_attached;
};

struct fanout_metadata_source {
    struct metadata_source base; /* first */
    struct fanout *fanout;
    enum fanout_read read;
};

struct fanout_counters {
    _Atomic uint64_t asked, hedged, retried, redirected, failed, received_bytes, unavailable;
    _Atomic uint64_t served, refused, sent_bytes;
};

struct fanout {
    struct fanout_options options;
    struct arena_account *memory; /* NULL: nobody pays */
    _Atomic uint64_t node_id;     /* 0: not yet known */
    struct fanout_loop *loops;    /* [options.loop_count] */
    _Atomic size_t next_loop;
    struct fanout_source sources[FANOUT_READS];
    struct fanout_metadata_source metadata[FANOUT_READS];
    struct fanout_health healths[FANOUT_HEALTHS];
    struct latency first_bytes;
    struct fanout_counters counters;
    /* Hedges of nodes that are alive, which may only be slow, in thousandths. */
    _Atomic int64_t hedges_allowed;
    _Atomic uint64_t serving;
    _Atomic uint64_t calls; /* that exist */
};

/* NULL: none is attached. */
struct fanout_loop *fanout_next_loop(struct fanout *fanout);

static inline uint64_t fanout_now_ns(const struct fanout *fanout)
{
    return clock_monotonic_ns(fanout->options.clock);
}

static inline struct fanout_health *fanout_health(struct fanout *fanout, uint64_t node_id)
{
    return &fanout->healths[node_id % FANOUT_HEALTHS];
}

/* It did not answer: others first, for a while. */
void fanout_avoid(struct fanout *fanout, uint64_t node_id, uint64_t for_ms);
bool fanout_is_avoided(struct fanout *fanout, uint64_t node_id, uint64_t now_ns);

/* A question was answered: a tenth of one more may be asked twice although its node is alive. */
void fanout_allow_hedge(struct fanout *fanout);

/* After how long a silence another node is asked. */
uint64_t fanout_hedge_ns(struct fanout *fanout);

/* Whether no other node need be asked for any shard. */
bool fanout_leads_all(struct fanout *fanout);

/* source.c, metadata_source.c */
extern const struct series_source_operations FANOUT_SOURCE_OPERATIONS;
extern const struct metadata_source_operations FANOUT_METADATA_OPERATIONS;

/* serve.c: the handlers of all kinds, on the loop. */
void fanout_serve_attach(struct fanout_loop *loop);

#endif
