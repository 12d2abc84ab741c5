/*
 * Pieces are asked for positions first: then it is known how much memory the series need, and
 * labels are read in batches that need little of it.
 */
#include "series_selection.h"

#include <assert.h>
#include <string.h>

#include "base/checksum.h"
#include "model/index_source.h"

/* Large, since texts that neighbours share are read once in a batch. */
enum { BATCH_SERIES = 8192 };

/* A segment, an index in memory or a block, and what matches in it. */
struct piece {
    struct index_source *index;
    struct positions positions;
    struct series_segment *segment; /* NULL: another kind; ids are in its rows, */
    uint64_t first_id;              /* and of an index in memory they count from here */
    uint32_t block;                 /* of the view; BLOCK_NONE: another kind */
};

#define BLOCK_NONE UINT32_MAX

struct finding {
    struct view *view;
    const struct series_request *request;
    struct piece *pieces; /* those with a match, of the registry first */
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
    struct arena *scratch; /* labels of a batch that is joined; NULL until one is */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY,
                     "the query needs more memory than it may take to select series");
}

/* --- Positions ------------------------------------------------------------------------------- */

static enum error_code find_in_piece(struct finding *finding, struct piece piece,
                                     size_t position_count, struct error *error)
{
    const struct series_request *request = finding->request;
    struct index_query query = {
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .canceled = request->canceled,
        .arena = request->arena,
    };
    enum error_code code = index_select(piece.index, &query, &piece.positions, error);
    if (code != ERROR_NONE)
        return code;
    struct positions *positions = &piece.positions;
    while (positions->count > 0 && positions->items[positions->count - 1] >= position_count)
        positions->count--;
    if (positions->count > 0)
        finding->pieces[finding->piece_count++] = piece;
    return ERROR_NONE;
}

static enum error_code find_registered(struct finding *finding, size_t growing_count,
                                       struct error *error)
{
    struct view *view = finding->view;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < view->segment_count; i++) {
        struct piece piece = {.index = series_segment_index(view->segments[i]),
                              .segment = view->segments[i],
                              .block = BLOCK_NONE};
        code = find_in_piece(finding, piece, SIZE_MAX, error);
    }
    for (size_t i = 0; code == ERROR_NONE && i < view->index_count; i++) {
        struct piece piece = {.index = memory_index_source(view->indexes[i]),
                              .first_id = memory_index_first_id(view->indexes[i]),
                              .block = BLOCK_NONE};
        bool is_growing = i + 1 == view->index_count;
        code = find_in_piece(finding, piece, is_growing ? growing_count : SIZE_MAX, error);
    }
    return code;
}

static enum error_code find_in_blocks(struct finding *finding, struct error *error)
{
    const struct series_request *request = finding->request;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < finding->view->block_count; i++) {
        const struct view_block *block = &finding->view->blocks[i];
        if (block->start_ms > request->end_ms || block->end_ms < request->start_ms)
            continue;
        struct piece piece = {.index = block_index(block->block), .block = (uint32_t)i};
        code = find_in_piece(finding, piece, SIZE_MAX, error);
    }
    return code;
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Series of the registry are all different, and those of the first block where there are none; of
 * later blocks most were met before, so that what is missing is taken batch by batch. */
static enum error_code reserve(struct finding *finding, struct error *error)
{
    size_t registered = 0, in_blocks = 0, of_first_block = 0, batch = 0;
    for (size_t i = 0; i < finding->piece_count; i++) {
        const struct piece *piece = &finding->pieces[i];
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
    struct arena *arena = finding->request->arena;
    finding->series_capacity = registered > 0 ? registered : of_first_block;
    finding->series = arena_array(arena, finding->series_capacity, sizeof *finding->series);
    finding->link_capacity = in_blocks;
    finding->links = arena_array(arena, in_blocks, sizeof *finding->links);
    finding->labels = arena_array(arena, batch, sizeof *finding->labels);
    finding->ids = arena_array(arena, batch, sizeof *finding->ids);
    return finding->series == NULL || finding->links == NULL || finding->labels == NULL ||
                   finding->ids == NULL || in_blocks >= LINK_NONE
               ? out_of_memory(error)
               : ERROR_NONE;
}

static bool series_reserve(struct finding *finding, size_t count)
{
    size_t needed = finding->series_count + count;
    if (needed <= finding->series_capacity)
        return true;
    size_t capacity = needed + needed / 2;
    struct found_series *grown = arena_grow(finding->request->arena, finding->series,
                                            finding->series_count, capacity, sizeof *grown);
    if (grown == NULL)
        return false;
    finding->series = grown;
    finding->series_capacity = capacity;
    return true;
}

/* --- Joining by labels ------------------------------------------------------------------------ */

static uint32_t *table_place(const struct finding *finding, struct labels labels)
{
    size_t mask = finding->table_capacity - 1;
    for (size_t i = hash64(labels.bytes, labels.size, HASH_SEED_STORED) & mask;;
         i = (i + 1) & mask) {
        uint32_t number = finding->table[i];
        if (number == 0 || labels_equal(finding->series[number - 1].labels, labels))
            return &finding->table[i];
    }
}

static bool table_reserve(struct finding *finding, size_t count)
{
    size_t needed = (finding->series_count + count) * 2;
    if (needed <= finding->table_capacity)
        return true;
    size_t capacity = 1024;
    while (capacity < needed)
        capacity *= 2;
    finding->table = arena_array(finding->request->arena, capacity, sizeof(uint32_t));
    if (finding->table == NULL)
        return false;
    finding->table_capacity = capacity;
    for (size_t i = 0; i < finding->series_count; i++)
        *table_place(finding, finding->series[i].labels) = (uint32_t)i + 1;
    return true;
}

static void add_link(struct finding *finding, struct found_series *series,
                     struct block_position position)
{
    assert(finding->link_count < finding->link_capacity);
    finding->links[finding->link_count] = (struct block_link){position, series->block_first};
    series->block_first = (uint32_t)finding->link_count++;
}

/* Of what is joined most is known; only labels of new series are kept. */
static bool keep_labels(struct finding *finding, struct labels *labels)
{
    uint8_t *bytes = arena_allocate(finding->request->arena, labels->size);
    if (bytes == NULL)
        return false;
    memcpy(bytes, labels->bytes, labels->size);
    labels->bytes = bytes;
    return true;
}

static struct found_series *add_series(struct finding *finding, struct labels labels, uint64_t id)
{
    assert(finding->series_count < finding->series_capacity);
    struct found_series *series = &finding->series[finding->series_count++];
    *series = (struct found_series){labels, id, LINK_NONE};
    return series;
}

/* A batch of a block; `joins` when others may have the same series. */
static enum error_code add_of_block(struct finding *finding, const struct piece *piece,
                                    struct positions batch, bool joins, struct error *error)
{
    if (!series_reserve(finding, batch.count) || (joins && !table_reserve(finding, batch.count)))
        return out_of_memory(error);
    for (size_t i = 0; i < batch.count; i++) {
        struct labels labels = finding->labels[i];
        uint32_t *place = joins ? table_place(finding, labels) : NULL;
        struct found_series *series;
        if (place != NULL && *place != 0) {
            series = &finding->series[*place - 1];
        } else {
            if (joins && !keep_labels(finding, &labels))
                return out_of_memory(error);
            series = add_series(finding, labels, SERIES_ID_NONE);
            if (joins)
                *place = (uint32_t)finding->series_count;
        }
        add_link(finding, series, (struct block_position){piece->block, batch.items[i]});
    }
    return ERROR_NONE;
}

/* --- Batches ---------------------------------------------------------------------------------- */

/* Those that were forgotten are still in their segment, but not alive. */
static enum error_code add_registered(struct finding *finding, const struct piece *piece,
                                      struct positions batch, struct error *error)
{
    const struct id_set *forgotten = piece->segment != NULL ? finding->view->forgotten : NULL;
    enum error_code code = ERROR_NONE;
    if (piece->segment != NULL)
        code = series_segment_ids(piece->segment, batch, finding->ids, error);
    for (size_t i = 0; code == ERROR_NONE && i < batch.count; i++) {
        uint64_t id = piece->segment != NULL ? finding->ids[i] : piece->first_id + batch.items[i];
        if (forgotten == NULL || !id_set_has(forgotten, id))
            add_series(finding, finding->labels[i], id);
    }
    return code;
}

static enum error_code add_piece(struct finding *finding, const struct piece *piece,
                                 struct error *error)
{
    const struct series_request *request = finding->request;
    bool joins = finding->series_count > 0 && piece->block != BLOCK_NONE;
    struct arena *arena = request->arena;
    enum error_code code = ERROR_NONE;
    if (joins) {
        if (finding->scratch == NULL)
            finding->scratch = arena_create(0);
        if (finding->scratch == NULL)
            return out_of_memory(error);
        arena = finding->scratch;
    }
    for (size_t at = 0; code == ERROR_NONE && at < piece->positions.count; at += BATCH_SERIES) {
        struct positions batch = {piece->positions.items + at, piece->positions.count - at};
        if (batch.count > BATCH_SERIES)
            batch.count = BATCH_SERIES;
        if (request->canceled != NULL && atomic_load(request->canceled))
            return error_set(error, ERROR_CANCELED, "the query was canceled");
        if (joins)
            arena_reset(arena);
        code = piece->index->operations->labels(piece->index, batch, arena, finding->labels, error);
        if (code != ERROR_NONE)
            return code;
        code = piece->block == BLOCK_NONE ? add_registered(finding, piece, batch, error)
                                          : add_of_block(finding, piece, batch, joins, error);
    }
    return code;
}

enum error_code series_selection_find(struct view *view, const size_t *growing_count,
                                      const struct series_request *request,
                                      struct series_selection *selection_out, struct error *error)
{
    struct finding finding = {.view = view, .request = request};
    size_t piece_count = view->segment_count + view->index_count + view->block_count;
    finding.pieces = arena_array(request->arena, piece_count, sizeof *finding.pieces);
    enum error_code code = ERROR_NONE;
    *selection_out = (struct series_selection){0};
    if (finding.pieces == NULL)
        code = out_of_memory(error);
    if (code == ERROR_NONE && growing_count != NULL)
        code = find_registered(&finding, *growing_count, error);
    if (code == ERROR_NONE)
        code = find_in_blocks(&finding, error);
    if (code == ERROR_NONE)
        code = reserve(&finding, error);
    for (size_t i = 0; code == ERROR_NONE && i < finding.piece_count; i++)
        code = add_piece(&finding, &finding.pieces[i], error);
    arena_destroy(finding.scratch);
    if (code == ERROR_NONE)
        *selection_out =
            (struct series_selection){finding.series, finding.series_count, finding.links};
    return code;
}
