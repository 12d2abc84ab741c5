#include "journal_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "recovered_entry.h"

/* --- Payloads -------------------------------------------------------------------------------- */

static void payload_fill(uint64_t seed, uint32_t size, uint8_t *target)
{
    for (uint32_t i = 0; i < size; i++) {
        if (i % 8 == 0)
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        target[i] = (uint8_t)(seed >> (56 - 8 * (i % 8)));
    }
}

void model_payload(const struct model_operation *operation, uint8_t *target)
{
    payload_fill(operation->payload_seed, operation->payload_bytes, target);
}

static bool payload_is(const struct model_entry *entry, const uint8_t *payload, uint32_t size)
{
    if (size != entry->payload_bytes)
        return false;
    uint8_t *expected = malloc(size + 1);
    assert(expected != NULL);
    payload_fill(entry->payload_seed, size, expected);
    bool same = size == 0 || memcmp(expected, payload, size) == 0;
    free(expected);
    return same;
}

/* --- State ----------------------------------------------------------------------------------- */

static void state_cut(struct model_state *state, uint64_t index)
{
    if (index < state->first_index)
        index = state->first_index;
    if (index < state->next_index)
        state->next_index = index;
}

static void state_advance(struct model_state *state, uint64_t last)
{
    if (last < state->first_index)
        return;
    uint64_t gone = last + 1 - state->first_index;
    uint64_t count = state->next_index - state->first_index;
    if (gone < count)
        memmove(state->entries, state->entries + gone, (count - gone) * sizeof *state->entries);
    state->first_index = last + 1;
    if (state->next_index < state->first_index)
        state->next_index = state->first_index;
}

static void state_append(struct model_state *state, const struct model_operation *operation)
{
    size_t count = (size_t)(state->next_index - state->first_index);
    assert(operation->index == state->next_index);
    if (count == state->capacity) {
        state->capacity = state->capacity * 2 + 16;
        state->entries = realloc(state->entries, state->capacity * sizeof *state->entries);
        assert(state->entries != NULL);
    }
    state->entries[count] =
        (struct model_entry){operation->term, operation->payload_seed, operation->payload_bytes};
    state->next_index++;
}

static void state_reset(struct model_state *state)
{
    struct model_entry *entries = state->entries;
    size_t capacity = state->capacity;
    *state = (struct model_state){
        .first_index = 1, .next_index = 1, .entries = entries, .capacity = capacity};
}

void model_state_apply(struct model_state *state, const struct model_operation *operation)
{
    if (!state->exists)
        state_reset(state);
    state->exists = true;
    switch (operation->kind) {
    case MODEL_APPEND:
        state_append(state, operation);
        break;
    case MODEL_TRUNCATE:
        state_cut(state, operation->index);
        break;
    case MODEL_METADATA:
        state->term = operation->term;
        state->vote = operation->extra;
        break;
    case MODEL_LOW_WATER:
        state_advance(state, operation->index);
        break;
    case MODEL_SNAPSHOT:
    case MODEL_INSTALL:
        state->has_snapshot = true;
        state->snapshot_index = operation->index;
        state->snapshot = (struct model_entry){operation->term, operation->payload_seed,
                                               operation->payload_bytes};
        if (operation->kind == MODEL_SNAPSHOT) {
            state_advance(state, operation->extra);
        } else {
            state->first_index = operation->index + 1;
            state->next_index = operation->index + 1;
        }
        break;
    case MODEL_DELETE:
        state_reset(state);
        break;
    case MODEL_KINDS:
        abort();
    }
}

void model_state_copy(struct model_state *target, const struct model_state *source)
{
    size_t count = source->exists ? (size_t)(source->next_index - source->first_index) : 0;
    struct model_entry *entries = realloc(target->entries, (count + 1) * sizeof *entries);
    assert(entries != NULL);
    if (count > 0)
        memcpy(entries, source->entries, count * sizeof *entries);
    *target = *source;
    target->entries = entries;
    target->capacity = count + 1;
}

static bool state_is(const struct model_state *state, const struct journal_recovery *recovery,
                     const struct journal_group *found)
{
    if (!state->exists || found == NULL)
        return !state->exists && found == NULL;
    if (found->term != state->term || found->vote != state->vote ||
        found->first_index != state->first_index || found->next_index != state->next_index ||
        found->has_snapshot != state->has_snapshot || found->damaged)
        return false;
    if (state->has_snapshot &&
        (found->snapshot.index != state->snapshot_index ||
         found->snapshot.term != state->snapshot.term ||
         !payload_is(&state->snapshot, found->snapshot.payload, found->snapshot.payload_bytes)))
        return false;
    for (uint64_t i = state->first_index; i < state->next_index; i++) {
        const struct model_entry *expected = &state->entries[i - state->first_index];
        struct journal_entry entry = recovered_entry(recovery, found, i);
        if (entry.term != expected->term ||
            !payload_is(expected, entry.payload, entry.payload_bytes))
            return false;
    }
    return true;
}

/* --- Groups ---------------------------------------------------------------------------------- */

void model_group_add(struct model_group *group, struct model_operation *operation)
{
    operation->group = group;
    operation->next = NULL;
    if (group->last == NULL)
        group->first = operation;
    else
        group->last->next = operation;
    group->last = operation;
    group->operation_count++;
    model_state_apply(&group->submitted, operation);
}

static void operations_forget(struct model_group *group)
{
    while (group->first != NULL) {
        struct model_operation *operation = group->first;
        group->first = operation->next;
        free(operation);
    }
    group->last = NULL;
    group->operation_count = 0;
    group->acknowledged = 0;
}

void model_group_clear(struct model_group *group)
{
    operations_forget(group);
    free(group->confirmed.entries);
    free(group->submitted.entries);
    group->confirmed = (struct model_state){0};
    group->submitted = (struct model_state){0};
}

bool model_group_confirm(struct model_group *group, const struct journal_recovery *recovery,
                         const struct journal_group *found)
{
    uint64_t applied = 0;
    const struct model_operation *operation = group->first;
    for (;;) {
        if (applied >= group->acknowledged && state_is(&group->confirmed, recovery, found))
            break;
        if (operation == NULL)
            return false;
        model_state_apply(&group->confirmed, operation);
        operation = operation->next;
        applied++;
    }
    operations_forget(group);
    model_state_copy(&group->submitted, &group->confirmed);
    return true;
}
