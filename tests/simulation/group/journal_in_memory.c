#include "../group_medium.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "journal/replay.h"
#include "platform/environment.h"

/* --- Types --------------------------------------------------------------------------------- */

enum { GROUPS_MAX = 16 };

struct stored_entry {
    struct journal_entry entry; /* its payload is from malloc */
};

struct stored_group {
    struct journal_group view;
    struct stored_entry *entries; /* [next_index - first_index] */
    size_t capacity;
    uint8_t *snapshot_payload;
};

struct group_medium {
    struct simulated_scheduler *scheduler;
    enum group_medium_mode mode;
    uint64_t delay_ms;
    struct stored_group groups[GROUPS_MAX];
    size_t group_count;
    struct journal *open;
};

enum operation_kind { APPEND, TRUNCATE, METADATA, SNAPSHOT };

struct operation {
    struct operation *next;
    enum operation_kind kind;
    uint64_t group;
    struct journal_request *request;
    struct journal_entry entry; /* one a record; the request is on the last */
    uint64_t index, term, vote;
    struct journal_snapshot snapshot;
    uint8_t *payload;
};

struct journal {
    struct group_medium *medium;
    struct operation *first;
    struct operation **end;
    uint64_t next_index[GROUPS_MAX];
    uint64_t next_group[GROUPS_MAX];
    size_t next_count;
    bool batch_under_way;
    size_t lies; /* on their way, as reads are */
    bool crashed;
    void (*closed)(void *context);
    void *closed_context;
};

struct journal_recovery {
    struct stored_group groups[GROUPS_MAX];
    size_t group_count;
};

/* --- What is stored ------------------------------------------------------------------------ */

static struct stored_group *stored_group(struct group_medium *medium, uint64_t id)
{
    for (size_t i = 0; i < medium->group_count; i++)
        if (medium->groups[i].view.group == id)
            return &medium->groups[i];
    assert(medium->group_count < GROUPS_MAX);
    struct stored_group *group = &medium->groups[medium->group_count++];
    group->view = (struct journal_group){.group = id, .first_index = 1, .next_index = 1};
    return group;
}

static void drop_prefix(struct stored_group *group, uint64_t up_to_index)
{
    if (up_to_index < group->view.first_index)
        return;
    size_t count = group->view.next_index - group->view.first_index;
    size_t gone = up_to_index + 1 - group->view.first_index;
    if (gone > count)
        gone = count;
    for (size_t i = 0; i < gone; i++)
        free((void *)group->entries[i].entry.payload);
    if (count > gone)
        memmove(group->entries, group->entries + gone, (count - gone) * sizeof *group->entries);
    group->view.first_index = up_to_index + 1;
    if (group->view.next_index < group->view.first_index)
        group->view.next_index = group->view.first_index;
}

static void drop_suffix(struct stored_group *group, uint64_t from_index)
{
    while (group->view.next_index > group->view.first_index &&
           group->view.next_index > from_index) {
        group->view.next_index--;
        free(
            (void *)group->entries[group->view.next_index - group->view.first_index].entry.payload);
    }
}

static uint8_t *copy(const uint8_t *bytes, size_t size)
{
    uint8_t *result = malloc(size + 1);
    assert(result != NULL);
    if (size > 0)
        memcpy(result, bytes, size);
    return result;
}

static void store(struct group_medium *medium, struct operation *operation)
{
    struct stored_group *group = stored_group(medium, operation->group);
    switch (operation->kind) {
    case APPEND: {
        assert(operation->entry.index == group->view.next_index);
        size_t count = group->view.next_index - group->view.first_index;
        if (count == group->capacity) {
            group->capacity = count * 2 + 16;
            group->entries = realloc(group->entries, group->capacity * sizeof *group->entries);
            assert(group->entries != NULL);
        }
        group->entries[count].entry = operation->entry;
        operation->payload = NULL; /* moved */
        group->view.next_index++;
        break;
    }
    case TRUNCATE:
        drop_suffix(group, operation->index);
        break;
    case METADATA:
        group->view.term = operation->term;
        group->view.vote = operation->vote;
        break;
    case SNAPSHOT:
        free(group->snapshot_payload);
        group->view.has_snapshot = true;
        group->view.snapshot = operation->snapshot;
        group->snapshot_payload = operation->payload;
        group->view.snapshot.payload = group->snapshot_payload;
        operation->payload = NULL;
        if (operation->snapshot.mode == JOURNAL_SNAPSHOT_INSTALLED) {
            drop_suffix(group, 0);
            drop_prefix(group, operation->snapshot.index);
            group->view.first_index = group->view.next_index = operation->snapshot.index + 1;
        } else {
            drop_prefix(group, operation->snapshot.low_water);
        }
        break;
    }
}

/* --- Medium -------------------------------------------------------------------------------- */

struct group_medium *group_medium_create(struct simulated_scheduler *scheduler,
                                         enum group_medium_mode mode)
{
    struct group_medium *medium = calloc(1, sizeof *medium);
    assert(medium != NULL);
    medium->scheduler = scheduler;
    medium->mode = mode;
    return medium;
}

static void groups_clear(struct stored_group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        drop_suffix(&groups[i], 0);
        free(groups[i].entries);
        free(groups[i].snapshot_payload);
    }
}

void group_medium_destroy(struct group_medium *medium)
{
    assert(medium->open == NULL);
    groups_clear(medium->groups, medium->group_count);
    free(medium);
}

void group_medium_set_delay(struct group_medium *medium, uint64_t delay_ms)
{
    medium->delay_ms = delay_ms;
}

static struct operation *take_first(struct journal *journal)
{
    struct operation *operation = journal->first;
    journal->first = operation->next;
    if (journal->first == NULL)
        journal->end = &journal->first;
    return operation;
}

static void operation_free(struct operation *operation)
{
    free(operation->payload);
    free(operation);
}

void group_medium_crash(struct group_medium *medium)
{
    struct journal *journal = medium->open;
    assert(journal != NULL && !journal->crashed);
    journal->crashed = true;
    size_t count = 0;
    for (struct operation *operation = journal->first; operation != NULL;
         operation = operation->next)
        count++;
    /* A prefix of it reached the medium; not if that lies. */
    size_t kept = medium->mode == MEDIUM_LYING
                      ? 0
                      : random_below(&medium->scheduler->random.base, (uint32_t)count + 1);
    for (size_t i = 0; i < count; i++) {
        struct operation *operation = take_first(journal);
        if (i < kept)
            store(medium, operation);
        operation_free(operation);
    }
}

struct journal *group_medium_open(struct group_medium *medium, struct journal_recovery *recovery,
                                  struct error *error)
{
    (void)recovery;
    (void)error;
    assert(medium->open == NULL);
    struct journal *journal = calloc(1, sizeof *journal);
    assert(journal != NULL);
    journal->medium = medium;
    journal->end = &journal->first;
    for (size_t i = 0; i < medium->group_count; i++) {
        journal->next_group[i] = medium->groups[i].view.group;
        journal->next_index[i] = medium->groups[i].view.next_index;
    }
    journal->next_count = medium->group_count;
    medium->open = journal;
    return journal;
}

/* --- Writing ------------------------------------------------------------------------------- */

/* So many nanoseconds are a number of 32 bits. */
enum { SHORT_DELAY_MS_MAX = 4000 };

static void finish_batch(void *argument);

static uint64_t choose_delay_ns(const struct group_medium *medium)
{
    struct random *random = &medium->scheduler->random.base;
    uint64_t limit_ms = medium->delay_ms == 0 ? 1 : medium->delay_ms;
    if (limit_ms <= SHORT_DELAY_MS_MAX)
        return 1 + random_below(random, (uint32_t)limit_ms * 1000000);
    return (limit_ms / 2 + random_below(random, (uint32_t)(limit_ms / 2))) * 1000000;
}

static void start_batch(struct journal *journal)
{
    if (journal->batch_under_way || journal->first == NULL || journal->crashed)
        return;
    journal->batch_under_way = true;
    struct simulated_scheduler *scheduler = journal->medium->scheduler;
    simulated_scheduler_after(scheduler, choose_delay_ns(journal->medium), finish_batch, journal);
}

static void journal_free_if_closed(struct journal *journal)
{
    if (journal->closed == NULL || journal->batch_under_way || journal->lies > 0 ||
        (journal->first != NULL && !journal->crashed))
        return;
    journal->medium->open = NULL;
    journal->closed(journal->closed_context);
    while (journal->first != NULL)
        operation_free(take_first(journal));
    free(journal);
}

static void finish_batch(void *argument)
{
    struct journal *journal = argument;
    journal->batch_under_way = false;
    /* Some of what waits, at least one record and whole requests only where it matters not. */
    size_t count = 1 + random_below(&journal->medium->scheduler->random.base, 64);
    for (size_t i = 0; i < count && journal->first != NULL && !journal->crashed; i++) {
        struct operation *operation = take_first(journal);
        struct journal_request *request = operation->request;
        store(journal->medium, operation);
        operation_free(operation);
        if (request != NULL)
            request->done(request);
    }
    start_batch(journal);
    journal_free_if_closed(journal);
}

struct lie {
    struct journal *journal;
    struct journal_request *request;
};

static void tell_lie(void *argument)
{
    struct lie *lie = argument;
    struct journal *journal = lie->journal;
    if (!journal->crashed)
        lie->request->done(lie->request);
    free(lie);
    journal->lies--;
    journal_free_if_closed(journal);
}

/* --- Reading ------------------------------------------------------------------------------- */

struct reading {
    struct journal *journal;
    struct journal_read *read;
};

enum { READ_ENTRIES_MAX = 8 };

static void finish_read(void *argument)
{
    struct reading *reading = argument;
    struct journal *journal = reading->journal;
    struct journal_read *read = reading->read;
    const struct stored_group *group = stored_group(journal->medium, read->group);
    struct journal_entry entries[READ_ENTRIES_MAX];
    size_t count = 0;
    struct error error = {0};
    for (uint64_t index = read->first_index;
         index < read->end_index && count < READ_ENTRIES_MAX && index >= group->view.first_index &&
         index < group->view.next_index && !journal->crashed;
         index++)
        entries[count++] = group->entries[index - group->view.first_index].entry;
    if (count == 0)
        error_set(&error, ERROR_NOT_FOUND, "not there");
    free(reading);
    journal->lies--;
    read->done(read, entries, count, &error);
    journal_free_if_closed(journal);
}

void journal_read(struct journal *journal, struct journal_read *read)
{
    struct reading *reading = malloc(sizeof *reading);
    assert(reading != NULL);
    *reading = (struct reading){.journal = journal, .read = read};
    journal->lies++;
    simulated_scheduler_after(journal->medium->scheduler, choose_delay_ns(journal->medium),
                              finish_read, reading);
}

static struct operation *submit(struct journal *journal, enum operation_kind kind, uint64_t group,
                                struct journal_request *request)
{
    struct operation *operation = calloc(1, sizeof *operation);
    assert(operation != NULL && journal->closed == NULL);
    operation->kind = kind;
    operation->group = group;
    operation->request = request;
    if (journal->medium->mode == MEDIUM_LYING && request != NULL) {
        struct lie *lie = malloc(sizeof *lie);
        assert(lie != NULL);
        *lie = (struct lie){.journal = journal, .request = request};
        operation->request = NULL;
        journal->lies++;
        simulated_scheduler_after(journal->medium->scheduler, 1, tell_lie, lie);
    }
    if (journal->crashed) {
        free(operation);
        return NULL;
    }
    *journal->end = operation;
    journal->end = &operation->next;
    start_batch(journal);
    return operation;
}

static uint64_t *next_index(struct journal *journal, uint64_t group)
{
    for (size_t i = 0; i < journal->next_count; i++)
        if (journal->next_group[i] == group)
            return &journal->next_index[i];
    assert(journal->next_count < GROUPS_MAX);
    journal->next_group[journal->next_count] = group;
    journal->next_index[journal->next_count] = 1;
    return &journal->next_index[journal->next_count++];
}

void journal_append(struct journal *journal, uint64_t group, const struct journal_entry *entries,
                    size_t entry_count, struct journal_request *request)
{
    for (size_t i = 0; i < entry_count; i++) {
        assert(entries[i].index == *next_index(journal, group));
        ++*next_index(journal, group);
        struct operation *operation =
            submit(journal, APPEND, group, i + 1 == entry_count ? request : NULL);
        if (operation == NULL)
            continue;
        operation->entry = entries[i];
        operation->payload = copy(entries[i].payload, entries[i].payload_bytes);
        operation->entry.payload = operation->payload;
    }
}

/* A medium in memory is never full, and takes everything. */
enum journal_space journal_space(const struct journal *journal)
{
    (void)journal;
    return JOURNAL_SPACE_OK;
}

bool journal_has_room(const struct journal *journal, uint64_t bytes)
{
    (void)journal;
    (void)bytes;
    return true;
}

void journal_truncate(struct journal *journal, uint64_t group, uint64_t index,
                      struct journal_request *request)
{
    struct operation *operation = submit(journal, TRUNCATE, group, request);
    if (index < *next_index(journal, group))
        *next_index(journal, group) = index;
    if (operation != NULL)
        operation->index = index;
}

void journal_set_metadata(struct journal *journal, uint64_t group, uint64_t term, uint64_t vote,
                          struct journal_request *request)
{
    struct operation *operation = submit(journal, METADATA, group, request);
    if (operation == NULL)
        return;
    operation->term = term;
    operation->vote = vote;
}

void journal_set_snapshot(struct journal *journal, uint64_t group,
                          const struct journal_snapshot *snapshot, struct journal_request *request)
{
    assert(snapshot->mode == JOURNAL_SNAPSHOT_INSTALLED || snapshot->low_water <= snapshot->index);
    struct operation *operation = submit(journal, SNAPSHOT, group, request);
    if (snapshot->mode == JOURNAL_SNAPSHOT_INSTALLED)
        *next_index(journal, group) = snapshot->index + 1;
    if (operation == NULL)
        return;
    operation->snapshot = *snapshot;
    operation->payload = copy(snapshot->payload, snapshot->payload_bytes);
}

void journal_close(struct journal *journal, void (*closed)(void *context), void *context)
{
    journal->closed = closed;
    journal->closed_context = context;
    journal_free_if_closed(journal);
}

/* --- Recovery ------------------------------------------------------------------------------ */

struct journal_recovery *group_medium_recover(struct group_medium *medium, struct error *error)
{
    (void)error;
    struct journal_recovery *recovery = calloc(1, sizeof *recovery);
    assert(recovery != NULL);
    recovery->group_count = medium->group_count;
    for (size_t i = 0; i < medium->group_count; i++) {
        const struct stored_group *from = &medium->groups[i];
        struct stored_group *to = &recovery->groups[i];
        size_t count = from->view.next_index - from->view.first_index;
        to->view = from->view;
        to->entries = calloc(count + 1, sizeof *to->entries);
        assert(to->entries != NULL);
        to->view.entries = to->entries;
        for (size_t j = 0; j < count; j++) {
            to->entries[j] = from->entries[j];
            to->entries[j].entry.payload =
                copy(from->entries[j].entry.payload, from->entries[j].entry.payload_bytes);
        }
        if (from->view.has_snapshot) {
            to->snapshot_payload = copy(from->snapshot_payload, from->view.snapshot.payload_bytes);
            to->view.snapshot.payload = to->snapshot_payload;
        }
    }
    return recovery;
}

void journal_recovery_close(struct journal_recovery *recovery)
{
    if (recovery == NULL)
        return;
    groups_clear(recovery->groups, recovery->group_count);
    free(recovery);
}

const struct journal_group *journal_recovery_find(const struct journal_recovery *recovery,
                                                  uint64_t group)
{
    for (size_t i = 0; i < recovery->group_count; i++)
        if (recovery->groups[i].view.group == group)
            return &recovery->groups[i].view;
    return NULL;
}

enum error_code journal_recovery_read(const struct journal_recovery *recovery,
                                      const struct journal_group *group, uint64_t first_index,
                                      uint64_t end_index, journal_entry_visit *visit, void *context,
                                      struct error *error)
{
    (void)recovery;
    assert(first_index >= group->first_index && end_index <= group->next_index);
    const struct stored_entry *entries = group->entries;
    enum error_code code = ERROR_NONE;
    for (uint64_t i = first_index; code == ERROR_NONE && i < end_index; i++)
        code = visit(context, &entries[i - group->first_index].entry, error);
    return code;
}

/* --- Replay -------------------------------------------------------------------------------- */

struct journal_replay_part {
    struct journal_replay *replay;
    struct journal_replay_part *next;
    struct stored_entry *entries; /* [count], with payloads of their own, until it is removed */
    size_t count, handed;
    struct journal_replay_events events;
    bool ended;
    void (*removed)(void *context);
};

struct journal_replay {
    struct simulated_scheduler *scheduler;
    struct journal_replay_part *parts;
    struct timer timer;
};

static void part_free(struct journal_replay_part *part)
{
    for (size_t i = 0; i < part->count; i++)
        free((void *)part->entries[i].entry.payload);
    free(part->entries);
    free(part);
}

/* A few of each part at a time, as a disk would have it. */
static void replay_some(struct timer *timer)
{
    struct journal_replay *replay =
        (struct journal_replay *)((char *)timer - offsetof(struct journal_replay, timer));
    struct error none = {.code = ERROR_NONE};
    for (struct journal_replay_part *part = replay->parts; part != NULL; part = part->next) {
        size_t some = random_below(&replay->scheduler->random.base, 8);
        for (; some > 0 && part->handed < part->count && part->removed == NULL; some--) {
            part->handed++;
            part->events.entry(part->events.context, &part->entries[part->handed - 1].entry);
        }
        if (part->handed == part->count && !part->ended && part->removed == NULL) {
            part->ended = true;
            part->events.ended(part->events.context, &none);
        }
    }
    struct journal_replay_part **link = &replay->parts;
    while (*link != NULL) {
        struct journal_replay_part *part = *link;
        if (part->removed == NULL) {
            link = &part->next;
            continue;
        }
        *link = part->next;
        part->removed(part->events.context);
        part_free(part);
    }
    if (replay->parts != NULL)
        scheduler_timer_start(&replay->scheduler->base, timer, 1);
}

enum error_code journal_replay_create(const struct journal_replay_options *options,
                                      struct journal_replay **replay_out, struct error *error)
{
    (void)error;
    struct journal_replay *replay = calloc(1, sizeof *replay);
    assert(replay != NULL);
    replay->scheduler = options->journal->medium->scheduler;
    replay->timer = (struct timer){.fire = replay_some, .heap_index = TIMER_IDLE};
    *replay_out = replay;
    return ERROR_NONE;
}

void journal_replay_destroy(struct journal_replay *replay)
{
    if (replay == NULL)
        return;
    assert(replay->parts == NULL);
    scheduler_timer_stop(&replay->scheduler->base, &replay->timer);
    free(replay);
}

bool journal_replay_is_idle(const struct journal_replay *replay)
{
    return replay->parts == NULL;
}

enum error_code journal_replay_add(struct journal_replay *replay, const struct journal_group *group,
                                   uint64_t first_index, uint64_t end_index,
                                   const struct journal_replay_events *events,
                                   struct journal_replay_part **part_out, struct error *error)
{
    if (first_index < group->first_index || end_index > group->next_index)
        return error_set(error, ERROR_NOT_FOUND, "entries to replay are missing");
    struct journal_replay_part *part = calloc(1, sizeof *part);
    assert(part != NULL);
    *part = (struct journal_replay_part){.replay = replay,
                                         .next = replay->parts,
                                         .events = *events,
                                         .count = end_index - first_index};
    part->entries = calloc(part->count, sizeof *part->entries);
    assert(part->entries != NULL);
    const struct stored_entry *entries = group->entries;
    for (size_t i = 0; i < part->count; i++) {
        part->entries[i] = entries[first_index - group->first_index + i];
        part->entries[i].entry.payload =
            copy(part->entries[i].entry.payload, part->entries[i].entry.payload_bytes);
    }
    replay->parts = part;
    scheduler_timer_start(&replay->scheduler->base, &replay->timer, 1);
    *part_out = part;
    return ERROR_NONE;
}

void journal_replay_release(struct journal_replay_part *part, uint64_t index)
{
    (void)part;
    (void)index;
}

void journal_replay_remove(struct journal_replay_part *part, void (*removed)(void *context))
{
    assert(part->removed == NULL);
    part->removed = removed;
    scheduler_timer_start(&part->replay->scheduler->base, &part->replay->timer, 1);
}
