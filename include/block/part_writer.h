/*
 * part_writer - write the samples of a frozen head as one file keyed by series id.
 *
 * Byte layout: docs/formats/part.md. No labels in it. Bytes are a pure function of what is added
 * in which order. One thread at a time; blocking (workers).
 */
#ifndef BLOCK_PART_WRITER_H
#define BLOCK_PART_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "block/file_summary.h"
#include "model/columns.h"
#include "model/sample.h"
#include "platform/disk.h"

struct part_series {
    uint64_t id;        /* each once in a part */
    uint64_t target;    /* series with equal numbers are added one after another and share
                           timestamps; the number itself is not stored */
    struct text tenant; /* at most TENANT_ID_BYTES_MAX */
    uint16_t slot;      /* < SLOT_COUNT */
};

struct part_writer;

/*
 * Create the file (replacing what is there); it is no valid part before part_writer_finish.
 * `disk` outlives the writer. Errors: NO_SPACE, IO, OUT_OF_MEMORY.
 */
enum error_code part_writer_create(struct disk *disk, const char *path,
                                   struct part_writer **writer_out, struct error *error);

/*
 * Add one series, by (target, id) for the smallest file. Series without samples and exemplars are
 * skipped. Nothing is kept of the arguments. Exemplars are ascending by timestamp.
 * Errors: INVALID (an id twice is found at finish; timestamps not ascending, a slot or tenant out
 * of bounds), NO_SPACE, IO, OUT_OF_MEMORY. After an error only destroy makes sense.
 */
enum error_code part_writer_add(struct part_writer *writer, const struct part_series *series,
                                const struct sample_columns *columns,
                                const struct exemplar *exemplars, size_t exemplar_count,
                                struct error *error);

/* The metadata of a metric of a tenant; of several the last one added stays. */
enum error_code part_writer_add_metadata(struct part_writer *writer, struct text tenant,
                                         struct text metric_name,
                                         const struct metric_metadata *metadata,
                                         struct error *error);

/* Write directory and footer and sync the file; the caller syncs the folder. Errors: INVALID,
 * NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code part_writer_finish(struct part_writer *writer, struct file_summary *summary_out,
                                   struct error *error);

/* Closes the file. Without a successful finish before, the file is removed. NULL is fine. */
void part_writer_destroy(struct part_writer *writer);

#endif
