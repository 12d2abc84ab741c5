/* Bits that flip in stored files: of one node, so that the others have what it loses. Reading and
 * merging may fail there, and say so, until the files are read as a whole and fetched anew. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_world.h"

bool node_is_rotting(const struct node *node)
{
    return node == node->world->rotting && !node->world->rot_is_over;
}

/* --- Flipped --------------------------------------------------------------------------------- */

/* Shards that are split share files. */
static struct flipped_bit *find_flipped(struct world *world, const char *path)
{
    uint64_t file = simulated_disk_file(&world->rotting->disk, path);
    for (size_t i = 0; file != 0 && i < world->flipped_count; i++)
        if (world->flipped[i].file == file)
            return &world->flipped[i];
    return NULL;
}

/* Each file once, so that it is known how it was. */
void world_rot(struct world *world)
{
    static const char *const FOLDERS[] = {"parts", "blocks", "series"};
    struct node *node = world->rotting;
    if (node == NULL || !node->exists || node->disk.crashed ||
        world->flipped_count == WORLD_FLIPS_MAX)
        return;
    uint64_t size = 0;
    char prefix[40];
    snprintf(prefix, sizeof prefix, "shards/%04u/%s/", world_below(world, world->shard_count),
             FOLDERS[world_below(world, 3)]);
    const char *path = simulated_disk_choose(&node->disk, prefix, &size);
    if (path == NULL || size == 0 || find_flipped(world, path) != NULL)
        return;
    struct flipped_bit *flipped = &world->flipped[world->flipped_count++];
    flipped->file = simulated_disk_file(&node->disk, path);
    flipped->bit = simulated_disk_choose_bit(&node->disk, path);
    flipped->was = simulated_disk_bit(&node->disk, path, flipped->bit);
    simulated_disk_flip(&node->disk, path, flipped->bit);
    world->counts.bits_flipped++;
}

/* A path of the file; NULL: it is gone, or was mended. */
static const char *find_rotten(const struct world *world, const struct flipped_bit *flipped)
{
    struct simulated_disk *disk = &world->rotting->disk;
    const char *path = simulated_disk_path(disk, flipped->file);
    bool is_sound = path == NULL || simulated_disk_bit(disk, path, flipped->bit) == flipped->was;
    return is_sound ? NULL : path;
}

static bool bring_copy(struct world *world, const struct flipped_bit *flipped)
{
    const char *path = find_rotten(world, flipped);
    if (path == NULL)
        return false;
    simulated_disk_flip(&world->rotting->disk, path, flipped->bit);
    return true;
}

bool world_has_rot(struct world *world)
{
    for (size_t i = 0; i < world->flipped_count; i++)
        if (find_rotten(world, &world->flipped[i]) != NULL)
            return true;
    return false;
}

bool world_mend_named(struct world *world, struct node *node, const struct error *error)
{
    const char *start = strstr(error->message, "'shards/");
    if (node != world->rotting || error->code != ERROR_CORRUPT || start == NULL)
        return false;
    char path[DISK_PATH_MAX + 1];
    snprintf(path, sizeof path, "%.*s", (int)strcspn(start + 1, "'"), start + 1);
    struct flipped_bit *flipped = find_flipped(world, path);
    return flipped != NULL && bring_copy(world, flipped);
}

static uint64_t count_lacking(const struct node *node)
{
    struct hosting_statistics hosting = {0};
    if (node != NULL && node->is_alive && node->host != NULL && !node->failed)
        hosting_read_statistics(node->hosting, &hosting);
    return hosting.lacking;
}

void world_look_at_lacking(struct world *world)
{
    enum { OPERATOR_MS = 20000 };
    uint64_t now_ms = world_now_ms(world);
    if (count_lacking(world->rotting) == 0) {
        world->lacking_since_ms = 0;
    } else if (world->lacking_since_ms == 0) {
        world->lacking_since_ms = now_ms;
        world->counts.replicas_lacking++;
    } else if (now_ms - world->lacking_since_ms >= OPERATOR_MS) {
        for (size_t i = 0; i < world->flipped_count; i++)
            (void)bring_copy(world, &world->flipped[i]); /* it may be sound */
        world->lacking_since_ms = now_ms;
    }
}

/* --- Found ----------------------------------------------------------------------------------- */

struct scrubbing {
    struct shard_scrub scrub; /* first */
    struct world *world;
};

static void scrubbed(struct shard_scrub *scrub, const struct error *error)
{
    struct scrubbing *scrubbing = (struct scrubbing *)scrub;
    struct world_counts *counts = &scrubbing->world->counts;
    (void)error; /* a shard that closes ends it */
    counts->files_scrubbed += scrub->files;
    counts->damage_found += scrub->damaged;
    scrubbing->world->requests_out--;
    free(scrubbing);
}

static void scrub(void *context, uint32_t shard_id, struct replica *replica)
{
    struct world *world = context;
    (void)shard_id;
    if (shard_is_scrubbed(replica_shard(replica)))
        return;
    struct scrubbing *scrubbing = calloc(1, sizeof *scrubbing);
    assert(scrubbing != NULL);
    *scrubbing = (struct scrubbing){.scrub = {.done = scrubbed}, .world = world};
    world->requests_out++;
    shard_scrub(replica_shard(replica), &scrubbing->scrub);
}

void world_scrub(struct world *world)
{
    struct node *node = world->rotting;
    if (node != NULL && node->is_alive && node->host != NULL && !node->failed)
        hosting_visit_loop(node->hosting, 0, scrub, world);
}

static bool nothing_is_out(struct world *world)
{
    return world->requests_out == 0;
}

/* A replica that missed much takes over files while they are read. */
void world_find_rot(struct world *world)
{
    enum { TIMES = 2, PATIENCE_MS = 150000 };
    for (int i = 0; i < TIMES && world->rotting != NULL; i++) {
        world_scrub(world);
        if (!world_await(world, nothing_is_out, PATIENCE_MS))
            world_fail(world, "files are read without end");
    }
    world->rot_is_over = true;
}
