#include "membership/cluster_board.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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
    _Atomic uint32_t splits[CLUSTER_SHARDS_MAX];
    _Atomic uint64_t split_version;
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

/* --- Splits ----------------------------------------------------------------------------------- */

uint32_t cluster_board_splits(const struct cluster_board *board, uint32_t shard_id)
{
    assert(shard_id < CLUSTER_SHARDS_MAX);
    return atomic_load(&board->splits[shard_id]);
}

void cluster_board_note_splits(struct cluster_board *board, uint32_t shard_id, uint32_t splits)
{
    assert(shard_id < CLUSTER_SHARDS_MAX);
    uint32_t known = atomic_load(&board->splits[shard_id]);
    while (known < splits)
        if (atomic_compare_exchange_weak(&board->splits[shard_id], &known, splits)) {
            atomic_fetch_add(&board->split_version, 1);
            return;
        }
}

uint64_t cluster_board_split_version(const struct cluster_board *board)
{
    return atomic_load(&board->split_version);
}

/* How many children of its parent come before it. */
static uint32_t ordinal_of(const struct cluster_state *state, const struct cluster_shard *shard)
{
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    uint32_t before = 0;
    for (size_t i = 0; i < count && shards[i].shard_id < shard->shard_id; i++)
        before += shards[i].parent == shard->parent;
    return before;
}

bool cluster_board_is_split_off(const struct cluster_board *board,
                                const struct cluster_state *state, uint32_t shard_id)
{
    const struct cluster_shard *shard = cluster_state_find_shard(state, shard_id);
    for (; shard->parent != CLUSTER_SHARD_NONE;
         shard = cluster_state_find_shard(state, shard->parent))
        if (cluster_board_splits(board, shard->parent) <= ordinal_of(state, shard))
            return false;
    return true;
}

void cluster_board_slots(const struct cluster_board *board, const struct cluster_state *state,
                         uint16_t *slots_out)
{
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    memcpy(slots_out, cluster_state_slots(state), SLOT_COUNT * sizeof *slots_out);
    /* A shard has a higher id than its parent: the last ones first. */
    for (size_t i = count; i > 0; i--) {
        const struct cluster_shard *shard = &shards[i - 1];
        if (shard->parent == CLUSTER_SHARD_NONE ||
            cluster_board_is_split_off(board, state, shard->shard_id))
            continue;
        for (size_t slot = 0; slot < SLOT_COUNT; slot++)
            if (slots_out[slot] == shard->shard_id)
                slots_out[slot] = (uint16_t)shard->parent;
    }
}
