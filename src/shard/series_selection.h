/*
 * series_selection - which series of a view match, and where their samples are. Private to shard.
 *
 * What the registry knows (segments, indexes in memory) is alive once in all of them; series of
 * blocks are joined with those and with each other by their labels. A selection of the registry
 * alone, or of one block alone, joins nothing.
 */
#ifndef SHARD_SERIES_SELECTION_H
#define SHARD_SERIES_SELECTION_H

#include "promql/series_source.h"

#include "view.h"
#include "view_reader.h"

#define LINK_NONE UINT32_MAX

struct found_series {
    struct hash128 identity; /* of its labels, which are those at */
    uint32_t piece;          /* the piece where it was found first, and */
    uint32_t position;       /* its position there */
    uint64_t id;             /* SERIES_ID_NONE: only in blocks */
    uint32_t block_first;    /* chain of block_link, LINK_NONE: in no block */
};

/* Positions in blocks, chained per series from the newest found to the oldest. */
struct block_link {
    struct block_position at;
    uint32_t next;
};

/* A segment, an index in memory or a block, and what matches in it. */
struct selection_piece {
    struct index_source *index;
    struct position_set positions;
    struct series_segment *segment; /* NULL: another kind; ids are in its rows, */
    uint64_t first_id;              /* and of an index in memory they count from here */
    uint32_t block;                 /* of the view; BLOCK_NONE: another kind */
};

#define BLOCK_NONE UINT32_MAX

/*
 * In the arena of the request. Labels are read when somebody asks; where nothing had to be joined a
 * series is no more than its position in a piece, and ids are read then too.
 */
struct series_selection {
    size_t count;
    struct text tenant;
    struct selection_piece *pieces; /* [piece_count], each with a match, of the registry first */
    size_t piece_count;
    struct found_series *series; /* [count], joined; NULL: those of the pieces one by one */
    struct block_link *links;
};

/*
 * Of the blocks those that overlap the range are asked; the registry unless `growing_count`, how
 * many series of its growing index belong to the view, is NULL. Memory is taken for what matches:
 * 4 bytes a series or a bit of the span, and where series of blocks are joined 40 more and up to
 * 12, and 12 a place in a block. Errors: CANCELED, CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code series_selection_find(struct view *view, const size_t *growing_count,
                                      const struct series_request *request,
                                      struct series_selection *selection_out, struct error *error);

/* Labels of `count` series from `first` on, alive as long as the view and both arenas. Any thread.
 * Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code series_selection_labels(const struct series_selection *selection, size_t first,
                                        size_t count, struct arena *arena,
                                        struct labels *labels_out, struct error *error);

/* Where their samples are: ids[count], SERIES_ID_NONE for those that are only in blocks. Any
 * thread. Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code series_selection_ids(const struct series_selection *selection, size_t first,
                                     size_t count, uint64_t *ids_out, struct error *error);

/* Places of a series in blocks, positions[blocks of the view]; returns how many. Any thread. */
size_t series_selection_blocks(const struct series_selection *selection, size_t index,
                               struct block_position *positions);

/* Leave out the series whose mark is not set: marks[count]. */
void series_selection_keep(struct series_selection *selection, const bool *marks);

/* False only when no series of the selection has a label `name`. Any thread. */
bool series_selection_may_have(const struct series_selection *selection, struct text name);

#endif
