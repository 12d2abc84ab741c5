/*
 * part_reader - read the samples of a part.
 *
 * `struct part` is the open file: immutable, shared by any number of threads, reference counted.
 * `struct part_reader` reads from it for one thread at a time and owns the memory of what it
 * returned last. Nothing but the footer is read at open; pages go through the page cache. Bytes
 * that are not what a writer makes are CORRUPT, wherever they turn up.
 */
#ifndef BLOCK_PART_READER_H
#define BLOCK_PART_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/text.h"
#include "block/encoded_series.h"
#include "block/file_summary.h"
#include "block/page_cache.h"
#include "block/page_source.h"
#include "model/columns.h"
#include "model/sample.h"

struct part;
struct part_reader;

/* Takes over `source`, also on error. `cache` outlives the part. Errors: CORRUPT, UNSUPPORTED
 * (another kind or a later version), IO, OUT_OF_MEMORY. */
enum error_code part_open(struct page_cache *cache, struct page_source *source,
                          struct part **part_out, struct error *error);

/* Stands for a part that cannot be opened: readers of it are refused with `reason`, it has no
 * tenants, slots and metadata. Errors: OUT_OF_MEMORY. */
enum error_code part_create_unreadable(const struct error *reason, struct part **part_out,
                                       struct error *error);

/* One reference more; returns `part`. */
struct part *part_ref(struct part *part);

/* The last one closes the source. NULL is fine. */
void part_unref(struct part *part);

struct file_summary part_summary(const struct part *part);

/* Holds a reference to the part. Errors: OUT_OF_MEMORY, and why the part is unreadable. */
enum error_code part_reader_create(struct part *part, struct part_reader **reader_out,
                                   struct error *error);
void part_reader_destroy(struct part_reader *reader); /* NULL is fine */

/*
 * Samples of series `id` with start_ms <= timestamp <= end_ms; count 0 when there is none.
 * timestamps_id is set when the series shares its timestamps with others of the part. The columns
 * live until the reader's next read of samples or destroy. Ids in ascending order are cheapest.
 * Errors: CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code part_reader_read(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                 int64_t end_ms, struct sample_columns *columns_out,
                                 struct error *error);

/* The same, but only the latest sample in the range: decodes one chunk. */
enum error_code part_reader_read_latest(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                        int64_t end_ms, struct sample_columns *columns_out,
                                        struct error *error);

/* Whether there are samples in the range: reads timestamps alone. Columns read before are gone. */
enum error_code part_reader_has_samples(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                        int64_t end_ms, bool *has_out, struct error *error);

/* The chunks that have a sample in the range, whole, for a merge. They live as the columns do. */
enum error_code part_reader_read_encoded(struct part_reader *reader, uint64_t id, int64_t start_ms,
                                         int64_t end_ms, struct encoded_series *encoded_out,
                                         struct error *error);

/* Exemplars in the range, ascending; they live until the reader's next read of exemplars or
 * destroy. Columns and chunks read before stay. */
enum error_code part_reader_read_exemplars(struct part_reader *reader, uint64_t id,
                                           int64_t start_ms, int64_t end_ms,
                                           const struct exemplar **exemplars_out, size_t *count_out,
                                           struct error *error);

struct part_entry {
    uint64_t id;
    struct text tenant; /* lives as long as the part */
    uint16_t slot;
    uint64_t sample_count;
};

/* Walk all series by ascending id: the first entry with an id >= `from_id`. *found_out is false
 * after the last. Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code part_reader_next(struct part_reader *reader, uint64_t from_id,
                                 struct part_entry *entry_out, bool *found_out,
                                 struct error *error);

/* Return false to stop. Texts live during the visit. */
typedef bool metadata_visit(void *context, struct text tenant, struct text metric_name,
                            const struct metric_metadata *metadata);

/* Metadata of one tenant, or of all when `tenant` is NULL; of a tenant by metric name. Errors:
 * CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code part_visit_metadata(struct part *part, const struct text *tenant,
                                    metadata_visit *visit, void *context, struct error *error);

/* Tenants in no order, alive as long as the part. */
size_t part_tenant_count(const struct part *part);
struct text part_tenant(const struct part *part, size_t index);

/* Whether a series of the slot is inside. */
bool part_has_slot(const struct part *part, uint16_t slot);

/* Whether a series of any other slot than these is: slot s is bit s % 64 of word s / 64. */
bool part_has_slot_outside(const struct part *part, const uint64_t slots[SLOT_COUNT / 64]);

#endif
