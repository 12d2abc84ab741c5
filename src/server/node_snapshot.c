/*
 * A copy of the data directory, made while the node runs: the files of all shards under a second
 * name, and a log that says no more than which they are.
 *
 *   folder made -> per shard: frozen (or not), copied -> log written -> folder gets its name
 *
 * Files never change once they have their names, so links are a copy. A folder that is not whole
 * ends in ".new" and is removed when something fails, or at the next start.
 *
 * Shards are copied one by one, and one may be split meanwhile: then a slot would be in two of the
 * copies, or in none. So the slots that each copy has are compared with those that the cluster
 * wants it and its children to have, and where they differ all begins anew, for some seconds.
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

enum {
    NAME_BYTES = 64,
    FOLDER_BYTES = 128,
    ROOT_BYTES = 1024,
    REMOVE_DESCRIPTORS = 16,
    AGAIN_MS = 200,
    PATIENCE_MS = 10 * 1000,
};

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
    struct slot_set desired;    /* what the cluster wants it to have */
    struct slot_set given_away; /* to shards that are split off it, and off those */
};

struct snapshot_all {
    struct node *node;
    enum api_snapshot_head head;
    struct scheduler *origin;
    void (*done)(void *argument, const char *name, const struct error *error);
    void *argument;
    uint64_t give_up_ms; /* monotonic: until then it begins anew when a shard is being split */
    bool is_split;       /* one is */
    struct timer again;
    struct error error;
    struct job job; /* makes the folder, then completes it */
    struct task task;
    _Atomic size_t outstanding;
    struct data_directory *directory; /* held while it is made */
    char name[NAME_BYTES];
    char folder[FOLDER_BYTES];    /* on the node's disk, unfinished */
    char root[ROOT_BYTES];        /* the same as a path of the file system */
    struct topology topology;     /* of the copy, which is a node alone */
    struct snapshot_one shards[]; /* as the topology has them */
};

static uint32_t shard_count_of(const struct snapshot_all *all)
{
    return all->topology.slots.shard_count;
}

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
    struct snapshot_record *records = calloc(shard_count_of(all), sizeof *records);
    size_t count = 0;
    if (records == NULL)
        return error_set(&all->error, ERROR_OUT_OF_MEMORY, "snapshot");
    for (size_t i = 0; i < shard_count_of(all); i++) {
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

static void release(struct snapshot_all *all)
{
    for (size_t i = 0; i < shard_count_of(all); i++)
        byte_buffer_clear(&all->shards[i].copy.manifest);
    for (size_t i = 0; i < shard_count_of(all); i++)
        if (all->shards[i].replica != NULL)
            replica_table_release(all->node->replicas, (uint32_t)i);
    free(all);
}

static void begin(const struct snapshot_all *asked);

static void begin_again(struct timer *timer)
{
    struct snapshot_all *all =
        (struct snapshot_all *)((char *)timer - offsetof(struct snapshot_all, again));
    begin(all);
    release(all);
}

static void complete_done(struct job *job)
{
    struct snapshot_all *all = all_of_job(job);
    if (all->is_split && !atomic_load(&all->node->draining) &&
        clock_monotonic_ms(clock_system()) < all->give_up_ms) {
        all->again = (struct timer){.fire = begin_again, .heap_index = TIMER_IDLE};
        scheduler_timer_start(all->origin, &all->again, AGAIN_MS);
        return;
    }
    all->done(all->argument, all->name, &all->error);
    release(all);
}

/* Whether a slot is in none of the copies that should have it, or in those of two shards. */
static bool is_being_split(const struct snapshot_all *all)
{
    for (uint32_t shard = 0; shard < shard_count_of(all); shard++) {
        const struct snapshot_one *one = &all->shards[shard];
        struct slot_set owned = one->copy.owned;
        slot_set_remove(&owned, &one->given_away);
        if (one->copy.lacks_child ||
            (one->copy.frozen_index > 0 && (!slot_set_is_within(&one->copy.owned, &owned) ||
                                            !slot_set_is_within(&one->desired, &owned))))
            return true;
    }
    return false;
}

static void shards_copied(struct task *task)
{
    struct snapshot_all *all =
        (struct snapshot_all *)((char *)task - offsetof(struct snapshot_all, task));
    for (size_t i = 0; i < shard_count_of(all); i++)
        if (all->shards[i].copy.error.code != ERROR_NONE)
            all->error = all->shards[i].copy.error;
    all->is_split = all->error.code == ERROR_NONE && is_being_split(all);
    if (all->is_split)
        error_set(&all->error, ERROR_UNAVAILABLE,
                  "a shard is being split, or this node is behind: ask again later");
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
    for (uint32_t shard = 0; shard < shard_count_of(all); shard++) {
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

static enum error_code check(struct snapshot_all *all, struct error *error)
{
    if (shard_count_of(all) == 0)
        return error_set(error, ERROR_UNAVAILABLE, "the cluster is not known yet");
    int size = snprintf(all->root, sizeof all->root, "%s/%s",
                        all->node->settings->storage_directory, all->folder);
    return size < 0 || (size_t)size >= sizeof all->root
               ? error_set(error, ERROR_LIMIT, "the path of the data directory is too long")
               : ERROR_NONE;
}

static void note_slots(struct snapshot_all *all, const struct cluster_view *view)
{
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t shard = slot_map_shard(&all->topology.slots, (uint16_t)slot);
        slot_set_add(&all->shards[shard].desired, slot, 1);
        if (view == NULL)
            continue; /* a node alone splits none */
        const struct cluster_state *state = cluster_view_state(view);
        while ((shard = cluster_state_find_shard(state, shard)->parent) != CLUSTER_SHARD_NONE)
            slot_set_add(&all->shards[shard].given_away, slot, 1);
    }
}

/* What was asked, with the shards that there are now. */
static void begin(const struct snapshot_all *asked)
{
    struct node_cluster *cluster = asked->node->cluster;
    struct cluster_view *view = cluster == NULL ? NULL : cluster_board_view(cluster->board);
    struct topology topology;
    struct error error;
    node_topology(asked->node, view, &topology);
    struct snapshot_all *all =
        calloc(1, sizeof *all + topology.slots.shard_count * sizeof all->shards[0]);
    if (all == NULL) {
        cluster_view_unref(view);
        error_set(&error, ERROR_UNAVAILABLE, "not enough memory for a snapshot");
        asked->done(asked->argument, NULL, &error);
        return;
    }
    all->node = asked->node;
    all->head = asked->head;
    all->origin = asked->origin;
    all->done = asked->done;
    all->argument = asked->argument;
    all->give_up_ms = asked->give_up_ms;
    all->topology = topology;
    all->outstanding = shard_count_of(all);
    error_clear(&all->error);
    if (shard_count_of(all) > 0)
        note_slots(all, view);
    cluster_view_unref(view);
    choose_name(all);
    if (check(all, &error) != ERROR_NONE) {
        free(all);
        asked->done(asked->argument, NULL, &error);
        return;
    }
    all->job = (struct job){.run = prepare_run, .done = prepare_done, .class = JOB_BACKGROUND};
    scheduler_submit(all->origin, &all->job);
}

void node_snapshot(struct node *node, enum api_snapshot_head head, struct scheduler *origin,
                   void (*done)(void *argument, const char *name, const struct error *error),
                   void *argument)
{
    const struct snapshot_all asked = {
        .node = node,
        .head = head,
        .origin = origin,
        .done = done,
        .argument = argument,
        .give_up_ms = clock_monotonic_ms(clock_system()) + PATIENCE_MS,
    };
    begin(&asked);
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
