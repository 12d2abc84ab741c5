/*
 * shard_check - what was read, sample by sample, against the model.
 */
#include "shard_check.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/shard.h"

bool checker_wrong(struct checker *checker, const char *what, unsigned series, int64_t time_ms)
{
    snprintf(checker->model->failure, sizeof checker->model->failure,
             "tenant %u, series %u at %lld: %s", checker->tenant, series, (long long)time_ms, what);
    return false;
}

bool checker_may_be_gone(const struct checker *checker, unsigned series,
                         const struct model_sample *sample)
{
    return sample->acknowledged == 0 || sample->maybe_deleted ||
           sample->time_ms < checker->model->cutoff_ms ||
           sample->time_ms < checker->model->series[series].cutoff_ms;
}

/* --- Values ---------------------------------------------------------------------------------- */

static bool same_bytes(const void *left, size_t left_count, const void *right, size_t right_count,
                       size_t element_bytes)
{
    return left_count == right_count &&
           (left_count == 0 || memcmp(left, right, left_count * element_bytes) == 0);
}

/* Field by field: the comparison of the program itself is not trusted here. */
static bool same_histogram(const struct histogram *left, const struct histogram *right)
{
    return left->kind == right->kind && left->reset == right->reset &&
           left->schema == right->schema && left->count.integer == right->count.integer &&
           left->zero_count.integer == right->zero_count.integer &&
           double_to_bits(left->sum) == double_to_bits(right->sum) &&
           double_to_bits(left->zero_threshold) == double_to_bits(right->zero_threshold) &&
           same_bytes(left->positive_spans, left->positive_span_count, right->positive_spans,
                      right->positive_span_count, sizeof *left->positive_spans) &&
           same_bytes(left->negative_spans, left->negative_span_count, right->negative_spans,
                      right->negative_span_count, sizeof *left->negative_spans) &&
           same_bytes(left->positive_buckets, left->positive_bucket_count, right->positive_buckets,
                      right->positive_bucket_count, sizeof *left->positive_buckets) &&
           same_bytes(left->negative_buckets, left->negative_bucket_count, right->negative_buckets,
                      right->negative_bucket_count, sizeof *left->negative_buckets) &&
           same_bytes(left->custom_bounds, left->custom_bound_count, right->custom_bounds,
                      right->custom_bound_count, sizeof *left->custom_bounds);
}

static bool is_variant(const struct checker *checker, unsigned series, unsigned variant,
                       const struct sample_columns *columns, size_t i)
{
    struct model_value value;
    model_value_make(series, columns->timestamps_ms[i], variant, &value);
    const struct histogram *histogram = columns->histograms == NULL ? NULL : columns->histograms[i];
    int64_t start_ms = columns->start_timestamps_ms == NULL ? 0 : columns->start_timestamps_ms[i];
    if (!checker->queried && start_ms != value.start_ms)
        return false;
    if (value.is_histogram)
        return histogram != NULL && same_histogram(histogram, &value.histogram);
    return histogram == NULL && double_to_bits(columns->values[i]) == double_to_bits(value.value);
}

/* Which variant was found; MODEL_VARIANTS when it is none. */
static unsigned variant_of(const struct checker *checker, unsigned series,
                           const struct sample_columns *columns, size_t i)
{
    unsigned variant = 0;
    while (variant < MODEL_VARIANTS && !is_variant(checker, series, variant, columns, i))
        variant++;
    return variant;
}

/* A query does not see a sample whose value is the stale marker, the lowest variant. */
static bool may_be_hidden(const struct checker *checker, unsigned series,
                          const struct model_sample *sample)
{
    struct model_value lowest;
    model_value_make(series, sample->time_ms, 0, &lowest);
    return checker->queried && lowest.is_stale && sample->acknowledged == 1;
}

/* --- Samples --------------------------------------------------------------------------------- */

static bool unknown_value(struct checker *checker, unsigned number,
                          const struct sample_columns *columns, size_t i)
{
    struct model_value lowest;
    model_value_make(number, columns->timestamps_ms[i], 0, &lowest);
    bool is_histogram = columns->histograms != NULL && columns->histograms[i] != NULL;
    double value = is_histogram ? columns->histograms[i]->sum : columns->values[i];
    char what[160];
    snprintf(what, sizeof what,
             "the value was never written: %s %016llx, start %lld (the lowest is %s %016llx, "
             "start %lld)",
             is_histogram ? "histogram" : "float", (unsigned long long)double_to_bits(value),
             columns->start_timestamps_ms == NULL ? 0LL
                                                  : (long long)columns->start_timestamps_ms[i],
             lowest.is_histogram ? "histogram" : "float",
             (unsigned long long)double_to_bits(lowest.is_histogram ? lowest.histogram.sum
                                                                    : lowest.value),
             (long long)lowest.start_ms);
    return checker_wrong(checker, what, number, columns->timestamps_ms[i]);
}

/* Sample i of the columns, which the model has for its time. */
static bool check_found(struct checker *checker, unsigned number, struct model_sample *sample,
                        const struct sample_columns *columns, size_t i)
{
    unsigned variant = variant_of(checker, number, columns, i);
    if (shard_model_is_past(checker->model, &checker->model->series[number], sample->time_ms))
        return checker_wrong(checker, "is past its retention", number, sample->time_ms);
    if (variant == MODEL_VARIANTS)
        return unknown_value(checker, number, columns, i);
    if (!(sample->offered >> variant & 1))
        return checker_wrong(checker, "the value was not written for this time", number,
                             sample->time_ms);
    /* What hid a lower value may be gone with its file, by the retention. */
    if (sample->acknowledged >> (variant + 1) != 0 && !checker_may_be_gone(checker, number, sample))
        return checker_wrong(checker, "a lower value than the acknowledged one", number,
                             sample->time_ms);
    if (checker->check == MODEL_CONFIRM) {
        uint8_t up_to = (uint8_t)((2u << variant) - 1);
        sample->offered &= up_to;
        sample->acknowledged = (uint8_t)((sample->acknowledged & up_to) | 1u << variant);
        sample->maybe_deleted = false;
    }
    return true;
}

static bool check_series(struct checker *checker, unsigned number,
                         const struct sample_columns *columns)
{
    struct model_series *series = &checker->model->series[number];
    size_t found = 0, kept = 0;
    for (size_t i = 0; i < series->count; i++) {
        struct model_sample *sample = &series->samples[i];
        if (found < columns->count && columns->timestamps_ms[found] < sample->time_ms)
            return checker_wrong(checker, "was never written, or was deleted", number,
                                 columns->timestamps_ms[found]);
        if (found < columns->count && columns->timestamps_ms[found] == sample->time_ms) {
            if (!check_found(checker, number, sample, columns, found))
                return false;
            found++;
        } else if (!checker_may_be_gone(checker, number, sample) &&
                   !may_be_hidden(checker, number, sample)) {
            return checker_wrong(checker, "is lost", number, sample->time_ms);
        } else if (checker->check == MODEL_CONFIRM) {
            checker->model->retired_by_rules +=
                sample->acknowledged != 0 &&
                shard_model_is_past(checker->model, series, sample->time_ms);
            checker->model->retired += sample->acknowledged != 0 && !sample->maybe_deleted;
            continue; /* it is gone and must not come back */
        }
        series->samples[kept++] = *sample;
    }
    if (found < columns->count)
        return checker_wrong(checker, "was never written, or was deleted", number,
                             columns->timestamps_ms[found]);
    series->count = kept;
    return true;
}

bool shard_model_check_queried(struct shard_model *model, unsigned number,
                               const struct sample_columns *columns)
{
    struct checker checker = {
        .model = model,
        .check = MODEL_CHECK,
        .tenant = model_tenant_of(number),
        .queried = true,
    };
    return check_series(&checker, number, columns);
}

static bool check_selected(struct checker *checker, struct series_set *set, struct arena *arena,
                           struct error *error)
{
    bool seen[MODEL_SERIES] = {false};
    struct series_reader *reader = NULL;
    if (series_reader_open(set, &reader, error) != ERROR_NONE)
        return false;
    bool right = true;
    for (size_t i = 0; right && i < set->count; i++) {
        unsigned number;
        struct sample_columns columns;
        struct labels labels;
        if (series_set_labels(set, i, 1, arena, &labels, error) != ERROR_NONE)
            right = false;
        else if (!shard_model_find_series(checker->model, checker->tenant, labels, &number) ||
                 seen[number])
            right = checker_wrong(checker, "unknown labels, or twice the same", (unsigned)i, 0);
        else if (series_reader_read(reader, i, &columns, error) != ERROR_NONE)
            right = false;
        else
            right = check_series(checker, number, &columns);
        if (right)
            seen[number] = true;
    }
    static const struct sample_columns NOTHING = {0};
    for (unsigned i = checker->tenant; right && i < MODEL_SERIES; i += MODEL_TENANTS)
        if (!seen[i])
            right = check_series(checker, i, &NOTHING);
    series_reader_close(reader);
    return right;
}

/* --- All of it ------------------------------------------------------------------------------- */

static bool check_tenant(struct checker *checker, struct shard *shard, struct error *error)
{
    struct arena *arena = arena_create(0);
    struct matcher *matcher = NULL;
    struct series_set *set = NULL;
    assert(arena != NULL);
    if (matcher_create(MATCHER_EQUAL, TEXT("job"), TEXT("simulation"), &matcher, error) !=
        ERROR_NONE)
        abort();
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {
        .tenant = model_tenant_name(checker->tenant),
        .matchers = matchers,
        .matcher_count = 1,
        .start_ms = INT64_MIN,
        .end_ms = INT64_MAX,
        .arena = arena,
    };
    bool right = series_source_select(shard_source(shard), &request, &set, error) == ERROR_NONE &&
                 check_selected(checker, set, arena, error) &&
                 checker_check_exemplars(checker, shard, &request, error) &&
                 checker_check_metadata(checker, shard);
    series_set_close(set);
    matcher_destroy(matcher);
    arena_destroy(arena);
    return right;
}

bool shard_model_check(struct shard_model *model, struct shard *shard, enum model_check check,
                       struct error *error_out)
{
    error_clear(error_out);
    for (unsigned tenant = 0; tenant < MODEL_TENANTS; tenant++) {
        struct checker checker = {.model = model, .check = check, .tenant = tenant};
        if (!check_tenant(&checker, shard, error_out))
            return false;
    }
    return true;
}
