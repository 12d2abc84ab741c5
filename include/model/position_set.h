/*
 * position_set - many ascending positions in little memory, for what is kept as long as a query.
 *
 * Where they are dense a bit each of the whole span, with counts in between so that the place of
 * any is found; else 4 bytes each. In the arena that it was begun with.
 */
#ifndef MODEL_POSITION_SET_H
#define MODEL_POSITION_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/positions.h"

/* Zeroed is empty. */
struct position_set {
    size_t count;
    uint32_t *items;  /* [count]; NULL: bits */
    uint64_t *bits;   /* [words], position 0 first */
    uint32_t *before; /* [words / POSITION_GROUP_WORDS + 2], how many are before each group */
    size_t words;
};

enum { POSITION_GROUP_WORDS = 8 };

/* A set that is being filled: at most `count_max` positions below `limit`. */
struct position_set_builder {
    struct position_set set;
    size_t count_max;
    uint32_t limit;
};

/* False when memory is out. */
bool position_set_begin(struct position_set_builder *builder, struct arena *arena, size_t count_max,
                        uint32_t limit);

/* Positions above all that were added; those from the limit on are left out. */
void position_set_add(struct position_set_builder *builder, struct positions positions);

struct position_set position_set_finish(struct position_set_builder *builder);

/* `count` positions from the one at `index` on: positions_out[count]. Neighbours are cheap. Any
 * thread. */
void position_set_read(const struct position_set *set, size_t index, size_t count,
                       uint32_t *positions_out);

/* Leave out what is not marked: marks[set->count]. */
void position_set_keep(struct position_set *set, const bool *marks);

#endif
