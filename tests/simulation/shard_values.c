#include "shard_values.h"

#include <assert.h>
#include <float.h>
#include <string.h>

/* --- Names ----------------------------------------------------------------------------------- */

unsigned model_tenant_of(unsigned series)
{
    return series % MODEL_TENANTS;
}

struct text model_tenant_name(unsigned tenant)
{
    static const char *const NAMES[MODEL_TENANTS] = {"anonymous", "tenant-b", "a"};
    return text_of(NAMES[tenant]);
}

enum model_kind model_kind_of(unsigned series)
{
    return (enum model_kind)(series % MODEL_KINDS);
}

struct text model_metric_name(struct arena *arena, unsigned series)
{
    return arena_format(arena, "metric_%u", series / MODEL_TENANTS);
}

struct labels model_labels(struct arena *arena, size_t shard, unsigned series)
{
    struct label labels[] = {
        {LABEL_METRIC_NAME, model_metric_name(arena, series)},
        {TEXT("instance"), arena_format(arena, "host-%u", series / MODEL_TENANTS % 3)},
        {TEXT("job"), TEXT("simulation")},
        {TEXT("shard"), arena_format(arena, "%zu", shard)},
    };
    return labels_build(arena, labels, 4);
}

/* --- Values ---------------------------------------------------------------------------------- */

static uint64_t mix(unsigned series, int64_t time_ms)
{
    return ((uint64_t)time_ms + series) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Positive, so that a higher variant has the higher bits. */
static double plain_value(unsigned series, int64_t time_ms, unsigned variant)
{
    uint64_t mixed = mix(series, time_ms);
    double base = model_kind_of(series) == MODEL_NOISY ? 1 + (double)(mixed >> 20) / 1e6
                                                       : 1 + (double)(mixed >> 40) / 100;
    return base + variant * 0.25;
}

static double special_value(unsigned series, int64_t time_ms, unsigned variant)
{
    enum { CHOICES = 4 };
    /* Each row above the one before it. */
    static const uint64_t BITS[MODEL_VARIANTS][CHOICES] = {
        {STALE_MARKER_BITS, 0, 1, UINT64_C(0x000fffffffffffff)},
        {UINT64_C(0x7fefffffffffffff), UINT64_C(0x7ff0000000000000), NORMAL_NAN_BITS,
         UINT64_C(0x7ff0000000000001)},
        {UINT64_C(0x8000000000000000), UINT64_C(0xfff0000000000000), UINT64_C(0xfff8000012345678),
         UINT64_C(0xffffffffffffffff)},
    };
    return double_from_bits(BITS[variant][mix(series, time_ms) >> 61 & (CHOICES - 1)]);
}

/* What the target says when its count began; now and then nothing. */
static int64_t start_of(unsigned series, int64_t time_ms, unsigned variant)
{
    enum { HOUR_MS = 3600 * 1000 };
    enum model_kind kind = model_kind_of(series);
    uint64_t mixed = mix(series, time_ms);
    if (kind != MODEL_COUNTER && kind != MODEL_FLOAT_HISTOGRAM && kind != MODEL_MIXED)
        return 0;
    if (mixed >> 30 & 1)
        return (time_ms - 1) / HOUR_MS * HOUR_MS - series - variant;
    return mixed >> 31 & 1 ? 0 : time_ms - 1 - (int64_t)(mixed >> 44) - variant;
}

/* --- Histograms ------------------------------------------------------------------------------ */

static void set_number(enum histogram_kind kind, union histogram_number *number, uint64_t count)
{
    if (kind == HISTOGRAM_INTEGER)
        number->integer = count;
    else
        number->real = (double)count + 0.5;
}

/* Buckets [first, first + count) of the value, filled; adds them to the count of the histogram. */
static const union histogram_number *fill_buckets(struct model_value *value, unsigned first,
                                                  unsigned count, uint64_t mixed)
{
    struct histogram *histogram = &value->histogram;
    for (unsigned i = first; i < first + count; i++) {
        set_number(histogram->kind, &value->buckets[i], mixed >> (40 + 3 * i));
        if (histogram->kind == HISTOGRAM_INTEGER)
            histogram->count.integer += value->buckets[i].integer;
        else
            histogram->count.real += value->buckets[i].real;
    }
    return &value->buckets[first];
}

static void make_exponential(struct model_value *value, uint64_t mixed)
{
    struct histogram *histogram = &value->histogram;
    histogram->schema = (int32_t)(mixed >> 36 & 3) - 1;
    histogram->zero_threshold = 1e-100;
    value->spans[0] = (struct histogram_span){-2, 2};
    value->spans[1] = (struct histogram_span){3, 1};
    histogram->positive_spans = value->spans;
    histogram->positive_span_count = 2;
    histogram->positive_bucket_count = 3;
    histogram->positive_buckets = fill_buckets(value, 0, 3, mixed);
    if (mixed >> 35 & 1) {
        value->spans[2] = (struct histogram_span){1, 2};
        histogram->negative_spans = &value->spans[2];
        histogram->negative_span_count = 1;
        histogram->negative_bucket_count = 2;
        histogram->negative_buckets = fill_buckets(value, 3, 2, mixed);
    }
    set_number(histogram->kind, &histogram->zero_count, mixed >> 60);
    if (histogram->kind == HISTOGRAM_INTEGER)
        histogram->count.integer += histogram->zero_count.integer;
    else
        histogram->count.real += histogram->zero_count.real;
}

static void make_custom(struct model_value *value, uint64_t mixed)
{
    struct histogram *histogram = &value->histogram;
    histogram->schema = HISTOGRAM_SCHEMA_CUSTOM;
    uint32_t bounds = 2 + (mixed >> 33 & 1);
    for (uint32_t i = 0; i < bounds; i++)
        value->bounds[i] = 0.25 * (i + 1);
    histogram->custom_bounds = value->bounds;
    histogram->custom_bound_count = bounds;
    value->spans[0] = (struct histogram_span){0, bounds + 1};
    histogram->positive_spans = value->spans;
    histogram->positive_span_count = 1;
    histogram->positive_bucket_count = bounds + 1;
    histogram->positive_buckets = fill_buckets(value, 0, bounds + 1, mixed);
}

/* Only the sum differs between variants, which decides first. */
static void make_histogram(unsigned series, int64_t time_ms, unsigned variant,
                           struct model_value *value)
{
    enum model_kind kind = model_kind_of(series);
    uint64_t mixed = mix(series, time_ms);
    struct histogram *histogram = &value->histogram;
    value->is_histogram = true;
    bool is_real =
        kind == MODEL_FLOAT_HISTOGRAM || (kind == MODEL_CUSTOM_HISTOGRAM && (mixed >> 34 & 1) != 0);
    histogram->kind = is_real ? HISTOGRAM_FLOAT : HISTOGRAM_INTEGER;
    if (variant == 0 && (mixed >> 57 & 15) == 0) {
        histogram->sum = double_from_bits(STALE_MARKER_BITS);
        value->is_stale = true;
        return;
    }
    histogram->sum = plain_value(series, time_ms, variant);
    histogram->reset = (enum histogram_reset)(mixed >> 38 & 3);
    if (kind == MODEL_CUSTOM_HISTOGRAM)
        make_custom(value, mixed);
    else
        make_exponential(value, mixed);
    struct error error;
    enum error_code code = histogram_validate(histogram, &error);
    assert(code == ERROR_NONE);
    (void)code;
}

static bool is_histogram(unsigned series, int64_t time_ms, unsigned variant)
{
    uint64_t third = mix(series, time_ms) % 3;
    switch (model_kind_of(series)) {
    case MODEL_INTEGER_HISTOGRAM:
    case MODEL_FLOAT_HISTOGRAM:
    case MODEL_CUSTOM_HISTOGRAM:
        return true;
    case MODEL_MIXED:
        return third == 0 || (third == 1 && variant == MODEL_VARIANTS - 1);
    default:
        return false;
    }
}

void model_value_make(unsigned series, int64_t time_ms, unsigned variant,
                      struct model_value *value_out)
{
    assert(variant < MODEL_VARIANTS);
    memset(value_out, 0, sizeof *value_out);
    value_out->start_ms = start_of(series, time_ms, variant);
    if (is_histogram(series, time_ms, variant)) {
        make_histogram(series, time_ms, variant, value_out);
        return;
    }
    value_out->value = model_kind_of(series) == MODEL_SPECIAL
                           ? special_value(series, time_ms, variant)
                           : plain_value(series, time_ms, variant);
    value_out->is_stale = double_to_bits(value_out->value) == STALE_MARKER_BITS;
}

/* --- Beside the samples ---------------------------------------------------------------------- */

double model_exemplar_value(unsigned series, int64_t time_ms)
{
    return plain_value(series, time_ms, 0);
}

struct labels model_exemplar_labels(struct arena *arena, unsigned series, int64_t time_ms)
{
    struct label trace = {TEXT("trace_id"),
                          arena_format(arena, "%u-%lld", series, (long long)time_ms)};
    return labels_build(arena, &trace, time_ms % 5 == 0 ? 0 : 1);
}

struct metric_metadata model_metadata(struct arena *arena, unsigned metric, uint32_t version)
{
    return (struct metric_metadata){
        .type = (enum metric_type)((metric + version) % METRIC_TYPES),
        .help = arena_format(arena, "version %u", version),
        .unit = version % 2 == 0 ? TEXT("") : TEXT("seconds"),
    };
}
