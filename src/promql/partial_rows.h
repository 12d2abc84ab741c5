/*
 * partial_rows - series with their points, and groups of an aggregation, as bytes.
 *
 * Rows follow one another in a frame; the labels of each are what differs from the row before, the
 * first of a frame stands alone. Byte layout: docs/protocols/sub-query.md.
 */
#ifndef PROMQL_PARTIAL_ROWS_H
#define PROMQL_PARTIAL_ROWS_H

#include "aggregate.h"
#include "partial_columns.h"
#include "store.h"

struct rows_encoder {
    size_t step_count;
    struct byte_buffer rows;
    struct byte_buffer previous; /* labels of the row before */
    struct values_packer packer;
    uint64_t row_count; /* since rows_encoder_init */
};

/* `packing` is used by one encoder at a time; NULL: values are not packed. */
void rows_encoder_init(struct rows_encoder *encoder, size_t step_count,
                       struct codec_scratch *packing);
void rows_encoder_clear(struct rows_encoder *encoder);

/* Begin a new frame. */
void rows_encoder_reset(struct rows_encoder *encoder);

/* Rows without any value are left out. False when memory is out. */
bool rows_encode_series(struct rows_encoder *encoder, struct series_identity identity,
                        const struct step_vector *vector, struct arena *scratch);
bool rows_encode_group(struct rows_encoder *encoder, struct labels labels,
                       const struct aggregation_group *group, struct arena *scratch);

struct rows_decoder {
    struct evaluation *evaluation;
    size_t step_count;
    struct byte_reader reader;
    struct labels previous;
    struct codec_scratch *unpacking;
    uint8_t *labels[2]; /* [LABEL_SET_BYTES_MAX], in turn: of this row and the one before */
    size_t turn;
};

enum error_code rows_decoder_init(struct rows_decoder *decoder, struct evaluation *evaluation,
                                  size_t step_count, struct arena *arena, struct error *error);

/* Rows of another frame. */
void rows_decoder_begin(struct rows_decoder *decoder, struct byte_reader payload);

static inline bool rows_decoder_has_more(const struct rows_decoder *decoder)
{
    return byte_reader_left(&decoder->reader) > 0;
}

/* The next row as a series of the store. Errors: CORRUPT, LIMIT, OUT_OF_MEMORY. */
enum error_code rows_decode_series(struct rows_decoder *decoder, struct store *store,
                                   struct error *error);

/* The next row as a group of the plan's operation; memory is the arena's, labels the decoder's
 * until its next row. */
enum error_code rows_decode_group(struct rows_decoder *decoder, const struct aggregation_plan *plan,
                                  struct arena *arena, struct labels *labels_out,
                                  struct aggregation_group *group_out, struct error *error);

#endif
