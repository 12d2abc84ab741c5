/*
 * simulated_disk_faults - what a crash leaves, bits that rot, and the way back.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "simulated_disk_private.h"
#include "simulated_memory.h"

/* --- Crash and restart ----------------------------------------------------------------------- */

/* How a crash treats what was not synced: nothing survives, all does, or sector by sector. */
enum fate { FATE_LOST, FATE_KEPT, FATE_MIXED, FATES = 5 /* more than half are mixed */ };

static void node_lose(struct simulated_disk *disk, struct simulated_node *node)
{
    enum fate fate = random_below(&disk->random.base, FATES);
    uint64_t lost = 0, kept = 0;
    for (size_t i = 0; i < simulated_sector_count(node->capacity); i++) {
        if (!node->dirty[i])
            continue;
        uint64_t start = (uint64_t)i * SIMULATED_SECTOR_BYTES;
        uint64_t size = node->capacity - start < SIMULATED_SECTOR_BYTES ? node->capacity - start
                                                                        : SIMULATED_SECTOR_BYTES;
        bool keep =
            fate == FATE_KEPT || (fate == FATE_MIXED && random_below(&disk->random.base, 2) == 0);
        if (keep)
            memcpy(node->durable + start, node->seen + start, size);
        else
            memcpy(node->seen + start, node->durable + start, size);
        node->dirty[i] = 0;
        *(keep ? &kept : &lost) += 1;
    }
    disk->counts.lost_sectors += lost;
    disk->counts.kept_sectors += kept;
    disk->counts.torn_files += lost > 0 && kept > 0;
    if (node->size != node->durable_size && fate != FATE_KEPT)
        node->size = node->durable_size;
    if (node->size < node->capacity) {
        memset(node->seen + node->size, 0, node->capacity - node->size);
        memset(node->durable + node->size, 0, node->capacity - node->size);
    }
    node->durable_size = node->size;
}

/* Changes of a directory survive in order: once one is lost, so are the later ones. */
static bool keep_by_chance(struct simulated_disk *disk, const char *directory)
{
    if (simulated_name_find(disk->lost_directories, disk->lost_count, directory) != NULL)
        return false;
    if (random_below(&disk->random.base, 3) > 0)
        return true;
    simulated_name_set(&disk->lost_directories, &disk->lost_count, &disk->lost_capacity, directory,
                       disk->nodes);
    return false;
}

void simulated_disk_crash(struct simulated_disk *disk, enum simulated_crash crash)
{
    assert(!disk->crashed);
    disk->crashed = true;
    if (crash == SIMULATED_KILL) {
        disk->counts.kills++;
        return;
    }
    disk->counts.power_failures++;
    disk->lost_count = 0;
    simulated_changes_settle(disk, NULL, keep_by_chance);
    for (struct simulated_node *node = disk->nodes; node != NULL; node = node->next)
        if (node->capacity > 0)
            node_lose(disk, node);
    disk->name_count = 0;
    for (size_t i = 0; i < disk->durable_count; i++)
        simulated_name_set(&disk->names, &disk->name_count, &disk->name_capacity,
                           disk->durable_names[i].path, disk->durable_names[i].node);
}

void simulated_disk_restart(struct simulated_disk *disk)
{
    assert(disk->crashed && disk->open_files == 0);
    simulated_nodes_collect(disk);
    disk->crashed = false;
}

/* --- Images ---------------------------------------------------------------------------------- */

/* What simulated_disk points to; a copy of a node is found by `copy` of the original. */
struct simulated_disk_image {
    struct simulated_disk disk;
};

static struct simulated_node *nodes_copy(struct simulated_node *nodes)
{
    struct simulated_node *copies = NULL, **end = &copies;
    for (struct simulated_node *node = nodes; node != NULL; node = node->next) {
        struct simulated_node *copy = simulated_allocate(sizeof *copy);
        *copy = *node;
        copy->next = NULL;
        if (node->capacity > 0) {
            size_t sectors = simulated_sector_count(node->capacity);
            copy->seen = simulated_allocate(node->capacity);
            copy->durable = simulated_allocate(node->capacity);
            copy->dirty = simulated_allocate(sectors);
            memcpy(copy->seen, node->seen, node->capacity);
            memcpy(copy->durable, node->durable, node->capacity);
            memcpy(copy->dirty, node->dirty, sectors);
        }
        node->copy = copy;
        *end = copy;
        end = &copy->next;
    }
    return copies;
}

static struct simulated_name *names_copy(const struct simulated_name *names, size_t count)
{
    struct simulated_name *copies = simulated_allocate((count + 1) * sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        copies[i] = names[i];
        copies[i].node = names[i].node->copy;
    }
    return copies;
}

static struct simulated_change *changes_copy(const struct simulated_change *changes,
                                             struct simulated_change **last_out)
{
    struct simulated_change *copies = NULL, **end = &copies;
    *last_out = NULL;
    for (; changes != NULL; changes = changes->next) {
        struct simulated_change *copy = simulated_allocate(sizeof *copy);
        *copy = *changes;
        copy->next = NULL;
        copy->node = changes->node == NULL ? NULL : changes->node->copy;
        *end = *last_out = copy;
        end = &copy->next;
    }
    return copies;
}

struct simulated_disk_image *simulated_disk_save(const struct simulated_disk *disk)
{
    assert(!disk->crashed && disk->open_files == 0);
    struct simulated_disk_image *image = simulated_allocate(sizeof *image);
    image->disk = (struct simulated_disk){
        .nodes = nodes_copy(disk->nodes),
        .names = names_copy(disk->names, disk->name_count),
        .name_count = disk->name_count,
        .name_capacity = disk->name_count + 1,
        .durable_names = names_copy(disk->durable_names, disk->durable_count),
        .durable_count = disk->durable_count,
        .durable_capacity = disk->durable_count + 1,
    };
    image->disk.first_change = changes_copy(disk->first_change, &image->disk.last_change);
    return image;
}

void simulated_disk_forget(struct simulated_disk_image *image)
{
    simulated_disk_clear(&image->disk);
    free(image);
}

void simulated_disk_go_back(struct simulated_disk *disk, struct simulated_disk_image *image)
{
    assert(!disk->crashed && disk->open_files == 0);
    struct simulated_disk before = *disk;
    simulated_disk_clear(disk);
    *disk = image->disk;
    disk->base = before.base;
    disk->settings = before.settings;
    disk->counts = before.counts;
    disk->operations = before.operations;
    disk->scheduler = before.scheduler;
    disk->random = before.random;
    free(image);
}

/* --- Rot ------------------------------------------------------------------------------------- */

void simulated_disk_flip(struct simulated_disk *disk, const char *path, uint64_t bit)
{
    struct simulated_node *node = simulated_node_find(disk, path);
    assert(node != NULL && bit / 8 < node->size);
    node->seen[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    node->durable[bit / 8] = node->seen[bit / 8];
    disk->counts.rotten_bits++;
}

int simulated_disk_bit(struct simulated_disk *disk, const char *path, uint64_t bit)
{
    const struct simulated_node *node = simulated_node_find(disk, path);
    return node == NULL || bit / 8 >= node->size ? -1 : node->seen[bit / 8] >> (bit % 8) & 1;
}

uint64_t simulated_disk_choose_bit(struct simulated_disk *disk, const char *path)
{
    enum { TRIES = 100 };
    const struct simulated_node *node = simulated_node_find(disk, path);
    assert(node != NULL && node->size > 0);
    uint64_t byte = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        byte = random_below(&disk->random.base, (uint32_t)node->size);
        if (node->seen[byte] != 0)
            break;
    }
    return byte * 8 + random_below(&disk->random.base, 8);
}

const char *simulated_disk_choose(struct simulated_disk *disk, const char *prefix,
                                  uint64_t *size_bytes_out)
{
    const struct simulated_name *chosen = NULL;
    uint32_t seen = 0;
    for (size_t i = 0; i < disk->name_count; i++) {
        const struct simulated_name *name = &disk->names[i];
        if (strncmp(name->path, prefix, strlen(prefix)) == 0 && name->node->size > 0 &&
            random_below(&disk->random.base, ++seen) == 0)
            chosen = name;
    }
    if (chosen == NULL)
        return NULL;
    *size_bytes_out = chosen->node->size;
    return chosen->path;
}

uint64_t simulated_disk_file(struct simulated_disk *disk, const char *path)
{
    const struct simulated_node *node = simulated_node_find(disk, path);
    return node == NULL ? 0 : node->number;
}

const char *simulated_disk_path(const struct simulated_disk *disk, uint64_t file)
{
    for (size_t i = 0; i < disk->name_count; i++)
        if (disk->names[i].node->number == file)
            return disk->names[i].path;
    return NULL;
}

/* --- Release --------------------------------------------------------------------------------- */

void simulated_disk_clear(struct simulated_disk *disk)
{
    while (disk->nodes != NULL) {
        struct simulated_node *node = disk->nodes;
        disk->nodes = node->next;
        simulated_node_free(node);
    }
    while (disk->first_change != NULL) {
        struct simulated_change *change = disk->first_change;
        disk->first_change = change->next;
        free(change);
    }
    free(disk->names);
    free(disk->durable_names);
    free(disk->lost_directories);
}
