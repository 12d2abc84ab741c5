/* A fetcher that copies from the disk of another node, in its own time, and may err. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica_cluster.h"

struct copying {
    struct cluster_node *node;
    struct file_fetch *fetch;
    bool cancelled;
};

static void end(struct copying *copying, const struct error *error)
{
    struct file_fetch *fetch = copying->fetch;
    free(copying);
    fetch->implementation = NULL;
    fetch->done(fetch, error);
}

/* No file, but fetched like one. */
static enum error_code read_state(struct cluster_node *from, const struct shard_file *wanted,
                                  uint8_t **bytes_out, uint64_t *size_out, struct error *error)
{
    struct byte_buffer manifest = {0};
    enum error_code code =
        shard_offer_state(replica_shard(from->replica), wanted->index, &manifest, error);
    if (code == ERROR_NONE) {
        *size_out = manifest.size;
        *bytes_out = malloc(manifest.size + 1);
        assert(*bytes_out != NULL);
        memcpy(*bytes_out, manifest.bytes, manifest.size);
    }
    byte_buffer_clear(&manifest);
    return code;
}

static enum error_code read_all(struct cluster_node *from, const struct shard_file *wanted,
                                uint8_t **bytes_out, uint64_t *size_out, struct error *error)
{
    char path[DISK_PATH_MAX + 1];
    struct disk *disk = &from->disk.base;
    struct file *file = NULL;
    if (wanted->kind == SHARD_FILE_STATE)
        return read_state(from, wanted, bytes_out, size_out, error);
    shard_file_path(replica_shard(from->replica), wanted, path);
    enum error_code code = disk_open(disk, path, DISK_OPEN_READ, &file, error);
    if (code == ERROR_NONE)
        code = disk_size(disk, file, size_out, error);
    if (code == ERROR_NONE) {
        *bytes_out = malloc(*size_out + 1);
        assert(*bytes_out != NULL);
        code = disk_read_at(disk, file, 0, *bytes_out, *size_out, error);
        if (code != ERROR_NONE)
            free(*bytes_out);
    }
    disk_close(disk, file);
    return code;
}

static enum error_code write_all(struct copying *copying, const uint8_t *bytes, uint64_t size,
                                 struct error *error)
{
    struct file_fetch *fetch = copying->fetch;
    struct disk *disk = copying->node->environment.disk;
    struct file *file = NULL;
    snprintf(fetch->path, sizeof fetch->path, "%s/%d-%llx-%u", fetch->directory,
             (int)fetch->file.kind, (unsigned long long)fetch->file.index, fetch->file.number);
    enum error_code code = disk_open(disk, fetch->path, DISK_OPEN_REPLACE, &file, error);
    if (code == ERROR_NONE)
        code = disk_write_at(disk, file, 0, bytes, size, error);
    if (code == ERROR_NONE)
        code = disk_sync(disk, file, error);
    disk_close(disk, file);
    return code == ERROR_NONE ? disk_sync_directory(disk, fetch->directory, error) : code;
}

static enum error_code copy_from(struct copying *copying, struct cluster_node *from,
                                 struct error *error)
{
    struct replica_cluster *cluster = copying->node->cluster;
    uint8_t *bytes;
    uint64_t size;
    shard_keep_files(replica_shard(from->replica), 10000);
    enum error_code code = read_all(from, &copying->fetch->file, &bytes, &size, error);
    if (code != ERROR_NONE)
        return code;
    if (cluster->faulty_files && size > 0 && cluster_chance(cluster, 5))
        bytes[cluster_below(cluster, (uint32_t)size)] ^= (uint8_t)(1 << cluster_below(cluster, 8));
    code = write_all(copying, bytes, size, error);
    free(bytes);
    return code;
}

static void arrive(void *argument)
{
    struct copying *copying = argument;
    struct replica_cluster *cluster = copying->node->cluster;
    struct error error;
    enum error_code code = error_set(&error, ERROR_UNAVAILABLE, "no node could be asked");
    if (copying->cancelled) {
        cluster->counts.fetches_cancelled++;
        error_set(&error, ERROR_CANCELED, "not wanted any more");
        end(copying, &error);
        return;
    }
    bool fails = cluster->faulty_files && cluster_chance(cluster, 5);
    for (size_t i = 0; code != ERROR_NONE && !fails && i < copying->fetch->node_count; i++) {
        uint64_t id = copying->fetch->nodes[i];
        if (id == 0 || id > cluster->node_count || id == copying->node->number + 1)
            cluster_fail(cluster, "node %llu is asked for a file", (unsigned long long)id);
        struct cluster_node *from = &cluster->nodes[id - 1];
        if (from->alive)
            code = copy_from(copying, from, &error);
    }
    cluster->counts.files_failed += code != ERROR_NONE;
    if (code == ERROR_NONE)
        error_clear(&error);
    end(copying, &error);
}

static void double_fetch(struct file_fetcher *self, struct file_fetch *fetch)
{
    struct cluster_node *node =
        (struct cluster_node *)((char *)self - offsetof(struct cluster_node, double_fetcher));
    struct replica_cluster *cluster = node->cluster;
    struct copying *copying = calloc(1, sizeof *copying);
    assert(copying != NULL);
    *copying = (struct copying){.node = node, .fetch = fetch};
    fetch->implementation = copying;
    uint64_t delay_ms = cluster_below(cluster, cluster_chance(cluster, 10) ? 5000 : 50);
    simulated_scheduler_after(&cluster->world->scheduler, delay_ms * 1000000, arrive, copying);
}

static void double_cancel(struct file_fetcher *self, struct file_fetch *fetch)
{
    (void)self;
    ((struct copying *)fetch->implementation)->cancelled = true;
}

const struct file_fetcher_operations DOUBLE_FETCHER = {
    .fetch = double_fetch,
    .cancel = double_cancel,
};
