/*
 * write_encoder - remote-write requests made: io.prometheus.write.v2.Request (remote write 2.0),
 * which holds floats and native histograms of every kind.
 *
 * One thread. Memory running out is a buffer's `failed`.
 */
#ifndef WIRE_WRITE_ENCODER_H
#define WIRE_WRITE_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/text_set.h"
#include "model/columns.h"
#include "model/labels.h"

/* A request that grows; used again after write_encoder_reset. */
struct write_encoder {
    struct arena *arena; /* of the symbols; owned */
    struct text_set symbols;
    struct byte_buffer series; /* fields of the message */
    struct byte_buffer one;    /* the series that is added */
    struct byte_buffer part;
    struct byte_buffer smaller_part;
    size_t series_count;
    uint64_t sample_count; /* floats */
    uint64_t histogram_count;
};

/* False when memory is out. */
bool write_encoder_init(struct write_encoder *encoder);
void write_encoder_clear(struct write_encoder *encoder);
void write_encoder_reset(struct write_encoder *encoder);

/* Samples [first, first + count) of a series; count > 0. */
void write_encoder_add(struct write_encoder *encoder, struct labels labels,
                       const struct sample_columns *columns, size_t first, size_t count);

/* About the size of the body. */
size_t write_encoder_size_bytes(const struct write_encoder *encoder);

/* Append the body, not compressed. */
void write_encoder_finish(const struct write_encoder *encoder, struct byte_buffer *body);

#endif
