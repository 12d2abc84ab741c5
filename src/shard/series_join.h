/*
 * series_join - the pieces of a selection become one list of series, by their labels. Private to
 * series_selection.
 */
#ifndef SHARD_SERIES_JOIN_H
#define SHARD_SERIES_JOIN_H

#include "series_selection.h"

/* Fill in the series and links of a selection whose pieces were found. Errors: CANCELED, CORRUPT,
 * IO, OUT_OF_MEMORY. */
enum error_code series_join(struct series_selection *selection,
                            const struct series_request *request, struct error *error);

/* Ids of some positions of a piece: ids[batch.count]. Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code piece_ids(const struct selection_piece *piece, struct positions batch,
                          uint64_t *ids_out, struct error *error);

#endif
