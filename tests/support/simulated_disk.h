/*
 * simulated_disk - a disk in memory that loses what a real one may lose.
 *
 * Every file has two images: what the running process sees and what is on the medium, which only
 * syncs and durable writes bring up to date, 512-byte sector by sector. A power failure keeps, of
 * each sector written since, the old or the new content; a killed process keeps everything it saw
 * and makes none of it durable. Names become durable by sync_directory, in the order they changed
 * in that directory.
 *
 * Asynchronous requests take virtual time and reach the file in two pieces.
 */
#ifndef SIMULATED_DISK_H
#define SIMULATED_DISK_H

#include "platform/disk.h"
#include "simulated_scheduler.h"

enum { SIMULATED_SECTOR_BYTES = 512 };

enum simulated_crash {
    SIMULATED_POWER_FAILURE, /* unsynced writes are lost, kept or torn */
    SIMULATED_KILL,          /* the process is gone, the machine is not */
};

/* How often each thing happened. */
struct simulated_fault_counts {
    uint64_t power_failures, kills;
    uint64_t crashes_in_operation;       /* of both, in the middle of what the process did */
    uint64_t lost_sectors, kept_sectors; /* written, not synced, at a power failure */
    uint64_t torn_files;                 /* that lost some and kept some */
    uint64_t lost_names;
    uint64_t no_space;
    uint64_t rotten_bits;
    uint64_t failed_operations;
    uint64_t slow_operations;
};

struct simulated_disk_settings {
    uint64_t capacity_bytes;      /* UINT64_MAX: never full */
    uint32_t failure_per_million; /* of all operations fail with IO */
    uint32_t slow_per_thousand;   /* of asynchronous ones take up to three seconds */
    uint64_t fail_at_operation;   /* fail this one, counting from 1; 0: none */
    uint64_t crash_at_operation;  /* once: `crash` instead of it, counting from 1; 0: never */
    enum simulated_crash crash;
    bool crash_at_sync; /* instead of the first sync from there on: when most is not durable */
    bool ignore_sync;   /* a lying disk: nothing is made durable but by luck */
    /* The same for files, and for the names in directories, whose path holds this; NULL: none. */
    const char *ignore_sync_of;
    const char *ignore_sync_directory_of;
};

struct simulated_disk {
    struct disk base;
    struct simulated_disk_settings settings; /* may be changed at any time */
    struct simulated_fault_counts counts;
    uint64_t operations;
    struct simulated_scheduler *scheduler;
    struct random_generator random;
    struct simulated_node *nodes; /* all files, a list */
    struct simulated_name *names; /* as seen, by path */
    size_t name_count, name_capacity;
    struct simulated_name *durable_names; /* on the medium */
    size_t durable_count, durable_capacity;
    struct simulated_change *first_change, *last_change; /* of names, not yet durable */
    struct simulated_name *lost_directories;             /* of the crash in progress */
    size_t lost_count, lost_capacity;
    size_t open_files;
    uint64_t last_file;
    bool crashed;
};

void simulated_disk_init(struct simulated_disk *disk, struct simulated_scheduler *scheduler,
                         uint64_t seed);
void simulated_disk_clear(struct simulated_disk *disk);

/* From here on every operation fails with IO, those in flight too. */
void simulated_disk_crash(struct simulated_disk *disk, enum simulated_crash crash);

/* What survived is readable again. All files must have been closed. */
void simulated_disk_restart(struct simulated_disk *disk);

/*
 * Everything as it is now, and back to it, for a life that must leave no trace. No file is open
 * then, and nothing waits to become durable that was not before.
 */
struct simulated_disk_image *simulated_disk_save(const struct simulated_disk *disk);
void simulated_disk_go_back(struct simulated_disk *disk, struct simulated_disk_image *image);

/* Or stay. */
void simulated_disk_forget(struct simulated_disk_image *image);

/* Flip one bit, on the medium and in the cache. */
void simulated_disk_flip(struct simulated_disk *disk, const char *path, uint64_t bit);

/* 0 or 1; -1: there is no such file, or it is shorter. */
int simulated_disk_bit(struct simulated_disk *disk, const char *path, uint64_t bit);

/* A bit of a byte that is not zero, if a few tries find one: where the data is. */
uint64_t simulated_disk_choose_bit(struct simulated_disk *disk, const char *path);

/* A file whose path starts with `prefix`, chosen by the seed; NULL when there is none. */
const char *simulated_disk_choose(struct simulated_disk *disk, const char *prefix,
                                  uint64_t *size_bytes_out);

/* The number of the file that has this path, the same under all its names and never another's; 0:
 * there is none. And a path of it; NULL: it has none any more. */
uint64_t simulated_disk_file(struct simulated_disk *disk, const char *path);
const char *simulated_disk_path(const struct simulated_disk *disk, uint64_t file);

uint64_t simulated_disk_used_bytes(const struct simulated_disk *disk);

#endif
