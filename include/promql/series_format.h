/*
 * series_format - the series of a shard as the payloads of DATA frames: labels by what they do not
 * share with the series before, timestamps once for all series that have the same, values as the
 * chunks of blocks have them.
 *
 * Bytes: docs/protocols/select.md.
 */
#ifndef PROMQL_SERIES_FORMAT_H
#define PROMQL_SERIES_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"
#include "codec/codec_scratch.h"
#include "model/columns.h"
#include "model/labels.h"
#include "promql/series_source.h"

/* --- Writing --------------------------------------------------------------------------------- */

/* Columns of timestamps that may come again soon. */
enum { SERIES_COLUMNS_KEPT = 16 };

/* Of one shard. Owned by who writes; zero-initialise but for `scratch` and `arena`. */
struct series_writer {
    struct codec_scratch *scratch;
    struct arena *arena;         /* for a moment: reset with each series that has histograms */
    struct byte_buffer previous; /* labels of the series before */
    struct {
        uint64_t timestamps_id;
        uint32_t number;
    } columns[SERIES_COLUMNS_KEPT];
    uint32_t column_count;
};

/* Append a series; `columns` NULL: its labels only. Errors: LIMIT (samples), INVALID (histograms),
 * OUT_OF_MEMORY. */
enum error_code series_writer_add(struct series_writer *writer, struct byte_buffer *buffer,
                                  struct labels labels, const struct sample_columns *columns,
                                  struct error *error);

void series_writer_clear(struct series_writer *writer);

/* --- Reading --------------------------------------------------------------------------------- */

struct series_entry {
    struct labels labels;
    const uint8_t *body; /* [body_bytes] */
    uint32_t body_bytes;
    uint32_t sample_count;
    uint32_t column; /* of timestamps; SERIES_COLUMN_NONE: its own, in the body */
    uint8_t flags;
};
#define SERIES_COLUMN_NONE UINT32_MAX

struct series_column {
    const uint8_t *bytes; /* [size] */
    uint32_t size;
    uint32_t count;
};

/* All series of a shard. Zero-initialise but for the first three. */
struct series_list {
    struct arena *arena;
    enum series_need need;
    int64_t start_ms, end_ms;     /* no sample outside */
    struct series_entry *entries; /* [count] */
    size_t count;
    size_t capacity;
    struct series_column *columns; /* [column_count] */
    size_t column_count;
    size_t column_capacity;
};

/* Add the series of a payload, which stays in place as long as the list. Labels are checked now,
 * samples when they are read. Errors: CORRUPT, UNSUPPORTED, LIMIT, OUT_OF_MEMORY. */
enum error_code series_list_add(struct series_list *list, const uint8_t *bytes, size_t size,
                                struct error *error);

/* What reads samples; one thread at a time. */
struct answer_decoder;
enum error_code answer_decoder_create(struct answer_decoder **decoder_out, struct error *error);
void answer_decoder_destroy(struct answer_decoder *decoder); /* NULL is fine */

/* Valid until the next call. timestamps_id: number of the column and 1. Errors: CORRUPT,
 * UNSUPPORTED, OUT_OF_MEMORY. */
enum error_code answer_decoder_read(struct answer_decoder *decoder, const struct series_list *list,
                                    size_t index, struct sample_columns *columns_out,
                                    struct error *error);

#endif
