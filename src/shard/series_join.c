/*
 * A series of a block is known by the identity of its labels; labels themselves are not read.
 * Blocks lie in one order, so the next series of one is mostly the one behind the last that was
 * met; others are looked up in a table, which is made when the first one is.
 */
#include "series_join.h"

#include <assert.h>

/* Large, since texts that neighbours share are read once in a batch. */
enum { BATCH_SERIES = 8192 };

struct join {
    const struct series_request *request;
    const struct selection_piece *pieces;
    size_t piece_count;
    struct found_series *series;
    size_t series_count;
    size_t series_capacity;
    struct block_link *links;
    size_t link_count;
    size_t link_capacity;
    size_t expected; /* the series behind the one met last */
    uint32_t *table; /* [table_capacity], series number + 1 by identity; NULL: not needed yet */
    size_t table_capacity;
    /* Of one batch, [BATCH_SERIES] or the most that a piece has. */
    struct hash128 *identities;
    uint64_t *ids;
    uint32_t *positions;
    struct arena *scratch; /* labels of a batch, where an index has no identities */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY,
                     "the query needs more memory than it may take to select series");
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Series of the registry are all different, and those of the first block where there are none; of
 * later blocks most were met before, so that what is missing is taken batch by batch. */
static enum error_code reserve(struct join *join, struct error *error)
{
    size_t registered = 0, in_blocks = 0, of_first_block = 0, batch = 0;
    for (size_t i = 0; i < join->piece_count; i++) {
        const struct selection_piece *piece = &join->pieces[i];
        size_t count = piece->positions.count;
        if (batch < count)
            batch = count < BATCH_SERIES ? count : BATCH_SERIES;
        if (piece->block == BLOCK_NONE)
            registered += count;
        else if (in_blocks == 0)
            of_first_block = count;
        if (piece->block != BLOCK_NONE)
            in_blocks += count;
    }
    struct arena *arena = join->request->arena;
    join->series_capacity = registered > 0 ? registered : of_first_block;
    join->series = arena_array(arena, join->series_capacity, sizeof *join->series);
    join->link_capacity = in_blocks;
    join->links = arena_array(arena, in_blocks, sizeof *join->links);
    join->identities = arena_array(arena, batch, sizeof *join->identities);
    join->ids = arena_array(arena, batch, sizeof *join->ids);
    join->positions = arena_array(arena, batch, sizeof *join->positions);
    join->scratch = arena_create(0);
    return join->series == NULL || join->links == NULL || join->identities == NULL ||
                   join->ids == NULL || join->positions == NULL || join->scratch == NULL ||
                   in_blocks >= LINK_NONE
               ? out_of_memory(error)
               : ERROR_NONE;
}

static bool series_reserve(struct join *join, size_t count)
{
    size_t needed = join->series_count + count;
    if (needed <= join->series_capacity)
        return true;
    size_t capacity = needed + needed / 2;
    struct found_series *grown =
        arena_grow(join->request->arena, join->series, join->series_count, capacity, sizeof *grown);
    if (grown == NULL)
        return false;
    join->series = grown;
    join->series_capacity = capacity;
    return true;
}

/* --- The table -------------------------------------------------------------------------------- */

static uint32_t *table_place(const struct join *join, struct hash128 identity)
{
    size_t mask = join->table_capacity - 1;
    for (size_t i = identity.low & mask;; i = (i + 1) & mask) {
        uint32_t number = join->table[i];
        if (number == 0 || hash128_equal(join->series[number - 1].identity, identity))
            return &join->table[i];
    }
}

/* Room for `count` more series. */
static bool table_reserve(struct join *join, size_t count)
{
    size_t needed = (join->series_count + count) * 2;
    if (needed <= join->table_capacity)
        return true;
    size_t capacity = 1024;
    while (capacity < needed)
        capacity *= 2;
    join->table = arena_array(join->request->arena, capacity, sizeof(uint32_t));
    if (join->table == NULL)
        return false;
    join->table_capacity = capacity;
    for (size_t i = 0; i < join->series_count; i++)
        *table_place(join, join->series[i].identity) = (uint32_t)i + 1;
    return true;
}

/* --- Joining ---------------------------------------------------------------------------------- */

/* Behind all others; not in the table. */
static size_t add_series(struct join *join, const struct selection_piece *piece, uint32_t position,
                         struct hash128 identity, uint64_t id)
{
    assert(join->series_count < join->series_capacity);
    join->series[join->series_count] = (struct found_series){
        .identity = identity,
        .piece = (uint32_t)(piece - join->pieces),
        .position = position,
        .id = id,
        .block_first = LINK_NONE,
    };
    return join->series_count++;
}

/* The number of the series of a block with this identity, which is added when it is new; there is
 * room. False: out of memory. */
static bool meet(struct join *join, const struct selection_piece *piece, uint32_t position,
                 struct hash128 identity, size_t *number_out)
{
    *number_out = join->expected;
    if (join->expected < join->series_count &&
        hash128_equal(join->series[join->expected].identity, identity))
        return true;
    if (!table_reserve(join, 1))
        return false;
    uint32_t *place = table_place(join, identity);
    if (*place == 0) {
        add_series(join, piece, position, identity, SERIES_ID_NONE);
        *place = (uint32_t)join->series_count;
    }
    *number_out = *place - 1;
    return true;
}

static void add_link(struct join *join, size_t number, struct block_position position)
{
    assert(join->link_count < join->link_capacity);
    struct found_series *series = &join->series[number];
    join->links[join->link_count] = (struct block_link){position, series->block_first};
    series->block_first = (uint32_t)join->link_count++;
}

/* A batch of a block; `joins` when others may have the same series. */
static enum error_code add_of_block(struct join *join, const struct selection_piece *piece,
                                    struct positions batch, bool joins, struct error *error)
{
    if (!series_reserve(join, batch.count))
        return out_of_memory(error);
    for (size_t i = 0; i < batch.count; i++) {
        uint32_t position = batch.items[i];
        size_t number;
        if (!joins)
            number = add_series(join, piece, position, join->identities[i], SERIES_ID_NONE);
        else if (!meet(join, piece, position, join->identities[i], &number))
            return out_of_memory(error);
        join->expected = number + 1;
        add_link(join, number, (struct block_position){piece->block, position});
    }
    return ERROR_NONE;
}

static enum error_code add_registered(struct join *join, const struct selection_piece *piece,
                                      struct positions batch, struct error *error)
{
    enum error_code code = piece_ids(piece, batch, join->ids, error);
    for (size_t i = 0; code == ERROR_NONE && i < batch.count; i++)
        add_series(join, piece, batch.items[i], join->identities[i], join->ids[i]);
    return code;
}

static enum error_code add_piece(struct join *join, const struct selection_piece *piece,
                                 struct error *error)
{
    const struct series_request *request = join->request;
    bool joins = join->series_count > 0 && piece->block != BLOCK_NONE;
    enum error_code code = ERROR_NONE;
    join->expected = 0;
    for (size_t at = 0; code == ERROR_NONE && at < piece->positions.count; at += BATCH_SERIES) {
        struct positions batch = {join->positions, piece->positions.count - at};
        if (batch.count > BATCH_SERIES)
            batch.count = BATCH_SERIES;
        position_set_read(&piece->positions, at, batch.count, join->positions);
        if (request->canceled != NULL && atomic_load(request->canceled))
            return error_set(error, ERROR_CANCELED, "the query was canceled");
        arena_reset(join->scratch);
        code = index_identities(piece->index, batch, join->scratch, join->identities, error);
        if (code != ERROR_NONE)
            return code;
        code = piece->block == BLOCK_NONE ? add_registered(join, piece, batch, error)
                                          : add_of_block(join, piece, batch, joins, error);
    }
    return code;
}

enum error_code series_join(struct series_selection *selection,
                            const struct series_request *request, struct error *error)
{
    struct join join = {
        .request = request, .pieces = selection->pieces, .piece_count = selection->piece_count};
    enum error_code code = reserve(&join, error);
    for (size_t i = 0; code == ERROR_NONE && i < join.piece_count; i++)
        code = add_piece(&join, &join.pieces[i], error);
    arena_destroy(join.scratch);
    if (code != ERROR_NONE)
        return code;
    selection->series = join.series;
    selection->count = join.series_count;
    selection->links = join.links;
    return ERROR_NONE;
}
