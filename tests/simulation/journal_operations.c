#include <assert.h>
#include <stdlib.h>

#include "journal_run.h"

static void on_acknowledged(struct journal_request *request)
{
    struct model_operation *operation = (struct model_operation *)request;
    operation->group->acknowledged++;
}
static struct model_group *group_choose(struct run *run)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < GROUPS; i++)
        sum += run->groups[i].weight;
    uint32_t chosen = below(run, sum);
    for (size_t i = 0;; i++) {
        if (chosen < run->groups[i].weight)
            return &run->groups[i];
        chosen -= run->groups[i].weight;
    }
}

static uint32_t payload_size(struct run *run)
{
    uint32_t dice = below(run, 100);
    return dice < 60   ? below(run, 200)
           : dice < 90 ? below(run, 5000)
           : dice < 99 ? below(run, 30000)
                       : below(run, 300000);
}

static enum model_kind kind_choose(struct run *run, const struct model_state *state)
{
    uint32_t dice = below(run, 1000);
    bool has_entries = state->exists && state->next_index > state->first_index;
    if (dice < 660 || !has_entries)
        return dice % 10 == 0 ? MODEL_METADATA : MODEL_APPEND;
    return dice < 720   ? MODEL_TRUNCATE
           : dice < 780 ? MODEL_METADATA
           : dice < 900 ? MODEL_LOW_WATER
           : dice < 985 ? MODEL_SNAPSHOT
           : dice < 992 ? MODEL_INSTALL
                        : MODEL_DELETE;
}

/* An index of an entry that is there. */
static uint64_t index_choose(struct run *run, const struct model_state *state)
{
    return state->first_index + below(run, (uint32_t)(state->next_index - state->first_index));
}

static void operation_fill(struct run *run, struct model_operation *operation,
                           const struct model_state *state)
{
    operation->term = 1 + below(run, 1000);
    operation->extra = below(run, 5);
    operation->payload_seed = random_next(&run->random.base);
    switch (operation->kind) {
    case MODEL_APPEND:
        operation->index = state->exists ? state->next_index : 1;
        operation->payload_bytes = payload_size(run);
        break;
    case MODEL_SNAPSHOT:
        operation->index = index_choose(run, state);
        operation->extra = operation->index - below(run, 4);
        if (operation->extra > operation->index)
            operation->extra = 0;
        operation->payload_bytes = payload_size(run);
        break;
    case MODEL_INSTALL:
        operation->index = state->next_index + below(run, 50);
        operation->payload_bytes = payload_size(run);
        break;
    case MODEL_LOW_WATER:
        /* Mostly nearly everything, as a freeze does. */
        operation->index = chance(run, 70) ? state->next_index - 1 : index_choose(run, state);
        break;
    case MODEL_TRUNCATE:
        operation->index = index_choose(run, state);
        break;
    default:
        break;
    }
}

static void operation_submit(struct run *run, struct journal *journal,
                             struct model_operation *operation)
{
    uint64_t group = operation->group->group;
    struct journal_request *request = &operation->request;
    model_payload(operation, run->payload);
    struct journal_entry entry = {
        .index = operation->index,
        .term = operation->term,
        .payload = run->payload,
        .payload_bytes = operation->payload_bytes,
    };
    struct journal_snapshot snapshot = {
        .index = operation->index,
        .term = operation->term,
        .low_water = operation->extra,
        .mode =
            operation->kind == MODEL_INSTALL ? JOURNAL_SNAPSHOT_INSTALLED : JOURNAL_SNAPSHOT_TAKEN,
        .payload = run->payload,
        .payload_bytes = operation->payload_bytes,
    };
    switch (operation->kind) {
    case MODEL_APPEND:
        journal_append(journal, group, &entry, 1, request);
        break;
    case MODEL_TRUNCATE:
        journal_truncate(journal, group, operation->index, request);
        break;
    case MODEL_METADATA:
        journal_set_metadata(journal, group, operation->term, operation->extra, request);
        break;
    case MODEL_LOW_WATER:
        journal_set_low_water(journal, group, operation->index, request);
        break;
    case MODEL_SNAPSHOT:
    case MODEL_INSTALL:
        journal_set_snapshot(journal, group, &snapshot, request);
        break;
    case MODEL_DELETE:
        journal_delete_group(journal, group, request);
        break;
    case MODEL_KINDS:
        abort();
    }
}

static void operate_on(struct run *run, struct model_group *group, enum model_kind kind)
{
    struct journal *journal = run->journals[group->lane];
    bool grows = kind == MODEL_APPEND || kind == MODEL_SNAPSHOT || kind == MODEL_INSTALL;
    if (grows &&
        (journal_space(journal) == JOURNAL_SPACE_LOW || !journal_has_room(journal, 300000)))
        return; /* refused, as the layer above does */
    struct model_operation *operation = calloc(1, sizeof *operation);
    assert(operation != NULL);
    operation->request.done = on_acknowledged;
    operation->kind = kind;
    operation_fill(run, operation, &group->submitted);
    model_group_add(group, operation);
    run->counts.operations++;
    operation_submit(run, journal, operation);
}

void journal_operate(struct run *run)
{
    struct model_group *group = group_choose(run);
    operate_on(run, group, kind_choose(run, &group->submitted));
}

void journal_trim_something(struct run *run)
{
    size_t lane = group_choose(run)->lane;
    for (size_t i = 0; i < GROUPS; i++) {
        const struct model_state *state = &run->groups[i].submitted;
        if (run->groups[i].lane == lane && state->exists && state->next_index > state->first_index)
            operate_on(run, &run->groups[i], MODEL_LOW_WATER);
    }
    journal_trim(run->journals[lane]);
}
