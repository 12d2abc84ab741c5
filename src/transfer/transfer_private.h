/*
 * transfer_private - one transfer, shared by its files:
 *
 *     transfer.c        life, shards that are served, the budget
 *     serve.c           ranges for others
 *     fetch.c           files for shards here: which range, of whom
 *     fetch_file.c      the unfinished file of a fetch, by jobs
 *     transfer_format.c bytes
 */
#ifndef TRANSFER_TRANSFER_PRIVATE_H
#define TRANSFER_TRANSFER_PRIVATE_H

#include "transfer/transfer.h"
#include "transfer_format.h"
#include "transport/transport.h"

struct served_shard {
    uint64_t group_id;
    struct shard *shard;
};

struct fetch;

struct transfer {
    struct file_fetcher fetcher; /* first */
    struct transfer_options options;
    struct served_shard *shards; /* [shard_count] */
    size_t shard_count;
    uint32_t serves_running;  /* jobs that read for others */
    uint32_t fetches_running; /* of the list below */
    struct fetch *fetches;    /* by `next`, the oldest first */
    struct fetch **fetches_end;
    struct transfer_statistics statistics;
    void (*closed)(void *context);
    void *closed_context;
    struct task close_task;
};

/* --- transfer.c ------------------------------------------------------------------------------ */

struct shard *transfer_find_shard(const struct transfer *transfer, uint64_t group_id);
/* A job for others ended. */
void transfer_serve_ended(struct transfer *transfer);

/* --- serve.c --------------------------------------------------------------------------------- */

transport_serve transfer_serve;

/* --- fetch.c --------------------------------------------------------------------------------- */

extern const struct file_fetcher_operations TRANSFER_FETCHER;

/* --- fetch_file.c ---------------------------------------------------------------------------- */

/*
 * What came of a file. One job at a time uses it; between jobs it belongs to the loop. Its name
 * tells which file it will be, to the byte, so that another life of the process goes on with it.
 */
struct fetch_file {
    struct disk *disk;
    const char *directory;
    const struct shard_file *wanted;
    bool is_known; /* which file it is */
    struct file_identity identity;
    uint64_t offset_bytes; /* so much of it is here */
    uint64_t unsynced_bytes;
    struct file *file; /* open, or NULL */
    char path[DISK_PATH_MAX + 1];
};

/* All block, for workers. Find what an earlier life left; nothing found is no error. Errors: IO,
 * OUT_OF_MEMORY. */
enum error_code fetch_file_find(struct fetch_file *self, struct error *error);

/* The next bytes; makes the file with the first ones. Errors: NO_SPACE, IO, LIMIT (path). */
enum error_code fetch_file_append(struct fetch_file *self, const uint8_t *bytes, size_t size,
                                  struct error *error);

/* All of it is here: make it durable, and close it. Errors: IO. */
enum error_code fetch_file_finish(struct fetch_file *self, struct error *error);

/* Another file is wanted: remove this one. */
void fetch_file_drop(struct fetch_file *self);

/* What is here stays. */
void fetch_file_close(struct fetch_file *self);

#endif
