#include "selection_fetch.h"

#include <stdlib.h>

#include "block/block_fetch.h"
#include "platform/no_wait.h"

enum {
    BATCH_POSITIONS = 4096,
    /* Series whose samples are fetched together: at first, and at least and at most when it is
     * known how many bytes such series have. */
    SERIES_FIRST = 256,
    SERIES_MIN = 16,
    SERIES_MAX = 16 * 1024,
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs more memory to fetch series");
}

static bool is_asked(const struct view_block *block, const struct series_request *request)
{
    return block->start_ms <= request->end_ms && block->end_ms >= request->start_ms &&
           block_is_remote(block->block);
}

static bool is_remote(const struct view *view, const struct selection_piece *piece)
{
    return piece->block != BLOCK_NONE && block_is_remote(view->blocks[piece->block].block);
}

bool selection_is_remote(const struct view *view, const struct series_selection *selection)
{
    for (size_t i = 0; i < selection->piece_count; i++)
        if (is_remote(view, &selection->pieces[i]))
            return true;
    return false;
}

static bool are_read(const struct view_block *block, const struct samples_needed *needed)
{
    return needed->need != SERIES_NEED_LABELS || block->start_ms < needed->start_ms ||
           block->end_ms > needed->end_ms;
}

static enum block_fetch_samples what_is_read(const struct samples_needed *needed)
{
    return needed->need == SERIES_NEED_LABELS ? BLOCK_FETCH_TIMESTAMPS : BLOCK_FETCH_SAMPLES;
}

/* --- Before the selection --------------------------------------------------------------------- */

static enum error_code add_query(struct block_fetch *fetch, struct block *block,
                                 const struct series_request *request, const struct text *values_of,
                                 struct error *error)
{
    struct index_query query = {
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .arena = request->arena,
    };
    /* Without matchers all values are read, and nothing else. */
    enum error_code code = ERROR_NONE;
    if (values_of == NULL || request->matcher_count > 0)
        code = block_fetch_add_query(fetch, block, &query, error);
    if (code == ERROR_NONE && values_of != NULL)
        code = block_fetch_add_values(fetch, block, request->tenant, *values_of, error);
    return code;
}

enum error_code selection_fetch_indexes(struct view *view, const struct series_request *request,
                                        const struct text *values_of, struct error *error)
{
    size_t first = 0;
    while (first < view->block_count && !is_asked(&view->blocks[first], request))
        first++;
    if (first == view->block_count || no_wait_applies())
        return ERROR_NONE;
    struct block_fetch *fetch = NULL;
    enum error_code code = block_fetch_create(&fetch, error);
    for (size_t i = first; code == ERROR_NONE && i < view->block_count; i++)
        if (is_asked(&view->blocks[i], request))
            code = block_fetch_add_opening(fetch, view->blocks[i].block, error);
    if (code == ERROR_NONE)
        code = block_fetch_run(fetch, error);
    for (size_t i = first; code == ERROR_NONE && i < view->block_count; i++)
        if (is_asked(&view->blocks[i], request))
            code = add_query(fetch, view->blocks[i].block, request, values_of, error);
    if (code == ERROR_NONE)
        code = block_fetch_run(fetch, error);
    block_fetch_destroy(fetch);
    return code;
}

/* --- Behind it -------------------------------------------------------------------------------- */

struct found_fetch {
    struct block_fetch *fetch;
    struct view *view;
    uint32_t positions[BATCH_POSITIONS];
};

typedef enum error_code add_positions(struct block_fetch *fetch, struct block *block,
                                      struct positions positions, struct error *error);

/* All positions of a piece, some at a time. */
static enum error_code add_all(struct found_fetch *found, const struct selection_piece *piece,
                               add_positions *add, struct error *error)
{
    struct block *block = found->view->blocks[piece->block].block;
    enum error_code code = ERROR_NONE;
    for (size_t at = 0; code == ERROR_NONE && at < piece->positions.count; at += BATCH_POSITIONS) {
        struct positions batch = {found->positions, piece->positions.count - at};
        if (batch.count > BATCH_POSITIONS)
            batch.count = BATCH_POSITIONS;
        position_set_read(&piece->positions, at, batch.count, found->positions);
        code = add(found->fetch, block, batch, error);
    }
    return code;
}

/* Samples of the first series of a piece, until the list is so long. */
static enum error_code add_first_samples(struct found_fetch *found,
                                         const struct selection_piece *piece,
                                         enum block_fetch_samples what, uint64_t bytes_max,
                                         struct error *error)
{
    size_t count =
        piece->positions.count < BATCH_POSITIONS ? piece->positions.count : (size_t)BATCH_POSITIONS;
    size_t ignored; /* the reader fetches the others */
    position_set_read(&piece->positions, 0, count, found->positions);
    return block_fetch_add_samples(found->fetch, found->view->blocks[piece->block].block,
                                   (struct positions){found->positions, count}, what, bytes_max,
                                   &ignored, error);
}

static enum error_code fetch_pieces(struct found_fetch *found,
                                    const struct series_selection *selection,
                                    const struct series_request *request, struct error *error)
{
    const struct selection_piece *pieces = selection->pieces;
    size_t count = selection->piece_count;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        if (is_remote(found->view, &pieces[i]))
            code = add_all(found, &pieces[i], block_fetch_add_places, error);
    if (code == ERROR_NONE)
        code = block_fetch_run(found->fetch, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        if (is_remote(found->view, &pieces[i]))
            code = add_all(found, &pieces[i], block_fetch_add_labels, error);
    enum block_fetch_samples what =
        request->need == SERIES_NEED_LABELS ? BLOCK_FETCH_TIMESTAMPS : BLOCK_FETCH_SAMPLES;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        if (is_remote(found->view, &pieces[i]))
            code = add_first_samples(found, &pieces[i], what,
                                     (uint64_t)SAMPLES_AHEAD_BYTES * (i + 1) / count, error);
    return code == ERROR_NONE ? block_fetch_run(found->fetch, error) : code;
}

enum error_code selection_fetch_found(struct view *view, const struct series_request *request,
                                      const struct series_selection *selection, struct error *error)
{
    if (no_wait_applies() || !selection_is_remote(view, selection))
        return ERROR_NONE;
    struct found_fetch *found = malloc(sizeof *found);
    if (found == NULL)
        return out_of_memory(error);
    found->view = view;
    found->fetch = NULL;
    enum error_code code = block_fetch_create(&found->fetch, error);
    if (code == ERROR_NONE)
        code = fetch_pieces(found, selection, request, error);
    block_fetch_destroy(found->fetch);
    free(found);
    return code;
}

/* --- While it is read ------------------------------------------------------------------------- */

/* Places in blocks of some series, by block and position. */
struct places {
    struct block_position *items; /* [count] */
    size_t count;
    size_t capacity;
    struct block_position *of_series; /* [blocks of the view] */
    uint32_t *positions;              /* [capacity], of one block */
};

static int place_order(const void *left, const void *right)
{
    const struct block_position *a = left;
    const struct block_position *b = right;
    if (a->block != b->block)
        return a->block < b->block ? -1 : 1;
    return a->position < b->position ? -1 : a->position > b->position;
}

static bool add_places(struct places *places, const struct view *view,
                       const struct series_selection *selection, size_t index)
{
    size_t count = series_selection_blocks(selection, index, places->of_series);
    if (places->count + count > places->capacity) {
        size_t capacity = 2 * (places->count + count);
        struct block_position *grown = realloc(places->items, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        places->items = grown;
        places->capacity = capacity;
    }
    for (size_t i = 0; i < count; i++)
        if (block_is_remote(view->blocks[places->of_series[i].block].block))
            places->items[places->count++] = places->of_series[i];
    return true;
}

static bool collect_places(struct places *places, const struct view *view,
                           const struct series_selection *selection, size_t first, size_t count)
{
    places->of_series = malloc((view->block_count + 1) * sizeof *places->of_series);
    if (places->of_series == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!add_places(places, view, selection, first + i))
            return false;
    places->positions = malloc((places->count + 1) * sizeof *places->positions);
    if (places->positions == NULL)
        return false;
    if (places->count > 0)
        qsort(places->items, places->count, sizeof *places->items, place_order);
    return true;
}

static void places_clear(struct places *places)
{
    free(places->items);
    free(places->of_series);
    free(places->positions);
}

/* The places from `at` on that are in one block; returns where the next block begins. */
static size_t block_places(const struct places *places, size_t at, struct positions *positions_out)
{
    size_t count = 0;
    uint32_t block = places->items[at].block;
    for (; at < places->count && places->items[at].block == block; at++)
        places->positions[count++] = places->items[at].position;
    *positions_out = (struct positions){places->positions, count};
    return at;
}

static enum error_code fetch_places(struct block_fetch *fetch, const struct view *view,
                                    const struct samples_needed *needed,
                                    const struct places *places, uint64_t *bytes_out,
                                    struct error *error)
{
    enum error_code code = ERROR_NONE;
    struct positions positions;
    size_t ignored; /* there is no limit */
    for (size_t at = 0; code == ERROR_NONE && at < places->count;) {
        const struct view_block *block = &view->blocks[places->items[at].block];
        at = block_places(places, at, &positions);
        if (are_read(block, needed))
            code = block_fetch_add_places(fetch, block->block, positions, error);
    }
    if (code == ERROR_NONE)
        code = block_fetch_run(fetch, error);
    for (size_t at = 0; code == ERROR_NONE && at < places->count;) {
        const struct view_block *block = &view->blocks[places->items[at].block];
        at = block_places(places, at, &positions);
        if (are_read(block, needed))
            code = block_fetch_add_samples(fetch, block->block, positions, what_is_read(needed),
                                           UINT64_MAX, &ignored, error);
    }
    *bytes_out = block_fetch_bytes(fetch);
    return code == ERROR_NONE ? block_fetch_run(fetch, error) : code;
}

static size_t next_count(size_t count, uint64_t bytes)
{
    uint64_t next = bytes == 0 ? SERIES_MAX : count * (uint64_t)SAMPLES_AHEAD_BYTES / bytes;
    if (next > 4 * count)
        next = 4 * count;
    if (next > SERIES_MAX)
        next = SERIES_MAX;
    return next < SERIES_MIN ? (size_t)SERIES_MIN : (size_t)next;
}

enum error_code selection_fetch_samples(struct view *view, const struct series_selection *selection,
                                        const struct samples_needed *needed, size_t index,
                                        struct samples_ahead *ahead, struct error *error)
{
    if ((index >= ahead->first && index < ahead->end) || no_wait_applies())
        return ERROR_NONE;
    size_t count = ahead->series_count == 0 ? (size_t)SERIES_FIRST : ahead->series_count;
    if (count > selection->count - index)
        count = selection->count - index;
    struct places places = {0};
    struct block_fetch *fetch = NULL;
    uint64_t bytes = 0;
    enum error_code code = collect_places(&places, view, selection, index, count)
                               ? block_fetch_create(&fetch, error)
                               : out_of_memory(error);
    if (code == ERROR_NONE)
        code = fetch_places(fetch, view, needed, &places, &bytes, error);
    block_fetch_destroy(fetch);
    places_clear(&places);
    if (code != ERROR_NONE)
        return code;
    *ahead = (struct samples_ahead){index, index + count, next_count(count, bytes)};
    return ERROR_NONE;
}
