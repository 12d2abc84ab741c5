/* io.prometheus.write.v2.Request (remote write 2.0). */
#include "write_arrays.h"

/* --- References ------------------------------------------------------------------------------- */

/* A reference beyond 32 bits is outside any symbol table, and must stay so. */
static uint32_t reference_of(uint64_t number)
{
    return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* Packed or, as every protobuf decoder must take, one by one. */
static enum error_code decode_references(struct write_decoder *decoder, struct write_labels *labels,
                                         struct protobuf_field *field)
{
    struct write_request *request = &decoder->request;
    size_t most = field->type == PROTOBUF_BYTES ? byte_reader_left(&field->bytes) : 1;
    if (!write_reserve_references(decoder, most))
        return write_out_of_memory(decoder);
    if (field->type == PROTOBUF_VARINT) {
        request->references[request->reference_count++] = reference_of(field->value);
        labels->reference_count++;
        return ERROR_NONE;
    }
    while (byte_reader_left(&field->bytes) > 0 && !field->bytes.failed) {
        request->references[request->reference_count++] =
            reference_of(byte_reader_varint(&field->bytes));
        labels->reference_count++;
    }
    return field->bytes.failed ? write_malformed(decoder, "label references") : ERROR_NONE;
}

/* --- Parts of a series ------------------------------------------------------------------------ */

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
        else if (protobuf_is(&field, 3, PROTOBUF_VARINT))
            sample->start_timestamp_ms = (int64_t)field.value;
    }
    sample->value = double_from_bits(bits);
    return message.failed ? write_malformed(decoder, "sample") : ERROR_NONE;
}

static enum error_code decode_exemplar(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_exemplar *exemplar = write_add_exemplar(decoder);
    if (exemplar == NULL)
        return write_out_of_memory(decoder);
    exemplar->labels.reference_first = (uint32_t)decoder->request.reference_count;
    struct protobuf_field field;
    while (protobuf_next(&message, &field)) {
        if (field.number == 1) {
            enum error_code code = decode_references(decoder, &exemplar->labels, &field);
            if (code != ERROR_NONE)
                return code;
        } else if (protobuf_is(&field, 2, PROTOBUF_FIXED64)) {
            exemplar->value = double_from_bits(field.value);
        } else if (protobuf_is(&field, 3, PROTOBUF_VARINT)) {
            exemplar->timestamp_ms = (int64_t)field.value;
        }
    }
    return message.failed ? write_malformed(decoder, "exemplar") : ERROR_NONE;
}

/* The symbols may come after the series, so help and unit are resolved at the end: until then the
 * sizes hold the references. */
static enum error_code decode_metadata(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_metadata *metadata = write_add_metadata(decoder);
    if (metadata == NULL)
        return write_out_of_memory(decoder);
    metadata->series = (uint32_t)decoder->request.series_count;
    struct protobuf_field field;
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_VARINT))
            metadata->type = (uint32_t)field.value;
        else if (protobuf_is(&field, 3, PROTOBUF_VARINT))
            metadata->help.size = field.value;
        else if (protobuf_is(&field, 4, PROTOBUF_VARINT))
            metadata->unit.size = field.value;
    }
    return message.failed ? write_malformed(decoder, "metadata") : ERROR_NONE;
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
                                           struct protobuf_field *field)
{
    switch (field->number) {
    case 2:
        series->sample_count++;
        return decode_sample(decoder, field->bytes);
    case 3:
        series->histogram_count++;
        return decode_histogram(decoder, field->bytes);
    case 4:
        series->exemplar_count++;
        return decode_exemplar(decoder, field->bytes);
    case 5:
        return decode_metadata(decoder, field->bytes);
    default:
        return ERROR_NONE;
    }
}

/* Release candidates of 2.0 had one created timestamp for the whole series (field 6). */
static void apply_created_timestamp(struct write_request *request,
                                    const struct write_series *series, int64_t created_ms)
{
    for (uint32_t i = 0; i < series->sample_count; i++) {
        struct write_sample *sample = &request->samples[series->sample_first + i];
        if (sample->start_timestamp_ms == 0)
            sample->start_timestamp_ms = created_ms;
    }
    for (uint32_t i = 0; i < series->histogram_count; i++) {
        struct write_histogram *histogram = &request->histograms[series->histogram_first + i];
        if (histogram->start_timestamp_ms == 0)
            histogram->start_timestamp_ms = created_ms;
    }
}

/*
 * Two passes: the references of a series must stand together, and those of its exemplars would
 * come between if a sender interleaves them.
 */
static enum error_code decode_series(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_request *request = &decoder->request;
    if (request->series_count == decoder->series_limit)
        return error_set(decoder->error, ERROR_LIMIT, "more than %zu series in a request",
                         decoder->series_limit);
    struct write_series series = {
        .labels.reference_first = (uint32_t)request->reference_count,
        .sample_first = (uint32_t)request->sample_count,
        .histogram_first = (uint32_t)request->histogram_count,
        .exemplar_first = (uint32_t)request->exemplar_count,
    };
    int64_t created_ms = 0;
    struct byte_reader labels_pass = message;
    struct protobuf_field field;
    while (protobuf_next(&labels_pass, &field)) {
        if (field.number == 1) {
            enum error_code code = decode_references(decoder, &series.labels, &field);
            if (code != ERROR_NONE)
                return code;
        } else if (protobuf_is(&field, 6, PROTOBUF_VARINT)) {
            created_ms = (int64_t)field.value;
        }
    }
    if (labels_pass.failed)
        return write_malformed(decoder, "time series");
    while (protobuf_next(&message, &field)) {
        if (field.type != PROTOBUF_BYTES)
            continue;
        enum error_code code = decode_series_field(decoder, &series, &field);
        if (code != ERROR_NONE)
            return code;
    }
    if (created_ms != 0)
        apply_created_timestamp(request, &series, created_ms);
    struct write_series *added = write_add_series(decoder);
    if (added == NULL)
        return write_out_of_memory(decoder);
    *added = series;
    return ERROR_NONE;
}

/* --- References against the symbols, once all are known --------------------------------------- */

static bool references_valid(const struct write_request *request, const struct write_labels *labels)
{
    const uint32_t *references = write_references(request, labels);
    for (uint32_t i = 0; i < labels->reference_count; i++)
        if (references[i] >= request->symbol_count)
            return false;
    return true;
}

static struct text symbol_at(const struct write_request *request, uint64_t reference)
{
    return reference < request->symbol_count ? request->symbols[reference] : (struct text){0};
}

static void check_references(struct write_request *request)
{
    for (size_t i = 0; i < request->series_count; i++) {
        struct write_series *series = &request->series[i];
        series->reference_invalid = !references_valid(request, &series->labels);
        for (uint32_t j = 0; j < series->exemplar_count; j++)
            if (!references_valid(request, &request->exemplars[series->exemplar_first + j].labels))
                series->reference_invalid = true;
    }
    for (size_t i = 0; i < request->metadata_count; i++) {
        struct write_metadata *metadata = &request->metadata[i];
        if (metadata->help.size >= request->symbol_count ||
            metadata->unit.size >= request->symbol_count) {
            metadata->status = ERROR_INVALID;
            request->series[metadata->series].reference_invalid = true;
        }
        metadata->help = symbol_at(request, metadata->help.size);
        metadata->unit = symbol_at(request, metadata->unit.size);
    }
}

enum error_code write_decode_version_2(struct write_decoder *decoder, struct byte_reader body)
{
    struct protobuf_field field;
    while (protobuf_next(&body, &field)) {
        if (protobuf_is(&field, 4, PROTOBUF_BYTES)) {
            struct text *symbol = write_add_symbol(decoder);
            if (symbol == NULL)
                return write_out_of_memory(decoder);
            *symbol = protobuf_text(&field);
        } else if (protobuf_is(&field, 5, PROTOBUF_BYTES)) {
            enum error_code code = decode_series(decoder, field.bytes);
            if (code != ERROR_NONE)
                return code;
        } else if (protobuf_is(&field, 1, PROTOBUF_BYTES) ||
                   protobuf_is(&field, 3, PROTOBUF_BYTES)) {
            /* Series and metadata of 1.0: to skip them were to lose them with success. */
            return write_malformed(decoder, "a remote-write 1.0 body, sent as 2.0");
        }
    }
    if (body.failed)
        return write_malformed(decoder, "write request");
    if (decoder->request.symbol_count > 0 && decoder->request.symbols[0].size != 0)
        return write_malformed(decoder, "the first symbol must be the empty string");
    check_references(&decoder->request);
    return ERROR_NONE;
}
