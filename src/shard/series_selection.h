/*
 * series_selection - which series of a view match, and where their samples are. Private to shard.
 *
 * What the registry knows (segments, indexes in memory) is alive once in all of them; series of
 * blocks are joined with those and with each other by their labels.
 */
#ifndef SHARD_SERIES_SELECTION_H
#define SHARD_SERIES_SELECTION_H

#include "promql/series_source.h"

#include "view.h"
#include "view_reader.h"

#define LINK_NONE UINT32_MAX

struct found_series {
    struct labels labels;
    uint64_t id;          /* SERIES_ID_NONE: only in blocks */
    uint32_t block_first; /* chain of block_link, LINK_NONE: in no block */
};

/* Positions in blocks, chained per series from the newest found to the oldest. */
struct block_link {
    struct block_position at;
    uint32_t next;
};

/* In the arena of the request. */
struct series_selection {
    struct found_series *series; /* [count] */
    size_t count;
    struct block_link *links;
};

/*
 * Of the blocks those that overlap the range are asked; the registry unless `growing_count`, how
 * many series of its growing index belong to the view, is NULL. Memory is taken for what matches:
 * 36 bytes a series and 16 a place in a block, and the labels.
 * Errors: CANCELED, CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code series_selection_find(struct view *view, const size_t *growing_count,
                                      const struct series_request *request,
                                      struct series_selection *selection_out, struct error *error);

#endif
