/*
 * sample_reader - read the samples of a part or block by key.
 *
 * Byte layout: docs/formats/pages.md, "Samples".
 */
#ifndef BLOCK_SAMPLE_READER_H
#define BLOCK_SAMPLE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "block/block_writer.h"
#include "chunk_decoder.h"
#include "model/columns.h"
#include "model/sample.h"
#include "page_tree.h"
#include "sample_directory.h"

/* The directory of an open file; any thread. */
struct sample_store {
    const struct page_file *file;
    struct tree directory;
};

/* Errors: CORRUPT. */
enum error_code sample_store_open(struct sample_store *store, const struct page_file *file,
                                  struct error *error);

/* A range of a time column, to see that the next series has the same. */
struct times_place {
    struct page_span column;
    uint32_t first;
    uint32_t count;
};

/* A page that stays pinned as long as nothing is read from another one. */
struct kept_page {
    struct page_reference reference;
    struct page_pin pin;
};

/* Memory for what was read last, and the place in the directory; one thread at a time. */
struct sample_reader {
    const struct sample_store *store;
    struct chunk_decoder decoder;
    struct times_place times; /* what stands at the start of the decoder's timestamps */

    /* The pages that were read last: neighbours are on the same. */
    struct kept_page times_page;
    struct kept_page values_page;

    /* The page of the directory that is open, and the series its cursor stands on. */
    struct page_pin page;
    bool on_series;
    struct directory_cursor cursor;

    struct arena *exemplars; /* those read last */

    struct encoded_chunk *encoded; /* [encoded_capacity] */
    size_t encoded_capacity;
    struct byte_buffer encoded_bytes;
};

/* Errors: OUT_OF_MEMORY. Clear it also then. */
enum error_code sample_reader_init(struct sample_reader *reader, const struct sample_store *store,
                                   struct error *error);
void sample_reader_clear(struct sample_reader *reader);

/* Move to the first series with a key >= `key`; its entry is reader->cursor.series. Ascending keys
 * are cheap. Errors: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code sample_reader_seek(struct sample_reader *reader, uint64_t key, bool *found_out,
                                   struct error *error);

/*
 * What is wanted of the series that the reader stands on. Samples and chunks live until the next
 * call for either, exemplars until the next for exemplars. Errors: CORRUPT, UNSUPPORTED, IO,
 * OUT_OF_MEMORY.
 */
enum error_code sample_reader_range(struct sample_reader *reader, int64_t start_ms, int64_t end_ms,
                                    struct sample_columns *columns_out, struct error *error);
enum error_code sample_reader_latest(struct sample_reader *reader, int64_t start_ms, int64_t end_ms,
                                     struct sample_columns *columns_out, struct error *error);
/* Whether there are samples in the range; reads timestamps alone. Columns read before are gone. */
enum error_code sample_reader_has_samples(struct sample_reader *reader, int64_t start_ms,
                                          int64_t end_ms, bool *has_out, struct error *error);
/* Whole chunks, all that have a sample in the range. */
enum error_code sample_reader_encoded(struct sample_reader *reader, int64_t start_ms,
                                      int64_t end_ms, struct encoded_series *encoded_out,
                                      struct error *error);
enum error_code sample_reader_exemplars(struct sample_reader *reader, int64_t start_ms,
                                        int64_t end_ms, const struct exemplar **exemplars_out,
                                        size_t *count_out, struct error *error);

#endif
