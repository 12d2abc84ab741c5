/* Chunks of floats (the XOR encoding of Gorilla, with Prometheus' sizes), and where chunks end. */
#include "base/bytes.h"
#include "chunk_private.h"
#include "model/sample.h"

enum { CHUNK_SAMPLES_MAX = 120 };

/* --- Where chunks end ------------------------------------------------------------------------- */

static const struct histogram *histogram_at(const struct sample_columns *columns, size_t i)
{
    return columns->histograms == NULL ? NULL : columns->histograms[i];
}

enum prometheus_encoding chunk_encoding_of(const struct sample_columns *columns, size_t first)
{
    const struct histogram *histogram = histogram_at(columns, first);
    if (histogram == NULL)
        return ENCODING_XOR;
    return histogram->kind == HISTOGRAM_INTEGER ? ENCODING_HISTOGRAM : ENCODING_FLOAT_HISTOGRAM;
}

size_t chunk_end(const struct sample_columns *columns, size_t first)
{
    enum prometheus_encoding encoding = chunk_encoding_of(columns, first);
    size_t end = first + 1;
    while (end < columns->count && end - first < CHUNK_SAMPLES_MAX &&
           chunk_encoding_of(columns, end) == encoding &&
           (encoding == ENCODING_XOR ||
            chunk_histograms_fit(columns->histograms[end - 1], columns->histograms[end])))
        end++;
    return end;
}

/* --- Floats ----------------------------------------------------------------------------------- */

void chunk_put_xor(struct bit_writer *writer, double previous, double value,
                   struct xor_window *window)
{
    enum { LEADING_MAX = 31, LEADING_BITS = 5, SIZE_BITS = 6 };
    uint64_t difference = double_to_bits(previous) ^ double_to_bits(value);
    if (difference == 0) {
        bit_writer_put(writer, 0, 1);
        return;
    }
    unsigned leading = (unsigned)__builtin_clzll(difference);
    unsigned trailing = (unsigned)__builtin_ctzll(difference);
    if (leading > LEADING_MAX)
        leading = LEADING_MAX;
    if (window->leading != WINDOW_NONE && leading >= window->leading &&
        trailing >= window->trailing) {
        bit_writer_put(writer, 2, 2);
        bit_writer_put(writer, difference >> window->trailing,
                       64u - window->leading - window->trailing);
        return;
    }
    *window = (struct xor_window){(uint8_t)leading, (uint8_t)trailing};
    unsigned size = 64 - leading - trailing;
    bit_writer_put(writer, 3, 2);
    bit_writer_put(writer, leading, LEADING_BITS);
    bit_writer_put(writer, size, SIZE_BITS); /* 64 reads as 0 */
    bit_writer_put(writer, difference >> trailing, size);
}

static bool fits(int64_t value, unsigned bits)
{
    return value >= -((INT64_C(1) << (bits - 1)) - 1) && value <= INT64_C(1) << (bits - 1);
}

static void put_time(struct bit_writer *writer, int64_t change)
{
    static const struct {
        unsigned prefix, prefix_bits, bits;
    } SIZES[] = {{2, 2, 14}, {6, 3, 17}, {14, 4, 20}};
    if (change == 0) {
        bit_writer_put(writer, 0, 1);
        return;
    }
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        if (fits(change, SIZES[i].bits)) {
            bit_writer_put(writer, SIZES[i].prefix, SIZES[i].prefix_bits);
            bit_writer_put(writer, (uint64_t)change, SIZES[i].bits);
            return;
        }
    }
    bit_writer_put(writer, 15, 4);
    bit_writer_put(writer, (uint64_t)change, 64);
}

/* Go's varints, byte by byte through the writer, which need not stand at a byte. */
static void put_varint(struct bit_writer *writer, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        bit_writer_put(writer, value | 0x80, 8);
    bit_writer_put(writer, value, 8);
}

static void append_floats(const struct sample_columns *columns, size_t first, size_t end,
                          struct byte_buffer *target)
{
    struct bit_writer writer = {.buffer = target};
    struct xor_window window = {.leading = WINDOW_NONE};
    uint64_t delta = 0;
    bit_writer_put(&writer, end - first, 16);
    put_varint(&writer, zigzag_encode(columns->timestamps_ms[first]));
    bit_writer_put(&writer, double_to_bits(columns->values[first]), 64);
    for (size_t i = first + 1; i < end; i++) {
        uint64_t next =
            (uint64_t)columns->timestamps_ms[i] - (uint64_t)columns->timestamps_ms[i - 1];
        if (i == first + 1)
            put_varint(&writer, next);
        else
            put_time(&writer, (int64_t)(next - delta));
        delta = next;
        chunk_put_xor(&writer, columns->values[i - 1], columns->values[i], &window);
    }
    bit_writer_end(&writer);
}

void chunk_append(const struct sample_columns *columns, size_t first, size_t end,
                  struct byte_buffer *windows, struct byte_buffer *target)
{
    if (chunk_encoding_of(columns, first) == ENCODING_XOR)
        append_floats(columns, first, end, target);
    else
        chunk_append_histograms(columns, first, end, windows, target);
}
