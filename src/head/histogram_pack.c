#include "histogram_pack.h"

/* Sizes of packed histograms are stored in a fixed width, filled in at the end. */
enum { SIZE_BYTES = 4 };

static void pack_double(struct byte_buffer *buffer, double value)
{
    byte_buffer_u64(buffer, double_to_bits(value));
}

static void pack_number(struct byte_buffer *buffer, enum histogram_kind kind,
                        union histogram_number number)
{
    if (kind == HISTOGRAM_INTEGER)
        byte_buffer_varint(buffer, number.integer);
    else
        pack_double(buffer, number.real);
}

static void pack_side(struct byte_buffer *buffer, enum histogram_kind kind,
                      const struct histogram_span *spans, uint32_t span_count,
                      const union histogram_number *buckets, uint32_t bucket_count)
{
    byte_buffer_varint(buffer, span_count);
    byte_buffer_varint(buffer, bucket_count);
    for (uint32_t i = 0; i < span_count; i++) {
        byte_buffer_zigzag(buffer, spans[i].offset);
        byte_buffer_varint(buffer, spans[i].length);
    }
    uint64_t before = 0;
    for (uint32_t i = 0; i < bucket_count; i++) {
        if (kind == HISTOGRAM_INTEGER) {
            byte_buffer_zigzag(buffer, (int64_t)(buckets[i].integer - before));
            before = buckets[i].integer;
        } else {
            pack_double(buffer, buckets[i].real);
        }
    }
}

void histogram_pack(const struct histogram *histogram, struct byte_buffer *buffer)
{
    size_t start = buffer->size;
    byte_buffer_u32(buffer, 0);
    byte_buffer_u8(buffer, (uint8_t)histogram->kind);
    byte_buffer_u8(buffer, (uint8_t)histogram->reset);
    byte_buffer_zigzag(buffer, histogram->schema);
    pack_double(buffer, histogram->zero_threshold);
    pack_number(buffer, histogram->kind, histogram->zero_count);
    pack_number(buffer, histogram->kind, histogram->count);
    pack_double(buffer, histogram->sum);
    pack_side(buffer, histogram->kind, histogram->positive_spans, histogram->positive_span_count,
              histogram->positive_buckets, histogram->positive_bucket_count);
    pack_side(buffer, histogram->kind, histogram->negative_spans, histogram->negative_span_count,
              histogram->negative_buckets, histogram->negative_bucket_count);
    byte_buffer_varint(buffer, histogram->custom_bound_count);
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++)
        pack_double(buffer, histogram->custom_bounds[i]);
    if (!buffer->failed)
        store_u32(buffer->bytes + start, (uint32_t)(buffer->size - start));
}

size_t histogram_packed_size(const uint8_t *packed)
{
    return load_u32(packed);
}

static double unpack_double(struct byte_reader *reader)
{
    return double_from_bits(byte_reader_u64(reader));
}

static union histogram_number unpack_number(struct byte_reader *reader, enum histogram_kind kind)
{
    union histogram_number number;
    if (kind == HISTOGRAM_INTEGER)
        number.integer = byte_reader_varint(reader);
    else
        number.real = unpack_double(reader);
    return number;
}

/* False when memory is out. */
static bool unpack_side(struct byte_reader *reader, enum histogram_kind kind, struct arena *arena,
                        const struct histogram_span **spans_out, uint32_t *span_count_out,
                        const union histogram_number **buckets_out, uint32_t *bucket_count_out)
{
    uint32_t span_count = (uint32_t)byte_reader_varint(reader);
    uint32_t bucket_count = (uint32_t)byte_reader_varint(reader);
    struct histogram_span *spans = arena_array(arena, span_count, sizeof *spans);
    union histogram_number *buckets = arena_array(arena, bucket_count, sizeof *buckets);
    if (spans == NULL || buckets == NULL)
        return false;
    for (uint32_t i = 0; i < span_count; i++) {
        spans[i].offset = (int32_t)byte_reader_zigzag(reader);
        spans[i].length = (uint32_t)byte_reader_varint(reader);
    }
    uint64_t before = 0;
    for (uint32_t i = 0; i < bucket_count; i++) {
        if (kind == HISTOGRAM_INTEGER) {
            before += (uint64_t)byte_reader_zigzag(reader);
            buckets[i].integer = before;
        } else {
            buckets[i].real = unpack_double(reader);
        }
    }
    *spans_out = spans;
    *span_count_out = span_count;
    *buckets_out = buckets;
    *bucket_count_out = bucket_count;
    return true;
}

const struct histogram *histogram_unpack(const uint8_t *packed, struct arena *arena)
{
    struct byte_reader reader =
        byte_reader_over(packed + SIZE_BYTES, histogram_packed_size(packed) - SIZE_BYTES);
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    if (histogram == NULL)
        return NULL;
    histogram->kind = (enum histogram_kind)byte_reader_u8(&reader);
    histogram->reset = (enum histogram_reset)byte_reader_u8(&reader);
    histogram->schema = (int32_t)byte_reader_zigzag(&reader);
    histogram->zero_threshold = unpack_double(&reader);
    histogram->zero_count = unpack_number(&reader, histogram->kind);
    histogram->count = unpack_number(&reader, histogram->kind);
    histogram->sum = unpack_double(&reader);
    if (!unpack_side(&reader, histogram->kind, arena, &histogram->positive_spans,
                     &histogram->positive_span_count, &histogram->positive_buckets,
                     &histogram->positive_bucket_count) ||
        !unpack_side(&reader, histogram->kind, arena, &histogram->negative_spans,
                     &histogram->negative_span_count, &histogram->negative_buckets,
                     &histogram->negative_bucket_count))
        return NULL;
    histogram->custom_bound_count = (uint32_t)byte_reader_varint(&reader);
    double *bounds = arena_array(arena, histogram->custom_bound_count, sizeof *bounds);
    if (bounds == NULL)
        return NULL;
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++)
        bounds[i] = unpack_double(&reader);
    histogram->custom_bounds = bounds;
    return histogram;
}
