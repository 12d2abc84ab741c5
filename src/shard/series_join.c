/*
 * Batches of labels are read piece by piece, into memory that is used again; only those of series
 * that were not met before are kept.
 */
#include "series_join.h"

#include <assert.h>
#include <string.h>

#include "base/checksum.h"

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
    uint32_t *table; /* [table_capacity], series number + 1 by hash of labels */
    size_t table_capacity;
    /* Of one batch, [BATCH_SERIES] or the most that a piece has. */
    struct labels *labels;
    uint64_t *ids;
    uint32_t *positions;
    struct arena *scratch; /* labels of a batch that is joined; NULL until one is */
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
    join->labels = arena_array(arena, batch, sizeof *join->labels);
    join->ids = arena_array(arena, batch, sizeof *join->ids);
    join->positions = arena_array(arena, batch, sizeof *join->positions);
    return join->series == NULL || join->links == NULL || join->labels == NULL ||
                   join->ids == NULL || join->positions == NULL || in_blocks >= LINK_NONE
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

/* --- Joining by labels ------------------------------------------------------------------------ */

static uint32_t *table_place(const struct join *join, struct labels labels)
{
    size_t mask = join->table_capacity - 1;
    for (size_t i = hash64(labels.bytes, labels.size, HASH_SEED_STORED) & mask;;
         i = (i + 1) & mask) {
        uint32_t number = join->table[i];
        if (number == 0 || labels_equal(join->series[number - 1].labels, labels))
            return &join->table[i];
    }
}

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
        *table_place(join, join->series[i].labels) = (uint32_t)i + 1;
    return true;
}

static void add_link(struct join *join, struct found_series *series, struct block_position position)
{
    assert(join->link_count < join->link_capacity);
    join->links[join->link_count] = (struct block_link){position, series->block_first};
    series->block_first = (uint32_t)join->link_count++;
}

/* Of what is joined most is known; only labels of new series are kept. */
static bool keep_labels(struct join *join, struct labels *labels)
{
    uint8_t *bytes = arena_allocate(join->request->arena, labels->size);
    if (bytes == NULL)
        return false;
    memcpy(bytes, labels->bytes, labels->size);
    labels->bytes = bytes;
    return true;
}

static struct found_series *add_series(struct join *join, struct labels labels, uint64_t id)
{
    assert(join->series_count < join->series_capacity);
    struct found_series *series = &join->series[join->series_count++];
    *series = (struct found_series){labels, id, LINK_NONE};
    return series;
}

/* A batch of a block; `joins` when others may have the same series. */
static enum error_code add_of_block(struct join *join, const struct selection_piece *piece,
                                    struct positions batch, bool joins, struct error *error)
{
    if (!series_reserve(join, batch.count) || (joins && !table_reserve(join, batch.count)))
        return out_of_memory(error);
    for (size_t i = 0; i < batch.count; i++) {
        struct labels labels = join->labels[i];
        uint32_t *place = joins ? table_place(join, labels) : NULL;
        struct found_series *series;
        if (place != NULL && *place != 0) {
            series = &join->series[*place - 1];
        } else {
            if (joins && !keep_labels(join, &labels))
                return out_of_memory(error);
            series = add_series(join, labels, SERIES_ID_NONE);
            if (joins)
                *place = (uint32_t)join->series_count;
        }
        add_link(join, series, (struct block_position){piece->block, batch.items[i]});
    }
    return ERROR_NONE;
}

/* --- Batches ---------------------------------------------------------------------------------- */

static enum error_code add_registered(struct join *join, const struct selection_piece *piece,
                                      struct positions batch, struct error *error)
{
    enum error_code code = piece_ids(piece, batch, join->ids, error);
    for (size_t i = 0; code == ERROR_NONE && i < batch.count; i++)
        add_series(join, join->labels[i], join->ids[i]);
    return code;
}

static enum error_code add_piece(struct join *join, const struct selection_piece *piece,
                                 struct error *error)
{
    const struct series_request *request = join->request;
    bool joins = join->series_count > 0 && piece->block != BLOCK_NONE;
    struct arena *arena = request->arena;
    enum error_code code = ERROR_NONE;
    if (joins) {
        if (join->scratch == NULL)
            join->scratch = arena_create(0);
        if (join->scratch == NULL)
            return out_of_memory(error);
        arena = join->scratch;
    }
    for (size_t at = 0; code == ERROR_NONE && at < piece->positions.count; at += BATCH_SERIES) {
        struct positions batch = {join->positions, piece->positions.count - at};
        if (batch.count > BATCH_SERIES)
            batch.count = BATCH_SERIES;
        position_set_read(&piece->positions, at, batch.count, join->positions);
        if (request->canceled != NULL && atomic_load(request->canceled))
            return error_set(error, ERROR_CANCELED, "the query was canceled");
        if (joins)
            arena_reset(arena);
        code = piece->index->operations->labels(piece->index, batch, arena, join->labels, error);
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
