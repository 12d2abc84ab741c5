/*
 * block_reader - read a block: its index as an index_source, its series by position.
 *
 * `struct block` is the open file: immutable, any number of threads, reference counted. Opening
 * reads the end of the file; everything else is found by page through the page cache.
 * `struct block_reader` reads samples for one thread at a time and owns the memory of what it
 * returned last.
 */
#ifndef BLOCK_BLOCK_READER_H
#define BLOCK_BLOCK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "block/block_writer.h"
#include "block/file_summary.h"
#include "block/page_cache.h"
#include "block/page_source.h"
#include "block/part_reader.h"
#include "model/columns.h"
#include "model/index_source.h"
#include "model/sample.h"

struct block;
struct block_reader;

/* Takes over `source`, also on error. `cache` outlives the block. Errors: CORRUPT, UNSUPPORTED,
 * IO, OUT_OF_MEMORY. */
enum error_code block_open(struct page_cache *cache, struct page_source *source,
                           struct block **block_out, struct error *error);

/* Stands for a block that cannot be opened: whatever is asked of it or its index is refused with
 * `reason`; it has no tenants and slots. Errors: OUT_OF_MEMORY. */
enum error_code block_create_unreadable(const struct error *reason, struct block **block_out,
                                        struct error *error);

struct block *block_ref(struct block *block);
void block_unref(struct block *block); /* NULL is fine */

struct file_summary block_summary(const struct block *block);
struct block_properties block_properties(const struct block *block); /* of one that is open */

/* Lives as long as the block. Positions number the series in block order. */
struct index_source *block_index(struct block *block);

/* Tenants of one that is open, in no order, alive as long as the block. */
size_t block_tenant_count(const struct block *block);
struct text block_tenant(const struct block *block, size_t index);

/* Whether a series of the tenant is inside, or may be: as block_has_slot. */
bool block_has_tenant(const struct block *block, struct text tenant);

/* Whether a series of the slot is inside, or may be: a deferred block (block/deferred_block.h) that
 * nobody has opened yet does not tell. */
bool block_has_slot(const struct block *block, uint16_t slot);

/* Whether a series of any other slot than these is, or may be: slot s is bit s % 64 of word s / 64.
 */
bool block_has_slot_outside(const struct block *block, const uint64_t slots[SLOT_COUNT / 64]);

/* Metadata of one tenant, or of all when `tenant` is NULL; of a tenant by metric name. Errors:
 * CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code block_visit_metadata(struct block *block, const struct text *tenant,
                                     metadata_visit *visit, void *context, struct error *error);

/* Holds a reference to the block. Errors: OUT_OF_MEMORY, and why the block is unreadable. */
enum error_code block_reader_create(struct block *block, struct block_reader **reader_out,
                                    struct error *error);
void block_reader_destroy(struct block_reader *reader); /* NULL is fine */

/*
 * Samples of the series at `position` with start_ms <= timestamp <= end_ms; count 0 when there is
 * none. The columns live until the reader's next read or destroy. Ascending positions are
 * cheapest. Errors: NOT_FOUND (no such position), CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code block_reader_read(struct block_reader *reader, uint32_t position, int64_t start_ms,
                                  int64_t end_ms, struct sample_columns *columns_out,
                                  struct error *error);

/* The same, but only the latest sample in the range: decodes one chunk. */
enum error_code block_reader_read_latest(struct block_reader *reader, uint32_t position,
                                         int64_t start_ms, int64_t end_ms,
                                         struct sample_columns *columns_out, struct error *error);

/* Whether there are samples in the range: reads timestamps alone. Columns read before are gone. */
enum error_code block_reader_has_samples(struct block_reader *reader, uint32_t position,
                                         int64_t start_ms, int64_t end_ms, bool *has_out,
                                         struct error *error);

/* The whole series as its chunks, to be copied into another block. Lives as the columns do. */
enum error_code block_reader_read_encoded(struct block_reader *reader, uint32_t position,
                                          struct encoded_series *encoded_out, struct error *error);

/* Exemplars in the range, ascending; they live until the reader's next read of exemplars or
 * destroy. Columns and chunks read before stay. */
enum error_code block_reader_read_exemplars(struct block_reader *reader, uint32_t position,
                                            int64_t start_ms, int64_t end_ms,
                                            const struct exemplar **exemplars_out,
                                            size_t *count_out, struct error *error);

/* Tenant, slot and labels of a position, as block_writer_add takes them; they live until the
 * reader's next call of this function or destroy. Errors: as block_reader_read. */
enum error_code block_reader_series(struct block_reader *reader, uint32_t position,
                                    struct block_series *series_out, struct error *error);

#endif
