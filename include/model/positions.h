/*
 * positions - sorted lists of series positions and their set algebra.
 *
 * A position is a series' number inside one index (a memory index, a series segment, a block),
 * dense from 0; it means nothing outside. Lists are ascending, each position once.
 */
#ifndef MODEL_POSITIONS_H
#define MODEL_POSITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* A view of an ascending list that somebody else owns. */
struct positions {
    const uint32_t *items; /* [count] */
    size_t count;
};

/*
 * The operations below allocate their result from `arena` (or return a view of an argument, when
 * that is the answer); false when memory is out. `out` may be one of the arguments.
 */
bool positions_intersect(struct arena *arena, struct positions left, struct positions right,
                         struct positions *out);
bool positions_subtract(struct arena *arena, struct positions left, struct positions right,
                        struct positions *out);

/* Set marks[i] of every position of `list` that `found` holds too; marks has list.count elements.
 */
void positions_mark(struct positions list, struct positions found, bool *marks);

/* The union of any number of lists, by merging pairs: O(n log lists). */
bool positions_union(struct arena *arena, const struct positions *lists, size_t list_count,
                     struct positions *out);

/* first, first + 1, ... */
bool positions_range(struct arena *arena, uint32_t first, size_t count, struct positions *out);

/* Whether the lists have a position in common; stops at the first. */
bool positions_overlap(struct positions left, struct positions right);

/* Whether the list holds `position`: a binary search. */
bool positions_contain(struct positions list, uint32_t position);

#endif
