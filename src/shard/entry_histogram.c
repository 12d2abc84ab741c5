/* Histogram values inside entries. */
#include "base/limits.h"
#include "shard/entry.h"

enum { FLAG_FLOAT = 1, RESET_SHIFT = 1 };

/* --- Encoding ------------------------------------------------------------------------------- */

static void encode_number(struct byte_buffer *buffer, const struct histogram *histogram,
                          union histogram_number number)
{
    if (histogram->kind == HISTOGRAM_INTEGER)
        byte_buffer_varint(buffer, number.integer);
    else
        byte_buffer_u64(buffer, number.integer); /* the bits of the double */
}

static void encode_spans(struct byte_buffer *buffer, const struct histogram_span *spans,
                         uint32_t count)
{
    byte_buffer_varint(buffer, count);
    for (uint32_t i = 0; i < count; i++) {
        byte_buffer_zigzag(buffer, spans[i].offset);
        byte_buffer_varint(buffer, spans[i].length);
    }
}

static void encode_buckets(struct byte_buffer *buffer, const struct histogram *histogram,
                           const union histogram_number *buckets, uint32_t count)
{
    uint64_t previous = 0;
    byte_buffer_varint(buffer, count);
    for (uint32_t i = 0; i < count; i++) {
        if (histogram->kind == HISTOGRAM_INTEGER)
            byte_buffer_zigzag(buffer, (int64_t)(buckets[i].integer - previous));
        else
            byte_buffer_u64(buffer, buckets[i].integer);
        previous = buckets[i].integer;
    }
}

void histogram_encode_value(struct byte_buffer *buffer, const struct histogram *histogram)
{
    unsigned flags = (histogram->kind == HISTOGRAM_FLOAT ? FLAG_FLOAT : 0) |
                     (unsigned)histogram->reset << RESET_SHIFT;
    byte_buffer_u8(buffer, (uint8_t)flags);
    byte_buffer_zigzag(buffer, histogram->schema);
    byte_buffer_u64(buffer, double_to_bits(histogram->zero_threshold));
    encode_number(buffer, histogram, histogram->zero_count);
    encode_number(buffer, histogram, histogram->count);
    byte_buffer_u64(buffer, double_to_bits(histogram->sum));
    encode_spans(buffer, histogram->positive_spans, histogram->positive_span_count);
    encode_spans(buffer, histogram->negative_spans, histogram->negative_span_count);
    encode_buckets(buffer, histogram, histogram->positive_buckets,
                   histogram->positive_bucket_count);
    encode_buckets(buffer, histogram, histogram->negative_buckets,
                   histogram->negative_bucket_count);
    byte_buffer_varint(buffer, histogram->custom_bound_count);
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++)
        byte_buffer_u64(buffer, double_to_bits(histogram->custom_bounds[i]));
}

/* --- Decoding ------------------------------------------------------------------------------- */

static union histogram_number decode_number(struct byte_reader *reader, enum histogram_kind kind)
{
    uint64_t number =
        kind == HISTOGRAM_INTEGER ? byte_reader_varint(reader) : byte_reader_u64(reader);
    return (union histogram_number){.integer = number};
}

/* An array of `count` elements, or NULL and failed when that many cannot follow. */
static void *decode_array(struct byte_reader *reader, struct arena *arena, size_t element_bytes,
                          uint32_t *count_out)
{
    uint64_t count = byte_reader_varint(reader);
    if (count > HISTOGRAM_BUCKETS_MAX || count > byte_reader_left(reader))
        reader->failed = true;
    if (reader->failed)
        return NULL;
    *count_out = (uint32_t)count;
    return arena_array(arena, count, element_bytes);
}

static const struct histogram_span *decode_spans(struct byte_reader *reader, struct arena *arena,
                                                 uint32_t *count_out)
{
    struct histogram_span *spans = decode_array(reader, arena, sizeof *spans, count_out);
    for (uint32_t i = 0; spans != NULL && i < *count_out; i++) {
        spans[i].offset = (int32_t)byte_reader_zigzag(reader);
        spans[i].length = (uint32_t)byte_reader_varint(reader);
    }
    return spans;
}

static const union histogram_number *decode_buckets(struct byte_reader *reader, struct arena *arena,
                                                    enum histogram_kind kind, uint32_t *count_out)
{
    union histogram_number *buckets = decode_array(reader, arena, sizeof *buckets, count_out);
    uint64_t previous = 0;
    for (uint32_t i = 0; buckets != NULL && i < *count_out; i++) {
        if (kind == HISTOGRAM_INTEGER)
            previous += (uint64_t)byte_reader_zigzag(reader);
        else
            previous = byte_reader_u64(reader);
        buckets[i].integer = previous;
    }
    return buckets;
}

static const double *decode_bounds(struct byte_reader *reader, struct arena *arena,
                                   uint32_t *count_out)
{
    double *bounds = decode_array(reader, arena, sizeof *bounds, count_out);
    for (uint32_t i = 0; bounds != NULL && i < *count_out; i++)
        bounds[i] = double_from_bits(byte_reader_u64(reader));
    return bounds;
}

static uint64_t spans_length(const struct histogram_span *spans, uint32_t count)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += spans[i].length;
    return length;
}

enum error_code histogram_decode_value(struct byte_reader *reader, struct arena *arena,
                                       struct histogram *histogram_out, struct error *error)
{
    struct histogram value = {0};
    uint8_t flags = byte_reader_u8(reader);
    value.kind = flags & FLAG_FLOAT ? HISTOGRAM_FLOAT : HISTOGRAM_INTEGER;
    value.reset = (enum histogram_reset)(flags >> RESET_SHIFT & 3);
    value.schema = (int32_t)byte_reader_zigzag(reader);
    value.zero_threshold = double_from_bits(byte_reader_u64(reader));
    value.zero_count = decode_number(reader, value.kind);
    value.count = decode_number(reader, value.kind);
    value.sum = double_from_bits(byte_reader_u64(reader));
    value.positive_spans = decode_spans(reader, arena, &value.positive_span_count);
    value.negative_spans = decode_spans(reader, arena, &value.negative_span_count);
    value.positive_buckets =
        decode_buckets(reader, arena, value.kind, &value.positive_bucket_count);
    value.negative_buckets =
        decode_buckets(reader, arena, value.kind, &value.negative_bucket_count);
    value.custom_bounds = decode_bounds(reader, arena, &value.custom_bound_count);
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "histogram: cut or too many buckets");
    if (value.positive_spans == NULL || value.negative_spans == NULL ||
        value.positive_buckets == NULL || value.negative_buckets == NULL ||
        value.custom_bounds == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "histogram");
    if (spans_length(value.positive_spans, value.positive_span_count) !=
            value.positive_bucket_count ||
        spans_length(value.negative_spans, value.negative_span_count) !=
            value.negative_bucket_count)
        return error_set(error, ERROR_CORRUPT, "histogram: spans and buckets differ");
    *histogram_out = value;
    return ERROR_NONE;
}
