#include "codec/histogram_codec.h"

#include <assert.h>
#include <string.h>

#include "codec/integer_codec.h"
#include "codec/value_codec.h"
#include "histogram_format.h"
#include "histogram_layout.h"

struct histogram_reader {
    struct byte_reader bytes;
    struct codec_scratch *scratch;
    struct arena *arena;
    struct histogram_layouts layouts;
    struct histogram *histograms; /* [count] */
    size_t count;
    union histogram_number **buckets[SIDES]; /* [count] each: where the histograms' buckets are */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "histogram chunk");
}

static enum error_code cut_short(const char *what, struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "histogram chunk: %s cut short", what);
}

static enum error_code read_doubles(struct histogram_reader *reader, double *values, size_t count,
                                    struct error *error)
{
    uint64_t size = byte_reader_varint(&reader->bytes);
    const uint8_t *bytes =
        size <= VALUE_CODEC_BYTES_MAX ? byte_reader_take(&reader->bytes, size) : NULL;
    if (bytes == NULL || reader->bytes.failed)
        return cut_short("column", error);
    return value_codec_decode(bytes, size, count, reader->scratch, values, error);
}

/* --- Families and layouts ----------------------------------------------------------------- */

static enum error_code read_bounds(struct histogram_reader *reader, struct histogram_family *family,
                                   struct error *error)
{
    uint64_t bound_count = byte_reader_varint(&reader->bytes);
    if (bound_count == 0 || bound_count > HISTOGRAM_BUCKETS_MAX)
        return error_set(error, ERROR_CORRUPT, "histogram chunk: number of bounds");
    double *bounds = arena_array(reader->arena, bound_count, sizeof *bounds);
    if (bounds == NULL)
        return out_of_memory(error);
    for (size_t first = 0; first < bound_count; first += CHUNK_SAMPLES_MAX) {
        size_t left = bound_count - first;
        enum error_code code = read_doubles(
            reader, bounds + first, left < CHUNK_SAMPLES_MAX ? left : CHUNK_SAMPLES_MAX, error);
        if (code != ERROR_NONE)
            return code;
    }
    family->bound_count = (uint32_t)bound_count;
    family->bounds = bounds;
    return ERROR_NONE;
}

static enum error_code read_family_header(struct histogram_reader *reader,
                                          struct histogram_family *family, struct error *error)
{
    uint8_t code = byte_reader_u8(&reader->bytes);
    enum threshold_code threshold = (code & FAMILY_THRESHOLD_MASK) >> FAMILY_THRESHOLD_SHIFT;
    if ((code & FAMILY_UNKNOWN) != 0 || threshold >= THRESHOLD_CODES)
        return error_set(error, ERROR_UNSUPPORTED, "histogram chunk: family code 0x%02x", code);

    int64_t schema = byte_reader_zigzag(&reader->bytes);
    uint64_t threshold_bits = threshold == THRESHOLD_USUAL  ? double_to_bits(USUAL_ZERO_THRESHOLD)
                              : threshold == THRESHOLD_ZERO ? 0
                                                            : byte_reader_u64(&reader->bytes);
    if (reader->bytes.failed)
        return cut_short("family", error);
    if (schema < INT32_MIN || schema > INT32_MAX)
        return error_set(error, ERROR_CORRUPT, "histogram chunk: schema");
    family->kind = code & FAMILY_FLOAT ? HISTOGRAM_FLOAT : HISTOGRAM_INTEGER;
    family->schema = (int32_t)schema;
    family->zero_threshold = double_from_bits(threshold_bits);
    return code & FAMILY_BOUNDS ? read_bounds(reader, family, error) : ERROR_NONE;
}

static enum error_code read_side(struct histogram_reader *reader, struct layout_side *side,
                                 struct error *error)
{
    uint64_t span_count = byte_reader_varint(&reader->bytes);
    if (span_count > HISTOGRAM_BUCKETS_MAX || span_count > byte_reader_left(&reader->bytes))
        return cut_short("spans", error);
    struct histogram_span *spans = arena_array(reader->arena, span_count, sizeof *spans);
    if (spans == NULL)
        return out_of_memory(error);
    for (uint64_t i = 0; i < span_count; i++) {
        int64_t offset = byte_reader_zigzag(&reader->bytes);
        uint64_t length = byte_reader_varint(&reader->bytes);
        if (offset < INT32_MIN || offset > INT32_MAX || length > HISTOGRAM_BUCKETS_MAX)
            return error_set(error, ERROR_CORRUPT, "histogram chunk: span");
        spans[i] = (struct histogram_span){.offset = (int32_t)offset, .length = (uint32_t)length};
    }
    side->spans = spans;
    side->span_count = (uint32_t)span_count;
    if (reader->bytes.failed || !spans_are_sound(spans, side->span_count, &side->bucket_count))
        return error_set(error, ERROR_CORRUPT, "histogram chunk: spans");
    return ERROR_NONE;
}

static enum error_code read_layout(struct histogram_reader *reader, struct histogram_layout *layout,
                                   struct error *error)
{
    uint64_t family = byte_reader_varint(&reader->bytes);
    if (family >= reader->layouts.family_count)
        return error_set(error, ERROR_CORRUPT, "histogram chunk: layout of no family");
    layout->family = (uint32_t)family;
    for (enum histogram_side i = 0; i < SIDES; i++) {
        enum error_code code = read_side(reader, &layout->sides[i], error);
        if (code != ERROR_NONE)
            return code;
        struct bucket_set *columns = &reader->layouts.families[family].columns[i];
        if (!bucket_set_join(columns, &layout->sides[i], reader->arena, columns))
            return out_of_memory(error);
        if (columns->bucket_count > HISTOGRAM_BUCKETS_MAX)
            return error_set(error, ERROR_CORRUPT, "histogram chunk: too many columns");
    }
    return ERROR_NONE;
}

static enum error_code read_layout_numbers(struct histogram_reader *reader, struct error *error)
{
    if (reader->layouts.layout_count == 1)
        return ERROR_NONE; /* all are 0 */
    int64_t numbers[CHUNK_SAMPLES_MAX];
    enum error_code code =
        integer_column_decode(&reader->bytes, reader->count, reader->scratch, numbers, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < reader->count; i++) {
        if (numbers[i] < 0 || (uint64_t)numbers[i] >= reader->layouts.layout_count)
            return error_set(error, ERROR_CORRUPT, "histogram chunk: sample of no layout");
        reader->layouts.layout_of[i] = (uint16_t)numbers[i];
    }
    return ERROR_NONE;
}

static enum error_code read_layouts(struct histogram_reader *reader, struct error *error)
{
    struct histogram_layouts *layouts = &reader->layouts;
    uint64_t family_count = byte_reader_varint(&reader->bytes);
    uint64_t layout_count = byte_reader_varint(&reader->bytes);
    if (family_count == 0 || family_count > layout_count || layout_count > reader->count)
        return error_set(error, ERROR_CORRUPT, "histogram chunk: number of layouts");
    if (!histogram_layouts_init(layouts, reader->count, reader->arena))
        return out_of_memory(error);
    layouts->family_count = family_count;
    layouts->layout_count = layout_count;
    for (size_t i = 0; i < family_count; i++) {
        enum error_code code = read_family_header(reader, &layouts->families[i], error);
        if (code != ERROR_NONE)
            return code;
    }
    for (size_t i = 0; i < layout_count; i++) {
        enum error_code code = read_layout(reader, &layouts->layouts[i], error);
        if (code != ERROR_NONE)
            return code;
    }
    enum error_code code = read_layout_numbers(reader, error);
    if (code != ERROR_NONE)
        return code;
    if (!histogram_layouts_assign(layouts, reader->count, reader->arena))
        return out_of_memory(error);
    /* Else few bytes could declare columns that nobody has. */
    for (size_t i = 0; i < family_count; i++)
        if (layouts->families[i].sample_count == 0)
            return error_set(error, ERROR_CORRUPT, "histogram chunk: family without samples");
    return ERROR_NONE;
}

/* --- Histograms --------------------------------------------------------------------------- */

static bool allocate_buckets(struct histogram_reader *reader, size_t sample,
                             const struct histogram_layout *layout)
{
    bool allocated = true;
    for (enum histogram_side i = 0; i < SIDES; i++) {
        reader->buckets[i][sample] = arena_array(reader->arena, layout->sides[i].bucket_count,
                                                 sizeof(union histogram_number));
        allocated = allocated && reader->buckets[i][sample] != NULL;
    }
    return allocated;
}

/* Everything of the histograms but the numbers; these have their memory. */
static enum error_code prepare_histograms(struct histogram_reader *reader, struct error *error)
{
    reader->histograms = arena_array(reader->arena, reader->count, sizeof *reader->histograms);
    for (enum histogram_side i = 0; i < SIDES; i++)
        reader->buckets[i] = arena_array(reader->arena, reader->count, sizeof *reader->buckets[i]);
    if (reader->histograms == NULL || reader->buckets[SIDE_POSITIVE] == NULL ||
        reader->buckets[SIDE_NEGATIVE] == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < reader->count; i++) {
        const struct histogram_layout *layout =
            &reader->layouts.layouts[reader->layouts.layout_of[i]];
        const struct histogram_family *family = &reader->layouts.families[layout->family];
        const struct layout_side *positive = &layout->sides[SIDE_POSITIVE];
        const struct layout_side *negative = &layout->sides[SIDE_NEGATIVE];
        if (!allocate_buckets(reader, i, layout))
            return out_of_memory(error);
        reader->histograms[i] = (struct histogram){
            .kind = family->kind,
            .schema = family->schema,
            .zero_threshold = family->zero_threshold,
            .positive_span_count = positive->span_count,
            .negative_span_count = negative->span_count,
            .positive_bucket_count = positive->bucket_count,
            .negative_bucket_count = negative->bucket_count,
            .custom_bound_count = family->bound_count,
            .positive_spans = positive->spans,
            .negative_spans = negative->spans,
            .positive_buckets = reader->buckets[SIDE_POSITIVE][i],
            .negative_buckets = reader->buckets[SIDE_NEGATIVE][i],
            .custom_bounds = family->bounds,
        };
    }
    return ERROR_NONE;
}

static enum error_code read_resets(struct histogram_reader *reader, struct error *error)
{
    int64_t resets[CHUNK_SAMPLES_MAX];
    enum error_code code =
        integer_column_decode(&reader->bytes, reader->count, reader->scratch, resets, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < reader->count; i++) {
        if (resets[i] < HISTOGRAM_RESET_UNKNOWN || resets[i] > HISTOGRAM_RESET_GAUGE)
            return error_set(error, ERROR_CORRUPT, "histogram chunk: reset hint");
        reader->histograms[i].reset = (enum histogram_reset)resets[i];
    }
    return ERROR_NONE;
}

/* --- Columns ------------------------------------------------------------------------------ */

static enum error_code read_numbers(struct histogram_reader *reader, enum histogram_kind kind,
                                    uint64_t *numbers, size_t count, struct error *error)
{
    if (kind == HISTOGRAM_INTEGER)
        return integer_column_decode(&reader->bytes, count, reader->scratch, (int64_t *)numbers,
                                     error);
    double values[CHUNK_SAMPLES_MAX];
    enum error_code code = read_doubles(reader, values, count, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < count; i++)
        numbers[i] = double_to_bits(values[i]);
    return ERROR_NONE;
}

static enum error_code read_totals(struct histogram_reader *reader,
                                   const struct histogram_family *family, struct error *error)
{
    uint64_t counts[CHUNK_SAMPLES_MAX];
    uint64_t zero_counts[CHUNK_SAMPLES_MAX];
    double sums[CHUNK_SAMPLES_MAX];
    size_t samples = family->sample_count;
    enum error_code code = read_numbers(reader, family->kind, counts, samples, error);
    if (code == ERROR_NONE)
        code = read_numbers(reader, family->kind, zero_counts, samples, error);
    if (code == ERROR_NONE)
        code = read_doubles(reader, sums, samples, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < samples; i++) {
        struct histogram *histogram = &reader->histograms[family->samples[i]];
        histogram->count.integer = counts[i];
        histogram->zero_count.integer = zero_counts[i];
        histogram->sum = sums[i];
    }
    return ERROR_NONE;
}

static void place_column(struct histogram_reader *reader, const struct column_walk *walk,
                         const uint64_t *numbers)
{
    const struct histogram_family *family = &reader->layouts.families[walk->family];
    union histogram_number **buckets = reader->buckets[walk->side];
    for (size_t i = 0; i < family->sample_count; i++) {
        uint16_t sample = family->samples[i];
        int32_t ordinal = walk->ordinals[reader->layouts.layout_of[sample]];
        if (ordinal != BUCKET_ABSENT)
            buckets[sample][ordinal].integer = numbers[i];
    }
}

/* Counts of integers are stored without what zero count and buckets make of them. */
static void complete_counts(struct histogram_reader *reader, const struct histogram_family *family)
{
    for (size_t i = 0; i < family->sample_count; i++) {
        struct histogram *histogram = &reader->histograms[family->samples[i]];
        uint64_t count = histogram->count.integer + histogram->zero_count.integer;
        for (uint32_t bucket = 0; bucket < histogram->positive_bucket_count; bucket++)
            count += histogram->positive_buckets[bucket].integer;
        for (uint32_t bucket = 0; bucket < histogram->negative_bucket_count; bucket++)
            count += histogram->negative_buckets[bucket].integer;
        histogram->count.integer = count;
    }
}

static enum error_code read_family(struct histogram_reader *reader, uint32_t family,
                                   struct error *error)
{
    const struct histogram_family *which = &reader->layouts.families[family];
    enum error_code code = read_totals(reader, which, error);
    if (code != ERROR_NONE)
        return code;
    for (enum histogram_side side = 0; side < SIDES; side++) {
        struct column_walk walk = column_walk_begin(&reader->layouts, family, side);
        while (column_walk_next(&walk)) {
            uint64_t numbers[CHUNK_SAMPLES_MAX];
            code = read_numbers(reader, which->kind, numbers, which->sample_count, error);
            if (code != ERROR_NONE)
                return code;
            place_column(reader, &walk, numbers);
        }
    }
    if (which->kind == HISTOGRAM_INTEGER)
        complete_counts(reader, which);
    return ERROR_NONE;
}

/* --- Public functions --------------------------------------------------------------------- */

enum error_code histogram_codec_decode(const uint8_t *bytes, size_t size, size_t count,
                                       struct codec_scratch *scratch, struct arena *arena,
                                       struct histogram **histograms_out, struct error *error)
{
    assert(bytes != NULL || size == 0);
    assert(count >= 1 && count <= CHUNK_SAMPLES_MAX);

    struct histogram_reader reader = {
        .bytes = byte_reader_over(bytes, size),
        .scratch = scratch,
        .arena = arena,
        .count = count,
    };
    enum error_code code = read_layouts(&reader, error);
    if (code == ERROR_NONE)
        code = prepare_histograms(&reader, error);
    if (code == ERROR_NONE)
        code = read_resets(&reader, error);
    for (uint32_t i = 0; code == ERROR_NONE && i < reader.layouts.family_count; i++)
        code = read_family(&reader, i, error);
    if (code != ERROR_NONE)
        return code;
    if (byte_reader_left(&reader.bytes) != 0)
        return error_set(error, ERROR_CORRUPT, "histogram chunk: %zu bytes left",
                         byte_reader_left(&reader.bytes));
    *histograms_out = reader.histograms;
    return ERROR_NONE;
}
