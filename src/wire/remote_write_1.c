/* prometheus.WriteRequest (remote write 1.0). */
#include "write_arrays.h"

/* --- Labels ----------------------------------------------------------------------------------- */

static bool label_is_well_formed(struct byte_reader message)
{
    struct protobuf_field part;
    while (protobuf_next(&message, &part)) {
    }
    return !message.failed;
}

/*
 * Senders put the label fields of a series next to each other; then they are used in place.
 * Otherwise (legal, never seen) they are copied together.
 */
static bool add_label_field(struct write_decoder *decoder, struct write_labels *labels,
                            const uint8_t *start, const uint8_t *end)
{
    if (labels->size == 0) {
        labels->fields = start;
    } else if (labels->fields + labels->size != start) {
        uint8_t *together = arena_allocate(decoder->arena, labels->size + (size_t)(end - start));
        if (together == NULL)
            return false;
        memcpy(together, labels->fields, labels->size);
        memcpy(together + labels->size, start, (size_t)(end - start));
        labels->fields = together;
    }
    labels->size += (uint32_t)(end - start);
    return true;
}

/* --- Samples and exemplars -------------------------------------------------------------------- */

static enum error_code decode_sample(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_sample *sample = write_add_sample(decoder);
    if (sample == NULL)
        return write_out_of_memory(decoder);
    uint64_t bits = 0;
    struct protobuf_field field;
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_FIXED64))
            bits = field.value;
        else if (protobuf_is(&field, 2, PROTOBUF_VARINT))
            sample->timestamp_ms = (int64_t)field.value;
    }
    sample->value = double_from_bits(bits);
    return message.failed ? write_malformed(decoder, "sample") : ERROR_NONE;
}

static enum error_code decode_exemplar(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_exemplar *exemplar = write_add_exemplar(decoder);
    if (exemplar == NULL)
        return write_out_of_memory(decoder);
    struct protobuf_field field;
    const uint8_t *start = message.position;
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_BYTES)) {
            if (!label_is_well_formed(field.bytes))
                return write_malformed(decoder, "exemplar label");
            if (!add_label_field(decoder, &exemplar->labels, start, message.position))
                return write_out_of_memory(decoder);
        } else if (protobuf_is(&field, 2, PROTOBUF_FIXED64)) {
            exemplar->value = double_from_bits(field.value);
        } else if (protobuf_is(&field, 3, PROTOBUF_VARINT)) {
            exemplar->timestamp_ms = (int64_t)field.value;
        }
        start = message.position;
    }
    return message.failed ? write_malformed(decoder, "exemplar") : ERROR_NONE;
}

static enum error_code decode_histogram(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_histogram *histogram = write_add_histogram(decoder);
    if (histogram == NULL)
        return write_out_of_memory(decoder);
    return write_decode_histogram(decoder, message, histogram);
}

/* --- The shape that every sender uses --------------------------------------------------------- */

/*
 * Almost all bytes of a request are labels {name, value} and samples {value, timestamp} with their
 * fields in order. These are walked here without the general reader, which takes over whenever
 * anything looks different; so this code only has to be right about what it accepts.
 */

/* A length of one or two bytes at `at`; NULL when it is longer or not there. */
static inline const uint8_t *short_length(const uint8_t *at, const uint8_t *end, size_t *length)
{
    if (end - at < 2)
        return NULL;
    if (at[0] < 0x80) {
        *length = at[0];
        return at + 1;
    }
    if (at[1] >= 0x80)
        return NULL;
    *length = (size_t)(at[0] & 0x7f) | (size_t)at[1] << 7;
    return at + 2;
}

enum {
    TAG_FIELD_1 = 1 << 3 | 2,
    TAG_FIELD_2 = 2 << 3 | 2,
    TAG_VALUE = 1 << 3 | 1,
    TAG_TIMESTAMP = 2 << 3
};

/* The end of the label field whose tag is at `at`, when it is {name, value}; NULL: look closer. */
static inline const uint8_t *plain_label(const uint8_t *at, const uint8_t *end)
{
    size_t length, part;
    at = short_length(at + 1, end, &length);
    if (at == NULL || length > (size_t)(end - at))
        return NULL;
    end = at + length;
    if (length < 4 || *at != TAG_FIELD_1)
        return NULL;
    at = short_length(at + 1, end, &part);
    if (at == NULL || part + 2 > (size_t)(end - at) || at[part] != TAG_FIELD_2)
        return NULL;
    at += part + 1;
    if (end - at == 1 && *at == 0)
        return end; /* an empty value */
    at = short_length(at, end, &part);
    return at != NULL && part == (size_t)(end - at) ? end : NULL;
}

/* The same for a sample field {value, timestamp}. */
static inline const uint8_t *plain_sample(const uint8_t *at, const uint8_t *end,
                                          struct write_sample *sample)
{
    size_t length;
    at = short_length(at + 1, end, &length);
    if (at == NULL || length > (size_t)(end - at) || length < 11 || at[0] != TAG_VALUE ||
        at[9] != TAG_TIMESTAMP)
        return NULL;
    end = at + length;
    uint64_t timestamp = 0;
    unsigned shift = 0;
    const uint8_t *digit = at + 10;
    for (; digit < end - 1 && shift < 56; digit++, shift += 7) {
        if (*digit < 0x80)
            return NULL;
        timestamp |= (uint64_t)(*digit & 0x7f) << shift;
    }
    if (digit != end - 1 || *digit >= 0x80)
        return NULL;
    sample->value = double_from_bits(load_u64(at + 1));
    sample->timestamp_ms = (int64_t)(timestamp | (uint64_t)*digit << shift);
    sample->start_timestamp_ms = 0;
    return end;
}

/* Walk plain labels, then plain samples; the message is left at the first other field. */
static bool decode_plain_fields(struct write_decoder *decoder, struct write_series *series,
                                struct byte_reader *message)
{
    const uint8_t *at = message->position, *end = message->end, *next;
    while (at < end && *at == TAG_FIELD_1 && (next = plain_label(at, end)) != NULL)
        at = next;
    series->labels.fields = message->position;
    series->labels.size = (uint32_t)(at - message->position);
    while (at < end && *at == TAG_FIELD_2) {
        struct write_sample sample;
        next = plain_sample(at, end, &sample);
        if (next == NULL)
            break;
        struct write_sample *added = write_add_sample(decoder);
        if (added == NULL)
            return false;
        *added = sample;
        series->sample_count++;
        at = next;
    }
    message->position = at;
    return true;
}

/* --- Series ----------------------------------------------------------------------------------- */

static enum error_code decode_series_field(struct write_decoder *decoder,
                                           struct write_series *series,
                                           const struct protobuf_field *field)
{
    switch (field->number) {
    case 2:
        series->sample_count++;
        return decode_sample(decoder, field->bytes);
    case 3:
        series->exemplar_count++;
        return decode_exemplar(decoder, field->bytes);
    case 4:
        series->histogram_count++;
        return decode_histogram(decoder, field->bytes);
    default:
        return ERROR_NONE;
    }
}

static enum error_code decode_series(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_request *request = &decoder->request;
    if (request->series_count == decoder->series_limit)
        return error_set(decoder->error, ERROR_LIMIT, "more than %zu series in a request",
                         decoder->series_limit);
    struct write_series series = {
        .sample_first = (uint32_t)request->sample_count,
        .histogram_first = (uint32_t)request->histogram_count,
        .exemplar_first = (uint32_t)request->exemplar_count,
    };
    if (!decode_plain_fields(decoder, &series, &message))
        return write_out_of_memory(decoder);
    struct protobuf_field field;
    const uint8_t *start = message.position;
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_BYTES)) {
            if (!label_is_well_formed(field.bytes))
                return write_malformed(decoder, "label");
            if (!add_label_field(decoder, &series.labels, start, message.position))
                return write_out_of_memory(decoder);
        } else if (field.type == PROTOBUF_BYTES) {
            enum error_code code = decode_series_field(decoder, &series, &field);
            if (code != ERROR_NONE)
                return code;
        }
        start = message.position;
    }
    if (message.failed)
        return write_malformed(decoder, "time series");
    struct write_series *added = write_add_series(decoder);
    if (added == NULL)
        return write_out_of_memory(decoder);
    *added = series;
    return ERROR_NONE;
}

static enum error_code decode_metadata(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_metadata *metadata = write_add_metadata(decoder);
    if (metadata == NULL)
        return write_out_of_memory(decoder);
    struct protobuf_field field;
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_VARINT))
            metadata->type = (uint32_t)field.value;
        else if (protobuf_is(&field, 2, PROTOBUF_BYTES))
            metadata->metric_family = protobuf_text(&field);
        else if (protobuf_is(&field, 4, PROTOBUF_BYTES))
            metadata->help = protobuf_text(&field);
        else if (protobuf_is(&field, 5, PROTOBUF_BYTES))
            metadata->unit = protobuf_text(&field);
    }
    return message.failed ? write_malformed(decoder, "metadata") : ERROR_NONE;
}

enum error_code write_decode_version_1(struct write_decoder *decoder, struct byte_reader body)
{
    struct protobuf_field field;
    while (protobuf_next(&body, &field)) {
        enum error_code code = ERROR_NONE;
        if (protobuf_is(&field, 1, PROTOBUF_BYTES))
            code = decode_series(decoder, field.bytes);
        else if (protobuf_is(&field, 3, PROTOBUF_BYTES))
            code = decode_metadata(decoder, field.bytes);
        else if (protobuf_is(&field, 5, PROTOBUF_BYTES))
            /* A series of 2.0: to skip it were to lose all of it with success. */
            code = write_malformed(decoder, "a remote-write 2.0 body, sent as 1.0");
        if (code != ERROR_NONE)
            return code;
    }
    return body.failed ? write_malformed(decoder, "write request") : ERROR_NONE;
}
