/* prometheus.WriteRequest (remote write 1.0). */
#include "plain_fields.h"
#include "plain_series.h"
#include "write_arrays.h"

/* --- Labels ----------------------------------------------------------------------------------- */

static bool label_is_well_formed(struct byte_reader message)
{
    struct protobuf_field part;
    while (protobuf_next(&message, &part)) {
    }
    return !message.failed;
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
            if (!write_gather_labels(decoder, &exemplar->labels, start,
                                     (size_t)(message.position - start)))
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

/* Fields that are not plain, or not where they usually are. */
static enum error_code decode_other_fields(struct write_decoder *decoder,
                                           struct write_series *series, struct byte_reader *message)
{
    struct protobuf_field field;
    const uint8_t *start = message->position;
    while (protobuf_next(message, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_BYTES)) {
            if (!label_is_well_formed(field.bytes))
                return write_malformed(decoder, "label");
            if (!write_gather_labels(decoder, &series->labels, start,
                                     (size_t)(message->position - start)))
                return write_out_of_memory(decoder);
        } else if (field.type == PROTOBUF_BYTES) {
            enum error_code code = decode_series_field(decoder, series, &field);
            if (code != ERROR_NONE)
                return code;
        }
        start = message->position;
    }
    return message->failed ? write_malformed(decoder, "time series") : ERROR_NONE;
}

/* In place: what is put together elsewhere and copied at once waits for its last store. */
static enum error_code decode_series(struct write_decoder *decoder, struct byte_reader *message)
{
    const struct write_request *request = &decoder->request;
    if (request->series_count == decoder->options->series_limit)
        return error_set(decoder->error, ERROR_LIMIT, "more than %zu series in a request",
                         decoder->options->series_limit);
    struct write_series *series = write_add_series(decoder);
    if (series == NULL)
        return write_out_of_memory(decoder);
    *series = (struct write_series){
        .sample_first = (uint32_t)request->sample_count,
        .histogram_first = (uint32_t)request->histogram_count,
        .exemplar_first = (uint32_t)request->exemplar_count,
    };
    if (!plain_series_trust(decoder, series, message)) {
        if (!plain_series_walk(decoder, series, message))
            return write_out_of_memory(decoder);
        enum error_code code = decode_other_fields(decoder, series, message);
        if (code != ERROR_NONE)
            return code;
    }
    series->alias =
        hash128(series->labels.fields, series->labels.size, decoder->options->alias_seed);
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
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && byte_reader_left(&body) > 0) {
        struct byte_reader series;
        struct protobuf_field field;
        if (plain_message_next(&body, PLAIN_TAG(1, PROTOBUF_BYTES), &series))
            code = decode_series(decoder, &series);
        else if (!protobuf_next(&body, &field))
            break;
        else if (protobuf_is(&field, 1, PROTOBUF_BYTES))
            code = decode_series(decoder, &field.bytes);
        else if (protobuf_is(&field, 3, PROTOBUF_BYTES))
            code = decode_metadata(decoder, field.bytes);
        else if (protobuf_is(&field, 5, PROTOBUF_BYTES))
            /* A series of 2.0: to skip it were to lose all of it with success. */
            code = write_malformed(decoder, "a remote-write 2.0 body, sent as 1.0");
    }
    if (code != ERROR_NONE)
        return code;
    return body.failed ? write_malformed(decoder, "write request") : ERROR_NONE;
}
