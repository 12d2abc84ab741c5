/* Chunks of native histograms: the buckets once, then what changes from sample to sample. */
#include <math.h>
#include <string.h>

#include "chunk_private.h"
#include "model/histogram_buckets.h"
#include "model/sample.h"

/* --- What fits into one chunk ------------------------------------------------------------------
 */

static bool same_spans(const struct histogram_span *left, uint32_t left_count,
                       const struct histogram_span *right, uint32_t right_count)
{
    if (left_count != right_count)
        return false;
    for (uint32_t i = 0; i < left_count; i++)
        if (left[i].offset != right[i].offset || left[i].length != right[i].length)
            return false;
    return true;
}

static bool same_buckets(const struct histogram *left, const struct histogram *right)
{
    return left->schema == right->schema &&
           double_to_bits(left->zero_threshold) == double_to_bits(right->zero_threshold) &&
           left->custom_bound_count == right->custom_bound_count &&
           (left->custom_bound_count == 0 ||
            memcmp(left->custom_bounds, right->custom_bounds,
                   left->custom_bound_count * sizeof *left->custom_bounds) == 0) &&
           same_spans(left->positive_spans, left->positive_span_count, right->positive_spans,
                      right->positive_span_count) &&
           same_spans(left->negative_spans, left->negative_span_count, right->negative_spans,
                      right->negative_span_count);
}

static bool falls(const struct histogram *previous, const struct histogram *next,
                  union histogram_number before, union histogram_number after)
{
    return !(histogram_number_value(next, after) >= histogram_number_value(previous, before));
}

static bool any_falls(const struct histogram *previous, const struct histogram *next)
{
    if (falls(previous, next, previous->count, next->count) ||
        falls(previous, next, previous->zero_count, next->zero_count))
        return true;
    for (uint32_t i = 0; i < next->positive_bucket_count; i++)
        if (falls(previous, next, previous->positive_buckets[i], next->positive_buckets[i]))
            return true;
    for (uint32_t i = 0; i < next->negative_bucket_count; i++)
        if (falls(previous, next, previous->negative_buckets[i], next->negative_buckets[i]))
            return true;
    return false;
}

bool chunk_histograms_fit(const struct histogram *previous, const struct histogram *next)
{
    bool was_gauge = previous->reset == HISTOGRAM_RESET_GAUGE;
    bool is_gauge = next->reset == HISTOGRAM_RESET_GAUGE;
    if (was_gauge != is_gauge || next->reset == HISTOGRAM_RESET_YES ||
        value_is_stale(previous->sum) || value_is_stale(next->sum) || !same_buckets(previous, next))
        return false;
    return is_gauge || !any_falls(previous, next);
}

/* --- Numbers of any size -----------------------------------------------------------------------
 */

static const struct {
    unsigned prefix, prefix_bits, bits;
} SIZES[] = {{2, 2, 3},   {6, 3, 6},    {14, 4, 9},   {30, 5, 12},
             {62, 6, 18}, {126, 7, 25}, {254, 8, 56}, {255, 8, 64}};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0] };

static void put_sized(struct bit_writer *writer, size_t size, uint64_t value)
{
    bit_writer_put(writer, SIZES[size].prefix, SIZES[size].prefix_bits);
    bit_writer_put(writer, value, SIZES[size].bits);
}

static void put_signed(struct bit_writer *writer, int64_t value)
{
    size_t size = 0;
    if (value == 0) {
        bit_writer_put(writer, 0, 1);
        return;
    }
    while (size + 1 < SIZE_COUNT && (value < -((INT64_C(1) << (SIZES[size].bits - 1)) - 1) ||
                                     value > INT64_C(1) << (SIZES[size].bits - 1)))
        size++;
    put_sized(writer, size, (uint64_t)value);
}

static void put_unsigned(struct bit_writer *writer, uint64_t value)
{
    size_t size = 0;
    if (value == 0) {
        bit_writer_put(writer, 0, 1);
        return;
    }
    while (size + 1 < SIZE_COUNT && value >> SIZES[size].bits != 0)
        size++;
    put_sized(writer, size, value);
}

static void put_double(struct bit_writer *writer, double value)
{
    bit_writer_put(writer, double_to_bits(value), 64);
}

/* --- The buckets -------------------------------------------------------------------------------
 */

static void put_zero_threshold(struct bit_writer *writer, double threshold)
{
    enum { EXPONENT_MIN = -242, EXPONENT_MAX = 11, BIAS = 243, ANY = 255 };
    int exponent = 0;
    bool is_zero = double_to_bits(threshold) == 0; /* and not -0 */
    double fraction = is_zero ? 0 : frexp(threshold, &exponent);
    if (is_zero) {
        bit_writer_put(writer, 0, 8);
    } else if (fraction == 0.5 && exponent >= EXPONENT_MIN && exponent <= EXPONENT_MAX) {
        bit_writer_put(writer, (uint64_t)(exponent + BIAS), 8);
    } else {
        bit_writer_put(writer, ANY, 8);
        put_double(writer, threshold);
    }
}

static void put_spans(struct bit_writer *writer, const struct histogram_span *spans, uint32_t count)
{
    put_unsigned(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        put_unsigned(writer, spans[i].length);
        put_signed(writer, spans[i].offset);
    }
}

/* Bounds of up to three decimals as integers. */
static void put_bounds(struct bit_writer *writer, const struct histogram *histogram)
{
    static const double SCALE = 1000, SCALED_MAX = 33554430;
    put_unsigned(writer, histogram->custom_bound_count);
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++) {
        double bound = histogram->custom_bounds[i], scaled = round(bound * SCALE);
        if (scaled >= 0 && scaled <= SCALED_MAX && !signbit(bound) && scaled / SCALE == bound) {
            put_unsigned(writer, (uint64_t)scaled + 1);
        } else {
            bit_writer_put(writer, 0, 1);
            put_double(writer, bound);
        }
    }
}

static void put_header(struct bit_writer *writer, const struct histogram *histogram, size_t count)
{
    static const uint8_t FLAGS[] = {
        [HISTOGRAM_RESET_UNKNOWN] = 0x00,
        [HISTOGRAM_RESET_YES] = 0x80,
        [HISTOGRAM_RESET_NO] = 0x40,
        [HISTOGRAM_RESET_GAUGE] = 0xc0,
    };
    bit_writer_put(writer, count, 16);
    bit_writer_put(writer, FLAGS[histogram->reset], 8);
    put_zero_threshold(writer, histogram->zero_threshold);
    put_signed(writer, histogram->schema);
    put_spans(writer, histogram->positive_spans, histogram->positive_span_count);
    put_spans(writer, histogram->negative_spans, histogram->negative_span_count);
    if (histogram->schema == HISTOGRAM_SCHEMA_CUSTOM)
        put_bounds(writer, histogram);
}

/* --- Integers ----------------------------------------------------------------------------------
 */

/* Bucket `i` as Prometheus has it: what it is above the one before. */
static int64_t step_of(const union histogram_number *buckets, uint32_t i)
{
    return (int64_t)(buckets[i].integer - (i > 0 ? buckets[i - 1].integer : 0));
}

struct side {
    const union histogram_number *buckets;
    uint32_t count;
};

static struct side side_of(const struct histogram *histogram, bool is_negative)
{
    return is_negative
               ? (struct side){histogram->negative_buckets, histogram->negative_bucket_count}
               : (struct side){histogram->positive_buckets, histogram->positive_bucket_count};
}

/* How a number changes, less than how it changed before. */
static int64_t change(uint64_t before_last, uint64_t last, uint64_t now, bool has_before_last)
{
    uint64_t delta = now - last;
    return (int64_t)(has_before_last ? delta - (last - before_last) : delta);
}

static void put_integers(struct bit_writer *writer, const struct sample_columns *columns,
                         size_t first, size_t i)
{
    const struct histogram *now = columns->histograms[i];
    const struct histogram *last = columns->histograms[i - 1];
    bool has_before = i >= first + 2;
    const struct histogram *before = has_before ? columns->histograms[i - 2] : last;
    put_signed(writer,
               change(before->count.integer, last->count.integer, now->count.integer, has_before));
    put_signed(writer, change(before->zero_count.integer, last->zero_count.integer,
                              now->zero_count.integer, has_before));
}

static void put_integer_buckets(struct bit_writer *writer, const struct sample_columns *columns,
                                size_t first, size_t i)
{
    bool has_before = i >= first + 2;
    for (int is_negative = 0; is_negative < 2; is_negative++) {
        struct side now = side_of(columns->histograms[i], is_negative);
        struct side last = side_of(columns->histograms[i - 1], is_negative);
        struct side before = has_before ? side_of(columns->histograms[i - 2], is_negative) : last;
        for (uint32_t b = 0; b < now.count; b++)
            put_signed(writer, change((uint64_t)step_of(before.buckets, b),
                                      (uint64_t)step_of(last.buckets, b),
                                      (uint64_t)step_of(now.buckets, b), has_before));
    }
}

/* --- Samples -----------------------------------------------------------------------------------
 */

static void put_first(struct bit_writer *writer, int64_t timestamp_ms,
                      const struct histogram *histogram)
{
    bool is_integer = histogram->kind == HISTOGRAM_INTEGER;
    put_signed(writer, timestamp_ms);
    if (is_integer) {
        put_unsigned(writer, histogram->count.integer);
        put_unsigned(writer, histogram->zero_count.integer);
    } else {
        put_double(writer, histogram->count.real);
        put_double(writer, histogram->zero_count.real);
    }
    put_double(writer, histogram->sum);
    for (int is_negative = 0; is_negative < 2; is_negative++) {
        struct side side = side_of(histogram, is_negative);
        for (uint32_t b = 0; b < side.count; b++) {
            if (is_integer)
                put_signed(writer, step_of(side.buckets, b));
            else
                put_double(writer, side.buckets[b].real);
        }
    }
}

/* The windows are of the count, the zero count, the sum, and each bucket. */
static void put_floats(struct bit_writer *writer, const struct histogram *last,
                       const struct histogram *now, struct xor_window *windows)
{
    chunk_put_xor(writer, last->count.real, now->count.real, windows++);
    chunk_put_xor(writer, last->zero_count.real, now->zero_count.real, windows++);
    chunk_put_xor(writer, last->sum, now->sum, windows++);
    for (int is_negative = 0; is_negative < 2; is_negative++) {
        struct side after = side_of(now, is_negative), before = side_of(last, is_negative);
        for (uint32_t b = 0; b < after.count; b++)
            chunk_put_xor(writer, before.buckets[b].real, after.buckets[b].real, windows++);
    }
}

static struct xor_window *make_windows(const struct histogram *histogram,
                                       struct byte_buffer *memory)
{
    enum { BESIDE_BUCKETS = 3 };
    size_t count = BESIDE_BUCKETS + (size_t)histogram->positive_bucket_count +
                   histogram->negative_bucket_count;
    byte_buffer_reset(memory);
    if (!byte_buffer_reserve(memory, count * sizeof(struct xor_window)))
        return NULL;
    struct xor_window *windows = (struct xor_window *)memory->bytes;
    memset(windows, WINDOW_NONE, count * sizeof *windows);
    return windows;
}

void chunk_append_histograms(const struct sample_columns *columns, size_t first, size_t end,
                             struct byte_buffer *memory, struct byte_buffer *target)
{
    struct bit_writer writer = {.buffer = target};
    struct histogram stale = {.kind = columns->histograms[first]->kind};
    const struct histogram *start = columns->histograms[first];
    if (value_is_stale(start->sum)) { /* alone in its chunk, and has nothing else */
        stale.sum = start->sum;
        start = &stale;
    }
    struct xor_window *windows = make_windows(start, memory);
    if (windows == NULL) {
        target->failed = true;
        return;
    }
    put_header(&writer, start, end - first);
    put_first(&writer, columns->timestamps_ms[first], start);
    for (size_t i = first + 1; i < end; i++) {
        const int64_t *times = &columns->timestamps_ms[i];
        bool is_second = i == first + 1;
        put_signed(&writer, change(is_second ? 0 : (uint64_t)times[-2], (uint64_t)times[-1],
                                   (uint64_t)times[0], !is_second));
        if (start->kind == HISTOGRAM_INTEGER) {
            put_integers(&writer, columns, first, i);
            chunk_put_xor(&writer, columns->histograms[i - 1]->sum, columns->histograms[i]->sum,
                          windows);
            put_integer_buckets(&writer, columns, first, i);
        } else {
            put_floats(&writer, columns->histograms[i - 1], columns->histograms[i], windows);
        }
    }
    bit_writer_end(&writer);
}
