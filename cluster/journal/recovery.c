#include "recovery_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Damage ---------------------------------------------------------------------------------- */

void damage_add(struct journal_recovery *recovery, const struct found *found, uint64_t offset,
                const char *message)
{
    if (recovery->damage_count == recovery->damage_capacity) {
        size_t capacity = recovery->damage_capacity * 2 + 8;
        struct journal_damage *damage = realloc(recovery->damage, capacity * sizeof *damage);
        if (damage == NULL) {
            recovery->out_of_memory = true;
            return;
        }
        recovery->damage = damage;
        recovery->damage_capacity = capacity;
    }
    struct journal_damage *damage = &recovery->damage[recovery->damage_count++];
    *damage = (struct journal_damage){.offset_bytes = offset};
    if (found != NULL) {
        damage->lane = found->lane;
        damage->segment = found->sequence;
    }
    snprintf(damage->message, sizeof damage->message, "%s", message);
}

/* --- Adding up ------------------------------------------------------------------------------- */

struct replay {
    struct journal_recovery *recovery;
    struct found *found;
};

static enum error_code replay_record(void *context, const struct record *record, uint64_t offset,
                                     struct error *error)
{
    struct replay *replay = context;
    struct found *found = replay->found;
    struct location location = {
        .segment = found->segment,
        .offset_units = (uint32_t)(offset / 8),
        .payload_bytes = record->payload_bytes,
    };
    enum error_code code = group_index_apply(&replay->recovery->index, record, location,
                                             found->scan.header.generation, error);
    if (code == ERROR_CORRUPT || code == ERROR_LIMIT) {
        damage_add(replay->recovery, found, offset, error->message);
        found->damaged = true;
        error_clear(error);
        code = ERROR_NONE;
    }
    if (code == ERROR_NONE && found->damaged && record->type != RECORD_SEGMENTS) {
        struct group_state *state = group_index_add(&replay->recovery->index, record->group);
        if (state == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
        state->damaged = true;
    }
    return code;
}

static enum error_code segments_make(struct journal_recovery *recovery, struct error *error)
{
    struct archive *archive = recovery->archive;
    archive->segments = calloc(recovery->found_count + 1, sizeof *archive->segments);
    if (archive->segments == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct found *found = &recovery->found[i];
        if (found->discarded || found->error.code != ERROR_NONE)
            continue;
        struct segment *segment = calloc(1, sizeof *segment);
        if (segment == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
        *segment = (struct segment){
            .lane = found->lane,
            .generation = found->scan.header.generation,
            .sequence = found->sequence,
            .size_bytes = found->size_bytes,
            .salt = found->scan.header.salt,
            .last_batch = found->accepted_last_batch,
            .holds = 1, /* until the recovery is closed */
            .archived = true,
        };
        found->segment = segment;
        archive->segments[archive->count++] = segment;
    }
    atomic_store(&archive->alive, archive->count);
    return ERROR_NONE;
}

static enum error_code replay_all(struct journal_recovery *recovery, struct error *error)
{
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct found *found = &recovery->found[i];
        struct replay replay = {.recovery = recovery, .found = found};
        for (size_t j = 0; found->segment != NULL && j < found->scan.count; j++) {
            const struct scan_batch *batch = &found->scan.batches[j];
            if (batch->header.sequence > found->accepted_last_batch)
                break;
            enum error_code code = scan_records(&found->scan, batch, replay_record, &replay, error);
            if (code != ERROR_NONE)
                return code;
            recovery->summary.batches++;
            recovery->summary.records += batch->header.record_count;
        }
    }
    return ERROR_NONE;
}

static void location_hold(const struct location *location)
{
    if (location->segment == NULL)
        return;
    atomic_fetch_add(&location->segment->holds, 1);
    atomic_fetch_add(&location->segment->live_bytes, (int64_t)record_size(location->payload_bytes));
}

/* A group is whole when none of its entries is missing. */
static void state_finish(struct journal_recovery *recovery, struct group_state *state)
{
    for (uint64_t i = state->first_index; i < state->next_index; i++) {
        const struct location *entry = group_state_entry(state, i);
        location_hold(entry);
        if (entry->segment == NULL && !state->damaged) {
            char message[128];
            snprintf(message, sizeof message, "group %llu lacks entry %llu",
                     (unsigned long long)state->group, (unsigned long long)i);
            damage_add(recovery, NULL, 0, message);
            state->damaged = true;
        }
    }
    if (state->snapshot_expected && state->snapshot.segment == NULL && !state->damaged) {
        char message[128];
        snprintf(message, sizeof message, "group %llu lacks its snapshot",
                 (unsigned long long)state->group);
        damage_add(recovery, NULL, 0, message);
        state->damaged = true;
    }
    if (state->damaged && recovery->damage_count == 0)
        damage_add(recovery, NULL, 0, "a group that was damaged before has not been rebuilt");
    /* A damaged group hands out what is there without a gap. */
    for (uint64_t i = state->first_index; state->damaged && i < state->next_index; i++)
        if (group_state_entry(state, i)->segment == NULL)
            state->next_index = i;
    location_hold(&state->snapshot);
}

/* The record of a snapshot, in memory of its own. */
static enum error_code snapshot_read(const struct journal_recovery *recovery,
                                     const struct location *location, uint8_t **bytes_out,
                                     struct record *record_out, struct error *error)
{
    const struct segment *segment = location->segment;
    uint64_t offset = (uint64_t)location->offset_units * 8;
    size_t size = record_size(location->payload_bytes);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "snapshot of %zu bytes", size);
    char path[DISK_PATH_MAX + 1];
    segment_path(path, recovery->directory, segment->lane, segment->sequence, SEGMENT_NAME_FINAL);
    struct file *file = NULL;
    enum error_code code = disk_open(recovery->disk, path, DISK_OPEN_READ, &file, error);
    if (code == ERROR_NONE) {
        code = disk_read_at(recovery->disk, file, offset, bytes, size, error);
        disk_close(recovery->disk, file);
    }
    if (code == ERROR_NONE && record_decode(bytes, size, segment->salt, record_out) == 0)
        code = error_set(error, ERROR_IO, "a snapshot reads otherwise than before");
    if (code != ERROR_NONE) {
        free(bytes);
        return code;
    }
    *bytes_out = bytes;
    return ERROR_NONE;
}

static enum error_code group_view(const struct journal_recovery *recovery,
                                  const struct group_state *state, struct journal_group *group_out,
                                  uint8_t **snapshot_out, struct error *error)
{
    *group_out = (struct journal_group){
        .group = state->group,
        .term = state->term,
        .vote = state->vote,
        .first_index = state->first_index,
        .next_index = state->next_index,
        .has_snapshot = state->snapshot.segment != NULL,
        .damaged = state->damaged,
        .entries = state,
    };
    if (!group_out->has_snapshot)
        return ERROR_NONE;
    struct record record;
    enum error_code code = snapshot_read(recovery, &state->snapshot, snapshot_out, &record, error);
    if (code != ERROR_NONE)
        return code;
    group_out->snapshot = (struct journal_snapshot){
        .index = record.index,
        .term = record.term,
        .low_water = state->first_index - 1,
        .mode =
            record.flags & RECORD_INSTALLED ? JOURNAL_SNAPSHOT_INSTALLED : JOURNAL_SNAPSHOT_TAKEN,
        .version = record.version,
        .payload = record.payload,
        .payload_bytes = record.payload_bytes,
    };
    return ERROR_NONE;
}

static int group_compare(const void *left, const void *right)
{
    const struct journal_group *a = left, *b = right;
    return a->group < b->group ? -1 : a->group > b->group;
}

static enum error_code groups_make(struct journal_recovery *recovery, struct error *error)
{
    recovery->groups = calloc(recovery->index.count + 1, sizeof *recovery->groups);
    if (recovery->groups == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    for (size_t i = 0; i < recovery->index.capacity; i++) {
        struct group_state *state = recovery->index.table[i];
        if (state == NULL)
            continue;
        if (state->deleted) {
            state->deleted_before_generation = recovery->summary.generation;
            continue;
        }
        state_finish(recovery, state);
        recovery->groups[recovery->group_count++] =
            (struct journal_group){.group = state->group, .entries = state};
    }
    qsort(recovery->groups, recovery->group_count, sizeof *recovery->groups, group_compare);
    return ERROR_NONE;
}

static enum error_code groups_fill(struct journal_recovery *recovery, struct error *error)
{
    recovery->snapshots = calloc(recovery->group_count + 1, sizeof *recovery->snapshots);
    if (recovery->snapshots == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < recovery->group_count; i++)
        code = group_view(recovery, recovery->groups[i].entries, &recovery->groups[i],
                          &recovery->snapshots[i], error);
    return code;
}

/* --- Tidying up the disk --------------------------------------------------------------------- */

/* What lies behind a torn tail must never count again; spares are not worth keeping. */
static enum error_code discarded_remove(struct journal_recovery *recovery, struct error *error)
{
    bool touched[JOURNAL_LANES_MAX] = {false};
    for (size_t i = 0; i < recovery->found_count; i++) {
        const struct found *found = &recovery->found[i];
        if (!found->discarded)
            continue;
        char path[DISK_PATH_MAX + 1];
        segment_path(path, recovery->directory, found->lane, found->sequence,
                     found->spare ? SEGMENT_NAME_SPARE : SEGMENT_NAME_FINAL);
        enum error_code code = disk_remove(recovery->disk, path, error);
        if (code != ERROR_NONE)
            return code;
        touched[found->lane] = true;
        recovery->summary.discarded_segments += !found->spare;
    }
    for (uint32_t lane = 0; lane < JOURNAL_LANES_MAX; lane++) {
        char path[DISK_PATH_MAX + 1];
        lane_path(path, recovery->directory, lane);
        enum error_code code =
            touched[lane] ? disk_sync_directory(recovery->disk, path, error) : ERROR_NONE;
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Public ---------------------------------------------------------------------------------- */

static enum error_code unreadable_note(struct journal_recovery *recovery, struct error *error)
{
    recovery->unreadable = calloc(recovery->found_count + 1, sizeof *recovery->unreadable);
    if (recovery->unreadable == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    for (size_t i = 0; i < recovery->found_count; i++)
        if (recovery->found[i].error.code != ERROR_NONE)
            recovery->unreadable[recovery->unreadable_count++] =
                (struct unreadable){recovery->found[i].lane, recovery->found[i].sequence};
    return ERROR_NONE;
}

static void found_clear(struct journal_recovery *recovery)
{
    for (size_t i = 0; i < recovery->found_count; i++)
        segment_scan_clear(&recovery->found[i].scan);
    free(recovery->found);
    recovery->found = NULL;
    recovery->found_count = 0;
}

/* What a group lacks has no place. */
static enum error_code refuse(const char *directory, const struct journal_damage *damage,
                              size_t count, struct error *error)
{
    if (damage->segment == 0)
        return error_set(error, ERROR_CORRUPT, "'%s': %s (%zu places)", directory, damage->message,
                         count);
    return error_set(error, ERROR_CORRUPT,
                     "'%s/%u/%016" PRIx64 ".segment' at %llu: %s (%zu places)", directory,
                     damage->lane, damage->segment, (unsigned long long)damage->offset_bytes,
                     damage->message, count);
}

static enum error_code recover(struct journal_recovery *recovery,
                               const struct journal_recovery_options *options, struct error *error)
{
    enum error_code code = recovery_find_files(recovery, error);
    if (code == ERROR_NONE)
        code = recovery_read_files(recovery, options->pool, error);
    if (code != ERROR_NONE)
        return code;
    recovery_decide(recovery);
    code = unreadable_note(recovery, error);
    if (code == ERROR_NONE)
        code = segments_make(recovery, error);
    if (code == ERROR_NONE)
        code = replay_all(recovery, error);
    if (code == ERROR_NONE)
        code = groups_make(recovery, error);
    if (code != ERROR_NONE)
        return code;
    if (recovery->out_of_memory)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    if (recovery->damage_count > 0 && options->damage_policy == JOURNAL_DAMAGE_REFUSE)
        return refuse(options->directory, &recovery->damage[0], recovery->damage_count, error);
    code = groups_fill(recovery, error);
    return code == ERROR_NONE ? discarded_remove(recovery, error) : code;
}

enum error_code journal_recover(struct disk *disk, const struct journal_recovery_options *options,
                                struct journal_recovery **recovery_out, struct error *error)
{
    if (strlen(options->directory) > DISK_PATH_MAX - 40)
        return error_set(error, ERROR_INVALID, "journal directory: path too long");
    struct journal_recovery *recovery = calloc(1, sizeof *recovery);
    struct archive *archive = calloc(1, sizeof *archive);
    if (recovery == NULL || archive == NULL) {
        free(recovery);
        free(archive);
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    }
    atomic_store(&archive->references, 1);
    recovery->archive = archive;
    recovery->disk = disk;
    recovery->summary.generation = 1;
    memcpy(recovery->directory, options->directory, strlen(options->directory) + 1);
    enum error_code code = recover(recovery, options, error);
    found_clear(recovery);
    if (code != ERROR_NONE) {
        journal_recovery_close(recovery);
        return code;
    }
    *recovery_out = recovery;
    return ERROR_NONE;
}

/* With every group at home in new segments, old ones in which nothing lives may go. */
static void archive_release(struct journal_recovery *recovery)
{
    struct archive *archive = recovery->archive;
    for (size_t i = 0; i < archive->count; i++) {
        struct segment *segment = archive->segments[i];
        if (atomic_fetch_sub(&segment->holds, 1) > 1)
            continue;
        char path[DISK_PATH_MAX + 1], lane[DISK_PATH_MAX + 1];
        segment_path(path, recovery->directory, segment->lane, segment->sequence,
                     SEGMENT_NAME_FINAL);
        lane_path(lane, recovery->directory, segment->lane);
        struct error error;
        /* What cannot be removed now is found, empty of live records, by the next recovery. */
        if (disk_remove(recovery->disk, path, &error) == ERROR_NONE &&
            disk_sync_directory(recovery->disk, lane, &error) == ERROR_NONE)
            atomic_fetch_sub(&archive->alive, 1);
    }
}

/* Their damage lives on in the checkpoints; out of the way, but kept for who wants to look. */
static void unreadable_set_aside(struct journal_recovery *recovery)
{
    for (size_t i = 0; i < recovery->unreadable_count; i++) {
        const struct unreadable *file = &recovery->unreadable[i];
        char from[DISK_PATH_MAX + 1], to[DISK_PATH_MAX + 1], lane[DISK_PATH_MAX + 1];
        segment_path(from, recovery->directory, file->lane, file->sequence, SEGMENT_NAME_FINAL);
        segment_path(to, recovery->directory, file->lane, file->sequence, SEGMENT_NAME_DAMAGED);
        lane_path(lane, recovery->directory, file->lane);
        struct error error;
        /* Left in place it is reported again: the safe side. */
        if (disk_rename(recovery->disk, from, to, &error) == ERROR_NONE)
            (void)disk_sync_directory(recovery->disk, lane, &error);
    }
}

void journal_recovery_close(struct journal_recovery *recovery)
{
    if (recovery == NULL)
        return;
    if (recovery->groups != NULL && atomic_load(&recovery->opened) &&
        atomic_load(&recovery->adopted_count) == recovery->group_count) {
        archive_release(recovery);
        unreadable_set_aside(recovery);
    }
    archive_unref(recovery->archive);
    group_index_clear(&recovery->index);
    for (size_t i = 0; recovery->snapshots != NULL && i < recovery->group_count; i++)
        free(recovery->snapshots[i]);
    free(recovery->snapshots);
    free(recovery->groups);
    free(recovery->damage);
    free(recovery->unreadable);
    free(recovery);
}

size_t journal_recovery_group_count(const struct journal_recovery *recovery)
{
    return recovery->group_count;
}

const struct journal_group *journal_recovery_group(const struct journal_recovery *recovery,
                                                   size_t position)
{
    assert(position < recovery->group_count);
    return &recovery->groups[position];
}

const struct journal_group *journal_recovery_find(const struct journal_recovery *recovery,
                                                  uint64_t group)
{
    struct journal_group key = {.group = group};
    return bsearch(&key, recovery->groups, recovery->group_count, sizeof key, group_compare);
}

size_t journal_recovery_damage_count(const struct journal_recovery *recovery)
{
    return recovery->damage_count;
}

const struct journal_damage *journal_recovery_damage(const struct journal_recovery *recovery,
                                                     size_t position)
{
    assert(position < recovery->damage_count);
    return &recovery->damage[position];
}

struct journal_recovery_summary journal_recovery_summary(const struct journal_recovery *recovery)
{
    return recovery->summary;
}

/* --- For journal_open ------------------------------------------------------------------------ */

struct archive *recovery_archive(struct journal_recovery *recovery)
{
    atomic_fetch_add(&recovery->archive->references, 1);
    return recovery->archive;
}

uint64_t recovery_generation(const struct journal_recovery *recovery)
{
    return recovery->summary.generation;
}

uint64_t recovery_next_sequence(const struct journal_recovery *recovery, uint32_t lane)
{
    for (size_t i = 0; i < recovery->lane_count; i++)
        if (recovery->lanes[i].lane == lane)
            return recovery->lanes[i].sequence_max + 1;
    return 1;
}

const struct group_index *recovery_index(const struct journal_recovery *recovery)
{
    return &recovery->index;
}

void recovery_adopted(struct journal_recovery *recovery, size_t count)
{
    atomic_fetch_add(&recovery->adopted_count, count);
    atomic_store(&recovery->opened, true);
}
