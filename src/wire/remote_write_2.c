/* io.prometheus.write.v2.Request (remote write 2.0). */
#include "plain_fields.h"
#include "write_arrays.h"

/* --- References ------------------------------------------------------------------------------- */

/* Packed or, as every protobuf decoder must take, one by one. */
static enum error_code add_references(struct write_decoder *decoder, struct write_labels *labels,
                                      const struct protobuf_field *field)
{
    const uint8_t *packed = field->bytes.position;
    size_t size = byte_reader_left(&field->bytes);
    if (field->type != PROTOBUF_BYTES) {
        uint8_t *one = arena_allocate(decoder->arena, VARINT_MAX_BYTES);
        if (one == NULL)
            return write_out_of_memory(decoder);
        packed = one;
        size = (size_t)(varint_store(one, field->value) - one);
    }
    return write_gather_labels(decoder, labels, packed, size) ? ERROR_NONE
                                                              : write_out_of_memory(decoder);
}

/* --- Parts of a series ------------------------------------------------------------------------ */

/* {value, timestamp} or {value, timestamp, start timestamp}; false: look closer. */
static bool plain_sample(const struct byte_reader *message, struct write_sample *sample_out)
{
    enum {
        SHORT_BYTES = PLAIN_VALUE_FIELD_BYTES + PLAIN_TIME_FIELD_BYTES,
        LONG_BYTES = SHORT_BYTES + PLAIN_TIME_FIELD_BYTES,
    };
    const uint8_t *at = message->position;
    size_t size = byte_reader_left(message);
    if ((size != SHORT_BYTES && size != LONG_BYTES) || at[0] != PLAIN_TAG(1, PROTOBUF_FIXED64) ||
        at[PLAIN_VALUE_FIELD_BYTES] != PLAIN_TAG(2, PROTOBUF_VARINT) ||
        !plain_time_before(at + SHORT_BYTES, &sample_out->timestamp_ms))
        return false;
    sample_out->value = double_from_bits(load_u64(at + 1));
    sample_out->start_timestamp_ms = 0;
    return size == SHORT_BYTES ||
           (at[SHORT_BYTES] == PLAIN_TAG(3, PROTOBUF_VARINT) &&
            plain_time_before(at + LONG_BYTES, &sample_out->start_timestamp_ms));
}

static enum error_code decode_sample(struct write_decoder *decoder, struct byte_reader *message)
{
    struct write_sample *sample = write_add_sample(decoder);
    if (sample == NULL)
        return write_out_of_memory(decoder);
    if (plain_sample(message, sample)) {
        decoder->request.has_start_timestamps |= sample->start_timestamp_ms != 0;
        return ERROR_NONE;
    }
    *sample = (struct write_sample){0};
    uint64_t bits = 0;
    struct protobuf_field field;
    while (protobuf_next(message, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_FIXED64))
            bits = field.value;
        else if (protobuf_is(&field, 2, PROTOBUF_VARINT))
            sample->timestamp_ms = (int64_t)field.value;
        else if (protobuf_is(&field, 3, PROTOBUF_VARINT))
            sample->start_timestamp_ms = (int64_t)field.value;
    }
    sample->value = double_from_bits(bits);
    decoder->request.has_start_timestamps |= sample->start_timestamp_ms != 0;
    return message->failed ? write_malformed(decoder, "sample") : ERROR_NONE;
}

static enum error_code decode_exemplar(struct write_decoder *decoder, struct byte_reader message)
{
    struct write_exemplar *exemplar = write_add_exemplar(decoder);
    if (exemplar == NULL)
        return write_out_of_memory(decoder);
    struct protobuf_field field;
    while (protobuf_next(&message, &field)) {
        if (field.number == 1) {
            enum error_code code = add_references(decoder, &exemplar->labels, &field);
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
    metadata->series = (uint32_t)(decoder->request.series_count - 1); /* it was added just now */
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
    if (field->number == 1)
        return add_references(decoder, &series->labels, field);
    if (field->type != PROTOBUF_BYTES)
        return ERROR_NONE;
    switch (field->number) {
    case 2:
        series->sample_count++;
        return decode_sample(decoder, &field->bytes);
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
    request->has_start_timestamps |= series->sample_count > 0;
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

/* References and samples in front of all else; the message is left at the first other field. */
static enum error_code decode_plain_fields(struct write_decoder *decoder,
                                           struct write_series *series, struct byte_reader *message)
{
    struct byte_reader field;
    enum error_code code = ERROR_NONE;
    if (plain_message_next(message, PLAIN_TAG(1, PROTOBUF_BYTES), &field)) {
        series->labels.fields = field.position;
        series->labels.size = (uint32_t)byte_reader_left(&field);
    }
    while (code == ERROR_NONE &&
           plain_message_next(message, PLAIN_TAG(2, PROTOBUF_BYTES), &field)) {
        series->sample_count++;
        code = decode_sample(decoder, &field);
    }
    return code;
}

/* The alias, by the symbols that came by now. */
static enum error_code resolve_series(struct write_decoder *decoder, struct write_series *series)
{
    if (decoder->symbol_alias.low == NULL &&
        !symbol_alias_init(&decoder->symbol_alias, &decoder->request, decoder->options->alias_seed,
                           decoder->arena))
        return write_out_of_memory(decoder);
    enum reference_status status =
        symbol_alias_of(&decoder->symbol_alias, &series->labels, &series->alias);
    series->reference_invalid = status == REFERENCES_OUTSIDE;
    return status == REFERENCES_MALFORMED ? write_malformed(decoder, "label references")
                                          : ERROR_NONE;
}

static enum error_code decode_series(struct write_decoder *decoder, struct byte_reader *message)
{
    struct write_request *request = &decoder->request;
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
    int64_t created_ms = 0;
    struct protobuf_field field;
    enum error_code code = decode_plain_fields(decoder, series, message);
    while (code == ERROR_NONE && protobuf_next(message, &field)) {
        if (protobuf_is(&field, 6, PROTOBUF_VARINT))
            created_ms = (int64_t)field.value;
        else
            code = decode_series_field(decoder, series, &field);
    }
    if (code != ERROR_NONE)
        return code;
    if (message->failed)
        return write_malformed(decoder, "time series");
    if (created_ms != 0)
        apply_created_timestamp(request, series, created_ms);
    return resolve_series(decoder, series);
}

/* --- At the end ------------------------------------------------------------------------------- */

static struct text symbol_at(const struct write_request *request, uint64_t reference)
{
    return reference < request->symbol_count ? request->symbols[reference] : (struct text){0};
}

/* Symbols that come behind series are legal. */
static enum error_code resolve_late_symbols(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    enum error_code code = ERROR_NONE;
    if (request->symbol_count == decoder->symbol_alias.count)
        return code;
    decoder->symbol_alias.low = NULL;
    for (size_t i = 0; code == ERROR_NONE && i < request->series_count; i++)
        code = resolve_series(decoder, &request->series[i]);
    return code;
}

static enum error_code resolve_exemplars(struct write_decoder *decoder, struct write_series *series)
{
    struct hash128 ignored;
    for (uint32_t i = 0; i < series->exemplar_count; i++)
        switch (symbol_alias_of(&decoder->symbol_alias,
                                &decoder->request.exemplars[series->exemplar_first + i].labels,
                                &ignored)) {
        case REFERENCES_VALID:
            break;
        case REFERENCES_OUTSIDE:
            series->reference_invalid = true;
            break;
        case REFERENCES_MALFORMED:
            return write_malformed(decoder, "label references");
        }
    return ERROR_NONE;
}

static void resolve_metadata(struct write_request *request)
{
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

static enum error_code decode_symbol(struct write_decoder *decoder,
                                     const struct byte_reader *message)
{
    struct text *symbol = write_add_symbol(decoder);
    if (symbol == NULL)
        return write_out_of_memory(decoder);
    *symbol = (struct text){(const char *)message->position, byte_reader_left(message)};
    return ERROR_NONE;
}

enum error_code write_decode_version_2(struct write_decoder *decoder, struct byte_reader body)
{
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && byte_reader_left(&body) > 0) {
        struct byte_reader message;
        struct protobuf_field field;
        if (plain_message_next(&body, PLAIN_TAG(5, PROTOBUF_BYTES), &message))
            code = decode_series(decoder, &message);
        else if (plain_message_next(&body, PLAIN_TAG(4, PROTOBUF_BYTES), &message))
            code = decode_symbol(decoder, &message);
        else if (!protobuf_next(&body, &field))
            break;
        else if (protobuf_is(&field, 4, PROTOBUF_BYTES))
            code = decode_symbol(decoder, &field.bytes);
        else if (protobuf_is(&field, 5, PROTOBUF_BYTES))
            code = decode_series(decoder, &field.bytes);
        else if (protobuf_is(&field, 1, PROTOBUF_BYTES) || protobuf_is(&field, 3, PROTOBUF_BYTES))
            /* Series and metadata of 1.0: to skip them were to lose them with success. */
            code = write_malformed(decoder, "a remote-write 1.0 body, sent as 2.0");
    }
    if (code != ERROR_NONE)
        return code;
    if (body.failed)
        return write_malformed(decoder, "write request");
    if (decoder->request.symbol_count > 0 && decoder->request.symbols[0].size != 0)
        return write_malformed(decoder, "the first symbol must be the empty string");
    code = resolve_late_symbols(decoder);
    if (decoder->request.exemplar_count > 0)
        for (size_t i = 0; code == ERROR_NONE && i < decoder->request.series_count; i++)
            code = resolve_exemplars(decoder, &decoder->request.series[i]);
    if (code == ERROR_NONE)
        resolve_metadata(&decoder->request);
    return code;
}
