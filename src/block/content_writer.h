/*
 * content_writer - what parts and blocks have in common: samples, tenants, metadata of metrics, and
 * the checksum over all of it. Private to block.
 */
#ifndef BLOCK_CONTENT_WRITER_H
#define BLOCK_CONTENT_WRITER_H

#include "block/file_summary.h"
#include "content_hash.h"
#include "metadata_table.h"
#include "sample_writer.h"
#include "tenant_list.h"

struct content_writer {
    struct page_writer *pages;
    struct sample_writer samples;
    struct tenant_list tenants;
    struct metadata_writer metadata;
    struct content_hash hash;
    uint64_t series_count; /* counted by the caller */
};

/* Create or replace the file. Errors: NO_SPACE, IO, OUT_OF_MEMORY. Close it also then. */
enum error_code content_writer_open(struct content_writer *writer, struct disk *disk,
                                    const char *path, enum file_kind kind, enum target_order order,
                                    int64_t chunk_window_ms, struct error *error);

/* Errors: INVALID (lengths), LIMIT, OUT_OF_MEMORY. */
enum error_code content_writer_add_metadata(struct content_writer *writer, struct text tenant,
                                            struct text metric_name,
                                            const struct metric_metadata *metadata,
                                            struct error *error);

/* The end of the file, behind the samples (sample_writer_finish) and what else the caller has.
 * Errors: LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code content_writer_finish(struct content_writer *writer,
                                      struct file_summary *summary_out, struct error *error);

/* Without a successful finish, remove the file. */
void content_writer_close(struct content_writer *writer);

#endif
