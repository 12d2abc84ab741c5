#include "shard_ids.h"

#include <stdio.h>

#include "shard/shard.h"

static bool wrong(struct shard_model *model, const char *what, unsigned number, uint64_t id)
{
    snprintf(model->failure, sizeof model->failure, "series %u: id %llu behind %llu: %s", number,
             (unsigned long long)id, (unsigned long long)model->series[number].last_id, what);
    return false;
}

bool model_learn_id(struct shard_model *model, unsigned number, uint64_t id)
{
    struct model_series *series = &model->series[number];
    if (id < series->last_id)
        return wrong(model, "an older id", number, id);
    if (id == series->last_id && series->was_forgotten)
        return wrong(model, "an id that was dead", number, id);
    for (unsigned i = 0; i < MODEL_SERIES; i++)
        if (i != number && model->series[i].last_id == id)
            return wrong(model, "the id of another series", number, id);
    series->known_id = series->last_id = id;
    series->was_forgotten = false;
    return true;
}

bool model_learn_death(struct shard_model *model, unsigned number, uint64_t id)
{
    struct model_series *series = &model->series[number];
    if (id > series->last_id)
        return wrong(model, "an id that the series never had is dead", number, id);
    if (id == series->last_id) {
        series->known_id = SHARD_ID_UNKNOWN;
        series->was_forgotten = true;
    }
    return true;
}

void model_doubt_deaths(struct shard_model *model)
{
    for (unsigned i = 0; i < MODEL_SERIES; i++)
        model->series[i].was_forgotten = false;
}

bool model_check_ids(struct shard_model *model, struct shard *shard)
{
    uint64_t written = 0, alive = shard_series_count(shard);
    for (unsigned i = 0; i < MODEL_SERIES; i++)
        written += model->series[i].was_written;
    if (alive <= written)
        return true;
    snprintf(model->failure, sizeof model->failure, "%llu series are alive, %llu were written",
             (unsigned long long)alive, (unsigned long long)written);
    return false;
}
