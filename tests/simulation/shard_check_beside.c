#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "shard/shard.h"
#include "shard_check.h"

/* --- Exemplars ------------------------------------------------------------------------------- */

static bool same_exemplar(unsigned number, const struct exemplar *found)
{
    struct arena *arena = arena_create(0);
    assert(arena != NULL);
    bool same =
        double_to_bits(found->value) ==
            double_to_bits(model_exemplar_value(number, found->timestamp_ms)) &&
        labels_equal(found->labels, model_exemplar_labels(arena, number, found->timestamp_ms));
    arena_destroy(arena);
    return same;
}

static bool check_series(struct checker *checker, unsigned number,
                         const struct series_exemplars *found)
{
    struct model_series *series = &checker->model->series[number];
    size_t at = 0, kept = 0, count = found == NULL ? 0 : found->count;
    for (size_t i = 0; i < series->exemplar_count; i++) {
        struct model_sample *exemplar = &series->exemplars[i];
        bool is_there = at < count && found->exemplars[at].timestamp_ms == exemplar->time_ms;
        if (is_there && !same_exemplar(number, &found->exemplars[at]))
            return checker_wrong(checker, "exemplar altered", number, exemplar->time_ms);
        if (is_there && shard_model_is_past(checker->model, series, exemplar->time_ms))
            return checker_wrong(checker, "exemplar past its retention", number, exemplar->time_ms);
        if (!is_there && !checker_may_be_gone(checker, number, exemplar))
            return checker_wrong(checker, "exemplar lost", number, exemplar->time_ms);
        at += is_there;
        if (!is_there && checker->check == MODEL_CONFIRM)
            continue;
        if (checker->check == MODEL_CONFIRM)
            exemplar->acknowledged = 1;
        series->exemplars[kept++] = *exemplar;
    }
    series->exemplar_count = kept;
    return at == count || checker_wrong(checker, "exemplar never written", number, 0);
}

bool checker_check_exemplars(struct checker *checker, struct shard *shard,
                             const struct series_request *request, struct error *error)
{
    struct series_exemplars *found;
    size_t count;
    const struct series_exemplars *by_number[MODEL_SERIES] = {0};
    if (series_source_exemplars(shard_source(shard), request, &found, &count, error) != ERROR_NONE)
        return false;
    for (size_t i = 0; i < count; i++) {
        unsigned number;
        if (!shard_model_find_series(checker->model, checker->tenant, found[i].labels, &number) ||
            by_number[number] != NULL)
            return checker_wrong(checker, "exemplars of unknown labels, or twice the same", 0, 0);
        by_number[number] = &found[i];
    }
    for (unsigned i = checker->tenant; i < MODEL_SERIES; i += MODEL_TENANTS)
        if (!check_series(checker, i, by_number[i]))
            return false;
    return true;
}

/* --- Metadata -------------------------------------------------------------------------------- */

struct metadata_found {
    struct arena *arena;
    uint32_t versions[MODEL_METRICS];
    bool is_strange;
};

static bool note_version(void *context, struct text metric_name,
                         const struct metric_metadata *metadata)
{
    struct metadata_found *found = context;
    char name[32], help[32];
    unsigned metric, version;
    snprintf(name, sizeof name, "%.*s", (int)metric_name.size, metric_name.data);
    snprintf(help, sizeof help, "%.*s", (int)metadata->help.size, metadata->help.data);
    if (sscanf(name, "metric_%u", &metric) != 1 || metric >= MODEL_METRICS ||
        sscanf(help, "version %u", &version) != 1 || found->versions[metric] != 0) {
        found->is_strange = true;
        return false;
    }
    struct metric_metadata expected = model_metadata(found->arena, metric, version);
    found->is_strange |= !text_equal(metadata->help, expected.help) ||
                         !text_equal(metadata->unit, expected.unit) ||
                         metadata->type != expected.type;
    found->versions[metric] = version;
    return true;
}

/* A metric may be gone, once for each that was forgotten by an entry; a replay counts them again,
 * so this allows rather too many. */
static bool may_be_forgotten(struct checker *checker, struct shard *shard,
                             struct model_metric *metric)
{
    struct shard_model *model = checker->model;
    struct shard_statistics statistics;
    shard_read_statistics(shard, &statistics);
    if (model->metadata_missed >= model->metadata_forgotten + statistics.metadata_forgotten)
        return false;
    model->metadata_missed++;
    metric->acknowledged = 0;
    return true;
}

bool checker_check_metadata(struct checker *checker, struct shard *shard)
{
    struct metadata_found found = {.arena = arena_create(0)};
    assert(found.arena != NULL);
    shard_visit_metadata(shard, model_tenant_name(checker->tenant), note_version, &found);
    arena_destroy(found.arena);
    if (found.is_strange)
        return checker_wrong(checker, "metadata altered, or of no metric", 0, 0);
    for (unsigned i = 0; i < MODEL_METRICS; i++) {
        struct model_metric *metric = &checker->model->metrics[checker->tenant][i];
        if (found.versions[i] == 0 && metric->acknowledged > 0 &&
            may_be_forgotten(checker, shard, metric))
            continue;
        if (found.versions[i] < metric->acknowledged || found.versions[i] > metric->offered)
            return checker_wrong(checker, "metadata lost or altered", i, found.versions[i]);
        if (checker->check == MODEL_CONFIRM)
            metric->acknowledged = found.versions[i];
    }
    return true;
}
