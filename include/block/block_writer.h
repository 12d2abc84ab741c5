/*
 * block_writer - write one self-contained file of an aligned time window.
 *
 * Byte layout: docs/formats/block.md. Series come in block order (block_order.h).
 * Bytes are a pure function of what is added. One thread at a time; blocking (workers).
 */
#ifndef BLOCK_BLOCK_WRITER_H
#define BLOCK_BLOCK_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "block/block_order.h"
#include "block/encoded_series.h"
#include "block/file_summary.h"
#include "model/columns.h"
#include "model/labels.h"
#include "model/sample.h"
#include "platform/disk.h"

/* What is known of a block before its content. */
struct block_properties {
    int64_t start_ms;        /* the window [start_ms, end_ms): every sample is inside */
    int64_t end_ms;          /* > start_ms */
    uint32_t resolution_ms;  /* 0: raw samples */
    uint32_t shard;          /* the shard that made it */
    uint64_t block_id;       /* log index of the entry that decided it */
    uint64_t tombstone_mark; /* deletions up to this log index are applied inside */
};

struct block_writer;

/* Create the file (replacing what is there); it is no valid block before block_writer_finish.
 * `disk` outlives the writer. Errors: INVALID, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code block_writer_create(struct disk *disk, const char *path,
                                    const struct block_properties *properties,
                                    struct block_writer **writer_out, struct error *error);

/*
 * Add the next series in block order; without samples and exemplars it is skipped. Nothing is kept
 * of the arguments. Errors: INVALID (order, bounds, samples outside the window), LIMIT (2^32
 * series), NO_SPACE, IO, OUT_OF_MEMORY. After an error only destroy makes sense.
 */
enum error_code block_writer_add(struct block_writer *writer, const struct block_series *series,
                                 const struct sample_columns *columns,
                                 const struct exemplar *exemplars, size_t exemplar_count,
                                 struct error *error);

/* The same with chunks that are copied as they are (after decoding them for the content checksum,
 * so a corrupt chunk is never copied). Errors: as block_writer_add, and CORRUPT. */
enum error_code block_writer_add_encoded(struct block_writer *writer,
                                         const struct block_series *series,
                                         const struct encoded_series *encoded,
                                         const struct exemplar *exemplars, size_t exemplar_count,
                                         struct error *error);

/* The metadata of a metric of a tenant; of several the last one added stays. */
enum error_code block_writer_add_metadata(struct block_writer *writer, struct text tenant,
                                          struct text metric_name,
                                          const struct metric_metadata *metadata,
                                          struct error *error);

/* Write index and footer and sync the file; the caller syncs the folder. Errors: NO_SPACE, IO,
 * OUT_OF_MEMORY. */
enum error_code block_writer_finish(struct block_writer *writer, struct file_summary *summary_out,
                                    struct error *error);

/* Without a successful finish before, the file is removed. NULL is fine. */
/* Memory of what grows with the series: directory, label index, open time columns. */
size_t block_writer_size_bytes(const struct block_writer *writer);

void block_writer_destroy(struct block_writer *writer);

#endif
