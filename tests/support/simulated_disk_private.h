/*
 * simulated_disk_private - files and names of the simulated disk: simulated_disk.c uses them,
 * simulated_disk_faults.c loses them.
 */
#ifndef SIMULATED_DISK_PRIVATE_H
#define SIMULATED_DISK_PRIVATE_H

#include "simulated_disk.h"

/* A file, under any number of names or none. */
struct simulated_node {
    struct simulated_node *next;
    struct simulated_node *copy; /* in the image that was saved last */
    uint8_t *seen;               /* [size] */
    uint8_t *durable;            /* [size]; zero where the file was shorter */
    uint8_t *dirty;              /* one byte a sector: written since the last sync */
    uint64_t size, capacity, durable_size;
    uint64_t number; /* of all files since the disk was new, from 1 */
    uint32_t open_count;
    bool is_directory;
    bool marked;
};

struct simulated_name {
    char path[DISK_PATH_MAX + 1];
    struct simulated_node *node;
};

/* `node` gets the name `path`, or NULL: the name goes; a rename also takes `from` away. */
struct simulated_change {
    struct simulated_change *next;
    char directory[DISK_PATH_MAX + 1]; /* whose sync makes it durable */
    char path[DISK_PATH_MAX + 1];
    char from[DISK_PATH_MAX + 1]; /* "" when not a rename */
    struct simulated_node *node;
};

size_t simulated_sector_count(uint64_t size);
void simulated_node_free(struct simulated_node *node);

/* Free what no name, no pending change and no open file leads to. */
void simulated_nodes_collect(struct simulated_disk *disk);

/* NULL when there is none. */
struct simulated_node *simulated_node_find(struct simulated_disk *disk, const char *path);
struct simulated_name *simulated_name_find(struct simulated_name *names, size_t count,
                                           const char *path);

/* Without a node the name goes. */
void simulated_name_set(struct simulated_name **names, size_t *count, size_t *capacity,
                        const char *path, struct simulated_node *node);

/* Take every change out of the list that `directory` (NULL: any) covers; make it durable as long
 * as `keep` says so, which a crash decides anew for each directory. */
void simulated_changes_settle(struct simulated_disk *disk, const char *directory,
                              bool (*keep)(struct simulated_disk *, const char *directory));

#endif
