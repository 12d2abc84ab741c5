/*
 * slow_disk - preloaded into a node, makes its writes and syncs wait: before each, the microseconds
 * that stand in the file SLOW_DISK names (eight bytes, little endian, read anew each time).
 *
 * Writes by io_uring never pass the C library and so are not slowed: nodes of such runs have
 * `storage.engine=pwritev2`, which the log and everything else then uses.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *delay_us; /* NULL until all libraries are there */

__attribute__((constructor)) static void slow_disk_open(void)
{
    const char *path = getenv("SLOW_DISK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *mapped = MAP_FAILED;
    if (file >= 0)
        mapped = mmap(NULL, sizeof *delay_us, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "slow_disk: SLOW_DISK does not name a file of eight bytes\n");
        abort();
    }
    delay_us = mapped;
}

static void slow_disk_wait(void)
{
    int64_t wait_us = delay_us == NULL ? 0 : atomic_load(delay_us);
    if (wait_us <= 0)
        return;
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    nanosleep(&wait, NULL);
}

ssize_t pwritev2(int file, const struct iovec *vectors, int count, off_t offset, int flags)
{
    slow_disk_wait();
    return syscall(SYS_pwritev2, file, vectors, (long)count, (long)offset, 0L, (long)flags);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset)
{
    slow_disk_wait();
    return syscall(SYS_pwrite64, file, bytes, size, offset);
}

int fdatasync(int file)
{
    slow_disk_wait();
    return (int)syscall(SYS_fdatasync, file);
}

int fsync(int file)
{
    slow_disk_wait();
    return (int)syscall(SYS_fsync, file);
}
