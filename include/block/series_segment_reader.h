/*
 * series_segment_reader - the registry as it lies on disk.
 *
 * `struct series_segment` is the open file: immutable, any number of threads, reference counted.
 * Opening reads the footer; everything else is found by page through the page cache. A segment is
 * an index_source whose positions number its series by ascending id.
 */
#ifndef BLOCK_SERIES_SEGMENT_READER_H
#define BLOCK_SERIES_SEGMENT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "block/file_summary.h"
#include "block/page_cache.h"
#include "block/page_source.h"
#include "block/series_segment_writer.h"
#include "model/index_source.h"

struct series_segment;

/* Takes over `source`, also on error. `cache` outlives the segment. Errors: CORRUPT, UNSUPPORTED,
 * IO, OUT_OF_MEMORY. */
enum error_code series_segment_open(struct page_cache *cache, struct page_source *source,
                                    struct series_segment **segment_out, struct error *error);
struct series_segment *series_segment_ref(struct series_segment *segment);
void series_segment_unref(struct series_segment *segment); /* NULL is fine */

struct file_summary series_segment_summary(const struct series_segment *segment);

/* The file, as it was opened. Lives as long as the segment. */
const char *series_segment_path(const struct series_segment *segment);

/* Ids inside are in [first_id, first_id + span). With span == series count there is no gap. */
uint64_t series_segment_first_id(const struct series_segment *segment);
uint64_t series_segment_span(const struct series_segment *segment);

/* Lives as long as the segment. */
struct index_source *series_segment_index(struct series_segment *segment);

/* A series searched by its labels. */
struct segment_lookup {
    struct text tenant;
    struct labels labels;
    struct hash128 hash; /* series_segment_hash of them */
    bool found;          /* filled in; an entry that is already found is skipped */
    uint64_t id;         /* when found */
    uint64_t target;     /* when found */
};

/* Search many at once (much cheaper than one by one: label pages are decoded once). A miss reads
 * one page of fingerprints. Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code series_segment_find(struct series_segment *segment, struct segment_lookup *lookups,
                                    size_t count, struct error *error);

/* Ids of positions (ascending): ids_out[positions.count]. Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code series_segment_ids(struct series_segment *segment, struct positions positions,
                                   uint64_t *ids_out, struct error *error);

/*
 * The series with these ids (ascending), labels in the arena, tenants alive as long as the
 * segment: series_out[count]; an id that is not inside gets empty labels and its id back.
 * Errors: CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code series_segment_read(struct series_segment *segment, const uint64_t *ids,
                                    size_t count, struct arena *arena,
                                    struct segment_series *series_out, struct error *error);

/* As series_segment_read, for positions (ascending). For a walk over all of it (compaction), take
 * some thousands of positions at a time. NOT_FOUND beyond the last position. */
enum error_code series_segment_read_at(struct series_segment *segment, struct positions positions,
                                       struct arena *arena, struct segment_series *series_out,
                                       struct error *error);

/* As series_segment_read_at for the `count` positions from `first` on, but without the labels,
 * which stay empty: reads no texts, for tables that are filled at a start. */
enum error_code series_segment_read_briefly(struct series_segment *segment, uint32_t first,
                                            size_t count, struct segment_series *series_out,
                                            struct error *error);

#endif
