/*
 * cluster_board - what all threads of a node see of the cluster.
 *
 * One thread posts states; others look at the newest, which never changes and lives as long as
 * somebody holds it. Beside it hang short notes about shards: who was seen to lead, and up to which
 * entry this node has acknowledged writes. Thread-safe.
 */
#ifndef MEMBERSHIP_CLUSTER_BOARD_H
#define MEMBERSHIP_CLUSTER_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "membership/cluster_state.h"

struct cluster_board;

/* Errors: OUT_OF_MEMORY. */
enum error_code cluster_board_create(struct cluster_board **board_out, struct error *error);

/* All views must be released. NULL is fine. */
void cluster_board_destroy(struct cluster_board *board);

/* --- States ---------------------------------------------------------------------------------- */

/* A state, shared. */
struct cluster_view;

enum cluster_view_kind {
    CLUSTER_VIEW_REMEMBERED, /* from an earlier life: good enough to find other nodes by */
    CLUSTER_VIEW_CURRENT,    /* what the meta group said in this one */
};

/* Hang up a copy. Errors: OUT_OF_MEMORY. */
enum error_code cluster_board_post(struct cluster_board *board, const struct cluster_state *state,
                                   enum cluster_view_kind kind, struct error *error);

/* The newest, a reference; NULL before the first. */
struct cluster_view *cluster_board_view(struct cluster_board *board);

/* Replace *view (NULL: none yet) by the newest, if that is another: cheap when it is not. True when
 * it was replaced. */
bool cluster_board_refresh(struct cluster_board *board, struct cluster_view **view);

const struct cluster_state *cluster_view_state(const struct cluster_view *view);
enum cluster_view_kind cluster_view_kind(const struct cluster_view *view);

/* NULL is fine. */
void cluster_view_unref(struct cluster_view *view);

/* --- Notes ----------------------------------------------------------------------------------- */

/* The node that was seen to lead a shard; 0: not known. Hints, which may be wrong. */
uint64_t cluster_board_leader(const struct cluster_board *board, uint32_t shard_id);
void cluster_board_note_leader(struct cluster_board *board, uint32_t shard_id, uint64_t node_id);

/* Only if `node_id` is what is noted: it turned out not to lead. */
void cluster_board_forget_leader(struct cluster_board *board, uint32_t shard_id, uint64_t node_id);

/* Index of the newest entry of the shard's log with a write that this node acknowledged; 0: none.
 * What is read through this node must not be older. */
uint64_t cluster_board_written(const struct cluster_board *board, uint32_t shard_id);
void cluster_board_note_written(struct cluster_board *board, uint32_t shard_id, uint64_t index);

/* How often a shard is known to have been split, which follows what the cluster desires. */
uint32_t cluster_board_splits(const struct cluster_board *board, uint32_t shard_id);
void cluster_board_note_splits(struct cluster_board *board, uint32_t shard_id, uint32_t splits);

/* Rises with each such note that was new. */
uint64_t cluster_board_split_version(const struct cluster_board *board);

/* Whether a shard of a state has its slots: all on the way to it are known to have been split off.
 */
bool cluster_board_is_split_off(const struct cluster_board *board,
                                const struct cluster_state *state, uint32_t shard_id);

/* The shard that has each slot as far as is known, slots_out[SLOT_COUNT]: of a state that has
 * some. */
void cluster_board_slots(const struct cluster_board *board, const struct cluster_state *state,
                         uint16_t *slots_out);

#endif
