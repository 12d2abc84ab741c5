/*
 * time_column - timestamps in ascending order, stored once for the series that share them.
 *
 * One thread appends, any number read what was published to them through a series. Segments
 * double and never move.
 */
#ifndef HEAD_TIME_COLUMN_H
#define HEAD_TIME_COLUMN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

enum {
    COLUMN_SEGMENT_FIRST = 8,
    COLUMN_SEGMENTS = 12,
    COLUMN_TIMESTAMPS_MAX = COLUMN_SEGMENT_FIRST * ((1 << COLUMN_SEGMENTS) - 1), /* 32760 */
};

struct time_column {
    uint64_t target_id;
    struct time_column *sibling; /* another column of the same target; writer only */
    int64_t newest_ms;           /* writer only */
    uint32_t number;             /* from 1, unique in the head */
    uint32_t count;              /* writer only: readers know their ranges from the series */
    _Atomic(int64_t *) segments[COLUMN_SEGMENTS];
};

/* `column` is zeroed. */
void time_column_init(struct time_column *column, uint64_t target_id, uint32_t number);

static inline bool time_column_is_full(const struct time_column *column)
{
    return column->count == COLUMN_TIMESTAMPS_MAX;
}

/* `timestamp_ms` is newer than the newest; false when memory is out. */
bool time_column_append(struct time_column *column, struct pool *pool, int64_t timestamp_ms);

/* The position of `timestamp_ms` at or after `from`; false when it is not there. Writer only. */
bool time_column_find(const struct time_column *column, uint32_t from, int64_t timestamp_ms,
                      uint32_t *position_out);

/* Copy [first, first + count). */
void time_column_copy(const struct time_column *column, uint32_t first, uint32_t count,
                      int64_t *target);

static inline int64_t time_column_get(const struct time_column *column, uint32_t position)
{
    uint32_t number = position / COLUMN_SEGMENT_FIRST + 1;
    unsigned segment = 31 - (unsigned)__builtin_clz(number);
    uint32_t start = COLUMN_SEGMENT_FIRST * ((1u << segment) - 1);
    return atomic_load_explicit(&column->segments[segment], memory_order_acquire)[position - start];
}

#endif
