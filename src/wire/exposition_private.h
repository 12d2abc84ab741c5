/* exposition_private - what the formats of exposition share. */
#ifndef WIRE_EXPOSITION_PRIVATE_H
#define WIRE_EXPOSITION_PRIVATE_H

#include "exposition_names.h"
#include "model/histogram_buckets.h"
#include "wire/exposition.h"

/* The types of client_model. */
enum family_type {
    FAMILY_NONE = 0,
    FAMILY_UNTYPED = 3,
    FAMILY_HISTOGRAM = 4,
    FAMILY_GAUGE_HISTOGRAM = 5,
};

static inline struct text exposition_text_of(const struct byte_buffer *buffer)
{
    return (struct text){(const char *)buffer->bytes, buffer->size};
}

/* Custom buckets as those of a classic histogram, which count what is below a bound. */
struct classic_buckets {
    const struct histogram *histogram;
    uint32_t span;
    uint32_t in_span;
    uint32_t bucket;
    int64_t index; /* of the next bucket that has a count */
    double below;
};

static inline struct classic_buckets classic_buckets_begin(const struct histogram *histogram)
{
    return (struct classic_buckets){
        .histogram = histogram,
        .index = histogram->positive_span_count > 0 ? histogram->positive_spans[0].offset : 0,
    };
}

/* The count up to bound `i`; asked of each in its order. */
double classic_buckets_next(struct classic_buckets *buckets, uint32_t i);

/* exposition_text.c: the line in front of a family, the lines of a sample. */
void exposition_text_begin(struct exposition *exposition, enum family_type type,
                           struct byte_buffer *target);
void exposition_text_append(struct exposition *exposition, const struct exposition_sample *sample,
                            struct byte_buffer *target);

/* exposition_protobuf.c: a metric of the family that waits; the family as a message. */
void exposition_protobuf_append(struct exposition *exposition,
                                const struct exposition_sample *sample);
void exposition_protobuf_end(struct exposition *exposition, struct byte_buffer *target);

#endif
