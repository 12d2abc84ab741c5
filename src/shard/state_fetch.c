/*
 * The state of another replica, asked for by one that can't go on: a freeze whose input is damaged
 * here, and which all others have written, so that nobody has the input any more.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "damage.h"
#include "file_arrival.h"
#include "freeze.h"

enum {
    /* After so many attempts it is not for a moment that the file can't be read. */
    FAILURES_MIN = 3,
    STATE_BYTES_MAX = 256 * 1024 * 1024,
};

/* --- For others ------------------------------------------------------------------------------- */

enum error_code shard_offer_state(struct shard *shard, uint64_t beyond_index,
                                  struct byte_buffer *manifest, struct error *error)
{
    if (shard->durable.frozen_index <= beyond_index) {
        shard_freeze(shard);
        return error_set(error, ERROR_UNAVAILABLE, "shard %u: nothing is frozen behind %llu yet",
                         shard->options.shard_id, (unsigned long long)beyond_index);
    }
    uint64_t index;
    return shard_snapshot(shard, manifest, &index, error);
}

/* --- Whether it is needed --------------------------------------------------------------------- */

bool shard_needs_state(const struct shard *shard)
{
    return shard->peers.fetcher != NULL && shard->closed == NULL && shard->freeze_job != NULL &&
           shard->freeze_job->file_failures >= FAILURES_MIN;
}

/* --- On a worker ------------------------------------------------------------------------------ */

static enum error_code read_all(struct disk *disk, struct shard_state_fetch *fetch,
                                struct error *error)
{
    struct file *file = NULL;
    uint64_t size = 0;
    uint8_t *bytes = NULL;
    enum error_code code = disk_open(disk, fetch->fetch.path, DISK_OPEN_READ, &file, error);
    if (code == ERROR_NONE)
        code = disk_size(disk, file, &size, error);
    if (code == ERROR_NONE && size > STATE_BYTES_MAX)
        code =
            error_set(error, ERROR_CORRUPT, "a manifest of %llu bytes", (unsigned long long)size);
    if (code == ERROR_NONE && (bytes = malloc((size_t)size + 1)) == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "manifest");
    if (code == ERROR_NONE)
        code = disk_read_at(disk, file, 0, bytes, (size_t)size, error);
    if (code == ERROR_NONE)
        byte_buffer_append(&fetch->manifest, bytes, (size_t)size);
    if (code == ERROR_NONE && fetch->manifest.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "manifest");
    free(bytes);
    disk_close(disk, file);
    return code;
}

static struct shard_state_fetch *fetch_of_job(struct job *job)
{
    return (struct shard_state_fetch *)((char *)job - offsetof(struct shard_state_fetch, job));
}

static void read_run(struct job *job)
{
    struct shard_state_fetch *fetch = fetch_of_job(job);
    struct disk *disk = fetch->shard->options.environment->disk;
    struct manifest manifest;
    struct error ignored; /* it is swept away some day */
    enum error_code code = read_all(disk, fetch, &fetch->error);
    (void)disk_remove(disk, fetch->fetch.path, &ignored);
    if (code == ERROR_NONE)
        code =
            manifest_decode(fetch->manifest.bytes, fetch->manifest.size, &manifest, &fetch->error);
    if (code != ERROR_NONE)
        return;
    fetch->frozen_index = manifest.frozen_index;
    manifest_clear(&manifest);
    if (fetch->frozen_index <= fetch->beyond_index)
        error_set(&fetch->error, ERROR_CORRUPT, "a state at %llu was asked for, not one at %llu",
                  (unsigned long long)fetch->beyond_index + 1,
                  (unsigned long long)fetch->frozen_index);
}

/* --- On the loop ------------------------------------------------------------------------------ */

static void fetch_end(struct shard_state_fetch *fetch)
{
    struct shard *shard = fetch->shard;
    struct error outcome = fetch->error;
    if (outcome.code == ERROR_NONE && fetch->is_cancelled)
        error_set(&outcome, ERROR_CANCELED, "not wanted any more");
    if (outcome.code != ERROR_NONE)
        byte_buffer_clear(&fetch->manifest);
    fetch->done(fetch, &outcome);
    shard_job_ended(shard);
}

static void read_done(struct job *job)
{
    fetch_end(fetch_of_job(job));
}

static void fetched(struct file_fetch *base, const struct error *error)
{
    struct shard_state_fetch *fetch =
        (struct shard_state_fetch *)((char *)base - offsetof(struct shard_state_fetch, fetch));
    fetch->is_fetching = false;
    if (error->code != ERROR_NONE) {
        fetch->error = *error;
        fetch_end(fetch);
        return;
    }
    fetch->job = (struct job){.run = read_run, .done = read_done, .class = JOB_BACKGROUND};
    scheduler_submit(fetch->shard->options.environment->scheduler, &fetch->job);
}

void shard_fetch_state(struct shard *shard, struct shard_state_fetch *fetch, uint64_t node_id,
                       uint64_t beyond_index)
{
    struct file_fetcher *fetcher = shard->peers.fetcher;
    assert(fetcher != NULL && shard->closed == NULL);
    fetch->shard = shard;
    fetch->beyond_index = beyond_index;
    fetch->manifest = (struct byte_buffer){0};
    fetch->frozen_index = 0;
    fetch->is_cancelled = false;
    fetch->is_fetching = true;
    error_clear(&fetch->error);
    fetch->fetch = (struct file_fetch){
        .group_id = shard->peers.group_id,
        .file = {.kind = SHARD_FILE_STATE, .index = beyond_index},
        .nodes = {node_id},
        .node_count = 1,
        .done = fetched,
    };
    file_arrival_directory(shard, fetch->fetch.directory);
    shard_job_started(shard);
    fetcher->operations->fetch(fetcher, &fetch->fetch);
}

void shard_cancel_state_fetch(struct shard_state_fetch *fetch)
{
    struct file_fetcher *fetcher = fetch->shard->peers.fetcher;
    if (fetch->is_cancelled)
        return;
    fetch->is_cancelled = true;
    if (fetch->is_fetching)
        fetcher->operations->cancel(fetcher, &fetch->fetch);
}
