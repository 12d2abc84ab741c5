/*
 * routing_private - a call on its way to the leader of its shard. Private to routing.
 *
 *   routing.c  life, calls and how they end    errand.c  asking other nodes
 *   local.c    what a replica here does        serve.c   what other nodes ask
 *   write_question.c, write_answer.c           bytes
 */
#ifndef ROUTING_ROUTING_PRIVATE_H
#define ROUTING_ROUTING_PRIVATE_H

#include <stdatomic.h>
#include <stddef.h>

#include "membership/cluster_board.h"
#include "replica/replica.h"
#include "replica/replica_table.h"
#include "routing/routing.h"
#include "transport/transport.h"

#include "write_codec.h"

/* Written on the loop only, read by any thread. */
struct routing_counters {
    _Atomic uint64_t local, sent, sent_bytes, received, received_bytes;
    _Atomic uint64_t redirected, retried, unavailable, malformed;
    _Atomic uint64_t under_way, sent_bytes_under_way, received_bytes_under_way;
};

struct routing {
    struct write_router router; /* first */
    struct routing_options options;
    struct arena_account received_account;
    struct cluster_view *view; /* NULL: none yet */
    uint32_t turn;             /* which replica of a shard is asked first when nobody knows */
    struct routing_counters counters;
    bool draining;
    void (*drained)(void *context);
    void *drained_context;
    struct task drained_task;
};

static inline void counter_move(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static inline uint64_t counter_now(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* --- Calls: what somebody wants of the leader of a shard -------------------------------------- */

struct call {
    enum question_kind kind;
    uint32_t shard_id;
    union {
        struct replica_write *write;
        struct replica_entry *entry;
        struct routing_flush *flush;
        struct routing_tenant *tenant;
    };
};

/* It is under way. */
void call_begin(struct routing *routing, const struct call *call);

/* Not inside the call. Counts, and runs its `done`: its memory may be gone afterwards. */
void call_end(struct routing *routing, const struct call *call, const struct error *error);

/* The same, later. */
void call_end_later(struct routing *routing, const struct call *call, enum error_code code,
                    const char *why);

/* It was stored: what others may go by. */
void call_note(struct routing *routing, const struct call *call, uint64_t leader_id,
               uint64_t index);

/* It was not, since slots of the shard are another's, or become so: what writes go by from now on.
 */
void call_note_splits(struct routing *routing, uint32_t shard_id, uint32_t splits);

/* --- Here (local.c) --------------------------------------------------------------------------- */

/* The replica if it leads, to be released. NULL: it does not, or there is none. */
struct replica *local_hold_leader(struct routing *routing, uint32_t shard_id);

/* Who leads according to the replica of this node, if it is another node; 0: not known. */
uint64_t local_leader(struct routing *routing, uint32_t shard_id);

/* By the held replica, which is released at the end. */
void local_run(struct routing *routing, const struct call *call, struct replica *replica);

/* --- There (errand.c) ------------------------------------------------------------------------- */

void errand_start(struct routing *routing, const struct call *call);

/* --- For others (serve.c) --------------------------------------------------------------------- */

void serve_register(struct routing *routing);

#endif
