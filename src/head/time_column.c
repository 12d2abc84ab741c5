#include "time_column.h"

#include <assert.h>
#include <string.h>

void time_column_init(struct time_column *column, uint64_t target_id, uint32_t number)
{
    column->target_id = target_id;
    column->number = number;
    column->newest_ms = INT64_MIN;
}

bool time_column_append(struct time_column *column, struct pool *pool, int64_t timestamp_ms)
{
    assert(!time_column_is_full(column));
    assert(column->count == 0 || timestamp_ms > column->newest_ms);
    unsigned segment = 31 - (unsigned)__builtin_clz(column->count / COLUMN_SEGMENT_FIRST + 1);
    uint32_t start = COLUMN_SEGMENT_FIRST * ((1u << segment) - 1);
    int64_t *timestamps = atomic_load_explicit(&column->segments[segment], memory_order_relaxed);
    if (timestamps == NULL) {
        timestamps = pool_allocate(pool, (sizeof *timestamps * COLUMN_SEGMENT_FIRST) << segment,
                                   sizeof *timestamps);
        if (timestamps == NULL)
            return false;
        atomic_store_explicit(&column->segments[segment], timestamps, memory_order_release);
    }
    timestamps[column->count - start] = timestamp_ms;
    column->newest_ms = timestamp_ms;
    column->count++;
    return true;
}

bool time_column_find(const struct time_column *column, uint32_t from, int64_t timestamp_ms,
                      uint32_t *position_out)
{
    uint32_t low = from;
    uint32_t high = column->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (time_column_get(column, middle) < timestamp_ms)
            low = middle + 1;
        else
            high = middle;
    }
    if (low >= column->count || time_column_get(column, low) != timestamp_ms)
        return false;
    *position_out = low;
    return true;
}

void time_column_copy(const struct time_column *column, uint32_t first, uint32_t count,
                      int64_t *target)
{
    while (count > 0) {
        unsigned segment = 31 - (unsigned)__builtin_clz(first / COLUMN_SEGMENT_FIRST + 1);
        uint32_t start = COLUMN_SEGMENT_FIRST * ((1u << segment) - 1);
        uint32_t end = start + (COLUMN_SEGMENT_FIRST << segment);
        uint32_t here = count < end - first ? count : end - first;
        const int64_t *timestamps =
            atomic_load_explicit(&column->segments[segment], memory_order_acquire);
        memcpy(target, timestamps + (first - start), here * sizeof *target);
        target += here;
        first += here;
        count -= here;
    }
}
