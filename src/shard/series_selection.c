/*
 * Pieces are asked for positions; what is read of series beyond that is read when it is needed.
 */
#include "series_selection.h"

#include <assert.h>
#include <string.h>

#include "model/index_source.h"
#include "selection_fetch.h"
#include "series_join.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY,
                     "the query needs more memory than it may take to select series");
}

enum { BATCH_POSITIONS = 1024 };

/* So many of the positions from `at` on in a piece, `count` or BATCH_POSITIONS at most, in
 * `positions`. */
static struct positions batch_at(const struct selection_piece *piece, size_t at, size_t count,
                                 uint32_t *positions)
{
    if (count > piece->positions.count - at)
        count = piece->positions.count - at;
    if (count > BATCH_POSITIONS)
        count = BATCH_POSITIONS;
    position_set_read(&piece->positions, at, count, positions);
    return (struct positions){positions, count};
}

/* --- Ids -------------------------------------------------------------------------------------- */

enum error_code piece_ids(const struct selection_piece *piece, struct positions batch,
                          uint64_t *ids_out, struct error *error)
{
    if (piece->segment != NULL)
        return series_segment_ids(piece->segment, batch, ids_out, error);
    for (size_t i = 0; i < batch.count; i++)
        ids_out[i] = piece->block == BLOCK_NONE ? piece->first_id + batch.items[i] : SERIES_ID_NONE;
    return ERROR_NONE;
}

/* --- Finding ---------------------------------------------------------------------------------- */

struct finding {
    struct view *view;
    const struct series_request *request;
    struct series_selection *selection;
};

/* Those that were forgotten are still in their segment, but not alive. */
static enum error_code leave_out_forgotten(struct finding *finding, struct selection_piece *piece,
                                           struct error *error)
{
    const struct id_set *forgotten = finding->view->forgotten;
    if (piece->segment == NULL || id_set_count(forgotten) == 0)
        return ERROR_NONE;
    uint64_t ids[BATCH_POSITIONS];
    uint32_t positions[BATCH_POSITIONS];
    size_t count = piece->positions.count;
    bool *marks = arena_array(finding->request->arena, count, sizeof *marks);
    if (marks == NULL)
        return out_of_memory(error);
    for (size_t at = 0; at < count; at += BATCH_POSITIONS) {
        struct positions batch = batch_at(piece, at, BATCH_POSITIONS, positions);
        enum error_code code = piece_ids(piece, batch, ids, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t i = 0; i < batch.count; i++)
            marks[at + i] = !id_set_has(forgotten, ids[i]);
    }
    position_set_keep(&piece->positions, marks);
    return ERROR_NONE;
}

/* Whether a piece may have series of slots that are another shard's. */
static bool has_foreign(const struct view *view, const struct selection_piece *piece)
{
    return piece->block == BLOCK_NONE ? view->lacks_slots : view->blocks[piece->block].is_unsplit;
}

/* Series that went to another shard are still in files and indexes, but not this shard's. */
static enum error_code leave_out_foreign(struct finding *finding, struct selection_piece *piece,
                                         struct error *error)
{
    const struct view *view = finding->view;
    if (piece->positions.count == 0 || !has_foreign(view, piece))
        return ERROR_NONE;
    uint16_t slots[BATCH_POSITIONS];
    uint32_t positions[BATCH_POSITIONS];
    size_t count = piece->positions.count;
    bool *marks = arena_array(finding->request->arena, count, sizeof *marks);
    if (marks == NULL)
        return out_of_memory(error);
    for (size_t at = 0; at < count; at += BATCH_POSITIONS) {
        struct positions batch = batch_at(piece, at, BATCH_POSITIONS, positions);
        enum error_code code = piece->index->operations->slots(piece->index, batch, slots, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t i = 0; i < batch.count; i++)
            marks[at + i] = slot_set_has(&view->owned, slots[i]);
    }
    position_set_keep(&piece->positions, marks);
    return ERROR_NONE;
}

static enum error_code find_in_piece(struct finding *finding, struct selection_piece piece,
                                     uint32_t position_count, struct error *error)
{
    const struct series_request *request = finding->request;
    struct series_selection *selection = finding->selection;
    struct index_query query = {
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .canceled = request->canceled,
        .arena = request->arena,
    };
    enum error_code code =
        index_select_set(piece.index, &query, position_count, &piece.positions, error);
    if (code == ERROR_NONE)
        code = leave_out_forgotten(finding, &piece, error);
    if (code == ERROR_NONE)
        code = leave_out_foreign(finding, &piece, error);
    if (code == ERROR_NONE && piece.positions.count > 0) {
        selection->pieces[selection->piece_count++] = piece;
        selection->count += piece.positions.count;
    }
    return code;
}

static enum error_code find_registered(struct finding *finding, size_t growing_count,
                                       struct error *error)
{
    struct view *view = finding->view;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < view->segment_count; i++) {
        struct selection_piece piece = {.index = series_segment_index(view->segments[i]),
                                        .segment = view->segments[i],
                                        .block = BLOCK_NONE};
        code = find_in_piece(finding, piece, UINT32_MAX, error);
    }
    for (size_t i = 0; code == ERROR_NONE && i < view->index_count; i++) {
        struct selection_piece piece = {.index = memory_index_source(view->indexes[i]),
                                        .first_id = memory_index_first_id(view->indexes[i]),
                                        .block = BLOCK_NONE};
        bool is_growing = i + 1 == view->index_count;
        code = find_in_piece(finding, piece, is_growing ? growing_count : UINT32_MAX, error);
    }
    return code;
}

static enum error_code find_in_blocks(struct finding *finding, struct error *error)
{
    const struct series_request *request = finding->request;
    enum error_code code = selection_fetch_indexes(finding->view, request, NULL, error);
    for (size_t i = 0; code == ERROR_NONE && i < finding->view->block_count; i++) {
        const struct view_block *block = &finding->view->blocks[i];
        if (block->start_ms > request->end_ms || block->end_ms < request->start_ms)
            continue;
        struct selection_piece piece = {.index = block_index(block->block), .block = (uint32_t)i};
        code = find_in_piece(finding, piece, UINT32_MAX, error);
    }
    return code;
}

/* --- The selection ---------------------------------------------------------------------------- */

/* A series may be in several pieces as soon as one of them is a block. */
static bool needs_join(const struct series_selection *selection)
{
    return selection->piece_count > 1 &&
           selection->pieces[selection->piece_count - 1].block != BLOCK_NONE;
}

enum error_code series_selection_find(struct view *view, const size_t *growing_count,
                                      const struct series_request *request,
                                      struct series_selection *selection_out, struct error *error)
{
    struct series_selection selection = {.tenant = request->tenant};
    struct finding finding = {view, request, &selection};
    size_t piece_max = view->segment_count + view->index_count + view->block_count;
    selection.pieces = arena_array(request->arena, piece_max, sizeof *selection.pieces);
    enum error_code code = selection.pieces == NULL ? out_of_memory(error) : ERROR_NONE;
    if (code == ERROR_NONE && growing_count != NULL)
        code = find_registered(&finding, *growing_count, error);
    if (code == ERROR_NONE)
        code = find_in_blocks(&finding, error);
    if (code == ERROR_NONE)
        code = selection_fetch_found(view, request, &selection, error);
    if (code == ERROR_NONE && needs_join(&selection))
        code = series_join(&selection, request, error);
    *selection_out = code == ERROR_NONE ? selection : (struct series_selection){0};
    return code;
}

/* The piece of series *index, which becomes its place in the piece's positions; few pieces, so a
 * scan. */
static const struct selection_piece *piece_of(const struct series_selection *selection,
                                              size_t *index)
{
    const struct selection_piece *piece = selection->pieces;
    while (*index >= piece->positions.count)
        *index -= piece++->positions.count;
    return piece;
}

/* Series from `first` on that are in one piece, `count` or BATCH_POSITIONS at most. */
static struct positions next_batch(const struct series_selection *selection, size_t first,
                                   size_t count, uint32_t *positions,
                                   const struct selection_piece **piece_out)
{
    *piece_out = piece_of(selection, &first);
    return batch_at(*piece_out, first, count, positions);
}

/* Of a joined selection: neighbours were found in one piece, by ascending position. */
static enum error_code joined_labels(const struct series_selection *selection, size_t first,
                                     size_t count, struct arena *arena, struct labels *labels_out,
                                     struct error *error)
{
    uint32_t positions[BATCH_POSITIONS];
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && count > 0) {
        const struct found_series *series = &selection->series[first];
        const struct selection_piece *piece = &selection->pieces[series->piece];
        struct positions batch = {positions, 0};
        for (; batch.count < count && batch.count < BATCH_POSITIONS; batch.count++) {
            if (series[batch.count].piece != series->piece)
                break;
            positions[batch.count] = series[batch.count].position;
        }
        code = piece->index->operations->labels(piece->index, batch, arena, labels_out, error);
        first += batch.count;
        count -= batch.count;
        labels_out += batch.count;
    }
    return code;
}

enum error_code series_selection_labels(const struct series_selection *selection, size_t first,
                                        size_t count, struct arena *arena,
                                        struct labels *labels_out, struct error *error)
{
    assert(first <= selection->count && count <= selection->count - first);
    if (selection->series != NULL)
        return joined_labels(selection, first, count, arena, labels_out, error);
    uint32_t positions[BATCH_POSITIONS];
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && count > 0) {
        const struct selection_piece *piece;
        struct positions batch = next_batch(selection, first, count, positions, &piece);
        code = piece->index->operations->labels(piece->index, batch, arena, labels_out, error);
        first += batch.count;
        count -= batch.count;
        labels_out += batch.count;
    }
    return code;
}

enum error_code series_selection_ids(const struct series_selection *selection, size_t first,
                                     size_t count, uint64_t *ids_out, struct error *error)
{
    assert(first <= selection->count && count <= selection->count - first);
    for (size_t i = 0; selection->series != NULL && i < count; i++)
        ids_out[i] = selection->series[first + i].id;
    if (selection->series != NULL)
        return ERROR_NONE;
    uint32_t positions[BATCH_POSITIONS];
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && count > 0) {
        const struct selection_piece *piece;
        struct positions batch = next_batch(selection, first, count, positions, &piece);
        code = piece_ids(piece, batch, ids_out, error);
        first += batch.count;
        count -= batch.count;
        ids_out += batch.count;
    }
    return code;
}

size_t series_selection_blocks(const struct series_selection *selection, size_t index,
                               struct block_position *positions)
{
    assert(index < selection->count);
    size_t count = 0;
    if (selection->series != NULL) {
        uint32_t link = selection->series[index].block_first;
        for (; link != LINK_NONE; link = selection->links[link].next)
            positions[count++] = selection->links[link].at;
        /* The chain begins with the last; samples are merged cheapest in the order of the view,
         * which is mostly that of time. */
        for (size_t i = 0, j = count; i + 1 < j; i++) {
            struct block_position later = positions[i];
            positions[i] = positions[--j];
            positions[j] = later;
        }
        return count;
    }
    const struct selection_piece *piece = piece_of(selection, &index);
    if (piece->block == BLOCK_NONE)
        return 0;
    positions[0].block = piece->block;
    position_set_read(&piece->positions, index, 1, &positions[0].position);
    return 1;
}

void series_selection_keep(struct series_selection *selection, const bool *marks)
{
    size_t kept = 0;
    for (size_t i = 0; selection->series != NULL && i < selection->count; i++)
        if (marks[i])
            selection->series[kept++] = selection->series[i];
    for (size_t i = 0; selection->series == NULL && i < selection->piece_count; i++) {
        struct position_set *positions = &selection->pieces[i].positions;
        size_t count = positions->count;
        position_set_keep(positions, marks);
        marks += count;
        kept += positions->count;
    }
    selection->count = kept;
}

static bool value_seen(void *context, struct text value, struct index_postings postings)
{
    (void)value;
    (void)postings;
    *(bool *)context = true;
    return false;
}

bool series_selection_may_have(const struct series_selection *selection, struct text name)
{
    bool seen = false;
    struct error error;
    for (size_t i = 0; !seen && i < selection->piece_count; i++) {
        struct index_source *index = selection->pieces[i].index;
        if (index->operations->values(index, selection->tenant, name, (struct text){0}, value_seen,
                                      &seen, &error) != ERROR_NONE)
            return true; /* who reads the labels meets the error */
    }
    return seen;
}
