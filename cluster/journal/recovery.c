/*
 * recovery - read every lane, find where each ends, and add up its records.
 *
 * In three passes: read and check the segments (in parallel), decide for each chain of segments
 * of one lane and generation how much of it counts, then apply the records in order. Nothing on
 * the disk is changed before all of that is known. The rules: docs/formats/journal.md.
 */
#include "recovery.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "platform/parallel.h"
#include "scan.h"

/* --- Constants ------------------------------------------------------------------------------- */

enum { FIRST_READ_BYTES = 256 * 1024, READ_BYTES = 4 * 1024 * 1024 };

/* --- Types ----------------------------------------------------------------------------------- */

struct found {
    uint32_t lane;
    uint64_t sequence;
    uint64_t size_bytes;
    uint8_t *content; /* owned until it moves to the segment */
    struct segment_scan scan;
    struct error error; /* of reading it; CORRUPT is damage, not failure */
    struct segment *segment;

    /* Where a checkpoint says it ends, the newest one that speaks of it. */
    bool listed;
    bool listed_by_own_generation;
    uint64_t listed_generation, listed_sequence; /* of who says so */
    uint64_t listed_last_batch;
    const struct found *spoken_of_by; /* the latest checkpoint looked at that lists it */

    uint64_t accepted_last_batch; /* 0: nothing in it counts */
    bool spare;                   /* a file of no content */
    bool discarded;
    bool damaged;
};

/* A file whose header is gone, to be set aside once the groups of its lane are marked. */
struct unreadable {
    uint32_t lane;
    uint64_t sequence;
};

struct lane_end {
    uint32_t lane;
    uint64_t sequence_max;
};

struct journal_recovery {
    struct disk *disk;
    char directory[DISK_PATH_MAX + 1];
    struct found *found; /* [found_count], by generation, lane, sequence */
    size_t found_count, found_capacity;
    struct lane_end lanes[JOURNAL_LANES_MAX];
    size_t lane_count;
    uint64_t lane_listed; /* while listing */
    bool out_of_memory;
    struct group_index index;
    struct archive *archive;
    struct journal_group *groups; /* [group_count], by id, without deleted ones */
    size_t group_count;
    atomic_size_t adopted_count;
    struct journal_damage *damage;
    size_t damage_count, damage_capacity;
    struct unreadable *unreadable;
    size_t unreadable_count;
    struct journal_recovery_summary summary;
};

/* --- Damage ---------------------------------------------------------------------------------- */

static void damage_add(struct journal_recovery *recovery, const struct found *found,
                       uint64_t offset, const char *message)
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

/* --- Finding the files ----------------------------------------------------------------------- */

static struct lane_end *lane_end_of(struct journal_recovery *recovery, uint32_t lane)
{
    for (size_t i = 0; i < recovery->lane_count; i++)
        if (recovery->lanes[i].lane == lane)
            return &recovery->lanes[i];
    return NULL;
}

static bool list_lane(void *context, const char *name, bool is_directory)
{
    struct journal_recovery *recovery = context;
    uint64_t lane = 0;
    if (is_directory && text_to_uint64(text_of(name), &lane) && lane < JOURNAL_LANES_MAX &&
        lane_end_of(recovery, (uint32_t)lane) == NULL)
        recovery->lanes[recovery->lane_count++] = (struct lane_end){.lane = (uint32_t)lane};
    return true;
}

static bool list_segment(void *context, const char *name, bool is_directory)
{
    struct journal_recovery *recovery = context;
    struct lane_end *lane = &recovery->lanes[recovery->lane_listed];
    uint64_t sequence = 0;
    char suffix[16] = "";
    if (is_directory || sscanf(name, "%16" SCNx64 ".%15s", &sequence, suffix) != 2 ||
        sequence >= RECORD_NUMBER_MAX)
        return true;
    if (sequence > lane->sequence_max)
        lane->sequence_max = sequence;
    if (strcmp(suffix, "segment") != 0 && strcmp(suffix, "spare") != 0)
        return true;
    if (recovery->found_count == recovery->found_capacity) {
        size_t capacity = recovery->found_capacity * 2 + 16;
        struct found *found = realloc(recovery->found, capacity * sizeof *found);
        if (found == NULL) {
            recovery->out_of_memory = true;
            return false;
        }
        recovery->found = found;
        recovery->found_capacity = capacity;
    }
    recovery->found[recovery->found_count++] = (struct found){
        .lane = lane->lane,
        .sequence = sequence,
        .spare = strcmp(suffix, "spare") == 0,
        .discarded = strcmp(suffix, "spare") == 0,
    };
    return true;
}

static enum error_code find_files(struct journal_recovery *recovery, struct error *error)
{
    enum error_code code =
        disk_list(recovery->disk, recovery->directory, list_lane, recovery, error);
    if (code == ERROR_NOT_FOUND) {
        error_clear(error);
        return ERROR_NONE;
    }
    for (size_t i = 0; code == ERROR_NONE && i < recovery->lane_count; i++) {
        char path[DISK_PATH_MAX + 1];
        lane_path(path, recovery->directory, recovery->lanes[i].lane);
        recovery->lane_listed = i;
        code = disk_list(recovery->disk, path, list_segment, recovery, error);
        if (code == ERROR_NONE)
            code = disk_sync_directory(recovery->disk, path, error);
    }
    if (code == ERROR_NONE && recovery->out_of_memory)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    return code;
}

/* --- Reading them ---------------------------------------------------------------------------- */

static enum error_code file_open_synced(struct journal_recovery *recovery, struct found *found,
                                        struct file **file_out, struct error *error)
{
    char path[DISK_PATH_MAX + 1];
    segment_path(path, recovery->directory, found->lane, found->sequence, SEGMENT_NAME_FINAL);
    struct file *file = NULL;
    enum error_code code = disk_open(recovery->disk, path, DISK_OPEN_READ, &file, error);
    if (code != ERROR_NONE)
        return code;
    /* What a killed process left in the page cache may still be lost: make it count first. */
    code = disk_sync(recovery->disk, file, error);
    if (code == ERROR_NONE)
        code = disk_size(recovery->disk, file, &found->size_bytes, error);
    if (code != ERROR_NONE) {
        disk_close(recovery->disk, file);
        return code;
    }
    *file_out = file;
    return ERROR_NONE;
}

/* Read from where `read_bytes` stands, as far as the batches lead. Memory of the rest of the
 * segment is never touched. */
static enum error_code batches_read(struct journal_recovery *recovery, struct found *found,
                                    struct file *file, uint64_t *read_bytes, struct error *error)
{
    bool more = true;
    while (more) {
        uint64_t left = found->size_bytes - *read_bytes;
        uint64_t piece = *read_bytes == 0 ? FIRST_READ_BYTES : READ_BYTES;
        if (piece > left)
            piece = left;
        enum error_code code = disk_read_at(recovery->disk, file, *read_bytes,
                                            found->content + *read_bytes, piece, error);
        if (code != ERROR_NONE)
            return code == ERROR_CORRUPT ? error_set(error, ERROR_IO, "the file shrank") : code;
        if (*read_bytes == 0) {
            code = scan_begin(found->content, found->size_bytes, &found->scan, error);
            if (code != ERROR_NONE)
                return code;
        }
        *read_bytes += piece;
        code =
            scan_extend(&found->scan, found->content, *read_bytes, found->size_bytes, &more, error);
        if (code != ERROR_NONE)
            return code;
        assert(!more || *read_bytes < found->size_bytes);
    }
    return ERROR_NONE;
}

/* What lies behind the last good batch, in pieces that are not kept. */
static enum error_code rest_read(struct journal_recovery *recovery, struct found *found,
                                 struct file *file, uint64_t read_bytes, struct error *error)
{
    struct segment_scan *scan = &found->scan;
    uint64_t whole_bytes = read_bytes & ~(uint64_t)(BLOCK_BYTES - 1);
    if (scan->end_offset < whole_bytes)
        scan_stranded(scan, found->content + scan->end_offset, scan->end_offset,
                      whole_bytes - scan->end_offset, found->size_bytes);
    uint64_t offset = whole_bytes > scan->end_offset ? whole_bytes : scan->end_offset;
    uint8_t *piece = malloc(FIRST_READ_BYTES);
    if (piece == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && offset < found->size_bytes) {
        uint64_t left = found->size_bytes - offset;
        uint64_t size = left < FIRST_READ_BYTES ? left : FIRST_READ_BYTES;
        code = disk_read_at(recovery->disk, file, offset, piece, size, error);
        if (code == ERROR_NONE)
            scan_stranded(scan, piece, offset, size, found->size_bytes);
        offset += size;
    }
    free(piece);
    return code == ERROR_CORRUPT ? error_set(error, ERROR_IO, "the file shrank") : code;
}

static void read_one(void *context, size_t part, size_t lane)
{
    (void)lane;
    struct journal_recovery *recovery = context;
    struct found *found = &recovery->found[part];
    error_clear(&found->error);
    struct file *file = NULL;
    uint64_t read_bytes = 0;
    if (found->discarded || file_open_synced(recovery, found, &file, &found->error) != ERROR_NONE)
        return;
    found->content = malloc(found->size_bytes + 1);
    enum error_code code =
        found->content == NULL
            ? error_set(&found->error, ERROR_OUT_OF_MEMORY, "journal segment of %llu bytes",
                        (unsigned long long)found->size_bytes)
            : batches_read(recovery, found, file, &read_bytes, &found->error);
    if (code == ERROR_NONE)
        code = rest_read(recovery, found, file, read_bytes, &found->error);
    disk_close(recovery->disk, file);
    if (code == ERROR_NONE && (found->scan.header.lane != found->lane ||
                               found->scan.header.sequence != found->sequence)) {
        segment_scan_clear(&found->scan);
        error_set(&found->error, ERROR_CORRUPT, "the header is of another segment");
    }
}

static int found_compare(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    const uint64_t left_key[3] = {a->scan.header.generation, a->lane, a->sequence};
    const uint64_t right_key[3] = {b->scan.header.generation, b->lane, b->sequence};
    for (size_t i = 0; i < 3; i++)
        if (left_key[i] != right_key[i])
            return left_key[i] < right_key[i] ? -1 : 1;
    return 0;
}

static enum error_code read_files(struct journal_recovery *recovery, struct worker_pool *pool,
                                  struct error *error)
{
    parallel_run(pool, recovery->found_count, read_one, recovery);
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct found *found = &recovery->found[i];
        if (found->error.code != ERROR_NONE && found->error.code != ERROR_CORRUPT) {
            *error = found->error;
            return error_wrap(error, "journal lane %u segment %016" PRIx64, found->lane,
                              found->sequence);
        }
        recovery->summary.segments += !found->discarded;
        recovery->summary.bytes_read += found->size_bytes;
        if (found->scan.header.generation >= recovery->summary.generation)
            recovery->summary.generation = found->scan.header.generation + 1;
    }
    if (recovery->found_count > 0)
        qsort(recovery->found, recovery->found_count, sizeof *recovery->found, found_compare);
    return ERROR_NONE;
}

/* --- Where each lane ends -------------------------------------------------------------------- */

struct listing {
    struct journal_recovery *recovery;
    const struct found *source;
};

static enum error_code listing_take(void *context, const struct record *record, uint64_t offset,
                                    struct error *error)
{
    (void)offset;
    (void)error;
    struct listing *listing = context;
    const struct found *source = listing->source;
    if (record->type != RECORD_SEGMENTS)
        return ERROR_NONE;
    for (uint32_t at = 0; at + SEGMENT_ITEM_BYTES <= record->payload_bytes;
         at += SEGMENT_ITEM_BYTES) {
        struct segment_item item = segment_item_decode(record->payload + at);
        struct found key = {.lane = item.lane, .sequence = item.sequence};
        key.scan.header.generation = item.generation;
        struct found *found =
            bsearch(&key, listing->recovery->found, listing->recovery->found_count,
                    sizeof *listing->recovery->found, found_compare);
        uint64_t generation = source->scan.header.generation;
        if (found == NULL || found->discarded || found->error.code != ERROR_NONE)
            continue;
        found->spoken_of_by = source;
        if (found->listed &&
            (found->listed_generation > generation ||
             (found->listed_generation == generation && found->listed_sequence > source->sequence)))
            continue;
        found->listed = true;
        found->listed_generation = generation;
        found->listed_sequence = source->sequence;
        found->listed_by_own_generation = generation == item.generation;
        found->listed_last_batch = item.last_batch;
    }
    return ERROR_NONE;
}

/* A checkpoint lists every older segment that is still needed, so the others are not: their
 * removal was under way. */
static void unlisted_discard(struct journal_recovery *recovery, const struct found *source)
{
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct found *found = &recovery->found[i];
        uint64_t generation = found->scan.header.generation;
        bool older = generation < source->scan.header.generation ||
                     (generation == source->scan.header.generation && found->lane == source->lane &&
                      found->sequence < source->sequence);
        if (older && found->error.code == ERROR_NONE && found->spoken_of_by != source)
            found->discarded = true;
    }
}

static void listings_collect(struct journal_recovery *recovery)
{
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct found *found = &recovery->found[i];
        struct listing listing = {.recovery = recovery, .source = found};
        struct error never;
        if (found->scan.count == 0 || !(found->scan.batches[0].header.flags & BATCH_CHECKPOINT))
            continue;
        (void)scan_records(found->content, &found->scan.batches[0], listing_take, &listing, &never);
        unlisted_discard(recovery, found);
    }
}

static uint64_t minimum(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* One chain: found[first, end), all of one lane and generation. */
static void chain_decide(struct journal_recovery *recovery, size_t first, size_t end)
{
    uint64_t durable_max = 0;
    for (size_t i = first; i < end; i++)
        if (!recovery->found[i].discarded && recovery->found[i].scan.durable_max > durable_max)
            durable_max = recovery->found[i].scan.durable_max;

    uint64_t last = 0; /* batch accepted so far */
    bool torn = false, damaged = false, settled = false;
    for (size_t i = first; i < end; i++) {
        struct found *found = &recovery->found[i];
        const struct segment_scan *scan = &found->scan;
        found->discarded = found->discarded || torn;
        if (found->discarded)
            continue;
        uint64_t found_last = scan->count == 0 ? 0 : scan->batches[scan->count - 1].header.sequence;
        uint64_t found_first = scan->count == 0 ? 0 : scan->batches[0].header.sequence;
        uint64_t must = 0;
        if (found->listed)
            must = found->listed_by_own_generation ? minimum(found->listed_last_batch, durable_max)
                                                   : found->listed_last_batch;
        settled = settled || (found->listed && !found->listed_by_own_generation);
        const char *problem = NULL;
        if (found_last < must)
            problem = "acknowledged batches do not check";
        else if (!found->listed && scan->stranded_count > 0 &&
                 scan->stranded_durable_max > (found_last > last ? found_last : last))
            problem = "a batch does not check but later ones do";
        else if (scan->count > 0 && found_first <= last)
            problem = "batches come twice";
        if (problem != NULL) {
            damage_add(recovery, found, scan->end_offset, problem);
            found->damaged = true;
            damaged = true;
        }
        found->accepted_last_batch = found_last;
        if (found->listed && found_last > found->listed_last_batch)
            found->accepted_last_batch = found->listed_last_batch;
        if (!damaged && found->listed && found_last < found->listed_last_batch)
            torn = true; /* the checkpoint that lists it was in flight with what is missing */
        else if (!damaged && scan->stranded_count > 0 && !found->listed)
            torn = true;
        recovery->summary.torn_tails += torn;
        if (found->accepted_last_batch > last)
            last = found->accepted_last_batch;
    }
    if (!damaged && !settled && durable_max > last) {
        /* The segment in use is never removed, so what it called durable must be here; unless an
         * earlier recovery has seen and reported it. */
        damage_add(recovery, &recovery->found[end - 1], 0, "acknowledged batches are missing");
        damaged = true;
    }
    for (size_t i = first; i < end; i++) {
        struct found *found = &recovery->found[i];
        found->damaged = found->damaged || damaged;
        /* Prepared and never used, or used by nothing that counts. */
        if (!damaged && found->accepted_last_batch == 0)
            found->discarded = true;
    }
}

static void chains_decide(struct journal_recovery *recovery)
{
    listings_collect(recovery);
    size_t first = 0;
    while (first < recovery->found_count) {
        struct found *head = &recovery->found[first];
        if (head->discarded || head->error.code != ERROR_NONE) {
            if (head->error.code != ERROR_NONE)
                damage_add(recovery, head, 0, head->error.message);
            first++;
            continue;
        }
        size_t end = first + 1;
        while (end < recovery->found_count && recovery->found[end].lane == head->lane &&
               recovery->found[end].scan.header.generation == head->scan.header.generation)
            end++;
        chain_decide(recovery, first, end);
        first = end;
    }
    /* A segment without a header may be of any generation of its lane. */
    for (size_t i = 0; i < recovery->found_count; i++)
        for (size_t j = 0; recovery->found[i].error.code != ERROR_NONE && j < recovery->found_count;
             j++)
            if (recovery->found[j].lane == recovery->found[i].lane)
                recovery->found[j].damaged = true;
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
            .content = found->content,
        };
        found->content = NULL;
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
            enum error_code code =
                scan_records(found->segment->content, batch, replay_record, &replay, error);
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

static struct record record_at(const struct location *location)
{
    struct record record = {0};
    uint64_t offset = (uint64_t)location->offset_units * 8;
    assert(location->segment != NULL && location->segment->content != NULL);
    size_t taken = record_view(location->segment->content + offset,
                               location->segment->size_bytes - offset, &record);
    assert(taken > 0);
    return record;
}

static struct journal_group group_view(const struct group_state *state)
{
    struct journal_group group = {
        .group = state->group,
        .term = state->term,
        .vote = state->vote,
        .first_index = state->first_index,
        .next_index = state->next_index,
        .has_snapshot = state->snapshot.segment != NULL,
        .damaged = state->damaged,
        .entries = state,
    };
    if (group.has_snapshot) {
        struct record record = record_at(&state->snapshot);
        group.snapshot = (struct journal_snapshot){
            .index = record.index,
            .term = record.term,
            .low_water = state->first_index - 1,
            .mode = record.flags & RECORD_INSTALLED ? JOURNAL_SNAPSHOT_INSTALLED
                                                    : JOURNAL_SNAPSHOT_TAKEN,
            .version = record.version,
            .payload = record.payload,
            .payload_bytes = record.payload_bytes,
        };
    }
    return group;
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
        recovery->groups[recovery->group_count++] = group_view(state);
    }
    qsort(recovery->groups, recovery->group_count, sizeof *recovery->groups, group_compare);
    /* Segments in which nothing lives need no memory. */
    for (size_t i = 0; i < recovery->archive->count; i++) {
        struct segment *segment = recovery->archive->segments[i];
        if (atomic_load(&segment->holds) == 1) {
            free(segment->content);
            segment->content = NULL;
        }
    }
    return ERROR_NONE;
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
    for (size_t i = 0; i < recovery->found_count; i++) {
        segment_scan_clear(&recovery->found[i].scan);
        free(recovery->found[i].content);
    }
    free(recovery->found);
    recovery->found = NULL;
    recovery->found_count = 0;
}

static enum error_code recover(struct journal_recovery *recovery,
                               const struct journal_recovery_options *options, struct error *error)
{
    enum error_code code = find_files(recovery, error);
    if (code == ERROR_NONE)
        code = read_files(recovery, options->pool, error);
    if (code != ERROR_NONE)
        return code;
    chains_decide(recovery);
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
    if (recovery->damage_count > 0 && options->damage_policy == JOURNAL_DAMAGE_REFUSE) {
        const struct journal_damage *damage = &recovery->damage[0];
        return error_set(error, ERROR_CORRUPT,
                         "journal lane %u segment %016" PRIx64 " at %llu: %s (%zu places)",
                         damage->lane, damage->segment, (unsigned long long)damage->offset_bytes,
                         damage->message, recovery->damage_count);
    }
    return discarded_remove(recovery, error);
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
    if (recovery->groups != NULL && atomic_load(&recovery->archive->references) > 1 &&
        atomic_load(&recovery->adopted_count) == recovery->group_count) {
        archive_release(recovery);
        unreadable_set_aside(recovery);
    }
    for (size_t i = 0; i < recovery->archive->count; i++) {
        free(recovery->archive->segments[i]->content);
        recovery->archive->segments[i]->content = NULL;
    }
    archive_unref(recovery->archive);
    group_index_clear(&recovery->index);
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

struct journal_entry journal_recovery_entry(const struct journal_group *group, uint64_t index)
{
    assert(index >= group->first_index && index < group->next_index);
    struct record record = record_at(group_state_entry(group->entries, index));
    assert(record.index == index && record.group == group->group);
    return (struct journal_entry){
        .index = record.index,
        .term = record.term,
        .kind = record.kind,
        .version = record.version,
        .payload = record.payload,
        .payload_bytes = record.payload_bytes,
    };
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
}
