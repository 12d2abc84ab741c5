/* Whose each slot is. Shards are only ever split, and a child has a higher id than its parent. */
#include <stdlib.h>

#include "revival/revival.h"

static const uint32_t NOBODY = REVIVAL_SHARD_NONE;

static enum error_code make_room(struct revival_survey *survey, size_t shard_count,
                                 struct error *error)
{
    if (shard_count <= survey->shard_count)
        return ERROR_NONE;
    struct revival_shard *shards = realloc(survey->shards, shard_count * sizeof *shards);
    if (shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "shards of a bucket");
    for (size_t i = survey->shard_count; i < shard_count; i++)
        shards[i] = (struct revival_shard){0};
    survey->shards = shards;
    survey->shard_count = shard_count;
    return ERROR_NONE;
}

/* Neither split nor split off, when its list was put. */
static bool is_whole(const struct revival_shard *shard)
{
    return shard->has_list && slot_set_count(&shard->list.slots) == SLOT_COUNT;
}

/* --- Slots ------------------------------------------------------------------------------------ */

static void divide_evenly(struct revival_survey *survey, uint32_t founding_shards)
{
    struct slot_map even;
    slot_map_init(&even, founding_shards);
    for (size_t slot = 0; slot < SLOT_COUNT; slot++)
        survey->shard_of[slot] = even.shards[slot];
}

static void divide_by_meta(struct revival_survey *survey)
{
    for (size_t slot = 0; slot < SLOT_COUNT; slot++)
        survey->shard_of[slot] = survey->meta.slots.shards[slot];
}

/* Shards from `first` on were split off behind what is known: theirs is what their lists have. */
static enum error_code take_children(struct revival_survey *survey, uint32_t first,
                                     struct error *error)
{
    for (uint32_t i = first; i < survey->shard_count; i++) {
        const struct revival_shard *shard = &survey->shards[i];
        if (is_whole(shard))
            return error_set(error, ERROR_INVALID,
                             "shard %u was founded with the cluster, which had more than %u "
                             "shards: set cluster.shards as it was",
                             i, first);
        for (uint32_t slot = 0; shard->has_list && slot < SLOT_COUNT; slot++)
            if (slot_set_has(&shard->list.slots, (uint16_t)slot))
                survey->shard_of[slot] = i;
    }
    return ERROR_NONE;
}

static enum error_code divide_slots(struct revival_survey *survey, uint32_t founding_shards,
                                    struct error *error)
{
    uint32_t known = survey->has_meta ? survey->meta.slots.shard_count : founding_shards;
    enum error_code code = make_room(survey, known, error);
    if (code != ERROR_NONE)
        return code;
    if (survey->has_meta)
        divide_by_meta(survey);
    else
        divide_evenly(survey, founding_shards);
    code = take_children(survey, known, error);
    for (size_t i = 0; i < survey->shard_count; i++)
        survey->shards[i].owned = (struct slot_set){0};
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        slot_set_add(&survey->shards[survey->shard_of[slot]].owned, slot, 1);
    for (size_t i = 0; code == ERROR_NONE && i < survey->shard_count; i++)
        if (slot_set_count(&survey->shards[i].owned) == 0)
            code = error_set(error, ERROR_INVALID,
                             "shard %zu would have no slots: objects are missing in the bucket", i);
    return code;
}

/* --- Lists ------------------------------------------------------------------------------------ */

static enum error_code add_heir(struct revival_shard *parent, uint32_t heir, struct error *error)
{
    for (size_t i = 0; i < parent->list.heir_count; i++)
        if (parent->list.heirs[i] == heir)
            return ERROR_NONE;
    uint32_t *heirs = realloc(parent->heirs, (parent->heir_count + 1) * sizeof *heirs);
    if (heirs == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "heirs of a shard");
    parent->heirs = heirs;
    heirs[parent->heir_count++] = heir;
    return ERROR_NONE;
}

/* The nearest shard above it that has a list, if that is of before the split. */
static uint32_t find_source(const struct revival_survey *survey, uint32_t shard)
{
    const struct revival_shard *child = &survey->shards[shard];
    uint32_t at = shard;
    while (!survey->shards[at].has_list) {
        if (!survey->has_meta || at >= survey->meta.slots.shard_count ||
            survey->meta.parents[at] == BUCKET_META_NO_PARENT)
            return NOBODY;
        at = survey->meta.parents[at];
    }
    bool has_slots =
        at == shard || slot_set_is_within(&child->owned, &survey->shards[at].list.slots);
    return has_slots ? at : NOBODY;
}

/* A shard of a cluster where none was ever split has all slots in its state, and looks at none. */
static void own_all(struct revival_survey *survey)
{
    for (size_t i = 0; i < survey->shard_count; i++) {
        const struct revival_shard *shard = &survey->shards[i];
        if (shard->has_list ? !is_whole(shard) || shard->list.heir_count > 0
                            : shard->source != NOBODY)
            return;
    }
    for (size_t i = 0; i < survey->shard_count; i++)
        slot_set_fill(&survey->shards[i].owned);
}

enum error_code revival_divide(struct revival_survey *survey, uint32_t founding_shards,
                               struct error *error)
{
    enum error_code code = divide_slots(survey, founding_shards, error);
    for (uint32_t i = 0; code == ERROR_NONE && i < survey->shard_count; i++) {
        struct revival_shard *shard = &survey->shards[i];
        shard->source = find_source(survey, i);
        if (shard->source != i && shard->source != NOBODY)
            code = add_heir(&survey->shards[shard->source], i, error);
    }
    if (code == ERROR_NONE)
        own_all(survey);
    return code;
}
