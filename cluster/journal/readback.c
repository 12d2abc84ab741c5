#include "readback.h"

#include <assert.h>
#include <stdlib.h>

#include "recovery_parts.h"

/* Dead records between two that are wanted: read them rather than begin anew. */
enum { GAP_BYTES_MAX = 64 * 1024 };

/* --- Order of the log ------------------------------------------------------------------------ */

static bool comes_before(const struct location *left, const struct location *right)
{
    const struct segment *a = left->segment, *b = right->segment;
    if (a == b)
        return left->offset_units < right->offset_units;
    if (a->generation != b->generation)
        return a->generation < b->generation;
    return a->lane != b->lane ? a->lane < b->lane : a->sequence < b->sequence;
}

/* The cursor whose next entry lies first; NULL when all are at their ends. */
static struct readback_cursor *cursor_first(struct readback_cursor *cursors)
{
    struct readback_cursor *first = NULL;
    for (struct readback_cursor *cursor = cursors; cursor != NULL; cursor = cursor->next) {
        if (cursor->next_index >= cursor->end_index)
            continue;
        assert(group_state_entry(cursor->state, cursor->next_index)->segment != NULL);
        if (first == NULL || comes_before(group_state_entry(cursor->state, cursor->next_index),
                                          group_state_entry(first->state, first->next_index)))
            first = cursor;
    }
    return first;
}

/* --- Planning -------------------------------------------------------------------------------- */

static enum error_code item_add(struct readback_piece *piece, struct readback_cursor *cursor,
                                struct error *error)
{
    if (piece->count == piece->capacity) {
        size_t capacity = piece->capacity * 2 + 16;
        struct readback_item *items = realloc(piece->items, capacity * sizeof *items);
        if (items == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "read entries back");
        piece->items = items;
        piece->capacity = capacity;
    }
    const struct location *location = group_state_entry(cursor->state, cursor->next_index);
    piece->items[piece->count++] = (struct readback_item){
        .owner = cursor->owner,
        .group = cursor->state->group,
        .index = cursor->next_index++,
        .offset = (uint32_t)((uint64_t)location->offset_units * 8 - piece->offset),
        .payload_bytes = location->payload_bytes,
    };
    return ERROR_NONE;
}

static uint64_t location_end(const struct location *location)
{
    return (uint64_t)location->offset_units * 8 + record_size(location->payload_bytes);
}

static enum error_code bytes_provide(struct readback_piece *piece, struct error *error)
{
    if (piece->size_bytes <= piece->capacity_bytes)
        return ERROR_NONE;
    size_t capacity_bytes =
        piece->size_bytes < READBACK_PIECE_BYTES ? READBACK_PIECE_BYTES : piece->size_bytes;
    free(piece->bytes);
    piece->bytes = malloc(capacity_bytes);
    piece->capacity_bytes = piece->bytes == NULL ? 0 : capacity_bytes;
    if (piece->bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read %zu bytes back", capacity_bytes);
    return ERROR_NONE;
}

enum error_code readback_plan(struct readback_cursor *cursors, struct readback_piece *piece,
                              struct error *error)
{
    piece->count = 0;
    struct readback_cursor *cursor = cursor_first(cursors);
    if (cursor == NULL)
        return ERROR_NONE;
    const struct location *location = group_state_entry(cursor->state, cursor->next_index);
    uint64_t end = location_end(location);
    piece->segment = location->segment;
    piece->offset = (uint64_t)location->offset_units * 8;
    for (;;) {
        enum error_code code = item_add(piece, cursor, error);
        if (code != ERROR_NONE)
            return code;
        cursor = cursor_first(cursors);
        if (cursor == NULL)
            break;
        location = group_state_entry(cursor->state, cursor->next_index);
        uint64_t start = (uint64_t)location->offset_units * 8;
        /* A copy may lie before what was copied later. */
        if (location->segment != piece->segment || start < end || start - end > GAP_BYTES_MAX ||
            location_end(location) - piece->offset > READBACK_PIECE_BYTES)
            break;
        end = location_end(location);
    }
    piece->size_bytes = end - piece->offset;
    return bytes_provide(piece, error);
}

enum error_code readback_entry(const struct readback_piece *piece, size_t item,
                               struct journal_entry *entry_out, struct error *error)
{
    assert(item < piece->count);
    const struct readback_item *wanted = &piece->items[item];
    struct record record;
    size_t taken = record_decode(piece->bytes + wanted->offset, piece->size_bytes - wanted->offset,
                                 piece->segment->salt, &record);
    if (taken == 0 || record.type != RECORD_ENTRY || record.group != wanted->group ||
        record.index != wanted->index || record.payload_bytes != wanted->payload_bytes)
        return error_set(error, ERROR_CORRUPT,
                         "journal lane %u segment %016llx at %llu: entry %llu of group %llu does "
                         "not check any more",
                         piece->segment->lane, (unsigned long long)piece->segment->sequence,
                         (unsigned long long)(piece->offset + wanted->offset),
                         (unsigned long long)wanted->index, (unsigned long long)wanted->group);
    *entry_out = (struct journal_entry){
        .index = record.index,
        .term = record.term,
        .kind = record.kind,
        .version = record.version,
        .payload = record.payload,
        .payload_bytes = record.payload_bytes,
    };
    return ERROR_NONE;
}

void readback_clear(struct readback_piece *piece)
{
    free(piece->bytes);
    free(piece->items);
    *piece = (struct readback_piece){0};
}

/* --- Blocking -------------------------------------------------------------------------------- */

static enum error_code piece_read(const struct journal_recovery *recovery,
                                  struct readback_piece *piece, struct error *error)
{
    char path[DISK_PATH_MAX + 1];
    segment_path(path, recovery->directory, piece->segment->lane, piece->segment->sequence,
                 SEGMENT_NAME_FINAL);
    struct file *file = NULL;
    enum error_code code = disk_open(recovery->disk, path, DISK_OPEN_READ, &file, error);
    if (code != ERROR_NONE)
        return code;
    code =
        disk_read_at(recovery->disk, file, piece->offset, piece->bytes, piece->size_bytes, error);
    disk_close(recovery->disk, file);
    return code;
}

enum error_code journal_recovery_read(const struct journal_recovery *recovery,
                                      const struct journal_group *group, uint64_t first_index,
                                      uint64_t end_index, journal_entry_visit *visit, void *context,
                                      struct error *error)
{
    assert(first_index >= group->first_index && end_index <= group->next_index);
    struct readback_cursor cursor = {
        .state = group->entries, .next_index = first_index, .end_index = end_index};
    struct readback_piece piece = {0};
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && cursor.next_index < end_index) {
        code = readback_plan(&cursor, &piece, error);
        if (code == ERROR_NONE)
            code = piece_read(recovery, &piece, error);
        for (size_t i = 0; code == ERROR_NONE && i < piece.count; i++) {
            struct journal_entry entry;
            code = readback_entry(&piece, i, &entry, error);
            if (code == ERROR_NONE)
                code = visit(context, &entry, error);
        }
    }
    readback_clear(&piece);
    return code;
}
