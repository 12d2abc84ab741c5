/*
 * sample_writer - the samples of a part or block: time columns, chunks, directory.
 *
 * Byte layout: docs/formats/pages.md, "Samples". Series are added in the order in which their
 * chunks shall lie; the directory is sorted by key at the end.
 */
#ifndef BLOCK_SAMPLE_WRITER_H
#define BLOCK_SAMPLE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "block/block_writer.h"
#include "codec/codec_scratch.h"
#include "model/columns.h"
#include "model/sample.h"
#include "page_writer.h"
#include "time_columns.h"
#include "written_series.h"

/* When the columns of a target are written, and where tenant and slot of a series stand. */
enum target_order {
    /* A part: series of one target come one after another; the directory has their origins. */
    TARGETS_ADJACENT,
    /* A block: in any order, columns stay in memory to the end; the label index has the origins,
     * and the directory zeros. */
    TARGETS_SCATTERED,
};

struct sample_series {
    uint64_t key;    /* each once, below UINT64_MAX */
    uint64_t target; /* whose time columns it shares */
    uint32_t tenant;
    uint16_t slot;
};

struct sample_writer {
    struct page_writer *pages;
    struct time_columns columns;
    enum target_order order;
    int64_t chunk_window_ms; /* chunks never cross a multiple; 0: no matter */
    uint64_t current_target;
    struct codec_scratch *scratch;
    struct arena *arena;
    struct byte_buffer group; /* chunks of the page that is being filled */
    struct page_reference *groups;
    size_t group_count;
    size_t group_capacity;
    struct written_series series;
    uint64_t sample_count;
    int64_t min_time_ms;
    int64_t max_time_ms;
    uint8_t slots[SLOT_COUNT / 8]; /* which have a series */
};

/* Errors: OUT_OF_MEMORY. Clear it also then. */
enum error_code sample_writer_init(struct sample_writer *writer, struct page_writer *pages,
                                   enum target_order order, int64_t chunk_window_ms,
                                   struct error *error);

/* Add a series with its samples (ascending, at least one sample or exemplar). Errors: INVALID,
 * LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code sample_writer_add(struct sample_writer *writer, const struct sample_series *series,
                                  const struct sample_columns *columns,
                                  const struct exemplar *exemplars, size_t exemplar_count,
                                  struct error *error);

/* The same with chunks as they are. */
enum error_code sample_writer_add_encoded(struct sample_writer *writer,
                                          const struct sample_series *series,
                                          const struct encoded_series *encoded,
                                          const struct exemplar *exemplars, size_t exemplar_count,
                                          struct error *error);

/* Memory of what lasts until the end: the directory and open time columns. */
size_t sample_writer_size_bytes(const struct sample_writer *writer);

/* Write what is left and the directory; makes the sections TOC_DIRECTORY and TOC_SLOTS. Errors:
 * INVALID (a key twice), LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code sample_writer_finish(struct sample_writer *writer, struct error *error);
void sample_writer_clear(struct sample_writer *writer);

#endif
