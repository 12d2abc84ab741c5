#include "recovery_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "platform/parallel.h"

/* --- Constants ------------------------------------------------------------------------------- */

/* Small at first, for segments of which little was used; a batch is rarely above half of the
 * second. */
enum { FIRST_READ_BYTES = 256 * 1024, READ_BYTES = 4 * 1024 * 1024 };

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

enum error_code recovery_find_files(struct journal_recovery *recovery, struct error *error)
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
    /* Not past the page cache, though it was written so: what lives is read once more, soon. */
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
    found->size_bytes &= ~(uint64_t)(BLOCK_BYTES - 1); /* a part of a block holds no batch */
    *file_out = file;
    return ERROR_NONE;
}

/* What of a segment is in memory, from a block on: of one worker, for one segment after another. */
struct window {
    uint8_t *bytes; /* [capacity_bytes] */
    uint64_t capacity_bytes;
    uint64_t offset; /* in the segment */
    uint64_t size_bytes;
};

static enum error_code window_grow(struct window *window, uint64_t capacity_bytes,
                                   struct error *error)
{
    uint8_t *bytes = malloc(capacity_bytes);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal segment: %llu bytes at once",
                         (unsigned long long)capacity_bytes);
    if (window->size_bytes > 0)
        memcpy(bytes, window->bytes, window->size_bytes);
    free(window->bytes);
    window->bytes = bytes;
    window->capacity_bytes = capacity_bytes;
    return ERROR_NONE;
}

/* Let go what lies before `offset`, then read on until the window holds `target_bytes` or the
 * segment ends. */
static enum error_code window_move(struct window *window, struct journal_recovery *recovery,
                                   const struct found *found, struct file *file, uint64_t offset,
                                   uint64_t target_bytes, struct error *error)
{
    assert(offset % BLOCK_BYTES == 0 && offset <= window->offset + window->size_bytes);
    uint64_t kept_bytes = window->offset + window->size_bytes - offset;
    if (kept_bytes > 0)
        memmove(window->bytes, window->bytes + (offset - window->offset), kept_bytes);
    window->offset = offset;
    window->size_bytes = kept_bytes;
    target_bytes = round_to_block(target_bytes);
    if (target_bytes > found->size_bytes - offset)
        target_bytes = found->size_bytes - offset;
    if (target_bytes <= kept_bytes)
        return ERROR_NONE;
    enum error_code code = target_bytes <= window->capacity_bytes
                               ? ERROR_NONE
                               : window_grow(window, target_bytes, error);
    if (code == ERROR_NONE)
        code = disk_read_at(recovery->disk, file, offset + kept_bytes, window->bytes + kept_bytes,
                            target_bytes - kept_bytes, error);
    if (code == ERROR_CORRUPT)
        return error_set(error, ERROR_IO, "the file shrank");
    if (code == ERROR_NONE)
        window->size_bytes = target_bytes;
    return code;
}

/* Follow the batches to where they end. */
static enum error_code batches_read(struct journal_recovery *recovery, struct found *found,
                                    struct file *file, struct window *window, struct error *error)
{
    *window = (struct window){.bytes = window->bytes, .capacity_bytes = window->capacity_bytes};
    enum error_code code = window_move(window, recovery, found, file, 0, FIRST_READ_BYTES, error);
    if (code == ERROR_NONE)
        code = scan_begin(window->bytes, found->size_bytes, &found->scan, error);
    uint64_t needed_bytes = code == ERROR_NONE ? BLOCK_BYTES : 0;
    while (needed_bytes > 0) {
        struct scan_window view = {window->bytes, window->offset, window->size_bytes};
        code = scan_extend(&found->scan, &view, found->size_bytes, &needed_bytes, error);
        if (code == ERROR_NONE && needed_bytes > 0)
            code = window_move(window, recovery, found, file, found->scan.end_offset,
                               needed_bytes > READ_BYTES ? needed_bytes : READ_BYTES, error);
        if (code != ERROR_NONE)
            return code;
    }
    return code;
}

/* What lies behind the last good batch, in pieces that are not kept. */
static enum error_code rest_read(struct journal_recovery *recovery, struct found *found,
                                 struct file *file, struct window *window, struct error *error)
{
    struct segment_scan *scan = &found->scan;
    uint64_t end = window->offset + window->size_bytes;
    if (scan->end_offset < end)
        scan_stranded(scan, window->bytes + (scan->end_offset - window->offset), scan->end_offset,
                      end - scan->end_offset, found->size_bytes);
    uint64_t offset = end > scan->end_offset ? end : scan->end_offset;
    while (offset < found->size_bytes) {
        *window = (struct window){
            .bytes = window->bytes, .capacity_bytes = window->capacity_bytes, .offset = offset};
        enum error_code code =
            window_move(window, recovery, found, file, offset, FIRST_READ_BYTES, error);
        if (code != ERROR_NONE)
            return code;
        scan_stranded(scan, window->bytes, offset, window->size_bytes, found->size_bytes);
        offset += window->size_bytes;
    }
    return ERROR_NONE;
}

struct reading {
    struct journal_recovery *recovery;
    struct window *windows; /* of each lane of the pool */
};

static void read_one(void *context, size_t part, size_t lane)
{
    struct reading *reading = context;
    struct journal_recovery *recovery = reading->recovery;
    struct found *found = &recovery->found[part];
    error_clear(&found->error);
    struct file *file = NULL;
    if (found->discarded || file_open_synced(recovery, found, &file, &found->error) != ERROR_NONE)
        return;
    enum error_code code =
        found->size_bytes < SEGMENT_DATA_OFFSET
            ? error_set(&found->error, ERROR_CORRUPT, "a segment of %llu bytes",
                        (unsigned long long)found->size_bytes)
            : batches_read(recovery, found, file, &reading->windows[lane], &found->error);
    if (code == ERROR_NONE)
        code = rest_read(recovery, found, file, &reading->windows[lane], &found->error);
    disk_close(recovery->disk, file);
    if (code == ERROR_NONE && (found->scan.header.lane != found->lane ||
                               found->scan.header.sequence != found->sequence)) {
        segment_scan_clear(&found->scan);
        error_set(&found->error, ERROR_CORRUPT, "the header is of another segment");
    }
}

int found_compare(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    const uint64_t left_key[3] = {a->scan.header.generation, a->lane, a->sequence};
    const uint64_t right_key[3] = {b->scan.header.generation, b->lane, b->sequence};
    for (size_t i = 0; i < 3; i++)
        if (left_key[i] != right_key[i])
            return left_key[i] < right_key[i] ? -1 : 1;
    return 0;
}

enum error_code recovery_read_files(struct journal_recovery *recovery, struct worker_pool *pool,
                                    struct error *error)
{
    size_t lanes = parallel_lanes(pool);
    struct reading reading = {recovery, calloc(lanes, sizeof *reading.windows)};
    if (reading.windows == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal recovery");
    parallel_run(pool, recovery->found_count, read_one, &reading);
    for (size_t i = 0; i < lanes; i++)
        free(reading.windows[i].bytes);
    free(reading.windows);
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
