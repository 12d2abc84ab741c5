/*
 * Pieces are asked for positions; what is read of series beyond that is read when it is needed.
 */
#include "series_selection.h"

#include <assert.h>
#include <string.h>

#include "model/index_source.h"
#include "series_join.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY,
                     "the query needs more memory than it may take to select series");
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

/* `list` without the positions whose mark is not set, in the arena; itself when all are. */
static bool keep_marked(struct positions *list, const bool *marks, struct arena *arena)
{
    size_t first = 0;
    while (first < list->count && marks[first])
        first++;
    if (first == list->count)
        return true;
    uint32_t *items = arena_array(arena, list->count, sizeof *items);
    if (items == NULL)
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (marks[i])
            items[kept++] = list->items[i];
    *list = (struct positions){items, kept};
    return true;
}

/* Those that were forgotten are still in their segment, but not alive. */
static enum error_code leave_out_forgotten(struct finding *finding, struct selection_piece *piece,
                                           struct error *error)
{
    enum { BATCH_IDS = 1024 };
    uint64_t ids[BATCH_IDS];
    const struct id_set *forgotten = finding->view->forgotten;
    if (piece->segment == NULL || id_set_count(forgotten) == 0)
        return ERROR_NONE;
    struct positions *list = &piece->positions;
    bool *marks = arena_array(finding->request->arena, list->count, sizeof *marks);
    if (marks == NULL)
        return out_of_memory(error);
    for (size_t at = 0; at < list->count; at += BATCH_IDS) {
        struct positions batch = {list->items + at, list->count - at};
        if (batch.count > BATCH_IDS)
            batch.count = BATCH_IDS;
        enum error_code code = piece_ids(piece, batch, ids, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t i = 0; i < batch.count; i++)
            marks[at + i] = !id_set_has(forgotten, ids[i]);
    }
    return keep_marked(list, marks, finding->request->arena) ? ERROR_NONE : out_of_memory(error);
}

static enum error_code find_in_piece(struct finding *finding, struct selection_piece piece,
                                     size_t position_count, struct error *error)
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
    enum error_code code = index_select(piece.index, &query, &piece.positions, error);
    struct positions *positions = &piece.positions;
    while (code == ERROR_NONE && positions->count > 0 &&
           positions->items[positions->count - 1] >= position_count)
        positions->count--;
    if (code == ERROR_NONE)
        code = leave_out_forgotten(finding, &piece, error);
    if (code == ERROR_NONE && positions->count > 0) {
        selection->pieces[selection->piece_count++] = piece;
        selection->count += positions->count;
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
        code = find_in_piece(finding, piece, SIZE_MAX, error);
    }
    for (size_t i = 0; code == ERROR_NONE && i < view->index_count; i++) {
        struct selection_piece piece = {.index = memory_index_source(view->indexes[i]),
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
        struct selection_piece piece = {.index = block_index(block->block), .block = (uint32_t)i};
        code = find_in_piece(finding, piece, SIZE_MAX, error);
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

/* So many of the series from `at` on in a piece, `count` at most. */
static struct positions batch_at(const struct selection_piece *piece, size_t at, size_t count)
{
    struct positions batch = {piece->positions.items + at, piece->positions.count - at};
    if (batch.count > count)
        batch.count = count;
    return batch;
}

enum error_code series_selection_labels(const struct series_selection *selection, size_t first,
                                        size_t count, struct arena *arena,
                                        struct labels *labels_out, struct error *error)
{
    assert(first <= selection->count && count <= selection->count - first);
    for (size_t i = 0; selection->series != NULL && i < count; i++)
        labels_out[i] = selection->series[first + i].labels;
    if (selection->series != NULL || count == 0)
        return ERROR_NONE;
    const struct selection_piece *piece = piece_of(selection, &first);
    for (;; piece++, first = 0) {
        struct positions batch = batch_at(piece, first, count);
        enum error_code code =
            piece->index->operations->labels(piece->index, batch, arena, labels_out, error);
        count -= batch.count;
        labels_out += batch.count;
        if (code != ERROR_NONE || count == 0)
            return code;
    }
}

enum error_code series_selection_ids(const struct series_selection *selection, size_t first,
                                     size_t count, uint64_t *ids_out, struct error *error)
{
    assert(first <= selection->count && count <= selection->count - first);
    for (size_t i = 0; selection->series != NULL && i < count; i++)
        ids_out[i] = selection->series[first + i].id;
    if (selection->series != NULL || count == 0)
        return ERROR_NONE;
    const struct selection_piece *piece = piece_of(selection, &first);
    for (;; piece++, first = 0) {
        struct positions batch = batch_at(piece, first, count);
        enum error_code code = piece_ids(piece, batch, ids_out, error);
        count -= batch.count;
        ids_out += batch.count;
        if (code != ERROR_NONE || count == 0)
            return code;
    }
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
        return count;
    }
    const struct selection_piece *piece = piece_of(selection, &index);
    if (piece->block != BLOCK_NONE)
        positions[count++] = (struct block_position){piece->block, piece->positions.items[index]};
    return count;
}

enum error_code series_selection_keep(struct series_selection *selection, const bool *marks,
                                      struct arena *arena, struct error *error)
{
    size_t kept = 0;
    if (selection->series != NULL) {
        for (size_t i = 0; i < selection->count; i++)
            if (marks[i])
                selection->series[kept++] = selection->series[i];
        selection->count = kept;
        return ERROR_NONE;
    }
    for (size_t i = 0; i < selection->piece_count; i++) {
        struct positions *positions = &selection->pieces[i].positions;
        size_t count = positions->count;
        if (!keep_marked(positions, marks, arena))
            return out_of_memory(error);
        marks += count;
        kept += positions->count;
    }
    selection->count = kept;
    return ERROR_NONE;
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
