#include "histogram_message.h"

#include "protobuf_writer.h"

enum {
    HISTOGRAM_COUNT_INTEGER = 1,
    HISTOGRAM_COUNT_FLOAT = 2,
    HISTOGRAM_SUM = 3,
    HISTOGRAM_SCHEMA = 4,
    HISTOGRAM_ZERO_THRESHOLD = 5,
    HISTOGRAM_ZERO_COUNT_INTEGER = 6,
    HISTOGRAM_ZERO_COUNT_FLOAT = 7,
    HISTOGRAM_NEGATIVE_SPANS = 8,
    HISTOGRAM_POSITIVE_SPANS = 11,
    HISTOGRAM_RESET_HINT = 14,
    HISTOGRAM_TIMESTAMP = 15,
    HISTOGRAM_CUSTOM_VALUES = 16,
};
enum { SIDE_DELTAS = 1, SIDE_COUNTS = 2 }; /* fields behind the spans of a side */
enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };

/* Spans, then the buckets: of integers the differences from one to the next. */
static void put_side(struct byte_buffer *message, struct byte_buffer *part, uint32_t field,
                     const struct histogram *histogram, const struct histogram_span *spans,
                     uint32_t span_count, const union histogram_number *buckets,
                     uint32_t bucket_count)
{
    for (uint32_t i = 0; i < span_count; i++) {
        byte_buffer_reset(part);
        protobuf_put_zigzag(part, SPAN_OFFSET, spans[i].offset);
        protobuf_put_varint(part, SPAN_LENGTH, spans[i].length);
        protobuf_put_message(message, field, part);
    }
    if (bucket_count == 0)
        return;
    byte_buffer_reset(part);
    uint64_t previous = 0;
    for (uint32_t i = 0; i < bucket_count; i++) {
        if (histogram->kind == HISTOGRAM_INTEGER) {
            byte_buffer_zigzag(part, (int64_t)(buckets[i].integer - previous));
            previous = buckets[i].integer;
        } else {
            byte_buffer_u64(part, double_to_bits(buckets[i].real));
        }
    }
    bool is_integer = histogram->kind == HISTOGRAM_INTEGER;
    protobuf_put_message(message, field + (is_integer ? SIDE_DELTAS : SIDE_COUNTS), part);
}

void histogram_put_message(struct byte_buffer *message, struct byte_buffer *part,
                           int64_t timestamp_ms, const struct histogram *histogram)
{
    if (histogram->kind == HISTOGRAM_INTEGER) {
        protobuf_put_varint(message, HISTOGRAM_COUNT_INTEGER, histogram->count.integer);
        protobuf_put_varint(message, HISTOGRAM_ZERO_COUNT_INTEGER, histogram->zero_count.integer);
    } else {
        protobuf_put_double(message, HISTOGRAM_COUNT_FLOAT, histogram->count.real);
        protobuf_put_double(message, HISTOGRAM_ZERO_COUNT_FLOAT, histogram->zero_count.real);
    }
    protobuf_put_double(message, HISTOGRAM_SUM, histogram->sum);
    protobuf_put_zigzag(message, HISTOGRAM_SCHEMA, histogram->schema);
    protobuf_put_double(message, HISTOGRAM_ZERO_THRESHOLD, histogram->zero_threshold);
    put_side(message, part, HISTOGRAM_NEGATIVE_SPANS, histogram, histogram->negative_spans,
             histogram->negative_span_count, histogram->negative_buckets,
             histogram->negative_bucket_count);
    put_side(message, part, HISTOGRAM_POSITIVE_SPANS, histogram, histogram->positive_spans,
             histogram->positive_span_count, histogram->positive_buckets,
             histogram->positive_bucket_count);
    protobuf_put_varint(message, HISTOGRAM_RESET_HINT, (uint64_t)histogram->reset);
    protobuf_put_varint(message, HISTOGRAM_TIMESTAMP, (uint64_t)timestamp_ms);
    if (histogram->custom_bound_count > 0) {
        byte_buffer_reset(part);
        for (uint32_t i = 0; i < histogram->custom_bound_count; i++)
            byte_buffer_u64(part, double_to_bits(histogram->custom_bounds[i]));
        protobuf_put_message(message, HISTOGRAM_CUSTOM_VALUES, part);
    }
}
