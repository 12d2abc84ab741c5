#include "membership/cluster_board.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct cluster_view {
    struct cluster_state *state;
    enum cluster_view_kind kind;
    _Atomic uint64_t references;
};

struct cluster_board {
    pthread_mutex_t mutex;
    struct cluster_view *view;             /* under the mutex */
    _Atomic(struct cluster_view *) newest; /* to compare with, never to look into */
    _Atomic uint64_t leaders[CLUSTER_SHARDS_MAX];
    _Atomic uint64_t written[CLUSTER_SHARDS_MAX];
};

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code cluster_board_create(struct cluster_board **board_out, struct error *error)
{
    struct cluster_board *board = calloc(1, sizeof *board);
    if (board == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "board of the cluster");
    pthread_mutex_init(&board->mutex, NULL);
    *board_out = board;
    return ERROR_NONE;
}

void cluster_board_destroy(struct cluster_board *board)
{
    if (board == NULL)
        return;
    cluster_view_unref(board->view);
    pthread_mutex_destroy(&board->mutex);
    free(board);
}

/* --- States ---------------------------------------------------------------------------------- */

/* The bytes of a state are all of it, and every state can be read again. */
static enum error_code copy_state(const struct cluster_state *state,
                                  struct cluster_state **copy_out, struct error *error)
{
    struct byte_buffer bytes = {0};
    cluster_state_encode(state, &bytes);
    enum error_code code =
        bytes.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "copy of the cluster's state")
                     : cluster_state_decode(bytes.bytes, bytes.size,
                                            cluster_state_facts(state)->version, copy_out, error);
    byte_buffer_clear(&bytes);
    return code;
}

enum error_code cluster_board_post(struct cluster_board *board, const struct cluster_state *state,
                                   enum cluster_view_kind kind, struct error *error)
{
    struct cluster_view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "view of the cluster");
    enum error_code code = copy_state(state, &view->state, error);
    if (code != ERROR_NONE) {
        free(view);
        return code;
    }
    view->kind = kind;
    view->references = 1;
    pthread_mutex_lock(&board->mutex);
    struct cluster_view *former = board->view;
    board->view = view;
    atomic_store(&board->newest, view);
    pthread_mutex_unlock(&board->mutex);
    cluster_view_unref(former);
    return ERROR_NONE;
}

struct cluster_view *cluster_board_view(struct cluster_board *board)
{
    pthread_mutex_lock(&board->mutex);
    struct cluster_view *view = board->view;
    if (view != NULL)
        atomic_fetch_add(&view->references, 1);
    pthread_mutex_unlock(&board->mutex);
    return view;
}

bool cluster_board_refresh(struct cluster_board *board, struct cluster_view **view)
{
    /* Whoever holds a view keeps its address from being used again. */
    if (atomic_load(&board->newest) == *view)
        return false;
    struct cluster_view *former = *view;
    *view = cluster_board_view(board);
    cluster_view_unref(former);
    return true;
}

const struct cluster_state *cluster_view_state(const struct cluster_view *view)
{
    return view->state;
}

enum cluster_view_kind cluster_view_kind(const struct cluster_view *view)
{
    return view->kind;
}

void cluster_view_unref(struct cluster_view *view)
{
    if (view == NULL || atomic_fetch_sub(&view->references, 1) > 1)
        return;
    cluster_state_destroy(view->state);
    free(view);
}

/* --- Notes ----------------------------------------------------------------------------------- */

uint64_t cluster_board_leader(const struct cluster_board *board, uint32_t shard_id)
{
    assert(shard_id < CLUSTER_SHARDS_MAX);
    return atomic_load_explicit(&board->leaders[shard_id], memory_order_relaxed);
}

void cluster_board_note_leader(struct cluster_board *board, uint32_t shard_id, uint64_t node_id)
{
    assert(shard_id < CLUSTER_SHARDS_MAX);
    atomic_store_explicit(&board->leaders[shard_id], node_id, memory_order_relaxed);
}

void cluster_board_forget_leader(struct cluster_board *board, uint32_t shard_id, uint64_t node_id)
{
    assert(shard_id < CLUSTER_SHARDS_MAX);
    atomic_compare_exchange_strong(&board->leaders[shard_id], &node_id, 0);
}

uint64_t cluster_board_written(const struct cluster_board *board, uint32_t shard_id)
{
    assert(shard_id < CLUSTER_SHARDS_MAX);
    return atomic_load(&board->written[shard_id]);
}

void cluster_board_note_written(struct cluster_board *board, uint32_t shard_id, uint64_t index)
{
    assert(shard_id < CLUSTER_SHARDS_MAX);
    uint64_t known = atomic_load(&board->written[shard_id]);
    while (known < index && !atomic_compare_exchange_weak(&board->written[shard_id], &known, index))
        ;
}
