/*
 * tsdb_block - a block of Prometheus read: its series one after the other, of each its samples in
 * pieces of bounded size, without what its tombstones cover.
 *
 * Index versions 1 and 2; chunks of floats (XOR), of native histograms and of float histograms.
 * Chunks of a series may overlap: samples come ascending, each timestamp once, of two values the
 * one that base order prefers (model/sample.h). Every checksum, length and offset is checked;
 * errors name file and offset. One thread.
 */
#ifndef TSDB_TSDB_BLOCK_H
#define TSDB_TSDB_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/columns.h"
#include "model/labels.h"
#include "tsdb/tsdb_folder.h"
#include "tsdb/tsdb_meta.h"

struct tsdb_block;

/* `path` of the block in the folder, "" when it is the folder; the folder outlives it. Errors:
 * NOT_FOUND, CORRUPT, UNSUPPORTED, LIMIT, IO, OUT_OF_MEMORY. */
enum error_code tsdb_block_open(struct tsdb_folder *folder, const char *path,
                                struct tsdb_block **block_out, struct error *error);
void tsdb_block_close(struct tsdb_block *block);

/* Only meta.json, labels in `arena`. Errors: as before. */
enum error_code tsdb_block_load_meta(struct tsdb_folder *folder, const char *path,
                                     struct arena *arena, struct tsdb_meta *meta_out,
                                     struct error *error);

const struct tsdb_meta *tsdb_block_meta(const struct tsdb_block *block);

/* Of chunks, so far. */
uint64_t tsdb_block_read_bytes(const struct tsdb_block *block);

/* The next series, with the block's external labels, which win over its own; *found_out false:
 * there is no more. The labels live until the next one. Errors: as before. */
enum error_code tsdb_block_next(struct tsdb_block *block, struct labels *labels_out,
                                bool *found_out, struct error *error);

/* More samples of that series in [start_ms, end_ms], until the next call; none: there are no more.
 * Errors: as before. */
enum error_code tsdb_block_read(struct tsdb_block *block, int64_t start_ms, int64_t end_ms,
                                struct sample_columns *columns_out, struct error *error);

#endif
