/*
 * A copy of the data directory, made while the node runs: the files of all shards under a second
 * name, and a log that says no more than which they are.
 *
 *   folder made -> per shard: frozen (or not), copied -> log written -> folder gets its name
 *
 * Files never change once they have their names, so links are a copy. A folder that is not whole
 * ends in ".new" and is removed when something fails, or at the next start.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

#include "node_cluster.h"
#include "node_private.h"
#include "snapshot_journal.h"

/* --- Types ------------------------------------------------------------------------------------ */

enum { NAME_BYTES = 64, FOLDER_BYTES = 128, ROOT_BYTES = 1024, REMOVE_DESCRIPTORS = 16 };

static const char SNAPSHOTS[] = "snapshots";

struct snapshot_all;

/* Of one shard; its loop's between the two tasks. */
struct snapshot_one {
    struct shard_flush flush; /* first */
    struct shard_copy copy;
    struct task task;
    struct snapshot_all *all;
    struct replica *replica;
    char directory[FOLDER_BYTES];
};

struct snapshot_all {
    struct node *node;
    enum api_snapshot_head head;
    struct scheduler *origin;
    void (*done)(void *argument, const char *name, const struct error *error);
    void *argument;
    struct error error;
    struct job job; /* makes the folder, then completes it */
    struct task task;
    _Atomic size_t outstanding;
    struct data_directory *directory; /* held while it is made */
    char name[NAME_BYTES];
    char folder[FOLDER_BYTES]; /* on the node's disk, unfinished */
    char root[ROOT_BYTES];     /* the same as a path of the file system */
    struct topology topology;  /* of the copy, which is a node alone */
    size_t shard_count;
    struct snapshot_one shards[];
};

static struct snapshot_all *all_of_job(struct job *job)
{
    return (struct snapshot_all *)((char *)job - offsetof(struct snapshot_all, job));
}

/* --- The folder: on a worker ------------------------------------------------------------------ */

static void prepare_run(struct job *job)
{
    struct snapshot_all *all = all_of_job(job);
    struct node *node = all->node;
    struct topology topology;
    enum error_code code = data_directory_open(all->root, data_directory_version(node->directory),
                                               &all->directory, &all->error);
    if (code == ERROR_NONE)
        code = topology_open(all->root, &all->topology, &topology, &all->error);
    (void)code; /* is in the error */
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static void remove_folder(const char *path)
{
    if (nftw(path, remove_entry, REMOVE_DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
        log_event(LOG_WARNING, "server", "an unfinished snapshot could not be removed", "path=%s",
                  path);
}

static enum error_code write_journal(struct snapshot_all *all)
{
    struct snapshot_record *records = calloc(all->shard_count, sizeof *records);
    size_t count = 0;
    if (records == NULL)
        return error_set(&all->error, ERROR_OUT_OF_MEMORY, "snapshot");
    for (size_t i = 0; i < all->shard_count; i++) {
        const struct shard_copy *copy = &all->shards[i].copy;
        if (copy->frozen_index == 0)
            continue; /* nothing is frozen: the group begins anew */
        records[count++] = (struct snapshot_record){
            .export = {i + 1, copy->frozen_index, &NODE_FOUNDER, 1}, .state = copy->manifest};
    }
    enum error_code code = snapshot_journal_write(all->root, records, count, &all->error);
    free(records);
    return code;
}

static enum error_code complete(struct snapshot_all *all)
{
    struct disk *disk = all->node->blocking_disk;
    char path[FOLDER_BYTES];
    enum error_code code = write_journal(all);
    snprintf(path, sizeof path, "%s/shards", all->folder);
    if (code == ERROR_NONE)
        code = disk_sync_directory(disk, path, &all->error);
    if (code == ERROR_NONE)
        code = disk_sync_directory(disk, all->folder, &all->error);
    snprintf(path, sizeof path, "%s/%s", SNAPSHOTS, all->name);
    if (code == ERROR_NONE)
        code = disk_rename(disk, all->folder, path, &all->error);
    return code == ERROR_NONE ? disk_sync_directory(disk, SNAPSHOTS, &all->error) : code;
}

static void complete_run(struct job *job)
{
    struct snapshot_all *all = all_of_job(job);
    enum error_code code = all->error.code;
    if (code == ERROR_NONE)
        code = complete(all);
    data_directory_close(all->directory);
    if (code != ERROR_NONE)
        remove_folder(all->root);
}

/* --- The shards: on their loops --------------------------------------------------------------- */

static void complete_done(struct job *job)
{
    struct snapshot_all *all = all_of_job(job);
    all->done(all->argument, all->name, &all->error);
    for (size_t i = 0; i < all->shard_count; i++)
        byte_buffer_clear(&all->shards[i].copy.manifest);
    for (size_t i = 0; i < all->shard_count; i++)
        if (all->shards[i].replica != NULL)
            replica_table_release(all->node->replicas, (uint32_t)i);
    free(all);
}

static void shards_copied(struct task *task)
{
    struct snapshot_all *all =
        (struct snapshot_all *)((char *)task - offsetof(struct snapshot_all, task));
    for (size_t i = 0; i < all->shard_count; i++)
        if (all->shards[i].copy.error.code != ERROR_NONE)
            all->error = all->shards[i].copy.error;
    all->job = (struct job){.run = complete_run, .done = complete_done, .class = JOB_BACKGROUND};
    scheduler_submit(all->origin, &all->job);
}

static void shard_copied(struct shard_copy *copy)
{
    struct snapshot_one *one =
        (struct snapshot_one *)((char *)copy - offsetof(struct snapshot_one, copy));
    struct snapshot_all *all = one->all;
    if (atomic_fetch_sub(&all->outstanding, 1) > 1)
        return;
    all->task.run = shards_copied;
    scheduler_post(all->origin, &all->task);
}

static void shard_frozen(struct shard_flush *flush, const struct error *error)
{
    struct snapshot_one *one = (struct snapshot_one *)flush;
    if (error->code == ERROR_NONE) {
        shard_copy(replica_shard(one->replica), &one->copy);
        return;
    }
    one->copy.error = *error;
    shard_copied(&one->copy);
}

static void copy_on_loop(struct task *task)
{
    struct snapshot_one *one =
        (struct snapshot_one *)((char *)task - offsetof(struct snapshot_one, task));
    one->copy.done = shard_copied;
    one->copy.directory = one->directory;
    one->flush.done = shard_frozen;
    one->flush.place = FLUSH_HERE;
    /* Who does not lead can't freeze: it has what was frozen last. */
    if (one->all->head == API_SNAPSHOT_SKIPS_HEAD || !replica_is_ready(one->replica))
        shard_copy(replica_shard(one->replica), &one->copy);
    else
        replica_flush(one->replica, &one->flush);
}

static void prepare_done(struct job *job)
{
    struct snapshot_all *all = all_of_job(job);
    if (all->error.code != ERROR_NONE) {
        shards_copied(&all->task); /* removes what there is */
        return;
    }
    struct node *node = all->node;
    for (uint32_t shard = 0; shard < all->shard_count; shard++) {
        struct snapshot_one *one = &all->shards[shard];
        struct node_loop *loop = &node->loops[hosting_loop_of(node->hosting, shard)];
        one->all = all;
        one->replica = replica_table_hold(node->replicas, shard);
        snprintf(one->directory, sizeof one->directory, "%s/shards/%04u", all->folder, shard);
        if (one->replica == NULL) { /* others have it */
            shard_copied(&one->copy);
            continue;
        }
        one->task.run = copy_on_loop;
        scheduler_post(loop->environment.scheduler, &one->task);
    }
}

/* --- The whole -------------------------------------------------------------------------------- */

/* As Prometheus names them: 20261121T075033Z-3bd67ba6780e754e. */
static void choose_name(struct snapshot_all *all)
{
    struct tm calendar;
    time_t now = (time_t)(clock_now_ms(clock_system()) / 1000);
    gmtime_r(&now, &calendar);
    size_t size = strftime(all->name, sizeof all->name, "%Y%m%dT%H%M%SZ", &calendar);
    snprintf(all->name + size, sizeof all->name - size, "-%016llx",
             (unsigned long long)random_next(random_system()));
    snprintf(all->folder, sizeof all->folder, "%s/%s.new", SNAPSHOTS, all->name);
}

/* A node alone divides its slots evenly: a copy of shards that were split is none for it. */
static bool was_split(const struct node *node)
{
    struct cluster_view *view =
        node->cluster == NULL ? NULL : cluster_board_view(node->cluster->board);
    bool any = false;
    size_t count = 0;
    const struct cluster_shard *shards =
        view == NULL ? NULL : cluster_state_shards(cluster_view_state(view), &count);
    for (size_t i = 0; i < count; i++)
        any |= shards[i].parent != CLUSTER_SHARD_NONE;
    cluster_view_unref(view);
    return any;
}

void node_snapshot(struct node *node, enum api_snapshot_head head, struct scheduler *origin,
                   void (*done)(void *argument, const char *name, const struct error *error),
                   void *argument)
{
    struct topology topology = node_topology(node);
    uint32_t shards = topology.shard_count;
    struct snapshot_all *all = calloc(1, sizeof *all + shards * sizeof all->shards[0]);
    struct error error;
    if (all == NULL || shards == 0) {
        error_set(&error, ERROR_UNAVAILABLE,
                  all == NULL ? "not enough memory for a snapshot"
                              : "the cluster is not known yet");
        free(all);
        done(argument, NULL, &error);
        return;
    }
    if (was_split(node)) {
        error_set(&error, ERROR_INVALID,
                  "shards of this cluster were split, and a node alone could not find their "
                  "series: copy the data directories of stopped nodes instead");
        free(all);
        done(argument, NULL, &error);
        return;
    }
    choose_name(all);
    int size = snprintf(all->root, sizeof all->root, "%s/%s", node->settings->storage_directory,
                        all->folder);
    if (size < 0 || (size_t)size >= sizeof all->root) {
        error_set(&error, ERROR_LIMIT, "the path of the data directory is too long");
        free(all);
        done(argument, NULL, &error);
        return;
    }
    all->node = node;
    all->head = head;
    all->origin = origin;
    all->done = done;
    all->argument = argument;
    all->topology = topology;
    all->shard_count = shards;
    all->outstanding = shards;
    error_clear(&all->error);
    all->job = (struct job){.run = prepare_run, .done = prepare_done, .class = JOB_BACKGROUND};
    scheduler_submit(origin, &all->job);
}

void node_sweep_snapshots(const char *storage_directory)
{
    char path[ROOT_BYTES];
    snprintf(path, sizeof path, "%s/%s", storage_directory, SNAPSHOTS);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return; /* none was ever made */
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        int size =
            snprintf(path, sizeof path, "%s/%s/%s", storage_directory, SNAPSHOTS, entry->d_name);
        if (text_ends_with(text_of(entry->d_name), TEXT(".new")) && (size_t)size < sizeof path)
            remove_folder(path);
    }
    closedir(directory);
}
