/*
 * file_fetcher - where a shard gets files that its log names and that it does not have: from other
 * replicas. Owned by this module, implemented by module transfer and by simulations.
 *
 * A file is named by the log (kind, index, number); parts and blocks have a content checksum that
 * all replicas agree on. The fetcher brings bytes, resumes where it was cut off, and promises
 * nothing about them but that they are whole: the shard verifies what it got and gives it its name.
 * All on the shard's loop.
 */
#ifndef SHARD_FILE_FETCHER_H
#define SHARD_FILE_FETCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/error.h"
#include "platform/disk.h"
#include "platform/scheduler.h"

enum { FILE_FETCH_NODES_MAX = 16 };

/* The numbers are on the wire. */
enum shard_file_kind {
    SHARD_FILE_PART = 1,
    SHARD_FILE_SEGMENT = 2,
    SHARD_FILE_BLOCK = 3,
    SHARD_FILE_METADATA = 4,
    SHARD_FILE_STATE = 5, /* no file: the manifest of a durable freeze behind `index` */
};

struct shard_file {
    enum shard_file_kind kind;
    uint64_t index;
    uint32_t number;
    bool is_agreed;                  /* what follows is known: of parts and blocks */
    struct hash128 content_checksum; /* of the decoded content (block/file_summary.h) */
    uint64_t size_bytes; /* as its leader wrote it; another replica's may differ. 0: not known */
};

/* The shard's until `done`. */
struct file_fetch {
    uint64_t group_id;
    struct shard_file file;
    uint64_t nodes[FILE_FETCH_NODES_MAX]; /* [node_count], who may have it, in the order to ask */
    size_t node_count;
    /* A folder on the environment's disk that is the fetcher's to put unfinished files in; what is
     * left there by an earlier life of the process may be used. */
    char directory[DISK_PATH_MAX + 1];

    /* `size_bytes` more have arrived, or were here from before; may be NULL. */
    void (*progress)(struct file_fetch *fetch, uint64_t size_bytes);

    /*
     * NONE: the whole file lies durable at `path`, in that folder, and is the shard's to rename or
     * remove. NOT_FOUND: no node has it now. UNAVAILABLE: none could be asked. Others: NO_SPACE,
     * IO, CANCELED, OUT_OF_MEMORY.
     */
    void (*done)(struct file_fetch *fetch, const struct error *error);
    char path[DISK_PATH_MAX + 1];

    /* The fetcher's. */
    struct task task;
    void *implementation;
};

struct file_fetcher;

struct file_fetcher_operations {
    /* `done` will tell, never inside the call. */
    void (*fetch)(struct file_fetcher *self, struct file_fetch *fetch);

    /* `done` follows with CANCELED, not inside the call, unless it is over already. What came so
     * far stays in the folder. Once, and not after `done`. */
    void (*cancel)(struct file_fetcher *self, struct file_fetch *fetch);
};

struct file_fetcher {
    const struct file_fetcher_operations *operations;
};

#endif
