#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/*
 * A segment is worth copying out of when much was written after it, yet little lives in it. At
 * most half, so that copying writes no more than it frees.
 */
static bool worth_copying(const struct journal *journal, struct segment *segment)
{
    int64_t live_bytes = atomic_load(&segment->live_bytes);
    bool durable = segment->archived || segment->last_batch <= journal->durable_batch;
    if (!durable || segment->copy_failed || live_bytes == 0)
        return false;
    return trim_copies(journal) ||
           ((uint64_t)live_bytes * 2 <= segment->size_bytes &&
            journal->written_bytes - segment->closed_at_bytes > journal->options.pinned_bytes_max);
}

/* A journal that closes copies only to become small. */
static bool copies_count(const struct journal *journal)
{
    return !journal->failed && !journal->close_written && (!journal->closing || journal->lean);
}

/* --- Choosing records ------------------------------------------------------------------------ */

/* False when the job is full. */
static bool item_add(struct copy_job *job, uint64_t group, uint64_t index, struct location location)
{
    size_t size = record_size(location.payload_bytes);
    if (job->count == COPY_RECORDS_MAX || (job->count > 0 && job->size + size > COPY_BYTES_MAX))
        return false;
    job->items[job->count++] = (struct copy_item){
        .group = group,
        .index = index,
        .location = location,
        .offset = (uint32_t)job->size,
    };
    job->size += size;
    return true;
}

static void items_collect(struct journal *journal, struct copy_job *job)
{
    for (size_t i = 0; i < journal->index.capacity; i++) {
        const struct group_state *state = journal->index.table[i];
        if (state == NULL || state->deleted)
            continue;
        if (state->snapshot.segment == job->segment &&
            !item_add(job, state->group, 0, state->snapshot))
            return;
        for (uint64_t entry = state->first_index; entry < state->next_index; entry++) {
            const struct location *location = group_state_entry(state, entry);
            if (location->segment == job->segment && !item_add(job, state->group, entry, *location))
                return;
        }
    }
}

/* --- Reading them, on a worker --------------------------------------------------------------- */

static enum error_code items_read(struct copy_job *job, struct file *file, struct error *error)
{
    struct disk *disk = job->journal->environment->disk;
    for (size_t i = 0; i < job->count; i++) {
        const struct copy_item *item = &job->items[i];
        size_t size = record_size(item->location.payload_bytes);
        uint64_t offset = (uint64_t)item->location.offset_units * 8;
        enum error_code code =
            disk_read_at(disk, file, offset, job->bytes + item->offset, size, error);
        if (code != ERROR_NONE)
            return code;
        struct record record;
        if (record_decode(job->bytes + item->offset, size, job->segment->salt, &record) != size ||
            record.group != item->group)
            return error_set(error, ERROR_CORRUPT, "record at %llu does not check",
                             (unsigned long long)offset);
    }
    return ERROR_NONE;
}

static void copy_run(struct job *base)
{
    struct copy_job *job = (struct copy_job *)base;
    struct disk *disk = job->journal->environment->disk;
    job->error.code = ERROR_NONE;
    job->bytes = malloc(job->size);
    if (job->bytes == NULL) {
        error_set(&job->error, ERROR_OUT_OF_MEMORY, "copy forward");
        return;
    }
    char path[DISK_PATH_MAX + 1];
    segment_path(path, job->journal->options.directory, job->segment->lane, job->segment->sequence,
                 SEGMENT_NAME_FINAL);
    struct file *file = NULL;
    if (disk_open(disk, path, DISK_OPEN_READ, &file, &job->error) != ERROR_NONE)
        return;
    (void)items_read(job, file, &job->error); /* left in job->error */
    disk_close(disk, file);
}

/* --- Writing them again ---------------------------------------------------------------------- */

/*
 * Still the live one, and nothing of the group waits for a place: then a copy written now comes
 * after whatever decides over the record and before whatever may replace it.
 */
static bool item_is_live(const struct journal *journal, const struct copy_item *item)
{
    const struct group_state *state = group_index_find(&journal->index, item->group);
    if (state == NULL || state->deleted || state->unplaced_records > 0)
        return false;
    const struct location *now = &state->snapshot;
    if (item->index > 0) {
        if (item->index < state->first_index || item->index >= state->next_index)
            return false;
        now = group_state_entry(state, item->index);
    }
    return now->segment == item->location.segment &&
           now->offset_units == item->location.offset_units;
}

static void copy_durable(struct journal_request *request)
{
    struct copy_job *job =
        (struct copy_job *)((char *)request - offsetof(struct copy_job, request));
    struct journal *journal = job->journal;
    journal->copy = NULL;
    free(job);
    copier_look(journal);
}

static void copy_done(struct job *base)
{
    struct copy_job *job = (struct copy_job *)base;
    struct journal *journal = job->journal;
    journal->jobs--;
    size_t copied = 0;
    if (job->error.code == ERROR_CORRUPT) {
        job->segment->copy_failed = true;
        log_event(LOG_ERROR, "journal", "a live record cannot be read", "lane=%u segment=%llu",
                  job->segment->lane, (unsigned long long)job->segment->sequence);
    }
    if (job->error.code != ERROR_NONE)
        journal->lean = false; /* it stays as large as it is */
    for (size_t i = 0; job->error.code == ERROR_NONE && copies_count(journal) && i < job->count;
         i++) {
        struct record record;
        size_t size = record_size(job->items[i].location.payload_bytes);
        if (!item_is_live(journal, &job->items[i]) ||
            record_view(job->bytes + job->items[i].offset, size, &record) == 0)
            continue;
        record.flags |= RECORD_COPIED;
        journal_submit(journal, &record, NULL);
        copied++;
    }
    free(job->bytes);
    job->bytes = NULL;
    segment_release(journal, job->segment, 1, 0);
    journal_wake(journal);
    if (copied > 0 && !journal->failed) {
        job->request.done = copy_durable;
        journal_attach(journal, &job->request);
    } else {
        journal->copy = NULL;
        free(job);
    }
}

/* --- Public ---------------------------------------------------------------------------------- */

static bool copy_start(struct journal *journal, struct segment *segment)
{
    struct copy_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return true; /* memory is short: leave it for later */
    job->base = (struct job){.run = copy_run, .done = copy_done, .class = JOB_BACKGROUND};
    job->journal = journal;
    job->segment = segment;
    items_collect(journal, job);
    if (job->count == 0) {
        free(job); /* other lanes hold it, or records with a release under way */
        return false;
    }
    atomic_fetch_add(&segment->holds, 1);
    journal->copy = job;
    journal->jobs++;
    scheduler_submit(journal->environment->scheduler, &job->base);
    return true;
}

void copier_look(struct journal *journal)
{
    if (journal->copy != NULL || !copies_count(journal))
        return;
    for (size_t i = 0; i < journal->archive->count; i++)
        if (worth_copying(journal, journal->archive->segments[i]) &&
            copy_start(journal, journal->archive->segments[i]))
            return;
    for (struct segment *segment = journal->used; segment != NULL; segment = segment->next)
        if (worth_copying(journal, segment) && copy_start(journal, segment))
            return;
}
