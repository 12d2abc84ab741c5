/* The answer as samples: QueryResult and TimeSeries of prompb/remote.proto and types.proto. */
#include "protobuf_writer.h"
#include "remote_read_private.h"
#include "wire/remote_read.h"

enum { SERIES_SAMPLES = 2, SERIES_HISTOGRAMS = 4 };
enum { SAMPLE_VALUE = 1, SAMPLE_TIMESTAMP = 2 };
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

void read_append_labels(struct labels labels, struct byte_buffer *part, struct byte_buffer *target)
{
    enum { SERIES_LABELS = 1, LABEL_NAME = 1, LABEL_VALUE = 2 };
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        byte_buffer_reset(part);
        protobuf_put_text(part, LABEL_NAME, label.name);
        protobuf_put_text(part, LABEL_VALUE, label.value);
        protobuf_put_message(target, SERIES_LABELS, part);
    }
}

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

static void put_histogram(struct byte_buffer *message, struct byte_buffer *part,
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

void read_append_series(struct labels labels, const struct sample_columns *columns,
                        struct byte_buffer *result)
{
    enum { RESULT_SERIES = 1 };
    struct byte_buffer series = {0}, sample = {0}, part = {0};
    if (columns->count == 0)
        return;
    read_append_labels(labels, &part, &series);
    for (size_t i = 0; i < columns->count; i++) {
        const struct histogram *histogram =
            columns->histograms == NULL ? NULL : columns->histograms[i];
        byte_buffer_reset(&sample);
        if (histogram != NULL) {
            put_histogram(&sample, &part, columns->timestamps_ms[i], histogram);
            protobuf_put_message(&series, SERIES_HISTOGRAMS, &sample);
        } else {
            protobuf_put_double(&sample, SAMPLE_VALUE, columns->values[i]);
            protobuf_put_varint(&sample, SAMPLE_TIMESTAMP, (uint64_t)columns->timestamps_ms[i]);
            protobuf_put_message(&series, SERIES_SAMPLES, &sample);
        }
    }
    protobuf_put_message(result, RESULT_SERIES, &series);
    byte_buffer_clear(&series);
    byte_buffer_clear(&sample);
    byte_buffer_clear(&part);
}

void read_append_result(const struct byte_buffer *result, struct byte_buffer *message)
{
    enum { RESPONSE_RESULTS = 1 };
    protobuf_put_message(message, RESPONSE_RESULTS, result);
}
