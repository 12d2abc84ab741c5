#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { SPACE_RETRY_MS = 1000 };

/* --- Making a segment, on a worker ----------------------------------------------------------- */

struct segment *supply_segment_new(struct journal *journal, uint64_t size_bytes)
{
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    *segment = (struct segment){
        .lane = journal->options.lane,
        .generation = journal->generation,
        .sequence = journal->next_sequence++,
        .size_bytes = size_bytes,
        .salt = random_next(journal->environment->random),
        .holds = 1, /* being ready, then in use */
        .write_offset = SEGMENT_DATA_OFFSET,
    };
    return segment;
}

static enum error_code header_write(struct journal *journal, struct file *file,
                                    const struct segment *segment, struct error *error)
{
    uint8_t blocks[SEGMENT_DATA_OFFSET] = {0};
    struct segment_header header = {
        .lane = segment->lane,
        .generation = segment->generation,
        .sequence = segment->sequence,
        .size_bytes = segment->size_bytes,
        .salt = segment->salt,
        .made_ms = clock_now_ms(journal->environment->clock),
    };
    segment_header_encode(&header, blocks);
    segment_header_encode(&header, blocks + BLOCK_BYTES);
    return disk_write_at(journal->environment->disk, file, 0, blocks, sizeof blocks, error);
}

/* Under a name that does not count, until the header is durable. */
static enum error_code spare_fill(struct journal *journal, struct segment *segment,
                                  const char *spare, bool recycled, struct error *error)
{
    struct disk *disk = journal->environment->disk;
    struct file *file = NULL;
    enum error_code code =
        disk_open(disk, spare, recycled ? DISK_OPEN_READ_WRITE : DISK_OPEN_REPLACE, &file, error);
    if (code != ERROR_NONE)
        return code;
    /* Reserved, not filled: each byte of the log is written once. */
    if (!recycled)
        code = disk_resize(disk, file, segment->size_bytes, error);
    if (code == ERROR_NONE)
        code = header_write(journal, file, segment, error);
    if (code == ERROR_NONE)
        code = disk_sync(disk, file, error);
    disk_close(disk, file);
    return code;
}

enum error_code supply_prepare(struct journal *journal, struct segment *segment,
                               uint64_t source_sequence, struct error *error)
{
    struct disk *disk = journal->environment->disk;
    const char *directory = journal->options.directory;
    char lane[DISK_PATH_MAX + 1], spare[DISK_PATH_MAX + 1], path[DISK_PATH_MAX + 1];
    lane_path(lane, directory, segment->lane);
    segment_path(spare, directory, segment->lane, segment->sequence, SEGMENT_NAME_SPARE);
    enum error_code code = ERROR_NONE;
    if (source_sequence > 0) {
        segment_path(path, directory, segment->lane, source_sequence, SEGMENT_NAME_FINAL);
        code = disk_rename(disk, path, spare, error);
        if (code == ERROR_NONE)
            code = disk_sync_directory(disk, lane, error);
    }
    if (code == ERROR_NONE)
        code = spare_fill(journal, segment, spare, source_sequence > 0, error);
    segment_path(path, directory, segment->lane, segment->sequence, SEGMENT_NAME_FINAL);
    if (code == ERROR_NONE)
        code = disk_rename(disk, spare, path, error);
    if (code != ERROR_NONE) {
        struct error ignored; /* a spare that stays is removed by the next recovery */
        (void)disk_remove(disk, spare, &ignored);
        return code;
    }
    code = disk_sync_directory(disk, lane, error);
    if (code == ERROR_NONE)
        code = disk_open(disk, path, DISK_OPEN_DIRECT, &segment->file, error);
    return code;
}

/* A small disk is not all reserve; half of it, since files of a freeze may take what its log took.
 */
static uint64_t reserve_bytes(const struct journal *journal, uint64_t total_bytes)
{
    uint64_t share = total_bytes / 2;
    return journal->options.free_bytes_min < share ? journal->options.free_bytes_min : share;
}

static void supply_run(struct job *base)
{
    struct supply_job *job = (struct supply_job *)base;
    struct journal *journal = job->journal;
    struct disk *disk = journal->environment->disk;
    job->error.code = ERROR_NONE;
    if (job->kind == SUPPLY_REMOVE) {
        char path[DISK_PATH_MAX + 1], lane[DISK_PATH_MAX + 1];
        segment_path(path, journal->options.directory, job->segment->lane, job->segment->sequence,
                     SEGMENT_NAME_FINAL);
        lane_path(lane, journal->options.directory, job->segment->lane);
        if (disk_remove(disk, path, &job->error) == ERROR_NONE)
            (void)disk_sync_directory(disk, lane, &job->error); /* left in job->error */
        return;
    }
    if (job->kind == SUPPLY_PREPARE &&
        supply_prepare(journal, job->segment, job->source_sequence, &job->error) != ERROR_NONE)
        return;
    uint64_t free_bytes, total_bytes;
    struct error ignored; /* a disk that cannot tell is taken to have room */
    if (disk_free_bytes(disk, &free_bytes, &total_bytes, &ignored) == ERROR_NONE)
        job->is_disk_low = free_bytes < reserve_bytes(journal, total_bytes);
}

/* --- Asking for it, on the loop -------------------------------------------------------------- */

static void supply_done(struct job *base);

static void supply_start(struct journal *journal, enum supply_kind kind, struct segment *segment,
                         uint64_t source_sequence)
{
    struct supply_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "journal segment");
        journal_fail(journal, &error);
        if (segment != NULL && !segment->archived)
            free(segment); /* an archived one is the archive's */
        return;
    }
    *job = (struct supply_job){
        .base = {.run = supply_run, .done = supply_done, .class = JOB_STORAGE},
        .journal = journal,
        .kind = kind,
        .segment = segment,
        .source_sequence = source_sequence,
    };
    journal->jobs++;
    journal->preparing_count += kind == SUPPLY_PREPARE;
    scheduler_submit(journal->environment->scheduler, &job->base);
}

static struct segment *spare_pop(struct journal *journal)
{
    struct segment *spare = journal->spares;
    if (spare == NULL)
        return NULL;
    journal->spares = spare->next;
    journal->spare_count--;
    return spare;
}

/* A spare that is large enough; in need of space any that the waiting batch can use. Smaller ones
 * are removed. */
static struct segment *spare_choose(struct journal *journal, uint64_t size_bytes)
{
    uint64_t least = journal->space == JOURNAL_SPACE_OK ? size_bytes : journal->needed_bytes;
    struct segment *spare = spare_pop(journal);
    while (spare != NULL && spare->size_bytes < least) {
        supply_start(journal, SUPPLY_REMOVE, spare, 0);
        spare = spare_pop(journal);
    }
    return spare;
}

/* One at a time: segments become ready in the order of their sequences. */
void supply_top_up(struct journal *journal)
{
    bool wanted =
        !journal->closing || ((journal->stalled || journal->trimming) && journal->ready_count == 0);
    if (journal->failed || !wanted || journal->preparing_count > 0 ||
        journal->ready_count >= READY_SEGMENTS ||
        (journal->supply_failed && journal->spares == NULL))
        return;
    uint64_t size_bytes = journal->wanted_bytes > journal->needed_bytes ? journal->wanted_bytes
                                                                        : journal->needed_bytes;
    struct segment *spare = spare_choose(journal, size_bytes);
    if (journal->supply_failed && spare == NULL)
        return;
    struct segment *segment =
        supply_segment_new(journal, spare == NULL ? size_bytes : spare->size_bytes);
    if (segment == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "journal segment");
        journal_fail(journal, &error);
        free(spare); /* its file is found by the next recovery */
        return;
    }
    supply_start(journal, SUPPLY_PREPARE, segment, spare == NULL ? 0 : spare->sequence);
    free(spare);
}

struct segment *supply_take(struct journal *journal, uint64_t bytes_needed)
{
    journal->needed_bytes = round_to_block(bytes_needed + SEGMENT_DATA_OFFSET);
    while (journal->ready != NULL) {
        struct segment *segment = journal->ready;
        journal->ready = segment->next;
        journal->ready_count--;
        segment->next = NULL;
        if (segment->size_bytes >= journal->needed_bytes) {
            journal->needed_bytes = 0;
            return segment;
        }
        supply_retire(journal, segment); /* too small for this batch */
    }
    supply_top_up(journal);
    return NULL;
}

void supply_retire(struct journal *journal, struct segment *segment)
{
    if (segment->archived) {
        supply_start(journal, SUPPLY_REMOVE, segment, 0);
        return;
    }
    for (struct segment **link = &journal->used; *link != NULL; link = &(*link)->next)
        if (*link == segment) {
            *link = segment->next;
            break;
        }
    disk_close(journal->environment->disk, segment->file);
    segment->file = NULL;
    segment->next = NULL;
    bool kept = journal->spare_count < READY_SEGMENTS && !journal->lean && !journal->closing;
    if (!kept && !journal->failed) {
        supply_start(journal, SUPPLY_REMOVE, segment, 0);
        return;
    }
    struct segment **tail = &journal->spares;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = segment;
    journal->spare_count++;
    if (journal->ready_count < READY_SEGMENTS)
        supply_top_up(journal);
}

void supply_give_back(struct journal *journal, uint64_t size_bytes_max)
{
    for (struct segment *spare = spare_pop(journal); spare != NULL; spare = spare_pop(journal))
        supply_start(journal, SUPPLY_REMOVE, spare, 0);
    struct segment **link = &journal->ready;
    while (*link != NULL) {
        struct segment *segment = *link;
        if (segment->size_bytes <= size_bytes_max) {
            link = &segment->next;
            continue;
        }
        *link = segment->next;
        journal->ready_count--;
        disk_close(journal->environment->disk, segment->file);
        segment->file = NULL;
        supply_start(journal, SUPPLY_REMOVE, segment, 0);
    }
}

/* --- What came of it ------------------------------------------------------------------------- */

static void space_retry(struct timer *timer)
{
    struct journal *journal =
        (struct journal *)((char *)timer - offsetof(struct journal, space_timer));
    journal->supply_failed = false;
    if (journal->closing || journal->failed) {
        journal_wake(journal);
        return;
    }
    if (journal->ready_count + journal->preparing_count < READY_SEGMENTS)
        supply_top_up(journal);
    else if (journal->jobs == 0)
        supply_start(journal, SUPPLY_MEASURE, NULL, 0);
    else
        scheduler_timer_start(journal->environment->scheduler, timer, SPACE_RETRY_MS);
}

static void space_set(struct journal *journal, enum journal_space space)
{
    if (space == JOURNAL_SPACE_LOW) {
        journal->space_timer.fire = space_retry;
        scheduler_timer_start(journal->environment->scheduler, &journal->space_timer,
                              SPACE_RETRY_MS);
    }
    if (journal->space == space)
        return;
    journal->space = space;
    if (journal->events.space_changed != NULL)
        journal->events.space_changed(journal->events.context, space);
}

/* What passes by itself is waited for: a full disk, too many open files. */
static void supply_fail(struct journal *journal, const struct error *error)
{
    journal->supply_failed = error->code == ERROR_NO_SPACE || error->code == ERROR_LIMIT;
    if (!journal->supply_failed) {
        journal_fail(journal, error);
        return;
    }
    if (journal->space == JOURNAL_SPACE_OK)
        log_event(LOG_WARNING, "journal", "a segment cannot be made, it is tried again",
                  "lane=%u error=\"%s\"", journal->options.lane, error->message);
    space_set(journal, JOURNAL_SPACE_LOW);
}

static void prepare_finish(struct journal *journal, struct supply_job *job)
{
    journal->preparing_count--;
    if (job->error.code != ERROR_NONE) {
        disk_close(journal->environment->disk, job->segment->file);
        free(job->segment);
        supply_fail(journal, &job->error);
        return;
    }
    struct segment **tail = &journal->ready;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = job->segment;
    journal->ready_count++;
    journal->statistics.segments_created += job->source_sequence == 0;
    journal->statistics.segments_recycled += job->source_sequence > 0;
}

static void remove_finish(struct journal *journal, struct supply_job *job)
{
    if (job->error.code != ERROR_NONE && !journal->failed)
        log_event(LOG_WARNING, "journal", "a segment cannot be removed",
                  "lane=%u segment=%llu error=\"%s\"", job->segment->lane,
                  (unsigned long long)job->segment->sequence, job->error.message);
    if (job->error.code == ERROR_NONE) {
        journal->statistics.segments_removed++;
        if (job->segment->archived)
            atomic_fetch_sub(&journal->archive->alive, 1);
    }
    if (!job->segment->archived)
        free(job->segment);
}

static void supply_done(struct job *base)
{
    struct supply_job *job = (struct supply_job *)base;
    struct journal *journal = job->journal;
    journal->jobs--;
    enum error_code code = job->error.code;
    bool is_disk_low = job->is_disk_low;
    if (job->kind == SUPPLY_PREPARE)
        prepare_finish(journal, job);
    else if (job->kind == SUPPLY_REMOVE)
        remove_finish(journal, job);
    if (job->kind != SUPPLY_REMOVE && code == ERROR_NONE) {
        if (is_disk_low)
            space_set(journal, JOURNAL_SPACE_LOW);
        else if (journal->ready_count >= READY_SEGMENTS)
            space_set(journal, JOURNAL_SPACE_OK);
        supply_top_up(journal);
    }
    free(job);
    journal_wake(journal);
}

void supply_clear(struct journal *journal)
{
    scheduler_timer_stop(journal->environment->scheduler, &journal->space_timer);
    struct segment *lists[] = {journal->used, journal->ready, journal->spares, journal->current};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        while (lists[i] != NULL) {
            struct segment *segment = lists[i];
            lists[i] = segment->next;
            disk_close(journal->environment->disk, segment->file);
            free(segment);
        }
}
