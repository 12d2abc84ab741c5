#include "partial_columns.h"

#include <assert.h>
#include <math.h>

#include "base/limits.h"
#include "codec/value_codec.h"

/* --- Which steps ----------------------------------------------------------------------------- */

enum steps_form {
    STEPS_ALL = 0,
    STEPS_RUN = 1,  /* first, count: none before, between or after */
    STEPS_BITS = 2, /* a bit for each, lowest first */
    STEPS_NONE = 3,
};

static void steps_fail(struct byte_reader *reader)
{
    reader->failed = true;
    reader->position = reader->end;
}

void steps_encode(struct byte_buffer *buffer, const uint64_t *present, size_t step_count)
{
    size_t count = steps_present_count(present, step_count);
    if (count == 0 || count == step_count) {
        byte_buffer_u8(buffer, count == 0 ? STEPS_NONE : STEPS_ALL);
        return;
    }
    size_t first = step_next(present, step_count, 0);
    size_t end = first;
    while (end < step_count && step_is_present(present, end))
        end++;
    if (end - first == count) {
        byte_buffer_u8(buffer, STEPS_RUN);
        byte_buffer_varint(buffer, first);
        byte_buffer_varint(buffer, count);
        return;
    }
    byte_buffer_u8(buffer, STEPS_BITS);
    /* Words are little endian, so their bytes are in order. */
    byte_buffer_append(buffer, present, (step_count + 7) / 8);
}

void steps_decode(struct byte_reader *reader, uint64_t *present, size_t step_count)
{
    switch (byte_reader_u8(reader)) {
    case STEPS_NONE:
        return;
    case STEPS_ALL:
        if (!reader->failed)
            steps_fill(present, step_count);
        return;
    case STEPS_RUN: {
        uint64_t first = byte_reader_varint(reader);
        uint64_t count = byte_reader_varint(reader);
        if (first > step_count || count > step_count - first) {
            steps_fail(reader);
            return;
        }
        for (size_t step = (size_t)first; step < first + count; step++)
            step_set_present(present, step);
        return;
    }
    case STEPS_BITS: {
        size_t size = (step_count + 7) / 8;
        const uint8_t *bytes = byte_reader_take(reader, size);
        if (bytes == NULL)
            return;
        if (step_count % 8 != 0 && bytes[size - 1] >> (step_count % 8) != 0) {
            steps_fail(reader);
            return;
        }
        memcpy(present, bytes, size);
        return;
    }
    default:
        steps_fail(reader);
    }
}

/* --- Floats ---------------------------------------------------------------------------------- */

enum values_form {
    VALUES_RAW = 0,      /* 8 bytes each */
    VALUES_EQUAL = 1,    /* 8 bytes, all have these bits */
    VALUES_INTEGERS = 2, /* zigzag of the difference to the value before, the first to 0 */
    VALUES_XOR = 3,      /* what differs from the bits before, below */
    VALUES_PACKED = 4,   /* chunks of CHUNK_SAMPLES_MAX: size, payload of the value codec */
};

enum {
    PACK_COUNT_MIN = 16,  /* fewer values are not worth it */
    PACK_BYTES_MIN = 2,   /* nor what takes so few bytes a value already */
    PACK_SKIP_AFTER = 15, /* columns, after one that did not pack */
};

#define INTEGER_MAX 9007199254740992.0 /* 2^53: all integers up to it are doubles */

static bool value_is_integer(double value)
{
    return value >= -INTEGER_MAX && value <= INTEGER_MAX &&
           double_to_bits((double)(int64_t)value) == double_to_bits(value);
}

/* The bytes of `bits` without zeros at either end; `low_out` are left out at the low end. */
static unsigned significant_bytes(uint64_t bits, unsigned *low_out)
{
    unsigned low = (unsigned)__builtin_ctzll(bits) / 8;
    *low_out = low;
    return 8 - (unsigned)__builtin_clzll(bits) / 8 - low;
}

struct values_sizes {
    bool are_equal;
    bool are_integers;
    size_t integer_bytes;
    size_t xor_bytes;
};

static struct values_sizes values_measure(const double *values, size_t count)
{
    struct values_sizes sizes = {.are_equal = true, .are_integers = true};
    uint64_t previous_bits = 0;
    int64_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = double_to_bits(values[i]);
        uint64_t difference = bits ^ previous_bits;
        unsigned low;
        sizes.are_equal &= i == 0 || difference == 0;
        sizes.xor_bytes += difference == 0 ? 1 : 1 + significant_bytes(difference, &low);
        previous_bits = bits;
        if (!sizes.are_integers)
            continue;
        sizes.are_integers = value_is_integer(values[i]);
        if (!sizes.are_integers)
            continue;
        int64_t integer = (int64_t)values[i];
        sizes.integer_bytes += varint_size(zigzag_encode(integer - previous));
        previous = integer;
    }
    return sizes;
}

static void integers_encode(struct byte_buffer *buffer, const double *values, size_t count)
{
    int64_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t integer = (int64_t)values[i];
        byte_buffer_zigzag(buffer, integer - previous);
        previous = integer;
    }
}

/* A byte with how many bytes follow (high half) and how many zero bytes are below them (low half),
 * then those; 0: the same bits again. */
static void xor_encode(struct byte_buffer *buffer, const double *values, size_t count)
{
    uint64_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = double_to_bits(values[i]);
        uint64_t difference = bits ^ previous;
        previous = bits;
        if (difference == 0) {
            byte_buffer_u8(buffer, 0);
            continue;
        }
        unsigned low;
        unsigned size = significant_bytes(difference, &low);
        byte_buffer_u8(buffer, (uint8_t)(size << 4 | low));
        difference >>= 8 * low;
        byte_buffer_append(buffer, &difference, size);
    }
}

/* Whether packing has saved a quarter of `other_bytes`; if not, the buffer is as before. */
static bool values_pack(struct byte_buffer *buffer, const double *values, size_t count,
                        size_t other_bytes, struct values_packer *packer)
{
    if (packer == NULL || packer->scratch == NULL || count < PACK_COUNT_MIN ||
        other_bytes <= PACK_BYTES_MIN * count)
        return false;
    if (packer->skipped > 0) {
        packer->skipped--;
        return false;
    }
    size_t before = buffer->size;
    byte_buffer_u8(buffer, VALUES_PACKED);
    for (size_t first = 0; first < count && buffer->size - before <= other_bytes / 4 * 3;
         first += CHUNK_SAMPLES_MAX) {
        uint8_t payload[VALUE_CODEC_BYTES_MAX];
        size_t left = count - first;
        size_t size =
            value_codec_encode(values + first, left < CHUNK_SAMPLES_MAX ? left : CHUNK_SAMPLES_MAX,
                               packer->scratch, payload);
        byte_buffer_varint(buffer, size);
        byte_buffer_append(buffer, payload, size);
    }
    if (buffer->failed || buffer->size - before <= other_bytes / 4 * 3)
        return true;
    buffer->size = before;
    packer->skipped = PACK_SKIP_AFTER;
    return false;
}

static size_t least(size_t left, size_t right)
{
    return left < right ? left : right;
}

void values_encode(struct byte_buffer *buffer, const double *values, size_t count,
                   struct values_packer *packer)
{
    if (count == 0)
        return;
    struct values_sizes sizes = values_measure(values, count);
    size_t raw_bytes = count * sizeof *values;
    size_t plain_bytes = least(raw_bytes, sizes.xor_bytes);
    if (sizes.are_integers)
        plain_bytes = least(plain_bytes, sizes.integer_bytes);
    if (sizes.are_equal) {
        byte_buffer_u8(buffer, VALUES_EQUAL);
        byte_buffer_u64(buffer, double_to_bits(values[0]));
    } else if (values_pack(buffer, values, count, plain_bytes, packer)) {
        return;
    } else if (sizes.are_integers && sizes.integer_bytes == plain_bytes) {
        byte_buffer_u8(buffer, VALUES_INTEGERS);
        integers_encode(buffer, values, count);
    } else if (sizes.xor_bytes == plain_bytes && sizes.xor_bytes < raw_bytes) {
        byte_buffer_u8(buffer, VALUES_XOR);
        xor_encode(buffer, values, count);
    } else {
        byte_buffer_u8(buffer, VALUES_RAW);
        byte_buffer_append(buffer, values, raw_bytes);
    }
}

static void integers_decode(struct byte_reader *reader, double *values, size_t count)
{
    int64_t previous = 0;
    for (size_t i = 0; i < count && !reader->failed; i++) {
        int64_t integer;
        if (__builtin_add_overflow(previous, byte_reader_zigzag(reader), &integer)) {
            steps_fail(reader);
            return;
        }
        values[i] = (double)integer;
        previous = integer;
    }
}

static void xor_decode(struct byte_reader *reader, double *values, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < count && !reader->failed; i++) {
        uint8_t control = byte_reader_u8(reader);
        unsigned size = control >> 4;
        unsigned low = control & 15;
        if (control != 0) {
            const uint8_t *bytes =
                size == 0 || size + low > 8 ? NULL : byte_reader_take(reader, size);
            if (bytes == NULL) {
                steps_fail(reader);
                return;
            }
            uint64_t difference = 0;
            memcpy(&difference, bytes, size);
            bits ^= difference << (8 * low);
        }
        values[i] = double_from_bits(bits);
    }
}

static void packed_decode(struct byte_reader *reader, double *values, size_t count,
                          struct codec_scratch *unpacking)
{
    for (size_t first = 0; first < count; first += CHUNK_SAMPLES_MAX) {
        struct error error; /* the reader's failure is all that counts */
        struct text payload = byte_reader_text(reader);
        if (reader->failed || value_codec_decode((const uint8_t *)payload.data, payload.size,
                                                 least(count - first, CHUNK_SAMPLES_MAX), unpacking,
                                                 values + first, &error) != ERROR_NONE) {
            steps_fail(reader);
            return;
        }
    }
}

void values_decode(struct byte_reader *reader, double *values, size_t count,
                   struct codec_scratch *unpacking)
{
    if (count == 0)
        return;
    switch (byte_reader_u8(reader)) {
    case VALUES_RAW: {
        const uint8_t *bytes = NULL;
        if (count <= byte_reader_left(reader) / sizeof *values)
            bytes = byte_reader_take(reader, count * sizeof *values);
        if (bytes == NULL)
            steps_fail(reader);
        else
            memcpy(values, bytes, count * sizeof *values);
        return;
    }
    case VALUES_EQUAL: {
        double value = double_from_bits(byte_reader_u64(reader));
        for (size_t i = 0; i < count && !reader->failed; i++)
            values[i] = value;
        return;
    }
    case VALUES_INTEGERS:
        integers_decode(reader, values, count);
        return;
    case VALUES_XOR:
        xor_decode(reader, values, count);
        return;
    case VALUES_PACKED:
        if (unpacking == NULL)
            steps_fail(reader);
        else
            packed_decode(reader, values, count, unpacking);
        return;
    default:
        steps_fail(reader);
    }
}

bool column_encode(struct byte_buffer *buffer, const double *values, const uint64_t *present,
                   size_t step_count, struct values_packer *packer, struct arena *scratch)
{
    size_t count = steps_present_count(present, step_count);
    if (count == step_count) {
        values_encode(buffer, values, count, packer);
        return true;
    }
    double *dense = arena_allocate(scratch, count * sizeof *dense);
    if (dense == NULL)
        return false;
    size_t next = 0;
    for (size_t step = step_next(present, step_count, 0); step < step_count;
         step = step_next(present, step_count, step + 1))
        dense[next++] = values[step];
    values_encode(buffer, dense, count, packer);
    return true;
}

void column_decode(struct byte_reader *reader, double *values, const uint64_t *present,
                   size_t step_count, struct codec_scratch *unpacking)
{
    size_t count = steps_present_count(present, step_count);
    values_decode(reader, values, count, unpacking);
    if (reader->failed || count == step_count)
        return;
    /* Spread them from the end, in place: each goes up or stays. */
    for (size_t step = step_count; step-- > 0 && count > 0;)
        if (step_is_present(present, step))
            values[step] = values[--count];
}

/* --- Native histograms ----------------------------------------------------------------------- */

enum {
    /* Sums of many histograms have more than a sample may have. */
    BUCKETS_MAX = 16 * HISTOGRAM_BUCKETS_MAX,
    RESET_SHIFT = 1,
};

static void number_encode(struct byte_buffer *buffer, enum histogram_kind kind,
                          union histogram_number number)
{
    if (kind == HISTOGRAM_INTEGER)
        byte_buffer_varint(buffer, number.integer);
    else
        byte_buffer_u64(buffer, double_to_bits(number.real));
}

static void side_encode(struct byte_buffer *buffer, enum histogram_kind kind,
                        const struct histogram_span *spans, uint32_t span_count,
                        const union histogram_number *buckets, uint32_t bucket_count)
{
    byte_buffer_varint(buffer, span_count);
    for (uint32_t i = 0; i < span_count; i++) {
        byte_buffer_zigzag(buffer, spans[i].offset);
        byte_buffer_varint(buffer, spans[i].length);
    }
    _Static_assert(sizeof *buckets == sizeof(double), "buckets are a column of numbers");
    if (kind == HISTOGRAM_FLOAT && bucket_count > 0)
        values_encode(buffer, &buckets->real, bucket_count, NULL);
    if (kind == HISTOGRAM_FLOAT)
        return;
    for (uint32_t i = 0; i < bucket_count; i++)
        byte_buffer_varint(buffer, buckets[i].integer);
}

void histogram_encode(struct byte_buffer *buffer, const struct histogram *histogram)
{
    byte_buffer_u8(
        buffer, (uint8_t)((unsigned)histogram->kind | (unsigned)histogram->reset << RESET_SHIFT));
    byte_buffer_zigzag(buffer, histogram->schema);
    byte_buffer_u64(buffer, double_to_bits(histogram->zero_threshold));
    number_encode(buffer, histogram->kind, histogram->zero_count);
    number_encode(buffer, histogram->kind, histogram->count);
    byte_buffer_u64(buffer, double_to_bits(histogram->sum));
    side_encode(buffer, histogram->kind, histogram->positive_spans, histogram->positive_span_count,
                histogram->positive_buckets, histogram->positive_bucket_count);
    side_encode(buffer, histogram->kind, histogram->negative_spans, histogram->negative_span_count,
                histogram->negative_buckets, histogram->negative_bucket_count);
    if (histogram->schema != HISTOGRAM_SCHEMA_CUSTOM)
        return;
    byte_buffer_varint(buffer, histogram->custom_bound_count);
    values_encode(buffer, histogram->custom_bounds, histogram->custom_bound_count, NULL);
}

static union histogram_number number_decode(struct byte_reader *reader, enum histogram_kind kind)
{
    if (kind == HISTOGRAM_INTEGER)
        return (union histogram_number){.integer = byte_reader_varint(reader)};
    return (union histogram_number){.real = double_from_bits(byte_reader_u64(reader))};
}

struct decoded_side {
    struct histogram_span *spans;
    union histogram_number *buckets;
    uint32_t span_count;
    uint32_t bucket_count;
    int64_t end; /* the index after the last bucket */
};

/* False: memory is out. The reader fails as well when the spans make no sense. */
static bool spans_decode(struct byte_reader *reader, struct arena *arena, struct decoded_side *side)
{
    uint64_t count = byte_reader_varint(reader);
    if (count > byte_reader_left(reader) / 2 || count > BUCKETS_MAX) {
        steps_fail(reader);
        return true;
    }
    side->spans = arena_array(arena, (size_t)count, sizeof *side->spans);
    if (side->spans == NULL)
        return false;
    uint64_t buckets = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t offset = byte_reader_zigzag(reader);
        uint64_t length = byte_reader_varint(reader);
        bool is_sane = offset <= INT32_MAX && offset >= (i == 0 ? INT32_MIN : 0) &&
                       length <= BUCKETS_MAX - buckets;
        if (reader->failed || !is_sane || side->end + offset + (int64_t)length > INT32_MAX) {
            steps_fail(reader);
            return true;
        }
        side->spans[i] = (struct histogram_span){(int32_t)offset, (uint32_t)length};
        side->end += offset + (int64_t)length;
        buckets += length;
    }
    side->span_count = (uint32_t)count;
    side->bucket_count = (uint32_t)buckets;
    return true;
}

static bool side_decode(struct byte_reader *reader, enum histogram_kind kind, struct arena *arena,
                        struct decoded_side *side)
{
    if (!spans_decode(reader, arena, side))
        return false;
    if (reader->failed)
        return true;
    side->buckets = arena_array(arena, side->bucket_count, sizeof *side->buckets);
    if (side->buckets == NULL)
        return false;
    if (kind == HISTOGRAM_FLOAT)
        values_decode(reader, &side->buckets->real, side->bucket_count, NULL);
    for (uint32_t i = 0; kind == HISTOGRAM_INTEGER && i < side->bucket_count; i++)
        side->buckets[i].integer = byte_reader_varint(reader);
    return true;
}

static bool bounds_decode(struct byte_reader *reader, struct arena *arena,
                          struct histogram *histogram)
{
    uint64_t count = byte_reader_varint(reader);
    if (count > HISTOGRAM_BUCKETS_MAX) {
        steps_fail(reader);
        return true;
    }
    double *bounds = arena_array(arena, (size_t)count, sizeof *bounds);
    if (bounds == NULL)
        return false;
    values_decode(reader, bounds, (size_t)count, NULL);
    for (size_t i = 0; i < count && !reader->failed; i++)
        if (isnan(bounds[i]) || bounds[i] == INFINITY || (i > 0 && bounds[i - 1] >= bounds[i]))
            steps_fail(reader);
    histogram->custom_bounds = bounds;
    histogram->custom_bound_count = (uint32_t)count;
    return true;
}

static bool header_is_sane(uint8_t flags, int64_t schema)
{
    bool is_known = schema == HISTOGRAM_SCHEMA_CUSTOM ||
                    (schema >= HISTOGRAM_SCHEMA_MIN && schema <= HISTOGRAM_SCHEMA_MAX);
    return is_known && flags >> RESET_SHIFT <= HISTOGRAM_RESET_GAUGE;
}

struct histogram *histogram_decode(struct byte_reader *reader, struct arena *arena)
{
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    uint8_t flags = byte_reader_u8(reader);
    int64_t schema = byte_reader_zigzag(reader);
    if (histogram == NULL)
        return NULL;
    if (reader->failed || !header_is_sane(flags, schema)) {
        steps_fail(reader);
        return NULL;
    }
    enum histogram_kind kind = flags & 1 ? HISTOGRAM_FLOAT : HISTOGRAM_INTEGER;
    _Static_assert(HISTOGRAM_INTEGER == 0 && HISTOGRAM_FLOAT == 1, "the protocol says so");
    histogram->kind = kind;
    histogram->reset = (enum histogram_reset)(flags >> RESET_SHIFT);
    histogram->schema = (int32_t)schema;
    histogram->zero_threshold = double_from_bits(byte_reader_u64(reader));
    histogram->zero_count = number_decode(reader, kind);
    histogram->count = number_decode(reader, kind);
    histogram->sum = double_from_bits(byte_reader_u64(reader));
    struct decoded_side positive = {0};
    struct decoded_side negative = {0};
    bool is_custom = schema == HISTOGRAM_SCHEMA_CUSTOM;
    if (!side_decode(reader, kind, arena, &positive) ||
        !side_decode(reader, kind, arena, &negative) ||
        (is_custom && !bounds_decode(reader, arena, histogram)))
        return NULL;
    if (is_custom &&
        (negative.span_count > 0 || (positive.span_count > 0 && positive.spans[0].offset < 0) ||
         positive.end > (int64_t)histogram->custom_bound_count + 1))
        steps_fail(reader);
    if (reader->failed)
        return NULL;
    histogram->positive_spans = positive.spans;
    histogram->positive_span_count = positive.span_count;
    histogram->positive_buckets = positive.buckets;
    histogram->positive_bucket_count = positive.bucket_count;
    histogram->negative_spans = negative.spans;
    histogram->negative_span_count = negative.span_count;
    histogram->negative_buckets = negative.buckets;
    histogram->negative_bucket_count = negative.bucket_count;
    return histogram;
}
