/*
 * hosting - the replicas that a node keeps: made, led from step to step, and removed, as the state
 * of the cluster wants it.
 *
 * Each loop keeps the replicas of its shards. Now and then it compares what the cluster desires
 * (cluster_board) with what is here: a replica that is desired is made, one whose group has removed
 * it is deleted with its files, and where this node leads, the next step towards the desired
 * members is taken (placement_next_step). A node alone has fixed shards and takes no steps.
 *
 * Group s + 1 is that of shard s. Threads: as each function says; a loop's part is on its thread.
 */
#ifndef HOSTING_HOSTING_H
#define HOSTING_HOSTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "meta/meta.h"
#include "replica/replica.h"
#include "replica/replica_table.h"

struct cluster_board;
struct hosting;
struct journal;
struct transfer;
struct transport;

enum { HOSTING_REQUEST_KIND = 40 }; /* of the transport */

static inline uint64_t hosting_group_of(uint32_t shard_id)
{
    return (uint64_t)shard_id + 1;
}

/* --- Life ------------------------------------------------------------------------------------ */

struct hosting_loop_options {
    struct environment *environment;
    struct journal *journal;
    struct transport *transport; /* of the lane, without connections yet; NULL: a node alone */
    struct transfer *transfer;   /* of files, over it; NULL: a node alone */
};

/* What is pointed to outlives it. */
struct hosting_options {
    const struct hosting_loop_options *loops; /* [loop_count], copied */
    size_t loop_count;
    struct replica_table *table;
    struct replica_node *node;
    struct cluster_board *board; /* NULL: a node alone */
    bool has_new_directory;      /* no other program had it before: its shards get the newest
                                    state-machine version at once */
    /* What all shards have in common; shard_id, directory and environment are filled in. */
    struct shard_options shard;
    struct placement_limits limits;
    /* A replica can't go on; the process must end. */
    void (*fatal)(void *context, const struct error *error);
    void *context;
};

/* Before the loops run. Errors: OUT_OF_MEMORY. */
enum error_code hosting_create(const struct hosting_options *options, struct hosting **hosting_out,
                               struct error *error);

/* All loops closed their part. NULL is fine. */
void hosting_destroy(struct hosting *hosting);

/* The shards [shard_count] of a node alone, each with the loop that keeps it; others are kept by
 * the loop of their number modulo loop_count. Before hosting_open. Errors: OUT_OF_MEMORY. */
enum error_code hosting_deal(struct hosting *hosting, const uint32_t *loop_of_shard,
                             uint32_t shard_count, struct error *error);

uint32_t hosting_loop_of(const struct hosting *hosting, uint32_t shard_id);

/*
 * Open what this loop keeps: the shards that it was dealt, and those whose groups `recovery` has.
 * `host` is of the loop and bears the node's id. Blocking; on the loop, or before it runs. The
 * recovery stays open until no replica replays.
 * Errors: those of replica_create and replica_start.
 */
enum error_code hosting_open(struct hosting *hosting, size_t loop, struct group_host *host,
                             uint64_t node_id, const struct journal_recovery *recovery,
                             struct error *error);

/* Close the loop's replicas; `closed` runs on the loop, not inside the call. */
void hosting_close(struct hosting *hosting, size_t loop, void (*closed)(void *context),
                   void *context);

/* The journal has failed, as for group_host_journal_lost: what waits for it will not come. For an
 * orderly end all the same: before the journal is closed, then hosting_close, which does not wait
 * for those that hold replicas; none of them may be another thread. */
void hosting_journal_lost(struct hosting *hosting, size_t loop);

/* --- On a loop ------------------------------------------------------------------------------- */

/* The loop's replicas, in no order; they are there until the visit returns. */
typedef void hosting_visit(void *context, uint32_t shard_id, struct replica *replica);
void hosting_visit_loop(struct hosting *hosting, size_t loop, hosting_visit *visit, void *context);

/*
 * Give leadership away wherever this loop's replicas have it, to voters that are there and up to
 * date, and take no more; `done` runs on the loop when none is led, or after `patience_ms`.
 */
void hosting_hand_over(struct hosting *hosting, size_t loop, uint64_t patience_ms,
                       void (*done)(void *context), void *context);

/* --- Between nodes: any thread --------------------------------------------------------------- */

/* What the leader of the meta group made known. */
void hosting_observed(struct hosting *hosting, const struct meta_view *view);

/* That a shard, if it is led here, be led by another node. */
void hosting_transfer(struct hosting *hosting, uint32_t shard_id, uint64_t to_node);

/* Fill in the shards that this node leads, as of a moment ago; valid until the next call, which is
 * by the same thread. */
void hosting_report(struct hosting *hosting, struct meta_report *report_out);

/* --- Looking: any thread --------------------------------------------------------------------- */

struct hosting_statistics {
    uint64_t replicas;
    uint64_t leaders;
    uint64_t replaying;           /* replicas that still apply what the start found */
    struct replica_replay replay; /* of all replicas */
    uint64_t missing;             /* desired here, and not made yet */
    uint64_t empty;   /* made, of a shard that was split off while this node was away: they have a
                       * vote, and wait for what the shard holds */
    uint64_t lacking; /* stored here, and not open until other nodes sent files */
    uint64_t created_total; /* while the node ran */
    uint64_t removed_total;
    uint64_t steps_total; /* changes of members that were begun */
    uint64_t transfers_total;
};
void hosting_read_statistics(const struct hosting *hosting,
                             struct hosting_statistics *statistics_out);

/*
 * Whether a node of a cluster can do its part: what the cluster desires of it is known, its
 * replicas are there and have applied what its start found, and somebody was seen to lead every
 * shard. Errors: UNAVAILABLE, which says what is waited for.
 */
enum error_code hosting_check_ready(const struct hosting *hosting, struct error *error);

#endif
