/*
 * encoded_series - a series as its chunks lie in a file, and back to samples.
 *
 * Merges hold and copy series in this form: it is small, and equal samples are equal bytes.
 */
#ifndef BLOCK_ENCODED_SERIES_H
#define BLOCK_ENCODED_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/columns.h"

/* Chunks of a block never cross a multiple of this, so that merges of whole windows copy them. */
enum { BLOCK_CHUNK_WINDOW_MS = 2 * 60 * 60 * 1000 };

enum chunk_kind { CHUNK_FLOAT = 0, CHUNK_HISTOGRAM = 1 };

/* An encoded chunk as it lies in a part or block: a pure function of its samples. */
struct encoded_chunk {
    enum chunk_kind kind;
    uint32_t sample_count; /* 1..CHUNK_SAMPLES_MAX */
    const uint8_t *bytes;  /* [size_bytes], values */
    size_t size_bytes;
    const uint8_t *start_timestamps; /* [start_timestamps_bytes]; none: 0 bytes */
    size_t start_timestamps_bytes;
};

/* A series as its chunks; their sample counts add up to `sample_count`. */
struct encoded_series {
    const int64_t *timestamps_ms; /* [sample_count], ascending, each once */
    size_t sample_count;
    const struct encoded_chunk *chunks; /* [chunk_count], in time order */
    size_t chunk_count;
};

/* Owns the memory of what it decoded last. One thread at a time. */
struct series_decoder;

/* Errors: OUT_OF_MEMORY. */
enum error_code series_decoder_create(struct series_decoder **decoder_out, struct error *error);
void series_decoder_destroy(struct series_decoder *decoder); /* NULL is fine */

/*
 * The samples with start_ms <= timestamp <= end_ms; they live until the next call or destroy.
 * timestamps_id is 0. Errors: INVALID (chunks and timestamps differ in number), CORRUPT,
 * UNSUPPORTED, OUT_OF_MEMORY.
 */
enum error_code series_decoder_read(struct series_decoder *decoder,
                                    const struct encoded_series *encoded, int64_t start_ms,
                                    int64_t end_ms, struct sample_columns *columns_out,
                                    struct error *error);

#endif
