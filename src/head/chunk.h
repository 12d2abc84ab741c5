/*
 * chunk - a closed run of a series: immutable once published.
 *
 * Floats are encoded by codec/value_codec.h, or raw; histograms stay packed one by one, and the
 * chunk holds pointers to them.
 */
#ifndef HEAD_CHUNK_H
#define HEAD_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "codec/codec_scratch.h"
#include "pool.h"
#include "time_column.h"

enum chunk_kind { CHUNK_FLOATS, CHUNK_RAW_FLOATS, CHUNK_HISTOGRAMS };

struct chunk {
    const struct chunk *previous; /* older, of the same series */
    const struct time_column *column;
    uint16_t first; /* position in the column */
    uint16_t count;
    uint16_t size_bytes;
    uint8_t kind;
    uint8_t bytes[]; /* [size_bytes], aligned to 8 - 1 */
};
_Static_assert(COLUMN_TIMESTAMPS_MAX <= UINT16_MAX, "positions fit");

static inline int64_t chunk_start_ms(const struct chunk *chunk)
{
    return time_column_get(chunk->column, chunk->first);
}

static inline int64_t chunk_end_ms(const struct chunk *chunk)
{
    return time_column_get(chunk->column, chunk->first + chunk->count - 1u);
}

/*
 * `header` says the chunk's place; `values` are [header.count]. Without `scratch` they are stored
 * as they are: noise takes the codec longest and it saves least. NULL: out of memory.
 */
const struct chunk *chunk_create_floats(struct pool *pool, struct chunk header,
                                        const double *values, struct codec_scratch *scratch);
const struct chunk *chunk_create_histograms(struct pool *pool, struct chunk header,
                                            const uint8_t *pointers);

/* Values of a chunk of floats, [count]. Errors: CORRUPT, UNSUPPORTED. */
enum error_code chunk_decode_floats(const struct chunk *chunk, struct codec_scratch *scratch,
                                    double *values_out, struct error *error);

/* The packed histogram at `position` < count. */
const uint8_t *chunk_histogram(const struct chunk *chunk, uint32_t position);

#endif
