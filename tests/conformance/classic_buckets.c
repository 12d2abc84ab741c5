#include <math.h>
#include <stdlib.h>

#include "cases.h"

/*
 * load_with_nhcb: what a scrape with convert_classic_histograms_to_nhcb would store beside the
 * classic series.
 */
struct classic_part {
    double upper_bound; /* of a bucket */
    double value;
};

struct classic_histogram {
    int64_t timestamp_ms;
    struct labels labels; /* without le and suffix */
    struct classic_part *buckets;
    size_t bucket_count;
    double count;
    double sum;
    bool has_count;
    bool has_sum;
};

struct conversion {
    struct arena *arena;
    struct classic_histogram *histograms;
    size_t count;
    size_t capacity;
};

static struct classic_histogram *histogram_of(struct conversion *conversion, struct labels labels,
                                              int64_t timestamp_ms)
{
    for (size_t i = conversion->count; i > 0; i--) {
        struct classic_histogram *histogram = &conversion->histograms[i - 1];
        if (histogram->timestamp_ms == timestamp_ms && labels_equal(histogram->labels, labels))
            return histogram;
    }
    if (conversion->count == conversion->capacity) {
        size_t capacity = conversion->capacity == 0 ? 64 : conversion->capacity * 2;
        conversion->histograms =
            arena_grow(conversion->arena, conversion->histograms, conversion->capacity, capacity,
                       sizeof *conversion->histograms);
        conversion->capacity = capacity;
    }
    struct classic_histogram *histogram = &conversion->histograms[conversion->count++];
    *histogram = (struct classic_histogram){.timestamp_ms = timestamp_ms, .labels = labels};
    return histogram;
}

static void bucket_add(struct conversion *conversion, struct classic_histogram *histogram,
                       double upper_bound, double value)
{
    for (size_t i = 0; i < histogram->bucket_count; i++)
        if (histogram->buckets[i].upper_bound == upper_bound)
            return; /* written differently: the first one counts */
    histogram->buckets = arena_grow(conversion->arena, histogram->buckets, histogram->bucket_count,
                                    histogram->bucket_count + 1, sizeof *histogram->buckets);
    size_t position = histogram->bucket_count++;
    while (position > 0 && histogram->buckets[position - 1].upper_bound > upper_bound) {
        histogram->buckets[position] = histogram->buckets[position - 1];
        position--;
    }
    histogram->buckets[position] = (struct classic_part){upper_bound, value};
}

enum classic_suffix { SUFFIX_BUCKET, SUFFIX_COUNT, SUFFIX_SUM, SUFFIX_NONE };

static enum classic_suffix suffix_of(struct text *name)
{
    static const char *const SUFFIXES[] = {"_bucket", "_count", "_sum"};
    for (size_t i = 0; i < SUFFIX_NONE; i++) {
        struct text suffix = text_of(SUFFIXES[i]);
        if (name->size > suffix.size && text_ends_with(*name, suffix)) {
            name->size -= suffix.size;
            return (enum classic_suffix)i;
        }
    }
    return SUFFIX_NONE;
}

/* The labels of the histogram that a series is part of. */
static struct labels base_labels(struct arena *arena, struct labels labels, struct text name)
{
    struct label *array = arena_array(arena, labels_count(labels), sizeof *array);
    size_t count = 0;
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        if (text_equal(label.name, TEXT("le")))
            continue;
        if (text_equal(label.name, LABEL_METRIC_NAME))
            label.value = name;
        array[count++] = label;
    }
    return labels_build(arena, array, count);
}

static void series_take(struct conversion *conversion, struct series_memory *memory, size_t index)
{
    struct labels labels = series_memory_labels(memory, index);
    struct text name = labels_get(labels, LABEL_METRIC_NAME);
    enum classic_suffix suffix = suffix_of(&name);
    struct text bound_text = labels_get(labels, TEXT("le"));
    double upper_bound;
    if (suffix == SUFFIX_NONE ||
        (suffix == SUFFIX_BUCKET && !text_to_double(bound_text, &upper_bound)))
        return;
    struct sample_columns columns = series_memory_columns(memory, index);
    struct labels base = base_labels(conversion->arena, labels, name);
    for (size_t i = 0; i < columns.count; i++) {
        if (columns.histograms != NULL && columns.histograms[i] != NULL)
            continue;
        struct classic_histogram *histogram =
            histogram_of(conversion, base, columns.timestamps_ms[i]);
        if (suffix == SUFFIX_BUCKET) {
            bucket_add(conversion, histogram, upper_bound, columns.values[i]);
        } else if (suffix == SUFFIX_COUNT) {
            histogram->count = columns.values[i];
            histogram->has_count = true;
        } else {
            histogram->sum = columns.values[i];
            histogram->has_sum = true;
        }
    }
}

static void histogram_store(struct series_memory *memory, const struct classic_histogram *classic,
                            struct arena *arena)
{
    size_t count = classic->bucket_count;
    if (count == 0)
        return;
    double total = classic->has_count ? classic->count : classic->buckets[count - 1].value;
    bool has_infinity = isinf(classic->buckets[count - 1].upper_bound);
    size_t bound_count = has_infinity ? count - 1 : count;
    double *bounds = arena_array(arena, bound_count, sizeof *bounds);
    union histogram_number *buckets = arena_array(arena, bound_count + 1, sizeof *buckets);
    double previous = 0;
    for (size_t i = 0; i <= bound_count; i++) {
        double cumulative = i < bound_count || has_infinity ? classic->buckets[i].value : total;
        if (i == bound_count && classic->has_count)
            cumulative = total;
        if (cumulative < previous || isnan(cumulative) || isnan(previous))
            return; /* not a histogram */
        if (i < bound_count)
            bounds[i] = classic->buckets[i].upper_bound;
        buckets[i].real = cumulative - previous;
        previous = cumulative;
    }
    struct histogram_span span = {0, (uint32_t)bound_count + 1};
    struct histogram histogram = {
        .kind = HISTOGRAM_FLOAT,
        .schema = HISTOGRAM_SCHEMA_CUSTOM,
        .count.real = total,
        .sum = classic->sum,
        .positive_span_count = 1,
        .positive_bucket_count = (uint32_t)bound_count + 1,
        .positive_spans = &span,
        .positive_buckets = buckets,
        .custom_bound_count = (uint32_t)bound_count,
        .custom_bounds = bounds,
    };
    series_memory_add(memory, classic->labels,
                      (struct memory_sample){classic->timestamp_ms, 0, &histogram, 0});
}

void classic_buckets_convert(struct series_memory *memory, struct arena *arena)
{
    struct conversion conversion = {.arena = arena};
    size_t count = series_memory_count(memory);
    for (size_t i = 0; i < count; i++)
        series_take(&conversion, memory, i);
    for (size_t i = 0; i < conversion.count; i++)
        histogram_store(memory, &conversion.histograms[i], arena);
}
