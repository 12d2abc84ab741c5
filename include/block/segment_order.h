/*
 * segment_order - series of a segment in the order of a block, for merges.
 *
 * Holds about forty bytes a series, and each label pair that occurs once; labels are put together
 * when they are asked for. One thread at a time; blocking (workers).
 */
#ifndef BLOCK_SEGMENT_ORDER_H
#define BLOCK_SEGMENT_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "block/block_order.h"
#include "block/series_segment_reader.h"

struct segment_order;

/* The series among `ids` (ascending) that the segment has; it is held open as long. Errors:
 * CORRUPT, UNSUPPORTED, IO, LIMIT (2^32 labels), OUT_OF_MEMORY. */
enum error_code segment_order_create(struct series_segment *segment, const uint64_t *ids,
                                     size_t count, struct segment_order **order_out,
                                     struct error *error);
void segment_order_destroy(struct segment_order *order); /* NULL is fine */

size_t segment_order_count(const struct segment_order *order);

/* Its memory. */
size_t segment_order_size_bytes(const struct segment_order *order);

/* The id of the series at `place` < count. */
uint64_t segment_order_id(const struct segment_order *order, size_t place);

/* The series at `place` < count, in block order; labels in `arena`, the tenant as long as the
 * order. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code segment_order_series(const struct segment_order *order, size_t place,
                                     struct arena *arena, struct block_series *series_out,
                                     struct error *error);

#endif
