/*
 * read - entries read back by a worker, a piece of a segment at a time, while the journal runs.
 */
#include <assert.h>
#include <stdlib.h>

#include "internal.h"
#include "readback.h"

struct read_job {
    struct job base;
    struct journal *journal;
    struct journal_read *read;
    struct readback_piece piece;
    struct error error;
};

static void read_run(struct job *base)
{
    struct read_job *job = (struct read_job *)base;
    struct disk *disk = job->journal->environment->disk;
    if (job->error.code != ERROR_NONE)
        return;
    char path[DISK_PATH_MAX + 1];
    struct segment *segment = job->piece.segment;
    segment_path(path, job->journal->options.directory, segment->lane, segment->sequence,
                 SEGMENT_NAME_FINAL);
    struct file *file = NULL;
    if (disk_open(disk, path, DISK_OPEN_READ, &file, &job->error) != ERROR_NONE)
        return;
    (void)disk_read_at(disk, file, job->piece.offset, job->piece.bytes, job->piece.size_bytes,
                       &job->error); /* left in job->error */
    disk_close(disk, file);
}

/* NULL, and an error, when one of them does not check. */
static struct journal_entry *decode(struct read_job *job)
{
    struct journal_entry *entries = calloc(job->piece.count, sizeof *entries);
    if (entries == NULL) {
        error_set(&job->error, ERROR_OUT_OF_MEMORY, "read entries back");
        return NULL;
    }
    for (size_t i = 0; i < job->piece.count; i++)
        if (readback_entry(&job->piece, i, &entries[i], &job->error) != ERROR_NONE) {
            free(entries);
            return NULL;
        }
    return entries;
}

static void read_done(struct job *base)
{
    struct read_job *job = (struct read_job *)base;
    struct journal *journal = job->journal;
    struct journal_entry *entries = job->error.code == ERROR_NONE ? decode(job) : NULL;
    journal->jobs--;
    if (job->piece.segment != NULL)
        segment_release(journal, job->piece.segment, 1, 0);
    job->read->done(job->read, entries, entries == NULL ? 0 : job->piece.count, &job->error);
    free(entries);
    readback_clear(&job->piece);
    free(job);
    journal_wake(journal);
}

/* What to read, with a hold on its segment. */
static enum error_code plan(struct read_job *job, struct error *error)
{
    const struct journal_read *read = job->read;
    const struct group_state *state = group_index_find(&job->journal->index, read->group);
    if (state == NULL || state->deleted || read->first_index < state->first_index ||
        read->first_index >= state->next_index)
        return error_set(error, ERROR_NOT_FOUND, "entry %llu of group %llu is not in the log",
                         (unsigned long long)read->first_index, (unsigned long long)read->group);
    struct readback_cursor cursor = {
        .state = state,
        .next_index = read->first_index,
        .end_index = read->end_index < state->next_index ? read->end_index : state->next_index,
    };
    enum error_code code = readback_plan(&cursor, &job->piece, error);
    if (code != ERROR_NONE) {
        job->piece.segment = NULL;
        return code;
    }
    atomic_fetch_add(&job->piece.segment->holds, 1);
    return ERROR_NONE;
}

void journal_read(struct journal *journal, struct journal_read *read)
{
    assert(!journal->closing && read->first_index < read->end_index);
    struct read_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "read entries back");
        journal_fail(journal, &error);
        return;
    }
    job->base = (struct job){.run = read_run, .done = read_done, .class = JOB_STORAGE};
    job->journal = journal;
    job->read = read;
    (void)plan(job, &job->error); /* told by `done` */
    journal->jobs++;
    scheduler_submit(journal->environment->scheduler, &job->base);
}
