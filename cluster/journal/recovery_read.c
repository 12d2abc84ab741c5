#include "recovery_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "platform/parallel.h"

/* --- Constants ------------------------------------------------------------------------------- */

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
    enum error_code code = disk_open(recovery->disk, path, DISK_OPEN_DIRECT, &file, error);
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
                                            found->content->bytes + *read_bytes, piece, error);
        if (code != ERROR_NONE)
            return code == ERROR_CORRUPT ? error_set(error, ERROR_IO, "the file shrank") : code;
        if (*read_bytes == 0) {
            code = scan_begin(found->content->bytes, found->size_bytes, &found->scan, error);
            if (code != ERROR_NONE)
                return code;
        }
        *read_bytes += piece;
        code = scan_extend(&found->scan, found->content->bytes, *read_bytes, found->size_bytes,
                           &more, error);
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
    if (scan->end_offset < read_bytes)
        scan_stranded(scan, found->content->bytes + scan->end_offset, scan->end_offset,
                      read_bytes - scan->end_offset, found->size_bytes);
    uint64_t offset = read_bytes > scan->end_offset ? read_bytes : scan->end_offset;
    uint8_t *piece = aligned_alloc(BLOCK_BYTES, FIRST_READ_BYTES);
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
    /* Past the page cache: it is read once, and was written past it. */
    found->content = content_create(found->size_bytes);
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
