#include "column_merge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

/* Arrays that no column needed yet are NULL. */
struct merged_columns {
    size_t capacity;
    int64_t *timestamps_ms;
    double *values;
    const struct histogram **histograms;
    int64_t *starts;
};

/* What the columns of a merge have beside times and values. */
struct merge_shape {
    bool has_histograms;
    bool has_starts;
};

/* --- Room ----------------------------------------------------------------------------------- */

/* What was there is forgotten. */
static bool renew(void *array, size_t count, size_t element_bytes)
{
    void *old, *fresh = malloc(count * element_bytes);
    memcpy(&old, array, sizeof old);
    free(old);
    memcpy(array, &fresh, sizeof fresh);
    return fresh != NULL;
}

static bool make_room(struct merged_columns *room, size_t capacity)
{
    bool made = renew(&room->timestamps_ms, capacity, sizeof *room->timestamps_ms) &&
                renew(&room->values, capacity, sizeof *room->values);
    free(room->histograms);
    free(room->starts);
    room->histograms = NULL;
    room->starts = NULL;
    room->capacity = made ? capacity : 0;
    return made;
}

static struct merged_columns *slot_with_room(struct column_merge *merge, size_t slot, size_t count,
                                             struct merge_shape shape, struct error *error)
{
    struct merged_columns *room = merge->slots[slot];
    if (room == NULL)
        room = merge->slots[slot] = calloc(1, sizeof *room);
    bool made = room != NULL;
    if (made && room->capacity < count)
        made = make_room(room, count < 512 ? 512 : count + count / 2);
    if (made && shape.has_histograms && room->histograms == NULL)
        made = renew(&room->histograms, room->capacity, sizeof *room->histograms);
    if (made && shape.has_starts && room->starts == NULL)
        made = renew(&room->starts, room->capacity, sizeof *room->starts);
    if (made)
        return room;
    error_set(error, ERROR_OUT_OF_MEMORY, "merge of %zu samples", count);
    return NULL;
}

void column_merge_clear(struct column_merge *merge)
{
    for (size_t i = 0; i < 2; i++) {
        struct merged_columns *room = merge->slots[i];
        if (room == NULL)
            continue;
        free(room->timestamps_ms);
        free(room->values);
        free(room->histograms);
        free(room->starts);
        free(room);
    }
    *merge = (struct column_merge){0};
}

/* --- Merging -------------------------------------------------------------------------------- */

static const struct histogram *histogram_at(const struct sample_columns *columns, size_t i)
{
    return columns->histograms == NULL ? NULL : columns->histograms[i];
}

/* Copy samples [from, to) of `source` behind the first `at` of the slot; returns the new end. */
static size_t copy_run(struct merged_columns *room, struct merge_shape shape, size_t at,
                       const struct sample_columns *source, size_t from, size_t to)
{
    size_t count = to - from;
    memcpy(room->timestamps_ms + at, source->timestamps_ms + from, count * sizeof(int64_t));
    memcpy(room->values + at, source->values + from, count * sizeof(double));
    if (source->histograms != NULL)
        memcpy(room->histograms + at, source->histograms + from, count * sizeof(void *));
    else if (shape.has_histograms)
        memset(room->histograms + at, 0, count * sizeof(void *));
    if (source->start_timestamps_ms != NULL)
        memcpy(room->starts + at, source->start_timestamps_ms + from, count * sizeof(int64_t));
    else if (shape.has_starts)
        memset(room->starts + at, 0, count * sizeof(int64_t));
    return at + count;
}

/* Whether sample i of `left` stays and sample j of `right`, of the same time, goes. */
static bool left_wins(const struct sample_columns *left, size_t i,
                      const struct sample_columns *right, size_t j)
{
    const struct histogram *left_histogram = histogram_at(left, i);
    const struct histogram *right_histogram = histogram_at(right, j);
    if (left_histogram != NULL && right_histogram != NULL)
        return histogram_order(left_histogram, right_histogram) >= 0;
    if (left_histogram != NULL || right_histogram != NULL)
        return left_histogram != NULL;
    return value_order_key(double_to_bits(left->values[i])) >=
           value_order_key(double_to_bits(right->values[j]));
}

/* First position at or after `from` whose time is >= `time`; gallops, runs are long. */
static size_t seek(const struct sample_columns *columns, size_t from, int64_t time)
{
    size_t step = 1, low = from;
    while (low + step < columns->count && columns->timestamps_ms[low + step] < time) {
        low += step;
        step *= 2;
    }
    size_t high = low + step < columns->count ? low + step : columns->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (columns->timestamps_ms[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t merge_two(struct merged_columns *room, struct merge_shape shape,
                        const struct sample_columns *left, const struct sample_columns *right)
{
    size_t i = 0, j = 0, at = 0;
    while (i < left->count && j < right->count) {
        int64_t left_time = left->timestamps_ms[i], right_time = right->timestamps_ms[j];
        if (left_time < right_time) {
            size_t end = seek(left, i, right_time);
            at = copy_run(room, shape, at, left, i, end);
            i = end;
        } else if (right_time < left_time) {
            size_t end = seek(right, j, left_time);
            at = copy_run(room, shape, at, right, j, end);
            j = end;
        } else {
            if (left_wins(left, i, right, j))
                at = copy_run(room, shape, at, left, i, i + 1);
            else
                at = copy_run(room, shape, at, right, j, j + 1);
            i++;
            j++;
        }
    }
    at = copy_run(room, shape, at, left, i, left->count);
    return copy_run(room, shape, at, right, j, right->count);
}

static struct sample_columns columns_over(const struct merged_columns *room, size_t count,
                                          struct merge_shape shape)
{
    return (struct sample_columns){
        .count = count,
        .timestamps_ms = room->timestamps_ms,
        .values = room->values,
        .histograms = shape.has_histograms ? room->histograms : NULL,
        .start_timestamps_ms = shape.has_starts ? room->starts : NULL,
    };
}

/* One result on its way: pieces that come in order are put behind it where it is. */
struct merging {
    struct column_merge *merge;
    struct merge_shape shape;
    size_t total; /* samples of all pieces */
    struct sample_columns result;
    size_t slot; /* of the result; 2: it is the first piece as it came */
};

static enum error_code add_piece(struct merging *merging, const struct sample_columns *piece,
                                 struct error *error)
{
    struct sample_columns *result = &merging->result;
    bool is_behind = result->timestamps_ms[result->count - 1] < piece->timestamps_ms[0];
    bool stays = is_behind && merging->slot < 2;
    size_t slot = stays ? merging->slot : merging->slot == 0 ? 1 : 0;
    struct merged_columns *room =
        slot_with_room(merging->merge, slot, merging->total, merging->shape, error);
    if (room == NULL)
        return ERROR_OUT_OF_MEMORY;
    size_t count = stays ? copy_run(room, merging->shape, result->count, piece, 0, piece->count)
                         : merge_two(room, merging->shape, result, piece);
    /* Equal pairs of ids come of equal pairs of columns. */
    uint64_t pair[2] = {result->timestamps_id, piece->timestamps_id};
    *result = columns_over(room, count, merging->shape);
    result->timestamps_id = pair[0] != 0 && pair[1] != 0 ? hash64(pair, sizeof pair, 0) : 0;
    merging->slot = slot;
    return ERROR_NONE;
}

enum error_code column_merge(struct column_merge *merge, const struct sample_columns *pieces,
                             size_t count, struct sample_columns *columns_out, struct error *error)
{
    struct merging merging = {.merge = merge, .slot = 2};
    for (size_t k = 0; k < count; k++) {
        if (pieces[k].count == 0)
            continue;
        merging.total += pieces[k].count;
        merging.shape.has_histograms |= pieces[k].histograms != NULL;
        merging.shape.has_starts |= pieces[k].start_timestamps_ms != NULL;
    }
    enum error_code code = ERROR_NONE;
    for (size_t k = 0; code == ERROR_NONE && k < count; k++) {
        if (pieces[k].count == 0)
            continue;
        if (merging.result.count == 0)
            merging.result = pieces[k];
        else
            code = add_piece(&merging, &pieces[k], error);
    }
    *columns_out = merging.result;
    return code;
}

enum error_code column_cut(struct column_merge *merge, int64_t start_ms, int64_t end_ms,
                           struct sample_columns *columns, struct error *error)
{
    assert(start_ms <= end_ms);
    size_t from = seek(columns, 0, start_ms);
    size_t to = end_ms == INT64_MAX ? columns->count : seek(columns, from, end_ms + 1);
    if (from == to)
        return ERROR_NONE;
    bool in_first =
        merge->slots[0] != NULL && columns->timestamps_ms == merge->slots[0]->timestamps_ms;
    struct merge_shape shape = {columns->histograms != NULL, columns->start_timestamps_ms != NULL};
    struct merged_columns *room =
        slot_with_room(merge, in_first ? 1 : 0, columns->count, shape, error);
    if (room == NULL)
        return ERROR_OUT_OF_MEMORY;
    size_t at = copy_run(room, shape, 0, columns, 0, from);
    at = copy_run(room, shape, at, columns, to, columns->count);
    *columns = columns_over(room, at, shape);
    return ERROR_NONE;
}
