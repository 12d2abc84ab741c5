/*
 * disk_system - the parts of a disk_uring: blocking calls, io_uring, helper threads.
 */
#ifndef PLATFORM_DISK_SYSTEM_H
#define PLATFORM_DISK_SYSTEM_H

#include <stdint.h>
#include <sys/uio.h>

#include "loop_uv.h"
#include "platform/disk.h"
#include "platform/disk_uring.h"

struct file {
    int descriptor;
};

struct disk_ring;
struct disk_threads;

struct disk_system {
    struct disk base;
    int root; /* descriptor of the directory */
    enum disk_engine engine;
    struct disk_ring *ring;       /* engine URING with a loop */
    struct disk_threads *threads; /* engine THREADS with a loop */
};

extern const struct disk_operations DISK_SYSTEM_OPERATIONS;

void disk_system_write(struct disk *self, struct disk_write *write);
void disk_system_read(struct disk *self, struct disk_read *read);

/* --- One transfer, whichever engine -------------------------------------------------------- */

enum transfer_kind { TRANSFER_WRITE, TRANSFER_READ };

/*
 * What an engine keeps of a request, inside request->implementation. `transferred` grows until
 * all is done: a short write or read is continued from there.
 */
struct transfer {
    struct transfer *next;
    size_t transferred;
    int failure; /* errno, 0 while all is well */
    enum transfer_kind kind;
};

struct transfer *transfer_of_write(struct disk_write *write);
struct transfer *transfer_of_read(struct disk_read *read);

/* What is left of it, as one contiguous range or as whole vectors of the request. */
struct transfer_rest {
    int descriptor;
    uint64_t offset_bytes;
    const struct iovec *vectors; /* the request's from here on, or &single */
    unsigned vector_count;
    struct iovec single;
    int flags; /* of pwritev2 */
};
void transfer_rest(struct transfer *transfer, struct transfer_rest *rest);

/* `result` of the system call, bytes or -errno: true when the transfer is over (done or failed),
 * false when it must be submitted again. */
bool transfer_advance(struct transfer *transfer, int64_t result);

/* Call the request's `done`. */
void transfer_finish(struct transfer *transfer);

/* A queue of transfers. */
struct transfer_queue {
    struct transfer *first;
    struct transfer *last;
};
void transfer_queue_push(struct transfer_queue *queue, struct transfer *transfer);
struct transfer *transfer_queue_pop(struct transfer_queue *queue);

/* --- Engines ------------------------------------------------------------------------------- */

/* UNSUPPORTED when the kernel refuses. */
enum error_code disk_ring_create(struct loop *loop, struct disk_ring **ring_out,
                                 struct error *error);
void disk_ring_destroy(struct disk_ring *ring);
void disk_ring_start(struct disk_ring *ring, struct transfer *transfer);

enum error_code disk_threads_create(struct loop *loop, struct disk_threads **threads_out,
                                    struct error *error);
void disk_threads_destroy(struct disk_threads *threads);
void disk_threads_start(struct disk_threads *threads, struct transfer *transfer);

#endif
