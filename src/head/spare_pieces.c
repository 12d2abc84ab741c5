#include "spare_pieces.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The first bytes of a piece that waits. */
struct spare_piece {
    struct spare_piece *next;
};

struct head_spares {
    _Atomic uint32_t references;
    pthread_mutex_t mutex;
    struct spare_piece *pieces; /* the one that came last is taken first */
    size_t count;
    size_t count_max;
    size_t count_least; /* since the last time it settled */
};

enum error_code head_spares_create(size_t limit_bytes, struct head_spares **spares_out,
                                   struct error *error)
{
    struct head_spares *spares = calloc(1, sizeof *spares);
    if (spares == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "memory of heads");
    atomic_init(&spares->references, 1);
    pthread_mutex_init(&spares->mutex, NULL);
    spares->count_max = limit_bytes / SPARE_PIECE_BYTES;
    *spares_out = spares;
    return ERROR_NONE;
}

/* The mutex is held, or nobody else is there. */
static struct spare_piece *take(struct head_spares *spares)
{
    struct spare_piece *piece = spares->pieces;
    if (piece == NULL)
        return NULL;
    spares->pieces = piece->next;
    spares->count--;
    if (spares->count < spares->count_least)
        spares->count_least = spares->count;
    return piece;
}

struct head_spares *head_spares_ref(struct head_spares *spares)
{
    if (spares != NULL)
        atomic_fetch_add_explicit(&spares->references, 1, memory_order_relaxed);
    return spares;
}

void head_spares_unref(struct head_spares *spares)
{
    if (spares == NULL ||
        atomic_fetch_sub_explicit(&spares->references, 1, memory_order_acq_rel) > 1)
        return;
    struct spare_piece *piece;
    while ((piece = take(spares)) != NULL)
        munmap(piece, SPARE_PIECE_BYTES);
    pthread_mutex_destroy(&spares->mutex);
    free(spares);
}

void *spare_piece_take(struct head_spares *spares)
{
    if (spares == NULL)
        return NULL;
    pthread_mutex_lock(&spares->mutex);
    struct spare_piece *piece = take(spares);
    pthread_mutex_unlock(&spares->mutex);
    return piece;
}

bool spare_piece_give(struct head_spares *spares, void *memory)
{
    assert((uintptr_t)memory % SPARE_PIECE_BYTES == 0);
    if (spares == NULL)
        return false;
    pthread_mutex_lock(&spares->mutex);
    bool has_room = spares->count < spares->count_max;
    if (has_room) {
        struct spare_piece *piece = memory;
        piece->next = spares->pieces;
        spares->pieces = piece;
        spares->count++;
    }
    pthread_mutex_unlock(&spares->mutex);
    return has_room;
}

/* Half at a time, so that a head that grows slowly finds some of it still there. */
void head_spares_settle(struct head_spares *spares)
{
    struct spare_piece *pieces = NULL;
    pthread_mutex_lock(&spares->mutex);
    for (size_t left = (spares->count_least + 1) / 2; left > 0; left--) {
        struct spare_piece *piece = take(spares);
        piece->next = pieces;
        pieces = piece;
    }
    spares->count_least = spares->count;
    pthread_mutex_unlock(&spares->mutex);
    while (pieces != NULL) {
        struct spare_piece *next = pieces->next;
        munmap(pieces, SPARE_PIECE_BYTES);
        pieces = next;
    }
}

size_t head_spares_size_bytes(struct head_spares *spares)
{
    pthread_mutex_lock(&spares->mutex);
    size_t count = spares->count;
    pthread_mutex_unlock(&spares->mutex);
    return count * SPARE_PIECE_BYTES;
}
