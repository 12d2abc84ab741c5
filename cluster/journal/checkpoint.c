/*
 * checkpoint - what every segment begins with: where the older segments end, and the state of
 * every group, so that no older segment is needed for anything but live records.
 */
#include "internal.h"

#include <stdlib.h>

#include "base/bytes.h"

/* --- Deleted groups -------------------------------------------------------------------------- */

/* The oldest file of this lane and generation that may still be on the disk. */
static uint64_t oldest_sequence(const struct journal *journal)
{
    uint64_t oldest = journal->current == NULL ? UINT64_MAX : journal->current->sequence;
    const struct segment *lists[] = {journal->used, journal->spares};
    for (size_t i = 0; i < 2; i++)
        for (const struct segment *segment = lists[i]; segment != NULL; segment = segment->next)
            if (segment->sequence < oldest)
                oldest = segment->sequence;
    return oldest;
}

/* Forget deleted groups of which no segment can hold a record. */
static void tombstones_purge(struct journal *journal)
{
    if (journal->jobs > 0 || atomic_load(&journal->archive->alive) > 0)
        return;
    uint64_t oldest = oldest_sequence(journal);
    bool again = true;
    while (again) {
        again = false;
        for (size_t i = 0; i < journal->index.capacity; i++) {
            const struct group_state *state = journal->index.table[i];
            if (state == NULL || !state->deleted || state->unplaced_records > 0 ||
                (state->deleted_before_generation == 0 && state->deleted_sequence >= oldest))
                continue;
            group_index_remove(&journal->index, state->group);
            again = true; /* removal moves others */
        }
    }
}

/* --- Records --------------------------------------------------------------------------------- */

static size_t older_segments(const struct journal *journal)
{
    size_t count = journal->archive->count + (journal->current != NULL);
    for (const struct segment *segment = journal->used; segment != NULL; segment = segment->next)
        count++;
    return count;
}

/* An upper bound. */
size_t checkpoint_bytes(const struct journal *journal)
{
    return BATCH_HEADER_BYTES +
           record_size((uint32_t)(older_segments(journal) * SEGMENT_ITEM_BYTES)) +
           journal->index.count * record_size(RECORD_GROUP_BYTES);
}

static size_t item_add(uint8_t *items, size_t size, const struct segment *segment)
{
    struct segment_item item = {
        .generation = segment->generation,
        .sequence = segment->sequence,
        .last_batch = segment->last_batch,
        .lane = segment->lane,
    };
    segment_item_encode(&item, items + size);
    return size + SEGMENT_ITEM_BYTES;
}

static bool segments_add(struct journal *journal, struct batch *batch)
{
    uint8_t *items = malloc((older_segments(journal) + 1) * SEGMENT_ITEM_BYTES);
    if (items == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "journal checkpoint");
        journal_fail(journal, &error);
        return false;
    }
    size_t size = 0;
    for (size_t i = 0; i < journal->archive->count; i++)
        if (atomic_load(&journal->archive->segments[i]->holds) > 0)
            size = item_add(items, size, journal->archive->segments[i]);
    for (const struct segment *segment = journal->used; segment != NULL; segment = segment->next)
        size = item_add(items, size, segment);
    if (journal->current != NULL)
        size = item_add(items, size, journal->current);
    struct record record = {
        .type = RECORD_SEGMENTS,
        .payload = items,
        .payload_bytes = (uint32_t)size,
    };
    bool added = batch_add(journal, batch, &record);
    free(items);
    return added;
}

static bool group_add(struct journal *journal, struct batch *batch, const struct group_state *state)
{
    uint8_t payload[RECORD_GROUP_BYTES] = {0};
    store_u64(payload, state->next_index);
    if (state->snapshot.segment != NULL) {
        store_u64(payload + 8, state->snapshot_index);
        store_u64(payload + 16, state->snapshot_term);
    }
    struct record record = {
        .type = RECORD_GROUP,
        .group = state->group,
        .term = state->term,
        .extra = state->vote,
        .index = state->deleted ? state->deleted_before_generation : state->first_index,
        .flags = (uint8_t)((state->deleted ? RECORD_DELETED : 0) |
                           (state->damaged ? RECORD_DAMAGED : 0)),
        .payload = payload,
        .payload_bytes = sizeof payload,
    };
    return batch_add(journal, batch, &record);
}

bool checkpoint_fill(struct journal *journal, struct batch *batch)
{
    tombstones_purge(journal);
    batch->flags = BATCH_CHECKPOINT;
    if (!segments_add(journal, batch))
        return false;
    for (size_t i = 0; i < journal->index.capacity; i++) {
        const struct group_state *state = journal->index.table[i];
        /* One that is only submitted so far has no state yet; its records create it. */
        if (state != NULL && (state->touched_generation > 0 || state->deleted) &&
            !group_add(journal, batch, state))
            return false;
    }
    return true;
}
