/* The messages of client_model (metrics.proto), each behind its size. */
#include "exposition_private.h"
#include "protobuf_writer.h"

static void put_label(struct exposition *exposition, struct text name, struct text value,
                      struct byte_buffer *metric)
{
    enum { METRIC_LABEL = 1, PAIR_NAME = 1, PAIR_VALUE = 2 };
    struct byte_buffer *pair = &exposition->scratch[1], *escaped = &exposition->scratch[2];
    byte_buffer_reset(pair);
    byte_buffer_reset(escaped);
    exposition_escape_name(exposition->form.escaping, name, escaped);
    protobuf_put_message(pair, PAIR_NAME, escaped);
    protobuf_put_text(pair, PAIR_VALUE, value);
    protobuf_put_message(metric, METRIC_LABEL, pair);
}

static void put_labels(struct exposition *exposition, const struct exposition_sample *sample,
                       struct byte_buffer *metric)
{
    bool has_default = sample->default_label.size == 0;
    struct labels_cursor cursor = labels_begin(sample->labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        if (text_equal(label.name, LABEL_METRIC_NAME))
            continue;
        put_label(exposition, label.name, label.value, metric);
        has_default |= text_equal(label.name, sample->default_label);
    }
    if (!has_default)
        put_label(exposition, sample->default_label, (struct text){0}, metric);
}

static void put_side(struct byte_buffer *message, struct byte_buffer *part,
                     const struct histogram *histogram, bool is_positive)
{
    enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };
    enum { NEGATIVE_SPAN = 9, NEGATIVE_COUNT = 11, POSITIVE_SPAN = 12, POSITIVE_COUNT = 14 };
    const struct histogram_span *spans =
        is_positive ? histogram->positive_spans : histogram->negative_spans;
    uint32_t span_count =
        is_positive ? histogram->positive_span_count : histogram->negative_span_count;
    const union histogram_number *buckets =
        is_positive ? histogram->positive_buckets : histogram->negative_buckets;
    uint32_t bucket_count =
        is_positive ? histogram->positive_bucket_count : histogram->negative_bucket_count;
    for (uint32_t i = 0; i < span_count; i++) {
        byte_buffer_reset(part);
        protobuf_put_zigzag(part, SPAN_OFFSET, spans[i].offset);
        protobuf_put_varint(part, SPAN_LENGTH, spans[i].length);
        protobuf_put_message(message, is_positive ? POSITIVE_SPAN : NEGATIVE_SPAN, part);
    }
    for (uint32_t i = 0; i < bucket_count; i++)
        protobuf_put_double(message, is_positive ? POSITIVE_COUNT : NEGATIVE_COUNT,
                            histogram_number_value(histogram, buckets[i]));
}

static void put_native(struct exposition *exposition, const struct histogram *histogram,
                       struct byte_buffer *message)
{
    enum { SCHEMA = 5, ZERO_THRESHOLD = 6, ZERO_COUNT_FLOAT = 8 };
    protobuf_put_zigzag(message, SCHEMA, histogram->schema);
    protobuf_put_double(message, ZERO_THRESHOLD, histogram->zero_threshold);
    protobuf_put_double(message, ZERO_COUNT_FLOAT,
                        histogram_number_value(histogram, histogram->zero_count));
    put_side(message, &exposition->scratch[2], histogram, false);
    put_side(message, &exposition->scratch[2], histogram, true);
}

/* A count as a float and, which is all that Prometheus before 2.43 reads of classic buckets, as an
 * integer. */
static void put_count(struct byte_buffer *message, uint32_t integer_field, uint32_t float_field,
                      double count)
{
    static const double INTEGER_MAX = 9007199254740992.0;
    if (count >= 0 && count <= INTEGER_MAX)
        protobuf_put_varint(message, integer_field, (uint64_t)count);
    protobuf_put_double(message, float_field, count);
}

/* +Inf may be left out. */
static void put_classic(struct exposition *exposition, const struct histogram *histogram,
                        struct byte_buffer *message)
{
    enum { BUCKET = 3, CUMULATIVE_COUNT = 1, UPPER_BOUND = 2, CUMULATIVE_COUNT_FLOAT = 4 };
    struct byte_buffer *part = &exposition->scratch[2];
    struct classic_buckets buckets = classic_buckets_begin(histogram);
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++) {
        double below = classic_buckets_next(&buckets, i);
        byte_buffer_reset(part);
        protobuf_put_double(part, UPPER_BOUND, histogram->custom_bounds[i]);
        put_count(part, CUMULATIVE_COUNT, CUMULATIVE_COUNT_FLOAT, below);
        protobuf_put_message(message, BUCKET, part);
    }
}

static void put_histogram(struct exposition *exposition, const struct exposition_sample *sample,
                          struct byte_buffer *metric)
{
    enum { METRIC_HISTOGRAM_FIELD = 7, SAMPLE_COUNT = 1, SAMPLE_SUM = 2, SAMPLE_COUNT_FLOAT = 4 };
    const struct histogram *histogram = sample->histogram;
    struct byte_buffer *message = &exposition->scratch[1];
    byte_buffer_reset(message);
    protobuf_put_double(message, SAMPLE_SUM, histogram->sum);
    double count = histogram_number_value(histogram, histogram->count);
    if (histogram->schema == HISTOGRAM_SCHEMA_CUSTOM) {
        put_count(message, SAMPLE_COUNT, SAMPLE_COUNT_FLOAT, count);
        put_classic(exposition, histogram, message);
    } else {
        protobuf_put_double(message, SAMPLE_COUNT_FLOAT, count);
        put_native(exposition, histogram, message);
    }
    protobuf_put_message(metric, METRIC_HISTOGRAM_FIELD, message);
}

void exposition_protobuf_append(struct exposition *exposition,
                                const struct exposition_sample *sample)
{
    enum { FAMILY_METRIC = 4, METRIC_UNTYPED = 5, METRIC_TIMESTAMP_MS = 6, UNTYPED_VALUE = 1 };
    struct byte_buffer *metric = &exposition->scratch[0];
    byte_buffer_reset(metric);
    put_labels(exposition, sample, metric);
    if (sample->histogram != NULL) {
        put_histogram(exposition, sample, metric);
    } else {
        struct byte_buffer *untyped = &exposition->scratch[1];
        byte_buffer_reset(untyped);
        protobuf_put_double(untyped, UNTYPED_VALUE, sample->value);
        protobuf_put_message(metric, METRIC_UNTYPED, untyped);
    }
    protobuf_put_varint(metric, METRIC_TIMESTAMP_MS, (uint64_t)sample->timestamp_ms);
    protobuf_put_message(&exposition->family, FAMILY_METRIC, metric);
}

void exposition_protobuf_end(struct exposition *exposition, struct byte_buffer *target)
{
    enum { FAMILY_NAME = 1, FAMILY_TYPE = 3 };
    struct byte_buffer *head = &exposition->scratch[0], *escaped = &exposition->scratch[1];
    if (exposition->family.size == 0)
        return;
    byte_buffer_reset(head);
    byte_buffer_reset(escaped);
    exposition_escape_name(exposition->form.escaping, exposition_text_of(&exposition->name),
                           escaped);
    protobuf_put_message(head, FAMILY_NAME, escaped);
    protobuf_put_varint(head, FAMILY_TYPE, (uint64_t)exposition->kind);
    byte_buffer_varint(target, head->size + exposition->family.size);
    byte_buffer_append(target, head->bytes, head->size);
    byte_buffer_append(target, exposition->family.bytes, exposition->family.size);
    target->failed |= head->failed || exposition->family.failed;
    byte_buffer_reset(&exposition->family);
}
