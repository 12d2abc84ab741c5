/*
 * file_arrival - one file of the shard on its way here from another replica: fetched, verified,
 * named. Private to shard.
 *
 *     fetcher --> incoming/x --job: verified to the last byte--> kind/x, durable
 *                    ^-- rejected: of another node, a few times --'
 */
#ifndef SHARD_FILE_ARRIVAL_H
#define SHARD_FILE_ARRIVAL_H

#include "shard/shard_install.h"
#include "shard_private.h"

/* The caller's until `done`. */
struct file_arrival {
    struct file_fetch fetch;
    struct job job;
    struct shard *shard;
    void (*done)(struct file_arrival *arrival, const struct error *error);
    void *context;
    uint64_t size_bytes; /* of the file, once it is here */
    uint64_t come_bytes; /* told as progress */
    size_t rejections;
    bool is_fetching; /* else it is verified */
    bool cancelled;
    struct error error;
};

/* The folder of unfinished files. */
const char *file_arrival_directory(const struct shard *shard, char path[SHARD_PATH_MAX]);

/* Read all of a file. Errors: CORRUPT (or not the one), NOT_FOUND, UNSUPPORTED, IO, OUT_OF_MEMORY.
 * On a worker. */
enum error_code file_arrival_verify(const struct shard *shard, const struct shard_file *file,
                                    const char *path, struct error *error);

/* `done` will tell, not inside the call; the shard's close waits for it. Errors there: those of
 * file_fetch, CORRUPT (nobody's file is the one). */
void file_arrival_begin(struct file_arrival *arrival, struct shard *shard,
                        const struct shard_file *file);

/* `done` follows soon, with CANCELED or as it would. Again is fine. */
void file_arrival_cancel(struct file_arrival *arrival);

#endif
