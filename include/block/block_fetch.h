/*
 * block_fetch - bring near what a query will read of many blocks, in few round trips.
 *
 * A cold block in the bucket is read in three: its end, as it is opened (nodes of trees, names,
 * marks of the order); what matchers ask for of its index, with the pages of directory and labels
 * where the marks say that the series are; the samples and label values of the series found. Each
 * step is told for all blocks first, and then fetched at once:
 *
 *   end (of those to be opened) -> run -> index (of each) -> run -> select -> series (of each) ->
 * run
 *
 * The index of a block is fetched whole when it is small, or when a query gives no place in the
 * order and it is not large. Otherwise what the marks did not tell costs one round trip more.
 *
 * Blocks of the local disk are passed over. What was not foreseen is read when it is needed, a
 * page at a time: that is slow, never wrong. One thread; all of it may block.
 *
 * Errors of all: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY, and those of object/object_store.h.
 */
#ifndef BLOCK_BLOCK_FETCH_H
#define BLOCK_BLOCK_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "block/block_reader.h"
#include "block/page_source.h"
#include "model/index_source.h"

struct block_fetch;

/* Errors: OUT_OF_MEMORY. */
enum error_code block_fetch_create(struct block_fetch **fetch_out, struct error *error);
void block_fetch_destroy(struct block_fetch *fetch); /* NULL is fine */

/* Whether it pays to say before what is read. */
bool block_is_remote(const struct block *block);

/* The end of a block's file, before block_open reads it. */
void block_fetch_add_end(struct block_fetch *fetch, struct page_source *source);

/* The same of a deferred block (block/deferred_block.h), if it is not open yet. */
enum error_code block_fetch_add_opening(struct block_fetch *fetch, struct block *block,
                                        struct error *error);

/* What index_select and the like will read of the index. */
enum error_code block_fetch_add_query(struct block_fetch *fetch, struct block *block,
                                      const struct index_query *query, struct error *error);

/* The values of a label. */
enum error_code block_fetch_add_values(struct block_fetch *fetch, struct block *block,
                                       struct text tenant, struct text name, struct error *error);

/* Pages of directory and labels of series, ascending: mostly near by now. */
enum error_code block_fetch_add_places(struct block_fetch *fetch, struct block *block,
                                       struct positions positions, struct error *error);

/* Texts of the labels of series, ascending, whose places are near. */
enum error_code block_fetch_add_labels(struct block_fetch *fetch, struct block *block,
                                       struct positions positions, struct error *error);

/* Samples of series, ascending, whose places are near: as many of them as make all that is to be
 * fetched `bytes_max` long, of the first in any case; *done_out says how many. */
enum block_fetch_samples { BLOCK_FETCH_TIMESTAMPS, BLOCK_FETCH_SAMPLES };
enum error_code block_fetch_add_samples(struct block_fetch *fetch, struct block *block,
                                        struct positions positions, enum block_fetch_samples what,
                                        uint64_t bytes_max, size_t *done_out, struct error *error);

/* Of what was told since the last run, also of what is near; about. */
uint64_t block_fetch_bytes(const struct block_fetch *fetch);

/* Fetch what was told since the last run. */
enum error_code block_fetch_run(struct block_fetch *fetch, struct error *error);

#endif
