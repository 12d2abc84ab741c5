/*
 * exemplar_ring - the newest exemplars of a head, those of one series linked.
 *
 * One thread adds, any number read. Exemplars are numbered from 1 in the order of adding; number n
 * lives in slot n mod capacity until n + capacity takes it. The memory of a slot is reused, so a
 * reader copies and then looks whether the slot still has its number.
 */
#ifndef HEAD_EXEMPLAR_RING_H
#define HEAD_EXEMPLAR_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/sample.h"
#include "paged_table.h"
#include "pool.h"

struct exemplar_ring {
    uint32_t capacity; /* 0: no exemplars */
    uint64_t newest;   /* number; writer only */
    struct paged_table slots;
};

void exemplar_ring_init(struct exemplar_ring *ring, uint32_t capacity);

/* Add one whose series' newest is `before` (0: none). Its number, or 0 when memory is out. */
uint64_t exemplar_ring_add(struct exemplar_ring *ring, struct pool *pool,
                           const struct exemplar *exemplar, uint64_t before);

enum exemplar_read { EXEMPLAR_READ, EXEMPLAR_GONE, EXEMPLAR_OUT_OF_MEMORY };

/* A copy of number `number`, labels in the arena, and the number of the one before of its series.
 * GONE: overwritten, and so are all before it. */
enum exemplar_read exemplar_ring_read(const struct exemplar_ring *ring, uint64_t number,
                                      struct arena *arena, struct exemplar *exemplar_out,
                                      uint64_t *before_out);

#endif
