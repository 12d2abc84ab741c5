/*
 * tsdb_writer - a block of Prometheus written: chunks of 120 samples, index version 2, meta.json.
 *
 * Samples go to their files at once; what the index needs of each series is held until the end. The
 * block has its name only when it is whole. Blocking calls; one thread.
 */
#ifndef TSDB_TSDB_WRITER_H
#define TSDB_TSDB_WRITER_H

#include <stdint.h>

#include "base/error.h"
#include "model/columns.h"
#include "model/labels.h"
#include "platform/disk.h"
#include "platform/random.h"
#include "tsdb/tsdb_meta.h"

struct tsdb_writer;

struct tsdb_writer_options {
    struct disk *disk; /* the block is a folder at its root */
    struct random *random;
    int64_t now_ms;   /* for its name */
    int64_t start_ms; /* samples are in [start_ms, end_ms) */
    int64_t end_ms;
};

/* Errors: OUT_OF_MEMORY. Nothing is made before the first series. */
enum error_code tsdb_writer_open(const struct tsdb_writer_options *options,
                                 struct tsdb_writer **writer_out, struct error *error);

/* A series with all its samples in the window; one without samples is left out. Series come in any
 * order, each once. Errors: INVALID (a sample outside of the window), NO_SPACE, IO,
 * OUT_OF_MEMORY. */
enum error_code tsdb_writer_add(struct tsdb_writer *writer, struct labels labels,
                                const struct sample_columns *columns, struct error *error);

/* Give the block its name; the writer is gone in any case. Without a series nothing is made, and
 * *meta_out has none. Errors: INVALID (a series twice), LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code tsdb_writer_finish(struct tsdb_writer *writer, struct tsdb_meta *meta_out,
                                   struct error *error);

/* Remove what was made. NULL is fine. */
void tsdb_writer_abandon(struct tsdb_writer *writer);

#endif
