#include "plain_series.h"

#include "plain_fields.h"

enum {
    TAG_FIELD_1 = PLAIN_TAG(1, PROTOBUF_BYTES),
    TAG_FIELD_2 = PLAIN_TAG(2, PROTOBUF_BYTES),
    TAG_VALUE = PLAIN_TAG(1, PROTOBUF_FIXED64),
    TAG_TIMESTAMP = PLAIN_TAG(2, PROTOBUF_VARINT),
};

/* --- Labels ----------------------------------------------------------------------------------- */

/* A length of one or two bytes at `at`; NULL when it is longer or not there. */
static inline const uint8_t *plain_length(const uint8_t *at, const uint8_t *end, size_t *length)
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

/* The end of the label field whose tag is at `at`, when it is {name, value}; NULL: look closer. */
static inline const uint8_t *plain_label(const uint8_t *at, const uint8_t *end, struct label *label)
{
    size_t length;
    at = plain_length(at + 1, end, &length);
    if (at == NULL || length > (size_t)(end - at))
        return NULL;
    end = at + length;
    if (length < 4 || *at != TAG_FIELD_1)
        return NULL;
    at = plain_length(at + 1, end, &length);
    if (at == NULL || length + 2 > (size_t)(end - at) || at[length] != TAG_FIELD_2)
        return NULL;
    label->name = (struct text){(const char *)at, length};
    at += length + 1;
    if (end - at == 1 && *at == 0) {
        label->value = (struct text){(const char *)end, 0};
        return end;
    }
    at = plain_length(at, end, &length);
    label->value = (struct text){(const char *)at, length};
    return at != NULL && length == (size_t)(end - at) ? end : NULL;
}

bool plain_label_next(struct byte_reader *fields, struct label *label_out)
{
    const uint8_t *next = NULL;
    if (byte_reader_left(fields) > 0 && *fields->position == TAG_FIELD_1)
        next = plain_label(fields->position, fields->end, label_out);
    if (next != NULL)
        fields->position = next;
    return next != NULL;
}

/* The end of the plain labels at `at`. */
static const uint8_t *plain_labels(const uint8_t *at, const uint8_t *end)
{
    struct byte_reader fields = {.position = at, .end = end};
    struct label ignored;
    while (plain_label_next(&fields, &ignored)) {
    }
    return fields.position;
}

/* --- Samples ---------------------------------------------------------------------------------- */

/* The start of the sample field that ends at `end`; NULL: what is there does not look like one. */
static inline const uint8_t *sample_before(const uint8_t *start, const uint8_t *end,
                                           struct write_sample *sample_out)
{
    enum {
        ZERO_BYTES = PLAIN_TIME_FIELD_BYTES,
        SAMPLE_BYTES = PLAIN_VALUE_FIELD_BYTES + PLAIN_TIME_FIELD_BYTES,
        HEAD_BYTES = 2, /* tag and length */
    };
    if (end - start < HEAD_BYTES + ZERO_BYTES || end[-ZERO_BYTES] != TAG_TIMESTAMP ||
        !plain_time_before(end, &sample_out->timestamp_ms))
        return NULL;
    sample_out->start_timestamp_ms = 0;
    if (end - start >= HEAD_BYTES + SAMPLE_BYTES) {
        const uint8_t *field = end - SAMPLE_BYTES - HEAD_BYTES;
        if (field[0] == TAG_FIELD_2 && field[1] == SAMPLE_BYTES && field[2] == TAG_VALUE) {
            sample_out->value = double_from_bits(load_u64(field + 3));
            return field;
        }
    }
    const uint8_t *field = end - ZERO_BYTES - HEAD_BYTES;
    if (field[0] != TAG_FIELD_2 || field[1] != ZERO_BYTES)
        return NULL;
    sample_out->value = 0;
    return field;
}

/* The end of the sample field {value, timestamp} whose tag is at `at`; NULL: look closer. */
static inline const uint8_t *plain_sample(const uint8_t *at, const uint8_t *end,
                                          struct write_sample *sample)
{
    size_t length;
    at = plain_length(at + 1, end, &length);
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

/* --- Series ----------------------------------------------------------------------------------- */

/* Several samples come out last first. */
static void reverse(struct write_sample *samples, size_t count)
{
    for (size_t i = 0, j = count; i + 1 < j; i++) {
        struct write_sample moved = samples[i];
        samples[i] = samples[--j];
        samples[j] = moved;
    }
}

bool plain_series_trust(struct write_decoder *decoder, struct write_series *series,
                        struct byte_reader *message)
{
    if (decoder->options->trust != WRITE_LABELS_TRUSTED)
        return false;
    size_t count_before = decoder->request.sample_count;
    const uint8_t *start = message->position, *end = message->end, *field;
    struct write_sample sample;
    while ((field = sample_before(start, end, &sample)) != NULL) {
        struct write_sample *added = write_add_sample(decoder);
        if (added == NULL)
            break;
        *added = sample;
        end = field;
    }
    size_t count = decoder->request.sample_count - count_before;
    if (count == 0 || field != NULL || end - start > UINT32_MAX) {
        decoder->request.sample_count = count_before;
        return false;
    }
    reverse(decoder->request.samples + count_before, count);
    series->labels.fields = start;
    series->labels.size = (uint32_t)(end - start);
    series->labels_unseen = true;
    series->sample_count = (uint32_t)count;
    message->position = message->end;
    return true;
}

bool plain_series_walk(struct write_decoder *decoder, struct write_series *series,
                       struct byte_reader *message)
{
    const uint8_t *at = plain_labels(message->position, message->end), *end = message->end, *next;
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

/* Labels in another shape are rare and can be walked by the decoder that knows them all. */
bool write_labels_are_whole(const struct write_labels *labels)
{
    const uint8_t *end = labels->fields + labels->size;
    return plain_labels(labels->fields, end) == end;
}
