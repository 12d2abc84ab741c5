#include "file_arrival.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "block/block_inspect.h"
#include "shard/metadata_file.h"

/* Files that were not the right ones until it is given up. */
enum { REJECTIONS_MAX = 3 };

/* --- Names ------------------------------------------------------------------------------------ */

static const struct {
    const char *folder;
    const char *extension;
} NAMES[] = {
    [SHARD_FILE_PART] = {"parts", "part"},
    [SHARD_FILE_SEGMENT] = {"series", "segment"},
    [SHARD_FILE_BLOCK] = {"blocks", "block"},
    [SHARD_FILE_METADATA] = {"metadata", "metadata"},
};

void shard_file_path(const struct shard *shard, const struct shard_file *file,
                     char path[DISK_PATH_MAX + 1])
{
    char place[SHARD_PATH_MAX];
    snprintf(path, DISK_PATH_MAX + 1, "%s",
             shard_path(shard, place, NAMES[file->kind].folder, file->index, file->number,
                        NAMES[file->kind].extension));
}

const char *file_arrival_directory(const struct shard *shard, char path[SHARD_PATH_MAX])
{
    snprintf(path, SHARD_PATH_MAX, "%s/incoming", shard->options.directory);
    return path;
}

/* --- Verifying, on a worker ------------------------------------------------------------------- */

enum error_code file_arrival_verify(const struct shard *shard, const struct shard_file *file,
                                    const char *path, struct error *error)
{
    static const enum file_kind KINDS[] = {
        [SHARD_FILE_PART] = FILE_KIND_PART,
        [SHARD_FILE_SEGMENT] = FILE_KIND_SEGMENT,
        [SHARD_FILE_BLOCK] = FILE_KIND_BLOCK,
    };
    struct disk *disk = shard->options.environment->disk;
    if (file->kind == SHARD_FILE_METADATA) {
        size_t count;
        return metadata_file_verify(disk, path, &count, error);
    }
    struct page_source *source;
    struct file_summary summary;
    enum error_code code = page_source_open_file(disk, path, &source, error);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, error);
    if (code != ERROR_NONE)
        return code;
    if (summary.kind != KINDS[file->kind])
        return error_set(error, ERROR_CORRUPT, "'%s' is of another kind", path);
    if (file->is_agreed && !hash128_equal(summary.content_checksum, file->content_checksum))
        return error_set(error, ERROR_CORRUPT, "'%s' has other content than was agreed", path);
    return ERROR_NONE;
}

static enum error_code measure(struct file_arrival *arrival, struct error *error)
{
    struct disk *disk = arrival->shard->options.environment->disk;
    struct file *file = NULL;
    enum error_code code = disk_open(disk, arrival->fetch.path, DISK_OPEN_READ, &file, error);
    if (code == ERROR_NONE)
        code = disk_size(disk, file, &arrival->size_bytes, error);
    disk_close(disk, file);
    return code;
}

/* It bears the name from here on, even if another file did. */
static enum error_code give_name(struct file_arrival *arrival, struct error *error)
{
    struct shard *shard = arrival->shard;
    struct disk *disk = shard->options.environment->disk;
    char path[DISK_PATH_MAX + 1], folder[SHARD_PATH_MAX];
    shard_file_path(shard, &arrival->fetch.file, path);
    snprintf(folder, sizeof folder, "%s/%s", shard->options.directory,
             NAMES[arrival->fetch.file.kind].folder);
    enum error_code code = disk_rename(disk, arrival->fetch.path, path, error);
    return code == ERROR_NONE ? disk_sync_directory(disk, folder, error) : code;
}

static void verify_run(struct job *job)
{
    struct file_arrival *arrival =
        (struct file_arrival *)((char *)job - offsetof(struct file_arrival, job));
    struct error ignored; /* it is written anew the next time */
    enum error_code code = measure(arrival, &arrival->error);
    if (code == ERROR_NONE)
        code = file_arrival_verify(arrival->shard, &arrival->fetch.file, arrival->fetch.path,
                                   &arrival->error);
    if (code == ERROR_NONE)
        code = give_name(arrival, &arrival->error);
    if (code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED)
        (void)disk_remove(arrival->shard->options.environment->disk, arrival->fetch.path, &ignored);
}

/* --- On the loop ------------------------------------------------------------------------------ */

static void arrival_end(struct file_arrival *arrival, const struct error *error)
{
    struct shard *shard = arrival->shard;
    struct error outcome = *error;
    if (outcome.code == ERROR_NONE) {
        shard->arrivals.files_fetched++;
        shard->arrivals.bytes_fetched += arrival->size_bytes;
    } else {
        shard->arrivals.bytes_done -= arrival->come_bytes;
    }
    arrival->done(arrival, &outcome);
    shard_job_ended(shard);
}

static void ask(struct file_arrival *arrival);

/* What came is not the file. Another node may have it. */
static void reject(struct file_arrival *arrival)
{
    struct shard *shard = arrival->shard;
    shard->arrivals.files_rejected++;
    log_event(LOG_WARNING, "shard", "a file of another replica was rejected",
              "shard=%u file=\"%s\" error=\"%s\"", shard->options.shard_id, arrival->fetch.path,
              arrival->error.message);
    if (++arrival->rejections < REJECTIONS_MAX && !arrival->cancelled)
        ask(arrival);
    else
        arrival_end(arrival, &arrival->error);
}

static void verify_done(struct job *job)
{
    struct file_arrival *arrival =
        (struct file_arrival *)((char *)job - offsetof(struct file_arrival, job));
    if (arrival->error.code == ERROR_CORRUPT || arrival->error.code == ERROR_UNSUPPORTED)
        reject(arrival);
    else
        arrival_end(arrival, &arrival->error);
}

static void fetch_progress(struct file_fetch *fetch, uint64_t size_bytes)
{
    struct file_arrival *arrival = (struct file_arrival *)fetch;
    uint64_t known = arrival->fetch.file.size_bytes;
    if (known == 0)
        return;
    /* The file of another replica may be larger than the one that the manifest counts. */
    if (arrival->come_bytes + size_bytes > known)
        size_bytes = known - arrival->come_bytes;
    arrival->come_bytes += size_bytes;
    arrival->shard->arrivals.bytes_done += size_bytes;
}

static void fetch_done(struct file_fetch *fetch, const struct error *error)
{
    struct file_arrival *arrival = (struct file_arrival *)fetch;
    arrival->is_fetching = false;
    if (error->code != ERROR_NONE) {
        arrival->error = *error;
        arrival_end(arrival, &arrival->error);
        return;
    }
    error_clear(&arrival->error);
    arrival->job = (struct job){.run = verify_run, .done = verify_done, .class = JOB_BACKGROUND};
    scheduler_submit(arrival->shard->options.environment->scheduler, &arrival->job);
}

/* Not again of the same node first. */
static void choose_nodes(struct file_arrival *arrival)
{
    const struct shard_peers *peers = &arrival->shard->peers;
    struct file_fetch *fetch = &arrival->fetch;
    uint64_t nodes[FILE_FETCH_NODES_MAX];
    size_t count = peers->nodes(peers->context, nodes);
    for (size_t i = 0; i < count; i++)
        fetch->nodes[i] = nodes[(i + arrival->rejections) % count];
    fetch->node_count = count;
}

static void ask(struct file_arrival *arrival)
{
    struct file_fetcher *fetcher = arrival->shard->peers.fetcher;
    arrival->shard->arrivals.bytes_done -= arrival->come_bytes;
    arrival->come_bytes = 0;
    arrival->is_fetching = true;
    choose_nodes(arrival);
    fetcher->operations->fetch(fetcher, &arrival->fetch);
}

void file_arrival_begin(struct file_arrival *arrival, struct shard *shard,
                        const struct shard_file *file)
{
    arrival->shard = shard;
    arrival->rejections = 0;
    arrival->size_bytes = arrival->come_bytes = 0;
    arrival->cancelled = false;
    arrival->fetch = (struct file_fetch){
        .group_id = shard->peers.group_id,
        .file = *file,
        .progress = fetch_progress,
        .done = fetch_done,
    };
    file_arrival_directory(shard, arrival->fetch.directory);
    error_clear(&arrival->error);
    shard_job_started(shard);
    ask(arrival);
}

void file_arrival_cancel(struct file_arrival *arrival)
{
    struct file_fetcher *fetcher = arrival->shard->peers.fetcher;
    if (arrival->cancelled)
        return;
    arrival->cancelled = true;
    if (arrival->is_fetching)
        fetcher->operations->cancel(fetcher, &arrival->fetch);
}
