#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard_run.h"

static bool flip_back(struct run *run, const char *path, uint64_t bit, uint8_t rotten)
{
    struct disk *disk = run->node.environment->base.disk;
    struct file *file;
    struct error error;
    uint8_t byte;
    if (disk_open(disk, path, DISK_OPEN_READ, &file, &error) != ERROR_NONE)
        return false; /* nobody needed it */
    bool same = disk_read_at(disk, file, bit / 8, &byte, 1, &error) == ERROR_NONE && byte == rotten;
    disk_close(disk, file);
    if (same)
        simulated_disk_flip(&run->node.environment->disk, path, bit);
    return same;
}

static uint8_t byte_at(struct run *run, const char *path, uint64_t offset)
{
    struct disk *disk = run->node.environment->base.disk;
    struct file *file;
    struct error error;
    uint8_t byte = 0;
    if (disk_open(disk, path, DISK_OPEN_READ, &file, &error) != ERROR_NONE ||
        disk_read_at(disk, file, offset, &byte, 1, &error) != ERROR_NONE)
        abort();
    disk_close(disk, file);
    return byte;
}

/* One bit of a data file is wrong for one life: that is noticed, or does not matter. */
void run_live_with_rot(struct run *run)
{
    uint64_t size = 0;
    const char *chosen = simulated_disk_choose(&run->node.environment->disk, "shards/", &size);
    if (chosen == NULL || size == 0)
        return;
    char path[DISK_PATH_MAX + 1];
    snprintf(path, sizeof path, "%s", chosen);
    uint64_t bit = simulated_disk_choose_bit(&run->node.environment->disk, path);
    simulated_disk_flip(&run->node.environment->disk, path, bit);
    uint8_t rotten = byte_at(run, path, bit / 8);
    struct error error;
    if (shard_node_open(&run->node, &error) != ERROR_NONE) {
        if (error.code == ERROR_CORRUPT || error.code == ERROR_UNSUPPORTED) {
            run->counts.rot_refused_start++;
            if (strstr(error.message, "shards/") == NULL)
                run_fail(run, "a refusal to start names no file", error.message);
        } else {
            run_fail(run, "start with rot", error.message);
        }
    } else if (run_check(run, MODEL_CHECK, &error)) {
        run->counts.rot_harmless++;
    } else if (error.code == ERROR_CORRUPT || error.code == ERROR_UNSUPPORTED) {
        run->counts.rot_found_by_reading++;
    } else {
        run_expect(run, MODEL_CHECK);
    }
    shard_node_crash(&run->node, SIMULATED_KILL);
    simulated_environment_restart(run->node.environment);
    flip_back(run, path, bit, rotten);
}