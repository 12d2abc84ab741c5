/* Native histograms: the message of both versions. */
#include "base/limits.h"
#include "write_arrays.h"

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
