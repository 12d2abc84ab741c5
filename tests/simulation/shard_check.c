#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "shard/shard.h"
#include "shard_model.h"

struct checker {
    struct shard_model *model;
    enum model_check check;
    bool seen[MODEL_SERIES];
};

static bool wrong(struct checker *checker, const char *what, unsigned series, int64_t time_ms)
{
    snprintf(checker->model->failure, sizeof checker->model->failure, "series %u at %lld: %s",
             series, (long long)time_ms, what);
    return false;
}

/* Which variant was found; MODEL_VARIANTS when it is none. */
static unsigned variant_of(unsigned series, const struct sample_columns *columns, size_t i)
{
    int64_t time_ms = columns->timestamps_ms[i];
    const struct histogram *histogram = columns->histograms == NULL ? NULL : columns->histograms[i];
    if (model_is_histogram(series))
        return histogram != NULL && histogram_equal(histogram, model_histogram(series, time_ms))
                   ? 0
                   : MODEL_VARIANTS;
    if (histogram != NULL)
        return MODEL_VARIANTS;
    unsigned variant = 0;
    while (variant < MODEL_VARIANTS && double_to_bits(model_value(series, time_ms, variant)) !=
                                           double_to_bits(columns->values[i]))
        variant++;
    return variant;
}

static bool may_be_gone(const struct checker *checker, const struct model_sample *sample)
{
    return sample->acknowledged == 0 || sample->maybe_deleted ||
           sample->time_ms < checker->model->cutoff_ms;
}

/* A sample that was found, as the model has it. */
static bool check_found(struct checker *checker, unsigned number, struct model_sample *sample,
                        unsigned variant)
{
    if (variant == MODEL_VARIANTS)
        return wrong(checker, "the value was never written", number, sample->time_ms);
    if (!(sample->offered >> variant & 1))
        return wrong(checker, "the value was not written for this time", number, sample->time_ms);
    /* What hid a lower value may be gone with its file, by the retention. */
    if (sample->acknowledged >> (variant + 1) != 0 && !may_be_gone(checker, sample))
        return wrong(checker, "a lower value than the acknowledged one", number, sample->time_ms);
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
            return wrong(checker, "was never written, or was deleted", number,
                         columns->timestamps_ms[found]);
        if (found < columns->count && columns->timestamps_ms[found] == sample->time_ms) {
            if (!check_found(checker, number, sample, variant_of(number, columns, found)))
                return false;
            found++;
        } else if (!may_be_gone(checker, sample)) {
            return wrong(checker, "is lost", number, sample->time_ms);
        } else if (checker->check == MODEL_CONFIRM) {
            checker->model->retired += sample->acknowledged != 0 && !sample->maybe_deleted;
            continue; /* it is gone and must not come back */
        }
        series->samples[kept++] = *sample;
    }
    if (found < columns->count)
        return wrong(checker, "was never written, or was deleted", number,
                     columns->timestamps_ms[found]);
    series->count = kept;
    return true;
}

bool shard_model_series_number(struct labels labels, unsigned *number_out)
{
    struct text name = labels_get(labels, LABEL_METRIC_NAME);
    char copy[32];
    snprintf(copy, sizeof copy, "%.*s", (int)name.size, name.data);
    return sscanf(copy, "metric_%u", number_out) == 1 && *number_out < MODEL_SERIES;
}

static bool check_samples(struct checker *checker, struct series_set *set, struct error *error)
{
    struct series_reader *reader = NULL;
    if (series_reader_open(set, &reader, error) != ERROR_NONE)
        return false;
    bool right = true;
    for (size_t i = 0; right && i < set->count; i++) {
        unsigned number;
        struct sample_columns columns;
        if (!shard_model_series_number(series_set_labels(set, i), &number) || checker->seen[number])
            right = wrong(checker, "unknown labels, or twice the same", (unsigned)i, 0);
        else if (series_reader_read(reader, i, &columns, error) != ERROR_NONE)
            right = false;
        else
            right = check_series(checker, number, &columns);
        if (right)
            checker->seen[number] = true;
    }
    static const struct sample_columns NOTHING = {0};
    for (unsigned i = 0; right && i < MODEL_SERIES; i++)
        if (!checker->seen[i])
            right = check_series(checker, i, &NOTHING);
    series_reader_close(reader);
    return right;
}

bool shard_model_check_series(struct shard_model *model, unsigned number,
                              const struct sample_columns *columns)
{
    struct checker checker = {.model = model, .check = MODEL_CHECK};
    return check_series(&checker, number, columns);
}

static bool check_exemplars_of(struct checker *checker, unsigned number,
                               const struct series_exemplars *found)
{
    struct model_series *series = &checker->model->series[number];
    size_t at = 0, kept = 0, count = found == NULL ? 0 : found->count;
    for (size_t i = 0; i < series->exemplar_count; i++) {
        struct model_sample *exemplar = &series->exemplars[i];
        bool is_there = at < count && found->exemplars[at].timestamp_ms == exemplar->time_ms;
        if (is_there && double_to_bits(found->exemplars[at].value) !=
                            double_to_bits(model_value(number, exemplar->time_ms, 0)))
            return wrong(checker, "exemplar altered", number, exemplar->time_ms);
        if (!is_there && !may_be_gone(checker, exemplar))
            return wrong(checker, "exemplar lost", number, exemplar->time_ms);
        at += is_there;
        if (!is_there && checker->check == MODEL_CONFIRM)
            continue;
        if (checker->check == MODEL_CONFIRM)
            exemplar->acknowledged = 1;
        series->exemplars[kept++] = *exemplar;
    }
    series->exemplar_count = kept;
    return at == count || wrong(checker, "exemplar never written", number, 0);
}

static bool check_exemplars(struct checker *checker, struct shard *shard,
                            const struct series_request *request, struct error *error)
{
    struct series_exemplars *found;
    size_t count;
    const struct series_exemplars *by_number[MODEL_SERIES] = {0};
    if (series_source_exemplars(shard_source(shard), request, &found, &count, error) != ERROR_NONE)
        return false;
    for (size_t i = 0; i < count; i++) {
        unsigned number;
        if (!shard_model_series_number(found[i].labels, &number))
            return wrong(checker, "exemplars of unknown labels", 0, 0);
        by_number[number] = &found[i];
    }
    for (unsigned i = 0; i < MODEL_SERIES; i++)
        if (!check_exemplars_of(checker, i, by_number[i]))
            return false;
    return true;
}

struct metadata_versions {
    uint32_t found[MODEL_METRICS];
};

static bool note_version(void *context, struct text metric_name,
                         const struct metric_metadata *metadata)
{
    struct metadata_versions *versions = context;
    char name[32], help[32];
    unsigned metric, version;
    snprintf(name, sizeof name, "%.*s", (int)metric_name.size, metric_name.data);
    snprintf(help, sizeof help, "%.*s", (int)metadata->help.size, metadata->help.data);
    if (sscanf(name, "metric_%u", &metric) == 1 && metric < MODEL_METRICS &&
        sscanf(help, "version %u", &version) == 1)
        versions->found[metric] = version;
    return true;
}

static bool check_metadata(struct checker *checker, struct shard *shard)
{
    struct metadata_versions versions = {0};
    struct shard_model *model = checker->model;
    shard_visit_metadata(shard, TEXT("anonymous"), note_version, &versions);
    for (unsigned i = 0; i < MODEL_METRICS; i++) {
        if (versions.found[i] < model->metadata_acknowledged[i] ||
            versions.found[i] > model->metadata_offered[i])
            return wrong(checker, "metadata lost or altered", i, versions.found[i]);
        if (checker->check == MODEL_CONFIRM)
            model->metadata_acknowledged[i] = versions.found[i];
    }
    return true;
}

bool shard_model_check(struct shard_model *model, struct shard *shard, enum model_check check,
                       struct error *error_out)
{
    struct checker checker = {.model = model, .check = check};
    struct arena *arena = arena_create(0);
    struct matcher *matcher = NULL;
    struct series_set *set = NULL;
    error_clear(error_out);
    assert(arena != NULL);
    if (matcher_create(MATCHER_EQUAL, TEXT("job"), TEXT("simulation"), &matcher, error_out) !=
        ERROR_NONE)
        abort();
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {
        .tenant = TEXT("anonymous"),
        .matchers = matchers,
        .matcher_count = 1,
        .start_ms = INT64_MIN,
        .end_ms = INT64_MAX,
        .arena = arena,
    };
    bool right = series_source_select(shard_source(shard), &request, &set, error_out) == ERROR_NONE;
    right = right && check_samples(&checker, set, error_out);
    right = right && check_exemplars(&checker, shard, &request, error_out);
    right = right && check_metadata(&checker, shard);
    series_set_close(set);
    matcher_destroy(matcher);
    arena_destroy(arena);
    return right;
}

/* --- Ids ------------------------------------------------------------------------------------- */

static bool wrong_id(struct shard_model *model, const char *what, unsigned number, uint64_t id)
{
    snprintf(model->failure, sizeof model->failure, "series %u: id %llu behind %llu: %s", number,
             (unsigned long long)id, (unsigned long long)model->series[number].last_id, what);
    return false;
}

bool model_learn_id(struct shard_model *model, unsigned number, uint64_t id)
{
    struct model_series *series = &model->series[number];
    if (id < series->last_id)
        return wrong_id(model, "an older id", number, id);
    if (id == series->last_id && series->was_forgotten)
        return wrong_id(model, "an id that was dead", number, id);
    for (unsigned i = 0; i < MODEL_SERIES; i++)
        if (i != number && model->series[i].last_id == id)
            return wrong_id(model, "the id of another series", number, id);
    series->known_id = series->last_id = id;
    series->was_forgotten = false;
    return true;
}

bool model_learn_death(struct shard_model *model, unsigned number, uint64_t id)
{
    struct model_series *series = &model->series[number];
    if (id > series->last_id)
        return wrong_id(model, "an id that the series never had is dead", number, id);
    if (id == series->last_id) {
        series->known_id = SHARD_ID_UNKNOWN;
        series->was_forgotten = true;
    }
    return true;
}

bool shard_model_check_count(struct shard_model *model, struct shard *shard)
{
    uint64_t offered = 0, alive = shard_series_count(shard);
    for (unsigned i = 0; i < MODEL_SERIES; i++)
        offered += model->series[i].offered;
    if (alive <= offered)
        return true;
    snprintf(model->failure, sizeof model->failure, "%llu series are alive, %llu were written",
             (unsigned long long)alive, (unsigned long long)offered);
    return false;
}
