/*
 * Which time column a series uses.
 *
 * The series of a target start on its first column. A series whose runs there stay short, because
 * its timestamps are others, moves once to a sibling column with those that came at the same
 * moment, and if that does not last either, to a column of its own.
 */
#include "base/checksum.h"
#include "head_internal.h"

enum {
    SHORT_RUN_SAMPLES = 8,
    SHORT_RUNS_MAX = 3,
    SIBLINGS_TRIED = 8,
};

static uint64_t target_hash(uint64_t target_id)
{
    return hash64(&target_id, sizeof target_id, 0);
}

static struct time_column *column_numbered(const struct head *head, uint32_t number)
{
    return paged_table_find(&head->columns, number - 1);
}

static struct time_column *target_first_column(const struct head *head, uint64_t target_id)
{
    struct hash_probe probe = hash_probe_begin(&head->targets, target_hash(target_id));
    uint32_t number;
    while (hash_probe_next(&probe, &number)) {
        struct time_column *column = column_numbered(head, number);
        if (column->target_id == target_id)
            return column;
    }
    return NULL;
}

static struct time_column *column_create(struct head *head, uint64_t target_id)
{
    struct time_column *column = paged_table_add(&head->columns, &head->pool, head->column_count);
    if (column == NULL)
        return NULL;
    time_column_init(column, target_id, ++head->column_count);
    return column;
}

static bool place_at_end(struct head *head, struct time_column *column, int64_t timestamp_ms,
                         struct column_place *place)
{
    if (column == NULL || !time_column_append(column, &head->pool, timestamp_ms))
        return false;
    place->column = column;
    place->position = column->count - 1;
    return true;
}

/* Join the column of the target whose newest timestamp this is. */
static bool place_beside(struct time_column *first, int64_t timestamp_ms,
                         const struct time_column *except, struct column_place *place)
{
    struct time_column *column = first;
    for (int i = 0; i <= SIBLINGS_TRIED && column != NULL; i++, column = column->sibling) {
        if (column != except && column->count > 0 && column->newest_ms == timestamp_ms) {
            place->column = column;
            place->position = column->count - 1;
            return true;
        }
    }
    return false;
}

static bool place_on_new_sibling(struct head *head, struct time_column *first, int64_t timestamp_ms,
                                 struct column_place *place)
{
    if (!place_at_end(head, column_create(head, first->target_id), timestamp_ms, place))
        return false;
    place->column->sibling = first->sibling;
    first->sibling = place->column;
    return true;
}

bool head_place_first(struct head *head, uint64_t target_id, int64_t timestamp_ms,
                      struct column_place *place_out)
{
    *place_out = (struct column_place){.flags = SERIES_IN_USE};
    struct time_column *first = target_first_column(head, target_id);
    if (first == NULL) {
        uint64_t hash = target_hash(target_id);
        if (!hash_table_reserve(&head->targets, &head->pool, hash))
            return false;
        first = column_create(head, target_id);
        if (first == NULL)
            return false;
        hash_table_insert(&head->targets, hash, first->number);
    }
    if (place_beside(first, timestamp_ms, NULL, place_out))
        return true;
    if (timestamp_ms > first->newest_ms || first->count == 0) {
        if (!time_column_is_full(first))
            return place_at_end(head, first, timestamp_ms, place_out);
    } else if (time_column_find(first, 0, timestamp_ms, &place_out->position)) {
        place_out->column = first;
        return true;
    }
    return place_on_new_sibling(head, first, timestamp_ms, place_out);
}

static uint8_t flags_after_gap(const struct series_state *state)
{
    uint8_t others = state->flags & (uint8_t)~SERIES_SHORT_RUNS_MASK;
    if (state->count >= SHORT_RUN_SAMPLES)
        return others;
    uint8_t short_runs = state->flags & SERIES_SHORT_RUNS_MASK;
    if (short_runs < SHORT_RUNS_MAX * SERIES_SHORT_RUN)
        short_runs += SERIES_SHORT_RUN;
    return others | short_runs;
}

/* The series leaves its column. */
static bool place_elsewhere(struct head *head, const struct series_state *state,
                            int64_t timestamp_ms, struct column_place *place)
{
    const struct time_column *column = state->column;
    place->flags &= (uint8_t)~SERIES_SHORT_RUNS_MASK;
    if ((state->flags & SERIES_MOVED) != 0) /* no sibling: nobody else finds it */
        return place_at_end(head, column_create(head, column->target_id), timestamp_ms, place);
    place->flags |= SERIES_MOVED;
    struct time_column *first = target_first_column(head, column->target_id);
    return place_beside(first, timestamp_ms, column, place) ||
           place_on_new_sibling(head, first, timestamp_ms, place);
}

bool head_place(struct head *head, const struct series_state *state, int64_t timestamp_ms,
                struct column_place *place_out)
{
    struct time_column *column = state->column;
    uint32_t next = state->first + state->count;
    *place_out = (struct column_place){
        .column = column, .position = next, .follows = true, .flags = state->flags};
    if (next < column->count && time_column_get(column, next) == timestamp_ms)
        return true;
    bool at_end = timestamp_ms > column->newest_ms && !time_column_is_full(column);
    if (next == column->count && at_end)
        return place_at_end(head, column, timestamp_ms, place_out);

    place_out->follows = false;
    place_out->flags = flags_after_gap(state);
    if ((place_out->flags & SERIES_SHORT_RUNS_MASK) < SHORT_RUNS_MAX * SERIES_SHORT_RUN) {
        if (time_column_find(column, next, timestamp_ms, &place_out->position))
            return true;
        if (at_end)
            return place_at_end(head, column, timestamp_ms, place_out);
    }
    return place_elsewhere(head, state, timestamp_ms, place_out);
}
