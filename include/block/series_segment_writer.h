/*
 * series_segment_writer - write a range of the registry: series ids with their labels.
 *
 * Byte layout: docs/formats/series_segment.md. One thread at a time; blocking (workers).
 */
#ifndef BLOCK_SERIES_SEGMENT_WRITER_H
#define BLOCK_SERIES_SEGMENT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/text.h"
#include "block/file_summary.h"
#include "model/labels.h"
#include "platform/disk.h"

struct segment_series {
    uint64_t id;
    uint64_t target; /* the head's number of its target */
    struct text tenant;
    uint16_t slot;
    struct labels labels; /* canonical */
};

/* The identity by which segments are searched; fixed seed. */
static inline struct hash128 series_segment_hash(struct text tenant, struct labels labels)
{
    return labels_hash(labels, hash64(tenant.data, tenant.size, HASH_SEED_STORED));
}

struct series_segment_writer;

/* Create the file (replacing what is there); it is no valid segment before finish. `disk` outlives
 * the writer. Errors: NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code series_segment_writer_create(struct disk *disk, const char *path,
                                             struct series_segment_writer **writer_out,
                                             struct error *error);

/*
 * Add the next series, ids ascending; gaps are dead ids, which a compaction leaves out. Nothing is
 * kept of the argument. Errors: INVALID (order, bounds), LIMIT (2^32 series), NO_SPACE, IO,
 * OUT_OF_MEMORY.
 */
enum error_code series_segment_writer_add(struct series_segment_writer *writer,
                                          const struct segment_series *series, struct error *error);

/* Write tables and footer and sync the file; the caller syncs the folder. sample_count is 0 in the
 * summary. Errors: INVALID (labels twice), NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code series_segment_writer_finish(struct series_segment_writer *writer,
                                             struct file_summary *summary_out, struct error *error);

/* Without a successful finish before, the file is removed. NULL is fine. */
void series_segment_writer_destroy(struct series_segment_writer *writer);

#endif
