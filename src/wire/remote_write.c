#include "wire/remote_write.h"

#include <assert.h>

#include "base/limits.h"
#include "write_arrays.h"

/* --- Arrays that grow ------------------------------------------------------------------------- */

enum {
    ARRAY_CAPACITY_FIRST = 64,
    /* Of a series with one sample. */
    SERIES_BYTES_USUAL_1 = 160,
    SERIES_BYTES_USUAL_2 = 40,
    REFERENCES_USUAL = 14,
};

/* Room for one more element of `*array`; false when memory is out. */
static bool reserve_one(struct arena *arena, void *array, size_t count, size_t *capacity,
                        size_t element_bytes)
{
    if (count < *capacity)
        return true;
    void *old;
    memcpy(&old, array, sizeof old);
    size_t wanted = *capacity == 0 ? ARRAY_CAPACITY_FIRST : *capacity * 2;
    void *grown = arena_grow(arena, old, count, wanted, element_bytes);
    if (grown == NULL)
        return false;
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

struct write_series *write_add_series(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->series, request->series_count,
                     &decoder->series_capacity, sizeof *request->series))
        return NULL;
    return &request->series[request->series_count++];
}

struct write_sample *write_add_sample(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->samples, request->sample_count,
                     &decoder->sample_capacity, sizeof *request->samples))
        return NULL;
    struct write_sample *sample = &request->samples[request->sample_count++];
    *sample = (struct write_sample){0};
    return sample;
}

struct write_histogram *write_add_histogram(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->histograms, request->histogram_count,
                     &decoder->histogram_capacity, sizeof *request->histograms))
        return NULL;
    return &request->histograms[request->histogram_count++];
}

struct write_exemplar *write_add_exemplar(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->exemplars, request->exemplar_count,
                     &decoder->exemplar_capacity, sizeof *request->exemplars))
        return NULL;
    return &request->exemplars[request->exemplar_count++];
}

struct write_metadata *write_add_metadata(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->metadata, request->metadata_count,
                     &decoder->metadata_capacity, sizeof *request->metadata))
        return NULL;
    return &request->metadata[request->metadata_count++];
}

struct text *write_add_symbol(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->symbols, request->symbol_count,
                     &decoder->symbol_capacity, sizeof *request->symbols))
        return NULL;
    return &request->symbols[request->symbol_count++];
}

bool write_reserve_references(struct write_decoder *decoder, size_t count)
{
    struct write_request *request = &decoder->request;
    size_t needed = request->reference_count + count;
    if (needed > UINT32_MAX)
        return false;
    if (needed <= decoder->reference_capacity)
        return true;
    size_t wanted = decoder->reference_capacity * 2;
    if (wanted < needed)
        wanted = needed + ARRAY_CAPACITY_FIRST;
    uint32_t *grown = arena_grow(decoder->arena, request->references, request->reference_count,
                                 wanted, sizeof *grown);
    if (grown == NULL)
        return false;
    request->references = grown;
    decoder->reference_capacity = wanted;
    return true;
}

enum error_code write_malformed(struct write_decoder *decoder, const char *what)
{
    return error_set(decoder->error, ERROR_INVALID, "malformed protobuf message: %s", what);
}

enum error_code write_out_of_memory(struct write_decoder *decoder)
{
    return error_set(decoder->error, ERROR_OUT_OF_MEMORY,
                     "remote write: the request needs more memory than it may take");
}

/* --- Histograms ------------------------------------------------------------------------------- */

/* Spans come as repeated messages; two passes, so that the array is allocated once. */
static enum error_code decode_spans(struct write_decoder *decoder, struct byte_reader message,
                                    uint32_t number, struct histogram_span *spans)
{
    struct protobuf_field field;
    size_t count = 0;
    while (protobuf_next(&message, &field)) {
        if (!protobuf_is(&field, number, PROTOBUF_BYTES))
            continue;
        struct histogram_span *span = &spans[count++];
        struct protobuf_field part;
        while (protobuf_next(&field.bytes, &part)) {
            if (protobuf_is(&part, 1, PROTOBUF_VARINT))
                span->offset = (int32_t)zigzag_decode(part.value);
            else if (protobuf_is(&part, 2, PROTOBUF_VARINT))
                span->length = (uint32_t)part.value;
        }
        if (field.bytes.failed)
            return write_malformed(decoder, "bucket span");
    }
    return ERROR_NONE;
}

/* What decode_histogram learns about the repeated fields in its first pass. */
struct histogram_sizes {
    size_t positive_spans;
    size_t negative_spans;
    size_t positive_numbers;
    size_t negative_numbers;
    size_t custom_bounds;
    /* Which field the count came in; of several the last, as with every oneof. */
    enum histogram_kind kind;
};

static size_t count_varints(struct byte_reader packed)
{
    size_t count = 0;
    for (const uint8_t *byte = packed.position; byte < packed.end; byte++)
        count += *byte < 0x80;
    return count;
}

static void count_numbers(const struct protobuf_field *field, size_t *count)
{
    if (field->type != PROTOBUF_BYTES)
        (*count)++;
    else if (field->number == 9 || field->number == 12)
        *count += count_varints(field->bytes);
    else
        *count += byte_reader_left(&field->bytes) / 8;
}

static bool measure_histogram(struct byte_reader message, struct histogram_sizes *sizes)
{
    struct protobuf_field field;
    while (protobuf_next(&message, &field)) {
        switch (field.number) {
        case 1:
        case 2:
            sizes->kind = field.number == 1 ? HISTOGRAM_INTEGER : HISTOGRAM_FLOAT;
            break;
        case 8:
            sizes->negative_spans += field.type == PROTOBUF_BYTES;
            break;
        case 11:
            sizes->positive_spans += field.type == PROTOBUF_BYTES;
            break;
        case 9:
        case 10:
            count_numbers(&field, &sizes->negative_numbers);
            break;
        case 12:
        case 13:
            count_numbers(&field, &sizes->positive_numbers);
            break;
        case 16:
            count_numbers(&field, &sizes->custom_bounds);
            break;
        default:
            break;
        }
    }
    return !message.failed;
}

/* Deltas of integer buckets become absolute counts; a negative count shows as a huge one, which
 * histogram_validate refuses because the buckets then exceed the count. */
static void append_delta(union histogram_number *buckets, size_t *count, uint64_t value)
{
    uint64_t previous = *count > 0 ? buckets[*count - 1].integer : 0;
    buckets[(*count)++].integer = previous + (uint64_t)zigzag_decode(value);
}

static bool append_deltas(union histogram_number *buckets, size_t *count,
                          struct protobuf_field *field)
{
    if (field->type == PROTOBUF_VARINT)
        append_delta(buckets, count, field->value);
    else if (field->type == PROTOBUF_BYTES)
        while (byte_reader_left(&field->bytes) > 0 && !field->bytes.failed)
            append_delta(buckets, count, byte_reader_varint(&field->bytes));
    return !field->bytes.failed;
}

static bool append_doubles(union histogram_number *numbers, size_t *count,
                           struct protobuf_field *field)
{
    if (field->type == PROTOBUF_FIXED64)
        numbers[(*count)++].integer = field->value;
    else if (field->type == PROTOBUF_BYTES) {
        if (byte_reader_left(&field->bytes) % 8 != 0)
            return false;
        while (byte_reader_left(&field->bytes) > 0)
            numbers[(*count)++].integer = byte_reader_u64(&field->bytes);
    }
    return true;
}

/* The repeated numbers of a histogram while they are read. */
struct histogram_numbers {
    enum histogram_kind kind; /* those of the other kind are passed over */
    union histogram_number *positive;
    union histogram_number *negative;
    union histogram_number *bounds;
    size_t positive_count;
    size_t negative_count;
    size_t bound_count;
};

/* Counts and buckets come in one field for integers and in another for floats. */
static bool is_of_other_kind(uint32_t number, enum histogram_kind kind)
{
    bool is_integer = number == 1 || number == 6 || number == 9 || number == 12;
    bool is_float = number == 2 || number == 7 || number == 10 || number == 13;
    return kind == HISTOGRAM_INTEGER ? is_float : is_integer;
}

static bool decode_histogram_field(struct write_histogram *out, struct histogram_numbers *numbers,
                                   struct protobuf_field *field)
{
    struct histogram *histogram = &out->histogram;
    if (is_of_other_kind(field->number, numbers->kind))
        return true;
    switch (field->number) {
    case 1: /* count_int */
    case 2: /* count_float: bits */
        histogram->count.integer = field->value;
        return true;
    case 3:
        histogram->sum = double_from_bits(field->value);
        return true;
    case 4:
        histogram->schema = (int32_t)zigzag_decode(field->value);
        return true;
    case 5:
        histogram->zero_threshold = double_from_bits(field->value);
        return true;
    case 6: /* zero_count_int */
    case 7: /* zero_count_float: bits */
        histogram->zero_count.integer = field->value;
        return true;
    case 9:
        return append_deltas(numbers->negative, &numbers->negative_count, field);
    case 10:
        return append_doubles(numbers->negative, &numbers->negative_count, field);
    case 12:
        return append_deltas(numbers->positive, &numbers->positive_count, field);
    case 13:
        return append_doubles(numbers->positive, &numbers->positive_count, field);
    case 14:
        histogram->reset = field->value <= HISTOGRAM_RESET_GAUGE
                               ? (enum histogram_reset)field->value
                               : HISTOGRAM_RESET_UNKNOWN;
        return true;
    case 15:
        out->timestamp_ms = (int64_t)field->value;
        return true;
    case 16:
        return append_doubles(numbers->bounds, &numbers->bound_count, field);
    case 17:
        out->start_timestamp_ms = (int64_t)field->value;
        return true;
    default:
        return true;
    }
}

enum error_code write_decode_histogram(struct write_decoder *decoder, struct byte_reader message,
                                       struct write_histogram *out)
{
    struct histogram_sizes sizes = {0};
    if (!measure_histogram(message, &sizes))
        return write_malformed(decoder, "histogram");
    out->histogram.kind = sizes.kind;
    if (sizes.positive_spans > HISTOGRAM_BUCKETS_MAX ||
        sizes.negative_spans > HISTOGRAM_BUCKETS_MAX ||
        sizes.positive_numbers > HISTOGRAM_BUCKETS_MAX ||
        sizes.negative_numbers > HISTOGRAM_BUCKETS_MAX ||
        sizes.custom_bounds > HISTOGRAM_BUCKETS_MAX) {
        out->status = ERROR_LIMIT;
        return ERROR_NONE;
    }
    struct arena *arena = decoder->arena;
    struct histogram_span *positive_spans =
        arena_array(arena, sizes.positive_spans, sizeof *positive_spans);
    struct histogram_span *negative_spans =
        arena_array(arena, sizes.negative_spans, sizeof *negative_spans);
    struct histogram_numbers numbers = {
        .kind = sizes.kind,
        .positive = arena_array(arena, sizes.positive_numbers, sizeof(union histogram_number)),
        .negative = arena_array(arena, sizes.negative_numbers, sizeof(union histogram_number)),
        .bounds = arena_array(arena, sizes.custom_bounds, sizeof(union histogram_number)),
    };
    if (positive_spans == NULL || negative_spans == NULL || numbers.positive == NULL ||
        numbers.negative == NULL || numbers.bounds == NULL)
        return write_out_of_memory(decoder);

    struct byte_reader fields = message;
    struct protobuf_field field;
    while (protobuf_next(&fields, &field))
        if (!decode_histogram_field(out, &numbers, &field))
            return write_malformed(decoder, "histogram buckets");
    enum error_code code = decode_spans(decoder, message, 11, positive_spans);
    if (code == ERROR_NONE)
        code = decode_spans(decoder, message, 8, negative_spans);
    if (code != ERROR_NONE)
        return code;

    struct histogram *histogram = &out->histogram;
    histogram->positive_spans = positive_spans;
    histogram->positive_span_count = (uint32_t)sizes.positive_spans;
    histogram->negative_spans = negative_spans;
    histogram->negative_span_count = (uint32_t)sizes.negative_spans;
    histogram->positive_buckets = numbers.positive;
    histogram->positive_bucket_count = (uint32_t)numbers.positive_count;
    histogram->negative_buckets = numbers.negative;
    histogram->negative_bucket_count = (uint32_t)numbers.negative_count;
    _Static_assert(sizeof(union histogram_number) == sizeof(double), "bounds are read in place");
    histogram->custom_bounds = &numbers.bounds->real;
    histogram->custom_bound_count = (uint32_t)numbers.bound_count;
    return ERROR_NONE;
}

/* Room for the usual number of series and samples of a body of this size, so that the arrays need
 * not grow. It is not zeroed: every element is written whole. */
static bool expect_series(struct write_decoder *decoder, size_t body_size)
{
    struct write_request *request = &decoder->request;
    bool is_version_1 = request->version == WRITE_VERSION_1;
    size_t usual_bytes = is_version_1 ? SERIES_BYTES_USUAL_1 : SERIES_BYTES_USUAL_2;
    size_t count = body_size / usual_bytes + ARRAY_CAPACITY_FIRST;
    if (count > decoder->options->series_limit)
        count = decoder->options->series_limit;
    if (count < ARRAY_CAPACITY_FIRST)
        count = ARRAY_CAPACITY_FIRST;
    request->series = arena_allocate(decoder->arena, count * sizeof *request->series);
    request->samples = arena_allocate(decoder->arena, count * sizeof *request->samples);
    decoder->series_capacity = decoder->sample_capacity = count;
    return request->series != NULL && request->samples != NULL &&
           (is_version_1 || write_reserve_references(decoder, count * REFERENCES_USUAL));
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code write_request_decode(const struct write_decode_options *options,
                                     const uint8_t *body, size_t body_size, struct arena *arena,
                                     struct write_request *request_out, struct error *error)
{
    assert(arena != NULL && request_out != NULL && (body != NULL || body_size == 0));
    struct write_decoder decoder = {
        .request.version = options->version,
        .options = options,
        .arena = arena,
        .error = error,
    };
    struct byte_reader reader = byte_reader_over(body, body_size);
    if (!expect_series(&decoder, body_size))
        return write_out_of_memory(&decoder);
    enum error_code code = options->version == WRITE_VERSION_1
                               ? write_decode_version_1(&decoder, reader)
                               : write_decode_version_2(&decoder, reader);
    if (code == ERROR_NONE)
        *request_out = decoder.request;
    return code;
}

static size_t count_label_fields(const struct write_labels *labels)
{
    struct byte_reader fields = byte_reader_over(labels->fields, labels->size);
    struct protobuf_field field;
    size_t count = 0;
    while (protobuf_next(&fields, &field))
        count++;
    return count;
}

static enum error_code decode_label_fields(const struct write_labels *labels, struct label *array,
                                           size_t *count, struct error *error)
{
    struct byte_reader fields = byte_reader_over(labels->fields, labels->size);
    struct protobuf_field field;
    while (protobuf_next(&fields, &field)) {
        if (*count == LABELS_PER_SERIES_MAX)
            return error_set(error, ERROR_LIMIT, "more than %d labels", LABELS_PER_SERIES_MAX);
        struct label *label = &array[(*count)++];
        struct protobuf_field part;
        while (protobuf_next(&field.bytes, &part)) {
            if (protobuf_is(&part, 1, PROTOBUF_BYTES))
                label->name = protobuf_text(&part);
            else if (protobuf_is(&part, 2, PROTOBUF_BYTES))
                label->value = protobuf_text(&part);
        }
    }
    return ERROR_NONE;
}

static enum error_code resolve_references(const struct write_request *request,
                                          const struct write_labels *labels, struct label *array,
                                          size_t *count, struct error *error)
{
    const uint32_t *references = write_references(request, labels);
    if (labels->reference_count % 2 != 0)
        return error_set(error, ERROR_INVALID, "an odd number of label references");
    if (labels->reference_count / 2 > LABELS_PER_SERIES_MAX)
        return error_set(error, ERROR_LIMIT, "more than %d labels", LABELS_PER_SERIES_MAX);
    for (uint32_t i = 0; i < labels->reference_count; i += 2) {
        for (uint32_t j = i; j < i + 2; j++)
            if (references[j] >= request->symbol_count)
                return error_set(error, ERROR_INVALID,
                                 "label reference %u is outside the %zu symbols", references[j],
                                 request->symbol_count);
        array[(*count)++] =
            (struct label){request->symbols[references[i]], request->symbols[references[i + 1]]};
    }
    return ERROR_NONE;
}

static size_t readable_references(const struct write_request *request,
                                  const struct write_labels *labels, struct label *array,
                                  size_t room)
{
    const uint32_t *references = write_references(request, labels);
    size_t count = 0;
    for (uint32_t i = 0; i + 1 < labels->reference_count && count < room; i += 2)
        if (references[i] < request->symbol_count && references[i + 1] < request->symbol_count)
            array[count++] = (struct label){request->symbols[references[i]],
                                            request->symbols[references[i + 1]]};
    return count;
}

size_t write_labels_readable(const struct write_request *request, const struct write_labels *labels,
                             struct arena *arena, struct label **labels_out)
{
    struct label *array = arena_array(arena, LABELS_PER_SERIES_MAX, sizeof *array);
    size_t count = 0;
    struct error beyond;
    *labels_out = array;
    if (array == NULL)
        return 0;
    if (request->version == WRITE_VERSION_2)
        return readable_references(request, labels, array, LABELS_PER_SERIES_MAX);
    decode_label_fields(labels, array, &count, &beyond); /* the first ones, whatever follows */
    return count;
}

enum error_code write_labels_decode(const struct write_request *request,
                                    const struct write_labels *labels, struct arena *arena,
                                    struct label **labels_out, size_t *count_out,
                                    struct error *error)
{
    size_t room = request->version == WRITE_VERSION_1 ? count_label_fields(labels)
                                                      : labels->reference_count / 2;
    if (room > LABELS_PER_SERIES_MAX)
        room = LABELS_PER_SERIES_MAX;
    struct label *array = arena_array(arena, room, sizeof *array);
    if (array == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "remote write: labels");
    size_t count = 0;
    enum error_code code = request->version == WRITE_VERSION_1
                               ? decode_label_fields(labels, array, &count, error)
                               : resolve_references(request, labels, array, &count, error);
    if (code != ERROR_NONE)
        return code;
    *labels_out = array;
    *count_out = count;
    return ERROR_NONE;
}
