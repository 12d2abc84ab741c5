/* Chunks of native histograms read: the buckets once, then what changes from sample to sample. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "chunk_private.h"

/* --- Numbers of any size ----------------------------------------------------------------------
 */

static unsigned take_size(struct bit_reader *reader)
{
    static const unsigned SIZES[] = {0, 3, 6, 9, 12, 18, 25, 56, 64};
    return SIZES[bit_reader_ones(reader, 8)];
}

static uint64_t take_signed(struct bit_reader *reader)
{
    unsigned size = take_size(reader);
    return size == 0 ? 0 : (uint64_t)bit_reader_signed(reader, size);
}

static uint64_t take_unsigned(struct bit_reader *reader)
{
    return bit_reader_take(reader, take_size(reader));
}

static double take_double(struct bit_reader *reader)
{
    return double_from_bits(bit_reader_take(reader, 64));
}

/* --- The buckets ------------------------------------------------------------------------------
 */

static double take_zero_threshold(struct bit_reader *reader)
{
    enum { BIAS = 243, ANY = 255 };
    unsigned code = (unsigned)bit_reader_take(reader, 8);
    if (code == ANY)
        return take_double(reader);
    return code == 0 ? 0 : ldexp(0.5, (int)code - BIAS);
}

static enum error_code too_many(struct error *error, const char *what)
{
    return error_set(error, ERROR_LIMIT, "a histogram with more than %d %s", HISTOGRAM_BUCKETS_MAX,
                     what);
}

static enum error_code take_spans(struct bit_reader *reader, struct arena *arena,
                                  const struct histogram_span **spans_out, uint32_t *count_out,
                                  uint32_t *bucket_count_out, struct error *error)
{
    uint64_t count = take_unsigned(reader), buckets = 0;
    if (count > HISTOGRAM_BUCKETS_MAX)
        return too_many(error, "spans");
    struct histogram_span *spans = arena_array(arena, (size_t)count, sizeof *spans);
    if (spans == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "spans of a histogram");
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        uint64_t length = take_unsigned(reader);
        int64_t offset = (int64_t)take_signed(reader);
        if (length > HISTOGRAM_BUCKETS_MAX || buckets + length > HISTOGRAM_BUCKETS_MAX)
            return too_many(error, "buckets");
        reader->failed |= offset < INT32_MIN || offset > INT32_MAX;
        buckets += length;
        spans[i] = (struct histogram_span){(int32_t)offset, (uint32_t)length};
    }
    *spans_out = spans;
    *count_out = (uint32_t)count;
    *bucket_count_out = (uint32_t)buckets;
    return ERROR_NONE;
}

/* Bounds of up to three decimals are integers. */
static enum error_code take_bounds(struct bit_reader *reader, struct arena *arena,
                                   struct histogram *layout, struct error *error)
{
    static const double SCALE = 1000;
    uint64_t count = take_unsigned(reader);
    if (count > HISTOGRAM_BUCKETS_MAX)
        return too_many(error, "bounds");
    double *bounds = arena_array(arena, (size_t)count, sizeof *bounds);
    if (bounds == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "bounds of a histogram");
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        uint64_t scaled = take_unsigned(reader);
        bounds[i] = scaled == 0 ? take_double(reader) : (double)(scaled - 1) / SCALE;
    }
    layout->custom_bounds = bounds;
    layout->custom_bound_count = (uint32_t)count;
    return ERROR_NONE;
}

/* What all samples of the chunk have in common. */
static enum error_code take_layout(struct bit_reader *reader, struct arena *arena,
                                   struct histogram *layout, struct error *error)
{
    static const enum histogram_reset RESETS[] = {HISTOGRAM_RESET_UNKNOWN, HISTOGRAM_RESET_UNKNOWN,
                                                  HISTOGRAM_RESET_YES, HISTOGRAM_RESET_GAUGE};
    layout->reset = RESETS[bit_reader_take(reader, 8) >> 6];
    layout->zero_threshold = take_zero_threshold(reader);
    int64_t schema = (int64_t)take_signed(reader);
    reader->failed |= schema < INT8_MIN || schema > INT8_MAX;
    layout->schema = (int32_t)schema;
    enum error_code code =
        take_spans(reader, arena, &layout->positive_spans, &layout->positive_span_count,
                   &layout->positive_bucket_count, error);
    if (code == ERROR_NONE)
        code = take_spans(reader, arena, &layout->negative_spans, &layout->negative_span_count,
                          &layout->negative_bucket_count, error);
    if (code == ERROR_NONE && layout->schema == HISTOGRAM_SCHEMA_CUSTOM)
        code = take_bounds(reader, arena, layout, error);
    return code;
}

/* --- Samples ----------------------------------------------------------------------------------
 */

/* Count, zero count and buckets of the sample that was read last. Of integers a bucket is what it
 * is above the one before, and each number has a step that changes. */
struct running {
    struct histogram layout;
    enum prometheus_encoding encoding;
    size_t bucket_count; /* of both sides */
    struct xor_value sum;
    struct xor_value *reals; /* [2 + bucket_count] of floats */
    uint64_t *integers;      /* [2 + bucket_count] of integers */
    uint64_t *steps;         /* [2 + bucket_count] of integers */
};

enum { COUNT, ZERO_COUNT, BUCKETS };

static bool running_init(struct running *running, struct arena *arena)
{
    size_t count = BUCKETS + (size_t)running->layout.positive_bucket_count +
                   running->layout.negative_bucket_count;
    running->bucket_count = count - BUCKETS;
    if (running->encoding == ENCODING_HISTOGRAM) {
        running->integers = arena_array(arena, count, sizeof *running->integers);
        running->steps = arena_array(arena, count, sizeof *running->steps);
        return running->integers != NULL && running->steps != NULL;
    }
    running->reals = arena_array(arena, count, sizeof *running->reals);
    return running->reals != NULL;
}

static void take_first(struct running *running, struct bit_reader *reader)
{
    for (size_t i = COUNT; i < BUCKETS; i++) {
        if (running->encoding == ENCODING_HISTOGRAM)
            running->integers[i] = take_unsigned(reader);
        else
            running->reals[i].bits = bit_reader_take(reader, 64);
    }
    running->sum.bits = bit_reader_take(reader, 64);
    for (size_t i = BUCKETS; i < BUCKETS + running->bucket_count; i++) {
        if (running->encoding == ENCODING_HISTOGRAM)
            running->integers[i] = take_signed(reader);
        else
            running->reals[i].bits = bit_reader_take(reader, 64);
    }
}

static bool is_stale(const struct running *running)
{
    return running->sum.bits == STALE_MARKER_BITS;
}

static void take_integer(struct running *running, size_t i, struct bit_reader *reader)
{
    running->steps[i] += take_signed(reader);
    running->integers[i] += running->steps[i];
}

/* The end of a series has no buckets. */
static void take_next(struct running *running, struct bit_reader *reader)
{
    bool is_integer = running->encoding == ENCODING_HISTOGRAM;
    for (size_t i = COUNT; i < BUCKETS; i++) {
        if (is_integer)
            take_integer(running, i, reader);
        else
            chunk_take_xor(reader, &running->reals[i]);
    }
    chunk_take_xor(reader, &running->sum);
    for (size_t i = BUCKETS; !is_stale(running) && i < BUCKETS + running->bucket_count; i++) {
        if (is_integer)
            take_integer(running, i, reader);
        else
            chunk_take_xor(reader, &running->reals[i]);
    }
}

static const union histogram_number *copy_side(const struct running *running, size_t first,
                                               size_t count, struct arena *arena)
{
    union histogram_number *side = arena_array(arena, count, sizeof *side);
    uint64_t above = 0;
    for (size_t i = 0; side != NULL && i < count; i++) {
        if (running->encoding == ENCODING_HISTOGRAM)
            side[i].integer = above += running->integers[first + i];
        else
            side[i].integer = running->reals[first + i].bits;
    }
    return side;
}

/* NULL when memory is out. */
static const struct histogram *make_histogram(const struct running *running, struct arena *arena)
{
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    if (histogram == NULL)
        return NULL;
    bool is_integer = running->encoding == ENCODING_HISTOGRAM;
    if (is_stale(running)) {
        histogram->kind = is_integer ? HISTOGRAM_INTEGER : HISTOGRAM_FLOAT;
        histogram->sum = double_from_bits(running->sum.bits);
        return histogram;
    }
    *histogram = running->layout;
    histogram->kind = is_integer ? HISTOGRAM_INTEGER : HISTOGRAM_FLOAT;
    histogram->sum = double_from_bits(running->sum.bits);
    histogram->count.integer = is_integer ? running->integers[COUNT] : running->reals[COUNT].bits;
    histogram->zero_count.integer =
        is_integer ? running->integers[ZERO_COUNT] : running->reals[ZERO_COUNT].bits;
    histogram->positive_buckets =
        copy_side(running, BUCKETS, histogram->positive_bucket_count, arena);
    histogram->negative_buckets = copy_side(running, BUCKETS + histogram->positive_bucket_count,
                                            histogram->negative_bucket_count, arena);
    return histogram->positive_buckets == NULL || histogram->negative_buckets == NULL ? NULL
                                                                                      : histogram;
}

enum error_code chunk_decode_histograms(enum prometheus_encoding encoding,
                                        struct bit_reader *reader, size_t count,
                                        struct chunk_samples *samples, struct error *error)
{
    struct running running = {.encoding = encoding};
    enum error_code code = take_layout(reader, samples->arena, &running.layout, error);
    if (code != ERROR_NONE || reader->failed)
        return code;
    if (!running_init(&running, samples->arena))
        return error_set(error, ERROR_OUT_OF_MEMORY, "a chunk of histograms");
    uint64_t at = take_signed(reader), step = 0;
    take_first(&running, reader);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            step += take_signed(reader);
            at += step;
            take_next(&running, reader);
        }
        if (reader->failed)
            return ERROR_NONE;
        const struct histogram *histogram = make_histogram(&running, samples->arena);
        if (histogram == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "a chunk of histograms");
        chunk_add_sample(samples, (int64_t)at, 0, histogram);
        if (running.layout.reset == HISTOGRAM_RESET_YES)
            running.layout.reset = HISTOGRAM_RESET_UNKNOWN; /* it was before the first */
    }
    return ERROR_NONE;
}
