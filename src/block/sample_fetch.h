/*
 * sample_fetch - which pages of a remote file have the samples of series.
 */
#ifndef BLOCK_SAMPLE_FETCH_H
#define BLOCK_SAMPLE_FETCH_H

#include "model/positions.h"
#include "range_list.h"
#include "sample_reader.h"

enum sample_fetch_what { SAMPLE_FETCH_TIMES, SAMPLE_FETCH_ALL };

/*
 * Add the pages of data of series to a list, by what their pages of the directory tell, which are
 * read for it: of keys, ascending, as many as make the list `bytes_max` long; of the first in any
 * case. *done_out says how many. Errors: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY.
 */
enum error_code sample_fetch_pages(const struct sample_store *store, struct positions positions,
                                   enum sample_fetch_what what, uint64_t bytes_max,
                                   struct range_list *list, size_t *done_out, struct error *error);

#endif
