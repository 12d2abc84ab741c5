#include "snapshot_journal.h"

#include "journal/journal.h"
#include "platform/clock.h"
#include "platform/disk_uring.h"
#include "platform/loop.h"
#include "platform/random.h"
#include "platform/worker_pool.h"

static const char DIRECTORY[] = "journal";

enum { WORKERS = 3 }; /* as few as there can be */

struct writing {
    struct worker_pool *workers;
    struct loop *loop;
    struct disk *disk;
    struct environment environment;
    struct journal *journal;
    struct journal_request stored;
    struct error error;
};

static void closed(void *context)
{
    loop_stop(((struct writing *)context)->loop);
}

static void stored(struct journal_request *request)
{
    struct writing *writing =
        (struct writing *)((char *)request - offsetof(struct writing, stored));
    journal_close(writing->journal, closed, writing);
}

static void failed(void *context, const struct error *error)
{
    struct writing *writing = context;
    writing->error = *error;
    loop_stop(writing->loop);
}

static enum error_code open_journal(struct writing *writing, struct error *error)
{
    struct journal_options options = {.directory = DIRECTORY};
    struct journal_events events = {.context = writing, .fatal = failed};
    struct journal_recovery_options recovery_options = {.directory = DIRECTORY};
    struct journal_recovery *nothing = NULL;
    writing->environment = (struct environment){
        .scheduler = loop_scheduler(writing->loop),
        .disk = writing->disk,
        .clock = clock_system(),
        .random = random_system(),
    };
    enum error_code code = journal_recover(writing->disk, &recovery_options, &nothing, error);
    if (code == ERROR_NONE)
        code = journal_open(&writing->environment, &options, &events, nothing, NULL, 0,
                            &writing->journal, error);
    journal_recovery_close(nothing);
    return code;
}

static enum error_code store(struct writing *writing, const struct snapshot_record *record,
                             struct error *error)
{
    struct byte_buffer bytes = {0};
    enum error_code code = group_snapshot_export(&record->export, record->state.bytes,
                                                 record->state.size, &bytes, error);
    if (code == ERROR_NONE)
        group_export_store(writing->journal, &record->export, &bytes, NULL);
    byte_buffer_clear(&bytes);
    return code;
}

enum error_code snapshot_journal_write(const char *root, const struct snapshot_record *records,
                                       size_t record_count, struct error *error)
{
    struct writing writing = {.stored.done = stored};
    struct worker_pool_options pool_options = {.worker_count = WORKERS};
    error_clear(&writing.error);
    enum error_code code = worker_pool_create(&pool_options, &writing.workers, error);
    if (code != ERROR_NONE)
        return code;
    struct loop_options loop_options = {.name = "snapshot", .workers = writing.workers};
    code = loop_create(&loop_options, &writing.loop, error);
    if (code == ERROR_NONE)
        code = disk_uring_create(root, writing.loop, DISK_ENGINE_BEST, &writing.disk, error);
    if (code == ERROR_NONE)
        code = open_journal(&writing, error);
    if (code == ERROR_NONE) {
        for (size_t i = 0; code == ERROR_NONE && i < record_count; i++)
            code = store(&writing, &records[i], error);
        journal_barrier(writing.journal, &writing.stored);
        loop_run(writing.loop);
    }
    if (code == ERROR_NONE && writing.error.code != ERROR_NONE) {
        *error = writing.error;
        code = error->code;
    }
    disk_uring_destroy(writing.disk);
    loop_destroy(writing.loop);
    worker_pool_destroy(writing.workers);
    return code;
}
