/*
 * export_window - one window of time out of a node: asked by remote read, written as a block while
 * the answer arrives.
 */
#ifndef CLI_EXPORT_WINDOW_H
#define CLI_EXPORT_WINDOW_H

#include <stdint.h>

#include "base/error.h"
#include "block_options.h"
#include "platform/disk.h"
#include "tsdb/tsdb_meta.h"

struct export_source;

struct export_totals {
    uint64_t block_count;
    uint64_t sample_count;
};

/* The options outlive it. Errors: OUT_OF_MEMORY. */
enum error_code export_source_open(const struct block_options *options,
                                   struct export_source **source_out, struct error *error);
void export_source_close(struct export_source *source);

/* A time in [start_ms, end_ms] before which, from start_ms on, the node has no samples that are
 * asked for: at most two hours too early; behind end_ms when there are none. Errors: UNAVAILABLE,
 * INVALID (what the node refuses), OUT_OF_MEMORY. */
enum error_code export_source_oldest(struct export_source *source, int64_t start_ms, int64_t end_ms,
                                     int64_t *oldest_ms_out, struct error *error);

/* Samples in [start_ms, end_ms) become a block on the disk; none: no block, and no series in
 * *meta_out. Errors: as before, CORRUPT (the answer), NO_SPACE, IO. */
enum error_code export_window(struct export_source *source, struct disk *disk, int64_t start_ms,
                              int64_t end_ms, struct tsdb_meta *meta_out, struct error *error);

#endif
