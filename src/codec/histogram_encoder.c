#include "codec/histogram_codec.h"

#include <assert.h>
#include <string.h>

#include "base/checksum.h"
#include "codec/integer_codec.h"
#include "codec/value_codec.h"
#include "histogram_format.h"
#include "histogram_layout.h"

/* --- Families and layouts ----------------------------------------------------------------- */

static struct layout_side side_of(const struct histogram *histogram, enum histogram_side side)
{
    if (side == SIDE_POSITIVE)
        return (struct layout_side){histogram->positive_spans, histogram->positive_span_count,
                                    histogram->positive_bucket_count};
    return (struct layout_side){histogram->negative_spans, histogram->negative_span_count,
                                histogram->negative_bucket_count};
}

static enum error_code check(const struct histogram *histogram, size_t position,
                             struct error *error)
{
    for (enum histogram_side i = 0; i < SIDES; i++) {
        struct layout_side side = side_of(histogram, i);
        uint32_t buckets;
        if (!spans_are_sound(side.spans, side.span_count, &buckets) || buckets != side.bucket_count)
            return error_set(error, ERROR_INVALID, "histogram %zu: spans", position);
    }
    if (histogram->custom_bound_count > HISTOGRAM_BUCKETS_MAX)
        return error_set(error, ERROR_INVALID, "histogram %zu: %u custom bounds", position,
                         histogram->custom_bound_count);
    return ERROR_NONE;
}

static bool bytes_equal(const void *left, const void *right, size_t size)
{
    return size == 0 || memcmp(left, right, size) == 0;
}

static bool family_takes(const struct histogram_family *family, const struct histogram *histogram)
{
    return family->kind == histogram->kind && family->schema == histogram->schema &&
           double_to_bits(family->zero_threshold) == double_to_bits(histogram->zero_threshold) &&
           family->bound_count == histogram->custom_bound_count &&
           bytes_equal(family->bounds, histogram->custom_bounds,
                       family->bound_count * sizeof *family->bounds);
}

static bool layout_is(const struct histogram_layout *layout, const struct histogram_layout *other)
{
    if (layout->hash != other->hash)
        return false;
    for (enum histogram_side i = 0; i < SIDES; i++) {
        const struct layout_side *left = &layout->sides[i];
        const struct layout_side *right = &other->sides[i];
        if (left->span_count != right->span_count ||
            !bytes_equal(left->spans, right->spans, left->span_count * sizeof *left->spans))
            return false;
    }
    return true;
}

static struct histogram_layout layout_from(const struct histogram *histogram)
{
    struct histogram_layout layout = {0};
    for (enum histogram_side i = 0; i < SIDES; i++) {
        layout.sides[i] = side_of(histogram, i);
        layout.hash =
            hash64(layout.sides[i].spans,
                   layout.sides[i].span_count * sizeof *layout.sides[i].spans, layout.hash);
    }
    return layout;
}

/* Give the family the columns of the layout; false in *fits_out, and no change, when it would have
 * too many of them. */
static bool widen_family(struct histogram_family *family, const struct histogram_layout *layout,
                         struct arena *arena, bool *fits_out)
{
    struct bucket_set joined[SIDES];
    *fits_out = true;
    for (enum histogram_side i = 0; i < SIDES; i++) {
        if (!bucket_set_join(&family->columns[i], &layout->sides[i], arena, &joined[i]))
            return false;
        *fits_out = *fits_out && joined[i].bucket_count <= HISTOGRAM_BUCKETS_MAX;
    }
    if (*fits_out)
        memcpy(family->columns, joined, sizeof joined);
    return true;
}

/* Add a layout that is not there yet, to the latest family of its kind or to a new one. */
static bool add_layout(struct histogram_layouts *layouts, struct histogram_layout layout,
                       const struct histogram *histogram, struct arena *arena)
{
    size_t family = layouts->family_count;
    while (family > 0 && !family_takes(&layouts->families[family - 1], histogram))
        family--;
    bool fits = false;
    if (family > 0 && !widen_family(&layouts->families[family - 1], &layout, arena, &fits))
        return false;
    if (!fits) {
        layouts->families[layouts->family_count++] = (struct histogram_family){
            .kind = histogram->kind,
            .schema = histogram->schema,
            .zero_threshold = histogram->zero_threshold,
            .bound_count = histogram->custom_bound_count,
            .bounds = histogram->custom_bounds,
        };
        family = layouts->family_count;
        if (!widen_family(&layouts->families[family - 1], &layout, arena, &fits))
            return false;
        assert(fits);
    }
    layout.family = (uint32_t)family - 1;
    layouts->layouts[layouts->layout_count++] = layout;
    return true;
}

/* The layout of one histogram, the latest first, for it mostly is the previous one's. */
static bool find_or_add_layout(struct histogram_layouts *layouts, const struct histogram *histogram,
                               struct arena *arena, uint16_t *position_out)
{
    struct histogram_layout wanted = layout_from(histogram);
    for (size_t i = layouts->layout_count; i > 0; i--) {
        const struct histogram_layout *layout = &layouts->layouts[i - 1];
        if (layout_is(layout, &wanted) &&
            family_takes(&layouts->families[layout->family], histogram)) {
            *position_out = (uint16_t)(i - 1);
            return true;
        }
    }
    if (!add_layout(layouts, wanted, histogram, arena))
        return false;
    *position_out = (uint16_t)(layouts->layout_count - 1);
    return true;
}

static enum error_code collect_layouts(const struct histogram *const *histograms, size_t count,
                                       struct arena *arena, struct histogram_layouts *layouts,
                                       struct error *error)
{
    if (!histogram_layouts_init(layouts, count, arena))
        return error_set(error, ERROR_OUT_OF_MEMORY, "histogram layouts");
    for (size_t i = 0; i < count; i++) {
        enum error_code code = check(histograms[i], i, error);
        if (code != ERROR_NONE)
            return code;
        if (!find_or_add_layout(layouts, histograms[i], arena, &layouts->layout_of[i]))
            return error_set(error, ERROR_OUT_OF_MEMORY, "histogram layouts");
    }
    if (!histogram_layouts_assign(layouts, count, arena))
        return error_set(error, ERROR_OUT_OF_MEMORY, "histogram layouts");
    return ERROR_NONE;
}

/* --- Writing ------------------------------------------------------------------------------ */

struct histogram_writer {
    const struct histogram *const *histograms;
    const struct histogram_layouts *layouts;
    struct codec_scratch *scratch;
    struct byte_buffer *buffer;
};

static void write_integers(struct histogram_writer *writer, const int64_t *values, size_t count)
{
    _Static_assert(sizeof writer->scratch->run_bytes >= 9 * CHUNK_SAMPLES_MAX + 64, "a column");
    uint8_t *bytes = writer->scratch->run_bytes;
    uint8_t *end = integer_column_encode(values, count, writer->scratch, bytes);
    byte_buffer_append(writer->buffer, bytes, (size_t)(end - bytes));
}

static void write_doubles(struct histogram_writer *writer, const double *values, size_t count)
{
    uint8_t bytes[VALUE_CODEC_BYTES_MAX];
    size_t size = value_codec_encode(values, count, writer->scratch, bytes);
    byte_buffer_varint(writer->buffer, size);
    byte_buffer_append(writer->buffer, bytes, size);
}

static void write_family_header(struct histogram_writer *writer,
                                const struct histogram_family *family)
{
    uint64_t threshold = double_to_bits(family->zero_threshold);
    enum threshold_code code = threshold == double_to_bits(USUAL_ZERO_THRESHOLD) ? THRESHOLD_USUAL
                               : threshold == 0                                  ? THRESHOLD_ZERO
                                                                                 : THRESHOLD_RAW;
    byte_buffer_u8(writer->buffer, (uint8_t)((family->kind == HISTOGRAM_FLOAT ? FAMILY_FLOAT : 0) |
                                             code << FAMILY_THRESHOLD_SHIFT |
                                             (family->bound_count > 0 ? FAMILY_BOUNDS : 0)));
    byte_buffer_zigzag(writer->buffer, family->schema);
    if (code == THRESHOLD_RAW)
        byte_buffer_u64(writer->buffer, threshold);
    if (family->bound_count == 0)
        return;
    byte_buffer_varint(writer->buffer, family->bound_count);
    for (size_t first = 0; first < family->bound_count; first += CHUNK_SAMPLES_MAX) {
        size_t left = family->bound_count - first;
        write_doubles(writer, family->bounds + first,
                      left < CHUNK_SAMPLES_MAX ? left : CHUNK_SAMPLES_MAX);
    }
}

static void write_layout(struct histogram_writer *writer, const struct histogram_layout *layout)
{
    byte_buffer_varint(writer->buffer, layout->family);
    for (enum histogram_side i = 0; i < SIDES; i++) {
        byte_buffer_varint(writer->buffer, layout->sides[i].span_count);
        for (uint32_t span = 0; span < layout->sides[i].span_count; span++) {
            byte_buffer_zigzag(writer->buffer, layout->sides[i].spans[span].offset);
            byte_buffer_varint(writer->buffer, layout->sides[i].spans[span].length);
        }
    }
}

/* --- Columns ------------------------------------------------------------------------------ */

static const union histogram_number *buckets_of(const struct histogram *histogram,
                                                enum histogram_side side)
{
    return side == SIDE_POSITIVE ? histogram->positive_buckets : histogram->negative_buckets;
}

/* The columns that every histogram has; of integers, the count is what the buckets leave over. */
static uint64_t observations_in_buckets(const struct histogram *histogram)
{
    uint64_t sum = histogram->zero_count.integer;
    for (uint32_t i = 0; i < histogram->positive_bucket_count; i++)
        sum += histogram->positive_buckets[i].integer;
    for (uint32_t i = 0; i < histogram->negative_bucket_count; i++)
        sum += histogram->negative_buckets[i].integer;
    return sum;
}

static void write_numbers(struct histogram_writer *writer, enum histogram_kind kind,
                          const uint64_t *numbers, size_t count)
{
    if (kind == HISTOGRAM_INTEGER) {
        write_integers(writer, (const int64_t *)numbers, count);
        return;
    }
    double values[CHUNK_SAMPLES_MAX];
    for (size_t i = 0; i < count; i++)
        values[i] = double_from_bits(numbers[i]);
    write_doubles(writer, values, count);
}

static void write_totals(struct histogram_writer *writer, const struct histogram_family *family)
{
    uint64_t counts[CHUNK_SAMPLES_MAX];
    uint64_t zero_counts[CHUNK_SAMPLES_MAX];
    double sums[CHUNK_SAMPLES_MAX];
    for (size_t i = 0; i < family->sample_count; i++) {
        const struct histogram *histogram = writer->histograms[family->samples[i]];
        counts[i] = histogram->count.integer;
        if (family->kind == HISTOGRAM_INTEGER)
            counts[i] -= observations_in_buckets(histogram);
        zero_counts[i] = histogram->zero_count.integer;
        sums[i] = histogram->sum;
    }
    write_numbers(writer, family->kind, counts, family->sample_count);
    write_numbers(writer, family->kind, zero_counts, family->sample_count);
    write_doubles(writer, sums, family->sample_count);
}

/* One bucket over all samples. Where a sample does not have it the number before is repeated, at
 * the beginning the first one that there is: no layout will ever ask for it. */
static void write_column(struct histogram_writer *writer, const struct column_walk *walk)
{
    const struct histogram_family *family = &writer->layouts->families[walk->family];
    uint64_t numbers[CHUNK_SAMPLES_MAX];
    size_t known = 0;
    for (size_t i = 0; i < family->sample_count; i++) {
        uint16_t sample = family->samples[i];
        int32_t ordinal = walk->ordinals[writer->layouts->layout_of[sample]];
        if (ordinal == BUCKET_ABSENT) {
            numbers[i] = known > 0 ? numbers[i - 1] : 0;
            continue;
        }
        numbers[i] = buckets_of(writer->histograms[sample], walk->side)[ordinal].integer;
        if (known++ == 0)
            for (size_t j = 0; j < i; j++)
                numbers[j] = numbers[i];
    }
    write_numbers(writer, family->kind, numbers, family->sample_count);
}

static void write_family(struct histogram_writer *writer, uint32_t family)
{
    write_totals(writer, &writer->layouts->families[family]);
    for (enum histogram_side side = 0; side < SIDES; side++) {
        struct column_walk walk = column_walk_begin(writer->layouts, family, side);
        while (column_walk_next(&walk))
            write_column(writer, &walk);
    }
}

static void write_all(struct histogram_writer *writer, size_t count)
{
    const struct histogram_layouts *layouts = writer->layouts;
    byte_buffer_varint(writer->buffer, layouts->family_count);
    byte_buffer_varint(writer->buffer, layouts->layout_count);
    for (size_t i = 0; i < layouts->family_count; i++)
        write_family_header(writer, &layouts->families[i]);
    for (size_t i = 0; i < layouts->layout_count; i++)
        write_layout(writer, &layouts->layouts[i]);

    int64_t numbers[CHUNK_SAMPLES_MAX];
    for (size_t i = 0; i < count; i++)
        numbers[i] = layouts->layout_of[i];
    if (layouts->layout_count > 1)
        write_integers(writer, numbers, count);
    for (size_t i = 0; i < count; i++)
        numbers[i] = writer->histograms[i]->reset;
    write_integers(writer, numbers, count);

    for (uint32_t i = 0; i < layouts->family_count; i++)
        write_family(writer, i);
}

/* --- Public functions --------------------------------------------------------------------- */

enum error_code histogram_codec_encode(const struct histogram *const *histograms, size_t count,
                                       struct codec_scratch *scratch, struct arena *arena,
                                       struct byte_buffer *buffer, struct error *error)
{
    assert(count >= 1 && count <= CHUNK_SAMPLES_MAX);

    struct histogram_layouts layouts;
    enum error_code code = collect_layouts(histograms, count, arena, &layouts, error);
    if (code != ERROR_NONE)
        return code;
    struct histogram_writer writer = {
        .histograms = histograms,
        .layouts = &layouts,
        .scratch = scratch,
        .buffer = buffer,
    };
    size_t size_before = buffer->size;
    write_all(&writer, count);
    if (buffer->failed) {
        buffer->size = size_before;
        return error_set(error, ERROR_OUT_OF_MEMORY, "histogram chunk");
    }
    return ERROR_NONE;
}
