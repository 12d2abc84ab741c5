/*
 * disk_uring - `struct disk` on a directory of the machine.
 *
 * The asynchronous face uses io_uring: requests of one turn of the loop are submitted by one
 * system call at its end, completions arrive as events of the loop. Where io_uring is forbidden
 * (Docker's default seccomp profile, kernel.io_uring_disabled) two helper threads call pwritev2
 * and preadv instead; users see no difference.
 */
#ifndef PLATFORM_DISK_URING_H
#define PLATFORM_DISK_URING_H

#include "base/error.h"
#include "platform/disk.h"

struct loop;

enum disk_engine {
    DISK_ENGINE_BEST,   /* io_uring, or the threads where the kernel refuses it */
    DISK_ENGINE_URING,  /* io_uring or an error */
    DISK_ENGINE_THREADS /* pwritev2 and preadv on helper threads */
};

/*
 * A disk rooted at `root`, which must exist. With a loop, the asynchronous face is used on that
 * loop, always from the same thread; with NULL only the blocking face may be used.
 *
 * Errors: NOT_FOUND, IO, OUT_OF_MEMORY, UNSUPPORTED (DISK_ENGINE_URING and refused).
 */
enum error_code disk_uring_create(const char *root, struct loop *loop, enum disk_engine engine,
                                  struct disk **disk_out, struct error *error);

/* No file may be open and no request in flight. On the loop's thread, or after it was joined;
 * before loop_destroy. NULL is fine. */
void disk_uring_destroy(struct disk *disk);

/* What is used: DISK_ENGINE_URING or DISK_ENGINE_THREADS. */
enum disk_engine disk_uring_engine(const struct disk *disk);

#endif
