/*
 * A piece of the log: planned -> being read -> handed out -> free again when every part in it has
 * released or left it. Pieces are handed out in the order in which they were planned.
 */
#include "journal/replay.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "internal.h"
#include "readback.h"
#include "recovery_parts.h"

enum { WINDOW_BYTES_DEFAULT = 4 * 1024 * 1024 };

struct journal_replay_part {
    struct readback_cursor cursor; /* first */
    struct journal_replay *replay;
    struct journal_replay_events events;
    uint64_t handed_index; /* the last one that was handed out */
    bool ended;            /* and told so */
    void (*removed)(void *context);
};

/* What one part has in a piece. */
struct share {
    struct journal_replay_part *part;
    uint64_t last_index;
    bool released;
};

struct piece {
    struct readback_piece base; /* first */
    struct disk_read read;
    struct journal_replay *replay;
    struct piece *next;
    struct share *shares; /* [share_count] */
    size_t share_count, share_capacity;
    bool landed, handed;
    struct error error;
};

struct open_segment {
    const struct segment *segment;
    struct file *file;
};

struct journal_replay {
    struct environment *environment;
    const struct journal_recovery *recovery;
    uint64_t window_bytes;
    struct open_segment *files; /* [file_count] */
    size_t file_count;
    struct readback_cursor *cursors; /* of the parts */
    struct piece *pieces;            /* in the order in which they were planned */
    struct piece *spare;
    uint64_t held_bytes; /* of `pieces` */
    struct error error;  /* no memory to go on */
    struct task pump;
    bool pump_deferred;
};

static void wake(struct journal_replay *replay)
{
    if (replay->pump_deferred)
        return;
    replay->pump_deferred = true;
    scheduler_defer(replay->environment->scheduler, &replay->pump);
}

/* --- Shares ---------------------------------------------------------------------------------- */

static bool share_add(struct piece *piece, const struct readback_item *item)
{
    struct journal_replay_part *part = item->owner;
    for (size_t i = 0; i < piece->share_count; i++) {
        if (piece->shares[i].part == part) {
            piece->shares[i].last_index = item->index;
            return true;
        }
    }
    if (piece->share_count == piece->share_capacity) {
        size_t capacity = piece->share_capacity * 2 + 4;
        struct share *shares = realloc(piece->shares, capacity * sizeof *shares);
        if (shares == NULL)
            return false;
        piece->shares = shares;
        piece->share_capacity = capacity;
    }
    piece->shares[piece->share_count++] = (struct share){.part = part, .last_index = item->index};
    return true;
}

static bool piece_is_released(const struct piece *piece)
{
    for (size_t i = 0; i < piece->share_count; i++)
        if (!piece->shares[i].released)
            return false;
    return true;
}

/* --- Reading --------------------------------------------------------------------------------- */

static void piece_free(struct piece *piece)
{
    readback_clear(&piece->base);
    free(piece->shares);
    free(piece);
}

static struct piece *piece_take(struct journal_replay *replay)
{
    struct piece *piece = replay->spare;
    if (piece == NULL)
        return calloc(1, sizeof *piece);
    replay->spare = piece->next;
    piece->next = NULL;
    piece->share_count = 0;
    piece->landed = piece->handed = false;
    return piece;
}

static void piece_landed(struct disk_read *read, const struct error *error)
{
    struct piece *piece = (struct piece *)((char *)read - offsetof(struct piece, read));
    piece->landed = true;
    piece->error = *error;
    wake(piece->replay);
}

static struct file *file_of(const struct journal_replay *replay, const struct segment *segment)
{
    for (size_t i = 0; i < replay->file_count; i++)
        if (replay->files[i].segment == segment)
            return replay->files[i].file;
    return NULL;
}

/* Plan a piece and begin to read it; false when nothing is left to plan. */
static bool piece_begin(struct journal_replay *replay)
{
    struct piece *piece = piece_take(replay);
    bool memory =
        piece != NULL && readback_plan(replay->cursors, &piece->base, &replay->error) == ERROR_NONE;
    for (size_t i = 0; memory && i < piece->base.count; i++)
        memory = share_add(piece, &piece->base.items[i]);
    if (!memory || piece->base.count == 0) {
        if (!memory)
            error_set(&replay->error, ERROR_OUT_OF_MEMORY, "read the log back");
        if (piece != NULL)
            piece_free(piece);
        return false;
    }
    struct piece **link = &replay->pieces;
    while (*link != NULL)
        link = &(*link)->next;
    *link = piece;
    piece->replay = replay;
    replay->held_bytes += piece->base.size_bytes;
    piece->read = (struct disk_read){
        .file = file_of(replay, piece->base.segment),
        .offset_bytes = piece->base.offset,
        .target = piece->base.bytes,
        .size_bytes = piece->base.size_bytes,
        .done = piece_landed,
    };
    disk_read(replay->environment->disk, &piece->read);
    return true;
}

static void pieces_begin(struct journal_replay *replay)
{
    while (replay->error.code == ERROR_NONE &&
           (replay->pieces == NULL ||
            replay->held_bytes + READBACK_PIECE_BYTES <= replay->window_bytes))
        if (!piece_begin(replay))
            return;
}

/* --- Handing out ----------------------------------------------------------------------------- */

static void part_end(struct journal_replay_part *part, const struct error *error)
{
    part->cursor.next_index = part->cursor.end_index; /* no more is read for it */
    if (part->ended || part->removed != NULL)
        return;
    part->ended = true;
    part->events.ended(part->events.context, error);
}

static void piece_hand_out(struct piece *piece)
{
    piece->handed = true;
    for (size_t i = 0; i < piece->base.count; i++) {
        struct journal_replay_part *part = piece->base.items[i].owner;
        if (part->ended || part->removed != NULL)
            continue;
        struct journal_entry entry;
        struct error error = piece->error;
        if (error.code == ERROR_NONE &&
            readback_entry(&piece->base, i, &entry, &error) == ERROR_NONE) {
            part->handed_index = entry.index;
            part->events.entry(part->events.context, &entry);
        } else {
            part_end(part, &error);
        }
    }
}

/* Those that are handed out whole, or can't be. */
static void parts_end(struct journal_replay *replay)
{
    struct error none = {.code = ERROR_NONE};
    for (struct readback_cursor *cursor = replay->cursors; cursor != NULL; cursor = cursor->next) {
        struct journal_replay_part *part = (struct journal_replay_part *)cursor;
        if (part->handed_index + 1 == part->cursor.end_index)
            part_end(part, &none);
        else if (replay->error.code != ERROR_NONE)
            part_end(part, &replay->error);
    }
}

/* --- Letting go ------------------------------------------------------------------------------ */

static bool part_is_on_its_way(const struct journal_replay *replay,
                               const struct journal_replay_part *part)
{
    for (const struct piece *piece = replay->pieces; piece != NULL; piece = piece->next)
        for (size_t i = 0; !piece->handed && i < piece->share_count; i++)
            if (piece->shares[i].part == part)
                return true;
    return false;
}

static void shares_release(struct journal_replay *replay, const struct journal_replay_part *part,
                           uint64_t index)
{
    for (struct piece *piece = replay->pieces; piece != NULL; piece = piece->next)
        for (size_t i = 0; i < piece->share_count; i++)
            if (piece->shares[i].part == part && piece->shares[i].last_index <= index)
                piece->shares[i].released = true;
}

static void pieces_recycle(struct journal_replay *replay)
{
    struct piece **link = &replay->pieces;
    while (*link != NULL) {
        struct piece *piece = *link;
        if (!piece->handed || !piece_is_released(piece)) {
            link = &piece->next;
            continue;
        }
        *link = piece->next;
        replay->held_bytes -= piece->base.size_bytes;
        piece->next = replay->spare;
        replay->spare = piece;
    }
}

static void parts_free_removed(struct journal_replay *replay)
{
    struct readback_cursor **link = &replay->cursors;
    while (*link != NULL) {
        struct journal_replay_part *part = (struct journal_replay_part *)*link;
        if (part->removed == NULL || part_is_on_its_way(replay, part)) {
            link = &part->cursor.next;
            continue;
        }
        shares_release(replay, part, UINT64_MAX);
        *link = part->cursor.next;
        part->removed(part->events.context);
        free(part);
    }
}

static void pump(struct task *task)
{
    struct journal_replay *replay =
        (struct journal_replay *)((char *)task - offsetof(struct journal_replay, pump));
    replay->pump_deferred = false;
    for (struct piece *piece = replay->pieces; piece != NULL && piece->landed; piece = piece->next)
        if (!piece->handed)
            piece_hand_out(piece);
    parts_end(replay);
    parts_free_removed(replay);
    pieces_recycle(replay);
    pieces_begin(replay);
    if (replay->error.code != ERROR_NONE)
        parts_end(replay);
}

/* --- Public ---------------------------------------------------------------------------------- */

enum error_code journal_replay_create(const struct journal_replay_options *options,
                                      struct journal_replay **replay_out, struct error *error)
{
    struct journal_replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replay");
    replay->environment = options->journal->environment;
    replay->recovery = options->recovery;
    replay->window_bytes =
        options->window_bytes == 0 ? WINDOW_BYTES_DEFAULT : options->window_bytes;
    replay->pump.run = pump;
    *replay_out = replay;
    return ERROR_NONE;
}

void journal_replay_destroy(struct journal_replay *replay)
{
    if (replay == NULL)
        return;
    assert(replay->cursors == NULL && !replay->pump_deferred);
    while (replay->spare != NULL) {
        struct piece *next = replay->spare->next;
        piece_free(replay->spare);
        replay->spare = next;
    }
    assert(replay->pieces == NULL);
    for (size_t i = 0; i < replay->file_count; i++)
        disk_close(replay->environment->disk, replay->files[i].file);
    free(replay->files);
    free(replay);
}

bool journal_replay_is_idle(const struct journal_replay *replay)
{
    return replay->cursors == NULL && !replay->pump_deferred;
}

static enum error_code segment_open(struct journal_replay *replay, const struct segment *segment,
                                    struct error *error)
{
    if (file_of(replay, segment) != NULL)
        return ERROR_NONE;
    struct open_segment *files = realloc(replay->files, (replay->file_count + 1) * sizeof *files);
    if (files == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replay");
    replay->files = files;
    char path[DISK_PATH_MAX + 1];
    segment_path(path, replay->recovery->directory, segment->lane, segment->sequence,
                 SEGMENT_NAME_FINAL);
    struct file *file = NULL;
    enum error_code code = disk_open(replay->environment->disk, path, DISK_OPEN_READ, &file, error);
    if (code == ERROR_NONE)
        replay->files[replay->file_count++] = (struct open_segment){segment, file};
    return code;
}

enum error_code journal_replay_add(struct journal_replay *replay, const struct journal_group *group,
                                   uint64_t first_index, uint64_t end_index,
                                   const struct journal_replay_events *events,
                                   struct journal_replay_part **part_out, struct error *error)
{
    assert(first_index < end_index);
    if (first_index < group->first_index || end_index > group->next_index)
        return error_set(error, ERROR_NOT_FOUND, "entries to replay are missing");
    for (uint64_t index = first_index; index < end_index; index++) {
        enum error_code code =
            segment_open(replay, group_state_entry(group->entries, index)->segment, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct journal_replay_part *part = calloc(1, sizeof *part);
    if (part == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replay");
    *part = (struct journal_replay_part){
        .cursor = {.state = group->entries,
                   .next_index = first_index,
                   .end_index = end_index,
                   .owner = part,
                   .next = replay->cursors},
        .replay = replay,
        .events = *events,
        .handed_index = first_index - 1,
    };
    replay->cursors = &part->cursor;
    wake(replay);
    *part_out = part;
    return ERROR_NONE;
}

void journal_replay_release(struct journal_replay_part *part, uint64_t index)
{
    if (index > part->handed_index)
        index = part->handed_index;
    shares_release(part->replay, part, index);
    wake(part->replay);
}

void journal_replay_remove(struct journal_replay_part *part, void (*removed)(void *context))
{
    assert(part->removed == NULL && removed != NULL);
    part->removed = removed;
    part->cursor.next_index = part->cursor.end_index;
    wake(part->replay);
}
