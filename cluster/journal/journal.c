#include "journal/journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "recovery.h"

enum {
    DEFAULT_IN_FLIGHT = 2,
    DEFAULT_SEGMENT_LEAN = 256 * 1024,
    DEFAULT_SEGMENT_MIN = 4 * 1024 * 1024,
    DEFAULT_SEGMENT_MAX = 64 * 1024 * 1024,
    DEFAULT_QUEUE = 64 * 1024 * 1024,
    SEGMENT_BYTES_SMALLEST = 64 * 1024,
};

/* --- Opening --------------------------------------------------------------------------------- */

static struct journal_options options_complete(const struct journal_options *given)
{
    struct journal_options options = *given;
    assert(options.lane < JOURNAL_LANES_MAX);
    if (options.in_flight_max == 0)
        options.in_flight_max = DEFAULT_IN_FLIGHT;
    if (options.in_flight_max > IN_FLIGHT_LIMIT)
        options.in_flight_max = IN_FLIGHT_LIMIT;
    if (options.segment_bytes_min == 0)
        options.segment_bytes_min = DEFAULT_SEGMENT_MIN;
    if (options.segment_bytes_min < SEGMENT_BYTES_SMALLEST)
        options.segment_bytes_min = SEGMENT_BYTES_SMALLEST;
    options.segment_bytes_min = round_to_block(options.segment_bytes_min);
    if (options.segment_bytes_max == 0)
        options.segment_bytes_max = DEFAULT_SEGMENT_MAX;
    if (options.segment_bytes_max < options.segment_bytes_min)
        options.segment_bytes_max = options.segment_bytes_min;
    options.segment_bytes_max = round_to_block(options.segment_bytes_max);
    if (options.segment_bytes_lean == 0)
        options.segment_bytes_lean = DEFAULT_SEGMENT_LEAN;
    if (options.segment_bytes_lean > options.segment_bytes_min)
        options.segment_bytes_lean = options.segment_bytes_min;
    options.segment_bytes_lean = round_to_block(options.segment_bytes_lean);
    if (options.queue_bytes_max == 0)
        options.queue_bytes_max = DEFAULT_QUEUE;
    if (options.pinned_bytes_max == 0)
        options.pinned_bytes_max = options.segment_bytes_max * 4;
    if (options.free_bytes_min == 0)
        options.free_bytes_min = options.segment_bytes_max * 2;
    return options;
}

static uint64_t state_live_bytes(const struct group_state *state)
{
    uint64_t bytes = 0;
    for (uint64_t i = state->first_index; i < state->next_index; i++)
        bytes += record_size(group_state_entry(state, i)->payload_bytes);
    if (state->snapshot.segment != NULL)
        bytes += record_size(state->snapshot.payload_bytes);
    return bytes;
}

/* The groups of this lane, and every deleted one: an old segment may still hold its records. */
static enum error_code groups_adopt(struct journal *journal,
                                    const struct journal_recovery *recovery, const uint64_t *groups,
                                    size_t group_count, struct error *error)
{
    const struct group_index *found = recovery_index(recovery);
    for (size_t i = 0; i < group_count; i++) {
        const struct group_state *state = group_index_find(found, groups[i]);
        if (state == NULL || state->deleted)
            return error_set(error, ERROR_NOT_FOUND, "journal: group %llu was not recovered",
                             (unsigned long long)groups[i]);
        assert(group_index_find(&journal->index, groups[i]) == NULL);
        if (!group_index_adopt(&journal->index, state))
            return error_set(error, ERROR_OUT_OF_MEMORY, "journal");
        journal->statistics.live_bytes += state_live_bytes(state);
    }
    for (size_t i = 0; i < found->capacity; i++) {
        const struct group_state *state = found->table[i];
        if (state != NULL && state->deleted && !group_index_adopt(&journal->index, state))
            return error_set(error, ERROR_OUT_OF_MEMORY, "journal");
    }
    return ERROR_NONE;
}

/* Blocking: the first segment, and in it the checkpoint that makes it the home of the groups. */
static enum error_code first_segment_make(struct journal *journal, struct error *error)
{
    uint64_t needed = SEGMENT_DATA_OFFSET + 2 * round_to_block(checkpoint_bytes(journal));
    struct segment *segment = supply_segment_new(
        journal, needed > journal->wanted_bytes ? needed : journal->wanted_bytes);
    struct batch *batch = segment == NULL ? NULL : batch_take(journal);
    enum error_code code = ERROR_NONE;
    if (batch == NULL || !checkpoint_fill(journal, batch))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "journal");
    if (code == ERROR_NONE)
        code = supply_prepare(journal, segment, 0, error);
    journal->current = segment; /* freed with the journal */
    if (code == ERROR_NONE) {
        batch_place(journal, batch);
        code = disk_write_at(journal->environment->disk, segment->file, segment->write_offset,
                             batch->bytes, batch->padded_bytes, error);
    }
    if (code == ERROR_NONE && journal->options.durability == JOURNAL_DURABLE)
        code = disk_sync(journal->environment->disk, segment->file, error);
    if (code == ERROR_NONE) {
        segment->write_offset += batch->padded_bytes;
        segment->opened_ns = clock_monotonic_ns(journal->environment->clock);
        journal->durable_batch = batch->sequence;
    }
    batch_free(batch);
    return code;
}

enum error_code journal_open(struct environment *environment, const struct journal_options *options,
                             const struct journal_events *events, struct journal_recovery *recovery,
                             const uint64_t *groups, size_t group_count,
                             struct journal **journal_out, struct error *error)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal");
    journal->environment = environment;
    journal->options = options_complete(options);
    journal->events = *events;
    journal->archive = recovery_archive(recovery);
    journal->generation = recovery_generation(recovery);
    journal->next_sequence = recovery_next_sequence(recovery, options->lane);
    journal->next_batch = 1;
    journal->wanted_bytes = journal->options.segment_bytes_min;
    journal->batch_target_bytes = journal->options.segment_bytes_min / 2;
    if (journal->batch_target_bytes > BATCH_TARGET_BYTES)
        journal->batch_target_bytes = BATCH_TARGET_BYTES;
    journal->pump.run = journal_pump;
    journal->space_timer.heap_index = TIMER_IDLE;
    journal->index.dropped = journal_dropped;
    journal->index.context = journal;

    char lane[DISK_PATH_MAX + 1];
    lane_path(lane, options->directory, options->lane);
    enum error_code code = disk_make_directory(environment->disk, lane, error);
    if (code == ERROR_NONE)
        code = groups_adopt(journal, recovery, groups, group_count, error);
    if (code == ERROR_NONE)
        code = first_segment_make(journal, error);
    if (code != ERROR_NONE) {
        journal_free(journal);
        return error_wrap(error, "open journal lane %u", options->lane);
    }
    recovery_adopted(recovery, group_count);
    supply_top_up(journal);
    *journal_out = journal;
    return ERROR_NONE;
}

/* --- Closing --------------------------------------------------------------------------------- */

void journal_close(struct journal *journal, void (*closed)(void *context), void *context)
{
    assert(!journal->closing);
    journal->closing = true;
    journal->lean = true;
    journal->closed_callback = closed;
    journal->closed_context = context;
    journal_wake(journal);
}

void journal_trim(struct journal *journal)
{
    journal->lean = true;
    journal_wake(journal);
}

void journal_free(struct journal *journal)
{
    assert(journal->in_flight.count == 0 && journal->jobs == 0);
    supply_clear(journal);
    struct batch_queue *queues[] = {&journal->closed, &journal->kept};
    for (size_t i = 0; i < 2; i++)
        for (struct batch *batch = batch_pop(queues[i]); batch != NULL;
             batch = batch_pop(queues[i]))
            batch_free(batch);
    batch_free(journal->open);
    free(journal->copy);
    group_index_clear(&journal->index);
    archive_unref(journal->archive);
    void (*closed)(void *context) = journal->closed_callback;
    void *context = journal->closed_context;
    free(journal);
    if (closed != NULL)
        closed(context);
}

/* --- Writing --------------------------------------------------------------------------------- */

static struct group_state *state_of(struct journal *journal, uint64_t group)
{
    assert(!journal->closing);
    if (journal->failed)
        return NULL;
    struct group_state *state = group_index_add(&journal->index, group);
    if (state == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "journal");
        journal_fail(journal, &error);
    }
    return state;
}

static void state_submit(struct journal *journal, struct group_state *state,
                         const struct record *record, struct journal_request *request)
{
    state->unplaced_records++;
    journal_submit(journal, record, request);
}

void journal_append(struct journal *journal, uint64_t group, const struct journal_entry *entries,
                    size_t entry_count, struct journal_request *request)
{
    assert(entry_count > 0);
    for (size_t i = 0; i < entry_count; i++) {
        const struct journal_entry *entry = &entries[i];
        struct group_state *state = state_of(journal, group);
        if (state == NULL)
            return;
        assert(entry->index == state->submitted_next_index);
        assert(entry->payload_bytes <= JOURNAL_PAYLOAD_BYTES_MAX);
        state->submitted_next_index = entry->index + 1;
        struct record record = {
            .group = group,
            .index = entry->index,
            .term = entry->term,
            .type = RECORD_ENTRY,
            .kind = entry->kind,
            .version = entry->version,
            .payload = entry->payload,
            .payload_bytes = entry->payload_bytes,
        };
        state_submit(journal, state, &record, i + 1 == entry_count ? request : NULL);
    }
}

void journal_truncate(struct journal *journal, uint64_t group, uint64_t index,
                      struct journal_request *request)
{
    struct group_state *state = state_of(journal, group);
    if (state == NULL)
        return;
    if (index < state->submitted_first_index)
        index = state->submitted_first_index;
    if (index < state->submitted_next_index)
        state->submitted_next_index = index;
    struct record record = {.group = group, .index = index, .type = RECORD_TRUNCATE};
    state_submit(journal, state, &record, request);
}

void journal_set_metadata(struct journal *journal, uint64_t group, uint64_t term, uint64_t vote,
                          struct journal_request *request)
{
    struct group_state *state = state_of(journal, group);
    if (state == NULL)
        return;
    struct record record = {.group = group, .term = term, .extra = vote, .type = RECORD_METADATA};
    state_submit(journal, state, &record, request);
}

static void submitted_advance(struct group_state *state, uint64_t last)
{
    if (last + 1 > state->submitted_first_index)
        state->submitted_first_index = last + 1;
    if (state->submitted_next_index < state->submitted_first_index)
        state->submitted_next_index = state->submitted_first_index;
}

void journal_set_low_water(struct journal *journal, uint64_t group, uint64_t index,
                           struct journal_request *request)
{
    struct group_state *state = state_of(journal, group);
    if (state == NULL)
        return;
    assert(index < RECORD_NUMBER_MAX);
    submitted_advance(state, index);
    struct record record = {.group = group, .index = index, .type = RECORD_LOW_WATER};
    state_submit(journal, state, &record, request);
}

void journal_set_snapshot(struct journal *journal, uint64_t group,
                          const struct journal_snapshot *snapshot, struct journal_request *request)
{
    struct group_state *state = state_of(journal, group);
    if (state == NULL)
        return;
    assert(snapshot->payload_bytes <= JOURNAL_PAYLOAD_BYTES_MAX);
    assert(snapshot->index > 0 && snapshot->index < RECORD_NUMBER_MAX);
    struct record record = {
        .group = group,
        .index = snapshot->index,
        .term = snapshot->term,
        .type = RECORD_SNAPSHOT,
        .version = snapshot->version,
        .payload = snapshot->payload,
        .payload_bytes = snapshot->payload_bytes,
    };
    if (snapshot->mode == JOURNAL_SNAPSHOT_INSTALLED) {
        record.flags = RECORD_INSTALLED;
        state->submitted_first_index = snapshot->index + 1;
        state->submitted_next_index = snapshot->index + 1;
    } else {
        assert(snapshot->low_water <= snapshot->index);
        record.extra = snapshot->low_water;
        submitted_advance(state, snapshot->low_water);
    }
    state_submit(journal, state, &record, request);
}

void journal_delete_group(struct journal *journal, uint64_t group, struct journal_request *request)
{
    struct group_state *state = state_of(journal, group);
    if (state == NULL)
        return;
    state->submitted_first_index = 1;
    state->submitted_next_index = 1;
    struct record record = {.group = group, .type = RECORD_DELETE};
    state_submit(journal, state, &record, request);
}

void journal_barrier(struct journal *journal, struct journal_request *request)
{
    assert(!journal->closing);
    journal_attach(journal, request);
}

/* --- Looking --------------------------------------------------------------------------------- */

bool journal_has_room(const struct journal *journal, uint64_t bytes)
{
    return journal->queued_bytes < journal->options.queue_bytes_max &&
           bytes <= journal->options.queue_bytes_max - journal->queued_bytes;
}

enum journal_space journal_space(const struct journal *journal)
{
    return journal->space;
}

struct journal_range journal_group_range(const struct journal *journal, uint64_t group)
{
    const struct group_state *state = group_index_find(&journal->index, group);
    if (state == NULL)
        return (struct journal_range){1, 1};
    return (struct journal_range){state->submitted_first_index, state->submitted_next_index};
}

/* The group with most bytes in `segment`. */
static bool group_in_segment(const struct journal *journal, const struct segment *segment,
                             uint64_t *group_out)
{
    uint64_t most = 0;
    for (size_t i = 0; i < journal->index.capacity; i++) {
        const struct group_state *state = journal->index.table[i];
        if (state == NULL || state->deleted)
            continue;
        uint64_t bytes = 0;
        for (uint64_t entry = state->first_index; entry < state->next_index; entry++)
            if (group_state_entry(state, entry)->segment == segment)
                bytes += record_size(group_state_entry(state, entry)->payload_bytes);
        if (bytes > most) {
            most = bytes;
            *group_out = state->group;
        }
    }
    return most > 0;
}

bool journal_oldest_group(const struct journal *journal, uint64_t *group_out)
{
    for (size_t i = 0; i < journal->archive->count; i++)
        if (atomic_load(&journal->archive->segments[i]->live_bytes) > 0 &&
            group_in_segment(journal, journal->archive->segments[i], group_out))
            return true;
    for (const struct segment *segment = journal->used; segment != NULL; segment = segment->next)
        if (group_in_segment(journal, segment, group_out))
            return true;
    return false;
}

void journal_get_statistics(const struct journal *journal, struct journal_statistics *out)
{
    *out = journal->statistics;
    out->queued_bytes = journal->queued_bytes;
    if (journal->in_flight.first != NULL)
        out->write_age_us = (clock_monotonic_ns(journal->environment->clock) -
                             journal->in_flight.first->placed_ns) /
                            1000;
    const struct segment *lists[] = {journal->used, journal->ready, journal->spares,
                                     journal->current};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct segment *segment = lists[i]; segment != NULL; segment = segment->next) {
            out->segment_count++;
            out->segment_bytes += segment->size_bytes;
        }
}
