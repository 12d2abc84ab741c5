/*
 * metadata_table - type, help and unit of metrics in a file.
 *
 * Byte layout: docs/formats/pages.md, "Metadata".
 */
#ifndef BLOCK_METADATA_TABLE_H
#define BLOCK_METADATA_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "block/part_reader.h"
#include "content_hash.h"
#include "model/sample.h"
#include "page_file.h"
#include "tenant_list.h"

struct metadata_item;

/* What is added comes in any order. Zero-initialised is empty. */
struct metadata_writer {
    struct arena *arena;
    struct metadata_item *items; /* [count] */
    size_t count;
    size_t capacity;
};

/* Errors: INVALID (lengths), OUT_OF_MEMORY. */
enum error_code metadata_writer_add(struct metadata_writer *writer, uint32_t tenant,
                                    struct text metric_name, const struct metric_metadata *metadata,
                                    struct error *error);

/* As the section TOC_METADATA; what is written is added to `hash`. Errors: NO_SPACE, IO,
 * OUT_OF_MEMORY. */
enum error_code metadata_writer_finish(struct metadata_writer *writer,
                                       const struct tenant_list *tenants, struct content_hash *hash,
                                       struct page_writer *pages, struct error *error);
void metadata_writer_clear(struct metadata_writer *writer);

/* Visit the metadata of one tenant, or of all when NULL. Errors: CORRUPT, UNSUPPORTED, IO,
 * OUT_OF_MEMORY. */
enum error_code metadata_table_visit(const struct page_file *file,
                                     const struct tenant_list *tenants, const struct text *tenant,
                                     metadata_visit *visit, void *context, struct error *error);

#endif
