#include "group_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* --- Table ----------------------------------------------------------------------------------- */

static size_t slot_of(const struct group_index *index, uint64_t group)
{
    uint64_t mixed = group * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(mixed >> 32) & (index->capacity - 1);
    while (index->table[slot] != NULL && index->table[slot]->group != group)
        slot = (slot + 1) & (index->capacity - 1);
    return slot;
}

static bool table_grow(struct group_index *index)
{
    size_t old_capacity = index->capacity;
    struct group_state **old = index->table;
    size_t capacity = old_capacity == 0 ? 64 : old_capacity * 2;
    struct group_state **table = calloc(capacity, sizeof(struct group_state *));
    if (table == NULL)
        return false;
    index->table = table;
    index->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i] != NULL)
            table[slot_of(index, old[i]->group)] = old[i];
    free(old);
    return true;
}

struct group_state *group_index_find(const struct group_index *index, uint64_t group)
{
    return index->count == 0 ? NULL : index->table[slot_of(index, group)];
}

static void state_reset(struct group_state *state, uint64_t group)
{
    *state = (struct group_state){
        .group = group,
        .first_index = 1,
        .next_index = 1,
        .submitted_first_index = 1,
        .submitted_next_index = 1,
    };
}

struct group_state *group_index_add(struct group_index *index, uint64_t group)
{
    struct group_state *state = group_index_find(index, group);
    if (state != NULL)
        return state;
    if ((index->count + 1) * 2 > index->capacity && !table_grow(index))
        return NULL;
    state = malloc(sizeof *state);
    if (state == NULL)
        return NULL;
    state_reset(state, group);
    index->table[slot_of(index, group)] = state;
    index->count++;
    return state;
}

bool group_index_adopt(struct group_index *index, const struct group_state *source)
{
    struct group_state *state = group_index_add(index, source->group);
    if (state == NULL)
        return false;
    size_t count = (size_t)(source->next_index - source->first_index);
    struct location *entries = NULL;
    if (count > 0) {
        entries = calloc(count, sizeof *entries);
        if (entries == NULL)
            return false;
        memcpy(entries, source->entries + source->head, count * sizeof *entries);
    }
    *state = *source;
    state->entries = entries;
    state->head = 0;
    state->capacity = count;
    state->unplaced_records = 0;
    state->submitted_first_index = source->first_index;
    state->submitted_next_index = source->next_index;
    return true;
}

void group_index_remove(struct group_index *index, uint64_t group)
{
    size_t slot = slot_of(index, group);
    struct group_state *state = index->table[slot];
    assert(state != NULL);
    free(state->entries);
    free(state);
    index->table[slot] = NULL;
    index->count--;
    /* Close the gap: whatever was pushed past it moves up. */
    size_t next = (slot + 1) & (index->capacity - 1);
    while (index->table[next] != NULL) {
        struct group_state *moved = index->table[next];
        index->table[next] = NULL;
        index->table[slot_of(index, moved->group)] = moved;
        next = (next + 1) & (index->capacity - 1);
    }
}

void group_index_clear(struct group_index *index)
{
    for (size_t i = 0; i < index->capacity; i++) {
        if (index->table[i] != NULL)
            free(index->table[i]->entries);
        free(index->table[i]);
    }
    free(index->table);
    *index = (struct group_index){0};
}

/* --- Entries of a group ---------------------------------------------------------------------- */

static void drop(struct group_index *index, struct location *location)
{
    if (location->segment != NULL && index->dropped != NULL)
        index->dropped(index->context, *location);
    *location = (struct location){0};
}

/* Entries >= from go. */
static void entries_cut(struct group_index *index, struct group_state *state, uint64_t from)
{
    if (from < state->first_index)
        from = state->first_index;
    for (uint64_t i = from; i < state->next_index; i++)
        drop(index, group_state_entry(state, i));
    if (from < state->next_index)
        state->next_index = from;
}

/* Entries <= last go, and none of them comes any more. */
static void entries_advance(struct group_index *index, struct group_state *state, uint64_t last)
{
    if (last < state->first_index)
        return;
    uint64_t end = last + 1 < state->next_index ? last + 1 : state->next_index;
    for (uint64_t i = state->first_index; i < end; i++)
        drop(index, group_state_entry(state, i));
    state->head += (size_t)(end - state->first_index);
    state->first_index = last + 1;
    if (state->next_index <= state->first_index) {
        state->next_index = state->first_index;
        state->head = 0;
    }
}

/* Make next_index = next; what is new in between is missing. */
static enum error_code entries_extend(struct group_state *state, uint64_t next, struct error *error)
{
    uint64_t count = next - state->first_index;
    size_t used = (size_t)(state->next_index - state->first_index);
    if (count > GROUP_ENTRIES_MAX)
        return error_set(error, ERROR_LIMIT, "group %llu: %llu entries",
                         (unsigned long long)state->group, (unsigned long long)count);
    if (state->head + count > state->capacity) {
        size_t capacity = (size_t)count + (size_t)count / 2 + 16;
        struct location *entries = calloc(capacity, sizeof *entries);
        if (entries == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "journal index");
        if (used > 0)
            memcpy(entries, state->entries + state->head, used * sizeof *entries);
        free(state->entries);
        state->entries = entries;
        state->capacity = capacity;
        state->head = 0;
    } else {
        memset(state->entries + state->head + used, 0,
               (size_t)(next - state->next_index) * sizeof *state->entries);
    }
    state->next_index = next;
    return ERROR_NONE;
}

static void state_drop_all(struct group_index *index, struct group_state *state)
{
    entries_cut(index, state, 0);
    drop(index, &state->snapshot);
    free(state->entries);
    state->entries = NULL;
    state->head = 0;
    state->capacity = 0;
}

static void state_delete(struct group_index *index, struct group_state *state)
{
    state_drop_all(index, state);
    state->first_index = 1;
    state->next_index = 1;
    state->term = 0;
    state->vote = 0;
    state->snapshot_expected = false;
    state->damaged = false;
    state->deleted = true;
}

/* --- Records --------------------------------------------------------------------------------- */

static enum error_code apply_entry(struct group_index *index, struct group_state *state,
                                   const struct record *record, struct location location,
                                   struct error *error)
{
    if (record->index < state->first_index)
        return ERROR_NONE; /* below the mark, from a segment older than the mark's */
    if (record->flags & RECORD_COPIED) {
        if (record->index >= state->next_index)
            return ERROR_NONE;
        drop(index, group_state_entry(state, record->index));
    } else {
        entries_cut(index, state, record->index);
        enum error_code code = entries_extend(state, record->index + 1, error);
        if (code != ERROR_NONE)
            return code;
    }
    *group_state_entry(state, record->index) = location;
    return ERROR_NONE;
}

static void apply_snapshot(struct group_index *index, struct group_state *state,
                           const struct record *record, struct location location)
{
    drop(index, &state->snapshot);
    state->snapshot = location;
    state->snapshot_index = record->index;
    state->snapshot_term = record->term;
    state->snapshot_expected = true;
    if (record->flags & RECORD_COPIED)
        return;
    if (record->flags & RECORD_INSTALLED) {
        state->damaged = false; /* rebuilt from another replica */
        entries_cut(index, state, 0);
        state->head = 0;
        state->first_index = record->index + 1;
        state->next_index = record->index + 1;
    } else {
        entries_advance(index, state, record->extra);
    }
}

static enum error_code apply_group(struct group_index *index, struct group_state *state,
                                   const struct record *record, uint64_t touched_before,
                                   struct error *error)
{
    if (record->flags & RECORD_DELETED) {
        if (record->index == 0 || touched_before < record->index)
            state_delete(index, state);
        return ERROR_NONE;
    }
    if (record->payload_bytes != RECORD_GROUP_BYTES)
        return error_set(error, ERROR_CORRUPT, "a group's state of %u bytes",
                         record->payload_bytes);
    uint64_t next = load_u64(record->payload);
    if (record->index == 0 || next < record->index || next >= RECORD_NUMBER_MAX)
        return error_set(error, ERROR_CORRUPT, "a group's state is out of range");
    state->term = record->term;
    state->vote = record->extra;
    if (record->flags & RECORD_DAMAGED)
        state->damaged = true;
    /* Another one, of a life of the group whose end is in a segment that is gone. */
    if (state->snapshot_index != load_u64(record->payload + 8) ||
        state->snapshot_term != load_u64(record->payload + 16))
        drop(index, &state->snapshot);
    state->snapshot_expected = load_u64(record->payload + 8) > 0;
    entries_cut(index, state, next);
    entries_advance(index, state, record->index - 1);
    if (state->first_index != record->index) {
        /* It went back: the group was deleted and began anew in a segment that is gone. */
        entries_cut(index, state, 0);
        state->head = 0;
        state->first_index = record->index;
        state->next_index = record->index;
    }
    return next > state->next_index ? entries_extend(state, next, error) : ERROR_NONE;
}

enum error_code group_index_apply(struct group_index *index, const struct record *record,
                                  struct location location, uint64_t generation,
                                  struct error *error)
{
    if (record->type == 0 || record->type >= RECORD_TYPES || record->index >= RECORD_NUMBER_MAX ||
        (record->type == RECORD_SNAPSHOT && record->extra > record->index))
        return error_set(error, ERROR_CORRUPT, "a record of type %u is out of range", record->type);
    if (record->type == RECORD_SEGMENTS)
        return ERROR_NONE;
    struct group_state *state = group_index_add(index, record->group);
    if (state == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal index");

    uint64_t touched_before = state->touched_generation;
    bool tombstone =
        record->type == RECORD_GROUP && (record->flags & RECORD_DELETED) && record->index > 0;
    if (!tombstone)
        state->touched_generation = generation;
    if (state->deleted && record->type != RECORD_DELETE && !(record->flags & RECORD_DELETED))
        state->deleted = false; /* begins anew */

    switch ((enum record_type)record->type) {
    case RECORD_ENTRY:
        if (record->index == 0)
            return error_set(error, ERROR_CORRUPT, "an entry without an index");
        return apply_entry(index, state, record, location, error);
    case RECORD_TRUNCATE:
        entries_cut(index, state, record->index);
        return ERROR_NONE;
    case RECORD_METADATA:
        state->term = record->term;
        state->vote = record->extra;
        return ERROR_NONE;
    case RECORD_LOW_WATER:
        entries_advance(index, state, record->index);
        return ERROR_NONE;
    case RECORD_SNAPSHOT:
        apply_snapshot(index, state, record, location);
        return ERROR_NONE;
    case RECORD_DELETE:
        state_delete(index, state);
        return ERROR_NONE;
    case RECORD_GROUP:
        return apply_group(index, state, record, touched_before, error);
    case RECORD_SEGMENTS:
    case RECORD_TYPES:
        break;
    }
    return ERROR_NONE;
}
